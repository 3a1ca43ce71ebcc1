package main

import (
	"context"
	"embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/cpuid/v2"
	"github.com/perwatt/perwatt/bench"
	"github.com/perwatt/perwatt/bench/all"
	"github.com/perwatt/perwatt/kernels/device/cpu"
	"github.com/perwatt/perwatt/kernels/sgemm/shapes"
)

// sources are the peers in C. They are compiled on the machine that they run on.
//
//go:embed c/*.c
var sources embed.FS

// script trains networks in PyTorch. It lies in the module, where make runs this
// command.
const script = "bench/training/peer.py"

// host is the machine: what is compared on it, and how processes are started.
type host struct {
	bin  string // directory of compiled programs
	name string // of the CPU
	cpus []int  // that this process may use
	avx  int    // width of the widest vectors that compilers and libraries use: 512, 256, or 0 for another architecture
}

func thisHost(bin string) (host, error) {
	h := host{bin: bin, name: fmt.Sprintf("%s (%s family %d model %d)", cpu.Info().Name, cpu.Info().Vendor, cpuid.CPU.Family, cpuid.CPU.Model)}
	switch {
	case cpuid.CPU.Supports(cpuid.AVX512F, cpuid.AVX512BW, cpuid.AVX512CD, cpuid.AVX512DQ, cpuid.AVX512VL):
		h.avx = 512
	case cpuid.CPU.Supports(cpuid.AVX2, cpuid.FMA3):
		h.avx = 256
	}
	status, err := os.ReadFile("/proc/self/status") // proc_pid_status(5)
	if err != nil {
		return h, err
	}
	for line := range strings.Lines(string(status)) {
		if list, ok := strings.CutPrefix(line, "Cpus_allowed_list:"); ok {
			h.cpus, err = parseCPUs(list)
		}
	}
	if err == nil && len(h.cpus) == 0 {
		err = fmt.Errorf("/proc/self/status names no CPU that this process may use")
	}
	return h, err
}

// parseCPUs reads a list such as 0-3,8 (cpuset(7), "List format").
func parseCPUs(list string) (cpus []int, err error) {
	for part := range strings.SplitSeq(strings.TrimSpace(list), ",") {
		low, high, span := strings.Cut(part, "-")
		if !span {
			high = low
		}
		from, err := strconv.ParseUint(low, 10, 13)
		if err != nil {
			return nil, fmt.Errorf("list of CPUs %q: %w", list, err)
		}
		to, err := strconv.ParseUint(high, 10, 13)
		if err != nil || to < from {
			return nil, fmt.Errorf("list of CPUs %q: bad range", list)
		}
		for ; from <= to; from++ {
			cpus = append(cpus, int(from)) // #nosec G115 -- 13 bits
		}
	}
	return cpus, nil
}

// loadAverage returns the mean number of runnable threads over the last minute.
func loadAverage() string {
	text, _ := os.ReadFile("/proc/loadavg") // proc_loadavg(5)
	load, _, _ := strings.Cut(string(text), " ")
	return load
}

// single keeps libraries from starting threads of their own, which spin when idle.
var single = []string{"OMP_NUM_THREADS=1", "OPENBLAS_NUM_THREADS=1", "MKL_NUM_THREADS=1"}

// keeping has glibc keep what PyTorch frees, and in large pages: by default it returns
// every large tensor to the system at once and gets it back page by page, several
// times in each step, which makes cnn six times slower. The threshold is the most that
// glibc takes (malloc/malloc.c, HEAP_MAX_SIZE / 2).
const keeping = "GLIBC_TUNABLES=glibc.malloc.trim_threshold=4294967296:glibc.malloc.mmap_threshold=33554432:glibc.malloc.top_pad=268435456:glibc.malloc.hugetlb=1"

// pinned returns a command that runs on the last of the CPUs.
func (h host) pinned(threads int, command ...string) []string {
	var list []string
	for _, c := range h.cpus[max(0, len(h.cpus)-threads):] {
		list = append(list, strconv.Itoa(c))
	}
	return append([]string{"taskset", "-c", strings.Join(list, ",")}, command...)
}

// patience is how long a contestant may take to start: ours checks its answers, and
// PyTorch takes seconds to load.
const patience = 2 * time.Minute

// ours opens our side of a test.
func (h host) ours(test string, threads int) func(context.Context) (contestant, error) {
	return func(ctx context.Context) (contestant, error) {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		if test == "sgemm" { // it pins the thread that computes
			return start(ctx, patience, nil, self, "-serve", fmt.Sprintf("%s:cpu=%d", test, h.cpus[len(h.cpus)-1]))
		}
		return start(ctx, patience, nil, h.pinned(threads, self, "-serve", test)...)
	}
}

// compiled opens a peer in C.
func (h host) compiled(source string, env []string, threads int, args ...string) func(context.Context) (contestant, error) {
	return func(ctx context.Context) (contestant, error) {
		text, err := sources.ReadFile("c/" + source)
		if err != nil {
			return nil, err
		}
		file := filepath.Join(h.bin, source)
		program := strings.TrimSuffix(file, ".c")
		if err := os.WriteFile(file, text, 0o600); err != nil {
			return nil, err
		}
		if said, err := exec.CommandContext(ctx, "gcc", "-O3", "-march=native", "-o", program, file, "-ldl", "-pthread").CombinedOutput(); err != nil { // #nosec G204 -- our own source
			return nil, fmt.Errorf("gcc (Debian: gcc, libc6-dev): %w: %.300s", err, said)
		}
		return start(ctx, patience, slices.Concat(env, single), h.pinned(threads, append([]string{program}, args...)...)...)
	}
}

// rows lists all comparisons.
func (h host) rows() (rows []row) {
	coretype, capability := map[int]string{512: "SkylakeX", 256: "Haswell"}[h.avx], map[int]string{512: "avx512", 256: "avx2"}[h.avx]
	var forced []string // libraries know CPUs by name, and not those made after them
	if coretype != "" {
		forced = []string{"OPENBLAS_CORETYPE=" + coretype, "ATEN_CPU_CAPABILITY=" + capability}
	}

	libraries := []peer{
		{"OpenBLAS", "Debian: libopenblas0", h.compiled("blas.c", forced, 1, "libopenblas.so.0")},
		{"OpenBLAS as it comes", "Debian: libopenblas0", h.compiled("blas.c", nil, 1, "libopenblas.so.0")},
		{"oneDNN", "Debian: libdnnl2, which libdnnl-dev installs", h.compiled("blas.c", nil, 1, "libdnnl.so.2")},
		{"MKL", "its maker", h.compiled("blas.c", nil, 1, "libmkl_rt.so.2")},
	}
	for _, list := range []struct {
		name   string
		shapes []shapes.Shape
	}{{"sgemm, %d shapes", shapes.Peers}, {"sgemm, %d other shapes", shapes.Training}} {
		var tasks []task
		for _, s := range list.shapes {
			tasks = append(tasks, task{s.String(), request(s)})
		}
		for _, p := range libraries {
			rows = append(rows, row{fmt.Sprintf(list.name, len(tasks)), "FLOP", tasks, 50 * time.Millisecond, h.ours("sgemm", 1), p})
		}
	}

	for _, program := range []string{"cpuminer", "minerd"} {
		rows = append(rows, row{"sha256d", "hash", []task{{name: "scan"}}, 3 * time.Second, h.ours("mining", 1),
			peer{program, "its authors, built by hand and on PATH", h.miner(program)}})
	}

	for _, model := range []string{"mlp", "mlp-big", "cnn", "transformer", "gpt-mini"} { // those of the script
		unit := "sample"
		if model == "gpt-mini" {
			unit = "token"
		}
		for _, linear := range []string{"blas", "mkldnn"} {
			rows = append(rows, row{"training " + model, unit, []task{{name: "steps"}}, time.Second, h.ours("training:model="+model, 1), peer{
				"PyTorch, linear layers by " + linear, "Debian: python3-torch", func(ctx context.Context) (contestant, error) {
					return start(ctx, patience, slices.Concat(forced, single, []string{keeping}), h.pinned(1, "/usr/bin/python3", script, model, "-serve", "-linear", linear)...)
				},
			}})
		}
	}

	if w, err := all.Open("memory", bench.Config{}); err == nil {
		n, threads := w.Info().Params["n"], min(2, len(h.cpus))
		rows = append(rows, row{fmt.Sprintf("triad, %d threads", threads), "B", []task{{name: "n=" + n}}, time.Second, h.ours("memory:n="+n, threads),
			peer{"C", "Debian: gcc, libc6-dev", h.compiled("triad.c", nil, threads, n, strconv.Itoa(threads))}})
	}
	return rows
}
