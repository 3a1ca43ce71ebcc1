package stratum

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/bench"
	"github.com/perwatt/perwatt/results"
)

// rig is a device in a bubble of time that finds shares at random. Its
// difficulty is so low that any header is a share, so that it need not hash;
// what it would have hashed is found.
type rig struct {
	t    *testing.T
	srv  *Server
	r    *rand.Rand
	rate float64 // shares a second while it mines

	mu    sync.Mutex
	mined []silent // when it did
	conn  net.Conn
	job   string
	ntime string
	held  bool // it does not read
	free  *sync.Cond
	queue []string
	stuck bool // what it sends waits
	lost  bool // what it sends is lost
	ended bool
	scan  time.Duration // it hands in one share of each at most
	wait  sync.WaitGroup
}

// connect makes a new connection and reads from it.
func (g *rig) connect() {
	c, server := net.Pipe()
	held := g.srv.admit(server)
	require.NotNil(g.t, held)
	g.wait.Go(held.serve)
	g.mu.Lock()
	g.conn, g.job = c, ""
	g.mu.Unlock()
	g.wait.Go(func() {
		for in := bufio.NewScanner(c); in.Scan(); {
			g.mu.Lock()
			for g.held && !g.ended {
				g.free.Wait()
			}
			if strings.Contains(in.Text(), `"mining.notify",`) {
				var msg struct{ Params []any }
				if json.Unmarshal(in.Bytes(), &msg) == nil && len(msg.Params) > 7 {
					g.job, g.ntime = msg.Params[0].(string), msg.Params[7].(string)
				}
			}
			g.mu.Unlock()
		}
	})
	fmt.Fprint(c, hello)
}

// send writes what waits, from a goroutine of its own: the pool may not read.
func (g *rig) send() {
	for {
		g.mu.Lock()
		for (len(g.queue) == 0 || g.stuck) && !g.ended {
			g.free.Wait()
		}
		if g.ended {
			g.mu.Unlock()
			return
		}
		line, c := g.queue[0], g.conn
		g.queue = g.queue[1:]
		g.mu.Unlock()
		fmt.Fprint(c, line)
	}
}

// mine finds shares for a while.
func (g *rig) mine(span time.Duration) {
	end := time.Now().Add(span)
	g.set(func() { g.mined = append(g.mined, silent{from: time.Now(), to: end}) })
	for {
		next := time.Now().Add(time.Duration(g.r.ExpFloat64() / g.rate * 1e9))
		if next.After(end) {
			time.Sleep(time.Until(end))
			return
		}
		time.Sleep(time.Until(next))
		if g.scan > 0 { // it says so at its end, and of what else it finds until then nothing
			time.Sleep(time.Until(next.Truncate(g.scan).Add(g.scan)))
		}
		g.mu.Lock()
		if g.job != "" && !g.lost {
			n := g.r.Uint64()
			g.queue = append(g.queue, fmt.Sprintf(`{"id":7,"method":"mining.submit","params":["w",%q,"%08x",%q,"%08x"]}`+"\n", g.job, uint32(n>>32), g.ntime, uint32(n)))
			g.free.Broadcast()
		}
		g.mu.Unlock()
	}
}

// set changes how the device stands.
func (g *rig) set(f func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f()
	g.free.Broadcast()
}

// gone has the device without a connection, and idle, for a while.
func (g *rig) gone(span time.Duration) {
	g.set(func() { g.conn.Close(); g.queue, g.job = nil, "" })
	time.Sleep(span)
	g.connect()
}

// end stops it, once it lives no more.
func (g *rig) end(over chan struct{}) {
	g.set(func() { g.ended = true; g.conn.Close() })
	<-over
	g.conn.Close()
	g.wait.Wait()
}

// figure is what a session says of a device.
type figure struct {
	rate, low, high float64
	truth           float64 // mean number of what it found in the window
	why             string  // there is no figure
}

// measure is a session with a device that lives as it likes, for a window.
func measure(t *testing.T, seed uint64, rate float64, window time.Duration, live func(g *rig)) (f figure) {
	synctest.Test(t, func(t *testing.T) {
		joined := make(chan *Worker, 1)
		srv, err := New(Config{Difficulty: leastDifficulty, Joined: func(w *Worker) { joined <- w }})
		require.NoError(t, err)
		g := &rig{t: t, srv: srv, r: rand.New(rand.NewPCG(8, seed)), rate: rate}
		g.free = sync.NewCond(&g.mu)
		g.connect()
		g.wait.Go(g.send)
		over := make(chan struct{})
		go func() {
			defer close(over)
			live(g)
			for !g.over() {
				g.mine(time.Second)
			}
		}()
		defer g.end(over)
		w := <-joined
		require.NoError(t, w.Prepare(t.Context()))
		done := bench.NewCounter()
		var start bench.Start
		var begin error
		for _, step := range []func(){
			func() { time.Sleep(5 * time.Second) },
			func() {
				time.Sleep(2 * time.Second)
				if start, begin = w.Begin(t.Context()); begin != nil {
					return
				}
				time.Sleep(time.Until(start.At.Add(window)))
				synctest.Wait()
			},
		} {
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error)
			go func() { ended <- w.Run(ctx, done) }()
			step()
			if begin != nil {
				f.why = begin.Error()
			}
			if !start.At.IsZero() && f.why == "" {
				f = g.judge(w, start, done, window)
			}
			cancel()
			require.NoError(t, <-ended)
		}
	})
	return f
}

func (g *rig) over() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.ended
}

// judge holds what the pool says of a window against what the device found.
func (g *rig) judge(w *Worker, start bench.Start, done *bench.Counter, window time.Duration) (f figure) {
	end := start.At.Add(window)
	count, _, _ := done.Load()
	n := count - start.Count // a share stands for one hash
	g.mu.Lock()
	for _, m := range g.mined {
		if from := later(m.from, start.At); m.to.After(from) && end.After(m.from) {
			f.truth += g.rate * (m.length() - from.Sub(m.from) - max(0, m.to.Sub(end))).Seconds()
		}
	}
	g.mu.Unlock()
	low, high := results.PoissonInterval(n)
	f.rate, f.low, f.high = float64(n), low, high
	for _, gap := range w.Gaps() {
		whole := !gap.From.Before(start.At) && !gap.To.After(end)
		if gap.From.Before(end) && gap.To.After(start.At) && !(gap.Late && whole) {
			f.why = gap.Why
		}
	}
	for _, c := range w.Check() {
		if !c.OK {
			f.why = c.Name + ": " + c.Detail
		}
	}
	return f
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// until has the device mine and now and then do something else, for so long on
// average, until the test is over.
func until(every, each time.Duration, other func(g *rig, span time.Duration)) func(g *rig) {
	return func(g *rig) {
		for !g.over() {
			g.mine(time.Duration(g.r.ExpFloat64() * float64(every)))
			if !g.over() {
				other(g, time.Duration(g.r.ExpFloat64()*float64(each)))
			}
		}
	}
}

// What goes wrong between a device and a pool, at random times: the rate that
// is true lies in the interval, or there is no figure. The truth is the mean of
// what the device finds while it mines, whoever loses the shares of it.
func TestSilenceIsNoData(t *testing.T) {
	const rate = 4.0
	for _, k := range []struct {
		name    string
		figures float64 // part of all sessions that has one, at least
		live    func(g *rig)
		says    string // of those that have none
	}{
		{"mines on", 0.99, func(*rig) {}, ""},
		{"begins late", 0.99, func(g *rig) { time.Sleep(time.Duration(g.r.Float64() * 300e9)) }, ""},
		{"stalls", 0, until(40*time.Second, 15*time.Second, func(_ *rig, span time.Duration) { time.Sleep(span) }), "no share came for"},
		{"its shares are lost at times", 0, until(40*time.Second, 15*time.Second, func(g *rig, span time.Duration) {
			g.set(func() { g.lost = true })
			g.mine(span)
			g.set(func() { g.lost = false })
		}), "shares were lost"},
		{"its shares wait at times, and come at once", 0.3, until(40*time.Second, 15*time.Second, func(g *rig, span time.Duration) {
			g.set(func() { g.stuck = true })
			g.mine(span)
			g.set(func() { g.stuck = false })
		}), ""},
		{"connects again", 0.5, until(40*time.Second, 5*time.Second, func(g *rig, span time.Duration) { g.gone(span) }), ""},
		{"connects again and begins late", 0, until(60*time.Second, 15*time.Second, func(g *rig, span time.Duration) { g.gone(span / 2); time.Sleep(span) }), ""},
		{"does not read at times", 0.3, until(40*time.Second, 5*time.Second, func(g *rig, span time.Duration) {
			g.set(func() { g.held = true })
			g.mine(min(span, 9*time.Second))
			g.set(func() { g.held = false })
		}), ""},
		{"hands in one result of each scan", 0, func(g *rig) { g.scan = time.Duration(math.Exp(g.r.Float64()*5) * 1e6) }, "loses the others"},
	} {
		t.Run(k.name, func(t *testing.T) {
			sessions := 60
			if testing.Short() {
				sessions = 20
			}
			figures, covers := 0, 0
			whys := map[string]int{}
			says := k.says == ""
			for seed := range sessions {
				f := measure(t, uint64(seed), rate, 2*time.Minute, k.live)
				if f.why != "" {
					says = says || strings.Contains(f.why, k.says)
					whys[strings.Join(strings.Fields(f.why)[:3], " ")]++
					continue
				}
				figures++
				if f.covers() {
					covers++
				}
			}
			t.Logf("%s: of %d sessions %d have a figure, and %d of those cover the truth; others: %v", k.name, sessions, figures, covers, whys)
			require.True(t, k.figures < 0.9 || figures == sessions, "what is known is not refused")
			if !testing.Short() {
				require.GreaterOrEqual(t, float64(figures), k.figures*float64(sessions))
				require.True(t, says, "the reason is said: %s", k.says)
			}
			missed := figures - covers
			limit := 0.05*float64(sessions) + 3*math.Sqrt(0.05*0.95*float64(sessions))
			require.LessOrEqual(t, float64(missed), limit)
		})
	}
}

func (f figure) covers() bool { return f.low <= f.truth && f.truth <= f.high }

// More than is read gives no figure, and names the limit.
func TestThrottledIsNoData(t *testing.T) {
	f := measure(t, 1, 3*perSecond, 10*time.Second, func(*rig) {})
	require.Contains(t, f.why, "throttle: its input was left unread for")
	require.Contains(t, f.why, "reads 400 lines a second")
	require.Less(t, f.high, f.truth, "what was read is too little")
	f = measure(t, 1, perSecond/2, 10*time.Second, func(*rig) {})
	require.Empty(t, f.why)
	require.True(t, f.covers())
}

// What a silence is: one that the rate at other times does not explain. Shares
// that came close behind one were found in it.
func TestFlow(t *testing.T) {
	t0 := time.Unix(1_800_000_000, 0)
	at := func(s float64) time.Time { return t0.Add(time.Duration(s * 1e9)) }
	for _, c := range []struct {
		name   string
		silent [][2]float64 // s, of a window of 100 s with two shares a second
		queued bool         // its shares come behind it
		gaps   []bench.Gap
	}{
		{name: "steady"},
		{name: "short", silent: [][2]float64{{20, 25}}},
		{name: "long", silent: [][2]float64{{20, 40}}, gaps: []bench.Gap{{From: at(20), To: at(40)}}},
		{name: "two", silent: [][2]float64{{20, 30}, {50, 60}}, gaps: []bench.Gap{{From: at(20), To: at(30)}, {From: at(50), To: at(60)}}},
		{name: "at the end", silent: [][2]float64{{70, 100}}, gaps: []bench.Gap{{From: at(70), To: at(100)}}},
		{name: "of all but the beginning", silent: [][2]float64{{5, 100}}, gaps: []bench.Gap{{From: at(5), To: at(100)}}},
		{name: "shares waited", silent: [][2]float64{{20, 40}}, queued: true, gaps: []bench.Gap{{From: at(20), To: at(40), Late: true}}},
		{name: "shares waited for most of the time", silent: [][2]float64{{20, 80}}, queued: true, gaps: []bench.Gap{{From: at(20), To: at(80), Late: true}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var f flow
			for i := range 201 {
				now := at(float64(i) / 2)
				in := slices.IndexFunc(c.silent, func(s [2]float64) bool { return float64(i)/2 > s[0] && float64(i)/2 < s[1] })
				switch {
				case in < 0:
					f.add(now)
				case c.queued: // all at the end of it
					if float64(i+1)/2 == c.silent[in][1] {
						for range int(2 * (c.silent[in][1] - c.silent[in][0])) {
							f.add(at(c.silent[in][1]))
						}
					}
				}
				if i == 0 {
					f.start(now)
				}
			}
			gaps := f.unknown(at(100))
			require.Len(t, gaps, len(c.gaps), "%+v", gaps)
			for i, want := range c.gaps {
				require.Equal(t, want.From, gaps[i].From)
				require.WithinRange(t, gaps[i].To, want.To, want.To.Add(3*time.Second))
				require.Equal(t, want.Late, gaps[i].Late, gaps[i].Why)
			}
		})
	}
	// None at all says nothing, whatever the rate was before.
	var f flow
	f.add(at(0))
	f.start(at(0))
	require.Len(t, f.unknown(at(1)), 1)
	// What is kept of many silences is bounded.
	for i := range 100_000 {
		f.add(at(float64(i * i)))
	}
	require.LessOrEqual(t, len(f.long), kept)
}
