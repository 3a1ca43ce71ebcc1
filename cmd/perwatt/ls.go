package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/report"
	"github.com/perwatt/perwatt/results/store"
)

func lsCommand() *cobra.Command {
	var (
		dir    storeFlag
		labels map[string]string
		since  string
		format formatFlag
	)
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "List records, and the amendments and events added by hand",
		Long: `List the records of a store, oldest first, with node group, state and labels. A node
group is all machines with the same CPU, sockets, cores, threads, memory, meter and
boundary; the names of the groups follow the list. For records that are excluded or
cannot be read, and for files that are not records, the reason is shown.`,
		Example: `  perwatt ls --since 90d --label site=north
  perwatt ls --format json | jq -r 'select(.excluded) | .id'`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			f := store.Filter{Labels: labels, Excluded: true}
			if since != "" {
				var err error
				if f.Since, err = parseSince(since, time.Now()); err != nil {
					return usagef("--since: %w", err)
				}
			}
			return dir.indexed(cmd, "", func(x *store.Index) error {
				defer strangers(cmd, x)
				return list(cmd, x, f, format)
			})
		},
	}
	dir.flag(cmd)
	labelsVar(cmd.Flags(), &labels, "only records with this label, KEY=VALUE; may be repeated")
	cmd.Flags().StringVar(&since, "since", "", "only records that began since a day (2026-01-31), a time, or a duration ago (90d, 12h)")
	format.flag(cmd, "what is printed, one record a line in json:", textOrJSON...)
	return cmd
}

func list(cmd *cobra.Command, x *store.Index, f store.Filter, format formatFlag) error {
	groups, err := x.Groups(cmd.Context())
	if err != nil {
		return err
	}
	rows := [][]string{{"RECORD", "START", "NODE", "GROUP", "REVISION", "STATE", "LABELS"}}
	seen := map[string]bool{}
	for h, err := range x.Records(cmd.Context(), f) {
		if err != nil {
			return err
		}
		if h.Error != "" {
			unreadable(cmd, h)
		}
		if format.Format == report.JSON {
			if err := report.WriteJSON(cmd.OutOrStdout(), "", h); err != nil {
				return err
			}
			continue
		}
		state := string(h.State)
		if h.Excluded != "" {
			state = "excluded: " + h.Excluded
		}
		var labels []string
		for _, k := range slices.Sorted(maps.Keys(h.Labels)) {
			labels = append(labels, k+"="+h.Labels[k])
		}
		rows = append(rows, []string{h.ID, results.Minute(h.Start), h.Env.Node, h.Group, short(h.Env.Revision), state, strings.Join(labels, " ")})
		seen[h.Group] = true
	}
	if format.Format == report.JSON {
		return nil
	}
	if err := columns(cmd.OutOrStdout(), rows...); err != nil {
		return err
	}
	for _, id := range slices.Sorted(maps.Keys(seen)) {
		if g, ok := groups[id]; ok {
			say(cmd.OutOrStdout(), "group %s: %s", id, g.Name())
		}
	}
	for _, a := range x.Amendments() {
		what := "run " + a.Exclude + "/" + a.Scenario + "/" + strconv.Itoa(a.Round) + " is excluded"
		switch {
		case !a.At.IsZero():
			what = "event of " + results.Minute(a.At)
			if a.Group != "" {
				what += " in group " + a.Group
			}
			if a.Node != "" {
				what += ", node " + a.Node
			}
		case a.Scenario == "":
			what = "record " + a.Exclude + " is excluded"
		}
		say(cmd.OutOrStdout(), "amendment %s: %s: %s", a.ID, what, a.Reason)
	}
	return nil
}

// short abbreviates a revision and keeps the + of a modified one.
func short(revision string) string {
	if plus := strings.HasSuffix(revision, "+"); len(revision) > 13 {
		revision = revision[:12]
		if plus {
			revision += "+"
		}
	}
	return revision
}

// parseSince reads a day, a time, or how long ago.
func parseSince(s string, now time.Time) (time.Time, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n >= 0 && n < 100_000 {
			return now.AddDate(0, 0, -n), nil
		}
	}
	if ago, err := time.ParseDuration(s); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	t, err := store.ParseTime(s)
	if err != nil {
		return t, fmt.Errorf("%w, or so long ago as 90d or 12h", err)
	}
	return t, nil
}
