package all

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/bench"
	"github.com/perwatt/perwatt/kernels"
	"github.com/perwatt/perwatt/kernels/device"
	"github.com/perwatt/perwatt/kernels/device/cpu"
)

func TestChoose(t *testing.T) {
	row := func(name string, check error, count float64) kernels.Candidate {
		return kernels.Candidate{Name: name, Supported: true, Check: func() error { return check }, Work: func() float64 { return count }}
	}
	absent := kernels.Candidate{Name: "absent", Needs: []string{"WINGS"}}
	rows := []kernels.Candidate{absent, row("wrong", errors.New("2 + 2 is 5"), 1e9), row("slow", nil, 1), row("fast", nil, 1e6)}
	for _, c := range []struct {
		name          string
		rows          []kernels.Candidate
		byRank, force string
		chosen, why   string
		err           string
		usage         bool
	}{
		{name: "fastest", rows: rows, chosen: "fast", why: "the fastest of a short trial on one thread"},
		{name: "by rank", rows: rows, byRank: "because", chosen: "slow", why: "because"},
		{name: "asked for", rows: rows, byRank: "because", force: "fast", chosen: "fast", why: "asked for"},
		{name: "asked for and wrong", rows: rows, force: "wrong", err: "sums=wrong gives wrong answers on this device: 2 + 2 is 5"},
		{name: "asked for and not found", rows: rows, force: "absent", err: "absent lacks WINGS", usage: true},
		{name: "none is right", rows: rows[:2], byRank: "because", err: "kernel sums: no implementation gives right answers on this device"},
	} {
		t.Run(c.name, func(t *testing.T) {
			find := func(name string) error {
				if name == "absent" {
					return errors.New("absent lacks WINGS")
				}
				return nil
			}
			k, err := choose(t.Context(), kernels.Trial{Kernel: "sums", Unit: "FLOP", ByRank: c.byRank, Rows: c.rows, Find: find}, c.force)
			if c.err != "" {
				require.ErrorContains(t, err, c.err)
				require.Equal(t, c.usage, errors.Is(err, bench.ErrUsage))
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.chosen, k.Chosen)
			require.Equal(t, c.why, k.Why)
			require.True(t, k.Impls[0].Rate.IsAbsent())
			require.Equal(t, "2 + 2 is 5", k.Impls[1].Check)
			require.Greater(t, k.Impls[3].Rate, k.Impls[2].Rate)
		})
	}
}

func TestKernels(t *testing.T) {
	_, err := Kernels(t.Context(), []device.Info{cpu.Info()}, map[string]string{"abacus": "beads"})
	require.ErrorIs(t, err, bench.ErrUsage)
	require.ErrorContains(t, err, `unknown kernel "abacus": known are sha256d, sgemm, stream, vector`)
	_, err = Kernels(t.Context(), []device.Info{cpu.Info()}, map[string]string{"vector": "beads"})
	require.ErrorIs(t, err, bench.ErrUsage)
	require.ErrorContains(t, err, `vector: no implementation "beads": use one of `)
}
