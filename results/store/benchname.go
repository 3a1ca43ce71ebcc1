package store

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// The name of a benchmark ends in -N if it ran with GOMAXPROCS = N, unless N is 1. It
// may also end in a number of its own: from the name alone, size-64 may be either.
// The names of a package together decide:
//
//   - All names of a run with N > 1 end in -N, and none of a run with N = 1.
//   - An identifier in Go has no hyphen: a number behind one in a name without
//     subtests is N.
//   - With -cpu 1,2,4 each benchmark comes with each value, its subtests together:
//     A/x-2 A/y-2 A/x-4 A/y-4. Numbers of subtests rather come as
//     A/x-2 A/x-4 A/y-2 A/y-4.
//
// If they do not decide, the other packages of the session do, then the other
// sessions of the machine.

// maxProcs bounds a number that is taken for GOMAXPROCS.
const maxProcs = 1 << 16

// splitName cuts a possible GOMAXPROCS from a name; n is 1 if there is none.
func splitName(name string) (base string, n int) {
	i := strings.LastIndexByte(name, '-')
	if i <= 0 || i+1 == len(name) || name[i+1] == '0' || strings.Trim(name[i+1:], "0123456789") != "" {
		return name, 1
	}
	if n, err := strconv.Atoi(name[i+1:]); err == nil && n > 1 && n <= maxProcs {
		return name[:i], n
	}
	return name, 1
}

// nameBlock is the names of one package in one session, in their order.
type nameBlock struct {
	session, machine string
	given            []int // values of GOMAXPROCS, if the text or the user gave them
	names            []string
	has              map[string]bool
	procs            []int // values of GOMAXPROCS
	sure             bool
}

func (b *nameBlock) add(name string) {
	if !b.has[name] {
		b.has[name] = true
		b.names = append(b.names, name)
	}
}

// covers reports whether each name may have run with one of procs.
func (b *nameBlock) covers(procs []int) bool {
	for _, name := range b.names {
		if _, n := splitName(name); !slices.Contains(procs, n) {
			return false
		}
	}
	return true
}

// decide infers the values of GOMAXPROCS from the names alone, if none are given.
func (b *nameBlock) decide() {
	if b.procs, b.sure = b.given, true; len(b.given) > 0 {
		return
	}
	plain, all, bases := map[int]bool{}, map[int]bool{}, map[string]map[int]bool{}
	for _, name := range b.names {
		base, n := splitName(name)
		all[n] = true
		if !strings.Contains(name, "/") {
			plain[n] = true
		}
		if bases[base] == nil {
			bases[base] = map[int]bool{}
		}
		bases[base][n] = true
	}
	b.procs = slices.Sorted(maps.Keys(all))
	switch {
	case len(plain) > 0:
		b.procs = slices.Sorted(maps.Keys(plain))
	case len(all) == 1:
		b.sure = all[1]
	case len(all) > 1:
		whole := true // each with each
		for _, of := range bases {
			whole = whole && len(of) == len(all)
		}
		if !whole || !all[1] && !b.together() {
			b.procs = b.beside(bases)
			b.sure = all[1] || len(b.procs) > 1
		}
	}
}

// beside returns 1 and the values of GOMAXPROCS with which every name occurs, among
// names that end in numbers of their own; only 1 if there are none.
func (b *nameBlock) beside(bases map[string]map[int]bool) []int {
	with := map[int]int{} // for each value, how many names have a variant with it
	for _, name := range b.names {
		for n := range bases[name] {
			if n > 1 {
				with[n]++
			}
		}
	}
	for _, most := range slices.Sorted(maps.Values(with)) {
		procs := []int{1}
		for n, count := range with {
			if count == most {
				procs = append(procs, n)
			}
		}
		if slices.Sort(procs); most*len(procs) == len(b.names) {
			return procs
		}
	}
	return []int{1}
}

// together reports whether two subtests of a benchmark follow each other with one
// value of GOMAXPROCS.
func (b *nameBlock) together() bool {
	for i := range b.names[1:] {
		base, n := splitName(b.names[i])
		other, m := splitName(b.names[i+1])
		top, _, _ := strings.Cut(base, "/")
		if n == m && base != other && strings.HasPrefix(other, top+"/") {
			return true
		}
	}
	return false
}

// settleNames decides the blocks, with the help of others for those whose own names
// do not suffice.
func settleNames(blocks []*nameBlock) {
	for _, b := range blocks {
		b.decide()
	}
	keys := func(b *nameBlock) []string { return []string{"session " + b.session, "machine " + b.machine} }
	near := map[string][][]int{} // values of GOMAXPROCS that are certain, by session and by machine
	for _, b := range blocks {
		for _, key := range keys(b) {
			if b.sure && !slices.ContainsFunc(near[key], func(procs []int) bool { return slices.Equal(procs, b.procs) }) {
				near[key] = append(near[key], b.procs)
			}
		}
	}
	for _, b := range blocks {
		for _, key := range keys(b) {
			if fits := slices.IndexFunc(near[key], b.covers); !b.sure && fits >= 0 {
				b.procs = near[key][fits]
				break
			} else if !b.sure && slices.ContainsFunc(near[key], func(procs []int) bool { return slices.Contains(procs, 1) }) {
				b.procs = []int{1}
				break
			}
		}
	}
}

// split returns a name without GOMAXPROCS, and GOMAXPROCS.
func (b *nameBlock) split(name string) (base string, n int) {
	base, n = splitName(name)
	// If 1 is a value too, a number is GOMAXPROCS only if the rest is also a name.
	if !slices.Contains(b.procs, n) || slices.Contains(b.procs, 1) && !b.has[base] {
		return name, 1
	}
	return base, n
}

// BenchName is the name of a benchmark line, such as Sort/n=10-8, with its package.
type BenchName struct {
	Package, Name string
	Threads       int // GOMAXPROCS
}

func (n BenchName) String() string {
	if n.Threads > 1 {
		return n.Name + "-" + strconv.Itoa(n.Threads)
	}
	return n.Name
}

// NamesTell reports whether [ReadBench] infers the threads of a session's benchmarks
// from their names. If not, the text needs "gomaxprocs: N" before each line.
func NamesTell(names []BenchName) bool {
	blocks := map[string]*nameBlock{}
	var all []*nameBlock
	for _, n := range names {
		if blocks[n.Package] == nil {
			blocks[n.Package] = &nameBlock{has: map[string]bool{}}
			all = append(all, blocks[n.Package])
		}
		blocks[n.Package].add(n.String())
	}
	settleNames(all)
	for _, n := range names {
		if base, threads := blocks[n.Package].split(n.String()); base != n.Name || threads != max(1, n.Threads) {
			return false
		}
	}
	return true
}
