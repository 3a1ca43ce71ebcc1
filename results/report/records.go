package report

import (
	"fmt"
	"io"
	"time"

	"github.com/perwatt/perwatt/results"
)

// RecordList is a page of records to choose from.
type RecordList struct {
	Rows   []RecordRow
	Notes  []string // about what is not in the list, and the store
	Action string   // address of the page that compares the chosen ones, asked with r=ID for each
	Tool   string
	Links  []Link
}

// RecordRow is one record. Href is where it is shown; without one it can
// neither be shown nor chosen.
type RecordRow struct {
	ID, Node, Group, Revision, State, Labels string
	Start                                    time.Time
	Href                                     string
}

// WriteRecords writes a page on which records are listed and chosen.
func WriteRecords(w io.Writer, l RecordList) error {
	t := &htmlTable{ID: "records"}
	for _, head := range []string{"record", "start (UTC)", "node", "group", "revision", "state", "labels"} {
		t.Cols = append(t.Cols, col{Head: head})
	}
	for _, r := range l.Rows {
		row := []td{{Text: results.Line(r.ID, 40), Href: r.Href}}
		if r.Href != "" {
			row[0].Choice = results.Line(r.ID, 40)
		}
		for _, text := range []string{r.Start.UTC().Format("2006-01-02 15:04"), results.Line(r.Node, 60), results.Line(r.Group, 80), results.Line(r.Revision, nameLimit), results.Line(r.State, textLimit), results.Line(r.Labels, textLimit)} {
			row = append(row, td{Text: text})
		}
		for i := range row {
			row[i].Label = t.Cols[i].Head
		}
		t.Rows = append(t.Rows, row)
	}
	b := block{Table: t}
	for _, n := range l.Notes {
		b.Notes = append(b.Notes, results.Line(n, textLimit))
	}
	s := section{ID: "list", Title: "Choose candidates", Blocks: []block{b}}
	if len(l.Rows) == 0 {
		b.Table = nil
		s.Blocks = []block{b}
	} else {
		s.Lead = []string{"Tick the sessions of the candidates to compare, or follow one to its page."}
		s.Action, s.Button = l.Action, "Compare what is ticked"
	}
	return view{
		Title: "Records", Headline: fmt.Sprintf("%s, the newest first.", plural(len(l.Rows), "record")), Links: l.Links, Filter: "node",
		Sections: []section{s}, Foot: []string{results.Line(l.Tool, 120)},
	}.write(w)
}
