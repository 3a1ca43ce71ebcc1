// Package economics turns work per joule into money: what a joule earns and
// costs at mining, colocation and training, and at which prices one use becomes
// better than another.
//
// Prices are inputs, never constants: each has a value, a unit, a date and a
// source, and comes from a sheet ([Parse]) or an hourly series ([ParseHours]). A
// missing price leaves out the part that needs it, with a warning or a reason;
// the physics stays. Formulas are in SI units and US dollars. [Evaluate] returns
// typed tables whose figures are in the units that the trade quotes, and prints
// nothing.
//
// Mining pays for its power and machines, colocation for neither: each use has
// tables of its own with its own cost boundary. The one table that sets them side by
// side says in each row what its margin pays for.
// Money per energy is per joule of *connected* site power, 1 W for 1 s whether
// drawn or not, because a site has a fixed amount of it.
//
// The package reads no clock and no network: the date of an evaluation is an
// argument, and it contains no price that could be mistaken for a current one.
package economics

import (
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/perwatt/perwatt/results"
)

// Limits of input.
const (
	maxSheet   = 1 << 20 // bytes
	maxRows    = 2000
	maxField   = 500 // bytes of one field
	mostQuoted = 60  // runes of a field quoted in an error
	maxErrors  = 20  // reported at once
)

// Unit is a unit that a price may be quoted in.
type Unit struct {
	Name   string
	Factor float64 // to SI
}

// Key is a price that a sheet may hold, or a condition such as an uptime.
type Key struct {
	Name     string
	Units    []Unit  // accepted; results use the first
	Min, Max float64 // in the first unit
	Fresh    int     // days after which it is old
	Each     string  // what the name in "key.name" is, such as candidate; empty if the key has no such form
	Help     string
	example  string
}

var (
	share   = []Unit{{"%", 0.01}, {"1", 1}}
	energy  = []Unit{{"$/MWh", 1 / MWh}, {"$/kWh", 1 / KWh}}
	perWatt = []Unit{{"$/MW", 1e-6}, {"$/kW", 1e-3}, {"$/W", 1}}
	years   = []Unit{{"year", 1}}
	ratio   = []Unit{{"1", 1}}
	rate    = []Unit{{"EH/s", 1e18}, {"PH/s", 1e15}, {"TH/s", 1e12}}
	yearly  = []Unit{{"%/year", 0.01}, {"1/year", 1}}
	bitcoin = []Unit{{"BTC/block", 1}}
)

// keys lists all keys in the order of a sheet.
var keys = []Key{
	{"bitcoin_price", []Unit{{"$/BTC", 1}}, 1, 1e8, 2, "", "price of one bitcoin", "100000"},
	{"network_difficulty", []Unit{{"T", 1e12}, {"1", 1}}, 1e-12, 1e9, 14, "", "of the current period of 2016 blocks", "150"},
	{"block_subsidy", bitcoin, 0, 50, 1460, "", "new bitcoin in a block", "3.125"},
	{"block_fees", bitcoin, 0, 1000, 7, "", "mean fees of a block, over a week or so", "0.02"},
	{"hashprice", []Unit{{"$/PH/day", 1 / PHDay}, {"$/TH/day", 1e3 / PHDay}}, 1e-3, 1e6, 2, "", "as published; if missing, computed from the four above; if given, compared with them", ""},
	{"pool_fee", share, 0, 50, 365, "", "of mining revenue", "2"},
	{"power_price", energy, -1e3, 1e4, 30, "", "all in: energy, grid, taxes", "50"},
	{"curtailment_credit", energy, 0, 1e4, 30, "", "paid for each MWh that is not drawn in the hours in which mining is switched off; needs hourly prices", ""},
	{"pue_mining", ratio, 1, 3, 365, "", "site power ÷ power of the miners", "1.05"},
	{"mining_uptime", share, 1, 100, 90, "", "share of the time in which miners run and are paid", "95"},
	{"mining_operations", energy, 0, 1e4, 365, "", "staff, repairs, rent, per MWh connected", "5"},
	{"asic_price", []Unit{{"$/TH", 1 / TH}}, 0, 1e4, 30, "candidate", "machines, per TH/s", "15"},
	{"mining_capex", perWatt, 0, 1e8, 365, "", "infrastructure per MW of miners", "350000"},
	{"mining_life", years, 0.25, 30, 365, "", "depreciation period of the machines", "4"},
	{"mining_growth", yearly, -99, 1000, 90, "", "change of revenue per joule, for NPV and IRR: falls as the network grows", "-20"},
	{"network_growth", yearly, -90, 1000, 90, "", "growth of the network's hashrate; if missing, from the earlier difficulty", "25"},
	{"own_hashrate", rate, 1e-9, 1e6, 30, "", "of the company", "10"},
	{"own_hashrate_earlier", rate, 1e-9, 1e6, 730, "", "the same at an earlier date", ""},
	{"network_difficulty_earlier", []Unit{{"T", 1e12}, {"1", 1}}, 1e-12, 1e9, 730, "", "at that date", ""},
	{"colocation_price", []Unit{{"$/kW/month", 1e-3 / Month}, {"$/MW/month", 1e-6 / Month}, {"$/kW/year", 1e-3 / Year}}, 0.01, 1e5, 90, "", "rent per kW of tenant load, excluding power", "130"},
	{"colocation_occupancy", share, 0, 100, 90, "", "share of the site that is let", "95"},
	{"colocation_operations", energy, 0, 1e4, 365, "", "staff, repairs, per MWh connected", "20"},
	{"pue_colocation", ratio, 1, 3, 365, "", "site power ÷ power of the tenants", "1.3"},
	{"retrofit_capex", perWatt, 0, 1e9, 365, "", "to convert a mining site for servers, per MW of servers", "8000000"},
	{"retrofit_life", years, 0.25, 50, 365, "", "depreciation period of the retrofit", "15"},
	{"gpu_hour_price", []Unit{{"$/GPU-hour", 1 / Hour}}, 0.001, 1e4, 14, "candidate", "rent of one GPU, by model, tier and term", "2.60"},
	{"training_price", []Unit{{"$/million samples", 1e-6}, {"$/sample", 1}}, 1e-9, 1e12, 90, "workload", "training sold by the sample", ""},
	{"token_price", []Unit{{"$/million tokens", 1e-6}, {"$/token", 1}}, 1e-9, 1e12, 90, "workload", "training of a language model, sold by the token", ""},
	{"gpus_per_node", ratio, 1, 1024, 1460, "candidate", "GPUs that are rented out, where they are fewer than the record names", ""},
	{"training_utilisation", share, 0, 100, 90, "", "share of the time that is sold; the node is assumed to draw its power all the time", "80"},
	{"marketplace_fee", share, 0, 90, 365, "", "of training revenue", "0"},
	{"training_operations", energy, 0, 1e5, 365, "", "staff, network, support, per MWh connected", "60"},
	{"pue_training", ratio, 1, 3, 365, "", "site power ÷ power of the nodes", "1.3"},
	{"node_price", []Unit{{"$/node", 1}}, 0, 1e8, 30, "candidate", "a node with its share of the network equipment", "300000"},
	{"training_capex", perWatt, 0, 1e9, 365, "", "infrastructure per MW of nodes", "8000000"},
	{"training_life", years, 0.25, 30, 365, "", "depreciation period of the nodes", "4"},
	{"training_growth", yearly, -99, 1000, 90, "", "change of revenue per joule, for NPV and IRR: falls as newer GPUs appear", "-25"},
	{"discount_rate", yearly, 0, 100, 365, "", "cost of capital", "10"},
}

// quoted is the first unit of a key.
func quoted(key string) Unit {
	k, _ := keyOf(key)
	return k.Units[0]
}

func keyOf(name string) (Key, bool) {
	i := slices.IndexFunc(keys, func(k Key) bool { return k.Name == name })
	if i < 0 {
		return Key{}, false
	}
	return keys[i], true
}

// Price is one row of a sheet.
type Price struct {
	Key    string // with its name, if any: training_price.mlp
	Text   string // value and range as the sheet has them
	Value  float64
	Low    float64 // of the range; NaN without one
	High   float64
	Unit   string // as quoted
	AsOf   time.Time
	Source string
	Note   string
	SI     float64 // $/J, $/hash, $/W, 1 …: Value in SI units
	Line   int
	factor float64
}

// Age returns the age of the price in days on a date; negative before its day.
func (p Price) Age(on time.Time) int { return int(math.Floor(date(on).Sub(date(p.AsOf)).Hours() / 24)) }

// Old reports whether the price is older than the limit of its key.
func (p Price) Old(on time.Time) bool { return p.Age(on) > p.key().Fresh }

func (p Price) key() Key {
	name, _, _ := strings.Cut(p.Key, ".")
	k, _ := keyOf(name)
	return k
}

// date is the calendar day of an instant in its own time zone.
func date(t time.Time) time.Time {
	y, m, d := t.Date()
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
}

// Prices is a price sheet and, if there is one, an hourly series of power
// prices. The zero value holds no price.
type Prices struct {
	Sheet []Price // no key twice
	Hours *Hours
}

// Find returns the price of key for the first of names that has one, or the
// general one.
func (p *Prices) Find(key string, names ...string) (Price, bool) {
	for _, n := range append(slices.Clone(names), "") {
		want := key
		if n != "" {
			want += "." + slug(n)
		}
		if i := slices.IndexFunc(p.Sheet, func(x Price) bool { return x.Key == want }); i >= 0 {
			return p.Sheet[i], true
		}
	}
	return Price{}, false
}

// slug returns a name as it appears in keys and figure IDs: lower-case letters,
// digits, underscores and single hyphens.
func slug(name string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(name) {
		if unicode.IsLetter(r) || unicode.IsDigit(r) || r == '_' {
			b.WriteRune(r)
		} else if s := b.String(); s != "" && s[len(s)-1] != '-' {
			b.WriteByte('-')
		}
	}
	return strings.TrimSuffix(b.String(), "-")
}

var (
	header  = []string{"key", "value", "unit", "as_of", "source", "note"}
	ranges  = append(slices.Clone(header), "low", "high")
	decimal = regexp.MustCompile(`^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$`)
)

// Parse reads a price sheet, also as a spreadsheet saves it: CSV with the header key,value,unit,as_of,source,note
// and, for ranges, low,high; lines that begin with # are comments. No as_of may
// be after the date on. The error joins all mistakes, each with its line, its key
// and the remedy.
func Parse(r io.Reader, on time.Time) (*Prices, error) {
	in, err := open(r, maxSheet)
	if err != nil {
		return nil, err
	}
	head, err := in.Read()
	if err != nil {
		return nil, readError(err, "write the header "+strings.Join(header, ","))
	}
	if !slices.Equal(head, header) && !slices.Equal(head, ranges) {
		return nil, lineError(in, "the header is %.60q: write %s, or the same and low,high", strings.Join(head, ","), strings.Join(header, ","))
	}
	var p Prices
	var wrong []error
	lines := map[string]int{}
	for rows := 0; len(wrong) < maxErrors; rows++ {
		rec, err := in.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			wrong = append(wrong, readError(err, "quote a field that holds a comma or a quotation mark"))
			break
		}
		line, _ := in.FieldPos(0)
		if rows == maxRows {
			wrong = append(wrong, lineError(in, "more than %d rows: a price sheet has one per key", maxRows))
			break
		}
		if len(rec) != len(head) {
			wrong = append(wrong, lineError(in, "%s: %d fields, the header has %d: quote a field that holds a comma", results.Line(rec[0], mostQuoted), len(rec), len(head)))
			continue
		}
		x, err := parseRow(rec, on, func(s string) (float64, error) { return typed(in, s) })
		x.Line = line
		if err == nil && lines[x.Key] != 0 {
			err = fmt.Errorf("duplicate of line %d: keep one of the two", lines[x.Key])
		}
		if err != nil {
			wrong = append(wrong, lineError(in, "%s: %w", results.Line(rec[0], mostQuoted), err))
			continue
		}
		lines[x.Key] = line
		p.Sheet = append(p.Sheet, x)
	}
	if len(wrong) == 0 && len(p.Sheet) == 0 {
		return nil, errors.New("prices: the sheet holds no price: perwatt prices --example writes one to start from")
	}
	if len(wrong) > 0 {
		return nil, errors.Join(wrong...)
	}
	return &p, nil
}

func parseRow(rec []string, on time.Time, parse func(string) (float64, error)) (Price, error) {
	for i, f := range rec {
		if len(f) > maxField {
			return Price{}, fmt.Errorf("%s has %d bytes: at most %d", ranges[i], len(f), maxField)
		}
		if !utf8.ValidString(f) || strings.ContainsFunc(f, func(r rune) bool { return !unicode.IsPrint(r) }) {
			return Price{}, fmt.Errorf("%s has unprintable characters: write plain UTF-8 text on one line (in Excel: save as CSV UTF-8)", ranges[i])
		}
	}
	x := Price{Key: rec[0], Text: rec[1], Unit: rec[2], Source: strings.TrimSpace(rec[4]), Note: rec[5], Low: math.NaN(), High: math.NaN()}
	name, of, dotted := strings.Cut(x.Key, ".")
	k, ok := keyOf(name)
	switch {
	case !ok:
		return x, fmt.Errorf("unknown key: %s", nearest(name))
	case dotted && k.Each == "":
		return x, fmt.Errorf("%s takes no name: remove .%s", name, of)
	case dotted && (of == "" || of != slug(of)):
		return x, fmt.Errorf("the %s after the dot must be in lower-case letters, digits and hyphens, such as %s", k.Each, cmp.Or(slug(of), "mlp"))
	}
	u := slices.IndexFunc(k.Units, func(u Unit) bool { return u.Name == x.Unit })
	if u < 0 {
		return x, fmt.Errorf("the unit is %q: must be %s", x.Unit, k.units())
	}
	x.factor = k.Units[u].Factor
	var err error
	number := func(what, s string) float64 {
		v, e := parse(s)
		if in := v * x.factor / k.Units[0].Factor; e == nil && (in < k.Min*(1-1e-12) || in > k.Max*(1+1e-12)) {
			e = errors.New("must be " + k.bounds(plain))
		}
		if e != nil && err == nil {
			err = fmt.Errorf("%s %q: %w", what, s, e)
		}
		return v
	}
	x.Value = number("value", rec[1])
	x.SI = x.Value * x.factor
	if len(rec) > len(header) && rec[6]+rec[7] != "" {
		x.Low, x.High = number("low", rec[6]), number("high", rec[7])
		x.Text += " [" + rec[6] + ", " + rec[7] + "]"
		if err == nil && !(x.Low <= x.Value && x.Value <= x.High) {
			err = fmt.Errorf("low %s and high %s must enclose the value %s", rec[6], rec[7], rec[1])
		}
	}
	if err != nil {
		return x, err
	}
	if x.AsOf, err = parseDate(rec[3]); err != nil {
		return x, err
	}
	if date(x.AsOf).After(date(on)) {
		return x, fmt.Errorf("as_of %s is after %s: write the day of the quotation", rec[3], on.Format(time.DateOnly))
	}
	if x.Source == "" {
		return x, errors.New("it has no source: name the quotation, contract or estimate")
	}
	return x, nil
}

func (k Key) bounds(print func(float64) string) string {
	s := fmt.Sprintf("from %s to %s", print(k.Min), print(k.Max))
	if u := k.Units[0].Name; u != "1" {
		s += " " + u
	}
	return s
}

func (k Key) units() string {
	var names []string
	for _, u := range k.Units {
		names = append(names, u.Name)
	}
	return strings.Join(names, ", ")
}

// parseNumber reads a plain decimal number, not hex, inf or 1,000.
func parseNumber(s string) (float64, error) {
	if !decimal.MatchString(s) {
		return 0, errors.New("write a plain decimal number: a point for the fraction, no thousands separators, currency signs or units")
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return 0, errors.New("the number is too large")
	}
	return v, nil
}

func parseDate(s string) (time.Time, error) {
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, s); err == nil {
			if t.Year() < 2009 {
				return t, fmt.Errorf("as_of %s is older than bitcoin: write the day of the quotation", s)
			}
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("as_of %.60q: write the day as 2006-01-02", s)
}

// nearest names the keys that resemble name.
func nearest(name string) string {
	var near []string
	for _, k := range keys {
		for part := range strings.SplitSeq(name, "_") {
			if len(part) > 2 && strings.Contains(k.Name, strings.ToLower(part)) {
				near = append(near, k.Name)
				break
			}
		}
	}
	if len(near) == 0 || len(near) > 8 {
		return "perwatt prices --example lists them"
	}
	return "did you mean " + strings.Join(near, ", ")
}

// open reads r, at most limit bytes, as a table.
func open(r io.Reader, limit int64) (*results.CSV, error) {
	in, err := results.OpenCSV(r, limit)
	if err != nil {
		return nil, fmt.Errorf("prices: %w: is it a price file?", err)
	}
	return in, nil
}

// typed reads a plain decimal number, not hex, inf or 1,000. Where fields are not parted
// by commas, one may stand before the fraction, unless it could part thousands.
func typed(in *results.CSV, s string) (float64, error) {
	if whole, part, ok := strings.Cut(s, ","); ok && in.Comma != ',' && !strings.ContainsAny(part, ",.") && !strings.Contains(whole, ".") {
		if len(part) == 3 && strings.Trim(whole, "+-0") != "" {
			return 0, errors.New("the comma could be before a fraction or part thousands: write a point for the fraction, and nothing between thousands")
		}
		s = whole + "." + part
	}
	return parseNumber(s)
}

// plain prints a number as one would type it.
func plain(v float64) string {
	if a := math.Abs(v); a != 0 && (a < 1e-4 || a >= 1e15) {
		return strconv.FormatFloat(v, 'g', -1, 64)
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}

func lineError(in *results.CSV, format string, args ...any) error {
	line, _ := in.FieldPos(0)
	return fmt.Errorf("prices: line %d: "+format, append([]any{line}, args...)...)
}

func readError(err error, remedy string) error {
	var p *csv.ParseError
	switch {
	case errors.Is(err, io.EOF):
		return errors.New("prices: the file is empty: " + remedy)
	case errors.As(err, &p):
		return fmt.Errorf("prices: line %d: %w: %s", p.Line, p.Err, remedy)
	}
	return fmt.Errorf("prices: %w", err)
}

// Example returns a sheet to start from. Its values are round numbers, marked as
// examples.
func Example() string {
	const day = "2026-01-01"
	var b strings.Builder
	b.WriteString(`# A price sheet for perwatt. Every price here is an EXAMPLE that nobody quoted:
# replace it by your own, with its day and source, or delete the line. A missing
# price leaves out the results that need it.
#
# as_of is the day of the quotation; a price older than the limit in its comment
# raises a warning. "key.name" is the price for one candidate or workload.
# Two optional columns, low and high, give the range of a price.
`)
	b.WriteString(strings.Join(header, ",") + "\n")
	for _, k := range keys {
		fmt.Fprintf(&b, "\n# %s\n# unit %s · %s · fresh for %d days", k.Help, strings.ReplaceAll(k.units(), ", ", " or "), k.bounds(plain), k.Fresh)
		if k.Each != "" {
			fmt.Fprintf(&b, " · %s.NAME for one %s", k.Name, k.Each)
		}
		switch {
		case k.example == "":
			fmt.Fprintf(&b, "\n# %s,,%s,,,\n", k.Name, k.Units[0].Name)
		case k.Name == "block_subsidy": // no quotation: a rule
			fmt.Fprintf(&b, "\n%s,%s,%s,2024-04-20,\"Bitcoin consensus: 50 BTC, halved every 210000 blocks\",until block 1050000\n", k.Name, k.example, k.Units[0].Name)
		default:
			fmt.Fprintf(&b, "\n%s,%s,%s,%s,example,\n", k.Name, k.example, k.Units[0].Name, day)
		}
	}
	return b.String()
}
