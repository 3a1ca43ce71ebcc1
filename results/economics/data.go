package economics

import (
	_ "embed"
	"encoding/csv"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/perwatt/perwatt/results"
)

//go:embed nameplates.csv
var nameplatesCSV string

//go:embed thresholds.csv
var thresholdsCSV string

// nameplate is what the maker of a mining machine publishes about it: declared,
// grade E, never ranked. What is not published is absent.
type nameplate struct {
	Model      string
	Rate       results.Float // hash/s
	Power      results.Float // W
	Efficiency Figure        // J/hash; its interval is the maker's tolerance
	AsOf       string        // day or month
	Source     string
}

// power is what the machine draws, in W, where its maker publishes enough for it.
func (n nameplate) power() Figure {
	f := n.Efficiency
	f.ID, f.Unit, f.Low, f.High = n.Model+"/"+results.Power, results.Watt, results.Absent(), results.Absent()
	if f.Value = n.Power; f.Value.IsAbsent() {
		f.Value = n.Rate * n.Efficiency.Value
	}
	return f
}

// threshold is an amount of training compute named by a law.
type threshold struct {
	Name                    string
	FLOP                    float64
	Text                    string    // FLOP as it is written in the embedded file: 1e+25
	Signed, InForce, Vetoed time.Time // days; zero where there is none
	Source                  string    // with article or section
	Note                    string
}

// Power returns the FLOP as a power of ten, as the laws write it: 10²⁵.
func (t threshold) Power() string {
	return "10" + strings.NewReplacer("1e+", "", "0", "⁰", "1", "¹", "2", "²", "3", "³", "4", "⁴", "5", "⁵", "6", "⁶", "7", "⁷", "8", "⁸", "9", "⁹").Replace(t.Text)
}

// Status returns the state of the law on a day.
func (t threshold) Status(on time.Time) string {
	day := func(t time.Time) string { return t.Format(time.DateOnly) }
	switch {
	case !t.Vetoed.IsZero() && !on.Before(t.Vetoed):
		return "vetoed " + day(t.Vetoed)
	case t.Signed.IsZero():
		return "not signed"
	case on.Before(t.Signed):
		return "not signed before " + day(t.Signed)
	case on.Before(t.InForce):
		return "signed " + day(t.Signed) + ", not in force before " + day(t.InForce)
	}
	return "signed " + day(t.Signed) + ", in force since " + day(t.InForce)
}

// nameplates lists published machines in the order of their publication.
var nameplates = sync.OnceValue(func() []nameplate {
	var out []nameplate
	for _, r := range embedded(nameplatesCSV) {
		j := parsed(r[3]) * PerTH
		tolerance := parsed(r[5])
		out = append(out, nameplate{
			Model: r[0], Rate: parsed(r[1]) * TH, Power: parsed(r[2]), AsOf: r[6], Source: r[7],
			Efficiency: Figure{ID: r[0] + "/" + results.EnergyPerWork, Figure: results.Figure{
				Value: j, Low: j * (1 - tolerance), High: j * (1 + tolerance), Unit: results.Joule.Per(results.Hash),
				Provenance: results.Provenance{Boundary: results.Wall, Origin: results.Declared, Grade: "E", Instrument: results.Absent()},
			}},
		})
	}
	return out
})

// thresholds lists the amounts of compute that laws name.
var thresholds = sync.OnceValue(func() []threshold {
	var out []threshold
	for _, r := range embedded(thresholdsCSV) {
		out = append(out, threshold{r[0], float64(parsed(r[1])), r[1], onDay(r[2]), onDay(r[3]), onDay(r[4]), r[5], r[6]})
	}
	return out
})

// embedded returns the rows of an embedded file without its header. A mistake in
// it is a bug.
func embedded(s string) [][]string {
	in := csv.NewReader(strings.NewReader(s))
	in.Comment = '#'
	rows, err := in.ReadAll()
	if err != nil {
		panic(fmt.Sprintf("economics: embedded table: %v", err))
	}
	return rows[1:]
}

func onDay(s string) time.Time {
	if s == "" {
		return time.Time{}
	}
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		panic(fmt.Sprintf("economics: embedded table: %v", err))
	}
	return t
}

func parsed(s string) results.Float {
	if s == "" {
		return results.Absent()
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		panic(fmt.Sprintf("economics: embedded table: %v", err))
	}
	return results.Float(v)
}
