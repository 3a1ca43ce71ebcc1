package gemm

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/perwatt/perwatt/kernels/device"
)

// shapes of the products that a row is checked with, k in parts of 16 bytes: whole
// tiles of every kernel, tiles that no dimension fills, and next to nothing.
var shapes = [][3]int{{128, 256, 8}, {131, 259, 21}, {7, 5, 1}}

// beyond is how many bytes behind C are watched.
const beyond = 256

// check compares products of random matrices with sums in float64. They use
// buffers that hold the operands and the result of the product before.
func check(p *Product) (err error) {
	var m, n, k int
	for _, s := range shapes {
		m, n, k = max(m, s[0]), max(n, s[1]), max(k, s[2]*16/p.In())
	}
	var buffers []device.Buffer
	defer func() {
		for _, b := range buffers {
			if failed := p.Free(b); err == nil {
				err = failed
			}
		}
	}()
	for _, size := range []int{m * k * p.In(), n * k * p.In(), m*n*p.Out() + beyond} {
		b, err := p.Alloc(int64(size))
		if err != nil {
			return err
		}
		buffers = append(buffers, b)
	}
	for i, s := range shapes {
		if err := p.compare(buffers[2], buffers[0], buffers[1], s[0], s[1], s[2]*16/p.In(), uint64(i)); err != nil {
			return err
		}
	}
	return nil
}

// compare checks one product, with random elements of both signs below 1.
func (p *Product) compare(c, a, b device.Buffer, m, n, k int, seed uint64) error {
	random := rand.New(rand.NewPCG(seed, 21)) // #nosec G404 -- the same for every row
	matrix := func(to device.Buffer, count int) ([]float64, error) {
		data, values := make([]byte, count*p.In()), make([]float64, count)
		for i := range values {
			p.Put(data[i*p.In():], 2*random.Float64()-1)
			values[i] = p.At(data[i*p.In():])
		}
		return values, p.Write(to, data)
	}
	x, err := matrix(a, m*k)
	if err != nil {
		return err
	}
	y, err := matrix(b, n*k)
	if err != nil {
		return err
	}
	blank := bytes.Repeat([]byte{0xff}, m*n*p.Out()+beyond) // NaN
	if err := p.Write(c, blank); err != nil {
		return err
	}
	if err := p.Multiply(c, a, b, m, n, k); err != nil {
		return err
	}
	result := slices.Clone(blank)
	if err := p.Read(result, c); err != nil {
		return err
	}
	for i := range m {
		for j := range n {
			sum, magnitude := 0.0, 0.0
			for l, v := range x[i*k : (i+1)*k] {
				term := v * y[j*k+l]
				sum += term
				magnitude += math.Abs(term)
			}
			got, bound := p.Sum(result[(i*n+j)*p.Out():]), p.Bound(k, magnitude)
			if !(math.Abs(got-sum) <= bound) {
				return fmt.Errorf("element %d,%d of %d×%d·%d is %v, want %v ± %.2g", i, j, m, n, k, got, sum, bound)
			}
		}
	}
	if end := m * n * p.Out(); !bytes.Equal(result[end:], blank[end:]) {
		return fmt.Errorf("a product of %d×%d·%d writes beyond its %d bytes", m, n, k, end)
	}
	return nil
}

// work multiplies square matrices: 512 wide on two lanes and 4,096 on the 132 of
// an H200, which all get several tiles; 128 wide on one, an interpreter. The work
// is nothing if the processor fails, which then says why at the next call.
func work(on device.Info, _ int64) func(*Product) float64 {
	n := 128
	if on.Lanes > 1 {
		n = 256 * max(1, int(math.Round(math.Sqrt(2*float64(on.Lanes)))))
	}
	var held device.Processor
	var a, b, c device.Buffer
	prepare := func(p *Product) error {
		data := make([]byte, n*n*p.In())
		random := rand.New(rand.NewPCG(4, 21)) // #nosec G404 -- the same for every row
		for i := 0; i < len(data); i += p.In() {
			p.Put(data[i:], 2*random.Float64()-1)
		}
		var err error
		if a, err = p.Alloc(int64(len(data))); err != nil {
			return err
		}
		if b, err = p.Alloc(int64(len(data))); err != nil {
			return err
		}
		if c, err = p.Alloc(int64(n * n * p.Out())); err != nil {
			return err
		}
		return errors.Join(p.Write(a, data), p.Write(b, data))
	}
	return func(p *Product) float64 {
		if held != p.Processor {
			if prepare(p) != nil {
				return 0
			}
			held = p.Processor
		}
		if p.Multiply(c, a, b, n, n, n) != nil || p.Sync() != nil {
			return 0
		}
		return 2 * float64(n) * float64(n) * float64(n)
	}
}
