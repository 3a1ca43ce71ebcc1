package hashscan_test

import (
	"math"
	"testing"

	"github.com/perwatt/perwatt/bench"
	"github.com/perwatt/perwatt/bench/benchtest"
	"github.com/perwatt/perwatt/bench/hashscan"
	"github.com/perwatt/perwatt/kernels/device/cpu"
	"github.com/perwatt/perwatt/kernels/sha256d"
)

func TestWorkload(t *testing.T) {
	configs := []bench.Config{
		{},
		{Device: cpu.Device{Threads: 2}, Seed: 7, Params: map[string]string{"nonces": "1"}},
		{Device: cpu.Device{Threads: 3}, Seed: math.MaxUint32, Params: map[string]string{"nonces": "4294967296"}},
	}
	for _, row := range sha256d.Table.Supported(cpu.Info()) {
		configs = append(configs, bench.Config{Impl: row.Name})
	}
	benchtest.TestWorkload(t, hashscan.New, configs...)
}
