package device

import (
	"fmt"
	"math"
	"slices"

	"github.com/perwatt/perwatt/results"
)

// Limits on what is kept of one answer.
const (
	maxFigures = 128
	maxRefused = 32
)

// share is how many hashes a share of difficulty 1 stands for.
const share = 1 << 32

// quantity is what a figure can be of, in which unit, and within what it is
// believed to be one: a bound that is passed is that of a broken field, not of
// a good device.
type quantity struct {
	unit        results.Unit
	least, most float64
}

var quantities = map[string]quantity{
	results.SaidRate:        {results.Hash.Per(results.Second), 0, 1e18},
	results.SaidNominal:     {results.Hash.Per(results.Second), 0, 1e18},
	results.SaidWork:        {results.Hash, 0, 1e27},
	results.SaidElapsed:     {results.Second, 0, 1e10},
	results.SaidAccepted:    {results.Hash, 0, 1e27},
	results.SaidRejected:    {results.Hash, 0, 1e27},
	results.SaidStale:       {results.Hash, 0, 1e27},
	results.SaidDifficulty:  {results.Hash, 0, 1e27},
	results.SaidShares:      {results.Ratio, 0, 1e15},
	results.SaidRefused:     {results.Ratio, 0, 1e15},
	results.SaidErrors:      {results.Ratio, 0, 1e15},
	results.SaidPower:       {results.Watt, math.SmallestNonzeroFloat64, 1e6}, // 0 W is never an answer
	results.SaidTemperature: {results.Kelvin, 200, 500},
	results.SaidFan:         {results.Hertz, 0, 1000},
	results.SaidFrequency:   {results.Hertz, math.SmallestNonzeroFloat64, 1e11},
}

// Form is how a device writes a quantity.
type Form struct {
	Of   string       // see [results.SaidRate] and its like
	Unit string       // that its texts may end in
	Per  float64      // SI units, or shares of difficulty 1, in one of its own; 0 is 1
	Over results.Said // s, of a rate or a power
	// Of a power.
	Boundary results.Boundary
	Origin   results.Origin
}

// Celsius, RPM, MHz and Difficulty are forms that most devices share.
var (
	Celsius = Form{Of: results.SaidTemperature, Unit: "C"}
	RPM     = Form{Of: results.SaidFan, Unit: "RPM", Per: 1. / 60}
	MHz     = Form{Of: results.SaidFrequency, Unit: "MHz", Per: 1e6}
)

// Difficulty is the form of what is a sum of difficulties.
func Difficulty(of string) Form { return Form{Of: of, Per: share} }

// Rate is the form of a rate in prefixes of H/s (1e9 for GH/s) over some seconds.
func Rate(per float64, over results.Said) Form {
	return Form{Of: results.SaidRate, Per: per, Over: over}
}

// Watts is the form of a power.
func Watts(b results.Boundary, o results.Origin) Form {
	return Form{Of: results.SaidPower, Unit: "W", Boundary: b, Origin: o}
}

// Sheet collects what one answer says, in SI units, and what means nothing.
type Sheet struct {
	Figures []results.Saying
	Refused []string
}

// Take takes the value that a device has under a name. It returns what that is
// in SI units, NaN if nothing was said or if it was refused.
func (s *Sheet) Take(name string, v Value, f Form) float64 {
	n, said, err := v.Number(f.Unit)
	if err != nil {
		s.Refuse("%s: %v", name, err)
	}
	if err != nil || !said {
		return math.NaN()
	}
	return s.Say(name, n, f)
}

// Say is [Sheet.Take] of a number.
func (s *Sheet) Say(name string, n float64, f Form) float64 {
	q := quantities[f.Of]
	si := n
	if f.Per != 0 {
		si *= f.Per
	}
	if f.Of == results.SaidTemperature {
		si += 273.15
	}
	if !(si >= q.least && si <= q.most) {
		s.Refuse("%s: %g is beyond what a figure of %s can be", name, n, f.Of)
		return math.NaN()
	}
	if len(s.Figures) >= maxFigures {
		s.Refuse("it says more than %d figures", maxFigures)
		return math.NaN()
	}
	s.Figures = append(s.Figures, results.Saying{Of: f.Of, Name: Word(name), Value: results.Say(si), Unit: q.unit, Over: f.Over, Boundary: f.Boundary, Origin: f.Origin})
	return si
}

// Highest takes the highest of several values, none of which need be there. 0
// is what an empty place says.
func (s *Sheet) Highest(name string, vs []Value, f Form) {
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
		s.Say(name, highest, f)
	}
}

// settle takes out the averages over a longer time than the miner runs: some
// divide by all of that time, others begin at 0 and rise for as long.
func (s *Sheet) settle() {
	elapsed := math.Inf(1)
	for _, f := range s.Figures {
		if f.Of == results.SaidElapsed {
			elapsed = float(f.Value)
			break
		}
	}
	s.Figures = slices.DeleteFunc(s.Figures, func(f results.Saying) bool {
		over := float(f.Over)
		if f.Of != results.SaidRate || !(over > elapsed) {
			return false
		}
		s.Refuse("%s: it is an average over %g s of a miner that runs for %g s", f.Name, over, elapsed)
		return true
	})
}

// float is what was said, NaN if nothing was.
func float(s results.Said) (n float64) {
	s.Print(func(f results.Float) string { n = float64(f); return "" })
	return n
}

// Refuse notes what means nothing, once, up to a limit.
func (s *Sheet) Refuse(format string, args ...any) {
	r := line(fmt.Sprintf(format, args...), 256)
	if len(s.Refused) < maxRefused && !slices.Contains(s.Refused, r) {
		s.Refused = append(s.Refused, r)
	}
}
