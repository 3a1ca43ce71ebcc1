package nn_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/kernels/device"
	"github.com/perwatt/perwatt/kernels/device/devicetest"
	"github.com/perwatt/perwatt/kernels/device/ptx"
)

// altered adds one, or -1, to an argument of each launch of a kernel, or a hundredth
// of it; of argument -1 it starts a block less.
type altered struct {
	*ptx.Processor
	kernel   string
	argument int
	by       int
	seen     map[string]device.Launch // the last one of each kernel
}

func (a *altered) Submit(list ...device.Launch) error {
	for i, l := range list {
		a.seen[l.Kernel.Name()] = l
		if l.Kernel.Name() != a.kernel {
			continue
		}
		if list[i].Args = slices.Clone(l.Args); a.argument < 0 {
			list[i].Blocks[0] -= min(1, l.Blocks[0]-1)
			list[i].Blocks[1] -= min(1, l.Blocks[1]-1)
			continue
		}
		switch v := l.Args[a.argument].(type) {
		case uint32:
			list[i].Args[a.argument] = v + uint32(a.by)
		case float32:
			list[i].Args[a.argument] = v * (1 + float32(a.by)/100)
		}
	}
	return a.Processor.Submit(list...)
}

// Each size and each factor that a pass gives a kernel matters: one that is too large
// or one that is too small is found, by a fault or by a wrong answer, and so is a block
// less.
func TestWrongLaunches(t *testing.T) {
	for _, trial := range devicetest.Trials(1) {
		short := []string{"nn_fp32_embed_grad", "nn_fp32_adamw", "nn_bf16_attention32"}
		if !strings.HasPrefix(trial.Name, "nn_") || testing.Short() && !slices.Contains(short, trial.Name) {
			continue
		}
		t.Run(trial.Name, func(t *testing.T) {
			t.Parallel()
			run := func(kernel string, argument, by int) (map[string]device.Launch, error) {
				on := &altered{&ptx.Processor{Arch: trial.Arch, Steps: 1 << 20}, kernel, argument, by, map[string]device.Launch{}}
				return on.seen, trial.Run(on, trial.Program)
			}
			launches, err := run("", 0, 0)
			require.NoError(t, err)
			for kernel, l := range launches {
				if !slices.Contains(trial.Kernels, kernel) {
					continue
				}
				if _, err := run(kernel, -1, 0); err == nil && l.Blocks != [2]int{1, 1} {
					t.Errorf("%s: a block less is not found", kernel)
				}
				for i, arg := range l.Args {
					if _, ok := arg.(device.Buffer); ok {
						continue
					}
					if _, err := run(kernel, i, 1); err != nil {
						continue
					}
					if _, err := run(kernel, i, -1); err == nil {
						t.Errorf("%s: nothing depends on argument %d, %v", kernel, i, arg)
					}
				}
			}
		})
	}
}
