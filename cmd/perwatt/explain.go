package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/perwatt/perwatt/results/report"
)

func explainCommand() *cobra.Command {
	var (
		a      against
		format formatFlag
	)
	cmd := &cobra.Command{
		Use:   "explain FIGURE RECORD...",
		Short: "Print the formula and the inputs of a figure",
		Long: `Print where a figure of a comparison or a report comes from: its formula and the
records, windows or prices that went into it. The name of a figure is the one on the
page and in perwatt compare --format json: CANDIDATE/SCENARIO/USE/METRIC, or, with a
price sheet, economics/TABLE/ROW/COLUMN, which is printed as JSON unless --format text
is given.`,
		Example: `  perwatt explain node7/mining/mining/work_per_energy *.json
  perwatt explain economics/mining/node7/revenue *.json --prices prices.csv`,
		Args: args(cobra.MinimumNArgs(2)),
		RunE: func(cmd *cobra.Command, argv []string) error {
			files, err := a.store.files(cmd, argv[1:])
			if err != nil {
				return err
			}
			page, _, err := a.load(cmd.Context(), cmd.InOrStdin(), files)
			if err != nil {
				return err
			}
			if page.Economics != nil && strings.HasPrefix(argv[0], "economics/") {
				write := func() (bool, error) {
					return report.ExplainEconomics(cmd.OutOrStdout(), page.Economics, argv[0])
				}
				if cmd.Flags().Changed("format") && format.Format == report.Text {
					write = func() (bool, error) {
						return report.WriteEconomicsExplanation(cmd.OutOrStdout(), page.Economics, argv[0], options(cmd.OutOrStdout(), ""))
					}
				}
				ok, err := write()
				if err == nil && !ok {
					return usagef("no figure %.120q: the page lists them under what it earns", argv[0])
				}
				return err
			}
			e, err := page.Comparison.Explain(argv[0])
			if err != nil {
				return exit{exitUsage, fmt.Errorf("%w; there are %s", err, strings.Join(first(page.Comparison.Figures(), 8), ", "))}
			}
			if format.Format == report.JSON {
				return report.WriteJSON(cmd.OutOrStdout(), "  ", e)
			}
			return report.WriteExplanation(cmd.OutOrStdout(), e, options(cmd.OutOrStdout(), ""))
		},
	}
	a.flags(cmd)
	format.flag(cmd, "what is printed:", textOrJSON...)
	return cmd
}

// first shortens a list for a message.
func first(list []string, n int) []string {
	if len(list) > n {
		return append(list[:n:n], fmt.Sprintf("and %d more", len(list)-n))
	}
	return list
}
