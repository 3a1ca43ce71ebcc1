package results

import (
	"fmt"
	"math"
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

	Rate     Said   `json:"rate"`                // hash/s
	RateFrom string `json:"rate_from,omitempty"` // the figure that it is made from, and how
	Ratio    Float  `json:"ratio"`               // Rate over the measured rate of its use; null if that is not known

	// Accepted is the rate that its accepted shares stand for, over Rate: both
	// are its own, so it needs no pool. Low and High bound its 95 % interval,
	// for shares are counted; null where they are not.
	Accepted Float `json:"accepted"`
	Low      Float `json:"accepted_low"`
	High     Float `json:"accepted_high"`

	Power         Said     `json:"power"` // W, the mean of its answers
	PowerFrom     string   `json:"power_from,omitempty"`
	Boundary      Boundary `json:"boundary,omitempty"` // of Power, as in [Saying]
	Origin        Origin   `json:"origin,omitempty"`
	EnergyPerWork Said     `json:"energy_per_work"` // J/hash: Power over Rate
	Temperature   Said     `json:"temperature"`     // K, at the end: the first that it says

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
)

// claims summarises what the devices said in each good run.
func (d *deriver) claims() (rows []ClaimRow) {
	for i := range d.rec.Runs {
		r := &d.rec.Runs[i]
		p, ok := r.Phase(PhaseMeasure)
		if r.Status != OK || !ok || !(p.To > p.From) {
			continue
		}
		for j := range r.Claims {
			c := &r.Claims[j]
			row := c.Over(p.From, p.To)
			row.Run = fmt.Sprintf("%s/%d", r.Scenario, r.Round)
			row.Ratio = row.Rate.Against(d.measured(r, c))
			rows = append(rows, row)
		}
	}
	return rows
}

// measured returns the rate of the use that a device works at alone, absent if
// that is not known.
func (d *deriver) measured(r *Run, c *Claim) Float {
	for i := range d.windows {
		if w := &d.windows[i]; w.run == r && w.Use.Use == c.Use && w.Use.Unit == Hash {
			return w.Throughput()
		}
	}
	return Absent()
}

// Over makes a row of the answers between two instants of the record's clock,
// in s, as far as they go. Which run that was, and what was measured in it, is
// the caller's to say: row.Ratio = row.Rate.Against(measured).
func (c *Claim) Over(from, to Float) ClaimRow {
	row := ClaimRow{Device: c.Device, API: c.API, Model: c.Model, Firmware: c.Firmware, Ratio: Absent(), Accepted: Absent(), Low: Absent(), High: Absent()}
	var within []*Statement
	var a, b *Statement // nearest to either end
	near := func(s, than *Statement, t Float) bool {
		return than == nil || math.Abs(float64(s.T-t)) < math.Abs(float64(than.T-t))
	}
	for i := range c.Said {
		s := &c.Said[i]
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
		if near(s, a, from) {
			a = s
		}
		if near(s, b, to) {
			b = s
		}
	}
	if b == nil {
		return row
	}
	row.Mode = b.Mode
	if f := b.first(SaidTemperature); f != nil {
		row.Temperature = f.Value
	}
	if len(within) == 0 {
		within = []*Statement{b}
	}
	span := b.T - a.T
	whole := span >= (to-from)/2 && !(b.value(SaidElapsed) < a.value(SaidElapsed)) // it did not restart in between
	wa, _ := a.work()
	wb, name := b.work()
	rate := Absent()
	if whole && wb >= wa {
		rate = (wb - wa) / span
		row.RateFrom = fmt.Sprintf("%s: what it rose by in %.0f s", name, float64(span))
	} else if f := b.first(SaidRate); f != nil {
		rate, row.RateFrom = mean(within, f)
	}
	row.Rate = Say(float64(rate))
	if f := b.power(); f != nil {
		watts, how := mean(within, f)
		row.Power, row.PowerFrom, row.Boundary, row.Origin = Say(float64(watts)), how, f.Boundary, f.Origin
		row.EnergyPerWork = Say(float64(watts / rate))
	}
	done, shares := shared(a, b, c.Said), b.value(SaidShares)-a.value(SaidShares)
	claimed := rate * span
	if !whole || done.IsAbsent() { // all since it started
		done, shares = b.value(SaidAccepted), b.value(SaidShares)
		claimed, _ = b.work()
	}
	if claimed > 0 && done >= 0 {
		row.Accepted = finite(done / claimed)
		if shares >= 1 && shares <= maxWhole {
			low, high := PoissonInterval(uint64(shares))
			row.Low, row.High = finite(row.Accepted*Float(low)/shares), finite(row.Accepted*Float(high)/shares)
		}
	}
	return row
}

// first returns the first figure of a quantity, which is the one to quote; nil
// if there is none.
func (s *Statement) first(of string) *Saying {
	for i := range s.Figures {
		if f := &s.Figures[i]; f.Of == of && !f.Value.IsAbsent() {
			return f
		}
	}
	return nil
}

// power returns the watts to quote: what was configured is no draw.
func (s *Statement) power() *Saying {
	for i := range s.Figures {
		if f := &s.Figures[i]; f.Of == SaidPower && f.Origin != Declared && !f.Value.IsAbsent() {
			return f
		}
	}
	return nil
}

func (s *Statement) value(of string) Float {
	if f := s.first(of); f != nil {
		return f.Value.float()
	}
	return Absent()
}

// work returns the hashes since the miner started, as it counts them or as its
// mean rate makes them, and the name of that figure.
func (s *Statement) work() (Float, string) {
	if f := s.first(SaidWork); f != nil {
		return f.Value.float(), f.Name
	}
	elapsed := s.value(SaidElapsed)
	for _, f := range s.Figures {
		if f.Of == SaidRate && f.Over.float() == elapsed {
			return f.Value.float() * elapsed, f.Name + " times its time"
		}
	}
	return Absent(), ""
}

// mean is that of a figure over those answers that have it.
func mean(said []*Statement, of *Saying) (Float, string) {
	sum, n := Float(0), 0
	for _, s := range said {
		for _, f := range s.Figures {
			if f.Of == of.Of && f.Name == of.Name && !f.Value.IsAbsent() {
				sum += f.Value.float()
				n++
				break
			}
		}
	}
	if n == 0 {
		return Absent(), ""
	}
	if n == 1 {
		return sum, of.Name + ": one answer"
	}
	return sum / Float(n), fmt.Sprintf("%s: the mean of %d answers", of.Name, n)
}

// shared returns the hashes that the shares accepted between two answers stand
// for: by the sum of difficulties, or by their number if their difficulty was
// one and the same.
func shared(a, b *Statement, all []Statement) Float {
	if sum := b.value(SaidAccepted) - a.value(SaidAccepted); !sum.IsAbsent() {
		return sum
	}
	difficulty := b.value(SaidDifficulty)
	for i := range all {
		if s := &all[i]; s.T >= a.T && s.T <= b.T && len(s.Figures) > 0 && s.value(SaidDifficulty) != difficulty {
			return Absent()
		}
	}
	return (b.value(SaidShares) - a.value(SaidShares)) * difficulty
}

// claimFlags are the doubts about what devices say of themselves.
func claimFlags(rows []ClaimRow) (flags []Warning) {
	for _, r := range rows {
		add := func(code, text, remedy string) {
			flags = append(flags, Warning{Code: code, Text: r.Device + " " + text, Remedy: remedy, Run: r.Run})
		}
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
	return flags
}
