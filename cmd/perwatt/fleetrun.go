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
	"github.com/spf13/pflag"

	"github.com/perwatt/perwatt/harness/endpoint"
	"github.com/perwatt/perwatt/harness/fleet"
	"github.com/perwatt/perwatt/harness/fleet/print"
	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/site"
	"github.com/perwatt/perwatt/results/store"
)

// fleetFlags are what can be typed after perwatt fleet run, but for the flags of
// perwatt run.
type fleetFlags struct {
	dir              storeFlag
	on               string
	place            map[string]*string // partition, nodes, hosts
	unshared         bool
	together         bool
	rack             string
	lead             time.Duration
	print, image     string
	name             string
	attempts         int
	jobLimit         time.Duration
	window           int
	period, patience time.Duration
	node             runFlags // of the nodes
	args             []string // those of them that were given
	keep             unsaved
}

// notOnNodes are flags of perwatt run that have no meaning on a node of a fleet, or that
// the fleet gives.
var notOnNodes = map[string]bool{"store": true, "format": true, "report": true, "wait": true, "alone": true, "fleet": true, "at": true, "sysfs": true}

// recorded is a flag of perwatt run that notes what it was given.
type recorded struct {
	pflag.Value
	name string
	to   *[]string
}

func (r recorded) Set(text string) error {
	if err := r.Value.Set(text); err != nil {
		return err
	}
	*r.to = append(*r.to, "--"+r.name+"="+text)
	return nil
}

func (f *fleetFlags) schedule(fl *pflag.FlagSet) {
	fl.IntVar(&f.window, "in-flight", 200, "most jobs that wait or run at a time")
	fl.DurationVar(&f.period, "period", 5*time.Second, "time between two queries to the engine, one for all jobs")
	fl.DurationVar(&f.patience, "patience", time.Hour, "give up a job that has not started after this long")
}

func (f *fleetFlags) checkSchedule() error {
	switch {
	case f.window < 1 || f.window > 10_000:
		return usagef("--in-flight %d: must be from 1 to 10000", f.window)
	case f.period < 100*time.Millisecond || f.period > time.Hour:
		return usagef("--period %v: must be from 100ms to 1h", f.period)
	case f.patience < time.Second || f.patience > 30*24*time.Hour:
		return usagef("--patience %v: must be from 1s to 720h", f.patience)
	}
	return nil
}

func fleetRunCommand() *cobra.Command {
	f := fleetFlags{place: map[string]*string{"partition": new(string), "nodes": new(string), "hosts": new(string)}}
	cmd := &cobra.Command{
		Use:   "run --on slurm|ssh [flags of perwatt run] [-- options of sbatch or ssh]",
		Short: "Measure every node of a partition or a list of hosts",
		Long: `Measure every node once. Idle nodes come first, and no more jobs are in flight than
--in-flight says. A node is done when its records are here and verify, whatever the engine
says of its job; a job that gives none is submitted again as another attempt. Ctrl-C
leaves the jobs running: perwatt fleet resume goes on, perwatt fleet cancel ends them.

Flags of perwatt run, such as --preset, --uses and --meter, are those of each node; what
follows -- goes to sbatch or ssh as it is. A secret is never taken: name where a node
finds it, as in password=env:NAME or password=file:PATH.

Exit codes: 0 every node has its records, 3 some have none, 130 interrupted.`,
		Example: `  perwatt fleet run --on slurm --partition gpu --preset publish -- --account=bench
  perwatt fleet run --on slurm --nodes 'n[1-64]' --uses mining,compute --meter rapl
  perwatt fleet run --on ssh --hosts hosts.txt --preset quick`,
		Args: func(cmd *cobra.Command, argv []string) error {
			if at := cmd.ArgsLenAtDash(); len(argv) > 0 && at != 0 {
				return usagef("%q: options of the engine follow -- (see %s --help)", argv[0], cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, options []string) error {
			return atOnce(cmd, &f.keep, func() error { return f.run(cmd, options) })
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&f.on, "on", "", "engine: slurm or ssh")
	fl.StringVar(f.place["partition"], "partition", "", "partition of Slurm (default: all nodes, in its default partition)")
	fl.StringVar(f.place["nodes"], "nodes", "", "nodes of Slurm, such as n[1-64] (default: all of the partition)")
	fl.StringVar(f.place["hosts"], "hosts", "", "file of hosts: a destination of ssh a line, with rack=R and switch=S after it if known")
	fl.BoolVar(&f.unshared, "no-shared", false, "bring records back over the job's output from nodes that see the store, too (a job that does not see it is found out)")
	fl.StringVar(&f.print, "print", "", "start nothing: write what measures --hosts in the site's own way, "+strings.Join(print.Kinds, " or "))
	fl.StringVar(&f.image, "image", "", "container image with perwatt and /bin/sh, for --print k8s")
	fl.StringVar(&f.name, "name", "", "name of the measurement (default: its start, in UTC)")
	fl.IntVar(&f.attempts, "attempts", 2, "most attempts of a node")
	fl.DurationVar(&f.jobLimit, "job-limit", 0, "longest time of one job from its start (default: three times what its plan takes, and 10 minutes)")
	fl.BoolVar(&f.together, "together", false, "the nodes of a rack, or of a switch where no rack is known, begin at one time, for their watts together: in one job of Slurm; over SSH one that is not ready by then is left behind")
	fl.StringVar(&f.rack, "rack", "", "measure the nodes of this rack or switch only")
	fl.DurationVar(&f.lead, "lead", 2*time.Minute, "with --together: time from the start of a rack's job, or over SSH from its submission, until it begins")
	f.schedule(fl)
	f.dir.flag(cmd)
	run := new(cobra.Command)
	f.node.flags(run)
	run.Flags().VisitAll(func(flag *pflag.Flag) {
		if notOnNodes[flag.Name] || flag.Hidden {
			return
		}
		if flag.Name == "threads" || flag.Name == "seed" { // what this machine has is not said of the nodes
			flag.DefValue = "0"
		}
		flag.Value = recorded{flag.Value, flag.Name, &f.args}
		fl.AddFlag(flag)
	})
	return cmd
}

// run begins a measurement and runs it.
func (f *fleetFlags) run(cmd *cobra.Command, options []string) error {
	ctx := cmd.Context()
	began := time.Now().UTC()
	if f.name == "" {
		f.name = fleet.Name(began)
	}
	if err := errors.Join(fleet.CheckName(f.name), f.checkSchedule()); err != nil {
		return usagef("%w", err)
	}
	for _, word := range append(f.args, options...) {
		// A name such as TOKEN is one for the shell, too.
		if endpoint.Redact(strings.ToLower(word)) != strings.ToLower(word) {
			return usagef("%s: it holds a secret, which would lie in the roster and on command lines: name where a node finds it, as in password=env:NAME or password=file:PATH", endpoint.Redact(strings.SplitN(word, "=", 2)[0]))
		}
	}
	if f.lead < time.Second || f.lead > 12*time.Hour {
		return usagef("--lead %v: must be from 1s to 12h", f.lead)
	}
	plan, takes, err := f.plan()
	if err != nil {
		return err
	}
	if f.jobLimit == 0 {
		f.jobLimit = (3*takes + 10*time.Minute).Round(time.Minute)
	}
	wait := min(takes+5*time.Minute, 7*24*time.Hour).Round(time.Second)
	r := site.Roster{
		Version: site.RosterVersion, Name: f.name, Start: began, Engine: f.on, Options: options,
		Args:  append(f.args, "--wait", wait.String(), "--alone"),
		Place: map[string]string{}, Limit: f.jobLimit.Seconds(), Sessions: plan.Sessions, Attempts: f.attempts,
	}
	if f.print != "" {
		return f.printed(cmd, r)
	}
	for flag, value := range f.place {
		if *value != "" {
			r.Place[flag] = *value
		}
	}
	if f.together {
		r.Together, r.Lead = true, f.lead.Seconds()
	}
	if f.unshared {
		r.Place["no-shared"] = "true"
	}
	if err := checkPlace(r); err != nil {
		return err
	}
	st, err := f.dir.open()
	if err != nil {
		return err
	}
	dir := fleet.Dir(st.Place(), f.name)
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find perwatt's own binary: %w", err)
	}
	e, done, err := openEngine(r, dir, self)
	if err != nil {
		return err
	}
	defer done()
	say(cmd.ErrOrStderr(), "listing the nodes")
	hosts, err := e.Nodes(ctx)
	if err != nil {
		return interrupted(ctx, fmt.Errorf("list the nodes: %w", err))
	}
	if f.rack != "" {
		hosts = slices.DeleteFunc(hosts, func(h fleet.Host) bool { return h.Rack != f.rack && h.Switch != f.rack })
		if len(hosts) == 0 {
			return usagef("--rack %s: the engine knows no node of it", f.rack)
		}
	}
	r.Nodes = nil
	for _, h := range hosts {
		r.Nodes = append(r.Nodes, h.Node)
	}
	if f.together && !slices.ContainsFunc(r.Nodes, func(n site.Node) bool { return n.Rack != "" || n.Switch != "" }) {
		say(cmd.ErrOrStderr(), "no rack or switch is known: all %s begin together", results.Plural(len(r.Nodes), "node"))
	}
	fl, err := fleet.New(dir, r)
	if err != nil {
		return exit{exitUsage, err}
	}
	defer fl.Close()
	if err := keepBinary(dir); err != nil {
		return err
	}
	return f.goOn(cmd, st, fl, e, hosts)
}

// plan is that of one node, and about how long one job takes. Devices and scenarios are
// known to the node only, so their number is guessed.
func (f *fleetFlags) plan() (p results.Plan, takes time.Duration, err error) {
	from, err := preset(f.node.preset)
	if err != nil {
		return p, 0, err
	}
	p = from.Plan
	if err := f.node.sweep.check(); err != nil {
		return p, 0, err
	}
	given := func(flag string) bool {
		for _, a := range f.args {
			if strings.HasPrefix(a, "--"+flag+"=") {
				return true
			}
		}
		return false
	}
	for flag, n := range map[string]struct{ from, to *int }{"rounds": {&f.node.rounds, &p.Rounds}, "sessions": {&f.node.sessions, &p.Sessions}} {
		if given(flag) {
			if *n.from < 1 || *n.from > 10_000 {
				return p, 0, usagef("--%s %d: must be from 1", flag, *n.from)
			}
			*n.to = *n.from
		}
	}
	for flag, d := range map[string]struct {
		from *time.Duration
		to   *results.Float
	}{"settle": {&f.node.settle, &p.Settle}, "limit": {&f.node.limit, &p.Limit}, "window": {&f.node.window, &p.Window}} {
		if given(flag) {
			*d.to = results.Float(d.from.Seconds())
		}
	}
	const uses, more = 8, 5 // scenarios where none are named; s a run for checks and the start of workers
	n := uses
	if len(f.node.uses) > 0 {
		n = 1 + len(f.node.uses) // idle always is
	}
	p.Sessions *= max(1, len(f.node.sweep.settings))
	seconds := float64(p.Sessions*p.Rounds*n) * float64(p.Settle+p.Limit+p.Window+more)
	return p, time.Duration(seconds*1e9) + time.Minute, nil
}

const binaryName = "perwatt"

// keepBinary keeps this program as that of a measurement, unless it has one: attempts and
// resumptions use the same. It is there as a whole before the first attempt.
func keepBinary(dir string) error {
	to := filepath.Join(dir, binaryName)
	if _, err := os.Lstat(to); err == nil {
		return nil
	}
	err := func() error {
		self, err := os.Executable()
		if err != nil {
			return err
		}
		in, err := os.Open(self) // #nosec G304 -- this program
		if err != nil {
			return err
		}
		defer in.Close()
		out, err := os.CreateTemp(dir, "."+binaryName+".*")
		if err != nil {
			return err
		}
		defer os.Remove(out.Name()) // gone once it was renamed
		_, err = io.Copy(out, in)
		if err = errors.Join(err, out.Chmod(0o755), out.Sync(), out.Close()); err != nil { // #nosec G302 -- nodes run it
			return err
		}
		return os.Rename(out.Name(), to)
	}()
	if err != nil {
		return fmt.Errorf("copy perwatt: %w", err)
	}
	return nil
}

func fleetResumeCommand() *cobra.Command {
	var f fleetFlags
	cmd := &cobra.Command{
		Use:   "resume [NAME]",
		Short: "Go on with a measurement: only what is missing is done",
		Long: `Take up the jobs in flight, collect what came meanwhile, and submit the nodes that are
missing: those that were not submitted yet, and those that were down and are back. A node
whose attempts are used up is not tried again.`,
		Args: args(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, argv []string) error {
			return atOnce(cmd, &f.keep, func() error {
				if err := f.checkSchedule(); err != nil {
					return err
				}
				fl, err := openFleet(f.dir, argv)
				if err != nil {
					return err
				}
				defer fl.Close()
				st, err := storeOf(fl.Dir())
				if err != nil {
					return err
				}
				if err := keepBinary(fl.Dir()); err != nil {
					return err
				}
				e, done, err := openEngine(fl.Roster(), fl.Dir(), filepath.Join(fl.Dir(), binaryName))
				if err != nil {
					return err
				}
				defer done()
				return f.goOn(cmd, st, fl, e, nil)
			})
		},
	}
	f.dir.flag(cmd)
	f.schedule(cmd.Flags())
	return cmd
}

// goOn runs a measurement until all is decided or Ctrl-C, and prints what became of it.
func (f *fleetFlags) goOn(cmd *cobra.Command, st *store.Store, fl *fleet.Fleet, e fleet.Engine, hosts []fleet.Host) error {
	defer f.keep.begin(fl.Dir())()
	show := newFleetProgress(cmd.ErrOrStderr(), len(fl.Roster().Nodes))
	submitted, err := fl.Run(cmd.Context(), fleet.Options{
		Engine: e, Store: keeper{st}, Hosts: hosts, Window: f.window, Period: f.period, Patience: f.patience,
		Update: show.update, Say: show.say,
	})
	show.close()
	out := fl.Outcomes()
	switch {
	case errors.Is(err, fleet.ErrLeft):
		return exit{exitInterrupted, fmt.Errorf("%w: %s goes on, %s ends them", err, nextFleet(cmd, "resume", fl.Dir()), nextFleet(cmd, "cancel", fl.Dir()))}
	case cmd.Context().Err() != nil:
		return exit{exitInterrupted, fmt.Errorf("interrupted: %s goes on", nextFleet(cmd, "resume", fl.Dir()))}
	case err != nil:
		return err
	}
	if submitted == 0 {
		say(cmd.ErrOrStderr(), "nothing was submitted: no node is missing that could be measured")
	}
	if err := printOutcomes(cmd.OutOrStdout(), fl.Roster(), out); err != nil {
		return err
	}
	say(cmd.ErrOrStderr(), "%s shows the figures", nextFleet(cmd, "report", fl.Dir()))
	if n := unmeasured(out); n > 0 {
		return exit{exitData, fmt.Errorf("%d of %s without a figure", n, results.Plural(len(out), "node"))}
	}
	return nil
}

// fleetProgress shows how far a fleet is: one line that changes on a terminal, a line now
// and then elsewhere.
type fleetProgress struct {
	*progress
	nodes int
	last  string
	next  time.Time
}

const quietFor = 30 * time.Second // where there is no terminal

func newFleetProgress(w io.Writer, nodes int) *fleetProgress {
	return &fleetProgress{progress: newProgress(w), nodes: nodes}
}

func (p *fleetProgress) update(at fleet.Progress) {
	text := fmt.Sprintf("%d of %d nodes done, %d running, %d waiting, %d without a record", at.Done, p.nodes, at.Running, at.Waiting, at.Lost)
	if text == p.last || !p.terminal && time.Now().Before(p.next) {
		return
	}
	p.last, p.next = text, time.Now().Add(quietFor)
	if at.Left > 0 {
		text += fmt.Sprintf(", about %v left", at.Left.Round(time.Second))
	}
	p.progress.say(text)
}

func (p *fleetProgress) say(text string) {
	p.clear()
	say(p.w, "perwatt: %s", text)
}
