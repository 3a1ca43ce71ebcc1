// Package power defines what a meter is. Instruments are its children, one
// package each; power/all is the explicit list of them.
//
// A meter returns what its hardware provides, energy or power, with the boundary
// and the origin of every watt, or an error. It never guesses, never fills a gap,
// and never returns zero watts.
package power

import (
	"context"
	"errors"
	"time"

	"github.com/perwatt/perwatt/harness/endpoint"
	"github.com/perwatt/perwatt/results"
)

// Meter is one open instrument. Its methods are called by one goroutine.
type Meter interface {
	// Info is constant.
	Info() Info
	// Read returns one reading per channel, in the order of Info().Channels.
	// It may block as long as the instrument does. It returns an error if the
	// meter cannot be read at all; a single bad channel has its Err set.
	Read(ctx context.Context) ([]Reading, error)
	Close() error
}

// Info describes a meter.
type Info struct {
	Name     string            // of the instrument: rapl, hwmon, declared …
	Source   string            // a path or an address
	Period   time.Duration     // of the instrument's updates; 0 if it can be read at any rate
	Channels []results.Channel // in the order of the readings
	Notes    []string          // what the totals include and exclude, and why; coefficients and their source
}

// Reading is one value of one channel in the channel's unit. The meter unwraps
// counters: they start anywhere and never decrease. If Err is set there is no
// value, Value is meaningless, and the counter's change since the last good
// reading is unknown; [ErrNoNews] only means that nothing is new.
type Reading struct {
	At    time.Time     // with a monotonic part, as close to the value as possible
	Slack time.Duration // half-width of the uncertainty of At: half of the round trip to an instrument on a network
	Clock time.Time     // the instrument's own clock; zero if it has none
	Value float64
	Err   error
}

// ErrNoNews is the Err of a reading that repeats the last one, with the same
// timestamp of the instrument: it has nothing newer. It is neither a reading nor
// a gap.
var ErrNoNews = errors.New("nothing new since the last reading")

// ErrAbsent is wrapped by the Open of an instrument whose hardware or interface is
// not on this machine. It is the only error that a search may ignore.
var ErrAbsent = errors.New("not on this machine")

// ErrSpec is wrapped by the Open of an instrument that cannot be what its spec says.
var ErrSpec = endpoint.ErrSpec
