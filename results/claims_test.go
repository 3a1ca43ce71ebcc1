package results

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestNothingRanksAClaim: outside of this package, what would put a claim in
// order or in the place of a figure does not compile, and what prints it does.
func TestNothingRanksAClaim(t *testing.T) {
	set := token.NewFileSet()
	entries, err := os.ReadDir(".")
	require.NoError(t, err)
	var files []*ast.File
	for _, e := range entries {
		if name := e.Name(); strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go") {
			f, err := parser.ParseFile(set, name, nil, parser.SkipObjectResolution)
			require.NoError(t, err)
			files = append(files, f)
		}
	}
	none := importing(func(string) (*types.Package, error) { return nil, errors.New("not needed") })
	conf := types.Config{IgnoreFuncBodies: true, Error: func(error) {}, Importer: none}
	self, _ := conf.Check("results", set, files, nil)
	compile := func(code string) error {
		f, err := parser.ParseFile(set, "", `package x; import "results"; func x(a, b results.SelfReported, f results.Float, m results.Figure, r results.ClaimRow) { `+code+` }`, 0)
		require.NoError(t, err)
		conf := types.Config{Importer: importing(func(string) (*types.Package, error) { return self, nil })}
		_, err = conf.Check("x", set, []*ast.File{f}, nil)
		return err
	}
	for _, good := range []string{"_ = a.Against(f)", "_ = a.Print(func(results.Float) string { return \"\" })", "_ = a.IsAbsent()", "_ = r.Rate.Against(m.Value)", "_ = m.Value < f"} {
		require.NoError(t, compile(good))
	}
	for _, bad := range []string{
		"_ = a < b", "_ = a >= b", "_ = a + b", "_ = a - b", "_ = a / b", "_ = -a", "a++", "_ = max(a, b)", "_ = min(a, b)", "_ = float64(a)", "_ = results.Float(a)", "f = a", "m.Value = a",
		"_ = results.Figure{Value: a}", "_ = a < f", "_ = r.Rate < r.Rate", "_ = m.Value < r.Power", "_ = a.number", "_ = a.float()", "_ = a == f",
	} {
		require.Error(t, compile(bad), bad)
	}
}

type importing func(path string) (*types.Package, error)

func (f importing) Import(path string) (*types.Package, error) { return f(path) }

func TestSaid(t *testing.T) {
	require.True(t, SelfReported{}.IsAbsent())
	for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		require.Equal(t, SelfReported{}, SelfReport(v))
	}
	require.Equal(t, Float(1.25), SelfReport(5).Against(4))
	for _, a := range []Float{SelfReport(5).Against(0), SelfReport(5).Against(-1), SelfReport(5).Against(Absent()), SelfReported{}.Against(4), SelfReport(1e308).Against(1e-9)} {
		require.True(t, a.IsAbsent())
	}
	var s SelfReported
	for text, want := range map[string]SelfReported{"null": {}, "1.5": SelfReport(1.5), "0": SelfReport(0)} {
		require.NoError(t, s.UnmarshalJSON([]byte(text)))
		require.Equal(t, want, s)
		b, err := s.MarshalJSON()
		require.NoError(t, err)
		require.Equal(t, text, string(b))
	}
	require.Error(t, s.UnmarshalJSON([]byte(`"1"`)))
}

const difficulty1 = 1 << 32

// says builds an answer.
func says(at float64, figures ...SelfReportedField) SelfReportedSample {
	return SelfReportedSample{T: Float(at), Figures: figures}
}

func figure(of, name string, v float64) SelfReportedField {
	return SelfReportedField{Of: of, Name: name, Value: SelfReport(v)}
}

func over(of, name string, v, s float64) SelfReportedField {
	return SelfReportedField{Of: of, Name: name, Value: SelfReport(v), Over: SelfReport(s)}
}

func draws(name string, v float64, o Origin) SelfReportedField {
	return SelfReportedField{Of: ReportedPower, Name: name, Value: SelfReport(v), Unit: Watt, Boundary: PSU, Origin: o}
}

// mined is a record of one run, 100 s from 50 to 150, in which rate hashes a
// second were measured.
func mined(rate float64, claims ...Claim) *Record {
	tr := Trace{Key: UseKey(TraceWork, "mining", CPUDevice), Unit: Hash, Kind: Counter}
	for s := 0.0; s <= 200; s += 10 {
		tr.T, tr.V = append(tr.T, Float(s)), append(tr.V, Float(rate*s))
	}
	return &Record{Plan: Plan{Scenarios: []string{"mining"}, Warmup: 40}, Runs: []Run{{
		Scenario: "mining", Round: 1, Status: OK, Uses: []Use{{Use: "mining", Device: CPUDevice, Unit: Hash, FlopPerCount: Absent()}},
		Phases: []Phase{{Name: PhaseWarmup, From: 0, To: 50}, {Name: PhaseMeasure, From: 50, To: 150}}, Traces: []Trace{tr}, Claims: claims,
	}}}
}

func TestClaims(t *testing.T) {
	type want struct {
		rate     float64
		from     string
		ratio    float64
		accepted float64
		counted  bool // whether the shares were
		watts    float64
		power    string
		flags    string
	}
	for name, c := range map[string]struct {
		use  string
		said []SelfReportedSample
		want want
	}{
		"a counter of hashes, whatever it did before": {"mining", []SelfReportedSample{
			says(0, figure(ReportedElapsed, "Elapsed", 1), figure(ReportedWork, "Total MH", 0)),
			says(50, figure(ReportedElapsed, "Elapsed", 51), figure(ReportedWork, "Total MH", 0), figure(ReportedAccepted, "Difficulty Accepted", 0), figure(ReportedShares, "Accepted", 0)),
			says(100, draws("Power", 3000, Measured)),
			says(150, figure(ReportedElapsed, "Elapsed", 151), figure(ReportedWork, "Total MH", 105e12), figure(ReportedAccepted, "Difficulty Accepted", 100e12), figure(ReportedShares, "Accepted", 400), draws("Power", 3200, Measured)),
		}, want{1.05e12, "Total MH: what it rose by in 100 s", 1.05, 100. / 105, true, 3100, "Power: the mean of 2 answers", ""}},
		"a mean since a start long ago is not of the window": {"mining", []SelfReportedSample{
			says(51, figure(ReportedElapsed, "Elapsed", 1000), over(ReportedRate, "GHS av", 2e12, 1000)),
			says(151, figure(ReportedElapsed, "Elapsed", 1100), over(ReportedRate, "GHS av", 1.9e12, 1100)),
		}, want{math.NaN(), "GHS av: not of this window but over 1000 s", math.NaN(), math.NaN(), false, math.NaN(), "", ""}},
		"averages over longer than the window": {"mining", []SelfReportedSample{
			says(60, over(ReportedRate, "1h", 9e12, 3600), over(ReportedRate, "10m", 8e12, 600), over(ReportedRate, "now", 1e12, 0), over(ReportedPower, "5min", 9000, 300), draws("now", 3000, Measured)),
			says(140, over(ReportedRate, "1h", 9e12, 3600), over(ReportedRate, "10m", 8e12, 600), over(ReportedRate, "now", 1.04e12, 0), over(ReportedPower, "5min", 9000, 300), draws("now", 3100, Measured)),
		}, want{1.02e12, "now: the mean of 2 answers", 1.02, math.NaN(), false, 3050, "now: the mean of 2 answers", ""}},
		// The answer at 80 s is half of what was before the window, that at 130 s
		// is not; and the minute's decays slower than the record is old.
		"an average within the window": {"mining", []SelfReportedSample{
			says(80, over(ReportedRate, "1m", 9e12, 60), over(ReportedRate, "40s", 9e12, 40), over(ReportedRate, "5s", 3e12, 5)),
			says(130, over(ReportedRate, "1m", 9e12, 60), over(ReportedRate, "40s", 1e12, 40), over(ReportedRate, "5s", 3e12, 5)),
		}, want{1e12, "40s: one answer", 1, math.NaN(), false, math.NaN(), "", ""}},
		"an average as long as the window": {"mining", []SelfReportedSample{
			says(149, over(ReportedRate, "100s", 9e12, 100), over(ReportedRate, "50s", 9.9e12, 50), over(ReportedRate, "49s", 1e12, 49)),
		}, want{1e12, "49s: one answer", 1, math.NaN(), false, math.NaN(), "", ""}},
		"the last answer lacks what the others have": {"mining", []SelfReportedSample{
			says(51, figure(ReportedElapsed, "up", 100), figure(ReportedWork, "total", 7e15), over(ReportedRate, "now", 3e12, 0)), says(121, figure(ReportedElapsed, "up", 170), figure(ReportedWork, "total", 7.07e15)), says(149, figure(ReportedElapsed, "up", 199)),
		}, want{1e12, "total: what it rose by in 70 s", 1, math.NaN(), false, math.NaN(), "", ""}},
		"an answer that lacks its rate": {"mining", []SelfReportedSample{
			says(60, over(ReportedRate, "now", 1e12, 0)), says(140, figure(ReportedElapsed, "up", 100)),
		}, want{1e12, "now: one answer", 1, math.NaN(), false, math.NaN(), "", ""}},
		"no share was accepted": {"mining", []SelfReportedSample{
			says(50, figure(ReportedWork, "total", 7e15), figure(ReportedAccepted, "a", 5e15), figure(ReportedShares, "n", 500)), says(150, figure(ReportedWork, "total", 7.1e15), figure(ReportedAccepted, "a", 5e15), figure(ReportedShares, "n", 500)),
		}, want{1e12, "total: what it rose by in 100 s", 1, math.NaN(), false, math.NaN(), "", ""}},
		"restarted": {"mining", []SelfReportedSample{
			says(50, figure(ReportedElapsed, "Elapsed", 1000), figure(ReportedWork, "Total MH", 50e12), over(ReportedRate, "GHS 5s", 1e12, 5), over(ReportedRate, "GHS av", 2e12, 1000)),
			says(150, figure(ReportedElapsed, "Elapsed", 60), figure(ReportedWork, "Total MH", 60e12), over(ReportedRate, "GHS 5s", 1.04e12, 5), over(ReportedRate, "GHS av", 1.1e12, 300)),
		}, want{1.02e12, "GHS 5s: the mean of 2 answers", 1.02, math.NaN(), false, math.NaN(), "", ""}},
		"its clock was set back some seconds": {"mining", []SelfReportedSample{
			says(50, figure(ReportedElapsed, "Elapsed", 1000), figure(ReportedWork, "Total MH", 1e15)), says(150, figure(ReportedElapsed, "Elapsed", 1096), figure(ReportedWork, "Total MH", 1.096e15)),
		}, want{1e12, "Total MH: what it rose by in 96 s", 1, math.NaN(), false, math.NaN(), "", ""}},
		"it counts every 30 s": {"mining", []SelfReportedSample{ // by its clock it counted for 90 s, by ours for 97
			says(51, figure(ReportedElapsed, "Elapsed", 1020), figure(ReportedWork, "Total MH", 1.02e15)), says(148, figure(ReportedElapsed, "Elapsed", 1110), figure(ReportedWork, "Total MH", 1.11e15)),
		}, want{1e12, "Total MH: what it rose by in 90 s", 1, math.NaN(), false, math.NaN(), "", ""}},
		"a count that stands still": {"mining", []SelfReportedSample{
			says(50, figure(ReportedElapsed, "Elapsed", 1000), figure(ReportedWork, "Total MH", 1e15), over(ReportedRate, "GHS 5s", 1e12, 5)), says(150, figure(ReportedElapsed, "Elapsed", 1100), figure(ReportedWork, "Total MH", 1e15), over(ReportedRate, "GHS 5s", 1e12, 5)),
		}, want{1e12, "GHS 5s: the mean of 2 answers", 1, math.NaN(), false, math.NaN(), "", ""}},
		"the same answer again": {"mining", []SelfReportedSample{
			says(50, figure(ReportedElapsed, "Elapsed", 1000), figure(ReportedWork, "Total MH", 1e15)), says(150, figure(ReportedElapsed, "Elapsed", 1000), figure(ReportedWork, "Total MH", 1e15)),
		}, want{math.NaN(), "", math.NaN(), math.NaN(), false, math.NaN(), "", ""}},
		"many shares and nothing else": {"mining", []SelfReportedSample{
			says(50, figure(ReportedElapsed, "Elapsed", 1000), over(ReportedRate, "MHS av", 9e12, 1000), figure(ReportedAccepted, "Difficulty Accepted", 5e15), figure(ReportedShares, "Accepted", 1000)),
			says(150, figure(ReportedElapsed, "Elapsed", 1100), over(ReportedRate, "MHS av", 9e12, 1100), figure(ReportedAccepted, "Difficulty Accepted", 5.1e15), figure(ReportedShares, "Accepted", 1500)),
		}, want{1e12, "its accepted shares: 500 in 100 s", 1, math.NaN(), false, math.NaN(), "", ""}},
		"few shares and nothing else": {"mining", []SelfReportedSample{
			says(50, figure(ReportedElapsed, "Elapsed", 1000), figure(ReportedAccepted, "Difficulty Accepted", 5e15), figure(ReportedShares, "Accepted", 1000)),
			says(150, figure(ReportedElapsed, "Elapsed", 1100), figure(ReportedAccepted, "Difficulty Accepted", 5.1e15), figure(ReportedShares, "Accepted", 1300)),
		}, want{math.NaN(), "", math.NaN(), math.NaN(), false, math.NaN(), "", ""}},
		"one answer": {"mining", []SelfReportedSample{
			says(90, figure(ReportedElapsed, "Elapsed", 1000), figure(ReportedRate, "HS RT", 1e12), over(ReportedRate, "MHS av", 2e12, 1000), figure(ReportedAccepted, "Difficulty Accepted", 950e12), figure(ReportedShares, "Accepted", 100), draws("Limit", 3500, Declared)),
		}, want{1e12, "HS RT: one answer", 1, math.NaN(), false, math.NaN(), "", ""}},
		"answers before and after the window alone": {"mining", []SelfReportedSample{
			says(49, over(ReportedRate, "now", 2e12, 0), draws("Power", 3000, Measured)), says(151, over(ReportedRate, "now", 2e12, 0), draws("Power", 3000, Measured)),
		}, want{math.NaN(), "", math.NaN(), math.NaN(), false, math.NaN(), "", ""}},
		"shares of one difficulty": {"mining", []SelfReportedSample{
			says(50, figure(ReportedElapsed, "up", 100), over(ReportedRate, "1h", 1e12, 3600), figure(ReportedDifficulty, "d", 1e12), figure(ReportedShares, "n", 500), figure(ReportedWork, "total", 7e15)),
			says(150, figure(ReportedElapsed, "up", 200), over(ReportedRate, "1h", 1e12, 3600), figure(ReportedDifficulty, "d", 1e12), figure(ReportedShares, "n", 598), figure(ReportedWork, "total", 7.1e15)),
		}, want{1e12, "total: what it rose by in 100 s", 1, 0.98, true, math.NaN(), "", ""}},
		"shares of difficulties that are not the same": {"mining", []SelfReportedSample{
			says(50, figure(ReportedElapsed, "up", 100), figure(ReportedDifficulty, "d", 1e12), figure(ReportedShares, "n", 500), figure(ReportedWork, "total", 7e15)),
			says(90, figure(ReportedElapsed, "up", 140), figure(ReportedDifficulty, "d", 2e12), figure(ReportedShares, "n", 520), figure(ReportedWork, "total", 7.04e15)),
			says(150, figure(ReportedElapsed, "up", 200), figure(ReportedDifficulty, "d", 1e12), figure(ReportedShares, "n", 598), figure(ReportedWork, "total", 7.1e15)),
		}, want{1e12, "total: what it rose by in 100 s", 1, math.NaN(), false, math.NaN(), "", ""}},
		"twice what is delivered": {"mining", []SelfReportedSample{
			says(50, figure(ReportedElapsed, "Elapsed", 50), figure(ReportedWork, "Total MH", 0)), says(150, figure(ReportedElapsed, "Elapsed", 150), figure(ReportedWork, "Total MH", 200e12)),
		}, want{2e12, "Total MH: what it rose by in 100 s", 2, math.NaN(), false, math.NaN(), "", "claim-differs"}},
		// As one recorded device has it: its shares stand for eight times its rate.
		"contradicts itself": {"", []SelfReportedSample{
			says(51, figure(ReportedElapsed, "Elapsed", 56000), figure(ReportedWork, "Total MH", 8e12*56000), figure(ReportedAccepted, "Difficulty Accepted", 830e6*difficulty1), figure(ReportedShares, "Accepted", 3310)),
			says(151, figure(ReportedElapsed, "Elapsed", 56100), figure(ReportedWork, "Total MH", 8e12*56100), figure(ReportedAccepted, "Difficulty Accepted", 830e6*difficulty1+6.4e15), figure(ReportedShares, "Accepted", 3390)),
		}, want{8e12, "Total MH: what it rose by in 100 s", math.NaN(), 8, true, math.NaN(), "", "claim-inconsistent"}},
		"few shares contradict nothing": {"", []SelfReportedSample{
			says(50, figure(ReportedElapsed, "Elapsed", 100), figure(ReportedWork, "Total MH", 1e14), figure(ReportedAccepted, "Difficulty Accepted", 50e12), figure(ReportedShares, "Accepted", 2)),
			says(150, figure(ReportedElapsed, "Elapsed", 200), figure(ReportedWork, "Total MH", 2e14), figure(ReportedAccepted, "Difficulty Accepted", 100e12), figure(ReportedShares, "Accepted", 4)),
		}, want{1e12, "Total MH: what it rose by in 100 s", math.NaN(), 0.5, true, math.NaN(), "", ""}},
		"silent": {"mining", []SelfReportedSample{
			says(60), says(80), says(100, over(ReportedRate, "GHS 5s", 1e12, 5)),
		}, want{1e12, "GHS 5s: one answer", 1, math.NaN(), false, math.NaN(), "", "claim-unread"}},
		"nothing at all": {"mining", nil, want{math.NaN(), "", math.NaN(), math.NaN(), false, math.NaN(), "", ""}},
		"another use":    {"training", []SelfReportedSample{says(100, over(ReportedRate, "GHS 5s", 1e12, 5))}, want{1e12, "GHS 5s: one answer", math.NaN(), math.NaN(), false, math.NaN(), "", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			s := Derive(mined(1e12, Claim{Device: "left", Use: c.use, API: "cgminer", Samples: c.said}))
			require.Len(t, s.Claims, 1)
			r, w := s.Claims[0], c.want
			same := func(want float64, got Float) {
				t.Helper()
				if math.IsNaN(want) {
					require.True(t, got.IsAbsent(), got)
				} else {
					require.InEpsilon(t, want, float64(got), 1e-9)
				}
			}
			require.Equal(t, "mining/1", r.Run)
			same(w.rate, r.Rate.float())
			same(w.ratio, r.Ratio)
			same(w.accepted, r.Accepted)
			same(w.watts, r.Power.float())
			same(w.watts/w.rate, r.EnergyPerWork.float())
			require.Equal(t, []string{w.from, w.power}, []string{r.RateFrom, r.PowerFrom})
			require.Equal(t, w.counted, r.Low < r.Accepted && r.Accepted < r.High)
			var flags []string
			for _, f := range s.Flags {
				if strings.HasPrefix(f.Code, "claim") {
					flags = append(flags, f.Code)
				}
			}
			require.Equal(t, w.flags, strings.Join(flags, " "))
		})
	}
}

// TestElapsed: whether what a device counted between two answers is of the time
// between them.
func TestElapsed(t *testing.T) {
	for name, c := range map[string]struct{ ours, a, b, want float64 }{
		"alike":                          {60, 1000, 1060, 60},
		"some seconds behind":            {60, 1000, 1056, 56},
		"some seconds ahead":             {60, 1000, 1065, 65},
		"a tenth, of a long time":        {600, 1000, 1550, 550},
		"no clock":                       {60, math.NaN(), 1060, 60},
		"a clock in steps":               {3, 1000, 1000, 3},
		"set back by some seconds":       {4, 1000, 999, 4},
		"started anew":                   {60, 1000, 50, math.NaN()},
		"started anew when it was young": {60, 20, 50, math.NaN()},
		"the same answer again":          {60, 1000, 1000, math.NaN()},
		"ten minutes in one":             {60, 1000, 1600, math.NaN()},
	} {
		a, b := says(100, figure(ReportedElapsed, "e", c.a)), says(100+c.ours, figure(ReportedElapsed, "e", c.b))
		got := elapsed(&a, &b)
		if math.IsNaN(c.want) {
			require.True(t, got.IsAbsent(), name)
		} else {
			require.Equal(t, Float(c.want), got, name)
		}
	}
}

// TestClaimsRankNothing: whatever devices say, the figures stay what they are.
func TestClaimsRankNothing(t *testing.T) {
	plain := Derive(mined(1e12))
	told := Derive(mined(1e12, Claim{Device: "x", Use: "mining", Samples: []SelfReportedSample{says(60, over(ReportedRate, "r", 9e18, 5), draws("p", 1, Measured), figure(ReportedTemperature, "t", 300))}}))
	require.NotEmpty(t, told.Claims)
	told.Claims = nil
	told.Flags = plain.Flags
	want, err := json.Marshal(plain)
	require.NoError(t, err)
	got, err := json.Marshal(told)
	require.NoError(t, err)
	require.Equal(t, string(want), string(got))
}

// TestClaimsAreInOrder: the answers of a device come one after another.
func TestClaimsAreInOrder(t *testing.T) {
	for _, said := range [][]SelfReportedSample{{says(1), says(1)}, {says(2), says(1)}, {says(math.NaN())}} {
		rec := mined(1, Claim{Samples: said})
		rec.Schema = SchemaVersion
		_, err := Seal(rec)
		require.ErrorContains(t, err, "/runs/0/claims/0/said/")
	}
}

// FuzzClaims: no answers of a device make a summary that cannot be written.
func FuzzClaims(f *testing.F) {
	f.Add(1e12, 1e14, 50.0, 3.0, 60.0, 1e12, 3000.0, uint8(7))
	f.Add(1e-300, 1e308, 1e-300, 1e308, 60.0, 1e308, 1e-308, uint8(127))
	f.Add(1e-300, 1e308, 1e300, 0.5, 1e6, -1e308, -1e308, uint8(85))
	f.Add(-1e308, -1e308, -1.0, -1.0, 60.0, -1.0, -1.0, uint8(0))
	f.Add(1e-300, 1e-300, 50.0, 1.5, 150.0, 1e308, 1e308, uint8(127))
	f.Add(1e-300, 1.0, 50.0, 1.5, 150.0, 1e308, 1e308, uint8(127))
	f.Fuzz(func(t *testing.T, rate, work, elapsed, shares, at, difficulty, watts float64, with uint8) {
		all := func(times float64) []SelfReportedField {
			return []SelfReportedField{figure(ReportedElapsed, "e", elapsed*times), figure(ReportedWork, "w", work*times), over(ReportedRate, "r", rate, elapsed*times), figure(ReportedShares, "s", shares*times),
				figure(ReportedDifficulty, "d", difficulty), draws("p", watts, Measured), figure(ReportedAccepted, "a", watts*times)}
		}
		var some []SelfReportedField
		for i, s := range all(1) {
			if with>>i&1 == 1 {
				some = append(some, s)
			}
		}
		rec := mined(1e12, Claim{Use: "mining", Samples: []SelfReportedSample{says(40, all(1)...), says(60, some...), says(max(60.5, min(1e6, at)), all(2)...)}})
		rec.Schema, rec.Summary, rec.State = SchemaVersion, Derive(rec), Complete
		_, err := Seal(rec)
		require.NoError(t, err)
	})
}

// TestClaimsVerify: a summary of claims is computed again from what devices
// said, and one that is not of that is found.
func TestClaimsVerify(t *testing.T) {
	rec := mined(1e12, Claim{Device: "left", Use: "mining", API: "cgminer", Samples: []SelfReportedSample{
		says(50, figure(ReportedElapsed, "Elapsed", 51), figure(ReportedWork, "Total MH", 0), draws("Power", 3000, Measured)),
		says(150, figure(ReportedElapsed, "Elapsed", 151), figure(ReportedWork, "Total MH", 105e12)),
	}})
	rec.Schema, rec.State = SchemaVersion, Complete
	for i, rate := range []float64{1.05e12, 0.95e12} {
		rec.Summary = Derive(rec)
		rec.Summary.Claims[0].Rate = SelfReport(rate)
		raw, err := Seal(rec)
		require.NoError(t, err)
		f, err := Load(bytes.NewReader(raw), "x")
		require.NoError(t, err)
		require.Empty(t, f.Verify())
		found := f.Check(Derive(f.Record))
		require.Len(t, found, i)
		if i > 0 {
			require.Equal(t, "/summary/claims/0/rate", found[0].At)
		}
	}
}
