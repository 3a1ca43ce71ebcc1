package stratum

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMinerAndPool(t *testing.T) {
	s, address := pool(t, Config{Difficulty: 0x1p-20})
	m := connect(t, dial(t, address), "w", true)
	for m.job == nil {
		_, err := m.read()
		require.NoError(t, err)
	}
	for _, f := range m.mine(20, 7, m.job.ntime, 0x2000) {
		require.Empty(t, m.submit(f))
		require.Equal(t, "22", m.submit(f))
	}
	w := s.Workers()[0]
	require.Equal(t, uint64(20), w.Tally().Count[Accepted])
}
