package track

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"time"

	"github.com/perwatt/perwatt/results/store"
)

// The index keeps the changes found up to the night before, so that judging a
// night reads only the tail of a series. An entry is dropped when an earlier
// point is added or removed, and ignored when the detector or the known events
// have changed.

// detector is the version of the change detector, incremented whenever it would
// find other changes.
const detector = 5

// tail is how far back points are read where earlier changes are kept. It holds
// [Memory] nights if fewer than a quarter are missing.
const tail = 500 * 24 * time.Hour

// memory is the state of the detector on a series after night upto.
type memory struct {
	Detector int    `json:"detector"`
	Begin    int    `json:"begin"`  // of the calendar
	Events   uint64 `json:"events"` // hash of the known events
	First    int    `json:"first"`  // night of the series
	Past
	upto int
}

// known hashes the events of a series up to a night.
func known(s *Series, upto int) uint64 {
	h := fnv.New64a()
	for _, e := range s.Events {
		if e.Night <= upto {
			fmt.Fprintf(h, "%d %q %q\n", e.Night, e.Kind, e.What)
		}
	}
	return h.Sum64()
}

// remembered loads as much of a group as is needed, and the kept state of its
// series.
func (l *loader) remembered(ctx context.Context, id string) (Group, map[store.Key]memory, error) {
	kept, err := l.index.Kept(ctx, id, l.Filter)
	if err != nil {
		return Group{}, nil, err
	}
	var latest, since time.Time
	for _, k := range kept {
		if k.Before.After(latest) {
			latest = k.Before
		}
	}
	for _, k := range kept { // of series that still continue
		if from := k.Before.Add(-tail); !l.Whole && k.Before.After(latest.Add(-tail)) && (since.IsZero() || from.Before(since)) {
			since = from
		}
	}
	for {
		g, err := l.load(ctx, id, since)
		if err != nil {
			return g, nil, err
		}
		was, enough := map[store.Key]memory{}, true
		for i := range g.Series {
			s := &g.Series[i]
			m := l.recall(s, kept)
			was[s.Key] = m
			nights := 0
			for _, p := range s.Points {
				if p.Night <= m.upto {
					nights++
				}
			}
			all := m.upto > Never && m.First >= l.Calendar.Night(since)
			enough = enough && (nights >= Memory || all)
		}
		if since.IsZero() || enough {
			return g, was, nil
		}
		since = time.Time{} // too few nights: load all
	}
}

// recall returns the kept state of a series if it still holds.
func (l *loader) recall(s *Series, kept map[store.Key]store.Kept) memory {
	if k, ok := kept[s.Key]; ok {
		m := memory{upto: l.Calendar.Night(k.Before) - 1}
		if m.upto < l.Night && json.Unmarshal([]byte(k.Text), &m) == nil && m.Detector == detector && m.Begin == l.Calendar.Begin && m.Events == known(s, m.upto) {
			return m
		}
	}
	return memory{upto: Never}
}

// remember keeps the state as of the night before: the night itself may be
// measured again.
func (l *loader) remember(ctx context.Context, g *Group, was map[store.Key]memory) error {
	keep := map[store.Key]store.Kept{}
	for _, j := range g.Judged {
		if was[j.Key].upto >= l.Night-1 {
			continue
		}
		first := j.Points[0].Night
		if m := was[j.Key]; m.upto > Never {
			first = min(first, m.First)
		}
		text, err := json.Marshal(memory{Detector: detector, Begin: l.Calendar.Begin, Events: known(j.Series, l.Night-1), First: first, Past: j.Before})
		if err != nil {
			continue // JSON cannot hold a figure of it: it will be computed again
		}
		keep[j.Key] = store.Kept{Before: l.Calendar.Begins(l.Night), Text: string(text)}
	}
	return l.index.Keep(ctx, l.Filter, keep)
}
