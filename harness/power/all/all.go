// Package all is the explicit list of meters: it turns what the user asked
// for into open instruments. A new instrument is a folder beside it and a line
// in kinds.
package all

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/perwatt/perwatt/harness/power"
	"github.com/perwatt/perwatt/harness/power/declared"
	"github.com/perwatt/perwatt/harness/power/hwmon"
	"github.com/perwatt/perwatt/harness/power/model"
	"github.com/perwatt/perwatt/harness/power/rapl"
	"github.com/perwatt/perwatt/results"
)

// ErrSpec is wrapped when a spec is unknown, malformed or at odds with
// another: the user's mistake and not the machine's.
var ErrSpec = errors.New("bad meter spec")

// Roots are the places where the kernel's file systems are mounted.
type Roots struct {
	Sys  string // of sysfs; /sys if empty
	Proc string // of procfs; /proc if empty
}

// States of a [results.Sought].
const (
	Used    = "used"
	Found   = "found"   // there, and not used
	Absent  = "absent"  // not on this machine
	Refused = "refused" // there, and could not be read
)

// kind is one kind of meter.
type kind struct {
	name string
	args string // form of what follows the colon; empty if nothing may
	auto bool   // whether auto looks for it, in the order of the list
	help string
	open func(args string, r Roots) (power.Meter, error)
}

var kinds = []kind{
	{name: "rapl", auto: true, help: "energy counters of CPU packages and memory",
		open: func(_ string, r Roots) (power.Meter, error) { return rapl.Open(r.Sys) }},
	{name: "hwmon", auto: true, help: "power and energy sensors of the platform",
		open: func(_ string, r Roots) (power.Meter, error) { return hwmon.Open(r.Sys) }},
	{name: "model", auto: true, help: "modelled from CPU time and published coefficients; never ranked",
		open: func(_ string, r Roots) (power.Meter, error) { return model.Open(r.Proc) }},
	{name: "declared", args: "WATTS[,boundary=B]", help: "a figure that you state; never ranked",
		open: func(args string, _ Roots) (power.Meter, error) {
			m, err := declared.Open(args)
			if err != nil {
				return nil, fmt.Errorf("%w: %w", ErrSpec, err)
			}
			return m, nil
		}},
}

const (
	auto = "auto"
	none = "none"
)

// Specs lists the forms of a spec, each with a line of help.
func Specs() [][2]string {
	out := [][2]string{{auto, "the best meter that is there: rapl, then hwmon, then model (default)"}}
	for _, k := range kinds {
		form := k.name
		if k.args != "" {
			form += ":" + k.args
		}
		out = append(out, [2]string{form, k.help})
	}
	return append(out, [2]string{none, "leave watts out"})
}

// Open opens the meters that the specs name; no spec at all is auto. A meter
// asked for by name that is not there is an error. auto never is: it takes the
// first meter with a total, in the order rapl, hwmon, model, and sought says
// of every kind where it was looked for and what was found, or refused and
// with which cure.
func Open(ctx context.Context, specs []string, roots Roots) (meters []power.Meter, sought []results.Sought, err error) {
	roots = Roots{Sys: cmp.Or(roots.Sys, "/sys"), Proc: cmp.Or(roots.Proc, "/proc")}
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
	for _, c := range chosen {
		if err := ctx.Err(); err != nil {
			return meters, sought, err
		}
		if c.kind == nil {
			m, s := search(roots)
			sought = append(sought, s...)
			if m != nil {
				meters = append(meters, m)
			}
			continue
		}
		m, err := c.kind.open(c.args, roots)
		if err != nil {
			state, cure := Refused, ""
			if errors.Is(err, power.ErrAbsent) {
				state, cure = Absent, "; use --meter auto for what this machine has, or declared:WATTS"
			}
			sought = append(sought, results.Sought{Meter: c.kind.name, State: state, Detail: err.Error()})
			return meters, sought, fmt.Errorf("meter %q: %w%s", c.spec, err, cure)
		}
		meters = append(meters, m)
		sought = append(sought, results.Sought{Meter: c.kind.name, State: Used, Detail: describe(m.Info())})
	}
	return meters, sought, nil
}

// choice is one parsed spec; kind is nil for auto.
type choice struct {
	spec string
	kind *kind
	args string
}

func parse(specs []string) (out []choice, err error) {
	bad := func(spec, why string) error {
		var forms []string
		for _, s := range Specs() {
			forms = append(forms, s[0])
		}
		return fmt.Errorf("meter %.80q: %w: %s; known are %s", spec, ErrSpec, why, strings.Join(forms, ", "))
	}
	for _, spec := range specs {
		name, args, colon := strings.Cut(spec, ":")
		at := slices.IndexFunc(kinds, func(k kind) bool { return k.name == name })
		switch {
		case spec == none && len(specs) > 1:
			return nil, bad(spec, "it leaves no room for another")
		case spec == none:
			return nil, nil
		case spec == auto:
			out = append(out, choice{spec: spec})
		case at < 0:
			return nil, bad(spec, "there is no such meter")
		case kinds[at].args == "" && colon:
			return nil, bad(spec, name+" takes nothing after its name")
		case kinds[at].args != "" && args == "":
			return nil, bad(spec, name+" needs "+kinds[at].args)
		default:
			out = append(out, choice{spec: spec, kind: &kinds[at], args: args})
		}
	}
	for i, a := range out {
		for _, b := range out[:i] {
			switch {
			case a.kind == b.kind:
				return nil, bad(a.spec, "given twice")
			case a.kind == nil && b.kind.auto, b.kind == nil && a.kind.auto:
				return nil, bad(a.spec, "auto looks for the others already")
			}
		}
	}
	return out, nil
}

// search looks for every kind that auto may use and keeps the first that has
// a total.
func search(roots Roots) (used power.Meter, sought []results.Sought) {
	for _, k := range kinds {
		if !k.auto {
			continue
		}
		m, err := k.open("", roots)
		s := results.Sought{Meter: k.name}
		switch {
		case errors.Is(err, power.ErrAbsent):
			s.State, s.Detail = Absent, err.Error()
		case err != nil:
			s.State, s.Detail = Refused, err.Error()
		case used == nil && slices.ContainsFunc(m.Info().Channels, func(c results.Channel) bool { return c.Total != "" }):
			used, s.State, s.Detail = m, Used, describe(m.Info())
		case used == nil:
			s.State, s.Detail = Found, describe(m.Info())+": no channel covers the CPU packages; name it (--meter "+k.name+") to record it"
			_ = m.Close()
		default:
			s.State, s.Detail = Found, describe(m.Info())+": "+used.Info().Name+" comes first; name it (--meter "+k.name+") to record it"
			_ = m.Close()
		}
		sought = append(sought, s)
	}
	return used, sought
}

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
