package economics

import "math"

// The answers to the questions of a site, in words. What they share is not inlined: speed
// is nothing to a sentence, and the program has a bound on its size. A page whose prices are tried gives
// them anew: javascript_test.go translates these functions as it does those of terms.go.

// Option is what an answer chooses from. Numbers are NaN and verdicts [NoVerdict] where a
// figure is not known or tables leave it out.
type Option struct {
	Name    string   // of the machine, or what is done
	Kind    string   // what it is an option of: one of each is weighed
	Fit     bool     `json:",omitempty"` // a verdict may rest on it
	Judged  bool     `json:",omitempty"` // … and its watts are those of the whole machine
	Mining  bool     `json:",omitempty"` // it mines
	Exact   bool     `json:",omitempty"` // it follows from prices alone
	Why     string   `json:",omitempty"` // it is not known
	Figures []string // IDs: the first decides

	Values    []float64     `json:"-"`          // of the figures, in their units
	Low, High float64       `json:"-"`          // of the first
	Verdict   Profitability `json:",omitempty"` // that rests on the first
}

// Part is a piece of an answer: a text, or the ID of a figure, printed with its interval
// or without.
type Part struct {
	Text     string
	Figure   string
	Interval bool
}

func (o Option) value() float64 { return o.Values[0] }

// said adds a text and the i-th of some figures, if it is known by its value.
//
//go:noinline
func said(parts []Part, before string, figures []string, values []float64, i int, after string) []Part {
	if math.IsNaN(values[i]) {
		return parts
	}
	return append(parts, Part{Text: before}, Part{Figure: figures[i]}, Part{Text: after})
}

// preferred is the index of the option that is judged, if one is, and has the least
// value, of those that may be judged at all and are known; −1 for none.
//
//go:noinline
func preferred(options []Option) int {
	best := -1
	for i, o := range options {
		if o.Fit && !math.IsNaN(o.value()) {
			if best < 0 || o.Judged && !options[best].Judged {
				best = i
			} else if o.Judged == options[best].Judged && o.value() < options[best].value() {
				best = i
			}
		}
	}
	return best
}

// soldAtALoss answers at which hashprice mining is sold at a loss. The figures are the
// hashprices for power and operations and for capital too, and that of the sheet.
func soldAtALoss(options []Option) []Part {
	best := preferred(options)
	if best < 0 {
		return []Part{}
	}
	o := options[best]
	parts := []Part{{Text: "Below "}, {Figure: o.Figures[0]}, {Text: " " + o.Name + " loses cash"}}
	parts = said(parts, ", below ", o.Figures, o.Values, 1, " it does not return its price")
	return append(parts, Part{Text: "; the sheet has "}, Part{Figure: o.Figures[2]}, Part{Text: "."})
}

// squeezedFirst answers who is squeezed first when the network grows. The figures are the
// growth, when it is reached, and the company's share then.
func squeezedFirst(options []Option) []Part {
	first := preferred(options)
	if first < 0 {
		return []Part{}
	}
	o := options[first]
	of := "Of the miners measured, "
	if !o.Judged {
		of = "Of miners as published, "
	}
	parts := []Part{{Text: of + o.Name + " is the first whose cash is 0"}}
	if o.value() <= 0 {
		return append(parts, Part{Text: ", already now."})
	}
	parts = said(parts, ": after a growth of ", o.Figures, o.Values, 0, "")
	parts = said(parts, ", in ", o.Figures, o.Values, 1, "")
	parts = said(parts, "; the company's share would then be ", o.Figures, o.Values, 2, "")
	return append(parts, Part{Text: "."})
}

// low and high are the interval of the figure that decides; what follows from prices
// alone is exact.
func (o Option) low() float64 {
	if o.Exact {
		return o.value()
	}
	return o.Low
}

func (o Option) high() float64 {
	if o.Exact {
		return o.value()
	}
	return o.High
}

// highest is the index of the highest option that may be judged, whose kind none of the
// others has; −1 for none.
func highest(options, others []Option) int {
	best := -1
	for i, o := range options {
		taken := false
		for _, x := range others {
			taken = taken || x.Kind == o.Kind
		}
		if !taken && o.Judged && !math.IsNaN(o.value()) && (best < 0 || o.value() > options[best].value()) {
			best = i
		}
	}
	return best
}

// growOrConvert answers with the best option of each kind that may be judged. One is
// better only if its interval lies above those of the others, and above 0. The figures
// are the margin and the payback.
func growOrConvert(options []Option) []Part {
	kinds := []Option{}
	mining := false
	for n := 0; n < len(options); n++ {
		if i := highest(options, kinds); i >= 0 {
			kinds = append(kinds, options[i])
			mining = mining || options[i].Mining
		}
	}
	if !mining {
		return []Part{{Text: "Cannot tell: no miner was measured that may be judged; the table has what is known."}}
	}
	if len(kinds) == 1 {
		return []Part{{Text: "Cannot tell: there is nothing to hold mining against; the table says what it leaves."}}
	}
	top := kinds[0]
	clear := top.low() > 0
	for i, o := range kinds {
		clear = clear && (i == 0 || top.low() > o.high())
	}
	word := "Convert: "
	if top.value() < 0 {
		word = "Neither leaves anything: "
	} else if !clear {
		word = "Cannot tell, the intervals do not separate: "
	} else if top.Mining {
		word = "Grow: "
	}
	parts := []Part{}
	for i, o := range kinds {
		if i > 0 {
			word = ", "
		}
		parts = said(parts, word+o.Name+" leaves ", o.Figures, o.Values, 0, "")
		parts = said(parts, " and pays back in ", o.Figures, o.Values, 1, "")
	}
	return append(parts, Part{Text: "; each after what the site pays for it."})
}

// rankOf orders verdicts from the worst to the best.
//
//go:noinline
func rankOf(v Profitability) int {
	switch v {
	case Earns:
		return 3
	case CannotTell:
		return 2
	case Loses:
		return 1
	}
	return 0
}

// mulletOrNot answers with the best of the co-runs that a verdict rests on. The figures
// are what is left, and what is left switched by the hour, where hours are priced.
func mulletOrNot(options []Option) []Part {
	best := 0
	for i, o := range options {
		b := options[best]
		if rankOf(o.Verdict) > rankOf(b.Verdict) || rankOf(o.Verdict) == rankOf(b.Verdict) && (math.IsNaN(b.value()) || o.value() > b.value()) {
			best = i
		}
	}
	o := options[best]
	parts := []Part{}
	word, verdict := "", o.Verdict
	switch verdict {
	case Earns:
		word = "Yes: " + o.Name + " mining leaves "
	case Loses:
		word = "No: at best, " + o.Name + ", mining leaves "
	case CannotTell:
		word = "Cannot tell: " + o.Name + " mining leaves "
	}
	if word == "" {
		why := o.Why
		if !math.IsNaN(o.value()) || why == "" {
			why = "no verdict may rest on the co-runs that were measured"
		}
		return append(parts, Part{Text: "Cannot tell: " + why + "."})
	}
	parts = said(parts, word, o.Figures, o.Values, 0, " after its power and what is forgone in front")
	if o.Verdict == CannotTell {
		parts = append(parts, Part{Text: ", and its interval holds 0 or the watts leave out a part of the node"})
	}
	if len(o.Figures) > 1 {
		parts = said(parts, "; switched by the hour it leaves ", o.Figures, o.Values, 1, "")
	}
	return append(parts, Part{Text: "."})
}

// EarnsMost says what earns most of the options that a verdict rests on, and what is
// next. Kinds are the candidates, and names what each sells. The figures are the margin,
// that of one machine, and the price at which it breaks even: of power for what mines, of
// the work for the rest. caveat follows the prices.
func EarnsMost(options []Option, caveat string) []Part {
	best := earning(options, "")
	if best < 0 {
		return []Part{}
	}
	o := options[best]
	word := " nothing is sure to earn its costs. The best is " + o.Kind + ", with "
	if o.Verdict == Earns {
		word = " " + o.Kind + " earns most, with "
	}
	parts := []Part{{Text: "At the prices of the sheet" + caveat + word + o.Name + ": "}, {Figure: o.Figures[0], Interval: true}}
	parts = said(parts, ", ", o.Figures, o.Values, 1, " a machine")
	if o.Mining {
		parts = said(parts, "; it pays for its power up to ", o.Figures, o.Values, 2, "")
	} else {
		parts = said(parts, "; it pays for itself from ", o.Figures, o.Values, 2, "")
	}
	if next := earning(options, o.Kind); next >= 0 {
		parts = said(parts, ". Next is "+options[next].Kind+", with "+options[next].Name+": ", options[next].Figures, options[next].Values, 0, "")
	}
	return append(parts, Part{Text: "."})
}

// earning is the index of the option with the highest value that a verdict rests on, of
// another kind than one; −1 for none.
//
//go:noinline
func earning(options []Option, not string) int {
	best := -1
	for i, o := range options {
		if o.Kind != not && o.Verdict != NoVerdict && !math.IsNaN(o.value()) && (best < 0 || o.value() > options[best].value()) {
			best = i
		}
	}
	return best
}
