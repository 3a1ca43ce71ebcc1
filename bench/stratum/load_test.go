//go:build unix

package stratum

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/perwatt/perwatt/kernels/sha256d"
)

const loadEnv = "PERWATT_TEST_LOAD"

// TestMain lets the test binary be the devices of a load.
func TestMain(m *testing.M) {
	if text := os.Getenv(loadEnv); text != "" {
		var l load
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			panic(err)
		}
		l.run(os.Stdin, os.Stdout)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// load is what many devices do at once, in a process of their own.
type load struct {
	Address string
	Devices int
	Rate    float64 // shares a second of each
	Seconds float64
}

// heard is what they saw.
type heard struct {
	Shares, Refused  int64
	Failed           string
	P50, P99, Worst  float64 // s, from before a share is written to after its answer is read
	Own50, Own99     float64 // s, the same of a wait for a timer: what this process is late by itself
	CPU              float64 // s, of this process
	ConnectedSeconds float64
}

// run connects the devices, says so, waits for a line, and lets them mine.
func (l load) run(in io.Reader, out io.Writer) {
	var h heard
	var mu sync.Mutex
	var waits, own []float64
	var connected, ready sync.WaitGroup
	var refused, shares atomic.Int64
	began := time.Now()
	start := make(chan struct{})
	var end time.Time
	slots := make(chan struct{}, 64)
	fail := func(err error) {
		mu.Lock()
		defer mu.Unlock()
		h.Failed = err.Error()
	}
	for i := range l.Devices {
		connected.Add(1)
		ready.Go(func() {
			slots <- struct{}{}
			d, err := newSwift(l.Address, fmt.Sprintf("d%d", i))
			<-slots
			connected.Done()
			if err != nil {
				fail(err)
				return
			}
			defer d.conn.Close()
			<-start
			var mine, late []float64
			r := rand.New(rand.NewPCG(8, uint64(i)))
			for next := time.Now().Add(time.Duration(r.ExpFloat64() / l.Rate * 1e9)); next.Before(end); next = next.Add(time.Duration(r.ExpFloat64() / l.Rate * 1e9)) {
				time.Sleep(time.Until(next))
				late = append(late, time.Since(next).Seconds())
				line := d.share()
				asked := time.Now()
				ok, err := d.ask(line)
				if err != nil {
					fail(err)
					return
				}
				mine = append(mine, time.Since(asked).Seconds())
				shares.Add(1)
				if !ok {
					refused.Add(1)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			waits, own = append(waits, mine...), append(own, late...)
		})
	}
	connected.Wait()
	h.ConnectedSeconds = time.Since(began).Seconds()
	fmt.Fprintln(out, "connected")
	_, _ = bufio.NewReader(in).ReadString('\n')
	end = time.Now().Add(time.Duration(l.Seconds * 1e9))
	close(start)
	ready.Wait()
	slices.Sort(waits)
	slices.Sort(own)
	h.Shares, h.Refused = shares.Load(), refused.Load()
	at := func(s []float64, q float64) float64 {
		if len(s) == 0 {
			return 0
		}
		return s[min(len(s)-1, int(q*float64(len(s))))]
	}
	h.P50, h.P99, h.Worst, h.Own50, h.Own99 = at(waits, 0.5), at(waits, 0.99), at(waits, 1), at(own, 0.5), at(own, 0.99)
	h.CPU = cpuSeconds()
	_ = json.NewEncoder(out).Encode(h)
}

// cpuSeconds is what this process has used.
func cpuSeconds() float64 {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

// swift is a device that costs little: it knows just enough of the protocol to
// hand in good shares of a low difficulty.
type swift struct {
	conn   net.Conn
	in     *bufio.Reader
	name   string
	ours   []byte
	target sha256d.Target
	id     string
	header sha256d.Header
	ntime  []byte
	nonce  uint32
	out    []byte
	asked  int
}

func newSwift(address, name string) (*swift, error) {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	d := &swift{conn: c, in: bufio.NewReaderSize(c, 2048), name: name}
	if _, err := fmt.Fprintf(c, `{"id":1,"method":"mining.subscribe","params":["swift/1"]}`+"\n"+`{"id":2,"method":"mining.authorize","params":[%q]}`+"\n", name); err != nil {
		return nil, err
	}
	for d.id == "" {
		if _, err := d.line(); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// line reads one line and acts on it.
func (d *swift) line() (line []byte, err error) {
	if line, err = d.in.ReadSlice('\n'); err != nil {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(line, []byte(`{"id":1,"result":[[[`)):
		at := bytes.Index(line, []byte(`]],"`)) + 4
		if d.ours, err = hex.DecodeString(string(line[at : at+2*own])); err != nil {
			return nil, err
		}
	case bytes.Contains(line, []byte("mining.set_difficulty")):
		var msg struct{ Params []float64 }
		if err := json.Unmarshal(line, &msg); err != nil {
			return nil, err
		}
		d.target, err = sha256d.TargetFromDifficulty(msg.Params[0])
	case bytes.Contains(line, []byte("mining.notify\"")) && bytes.HasPrefix(line, []byte(`{"id":null`)):
		d.work(line)
	}
	return line, err
}

// work takes a job in, with an extranonce2 of zero.
func (d *swift) work(line []byte) {
	var msg struct{ Params []any }
	if err := json.Unmarshal(line, &msg); err != nil {
		panic(err)
	}
	text := func(i int) []byte { b, _ := hex.DecodeString(msg.Params[i].(string)); return b }
	sum := func(b []byte) []byte {
		once := sha256.Sum256(b)
		again := sha256.Sum256(once[:])
		return again[:]
	}
	root := sum(slices.Concat(text(2), d.ours, make([]byte, 4), text(3)))
	for _, b := range msg.Params[4].([]any) {
		h, _ := hex.DecodeString(b.(string))
		root = sum(append(root, h...))
	}
	var prev [32]byte
	for i, b := range text(1) {
		prev[i^3] = b
	}
	word := func(i int) uint32 { return binary.BigEndian.Uint32(text(i)) }
	d.header = sha256d.NewHeader(word(5), prev, [32]byte(root), word(7), word(6))
	d.id, d.ntime, d.nonce = msg.Params[0].(string), []byte(msg.Params[7].(string)), 0
}

// share finds one and writes the line that hands it in.
func (d *swift) share() []byte {
	for {
		d.header.SetNonce(d.nonce)
		d.nonce++
		if d.target.Met(sha256d.Sum(&d.header)) {
			break
		}
	}
	d.asked++
	b := append(d.out[:0], `{"id":`...)
	b = strconv.AppendInt(b, int64(d.asked)+10, 10)
	b = append(append(b, `,"method":"mining.submit","params":["`...), d.name...)
	b = append(append(b, `","`...), d.id...)
	b = append(append(b, `","00000000","`...), d.ntime...)
	b = append(b, `","`...)
	b = hex.AppendEncode(b, binary.BigEndian.AppendUint32(nil, d.nonce-1))
	d.out = append(b, "\"]}\n"...)
	return d.out
}

// ask sends a line and reads up to its answer.
func (d *swift) ask(line []byte) (accepted bool, err error) {
	if _, err := d.conn.Write(line); err != nil {
		return false, err
	}
	for {
		line, err := d.line()
		if err != nil {
			return false, err
		}
		if !bytes.HasPrefix(line, []byte(`{"id":null`)) {
			return bytes.Contains(line, []byte(`"result":true`)), nil
		}
	}
}

// carry puts a load on a pool, and returns what the devices saw and what the
// pool's process used meanwhile.
func carry(t testing.TB, l load, connected func()) (h heard, cpu float64) {
	text, err := json.Marshal(l)
	require.NoError(t, err)
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), loadEnv+"="+string(text))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	answers := bufio.NewReader(out)
	_, err = answers.ReadString('\n')
	require.NoError(t, err)
	connected()
	before := cpuSeconds()
	_, err = io.WriteString(in, "go\n")
	require.NoError(t, err)
	require.NoError(t, json.NewDecoder(answers).Decode(&h))
	cpu = cpuSeconds() - before
	require.NoError(t, cmd.Wait())
	require.Empty(t, h.Failed)
	return h, cpu
}

// Many devices at once: none is refused a share, and none is lost.
func TestManyDevices(t *testing.T) {
	devices := 500
	if testing.Short() {
		devices = 50
	}
	s, address := pool(t, Config{Difficulty: 0x1p-30, Refresh: 3 * time.Second, Block: 3 * time.Second})
	h, _ := carry(t, load{address, devices, 2, 4}, func() {})
	require.Greater(t, h.Shares, int64(devices))
	counted := uint64(0)
	for _, w := range s.Workers() {
		tally := w.Tally()
		require.Equal(t, tally.Count[Accepted]+tally.Count[Stale], total(tally), w.Name())
		counted += total(tally)
	}
	require.Equal(t, uint64(h.Shares), counted)
	// One in three thousand hands in nothing in that time, and leaves nothing.
	require.InDelta(t, devices, len(s.Workers()), 5)
}

// BenchmarkLoad has ten thousand devices hand in two shares a second each. It
// reports what they wait for an answer, what they are late by themselves (they
// share the processors), and what the pool uses of a processor and of memory.
func BenchmarkLoad(b *testing.B) {
	const devices, rate, seconds = 10_000, 2, 20
	for b.Loop() {
		runtime.GC()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, address := pool(b, Config{Difficulty: 0x1p-30})
		h, cpu := carry(b, load{address, devices, rate, seconds}, func() {
			runtime.GC()
			runtime.ReadMemStats(&after)
		})
		each := float64(after.HeapAlloc+after.StackInuse) - float64(before.HeapAlloc+before.StackInuse)
		b.ReportMetric(1e3*h.P50, "p50-ms")
		b.ReportMetric(1e3*h.P99, "p99-ms")
		b.ReportMetric(1e3*h.Worst, "worst-ms")
		b.ReportMetric(1e3*h.Own99, "own-p99-ms")
		b.ReportMetric(float64(h.Shares)/seconds, "shares/s")
		b.ReportMetric(float64(h.Refused), "refused")
		b.ReportMetric(cpu/seconds, "pool-cpus")
		b.ReportMetric(h.CPU/seconds, "devices-cpus")
		b.ReportMetric(each/devices, "B/conn")
		b.ReportMetric(h.ConnectedSeconds, "connect-s")
	}
}
