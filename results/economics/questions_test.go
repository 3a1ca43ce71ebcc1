package economics

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/stats"
)

// answer writes a question's answer with four digits a figure.
func answer(t *testing.T, r Result, table string) string {
	t.Helper()
	i := slices.IndexFunc(r.Questions, func(q Question) bool { return q.Table == table })
	require.GreaterOrEqual(t, i, 0, table)
	var b strings.Builder
	for _, c := range r.Questions[i].Answer {
		if c.Figure == nil {
			b.WriteString(c.Text)
			continue
		}
		require.True(t, c.Figure.shown(), "an answer holds no figure that tables leave out")
		fmt.Fprintf(&b, "%.4g", float64(c.Figure.Value))
	}
	return b.String()
}

// The questions that a site has, and what the numbers of whole say to each.
func TestQuestions(t *testing.T) {
	r := whole(t)
	require.Len(t, r.Questions, 4)
	for _, q := range r.Questions {
		table, ok := r.Table(q.Table)
		require.True(t, ok, q.Question)
		for _, c := range q.Answer { // every number stands in the table, too
			if c.Figure == nil {
				continue
			}
			require.True(t, slices.ContainsFunc(table.Rows, func(row []Cell) bool {
				return slices.ContainsFunc(row, func(of Cell) bool {
					return of.Figure != nil && of.Figure.ID == c.Figure.ID && of.Figure.Value == c.Figure.Value
				})
			}), q.Question)
		}
	}
	require.Equal(t, "Below 20.37 ASIC loses cash, below 39.98 it does not return its price; the sheet has 42.18.", answer(t, r, "hashprice"))
	require.Equal(t, "Of the miners measured, ASIC is the first whose cash is 0: after a growth of 107.1, in 3.262; the company's share would then be 0.4498.", answer(t, r, "squeeze"))
	require.Equal(t, "Convert: training on GPU node (samples, mlp) leaves 192.8 and pays back in 2.673, letting the site leaves 17.78 and pays back in 6.378, mining with ASIC leaves 4.64 and pays back in 2.85; each after what the site pays for it.", answer(t, r, "grow"))
	require.Equal(t, "No: at best, behind mlp on GPU node, mining leaves -181.5 after its power and what is forgone in front; switched by the hour it leaves 0.", answer(t, r, "mullet"))
}

func TestGrowOrConvert(t *testing.T) {
	site := func(in []Candidate, prices ...string) string {
		p := sheet(t)
		for i := 0; i < len(prices); i += 2 {
			var v float64
			_, err := fmt.Sscan(prices[i+1], &v)
			require.NoError(t, err)
			p = with(p, prices[i], v)
		}
		return answer(t, Evaluate(in, p, day(asOf)), "grow")
	}
	cheap := []string{"colocation_price", "100", "gpu_hour_price", "1", "training_price.mlp", "0.01"}
	require.Regexp(t, `^Grow: mining with ASIC leaves 4\.64`, site(candidates(), cheap...))
	require.Regexp(t, "^Neither leaves anything: ", site(candidates(), append(cheap, "power_price", "80")...))
	require.Regexp(t, "^Cannot tell, the intervals do not separate: ", site(candidates(), "colocation_price", "118", "gpu_hour_price", "1", "training_price.mlp", "0.01"), "5.77 is within the interval of mining")
	unfit := candidates()
	unfit[0].Mining[0].Efficiency.Unfit, unfit[0].Mining[0].Efficiency.UnfitWhy = "breaks-rules", "it is not ranked"
	require.Regexp(t, "^Cannot tell: no miner was measured", site(unfit))
	unfit = candidates()
	unfit[1].Training[0].PerJoule.Unfit, unfit[1].Training[0].Power.Unfit = "breaks-rules", "breaks-rules"
	require.Regexp(t, "^Convert: letting the site", site(unfit), "training is not in it")
	require.Regexp(t, "^Cannot tell: no miner", site(candidates()[1:]), "a node mines as a control, and published machines carry no verdict")
	wide := candidates()
	wide[1].Training[0].PerJoule = measured(20, 0.9, perJoule, results.Wall, results.Measured)
	require.Regexp(t, "^Cannot tell, the intervals", site(wide))
}

// The hashprices and growths of the tables are those at which the ledger is 0.
func TestQuestionsClose(t *testing.T) {
	r := whole(t)
	put := func(key string, v float64) Result {
		p := sheet(t)
		i := slices.IndexFunc(p.Sheet, func(x Price) bool { return x.Key == key })
		p.Sheet[i].Value, p.Sheet[i].SI = v, v*p.Sheet[i].factor
		return Evaluate(candidates(), p, day(asOf))
	}
	difficulty := value(t, r, "economics/squeeze/asic/difficulty")
	require.InEpsilon(t, 150*(1+value(t, r, "economics/squeeze/asic/growth")/100), difficulty, 1e-9)
	v := put("network_difficulty", difficulty)
	require.InDelta(t, value(t, v, "economics/mining/asic/operations"), value(t, v, "economics/mining/asic/after-power"), 1e-9)
	require.InEpsilon(t, value(t, v, "economics/share/site/now"), value(t, r, "economics/squeeze/asic/share"), 1e-9)
	at := func(hashprice float64) Result {
		return Evaluate(candidates(), sheet(t, fmt.Sprintf("hashprice,%.12f,$/PH/day,2026-01-12,test,", hashprice)), day(asOf))
	}
	v = at(value(t, r, "economics/hashprice/asic/cash"))
	require.InDelta(t, value(t, v, "economics/mining/asic/operations"), value(t, v, "economics/mining/asic/after-power"), 1e-6)
	v = at(value(t, r, "economics/hashprice/asic/margin"))
	require.InDelta(t, 0, value(t, v, "economics/mining/asic/margin"), 1e-6)

	// The network grows by 25 % a year: 1.25^years is the growth.
	years := value(t, r, "economics/squeeze/asic/after")
	require.InDelta(t, 107.074, (math.Pow(1.25, years)-1)*100, 0.001)
	// … or as it did since an earlier difficulty: 150 from 100 in a year.
	p := without(sheet(t, "network_difficulty_earlier,100,T,2025-01-12,test,", "own_hashrate_earlier,8,EH/s,2025-01-12,test,"), "network_growth")
	v = Evaluate(candidates(), p, day(asOf))
	require.InDelta(t, 107.074, (math.Pow(1.5, value(t, v, "economics/squeeze/asic/after"))-1)*100, 0.001)
	require.InDelta(t, 50, value(t, v, "economics/share/site/network"), 1e-9)
	require.InDelta(t, 25, value(t, v, "economics/share/site/own"), 1e-9)

	table, _ := r.Table("squeeze")
	last := -100.0
	for _, row := range table.Rows {
		require.GreaterOrEqual(t, float64(row[2].Figure.Value), last, "in the order of their growth")
		last = float64(row[2].Figure.Value)
	}
	dear := put("power_price", 200)
	f, _ := dear.Figure("economics/squeeze/asic/after")
	require.True(t, f.Value.IsAbsent())
	require.Equal(t, "Of the miners measured, ASIC is the first whose cash is 0, already now.", answer(t, dear, "squeeze"))
}

// An answer judges nothing that may not be ranked, and what makers publish only with a
// word that says so.
func TestAnswersOnWhatMayNotBeRanked(t *testing.T) {
	in := candidates()
	for i := range in {
		c := &in[i]
		c.Mining[0].Efficiency.Unfit = stats.BreaksRules
		for j := range c.Training {
			c.Training[j].PerJoule.Unfit, c.Training[j].Power.Unfit = stats.BreaksRules, stats.BreaksRules
		}
		for j := range c.Mullets {
			c.Mullets[j].Unfit = stats.BreaksRules
		}
	}
	r := Evaluate(in, sheet(t), day(asOf))
	require.Len(t, r.Questions, 4)
	for _, q := range r.Questions {
		text := answer(t, r, q.Table)
		require.Regexp(t, "^Cannot tell: no |as published", text)
		for _, c := range in {
			require.NotContains(t, text, c.Name)
		}
	}
	for _, table := range r.Tables {
		for _, row := range table.Rows {
			for _, c := range row {
				require.Contains(t, []Profitability{"", NoVerdict}, c.Verdict, table.ID)
			}
		}
	}
}
