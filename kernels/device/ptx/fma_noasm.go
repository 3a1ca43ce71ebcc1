//go:build purego || !amd64

package ptx

// fma32 is a·b + c in every lane, rounded once.
func fma32(x, a, b, c *row) { fmaGeneric(x, a, b, c) }
