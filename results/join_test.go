package results_test

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/resultstest"
)

const joined = "01J8ZQ00000000000000000JYN"

// apart takes the meters out of a record and returns their readings as a host records them
// whose clock is ahead by so many seconds.
func apart(rec *results.Record, ahead float64) (*results.Record, []results.RecordingLine) {
	out := *rec
	out.Meters, out.Runs = nil, slices.Clone(rec.Runs)
	var lines []results.RecordingLine
	for i := range out.Runs {
		r := &out.Runs[i]
		var kept []results.Trace
		for _, tr := range r.Traces {
			if tr.Key.Kind != results.TraceMeter {
				kept = append(kept, tr)
				continue
			}
			for k, t := range tr.T {
				at := r.Anchor.UTC.Add(time.Duration((float64(t-r.Anchor.T) + ahead) * 1e9)).Round(time.Microsecond)
				slack := results.Float(0.004)
				lines = append(lines, results.RecordingLine{At: at, Meter: tr.Key.Meter, Channel: tr.Key.Channel, Value: &tr.V[k], Slack: &slack})
			}
		}
		r.Traces = kept
	}
	out.Summary = results.Derive(&out)
	return &out, lines
}

func feed(rec *results.Record, lines []results.RecordingLine, offset, within float64) results.Feed {
	return results.Feed{Meter: rec.Meters[0], Lines: lines, Margin: 5,
		Recording: results.Recording{File: "00", Host: "admin", Offset: results.Float(offset), Within: results.Float(within), Known: "test"}}
}

// A meter that another host recorded gives the figures, the boundary and the grade of the
// same meter read in place, whatever its clock, if the offset is known.
func TestJoinGivesWhatAMeterInPlaceGives(t *testing.T) {
	for _, ahead := range []float64{0, 60.5, -3600} {
		rec := resultstest.Session(resultstest.Server("n1", 1), 1, 3, 7)
		bare, lines := apart(rec, ahead)
		require.True(t, bare.Summary.Rows[0].Metrics[results.Power].Value.IsAbsent())
		before, err := results.Seal(bare)
		require.NoError(t, err)
		got, err := results.Join(t.Context(), bare, joined, []results.Feed{feed(rec, lines, ahead, 0.02)})
		require.NoError(t, err)
		require.Equal(t, joined, got.ID)
		require.Equal(t, rec.ID, got.From)
		require.Equal(t, results.Float(0.02), got.Meters[0].Recordings[0].Within)
		require.Len(t, got.Summary.Rows, len(rec.Summary.Rows))
		for i, row := range rec.Summary.Rows {
			for name, want := range row.Metrics {
				have := got.Summary.Rows[i].Metrics[name]
				require.Equal(t, want.Boundary, have.Boundary, name)
				require.Equal(t, want.Origin, have.Origin, name)
				require.Equal(t, want.Grade, have.Grade, "%s %s", row.Use, name)
				if want.Value.IsAbsent() {
					require.True(t, have.Value.IsAbsent(), name)
					continue
				}
				require.InEpsilon(t, float64(want.Value), float64(have.Value), 2e-6, "%s %s", row.Use, name)
			}
		}
		again, err := results.Seal(bare)
		require.NoError(t, err)
		require.Equal(t, before, again, "the record itself is not changed")

		raw, err := results.Seal(got)
		require.NoError(t, err)
		file, err := results.Load(bytes.NewReader(raw), "joined")
		require.NoError(t, err)
		require.Empty(t, file.Verify())
		require.Empty(t, file.Check(results.Derive(file.Record)))
	}
}

// The half-width of the offset widens the budget: by what the power of a counter may move
// within it, and by the slope at the edges of a window for a gauge.
func TestJoinBudgetHasTheClocks(t *testing.T) {
	rec := resultstest.Session(resultstest.Server("n1", 1), 1, 3, 7)
	bare, lines := apart(rec, 0)
	timing := func(within float64) float64 {
		got, err := results.Join(t.Context(), bare, joined, []results.Feed{feed(rec, lines, 0, within)})
		require.NoError(t, err)
		for _, row := range got.Summary.Rows {
			if row.Use == "mining" && row.Scenario == "mining" {
				for _, term := range row.Metrics[results.Power].Budget.Terms {
					if term.Name == results.Timing {
						return float64(term.HalfWidth)
					}
				}
			}
		}
		t.Fatal("no term")
		return 0
	}
	exact, second, far := timing(0), timing(3), timing(35)
	require.Greater(t, second, 2*exact, "%g s of uncertain time", second)
	// 35 s before the window the node still idled: the energy may be off by that much.
	idle, busy := 92.0, 241.0
	require.Greater(t, far, 35*(busy-idle)/(busy*60))
}

// A window without readings on both sides, with a gap, or over a clock that was set has no
// watts; all others keep theirs.
func TestJoinKeepsGaps(t *testing.T) {
	rec := resultstest.Session(resultstest.Server("n1", 1), 1, 3, 7)
	bare, lines := apart(rec, 0)
	at := func(run int, second float64) time.Time { // of a window, which lasts 60 s
		p, _ := rec.Runs[run].Phase(results.PhaseMeasure)
		return rec.Runs[run].Anchor.UTC.Add(time.Duration((float64(p.From-rec.Runs[run].Anchor.T) + second) * 1e9))
	}
	place := func(extra results.RecordingLine) []results.RecordingLine {
		out := append(slices.Clone(lines), extra)
		slices.SortStableFunc(out, func(a, b results.RecordingLine) int { return a.At.Compare(b.At) })
		return out
	}
	step := results.Float(-40)
	for _, c := range []struct {
		name  string
		lines []results.RecordingLine
		lost  int
	}{
		{"all", lines, 0},
		{"an error", place(results.RecordingLine{At: at(2, 30), Meter: "snmp", Error: "no answer within 5s"}), 1},
		{"an error of another channel", place(results.RecordingLine{At: at(2, 30), Meter: "snmp", Channel: "outlet4-power", Error: "no answer"}), 0},
		{"a restart", place(results.RecordingLine{At: at(2, 30), Begin: &results.RecordingBegin{}}), 1},
		{"opened again", place(results.RecordingLine{At: at(2, 30), Open: &rec.Meters[0]}), 1},
		{"set back", place(results.RecordingLine{At: at(2, 30), Step: &step}), 1},
		{"begun too late", slices.DeleteFunc(slices.Clone(lines), func(l results.RecordingLine) bool { return l.At.Before(at(0, 1)) }), 1},
		{"ended too early", slices.DeleteFunc(slices.Clone(lines), func(l results.RecordingLine) bool { return l.At.After(at(14, 59)) }), 1},
	} {
		got, err := results.Join(t.Context(), bare, joined, []results.Feed{feed(rec, c.lines, 0, 0.01)})
		require.NoError(t, err, c.name)
		lost := 0
		for _, w := range got.Summary.Windows() {
			if w.Energy.IsAbsent() {
				lost++
			}
		}
		if c.lost == 0 {
			require.Zero(t, lost, c.name)
		} else {
			require.Positive(t, lost, c.name)
			require.LessOrEqual(t, lost, 2, c.name) // a mullet has two uses
		}
		_, err = results.Seal(got)
		require.NoError(t, err, c.name)
	}
}

// Two feeds of a node add up, and a feed of another boundary stands beside them.
func TestJoinAddsUpFeeds(t *testing.T) {
	rec := resultstest.Session(resultstest.Server("n1", 1), 1, 3, 7)
	bare, lines := apart(rec, 0)
	half := func(name string) results.Feed {
		f := feed(rec, nil, 0, 0)
		f.Meter.Name = name
		for _, l := range lines {
			v := *l.Value / 2
			l.Meter, l.Value = name, &v
			f.Lines = append(f.Lines, l)
		}
		return f
	}
	bmc := half("bmc")
	bmc.Meter.Channels = slices.Clone(bmc.Meter.Channels)
	bmc.Meter.Channels[0].Boundary, bmc.Meter.Channels[0].Total = results.Chassis, results.Chassis
	got, err := results.Join(t.Context(), bare, joined, []results.Feed{half("pdu-a"), bmc, half("pdu-b")})
	require.NoError(t, err)
	require.Len(t, got.Meters, 2)
	require.Equal(t, "pdu-a+pdu-b", got.Meters[0].Name)
	require.Equal(t, "pdu-a+pdu-b", got.Summary.PrimaryMeter.Meter)
	require.Equal(t, []string{"1-pdu-a-outlet3-power", "2-pdu-b-outlet3-power"}, got.Summary.PrimaryMeter.Channels)
	for i, row := range rec.Summary.Rows {
		require.InEpsilon(t, float64(row.Metrics[results.Power].Value), float64(got.Summary.Rows[i].Metrics[results.Power].Value), 1e-6)
	}

	// Where one feed is missing, the sum is, too.
	a, b := half("pdu-a"), half("pdu-b")
	b.Lines = nil
	got, err = results.Join(t.Context(), bare, joined, []results.Feed{a, b})
	require.NoError(t, err)
	require.True(t, got.Summary.Rows[0].Metrics[results.Power].Value.IsAbsent())
}
