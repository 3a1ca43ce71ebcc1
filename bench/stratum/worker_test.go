package stratum

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/bench"
	"github.com/perwatt/perwatt/bench/benchtest"
	"github.com/perwatt/perwatt/results"
)

func TestWorkload(t *testing.T) {
	s, address := pool(t, Config{Difficulty: 0x1p-18})
	stop := connect(t, dial(t, address), "w", true).Keep(nil)
	defer stop()
	benchtest.TestWorkload(t, func(cfg bench.Config) (bench.Workload, error) {
		// A device is what it is: it is not opened by a configuration.
		if cfg.Device != nil {
			return nil, fmt.Errorf("%w: device %s: a miner works on its own", bench.ErrUsage, cfg.Device.Info().ID)
		}
		if cfg.Impl != "" && cfg.Impl != impl || len(cfg.Params) > 0 {
			return nil, fmt.Errorf("%w: the implementation is %s", bench.ErrUsage, impl)
		}
		return s.Workers()[0], nil
	})
	w := s.Workers()[0]
	idle, err := New(Config{})
	require.NoError(t, err)
	require.ErrorContains(t, newWorker(idle, "v", "", newSearch(idle, time.Now()), time.Now()).Prepare(ended()), context.Canceled.Error(), "no wait for what is not there")
	require.Equal(t, results.Shares{Difficulty: 0x1p-18, Work: 1 << 14, Agent: "testminer/1", Address: "127.0.0.1"}, w.Shares())
	require.Equal(t, results.Hash, w.Info().Unit)
}

func ended() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

func TestUsage(t *testing.T) {
	for _, cfg := range []Config{
		{Extranonce2: 3}, {Extranonce2: 9}, {Refresh: 2 * time.Minute}, {Refresh: time.Microsecond}, {Block: time.Second}, {Difficulty: -1}, {Difficulty: math.NaN()},
		{Difficulty: math.Inf(1)}, {Difficulty: 0x1p-33}, {Expect: 0.5}, {Expect: math.NaN()}, {Expect: math.Inf(1)}, {Connections: -1}, {Workers: -1},
	} {
		_, err := New(cfg)
		require.ErrorIs(t, err, bench.ErrUsage, "%+v", cfg)
	}
}

// A run counts what shares of its own jobs stand for, nothing that was found
// before it, and nothing after.
func TestRunCountsItsOwnJobs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newTalk(t, Config{Difficulty: 0x1p-22})
		k.begin()
		w := k.s.worker
		hoard := k.mine(10, 1)
		require.Equal(t, "true", k.submit(hoard[0]))
		require.NoError(t, w.Prepare(t.Context()))

		ctx, cancel := context.WithCancel(t.Context())
		done := bench.NewCounter()
		returned := make(chan error)
		go func() { returned <- w.Run(ctx, done) }()
		synctest.Wait()
		require.True(t, k.s.kicked.Load())
		require.Equal(t, "true", k.submit(hoard[1]), "the device does not know yet")
		require.Len(t, k.due(0), 1)
		require.True(t, k.m.Job.Clean)
		require.Equal(t, "21", k.submit(hoard[2]))
		count, _, _ := done.Load()
		require.Zero(t, count, "what was found before the run is worth nothing")
		require.Zero(t, w.Tally().Count[Stale])
		for i, f := range k.mine(10, 1) {
			require.Equal(t, "true", k.submit(f))
			count, _, _ = done.Load()
			require.Equal(t, uint64(i+1)<<10, count)
		}
		left := k.mine(1, 2)
		cancel()
		require.NoError(t, <-returned)
		require.Equal(t, "true", k.submit(left[0]))
		now, _, _ := done.Load()
		require.Equal(t, count, now)
	})
}

// What a share stands for is the expected number of hashes, not 2^32 times
// the difficulty.
func TestPerShare(t *testing.T) {
	require.Equal(t, uint64(4295032833), perShare(1))
	require.InDelta(t, float64(1<<20), float64(perShare(1<<20))/4295032833, 1)
	require.Equal(t, uint64(16), perShare(0x1p-28))
}

// Time without a connection is counted, and so is how often there was none.
func TestAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := New(Config{Difficulty: 0x1p-22})
		require.NoError(t, err)
		share := func(k *talk) {
			k.now = time.Now()
			require.Equal(t, "true", k.submit(k.mine(1, uint64(k.now.UnixNano()))[0]))
		}
		first := talkTo(t, s)
		first.begin()
		w := first.s.worker
		require.True(t, w.Connected())
		time.Sleep(10 * time.Second)
		require.Equal(t, 10*time.Second, w.Tally().Away, "it does not mine yet")
		share(first)
		second := talkTo(t, s)
		second.begin()
		time.Sleep(time.Minute)
		first.s.close(time.Now())
		require.Equal(t, 10*time.Second, w.Tally().Away, "the second is there still")
		second.s.close(time.Now())
		require.False(t, w.Connected())
		time.Sleep(7 * time.Second)
		require.Equal(t, 17*time.Second, w.Tally().Away, "it goes on")
		third := talkTo(t, s)
		third.begin()
		time.Sleep(20 * time.Second)
		require.Equal(t, 37*time.Second, w.Tally().Away, "until it mines again")
		share(third)
		time.Sleep(time.Hour)
		require.Equal(t, 37*time.Second, w.Tally().Away)
		require.Equal(t, 1, w.Tally().Breaks)
		require.Equal(t, 2, w.Tally().Resumed)
		require.Len(t, s.Workers(), 1, "a device is known by its name")
		require.Equal(t, 0x1p-22, third.m.Difficulty, "and keeps its difficulty")
	})
}

// A difficulty is found for devices from a microcontroller to a container of
// ASICs, without a share too many on the way, and not below what the device
// filters by.
func TestTuner(t *testing.T) {
	for _, c := range []struct {
		rate   float64 // hash/s
		expect float64
		filter float64
		within time.Duration
	}{
		{rate: 50e3, expect: 50e3, within: 4 * time.Minute}, {rate: 400e3, expect: 300e3, within: 4 * time.Minute},
		{rate: 10e6, expect: 10e6, within: time.Minute}, {rate: 1e9, within: time.Minute},
		{rate: 500e9, within: time.Minute}, {rate: 1.2e12, within: time.Minute}, {rate: 14e12, within: time.Minute},
		{rate: 200e12, within: time.Minute}, {rate: 1e15, within: time.Minute}, {rate: 20e15, within: time.Minute},
		{rate: 200e12, expect: 200e12, within: time.Minute}, {rate: 200e12, expect: 100e12, within: time.Minute},
		{rate: 200e12, expect: 1e6, within: time.Minute}, {rate: 1e12, expect: 200e12, within: 90 * time.Second},
		{rate: 1.2e12, filter: 256, within: 2 * time.Minute}, {rate: 100e9, filter: 256, within: 10 * time.Minute},
		{rate: 1.2e12, filter: 300, within: 4 * time.Minute}, {rate: 50e9, filter: 1, within: time.Minute}, {rate: 5e9, filter: 1, within: 3 * time.Minute},
	} {
		t.Run(fmt.Sprintf("%g hash per s, expected %g, filter %g", c.rate, c.expect, c.filter), func(t *testing.T) {
			for seed := range uint64(20) {
				r := rand.New(rand.NewPCG(8, seed))
				now := time.Unix(1_800_000_000, 0)
				began := now
				var tu tuner
				tu.begin(c.expect, now)
				handed := 0
				for !tu.settled {
					// A second of what it hands in, each share at its time.
					asked := max(tu.difficulty, c.filter)
					mean := c.rate / asked / hashesPerDifficulty
					for at := r.ExpFloat64() / mean; at < 1 && !tu.settled; at += r.ExpFloat64() / mean {
						handed++
						when := now.Add(time.Duration(at * 1e9))
						tu.share(math.Log(asked/tu.difficulty)+r.ExpFloat64(), when)
						if next, pace, change := tu.look(when, 1); change {
							tu.try(next, pace, when)
							break
						}
					}
					now = now.Add(time.Second)
					if next, pace, change := tu.look(now, 1); change {
						tu.try(next, pace, now)
					}
					require.Less(t, now.Sub(began), 10*time.Minute, "%+v", tu)
				}
				require.Less(t, now.Sub(began), c.within, "%+v", tu)
				require.Less(t, handed, 3000)
				require.GreaterOrEqual(t, tu.difficulty, c.filter, "%+v", tu)
				require.Equal(t, powerOfTwo(tu.difficulty), tu.difficulty)
				rate := c.rate / tu.difficulty / hashesPerDifficulty
				require.Less(t, rate, 14.0, "%+v", tu)
				if tu.difficulty > max(2*c.filter, scanFree) {
					require.Greater(t, rate, 1.0, "%+v", tu)
				}
			}
		})
	}
}

// Silence takes a difficulty down to where a device of the expected rate, or of
// any, still hands something in, and no further; a new connection begins afresh.
func TestSilence(t *testing.T) {
	for _, c := range []struct {
		name   string
		cfg    Config
		asks   float64 // that the device suggests; 0 if it does not
		lowest float64
	}{
		{"nothing is known", Config{}, 0, 1},
		{"28 TH/s are expected", Config{Expect: 28e12}, 0, 2048. / 64},
		{"400 kH/s are expected", Config{Expect: 400e3}, 0, 0x1p-11 / 64},
		{"it asks for little", Config{}, 0x1p-12, 0x1p-12},
		{"it asks for much", Config{}, 1 << 20, 1},
		{"it asks for nonsense", Config{}, -1, 1},
		{"it asks for little, more is expected", Config{Expect: 28e12}, 0x1p-12, 2048. / 64},
		{"it is given", Config{Difficulty: 8}, 0, 8},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := newTalk(t, c.cfg)
			if c.asks != 0 {
				require.Equal(t, "true", k.ask("mining.suggest_difficulty", fmt.Sprintf("[%g]", c.asks)))
			}
			k.begin()
			first := k.m.Difficulty
			lowest := first
			for range 600 {
				k.due(time.Second)
				lowest = min(lowest, k.m.Difficulty)
			}
			require.Equal(t, c.lowest, lowest)
			k.s.close(k.now)
			again := talkTo(t, k.s.srv)
			again.now = k.now
			again.begin()
			require.Equal(t, first, again.m.Difficulty, "a new connection begins afresh")
		})
	}
	// A share shows that there is a device, and how far to go for the next.
	k := newTalk(t, Config{Expect: 1e12})
	k.begin()
	for range 5 {
		was := k.m.Difficulty
		k.s.worker.note(Accepted, k.s.jobs[len(k.s.jobs)-1].epoch, 1, 1, k.now)
		for range 300 {
			k.due(time.Second)
		}
		require.GreaterOrEqual(t, k.m.Difficulty, was/descent)
		require.Less(t, k.m.Difficulty, was)
	}
}

// A device that begins late has the difficulty that one has that does not, and
// its first shares at a low one are not taken for a rate over the silence.
func TestLateDevice(t *testing.T) {
	for _, c := range []struct{ rate, expect float64 }{{28e12, 0}, {28e12, 28e12}, {1e15, 0}, {500e9, 0}, {200e12, 100e12}} {
		for seed := range uint64(10) {
			r := rand.New(rand.NewPCG(9, seed))
			now := time.Unix(1_800_000_000, 0)
			var tu tuner
			tu.begin(c.expect, now)
			mines := now.Add(time.Duration(r.Float64() * 600e9))
			lowest, handed := tu.difficulty, 0
			for !tu.settled {
				step := 10 * time.Millisecond
				mean := c.rate / tu.difficulty / hashesPerDifficulty * step.Seconds()
				for at := r.ExpFloat64() / mean; at < 1 && now.After(mines) && !tu.settled; at += r.ExpFloat64() / mean {
					handed++
					when := now.Add(time.Duration(at * float64(step)))
					tu.share(r.ExpFloat64(), when)
					if next, pace, change := tu.look(when, 1); change {
						tu.try(next, pace, when)
						break
					}
				}
				now = now.Add(step)
				if next, pace, change := tu.look(now, 1); change {
					tu.try(next, pace, now)
				}
				lowest = min(lowest, tu.difficulty)
				require.Less(t, now.Sub(mines), time.Minute, "%+v", tu)
			}
			require.GreaterOrEqual(t, lowest, 1.0)
			require.Less(t, handed, 3000)
			rate := c.rate / tu.difficulty / hashesPerDifficulty
			require.Greater(t, rate, 1.0)
			require.Less(t, rate, 14.0)
		}
	}
}

// A device that hands in the best of each scan alone is given a difficulty at
// which it loses little.
func TestTunerFindsLoss(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(10, seed))
		now := time.Unix(1_800_000_000, 0)
		const rate, scan = 1e9, 150 * time.Millisecond
		var tu tuner
		tu.begin(rate, now)
		for !tu.settled {
			now = now.Add(scan)
			mean := rate / tu.difficulty / hashesPerDifficulty * scan.Seconds()
			best, n := 0.0, 0
			for at := r.ExpFloat64() / mean; at < 1; at += r.ExpFloat64() / mean {
				best, n = max(best, r.ExpFloat64()), n+1
			}
			if n > 0 {
				tu.share(best, now)
			}
			if next, pace, change := tu.look(now, 1); change {
				tu.try(next, pace, now)
			}
		}
		require.Less(t, rate/tu.difficulty/hashesPerDifficulty*scan.Seconds()/2, 0.08, "the part that is lost: it was 0.28")
	}
}

// A device that waits for the answer to each share before it hands in the next
// comes at its own pace where it finds more. What that says of its loss takes no
// difficulty beyond one at which it hands in a share now and then.
func TestTunerBearsWaiting(t *testing.T) {
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(11, seed))
		const rate, answer = 500e9, 150 * time.Millisecond
		t0 := time.Unix(1_800_000_000, 0)
		found, free := t0, t0
		var tu tuner
		tu.begin(rate/2, t0)
		for !tu.settled && found.Sub(t0) < 20*time.Minute {
			found = found.Add(time.Duration(r.ExpFloat64() * tu.difficulty * hashesPerDifficulty / rate * 1e9))
			at := later(found, free)
			free = at.Add(answer)
			tu.share(r.ExpFloat64(), at)
			if next, pace, change := tu.look(at, 1); change {
				tu.try(next, pace, at)
				found, free = at, at // what waits is of a job that is over
			}
		}
		require.True(t, tu.settled)
		require.Greater(t, rate/tu.difficulty/hashesPerDifficulty, slow/4, "%g", tu.difficulty)
	}
}

// stubborn is a device that goes on at the difficulty it was told first,
// until it connects again.
func TestStubbornDevice(t *testing.T) {
	k := newTalk(t, Config{})
	k.begin()
	w := k.s.worker
	require.Empty(t, k.s.srv.place(w, k.now))
	stuck := k.m.Difficulty
	require.Equal(t, float64(startDifficulty), stuck)
	reconnected := 0
	r := rand.New(rand.NewPCG(8, 4))
	// It makes a share of 1024 a second, which is too seldom: the pool goes
	// down, and sees the same shares again.
	for began := k.now; k.now.Sub(began) < 10*time.Minute; {
		k.now = k.now.Add(time.Duration(r.ExpFloat64() * 1e9))
		out, err := k.s.due(k.now, nil)
		k.messages(out)
		if err != nil {
			require.ErrorIs(t, err, errAsked)
			require.Contains(t, string(out), "client.reconnect")
			reconnected++
			k.s.close(k.now)
			old := k.now
			*k = *talkTo(t, k.s.srv)
			k.now = old.Add(time.Second)
			k.begin()
			stuck = k.m.Difficulty
			continue
		}
		w.note(Accepted, k.s.jobs[len(k.s.jobs)-1].epoch, math.Log(max(1, stuck/k.s.order.difficulty))+r.ExpFloat64(), 1, k.now)
		if _, settled := w.Difficulty(); settled {
			break
		}
	}
	d, settled := w.Difficulty()
	require.True(t, settled)
	require.Equal(t, 1, reconnected, "asked once")
	require.LessOrEqual(t, d, stuck)
}
