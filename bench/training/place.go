package training

import (
	"cmp"
	"slices"

	"github.com/perwatt/perwatt/kernels/device/cpu"
)

// place sets the offsets of values such that values that meet do not overlap, each
// offset a multiple of align bytes, and returns the bytes that all take together. The
// largest come first, and each goes where the gap between those that it meets is the
// tightest (Pisarchyk & Lee 2020, arXiv:2001.03288, "greedy by size").
func place(values []*value, align int64) (total int64) {
	round := func(n int64) int64 { return (n + align - 1) / align * align }
	var placed []*value // by offset
	for _, v := range slices.SortedStableFunc(slices.Values(values), func(a, b *value) int { return cmp.Compare(b.size, a.size) }) {
		size := round(v.size)
		best, at, end := int64(-1), int64(-1), int64(0)
		for _, w := range placed {
			if !v.meets(w) {
				continue
			}
			if gap := w.at - end; gap >= size && (at < 0 || gap < best) {
				best, at = gap, end
			}
			end = max(end, w.at+round(w.size))
		}
		if at < 0 {
			at = end
		}
		v.at = at
		i, _ := slices.BinarySearchFunc(placed, v, func(a, b *value) int { return cmp.Compare(a.at, b.at) })
		placed = slices.Insert(placed, i, v)
		total = max(total, at+size)
	}
	return total
}

// plan places all values in use and says in b.bytes what they take. Those of own stay
// apart from the others, in their order and without gaps.
func (b *builder) plan(own ...*value) {
	b.own = own
	for _, v := range own {
		v.foreign = true
	}
	b.bytes = b.kept()
	for _, v := range b.values {
		v.size = v.len() * b.on.element(v.kind)
	}
	b.shared = place(b.used(active, number), b.on.align())
	b.bytes += b.shared
	for _, v := range b.used(integer, double) {
		b.bytes += v.size
	}
}

// kept is the bytes of what stays apart.
func (b *builder) kept() (bytes int64) {
	for _, v := range b.own {
		bytes += 4 * v.len()
	}
	return bytes
}

// allocate gives the values their memory, as planned.
func (b *builder) allocate() {
	all := cpu.Floats(int(b.shared / 4))[0]
	for _, v := range b.used(active, number) {
		v.f = all[v.at/4:][:v.len():v.len()]
	}
	for _, v := range b.used(integer) {
		v.i = make([]int32, v.len())
	}
	for _, v := range b.used(double) {
		v.d = make([]float64, v.len())
	}
	size := int64(0)
	for _, v := range b.own {
		size += v.len()
	}
	all = cpu.Floats(int(size))[0]
	for _, v := range b.own {
		v.f, all = all[:v.len():v.len()], all[v.len():]
	}
}
