package report

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/stretchr/testify/require"
	"golang.org/x/perf/benchfmt"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/store"
)

// imported is what benchmark text gives: a row a line, and its throughput.
func imported(t *testing.T, text string) (records []*results.Record, figures map[string]float64) {
	t.Helper()
	records, said, err := store.ReadBench(strings.NewReader(text), "b.txt", store.Bench{At: time.Date(2026, 1, 1, 2, 0, 0, 0, time.UTC)})
	require.NoError(t, err, said)
	figures = map[string]float64{}
	for _, rec := range records {
		n := rec.Node
		for _, r := range rec.Summary.Rows {
			m := r.Metrics[results.Throughput]
			key := fmt.Sprintf("%q", []any{n.Name, n.OS, n.Arch, strings.Join(strings.Fields(n.Models()), " "), r.Workload, r.Scenario, r.Use, r.Impl, r.Threads, m.Unit, m.N})
			for figures[key] != 0 { // of another session
				key += "+"
			}
			figures[key] = float64(m.Value)
		}
	}
	return records, figures
}

// returns says that what was read comes out as what it was, and again.
func returns(t *testing.T, text string) string {
	t.Helper()
	records, want := imported(t, text)
	var out bytes.Buffer
	require.NoError(t, WriteBench(&out, records))
	_, got := imported(t, out.String())
	require.Len(t, got, len(want), "%s", out.String())
	for k, v := range want {
		require.Contains(t, got, k, "%s", out.String())
		require.InEpsilon(t, v, got[k], 1e-12, k)
	}
	return out.String()
}

const oddNames = `goos: linux
goarch: amd64
pkg: example.com/kv
cpu: Sample  CPU @ 3.00GHz
BenchmarkSort/n=10/kind=quick-8 	 1000000 	 1041 ns/op
BenchmarkSort/n=1000/kind=quick-8 	 1000000 	 0.3333 ns/op
BenchmarkSort/n=1000/kind=quick-8 	 1000000 	 0.33 ns/op
BenchmarkParse/size-64-8 	 1 	 123456789012 ns/op
BenchmarkParse/größe=1µs/"a,b"/100%/x:y/#01/{}[]()<>&|;-8 	 10 	 5 ns/op
Benchmark_x/A.B.C/\x00-8 	 10 	 6 ns/op
BenchmarkX/` + "a\u200bb" + `-8 	 10 	 7 ns/op
BenchmarkIdle-8 	 10 	 8 ns/op
BenchmarkControl-8 	 10 	 9 ns/op
BenchmarkMining/model=cnn-8 	 10 	 10 ns/op
pkg: example.com/kv/v2
BenchmarkSort/n=10/kind=quick-8 	 1000000 	 2041 ns/op
impl: avx2

BenchmarkHash-8 	 600 	 1e9 hash/s
BenchmarkCopy-8 	 600 	 640 MB/s
impl:
pkg:

BenchmarkNowhere-8 	 10 	 11 ns/op
`

// What was imported comes out under its own package and name.
func TestBenchReturns(t *testing.T) {
	out := returns(t, oddNames)
	for _, line := range strings.Split(oddNames, "\n") {
		if name, _, ok := strings.Cut(line, " "); ok && strings.HasPrefix(name, "Benchmark") {
			require.Contains(t, out, "\n"+strings.ReplaceAll(name, "\u200b", `\u200b`)+" ")
		}
	}
	require.Contains(t, out, " 1041 ns/op\n")
	require.NotContains(t, out, "power-source")

	for name, text := range map[string]string{
		"one CPU":             "goos: linux\npkg: e/x\nBenchmarkP/n-16 10 5 ns/op\nBenchmarkP/n-64 10 6 ns/op\n",
		"one name, one CPU":   "gomaxprocs: 1\npkg: e/x\nBenchmarkP/n-64 10 6 ns/op\n",
		"some CPUs":           "goos: linux\npkg: e/x\nBenchmarkP/n 10 5 ns/op\nBenchmarkP/n-2 10 6 ns/op\nBenchmarkP/n-4 10 6 ns/op\n",
		"told for each":       "goos: linux\npkg: e/x\ngomaxprocs: 1\n\nBenchmarkP/n 10 5 ns/op\nBenchmarkP/n-64 10 6 ns/op\n\ngomaxprocs: 64\n\nBenchmarkP/n-64 10 7 ns/op\n",
		"nothing but a name":  "BenchmarkA 10 5 ns/op\n",
		"sessions":            "node: a\ncpu: X\nBenchmarkA-4 10 5 ns/op\nnode: b\ncpu:\nBenchmarkA-4 10 6 ns/op\n",
		"a card beside a CPU": "cpu: X\nimpl: shani\nBenchmarkMining-64 600 10 hash/s\nimpl: gpu\ndevice-model: NVIDIA H200\nBenchmarkMining/device=cuda:0-64 600 1000 hash/s\n",
		"perwatt's own lines": "node: north\nimpl: shani\npower-source: rapl\nBenchmarkMining-64 600 10 hash/s 200 W 0.05 hash/J\n",
	} {
		t.Run(name, func(t *testing.T) { returns(t, text) })
	}
}

// The device in a name is that of the row; a CPU behind OpenCL is no GPU, and a
// benchmark of another package that has a device in its name keeps it there.
func TestBenchTextHasDevices(t *testing.T) {
	records, _ := imported(t, "cpu: X\nBenchmarkMining-64 600 10 hash/s\ndevice-model: NVIDIA H200\nBenchmarkCompute/precision=bf16/device=cuda:1/impl=mma-64 600 1e9 FLOP/s\n"+
		"device-model: X (a CPU, through OpenCL)\nBenchmarkMining/device=opencl:0-64 600 10 hash/s\ndevice-model:\nBenchmarkCopy/device=sda-64 600 5 ns/op\n")
	require.Len(t, records, 1)
	n := records[0].Node
	require.Equal(t, []results.DeviceCount{{Kind: results.KindCPU, Model: "X", Count: 1}, {Kind: results.KindGPU, Model: "NVIDIA H200", Count: 1}, {Kind: results.KindCPU, Model: "X (a CPU, through OpenCL)", Count: 1}}, n.Hardware())
	var rows []string
	for _, r := range records[0].Summary.Rows {
		rows = append(rows, r.Scenario+" at "+r.Device)
	}
	require.Equal(t, []string{"Mining at cpu", "Compute/precision=bf16/device=cuda:1/impl=mma at cuda:1", "Mining/device=opencl:0 at opencl:0", "Copy/device=sda at cpu"}, rows)
	require.Contains(t, returns(t, "cpu: X\ndevice-model: NVIDIA H200\nBenchmarkMining/device=cuda:0-64 600 1000 hash/s\n"), "\ndevice-model: NVIDIA H200\n")
}

// A use of the CPU and of a GPU are two benchmarks, also once they were imported.
func TestBenchNamesTheDevice(t *testing.T) {
	rec := sessions["measured"].record()
	rec.Node.Devices = append(rec.Node.Devices, results.Device{ID: "cuda:0", Kind: results.KindGPU, Model: "H200"})
	for _, run := range rec.Runs {
		if run.Scenario != "mining" && run.Scenario != "mullet" {
			continue
		}
		run.Scenario += "@cuda:0"
		run.Uses, run.Traces = slices.Clone(run.Uses), slices.Clone(run.Traces)
		for i := range run.Uses {
			run.Uses[i].Device, run.Uses[i].Threads = "cuda:0", 0
		}
		for i := range run.Traces {
			if run.Traces[i].Key.Use != "" {
				run.Traces[i].Key.Device = "cuda:0"
			}
		}
		rec.Runs = append(rec.Runs, run)
	}
	rec.Summary = results.Derive(rec)
	var out bytes.Buffer
	require.NoError(t, WriteBench(&out, []*results.Record{rec}))
	records, _ := imported(t, out.String())
	scenarios := records[0].Plan.Scenarios
	require.Len(t, records, 1)
	for _, name := range []string{"Mining", "Mining/device=cuda:0", "Mullet/use=mining", "Mullet/use=mining/device=cuda:0", "Mullet/use=training/model=mlp/device=cuda:0"} {
		require.Contains(t, scenarios, name)
		require.Equal(t, 10, strings.Count(out.String(), "\nBenchmark"+name+" ")+strings.Count(out.String(), "\nBenchmark"+name+"-64 "), name)
	}
}

// benchstat sees what came out as what went in.
func TestBenchstatReturns(t *testing.T) {
	dir := t.TempDir()
	stat := func(name, text string) string {
		file := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		cmd := exec.Command("go", "tool", "benchstat", "-format", "csv", file)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		require.NoError(t, err, stderr.String())
		require.NotContains(t, stderr.String(), "syntax")
		return strings.ReplaceAll(string(out), file, "")
	}
	var text strings.Builder
	text.WriteString("goos: linux\ngoarch: amd64\npkg: example.com/kv\ncpu: Sample CPU @ 3.00GHz\n")
	for _, name := range []string{"Sort/n=10/kind=quick-8", "Sort/n=1000/kind=quick-8", "Größe/a,b-64-8"} {
		for i := range 6 {
			fmt.Fprintf(&text, "Benchmark%s 1000000 %d ns/op\n", name, 1041+7*i)
		}
	}
	records, _ := imported(t, text.String())
	var out bytes.Buffer
	require.NoError(t, WriteBench(&out, records))
	require.Equal(t, stat("in.txt", text.String()), stat("out.txt", out.String()))
}

// Whatever is read is written so that it is read again.
func FuzzBenchReturns(f *testing.F) {
	f.Add(oddNames)
	f.Add("goos: linux\nBenchmarkP/n-64 10 5 ns/op\nBenchmarkP/n 10 6 ns/op\nBenchmarkQ/n-64 10 5 ns/op\n")
	f.Add("pkg: a\nBenchmarkA 1 1 ns/op\npkg: b\nBenchmarkA-2 1 1 op/s\nimpl: x\nBenchmarkA-2-2 1 1 s/op\n")
	f.Fuzz(roundTrip)
}

// roundTrip says that what text gives is read again to the same figures.
func roundTrip(t *testing.T, text string) {
	records, _, err := store.ReadBench(strings.NewReader(text), "x", store.Bench{At: time.Unix(0, 0)})
	if err != nil {
		return
	}
	for _, rec := range records { // alone: sessions that differ in their time alone come out as one
		var out bytes.Buffer
		require.NoError(t, WriteBench(&out, []*results.Record{rec}))
		for _, r := range out.String() {
			if r != '\n' && unicode.Is(unicode.C, r) {
				t.Fatalf("%U reached the output", r)
			}
		}
		in := benchfmt.NewReader(strings.NewReader(out.String()), "x")
		for in.Scan() {
			if bad, ok := in.Result().(*benchfmt.SyntaxError); ok {
				t.Fatal(bad)
			}
		}
		again, _, err := store.ReadBench(strings.NewReader(out.String()), "x", store.Bench{At: time.Unix(0, 0)})
		require.NoError(t, err, out.String())
		require.Len(t, again, 1)
		key := func(r results.Row) string {
			return fmt.Sprint(r.Workload, "\x00", r.Scenario, "\x00", r.Use, "\x00", r.Impl, "\x00", r.Threads)
		}
		sorted := func(rows []results.Row) []results.Row {
			return slices.SortedFunc(slices.Values(rows), func(a, b results.Row) int { return strings.Compare(key(a), key(b)) })
		}
		want, got := sorted(rec.Summary.Rows), sorted(again[0].Summary.Rows)
		require.Len(t, got, len(want), out.String())
		for i := range want {
			require.Equal(t, key(want[i]), key(got[i]), out.String())
			a, b := want[i].Metrics[results.Throughput], got[i].Metrics[results.Throughput]
			require.Equal(t, a.N, b.N)
			require.Equal(t, a.Unit, b.Unit)
			if d := math.Abs(float64(a.Value/b.Value) - 1); d > 1e-9 {
				t.Fatalf("%v came out as %v in %q", a.Value, b.Value, out.String())
			}
		}
	}
}

// Names, packages, machines and lines that mean little to each other, in any
// order: what is read of them returns.
func TestBenchReturnsWhatever(t *testing.T) {
	lines := strings.Split("goos: linux|goarch: arm64|pkg: e/a|pkg: e/b|pkg: größe|pkg:|cpu: X  Y|cpu:|cpu: 5%|node: n1|node: n2|impl: avx2|impl:|gomaxprocs: 1|gomaxprocs: 64|gomaxprocs: 1,2|gomaxprocs:|"+
		"date: 2026-05-01|date: 2026-05-02|date: never|time: 3 s|commit: a|variant: a|variant: b|variant:|listening: :80|||PASS|ok  \te/a\t1s|ok  \te/b\t2s|FAIL\te/b [build failed]|panic: no|--- FAIL: BenchmarkA-2|"+
		"\ufeff|{\"Action\":\"output\",\"Package\":\"e/c\",\"Output\":\"BenchmarkA-8 \\t\"}|{\"Action\":\"output\",\"Package\":\"e/c\",\"Output\":\"10\\t5 ns/op\\n\"}|  10\t 5 ns/op|BenchmarkA-4 \thello", "|")
	names := strings.Split("A A-2 A-4 A-64 A/n A/n-1 A/n-2 A/n-4 A/n-64 A/n-2-2 A/n-2-4 A/m-2 A/m-4 B/x B/x-64 B/x-08 Größe/µ=1,\"q\" _ Idle Mining-8 \u200b -8 9-9 a "+strings.Repeat("N", 900)+"-2", " ")
	values := strings.Split("5 ns/op|0.3333333 ns/op|1e300 ns/op|0 ns/op|NaN ns/op|3 µs/op|5 ns/op 7 MB/s|8e6 hash/s|0.1 samples/s|640 MB/s|1e-300 FLOP/s|3 op/s|5 ns/op 6 ns/op|7 allocs/op|x", "|")
	random := rand.New(rand.NewPCG(1, 2))
	pick := func(s []string) string { return s[random.IntN(len(s))] }
	for range 500 {
		var text strings.Builder
		for range 1 + random.IntN(20) {
			line := pick(lines)
			if random.IntN(2) == 0 {
				line = fmt.Sprintf("Benchmark%s %d %s", pick(names), []int{1, 7, 1000000, 0, math.MaxInt64}[random.IntN(5)], pick(values))
			}
			text.WriteString(line + "\n")
		}
		if roundTrip(t, text.String()); t.Failed() {
			t.Fatalf("%q", text.String())
		}
	}
}
