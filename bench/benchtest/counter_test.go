package benchtest

import (
	"testing"

	"github.com/perwatt/perwatt/bench"
)

// What a count costs a workload. The benchmarks are here because -bench . ./bench
// is for uses: ns/op stands in no table with hash/s.
func BenchmarkCounterAdd(b *testing.B) {
	c := bench.NewCounter()
	for b.Loop() {
		c.Add(1)
	}
}

func BenchmarkCounterAddParallel(b *testing.B) {
	c := bench.NewCounter()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			c.Add(1)
		}
	})
}

func BenchmarkCounterLoad(b *testing.B) {
	c := bench.NewCounter()
	c.Add(1)
	for b.Loop() {
		c.Load()
	}
}
