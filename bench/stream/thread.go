package stream

import (
	"context"
	"fmt"
	"math"

	"github.com/perwatt/perwatt/bench"
)

// thread is one goroutine, bound to a CPU from Prepare to Close, with its part
// of the arrays. Threads share nothing.
type thread struct {
	id    int
	work  chan func()
	ended chan struct{}

	a, b, c []float64
	from    int    // index of a[0] in the whole array
	sb, sc  uint64 // generators of b and c
	places  uint64 // generator that chooses the poisoned element
	next    int    // first element of the next stretch
	pass    uint64
	tally
}

// tally counts the answers and the wrong ones.
type tally struct {
	steps, wrong  uint64 // stretches, and those whose sample was wrong
	example       string // of a wrong one
	computed, bad uint64 // answers in memory, and wrong elements of any array
	badExample    string
}

func (t *tally) add(u tally) {
	t.steps += u.steps
	t.wrong += u.wrong
	t.computed += u.computed
	t.bad += u.bad
	if t.example == "" {
		t.example = u.example
	}
	if t.badExample == "" {
		t.badExample = u.badExample
	}
}

func newThread(id int, seed uint32, from int, a, b, c []float64) *thread {
	state := func(which byte) uint64 { return bench.Hash64(uint64(seed), uint64(which)) }
	t := &thread{
		id: id, work: make(chan func()), ended: make(chan struct{}),
		a: a, b: b, c: c, from: from, sb: state('b'), sc: state('c'), places: bench.Hash64(state('p'), uint64(id)), // #nosec G115 -- the number of a thread
	}
	go func() {
		defer close(t.ended)
		bind(id) // and never unbound: the system's thread ends with this goroutine
		for f := range t.work {
			f()
		}
	}()
	return t
}

// value returns the i-th element of a generator: in [1, 2), with random bits in the
// whole significand, since the power of a multiplier depends on its operands'
// bits.
func value(state uint64, i int) float64 {
	return math.Float64frombits(0x3ff<<52 | bench.Hash64(state, uint64(i))>>12) // #nosec G115 -- i is an index
}

// scalar returns s of a pass, exactly: in [1, 2) and different for each of a
// million passes. Since c is at least 1, their answers differ too.
func scalar(pass uint64) float64 {
	const passes = 1 << 20
	return 1 + float64(pass%passes)/passes
}

// want returns what a[i] must be after a pass.
func (t *thread) want(i int, pass uint64) float64 {
	return value(t.sb, t.from+i) + float64(scalar(pass)*value(t.sc, t.from+i))
}

// poison is the value of an element of a until it is computed.
var poison = math.NaN()

// fill sets b and c and poisons a, and so touches every page.
func (t *thread) fill(ctx context.Context) {
	for at := 0; at < len(t.a) && ctx.Err() == nil; at += chunk {
		for i := at; i < min(at+chunk, len(t.a)); i++ {
			t.a[i], t.b[i], t.c[i] = poison, value(t.sb, t.from+i), value(t.sc, t.from+i)
		}
	}
}

// try checks the kernel on a few elements, the first of them not aligned, and
// poisons them again.
func (t *thread) try(triad func(a, b, c []float64, s float64)) error {
	n := min(len(t.a), 1003)
	triad(t.a[1:n], t.b[1:n], t.c[1:n], scalar(0))
	for i := 1; i < n; i++ {
		if got, want := t.a[i], t.want(i, 0); got != want {
			return fmt.Errorf("a[%d] is %v, want %v", t.from+i, got, want)
		}
		t.a[i] = poison
	}
	return nil
}

// step computes the next stretch, of which it poisons and compares an element,
// and returns how many it computed.
func (t *thread) step(triad func(a, b, c []float64, s float64)) int {
	from, to := t.next, min(t.next+chunk, len(t.a))
	i := from + int(bench.Hash64(t.places, t.steps)%uint64(to-from)) // #nosec G115 -- from < to, and below the difference
	t.a[i] = poison
	triad(t.a[from:to], t.b[from:to], t.c[from:to], scalar(t.pass))
	t.steps++
	if got, want := t.a[i], t.want(i, t.pass); got != want {
		if t.wrong++; t.example == "" {
			t.example = fmt.Sprintf("; the first: a[%d] is %v in pass %d, want %v", t.from+i, got, t.pass, want)
		}
	}
	if t.next = to; to == len(t.a) {
		t.next = 0
		t.pass++
	}
	return to - from
}

// survey compares every element with its expected value: the answer of this pass
// or of the one before, or poison if there was none.
func (t *thread) survey() {
	t.computed, t.bad, t.badExample = 0, 0, ""
	differs := func(array byte, i int, got, want float64) {
		if t.bad++; t.badExample == "" {
			t.badExample = fmt.Sprintf("; the first: %c[%d] is %v, want %v", array, t.from+i, got, want)
		}
	}
	for i, got := range t.a {
		b, c := value(t.sb, t.from+i), value(t.sc, t.from+i)
		if t.b[i] != b {
			differs('b', i, t.b[i], b)
		}
		if t.c[i] != c {
			differs('c', i, t.c[i], c)
		}
		pass := t.pass
		if i >= t.next {
			if pass == 0 {
				if got == got {
					differs('a', i, got, poison)
				}
				continue
			}
			pass--
		}
		t.computed++
		if want := b + float64(scalar(pass)*c); got != want {
			differs('a', i, got, want)
		}
	}
}
