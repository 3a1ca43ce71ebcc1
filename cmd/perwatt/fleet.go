package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/perwatt/perwatt/harness/fleet"
	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/report"
	"github.com/perwatt/perwatt/results/site"
	"github.com/perwatt/perwatt/results/store"
)

func fleetCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "fleet",
		Short: "Measure many nodes by Slurm or SSH, each once, and say what is missing",
		Long: `Measure many nodes by an engine that runs there already: Slurm, or OpenSSH. Each node
runs perwatt run with the same flags; its record is verified on arrival and goes into the
store that compare, track and serve read.

The nodes that are expected are fixed at the start. A measurement is a directory in the
store, STORE/fleet/NAME; the commands take its NAME or the directory, and the latest
where none is named. Its journal only grows: what was interrupted is resumed, and a
second start does only what is missing.`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(fleetRunCommand(), fleetResumeCommand(), fleetCancelCommand(), fleetStatusCommand(), fleetCollectCommand(), fleetReportCommand())
	return cmd
}

// measurement returns the directory of the measurement that is named: a directory, the
// name of one in the store, or with an empty name the latest in the store.
func measurement(dir storeFlag, name string) (string, error) {
	if strings.ContainsRune(name, filepath.Separator) || name == "." {
		return name, nil
	}
	root, err := dir.dir()
	if err != nil {
		return "", err
	}
	if name != "" {
		if err := fleet.CheckName(name); err != nil {
			return "", usagef("%w", err)
		}
		return fleet.Dir(root, name), nil
	}
	entries, err := os.ReadDir(filepath.Dir(fleet.Dir(root, "x")))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	var latest string
	var began time.Time
	for _, e := range entries {
		at := fleet.Dir(root, e.Name())
		if r, err := fleet.ReadRoster(at); err == nil && !r.Start.Before(began) {
			latest, began = at, r.Start
		}
	}
	if latest == "" {
		return "", exit{exitData, fmt.Errorf("%s has no measurement of a fleet: perwatt fleet run makes one, and --store names another store", root)}
	}
	return latest, nil
}

// storeOf is the store that has the directory of a measurement.
func storeOf(dir string) (*store.Store, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	return store.Open(filepath.Dir(filepath.Dir(abs)))
}

// nextFleet is a command about the measurement in dir, for the user to type.
func nextFleet(cmd *cobra.Command, what, dir string) string {
	words := []string{"perwatt", "fleet", what, filepath.Base(dir)}
	if f := cmd.Flags().Lookup("store"); f != nil && f.Changed {
		words = append(words, "--store", f.Value.String())
	}
	return results.Command(words...)
}

// keeper is a store for the records of a fleet.
type keeper struct{ *store.Store }

// Take implements [fleet.Store].
func (k keeper) Take(f *results.File) error {
	_, err := k.Store.Take(f)
	switch {
	case errors.Is(err, store.ErrKept):
		return nil
	case errors.Is(err, os.ErrExist):
		return fmt.Errorf("%w: %s", fleet.ErrTaken, f.Record.ID)
	}
	return err
}

// openFleet opens the measurement that a command names, for this process alone.
func openFleet(dir storeFlag, argv []string) (*fleet.Fleet, error) {
	at, err := measurement(dir, named(argv))
	if err != nil {
		return nil, err
	}
	return fleet.Open(at)
}

// named takes the argument of a command on a measurement.
func named(argv []string) string {
	if len(argv) == 0 {
		return ""
	}
	return argv[0]
}

func fleetStatusCommand() *cobra.Command {
	var dir storeFlag
	var format formatFlag
	cmd := &cobra.Command{
		Use:   "status [NAME]",
		Short: "Print what became of each node so far",
		Long: `Print how many nodes are done, run, wait or have no record, and, node by node, why there is
none and which command says more. It reads the journal only: no engine is asked, and the
measurement may go on meanwhile.`,
		Args: args(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, argv []string) error {
			return atOnce(cmd, nil, func() error {
				at, err := measurement(dir, named(argv))
				if err != nil {
					return err
				}
				r, all, err := fleet.Read(at)
				if err != nil {
					return err
				}
				if format.Format == report.JSON {
					return report.WriteJSON(cmd.OutOrStdout(), "  ", struct {
						Roster   site.Roster    `json:"roster"`
						Outcomes []site.Outcome `json:"outcomes"`
					}{r, all})
				}
				return printOutcomes(cmd.OutOrStdout(), r, all)
			})
		},
	}
	dir.flag(cmd)
	format.flag(cmd, "what is printed:", textOrJSON...)
	return cmd
}

// mostOutcomes are printed one by one, the rest is counted: --format json has all.
const mostOutcomes = 40

// printOutcomes prints a line on the measurement and one on each node that is not done.
func printOutcomes(w io.Writer, r site.Roster, all []site.Outcome) error {
	count := map[site.State]int{}
	var rows [][]string
	for _, o := range all {
		count[o.State]++
		reason, more := o.Reason, o.More
		for _, a := range o.Attempts {
			if a.Note != "" {
				reason = strings.Trim(reason+"; "+a.Note, "; ")
			}
		}
		if clocksDiffer(o.Clock) {
			reason = strings.Trim(fmt.Sprintf("%s; its clock is %+.0f s off, within %.0f s", reason, o.Clock.Offset, o.Clock.Within), "; ")
		}
		if o.State == site.Done && reason == "" {
			continue
		}
		rows = append(rows, []string{o.Node, string(o.State), fmt.Sprint(len(o.Attempts)), reason, more})
	}
	say(w, "%s: %s of %s by %s since %s: %s", r.Name, results.Command(append([]string{"perwatt", "run"}, r.Args...)...), results.Plural(len(all), "node"), r.Engine, results.Minute(r.Start), inWords(count))
	if len(rows) == 0 {
		return nil
	}
	rest := max(0, len(rows)-mostOutcomes)
	if err := columns(w, append([][]string{{"node", "state", "attempts", "reason", "more"}}, rows[:len(rows)-rest]...)...); err != nil {
		return err
	}
	if rest > 0 {
		say(w, "and %s: --format json has all", results.Plural(rest, "more node"))
	}
	return nil
}

// clocksDiffer reports whether a node's clock is surely off by more than a second.
func clocksDiffer(c *site.Clock) bool {
	return c != nil && max(c.Offset, -c.Offset) > 1+c.Within
}

// inWords counts nodes by state: "60 done, 1 failed".
func inWords(count map[site.State]int) string {
	var words []string
	for _, s := range []site.State{site.Done, site.Running, site.Waiting, site.Failed, site.Refused, site.Lost, site.Absent} {
		if count[s] > 0 {
			words = append(words, fmt.Sprintf("%d %s", count[s], s))
		}
	}
	return strings.Join(words, ", ")
}

func fleetCancelCommand() *cobra.Command {
	var dir storeFlag
	cmd := &cobra.Command{
		Use:   "cancel [NAME]",
		Short: "End the jobs in flight",
		Long: `End the jobs of a measurement that wait or run. Records that are here stay, and perwatt
fleet resume goes on.`,
		Args: args(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, argv []string) error {
			return atOnce(cmd, nil, func() error {
				f, err := openFleet(dir, argv)
				if err != nil {
					return err
				}
				defer f.Close()
				e, done, err := openEngine(f.Roster(), f.Dir(), filepath.Join(f.Dir(), binaryName))
				if err != nil {
					return err
				}
				defer done()
				n, err := f.Cancel(cmd.Context(), e)
				if err != nil {
					return err
				}
				say(cmd.OutOrStdout(), "%s: %s cancelled", f.Roster().Name, results.Plural(n, "job"))
				return nil
			})
		},
	}
	dir.flag(cmd)
	return cmd
}

func fleetCollectCommand() *cobra.Command {
	var dir storeFlag
	var power powerFlags
	cmd := &cobra.Command{
		Use:   "collect [NAME [FILE|DIR...]]",
		Short: "Take records that came late or by hand",
		Long: `Look again at what all attempts left, also those that were given up, and take records that
came by hand: files, or directories with records in them. A record must be sealed, whole,
finished, and that of a node and an attempt of this measurement; what is not goes aside
with the reason. Nothing is taken twice, and nothing is overwritten. Exit code 3 if a
file that was named is refused.

With --power and --map, join what perwatt meters --record read of the nodes' BMCs or PDUs
to their records, by time and the offset of the clocks, which is in the budget of each
figure. A record stays as it is, is excluded, and a new one stands in its place; doing it
twice changes nothing. A line of the map whose node is rack=NAME is the meter of a whole
rack: fleet report sets it beside the sum of the nodes. Record on the host that submits, or keep the clocks of all by NTP
or PTP.`,
		Example: `  perwatt fleet collect
  perwatt fleet collect acceptance from-the-pods/
  perwatt fleet collect acceptance --power power.jsonl --map nodes.csv`,
		Args: args(cobra.ArbitraryArgs),
		RunE: func(cmd *cobra.Command, argv []string) error {
			var keep unsaved
			return atOnce(cmd, &keep, func() error {
				if err := power.check(); err != nil {
					return err
				}
				f, err := openFleet(dir, argv)
				if err != nil {
					return err
				}
				defer f.Close()
				st, err := storeOf(f.Dir())
				if err != nil {
					return err
				}
				defer keep.begin(f.Dir())()
				show := newCounted(cmd.ErrOrStderr(), "attempts and files looked at")
				sum, err := f.Collect(cmd.Context(), keeper{st}, show.update, argv[min(1, len(argv)):]...)
				show.close()
				for _, why := range sum.Files {
					say(cmd.ErrOrStderr(), "perwatt: %s", why.Reason)
				}
				if cmd.Context().Err() != nil {
					return exit{exitInterrupted, fmt.Errorf("interrupted: %s taken; the same command takes the rest", results.Plural(sum.Records, "record"))}
				}
				if err != nil {
					return err
				}
				say(cmd.OutOrStdout(), "%s: %s taken, %d refused", f.Roster().Name, results.Plural(sum.Records, "record"), sum.Refused)
				if sum.Refused > 0 {
					say(cmd.ErrOrStderr(), "perwatt: %s says why; refused files are in %s", nextFleet(cmd, "status", f.Dir()), filepath.Join(f.Dir(), "aside"))
				}
				if err := printOutcomes(cmd.OutOrStdout(), f.Roster(), f.Outcomes()); err != nil {
					return err
				}
				if err := power.join(cmd, st, f.Dir(), f.Roster(), f.Outcomes()); err != nil {
					return err
				}
				if len(sum.Files) > 0 {
					return exit{exitData, fmt.Errorf("%s refused", results.Plural(len(sum.Files), "file"))}
				}
				return nil
			})
		},
	}
	dir.flag(cmd)
	power.flags(cmd)
	return cmd
}

// unmeasured counts the nodes without all their records.
func unmeasured(all []site.Outcome) int {
	return len(slices.DeleteFunc(slices.Clone(all), func(o site.Outcome) bool { return o.State == site.Done }))
}
