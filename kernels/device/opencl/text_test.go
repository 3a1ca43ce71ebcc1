package opencl

import (
	"strings"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// A device's texts are read whole, whatever their length up to a limit. The driver here
// follows clGetDeviceInfo: into less than it needs it writes nothing.
func TestTexts(t *testing.T) {
	of := map[uint32]string{infoName: "card", infoVendor: "maker", infoDriver: "1.2"}
	describe := func(grow int) []string {
		l := &library{Info: func(_ uintptr, what uint32, size uintptr, value unsafe.Pointer, got *uintptr) code {
			text, ok := of[what]
			if !ok || value != nil && size < uintptr(len(text)+1) {
				return -30
			}
			if value != nil {
				copy(unsafe.Slice((*byte)(value), size), text+"\x00")
				of[what] += strings.Repeat("x", grow) // by the next query
			}
			if got != nil {
				*got = uintptr(len(text) + 1)
				of[what] += strings.Repeat("x", grow)
			}
			return 0
		}}
		info := l.describe(0, 3)
		require.Equal(t, "opencl:3", info.ID)
		if grow == 0 {
			require.Equal(t, []string{"card", "maker", "OpenCL 1.2"}, []string{info.Name, info.Vendor, info.Driver})
		}
		return info.Features
	}
	for _, filler := range []int{0, 4080, 4095, 4096, 1 << 16, textMost - 13} {
		of[infoExtensions] = strings.Repeat(" ", filler) + "cl_khr_fp64"
		require.Equal(t, []string{"opencl", "fp64"}, describe(0), filler)
	}
	of[infoExtensions] = strings.Repeat(" ", textMost) + "cl_khr_fp64"
	require.Equal(t, []string{"opencl"}, describe(0), "longer than the limit")
	of[infoExtensions] = ""
	require.Equal(t, []string{"opencl"}, describe(0))
	of[infoExtensions] = "cl_khr_fp64 "
	require.Equal(t, []string{"opencl"}, describe(1), "it grows between the queries")
}
