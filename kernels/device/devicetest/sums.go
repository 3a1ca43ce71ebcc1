package devicetest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"sync"

	"github.com/perwatt/perwatt/kernels/allreduce"
	"github.com/perwatt/perwatt/kernels/device"
	"github.com/perwatt/perwatt/kernels/nn"
)

// Sums sums vectors of integers over processors, twice, of which direct reach the memory
// of the next one. The sums are exact.
func Sums(direct int, on ...device.Processor) (err error) {
	const elements = 5 * allreduce.Step // chunks of several sizes
	var members []allreduce.Member
	for i, p := range on {
		b, err := p.Alloc(4 * elements)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, p.Free(b)) }()
		data := make([]byte, 0, 4*elements)
		for k := range elements {
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(float32(k*(i+1))))
		}
		passes, err := nn.With(p, nn.FP32, nn.Programs(nn.FP32), nil)
		if err = errors.Join(err, p.Write(b, data)); err != nil {
			return err
		}
		members = append(members, allreduce.Member{On: p, Vector: b, Add: func(sum, with device.Buffer, n int) error { return passes.Add(sum, sum, with, n) }})
	}
	r, err := allreduce.New(members...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	if r.Direct() != direct {
		return fmt.Errorf("%d of %d reach the next, want %d", r.Direct(), len(on), direct)
	}
	for range 2 {
		for turn := range r.Turns() {
			errs := make([]error, len(on))
			var all sync.WaitGroup
			for i := range on {
				all.Go(func() { errs[i] = r.Turn(i, turn) })
			}
			all.Wait()
			if err := errors.Join(errs...); err != nil {
				return err
			}
		}
	}
	n := len(on)
	factor := float32(n * n * (n + 1) / 2) // the second time each has the sum already
	for i, m := range members {
		data := make([]byte, 4*elements)
		if err := on[i].Read(data, m.Vector); err != nil {
			return err
		}
		for k := range elements {
			if got, want := math.Float32frombits(binary.LittleEndian.Uint32(data[4*k:])), factor*float32(k); got != want {
				return fmt.Errorf("element %d of member %d is %v, want %v", k, i, got, want)
			}
		}
	}
	return nil
}
