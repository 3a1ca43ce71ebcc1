package report

import (
	"maps"
	"slices"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/report/table"
)

// values is every figure of a record, one a row.
func values(rec *results.Record) table.Table {
	t := table.Table{Columns: table.Named(
		"record", "node", "scenario", "use", "device", "role", "workload", "impl", "threads", "metric", "value", "low", "high", "unit", "n", "boundary", "origin", "grade", "instrument", "uncertainty", "why", "products",
	)}
	products := "" // of the row at hand
	put := func(r results.RowKey, metric string, m results.Figure) {
		quadrature := results.Absent()
		if m.Budget != nil {
			quadrature = m.Budget.Quadrature
		}
		t.Row(text(rec.ID), text(rec.Node.Name), text(r.Scenario), text(r.Use), text(r.Device), text(r.Role), text(r.Workload), text(r.Impl), number(r.Threads), text(metric),
			number(m.Value), number(m.Low), number(m.High), text(m.Unit), number(m.N), text(m.Boundary), text(m.Origin), text(m.Grade), number(m.Instrument), number(quadrature), text(m.Why), text(products))
	}
	s := rec.Summary
	for _, r := range s.Rows {
		products = rec.Products(&r)
		for _, name := range slices.Sorted(maps.Keys(r.Metrics)) {
			put(r.RowKey, name, r.Metrics[name])
		}
	}
	products = ""
	for _, y := range s.Yields {
		put(y.RowKey, "per_kwh", y.PerKWh)
		put(y.RowKey, "net_per_kwh", y.Net)
	}
	coRun := func(r results.RowKey, m *results.CoRunCost) {
		put(r, "co_run_training_kept", m.TrainingKept)
		put(r, "co_run_hashes_gained", m.HashesGained)
		put(r, "co_run_extra_power", m.ExtraPower)
		put(r, "co_run_extra_energy", m.ExtraEnergy)
		put(r, "co_run_energy_per_work", m.EnergyPer)
	}
	if s.CoRunCost != nil {
		coRun(results.RowKey{Scenario: "mullet"}, s.CoRunCost)
	}
	for i := range s.CoRuns {
		c := &s.CoRuns[i]
		coRun(results.RowKey{Scenario: c.Scenario, Use: c.Front, Device: c.Device}, &c.CoRunCost)
	}
	for _, x := range s.Exchange {
		key := results.RowKey{Scenario: x.Scenario, Use: results.Training, Device: x.Device}
		if i := slices.IndexFunc(s.Rows, func(r results.Row) bool { return r.Scenario == x.Scenario && r.Trains() }); i >= 0 {
			key.Use = s.Rows[i].Use
		}
		put(key, "hashes_per_sample", x.HashesPerSample)
	}
	return t
}

func text[S ~string](s S) table.Cell { return table.Text{Text: string(s)} }

func number[N ~float64 | ~int](v N) table.Cell { return table.Number{Value: results.Float(v)} }
