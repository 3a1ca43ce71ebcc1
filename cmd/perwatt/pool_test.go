package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/bench/stratum/stratumtest"
	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/resultstest"
	"github.com/perwatt/perwatt/results/store"
)

// said is an output that is read while it is written.
type said struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (s *said) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.Write(b)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.String()
}

// until waits for what matches and returns its first group.
func (s *said) until(t *testing.T, pattern string) string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	for limit := time.Now().Add(time.Minute); time.Now().Before(limit); time.Sleep(5 * time.Millisecond) {
		if m := re.FindStringSubmatch(s.String()); m != nil {
			return m[len(m)-1]
		}
	}
	require.Fail(t, "not said", "%s: %s", pattern, s)
	return ""
}

// playing is perwatt pool while it runs in this process.
type playing struct {
	t              *testing.T
	dir            string
	stdout, stderr said
	address        string
	stop           context.CancelFunc
	ended          chan int
}

const difficulty = "9.5367431640625e-07" // 2^-20

func play(t *testing.T, args ...string) *playing {
	p := &playing{t: t, dir: t.TempDir(), ended: make(chan int, 1)}
	ctx, stop := context.WithCancel(context.Background())
	p.stop = stop
	t.Cleanup(stop)
	args = append([]string{"pool", "--listen", "127.0.0.1:0", "--store", p.dir, "--difficulty", difficulty,
		"--warmup", "300ms", "--settle", "200ms", "--window", "1s", "--interval", "50ms"}, args...)
	go func() { p.ended <- run(ctx, args, &p.stdout, &p.stderr) }()
	p.address = p.stderr.until(t, `stratum\+tcp://(\S+),`)
	return p
}

// miner has somebody mine against the pool until the test is over.
func (p *playing) miner(name string, pause func()) (stop func()) {
	c, err := net.Dial("tcp", p.address)
	require.NoError(p.t, err)
	stop = sync.OnceFunc(stratumtest.Connect(p.t, c, name, true).Keep(pause))
	p.t.Cleanup(func() { stop(); c.Close() })
	return stop
}

// random is a pause as a device has it that finds a share every 10 ms, however
// long the one before took to hand in.
func random() func() {
	r := rand.New(rand.NewPCG(8, 9))
	next := time.Now()
	return func() {
		next = next.Add(time.Duration(r.ExpFloat64() * 1e7))
		time.Sleep(time.Until(next))
	}
}

// wait returns the exit code and the records that were kept.
func (p *playing) wait() (code int, records map[string]*results.Record) {
	p.t.Helper()
	select {
	case code = <-p.ended:
	case <-time.After(2 * time.Minute):
		require.Fail(p.t, "it does not end", "%s", &p.stderr)
	}
	return code, kept(p.t, p.dir)
}

func kept(t *testing.T, dir string) map[string]*results.Record {
	t.Helper()
	entries, err := store.List(dir)
	require.NoError(t, err)
	records := map[string]*results.Record{}
	for _, e := range entries {
		rec, err := results.ReadFile(e.Path)
		require.NoError(t, err)
		records[rec.Node.Name] = rec
	}
	return records
}

// antminer answers as one does, and says that it makes a rate.
func antminer(t *testing.T, rate float64) (address string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	const dir = "../../harness/miner/cgminer/testdata/antminer/"
	began := time.Now()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				var q struct{ Command string }
				if json.NewDecoder(c).Decode(&q) != nil {
					return
				}
				raw, err := os.ReadFile(dir + q.Command + ".json")
				if err != nil {
					raw = []byte(`{"STATUS":[{"STATUS":"E","Msg":"Invalid command"}],"id":1}`)
				}
				elapsed := time.Since(began).Seconds() + 1000
				for key, v := range map[string]float64{"Total MH": rate * elapsed / 1e6, "Elapsed": elapsed, "GHS av": rate / 1e9, "GHS 5s": rate / 1e9} {
					raw = regexp.MustCompile(`"`+key+`":[0-9.]+`).ReplaceAll(raw, fmt.Appendf(nil, `"%s":%.6f`, key, v))
				}
				_, _ = c.Write(append(raw, 0))
			}()
		}
	}()
	return l.Addr().String()
}

// Two devices at once, each with its meter and one with an API of its own:
// two records, which compare takes beside a server's.
func TestPool(t *testing.T) {
	t.Parallel()
	p := play(t, "--duration", "3s", "--expect", "20MH", "--label", "site=north",
		"--meter", "exec:echo 1000 W,boundary=wall,accuracy=1%,name=left", "--meter", "exec:echo 3000 W,boundary=wall,accuracy=1%,name=right",
		"--map", "rig=1=right", "--map", "rig 2=left", "--device", "cgminer:"+antminer(t, 7e12)+",name=s21", "--map", "rig=1=s21")
	p.miner("rig=1", random())
	p.miner("rig 2", random())
	code, records := p.wait()
	require.Equal(t, exitOK, code, &p.stderr)
	require.Len(t, records, 2)
	for name, watts := range map[string]float64{"rig=1": 3000, "rig 2": 1000} {
		rec := records[name]
		require.NotNil(t, rec)
		require.Equal(t, results.Complete, rec.State)
		require.Equal(t, "north", rec.Plan.Labels["site"])
		require.Len(t, rec.Runs, 3)
		require.Len(t, rec.Meters, 1)
		m := rec.Summary.Rows[0].Metrics
		require.Equal(t, watts, math.Round(float64(m[results.Power].Value)), name)
		require.InEpsilon(t, float64(m[results.Throughput].Value)/watts, float64(m[results.WorkPerEnergy].Value), 0.05)
		require.Equal(t, results.Measured, m[results.WorkPerEnergy].Origin)
		u := rec.Runs[0].Uses[0]
		require.Equal(t, results.Float(4096), u.Shares.Work)
		require.Equal(t, "testminer/1", u.Shares.Agent)
		for _, r := range rec.Runs {
			require.Equal(t, results.OK, r.Status)
			window, _ := r.Phase(results.PhaseMeasure)
			require.InDelta(t, 1, float64(window.To-window.From), 0.9)
		}
		require.Contains(t, p.stdout.String(), name)
	}
	require.Equal(t, "Antminer S19 Pro", records["rig=1"].Node.Device(results.MinerDevice).Model)
	require.NotEmpty(t, records["rig=1"].Summary.Claims)
	claim := records["rig=1"].Summary.Claims[0]
	require.Equal(t, "s21", claim.Device)
	require.Greater(t, float64(claim.Ratio), 1000.0)
	require.Contains(t, p.stdout.String(), "self-reported")
	require.Contains(t, p.stdout.String(), "J/TH")
	require.Empty(t, records["rig 2"].Summary.Claims)

	// Together with a server: one table, in which what is not comparable is
	// kept apart.
	server := resultstest.Session(resultstest.Server("epyc", 1), 1, 6, 8)
	st, err := store.Open(p.dir)
	require.NoError(t, err)
	_, err = st.Keep(server)
	require.NoError(t, err)
	files, err := filepath.Glob(p.dir + "/*/*.json")
	require.NoError(t, err)
	require.Len(t, files, 3)
	var out, errs bytes.Buffer
	run(t.Context(), append([]string{"compare"}, files...), &out, &errs)
	for _, want := range []string{"rig=1", "rig 2", "epyc", "mining"} {
		require.Contains(t, out.String(), want, &errs)
	}
	page := filepath.Join(t.TempDir(), "page.html")
	require.Contains(t, []int{exitOK, exitGate}, run(t.Context(), append([]string{"report", "-o", page}, files...), &out, &errs), &errs)
	html, err := os.ReadFile(page)
	require.NoError(t, err)
	require.Contains(t, string(html), "rig=1")
	out.Reset()
	require.Equal(t, exitOK, run(t.Context(), []string{"ls", "--store", p.dir}, &out, &errs), &errs)
	require.Contains(t, out.String(), "Antminer S19 Pro right/wall")
	require.Contains(t, out.String(), "testminer left/wall")
	require.Equal(t, "1", records["rig 2"].Node.Device(results.MinerDevice).Firmware, "its firmware is not what it is")
	out.Reset()
	require.Equal(t, exitOK, run(t.Context(), []string{"track", "--store", p.dir}, &out, &errs), &errs)
	require.Contains(t, out.String(), "3 groups")
	for _, f := range files {
		require.Equal(t, exitOK, run(t.Context(), []string{"verify", f}, &out, &errs), &errs)
	}
}

// A device that hands its shares in twice gets no figure but the reason; the
// honest one beside it does.
func TestPoolFindsCheats(t *testing.T) {
	t.Parallel()
	p := play(t, "--duration", "2s", "--format", "json")
	p.miner("honest", random())
	c, err := net.Dial("tcp", p.address)
	require.NoError(t, err)
	defer c.Close()
	m := stratumtest.Connect(t, c, "cheat\x1b[31m\u009b\u202e::error::x", true)
	over := make(chan struct{})
	var wait sync.WaitGroup
	wait.Go(func() {
		for extra := uint64(0); ; extra++ {
			for m.Job == nil {
				if _, err := m.Read(); err != nil {
					return
				}
			}
			s := m.Mine(1, extra, m.Job.NTime, 0)[0]
			for range 2 {
				if _, err := fmt.Fprintf(c, `{"id":9,"method":"mining.submit","params":%s}`+"\n", m.Params(s)); err != nil {
					return
				}
				if _, err := m.Read(); err != nil {
					return
				}
			}
			select {
			case <-over:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	})
	code, records := p.wait()
	close(over)
	wait.Wait()
	require.Equal(t, exitGate, code, &p.stderr)
	require.Equal(t, results.OK, records["honest"].Runs[0].Status)
	bad := records["cheat\x1b[31m\u009b\u202e::error::x"]
	for _, r := range bad.Runs {
		require.Equal(t, results.Void, r.Status)
		require.Contains(t, r.Error, "replays it")
	}
	require.Empty(t, bad.Summary.Rows)
	require.Contains(t, p.stderr.String(), "1 of 2 workers gave no result")
	requireHarmless(t, "standard error", p.stderr.String(), false)
	requireHarmless(t, "standard output", p.stdout.String(), false)
	in := json.NewDecoder(strings.NewReader(p.stdout.String()))
	for range 2 {
		var rec results.Record
		require.NoError(t, in.Decode(&rec), "nothing but records goes to standard output")
	}
	require.ErrorIs(t, in.Decode(new(any)), io.EOF)
}

func TestPoolUntil(t *testing.T) {
	t.Parallel()
	p := play(t, "--until", "12%")
	p.miner("w", random())
	code, records := p.wait()
	require.Equal(t, exitOK, code, &p.stderr)
	rec := records["w"]
	require.Equal(t, results.Complete, rec.State)
	m := rec.Summary.Rows[0].Metrics
	require.LessOrEqual(t, float64(m[results.Throughput].HalfWidth()), 0.13)
	require.Greater(t, float64(m[results.ShareCount].Value), 250.0)
	require.Equal(t, "12%", rec.Plan.Until)
}

// Ctrl-C ends a session with what it has.
func TestPoolIsInterrupted(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args  []string
		code  int
		state results.State
	}{{nil, exitOK, results.Complete}, {[]string{"--duration", "1h", "--window", "1s"}, exitInterrupted, results.Interrupted}} {
		p := play(t, c.args...)
		p.miner("w", random())
		p.stderr.until(t, "(is measured)")
		time.Sleep(1500 * time.Millisecond)
		p.stop()
		code, records := p.wait()
		require.Equal(t, c.code, code, &p.stderr)
		require.Equal(t, c.state, records["w"].State)
		require.NotEmpty(t, records["w"].Summary.Rows)
	}
	// Before anything was measured there is nothing to keep.
	p := play(t)
	p.stop()
	code, records := p.wait()
	require.Equal(t, exitInterrupted, code)
	require.Empty(t, records)
	require.Contains(t, p.stderr.String(), "no miner came")
	p = play(t, "--warmup", "1h")
	p.miner("w", random())
	p.stderr.until(t, `worker "(w)" from`)
	p.stop()
	code, records = p.wait()
	require.Equal(t, exitInterrupted, code)
	require.Empty(t, records)
	require.Regexp(t, "no worker came past its warm-up|perwatt: interrupted\n$", p.stderr.String()) // the second where ending takes long
}

// A pool that is killed leaves what it had measured, and the next one ends that
// session; one that goes on is left alone.
func TestPoolIsKilled(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("measures for ten seconds")
	}
	dir := t.TempDir()
	exe, err := exec.LookPath("perwatt") // testscript.Main has put it there
	require.NoError(t, err)
	cmd := exec.Command(exe, "pool", "--listen", "127.0.0.1:0", "--store", dir, "--difficulty", difficulty, "--warmup", "100ms", "--settle", "100ms", "--window", "1s", "--interval", "50ms")
	stderr, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	defer func() { _ = cmd.Process.Kill() }()
	in := bufio.NewScanner(stderr)
	require.True(t, in.Scan())
	address := regexp.MustCompile(`tcp://(\S+),`).FindStringSubmatch(in.Text())[1]
	go func() { _, _ = io.Copy(io.Discard, stderr) }()
	c, err := net.Dial("tcp", address)
	require.NoError(t, err)
	defer c.Close()
	stop := stratumtest.Connect(t, c, "w", true).Keep(random())
	require.Eventually(t, func() bool { return len(kept(t, dir)) == 1 }, time.Minute, 50*time.Millisecond)

	// Another one on the same store lets it be.
	other := play(t, "--store", dir)
	other.stop()
	other.wait()
	require.NotContains(t, other.stderr.String(), "killed")
	require.Equal(t, results.Running, kept(t, dir)["w"].State)

	stop()
	require.NoError(t, cmd.Process.Signal(syscall.SIGKILL))
	_ = cmd.Wait()
	next := play(t, "--store", dir)
	next.stop()
	next.wait()
	path := next.stderr.until(t, "a session that was killed is ended with what it had measured: (.*)")
	rec, err := results.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, results.Interrupted, rec.State)
	require.NotEmpty(t, rec.Summary.Rows)
	require.Positive(t, rec.Summary.Rows[0].Metrics[results.Throughput].Value)
	files, err := filepath.Glob(dir + "/*/*")
	require.NoError(t, err)
	require.Equal(t, []string{path}, files)
}

// A pool that is stopped for a moment says so. What its miner found meanwhile
// comes at once and counts for the window in which it was found, or that window is
// failed: no figure is wrong by it.
func TestPoolIsSuspended(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("measures for ten seconds")
	}
	for name, at := range map[string]time.Duration{"within a window": 100 * time.Millisecond, "at its end": 1500 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			exe, err := exec.LookPath("perwatt")
			require.NoError(t, err)
			cmd := exec.Command(exe, "pool", "--listen", "127.0.0.1:0", "--store", dir, "--difficulty", difficulty,
				"--warmup", "100ms", "--settle", "100ms", "--duration", "7500ms", "--window", "2500ms", "--interval", "50ms")
			var stderr said
			cmd.Stderr = &stderr
			require.NoError(t, cmd.Start())
			defer func() { _ = cmd.Process.Kill() }()
			c, err := net.Dial("tcp", stderr.until(t, `tcp://(\S+),`))
			require.NoError(t, err)
			defer c.Close()
			stop := stratumtest.Connect(t, c, "w", true).Keep(random())
			defer stop()
			stderr.until(t, `(is measured)`)
			time.Sleep(at)
			require.NoError(t, cmd.Process.Signal(syscall.SIGSTOP))
			time.Sleep(time.Second)
			require.NoError(t, cmd.Process.Signal(syscall.SIGCONT))
			require.NoError(t, cmd.Wait(), &stderr)
			rec := kept(t, dir)["w"]
			failed := 0
			for _, r := range rec.Runs {
				if r.Status != results.OK {
					failed++
				}
			}
			require.True(t, slices.ContainsFunc(rec.Summary.Flags, func(f results.Warning) bool {
				return f.Code == "suspended" && strings.Contains(f.Text, "perwatt did not run")
			}), "%v", rec.Summary.Flags)
			require.Less(t, failed, len(rec.Runs))
			rate := rec.Summary.Rows[0].Metrics[results.Throughput]
			truth := 100 * rec.Runs[0].Uses[0].Shares.Work
			t.Logf("%d of %d windows failed; %.3f of the truth, %.3f to %.3f", failed, len(rec.Runs), rate.Value/truth, rate.Low/truth, rate.High/truth)
			require.InDelta(t, 1, float64(rate.Value/truth), 0.25, "four standard deviations of the shares of one window")
		})
	}
}

// Who is turned away is told once, with address and reason; that no miner came
// is said only where none did. A stranger that hands in nothing takes no meter
// from a device.
func TestPoolTurnsAway(t *testing.T) {
	t.Parallel()
	say := func(p *playing, lines ...string) net.Conn {
		c, err := net.Dial("tcp", p.address)
		require.NoError(t, err)
		t.Cleanup(func() { c.Close() })
		require.NoError(t, c.SetDeadline(time.Now().Add(10*time.Second)))
		_, err = io.WriteString(c, strings.Join(lines, "\n")+"\n")
		require.NoError(t, err)
		return c
	}
	p := play(t, "--duration", "2s")
	for range 3 {
		c := say(p, `{"id":1,"method":"mining.authorize","params":["",""]}`)
		_, err := bufio.NewReader(c).ReadString('\n')
		require.NoError(t, err)
		_, err = io.ReadAll(say(p, "\x16\x03\x01 hello"))
		require.NoError(t, err)
	}
	p.stderr.until(t, `(plain Stratum)`)
	p.stop()
	code, records := p.wait()
	require.Equal(t, exitInterrupted, code)
	require.Empty(t, records)
	said := p.stderr.String()
	require.Equal(t, 1, strings.Count(said, "127.0.0.1: turned away: it gave its worker no name"), said)
	require.Equal(t, 1, strings.Count(said, "127.0.0.1: turned away: it began with a TLS hello"), said)
	require.NotContains(t, said, "no miner came")
	require.Contains(t, said, "no worker handed in a share: 6 connections came to")

	p = play(t, "--duration", "1s", "--workers", "1", "--meter", "exec:echo 1000 W,boundary=wall,name=plug")
	for i := range 20 {
		say(p, `{"id":1,"method":"mining.subscribe","params":["junk/1"]}`, fmt.Sprintf(`{"id":2,"method":"mining.authorize","params":["junk%d","x"]}`, i))
	}
	p.miner("honest", random())
	code, records = p.wait()
	require.Equal(t, exitOK, code, &p.stderr)
	require.Len(t, records, 1)
	require.Len(t, records["honest"].Meters, 1)
	require.NotContains(t, p.stdout.String(), "junk")
}

// The only meter is the first worker's, and if there is another that is said.
func TestPoolMetersOfNobody(t *testing.T) {
	t.Parallel()
	p := play(t, "--duration", "2s", "--meter", "exec:echo 1000 W,boundary=wall,name=plug")
	p.miner("first", random())
	p.stderr.until(t, `(worker "first" from)`)
	p.miner("second", random())
	code, records := p.wait()
	require.Equal(t, exitOK, code, &p.stderr)
	codes := map[string]bool{}
	for _, w := range records["first"].Warnings {
		codes[w.Code] = true
	}
	require.True(t, codes["meter-shared"])
	require.Len(t, records["first"].Meters, 1)
	require.Empty(t, records["second"].Meters)
	require.True(t, records["second"].Summary.Rows[0].Metrics[results.Power].Value.IsAbsent())
}

func TestPoolUsage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, c := range []struct {
		args string
		want string
	}{
		{"--expect 200", "such as 200TH"}, {"--expect TH", "such as 200TH"}, {"--expect -1TH", "such as 200TH"}, {"--expect 200T", "such as 200TH"}, {"--expect 1e999H", "such as 200TH"},
		{"--until 2", "such as 2%"}, {"--until 0%", "such as 2%"}, {"--until 90%", "such as 2%"}, {"--until NaN%", "such as 2%"},
		{"--duration 1ms", "--duration 1ms: must be from 1s"}, {"--window 100h", "--window"}, {"--interval 1ns", "--interval"}, {"--warmup -1s", "--warmup"}, {"--settle -1s", "--settle"},
		{"--workers 0", "--workers 0"}, {"--extranonce 3", "use 4 to 8"}, {"--difficulty -1", "difficulty -1"}, {"--format pdf", "--format"},
		{"--listen a:b:c", "--listen"}, {"--listen 256.0.0.1:1", "--listen"}, {"--meter auto", "name the device's own"}, {"--meter none", "name the device's own"},
		{"--meter crystal-ball", "--meter"}, {"--device oracle:x", "--device"}, {"--device axeos", "--device"}, {"--map x", "WORKER=NAME"}, {"--map x=y", "no meter or device has that name"},
		{"--map =y", "WORKER=NAME"}, {"--store /dev/null/x", "--store"}, {"extra", "perwatt pool"},
	} {
		var out, errs bytes.Buffer
		args := append([]string{"pool", "--listen", "127.0.0.1:0", "--store", dir}, strings.Fields(c.args)...)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		require.Equal(t, exitUsage, run(ctx, args, &out, &errs), "%s: %s", c.args, &errs)
		cancel()
		require.Contains(t, errs.String(), c.want, c.args)
		require.Empty(t, out.String())
	}
	for text, want := range map[string]float64{"200TH": 200e12, "1.2 PH/s": 1.2e15, "500kH": 5e5, "10 MH": 1e7, "7H/s": 7, "0.5EH": 5e17, "1e3GH": 1e12} {
		got, err := hashrate(text)
		require.NoError(t, err, text)
		require.InEpsilon(t, want, got, 1e-12, text)
	}
}
