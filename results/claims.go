package results

import (
	"fmt"
	"math"
	"slices"
)

// ClaimRow is what one device reported of itself over the window of one run,
// compared with what was measured there. It is never ranked: a device is not an
// instrument, and many report wrong figures.
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

	// Accepted is the rate that its accepted shares amount to, over Rate. The
	// device reports both, so that no pool is needed. Low and High bound the 95 %
	// interval, which follows from the number of shares; null without one.
	Accepted Float `json:"accepted"`
	Low      Float `json:"accepted_low"`
	High     Float `json:"accepted_high"`

	Power         SelfReported `json:"power"` // W, the mean of its answers
	PowerFrom     string       `json:"power_from,omitempty"`
	Boundary      Boundary     `json:"boundary,omitempty"` // of Power, as in [SelfReportedField]
	Origin        Origin       `json:"origin,omitempty"`
	EnergyPerWork SelfReported `json:"energy_per_work"` // J/hash: Power over Rate
	Temperature   SelfReported `json:"temperature"`     // K, at the end: the first that it reports

	Answers int `json:"answers"` // given, of
	Asked   int `json:"asked"`
}

// The rules for claims.
const (
	claimApart = 0.1 // relative difference of a claimed rate from the measured one above which a warning is raised
	// Limits of Accepted, interval included, beyond which rate and shares cannot
	// both be true. Five recorded devices had 0.93 to 0.99; one had 7.9.
	claimLeast, claimMost = 0.8, 1.25

	clocksApart = 5    // s by which the clock of a device and ours may differ
	now         = 5    // s: an average over no more than this counts as the present value
	agree       = 0.05 // relative to its time: how far an average may reach back before the window
	forgets     = 3    // averaging times after which earlier values weigh 5 % or less
)

// claims summarises what the devices reported in each good run.
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

// Over makes a row of the answers between two instants of the record's clock, in
// s. The rate is the rise of a counter of hashes; without one, a figure averaged
// over that time, or a present value; without that, what the accepted shares
// amount to, if there are many. An average that reaches further back than the
// window is not used. The caller sets the run and the ratio:
// row.Ratio = row.Rate.Against(measured).
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

// elapsed is the time in s between two answers of a device in which its counters
// rose. Its own clock is used if it has one, because some devices answer with
// counts that are some seconds old. It is absent if the two clocks disagree: the
// device restarted in between, or repeats an old answer.
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

// exact reports whether a number of shares gives a rate precisely enough for
// claims: with a half-width of at most claimApart.
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

// covers reports whether a figure of an answer describes the time since an
// instant. A figure without an averaging time is a present value, and so is one
// averaged over a few seconds. An average must also be read three averaging times
// or more after the record began: many decay exponentially, and a setting may
// have been changed before.
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

// mean finds the first figure of a quantity that covers the time since an instant,
// in the latest answer that has one. It returns that figure (nil if there is
// none), its mean over all answers in which it covers that time, and how the mean
// was made, or why there is none. A configured value is not a power.
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

// shared returns the hashes that the shares accepted between two answers amount
// to: from the sum of difficulties, or from their number if the difficulty did not
// change.
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
