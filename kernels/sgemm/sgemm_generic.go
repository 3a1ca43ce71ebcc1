package sgemm

// Sizes of the generic row: sums run over genericK elements in tiles of 4×2
// accumulators, over a packed genericN columns of B (32 KiB, about what a
// first-level cache holds).
const (
	genericK = 128
	genericN = 64
)

// genericGemm copies a panel of op(B), and four rows of op(A) at a time, so
// that both lie contiguous along k, and fills C with their dot products.
func genericGemm(transA, transB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int, e Epilogue) {
	var pa [4 * genericK]float32
	var pb [genericN * genericK]float32
	for l := 0; l < k; l += genericK {
		kk := min(genericK, k-l)
		for j := 0; j < n; j += genericN {
			nn := min(genericN, n-j)
			pack(pb[:], !transB, b, ldb, j, nn, l, kk)
			for i := 0; i < m; i += 4 {
				mm := min(4, m-i)
				pack(pa[:], transA, a, lda, i, mm, l, kk)
				for jj := 0; jj < nn; jj += 2 {
					// At an edge, pa and pb still hold rows of an earlier block; their sums are not stored.
					sums := dot4x2(&pa, (*[2 * genericK]float32)(pb[jj*genericK:]), kk)
					for ii := range mm {
						row := c[(i+ii)*ldc+j:][:nn]
						for t := jj; t < min(jj+2, nn); t++ {
							v := alpha * sums[ii][t-jj]
							if beta != 0 {
								v += beta * row[t]
							}
							row[t] = v
						}
					}
				}
			}
		}
		beta = 1
	}
	e.apply(m, n, c, ldc)
}

// pack copies rows × kk elements, from row r0 and column l0 on, of the matrix
// stored in x, or of its transpose, to dst in rows genericK apart.
func pack(dst []float32, trans bool, x []float32, ld, r0, rows, l0, kk int) {
	if !trans {
		for r := range rows {
			copy(dst[r*genericK:][:kk], x[(r0+r)*ld+l0:])
		}
		return
	}
	for l := range kk {
		for r, v := range x[(l0+l)*ld+r0:][:rows] {
			dst[r*genericK+l] = v
		}
	}
}

// dot4x2 returns the dot products of four rows of a with two of b over their
// first kk elements.
func dot4x2(a *[4 * genericK]float32, b *[2 * genericK]float32, kk int) (s [4][2]float32) {
	a0, a1, a2, a3 := a[:kk], a[genericK:][:kk], a[2*genericK:][:kk], a[3*genericK:][:kk]
	b0, b1 := b[:kk], b[genericK:][:kk]
	var s00, s01, s10, s11, s20, s21, s30, s31 float32
	for l, x := range b0 {
		y := b1[l]
		s00 += a0[l] * x
		s01 += a0[l] * y
		s10 += a1[l] * x
		s11 += a1[l] * y
		s20 += a2[l] * x
		s21 += a2[l] * y
		s30 += a3[l] * x
		s31 += a3[l] * y
	}
	return [4][2]float32{{s00, s01}, {s10, s11}, {s20, s21}, {s30, s31}}
}
