package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/perwatt/perwatt/bench"
	"github.com/perwatt/perwatt/bench/all"
	"github.com/perwatt/perwatt/kernels/device/cpu"
	"github.com/perwatt/perwatt/kernels/sgemm"
	"github.com/perwatt/perwatt/kernels/sgemm/shapes"
	"golang.org/x/sys/unix"
)

// serveOurs is our side of a test: sgemm on a CPU, as in sgemm:cpu=1, or a use with an
// option behind a colon, as in training:model=cnn. It computes on as many threads as it may use CPUs, by the
// first rows in rank that run here: a trial of rows may end differently each time.
func serveOurs(ctx context.Context, test string, in io.Reader, out io.Writer) error {
	use, option, _ := strings.Cut(test, ":")
	key, value, given := strings.Cut(option, "=")
	if use == "sgemm" {
		if err := pinThread(value); err != nil {
			return err
		}
		row, err := sgemm.Table.Pick(cpu.Info(), "")
		if err != nil {
			return err
		}
		return answer(in, out, "perwatt", row.Name, multiply(row.Impl))
	}
	cfg := bench.Config{Device: cpu.Device{Threads: runtime.NumCPU()}, Params: map[string]string{}}
	if given {
		cfg.Params[key] = value
	}
	w, err := all.Open(use, cfg)
	if err != nil {
		return err
	}
	defer w.Close()
	if err := w.Prepare(ctx); err != nil {
		return err
	}
	return answer(in, out, "perwatt", w.Info().Impl, func(length time.Duration, _ string) (float64, float64, error) {
		until, cancel := context.WithTimeout(ctx, length)
		defer cancel()
		done, began := bench.NewCounter(), cpuSeconds()
		err := w.Run(until, done)
		seconds := cpuSeconds() - began
		n, _, _ := done.Load()
		return float64(n), seconds, err
	})
}

// pinThread pins the calling goroutine to a CPU, and not the others of the process: Go's
// monitor wakes up to 50 times a millisecond and would interrupt products of microseconds.
func pinThread(cpu string) error {
	n, err := strconv.Atoi(cpu)
	if err != nil {
		return fmt.Errorf("cpu=%s: %w", cpu, err)
	}
	runtime.LockOSThread()
	var one unix.CPUSet
	one.Set(n)
	return os.NewSyscallError("sched_setaffinity", unix.SchedSetaffinity(0, &one))
}

// multiply answers requests for a product, which [request] writes.
func multiply(im sgemm.Implementation) func(time.Duration, string) (float64, float64, error) {
	var last string
	var call func()
	var flop float64
	return func(length time.Duration, task string) (work, seconds float64, err error) {
		if task != last {
			var s shapes.Shape
			if s, err = parseRequest(task); err != nil {
				return 0, 0, err
			}
			rng := rand.New(rand.NewPCG(1, 1)) // #nosec G404 -- elements of a matrix that are the same each time
			a, lda, b, ldb, c, ldc := s.Operands(rng.Float32)
			call = func() { im.Gemm(s.TransA, s.TransB, s.M, s.N, s.K, 1, a, lda, b, ldb, s.Beta, c, ldc) }
			last, flop = task, s.FLOP()
		}
		// As in c/blas.c: one call warms up, a second says how many take a millisecond.
		call()
		began := cpuSeconds()
		call()
		calls, done := 1, 1
		if one := cpuSeconds() - began; one < 1e-6 {
			calls = 1000
		} else {
			calls += int(1e-3 / one)
		}
		for {
			if seconds = cpuSeconds() - began; seconds >= length.Seconds() {
				return flop * float64(done), seconds, nil
			}
			for range calls {
				call()
			}
			done += calls
		}
	}
}

// request writes a product as c/blas.c and parseRequest read it.
func request(s shapes.Shape) string {
	bit := map[bool]int{true: 1}
	stride := func(trans bool, rows, cols, given int) int {
		if trans {
			cols = rows
		}
		return max(cols, given)
	}
	return fmt.Sprint(bit[s.TransA], bit[s.TransB], s.M, s.N, s.K,
		stride(s.TransA, s.M, s.K, s.A), stride(s.TransB, s.K, s.N, s.B), max(s.N, s.C), s.Beta)
}

// parseRequest reads what request wrote.
func parseRequest(task string) (s shapes.Shape, err error) {
	var ta, tb int
	if n, err := fmt.Sscan(task, &ta, &tb, &s.M, &s.N, &s.K, &s.A, &s.B, &s.C, &s.Beta); n != 9 {
		return s, fmt.Errorf("request %q: %w", task, err)
	}
	s.TransA, s.TransB = ta != 0, tb != 0
	return s, nil
}

// cpuSeconds returns the CPU time that this process has used, user and system.
func cpuSeconds() float64 {
	var u unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &u) // it cannot fail for this process
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}
