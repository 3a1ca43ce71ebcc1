package results

import (
	"context"
	"fmt"
	"math"
)

// The limit on the work that a record may cause: a number of steps for each value
// that it holds, and some for the figures of the smallest record. A step is about
// the work of reading one sample, a few nanoseconds; larger operations count as
// several. Records of real sessions take up to 22 steps a value, those with many
// readings the most.
const (
	stepsPerValue = 48
	leastSteps    = 4 << 20
	mostSteps     = 1 << 30 // of one of 256 MiB, which is mostly readings
	often         = 1 << 16 // steps between two looks at the context
)

// effort counts the steps of a computation on a record, and abandons it when they
// exceed the limit or when the context ends. It bounds every product of the
// record's counts, whichever they are. It counts steps and not time, so that a
// record is refused on every machine or on none.
type effort struct {
	spent, next, most int
	ended             func() error // of the context
	rec               *Record
}

// abandoned is what effort panics with, for [effort.caught] to return.
type abandoned struct{ err error }

// free is an effort without a limit, for a record that this program made.
func free(rec *Record) *effort { return &effort{next: math.MaxInt, most: math.MaxInt, rec: rec} }

// bounded is the effort that is allowed for a record from elsewhere.
func bounded(ctx context.Context, rec *Record) *effort {
	return &effort{most: min(leastSteps+stepsPerValue*rec.counts().values, mostSteps), ended: ctx.Err, rec: rec}
}

// spend counts n steps.
func (e *effort) spend(n int) {
	if e.spent += n; e.spent >= e.next {
		e.look()
	}
}

// named counts the steps of looking for a name.
func (e *effort) named(name string) { e.spend(16 + len(name)/4) }

// keyed counts the steps of looking for a trace.
func (e *effort) keyed(key TraceKey) {
	e.spend(16 + (len(key.Use)+len(key.Device)+len(key.Meter)+len(key.Channel))/4)
}

// copied counts the steps of writing names into the summary, so that its text is
// at most some multiple of the record's.
func (e *effort) copied(names ...string) {
	for _, name := range names {
		e.spend(128 + len(name))
	}
}

// counting counts the steps of the interval of a number of shares.
func (e *effort) counting(shares float64) {
	if shares > 0 {
		e.spend(int(160 * math.Sqrt(min(shares, mostSummed))))
	}
}

func (e *effort) look() {
	if err := e.ended(); err != nil {
		panic(abandoned{fmt.Errorf("results: derive the summary of record %s: %w", Line(e.rec.ID, mostQuoted), err)})
	}
	if e.spent > e.most {
		panic(abandoned{fmt.Errorf("results: derive the summary of record %s: its %s make more than %d steps of work, and a record of its size may make no more: no session is like this, do not use it", Line(e.rec.ID, mostQuoted), e.rec.counts(), e.most)})
	}
	e.next = min(e.spent+often, e.most+1)
}

// caught turns the panic of an abandoned effort into an error. It is deferred.
func caught(err *error) {
	switch p := recover().(type) {
	case nil:
	case abandoned:
		*err = p.err
	default:
		panic(p)
	}
}

// counts is how much of each a record holds. values is the sum of everything,
// weighted by size: by the number of values that would fit into its place in a
// file.
type counts struct{ scenarios, runs, uses, channels, traces, claims, values int }

func (n counts) String() string {
	return fmt.Sprintf("%d scenarios, %d runs, %d uses, %d channels of meters, %d traces and %d claims", n.scenarios, n.runs, n.uses, n.channels, n.traces, n.claims)
}

func (r *Record) counts() (n counts) {
	add := func(values int, texts ...string) {
		n.values += values
		for _, t := range texts {
			n.values += len(t) / 2
		}
	}
	for _, s := range r.Plan.Scenarios {
		add(2, s)
	}
	for i := range r.Kernels {
		add(8 + 24*len(r.Kernels[i].Impls))
	}
	for i := range r.Meters {
		m := &r.Meters[i]
		add(16, m.Name)
		for _, c := range m.Channels {
			add(32, c.Name, c.Place)
		}
		n.channels += len(m.Channels)
	}
	for _, s := range r.MeterProbes {
		add(8, s.Meter, s.Detail)
	}
	for i := range r.Runs {
		run := &r.Runs[i]
		add(64+12*len(run.Phases)+16*len(run.Checks), run.Scenario)
		for j := range run.Uses {
			u := &run.Uses[j]
			add(64+4*len(u.Params), u.Use, u.Device, u.Workload, u.Impl)
		}
		for j := range run.Traces {
			tr := &run.Traces[j]
			add(20+2*len(tr.T)+8*len(tr.Errors), tr.Key.Use, tr.Key.Device, tr.Key.Meter, tr.Key.Channel)
		}
		for j := range run.Claims {
			c := &run.Claims[j]
			add(16, c.Device, c.Use)
			for k := range c.Samples {
				add(10 + 16*len(c.Samples[k].Figures))
			}
		}
		n.uses, n.traces, n.claims = n.uses+len(run.Uses), n.traces+len(run.Traces), n.claims+len(run.Claims)
	}
	n.scenarios, n.runs = len(r.Plan.Scenarios), len(r.Runs)
	return n
}
