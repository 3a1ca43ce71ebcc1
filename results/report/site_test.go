package report

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/resultstest"
)

// years is a site of two groups: one steady, one that fell by 4 % at night
// 200; name stands wherever a name does.
func years(nights int, name string) Site {
	rng := rand.New(rand.NewPCG(1, 2))
	first := time.Date(2025, 3, 1, 23, 30, 0, 0, time.UTC)
	s := Site{Sub: "2 groups", Tool: "perwatt test"}
	for g, group := range []string{"AMD EPYC 7543 1×32c/64t 256 GiB snmp/wall", "Intel Xeon Platinum 8380 no meter" + name} {
		sg := SiteGroup{ID: fmt.Sprintf("g%d", g), Name: group, Events: []SiteEvent{{At: first.AddDate(0, 0, nights/3), Text: "kernel 6.8.0 → 6.12.3" + name}}}
		for _, use := range []string{"mining", "training"} {
			for _, metric := range []struct {
				name  string
				unit  results.Unit
				value float64
			}{{results.WorkPerEnergy, results.Hash.Per(results.Joule), 5.1e6}, {results.Throughput, results.Hash.Per(results.Second), 1.23e9}, {results.Power, results.Watt, 241}} {
				h := History{Scenario: use, Use: use, Workload: "hashscan", Impl: "shani" + name, Metric: metric.name, Unit: metric.unit, Headline: metric.name == results.WorkPerEnergy, State: "steady", Tone: Good}
				level := 1.0
				for n := range nights {
					if g == 1 && n == nights*2/3 && metric.name != results.Power {
						level = 0.96
						c := SiteChange{Group: group, GroupID: sg.ID, Figure: metric.name + " of " + use, Since: first.AddDate(0, 0, n), From: first.AddDate(0, 0, n-1), To: first.AddDate(0, 0, n+1), Size: 0.96, Low: 0.955, High: 0.965, P: 3e-9, Tone: Poor, What: "slower at the same watts" + name, At: "3f2a91c…9b01d44" + name, Do: "look at the commits between" + name}
						h.Changes, h.State, h.Tone = append(h.Changes, c), "regression"+name, Poor
						s.Changes, sg.Changes = append(s.Changes, c), append(sg.Changes, c)
						h.Levels = append(h.Levels, SiteLevel{first, first.AddDate(0, 0, n-1), metric.value})
					}
					v := metric.value * level * (1 + 0.004*rng.NormFloat64())
					h.Nights = append(h.Nights, SiteNight{Start: first.AddDate(0, 0, n), Value: results.Float(v), Low: results.Float(v * 0.997), High: results.Float(v * 1.003), Modelled: g == 1, Record: fmt.Sprintf("01J8ZQ%020d", n), Revision: "3f2a91c07b1e" + name})
				}
				from := first
				if len(h.Levels) > 0 {
					from = first.AddDate(0, 0, nights*2/3)
				}
				h.Levels = append(h.Levels, SiteLevel{from, first.AddDate(0, 0, nights-1), metric.value * level})
				sg.Series = append(sg.Series, h)
			}
		}
		s.Groups = append(s.Groups, sg)
	}
	return s
}

func overview(t testing.TB, s Site) string {
	t.Helper()
	var out strings.Builder
	require.NoError(t, WriteOverview(&out, s))
	return out.String()
}

func sitePages(t testing.TB, s Site) map[string][]byte {
	t.Helper()
	pages := map[string][]byte{"index.html": []byte(overview(t, s))}
	var out bytes.Buffer
	for _, g := range s.Groups {
		out.Reset()
		require.NoError(t, WriteGroup(&out, s, g))
		pages[GroupFile(g.ID)] = bytes.Clone(out.Bytes())
	}
	return pages
}

func TestSite(t *testing.T) {
	pages := sitePages(t, years(300, ""))
	index := string(pages["index.html"])
	require.Contains(t, index, "4 regressions.")
	require.Contains(t, index, `href="group-g1.html"`)
	require.Contains(t, index, "−4.0 %")
	require.Contains(t, index, "[−4.5 %, −3.5 %]")
	require.Equal(t, 4, strings.Count(index, `class="spark"`))
	group := string(pages["group-g1.html"])
	require.Equal(t, 6, strings.Count(group, `class="nights"`))
	require.Contains(t, group, "~4.9", "modelled figures are marked")
	require.Contains(t, group, "kernel 6.8.0 → 6.12.3")
	require.NotContains(t, index, "uPlot", "the overview zooms nothing")

	quiet := years(300, "")
	quiet.Changes, quiet.Groups = nil, quiet.Groups[:1]
	require.Contains(t, string(sitePages(t, quiet)["index.html"]), "Nothing changed.")
	none := string(sitePages(t, Site{})["index.html"])
	require.Contains(t, none, "perwatt run --store")

	// Of very many groups, what there is nothing to tell of shares a row.
	many := years(20, "")
	for i := range many.Groups[0].Series {
		many.Groups[0].Series[i].Quiet = true
	}
	changed := many.Groups[1]
	changed.Series = slices.Clone(changed.Series)
	changed.Series[3].Quiet, changed.Series[3].Changes = true, nil // of training
	many.Groups = append(slices.Repeat(many.Groups[:1], 499), changed)
	require.Equal(t, 1000, strings.Count(overview(t, many), `class="spark"`))
	many.Groups = append(many.Groups, many.Groups[0])
	folded := overview(t, many)
	require.Equal(t, 1, strings.Count(folded, `class="spark"`))
	require.Equal(t, 500, strings.Count(folded, "2 uses<small>mining; training</small>"))
	require.Equal(t, 1, strings.Count(folded, "1 use<small>training</small>"))
	require.Contains(t, folded, "share a row")

	// Figures that are no numbers are gaps, and no reason to fail.
	odd := years(30, "")
	for i, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), 0, -1, 1e308} {
		odd.Groups[0].Series[0].Nights[i].Value = results.Float(v)
		odd.Groups[0].Series[0].Nights[i+7].Low = results.Float(v)
		odd.Groups[0].Series[1].Levels[0].Value = v
	}
	require.NotContains(t, string(sitePages(t, odd)["group-g0.html"]), "Inf")
}

// TestSiteBrowser holds the pages of tracking to what a reader's browser makes
// of them.
// TestGroupPageIsBounded: of thousands of figures and events a page draws some,
// what changed first, and says how many there are.
func TestGroupPageIsBounded(t *testing.T) {
	first := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	write := func(figures, events int) string {
		g := SiteGroup{ID: "g", Name: "a group", Nodes: 1}
		for i := range figures {
			g.Series = append(g.Series, History{Scenario: fmt.Sprintf("use%05d", i), Use: "mining", Metric: results.Power, Unit: results.Watt, Headline: true, Notable: i == figures-1, State: "steady",
				Nights: []SiteNight{{Start: first, Value: 1, Low: results.Absent(), High: results.Absent()}}})
		}
		for i := range events {
			g.Events = append(g.Events, SiteEvent{At: first.Add(time.Duration(i) * time.Minute), Text: fmt.Sprintf("event %d of many", i)})
		}
		var out strings.Builder
		require.NoError(t, WriteGroup(&out, Site{}, g))
		return out.String()
	}
	few := write(3, 3)
	require.NotContains(t, few, "are drawn")
	require.NotContains(t, few, "left out")
	many := write(mostDrawn+700, mostEvents+70)
	require.Contains(t, many, "500 of its 1200 figures are drawn")
	require.Contains(t, many, "70 older ones are left out")
	require.Contains(t, many, "use01199", "what changed")
	require.NotContains(t, many, "event 69 of many")
	require.Contains(t, many, "event 70 of many")
	require.Equal(t, mostDrawn, strings.Count(many, `<figure`), "charts")
}

func TestSiteBrowser(t *testing.T) {
	if testing.Short() {
		t.Skip("a browser has no races of ours: make test runs it")
	}
	b := newTab(t)
	pages := sitePages(t, years(900, ""))
	if dir := os.Getenv("PERWATT_WRITE_PAGES"); dir != "" {
		for name, page := range pages {
			require.NoError(t, os.WriteFile(filepath.Join(dir, name), page, 0o644))
		}
	}
	for _, width := range []int64{1440, 768, 390} {
		for _, scheme := range []string{"light", "dark"} {
			for name, page := range pages {
				t.Run(fmt.Sprintf("%s at %d, %s", name, width, scheme), func(t *testing.T) {
					b.look(width, scheme)
					b.show(page)
					got := asked[audited](b, audit)
					require.Empty(t, got.Faults)
					require.Greater(t, got.Texts, 30)
					require.Empty(t, b.taken())
				})
			}
		}
	}
	t.Run("hostile", func(t *testing.T) {
		b.look(390, "dark")
		for _, page := range sitePages(t, years(40, resultstest.Hostile+strings.Repeat("W", 200))) {
			b.show(page)
			require.Empty(t, asked[audited](b, audit).Faults)
			require.Empty(t, b.taken())
		}
	})

	b.look(1440, "light")
	const shown = `[...document.querySelectorAll('.zoom canvas')].filter(c => c.checkVisibility()).length`
	const pictures = `[...document.querySelectorAll('figure .chart')].filter(c => c.getBoundingClientRect().height > 50).length`
	t.Run("zoom and hover", func(t *testing.T) {
		b.show(pages["group-g1.html"])
		require.Equal(t, 6, asked[int](b, shown))
		require.Zero(t, asked[int](b, pictures))
		// The library keeps what it shows to itself; what a reader sees of it are
		// the labels that it paints. Zoomed, the same place is another night.
		hover := func(figure int, at float64) string {
			return asked[string](b, fmt.Sprintf(`(() => {
				const f = document.querySelectorAll('figure')[%d], o = f.querySelector('.u-over'), r = o.getBoundingClientRect();
				const e = t => o.dispatchEvent(new MouseEvent(t, {bubbles: true, movementX: 1, clientX: r.left + r.width * %g, clientY: r.top + 50}));
				e('mouseenter'); e('mousemove');
				return new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(f.querySelector('.zoom .note').textContent))));
			})()`, figure, at))
		}
		before := hover(0, 0.25)
		require.Regexp(t, `^2025-10-\d\d 23:30: 5\.\d+ MH/J \[5\.\d+, 5\.\d+\], revision 3f2a91c07b1e`, before)
		far := hover(5, 0.25)
		require.Equal(t, before[:16], far[:16], "all show the same nights")
		drag := `(() => {
			const o = document.querySelector('figure .u-over'), r = o.getBoundingClientRect();
			const e = (t, x, to) => to.dispatchEvent(new MouseEvent(t, {bubbles: true, button: 0, movementX: 1, clientX: r.left + r.width * x, clientY: r.top + 60}));
			e('mouseenter', 0.5, o); e('mousemove', 0.5, o); e('mousedown', 0.5, o); e('mousemove', 0.7, o); e('mousemove', 0.7, document); e('mouseup', 0.7, document);
			return new Promise(done => setTimeout(() => done(true), 200));
		})()`
		require.True(t, asked[bool](b, drag))
		zoomed := hover(0, 0.25)
		require.Regexp(t, `^2026-0[6-8]`, zoomed, "from half of the nights on")
		require.Equal(t, zoomed[:16], hover(5, 0.25)[:16], "they zoom together")
		b.do(chromedp.Click(chromedp.CSS("#all-nights")))
		require.Equal(t, before, hover(0, 0.25))
		require.Empty(t, b.taken())
	})
	t.Run("without a script", func(t *testing.T) {
		b.scripts(false)
		defer b.scripts(true)
		b.show(pages["group-g1.html"])
		require.Equal(t, 6, asked[int](b, pictures))
		require.Empty(t, b.taken())
	})
	t.Run("printed", func(t *testing.T) {
		b.show(pages["group-g1.html"])
		text := printedText(t, b)
		require.Contains(t, text, "Thick: the level", "the pictures are printed")
		require.NotContains(t, text, "Drag to zoom")
		require.NotContains(t, text, "Show all nights")
	})
}
