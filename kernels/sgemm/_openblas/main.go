// Command openblas compares a row of package sgemm with OpenBLAS: floating-point
// operations per second of CPU time of one thread, in turns on the same
// operands, medians. It is a module of its own because it needs cgo and
// OpenBLAS (Debian: libopenblas-dev). Run it by
//
//	taskset -c 1 go run .
//
// OpenBLAS reads OPENBLAS_CORETYPE and chooses a kernel by it.
package main

// #cgo LDFLAGS: -lopenblas
// #include <cblas.h>
// extern void openblas_set_num_threads(int);
// extern char *openblas_get_corename(void);
// static void repeat(int times, int ta, int tb, int m, int n, int k, const float *a, int lda, const float *b, int ldb, float beta, float *c, int ldc) {
// 	while (times--)
// 		cblas_sgemm(CblasRowMajor, ta ? CblasTrans : CblasNoTrans, tb ? CblasTrans : CblasNoTrans, m, n, k, 1, a, lda, b, ldb, beta, c, ldc);
// }
import "C"

import (
	"flag"
	"fmt"
	"log"
	"math"
	"math/rand/v2"
	"regexp"
	"runtime"
	"slices"
	"time"

	"github.com/perwatt/perwatt/kernels"
	"github.com/perwatt/perwatt/kernels/device/cpu"
	"github.com/perwatt/perwatt/kernels/sgemm"
	"github.com/perwatt/perwatt/kernels/sgemm/shapes"
	"golang.org/x/sys/unix"
)

func main() {
	impl := flag.String("impl", "", "`row` of package sgemm, the best by default")
	pairs := flag.Int("pairs", 5, "measurements of each")
	each := flag.Duration("each", 100*time.Millisecond, "length of a measurement")
	only := flag.String("shapes", "", "`pattern` of the shapes to measure")
	flag.Parse()
	row, err := sgemm.Table.Pick(cpu.Info(), *impl)
	if err != nil {
		log.Fatal(err)
	}
	pattern, err := regexp.Compile(*only)
	if err != nil {
		log.Fatal(err)
	}
	runtime.LockOSThread()
	C.openblas_set_num_threads(1)
	fmt.Printf("%s beside OpenBLAS for %s, GFLOP per second of CPU time, medians of %d\n", row.Name, C.GoString(C.openblas_get_corename()), *pairs)
	fmt.Printf("%-32s %8s %8s %8s %8s\n", "shape", "ours", "OpenBLAS", "ratio", "of FMA")
	for _, list := range [][]shapes.Shape{shapes.Peers, shapes.Training} {
		compare(row, list, pattern, *pairs, *each)
	}
}

// compare prints a line for each shape that matches, and the mean of its ratios.
func compare(row kernels.Row[sgemm.Implementation], list []shapes.Shape, pattern *regexp.Regexp, pairs int, length time.Duration) {
	sum, least, n := 0.0, math.Inf(1), 0
	for _, s := range list {
		if !pattern.MatchString(s.String()) {
			continue
		}
		rng := rand.New(rand.NewPCG(1, 1)) // #nosec G404 -- elements of a matrix that are the same each time
		a, lda, b, ldb, c, ldc := s.Operands(rng.Float32)
		var ours, theirs, ratios, shares []float64
		for range pairs {
			peak := math.NaN()
			if row.Peak != nil {
				peak = rate(length/10, func(n int) (flop float64) {
					for range n {
						flop += row.Peak(row.Impl)
					}
					return flop
				})
			}
			x := rate(length, func(n int) float64 {
				for range n {
					row.Impl.Gemm(s.TransA, s.TransB, s.M, s.N, s.K, 1, a, lda, b, ldb, s.Beta, c, ldc)
				}
				return float64(n) * s.FLOP()
			})
			y := rate(length, func(n int) float64 {
				C.repeat(C.int(n), truth(s.TransA), truth(s.TransB), C.int(s.M), C.int(s.N), C.int(s.K),
					(*C.float)(&a[0]), C.int(lda), (*C.float)(&b[0]), C.int(ldb), C.float(s.Beta), (*C.float)(&c[0]), C.int(ldc))
				return float64(n) * s.FLOP()
			})
			ours, theirs = append(ours, x), append(theirs, y)
			ratios, shares = append(ratios, x/y), append(shares, x/peak)
		}
		ratio := median(ratios)
		fmt.Printf("%-32s %8.1f %8.1f %8.3f %8.3f\n", s, median(ours)/1e9, median(theirs)/1e9, ratio, median(shares))
		sum, least, n = sum+math.Log(ratio), min(least, ratio), n+1
	}
	if n > 0 {
		fmt.Printf("%d shapes: geometric mean of ratios %.3f, least %.3f\n\n", n, math.Exp(sum/float64(n)), least)
	}
}

// rate runs f, which does something that often and returns its operations, for
// about a length of time, and returns operations per second.
func rate(length time.Duration, f func(times int) float64) float64 {
	for n := 1; ; n *= 2 {
		start := cpuTime()
		flop := f(n)
		took := cpuTime() - start
		if took >= length/2 {
			return flop / took.Seconds()
		}
	}
}

func cpuTime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		log.Fatal(err)
	}
	return time.Duration(t.Nano())
}

func median(x []float64) float64 {
	x = slices.Sorted(slices.Values(x))
	return (x[(len(x)-1)/2] + x[len(x)/2]) / 2
}

func truth(b bool) C.int {
	if b {
		return 1
	}
	return 0
}
