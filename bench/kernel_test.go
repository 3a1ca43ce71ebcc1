package bench

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
)

func TestChoose(t *testing.T) {
	row := func(name string, check error, count float64) Row {
		return Row{Name: name, Supported: true, Check: func() error { return check }, Work: func() float64 { return count }}
	}
	absent := Row{Name: "absent", Needs: []string{"WINGS"}}
	rows := []Row{absent, row("wrong", errors.New("2 + 2 is 5"), 1e9), row("slow", nil, 1), row("fast", nil, 1e6)}
	for _, c := range []struct {
		name          string
		rows          []Row
		ranked, force string
		chosen, why   string
		err           string
	}{
		{name: "fastest", rows: rows, chosen: "fast", why: "the fastest of a short trial on one thread"},
		{name: "ranked", rows: rows, ranked: "because", chosen: "slow", why: "because"},
		{name: "asked for", rows: rows, ranked: "because", force: "fast", chosen: "fast", why: "asked for"},
		{name: "asked for and wrong", rows: rows, force: "wrong", err: "sums=wrong gives wrong answers: 2 + 2 is 5"},
		{name: "asked for and absent", rows: rows, force: "absent", err: "sums=absent needs WINGS, which this CPU lacks"},
		{name: "asked for and unknown", rows: rows, force: "abacus", err: `no implementation "abacus": known are absent, wrong, slow, fast`},
		{name: "none is right", rows: rows[:2], ranked: "because", err: "kernel sums: no implementation gives right answers on this CPU"},
	} {
		t.Run(c.name, func(t *testing.T) {
			k, err := Choose(t.Context(), "sums", results.FLOP, c.rows, c.ranked, c.force)
			if c.err != "" {
				require.ErrorContains(t, err, c.err)
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
