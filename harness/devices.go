package harness

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/perwatt/perwatt/kernels/device"
	"github.com/perwatt/perwatt/results"
)

// Time limits of the children that call drivers. A node with eight cards without
// persistence mode takes seconds for each; a driver compiles each program at its first
// use.
const (
	ProbeLimit = 2 * time.Minute
	trialLimit = 5 * time.Minute
)

// DriverProbe is what came of asking a driver for its devices.
type DriverProbe struct {
	Driver string
	State  string // found, absent, no device or failed
	Detail string // ids of the devices, or why there are none
}

// FindDevices asks drivers for their devices, all at a time, each by a child process
// that prints a [device.Found]. missing answers for a driver whose library is not on
// this machine: no child is started for it.
func FindDevices(ctx context.Context, drivers []string, missing func(driver string) (device.Found, bool), ask func(driver string) *exec.Cmd) (found []device.Found, probes []DriverProbe, warnings []results.Warning) {
	found = make([]device.Found, len(drivers))
	failed := make([]error, len(drivers))
	var asking sync.WaitGroup
	for i, name := range drivers {
		if f, ok := missing(name); ok {
			found[i] = f
			continue
		}
		asking.Go(func() {
			failed[i] = Consult(ctx, ask(name), ProbeLimit, nil, &found[i])
			found[i].Driver = name
		})
	}
	asking.Wait()
	for i, f := range found {
		p := DriverProbe{f.Driver, "found", f.Why}
		switch {
		case failed[i] != nil:
			p.State, p.Detail = "failed", failed[i].Error()
		case f.Absent:
			p.State = "absent"
		case f.Why == device.NoDevice:
			p.State = "no device"
		case f.Why != "":
			p.State = "failed"
		default:
			var ids []string
			for _, d := range f.Devices {
				ids = append(ids, d.ID)
			}
			p.Detail = strings.Join(ids, ", ")
		}
		if p.State == "failed" {
			warnings = append(warnings, results.Warning{Code: "driver-failed", Text: results.Line(fmt.Sprintf("driver %s: %s", p.Driver, p.Detail), 300),
				Remedy: "its GPUs are not measured: see whether the vendor's own tool (nvidia-smi, rocm-smi, clinfo) works as this user"})
		}
		probes = append(probes, p)
	}
	return found, probes, warnings
}

// Trials checks and times the kernels on devices.
type Trials struct {
	// Kernels does it on a device: see [Trial] for the arguments.
	Kernels func(ctx context.Context, on device.Device, force map[string]string, names []string) ([]results.Kernel, error)
	// Describe returns a device without calling its driver.
	Describe func(device.Config) device.Device
	// Child returns a command that calls [Trial].
	Child func() *exec.Cmd
	// Needs lists the kernels of a use on a device.
	Needs func(use string, on device.Info) []string
}

// trialOrder is what the child of a trial is asked to do.
type trialOrder struct {
	Device device.Info
	Force  map[string]string
	Names  []string // of kernels
}

// trialAnswer has either.
type trialAnswer struct {
	Kernels []results.Kernel
	Free    int64 // as in [device.Info]
	Error   string
}

// Trial is the main function of the child of a trial: it opens the device that it is
// told of on in, tries kernels there, and writes what it found to out. force maps a
// kernel to the row that was asked for; names are the kernels to try, nil for all.
func Trial(ctx context.Context, in io.Reader, out io.Writer, open func(device.Config) (device.Device, error), kernels func(ctx context.Context, on device.Device, force map[string]string, names []string) ([]results.Kernel, error)) error {
	var o trialOrder
	if err := json.NewDecoder(in).Decode(&o); err != nil {
		return err
	}
	var a trialAnswer
	on, err := open(device.Config{Info: o.Device})
	if err == nil {
		a.Free = on.Info().Free
		a.Kernels, err = kernels(ctx, on, o.Force, o.Names)
	}
	if err != nil {
		a.Error = err.Error()
	}
	return json.NewEncoder(out).Encode(a)
}

// Run tries the kernels on each device, the CPU in this process and alone, the others
// in a child each at a time. force has the rows that were asked for, by device and
// kernel. A driver takes seconds to compile each kernel, so that on other devices only
// those are tried that scenarios need, or all for nil. A device that fails is left out
// with a warning, unless it is the only one. Those that are usable say what memory is
// free, if their driver does.
func (t Trials) Run(ctx context.Context, on []device.Info, force map[string]map[string]string, scenarios []Scenario) (usable []device.Info, kernels []results.Kernel, warnings []results.Warning, err error) {
	tried, failed := make([][]results.Kernel, len(on)), make([]error, len(on))
	on = slices.Clone(on)
	for i, d := range on {
		if !d.Processor() {
			if tried[i], err = t.Kernels(ctx, t.Describe(device.Config{Info: d}), force[d.ID], nil); err != nil {
				return nil, nil, nil, err
			}
		}
	}
	var trying sync.WaitGroup
	for i, d := range on {
		if d.Processor() {
			trying.Go(func() {
				a, err := t.ask(ctx, trialOrder{d, force[d.ID], t.needed(d, scenarios)})
				tried[i], failed[i], on[i].Free = a.Kernels, err, max(0, min(a.Free, d.Memory))
			})
		}
	}
	trying.Wait()
	if ctx.Err() != nil {
		return nil, nil, nil, ctx.Err()
	}
	for i, d := range on {
		if failed[i] != nil {
			warnings = append(warnings, results.Warning{Code: "device-failed", Text: results.Line(fmt.Sprintf("device %s: %v", d.ID, failed[i]), 300),
				Remedy: "it is not measured: see whether another program runs on it, or name another with --device"})
			continue
		}
		for j := range i {
			if failed[j] == nil {
				alike(tried[j], tried[i], on[j], d)
			}
		}
		usable, kernels = append(usable, on[i]), append(kernels, tried[i]...)
	}
	if len(usable) == 0 {
		return nil, nil, nil, fmt.Errorf("device %s: %w", on[0].ID, errors.Join(failed...))
	}
	return usable, kernels, warnings, nil
}

func (t Trials) ask(ctx context.Context, o trialOrder) (a trialAnswer, err error) {
	if err := Consult(ctx, t.Child(), trialLimit, o, &a); err != nil {
		return a, fmt.Errorf("a trial of its kernels: %w", err)
	}
	if a.Error != "" {
		return a, errors.New(a.Error)
	}
	return a, nil
}

// needed are the kernels that scenarios need on a device; nil for no scenarios.
func (t Trials) needed(on device.Info, scenarios []Scenario) []string {
	if scenarios == nil {
		return nil
	}
	names := []string{}
	for _, s := range scenarios {
		for _, part := range s.Parts {
			if slices.ContainsFunc(part.On(), func(d device.Info) bool { return d.ID == on.ID }) {
				names = append(names, t.Needs(part.Use, on)...)
			}
		}
	}
	return names
}

// alike has a card run what an equal one before it runs, if that is right on both:
// together they are one scenario, and trials of two rows can end either way.
func alike(first, then []results.Kernel, one, other device.Info) {
	if !Equal(one, other) {
		return
	}
	for i := range then {
		k := &then[i]
		for _, lead := range first {
			right := func(im results.Impl) bool { return im.Name == lead.Chosen && im.Check == "ok" }
			if lead.Name == k.Name && lead.Chosen != k.Chosen && slices.ContainsFunc(k.Impls, right) {
				k.Chosen, k.Why = lead.Chosen, "as on "+one.ID
			}
		}
	}
}
