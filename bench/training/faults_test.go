package training

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/kernels/sgemm"
)

// faultyEngine is an engine with a fault.
type faultyEngine struct {
	*core
	fault string
	held  []float32 // weights of the step before
}

func (f *faultyEngine) attention(y, saved, qkv *value, seq, heads int) {
	f.core.attention(y, saved, qkv, seq, heads)
	width := y.cols / heads
	switch f.fault {
	case "a dropped head":
		for r := range y.rows {
			clear(y.f[r*y.cols+(heads-1)*width:][:width])
		}
	case "a mask that shows the next token":
		// A row becomes the mean of its own attention and that of the next row, which
		// sees one token more.
		for r := range y.rows {
			if r%seq < seq-1 {
				for c := range y.cols {
					y.f[r*y.cols+c] = (y.f[r*y.cols+c] + y.f[(r+1)*y.cols+c]) / 2
				}
			}
		}
	}
}

func (f *faultyEngine) linear(y, x, w, bias *value) {
	if f.fault == "a stale weight" && w.rows == 3*x.cols && bias != nil {
		if f.held == nil {
			f.held = append(f.held, w.f...)
		}
		now := w.f
		w.f = f.held
		defer func() { w.f = now }()
	}
	f.core.linear(y, x, w, bias)
}

func (f *faultyEngine) embedGrad(dplaces, dtable, tokens, dy *value, seq int) {
	if f.fault == "a gradient that is not summed for the tied table" {
		sum := append([]float32(nil), dtable.f...)
		defer func() { copy(dtable.f, sum) }()
	}
	f.core.embedGrad(dplaces, dtable, tokens, dy, seq)
}

// withFault returns gpt-mini with a fault, for the reference.
func withFault(t *testing.T, fault string, batch int) *model {
	t.Helper()
	gemm := bestRow(t)
	if fault == "an accumulator in bfloat16" {
		gemm = bf16Sums(gemm)
	}
	net := languageModels[0]
	m, err := newModel(net, batch, 1, gemm, bestVector(t))
	require.NoError(t, err)
	m.replicas[0], err = newReplica(net, batch, &faultyEngine{core: &core{gemm: gemm, vec: bestVector(t)}, fault: fault})
	require.NoError(t, err)
	m.bind()
	return m
}

// bf16Sums accumulates products in bfloat16, in parts of eight along k.
func bf16Sums(gemm gemmFunc) gemmFunc {
	return func(tA, tB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int, e sgemm.Epilogue) {
		const part = 8
		for lo := 0; lo < k; lo += part {
			hi := min(lo+part, k)
			along, down := lo, lo*ldb // of k in a and in b
			if tA {
				along = lo * lda
			}
			if tB {
				down = lo
			}
			last := sgemm.Epilogue{}
			if hi == k {
				last = e
			}
			gemm(tA, tB, m, n, hi-lo, alpha, a[along:], lda, b[down:], ldb, beta, c, ldc, last)
			beta = 1
			for i := range m {
				for j, v := range c[i*ldc:][:n] {
					// To the nearest, ties to even.
					bits := math.Float32bits(v)
					c[i*ldc+j] = math.Float32frombits((bits + 0x7fff + bits>>16&1) &^ 0xffff)
				}
			}
		}
	}
}

// The losses of gpt-mini follow PyTorch's, and each fault in it is found.
func TestFaultsOfLanguageModel(t *testing.T) {
	want := referenceOf(t, "gpt-mini")
	sound := withFault(t, "", want.Batch)
	worst, wrong, err := sound.follow(t.Context(), want, referenceTolerance)
	require.NoError(t, err)
	require.Empty(t, wrong)
	t.Logf("20 losses within %.1e", worst)
	for _, fault := range []string{
		"a dropped head", "a mask that shows the next token", "a stale weight",
		"a gradient that is not summed for the tied table", "an accumulator in bfloat16",
	} {
		t.Run(fault, func(t *testing.T) {
			_, wrong, err := withFault(t, fault, want.Batch).follow(t.Context(), want, referenceTolerance)
			require.NoError(t, err)
			t.Log(wrong)
			require.Regexp(t, "^loss [1-5] ", wrong, "those that every run compares")
			if testing.Short() {
				return
			}
			worst, _, err := withFault(t, fault, want.Batch).follow(t.Context(), want, 1)
			require.NoError(t, err)
			t.Logf("off by %.1e in the end", worst)
		})
	}
}
