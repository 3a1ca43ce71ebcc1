package main

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	benchall "github.com/perwatt/perwatt/bench/all"
	"github.com/perwatt/perwatt/harness"
	powerall "github.com/perwatt/perwatt/harness/power/all"
	devices "github.com/perwatt/perwatt/kernels/device/all"
	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/report"
)

func nodeCommand() *cobra.Command {
	var (
		format formatFlag
		sysfs  string
		device string
		meters []string
	)
	cmd := &cobra.Command{
		Use:   "node",
		Short: "Show this machine, the kernels and meters for it, and warnings",
		Long: `Show the hardware and settings of this machine, the devices that perwatt can compute
on, the implementation that each kernel would use, the memory that training each network
would take, the meters that were found, and warnings about anything that would distort
a measurement. Nothing is measured but a short test of every kernel.`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			there, drivers, doubts := findDevices(cmd.Context(), cmd.ErrOrStderr())
			if err := cmd.Context().Err(); err != nil {
				return err
			}
			on, err := devices.Select(device, there)
			if err != nil {
				return exit{exitUsage, fmt.Errorf("--device: %w", err)}
			}
			node, err := harness.Fingerprint(harness.Roots{}, there)
			if err != nil {
				return err
			}
			opened, probes, err := powerall.Open(cmd.Context(), meters, powerall.Roots{Sys: sysfs, Proc: "/proc"})
			if err != nil {
				return fmt.Errorf("--meter: %w", err)
			}
			defer closeMeters(opened, cmd.ErrOrStderr())
			harness.PowerLimits(cmd.Context(), &node, opened)
			usable, kernels, failed, err := try(cmd.Context(), on, nil, nil)
			if err != nil {
				return err
			}
			n := report.Machine{Node: node, Drivers: drivers, Kernels: kernels, Memory: benchall.MemoryPlans(usable, devices.Describe), Meters: harness.Describe(opened), MeterProbes: probes}
			for _, d := range there {
				n.Usable = append(n.Usable, d.ID)
			}
			n.Warnings = append(slices.Concat(doubts, failed), harness.Warnings(node, harness.ReadConditions(harness.Roots{}))...)
			n.Warnings = append(n.Warnings, results.PowerWarnings(&results.Record{Meters: n.Meters, MeterProbes: probes})...)
			if format.Format == report.JSON {
				return report.WriteJSON(cmd.OutOrStdout(), "  ", n)
			}
			return report.WriteMachine(cmd.OutOrStdout(), n, options(cmd.OutOrStdout(), ""))
		},
	}
	format.flag(cmd, "what is printed:", textOrJSON...)
	cmd.Flags().StringVar(&sysfs, "sysfs", "/sys", "root of the sysfs tree in which to look for meters")
	cmd.Flags().StringVar(&device, "device", devices.Auto, "devices whose kernels are tried, as in perwatt run")
	cmd.Flags().StringArrayVar(&meters, "meter", []string{"auto"}, "meter to look for, as in perwatt run")
	return cmd
}
