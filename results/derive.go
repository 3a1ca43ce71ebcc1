package results

import (
	"context"
)

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
	fewReadings   = 5 // in a window: fewer say little of what the load did between them

	// The fewest windows that have an interval: of a median by order statistics,
	// and of a quotient of sums because fewer hold the truth too seldom.
	minimumWindows = 6
	kWh            = 3.6e6 // J
)

// Derive computes the summary of a record from its traces and claims alone. It
// is a pure function: the same runs give the same summary. It is for a record
// of this program's own making; for one from outside see [DeriveWithin].
func Derive(rec *Record) Summary { return derive(free(rec)) }

// DeriveWithin is Derive for a record from outside. It ends when ctx does, and
// gives up where the record makes more work than one of its size can be worth:
// then the error says of what it holds too much, on every machine the same.
func DeriveWithin(ctx context.Context, rec *Record) (s Summary, err error) {
	defer caught(&err)
	return derive(bounded(ctx, rec)), nil
}

func derive(e *effort) Summary {
	d := deriver{indexedRecord: indexed(e)}
	d.windows = d.indexedRecord.windows()
	d.control = d.controls()
	d.speeds = speedsOf(d.rec)
	s := Summary{Rows: []Row{}, Yields: []Yield{}, windows: d.windows}
	rows := d.rows(d.windows)
	for _, ws := range rows {
		u := ws[0].Use
		d.copied(u.Use, u.Device, u.Workload, u.Impl, u.Use, u.Device, u.Workload, u.Impl, ws[0].Scenario, ws[0].Scenario)
		d.spend(512 * len(ws)) // of all the metrics
		s.Rows = append(s.Rows, Row{
			Scenario: ws[0].Scenario, Use: u.Use, Device: u.Device, Workload: u.Workload, Impl: u.Impl, Threads: u.Threads, Role: u.Role,
			Metrics: d.metrics(ws), windows: ws,
		})
		if u.Use != "idle" {
			s.Yields = append(s.Yields, d.yield(ws))
		}
	}
	s.CoRunCost = d.coRunCost(rows)
	s.Exchange = d.exchange(rows)
	if d.metered {
		s.PrimaryMeter = &d.head.PrimaryMeter
	}
	s.Meters, s.Coverage = d.meterRows(), d.coverages()
	s.Claims = d.claims()
	s.Flags = append(d.flags(s), claimFlags(s.Claims)...)
	for i, ws := range rows {
		if ws[0].Use.Shares != nil {
			shareFlags(s.Rows[i], ws, func(code, text, remedy string) {
				s.Flags = append(s.Flags, Warning{Code: code, Text: text, Remedy: remedy})
			})
		}
	}
	s.Validity = d.judge(s)
	return s
}

type deriver struct {
	*indexedRecord
	windows []Window
	control map[string]map[int]*Window // by device and round
	speeds  map[string]speed           // by device
}
