package table

import (
	"fmt"
	"html/template"
	"slices"
	"strings"
)

// MostListed is how many rows of a table, or items of a list, HTML holds: a
// browser shows no more in time.
const MostListed = 5000

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
			out.WriteString("<dd>" + template.HTMLEscapeString(it.Text) + "</dd></div>")
		}
		out.WriteString("</dl>\n")
	}
	for _, n := range notes {
		out.WriteString(`<p class="note">` + template.HTMLEscapeString(n) + "</p>\n")
	}
	return template.HTML(out.String()) // #nosec G203 -- every text of it is escaped above
}

func (t Table) grid(out *strings.Builder, columns []laid) {
	class := func(c laid) string {
		switch {
		case c.Kind == source:
			return ` class="source"`
		case c.Kind.left():
			return ""
		}
		return ` class="num"`
	}
	attribute := func(name, value string) {
		if value != "" {
			out.WriteString(" " + name + `="` + template.HTMLEscapeString(value) + `"`)
		}
	}
	out.WriteString(`<div class="scroll"><table`)
	attribute("id", t.ID)
	out.WriteString("><thead><tr>")
	labels := make([]string, len(columns)) // of cells, where the heads are not seen
	for j, c := range columns {
		labels[j] = joined(", ", c.Head, c.unit)
		out.WriteString(`<th scope="col"` + class(c) + ">" + template.HTMLEscapeString(c.head.value))
		element(out, "small", c.head.under)
		out.WriteString("</th>")
	}
	out.WriteString("</tr></thead>\n<tbody>")
	for i := range t.Rows {
		out.WriteString("<tr>")
		for j, c := range columns {
			x := c.cells[i]
			out.WriteString("<td")
			attribute("data-label", labels[j])
			out.WriteString(class(c))
			attribute("data-sort", x.sort)
			if attribute("data-figure", x.id); x.id != "" {
				attribute("title", "perwatt explain "+x.id)
			}
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
				out.WriteString(">" + template.HTMLEscapeString(x.value) + "</a>")
			} else {
				out.WriteString(template.HTMLEscapeString(x.value))
			}
			out.WriteString(string(x.chart))
			element(out, "small", x.under)
			out.WriteString("</td>")
		}
		out.WriteString("</tr>\n")
	}
	out.WriteString("</tbody></table></div>\n")
}

func element(out *strings.Builder, name, text string) {
	if text != "" {
		out.WriteString("<" + name + ">" + template.HTMLEscapeString(text) + "</" + name + ">")
	}
}
