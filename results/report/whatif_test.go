package report

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
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
}

func sheetText(lines []sheetLine) string {
	var b strings.Builder
	b.WriteString("key,value,unit,as_of,source,note\n")
	for _, l := range lines {
		fmt.Fprintf(&b, "%s,%s,%s,2026-09-19,test,\n", l.key, strconv.FormatFloat(l.value, 'g', -1, 64), l.unit)
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
		lines = append(lines, sheetLine{f[0], f[2], v})
	}
	add := func(key, unit string, v float64) { lines = append(lines, sheetLine{key, unit, v}) }
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
		}}},
	}
}

// trial is a model, prices that are changed in it, and what the page must print then.
type trial struct {
	Model    json.RawMessage      `json:"model"`
	Changed  [][2]float64         `json:"changed"`  // index and value
	Figures  map[string][2]string `json:"figures"`  // value and interval
	Verdicts map[string]string    `json:"verdicts"` // by the ID of the margin
}

var triedOn = time.Date(2026, 9, 20, 0, 0, 0, 0, time.UTC)

func evaluated(t testing.TB, candidates []economics.Candidate, lines []sheetLine) economics.Result {
	t.Helper()
	p, err := economics.Parse(strings.NewReader(sheetText(lines)), triedOn)
	require.NoError(t, err)
	return economics.Evaluate(candidates, *p, triedOn)
}

// trials are so many random sheets on random measurements, and changes to each.
func trials(t testing.TB, rng *rand.Rand, sheets int) (out []trial) {
	for range sheets {
		candidates, lines := randomCandidates(rng), randomSheet(rng)
		r := evaluated(t, candidates, lines)
		m := triedModel(&r)
		tr := trial{Figures: map[string][2]string{}, Verdicts: map[string]string{}, Changed: [][2]float64{}}
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
						lines[j].value = tryValue(rng, lines[j])
						tr.Changed = append(tr.Changed, [2]float64{float64(i), lines[j].value})
					}
				}
			}
			r = evaluated(t, candidates, lines)
		}
		crossovers := map[string]bool{}
		for _, row := range m.Rows {
			crossovers[row.Crossover] = true
		}
		for f := range r.Figures() {
			switch f.Table {
			case "indifference":
				if crossovers[f.ID] {
					value, interval := table.Split(f.Figure)
					if (economics.Cell{Figure: &f}).LeftOut() {
						value = table.Absent
					}
					tr.Figures[f.ID] = [2]string{value, interval}
				}
			case "mining", "mining-published", "training", "mining-investment", "training-investment":
				value, interval := table.Split(f.Figure)
				if (economics.Cell{Figure: &f}).LeftOut() {
					value, interval = table.Absent, ""
				}
				tr.Figures[f.ID] = [2]string{value, interval}
			}
		}
		for _, name := range []string{"mining", "mining-published", "training"} {
			of, _ := r.Table(name)
			for _, row := range of.Rows {
				for _, c := range row {
					if c.Verdict != "" {
						tr.Verdicts[c.Of] = string(c.Verdict)
					}
				}
			}
		}
		out = append(out, tr)
	}
	return out
}

type compared struct {
	Figures, Verdicts int
	Wrong             []string
}

// compareTrials evaluates trials with the page's own script.
const compareTrials = `(trials => {
	const out = {Figures: 0, Verdicts: 0, Wrong: []};
	for (const t of trials) {
		const {figures, verdicts} = evaluateAll(t.model, new Map(t.changed));
		for (const [id, want] of Object.entries(t.figures)) {
			const f = figures.get(id), got = f ? f.text : ['–', ''];
			out.Figures++;
			if (got.join(' ') !== want.join(' ')) out.Wrong.push(id + ': got ' + got.join(' ') + ', want ' + want.join(' '));
		}
		for (const [id, want] of Object.entries(t.verdicts)) {
			out.Verdicts++;
			if (verdicts.get(id) !== want) out.Wrong.push(id + ': got ' + verdicts.get(id) + ', want ' + want);
		}
	}
	out.Wrong = out.Wrong.slice(0, 20);
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
	figures, verdicts := 0, 0
	for range sheets / batch {
		text, err := json.Marshal(trials(t, rng, batch))
		require.NoError(t, err)
		got := asked[compared](b, compareTrials+"("+string(text)+")")
		require.Empty(t, got.Wrong)
		figures, verdicts = figures+got.Figures, verdicts+got.Verdicts
	}
	require.Greater(t, figures, 50*sheets)
	require.Greater(t, verdicts, 3*sheets)
	require.Empty(t, b.taken())
	t.Logf("%d sheets: %d figures and %d verdicts agree", sheets, figures, verdicts)

	text, err := json.Marshal(trials(t, rng, 20))
	require.NoError(t, err)
	for plant, want := range map[string]string{
		`miningRevenue = (f => (...a) => f(...a) * (1 + 1e-4))(miningRevenue)`:     "/revenue: got",
		`capitalRecovery = (rate, years) => 1 / years`:                             "/margin: got",
		`measure_bound = (m, end) => end`:                                          "/margin: got",
		`roundHalfEven = (v, d) => (Math.floor(v * 10 ** d) / 10 ** d).toFixed(d)`: ": got",
		`sideOf = () => 'earns'`:                                                   ": got earns",
	} {
		b.show([]byte(page))
		asked[int](b, plant+", 1")
		require.Contains(t, strings.Join(asked[compared](b, compareTrials+"("+string(text)+")").Wrong, "\n"), want, plant)
	}
}

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
	const marked = `[...document.querySelectorAll('.if')].filter(e => !e.hidden).length`
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
	require.Equal(t, changed-1, asked[int](b, `[...document.querySelectorAll('[data-figure], [data-verdict]')].filter(e => e.querySelector('.if')).length`), "each mark is beside a figure, but that of the control")
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
