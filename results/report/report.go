// Package report prints records, comparisons and histories: as text for the person
// at the terminal, as Markdown for an issue or a step summary, as tidy CSV for a
// spreadsheet, as Go benchmark lines for benchstat, and as pages of HTML.
//
// Its views fill the tables of package table and derive no figures. Boundary,
// origin and grade stand beside every watt, ~ before every figure that was not
// measured, a reason beside every figure that is absent. Text in a record is
// hostile: control characters, escapes and bidi overrides never reach the output.
// The same input and options give the same bytes, whatever the locale.
//
// As JSON a record is its own file, which its codec writes; everything else is
// written by WriteJSON.
package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/report/table"
)

// Format names a printed form of a record.
type Format = table.Format

// Formats besides those of every page, [table.Formats].
const (
	Text            = table.TextFormat
	Markdown        = table.MarkdownFormat
	CSV      Format = "csv"   // one value a row, SI base units, full precision
	JSON     Format = "json"  // the record itself: written by its codec, not by Write
	Bench    Format = "bench" // Go benchmark lines, one a window
)

// Formats lists every format of a record.
func Formats() []Format { return append(table.Formats(), CSV, JSON, Bench) }

// FormatNames lists the formats of a record, for messages and help.
func FormatNames() string {
	var names []string
	for _, f := range Formats() {
		names = append(names, string(f))
	}
	return strings.Join(names, ", ")
}

// ParseFormat returns the format of that name.
func ParseFormat(name string) (Format, error) {
	if slices.Contains(Formats(), Format(name)) {
		return Format(name), nil
	}
	return "", fmt.Errorf("format %q is not known: use %s", results.Line(name, 40), FormatNames())
}

// Options say how and for where a record is printed.
type Options struct {
	Width int    // columns of the terminal; 0 means 120; text only
	Color bool   // ANSI colours; text only
	Path  string // where the record lies; "" if it was not kept
	Store string // directory that perwatt show has to be told to find it; "" for the usual one

	Program string // how perwatt was called, for commands to copy; "" means perwatt
}

// Write prints rec to w in the given format.
func Write(w io.Writer, format Format, rec *results.Record, opt Options) error {
	return write(w, format, "record "+results.Line(rec.ID, 40), func() *table.Page { return recordPage(rec, opt) }, opt, map[Format]func(io.Writer) error{
		CSV: func(w io.Writer) error { return values(rec).WriteCSV(w) }, Bench: func(w io.Writer) error { return newBenchWriter(w).write(rec) },
	})
}

// write writes a page in one of its formats, or what stands for it in another.
// Nothing is written if that fails or there is no such form.
func write(w io.Writer, format Format, what string, page func() *table.Page, opt Options, others map[Format]func(io.Writer) error) error {
	var out bytes.Buffer
	var err error
	if other := others[format]; other != nil {
		err = other(&out)
	} else if !slices.Contains(table.Formats(), format) {
		err = fmt.Errorf("there is no such form here")
	} else {
		_, err = page().Write(&out, format, table.Terminal{Width: opt.Width, Color: opt.Color})
	}
	if err == nil {
		_, err = w.Write(out.Bytes())
	}
	if err != nil {
		return fmt.Errorf("report: write %s as %s: %w", what, results.Line(string(format), 40), err)
	}
	return nil
}

// WriteJSON writes a value that is no record as JSON, which a terminal may
// show: indented, or on one line without an indent.
func WriteJSON(w io.Writer, indent string, v any) error {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetIndent("", indent)
	if err := enc.Encode(v); err != nil {
		return err
	}
	_, err := w.Write(results.PrintableJSON(out.Bytes()))
	return err
}
