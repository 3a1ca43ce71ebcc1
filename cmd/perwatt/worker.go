package main

import (
	"os/exec"

	"github.com/spf13/cobra"

	benchall "github.com/perwatt/perwatt/bench/all"
	"github.com/perwatt/perwatt/harness"
	devices "github.com/perwatt/perwatt/kernels/device/all"
)

// workerName is hidden: the harness starts itself under it, once for each use.
const workerName = "_worker"

func workerCommand() *cobra.Command {
	return &cobra.Command{
		Use: workerName, Hidden: true, Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return harness.Worker(cmd.Context(), devices.Open, benchall.Open)
		},
	}
}

// selfCommand returns a command that runs this very program, even if its file
// was replaced meanwhile.
func selfCommand(args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", args...) // #nosec G204 -- this program
	cmd.Args[0] = "perwatt"
	return cmd
}
