package results

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Where the rules come from: MLCommons' MLPerf Power measurement rules; the
// SPEC Power and Performance Benchmark Methodology 2.2; the Energy Efficient
// High Performance Computing Power Measurement Methodology 2.0 of the EE HPC
// WG, by which the Green500 is measured; and this project.
const (
	mlperf = "MLPerf Power"
	spec   = "SPEC Power"
	green  = "EE HPC WG"
	house  = "perwatt"
)

// demand is what a grade requires of its evidence.
type demand struct {
	duration float64 // s, at least, of each window
	readings int     // at least, in each window
	worst    float64 // relative uncertainty of the instrument, at most, all terms added; 0: not asked
	interval float64 // s, between readings, at most; 0: not asked
	source   string
}

var demands = map[Grade]demand{
	"A": {600, 60, 0.01, 1.5, mlperf}, // samples of 1 s, by a scheduler that may be late
	"B": {300, 30, 0.02, 0, spec},
	"C": {60, 10, 0, 0, green},
	"D": {60, 10, 0, 0, green},
	"E": {60, 10, 0, 0, green},
}

// rule is one requirement on a record; look returns its outcome and what was found.
type rule struct {
	name, asks, source string
	look               func(j *judgement) (Outcome, string)
}

// judgement is the input of the rules.
type judgement struct {
	*deriver
	summary  Summary
	coverage []Coverage // of the primary meter, or of the two of a sum
	grade    Grade      // the lowest of all powers
	shortest float64
}

// RuleSets lists the sets of rules by name.
func RuleSets() []string { return []string{"publish"} }

var publish = []rule{
	{"complete", "every planned run was attempted, and none failed", house, func(j *judgement) (Outcome, string) {
		planned := len(j.rec.Plan.Scenarios) * j.rec.Plan.Rounds
		if planned == 0 {
			planned = len(j.rec.Runs)
		}
		ok, lost := j.rec.Count(OK), j.rec.Lost()
		figure := fmt.Sprintf("%d of %d runs, %s", ok, planned, j.rec.State)
		if lost > 0 {
			figure += ", " + Plural(lost, "result") + " of one card missing"
		}
		return within(ok == planned && lost == 0 && j.rec.State == Complete), figure
	}},
	{"answers", "no run gave a wrong answer", house, func(j *judgement) (Outcome, string) {
		void, wrong := j.rec.Count(Void), 0
		for _, f := range j.summary.Flags {
			if f.Code == "card-wrong" {
				wrong++
			}
		}
		figure := fmt.Sprintf("%d void", void)
		if wrong > 0 {
			figure += fmt.Sprintf(", and %s of one card wrong", Plural(wrong, "result"))
		}
		return within(void+wrong == 0), figure
	}},
	{"repeats", "at least 6 windows a figure, so that it has a 95 % interval", house, func(j *judgement) (Outcome, string) {
		least := math.MaxInt
		for _, r := range j.summary.Rows {
			if p := r.Metrics[Power]; r.PartOf == "" && !p.Status.uncovered() { // which have no watts of their own
				least = min(least, p.N)
			}
		}
		if least == math.MaxInt {
			least = 0
		}
		return within(least >= minimumWindows), fmt.Sprintf("n ≥ %d", least)
	}},
	{"measured", "the watts were measured: rated, declared or modelled power gives no efficiency", mlperf, func(j *judgement) (Outcome, string) {
		if !j.metered {
			return Fail, j.unmetered.Why
		}
		figure := fmt.Sprintf("%s, %s at the %s", j.head.Meter, j.head.Origin, j.head.Boundary)
		for _, dev := range j.used {
			if !j.head.covers(dev.Device) {
				figure += fmt.Sprintf("; not of %s, which has no watts to rank", j.deviceName(dev.ID))
				break
			}
		}
		return within(j.head.Origin == Measured), figure
	}},
	{"duration", "each window lasts at least 600 s for grade A, 300 s for B, 60 s below", mlperf + "; " + green, func(j *judgement) (Outcome, string) {
		if len(j.windows) == 0 {
			return Fail, "no window"
		}
		return within(j.shortest >= demands[j.grade].duration), fmt.Sprintf("%.4g s, grade %s asks %.0f s", j.shortest, j.grade, demands[j.grade].duration)
	}},
	{"readings", "each window has at least 60 readings for grade A, 30 for B, 10 below", green, covered(func(j *judgement, c Coverage) (Outcome, string) {
		d := demands[j.grade]
		return within(c.Readings >= d.readings), fmt.Sprintf("%d, grade %s asks %d", c.Readings, j.grade, d.readings)
	})},
	{"interval", "readings come every second for grade A", mlperf, each(func(j *judgement, c Coverage) (Outcome, string) {
		most := demands[j.grade].interval
		if most == 0 || j.head.energyCounter() {
			return NotApplicable, fmt.Sprintf("%.3g s", c.Interval)
		}
		return within(float64(c.Interval) <= most), fmt.Sprintf("%.3g s", c.Interval)
	})},
	{"coverage", "at least 99 % of the windows' time lies between readings", house, covered(func(_ *judgement, c Coverage) (Outcome, string) {
		return within(c.Share >= 0.99), fmt.Sprintf("%.2f %%", 100*c.Share)
	})},
	{"gaps", "no two readings are more than 3 intervals apart", house, covered(func(_ *judgement, c Coverage) (Outcome, string) {
		return within(c.Longest <= maxIntervals*1.001*c.Interval), fmt.Sprintf("longest %.3g s, interval %.3g s", c.Longest, c.Interval)
	})},
	{"resolution", "a step of the meter is at most 1 % of the reading, or of the window's energy", mlperf, read(func(j *judgement) (bool, string) {
		worst := 0.0
		for _, w := range j.windows {
			if q := gross(w).quantisation; !math.IsNaN(q) {
				worst = max(worst, q)
			}
		}
		return worst <= 0.01, fmt.Sprintf("%.2g %%", 100*worst)
	})},
	{"uncertainty", "the instrument's terms add up to at most 1 % for grade A, 2 % for B", spec, func(j *judgement) (Outcome, string) {
		worst := 0.0
		for _, w := range j.windows {
			if !w.why.Status.uncovered() {
				worst = max(worst, ppm(gross(w).linear())) // NaN stays
			}
		}
		figure := fmt.Sprintf("%.2g %%", 100*worst)
		if math.IsNaN(worst) {
			figure = "the meter's accuracy is not stated"
		}
		if most := demands[j.grade].worst; most > 0 {
			return within(worst <= most), figure
		}
		return NotApplicable, figure + ", grade " + string(j.grade)
	}},
	{"clock", "the instant of a reading is known to 400 ms", mlperf, each(func(j *judgement, c Coverage) (Outcome, string) {
		if i := slices.IndexFunc(j.rec.Meters, func(m Meter) bool { return m.Name == c.Meter && len(m.Recordings) > 0 }); i >= 0 {
			half, trip := j.rec.Meters[i].within(), float64(c.RoundTrip)
			if c.RoundTrip.IsAbsent() { // the host read it on its own board
				trip = 0
			}
			return within(trip/2+half <= 0.4), fmt.Sprintf("round trip up to %.3g ms, offset of the clocks known to ±%.3g ms", 1000*trip, 1000*half)
		}
		if c.RoundTrip.IsAbsent() {
			return NotApplicable, "read on this machine"
		}
		return within(c.RoundTrip <= 0.8), fmt.Sprintf("round trip up to %.3g ms", 1000*c.RoundTrip)
	})},
	{"idle", "idle is measured before and after, 60 s or more each, and moves by at most 3 %", green, func(j *judgement) (Outcome, string) {
		shortest := math.Inf(1)
		if j.byShares() {
			return NotApplicable, "a device that works elsewhere has no idle here"
		}
		for _, w := range j.windows {
			if w.Use.Use == "idle" {
				shortest = min(shortest, w.Duration)
			}
		}
		drift := idleDrift(j.windows)
		if math.IsNaN(drift) {
			return Fail, "not measured twice with watts"
		}
		return within(shortest >= 60 && math.Abs(drift) <= maxIdleDrift), fmt.Sprintf("%.4g s, %+.2f %%", shortest, 100*drift)
	}},
	flagged("steady", "every use had reached its steady state when its window began", spec, "not-steady"),
	flagged("plausible", "what lies inside draws no more than what is around it, and the meter sees the load", house, "meters-disagree", "meter-blind"),
	flagged("undisturbed", "no stolen time, other load, throttling, moving clock, memory error, suspension, quota, wait for memory or second run", house,
		"stolen-time", "other-load", "throttled", "clock-moved", "ecc-errors", "suspended", "quota-throttled", "memory-pressure", "second-run"),
}

func within(ok bool) Outcome {
	if ok {
		return Pass
	}
	return Fail
}

// read makes a rule about how the primary meter was read.
func read(look func(j *judgement) (bool, string)) func(*judgement) (Outcome, string) {
	return func(j *judgement) (Outcome, string) {
		switch {
		case !j.metered:
			return Fail, j.unmetered.Why
		case j.head.Origin == Declared:
			return NotApplicable, "declared"
		case len(j.windows) == 0:
			return Fail, "no window"
		}
		ok, figure := look(j)
		return within(ok), figure
	}
}

// each applies a rule to each meter of the primary total: it passes if it does for
// all to which it applies.
func each(look func(*judgement, Coverage) (Outcome, string)) func(*judgement) (Outcome, string) {
	return func(j *judgement) (Outcome, string) {
		if len(j.coverage) == 0 { // as without a meter
			return look(j, Coverage{})
		}
		outcome, figure := look(j, j.coverage[0])
		for _, c := range j.coverage[1:] {
			switch o, f := look(j, c); {
			case o == Fail && outcome != Fail, outcome == NotApplicable:
				outcome, figure = o, f
			}
		}
		return outcome, figure
	}
}

// covered is [each] as a rule about how the primary meter was read.
func covered(look func(*judgement, Coverage) (Outcome, string)) func(*judgement) (Outcome, string) {
	return read(func(j *judgement) (bool, string) {
		outcome, figure := each(look)(j)
		return outcome == Pass, figure
	})
}

// flagged makes a rule that fails if the session or its traces raised one of the
// warnings.
func flagged(name, asks, source string, codes ...string) rule {
	return rule{name, asks, source, func(j *judgement) (Outcome, string) {
		var seen []string
		n := 0
		for _, f := range slices.Concat(j.rec.Warnings, j.summary.Flags) {
			if slices.Contains(codes, f.Code) {
				if n++; !slices.Contains(seen, f.Code) {
					seen = append(seen, f.Code)
				}
			}
		}
		if n == 0 {
			return within(len(j.windows) > 0), fmt.Sprintf("%d windows", len(j.windows))
		}
		return Fail, fmt.Sprintf("%d of %s", n, strings.Join(seen, ", "))
	}}
}

// energyCounter reports whether every part of a total counts energy.
func (h meterTotal) energyCounter() bool {
	return !slices.ContainsFunc(h.parts, func(c sensor) bool { return c.Kind != Counter })
}

// judge applies the rules for publication to a record. A record that breaks one is
// not ranked against others.
func (d *deriver) judge(s Summary) Validity {
	j := &judgement{deriver: d, summary: s, grade: "A", shortest: math.Inf(1)}
	for _, c := range s.Coverage {
		if j.head.Has(c.Meter) {
			j.coverage = append(j.coverage, c)
		}
	}
	for _, r := range s.Rows {
		if r.PartOf == "" {
			j.grade = max(j.grade, r.Metrics[Power].Grade)
		}
	}
	if !j.metered {
		j.grade = "E"
	}
	for _, w := range j.windows {
		j.shortest = min(j.shortest, w.Duration)
	}
	v := Validity{Rules: "publish", Valid: true, Findings: []Finding{}}
	for _, r := range publish {
		f := Finding{Rule: r.name, Asks: r.asks, Source: r.source}
		f.Outcome, f.Figure = r.look(j)
		v.Valid = v.Valid && f.Outcome != Fail
		v.Findings = append(v.Findings, f)
	}
	return v
}
