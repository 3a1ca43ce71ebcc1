package bench_test

import (
	"context"
	"fmt"
	"time"

	"github.com/perwatt/perwatt/bench"
	"github.com/perwatt/perwatt/bench/matmul"
	"github.com/perwatt/perwatt/kernels/device/cpu"
)

// Run a workload on two threads of the CPU until some work is finished, and see
// that the answers are right. The harness does the same in a process of its own
// and reads the counter on the clock of the meters.
func Example() {
	w, err := matmul.New(bench.Config{
		Device: cpu.Device{Threads: 2}, Impl: "generic", Seed: 1, Params: map[string]string{"n": "96"},
	})
	if err != nil {
		panic(err)
	}
	defer w.Close()
	if err := w.Prepare(context.Background()); err != nil {
		panic(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done, ended := bench.NewCounter(), make(chan error)
	go func() { ended <- w.Run(ctx, done) }()
	for count := uint64(0); count == 0; count, _, _ = done.Load() {
		time.Sleep(time.Millisecond)
	}
	stop()
	if err := <-ended; err != nil {
		panic(err)
	}
	info := w.Info()
	fmt.Printf("%s on %s, %d threads of %s, counts %s\n", info.Name, info.Device, info.Threads, info.Impl, info.Unit)
	for _, c := range w.Check() {
		if !c.OK {
			fmt.Println("wrong:", c.Name, c.Detail)
		}
	}
	// Output: matmul on cpu, 2 threads of generic, counts FLOP
}
