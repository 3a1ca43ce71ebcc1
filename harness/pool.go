package harness

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/perwatt/perwatt/bench"
	"github.com/perwatt/perwatt/harness/miner"
	"github.com/perwatt/perwatt/results"
)

// PoolPreset is the preset of every plan that a pool carries out.
const PoolPreset = "pool"

// EndKilledPool completes the record of a pool session whose process was killed, with
// the figures measured until then. It returns false for any other record.
func EndKilledPool(rec *results.Record) bool {
	if rec.Plan.Preset != PoolPreset {
		return false
	}
	rec.State = results.Interrupted
	rec.Summary = results.Derive(rec)
	return true
}

// PoolWorker is a worker of a mining pool: a miner that submits shares under a name.
// Its methods may be called at any time, by several goroutines.
type PoolWorker interface {
	bench.ShareWorkload
	Name() string                                   // as the miner gave it
	Peer() (agent, address string)                  // the miner's software as it reports it, and its address
	Difficulty() (difficulty float64, settled bool) // settled: it is final
	Connected() bool                                // it has a connection
	Lost() <-chan struct{}                          // closed when another worker takes its place
}

// Pool measures the workers of a mining pool, all at the same time: each in a
// [PoolSession] of its own at each setting of the sweep, one record a session.
type Pool struct {
	Tool        results.Tool
	Plan        results.Plan  // of every session, less its setting
	Until       results.Float // relative half-width of a rate's confidence interval at which a session is complete; 0 for none
	Sweep       *Sweep
	Instruments *PoolInstruments
	// Serve accepts miners and passes each worker to Join with its first share,
	// until ctx ends.
	Serve func(ctx context.Context) error
	// Create opens the file of a record and returns what saves the record there.
	Create func(*results.Record) (save func(*results.Record) error, err error)
	// Progress is called when something happens to a worker. Calls come from several
	// goroutines; those about one worker do not overlap.
	Progress func(PoolProgress)

	heart  *Heartbeat
	joined chan PoolWorker
	closed <-chan struct{} // closed when nothing receives from joined any more

	mu      sync.Mutex
	members []*PoolMember
}

// PoolEvent is something that happens to a worker.
type PoolEvent int

// The events of a worker: Joined · (Started · Looked … · Ended) for each setting · Left.
// A session that ends before anything was measured has no Started.
const (
	PoolJoined  PoolEvent = iota // its first share came
	PoolStarted                  // its first window is open, or its session failed
	PoolLooked                   // Record is a snapshot and must not be kept
	PoolEnded                    // a session is over, with its Record or with an error
	PoolLeft                     // no session follows
)

// PoolProgress is an event with its worker.
type PoolProgress struct {
	PoolEvent
	Member *PoolMember
	Record *results.Record
	Err    error
}

// PoolOutcome is a session that ended with a record, or with an error other than
// [ErrNothing].
type PoolOutcome struct {
	Member *PoolMember
	Record *results.Record
	Err    error
}

// PoolMember is a worker and the stage of its measurement.
type PoolMember struct {
	Worker PoolWorker

	mu              sync.Mutex
	stage           poolStage
	setting         *results.Setting // of its last session
	window, windows int              // the open window, and the planned number
	state           results.State    // of its last session
}

type poolStage int

const (
	stageTuning poolStage = iota // until the difficulty is settled, and in the warm-up
	stageMeasuring
	stageEnded
	stageNothing
	stageNotKept
)

// Name returns the worker's name and the setting of its session.
func (m *PoolMember) Name() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.Worker.Name() + at(m.setting)
}

// Setting names the setting of the session, such as " at 200"; it is empty without one.
func (m *PoolMember) Setting() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return at(m.setting)
}

// String describes the stage that the measurement has reached.
func (m *PoolMember) String() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	difficulty, settled := m.Worker.Difficulty()
	switch {
	case m.stage == stageNothing:
		return "nothing measured"
	case m.stage == stageNotKept:
		return "not kept"
	case m.stage == stageEnded:
		return string(m.state)
	case !settled:
		return fmt.Sprintf("trying difficulty %g", difficulty)
	case m.stage == stageTuning:
		return fmt.Sprintf("warming up, difficulty %g", difficulty)
	}
	text := fmt.Sprintf("window %d", max(1, m.window))
	if m.windows > 0 {
		text += fmt.Sprintf(" of %d", m.windows)
	}
	if !m.Worker.Connected() {
		text += ", AWAY"
	}
	return fmt.Sprintf("%s, difficulty %g", text, difficulty)
}

// reach sets the stage.
func (m *PoolMember) reach(s poolStage) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stage = s
}

// PoolWindows divides the time for which a worker is measured into windows of equal
// length: of the given one, or of a sixth of the time, from a minute to an hour,
// where that is 0. Without a limit of time the windows are of the given length, or
// of ten minutes, and there is no number of them.
func PoolWindows(duration, length time.Duration) (rounds int, window time.Duration) {
	if duration == 0 {
		return 0, cmp.Or(length, 10*time.Minute)
	}
	if length == 0 {
		length = min(max(duration/6, time.Minute), time.Hour)
	}
	length = min(length, duration)
	rounds = int((duration + length/2) / length)
	return rounds, duration / time.Duration(rounds)
}

// Join adds a worker that has submitted its first share. It may be called while Serve
// runs.
func (p *Pool) Join(w PoolWorker) {
	select {
	case p.joined <- w:
	case <-p.closed:
	}
}

// Members returns the workers in the order of their first shares, without those that
// lost their place before anything was measured.
func (p *Pool) Members() []*PoolMember {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.members)
}

// Run serves miners and measures their workers until every worker that was measured
// is done, ctx ends, or Serve does. It returns the outcomes by worker in the order
// of [Pool.Members], and the error of Serve.
func (p *Pool) Run(ctx context.Context) ([]PoolOutcome, error) {
	var err error
	if p.heart, err = StartHeartbeat(Roots{}); err != nil {
		return nil, err
	}
	defer p.heart.Stop()
	// The miners are served until the last session has saved its record.
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	p.joined, p.closed = make(chan PoolWorker, 64), serving.Done()
	served := make(chan error, 1)
	go func() { served <- p.Serve(serving) }()

	measuring, cancel := context.WithCancel(ctx)
	defer cancel()
	var (
		outcomes []PoolOutcome
		started  = make(chan struct{})
		ended    = make(chan sessionEnd)
		sessions int // workers with a running session
		measured int // those of them past the beginning
	)
	for over := false; !over || sessions > 0; {
		select {
		case w := <-p.joined:
			if over {
				continue
			}
			sessions++
			go p.sessions(measuring, p.add(w), started, ended)
		case <-started:
			measured++
		case e := <-ended:
			if !errors.Is(e.Err, ErrNothing) {
				outcomes = append(outcomes, e.PoolOutcome)
			}
			if e.more {
				continue
			}
			sessions--
			if !errors.Is(e.Err, ErrNothing) {
				measured--
				// Once the last measured worker is done, workers that never began are
				// not waited for.
				if over = over || measured == 0; over {
					cancel()
				}
			}
		case <-ctx.Done():
			over = true
		case err = <-served:
			over, served = true, nil
			cancel()
		}
	}
	stop()
	if served != nil {
		err = <-served
	}
	members := p.Members()
	results.SortStable(outcomes, func(a, b PoolOutcome) int {
		return cmp.Compare(slices.Index(members, a.Member), slices.Index(members, b.Member))
	})
	return outcomes, err
}

// sessionEnd is the end of a session; more is set if the worker has another one.
type sessionEnd struct {
	PoolOutcome
	more bool
}

func (p *Pool) add(w PoolWorker) *PoolMember {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := &PoolMember{Worker: w}
	p.members = append(p.members, m)
	return m
}

// sessions measures one worker at each setting, for as long as it has its place.
func (p *Pool) sessions(ctx context.Context, m *PoolMember, started chan<- struct{}, ended chan<- sessionEnd) {
	p.Progress(PoolProgress{PoolEvent: PoolJoined, Member: m})
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-m.Worker.Lost():
			cancel()
		case <-ctx.Done():
		}
	}()
	start := sync.OnceFunc(func() { started <- struct{}{} })
	_, address := m.Worker.Peer()
	meters, miners := p.Instruments.assign(m.Worker.Name(), address)
	for _, setting := range p.Sweep.Sessions(1) {
		plan := p.Plan
		plan.Setting = setting
		s := &PoolSession{
			Record: &results.Record{
				Schema: results.SchemaVersion, ID: ulid.Make().String(), Tool: p.Tool, Node: minerNode(m.Worker, miners), Plan: plan,
				Kernels: []results.Kernel{}, Meters: []results.Meter{}, MeterProbes: p.Instruments.probes(meters), Runs: []results.Run{},
			},
			Load: m.Worker, Meters: meters, Claims: miners, Heart: p.heart,
		}
		e := sessionEnd{PoolOutcome: PoolOutcome{Member: m, Record: s.Record, Err: p.measure(ctx, m, s, start)}}
		e.more = e.Err == nil && s.Record.State == results.Complete && setting != nil && setting.Number < setting.Of && ctx.Err() == nil
		p.end(e.PoolOutcome)
		if !e.more {
			p.Progress(PoolProgress{PoolEvent: PoolLeft, Member: m})
		}
		if ended <- e; !e.more {
			return
		}
	}
}

// measure applies a setting and takes one worker through a session at it. It calls
// start when the session is past its beginning or has failed.
func (p *Pool) measure(ctx context.Context, m *PoolMember, s *PoolSession, start func()) error {
	plan := s.Record.Plan
	if err := p.Sweep.Apply(ctx, plan.Setting, m.Worker.Name()); err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("%w: %w", ErrNothing, err)
		}
		start()
		return err
	}
	save, err := p.Create(s.Record)
	if err != nil {
		start()
		return err
	}
	m.mu.Lock()
	m.setting, m.windows = plan.Setting, plan.Rounds
	m.mu.Unlock()
	p.mu.Lock()
	every := 2 * time.Second
	if len(p.members) > 50 { // so that snapshots take at most one CPU
		every = 10 * time.Second
	}
	p.mu.Unlock()
	began := sync.OnceFunc(func() {
		start()
		m.reach(stageMeasuring)
		p.Progress(PoolProgress{PoolEvent: PoolStarted, Member: m})
	})
	s.Every = min(every, plan.Window.Duration()/4)
	s.Save = save
	s.Look = func(rec *results.Record) (enough bool) {
		began()
		rec.Warnings = p.Instruments.warnings(m.Worker.Name())
		m.mu.Lock()
		m.window = len(rec.Runs)
		m.mu.Unlock()
		p.Progress(PoolProgress{PoolEvent: PoolLooked, Member: m, Record: rec})
		return p.Until > 0 && results.Counted(rec, p.Until)
	}
	if err = s.Run(ctx); !errors.Is(err, ErrNothing) {
		began()
	}
	return err
}

// end notes the end of a session. It forgets a worker that lost its place before
// anything was measured, because the number of those is unlimited.
func (p *Pool) end(o PoolOutcome) {
	m := o.Member
	switch {
	case errors.Is(o.Err, ErrNothing):
		m.reach(stageNothing)
		select {
		case <-m.Worker.Lost():
			p.mu.Lock()
			p.members = slices.DeleteFunc(p.members, func(x *PoolMember) bool { return x == m })
			p.mu.Unlock()
		default:
		}
	case o.Err != nil:
		m.reach(stageNotKept)
	default:
		m.reach(stageEnded)
		m.mu.Lock()
		m.state = o.Record.State
		m.mu.Unlock()
	}
	p.Progress(PoolProgress{PoolEvent: PoolEnded, Member: m, Record: o.Record, Err: o.Err})
}

// minerNode describes a miner as a node: by the name of its worker, and by what its
// API reports or else by its agent, NAME/VERSION.
func minerNode(w PoolWorker, miners []miner.Client) results.Node {
	agent, _ := w.Peer()
	device := results.Device{ID: results.MinerDevice, Kind: results.KindMiner}
	device.Model, device.Firmware, _ = strings.Cut(agent, "/")
	for _, m := range miners {
		info := m.Info()
		device.Model, device.Firmware = cmp.Or(info.Model, device.Model), cmp.Or(info.Firmware, device.Firmware)
	}
	return results.Node{
		Name: w.Name(), CPU: results.CPU{Clock: results.Absent()}, Devices: []results.Device{device},
		Settings: results.Settings{CPUQuota: results.Absent(), PowerCap: results.Absent(), Load: results.Absent()},
	}
}
