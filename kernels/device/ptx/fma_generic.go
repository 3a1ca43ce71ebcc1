package ptx

import "math"

// fmaGeneric is [fma32] in plain Go. The product is exact, and rounding the
// sum to float64 first matters only where that gives the middle between two numbers of
// float32: its last 29 bits are a one and zeros, unless the numbers are subnormal.
func fmaGeneric(x, a, b, c *row) {
	for l := range x {
		p := float64(math.Float32frombits(a[l])) * float64(math.Float32frombits(b[l]))
		s := p + float64(math.Float32frombits(c[l]))
		// Of zero, twice the bits less one are the most there is.
		if u := math.Float64bits(s); u<<35 == 1<<63 || u<<1-1 < normal<<1-1 {
			s = odd(p, float64(math.Float32frombits(c[l])))
		}
		x[l] = math.Float32bits(float32(s))
	}
}

// normal is the bits of the least number of float64 that float32 has as a normal one.
const normal = (1023 - 126) << 52

// odd is p + c rounded to odd: the nearest float64 whose last bit is set, unless
// the sum is exact. Rounding that again to a narrower type gives what rounding
// the sum once would (Boldo and Melquiond, "When double rounding is odd", 2005).
func odd(p, c float64) float64 {
	s := p + c
	t := s - p
	e := (p - (s - t)) + (c - t) // what rounding took off (Knuth's TwoSum)
	if e == 0 || e != e || math.IsInf(s, 0) {
		return s
	}
	u := math.Float64bits(s)
	if u&1 == 0 {
		if (e > 0) == (s > 0) {
			u++
		} else {
			u--
		}
	}
	return math.Float64frombits(u)
}
