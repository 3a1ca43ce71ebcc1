package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"slices"

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

// sayExcluded says on standard error what amendments exclude of a record.
func sayExcluded(cmd *cobra.Command, x *store.Index, id string) {
	for _, a := range x.Amendments() {
		if a.Exclude != id {
			continue
		}
		what := "the record"
		if a.Scenario != "" {
			what = fmt.Sprintf("run %s/%d", a.Scenario, a.Round)
		}
		say(cmd.ErrOrStderr(), "perwatt: %s: %s is excluded since %s: %s", id, what, a.Time().Format("2006-01-02"), a.Reason)
	}
}

// files returns the files of records that arguments name. What is no file begins the
// identifier of a record of the store; of that, what amendments exclude is said and used
// all the same, as of a file.
func (s storeFlag) files(cmd *cobra.Command, argv []string) ([]string, error) {
	files, wanted := slices.Clone(argv), []int(nil)
	for i, name := range argv {
		if _, err := os.Lstat(name); errors.Is(err, fs.ErrNotExist) && identifier.MatchString(name) {
			wanted = append(wanted, i)
		}
	}
	if len(wanted) == 0 {
		return files, nil
	}
	dir, err := s.dir()
	if err != nil {
		return nil, err
	}
	none := func(name string) error {
		return exit{exitData, fmt.Errorf("%s: no such file, and no record in %s begins so (perwatt ls lists them)", name, dir)}
	}
	if _, err := os.Stat(dir); err != nil {
		return nil, none(argv[wanted[0]])
	}
	only := ""
	if len(wanted) == 1 {
		only = argv[wanted[0]]
	}
	return files, s.indexed(cmd, only, func(x *store.Index) error {
		for _, i := range wanted {
			h, err := find(cmd, x, argv[i])
			if errors.Is(err, store.ErrNoRecord) {
				return none(argv[i])
			}
			if err != nil {
				return err
			}
			sayExcluded(cmd, x, h.ID)
			files[i] = h.Path
		}
		return nil
	})
}

// identifier matches the beginning of a ULID (github.com/ulid/spec).
var identifier = regexp.MustCompile(`^[0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{1,26}$`)

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
				sayExcluded(cmd, x, h.ID)
				return printRecord(cmd, format.Format, rec, h.Path)
			})
		},
	}
	dir.flag(cmd)
	format.flag(cmd, "what is printed:", report.Formats()...)
	return cmd
}
