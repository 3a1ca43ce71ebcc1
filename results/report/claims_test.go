package report

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/compare"
	"github.com/perwatt/perwatt/results/report/table"
	"github.com/perwatt/perwatt/results/resultstest"
)

// claim has a device that mines in a record's first run of mining say what it
// does: a rate that is 3 % too high, shares that bear out half of it, and a
// power that its supply measured.
func claim(rec *results.Record) {
	for i := range rec.Runs {
		r := &rec.Runs[i]
		p, _ := r.Phase(results.PhaseMeasure)
		work := r.Trace(results.UseKey(results.TraceWork, "mining", results.CPUDevice))
		if r.Scenario != "mining" || r.Round != 1 || work == nil {
			continue
		}
		says := func(t results.Float, share float64) results.SelfReportedSample {
			hashes := float64(work.At(float64(t))) * 1.03
			figure := func(of, name string, v float64, u results.Unit) results.SelfReportedField {
				return results.SelfReportedField{Of: of, Name: name, Value: results.SelfReport(v), Unit: u}
			}
			power := figure(results.ReportedPower, "Power", 231, results.Watt)
			power.Boundary, power.Origin = results.PSU, results.Measured
			return results.SelfReportedSample{T: t, Slack: 0.01, Mode: "eco", Figures: []results.SelfReportedField{
				figure(results.ReportedElapsed, "Elapsed", float64(t), results.Second), figure(results.ReportedWork, "Total MH", hashes, results.Hash),
				figure(results.ReportedAccepted, "Difficulty Accepted", hashes/2, results.Hash), figure(results.ReportedShares, "Accepted", 400*share, results.Ratio), power,
				figure(results.ReportedTemperature, "Chip Temp Max", 345.65, results.Kelvin),
			}, Refused: []string{"Fan: nan"}}
		}
		r.Claims = []results.Claim{{Device: "192.0.2.9:4028", Use: "mining", API: "cgminer", Source: "192.0.2.9:4028", Model: "Antminer S19 Pro", Firmware: "49.0.1.3", Samples: []results.SelfReportedSample{says(p.From, 1), says(p.To, 2)}, Notes: []string{"a note"}}}
	}
	rec.Summary = results.Derive(rec)
}

// TestClaimsStandBeside: in each form of a report and a comparison, in
// quotation marks, with the ratio to what was measured; and no figure, order or
// verdict is another for it.
func TestClaimsStandBeside(t *testing.T) {
	records := func(told bool) []*results.Record {
		north, south := resultstest.Session(resultstest.Server("north", 1), 0, 6, 1), resultstest.Session(resultstest.Server("south", 1.05), 0, 6, 2)
		if told {
			claim(south)
			claim(north)
		}
		return []*results.Record{north, south}
	}
	plain, told := records(false), records(true)
	var out bytes.Buffer
	require.NoError(t, Write(&out, Text, told[0], Options{Width: 200}))
	text := out.String()
	require.Contains(t, text, "claims, measured by nobody here and never ranked")
	rate := told[0].Summary.Claims[0].Rate
	for _, want := range []string{"192.0.2.9:4028", "Antminer S19 Pro", "mining/1", "eco", "“" + rate.Print(func(f results.Float) string { return table.Quantity(f, "hash/s") }) + "”", "103.0 %", "50.00 %", "“231.0 W”", "psu · measured", "J/TH”", "“72.5 °C”", "contradicts itself"} {
		require.Contains(t, text, want)
	}
	options := compare.Options{Seed: 1}
	a, err := compare.New(t.Context(), plain, nil, options)
	require.NoError(t, err)
	b, err := compare.New(t.Context(), told, nil, options)
	require.NoError(t, err)
	for _, f := range []Format{Text, Markdown} {
		out.Reset()
		require.NoError(t, WriteComparison(&out, f, Page{Comparison: b}, Options{Width: 200}))
		require.Contains(t, out.String(), "“231.0 W”", f)
	}
	for i := range b.Candidates {
		require.Len(t, b.Candidates[i].Claims, 1)
		b.Candidates[i].Claims, b.Candidates[i].Records = nil, a.Candidates[i].Records
	}
	var bare, with bytes.Buffer
	for _, f := range []Format{Text, CSV} {
		require.NoError(t, WriteComparison(&bare, f, Page{Comparison: a}, Options{}))
		require.NoError(t, WriteComparison(&with, f, Page{Comparison: b}, Options{}))
	}
	require.Equal(t, bare.String(), with.String())
	page := rendered(t, pageOf(t, told))
	section := string(page[bytes.Index(page, []byte(`id="claims"`)):])
	section = section[:strings.Index(section, "</section>")]
	require.Contains(t, section, "“231.0 W”")
	require.NotContains(t, section, "data-sort", "a page sorts by figures, and these are none")
}

// TestManyClaims: the list ends, and says so.
func TestManyClaims(t *testing.T) {
	p := claims(make([]claimant, 1000))
	require.Len(t, p.Rows, table.ListLimit)
	require.Contains(t, strings.Join(p.Notes, " "), "960 more are in the record")
	require.Zero(t, claims(nil))
}
