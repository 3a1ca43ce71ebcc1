package power

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/perwatt/perwatt/results"
)

// Prove reads the instrument once, in the way and within the time of a reading,
// and discards the values. An Open that used other requests, one at a time,
// proves with it that its channels can be read: at least one channel, of
// those in a total if there are any, must return a plausible value.
func (r *Poller) Prove(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	got, err := r.ask(limited)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil && (limited.Err() != nil || errors.Is(err, os.ErrDeadlineExceeded)):
		return fmt.Errorf("a reading takes longer than %v: give a longer timeout=: %w", r.timeout, err)
	case err != nil:
		return err
	case len(got) != len(r.state):
		return fmt.Errorf("it returned %d values, not %d", len(got), len(r.state))
	}
	inTotal := func(c results.Channel) bool { return c.Total != "" }
	some := slices.ContainsFunc(r.about.Channels, inTotal)
	var why error
	for i, c := range r.about.Channels {
		if some && !inTotal(c) {
			continue
		}
		if _, err = new(state).take(got[i], r.now(), c, r.bounds[i], r.about.Period); err == nil {
			return nil
		}
		why = errors.Join(why, fmt.Errorf("%s: %w", c.Name, err))
	}
	return why
}
