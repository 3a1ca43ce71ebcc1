package report

import (
	"io"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/report/table"
)

// WriteNotice writes a page that says why there is nothing else on it, and what to do.
func WriteNotice(w io.Writer, title, why, tool string, links []Link) error {
	return view{Title: title, Headline: results.Line(why, 5*table.TextLimit), Links: links, Foot: []string{results.Line(tool, 120)}}.write(w)
}
