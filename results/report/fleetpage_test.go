package report

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results/economics"
	"github.com/perwatt/perwatt/results/resultstest"
	"github.com/perwatt/perwatt/results/site"
	"github.com/perwatt/perwatt/results/site/sitetest"
)

// analysed is a made-up fleet, with a budget of power for each rack and, if asked for,
// the prices of the example sheet. Change changes its roster before it is analysed.
func analysed(t testing.TB, f sitetest.Fleet, priced bool, change func(*site.Roster, []site.Outcome)) *site.Analysis {
	t.Helper()
	r, outcomes, sessions, groups := f.Make()
	if change != nil {
		change(&r, outcomes)
	}
	opt := site.Options{Budgets: map[string]float64{"": 9200, "r01": 8000}, AsOf: time.Date(2026, 9, 20, 0, 0, 0, 0, time.UTC)}
	if priced {
		prices, err := economics.Parse(strings.NewReader(economics.Example()), opt.AsOf)
		require.NoError(t, err)
		opt.Prices = prices
	}
	return site.Analyse(r, outcomes, sessions, groups, opt)
}

func fleetPage(t testing.TB, a *site.Analysis) string {
	t.Helper()
	var out bytes.Buffer
	require.NoError(t, WriteFleetHTML(&out, FleetPage{Analysis: a, Command: "perwatt fleet report -o fleet.html", Tool: "perwatt test"}))
	return out.String()
}

// part is the section of a page with that id.
func part(t testing.TB, page, id string) string {
	t.Helper()
	m := regexp.MustCompile(`(?s)<section id="` + id + `".*?</section>`).FindString(page)
	require.NotEmpty(t, m, id)
	return m
}

// TestFleetPage: what was planted in a fleet is on its page, and nothing else is: each
// node that computes wrongly or is off has a row and each that is missing is named with
// its reason, and the verdict has the worst first.
func TestFleetPage(t *testing.T) {
	f := sitetest.Mixed(640)
	f.SlowRack = "r03"
	a := analysed(t, f, true, nil)
	page := fleetPage(t, a)
	off, wrong, missing, verdict := part(t, page, "off"), part(t, page, "wrong"), part(t, page, "missing"), part(t, page, "verdict")
	require.Less(t, strings.Index(page, wrong), strings.Index(page, off), "wrong answers stand first")
	counts := map[sitetest.Place]int{}
	for i, is := range f.Places() {
		name := a.Nodes[i].Name
		if counts[is]++; is == sitetest.Wrong && counts[is] <= fleetNamed {
			require.Contains(t, verdict, name)
		}
		require.Equal(t, is == sitetest.Wrong, strings.Contains(wrong, `data-at="node/`+name+`"`), name)
		require.Equal(t, a.Nodes[i].Health == site.Outlier || a.Nodes[i].Health == site.CannotTell, strings.Contains(off, `data-at="node/`+name+`"`), name)
		switch is {
		case sitetest.Slow:
			require.Equal(t, site.Outlier, a.Nodes[i].Health, name)
		case sitetest.Missing, sitetest.Partial:
			require.Contains(t, missing, name)
		}
	}
	require.Contains(t, verdict, fmt.Sprintf("%d nodes compute wrongly", counts[sitetest.Wrong]))
	require.Contains(t, verdict, fmt.Sprintf("%d of 640 nodes were measured", 640-counts[sitetest.Missing]-counts[sitetest.Partial]))
	require.Contains(t, verdict, "perwatt fleet resume "+a.Roster.Name)
	require.Contains(t, verdict, "r03 (−3.")
	for _, want := range []string{"drained: fan (root)", "scontrol show node", "exit code 137", "no figure of training-gpt-mini"} {
		require.Contains(t, missing, want)
	}
	require.LessOrEqual(t, strings.Count(missing, "<tr>"), 2*8, "a row a reason, not a node")
	totals := part(t, page, "totals")
	for _, want := range []string{"GH/s", "tokens/s", "kW", "wall"} {
		require.Contains(t, totals, want)
	}
	require.Contains(t, part(t, page, "mix"), "$/MWh")
	racks := part(t, page, "racks")
	require.Equal(t, len(a.Racks), len(regexp.MustCompile(`<td class="key[^"]*">`).FindAllString(racks, -1)))
	for _, r := range a.Racks {
		require.Contains(t, racks, ">"+r.Name+"<")
	}
	require.Equal(t, page, fleetPage(t, analysed(t, f, true, nil)), "the same input gives the same bytes")

	one := analysed(t, sitetest.Fleet{Nodes: 64, Seed: 1}, false, nil)
	require.Contains(t, part(t, fleetPage(t, one), "verdict"), "1 rack draws more than budgeted: r01")
	r, outcomes, sessions, groups := sitetest.Fleet{Nodes: 64, Seed: 1}.Make()
	healthy := fleetPage(t, site.Analyse(r, outcomes, sessions, groups, site.Options{}))
	require.Contains(t, part(t, healthy, "verdict"), "All 64 nodes were measured, and none is an outlier.")
	require.NotContains(t, healthy, `id="off"`)
	require.NotContains(t, healthy, `id="missing"`)
	require.Contains(t, healthy, "No price sheet was given")
	modelled := fleetPage(t, analysed(t, sitetest.Fleet{Nodes: 64, Seed: 1, Modelled: true}, false, nil))
	require.Contains(t, part(t, modelled, "totals"), "~")
	require.NotContains(t, part(t, modelled, "racks"), "✓ within", "modelled watts are not judged")
	require.NotContains(t, part(t, modelled, "verdict"), "within budget.")

	var none bytes.Buffer
	require.Error(t, WriteFleetHTML(&none, FleetPage{Analysis: &site.Analysis{}}))
	lost := fleetPage(t, analysed(t, sitetest.Fleet{Nodes: 5, Missing: 5}, false, nil))
	require.Contains(t, part(t, lost, "verdict"), "None of 5 nodes has a figure.")
}

// TestFleetBudget: a rack that draws more than it may is in the verdict, by name.
func TestFleetBudget(t *testing.T) {
	r, outcomes, sessions, groups := sitetest.Fleet{Nodes: 64, Seed: 1}.Make()
	verdict := func(budgets map[string]float64) string {
		return part(t, fleetPage(t, site.Analyse(r, outcomes, sessions, groups, site.Options{Budgets: budgets})), "verdict")
	}
	require.Contains(t, verdict(map[string]float64{"": 12e3}), "The power of all 2 racks is within budget.")
	over := verdict(map[string]float64{"": 12e3, "r02": 5e3})
	require.Regexp(t, `1 rack draws more than budgeted: r02 \(8,[0-9]+ W of 5,000 W\)`, over)
	require.NotContains(t, over, "r01")
	require.NotContains(t, verdict(nil), "udget")
}

// pageOf10000 is the page of 10,000 nodes with something of everything.
func pageOf10000(t *testing.T) string {
	made10000.Do(func() { made10000.page = fleetPage(t, analysed(t, sitetest.Mixed(10_000), true, nil)) })
	return made10000.page
}

var made10000 struct {
	sync.Once
	page string
}

// TestFleetOf10000: the page of 10,000 nodes has a cell and marks for each of them, and
// rows for those to look at, in at most 5 MB.
func TestFleetOf10000(t *testing.T) {
	if testing.Short() {
		t.Skip("seconds of a CPU")
	}
	page := pageOf10000(t)
	require.LessOrEqual(t, len(page), 5_000_000)
	require.LessOrEqual(t, strings.Count(page, "<tr"), 2*(5*fleetRows))
	// All are lost for one reason: one row says so.
	lost := fleetPage(t, analysed(t, sitetest.Fleet{Nodes: 10_000}, false, func(_ *site.Roster, outcomes []site.Outcome) {
		for i := range outcomes {
			outcomes[i] = site.Outcome{Node: outcomes[i].Node, State: site.Lost, Reason: "the controller forgot " + outcomes[i].Node, More: "sacct -j 1"}
		}
	}))
	require.LessOrEqual(t, len(lost), 5_000_000)
	require.Equal(t, 2, strings.Count(part(t, lost, "missing"), "<tr>"), "a head and a reason")
	require.Contains(t, part(t, lost, "missing"), ">10,000<")
}

// BenchmarkFleetPage is the work after the analysis: 5 s at most are meant for 10,000.
func BenchmarkFleetPage(b *testing.B) {
	for _, n := range []int{100, 1000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			a := analysed(b, sitetest.Mixed(n), true, nil)
			for b.Loop() {
				b.ReportMetric(float64(len(fleetPage(b, a))), "B/page")
			}
		})
	}
}

// hostileFleet is a fleet whose every text comes from somebody who wants harm.
func hostileFleet(t testing.TB) *site.Analysis {
	return analysed(t, sitetest.Mixed(64), true, func(r *site.Roster, outcomes []site.Outcome) {
		bad := resultstest.Hostile + strings.Repeat("W", 200)
		r.Name, r.Engine, r.Args, r.Options = bad, bad, []string{"run", bad}, []string{bad}
		for i := range r.Nodes {
			r.Nodes[i].Name, r.Nodes[i].Rack, r.Nodes[i].Switch = fmt.Sprint(i, bad), bad+fmt.Sprint(i/9), bad
			outcomes[i].Node = r.Nodes[i].Name
			if outcomes[i].Reason != "" {
				outcomes[i].Reason, outcomes[i].More = bad, bad
			}
		}
	})
}

// TestFleetHostile: no text of a fleet becomes markup or reaches a terminal.
func TestFleetHostile(t *testing.T) {
	requireInert(t, []byte(fleetPage(t, hostileFleet(t))))
}

// TestFleetBrowser holds the page of fleets of 8, 64 and 10,000 nodes with planted
// faults to what a browser makes of it.
func TestFleetBrowser(t *testing.T) {
	if testing.Short() {
		t.Skip("a browser has no races of ours: make test runs it")
	}
	b := newTab(t)
	pages := map[string]string{"hostile": fleetPage(t, hostileFleet(t)), "healthy": fleetPage(t, analysed(t, sitetest.Fleet{Nodes: 64, Seed: 1}, false, nil))}
	for _, n := range []int{8, 64} {
		pages[fmt.Sprint(n)] = fleetPage(t, analysed(t, sitetest.Mixed(n), true, nil))
	}
	pages["outliers"] = fleetPage(t, analysed(t, sitetest.Fleet{Nodes: 64, Seed: 1, SlowRack: "r02"}, false, nil))
	pages["missing"] = fleetPage(t, analysed(t, sitetest.Fleet{Nodes: 64, Seed: 1, Missing: 9}, false, nil))
	pages["priced"] = fleetPage(t, analysed(t, sitetest.Fleet{Nodes: 64, Seed: 1}, true, nil))
	pages["10000"] = pageOf10000(t)
	if dir := os.Getenv("PERWATT_WRITE_PAGES"); dir != "" { // to look at
		for name, page := range pages {
			require.NoError(t, os.WriteFile(filepath.Join(dir, "fleet-"+name+".html"), []byte(page), 0o644))
		}
	}
	for _, at := range []struct {
		page   string
		width  int64
		scheme string
		axe    bool
	}{
		{"8", 390, "light", true}, {"64", 1440, "dark", true}, {"healthy", 1440, "light", true}, {"outliers", 1440, "light", true}, {"missing", 390, "light", true}, {"priced", 1440, "light", true}, {"64", 768, "light", false}, {"64", a4, "print", false},
		{"10000", 1024, "light", false}, {"hostile", 390, "light", false}, {"hostile", 1440, "dark", false},
	} {
		t.Run(fmt.Sprintf("%s nodes at %d, %s", at.page, at.width, at.scheme), func(t *testing.T) {
			b.look(at.width, at.scheme)
			b.show([]byte(pages[at.page]))
			got := asked[audited](b, audit)
			require.Empty(t, got.Faults)
			require.Greater(t, got.Texts, 100, "the audit must have read the page")
			if at.axe {
				require.Empty(t, asked[[]string](b, axe))
			}
			require.Empty(t, b.taken())
		})
	}

	for _, width := range []int64{1440, 390} {
		t.Run(fmt.Sprintf("first screen at %d", width), func(t *testing.T) {
			b.look(width, "light")
			b.show([]byte(pages["64"]))
			// The verdict is seen whole, and the completion and the totals begin, before anybody scrolls.
			bottoms := asked[[]float64](b, `[...document.querySelectorAll('#verdict, #h-completion')].map(e => e.getBoundingClientRect().bottom)`)
			require.Less(t, slices.Max(bottoms), 900.)
			if width == 1440 {
				require.Less(t, asked[float64](b, `document.querySelector('#totals table').getBoundingClientRect().bottom`), 900.)
			}
		})
	}

	t.Run("without a script", func(t *testing.T) {
		b.look(1440, "light")
		const text = `[...document.querySelectorAll('header, h2, .lead, table')].map(e => e.textContent.replace(/\s+/g, ' '))`
		b.show([]byte(pages["64"]))
		with := asked[[]string](b, text)
		b.scripts(false)
		defer b.scripts(true)
		b.show([]byte(pages["64"]))
		require.Equal(t, with, asked[[]string](b, text))
		printed := strings.Join(strings.Fields(printedText(t, b)), " ")
		require.Contains(t, printed, "r02", "racks are on paper")
		require.Contains(t, printed, "What is folded is not printed")
	})
}
