package economics

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/perwatt/perwatt/results"
)

// limit is the range of what could be, in SI units, and why nothing is beyond it. A
// figure beyond it keeps its value for programs and for [Result.Explain], with the
// status [Beyond]; tables leave it out with one line.
type limit struct {
	low, high float64
	why       string
}

// machines is how many a site has at the most: 10,000 nodes of eight GPUs are 100 MW.
const machines = 10_000

// soonest is the time in years in which no machine returns its price: the first invoice
// is paid after a month.
const soonest = Month / Year

// lasting limits a payback to the life of what is paid for, in years.
func lasting(life float64) limit {
	return limit{0, life, fmt.Sprintf("beyond the life of what is paid for, %s years", plain(life))}
}

// quick limits a yearly rate to one that returns the capital in a month.
var quick = limit{-1, 1 / soonest, "a rate that would return the capital within a month"}

// priced limits a price to what a sheet may hold.
func priced(key string) limit {
	k, _ := keyOf(key)
	return limit{k.Min * k.Units[0].Factor, k.Max * k.Units[0].Factor, "beyond any " + key + ", " + k.bounds(func(v float64) string { return results.Thousands(plain(v)) })}
}

// working limits the time of one machine to what a site's machines do in their life in
// years, the longest that a sheet may hold if it holds none.
func working(life float64) limit {
	if math.IsNaN(life) {
		k, _ := keyOf("training_life")
		life = k.Max
	}
	return limit{0, life * Year * machines, fmt.Sprintf("beyond what %d machines do in a life of %s years", machines, plain(life))}
}

// excludes reports whether a value in SI units is beyond the limit.
func (l limit) excludes(v float64) bool { return outside(v, l.low, l.high) }

// within marks a figure of a unit that is beyond a limit.
func (c Cell) within(l limit, unit Unit) Cell {
	if l.excludes(float64(c.Figure.Value) * unit.Factor) {
		c.mark(l.why)
	}
	return c
}

func (c Cell) mark(why string) { c.Figure.Reason = results.Reason{Status: Beyond, Why: why} }

// LeftOut reports whether a table leaves a figure out, and a row that has no other
// computed figure with a value.
func (c Cell) LeftOut() bool { return c.Figure != nil && c.Figure.Status == Beyond }

// Stripped is the table as it is printed: without the rows of which every computed
// figure is left out or absent, if one is left out.
func (t Table) Stripped() Table {
	t.Rows = slices.DeleteFunc(slices.Clone(t.Rows), func(row []Cell) bool {
		left := slices.ContainsFunc(row, Cell.LeftOut)
		return left && !slices.ContainsFunc(row, func(c Cell) bool {
			return c.Figure != nil && c.Figure.Formula != "" && !c.Figure.Value.IsAbsent() && !c.LeftOut()
		})
	})
	return t
}

// leaveOut notes in one line how many figures of a table are left out, and why.
func (t *Table) leaveOut() {
	var whys []string
	count := map[string]int{}
	all := 0
	for _, row := range t.Rows {
		for _, c := range row {
			if c.LeftOut() {
				if count[c.Figure.Why]++; count[c.Figure.Why] == 1 {
					whys = append(whys, c.Figure.Why)
				}
				all++
			}
		}
	}
	if all == 0 {
		return
	}
	for i, why := range whys {
		if len(whys) == 1 {
			break
		}
		whys[i] = fmt.Sprintf("%d %s", count[why], why)
	}
	t.note("%s left out: %s. perwatt explain prints what is left out.", results.Plural(all, "figure"), strings.Join(whys, "; "))
}
