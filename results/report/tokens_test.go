package report

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/compare"
	"github.com/perwatt/perwatt/results/resultstest"
	"github.com/perwatt/perwatt/results/store"
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

// A page names the model FLOP utilisation, and says what multiplied on a card.
func TestMFUAndProducts(t *testing.T) {
	n := resultstest.CardServer("north", 1)
	n.Only = []string{"idle", "mining@cuda:0"}
	n.Also("training-bf16-gpt-124m@cuda:0", 900, map[string]float64{"training-bf16": 3e5})
	rec := resultstest.Session(n, 1, 6, 1)
	c, err := compare.New(t.Context(), []*results.Record{rec}, nil, compare.Options{Seed: 1})
	require.NoError(t, err)
	for _, format := range []Format{Text, Markdown} {
		var of, compared strings.Builder
		require.NoError(t, Write(&of, format, rec, Options{Width: 400}))
		require.Contains(t, of.String(), "training bf16 on cuda:0 (NVIDIA H200): lower bound of the card: own kernels.")
		require.Contains(t, of.String(), "training-bf16-gpt-124m stands for training on GPUs")
		require.Contains(t, of.String(), "Useful arithmetic: each precision against a peak of its own")
		require.Contains(t, of.String(), "(MFU, Chowdhery et al. 2022, arXiv:2204.02311)")
		require.NoError(t, WriteComparison(&compared, format, Page{Comparison: c, Records: []*results.Record{rec}}, Options{Width: 400}))
		require.Contains(t, compared.String(), "north, NVIDIA H200: lower bound of the card: own kernels.")
		require.Contains(t, compared.String(), "training-bf16-gpt-124m stands for training on GPUs")
		require.Contains(t, compared.String(), "(MFU, Chowdhery et al. 2022, arXiv:2204.02311)")
	}
}

// Benchmark lines and CSV have the precision, and tokens as the unit. What was
// written reads back as the same work.
func TestTokensInOtherFormats(t *testing.T) {
	n := resultstest.CardServer("north", 1)
	n.Only = []string{"idle", "mining@cuda:0"}
	n.Also("training-bf16-gpt-124m@cuda:0", 900, map[string]float64{"training-bf16": 3e5})
	rec := resultstest.Session(n, 1, 6, 1)
	var bench, csv strings.Builder
	require.NoError(t, Write(&bench, Bench, rec, Options{}))
	require.Regexp(t, `(?m)^BenchmarkTraining/precision=bf16/model=gpt_124m/device=cuda:0 +\d+ +[\d.e+]+ tokens/s +[\d.]+ W +[\d.]+ tokens/J +[\d.e-]+ J/token$`, bench.String())
	again, _, err := store.ReadBench(strings.NewReader(bench.String()), "back.txt", store.Bench{At: rec.Start})
	require.NoError(t, err)
	require.Equal(t, results.Token, again[0].Runs[len(again[0].Runs)-1].Uses[0].Unit)
	require.NoError(t, Write(&csv, CSV, rec, Options{}))
	require.Regexp(t, `(?m)training-bf16-gpt-124m@cuda:0,training-bf16,cuda:0,.*,throughput,.*,lower bound of the card: own kernels$`, csv.String())
	require.Regexp(t, `(?m)training-bf16-gpt-124m@cuda:0,training-bf16,cuda:0,,,,0,hashes_per_sample,[^,]+,[^,]+,[^,]+,hash/token,`, csv.String())
}
