package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/economics"
	"github.com/perwatt/perwatt/results/report"
)

func pricesCommand() *cobra.Command {
	var (
		example            bool
		sheet, hours, asOf string
	)
	cmd := &cobra.Command{
		Use:   "prices (--example | --check FILE)",
		Short: "Write an example price sheet, or check one and say what can be worked out from it",
		Long: `Money comes from a price sheet: CSV with one price a row, each with its unit, its
day and its source. Nothing is looked up and nothing is assumed: a price that is
not there leaves out the part that needs it.

--check prints what a sheet holds, how old it is, what is doubtful, and which part
lacks which price. --hours adds power prices by the hour (or 30, 15 or 5 minutes),
CSV with the header time,price [$/MWh]. A file may be - for standard input. Exit
code 2 if a file is wrong, naming line, key and remedy.`,
		Example: `  perwatt prices --example > prices.csv
  perwatt prices --check prices.csv
  perwatt prices --check prices.csv --hours day-ahead.csv --as-of 2026-01-31`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			on, err := time.Now(), error(nil)
			if asOf != "" {
				if on, err = time.Parse(time.DateOnly, asOf); err != nil {
					return usagef("--as-of %q: write the day as 2006-01-02", asOf)
				}
			}
			switch {
			case example == (sheet != ""):
				return usagef("give --example or --check FILE, one of them (see perwatt prices --help)")
			case example && hours != "":
				return usagef("--hours goes with --check")
			case sheet == "-" && hours == "-":
				return usagef("--check - and --hours -: standard input is one file")
			case example:
				_, err := io.WriteString(cmd.OutOrStdout(), economics.Example())
				return err
			}
			prices, err := loadPrices(cmd.InOrStdin(), sheet, hours, on)
			if err != nil {
				return exit{exitUsage, err}
			}
			return report.WritePrices(cmd.OutOrStdout(), prices.Check(on), prices.Warnings(on), options(cmd.OutOrStdout(), ""))
		},
	}
	fl := cmd.Flags()
	fl.SortFlags = false
	fl.BoolVar(&example, "example", false, "write a commented sheet to start from")
	fl.StringVar(&sheet, "check", "", "price sheet to check")
	fl.StringVar(&hours, "hours", "", "power prices by the hour to check with it")
	fl.StringVar(&asOf, "as-of", "", "day on which ages are counted (default today)")
	return cmd
}

// loadPrices reads a price sheet and, if named, an hourly series.
func loadPrices(stdin io.Reader, sheet, hours string, on time.Time) (*economics.Prices, error) {
	var p *economics.Prices
	err := reading(stdin, sheet, func(r io.Reader) (err error) {
		p, err = economics.Parse(r, on)
		return err
	})
	if err == nil && hours != "" {
		err = reading(stdin, hours, func(r io.Reader) (err error) {
			p.Hours, err = economics.ParseHours(r)
			return err
		})
	}
	return p, err
}

func reading(stdin io.Reader, name string, parse func(io.Reader) error) error {
	in := stdin
	if name != "-" {
		f, err := results.OpenFile(name)
		if err != nil {
			return err
		}
		defer f.Close()
		in = f
	}
	if err := parse(in); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}
