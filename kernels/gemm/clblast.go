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
	do := func(call Call) error {
		c, a, b, rows, columns, depth := call.C, call.A, call.B, call.M, call.N, call.K
		return p.Do("CLBlast", func() error {
			m, n, k, queue := uintptr(rows), uintptr(columns), uintptr(depth), p.Queue()
			var status int32
			if precision == FP64 {
				status = l.Dgemm(clBlastByRows, clBlastNone, clBlastTranspose, m, n, k, 1, p.Address(a), 0, k, p.Address(b), 0, k, 0, p.Address(c), 0, n, &queue, nil)
			} else {
				status = l.Sgemm(clBlastByRows, clBlastNone, clBlastTranspose, m, n, k, 1, p.Address(a), 0, k, p.Address(b), 0, k, 0, p.Address(c), 0, n, &queue, nil)
			}
			if status != 0 {
				return fmt.Errorf("CLBlast status %d in the product of %d×%d·%d of %s on %s", status, m, n, k, precision, p.Info().ID)
			}
			return nil
		})
	}
	return &Product{Processor: p, Precision: precision, library: "CLBlast", do: do}, nil
}
