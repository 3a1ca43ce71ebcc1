package economics

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/compare"
	"github.com/perwatt/perwatt/results/resultstest"
)

// The figures that prices apply to are those of the comparison, to the last
// digit, and each can be explained there.
func TestCandidates(t *testing.T) {
	for _, c := range []struct {
		name   string
		rounds int
		unfit  string
	}{
		{"ranked", 6, ""},
		{"too few rounds", 5, "it is not ranked, breaks the publish rules: repeats"},
	} {
		t.Run(c.name, func(t *testing.T) {
			records := []*results.Record{resultstest.Session(resultstest.Server("north", 1), 1, c.rounds, 1), resultstest.Session(resultstest.Server("south", 1.05), 1, c.rounds, 2)}
			held, err := compare.New(t.Context(), records, nil, compare.Options{Seed: 1})
			require.NoError(t, err)
			candidates := Candidates(held)
			require.Len(t, candidates, 2)
			for i, got := range candidates {
				require.Equal(t, held.Candidates[i].ID, got.Name)
				require.NotEmpty(t, got.Training)
				require.Len(t, got.Mining, 1)
				figures := []Figure{got.Mining[0].Efficiency, got.Mining[0].Power}
				for _, tr := range got.Training {
					figures = append(figures, tr.PerJoule, tr.Power, tr.FlopRate)
				}
				for _, f := range figures {
					e, err := held.Explain(f.ID)
					require.NoError(t, err)
					require.Equal(t, fmt.Sprintf("%+v", e.Value), fmt.Sprintf("%+v", f.Figure), f.ID) // NaN is not equal to itself
					require.Equal(t, c.unfit, f.UnfitWhy, f.ID)
					require.Equal(t, c.unfit == "", f.Unfit == "", f.ID)
					require.Empty(t, f.Formula, "a measured figure is an input")
				}
				require.Len(t, got.Mullets, 1, "the sessions have a co-run")
				require.Equal(t, records[i].Summary.CoRunCost.HashesGained.Value, got.Mullets[0].CoRunCost.HashesGained.Value)
				require.Contains(t, []string{got.Training[0].Workload, got.Training[len(got.Training)-1].Workload}, got.Mullets[0].Workload)
			}
		})
	}
}

// A GPU-hour is sold by what has GPUs, by the number that worked, whatever the sheet
// says: in no table and no answer by anything else.
func TestGPUHoursOfRecords(t *testing.T) {
	node := func(name string, kind results.DeviceKind, cards int, scenario string) resultstest.Node {
		n := resultstest.Server(name, 1)
		for i := range cards {
			id := fmt.Sprintf("%s:%d", map[results.DeviceKind]string{results.KindGPU: "cuda", results.KindCPU: "opencl"}[kind], i)
			n.Cards = append(n.Cards, results.Device{ID: id, Kind: kind, Vendor: "X", Model: "X 1", Memory: 1 << 30, Lanes: 8, UUID: id})
		}
		if scenario != "" {
			n.Also(scenario, 900, map[string]float64{"training-bf16": 6e5, "compute-bf16": 5e14})
		}
		return n
	}
	for _, c := range []struct {
		name string
		node resultstest.Node
		gpus float64
	}{
		{"CPU only", node("cpu", results.KindGPU, 0, ""), 0},
		{"cards that did nothing", node("idle", results.KindGPU, 2, ""), 0},
		{"OpenCL on the CPU", node("opencl", results.KindCPU, 1, "training-bf16-gpt-124m@opencl:0"), 0},
		{"OpenCL on the CPU, compute", node("opencl", results.KindCPU, 1, "compute-bf16@opencl:0"), 0},
		{"a card", node("one", results.KindGPU, 1, "training-bf16-gpt-124m@cuda:0"), 1},
		{"one of two cards", node("half", results.KindGPU, 2, "training-bf16-gpt-124m@cuda:0"), 1},
		{"two cards", node("two", results.KindGPU, 2, "training-bf16-gpt-124m@cuda:0-1"), 2},
		{"eight cards", node("eight", results.KindGPU, 8, "compute-bf16@cuda:0-7"), 8},
	} {
		t.Run(c.name, func(t *testing.T) {
			held, err := compare.New(t.Context(), []*results.Record{resultstest.Session(c.node, 1, 6, 1)}, nil, compare.Options{Seed: 1})
			require.NoError(t, err)
			for _, more := range []struct {
				row  string
				most float64
			}{
				{"", 1024}, {"gpus_per_node,16,1,2026-01-12,test,", 1024}, {"gpus_per_node,1,1,2026-01-12,test,", 1},
				{"gpus_per_node." + c.node.Name + ",1,1,2026-01-12,test,", 1}, {"gpus_per_node.other,1,1,2026-01-12,test,", 1024},
			} {
				p := sheet(t, more.row)
				p.Hours = hours(t)
				r := Evaluate(Candidates(held), p, day(asOf))
				hours := 0
				for f := range r.Figures() {
					if !strings.Contains(strings.Join(f.Inputs, " "), "gpu_hour_price") || f.Value.IsAbsent() {
						continue
					}
					require.NotZero(t, c.gpus, "%s is of no GPU", f.ID)
					if f.Table == "training" && strings.HasSuffix(f.ID, "/revenue") {
						hours++
						watts := float64(r.inputs[f.Inputs[len(f.Inputs)-1]].Value)
						require.InEpsilon(t, 2.60*min(c.gpus, more.most)*0.8/(watts*1.3*1e-6), float64(f.Value), 1e-9)
					}
				}
				require.Equal(t, c.gpus > 0, hours > 0, more.row)
			}
		})
	}
}
