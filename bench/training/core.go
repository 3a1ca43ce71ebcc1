package training

import (
	"github.com/perwatt/perwatt/kernels/sgemm"
	"github.com/perwatt/perwatt/kernels/vector"
)

// gemmFunc is the method GemmEpilogue of a row of kernels/sgemm.
type gemmFunc func(transA, transB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int, e sgemm.Epilogue)

// core is the arithmetic of one replica. It counts its products, because a graph that
// did nothing would otherwise look very fast.
type core struct {
	gemm gemmFunc
	vec  *vector.Implementation
	products

	// A replica that is alone and trains by plain SGD descends: the gradients of dense
	// layers are not stored, but added to the weights, times rate, by the products that
	// they are. That is a pass over each matrix less in three.
	descends bool
	rate     float32 // minus the learning rate
}

// newCore returns the arithmetic of one of so many replicas of net.
func newCore(net network, replicas int, gemm gemmFunc, vec *vector.Implementation) *core {
	_, language := net.language()
	return &core{gemm: gemm, vec: vec, descends: replicas == 1 && !language}
}

// products counts matrix products and the floating-point operations in them.
type products struct{ calls, flop int64 }

func (p *products) add(q products) { p.calls += q.calls; p.flop += q.flop }

// matrix is a window of rows, ld elements apart; if t is set, its transpose is
// multiplied.
type matrix struct {
	x  []float32
	ld int
	t  bool
}

func mat(x []float32, ld int) matrix { return matrix{x, ld, false} }
func (m matrix) T() matrix           { return matrix{m.x, m.ld, !m.t} }

// multiply sets the m×n window to to a·b + beta·to, where a is m×k and b k×n, and then
// applies the epilogue e.
func (c *core) multiply(m, n, k int, a, b matrix, beta float32, to matrix, e sgemm.Epilogue) {
	c.multiplyBy(1, m, n, k, a, b, beta, to, e)
}

// multiplyBy is multiply with the product times alpha.
func (c *core) multiplyBy(alpha float32, m, n, k int, a, b matrix, beta float32, to matrix, e sgemm.Epilogue) {
	c.gemm(a.t, b.t, m, n, k, alpha, a.x, a.ld, b.x, b.ld, beta, to.x, to.ld, e)
	c.calls++
	c.flop += 2 * int64(m) * int64(n) * int64(k)
}
