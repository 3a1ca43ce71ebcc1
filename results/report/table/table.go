// Package table is the table model behind every view of perwatt: cells stay
// figures, texts, numbers and times until a writer prints them.
//
// A view fills in a [Table], or a [Page] of them. The package chooses scales
// and digits, cleans foreign text, lays out, and writes text, Markdown, HTML and
// CSV. It derives no figure and parses nothing. The same table gives the same
// bytes, whatever the locale.
package table

import (
	"cmp"
	"fmt"
	"html/template"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/perwatt/perwatt/results"
)

// Page is a title and the tables below it.
type Page struct {
	Title  []string // segments, of which the first is the name
	State  string   // the last segment
	Whole  bool     // nothing is missing: the state is not highlighted
	Tables []Table
	Foot   []string // lines to copy
}

// Add adds the tables that are not empty.
func (p *Page) Add(tables ...Table) {
	p.Tables = append(p.Tables, slices.DeleteFunc(tables, Table.Empty)...)
}

// Table has a row for each thing and a column for each quantity; or only a
// list or notes. A column that has nothing in any row is left out.
type Table struct {
	ID      string // of the element in HTML, trusted
	Title   string
	Tone    Tone
	Columns []Column
	Rows    [][]Cell
	Counts  bool // a column n has the number of windows behind the figures of each row
	Bare    bool // CSV has no heads: the rows follow those of another table
	WattsAt bool // a column has the boundary, origin and grade of the watts of each row
	Items   []Item
	Notes   []string // the reasons of figures follow them
}

// Empty reports whether a table has nothing to show: neither row, item nor note.
func (t Table) Empty() bool { return len(t.Rows)+len(t.Items)+len(t.Notes) == 0 }

// Row adds a row: a cell for each column.
func (t *Table) Row(cells ...Cell) { t.Rows = append(t.Rows, cells) }

// Intervals reports whether some and whether all of the figures that are known
// have an interval.
func (t *Table) Intervals() (some, all bool) {
	all = true
	for _, row := range t.Rows {
		for _, c := range row {
			if f, ok := c.(Figure); ok && !f.Value.IsAbsent() {
				some, all = some || !f.Low.IsAbsent(), all && !f.Low.IsAbsent()
			}
		}
	}
	return some, all
}

// Item is a line of a list: its subject and what there is to say of it.
type Item struct {
	About, Text string
	Answer      string // names the text, where it is an answer that prices give
}

// Add adds an item.
func (t *Table) Add(about, text string) { t.Items = append(t.Items, Item{About: about, Text: text}) }

// Tone is the severity of a table: it colours the title.
type Tone int

// The tones.
const (
	Plain Tone = iota
	Caution
	Bad
)

// Column is one quantity over all rows.
type Column struct {
	Head, Under string // Under stands below Head; the unit is appended to one of them
	Kind        Kind
	Limit       int  // runes of a text; 0 means 24 of a name and 400 of others
	Weight      int  // in HTML: where not all columns have room, those of the least weight stand below their rows
	With        bool // the next column is never parted from it
}

// Kind says how a column is laid out.
type Kind int

// The kinds of columns.
const (
	Value  Kind = iota // flush right
	Words              // flush left
	Name               // tells the rows apart: repeated where a table is broken
	source             // of the watts: repeated beside the figures that contain watts
)

func (k Kind) left() bool { return k != Value }

// What is printed at most.
const (
	NameLimit   = 24  // runes of a name
	FigureLimit = 200 // runes of what perwatt explain takes
	TextLimit   = 400 // runes of a sentence
	ListLimit   = 40  // items of a list
)

// Cell is one of the types below, or nil where there is nothing.
type Cell interface{ cell() }

// Figure is a measured or derived figure. Its interval stands under it, and
// the reason of one that is absent in a note.
type Figure struct {
	results.Figure
	ID string // that perwatt explain takes
}

// Text is a name, a verdict or a sentence, with another under it if need be. In
// HTML it can lead to another page.
type Text struct {
	Text, Under string
	Href        string // trusted; "" leads nowhere
	At          string // in the address of a page, leads to the text: candidate/NAME
	Choice      string // value of a box to tick before the text
	ID          string // of the figure for which it stands
	Of          string // ID of the figure that the text is a verdict on
	Price       string // key of the price for which it stands
}

// Chart is a small drawing; in HTML only.
type Chart template.HTML

// Number is what is no figure but can be sorted.
type Number struct {
	Value results.Float
	Print string // as it is shown; "" means four significant digits
	Under string
	End   string // of a range, for a script: from or to
}

// Time is an instant, in UTC.
type Time time.Time

func (Figure) cell() {}
func (Text) cell()   {}
func (Chart) cell()  {}
func (Number) cell() {}
func (Time) cell()   {}

// Whole is a number of things.
func Whole(n int) Number { return Number{Value: results.Float(n), Print: Count(n)} }

// Of is the cell of a figure that may be missing.
func Of(m *results.Figure) Cell {
	if m == nil {
		return nil
	}
	return Figure{Figure: *m}
}

// Limited is a list of at most ListLimit items.
func Limited(items []Item) []Item {
	if more := len(items) - ListLimit; more > 0 {
		return append(items[:ListLimit:ListLimit], Item{About: "…", Text: fmt.Sprintf("%d more in the record", more)})
	}
	return items
}

// items returns the list, cleaned.
func (t *Table) items() []Item {
	out := make([]Item, len(t.Items))
	for i, it := range t.Items {
		out[i] = Item{results.Line(it.About, 4*NameLimit), Sentence(it.Text, 3*TextLimit), it.Answer}
	}
	return out
}

// segments returns those of the title and then the state, cleaned.
func (p *Page) segments() (out []string) {
	for _, s := range p.Title {
		out = append(out, results.Line(s, 160))
	}
	if s := results.Line(p.State, 2*TextLimit); s != "" {
		out = append(out, s)
	}
	return out
}

// laid is a column whose cells are printed.
type laid struct {
	Column
	unit    string // of all figures in it
	powered bool   // some of its figures contain watts
	head    printed
	cells   []printed
}

// printed is a cell as its reader sees it.
type printed struct {
	value, under     string
	sort             string // exact, as a script reads it
	id               string
	href, at, choice string // of a link, to this place, and of a box
	of               string // of a verdict: the ID of its figure
	price            string // key of a price
	end              string // of a range, for a script
	chart            Chart
}

// lowerBound is the note on watts at [results.CardsPackages].
const lowerBound = "Watts at cards + packages are a lower bound of the node's power: fans, other memory, boards and the losses of the supply are not in them."

// layout prints the cells of a table, and returns its notes followed by the
// reasons of its figures.
func (t *Table) layout() (columns []laid, notes []string) {
	var marks []string
	note := func(why string) string {
		why = Sentence(cmp.Or(why, "no reason is recorded"), TextLimit)
		i := slices.Index(marks, why)
		if i < 0 {
			i, marks = len(marks), append(marks, why)
		}
		return superscript(i + 1)
	}
	counted, sourced, bound := !t.Counts, !t.WattsAt, false
	var figures []results.Figure // with a value, of a column; columns share the memory
	for j, c := range t.Columns {
		l := laid{Column: c, cells: make([]printed, len(t.Rows))}
		if l.Limit == 0 {
			if l.Limit = TextLimit; c.Kind == Name {
				l.Limit = NameLimit
			}
		}
		some := false
		figures = figures[:0]
		for _, row := range t.Rows {
			f, ok := row[j].(Figure)
			if some = some || row[j] != nil; !ok {
				continue
			}
			l.powered = l.powered || f.Boundary != "" || f.Origin != ""
			if !f.Value.IsAbsent() {
				figures, bound = append(figures, f.Figure), bound || f.Boundary == results.CardsPackages
			}
		}
		if !some {
			continue
		}
		shared := len(figures) > 0 && !slices.ContainsFunc(figures, func(m results.Figure) bool { return m.Unit != figures[0].Unit })
		var s scale
		if shared {
			s = scaleOf(figures...)
			l.unit = s.symbol()
		}
		l.head = printed{value: c.Head, under: c.Under}
		switch { // where the unit does not widen the column, if it can
		case l.unit == c.Head:
		case c.Under == "" || len(c.Under) < len(c.Head):
			l.head.under = joined(", ", c.Under, l.unit)
		default:
			l.head.value = joined(", ", c.Head, l.unit)
		}
		for i, row := range t.Rows {
			l.cells[i] = l.print(row[j], s, note)
		}
		if !counted && c.Kind == Value {
			columns, counted = append(columns, t.counts()), true
		}
		if columns = append(columns, l); !sourced && l.powered {
			columns, sourced = append(columns, t.sources()), true
		}
	}
	for _, n := range t.Notes {
		notes = append(notes, Sentence(n, TextLimit))
	}
	if bound {
		notes = append(notes, lowerBound)
	}
	for i, why := range marks {
		notes = append(notes, superscript(i+1)+" "+why)
	}
	return columns, notes
}

// print prints a cell of a column whose figures share a scale if they have a
// unit in common.
func (l *laid) print(c Cell, s scale, note func(why string) string) printed {
	switch x := c.(type) {
	case Figure:
		if x.Value.IsAbsent() {
			value := Absent
			if x.Status.Unresolved() {
				value = "not resolvable"
			}
			return printed{value: value + note(x.Why)}
		}
		p := printed{sort: sortable(x.Value), id: results.Line(x.ID, FigureLimit)}
		switch own := ownScale(x.Figure); {
		case l.unit != "" && s.fits(x.Figure):
			p.value, p.under = s.print(x.Figure)
		case l.unit == own.symbol():
			p.value, p.under = own.print(x.Figure)
		default:
			p.value, p.under = Split(x.Figure)
		}
		if x.Why != "" {
			p.value += note(x.Why)
		}
		return p
	case Text:
		return printed{value: results.Line(x.Text, l.Limit), under: results.Line(x.Under, l.Limit), href: x.Href, at: results.Line(x.At, FigureLimit), choice: results.Line(x.Choice, l.Limit), id: results.Line(x.ID, FigureLimit), of: results.Line(x.Of, FigureLimit), price: results.Line(x.Price, FigureLimit)}
	case Chart:
		return printed{chart: x}
	case Number:
		return printed{value: cmp.Or(results.Line(x.Print, l.Limit), Round(float64(x.Value), 4)), under: results.Line(x.Under, l.Limit), sort: sortable(x.Value), end: x.End}
	case Time:
		at := time.Time(x).UTC()
		return printed{value: results.Minute(at), sort: strconv.FormatInt(at.Unix(), 10)}
	}
	return printed{}
}

// sortable is a number as JavaScript reads it.
func sortable(v results.Float) string { return strings.Replace(Exact(v), "Inf", "Infinity", 1) }

// Sentence is one line of a text that was written for a record, of at most limit
// runes, with its numbers as a reader expects them: a true minus, and no exponent of
// the computer's.
func Sentence(s string, limit int) string {
	s = exponential.ReplaceAllStringFunc(results.Line(s, limit), func(number string) string {
		v, _ := strconv.ParseFloat(number, 64)
		if v >= 1e6 {
			return Typeset(number)
		}
		mantissa, _, _ := strings.Cut(strings.TrimLeft(number, "-"), "e")
		return Round(v, max(1, len(strings.Replace(mantissa, ".", "", 1))))
	})
	return asciiMinus.ReplaceAllString(s, "${1}−$2")
}

var (
	asciiMinus  = regexp.MustCompile(`(^|[ (\[“])-([0-9])`)
	exponential = regexp.MustCompile(`\b-?[0-9](\.[0-9]+)?e[+-][0-9]{2,3}\b`)
)

// counts is the number of windows behind each row.
func (t *Table) counts() laid {
	l := laid{Column: Column{Kind: Name, Weight: -2}, head: printed{value: "n"}}
	for _, row := range t.Rows {
		lo, hi := 0, 0
		for _, c := range row {
			if f, ok := c.(Figure); ok && f.N > 0 {
				if hi = max(hi, f.N); lo == 0 || f.N < lo {
					lo = f.N
				}
			}
		}
		p := printed{value: Count(hi)}
		if lo < hi {
			p.value = Count(lo) + "–" + p.value
		}
		l.cells = append(l.cells, p)
	}
	return l
}

// sources is the provenance of the watts of each row: that of its first figure
// that has one.
func (t *Table) sources() laid {
	l := laid{Column: Column{Kind: source, Weight: -2}, head: printed{value: "watts at", under: "origin/grade"}}
	for _, row := range t.Rows {
		var p printed
		for _, c := range row {
			if f, ok := c.(Figure); ok && f.Origin != "" && p.value == "" {
				p.value = results.Line(joined(" ", string(f.Boundary), PlusMinus(f.Figure)), NameLimit)
				p.under = results.Line(fmt.Sprintf("%s · %s", f.Origin, f.Grade), NameLimit)
			}
		}
		l.cells = append(l.cells, p)
	}
	return l
}

// superscript is a whole number above the line.
func superscript(n int) string {
	return strings.NewReplacer("-", "⁻", "0", "⁰", "1", "¹", "2", "²", "3", "³", "4", "⁴", "5", "⁵", "6", "⁶", "7", "⁷", "8", "⁸", "9", "⁹").Replace(strconv.Itoa(n))
}
