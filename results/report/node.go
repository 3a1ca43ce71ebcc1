package report

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/report/table"
)

// Machine is what is known of a node before anything is measured on it: its parts,
// the kernels and meters that would be used, and every warning.
type Machine struct {
	Node        results.Node         `json:"node"`
	Usable      []string             `json:"usable"` // IDs of the devices that can be measured
	Drivers     []DriverProbe        `json:"drivers"`
	Kernels     []results.Kernel     `json:"kernels"`
	Memory      []results.MemoryPlan `json:"memory"`
	Meters      []results.Meter      `json:"meters"`
	MeterProbes []results.MeterProbe `json:"meter_probes"`
	Warnings    []results.Warning    `json:"warnings"`
}

// DriverProbe is a driver of devices that was looked for.
type DriverProbe struct {
	Driver string `json:"driver"`
	State  string `json:"state"` // found, no device, absent, failed
	Detail string `json:"detail"`
}

// WriteMachine prints m on one screen.
func WriteMachine(w io.Writer, m Machine, opt Options) error {
	n := m.Node
	p := &table.Page{
		Title: []string{results.Line(n.Name, 40), results.Line(n.Models(), 60), results.Plural(n.Threads(), "thread")},
		State: gib(n.Memory), Whole: true,
	}
	p.Add(machine(n), devices(m), kernels(m.Kernels), memory(m.Memory), meters(m))
	if p.Add(recordWarnings(&results.Record{Warnings: m.Warnings})); len(m.Warnings) == 0 {
		p.Add(table.Table{Notes: []string{"No warnings"}})
	}
	return p.WriteText(w, opt.Width, opt.Color)
}

func machine(n results.Node) table.Table {
	t := table.Table{Title: "Machine"}
	add := func(about string, facts ...string) {
		facts = slices.DeleteFunc(facts, func(s string) bool { return s == "" })
		if len(facts) > 0 {
			t.Add(about, strings.Join(facts, ", "))
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
		clock = table.Quantity(c.Clock, results.Hertz) + " nominal"
	}
	add("cpu", c.Arch, results.Plural(c.Sockets, "socket"), results.Plural(c.Cores, "core"), results.Plural(n.Threads(), "thread"), clock)
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
		quota = "quota " + table.Round(float64(s.CPUQuota), 4) + " CPUs"
	}
	limit := ""
	if !s.PowerCap.IsAbsent() {
		limit = "power cap " + table.Quantity(s.PowerCap, results.Watt)
	}
	add("settings", fact("governor", s.Governor), fact("turbo", s.Turbo), fact("SMT", s.SMT), fact("microcode", s.Microcode),
		fact("clock source", s.ClockSource), quota, limit)
	return t
}

// devices lists the devices of the node, and which of them perwatt run can measure.
func devices(m Machine) table.Table {
	t := table.Table{Title: "Devices", Columns: []table.Column{
		{Head: "device", Kind: table.Name}, {Head: "kind", Kind: table.Name}, {Head: "model", Kind: table.Name, Limit: 60},
		{Head: "address", Kind: table.Name}, {Head: "driver", Kind: table.Name}, {Head: "usable", Kind: table.Name},
	}}
	limited := slices.ContainsFunc(m.Node.Devices, func(d results.Device) bool { return d.PowerLimit != nil })
	if limited {
		t.Columns = append(t.Columns, table.Column{Head: "power limit", Under: "by default"})
	}
	gpu := false
	var unproven []string
	for _, d := range m.Node.Devices {
		gpu = gpu || d.Kind == results.KindGPU
		usable := "no: no driver found for it"
		switch {
		case !slices.Contains(m.Usable, d.ID):
		case d.Kind == results.KindGPU:
			usable, unproven = "yes", append(unproven, d.ID)
		case d.Driver != "":
			usable = "when named by --device"
		default:
			usable = "yes"
		}
		line := []table.Cell{text(d.ID), text(d.Kind), text(d.Model), text(cmp.Or(d.PCI, table.Absent)), text(cmp.Or(d.Driver, table.Absent)), text(usable)}
		if limited {
			limit := table.Text{Text: table.Absent}
			if l := d.PowerLimit; l != nil {
				limit.Text, limit.Under = table.Quantity(l.Enforced, results.Watt), table.Absent
				if !l.Default.IsAbsent() {
					limit.Under = table.Quantity(l.Default, results.Watt)
				}
			}
			line = append(line, limit)
		}
		t.Row(line...)
	}
	for _, p := range m.Drivers {
		t.Add(results.Line(p.Driver, table.NameLimit), results.Line(p.State+": "+p.Detail, table.TextLimit))
	}
	if !gpu {
		t.Notes = append(t.Notes, "No GPU found.")
	}
	t.Notes = append(t.Notes, sheets(m.Node)...)
	for i, id := range unproven {
		equal := func(other string) bool {
			driver, _, _ := strings.Cut(id, ":")
			return strings.HasPrefix(other, driver+":") && m.Node.ModelOf(other) == m.Node.ModelOf(id)
		}
		all := slices.DeleteFunc(slices.Clone(unproven), func(other string) bool { return !equal(other) })
		if cards, ok := results.CardsID(all); ok && len(all) > 1 && slices.Index(unproven, all[0]) == i {
			t.Notes = append(t.Notes, cards+": equal cards train a model each in training, and one model together in training-parallel, if that is named in --uses; the latter has not yet run on hardware.")
		}
	}
	if len(unproven) > 0 {
		t.Notes = append(t.Notes, results.Line("Kernels for "+strings.Join(unproven, ", "), table.TextLimit)+": not yet run on hardware.")
	}
	return t
}

// sheets are notes on what the makers of the cards state, one a model.
func sheets(n results.Node) (notes []string) {
	for _, d := range n.Devices {
		if d.Sheet == nil {
			continue
		}
		var figures []string
		for _, f := range []struct {
			name string
			v    results.Float
			unit results.Unit
		}{
			{"fp64", d.Sheet.FP64, results.FLOP.Per(results.Second)}, {"fp64 matrix", d.Sheet.FP64Matrix, results.FLOP.Per(results.Second)},
			{"fp32", d.Sheet.FP32, results.FLOP.Per(results.Second)}, {"tf32", d.Sheet.TF32, results.FLOP.Per(results.Second)},
			{"bf16", d.Sheet.BF16, results.FLOP.Per(results.Second)}, {"fp16", d.Sheet.FP16, results.FLOP.Per(results.Second)},
			{"memory", d.Sheet.Memory, results.Byte.Per(results.Second)}, {"board", d.Sheet.Board, results.Watt},
		} {
			if !f.v.IsAbsent() {
				figures = append(figures, f.name+" "+table.Quantity(f.v, f.unit))
			}
		}
		note := fmt.Sprintf("Datasheet of %s, dense, which nothing is divided by: %s (%s).", results.Line(d.Model, table.NameLimit), strings.Join(figures, ", "), results.Line(d.Sheet.Source, table.TextLimit))
		if !slices.Contains(notes, note) {
			notes = append(notes, note)
		}
	}
	return notes
}

// kernels lists every implementation, the CPU features it needs, and the one that
// would run.
func kernels(ks []results.Kernel) table.Table {
	t := table.Table{Title: "Kernels, one thread of the CPU or a whole GPU", Columns: []table.Column{
		{Head: "kernel", Kind: table.Name}, {Head: "device", Kind: table.Name}, {Head: "implementation", Kind: table.Name, Limit: 2 * table.NameLimit}, {Head: "needs", Kind: table.Name, Limit: 40}, {Head: "answers", Kind: table.Name, Limit: 80}, {Head: "trial"},
	}}
	for _, k := range ks {
		for _, im := range k.Impls {
			answers := "right"
			switch {
			case !im.Supported && im.Check != "":
				answers = "not on this machine: " + results.Line(im.Check, 60)
			case !im.Supported:
				answers = "not on this device"
			case im.Check != "ok":
				answers = "WRONG: " + results.Line(im.Check, 60)
			}
			name := results.Line(im.Name, table.NameLimit)
			if im.Library != "" {
				name += " (" + results.Line(im.Library, table.NameLimit) + ")"
			}
			if im.Name == k.Chosen {
				name += " ← chosen"
			}
			t.Row(text(k.Name), text(k.Device), text(name), text(cmp.Or(strings.Join(im.Needs, " "), "nothing")), text(answers), quantity(im.Rate, im.Unit, false))
		}
		if k.Chosen == "" {
			t.Notes = append(t.Notes, fmt.Sprintf("%s on %s: none is chosen: %s.", results.Line(k.Name, table.NameLimit), results.Line(k.Device, table.NameLimit), results.Line(k.Why, table.TextLimit)))
			continue
		}
		t.Notes = append(t.Notes, fmt.Sprintf("%s on %s: %s is chosen: %s.", results.Line(k.Name, table.NameLimit), results.Line(k.Device, table.NameLimit), results.Line(k.Chosen, table.NameLimit), results.Line(k.Why, table.TextLimit)))
	}
	return t
}

// memory lists what each network takes to train, by plan.
func memory(plans []results.MemoryPlan) table.Table {
	t := table.Table{Title: "Memory that training takes, by plan", Columns: []table.Column{
		{Head: "network", Kind: table.Name}, {Head: "use", Kind: table.Name}, {Head: "device", Kind: table.Name}, {Head: "batch"},
		{Head: "weights"}, {Head: "gradients"}, {Head: "optimiser"}, {Head: "activations"}, {Head: "workspace"}, {Head: "all"},
	}}
	bytes := func(n int64) table.Cell { return quantity(results.Float(n), results.Byte, false) }
	for _, p := range plans {
		if p.Why != "" {
			t.Notes = append(t.Notes, results.Line(fmt.Sprintf("%s on %s: %s.", p.Use, p.Device, p.Why), 2*table.TextLimit))
			continue
		}
		t.Row(text(p.Model), text(p.Use), text(p.Device), text(fmt.Sprint(p.Batch)),
			bytes(p.Weights), bytes(p.Gradients), bytes(p.Optimiser), bytes(p.Activations), bytes(p.Workspace), bytes(p.Total))
		if note := fmt.Sprintf("%s has %s free.", p.Device, table.Quantity(results.Float(p.Free), results.Byte)); p.Free > 0 && !slices.Contains(t.Notes, note) {
			t.Notes = append(t.Notes, note)
		}
	}
	return t
}

func meters(m Machine) table.Table {
	t := table.Table{Title: "Meters", Items: probed(m.MeterProbes)}
	for _, meter := range m.Meters {
		var channels []string
		for _, c := range meter.Channels {
			of := ""
			if c.Card != "" {
				of = " of " + cardOf(m.Node, c.Card)
			}
			channels = append(channels, fmt.Sprintf("%s (%s%s · %s, %s)", c.Name, c.Boundary, of, c.Origin, c.Unit))
		}
		t.Add(results.Line(meter.Name, table.NameLimit), results.Line("reads "+strings.Join(channels, ", "), table.TextLimit))
		for _, n := range meter.Notes {
			t.Add("", results.Line(n, table.TextLimit))
		}
	}
	t.Add("", "PDUs, BMCs, plugs and others are asked by name: perwatt meters lists them")
	return t
}

// cardOf is the device that a channel measures.
func cardOf(n results.Node, card string) string {
	for _, d := range n.Devices {
		if strings.EqualFold(d.PCI, card) || strings.EqualFold(d.UUID, card) {
			return d.ID
		}
	}
	return card + ", which no device here is"
}
