package table

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
)

// wide is a table of so many figures between a name and a verdict.
func wide(figures int) Table {
	t := Table{Columns: []Column{{Head: "place", Kind: Name, Weight: -1}, {Head: "candidate", Kind: Name}}}
	row := []Cell{Whole(1), Text{Text: "node-1", Under: "avx2"}}
	for i := range figures {
		t.Columns = append(t.Columns, Column{Head: fmt.Sprint("figure ", i)})
		row = append(row, of(12345+float64(i), 1, "hash/J", ""))
	}
	t.Columns = append(t.Columns, Column{Head: "index", Weight: 2, With: true}, Column{Head: "verdict", Kind: Words, Weight: 2})
	t.Row(append(row, of(1.12, 0.01, results.Ratio, ""), Text{Text: "better"})...)
	return t
}

// Where not all columns have room, the lightest stand below their row, each with its
// name; nothing is lost.
func TestColumnsGiveWay(t *testing.T) {
	heads := func(html string) (out []string) {
		for _, m := range regexp.MustCompile(`<th [^>]*>(.*?)(<|,)`).FindAllStringSubmatch(html, -1) {
			out = append(out, m[1])
		}
		return out
	}
	few := string((&Table{Columns: wide(2).Columns, Rows: wide(2).Rows}).HTML())
	require.Equal(t, []string{"place", "candidate", "figure 0", "figure 1", "index", "verdict"}, heads(few))
	require.NotContains(t, few, `class="rest"`)
	require.Contains(t, few, `<details class="more cards">`, "a card has three lines")

	many := string(wide(14).HTML())
	got := heads(many)
	require.Equal(t, "candidate figure 0 figure 1", strings.Join(got[:3], " "), "the place gave way first")
	require.Equal(t, "index verdict", strings.Join(got[len(got)-2:], " "))
	require.Less(t, len(got), 10)
	require.Contains(t, many, fmt.Sprintf(`<tr class="rest"><td colspan="%d"><dl>`, len(got)))
	require.Contains(t, many, `<details class="more"><summary aria-label="more of node-1">`)
	require.Contains(t, many, "<dt>place</dt>")
	for i := range 14 {
		require.Equal(t, 1, len(regexp.MustCompile(fmt.Sprintf(">figure %d[<,]", i)).FindAllString(many, -1)), i)
	}

	small := wide(0)
	small.Columns, small.Rows[0] = small.Columns[1:], small.Rows[0][1:]
	require.NotContains(t, string(small.HTML()), "<details", "there is nothing to unfold")
}

// A name, a date and a time stay on a line, and what is longer than a line does not
// widen a table.
func TestWholeWords(t *testing.T) {
	require.Equal(t, `since <span class="k">2026-09-14 08:30 UTC</span> &lt;b&gt; x-2026`, whole("since 2026-09-14 08:30 UTC <b> x-2026"))
	require.Equal(t, `<span class="k">2026-07-01</span> to <span class="k">2026-07-02</span>`, whole("2026-07-01 to 2026-07-02"))
	for text, want := range map[string]string{"gpu-node": "k", "gpu-node on 2 × NVIDIA H200": "k", "better": "", "2026-09-14 08:30": "k", strings.Repeat("a-b ", 20): "", strings.Repeat("W", wordWidth+1): "long"} {
		require.Equal(t, want, breaks(printed{value: text}, false), text)
	}
	require.Equal(t, "k", breaks(printed{value: "Antminer S19 XP"}, true))
	require.Equal(t, "long", breaks(printed{value: "a", under: strings.Repeat("W", 200)}, true))
	long := Table{Columns: Named("candidate", "fact")}
	long.Row(Text{Text: strings.Repeat("W", 200)}, Text{Text: "short"})
	require.Equal(t, 1, strings.Count(string(long.HTML()), `long"`))
}

// No column is wider than what is reckoned of it, whichever way its text breaks.
func TestSpan(t *testing.T) {
	for text, want := range map[string]int{"1234567890": 10, "[1.2, 3.4]": 8, "WWMM": 6, "": 0} {
		require.Equal(t, want, inDigits(text), text)
	}
	l := laid{Column: Column{Kind: Words}, cells: []printed{{value: strings.Repeat("word ", 40)}}}
	require.Equal(t, textWidth+padding, l.span(textWidth))
	l.cells = append(l.cells, printed{value: strings.Repeat("8", wordWidth)}, printed{value: strings.Repeat("8", 300)})
	require.Equal(t, wordWidth+padding, l.span(textWidth))
}

func TestUnbroken(t *testing.T) {
	require.Equal(t, `Best: <span class="k">server-09,</span> &lt;i&gt; and `+strings.Repeat("long-", 6)+"name", string(Unbroken("Best: server-09,  <i> and "+strings.Repeat("long-", 6)+"name")))
}
