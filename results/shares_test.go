package results

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// mining is a session on a simulated device that makes shares at a rate, by
// windows that follow one another. Now and then it is gone, and a part of its
// shares comes too late. It draws 3 kW.
type mining struct {
	rate    float64 // shares/s
	window  float64 // s
	windows int
	sample  float64 // s
	stale   float64 // share of its shares
	gone    float64 // breaks per s
	each    float64 // s of a break, on average
	swing   float64 // of its rate, relative, over swingTime
	refused float64 // per s
}

const (
	shareWork = 4295032833 * 1024.
	swingTime = 100. // s
)

func (d mining) record(r *rand.Rand) (rec *Record, away float64) {
	start := time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC)
	rec = &Record{Schema: SchemaVersion, ID: "01KDYBS1CY0000000000000000", Start: start, End: start, State: Complete,
		Plan:   Plan{Preset: "pool", Scenarios: []string{"mining"}, Rounds: d.windows, Window: Float(d.window)},
		Meters: []Meter{{Name: "plug", Channels: []Channel{{Name: "w", Unit: Watt, Kind: Gauge, Boundary: Wall, Origin: Measured, Total: Wall, Accuracy: Accuracy{Gain: 0.01}}}}}}
	end := d.window * float64(d.windows)
	type span struct{ from, to float64 }
	var breaks []span
	if d.gone > 0 {
		for t := r.ExpFloat64() / d.gone; t < end; t += r.ExpFloat64() / d.gone {
			to := min(end, t+r.ExpFloat64()*d.each)
			breaks, t = append(breaks, span{t, to}), to
		}
	}
	var accepted, stale, refused []float64
	for t, most := 0.0, d.rate*(1+d.swing); ; {
		if t += r.ExpFloat64() / most; t >= end {
			break
		}
		out := slices.ContainsFunc(breaks, func(s span) bool { return s.from <= t && t < s.to })
		switch now := d.rate * (1 + d.swing*math.Copysign(1, math.Sin(2*math.Pi*t/swingTime))); {
		case out || r.Float64()*most > now:
		case r.Float64() < d.stale:
			stale = append(stale, t)
		default:
			accepted = append(accepted, t)
		}
	}
	if d.refused > 0 {
		for t := r.ExpFloat64() / d.refused; t < end; t += r.ExpFloat64() / d.refused {
			refused = append(refused, t)
		}
	}
	until := func(of []float64, t float64) Float { n, _ := slices.BinarySearch(of, t); return Float(n) }
	for _, b := range breaks {
		away += b.to - b.from
	}
	for w := range d.windows {
		from := float64(w) * d.window
		run := Run{Scenario: "mining", Round: w + 1, Status: OK, Phases: []Phase{{PhaseMeasure, Float(from), Float(from + d.window)}},
			Anchor: Anchor{Float(from), start.Add(time.Duration(from * 1e9))},
			Uses:   []Use{{Use: "mining", Workload: "stratum", Impl: "device", Role: Alone, Threads: 1, Unit: Hash, FlopPerCount: Absent(), Shares: &Shares{Difficulty: 1024, Work: shareWork}}}}
		traces := []Trace{
			{Of: WorkOf("mining"), Unit: Hash, Kind: Counter},
			{Of: SharesOf("mining", ShareAccepted), Unit: Share, Kind: Counter},
			{Of: SharesOf("mining", ShareStale), Unit: Share, Kind: Counter},
			{Of: SharesOf("mining", "duplicate"), Unit: Share, Kind: Counter},
			{Of: AwayOf("mining"), Unit: Second, Kind: Counter},
			{Of: BreaksOf("mining"), Unit: Ratio, Kind: Counter},
			{Of: MeterOf("plug", "w"), Unit: Watt, Kind: Gauge, Boundary: Wall, Origin: Measured},
		}
		for i := range int(d.window/d.sample) + 1 {
			t := from + float64(i)*d.sample
			gone, n := 0.0, 0
			for _, b := range breaks {
				if b.from < t {
					gone += min(t, b.to) - b.from
					n++
				}
			}
			a := until(accepted, t)
			for j, v := range []Float{a * shareWork, a, until(stale, t), until(refused, t), Float(gone), Float(n), 3000} {
				traces[j].Add(Float(t), v, nil)
			}
		}
		run.Traces = traces
		rec.Runs = append(rec.Runs, run)
	}
	return rec, away
}

// Ten thousand sessions of a thousand shares each, in six windows, with
// restarts and stale shares: the exact interval covers the true rate in at
// least 95 % of them, and the rate is right on average.
func TestShareRateCoverage(t *testing.T) {
	sessions := 10_000
	if testing.Short() {
		sessions = 500
	}
	d := mining{rate: 0.6, window: 300, windows: 6, sample: 30, stale: 0.01, gone: 1. / 900, each: 40}
	r := rand.New(rand.NewPCG(8, 5))
	var covers, connected, energy, least, most int
	sum, square := 0.0, 0.0
	for range sessions {
		rec, away := d.record(r)
		m := Derive(rec).Rows[0].Metrics
		end := d.window * float64(d.windows)
		delivered := d.rate * shareWork * (1 - d.stale) * (1 - away/end)
		within := func(m Metric, truth float64) bool { return float64(m.Low) <= truth && truth <= float64(m.High) }
		if within(m[Throughput], delivered) {
			covers++
		}
		if within(m[ConnectedThroughput], d.rate*shareWork) {
			connected++
		}
		if within(m[WorkPerEnergy], delivered/3000) {
			energy++
		}
		// The exact interval alone, whatever the spread.
		n := float64(m[ShareCount].Value)
		low, high := PoissonInterval(uint64(n))
		if expected := delivered / shareWork * end; expected < low {
			least++
		} else if expected > high {
			most++
		}
		x := float64(m[ConnectedThroughput].Value) / (d.rate * shareWork)
		sum, square = sum+x, square+x*x
		require.InDelta(t, away/end, 1-float64(m[Connected].Value), 1e-9)
	}
	of := func(k int) float64 { return float64(k) / float64(sessions) }
	mean := sum / float64(sessions)
	se := math.Sqrt((square/float64(sessions) - mean*mean) / float64(sessions))
	t.Logf("of %d sessions: delivered rate covered %.4f, rate while connected %.4f, work per energy %.4f; exact interval alone %.4f (too high %.4f, too low %.4f); mean of rate ÷ truth %.5f ± %.5f",
		sessions, of(covers), of(connected), of(energy), 1-of(least+most), of(least), of(most), mean, se)
	slack := 3 * math.Sqrt(0.05*0.95/float64(sessions))
	for _, k := range []int{covers, connected, energy, sessions - least - most} {
		require.GreaterOrEqual(t, of(k), 0.95-slack)
	}
	if sessions >= 10_000 {
		require.GreaterOrEqual(t, 1-of(least+most), 0.95)
		require.InDelta(t, 1, mean, 1e-3, "biased")
	}
	require.Less(t, of(covers), 0.985, "an interval that is much too wide is no better")
}

func TestSharesOfASession(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 6))
	d := mining{rate: 5, window: 600, windows: 6, sample: 10, stale: 0.02, gone: 1. / 1200, each: 30, refused: 0.05}
	rec, away := d.record(r)
	s := Derive(rec)
	m := s.Rows[0].Metrics
	require.Positive(t, away)
	require.InEpsilon(t, 5*shareWork, float64(m[ConnectedThroughput].Value), 0.03)
	require.InDelta(t, 0.02, float64(m[StaleShare].Value), 0.005)
	require.InDelta(t, 0.01, float64(m[RefusedShare].Value), 0.004)
	require.Equal(t, 6, m[Throughput].N)
	require.InEpsilon(t, float64(m[Throughput].Value)/3000, float64(m[WorkPerEnergy].Value), 1e-9, "the same windows of the same run")
	require.InEpsilon(t, 1/float64(m[WorkPerEnergy].Low), float64(m[EnergyPerWork].High), 1e-9)
	require.Equal(t, Grade("A"), m[WorkPerEnergy].Grade)
	require.NotContains(t, m, CPUThroughput)
	codes := map[string]string{}
	for _, f := range s.Flags {
		codes[f.Code] = f.Text
	}
	require.Contains(t, codes["interrupted"], "lost its connection")
	require.NotContains(t, codes, "few-rounds")
	outcome := func(s Summary) map[string]Outcome {
		out := map[string]Outcome{}
		for _, f := range s.Validity.Findings {
			out[f.Rule] = f.Outcome
		}
		return out
	}
	require.Equal(t, NotApplicable, outcome(s)["idle"])
	require.Equal(t, Pass, outcome(s)["complete"])

	// A quiet one breaks no rule.
	d.gone, d.each = 0, 0
	rec, _ = d.record(r)
	s = Derive(rec)
	require.Empty(t, s.Flags)
	delete(outcome(s), "interval")
	for rule, o := range outcome(s) {
		require.True(t, o != Fail || rule == "interval", rule) // the meter was read every 10 s
	}
	low, high := PoissonInterval(uint64(s.Rows[0].Metrics[ShareCount].Value))
	require.InEpsilon(t, low*shareWork/3600, float64(s.Rows[0].Metrics[Throughput].Low), 1e-9)
	require.InEpsilon(t, high*shareWork/3600, float64(s.Rows[0].Metrics[Throughput].High), 1e-9)

	// As many rounds as it took.
	rec.Plan.Rounds = 0
	require.Equal(t, Pass, outcome(Derive(rec))["complete"])
	// One whose shares did not come at an even rate is flagged, and is known
	// less well than it seems.
	swinging := mining{rate: 5, window: 600, windows: 6, sample: 10, swing: 0.5}
	rec, _ = swinging.record(r)
	uneven := Derive(rec)
	require.Equal(t, "not-steady", uneven.Flags[0].Code)
	width := func(s Summary) float64 {
		m := s.Rows[0].Metrics[Throughput]
		return float64((m.High - m.Low) / m.Value)
	}
	require.Greater(t, width(uneven), 1.5*width(s))
	require.Equal(t, Fail, outcome(uneven)["steady"])

	// None at all is a rate of zero, and no efficiency.
	nothing, _ := mining{rate: 1e-9, window: 600, windows: 6, sample: 10}.record(r)
	m = Derive(nothing).Rows[0].Metrics
	require.Zero(t, m[Throughput].Value)
	require.InEpsilon(t, 3.6889*shareWork/3600, float64(m[Throughput].High), 1e-4)
	require.True(t, m[EnergyPerWork].Value.IsAbsent())
	_, err := Seal(nothing)
	require.NoError(t, err)
}

// A record is read from anywhere: figures that cannot be make no figure, and
// take no time.
func TestSharesOfHostileRecords(t *testing.T) {
	for _, work := range []Float{0, -1, Absent(), 1e-300, 1e300, 1e-9} {
		rec, _ := mining{rate: 5, window: 600, windows: 2, sample: 10, stale: 0.1}.record(rand.New(rand.NewPCG(8, 8)))
		for i := range rec.Runs {
			rec.Runs[i].Uses[0].Shares.Work = work
		}
		rec.Summary = Derive(rec)
		_, err := Seal(rec)
		require.NoError(t, err, "%v", work)
	}
	low, high := PoissonInterval(1 << 53)
	require.InEpsilon(t, 1, (high-low)/2/(1.959964*math.Sqrt(1<<53)), 1e-6)
}
