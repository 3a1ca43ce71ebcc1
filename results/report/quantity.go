package report

import (
	"math"
	"strconv"
	"strings"

	"github.com/perwatt/perwatt/results"
)

// Quantity prints a value in the unit a reader expects, with an SI prefix and
// four significant digits: 12.34 MH/s, 17.30 J/TH, 99.10 %. An absent value
// is –, one too far out for a prefix is in powers of ten.
func Quantity(v results.Float, u results.Unit) string {
	f := scale(v, results.Absent(), results.Absent(), u)
	return f.value + f.unit
}

// Figure prints a metric on one line: ~12.3 [12.1, 12.5] MH/s. The tilde
// stands before whatever was not measured; the interval is left out where
// there is none. The digits are those that the interval supports.
func Figure(m results.Figure) string {
	f := scale(m.Value, m.Low, m.High, m.Unit)
	if f.interval != "" {
		f.interval = " " + f.interval
	}
	return tilde(m) + f.value + f.interval + f.unit
}

// Split prints a metric for two places: ~12.3 MH/s and [12.1, 12.5], the
// interval in the unit of the value and empty where there is none.
func Split(m results.Figure) (value, interval string) {
	f := scale(m.Value, m.Low, m.High, m.Unit)
	return tilde(m) + f.value + f.unit, f.interval
}

func tilde(m results.Figure) string {
	if m.Value.IsAbsent() || m.Origin == "" || m.Origin == results.Measured {
		return ""
	}
	return "~"
}

const absent = "–"

var prefixes = map[int]string{
	-12: "p", -9: "n", -6: "µ", -3: "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T", 15: "P", 18: "E", 21: "Z",
}

// shape is how a unit is written: after factor is applied, with prefixes for
// the powers of ten from min to max.
type shape struct {
	factor   float64
	symbol   string
	min, max int
}

var shapes = map[results.Unit]shape{
	results.Hash:   {1, "H", 0, 21},
	results.Share:  {1, "shares", 0, 0},
	results.Sample: {1, "samples", 0, 21},
	results.FLOP:   {1, "FLOP", 0, 21},
	results.Byte:   {1, "B", 0, 21},
	results.Step:   {1, "steps", 0, 0},
	results.Op:     {1, "ops", 0, 21},
	results.Joule:  {1, "J", -12, 18},
	results.Watt:   {1, "W", -12, 18},
	results.Second: {1, "s", -12, 0},
	results.Hertz:  {1, "Hz", 0, 18},
	results.Kelvin: {1, "K", 0, 0},
	results.Ratio:  {100, "%", 0, 0},

	// What the field quotes: watts per terahash per second, and its like.
	results.Joule.Per(results.Hash): {1e12, "J/TH", -12, 18},
	results.Joule.Per(results.FLOP): {1e9, "J/GFLOP", -12, 18},
	results.Joule.Per(results.Byte): {1e9, "J/GB", -12, 18},
}

// A unit below the line is single: samples/s, but J/sample.
var below = map[results.Unit]string{
	results.Hash: "H", results.Sample: "sample", results.FLOP: "FLOP", results.Byte: "B", results.Step: "step", results.Op: "op",
	results.Joule: "J", results.Watt: "W", results.Second: "s",
}

func shapeOf(u results.Unit) shape {
	if s, ok := shapes[u]; ok {
		return s
	}
	if num, den, ok := strings.Cut(string(u), "/"); ok {
		s, ok := shapes[results.Unit(num)]
		if d := below[results.Unit(den)]; ok && d != "" && s.symbol != "%" {
			s.symbol += "/" + d
			return s
		}
	}
	return shape{1, results.Line(string(u), 24), 0, 0} // not ours: no prefix is known to be right
}

type scaled struct{ value, interval, unit string }

// scale writes a value and its bounds with one prefix and one number of
// decimals. The prefix is the value's, or that of the wider bound where the
// interval is wider than the value and reaches zero. The decimals reach to the
// leading digit of the interval's half-width, between two and six significant
// digits; without an interval there are four. What the interval tells from
// zero is never printed as zero.
func scale(value, low, high results.Float, u results.Unit) scaled {
	s := shapeOf(u)
	v, lo, hi := float64(value)*s.factor, float64(low)*s.factor, float64(high)*s.factor
	if math.IsInf(lo, 0) {
		lo = math.NaN()
	}
	if math.IsInf(hi, 0) {
		hi = math.NaN()
	}
	size, half := math.Abs(v), (hi-lo)/2
	least, most := math.Min(math.Abs(lo), math.Abs(hi)), math.Max(math.Abs(lo), math.Abs(hi))
	wide := 2*half > size && lo*hi > 0
	switch {
	case math.IsNaN(v):
		return scaled{value: absent}
	case math.IsInf(v, 0):
		return write(v, math.NaN(), math.NaN(), s.symbol, powers)
	case 2*half > size && !wide:
		size = max(size, most)
	}
	exp := 0
	if size != 0 {
		exp = s.min
	}
	for ; ; exp += 3 {
		more := exp+3 <= s.max
		x := size / math.Pow10(exp)
		if more && x >= 1000 {
			continue
		}
		if x != 0 && (x < 1e-3 || x >= 1e9) || wide && most/math.Pow10(exp) >= 1e9 {
			return write(v, lo, hi, s.symbol, powers)
		}
		decimals := places(x, half/math.Pow10(exp))
		if wide { // two digits of the value, and one of the lesser bound
			decimals = places(x, min(x, least/math.Pow10(exp)))
		}
		print := func(f float64) string {
			t := strconv.FormatFloat(f/math.Pow10(exp), 'f', decimals, 64)
			if strings.Trim(t, "-0.") == "" {
				t = strings.TrimPrefix(t, "-")
			}
			if (u == results.Step || u == results.Share) && decimals > 0 { // whole by nature
				t = strings.TrimRight(strings.TrimRight(t, "0"), ".")
			}
			return t
		}
		if rounded, _ := strconv.ParseFloat(print(size), 64); more && rounded >= 1000 {
			continue // 999.96 k is 1.000 M
		}
		return write(v, lo, hi, prefixes[exp]+s.symbol, print)
	}
}

func write(v, lo, hi float64, unit string, print func(float64) string) scaled {
	out := scaled{value: print(v)}
	if unit != "" {
		out.unit = " " + unit
	}
	switch {
	case math.IsNaN(lo):
	case math.IsNaN(hi):
		out.interval = "[" + print(lo) + ", ∞)"
	default:
		out.interval = "[" + print(lo) + ", " + print(hi) + "]"
	}
	return out
}

// places is the number of decimals for a figure of size x whose interval is
// half to either side, NaN for none.
func places(x, half float64) int {
	if x == 0 {
		return 0
	}
	magnitude := int(math.Floor(math.Log10(x * 1.00005))) // as rounded to four digits
	d := 3 - magnitude
	if half > 0 {
		d = min(max(-int(math.Floor(math.Log10(half))), 1-magnitude), 5-magnitude)
	}
	return max(0, d)
}

// powers prints what no prefix reaches.
func powers(f float64) string { return strconv.FormatFloat(f, 'e', 3, 64) }
