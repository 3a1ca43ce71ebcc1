package gemm_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/kernels/device"
	"github.com/perwatt/perwatt/kernels/device/cuda"
	"github.com/perwatt/perwatt/kernels/device/devicetest/fakecuda"
	"github.com/perwatt/perwatt/kernels/device/foreign"
	"github.com/perwatt/perwatt/kernels/device/hip"
	"github.com/perwatt/perwatt/kernels/device/opencl"
	"github.com/perwatt/perwatt/kernels/gemm"
)

// drivers loads the stand-ins for the drivers, with a card each for products and
// one for a loss. A library that a process has loaded by its path is found by its
// name.
var drivers = sync.OnceValue(func() error {
	dir, err := os.MkdirTemp("", "fakeblas")
	if err != nil {
		return err
	}
	ampere := func() *fakecuda.Card { return &fakecuda.Card{Name: "Ampere", Memory: 1 << 30, Major: 8} }
	nvidia, err := fakecuda.Serve(dir, ampere(), ampere(), &fakecuda.Card{Name: "Turing", Memory: 1 << 30, Major: 7, Minor: 5})
	if err != nil {
		return err
	}
	amd, err := fakecuda.ServeHIP(dir, []*device.Program{gemm.SIMT}, &fakecuda.Card{Name: "Instinct", Memory: 1 << 30, Arch: "gfx942"})
	if err != nil {
		return err
	}
	os.Setenv("PERWATT_FAKE_CUDA", nvidia.Socket)
	os.Setenv("PERWATT_FAKE_HIP", amd.Socket)
	return errors.Join(load(fakecuda.Build(dir)), load(fakecuda.BuildHIP(dir)))
})

func load(path string, err error) error {
	if err != nil {
		return err
	}
	return foreign.Bind(&struct{}{}, path)
}

func card(t *testing.T, open func(string) (device.Processor, error), id string) device.Processor {
	if _, err := exec.LookPath("cc"); err != nil && os.Getenv("PERWATT_PEERS") != "required" {
		t.Skip("no C compiler: stand-ins cannot be built")
	}
	require.NoError(t, drivers())
	p, err := open(id)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	return p
}

// products returns a library's rows on a device, of which each gives right answers,
// and what the library was asked for.
func products(t *testing.T, p device.Processor, row string) (map[gemm.Precision]*gemm.Product, map[gemm.Precision][]string) {
	rows, asked := map[gemm.Precision]*gemm.Product{}, map[gemm.Precision][]string{}
	for _, precision := range gemm.Precisions() {
		table := gemm.Table(precision)
		r, err := table.Pick(p.Info(), row)
		if err != nil {
			continue
		}
		own, err := table.Pick(p.Info(), "")
		require.NoError(t, err)
		if precision != gemm.TF32 && p.Info().Vendor != "AMD" {
			require.NotEqual(t, row, own.Name, "the first row must be on every machine")
		}
		file := filepath.Join(t.TempDir(), "asked")
		t.Setenv("PERWATT_FAKE_BLAS", file)
		rows[precision], err = r.On(p)
		require.NoError(t, err)
		require.NoError(t, table.Check(rows[precision]), "%s of %s", row, precision)
		text, _ := os.ReadFile(file)
		asked[precision] = strings.Split(strings.TrimSpace(string(text)), "\n")
	}
	return rows, asked
}

// wrong has a library do what it must not, and demands that the check finds it.
func wrong(t *testing.T, rows map[gemm.Precision]*gemm.Product, refusal string) {
	for fault, want := range map[string]string{"idle": "is NaN, want", "coarse": ", want", "unadded": "plus ", "refuse": refusal} {
		for precision, product := range rows {
			if fault == "coarse" && precision != gemm.FP32 {
				continue // the others have as few bits
			}
			again := gemm.With(product.Processor, precision, product.Do)
			if fault == "refuse" { // of an algorithm for a new shape
				row, err := gemm.Table(precision).ByName(map[bool]string{true: "cublaslt", false: "rocblas"}[strings.HasPrefix(product.Library(), "cuBLASLt")])
				require.NoError(t, err)
				again, err = row.On(product.Processor)
				require.NoError(t, err)
			}
			t.Setenv("PERWATT_FAKE_BLAS_FAULT", fault)
			require.ErrorContains(t, gemm.Table(precision).Check(again), want, "%s of %s", fault, precision)
			t.Setenv("PERWATT_FAKE_BLAS_FAULT", "")
		}
	}
}

// absent demands the reason for which a row is not there, if it is not.
func absent(t *testing.T, p device.Processor, row string, names ...string) {
	for _, name := range names {
		if foreign.Bind(&struct{}{}, name) == nil {
			return
		}
	}
	r, err := gemm.Table(gemm.FP32).Pick(p.Info(), row)
	require.NoError(t, err)
	_, err = r.On(p)
	require.ErrorIs(t, err, foreign.ErrAbsent)
}

// A library that needs another driver is not taken: it fails, or computes unseen.
func TestLibraryNames(t *testing.T) {
	for driver, want := range map[string][]string{
		"CUDA 14.0": {"libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so.11"},
		"CUDA 12.4": {"libcublasLt.so.12", "libcublasLt.so.11"},
		"CUDA 11.8": {"libcublasLt.so.11"},
		"":          nil,
	} {
		require.Equal(t, want, gemm.CublasLtNames(driver), driver)
	}
	for driver, want := range map[string][]string{
		"HIP 7.0": {"librocblas.so.5"}, "HIP 6.3": {"librocblas.so.4"}, "HIP 5.2": {"librocblas.so.3", "librocblas.so.0"}, "HIP": nil,
	} {
		require.Equal(t, want, gemm.RocBLASNames(driver), driver)
	}
}

// cuBLASLt is told the shape, the order and the types of a product as its
// documentation has them.
func TestCublasLt(t *testing.T) {
	p := card(t, cuda.Open, "cuda:0")
	absent(t, p, "cublaslt", gemm.CublasLtNames(p.Info().Driver)...)
	t.Setenv("CUDA_HOME", t.TempDir())
	lib := filepath.Join(os.Getenv("CUDA_HOME"), "lib64")
	require.NoError(t, os.Mkdir(lib, 0o755))
	_, err := fakecuda.BuildCublasLt(lib)
	require.NoError(t, err)
	rows, asked := products(t, p, "cublaslt")
	require.Len(t, rows, 5)
	for precision, kinds := range map[gemm.Precision][4]int{ // compute, factors, operands, sums
		gemm.FP64: {70, 1, 1, 1}, gemm.FP32: {68, 0, 0, 0}, gemm.TF32: {77, 0, 0, 0}, gemm.BF16: {68, 0, 14, 0}, gemm.FP16: {68, 0, 2, 0},
	} {
		part := 16 / precision.In()
		whole := func(n int) int { return (n + part - 1) / part * part }
		sums, all := kinds[3], func(how, a, b, d, end string) {
			require.Contains(t, asked[precision], fmt.Sprintf("compute %d, scale %d, op %s, A %d %s, B %d %s, D %s, %s, workspace 33554432", kinds[0], kinds[1], how, kinds[2], a, kinds[2], b, d, end))
		}
		by := func(rows, columns int) string { return fmt.Sprintf("%d×%d ld %d", rows, columns, rows) }
		of := func(kind, rows, columns int) string { return fmt.Sprintf("%d %s", kind, by(rows, columns)) }
		m, n, k := 131, 259, 21*part
		all("1 0", by(k, n), by(k, m), of(sums, n, m), "beta 0, epilogue 1")
		k = 9 * part
		all("0 0", by(whole(n), k), by(k, m), of(sums, whole(n), m), "beta 0, epilogue 1")
		k--
		all("0 1", by(whole(n), k), by(whole(m), k), of(sums, whole(n), whole(m)), "beta 0, epilogue 1")
		m, n, k = 21, whole(19), 3*part
		bias := "beta 0, epilogue 4"
		if precision == gemm.FP64 {
			bias = "beta 1, epilogue 1"
		}
		rounded := sums
		if part == 8 {
			rounded = kinds[2]
		}
		all("0 0", by(n, k), by(k, m), of(sums, n, m), "beta 1, epilogue 1")
		all("0 0", by(n, k), by(k, m), of(sums, n, m), bias)
		all("0 0", by(n, k), by(k, m), of(rounded, n, m), bias)
		require.Equal(t, "cuBLASLt 12.8.4", rows[precision].Library())
	}
	wrong(t, rows, "CUBLAS_STATUS_NOT_SUPPORTED (15) in cublasLtMatmulAlgoGetHeuristic of 128×256·")

	// Without tensor cores there is neither TF32 nor bfloat16.
	for precision, want := range map[gemm.Precision]bool{gemm.FP32: true, gemm.TF32: false, gemm.BF16: false, gemm.FP16: true} {
		names := []string{}
		for _, row := range gemm.Table(precision).Supported(card(t, cuda.Open, "cuda:2").Info()) {
			names = append(names, row.Name)
		}
		require.Equal(t, want, slices.Contains(names, "cublaslt"), precision)
	}
}

func TestRocBLAS(t *testing.T) {
	p := card(t, hip.Open, "hip:0")
	absent(t, p, "rocblas", gemm.RocBLASNames(p.Info().Driver)...)
	t.Setenv("ROCM_PATH", t.TempDir())
	lib := filepath.Join(os.Getenv("ROCM_PATH"), "lib")
	require.NoError(t, os.Mkdir(lib, 0o755))
	_, err := fakecuda.BuildRocBLAS(lib)
	require.NoError(t, err)
	rows, asked := products(t, p, "rocblas")
	require.Len(t, rows, 4)
	for precision, kinds := range map[gemm.Precision][2]int{gemm.FP64: {152, 152}, gemm.FP32: {151, 151}, gemm.BF16: {168, 151}, gemm.FP16: {150, 151}} {
		part := 16 / precision.In()
		whole := func(n int) int { return (n + part - 1) / part * part }
		all := func(ops string, m, n, k, out, strideB, strideA, beta int) {
			require.Contains(t, asked[precision], fmt.Sprintf("op %s, %d×%d·%d, types %d %d %d %d, ld %d %d %d %d, compute %d, beta %d, algorithm 0 0 0",
				ops, n, m, k, kinds[0], kinds[0], out, out, strideB, strideA, n, n, kinds[1], beta))
		}
		k := 21 * part
		all("112 111", 131, 259, k, kinds[1], k, k, 0)
		k = 9 * part
		all("111 111", 131, whole(259), k, kinds[1], whole(259), k, 0)
		k--
		all("111 112", whole(131), whole(259), k, kinds[1], whole(259), whole(131), 0)
		rounded := kinds[1]
		if part == 8 {
			rounded = kinds[0]
		}
		all("112 111", 21, 19, 3*part, rounded, 3*part, 3*part, 1)
		require.Equal(t, "rocBLAS 4.3.0.deadbeef", rows[precision].Library())
	}
	wrong(t, rows, "rocblas_status_not_implemented (2) in rocblas_gemm_ex of 128×256·")
}

// CLBlast itself, on a driver for CPUs.
func TestCLBlast(t *testing.T) {
	list, err := opencl.List()
	if absent := foreign.Bind(&struct{}{}, "libclblast.so.1"); (absent != nil || err != nil || len(list) == 0) && os.Getenv("PERWATT_PEERS") != "required" {
		t.Skip("no OpenCL driver or no CLBlast: install pocl-opencl-icd and libclblast1")
	}
	require.NoError(t, err)
	for _, info := range list {
		p, err := opencl.Open(info.ID)
		require.NoError(t, err)
		for _, precision := range []gemm.Precision{gemm.FP32, gemm.FP64} {
			table := gemm.Table(precision)
			row, err := table.Pick(info, "clblast")
			require.NoError(t, err)
			product, err := row.On(p)
			require.NoError(t, err)
			require.NoError(t, table.Check(product), precision)
			require.Equal(t, "CLBlast", product.Library())
		}
		require.NoError(t, p.Close())
	}
}
