package results_test

import (
	"bytes"
	"math"
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
	window := func(l results.RecordingLine) (second float64, in bool) { // of the third run's
		second = l.At.Sub(at(2, 0)).Seconds()
		return second, second > 0 && second < 60
	}
	each := func(change func(second float64, l *results.RecordingLine)) []results.RecordingLine {
		out := slices.Clone(lines)
		for i := range out {
			if second, in := window(out[i]); in {
				change(second, &out[i])
			}
		}
		return out
	}
	reads := func(from, to, watts float64) []results.RecordingLine { // instead of what it read then
		return each(func(second float64, l *results.RecordingLine) {
			if v := results.Float(watts); second > from && second < to {
				l.Value = &v
			}
		})
	}
	silent := func(from, to float64) []results.RecordingLine {
		return slices.DeleteFunc(slices.Clone(lines), func(l results.RecordingLine) bool {
			second, _ := window(l)
			return second > from && second < to
		})
	}
	twice := func(more results.Float) (out []results.RecordingLine) {
		for _, l := range lines {
			out = append(out, l)
			if v := *l.Value + more; l.At.Before(at(2, 30)) && l.At.After(at(2, 29)) || more == 0 {
				l.Value = &v
				out = append(out, l)
			}
		}
		return out
	}
	zones := slices.Clone(lines)
	for i := range zones { // as a host writes them that changes to daylight saving time
		zones[i].At = zones[i].At.In(time.FixedZone("", 3600*(i/100%2)))
	}
	backward := slices.Clone(lines)
	slices.Reverse(backward)
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
		{"silent for 4 s", silent(30, 33.5), 0},
		{"silent for half of the window", silent(20, 50), 1},
		{"silent for all of the window", silent(-1, 61), 1},
		{"a value below 0", reads(30, 31, -241), 1},
		{"0 W", reads(30, 31, 0), 1},
		{"kilowatts", reads(30, 33, 0.24), 1},
		{"milliwatts", reads(30, 33, 241e3), 1},
		{"a register of ones", reads(30, 31, 4294967295), 1},
		{"1e300 W", reads(30, 31, 1e300), 1},
		{"each reading twice", twice(0), 0},
		{"two values of one time", twice(20), 1},
		{"from the last to the first", backward, 0},
		{"in two zones", zones, 0},
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
			if len(c.lines) >= len(lines) {
				require.InDelta(t, float64(rec.Summary.Rows[1].Metrics[results.Power].Value), float64(got.Summary.Rows[1].Metrics[results.Power].Value), 1e-3, c.name)
			}
		} else {
			require.Positive(t, lost, c.name)
			require.LessOrEqual(t, lost, 2, c.name) // a mullet has two uses
		}
		_, err = results.Seal(got)
		require.NoError(t, err, c.name)
	}
}

// A counter that falls within a window, rises faster than anything draws or goes below 0
// loses that window and no other. A silence costs nothing: the counter went on.
func TestJoinKeepsGapsOfCounters(t *testing.T) {
	rec := resultstest.Session(resultstest.Server("n1", 1), 1, 1, 7)
	bare, lines := apart(rec, 0)
	sum, last := 1e6, lines[0].At
	for i := range lines {
		sum += float64(*lines[i].Value) * lines[i].At.Sub(last).Seconds()
		v := results.Float(sum)
		lines[i].Value, last = &v, lines[i].At
	}
	p, _ := rec.Runs[2].Phase(results.PhaseMeasure)
	middle := rec.Runs[2].Anchor.UTC.Add((p.From + 30 - rec.Runs[2].Anchor.T).Duration())
	for _, c := range []struct {
		name string
		raw  func(joules float64) float64 // from the middle of the window on
		lost string
	}{
		{"as it is", func(j float64) float64 { return j }, ""},
		{"silent", func(float64) float64 { return math.NaN() }, ""},
		{"a restart of the controller", func(j float64) float64 { return j - 1e6 }, "fell from"},
		{"a register of ones", func(j float64) float64 { return j + 281474976710655 }, "more than 50000 W allow"},
		{"below 0", func(j float64) float64 { return -j }, "below 0"},
	} {
		f := feed(rec, nil, 0, 0.01)
		f.Meter.Channels = slices.Clone(f.Meter.Channels)
		f.Meter.Channels[0].Kind, f.Meter.Channels[0].Unit, f.Meter.Channels[0].Accuracy.Resolution = results.Counter, results.Joule, 1
		for _, l := range lines {
			if after := l.At.Sub(middle).Seconds(); after > 0 {
				v := results.Float(c.raw(float64(*l.Value)))
				if v.IsAbsent() && after < 20 {
					continue
				}
				if !v.IsAbsent() {
					l.Value = &v
				}
			}
			f.Lines = append(f.Lines, l)
		}
		got, err := results.Join(t.Context(), bare, joined, []results.Feed{f})
		require.NoError(t, err, c.name)
		for i, w := range got.Summary.Windows() {
			if c.lost != "" && (i == 2 || c.name == "below 0" && i > 2) {
				require.True(t, w.Energy.IsAbsent(), c.name)
				continue
			}
			require.InEpsilon(t, float64(rec.Summary.Windows()[i].Energy), float64(w.Energy), 0.02, "%s: window %d", c.name, i)
		}
		why := ""
		for _, w := range got.Summary.Flags {
			if w.Code == "energy-gap" {
				why += w.Text
			}
		}
		require.Contains(t, why, c.lost, c.name)
		require.Equal(t, c.lost == "", why == "", c.name)
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

// TestJoinBelievesWhatTheSpecSays: a meter of a node or of a rack may read as much as its spec
// said when it was opened, as in place, and no more.
func TestJoinBelievesWhatTheSpecSays(t *testing.T) {
	for _, c := range []struct {
		most  results.Float // of the spec; 0 for none
		nodes int
		watts float64
		lost  bool
	}{
		{0, 1, 60_000, true}, {80_000, 1, 60_000, false}, {80_000, 1, 90_000, true},
		{0, 2, 60_000, false}, {55_000, 2, 60_000, true},
	} {
		rec := resultstest.Session(resultstest.Server("n1", 1), 1, 1, 7)
		bare, lines := apart(rec, 0)
		for i := range lines {
			lines[i].Value = new(results.Float(c.watts + float64(i%7)))
		}
		f := feed(rec, lines, 0, 0.01)
		f.Nodes, f.Meter.Channels = c.nodes, slices.Clone(f.Meter.Channels)
		if c.most > 0 {
			f.Meter.Channels[0].Most = &c.most
		}
		got, err := results.Join(t.Context(), bare, joined, []results.Feed{f})
		require.NoError(t, err)
		for _, w := range got.Summary.Windows() {
			require.Equal(t, c.lost, w.Energy.IsAbsent(), "%+v", c)
		}
	}
}
