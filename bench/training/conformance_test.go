package training_test

import (
	"testing"

	"github.com/perwatt/perwatt/bench"
	"github.com/perwatt/perwatt/bench/benchtest"
	"github.com/perwatt/perwatt/bench/training"
)

func TestConformance(t *testing.T) {
	benchtest.TestWorkload(t, training.New, bench.Config{
		Threads: 2, Seed: 9, Params: map[string]string{"goal": "0.5", "lr": "0.1"},
	})
}
