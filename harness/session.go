// Package harness carries out measuring sessions: it starts each use in its own worker
// process, takes every run through its phases, samples work counters, meters and the
// host on one monotonic clock, and produces a record. It knows workloads and meters by
// their interfaces only, and derives no figures from the samples.
package harness

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"time"

	"github.com/perwatt/perwatt/bench"
	"github.com/perwatt/perwatt/harness/power"
	"github.com/perwatt/perwatt/kernels/device"
	"github.com/perwatt/perwatt/results"
)

// Session is one measuring session on this node.
type Session struct {
	// Record holds the facts known before the first run: tool, node, plan, kernels and
	// meter probes. Run adds the rest.
	Record    *results.Record
	Scenarios []Scenario
	Meters    []power.Meter
	Devices   []device.Config // measured devices; every part's device is among them
	Roots     Roots
	// Neighbours detects other runs on this node; nil for no detection.
	Neighbours *Neighbours
	// Config returns the configuration of a part; its device is the part's and
	// its seed is set by the session.
	Config func(Part) bench.Config
	// Worker returns a command that calls [Worker].
	Worker func() *exec.Cmd
	// Save saves the record; it is called after every run.
	Save func(*results.Record) error
	// Progress is called with the state of the session; it must return at once.
	Progress func(Progress)

	// Meters' counters that are read more often than they move, by trace, with the
	// longest time between two moves; 0 if a counter never moved twice.
	paces     map[results.TraceKey]time.Duration
	heart     *Heartbeat
	cards     map[string]cardDevice // by the card, as in [results.Channel]
	forecast  *forecast             // of all sessions
	following int                   // sessions after this one
	seeds     uint32                // that earlier runs had: two each, or more where there are more parts
	right     map[string]bool       // work of which an earlier run gave right answers, by [Part.work]
}

// Progress is the state of a session.
type Progress struct {
	Run, Runs int // 0-based, planned
	Round     int // 1-based
	Scenario  string
	Phase     string
	Ended     *results.Run  // the run that has just ended, or nil
	Left      time.Duration // estimated, of all sessions
	Later     time.Duration // estimated, of what follows this run: the part of Left that does not pass during it
}

// ErrSave is wrapped by the error of a session that ended because its record could not
// be saved.
var ErrSave = errors.New("the record could not be saved")

// Run measures every scenario in every round, in alternating order, and
// leaves everything in s.Record. A run that fails is recorded and the session
// goes on; the session itself ends early only if ctx does (the record is then
// marked interrupted, and Run returns nil) or if the record cannot be saved.
func (s *Session) Run(ctx context.Context) error {
	rec := s.Record
	t0 := time.Now()
	rec.Start, rec.State = t0.UTC().Round(time.Microsecond), results.Running
	clock := clock{t0: t0, origin: bench.Monotonic() - int64(time.Since(t0))}
	rec.Meters = Describe(s.Meters)
	s.right = map[string]bool{}
	s.findCards(ctx)
	host, err := openHost(s.Roots.orHere())
	if err != nil {
		return err
	}
	defer host.times.close()
	if s.heart, err = StartHeartbeat(s.Roots); err != nil {
		return err
	}
	defer s.heart.Stop()

	var order []Scenario
	for round := range rec.Plan.Rounds {
		forward := slices.Clone(s.Scenarios)
		if round%2 == 1 {
			slices.Reverse(forward)
		}
		order = append(order, forward...)
	}
	if s.forecast == nil {
		s.forecast = new(forecast)
	}
	for i, sc := range order {
		at := Progress{Run: i, Runs: len(order), Round: i/len(s.Scenarios) + 1, Scenario: sc.Name}
		this := s.forecast.of(&rec.Plan, sc)
		at.Later = s.forecast.of(&rec.Plan, order[i+1:]...) + time.Duration(s.following)*s.forecast.of(&rec.Plan, order...)
		began := time.Now()
		r := run{
			s: s, host: host, clock: clock, scenario: sc,
			rec: results.Run{
				Scenario: sc.Name, Round: at.Round, Uses: []results.Use{}, Checks: []results.Check{},
				Anchor: results.Anchor{T: clock.now(), UTC: time.Now().UTC().Round(time.Microsecond), ClockError: ClockError()},
			},
			phase: func(name string) {
				p := at
				p.Phase = name
				p.Left = p.Later + max(0, this-time.Since(began))
				s.Progress(p)
			},
		}
		r.do(ctx)
		s.seeds += uint32(max(2, len(sc.Parts))) // #nosec G115 -- as many as there are cards
		if others := s.Neighbours.Since(began); len(others) > 0 {
			w := NeighbourWarning(others)
			w.Run = fmt.Sprintf("%s/%d", sc.Name, at.Round)
			s.warn(w)
		}
		if r.rec.Status == results.OK {
			s.forecast.learn(&rec.Plan, sc, time.Since(began))
		}
		rec.Runs = append(rec.Runs, r.rec)
		if i == len(order)-1 {
			rec.State = results.Complete
		}
		stopped := ctx.Err() != nil // read once, so that the saved state and the next step agree
		if stopped {
			rec.State = results.Interrupted
		}
		rec.End = time.Now().UTC().Round(time.Microsecond)
		rec.Summary = results.Derive(rec)
		if err := s.Save(rec); err != nil {
			return fmt.Errorf("%w after %d of %d runs: %w", ErrSave, i+1, len(order), err)
		}
		at.Ended, at.Left = &r.rec, at.Later
		s.Progress(at)
		if stopped {
			break
		}
	}
	return nil
}

// learn notes which counters stand still between readings, and for how long.
func (s *Session) learn(traces []results.Trace) {
	if s.paces == nil {
		s.paces = map[results.TraceKey]time.Duration{}
	}
	for i := range traces {
		if tr := &traces[i]; tr.Kind == results.Counter && tr.Key.Kind == results.TraceMeter {
			if pace, stands := paceOf(tr); stands {
				s.paces[tr.Key] = max(s.paces[tr.Key], pace)
			}
		}
	}
}

// paceOf returns the longest time between two moves of a counter, and whether it stood
// still between readings.
func paceOf(tr *results.Trace) (pace time.Duration, stands bool) {
	last := results.Absent()
	for k := 1; k < len(tr.T); k++ {
		switch {
		case tr.V[k] > tr.V[k-1]:
			if wait := tr.T[k] - last; !wait.IsAbsent() {
				pace = max(pace, wait.Duration())
			}
			last = tr.T[k]
		case tr.V[k] == tr.V[k-1]:
			stands = true
		default:
			last = results.Absent()
		}
	}
	return pace, stands
}

// on returns the configuration of a part's device. One worker of several cards runs on
// the CPUs near any of them, or on all if they are not known of one.
func (s *Session) on(p Part) device.Config {
	of := func(id string) device.Config {
		return s.Devices[slices.IndexFunc(s.Devices, func(d device.Config) bool { return d.ID == id })]
	}
	if p.Members == nil {
		return of(p.Device.ID)
	}
	out := device.Config{Info: p.Device, Members: p.Members}
	for _, member := range p.Members {
		near := of(member.ID).CPUs
		if len(near) == 0 {
			out.CPUs = nil
			break
		}
		out.CPUs = append(out.CPUs, near...)
	}
	slices.Sort(out.CPUs)
	out.CPUs = slices.Compact(out.CPUs)
	return out
}

// alone reports whether the session also runs the work of a part alone.
func (s *Session) alone(p Part) bool {
	return slices.ContainsFunc(s.Scenarios, func(sc Scenario) bool {
		return slices.ContainsFunc(sc.Parts, func(q Part) bool { return q.Role == results.Alone && q.work() == p.work() })
	})
}

// warn adds a warning to the record, unless the record has it.
func (s *Session) warn(w results.Warning) {
	if !slices.Contains(s.Record.Warnings, w) {
		s.Record.Warnings = append(s.Record.Warnings, w)
	}
}

// Describe returns the description of meters for a record.
func Describe(meters []power.Meter) []results.Meter {
	out := []results.Meter{}
	for _, m := range meters {
		info := m.Info()
		period := results.Absent()
		if info.Period > 0 {
			period = results.Float(info.Period.Seconds())
		}
		out = append(out, results.Meter{Name: info.Name, Source: info.Source, Period: period, Channels: info.Channels, Notes: info.Notes})
	}
	return out
}

// clock is the monotonic clock of a record: seconds since its start.
type clock struct {
	t0     time.Time
	origin int64 // ns of bench.Monotonic at t0
}

func (c clock) now() results.Float                 { return c.of(time.Now()) }
func (c clock) of(t time.Time) results.Float       { return micro(t.Sub(c.t0).Seconds()) }
func (c clock) ofMonotonic(ns int64) results.Float { return micro(float64(ns-c.origin) / 1e9) }

// micro rounds seconds to microseconds, which is finer than any source here.
func micro(s float64) results.Float {
	return results.Float(float64(int64(s*1e6+0.5)) / 1e6)
}
