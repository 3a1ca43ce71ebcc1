package main

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

	"github.com/spf13/cobra"

	benchall "github.com/perwatt/perwatt/bench/all"
	"github.com/perwatt/perwatt/harness"
	"github.com/perwatt/perwatt/kernels/device"
	devices "github.com/perwatt/perwatt/kernels/device/all"
	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/report"
)

// Hidden: drivers are asked in child processes, under these names.
const (
	probeName = "_probe" // lists the devices of a driver
	trialName = "_trial" // checks and times the kernels on a device
)

// Time limits of the children. A node with eight cards without persistence mode
// takes seconds for each; a driver compiles each program at its first use.
const (
	probeLimit = 2 * time.Minute
	trialLimit = 5 * time.Minute
)

func probeCommand() *cobra.Command {
	return &cobra.Command{
		Use: probeName + " DRIVER", Hidden: true, Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, argv []string) error {
			return json.NewEncoder(cmd.OutOrStdout()).Encode(devices.Probe(argv[0]))
		},
	}
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
	Error   string
}

func trialCommand() *cobra.Command {
	return &cobra.Command{
		Use: trialName, Hidden: true, Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var order trialOrder
			if err := json.NewDecoder(cmd.InOrStdin()).Decode(&order); err != nil {
				return err
			}
			var a trialAnswer
			on, err := devices.Open(device.Config{Info: order.Device})
			if err == nil {
				a.Kernels, err = benchall.Kernels(cmd.Context(), on, order.Force, order.Names)
			}
			if err != nil {
				a.Error = err.Error()
			}
			return json.NewEncoder(cmd.OutOrStdout()).Encode(a)
		},
	}
}

// findDevices asks every driver for its devices, and says so if that takes long.
func findDevices(ctx context.Context, stderr io.Writer) (there []device.Info, probes []report.DriverProbe, warnings []results.Warning) {
	names := devices.Drivers()
	found, failed := make([]devices.Found, len(names)), make([]error, len(names))
	slow := time.AfterFunc(3*time.Second, func() { say(stderr, "asking the drivers of GPUs for devices, for %v at most", probeLimit) })
	defer slow.Stop()
	var asking sync.WaitGroup
	for i, name := range names {
		asking.Go(func() {
			failed[i] = harness.Consult(ctx, selfCommand(probeName, name), probeLimit, nil, &found[i])
			found[i].Driver = name
		})
	}
	asking.Wait()
	for i, f := range found {
		p := report.DriverProbe{Driver: f.Driver, State: "found", Detail: f.Why}
		switch {
		case failed[i] != nil:
			p.State, p.Detail = "failed", failed[i].Error()
		case f.Absent:
			p.State = "absent"
		case f.Why == devices.NoDevice:
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
	return devices.Merge(found...), probes, warnings
}

// try checks and times the kernels on each device, the CPU in this process. A
// driver takes seconds to compile each, so that of other devices only those are
// tried that scenarios need, or all for nil. A device that fails is left out with a
// warning, unless it is the only one.
func try(ctx context.Context, on []device.Info, force map[string]string, scenarios []harness.Scenario) (usable []device.Info, kernels []results.Kernel, warnings []results.Warning, err error) {
	forced, err := benchall.Forced(on, force)
	if err != nil {
		return nil, nil, nil, err
	}
	tried, failed := make([][]results.Kernel, len(on)), make([]error, len(on))
	var trying sync.WaitGroup
	for i, d := range on {
		if !d.Processor() { // alone on the machine
			if tried[i], err = benchall.Kernels(ctx, devices.Describe(device.Config{Info: d}), forced[d.ID], nil); err != nil {
				return nil, nil, nil, err
			}
		}
	}
	for i, d := range on {
		if d.Processor() {
			trying.Go(func() {
				tried[i], failed[i] = tryOn(ctx, selfCommand(trialName), trialOrder{d, forced[d.ID], needed(d, scenarios)})
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
		usable = append(usable, d)
		for j := range usable[:len(usable)-1] {
			alike(tried[slices.IndexFunc(on, func(o device.Info) bool { return o.ID == usable[j].ID })], tried[i], usable[j], d)
		}
		kernels = append(kernels, tried[i]...)
	}
	if len(usable) == 0 {
		return nil, nil, nil, fmt.Errorf("device %s: %w", on[0].ID, errors.Join(failed...))
	}
	return usable, kernels, warnings, nil
}

// alike has a card run what an equal one before it runs, if that is right on both:
// together they are one scenario, and trials of two rows can end either way.
func alike(first, then []results.Kernel, one, other device.Info) {
	if !harness.Equal(one, other) {
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

// needed are the kernels that scenarios need on a device; nil for no scenarios.
func needed(on device.Info, scenarios []harness.Scenario) []string {
	if scenarios == nil {
		return nil
	}
	names := []string{}
	for _, s := range scenarios {
		for _, part := range s.Parts {
			if part.Device.ID == on.ID {
				names = append(names, benchall.KernelsOf(part.Use, on)...)
			}
		}
	}
	return names
}

func tryOn(ctx context.Context, child *exec.Cmd, order trialOrder) ([]results.Kernel, error) {
	var a trialAnswer
	if err := harness.Consult(ctx, child, trialLimit, order, &a); err != nil {
		return nil, fmt.Errorf("a trial of its kernels: %w", err)
	}
	if a.Error != "" {
		return nil, errors.New(a.Error)
	}
	return a.Kernels, nil
}

// listed are the devices of a record's node: what is measured, and every GPU that
// a driver reaches. A CPU behind a driver is the same CPU once more.
func listed(there, on []device.Info) []device.Info {
	return slices.DeleteFunc(slices.Clone(there), func(d device.Info) bool {
		return d.Processor() && d.Kind != device.GPU && !slices.ContainsFunc(on, func(o device.Info) bool { return o.ID == d.ID })
	})
}
