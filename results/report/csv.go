package report

import (
	"encoding/csv"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/perwatt/perwatt/results"
)

// writeCSV writes one value a row: quoting as in RFC 4180, lines end in LF.
// Values are in SI base units with full precision, absent ones empty. Text
// that a spreadsheet would take for a formula begins with an apostrophe.
func writeCSV(out io.Writer, rec *results.Record) error {
	w := csv.NewWriter(out)
	put := func(r results.Row, metric string, m results.Figure) {
		row := []string{
			rec.ID, rec.Node.Name, r.Scenario, r.Use, string(r.Role), r.Workload, r.Impl, strconv.Itoa(r.Threads), metric,
			"", "", "", string(m.Unit), "", string(m.Boundary), string(m.Origin), string(m.Grade), "", "", m.Why,
		}
		for i, s := range row {
			row[i] = inert(results.Line(s, textLimit))
		}
		row[9], row[10], row[11] = exact(m.Value), exact(m.Low), exact(m.High)
		row[13], row[17] = strconv.Itoa(m.N), exact(m.Instrument)
		if m.Budget != nil {
			row[18] = exact(m.Budget.Quadrature)
		}
		w.Write(row) // #nosec G104 -- the error is kept for Flush
	}
	w.Write(strings.Split("record,node,scenario,use,role,workload,impl,threads,metric,value,low,high,unit,n,boundary,origin,grade,instrument,uncertainty,why", ",")) // #nosec G104 -- the error is kept for Flush
	s := rec.Summary
	for _, r := range s.Rows {
		var names []string
		for name := range r.Metrics {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			put(r, name, r.Metrics[name])
		}
	}
	for _, y := range s.Yields {
		r := results.Row{Scenario: y.Scenario, Use: y.Use, Workload: y.Workload, Impl: y.Impl, Threads: y.Threads, Role: y.Role}
		put(r, "per_kwh", y.PerKWh)
		put(r, "net_per_kwh", y.Net)
	}
	if m := s.CoRunCost; m != nil {
		r := results.Row{Scenario: "mullet"}
		put(r, "marginal_training_kept", m.TrainingKept)
		put(r, "marginal_hashes_gained", m.HashesGained)
		put(r, "marginal_extra_power", m.ExtraPower)
		put(r, "marginal_extra_energy", m.ExtraEnergy)
		put(r, "marginal_energy_per_work", m.EnergyPer)
	}
	for _, x := range s.Exchange {
		put(results.Row{Scenario: x.Scenario, Use: "training"}, "hashes_per_sample", x.HashesPerSample)
	}
	w.Flush()
	return w.Error()
}

func exact(f results.Float) string {
	if f.IsAbsent() {
		return ""
	}
	return strings.TrimPrefix(strconv.FormatFloat(float64(f), 'g', -1, 64), "+")
}

// inert keeps a spreadsheet from evaluating text (OWASP, "CSV Injection").
func inert(s string) string {
	if s != "" && strings.ContainsRune("=+-@＝＋－＠", []rune(s)[0]) {
		return "'" + s
	}
	return s
}
