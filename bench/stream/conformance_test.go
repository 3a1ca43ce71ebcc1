package stream_test

import (
	"testing"

	"github.com/perwatt/perwatt/bench"
	"github.com/perwatt/perwatt/bench/benchtest"
	workload "github.com/perwatt/perwatt/bench/stream"
	"github.com/perwatt/perwatt/kernels/stream"
)

func TestConformance(t *testing.T) {
	for _, im := range stream.Implementations() {
		if !im.Supported() {
			t.Logf("%s is left out: this CPU lacks some of %v", im.Name, im.Needs)
			continue
		}
		for _, threads := range []int{0, 3} {
			benchtest.TestWorkload(t, workload.New, bench.Config{
				Impl: im.Name, Threads: threads, Seed: 9, Params: map[string]string{"n": "500003"},
			})
		}
	}
}
