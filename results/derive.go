package results

import "context"

// The rules that Derive applies, each with its source.
const (
	maxStolen     = 0.01 // share of CPU time taken by the hypervisor in a window
	maxClockShift = 0.02 // of a run's clock from the session's median
	maxOtherLoad  = 0.05 // share of CPU time used by processes that are not ours
	maxIdleDrift  = 0.03 // between the first and the last idle run (Green500, EE HPC WG methodology: idle before and after)
	steadyRange   = 0.02 // five consecutive windows: (max − min) ÷ mean
	steadySlope   = 0.01 // and change along the fitted line ÷ mean
	maxClockStep  = 0.5  // s, of UTC against the monotonic clock from one sample to the next, or between two runs
	confidence    = 0.95
	fewReadings   = 5 // in a window: with fewer, much of what the load does between them is missed

	// The fewest windows that give an interval. The order statistics of a median
	// need six; with fewer, the interval of a quotient of sums would cover the
	// true value too seldom.
	minimumWindows = 6
	kWh            = 3.6e6 // J
)

// Derive computes the summary of a record from its traces and claims alone. It
// is a pure function: the same runs give the same summary. It is for records
// that this program has just made; for others use [DeriveWithin].
func Derive(rec *Record) Summary { return derive(free(rec)) }

// DeriveWithin is Derive for a record from elsewhere. It stops when ctx ends, or
// when the record takes more steps than its size allows: the error then says how
// much of each the record holds. The limit is a number of steps, so that it is
// the same on every machine.
func DeriveWithin(ctx context.Context, rec *Record) (s Summary, err error) {
	defer caught(&err)
	return derive(bounded(ctx, rec)), nil
}

// OnDerive is called with every record that a summary is derived from. It is for
// tests that count, and nil otherwise: to derive takes longer than all else that a
// command does with a record, so that no command does it twice.
var OnDerive func(*Record)

func derive(e *effort) Summary {
	if OnDerive != nil {
		OnDerive(e.rec)
	}
	d := indexed(e)
	d.measure()
	d.control, d.speeds = d.controls(), speedsOf(d.rec)
	rows := d.rows()
	s := Summary{Rows: make([]Row, 0, len(rows)), Yields: make([]Yield, 0, len(rows)), windows: d.windows}
	for _, ws := range rows {
		key := ws[0].row()
		d.copied(key.Use, key.Device, key.Workload, key.Impl, key.Use, key.Device, key.Workload, key.Impl, key.Scenario, key.Scenario)
		d.spend(512 * len(ws)) // of all the metrics
		metrics, net := d.metrics(ws)
		d.scaling(metrics, ws, rows)
		if ws[0].sum != "" {
			d.ofOne(metrics, ws)
		}
		s.Rows = append(s.Rows, Row{RowKey: key, Metrics: metrics, Cards: d.cards(ws), PartOf: ws[0].sum, windows: ws})
		if key.Use != "idle" && ws[0].sum == "" {
			unit := ws[0].Use.Unit
			s.Yields = append(s.Yields, Yield{RowKey: key, PerKWh: metrics[WorkPerEnergy].times(kWh, unit), Net: net.times(kWh, unit)})
		}
	}
	s.CoRunCost, s.CoRuns = d.coRuns(rows)
	s.Exchange = d.exchange(rows)
	if d.metered {
		s.PrimaryMeter = &d.head.PrimaryMeter
	}
	s.Meters, s.Coverage = d.meterRows(), d.coverages()
	s.Claims = d.claims()
	d.flagAll(s, rows)
	s.Flags = d.flagged
	s.Validity = d.judge(s)
	for i := range d.runs { // whose windows are kept with the summary
		r := &d.runs[i]
		r.traces, r.groups, r.lost = nil, nil, nil
	}
	return s
}
