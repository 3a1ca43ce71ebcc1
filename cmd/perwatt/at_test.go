package main

import (
	"context"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
)

func TestTimeToBegin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now().UTC()
		for _, c := range []struct{ text, want string }{
			{now.Add(time.Minute).Format(time.RFC3339), ""},
			{now.Add(time.Minute).In(time.FixedZone("", 5*3600)).Format(time.RFC3339), ""},
			{now.Add(-4 * time.Second).Format(time.RFC3339), ""},
			{now.Add(-6 * time.Second).Format(time.RFC3339), "6s ago"},
			{now.Add(25 * time.Hour).Format(time.RFC3339), "more than a day ahead"},
			{"12:30", "must be a time as in RFC 3339"},
			{"", "must be a time as in RFC 3339"},
		} {
			var at atFlag
			if err := at.Set(c.text); c.want == "" {
				require.NoError(t, err, c.text)
			} else {
				require.ErrorContains(t, err, c.want, c.text)
			}
		}

		at := atFlag{now.Add(time.Hour)}
		late, err := at.wait(t.Context(), io.Discard)
		require.NoError(t, err)
		require.Empty(t, late)
		require.False(t, time.Now().Before(at.Time))
		require.Less(t, time.Since(at.Time), time.Millisecond)

		time.Sleep(2 * time.Second)
		var said strings.Builder
		late, err = at.wait(t.Context(), &said)
		require.NoError(t, err)
		require.Len(t, late, 1)
		require.Equal(t, "late-start", late[0].Code)
		require.Contains(t, said.String(), "began 2 s later")

		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		at = atFlag{time.Now().Add(time.Hour)}
		_, err = at.wait(ctx, io.Discard)
		require.ErrorContains(t, err, "nothing was measured")
		require.Less(t, time.Since(now), 2*time.Hour, "the wait ends with the context")
	})
}

// A session begins at its time and tries the kernels before.
func TestRunBeginsAtItsTime(t *testing.T) {
	at := time.Now().UTC().Add(4 * time.Second).Truncate(time.Second)
	code, stdout, stderr := perwatt(t, t.Context(), "run", "--uses", "mining", "--meter", "none", "--rounds", "1", "--threads", "1", "--settle", "0s", "--warmup", "100ms", "--limit", "0s",
		"--window", "200ms", "--interval", "20ms", "--format", "json", "--store", t.TempDir(), "--at", at.Format(time.RFC3339))
	require.Contains(t, []int{exitOK, exitGate}, code, stderr)
	rec := record(t, stdout)
	require.False(t, rec.Start.Before(at), "%v", rec.Start)
	tried, begins := strings.Index(stderr, "checking and timing every kernel"), strings.Index(stderr, "waiting until "+at.Format(time.RFC3339))
	if begins < 0 { // a slow machine tried them for longer than there was time
		require.Equal(t, "late-start", rec.Warnings[len(rec.Warnings)-1].Code)
	} else {
		require.Less(t, tried, begins)
		require.NotContains(t, codes(rec), "late-start")
	}

	code, _, stderr = perwatt(t, t.Context(), "run", "--at", "yesterday", "--store", t.TempDir())
	require.Equal(t, exitUsage, code)
	require.Contains(t, stderr, "--at")
}

func codes(rec *results.Record) (out []string) {
	for _, w := range rec.Warnings {
		out = append(out, w.Code)
	}
	return out
}
