package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/perwatt/perwatt/bench/stratum"
	"github.com/perwatt/perwatt/harness"
	"github.com/perwatt/perwatt/harness/endpoint"
	minerall "github.com/perwatt/perwatt/harness/miner/all"
	powerall "github.com/perwatt/perwatt/harness/power/all"
	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/report"
	"github.com/perwatt/perwatt/results/report/table"
	"github.com/perwatt/perwatt/results/store"
)

// poolFlags are what can be typed after perwatt pool.
type poolFlags struct {
	listen, expect, until     string
	difficulty                float64
	extranonce, workers       int
	duration, window          time.Duration
	warmup, settle, interval  time.Duration
	devices, meters, mappings []string
	labels                    map[string]string
	sweep                     sweepFlags
	store                     storeFlag
	format                    formatFlag
	keep                      unsaved
}

func poolCommand() *cobra.Command {
	var f poolFlags
	cmd := &cobra.Command{
		Use:   "pool",
		Short: "Measure mining hardware that runs no Go, by acting as its mining pool",
		Long: `Act as the mining pool of miners that speak Stratum V1 (ASICs, FPGAs, any other) and
measure them. perwatt issues dummy jobs, finds a difficulty for each miner, verifies
every share, and reports the hashrate with its exact interval, beside the watts of
the miner's meter and the figures of its own API. Set the pool address of the miner to
this one; the miner is listed under its worker name.

Each worker gets a record like those of perwatt run, which compare, report and track
accept. Its clock starts with its first share, and the warm-up does not count.
Interruptions and stale shares are counted. If the shares cannot come from honest work,
or the miner was silent so that its work is unknown, the result is void, with the
reason. Ctrl-C ends the session and keeps what was measured.

Without a host, --listen accepts connections from this machine only: use
0.0.0.0:3333, or the address of an interface, to let miners in. --map assigns a meter
or a --device to a worker. It is not needed for a meter or device that has the name of
the worker, or for a device at the address of the worker.`,
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
	fl.StringVar(&f.listen, "listen", ":3333", "HOST:PORT to listen on; without a host, only this machine can connect")
	fl.StringVar(&f.expect, "expect", "", "expected hashrate of each miner, such as 200TH, which sets its first difficulty\n(default: found in the first minute; required below 1GH)")
	fl.Float64Var(&f.difficulty, "difficulty", 0, "difficulty of all shares (default: found for each miner)")
	fl.DurationVar(&f.duration, "duration", 0, "how long to measure each miner (default: until Ctrl-C)")
	fl.StringVar(&f.until, "until", "", "measure until the 95 % interval of the rate is within ± this, such as 2%")
	fl.DurationVar(&f.window, "window", 0, "length of a window (default: a sixth of --duration, from 1m to 1h, or 10m without it)")
	fl.DurationVar(&f.warmup, "warmup", 2*time.Minute, "how long to mine before the first window")
	fl.DurationVar(&f.settle, "settle", 10*time.Second, "how long to mine further, on jobs issued after the warm-up")
	fl.DurationVar(&f.interval, "interval", time.Second, "time between readings of meters")
	fl.StringArrayVar(&f.devices, "device", nil, "miner whose own API to read, KIND:HOST; may be repeated:\n"+deviceKinds())
	fl.StringArrayVar(&f.meters, "meter", nil, "meter of a miner, a spec (see perwatt meters --help); may be repeated")
	fl.StringArrayVar(&f.mappings, "map", nil, "WORKER=NAME: the meter or device of that name belongs to the worker; may be repeated")
	fl.IntVar(&f.workers, "workers", 1024, "most workers to measure at a time; a silent one gives its place to one that mines")
	fl.IntVar(&f.extranonce, "extranonce", 4, "bytes of extranonce2 that miners roll, 4 to 8")
	labelsVar(fl, &f.labels, "label of the records, KEY=VALUE; may be repeated; candidate=NAME sets the name in compare and report")
	f.sweep.flags(cmd, "\nand {worker} the name of the worker (letters, digits and ._@+:,=%-)")
	f.store.flag(cmd)
	f.format.flag(cmd, "what goes to standard output at the end:", report.Formats()...)
	return cmd
}

func deviceKinds() string {
	var b strings.Builder
	for _, k := range minerall.Kinds() {
		fmt.Fprintf(&b, "  %-26s %s\n", k.Form, k.Help)
	}
	return strings.TrimRight(b.String(), "\n")
}

// plan turns flags into a plan and the configuration of a Stratum server, or returns
// what is wrong with them.
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
	if f.sweep.Sweep != nil && f.duration == 0 && f.until == "" {
		return bad("--steps needs --duration or --until: how long each setting is measured")
	}
	if f.workers < 1 || f.workers > 16384 {
		return bad("--workers %d: must be from 1 to 16384", f.workers)
	}
	rounds, window := harness.PoolWindows(f.duration, f.window)
	p = results.Plan{
		Preset: harness.PoolPreset, Scenarios: []string{"mining"}, Rounds: rounds, Session: 1, Sessions: 1, Order: "one after the other", Threads: 1,
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
	ctx, stderr := cmd.Context(), cmd.ErrOrStderr()
	plan, cfg, until, err := f.plan(cmd)
	if err != nil {
		return err
	}
	st, err := f.store.open()
	if err != nil {
		return err
	}
	g, err := f.instruments(ctx)
	if g != nil {
		defer closeInstruments(g, stderr)
	}
	if err != nil {
		return err
	}
	for _, m := range f.meters {
		plan.Meters = append(plan.Meters, endpoint.Redact(m))
	}
	pool := &harness.Pool{Tool: tool(), Plan: plan, Until: until, Sweep: f.sweep.Sweep, Instruments: g}
	d := &poolDisplay{w: stderr, pool: pool, most: f.workers, keep: &f.keep, place: st.Place(), unsaved: map[*harness.PoolMember]func(){}, miners: map[*harness.PoolMember]*report.Miner{}}
	pool.Progress = d.update
	cfg.Joined = func(w *stratum.Worker) { pool.Join(w) }
	cfg.Notice = func(address, text string) { d.say("%s: %s", address, text) }
	srv, err := stratum.New(cfg)
	if err != nil {
		return err
	}
	listener, err := listen(ctx, f.listen)
	if err != nil {
		return err
	}
	defer listener.Close() // which the server has done already, if it ran
	pool.Serve = func(ctx context.Context) error { return srv.Serve(ctx, listener) }
	d.address = listener.Addr().String()
	if err := finishKilled(st, stderr); err != nil {
		return err
	}
	defer f.sweep.remains(stderr)
	say(stderr, "pool: stratum+tcp://%s, any password; Ctrl-C ends it", d.address)

	var mu sync.Mutex // of paths
	paths := map[string]string{}
	pool.Create = func(rec *results.Record) (func(*results.Record) error, error) {
		draft, err := st.Create(rec.ID, time.Now(), false)
		if err != nil {
			return nil, fmt.Errorf("--store: %w", err)
		}
		return func(rec *results.Record) error {
			path, err := draft.Keep(rec)
			mu.Lock()
			defer mu.Unlock()
			paths[rec.ID] = path
			return err
		}, nil
	}
	stop := d.start()
	outcomes, err := pool.Run(ctx)
	stop()
	return errors.Join(err, d.conclude(cmd, f.format.Format, srv.ProtocolErrors(), outcomes, paths))
}

// instruments opens the meters and the APIs of the miners. What it returns with an
// error is to be closed too.
func (f *poolFlags) instruments(ctx context.Context) (*harness.PoolInstruments, error) {
	g := &harness.PoolInstruments{}
	for _, m := range f.mappings {
		// A worker's name may contain an equals sign, a meter's does not.
		at := strings.LastIndexByte(m, '=')
		if at < 1 || at == len(m)-1 {
			return nil, usagef("--map %.120q: must be WORKER=NAME, the name of a meter or device", m)
		}
		g.Mapped = append(g.Mapped, harness.Mapping{Worker: m[:at], Name: m[at+1:]})
	}
	for _, m := range f.meters {
		if m == "auto" || m == "none" {
			return nil, usagef("--meter %s: the meters of this machine do not see a device: name the device's own", m)
		}
	}
	var err error
	if len(f.meters) > 0 {
		if g.Meters, g.Probes, err = powerall.Open(ctx, f.meters, powerall.Roots{}); err != nil {
			return nil, fmt.Errorf("--meter: %w", err)
		}
	}
	if g.Miners, err = minerall.Open(ctx, f.devices); err != nil {
		return g, fmt.Errorf("--device: %w", err)
	}
	if err := g.Resolve(ctx); err != nil {
		return g, usagef("--map %w", err)
	}
	return g, nil
}

func closeInstruments(g *harness.PoolInstruments, stderr io.Writer) {
	closeMeters(g.Meters, stderr)
	for _, d := range g.Miners {
		if err := d.Close(); err != nil {
			say(stderr, "perwatt: close device: %v", err)
		}
	}
}

// finishKilled ends the sessions of pools that were killed with what they had.
func finishKilled(st *store.Store, stderr io.Writer) error {
	return st.FinishAll(harness.EndKilledPool, func(path string, err error) {
		if err != nil {
			say(stderr, "perwatt: a session that was killed cannot be ended: %v", err)
			return
		}
		say(stderr, "a session that was killed is ended with what it had measured: %s", path)
	})
}

// conclude prints what was measured.
func (d *poolDisplay) conclude(cmd *cobra.Command, format report.Format, n stratum.ProtocolErrors, outcomes []harness.PoolOutcome, paths map[string]string) error {
	ctx, stdout, stderr := cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr()
	if n.Malformed+n.Unauthorised+n.Refused+n.Dropped > 0 {
		say(stderr, "from clients that were no workers: %d malformed lines, %d shares without a name or a place, %d turned away, %d dropped, of which %d are not told above", n.Malformed, n.Unauthorised, n.Refused, n.Dropped, n.Untold)
	}
	var (
		errs               []error
		kept               []*results.Record
		miners             []report.Miner
		cut, void, unknown int
	)
	for _, o := range outcomes {
		if o.Err != nil {
			errs = append(errs, fmt.Errorf("worker %.64q: %w", o.Member.Worker.Name(), o.Err))
			continue
		}
		rec := o.Record
		kept, miners = append(kept, rec), append(miners, minerOf(o.Member, rec))
		switch {
		case rec.Count(results.Void) > 0:
			void++
		case rec.Count(results.Failed) == len(rec.Runs):
			unknown++
		}
		if rec.State == results.Interrupted {
			cut++
		}
	}
	if format == report.Text && len(miners) > 0 {
		if err := report.WritePool(stdout, d.title(), miners, 0, options(stdout, "")); err != nil {
			return err
		}
	}
	for _, rec := range kept {
		path := paths[rec.ID]
		if format == report.Text {
			say(stdout, "Record %s", path)
			continue
		}
		if err := printRecord(cmd, format, rec, path); err != nil {
			return err
		}
		say(stderr, "perwatt: record: %s", path)
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	code := exitData
	if ctx.Err() != nil {
		code = exitInterrupted
	}
	switch came := len(d.pool.Members()) > 0; {
	case len(kept) == 0 && !came && n.Came > 0:
		return exit{code, fmt.Errorf("no worker handed in a share: %d connections came to %s, what became of them is told above; a device that is slow, or begins late, needs --expect and more time", n.Came, d.address)}
	case len(kept) == 0 && !came:
		return exit{code, fmt.Errorf("no miner came to %s: is it listening where the device can reach it (--listen), and is that the device's pool?", d.address)}
	case len(kept) == 0:
		return exit{code, fmt.Errorf("nothing was measured: no worker came past its warm-up of %v from its first share on", (d.pool.Plan.Warmup + d.pool.Plan.Settle).Duration())}
	case void > 0:
		return exit{exitGate, fmt.Errorf("%d of %d workers gave no result: their shares are not those of honest work, or not all of it", void, len(kept))}
	case unknown > 0:
		return exit{exitGate, fmt.Errorf("%d of %d workers gave no result: what they did is not known in any window", unknown, len(kept))}
	case cut > 0:
		return exit{exitInterrupted, fmt.Errorf("interrupted: what %d of %d workers had done is kept", cut, len(kept))}
	}
	return nil
}

// minerOf is a miner as the record of a session that is over shows it.
func minerOf(member *harness.PoolMember, rec *results.Record) report.Miner {
	m := report.Miner{Name: rec.Node.Name, State: string(rec.State)}
	m.Agent, _ = member.Worker.Peer()
	if s := rec.Plan.Setting; s != nil {
		m.Name += " at " + s.Value
	}
	m.Measured(rec)
	return m
}

// poolDisplay prints what happens to the workers of a pool: a line for each event,
// and on a terminal a table of all workers below the lines.
type poolDisplay struct {
	w       io.Writer
	pool    *harness.Pool
	address string
	most    int // workers whose first share gets a line
	keep    *unsaved
	place   string // where records lie

	mu      sync.Mutex // of what follows, and of w
	unsaved map[*harness.PoolMember]func()
	miners  map[*harness.PoolMember]*report.Miner // those that are measured
	joined  int
	drawn   int // lines of the table on the terminal
}

func (d *poolDisplay) title() string { return "pool " + d.address }

// update prints an event.
func (d *poolDisplay) update(e harness.PoolProgress) {
	d.mu.Lock()
	defer d.mu.Unlock()
	w, name := e.Member.Worker, e.Member.Name()
	switch e.PoolEvent {
	case harness.PoolJoined:
		d.unsaved[e.Member] = d.keep.begin(d.place)
		agent, address := w.Peer()
		switch d.joined++; {
		case d.joined <= d.most:
			d.print("worker %q from %s, %s", w.Name(), address, cmp.Or(agent, "which does not say what it is"))
		case d.joined == d.most+1:
			d.print("others take the places of workers that are gone or quiet: who comes from now on is told of when it is measured")
		}
	case harness.PoolStarted:
		difficulty, _ := w.Difficulty()
		d.print("worker %q is measured%s, at difficulty %s", w.Name(), e.Member.Setting(), table.Round(difficulty, 6))
	case harness.PoolLooked:
		if d.miners[e.Member] == nil {
			d.miners[e.Member] = new(report.Miner)
		}
		d.miners[e.Member].Measured(e.Record)
	case harness.PoolEnded:
		switch {
		case e.Err == nil:
			m := minerOf(e.Member, e.Record)
			d.print("worker %q: %s, %s", name, m.State, m.Rate())
		case !errors.Is(e.Err, harness.ErrNothing), !errors.Is(e.Err, context.Canceled):
			d.print("worker %q: %v", name, e.Err)
		}
	case harness.PoolLeft:
		d.unsaved[e.Member]()
		delete(d.unsaved, e.Member)
	}
}

// say prints a line above the table.
func (d *poolDisplay) say(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.print(format, args...)
}

func (d *poolDisplay) print(format string, args ...any) {
	d.wipe()
	say(d.w, format, args...)
}

// wipe takes the table off the terminal.
func (d *poolDisplay) wipe() {
	if d.drawn > 0 {
		wipe(d.w, d.drawn)
		d.drawn = 0
	}
}

// start draws the table on a terminal every second, until the function that it
// returns is called.
func (d *poolDisplay) start() (stop func()) {
	if !isTerminal(d.w) {
		return func() {}
	}
	second := time.NewTicker(time.Second)
	over := make(chan struct{})
	var drawing sync.WaitGroup
	drawing.Go(func() {
		for {
			select {
			case <-second.C:
				d.draw()
			case <-over:
				return
			}
		}
	})
	return func() {
		second.Stop()
		close(over)
		drawing.Wait()
		d.mu.Lock()
		defer d.mu.Unlock()
		d.wipe()
	}
}

// draw shows every worker.
func (d *poolDisplay) draw() {
	members := d.pool.Members()
	d.mu.Lock()
	defer d.mu.Unlock()
	_, height, err := term.GetSize(int(terminal(d.w).Fd()))
	if err != nil {
		return
	}
	miners := make([]report.Miner, len(members))
	for i, m := range members {
		if measured := d.miners[m]; measured != nil {
			miners[i] = *measured
		}
		miners[i].Name, miners[i].State = m.Name(), m.String()
		miners[i].Agent, _ = m.Worker.Peer()
	}
	var out bytes.Buffer
	if report.WritePool(&out, d.title(), miners, max(1, (height-6)/3), options(d.w, "")) != nil {
		return
	}
	d.wipe()
	lines := bytes.SplitAfter(out.Bytes(), []byte("\n"))
	d.drawn = min(len(lines)-1, height-1) // what has scrolled away cannot be wiped
	_, _ = d.w.Write(bytes.Join(lines[:d.drawn], nil))
}
