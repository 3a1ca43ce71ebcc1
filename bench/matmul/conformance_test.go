package matmul_test

import (
	"testing"

	"github.com/perwatt/perwatt/bench"
	"github.com/perwatt/perwatt/bench/benchtest"
	"github.com/perwatt/perwatt/bench/matmul"
	"github.com/perwatt/perwatt/kernels/sgemm"
)

func TestConformance(t *testing.T) {
	for _, im := range sgemm.Implementations() {
		if !im.Supported() {
			t.Logf("%s is left out: this CPU lacks some of %v", im.Name, im.Needs)
			continue
		}
		for _, threads := range []int{0, 3} {
			benchtest.TestWorkload(t, matmul.New, bench.Config{
				Impl: im.Name, Threads: threads, Seed: 9, Params: map[string]string{"n": "96"},
			})
		}
	}
}
