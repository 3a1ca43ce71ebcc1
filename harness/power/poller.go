package power

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"time"

	"github.com/perwatt/perwatt/harness/endpoint"
	"github.com/perwatt/perwatt/results"
)

// patience is the minimum time for which a value may stay the same.
const patience = time.Minute

// Quantity is one value from an instrument, in the channel's unit. If the
// instrument returned none, a value of another type, or its code for "unknown",
// Err is set: no number stands for "none". Err is [ErrNoNews] if the instrument
// sends only new values and has sent none.
type Quantity struct {
	Value float64
	// At is the arrival time, by our clock, of a value that was sent without a
	// request; zero means the middle of the request.
	At time.Time
	// Taken is when the instrument took the value, by its own clock; zero if
	// unknown.
	Taken time.Time
	Err   error
}

// Number returns the number at a path of a JSON value as a quantity, times unit
// (W or J). Its error is that of [endpoint.Number].
func Number(raw json.RawMessage, unit float64, path ...any) Quantity {
	v, err := endpoint.Number(raw, path...)
	if err != nil {
		return Quantity{Err: err}
	}
	return Quantity{Value: v * unit}
}

// Query reads all channels of an instrument once. The reading is dated at the
// middle of the call, so a query does nothing else: no login and no lookup that
// can be done beforehand.
type Query func(ctx context.Context) ([]Quantity, error)

// Bound limits the plausible values of a channel.
type Bound struct {
	// Watts is the largest plausible power: of a gauge its value, of a counter its
	// slope. 0 means [results.Boundary.Most]. The smallest is
	// [results.Channel.LeastWatts].
	Watts float64
	// Range is the value in J at which a counter wraps to 0; 0 if unknown, and
	// then every fall is a gap.
	Range float64
	// Stale is how long a value may stay exactly the same before the instrument,
	// or what reads it for us, is taken to have stopped. 0 means that the time is
	// learned from its updates: see [Poller].
	Stale time.Duration
	// Moves is set for a counter that advances at a constant pace whatever the
	// load: it has stopped if it does not change for ten times that pace.
	Moves bool
}

// Poller is a [Meter] for an instrument that is read over a network by a [Query].
// It is the only place where outside answers become readings:
//
//   - A reading is dated at the middle of the request, and half of the round
//     trip is its Slack. The instrument's own clock is recorded too.
//   - A gauge must be above 0 and plausible at its boundary. Zero, a negative
//     value and an implausible one are errors, never readings.
//   - A counter starts from 0, never falls, and rises no faster than is
//     plausible. A fall is a wrap if the range is known and the resulting power is
//     plausible; otherwise it is a reset, and a gap. After an error the next good
//     value is the new base, because the energy in between is unknown. 0 is not
//     accepted after a counter has counted, nor from one that stays there.
//   - A value with the same timestamp as the last one is a duplicate
//     ([ErrNoNews]). A counter that repeats its value is a reading. A value that
//     does not change for too long is stale, which is an error, and so is an
//     instrument that sends nothing new for as long. The limit is 10 periods and
//     at least a minute; for a counter also the time in which 10 W make one step,
//     and ten times the longest time it was seen to stand still. A gauge without
//     timestamps is judged only if its resolution is finer than 0.1 %, because a
//     coarse one may stand still for good reason.
//
// Both wall clocks may be set at any time, so only the monotonic clock is used.
type Poller struct {
	about   Info
	bounds  []Bound
	ask     Query
	shut    func() error
	timeout time.Duration
	now     func() time.Time
	state   []state
	done    bool
}

// state is the last reading of a channel.
type state struct {
	based   bool      // whether the counter's base holds
	base    float64   // last raw value of the counter
	sum     float64   // J since the first good reading
	rose    time.Time // when the base last changed
	seen    bool      // whether value, taken and moved hold
	value   float64
	taken   time.Time
	at      time.Time     // of the last reading
	moved   time.Time     // when value, or taken if there is one, last changed
	changes int           // of value
	pace    time.Duration // the longest time between two changes
	doubted bool          // whether doubt holds
	doubt   float64       // the counter's last rejected value
	heard   time.Time     // when a value last arrived, changed or not
}

// Info implements [Meter].
func (r *Poller) Info() Info { return r.about }

// Read implements [Meter].
func (r *Poller) Read(ctx context.Context) ([]Reading, error) {
	if r.done {
		return nil, fmt.Errorf("%s: read %s: %w", r.about.Name, r.about.Source, os.ErrClosed)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	limited, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	before := r.now()
	got, err := r.ask(limited)
	trip := max(0, r.now().Sub(before))
	at := before.Add(trip / 2)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil && (limited.Err() != nil || errors.Is(err, os.ErrDeadlineExceeded)): // a socket may tire first
		err = fmt.Errorf("no answer within %v: %w", r.timeout, err)
	case err == nil && len(got) != len(r.state):
		err = fmt.Errorf("it returned %d values, not %d", len(got), len(r.state))
	}
	if err != nil {
		for i := range r.state {
			r.state[i].based = false
		}
		return nil, fmt.Errorf("%s: read %s: %w", r.about.Name, r.about.Source, err)
	}
	out := make([]Reading, len(got))
	for i, q := range got {
		at, slack := at, trip/2
		if !q.At.IsZero() {
			at, slack = q.At, 0
		}
		v, err := r.state[i].take(q, at, r.about.Channels[i], r.bounds[i], r.about.Period)
		out[i] = Reading{At: at, Slack: slack, Clock: q.Taken, Value: v}
		if err != nil {
			out[i].Value = math.NaN()
			if out[i].Err = err; !errors.Is(err, ErrNoNews) {
				out[i].Err = fmt.Errorf("%s: %s: %w", r.about.Name, r.about.Channels[i].Name, err)
			}
		}
	}
	return out, nil
}

// Close implements [Meter].
func (r *Poller) Close() error {
	if r.done {
		return nil
	}
	r.done = true
	if r.shut == nil {
		return nil
	}
	return r.shut()
}

// take returns a reading, or why the value is not one.
func (s *state) take(q Quantity, at time.Time, c results.Channel, b Bound, period time.Duration) (float64, error) {
	b.Watts = cmp.Or(b.Watts, c.Boundary.Most())
	v, err := q.Value, q.Err
	counter := c.Kind == results.Counter
	switch {
	case errors.Is(err, ErrNoNews):
		err = s.silent(at, period)
	case err != nil:
	case math.IsNaN(v) || math.IsInf(v, 0):
		err = errors.New("not a number")
	case v < 0:
		err = fmt.Errorf("%g %s is below 0: some instruments report a negative value when they have none", v, c.Unit)
	case !counter && v == 0:
		err = errors.New("0 W is never an answer")
	case counter && v == 0 && !s.based && s.base > 0:
		err = errors.New("it fell to 0 after it had counted, which is a reset or a missing value: a gap")
	case counter && v == 0 && s.seen && s.value == 0 && at.Sub(s.moved) >= max(time.Second, period):
		err = errors.New("it has counted nothing: 0 J is no energy")
	case !counter && c.Boundary.Unbelievable(v, c.LeastWatts(), b.Watts) != "":
		err = errors.New(c.Boundary.Unbelievable(v, c.LeastWatts(), b.Watts))
	default:
		err = s.fresh(q, at, c, b, period)
	}
	if errors.Is(err, ErrNoNews) {
		return 0, err
	}
	if err == nil && counter {
		v, err = s.count(v, at, c, b)
	}
	if s.at = at; err != nil {
		s.based = false
	}
	return v, err
}

// silent distinguishes an instrument without new data from one that has stopped.
func (s *state) silent(at time.Time, period time.Duration) error {
	quiet := at.Sub(s.heard)
	switch {
	case !s.seen:
		return errors.New("it has sent nothing yet")
	case quiet > max(patience, 10*period):
		return fmt.Errorf("stale: it has sent nothing new for %v", quiet.Round(time.Second))
	}
	return ErrNoNews
}

// fresh distinguishes a new reading from a repetition of the last one.
func (s *state) fresh(q Quantity, at time.Time, c results.Channel, b Bound, period time.Duration) error {
	stamped := !q.Taken.IsZero()
	same := s.seen && q.Value == s.value && (!stamped || q.Taken.Equal(s.taken))
	if !same {
		if s.changes > 0 {
			s.pace = max(s.pace, at.Sub(s.moved))
		}
		if s.moved = at; s.seen {
			s.changes++
		}
	}
	s.seen, s.value, s.taken, s.heard = true, q.Value, q.Taken, at
	switch stood := at.Sub(s.moved); {
	case same && stood > s.limit(c, b, period, stamped):
		return fmt.Errorf("stale: it has reported %g %s for %v", q.Value, c.Unit, stood.Round(time.Second))
	case same && stamped:
		return ErrNoNews
	}
	return nil
}

// limit is how long the last value may stay the same. Without a stated resolution
// an instrument is assumed to be as fine as its value shows.
func (s *state) limit(c results.Channel, b Bound, period time.Duration, stamped bool) time.Duration {
	step := float64(c.Accuracy.Resolution)
	switch {
	case b.Stale > 0:
		return b.Stale
	case b.Moves && s.pace > 0:
		return max(10*s.pace, 10*period, time.Second)
	case c.Kind == results.Counter:
		if !(step > 0) {
			step = 0
		}
		return max(patience, 10*period, 10*s.pace, time.Duration(step/10*float64(time.Second)))
	case stamped:
		return max(patience, 10*period)
	}
	if !(step > 0) {
		step = results.Grain(1e-6, s.value, 1) // steps of binary and decimal registers divide a watt, or a watt divides them
	}
	if step > s.value/1000 {
		return math.MaxInt64
	}
	return max(patience, 10*period)
}

// count adds what the counter counted since its last good value.
func (s *state) count(v float64, at time.Time, c results.Channel, b Bound) (float64, error) {
	if !s.based {
		if s.doubted && v == s.doubt {
			return 0, fmt.Errorf("it still reports %g J, which cannot be true", v)
		}
		s.doubted = false
		s.based, s.base, s.rose = true, v, at
		return s.sum, nil
	}
	d := v - s.base
	s.doubted, s.doubt = true, v // until it is accepted or changes
	if d < 0 {
		if d += b.Range; b.Range == 0 || s.base > b.Range {
			return 0, fmt.Errorf("it fell from %g to %g J: a reset, a gap", s.base, v)
		}
	}
	step := float64(c.Accuracy.Resolution)
	if !(step > 0) {
		step = 0
	}
	// Some counters are updated once a minute, so the increase belongs to the time
	// since the last increase. One second of tolerance: both timestamps are only as
	// good as their schedulers.
	most := b.Watts*(at.Sub(s.rose).Seconds()+1) + 2*step
	switch {
	case d > most:
		return 0, fmt.Errorf("it went from %g to %g J in %v, more than %g W allow: a gap", s.base, v, at.Sub(s.rose).Round(time.Millisecond), b.Watts)
	case b.Range > 0 && d+b.Range <= b.Watts*at.Sub(s.at).Seconds():
		return 0, fmt.Errorf("it was not read for %v and may have wrapped unseen: a gap", at.Sub(s.at).Round(time.Second))
	}
	if d > 0 {
		s.rose = at
	}
	s.sum += d
	s.base, s.doubted = v, false
	return s.sum, nil
}
