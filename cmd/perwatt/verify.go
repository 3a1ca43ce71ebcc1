package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/report"
	"github.com/perwatt/perwatt/results/schema"
)

func verifyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "verify FILE...",
		Short: "Check digests and compute summaries again from the traces",
		Long: `Read records, check the digest of each part, and compute the summary again from
the traces. Exit code 3 if anything does not match, naming what.`,
		Args: args(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, files []string) error {
			bad := 0
			for _, name := range files {
				file, err := results.LoadFile(name)
				if err != nil {
					bad++
					fmt.Fprintln(cmd.ErrOrStderr(), "perwatt:", report.Line(err.Error()))
					continue
				}
				mismatches := append(file.Verify(), file.Check(results.Derive)...)
				if len(mismatches) > 0 {
					bad++
				}
				for _, m := range mismatches {
					fmt.Fprintf(cmd.ErrOrStderr(), "perwatt: %s: %s\n", report.Line(name), report.Line(m.String()))
				}
				if len(mismatches) == 0 {
					fmt.Fprintf(cmd.OutOrStdout(), "%s: ok: %d runs, %s, sha256 %s\n", report.Line(name), len(file.Record.Runs), file.Record.State, file.Record.Digest.Record)
				}
			}
			if bad > 0 {
				return exit{exitData, fmt.Errorf("%d of %d records do not hold what was recorded: do not use them", bad, len(files))}
			}
			return nil
		},
	}
}

func schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use: "schema", Short: "Print the JSON Schema of a record", Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := cmd.OutOrStdout().Write(schema.Record())
			return err
		},
	}
}
