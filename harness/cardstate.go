package harness

import (
	"context"
	"slices"
	"time"

	"github.com/perwatt/perwatt/harness/power"
	"github.com/perwatt/perwatt/results"
)

// cardsEvery is the time between two looks at the state of the cards in a long window.
// A look costs a driver some 0.1 ms a card.
const cardsEvery = time.Second

// cardDevice is the device that a card is, and the index of the meter that tells its
// state: the first that knows the card.
type cardDevice struct {
	id    string
	meter int
}

// findCards notes which meter tells the state of which device, and the power limits of
// the cards, in the record's node.
func (s *Session) findCards(ctx context.Context) {
	s.Record.Node.Devices = slices.Clone(s.Record.Node.Devices) // the sessions of a command share them
	s.cards = readCards(ctx, &s.Record.Node, s.Meters)
}

// PowerLimits adds to the devices of a node the power limits of the cards that they
// are, in W, where a meter reads them.
func PowerLimits(ctx context.Context, node *results.Node, meters []power.Meter) {
	readCards(ctx, node, meters)
}

// readCards adds the power limits to the devices of a node, and returns for each card
// the device and the meter. Cards that are no device of the node are left out.
func readCards(ctx context.Context, node *results.Node, meters []power.Meter) map[string]cardDevice {
	found := map[string]cardDevice{}
	for k, m := range meters {
		cards, ok := m.(power.CardMeter)
		if !ok {
			continue
		}
		for _, c := range cards.Cards(ctx) {
			of, ok := node.OfCard(c.Card)
			if _, twice := found[c.Card]; !ok || twice {
				continue
			}
			found[c.Card] = cardDevice{of.ID, k}
			if !c.Limit.IsAbsent() {
				i := slices.IndexFunc(node.Devices, func(d results.Device) bool { return d.ID == of.ID })
				node.Devices[i].PowerLimit = &results.PowerLimit{Enforced: c.Limit, Default: c.Default}
			}
		}
	}
	return found
}

// sampleCards records the state of cards until ctx ends, one goroutine a meter.
func (s *sampler) sampleCards(ctx context.Context, window time.Duration, meters []power.Meter, of map[string]cardDevice) {
	often := max(s.interval, min(cardsEvery, window/10))
	for k, m := range meters {
		cards, ok := m.(power.CardMeter)
		if !ok {
			continue
		}
		s.wait.Go(func() {
			s.every(ctx, often, func() {
				got := cards.Cards(ctx)
				if ctx.Err() != nil {
					return
				}
				s.mu.Lock()
				defer s.mu.Unlock()
				for _, c := range got {
					if d, ok := of[c.Card]; ok && d.meter == k {
						s.card(d.id, c)
					}
				}
			})
		})
	}
}

// card adds the state of a card to the traces of its device. What the card does not
// report is no gap; a card that is lost is one.
func (s *sampler) card(device string, c power.Card) {
	t := s.clock.of(c.At)
	trace := func(kind results.TraceKind, channel string, unit results.Unit, of results.Kind) *results.Trace {
		return s.trace(results.Trace{Key: results.TraceKey{Kind: kind, Device: device, Channel: channel}, Unit: unit, Kind: of})
	}
	if c.Err != nil {
		trace(results.TraceClock, "", results.Hertz, results.Gauge).Add(t, results.Absent(), c.Err)
		return
	}
	for _, g := range []struct {
		kind results.TraceKind
		unit results.Unit
		v    results.Float
	}{
		{results.TraceClock, results.Hertz, c.Clock},
		{results.TraceMemoryClock, results.Hertz, c.MemoryClock},
		{results.TraceTemperature, results.Kelvin, c.Temperature},
	} {
		if !g.v.IsAbsent() {
			trace(g.kind, "", g.unit, results.Gauge).Add(t, g.v, nil)
		}
	}
	for _, by := range []string{results.HeldByPower, results.HeldByHeat, results.HeldByHardware} {
		if c.Held == nil {
			break
		}
		v := results.Float(0)
		if slices.Contains(c.Held, by) {
			v = 1
		}
		trace(results.TraceHeldBack, by, results.Ratio, results.Gauge).AddLevel(t, v, nil)
	}
	for class, n := range map[string]results.Float{results.ECCCorrected: c.Corrected, results.ECCUncorrected: c.Uncorrected} {
		if !n.IsAbsent() {
			trace(results.TraceECC, class, results.Ratio, results.Counter).AddLevel(t, n, nil)
		}
	}
}
