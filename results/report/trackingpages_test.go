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
	"github.com/perwatt/perwatt/results/stats"
	"github.com/perwatt/perwatt/results/store"
	"github.com/perwatt/perwatt/results/track"
)

// nightly is a store, judged on its last night.
type nightly struct {
	groups []track.Group
	tool   string
	night  int
}

// years is a store of two groups: one is steady; the rates of the other fell by 4 %,
// one after another from two thirds of the nights on. name stands wherever a name
// does.
func years(nights int, name string) nightly {
	rng := rand.New(rand.NewPCG(1, 2))
	first := time.Date(2025, 3, 1, 23, 30, 0, 0, time.UTC)
	night := func(n int) int { return track.Calendar{}.Night(first.AddDate(0, 0, n)) }
	out := nightly{tool: "perwatt test" + name, night: night(nights - 1)}
	for g, of := range []store.Group{
		{ID: "g0", CPU: "AMD EPYC 7543", Sockets: 1, Cores: 32, Threads: 64, Memory: 256 << 30, Meter: "snmp", Boundary: results.Wall},
		{ID: "g1", CPU: "Intel Xeon Platinum 8380" + name},
	} {
		env := &store.Environment{Node: "n" + name, Revision: "3f2a91c07b1e" + name, Origin: string(results.Measured)}
		if g == 1 {
			env.Origin = string(results.Modelled)
		}
		s := track.Group{
			Group: of, Points: map[store.Key][]store.Point{},
			Events: []store.Event{{At: first.AddDate(0, 0, nights/3), Kind: "kernel", From: "6.8.0", To: "6.12.3" + name}},
			Nodes:  []track.Node{{NodeID: track.NodeID{Group: of.ID, Node: env.Node}, Last: out.night, Nights: nights, Measured: true, Expected: true}},
		}
		falls := nights * 2 / 3
		for _, use := range []string{"mining", "training"} {
			for _, metric := range []struct {
				name  string
				unit  results.Unit
				value float64
			}{{results.WorkPerEnergy, results.Hash.Per(results.Joule), 5.1e6}, {results.Throughput, results.Hash.Per(results.Second), 1.23e9}, {results.Power, results.Watt, 241}} {
				k := store.Key{Group: of.ID, Node: env.Node, Scenario: use, Use: use, Workload: "hashscan", Impl: "shani" + name, Metric: metric.name, Unit: metric.unit}
				j := track.Judged{Series: &track.Series{Key: k}, Watch: track.Watch{Mood: track.Quiet, Before: nights - 1}, Last: out.night}
				level := 1.0
				for n := range nights {
					if g == 1 && metric.name != results.Power && n == falls {
						level = 0.96
						j.Better = track.Higher
						j.Changes = []track.Change{{Night: night(n), From: night(n - 1), To: night(n + 1), Size: stats.Interval{Value: 0.96, Low: 0.955, High: 0.965}, P: 3e-9,
							LastGood: "3f2a91c" + name, FirstBad: "9b01d44" + name, Reached: []track.Reach{{Night: night(n), Far: 0.045}}}}
					}
					v := metric.value * level * (1 + 0.004*rng.NormFloat64())
					s.Points[k] = append(s.Points[k], store.Point{Start: first.AddDate(0, 0, n), Value: results.Float(v), Low: results.Float(v * 0.997), High: results.Float(v * 1.003), Record: fmt.Sprintf("01J8ZQ%020d", n), Env: env})
				}
				if metric.name != results.Power {
					falls += nights / 20
				}
				s.Judged = append(s.Judged, j)
			}
		}
		out.groups = append(out.groups, s)
	}
	return out
}

// tracking is the view of the store; page is called with each group.
func (n nightly) tracking(t testing.TB, page func(*GroupPage) error) *Tracking {
	t.Helper()
	v := &Tracking{Night: n.night, Tool: n.tool, Page: page}
	var all []track.Judged
	for i := range n.groups {
		require.NoError(t, v.Add(&n.groups[i]))
		all = append(all, n.groups[i].Judged...)
	}
	v.Report = &track.Report{Night: n.night, Groups: n.groups, Findings: track.Findings(all)}
	return v
}

// pages are those that perwatt track writes.
func (n nightly) pages(t testing.TB) map[string][]byte {
	t.Helper()
	pages := map[string][]byte{}
	v := n.tracking(t, func(p *GroupPage) error {
		var out bytes.Buffer
		defer func() { pages[p.File()] = out.Bytes() }()
		return p.Write(&out)
	})
	var out bytes.Buffer
	require.NoError(t, v.WriteOverview(&out))
	pages["index.html"] = out.Bytes()
	return pages
}

func (n nightly) overview(t testing.TB) string {
	t.Helper()
	var out strings.Builder
	require.NoError(t, n.tracking(t, nil).WriteOverview(&out))
	return out.String()
}

func TestTrackingPages(t *testing.T) {
	pages := years(300, "").pages(t)
	index := string(pages["index.html"])
	require.Contains(t, index, "4 regressions.")
	require.Contains(t, index, `href="group-g1.html"`)
	require.Contains(t, index, "−4.0 %")
	require.Contains(t, index, "[−4.5 %, −3.5 %]")
	require.Equal(t, 4, strings.Count(index, `class="spark"`))
	group := string(pages["group-g1.html"])
	require.Equal(t, 6, strings.Count(group, `class="nights"`))
	require.Contains(t, group, "~4.9", "modelled figures are marked")
	require.Contains(t, group, "kernel: 6.8.0 → 6.12.3")
	require.NotContains(t, index, "uPlot", "the overview zooms nothing")

	quiet := years(300, "")
	quiet.groups = quiet.groups[:1]
	require.Contains(t, quiet.overview(t), "Nothing changed.")
	require.Contains(t, nightly{}.overview(t), "perwatt run --store")

	// Of very many groups, what there is nothing to tell of shares a row.
	many := years(20, "")
	changed := many.groups[1]
	changed.Judged[3].Changes = nil // of training
	many.groups = append(slices.Repeat(many.groups[:1], 499), changed)
	require.Equal(t, 1000, strings.Count(many.overview(t), `class="spark"`))
	many.groups = append(many.groups, many.groups[0])
	folded := many.overview(t)
	require.Equal(t, 1, strings.Count(folded, `class="spark"`))
	require.Equal(t, 500, strings.Count(folded, "2 uses<small>mining; training</small>"))
	require.Equal(t, 1, strings.Count(folded, "1 use<small>training</small>"))
	require.Contains(t, folded, "share a row")

	// Figures that are no numbers are gaps, and no reason to fail.
	for _, v := range []results.Float{results.Absent(), results.Float(math.Inf(1)), results.Float(math.Inf(-1)), 0, -1, 1e308} {
		odd := years(30, "")
		g := &odd.groups[0]
		g.Points[g.Judged[0].Key][3].Value, g.Points[g.Judged[0].Key][7].Low = v, v
		for i := range 16 { // more than half of them: its level too
			g.Points[g.Judged[1].Key][i].Value = v
		}
		require.NotContains(t, string(odd.pages(t)["group-g0.html"]), "Inf", v)
	}
}

// TestGroupPageIsBounded: of thousands of figures and events a page draws some,
// what changed first, and says how many there are.
func TestGroupPageIsBounded(t *testing.T) {
	first := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	write := func(figures, events int) string {
		s := track.Group{Group: store.Group{ID: "g"}, Points: map[store.Key][]store.Point{}}
		for i := range figures {
			j := track.Judged{Series: &track.Series{Key: store.Key{Group: "g", Scenario: fmt.Sprintf("use%05d", i), Use: "mining", Metric: results.Power, Unit: results.Watt}}, Watch: track.Watch{Mood: track.Quiet}}
			if i == figures-1 {
				j.Watch.Mood = track.Suspicious
			}
			s.Points[j.Key] = []store.Point{{Start: first, Value: 1, Low: results.Absent(), High: results.Absent(), Env: &store.Environment{}}}
			s.Judged = append(s.Judged, j)
		}
		for i := range events {
			s.Events = append(s.Events, store.Event{At: first.Add(time.Duration(i) * time.Minute), Kind: "by hand", Text: fmt.Sprintf("event %d of many", i)})
		}
		return string(nightly{groups: []track.Group{s}}.pages(t)["group-g.html"])
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

// TestTrackingBrowser holds the pages of tracking to what a reader's browser makes
// of them.
func TestTrackingBrowser(t *testing.T) {
	if testing.Short() {
		t.Skip("a browser has no races of ours: make test runs it")
	}
	b := newTab(t)
	pages := years(900, "").pages(t)
	// The pages of a server that are no reports: its list of records, and an error.
	var list, refusal bytes.Buffer
	rows := []RecordRow{{ID: "01J8ZQ4M9Y4T7N6V5X3C2B1A0Z", Node: "north", Group: "AMD EPYC 7543", State: "complete", Labels: "rack=7", Start: start, Href: "record.html?id=01J8ZQ4M9Y4T7N6V5X3C2B1A0Z"}, {ID: "01J8ZQ4M9Y4T7N6V5X3C2B1A1Z", State: "cannot be read: it was altered", Start: start}}
	links := []Link{{Text: "What changed", Href: "index.html"}, {Text: "Records", Href: "records.html"}}
	for range 30 {
		rows = append(rows, rows[0])
	}
	require.NoError(t, WriteRecords(&list, RecordList{Rows: rows, Notes: []string{"Since 2026-07-02."}, Action: "report.html", Tool: "perwatt test", Links: links}))
	require.NoError(t, WriteNotice(&refusal, "There is no such page", "there is no record 01J8: the links above lead to those that there are, and here are some more words to fill the line", "perwatt test", links))
	pages["records.html"], pages["refusal.html"] = list.Bytes(), refusal.Bytes()
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
					require.Greater(t, got.Texts, map[bool]int{true: 5, false: 30}[name == "refusal.html"])
					if width != 768 && scheme == "light" { // what axe sees does not depend on colours
						require.Empty(t, asked[[]string](b, axe))
					}
					require.Empty(t, b.taken())
				})
			}
		}
	}
	t.Run("hostile", func(t *testing.T) {
		b.look(390, "dark")
		for _, page := range years(40, resultstest.Hostile+strings.Repeat("W", 200)).pages(t) {
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
		require.Regexp(t, `^2025-10-\d\d 23:30: 2\d\d\.\d+ W \[2\d\d\.\d+, 2\d\d\.\d+\], revision 3f2a91c07b1e`, before)
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
