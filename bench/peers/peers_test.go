package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/kernels/sgemm/shapes"
)

// fakeEnv makes this test binary a peer of that kind.
const fakeEnv = "PERWATT_TEST_PEER"

func TestMain(m *testing.M) {
	switch kind := os.Getenv(fakeEnv); kind {
	case "":
		os.Exit(m.Run())
	case "silent":
		time.Sleep(time.Hour)
	case "chatty":
		fmt.Println("Intel MKL WARNING: not what was asked for")
	case "endless":
		for {
			fmt.Print("no newline ")
		}
	case "absent":
		fmt.Fprintln(os.Stderr, "libnone.so: cannot open\x1b[31m shared | object")
		os.Exit(3)
	default:
		answers := 0
		_ = answer(os.Stdin, os.Stdout, "Fake 1.0", kind+" kernel", func(time.Duration, string) (float64, float64, error) {
			if answers++; answers > 2 {
				switch kind {
				case "dies":
					fmt.Fprintln(os.Stderr, "out of luck")
					os.Exit(7)
				case "hangs":
					time.Sleep(time.Hour)
				case "lies":
					return 1, 0, nil
				}
			}
			return 16, 1, nil
		})
	}
}

// fake starts this test binary as a peer.
func fake(kind string, patience time.Duration) func(context.Context) (contestant, error) {
	return func(ctx context.Context) (contestant, error) {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		s, err := start(ctx, patience, []string{fakeEnv + "=" + kind}, self)
		if err != nil {
			return nil, err
		}
		if kind == "hangs" {
			s.patience = time.Second
		}
		return s, nil
	}
}

// counted notes the order of calls.
type counted struct {
	name  string
	rates []float64 // in turn
	log   *[]string
}

func (c *counted) measure(_ context.Context, task string, _ time.Duration) (float64, error) {
	*c.log = append(*c.log, c.name+" "+task)
	rate := c.rates[0]
	c.rates = append(c.rates[1:], rate)
	return rate, nil
}
func (c *counted) about() (string, string) { return c.name, c.name + " kernel" }
func (c *counted) close() error            { *c.log = append(*c.log, c.name+" closed"); return nil }

func opened(c contestant) func(context.Context) (contestant, error) {
	return func(context.Context) (contestant, error) { return c, nil }
}

func TestMeasureAlternates(t *testing.T) {
	var log []string
	r := row{
		name: "product", unit: "FLOP", tasks: []task{{"x", "a"}, {"y", "b"}},
		ours: opened(&counted{"ours", []float64{8, 2, 4}, &log}),
		peer: peer{name: "peer", open: opened(&counted{"peer", []float64{1, 1, 1, 4, 4, 4}, &log})},
	}
	res := r.measure(t.Context(), 3, io.Discard)
	require.NoError(t, res.err)
	require.Equal(t, []string{
		"ours a", "peer a", "peer a", "ours a", "ours a", "peer a",
		"ours b", "peer b", "peer b", "ours b", "ours b", "peer b", "ours closed", "peer closed",
	}, log)
	// Ratios: 8, 2, 4 of the one task and 2, ½, 1 of the other.
	require.InDeltaSlice(t, []float64{1, 2, 4}, res.ratios, 1e-12)
	require.InDelta(t, 4, res.ourRate, 1e-12)
	require.InDelta(t, 2, res.peerRate, 1e-12)
	require.Equal(t, "y", res.leastTask)
	require.InDelta(t, 1, res.leastRatio, 1e-12)
}

func TestPeerCostsOnlyItsRow(t *testing.T) {
	for _, c := range []struct {
		kind     string
		patience time.Duration
		want     string
	}{
		{"good", time.Minute, ""},
		{"dies", time.Minute, "peer: scan: it ended (exit status 7): out of luck"},
		{"hangs", time.Minute, "peer: scan: no answer in 1.02s"},
		{"lies", time.Minute, `peer: scan: the answer is "1 0", want work and CPU seconds`},
		{"silent", time.Second, "no answer in 1s; it can be had from a test"},
		{"chatty", time.Minute, `it begins with "Intel MKL WARNING: not what was asked for"`},
		{"endless", time.Minute, "it ended (signal: killed)"},
		{"absent", time.Minute, "it ended (exit status 3): libnone.so: cannot open [31m shared object; it can be had from a test"},
	} {
		t.Run(c.kind, func(t *testing.T) {
			t.Parallel()
			r := row{name: "hashes", unit: "hash", tasks: []task{{"scan", "x"}}, length: time.Millisecond, ours: fake("good", time.Minute), peer: peer{"Fake", "a test", fake(c.kind, c.patience)}}
			var progress bytes.Buffer
			res := r.measure(t.Context(), 3, &progress)
			if c.want == "" {
				require.NoError(t, res.err)
				require.Equal(t, []float64{1, 1, 1}, res.ratios)
				require.Equal(t, "Fake 1.0, good kernel", res.version+", "+res.kernel)
				require.Contains(t, progress.String(), "hashes, Fake: scan: 1.000, 1.000 to 1.000")
				return
			}
			require.ErrorContains(t, res.err, c.want)
			require.Contains(t, progress.String(), "not measured")
		})
	}
}

func TestMissingProgram(t *testing.T) {
	_, err := start(t.Context(), time.Minute, nil, "/nonexistent/peer")
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = host{cpus: []int{0}}.miner("perwatt-no-such-miner")(t.Context())
	require.ErrorContains(t, err, "not found")
}

func TestParseAnswer(t *testing.T) {
	rate, err := parseAnswer("3e9 1.5")
	require.NoError(t, err)
	require.Equal(t, 2e9, rate)
	for _, line := range []string{"", "1", "1 2 3", "x 1", "1 x", "0 1", "1 0", "-1 -1", "NaN 1", "1 NaN", "Inf 1", "1 Inf", "1e308 1e-308"} {
		_, err := parseAnswer(line)
		require.Error(t, err, line)
	}
}

func TestRequest(t *testing.T) {
	for _, s := range slices.Concat(shapes.Peers, shapes.Training) {
		if s.M*s.N*s.K > 1<<21 {
			s.M, s.N, s.K = min(s.M, 70), min(s.N, 80), min(s.K, 90) // operands are filled
		}
		got, err := parseRequest(request(s))
		require.NoError(t, err)
		_, lda, _, ldb, _, ldc := s.Operands(func() float32 { return 0 })
		require.Equal(t, [3]int{lda, ldb, ldc}, [3]int{got.A, got.B, got.C}, s)
		got.Name, got.A, got.B, got.C = s.Name, s.A, s.B, s.C
		require.Equal(t, s, got)
	}
	_, err := parseRequest("0 1 2")
	require.ErrorContains(t, err, `request "0 1 2"`)
}

func TestMinerLines(t *testing.T) {
	for line, want := range map[string]float64{
		"[2026-11-30 06:00:00] thread 0: 2097152 hashes, 7.25 Mhash/s":     7.25e6,
		"[2026-11-30 06:00:00] thread 0: 2097152 hashes, 7250 khash/s":     7.25e6,
		"[2026-11-30 06:00:00] Thread 0, CPU 1: 26.61 Mh/s":                26.61e6,
		"[2026-11-30 06:00:00] Total: 26.60 MH/s, Temp: 0C, Freq: 0/0 GHz": 0,
		"[2026-11-30 06:00:00] 1 miner threads started, using 'sha256d'":   0,
		"thread 0: -5 Mh/s":               0,
		"Thread 0, CPU 1: 0.00 Mh/s":      0,
		"Thread 0, CPU 1: 1e999 Mh/s":     0,
		strings.Repeat("thread 0: ", 100): 0,
	} {
		got, ok := parseScan(line)
		require.Equal(t, want > 0, ok, line)
		require.InDelta(t, want, got, 1, line)
	}
	for text, want := range map[string]string{
		"         **********  cpuminer-opt 26.1  *********** \n": "cpuminer-opt 26.1",
		"cpuminer 2.5.1\nlibcurl/7.88.1":                         "cpuminer 2.5.1",
		"no such option":                                         "",
	} {
		require.Equal(t, want, minerVersion(text))
	}
}

// A miner of which a clock without neighbours would say 10 hashes a second had half of
// the CPU.
func TestFollow(t *testing.T) {
	at := time.Unix(0, 0)
	now := func() time.Time { at = at.Add(time.Second); return at }
	used := 5.0
	cpu := func() (float64, error) { used += 0.5; return used, nil }
	lines := "Thread 0, CPU 1: 999 h/s\n" + strings.Repeat("noise\nThread 0, CPU 1: 10 h/s\n", 5)
	rate, err := follow(strings.NewReader(lines), 3*time.Second, now, cpu)
	require.NoError(t, err)
	require.InDelta(t, 20, rate, 1e-9)

	_, err = follow(strings.NewReader("Thread 0, CPU 1: 10 h/s\n"), time.Second, now, cpu)
	require.ErrorContains(t, err, "ended before")
	_, err = follow(strings.NewReader(lines), time.Second, now, func() (float64, error) { return 1, nil })
	require.ErrorContains(t, err, "no CPU time")
	_, err = follow(strings.NewReader(lines), time.Second, now, func() (float64, error) { return 0, errors.New("gone") })
	require.ErrorContains(t, err, "gone")
}

func TestCPUOf(t *testing.T) {
	got, err := cpuOf("/proc", os.Getpid())
	require.NoError(t, err)
	require.Greater(t, got, 0.0)

	proc := t.TempDir()
	_, err = cpuOf(proc, 7)
	require.ErrorContains(t, err, "no threads")
	for id, text := range map[string]string{"7": "1500000000 1 2\n", "8": "500000000 0 0\n"} {
		require.NoError(t, os.MkdirAll(filepath.Join(proc, "7/task", id), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(proc, "7/task", id, "schedstat"), []byte(text), 0o600))
	}
	got, err = cpuOf(proc, 7)
	require.NoError(t, err)
	require.Equal(t, 2.0, got)
	require.NoError(t, os.WriteFile(filepath.Join(proc, "7/task/8/schedstat"), []byte("many"), 0o600))
	_, err = cpuOf(proc, 7)
	require.ErrorContains(t, err, "invalid syntax")
}

// A program on PATH that prints what cpuminer-opt does.
func TestMiner(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	script := `#!/bin/sh
case "$*" in
--version) printf '   ***  cpuminer-opt 26.1  ***\nSW features:   AVX512 VAES SHA256 \n' ;;
"-a sha256d --benchmark -t 1 -s 1 --hash-meter --cpu-affinity "0x*) while :; do echo 'Thread 0, CPU 0: 5.00 Mh/s'; i=0; while [ $i -lt 2000 ]; do i=$((i+1)); done; done ;;
*) echo "unknown: $*"; exit 1 ;;
esac
`
	require.NoError(t, os.WriteFile(filepath.Join(dir, "miner"), []byte(script), 0o700)) // #nosec G306 -- it is executed
	h, err := thisHost(dir)
	require.NoError(t, err)
	m, err := h.miner("miner")(t.Context())
	require.NoError(t, err)
	name, kernel := m.about()
	require.Equal(t, "cpuminer-opt 26.1, built for AVX512 VAES SHA256", name+", "+kernel)
	rate, err := m.measure(t.Context(), "", 500*time.Millisecond)
	require.NoError(t, err)
	require.Greater(t, rate, 3e6, "the clock of CPU time lags by a tick or two of the 500 ms; neighbours only raise it")

	h.cpus = []int{64}
	_, err = h.miner("miner")(t.Context())
	require.ErrorContains(t, err, "first 64 CPUs")

	m.(*miner).command[len(m.(*miner).command)-1] = "none"
	_, err = m.measure(t.Context(), "", time.Second)
	require.ErrorContains(t, err, "ended before")
}

func TestParseCPUs(t *testing.T) {
	got, err := parseCPUs("\t0-2,7\n")
	require.NoError(t, err)
	require.Equal(t, []int{0, 1, 2, 7}, got)
	for _, list := range []string{"", "x", "3-1", "0-99999999999", "-1", "1,,2"} {
		_, err := parseCPUs(list)
		require.Error(t, err, list)
	}
}

func TestPrint(t *testing.T) {
	good := result{row: row{name: "sgemm", unit: "FLOP", tasks: make([]task, 2)}, impl: "avx512", version: "OpenBLAS 1", kernel: "Zen",
		ourRate: 1.5e9, peerRate: 1e12, ratios: []float64{0.5, 1, 2}, leastRatio: 0.25, leastTask: "wide"}
	bad := result{row: row{name: "hashes", peer: peer{name: "miner"}}, err: errors.New("it\nended | early")}
	var text, markdown strings.Builder
	print(&text, "Some CPU", []result{good, bad}, false)
	print(&markdown, "Some CPU", []result{good, bad}, true)
	require.Contains(t, markdown.String(), "\n| sgemm | avx512 | 1.5 GFLOP | OpenBLAS 1 | Zen | 1 TFLOP | 1.00 | 0.50 to 2.00 | 0.25 wide |\n")
	require.Contains(t, text.String(), "avx512  1.5 GFLOP")
	for _, s := range []string{text.String(), markdown.String()} {
		require.Contains(t, s, "\n- not measured: hashes, miner: it ended early\n")
	}
}

func TestRows(t *testing.T) {
	h, err := thisHost(t.TempDir())
	require.NoError(t, err)
	names := map[string]bool{}
	for _, r := range h.rows() {
		require.False(t, names[r.name+r.peer.name], "twice: %s, %s", r.name, r.peer.name)
		names[r.name+r.peer.name] = true
		require.NotEmpty(t, r.tasks)
		require.NotEmpty(t, r.peer.from)
	}
	require.FileExists(t, filepath.Join("../..", script))
}

// Our side answers requests, and so do the peers in C where there is a compiler.
func TestBothSides(t *testing.T) {
	product := request(shapes.Shape{M: 16, N: 10, K: 24, TransB: true, Beta: 1})
	h, err := thisHost(t.TempDir())
	require.NoError(t, err)
	multiplies := fmt.Sprintf("sgemm:cpu=%d", h.cpus[0])
	for _, c := range []struct{ test, task string }{{multiplies, product}, {"memory:n=20000", ""}, {"mining", ""}} {
		t.Run(c.test, func(t *testing.T) { // a goroutine that may be pinned
			var out strings.Builder
			require.NoError(t, serveOurs(t.Context(), c.test, strings.NewReader(strings.Repeat("0.02 "+c.task+"\n", 2)), &out))
			lines := strings.Split(strings.TrimSpace(out.String()), "\n")
			require.Len(t, lines, 3)
			require.Regexp(t, "^ready\tperwatt\t[a-z0-9]+$", lines[0])
			for _, line := range lines[1:] {
				_, err := parseAnswer(line)
				require.NoError(t, err)
			}
		})
	}
	t.Run("requests", func(t *testing.T) {
		require.ErrorContains(t, serveOurs(t.Context(), multiplies, strings.NewReader("1 nonsense\n"), io.Discard), "nonsense")
		require.ErrorContains(t, serveOurs(t.Context(), multiplies, strings.NewReader("0\n"), io.Discard), "seconds above 0")
		require.ErrorContains(t, serveOurs(t.Context(), "sgemm:cpu=x", strings.NewReader(""), io.Discard), "cpu=x")
	})

	if _, err := exec.LookPath("gcc"); err != nil {
		t.Skip("no gcc")
	}
	for _, c := range []struct {
		source, task string
		args         []string
	}{{"triad.c", "", []string{"20000", "2"}}, {"blas.c", product, []string{"libopenblas.so.0"}}} {
		peer, err := h.compiled(c.source, nil, 1, c.args...)(t.Context())
		if err != nil && strings.Contains(err.Error(), "cannot open shared object file") {
			t.Log(err)
			continue
		}
		require.NoError(t, err)
		name, kernel := peer.about()
		require.NotEmpty(t, name+kernel)
		for range 2 {
			_, err = peer.measure(t.Context(), c.task, 20*time.Millisecond)
			require.NoError(t, err)
		}
		_ = peer.close()
	}
}

func TestRunUsage(t *testing.T) {
	for _, args := range [][]string{{"-only", "("}, {"-pairs", "0"}, {"x"}, {"-y"}} {
		require.Equal(t, 2, run(t.Context(), args, io.Discard, io.Discard), args)
	}
	var out strings.Builder
	require.Equal(t, 0, run(t.Context(), []string{"-only", "^sha256d minerd"}, &out, io.Discard))
	require.Contains(t, out.String(), "sha256d")
}

// What peers print is never more than an error, or a rate that can be compared.
func FuzzLines(f *testing.F) {
	for _, line := range []string{"3e9 1.5", "Thread 0, CPU 1: 26.61 Mh/s", "thread 0: 1 hashes, 7.2 khash/s", "0-3,8", "cpuminer-opt 26.1"} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		if rate, err := parseAnswer(line); err == nil {
			require.True(t, rate > 0 && !math.IsInf(rate, 0), rate)
		}
		if rate, ok := parseScan(line); ok {
			require.True(t, rate > 0 && rate < 1e22, rate)
		}
		if cpus, err := parseCPUs(line); err == nil {
			require.NotEmpty(t, cpus)
		}
		require.NotContains(t, printable(line), "|")
		require.Less(t, len(minerVersion(line)), 100)
	})
}
