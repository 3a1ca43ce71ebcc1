package hashscan

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/bench"
	"github.com/perwatt/perwatt/bench/benchtest"
	"github.com/perwatt/perwatt/kernels/device"
	"github.com/perwatt/perwatt/kernels/device/ptx"
)

// gpu is an interpreter of the kernel, with a fault from when it is set.
type gpu struct {
	*ptx.Processor
	fault string
}

func (g *gpu) Submit(launches ...device.Launch) error {
	for i := range launches {
		l := &launches[i]
		l.Args = append([]any{}, l.Args...)
		switch g.fault {
		case "skips work":
			l.Blocks[0] = (l.Blocks[0] + 1) / 2
		case "repeats an old answer":
			return nil
		case "reports too much":
			l.Args[5] = l.Args[5].(uint32)*2 + 1
		case "beyond its memory":
			l.Args[2] = uint32(1 << 30)
			l.Args[5] = uint32(1<<32 - 1)
			l.Args[4] = uint32(64)
		}
	}
	return g.Processor.Submit(launches...)
}

func interpreter() *gpu { return &gpu{Processor: &ptx.Processor{Arch: "sm_75"}} }

func TestProcessor(t *testing.T) {
	configs := []bench.Config{{Device: interpreter(), Impl: "simt", Seed: 3, Params: map[string]string{"nonces": "5000"}}}
	if !testing.Short() {
		configs = append(configs, bench.Config{Device: interpreter()})
	}
	benchtest.TestWorkload(t, New, configs...)
	_, err := New(bench.Config{Device: interpreter(), Impl: "generic"})
	require.ErrorContains(t, err, "implementation generic runs on the CPU, not on ptx")
	_, err = New(bench.Config{Impl: "simt"})
	require.ErrorContains(t, err, "implementation simt does not run on cpu")
}

// A kernel that was right at first and then is not voids the run.
func TestProcessorFaults(t *testing.T) {
	for fault, check := range map[string]string{"": "", "skips work": "hit-count", "repeats an old answer": "planted", "reports too much": "rehash"} {
		t.Run(fault, func(t *testing.T) {
			on := interpreter()
			w, err := open(bench.Config{Device: on, Seed: 1})
			require.NoError(t, err)
			w.target = below(1<<27 - 1) // many hits, so that a short run can judge
			require.NoError(t, w.Prepare(t.Context()))
			for _, th := range w.threads {
				th.chunk = 1024 // blocks enough to skip some, whatever the speed
			}
			on.fault = fault
			runFor(t, w, bench.NewCounter(), 10_000)
			bad := map[string]bool{}
			for _, c := range w.Check() {
				if !c.OK {
					bad[c.Name] = true
				}
			}
			if check == "" {
				require.Empty(t, bad)
			} else {
				require.True(t, bad[check], "%v", bad)
			}
			require.NoError(t, w.Close())
		})
	}
}

// A device that is lost ends the run with what the driver said.
func TestProcessorLost(t *testing.T) {
	on := interpreter()
	w, err := New(bench.Config{Device: on})
	require.NoError(t, err)
	require.NoError(t, w.Prepare(t.Context()))
	on.fault = "beyond its memory"
	require.ErrorContains(t, w.Run(t.Context(), bench.NewCounter()), "illegal address")
	require.NoError(t, w.Close())
}
