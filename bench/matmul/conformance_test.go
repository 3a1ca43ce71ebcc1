package matmul_test

import (
	"testing"

	"github.com/perwatt/perwatt/bench"
	"github.com/perwatt/perwatt/bench/benchtest"
	"github.com/perwatt/perwatt/bench/matmul"
	"github.com/perwatt/perwatt/kernels/device/cpu"
	"github.com/perwatt/perwatt/kernels/sgemm"
)

func TestConformance(t *testing.T) {
	for _, row := range sgemm.Table.Supported(cpu.Info()) {
		for _, threads := range []int{0, 3} {
			benchtest.TestWorkload(t, matmul.New, bench.Config{
				Impl: row.Name, Device: cpu.Device{Threads: threads}, Seed: 9, Params: map[string]string{"n": "96"},
			})
		}
	}
}
