package report

import (
	"fmt"
	"strings"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/report/table"
)

// said prints a self-reported value, in quotation marks since it was not measured
// here.
func said(s results.SelfReported, u results.Unit) string {
	if s.IsAbsent() {
		return table.Absent
	}
	return s.Print(func(f results.Float) string {
		if u == results.Kelvin {
			return "“" + table.Celsius(f) + "”"
		}
		return "“" + table.Quantity(f, u) + "”"
	})
}

// claimant is what one miner reported of itself in one run, and the candidate of
// that record.
type claimant struct {
	candidate string // empty in a report of one record
	results.ClaimRow
}

// claims lists what miners report of themselves beside what was measured. Claims
// are never ranked: rows are in the order of the records, and the cells are texts,
// so that no page can sort by them.
func claims(rows []claimant) table.Table {
	if len(rows) == 0 { // no note without a row
		return table.Table{}
	}
	t := table.Table{
		ID: "claimed", Title: "What devices say of themselves: claims, measured by nobody here and never ranked",
		Columns: []table.Column{
			{Head: "candidate", Kind: table.Name, Limit: 40}, {Head: "device", Under: "model", Kind: table.Name}, {Head: "run", Under: "mode", Kind: table.Name},
			{Head: "claimed rate", Under: "by its"}, {Head: "÷ measured"}, {Head: "its shares", Under: "÷ its claim"}, {Head: "claimed power", Under: "what it is"},
			{Head: "which makes"}, {Head: "temperature", Under: "claimed"},
		},
		Notes: []string{"Where a claim and a measurement differ, the measurement counts. A device whose own shares do not bear out its claim contradicts itself."},
	}
	if more := len(rows) - table.ListLimit; more > 0 {
		rows = rows[:table.ListLimit]
		t.Notes = append(t.Notes, fmt.Sprintf("%d more are in the record.", more))
	}
	for _, r := range rows {
		what := "not said what"
		if r.Origin != "" {
			what = strings.Trim(fmt.Sprintf("%s · %s", r.Boundary, r.Origin), " ·")
		}
		if r.Power.IsAbsent() {
			what = ""
		}
		from, _, _ := strings.Cut(r.RateFrom, ":")
		bounds := ""
		if !r.Low.IsAbsent() && !r.High.IsAbsent() {
			bounds = "[" + percentOf(r.Low) + ", " + percentOf(r.High) + "]"
		}
		var candidate table.Cell
		if r.candidate != "" {
			candidate = text(r.candidate)
		}
		t.Row(candidate, table.Text{Text: r.Device, Under: r.Model}, table.Text{Text: r.Run, Under: r.Mode},
			table.Text{Text: said(r.Rate, results.Hash.Per(results.Second)), Under: results.Line(from, table.NameLimit)}, text(percentOf(r.Ratio)), table.Text{Text: percentOf(r.Accepted), Under: bounds},
			table.Text{Text: said(r.Power, results.Watt), Under: results.Line(what, table.NameLimit)}, text(said(r.EnergyPerWork, results.Joule.Per(results.Hash))), text(said(r.Temperature, results.Kelvin)))
	}
	return t
}

func percentOf(f results.Float) string { return table.Quantity(f, results.Ratio) }

// claimsOf are the claims of one record.
func claimsOf(rec *results.Record) (out []claimant) {
	for _, r := range rec.Summary.Claims {
		out = append(out, claimant{ClaimRow: r})
	}
	return out
}
