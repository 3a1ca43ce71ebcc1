package results_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/resultstest"
)

// Ten thousand sessions of a thousand shares each, in six windows, with
// restarts and stale shares: the exact interval covers the true rate in at
// least 95 % of them, and the rate is right on average.
func TestShareRateCoverage(t *testing.T) {
	sessions := 10_000
	if testing.Short() {
		sessions = 500
	}
	d := resultstest.Device{Rate: 0.6, Window: 300, Windows: 6, Sample: 30, Stale: 0.01, Gone: 1. / 900, Each: 40}
	r := rand.New(rand.NewPCG(8, 5))
	var covers, connected, energy, least, most int
	sum, square := 0.0, 0.0
	for range sessions {
		rec, away := d.Record(r)
		m := results.Derive(rec).Rows[0].Metrics
		end := d.Window * float64(d.Windows)
		delivered := d.Rate * resultstest.ShareWork * (1 - d.Stale) * (1 - away/end)
		within := func(m results.Figure, truth float64) bool { return float64(m.Low) <= truth && truth <= float64(m.High) }
		if within(m[results.Throughput], delivered) {
			covers++
		}
		if within(m[results.ConnectedThroughput], d.Rate*resultstest.ShareWork) {
			connected++
		}
		if within(m[results.WorkPerEnergy], delivered/3000) {
			energy++
		}
		// The exact interval alone, whatever the spread.
		n := float64(m[results.ShareCount].Value)
		low, high := results.PoissonInterval(uint64(n))
		if expected := delivered / resultstest.ShareWork * end; expected < low {
			least++
		} else if expected > high {
			most++
		}
		x := float64(m[results.ConnectedThroughput].Value) / (d.Rate * resultstest.ShareWork)
		sum, square = sum+x, square+x*x
		gone := end * (1 - float64(m[results.Connected].Value)) // until it handed in a share again
		require.GreaterOrEqual(t, gone, away-1e-6)
		require.Less(t, gone, away+60)
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

// TestCounted: a session with --until ends when its rate is known, and does not
// wait for more of a meter that has died in the middle of it.
func TestCounted(t *testing.T) {
	for _, c := range []struct {
		name    string
		windows int // measured so far
		dead    []int
		enough  bool
	}{
		{"too few", 2, nil, false},
		{"enough", 6, nil, true},
		{"enough, with a gap early on", 6, []int{1}, true},
		{"a gap in the last window may pass", 4, []int{3}, false},
		{"the meter died, too few shares", 3, []int{1, 2}, false},
		{"the meter died", 6, []int{2, 3, 4, 5}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := resultstest.Device{Rate: 1, Window: 1000, Windows: c.windows, Sample: 10}
			rec, _ := d.Record(rand.New(rand.NewPCG(8, 7)))
			for _, i := range c.dead {
				for j := range rec.Runs[i].Traces {
					if tr := &rec.Runs[i].Traces[j]; tr.Key == results.MeterKey("plug", "w") {
						for k := range tr.V {
							tr.V[k] = results.Absent()
						}
					}
				}
			}
			rec.Summary = results.Derive(rec)
			require.Len(t, rec.Summary.Rows[0].Windows(), c.windows-len(c.dead))
			require.Equal(t, c.enough, results.Counted(rec, 0.03))
		})
	}
}

func TestSharesOfASession(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 6))
	d := resultstest.Device{Rate: 5, Window: 600, Windows: 6, Sample: 10, Stale: 0.02, Gone: 1. / 1200, Each: 30, Refused: 0.05}
	rec, away := d.Record(r)
	s := results.Derive(rec)
	m := s.Rows[0].Metrics
	require.Positive(t, away)
	require.InEpsilon(t, 5*resultstest.ShareWork, float64(m[results.ConnectedThroughput].Value), 0.03)
	require.InDelta(t, 0.02, float64(m[results.StaleShare].Value), 0.005)
	require.InDelta(t, 0.01, float64(m[results.RefusedShare].Value), 0.004)
	require.Equal(t, 6, m[results.Throughput].N)
	require.InEpsilon(t, float64(m[results.Throughput].Value)/3000, float64(m[results.WorkPerEnergy].Value), 1e-9, "the same windows of the same run")
	require.InEpsilon(t, 1/float64(m[results.WorkPerEnergy].Low), float64(m[results.EnergyPerWork].High), 1e-9)
	require.Equal(t, results.Grade("A"), m[results.WorkPerEnergy].Grade)
	require.NotContains(t, m, results.CPUThroughput)
	codes := map[string]string{}
	for _, f := range s.Flags {
		codes[f.Code] = f.Text
	}
	require.Contains(t, codes["interrupted"], "lost its connection")
	require.NotContains(t, codes, "few-rounds")
	outcome := func(s results.Summary) map[string]results.Outcome {
		out := map[string]results.Outcome{}
		for _, f := range s.Validity.Findings {
			out[f.Rule] = f.Outcome
		}
		return out
	}
	require.Equal(t, results.NotApplicable, outcome(s)["idle"])
	require.Equal(t, results.Pass, outcome(s)["complete"])

	// A quiet one breaks no rule.
	d.Gone, d.Each = 0, 0
	rec, _ = d.Record(r)
	s = results.Derive(rec)
	require.Empty(t, s.Flags)
	delete(outcome(s), "interval")
	for rule, o := range outcome(s) {
		require.True(t, o != results.Fail || rule == "interval", rule) // the meter was read every 10 s
	}
	low, high := results.PoissonInterval(uint64(s.Rows[0].Metrics[results.ShareCount].Value))
	require.InEpsilon(t, low*resultstest.ShareWork/3600, float64(s.Rows[0].Metrics[results.Throughput].Low), 1e-9)
	require.InEpsilon(t, high*resultstest.ShareWork/3600, float64(s.Rows[0].Metrics[results.Throughput].High), 1e-9)

	// As many rounds as it took.
	rec.Plan.Rounds = 0
	require.Equal(t, results.Pass, outcome(results.Derive(rec))["complete"])
	// One whose shares did not come at an even rate is flagged, and is known
	// less well than it seems.
	swinging := resultstest.Device{Rate: 5, Window: 600, Windows: 6, Sample: 10, Swing: 0.5}
	rec, _ = swinging.Record(r)
	uneven := results.Derive(rec)
	require.Equal(t, "not-steady", uneven.Flags[0].Code)
	width := func(s results.Summary) float64 {
		m := s.Rows[0].Metrics[results.Throughput]
		return float64((m.High - m.Low) / m.Value)
	}
	require.Greater(t, width(uneven), 1.5*width(s))
	require.Equal(t, results.Fail, outcome(uneven)["steady"])

	// None at all is a rate of zero, and no efficiency.
	nothing, _ := resultstest.Device{Rate: 1e-9, Window: 600, Windows: 6, Sample: 10}.Record(r)
	m = results.Derive(nothing).Rows[0].Metrics
	require.Zero(t, m[results.Throughput].Value)
	require.InEpsilon(t, 3.6889*resultstest.ShareWork/3600, float64(m[results.Throughput].High), 1e-4)
	require.True(t, m[results.EnergyPerWork].Value.IsAbsent())
	_, err := results.Seal(nothing)
	require.NoError(t, err)
}

// A record is read from anywhere: figures that cannot be make no figure, and
// take no time.
func TestSharesOfHostileRecords(t *testing.T) {
	for _, work := range []results.Float{0, -1, results.Absent(), 1e-300, 1e300, 1e-9} {
		rec, _ := resultstest.Device{Rate: 5, Window: 600, Windows: 2, Sample: 10, Stale: 0.1}.Record(rand.New(rand.NewPCG(8, 8)))
		for i := range rec.Runs {
			rec.Runs[i].Uses[0].Shares.Work = work
		}
		rec.Summary = results.Derive(rec)
		_, err := results.Seal(rec)
		require.NoError(t, err, "%v", work)
	}
	low, high := results.PoissonInterval(1 << 53)
	require.InEpsilon(t, 1, (high-low)/2/(1.959964*math.Sqrt(1<<53)), 1e-6)
}
