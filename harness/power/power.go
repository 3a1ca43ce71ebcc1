// Package power defines what a meter is. Instruments are its children, one
// folder each; power/all is the explicit list of them.
//
// A meter says what its hardware says, energy or power, with the boundary and
// the origin of every watt, and an error where it cannot. It never guesses,
// never fills a gap, and zero watts is never an answer.
package power

import (
	"context"
	"errors"
	"time"

	"github.com/perwatt/perwatt/results"
)

// Meter is one open instrument. Its methods are called by one goroutine.
type Meter interface {
	// Info is constant.
	Info() Info
	// Read returns one reading per channel, in the order of Info().Channels.
	// It may block as long as the instrument does. The error is for a meter
	// that cannot be read at all; one bad channel has its Err set.
	Read(ctx context.Context) ([]Reading, error)
	Close() error
}

// Info describes a meter.
type Info struct {
	Name     string            // of the instrument: rapl, hwmon, declared …
	Source   string            // where it is: a path, an address
	Period   time.Duration     // the instrument's own: reading more often tells nothing new; 0 if any rate is fine
	Channels []results.Channel // in the order of the readings
	Notes    []string          // what is in and out of the totals and why; coefficients and their source
}

// Reading is one value of one channel in the channel's unit. Counters are
// unwrapped by the meter: they start anywhere and never decrease. Err set
// means that there is no value: Value is then meaningless, and what a counter
// did since the last good reading is unknown; [ErrNoNews] alone is less.
type Reading struct {
	At    time.Time     // with a monotonic part, taken as close to the value as can be
	Slack time.Duration // half-width of what is known of At: half the round trip to an instrument that is asked over a wire
	Clock time.Time     // what the instrument's own clock said; zero if it has none
	Value float64
	Err   error
}

// ErrNoNews is the Err of a reading that is the last one once more, taken by the
// instrument at the same time: it has nothing newer yet. It is neither a reading
// nor a gap.
var ErrNoNews = errors.New("nothing new since the last reading")

// ErrAbsent is wrapped by Open of an instrument whose hardware or interface is
// not on this machine: the one error that a search may pass over.
var ErrAbsent = errors.New("not on this machine")
