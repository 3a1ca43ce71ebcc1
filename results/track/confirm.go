package track

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/store"
)

// Confirmation is what a second session showed of a figure that was suspicious in
// the first.
type Confirmation struct {
	Key     store.Key
	Outcome ConfirmationOutcome
	Watch   Watch // after the second session
	Fails   bool  // NotRepeated: it fails the gate without a second session
	Err     error // NotRepeated: why
}

// ConfirmationOutcome says how the two sessions compare.
type ConfirmationOutcome int

// The outcomes of a second session.
const (
	NotRepeated ConfirmationOutcome = iota // there was none
	NoFigure                               // it gave no figure
	Repeated                               // it is as bad, and fails the gate
	Weaker                                 // it is still worse, but too little or on too few nights to fail
	Cleared                                // it is no worse than usual
)

// String is a sentence about the figure.
func (c Confirmation) String() string {
	name := strings.ReplaceAll(c.Key.Metric, "_", " ") + " at " + c.Key.Scenario
	switch c.Outcome {
	case NotRepeated:
		then := "one session fails nothing"
		if c.Fails {
			then = "it fails as it is"
		}
		return fmt.Sprintf("%s cannot be measured again, and %s: %v", name, then, c.Err)
	case NoFigure:
		return "the second session gave no " + name
	case Repeated:
		return fmt.Sprintf("measured again: %s is still %s", name, Relative(c.Watch.Size))
	case Weaker:
		return fmt.Sprintf("measured again: %s is still %s, which is too little or of too few nights to fail", name, Relative(c.Watch.Size))
	}
	return fmt.Sprintf("measured again: %s is no worse than usual, unlike the first time", name)
}

// Remeasurer measures a night again.
type Remeasurer interface {
	// Find returns a record, or an error if it cannot be measured again here.
	Find(ctx context.Context, id string) (*results.Record, error)
	// Measure adds a session like the one of a record to the store, of some of its uses.
	Measure(ctx context.Context, like *results.Record, uses []string) error
}

// named is the scenario of a figure as perwatt run takes it, with the cards that the
// record ran it on and without the model of a training, of which a session has
// several: training-bf16@cuda:0, mining.
func named(rec *results.Record, k store.Key) string {
	for i, at := range rec.Places() {
		if at.Scenario() != k.Scenario {
			continue
		}
		row := &rec.Summary.Rows[i]
		_, cards, placed := strings.Cut(row.Scenario, "@")
		switch {
		case row.Role != results.Alone || !row.Trains():
			return row.Scenario
		case placed:
			return row.Use + "@" + cards
		}
		return row.Use
	}
	return k.Scenario
}

// Confirm measures again what is suspicious on a night and would fail its gate if a
// second session showed it too, and returns what the second session showed. The
// figures of each record are measured together, with the control.
func Confirm(ctx context.Context, x *store.Index, opt Options, m Remeasurer) (out []Confirmation, err error) {
	first, err := Now(ctx, x, opt, nil)
	if err != nil {
		return nil, err
	}
	var records []*results.Record
	uses, found := map[string][]string{}, map[string]*results.Record{} // by record
	suspicious := map[store.Key]string{}                               // record of a figure
	for _, s := range first.Suspicions() {
		if !s.Counts() || s.Watch.Twice {
			continue
		}
		id := s.Watch.Record
		if uses[id] == nil {
			rec, err := m.Find(ctx, id)
			if err != nil {
				out = append(out, Confirmation{Key: s.Key, Fails: s.Fails(), Err: err})
				continue
			}
			records, uses[id], found[id] = append(records, rec), []string{"control"}, rec
		}
		suspicious[s.Key] = id
		if use := named(found[id], s.Key); use != "idle" && !slices.Contains(uses[id], use) {
			uses[id] = append(uses[id], use)
		}
	}
	if len(records) == 0 {
		return out, nil
	}
	for _, rec := range records {
		if err := m.Measure(ctx, rec, append(uses[rec.ID][1:], "control")); err != nil {
			return nil, err
		}
	}
	if err := x.Update(ctx); err != nil {
		return nil, err
	}
	second, err := Now(ctx, x, opt, nil)
	if err != nil {
		return nil, err
	}
	left := map[store.Key]Suspicion{}
	for _, s := range second.Suspicions() {
		left[s.Key] = s
	}
	for _, g := range second.Groups {
		for _, j := range g.Judged {
			record, ok := suspicious[j.Key]
			if !ok {
				continue
			}
			c := Confirmation{Key: j.Key, Watch: j.Watch, Outcome: Cleared}
			switch s, still := left[j.Key]; {
			case j.Watch.Record == record:
				c.Outcome = NoFigure
			case still && s.Fails():
				c.Outcome = Repeated
			case still && s.Worse:
				c.Outcome = Weaker
			}
			out = append(out, c)
		}
	}
	return out, nil
}
