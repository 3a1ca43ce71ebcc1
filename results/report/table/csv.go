package table

import (
	"encoding/csv"
	"io"
	"math"
	"regexp"
	"time"

	"github.com/perwatt/perwatt/results"
)

// WriteCSV writes a table for a spreadsheet: one line a row, quoted as in
// RFC 4180, lines end in LF. Numbers are in SI base units with full precision,
// absent and infinite ones empty. Text that a spreadsheet would take for a formula
// begins with an apostrophe; a number below zero stays one.
func (t Table) WriteCSV(w io.Writer) error {
	out := csv.NewWriter(w)
	line := make([]string, len(t.Columns))
	if !t.Bare {
		for j, c := range t.Columns {
			line[j] = c.Head
		}
		out.Write(line) // #nosec G104 -- the error is kept for Flush
	}
	for _, row := range t.Rows {
		for j, c := range row {
			switch x := c.(type) {
			case Text:
				line[j] = inert(results.Line(x.Text, TextLimit))
			case Number:
				line[j] = finite(x.Value)
			case Figure:
				line[j] = finite(x.Value)
			case Time:
				line[j] = time.Time(x).UTC().Format(time.RFC3339)
			default:
				line[j] = ""
			}
		}
		out.Write(line) // #nosec G104 -- the error is kept for Flush
	}
	out.Flush()
	return out.Error()
}

// Named are columns of which each has a head and nothing else.
func Named(heads ...string) (columns []Column) {
	for _, h := range heads {
		columns = append(columns, Column{Head: h, Kind: Words})
	}
	return columns
}

func finite(v results.Float) string {
	if math.IsInf(float64(v), 0) {
		return ""
	}
	return Exact(v)
}

// formula matches where a spreadsheet begins to evaluate (OWASP, "CSV Injection"). In
// countries whose lists are parted by semicolons it ends a cell at one, quoted or not.
var formula = regexp.MustCompile(`(^|[;\t\r\n])([ "]*)([=+\-@＝＋－＠\t\r])`)

// inert keeps a spreadsheet from evaluating text.
func inert(s string) string { return formula.ReplaceAllString(s, "$1'$2$3") }
