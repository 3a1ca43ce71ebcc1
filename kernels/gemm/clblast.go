package gemm

import (
	"fmt"

	"github.com/perwatt/perwatt/kernels/device"
	"github.com/perwatt/perwatt/kernels/device/foreign"
)

// clBlast is the functions of CLBlast (clblast_c.h) that a product needs. It
// compiles its kernels when they are first used, which takes seconds. It has no
// function that tells its version.
type clBlast struct {
	Sgemm func(layout, transA, transB int32, m, n, k uintptr, alpha float32, a, offsetA, strideA, b, offsetB, strideB uintptr, beta float32, c, offsetC, strideC uintptr, queue, event *uintptr) int32 `c:"CLBlastSgemm"`
	Dgemm func(layout, transA, transB int32, m, n, k uintptr, alpha float64, a, offsetA, strideA, b, offsetB, strideB uintptr, beta float64, c, offsetC, strideC uintptr, queue, event *uintptr) int32 `c:"CLBlastDgemm"`
}

const clBlastByRows, clBlastNone, clBlastTranspose = 101, 111, 112

// openCLBlast has CLBlast multiply.
func openCLBlast(p device.Native, precision Precision) (*Product, error) {
	l := &clBlast{}
	if err := foreign.Bind(l, "libclblast.so.1"); err != nil {
		return nil, err
	}
	spread, err := spreader(p, precision)
	if err != nil {
		return nil, err
	}
	do := func(call Call) error {
		call, err := spread(call)
		if err != nil {
			return err
		}
		return p.Do("CLBlast", func() error {
			m, n, k, queue := uintptr(call.M), uintptr(call.N), uintptr(call.K), p.Queue()
			transA, strideA, transB, strideB := int32(clBlastNone), k, int32(clBlastNone), n
			if call.TransA {
				transA, strideA = clBlastTranspose, m
			}
			if call.TransB {
				transB, strideB = clBlastTranspose, k
			}
			beta := 0.0
			if call.Add {
				beta = 1
			}
			var status int32
			if precision == FP64 {
				status = l.Dgemm(clBlastByRows, transA, transB, m, n, k, 1, p.Address(call.A), 0, strideA, p.Address(call.B), 0, strideB, beta, p.Address(call.C), 0, n, &queue, nil)
			} else {
				status = l.Sgemm(clBlastByRows, transA, transB, m, n, k, 1, p.Address(call.A), 0, strideA, p.Address(call.B), 0, strideB, float32(beta), p.Address(call.C), 0, n, &queue, nil)
			}
			if status != 0 {
				return fmt.Errorf("CLBlast status %d in the product of %v of %s on %s", status, call, precision, p.Info().ID)
			}
			return nil
		})
	}
	return &Product{Processor: p, Precision: precision, library: "CLBlast", do: do}, nil
}
