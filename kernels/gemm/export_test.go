package gemm

import "github.com/perwatt/perwatt/kernels/device"

// Names of libraries, by driver.
var (
	CublasLtNames = cublasLtNames
	RocBLASNames  = rocBLASNames
)

// With returns a product that multiplies by a function.
func With(p device.Processor, precision Precision, do func(Call) error) *Product {
	return &Product{Processor: p, Precision: precision, do: do}
}
