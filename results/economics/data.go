package economics

import (
	_ "embed"
	"encoding/csv"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/perwatt/perwatt/results"
)

//go:embed nameplates.csv
var nameplatesCSV string

//go:embed thresholds.csv
var thresholdsCSV string

// Nameplate is what the maker of a mining machine publishes of it: declared,
// grade E, never ranked. What is not published is absent.
type Nameplate struct {
	Model      string
	Rate       results.Float  // hash/s
	Power      results.Float  // W
	Efficiency results.Metric // J/hash; its interval is the maker's tolerance
	AsOf       string         // day or month
	Source     string
}

// Threshold is an amount of training compute that a law names.
type Threshold struct {
	Name   string
	FLOP   float64
	Status string // in force, vetoed
	AsOf   string // day of the text
	Source string // with article or section
	Note   string
}

// Nameplates lists published machines in the order of their publication.
func Nameplates() []Nameplate { return slices.Clone(nameplates()) }

// Thresholds lists the amounts of compute that laws name.
func Thresholds() []Threshold { return slices.Clone(thresholds()) }

var nameplates = sync.OnceValue(func() []Nameplate {
	var out []Nameplate
	for _, r := range embedded(nameplatesCSV) {
		j := number(r[3]) * PerTH
		tolerance := number(r[5])
		out = append(out, Nameplate{
			Model: r[0], Rate: number(r[1]) * TH, Power: number(r[2]), AsOf: r[6], Source: r[7],
			Efficiency: results.Metric{
				Value: j, Low: j * (1 - tolerance), High: j * (1 + tolerance), Instrument: results.Absent(), Unit: results.Joule.Per(results.Hash),
				Boundary: results.Wall, Origin: results.Declared, Grade: "E",
			},
		})
	}
	return out
})

var thresholds = sync.OnceValue(func() []Threshold {
	var out []Threshold
	for _, r := range embedded(thresholdsCSV) {
		out = append(out, Threshold{r[0], float64(number(r[1])), r[2], r[3], r[4], r[5]})
	}
	return out
})

// embedded returns the rows of a file that is part of the program, less its
// header: a mistake in it is one of the program.
func embedded(s string) [][]string {
	in := csv.NewReader(strings.NewReader(s))
	in.Comment = '#'
	rows, err := in.ReadAll()
	if err != nil {
		panic(fmt.Sprintf("economics: embedded table: %v", err))
	}
	return rows[1:]
}

func number(s string) results.Float {
	if s == "" {
		return results.Absent()
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		panic(fmt.Sprintf("economics: embedded table: %v", err))
	}
	return results.Float(v)
}
