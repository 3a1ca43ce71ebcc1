package report

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/perwatt/perwatt/results"
)

// Machine is what is known of a node before anything is measured on it: what
// it is, what would be used, and every doubt.
type Machine struct {
	Node     results.Node         `json:"node"`
	Kernels  []results.Kernel     `json:"kernels"`
	Meters   []results.Meter      `json:"meters"`
	Sought   []results.MeterProbe `json:"sought"`
	Warnings []results.Warning    `json:"warnings"`
}

// WriteMachine prints m on one screen.
func WriteMachine(w io.Writer, m Machine, opt Options) error {
	n := m.Node
	p := &page{
		title: []string{results.Line(n.Name, 40), results.Line(n.CPU.Model, 60), plural(n.CPU.Threads, "thread")},
		state: fmt.Sprintf("%.3g GiB", float64(n.Memory)/(1<<30)), whole: true,
	}
	p.parts = append(p.parts, machine(n), kernels(m.Kernels), meters(m))
	if d := recordWarnings(&results.Record{Warnings: m.Warnings}); d != nil {
		p.parts = append(p.parts, *d)
	} else {
		p.parts = append(p.parts, part{title: "No doubts"})
	}
	return flush(w, p, opt)
}

func machine(n results.Node) part {
	p := part{title: "Machine"}
	add := func(about string, facts ...string) {
		facts = slices.DeleteFunc(facts, func(s string) bool { return s == "" })
		if len(facts) > 0 {
			p.items = append(p.items, item{about, results.Line(strings.Join(facts, ", "), textLimit)})
		}
	}
	fact := func(name, value string) string {
		if value == "" {
			return ""
		}
		return name + " " + value
	}
	c, s := n.CPU, n.Settings
	clock := ""
	if !c.Clock.IsAbsent() {
		clock = Quantity(c.Clock, results.Hertz) + " nominal"
	}
	add("cpu", c.Arch, plural(c.Sockets, "socket"), plural(c.Cores, "core"), plural(c.Threads, "thread"), clock)
	var caches []string
	for i, bytes := range c.Cache {
		if bytes > 0 {
			caches = append(caches, fmt.Sprintf("%s %d KiB", []string{"L1d", "L2", "L3"}[min(i, 2)], bytes>>10))
		}
	}
	add("caches", caches...)
	add("system", n.OS, n.Kernel, n.Arch, s.Hypervisor, fact("container", s.Container))
	quota := ""
	if !s.CPUQuota.IsAbsent() {
		quota = fmt.Sprintf("quota %.4g CPUs", float64(s.CPUQuota))
	}
	limit := ""
	if !s.PowerCap.IsAbsent() {
		limit = "power cap " + Quantity(s.PowerCap, results.Watt)
	}
	add("settings", fact("governor", s.Governor), fact("turbo", s.Turbo), fact("SMT", s.SMT), fact("microcode", s.Microcode),
		fact("clock source", s.ClockSource), quota, limit)
	for _, d := range n.Devices {
		add(d.Kind, d.Name, d.ID)
	}
	return p
}

// kernels lists every implementation, what it needs, and which one would run.
func kernels(ks []results.Kernel) part {
	p := part{title: "Kernels, one thread"}
	cols := []column{
		{head: cell{value: "kernel"}, kind: name}, {head: cell{value: "implementation"}, kind: name},
		{head: cell{value: "needs"}, kind: name}, {head: cell{value: "answers"}, kind: name}, {head: cell{value: "trial"}},
	}
	row := func(values ...string) {
		for i, v := range values {
			cols[i].cells = append(cols[i].cells, cell{value: v})
		}
	}
	for _, k := range ks {
		for _, im := range k.Impls {
			answers := "right"
			switch {
			case !im.Supported:
				answers = "not on this CPU"
			case im.Check != "ok":
				answers = "WRONG: " + results.Line(im.Check, 60)
			}
			mark := ""
			if im.Name == k.Chosen {
				mark = " ← chosen"
			}
			row(results.Line(k.Name, nameLimit), results.Line(im.Name, nameLimit)+mark, cmp.Or(results.Line(strings.Join(im.Needs, " "), 40), "nothing"), answers, Quantity(im.Rate, im.Unit))
		}
		p.notes = append(p.notes, fmt.Sprintf("%s: %s is chosen: %s.", results.Line(k.Name, nameLimit), results.Line(k.Chosen, nameLimit), results.Line(k.Why, textLimit)))
	}
	p.columns = cols
	return p
}

func meters(m Machine) part {
	p := part{title: "Meters"}
	for _, s := range m.Sought {
		p.items = append(p.items, item{results.Line(s.Meter, nameLimit), results.Line(s.State, nameLimit) + ": " + results.Line(s.Detail, textLimit)})
	}
	for _, meter := range m.Meters {
		var channels []string
		for _, c := range meter.Channels {
			channels = append(channels, fmt.Sprintf("%s (%s · %s, %s)", c.Name, c.Boundary, c.Origin, c.Unit))
		}
		p.items = append(p.items, item{results.Line(meter.Name, nameLimit), results.Line("reads "+strings.Join(channels, ", "), textLimit)})
		for _, n := range meter.Notes {
			p.items = append(p.items, item{"", results.Line(n, textLimit)})
		}
	}
	p.items = append(p.items, item{"", "PDUs, BMCs, plugs and others are asked by name: perwatt meters lists them"})
	return p
}
