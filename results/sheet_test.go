package results

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// A peak above that of the card's datasheet is doubted, each against the figure for the
// units that it uses; without a figure, or without a sheet, nothing is.
func TestAboveSheet(t *testing.T) {
	none := Absent()
	sheet := Sheet{FP64: 34e12, FP64Matrix: 67e12, FP32: 67e12, TF32: none, BF16: 989e12, FP16: 989e12, Memory: 4.8e12, Board: 700, Source: "the maker, \"a sheet\", 2023"}
	flags := func(s *Sheet, kernel, impl string, unit Unit, rate, peak Float) []string {
		rec := worked(func(*Run, func(TraceKind, string, Unit, Kind, func(float64) Float)) {})
		card := &rec.Node.Devices[len(rec.Node.Devices)-1]
		card.Sheet = s
		rec.Kernels = append(rec.Kernels, Kernel{Name: kernel, Device: card.ID, Impls: []Impl{{Name: impl, Supported: true, Unit: unit, Rate: rate, Peak: peak}}})
		return flagsOf(rec, "above-datasheet")
	}
	flop, bytes := FLOP.Per(Second), Byte.Per(Second)
	for _, c := range []struct {
		kernel, impl string
		unit         Unit
		most         Float // that is not doubted
	}{
		{"gemm-fp64", "simt", flop, 35.7e12}, {"gemm-fp64", "mma", flop, 70.3e12}, {"gemm-fp32", "simt", flop, 70.3e12},
		{"gemm-bf16", "wgmma", flop, 1038e12}, {"gemm-bf16", "simt", flop, 70.3e12}, {"gemm-fp16", "mma", flop, 1038e12}, {"gemm-fp16", "simt", flop, 70.3e12},
		{"stream", "simt", bytes, 5.03e12},
	} {
		require.Empty(t, flags(&sheet, c.kernel, c.impl, c.unit, none, c.most), c)
		require.Len(t, flags(&sheet, c.kernel, c.impl, c.unit, none, 1.01*c.most), 1, c)
		require.Len(t, flags(&sheet, c.kernel, c.impl, c.unit, 1.01*c.most, c.most), 1, c)
		require.Len(t, flags(&sheet, c.kernel, c.impl, c.unit, 1.01*c.most, none), 1, c)
		require.Empty(t, flags(nil, c.kernel, c.impl, c.unit, none, 10*c.most), c)
		require.Empty(t, flags(&sheet, c.kernel, c.impl, c.unit, none, none), c)
	}
	require.Empty(t, flags(&sheet, "gemm-tf32", "mma", flop, none, 1e18), "the sheet has no figure")
	require.Empty(t, flags(&sheet, "sha256d", "simt", Hash.Per(Second), none, 1e18))
	require.Equal(t, []string{"above-datasheet : the peak of gemm-bf16 (mma) on gpu:0 (H200) is 1.1e+15, 111 % of its datasheet's 9.89e+14 FLOP/s"},
		flags(&sheet, "gemm-bf16", "mma", flop, 7e14, 1.1e15))
}
