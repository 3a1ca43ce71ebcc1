package resultstest

import (
	"fmt"
	"math"
	"slices"

	"github.com/perwatt/perwatt/results"
)

// Instrument is a meter whose channels draw known watts.
type Instrument struct {
	results.Meter
	// Draws is what a channel draws in a scenario, in W; NaN for one that gives no
	// reading there. Devices that work in it are named.
	Draws func(channel int, scenario string, worked []string) float64
}

// What parts of an [EightCards] draw, in W.
const (
	PackageIdle, PackageBusy = 60.0, 240.0 // both CPU packages together
	CardIdle, CardBusy       = 75.0, 700.0
	Around                   = 150.0 // fans, memory, boards and losses
)

// EightCards is a node with two CPU packages and eight cards, of which two work.
func EightCards(name string) Node {
	n := CardServer(name, 1)
	card := n.Cards[0]
	n.Cards = nil
	for i := range 8 {
		card.ID, card.PCI, card.UUID = fmt.Sprintf("cuda:%d", i), fmt.Sprintf("0000:%02x:00.0", 0x1b+0x10*i), fmt.Sprintf("GPU-%08d-0000", i)
		n.Cards = append(n.Cards, card)
	}
	n.Only = []string{"idle", "mining", "compute-bf16@cuda:0", "mullet@cuda:0", "mining@cuda:0-1"}
	n.Rates["mining@cuda:0-1/mining"] = 5e9
	return n
}

// Packages is RAPL: a counter a package, of half the watts each.
func Packages() Instrument {
	in := Instrument{Meter: results.Meter{Name: "rapl", Source: "/sys/class/powercap", Period: results.Absent()}, Draws: func(_ int, _ string, worked []string) float64 {
		if slices.Contains(worked, results.CPUDevice) {
			return PackageBusy / 2
		}
		return PackageIdle / 2
	}}
	for i := range 2 {
		in.Channels = append(in.Channels, joules(fmt.Sprintf("package-%d", i), results.Package, 0.02))
	}
	return in
}

// Cards is NVML: a counter a card. Its order is not that of the devices.
func Cards(of []results.Device) Instrument {
	of = slices.Clone(of)
	slices.Reverse(of)
	in := Instrument{Meter: results.Meter{Name: "nvml", Source: "libnvidia-ml.so.1", Period: 0.1}, Draws: func(channel int, _ string, worked []string) float64 {
		if slices.Contains(worked, of[channel].ID) {
			return CardBusy
		}
		return CardIdle
	}}
	for i, d := range of {
		c := joules(fmt.Sprintf("gpu%d-energy", i), results.Card, 0.05)
		c.Total, c.Card = results.Cards, d.PCI
		if d.PCI == "" {
			c.Card = d.UUID
		}
		in.Channels = append(in.Channels, c)
	}
	return in
}

// Outlet is a meter at the wall of a node with so many cards.
func Outlet(cards int) Instrument {
	c := joules("outlet-1", results.Wall, 0.01)
	return Instrument{Meter: results.Meter{Name: "snmp", Source: "pdu.example", Period: 1, Channels: []results.Channel{c}}, Draws: func(_ int, _ string, worked []string) float64 {
		watts := Around + PackageIdle + float64(cards)*CardIdle
		for _, id := range worked {
			if id == results.CPUDevice {
				watts += PackageBusy - PackageIdle
			} else {
				watts += CardBusy - CardIdle
			}
		}
		return watts
	}}
}

func joules(name string, at results.Boundary, gain results.Float) results.Channel {
	return results.Channel{Name: name, Unit: results.Joule, Kind: results.Counter, Boundary: at, Total: at, Origin: results.Measured, Accuracy: results.Accuracy{Gain: gain, Resolution: 1e-3, Source: "made up"}}
}

// Metered replaces the meters of a session of 60 s windows by others, each read
// every half second at instants of its own, and derives its summary again.
func Metered(rec *results.Record, meters ...Instrument) *results.Record {
	rec.Meters = nil
	for _, in := range meters {
		rec.Meters = append(rec.Meters, in.Meter)
	}
	for i := range rec.Runs {
		r := &rec.Runs[i]
		r.Traces = slices.DeleteFunc(r.Traces, func(tr results.Trace) bool { return tr.Key.Kind == results.TraceMeter })
		var worked []string
		for _, u := range r.Uses {
			worked = append(worked, u.Device)
		}
		for k, in := range meters {
			for n, c := range in.Channels {
				tr := results.Trace{Key: results.MeterKey(in.Name, c.Name), Unit: c.Unit, Kind: c.Kind, Boundary: c.Boundary, Origin: c.Origin}
				watts := in.Draws(n, r.Scenario, worked)
				for x := 0.1 + 0.037*float64(k); x < 112; x += 0.5 {
					v := watts
					if c.Kind == results.Counter {
						v *= float64(r.Anchor.T) + x
					}
					var err error
					if math.IsNaN(v) {
						v, err = 0, fmt.Errorf("the driver lost the card")
					}
					tr.Add(r.Anchor.T+results.Float(x), results.Float(v), err)
				}
				r.Traces = append(r.Traces, tr)
			}
		}
	}
	rec.Summary = results.Derive(rec)
	return rec
}
