package report

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/resultstest"
)

// The three questions that a board brings to the page. Every machine is made up.

// clearWinner are three servers on one wall meter, five sessions each: one is better
// than the reference at every use, one is worse.
func clearWinner() []*results.Record {
	return sessionsOf(5, resultstest.Server("north", 1), resultstest.Server("south", 1.12), resultstest.Server("west", 0.93))
}

// nothingToRank are three guests without a meter: their watts are modelled.
func nothingToRank() []*results.Record {
	records := sessionsOf(1, resultstest.Server("guest-a", 1), resultstest.Server("guest-b", 1.2), resultstest.Server("guest-c", 0.7))
	for _, r := range records {
		for m := range r.Meters {
			for c := range r.Meters[m].Channels {
				r.Meters[m].Channels[c].Origin = results.Modelled
			}
		}
		for i := range r.Runs {
			for k := range r.Runs[i].Traces {
				if t := &r.Runs[i].Traces[k]; t.Origin != "" {
					t.Origin = results.Modelled
				}
			}
		}
		r.Summary = results.Derive(r)
	}
	return records
}

// threeKinds are a server with two cards, an ASIC and a server without cards.
func threeKinds() []*results.Record {
	cards := resultstest.CardServer("gpu-node", 1)
	cards.Also("training-bf16-gpt-124m@cuda:0-1", 1450, map[string]float64{"training-bf16": 610_000})
	records := sessionsOf(5, cards, resultstest.Server("cpu-node", 1))
	for n := range 5 {
		asic, _ := resultstest.Device{Name: "asic", Rate: 45.5, Window: 600, Windows: 6, Sample: 1, Stale: 0.001}.Record(rand.New(rand.NewPCG(7, uint64(n))))
		asic.ID = fmt.Sprintf("01KDYBS1CY%016d", n)
		asic.Start, asic.End = asic.Start.AddDate(0, 0, n), asic.End.AddDate(0, 0, n)
		asic.Summary = results.Derive(asic)
		records = append(records, asic)
	}
	return records
}

func sessionsOf(sessions int, nodes ...resultstest.Node) (records []*results.Record) {
	for i, n := range nodes {
		for s := range sessions {
			records = append(records, resultstest.Session(n, s, 6, uint64(i+1)))
		}
	}
	return records
}

// TestReaders draws the pages that readers look at, and their first screens, into
// the folder that PERWATT_WRITE_PAGES names.
func TestReaders(t *testing.T) {
	dir := os.Getenv("PERWATT_WRITE_PAGES")
	if dir == "" {
		t.Skip("PERWATT_WRITE_PAGES names no folder to draw into")
	}
	b := newTab(t)
	for name, records := range map[string][]*results.Record{"winner": clearWinner(), "nothing": nothingToRank(), "kinds": threeKinds()} {
		page := rendered(t, pageOf(t, records))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name+".html"), page, 0o644))
		for _, width := range []int64{1440, 390} {
			b.look(width, "light")
			b.show(page)
			shot, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(filepath.Join(dir, fmt.Sprintf("%s-%d.png", name, width)), shot, 0o644))
			whole, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(filepath.Join(dir, fmt.Sprintf("%s-%d-whole.png", name, width)), whole, 0o644))
		}
	}
}
