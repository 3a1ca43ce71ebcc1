package main

import (
	"fmt"

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
		meters []string
	)
	cmd := &cobra.Command{
		Use:   "node",
		Short: "Show what this machine is, what would be used on it, and every doubt",
		Args:  args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			node, err := harness.Fingerprint(harness.Roots{}, devices.List())
			if err != nil {
				return err
			}
			opened, probes, err := powerall.Open(cmd.Context(), meters, powerall.Roots{Sys: sysfs, Proc: "/proc"})
			if err != nil {
				return fmt.Errorf("--meter: %w", err)
			}
			defer closeMeters(opened, cmd.ErrOrStderr())
			kernels, err := benchall.Kernels(cmd.Context(), devices.List(), nil)
			if err != nil {
				return err
			}
			n := report.Machine{Node: node, Usable: devices.IDs(), Kernels: kernels, Meters: harness.Describe(opened), MeterProbes: probes}
			n.Warnings = append(harness.Warnings(node, harness.ReadConditions(harness.Roots{})), results.PowerWarnings(&results.Record{Meters: n.Meters, MeterProbes: probes})...)
			if format.Format == report.JSON {
				return report.WriteJSON(cmd.OutOrStdout(), "  ", n)
			}
			return report.WriteMachine(cmd.OutOrStdout(), n, options(cmd.OutOrStdout(), ""))
		},
	}
	format.flag(cmd, "what is printed:", textOrJSON...)
	cmd.Flags().StringVar(&sysfs, "sysfs", "/sys", "root of the sysfs tree in which meters are looked for")
	cmd.Flags().StringArrayVar(&meters, "meter", []string{"auto"}, "meter to look for, as in perwatt run")
	return cmd
}
