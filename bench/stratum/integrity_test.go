package stratum

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/cryptotest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/kernels/sha256d"
)

// honest lets a device that mines at a rate hand in n shares: they come at
// random, a little late, and now and then the device is gone for a while.
func honest(r *rand.Rand, n int, rate float64, late, gone time.Duration) *Tally {
	t := new(Tally)
	found := time.Unix(1_800_000_000, 0)
	last := found
	for i := range n {
		if gone > 0 && i > 0 && r.Float64() < 0.002 {
			t.pace.pause()
			t.spacing.last = time.Time{}
			found = found.Add(time.Duration(r.ExpFloat64() * float64(gone)))
			t.pace.pause()
		}
		found = found.Add(time.Duration(r.ExpFloat64() / rate * 1e9))
		at := found
		if late > 0 { // it looks for what its chips found every so often
			at = found.Truncate(late).Add(late)
		}
		if at.Before(last) {
			at = last
		}
		last = at
		t.Count[Accepted]++
		t.luck.add(r.ExpFloat64())
		t.pace.add(at)
		t.spacing.add(at)
	}
	return t
}

// A device that hands in one result of each scan loses shares, and is found
// before that shows beside the uncertainty of the count. One that hands in what
// it finds is not taken for it, however it does so.
func TestSpacing(t *testing.T) {
	runs := 300
	if testing.Short() {
		runs = 40
	}
	r := rand.New(rand.NewPCG(8, 12))
	for _, c := range []struct {
		name  string
		rate  float64 // shares/s that it finds
		n     int
		each  time.Duration // it looks for what it found as often
		one   bool          // and hands in one of that
		wait  time.Duration // for an answer, before it hands in the next
		swing float64
		found bool
	}{
		{name: "as found", rate: 4, n: 2000},
		{name: "looks every 50 ms", rate: 4, n: 2000, each: 50 * time.Millisecond},
		{name: "looks every second", rate: 4, n: 2000, each: time.Second},
		{name: "waits for an answer of 5 ms", rate: 4, n: 5000, wait: 5 * time.Millisecond},
		{name: "waits for an answer of 80 ms", rate: 4, n: 2000, wait: 80 * time.Millisecond},
		{name: "waits for an answer of 200 ms", rate: 2, n: 2000, wait: 200 * time.Millisecond},
		{name: "swings", rate: 4, n: 2000, swing: 0.8},
		{name: "fast", rate: 100, n: 20_000, wait: time.Millisecond},
		{name: "one of 16,384 hashes at 300 kH/s", rate: 4, n: 300, each: 55 * time.Millisecond, one: true, found: true},
		{name: "one of 16,384 hashes at 600 kH/s", rate: 4, n: 700, each: 27 * time.Millisecond, one: true, found: true},
		{name: "one of 4,096 hashes at 50 kH/s", rate: 4, n: 300, each: 80 * time.Millisecond, one: true, found: true},
		{name: "one a second", rate: 1, n: 300, each: time.Second, one: true, found: true},
		{name: "one of few, and no loss that matters", rate: 0.25, n: 300, each: 40 * time.Millisecond, one: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			says := 0
			for range runs {
				tally := new(Tally)
				at, last := time.Unix(1_800_000_000, 0), time.Time{}
				for tally.spacing.n < float64(c.n) {
					at = at.Add(time.Duration(r.ExpFloat64() / c.rate * 1e9))
					if r.Float64() < c.swing && at.Unix()/30%2 == 0 {
						continue
					}
					when := at
					if c.each > 0 {
						when = at.Truncate(c.each).Add(c.each)
					}
					if c.one && when.Equal(last) {
						continue
					}
					if c.wait > 0 && when.Before(last.Add(c.wait)) {
						when = last.Add(c.wait)
					}
					last = when
					tally.spacing.add(when)
				}
				if check := tally.checks(1)[5]; !check.OK {
					if !c.found && says < 2 {
						t.Log(check.Detail)
					}
					require.Equal(t, "spacing", check.Name)
					says++
				}
			}
			if c.found {
				require.Greater(t, says, runs*8/10)
			} else {
				require.Zero(t, says)
			}
		})
	}
}

// probabilities are those of all tests.
func (t *Tally) probabilities() map[string]float64 {
	p := map[string]float64{}
	p["least"], p["mean"], p["spread"] = t.luck.tests()
	p["even"], p["bursts"] = t.pace.tests()
	return p
}

// Honest devices are not doubted. The probabilities are what they say: one in
// a hundred is below 1 %, or fewer; so a bound of 1e-9 is met by fewer than
// one look in two hundred million.
func TestHonestDevices(t *testing.T) {
	runs := 4000
	if testing.Short() {
		runs = 300
	}
	r := rand.New(rand.NewPCG(8, 2))
	for _, level := range []float64{0.01, 0.001} {
		below := map[string]int{}
		for range runs {
			rate := math.Exp(r.Float64()*3 - 1) // 0.4 to 7 a second
			late := []time.Duration{0, 50 * time.Millisecond, 200 * time.Millisecond}[r.IntN(3)]
			tally := honest(r, 300+r.IntN(1500), rate, late, time.Minute)
			for name, p := range tally.probabilities() {
				if p < level {
					below[name]++
				}
			}
			for _, c := range tally.checks(1024) {
				require.True(t, c.OK, "%s: %s", c.Name, c.Detail)
			}
		}
		t.Logf("of %d honest devices with a probability below %g: %v", runs, level, below)
		n := float64(runs) * level
		for _, name := range []string{"least", "mean", "spread", "even", "bursts"} {
			require.Less(t, float64(below[name]), n+5*math.Sqrt(n)+3, name)
		}
		for _, name := range []string{"least", "mean", "spread"} { // the others are bounds
			require.Greater(t, float64(below[name]), n-5*math.Sqrt(n)-3, name)
		}
	}
}

// A device whose rate swings by itself, slowly or every other second, is not
// called a cheat.
func TestUnsteadyDeviceIsHonest(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 3))
	coins := make([]int, 1000)
	for i := range coins {
		coins[i] = r.IntN(2)
	}
	for name, rate := range map[string]func(at time.Time) float64{
		"slowly": func(at time.Time) float64 { return 4 + 3*math.Sin(2*math.Pi*float64(at.Unix()%120)/120) },
		"fast":   func(at time.Time) float64 { return 2.5 + 5*float64(coins[at.Unix()/3%int64(len(coins))]) },
	} {
		tally := new(Tally)
		at := time.Unix(1_800_000_000, 0)
		for range 8000 {
			at = at.Add(time.Duration(r.ExpFloat64() / 8 * 1e9))
			if 8*r.Float64() > rate(at) { // thinned to the rate of the moment
				continue
			}
			tally.Count[Accepted]++
			tally.luck.add(r.ExpFloat64())
			tally.pace.add(at)
		}
		_, bursts := tally.pace.tests()
		t.Logf("%s: spread %.2f, probability %.2g, swing %.3f", name, tally.pace.spread(), bursts, tally.pace.swing())
		require.Equal(t, name == "fast", bursts < doubt, "%s: it is noticed", name)
		for _, c := range tally.checks(1) {
			require.True(t, c.OK, "%s: %s", name, c.Detail)
		}
	}
}

// device is a simulated one that hands real shares in over the protocol, in a
// time of its own. Each call of step is one share that it finds.
type device struct {
	*talk
	r     *rand.Rand
	extra uint64
	stock []found
	held  []found
	gone  []found // accepted before
}

// share is the next that it finds.
func (d *device) share() found {
	for {
		for len(d.stock) > 0 {
			f := d.stock[0]
			d.stock = d.stock[1:]
			if f.Job == d.m.Job.ID {
				return f
			}
		}
		d.extra++
		d.stock = d.m.Mine(256, d.extra, d.m.Job.NTime, 0)
	}
}

func (d *device) wait(seconds float64) {
	d.now = d.now.Add(time.Duration(seconds * 1e9))
	out, err := d.s.due(d.now, nil)
	require.NoError(d.t, err)
	d.messages(out)
}

// luckOf is how many times a share meets the difficulty.
func (d *device) luckOf(f found) float64 {
	return sha256d.Difficulty(sha256d.Sum(&f.Header)) / d.m.Difficulty
}

const pieceRate = 4 // shares a second

// play is a way to behave; it is called for every share that the device finds.
type play struct {
	name   string
	breaks string // the check that fails, "" for none
	says   string
	shares int // that it takes at most
	step   func(d *device)
}

func (d *device) random() { d.wait(d.r.ExpFloat64() / pieceRate) }

var plays = []play{
	{"is honest", "", "", 4000, func(d *device) { d.random(); d.submit(d.share()) }},
	{"filters at twice its difficulty", "luck-least", "filters by a difficulty of about", 100, func(d *device) {
		d.random()
		if f := d.share(); d.luckOf(f) >= 2 {
			d.submit(f)
		}
	}},
	{"filters at 1.05 times its difficulty", "luck-least", "set --difficulty", 2000, func(d *device) {
		d.random()
		if f := d.share(); d.luckOf(f) >= 1.05 {
			d.submit(f)
		}
	}},
	{"filters half of its work at four times its difficulty", "luck-mean", "part of its work is filtered", 1500, func(d *device) {
		d.random()
		if f := d.share(); f.Nonce%2 == 0 || d.luckOf(f) >= 4 {
			d.submit(f)
		}
	}},
	{"holds its best shares back", "luck-mean", "holds them back", 3000, func(d *device) {
		d.random()
		if f := d.share(); d.luckOf(f) < 10 {
			d.submit(f)
		}
	}},
	{"leaves shares of middling luck out", "luck-spread", "missing", 4000, func(d *device) {
		d.random()
		// Half of those between two luck, and as many more above and below
		// that the mean stays.
		if f := d.share(); d.luckOf(f) < 2 || d.luckOf(f) > 3.7 {
			d.submit(f)
		}
	}},
	{"hands in by a clock", "pace", "by a clock", 1000, func(d *device) { d.wait(1. / pieceRate); d.submit(d.share()) }},
	{"hands in a minute's shares at once", "pace", "bursts", 3000, func(d *device) {
		d.random()
		if d.held = append(d.held, d.share()); len(d.held) == 60*pieceRate/2 {
			for _, f := range d.held {
				d.submit(f)
			}
			d.held = nil
		}
	}},
	{"holds every other share back for half a minute", "pace", "bursts", 6000, func(d *device) {
		d.random()
		f := d.share()
		if f.Nonce%2 == 0 {
			d.submit(f)
			return
		}
		if d.held = append(d.held, f); len(d.held) == 30*pieceRate/2 {
			for _, f := range d.held {
				d.submit(f)
			}
			d.held = nil
		}
	}},
	{"hands every tenth share in twice", "refused", "replays it", 300, func(d *device) {
		d.random()
		f := d.share()
		d.submit(f)
		if f.Nonce%10 == 0 {
			d.submit(f)
		}
	}},
	{"replays after it connects again", "refused", "other work", 1000, func(d *device) {
		d.random()
		f := d.share()
		d.submit(f)
		if d.gone = append(d.gone, f); len(d.gone) == 100 {
			old := d.gone
			d.gone = nil
			d.again()
			for _, f := range old { // as if they were of this connection
				f.Job, f.NTime = d.m.Job.ID, d.m.Job.NTime
				d.submit(f)
			}
		}
	}},
	{"hands in another device's shares", "refused", "other work", 300, func(d *device) {
		d.random()
		d.submit(d.share())
		other := &miner{T: d.t, Name: "w", Size: d.m.Size, Ours: []byte{1, 2, 3, 4}, Job: d.m.Job, Difficulty: d.m.Difficulty}
		d.extra++
		d.submit(other.Mine(1, d.extra, d.m.Job.NTime, 0)[0])
	}},
	{"hands in everything it finds", "refused", "ignores what it is told", 100, func(d *device) {
		d.random()
		d.m.Difficulty = 0x1p-20
		d.submit(d.share())
	}},
	{"puts its clock back", "refused", "time out of bounds", 100, func(d *device) {
		d.random()
		d.extra++
		d.submit(d.m.Mine(1, d.extra, d.m.Job.NTime-600, 0)[0])
	}},
	{"puts its clock three hours on", "refused", "time out of bounds", 100, func(d *device) {
		d.random()
		d.extra++
		d.submit(d.m.Mine(1, d.extra, d.m.Job.NTime+3*3600, 0)[0])
	}},
	{"takes a longer extranonce than it was given", "refused", "wrong size", 100, func(d *device) {
		d.random()
		d.m.Size = 6
		d.extra++
		d.submit(d.m.Mine(1, d.extra, d.m.Job.NTime, 0)[0])
	}},
	{"rolls bits that it may not", "refused", "may not", 100, func(d *device) {
		d.random()
		d.m.Mask, d.m.Roll = 0xffffffff, true
		d.extra++
		d.submit(d.m.Mine(1, d.extra, d.m.Job.NTime, 0x40002000)[0])
	}},
	{"goes on at jobs of long ago", "refused", "not given", 300, func(d *device) {
		d.random()
		if len(d.held) == 0 {
			d.held = d.m.Mine(1000, 1<<60, d.m.Job.NTime, 0)
		}
		d.submit(d.held[0])
		d.held = d.held[1:]
		d.now = d.now.Add(time.Second)
	}},
	{"works in another's name", "refused", "another's name", 100, func(d *device) {
		d.random()
		d.m.Name = "v"
		d.submit(d.share())
	}},
	{"floods with shares that are none", "refused", "other work", 100, func(d *device) {
		f := d.share()
		f.Nonce = d.r.Uint32()
		d.submit(f)
	}},
}

// again connects the device anew.
func (d *device) again() {
	d.s.close(d.now)
	d.now = d.now.Add(5 * time.Second)
	fresh := talkTo(d.t, d.s.srv)
	fresh.now = d.now
	*d.talk = *fresh
	d.begin()
	d.stock = nil
}

// Every way to cheat is found, in no more shares than it says, and by the
// check that is for it; an honest device passes all.
func TestCheats(t *testing.T) {
	for _, p := range plays {
		t.Run(p.name, func(t *testing.T) {
			// Luck that differed between runs would miss the limit now and then.
			cryptotest.SetGlobalRandom(t, 8)
			difficulty := 0x1p-24
			if strings.Contains(p.says, "ignores") {
				difficulty = 0x1p-14 // so that what misses it is still told from chance
			}
			talk := newTalk(t, Config{Difficulty: difficulty})
			talk.now = time.Unix(1_800_000_000, 0)
			d := &device{talk: talk, r: rand.New(rand.NewPCG(8, uint64(len(p.name))))}
			d.begin()
			for n := 1; n <= p.shares; n++ {
				p.step(d)
				if p.breaks == "" && n < p.shares || n%20 != 0 && n < p.shares {
					continue
				}
				failed := map[string]string{}
				for _, c := range d.s.worker.Check() {
					require.Equal(t, use, c.Use)
					if !c.OK {
						failed[c.Name] = c.Detail
					}
				}
				if p.breaks == "" {
					require.Empty(t, failed)
					return
				}
				if detail, ok := failed[p.breaks]; ok {
					require.Contains(t, detail, p.says)
					t.Logf("after %d shares: %s", n, detail)
					return
				}
			}
			require.Fail(t, "not found", "%v", describe(d.s.worker))
		})
	}
}

func describe(w *Worker) string {
	var b strings.Builder
	for _, c := range w.Check() {
		fmt.Fprintf(&b, "%s: %v: %s\n", c.Name, c.OK, c.Detail)
	}
	return b.String()
}
