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

// patience is how long an instrument may stand still at least.
const patience = time.Minute

// Quantity is one value as an instrument gave it, in the channel's unit. An
// instrument that gave none, or one of another type, or the value by which it
// says that it knows nothing, sets Err: there is no number that means "none".
// Err is [ErrNoNews] of one that only speaks when it has something new, and
// has not.
type Quantity struct {
	Value float64
	// At is when the value came in, by our clock, of an instrument that speaks
	// unasked; zero is the middle of the request.
	At time.Time
	// Taken is when the instrument says that it took the value, by its own
	// clock; zero if it does not say.
	Taken time.Time
	Err   error
}

// Number makes the number at a path of a JSON value a quantity: times unit is
// W or J. What [endpoint.Number] refuses is its error.
func Number(raw json.RawMessage, unit float64, path ...any) Quantity {
	v, err := endpoint.Number(raw, path...)
	if err != nil {
		return Quantity{Err: err}
	}
	return Quantity{Value: v * unit}
}

// Query asks an instrument once for all its channels. The time at which its
// answer holds is taken to be the middle of the call, so it does nothing but
// ask: no login, no lookup that can be done before.
type Query func(ctx context.Context) ([]Quantity, error)

// Bound is what can be true of a channel.
type Bound struct {
	// Watts that are not believed: of a gauge its value, of a counter its
	// slope. 0 is [results.Boundary.Most]. What is too little to be believed the channel
	// says itself: [results.Channel.LeastWatts].
	Watts float64
	// Range is the value in J at which a counter starts again from 0; 0 if
	// that is not known, and then each fall is a gap.
	Range float64
	// Stale is how long a value may stay exactly the same: beyond that, the
	// instrument or who reads it for us has stopped. 0 is learnt from what it
	// does: see [Poller].
	Stale time.Duration
	// Moves is set for a counter that keeps its pace whatever the load: once
	// that is known, it has stopped if it stands for ten times as long.
	Moves bool
}

// Poller is a [Meter] around an instrument that is asked over a wire, by an
// [Query]. It is the one place where answers of strangers become readings:
//
//   - a reading is stamped with the middle of the request, and half the round
//     trip is its Slack; the instrument's own clock stands beside it;
//   - a gauge is above 0 and believable at its boundary; zero, a negative value,
//     too small or too large a one is an error, never a reading;
//   - a counter starts from 0, never falls and rises no faster than is
//     believable. A fall is a wrap if the range is known and the watts are
//     believable, else a reset: a gap. After any error the next good value is
//     a new base, for what was counted in between is not known; 0 is none for
//     a counter that has counted before, nor for one that stays there;
//   - a value that repeats with the time of the last one is no news
//     ([ErrNoNews]); a counter that repeats is a reading, which by itself says
//     nothing of the power. One that has not changed for longer than is
//     credible is stale, an error, and so is an instrument that has nothing new
//     for as long. That is 10 periods and at least a minute, for a counter at
//     least the time in which 10 W count one step and ten times the longest
//     that it was seen to stand; a gauge without a time of its own is judged
//     only if its steps are finer than a thousandth, for a coarse one may stand
//     still in truth.
//
// The wall clock of either side may be set at any time: only the monotonic
// one is used.
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

// state is what a channel said last.
type state struct {
	based   bool      // whether the counter's base holds
	base    float64   // last value of the counter as given
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
	doubt   float64       // the counter's value that was not believed
	heard   time.Time     // when there was a value last, changed or not
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
		err = fmt.Errorf("it gave %d values, not %d", len(got), len(r.state))
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

// take makes a reading of what was given, or says why it is none.
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
		err = fmt.Errorf("%g %s is below 0: this is how some instruments say that they know nothing", v, c.Unit)
	case !counter && v == 0:
		err = errors.New("0 W is never an answer")
	case counter && v == 0 && !s.based && s.base > 0:
		err = errors.New("it says 0 after it had counted, which is a reset or no value: a gap")
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

// silent tells an instrument that has nothing new from one that has stopped.
func (s *state) silent(at time.Time, period time.Duration) error {
	quiet := at.Sub(s.heard)
	switch {
	case !s.seen:
		return errors.New("it has said nothing yet")
	case quiet > max(patience, 10*period):
		return fmt.Errorf("stale: it has said nothing for %v", quiet.Round(time.Second))
	}
	return ErrNoNews
}

// fresh tells a reading from a repeat of the last one.
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
		return fmt.Errorf("stale: it has said %g %s for %v", q.Value, c.Unit, stood.Round(time.Second))
	case same && stamped:
		return ErrNoNews
	}
	return nil
}

// limit is how long the last value may stand. An instrument without a stated
// step is taken to be as fine as its value shows.
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
		step = results.Grain(1e-6, s.value, 1) // those of binary and decimal registers divide a watt, or it them
	}
	if step > s.value/1000 {
		return math.MaxInt64
	}
	return max(patience, 10*period)
}

// count adds what a counter counted since its last good value.
func (s *state) count(v float64, at time.Time, c results.Channel, b Bound) (float64, error) {
	if !s.based {
		if s.doubted && v == s.doubt {
			return 0, fmt.Errorf("it still says %g J, which cannot be true", v)
		}
		s.doubted = false
		s.based, s.base, s.rose = true, v, at
		return s.sum, nil
	}
	d := v - s.base
	s.doubted, s.doubt = true, v // until it is believed, or moves on
	if d < 0 {
		if d += b.Range; b.Range == 0 || s.base > b.Range {
			return 0, fmt.Errorf("it fell from %g to %g J: a reset, a gap", s.base, v)
		}
	}
	step := float64(c.Accuracy.Resolution)
	if !(step > 0) {
		step = 0
	}
	// Some bring their counter up to date by the minute: what it rises by is
	// of the time since it last rose. A second's grace: neither side stamps
	// better than its own scheduler.
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
