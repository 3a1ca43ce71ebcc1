package results

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Place is what a row of a summary ran on, in words that hold for other sessions
// and other nodes, in which the same card may have another number.
type Place struct {
	// Base is the scenario without the devices it names: mining for mining@cuda:0.
	Base string
	// Cards names the devices other than the CPU that the scenario ran on, by kind
	// and model: "gpu NVIDIA H200", "4 × gpu NVIDIA H200"; where one of four gave no
	// result, "3 of 4 × gpu NVIDIA H200". Empty if there are none.
	Cards string
	// Name is Cards for a reader: "NVIDIA H200", "4 × NVIDIA H200".
	Name string
	// Kind is that of these devices, such as gpu or gpu + cpu; empty if there are none.
	Kind string
	// Device is the row's own: [CPUDevice] and [MinerDevice] as they are, others by
	// kind and model, with #2, #3 … for the second and third of one model that the
	// record has at Base, in the order of their PCI addresses; empty for idle.
	Device string
	// On counts the devices that did the work of the row.
	On []DeviceCount
	// Part is true for a row of one card of several that worked at the same time: the
	// node's energy is that of all of them.
	Part bool
}

// Scenario is the scenario with what its cards are instead of their numbers:
// "mining@2 × gpu NVIDIA H200".
func (p Place) Scenario() string {
	if p.Cards == "" {
		return p.Base
	}
	return p.Base + "@" + p.Cards
}

// unplaced reports whether an id is that of the host's processors or of a miner,
// which is alone in its record, or of nothing.
func unplaced(id string) bool { return id == "" || id == CPUDevice || id == MinerDevice }

// mostModel is the most of a model's name in an identity, in runes.
const mostModel = 80

// identity is a device without what differs between nodes.
func (d Device) identity(id string) string {
	if d.Kind == "" { // the record does not describe it
		return Line(id, mostModel)
	}
	return strings.TrimSpace(string(d.Kind) + " " + d.model())
}

// model is the name of a device. A CPU behind OpenCL is labelled: it is no GPU.
func (d Device) model() string {
	model := Line(strings.Join(strings.Fields(d.Model), " "), mostModel)
	if d.Kind == KindCPU && !unplaced(d.ID) && !strings.Contains(model, "a CPU") {
		model = strings.TrimSpace(model + " (a CPU, through OpenCL)")
	}
	return model
}

// Places returns the place of each row of the summary.
func (r *Record) Places() []Place {
	type key struct {
		scenario, use string
		role          Role
	}
	cards, alike, workers := map[string][]string{}, map[string][]string{}, map[key][]string{} // ids, by scenario, by its base, and of a use
	add := func(to []string, id string) []string {
		if !slices.Contains(to, id) {
			to = append(to, id)
		}
		return to
	}
	for i := range r.Runs {
		run := &r.Runs[i]
		if run.Status != OK {
			continue
		}
		for _, u := range run.Uses {
			k := key{run.Scenario, u.Use, u.Role}
			base, _, _ := strings.Cut(run.Scenario, "@")
			for _, id := range u.Devices() {
				if workers[k] = add(workers[k], id); !unplaced(id) {
					cards[run.Scenario], alike[base] = add(cards[run.Scenario], id), add(alike[base], id)
				}
			}
		}
	}
	devices := make(map[string]Device, len(r.Node.Devices))
	for _, d := range r.Node.Devices {
		devices[d.ID] = d
	}
	number := func(base, id string) string {
		if n := ordinal(devices, alike[base], id); n > 1 {
			return fmt.Sprintf(" #%d", n)
		}
		return ""
	}
	gave := map[string]int{} // cards, by scenario, where some gave nothing
	for _, row := range r.Summary.Rows {
		if c := row.Cards; c != nil && c.Gave < c.Of {
			gave[row.Scenario] = c.Gave
		}
	}
	out := make([]Place, len(r.Summary.Rows))
	for i, row := range r.Summary.Rows {
		p := Place{Base: row.Scenario, Device: row.Device}
		ids := cards[row.Scenario]
		if len(ids) > 0 {
			p.Base, _, _ = strings.Cut(row.Scenario, "@")
			var identities, names, kinds []string
			for _, id := range ids {
				d := devices[id]
				d.ID = id
				identities, names, kinds = append(identities, d.identity(id)), append(names, cmp.Or(d.model(), Line(id, 24))), add(kinds, cmp.Or(string(d.Kind), id))
			}
			p.Cards, p.Name, p.Kind = counted(identities), counted(names), strings.Join(kinds, " + ")
			if n, some := gave[row.Scenario]; some {
				p.Cards, p.Name = fmt.Sprintf("%d of %s", n, p.Cards), fmt.Sprintf("%d of %s", n, p.Name)
			}
			if len(ids) == 1 {
				p.Cards, p.Name = p.Cards+number(p.Base, ids[0]), p.Name+number(p.Base, ids[0])
			}
		}
		of := workers[key{row.Scenario, row.Use, row.Role}]
		if slices.Contains(of, row.Device) {
			p.Part, of = len(of) > 1, []string{row.Device}
		}
		if row.Cards != nil {
			of = of[:min(row.Cards.Gave, len(of))] // equal ones
		}
		if row.Device != "" {
			node := Node{}
			for _, id := range of {
				if d, ok := devices[id]; ok {
					node.Devices = append(node.Devices, d)
				}
			}
			p.On = node.Hardware()
		}
		if !unplaced(row.Device) {
			if p.Device = p.Cards; row.Cards == nil && len(of) == 1 { // otherwise the row is of them all
				p.Device = devices[row.Device].identity(row.Device) + number(p.Base, row.Device)
			}
		}
		out[i] = p
	}
	return out
}

// counted joins names, each once with how often it is there.
func counted(names []string) string {
	n := map[string]int{}
	for _, name := range names {
		n[name]++
	}
	var words []string
	for _, name := range names {
		if n[name] > 1 {
			words = append(words, fmt.Sprintf("%d × %s", n[name], name))
		} else if n[name] == 1 {
			words = append(words, name)
		}
		n[name] = 0
	}
	return strings.Join(words, " + ")
}

// ordinal is the place of a device, from 1, among those of its identity. PCI
// addresses order them: drivers number cards as they like.
func ordinal(devices map[string]Device, ids []string, id string) int {
	n := 1
	own := devices[id]
	for _, other := range ids {
		if d := devices[other]; other != id && d.identity(other) == own.identity(id) && cmp.Or(cmp.Compare(d.PCI, own.PCI), cmp.Compare(len(other), len(id)), cmp.Compare(other, id)) < 0 {
			n++
		}
	}
	return n
}

// DeviceName is a device for a reader: "cuda:0 (NVIDIA H200)"; its id alone if the
// record does not name its model.
func (n *Node) DeviceName(id string) string {
	name := Line(id, 24)
	if model := n.ModelOf(id); model != "" {
		name += " (" + model + ")"
	}
	return name
}

// ModelOf is the model of a device for a reader, in which a CPU behind OpenCL is
// labelled; empty if the record does not name it.
func (n *Node) ModelOf(id string) string { return n.Device(id).model() }

// UseName is a use for a reader, with its device unless that is the CPU or a
// miner: "mining", "compute bf16 on cuda:0 (NVIDIA H200)".
func (n *Node) UseName(use, device string) string {
	if use = UseWords(use); !unplaced(device) {
		use += " on " + n.DeviceName(device)
	}
	return use
}

// UseWords is the name of a use in a sentence: "compute bf16" for compute-bf16.
func UseWords(use string) string {
	for _, of := range []string{"compute-", "memory-"} {
		if kind, ok := strings.CutPrefix(use, of); ok {
			return of[:len(of)-1] + " " + kind
		}
	}
	switch use { // but training-mlp is a scenario
	case Training + "-bf16":
		return Training + " bf16"
	case Training + Parallel:
		return "parallel " + Training
	case Training + Parallel + "-bf16":
		return "parallel " + Training + " bf16"
	}
	return use
}
