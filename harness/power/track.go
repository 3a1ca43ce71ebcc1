package power

import (
	"math"
	"time"

	"github.com/perwatt/perwatt/results"
)

// Track holds one channel to the rules of [Poller], for a meter that reads and
// stamps for itself: what is no reading, what is a wrap and what a reset, what
// is stale.
type Track struct {
	Channel results.Channel
	Bound   Bound
	Period  time.Duration // the instrument's own; 0 if it is not known

	state state
}

// Take makes a reading of what the instrument gave at an instant with a
// monotonic part: J since the first good one for a counter, W for a gauge. If
// there is none, the value is NaN and the error says why; [ErrNoNews] says
// that nothing is wrong.
func (t *Track) Take(q Quantity, at time.Time) (float64, error) {
	v, err := t.state.take(q, at, t.Channel, t.Bound, t.Period)
	if err != nil {
		return math.NaN(), err
	}
	return v, nil
}
