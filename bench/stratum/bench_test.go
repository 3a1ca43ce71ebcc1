package stratum

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/kernels/sha256d"
)

// BenchmarkShare is what a share costs the pool, from the line to the answer,
// where a device takes a new extranonce2 for each (fresh) and where it rolls
// versions and times (rolled); bare is encoding/json on line and answer and the
// double SHA-256 of the header, and bare-root the hashes of the coinbase and
// its branches too, which a fresh extranonce2 needs.
func BenchmarkShare(b *testing.B) {
	setup := func(b *testing.B, each int) (k *talk, lines [][]byte, headers []sha256d.Header) {
		k = newTalk(b, Config{Difficulty: 0x1p-30})
		k.begin()
		for extra := uint64(0); len(lines) < 20_000; extra++ {
			for _, f := range k.m.Mine(each, extra, k.m.Job.NTime, 0) {
				k.id++
				lines = append(lines, fmt.Appendf(nil, `{"params":%s,"id":%d,"method":"mining.submit"}`, k.m.Params(f), k.id))
				headers = append(headers, f.Header)
			}
		}
		return k, lines, headers
	}
	for name, each := range map[string]int{"fresh": 1, "rolled": 1000} {
		b.Run(name, func(b *testing.B) {
			k, lines, _ := setup(b, each)
			job := k.s.jobs[0]
			var out []byte
			var err error
			i := 0
			b.ReportAllocs()
			for b.Loop() {
				if i%len(lines) == 0 {
					clear(job.seen) // as a new job has none
				}
				out, err = k.s.handle(lines[i%len(lines)], k.now, out[:0])
				i++
			}
			require.NoError(b, err)
			require.Contains(b, string(out), "true")
			require.Equal(b, uint64(i), k.s.worker.Tally().Count[Accepted])
		})
	}
	for _, root := range []bool{false, true} {
		name := "bare"
		if root {
			name = "bare-root"
		}
		b.Run(name, func(b *testing.B) {
			k, lines, headers := setup(b, 1000)
			job := k.s.jobs[0]
			i, met := 0, 0
			b.ReportAllocs()
			for b.Loop() {
				var r struct {
					ID     json.RawMessage `json:"id"`
					Method string          `json:"method"`
					Params []string        `json:"params"`
				}
				if err := json.Unmarshal(lines[i%len(lines)], &r); err != nil {
					b.Fatal(err)
				}
				if root {
					job.root(k.s.ours[:], k.s.ours[:])
				}
				digest := sha256d.Sum(&headers[i%len(lines)])
				if job.target.Met(digest) {
					met++
				}
				if _, err := json.Marshal(struct {
					ID     json.RawMessage `json:"id"`
					Result any             `json:"result"`
					Error  any             `json:"error"`
				}{r.ID, true, nil}); err != nil {
					b.Fatal(err)
				}
				i++
			}
			require.Equal(b, i, met)
		})
	}
}

// BenchmarkTemplate is what a new job costs, once for all devices.
func BenchmarkTemplate(b *testing.B) {
	now := time.Now()
	for b.Loop() {
		newTemplate(now, 4)
	}
}
