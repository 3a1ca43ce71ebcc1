package power

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/perwatt/perwatt/harness/endpoint"
	"github.com/perwatt/perwatt/results"
)

// Spec is the parsed specification of one meter.
type Spec struct {
	endpoint.Spec
	Now func() time.Time // for tests; nil is time.Now
}

// Common are the options of every instrument on a network. They state what the
// instrument cannot know about itself.
var Common = []endpoint.Option{
	{Key: "boundary", Help: "boundary that it measures: wall, psu, node, board, package, card or memory"},
	{Key: "part", Help: "yes: it measures only part of that boundary, and is recorded but not added to a total (no)"},
	{Key: "accuracy", Help: "as specified by its maker, relative and fixed: 1%, 0.5%+2W (unknown)"},
	{Key: "resolution", Help: "smallest step, in W, or in J for an energy: 0.1, 3600 (as the instrument documents)"},
	{Key: "max", Help: "readings above this many watts are rejected (as the instrument documents, else 50,000 for a node, 20,000 for cards or rails, 10,000 for packages)"},
	{Key: "min", Help: "readings below this many watts are rejected (1 for a node, 0.5 for a card, 0.1 for a package or a rail)"},
	{Key: "period", Help: "interval between its updates: 500ms, 30s (as the instrument documents)"},
	{Key: "timeout", Help: "longest wait for an answer (2s)"},
	{Key: "name", Help: "its name in the record (the kind)"},
}

// OriginOption is for an instrument that cannot know whether its values are
// measured: see [Spec.Origin].
var OriginOption = endpoint.Option{Key: "origin", Help: "measured by an instrument, or modelled, as by Kepler in a VM (measured)"}

// ParseSpec parses a specification: see [endpoint.ParseSpec].
func ParseSpec(text string, known []endpoint.Option) (Spec, error) {
	s, err := endpoint.ParseSpec(text, known)
	return Spec{Spec: s}, err
}

// Origin returns the value of [OriginOption].
func (s Spec) Origin() (results.Origin, error) {
	o, err := s.Choice(OriginOption.Key, string(results.Measured), string(results.Measured), string(results.Modelled))
	return results.Origin(o), err
}

// Measurable are the boundaries at which an instrument can measure: all but the one that
// is a sum of two meters.
func Measurable() []results.Boundary {
	return slices.DeleteFunc(results.Boundaries(), func(b results.Boundary) bool { return b == results.CardsPackages })
}

// Channel applies the options to a channel of an instrument: boundary, part,
// accuracy and resolution.
func (s Spec) Channel(c results.Channel) (results.Channel, error) {
	carries := c.Total != ""
	if s.Has("boundary") {
		b := s.Get("boundary", "")
		if c.Boundary = results.Boundary(b); !slices.Contains(Measurable(), c.Boundary) {
			return c, endpoint.BadOption("boundary", b, fmt.Sprint("one of ", Measurable()))
		}
		if c.Total != "" {
			c.Total = c.Boundary
		}
	}
	part, err := s.Choice("part", "no", "yes", "no")
	if err != nil {
		return c, err
	}
	// A card or the memory is never the whole node; cards may have their own total.
	if part == "yes" || c.Boundary == results.Card && c.Total != results.Cards || c.Boundary == results.Memory {
		c.Total = ""
	}
	if s.Has("accuracy") {
		text := s.Get("accuracy", "")
		gain, offset, more := strings.Cut(text, "+")
		g, err := endpoint.Decimal(strings.TrimSuffix(gain, "%"))
		if err != nil || !strings.HasSuffix(gain, "%") || !(g > 0 && g <= 100) {
			return c, endpoint.BadOption("accuracy", text, "a percentage of the reading, and watts if a part is fixed, such as 1% or 0.5%+2W")
		}
		c.Accuracy.Gain, c.Accuracy.Source = results.Float(g/100), "stated in the spec"
		if more {
			w, err := endpoint.Decimal(strings.TrimSuffix(offset, "W"))
			if err != nil || !strings.HasSuffix(offset, "W") || !(w > 0 && w <= 1e6) {
				return c, endpoint.BadOption("accuracy", text, "such as 0.5%+2W")
			}
			c.Accuracy.Offset = results.Float(w)
		}
	}
	if s.Has("min") {
		least, err := s.Number("min", 0, 1e-6, 1e6)
		if err != nil {
			return c, err
		}
		c.Least = new(results.Float(least))
	}
	r, err := s.Number("resolution", float64(c.Accuracy.Resolution), 1e-9, 1e9)
	if carries {
		c.Accuracy.Resolution = results.Float(r)
	}
	return c, err
}

// Poller returns a meter that reads the instrument with a query, using the
// timeout, period and limits of the options.
func (s Spec) Poller(about Info, bounds []Bound, ask Query, shut func() error) (*Poller, error) {
	timeout, err := s.Timeout()
	if err != nil {
		return nil, err
	}
	if about.Period, err = s.Duration("period", about.Period, 10*time.Millisecond, time.Hour); err != nil {
		return nil, err
	}
	bounds = slices.Clone(bounds)
	for i := range bounds {
		if bounds[i].Watts, err = s.Number("max", bounds[i].Watts, 1e-3, 1e9); err != nil {
			return nil, err
		}
	}
	about.Channels = slices.Clone(about.Channels)
	for i, c := range about.Channels {
		if about.Channels[i], err = s.Channel(c); err != nil {
			return nil, err
		}
		if s.Has("max") { // also for who reads a recording
			about.Channels[i].Most = new(results.Float(bounds[i].Watts))
		}
		// One number cannot be the step of both W and J: it is that of the first.
		if c.Place != "" && slices.ContainsFunc(about.Channels[:i], func(b results.Channel) bool { return b.Place == c.Place }) {
			about.Channels[i].Accuracy.Resolution = c.Accuracy.Resolution
		}
	}
	about.Name = cmp.Or(about.Name, s.Kind)
	if s.Has("part") && s.Get("part", "") == "yes" {
		about.Notes = append(about.Notes, "a part of its boundary only, as the spec says: in no total")
	}
	return &Poller{about: about, bounds: bounds, ask: ask, shut: shut, timeout: timeout, now: s.now(), state: make([]state, len(about.Channels))}, nil
}

func (s Spec) now() func() time.Time {
	if s.Now != nil {
		return s.Now
	}
	return time.Now
}
