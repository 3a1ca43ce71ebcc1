package track

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"time"

	"github.com/perwatt/perwatt/results/store"
)

// A night costs the tail only: what was found when the night before was the
// last lies in the index, and is forgotten there when a point before it comes
// or goes. It is also of no use when the detector or the known events are not
// those it was found with.

// detector is the version of what finds changes: one more whenever it would
// find others.
const detector = 5

// tail is how far back points are read where the changes before are known. It
// holds [Memory] nights where fewer than a quarter are missing.
const tail = 500 * 24 * time.Hour

// memory is what was found in a series when night upto was its last.
type memory struct {
	Detector int    `json:"detector"`
	Begin    int    `json:"begin"`  // of its calendar
	Events   uint64 `json:"events"` // that it was found with
	First    int    `json:"first"`  // night of the series
	Past
	upto int
}

// known names the events of a series up to a night.
func known(s *Series, upto int) uint64 {
	h := fnv.New64a()
	for _, e := range s.Events {
		if e.Night <= upto {
			fmt.Fprintf(h, "%d %q %q\n", e.Night, e.Kind, e.What)
		}
	}
	return h.Sum64()
}

// remembered loads a group, as much of it as is needed, and what was found in
// its series before.
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
	for _, k := range kept { // but of what has gone on
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
		since = time.Time{} // short of what it needs: all of it
	}
}

// remember keeps what was found when the night before was the last: tonight
// may yet be measured again.
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
			continue // a figure that JSON cannot carry: it is found again
		}
		keep[j.Key] = store.Kept{Before: opt.Calendar.Begins(opt.Night), Text: string(text)}
	}
	return x.Keep(ctx, opt.Filter, keep)
}
