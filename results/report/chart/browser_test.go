package chart_test

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"codeberg.org/go-fonts/liberation/liberationsansbold"
	"codeberg.org/go-fonts/liberation/liberationsansregular"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/goregular"

	"github.com/perwatt/perwatt/harness/power/powertest"
	"github.com/perwatt/perwatt/results/report/chart"
)

//go:embed testdata/layout.js
var layout string

// fontSetups are machines that have one family of fonts each.
func fontSetups(t *testing.T) map[string][][]byte {
	setups := map[string][][]byte{
		"Liberation": {liberationsansregular.TTF, liberationsansbold.TTF},
		"neither":    {goregular.TTF, gobold.TTF}, // a browser without any font draws no text
	}
	const dejaVu = "/usr/share/fonts/truetype/dejavu/"
	regular, err1 := os.ReadFile(dejaVu + "DejaVuSans.ttf")
	bold, err2 := os.ReadFile(dejaVu + "DejaVuSans-Bold.ttf")
	if err1 != nil || err2 != nil {
		t.Log("without DejaVu, which Debian has as fonts-dejavu-core")
		return setups
	}
	setups["DejaVu"] = [][]byte{regular, bold}
	return setups
}

// browser starts a browser that has these fonts and no others.
func browser(t *testing.T, fonts [][]byte) context.Context {
	dir := t.TempDir()
	for i, ttf := range fonts {
		require.NoError(t, os.WriteFile(filepath.Join(dir, fmt.Sprint(i, ".ttf")), ttf, 0o644))
	}
	config := filepath.Join(dir, "fonts.conf")
	require.NoError(t, os.WriteFile(config, []byte(`<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig><dir>`+dir+`</dir><cachedir>`+dir+`</cachedir></fontconfig>`), 0o644))
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(powertest.Peer(t, "chromium", "chromium")), chromedp.DisableGPU, chromedp.Env("FONTCONFIG_FILE="+config))
	if os.Getuid() == 0 { // it refuses root otherwise
		opts = append(opts, chromedp.NoSandbox)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, opts...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	return ctx
}

// gallery is a page of figures, as a report has them.
func gallery(t *testing.T, figures map[string]string, order []string) string {
	css, err := os.ReadFile("../page.css")
	require.NoError(t, err)
	var out strings.Builder
	fmt.Fprintf(&out, `<!DOCTYPE html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><style>%s%s</style><body><main><div class="charts">`, css, chart.CSS())
	for _, name := range order {
		fmt.Fprintf(&out, `<figure id="%s"><figcaption>%[1]s</figcaption>%s</figure>`, name, figures[name])
	}
	out.WriteString("</div></main>")
	file := filepath.Join(t.TempDir(), "page.html")
	require.NoError(t, os.WriteFile(file, []byte(out.String()), 0o644))
	return "file://" + file
}

// TestBrowser: whatever sans serif a reader has, on a phone and on a wide screen, each
// text of each chart lies in its figure, on no other text and on no mark.
func TestBrowser(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a browser for each set of fonts: not with -short")
	}
	figures, order := map[string]string{}, []string{}
	add := func(name string, c chart.Chart) {
		figures[name], order = string(c.SVG()), append(order, name)
	}
	for name, c := range charts() {
		add(name, c)
	}
	for i, n := range []int{1, 3, 10, 60} {
		for j, name := range []string{strings.Repeat("W", 40), "rack 12, north, 2 × NVIDIA H200 NVL 141GB", strings.Repeat("名前の長い候補者", 5)} {
			for k, c := range many(name, n) {
				if (i+j+k)%3 == 0 { // a third of all: each kind with each name and each number
					add(fmt.Sprintf("%T-%d-%d", c, n, j), c)
				}
			}
		}
	}
	page := gallery(t, figures, order)
	planted := gallery(t, map[string]string{"planted": `<div class="chart"><svg class="wide" viewBox="0 0 720 60" font-size="13"><text x="640" y="20">a label that is clipped</text>` +
		`<text x="10" y="20">one</text><text x="20" y="22">on another</text><text x="200" y="20">crossed</text><path class="s-a" d="M200 10L240 24"/></svg></div>`}, []string{"planted"})
	type laidOut struct {
		Texts  int      `json:"texts"`
		Faults []string `json:"faults"`
		Wide   float64  `json:"wide"`
	}
	widths := map[float64]string{}
	for name, fonts := range fontSetups(t) {
		t.Run(name, func(t *testing.T) {
			ctx := browser(t, fonts)
			look := func(page string, width int64) laidOut {
				require.NoError(t, chromedp.Do(ctx, chromedp.EmulateViewport(width, 900), chromedp.Navigate(page)))
				got, err := chromedp.Run(ctx, chromedp.Evaluate[laidOut](layout))
				require.NoError(t, err)
				return got
			}
			found := look(planted, 1440)
			require.Len(t, found.Faults, 3, "%q", found.Faults)
			for i, want := range []string{"leaves its drawing", "lies on", "is crossed by a mark"} {
				require.Contains(t, found.Faults[i], want)
			}
			require.Empty(t, widths[found.Wide], "the fonts must be those of this setup")
			widths[found.Wide] = name
			for _, width := range []int64{390, 768, 1024, 1440} {
				got := look(page, width)
				require.Empty(t, got.Faults, "at %d px", width)
				require.Greater(t, got.Texts, 1000, "the page must have been read")
			}
		})
	}
}
