package gemm

import (
	"fmt"
	"unsafe"

	"github.com/perwatt/perwatt/kernels/device"
	"github.com/perwatt/perwatt/kernels/device/foreign"
)

// cublasLt is the functions of NVIDIA's cuBLASLt that a product needs. Handles are
// pointers of the library; a status of 0 is success. Numbers are those of
// cublasLt.h, cublas_api.h and library_types.h of CUDA 11 to 13.
type cublasLt struct {
	StatusName    func(status int32) *byte                                                                     `c:"cublasLtGetStatusName,optional"`
	Property      func(what int32, v *int32) int32                                                             `c:"cublasLtGetProperty"`
	Create        func(handle *uintptr) int32                                                                  `c:"cublasLtCreate"`
	Desc          func(d *uintptr, compute, scale int32) int32                                                 `c:"cublasLtMatmulDescCreate"`
	SetDesc       func(d uintptr, what int32, v unsafe.Pointer, bytes uintptr) int32                           `c:"cublasLtMatmulDescSetAttribute"`
	Layout        func(l *uintptr, kind int32, rows, columns uint64, stride int64) int32                       `c:"cublasLtMatrixLayoutCreate"`
	Preference    func(p *uintptr) int32                                                                       `c:"cublasLtMatmulPreferenceCreate"`
	SetPreference func(p uintptr, what int32, v unsafe.Pointer, bytes uintptr) int32                           `c:"cublasLtMatmulPreferenceSetAttribute"`
	NoPreference  func(p uintptr) int32                                                                        `c:"cublasLtMatmulPreferenceDestroy"`
	Heuristic     func(handle, desc, a, b, c, d, preference uintptr, want int32, r *heuristic, n *int32) int32 `c:"cublasLtMatmulAlgoGetHeuristic"`
	Matmul        func(handle, desc uintptr, alpha unsafe.Pointer, a, layoutA, b, layoutB uintptr, beta unsafe.Pointer, c, layoutC, d, layoutD uintptr,
		algorithm *[8]uint64, workspace, bytes, stream uintptr) int32 `c:"cublasLtMatmul"`
}

// heuristic is a cublasLtMatmulHeuristicResult_t.
type heuristic struct {
	algorithm [8]uint64
	workspace uintptr
	state     int32
	_         [5]int32 // wavesCount, and reserved
}

// cublasLtTypes are the types of elements, cudaDataType. Factors have that of the
// format that sums are stored in without rounding.
var cublasLtTypes = map[Precision]int32{FP64: 1, FP32: 0, TF32: 0, BF16: 14, FP16: 2} // CUDA_R_64F, 32F, 32F, 16BF, 16F

// cublasLtCompute is how sums are made: CUBLAS_COMPUTE_32F, which uses no TF32, and
// for the others CUBLAS_COMPUTE_64F and CUBLAS_COMPUTE_32F_FAST_TF32.
func cublasLtCompute(p Precision) int32 {
	switch p {
	case FP64:
		return 70
	case TF32:
		return 77
	}
	return 68
}

const (
	cublasLtTransposeA   = 3 // CUBLASLT_MATMUL_DESC_TRANSA
	cublasLtTransposeB   = 4 // CUBLASLT_MATMUL_DESC_TRANSB
	cublasLtEpilogue     = 7 // CUBLASLT_MATMUL_DESC_EPILOGUE
	cublasLtBias         = 8 // CUBLASLT_MATMUL_DESC_BIAS_POINTER
	cublasLtAddBias      = 4 // CUBLASLT_EPILOGUE_BIAS: a column, of the type of D, to each of D's
	cublasLtMaxWorkspace = 1 // CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES

	// workspaceBytes is what NVIDIA advises for Hopper ("cuBLAS workspace
	// configuration").
	workspaceBytes = 32 << 20
)

// cublasLtFolders are where the library is looked for: where the user says that
// CUDA or Python is, where the loader looks, and where installers put it. Wheels
// for Python have it in nvidia/cublas/lib, since CUDA 13 in nvidia/cu13/lib.
var cublasLtFolders = []string{
	"$CUDA_HOME/lib64", "$CUDA_PATH/lib64", "$CONDA_PREFIX/lib", "$VIRTUAL_ENV/lib/python3*/site-packages/nvidia/*/lib",
	"", "/usr/local/cuda/lib64", "$CONDA_PREFIX/lib/python3*/site-packages/nvidia/*/lib",
	"$HOME/.local/lib/python3*/site-packages/nvidia/*/lib", "/usr/local/lib/python3*/*-packages/nvidia/*/lib", "/usr/lib/python3*/*-packages/nvidia/*/lib",
}

// cublasLtNames are the names of the library, the newest first. One of a newer
// CUDA than the driver's refuses to work.
func cublasLtNames(driver string) (names []string) {
	for _, version := range []int{13, 12, 11} {
		if version <= major(driver) {
			names = append(names, fmt.Sprintf("libcublasLt.so.%d", version))
		}
	}
	return names
}

func (l *cublasLt) err(status int32, doing string, args ...any) error {
	if status == 0 {
		return nil
	}
	name := "cuBLASLt status"
	if l.StatusName != nil {
		name = foreign.String(l.StatusName(status))
	}
	return fmt.Errorf("%s (%d) in %s", name, status, fmt.Sprintf(doing, args...))
}

// openCublasLt has cuBLASLt multiply, by the first algorithm that its heuristic
// has for a shape.
func openCublasLt(p device.Native, precision Precision) (*Product, error) {
	l := &cublasLt{}
	if err := foreign.Bind(l, foreign.Paths(cublasLtNames(p.Info().Driver), cublasLtFolders...)...); err != nil {
		return nil, err
	}
	var version [3]int32
	for i := range version {
		l.Property(int32(i), &version[i]) // MAJOR_VERSION, MINOR_VERSION, PATCH_LEVEL
	}
	workspace, err := p.Alloc(workspaceBytes)
	if err != nil {
		return nil, err
	}
	var handle uintptr
	if err := p.Do("cublasLtCreate", func() error { return l.err(l.Create(&handle), "cublasLtCreate on %s", p.Info().ID) }); err != nil {
		return nil, err
	}
	spread, err := spreader(p, precision)
	if err != nil {
		return nil, err
	}
	plans := map[cublasLtShape]*cublasLtPlan{}
	do := func(call Call) error {
		if precision == FP64 { // of which no epilogue is documented
			var err error
			if call, err = spread(call); err != nil {
				return err
			}
		}
		return p.Do("cublasLtMatmul", func() error {
			shape := cublasLtShape{call.M, call.N, call.K, call.TransA, call.TransB, call.Bias != nil, call.Round}
			plan := plans[shape]
			if plan == nil {
				var err error
				if plan, err = l.plan(handle, precision, shape); err != nil {
					return fmt.Errorf("%w of %v of %s on %s", err, call, precision, p.Info().ID)
				}
				plans[shape] = plan
			}
			if call.Bias != nil {
				bias := p.Address(call.Bias)
				if err := l.err(l.SetDesc(plan.desc, cublasLtBias, unsafe.Pointer(&bias), unsafe.Sizeof(bias)), "cublasLtMatmulDescSetAttribute"); err != nil {
					return err
				}
			}
			return l.err(l.Matmul(handle, plan.desc, precision.factor(true), p.Address(call.B), plan.left, p.Address(call.A), plan.right, precision.factor(call.Add),
				p.Address(call.C), plan.out, p.Address(call.C), plan.out, &plan.algorithm, p.Address(workspace), workspaceBytes, p.Queue()),
				"cublasLtMatmul of %v of %s on %s", call, precision, p.Info().ID)
		})
	}
	return &Product{Processor: p, Precision: precision, library: fmt.Sprintf("cuBLASLt %d.%d.%d", version[0], version[1], version[2]), do: do}, nil
}

// cublasLtShape is what an algorithm is chosen for.
type cublasLtShape struct {
	m, n, k                     int
	transA, transB, bias, round bool
}

// cublasLtPlan is how products of a shape are computed.
type cublasLtPlan struct {
	desc, left, right, out uintptr
	algorithm              [8]uint64
}

// plan asks for an algorithm. The library has matrices by columns, so that a
// matrix by rows is its transpose there: C = A·B by rows is Cᵀ = Bᵀ·Aᵀ by columns.
// B stored as k×n by rows is Bᵀ, n×k by columns, and B stored as n×k is what must be
// transposed to be that; as for A.
func (l *cublasLt) plan(handle uintptr, precision Precision, s cublasLtShape) (*cublasLtPlan, error) {
	p := &cublasLtPlan{}
	if err := l.err(l.Desc(&p.desc, cublasLtCompute(precision), cublasLtTypes[precision.stored(false)]), "cublasLtMatmulDescCreate"); err != nil {
		return nil, err
	}
	for _, x := range []struct {
		set         bool
		what, value int32
	}{{s.transB, cublasLtTransposeA, 1}, {s.transA, cublasLtTransposeB, 1}, {s.bias, cublasLtEpilogue, cublasLtAddBias}} { // 1 is CUBLAS_OP_T; CUBLAS_OP_N is without being told
		if !x.set {
			continue
		}
		if err := l.err(l.SetDesc(p.desc, x.what, unsafe.Pointer(&x.value), 4), "cublasLtMatmulDescSetAttribute"); err != nil {
			return nil, err
		}
	}
	in, out := cublasLtTypes[precision], cublasLtTypes[precision.stored(s.round)]
	for _, x := range []struct {
		layout        *uintptr
		kind          int32
		rows, columns int
		exchanged     bool
	}{{&p.left, in, s.n, s.k, s.transB}, {&p.right, in, s.k, s.m, s.transA}, {&p.out, out, s.n, s.m, false}} {
		if x.exchanged {
			x.rows, x.columns = x.columns, x.rows
		}
		if err := l.err(l.Layout(x.layout, x.kind, uint64(x.rows), uint64(x.columns), int64(x.rows)), "cublasLtMatrixLayoutCreate"); err != nil { // #nosec G115 -- at most longest
			return nil, err
		}
	}
	var preference uintptr
	if err := l.err(l.Preference(&preference), "cublasLtMatmulPreferenceCreate"); err != nil {
		return nil, err
	}
	defer l.NoPreference(preference)
	room := uint64(workspaceBytes)
	if err := l.err(l.SetPreference(preference, cublasLtMaxWorkspace, unsafe.Pointer(&room), 8), "cublasLtMatmulPreferenceSetAttribute"); err != nil {
		return nil, err
	}
	var found heuristic
	var count int32
	if err := l.err(l.Heuristic(handle, p.desc, p.left, p.right, p.out, p.out, preference, 1, &found, &count), "cublasLtMatmulAlgoGetHeuristic"); err != nil {
		return nil, err
	}
	if count < 1 || found.workspace > workspaceBytes {
		return nil, fmt.Errorf("cublasLtMatmulAlgoGetHeuristic has %d algorithms and wants %d bytes of workspace", count, found.workspace)
	}
	p.algorithm = found.algorithm
	return p, l.err(found.state, "the algorithm of cublasLtMatmulAlgoGetHeuristic")
}
