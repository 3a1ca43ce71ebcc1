package economics

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/perwatt/perwatt/results"
)

// Limits of an hourly series: four years of quarter hours.
const (
	maxHoursFile = 16 << 20 // bytes
	maxHours     = 4 * 366 * 24 * 4
)

// Hours is a series of power prices.
type Hours struct {
	Start  time.Time
	Step   time.Duration // of a period: an hour, or 30, 15 or 5 minutes
	Prices []float64     // $/J, of the periods present, in order
	Unit   string        // as quoted
	// Faults of the series.
	Missing   int // periods missing between the first and the last
	Gaps      []Gap
	Repeated  int // rows that repeat another
	Unordered int // rows out of order
}

// Gap is a stretch without prices.
type Gap struct {
	From    time.Time // start of the first missing period
	Periods int
}

// End returns the end of the last period.
func (h *Hours) End() time.Time {
	return h.Start.Add(time.Duration(len(h.Prices)+h.Missing) * h.Step)
}

// Mean returns the unweighted mean of the periods present, in $/J.
func (h *Hours) Mean() float64 {
	sum := 0.0
	for _, p := range h.Prices {
		sum += p
	}
	return sum / float64(len(h.Prices))
}

// Notes describes the series and its faults.
func (h *Hours) Notes() []string {
	notes := []string{fmt.Sprintf("%d periods of %g min from %s to %s", len(h.Prices), h.Step.Minutes(), results.Minute(h.Start), results.Minute(h.End()))}
	if h.Missing > 0 {
		var at []string
		for _, g := range h.Gaps[:min(3, len(h.Gaps))] {
			at = append(at, fmt.Sprintf("%s (%d)", results.Minute(g.From), g.Periods))
		}
		more := ""
		if len(h.Gaps) > 3 {
			more = " …"
		}
		notes = append(notes, fmt.Sprintf("%s missing and not filled, in %s: %s%s", results.Plural(h.Missing, "period"), results.Plural(len(h.Gaps), "gap"), strings.Join(at, ", "), more))
	}
	if h.Repeated > 0 {
		notes = append(notes, fmt.Sprintf("%s repeated, counted once", results.Plural(h.Repeated, "row")))
	}
	if h.Unordered > 0 {
		notes = append(notes, fmt.Sprintf("%s out of order, sorted", results.Plural(h.Unordered, "row")))
	}
	return notes
}

// ParseHours reads a series of power prices: CSV with the header
// time,price [$/MWh] or time,price [$/kWh]; times are the starts of the periods
// in RFC 3339 with their offset. Without the offset an hour would be ambiguous
// when the clocks go back. Missing periods stay gaps.
func ParseHours(r io.Reader) (*Hours, error) {
	in, err := open(r, maxHoursFile)
	if err != nil {
		return nil, err
	}
	const want = "write the header time,price [$/MWh] or time,price [$/kWh]"
	head, err := in.Read()
	if err != nil {
		return nil, readError(err, want)
	}
	u := -1
	if len(head) == 2 && head[0] == "time" {
		u = slices.IndexFunc(energy, func(u Unit) bool { return head[1] == "price ["+u.Name+"]" })
	}
	if u < 0 {
		return nil, lineError(in, "the header is %.60q: %s", strings.Join(head, ","), want)
	}
	key, _ := keyOf("power_price")
	type period struct {
		at    time.Time
		price float64
		line  int
	}
	var rows []period
	h := &Hours{Unit: energy[u].Name}
	for {
		rec, err := in.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, readError(err, "a row is a time and a price")
		}
		if len(rec) != 2 {
			return nil, lineError(in, "%d fields: a row is a time and a price, with a point for the fraction", len(rec))
		}
		if len(rows) == maxHours {
			return nil, lineError(in, "more than %d periods: give at most four years", maxHours)
		}
		at, err := time.Parse(time.RFC3339, rec[0])
		if err != nil {
			return nil, lineError(in, "time %.60q: write 2026-01-31T14:00:00+01:00, or Z for UTC: local times without an offset are ambiguous when clocks change", rec[0])
		}
		v, err := typed(in, rec[1])
		if err != nil {
			return nil, lineError(in, "price %.60q: %w", rec[1], err)
		}
		if si := v * energy[u].Factor / energy[0].Factor; si < key.Min || si > key.Max*10 {
			return nil, lineError(in, "price %s %s: must be from %g to %g %s", results.Line(rec[1], mostQuoted), h.Unit, key.Min, key.Max*10, energy[0].Name)
		}
		if len(rows) > 0 && at.Before(rows[len(rows)-1].at) {
			h.Unordered++
		}
		line, _ := in.FieldPos(0)
		rows = append(rows, period{at, v * energy[u].Factor, line})
	}
	results.SortStable(rows, func(a, b period) int { return a.at.Compare(b.at) })
	kept := rows[:0]
	for _, p := range rows {
		if n := len(kept); n > 0 && kept[n-1].at.Equal(p.at) {
			if kept[n-1].price != p.price {
				return nil, fmt.Errorf("prices: lines %d and %d: two prices for %s: if the clocks went back then, the times are local ones: write each with its own offset", kept[n-1].line, p.line, p.at.Format(time.RFC3339))
			}
			h.Repeated++
			continue
		}
		kept = append(kept, p)
	}
	if len(kept) < 2 {
		return nil, fmt.Errorf("prices: %d periods: give at least two", len(kept))
	}
	h.Start, h.Step = kept[0].at, math.MaxInt64
	for i := 1; i < len(kept); i++ {
		h.Step = min(h.Step, kept[i].at.Sub(kept[i-1].at))
	}
	if !slices.Contains([]time.Duration{time.Hour, 30 * time.Minute, 15 * time.Minute, 5 * time.Minute}, h.Step) {
		return nil, fmt.Errorf("prices: the times are %v apart: must be an hour, or 30, 15 or 5 minutes", h.Step)
	}
	for i, p := range kept {
		if i > 0 {
			last := kept[i-1].at
			apart := p.at.Sub(last)
			if apart%h.Step != 0 {
				return nil, fmt.Errorf("prices: line %d: %s is not on the step of %v: write the start of each period", p.line, p.at.Format(time.RFC3339), h.Step)
			}
			if n := int(apart/h.Step) - 1; n > 0 {
				h.Missing += n
				h.Gaps = append(h.Gaps, Gap{last.Add(h.Step), n})
			}
		}
		h.Prices = append(h.Prices, p.price)
	}
	if len(h.Prices)+h.Missing > maxHours {
		return nil, fmt.Errorf("prices: %s to %s is more than %d periods: give at most four years", h.Start.Format(time.DateOnly), h.End().Format(time.DateOnly), maxHours)
	}
	return h, nil
}
