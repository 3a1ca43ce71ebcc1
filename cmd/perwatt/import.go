package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/perwatt/perwatt/results/report"
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
		Short: "Make records of Go benchmark text, so that a history is not lost",
		Long: `Read what go test -bench prints, one record for each configuration in it (commit: …,
date: …), and put the records into the store. The iterations are the work and the time
they took is the window, so that they are tracked as throughput.

Such text knows no watts and little of the machine: not the sockets, cores, memory,
kernel, microcode or governor, nor what went on inside a window. The records say so, and are never
ranked against measured ones. Allocations and other metrics are left out, and said.
The same file twice gives the same records: the second time nothing is added. A
FILE may be - for standard input.`,
		Example: `  go test -bench . -count 6 | perwatt import - --at 2026-01-31
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
			for _, name := range files {
				if err := importFile(cmd, st, name, opt); err != nil {
					return err
				}
			}
			return nil
		},
	}
	dir.flag(cmd)
	cmd.Flags().StringVar(&opt.Node, "node", "", "name of the machine (default the text's own, node: …)")
	cmd.Flags().StringVar(&at, "at", "", "day or time of what the text gives none (date: …, commit-time: …)")
	cmd.Flags().StringToStringVar(&opt.Labels, "label", nil, "label to put into the records, KEY=VALUE, may be repeated")
	return cmd
}

func importFile(cmd *cobra.Command, st *store.Store, name string, opt store.Bench) error {
	in := cmd.InOrStdin()
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return exit{exitUsage, err}
		}
		defer f.Close()
		in = io.Reader(f)
	}
	records, said, err := store.ReadBench(in, name, opt)
	for _, s := range said {
		fmt.Fprintf(cmd.ErrOrStderr(), "perwatt: %s: %s\n", report.Line(name), report.Line(s))
	}
	if err != nil {
		return err
	}
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
		fmt.Fprintln(cmd.OutOrStdout(), path)
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "perwatt: %s: %d records added, %d there already; %s\n", report.Line(name), added, len(records)-added, records[0].Warnings[0].Text)
	return nil
}
