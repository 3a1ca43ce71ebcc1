package vector

import (
	"fmt"
	"math"

	"github.com/perwatt/perwatt/kernels/device"
)

// check runs every pass over small integers, with which all but
// the transcendental ones are exact, and compares them with their definitions. The operands have whole
// blocks and a rest.
func check(im *Implementation) error {
	const n, channels = 87, 29
	integers := func(count, lowest int) []float32 {
		x := make([]float32, n)
		for i := range x {
			x[i] = float32(i%count + lowest)
		}
		return x
	}
	x, y, z, w := integers(7, -3), integers(5, -2), integers(11, -5), integers(3, -1)
	bytes, at := make([]byte, n), make([]int32, n)
	for i := range bytes {
		bytes[i] = byte(3 * i)
	}
	var err error
	near := func(pass string, i int, got float32, want, tolerance float64) {
		if err == nil && !(math.Abs(float64(got)-want) <= tolerance) {
			err = fmt.Errorf("element %d of %s is %v, want %v", i, pass, got, want)
		}
	}
	each := func(pass string, run func(dst []float32), want func(i int) float32) {
		dst := integers(13, -6)
		run(dst)
		for i, got := range dst {
			near(pass, i, got, float64(want(i)), 0)
		}
	}
	before := integers(13, -6)
	each("axpy", func(dst []float32) { im.Axpy(dst, x, 3) }, func(i int) float32 { return before[i] + 3*x[i] })
	each("bytes", func(dst []float32) { im.Bytes(dst, bytes, 2) }, func(i int) float32 { return 2 * float32(bytes[i]) })
	each("mask", func(dst []float32) { im.Mask(dst, x, y) }, func(i int) float32 {
		if y[i] > 0 {
			return x[i]
		}
		return 0
	})
	each("affine", func(dst []float32) { im.Affine(dst, x, 3, 5) }, func(i int) float32 { return 3*x[i] + 5 })
	each("mul", func(dst []float32) { im.Mul(dst, x, y) }, func(i int) float32 { return x[i] * y[i] })
	each("muladd", func(dst []float32) { im.MulAdd(dst, x, y) }, func(i int) float32 { return before[i] + x[i]*y[i] })
	each("scaleshift", func(dst []float32) { im.ScaleShift(dst, x, y, z) }, func(i int) float32 { return x[i]*y[i] + z[i] })
	each("combine", func(dst []float32) { im.Combine(dst, x, y, 3, 5, 7) }, func(i int) float32 { return 3*x[i] + 5*y[i] + 7 })

	// Rows of 29 elements that are 58 apart in one operand and adjacent in the other.
	spread := make([]float32, 2*n)
	im.CopyRows(spread, 2*channels, x, channels, n/channels, channels)
	im.AddRows(spread[channels:], 2*channels, y, channels, n/channels, channels)
	for i, got := range spread {
		from := [2][]float32{x, y}[i/channels%2]
		near("copyrows and addrows", i, got, float64(from[i/channels/2*channels+i%channels]), 0)
	}
	// Two lines of three pixels, and four of the operands side by side in them.
	lines := [2][]float32{make([]float32, 2*n), make([]float32, 2*n)}
	from := [4][]float32{x, y, z, w}
	part := func(lines [2][]float32, i, j int) *float32 {
		return &lines[j/2][(2*(i/channels)+j%2)*channels+i%channels]
	}
	for i := range n {
		for j := range from {
			*part(lines, i, j) = from[j][i]
		}
	}
	each("pool", func(dst []float32) { im.Pool(dst, at, lines[0], lines[1], channels) }, func(i int) float32 { return max(x[i], y[i], z[i], w[i], 0) })
	for i := range at {
		place := -1
		for j := range from {
			if top := max(x[i], y[i], z[i], w[i]); place < 0 && top > 0 && from[j][i] == top {
				place = j
			}
		}
		near("pool's places", i, float32(at[i]), float64(place), 0)
	}
	im.Unpool(lines[0], lines[1], z, at, channels)
	for i := range n {
		for j := range from {
			want := 0.0
			if at[i] == int32(j) { // #nosec G115 -- 0 to 3
				want = float64(z[i])
			}
			near("unpool", i, *part(lines, i, j), want, 0)
		}
	}

	const mean, scale = 2, 0.5
	sum, square, dot, exps, squares, total := 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
	for i := range x {
		a, b := float64(x[i]), float64(y[i])
		sum, square, dot, exps = sum+a, square+(a-mean)*(a-mean), dot+a*b, exps+math.Exp(scale*a)
		squares, total = squares+a*a, total+math.Exp(a)
	}
	near("sum", 0, im.Sum(x), sum, 0)
	near("square", 0, im.Square(x, mean), square, 0)
	near("dot", 0, im.Dot(x, y), dot, 0)
	p, dp := make([]float32, n), make([]float32, n)
	im.Softmax(p, x, scale)
	along := 0.0
	for i, got := range p {
		want := math.Exp(scale*float64(x[i])) / exps
		near("softmax", i, got, want, 1e-5*want)
		along += want * float64(y[i])
	}
	im.SoftmaxGrad(dp, p, y, scale)
	for i, got := range dp {
		near("softmaxgrad", i, got, scale*math.Exp(scale*float64(x[i]))/exps*(float64(y[i])-along), 1e-6)
	}

	out, dgain, dbias := make([]float32, n), integers(13, -6), integers(7, -3)
	slope := func(v float64) (t, d float64) {
		k := math.Sqrt(2 / math.Pi)
		t = math.Tanh(k * (v + 0.044715*v*v*v))
		return t, (1 - t*t) * k * (1 + 3*0.044715*v*v)
	}
	im.Gelu(out, x)
	for i, got := range out {
		t, _ := slope(float64(x[i]))
		near("gelu", i, got, float64(x[i])/2*(1+t), 1e-6)
	}
	im.GeluGrad(out, x, y)
	for i, got := range out {
		t, d := slope(float64(x[i]))
		near("gelugrad", i, got, float64(y[i])/2*(1+t+float64(x[i])*d), 1e-5)
	}
	m, inverse := im.LayerNorm(out, x, z, w, 1)
	center := sum / n
	deviation := math.Sqrt((square-n*(center-mean)*(center-mean))/n + 1)
	normal := func(i int) float64 { return (float64(x[i]) - center) / deviation }
	for i, got := range out {
		near("layernorm", i, got, float64(z[i])*normal(i)+float64(w[i]), 1e-5)
	}
	im.LayerNormGrad(out, dgain, dbias, x, z, y, m, inverse)
	level, slant := 0.0, 0.0
	for i := range x {
		level += float64(z[i]) * float64(y[i]) / n
		slant += float64(z[i]) * float64(y[i]) * normal(i) / n
	}
	for i, got := range out {
		near("layernormgrad", i, got, (float64(z[i])*float64(y[i])-level-slant*normal(i))/deviation, 1e-4)
		near("layernormgrad's gain", i, dgain[i], float64(before[i])+float64(y[i])*normal(i), 1e-5)
		near("layernormgrad's bias", i, dbias[i], float64(x[i])+float64(y[i]), 0)
	}
	loss := im.CrossEntropy(out, x, 5, scale)
	near("crossentropy", 5, float32(loss), math.Log(total)-float64(x[5]), 1e-5)
	for i, got := range out {
		want := scale * math.Exp(float64(x[i])) / total
		if i == 5 {
			want -= scale
		}
		near("crossentropy's gradient", i, got, want, 1e-6)
	}
	near("sumsquares", 0, float32(im.SumSquares(x)), squares, 0)
	first, second := make([]float32, n), make([]float32, n)
	im.AdamW(before, first, second, x, AdamW{Rate: 0.5, Beta1: 0.75, Beta2: 0.5, Epsilon: 1, Decay: 0.25, Correction1: 0.5, Correction2: 0.5, Scale: 2})
	for i, got := range before {
		g, w := 2*float64(x[i]), float64(i%13-6)
		near("adamw's first moment", i, first[i], g/4, 0)
		near("adamw's second moment", i, second[i], g*g/2, 0)
		near("adamw", i, got, w-0.5*(g/2/(math.Abs(g)+1)+w/4), 1e-6)
	}
	return err
}

// work is a mix of passes over operands of 16 KiB, as training has them, in
// bytes that the passes read and write.
func work(device.Info, int64) func(*Implementation) float64 {
	const n = 4096
	var o [6][]float32
	for j := range o {
		o[j] = make([]float32, n)
		for i := range o[j] {
			o[j][i] = float32((i*(j+3))%17)/8 - 1
		}
	}
	dst, at := make([]float32, n), make([]int32, n)
	return func(im *Implementation) float64 {
		im.ScaleShift(dst, o[0], o[1], o[2])
		im.Axpy(dst, o[3], 0.5)
		im.Dot(dst, o[4])
		im.Mask(dst, o[0], o[5])
		im.Softmax(dst, o[1], 0.5)
		im.Pool(dst[:n/2], at, o[0], o[1], 64)
		return 4 * n * float64(4+3+2+3+2+3)
	}
}
