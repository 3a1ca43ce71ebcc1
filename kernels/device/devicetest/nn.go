package devicetest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"

	"github.com/perwatt/perwatt/kernels/device"
	"github.com/perwatt/perwatt/kernels/nn"
)

// tried is a format's passes, data for them, and what they left beside its
// definition in float64.
type tried struct {
	*bench
	*nn.Passes
	format format
	round  func(float64) float64 // to the format
	random *rand.Rand
	larger int
	tensor bool // attention multiplies probabilities in bfloat16
}

// values are n numbers of the format, of variance 1, and a buffer of them.
func (t *tried) values(n int) ([]float64, device.Buffer) {
	return t.numbers(t.format, t.round, n)
}

// singles are n numbers of float32.
func (t *tried) singles(n int) ([]float64, device.Buffer) {
	return t.numbers(f32, func(v float64) float64 { return float64(float32(v)) }, n)
}

func (t *tried) numbers(f format, round func(float64) float64, n int) ([]float64, device.Buffer) {
	values := make([]float64, n)
	for i := range values {
		values[i] = round(t.random.NormFloat64())
	}
	return values, t.put(f, values)
}

func (t *tried) put(f format, values []float64) device.Buffer {
	data := make([]byte, f.size*len(values))
	for i, v := range values {
		f.put(data[f.size*i:], v)
	}
	return t.with(data)
}

// indices are n numbers below vocab, of which some repeat.
func (t *tried) indices(n, vocab int) ([]int, device.Buffer) {
	values, data := make([]int, n), make([]byte, 4*n)
	for i := range values {
		values[i] = t.random.IntN(vocab)
		if i%3 == 0 {
			values[i] = t.random.IntN(1 + vocab/8)
		}
		le.PutUint32(data[4*i:], uint32(values[i]))
	}
	return values, t.with(data)
}

// room is a buffer of n elements that holds no number.
func (t *tried) room(f format, n int) device.Buffer { return t.with(blank(f.size * n)) }

// scratch is a buffer of bytes that nothing has written.
func (t *tried) scratch(bytes int64) device.Buffer {
	if t.err != nil {
		return nil
	}
	b, err := t.Alloc(bytes)
	if t.note(err); err == nil {
		t.buffers = append(t.buffers, b)
	}
	return b
}

// are compares a buffer with what it must hold, within tolerance times the largest
// magnitude, and the rounding of the format.
func (t *tried) are(what string, f format, b device.Buffer, want []float64, tolerance float64) {
	data := t.read(b, f.size*len(want))
	if t.err != nil {
		return
	}
	largest := 0.0
	for _, v := range want {
		if !math.IsNaN(v) {
			largest = max(largest, math.Abs(v))
		}
	}
	for i, v := range want {
		var got float64
		rounding := 0x1p-24
		if f.size == 2 {
			got, rounding = float64(math.Float32frombits(uint32(le.Uint16(data[2*i:]))<<16)), 0x1p-8
		} else {
			got = float64(math.Float32frombits(le.Uint32(data[4*i:])))
		}
		if math.IsNaN(v) != math.IsNaN(got) || math.Abs(got-v) > tolerance*largest+rounding*math.Abs(v) {
			t.note(fmt.Errorf("%s: element %d of %d is %v, want %v", what, i, len(want), got, v))
			return
		}
	}
}

// exact is what float32 arithmetic leaves of the largest magnitude, with room for
// the approximations of GPUs.
const exact = 4e-6

// passes are the trials of every pass, in both formats.
func passes(larger int) (list []Trial) {
	for _, p := range []struct {
		name    string
		kernels []string
		run     func(t *tried)
	}{
		{"embed", []string{"embed"}, embeds},
		{"embed_grad", []string{"embed_grad", "places_grad"}, embedGrads},
		{"layer_norm", []string{"layer_norm"}, layerNorms},
		{"layer_norm_grad", []string{"layer_norm_grad", "layer_norm_sums", "sum_strips"}, layerNormGrads},
		{"gelu", []string{"gelu"}, gelus},
		{"gelu_grad", []string{"gelu_grad"}, geluGrads},
		{"add", []string{"add"}, adds},
		{"add_bias", []string{"add_bias"}, addBiases},
		{"sum_rows", []string{"sum_rows", "sum_strips"}, sumRows},
		{"cross_entropy", []string{"cross_entropy"}, crossEntropies},
		{"mean", []string{"sum"}, means},
		{"sum_squares", []string{"sum_squares"}, sumSquares},
		{"adamw", []string{"adamw"}, adamws},
		{"convert", []string{"convert"}, converts},
		{"fill", []string{"fill"}, fills},
		{"attention32", []string{"attention32"}, func(t *tried) { attentions(t, 32, false) }},
		{"attention64", []string{"attention64"}, func(t *tried) { attentions(t, 64, false) }},
		{"attention_grad32", []string{"attention_delta", "attention_keys32", "attention_queries32"}, func(t *tried) { attentions(t, 32, true) }},
		{"attention_grad64", []string{"attention_keys64", "attention_queries64"}, func(t *tried) { attentions(t, 64, true) }},
	} {
		for _, f := range []nn.Format{nn.FP32, nn.BF16} {
			name := fmt.Sprintf("nn_%s_%s", f, p.name)
			if larger == 0 && slow(name) {
				continue
			}
			list = append(list, Trial{
				Name: name, Family: "nn_" + strings.TrimRight(p.name, "0123456789"), Program: nn.Programs(f), Kernels: p.kernels, Arch: "sm_75",
				Run: func(on device.Processor, program *device.Program) error {
					return try(on, f, program, nil, larger, p.run)
				},
			})
		}
	}
	tensor := func(grad bool) func(device.Processor, *device.Program) error {
		return func(on device.Processor, program *device.Program) error {
			return try(on, nn.BF16, nn.Programs(nn.BF16), program, larger, func(t *tried) { attentions(t, nn.Widest, grad) })
		}
	}
	return append(list,
		Trial{Name: "nn_mma_attention", Family: "nn_mma_attention", Program: nn.Tensor, Kernels: []string{"mma_attention"}, Arch: "sm_80", Run: tensor(false)},
		Trial{Name: "nn_mma_attention_grad", Family: "nn_mma_attention_grad", Program: nn.Tensor, Kernels: []string{"mma_attention_keys", "mma_attention_queries"}, Arch: "sm_80", Run: tensor(true)},
	)
}

// try runs a trial of passes with the kernels of two programs.
func try(on device.Processor, f nn.Format, program, tensor *device.Program, larger int, run func(*tried)) error {
	passes, err := nn.With(on, f, program, tensor)
	if err != nil {
		return err
	}
	t := &tried{bench: &bench{Processor: on}, Passes: passes, format: f32, round: func(v float64) float64 { return float64(float32(v)) }, random: rand.New(rand.NewPCG(22, 1)), larger: larger, tensor: tensor != nil}
	if f == nn.BF16 {
		t.format, t.round = bf16, func(v float64) float64 { return nearest(v, 7) }
	}
	run(t)
	return t.done()
}

// nearest rounds v to so many bits behind the first.
func nearest(v float64, bits int) float64 {
	fraction, exponent := math.Frexp(v)
	return math.Ldexp(math.RoundToEven(math.Ldexp(fraction, bits+1)), exponent-bits-1)
}

// shapes are rows and columns that fill warps and blocks, and that do not.
func (t *tried) shapes() [][2]int {
	list := [][2]int{{1, 8}, {11, 40}}
	if t.larger > 0 {
		list = append(list, [2]int{133, 264})
	}
	return list
}

func embeds(t *tried) {
	for _, s := range t.shapes() {
		rows, cols, seq, vocab := s[0], s[1], 1+s[0]/3, 29
		tokens, tokenBuffer := t.indices(rows, vocab)
		if rows > 3 { // a token that the table does not have
			tokens[3] = vocab
			tokenBuffer = t.tokens(tokens)
		}
		table, tableBuffer := t.values(vocab * cols)
		places, placeBuffer := t.values(seq * cols)
		y := t.room(t.format, rows*cols)
		t.do(func() error { return t.Embed(y, tokenBuffer, tableBuffer, placeBuffer, rows, seq, cols) })
		want := make([]float64, rows*cols)
		for i := range want {
			if want[i] = math.NaN(); tokens[i/cols] < vocab {
				want[i] = table[tokens[i/cols]*cols+i%cols] + places[i/cols%seq*cols+i%cols]
			}
		}
		t.are("embed", t.format, y, want, exact)
	}
}

func (t *tried) tokens(list []int) device.Buffer {
	data := make([]byte, 4*len(list))
	for i, v := range list {
		le.PutUint32(data[4*i:], uint32(v))
	}
	return t.with(data)
}

// do submits a pass unless something is wrong already.
func (t *tried) do(pass func() error) {
	if t.err == nil {
		t.note(pass())
	}
}

func embedGrads(t *tried) {
	shapes := [][4]int{{1, 3, 8, 1}, {70, 24, 40, 45}} // rows, seq, cols, vocab
	if t.larger > 0 {
		shapes = append(shapes, [4]int{4100, 1025, 16, 67})
	}
	for _, s := range shapes {
		rows, seq, cols, vocab := s[0], s[1], s[2], s[3]
		tokens, _ := t.indices(rows, vocab)
		tokens[0] = vocab // counts for nothing
		if rows > 1 {
			tokens[1] = vocab - 1
		}
		dy, dyBuffer := t.values(rows * cols)
		dtable, tableBuffer := t.singles(vocab * cols)
		dplaces := t.room(f32, seq*cols)
		buffer := t.tokens(tokens)
		t.do(func() error { return t.EmbedGrad(tableBuffer, dplaces, buffer, dyBuffer, rows, seq, cols, vocab) })
		places := make([]float64, seq*cols)
		for i, v := range dy {
			row, c := i/cols, i%cols
			places[row%seq*cols+c] += v
			if tokens[row] < vocab {
				dtable[tokens[row]*cols+c] += v
			}
		}
		t.are("the gradient of the table", f32, tableBuffer, dtable, exact)
		t.are("the gradient of places", f32, dplaces, places, exact)
	}
}

// norm is layer norm in float64.
func norm(x []float64, cols int) (mean, rstd, hat []float64) {
	hat = make([]float64, len(x))
	for from := 0; from < len(x); from += cols {
		m, v := 0.0, 0.0
		for _, x := range x[from : from+cols] {
			m += x / float64(cols)
		}
		for _, x := range x[from : from+cols] {
			v += (x - m) * (x - m) / float64(cols)
		}
		r := 1 / math.Sqrt(v+1e-5)
		for i, x := range x[from : from+cols] {
			hat[from+i] = (x - m) * r
		}
		mean, rstd = append(mean, m), append(rstd, r)
	}
	return mean, rstd, hat
}

func layerNorms(t *tried) {
	for _, s := range t.shapes() {
		rows, cols := s[0], s[1]
		x, xb := t.values(rows * cols)
		gain, gb := t.values(cols)
		bias, bb := t.values(cols)
		y, mb, rb := t.room(t.format, rows*cols), t.room(f32, rows), t.room(f32, rows)
		t.do(func() error { return t.LayerNorm(y, mb, rb, xb, gb, bb, rows, cols) })
		mean, rstd, hat := norm(x, cols)
		for i := range hat {
			hat[i] = hat[i]*gain[i%cols] + bias[i%cols]
		}
		t.are("layer norm", t.format, y, hat, exact)
		t.are("mean", f32, mb, mean, exact)
		t.are("rstd", f32, rb, rstd, exact)
	}
}

func layerNormGrads(t *tried) {
	shapes := t.shapes()
	if t.larger > 0 {
		shapes = append(shapes, [2]int{4200, 8}) // strips of more than 32 rows
	}
	for _, s := range shapes {
		rows, cols := s[0], s[1]
		x, xb := t.values(rows * cols)
		gain, gb := t.values(cols)
		dy, db := t.values(rows * cols)
		mean, rstd, hat := norm(x, cols)
		dx, dgain, dbias := make([]float64, rows*cols), make([]float64, cols), make([]float64, cols)
		for r := range rows {
			sum, along := 0.0, 0.0
			for i := r * cols; i < (r+1)*cols; i++ {
				sum += dy[i] * gain[i%cols] / float64(cols)
				along += dy[i] * gain[i%cols] * hat[i] / float64(cols)
				dgain[i%cols] += dy[i] * hat[i]
				dbias[i%cols] += dy[i]
			}
			for i := r * cols; i < (r+1)*cols; i++ {
				dx[i] = rstd[r] * (dy[i]*gain[i%cols] - sum - hat[i]*along)
			}
		}
		gains, biases, mb, rb := t.room(f32, cols), t.room(f32, cols), t.put(f32, mean), t.put(f32, rstd)
		scratch := t.scratch(t.LayerNormScratch(rows, cols))
		t.do(func() error { return t.LayerNormGrad(db, gains, biases, xb, mb, rb, gb, db, scratch, rows, cols) }) // in place
		t.are("the gradient of layer norm", t.format, db, dx, exact)
		t.are("the gradient of gain", f32, gains, dgain, exact)
		t.are("the gradient of bias", f32, biases, dbias, exact)
	}
}

// lengths are numbers of elements that fill blocks, and that do not.
func (t *tried) lengths() []int { return []int{8, 8 * 300} }

// gelu is the definition, and its derivative.
func gelu(x float64) (y, slope float64) {
	u, du := math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x), math.Sqrt(2/math.Pi)*(1+3*0.044715*x*x)
	th := math.Tanh(u)
	return x * (1 + th) / 2, (1+th)/2 + x*(1-th*th)/2*du
}

// wide are values of which the first are of large magnitude.
func (t *tried) wide(n int) ([]float64, device.Buffer) {
	x, _ := t.values(n)
	for i := range x {
		x[i] = t.round(2 * x[i])
	}
	copy(x, []float64{0, 40, -40, 6, -6, 1e4, -1e4})
	for i := range min(n, 8) {
		x[i] = t.round(x[i])
	}
	return x, t.put(t.format, x)
}

func gelus(t *tried) {
	for _, n := range t.lengths() {
		x, b := t.wide(n)
		y := t.room(t.format, n)
		t.do(func() error { return t.Gelu(y, b, n) })
		for i := range x {
			x[i], _ = gelu(x[i])
		}
		t.are("gelu", t.format, y, x, exact/1e4)
	}
}

func geluGrads(t *tried) {
	for _, n := range t.lengths() {
		x, b := t.wide(n)
		dy, db := t.values(n)
		t.do(func() error { return t.GeluGrad(db, b, db, n) }) // in place
		for i := range x {
			_, slope := gelu(x[i])
			x[i] = dy[i] * slope
		}
		t.are("the gradient of gelu", t.format, db, x, exact)
	}
}

func adds(t *tried) {
	for _, n := range t.lengths() {
		x, xb := t.values(n)
		y, yb := t.values(n)
		t.do(func() error { return t.Add(xb, xb, yb, n) }) // in place
		for i := range x {
			x[i] += y[i]
		}
		t.are("add", t.format, xb, x, 0)
	}
}

func addBiases(t *tried) {
	for _, s := range t.shapes() {
		rows, cols := s[0], s[1]
		y, yb := t.values(rows * cols)
		bias, bb := t.values(cols)
		t.do(func() error { return t.AddBias(yb, bb, rows, cols) })
		for i := range y {
			y[i] += bias[i%cols]
		}
		t.are("add bias", t.format, yb, y, 0)
	}
}

func sumRows(t *tried) {
	shapes := t.shapes()
	if t.larger > 0 {
		shapes = append(shapes, [2]int{4200, 8})
	}
	for _, s := range shapes {
		rows, cols := s[0], s[1]
		dy, b := t.values(rows * cols)
		sums, scratch := t.room(f32, cols), t.scratch(t.SumRowsScratch(rows, cols))
		t.do(func() error { return t.SumRows(sums, b, scratch, rows, cols) })
		want := make([]float64, cols)
		for i, v := range dy {
			want[i%cols] += v
		}
		t.are("the sum of rows", f32, sums, want, exact)
	}
}

func crossEntropies(t *tried) {
	shapes := [][2]int{{3, 64}, {2, 8}}
	if t.larger > 0 {
		shapes = append(shapes, [2]int{5, 4120}, [2]int{9, 2056}) // a thread has several parts
	}
	for _, s := range shapes {
		rows, vocab := s[0], s[1]
		x, b := t.values(rows * vocab)
		x[1], x[2] = 30, -30 // what is large and small
		if rows > 8 {        // each warp has a logit without which another's exponential is infinite
			for r := range 8 {
				x[r*vocab+r*32*16/t.format.size+3] = 200
			}
		}
		b = t.put(t.format, x)
		targets, _ := t.indices(rows, vocab)
		if rows > 2 {
			targets[0] = 1
		}
		targets[rows-1] = vocab // none
		scale := float32(0.25)
		losses, tokens := t.room(f32, rows), t.tokens(targets)
		t.do(func() error { return t.CrossEntropy(losses, b, b, tokens, rows, vocab, scale) }) // in place
		want := make([]float64, rows)
		for r := range rows {
			row, sum := x[r*vocab:(r+1)*vocab], 0.0
			for _, v := range row {
				sum += math.Exp(v)
			}
			if want[r] = math.NaN(); targets[r] < vocab {
				want[r] = math.Log(sum) - row[targets[r]]
			}
			for i, v := range row {
				row[i] = math.Exp(v) / sum / 4
			}
			if targets[r] < vocab {
				row[targets[r]] -= 0.25
			}
		}
		t.are("losses", f32, losses, want, exact)
		t.are("the gradient of logits", t.format, b, x, exact)
	}
}

func means(t *tried) {
	for _, n := range []int{1, 300, 1 + 700*min(t.larger, 1)} {
		x, b := t.singles(n)
		loss := t.room(f32, 1)
		t.do(func() error { return t.Mean(loss, b, n) })
		want := 0.0
		for _, v := range x {
			want += v / float64(n)
		}
		t.are("mean", f32, loss, []float64{want}, 1e-4) // its terms cancel
	}
}

func sumSquares(t *tried) {
	for _, n := range []int{8, 8 * 300, 8 + 8*1024*min(t.larger, 1)} {
		x, b := t.singles(n)
		out, scratch := t.room(f32, 1), t.scratch(t.SumSquaresScratch(n))
		t.do(func() error { return t.SumSquares(out, b, scratch, n) })
		want := 0.0
		for _, v := range x {
			want += v * v
		}
		t.are("the sum of squares", f32, out, []float64{want}, exact)
	}
}

func adamws(t *tried) {
	for _, n := range t.lengths() {
		for _, clip := range []float64{1, 1e6} { // clips, and does not
			master, wb := t.singles(n)
			m, mb := t.singles(n)
			v, _ := t.singles(n)
			for i := range v {
				v[i] = math.Abs(v[i])
			}
			vb := t.put(f32, v)
			g, gb := t.singles(n)
			const norm2 = 6.25
			u := nn.Update{Rate: 0.01, Beta1: 0.9, Beta2: 0.95, Epsilon: 0.01, Decay: 0.1, Correction1: 0.1, Correction2: 0.0975, Clip: float32(clip)}
			w, norm := t.room(t.format, n), t.put(f32, []float64{norm2})
			if t.format.size == 4 && clip > 1 {
				w = wb // weights are their own masters
			}
			t.do(func() error { return t.AdamW(w, wb, mb, vb, gb, norm, n, u) })
			for i := range master {
				g := g[i] * min(1, clip/math.Sqrt(norm2))
				m[i], v[i] = 0.9*m[i]+0.1*g, 0.95*v[i]+0.05*g*g
				master[i] -= 0.01 * (m[i]/0.1/(math.Sqrt(v[i]/0.0975)+0.01) + 0.1*master[i])
			}
			t.are("the first moment", f32, mb, m, exact)
			t.are("the second moment", f32, vb, v, exact)
			t.are("masters", f32, wb, master, exact)
			t.are("weights", t.format, w, master, exact)
		}
	}
}

func converts(t *tried) {
	for _, n := range t.lengths() {
		x, _ := t.singles(n)
		copy(x, []float64{0x1.01p0, 0x1.03p0, -0x1.010002p0, math.Inf(1), math.NaN(), 0x1.fffffep-126, 0}) // ties of bfloat16, and none
		b, y := t.put(f32, x), t.room(t.format, n)
		t.do(func() error { return t.Convert(y, b, n) })
		data := t.read(y, n*t.format.size)
		for i := 0; i < n && t.err == nil; i++ {
			v := x[i]
			if v == v && !math.IsInf(v, 0) {
				v = t.round(v)
			}
			want := le.AppendUint32(nil, math.Float32bits(float32(v)))[4-t.format.size:]
			got := data[i*t.format.size:][:t.format.size]
			if isNaN := le.Uint16(got[len(got)-2:])&0x7fff > 0x7f80; v != v && !isNaN || v == v && string(got) != string(want) {
				t.note(fmt.Errorf("convert: element %d, %v, is %x, want %x", i, x[i], got, want))
			}
		}
	}
}

func fills(t *tried) {
	for _, n := range []int{1, 300} {
		b, want := t.room(f32, n+1), make([]float64, n+1)
		for i := range want {
			want[i] = -2.5
		}
		want[n] = math.NaN() // as it was
		t.do(func() error { return t.Fill(b, -2.5, n) })
		t.are("fill", f32, b, want, 0)
	}
}

// attentions has heads as wide as a kernel's tiles, and narrower ones.
func attentions(t *tried, widest int, grad bool) {
	shapes := [][4]int{{1, 2, 1, widest}, {2, 37, 2, widest - 8}} // batch, seq, heads, width
	within := exact
	switch {
	case t.tensor: // blocks of 128 rows and tiles of 64 columns
		shapes, within = [][4]int{{2, 12, 1, 16}, {1, 66, 1, widest}, {1, 133, 2, widest - 8}}, 0x1p-9
	case t.larger > 0:
		shapes = append(shapes, [4]int{1, 130, 1, widest})
	}
	if t.larger == 0 {
		shapes = [][4]int{{1, 33, 1, widest - 8}}
	}
	for _, s := range shapes {
		batch, seq, heads, width := s[0], s[1], s[2], s[3]
		all := heads * width
		x, xb := t.values(batch * seq * 3 * all)
		dy, db := t.values(batch * seq * all)
		y, dx := make([]float64, len(dy)), make([]float64, len(x))
		var lse []float64
		for pair := range batch * heads {
			b, h := pair/heads, pair%heads
			at := func(row, which, c int) int { return (b*seq+row)*3*all + which*all + h*width + c }
			for i := range seq {
				p, sum := make([]float64, i+1), 0.0
				for j := range p {
					for c := range width {
						p[j] += x[at(i, 0, c)] * x[at(j, 1, c)] / math.Sqrt(float64(width))
					}
					sum += math.Exp(p[j])
				}
				lse = append(lse, math.Log(sum))
				row := (b*seq+i)*all + h*width
				delta := 0.0
				for j := range p {
					p[j] = math.Exp(p[j]) / sum
					for c := range width {
						y[row+c] += p[j] * x[at(j, 2, c)]
					}
				}
				for c := range width { // as the backward pass reads it
					delta += dy[row+c] * t.round(y[row+c])
				}
				for j := range p {
					ds := -delta
					for c := range width {
						ds += dy[row+c] * x[at(j, 2, c)]
					}
					ds *= p[j] / math.Sqrt(float64(width))
					for c := range width {
						dx[at(i, 0, c)] += ds * x[at(j, 1, c)]
						dx[at(j, 1, c)] += ds * x[at(i, 0, c)]
						dx[at(j, 2, c)] += p[j] * dy[row+c]
					}
				}
			}
		}
		if !grad {
			yb, lb := t.room(t.format, len(y)), t.room(f32, len(lse))
			t.do(func() error { return t.Attention(yb, lb, xb, batch, seq, heads, width) })
			t.are("attention", t.format, yb, y, within)
			t.are("the logarithm of the sum", f32, lb, lse, exact)
			continue
		}
		for i := range y {
			y[i] = t.round(y[i])
		}
		yb, lb, dqkv, scratch := t.put(t.format, y), t.put(f32, lse), t.room(t.format, len(dx)), t.scratch(t.AttentionScratch(batch, seq, heads, width))
		t.do(func() error { return t.AttentionGrad(dqkv, xb, yb, lb, db, scratch, batch, seq, heads, width) })
		t.are("the gradient of attention", t.format, dqkv, dx, within)
	}
}
