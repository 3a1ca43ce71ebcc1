package main

import (
	"fmt"
	"path/filepath"

	"github.com/perwatt/perwatt/harness/fleet"
	"github.com/perwatt/perwatt/harness/fleet/slurm"
	"github.com/perwatt/perwatt/results/site"
)

// engines are the values of --on.
var engines = []string{"slurm", "ssh"}

// listNodes gives a new roster the nodes that a file lists, where the engine needs them to
// be opened.
func listNodes(r *site.Roster) error {
	return nil
}

// openEngine opens the engine of a measurement in dir. binary is perwatt as this host has
// it. The caller calls done when it needs the engine no more.
func openEngine(r site.Roster, dir, binary string) (e fleet.Engine, done func(), err error) {
	if r.Engine == "slurm" {
		e, err := slurm.New(slurm.Options{
			Fleet: r.Name, Dir: dir, Partition: r.Place["partition"], Nodes: r.Place["nodes"], Options: r.Options,
			Binary: filepath.Join(dir, binaryName), Shared: r.Place["no-shared"] == "",
		})
		return e, func() {}, err
	}
	return nil, nil, usagef("--on %q: must be one of %v", r.Engine, fmt.Sprint(engines))
}
