package all

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/perwatt/perwatt/harness/endpoint"
	"github.com/perwatt/perwatt/harness/power"
	"github.com/perwatt/perwatt/results"
)

// summed joins instruments on disjoint feeds of one node to one meter: it has all their
// channels, and those with the same total add up.
type summed struct {
	info  power.Info
	parts []power.Meter
}

func sum(parts []power.Meter) (power.Meter, error) {
	s := &summed{parts: parts}
	var names, sources []string
	totals := map[results.Boundary]bool{}
	for i, m := range parts {
		info := m.Info()
		names, sources = append(names, info.Name), append(sources, info.Source)
		s.info.Period = max(s.info.Period, info.Period)
		for _, c := range results.FeedChannels(i, info.Name, info.Channels) {
			s.info.Channels = append(s.info.Channels, c)
			if c.Total != "" {
				totals[c.Total] = true
			}
		}
		for _, n := range info.Notes {
			s.info.Notes = append(s.info.Notes, fmt.Sprintf("%d-%s: %s", i+1, info.Name, n))
		}
	}
	s.info.Name, s.info.Source = strings.Join(names, "+"), strings.Join(sources, " + ")
	if len(totals) != 1 {
		for _, m := range parts {
			_ = m.Close()
		}
		return nil, fmt.Errorf("%w: %s do not all see the same boundary, so they do not add up: give each a --meter of its own, or say boundary=", endpoint.ErrSpec, s.info.Name)
	}
	s.info.Notes = append(s.info.Notes, "the sum of separate feeds, as the spec says: "+s.info.Source)
	return s, nil
}

func (s *summed) Info() power.Info { return s.info }

// Read reads all parts at once. If one fails, so does the whole reading, because a sum
// without a part is wrong.
func (s *summed) Read(ctx context.Context) ([]power.Reading, error) {
	got := make([][]power.Reading, len(s.parts))
	errs := make([]error, len(s.parts))
	var wait sync.WaitGroup
	for i, m := range s.parts {
		wait.Go(func() { got[i], errs[i] = m.Read(ctx) })
	}
	wait.Wait()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if all := errors.Join(errs...); all != nil {
		return nil, all
	}
	var out []power.Reading
	for _, g := range got {
		out = append(out, g...)
	}
	return out, nil
}

func (s *summed) Close() error {
	var all error
	for _, m := range s.parts {
		all = errors.Join(all, m.Close())
	}
	return all
}
