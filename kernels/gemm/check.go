package gemm

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/perwatt/perwatt/kernels/device"
)

// calls are the products that a row is checked with: whole tiles of every kernel,
// tiles that no dimension fills, in each layout, and next to nothing; small ones of
// each layout with each way to begin the sums and to store them. Dimensions that are rows of A or B are whole
// numbers of 16 bytes.
func calls(p Precision) (list []Call) {
	part := 16 / p.In()
	whole := func(n int) int { return (n + part - 1) / part * part }
	for _, c := range []Call{{TransB: true}, {}, {TransA: true}} {
		size := func(m, n, k int) Call {
			c := c
			if c.M, c.N, c.K = m, n, k; c.TransA {
				c.M = whole(m)
			} else {
				c.K = whole(k)
			}
			if !c.TransB {
				c.N = whole(n)
			}
			return c
		}
		if c.TransB {
			list = append(list, size(128, 256, 8*part), size(131, 259, 21*part), size(7, 5, 1))
		} else {
			list = append(list, size(131, 259, 9*part-1))
		}
		for i := range 6 {
			c := size(21, 19, 3*part-1)
			c.Round, c.Add = i%2 == 1, i/2 == 1
			if i/2 == 2 {
				c.Bias = unplaced{}
			}
			list = append(list, c)
		}
	}
	return list
}

// unplaced stands for a buffer that is not allocated yet.
type unplaced struct{ device.Buffer }

// String names the product in an error: 21×19·24 nn of bf16 plus C, rounded.
func (c Call) String() string {
	s := fmt.Sprintf("%d×%d·%d %s", c.M, c.N, c.K, layouts[c.layout()])
	if c.Add {
		s += " plus C"
	}
	if c.Bias != nil {
		s += " plus a bias"
	}
	if c.Round {
		s += ", rounded"
	}
	return s
}

// beyond is how many bytes behind C are watched.
const beyond = 256

// check compares products of random matrices with sums in float64. They use
// buffers that hold the operands and the result of the product before.
func check(p *Product) (err error) {
	list, sizes := calls(p.Precision), [4]int{}
	for _, c := range list {
		for i, size := range []int{c.M * c.K * p.In(), c.N * c.K * p.In(), c.M*c.N*p.Out() + beyond, c.N * p.Out()} {
			sizes[i] = max(sizes[i], size)
		}
	}
	var buffers [len(sizes)]device.Buffer
	defer func() {
		for _, b := range buffers {
			if b == nil {
				continue
			}
			if failed := p.Free(b); err == nil {
				err = failed
			}
		}
	}()
	for i, size := range sizes {
		if buffers[i], err = p.Alloc(int64(size)); err != nil {
			return err
		}
	}
	for i, c := range list {
		c.A, c.B, c.C = buffers[0], buffers[1], buffers[2]
		if c.Bias != nil {
			c.Bias = buffers[3]
		}
		if err := p.compare(c, uint64(i)); err != nil { // #nosec G115 -- an index
			return err
		}
	}
	return nil
}

// compare checks one product, with random elements of both signs below 1.
func (p *Product) compare(c Call, seed uint64) error {
	random := rand.New(rand.NewPCG(seed, 21)) // #nosec G404 -- the same for every row
	format := p.stored(c.Round)
	matrix := func(to device.Buffer, count int, format Precision, behind []byte) ([]float64, error) {
		data, values := make([]byte, count*format.In()), make([]float64, count)
		for i := range values {
			format.Put(data[i*format.In():], 2*random.Float64()-1)
			values[i] = format.At(data[i*format.In():])
		}
		return values, p.Write(to, append(data, behind...))
	}
	a, err := matrix(c.A, c.M*c.K, p.Precision, nil)
	if err != nil {
		return err
	}
	b, err := matrix(c.B, c.N*c.K, p.Precision, nil)
	if err != nil {
		return err
	}
	end, stride := c.M*c.N*format.In(), 0
	blank := bytes.Repeat([]byte{0xff}, end+beyond) // NaN
	start := make([]float64, c.N)
	switch {
	case c.Add:
		start, err = matrix(c.C, c.M*c.N, format, blank[end:])
		stride = c.N
	case c.Bias != nil:
		if start, err = matrix(c.Bias, c.N, format, nil); err == nil {
			err = p.Write(c.C, blank)
		}
	default:
		err = p.Write(c.C, blank)
	}
	if err != nil {
		return err
	}
	if err := p.Do(c); err != nil {
		return err
	}
	result := bytes.Clone(blank)
	if err := p.Read(result, c.C); err != nil {
		return err
	}
	rowA, columnA, rowB, columnB := c.K, 1, 1, c.N // how far apart neighbours along k and across it are
	if c.TransA {
		rowA, columnA = 1, c.M
	}
	if c.TransB {
		rowB, columnB = c.K, 1
	}
	for i := range c.M {
		for j := range c.N {
			sum := start[i*stride+j]
			magnitude := math.Abs(sum)
			for l := range c.K {
				term := a[i*rowA+l*columnA] * b[j*rowB+l*columnB]
				sum += term
				magnitude += math.Abs(term)
			}
			bound := p.Bound(c.K+1, magnitude)
			low, high := sum-bound, sum+bound
			if format.In() == 2 { // rounding keeps the order
				low, high = format.nearest(low), format.nearest(high)
			}
			if got := format.At(result[(i*c.N+j)*format.In():]); !(low <= got && got <= high) {
				return fmt.Errorf("element %d,%d of %v is %v, want %v ± %.2g", i, j, c, got, sum, bound)
			}
		}
	}
	if !bytes.Equal(result[end:], blank[end:]) {
		return fmt.Errorf("a product of %v writes beyond its %d bytes", c, end)
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
		if p.Do(Call{C: c, A: a, B: b, M: n, N: n, K: n, TransB: true}) != nil || p.Sync() != nil {
			return 0
		}
		return 2 * float64(n) * float64(n) * float64(n)
	}
}
