package gemm

import (
	"fmt"
	"strconv"
	"strings"
	"unsafe"

	"github.com/perwatt/perwatt/kernels"
	"github.com/perwatt/perwatt/kernels/device"
)

// vendor is a row that a vendor's library computes. The library is looked for when
// the row is opened, whose error wraps [foreign.ErrAbsent] if it is not on this
// machine.
type vendor struct {
	name  string
	needs map[Precision][]string
	open  func(device.Native, Precision) (*Product, error)
}

// vendors have ranks after the kernels of ours, which are on every machine: a
// trial finds the faster one.
var vendors = []vendor{
	{"cublaslt", map[Precision][]string{FP64: {"cuda"}, FP32: {"cuda"}, FP16: {"cuda"}, TF32: {"cuda", "mma"}, BF16: {"cuda", "mma"}}, openCublasLt},
	{"rocblas", each([]string{"hip"}, FP64, FP32, BF16, FP16), openRocBLAS},
	// CLBlast sums and writes binary16 in binary16, which is other work than ours.
	{"clblast", map[Precision][]string{FP64: {"opencl", "fp64"}, FP32: {"opencl"}}, openCLBlast},
}

func libraries(precision Precision) (rows []kernels.Row[*Product]) {
	for _, v := range vendors {
		if needs, ok := v.needs[precision]; ok {
			rows = append(rows, kernels.Row[*Product]{Name: v.name, Needs: needs, Open: func(p device.Processor) (*Product, error) {
				native, ok := p.(device.Native)
				if !ok {
					return nil, fmt.Errorf("%s: the driver's handles of %s are not known", v.name, p.Info().ID)
				}
				return v.open(native, precision)
			}})
		}
	}
	return rows
}

// spreader returns a function for libraries that add no bias: it submits the bias to
// every row of C and returns the call that adds to that.
func spreader(p device.Processor, precision Precision) (func(Call) (Call, error), error) {
	var kernels [9]device.Kernel // by the bytes of an element
	for _, round := range []bool{false, true} {
		size := precision.stored(round).In()
		var err error
		if kernels[size], err = p.Kernel(SIMT, fmt.Sprintf("spread_%d", size)); err != nil {
			return nil, err
		}
	}
	return func(c Call) (Call, error) {
		if c.Bias == nil {
			return c, nil
		}
		err := p.Submit(device.Launch{Kernel: kernels[precision.stored(c.Round).In()], Blocks: [2]int{c.M, 1}, Args: []any{c.C, c.Bias, uint32(c.N)}}) // #nosec G115 -- at most longest
		c.Add, c.Bias = true, nil
		return c, err
	}, nil
}

// major is the first number of a driver's version, 12 of "CUDA 12.4", and 0 if it
// has none.
func major(driver string) int {
	_, version, _ := strings.Cut(driver, " ")
	number, _, _ := strings.Cut(version, ".")
	n, _ := strconv.Atoi(number) // 0 for what is none
	return n
}

// factor is a number as a library takes it: by its address, in the format of the
// sums.
func (p Precision) factor(one bool) unsafe.Pointer {
	single, double := float32(0), 0.0
	if one {
		single, double = 1, 1
	}
	if p == FP64 {
		return unsafe.Pointer(&double)
	}
	return unsafe.Pointer(&single)
}
