package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/store"
)

func importCommand() *cobra.Command {
	var (
		dir storeFlag
		opt store.Bench
		at  string
	)
	cmd := &cobra.Command{
		Use:   "import FILE...",
		Short: "Make records of Go benchmark output, to keep its history",
		Long: `Make records of the output of go test -bench, one for each configuration in it (commit: …,
date: …), and put them into the store. The iterations are the work and their time is the
window, so that perwatt track follows them as throughput.

Such text has no watts and says little about the machine: nothing of sockets, cores,
threads, memory, kernel, microcode or governor, or of what happened within a window. The
records say so, and are never ranked against measured ones. Allocations and other metrics
are left out, with a note. Importing a file twice adds nothing the second time. FILE may
be - for standard input, compressed with gzip, zstd or bzip2, UTF-16, the log of a build,
or the output of go test -json.

Lines that cannot be read are counted, with the first of each kind, and the others are
imported; the exit code is 0 if anything was. A number at the end of a name may belong to
the name or be GOMAXPROCS: the other names of the package usually tell; give --threads
where they do not.`,
		Example: `  go test -bench . -count 6 | perwatt import - --at 2026-01-31
  go test -bench /size -cpu 16,64 | perwatt import - --at 2026-01-31 --threads 16,64
  perwatt import old/*.txt --node builder --label from=ci`,
		Args: args(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, files []string) error {
			if at != "" {
				var err error
				if opt.At, err = store.ParseTime(at); err != nil {
					return usagef("--at: %w", err)
				}
			}
			st, err := dir.open()
			if err != nil {
				return err
			}
			for _, n := range opt.Threads {
				if n < 1 {
					return usagef("--threads %d: must be 1 or more, as of go test -cpu", n)
				}
			}
			read := 0
			for _, name := range files {
				records, err := readFile(cmd, name, opt)
				if err != nil && len(files) == 1 {
					return err
				} else if err != nil {
					complain(cmd.ErrOrStderr(), err)
					continue
				}
				read++
				if err := keep(cmd, st, name, records); err != nil {
					return err
				}
			}
			switch {
			case read == 0:
				return exit{exitData, fmt.Errorf("none of %d files could be read", len(files))}
			case read < len(files):
				say(cmd.ErrOrStderr(), "perwatt: %d of %d files could not be read; the others are kept", len(files)-read, len(files))
			}
			return nil
		},
	}
	dir.flag(cmd)
	cmd.Flags().StringVar(&opt.Node, "node", "", "name of the machine (default: node: … in the text)")
	cmd.Flags().StringVar(&at, "at", "", "day or time of results without one in the text (date: …, commit-time: …)")
	cmd.Flags().IntSliceVar(&opt.Threads, "threads", nil, "values of GOMAXPROCS at the end of names, as given to go test -cpu; 1 for none (default: found from the names)")
	labelsVar(cmd.Flags(), &opt.Labels, "label of the records, KEY=VALUE; may be repeated")
	return cmd
}

// readFile makes records of a file, and says what it passed over.
func readFile(cmd *cobra.Command, name string, opt store.Bench) ([]*results.Record, error) {
	in := cmd.InOrStdin()
	if name != "-" {
		f, err := results.OpenFile(name)
		if err != nil {
			return nil, exit{exitUsage, err}
		}
		defer f.Close()
		in = f
	}
	records, said, err := store.ReadBench(in, name, opt)
	for _, s := range said {
		say(cmd.ErrOrStderr(), "perwatt: %s: %s", name, s)
	}
	return records, err
}

// keep puts records into the store and prints where they lie.
func keep(cmd *cobra.Command, st *store.Store, name string, records []*results.Record) error {
	added := 0
	for _, rec := range records {
		path, err := st.Keep(rec)
		switch {
		case errors.Is(err, store.ErrKept):
			continue
		case err != nil:
			return err
		}
		added++
		say(cmd.OutOrStdout(), "%s", path)
	}
	say(cmd.ErrOrStderr(), "perwatt: %s: %d records added, %d there already; %s", name, added, len(records)-added, records[0].Warnings[0].Text)
	return nil
}
