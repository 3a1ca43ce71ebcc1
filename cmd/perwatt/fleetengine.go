package main

import (
	"fmt"

	"github.com/perwatt/perwatt/harness/fleet"
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
	return nil, nil, usagef("--on %q: must be one of %v", r.Engine, fmt.Sprint(engines))
}
