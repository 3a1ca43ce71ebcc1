package results

import "sort"

// SortStable sorts s as [slices.SortStableFunc] does, which has some 10 kB of code of its
// own for each type; this is one for all of them, and for lists that are not hot.
func SortStable[S ~[]E, E any](s S, compare func(a, b E) int) {
	sort.SliceStable(s, func(i, j int) bool { return compare(s[i], s[j]) < 0 })
}
