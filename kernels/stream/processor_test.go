package stream_test

import (
	"math"
	"math/big"
	"math/bits"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/kernels/device"
	"github.com/perwatt/perwatt/kernels/device/ptx"
	"github.com/perwatt/perwatt/kernels/stream"
)

func TestProcessors(t *testing.T) {
	on := &ptx.Processor{Arch: "sm_75"}
	trial := stream.Processors.Trial(on, 1<<30)
	require.Equal(t, "stream", trial.Kernel)
	require.Len(t, trial.Rows, 1)
	row := trial.Rows[0]
	require.Equal(t, "simt", row.Name)
	require.True(t, row.Supported)
	require.NoError(t, row.Check())
	words := float64(on.Info().Memory / 32 / 4)
	require.Equal(t, 2*12*words, row.Work(), "two triads")
	require.Equal(t, 2*4*words, row.Peak(), "two times reading")
	require.Empty(t, stream.Table.Trial(on, 1<<30).Rows, "the CPU's are not a processor's")
}

// large is a device with memory enough.
type large struct{ *ptx.Processor }

func (l large) Info() device.Info {
	info := l.Processor.Info()
	info.Memory = 1 << 40
	return info
}

func TestTrialSize(t *testing.T) {
	if testing.Short() {
		t.Skip("takes the interpreter seconds")
	}
	row := stream.Processors.Trial(large{&ptx.Processor{Arch: "sm_75"}}, 0).Rows[0]
	require.NoError(t, row.Check())
	require.Equal(t, float64(2*12<<20), row.Work(), "4 MiB for its only lane")
}

// A word of a pattern has the bits that it should, half of which are set.
func TestPattern(t *testing.T) {
	const n = 1 << 16
	for seed := range uint32(3) {
		set, same := 0, 0
		for i := range uint32(n) {
			w := stream.Words(seed).At(i)
			set += bits.OnesCount32(w)
			if w == stream.Words(seed+100).At(i) {
				same++
			}
			if f := math.Float32frombits(stream.Floats(seed).At(i)); !(f >= 1 && f < 2) {
				t.Fatalf("word %d is %v", i, f)
			}
		}
		require.InDelta(t, 16*n, set, 4*math.Sqrt(8*n), "four standard deviations of 32·n coins")
		require.LessOrEqual(t, same, 2)
	}
}

// The expected triad is that of exact arithmetic, rounded once.
func TestTriadAt(t *testing.T) {
	b, c := stream.Floats(1), stream.Floats(2)
	exact := func(w uint32) *big.Float {
		return new(big.Float).SetPrec(200).SetFloat64(float64(math.Float32frombits(w)))
	}
	twice := 0
	for i := range uint32(100_000) {
		s := 1 + float32(i)/(1<<20)
		sum := exact(math.Float32bits(s))
		want, _ := sum.Mul(sum, exact(c.At(i))).Add(sum, exact(b.At(i))).Float32()
		got := stream.TriadAt(b, c, s, i)
		if got != math.Float32bits(want) {
			t.Fatalf("word %d is %#x, want %v", i, got, want)
		}
		product := float32(s * math.Float32frombits(c.At(i))) // rounded: arm64 would fuse it with the sum
		if math.Float32frombits(b.At(i))+product != want {
			twice++
		}
	}
	require.NotZero(t, twice, "rounding twice gives other answers")
}

// Each place is in its own section, and all words have one.
func TestPlace(t *testing.T) {
	for _, words := range []int{256, 300, 1024, 1<<31 - 4, 1 << 31} {
		last := -1
		for section := range stream.Samples {
			for key := range uint32(50) {
				at := stream.Place(words, key, section)
				require.Greater(t, at, last)
				require.Less(t, at, words)
				require.Equal(t, section, ((at+1)*stream.Samples-1)/words)
			}
			last = (section+1)*words/stream.Samples - 1
		}
	}
	seen := map[int]bool{}
	for key := range uint32(1000) {
		seen[stream.Place(1024, key, 7)] = true
	}
	require.Len(t, seen, 4, "every word of a section comes up")
}
