package main

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/perwatt/perwatt/results/store"
)

func eventCommand() *cobra.Command {
	var dir storeFlag
	var group, at string
	cmd := &cobra.Command{
		Use:   "event [--node GROUP] --at DATE TEXT",
		Short: "Note that something happened to the machines, which splits their history",
		Long: `Write down what the records cannot know: a new power supply, a move to another
rack. Figures before and after are then not held against each other. Changes of kernel,
microcode, governor, meter and the like need no note: the records show them.`,
		Example: `  perwatt event --node k3q9x7ab --at 2026-03-01 "new power supply"
  perwatt event --at 2026-03-01T14:00:00Z "the hall is cooled to 22 °C"`,
		Args: args(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, words []string) error {
			a := store.Amendment{Reason: strings.Join(words, " ")}
			if strings.TrimSpace(a.Reason) == "" {
				return usagef("say what happened, in a few words")
			}
			if at == "" {
				return usagef("--at: say when it was, as 2026-01-31 or 2026-01-31T14:00:00Z")
			}
			var err error
			if a.At, err = store.ParseTime(at); err != nil {
				return usagef("--at: %w", err)
			}
			if a.At.After(time.Now().Add(24 * time.Hour)) {
				return usagef("--at %s: that is yet to come", at)
			}
			if group != "" {
				if a.Group, err = dir.group(cmd, group); err != nil {
					return err
				}
			}
			return dir.amend(cmd, a)
		},
	}
	dir.flag(cmd)
	cmd.Flags().StringVar(&group, "node", "", "node group that it concerns, or the beginning of one (perwatt ls lists them; default all)")
	cmd.Flags().StringVar(&at, "at", "", "day or time at which it happened")
	return cmd
}

// group returns the node group that begins with prefix.
func (s storeFlag) group(cmd *cobra.Command, prefix string) (string, error) {
	x, err := s.index(cmd)
	if err != nil {
		return "", err
	}
	defer x.Close()
	defer notes(cmd, x)
	groups, err := x.Groups(cmd.Context())
	if err != nil {
		return "", err
	}
	ids := slices.Sorted(maps.Keys(groups))
	var match []string
	for _, id := range ids {
		if strings.HasPrefix(id, strings.ToLower(prefix)) {
			match = append(match, id)
		}
	}
	if len(match) != 1 {
		return "", usagef("--node %.40q: names %d node groups; there are %s", prefix, len(match), strings.Join(first(ids, 8), ", "))
	}
	return match[0], nil
}
