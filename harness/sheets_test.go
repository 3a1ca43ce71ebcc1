package harness

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/kernels/device"
	"github.com/perwatt/perwatt/results"
)

// Every row has a source with publisher, title and year or version, a bandwidth and a rate, and its
// figures keep the order that every card has.
func TestSheets(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range sheets {
		require.False(t, seen[s.name], "%s: two sheets", s.name)
		seen[s.name] = true
		require.Regexp(t, `^(NVIDIA|AMD), ".+".*, (20[12][0-9]|version [0-9.]+)$`, s.source, s.name)
		require.Contains(t, s.name, s.source[:3], "of the maker")
		require.Positive(t, s.lanes, s.name)
		require.Positive(t, s.memory, s.name)
		require.Positive(t, s.bf16, s.name)
		known := func(v, of results.Float) bool { return v > 0 && of > 0 }
		require.True(t, !known(s.fp64, s.fp64Matrix) || s.fp64 <= s.fp64Matrix, s.name)
		require.True(t, !known(s.fp64, s.fp32) || s.fp64 <= s.fp32, s.name)
		require.True(t, !known(s.fp32, s.tf32) || s.fp32 <= s.tf32, s.name)
		require.True(t, !known(s.tf32, s.bf16) || s.tf32 < s.bf16, s.name)
		require.True(t, s.fp16 == 0 || s.fp16 == s.bf16, s.name)
		// Units: a card has less than 100 W and 10 GB/s, or more than 2 kW and 10 TB/s, in
		// none of these generations.
		require.True(t, s.board == 0 || s.board > 100 && s.board < 2000, s.name)
		require.True(t, s.memory > 500 && s.memory < 10_000 && s.bf16 > 100 && s.bf16 < 3000, s.name)

		info := device.Info{ID: "cuda:0", Kind: device.GPU, Name: s.name, Lanes: s.lanes}
		got := sheetOf(info)
		require.NotNil(t, got, s.name)
		require.Equal(t, s.source, got.Source)
		require.InEpsilon(t, 1e12*float64(s.bf16), float64(got.BF16), 1e-12)
		require.InEpsilon(t, 1e9*float64(s.memory), float64(got.Memory), 1e-12)
		require.Equal(t, s.fp64 == 0, got.FP64.IsAbsent())
		require.Equal(t, s.board == 0, got.Board.IsAbsent())
	}
}

// What is not exactly such a card has no sheet.
func TestNoSheet(t *testing.T) {
	h200 := device.Info{ID: "cuda:0", Kind: device.GPU, Name: "NVIDIA H200", UUID: "GPU-1", Lanes: 132}
	require.NotNil(t, sheetOf(h200))
	for name, change := range map[string]func(i *device.Info){
		"an instance of MIG":              func(i *device.Info) { i.UUID, i.Lanes = "MIG-1", 16 },
		"an instance that has all":        func(i *device.Info) { i.UUID = "MIG-1" },
		"fewer processors":                func(i *device.Info) { i.Lanes = 131 },
		"an unknown number":               func(i *device.Info) { i.Lanes = 0 },
		"another board of the same chip":  func(i *device.Info) { i.Name = "NVIDIA H200 NVL" },
		"a name that two boards may have": func(i *device.Info) { i.Name = "NVIDIA H100" },
		"PCIe by the name of SXM":         func(i *device.Info) { i.Name, i.Lanes = "NVIDIA H100 80GB HBM3", 114 },
		"an unknown card":                 func(i *device.Info) { i.Name = "NVIDIA T400" },
		"a virtual one":                   func(i *device.Info) { i.Name = "NVIDIA H200-141C" },
		"one die of two":                  func(i *device.Info) { i.Name, i.Lanes = "AMD Instinct MI250X", 110 },
		"a partition":                     func(i *device.Info) { i.Name, i.Lanes = "AMD Instinct MI300X", 38 },
		"a CPU of that name":              func(i *device.Info) { i.Kind = device.CPU },
		"no name":                         func(i *device.Info) { i.Name = "" },
	} {
		info := h200
		change(&info)
		require.Nil(t, sheetOf(info), name)
	}
	// It is in the node that a session records.
	require.Equal(t, sheetOf(h200), withDevice(nil, h200)[0].Sheet)
	require.Nil(t, withDevice(nil, device.Info{ID: "cpu", Kind: device.CPU})[0].Sheet)
}
