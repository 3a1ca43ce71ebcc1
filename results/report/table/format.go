package table

import "io"

// Format names a printed form.
type Format string

// The formats of a page.
const (
	TextFormat     Format = "text"
	MarkdownFormat Format = "markdown" // GitHub's
)

// Terminal is where text is shown. The other formats do not depend on it.
type Terminal struct {
	Width int // columns; 0 means 120
	Color bool
}

// pages lists the writers of pages. A new format is a writer and a line here.
var pages = []struct {
	Format
	write func(*Page, io.Writer, Terminal) error
}{
	{TextFormat, func(p *Page, w io.Writer, at Terminal) error { return p.WriteText(w, at.Width, at.Color) }},
	{MarkdownFormat, func(p *Page, w io.Writer, _ Terminal) error { return p.writeMarkdown(w) }},
}

// Formats lists the formats in which every page can be written.
func Formats() (out []Format) {
	for _, p := range pages {
		out = append(out, p.Format)
	}
	return out
}

// Write writes the page in one of [Formats]. known is false, and nothing is
// written, for any other.
func (p *Page) Write(w io.Writer, format Format, at Terminal) (known bool, err error) {
	for _, f := range pages {
		if f.Format == format {
			return true, f.write(p, w, at)
		}
	}
	return false, nil
}
