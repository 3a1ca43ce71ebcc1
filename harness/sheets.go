package harness

import (
	"strings"

	"github.com/perwatt/perwatt/kernels/device"
	"github.com/perwatt/perwatt/results"
)

// sheet is the datasheet of cards that a driver calls by a name and that have so many
// processors: SM of NVIDIA's, CU of AMD's.
type sheet struct {
	name  string
	lanes int

	fp64, fp64Matrix, fp32, tf32, bf16, fp16 results.Float // TFLOP/s, dense; 0 for none
	memory                                   results.Float // GB/s
	board                                    results.Float // W
	source                                   string
}

// Sources. Where a sheet has figures with sparsity alone, the table has their halves, as
// its footnote says.
const (
	a100first = `NVIDIA, "NVIDIA A100 Tensor Core GPU Architecture" white paper, 2020`
	a100      = `NVIDIA, "NVIDIA A100 Tensor Core GPU" datasheet (1758950 r4), 2020`
	h100      = `NVIDIA, "NVIDIA H100 Tensor Core GPU Datasheet", 2022`
	h200      = `NVIDIA, "NVIDIA H200 Tensor Core GPU" datasheet (3002446), 2023`
	l40s      = `NVIDIA, "NVIDIA L40S" datasheet, 2023`
	ada       = `NVIDIA, "NVIDIA Ada GPU Architecture" white paper, appendix A, version 2.1`
	blackwell = `NVIDIA, "NVIDIA RTX Blackwell GPU Architecture" white paper, table 3, 2025`
	mi300x    = `AMD, "AMD Instinct MI300X Accelerator" data sheet, notes MI300-11 and MI300-05A, 2023`
	mi325x    = `AMD, "AMD Instinct MI325X Accelerator" data sheet, notes MI325-001A and MI325-002, 2024`
)

// sheets has no card whose name two datasheets share. An MI250X is missing because each
// of its two dies is a device, and its sheet is of both.
var sheets = []sheet{
	{"NVIDIA A100-SXM4-40GB", 108, 9.7, 19.5, 19.5, 156, 312, 312, 1555, 400, a100first},
	{"NVIDIA A100-SXM4-80GB", 108, 9.7, 19.5, 19.5, 156, 312, 312, 2039, 400, a100},
	{"NVIDIA A100 80GB PCIe", 108, 9.7, 19.5, 19.5, 156, 312, 312, 1935, 300, a100},
	{"NVIDIA H100 80GB HBM3", 132, 34, 67, 67, 989. / 2, 1979. / 2, 1979. / 2, 3350, 700, h100},
	{"NVIDIA H100 PCIe", 114, 26, 51, 51, 756. / 2, 1513. / 2, 1513. / 2, 2000, 350, h100},
	{"NVIDIA H200", 132, 34, 67, 67, 989. / 2, 1979. / 2, 1979. / 2, 4800, 700, h200},
	{"NVIDIA L40S", 142, 0, 0, 91.6, 183, 362.05, 362.05, 864, 350, l40s},
	{"NVIDIA GeForce RTX 4090", 128, 0, 0, 82.6, 0, 165.2, 165.2, 1008, 0, ada},
	{"NVIDIA GeForce RTX 5090", 170, 0, 0, 0, 0, 209.5, 0, 1792, 0, blackwell},
	{"AMD Instinct MI300X", 304, 81.7, 163.4, 163.4, 653.7, 1307.4, 1307.4, 5325, 750, mi300x},
	{"AMD Instinct MI325X", 304, 0, 0, 0, 0, 1307.4, 1307.4, 6000, 0, mi325x},
}

// sheetOf returns the datasheet of a device; nil if none is known. A part of a card (an
// instance of MIG, a partition of an MI300X) has fewer processors than its sheet counts.
func sheetOf(info device.Info) *results.Sheet {
	for _, s := range sheets {
		if info.Kind != device.GPU || clean(info.Name) != s.name || info.Lanes != s.lanes || strings.HasPrefix(info.UUID, "MIG-") {
			continue
		}
		in := func(v, unit results.Float) results.Float {
			if v == 0 {
				return results.Absent()
			}
			return v * unit
		}
		return &results.Sheet{
			FP64: in(s.fp64, 1e12), FP64Matrix: in(s.fp64Matrix, 1e12), FP32: in(s.fp32, 1e12), TF32: in(s.tf32, 1e12), BF16: in(s.bf16, 1e12), FP16: in(s.fp16, 1e12),
			Memory: in(s.memory, 1e9), Board: in(s.board, 1), Source: s.source,
		}
	}
	return nil
}
