package harness

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/bench"
	"github.com/perwatt/perwatt/kernels/device"
	"github.com/perwatt/perwatt/results"
)

// newCards is a session on the CPU and some equal cards.
func newCards(t *testing.T, n int, names ...string) *Session {
	on := []device.Config{testCPU}
	for _, c := range testCards(n) {
		on = append(on, device.Config{Info: c})
	}
	return newSessionOn(t, on, names...)
}

// fails makes a use on a device misbehave in one round, or in all if that is 0.
func (s *Session) fails(use, id, param string, round int) {
	old := s.Config
	s.Config = func(p Part) bench.Config {
		c := old(p)
		if p.Use == use && (id == "" || p.Device.ID == id) && (round == 0 || len(s.Record.Runs)/len(s.Scenarios)+1 == round) {
			c.Params = map[string]string{param: "1"}
		}
		return c
	}
}

// impatient makes a worker that hangs known within the test's time.
func impatient(t *testing.T) {
	patience := stallLimit
	stallLimit = 1500 * time.Millisecond // well above what a busy machine keeps a worker waiting
	t.Cleanup(func() { stallLimit = patience })
}

// Of eight cards one dies: the others go on, and its use has the reason.
func TestOneOfEightCards(t *testing.T) {
	impatient(t)
	cards, lost := 8, "cuda:5"
	if testing.Short() {
		cards, lost = 4, "cuda:2"
	}
	all := fmt.Sprintf("cuda:0-%d", cards-1)
	for _, c := range []struct{ when, param, why string }{
		{"as it is opened", "refuse", "told to refuse"},
		{"as it prepares", "unprepared", "no memory for it"},
		{"in mid-window", "exit", "device lost"},
		{"by a fault", "panic", "the kernel went astray"},
		{"hanging", "hang", "the worker hangs: no work finished"},
		{"at the check", "fall", "device lost at the last launch"},
	} {
		t.Run(c.when, func(t *testing.T) {
			s := newCards(t, cards, "mining@"+all)
			if c.param == "hang" {
				s.Record.Plan.Window = 3 * results.Float(stallLimit.Seconds())
			}
			s.fails("mining", lost, c.param, 0)
			require.NoError(t, s.Run(t.Context()))
			r := s.Record.Runs[1]
			require.Equal(t, results.OK, r.Status, r.Error)
			require.Len(t, r.Uses, cards)
			for _, u := range r.Uses {
				if u.Device != lost {
					require.Empty(t, u.Error, u.Device)
					continue
				}
				require.Contains(t, u.Error, c.why)
				require.Equal(t, "scripted", u.Workload, "it is described by the others")
				require.Equal(t, results.Hash, u.Unit)
			}
			require.Len(t, r.Checks, cards-1)
			require.False(t, slices.ContainsFunc(r.Checks, func(x results.Check) bool { return x.Device == lost }))
			rows := map[string]results.Row{}
			for _, row := range s.Record.Summary.Rows {
				rows[row.Device] = row
			}
			require.NotContains(t, rows, lost)
			require.Len(t, rows, cards+1, "idle, the sum, and those that did not fail")
			require.Equal(t, cards, rows[all].Cards.Of)
			require.Equal(t, cards-1, rows[all].Cards.Gave)
			require.False(t, rows[all].Metrics[results.WorkPerEnergy].Value.IsAbsent())
			i := slices.IndexFunc(s.Record.Summary.Flags, func(w results.Warning) bool { return w.Code == "card-lost" })
			require.GreaterOrEqual(t, i, 0)
			require.Contains(t, s.Record.Summary.Flags[i].Text, lost)
			require.Contains(t, s.Record.Summary.Flags[i].Text, c.why)
			require.Empty(t, orphans(t))
			s.Record.Schema, s.Record.ID = results.SchemaVersion, "01KDYBS1CY0000000000000000"
			_, err := results.Seal(s.Record)
			require.NoError(t, err)
		})
	}
}

// Where every card fails there is no result, and the session goes on.
func TestEveryCardFails(t *testing.T) {
	for _, param := range []string{"refuse", "unprepared", "exit", "fall"} {
		t.Run(param, func(t *testing.T) {
			s := newCards(t, 3, "mining@cuda:0-2", "memory@cuda:0-2")
			s.fails("mining", "", param, 0)
			require.NoError(t, s.Run(t.Context()))
			r := s.Record.Runs[1]
			require.Equal(t, results.Failed, r.Status)
			require.Contains(t, r.Error, "every card failed: cuda:0: mining: ")
			require.Contains(t, r.Error, "; cuda:2: mining: ")
			require.Empty(t, r.Checks)
			require.Equal(t, results.OK, s.Record.Runs[2].Status, s.Record.Runs[2].Error)
			require.Empty(t, orphans(t))
		})
	}
}

// A card that failed in one round and cannot be opened in the next costs its own
// figures only; one that comes back has those of its rounds.
func TestCardThatStaysAway(t *testing.T) {
	s := newCards(t, 2, "mining@cuda:0-1")
	s.Record.Plan.Rounds = 4
	s.fails("mining", "cuda:1", "exit", 2)
	s.fails("mining", "cuda:1", "refuse", 3)
	s.fails("mining", "cuda:1", "refuse", 4)
	require.NoError(t, s.Run(t.Context()))
	seeds := map[uint32]bool{}
	for _, r := range s.Record.Runs {
		require.Equal(t, results.OK, r.Status, r.Error)
		for _, u := range r.Uses {
			require.Equal(t, r.Round >= 2 && u.Device == "cuda:1", u.Error != "", "round %d, %s: %s", r.Round, u.Device, u.Error)
			if u.Workload != "" && u.Error == "" {
				require.False(t, seeds[u.Seed], "a seed is used once")
				seeds[u.Seed] = true
			}
		}
	}
	for _, row := range s.Record.Summary.Rows {
		if row.Cards != nil {
			require.Equal(t, 1, row.Cards.Gave)
			require.Equal(t, 3, row.Metrics[results.Throughput].N)
		} else if row.Device == "cuda:1" {
			require.Equal(t, 1, row.Metrics[results.Throughput].N)
		}
	}
}

// lost is what is said of a worker whose device fails: on a busy machine it may notice only
// when it is to stop.
const lost = "(the worker died|stop): .*device lost"

// Without its other half a co-run is none: neither the work in front alone nor the
// mining alone is one.
func TestCardsInAMullet(t *testing.T) {
	t.Run("mining on the CPU", func(t *testing.T) {
		s := newCards(t, 2, "mullet@cuda:0-1", "training-bf16@cuda:0-1")
		s.fails("mining", "cpu", "exit", 0)
		require.NoError(t, s.Run(t.Context()))
		i := slices.IndexFunc(s.Record.Runs, func(r results.Run) bool { return strings.HasPrefix(r.Scenario, mullet) })
		require.Equal(t, results.Failed, s.Record.Runs[i].Status)
		require.Regexp(t, "mining: "+lost, s.Record.Runs[i].Error)
	})
	t.Run("mining on the card", func(t *testing.T) {
		s := newCards(t, 2, "mullet-shared@cuda:0-1")
		s.fails("mining", "cuda:1", "exit", 0)
		require.NoError(t, s.Run(t.Context()))
		r := s.Record.Runs[1]
		require.Equal(t, results.OK, r.Status, r.Error)
		for _, u := range r.Uses {
			switch {
			case u.Device == "cuda:0":
				require.Empty(t, u.Error)
			case u.Use == "mining":
				require.Contains(t, u.Error, "device lost")
			default:
				require.Regexp(t, "its card was left out: mining: "+lost, u.Error)
			}
		}
		require.Empty(t, orphans(t))
	})
	t.Run("whole", func(t *testing.T) {
		s := newCards(t, 2, "mullet", "mullet-shared", "training-bf16")
		s.Record.Plan.Target = true
		require.NoError(t, s.Run(t.Context()))
		for _, r := range s.Record.Runs {
			require.Equal(t, results.OK, r.Status, r.Error)
			for _, u := range r.Uses {
				require.Equal(t, strings.HasPrefix(u.Use, "training"), u.Target != nil, u.Use)
			}
		}
		require.Nil(t, s.Record.Summary.CoRunCost, "training alone was not measured")
		require.Len(t, s.Record.Summary.CoRuns, 2)
		require.Equal(t, "mullet@cuda:0-1", s.Record.Summary.CoRuns[0].Scenario)
		require.True(t, s.Record.Summary.CoRuns[1].Shared)
	})
}

// A card alone fails as everything alone does.
func TestOneCardFails(t *testing.T) {
	s := newCards(t, 2, "mining@cuda:1")
	s.fails("mining", "cuda:1", "unprepared", 0)
	require.NoError(t, s.Run(t.Context()))
	r := s.Record.Runs[1]
	require.Equal(t, results.Failed, r.Status)
	require.Equal(t, "mining: open: no memory for it", r.Error)
	require.Len(t, r.Uses, 1)
	require.Empty(t, r.Uses[0].Error)
}

// A wrong answer of one card costs that card its result and all cards together
// theirs; the others keep what they computed, as beside a card that dies.
func TestOneCardIsWrong(t *testing.T) {
	s := newCards(t, 4, "mining@cuda:0-3")
	s.fails("mining", "cuda:2", "wrong", 0)
	require.NoError(t, s.Run(t.Context()))
	r := s.Record.Runs[1]
	require.Equal(t, results.OK, r.Status, r.Error)
	require.Equal(t, 1, s.Record.Lost())
	require.Len(t, r.Checks, 4, "what is wrong is in the record")
	for _, u := range r.Uses {
		if u.Device == "cuda:2" {
			require.Equal(t, "wrong answers: answer: 41 instead of 42", u.Error)
		} else {
			require.Empty(t, u.Error, u.Device)
		}
	}
	var devices []string
	for _, row := range s.Record.Summary.Rows {
		if devices = append(devices, row.Device); row.Use == "mining" {
			require.False(t, row.Metrics[results.Throughput].Value.IsAbsent(), row.Device)
			require.True(t, row.Metrics[results.WorkPerEnergy].Value.IsAbsent(), "%s: a meter of the node sees the wrong card too", row.Device)
		}
	}
	require.ElementsMatch(t, []string{"", "cuda:0", "cuda:1", "cuda:3"}, devices)
	require.Empty(t, orphans(t))
}

// Where no card of a use was right the run is void, one that fails beside included.
func TestEveryCardIsWrong(t *testing.T) {
	s := newCards(t, 3, "mining@cuda:0-2", "mullet-shared@cuda:0-1", "mullet@cuda:0-1")
	s.fails("mining", "", "wrong", 0)
	s.fails("mining", "cuda:2", "exit", 0)
	require.NoError(t, s.Run(t.Context()))
	for _, r := range s.Record.Runs[1:] {
		require.Equal(t, results.Void, r.Status, r.Scenario)
		require.Equal(t, "mining: wrong answers: answer: 41 instead of 42", r.Error)
	}
}

// What shares the card of a wrong use goes with it.
func TestWrongOnASharedCard(t *testing.T) {
	s := newCards(t, 2, "mullet-shared@cuda:0-1")
	s.fails("mining", "cuda:1", "wrong", 0)
	require.NoError(t, s.Run(t.Context()))
	r := s.Record.Runs[1]
	require.Equal(t, results.OK, r.Status, r.Error)
	for _, u := range r.Uses {
		switch {
		case u.Device == "cuda:0":
			require.Empty(t, u.Error)
		case u.Use == "mining":
			require.Equal(t, "wrong answers: answer: 41 instead of 42", u.Error)
		default:
			require.Equal(t, "its card was left out: wrong answers: answer: 41 instead of 42", u.Error)
		}
	}
	require.Empty(t, s.Record.Summary.CoRuns)
}

// What it takes to drive cards is no load of others, also after a card has failed.
func TestDrivingACardIsNoOtherLoad(t *testing.T) {
	self, err := processCPU(os.Getpid())
	require.NoError(t, err)
	card, cpu := &process{use: "mining", on: testCards(1)[0], pid: os.Getpid()}, &process{use: "mining", on: testCPU.Info, pid: os.Getpid()}
	s := &sampler{procs: []*process{cpu, card}}
	before := s.driving()
	require.GreaterOrEqual(t, before, self)
	require.Zero(t, cpu.drove, "the CPU's worker has a trace of its own")
	s.drop(card)
	require.Equal(t, before, s.driving())
}

// Nothing is waited for in the traces of a worker that failed.
func TestDroppedWorkerIsNotWaitedFor(t *testing.T) {
	p := &process{use: "mining", on: testCards(1)[0]}
	work := &results.Trace{Key: p.key(results.TraceWork), Kind: results.Counter, T: []results.Float{1}, V: []results.Float{5}}
	stood := &results.Trace{Key: p.key(results.TraceSuspended), Kind: results.Counter, T: []results.Float{1}, V: []results.Float{0}}
	s := &sampler{traces: []*results.Trace{work, stood}, procs: []*process{p}}
	require.True(t, s.behind(2))
	s.drop(p)
	require.False(t, s.behind(2))
	require.Empty(t, s.procs)
}
