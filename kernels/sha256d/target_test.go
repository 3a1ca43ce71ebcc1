package sha256d

import (
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDifficulty(t *testing.T) {
	headers := realHeaders(t)
	for height, want := range map[string]float64{
		"0":      2536.426298,
		"100000": 17583.056276,
		"125552": 35987218905.508736,
	} {
		h := headers[height]
		require.InEpsilon(t, want, Difficulty(Sum(&h)), 1e-9, height)
	}
	require.True(t, math.IsInf(Difficulty([32]byte{}), 1))
}

func TestTargetFromCompact(t *testing.T) {
	for _, c := range []struct {
		nbits uint32
		want  string // without leading zeros; or what the error says
	}{
		// Vectors of Bitcoin Core, src/test/arith_uint256_tests.cpp.
		{0x01123456, "12"},
		{0x02123456, "1234"},
		{0x03123456, "123456"},
		{0x04123456, "12345600"},
		{0x05009234, "92340000"},
		{0x20123456, "123456" + strings.Repeat("00", 29)},
		{0x00000000, "zero"},
		{0x00123456, "zero"},
		{0x01003456, "zero"},
		{0x04000000, "zero"},
		{0x04923456, "negative"},
		{0x01fedcba, "negative"},
		{0xff123456, "longer"},
		// The edges of 256 bits.
		{0x21123456, "longer"},
		{0x2100ffff, "ffff" + strings.Repeat("00", 30)},
		{0x220000ff, "ff" + strings.Repeat("00", 31)},
		{0x22000100, "longer"},
		{0x230000ff, "longer"},
		// Difficulty 1.
		{0x1d00ffff, "ffff" + strings.Repeat("00", 26)},
	} {
		got, err := TargetFromCompact(c.nbits)
		if strings.Trim(c.want, "0123456789abcdef") != "" {
			require.ErrorContains(t, err, c.want, "%08x", c.nbits)
			continue
		}
		require.NoError(t, err, "%08x", c.nbits)
		require.Equal(t, strings.Repeat("0", 64-len(c.want))+c.want, printed(got), "%08x", c.nbits)
	}
}

func TestTargetFromDifficulty(t *testing.T) {
	for _, c := range []struct {
		difficulty float64
		want       string
	}{
		{1, "00000000ffff" + strings.Repeat("0", 52)},
		{256, "0000000000ffff" + strings.Repeat("0", 50)},
		{1.5, "00000000aaaa" + strings.Repeat("0", 52)},
		{3, "000000005555" + strings.Repeat("0", 52)},
		{7, "000000002492" + strings.Repeat("249", 17) + "2"},
		{0x1p-32, "ffff" + strings.Repeat("0", 60)},
		{0x1p-33, strings.Repeat("f", 64)},
		{0x1p-300, strings.Repeat("f", 64)},
		{math.SmallestNonzeroFloat64, strings.Repeat("f", 64)},
		{0x1p223, strings.Repeat("0", 63) + "1"},
		{0x1p224, strings.Repeat("0", 64)},
		{math.MaxFloat64, strings.Repeat("0", 64)},
	} {
		got, err := TargetFromDifficulty(c.difficulty)
		require.NoError(t, err, "%v", c.difficulty)
		require.Equal(t, c.want, printed(got), "%v", c.difficulty)
	}
	for _, d := range []float64{0, math.Copysign(0, -1), -1, math.NaN(), math.Inf(1), math.Inf(-1)} {
		_, err := TargetFromDifficulty(d)
		require.ErrorContains(t, err, "not positive and finite", "%v", d)
	}
}

func TestTargetHashes(t *testing.T) {
	one, err := TargetFromDifficulty(1)
	require.NoError(t, err)
	require.InEpsilon(t, 4_295_032_833.0, one.Hashes(), 1e-9)
	require.Equal(t, 1.0, allOnes.Hashes())
	share := allOnes
	share[31], share[30], share[29] = 0, 0, 0x7f
	require.Equal(t, 0x1p17, share.Hashes())
}

// Difficulty undoes TargetFromDifficulty to the precision of a float64, as
// far as the target has the bits.
func FuzzTargetFromDifficulty(f *testing.F) {
	for _, d := range []float64{1, 0.001, 46566, 0x1p-31, 1.4848e14, 0x1p160} {
		f.Add(d)
	}
	f.Fuzz(func(t *testing.T, d float64) {
		target, err := TargetFromDifficulty(d)
		if !(d > 0) || math.IsInf(d, 0) {
			require.Error(t, err)
			return
		}
		require.NoError(t, err)
		if 0x1p-32 < d && d < 0x1p160 {
			require.InEpsilon(t, d, Difficulty(target), 0x1p-50)
		}
	})
}
