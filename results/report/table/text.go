package table

import (
	"bytes"
	"io"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/perwatt/perwatt/results"
)

const (
	defaultWidth = 120
	leastWidth   = 40
	columnGap    = 2
)

// The width of · – ± must not follow the locale: the same record gives the
// same bytes.
func init() { text.OverrideRuneWidthEastAsianWidth(false) }

type printer struct {
	out   *bytes.Buffer
	width int
	color bool
}

// WriteText writes a page for a terminal of so many columns, 0 for 120, with
// or without colours.
func (p *Page) WriteText(out io.Writer, width int, color bool) error {
	if width <= 0 {
		width = defaultWidth
	}
	w := printer{&bytes.Buffer{}, max(leastWidth, width), color}
	w.title(p)
	for i := range p.Tables {
		w.table(&p.Tables[i])
	}
	w.out.WriteByte('\n')
	for _, f := range p.Foot {
		w.out.WriteString(results.Printable(f) + "\n") // never wrapped: it is there to be copied
	}
	_, err := out.Write(w.out.Bytes())
	return err
}

func (w printer) table(t *Table) {
	w.out.WriteByte('\n')
	if t.Title != "" {
		w.wrap("", tones[t.Tone], results.Line(t.Title, TextLimit), 0)
	}
	columns, notes := t.layout()
	for i, columns := range w.broken(columns) {
		if i > 0 {
			w.out.WriteByte('\n')
		}
		w.grid(columns)
	}
	for _, n := range notes {
		w.wrap("", dim, n, 2)
	}
	w.list(t)
}

// SGR codes.
const (
	bold   = "1"
	dim    = "2"
	red    = "1;31"
	yellow = "1;33"
)

var tones = map[Tone]string{Plain: bold, Caution: yellow, Bad: red}

func (w printer) paint(code, s string) string {
	if !w.color || s == "" || code == "" {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

// title joins the segments, breaking between them.
func (w printer) title(p *Page) {
	at := 0
	segments := p.segments()
	for i, s := range segments {
		n := text.StringWidth(s)
		switch {
		case i == 0:
		case at+3+n > w.width:
			w.out.WriteString("\n")
			at = 0
		default:
			w.out.WriteString(" · ")
			at += 3
		}
		code := ""
		switch {
		case i == 0 || i == len(segments)-1 && p.Whole:
			code = bold
		case i == len(segments)-1:
			code = red
		}
		lines := wrapped(s, w.width, w.width)
		for j := range lines {
			lines[j] = w.paint(code, lines[j])
		}
		w.out.WriteString(strings.Join(lines, "\n"))
		at += n
	}
	w.out.WriteByte('\n')
}

// list prints the items as paragraphs that hang from what they are about.
func (w printer) list(t *Table) {
	items := t.items()
	indent := 0
	for _, it := range items {
		indent = max(indent, text.StringWidth(it.About))
	}
	indent = min(indent, w.width/3)
	for _, it := range items {
		gap := strings.Repeat(" ", max(0, indent-text.StringWidth(it.About))+2)
		if it.Text == "" {
			gap = ""
		}
		w.wrap("  "+w.paint(tones[t.Tone], it.About)+gap, "", it.Text, indent+4)
	}
}

// wrap prints s after lead, later lines indented, all but lead in one colour.
func (w printer) wrap(lead, code, s string, indent int) {
	w.out.WriteString(lead)
	for i, line := range wrapped(s, w.width-text.StringWidthWithoutEscSequences(lead), w.width-indent) {
		if i > 0 {
			w.out.WriteString("\n" + strings.Repeat(" ", indent))
		}
		w.out.WriteString(w.paint(code, line))
	}
	w.out.WriteByte('\n')
}

// wrapped breaks s, which has no escape sequences, into lines of at most first
// and then rest columns: between words, or in a word that is wider than a
// line. A per cent sign stays with its number.
func wrapped(s string, first, rest int) []string {
	lines := []string{""}
	at, room := 0, first
	fresh := func() {
		lines = append(lines, "")
		at, room = 0, rest
	}
	put := func(s string, width int) {
		lines[len(lines)-1] += s
		at += width
	}
	const glue = '\u00a0'
	for word := range strings.SplitSeq(strings.ReplaceAll(s, " %", string(glue)+"%"), " ") {
		n := text.StringWidth(word)
		switch {
		case at == 0:
		case at+1+n > room:
			fresh()
		default:
			put(" ", 1)
		}
		for _, r := range word {
			n := text.RuneWidth(r)
			if at > 0 && at+n > room {
				fresh()
			}
			if r == glue {
				r = ' '
			}
			put(string(r), n)
		}
	}
	return lines
}

// broken divides columns over as many tables as the width needs. Each has the
// names, and the source of the watts if it has figures that contain watts.
func (w printer) broken(columns []laid) [][]laid {
	var names []laid
	var src *laid
	for i, c := range columns {
		switch c.Kind {
		case Name:
			names = append(names, c)
		case source:
			src = &columns[i]
		}
	}
	var tables [][]laid
	var now []laid
	used := 0
	sourced := false
	put := func(c laid) {
		now = append(now, c)
		used += c.width() + columnGap
	}
	start := func() {
		now, used, sourced = nil, 0, false
		for _, c := range names {
			put(c)
		}
	}
	start()
	for i, c := range columns {
		if c.Kind == Name || c.Kind == source {
			continue
		}
		need := c.width()
		if c.With && i+1 < len(columns) {
			need += columnGap + columns[i+1].width()
		}
		asks := c.powered && src != nil
		if asks && !sourced {
			need += columnGap + src.width()
		}
		if len(now) > len(names) && used+need > w.width {
			tables = append(tables, now)
			start()
		}
		put(c)
		if asks && !sourced {
			put(*src)
			sourced = true
		}
	}
	if len(now) > len(names) || len(columns) == len(names) && len(names) > 0 {
		tables = append(tables, now)
	}
	return tables
}

func (c laid) width() int {
	n := max(text.StringWidth(c.head.value), text.StringWidth(c.head.under))
	for _, x := range c.cells {
		n = max(n, text.StringWidth(x.value), text.StringWidth(x.under))
	}
	return n
}

// grid prints columns side by side: heads, a rule, and rows of one or two lines.
func (w printer) grid(columns []laid) {
	widths, rule := make([]int, len(columns)), -columnGap
	for j, c := range columns {
		widths[j] = c.width()
		rule += widths[j] + columnGap
	}
	line := func(code string, of func(laid) string) {
		pad := 0 // written before the next text only: no line ends in spaces
		for j, c := range columns {
			s := of(c)
			gap := widths[j] - text.StringWidth(s)
			switch {
			case s == "":
				pad += gap + columnGap
			case c.Kind.left():
				w.out.WriteString(strings.Repeat(" ", pad) + w.paint(code, s))
				pad = gap + columnGap
			default:
				w.out.WriteString(strings.Repeat(" ", pad+gap) + w.paint(code, s))
				pad = columnGap
			}
		}
		w.out.WriteByte('\n')
	}
	row := func(code string, of func(laid) printed) {
		line(code, func(c laid) string { return of(c).value })
		if slices.ContainsFunc(columns, func(c laid) bool { return of(c).under != "" }) {
			line(dim, func(c laid) string { return of(c).under })
		}
	}
	row(bold, func(c laid) printed { return c.head })
	w.out.WriteString(strings.Repeat("─", rule) + "\n")
	for i := range columns[0].cells {
		row("", func(c laid) printed { return c.cells[i] })
	}
}
