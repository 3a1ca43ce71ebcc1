package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/perwatt/perwatt/bench"
	benchall "github.com/perwatt/perwatt/bench/all"
	"github.com/perwatt/perwatt/harness"
	"github.com/perwatt/perwatt/harness/endpoint"
	"github.com/perwatt/perwatt/harness/fleet"
	"github.com/perwatt/perwatt/harness/power"
	powerall "github.com/perwatt/perwatt/harness/power/all"
	"github.com/perwatt/perwatt/kernels/device"
	devices "github.com/perwatt/perwatt/kernels/device/all"
	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/compare"
	"github.com/perwatt/perwatt/results/report"
)

// runFlags are what can be typed after perwatt run.
type runFlags struct {
	store                            storeFlag
	preset, sysfs, dataset           string
	format                           formatFlag
	device                           string
	page                             string
	uses, models, meters             []string
	impls, labels                    map[string]string
	threads, rounds, sessions, batch int
	seed                             uint32
	settle, warmup, limit, window    time.Duration
	interval, wait                   time.Duration
	at                               atFlag
	target, alone, verbose           bool
	place                            string // in a fleet
	sweep                            sweepFlags
	keep                             unsaved
}

func runCommand() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Measure this node at every use and write a record",
		Long: `Measure this machine idle, at each use, and at the mullet (training in the foreground,
mining in the background), in interleaved rounds. Each use runs in a worker process.
Equal cards work together, one process a card, and are measured one by one and as a sum.
With a card the mullet is matrix products in the foreground on the card and mining in the
background on the CPU; in mullet-shared both are on the card.
The session is written to one record. A summary goes to standard output, progress and
errors to standard error. Ctrl-C stops the session and keeps the runs that are finished.

The summary ends with the best figure of each use, whether it can be trusted, and the one
thing that would help most. -v prints every table, and so does perwatt show later.
Watts have a grade: A known to 1 % at the wall over 10 minutes, B to 2 % over 5, C to 5 %
at wall, supply or BMC, D measured elsewhere or less well, E not measured (~) and never
ranked. The control is mining by Go's own SHA-256, a yardstick that no kernel of ours
changes. --label candidate=NAME names the machine in perwatt compare and perwatt report.`,
		Example: `  perwatt run
  perwatt run --preset smoke --format json
  perwatt run --uses training --model cnn
  perwatt run --uses mining --impl sha256d=generic --meter rapl
  perwatt run --preset publish --meter declared:350 --label site=north
  perwatt run --uses training --meter nvml --steps 150,200,250 --apply 'sudo nvidia-smi -pl {}' --report caps.html`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return atOnce(cmd, &f.keep, func() error { return f.run(cmd) })
		},
	}
	f.flags(cmd)
	return cmd
}

// flags defines them on a command.
func (f *runFlags) flags(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.SortFlags = false
	fl.StringVar(&f.preset, "preset", "quick", "plan: smoke (at most 20 s), quick (about 2 minutes) or publish (windows of 600 s, five sessions)")
	fl.StringSliceVar(&f.uses, "uses", nil, "scenarios to measure: control,mining,training,compute,memory,mullet … (default all); USE@DEVICE, as in mining@cuda:1 or mining@cuda:0-3, picks devices, and memory-copy, memory-upload, memory-download, inference, training-parallel, training-parallel-bf16 (one model on all equal cards, beside one card alone) and mullet-shared are measured only if named; inference-decode-8 is one of its stages (prefill or decode, of 1, 8 or 64 sequences at a time); idle always is")
	fl.StringSliceVar(&f.models, "model", nil, "networks to train: "+strings.Join(benchall.AllModels(), ",")+" (default: from the preset and the device); the mullet trains the first")
	fl.StringArrayVar(&f.meters, "meter", []string{"auto"}, "meter to read: auto, none, or a spec (see perwatt meters --help); may be repeated")
	fl.StringVar(&f.device, "device", devices.Auto, "devices to measure: auto (the CPU and every GPU), gpu, or some that perwatt node lists as usable, such as cpu,cuda:0; USE@DEVICE in --uses picks one of several")
	_ = cmd.RegisterFlagCompletionFunc("device", func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) { // it fails only for a flag that is not defined
		there, _, _ := findDevices(cmd.Context(), io.Discard)
		return devices.Names(there), cobra.ShellCompDirectiveNoFileComp
	})
	fl.IntVar(&f.threads, "threads", runtime.NumCPU(), "threads of each use on the CPU")
	fl.StringToStringVar(&f.impls, "impl", nil, "implementation of a kernel, KERNEL=NAME (perwatt node lists them; default: the fastest)")
	f.store.flag(cmd)
	f.format.flag(cmd, "what goes to standard output:", report.Formats()...)
	fl.StringVar(&f.page, "report", "", "also write a page about these records to this file, .html or .pdf")
	labelsVar(fl, &f.labels, "label of the record, KEY=VALUE; may be repeated; candidate=NAME sets the name in compare and report")
	f.sweep.flags(cmd, "")
	fl.StringVar(&f.dataset, "dataset", "", "directory of the MNIST IDX files to train on (default: digits rendered from fonts)")
	fl.IntVar(&f.batch, "batch", 0, "samples per thread and training step (default: from the network)")
	fl.StringVar(&f.sysfs, "sysfs", "/sys", "root of the sysfs tree in which to look for meters")
	fl.Uint32Var(&f.seed, "seed", 0, "seed of all random numbers (default: from the clock)")
	fl.IntVar(&f.rounds, "rounds", 0, "rounds (default: from the preset)")
	fl.IntVar(&f.sessions, "sessions", 0, "sessions (default: from the preset)")
	fl.DurationVar(&f.settle, "settle", 0, "rest before each run (default: from the preset)")
	fl.DurationVar(&f.warmup, "warmup", 0, "warm-up before each window (default: from the preset)")
	fl.DurationVar(&f.limit, "limit", 0, "longest wait for steady state (default: from the preset)")
	fl.DurationVar(&f.window, "window", 0, "length of the measured window of each run (default: from the preset)")
	fl.DurationVar(&f.interval, "interval", 0, "time between samples (default: from the preset)")
	fl.DurationVar(&f.wait, "wait", 0, "if another perwatt run measures on this machine, wait for its end at most this long")
	fl.BoolVar(&f.alone, "alone", false, "do not measure beside another perwatt run on this machine: if it goes on after --wait, end with exit code 3")
	fl.StringVar(&f.place, "fleet", "", "place in the measurement of a fleet: run=NAME,node=NODE,attempt=N[,together=K]")
	_ = fl.MarkHidden("fleet") // perwatt fleet gives it; it fails only for a flag that is not defined
	fl.Var(&f.at, "at", "begin to measure at this time (RFC 3339), with the kernels tried before, so that several machines begin together")
	fl.BoolVarP(&f.verbose, "verbose", "v", false, "print every table and warning, as perwatt show does, and not only the summary")
	fl.BoolVar(&f.target, "target", false, "first train to the accuracy target and report the time (default: from the preset)")
}

// chosen are the models to train on a device that can train those of can: the ones
// asked for, or by the preset on a CPU, and the default of a card.
func chosen(asked, preset, can []string, on device.Info) []string {
	switch {
	case len(asked) > 0:
	case on.Processor():
		return can[:min(1, len(can))]
	default:
		asked = preset
	}
	return slices.DeleteFunc(slices.Clone(asked), func(m string) bool { return !slices.Contains(can, m) })
}

// unlisted asks whether another of the known names was meant, unless the name is one.
func unlisted(name string, known []string) string {
	if slices.Contains(known, name) {
		return ""
	}
	return results.DidYouMean(name, known)
}

// plan turns flags into a plan, its scenarios and the devices that they may run
// on.
func (f *runFlags) plan(cmd *cobra.Command, there []device.Info) (p results.Plan, scenarios []harness.Scenario, on []device.Info, err error) {
	from, p, err := f.settings(cmd)
	if err != nil {
		return p, nil, nil, err
	}
	if err := usesAreDevices(f.uses, there); err != nil {
		return p, nil, nil, err
	}
	if on, err = chosenDevices(f.device, there); err != nil {
		return p, nil, nil, err
	}
	scenarios, err = harness.Scenarios(f.uses, on, harness.Work{
		Uses: benchall.Names(), Together: benchall.Together(), Runs: func(use string, on device.Info) bool {
			return benchall.Runs(use, on) && benchall.Models(use, on) == nil
		},
		Variants: func(use string, on device.Info) []string {
			if stages := benchall.Stages(use, on); stages != nil {
				return stages
			}
			return chosen(p.Models, from.models, benchall.Models(use, on), on)
		},
	})
	if err != nil {
		return p, nil, nil, exit{exitUsage, fmt.Errorf("--uses: %w", err)}
	}
	for _, s := range scenarios {
		p.Scenarios = append(p.Scenarios, s.Name)
	}
	return p, scenarios, on, nil
}

// settings turns into a plan what does not depend on the devices that are there.
func (f *runFlags) settings(cmd *cobra.Command) (from presetPlan, p results.Plan, err error) {
	if from, err = preset(f.preset); err != nil {
		return from, p, err
	}
	p = from.Plan
	p.Device = f.device
	if cmd.Flags().Changed("model") {
		p.Models = f.models
	}
	for i, m := range p.Models {
		if known := benchall.AllModels(); !slices.Contains(known, m) || slices.Contains(p.Models[:i], m) {
			return from, p, usagef("--model %s: must be among %s, each once%s", m, strings.Join(known, ", "), unlisted(m, known))
		}
	}
	for _, n := range []struct {
		flag  string
		from  int
		to    *int
		most  int
		where string
	}{
		{"rounds", f.rounds, &p.Rounds, 10_000, ""},
		{"sessions", f.sessions, &p.Sessions, 1000, ""},
		{"threads", f.threads, &p.Threads, runtime.NumCPU(), " on this machine"},
	} {
		if !cmd.Flags().Changed(n.flag) && n.flag != "threads" {
			continue
		}
		if n.from < 1 || n.from > n.most {
			return from, p, usagef("--%s %d: must be from 1 to %d%s", n.flag, n.from, n.most, n.where)
		}
		*n.to = n.from
	}
	for _, d := range []struct {
		flag  string
		from  time.Duration
		to    *results.Float
		least time.Duration
	}{
		{"settle", f.settle, &p.Settle, 0},
		{"warmup", f.warmup, &p.Warmup, 100 * time.Millisecond},
		{"limit", f.limit, &p.Limit, 0},
		{"window", f.window, &p.Window, 100 * time.Millisecond},
		{"interval", f.interval, &p.Interval, 10 * time.Millisecond},
	} {
		if !cmd.Flags().Changed(d.flag) {
			continue
		}
		if d.from < d.least || d.from > 24*time.Hour {
			return from, p, usagef("--%s %v: must be from %v to 24h", d.flag, d.from, d.least)
		}
		*d.to = results.Float(d.from.Seconds())
	}
	if err := f.sweep.check(); err != nil {
		return from, p, err
	}
	if f.wait < 0 || f.wait > 7*24*time.Hour {
		return from, p, usagef("--wait %v: must be from 0 to 168h", f.wait)
	}
	if f.place != "" {
		place, err := fleet.ParsePlace(f.place)
		if err != nil {
			return from, p, usagef("--fleet %.200q: %w", f.place, err)
		}
		p.Fleet = &place
	}
	p.Limit = max(p.Limit, p.Warmup)
	if p.Interval > p.Window/5 || p.Interval > p.Warmup/5 {
		return from, p, usagef("--interval %vs: must be at most a fifth of the window (%vs) and of the warm-up (%vs)", p.Interval, p.Window, p.Warmup)
	}
	if cmd.Flags().Changed("target") {
		p.Target = f.target
	}
	if p.Seed = f.seed; !cmd.Flags().Changed("seed") {
		p.Seed = uint32(time.Now().UnixNano()) // #nosec G115 -- any 32 bits do
	}
	p.Impls, p.Labels = f.impls, f.labels
	for _, m := range f.meters {
		p.Meters = append(p.Meters, endpoint.Redact(m))
	}
	return from, p, nil
}

func (f *runFlags) run(cmd *cobra.Command) error {
	ctx, stderr := cmd.Context(), cmd.ErrOrStderr()
	// Everything that can be refused is refused before anything is measured, what needs
	// no driver, file or instrument first.
	if _, _, err := f.settings(cmd); err != nil {
		return err
	}
	if err := f.checkPage(); err != nil {
		return err
	}
	there, _, doubts := findDevices(ctx, stderr)
	if err := ctx.Err(); err != nil {
		return err
	}
	plan, scenarios, on, err := f.plan(cmd, there)
	if err != nil {
		return err
	}
	if err := checkForced(on, f.impls); err != nil {
		return err
	}
	format := f.format.Format
	st, err := f.store.open()
	if err != nil {
		return err
	}
	if err := st.Room(bytesOf(plan, max(1, len(f.sweep.settings)))); err != nil {
		return exit{exitData, fmt.Errorf("--store: %w", err)}
	}
	meters, probes, err := powerall.Open(ctx, f.meters, powerall.Roots{Sys: f.sysfs, Proc: "/proc"})
	if err != nil {
		return fmt.Errorf("--meter: %w", err)
	}
	defer closeMeters(meters, stderr)
	if err := tooSlow(meters, f.meters, plan); err != nil {
		return err
	}
	neighbours, err := harness.Announce(ctx, f.wait, f.alone, func(n harness.Neighbour) {
		say(stderr, "waiting up to %v for the end of another perwatt run: %s", f.wait, n)
	})
	var beside harness.NotAlone
	if errors.As(err, &beside) {
		return exit{exitData, fmt.Errorf("--alone: nothing is measured: %w, also after --wait %v", err, f.wait)}
	}
	if err != nil {
		return interrupted(ctx, err)
	}
	defer neighbours.Close()
	if others := neighbours.Since(time.Now()); len(others) > 0 {
		w := harness.NeighbourWarning(others)
		say(stderr, "perwatt: %s: the records of both say so; %s", w.Text, w.Remedy)
	}
	describe := func() (results.Node, error) { return harness.Fingerprint(harness.Roots{}, listed(there, on)) }
	node, err := describe()
	if err != nil {
		return err
	}
	doubts = append(doubts, harness.Warnings(node, harness.ReadConditions(harness.Roots{}))...)
	var found []string
	for _, m := range probes {
		found = append(found, m.Meter+" "+m.State)
	}
	say(stderr, "meters: %s (perwatt node says where and why)", strings.Join(found, ", "))
	show := newProgress(stderr)
	defer show.close()
	show.say("checking and timing every kernel against known answers")
	usable, kernels, failed, err := try(ctx, on, f.impls, scenarios)
	if err != nil {
		return interrupted(ctx, err)
	}
	for _, w := range failed {
		say(stderr, "perwatt: %s: %s", w.Text, w.Remedy)
	}
	doubts = append(doubts, failed...)
	if len(usable) < len(on) {
		if plan, scenarios, on, err = f.plan(cmd, usable); err != nil {
			return err
		}
	}
	var path string // of the record of the session that goes on
	var saved func()
	sessions := harness.Sessions{
		Session: harness.Session{
			Record:     &results.Record{Schema: results.SchemaVersion, Tool: tool(), Node: node, Plan: plan, Kernels: kernels, MeterProbes: probes, Warnings: doubts},
			Neighbours: neighbours,
			Scenarios:  scenarios, Meters: meters,
			Config:   func(part harness.Part) bench.Config { return f.config(part, kernels) },
			Worker:   func() *exec.Cmd { return selfCommand(workerName) },
			Progress: show.update,
		},
		On:       on,
		Sweep:    f.sweep.Sweep,
		Describe: describe,
		Applying: func(to results.Setting) func() {
			show.say("applying setting " + to.Value)
			return f.keep.begin(st.Place()) // what stays applied is said
		},
		Create: func(rec *results.Record) (func(*results.Record) error, error) {
			draft, err := st.Create(rec.ID, time.Now(), rec.Plan.Preset == "publish")
			if err != nil {
				return nil, fmt.Errorf("--store: %w", err)
			}
			path, saved = "", f.keep.begin(st.Place())
			return func(rec *results.Record) (err error) {
				path, err = draft.Keep(rec)
				return err
			}, nil
		},
	}
	if err := sessions.Refused(devices.Describe, benchall.Open); err != nil {
		use, why, refused := strings.Cut(err.Error(), bench.ErrUsage.Error()+": ")
		if flag, _, _ := strings.Cut(why, "="); refused && cmd.Flags().Lookup(flag) != nil { // a parameter has the name of its flag
			return usagef("%s--%s", use, why)
		}
		return err
	}
	defer f.sweep.remains(stderr)
	show.clear()
	late, err := f.at.wait(ctx, stderr)
	if err != nil {
		return err
	}
	sessions.Session.Record.Warnings = append(sessions.Session.Record.Warnings, late...)
	var files []string
	var records []*results.Record
	for rec, err := range sessions.All(ctx) {
		switch {
		case rec == nil && len(files) == 0:
			return interrupted(ctx, err)
		case rec == nil && ctx.Err() != nil:
			return exit{exitInterrupted, fmt.Errorf("interrupted: what was measured before is kept: %s", strings.Join(files, ", "))}
		case rec == nil:
			return fmt.Errorf("%w; what was measured before is kept: %s", err, strings.Join(files, ", "))
		}
		saved()
		show.clear()
		err = ended(cmd, format, rec, path, f.verbose, err)
		if path != "" && len(rec.Runs) > 0 {
			files, records = append(files, path), append(records, rec)
		}
		if f.page != "" && len(records) > 0 {
			// A page of what there is also where a run failed or Ctrl-C ended it.
			err = errors.Join(err, f.writeReport(cmd, files, records, format))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// checkPage returns an error unless the page of --report can be written.
func (f *runFlags) checkPage() error {
	ext := filepath.Ext(f.page)
	switch {
	case f.page == "":
		return nil
	case ext != ".html" && ext != ".pdf":
		return usagef("--report %q: must end in .html or .pdf", f.page)
	}
	err := results.Replaceable(f.page)
	if err == nil {
		err = writable(filepath.Dir(f.page))
	}
	if err == nil && ext == ".pdf" {
		_, err = browser()
	}
	if err != nil {
		return usagef("--report: %w", err)
	}
	return nil
}

// writable returns an error unless a file can be made in a directory.
func writable(dir string) error {
	f, err := os.CreateTemp(dir, ".perwatt-*")
	if err != nil {
		if p := new(fs.PathError); errors.As(err, &p) {
			err = &fs.PathError{Op: "write in", Path: dir, Err: p.Err} // not the name that was tried
		}
		return fmt.Errorf("%w: name a file in a directory that is there and can be written", err)
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// perReading is what a record needs at least for one interval between samples, with all
// the traces that are sampled in it, in bytes: a machine with two CPUs and one meter needs
// twice as much, one with cards more.
const perReading = 300

// bytesOf is the least size of the records of a plan, at so many settings.
func bytesOf(p results.Plan, settings int) int64 {
	runs := len(p.Scenarios) * p.Rounds * max(1, p.Sessions) * settings
	return int64(float64(runs) * float64((p.Settle+p.Warmup+p.Window)/p.Interval) * perReading)
}

// tooSlow refuses a meter that was named and that need not have one reading in a window.
// What auto finds is never refused.
func tooSlow(meters []power.Meter, specs []string, p results.Plan) error {
	if slices.Contains(specs, "auto") {
		return nil
	}
	for _, m := range meters {
		if info := m.Info(); info.Period > p.Window.Duration() {
			return usagef("--meter: %s has a new reading every %v, and a window lasts %v: most windows would have none: --window %v or --preset publish gives each several",
				info.Name, info.Period, p.Window.Duration(), 10*info.Period)
		}
	}
	return nil
}

// writeReport writes the page on the sessions so far, one that was interrupted
// too, and prints where it lies.
func (f *runFlags) writeReport(cmd *cobra.Command, files []string, records []*results.Record, format report.Format) error {
	defer f.keep.begin(f.page)()
	err := pageOf(context.WithoutCancel(cmd.Context()), f.page, files, records)
	switch {
	case errors.Is(err, compare.ErrNothing): // said already
		return nil
	case err != nil:
		return fmt.Errorf("--report: %w", err)
	case format == report.Text:
		say(cmd.OutOrStdout(), "Page %s", f.page)
	default:
		say(cmd.ErrOrStderr(), "perwatt: page: %s", f.page)
	}
	return nil
}

// ended prints the record of a session that ended with err, and returns the error
// with the exit code of the session.
func ended(cmd *cobra.Command, format report.Format, rec *results.Record, path string, verbose bool, err error) error {
	if len(rec.Runs) > 0 {
		print := printRecord
		if format == report.Text && !verbose {
			print = printBrief
		}
		if err := print(cmd, format, rec, path); err != nil {
			return err
		}
	}
	if err == nil && format != report.Text { // which has it
		say(cmd.ErrOrStderr(), "perwatt: record: %s", path)
	}
	switch good := rec.Count(results.OK); {
	case err != nil && path != "":
		return fmt.Errorf("%w: the runs before it are in %s", err, path)
	case err != nil:
		return err
	case rec.State == results.Interrupted:
		return exit{exitInterrupted, fmt.Errorf("interrupted: %d finished runs are kept in %s; perwatt verify reads it, a new perwatt run starts afresh", good, path)}
	case good == 0:
		return exit{exitData, fmt.Errorf("no run gave a result: the reasons are in %s", path)}
	case good == len(rec.Runs) && rec.Lost() > 0:
		return exit{exitGate, fmt.Errorf("%s of a card missing, while the others went on: the reasons are above and in %s", results.Plural(rec.Lost(), "result"), path)}
	case good < len(rec.Runs):
		return exit{exitGate, fmt.Errorf("%d of %d runs gave no result: the reasons are above and in %s", len(rec.Runs)-good, len(rec.Runs), path)}
	}
	return nil
}

// printBrief prints the summary of a record.
func printBrief(cmd *cobra.Command, _ report.Format, rec *results.Record, path string) error {
	w := cmd.OutOrStdout()
	opt := options(w, path)
	dir := filepath.Dir(filepath.Dir(path)) // the store has a directory for each month
	if usual, err := storeFlag("").dir(); err != nil || dir != usual {
		opt.Store = dir
	}
	if err := report.WriteBrief(w, rec, opt); err != nil {
		return fmt.Errorf("print the record (it lies in %s): %w", path, err)
	}
	return nil
}

// printRecord prints a record in the format that was asked for.
func printRecord(cmd *cobra.Command, format report.Format, rec *results.Record, path string) (err error) {
	w := cmd.OutOrStdout()
	if format == report.JSON {
		var raw []byte
		if raw, err = results.Seal(rec); err == nil {
			_, err = w.Write(results.PrintableJSON(raw))
		}
	} else {
		err = report.Write(w, format, rec, options(w, path))
	}
	if err != nil {
		return fmt.Errorf("print the record (it lies in %s): %w", path, err)
	}
	return nil
}

func options(w io.Writer, path string) report.Options {
	return report.Options{Path: path, Program: os.Args[0], Width: width(w), Color: colored(w)}
}

// config is what a part of a scenario is opened with, but for its device.
func (f *runFlags) config(part harness.Part, kernels []results.Kernel) bench.Config {
	on := part.On()[0]
	cfg := benchall.Config(part.Use, on, kernels)
	if benchall.Stages(part.Use, on) != nil {
		cfg.Params["stage"] = part.Variant
	} else if part.Variant != "" {
		cfg.Params["model"] = part.Variant
		if f.dataset != "" {
			cfg.Params["dataset"] = f.dataset
		}
		if f.batch != 0 {
			cfg.Params["batch"] = strconv.Itoa(f.batch)
		}
	}
	return cfg
}

func closeMeters(meters []power.Meter, stderr io.Writer) {
	for _, m := range meters {
		if err := m.Close(); err != nil {
			say(stderr, "perwatt: close meter: %v", err)
		}
	}
}

// interrupted gives an error that came of a signal its exit code. A meter that is
// being opened, or a command of one, may end before it knows of the signal, with
// an error of its own.
func interrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil && err != nil {
		return exit{exitInterrupted, errors.New("interrupted before the first run: nothing was measured")}
	}
	return err
}
