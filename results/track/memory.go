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
func remembered(ctx context.Context, x *store.Index, id string, opt Options, load func(string, time.Time) (Group, error)) (Group, map[store.Key]memory, error) {
	kept, err := x.Kept(ctx, id, opt.Filter)
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
		if from := k.Before.Add(-tail); !opt.Whole && k.Before.After(latest.Add(-tail)) && (since.IsZero() || from.Before(since)) {
			since = from
		}
	}
	for {
		g, err := load(id, since)
		if err != nil {
			return g, nil, err
		}
		was, enough := map[store.Key]memory{}, true
		for i := range g.Series {
			s := &g.Series[i]
			m := memory{upto: Never}
			k, ok := kept[s.Key]
			upto := opt.Calendar.Night(k.Before) - 1
			if ok && upto < opt.Night && json.Unmarshal([]byte(k.Text), &m) == nil && m.Detector == detector && m.Begin == opt.Calendar.Begin && m.Events == known(s, upto) {
				m.upto = upto
			} else {
				m = memory{upto: Never}
			}
			was[s.Key] = m
			nights := 0
			for _, p := range s.Points {
				if p.Night <= m.upto {
					nights++
				}
			}
			all := m.upto > Never && m.First >= opt.Calendar.Night(since)
			enough = enough && (nights >= Memory || all)
		}
		if since.IsZero() || enough {
			return g, was, nil
		}
		since = time.Time{} // too few nights: load all
	}
}

// remember keeps the state as of the night before: tonight may be measured
// again.
func remember(ctx context.Context, x *store.Index, s *Standing, opt Options, was map[store.Key]memory) error {
	keep := map[store.Key]store.Kept{}
	for _, j := range s.Judged {
		if was[j.Key].upto >= opt.Night-1 {
			continue
		}
		first := j.Points[0].Night
		if m := was[j.Key]; m.upto > Never {
			first = min(first, m.First)
		}
		text, err := json.Marshal(memory{Detector: detector, Begin: opt.Calendar.Begin, Events: known(j.Series, opt.Night-1), First: first, Past: j.Before})
		if err != nil {
			continue // JSON cannot hold a figure of it: it will be computed again
		}
		keep[j.Key] = store.Kept{Before: opt.Calendar.Begins(opt.Night), Text: string(text)}
	}
	return x.Keep(ctx, opt.Filter, keep)
}
