package results

import (
	"slices"
	"strings"
)

// Nearest returns the one of the known names that was probably meant by a name that is
// not among them: the one that needs the fewest characters added, dropped, changed or
// swapped with the next (optimal string alignment distance), a third of the longer name
// at most, or else the shortest that begins with it. It is empty if none is near. Case
// does not count.
func Nearest(name string, known []string) (best string) {
	const longest = 64 // names are short; what is longer is no slip
	if len(name) == 0 || len(name) > longest {
		return ""
	}
	least := -1
	for _, k := range known {
		if len(k) == 0 || len(k) > longest {
			continue
		}
		if n := slips(strings.ToLower(name), strings.ToLower(k)); 3*n <= max(len(name), len(k)) && (least < 0 || n < least) {
			best, least = k, n
		}
	}
	if best != "" || len(name) < 3 {
		return best
	}
	for _, k := range known {
		if strings.HasPrefix(strings.ToLower(k), strings.ToLower(name)) && (best == "" || len(k) < len(best)) {
			best = k
		}
	}
	return best
}

// DidYouMean is a question to append to a sentence about a name that is not known, or
// nothing if no known name is near.
func DidYouMean(name string, known []string) string {
	if k := Nearest(name, known); k != "" {
		return "; did you mean " + k + "?"
	}
	return ""
}

// slips counts the bytes that were added, dropped, changed or swapped.
func slips(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			change := rows[i-1][j-1]
			if a[i-1] != b[j-1] {
				change++
			}
			rows[i][j] = slices.Min([]int{change, rows[i-1][j] + 1, rows[i][j-1] + 1})
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
