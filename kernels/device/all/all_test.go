package all_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/kernels/device"
	"github.com/perwatt/perwatt/kernels/device/all"
	"github.com/perwatt/perwatt/kernels/device/cpu"
)

func gpu(id, pci, uuid string) device.Info {
	return device.Info{ID: id, Kind: device.GPU, PCI: pci, UUID: uuid, Driver: "some 1"}
}

// OpenCL lists cards that CUDA has, in another order, and a CPU.
func found() []device.Found {
	pocl := device.Info{ID: "opencl:2", Kind: device.CPU, Driver: "OpenCL 1"}
	return []device.Found{
		{Driver: "opencl", Devices: []device.Info{gpu("opencl:0", "0000:3B:00.0", ""), gpu("opencl:1", "", "0a1b"), pocl, gpu("opencl:3", "0000:99:00.0", "")}},
		{Driver: "cuda", Devices: []device.Info{gpu("cuda:0", "0000:5e:00.0", "GPU-0A1B"), gpu("cuda:1", "0000:3b:00.0", "GPU-ff")}},
	}
}

func TestMerge(t *testing.T) {
	ids := func(list []device.Info) (out []string) {
		for _, d := range list {
			out = append(out, d.ID)
		}
		return out
	}
	there := all.Merge(found()...)
	require.Equal(t, []string{"cpu", "cuda:0", "cuda:1", "opencl:2", "opencl:3"}, ids(there), "one card that two drivers reach is the first one's")
	require.Equal(t, []string{"cpu"}, ids(all.Merge()))
	// Two parts of one card have its address, and are two devices.
	require.Len(t, all.Merge(device.Found{Driver: "cuda", Devices: []device.Info{gpu("cuda:0", "0000:3b:00.0", "MIG-1"), gpu("cuda:1", "0000:3b:00.0", "MIG-2")}}), 3)

	for name, want := range map[string][]string{
		all.Auto: {"cpu", "cuda:0", "cuda:1", "opencl:3"}, all.All: {"cpu", "cuda:0", "cuda:1", "opencl:3"},
		all.GPUs: {"cuda:0", "cuda:1", "opencl:3"}, cpu.ID: {"cpu"}, "cuda:1": {"cuda:1"}, "opencl:2": {"opencl:2"}, "cuda:1,cpu,cuda:1": {"cpu", "cuda:1"}, "opencl:2,gpu": {"cuda:0", "cuda:1", "opencl:2", "opencl:3"},
	} {
		got, err := all.Select(name, there)
		require.NoError(t, err, name)
		require.Equal(t, want, ids(got), name)
	}
	for _, name := range []string{"", "cuda:2", "CPU", "opencl:0", "cpu,cuda:2", "cpu,"} {
		_, err := all.Select(name, there)
		require.ErrorContains(t, err, `that perwatt can compute on: use auto, all, gpu, cpu, cuda:0, cuda:1, opencl:2, opencl:3`, name)
	}
	_, err := all.Select(all.GPUs, all.Merge())
	require.ErrorContains(t, err, "no GPU found")
	_, err = all.Select("cuda:0", all.Merge())
	require.ErrorContains(t, err, "use auto, all, cpu")
}

func TestProbe(t *testing.T) {
	f := all.Probe("abacus")
	require.Contains(t, f.Why, `no driver is named "abacus": use one of cuda, `)
	require.False(t, f.Absent)
}

func TestOpen(t *testing.T) {
	on, err := all.Open(device.Config{Info: cpu.Info(), Threads: 3})
	require.NoError(t, err)
	require.Equal(t, cpu.Device{Threads: 3}, on)
	require.Equal(t, cpu.Device{Threads: 3}, all.Describe(device.Config{Info: cpu.Info(), Threads: 3}))
	_, err = all.Open(device.Config{Info: device.Info{ID: "abacus:0"}})
	require.ErrorContains(t, err, `open device "abacus:0": there is none`)
	card := gpu("cuda:0", "", "")
	require.Equal(t, device.Unopened{About: card}, all.Describe(device.Config{Info: card}))
}
