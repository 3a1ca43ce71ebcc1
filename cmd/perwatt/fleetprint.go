package main

import (
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/perwatt/perwatt/harness/fleet"
	"github.com/perwatt/perwatt/harness/fleet/print"
	"github.com/perwatt/perwatt/harness/fleet/slurm"
	"github.com/perwatt/perwatt/harness/fleet/ssh"
	"github.com/perwatt/perwatt/results/site"
)

// printed is the engine of a roster whose jobs the site starts.
const printed = "print"

// printed freezes a roster and writes what measures it in the site's own way. The engine of
// such a roster is print: its jobs are the site's.
func (f *fleetFlags) printed(cmd *cobra.Command, r site.Roster) error {
	switch {
	case f.on != "":
		return usagef("--print and --on: the site starts the jobs, or perwatt does")
	case *f.place["hosts"] == "":
		return usagef("--print needs --hosts, a file of nodes: one a line, as %s calls it", f.print)
	case (f.image != "") != (f.print == "k8s"):
		return usagef("--print k8s needs --image, and no other kind takes it")
	}
	var err error
	if r.Nodes, err = ssh.ReadHosts(*f.place["hosts"]); err != nil {
		return exit{exitUsage, err}
	}
	r.Engine, r.Attempts, r.Place = printed, 1, map[string]string{"print": f.print, "hosts": *f.place["hosts"]}
	st, err := f.dir.open()
	if err != nil {
		return err
	}
	dir, err := filepath.Abs(fleet.Dir(st.Place(), f.name))
	if err != nil {
		return err
	}
	to := filepath.Join(dir, "print")
	bundle, err := print.New(f.print, r, print.Options{Binary: filepath.Join(dir, binaryName), Image: f.image, Dir: to, Script: slurm.Script, Node: slurm.NodeName})
	if err != nil {
		return exit{exitUsage, err}
	}
	fl, err := fleet.New(dir, r)
	if err != nil {
		return exit{exitUsage, err}
	}
	defer fl.Close()
	if err := keepBinary(dir); err != nil {
		return err
	}
	if err := bundle.Write(to); err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	say(out, "cd %s", to)
	for _, line := range slices.Insert(bundle.Next, len(bundle.Next)-1, "# the records are in the directory records then") {
		say(out, "%s", line)
	}
	return nil
}
