package results

import (
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
)

// CSV reads a table as spreadsheets write it: in UTF-8 or UTF-16 with a byte order
// mark or without, parted by commas, or by semicolons or tabs where a comma is in
// numbers, and padded to the columns of the longest line. A line that begins with # is a
// comment.
type CSV struct {
	*csv.Reader
	columns int // of the header; 0 before it
}

// OpenCSV reads r, at most limit bytes, as CSV.
func OpenCSV(r io.Reader, limit int64) (*CSV, error) {
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("the file is larger than %d bytes", limit)
	}
	text := Decoded(b)
	in := csv.NewReader(strings.NewReader(text))
	in.Comma = comma(text)
	in.Comment = '#'
	in.FieldsPerRecord = -1
	in.TrimLeadingSpace = in.Comma != '\t'
	return &CSV{Reader: in}, nil
}

// comma is what parts the fields of a file, by its header: the first line that is no
// comment.
func comma(text string) rune {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		for _, c := range ",;\t" {
			if strings.ContainsRune(line, c) {
				return c
			}
		}
		break
	}
	return ','
}

// Read returns the next line that has something in it, without what nobody sees at the
// ends of fields.
func (in *CSV) Read() ([]string, error) {
	for {
		rec, err := in.Reader.Read()
		if err != nil {
			return rec, err
		}
		for i := range rec {
			rec[i] = strings.TrimFunc(rec[i], func(r rune) bool { return unicode.IsSpace(r) || unicode.Is(unicode.Cf, r) })
		}
		for len(rec) > max(1, in.columns) && rec[len(rec)-1] == "" {
			rec = rec[:len(rec)-1]
		}
		switch {
		case len(rec) == 1 && rec[0] == "" || !slices.ContainsFunc(rec, func(f string) bool { return f != "" }):
			continue
		case in.columns == 0:
			in.columns = len(rec)
		}
		return rec, nil
	}
}
