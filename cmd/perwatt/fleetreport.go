package main

import (
	"bytes"
	"fmt"
	"math"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/perwatt/perwatt/harness/fleet"
	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/compare"
	"github.com/perwatt/perwatt/results/report"
	"github.com/perwatt/perwatt/results/site"
	"github.com/perwatt/perwatt/results/store"
)

// fleetReport is what perwatt fleet report was asked.
type fleetReport struct {
	dir     storeFlag
	margin  float64
	budgets []string
	out     string
	format  formatFlag
	money
}

func fleetReportCommand() *cobra.Command {
	var f fleetReport
	cmd := &cobra.Command{
		Use:   "report [NAME]",
		Short: "Say which nodes of a fleet compute wrongly, are outliers or are missing, and what the site delivers",
		Long: `Read the records of a fleet and say which nodes compute wrongly, which are outliers among
equal nodes, which have no figure and why, how each figure is spread, which racks are off
as a whole, and what the site delivers and draws. With a price sheet it adds which use
leaves most on each kind of machine.

A node is an outlier if a figure of it lies further from those of equal nodes than chance
explains, and further than --margin. At most 1 in 10,000 healthy nodes is called one, if
figures of healthy nodes are spread normally. Where their spread is seen to have longer
tails, the report says so, and a node that they explain is one of which it cannot be told.
Few nodes do not show their tails: the report says of each figure how many of 1,000 healthy
nodes are called outliers at most, with the longest tails that they do not exclude. Nodes
that differ in firmware, kernel or settings and gather at levels of their own are judged
within their level.

--budget gives the power that every rack may draw, and NAME=POWER that of one. It is
compared with the rack's own meter, if one was joined (fleet collect --power) and all its
nodes measured at the same time, as --together starts them; else with the sum of the nodes.
Watts that were not measured are not judged; a sum that leaves out nodes, or parts of them,
can exceed a budget but not be within it.

-o FILE.html writes a page instead. Exit codes: 0 all good, 1 wrong answers, outliers, a
rack that is slower as a whole or over its budget, or levels without a reason; 3 nodes
without a figure. 1 wins.`,
		Example: `  perwatt fleet report
  perwatt fleet report --budget 12kW --budget r07=15kW --prices prices.csv
  perwatt fleet report acceptance --format csv > nodes.csv`,
		Args: args(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, argv []string) error { return f.run(cmd, named(argv)) },
	}
	f.dir.flag(cmd)
	fl := cmd.Flags()
	fl.Float64Var(&f.margin, "margin", compare.DefaultMargin, "relative deviation below which no node is an outlier; choose it before you measure")
	fl.StringArrayVar(&f.budgets, "budget", nil, "power of every rack, or RACK=POWER, such as 12kW; may be repeated")
	f.money.flags(cmd)
	f.format.flag(cmd, "what is printed:", report.Text, report.JSON, report.Markdown, report.CSV)
	fl.StringVarP(&f.out, "output", "o", "", "page to write: .html")
	return cmd
}

func (f *fleetReport) run(cmd *cobra.Command, name string) error {
	opt, again, err := f.options(cmd)
	if err != nil {
		return err
	}
	dir, err := measurement(f.dir, name)
	if err != nil {
		return err
	}
	roster, outcomes, err := fleet.Read(dir)
	if err != nil {
		return exit{exitData, err}
	}
	if opt.Racks, err = site.ReadRackPower(dir, roster); err != nil {
		return exit{exitData, err}
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	var a *site.Analysis
	err = storeFlag(filepath.Dir(filepath.Dir(abs))).indexed(cmd, "", func(x *store.Index) (err error) {
		a, err = site.Read(cmd.Context(), x, roster, outcomes, opt)
		return err
	})
	if err != nil {
		return err
	}
	again = append([]string{"perwatt", "fleet", "report", dir}, again...)
	page := report.FleetPage{Analysis: a, Command: results.Command(again...), Tool: toolName()}
	switch {
	case f.out != "":
		page.Command = results.Command(append(again, "-o", f.out)...)
		var body bytes.Buffer
		if err = report.WriteFleetHTML(&body, page); err == nil {
			err = replaceFile(f.out, bytes.NewReader(results.PrintableText(body.Bytes())))
		}
		if err == nil {
			say(cmd.OutOrStdout(), "%s", f.out)
		}
	case f.format.Format == report.JSON:
		err = report.WriteJSON(cmd.OutOrStdout(), "", a)
	default:
		err = report.WriteFleet(cmd.OutOrStdout(), f.format.Format, page, options(cmd.OutOrStdout(), ""))
	}
	if err != nil {
		return err
	}
	return fleetVerdict(a)
}

// fleetVerdict is the exit code that an analysis asks for, with the reason.
func fleetVerdict(a *site.Analysis) error {
	missing := a.Counts[site.Missing]
	switch {
	case a.Faults():
		return exit{exitGate, fmt.Errorf("%s with wrong answers, %s; %d without a figure", results.Plural(a.Counts[site.Wrong], "node"), results.Plural(a.Counts[site.Outlier], "outlier"), missing)}
	case missing > 0:
		return exit{exitData, fmt.Errorf("nodes without a figure: %d of %d: perwatt fleet resume measures what is missing", missing, len(a.Nodes))}
	}
	return nil
}

// options are those of the analysis, and the flags that reproduce them.
func (f *fleetReport) options(cmd *cobra.Command) (opt site.Options, again []string, err error) {
	if !(f.margin > 0 && f.margin < 1) {
		return opt, nil, usagef("--margin %v: must lie between 0 and 1, such as 0.02", f.margin)
	}
	if f.out != "" && strings.ToLower(filepath.Ext(f.out)) != ".html" {
		return opt, nil, usagef("-o %q: must end in .html; --format prints the other forms", f.out)
	}
	opt.Margin = f.margin
	again = []string{"--margin", fmt.Sprint(f.margin)}
	for _, b := range f.budgets {
		rack, power := "", b
		if i := strings.LastIndexByte(b, '='); i >= 0 {
			if rack, power = b[:i], b[i+1:]; rack == "" {
				return opt, nil, usagef("--budget %.80q: name the rack before the =, or give the power alone", b)
			}
		}
		w, err := parseWatts(power)
		if err != nil {
			return opt, nil, usagef("--budget %.80q: %w", b, err)
		}
		if opt.Budgets == nil {
			opt.Budgets = map[string]float64{}
		}
		opt.Budgets[rack] = w
		again = append(again, "--budget", b)
	}
	if f.sheet == "" {
		if f.hours != "" || f.asOf != "" {
			return opt, nil, usagef("--hours and --as-of go with --prices")
		}
		return opt, again, nil
	}
	if opt.Prices, opt.AsOf, err = f.money.load(cmd.InOrStdin()); err != nil {
		return opt, nil, err
	}
	again = append(again, "--prices", f.sheet, "--as-of", opt.AsOf.Format(time.DateOnly))
	if f.hours != "" {
		again = append(again, "--hours", f.hours)
	}
	return opt, again, nil
}

// mostBudget bounds the power of a rack, in W.
const mostBudget = 1e9

// parseWatts parses a power with its unit, such as 12kW, in W.
func parseWatts(text string) (float64, error) {
	for _, u := range []struct {
		name string
		in   float64
	}{{"kW", 1e3}, {"MW", 1e6}, {"W", 1}} {
		if number, ok := strings.CutSuffix(text, u.name); ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
			if err != nil || math.IsNaN(v) || v*u.in <= 0 || v*u.in > mostBudget {
				break
			}
			return v * u.in, nil
		}
	}
	return 0, fmt.Errorf("write a power with its unit, such as 12kW or 900W")
}
