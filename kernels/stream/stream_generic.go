package stream

// triadGeneric is the specification. The conversion keeps the compiler from
// fusing the product into the sum, as it may where a CPU can (Go specification,
// "Floating-point operators").
func triadGeneric(a, b, c []float64, s float64) {
	b, c = b[:len(a)], c[:len(a)]
	for i := range a {
		a[i] = b[i] + float64(s*c[i])
	}
}
