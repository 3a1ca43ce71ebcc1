package table

import (
	"encoding/csv"
	"io"
	"strings"
	"time"

	"github.com/perwatt/perwatt/results"
)

// WriteCSV writes a table for a spreadsheet: one line a row, quoted as in
// RFC 4180, lines end in LF. Numbers are in SI base units with full precision,
// absent ones empty. Text that a spreadsheet would take for a formula begins
// with an apostrophe.
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
				line[j] = Exact(x.Value)
			case Figure:
				line[j] = Exact(x.Value)
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

// inert keeps a spreadsheet from evaluating text (OWASP, "CSV Injection").
func inert(s string) string {
	if s != "" && strings.ContainsRune("=+-@＝＋－＠", []rune(s)[0]) {
		return "'" + s
	}
	return s
}
