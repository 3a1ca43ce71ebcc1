package results

import (
	"bytes"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"
)

var recorded = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

func float(f float64) *Float { x := Float(f); return &x }

// tape returns a recording of a wall meter with the readings at the given seconds.
func tape(t testing.TB, lines ...RecordingLine) []byte {
	t.Helper()
	lines = append([]RecordingLine{
		{At: recorded, Begin: &RecordingBegin{Version: 1, Host: "admin", Interval: 1, Meters: []string{"snmp:pdu"}}},
		{At: recorded, Open: &Meter{Name: "pdu", Source: "pdu", Period: Absent(), Channels: []Channel{{Name: "3", Unit: Watt, Kind: Gauge, Boundary: Wall, Total: Wall, Origin: Measured, Accuracy: Accuracy{Gain: 0.01, Resolution: 0.1}}}}},
	}, lines...)
	var out []byte
	for _, l := range lines {
		var err error
		out, err = l.AppendTo(out)
		require.NoError(t, err)
	}
	return out
}

func reading(at float64, watts float64) RecordingLine {
	return RecordingLine{At: recorded.Add(time.Duration(at * 1e9)), Meter: "pdu", Channel: "3", Value: float(watts), Slack: float(0.01)}
}

func scan(raw []byte, from, to time.Time) (out []RecordingLine, err error) {
	err = ScanRecording(bytes.NewReader(raw), from, to, func(l *RecordingLine) error {
		out = append(out, *l)
		return nil
	})
	return out, err
}

func TestRecordingRoundTrip(t *testing.T) {
	want := []RecordingLine{
		{At: recorded, ClockError: float(0.02)}, reading(1, 300), reading(2.5, 301),
		{At: recorded.Add(3 * time.Second), Meter: "pdu", Error: "no answer within 5s"},
		{At: recorded.Add(4 * time.Second), Step: float(-1.5)}, reading(5, 302),
	}
	raw := tape(t, want...)
	got, err := scan(raw, recorded, recorded.Add(time.Hour))
	require.NoError(t, err)
	require.Equal(t, want, got[2:])

	got, err = scan(raw, recorded.Add(2*time.Second), recorded.Add(4*time.Second))
	require.NoError(t, err)
	require.Equal(t, []RecordingLine{want[0], want[2], want[3], want[4]}, got[2:], "readings elsewhen are left out, all else is not")

	got, err = scan(append(raw, `{"at":"2026-11-30T12:00:06Z","me`...), recorded, recorded.Add(time.Hour))
	require.NoError(t, err, "the last line is being written")
	require.Equal(t, want, got[2:])
}

// A line of the greatest length that comes byte by byte is read in a time that grows with
// its length, not with the square of it, which would be hours; one that is longer is refused.
func TestRecordingByteByByte(t *testing.T) {
	long := RecordingLine{At: recorded, Meter: "pdu", Error: strings.Repeat("x", mostRecordingLine-100)}
	got := 0
	err := ScanRecording(iotest.OneByteReader(bytes.NewReader(tape(t, long, reading(1, 300)))), recorded, recorded.Add(time.Hour), func(l *RecordingLine) error {
		got += len(l.Error)
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, mostRecordingLine-100, got)
	long.Error += strings.Repeat("x", 100)
	_, err = scan(tape(t, long), recorded, recorded.Add(time.Hour))
	require.ErrorContains(t, err, "line 3 is longer than 4 MiB")
}

// What is no recording, or says what no meter can, is refused with the line.
func TestRecordingRefused(t *testing.T) {
	open := func(unit, kind, period, gain string) string {
		return `{"at":"2026-11-30T12:00:06Z","open":{"name":"x","source":"","period":` + period + `,"channels":[{"name":"3","unit":"` + unit + `","kind":"` + kind +
			`","boundary":"wall","origin":"measured","accuracy":{"gain":` + gain + `,"offset":0,"resolution":0}}]}}`
	}
	for _, c := range []struct{ line, want string }{
		{`{`, "line 3"},
		{`{"at":"2026-11-30T12:00:06Z"}`, "one of begin, open"},
		{`{"at":"2026-11-30T12:00:06Z","meter":"other","channel":"3","value":1}`, "meter other was not opened"},
		{`{"at":"2026-11-30T12:00:06Z","meter":"pdu","channel":"4","value":1}`, "no channel 4"},
		{`{"at":"2026-11-30T12:00:06Z","meter":"pdu","channel":"3"}`, "either a value or an error"},
		{`{"at":"2026-11-30T12:00:06Z","meter":"pdu","channel":"3","value":1,"error":"x"}`, "either a value or an error"},
		{`{"at":"2026-11-30T12:00:06Z","meter":"pdu","channel":"3","value":null}`, "null is no value"},
		{`{"at":"2026-11-30T12:00:06Z","meter":"pdu","channel":"3","value":1e999}`, "/value"},
		{`{"at":"2026-11-30T12:00:06Z","meter":"pdu","channel":"3","value":1,"slack":-1}`, "slack"},
		{`{"at":"2026-11-30T12:00:06Z","meter":"pdu","value":1}`, "without a channel"},
		{`{"at":"yesterday","meter":"pdu","channel":"3","value":1}`, "no time"},
		{`{"at":"2026-11-30T12:00:06Z","step":null}`, "null is no time"},
		{`{"at":"2026-11-30T12:00:06Z","clock_error":-1}`, "below 0"},
		{`{"at":"2026-11-30T12:00:06Z","begin":{"version":2,"host":"a","tool":{"name":"","version":"","go":""},"interval":1,"meters":[]}}`, "version 2"},
		{`{"at":"2026-11-30T12:00:06Z","open":{"name":"x","source":"","period":null,"channels":[]}}`, "without a name or a channel"},
		{`{"at":"2026-11-30T12:00:06Z","open":{"name":"x","source":"","period":null,"channels":[{"name":"3","unit":"W","kind":"gauge","boundary":"moon","origin":"measured","accuracy":{"gain":0,"offset":0,"resolution":0}}]}}`, "moon"},
		{`{"at":"2026-11-30T12:00:06Z","open":{"name":"x","source":"","period":null,"channels":[{"name":"3","unit":"W","kind":"gauge","boundary":"wall","origin":"measured","accuracy":{"offset":0,"resolution":0}}]}}`, "missing"},
		{open("J", "gauge", "null", "0.01"), "channel 3 of meter x is a gauge in J, and must be in W"},
		{open("H", "gauge", "null", "0.01"), "in H, and must be in W"},
		{open("W", "counter", "null", "0.01"), "is a counter in W, and must be in J"},
		{open("W", "gauge", "null", "-0.01"), "an accuracy, a least or a most power below 0"},
		{open("W", "gauge", "1e300", "0.01"), "period of 1e+300 s is not from 0 to a day"},
		{open("W", "gauge", "-1", "0.01"), "period of -1 s"},
	} {
		_, err := scan(append(tape(t), c.line+"\n"...), recorded, recorded.Add(time.Hour))
		require.ErrorContains(t, err, c.want, c.line)
		require.ErrorContains(t, err, "line 3", c.line)
	}
	_, err := scan([]byte("{\"schema\":2}\n"), recorded, recorded)
	require.Error(t, err)
	_, err = scan([]byte(`{"at":"2026-11-30T12:00:06Z","step":1}`+"\n"), recorded, recorded)
	require.ErrorContains(t, err, "does not begin as a recording does")
	_, err = scan(nil, recorded, recorded)
	require.ErrorContains(t, err, "nothing was recorded")
	_, err = scan(append(tape(t), strings.Repeat("x", mostRecordingLine+1)...), recorded, recorded)
	require.ErrorContains(t, err, "line 3 is longer than 4 MiB")
}

func FuzzRecording(f *testing.F) {
	f.Add(tape(f, reading(1, 300), RecordingLine{At: recorded, Meter: "pdu", Error: "x"}))
	f.Fuzz(func(t *testing.T, raw []byte) {
		lines, err := scan(raw, recorded, recorded.Add(time.Hour))
		if err != nil {
			return
		}
		for _, l := range lines { // what is read can be written, and reads the same
			text, err := l.AppendTo(nil)
			require.NoError(t, err)
			require.Equal(t, 1, bytes.Count(text, []byte("\n")))
		}
	})
}

// The rate at which a recording of a day is passed over.
func BenchmarkRecordingElsewhen(b *testing.B) {
	raw := tape(b)
	for i := range 10_000 {
		line := reading(float64(i)/10, 300+float64(i%7))
		raw, _ = line.AppendTo(raw)
	}
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		if _, err := scan(raw, recorded.Add(time.Hour), recorded.Add(2*time.Hour)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(raw))/10_000, "B/reading")
}
