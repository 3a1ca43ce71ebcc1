package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/perwatt/perwatt/results/report"
	"github.com/perwatt/perwatt/results/store"
)

// find returns the record of an identifier, or of the beginning of one.
func find(cmd *cobra.Command, x *store.Index, id string) (store.Header, error) {
	h, err := x.Find(cmd.Context(), id)
	switch {
	case errors.Is(err, store.ErrNoRecord):
		return h, exit{exitData, err}
	case err != nil:
		return h, exit{exitUsage, err}
	case h.Error != "":
		return h, exit{exitData, fmt.Errorf("%s cannot be used: %s", h.Path, h.Error)}
	}
	return h, nil
}

func showCommand() *cobra.Command {
	var dir storeFlag
	var format formatFlag
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "Print a record of the store: every table and warning",
		Long: `Print the record whose identifier begins with ID. Runs that an amendment excludes are
printed too; the amendment is shown on standard error.`,
		Example: `  perwatt show 01KDYBS1CY
  perwatt show 01KDYBS1CY --format bench`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, argv []string) error {
			return dir.indexed(cmd, argv[0], func(x *store.Index) error {
				h, err := find(cmd, x, argv[0])
				if err != nil {
					return err
				}
				rec, err := x.Whole(cmd.Context(), h)
				if err != nil {
					return err
				}
				for _, a := range x.Amendments() {
					if a.Exclude != h.ID {
						continue
					}
					what := "the record"
					if a.Scenario != "" {
						what = fmt.Sprintf("run %s/%d", a.Scenario, a.Round)
					}
					say(cmd.ErrOrStderr(), "perwatt: %s is excluded since %s: %s", what, a.Time().Format("2006-01-02"), a.Reason)
				}
				return printRecord(cmd, format.Format, rec, h.Path)
			})
		},
	}
	dir.flag(cmd)
	format.flag(cmd, "what is printed:", report.Formats()...)
	return cmd
}
