package economics

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/stats"
)

// measured is a figure with an interval of ±part.
func measured(v, part float64, unit results.Unit, at results.Boundary, origin results.Origin) Figure {
	return Figure{ID: "measured " + string(unit), Figure: results.Figure{
		Value: results.Float(v), Low: results.Float(v * (1 - part)), High: results.Float(v * (1 + part)), Unit: unit, N: 10, Provenance: results.Provenance{Boundary: at, Origin: origin, Grade: results.GradeOf(at, origin, &results.Budget{Linear: 0.01}, 600), Instrument: results.Absent()},
	}}
}

const (
	perHash   = results.Unit("J/hash")
	perJoule  = results.Unit("sample/J")
	perSecond = results.Unit("FLOP/s")
)

func candidates() []Candidate {
	gpu := func(gpus int, origin results.Origin) []Training {
		return []Training{{
			Workload: "mlp", GPUs: gpus,
			PerJoule: measured(20, 0.02, perJoule, results.Wall, origin),
			Power:    measured(10200, 0.01, results.Watt, results.Wall, origin),
			FlopRate: measured(2e15, 0.01, perSecond, "", results.Measured),
		}}
	}
	return []Candidate{
		{Name: "ASIC", Mining: mines(measured(17.5e-12, 0.02, perHash, results.Wall, results.Measured))},
		{
			Name: "GPU node", Mining: []Mining{{Efficiency: measured(80e-9, 0.02, perHash, results.Package, results.Measured), Power: measured(5000, 0.01, results.Watt, results.Package, results.Measured)}}, Training: gpu(8, results.Measured),
			Mullets: []Mullet{{Workload: "mlp", CoRunCost: results.CoRunCost{
				TrainingKept: measured(0.99, 0, results.Ratio, "", results.Measured).Figure, HashesGained: measured(1e9, 0, "hash/s", "", results.Measured).Figure,
				ExtraPower: measured(100, 0, results.Watt, results.Wall, results.Measured).Figure,
			}}},
		},
		{Name: "VM", Mining: mines(measured(83e-9, 0.2, perHash, results.Wall, results.Modelled)), Training: gpu(8, results.Modelled)},
	}
}

func mines(efficiency Figure) []Mining { return []Mining{{Efficiency: efficiency}} }

const asOf = "2026-01-13"

func sheet(t testing.TB, more ...string) Prices {
	t.Helper()
	text := strings.NewReplacer("2026-01-01,example,", "2026-01-12,test,", "power_price,50", "power_price,40").Replace(Example()) + "training_price.mlp,0.03,$/million samples,2026-01-12,test,\n" + strings.Join(more, "\n")
	p, err := Parse(strings.NewReader(text), day(asOf))
	require.NoError(t, err)
	return *p
}

func without(p Prices, keys ...string) Prices {
	p.Sheet = slices.DeleteFunc(slices.Clone(p.Sheet), func(x Price) bool { return slices.Contains(keys, x.Key) })
	return p
}

func hours(t testing.TB) *Hours {
	var b strings.Builder
	b.WriteString(hoursHead)
	for i := range 48 {
		fmt.Fprintf(&b, "%s,%d\n", day("2026-01-01").Add(time.Duration(i)*time.Hour).Format(time.RFC3339), 20+i*3)
	}
	h, err := ParseHours(strings.NewReader(b.String()))
	require.NoError(t, err)
	return h
}

// headsOf and cellText write a table with four digits a figure, to hold it
// against a golden file.
func headsOf(t Table) (heads []string) {
	for _, c := range t.Columns {
		heads = append(heads, c.Head)
	}
	return heads
}

func cellText(c Cell) string {
	switch {
	case c.Figure != nil:
		return figureText(c.Figure.Figure)
	case c.Watts != nil:
		return fmt.Sprintf("%s · %s · %s", c.Watts.Boundary, c.Watts.Origin, c.Watts.Grade)
	}
	return cmp.Or(c.Text, string(c.Verdict))
}

func figureText(f results.Figure) string {
	s := ""
	if f.Origin != "" && f.Origin != results.Measured {
		s = "~"
	}
	if s += fmt.Sprintf("%.6g", float64(f.Value)); !f.Low.IsAbsent() {
		s += fmt.Sprintf(" [%.6g, %.6g]", float64(f.Low), float64(f.High))
	}
	if f.Value.IsAbsent() {
		s = "absent: " + f.Why
	}
	return strings.TrimSpace(s + " " + string(f.Unit))
}

func text(r Result) string {
	var b strings.Builder
	fmt.Fprintf(&b, "as of %s %s\n", r.AsOf.Format(time.DateOnly), r.Banner)
	for _, w := range r.Warnings {
		fmt.Fprintf(&b, "%s: %s: %s\n", w.Code, w.Text, w.Remedy)
	}
	for _, t := range r.Tables {
		fmt.Fprintf(&b, "\n[%s] %s\n%s\n", t.ID, t.Title, strings.Join(headsOf(t), " | "))
		for _, row := range t.Rows {
			var cells []string
			for _, c := range row {
				cells = append(cells, cellText(c))
			}
			b.WriteString(strings.Join(cells, " | ") + "\n")
		}
		for _, n := range t.Notes {
			b.WriteString("  " + n + "\n")
		}
	}
	return b.String()
}

func whole(t testing.TB) Result {
	p := sheet(t)
	p.Hours = hours(t)
	return Evaluate(candidates(), p, day(asOf))
}

// evaluates holds a result to what must be true of every one.
func evaluates(t testing.TB, p Prices, on time.Time) Result {
	r := Evaluate(candidates(), p, on)
	_, err := json.Marshal(r)
	require.NoError(t, err, "no infinite number gets out")
	ids := map[string]bool{}
	for f := range r.Figures() {
		require.False(t, ids[f.ID], "%s is there twice", f.ID)
		ids[f.ID] = true
		require.NotEmpty(t, f.Formula, f.ID)
		require.False(t, strings.ContainsAny(f.ID, " \t\n"), f.ID)
		_, ok := r.Table(f.Table)
		require.True(t, ok, "%s names a table that is not there", f.ID)
		if f.Value.IsAbsent() {
			require.NotEmpty(t, f.Status, "%s is absent without a status", f.ID)
			require.NotEmpty(t, f.Why, "%s is absent without a reason", f.ID)
		} else {
			require.NotEmpty(t, f.Inputs, f.ID)
		}
		x, ok := r.Explain(f.ID)
		require.True(t, ok, f.ID)
		require.Len(t, x.Inputs, len(f.Inputs), f.ID)
		for i, in := range f.Inputs {
			require.Equal(t, in, x.Inputs[i].Name, f.ID)
			require.False(t, x.Inputs[i].Value.IsAbsent(), "%s: input %s has no value", f.ID, in)
			_, known := p.Find(in)
			require.True(t, known || in == hourly || x.Inputs[i].Source == "", "%s names %s", f.ID, in)
		}
		require.False(t, f.Low > f.High, f.ID)
	}
	for _, table := range r.Tables {
		for _, row := range table.Rows {
			require.Len(t, row, len(table.Columns), table.ID)
			for _, c := range row {
				if c.Verdict == "" || c.Verdict == NoVerdict {
					continue
				}
				for _, c := range row {
					if c.Figure != nil && c.Figure.Origin != "" {
						require.Equal(t, results.Measured, c.Figure.Origin, "%s: no verdict on what was not measured", table.ID)
					}
				}
			}
		}
	}
	for _, s := range r.Series {
		require.Len(t, s.Value, len(s.At), s.ID)
	}
	return r
}

func TestEvaluate(t *testing.T) {
	golden(t, "evaluate.txt", text(whole(t)))
	p := sheet(t)
	p.Hours = hours(t)
	r := evaluates(t, p, day(asOf))
	require.Empty(t, r.Banner)
	require.Empty(t, r.Warnings)
	require.Equal(t, text(r), text(whole(t)), "the same in, the same out")
	for _, part := range parts {
		_, ok := r.Table(part.id)
		require.True(t, ok, "nothing is missing for %s", part.id)
	}
}

func TestVerdicts(t *testing.T) {
	r := whole(t)
	verdicts := func(table string) (out []string) {
		x, _ := r.Table(table)
		for _, row := range x.Rows {
			out = append(out, row[0].Text+": "+string(row[column(x, "verdict")].Verdict))
		}
		return out
	}
	require.Equal(t, []string{"ASIC: earns", "GPU node: loses", "VM: none"}, verdicts("mining"))
	for _, v := range verdicts("mining-published") {
		require.Contains(t, v, ": none", "nameplates are never judged")
	}
	wide := candidates()
	wide[0].Mining[0].Efficiency = measured(17.5e-12, 0.5, perHash, results.Wall, results.Measured)
	r = Evaluate(wide, sheet(t), day(asOf))
	require.Equal(t, "ASIC: cannot tell", verdicts("mining")[0])
	wide[0].Mining[0].Efficiency.Low, wide[0].Mining[0].Efficiency.High = results.Absent(), results.Absent()
	r = Evaluate(wide, sheet(t), day(asOf))
	require.Equal(t, "ASIC: cannot tell", verdicts("mining")[0], "without an interval")
	wide[0].Mining[0].Efficiency = measured(17.5e-12, 0.02, perHash, results.Package, results.Measured)
	r = Evaluate(wide, sheet(t), day(asOf))
	require.Equal(t, "ASIC: cannot tell", verdicts("mining")[0], "watts inside the node show no gain")
}

// Colocation excludes power and machines, mining and training pay both: they
// never stand in one column.
func TestBoundariesOfAccount(t *testing.T) {
	r := whole(t)
	for _, table := range r.Tables {
		uses := map[string]bool{}
		for f := range r.Figures() {
			if f.Table == table.ID && f.Unit == "$/MWh" {
				for use, key := range map[string]string{"mining": "pue_mining", "colocation": "pue_colocation", "training": "pue_training"} {
					if strings.HasSuffix(f.ID, "/margin") && slices.Contains(f.Inputs, key) {
						uses[use] = true
					}
				}
			}
		}
		require.LessOrEqual(t, len(uses), 1, table.ID)
	}
	x, _ := r.Table("mining")
	require.Contains(t, strings.Join(x.Notes, " "), "different boundaries", "wall and package stand in one table, and it says so")
}

func TestMissingPrices(t *testing.T) {
	r := evaluates(t, Prices{}, day(asOf))
	var left []string
	for _, w := range r.Warnings {
		require.Equal(t, "missing-price", w.Code)
		left = append(left, w.Text)
	}
	require.Len(t, left, len(parts), "every part says what it lacks")
	require.Contains(t, left[0], `"Mining" is left out: there is no hashprice, or bitcoin_price and network_difficulty and block_subsidy and block_fees; no pool_fee; no mining_uptime; no pue_mining`)
	_, ok := r.Table("thresholds")
	require.True(t, ok, "the physics stays")

	p := without(sheet(t), "asic_price", "mining_operations")
	r = evaluates(t, p, day(asOf))
	x, _ := r.Table("mining")
	margin := x.Rows[0][column(x, "margin")].Figure
	require.True(t, margin.Value.IsAbsent())
	require.Equal(t, results.Reason{Status: NoPrice, Why: "the price sheet has no asic_price, mining_operations"}, margin.Reason)
	require.False(t, x.Rows[0][column(x, "after power")].Figure.Value.IsAbsent())
	require.Contains(t, strings.Join(x.Notes, " "), "No margin: the price sheet has no mining_operations; no asic_price.")
	_, ok = r.Table("mining-tornado")
	require.False(t, ok)

	for _, k := range keys { // any price may be the one that is not there
		evaluates(t, without(sheet(t), k.Name), day(asOf))
	}
}

func TestWarnings(t *testing.T) {
	codes := func(p Prices, on string) (out []string) {
		for _, w := range p.Warnings(day(on)) {
			out = append(out, w.Code)
		}
		return out
	}
	require.Empty(t, codes(sheet(t), asOf))
	p := sheet(t)
	published := lookupFor(&p).hashprice() * PHDay
	row := func(v float64) string { return fmt.Sprintf("hashprice,%f,$/PH/day,2026-01-12,test,", v) }
	require.Empty(t, codes(sheet(t, row(published*1.0049)), asOf))
	require.Equal(t, []string{"hashprice-mismatch"}, codes(sheet(t, row(published*1.0122)), asOf))
	require.Equal(t, []string{"hashprice-mismatch"}, codes(sheet(t, row(published*0.99)), asOf))
	require.Empty(t, codes(without(sheet(t, row(published*2)), "bitcoin_price"), asOf), "nothing to hold it against")
	require.Equal(t, "OLD PRICES: 1 price is out of date", Evaluate(nil, sheet(t), day("2026-01-15")).Banner)
	require.Contains(t, Evaluate(nil, sheet(t), day("2026-06-01")).Banner, "OLD PRICES: 16")
	require.Contains(t, codes(sheet(t), "2026-01-11"), "future-price")
	example, err := Parse(strings.NewReader(Example()), day("2026-01-01"))
	require.NoError(t, err)
	require.Contains(t, Evaluate(nil, *example, day("2026-01-01")).Banner, "EXAMPLE PRICES")
}

func column(t Table, head string) int {
	return slices.IndexFunc(t.Columns, func(c Column) bool { return c.Head == head })
}

func value(t testing.TB, r Result, id string) float64 {
	t.Helper()
	f, ok := r.Figure(id)
	require.True(t, ok, id)
	return float64(f.Value)
}

// Tokens have a price of their own: that of a sample buys none, even where the workload
// has its name.
func TestPriceOfATokenIsNotThatOfASample(t *testing.T) {
	c := candidates()
	c[1].Training[0].Workload, c[1].Training[0].PerJoule.Unit = "training-bf16-gpt-124m", "token/J"
	c[1].Mullets[0].Workload = "training-bf16-gpt-124m"
	const margin, forgone = "economics/training/gpu-node-tokens-training-bf16-gpt-124m/margin", "economics/mullet/gpu-node/forgone"
	p := sheet(t, "training_price.training-bf16-gpt-124m,5,$/sample,2026-01-12,test,")
	r := Evaluate(c, p, day(asOf))
	for f := range r.Figures() {
		require.NotContains(t, f.ID, "tokens")
		require.False(t, strings.Contains(f.ID, "gpt-124m") && strings.Contains(strings.Join(f.Inputs, " "), "training_price"), f.ID)
	}
	rented := value(t, r, forgone)
	require.Positive(t, rented, "in front is what is rented out")

	r = Evaluate(c, sheet(t, "token_price,0.03,$/million tokens,2026-01-12,test,"), day(asOf))
	other := Evaluate(candidates(), sheet(t), day(asOf)) // 20 samples a joule at the same price
	require.Equal(t, value(t, other, "economics/training/gpu-node-samples-mlp/margin"), value(t, r, margin))
	f, ok := r.Figure("economics/training/gpu-node-tokens-training-bf16-gpt-124m/break-even")
	require.True(t, ok)
	require.Equal(t, results.Unit("$/million tokens"), f.Unit)
	require.NotEqual(t, rented, value(t, r, forgone))
}

// Prices that the tables call break-even do break even when they are put in.
func TestFiguresClose(t *testing.T) {
	r := whole(t)
	put := func(key string, v float64) Result {
		p := sheet(t)
		i := slices.IndexFunc(p.Sheet, func(x Price) bool { return x.Key == key })
		p.Sheet[i].Value, p.Sheet[i].SI = v, v*p.Sheet[i].factor
		return Evaluate(candidates(), p, day(asOf))
	}
	v := put("power_price", value(t, r, "economics/mining/asic/break-even"))
	require.InDelta(t, 0, value(t, v, "economics/mining/asic/after-power"), 1e-9)

	v = put("training_price.mlp", value(t, r, "economics/training/gpu-node-samples-mlp/break-even"))
	require.InDelta(t, 0, value(t, v, "economics/training/gpu-node-samples-mlp/margin"), 1e-9)

	v = put("gpu_hour_price", value(t, r, "economics/training/gpu-node-gpu-hours-mlp/break-even"))
	require.InDelta(t, 0, value(t, v, "economics/training/gpu-node-gpu-hours-mlp/margin"), 1e-9)

	v = put("training_price.mlp", value(t, r, "economics/indifference/gpu-node-samples-mlp-against-asic/1"))
	require.InDelta(t, value(t, v, "economics/mining/asic/margin"), value(t, v, "economics/training/gpu-node-samples-mlp/margin"), 1e-9)

	v = put("colocation_price", value(t, r, "economics/retrofit/asic/rent"))
	require.InDelta(t, value(t, v, "economics/retrofit/asic/cash"), value(t, v, "economics/colocation/site/margin"), 1e-9)

	v = put("bitcoin_price", value(t, r, "economics/bitcoin/asic/cost"))
	require.InDelta(t, value(t, v, "economics/mining/asic/operations"), value(t, v, "economics/mining/asic/after-power"), 1e-9)
}

// The tornado's base is the margin, and its bars are what Evaluate says with
// that price.
func TestTornadoIsTheMargin(t *testing.T) {
	r := whole(t)
	p := sheet(t)
	i := slices.IndexFunc(p.Sheet, func(x Price) bool { return x.Key == "power_price" })
	p.Sheet[i].SI *= 1.1
	v := Evaluate(candidates(), p, day(asOf))
	require.InDelta(t, value(t, v, "economics/mining/asic/margin"), value(t, r, "economics/mining-tornado/asic-power_price/high"), 1e-9)
	f, _ := r.Figure("economics/mining/asic/margin")
	require.InDelta(t, float64(f.Low), value(t, r, "economics/mining-tornado/asic-measured-j-hash/high"), 1e-9, "more joules a hash, the lower bound")
	require.Contains(t, f.Inputs, "bitcoin_price")
	require.Contains(t, f.Inputs, "measured J/hash")
}

func TestInstrumentWidensTheInterval(t *testing.T) {
	m := measured(10, 0.03, perHash, results.Wall, results.Measured)
	m.Instrument = 0.04
	itself := func(x float64) float64 { return x }
	v := follow(measuredBy(m.Figure), itself)
	require.Equal(t, 10.0, v.Value)
	wide := math.Hypot(0.3, 0.4*stats.Rectangular) // bounds of the instrument, as half of a 95 % interval
	require.InDelta(t, 10-wide, v.Low, 1e-12)
	require.InDelta(t, 10+wide, v.High, 1e-12)
	m.Low = results.Absent()
	require.True(t, math.IsNaN(follow(measuredBy(m.Figure), itself).Low))
}

// Figures that no machine has do not break anything.
func TestAbsurdMeasurements(t *testing.T) {
	for _, v := range []float64{5e-324, 1e-300, 1e300, math.MaxFloat64, -1, 0, math.NaN()} {
		in := candidates()
		for i := range in {
			c := &in[i]
			c.Name = "same"
			c.Mining[0].Efficiency.Value = results.Float(v)
			for j := range c.Training {
				c.Training[j].PerJoule.Value, c.Training[j].Power.Value, c.Training[j].FlopRate.Value = results.Float(v), results.Float(v), results.Float(v)
			}
		}
		p := sheet(t)
		p.Hours = hours(t)
		_, err := json.Marshal(Evaluate(in, p, day(asOf)))
		require.NoError(t, err, "%v", v)
	}
}

// What may not be ranked neither earns nor loses.
func TestUnfitHasNoVerdict(t *testing.T) {
	const why = "it is not ranked, breaks the publish rules: steady"
	in := candidates()
	for i := range in {
		c := &in[i]
		c.Mining[0].Efficiency.Unfit, c.Mining[0].Efficiency.UnfitWhy = stats.BreaksRules, why
		for j := range c.Training {
			for _, f := range []*Figure{&c.Training[j].PerJoule, &c.Training[j].Power} {
				f.Unfit, f.UnfitWhy = stats.BreaksRules, why
			}
		}
	}
	verdicts := func(r Result) (words []string) {
		for _, tb := range r.Tables {
			at := column(tb, "verdict")
			for _, row := range tb.Rows {
				if at >= 0 && !strings.HasPrefix(row[0].Text, "A") { // not as published
					words = append(words, string(row[at].Verdict))
				}
			}
		}
		return words
	}
	require.Subset(t, verdicts(whole(t)), []string{"earns", "loses", "above the price"})
	r := Evaluate(in, sheet(t), day(asOf))
	for _, w := range verdicts(r) {
		require.Equal(t, string(NoVerdict), w)
	}
	for _, id := range []string{"mining", "bitcoin", "training"} {
		tb, ok := r.Table(id)
		require.True(t, ok)
		require.Contains(t, tb.Notes, "No verdict rests on GPU node: "+why+".", id)
	}
	f, ok := r.Figure("economics/mining/gpu-node/margin")
	require.True(t, ok)
	require.Equal(t, why, f.UnfitWhy)
	require.Equal(t, stats.BreaksRules, f.Unfit)
	require.False(t, f.Value.IsAbsent(), "the figure stays")
}

// A GPU-hour is sold only by what has GPUs, by the number that worked. A laptop that
// trains on its CPU sold GPU-hours once.
func TestGPUHoursNeedGPUs(t *testing.T) {
	laptop := candidates()[1:2]
	laptop[0].Name, laptop[0].Training[0].GPUs = "laptop", 0
	hours := func(r Result) (rows []string) {
		x, _ := r.Table("training")
		for _, row := range x.Rows {
			if strings.HasPrefix(row[1].Text, "GPU-hours") {
				rows = append(rows, row[0].Text+": "+row[1].Text)
			}
		}
		return rows
	}
	r := Evaluate(laptop, sheet(t, "gpus_per_node,8,1,2026-01-12,test,"), day(asOf))
	require.Empty(t, hours(r), "whatever the sheet says")
	unsold := [][]Cell{{label("laptop"), label("no GPU in the record")}}
	x, _ := r.Table("gpu-hours")
	require.Equal(t, unsold, x.Rows)
	f, ok := r.Figure("economics/thresholds/eu-ai-act-systemic-risk-laptop-mlp/rent")
	require.True(t, ok)
	require.True(t, f.Value.IsAbsent())
	require.Equal(t, noGPU, f.Reason)
	r = Evaluate(laptop, without(sheet(t), "training_price.mlp"), day(asOf))
	_, ok = r.Table("training")
	require.False(t, ok)
	x, _ = r.Table("gpu-hours")
	require.Equal(t, unsold, x.Rows)
	all := whole(t)
	_, ok = all.Table("gpu-hours")
	require.False(t, ok, "all have GPUs")

	// Two cards earn half of what four do, at the same watts; the sheet can only lower
	// their number.
	revenue := func(gpus int, more ...string) float64 {
		node := candidates()[1:2]
		node[0].Training[0].GPUs = gpus
		r := evaluates(t, sheet(t, more...), day(asOf)) // the others, for what must always hold
		require.NotEmpty(t, r.Tables)
		r = Evaluate(node, sheet(t, more...), day(asOf))
		return value(t, r, "economics/training/gpu-node-gpu-hours-mlp/revenue")
	}
	require.InEpsilon(t, 2*revenue(2), revenue(4), 1e-9)
	require.InEpsilon(t, revenue(4), revenue(4, "gpus_per_node,8,1,2026-01-12,test,"), 1e-9)
	require.InEpsilon(t, revenue(3), revenue(4, "gpus_per_node,3,1,2026-01-12,test,"), 1e-9)
	require.InEpsilon(t, revenue(3), revenue(4, "gpus_per_node.gpu-node,3,1,2026-01-12,test,"), 1e-9)
	require.InEpsilon(t, revenue(4), revenue(4, "gpus_per_node.other,3,1,2026-01-12,test,"), 1e-9)
}

// Where work is sold by the unit a faster machine earns more a day; a GPU-hour has the
// market's price, and the faster machine its tokens cheaper.
func TestAMachineADay(t *testing.T) {
	node := func(speed float64) Result {
		c := candidates()[1:2]
		w := &c[0].Training[0]
		w.PerJoule = measured(20*speed, 0.02, "token/J", results.Wall, results.Measured)
		return Evaluate(c, sheet(t, "token_price,0.03,$/million tokens,2026-01-12,test,"), day(asOf))
	}
	slow, fast := node(1), node(2)
	const sold, rented = "economics/training/gpu-node-tokens-mlp/", "economics/training/gpu-node-gpu-hours-mlp/"
	revenue := value(t, slow, sold+"revenue")
	require.InEpsilon(t, 2*revenue, value(t, fast, sold+"revenue"), 1e-9)
	// 10.2 kW behind a PUE of 1.3 for 24 h are 0.318 MWh.
	require.InDelta(t, revenue*0.0102*1.3*24, value(t, fast, sold+"daily")-value(t, slow, sold+"daily"), 1e-6)
	require.Equal(t, value(t, slow, rented+"daily"), value(t, fast, rented+"daily"), "an hour has one price")

	r := whole(t)
	require.InEpsilon(t, value(t, r, "economics/mining/gpu-node/margin")*0.005*1.05*24, value(t, r, "economics/mining/gpu-node/daily"), 1e-9)
	// 200 TH/s at 17.5 J/TH draw 3500 W; at 15 $/TH they cost 3000 $, and 350 $/kW more.
	require.InEpsilon(t, value(t, r, "economics/mining-published/antminer-s21/margin")*0.0035*1.05*24, value(t, r, "economics/mining-published/antminer-s21/daily"), 1e-9)
	f, ok := r.Figure("economics/mining/asic/daily")
	require.True(t, ok)
	require.True(t, f.Value.IsAbsent(), "its watts are not known")
	miner := candidates()[:1]
	miner[0].Mining[0].Power = measured(3500, 0.01, results.Watt, results.Wall, results.Measured)
	r = Evaluate(miner, sheet(t), day(asOf))
	require.InDelta(t, 3000+350*3.5, value(t, r, "economics/mining-investment/asic/machine"), 1e-6)
}
