package power

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// Prove asks the instrument once, in the way and within the time of a reading,
// and forgets what it said. An Open that asked in another way, question by
// question, proves by it that what it found can be read: one of the channels of
// a total has to give a value, if there are such.
func (r *Remote) Prove(ctx context.Context) error {
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
	}
	var why error
	for i, q := range got {
		if q.Err == nil {
			return nil
		}
		if r.about.Channels[i].Total != "" || why == nil {
			why = fmt.Errorf("%s: %w", r.about.Channels[i].Name, q.Err)
		}
	}
	return why
}
