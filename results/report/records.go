package report

import (
	"fmt"
	"io"
	"time"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/report/table"
)

const recordsFile = "records.html"

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
	t := table.Table{ID: "records", Columns: table.Named("record", "start (UTC)", "node", "group", "revision", "state", "labels"), Notes: l.Notes}
	for _, r := range l.Rows {
		id := table.Text{Text: results.Line(r.ID, 40), Href: r.Href}
		if r.Href != "" {
			id.Choice = id.Text
		}
		t.Row(id, table.Time(r.Start), text(results.Line(r.Node, 60)), text(results.Line(r.Group, 80)), text(results.Line(r.Revision, table.NameLimit)), text(r.State), text(r.Labels))
	}
	s := sectionOf("list", "Choose candidates", "", block{Table: t})
	headline, filter := fmt.Sprintf("%s, the newest first.", results.Plural(len(l.Rows), "record")), "node"
	if len(l.Rows) < 2 {
		filter = ""
	}
	if len(l.Rows) == 0 {
		headline = "No record is in the list."
		s.Lead = []string{"perwatt run --store DIR measures this machine and adds a record to the store. Are older ones missing? Ask for an earlier day, as below."}
	} else {
		s.Lead = []string{"Tick the sessions of the candidates to compare, or follow one to its page."}
		s.Action, s.Button = l.Action, "Compare what is ticked"
	}
	return view{
		Kind: "Records", Title: "Which records are there?", Headline: headline, Links: here(l.Links, Link{Text: "Records", Href: recordsFile}), Filter: filter,
		Sections: []section{s}, Foot: []string{results.Line(l.Tool, 120)},
	}.write(w)
}
