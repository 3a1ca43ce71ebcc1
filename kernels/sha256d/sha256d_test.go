package sha256d

import (
	_ "embed"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/kernels"
	"github.com/perwatt/perwatt/kernels/kerneltest"
)

//go:embed testdata/headers.txt
var chain string

// realHeaders returns the headers of testdata by height.
func realHeaders(t testing.TB) map[string]Header {
	headers := map[string]Header{}
	for line := range strings.Lines(chain) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		height, digits, ok := strings.Cut(strings.TrimSpace(line), " ")
		require.True(t, ok, line)
		var h Header
		n, err := hex.Decode(h[:], []byte(digits))
		require.NoError(t, err, line)
		require.Equal(t, len(h), n, line)
		headers[height] = h
	}
	return headers
}

// allOnes is met by every digest.
var allOnes = fromHex(strings.Repeat("ff", 32))

// fromHex reads a target or digest as it is printed, most significant byte
// first.
func fromHex(digits string) Target {
	b, err := hex.DecodeString(digits)
	if err != nil || len(b) != 32 {
		panic("not 32 bytes of hex: " + digits)
	}
	slices.Reverse(b)
	return Target(b)
}

// printed is the reverse of fromHex.
func printed(digest [32]byte) string {
	slices.Reverse(digest[:])
	return hex.EncodeToString(digest[:])
}

// reference is the loop in the documentation of Scan.
func reference(h Header, target Target, first uint32, n uint64) []uint32 {
	hits := []uint32{}
	for ; n > 0; first, n = first+1, n-1 {
		h.SetNonce(first)
		if target.Met(Sum(&h)) {
			hits = append(hits, first)
		}
	}
	return hits
}

// source returns the same random numbers every time.
func source(t testing.TB) *rand.ChaCha8 { return rand.NewChaCha8(seed(t.Name())) }

func seed(name string) (s [32]byte) {
	copy(s[:], name)
	return s
}

func randomHeader(r *rand.ChaCha8) (h Header) {
	_, _ = r.Read(h[:]) // never fails
	return h
}

// eachRow runs body on every row that the CPU supports.
func eachRow(t *testing.T, body func(t *testing.T, scan func(h Header, target Target, first uint32, n uint64) []uint32)) {
	kerneltest.Each(t, &Table, func(t *testing.T, row kernels.Row[Scan]) {
		body(t, func(h Header, target Target, first uint32, n uint64) []uint32 {
			var job Job
			job.Set(&h, &target)
			return row.Impl([]uint32{}, &job, first, n)
		})
	})
}

func TestTable(t *testing.T) {
	kerneltest.TestTable(t, &Table,
		func(dst []uint32, _ *Job, _ uint32, _ uint64) []uint32 { return dst }, // finds nothing
		func(dst []uint32, job *Job, first uint32, n uint64) []uint32 { // misses one in 64
			return slices.DeleteFunc(scanGeneric(dst, job, first, n), func(nonce uint32) bool { return nonce%64 == 5 })
		},
		func(dst []uint32, job *Job, first uint32, n uint64) []uint32 { // goes past the end
			return scanGeneric(dst, job, first, n+20)
		},
		func(dst []uint32, job *Job, first uint32, n uint64) []uint32 { // looks at the top word alone
			easy := *job
			easy.target = allOnes
			return scanGeneric(dst, &easy, first, n)
		},
	)
}

// The digest of a real header meets the target in the header.
func TestRealHeaders(t *testing.T) {
	headers := realHeaders(t)
	require.GreaterOrEqual(t, len(headers), 23)
	for height, want := range map[string]string{ // as block explorers print them
		"0":      "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f",
		"100000": "000000000003ba27aa200b1cecaad478d2b00432346c3f1f3986da1afd33e506",
		"125552": "00000000000000001e8d6829a8a21adc5d38d0a473b144b6765798e61f98bd1d",
	} {
		h := headers[height]
		require.Equal(t, want, printed(Sum(&h)), height)
	}
	eachRow(t, func(t *testing.T, scan func(Header, Target, uint32, uint64) []uint32) {
		for height, h := range headers {
			if testing.Short() && !slices.Contains([]string{"0", "100000", "125552"}, height) {
				continue
			}
			target, err := TargetFromCompact(h.Bits())
			require.NoError(t, err)
			nonce := h.Nonce()
			// Alone in a range, at every place in it, first and last included.
			for at := range uint32(34) {
				require.Equal(t, []uint32{nonce}, scan(h, target, nonce-at, 34), "height %s, %d nonces before", height, at)
			}
			require.Empty(t, scan(h, target, nonce-34, 34), "height %s: the end is not in the range", height)
			require.Empty(t, scan(h, target, nonce+1, 34), "height %s: before the range", height)
		}
	})
}

func TestRandomHeaders(t *testing.T) {
	headers := 2000
	if testing.Short() {
		headers = 100
	}
	eachRow(t, func(t *testing.T, scan func(Header, Target, uint32, uint64) []uint32) {
		r := source(t)
		for range headers {
			h, first, target := randomHeader(r), uint32(r.Uint64()), allOnes
			target[31] = byte(r.Uint64()) // met by anything from none to all
			require.Equal(t, reference(h, target, first, 32), scan(h, target, first, 32), "header %x, target %x, from %d", h, target, first)
		}
	})
}

// Ten million pairs of header and nonce, of which one in 512 is a hit.
func TestManyPairs(t *testing.T) {
	const each = 5003 // nonces a header: some calls of assembly, and a rest
	headers, hits := 2000, [][]uint32{}
	if testing.Short() {
		headers = 4
	}
	target := allOnes
	target[31], target[30] = 0, 0x7f
	at := func(r *rand.ChaCha8) (Header, uint32) { return randomHeader(r), uint32(r.Uint64()) }
	r := source(t)
	for range headers {
		h, first := at(r)
		hits = append(hits, reference(h, target, first, each))
	}
	eachRow(t, func(t *testing.T, scan func(Header, Target, uint32, uint64) []uint32) {
		r := rand.NewChaCha8(seed("TestManyPairs"))
		for _, want := range hits {
			h, first := at(r)
			require.Equal(t, want, scan(h, target, first, each), "header %x, from %d", h, first)
		}
	})
}

// Every length around the widths of vectors, from every alignment, with every
// nonce a hit and with some, and across 2^32.
func TestRanges(t *testing.T) {
	eachRow(t, func(t *testing.T, scan func(Header, Target, uint32, uint64) []uint32) {
		h := randomHeader(source(t))
		some := allOnes
		some[31] = 0x3f
		firsts := []uint32{1<<32 - 17, 0, 1, 7, 1<<31 - 5, 1<<32 - 64, 1<<32 - 1}
		if testing.Short() {
			firsts = firsts[:1]
		}
		for n := range uint64(67) {
			for _, first := range firsts {
				every := make([]uint32, n)
				for i := range every {
					every[i] = first + uint32(i)
				}
				require.Equal(t, every, scan(h, allOnes, first, n), "%d from %d, every nonce", n, first)
				require.Equal(t, reference(h, some, first, n), scan(h, some, first, n), "%d from %d, some nonces", n, first)
			}
		}
	})
}

// Ranges of several calls of assembly: one call must not affect the next, which
// may be shorter.
func TestLongRanges(t *testing.T) {
	lengths, places := []uint64{2049, 2047, 2048, 4101}, []uint32{2046, 0, 1}
	if testing.Short() {
		lengths, places = lengths[:1], places[:1]
	}
	eachRow(t, func(t *testing.T, scan func(Header, Target, uint32, uint64) []uint32) {
		h := randomHeader(source(t))
		some := allOnes
		some[31] = 0x7f
		for _, n := range lengths {
			for _, first := range []uint32{3, 1<<32 - 1027} {
				require.Equal(t, reference(h, some, first, n), scan(h, some, first, n), "%d from %d", n, first)
			}
		}
		h = realHeaders(t)["125552"]
		target, err := TargetFromCompact(h.Bits())
		require.NoError(t, err)
		for _, n := range lengths {
			for _, at := range places {
				require.Equal(t, []uint32{h.Nonce()}, scan(h, target, h.Nonce()-at, n), "%d nonces before", at)
				require.Equal(t, []uint32{h.Nonce()}, scan(h, target, h.Nonce()-uint32(n)+1+at, n), "%d nonces after", at)
			}
		}
	})
}

func TestBoundary(t *testing.T) {
	headers := 50
	if testing.Short() {
		headers = 10
	}
	eachRow(t, func(t *testing.T, scan func(Header, Target, uint32, uint64) []uint32) {
		r := source(t)
		for range headers {
			h, nonce := randomHeader(r), uint32(r.Uint64())
			h.SetNonce(nonce)
			digest := Target(Sum(&h))
			require.Equal(t, []uint32{nonce}, scan(h, digest, nonce, 1), "the target is the digest")
			for i := range digest { // one less and one more in each byte, the lowest first
				if low := digest; low[i] > 0 {
					low[i]--
					require.Empty(t, scan(h, low, nonce, 1), "the target is less by 2^%d", 8*i)
				}
				if high := digest; high[i] < 0xff {
					high[i]++
					require.Equal(t, []uint32{nonce}, scan(h, high, nonce, 1), "the target is more by 2^%d", 8*i)
				}
			}
			require.Empty(t, scan(h, Target{}, nonce, 1), "the target is zero")
		}
	})
}

func TestScanAppends(t *testing.T) {
	for _, row := range Table.Supported(kerneltest.CPU) {
		var job Job
		h := randomHeader(source(t))
		job.Set(&h, &allOnes)
		require.Equal(t, []uint32{9, 5, 6}, row.Impl([]uint32{9}, &job, 5, 2), row.Name)
		require.Nil(t, row.Impl(nil, &job, 5, 0), row.Name)
	}
}

// A Job can be set again and ignores the nonce in the header.
func TestJobSetAgain(t *testing.T) {
	r := source(t)
	a, b := randomHeader(r), randomHeader(r)
	var used, fresh, other Job
	used.Set(&a, &Target{})
	used.Set(&b, &allOnes)
	fresh.Set(&b, &allOnes)
	require.Equal(t, fresh, used)
	b.SetNonce(b.Nonce() + 1)
	other.Set(&b, &allOnes)
	require.Equal(t, fresh, other)
}

func TestNewHeader(t *testing.T) {
	want := realHeaders(t)["100000"]
	got := NewHeader(1,
		fromHex("000000000002d01c1fccc21636b607dfd930d31d01c3a62104612a1719011250"),
		fromHex("f3e94742aca4b5ef85488dc37c06c3282295ffec960994b2c0d5ac2a25a95766"),
		0x4d1b2237, 0x1b04864c)
	got.SetNonce(0x10572b0f)
	require.Equal(t, want, got)
	require.Equal(t, uint32(0x10572b0f), got.Nonce())
	require.Equal(t, uint32(0x1b04864c), got.Bits())
}

func FuzzScan(f *testing.F) {
	for _, h := range realHeaders(f) {
		target, err := TargetFromCompact(h.Bits())
		require.NoError(f, err)
		f.Add(h[:], target[:], h.Nonce()-3, uint8(7))
	}
	f.Add(make([]byte, 80), allOnes[:], uint32(1<<32-4), uint8(9))
	f.Fuzz(func(t *testing.T, header, limit []byte, first uint32, n uint8) {
		var h Header
		var target Target
		copy(h[:], header)
		copy(target[:], limit)
		var job Job
		job.Set(&h, &target)
		want := reference(h, target, first, uint64(n))
		for _, row := range Table.Supported(kerneltest.CPU) {
			require.Equal(t, want, row.Impl([]uint32{}, &job, first, uint64(n)), row.Name)
		}
	})
}

// sink keeps what is benchmarked from being optimised away.
var sink []uint32

func BenchmarkScan(b *testing.B) {
	const n = 1 << 14
	target, err := TargetFromDifficulty(1)
	require.NoError(b, err)
	h := realHeaders(b)["125552"]
	var job Job
	job.Set(&h, &target)
	for _, row := range Table.Rows {
		b.Run(fmt.Sprintf("impl=%s", row.Name), func(b *testing.B) {
			if !row.Supported(kerneltest.CPU) {
				b.Skipf("this CPU lacks some of %v", row.Needs)
			}
			cycles, hashes := newCycles(b), uint64(0)
			for b.Loop() {
				cycles.of(n, func() { sink = row.Impl(sink[:0], &job, uint32(hashes), n) })
				hashes += n
			}
			cycles.report(hashes)
			b.ReportMetric(float64(hashes)/b.Elapsed().Seconds(), "hash/s")
		})
	}
}

func BenchmarkJobSet(b *testing.B) {
	h := realHeaders(b)["125552"]
	var job Job
	for b.Loop() {
		job.Set(&h, &allOnes)
	}
	sink = append(sink[:0], binary.LittleEndian.Uint32(job.header[:]))
}
