package training

import (
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/bench"
	"github.com/perwatt/perwatt/kernels/device/cuda"
	"github.com/perwatt/perwatt/kernels/device/devicetest/fakecuda"
	"github.com/perwatt/perwatt/kernels/device/foreign"
	"github.com/perwatt/perwatt/kernels/nn"
)

// What a driver has given away, when a network is ready to train, is what was planned
// before; what is not free is refused, with both numbers.
func TestMemoryOfDriver(t *testing.T) {
	if _, err := exec.LookPath("cc"); err != nil && os.Getenv("PERWATT_PEERS") != "required" {
		t.Skip("no C compiler: the driver's stand-in cannot be built")
	}
	dir := t.TempDir()
	card := &fakecuda.Card{Name: "Ampere", Memory: 64 << 20, Major: 8}
	served, err := fakecuda.Serve(dir, card)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, served.Close()) })
	t.Setenv("PERWATT_FAKE_CUDA", served.Socket)
	library, err := fakecuda.Build(dir)
	require.NoError(t, err)
	require.NoError(t, foreign.Bind(&struct{}{}, library)) // by its name it is found from now on
	free := func() int64 {
		p, err := cuda.Open("cuda:0")
		require.NoError(t, err)
		defer func() { require.NoError(t, p.Close()) }()
		return p.Info().Free
	}
	p, err := cuda.Open("cuda:0")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	for _, format := range []nn.Format{nn.FP32, nn.BF16} {
		opened, err := open(bench.Config{Device: p, Impl: "simt", Params: map[string]string{"model": "gpt-mini", "batch": "2"}}, format)
		require.NoError(t, err)
		w := opened.(*workload)
		before := free()
		w.model, err = w.build(w.net, w.batch, 1)
		require.NoError(t, err)
		require.InEpsilon(t, w.Memory().Total(), before-free(), 0.05, format)
		require.NoError(t, w.Close())
		require.Equal(t, before, free())
	}
	taken, err := p.Alloc(60 << 20)
	require.NoError(t, err)
	defer func() { require.NoError(t, p.Free(taken)) }()
	crowded, err := cuda.Open("cuda:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, crowded.Close()) }()
	_, err = New(bench.Config{Device: crowded, Impl: "simt", Params: map[string]string{"model": "gpt-mini", "batch": "2"}})
	require.ErrorIs(t, err, bench.ErrUsage)
	require.ErrorContains(t, err, "cuda:0 has 67.11 MB, of which 4.194 MB are free")
}
