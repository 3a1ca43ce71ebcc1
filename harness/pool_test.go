package harness

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/harness/miner"
	"github.com/perwatt/perwatt/harness/power"
	"github.com/perwatt/perwatt/results"
)

// joiner is an [elsewhere] that is a worker of a pool.
type joiner struct {
	elsewhere
	name, address string
	lost          chan struct{}
}

func newJoiner(name string) *joiner {
	return &joiner{name: name, address: "192.0.2.1", lost: make(chan struct{})}
}

func (j *joiner) Name() string                { return j.name }
func (j *joiner) Peer() (string, string)      { return "testminer/1.2", j.address }
func (j *joiner) Difficulty() (float64, bool) { return 1024, true }
func (j *joiner) Connected() bool             { return true }
func (j *joiner) Lost() <-chan struct{}       { return j.lost }

// playPool runs a pool that its workers join at once, until Run returns. It returns the
// outcomes, and the events of every worker by its name.
func playPool(ctx context.Context, p *Pool, workers ...*joiner) (outcomes []PoolOutcome, events map[string][]PoolEvent, err error) {
	var mu sync.Mutex
	events = map[string][]PoolEvent{}
	p.Plan = results.Plan{Preset: PoolPreset, Scenarios: []string{"mining"}, Rounds: 2, Session: 1, Sessions: 1, Warmup: 0.02, Settle: 0.01, Window: 0.2, Interval: 0.02}
	if p.Instruments == nil {
		p.Instruments = &PoolInstruments{}
	}
	if p.Serve == nil {
		p.Serve = func(ctx context.Context) error { <-ctx.Done(); return nil }
	}
	serve := p.Serve
	p.Serve = func(ctx context.Context) error {
		for _, w := range workers {
			p.Join(w)
		}
		return serve(ctx)
	}
	if p.Create == nil {
		p.Create = func(*results.Record) (func(*results.Record) error, error) {
			return func(*results.Record) error { return nil }, nil
		}
	}
	told := p.Progress
	p.Progress = func(e PoolProgress) {
		mu.Lock()
		seen := events[e.Member.Worker.Name()]
		if e.PoolEvent != PoolLooked || seen[len(seen)-1] != PoolLooked {
			events[e.Member.Worker.Name()] = append(seen, e.PoolEvent)
		}
		mu.Unlock()
		if told != nil {
			told(e)
		}
	}
	outcomes, err = p.Run(ctx)
	return outcomes, events, err
}

// together holds every session back until n have started, so that none is the last
// of those that are measured before the others are.
func together(n int) func(PoolProgress) {
	var all sync.WaitGroup
	all.Add(n)
	return func(e PoolProgress) {
		if e.PoolEvent == PoolStarted {
			all.Done()
			all.Wait()
		}
	}
}

var oneSession = []PoolEvent{PoolJoined, PoolStarted, PoolLooked, PoolEnded, PoolLeft}

// Every worker has a record of its own, and the pool ends with the last of those
// that are measured: one that never begins is not waited for.
func TestPool(t *testing.T) {
	a, b, never := newJoiner("a"), newJoiner("b"), newJoiner("never")
	never.never = true
	p := &Pool{Tool: results.Tool{Name: "perwatt"}, Progress: together(2)}
	outcomes, events, err := playPool(t.Context(), p, a, never, b)
	require.NoError(t, err)
	require.Len(t, outcomes, 2)
	for i, name := range []string{"a", "b"} {
		rec := outcomes[i].Record
		require.NoError(t, outcomes[i].Err)
		require.Equal(t, name, rec.Node.Name)
		require.Equal(t, "testminer", rec.Node.Device(results.MinerDevice).Model)
		require.Equal(t, "1.2", rec.Node.Device(results.MinerDevice).Firmware, "the firmware is not part of the model")
		require.Equal(t, "perwatt", rec.Tool.Name)
		require.Equal(t, results.Complete, rec.State)
		require.Equal(t, 2, rec.Count(results.OK))
		require.Equal(t, oneSession, events[name])
		require.Equal(t, "complete", outcomes[i].Member.String())
	}
	require.Equal(t, []PoolEvent{PoolJoined, PoolEnded, PoolLeft}, events["never"])
	require.Len(t, p.Members(), 3)
	require.Equal(t, "nothing measured", p.Members()[1].String())
}

// A worker stays connected while it goes through the settings, a record for each.
func TestPoolSettings(t *testing.T) {
	p := &Pool{Sweep: &Sweep{Command: "true {}", Settings: []results.Setting{{Value: "150", Number: 1, Of: 2}, {Value: "200", Number: 2, Of: 2}}}}
	var names []string
	p.Progress = func(e PoolProgress) {
		if e.PoolEvent == PoolStarted {
			names = append(names, e.Member.Name())
		}
	}
	outcomes, events, err := playPool(t.Context(), p, newJoiner("a"))
	require.NoError(t, err)
	require.Len(t, outcomes, 2)
	require.Equal(t, "150", outcomes[0].Record.Plan.Setting.Value)
	require.Equal(t, "200", outcomes[1].Record.Plan.Setting.Value)
	require.Equal(t, []string{"a at 150", "a at 200"}, names)
	require.Equal(t, []PoolEvent{PoolJoined, PoolStarted, PoolLooked, PoolEnded, PoolStarted, PoolLooked, PoolEnded, PoolLeft}, events["a"])
}

// A session that fails ends the pool as one that is done does, whatever it failed at.
func TestPoolFails(t *testing.T) {
	full := errors.New("disk full")
	for _, c := range []struct {
		name string
		pool *Pool
		want error
	}{
		{"no file", &Pool{Create: func(*results.Record) (func(*results.Record) error, error) { return nil, full }}, full},
		{"nothing can be saved", &Pool{Create: func(*results.Record) (func(*results.Record) error, error) {
			return func(*results.Record) error { return full }, nil
		}}, ErrSave},
		{"no setting", &Pool{Sweep: &Sweep{Command: "false {}", Settings: []results.Setting{{Value: "1", Number: 1, Of: 1}}}}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			outcomes, events, err := playPool(t.Context(), c.pool, newJoiner("a"))
			require.NoError(t, err, "it is the worker's")
			require.Len(t, outcomes, 1)
			require.Error(t, outcomes[0].Err)
			if c.want != nil {
				require.ErrorIs(t, outcomes[0].Err, c.want)
			}
			require.Equal(t, "not kept", outcomes[0].Member.String())
			require.Equal(t, PoolLeft, events["a"][len(events["a"])-1])
		})
	}
	down := errors.New("the listener is gone")
	_, _, err := playPool(t.Context(), &Pool{Serve: func(context.Context) error { return down }}, newJoiner("a"))
	require.ErrorIs(t, err, down)
}

// Workers that lose their place before anything was measured are forgotten; what
// was measured of one that loses it later is kept.
func TestPoolLosesWorkers(t *testing.T) {
	early, late, stays := newJoiner("early"), newJoiner("late"), newJoiner("stays")
	early.never = true
	close(early.lost)
	p, wait := &Pool{}, together(2)
	p.Progress = func(e PoolProgress) {
		wait(e)
		if e.PoolEvent == PoolLooked && e.Member.Worker == late {
			select {
			case <-late.lost:
			default:
				close(late.lost)
			}
		}
	}
	outcomes, _, err := playPool(t.Context(), p, early, late, stays)
	require.NoError(t, err)
	require.Len(t, p.Members(), 2)
	require.Len(t, outcomes, 2)
	require.Equal(t, results.Interrupted, outcomes[0].Record.State)
	require.NotEmpty(t, outcomes[0].Record.Runs)
	require.Equal(t, results.Complete, outcomes[1].Record.State)
}

func TestPoolWindows(t *testing.T) {
	for _, c := range []struct {
		duration, length time.Duration
		rounds           int
		window           time.Duration
	}{
		{0, 0, 0, 10 * time.Minute}, {0, time.Second, 0, time.Second}, {time.Hour, 0, 6, 10 * time.Minute}, {2 * time.Minute, 0, 2, time.Minute},
		{24 * time.Hour, 0, 24, time.Hour}, {time.Second, time.Hour, 1, time.Second}, {10 * time.Second, 4 * time.Second, 3, 10 * time.Second / 3},
	} {
		rounds, window := PoolWindows(c.duration, c.length)
		require.Equal(t, []any{c.rounds, c.window}, []any{rounds, window}, fmt.Sprint(c))
	}
}

// named is a meter or a miner's API that is only assigned.
type namedMeter struct {
	power.Meter
	name string
}

func (n namedMeter) Info() power.Info { return power.Info{Name: n.name} }

type namedMiner struct {
	miner.Client
	name, source string
}

func (n namedMiner) Info() miner.Info { return miner.Info{Name: n.name, Source: n.source} }

func TestPoolInstruments(t *testing.T) {
	meter := func(name string) power.Meter { return namedMeter{name: name} }
	client := func(name, source string) miner.Client { return namedMiner{name: name, source: source} }
	type got struct {
		meters, miners string
		shared         bool
	}
	for _, c := range []struct {
		name string
		g    *PoolInstruments
		want []got // of the workers rig.1 at 192.0.2.1 and rig.2 at 192.0.2.2, in this order
	}{
		{"nothing", &PoolInstruments{}, []got{{}, {}}},
		{"the only meter", &PoolInstruments{Meters: []power.Meter{meter("plug")}}, []got{{meters: "plug", shared: true}, {}}},
		{"the only meter, mapped", &PoolInstruments{Meters: []power.Meter{meter("plug")}, Mapped: []Mapping{{"rig.2", "plug"}}}, []got{{}, {meters: "plug"}}},
		{"by name", &PoolInstruments{Meters: []power.Meter{meter("rig.2"), meter("rig.1")}}, []got{{meters: "rig.1"}, {meters: "rig.2"}}},
		{"a mapping before a name", &PoolInstruments{Meters: []power.Meter{meter("rig.2"), meter("x")}, Mapped: []Mapping{{"rig.1", "rig.2"}}}, []got{{meters: "rig.2"}, {}}},
		{"two of one worker", &PoolInstruments{Meters: []power.Meter{meter("a"), meter("b")}, Mapped: []Mapping{{"rig.1", "a"}, {"rig.1", "b"}}}, []got{{meters: "ab"}, {}}},
		{"by address", &PoolInstruments{Miners: []miner.Client{client("s21", "192.0.2.2:4028"), client("m60", "http://192.0.2.1:80/api")}}, []got{{miners: "m60"}, {miners: "s21"}}},
		{"mapped away from its address", &PoolInstruments{Miners: []miner.Client{client("s21", "192.0.2.2")}, Mapped: []Mapping{{"rig.1", "s21"}}}, []got{{miners: "s21"}, {}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := c.g
			require.NoError(t, g.Resolve(t.Context()))
			all := make([]got, 2)
			workers := []string{"rig.1", "rig.2"}
			for i, w := range workers {
				meters, miners := g.assign(w, fmt.Sprintf("192.0.2.%d", i+1))
				for _, m := range meters {
					all[i].meters += m.Info().Name
				}
				for _, m := range miners {
					all[i].miners += m.Info().Name
				}
			}
			for i, w := range workers {
				all[i].shared = len(g.warnings(w)) > 0
			}
			require.Equal(t, c.want, all)
		})
	}
	g := PoolInstruments{Meters: []power.Meter{meter("plug")}, Mapped: []Mapping{{"rig", "plg"}}}
	require.EqualError(t, g.Resolve(t.Context()), "rig=plg: no meter or device has that name; there are: plug")
}
