package stream_test

import (
	"testing"

	"github.com/perwatt/perwatt/bench"
	"github.com/perwatt/perwatt/bench/benchtest"
	workload "github.com/perwatt/perwatt/bench/stream"
	"github.com/perwatt/perwatt/kernels/device/cpu"
	"github.com/perwatt/perwatt/kernels/stream"
)

func TestConformance(t *testing.T) {
	for _, row := range stream.Table.Supported(cpu.Info()) {
		for _, threads := range []int{0, 3} {
			benchtest.TestWorkload(t, workload.New, bench.Config{
				Impl: row.Name, Device: cpu.Device{Threads: threads}, Seed: 9, Params: map[string]string{"n": "500003"},
			})
		}
	}
}
