package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/perwatt/perwatt/harness/fleet"
	"github.com/perwatt/perwatt/harness/fleet/slurm"
	"github.com/perwatt/perwatt/harness/fleet/ssh"
	"github.com/perwatt/perwatt/results/site"
)

// engines are the values of --on, and which flags say where each of them runs.
var engines = map[string][]string{"slurm": {"partition", "nodes", "no-shared"}, "ssh": {"hosts"}}

// checkPlace is an error if a flag is another engine's.
func checkPlace(r site.Roster) error {
	flags, known := engines[r.Engine]
	if !known {
		return usagef("--on %q: must be slurm or ssh", r.Engine)
	}
	for flag := range r.Place {
		if !strings.Contains(" "+strings.Join(flags, " ")+" ", " "+flag+" ") {
			return usagef("--%s has no meaning with --on %s", flag, r.Engine)
		}
	}
	if r.Engine == "ssh" && r.Place["hosts"] == "" {
		return usagef("--on ssh needs --hosts, a file with a destination of ssh a line")
	}
	return nil
}

// openEngine opens the engine of a measurement in dir. binary is perwatt as this host has
// it. The roster of a new one has no nodes yet: they are read from the file of hosts. The
// caller calls done when it needs the engine no more.
func openEngine(r site.Roster, dir, binary string) (e fleet.Engine, done func(), err error) {
	switch r.Engine {
	case "slurm":
		e, err = slurm.New(slurm.Options{
			Fleet: r.Name, Dir: dir, Partition: r.Place["partition"], Nodes: r.Place["nodes"], Options: r.Options,
			Binary: filepath.Join(dir, binaryName), Unshared: r.Place["no-shared"] != "",
		})
		return e, func() {}, err
	case "ssh":
		nodes := r.Nodes
		if nodes == nil {
			if nodes, err = ssh.ReadHosts(r.Place["hosts"]); err != nil {
				return nil, nil, exit{exitUsage, fmt.Errorf("--hosts: %w", err)}
			}
		}
		over, err := ssh.New(ssh.Options{Nodes: nodes, Options: r.Options, Binary: binary})
		if err != nil {
			return nil, nil, err
		}
		return over, func() { over.Close() }, nil // #nosec G104 -- its jobs go on, and it holds no file
	case printed:
		return nil, nil, exit{exitUsage, fmt.Errorf("%s was printed, so that the site starts and ends its jobs: perwatt fleet collect %[1]s FILE... takes the records that come back", r.Name)}
	}
	return nil, nil, exit{exitData, fmt.Errorf("the engine %.40q of the roster is unknown to this perwatt", r.Engine)}
}
