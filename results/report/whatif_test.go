package report

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/economics"
	"github.com/perwatt/perwatt/results/report/table"
)

// sheetLine is a line of a price sheet that a test changes.
type sheetLine struct {
	key, unit string
	value     float64
	ends      [2]float64 // its range; 0, 0 for none
}

func sheetText(lines []sheetLine) string {
	var b strings.Builder
	number := func(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
	b.WriteString("key,value,unit,as_of,source,note,low,high\n")
	for _, l := range lines {
		ends := ","
		if l.ends != [2]float64{} {
			ends = number(l.ends[0]) + "," + number(l.ends[1])
		}
		fmt.Fprintf(&b, "%s,%s,%s,2026-09-19,test,,%s\n", l.key, number(l.value), l.unit, ends)
	}
	return b.String()
}

// randomSheet has the keys of the example at random values: some with many digits,
// some round, as people write them, and here and there one is missing.
func randomSheet(rng *rand.Rand) (lines []sheetLine) {
	for line := range strings.Lines(economics.Example()) {
		f := strings.Split(strings.TrimSpace(line), ",")
		v, err := strconv.ParseFloat(f[min(1, len(f)-1)], 64)
		if strings.HasPrefix(line, "#") || err != nil || rng.IntN(40) == 0 {
			continue
		}
		lines = append(lines, sheetLine{key: f[0], unit: f[2], value: v})
	}
	add := func(key, unit string, v float64) { lines = append(lines, sheetLine{key: key, unit: unit, value: v}) }
	if rng.IntN(3) == 0 {
		add("hashprice", "$/PH/day", 40)
	}
	if rng.IntN(2) == 0 {
		add("training_price", "$/million samples", 0.2)
	}
	if rng.IntN(2) == 0 {
		add("gpus_per_node", "1", 2)
	}
	if rng.IntN(2) == 0 {
		add("node_price.node", "$/node", 120_000)
	}
	for i := range lines {
		lines[i].value = tryValue(rng, lines[i])
		if other := tryValue(rng, lines[i]); rng.IntN(4) == 0 && other != lines[i].value {
			lines[i].ends = [2]float64{min(lines[i].value, other), max(lines[i].value, other)}
		}
	}
	return lines
}

// tryValue is another value for a line, within the limits of its key.
func tryValue(rng *rand.Rand, l sheetLine) float64 {
	v := l.value * math.Exp(2*rng.Float64()-1)
	switch {
	case l.unit == "%/year" && l.value > 0:
		v = 60 * rng.Float64()
	case l.unit == "%":
		v = min(1+98*rng.Float64(), 49)
	case strings.HasPrefix(l.key, "pue") || strings.HasPrefix(l.key, "gpus"):
		v = 1 + rng.Float64()
	case l.unit == "year":
		v = 0.25 + 20*rng.Float64()
	case l.key == "power_price" && rng.IntN(5) == 0:
		v = -v
	}
	if rng.IntN(2) == 0 { // as people write it
		v, _ = strconv.ParseFloat(strconv.FormatFloat(v, 'g', 1+rng.IntN(3), 64), 64)
	}
	return max(v, map[bool]float64{true: 1}[strings.HasPrefix(l.key, "pue") || strings.HasPrefix(l.key, "gpus")])
}

// randomCandidates are a miner and a node at random metrics, with and without an
// interval, an instrument and a meter that measured.
func randomCandidates(rng *rand.Rand) []economics.Candidate {
	figure := func(id string, v float64, unit results.Unit) economics.Figure {
		v *= math.Exp(rng.NormFloat64())
		f := results.Figure{Value: results.Float(v), Low: results.Absent(), High: results.Absent(), Unit: unit, Provenance: results.Provenance{
			Boundary: results.Wall, Origin: results.Measured, Grade: "B", Instrument: results.Absent(),
		}}
		if rng.IntN(4) > 0 {
			half := 0.3 * rng.Float64() * rng.Float64()
			f.Low, f.High = results.Float(v*(1-half)), results.Float(v*(1+half))
		}
		if rng.IntN(2) == 0 {
			f.Instrument = results.Float(0.05 * rng.Float64())
		}
		switch rng.IntN(6) {
		case 0:
			f.Origin, f.Grade = results.Modelled, "E"
		case 1:
			f.Boundary = results.Package
		}
		return economics.Figure{ID: id, Figure: f}
	}
	hash, watt, sample := results.Joule.Per(results.Hash), results.Watt, results.Sample.Per(results.Joule)
	if rng.IntN(2) == 0 {
		sample = results.Token.Per(results.Joule)
	}
	return []economics.Candidate{
		{Name: "miner", Mining: []economics.Mining{{Efficiency: figure("miner/j", 2e-11, hash), Power: figure("miner/w", 3500, watt)}}},
		{Name: "node", Mining: []economics.Mining{{Device: "2 × card", Efficiency: figure("node/j", 4e-8, hash), Power: figure("node/w", 900, watt)}}, Training: []economics.Training{{
			Workload: "mlp", Device: "2 × card", GPUs: 2, PerJoule: figure("node/s", 20, sample), Power: figure("node/tw", 1100, watt), FlopRate: figure("node/f", 1e14, "FLOP/s"),
		}}, Mullets: []economics.Mullet{{Workload: "mlp", Device: "2 × card", CoRunCost: results.CoRunCost{
			HashesGained: figure("", 2e13, "hash/s").Figure, ExtraPower: figure("", 100, watt).Figure, TrainingKept: figure("", 0.9, results.Ratio).Figure,
		}}}},
	}
}

// trial is a model, prices that are changed in it, and what the page must print then.
type trial struct {
	Model    json.RawMessage      `json:"model"`
	Changed  [][2]float64         `json:"changed"`  // index and value
	Figures  map[string][2]string `json:"figures"`  // value and interval
	Verdicts map[string]string    `json:"verdicts"` // by the ID of the figure
	Answers  map[string]string    `json:"answers"`  // by the table behind it
}

var triedOn = time.Date(2026, 9, 20, 0, 0, 0, 0, time.UTC)

func evaluated(t testing.TB, candidates []economics.Candidate, lines []sheetLine) economics.Result {
	t.Helper()
	p, err := economics.Parse(strings.NewReader(sheetText(lines)), triedOn)
	require.NoError(t, err)
	return economics.Evaluate(candidates, *p, triedOn)
}

// trials are so many random sheets on random measurements, and changes to each.
func trials(t testing.TB, rng *rand.Rand, sheets int) (out []trial, tables map[string]int) {
	tables = map[string]int{} // of figures
	for range sheets {
		candidates, lines := randomCandidates(rng), randomSheet(rng)
		r := evaluated(t, candidates, lines)
		m := triedModel(&r)
		tr := trial{Figures: map[string][2]string{}, Verdicts: map[string]string{}, Answers: map[string]string{}, Changed: [][2]float64{}}
		var err error
		tr.Model, err = json.Marshal(m)
		require.NoError(t, err)
		if rng.IntN(4) > 0 {
			for i, p := range m.Prices {
				if rng.IntN(3) > 0 {
					continue
				}
				for j := range lines {
					if lines[j].key == p.Key {
						if lines[j].value = tryValue(rng, lines[j]); lines[j].ends != [2]float64{} {
							lines[j].value = lines[j].ends[rng.IntN(2)] // a sheet has no value beyond its range
						}
						tr.Changed = append(tr.Changed, [2]float64{float64(i), lines[j].value})
					}
				}
			}
			r = evaluated(t, candidates, lines)
		}
		follow := m.Following()
		for f := range r.Figures() {
			if !follow[f.ID] {
				continue
			}
			value, interval := table.Split(f.Figure)
			if (economics.Cell{Figure: &f}).LeftOut() {
				value, interval = table.Absent, ""
			}
			tr.Figures[f.ID] = [2]string{value, interval}
			tables[f.Table]++
		}
		for _, of := range r.Tables {
			for _, row := range of.Rows {
				for _, c := range row {
					if c.Of != "" {
						tr.Verdicts[c.Of] = string(c.Verdict)
					}
				}
				if strings.HasSuffix(of.ID, "-tornado") && row[3].Figure.Quoted {
					at, _, _ := strings.Cut(row[5].Figure.ID, "/low")
					for end, c := range map[string]economics.Cell{"/from": row[3], "/to": row[4]} {
						tr.Figures[at+end] = [2]string{table.Quoted(c.Figure.Value, c.Figure.Unit), ""}
					}
				}
			}
		}
		for _, it := range questions(&r).Items {
			answer, _, _ := strings.Cut(it.Text, " Table: ")
			tr.Answers[it.Answer] = answer
		}
		out = append(out, tr)
	}
	return out, tables
}

type compared struct {
	Figures, Verdicts, Answers, Stay int
	Wrong                            []string
}

// compareTrials evaluates trials with the page's own script.
const compareTrials = `(trials => {
	const out = {Figures: 0, Verdicts: 0, Answers: 0, Stay: 0, Wrong: []};
	for (const t of trials) {
		const {figures, verdicts, answers} = evaluateAll(t.model, new Map(t.changed));
		for (const [id, want] of Object.entries(t.figures)) {
			const f = figures.get(id), got = f ? f.text : ['–', ''];
			out.Figures++;
			if (got.join(' ') !== want.join(' ')) out.Wrong.push(id + ': got ' + got.join(' ') + ', want ' + want.join(' '));
		}
		for (const [id, want] of Object.entries(t.verdicts)) {
			out.Verdicts++;
			const got = verdicts.get(id) ?? 'none';
			if (got !== want) out.Wrong.push(id + ': got ' + got + ', want ' + want);
		}
		for (const [name, want] of Object.entries(t.answers)) {
			const got = answers.get(name);
			if (got === undefined) { out.Stay++; continue; }
			out.Answers++;
			if (got !== want) out.Wrong.push(name + ': got ' + got + ', want ' + want);
		}
	}
	out.Wrong = out.Wrong.slice(0, 400);
	return out;
})`

// The page computes and prints what package economics computes and package table
// prints, to the last digit, and a difference in either is found. PERWATT_SHEETS says of
// how many random sheets.
func TestWhatIfAgrees(t *testing.T) {
	sheets, batch := 2000, 200
	if testing.Short() {
		sheets = batch
	}
	if n, err := strconv.Atoi(os.Getenv("PERWATT_SHEETS")); err == nil {
		sheets = n
	}
	b := newTab(t)
	page := fmt.Sprintf("<!DOCTYPE html><title>x</title><script>%s\n%s</script>", formulasJS, whatIfJS)
	b.show([]byte(page))
	rng := rand.New(rand.NewPCG(24, 4))
	figures, verdicts, answers, stay := 0, 0, 0, 0
	tables := map[string]int{}
	for range sheets / batch {
		all, of := trials(t, rng, batch)
		for name, n := range of {
			tables[name] += n
		}
		text, err := json.Marshal(all)
		require.NoError(t, err)
		got := asked[compared](b, compareTrials+"("+string(text)+")")
		require.Empty(t, got.Wrong)
		figures, verdicts, answers, stay = figures+got.Figures, verdicts+got.Verdicts, answers+got.Answers, stay+got.Stay
	}
	require.Greater(t, figures, 100*sheets)
	require.Greater(t, verdicts, 10*sheets)
	require.Greater(t, answers, 2*sheets)
	require.Less(t, stay, sheets)
	for _, name := range []string{"mining", "mining-published", "mining-investment", "training", "training-investment", "hashprice", "bitcoin", "squeeze", "work", "retrofit", "grow", "mullet", "indifference", "mining-tornado", "training-tornado", "break-even", "colocation"} {
		require.Greater(t, tables[name], sheets/4, name)
	}
	require.Empty(t, b.taken())
	t.Logf("%d sheets: %d figures, %d verdicts and %d answers agree; %d answers stay as priced", sheets, figures, verdicts, answers, stay)

	few, _ := trials(t, rand.New(rand.NewPCG(24, 5)), 40) // the same for any number of sheets
	text, err := json.Marshal(few)
	require.NoError(t, err)
	for plant, want := range map[string]string{
		`miningRevenue = (f => (...a) => f(...a) * (1 + 1e-4))(miningRevenue)`:                                  "/revenue: got",
		`capitalRecovery = (rate, years) => 1 / years`:                                                          "/margin: got",
		`measure_bound = (m, end) => end`:                                                                       "/margin: got",
		`soldAtALoss = () => []`:                                                                                "hashprice: got , want Below",
		`quadrature = (f, of) => ({Value: f(of.map(m => m.Value)), Low: 0, High: 0})`:                           "/left: got",
		`roundHalfEven = (v, d) => (Math.floor(v * 10 ** d) / 10 ** d).toFixed(d)`:                              ": got",
		`rangeOf = (v, low, high) => ({Value: v, Low: low || 0.9 * v, High: high || 1.1 * v, Instrument: NaN})`: "-tornado/",
		`efficiencyOf = (t, times, power) => breakEvenEfficiency(hashpriceOf(t), power, t[10], t[8])`:           "/break-even/0-5/",
		`letOf = (f => (t, rent) => f({...t, 26: 1}, rent))(letOf)`:                                             "/colocation/",
		`crossoverOf = (f => (a, b, c, d, e, g) => f(a, b, c, d, e, g, 1))(crossoverOf)`:                        "/indifference/",
		`quoted = (f => (v, unit) => f(Number(v.toPrecision(3)), unit))(quoted)`:                                "/from: got",
		`sideOf = () => 'earns'`: ": got earns",
	} {
		b.show([]byte(page))
		asked[int](b, plant+", 1")
		require.Contains(t, strings.Join(asked[compared](b, compareTrials+"("+string(text)+")").Wrong, "\n"), want, plant)
	}
}

// pagePrices is what a page shows that depends on prices: texts by the ID of a figure, the
// name of an answer or the key of a price, and the matrix of the first screen.
type pagePrices struct {
	Figures, Prices map[string][]string
	Answers         map[string]string
	Matrix          []string
}

const shownPrices = `(() => {
	const out = {Figures: {}, Prices: {}, Answers: {}, Matrix: []};
	const text = el => {
		const copy = el.cloneNode(true);
		for (const mark of copy.querySelectorAll('.if')) if (mark.textContent !== 'as priced') { mark.previousSibling.remove(); mark.remove(); }
		for (const hidden of copy.querySelectorAll('[hidden]')) hidden.remove();
		return copy.textContent.replace(/\s+/g, ' ').trim();
	};
	for (const el of document.querySelectorAll('main [data-figure^="economics/"]')) if (!el.closest('[hidden], [data-answer]')) (out.Figures[el.dataset.figure] ??= []).push(text(el) + (el.closest('[data-still]') ? ' as priced' : ''));
	for (const el of document.querySelectorAll('[data-price-of]')) (out.Prices[el.dataset.priceOf] ??= []).push(text(el));
	for (const el of document.querySelectorAll('[data-answer]')) out.Answers[el.dataset.answer] = text(el);
	for (const el of document.querySelectorAll('.matrix td')) out.Matrix.push(text(el));
	return out;
})()`

// chartFaults are the places at which a chart of money does not show the figures of its
// table: bars and lines off their values by the ticks of their axes, and cells that have
// other numbers or are on the other side of the base.
const chartFaults = `(() => {
	const out = {seen: 0, faults: []}, number = t => Number(t.replace(/−/g, '-').replace(/[,~]/g, '').match(/^\S+/)[0]) * ({k: 1e3, M: 1e6, bn: 1e9}[t.split(' ')[1]] ?? 1);
	const value = id => number(document.querySelector('#economics td[data-figure="' + id + '"], #economics dd[data-figure="' + id + '"]')?.dataset.sort || 'NaN');
	const scale = (svg, axis) => { // by two ticks
		const ticks = [...svg.querySelectorAll('g[data-axis="' + axis + '"] text')].map(t => [Number(t.getAttribute(axis)) - (axis === 'y' ? Number(svg.getAttribute('font-size')) * 0.34 : 0), number(t.textContent)]);
		const [a, b] = [ticks[ticks.length > 2 ? 1 : 0], ticks.at(-1)]; // the first may have been moved into the drawing
		return p => a[1] + (p - a[0]) / (b[0] - a[0]) * (b[1] - a[1]);
	};
	const check = (what, got, want, range) => { out.seen++; if (!(Math.abs(got - want) <= range / 100)) out.faults.push(what + ': drawn ' + got + ', is ' + want); };
	for (const svg of document.querySelectorAll('#economics svg')) {
		const [bars, series] = [...['bar', 'series'].map(a => [...svg.querySelectorAll('g[data-' + a + ']')])];
		if (bars.length) {
			const at = scale(svg, 'x'), [x0, x1] = svg.dataset.x.split(' ').map(Number), range = Math.abs(at(x1) - at(x0));
			for (const g of bars) for (const [i, path] of [...g.querySelectorAll('path')].entries()) {
				const want = value(g.dataset.bar + '/' + ['low', 'high'][i]), ends = path.getAttribute('d').match(/-?[\d.]+/g).map(Number);
				const lo = at(Math.min(ends[0], ends[2])), hi = at(Math.max(ends[0], ends[2]));
				check(g.dataset.bar, Math.abs(lo - want) < Math.abs(hi - want) ? lo : hi, want, range);
			}
		}
		for (const g of series) {
			const at = scale(svg, 'y'), [y0, y1] = svg.dataset.y.split(' ').map(Number);
			const points = g.querySelector('path').getAttribute('d').match(/-?[\d.]+/g).map(Number);
			const id = g.dataset.series.split(' ')[0];
			check(id, at(points[1]), value(id.replace('*', '0-5')), Math.abs(at(y1) - at(y0)));
		}
		if (svg.dataset.cells) {
			const [, , , , rows, columns] = svg.dataset.cells.split(' ').map(Number), texts = [...svg.querySelectorAll('g[data-axis="cells"] text')].map(t => number(t.textContent));
			const ids = ['0-5', '0-75', '1', '1-25', '1-5', '2'].slice(0, rows).flatMap(t => [20, 30, 40, 50, 60, 70, 80, 90, 100].slice(0, columns).map(p => 'economics/break-even/' + t + '/' + p));
			if (texts.length !== ids.length) out.faults.push(texts.length + ' cells, not ' + ids.length);
			ids.forEach((id, i) => check(id, texts[i], value(id), 2 * Math.max(1, ...ids.map(value))));
			const d = [...svg.querySelectorAll('g[data-axis="cells"] path.f-a')].map(p => p.getAttribute('d')).join('');
			check('better', d.split('Z').length - 1, ids.filter(id => value(id) >= Number(svg.dataset.base)).length, 1);
		}
	}
	return out;
})()`

// The page follows its controls and its fragment, says what is not as priced beside
// each such figure, and goes back to the very same page.
func TestWhatIfPage(t *testing.T) {
	if testing.Short() {
		t.Skip("a browser has no races of ours: make test runs it")
	}
	b := newTab(t)
	page := rendered(t, pageOf(t, threeKinds()))
	if dir := os.Getenv("PERWATT_WRITE_PAGES"); dir != "" {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "what-if.html"), page, 0o644))
	}
	const main = `document.querySelector('main').innerHTML.replaceAll(' open=""', '')` // printing opens what is folded
	const marked = `[...document.querySelectorAll('main .if')].filter(e => !e.hidden).length`
	b.look(1440, "light")
	b.show(page)
	asPriced := asked[string](b, main)
	require.Zero(t, asked[int](b, marked))
	require.False(t, asked[bool](b, `document.getElementById('what-if-controls').hidden`))
	require.Empty(t, asked[[]string](b, `[...document.querySelectorAll('#what-if-controls input')].filter(i => !i.labels.length && !i.ariaLabel).map(i => i.outerHTML)`), "each control has a name")
	require.Greater(t, asked[int](b, `document.querySelectorAll('.dial').length`), 6)

	// A number that is typed moves the slider, the figures, the fragment and what is said.
	b.do(chromedp.SetValue(chromedp.CSS(`#what-if-controls .dial input[type=number]`), "62.5"))
	asked[bool](b, `document.querySelector('.dial input[type=number]').dispatchEvent(new Event('change'))`)
	require.Equal(t, "#what=power_price:62.5", asked[string](b, `location.hash`))
	require.Equal(t, 62.5, asked[float64](b, `Number(document.querySelector('.dial input[type=range]').value)`))
	changed := asked[int](b, marked)
	require.Greater(t, changed, 15)
	require.Equal(t, changed-1, asked[int](b, `[...document.querySelectorAll('[data-figure], [data-verdict], [data-answer], [data-price-of], [data-end], figcaption, #price-sheet > details > summary')].filter(e => e.querySelector(':scope > .if')).length + document.querySelectorAll('[data-still]').length`), "each mark is beside a figure or what is said of them, but that of the control")
	require.Eventually(t, func() bool {
		return strings.Contains(asked[string](b, `document.getElementById('what-if-says').textContent`), "power_price 62.5 $/MWh, as priced 50")
	}, 20*time.Second, 100*time.Millisecond)
	require.Contains(t, printedText(t, b), "what if")
	const drawn = `[...document.querySelectorAll('#what-if g[data-series] path')].map(p => p.getAttribute('d')).join()`
	moved := asked[string](b, drawn)
	require.NotEmpty(t, moved)
	require.Contains(t, asked[string](b, `document.querySelector('#what-if g[data-level] path').getAttribute('transform')`), "translate(")
	if dir := os.Getenv("PERWATT_WRITE_PAGES"); dir != "" {
		for _, width := range []int64{1440, 390} {
			b.look(width, "light")
			asked[int](b, `document.getElementById('what-if').scrollIntoView(), 1`)
			shot, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(filepath.Join(dir, fmt.Sprintf("what-if-%d.png", width)), shot, 0o644))
		}
		b.look(1440, "light")
	}
	for _, fault := range asked[audited](b, audit).Faults {
		require.Contains(t, fault, `class="figure"`, "only the address of a figure, which links.js follows, is no id")
	}

	// The same by keyboard and slider alone; and back.
	b.do(chromedp.Focus(chromedp.CSS(`#as-priced`)), chromedp.SendKeys(chromedp.CSS(`#as-priced`), "\r"))
	require.Eventually(t, func() bool {
		return asked[string](b, `document.getElementById('what-if-says').textContent`) == "Everything is as priced."
	}, 20*time.Second, 100*time.Millisecond)
	require.True(t, asPriced == asked[string](b, main), "the page as it was")
	require.Empty(t, asked[string](b, `location.hash`))

	unit := regexp.MustCompile(` [A-Za-z%$/][^ \[]*( samples| tokens| h)?`)
	numbers := func(s string) string { return strings.TrimSpace(unit.ReplaceAllString(s, "")) } // a column has its unit in the head

	// What is shown is what the page shows that is priced so, or says that it is not.
	stay := 0
	for _, what := range []map[string]float64{
		{"power_price": 62.5},
		{"bitcoin_price": 31_000, "pue_mining": 1.4},
		{"gpu_hour_price": 40, "training_utilisation": 35, "node_price": 90_000},
		{"discount_rate": 3, "network_difficulty": 60},
	} {
		var lines []sheetLine
		var fragment []string
		for line := range strings.Lines(economics.Example()) {
			f := strings.Split(strings.TrimSpace(line), ",")
			if v, err := strconv.ParseFloat(f[min(1, len(f)-1)], 64); err == nil && !strings.HasPrefix(line, "#") {
				if to, ok := what[f[0]]; ok {
					fragment, v = append(fragment, fmt.Sprintf("%s:%v", f[0], to)), to
				}
				lines = append(lines, sheetLine{key: f[0], unit: f[2], value: v})
			}
		}
		require.Len(t, fragment, len(what))
		b.do(chromedp.Navigate("about:blank"), chromedp.Navigate(b.url+"#what="+strings.Join(fragment, ",")))
		moved := asked[pagePrices](b, shownPrices)
		charts := asked[struct {
			Seen   int
			Faults []string
		}](b, chartFaults)
		require.Empty(t, charts.Faults, what)
		require.Greater(t, charts.Seen, 200)
		there := pageOf(t, threeKinds())
		r := evaluated(t, economics.Candidates(there.Comparison), lines)
		r.Banner, there.Economics = there.Economics.Banner, &r
		before := b.url
		b.show(rendered(t, there))
		priced := asked[pagePrices](b, shownPrices)
		b.url = before
		follow := 0
		for id, texts := range moved.Figures {
			for _, text := range texts {
				if strings.HasSuffix(text, "as priced") {
					stay++
					require.Regexp(t, "^economics/(thresholds|share)/", id, "what does not follow has a reason in its table")
				} else if follow++; priced.Figures[id] != nil {
					require.True(t, slices.ContainsFunc(priced.Figures[id], func(is string) bool { return numbers(is) == numbers(text) }), "%s at %v: %q is not in %q", id, what, text, priced.Figures[id])
				}
			}
		}
		require.Greater(t, follow, 500)
		require.Empty(t, asked[[]string](b, `[...document.querySelectorAll('[data-still]')].map(t => t.parentElement.previousElementSibling.textContent).filter(why => why.length < 20)`), "a reason")
		require.Equal(t, priced.Matrix, moved.Matrix, what)
		require.Equal(t, priced.Prices, moved.Prices, what)
		for name, text := range moved.Answers {
			require.Equal(t, priced.Answers[name], text, what)
		}
		b.taken()
	}

	require.Positive(t, stay)

	// A panel explains the figure that is shown, or says that it does not.
	const panel = `document.querySelector('dialog.explain').innerText`
	b.do(chromedp.Navigate("about:blank"), chromedp.Navigate(b.url+"#economics/mining/asic/margin&what=power_price:62.5"))
	require.Regexp(t, `what if.*as priced.*which perwatt explain prints.*power_price\s+62\.5 \$/MWh, what if; as priced 50 \$/MWh`, strings.Join(strings.Fields(asked[string](b, panel)), " "))
	asked[int](b, `document.getElementById('as-priced').click(), 1`)
	require.NotContains(t, asked[string](b, panel), "what if")
	b.do(chromedp.Navigate("about:blank"), chromedp.Navigate(b.url+"#economics/share/site/now&what=network_difficulty:100"))
	require.Contains(t, asked[string](b, panel), "as priced: it does not follow")
	b.taken()

	// A link: clipped, and without what is not a price of the page or not a number. A
	// figure's own address stays beside it.
	for fragment, want := range map[string]string{
		"#what=power_price:62.5":                          "power_price:62.5",
		"#economics/mining/asic/margin&what=pue_mining:2": "pue_mining:2",
		"#what=power_price:1e99":                          "power_price:10000",
		"#what=power_price:50":                            "",
		"#what=power_price:NaN,pue_mining:1.2,power_price:0x10,__proto__:1,%zz:1,constructor:2,nobody:3": "pue_mining:1.2",
		"#what=<img src=x onerror=alert(1)>:1":              "",
		"#what=" + strings.Repeat("power_price:1,", 10_000): "power_price:1",
		"#what": "",
	} {
		quoted, err := json.Marshal(fragment)
		require.NoError(t, err)
		got := asked[string](b, `(f => { const d = JSON.parse(document.getElementById('what-if-data').textContent); return [...changesIn(d, f)].map(([i, v]) => d.prices[i].key + ':' + v).join() })(`+string(quoted)+`)`)
		require.Equal(t, want, got, fragment[:min(len(fragment), 80)])
	}
	b.do(chromedp.Navigate("about:blank"), chromedp.Navigate(b.url+"#economics/mining/asic/margin&what=power_price:62.5"))
	b.taken()
	require.Equal(t, changed, asked[int](b, marked))
	require.True(t, strings.HasPrefix(asked[string](b, `location.hash`), "#economics/mining/asic/margin&what="))

	// Without the script there is no control.
	b.scripts(false)
	defer b.scripts(true)
	b.show(page)
	require.Zero(t, asked[int](b, `[...document.querySelectorAll('#what-if-controls, #what-if-controls *')].filter(e => e.checkVisibility()).length`))
	require.Empty(t, b.taken())
}
