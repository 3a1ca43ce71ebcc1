package power

import (
	"math"
	"time"

	"github.com/perwatt/perwatt/results"
)

// Track applies the rules of [Poller] to one channel, for a meter that reads
// locally and sets its own timestamps: plausibility, wraps, resets, staleness.
type Track struct {
	Channel results.Channel
	Bound   Bound
	Period  time.Duration // of the instrument's updates; 0 if unknown

	state state
}

// Take turns a raw value and its instant (with a monotonic part) into a reading: J
// since the first good one for a counter, W for a gauge. If there is none, the
// value is NaN and the error gives the reason; [ErrNoNews] is not a fault.
func (t *Track) Take(q Quantity, at time.Time) (float64, error) {
	v, err := t.state.take(q, at, t.Channel, t.Bound, t.Period)
	if err != nil {
		return math.NaN(), err
	}
	return v, nil
}
