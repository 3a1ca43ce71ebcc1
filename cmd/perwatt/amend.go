package main

import (
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/store"
)

func amendCommand() *cobra.Command {
	var dir storeFlag
	var reason string
	cmd := &cobra.Command{
		Use:   "amend ID[/SCENARIO/ROUND] --exclude REASON",
		Short: "Exclude a record, or one run of it, from history, with the reason",
		Long: `Note that a record, or one run of it, is not to be used, and why. The record itself
stays as it is; the amendment is a file beside it, and perwatt ls lists both. The author
of an amendment is not recorded.`,
		Example: `  perwatt amend 01KDYBS1CY --exclude "the door of the rack was open"
  perwatt amend 01KDYBS1CY/mining/3 --exclude "a backup ran"`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, argv []string) error {
			if strings.TrimSpace(reason) == "" {
				return usagef("--exclude: say why, in a few words")
			}
			id, run, part := strings.Cut(argv[0], "/")
			a := store.Amendment{Reason: reason}
			if part {
				cut := strings.LastIndex(run, "/")
				n, err := strconv.Atoi(run[cut+1:])
				if cut < 1 || err != nil || n < 1 {
					return usagef("%.120q: a run is ID/SCENARIO/ROUND", argv[0])
				}
				a.Scenario, a.Round = run[:cut], n
			}
			return dir.indexed(cmd, "", func(x *store.Index) error {
				h, err := x.Find(cmd.Context(), id) // one that cannot be read may be excluded too
				if err != nil {
					return exit{exitUsage, err}
				}
				a.Exclude = h.ID
				if part {
					if err := hasRun(h, a); err != nil {
						return err
					}
				}
				return dir.amend(cmd, a)
			})
		},
	}
	dir.flag(cmd)
	cmd.Flags().StringVar(&reason, "exclude", "", "reason for which it is not to be used")
	return cmd
}

// hasRun is an error if a record has not the run that is to be excluded.
func hasRun(h store.Header, a store.Amendment) error {
	rec, err := results.ReadFile(h.Path)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(rec.Runs, func(r results.Run) bool { return r.Scenario == a.Scenario && r.Round == a.Round }) {
		return usagef("record %s has no run %.80q, round %d: its scenarios are %.400q, in %d rounds", h.ID, a.Scenario, a.Round, rec.Plan.Scenarios, rec.Plan.Rounds)
	}
	return nil
}
