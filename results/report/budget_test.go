package report

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/resultstest"
)

// hundreds are so many records of five candidates. The sessions of a candidate have the
// same windows: it is the page that is tested.
func hundreds(n int) (records []*results.Record) {
	var first []*results.Record
	for i := range 5 {
		first = append(first, resultstest.Session(resultstest.Server(fmt.Sprintf("server-%02d", i+1), 1+0.01*float64(i)), 0, 6, uint64(i)))
	}
	for i := range n {
		r := *first[i%5]
		r.ID = fmt.Sprintf("01J8ZQ%020d", i)
		r.Start, r.End = r.Start.AddDate(0, 0, i/5), r.End.AddDate(0, 0, i/5)
		r.Digest.Record = strings.Repeat("9f2b61c0", 8)
		records = append(records, &r)
	}
	return records
}

// The page on 500 records is at most 1 MB, and the same each time.
func TestPageOf500Records(t *testing.T) {
	if testing.Short() {
		t.Skip("seconds of a CPU")
	}
	p := pageOf(t, hundreds(500))
	page := rendered(t, p)
	require.LessOrEqual(t, len(page), 1_000_000)
	require.Equal(t, 500, bytes.Count(page, []byte("9f2b61c09f2b61c0</td>")), "every record is listed")
	require.Contains(t, string(page), "The first 16 sessions of each candidate")
	require.True(t, bytes.Equal(page, rendered(t, pageOf(t, hundreds(500)))))
}

// The page on 60 candidates with prices is at most 1 MB: its first screen has them all,
// what is below the best ones and the reference, and no figure of those is missing.
func TestPageOf60Candidates(t *testing.T) {
	if testing.Short() {
		t.Skip("seconds of a CPU")
	}
	p := pageOf(t, machines(60))
	page := string(rendered(t, p))
	require.LessOrEqual(t, len(page), 1_000_000)
	for i := range 60 {
		id := fmt.Sprintf("server-%02d", i+1)
		for _, table := range []string{"training-mlp/training", "compute/compute"} {
			require.Contains(t, page, `data-figure="`+id+"/"+table+`/work_per_energy"`)
		}
		shown := i >= 50 || i == 0 // the fastest, and the reference
		require.Equal(t, shown, strings.Contains(page, `data-figure="`+id+`/compute/compute/throughput"`), id)
		require.Equal(t, shown, strings.Contains(page, `data-figure="economics/mining/`+id+`/capital"`), id)
	}
	require.Equal(t, 3, strings.Count(page, "11 candidates, the best and the reference: the matrix above has the 49 others too"))
	require.NotContains(t, string(rendered(t, pageOf(t, machines(20)))), "the best and the reference", "20 are shown all")
	require.Len(t, p.Comparison.Candidates, 60, "the comparison itself is whole")
	require.Len(t, p.Comparison.Tables[0].Groups[0].Rows, 60)
}

// BenchmarkPageOf500Records is the work after records are read: 2 s at most are meant.
func BenchmarkPageOf500Records(b *testing.B) {
	records := hundreds(500)
	for b.Loop() {
		b.ReportMetric(float64(len(rendered(b, pageOf(b, records)))), "B/page")
	}
}

// Of many candidates, what differs has a row for each value, not a column for each
// candidate.
func TestManyCandidatesDiffer(t *testing.T) {
	few, many := differing(pageOf(t, machines(4)).Comparison), differing(pageOf(t, machines(20)).Comparison)
	require.Len(t, few.Columns, 1+4)
	require.Len(t, many.Columns, 3)
	html := string(many.HTML())
	require.Contains(t, html, "AMD EPYC 7043 32-Core Processor")
	require.Contains(t, html, "server-01, server-08, server-15")
}
