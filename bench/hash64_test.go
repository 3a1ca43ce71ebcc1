package bench

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// The first outputs of SplitMix64 seeded with 1234567, as published with the
// generator (rosettacode.org/wiki/Pseudo-random_numbers/Splitmix64).
func TestNoise(t *testing.T) {
	for i, want := range []uint64{6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821} {
		require.Equal(t, want, Hash64(1234567, uint64(i)))
	}
}
