package training

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"gorgonia.org/gorgonia"
)

// A value is a handle: whoever looks behind it stops the program, and so no step of any
// other test looks.
func TestValuesAreHandles(t *testing.T) {
	v := newValue(number, 2, 3)
	for name, look := range map[string]func(){
		"Data":      func() { v.Data() },
		"Uintptr":   func() { v.Uintptr() },
		"Format":    func() { v.Format(nil, 0) },
		"Clone":     func() { _, _ = v.Clone() },
		"CopyTo":    func() { _ = v.CopyTo(nil) },
		"ZeroValue": func() { v.ZeroValue() },
	} {
		require.Panics(t, look, name)
	}
	// Left to itself Gorgonia adds the gradients of a value that is used twice.
	b := newBuilder(&core{gemm: bestRow(t), vec: bestVector(t)})
	x, w := b.input("x", newValue(number, 4, 4)), b.input("w", newValue(number, 4, 4))
	y := b.dense(b.dense(x, w, nil, false), w, nil, false)
	result := b.weighted(y, make([]float32, 16))
	grads, err := gorgonia.Grad(result, w)
	require.NoError(t, err)
	vm, err := b.compile(result, grads[0])
	require.NoError(t, err)
	require.Error(t, b.rehearse(train, vm))
}

// Values that are in use at the same time have memory of their own, and together they
// take little more than what is in use at the fullest time.
func TestPlace(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 50 {
		const align, steps = 16, 60
		var list []*value
		var load [phases][steps + 1]int64
		for range 80 {
			v := newValue(number, 1, 1)
			v.size = 1 + rng.Int64N(5000)
			for p := range phases {
				if rng.IntN(3) > 0 {
					first := 1 + rng.IntN(steps-10)
					v.uses[p] = span{first, first + rng.IntN(10)}
					for s := first; s <= v.uses[p].last; s++ {
						load[p][s] += (v.size + align - 1) / align * align
					}
				}
			}
			list = append(list, v)
		}
		total, most := place(list, align), int64(0)
		for p := range phases {
			for _, n := range load[p] {
				most = max(most, n)
			}
		}
		require.GreaterOrEqual(t, total, most)
		require.Less(t, total, most*3/2)
		for i, v := range list {
			require.Zero(t, v.at%align)
			require.LessOrEqual(t, v.at+v.size, total)
			for _, w := range list[:i] {
				if v.at < w.at+w.size && w.at < v.at+v.size {
					for p := range phases {
						a, b := v.uses[p], w.uses[p]
						require.False(t, a.first > 0 && b.first > 0 && a.first <= b.last && b.first <= a.last, "values that are in use together overlap")
					}
				}
			}
		}
	}
}

// No op reads what is not planned for it: where values share memory, and all that is not
// in use is filled with NaN before every op, losses, gradients and inference are those of
// values that do not share any.
func TestMemoryNotInUse(t *testing.T) {
	for _, net := range append([]network{small}, suite...) {
		t.Run(net.name, func(t *testing.T) {
			if testing.Short() && net.name != small.name {
				t.Skip("the small network shares memory in the same way")
			}
			run := func(share bool) (out []float32) {
				m, err := newModel(net, 4, 1, bestRow(t), bestVector(t))
				require.NoError(t, err)
				r := m.replicas[0]
				launch, phase := 0, train
				if share {
					r.rehearsal = func(o *op) {
						launch++
						for _, v := range r.used(active, number) {
							if u := v.uses[phase]; !v.lasting && (launch < u.first || launch > u.last) {
								r.poison(v, phase, launch)
							}
						}
						if o.do != nil {
							o.do(o.out, o.in)
						}
					}
				} else {
					for _, v := range r.values {
						v.lasting = true
					}
					r.plan(r.stored()...)
				}
				m.bind()
				require.NoError(t, m.fix())
				l, isLM := net.language()
				for i := range 3 {
					if isLM {
						_, err := m.documents(fixedText{1, l.vocab}, trainStream, i)
						require.NoError(t, err)
					} else {
						r.fixed(i)
					}
					launch, phase = 0, train
					loss, err := m.step(0.01)
					require.NoError(t, err)
					out = append(out, loss)
					for _, g := range r.grads {
						out = append(out, g.f...)
					}
					launch, phase = 0, infer
					if isLM {
						require.NoError(t, r.inference())
						out = append(out, r.loss.f[0])
						continue
					}
					right, err := r.right(4)
					require.NoError(t, err)
					out = append(out, float32(right))
					out = append(out, r.logits.f...)
				}
				return out
			}
			want, got := run(false), run(true)
			require.Len(t, got, len(want))
			for i := range want {
				if got[i] != want[i] {
					t.Fatalf("element %d of %d is %v, want %v", i, len(want), got[i], want[i])
				}
			}
		})
	}
}

// poison fills the part of v that shares no memory with values in use.
func (r *replica) poison(v *value, phase, launch int) {
	for _, w := range r.used(active, number) {
		if u := w.uses[phase]; w.lasting || launch >= u.first && launch <= u.last {
			if v.at < w.at+w.size && w.at < v.at+v.size {
				return
			}
		}
	}
	for i := range v.f {
		v.f[i] = float32(math.NaN())
	}
}

// A replica that adds gradients to the weights as it computes them takes the same step
// as one that stores them first, and stores none of dense layers.
func TestDescent(t *testing.T) {
	for name, stored := range map[string]int{"mlp": 0, "mlp-big": 0, "cnn": 2, "transformer": 9} {
		t.Run(name, func(t *testing.T) {
			if name == "mlp-big" && testing.Short() {
				t.Skip("the longer form has it")
			}
			net, err := lookup(name, false)
			require.NoError(t, err)
			step := func(on *core) (before, after [][]float32, r *replica) {
				m, err := newModel(net, 4, 1, bestRow(t), bestVector(t))
				require.NoError(t, err)
				if on != nil {
					m.replicas[0], err = newReplica(net, 4, on)
					require.NoError(t, err)
				}
				m.bind()
				require.NoError(t, m.fix())
				require.NoError(t, m.fixed(0))
				for _, w := range m.weights {
					before = append(before, slices.Clone(w))
				}
				_, err = m.step(0.5)
				require.NoError(t, err)
				return before, m.weights, m.replicas[0]
			}
			before, want, all := step(&core{gemm: bestRow(t), vec: bestVector(t)})
			_, got, r := step(nil)
			require.Len(t, all.stored(), len(want))
			require.Len(t, r.stored(), stored)
			for i := range want {
				size, off := 0.0, 0.0
				for j, w := range want[i] {
					size += math.Abs(float64(w - before[i][j]))
					off += math.Abs(float64(w - got[i][j]))
				}
				require.Positive(t, size)
				require.Less(t, off, 1e-4*size, "weights %d", i)
			}
		})
	}
}
