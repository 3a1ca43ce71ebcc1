package economics

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const hoursHead = "time,price [$/MWh]\n"

func TestHours(t *testing.T) {
	h, err := ParseHours(strings.NewReader("# day ahead\n" + hoursHead + "2026-01-01T00:00:00Z,36\n2026-01-01T01:00:00Z,-3.6\n2026-01-01T02:00:00Z,0\n"))
	require.NoError(t, err)
	require.Equal(t, []float64{36 / 3.6e9, -3.6 / 3.6e9, 0}, h.Prices)
	require.Equal(t, time.Hour, h.Step)
	require.InEpsilon(t, 10.8/3.6e9, h.Mean(), 1e-12)
	require.Equal(t, "2026-01-01T03:00:00Z", h.End().Format(time.RFC3339))
	require.Len(t, h.Notes(), 1)
}

// On the days on which clocks change, local times with their offsets make 23
// and 25 hours, without a gap and without an hour that is there twice.
func TestHoursWhenClocksChange(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Skip("no time zones here: ", err)
	}
	for from, hours := range map[string]int{"2026-03-29": 23, "2026-10-25": 25} {
		start, err := time.ParseInLocation(time.DateOnly, from, berlin)
		require.NoError(t, err)
		var b strings.Builder
		b.WriteString(hoursHead)
		for at := start; at.Before(start.AddDate(0, 0, 1)); at = at.Add(time.Hour) {
			fmt.Fprintf(&b, "%s,%d\n", at.Format(time.RFC3339), at.Hour())
		}
		h, err := ParseHours(strings.NewReader(b.String()))
		require.NoError(t, err)
		require.Len(t, h.Prices, hours)
		require.Zero(t, h.Missing+h.Repeated+h.Unordered)
	}
}

func TestHoursGapsAndRepeats(t *testing.T) {
	h, err := ParseHours(strings.NewReader(hoursHead + "2026-01-01T06:00:00Z,4\n2026-01-01T00:00:00Z,1\n2026-01-01T00:15:00Z,2\n2026-01-01T01:15:00+01:00,2\n2026-01-01T01:00:00Z,3\n"))
	require.NoError(t, err)
	require.Equal(t, 15*time.Minute, h.Step)
	require.Equal(t, []float64{1 / MWh, 2 / MWh, 3 / MWh, 4 / MWh}, h.Prices, "a gap is not filled")
	require.Equal(t, []int{21, 1, 1}, []int{h.Missing, h.Repeated, h.Unordered})
	require.Equal(t, []Gap{{h.Start.Add(30 * time.Minute), 2}, {h.Start.Add(75 * time.Minute), 19}}, h.Gaps)
	require.Equal(t, "2026-01-01T06:15:00Z", h.End().Format(time.RFC3339))
	require.Equal(t, []string{
		"4 periods of 15 min from 2026-01-01 00:00 UTC to 2026-01-01 06:15 UTC",
		"21 periods missing and not filled, in 2 gaps: 2026-01-01 00:30 UTC (2), 2026-01-01 01:15 UTC (19)",
		"1 row repeated, counted once",
		"1 row out of order, sorted",
	}, h.Notes())
	p := Prices{Hours: h}
	require.Equal(t, "power-gaps", p.Warnings(day("2026-01-02"))[0].Code)
}

func TestHoursErrors(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"nothing", "", "write the header time,price [$/MWh]"},
		{"no unit", "time,price\n", `the header is "time,price": write the header`},
		{"other currency", "time,price [EUR/MWh]\n", "write the header"},
		{"local time", hoursHead + "2026-10-25 02:00,1\n", "line 2: time \"2026-10-25 02:00\": write 2026-01-31T14:00:00+01:00"},
		{"no offset", hoursHead + "2026-10-25T02:00:00,1\n", "ambiguous when clocks change"},
		{"decimal comma", hoursHead + "2026-10-25T02:00:00Z,1,5\n", "3 fields"},
		{"no number", hoursHead + "2026-10-25T02:00:00Z,-\n", `price "-": write a plain`},
		{"out of range", hoursHead + "2026-10-25T02:00:00Z,1e6\n", "must be from -1000 to 100000 $/MWh"},
		{"one period", hoursHead + "2026-10-25T02:00:00Z,1\n", "1 periods: give at least two"},
		{"two prices", hoursHead + "2026-10-25T02:00:00Z,1\n2026-10-25T02:00:00Z,2\n", "lines 2 and 3: two prices for 2026-10-25T02:00:00Z: if the clocks went back"},
		{"days", hoursHead + "2026-10-25T00:00:00Z,1\n2026-10-26T00:00:00Z,2\n", "24h0m0s apart"},
		{"off the step", hoursHead + "2026-10-25T00:00:00Z,1\n2026-10-25T01:00:00Z,2\n2026-10-25T02:30:00Z,2\n", "line 4: 2026-10-25T02:30:00Z is not on the step of 1h0m0s"},
		{"centuries", hoursHead + "1026-10-25T00:00:00Z,1\n1026-10-25T01:00:00Z,2\n1126-10-25T01:00:00Z,2\n", "give at most four years"},
		{"bad quotes", hoursHead + "2026-10-25T00:00:00Z,\"1\n", "line"},
	} {
		_, err := ParseHours(strings.NewReader(c.in))
		require.ErrorContains(t, err, c.want, c.name)
	}
}

func FuzzParseHours(f *testing.F) {
	f.Add([]byte(hoursHead + "2026-01-01T00:00:00Z,36\n2026-01-01T01:00:00Z,-3.6\n"))
	f.Add([]byte("time,price [$/kWh]\n2026-10-25T02:00:00+02:00,0.1\n2026-10-25T02:00:00+01:00,0.2\n2026-10-25T06:00:00+01:00,0.2\n"))
	f.Add([]byte(hoursHead + "0000-01-01T00:00:00Z,0\n9999-12-31T23:00:00Z,0\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		h, err := ParseHours(bytes.NewReader(in))
		if err != nil {
			require.Contains(t, err.Error(), "prices: ")
			return
		}
		require.GreaterOrEqual(t, len(h.Prices), 2)
		gaps := 0
		for _, g := range h.Gaps {
			gaps += g.Periods
		}
		require.Equal(t, h.Missing, gaps)
		require.LessOrEqual(t, len(h.Prices)+h.Missing, maxHours)
		require.Equal(t, time.Duration(len(h.Prices)+h.Missing)*h.Step, h.End().Sub(h.Start))
		s := curtailment(1/MWh, 0, h.Prices)
		require.GreaterOrEqual(t, s.Worth(), -1e-20)
	})
}
