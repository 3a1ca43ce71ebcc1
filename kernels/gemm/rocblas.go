package gemm

import (
	"fmt"
	"unsafe"

	"github.com/perwatt/perwatt/kernels/device"
	"github.com/perwatt/perwatt/kernels/device/foreign"
)

// rocBLAS is the functions of AMD's rocBLAS that a product needs. A handle is a
// pointer of the library; a status of 0 is success. Numbers are those of
// rocblas-types.h of ROCm 5 to 7.
type rocBLAS struct {
	Status  func(status int32) *byte            `c:"rocblas_status_to_string"`
	Version func(buf *byte, size uintptr) int32 `c:"rocblas_get_version_string"`
	Create  func(handle *uintptr) int32         `c:"rocblas_create_handle"`
	Stream  func(handle, stream uintptr) int32  `c:"rocblas_set_stream"`
	Gemm    func(handle uintptr, transA, transB, m, n, k int32, alpha unsafe.Pointer, a uintptr, typeA, strideA int32, b uintptr, typeB, strideB int32,
		beta unsafe.Pointer, c uintptr, typeC, strideC int32, d uintptr, typeD, strideD, compute, algorithm, solution int32, flags uint32) int32 `c:"rocblas_gemm_ex"`
}

// rocBLASTypes are the types of elements: rocblas_datatype. Sums have that of the
// format they are stored in without rounding.
var rocBLASTypes = map[Precision]int32{FP64: 152, FP32: 151, BF16: 168, FP16: 150}

// rocBLASNames are the names of the library that goes with a version of HIP. Any
// other loads a HIP of its own, for whose work the processor does not wait.
func rocBLASNames(driver string) []string {
	switch major(driver) {
	case 7:
		return []string{"librocblas.so.5"}
	case 6:
		return []string{"librocblas.so.4"}
	case 5:
		return []string{"librocblas.so.3", "librocblas.so.0"} // since ROCm 5.6; before
	}
	return nil
}

const rocBLASNone, rocBLASTranspose = 111, 112

func (l *rocBLAS) err(status int32, doing string, args ...any) error {
	if status == 0 {
		return nil
	}
	return fmt.Errorf("%s (%d) in %s", foreign.String(l.Status(status)), status, fmt.Sprintf(doing, args...))
}

// openRocBLAS has rocBLAS multiply.
func openRocBLAS(p device.Native, precision Precision) (*Product, error) {
	l := &rocBLAS{}
	names := rocBLASNames(p.Info().Driver)
	if names == nil {
		return nil, fmt.Errorf("no rocBLAS is known for %s: %w", p.Info().Driver, foreign.ErrAbsent)
	}
	if err := foreign.Bind(l, foreign.Paths(names, "$ROCM_PATH/lib", "", "/opt/rocm/lib")...); err != nil {
		return nil, err
	}
	version := foreign.Text(64, func(buf *byte, size uintptr) { l.Version(buf, size) })
	var handle uintptr
	err := p.Do("rocblas_create_handle", func() error {
		if err := l.err(l.Create(&handle), "rocblas_create_handle on %s", p.Info().ID); err != nil {
			return err
		}
		return l.err(l.Stream(handle, p.Queue()), "rocblas_set_stream on %s", p.Info().ID)
	})
	if err != nil {
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
		return p.Do("rocblas_gemm_ex", func() error {
			// By columns, as in [cublasLt.plan]: Cᵀ = Bᵀ·Aᵀ.
			m, n, k := int32(call.M), int32(call.N), int32(call.K) // #nosec G115 -- at most longest
			opA, strideA, opB, strideB := int32(rocBLASNone), k, int32(rocBLASNone), n
			if call.TransA {
				opA, strideA = rocBLASTranspose, m
			}
			if call.TransB {
				opB, strideB = rocBLASTranspose, k
			}
			in, out, sums := rocBLASTypes[precision], rocBLASTypes[precision.stored(call.Round)], rocBLASTypes[precision.stored(false)]
			return l.err(l.Gemm(handle, opB, opA, n, m, k, precision.factor(true), p.Address(call.B), in, strideB, p.Address(call.A), in, strideA,
				precision.factor(call.Add), p.Address(call.C), out, n, p.Address(call.C), out, n, sums, 0, 0, 0), "rocblas_gemm_ex of %v of %s on %s", call, precision, p.Info().ID)
		})
	}
	return &Product{Processor: p, Precision: precision, library: "rocBLAS " + version, do: do}, nil
}
