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

// hashpriceOff is how far a published hashprice may lie from the one that
// follows from difficulty, fees and price, relative.
const hashpriceOff = 0.005

// anyOf is a need that one of several sets of keys meets.
type anyOf [][]string

// Part is a part of an evaluation and the prices that it needs.
type Part struct {
	ID, Title string
	needs     []anyOf // without which it is left out
	margin    []anyOf // without which it stops before the margin
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
	needSale       = anyOf{{"training_price"}, {"gpu_hour_price", "gpus_per_node"}}
	needMining     = append([]anyOf{needHashprice}, all("pool_fee", "mining_uptime", "pue_mining")...)
	needTraining   = append([]anyOf{needSale}, all("training_utilisation", "marketplace_fee", "pue_training")...)
	marginMining   = append([]anyOf{needPower}, all("mining_operations", "asic_price", "mining_capex", "mining_life", "discount_rate")...)
	marginTraining = append([]anyOf{needPower}, all("training_operations", "node_price", "training_capex", "training_life", "discount_rate")...)
)

// Parts lists the parts of an evaluation, in its order.
func Parts() []Part { return slices.Clone(parts) }

var parts = []Part{
	{"mining", "Mining", needMining, marginMining},
	{"bitcoin", "Cost of one bitcoin", slices.Concat([]anyOf{needPower}, all(networkKeys...), all("bitcoin_price", "pool_fee", "mining_uptime", "pue_mining", "mining_operations")), nil},
	{"share", "Share of the network", all("own_hashrate", "network_difficulty"), all("own_hashrate_earlier", "network_difficulty_earlier")},
	{"switching", "Mining that is switched off when power is dear", append([]anyOf{{{hourly}}}, needMining...), nil},
	{"break-even", "The least efficient machine that earns its power", append([]anyOf{needHashprice}, all("pool_fee", "pue_mining")...), nil},
	{"colocation", "Colocation", all("colocation_price", "colocation_occupancy", "pue_colocation"), all("colocation_operations", "retrofit_capex", "retrofit_life", "discount_rate")},
	{"training", "Owned training", needTraining, marginTraining},
	{"indifference", "The price at which training has the margin of mining", slices.Concat(needMining, marginMining, needTraining, marginTraining), nil},
	{"retrofit", "From mining to colocation", slices.Concat(needMining, []anyOf{needPower}, all("mining_operations", "colocation_occupancy", "pue_colocation", "colocation_operations", "retrofit_capex", "retrofit_life", "discount_rate")), all("colocation_price")},
	{"mullet", "Mining in the background of training", slices.Concat([]anyOf{needHashprice, needPower}, all("pool_fee", "pue_training", "training_price", "training_utilisation", "marketplace_fee")), nil},
}

func partOf(id string) Part {
	return parts[slices.IndexFunc(parts, func(p Part) bool { return p.ID == id })]
}

// Lacks names what the part is left out for, and what its margin is. A key is
// there if any candidate or workload has it.
func (t Part) Lacks(p *Prices) (part, margin []string) { return lacks(p, t.needs), lacks(p, t.margin) }

func lacks(p *Prices, needs []anyOf) []string {
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

// Check says what is known, how old it is, and which part lacks what.
func (p *Prices) Check(on time.Time) ([]Table, []results.Warning) {
	sheet := Table{ID: "prices", Title: "Prices", Head: []string{"key", "value", "unit", "as of", "days", "source", "note"}}
	for _, x := range p.Sheet {
		age := strconv.Itoa(x.Age(on))
		if x.Old(on) {
			age += fmt.Sprintf(" (old: > %d)", x.key().Fresh)
		}
		v := plain(x.Value)
		if !math.IsNaN(x.Low) {
			v += fmt.Sprintf(" [%s, %s]", plain(x.Low), plain(x.High))
		}
		sheet.Rows = append(sheet.Rows, []string{x.Key, v, x.Unit, x.AsOf.Format(time.DateOnly), age, x.Source, x.Note})
	}
	sheet.Notes = []string{"Days are counted on " + on.Format(time.DateOnly) + "."}
	tables := []Table{sheet}
	if h := p.Hours; h != nil {
		tables[0].Rows = append(tables[0].Rows, []string{hourly, num(h.Mean() / h.factor()), h.Unit, h.End().Format(time.DateOnly), strconv.Itoa(h.age(on)), "series", "mean"})
		tables[0].Notes = append(tables[0].Notes, h.Notes()...)
	}
	needs := Table{ID: "parts", Title: "What can be worked out", Head: []string{"part", "state", "lacks"}}
	for _, t := range parts {
		part, margin := t.Lacks(p)
		row := []string{t.Title, "whole", ""}
		switch {
		case len(part) > 0:
			row = []string{t.Title, "left out", strings.Join(part, "; ")}
		case len(margin) > 0:
			row = []string{t.Title, "in part", strings.Join(margin, "; ")}
		}
		needs.Rows = append(needs.Rows, row)
	}
	return append(tables, needs), p.Warnings(on)
}

// Warnings says what there is to doubt in the prices.
func (p *Prices) Warnings(on time.Time) []results.Warning {
	var out []results.Warning
	warn := func(code, remedy, format string, args ...any) {
		out = append(out, results.Warning{Code: code, Text: fmt.Sprintf(format, args...), Remedy: remedy})
	}
	old, examples := p.faults(on)
	for _, x := range p.Sheet {
		if x.Age(on) < 0 {
			warn("future-price", "evaluate at a later date, or correct as_of", "%s is of %s, after %s", x.Key, x.AsOf.Format(time.DateOnly), on.Format(time.DateOnly))
		}
	}
	if len(old) > 0 {
		warn("old-price", "quote them again, with their day", "older than such prices stay fresh: %s", few(old, 8))
	}
	if len(examples) > 0 {
		warn("example-price", "put in what was quoted, by whom and when", "nobody quoted %d of the prices, they are examples: %s", len(examples), few(examples, 8))
	}
	c := calc{p: p}
	if said := c.get("hashprice"); !math.IsNaN(said) {
		reward, price, difficulty := c.get("block_subsidy")+c.get("block_fees"), c.get("bitcoin_price"), c.get("network_difficulty")
		if off := said/Hashprice(difficulty, reward, price) - 1; math.Abs(off) > hashpriceOff {
			warn("hashprice-mismatch", "take hashprice, difficulty, fees and price of the same hour", "the hashprice lies %+.1f %% from what difficulty, fees and price give: it belongs to a difficulty of %s T, the sheet says %s T",
				100*off, num(ImpliedDifficulty(said, reward, price)/1e12), num(difficulty/1e12))
		}
	}
	if h := p.Hours; h != nil {
		if n := len(h.Prices) + h.Missing; h.Missing*100 > n {
			warn("power-gaps", "fill the series from its source", "%d of %d periods of the hourly prices are not there", h.Missing, n)
		}
	}
	return out
}

// faults names the prices that are old, and those that nobody quoted.
func (p *Prices) faults(on time.Time) (old, examples []string) {
	for _, x := range p.Sheet {
		if x.Old(on) {
			old = append(old, fmt.Sprintf("%s (%d days, not %d)", x.Key, x.Age(on), x.key().Fresh))
		}
		if strings.EqualFold(x.Source, "example") {
			examples = append(examples, x.Key)
		}
	}
	if p.Hours != nil && p.Hours.age(on) > 365 {
		old = append(old, fmt.Sprintf("%s (end %d days ago, not 365)", hourly, p.Hours.age(on)))
	}
	return old, examples
}

func (h *Hours) age(on time.Time) int { return Price{AsOf: h.End()}.Age(on) }

// few joins the first of names.
func few(names []string, most int) string {
	if n := len(names); n > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), n-most)
	}
	return strings.Join(names, ", ")
}

// banner is one line on old and invented prices, empty if there are none.
func (p *Prices) banner(on time.Time) string {
	switch old, examples := p.faults(on); {
	case len(examples) > 0:
		return "EXAMPLE PRICES: nobody quoted them, decide nothing by them"
	case len(old) == 1:
		return "OLD PRICES: one price is older than such prices stay fresh"
	case len(old) > 1:
		return fmt.Sprintf("OLD PRICES: %d prices are older than such prices stay fresh", len(old))
	}
	return ""
}

func (h *Hours) factor() float64 {
	return energy[slices.IndexFunc(energy, func(u Unit) bool { return u.Name == h.Unit })].Factor
}
