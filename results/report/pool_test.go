package report

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/resultstest"
)

func mined(name string, rate float64) *results.Record {
	rec, _ := resultstest.Device{Name: name, Rate: rate, Window: 600, Windows: 6, Sample: 10, Stale: 0.02, Gone: 1. / 1200, Each: 30, Refused: 0.05}.Record(rand.New(rand.NewPCG(8, 1)))
	rec.Runs[5].Claims = []results.Claim{{Device: "bench", Use: "mining", API: "cgminer", Samples: []results.SelfReportedSample{
		{T: 3000, Figures: []results.SelfReportedField{{Of: results.ReportedRate, Name: "GHS av", Value: results.SelfReport(2 * rate * resultstest.ShareWork), Unit: "hash/s"}}},
		{T: 3590, Figures: []results.SelfReportedField{{Of: results.ReportedRate, Name: "GHS av", Value: results.SelfReport(2 * rate * resultstest.ShareWork), Unit: "hash/s"}}},
	}}}
	rec.Runs[5].Checks = []results.Check{{Use: "mining", Name: "luck-mean", OK: true}}
	rec.Summary = results.Derive(rec)
	return rec
}

func TestWritePool(t *testing.T) {
	good, bad := Miner{Name: "rig.1", Agent: "bmminer/2.0", State: "window 6"}, Miner{Name: "rig\x1b[31m.2", Agent: "evil\u202e/1", State: "window 6"}
	require.Equal(t, "no rate", good.Rate())
	good.Measured(mined("rig.1", 5))
	cheat := mined("rig.2", 5)
	for i := range cheat.Runs {
		cheat.Runs[i].Status = results.Void
	}
	cheat.Runs[5].Checks[0] = results.Check{Use: "mining", Name: "luck-mean", Detail: "its best shares\x1b[2J are missing"}
	cheat.Summary = results.Derive(cheat)
	bad.Measured(cheat)
	var out bytes.Buffer
	require.NoError(t, WritePool(&out, "pool 127.0.0.1:3333", []Miner{good, bad, {Name: "new", State: "trying difficulty 1024"}}, 0, Options{Width: 200}))
	text := out.String()
	for _, want := range []string{"pool 127.0.0.1:3333 · 3 workers", "rig.1", "bmminer/2.0", "TH/s", "stale, ", "refused (duplicate)", "yes", "NO", "3,000", "power, W", "wall", "measured", "J/TH",
		"“43.98 TH/s”", "of measured", "new", "trying difficulty 1024", "Invalid: these shares are not those of honest work", "luck-mean: its best shares"} {
		require.Contains(t, text, want)
	}
	for _, never := range []string{"\x1b", "\u202e"} {
		require.NotContains(t, text, never)
	}
	require.Contains(t, bad.Rate(), "INVALID: luck-mean")
	require.Contains(t, good.Rate(), "TH/s")
	out.Reset()
	require.NoError(t, WritePool(&out, "pool", []Miner{good, bad, {Name: "new"}}, 1, Options{}))
	require.Contains(t, out.String(), "2 more are not shown.")
	require.NotContains(t, out.String(), "trying")
	out.Reset()
	require.NoError(t, WritePool(&out, "pool", nil, 0, Options{}))
	require.Equal(t, "pool · 0 workers\n\n", out.String())
}

// A device of which some windows are not known has the figure of the others, and
// one without any has the reason.
func TestPoolUnknown(t *testing.T) {
	rec := mined("rig.1", 5)
	fail := func(n int) Miner {
		for i := range n {
			rec.Runs[i].Status, rec.Runs[i].Error = results.Failed, "from second 12: no share\x1b came for 60 s"
		}
		rec.Summary = results.Derive(rec)
		m := Miner{Name: "rig.1", State: "complete"}
		m.Measured(rec)
		return m
	}
	some := fail(2)
	require.False(t, some.lost)
	require.Contains(t, some.Rate(), "TH/s")
	require.Contains(t, some.Rate(), "; 2 of 6 windows are left out: from second 12: no share")
	all := fail(6)
	require.Contains(t, all.Rate(), "INVALID: no window is known: from second 12: no share")
	require.NotContains(t, all.Rate(), "TH/s")
	for _, m := range []Miner{some, all} {
		require.Empty(t, m.dishonest, "it is not called a cheat")
		var out bytes.Buffer
		require.NoError(t, WritePool(&out, "pool", []Miner{m}, 0, Options{Width: 200}))
		require.Contains(t, out.String(), "Unknown: what these miners did in the windows that are left out")
		require.Contains(t, out.String(), "no share")
		require.NotContains(t, out.String(), "\x1b")
	}
}

// The record of a device is printed as a server's is, with what its shares say.
func TestRecordOfADevice(t *testing.T) {
	rec := mined("rig.1", 5)
	for _, f := range []Format{Text, Markdown} {
		var out bytes.Buffer
		require.NoError(t, Write(&out, f, rec, Options{Width: 200}))
		for _, want := range []string{"rig.1", "Simulated ASIC", "Shares: proofs of work", "while connected", "sim/1", "interrupted", "What devices say of themselves", "J/TH"} {
			require.Contains(t, out.String(), want, f)
		}
		require.NotContains(t, out.String(), "0 threads")
	}
	require.NotEmpty(t, rendered(t, pageOf(t, []*results.Record{rec})))
	for _, f := range []Format{CSV, Bench} {
		var out bytes.Buffer
		require.NoError(t, Write(&out, f, rec, Options{}))
		require.Contains(t, out.String(), map[Format]string{CSV: "connected_throughput", Bench: "BenchmarkMining"}[f])
	}
	// One of open length that was ended as it should is whole.
	rec.Plan.Rounds = 0
	_, whole := state(rec)
	require.True(t, whole)
	require.Contains(t, title(rec), "pool: 6 rounds × 600 s")
}
