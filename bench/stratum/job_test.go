package stratum

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/kernels/sha256d"
)

// Shares that others found: block 100,000, and one of a Bitaxe with a rolled
// version on testnet block 2,442,185.
var vectors = []struct {
	name                         string
	prev, coinb1, ours, theirs   string
	coinb2                       string
	branches                     []string
	version, nbits, ntime, nonce string
	mask                         uint32
	bits                         string
	digest                       string // as block explorers print it
	difficulty                   float64
}{
	{
		name:   "block 100000",
		prev:   "1901125004612a1701c3a621d930d31d36b607df1fccc2160002d01c00000000",
		coinb1: "01000000010000000000000000000000000000000000000000000000000000000000000000ffffffff08044c86041b02",
		ours:   "06", theirs: "02",
		coinb2: "ffffffff0100f2052a010000004341041b0e8c2567c12536aa13357b79a073dc4444acb83c4ec7a0e2f99dd7457516c5817242da796924ca4e99947d087fedf9ce467cb9f7c6287078f801df276fdf84ac00000000",
		branches: []string{
			"c40297f730dd7b5a99567eb8d27b78758f607507c52292d02d4031895b52f2ff",
			"49aef42d78e3e9999c9e6ec9e1dddd6cb880bf3b076a03be1318ca789089308e",
		},
		version: "00000001", nbits: "1b04864c", ntime: "4d1b2237", nonce: "10572b0f",
		digest: "000000000003ba27aa200b1cecaad478d2b00432346c3f1f3986da1afd33e506", difficulty: 17583.056276,
	},
	{
		name:   "a Bitaxe",
		prev:   "171592f223740e92d223f6e68bff25279af7ac4f2246451e0000000200000000",
		coinb1: "02000000010000000000000000000000000000000000000000000000000000000000000000ffffffff1903c943255c7075626c69632d706f6f6c5c",
		ours:   "57a6f098", theirs: "c7080000",
		coinb2: "ffffffff037a90000000000000160014e6f22ca44dc800e9d049621a3b9a42c509f1c4bc3b0f250000000000160014e6f22ca44dc800e9d049621a3b9a42c509f1c4bc0000000000000000266a24aa21a9edbd3d1d916aa0b57326a2d88ebe1b68a1d7c48585f26d8335fe6a94b62755f64c00000000",
		branches: []string{
			"175335649d5e8746982969ec88f52e85ac9917106fba5468e699c8879ab974a1",
			"d5644ab3e708c54cd68dc5aedc92b8d3037449687f92ec41ed6e37673d969d4a",
			"5c9ec187517edc0698556cca5ce27e54c96acb014770599ed9df4d4937fbf2b0",
		},
		version: "20000000", nbits: "192495f8", ntime: "64b3f3ec", nonce: "ed460d91", mask: versionMask, bits: "00002000",
		digest: "000000000061d52983863e5c424c00d9e0981874fddf6a8493433e73928a3e4e", difficulty: 669.868292,
	},
}

func word(t testing.TB, s string) uint32 { return binary.BigEndian.Uint32(unhexed(t, s)) }

func jsonText(s string) []byte { return []byte(`"` + s + `"`) }

func TestVectors(t *testing.T) {
	for _, v := range vectors {
		t.Run(v.name, func(t *testing.T) {
			tpl := &template{coinb1: unhexed(t, v.coinb1), coinb2: unhexed(t, v.coinb2), version: word(t, v.version), nbits: word(t, v.nbits), ntime: word(t, v.ntime)}
			for _, b := range v.branches {
				tpl.branch = append(tpl.branch, [32]byte(unhexed(t, b)))
			}
			p := &prev{hash: [32]byte(swapped(unhexed(t, v.prev)))}
			at := func(difficulty float64) *job {
				target, err := sha256d.TargetFromDifficulty(difficulty)
				require.NoError(t, err)
				return &job{template: tpl, prev: p, difficulty: difficulty, target: target}
			}
			j := at(1)
			bits := uint32(0)
			if v.bits != "" {
				bits = word(t, v.bits)
			}
			h := j.header(unhexed(t, v.ours), unhexed(t, v.theirs), v.mask, bits, word(t, v.ntime), word(t, v.nonce))
			digest := sha256d.Sum(&h)
			require.InDelta(t, v.difficulty, sha256d.Difficulty(digest), 1e-6)
			slices.Reverse(digest[:])
			require.Equal(t, v.digest, hex.EncodeToString(digest[:]))

			s := submission{[]byte(v.theirs), jsonText(v.ntime), jsonText(v.nonce), nil}
			if v.bits != "" {
				s.bits = jsonText(v.bits)
			}
			judge := func(j *job, s submission) Class {
				c, _ := j.judge(unhexed(t, v.ours), len(v.theirs)/2, v.mask, s)
				return c
			}
			require.Equal(t, Accepted, judge(at(v.difficulty-1e-3), s))
			require.Equal(t, Low, judge(at(v.difficulty+1e-3), s), "a share just below its difficulty")
			s.nonce = jsonText("00000000")
			require.Equal(t, Wrong, judge(j, s))
			if v.bits != "" { // without the bits it is a reject
				s.nonce, s.bits = jsonText(v.nonce), nil
				require.Equal(t, Wrong, judge(j, s))
			}
		})
	}
}

// The coinbase of every template decodes, its extranonces lie in the script,
// and the script is as long as consensus allows.
func TestTemplate(t *testing.T) {
	now := time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC)
	for size := 4; size <= maxTheirs; size++ {
		tpl := newTemplate(now, size)
		extra := []byte(strings.Repeat("\xee", own+size))
		b := slices.Concat(tpl.coinb1, extra, tpl.coinb2)
		take := func(n int) (out []byte) {
			require.GreaterOrEqual(t, len(b), n)
			out, b = b[:n], b[n:]
			return out
		}
		require.Equal(t, uint32(2), binary.LittleEndian.Uint32(take(4)))
		require.Equal(t, []byte{1}, take(1), "one input")
		require.Equal(t, make([]byte, 32), take(32), "of nothing")
		require.Equal(t, uint32(0xffffffff), binary.LittleEndian.Uint32(take(4)))
		script := take(int(take(1)[0]))
		require.LessOrEqual(t, len(script), 100)
		var pushed [][]byte
		for len(script) > 0 {
			n := int(script[0])
			require.LessOrEqual(t, n, 75)
			pushed, script = append(pushed, script[1:1+n]), script[1+n:]
		}
		require.Len(t, pushed, 3)
		require.Len(t, pushed[0], 3)
		height := uint32(pushed[0][0]) | uint32(pushed[0][1])<<8 | uint32(pushed[0][2])<<16
		require.InDelta(t, 955_000, height, 2000)
		require.Equal(t, extra, pushed[2])
		require.Equal(t, uint32(0xffffffff), binary.LittleEndian.Uint32(take(4)))
		require.Equal(t, []byte{2}, take(1), "outputs")
		require.Equal(t, uint64(subsidy), binary.LittleEndian.Uint64(take(8)))
		require.Equal(t, []byte{0, 20}, take(int(take(1)[0]))[:2])
		require.Equal(t, uint64(0), binary.LittleEndian.Uint64(take(8)))
		require.Equal(t, []byte{0x6a, 36, 0xaa, 0x21, 0xa9, 0xed}, take(int(take(1)[0]))[:6])
		require.Equal(t, []byte{0, 0, 0, 0}, b, "lock time, and nothing after it")
		require.Equal(t, uint32(now.Unix()), tpl.ntime)
		require.Len(t, tpl.branch, branches)
		require.NotEqual(t, tpl.branch, newTemplate(now, size).branch)
	}
	block, err := sha256d.TargetFromCompact(nbits)
	require.NoError(t, err)
	require.Equal(t, 0x1p62, sha256d.Difficulty(block))
	require.Equal(t, []byte{0xff, 0x7f}, number(0x7fff))
	require.Equal(t, []byte{0x00, 0x80, 0x00}, number(0x8000), "the highest bit is a sign")
}

// A thousand jobs go from the pool to a miner that was written from the
// protocol and come back as shares, at every size of extranonce2, with rolled
// versions, times and extranonces.
func TestRoundTrip(t *testing.T) {
	const jobs = 1000
	r := rand.New(rand.NewPCG(8, 1))
	for size := 4; size <= maxTheirs; size++ {
		for _, roll := range []bool{false, true} {
			t.Run(fmt.Sprintf("size=%d,roll=%v", size, roll), func(t *testing.T) {
				s, address := pool(t, Config{Difficulty: 0x1p-24, Extranonce2: size})
				m := connect(t, dial(t, address), "w", roll)
				require.Equal(t, size, m.Size)
				seen := map[string]bool{}
				shares := uint64(0)
				for len(seen) < jobs/10 {
					for m.Job == nil || seen[m.Job.ID] {
						_, err := m.Read()
						require.NoError(t, err)
					}
					seen[m.Job.ID] = true
					require.Equal(t, len(seen), m.Clean)
					bits := r.Uint32()
					for _, f := range m.Mine(2, r.Uint64(), m.Job.NTime+r.Uint32N(ntimeSpan+1), bits) {
						require.True(t, roll || f.Bits&m.Mask == 0)
						require.Empty(t, m.Submit(f), "a share that %v", m.Params(f))
						shares++
					}
					w := s.Workers()[0]
					w.mu.Lock()
					w.renew()
					w.mu.Unlock()
				}
				require.Equal(t, shares, s.Workers()[0].Tally().Count[Accepted])
				require.Equal(t, shares, total(s.Workers()[0].Tally()))
			})
		}
	}
}

// total is of all classes.
func total(t Tally) (n uint64) {
	for _, k := range t.Count {
		n += k
	}
	return n
}
