package cpu_test

import (
	"fmt"
	"runtime"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/kernels/device"
	"github.com/perwatt/perwatt/kernels/device/cpu"
)

// A workload is opened on a device; one for CPUs asks for their threads.
func Example() {
	on, err := cpu.Of(cpu.Device{Threads: 2})
	if err != nil {
		panic(err)
	}
	info := on.Info()
	fmt.Println(info.ID, info.Kind, on.Threads)
	// Output: cpu cpu 2
}

type gpu struct{}

func (gpu) Info() device.Info { return device.Info{ID: "cuda:0", Kind: device.GPU} }

func TestOf(t *testing.T) {
	for _, c := range []struct {
		name    string
		on      device.Device
		threads int
		err     string
	}{
		{"none", nil, 1, ""},
		{"zero", cpu.Device{}, 1, ""},
		{"three threads", cpu.Device{Threads: 3}, 3, ""},
		{"negative", cpu.Device{Threads: -1}, 0, "-1 threads: use 1 or more"},
		{"another kind", gpu{}, 0, "device cuda:0 is of kind gpu"},
	} {
		t.Run(c.name, func(t *testing.T) {
			on, err := cpu.Of(c.on)
			if c.err != "" {
				require.ErrorContains(t, err, c.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.threads, on.Threads)
		})
	}
}

func TestInfo(t *testing.T) {
	info := cpu.Info()
	require.Equal(t, runtime.NumCPU(), info.Lanes)
	require.Equal(t, info, cpu.Device{Threads: 2}.Info(), "threads do not change what the device is")
	require.NotEmpty(t, info.Features)
}

// Arrays are zeros from a cache line on, and none can grow into the next one.
func TestFloats(t *testing.T) {
	lengths := []int{5, 0, 16, 1 << 19, 17}
	for i, x := range append(cpu.Floats(lengths...), cpu.HugePage(5)) {
		require.Len(t, x, append(lengths, 5)[i])
		require.Equal(t, len(x), cap(x))
		multiple := uintptr(64)
		if i == len(lengths) {
			multiple = 2 << 20
		}
		require.Zero(t, uintptr(unsafe.Pointer(unsafe.SliceData(x)))%multiple, "array %d", i)
		for j, v := range x {
			if v != 0 {
				t.Fatalf("array %d: element %d is %v before it is written", i, j, v)
			}
			x[j] = 1 // would show in an array that shares it
		}
	}
	require.Empty(t, cpu.Floats())
}
