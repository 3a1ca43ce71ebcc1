package report

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/harness/power/powertest"
	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/compare"
	"github.com/perwatt/perwatt/results/economics"
	"github.com/perwatt/perwatt/results/report/table"
	"github.com/perwatt/perwatt/results/resultstest"
)

//go:embed testdata/audit.js
var audit string

//go:embed testdata/axe/axe.min.js
var axeJS string

// market is four candidates of five sessions, of which one has a meter and a
// processor of its own.
func market() (records []*results.Record) {
	for i, n := range []resultstest.Node{resultstest.Server("north", 1), resultstest.Server("south", 1.031), resultstest.Server("west", 0.9), resultstest.Server("east", 1.004)} {
		if n.Name == "west" {
			n.Meter, n.CPU = "pdu-west.example", "Intel Xeon Platinum 8380"
			n.Watts = map[string]float64{"mining": 301, "training-mlp": 283, "compute": 298, "mullet": 300}
		}
		for s := range 5 {
			records = append(records, resultstest.Session(n, s, 6, uint64(i+1)))
		}
	}
	return records
}

// pageOf is the page on records, with the prices of the example sheet.
func pageOf(t testing.TB, records []*results.Record) Page {
	t.Helper()
	c, err := compare.New(t.Context(), records, nil, compare.Options{Seed: 1})
	require.NoError(t, err)
	on := time.Date(2026, 9, 20, 0, 0, 0, 0, time.UTC)
	prices, err := economics.Parse(strings.NewReader(economics.Example()), on)
	require.NoError(t, err)
	earned := economics.Evaluate(economics.Candidates(c), *prices, on)
	return Page{Comparison: c, Records: records, Command: "perwatt report *.json -o report.html", Tool: "perwatt test", Economics: &earned}
}

func rendered(t testing.TB, p Page) []byte {
	t.Helper()
	var out bytes.Buffer
	require.NoError(t, WriteHTML(&out, p))
	return out.Bytes()
}

// tab shows one page at a time and keeps whatever is wrong with it: what the
// browser says, a dialog, a request that is not the page's own.
type tab struct {
	testing.TB
	ctx context.Context
	url string

	mu     sync.Mutex
	faults []string
}

func newTab(t testing.TB) *tab {
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(powertest.Peer(t, "chromium", "chromium")), chromedp.DisableGPU)
	if os.Getuid() == 0 { // it refuses root otherwise
		opts = append(opts, chromedp.NoSandbox)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, opts...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	b := &tab{TB: t, ctx: ctx}
	require.NoError(t, chromedp.Do(ctx))
	require.NoError(t, chromedp.Listen(ctx, b.heard))
	return b
}

func (b *tab) heard(ev any) {
	fault := ""
	switch e := ev.(type) {
	case *log.EventEntryAdded: // a violation of the policy among them
		if e.Entry.Level == log.EntryLevelError {
			fault = fmt.Sprintf("%s: %s", e.Entry.Source, e.Entry.Text)
		}
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeAssert {
			fault = fmt.Sprintf("console: %s", e.Args[0].Value)
		}
	case *runtime.EventExceptionThrown:
		fault = "exception: " + e.ExceptionDetails.Text
	case *network.EventRequestWillBeSent:
		if e.Request.URL != b.url {
			fault = "request: " + e.Request.URL
		}
	case *cdppage.EventJavascriptDialogOpening:
		fault = "dialog: " + e.Message
		go chromedp.Call(b.ctx, cdppage.HandleJavaScriptDialog, cdppage.HandleJavaScriptDialogParams{}) // the page stands still until then
	}
	if fault != "" {
		b.mu.Lock()
		b.faults = append(b.faults, fault)
		b.mu.Unlock()
	}
}

// taken is what was wrong since the last call.
func (b *tab) taken() (faults []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	faults, b.faults = b.faults, nil
	return faults
}

// do fails the test if a step fails.
func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.Helper()
	require.NoError(b, chromedp.Do(b.ctx, steps...))
}

// show opens a page that lies in a file, as a reader does.
func (b *tab) show(page []byte) {
	b.Helper()
	file := filepath.Join(b.TempDir(), "report.html")
	require.NoError(b, os.WriteFile(file, page, 0o644))
	b.url = "file://" + file
	b.do(chromedp.Navigate(b.url))
}

// a4 is how wide the browser lays out a sheet of A4, in pixels of 1/96 inch.
const a4 = 718

// look makes the window so wide, in a scheme of light or dark, or as a sheet is printed.
func (b *tab) look(width int64, scheme string) {
	b.Helper()
	b.do(chromedp.EmulateViewport(width, 900))
	media := ""
	if scheme == "print" {
		media, scheme = scheme, "dark" // which print must not follow
	}
	_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Media: media, Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
	require.NoError(b, err)
}

func (b *tab) scripts(on bool) {
	b.Helper()
	_, err := chromedp.Call(b.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !on})
	require.NoError(b, err)
}

// asked evaluates an expression in the page, and waits for what it promises.
func asked[T any](b *tab, expression string) T {
	b.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	require.NoError(b, err, expression)
	return v
}

// axe runs axe-core, all its rules but contrast: that is audited in drawings as well.
var axe = axeJS + `;
axe.run(document, {preload: false, resultTypes: ['violations'], rules: {'color-contrast': {enabled: false}}}).then(r => r.violations.flatMap(v => v.nodes.map(n => v.id + ': ' + n.html.slice(0, 160))))`

// machines are so many candidates of one session, of different speeds and processors.
func machines(n int) []*results.Record {
	nodes := make([]resultstest.Node, n)
	for i := range nodes {
		nodes[i] = resultstest.Server(fmt.Sprintf("server-%02d", i+1), 1+0.01*float64(i))
		nodes[i].CPU = fmt.Sprintf("AMD EPYC 7%d43 32-Core Processor", i%7)
	}
	return sessionsOf(1, nodes...)
}

func unpriced(p Page) Page {
	p.Economics = nil
	return p
}

type audited struct {
	Texts  int      `json:"texts"`
	Faults []string `json:"faults"`
}

// TestBrowser holds the page to what a reader's browser makes of it.
func TestBrowser(t *testing.T) {
	if testing.Short() {
		t.Skip("a browser has no races of ours: make test runs it")
	}
	b := newTab(t)
	page := rendered(t, pageOf(t, market()))
	dir := os.Getenv("PERWATT_WRITE_PAGES") // to look at
	if dir != "" {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "market.html"), page, 0o644))
	}

	t.Run("the audit sees", func(t *testing.T) {
		b.look(1440, "light")
		b.show([]byte(`<!DOCTYPE html><html lang="en"><head><meta http-equiv="Content-Security-Policy" content="script-src 'sha256-eA=='"></head>
			<body id="x" style="background:#777"><h1>a</h1><h3 id="x">b</h3><p style="color:#888;width:5000px">grey</p><a href="#nowhere"></a>
			<div style="overflow:hidden;width:20px;white-space:nowrap">cut off</div><div style="overflow-x:auto;width:50px"><p style="width:90px">side</p></div><input><button></button>
			<main><table><tr><td class="k"><p style="width:30px;overflow-wrap:normal">2026-09-14</p></td><td class="k" style="display:block;width:40px">gpu-node</td></tr></table></main>
			<svg aria-hidden="true" viewBox="0 0 50 20" width="50" height="20"><text x="40" y="15">beyond</text></svg>
			<svg role="img" viewBox="0 0 100 20"><rect width="100" height="20" fill="#fff"/><text y="15" fill="#ccc">pale</text></svg>
			<script>1</script><img src="http://127.0.0.1:9/x.png" alt=""></body></html>`))
		asked[int](b, `console.error('said'), setTimeout(() => { alert('stop'); throw new Error('thrown') }), 1`)
		require.Eventually(t, func() bool { b.mu.Lock(); defer b.mu.Unlock(); return len(b.faults) >= 6 }, 10*time.Second, 50*time.Millisecond)
		heard := strings.Join(b.taken(), "\n")
		for _, want := range []string{"security: ", "Content Security Policy", "request: http://127.0.0.1:9/x.png", `console: "said"`, "dialog: stop", "exception: "} {
			require.Contains(t, heard, want)
		}
		found := strings.Join(asked[audited](b, audit).Faults, "\n")
		for _, want := range []string{"px wide", "not unique", "out of order", "leads nowhere", "no name and description", `contrast 1.26: <p`, `contrast 1.61: <text`,
			`clipped: <div id="" class=""> cut off`, `clipped: <text id="" class=""> beyond`, "90 px scroll sideways in 50", "the date 2026-09-14 is broken", `the name is broken: <td id="" class="k"> gpu-node`,
		} {
			require.Contains(t, found, want)
		}
		found = strings.Join(asked[[]string](b, axe), "\n")
		for _, want := range []string{"label: <input>", "button-name: <button>", "link-name: <a"} {
			require.Contains(t, found, want)
		}
		b.taken() // what came of the dead request
	})

	// What is wider at 1024 px than the page would be so at 1440 as well, and 768 lays
	// out as 390 does, with longer lines. Contrast hangs on the scheme and on the kinds
	// of things on a page, not on how many there are.
	pages := map[string][]byte{
		"1": rendered(t, pageOf(t, market()[:1])), "3": rendered(t, pageOf(t, threeKinds())), "4": page,
		"10": rendered(t, pageOf(t, machines(10))), "60": rendered(t, unpriced(pageOf(t, machines(60)))),
	}
	for _, at := range []struct {
		page   string
		width  int64
		scheme string
		axe    bool
	}{
		{"1", 1024, "light", false}, {"1", 390, "light", true},
		{"3", 1440, "light", true}, {"3", 1024, "dark", false}, {"3", 768, "light", false}, {"3", 390, "light", true}, {"3", 390, "dark", false}, {"3", a4, "print", false},
		{"4", 1440, "dark", false},
		{"10", 1024, "light", false}, {"10", 390, "light", false}, {"10", a4, "print", false},
		{"60", 1024, "light", false}, {"60", 390, "light", false},
	} {
		t.Run(fmt.Sprintf("%s candidates at %d, %s", at.page, at.width, at.scheme), func(t *testing.T) {
			b.look(at.width, at.scheme)
			b.show(pages[at.page])
			got := asked[audited](b, audit)
			require.Empty(t, got.Faults)
			require.Greater(t, got.Texts, 200, "the audit must have read the page")
			if at.axe {
				require.Empty(t, asked[[]string](b, axe))
			}
			require.Empty(t, b.taken())
		})
	}

	for name, records := range map[string][]*results.Record{"winner": clearWinner(), "nothing": nothingToRank(), "kinds": threeKinds()} {
		t.Run("first screen, "+name, func(t *testing.T) {
			b.do(chromedp.EmulateViewport(390, 844))
			b.show(rendered(t, pageOf(t, records)))
			const bottom = `document.querySelector(%q).getBoundingClientRect().bottom`
			require.Less(t, asked[float64](b, fmt.Sprintf(bottom, "#verdict")), 600., "there is room for the machines")
			require.Less(t, asked[float64](b, fmt.Sprintf(bottom, "#systems-0 tbody tr")), 844., "the first machine is seen whole on a phone")
			b.look(1440, "light")
			require.Contains(t, asked[[]string](b, `[...document.querySelectorAll('#systems-0 th')].map(th => th.innerText)`), "price")
			candidate := asked[string](b, `document.querySelector('#systems-0 td.key a').textContent`)
			b.do(chromedp.Click(chromedp.CSS("#systems-0 td.key a")))
			require.Eventually(t, func() bool { return asked[bool](b, `document.querySelector('.at') !== null`) }, 20*time.Second, 20*time.Millisecond) // the browser follows a link in a task of its own
			require.Equal(t, "#candidate/"+candidate, asked[string](b, `location.hash`))
			require.Equal(t, candidate, asked[string](b, `document.querySelector('.at').firstChild.textContent`))
			require.False(t, asked[bool](b, `document.querySelector('dialog.explain[open]') !== null`), "a machine is not a figure")
			require.Empty(t, b.taken())
		})
	}

	for _, all := range []bool{true, false} {
		t.Run(fmt.Sprintf("hostile, all %v", all), func(t *testing.T) {
			b.look(390, "dark")
			b.show(rendered(t, pageOf(t, spoilt(t, all, resultstest.Hostile+strings.Repeat("W", 200)))))
			require.Empty(t, asked[audited](b, audit).Faults)
			require.Empty(t, b.taken())
		})
	}

	const unfold = `document.querySelectorAll('details.block, section > details').forEach(d => d.open = true), 0`
	b.look(1440, "light")
	const text = `[...document.querySelectorAll('header, h2, .lead, table')].map(e => e.textContent.replace(/\s+/g, ' '))`
	t.Run("without a script", func(t *testing.T) {
		b.show(page)
		const heights = `[...document.querySelectorAll('main table')].map(t => t.getBoundingClientRect().height)`
		with, high := asked[[]string](b, text), asked[[]float64](b, heights)
		b.scripts(false)
		defer b.scripts(true)
		b.show(page)
		require.Equal(t, with, asked[[]string](b, text))
		require.Equal(t, high, asked[[]float64](b, heights), "no table moves when the script has run")
		require.Zero(t, asked[int](b, `document.querySelectorAll('th button').length`), "the script must have been off")
		const unfolded = `[...document.querySelectorAll('#use-1-0 .rest, #use-1-0 td:not(.top)')].filter(e => e.checkVisibility()).length`
		b.look(390, "light")
		asked[int](b, unfold)
		require.Zero(t, asked[int](b, unfolded))
		b.do(chromedp.Click(chromedp.CSS("#use-1-0 .more summary")))
		require.Greater(t, asked[int](b, unfolded), 3, "a card unfolds without a script")
		b.look(1440, "light")
		require.Empty(t, b.taken())
	})

	t.Run("sorting", func(t *testing.T) {
		b.show(page)
		asked[int](b, unfold)
		heads := asked[[]string](b, `[...document.querySelectorAll('#use-1-0 thead th')].map(th => th.textContent)`)
		keys := func(i int) (out []float64) {
			for _, k := range asked[[]string](b, fmt.Sprintf(`[...document.querySelectorAll('#use-1-0 tbody tr:not(.rest)')].map(tr => tr.cells[%d].dataset.sort ?? '')`, i)) {
				v, err := strconv.ParseFloat(k, 64)
				require.NoError(t, err)
				out = append(out, v)
			}
			return out
		}
		numbers := 0
		for i, head := range heads {
			at := fmt.Sprintf("#use-1-0 th:nth-child(%d)", i+1)
			for _, want := range []string{"ascending", "descending", "ascending"} {
				b.do(chromedp.Click(chromedp.CSS(at + " button")))
				require.Equal(t, []string{want}, asked[[]string](b, `[...document.querySelectorAll('#use-1-0 th[aria-sort]')].map(th => th.ariaSort)`), head)
				if asked[bool](b, fmt.Sprintf(`document.querySelector(%q).classList.contains('num')`, at)) {
					got, sorted := keys(i), slices.Sorted(slices.Values(keys(i)))
					if want == "descending" {
						slices.Reverse(sorted)
					}
					require.Equal(t, sorted, got, head)
					numbers++
				}
			}
		}
		require.GreaterOrEqual(t, numbers, 3*4)
		require.Empty(t, b.taken())
	})

	for _, width := range []int64{1440, 390} {
		t.Run(fmt.Sprintf("filtering at %d", width), func(t *testing.T) {
			b.look(width, "light")
			b.show(page)
			asked[int](b, unfold)
			const shown = `[...document.querySelectorAll('#use-1-0 tbody tr, #use-2-0 tbody tr, #records-table tbody tr')].filter(tr => tr.checkVisibility() && !tr.matches('.rest')).map(tr => tr.querySelector('td.key').firstChild.data)`
			require.Len(t, asked[[]string](b, shown), 4+4+20)
			require.Greater(t, asked[float64](b, `document.querySelector('#use-1-0 th:nth-child(2) button').focus(), document.querySelector('#use-1-0 thead').offsetHeight`), 10., "the head that has the focus is seen")
			b.do(chromedp.SendKeys(chromedp.CSS("#filter"), "SOUTH"))
			left := slices.Compact(asked[[]string](b, shown))
			require.Equal(t, []string{"south"}, left)
			require.Greater(t, asked[int](b, `[...document.querySelectorAll('#differences tbody tr')].filter(tr => tr.checkVisibility()).length`), 0, "what is not of one candidate stays")
			require.Empty(t, b.taken())
		})
	}

	t.Run("printed, three candidates", func(t *testing.T) {
		b.look(1440, "light")
		b.show(pages["3"])
		text := printedText(t, b)
		require.Contains(t, text, "perwatt explain FIGURE")
		sheets := strings.Count(text, "\f")
		t.Logf("%d pages of A4", sheets)
		require.Greater(t, sheets, 2)
		require.Less(t, sheets, 12)
		require.Empty(t, b.taken())
	})

	for _, script := range []bool{true, false} {
		t.Run(fmt.Sprintf("printed, script %v", script), func(t *testing.T) {
			b.look(1440, "dark")
			b.scripts(script)
			defer b.scripts(true)
			b.show(page)
			text := printedText(t, b)
			require.Greater(t, strings.Count(text, "\f"), 1, "pages")
			text = strings.Join(strings.Fields(text), " ") // where lines break is the printer's affair
			for _, want := range []string{"north", "south", "west", "east", "perwatt explain FIGURE", "perwatt verify --rules publish FILE"} {
				require.Contains(t, text, want)
			}
			for _, folded := range []string{"in quadrature", "sampled every 1 s"} {
				require.NotContains(t, text, folded)
			}
			require.NotContains(t, text, "Show each candidate that contains")
			require.Empty(t, b.taken())
		})
	}
}

// TestPrintedTable: of a table that is longer and wider than a sheet every figure is printed.
func TestPrintedTable(t *testing.T) {
	if testing.Short() {
		t.Skip("a browser has no races of ours: make test runs it")
	}
	const rows, columns = 90, 14
	long := table.Table{ID: "long", Columns: []table.Column{{Head: "the head", Kind: table.Name}}}
	for c := range columns {
		long.Columns = append(long.Columns, table.Column{Head: fmt.Sprint("column ", c)})
	}
	for r := range rows {
		line := []table.Cell{text(fmt.Sprint("row-", r))}
		for c := range columns {
			line = append(line, table.Number{Value: 1, Print: fmt.Sprintf("%d.%d", 1000+r, c), Under: "[1.2345, 2.3456]"})
		}
		long.Row(line...)
	}
	var page bytes.Buffer
	require.NoError(t, view{Title: "t", Sections: []section{sectionOf("s", "s", "", block{Table: long})}}.write(&page))
	b := newTab(t)
	b.show(page.Bytes())
	sheets := strings.Split(strings.TrimRight(printedText(t, b), "\f"), "\f")
	require.Greater(t, len(sheets), 2)
	all := strings.Join(sheets, " ")
	for r := range rows {
		for c := range columns {
			require.Contains(t, all, fmt.Sprintf("%d.%d", 1000+r, c))
		}
	}
	require.NotContains(t, all, "more", "nothing to press is printed")
}

// printedText is the text of the PDF that the browser prints, one \f a page.
func printedText(t *testing.T, b *tab) string {
	t.Helper()
	pdftotext := powertest.Peer(t, "pdftotext", "poppler-utils")
	pdf, err := chromedp.Run(b.ctx, chromedp.PrintToPDF(chromedp.PDFPaper(chromedp.PaperA4)))
	require.NoError(t, err)
	cmd := exec.Command(pdftotext, "-layout", "-", "-")
	cmd.Stdin = bytes.NewReader(pdf)
	text, err := cmd.Output()
	require.NoError(t, err)
	return string(text)
}
