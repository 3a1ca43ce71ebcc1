package training_test

import (
	"testing"

	"github.com/perwatt/perwatt/bench"
	"github.com/perwatt/perwatt/bench/benchtest"
	"github.com/perwatt/perwatt/bench/training"
	"github.com/perwatt/perwatt/kernels/device/cpu"
)

func TestConformance(t *testing.T) {
	benchtest.TestWorkload(t, training.New, bench.Config{
		Device: cpu.Device{Threads: 2}, Seed: 9, Params: map[string]string{"goal": "0.5", "lr": "0.1"},
	})
}
