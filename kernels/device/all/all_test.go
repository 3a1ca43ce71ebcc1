package all_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/kernels/device"
	"github.com/perwatt/perwatt/kernels/device/all"
	"github.com/perwatt/perwatt/kernels/device/cpu"
)

func TestSelect(t *testing.T) {
	for _, name := range []string{all.Auto, all.All, cpu.ID} {
		got, err := all.Select(name)
		require.NoError(t, err, name)
		require.Equal(t, []device.Info{cpu.Info()}, got, name)
	}
	for _, name := range []string{"", "cuda:0", "CPU"} {
		_, err := all.Select(name)
		require.ErrorContains(t, err, `that perwatt can compute on: use auto, all, cpu`, name)
	}
}

func TestOpen(t *testing.T) {
	for _, info := range all.List() {
		on, err := all.Open(device.Config{Info: info, Threads: 3})
		require.NoError(t, err)
		require.Equal(t, info, on.Info())
	}
	_, err := all.Open(device.Config{Info: device.Info{ID: "cuda:0"}})
	require.ErrorContains(t, err, `open device "cuda:0": there is none`)
}
