package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/site"
	"github.com/perwatt/perwatt/results/store"
)

// powerFlags name the recordings that are joined to the records of a fleet.
type powerFlags struct {
	files []string
	nodes string // map of meters
}

func (f *powerFlags) flags(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&f.files, "power", nil, "recording of perwatt meters --record, to be joined to the records by node and time; may be repeated")
	cmd.Flags().StringVar(&f.nodes, "map", "", "with --power: CSV with the columns node,meter[,channel]; rack=NAME as the node is a whole rack; several feeds add up")
}

func (f *powerFlags) check() error {
	if (len(f.files) > 0) != (f.nodes != "") {
		return usagef("--power and --map: give both, the recording and whose meters are in it")
	}
	return nil
}

// join joins the recordings to the records of the measurement in a directory, and to its
// racks, and says what became of each.
func (f *powerFlags) join(cmd *cobra.Command, st *store.Store, dir string, r site.Roster, outcomes []site.Outcome) error {
	ctx, stderr := cmd.Context(), cmd.ErrOrStderr()
	if len(f.files) == 0 {
		return nil
	}
	nodes, err := results.OpenFile(f.nodes)
	if err != nil {
		return usagef("--map: %w", err)
	}
	defer nodes.Close()
	feeds, err := site.ReadPowerMap(nodes, r)
	if err != nil {
		return usagef("--map %s: %w", f.nodes, err)
	}
	var tapes []*site.Tape
	for _, name := range f.files {
		in, err := results.OpenFile(name)
		if err != nil {
			return usagef("--power: %w", err)
		}
		defer in.Close()
		info, err := in.Stat()
		if err != nil {
			return usagef("--power: %w", err)
		}
		if !info.Mode().IsRegular() {
			return usagef("--power %s: it is read more than once: it must be a file", name)
		}
		tape, err := site.ReadTape(name, in, info.Size())
		if err != nil {
			return exit{exitData, fmt.Errorf("--power: %w", err)}
		}
		tapes = append(tapes, tape)
	}
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	x, err := store.OpenIndex(ctx, st.Place())
	if err != nil {
		return err
	}
	defer x.Close()
	show := newCounted(stderr, "records joined with power")
	all, racks, err := site.JoinPower(ctx, st, x, r, outcomes, feeds, tapes, host, show.update)
	show.close()
	joined, before := 0, 0
	for _, p := range all {
		switch {
		case p.Before:
			before++
		case p.New != "":
			joined++
			if p.Note != "" {
				say(stderr, "perwatt: node %s: record %s: %s", p.Node, p.New, p.Note)
			}
		case p.Err != nil:
			say(stderr, "perwatt: node %s: record %s: no power joined: %v", p.Node, p.Record, p.Err)
		}
	}
	read := 0
	for _, of := range racks {
		switch {
		case of.Err != nil:
			say(stderr, "perwatt: rack %s: no power joined: %v", results.Line(of.Rack, 80), of.Err)
			continue
		case of.Note != "":
			say(stderr, "perwatt: rack %s: %s", results.Line(of.Rack, 80), of.Note)
		}
		read++
	}
	if err == nil && read > 0 {
		err = site.KeepRackPower(dir, r, racks)
	}
	if ctx.Err() != nil {
		return exit{exitInterrupted, fmt.Errorf("interrupted: power joined to %s; the same command goes on", results.Plural(joined, "record"))}
	}
	if err != nil {
		return err
	}
	if len(all) > 0 {
		say(cmd.OutOrStdout(), "power: joined to %s, to %d before, %d without", results.Plural(joined, "record"), before, len(all)-joined-before)
	}
	if len(racks) > 0 {
		say(cmd.OutOrStdout(), "power of racks: %d joined, %d without", read, len(racks)-read)
	}
	if joined+before+read == 0 {
		return exit{exitData, errors.New("--power: no record and no rack has watts by it")}
	}
	return nil
}
