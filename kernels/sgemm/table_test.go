package sgemm

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/kernels/kerneltest"
)

func TestTable(t *testing.T) {
	kerneltest.TestTable(t, &Table,
		Implementation{gemm: func(bool, bool, int, int, int, float32, []float32, int, []float32, int, float32, []float32, int, Epilogue) {
		}},
		Implementation{gemm: func(tA, tB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int, e Epilogue) {
			genericGemm(tA, tB, m, n-1, k, alpha, a, lda, b, ldb, beta, c, ldc, e) // the last column is left out
		}},
		Implementation{gemm: func(tA, tB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int, e Epilogue) {
			genericGemm(tA, tB, m, n, k-1, alpha, a, lda, b, ldb, beta, c, ldc, e) // the last term of each sum
		}},
	)
	for _, row := range Table.Rows {
		require.Positive(t, min(row.Impl.Block.M, row.Impl.Block.N, row.Impl.Block.K), row.Name)
		require.Equal(t, row.Name != "generic" && row.Name != "gonum", row.Peak != nil, row.Name)
	}
}
