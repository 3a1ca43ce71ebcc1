package economics

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/perwatt/perwatt/results"
)

// hashpriceOff is the largest relative difference between a published hashprice
// and the one computed from difficulty, fees and price.
const hashpriceOff = 0.005

// anyOf is a requirement that one of several sets of keys meets.
type anyOf [][]string

// part is a part of an evaluation with the prices that it needs.
type part struct {
	id, title string
	needs     []anyOf
	margin    []anyOf // needed in addition for its margin
}

func all(keys ...string) []anyOf {
	var needs []anyOf
	for _, k := range keys {
		needs = append(needs, anyOf{{k}})
	}
	return needs
}

const hourly = "hourly prices" // a series, not a key

var (
	networkKeys    = []string{"network_difficulty", "block_subsidy", "block_fees"}
	needHashprice  = anyOf{{"hashprice"}, append([]string{"bitcoin_price"}, networkKeys...)}
	needPower      = anyOf{{"power_price"}, {hourly}}
	needSale       = anyOf{{"training_price"}, {"token_price"}, {"gpu_hour_price"}}
	needMining     = append([]anyOf{needHashprice}, all("pool_fee", "mining_uptime", "pue_mining")...)
	needTraining   = append([]anyOf{needSale}, all("training_utilisation", "marketplace_fee", "pue_training")...)
	marginMining   = append([]anyOf{needPower}, all("mining_operations", "asic_price", "mining_capex", "mining_life", "discount_rate")...)
	marginTraining = append([]anyOf{needPower}, all("training_operations", "node_price", "training_capex", "training_life", "discount_rate")...)
)

// parts lists the parts of an evaluation, in its order.
var parts = []part{
	{"mining", "Mining", needMining, marginMining},
	{"bitcoin", "Cost of one bitcoin", slices.Concat([]anyOf{needPower}, all(networkKeys...), all("bitcoin_price", "pool_fee", "mining_uptime", "pue_mining", "mining_operations")), nil},
	{"hashprice", "The hashprice below which mining is sold at a loss", slices.Concat(needMining, []anyOf{needPower}, all("mining_operations")), marginMining[2:]},
	{"squeeze", "Who is squeezed first when the network grows", slices.Concat(needMining, []anyOf{needPower}, all("mining_operations")), append([]anyOf{{{"network_growth"}, {"network_difficulty", "network_difficulty_earlier"}}}, all("own_hashrate", "network_difficulty")...)},
	{"share", "Share of the network", all("own_hashrate", "network_difficulty"), all("own_hashrate_earlier", "network_difficulty_earlier")},
	{"switching", "Mining that is switched off when power is expensive", append([]anyOf{{{hourly}}}, needMining...), nil},
	{"break-even", "The least efficient machine that earns its power", append([]anyOf{needHashprice}, all("pool_fee", "pue_mining")...), nil},
	{"colocation", "Colocation", all("colocation_price", "colocation_occupancy", "pue_colocation"), all("colocation_operations", "retrofit_capex", "retrofit_life", "discount_rate")},
	{"training", "Owned training", needTraining, marginTraining},
	{"work", "What a million samples or tokens costs to make", append([]anyOf{needPower}, all("training_utilisation", "pue_training")...), append(all("gpu_hour_price"), marginTraining[1:]...)},
	{"indifference", "The price at which training has the margin of mining", slices.Concat(needMining, marginMining, needTraining, marginTraining), nil},
	{"retrofit", "From mining to colocation", slices.Concat(needMining, []anyOf{needPower}, all("mining_operations", "colocation_occupancy", "pue_colocation", "colocation_operations", "retrofit_capex", "retrofit_life", "discount_rate")), all("colocation_price")},
	{"grow", "Grow hashrate or convert the site", slices.Concat(needMining, marginMining), slices.Concat(all("colocation_price", "colocation_occupancy", "pue_colocation", "colocation_operations", "retrofit_capex", "retrofit_life"), needTraining, marginTraining)},
	{"mullet", "Mining in the background of training", slices.Concat([]anyOf{needHashprice, needPower, needSale}, all("pool_fee", "pue_training", "training_utilisation", "marketplace_fee")), nil},
}

func partOf(id string) part {
	return parts[slices.IndexFunc(parts, func(p part) bool { return p.id == id })]
}

// lacks names the prices that are missing. A key counts as present if any
// candidate or workload has it.
func (p *Prices) lacks(needs []anyOf) []string {
	var out []string
	for _, need := range needs {
		var ways []string
		met := false
		for _, set := range need {
			gone := slices.DeleteFunc(slices.Clone(set), p.has)
			met = met || len(gone) == 0
			ways = append(ways, strings.Join(gone, " and "))
		}
		if text := strings.Join(ways, ", or "); !met && !slices.Contains(out, text) {
			out = append(out, text)
		}
	}
	return out
}

func (p *Prices) has(key string) bool {
	if key == hourly {
		return p.Hours != nil
	}
	return slices.ContainsFunc(p.Sheet, func(x Price) bool {
		name, _, _ := strings.Cut(x.Key, ".")
		return name == key
	})
}

// Check tabulates the prices with their ages, the parts that can be computed from them,
// and what else a sheet may hold.
func (p *Prices) Check(on time.Time) []Table {
	t := Table{ID: "parts", Title: "What can be computed", Columns: heads("part", "state", "lacks")}
	for _, x := range parts {
		state, missing := "left out", p.lacks(x.needs)
		if len(missing) == 0 {
			state, missing = "in part", p.lacks(x.margin) // all but the margin
		}
		if len(missing) == 0 {
			state = "whole"
		}
		t.Rows = append(t.Rows, []Cell{label(x.title), label(state), label(strings.Join(missing, "; "))})
	}
	more := Table{ID: "keys", Title: "What the sheet does not hold", Columns: heads("key", "unit", "what it is")}
	for _, k := range keys {
		if !p.has(k.Name) {
			more.Rows = append(more.Rows, []Cell{label(k.Name), label(k.Units[0].Name), label(k.Help)})
		}
	}
	tables := []Table{p.sheet(on), t}
	if len(more.Rows) > 0 {
		tables = append(tables, more)
	}
	return tables
}

// sheet tabulates the prices as they were quoted.
func (p *Prices) sheet(on time.Time) Table {
	t := Table{ID: "prices", Title: "Prices", Columns: heads("key", "value", "unit", "as of", "days", "source", "note")}
	for _, x := range p.Sheet {
		age := strconv.Itoa(x.Age(on))
		if x.Old(on) {
			age += fmt.Sprintf(" (old: > %d)", x.key().Fresh)
		}
		t.Rows = append(t.Rows, []Cell{label(x.Key), label(x.Text), label(x.Unit), label(x.AsOf.Format(time.DateOnly)), label(age), label(x.Source), label(x.Note)})
	}
	t.note("Days are counted on %s.", on.Format(time.DateOnly))
	if h := p.Hours; h != nil {
		mean := number(h.Mean(), Unit{"", h.unit().Factor})
		t.Rows = append(t.Rows, []Cell{label(hourly), shown(Figure{Figure: mean}), label(h.Unit), label(h.End().Format(time.DateOnly)), label(strconv.Itoa(h.age(on))), label("series"), label("mean")})
		t.Notes = append(t.Notes, h.Notes()...)
	}
	return t
}

// Warnings lists the faults of the prices.
func (p *Prices) Warnings(on time.Time) []results.Warning {
	var out []results.Warning
	warn := func(code, remedy, format string, args ...any) {
		out = append(out, results.Warning{Code: code, Text: fmt.Sprintf(format, args...), Remedy: remedy})
	}
	old, examples := p.faults(on)
	for _, x := range p.Sheet {
		if x.Age(on) < 0 {
			warn("future-price", "evaluate at a later date, or correct as_of", "%s has as_of %s, after %s", x.Key, x.AsOf.Format(time.DateOnly), on.Format(time.DateOnly))
		}
	}
	if len(old) > 0 {
		warn("old-price", "update them, with their day", "out of date: %s", few(old, 8))
	}
	if len(examples) > 0 {
		warn("example-price", "replace them by quotations, with source and day", "%d of the prices are examples that nobody quoted: %s", len(examples), few(examples, 8))
	}
	l := lookupFor(p)
	if published := l.get("hashprice"); !math.IsNaN(published) {
		reward, price, difficulty := l.get("block_subsidy")+l.get("block_fees"), l.get("bitcoin_price"), l.get("network_difficulty")
		if off := published/hashprice(difficulty, reward, price) - 1; math.Abs(off) > hashpriceOff {
			warn("hashprice-mismatch", "use hashprice, difficulty, fees and price of the same hour", "the hashprice differs by %s %% from the one computed from difficulty, fees and price: it implies a difficulty of %.4g T, the sheet has %.4g T",
				minus(fmt.Sprintf("%+.1f", 100*off)), impliedDifficulty(published, reward, price)/1e12, difficulty/1e12)
		}
	}
	if h := p.Hours; h != nil {
		if n := len(h.Prices) + h.Missing; h.Missing*100 > n {
			warn("power-gaps", "complete the series from its source", "%d of %d periods of the hourly prices are missing", h.Missing, n)
		}
	}
	return out
}

// faults names the prices that are out of date, and those that are examples.
func (p *Prices) faults(on time.Time) (old, examples []string) {
	for _, x := range p.Sheet {
		if x.Old(on) {
			old = append(old, fmt.Sprintf("%s (%d days, limit %d)", x.Key, x.Age(on), x.key().Fresh))
		}
		if strings.EqualFold(x.Source, "example") {
			examples = append(examples, x.Key)
		}
	}
	if p.Hours != nil && p.Hours.age(on) > 365 {
		old = append(old, fmt.Sprintf("%s (ended %d days ago, limit 365)", hourly, p.Hours.age(on)))
	}
	return old, examples
}

func (h *Hours) age(on time.Time) int { return Price{AsOf: h.End()}.Age(on) }

// minus writes numbers in a sentence with the sign for people; CSV and JSON keep
// the ASCII hyphen.
func minus(s string) string { return strings.ReplaceAll(s, "-", "−") }

// few joins the first of names.
func few(names []string, most int) string {
	if n := len(names); n > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), n-most)
	}
	return strings.Join(names, ", ")
}

// banner is one line on example or out-of-date prices, empty if there are none.
func (p *Prices) banner(on time.Time) string {
	switch old, examples := p.faults(on); {
	case len(examples) > 0:
		return "EXAMPLE PRICES: nobody quoted them, base no decision on them"
	case len(old) == 1:
		return "OLD PRICES: 1 price is out of date"
	case len(old) > 1:
		return fmt.Sprintf("OLD PRICES: %d prices are out of date", len(old))
	}
	return ""
}

// unit is the unit in which the series is quoted.
func (h *Hours) unit() Unit {
	return energy[slices.IndexFunc(energy, func(u Unit) bool { return u.Name == h.Unit })]
}
