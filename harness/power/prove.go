package power

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/perwatt/perwatt/results"
)

// Prove asks the instrument once, in the way and within the time of a reading,
// and forgets what it said. An Open that asked in another way, question by
// question, proves by it that what it found can be read: one of the channels, of
// those in a total if there are such, has to give a value that is believed.
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
		return fmt.Errorf("it gave %d values, not %d", len(got), len(r.state))
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
