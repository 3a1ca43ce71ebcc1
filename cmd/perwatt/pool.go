package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/perwatt/perwatt/bench/stratum"
	"github.com/perwatt/perwatt/harness"
	"github.com/perwatt/perwatt/harness/endpoint"
	"github.com/perwatt/perwatt/harness/miner"
	deviceall "github.com/perwatt/perwatt/harness/miner/all"
	"github.com/perwatt/perwatt/harness/power"
	powerall "github.com/perwatt/perwatt/harness/power/all"
	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/report"
	"github.com/perwatt/perwatt/results/store"
)

const poolPreset = "pool"

// poolFlags are what can be typed after perwatt pool.
type poolFlags struct {
	listen, expect, until     string
	difficulty                float64
	extranonce, workers       int
	duration, window          time.Duration
	warmup, settle, interval  time.Duration
	devices, meters, mappings []string
	labels                    map[string]string
	sweep                     sweep
	store                     storeFlag
	format                    string
	keep                      unsaved
}

func poolCommand() *cobra.Command {
	var f poolFlags
	cmd := &cobra.Command{
		Use:   "pool",
		Short: "Measure mining hardware that runs no Go: play its pool, and count what it hands in",
		Long: `Listen for miners (ASICs, FPGAs, any that speaks Stratum V1), give them nobody's
work at a difficulty that is found for each, hash every share again, and say each
device's hashrate with its exact interval, beside the watts of its meter and what
the device says of itself. Point a device's pool address here; its worker's name
is what it is called.

One record a worker, as perwatt run writes it for a server: compare, report and
track take both. The clock starts with a worker's first share; warm-up is left out,
interruptions and stale shares are counted, and a device whose shares are not those
of honest work, or whose silence leaves open what it did, gets no figure but the
reason. Ctrl-C ends the session with what it has.

Without a host the address is this machine's own: say 0.0.0.0:3333, or the address
of an interface, to let devices in. --map says which meter, or which --device, is a
worker's; one that bears the worker's name, and a device at the worker's address,
need no saying.`,
		Example: `  perwatt pool --listen 0.0.0.0:3333 --expect 200TH --until 2% --meter plug:http://plug.example
  perwatt pool --listen 10.0.0.5:3333 --duration 2h --device axeos:10.0.0.17
  perwatt pool --listen 10.0.0.5:3333 --until 2% --meter plug:http://plug.example --steps 2400,2800,3200 --apply './limit.sh {worker} {}'
  perwatt pool --listen 0.0.0.0:3333 --duration 2h --meter snmp:pdu,outlet=1,name=o1 --meter snmp:pdu,outlet=2,name=o2 --map s21=o1 --map m60=o2`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return atOnce(cmd, &f.keep, func() error { return f.run(cmd) })
		},
	}
	fl := cmd.Flags()
	fl.SortFlags = false
	fl.StringVar(&f.listen, "listen", ":3333", "HOST:PORT to listen on; without a host, this machine alone")
	fl.StringVar(&f.expect, "expect", "", "hashrate of each device, such as 200TH, for its first difficulty (default: found in the\nfirst minute of a device of 1GH or more; a slower one needs it)")
	fl.Float64Var(&f.difficulty, "difficulty", 0, "of all shares, instead of one that is found for each device")
	fl.DurationVar(&f.duration, "duration", 0, "how long each device is measured (default: until Ctrl-C)")
	fl.StringVar(&f.until, "until", "", "measure until half of the 95 % interval of a rate is at most this, such as 2%")
	fl.DurationVar(&f.window, "window", 0, "length of a window (default a sixth of --duration, from 1m to 1h, else 10m)")
	fl.DurationVar(&f.warmup, "warmup", 2*time.Minute, "mining before the first window")
	fl.DurationVar(&f.settle, "settle", 10*time.Second, "and then on work that was handed out after that")
	fl.DurationVar(&f.interval, "interval", time.Second, "time between readings of meters")
	fl.StringArrayVar(&f.devices, "device", nil, "device to ask what it says of itself, KIND:HOST, may be repeated:\n"+deviceKinds())
	fl.StringArrayVar(&f.meters, "meter", nil, "meter of a device, may be repeated: a spec (perwatt meters --help lists them)")
	fl.StringArrayVar(&f.mappings, "map", nil, "WORKER=NAME: that worker's is the meter or device of that name, may be repeated")
	fl.IntVar(&f.workers, "workers", 1024, "devices that hand in shares, and are measured, at most; one that has gone quiet gives its place to one that mines")
	fl.IntVar(&f.extranonce, "extranonce", 4, "bytes of the extranonce2 that devices roll, 4 to 8")
	fl.StringToStringVar(&f.labels, "label", nil, "label to put into the records, KEY=VALUE, may be repeated; candidate=NAME is what compare and report call it")
	f.sweep.flags(cmd, ", and {worker}\nthe name of the worker that it is for, which the device says: of letters, digits and ._@+:,=%-")
	f.store.flag(cmd)
	fl.StringVar(&f.format, "format", "text", "what goes to standard output at the end: text, json, markdown, csv, bench")
	return cmd
}

func deviceKinds() string {
	var b strings.Builder
	for _, k := range deviceall.Kinds() {
		fmt.Fprintf(&b, "  %-26s %s\n", k.Form, k.Help)
	}
	return strings.TrimRight(b.String(), "\n")
}

// plan turns flags into a plan and a pool, or says what is wrong with them.
func (f *poolFlags) plan(cmd *cobra.Command) (p results.Plan, cfg stratum.Config, until results.Float, err error) {
	bad := func(format string, args ...any) (results.Plan, stratum.Config, results.Float, error) {
		return p, cfg, 0, usagef(format, args...)
	}
	cfg = stratum.Config{Difficulty: f.difficulty, Extranonce2: f.extranonce, Workers: f.workers}
	if f.expect != "" {
		if cfg.Expect, err = hashrate(f.expect); err != nil {
			return bad("--expect %q: %w", f.expect, err)
		}
	}
	if f.until != "" {
		percent, isPercent := strings.CutSuffix(f.until, "%")
		x, err := endpoint.Decimal(strings.TrimSpace(percent))
		if err != nil || !isPercent || x < 0.01 || x > 50 {
			return bad("--until %q: must be a percentage from 0.01%% to 50%%, such as 2%%", f.until)
		}
		until = results.Float(x / 100)
	}
	for _, d := range []struct {
		flag        string
		value       time.Duration
		least, most time.Duration
	}{
		{"duration", f.duration, time.Second, 30 * 24 * time.Hour},
		{"window", f.window, time.Second, 24 * time.Hour},
		{"warmup", f.warmup, 0, 24 * time.Hour},
		{"settle", f.settle, 0, time.Hour},
		{"interval", f.interval, 10 * time.Millisecond, time.Minute},
	} {
		if cmd.Flags().Changed(d.flag) && (d.value < d.least || d.value > d.most) {
			return bad("--%s %v: must be from %v to %v", d.flag, d.value, d.least, d.most)
		}
	}
	if err := f.sweep.check(); err != nil {
		return p, cfg, 0, err
	}
	if f.sweep.id != "" && f.duration == 0 && f.until == "" {
		return bad("--steps needs --duration or --until: how long each setting is measured")
	}
	if f.workers < 1 || f.workers > 16384 {
		return bad("--workers %d: must be from 1 to 16384", f.workers)
	}
	window := cmp.Or(f.window, 10*time.Minute)
	rounds := 0
	if f.duration > 0 {
		if f.window == 0 {
			window = min(max(f.duration/6, time.Minute), time.Hour)
		}
		window = min(window, f.duration)
		rounds = int((f.duration + window/2) / window)
		window = f.duration / time.Duration(rounds)
	}
	p = results.Plan{
		Preset: poolPreset, Scenarios: []string{"mining"}, Rounds: rounds, Session: 1, Sessions: 1, Order: "one after the other", Threads: 1,
		Settle: results.Float(f.settle.Seconds()), Warmup: results.Float(f.warmup.Seconds()), Window: results.Float(window.Seconds()),
		Interval: results.Float(f.interval.Seconds()), Until: f.until, Labels: f.labels, Meters: []string{},
	}
	return p, cfg, until, nil
}

// hashrate reads a rate such as 200TH, 1.2 PH/s or 500 kH.
func hashrate(text string) (float64, error) {
	const want = "a hashrate is a number and H, kH, MH, GH, TH, PH or EH, such as 200TH"
	s := strings.TrimSuffix(strings.TrimSuffix(strings.TrimSpace(text), "/s"), "H")
	factor := 1.0
	for i, prefix := range []string{"k", "M", "G", "T", "P", "E"} {
		if cut, ok := strings.CutSuffix(s, prefix); ok {
			s = cut
			for range i + 1 {
				factor *= 1000
			}
			break
		}
	}
	v, err := endpoint.Decimal(strings.TrimSpace(s))
	if err != nil || !strings.Contains(text, "H") || v <= 0 {
		return 0, errors.New(want)
	}
	return v * factor, nil
}

func (f *poolFlags) run(cmd *cobra.Command) (err error) {
	ctx, stdout, stderr := cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr()
	plan, cfg, until, err := f.plan(cmd)
	if err != nil {
		return err
	}
	format, err := report.ParseFormat(f.format)
	if err != nil {
		return exit{exitUsage, fmt.Errorf("--format: %w", err)}
	}
	st, err := f.store.open()
	if err != nil {
		return err
	}
	g := &instruments{owner: map[string]string{}}
	if err := g.open(ctx, f.meters, f.devices, f.mappings); err != nil {
		return err
	}
	defer g.close(stderr)
	for _, m := range f.meters {
		plan.Meters = append(plan.Meters, endpoint.Redact(m))
	}

	heart, err := harness.StartHeartbeat(harness.Roots{})
	if err != nil {
		return err
	}
	defer heart.Stop()
	l := &poolSession{
		heart: heart, st: st, keep: &f.keep, plan: plan, sweep: &f.sweep, until: until, gauges: g, format: format, stdout: stdout, stderr: stderr,
		joined: make(chan *stratum.Worker, 64), most: f.workers, miners: map[*stratum.Worker]*report.Miner{},
	}
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	cfg.Joined = func(w *stratum.Worker) {
		select {
		case l.joined <- w:
		case <-serving.Done():
		}
	}
	cfg.Notice = func(address, text string) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.say("%s: %s", address, text)
	}
	srv, err := stratum.New(cfg)
	if err != nil {
		return err
	}
	listener, err := stratum.Listen(ctx, f.listen)
	if err != nil {
		return exit{exitUsage, fmt.Errorf("--listen: %w", err)}
	}
	l.address = listener.Addr().String()
	if err := l.tidy(); err != nil {
		listener.Close() // #nosec G104 -- nobody was let in, and the error that counts is returned
		return err
	}
	defer func() { f.sweep.remains(stderr) }()
	say(stderr, "pool: stratum+tcp://%s, any password; Ctrl-C ends it", l.address)
	return l.run(ctx, serving, stop, srv, listener)
}

// lab is a pool at work.
type poolSession struct {
	heart   *harness.Heartbeat
	st      *store.Store
	keep    *unsaved
	plan    results.Plan
	sweep   *sweep
	until   results.Float
	gauges  *instruments
	format  report.Format
	address string
	stdout  io.Writer
	stderr  io.Writer
	joined  chan *stratum.Worker

	mu     sync.Mutex // and of what is printed
	miners map[*stratum.Worker]*report.Miner
	order  []*stratum.Worker
	begun  int // workers that handed in a share
	most   int // of them that are told of
	drawn  int // lines of the table on the terminal
	ended  []outcome
}

// outcome is what became of one session on a worker.
type outcome struct {
	worker *stratum.Worker
	miner  report.Miner // as it stood in the end
	more   bool         // sessions at other settings follow
	rec    *results.Record
	path   string
	err    error
}

// tidy ends the sessions of pools that were killed with what they had.
func (l *poolSession) tidy() error {
	entries, err := l.st.List()
	if err != nil {
		return err
	}
	for _, e := range entries {
		path, ok, err := l.st.Finish(e, func(rec *results.Record) bool {
			if rec.Plan.Preset != poolPreset {
				return false
			}
			rec.State = results.Interrupted
			rec.Summary = results.Derive(rec)
			return true
		})
		switch {
		case err != nil:
			say(l.stderr, "perwatt: a session that was killed cannot be ended: %v", err)
		case ok:
			say(l.stderr, "a session that was killed is ended with what it had measured: %s", path)
		}
	}
	return nil
}

// run serves until every worker that was measured is done, or ctx ends. The
// devices are served until stop ends serving.
func (l *poolSession) run(ctx, serving context.Context, stop func(), srv *stratum.Server, listener net.Listener) error {
	served := make(chan error, 1)
	go func() { served <- srv.Serve(serving, listener) }()

	measuring, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan outcome)
	going, measured := 0, 0 // sessions; those that are past their beginning
	settled := make(chan struct{})
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var fatal error
	for over := false; !over || going > 0; {
		select {
		case w := <-l.joined:
			if over {
				continue
			}
			going++
			l.begin(w)
			go l.steps(measuring, w, settled, done)
		case <-settled:
			measured++
		case o := <-done:
			if l.end(o); o.more {
				continue
			}
			going--
			if !errors.Is(o.err, harness.ErrNothing) {
				measured--
				// The last of those that were measured: who never began is
				// not waited for.
				if over = over || measured == 0; over {
					cancel()
				}
			}
		case <-tick.C:
			l.draw()
		case <-ctx.Done():
			over = true
		case fatal = <-served:
			over = true
			cancel()
			served = nil
		}
	}
	stop()
	if served != nil {
		fatal = <-served
	}
	return errors.Join(fatal, l.conclude(ctx, srv))
}

// begin notes a worker that handed in its first share.
func (l *poolSession) begin(w *stratum.Worker) {
	l.mu.Lock()
	defer l.mu.Unlock()
	agent, address := w.Peer()
	l.miners[w] = &report.Miner{Name: w.Name(), Agent: agent, State: "looking for a difficulty"}
	l.order = append(l.order, w)
	switch l.begun++; {
	case l.begun <= l.most:
		l.say("worker %q from %s, %s", w.Name(), address, cmp.Or(agent, "which does not say what it is"))
	case l.begun == l.most+1:
		l.say("others take the places of workers that are gone or quiet: who comes from now on is told of when it is measured")
	}
}

// steps takes one worker through its sessions, one at each setting, as long as it has
// its place.
func (l *poolSession) steps(ctx context.Context, w *stratum.Worker, settled chan<- struct{}, done chan<- outcome) {
	defer l.keep.begin(l.st.Place())()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-w.Lost():
			cancel()
		case <-ctx.Done():
		}
	}()
	began := sync.OnceFunc(func() { settled <- struct{}{} })
	meters, claims, warnings := l.gauges.of(w)
	for _, setting := range l.sweep.sessions(1) {
		var o outcome
		if err := l.sweep.set(ctx, setting, w.Name()); err != nil {
			if o = (outcome{worker: w, err: err}); ctx.Err() != nil {
				o.err = fmt.Errorf("%w: %w", harness.ErrNothing, err)
			} else {
				began()
			}
		} else {
			plan := l.plan
			plan.Setting = setting
			o = l.measure(ctx, w, harness.PoolSession{
				Record: &results.Record{
					Schema: results.SchemaVersion, ID: ulid.Make().String(), Tool: tool(), Node: nodeOf(w, claims), Plan: plan,
					Kernels: []results.Kernel{}, Meters: []results.Meter{}, MeterProbes: l.gauges.sought(meters), Runs: []results.Run{}, Warnings: warnings,
				},
				Load: w, Meters: meters, Claims: claims, Heart: l.heart,
			}, began)
		}
		o.more = o.err == nil && o.rec.State == results.Complete && setting != nil && setting.Number < setting.Of && ctx.Err() == nil
		if done <- o; !o.more {
			return
		}
	}
}

// measure takes one worker through a session. It calls settled when it is past
// its beginning.
func (l *poolSession) measure(ctx context.Context, w *stratum.Worker, r harness.PoolSession, settled func()) outcome {
	rec, warnings, setting := r.Record, r.Record.Warnings, r.Record.Plan.Setting
	o := outcome{worker: w, rec: rec}
	draft, err := l.st.Create(rec.ID, time.Now(), false)
	if err != nil {
		o.err = fmt.Errorf("--store: %w", err)
		return o
	}
	l.mu.Lock()
	l.miners[w].Name = w.Name() + at(setting)
	every := 2 * time.Second
	if len(l.order) > 50 { // a second of looking a second is enough
		every = 10 * time.Second
	}
	l.mu.Unlock()
	began := sync.OnceFunc(func() {
		settled()
		l.mu.Lock()
		defer l.mu.Unlock()
		d, _ := w.Difficulty()
		l.say("worker %q is measured%s, at difficulty %g", w.Name(), at(setting), d)
	})
	r.Every = min(every, seconds(rec.Plan.Window)/4)
	r.Save = func(rec *results.Record) (err error) {
		if rec.State == results.Running {
			o.path, err = draft.Save(rec)
		} else {
			o.path, err = draft.Commit(rec)
		}
		return err
	}
	r.Look = func(rec *results.Record) (enough bool) {
		began()
		rec.Warnings = l.gauges.doubts(w, warnings)
		l.mu.Lock()
		defer l.mu.Unlock()
		m := l.miners[w]
		m.Measured(rec)
		m.State = stateOf(w, rec)
		return l.until > 0 && results.Counted(rec, l.until)
	}
	o.err = r.Run(ctx)
	if !errors.Is(o.err, harness.ErrNothing) {
		began()
	}
	return o
}

// stateOf says what a worker that is measured is at.
func stateOf(w *stratum.Worker, rec *results.Record) string {
	difficulty, _ := w.Difficulty()
	state := fmt.Sprintf("window %d", max(1, len(rec.Runs)))
	if rec.Plan.Rounds > 0 {
		state += fmt.Sprintf(" of %d", rec.Plan.Rounds)
	}
	if !w.Connected() {
		state += ", AWAY"
	}
	return fmt.Sprintf("%s, difficulty %g", state, difficulty)
}

// end notes what became of a worker.
func (l *poolSession) end(o outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := l.miners[o.worker]
	switch {
	case errors.Is(o.err, harness.ErrNothing):
		if m.State = "nothing measured"; !errors.Is(o.err, context.Canceled) {
			l.say("worker %q: %s", m.Name, o.err.Error())
		}
		select {
		case <-o.worker.Lost(): // there is no end of those
			delete(l.miners, o.worker)
			l.order = slices.DeleteFunc(l.order, func(w *stratum.Worker) bool { return w == o.worker })
			return
		default:
		}
	case o.err != nil:
		m.State = "not kept"
		l.say("worker %q: %s", m.Name, o.err.Error())
	default:
		m.Measured(o.rec)
		m.State = string(o.rec.State)
		l.say("worker %q: %s, %s", m.Name, m.State, m.Rate())
	}
	o.miner = *m
	l.ended = append(l.ended, o)
}

// say prints a line above the table.
func (l *poolSession) say(format string, args ...any) {
	l.wipe()
	say(l.stderr, format, args...)
}

// wipe takes the table off the terminal.
func (l *poolSession) wipe() {
	if l.drawn > 0 {
		wipe(l.stderr, l.drawn)
		l.drawn = 0
	}
}

// draw shows every worker on a terminal.
func (l *poolSession) draw() {
	if !isTerminal(l.stderr) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	_, height, err := term.GetSize(int(terminal(l.stderr).Fd()))
	if err != nil {
		return
	}
	var out bytes.Buffer
	opt := options(l.stderr, "")
	if report.WritePool(&out, l.title(), l.list(), max(1, (height-6)/3), opt) != nil {
		return
	}
	l.wipe()
	lines := bytes.Count(out.Bytes(), []byte("\n"))
	if lines >= height { // what has scrolled away cannot be wiped
		keep := bytes.SplitAfter(out.Bytes(), []byte("\n"))[:height-1]
		out.Reset()
		out.Write(bytes.Join(keep, nil))
		lines = height - 1
	}
	_, _ = l.stderr.Write(out.Bytes())
	l.drawn = lines
}

func (l *poolSession) title() string { return "pool " + l.address }

// list is the workers as they stand, in the order in which they came.
func (l *poolSession) list() []report.Miner {
	out := make([]report.Miner, len(l.order))
	for i, w := range l.order {
		m := l.miners[w]
		m.Agent, _ = w.Peer()
		if d, settled := w.Difficulty(); !settled {
			m.State = fmt.Sprintf("trying difficulty %g", d)
		} else if strings.HasPrefix(m.State, "looking") || strings.HasPrefix(m.State, "trying") {
			m.State = fmt.Sprintf("warming up, difficulty %g", d)
		}
		out[i] = *m
	}
	return out
}

// conclude prints what was measured.
func (l *poolSession) conclude(ctx context.Context, srv *stratum.Server) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wipe()
	n := srv.ProtocolErrors()
	if n.Malformed+n.Unauthorised+n.Refused+n.Dropped > 0 {
		l.say("from clients that were no workers: %d malformed lines, %d shares without a name or a place, %d turned away, %d dropped, of which %d are not told above", n.Malformed, n.Unauthorised, n.Refused, n.Dropped, n.Untold)
	}
	var kept []outcome
	var errs []error
	cut, void, unknown := 0, 0, 0
	slices.SortStableFunc(l.ended, func(a, b outcome) int {
		return cmp.Compare(slices.Index(l.order, a.worker), slices.Index(l.order, b.worker))
	})
	for _, o := range l.ended {
		switch {
		case errors.Is(o.err, harness.ErrNothing):
			continue
		case o.err != nil:
			errs = append(errs, fmt.Errorf("worker %.64q: %w", o.worker.Name(), o.err))
			continue
		case o.rec.State == results.Interrupted:
			cut++
		}
		if o.miner.Honest() != "" {
			void++
		} else if o.miner.Invalid() != "" {
			unknown++
		}
		kept = append(kept, o)
	}
	if l.format == report.Text {
		var miners []report.Miner
		for _, o := range kept {
			miners = append(miners, o.miner)
		}
		if len(miners) > 0 {
			if err := report.WritePool(l.stdout, l.title(), miners, 0, options(l.stdout, "")); err != nil {
				return err
			}
		}
		for _, o := range kept {
			say(l.stdout, "Record %s", o.path)
		}
	} else {
		for _, o := range kept {
			if err := write(l.stdout, l.format, o.rec, o.path); err != nil {
				return fmt.Errorf("print the record (it lies in %s): %w", o.path, err)
			}
			say(l.stderr, "perwatt: record: %s", o.path)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	switch {
	case len(kept) == 0 && len(l.order) == 0 && n.Came > 0:
		return exit{nothing(ctx), fmt.Errorf("no worker handed in a share: %d connections came to %s, what became of them is told above; a device that is slow, or begins late, needs --expect and more time", n.Came, l.address)}
	case len(kept) == 0 && len(l.order) == 0:
		return exit{nothing(ctx), fmt.Errorf("no miner came to %s: is it listening where the device can reach it (--listen), and is that the device's pool?", l.address)}
	case len(kept) == 0:
		return exit{nothing(ctx), fmt.Errorf("nothing was measured: no worker came past its warm-up of %v from its first share on", seconds(l.plan.Warmup+l.plan.Settle))}
	case void > 0:
		return exit{exitGate, fmt.Errorf("%d of %d workers gave no result: their shares are not those of honest work, or not all of it", void, len(kept))}
	case unknown > 0:
		return exit{exitGate, fmt.Errorf("%d of %d workers gave no result: what they did is not known in any window", unknown, len(kept))}
	case cut > 0:
		return exit{exitInterrupted, fmt.Errorf("interrupted: what %d of %d workers had done is kept", cut, len(kept))}
	}
	return nil
}

func nothing(ctx context.Context) int {
	if ctx.Err() != nil {
		return exitInterrupted
	}
	return exitData
}

func seconds(f results.Float) time.Duration { return time.Duration(float64(f) * float64(time.Second)) }

// nodeOf describes a device as a node: by the name of its worker, and by what
// its API says it is or else by what it called itself, NAME/VERSION. What
// changes with its firmware is no part of what it is.
func nodeOf(w *stratum.Worker, claims []miner.Client) results.Node {
	agent, address := w.Peer()
	n := results.Node{
		Name: w.Name(), CPU: results.CPU{Clock: results.Absent()}, Devices: []results.Device{{Kind: "miner", Name: agent, ID: address}},
		Settings: results.Settings{CPUQuota: results.Absent(), PowerCap: results.Absent(), Load: results.Absent()},
	}
	n.CPU.Model, n.Settings.Microcode, _ = strings.Cut(agent, "/")
	for _, d := range claims {
		info := d.Info()
		n.CPU.Model, n.Settings.Microcode = cmp.Or(info.Model, n.CPU.Model), cmp.Or(info.Firmware, n.Settings.Microcode)
	}
	return n
}

// gauges are the meters and devices, and whose they are.
type instruments struct {
	meters  []power.Meter
	found   []results.MeterProbe
	devices []miner.Client
	at      map[string][]string // addresses of a device, by its name
	mapped  []mapping

	mu    sync.Mutex
	owner map[string]string // worker of a meter or device, by what and its name
	lone  string            // worker that was given the only meter without being told
	other bool              // there is another
}

type mapping struct{ worker, name string }

func (g *instruments) open(ctx context.Context, meters, devices, mappings []string) (err error) {
	for _, m := range mappings {
		// A worker's name may have an equals sign in it, a meter's has none.
		at := strings.LastIndexByte(m, '=')
		if at < 1 || at == len(m)-1 {
			return usagef("--map %.120q: must be WORKER=NAME, the name of a meter or device", m)
		}
		g.mapped = append(g.mapped, mapping{m[:at], m[at+1:]})
	}
	for _, m := range meters {
		if m == "auto" || m == "none" {
			return usagef("--meter %s: the meters of this machine do not see a device: name the device's own", m)
		}
	}
	if len(meters) > 0 {
		if g.meters, g.found, err = powerall.Open(ctx, meters, powerall.Roots{}); err != nil {
			return fmt.Errorf("--meter: %w", err)
		}
	}
	if g.devices, err = deviceall.Open(ctx, devices); err != nil {
		g.close(io.Discard)
		return fmt.Errorf("--device: %w", err)
	}
	g.at = map[string][]string{}
	for _, d := range g.devices {
		g.at[d.Info().Name] = addresses(ctx, d.Info().Source)
	}
	for _, m := range g.mapped {
		known := slices.ContainsFunc(g.meters, func(x power.Meter) bool { return x.Info().Name == m.name }) ||
			slices.ContainsFunc(g.devices, func(x miner.Client) bool { return x.Info().Name == m.name })
		if !known {
			var names []string
			for _, x := range g.meters {
				names = append(names, x.Info().Name)
			}
			for _, x := range g.devices {
				names = append(names, x.Info().Name)
			}
			g.close(io.Discard)
			return usagef("--map %.64s=%.64s: no meter or device has that name; there are: %s", m.worker, m.name, strings.Join(names, ", "))
		}
	}
	return nil
}

// addresses are those of a host, which stands in a URL or before a port.
func addresses(ctx context.Context, source string) []string {
	host := source
	if u, err := url.Parse(source); err == nil && u.Host != "" {
		host = u.Hostname()
	} else if h, _, err := net.SplitHostPort(source); err == nil {
		host = h
	}
	found, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		return []string{host}
	}
	return found
}

func (g *instruments) close(stderr io.Writer) {
	closeMeters(g.meters, stderr)
	for _, d := range g.devices {
		if err := d.Close(); err != nil {
			say(stderr, "perwatt: close device: %v", err)
		}
	}
}

// of takes the meters and devices of a worker: those that --map gives it,
// those of its own name, and a device at its address if that is the only one
// there. The only meter goes to the first worker if none is mapped.
func (g *instruments) of(w *stratum.Worker) (meters []power.Meter, claims []miner.Client, warnings []results.Warning) {
	g.mu.Lock()
	defer g.mu.Unlock()
	_, address := w.Peer()
	take := func(what, name string) bool {
		key := what + " " + name
		if g.owner[key] != "" {
			return false
		}
		g.owner[key] = w.Name()
		return true
	}
	mine := func(name string) (yes, others bool) {
		for _, m := range g.mapped {
			if m.name == name {
				yes, others = yes || m.worker == w.Name(), others || m.worker != w.Name()
			}
		}
		return yes, others
	}
	for _, m := range g.meters {
		name := m.Info().Name
		yes, others := mine(name)
		only := len(g.meters) == 1 && len(g.mapped) == 0 && g.lone == ""
		if (yes || !others && (name == w.Name() || only)) && take("meter", name) {
			meters = append(meters, m)
			if !yes && name != w.Name() {
				g.lone = w.Name()
			}
		}
	}
	for _, d := range g.devices {
		name := d.Info().Name
		yes, others := mine(name)
		here := slices.Contains(g.at[name], address)
		if (yes || !others && (name == w.Name() || here)) && take("device", name) {
			claims = append(claims, d)
		}
	}
	g.other = g.other || g.lone != "" && g.lone != w.Name()
	return meters, claims, warnings
}

// doubts adds to a worker's warnings that nobody said that the meter is its
// own.
func (g *instruments) doubts(w *stratum.Worker, warnings []results.Warning) []results.Warning {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.other && g.lone == w.Name() {
		return append(slices.Clone(warnings), results.Warning{Code: "meter-shared",
			Text:   "other devices mined here too, and nobody said whose the meter is: its watts may be those of several",
			Remedy: "say it with --map WORKER=METER"})
	}
	return warnings
}

// sought is what a record says of the meters that are its own.
func (g *instruments) sought(meters []power.Meter) []results.MeterProbe {
	out := []results.MeterProbe{}
	for _, s := range g.found {
		if slices.ContainsFunc(meters, func(m power.Meter) bool { return m.Info().Name == s.Meter }) {
			out = append(out, s)
		}
	}
	return out
}
