package results

import (
	"fmt"
	"math"
	"slices"
)

// ClaimRow is what one device said of itself over the window of one run, and
// how that stands to what was measured there. It is never ranked: a device is
// no instrument, and many are wrong about themselves.
type ClaimRow struct {
	Run      string `json:"run"` // scenario/round
	Device   string `json:"device"`
	API      string `json:"api"`
	Model    string `json:"model,omitempty"`
	Firmware string `json:"firmware,omitempty"`
	Mode     string `json:"mode,omitempty"`

	Rate     SelfReported `json:"rate"`                // hash/s, over the window
	RateFrom string       `json:"rate_from,omitempty"` // the figure that it is made from, and how; or why there is none
	Ratio    Float        `json:"ratio"`               // Rate over the measured rate of its use; null if that is not known

	// Accepted is the rate that its accepted shares stand for, over Rate: both
	// are its own, so it needs no pool. Low and High bound its 95 % interval,
	// for shares are counted; null where they are not.
	Accepted Float `json:"accepted"`
	Low      Float `json:"accepted_low"`
	High     Float `json:"accepted_high"`

	Power         SelfReported `json:"power"` // W, the mean of its answers
	PowerFrom     string       `json:"power_from,omitempty"`
	Boundary      Boundary     `json:"boundary,omitempty"` // of Power, as in [SelfReportedField]
	Origin        Origin       `json:"origin,omitempty"`
	EnergyPerWork SelfReported `json:"energy_per_work"` // J/hash: Power over Rate
	Temperature   SelfReported `json:"temperature"`     // K, at the end: the first that it says

	Answers int `json:"answers"` // given, of
	Asked   int `json:"asked"`
}

// The rules for claims.
const (
	claimApart = 0.1 // relative, of a claimed rate from the measured one, beyond which it is a doubt
	// A rate of its own and the shares of its own that lie further apart than
	// this, interval included, cannot both be true. Five recorded devices had
	// 0.93 to 0.99; one had 7.9.
	claimLeast, claimMost = 0.8, 1.25

	clocksApart = 5    // s, that two clocks of one device, or its and ours, may differ by
	now         = 5    // s, an average over which is of now
	agree       = 0.05 // relative, by which an average may reach back beyond the window
	forgets     = 3    // times of an average after which what was before is 5 % of it
)

// claims summarises what the devices said in each good run.
func (d *deriver) claims() (rows []ClaimRow) {
	type use struct {
		run  *indexedRun
		name string
	}
	measured := map[use]Float{} // hash/s
	for _, w := range d.windows {
		if _, first := measured[use{w.run, w.Use.Use}]; !first && w.Use.Unit == Hash {
			measured[use{w.run, w.Use.Use}] = w.Throughput()
		}
	}
	for _, r := range d.good {
		for j := range r.Claims {
			c := &r.Claims[j]
			shares := 0.0
			for k := range c.Samples {
				d.spend(8 * (1 + len(c.Samples[k].Figures)))
				shares = max(shares, float64(c.Samples[k].value(ReportedShares)))
			}
			d.counting(2 * shares)
			row := c.Over(Float(r.from), Float(r.to))
			row.Run = r.name
			d.copied(r.name)
			if rate, known := measured[use{r, c.Use}]; known {
				row.Ratio = row.Rate.Against(rate)
			}
			rows = append(rows, row)
		}
	}
	return rows
}

// Over makes a row of what the answers say of the time between two instants of
// the record's clock, in s. Its rate is what a counter of hashes rose by; or
// else a figure that is of that time, or of now; or else what its accepted
// shares stand for, if they are many. An average that reaches further back than
// the window says nothing of it. Which run that was, and what was measured in
// it, is the caller's to say: row.Ratio = row.Rate.Against(measured).
func (c *Claim) Over(from, to Float) ClaimRow {
	row := ClaimRow{Device: c.Device, API: c.API, Model: c.Model, Firmware: c.Firmware, Ratio: Absent(), Accepted: Absent(), Low: Absent(), High: Absent()}
	var within []*SelfReportedSample
	var a, b *SelfReportedSample // nearest to either end of those that have a count, if some do
	counted := false             // whether a and b have a count
	near := func(s, than *SelfReportedSample, t Float, counts bool) bool {
		if than == nil || counts != counted {
			return than == nil || counts
		}
		return math.Abs(float64(s.T-t)) < math.Abs(float64(than.T-t))
	}
	for i := range c.Samples {
		s := &c.Samples[i]
		in := s.T >= from && s.T <= to
		if in {
			row.Asked++
		}
		if len(s.Figures) == 0 {
			continue
		}
		if in {
			row.Answers++
			within = append(within, s)
		}
		counts := s.first(ReportedWork) != nil
		nearA, nearB := near(s, a, from, counts), near(s, b, to, counts)
		if nearA {
			a = s
		}
		if nearB {
			b = s
		}
		counted = counted || counts
	}
	if b == nil {
		return row
	}
	if n := len(within); n > 0 {
		row.Mode = within[n-1].Mode
		if f := within[n-1].first(ReportedTemperature); f != nil {
			row.Temperature = f.Value
		}
	}
	span := elapsed(a, b)
	if !(b.T-a.T >= (to-from)/2) {
		span = Absent()
	}
	done, shares := shared(a, b, c.Samples), b.value(ReportedShares)-a.value(ReportedShares)
	rate := (b.value(ReportedWork) - a.value(ReportedWork)) / span
	if f := b.first(ReportedWork); rate > 0 {
		row.RateFrom = fmt.Sprintf("%s: what it rose by in %.0f s", f.Name, float64(span))
	} else if _, rate, row.RateFrom = mean(within, ReportedRate, from); rate.IsAbsent() && done/span > 0 && exact(shares) {
		rate, row.RateFrom, done = done/span, fmt.Sprintf("its accepted shares: %.0f in %.0f s", float64(shares), float64(span)), Absent()
	}
	row.Rate = SelfReport(float64(rate))
	f, watts, how := mean(within, ReportedPower, from)
	row.Power, row.PowerFrom = SelfReport(float64(watts)), how
	if f != nil {
		row.Boundary, row.Origin = f.Boundary, f.Origin
		row.EnergyPerWork = SelfReport(float64(watts / rate))
	}
	if claimed := rate * span; claimed > 0 && done > 0 {
		row.Accepted = finite(done / claimed)
		if shares >= 1 && shares <= maxWhole {
			low, high := PoissonInterval(uint64(shares))
			row.Low, row.High = finite(row.Accepted*Float(low)/shares), finite(row.Accepted*Float(high)/shares)
		}
	}
	return row
}

// elapsed is the time in s in which a device's counters went from one answer to
// another. By its own clock, if it has one, for some answer what they have
// counted up to some seconds ago; absent if that is not about the time that
// passed here, because it started anew in between or repeats an old answer.
func elapsed(a, b *SelfReportedSample) Float {
	span := b.T - a.T
	own := b.value(ReportedElapsed) - a.value(ReportedElapsed)
	switch {
	case own.IsAbsent():
		return span
	case math.Abs(float64(own-span)) > max(clocksApart, claimApart*float64(span)):
		return Absent()
	case own > 0:
		return own
	}
	return span // its clock goes in steps, or was set back by some seconds
}

// exact reports whether a number of shares tells a rate as well as claims are
// held to: a half-width of claimApart.
func exact(shares Float) bool {
	if !(shares >= 1 && shares <= maxWhole) {
		return false
	}
	low, high := PoissonInterval(uint64(shares))
	return Float(high-low)/2 <= claimApart*shares
}

// first returns the first figure of a quantity, which is the one to quote; nil
// if there is none.
func (s *SelfReportedSample) first(of string) *SelfReportedField {
	for i := range s.Figures {
		if f := &s.Figures[i]; f.Of == of && !f.Value.IsAbsent() {
			return f
		}
	}
	return nil
}

// covers reports whether a figure of an answer is of the time since an instant.
// One without a time of its own is of now, as is one over some seconds. An
// average forgets what was before the record began, where a setting may have
// been changed, after three of its times: many decay exponentially.
func (s *SelfReportedSample) covers(f *SelfReportedField, from Float) bool {
	over := f.Over.float()
	return !(over > now) || s.T-over >= from-agree*over && s.T >= forgets*over
}

func (s *SelfReportedSample) value(of string) Float {
	if f := s.first(of); f != nil {
		return f.Value.float()
	}
	return Absent()
}

// mean is that of the first figure of a quantity that covers the time since an
// instant, by the latest answer that has one, over all answers in which it
// does; and that figure, nil if there is none, and how it came about, or why
// not. What was configured is no power.
func mean(said []*SelfReportedSample, of string, from Float) (quoted *SelfReportedField, value Float, how string) {
	for _, s := range slices.Backward(said) {
		for i := range s.Figures {
			f := &s.Figures[i]
			if f.Of != of || f.Origin == Declared || f.Value.IsAbsent() {
				continue
			}
			if s.covers(f, from) {
				value, how = f.mean(said, from)
				return f, value, how
			}
			if how == "" {
				how = fmt.Sprintf("%s: not of this window but over %.0f s", f.Name, float64(f.Over.float()))
			}
		}
	}
	return nil, Absent(), how
}

// mean is that of a figure of this name over the answers in which it covers the
// time since an instant; there is one.
func (f *SelfReportedField) mean(said []*SelfReportedSample, from Float) (Float, string) {
	sum, n := Float(0), 0
	for _, s := range said {
		for i := range s.Figures {
			if g := &s.Figures[i]; g.Of == f.Of && g.Name == f.Name && !g.Value.IsAbsent() && s.covers(g, from) {
				sum += g.Value.float()
				n++
				break
			}
		}
	}
	if n == 1 {
		return sum, f.Name + ": one answer"
	}
	return sum / Float(n), fmt.Sprintf("%s: the mean of %d answers", f.Name, n)
}

// shared returns the hashes that the shares accepted between two answers stand
// for: by the sum of difficulties, or by their number if their difficulty was
// one and the same.
func shared(a, b *SelfReportedSample, all []SelfReportedSample) Float {
	if sum := b.value(ReportedAccepted) - a.value(ReportedAccepted); !sum.IsAbsent() {
		return sum
	}
	difficulty := b.value(ReportedDifficulty)
	for i := range all {
		if s := &all[i]; s.T >= a.T && s.T <= b.T && len(s.Figures) > 0 && s.value(ReportedDifficulty) != difficulty {
			return Absent()
		}
	}
	return (b.value(ReportedShares) - a.value(ReportedShares)) * difficulty
}

// flagClaims warns of devices that report of themselves what cannot be true.
func (d *deriver) flagClaims(rows []ClaimRow) {
	for _, r := range rows {
		add := func(code, text, remedy string) { d.flag(r.Run, code, r.Device+" "+text, remedy) }
		if r.Ratio < 1-claimApart || r.Ratio > 1+claimApart {
			add("claim-differs", fmt.Sprintf("claims %.0f %% of the rate that was measured of it", 100*float64(r.Ratio)),
				"believe the measurement; a claim that is far off can mean bad firmware, or a device that works elsewhere too")
		}
		if r.High < claimLeast || r.Low > claimMost {
			add("claim-inconsistent", fmt.Sprintf("contradicts itself: its accepted shares stand for %.0f %% of the rate that it claims", 100*float64(r.Accepted)),
				"one of the two is made up, or it works at more than one pool: see its counters")
		}
		if 2*r.Answers < r.Asked {
			add("claim-unread", fmt.Sprintf("gave %d answers to %d questions", r.Answers, r.Asked), "see the reasons in runs/claims of the record")
		}
	}
}
