package table

import (
	"bytes"
	"io"
	"strings"

	"github.com/perwatt/perwatt/results"
)

// writeMarkdown writes a page in GitHub's Markdown.
func (p *Page) writeMarkdown(w io.Writer) error {
	var out bytes.Buffer
	segments := p.segments()
	for i, s := range segments {
		if s = escaped(s); i == 0 || i == len(segments)-1 && !p.Whole {
			s = "**" + s + "**"
		}
		segments[i] = s
	}
	out.WriteString(strings.Join(segments, " · ") + "\n")
	for i := range p.Tables {
		p.Tables[i].markdown(&out)
	}
	out.WriteByte('\n')
	for i, f := range p.Foot {
		if i > 0 {
			out.WriteString("<br>\n")
		}
		out.WriteString(escaped(results.Printable(f)))
	}
	out.WriteByte('\n')
	_, err := w.Write(out.Bytes())
	return err
}

func (t *Table) markdown(out *bytes.Buffer) {
	if t.Title != "" {
		out.WriteString("\n**" + escaped(results.Line(t.Title, TextLimit)) + "**\n")
	}
	columns, notes := t.layout()
	row := func(at func(laid) string) {
		for _, c := range columns {
			out.WriteString("| " + at(c) + " ")
		}
		out.WriteString("|\n")
	}
	if len(columns) > 0 {
		out.WriteByte('\n')
		row(func(c laid) string { return escaped(joined(" · ", c.head.value, c.head.under)) })
		row(func(c laid) string {
			if c.Kind.left() {
				return ":--"
			}
			return "--:"
		})
	}
	for i := range t.Rows {
		row(func(c laid) string {
			if c.Kind.left() {
				return escaped(joined(" · ", c.cells[i].value, c.cells[i].under))
			}
			return escaped(joined(" ", c.cells[i].value, c.cells[i].under))
		})
	}
	items := t.items()
	if len(notes)+len(items) > 0 {
		out.WriteByte('\n')
	}
	for _, n := range notes {
		out.WriteString("- " + escaped(n) + "\n")
	}
	for _, it := range items {
		out.WriteString("- **" + escaped(it.About) + "** " + escaped(it.Text) + "\n")
	}
}

// escaped escapes text so that GitHub shows it as it is: it ends no table cell and
// begins no code span, emphasis, strike-through, link, mention, formula or tag.
var escaped = strings.NewReplacer(
	"&", "&amp;", "<", "&lt;", ">", "&gt;", "@", "&#64;",
	`\`, `\\`, "`", "\\`", "|", `\|`, "*", `\*`, "_", `\_`, "~", `\~`, "](", `]\(`, "#", `\#`, "!", `\!`, "$", `\$`, "://", `\://`, "www.", `www\.`,
).Replace
