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
	"github.com/perwatt/perwatt/results/resultstest"
)

//go:embed testdata/audit.js
var audit string

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
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
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

// look makes the window so wide, in a scheme of light or dark.
func (b *tab) look(width int64, scheme string) {
	b.Helper()
	b.do(chromedp.EmulateViewport(width, 900))
	_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
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
		b.show([]byte(`<!DOCTYPE html><html lang="en"><head><meta http-equiv="Content-Security-Policy" content="script-src 'sha256-eA=='"></head>
			<body id="x" style="background:#777"><h1>a</h1><h3 id="x">b</h3><p style="color:#888;width:5000px">grey</p><a href="#nowhere"></a>
			<svg role="img" viewBox="0 0 100 20"><rect width="100" height="20" fill="#fff"/><text y="15" fill="#ccc">pale</text></svg>
			<script>1</script><img src="http://127.0.0.1:9/x.png" alt=""></body></html>`))
		asked[int](b, `console.error('said'), setTimeout(() => { alert('stop'); throw new Error('thrown') }), 1`)
		require.Eventually(t, func() bool { b.mu.Lock(); defer b.mu.Unlock(); return len(b.faults) >= 6 }, 10*time.Second, 50*time.Millisecond)
		heard := strings.Join(b.taken(), "\n")
		for _, want := range []string{"security: ", "Content Security Policy", "request: http://127.0.0.1:9/x.png", `console: "said"`, "dialog: stop", "exception: "} {
			require.Contains(t, heard, want)
		}
		found := strings.Join(asked[audited](b, audit).Faults, "\n")
		for _, want := range []string{"px wide", "not unique", "out of order", "leads nowhere", "no name and description", `contrast 1.26: <p`, `contrast 1.61: <text`} {
			require.Contains(t, found, want)
		}
		b.taken() // what came of the dead request
	})

	for _, width := range []int64{1440, 768, 390} {
		for _, scheme := range []string{"light", "dark"} {
			t.Run(fmt.Sprintf("%d-%s", width, scheme), func(t *testing.T) {
				b.look(width, scheme)
				b.show(page)
				got := asked[audited](b, audit)
				require.Empty(t, got.Faults)
				require.Greater(t, got.Texts, 2000, "the audit must have read the page")
				require.Empty(t, b.taken())
			})
		}
	}

	for _, all := range []bool{true, false} {
		t.Run(fmt.Sprintf("hostile, all %v", all), func(t *testing.T) {
			b.look(390, "dark")
			b.show(rendered(t, pageOf(t, spoilt(t, all, resultstest.Hostile+strings.Repeat("W", 200)))))
			require.Empty(t, asked[audited](b, audit).Faults)
			require.Empty(t, b.taken())
		})
	}

	b.look(1440, "light")
	const text = `[...document.querySelectorAll('table, main, header')].map(e => e.textContent.replace(/\s+/g, ' '))`
	t.Run("without a script", func(t *testing.T) {
		b.show(page)
		with := asked[[]string](b, text)
		b.scripts(false)
		defer b.scripts(true)
		b.show(page)
		require.Equal(t, with, asked[[]string](b, text))
		require.Zero(t, asked[int](b, `document.querySelectorAll('th button').length`), "the script must have been off")
		require.Empty(t, b.taken())
	})

	t.Run("sorting", func(t *testing.T) {
		b.show(page)
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
			const shown = `[...document.querySelectorAll('#use-1-0 tbody tr, #use-2-0 tbody tr, #records-table tbody tr')].filter(tr => tr.checkVisibility() && !tr.matches('.rest')).map(tr => tr.querySelector('td[data-label=candidate]').firstChild.data)`
			require.Len(t, asked[[]string](b, shown), 4+4+20)
			require.Greater(t, asked[float64](b, `document.querySelector('#use-1-0 th:nth-child(2) button').focus(), document.querySelector('#use-1-0 thead').offsetHeight`), 10., "the head that has the focus is seen")
			b.do(chromedp.SendKeys(chromedp.CSS("#filter"), "SOUTH"))
			left := slices.Compact(asked[[]string](b, shown))
			require.Equal(t, []string{"south"}, left)
			require.Greater(t, asked[int](b, `[...document.querySelectorAll('#differences tbody tr')].filter(tr => tr.checkVisibility()).length`), 0, "what is not of one candidate stays")
			require.Empty(t, b.taken())
		})
	}

	for _, script := range []bool{true, false} {
		t.Run(fmt.Sprintf("printed, script %v", script), func(t *testing.T) {
			b.look(1440, "dark")
			b.scripts(script)
			defer b.scripts(true)
			b.show(page)
			text := printedText(t, b)
			require.Greater(t, strings.Count(text, "\f"), 1, "pages")
			text = strings.Join(strings.Fields(text), " ")                                                                                  // where lines break is the printer's affair
			for _, want := range []string{"north", "south", "west", "east", "in quadrature", "cancels on one meter", "sampled every 1 s"} { // the last three are folded
				require.Contains(t, text, want)
			}
			require.NotContains(t, text, "Show each candidate that contains")
			require.Empty(t, b.taken())
		})
	}
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
