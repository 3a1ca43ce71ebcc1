package table

import (
	"cmp"
	_ "embed"
	"fmt"
	"html/template"
	"math"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/perwatt/perwatt/results"
)

// MostListed is how many rows of a table, or items of a list, HTML holds: a
// browser shows no more in time.
const MostListed = 5000

// CSS is the style of what [Table.HTML] writes. It needs the colours of the page
// around it: --bg, --soft, --line, --panel and --link.
//
//go:embed table.css
var CSS string

// HTML returns the table, its list and its notes, without the title. A number is
// in data-sort with every digit, and what perwatt explain takes in data-figure.
func (t Table) HTML() template.HTML {
	var out strings.Builder
	t.Notes = slices.Clip(t.Notes)
	if n := len(t.Rows); n > MostListed {
		t.Notes = append(t.Notes, fmt.Sprintf("The first %d of %d rows: perwatt show, compare and track with --format csv or json have all of them.", MostListed, n))
		t.Rows = t.Rows[:MostListed]
	}
	if n := len(t.Items); n > MostListed {
		t.Notes = append(t.Notes, fmt.Sprintf("The first %d of %d.", MostListed, n))
		t.Items = t.Items[:MostListed]
	}
	columns, notes := t.layout()
	if len(columns) > 0 {
		t.grid(&out, columns)
	}
	if len(t.Items) > 0 {
		out.WriteString("<dl>")
		for _, it := range t.items() {
			out.WriteString("<div>")
			element(&out, "dt", it.About)
			out.WriteString("<dd")
			if it.Answer != "" {
				out.WriteString(` data-answer="` + template.HTMLEscapeString(it.Answer) + `"`)
			}
			out.WriteString(">" + whole(it.Text) + "</dd></div>")
		}
		out.WriteString("</dl>\n")
	}
	for _, n := range notes {
		out.WriteString(`<p class="note">` + whole(n) + "</p>\n")
	}
	return template.HTML(out.String()) // #nosec G203 -- every text of it is escaped above
}

// grid writes the table. What has no place beside the rest stands below its row,
// in a row that is unfolded; on a phone a row is a card of its top cells, which
// unfolds to all of them. The style does both: see .more in page.css.
func (t Table) grid(out *strings.Builder, columns []laid) {
	place := arrange(columns)
	attribute := func(name, value string) {
		if value != "" {
			out.WriteString(" " + name + `="` + template.HTMLEscapeString(value) + `"`)
		}
	}
	class := func(names ...string) {
		attribute("class", strings.Join(slices.DeleteFunc(names, func(s string) bool { return s == "" }), " "))
	}
	out.WriteString(`<div class="scroll"><table`)
	attribute("id", t.ID)
	out.WriteString("><thead><tr>")
	labels := make([]string, len(columns)) // of cells, where the heads are not seen
	for j, c := range columns {
		if labels[j] = joined(", ", c.Head, c.unit); c.Head == "" {
			labels[j] = joined(", ", c.head.value, c.head.under)
		}
		if place.folded[j] {
			continue
		}
		out.WriteString(`<th scope="col"`)
		key := ""
		if j == place.key && place.more == "more" {
			key = "key"
		}
		class(c.align(), key)
		out.WriteString(">" + template.HTMLEscapeString(c.head.value))
		element(out, "small", c.head.under)
		out.WriteString("</th>")
	}
	out.WriteString("</tr></thead>\n<tbody>")
	for i := range t.Rows {
		open := func(tag string, j int, names ...string) {
			x := columns[j].cells[i]
			out.WriteString("<" + tag)
			if tag == "td" && j != place.key { // a card has no label at its head
				attribute("data-label", labels[j])
			}
			class(append(names, breaks(x, j == place.key))...)
			attribute("data-sort", x.sort)
			attribute("data-verdict", x.of)
			attribute("data-price-of", x.price)
			attribute("data-at", x.at)
			attribute("data-end", x.end)
			attribute("data-figure", x.id)
			out.WriteString(">")
			if x.choice != "" {
				out.WriteString(`<input type="checkbox" name="r"`)
				attribute("value", x.choice)
				attribute("aria-label", "choose "+x.choice)
				out.WriteString("> ")
			}
			if x.href != "" {
				out.WriteString("<a")
				attribute("href", x.href)
				out.WriteString(">" + whole(x.value) + "</a>")
			} else {
				out.WriteString(whole(x.value))
			}
			out.WriteString(string(x.chart))
			if tag == "td" && j == place.key && place.more != "" {
				out.WriteString("<details")
				class(place.more)
				out.WriteString("><summary")
				attribute("aria-label", joined(" ", "more of", x.value))
				out.WriteString("></summary></details>")
			}
			if x.under != "" {
				out.WriteString("<small>" + whole(x.under) + "</small>")
			}
		}
		out.WriteString("<tr>")
		for j, c := range columns {
			if place.folded[j] {
				continue
			}
			name, top, with := "", "", ""
			if j == place.key {
				name = "key"
			}
			if place.top[j] && place.more != "" {
				top = "top"
			}
			if c.With {
				with = "with"
			}
			open("td", j, c.align(), name, top, with)
			out.WriteString("</td>")
		}
		out.WriteString("</tr>\n")
		if place.columns == len(columns) {
			continue
		}
		fmt.Fprintf(out, `<tr class="rest"><td colspan="%d"><dl>`, place.columns)
		for j, c := range columns {
			if x := c.cells[i]; place.folded[j] && x.value+x.under+string(x.chart) != "" {
				out.WriteString("<div>")
				element(out, "dt", labels[j])
				open("dd", j)
				out.WriteString("</dd></div>")
			}
		}
		out.WriteString("</dl></td></tr>\n")
	}
	out.WriteString("</tbody></table></div>\n")
}

func (l *laid) align() string {
	switch {
	case l.Kind == source:
		return "source"
	case l.Kind.left():
		return ""
	}
	return "num"
}

// What a page has room for.
const (
	pageWidth = 96 // digits beside each other at 1024 px, in the widest of the usual fonts
	padding   = 2  // of a column
	wordWidth = 28 // a word or name up to here is never broken; a longer one may be anywhere
	textWidth = 20 // of a column of sentences
	cardLines = 4  // of a card that need not be folded
	topLines  = 3  // of one that is
)

// placement says where the columns stand on a page.
type placement struct {
	key     int    // the column that names the rows; the others are unfolded there
	folded  []bool // below the row
	top     []bool // on a card that is not unfolded
	columns int    // beside each other
	more    string // class of what unfolds; "" if there is nothing to unfold
}

// arrange keeps as many columns beside each other as a page has room for, of the
// greatest weight first.
func arrange(columns []laid) placement {
	p := placement{folded: make([]bool, len(columns)), top: make([]bool, len(columns))}
	p.key = max(0, slices.IndexFunc(columns, func(c laid) bool { return c.Kind == Name && c.Weight >= 0 }))
	weight := func(j int) int {
		switch {
		case j == p.key:
			return math.MaxInt
		case columns[j].Kind == Name && columns[j].Weight == 0:
			return 1 // it tells the rows apart
		}
		return columns[j].Weight
	}
	order := make([]int, len(columns))
	for j := range order {
		order[j] = j
	}
	results.SortStable(order, func(a, b int) int { return cmp.Compare(weight(b), weight(a)) })
	left := pageWidth
	for n, j := range order {
		least := textWidth
		if j == p.key {
			least = wordWidth
		}
		left -= columns[j].span(least)
		p.folded[j] = left < 0 && n > 0
		if !p.folded[j] {
			p.columns++
		}
	}
	lines := 0
	for _, j := range order {
		if j > 0 && columns[j-1].With { // on the line of that one
			p.top[j] = p.top[j-1]
		} else if p.top[j] = len(columns) <= cardLines || lines < topLines; p.top[j] {
			lines++
		}
	}
	switch {
	case p.columns < len(columns):
		p.more = "more"
	case slices.Contains(p.top, false):
		p.more = "more cards"
	}
	return p
}

// span is how many digits wide a column is at least, with its padding, if lines of
// words are not broken before so many digits.
func (l *laid) span(least int) int {
	longest := func(s string) (n int) { // of the words that are not broken
		for w := range strings.FieldsSeq(s) {
			if utf8.RuneCountInString(w) <= wordWidth {
				n = max(n, inDigits(w))
			}
		}
		return n
	}
	w := max(longest(l.head.value), longest(l.head.under)*5/6)
	for _, x := range l.cells {
		value, under := inDigits(x.value), inDigits(x.under)
		if l.Kind.left() || value > wordWidth {
			value, under = max(min(value, least), longest(x.value)), max(min(under, textWidth), longest(x.under))
		}
		if x.chart != "" {
			value = 13
		}
		w = max(w, value, under*5/6)
	}
	return w + padding
}

// inDigits is how many digits are about as wide as a text in DejaVu Sans.
func inDigits(s string) int {
	quarters := 0
	for _, r := range s {
		switch {
		case strings.ContainsRune(" .,:;'|ijlt\u202f", r):
			quarters += 2
		case strings.ContainsRune("[]()/-rf", r):
			quarters += 3
		case strings.ContainsRune("MWm%@—−~±+", r):
			quarters += 6
		default:
			quarters += 4
		}
	}
	return (quarters + 3) / 4
}

// breaks is the class of a cell that is kept on a line, or of one with a word that
// may be broken anywhere.
func breaks(x printed, key bool) string {
	for _, s := range []string{x.value, x.under} {
		for w := range strings.FieldsSeq(s) {
			if utf8.RuneCountInString(w) > wordWidth {
				return "long"
			}
		}
	}
	switch {
	case utf8.RuneCountInString(x.value) > wordWidth:
		return ""
	case key || strings.ContainsAny(x.value, "-/–"):
		return "k" // a browser breaks a name or a date after these
	}
	return ""
}

var instant = regexp.MustCompile(`[0-9]{4}-[0-9]{2}-[0-9]{2}(?: [0-9]{2}:[0-9]{2}(?: UTC)?)?`)

// whole is a text in HTML whose dates are not broken.
func whole(s string) string {
	return instant.ReplaceAllString(template.HTMLEscapeString(s), `<span class="k">$0</span>`)
}

// Unbroken is a text in HTML of which no name is broken after a hyphen, unless it is so
// long that it may be anywhere.
func Unbroken(s string) template.HTML {
	words := strings.Fields(s)
	for i, w := range words {
		if words[i] = template.HTMLEscapeString(w); strings.Contains(w, "-") && utf8.RuneCountInString(w) <= wordWidth {
			words[i] = `<span class="k">` + words[i] + `</span>`
		}
	}
	return template.HTML(strings.Join(words, " ")) // #nosec G203 -- escaped
}

func element(out *strings.Builder, name, text string) {
	if text != "" {
		out.WriteString("<" + name + ">" + template.HTMLEscapeString(text) + "</" + name + ">")
	}
}
