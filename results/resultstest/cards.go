package resultstest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/perwatt/perwatt/results"
)

// UsesAt returns the uses of a scenario: those of a [Server] on the CPU, or those of
// a card, such as compute-bf16@cuda:0, mining@cuda:0-1 on two of them together,
// mullet@cuda:0 with GEMM in front on the card and mining behind on the CPU, and
// mullet-shared@cuda:0 with both on the card, and mullet-training@cuda:0 with the
// training of gpt-124m in front. In training-parallel-gpt-124m@cuda:0-1 both train one
// model.
func UsesAt(scenario string) (out []results.Use) {
	on := func(u results.Use, device string, threads int, role results.Role) {
		u.Device, u.Threads, u.Role = device, threads, role
		out = append(out, u)
	}
	base, ids, placed := strings.Cut(scenario, "@")
	if !placed {
		for _, u := range uses[scenario] {
			on(u, results.CPUDevice, 64, u.Role)
		}
		return out
	}
	if strings.HasPrefix(base, "training-parallel-") {
		on(cardUse(base), ids, len(cardsOf(ids)), results.Alone)
		return out
	}
	for _, id := range cardsOf(ids) {
		switch base {
		case "mullet", "mullet-training":
			front := "compute-bf16"
			if base != "mullet" {
				front = "training-bf16-gpt-124m"
			}
			on(cardUse(front), id, 1, results.Foreground)
			if len(out) == 1 { // one behind however many cards
				on(uses["mining"][0], results.CPUDevice, 64, results.Background)
			}
		case "mullet-shared":
			on(cardUse("compute-bf16"), id, 1, results.Foreground)
			on(cardUse("mining"), id, 1, results.Background)
		default:
			on(cardUse(base), id, 1, results.Alone)
		}
	}
	return out
}

// cardUse is a use as a card has it.
func cardUse(use string) results.Use {
	u := results.Use{Use: use, Impl: "simt", Unit: results.Byte, FlopPerCount: results.Absent()}
	switch kind, precision, _ := strings.Cut(use, "-"); kind {
	case "mining":
		u.Workload, u.Unit = "hashscan", results.Hash
	case "memory":
		u.Workload = "stream"
	case "training":
		model, parallel := strings.CutPrefix(precision, "parallel-")
		if u.Use = kind; parallel {
			u.Use += results.Parallel
		}
		model, half := strings.CutPrefix(model, "bf16-")
		if half {
			u.Use, u.Impl = u.Use+"-bf16", "mma"
		}
		u.Workload, u.Unit, u.FlopPerCount, u.Params = results.Training, results.Sample, 1.636e6, map[string]string{"model": model}
		if flop, ok := languageModels[model]; ok {
			u.Unit, u.FlopPerCount = results.Token, flop
		}
	case "compute":
		if u.Workload, u.Unit, u.FlopPerCount = "matmul", results.FLOP, 1; precision == "" {
			precision = "fp32"
		} else if precision != "fp64" {
			u.Impl = "mma"
		}
		u.Params = map[string]string{"precision": precision}
	}
	return u
}

// languageModels have so many FLOP a token.
var languageModels = map[string]results.Float{"gpt-mini": 5.6e6, "gpt-124m": 8.03e8}

// Also adds a scenario to a node, with the rates of its uses.
func (n *Node) Also(scenario string, watts float64, rates map[string]float64) {
	if n.Only == nil {
		n.Only = slices.Clone(order)
	}
	n.Only, n.Watts[scenario] = append(n.Only, scenario), watts
	for use, rate := range rates {
		n.Rates[scenario+"/"+use] = rate
	}
}

// cardsOf lists cuda:0-3 as cuda:0, cuda:1, cuda:2 and cuda:3.
func cardsOf(ids string) (out []string) {
	driver, numbers, _ := strings.Cut(ids, ":")
	for part := range strings.SplitSeq(numbers, ",") {
		first, last, ranged := strings.Cut(part, "-")
		from, err := strconv.Atoi(first)
		to := from
		if ranged && err == nil {
			to, err = strconv.Atoi(last)
		}
		if err != nil {
			panic(fmt.Sprintf("resultstest: cards %q: %v", ids, err)) // of a test
		}
		for i := from; i <= to; i++ {
			out = append(out, fmt.Sprintf("%s:%d", driver, i))
		}
	}
	return out
}

// cardKernels are the kernels of a card, whose tensor units are many times as fast
// at bf16 as its other units at fp32.
func cardKernels(id string) (out []results.Kernel) {
	for _, k := range []struct {
		name, impl string
		rate       results.Float
	}{{"gemm-fp32", "simt", 4e13}, {"gemm-bf16", "mma", 6e14}, {"gemm-fp64", "simt", 3e13}} {
		out = append(out, results.Kernel{Name: k.name, Device: id, Chosen: k.impl, Why: "the fastest", Impls: []results.Impl{
			{Name: k.impl, Needs: []string{}, Supported: true, Check: "ok", Rate: k.rate, Peak: k.rate * 1.25, Unit: results.FLOP.Per(results.Second)}}})
	}
	return out
}

// CardServer is a node with two cards of one model. Its figures are made up.
func CardServer(name string, scale float64) Node {
	n := Server(name, scale)
	card := results.Device{Kind: results.KindGPU, Vendor: "NVIDIA", Model: "NVIDIA H200", Driver: "cuda 12.4", Memory: 141 << 30, Lanes: 132}
	for i := range 2 {
		card.ID, card.PCI, card.UUID = fmt.Sprintf("cuda:%d", i), fmt.Sprintf("0000:%02x:00.0", 0x1b+0x20*i), fmt.Sprintf("GPU-%08d", i)
		n.Cards = append(n.Cards, card)
	}
	n.Idle = 260
	for s := range n.Watts {
		n.Watts[s] += 168
	}
	n.Only = slices.Clone(order)
	for _, s := range []struct {
		scenario string
		watts    float64
		rates    map[string]float64
	}{
		{"mining@cuda:0-1", 1500, map[string]float64{"mining": 5e9}},
		{"compute@cuda:0-1", 1400, map[string]float64{"compute": 3.5e13}},
		{"compute-bf16@cuda:0-1", 1480, map[string]float64{"compute-bf16": 5e14}},
		{"compute-fp64@cuda:0-1", 1410, map[string]float64{"compute-fp64": 2.6e13}},
		{"compute-bf16@cuda:0", 900, map[string]float64{"compute-bf16": 5.1e14}},
		{"mining@cuda:0", 880, map[string]float64{"mining": 5.1e9}},
		{"memory@cuda:0-1", 1100, map[string]float64{"memory": 3.6e12}},
		{"mullet@cuda:0", 1010, map[string]float64{"compute-bf16": 5.0e14, "mining": 1.1e9}},
		{"mullet-shared@cuda:0", 910, map[string]float64{"compute-bf16": 4.2e14, "mining": 6e8}},
	} {
		n.Only, n.Watts[s.scenario] = append(n.Only, s.scenario), s.watts
		for use, rate := range s.rates {
			n.Rates[s.scenario+"/"+use] = rate * scale
		}
	}
	return n
}
