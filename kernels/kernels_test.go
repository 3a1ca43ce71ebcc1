package kernels_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/kernels"
	"github.com/perwatt/perwatt/kernels/device"
)

var (
	host = device.Info{ID: "cpu", Features: []string{"LEGS", "TAIL"}}
	sums = kernels.Table[func(a, b int) int]{
		Name: "sums", Unit: "FLOP",
		Rows: []kernels.Row[func(a, b int) int]{
			{Name: "winged", Needs: []string{"LEGS", "WINGS", "BEAK"}},
			{Name: "elsewhere", Open: func(device.Processor) (func(a, b int) int, error) { return func(a, b int) int { return b + a }, nil }},
			{Name: "tail", Needs: []string{"TAIL", "LEGS"}, Impl: func(a, b int) int { return a + b }},
			{Name: "generic", Impl: func(a, b int) int { return a - b }, Peak: func(func(a, b int) int) float64 { return 7 }},
		},
		Check: func(add func(a, b int) int) error {
			if add(2, 2) != 4 {
				return errors.New("2 + 2 is not 4")
			}
			return nil
		},
		Work: func(_ device.Info, caches int64) func(func(a, b int) int) float64 {
			return func(add func(a, b int) int) float64 { return float64(add(int(caches), 1)) }
		},
	}
)

func TestPick(t *testing.T) {
	for _, c := range []struct {
		name      string
		on        device.Info
		row, want string
		err       string
	}{
		{name: "the first that is supported", on: host, want: "tail"},
		{name: "portable", on: device.Info{Kind: device.CPU}, want: "generic"},
		{name: "by name", on: host, row: "generic", want: "generic"},
		{name: "unknown", on: host, row: "abacus", err: `sums: no implementation "abacus": use one of winged, elsewhere, tail, generic`},
		{name: "features", on: host, row: "winged", err: "sums: implementation winged needs LEGS WINGS BEAK, but device cpu lacks WINGS BEAK"},
		{name: "kind", on: host, row: "elsewhere", err: "sums: implementation elsewhere does not run on cpu: it is for GPUs"},
		{name: "on a GPU", on: device.Info{ID: "cuda:0", Driver: "CUDA 12.4"}, want: "elsewhere"},
		{name: "of the CPU, on a GPU", on: device.Info{ID: "cuda:0", Driver: "CUDA 12.4"}, row: "generic", err: "sums: implementation generic runs on the CPU, not on cuda:0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			row, err := sums.Pick(c.on, c.row)
			if c.err != "" {
				require.EqualError(t, err, c.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.want, row.Name)
		})
	}
}

func TestSupported(t *testing.T) {
	var names []string
	for _, row := range sums.Supported(host) {
		names = append(names, row.Name)
	}
	require.Equal(t, []string{"tail", "generic"}, names)
	require.Len(t, sums.Rows, 4, "the table keeps its rows")
}

func TestByName(t *testing.T) {
	row, err := sums.ByName("winged")
	require.NoError(t, err)
	require.Equal(t, "winged", row.Name)
	_, err = sums.ByName("abacus")
	require.ErrorContains(t, err, `no implementation "abacus"`)
}

func TestTrial(t *testing.T) {
	trial := sums.Trial(device.Unopened{About: host}, 41)
	require.Equal(t, "sums", trial.Kernel)
	require.Equal(t, "FLOP", trial.Unit)
	require.Len(t, trial.Rows, 3, "without the row for GPUs")
	require.NoError(t, trial.Find("tail"))
	require.ErrorContains(t, trial.Find("winged"), "lacks WINGS BEAK")
	winged, tail, generic := trial.Rows[0], trial.Rows[1], trial.Rows[2]
	require.False(t, winged.Supported)
	require.Equal(t, []string{"LEGS", "WINGS", "BEAK"}, winged.Needs)
	require.True(t, tail.Supported)
	require.NoError(t, tail.Check())
	require.EqualValues(t, 42, tail.Work())
	require.Nil(t, tail.Peak)
	require.EqualError(t, generic.Check(), "2 + 2 is not 4")
	require.EqualValues(t, 40, generic.Work())
	require.EqualValues(t, 7, generic.Peak())
}
