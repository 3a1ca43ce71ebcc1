package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/report"
	"github.com/perwatt/perwatt/results/schema"
)

func verifyCommand() *cobra.Command {
	var (
		rules string
		dir   storeFlag
	)
	cmd := &cobra.Command{
		Use:   "verify RECORD...",
		Short: "Check the digests, summaries and rules of records",
		Long: `Check the digest of each part of a record, and compute its summary again from the
traces. Exit code 3 if anything does not match; the output names what.
The summary of an earlier schema version had other definitions: of such a record only
the digests are checked, and every command derives its summary anew.

With --rules, list each rule that a record must keep to be ranked against others: what
it requires, its source, and what was found. Exit code 1 if a rule fails.

A RECORD is a file, or the beginning of the identifier of a record in the store.`,
		Args: args(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, argv []string) error {
			if rules != "" && !slices.Contains(results.RuleSets(), rules) {
				return usagef("--rules %q: must be one of %s", rules, strings.Join(results.RuleSets(), ", "))
			}
			bad, invalid := 0, 0
			for _, name := range argv {
				files, err := dir.files(cmd, []string{name})
				if err != nil {
					bad++
					complain(cmd.ErrOrStderr(), err)
					continue
				}
				name = files[0]
				file, err := results.LoadFile(name)
				if err != nil {
					bad++
					complain(cmd.ErrOrStderr(), err)
					continue
				}
				derived, err := results.DeriveWithin(cmd.Context(), file.Record)
				if err != nil {
					if cmd.Context().Err() != nil {
						return err
					}
					bad++
					say(cmd.ErrOrStderr(), "perwatt: %s: %v", name, err)
					continue
				}
				mismatches := append(file.Verify(), file.Check(derived)...)
				if len(mismatches) > 0 {
					bad++
				}
				for _, m := range mismatches {
					say(cmd.ErrOrStderr(), "perwatt: %s: %s", name, m.String())
				}
				if len(mismatches) == 0 {
					say(cmd.OutOrStdout(), "%s: ok: %d runs, %s, sha256 %s", name, len(file.Record.Runs), file.Record.State, file.Record.Digest.Record)
				}
				if rules == "" {
					continue
				}
				v := derived.Validity // not what the file says of itself
				if !v.Valid {
					invalid++
				}
				if err := report.Findings(cmd.OutOrStdout(), v, options(cmd.OutOrStdout(), name)); err != nil {
					return err
				}
			}
			switch {
			case bad > 0:
				return exit{exitData, fmt.Errorf("%d of %d records cannot be read, or do not hold what was recorded: do not use them", bad, len(argv))}
			case invalid > 0:
				return exit{exitGate, fmt.Errorf("%d of %d records are INVALID for ranking by the %s rules", invalid, len(argv), rules)}
			}
			return nil
		},
	}
	dir.flag(cmd)
	cmd.Flags().StringVar(&rules, "rules", "", "set of rules to check records against: "+strings.Join(results.RuleSets(), ", "))
	return cmd
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
