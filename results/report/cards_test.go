package report

import (
	"bytes"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/resultstest"
)

// A reader sees at once how many cards gave the sum, which was the slowest, and why
// one gave nothing.
func TestCardsOfARecord(t *testing.T) {
	n := resultstest.CardServer("north", 1)
	n.Between, n.Within = 0, 0
	n.Only = []string{"idle", "mining@cuda:0", "mining@cuda:0-1", "compute-bf16@cuda:0", "mullet@cuda:0", "mullet-shared@cuda:0"}
	rec := resultstest.Session(n, 1, 6, 1)
	print := func() string {
		rec.Summary = results.Derive(rec)
		var b bytes.Buffer
		require.NoError(t, Write(&b, Text, rec, Options{Width: 160}))
		return b.String()
	}
	text := print()
	require.Regexp(t, `mining@cuda:0-1 +mining +6 +10\.00 GH/s +1.500\.0 .* 6\.667 MH/J`, text, "the sum has the watts")
	require.Regexp(t, `\n2 cards +simt `, text)
	require.Regexp(t, `mining@cuda:0-1 +mining +2 cards +6 +10\.00 +cuda:[01]\n`, text)
	require.Regexp(t, `mining@cuda:0-1 +mining +cuda:1 +6 +5\.000`, text)
	require.Len(t, regexp.MustCompile(`mining@cuda:0-1 +mining +6 `).FindAllString(text, -1), 2, "in the figures and the yields: a card of several has no row there")
	require.Regexp(t, `mullet@cuda:0 +compute-bf16 +6 +98\.04 +1\.100 +110\.0`, text)
	require.Regexp(t, `mullet-shared@cuda:0 +compute-bf16 +6 +82\.35 .*\ntime-sliced `, text)
	require.Contains(t, text, "UTC · complete\n")
	require.NotContains(t, text, "gave no result")
	for i := range rec.Runs {
		for j := range rec.Runs[i].Uses {
			if u := &rec.Runs[i].Uses[j]; rec.Runs[i].Scenario == "mining@cuda:0-1" && u.Device == "cuda:1" {
				u.Error = "CUDA_ERROR_ILLEGAL_ADDRESS (700) in launch of scan"
			}
		}
	}
	text = print()
	require.Contains(t, text, "complete, 36 of 36 planned runs good, 6 results of a card missing\n")
	require.Regexp(t, `\n1 of 2 cards +simt `, text)
	require.Contains(t, text, "mining@cuda:0-1, mining on cuda:1 (NVIDIA H200): 6 of 6 rounds  CUDA_ERROR_ILLEGAL_ADDRESS (700) in launch of scan\n")
	require.NotRegexp(t, `mining@cuda:0-1 +mining +cuda:1 `, text)

	var csv bytes.Buffer
	require.NoError(t, Write(&csv, CSV, rec, Options{}))
	require.Regexp(t, `,mullet-shared@cuda:0,compute-bf16,cuda:0,.*,co_run_training_kept,0\.82`, csv.String())
}
