package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/compare"
	"github.com/perwatt/perwatt/results/economics"
	"github.com/perwatt/perwatt/results/report"
)

func pricesCommand() *cobra.Command {
	var (
		example bool
		m       money
	)
	cmd := &cobra.Command{
		Use:   "prices (--example | --check FILE)",
		Short: "Write an example price sheet, or check one and list what it is good for",
		Long: `A price sheet is CSV with one price a row, each with its unit, its day and its source.
perwatt looks nothing up and assumes nothing: without a price, the part that needs it
is left out.

--check prints the prices with their ages, warnings, the prices that each part lacks,
and what each key that is not in the sheet stands for. --hours adds power prices by the hour (or by 30, 15 or 5 minutes), CSV with the
header time,price [$/MWh]. FILE may be - for standard input. Exit code 2 if a file is
wrong; the error names the line, the key and the remedy.`,
		Example: `  perwatt prices --example > prices.csv
  perwatt prices --check prices.csv
  perwatt prices --check prices.csv --hours day-ahead.csv --as-of 2026-01-31`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case example == (m.sheet != ""):
				return usagef("give --example or --check FILE, one of them (see perwatt prices --help)")
			case example && m.hours != "":
				return usagef("--hours goes with --check")
			case m.sheet == "-" && m.hours == "-":
				return usagef("--check - and --hours -: standard input is one file")
			case example:
				_, err := io.WriteString(cmd.OutOrStdout(), economics.Example())
				return err
			}
			prices, on, err := m.load(cmd.InOrStdin())
			if err != nil {
				return err
			}
			return report.WritePrices(cmd.OutOrStdout(), prices.Check(on), prices.Warnings(on), options(cmd.OutOrStdout(), ""))
		},
	}
	fl := cmd.Flags()
	fl.SortFlags = false
	fl.BoolVar(&example, "example", false, "write a commented price sheet to start from")
	fl.StringVar(&m.sheet, "check", "", "price sheet to check")
	fl.StringVar(&m.hours, "hours", "", "power prices by the hour to check too, CSV")
	fl.StringVar(&m.asOf, "as-of", "", "day to which the ages of prices are counted (default: today)")
	return cmd
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

// money are the flags of a price sheet.
type money struct{ sheet, hours, asOf string }

func (m *money) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&m.sheet, "prices", "", "price sheet, CSV (perwatt prices --example writes one)")
	cmd.Flags().StringVar(&m.hours, "hours", "", "power prices by the hour, CSV, with --prices")
	cmd.Flags().StringVar(&m.asOf, "as-of", "", "day to which the ages of prices are counted (default: today)")
}

// evaluate computes what the candidates earn, and returns the flags that
// reproduce it; nil without a price sheet.
func (m *money) evaluate(stdin io.Reader, c *compare.Comparison) (*economics.Result, []string, error) {
	if m.sheet == "" {
		if m.hours != "" || m.asOf != "" {
			return nil, nil, usagef("--hours and --as-of go with --prices")
		}
		return nil, nil, nil
	}
	p, on, err := m.load(stdin)
	if err != nil {
		return nil, nil, err
	}
	again := []string{"--prices", m.sheet, "--as-of", on.Format(time.DateOnly)}
	if m.hours != "" {
		again = append(again, "--hours", m.hours)
	}
	r := economics.Evaluate(economics.Candidates(c), *p, on)
	return &r, again, nil
}

// load reads the price sheet and, if named, the hourly series, and returns the
// day on which the prices are judged.
func (m *money) load(stdin io.Reader) (p *economics.Prices, on time.Time, err error) {
	on = time.Now().UTC().Truncate(24 * time.Hour)
	if m.asOf != "" {
		if on, err = time.Parse(time.DateOnly, m.asOf); err != nil {
			return nil, on, usagef("--as-of %q: write the day as 2006-01-02", m.asOf)
		}
	}
	err = reading(stdin, m.sheet, func(r io.Reader) (err error) {
		p, err = economics.Parse(r, on)
		return err
	})
	if err == nil && m.hours != "" {
		err = reading(stdin, m.hours, func(r io.Reader) (err error) {
			p.Hours, err = economics.ParseHours(r)
			return err
		})
	}
	if err != nil {
		return nil, on, exit{exitUsage, err}
	}
	return p, on, nil
}
