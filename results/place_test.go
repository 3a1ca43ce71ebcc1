package results_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/resultstest"
)

// The identity of a row holds no number that a driver gives a card.
func TestPlaces(t *testing.T) {
	n := resultstest.CardServer("north", 1)
	n.Only = []string{"idle", "mining", "mining@cuda:0", "mining@cuda:1", "mining@cuda:0-1", "mullet@cuda:0", "mullet-shared@cuda:0"}
	places := func(rec *results.Record) (out []results.Place) {
		for i, p := range rec.Places() {
			if rec.Summary.Rows[i].Use != "idle" {
				out = append(out, p)
			}
		}
		return out
	}
	rec := resultstest.Session(n, 1, 2, 1)
	const h200 = "gpu NVIDIA H200"
	one, cpu := []results.DeviceCount{{Kind: results.KindGPU, Model: "NVIDIA H200", Count: 1}}, []results.DeviceCount{{Kind: results.KindCPU, Model: n.CPU, Count: 1}}
	require.Equal(t, []results.Place{
		{Base: "mining", Device: "cpu", On: cpu},
		{Base: "mining", Cards: h200, Name: "NVIDIA H200", Kind: "gpu", Device: h200, On: one},
		{Base: "mining", Cards: h200 + " #2", Name: "NVIDIA H200 #2", Kind: "gpu", Device: h200 + " #2", On: one},
		{Base: "mining", Cards: "2 × " + h200, Name: "2 × NVIDIA H200", Kind: "gpu", Device: "2 × " + h200, On: []results.DeviceCount{{Kind: results.KindGPU, Model: "NVIDIA H200", Count: 2}}},
		{Base: "mining", Cards: "2 × " + h200, Name: "2 × NVIDIA H200", Kind: "gpu", Device: h200, On: one, Part: true},
		{Base: "mining", Cards: "2 × " + h200, Name: "2 × NVIDIA H200", Kind: "gpu", Device: h200 + " #2", On: one, Part: true},
		{Base: "mullet", Cards: h200, Name: "NVIDIA H200", Kind: "gpu", Device: h200, On: one},
		{Base: "mullet", Cards: h200, Name: "NVIDIA H200", Kind: "gpu", Device: "cpu", On: cpu},
		{Base: "mullet-shared", Cards: h200, Name: "NVIDIA H200", Kind: "gpu", Device: h200, On: one},
		{Base: "mullet-shared", Cards: h200, Name: "NVIDIA H200", Kind: "gpu", Device: h200, On: one},
	}, places(rec))

	// Where one card gave nothing the sum is that of the others, and no row of one card
	// measured alone is taken for it.
	for i := range rec.Runs {
		for j := range rec.Runs[i].Uses {
			if u := &rec.Runs[i].Uses[j]; rec.Runs[i].Scenario == "mining@cuda:0-1" && u.Device == "cuda:1" {
				u.Error = "it fell off the bus"
			}
		}
	}
	rec.Summary = results.Derive(rec)
	some := places(rec)
	require.Equal(t, []results.Place{
		{Base: "mining", Cards: "1 of 2 × " + h200, Name: "1 of 2 × NVIDIA H200", Kind: "gpu", Device: "1 of 2 × " + h200, On: one},
		{Base: "mining", Cards: "1 of 2 × " + h200, Name: "1 of 2 × NVIDIA H200", Kind: "gpu", Device: h200, On: one, Part: true},
	}, some[3:5])

	// A driver that numbers the cards the other way round changes nothing.
	swapped := n
	swapped.Cards = []results.Device{n.Cards[1], n.Cards[0]}
	swapped.Cards[0].ID, swapped.Cards[1].ID = "cuda:0", "cuda:1"
	other := places(resultstest.Session(swapped, 1, 2, 1))
	require.Equal(t, h200+" #2", other[1].Device, "the card of the higher address")
	require.Equal(t, h200, other[2].Device)

	// Another model is another place, also at the same number.
	another := n
	another.Cards = []results.Device{n.Cards[0], n.Cards[1]}
	another.Cards[0].Model = "NVIDIA  L4"
	other = places(resultstest.Session(another, 1, 2, 1))
	require.Equal(t, "gpu NVIDIA L4", other[1].Device)
	require.Equal(t, "gpu NVIDIA L4 + "+h200, other[3].Cards)

	// A CPU behind OpenCL is no GPU.
	behind := n
	behind.Only = []string{"idle", "compute@opencl:0"}
	behind.Cards = []results.Device{{ID: "opencl:0", Kind: results.KindCPU, Model: "AMD EPYC (a CPU, through OpenCL)"}}
	rec = resultstest.Session(behind, 1, 2, 1)
	require.Equal(t, []results.Place{{Base: "compute", Cards: "cpu AMD EPYC (a CPU, through OpenCL)", Name: "AMD EPYC (a CPU, through OpenCL)", Kind: "cpu", Device: "cpu AMD EPYC (a CPU, through OpenCL)",
		On: []results.DeviceCount{{Kind: results.KindCPU, Model: "AMD EPYC (a CPU, through OpenCL)", Count: 1}}}}, places(rec))
	require.Equal(t, "compute bf16 on opencl:0 (AMD EPYC (a CPU, through OpenCL))", rec.Node.UseName("compute-bf16", "opencl:0"))
	require.Equal(t, "mining", rec.Node.UseName("mining", results.CPUDevice))
	require.Equal(t, "memory upload on cuda:7", rec.Node.UseName("memory-upload", "cuda:7"), "a device that the record does not describe")
}

// Each precision has a peak of its own: fp32 is not held against tensor units.
func TestPeakOfAPrecision(t *testing.T) {
	n := resultstest.CardServer("north", 1)
	n.Only, n.Within, n.Between = []string{"idle", "compute", "compute@cuda:0-1", "compute-bf16@cuda:0-1"}, 0, 0
	rec := resultstest.Session(n, 1, 2, 1)
	peaks := map[string]float64{"compute cpu": 64 * 9e10, "compute cuda:0": 5e13, "compute cuda:1": 5e13, "compute-bf16 cuda:0": 7.5e14, "compute-bf16 cuda:1": 7.5e14}
	seen := 0
	for _, r := range rec.Summary.Rows {
		if peak, ok := peaks[r.Use+" "+r.Device]; ok {
			seen++
			require.InEpsilon(t, float64(r.Metrics[results.FlopRate].Value)/peak, float64(r.Metrics[results.PeakFraction].Value), 1e-9, r.RowKey)
			require.False(t, r.Metrics[results.KernelFraction].Value.IsAbsent(), r.RowKey)
		}
	}
	require.Equal(t, len(peaks), seen)
}

// What a mullet with a card in front costs is held against that card alone, and not
// against what two cards do together, or training does on the CPU.
func TestCoRunWithACard(t *testing.T) {
	n := resultstest.CardServer("north", 1)
	n.Between, n.Within = 0, 0
	s := resultstest.Session(n, 1, 6, 1).Summary
	require.Len(t, s.CoRuns, 2)
	near := func(want float64, got results.Figure, within float64) {
		t.Helper()
		require.InDelta(t, want, float64(got.Value), within)
	}
	m := s.CoRuns[0]
	require.Equal(t, []any{"mullet@cuda:0", "compute-bf16", "cuda:0", false}, []any{m.Scenario, m.Front, m.Device, m.Shared})
	near(5.0/5.1, m.TrainingKept, 1e-3)
	near(1.1e9, m.HashesGained, 1e6)
	near(110, m.ExtraPower, 1)
	near(1e-7, m.EnergyPer, 1e-9)
	require.Equal(t, 6, m.ExtraPower.N)
	near(float64(m.ExtraPower.Value)*6*60, m.ExtraEnergy, 1e-6)
	m = s.CoRuns[1]
	require.True(t, m.Shared, "time-sliced")
	near(4.2/5.1, m.TrainingKept, 1e-3)
	near(10, m.ExtraPower, 1)

	require.NotNil(t, s.CoRunCost, "that of the CPU stays as it is")
	near(47.0/48.2, s.CoRunCost.TrainingKept, 1e-3)
	near(4.1e7, s.CoRunCost.HashesGained, 1e5)

	// Two cards in front: the sum of their work, and the energy of the node once.
	n.Only = []string{"idle", "compute-bf16@cuda:0", "compute-bf16@cuda:0-1", "mullet@cuda:0-1"}
	n.Watts["mullet@cuda:0-1"], n.Rates["mullet@cuda:0-1/compute-bf16"], n.Rates["mullet@cuda:0-1/mining"] = 1600, 4.5e14, 1.1e9
	s = resultstest.Session(n, 1, 6, 1).Summary
	require.Len(t, s.CoRuns, 1)
	near(4.5/5, s.CoRuns[0].TrainingKept, 1e-3)
	near(120, s.CoRuns[0].ExtraPower, 1.5)

	// Without the card alone there is nothing to hold it against.
	n.Only = []string{"idle", "compute-bf16@cuda:0", "mullet@cuda:0-1"}
	require.Empty(t, resultstest.Session(n, 1, 2, 1).Summary.CoRuns)
	require.False(t, math.IsNaN(float64(s.CoRuns[0].EnergyPer.Value)))
}
