package training

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"gorgonia.org/gorgonia"

	"github.com/perwatt/perwatt/kernels/device/cpu"
	"github.com/perwatt/perwatt/kernels/vector"
)

// table is a matrix in fp64, for definitions that are to be read, not run.
type table struct {
	rows, cols int
	x          []float64
}

func newTable(rows, cols int) table     { return table{rows, cols, make([]float64, rows*cols)} }
func (m table) at(i, j int) float64     { return m.x[i*m.cols+j] }
func (m table) add(i, j int, v float64) { m.x[i*m.cols+j] += v }
func (m table) row(i int) []float64     { return m.x[i*m.cols:][:m.cols] }

func (m table) times(n table) table {
	out := newTable(m.rows, n.cols)
	for i := range m.rows {
		for j := range n.cols {
			for k := range m.cols {
				out.add(i, j, m.at(i, k)*n.at(k, j))
			}
		}
	}
	return out
}

func (m table) each(f func(i, j int, v float64) float64) table {
	out := newTable(m.rows, m.cols)
	for i := range m.rows {
		for j := range m.cols {
			out.add(i, j, f(i, j, m.at(i, j)))
		}
	}
	return out
}

func softened(row []float64) []float64 {
	p, sum := make([]float64, len(row)), 0.0
	for i, v := range row {
		p[i] = math.Exp(v)
		sum += p[i]
	}
	for i := range p {
		p[i] /= sum
	}
	return p
}

// Every op as the graph has it, and its definition in fp64.
type definition struct {
	name   string
	shapes [][2]int
	graph  func(b *builder, in []*gorgonia.Node) *gorgonia.Node
	want   func(in []table) table
}

var definitions = []definition{
	{"dense", [][2]int{{5, 11}, {11, 7}},
		func(b *builder, in []*gorgonia.Node) *gorgonia.Node { return b.dense(in[0], in[1], nil, false) },
		func(in []table) table { return in[0].times(in[1]) }},
	{"dense with bias and relu", [][2]int{{9, 10}, {10, 19}, {1, 19}},
		func(b *builder, in []*gorgonia.Node) *gorgonia.Node { return b.dense(in[0], in[1], in[2], true) },
		func(in []table) table {
			return in[0].times(in[1]).each(func(_, j int, v float64) float64 { return max(0, v+in[2].at(0, j)) })
		}},
	{"mean", [][2]int{{12, 9}},
		func(b *builder, in []*gorgonia.Node) *gorgonia.Node { return b.mean(in[0], 4) },
		func(in []table) table {
			out := newTable(3, 9)
			in[0].each(func(i, j int, v float64) float64 { out.add(i/4, j, v/4); return 0 })
			return out
		}},
	{"convolution of one channel", [][2]int{{2, 6 * 6}, {9, 9}},
		func(b *builder, in []*gorgonia.Node) *gorgonia.Node { return b.convolution(in[0], in[1], 6) },
		func(in []table) table { return convolved(in[0], in[1], 6) }},
	{"convolution", [][2]int{{3, 4 * 4 * 3}, {27, 10}},
		func(b *builder, in []*gorgonia.Node) *gorgonia.Node { return b.convolution(in[0], in[1], 4) },
		func(in []table) table { return convolved(in[0], in[1], 4) }},
	{"attention", [][2]int{{2 * 9, 3 * 2 * 5}},
		func(b *builder, in []*gorgonia.Node) *gorgonia.Node { return b.attention(in[0], 9, 2) },
		func(in []table) table { return attended(in[0], 9, 2) }},
	{"layer norm", [][2]int{{6, 8}, {8, 8}, {8, 8}, {1, 8}, {1, 8}},
		func(b *builder, in []*gorgonia.Node) *gorgonia.Node {
			r, x := &residual{builder: b}, b.dense(in[0], in[1], nil, false)
			return b.layerNorm(r, x, b.dense(r.fork(x), in[2], nil, false), in[3], in[4])
		},
		func(in []table) table {
			x := in[0].times(in[1])
			return normed(x, x.times(in[2]), in[3], in[4])
		}},
}

func normed(x, y, gain, bias table) table {
	sum := x.each(func(i, j int, v float64) float64 { return v + y.at(i, j) })
	n := float64(x.cols)
	return sum.each(func(i, j int, v float64) float64 {
		mean, variance := 0.0, 0.0
		for _, v := range sum.row(i) {
			mean += v / n
		}
		for _, v := range sum.row(i) {
			variance += (v - mean) * (v - mean) / n
		}
		return (v-mean)/math.Sqrt(variance+1e-5)*gain.at(0, j) + bias.at(0, j)
	})
}

func convolved(x, w table, side int) table {
	in, out := x.cols/(side*side), w.cols
	result := newTable(x.rows, side/2*(side/2)*out)
	for i := range x.rows {
		for o := range out {
			act := func(y, x_ int) float64 {
				sum := 0.0
				for dy := range 3 {
					for dx := range 3 {
						py, px := y+dy-1, x_+dx-1
						if py < 0 || py >= side || px < 0 || px >= side {
							continue
						}
						for c := range in {
							sum += x.at(i, (py*side+px)*in+c) * w.at((dy*3+dx)*in+c, o)
						}
					}
				}
				return max(sum, 0)
			}
			for y := range side / 2 {
				for x := range side / 2 {
					result.add(i, (y*(side/2)+x)*out+o, max(act(2*y, 2*x), act(2*y, 2*x+1), act(2*y+1, 2*x), act(2*y+1, 2*x+1)))
				}
			}
		}
	}
	return result
}

func attended(x table, tokens, heads int) table {
	return seen(x, tokens, heads, func(_, _ int) bool { return true })
}

// seen is attention in which query i of a sample sees key j if sees says so.
func seen(x table, tokens, heads int, sees func(i, j int) bool) table {
	d := x.cols / 3
	width := d / heads
	out := newTable(x.rows, d)
	for i := range x.rows {
		first := i / tokens * tokens
		for h := range heads {
			scores := make([]float64, tokens)
			for j := range tokens {
				for k := range width {
					scores[j] += x.at(i, h*width+k) * x.at(first+j, d+h*width+k) / math.Sqrt(float64(width))
				}
				if !sees(i-first, j) {
					scores[j] = math.Inf(-1)
				}
			}
			for j, p := range softened(scores) {
				for k := range width {
					out.add(i, h*width+k, p*x.at(first+j, 2*d+h*width+k))
				}
			}
		}
	}
	return out
}

// weighted is Σ r·y: a number to differentiate.
func (b *builder) weighted(y *gorgonia.Node, r []float32) *gorgonia.Node {
	return b.apply(&op{name: "weighted",
		do: func(out *value, in []*value) { out.f[0] = b.vec.Dot(in[0].f, r) },
		diff: func(_ gorgonia.Nodes, _, dy *gorgonia.Node) gorgonia.Nodes {
			return gorgonia.Nodes{b.apply(&op{name: "weighted'", do: func(out *value, in []*value) {
				b.vec.Affine(out.f, r, in[0].f[0], 0)
			}}, rows(y), cols(y), dy)}
		}}, 0, 0, y)
}

// ready returns a machine that computes the roots, with memory for their values.
func (b *builder) ready(t *testing.T, roots ...*gorgonia.Node) gorgonia.VM {
	t.Helper()
	vm, err := b.compile(roots...)
	require.NoError(t, err)
	for _, n := range roots {
		of(n).lasting = true
	}
	require.NoError(t, b.rehearse(train, vm))
	b.plan()
	b.allocate()
	vm.Reset()
	return vm
}

// distance is |got - want| ÷ |want|.
func distance(got []float32, want []float64) float64 {
	off, size := 0.0, 0.0
	for i, w := range want {
		off += (float64(got[i]) - w) * (float64(got[i]) - w)
		size += w * w
	}
	return math.Sqrt(off / size)
}

// Each op computes what its definition in fp64 does, and its gradients are the
// central differences of that.
func TestOps(t *testing.T) {
	for _, row := range vector.Table.Supported(cpu.Info()) {
		for _, d := range slices.Concat(definitions, gptDefinitions) {
			t.Run(row.Name+"/"+d.name, func(t *testing.T) {
				rng := rand.New(rand.NewPCG(1, 7))
				b := newBuilder(&core{gemm: bestRow(t), vec: row.Impl})
				var nodes gorgonia.Nodes
				var in []table
				for i, s := range d.shapes {
					v, exact := newValue(number, s[0], s[1]), newTable(s[0], s[1])
					v.f = make([]float32, v.len())
					for j := range v.f {
						v.f[j] = float32(rng.NormFloat64())
						exact.x[j] = float64(v.f[j])
					}
					in = append(in, exact)
					nodes = append(nodes, b.input(fmt.Sprint("in", i), v))
				}
				y := d.graph(b, nodes)
				r := make([]float32, rows(y)*cols(y))
				for i := range r {
					r[i] = float32(rng.NormFloat64())
				}
				result := b.weighted(y, r)
				grads, err := gorgonia.Grad(result, nodes...)
				require.NoError(t, err)
				vm := b.ready(t, append(gorgonia.Nodes{result, y}, grads...)...)
				for range 2 { // what is left in memory of the first time does no harm
					require.NoError(t, vm.RunAll())
					if got := distance(of(y).f, d.want(in).x); !(got <= 1e-6) {
						t.Errorf("result is off by %.2g", got)
					}
					for i, g := range grads {
						var want []float64
						for j := range in[i].x {
							want = append(want, slope(&in[i].x[j], func() float64 {
								sum := 0.0
								for k, v := range d.want(in).x {
									sum += v * float64(r[k])
								}
								return sum
							}))
						}
						if got := distance(of(g).f, want); !(got <= 1e-5) {
							t.Errorf("gradient of operand %d is off by %.2g", i, got)
						}
					}
					vm.Reset()
				}
			})
		}
	}
}

// slope is the derivative of f at x, of which it depends.
func slope(x *float64, f func() float64) float64 {
	const h = 1e-5
	at := *x
	*x = at + h
	up := f()
	*x = at - h
	down := f()
	*x = at
	return (up - down) / (2 * h)
}

func TestCrossEntropy(t *testing.T) {
	const n = 3
	b := newBuilder(&core{})
	x, label, exact := newValue(number, n, classes), newValue(integer, 1, n), make([]float64, n*classes)
	x.f = make([]float32, x.len())
	uniform(1, x.f)
	for i, v := range x.f {
		exact[i] = float64(v)
	}
	want := []int32{3, 9, 0}
	label.i = want
	logits := b.input("x", x)
	loss := b.crossEntropy(logits, b.input("label", label))
	grads, err := gorgonia.Grad(loss, logits)
	require.NoError(t, err)
	vm := b.ready(t, loss, grads[0])
	require.NoError(t, vm.RunAll())
	f := func() (sum float64) {
		for i, l := range want {
			sum -= math.Log(softened(exact[i*classes:][:classes])[l]) / n
		}
		return
	}
	require.InEpsilon(t, f(), of(loss).f[0], 1e-6)
	var slopes []float64
	for i := range exact {
		slopes = append(slopes, slope(&exact[i], f))
	}
	require.Less(t, distance(of(grads[0]).f, slopes), 1e-6)
}

func TestSoftmax(t *testing.T) {
	p := make([]float64, 3)
	softmax(p, []float32{1e30, 0, -1e30})
	require.Equal(t, []float64{1, 0, 0}, p, "no overflow")
	softmax(p, []float32{-80, -80, float32(-80 + math.Ln2)})
	require.InDeltaSlice(t, []float64{0.25, 0.25, 0.5}, p, 1e-6)
}

// A transformer's windows hold the pixels that they cover, and what is beyond
// the border is paper.
func TestReadWindows(t *testing.T) {
	image, x := make([]byte, pixels), make([]float32, tokens*window*window)
	for i := range image {
		image[i] = byte(i*7 + i/side)
	}
	readWindows(bestVector(t), image, x)
	for token := range tokens {
		for y := range window {
			for c := range window {
				iy, ix := token/8*apart+y-margin, token%8*apart+c-margin
				want := places[(token*window+y)*window+c]
				if iy >= 0 && iy < side && ix >= 0 && ix < side {
					want += ink * float32(image[iy*side+ix]) * float32(1.0/255)
				}
				require.InDelta(t, want, x[(token*window+y)*window+c], 1e-6)
			}
		}
	}
}

// torch returns a Python that has PyTorch, or skips.
func torch(t *testing.T) string {
	t.Helper()
	for _, python := range []string{"python3", "/usr/bin/python3"} {
		if exec.Command(python, "-c", "import torch").Run() == nil {
			return python
		}
	}
	t.Skip("no python3 with PyTorch (Debian: python3-torch)")
	return ""
}

// referenceOf is the stored trajectory of a network.
func referenceOf(t *testing.T, name string) trajectory {
	t.Helper()
	var ref reference
	require.NoError(t, json.Unmarshal(referenceJSON, &ref))
	require.Contains(t, ref.Networks, name)
	return ref.Networks[name]
}

// Whole networks against PyTorch, by the same program that made the stored
// losses.
func TestGradientsOfPyTorch(t *testing.T) {
	python := torch(t)
	for _, net := range append(slices.Clone(suite), languageModels[0]) {
		t.Run(net.name, func(t *testing.T) {
			if testing.Short() && net.name != "gpt-mini" {
				t.Skip("the longer form has it")
			}
			dir := t.TempDir()
			out, err := exec.Command(python, "reference.py", net.name, dir).CombinedOutput()
			require.NoError(t, err, string(out))
			read := func(name string) []float64 {
				data, err := os.ReadFile(filepath.Join(dir, name))
				require.NoError(t, err)
				x := make([]float64, len(data)/8)
				for i := range x {
					x[i] = math.Float64frombits(binary.LittleEndian.Uint64(data[8*i:]))
				}
				return x
			}
			m, err := newModel(net, referenceOf(t, net.name).Batch, 1, bestRow(t), bestVector(t))
			require.NoError(t, err)
			r, err := newReplica(net, m.replicas[0].batch, &core{gemm: bestRow(t), vec: bestVector(t)}) // which stores all gradients
			require.NoError(t, err)
			m.replicas[0] = r
			m.bind()
			require.NoError(t, m.fix())
			require.NoError(t, m.fixed(0))
			require.NoError(t, r.compute())
			require.InEpsilon(t, read("loss")[0], float64(r.loss.f[0]), 1e-6)
			for i, p := range net.params() {
				want := read(fmt.Sprint(i))
				require.Len(t, want, p.len())
				off := distance(r.grads[i].f, want)
				t.Logf("weights %d: %.1e", i, off)
				require.Less(t, off, 1e-5, "weights %d, %d×%d", i, p.rows, p.cols)
			}
		})
	}
}

// The stored losses are those that the program finds.
func TestReferenceIsReproduced(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a quarter of a minute")
	}
	out, err := exec.Command(torch(t), "reference.py").Output()
	require.NoError(t, err)
	var got, want reference
	require.NoError(t, json.Unmarshal(out, &got))
	require.NoError(t, json.Unmarshal(referenceJSON, &want))
	for name, n := range want.Networks {
		require.Len(t, n.Losses, 20)
		require.Equal(t, n.Batch, got.Networks[name].Batch)
		require.Equal(t, n.Rate, got.Networks[name].Rate)
		require.Equal(t, n.Warmup, got.Networks[name].Warmup)
		require.InEpsilonSlice(t, n.Losses, got.Networks[name].Losses, 1e-9, name)
	}
	require.Len(t, got.Networks, len(suite)+1)
}
