package results

import (
	"fmt"
	"strings"
)

// Sheet is what the maker of a card states that it reaches: a note beside what is
// measured, which no figure is divided by. Rates are FLOP/s of dense matrices, without
// sparsity; a multiply-add counts two. What no source was found for is absent.
type Sheet struct {
	FP64       Float `json:"fp64"`        // FLOP/s, of vector units
	FP64Matrix Float `json:"fp64_matrix"` // FLOP/s, of matrix units
	FP32       Float `json:"fp32"`        // FLOP/s, of vector units
	TF32       Float `json:"tf32"`        // FLOP/s
	BF16       Float `json:"bf16"`        // FLOP/s, with sums in fp32
	FP16       Float `json:"fp16"`        // FLOP/s, with sums in fp32
	Memory     Float `json:"memory"`      // B/s
	Board      Float `json:"board"`       // W, the most

	Source string `json:"source"` // publisher, title and date
}

// aboveSheet is the ratio to the sheet's figure from which a measured peak is doubted.
const aboveSheet = 1.05

// of is what the sheet states for what an implementation of a kernel measures. Those
// named simt work on vector units, of fp32 for the half types.
func (s *Sheet) of(kernel, impl string) Float {
	vector := impl == "simt"
	switch precision, _ := strings.CutPrefix(kernel, gemm); {
	case kernel == "stream":
		return s.Memory
	case precision == "fp64" && vector:
		return s.FP64
	case precision == "fp64":
		return s.FP64Matrix
	case precision == "fp32", vector && (precision == "bf16" || precision == "fp16"):
		return s.FP32
	case precision == "tf32":
		return s.TF32
	case precision == "bf16":
		return s.BF16
	case precision == "fp16":
		return s.FP16
	}
	return Absent()
}

// flagAboveSheet warns of what a card is said to reach and cannot by its datasheet.
func (d *deriver) flagAboveSheet() {
	for _, k := range d.rec.Kernels {
		d.named(k.Device)
		s := d.device(k.Device).Sheet
		if s == nil {
			continue
		}
		for _, im := range k.Impls {
			d.spend(16)
			measured, what := im.Peak, "peak"
			if im.Rate > im.Peak || im.Peak.IsAbsent() {
				measured, what = im.Rate, "rate"
			}
			if of := s.of(k.Name, im.Name); of > 0 && measured > aboveSheet*of {
				d.flag("", "above-datasheet", fmt.Sprintf("the %s of %s (%s) on %s is %.4g, %.0f %% of its datasheet's %.4g %s", what,
					Line(k.Name, mostQuoted), Line(im.Name, mostQuoted), d.deviceName(k.Device), measured, 100*measured/of, of, im.Unit),
					"above the datasheet: check the clock or the count. A card may run above the clock that its sheet assumes (its clock is in the record); no faster card has this name")
			}
		}
	}
}
