package all

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/klauspost/cpuid/v2"

	"github.com/perwatt/perwatt/bench"
	memory "github.com/perwatt/perwatt/bench/stream"
	"github.com/perwatt/perwatt/kernels/sgemm"
	"github.com/perwatt/perwatt/kernels/sha256d"
	"github.com/perwatt/perwatt/kernels/stream"
	"github.com/perwatt/perwatt/results"
)

// Kernels checks every row of every kernel against known answers, times it
// briefly on this machine and chooses one; force maps a kernel to the row that
// was asked for.
func Kernels(ctx context.Context, force map[string]string) ([]results.Kernel, error) {
	kernels := []struct {
		name string
		unit results.Unit
		rows []bench.Row
		// ranked says why the first row that is right is taken and not the
		// one that is fastest on one thread.
		ranked string
	}{
		{"sha256d", results.Hash, hashRows(), ""},
		{"sgemm", results.FLOP, gemmRows(), ""},
		{"stream", results.Byte, triadRows(), "the first that is right: what stores past the caches spare memory shows only with all threads at work"},
	}
	var known []string
	for _, k := range kernels {
		known = append(known, k.name)
	}
	for name := range force {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("%w: unknown kernel %q: known are %s", bench.ErrUsage, name, strings.Join(known, ", "))
		}
	}
	defer debug.FreeOSMemory() // what the trials took is not there while something is measured
	var out []results.Kernel
	for _, k := range kernels {
		chosen, err := bench.Choose(ctx, k.name, k.unit, k.rows, k.ranked, force[k.name])
		if err != nil {
			return nil, err
		}
		out = append(out, chosen)
	}
	return out, nil
}

func features(ids []cpuid.FeatureID) []string {
	names := []string{}
	for _, id := range ids {
		names = append(names, id.String())
	}
	return names
}

func hashRows() (rows []bench.Row) {
	for _, im := range sha256d.Implementations() {
		job := new(sha256d.Job)
		rows = append(rows, bench.Row{
			Name: im.Name, Needs: features(im.Needs), Supported: im.Supported(),
			Check: func() error { return genesis(im) },
			Work: func() float64 {
				const n = 4096
				job.Set(new(sha256d.Header), new(sha256d.Target)) // no digest meets target zero
				im.Scan(nil, job, 0, n)
				return n
			},
		})
	}
	return rows
}

// genesis has a row find the first block's nonce, and nothing else around it.
func genesis(im sha256d.Implementation) error {
	const nonce, around = 2083236893, 1000
	root := [32]byte{
		0x3b, 0xa3, 0xed, 0xfd, 0x7a, 0x7b, 0x12, 0xb2, 0x7a, 0xc7, 0x2c, 0x3e, 0x67, 0x76, 0x8f, 0x61,
		0x7f, 0xc8, 0x1b, 0xc3, 0x88, 0x8a, 0x51, 0x32, 0x3a, 0x9f, 0xb8, 0xaa, 0x4b, 0x1e, 0x5e, 0x4a,
	}
	header := sha256d.NewHeader(1, [32]byte{}, root, 1231006505, 0x1d00ffff)
	target, err := sha256d.TargetFromCompact(header.Bits())
	if err != nil {
		return err
	}
	job := new(sha256d.Job)
	job.Set(&header, &target)
	if got := im.Scan(nil, job, nonce-around, 2*around); !slices.Equal(got, []uint32{nonce}) {
		return fmt.Errorf("the genesis block's nonce is %d, the scan found %v", nonce, got)
	}
	return nil
}

func gemmRows() (rows []bench.Row) {
	const n = 192
	a, b, c := make([]float32, n*n), make([]float32, n*n), make([]float32, n*n)
	for i := range a {
		a[i], b[i] = float32(i%7)-3, float32(i%5)-2
	}
	for _, im := range sgemm.Implementations() {
		var peak func() float64
		if im.Supported() && im.Peak() > 0 {
			peak = im.Peak
		}
		rows = append(rows, bench.Row{
			Peak: peak,
			Name: im.Name, Needs: features(im.Needs), Supported: im.Supported(),
			Check: func() error {
				// Small integers: the product is exact in any order of summation.
				for i := range c {
					c[i] = float32(math.NaN())
				}
				im.Gemm(false, true, n, n, n, 1, a, n, b, n, 0, c, n)
				for i := range n {
					for j := range n {
						want := float32(0)
						for l := range n {
							want += a[i*n+l] * b[j*n+l]
						}
						if c[i*n+j] != want {
							return errors.New("a product of small integers is wrong")
						}
					}
				}
				return nil
			},
			Work: func() float64 {
				im.Gemm(false, false, n, n, n, 1, a, n, b, n, 0, c, n)
				return 2 * n * n * n
			},
		})
	}
	return rows
}

// triadRows are timed over three arrays of a quarter of what the workload takes
// for each: as large as the last-level caches together, up to 256 MiB, and a
// little more, so as not to lie a power of two apart.
func triadRows() (rows []bench.Row) {
	const chunk = 1 << 16
	n := min(memory.Elements()/4, 1<<25)/chunk*chunk + 3*chunk
	var a, b, c []float64
	next := 0
	for _, im := range stream.Implementations() {
		rows = append(rows, bench.Row{
			Name: im.Name, Needs: features(im.Needs), Supported: im.Supported(),
			Check: func() error {
				if a == nil { // by the first row that is supported
					a, b, c = make([]float64, n), make([]float64, n), make([]float64, n)
					for i := range n {
						b[i], c[i] = float64(i%1000), 1+float64(i%7)/7
					}
				}
				const at, m = 3, 1003 // not aligned, and some left over
				for i := range m {
					a[at+i] = math.NaN()
				}
				im.Triad(a[at:at+m], b[at:at+m], c[at:at+m], 1.1)
				for i := at; i < at+m; i++ {
					product := 1.1 * c[i]
					if a[i] != b[i]+float64(product) {
						return fmt.Errorf("a[%d] is %v, not %v + 1.1·%v", i, a[i], b[i], c[i])
					}
				}
				return nil
			},
			Work: func() float64 {
				im.Triad(a[next:next+chunk], b[next:next+chunk], c[next:next+chunk], 1.1)
				next = (next + chunk) % n
				return stream.Bytes * chunk
			},
		})
	}
	return rows
}
