package report

import (
	"fmt"
	"strings"

	"github.com/perwatt/perwatt/results"
)

// said prints what a device said, in quotation marks: nobody here measured it.
func said(s results.SelfReported, u results.Unit) string {
	if s.IsAbsent() {
		return absent
	}
	return s.Print(func(f results.Float) string {
		if u == results.Kelvin {
			return fmt.Sprintf("“%.1f °C”", float64(f)-273.15)
		}
		return "“" + Quantity(f, u) + "”"
	})
}

// claimant is what one device said in one run, and whose record that is in.
type claimant struct {
	candidate string // empty in a report of one record
	results.ClaimRow
}

// claims lists what devices said of themselves beside what was measured, in
// the order of the records: there is no other for a claim. Its cells have no
// number that a page could sort by.
func claims(rows []claimant) *part {
	if len(rows) == 0 {
		return nil
	}
	s := &tableBuilder{part: part{title: "What devices say of themselves: claims, measured by nobody here and never ranked"}}
	if more := len(rows) - listLimit; more > 0 {
		rows = rows[:listLimit]
		s.note(fmt.Sprintf("%d more are in the record.", more))
	}
	heads := []cell{{value: "candidate"}, {value: "device", under: "model"}, {value: "run", under: "mode"}, {value: "claimed rate", under: "by its"}, {value: "÷ measured"},
		{value: "its shares", under: "÷ its claim"}, {value: "claimed power", under: "what it is"}, {value: "which makes"}, {value: "temperature", under: "claimed"}}
	columns := make([][]cell, len(heads))
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
		for i, c := range []cell{
			{value: results.Line(r.candidate, 40)},
			{value: results.Line(r.Device, nameLimit), under: results.Line(r.Model, nameLimit)},
			{value: results.Line(r.Run, nameLimit), under: results.Line(r.Mode, nameLimit)},
			{value: said(r.Rate, results.Hash.Per(results.Second)), under: results.Line(from, nameLimit)},
			{value: percentOf(r.Ratio)},
			{value: percentOf(r.Accepted), under: bounds},
			{value: said(r.Power, results.Watt), under: results.Line(what, nameLimit)},
			{value: said(r.EnergyPerWork, results.Joule.Per(results.Hash))},
			{value: said(r.Temperature, results.Kelvin)},
		} {
			columns[i] = append(columns[i], c)
		}
	}
	for i, cells := range columns {
		k := figure
		if i < 3 {
			k = name
		}
		if i > 0 || rows[0].candidate != "" {
			s.text(k, heads[i].value, heads[i].under, cells)
		}
	}
	return s.done("Where a claim and a measurement differ, the measurement counts. A device whose own shares do not bear out its claim contradicts itself.")
}

func percentOf(f results.Float) string {
	if f.IsAbsent() {
		return absent
	}
	return Quantity(f, results.Ratio)
}

// claimsOf are the claims of one record.
func claimsOf(rec *results.Record) (out []claimant) {
	for _, r := range rec.Summary.Claims {
		out = append(out, claimant{ClaimRow: r})
	}
	return out
}
