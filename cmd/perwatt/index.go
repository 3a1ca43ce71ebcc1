package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/perwatt/perwatt/results/store"
)

// storeFlag is the directory of records that a command reads or adds to.
type storeFlag string

func (s *storeFlag) flag(cmd *cobra.Command) {
	cmd.Flags().SortFlags = false
	cmd.Flags().StringVar((*string)(s), "store", "", "directory of records (default: $PERWATT_STORE, or the data directory of the user)")
}

func (s storeFlag) dir() (string, error) {
	if s != "" {
		return string(s), nil
	}
	dir, err := store.Dir()
	if err != nil {
		return "", exit{exitUsage, err}
	}
	return dir, nil
}

// open opens the store to write to it, and makes it if need be.
func (s storeFlag) open() (*store.Store, error) {
	dir, err := s.dir()
	if err != nil {
		return nil, err
	}
	st, err := store.Open(dir)
	if err != nil {
		return nil, exit{exitUsage, fmt.Errorf("--store: %w", err)}
	}
	return st, nil
}

// amend keeps an amendment and prints what it is called and where it lies.
func (s storeFlag) amend(cmd *cobra.Command, a store.Amendment) error {
	st, err := s.open()
	if err != nil {
		return err
	}
	a, path, err := st.Amend(a)
	if err != nil {
		return err
	}
	say(cmd.OutOrStdout(), "%s %s", a.ID, path)
	return nil
}

// indexed brings the index up to date, does something with it, and prints its
// notes: it may have to be built again while it is used. wanted begins the
// identifier of the one record that is asked for, if only one is.
func (s storeFlag) indexed(cmd *cobra.Command, wanted string, do func(*store.Index) error) error {
	dir, err := s.dir()
	if err != nil {
		return err
	}
	x, err := store.OpenIndexFor(cmd.Context(), dir, wanted)
	if err != nil {
		return err
	}
	defer x.Close()
	defer func() {
		for _, n := range x.Notes() {
			say(cmd.ErrOrStderr(), "perwatt: %s", n)
		}
	}()
	return do(x)
}

// strangers says what lies in the store and is not used.
func strangers(cmd *cobra.Command, x *store.Index) {
	const most = 5
	others := x.Strangers()
	if others.N == 0 {
		return
	}
	var names []string
	for _, s := range others.First[:min(len(others.First), most)] {
		names = append(names, fmt.Sprintf("%s (%s)", s.Path, s.Why))
	}
	if others.N > most {
		names = append(names, "…")
	}
	say(cmd.ErrOrStderr(), "perwatt: not used of what lies in the store (%d): %s", others.N, strings.Join(names, ", "))
}

// unreadable says on standard error that a record cannot be read.
func unreadable(cmd *cobra.Command, h store.Header) {
	say(cmd.ErrOrStderr(), "perwatt: %s cannot be used: %s", h.Path, h.Error)
}

func indexCommand() *cobra.Command {
	var dir storeFlag
	var rebuild bool
	cmd := &cobra.Command{
		Use:   "index",
		Short: "Bring the index of the records up to date and check it",
		Long: `The index is a copy of what many commands need from the records. Every command that uses
it brings it up to date first, and it may be deleted at any time. This command also
checks the whole index, and builds it again if it is damaged. Files in the store that are
not records are named and ignored. Exit code 3 if a record cannot be read; the output
names it.`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			began := time.Now()
			return dir.indexed(cmd, "", func(x *store.Index) (err error) {
				if rebuild {
					err = x.Rebuild(cmd.Context())
				} else {
					err = x.Check(cmd.Context())
				}
				if err != nil {
					return err
				}
				records, bad := 0, 0
				for h, err := range x.Records(cmd.Context(), store.Filter{Excluded: true}) {
					if err != nil {
						return err
					}
					if records++; h.Error != "" {
						bad++
						unreadable(cmd, h)
					}
				}
				groups, err := x.Groups(cmd.Context())
				if err != nil {
					return err
				}
				strangers(cmd, x)
				say(cmd.OutOrStdout(), "%s: %d records, %d node groups, %d amendments, %.1f s", x.Place(), records, len(groups), len(x.Amendments()), time.Since(began).Seconds())
				if bad > 0 {
					return exit{exitData, fmt.Errorf("%d of %d records cannot be read: fetch another copy of them; the rest is indexed", bad, records)}
				}
				return nil
			})
		},
	}
	dir.flag(cmd)
	cmd.Flags().BoolVar(&rebuild, "rebuild", false, "build the index anew from all records")
	return cmd
}
