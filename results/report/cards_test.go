package report

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/economics"
	"github.com/perwatt/perwatt/results/resultstest"
)

// cardSessions are those of two nodes with two cards each and of one without. Every
// figure is made up.
func cardSessions() (records []*results.Record) {
	for i, n := range []resultstest.Node{resultstest.CardServer("fixture-a", 1), resultstest.CardServer("fixture-b", 1.1), resultstest.Server("fixture-c", 1)} {
		for s := range 3 {
			records = append(records, resultstest.Session(n, s, 6, uint64(i+1)))
		}
	}
	return records
}

// A card shows by its name, its precision never beside another, and mining on it as
// what it is.
func TestPagesOfCards(t *testing.T) {
	records := cardSessions()
	one := string(rendered(t, pageOf(t, records[:1])))
	var text bytes.Buffer
	require.NoError(t, Write(&text, Text, records[0], Options{Width: 200}))
	for _, want := range []string{"compute bf16", "on cuda:0-1 (NVIDIA H200)", economics.NoteCards, "time-sliced", "each precision against a peak of its own"} {
		require.Contains(t, one, want)
		require.Contains(t, text.String(), want)
	}
	p := pageOf(t, records)
	page := string(rendered(t, p))
	for _, want := range []string{"2 × NVIDIA H200", "compute bf16 on cuda:0 (NVIDIA H200)", "mining on the same card, time-sliced", economics.NoteCards, "GPU-hours, compute-bf16 on 2 × NVIDIA H200", "no GPU in the record"} {
		require.Contains(t, page, want)
	}
	for _, tb := range p.Comparison.Tables {
		for _, g := range tb.Groups {
			for _, r := range g.Rows {
				if tb.Use == "compute-bf16" {
					require.NotEmpty(t, r.Device, r.ID)
				}
			}
		}
	}

	// A CPU behind OpenCL never passes for a GPU.
	n := resultstest.Server("fixture-d", 1)
	n.Cards = []results.Device{{ID: "opencl:0", Kind: results.KindCPU, Model: "Sample CPU"}}
	n.Only, n.Watts["mining@opencl:0"], n.Rates["mining@opencl:0/mining"] = []string{"idle", "mining", "mining@opencl:0"}, 230, 2e6
	rec := resultstest.Session(n, 1, 6, 1)
	text.Reset()
	require.NoError(t, Write(&text, Text, rec, Options{Width: 200}))
	require.Contains(t, text.String(), "on opencl:0 (Sample CPU (a CPU, through OpenCL))")
	require.NotContains(t, text.String(), economics.NoteCards)
	require.NotContains(t, string(rendered(t, pageOf(t, []*results.Record{rec}))), "GPU-hours, mining")
}

// Each of several cards has the watts of its own where a meter has a channel of it,
// below those of all together.
func TestWattsOfEachCard(t *testing.T) {
	n := resultstest.EightCards("fixture-a")
	for _, c := range []struct {
		meters []resultstest.Instrument
		want   string
	}{
		{[]resultstest.Instrument{resultstest.Outlet(8)}, "no meter has a channel of one of these cards"},
		{[]resultstest.Instrument{resultstest.Outlet(8), resultstest.Cards(n.Cards)}, "The watts of a card are its own, at its boundary"},
	} {
		var text bytes.Buffer
		require.NoError(t, Write(&text, Text, resultstest.Metered(resultstest.Session(n, 1, 6, 1), c.meters...), Options{Width: 200}))
		require.Contains(t, text.String(), c.want)
		require.Equal(t, len(c.meters) == 2, strings.Contains(strings.ReplaceAll(text.String(), results.OwnKernels, ""), "of the card"))
	}
}
