package report

import (
	"bytes"
	"strings"
)

func writeMarkdown(out *bytes.Buffer, p *page) {
	state := escaped(p.state)
	if !p.whole {
		state = "**" + state + "**"
	}
	var title []string
	for i, s := range p.title {
		if s = escaped(s); i == 0 {
			s = "**" + s + "**"
		}
		title = append(title, s)
	}
	out.WriteString(strings.Join(append(title, state), " · ") + "\n")
	for _, part := range p.parts {
		if part.title != "" {
			out.WriteString("\n**" + escaped(part.title) + "**\n")
		}
		if len(part.columns) > 0 {
			out.WriteByte('\n')
			markdownTable(out, part.columns)
		}
		if len(part.notes)+len(part.items) > 0 {
			out.WriteByte('\n')
		}
		for _, n := range part.notes {
			out.WriteString("- " + escaped(n) + "\n")
		}
		for _, it := range part.items {
			out.WriteString("- **" + escaped(it.about) + "** " + escaped(it.text) + "\n")
		}
	}
	out.WriteByte('\n')
	for i, f := range p.foot {
		if i > 0 {
			out.WriteString("<br>\n")
		}
		out.WriteString(escaped(f))
	}
	out.WriteByte('\n')
}

func markdownTable(out *bytes.Buffer, columns []column) {
	row := func(at func(column) string) {
		for _, c := range columns {
			out.WriteString("| " + at(c) + " ")
		}
		out.WriteString("|\n")
	}
	row(func(c column) string { return c.inline(c.head) })
	row(func(c column) string {
		if c.kind == name || c.kind == source {
			return ":--"
		}
		return "--:"
	})
	for i := range columns[0].cells {
		row(func(c column) string { return c.inline(c.cells[i]) })
	}
}

// inline puts a cell on one line.
func (c column) inline(x cell) string {
	sep := " "
	if c.kind == name || c.kind == source || x == c.head {
		sep = " · "
	}
	if x.value == "" || x.under == "" {
		sep = ""
	}
	return escaped(x.value + sep + x.under)
}

// escaped writes text that GitHub shows as it is: no table cell ends, no code
// span, emphasis, strike-through, link, mention, formula or tag begins.
var escaped = strings.NewReplacer(
	"&", "&amp;", "<", "&lt;", ">", "&gt;", "@", "&#64;",
	`\`, `\\`, "`", "\\`", "|", `\|`, "*", `\*`, "_", `\_`, "~", `\~`, "](", `]\(`, "#", `\#`, "!", `\!`, "$", `\$`, "://", `\://`, "www.", `www\.`,
).Replace
