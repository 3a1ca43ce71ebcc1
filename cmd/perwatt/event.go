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
	var group, node, at string
	cmd := &cobra.Command{
		Use:   "event [--group GROUP] [--node NAME] --at DATE TEXT",
		Short: "Note an event of the machines, which splits their history",
		Long: `Note an event that the records cannot show, such as a new power supply or a move to
another rack. perwatt track does not compare figures from before and after it. Changes of
kernel, microcode, governor, meter and the like need no note: the records show them.`,
		Example: `  perwatt event --group k3q9x7ab --at 2026-03-01 "new power supply"
  perwatt event --node rack3-7 --at 2026-03-01 "new fans"
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
			if group != "" || node != "" {
				if a.Group, err = dir.group(cmd, group, node); err != nil {
					return err
				}
				a.Node = node
			}
			return dir.amend(cmd, a)
		},
	}
	dir.flag(cmd)
	cmd.Flags().StringVar(&group, "group", "", "node group that it concerns, or the beginning of its name (perwatt ls lists them; default: all)")
	cmd.Flags().StringVar(&node, "node", "", "name of the one node that it concerns (perwatt ls lists them)")
	cmd.Flags().StringVar(&at, "at", "", "day or time of the event (required)")
	return cmd
}

// group returns the node group that begins with prefix and has the node, if one
// is named.
func (s storeFlag) group(cmd *cobra.Command, prefix, node string) (string, error) {
	var nodes map[string][]string
	err := s.indexed(cmd, "", func(x *store.Index) (err error) {
		nodes, err = x.Nodes(cmd.Context())
		return err
	})
	if err != nil {
		return "", err
	}
	ids := slices.Sorted(maps.Keys(nodes))
	var match, names []string
	for _, id := range ids {
		if !strings.HasPrefix(id, strings.ToLower(prefix)) {
			continue
		}
		names = append(names, nodes[id]...)
		if node == "" || slices.Contains(nodes[id], node) {
			match = append(match, id)
		}
	}
	switch {
	case len(match) == 1:
		return match[0], nil
	case node != "" && len(match) > 1:
		return "", usagef("--node %.40q: is in the groups %s: say which with --group", node, strings.Join(match, ", "))
	case node != "" && len(names) > 0:
		return "", usagef("--node %.40q: there is no such node; there are %s", node, strings.Join(first(names, 8), ", "))
	}
	return "", usagef("--group %.40q: names %d node groups; there are %s", prefix, len(match), strings.Join(first(ids, 8), ", "))
}
