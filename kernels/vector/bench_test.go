//go:build unix

package vector

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/perwatt/perwatt/bench/benchtest"
	"github.com/perwatt/perwatt/kernels/kerneltest"
)

// BenchmarkVector is each pass, by row, over 16 KiB an operand; those that take a row of a
// matrix at a time, over short rows.
func BenchmarkVector(b *testing.B) {
	const n = 4096
	o := operands(rand.New(rand.NewPCG(1, 2)), n, 7)
	at, bytes := make([]int32, n), make([]byte, n)
	rows := func(width int, f func(at func(x []float32) []float32)) {
		for i := 0; i < n; i += width {
			f(func(x []float32) []float32 { return x[i:][:min(width, n-i)] })
		}
	}
	for _, pass := range []struct {
		name string
		run  func(im *Implementation)
	}{
		{"axpy", func(im *Implementation) { im.Axpy(o[0], o[1], 0.001) }},
		{"combine", func(im *Implementation) { im.Combine(o[0], o[1], o[2], 1, 1, 0) }},
		{"dot", func(im *Implementation) { im.Dot(o[0], o[1]) }},
		{"bytes", func(im *Implementation) { im.Bytes(o[2], bytes, 1) }},
		{"mask", func(im *Implementation) { im.Mask(o[2], o[0], o[1]) }},
		{"pool-32", func(im *Implementation) { im.Pool(o[0][:n/2], at, o[1], o[2], 32) }},
		{"unpool-32", func(im *Implementation) { im.Unpool(o[0], o[1], o[4][:n/2], at, 32) }},
		{"copyrows-96", func(im *Implementation) { im.CopyRows(o[0], 96, o[1], 32, n/96, 96) }},
		{"addrows-96", func(im *Implementation) { im.AddRows(o[0], 32, o[1], 96, n/96, 96) }},
		{"addrows-128-in-one", func(im *Implementation) { im.AddRows(o[0], 0, o[1], 128, n/128, 128) }},
		{"softmax-128", func(im *Implementation) {
			rows(128, func(at func(x []float32) []float32) { im.Softmax(at(o[2]), at(o[1]), 1) })
		}},
		{"softmax-61", func(im *Implementation) {
			rows(61, func(at func(x []float32) []float32) { im.Softmax(at(o[2]), at(o[1]), 1) })
		}},
		{"softmaxgrad-61", func(im *Implementation) {
			rows(61, func(at func(x []float32) []float32) { im.SoftmaxGrad(at(o[2]), at(o[1]), at(o[0]), 1) })
		}},
		{"gelu", func(im *Implementation) { im.Gelu(o[2], o[1]) }},
		{"gelugrad", func(im *Implementation) { im.GeluGrad(o[2], o[1], o[0]) }},
		{"layernorm-128", func(im *Implementation) {
			rows(128, func(at func(x []float32) []float32) { im.LayerNorm(at(o[2]), at(o[1]), at(o[3]), at(o[4]), 1e-5) })
		}},
		{"layernormgrad-128", func(im *Implementation) {
			rows(128, func(at func(x []float32) []float32) {
				im.LayerNormGrad(at(o[2]), o[5][:128], o[6][:128], at(o[1]), at(o[3]), at(o[4]), 0, 1)
			})
		}},
		{"crossentropy-512", func(im *Implementation) {
			rows(512, func(at func(x []float32) []float32) { im.CrossEntropy(at(o[2]), at(o[1]), 7, 1) })
		}},
		{"sumsquares", func(im *Implementation) { im.SumSquares(o[1]) }},
		{"adamw", func(im *Implementation) {
			im.AdamW(o[0], o[1], o[2], o[3], AdamW{Rate: 1e-3, Beta1: 0.9, Beta2: 0.95, Epsilon: 1e-8, Scale: 1, Correction1: 1, Correction2: 1})
		}},
	} {
		for _, row := range Table.Supported(kerneltest.CPU) {
			b.Run(fmt.Sprintf("%s/impl=%s", pass.name, row.Name), func(b *testing.B) {
				began := benchtest.CPUTime(b)
				for b.Loop() {
					pass.run(row.Impl)
				}
				b.ReportMetric(n*float64(b.N)/(benchtest.CPUTime(b)-began).Seconds(), "elements/cpu-s")
			})
		}
	}
}
