package miner

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"

	"github.com/perwatt/perwatt/results"
)

// Limits on what is kept of one answer.
const (
	maxFigures = 128
	maxRefused = 32
)

// share is the number of hashes that a share of difficulty 1 represents.
const share = 1 << 32

// quantity is the unit of a field and its plausible range: a value outside the range comes from a
// broken field, not from a good miner. If blank is set, 0 means "no
// value".
type quantity struct {
	unit        results.Unit
	least, most float64
	blank       bool
}

var quantities = map[string]quantity{
	results.ReportedRate:        {results.Hash.Per(results.Second), 0, 1e18, false},
	results.ReportedNominal:     {results.Hash.Per(results.Second), 0, 1e18, true},
	results.ReportedWork:        {results.Hash, 0, 1e27, false},
	results.ReportedElapsed:     {results.Second, 0, 1e10, false},
	results.ReportedAccepted:    {results.Hash, 0, 1e27, false},
	results.ReportedRejected:    {results.Hash, 0, 1e27, false},
	results.ReportedStale:       {results.Hash, 0, 1e27, false},
	results.ReportedDifficulty:  {results.Hash, 0, 1e27, true},
	results.ReportedShares:      {results.Ratio, 0, 1e15, false},
	results.ReportedRefused:     {results.Ratio, 0, 1e15, false},
	results.ReportedErrors:      {results.Ratio, 0, 1e15, false},
	results.ReportedPower:       {results.Watt, math.SmallestNonzeroFloat64, 1e6, false}, // 0 W is never an answer
	results.ReportedTemperature: {results.Kelvin, 200, 500, true},
	results.ReportedFan:         {results.Hertz, 0, 1000, true},
	results.ReportedFrequency:   {results.Hertz, 0, 1e11, true},
}

// Form is how a miner writes a field.
type Form struct {
	Of   string               // one of [results.ReportedRate] and its siblings
	Unit string               // suffix of its texts
	Per  float64              // SI units, or shares of difficulty 1, per unit of the field; 0 means 1
	Over results.SelfReported // averaging time in s of a rate or a power
	// Since is set for an average since the start of the miner; it needs Over
	// to mean anything.
	Since bool
	// For a power.
	Boundary results.Boundary
	Origin   results.Origin
}

// Celsius, RPM, MHz and Difficulty are forms that most miners share.
var (
	Celsius = Form{Of: results.ReportedTemperature, Unit: "C"}
	RPM     = Form{Of: results.ReportedFan, Unit: "RPM", Per: 1. / 60}
	MHz     = Form{Of: results.ReportedFrequency, Unit: "MHz", Per: 1e6}
)

// Difficulty is the form of a sum of difficulties.
func Difficulty(of string) Form { return Form{Of: of, Per: share} }

// Rate is the form of a rate in multiples of H/s (1e9 for GH/s), averaged over so many seconds.
func Rate(per float64, over results.SelfReported) Form {
	return Form{Of: results.ReportedRate, Per: per, Over: over}
}

// Average is the form of a rate since the start, elapsed seconds ago.
func Average(per, elapsed float64) Form {
	return Form{Of: results.ReportedRate, Per: per, Over: results.SelfReport(elapsed), Since: true}
}

// Watts is the form of a power.
func Watts(b results.Boundary, o results.Origin) Form {
	return Form{Of: results.ReportedPower, Unit: "W", Boundary: b, Origin: o}
}

// Collector collects the fields of one answer, in SI units, and the invalid ones by name.
type Collector struct {
	Figures []results.SelfReportedField
	Refused []string
}

// Take takes the value of a field. It returns the value in SI units, or NaN if
// there is none or it was refused.
func (s *Collector) Take(name string, v Value, f Form) float64 {
	n, said, err := v.Number(f.Unit)
	if err != nil {
		s.Refuse("%s: %v", name, err)
	}
	if err != nil || !said {
		return math.NaN()
	}
	return s.Report(name, n, f)
}

// Report is [Collector.Take] for a number.
func (s *Collector) Report(name string, n float64, f Form) float64 {
	q := quantities[f.Of]
	if n == 0 && q.blank {
		return math.NaN()
	}
	si := n
	if f.Per != 0 {
		si *= f.Per
	}
	if f.Of == results.ReportedTemperature {
		si += 273.15
	}
	if !(si >= q.least && si <= q.most) {
		s.Refuse("%s: %g is beyond what a figure of %s can be", name, n, f.Of)
		return math.NaN()
	}
	if f.Since && f.Over.IsAbsent() {
		s.Refuse("%s: an average since a start of which it does not say when that was", name)
		return math.NaN()
	}
	if len(s.Figures) >= maxFigures {
		s.Refuse("it says more than %d figures", maxFigures)
		return math.NaN()
	}
	s.Figures = append(s.Figures, results.SelfReportedField{Of: f.Of, Name: Word(name), Value: results.SelfReport(si), Unit: q.unit, Over: f.Over, Boundary: f.Boundary, Origin: f.Origin})
	return si
}

// Highest takes the highest of several values, none of which need exist. 0 means
// "no value".
func (s *Collector) Highest(name string, vs []Value, f Form) {
	highest, any := math.Inf(-1), false
	for _, v := range vs {
		n, said, err := v.Number(f.Unit)
		switch {
		case err != nil:
			s.Refuse("%s: %v", name, err)
		case said && n != 0:
			highest, any = max(highest, n), true
		}
	}
	if any {
		s.Report(name, highest, f)
	}
}

// Elapsed is how long the miner has been running, in s, by the clock that started
// first: a controller and its modules start some seconds apart. NaN if unknown.
func (s *Collector) Elapsed() float64 {
	longest := math.NaN()
	for _, f := range s.Figures {
		if f.Of == results.ReportedElapsed && !(float(f.Value) <= longest) {
			longest = float(f.Value)
		}
	}
	return longest
}

// settle removes averages over a longer time than the miner has been running:
// some miners divide by all of that time, others start at 0 and rise.
func (s *Collector) settle() {
	elapsed := s.Elapsed()
	s.Figures = slices.DeleteFunc(s.Figures, func(f results.SelfReportedField) bool {
		over := float(f.Over)
		if f.Of != results.ReportedRate || !(over > elapsed) {
			return false
		}
		s.Refuse("%s: it is an average over %g s of a miner that runs for %g s", f.Name, over, elapsed)
		return true
	})
}

// PowerNote describes the power that was taken from some answers, or what they
// contain instead.
func (s *Collector) PowerNote(what string, answers ...Value) string {
	for _, f := range s.Figures {
		if f.Of == results.ReportedPower && f.Origin != results.Declared {
			return "power: " + what
		}
	}
	for _, r := range s.Refused {
		if powerName.MatchString(r) {
			return line("no figure of the power that it draws: "+r+": watts need a meter", 512)
		}
	}
	var held []string
	for _, v := range answers {
		held = powers(v, held)
	}
	if len(held) == 0 {
		return "its answers hold no power field: watts need a meter"
	}
	return line("no figure of the power that it draws: its answers hold "+strings.Join(held, ", ")+", and nothing says that this is it: watts need a meter", 512)
}

// powerName matches the name of a field that may be a power.
var powerName = regexp.MustCompile(`(?i)power|watt|pwr|consumption`)

// powers appends the fields of a value that may be a power, with their names.
func powers(v Value, held []string) []string {
	for _, item := range v.Items() {
		held = powers(item, held)
	}
	for _, name := range v.Names() {
		item := v.At(name)
		if text := item.Text(); text != "" && text[0] >= '0' && text[0] <= '9' && powerName.MatchString(name) && len(held) < maxRefused {
			held = append(held, Word(name)+" "+text)
		}
		held = powers(item, held)
	}
	return held
}

// float is the value; NaN if there is none.
func float(s results.SelfReported) (n float64) {
	s.Print(func(f results.Float) string { n = float64(f); return "" })
	return n
}

// Refuse notes an invalid field, once, up to a limit.
func (s *Collector) Refuse(format string, args ...any) {
	r := line(fmt.Sprintf(format, args...), 256)
	if len(s.Refused) < maxRefused && !slices.Contains(s.Refused, r) {
		s.Refused = append(s.Refused, r)
	}
}
