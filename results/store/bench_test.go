//go:build unix

package store

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
)

func TestReadBench(t *testing.T) {
	raw, err := os.ReadFile("testdata/go.txt")
	require.NoError(t, err)
	opt := Bench{Node: "builder", Labels: map[string]string{"from": "ci"}}
	records, said, err := ReadBench(strings.NewReader(string(raw)), "go.txt", opt)
	require.NoError(t, err)
	require.Len(t, records, 2)
	require.Contains(t, said[0], "go.txt:10")
	require.Equal(t, "left out, since a record has no place for it: B/op (2), MB/s (1), allocs/op (2)", said[1])

	a := records[0]
	require.Equal(t, "abc", a.Tool.Revision)
	require.Equal(t, time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC), a.Start)
	require.Equal(t, "builder", a.Node.Name)
	require.Equal(t, []string{"Fib/n=10", "Copy"}, a.Plan.Scenarios)
	require.Len(t, a.Runs, 3)
	var got []string
	for _, r := range a.Summary.Rows {
		m := r.Metrics[results.Throughput]
		got = append(got, fmt.Sprintf("%s %s %s %.6g %s n=%d power %v", r.Scenario, r.Use, r.Workload, m.Value, m.Unit, m.N, r.Metrics[results.Power].Value))
	}
	require.Equal(t, []string{
		"Fib/n=10 fib example.com/fib 956480 op/s n=2 power NaN",
		"Copy copy example.com/fib 10000 op/s n=1 power NaN",
	}, got)
	require.Contains(t, a.Warnings[0].Text, "not known are watts")
	require.Equal(t, groupOf(a), groupOf(records[1]), "one machine")

	// Again, it is the same: no copy is kept.
	s, err := Open(t.TempDir())
	require.NoError(t, err)
	for range 2 {
		records, _, err = ReadBench(strings.NewReader(string(raw)), "other.txt", Bench{Node: "builder"})
		require.NoError(t, err)
		for i, rec := range records {
			_, err := s.Keep(rec)
			if i == 0 && rec.ID == a.ID && err != nil {
				require.ErrorIs(t, err, ErrKept)
			}
		}
	}
	entries, err := List(s.dir)
	require.NoError(t, err)
	require.Len(t, entries, 2)
	x := index(t, s)
	for _, series := range all(t, x.Series(t.Context(), Filter{Scenario: "Fib/n=10", Metric: results.Throughput})) {
		require.Len(t, series.Points, 2)
		require.InEpsilon(t, 5e5, float64(series.Points[1].Value), 1e-9)
		require.Equal(t, "def", series.Points[1].Env.Revision)
	}

	for text, want := range map[string]string{
		"":                       "no benchmark lines",
		"BenchmarkA 1 1 ns/op\n": "--at",
		"date: yesterday\nBenchmarkA 1 1 ns/op\n": `"yesterday" is no time`,
		"date: 2026-01-01\nBenchmarkA 1 5 B/op\n": "no benchmark lines",
	} {
		_, _, err := ReadBench(strings.NewReader(text), "x.txt", Bench{})
		require.ErrorContains(t, err, want)
	}
}

// Perwatt's own benchmark lines count work, not iterations.
func TestReadOwnBench(t *testing.T) {
	text := "node: north\nimpl: shani\npower-source: rapl\nBenchmarkMining-64 600 10 hash/s 200 W 0.05 hash/J\n"
	records, said, err := ReadBench(strings.NewReader(text), "own.txt", Bench{At: epoch})
	require.NoError(t, err)
	row := records[0].Summary.Rows[0]
	require.Equal(t, "north", records[0].Node.Name)
	require.Equal(t, "shani", row.Impl)
	require.Equal(t, results.Hash.Per(results.Second), row.Metrics[results.Throughput].Unit)
	require.InEpsilon(t, 10, float64(row.Metrics[results.Throughput].Value), 1e-12)
	require.Contains(t, said[0], "W (1)", "no reading of a meter stands behind these watts")
}

func FuzzReadBench(f *testing.F) {
	raw, err := os.ReadFile("testdata/go.txt")
	require.NoError(f, err)
	f.Add(string(raw))
	f.Add("\xff\xfeB\x00e\x00n\x00c\x00h\x00m\x00a\x00r\x00k\x00A\x00 \x001\x00 \x001\x00 \x00n\x00s\x00/\x00o\x00p\x00\n\x00")
	f.Add(`{"Time":"2026-05-01T02:00:00Z","Action":"output","Package":"p","Output":"BenchmarkA-8 \t1\t 1 ns/op\n"}`)
	f.Add("\x1f\x8b\x08\x00\x00")
	f.Add("a\tb\t\ufeff2026-05-01T02:00:00.1Z goos: linux\n[2026-05-01T02:00:00Z] BenchmarkA/n-64 1 1 ns/op\n\x1b_bk;t=1\x07BenchmarkA/n-64-2 1 1 ns/op\n")
	f.Add("date: 1 May 26\npkg: a\nBenchmarkA/x-2 1 1 ns/op\npkg: b\n--- FAIL: BenchmarkB-2\n    x: y\npanic: z\nok  \ta\t1s\nBenchmarkC \tx\n 1\t1 ns/op\n")
	f.Fuzz(func(t *testing.T, text string) {
		records, _, err := ReadBench(strings.NewReader(text), "x", Bench{At: epoch})
		if err != nil {
			return
		}
		for _, rec := range records {
			sealed, err := results.Seal(rec)
			if err != nil { // text that is no UTF-8, or a time beyond the calendar
				continue
			}
			_, err = results.Read(strings.NewReader(string(sealed)), "x")
			require.NoError(t, err)
			require.True(t, isID(rec.ID))
		}
	})
}
