package report

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/compare"
	"github.com/perwatt/perwatt/results/resultstest"
)

// A language model counts tokens wherever a network counts samples.
func TestTokens(t *testing.T) {
	var records []*results.Record
	for i, name := range []string{"north", "south"} {
		rec := resultstest.Session(resultstest.Server(name, 1+float64(i)/10), 1, 6, uint64(i+1))
		for r := range rec.Runs {
			for u := range rec.Runs[r].Uses {
				use := &rec.Runs[r].Uses[u]
				if use.Use != "training" {
					continue
				}
				use.Unit = results.Token
				use.Target = &results.Target{Metric: "loss", Goal: 1.2, Reached: 1.19, Steps: 900, Samples: 1000}
			}
		}
		rec.Summary = results.Derive(rec)
		require.Equal(t, results.Unit("hash/token"), rec.Summary.Exchange[0].HashesPerSample.Unit)
		records = append(records, rec)
	}
	var text strings.Builder
	require.NoError(t, Write(&text, Text, records[0], Options{Width: 200}))
	for _, want := range []string{"tokens/s", "J/token", "loss ≤ 1.2", "the energy of one token of training-mlp gives "} {
		require.Contains(t, text.String(), want)
	}
	require.NotContains(t, text.String(), "sample/s")
	require.NotContains(t, text.String(), "J/sample")

	c, err := compare.New(t.Context(), records, nil, compare.Options{Seed: 1})
	require.NoError(t, err)
	require.Equal(t, results.Unit("hash/token"), c.Exchange[0].Rate.Unit)
	require.Equal(t, results.Token, c.Mixes[0].Points[0].Samples.Unit)
	require.NotNil(t, c.Mixes[0].Mullet)
	require.Equal(t, results.Token, c.Mixes[0].Mullet.Samples.Unit)
}
