// Package all is the explicit list of meters: it opens the instruments that the user's
// specs name. A new instrument is a folder beside it and a line in kinds.
package all

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/perwatt/perwatt/harness/endpoint"
	"github.com/perwatt/perwatt/harness/power"
	"github.com/perwatt/perwatt/harness/power/command"
	"github.com/perwatt/perwatt/harness/power/declared"
	"github.com/perwatt/perwatt/harness/power/hwmon"
	"github.com/perwatt/perwatt/harness/power/ipmi"
	"github.com/perwatt/perwatt/harness/power/modbus"
	"github.com/perwatt/perwatt/harness/power/model"
	"github.com/perwatt/perwatt/harness/power/nvml"
	"github.com/perwatt/perwatt/harness/power/plug"
	"github.com/perwatt/perwatt/harness/power/prometheus"
	"github.com/perwatt/perwatt/harness/power/ptd"
	"github.com/perwatt/perwatt/harness/power/rapl"
	"github.com/perwatt/perwatt/harness/power/redfish"
	"github.com/perwatt/perwatt/harness/power/snmp"
	"github.com/perwatt/perwatt/results"
)

// Roots are the places where the kernel's file systems are mounted.
type Roots struct {
	Sys  string // of sysfs; /sys if empty
	Proc string // of procfs; /proc if empty
	NVML string // library of NVIDIA's driver; libnvidia-ml.so.1, where the linker finds it, if empty
}

// States of a [results.MeterProbe].
const (
	Used    = "used"
	Found   = "found"   // present but not used
	Absent  = "absent"  // not on this machine
	Refused = "refused" // present but not readable
)

// kind is one kind of meter.
type kind struct {
	name    string
	target  string // form of the text after the colon; empty if there is none
	options []endpoint.Option
	auto    bool // whether auto looks for it, in the order of the list
	beside  bool // whether auto uses it beside the first that has a total
	help    string
	open    func(ctx context.Context, s power.Spec, r Roots) (power.Meter, error)
}

var kinds = []kind{
	{name: "rapl", auto: true, help: "energy counters of CPU packages and memory",
		open: func(_ context.Context, _ power.Spec, r Roots) (power.Meter, error) {
			return rapl.Open(r.Sys, r.Proc)
		}},
	{name: "hwmon", auto: true, help: "power and energy sensors of the platform",
		open: func(_ context.Context, _ power.Spec, r Roots) (power.Meter, error) { return hwmon.Open(r.Sys) }},
	{name: "nvml", options: nvml.Options, auto: true, beside: true, help: "NVIDIA cards, each on its own",
		open: func(ctx context.Context, s power.Spec, r Roots) (power.Meter, error) {
			return nvml.Open(ctx, s, r.NVML)
		}},
	{name: "model", auto: true, help: "modelled from CPU time and published coefficients; never ranked",
		open: func(_ context.Context, _ power.Spec, r Roots) (power.Meter, error) { return model.Open(r.Proc) }},
	{name: "ipmi", target: "HOST[:PORT]", options: ipmi.Options, help: "a BMC's power reading, by DCMI over IPMI 2.0",
		open: func(ctx context.Context, s power.Spec, _ Roots) (power.Meter, error) { return ipmi.Open(ctx, s) }},
	{name: "redfish", target: "URL", options: redfish.Options, help: "power reading of a server's management controller (BMC), over Redfish",
		open: func(ctx context.Context, s power.Spec, _ Roots) (power.Meter, error) { return redfish.Open(ctx, s) }},
	{name: "snmp", target: "HOST[:PORT]", options: snmp.Options, help: "a PDU or another SNMP agent, at the wall",
		open: func(ctx context.Context, s power.Spec, _ Roots) (power.Meter, error) { return snmp.Open(ctx, s) }},
	{name: "plug", target: "URL", options: plug.Options, help: "a metering plug or distribution-board meter: Shelly, Tasmota",
		open: func(ctx context.Context, s power.Spec, _ Roots) (power.Meter, error) { return plug.Open(ctx, s) }},
	{name: "modbus", target: "HOST[:PORT]", options: modbus.Options, help: "one register of an energy meter, over Modbus TCP",
		open: func(ctx context.Context, s power.Spec, _ Roots) (power.Meter, error) { return modbus.Open(ctx, s) }},
	{name: "ptd", target: "HOST[:PORT]", options: ptd.Options, help: "a power analyser, through the SPEC PTDaemon that you run beside it",
		open: func(ctx context.Context, s power.Spec, _ Roots) (power.Meter, error) { return ptd.Open(ctx, s) }},
	{name: "prometheus", target: "URL?query=PROMQL", options: prometheus.Options, help: "one series of a Prometheus server; boundary= says what it measures",
		open: func(ctx context.Context, s power.Spec, _ Roots) (power.Meter, error) { return prometheus.Open(ctx, s) }},
	{name: "exec", target: "CMD", options: command.Options, help: "a command of yours that prints readings, such as 412.3 W or 12.1 Wh",
		open: func(ctx context.Context, s power.Spec, _ Roots) (power.Meter, error) { return command.Open(ctx, s) }},
	{name: "declared", target: "WATTS", options: declared.Options, help: "a figure that you state; never ranked",
		open: func(_ context.Context, s power.Spec, _ Roots) (power.Meter, error) { return declared.Open(s) }},
}

const (
	auto = "auto"
	none = "none"
)

// Kind is the form of a spec, for help.
type Kind struct {
	Name    string
	Form    string // KIND or KIND:TARGET
	Help    string
	Options []endpoint.Option
}

// Kinds lists the kinds that a spec can name.
func Kinds() []Kind {
	out := make([]Kind, len(kinds))
	for i, k := range kinds {
		out[i] = Kind{Name: k.name, Form: k.name, Help: k.help, Options: k.options}
		if k.target != "" {
			out[i].Form += ":" + k.target
		}
	}
	return out
}

// Open opens the meters that the specs name; without a spec it uses auto. A named meter
// that is absent is an error; auto is never an error. It uses the first meter with a
// working total of the node or its packages, in the order rapl, hwmon, model, and in
// addition those that have cards. probes lists every kind with the place where it was looked for and the
// outcome: what was found, or why it was refused, with the remedy.
//
// Several specs joined by " + " are one meter that adds up its parts, such as the feeds
// of a node with two supplies.
func Open(ctx context.Context, specs []string, roots Roots) (meters []power.Meter, probes []results.MeterProbe, err error) {
	roots.Sys, roots.Proc = cmp.Or(roots.Sys, "/sys"), cmp.Or(roots.Proc, "/proc")
	if len(specs) == 0 {
		specs = []string{auto}
	}
	chosen, err := parse(specs)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			for _, m := range meters {
				_ = m.Close()
			}
			meters = nil
		}
	}()
	names := map[string]bool{}
	for _, c := range chosen {
		if err := ctx.Err(); err != nil {
			return meters, probes, err
		}
		if len(c.parts) == 0 {
			m, s := search(ctx, roots)
			probes = append(probes, s...)
			for _, m := range m {
				names[m.Info().Name] = true
				meters = append(meters, m)
			}
			continue
		}
		m, err := c.open(ctx, roots)
		if err != nil {
			state, cure := Refused, ""
			if errors.Is(err, power.ErrAbsent) {
				state, cure = Absent, "; use --meter auto for what this machine has, or declared:WATTS"
			}
			name := c.parts[0].kind.name
			probes = append(probes, results.MeterProbe{Meter: name, State: state, Detail: why(err, name)})
			return meters, probes, fmt.Errorf("meter %q: %w%s", c.spec, err, cure)
		}
		m = unique(m, names)
		meters = append(meters, m)
		probes = append(probes, results.MeterProbe{Meter: m.Info().Name, State: Used, Detail: describe(m.Info())})
	}
	return meters, probes, nil
}

// choice is one parsed spec; it has no parts if it is auto.
type choice struct {
	spec  string
	parts []part
}

type part struct {
	kind *kind
	spec power.Spec
}

// another matches the beginning of the next joined spec. It has to name a kind, because
// a query may contain " + " too.
var another = sync.OnceValue(func() *regexp.Regexp {
	var names []string
	for _, k := range kinds {
		names = append(names, k.name)
	}
	return regexp.MustCompile(` \+ ((?:` + strings.Join(names, "|") + `)(?:[:,]|$| ))`)
})

func parse(specs []string) (out []choice, err error) {
	for _, spec := range specs {
		bad := func(why string) error {
			forms := []string{auto, none}
			for _, k := range Kinds() {
				forms = append(forms, k.Form)
			}
			return fmt.Errorf("meter %.120q: %w: %s; known are %s (perwatt meters --help has their options)", endpoint.Redact(spec), endpoint.ErrSpec, why, strings.Join(forms, ", "))
		}
		c := choice{spec: endpoint.Redact(spec)}
		switch spec {
		case none:
			if len(specs) > 1 {
				return nil, bad("it leaves no room for another")
			}
			return nil, nil
		case auto:
		default:
			for _, text := range strings.Split(another().ReplaceAllString(spec, "\x00$1"), "\x00") {
				name, _, _ := strings.Cut(text, ":")
				name, _, _ = strings.Cut(name, ",")
				at := slices.IndexFunc(kinds, func(k kind) bool { return k.name == name })
				if at < 0 {
					near := []string{auto, none}
					for _, k := range kinds {
						near = append(near, k.name)
					}
					why := "there is no such meter"
					if k := results.Nearest(name, near); k != "" {
						why += " (did you mean " + k + "?)"
					}
					return nil, bad(why)
				}
				k := &kinds[at]
				s, err := power.ParseSpec(text, k.options)
				switch {
				case err != nil:
					return nil, fmt.Errorf("meter %.120q: %w", endpoint.Redact(spec), err)
				case k.target == "" && strings.Contains(text, ":"):
					return nil, bad(name + " takes nothing after its name")
				case k.target != "" && s.Target == "":
					return nil, bad(name + " needs " + k.target)
				}
				c.parts = append(c.parts, part{k, s})
			}
		}
		for _, b := range out {
			switch {
			case slices.Equal(texts(c), texts(b)):
				return nil, fmt.Errorf("meter %.120q: %w: it is given twice, for its name alone makes no other meter: read it once", endpoint.Redact(spec), endpoint.ErrSpec)
			case len(c.parts) == 0 && b.parts[0].kind.auto, len(b.parts) == 0 && c.parts[0].kind.auto:
				return nil, bad("auto looks for the others already")
			}
		}
		out = append(out, c)
	}
	return out, nil
}

// texts identifies a choice: equal texts are the same choice.
func texts(c choice) (out []string) {
	for _, p := range c.parts {
		out = append(out, p.kind.name, p.spec.Target)
		for _, o := range p.kind.options {
			if o.Key != "name" {
				out = append(out, p.spec.Get(o.Key, ""))
			}
		}
	}
	return out
}

// open opens all parts of a choice.
func (c choice) open(ctx context.Context, roots Roots) (power.Meter, error) {
	var opened []power.Meter
	for _, p := range c.parts {
		m, err := p.kind.open(ctx, p.spec, roots)
		if err != nil {
			for _, m := range opened {
				_ = m.Close()
			}
			return nil, err
		}
		if name := p.spec.Get("name", ""); name != "" {
			m = renamed{m, name}
		}
		opened = append(opened, m)
	}
	if len(opened) == 1 {
		return opened[0], nil
	}
	return sum(opened)
}

// unique gives a meter a unique name, because the record identifies traces by it.
func unique(m power.Meter, names map[string]bool) power.Meter {
	if name := distinct(m.Info().Name, names); name != m.Info().Name {
		return renamed{m, name}
	}
	return m
}

// Named is a meter that a spec names and that is not open.
type Named struct {
	Name string // unique; as name= says, or the kind, with a number where several have it
	Spec string // as given, without what it keeps secret
	Open func(context.Context) (power.Meter, error)
}

// Name returns the meters that the specs name, in their order, for a program that opens
// each when it can. There is no auto among them: it names no meter.
func Name(specs []string, roots Roots) (out []Named, err error) {
	roots.Sys, roots.Proc = cmp.Or(roots.Sys, "/sys"), cmp.Or(roots.Proc, "/proc")
	chosen, err := parse(specs)
	if err != nil {
		return nil, err
	}
	names := map[string]bool{}
	for _, c := range chosen {
		var words []string
		for _, p := range c.parts {
			words = append(words, p.spec.Get("name", p.kind.name))
		}
		if len(words) == 0 {
			return nil, fmt.Errorf("meter %s: %w: it names no meter: say which", auto, endpoint.ErrSpec)
		}
		out = append(out, Named{
			Name: distinct(strings.Join(words, "+"), names), Spec: c.spec,
			Open: func(ctx context.Context) (power.Meter, error) {
				m, err := c.open(ctx, roots)
				if err != nil {
					return nil, fmt.Errorf("meter %q: %w", c.spec, err)
				}
				return m, nil
			},
		})
	}
	return out, nil
}

// distinct returns a name that is not among names, and adds it.
func distinct(wanted string, names map[string]bool) string {
	name := wanted
	for i := 2; names[name]; i++ {
		name = fmt.Sprintf("%s-%d", wanted, i)
	}
	names[name] = true
	return name
}

// renamed is a meter under another name.
type renamed struct {
	power.Meter
	name string
}

// Cards implements [power.CardMeter].
func (r renamed) Cards(ctx context.Context) []power.Card {
	if m, ok := r.Meter.(power.CardMeter); ok {
		return m.Cards(ctx)
	}
	return nil
}

func (r renamed) Info() power.Info {
	info := r.Meter.Info()
	info.Name = r.name
	return info
}

// search looks for every kind that auto may use. It keeps the first that has a total,
// and those that are used in addition.
func search(ctx context.Context, roots Roots) (used []power.Meter, probes []results.MeterProbe) {
	var head power.Meter
	for _, k := range kinds {
		if !k.auto {
			continue
		}
		m, err := k.open(ctx, power.Spec{Spec: endpoint.Spec{Kind: k.name}}, roots)
		s := results.MeterProbe{Meter: k.name, State: Found}
		if err == nil {
			s.Detail = describe(m.Info())
		}
		name := "; name it (--meter " + k.name + ") to record it"
		switch {
		case errors.Is(err, power.ErrAbsent):
			s.State, s.Detail = Absent, why(err, k.name)
		case err != nil:
			s.State, s.Detail = Refused, why(err, k.name)
		case k.beside:
			used, s.State = append(used, m), Used
		case head != nil && carries(m, cards):
			used, s.State = append(used, m), Used
		case head != nil:
			s.Detail += ": " + head.Info().Name + " comes first" + name
			_ = m.Close()
		case carries(m, node):
			if err := power.Living(ctx, m); err != nil {
				s.State, s.Detail = Refused, s.Detail+": "+err.Error()
				_ = m.Close()
				break
			}
			head, s.State = m, Used
		case carries(m, cards):
			used, s.State = append(used, m), Used
		default:
			s.Detail += ": no channel covers the CPU packages" + name
			_ = m.Close()
		}
		probes = append(probes, s)
	}
	if head != nil {
		used = slices.Insert(used, 0, head)
	}
	return used, probes
}

// why is the text of an error beside the name of its meter, which it need not repeat.
func why(err error, name string) string { return strings.TrimPrefix(err.Error(), name+": ") }

// carries reports whether a meter has a channel in a total of a kind.
func carries(m power.Meter, kind func(results.Boundary) bool) bool {
	return slices.ContainsFunc(m.Info().Channels, func(c results.Channel) bool { return kind(c.Total) })
}

func cards(total results.Boundary) bool { return total == results.Cards }

func node(total results.Boundary) bool { return total != "" && !cards(total) }

func describe(info power.Info) string {
	var names []string
	for _, c := range info.Channels {
		names = append(names, c.Name)
	}
	if len(names) > 8 {
		names = append(names[:8:8], fmt.Sprintf("and %d more", len(info.Channels)-8))
	}
	return info.Source + ": " + strings.Join(names, ", ")
}
