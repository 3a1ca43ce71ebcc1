package table

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/perwatt/perwatt/results"
)

// The formatter. Every number that a reader sees is written here.
//
//   - A figure has the digits that its interval supports: they end at the leading
//     digit of the interval's half-width, with two significant digits at least
//     and six at most. Without an interval there are four.
//   - Of money there are four digits at most, as no price is better known, and three
//     without an interval. An interval that these do not show is left out.
//   - What a ratio is against is 100 %, to no digit and by no instrument.
//   - Figures of a column share a prefix, see [scaleOf]. The digits are the same
//     with every prefix: 41.00 MH/s, 0.04100 GH/s.
//   - Money, and what else takes no prefix, has k, M or bn behind the number where
//     it would have more than five digits: 16,740 $/MWh, 1.20 M $/MW. An amount in
//     dollars has its sign before the currency, and k from five digits on:
//     −$42.8 k, $1.19 bn.
//   - What is too large or too small for all of these is a power of ten: 7.03×10⁻⁵.
//   - Thousands are parted by a comma, and a minus is U+2212. [Exact] has neither:
//     it is for programs.
//   - ~ marks a figure that no instrument measured.

// Absent stands for a figure that is not there.
const Absent = "–"

// Quantity prints a value in the unit that the field quotes, with an SI prefix
// and four significant digits: 12.34 MH/s, 17.30 J/TH, 99.10 %.
func Quantity(v results.Float, u results.Unit) string {
	value, _ := Split(results.Figure{Value: v, Low: results.Absent(), High: results.Absent(), Unit: u})
	return value
}

// One prints a figure on one line: ~12.3 [12.1, 12.5] MH/s.
func One(m results.Figure) string {
	s := ownScale(m)
	value, interval := s.print(m)
	return joined(" ", value, interval, s.symbolOf(m))
}

// Split prints a figure for two places: ~12.3 MH/s and [12.1, 12.5], the
// interval in the unit of the value and empty where there is none.
func Split(m results.Figure) (value, interval string) {
	s := ownScale(m)
	value, interval = s.print(m)
	return joined(" ", value, s.symbolOf(m)), interval
}

// Exact prints a value for programs: SI base units, every digit, nothing for a
// value that is absent.
func Exact(f results.Float) string {
	if f.IsAbsent() {
		return ""
	}
	return strings.TrimPrefix(strconv.FormatFloat(float64(f), 'g', -1, 64), "+")
}

// Count prints a whole number.
func Count(n int) string { return Typeset(strconv.Itoa(n)) }

// Percent prints a ratio with two or three significant digits.
func Percent(ratio float64) string {
	digits := 2
	if ratio >= 0.1 {
		digits = 3
	}
	return Round(100*ratio, digits) + " %"
}

// Celsius prints a temperature in kelvins as a reader expects it: 72.5 °C.
func Celsius(kelvin results.Float) string {
	return Typeset(strconv.FormatFloat(float64(kelvin)-273.15, 'f', 1, 64)) + " °C"
}

// Round prints v with so many significant digits at most, and no zeros at the
// end of its decimals.
func Round(v float64, digits int) string {
	a := math.Abs(v)
	switch {
	case math.IsNaN(v):
		return Absent
	case a == 0:
		return "0"
	case a < 1e-4 || a >= 1e15:
		return Typeset(strconv.FormatFloat(v, 'g', digits, 64))
	}
	return trimmed(fixed(v, digits-1-magnitude(a), 0))
}

// Quoted prints a price as its sheet has it, to the last digit: 98,765.43 $/BTC.
// A double keeps 15 digits of a decimal.
func Quoted(v results.Float, u results.Unit) string {
	return joined(" ", Round(float64(v), 15), ShapeOf(u).Symbol)
}

// trimmed is a number without zeros at the end of its decimals.
func trimmed(number string) string {
	if strings.Contains(number, ".") {
		return strings.TrimRight(strings.TrimRight(number, "0"), ".")
	}
	return number
}

// PlusMinus prints the relative uncertainty of a figure that contains watts, all
// terms in quadrature: ±2.1 %, or ≥2.1 % if a term is unknown. It is empty without
// a budget.
func PlusMinus(m results.Figure) string {
	switch b := m.Budget; {
	case b == nil || b.Quadrature.IsAbsent():
		return ""
	case len(b.Unstated) > 0:
		return "≥" + Percent(float64(b.Quadrature))
	default:
		return "±" + Percent(float64(b.Quadrature))
	}
}

// Shape is how a unit is written: a value is multiplied by Factor, then prefixes
// for the powers of ten from Min to Max apply. Values from Least to Most take none.
// With Words, k, M and bn behind the number stand for prefixes.
type Shape struct {
	Factor      float64
	Symbol      string
	Min, Max    int
	Least, Most float64
	Words       bool
}

var shapes = map[results.Unit]Shape{
	results.Hash:   {Factor: 1, Symbol: "H", Max: 21},
	results.Share:  {Factor: 1, Symbol: "shares"},
	results.Sample: {Factor: 1, Symbol: "samples", Max: 21},
	results.Token:  {Factor: 1, Symbol: "tokens", Max: 21},
	results.FLOP:   {Factor: 1, Symbol: "FLOP", Max: 21},
	results.Byte:   {Factor: 1, Symbol: "B", Max: 21},
	results.Step:   {Factor: 1, Symbol: "steps"},
	results.Op:     {Factor: 1, Symbol: "ops", Max: 21},
	results.Joule:  {Factor: 1, Symbol: "J", Min: -12, Max: 18},
	results.Watt:   {Factor: 1, Symbol: "W", Min: -12, Max: 18, Least: 0.1, Most: 99_999}, // nodes and chips are compared in watts
	results.Second: {Factor: 1, Symbol: "s", Min: -12},
	results.Hertz:  {Factor: 1, Symbol: "Hz", Max: 18},
	results.Kelvin: {Factor: 1, Symbol: "K"},
	results.Ratio:  {Factor: 100, Symbol: "%", Max: 9, Most: 99_999, Words: true},

	// What the field quotes: watts per terahash per second, and its like.
	results.Joule.Per(results.Hash): {Factor: 1e12, Symbol: "J/TH", Min: -12, Max: 18},
	results.Joule.Per(results.FLOP): {Factor: 1e9, Symbol: "J/GFLOP", Min: -12, Max: 18},
	results.Joule.Per(results.Byte): {Factor: 1e9, Symbol: "J/GB", Min: -12, Max: 18},

	// Units of what is computed with prices.
	dollar:      {Factor: 1, Symbol: "$", Max: 9, Most: 9_999, Words: true},
	"J/TH":      {Factor: 1, Symbol: "J/TH", Min: -12, Max: 18},
	"MWh":       {Factor: 1e6, Symbol: "Wh", Min: -12, Max: 18},
	"node-hour": {Factor: 1, Symbol: "node-hours", Max: 9, Most: 99_999, Words: true},
	"year":      {Factor: 1, Symbol: "years", Max: 9, Most: 99_999, Words: true},
}

// dollar is the unit of an amount of money. Units of other prices begin with it.
const dollar = "$"

// A unit below the line is singular: samples/s, but J/sample.
var below = map[results.Unit]string{
	results.Hash: "H", results.Sample: "sample", results.Token: "token", results.FLOP: "FLOP", results.Byte: "B", results.Step: "step", results.Op: "op",
	results.Joule: "J", results.Watt: "W", results.Second: "s",
}

// ShapeOf is how u is written. A unit that is not ours has no prefixes.
func ShapeOf(u results.Unit) Shape {
	if s, ok := shapes[u]; ok {
		return s
	}
	if num, den, ok := strings.Cut(string(u), "/"); ok {
		s, ok := shapes[results.Unit(num)]
		if d := below[results.Unit(den)]; ok && d != "" && s.Symbol != "%" {
			s.Symbol += "/" + d
			s.Least, s.Most = 0, 0
			return s
		}
	}
	return Shape{Factor: 1, Symbol: results.Line(string(u), 24), Max: 9, Most: 99_999, Words: true}
}

// money reports whether a unit is of money.
func money(u results.Unit) bool { return strings.HasPrefix(string(u), dollar) }

// Prefix is the SI prefix of a power of ten, Word what stands behind a number in its
// place: " k", " M" or " bn". They are empty for a power that has none.
func Prefix(exp int) string { return prefixes[exp] }

// Word is described with [Prefix].
func Word(exp int) string { return words[exp] }

var words = map[int]string{3: " k", 6: " M", 9: " bn"}

var prefixes = map[int]string{
	-12: "p", -9: "n", -6: "µ", -3: "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T", 15: "P", 18: "E", 21: "Z",
}

// scale is a unit with a prefix, or with a word behind each number. If none fits,
// numbers are written with powers of ten.
type scale struct {
	Shape
	unit   results.Unit
	exp    int
	powers bool
}

// scaleOf picks the scale that figures of one unit share: of their own scales the
// one with which most of them lie between 0.1 and 10 000, and the largest of those
// if there are several. Figures that it cannot show (see fits) keep their own, and
// so do all whose word stands behind the number.
func scaleOf(figures ...results.Figure) (best scale) {
	most, tried := -1, uint64(0) // powers of ten, from 10⁻³²
	for _, m := range figures {
		own := ownScale(m)
		if most < 0 {
			best = own
		}
		bit := uint64(1) << (own.exp + 32)
		if m.Value.IsAbsent() || tried&bit != 0 && !own.powers {
			continue
		}
		n := 0
		for _, other := range figures {
			if x := own.size(other); !own.powers && (x == 0 || x >= 0.1 && x < 1e4) {
				n++
			}
		}
		if tried |= bit; n > most || n == most && own.exp > best.exp {
			best, most = own, n
		}
	}
	return best
}

// fits reports whether a figure is legible with the scale: in a column of
// megahashes neither one terahash nor one hash is.
func (s scale) fits(m results.Figure) bool {
	x, own := s.size(m), ownScale(m)
	return own == s || !s.Words && !s.powers && !own.powers && (x == 0 || x >= 1e-3 && x < 1e5)
}

// size is the magnitude that decides on the prefix of a figure.
func (s scale) size(m results.Figure) float64 { return s.read(m).size / math.Pow10(s.exp) }

// symbolOf is the unit that follows the number of m.
func (s scale) symbolOf(m results.Figure) string {
	if m.Value.IsAbsent() {
		return ""
	}
	return s.symbol()
}

// symbol is the unit with its prefix. That of an amount of money is in the number.
func (s scale) symbol() string {
	switch {
	case s.unit == dollar:
		return ""
	case s.Words:
		return s.Symbol
	}
	return prefixes[s.exp] + s.Symbol
}

// reading is a figure in the unit of its shape. Bounds are NaN where there are
// none, or none that can be printed.
type reading struct {
	v, lo, hi float64
	digits    int     // significant ones without an interval
	most      int     // of them with one
	size      float64 // what the prefix is for
	half      float64 // of the interval
	wide      bool    // the interval is wider than the value and excludes zero
	near, far float64 // of the bounds' magnitudes
}

// read reads a figure. Its size is that of the value or, where the interval is
// wider than the value and includes zero, of the larger bound.
func (s Shape) read(m results.Figure) (r reading) {
	r.v, r.lo, r.hi = float64(m.Value)*s.Factor, float64(m.Low)*s.Factor, float64(m.High)*s.Factor
	if r.digits, r.most = 4, 6; money(m.Unit) {
		r.digits, r.most = 3, 4
	}
	for _, bound := range []*float64{&r.lo, &r.hi} {
		if math.IsInf(*bound, 0) {
			*bound = math.NaN()
		}
	}
	r.size, r.half = math.Abs(r.v), (r.hi-r.lo)/2
	r.near, r.far = math.Min(math.Abs(r.lo), math.Abs(r.hi)), math.Max(math.Abs(r.lo), math.Abs(r.hi))
	if r.wide = 2*r.half > r.size && r.lo*r.hi > 0; 2*r.half > r.size && !r.wide {
		r.size = max(r.size, r.far)
	}
	return r
}

// reach is the larger bound of a wide interval.
func (r reading) reach() float64 {
	if r.wide {
		return r.far
	}
	return 0
}

// decimals of a figure in the unit of its shape; negative where not even the units
// are known. A value whose interval excludes zero is never printed as zero.
func (r reading) decimals() int {
	half := r.half
	if r.wide { // two digits of the value, one of the smaller bound
		half = min(r.size, r.near)
	}
	if r.size == 0 {
		return 0
	}
	m := magnitude(r.size * (1 + math.Pow10(-r.digits)/2)) // as rounded to its digits
	d := r.digits - 1 - m
	if half > 0 {
		d = min(max(-magnitude(half), 1-m), r.most-1-m)
	}
	return d
}

func magnitude(x float64) int { return int(math.Floor(math.Log10(x))) }

// ownScale is the scale of a figure that stands alone.
func ownScale(m results.Figure) scale {
	s := scale{Shape: ShapeOf(m.Unit), unit: m.Unit}
	r := s.read(m)
	switch {
	case math.IsNaN(r.v) || r.size == 0:
		return s
	case math.IsInf(r.v, 0):
		s.powers = true
		return s
	}
	size := rounded(r.size, r.decimals()) // 999.96 k is 1.000 M
	if size >= s.Least && max(size, r.reach()) <= s.Most {
		if r.size < 1e-3 {
			s.powers = true
		}
		return s
	}
	for s.exp = s.Min; s.exp+3 <= s.Max && size/math.Pow10(s.exp) >= 1000; s.exp += 3 {
	}
	x := r.size / math.Pow10(s.exp)
	most := 1e6
	if s.Max <= 0 { // no prefix shortens it
		most = 1e12
	}
	if x < 1e-3 || x >= most || r.reach()/math.Pow10(s.exp) >= most {
		s.exp, s.powers = 0, true
	}
	return s
}

// print writes a figure without its unit.
func (s scale) print(m results.Figure) (number, interval string) {
	r := s.read(m)
	switch {
	case math.IsNaN(r.v):
		return Absent, ""
	case m.Unit == results.Ratio && m.Value == 1 && m.Low.IsAbsent() && m.High.IsAbsent(): // the reference itself
		return "100", ""
	}
	decimals := r.decimals()
	if r.size == 0 {
		decimals = -s.exp
	}
	whole := m.Unit == results.Step || m.Unit == results.Share
	if whole && !(r.half > 0) {
		decimals = max(0, decimals) // a count is exact
	}
	print := func(v float64) (t string) {
		if s.powers {
			t = Typeset(strconv.FormatFloat(v, 'e', r.digits-1, 64))
		} else if t = fixed(v, decimals, s.exp); whole {
			t = trimmed(t)
		}
		if s.unit == dollar {
			if digits, negative := strings.CutPrefix(t, "−"); negative {
				t = "−$" + digits
			} else {
				t = "$" + t
			}
		}
		if s.Words && strings.ContainsAny(t, "123456789") {
			t += words[s.exp]
		}
		return t
	}
	value, low, high := print(r.v), print(r.lo), print(r.hi)
	switch {
	case math.IsNaN(r.lo), low == high && money(m.Unit):
	case math.IsNaN(r.hi):
		interval = "[" + low + ", ∞)"
	default:
		interval = "[" + low + ", " + high + "]"
	}
	if m.Origin != "" && m.Origin != results.Measured {
		value = "~" + value
	}
	return value, interval
}

// rounded rounds v to so many decimals, which may be negative.
func rounded(v float64, decimals int) float64 {
	r, _ := strconv.ParseFloat(digits(v, decimals), 64)
	return r * math.Pow10(max(0, -decimals))
}

// digits writes v to so many decimals. Negative ones drop digits before the point:
// 12345 to -2 is 123.
func digits(v float64, decimals int) string {
	return strconv.FormatFloat(v/math.Pow10(max(0, -decimals)), 'f', max(0, decimals), 64)
}

// fixed writes v to so many decimals, which may be negative, with the point moved
// exp places to the left: the digits do not depend on the prefix.
func fixed(v float64, decimals, exp int) string {
	n := strings.TrimLeft(strings.Replace(digits(v, decimals), ".", "", 1), "-0")
	switch behind := decimals + exp; {
	case behind > 0:
		n = strings.Repeat("0", max(0, behind+1-len(n))) + n
		n = n[:len(n)-behind] + "." + n[len(n)-behind:]
	case n == "":
		n = "0"
	default:
		n += strings.Repeat("0", -behind)
	}
	if v < 0 {
		n = "-" + n
	}
	return Typeset(n)
}

// Typeset sets a number, as strconv writes it, as a reader expects it: commas
// between thousands, a true minus, none before zero, and a power of ten as such.
func Typeset(number string) string {
	t, negative := strings.CutPrefix(strings.TrimPrefix(number, "+"), "-")
	t, exponent, powered := strings.Cut(t, "e")
	if t == "Inf" {
		t = "∞"
	} else {
		t = results.Thousands(t)
	}
	if negative && strings.Trim(t, "0.") != "" {
		t = "−" + t
	}
	if e, err := strconv.Atoi(exponent); powered && err == nil && e != 0 {
		t += "×10" + superscript(e)
	}
	return t
}

// joined joins the words that are not empty.
func joined(by string, words ...string) string {
	return strings.Join(slices.DeleteFunc(words, func(w string) bool { return w == "" }), by)
}
