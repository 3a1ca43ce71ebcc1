package power

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/perwatt/perwatt/results"
)

const (
	// wait is how long a source may take to show that it works: two updates of
	// the slowest package counters, which are updated once a second.
	wait = 2500 * time.Millisecond
	// pause is the time between two reads.
	pause = 10 * time.Millisecond
)

// Living reads a meter until a total of the node or its packages works: at each place of
// that total a gauge has returned one good reading, or a counter has moved. If
// none does, the error says what was found instead. A dead channel does not rule
// out a working one, and opening the meter cannot tell them apart.
func Living(ctx context.Context, m Meter) error {
	info := m.Info()
	first, alive := make([]float64, len(info.Channels)), make([]bool, len(info.Channels))
	whys, seen := make([]error, len(info.Channels)), make([]bool, len(info.Channels))
	for began := time.Now(); ; {
		got, err := m.Read(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		for i, c := range info.Channels {
			r := Reading{Err: err}
			if err == nil {
				r = got[i]
			}
			switch {
			case errors.Is(r.Err, ErrNoNews):
			case r.Err != nil:
				whys[i] = r.Err
			case c.Kind == results.Gauge:
				alive[i] = true
			case !seen[i]:
				first[i], seen[i] = r.Value, true
				whys[i] = fmt.Errorf("%s: the counter did not move in %v", c.Name, wait)
			default:
				alive[i] = alive[i] || r.Value > first[i]
			}
		}
		if slices.ContainsFunc(results.Boundaries(), func(b results.Boundary) bool { return b != results.Cards && whole(info.Channels, alive, b) }) {
			return nil
		}
		if time.Since(began) >= wait {
			break
		}
		select {
		case <-time.After(max(pause, min(info.Period, wait))):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for i, c := range info.Channels {
		if c.Total != "" && c.Total != results.Cards && !alive[i] && whys[i] != nil {
			return fmt.Errorf("no reading of it is good: %w", whys[i])
		}
	}
	return errors.New("no channel of it gives the power of a node")
}

// whole reports whether every place of a boundary's total has a working channel.
func whole(channels []results.Channel, alive []bool, b results.Boundary) bool {
	places := map[string]bool{}
	for i, c := range channels {
		if c.Total == b {
			at := c.Place
			if at == "" {
				at = "channel " + c.Name
			}
			places[at] = places[at] || alive[i]
		}
	}
	for _, ok := range places {
		if !ok {
			return false
		}
	}
	return len(places) > 0
}
