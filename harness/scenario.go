package harness

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/perwatt/perwatt/kernels/device"
	"github.com/perwatt/perwatt/results"
)

// Scenario is a list of uses that run at the same time, each with a role.
type Scenario struct {
	Name  string
	Parts []Part
}

// Part is one use in a scenario.
type Part struct {
	Use     string
	Role    results.Role
	Variant string      // network to train, or stage of inference; "" for uses without
	Device  device.Info // on which it runs

	// Members are the equal cards that one worker drives together; nil for one device.
	// Device is then the first of them, with an ID that names all.
	Members []device.Info
}

// On lists the devices on which the part runs.
func (p Part) On() []device.Info {
	if len(p.Members) > 0 {
		return p.Members
	}
	return []device.Info{p.Device}
}

// work names what a part computes, whatever its role: a variant of a use on a device.
func (p Part) work() string { return strings.Join([]string{p.Use, p.Variant, p.Device.ID}, " ") }

// Names of scenarios that are no use alone.
const (
	idle   = "idle"
	mullet = "mullet"        // co-run: training, or products of matrices, in the foreground, mining on the CPU in the background
	shared = "mullet-shared" // both on one card, whose driver divides the time
)

// onRequest reports whether a scenario runs only if it is named. The memory of a card
// is measured by memory; copies to and fro are the bus's. Inference has a scenario for
// each stage and batch. What several cards do together has not yet run on hardware.
func (w Work) onRequest(name string) bool {
	return w.Together[name] != "" || slices.Contains([]string{"memory-copy", "memory-upload", "memory-download", shared}, name) || strings.HasPrefix(name, "inference")
}

// place is where a scenario runs: the CPU, or equal cards of one driver together.
type place []device.Info

// id names the devices of a place.
func (p place) id() string {
	ids := make([]string, len(p))
	for i, d := range p {
		ids[i] = d.ID
	}
	if id, ok := results.CardsID(ids); ok {
		return id
	}
	return strings.Join(ids, ",")
}

// suffix is what a scenario at the place has after its name.
func (p place) suffix() string {
	if p[0].ID == results.CPUDevice {
		return ""
	}
	return "@" + p.id()
}

// Equal reports whether two devices are GPUs of one model under one driver, so that
// they can work together.
func Equal(a, b device.Info) bool {
	driver := func(d device.Info) string {
		name, _, _ := strings.Cut(d.ID, ":")
		return name
	}
	return a.Kind == device.GPU && b.Kind == device.GPU && a.Vendor == b.Vendor && a.Name == b.Name && a.Memory == b.Memory && driver(a) == driver(b)
}

// places divides devices into those that work together.
func places(devices []device.Info) (out []place) {
	for _, d := range devices {
		i := slices.IndexFunc(out, func(p place) bool { return Equal(p[0], d) })
		if i < 0 {
			out = append(out, place{d})
			continue
		}
		out[i] = append(out[i], d)
	}
	return out
}

// Work is what sessions can run.
type Work struct {
	Uses []string // in the order of a session's first round
	// Variants are those of a use on a device, the first in a mullet; nil if it has
	// none. Each is a scenario of its own: networks to train, stages of inference.
	Variants func(use string, on device.Info) []string
	// Runs reports whether a use without variants runs on a device.
	Runs func(use string, on device.Info) bool
	// Together are the uses in which one worker has several equal cards do one piece of
	// work, each with the use of one card that it is compared with.
	Together map[string]string
}

// planner knows what a session can run.
type planner struct {
	Work
	devices []device.Info
}

// known lists the scenarios in the order of a session's first round.
func (p *planner) known() []string {
	return slices.Concat([]string{idle}, p.Uses, []string{mullet, shared})
}

// variants are those of a use on a device, "" for a use without; none if it does not
// run there. A name may be that of one variant, as in training-cnn.
func (p *planner) variants(name string, on device.Info) (use string, list []string) {
	for _, use := range p.Uses {
		list := p.Variants(use, on)
		if name == use {
			if len(list) == 0 && p.Runs(use, on) {
				list = []string{""}
			}
			return use, list
		}
		if one, ok := strings.CutPrefix(name, use+"-"); ok && slices.Contains(list, one) {
			return use, []string{one}
		}
	}
	return "", nil
}

// among reports whether a name is that of a scenario on some device.
func (p *planner) among(name string) bool {
	return slices.Contains(p.known(), name) || slices.ContainsFunc(p.devices, func(d device.Info) bool { return p.has(name, d) })
}

// has reports whether a use runs on a device.
func (p *planner) has(use string, on device.Info) bool {
	_, list := p.variants(use, on)
	return len(list) > 0
}

// front is what a device does in the foreground of a mullet: it trains or, if it
// cannot, multiplies matrices, in bf16 where it has that; "" if it does neither.
func (p *planner) front(on device.Info) (use, model string) {
	for _, use := range []string{"training-bf16", "training", "compute-bf16", "compute"} {
		if _, list := p.variants(use, on); len(list) > 0 {
			return use, list[0]
		}
	}
	return "", ""
}

// host returns the CPU, if it is among the devices of the session and mines.
func (p *planner) host() (cpu device.Info, ok bool) {
	i := slices.IndexFunc(p.devices, func(d device.Info) bool { return d.ID == results.CPUDevice })
	if i < 0 || !p.has("mining", p.devices[i]) {
		return cpu, false
	}
	return p.devices[i], true
}

// at returns the scenarios of a name at a place: one a model for training, none if
// its devices cannot run it.
func (p *planner) at(name string, where place) (out []Scenario) {
	first := where[0]
	each := func(use string, role results.Role, variant string) (parts []Part) {
		for _, d := range where {
			parts = append(parts, Part{use, role, variant, d, nil})
		}
		return parts
	}
	cpu, mines := p.host()
	add := func(name string, parts ...[]Part) {
		out = append(out, Scenario{name + where.suffix(), slices.Concat(parts...)})
	}
	front, model := p.front(first)
	switch card := first.ID != results.CPUDevice; {
	case name == mullet:
		if mines && front != "" && (card || model != "") {
			add(mullet, each(front, results.Foreground, model), []Part{{"mining", results.Background, "", cpu, nil}})
		}
	case name == shared:
		if card && front != "" && p.has("mining", first) {
			add(shared, each(front, results.Foreground, model), each("mining", results.Background, ""))
		}
	default:
		use, list := p.variants(name, first)
		for _, v := range list {
			full := use
			if v != "" {
				full += "-" + v
			}
			switch together := p.Together[use] != ""; {
			case !together:
				add(full, each(use, results.Alone, v))
			case len(where) > 1:
				all := first
				all.ID = where.id()
				for _, d := range where {
					all.Free = min(all.Free, d.Free) // 0 where one does not know
				}
				add(full, []Part{{use, results.Alone, v, all, where}})
			}
		}
	}
	return out
}

// able lists what a place can run.
func (p *planner) able(where place) string {
	var names []string
	for _, name := range p.known() {
		if len(p.at(name, where)) > 0 {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return "nothing"
	}
	return strings.Join(names, ", ")
}

// named returns the place that id names: a device, or equal ones as in cuda:0-2,4.
func (p *planner) named(id string) (where place, err error) {
	var ids []string
	for _, d := range p.devices {
		ids = append(ids, d.ID)
	}
	for _, one := range results.CardsOf(id) {
		i := slices.Index(ids, one)
		switch {
		case i < 0:
			return nil, fmt.Errorf("the session has no device %q: it has %s", one, strings.Join(ids, ", "))
		case len(where) > 0 && !Equal(where[0], p.devices[i]):
			return nil, fmt.Errorf("%s and %s are not equal, and only equal cards are measured together", where[0].ID, one)
		}
		where = append(where, p.devices[i])
	}
	return where, nil
}

// Scenarios returns the scenarios of the given names. A name is SCENARIO, which runs
// wherever it can, or SCENARIO@DEVICE, such as mining@cuda:1; equal cards of one
// driver run together, as in mining@cuda:0-3. A scenario on the CPU has no @DEVICE.
// SCENARIO is a use, with all its variants, or one of these, such as training-cnn. Without
// names there are all but those that cost much and say little more: copies of memory,
// inference and mullet-shared; and what several cards do together, which brings the same
// of the first of them alone.
//
// There must be at least one device. Idle is always included, since every net figure
// needs it. Training is one scenario for each model, such as training-mlp; the mullet
// trains the first. With a card in front, mullet@cuda:0, the card trains or, if it
// cannot, multiplies matrices, and the CPU mines.
func Scenarios(names []string, devices []device.Info, work Work) ([]Scenario, error) {
	p := planner{work, devices}
	known, together := p.known(), places(devices)
	where := map[string][]place{}
	if len(names) == 0 {
		for _, name := range known {
			if !p.onRequest(name) {
				where[name] = together
			}
		}
	}
	for _, n := range names {
		name, id, placed := strings.Cut(n, "@")
		switch {
		case !p.among(name):
			return nil, fmt.Errorf("unknown use %q: known are %s%s", name, strings.Join(known, ", "), results.DidYouMean(name, known))
		case name == idle && placed:
			return nil, fmt.Errorf("%q: idle is a state of the whole machine, not of one device", n)
		case name == idle:
			continue
		}
		here := together
		if placed {
			one, err := p.named(id)
			if err != nil {
				return nil, fmt.Errorf("%q: %w", n, err)
			}
			here = []place{one}
		}
		able := slices.DeleteFunc(slices.Clone(here), func(at place) bool { return len(p.at(name, at)) == 0 })
		if len(able) == 0 {
			var why []string
			for _, at := range here {
				why = append(why, fmt.Sprintf("%s runs %s", at.id(), p.able(at)))
			}
			if _, ok := p.host(); name == mullet && !ok {
				why = append(why, "the CPU, which mines behind a card, is not among the devices")
			}
			return nil, fmt.Errorf("%q: no device of the session can run it: %s", n, strings.Join(why, "; "))
		}
		add := func(name string, at place) {
			if !slices.ContainsFunc(where[name], func(p place) bool { return p.id() == at.id() }) {
				where[name] = append(where[name], at)
			}
		}
		for _, at := range able {
			add(name, at)
			if use, _ := p.variants(name, at[0]); work.Together[use] != "" {
				add(work.Together[use]+strings.TrimPrefix(name, use), at[:1])
			}
		}
	}
	// Single variants come after all uses but before mullets, and each scenario once.
	order := slices.Clone(known)
	for _, name := range slices.Sorted(maps.Keys(where)) {
		if !slices.Contains(order, name) {
			order = slices.Insert(order, slices.Index(order, mullet), name)
		}
	}
	out := []Scenario{{Name: idle}}
	for _, name := range order {
		for _, at := range where[name] {
			for _, s := range p.at(name, at) {
				if !slices.ContainsFunc(out, func(o Scenario) bool { return o.Name == s.Name }) {
					out = append(out, s)
				}
			}
		}
	}
	return out, nil
}
