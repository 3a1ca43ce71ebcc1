package main

import (
	"context"
	"errors"
	"io"

	"github.com/spf13/cobra"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/compare"
	"github.com/perwatt/perwatt/results/economics"
	"github.com/perwatt/perwatt/results/report"
)

// against are the flags of every command that compares records.
type against struct {
	reference string
	margin    float64
	seed      uint64
	store     storeFlag
	money
}

func (a *against) flags(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.SortFlags = false
	fl.StringVar(&a.reference, "reference", "", "reference candidate (index = 1): its name, or one of its records or files (default: the first)")
	fl.Float64Var(&a.margin, "margin", compare.DefaultMargin, "largest relative loss that still counts as no worse; choose it before you measure")
	fl.Uint64Var(&a.seed, "seed", 1, "seed of the bootstrap")
	a.money.flags(cmd)
	a.store.flag(cmd)
}

// load reads records, compares them, and adds what they
// earn if there is a price sheet, with the flags that reproduce that. A file that cannot
// be used is an error, because it would change the comparison.
func (a *against) load(ctx context.Context, stdin io.Reader, files []string) (p report.Page, again []string, err error) {
	if p.Records, err = results.ReadVerified(ctx, files...); err != nil {
		return p, nil, exit{exitData, err}
	}
	p.Comparison, err = compare.New(ctx, p.Records, files, compare.Options{Reference: a.reference, Margin: a.margin, Seed: a.seed})
	switch {
	case errors.Is(err, compare.ErrNothing), errors.Is(err, compare.ErrMachines):
		return p, nil, exit{exitData, err}
	case err != nil:
		return p, nil, exit{exitUsage, err}
	}
	p.Economics, again, err = a.evaluate(stdin, p.Comparison)
	return p, again, err
}

func compareCommand() *cobra.Command {
	var (
		a      against
		format formatFlag
	)
	cmd := &cobra.Command{
		Use:   "compare RECORD...",
		Short: "Compare candidates at every use, with intervals and verdicts",
		Long: `Group the sessions of each machine and compare the machines at every use: throughput,
watts, work per joule, an index against the reference with its interval, and a verdict:
better, no worse, worse, or cannot tell, with what would settle it. Figures of different
boundaries or grades, modelled watts and records that break the publish rules are listed
but not ranked. With a price sheet, what each candidate earns is added, except in the
bench format.

A candidate is one machine, identified by name, CPU and memory. Where these are the
same, the label candidate=NAME (perwatt run --label) tells candidates apart. If sessions
under one name overlap in time, they come from two machines: labels, parts and meters
tell them apart, with a warning; if nothing does, it is an error.

A RECORD is a file, or the beginning of the identifier of a record in the store.`,
		Example: `  perwatt compare a1.json a2.json a3.json b1.json b2.json b3.json
  perwatt compare 01KDYBS1CY 01KDYC2R5G
  perwatt compare *.json --reference node7 --format markdown
  perwatt compare *.json --format bench | benchstat -row .name -col node /dev/stdin`,
		Args: args(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, argv []string) error {
			files, err := a.store.files(cmd, argv)
			if err != nil {
				return err
			}
			page, _, err := a.load(cmd.Context(), cmd.InOrStdin(), files)
			if err != nil {
				return err
			}
			if format.Format == report.CSV || format.Format == report.Bench { // they have no place for warnings
				warn(cmd, page.Comparison)
			}
			switch format.Format {
			case report.JSON:
				return report.WriteJSON(cmd.OutOrStdout(), "  ", struct {
					*compare.Comparison
					Economics *economics.Result `json:"economics,omitempty"`
				}{page.Comparison, page.Economics})
			case report.Bench:
				return report.WriteBench(cmd.OutOrStdout(), page.Records)
			}
			page.Records = nil // their sections belong to a page, not to this table
			return report.WriteComparison(cmd.OutOrStdout(), format.Format, page, options(cmd.OutOrStdout(), ""))
		},
	}
	a.flags(cmd)
	format.flag(cmd, "what is printed:", report.Formats()...)
	return cmd
}

// warn prints what is doubtful about a comparison to standard error.
func warn(cmd *cobra.Command, c *compare.Comparison) {
	for _, w := range c.Warnings {
		say(cmd.ErrOrStderr(), "perwatt: %s: %s → %s", w.Code, w.Text, w.Remedy)
	}
}
