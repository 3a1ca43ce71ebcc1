package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results/resultstest"
)

// explainedBy are the explanations that a page holds: lines by figure.
func explainedBy(t *testing.T, page []byte) map[string][][2]string {
	t.Helper()
	_, after, ok := bytes.Cut(page, []byte(`id="explained">`))
	require.True(t, ok)
	raw, _, _ := bytes.Cut(after, []byte("</script>"))
	var data struct {
		Lines [][2]string
		Texts [][]int
		Of    map[string]map[string]int
	}
	require.NoError(t, json.Unmarshal(raw, &data))
	out := map[string][][2]string{}
	for of, figures := range data.Of {
		for name, at := range figures {
			for _, i := range data.Texts[at] {
				out[of+name] = append(out[of+name], data.Lines[i])
			}
		}
	}
	return out
}

// TestExplainedAsByTheCommand: the panel of a figure says what perwatt explain says.
func TestExplainedAsByTheCommand(t *testing.T) {
	records := append(sessionsOf(3, resultstest.Server("north", 1), resultstest.Server("south", 1.1)), sessionsOf(14, resultstest.CardServer("many", 1))...)
	p := pageOf(t, records)
	page := rendered(t, p)
	seen := 0
	for id, lines := range explainedBy(t, page) {
		var out bytes.Buffer
		if strings.HasPrefix(id, "economics/") {
			ok, err := WriteEconomicsExplanation(&out, p.Economics, id, Options{Width: 4000})
			require.True(t, ok && err == nil, id)
		} else {
			e, err := p.Comparison.Explain(id)
			require.NoError(t, err)
			require.NoError(t, WriteExplanation(&out, e, Options{Width: 4000}))
		}
		require.NotEmpty(t, lines, id)
		for _, l := range lines {
			require.Contains(t, out.String(), l[0], id)
			require.Contains(t, out.String(), l[1], id)
		}
		seen++
	}
	require.Greater(t, seen, 100)
	require.Contains(t, string(page), "2 more", "records of 14")

	var all []string
	for id := range p.explanations() {
		all = append(all, id)
	}
	require.Equal(t, all[0], p.Comparison.Figures()[0], "the measured figures come first")
	require.Less(t, len(explained(pageOf(t, sessionsOf(1, crowd(60)...)))), explainedMost+explainedMost/10)
}

// crowd are servers that differ a little.
func crowd(n int) (nodes []resultstest.Node) {
	for i := range n {
		nodes = append(nodes, resultstest.Server(fmt.Sprintf("node-%02d", i), 1+float64(i)/100))
	}
	return nodes
}

// TestPermalinks: a figure is a link to itself that says where it comes from, by
// mouse and by keyboard, and whatever stands in the address does no harm.
func TestPermalinks(t *testing.T) {
	if testing.Short() {
		t.Skip("a browser has no races of ours: make test runs it")
	}
	b := newTab(t)
	page := rendered(t, pageOf(t, append(clearWinner()[:10], sessionsOf(3, resultstest.Server(resultstest.Hostile+" & co/x", 0.9))...)))
	b.look(1440, "light")
	b.show(page)
	at := func() string {
		return asked[string](b, `document.querySelectorAll('.at').length > 1 ? 'several' : document.querySelector('.at')?.dataset.figure ?? ''`)
	}
	open := func() bool { return asked[bool](b, `document.querySelector('dialog.explain')?.open ?? false`) }
	visit := func(fragment string) {
		// Navigation within a page is followed in a task of its own.
		asked[bool](b, fmt.Sprintf(`new Promise(done => { const had = location.hash; location.hash = %q; location.hash === had ? done(true) : addEventListener('hashchange', () => setTimeout(done, 0, true), {once: true}); })`, fragment))
	}

	ids := asked[[]string](b, `[...new Set([...document.querySelectorAll('main [data-figure]')].map(e => e.dataset.figure))]`)
	lines := explainedBy(t, page)
	require.Greater(t, len(ids), 100)
	known := 0
	for i, id := range ids {
		if _, ok := lines[id]; ok {
			known++
		}
		if i%9 != 0 && !strings.Contains(id, "co/x") {
			continue
		}
		visit(url.PathEscape(id))
		require.Equal(t, id, at())
		require.True(t, open())
		require.True(t, asked[bool](b, `(b => b.height > 0 && b.top >= 0 && b.bottom <= innerHeight)(document.querySelector('.at').getBoundingClientRect())`), "%s is on the screen", id)
		said := asked[string](b, `document.querySelector('dialog.explain').innerText`)
		require.Contains(t, said, id)
		for _, l := range lines[id] {
			require.Contains(t, strings.Join(strings.Fields(said), " "), strings.Join(strings.Fields(l[1]), " "))
		}
	}
	require.Greater(t, known, len(ids)/2)

	// By keyboard alone: to the figure, into the panel, and back.
	const link = `[...document.querySelectorAll('main [data-figure] a.figure')].find(a => a.checkVisibility())`
	first := asked[string](b, link+`.closest('[data-figure]').dataset.figure`)
	visit("")
	b.do(chromedp.KeyEvent(kb.Escape))
	asked[bool](b, `(`+link+`.focus({preventScroll: true}), true)`)
	b.do(chromedp.KeyEvent(kb.Enter))
	settle := func(done string) { // the browser follows a link in a task of its own
		require.Eventually(t, func() bool { return asked[bool](b, done) }, 20*time.Second, 20*time.Millisecond, done)
	}
	settle(`document.querySelector('.at') !== null`)
	require.Equal(t, first, at())
	require.True(t, open())
	require.True(t, asked[bool](b, `document.activeElement.matches('dialog.explain')`))
	b.do(chromedp.KeyEvent(kb.Tab))
	require.Equal(t, "Close", asked[string](b, `document.activeElement.textContent`))
	b.do(chromedp.KeyEvent(kb.Escape))
	require.False(t, open())
	require.True(t, asked[bool](b, `document.activeElement === `+link), "the focus returns")
	require.Empty(t, at())

	// What follows an & stays.
	visit("what=power_price:62")
	asked[bool](b, `(`+link+`.click(), true)`)
	settle(`document.querySelector('.at') !== null`)
	require.True(t, strings.HasSuffix(asked[string](b, `location.hash`), "&what=power_price:62"))
	require.Equal(t, first, at())
	asked[bool](b, `(document.querySelector('nav[aria-label=Sections] a').click(), true)`)
	settle(`document.querySelector('.at') === null`)
	require.True(t, strings.HasSuffix(asked[string](b, `location.hash`), "&what=power_price:62"))
	b.do(chromedp.KeyEvent(kb.Escape))

	record := clearWinner()[0].ID
	visit("record/" + record)
	require.False(t, open())
	require.Equal(t, "record/"+record, asked[string](b, `document.querySelector('.at').dataset.at`))

	for _, hostile := range []string{"<img src=x onerror=alert(1)>", "%E0%A4%A", "__proto__", "constructor", "what=__proto__:1", "&&&", strings.Repeat("W", 1e5), "north/mining/mining/none", "%00", "javascript:alert(1)"} {
		visit(hostile)
		require.False(t, open(), "%.40s", hostile)
		require.Empty(t, at(), "%.40s", hostile)
	}
	require.Empty(t, b.taken())
}
