package store

import (
	"cmp"
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"fmt"
	"iter"
	"math/bits"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/perwatt/perwatt/results"
)

// Group identifies machines whose figures may be compared, be it two nodes or one
// node on two nights: its parts, which do not change by themselves, where its watts
// are measured, and whether other nodes measured beside it. The name of the node, its
// kernel, its settings and the code belong to the [Environment].
type Group struct {
	ID      string `json:"-"`    // hash of the rest
	Arch    string `json:"arch"` // as Go calls it
	CPU     string `json:"cpu"`  // model; empty for a miner
	Sockets int    `json:"sockets"`
	Cores   int    `json:"cores"`
	Threads int    `json:"threads"` // 0 if unknown, as of benchmark text
	Memory  int64  `json:"memory"`  // bytes installed: see installed
	// Devices are the accelerators, or the miner.
	Devices  []results.DeviceCount `json:"devices,omitempty"`
	Meter    string                `json:"meter"` // its kind, such as rapl; empty without one
	Boundary results.Boundary      `json:"boundary"`
	// Together is true of sessions of many nodes that measured at the same time on
	// purpose: they share power and cooling, so that it is another measurement.
	Together bool `json:"together,omitempty"`
}

// groupOf returns the node group of a record.
func groupOf(rec *results.Record) Group {
	n := &rec.Node
	g := Group{Arch: n.Arch, Sockets: n.CPU.Sockets, Cores: n.CPU.Cores, Threads: n.Threads(), Memory: installed(n.Memory), Together: rec.Plan.Together() > 0}
	for _, c := range n.Hardware() {
		if c.Kind == results.KindCPU {
			g.CPU = c.Model
		} else {
			g.Devices = append(g.Devices, c)
		}
	}
	if h := rec.Summary.PrimaryMeter; h != nil {
		g.Meter, g.Boundary = h.Meter, h.Boundary
	}
	raw, err := json.Marshal(g)
	if err != nil {
		panic(err) // strings and whole numbers
	}
	sum := sha256.Sum256(raw)
	g.ID = strings.ToLower(base32.StdEncoding.EncodeToString(sum[:5]))
	return g
}

// installed rounds the memory that an operating system reports, in bytes, up to what
// is likely installed: a multiple of an eighth of a power of two. The part that
// kernel and firmware reserve changes with their versions.
func installed(memory int64) int64 {
	if memory <= 0 {
		return 0
	}
	step := int64(1) << max(0, bits.Len64(uint64(memory-1))-4)
	return (memory + step - 1) / step * step
}

// vendors are words in a CPU's model name that do not distinguish models.
var vendors = regexp.MustCompile(`\((R|TM|r|tm)\)|\b(Processor|CPU|[0-9]+-Core)\b|@.*`)

// Name is the group in reports: AMD EPYC 7543 1×32c/64t + 2 × NVIDIA H200 256 GiB snmp/wall.
func (g Group) Name() string {
	var parts []string
	cpu := strings.Join(strings.Fields(vendors.ReplaceAllString(g.CPU, "")), " ")
	switch {
	case cpu == "" && len(g.Devices) > 0 && g.Devices[0].Kind == results.KindMiner:
	case cpu == "":
		cpu = strings.TrimSpace("unknown CPU " + g.Arch)
		fallthrough
	case g.Threads == 0:
		parts = append(parts, cpu)
	case g.Sockets == 0 || g.Cores == 0:
		parts = append(parts, fmt.Sprintf("%s %dt", cpu, g.Threads))
	default:
		parts = append(parts, fmt.Sprintf("%s %d×%dc/%dt", cpu, g.Sockets, g.Cores/max(1, g.Sockets), g.Threads))
	}
	for _, d := range g.Devices {
		model := cmp.Or(d.Model, "unknown "+string(d.Kind))
		if d.Count > 1 {
			model = fmt.Sprintf("%d × %s", d.Count, model)
		}
		parts = append(parts, model)
	}
	name := strings.Join(parts, " + ")
	if g.Memory > 0 {
		gib := float64(g.Memory) / (1 << 30)
		size := fmt.Sprintf("%.3g", gib)
		if gib >= 100 {
			size = results.Thousands(fmt.Sprintf("%.0f", gib)) // and not 1.02e+03
		}
		name += " " + size + " GiB"
	}
	if g.Meter == "" {
		name += " no meter"
	} else {
		name += " " + g.Meter + "/" + string(g.Boundary)
	}
	if g.Together {
		name += " together"
	}
	return name
}

// Hardware is the group without its meter: the machines that are equal whatever reads
// their watts. Its identifier is empty.
func (g Group) Hardware() Group {
	g.ID, g.Meter, g.Boundary = "", "", ""
	return g
}

// NodeLabel is the label that names the node of a record where the machine's own
// name changes, as in a container that is new every night.
const NodeLabel = "node"

// Environment holds the other attributes of a session. They are not part of the
// identity of its figures. An empty string means unknown.
type Environment struct {
	Node        string `json:"node,omitempty"`     // name: the label node if there is one, else the machine's name
	Version     string `json:"version,omitempty"`  // of the program that measured
	Revision    string `json:"revision,omitempty"` // of its source
	Go          string `json:"go,omitempty"`
	OS          string `json:"os,omitempty"`
	Kernel      string `json:"kernel,omitempty"`
	Microcode   string `json:"microcode,omitempty"`
	Firmware    string `json:"firmware,omitempty"` // of the devices
	Driver      string `json:"driver,omitempty"`   // of the devices
	Governor    string `json:"governor,omitempty"`
	Turbo       string `json:"turbo,omitempty"`
	SMT         string `json:"smt,omitempty"`
	Hypervisor  string `json:"hypervisor,omitempty"`
	Container   string `json:"container,omitempty"`
	ClockSource string `json:"clock_source,omitempty"`
	CPUQuota    string `json:"cpu_quota,omitempty"`   // CPUs
	PowerCap    string `json:"power_cap,omitempty"`   // W
	Meter       string `json:"meter,omitempty"`       // source of the headline meter and its channels
	Origin      string `json:"origin,omitempty"`      // of its watts
	Calibration string `json:"calibration,omitempty"` // its stated accuracy
	Setting     string `json:"setting,omitempty"`     // labels of where the session ran: see settingLabels
}

// settingLabels are the labels of a session that name where it ran, as far as
// records do not show it themselves. Benchmark text has them in its configuration.
var settingLabels = []string{"machine", "instance", "runner", "image", "toolchain", "compiler"}

// settingOf formats the labels that name where a session ran.
func settingOf(labels map[string]string) string {
	var said []string
	for _, k := range settingLabels {
		if v := labels[k]; v != "" {
			said = append(said, k+" "+v)
		}
	}
	return strings.Join(said, ", ")
}

func environmentOf(rec *results.Record) Environment {
	n, s := rec.Node, rec.Node.Settings
	e := Environment{
		Node: cmp.Or(rec.Plan.Labels[NodeLabel], n.Name), Version: rec.Tool.Version, Revision: rec.Tool.Revision, Go: rec.Tool.Go, OS: n.OS, Kernel: n.Kernel,
		Microcode: s.Microcode, Governor: s.Governor, Turbo: s.Turbo, SMT: s.SMT, Hypervisor: s.Hypervisor, Container: s.Container,
		ClockSource: s.ClockSource, CPUQuota: number(s.CPUQuota), PowerCap: number(s.PowerCap), Setting: settingOf(rec.Plan.Labels),
	}
	var firmware, drivers []string
	for _, d := range n.Devices {
		firmware, drivers = append(firmware, d.Firmware), append(drivers, d.Driver)
	}
	e.Firmware, e.Driver = distinct(firmware), distinct(drivers)
	h := rec.Summary.PrimaryMeter
	if h == nil {
		return e
	}
	e.Origin = string(h.Origin)
	for _, m := range rec.Meters {
		if !h.Has(m.Name) {
			continue
		}
		if len(h.Meters) > 0 && e.Meter != "" {
			e.Meter += " + " + m.Source
		} else {
			e.Meter = m.Source
		}
		for _, c := range m.Channels {
			part := h.Boundary == results.CardsPackages && (c.Total == results.Cards || c.Total == results.Package)
			if c.Total != h.Boundary && !part {
				continue
			}
			e.Meter += " " + c.Name
			a := c.Accuracy
			e.Calibration += fmt.Sprintf("%s ±%s ±%s W step %s %s; ", c.Name, number(a.Gain), number(a.Offset), number(a.Resolution), a.Source)
			if a.Duty != nil {
				e.Calibration += fmt.Sprintf("sees %s of the time; ", number(*a.Duty))
			}
		}
		for _, note := range m.Notes { // coefficients
			e.Calibration += note + "; "
		}
	}
	e.Calibration = strings.TrimSuffix(e.Calibration, "; ")
	return e
}

// distinct lists the texts that are not empty, each once.
func distinct(texts []string) string {
	slices.Sort(texts)
	texts = slices.DeleteFunc(slices.Compact(texts), func(s string) bool { return s == "" })
	return strings.Join(texts, ", ")
}

// number formats a figure; an absent one is empty.
func number(f results.Float) string {
	if f.IsAbsent() {
		return ""
	}
	return fmt.Sprintf("%.6g", float64(f))
}

// watched are the attributes whose change is an event. The code under test is not
// among them: events serve to distinguish its changes from the machine's.
var watched = []struct {
	kind string
	of   func(*Environment) string
}{
	{"kernel", func(e *Environment) string { return strings.TrimSpace(e.OS + " " + e.Kernel) }},
	{"microcode", func(e *Environment) string { return e.Microcode }},
	{"firmware", func(e *Environment) string { return e.Firmware }},
	{"driver", func(e *Environment) string { return e.Driver }},
	{"governor", func(e *Environment) string { return e.Governor }},
	{"turbo", func(e *Environment) string { return e.Turbo }},
	{"smt", func(e *Environment) string { return e.SMT }},
	{"hypervisor", func(e *Environment) string { return e.Hypervisor }},
	{"container", func(e *Environment) string { return e.Container }},
	{"clock source", func(e *Environment) string { return e.ClockSource }},
	{"CPU quota", func(e *Environment) string { return e.CPUQuota }},
	{"power cap", func(e *Environment) string { return e.PowerCap }},
	{"meter", func(e *Environment) string { return e.Meter }},
	{"calibration", func(e *Environment) string { return e.Calibration }},
	{"Go", func(e *Environment) string { return e.Go }},
	{"surroundings", func(e *Environment) string { return e.Setting }},
}

// Attributes yields what can change on a machine, by the kinds of [Event], and the code
// that measured.
func (e *Environment) Attributes() iter.Seq2[string, string] {
	return func(yield func(kind, value string) bool) {
		for _, w := range watched {
			if !yield(w.kind, w.of(e)) {
				return
			}
		}
		yield("perwatt", strings.TrimSpace(e.Version+" "+e.Revision))
	}
}

// Event is a change of something other than the code under test. Figures from
// before and after it should not be compared.
type Event struct {
	At        time.Time `json:"at"`              // start of the first session that shows it, or as given by hand
	Group     string    `json:"group,omitempty"` // empty for every group
	Node      string    `json:"node,omitempty"`  // empty for every node of the group
	Kind      string    `json:"kind"`            // kernel, microcode …; [Renamed]; "by hand"
	From      string    `json:"from,omitempty"`
	To        string    `json:"to,omitempty"`
	Text      string    `json:"text,omitempty"`      // of one by hand
	Record    string    `json:"record,omitempty"`    // the first that shows it
	Amendment string    `json:"amendment,omitempty"` // the one that names it
}

// Renamed is the kind of event at which the only node of a group got another name.
const Renamed = "node"

// changes returns the differences between two sessions.
func changes(before, after *Environment) (events []Event) {
	for _, w := range watched {
		if from, to := w.of(before), w.of(after); from != to {
			events = append(events, Event{Node: after.Node, Kind: w.kind, From: from, To: to})
		}
	}
	return events
}
