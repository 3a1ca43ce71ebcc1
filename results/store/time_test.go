package store

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// One instant as people and tools write it: RFCs, date in several locales, git
// in its formats, logs, file names, JavaScript, Go.
func TestParseTime(t *testing.T) {
	want := time.Date(2026, 5, 1, 2, 0, 0, 0, time.UTC)
	for _, s := range []string{
		"2026-05-01T02:00:00Z", "2026-05-01t02:00:00z", "2026-05-01T04:00:00+02:00", "2026-05-01T04:00:00+0200", "2026-05-01T04:00:00+02", "2026-05-01T02:00Z", "2026-05-01T02:00",
		"2026-04-30T22:00:00-04:00", "2026-04-30T18:30:00-0730", "2026-05-01T02:00:00.000Z", "2026-05-01T02:00:00,000000000+00:00", "2026-05-01T04:00:00+02:00[Europe/Berlin]",
		"2026-05-01 02:00:00", "2026-05-01 02:00", "2026-05-01 02:00:00Z", "2026-05-01 02:00:00 UTC", "2026-05-01 04:00:00 +0200", "2026-05-01 04:00:00+02:00", "2026-05-01 02:00:00 +0000 UTC",
		"2026-05-01 04:00:00 +0200 CEST m=+0.000012", "2026/05/01 02:00:00", "2026-5-1 2:00:00", "2026-05-01_02:00:00", "2026-05-01_02-00-00", "2026-05-01T02-00-00Z", "2026-05-01 2:00 AM",
		"Fri May  1 02:00:00 UTC 2026", "Fri  1 May 02:00:00 UTC 2026", "Fri May 1 04:00:00 CEST 2026", "Thu Apr 30 22:00:00 EDT 2026", "Fri May  1 02:00:00 AM UTC 2026", "Fri 01 May 2026 02:00:00 AM UTC", "Fri May  1 02:00:00 2026",
		"Fri May  1 10:00:00 +08 2026", "Fri May  1 07:30:00 +0530 2026", "2026-05-01 04:00:00 UTC+2", "2026-05-01 04:00:00 GMT+02",
		"Fri May 1 04:00:00 2026 +0200", "Fri, 1 May 2026 04:00:00 +0200", "Fri, 01 May 2026 02:00:00 +0000 (UTC)", "Fri, 01 May 2026 02:00:00 GMT", "Fri, 01 May 2026 02:00:00 UTC", "1 May 2026 02:00:00 +0000",
		"Friday, 01-May-26 02:00:00 UTC", "01 May 26 02:00 UTC", "May 1, 2026 02:00:00", "May 1 2026 2:00 AM", "Friday, May 1, 2026 2:00:00 AM", "Fri May 01 2026 04:00:00 GMT+0200 (Central European Summer Time)",
		"20260501T020000Z", "20260501T040000+0200", "20260501T020000", "20260501-020000", "20260501_020000", "20260501T0200Z", "20260501020000", "202605010200", "2026050102",
		"1777600800", "@1777600800", "1777600800.000", "1777600800 +0200", "1777600800000", "1777600800000000", "1777600800000000000", ` "2026-05-01T02:00:00Z" `,
	} {
		got, err := ParseTime(s)
		require.NoError(t, err, s)
		require.Equal(t, want, got, s)
	}
	for _, s := range []string{"2026-05-01", "20260501", "2026/5/1", "2026.05.01", "1 May 2026", "Fri, 1 May 2026", "May 1, 2026", "1-May-2026"} {
		got, err := ParseTime(s)
		require.NoError(t, err, s)
		require.Equal(t, want.Truncate(24*time.Hour), got, s)
	}
	got, err := ParseTime("1777600800.25")
	require.NoError(t, err)
	require.Equal(t, want.Add(250*time.Millisecond), got)
	for _, s := range []string{
		"", "yesterday", "12ms elapsed", "12", "12:30", "2026", "2026-05", "05/01/2026", "01.05.2026", "2026-13-01", "2026-05-32", "Fri May  1 02:00:00 CST 2026", "Fri May  1 02:00:00 IST 2026",
		"2026-05-01 02:00:00 XYZ", "2026-05-01T25:00:00Z", "12345678", "99999999999999", "1969-12-31", "10000-01-01", "2026-05-01T02:00:00Z and more", "00000000", "UTC", "M", "+0200",
	} {
		_, err := ParseTime(s)
		require.ErrorContains(t, err, "is no time", s)
	}
}
