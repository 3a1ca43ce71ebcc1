package report

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/compare"
	"github.com/perwatt/perwatt/results/economics"
	"github.com/perwatt/perwatt/results/report/table"
	"github.com/perwatt/perwatt/results/stats"
)

// The verdict of a comparison in words: which candidate for which use, by how much,
// unless what, and what is not known. Package compare decides, see [compare.Choice];
// a verdict in money rests on those of package economics. Every form of a report
// begins with it.

// verdict is what a reader takes away.
type verdict struct {
	Tone, Sign string // as of a badge
	Head       string
	Sentences  []sentence
	Money      sentence   // at the prices of the sheet
	More       []sentence // folded
}

// shownSentences are those of a verdict on several records that are read at once: on a
// phone there must be room for the machines.
const shownSentences = 1

// sentence is made of texts and of figures, each with the ID that perwatt explain
// takes.
type sentence []phrase

// phrase is a text, or a figure with its unit and, where it is said, its interval.
type phrase struct {
	Text, ID, Interval string
	Absent             bool // it is not shown, unless prices are tried at which it is known
}

func (s sentence) String() string {
	var b strings.Builder
	for _, p := range s {
		b.WriteString(p.Text)
		if p.Interval != "" {
			b.WriteString(" " + p.Interval)
		}
	}
	return b.String()
}

func (s *sentence) say(format string, args ...any) {
	*s = append(*s, phrase{Text: fmt.Sprintf(format, args...)})
}

// figure adds a figure and its interval.
func (s *sentence) figure(f results.Figure, id string) {
	value, interval := table.Split(f)
	*s = append(*s, phrase{Text: value, ID: results.Line(id, 200), Interval: interval})
}

// lines are the verdict as text.
func (v verdict) lines() []string {
	out := []string{v.Head}
	for _, s := range v.Sentences {
		out = append(out, s.String())
	}
	if len(v.Money) > 0 {
		out = append(out, v.Money.String())
	}
	for _, s := range v.More {
		out = append(out, s.String())
	}
	return out
}

// verdictOf draws the verdict.
func verdictOf(p Page) verdict {
	c := p.Comparison
	w := &wording{Page: p}
	for i := range c.Choices {
		if x := &c.Choices[i]; x.Decides() {
			w.uses = append(w.uses, x)
		}
	}
	if len(w.uses) == 0 { // mining alone, or nothing
		for i := range c.Choices {
			w.uses = append(w.uses, &c.Choices[i])
		}
	}
	v := w.compared()
	if len(c.Candidates) == 1 {
		v = w.alone()
	}
	if len(p.Records) == 1 {
		v = single(p.Records[0])
	} else if len(v.Sentences) > shownSentences {
		v.Sentences, v.More = v.Sentences[:shownSentences:shownSentences], v.Sentences[shownSentences:]
	}
	v.Money = w.earns()
	return v
}

// wording finds the words of a verdict.
type wording struct {
	Page
	uses []*compare.Choice
	said map[string]bool // candidates whose hardware was named
}

// of are the choices with an outcome.
func (w *wording) of(o compare.Outcome) (out []*compare.Choice) {
	for _, x := range w.uses {
		if x.Outcome == o {
			out = append(out, x)
		}
	}
	return out
}

// who is a candidate, with its hardware where it is first named.
func (w *wording) who(id string) string {
	name := results.Line(id, 40)
	if w.said[id] {
		return name
	}
	if w.said == nil {
		w.said = map[string]bool{}
	}
	w.said[id] = true
	i := slices.IndexFunc(w.Comparison.Candidates, func(c compare.Candidate) bool { return c.ID == id })
	if what := hardwareOf(&w.Comparison.Candidates[i].Node); what != "" {
		name += " (" + what + ")"
	}
	return name
}

// compared is the verdict on several candidates.
func (w *wording) compared() verdict {
	v := verdict{Tone: "good", Sign: "✓"}
	best, alone := w.of(compare.Best), w.unrivalled()
	switch {
	case len(best)+len(alone) > 0:
		v.Head = "Most work per joule: " + w.winners(slices.Concat(best, alone)) + "."
	case len(w.of(compare.Level)) > 0:
		x := w.of(compare.Level)[0]
		v.Head = fmt.Sprintf("Level at %s: %s give the same work per joule, within the margin of %s.", useName(x), names(tied(x)), table.Percent(w.Comparison.Margin))
	case len(w.of(compare.CannotTell)) > 0:
		x := w.of(compare.CannotTell)[0]
		v.Tone, v.Sign = "fair", "?"
		v.Head = fmt.Sprintf("Cannot tell which gives the most work per joule: %s are not told apart at %s.", names(tied(x)), useName(x))
	case len(w.of(compare.Only)) > 0:
		v.Tone, v.Sign = "fair", "?"
		v.Head = "Cannot tell which gives the most work per joule: at no use were two candidates measured as whole machines at one boundary and grade."
	default:
		v.Tone, v.Sign = "poor", "✕"
		v.Head = "Nothing can be ranked: " + w.because() + "."
	}
	for _, s := range [][]sentence{w.leads(best, alone), w.level(), w.open(), w.only(alone), w.apart(), w.unranked()} {
		for _, s := range s {
			if len(s) > 0 {
				v.Sentences = append(v.Sentences, s)
			}
		}
	}
	return v
}

// unrivalled are the uses at which one candidate competes because of what it is: a
// miner among machines that mine as a control, or the only one that trained the model
// that stands for training.
func (w *wording) unrivalled() (out []*compare.Choice) {
	for _, x := range w.of(compare.Only) {
		_, why := w.Comparison.Standing()
		if mines(x) || x.Stands && why != "" {
			out = append(out, x)
		}
	}
	return out
}

// winners lists who leads where: asic at mining, gpu-node at compute and memory.
func (w *wording) winners(uses []*compare.Choice) string {
	var order []string
	at := map[string][]string{}
	for _, x := range uses {
		id := x.Places[0].Candidate
		if at[id] == nil {
			order = append(order, id)
		}
		at[id] = append(at[id], useName(x))
	}
	if len(order) == 1 && len(uses) == len(w.uses) && len(uses) > 1 {
		return fmt.Sprintf("%s at every use (%s)", w.who(order[0]), words(at[order[0]]))
	}
	var out []string
	for _, id := range order {
		out = append(out, w.who(id)+" at "+words(at[id]))
	}
	return strings.Join(out[:min(len(out), mostNamed)], "; ") + more(len(out)-mostNamed)
}

// mostNamed is how many things a sentence names.
const mostNamed = 4

// words joins names: a, b and c.
func words(all []string) string {
	switch n := len(all); {
	case n == 0:
		return ""
	case n == 1:
		return all[0]
	case n > mostNamed+1:
		return strings.Join(all[:mostNamed], ", ") + more(n-mostNamed)
	default:
		return strings.Join(all[:n-1], ", ") + " and " + all[n-1]
	}
}

func more(n int) string {
	if n <= 0 {
		return ""
	}
	return fmt.Sprintf(" and %d more", n)
}

func names(places []compare.Place) string {
	var out []string
	for _, p := range places {
		out = append(out, results.Line(p.Candidate, 40))
	}
	return words(out)
}

// tied are the places that share the first.
func tied(x *compare.Choice) (out []compare.Place) {
	for _, p := range x.Competing() {
		if p.Place == 1 {
			out = append(out, p)
		}
	}
	return out
}

func useName(x *compare.Choice) string { return results.Line(results.UseWords(x.Table), 60) }

// leads says of each candidate that is best or without a rival somewhere by how much
// it leads the next: at the use where the lead is least, and at the one where it is
// most.
func (w *wording) leads(best, alone []*compare.Choice) (out []sentence) {
	by := map[string][]*compare.Choice{}
	var order []string
	for _, x := range slices.Concat(best, alone) {
		id := x.Places[0].Candidate
		if by[id] == nil {
			order = append(order, id)
		}
		by[id] = append(by[id], x)
	}
	for _, id := range order[:min(len(order), mostNamed)] {
		uses := slices.DeleteFunc(slices.Clone(by[id]), func(x *compare.Choice) bool { return x.Outcome != compare.Best })
		results.SortStable(uses, func(a, b *compare.Choice) int { return cmp.Compare(a.Lead.Value, b.Lead.Value) })
		var s sentence
		s.say("%s", w.who(id))
		if n := len(uses); n > 0 {
			s.say(" gives ")
			s.lead(w, uses[0], nil)
			if n > 1 {
				s.say(", and ")
				s.lead(w, uses[n-1], uses[0])
			}
		}
		n := 0
		for _, x := range by[id] {
			if x.Outcome == compare.Best || n == mostNamed/2 {
				continue
			}
			if n++; len(s) > 1 {
				s.say(", and")
			}
			p, metric := x.Places[0], results.WorkPerEnergy
			if mines(x) {
				metric = results.EnergyPerWork
				s.say(" alone is made for %s: ", useName(x))
			} else {
				s.say(" alone was measured at %s: ", useName(x))
			}
			f, _ := p.Figure(metric)
			s.figure(f, p.Row+"/"+metric)
		}
		s.say(".")
		out = append(out, s)
	}
	return out
}

// mines reports whether a miner is the only one to compete.
func mines(x *compare.Choice) bool {
	return slices.ContainsFunc(x.Places, func(p compare.Place) bool { return p.Reason == compare.NoMiner })
}

// lead says by how much the first leads the next at a use, after it was said of
// another.
func (s *sentence) lead(w *wording, x, said *compare.Choice) {
	f, next := x.Lead, x.Places[1].Candidate
	if f.Value < 2 {
		f.Value, f.Low, f.High = f.Value-1, f.Low-1, f.High-1
		value, interval := table.Split(f)
		s.say("%s %s more", value, interval)
	} else {
		f.Unit = "×"
		value, interval := table.Split(f)
		s.say("%s times %s", strings.TrimSuffix(value, " ×"), interval)
	}
	switch {
	case said != nil && said.Places[1].Candidate == next && (said.Lead.Value < 2) == (x.Lead.Value < 2):
	case x.Lead.Value < 2:
		s.say(" work per joule than %s", w.who(next))
	default:
		s.say(" the work per joule of %s", w.who(next))
	}
	s.say(" at %s", useName(x))
}

// level says where nobody is worse than another by more than the margin.
func (w *wording) level() (out []sentence) {
	for _, x := range w.of(compare.Level)[:min(mostNamed, len(w.of(compare.Level)))] {
		var s sentence
		s.say("At %s %s are level, within the margin of %s.", useName(x), names(tied(x)), table.Percent(w.Comparison.Margin))
		out = append(out, s)
	}
	return out
}

// open says who is not told apart, and what would settle it.
func (w *wording) open() (out []sentence) {
	open := w.of(compare.CannotTell)
	for _, x := range open[:min(len(open), mostNamed/2)] {
		var s sentence
		s.say("At %s %s are not told apart: %s.", useName(x), names(tied(x)), settles(x.Settle))
		out = append(out, s)
	}
	if n := len(open) - mostNamed/2; n > 0 {
		out = append(out, sentence{{Text: fmt.Sprintf("It is the same at %s.", results.Plural(n, "more use"))}})
	}
	return out
}

// settles says what would lead to a verdict.
func settles(d stats.Decision) string {
	switch {
	case d.Reason == stats.AccuracyUnknown:
		return "the accuracy of the meters is not stated: accuracy= states it, or one meter reads both"
	case d.Meter:
		return "one meter for all, or a better one, would settle it, and more sessions would not"
	case d.Sessions >= 1000:
		return "no number of sessions that anyone would run settles it"
	case d.Sessions > 0:
		return results.Plural(d.Sessions, "more session") + " of each would settle it, if the figures stay as they are"
	}
	return "more sessions would settle it"
}

// only says who is without a rival where that is by chance.
func (w *wording) only(unrivalled []*compare.Choice) (out []sentence) {
	rest := map[string][]string{}
	var order []string
	for _, x := range w.of(compare.Only) {
		if id := x.Places[0].Candidate; !slices.Contains(unrivalled, x) {
			if rest[id] == nil {
				order = append(order, id)
			}
			rest[id] = append(rest[id], useName(x))
		}
	}
	var parts []string
	for _, id := range order[:min(len(order), mostNamed)] {
		parts = append(parts, results.Line(id, 40)+" at "+words(rest[id]))
	}
	if len(parts) > 0 {
		out = append(out, sentence{{Text: "Measured on one machine alone, and so not compared: " + strings.Join(parts, "; ") + more(len(order)-mostNamed) + "."}})
	}
	return out
}

// apart says which candidates were measured too differently.
func (w *wording) apart() (out []sentence) {
	var at []string
	for _, x := range w.of(compare.Apart) {
		at = append(at, useName(x))
	}
	if len(at) > 0 {
		out = append(out, sentence{{Text: "Not compared at " + words(at) + ": the watts were counted at different boundaries or grades; one kind of meter at one boundary, for the same time, would settle it."}})
	}
	return out
}

// unranked says who is left out of the uses that decide, and what would bring it in.
func (w *wording) unranked() (out []sentence) {
	by := map[stats.Reason][]string{}
	var order []stats.Reason
	for _, x := range w.uses {
		for _, p := range x.Places {
			switch p.Reason {
			case "", compare.NoMiner, compare.CPUAlone:
				continue
			case compare.OtherBoundary:
				if x.Outcome == compare.Apart {
					continue
				}
			}
			if by[p.Reason] == nil {
				order = append(order, p.Reason)
			}
			if name := results.Line(p.Candidate, 40); !slices.Contains(by[p.Reason], name) {
				by[p.Reason] = append(by[p.Reason], name)
			}
		}
	}
	for _, why := range order {
		r, ok := remedies[why]
		if !ok {
			continue
		}
		var s sentence
		if len(w.of(compare.Unranked)) == len(w.uses) {
			s.say("What would settle it: %s.", r.remedy)
		} else {
			s.say("Not ranked: %s, whose %s. What would settle it: %s.", words(by[why]), r.what, r.remedy)
		}
		out = append(out, s)
	}
	return out
}

// because says why nobody is ranked.
func (w *wording) because() string {
	var parts []string
	for _, x := range w.uses {
		for _, p := range x.Places {
			if r, ok := remedies[p.Reason]; ok && !slices.Contains(parts, r.what) {
				parts = append(parts, r.what)
			}
		}
	}
	if len(parts) == 0 {
		return "no use was measured on a whole machine"
	}
	return "the candidates' " + strings.Join(parts, ", or their ")
}

// remedies say what is wrong with what belongs to a candidate, and what would bring it
// into the ranking.
var remedies = map[stats.Reason]struct{ what, remedy string }{
	stats.NotMeasured:     {"watts were modelled or declared, not measured", "a meter at the wall (perwatt meters shows how to name it), and the same runs again"},
	stats.NoPower:         {"watts were not read", "a meter at the wall (perwatt meters shows how to name it), and the same runs again"},
	stats.BreaksRules:     {"records break the publish rules", "perwatt run --preset publish (perwatt verify --rules publish FILE names the rules)"},
	stats.MixedMeters:     {"sessions are of different meters", "sessions at one meter and boundary"},
	compare.OtherBoundary: {"watts were counted at another boundary or grade", "the meter of the others"},
}

// alone is the verdict on one candidate: what it gives, and whether that is to be
// trusted.
func (w *wording) alone() verdict {
	c := w.Comparison
	v := verdict{Tone: "good", Sign: "✓"}
	var s sentence
	s.say("%s", w.who(c.Reference))
	n := 0
	for _, x := range w.uses {
		if len(x.Places) == 0 {
			continue
		}
		p := x.Places[0]
		f, ok := p.Figure(results.WorkPerEnergy)
		if !ok {
			continue
		}
		switch {
		case n == mostNamed:
			s.say(", and %s", results.Plural(len(w.uses)-n, "more use"))
		case n == 0:
			s.say(" gives ")
		case n < mostNamed:
			s.say(", ")
		}
		if n < mostNamed {
			s.figure(f, p.Row+"/"+results.WorkPerEnergy)
			s.say(" at %s%s", useName(x), onDevice(p.Device))
		}
		n++
	}
	if n == 0 {
		return verdict{Tone: "poor", Sign: "✕", Head: results.Line(c.Reference, 40) + " was measured without watts: there is throughput only."}
	}
	s.say(".")
	v.Sentences = append(v.Sentences, s)
	valid, broken := 0, ""
	for _, r := range c.Candidates[0].Records {
		if r.Valid {
			valid++
		} else {
			broken = cmp.Or(broken, r.Broken)
		}
	}
	all := len(c.Candidates[0].Records)
	switch unfit := w.of(compare.Unranked); {
	case len(unfit) == 0:
		v.Head = fmt.Sprintf("Fit to be ranked: %s, and the watts were measured.", keeps(valid, all))
	default:
		v.Tone, v.Sign = "fair", "!"
		p := unfit[0].Places[0]
		v.Head = "Not to be ranked: " + results.Line(p.Why, table.TextLimit) + "."
		if r, ok := remedies[p.Reason]; ok {
			v.Sentences = append(v.Sentences, sentence{{Text: "What would settle it: " + r.remedy + "."}})
		}
	}
	return v
}

// single is the verdict on one record: what its machine does, whether that can be
// trusted, and what would help most, as at the end of a run.
func single(rec *results.Record) verdict {
	trusted, why, first := trust(rec)
	v := verdict{Tone: "fair", Sign: "!", Head: "Not to be trusted: " + why + "."}
	if trusted {
		v = verdict{Tone: "good", Sign: "✓", Head: "To be trusted: " + why + "."}
	}
	if best := bestOf(rec); best != "" {
		v.Sentences = append(v.Sentences, sentence{{Text: "Best on " + results.Line(cmp.Or(rec.Node.Name, rec.ID), 40) + ": " + best + "."}})
	}
	if first != "" {
		v.Sentences = append(v.Sentences, sentence{{Text: "What would help most: " + first + "."}})
	}
	return v
}

func keeps(valid, all int) string {
	if all == 1 {
		return "the record keeps the publish rules"
	}
	return fmt.Sprintf("%d of %s keep the publish rules", valid, results.Plural(all, "record"))
}

func onDevice(device string) string {
	if device == "" {
		return ""
	}
	return " on " + results.Line(device, 60)
}

// hardwareOf is the hardware of a node in short: what it is bought for.
func hardwareOf(n *results.Node) string {
	cards, cpus := hardware(n)
	return results.Line(cmp.Or(cards, cpus), 90)
}

// hardware names the cards or miner and the processors of a node, each with its count
// where that is known and not 1.
func hardware(n *results.Node) (cards, cpus string) {
	var other []string
	for _, d := range n.Hardware() {
		count := d.Count
		if d.Kind == results.KindCPU && n.CPU.Sockets > 0 {
			count = n.CPU.Sockets
		}
		name := shortModel(d.Model)
		if name == "" {
			name = string(d.Kind)
		}
		if count > 1 {
			name = fmt.Sprintf("%d × %s", count, name)
		}
		if d.Kind == results.KindCPU {
			cpus = name
		} else {
			other = append(other, name)
		}
	}
	return strings.Join(other, " + "), cpus
}

// shortModel leaves out of a model what tells nobody anything.
func shortModel(model string) string {
	return strings.Join(strings.Fields(inModels.ReplaceAllString(results.Line(model, 120), " ")), " ")
}

var inModels = regexp.MustCompile(`\((R|TM|r|tm)\)|®|™| CPU @ .*$| [0-9]+-Core Processor| Processor$`)

// earning is a row of a ledger.
type earning struct {
	what          string // is sold
	id            string // of the row: economics/TABLE/ROW
	margin        economics.Figure
	profitability economics.Profitability
}

// earningsOf returns the rows of the ledgers of mining and training whose measured
// figure is that of a row of the comparison, by its ID.
func earningsOf(r *economics.Result) map[string][]earning {
	out := map[string][]earning{}
	for _, name := range []string{"mining", "training"} {
		t, _ := r.Table(name)
		for _, row := range t.Rows {
			var e earning
			for _, c := range row {
				switch {
				case c.Verdict != "":
					e.profitability = c.Verdict
				case c.Figure != nil && strings.HasSuffix(c.Figure.ID, "/margin"):
					e.margin, e.id = *c.Figure, strings.TrimSuffix(c.Figure.ID, "/margin")
				}
			}
			if e.what = "mining"; name == "training" {
				e.what = row[1].Text
			}
			for _, in := range e.margin.Inputs {
				for _, metric := range []string{results.EnergyPerWork, results.WorkPerEnergy, results.Power} {
					if of, ok := strings.CutSuffix(in, "/"+metric); ok {
						out[of] = append(out[of], e)
					}
				}
			}
		}
	}
	return out
}

// earnsID is the name under which a page answers what earns most.
const earnsID = "earns"

// earners are the uses and machines on which a verdict in money may rest.
func earners(p Page) []economics.Option {
	options := []economics.Option{}
	by := earningsOf(p.Economics)
	for i := range p.Comparison.Choices {
		x := &p.Comparison.Choices[i]
		if x.Control {
			continue
		}
		for _, at := range x.Places {
			for _, e := range by[at.Row] {
				if at.Reason != compare.NoMiner && e.margin.Unfit == "" {
					options = append(options, economics.Option{
						Name: results.Line(e.what, 80), Kind: results.Line(at.Candidate, 40), Mining: strings.HasPrefix(e.id, "economics/mining/"),
						Figures: []string{e.margin.ID, e.id + "/daily", e.id + "/break-even"}, Verdict: e.profitability,
					})
				}
			}
		}
	}
	return options
}

// caveat follows the mention of prices that are not to be relied on.
func caveat(r *economics.Result) string {
	if r.Banner == "" {
		return ""
	}
	return ", which are not to be relied on,"
}

// earns says what earns most, and up to which price.
func (w *wording) earns() (s sentence) {
	if w.Economics == nil {
		return nil
	}
	figures := map[string]economics.Figure{}
	for f := range w.Economics.Figures() {
		figures[f.ID] = f
	}
	options := earners(w.Page)
	for i := range options {
		options[i] = options[i].Fill(figures)
	}
	for _, p := range economics.EarnsMost(options, caveat(w.Economics)) {
		value, interval := "", ""
		if p.Figure != "" {
			value, interval = table.Split(figures[p.Figure].Figure)
		}
		if !p.Interval {
			interval = ""
		}
		s = append(s, phrase{Text: p.Text + value, ID: p.Figure, Interval: interval})
	}
	return s
}
