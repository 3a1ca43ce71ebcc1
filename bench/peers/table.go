package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// print writes the results as columns, or as a table of Markdown, and then what was
// not measured.
func print(w io.Writer, heading string, results []result, markdown bool) {
	fmt.Fprintf(w, "%s.\n\n", heading)
	columns := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for i, cells := range table(results) {
		switch {
		case !markdown:
			fmt.Fprintln(columns, strings.Join(cells, "\t"))
		case i == 0:
			fmt.Fprintf(w, "| %s |\n%s|\n", strings.Join(cells, " | "), strings.Repeat("|---", len(cells)))
		default:
			fmt.Fprintf(w, "| %s |\n", strings.Join(cells, " | "))
		}
	}
	columns.Flush()
	fmt.Fprintln(w)
	for _, r := range results {
		if r.err != nil {
			fmt.Fprintf(w, "- not measured: %s, %s: %s\n", r.name, r.peer.name, printable(r.err.Error()))
		}
	}
}

// table returns the heading and a line for each result with figures.
func table(results []result) [][]string {
	cells := [][]string{{"test", "ours", "per CPU-second", "peer", "its kernel", "per CPU-second", "ours ÷ peer", "least to most", "least of the shapes"}}
	for _, r := range results {
		if r.err != nil {
			continue
		}
		least := ""
		if len(r.tasks) > 1 {
			least = fmt.Sprintf("%.2f %s", r.leastRatio, r.leastTask)
		}
		cells = append(cells, []string{
			r.name, r.impl, scaled(r.ourRate, r.unit), r.version, r.kernel, scaled(r.peerRate, r.unit),
			fmt.Sprintf("%.2f", median(r.ratios)), fmt.Sprintf("%.2f to %.2f", r.ratios[0], r.ratios[len(r.ratios)-1]), least,
		})
	}
	return cells
}

// scaled returns a rate with three digits.
func scaled(rate float64, unit string) string {
	for _, prefix := range []string{"", "k", "M", "G"} {
		if rate < 1000 {
			return fmt.Sprintf("%.3g %s%s", rate, prefix, unit)
		}
		rate /= 1000
	}
	return fmt.Sprintf("%.3g T%s", rate, unit)
}
