// Package shapes lists the products with which package sgemm is benchmarked:
// squares and the products of training. It holds dimensions only.
package shapes

import "fmt"

// Shape is a product C = op(A)·op(B) + Beta·C. Strides of zero stand for
// matrices without gaps.
type Shape struct {
	Name           string
	TransA, TransB bool
	M, N, K        int
	A, B, C        int // strides, in elements
	Beta           float32
}

// Peers are squares and the products of a perceptron 784-512-10 and one with
// layers of 2048, both at batch 256, and of convolutions of 28×28 images written
// as one product for a batch of 100: shapes on which libraries are compared.
var Peers = []Shape{
	nn("square", 256, 256, 256),
	nn("square", 512, 512, 512),
	nn("square", 1024, 1024, 1024),
	nn("square", 2048, 2048, 2048),
	nn("mlp_forward", 256, 512, 784),
	tn("mlp_dW0", 784, 512, 256),
	nn("mlp_logits", 256, 10, 512),
	nt("mlp_dH", 256, 512, 10),
	tn("mlp_dW1", 512, 10, 256),
	nn("big_forward", 256, 2048, 2048),
	nt("big_dX", 256, 2048, 2048),
	tn("big_dW", 2048, 2048, 256),
	nt("conv2_forward", 19600, 64, 288),
	nn("conv2_dcol", 19600, 288, 64),
	tn("conv2_dW", 64, 288, 19600),
	nt("conv1_forward", 78400, 32, 9),
}

// Training are the products of the other networks: a transformer's layers
// of width 256 over 1024 tokens, its attention over 64, where heads lie beside
// each other in rows of 768, convolutions image by image, and small layers.
var Training = []Shape{
	nn("project", 1024, 256, 256),
	nt("project_dX", 1024, 256, 256),
	tn("project_dW", 256, 256, 1024),
	nn("qkv", 1024, 768, 256),
	nt("qkv_dX", 1024, 256, 768),
	tn("qkv_dW", 256, 768, 1024),
	nn("ff1", 1024, 1024, 256),
	nn("ff2", 1024, 256, 1024),
	nt("ff2_dX", 1024, 1024, 256),
	tn("ff2_dW", 1024, 256, 1024),
	{Name: "scores", TransB: true, M: 64, N: 64, K: 64, A: 768, B: 768},
	{Name: "attended", M: 64, N: 64, K: 64, B: 768, C: 256},
	{Name: "scores_dK", TransA: true, M: 64, N: 64, K: 64, B: 768, C: 768},
	nn("image1", 32, 784, 9),
	nn("image2", 64, 196, 288),
	tn("image2_dcol", 288, 196, 64),
	{Name: "image2_dW", TransB: true, M: 64, N: 288, K: 196, Beta: 1},
	nn("fc", 100, 128, 3136),
	nt("fc_dX", 100, 3136, 128),
	tn("fc_dW", 3136, 128, 100),
	nn("classes", 256, 10, 256),
	nn("classes", 100, 10, 128),
	nt("classes_dX", 100, 128, 10),
	tn("classes_dW", 128, 10, 100),
	nn("classes", 16, 10, 256),
	nt("classes_dX", 16, 256, 10),
	tn("classes_dW", 256, 10, 16),
}

func nn(name string, m, n, k int) Shape { return Shape{Name: name, M: m, N: n, K: k} }
func nt(name string, m, n, k int) Shape { return Shape{Name: name, M: m, N: n, K: k, TransB: true} }
func tn(name string, m, n, k int) Shape { return Shape{Name: name, M: m, N: n, K: k, TransA: true} }

// String returns name/ops/M×N×K, as a benchmark is named.
func (s Shape) String() string {
	op := map[bool]string{false: "N", true: "T"}
	return fmt.Sprintf("%s/%s%s/%dx%dx%d", s.Name, op[s.TransA], op[s.TransB], s.M, s.N, s.K)
}

// FLOP returns the number of floating-point operations.
func (s Shape) FLOP() float64 { return 2 * float64(s.M) * float64(s.N) * float64(s.K) }

// Operands returns random A and B of [-1, 1), C of zeros, and their strides.
func (s Shape) Operands(random func() float32) (a []float32, lda int, b []float32, ldb int, c []float32, ldc int) {
	matrix := func(trans bool, rows, cols, ld int) ([]float32, int) {
		if trans {
			rows, cols = cols, rows
		}
		ld = max(cols, ld)
		x := make([]float32, (rows-1)*ld+cols)
		for i := range x {
			x[i] = 2*random() - 1
		}
		return x, ld
	}
	a, lda = matrix(s.TransA, s.M, s.K, s.A)
	b, ldb = matrix(s.TransB, s.K, s.N, s.B)
	c, ldc = matrix(false, s.M, s.N, s.C)
	clear(c)
	return
}
