package main

import (
	"context"
	"encoding/json"
	"io"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/perwatt/perwatt/bench"
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

func probeCommand() *cobra.Command {
	return &cobra.Command{
		Use: probeName + " DRIVER", Hidden: true, Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, argv []string) error {
			return json.NewEncoder(cmd.OutOrStdout()).Encode(devices.Probe(argv[0]))
		},
	}
}

func trialCommand() *cobra.Command {
	return &cobra.Command{
		Use: trialName, Hidden: true, Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return harness.Trial(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout(), devices.Open, benchall.Kernels)
		},
	}
}

// findDevices asks every driver for its devices, and says so if that takes long.
func findDevices(ctx context.Context, stderr io.Writer) (there []device.Info, probes []report.DriverProbe, warnings []results.Warning) {
	slow := time.AfterFunc(3*time.Second, func() {
		say(stderr, "asking the drivers of GPUs for devices, for %v at most", harness.ProbeLimit)
	})
	defer slow.Stop()
	found, asked, warnings := harness.FindDevices(ctx, devices.Drivers(), devices.Missing, func(driver string) *exec.Cmd { return selfCommand(probeName, driver) })
	for _, p := range asked {
		probes = append(probes, report.DriverProbe(p))
	}
	return devices.Merge(found...), probes, warnings
}

// checkForced refuses implementations that no device of the session has.
func checkForced(on []device.Info, force map[string]string) error {
	_, err := benchall.Forced(on, force)
	return refusedForced(err)
}

func refusedForced(err error) error {
	if err == nil {
		return nil
	}
	return usagef("--impl: %s", strings.TrimPrefix(err.Error(), bench.ErrUsage.Error()+": "))
}

// try checks and times the kernels that scenarios need, or all for nil, on each device.
func try(ctx context.Context, on []device.Info, force map[string]string, scenarios []harness.Scenario) (usable []device.Info, kernels []results.Kernel, warnings []results.Warning, err error) {
	forced, err := benchall.Forced(on, force)
	if err != nil {
		return nil, nil, nil, refusedForced(err)
	}
	trials := harness.Trials{
		Kernels: benchall.Kernels, Describe: devices.Describe, Needs: benchall.KernelsOf,
		Child: func() *exec.Cmd { return selfCommand(trialName) },
	}
	return trials.Run(ctx, on, forced, scenarios)
}

// listed are the devices of a record's node: what is measured, and every GPU that
// a driver reaches. A CPU behind a driver is the same CPU once more.
func listed(there, on []device.Info) []device.Info {
	return slices.DeleteFunc(slices.Clone(there), func(d device.Info) bool {
		return d.Processor() && d.Kind != device.GPU && !slices.ContainsFunc(on, func(o device.Info) bool { return o.ID == d.ID })
	})
}
