package results

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// The rules that Derive applies, each with its source.
const (
	maxStolen     = 0.01 // share of CPU time taken by the hypervisor in a window
	maxClockShift = 0.02 // of a run's clock from the session's median
	maxOtherLoad  = 0.05 // share of CPU time used by processes that are not ours
	maxIdleDrift  = 0.03 // between the first and the last idle run (Green500, EE HPC WG methodology: idle before and after)
	steadyRange   = 0.02 // five consecutive windows: (max − min) ÷ mean
	steadySlope   = 0.01 // and change along the fitted line ÷ mean
	maxClockStep  = 0.5  // s, of UTC against the monotonic clock from one sample to the next, or between two runs
	confidence    = 0.95
	fewReadings   = 5 // in a window: fewer say little of what the load did between them

	// The fewest windows that have an interval: of a median by order statistics,
	// and of a quotient of sums because fewer hold the truth too seldom.
	minimumWindows = 6
	kWh            = 3.6e6 // J
)

// Window is one use in the measured phase of one run; idle runs have one
// window, without work.
type Window struct {
	Scenario string
	Round    int
	Use      Use     // Use.Use is "idle" in the idle scenario
	Duration float64 // s
	Work     Float   // counts finished
	CPU      Float   // CPU-seconds the worker used
	Energy   Float   // J, the whole node at the headline boundary, whoever used it
	Stolen   Float   // share of all CPU time that the hypervisor took, 0 to 1
	Others   Float   // share of all CPU time that other processes used, 0 to 1
	Clock    Float   // Hz, mean of the probes before and after

	run       *indexedRun
	halt      []halt // in the window
	left      bool   // out of the figures: see [WindowsByRow]
	why       string // why Energy is absent
	uncertain terms  // of Energy, J
	idle      Float  // W, of the idle run of the same round
	idleTerms terms  // of idle, W
}

// Throughput is work per wall second.
func (w *Window) Throughput() Float { return w.Work / Float(w.Duration) }

// Span is where the window lies, in seconds of the record's clock.
func (w *Window) Span() (from, to Float) {
	return Float(w.run.from), Float(w.run.to)
}

// Power is the mean power of the node over the window, in watts.
func (w *Window) Power() Float { return w.Energy / Float(w.Duration) }

// PrimaryMeter is a total of a meter: the one that is taken as the power of the
// node, or one that stands beside it.
type PrimaryMeter struct {
	Meter    string
	Boundary Boundary
	Origin   Origin
	Gain     float64 // relative, of the instrument; NaN if unknown
	parts    []sensor
	period   float64  // s; 0 if any
	dead     []string // why what comes first by the order of preference gave no watts
}

// Channels names the channels that add up to the total.
func (h PrimaryMeter) Channels() (names []string) {
	for _, c := range h.parts {
		names = append(names, c.Name)
	}
	return names
}

// rank lists what the meters of a session give as the power of a boundary,
// in the order in which they are to be quoted: what gave watts in a window of
// the runs before what gave none, measured before modelled before declared,
// then the outermost boundary, then the first. Of channels that measure the
// same place, each total has the one that gave them in the most windows.
func (s *indexedRecord) rank() (out []PrimaryMeter) {
	for i := range s.rec.Meters {
		m := &s.rec.Meters[i]
		for _, b := range Boundaries() {
			h := s.total(m, b, func(c Channel) bool { return c.Total == b })
			if len(h.parts) > 0 {
				out = append(out, h.graded())
			}
		}
	}
	slices.SortStableFunc(out, func(a, b PrimaryMeter) int { return cmp.Compare(a.place(), b.place()) })
	if len(s.good) == 0 {
		return out
	}
	var dead []PrimaryMeter
	var why []string
	living := slices.DeleteFunc(slices.Clone(out), func(h PrimaryMeter) bool {
		first := ""
		for _, r := range s.good {
			e, why := h.energy(r, r.from, r.to)
			if !e.IsAbsent() {
				return false
			}
			first = cmp.Or(first, why)
		}
		dead, why = append(dead, h), append(why, first)
		return true
	})
	if len(living) > 0 {
		for i, h := range dead {
			if h.place() < living[0].place() {
				living[0].dead = append(living[0].dead, why[i])
			}
		}
	}
	return append(living, dead...)
}

// total is what the wanted channels of a meter add up to, at a boundary: of
// those that measure the same place the first, or the one that gave watts in
// more windows.
func (s *indexedRecord) total(m *Meter, b Boundary, wanted func(Channel) bool) PrimaryMeter {
	h := PrimaryMeter{Meter: m.Name, Boundary: b}
	if m.Period > 0 {
		h.period = float64(m.Period)
	}
	for _, rivals := range s.places(m, wanted) {
		h.parts = append(h.parts, s.best(&h, rivals))
	}
	return h
}

func (s *indexedRecord) best(h *PrimaryMeter, rivals []Channel) (best sensor) {
	most, dead := -1, []string(nil)
	for _, c := range rivals {
		sensor, n, first := s.look(h.Meter, c), 0, ""
		for _, r := range s.good {
			if len(rivals) == 1 {
				break // it serves anyway
			}
			e, why := sensor.energy(r, r.from, r.to)
			if !e.IsAbsent() {
				n++
			}
			first = cmp.Or(first, why)
		}
		if n > most {
			best, most, h.dead = sensor, n, append(h.dead, dead...)
		}
		dead = append(dead, first)
	}
	return best
}

// graded completes a total by what its parts have in common.
func (h PrimaryMeter) graded() PrimaryMeter {
	h.Gain = math.NaN()
	for _, s := range h.parts {
		h.Origin = s.Origin
		// Gains of one instrument are correlated: the total is as
		// uncertain as its worst part.
		if g := float64(s.Accuracy.Gain); !(g <= h.Gain) {
			h.Gain = g
		}
	}
	return h
}

// places lists the channels of a meter that are wanted, those together that
// measure the same place.
func (s *indexedRecord) places(m *Meter, wanted func(Channel) bool) (out [][]Channel) {
	at := map[string]int{}
	for _, c := range m.Channels {
		s.named(c.Place)
		i, known := at[c.Place]
		switch {
		case !wanted(c):
		case known && c.Place != "":
			out[i] = append(out[i], c)
		default:
			at[c.Place] = len(out)
			out = append(out, []Channel{c})
		}
	}
	return out
}

// place is low for what is quoted first.
func (h PrimaryMeter) place() int {
	return 100*slices.Index([]Origin{Measured, Modelled, Declared}, h.Origin) + slices.Index(Boundaries(), h.Boundary)
}

// PrimaryMeterOf picks the total to quote: of those that gave watts the measured
// before the modelled before the declared, then the outermost boundary; ok is
// false if no meter of the record gives one.
func PrimaryMeterOf(rec *Record) (h PrimaryMeter, ok bool) {
	s := indexed(free(rec))
	return s.head, s.metered
}

// mostParts is how many parts of a node a reason names.
const mostParts = 20

// noTotal says why meters give no power of the node: there is none, or what
// they see is a part of it.
func noTotal(meters []Meter) string {
	type part struct {
		meter string
		at    Boundary
	}
	var first []string
	seen := map[part]bool{}
	for _, m := range meters {
		for _, c := range m.Channels {
			p := part{m.Name, c.Boundary}
			if !seen[p] && len(first) < mostParts {
				first = append(first, fmt.Sprintf("%s at the %s", p.meter, p.at))
			}
			seen[p] = true
		}
	}
	switch more := len(seen) - len(first); {
	case len(first) == 0:
		return "no meter"
	case more > 0:
		first = append(first, fmt.Sprintf("and %d more", more))
	}
	return "no meter of the node, only of parts: " + strings.Join(first, ", ")
}

// energy returns the joules of the headline meter between two instants of a
// run; if any of its channels has none there, none, and why.
func (h PrimaryMeter) energy(r *indexedRun, from, to float64) (Float, string) {
	if len(h.parts) == 0 {
		return Absent(), "no meter"
	}
	sum := Float(0)
	for i := range h.parts {
		e, why := h.parts[i].energy(r, from, to)
		if e.IsAbsent() {
			return e, why
		}
		sum += e
	}
	return sum, ""
}

// Windows returns the measured windows of all good runs, in their order.
func Windows(rec *Record) []Window { return indexed(free(rec)).windows() }

func (s *indexedRecord) windows() (out []Window) {
	cpus := Float(max(1, s.rec.Node.CPU.Threads))
	idle := map[int]*Window{}
	for _, r := range s.good {
		w := Window{
			Scenario: r.Scenario, Round: r.Round, Duration: r.to - r.from, run: r,
			Work: Absent(), CPU: Absent(), Clock: Absent(),
		}
		w.Energy, w.why = s.head.energy(r, r.from, r.to)
		w.uncertain = s.head.within(r, r.from, r.to)
		if w.halt = r.halts(r.from, r.to); slices.ContainsFunc(w.halt, func(h halt) bool { return h.who == SuspendedMachine }) {
			w.Energy, w.why = Absent(), "the machine slept in the window, and what it drew meanwhile is in the joules"
		}
		s.spend(4 * len(w.halt) * len(r.Uses))     // each use is held against each
		s.spend(2 * len(r.Scenario) * len(r.Uses)) // by which windows are sorted more than once
		span := cpus * Float(w.Duration)
		w.Stolen = r.over(HostSteal) / span
		ours := r.over(HostSelf)
		for _, u := range r.Uses {
			ours += r.over(CPUOf(u.Use))
		}
		// Ticks of the host and nanoseconds of a process do not end on the
		// same instant, hence no fewer than none.
		if w.Others = (r.over(HostBusy) - ours) / span; w.Others < 0 {
			w.Others = 0
		}
		if tr := r.Trace(HostClock); tr != nil && len(tr.V) > 0 {
			r.spend(len(tr.V))
			w.Clock = 0
			for _, v := range tr.V {
				w.Clock += v / Float(len(tr.V))
			}
		}
		if len(r.Uses) == 0 {
			w.Use = Use{Use: "idle"}
			idle[r.Round] = &w
			out = append(out, w)
		}
		for _, u := range r.Uses {
			w.Use, w.Work, w.CPU = u, r.over(WorkOf(u.Use)), r.over(CPUOf(u.Use))
			out = append(out, w)
		}
	}
	lacking := incomplete(out)
	for i := range out {
		out[i].left = lacking[out[i].run]
		out[i].idle = Absent()
		if w := idle[out[i].Round]; w != nil {
			out[i].idle, out[i].idleTerms = w.Power(), w.uncertain.scale(1/w.Duration)
		}
	}
	return out
}

// incomplete are the runs of which something is missing that other runs of the
// scenario have: the energy, or the work of a use; and of those that have it the
// ones that did not run all the time.
func incomplete(ws []Window) map[*indexedRun]bool {
	out := map[*indexedRun]bool{}
	for _, lacks := range []func(w *Window) bool{
		func(w *Window) bool { return w.Energy.IsAbsent() || w.Use.Use != "idle" && w.Work.IsAbsent() },
		(*Window).stood,
	} {
		lacking, whole := map[*indexedRun]bool{}, map[string]bool{}
		for i := range ws {
			if w := &ws[i]; !out[w.run] && lacks(w) {
				lacking[w.run] = true
			}
		}
		for i := range ws {
			if w := &ws[i]; !out[w.run] && !lacking[w.run] {
				whole[w.Scenario] = true
			}
		}
		for r := range lacking {
			out[r] = out[r] || whole[r.Scenario]
		}
	}
	return out
}

// WindowsByRow groups the windows of a record by the rows of its summary, without
// those that no figure is made of.
func WindowsByRow(rec *Record) [][]Window {
	s := indexed(free(rec))
	return s.rows(s.windows())
}

func (s *indexedRecord) rows(windows []Window) (rows [][]Window) {
	at := map[RowKey]int{}
	for _, w := range windows {
		s.named(w.Scenario)
		if w.left {
			continue
		}
		i, ok := at[w.Row()]
		if !ok {
			i = len(rows)
			at[w.Row()], rows = i, append(rows, nil)
		}
		rows[i] = append(rows[i], w)
	}
	// Rounds run in alternating order; the rows follow the plan, and what is not
	// in it comes first.
	place := func(ws []Window) int {
		if i, planned := s.place[ws[0].Scenario]; planned {
			return i
		}
		return -1
	}
	slices.SortStableFunc(rows, func(a, b []Window) int { return place(a) - place(b) })
	return rows
}

// RowKey tells the rows of a summary apart.
type RowKey struct {
	scenario, use, workload, impl string
	threads                       int
	role                          Role
}

// Key is what no other row of the summary has.
func (r *Row) Key() RowKey {
	return RowKey{r.Scenario, r.Use, r.Workload, r.Impl, r.Threads, r.Role}
}

// Row is the key of the row that a window is a part of.
func (w *Window) Row() RowKey {
	return RowKey{w.Scenario, w.Use.Use, w.Use.Workload, w.Use.Impl, w.Use.Threads, w.Use.Role}
}

// Derive computes the summary of a record from its traces and claims alone. It
// is a pure function: the same runs give the same summary. It is for a record
// of this program's own making; for one from outside see [DeriveWithin].
func Derive(rec *Record) Summary { return derive(free(rec)) }

// DeriveWithin is Derive for a record from outside. It ends when ctx does, and
// gives up where the record makes more work than one of its size can be worth:
// then the error says of what it holds too much, on every machine the same.
func DeriveWithin(ctx context.Context, rec *Record) (s Summary, err error) {
	defer caught(&err)
	return derive(bounded(ctx, rec)), nil
}

func derive(e *effort) Summary {
	d := deriver{indexedRecord: indexed(e)}
	d.windows = d.indexedRecord.windows()
	d.control = d.of(Control, Alone, "")
	d.kernels = kernelsOf(d.rec)
	s := Summary{Rows: []Row{}, Yields: []Yield{}}
	rows := d.rows(d.windows)
	for _, ws := range rows {
		u := ws[0].Use
		d.copied(u.Use, u.Workload, u.Impl, u.Use, u.Workload, u.Impl, ws[0].Scenario, ws[0].Scenario)
		d.spend(512 * len(ws)) // of all the metrics
		s.Rows = append(s.Rows, Row{
			Scenario: ws[0].Scenario, Use: u.Use, Workload: u.Workload, Impl: u.Impl, Threads: u.Threads, Role: u.Role,
			Metrics: d.metrics(ws),
		})
		if u.Use != "idle" {
			s.Yields = append(s.Yields, d.yield(ws))
		}
	}
	s.CoRunCost = d.coRunCost(rows)
	s.Exchange = d.exchange(rows)
	s.Meters, s.Coverage = d.meterRows(), d.coverages()
	s.Claims = d.claims()
	s.Flags = append(d.flags(s), claimFlags(s.Claims)...)
	for i, ws := range rows {
		if ws[0].Use.Shares != nil {
			shareFlags(s.Rows[i], ws, func(code, text, remedy string) {
				s.Flags = append(s.Flags, Warning{Code: code, Text: text, Remedy: remedy})
			})
		}
	}
	s.Validity = d.judge(s)
	return s
}

type deriver struct {
	*indexedRecord
	windows []Window
	control map[int]*Window // by round
	kernels kernels
}

// sums is the quotient of two sums over the windows that have both.
func sums(ws []Window, num, den func(*Window) Float) quotient {
	var pairs []Pair
	var rounds []int
	for i := range ws {
		if n, d := num(&ws[i]), den(&ws[i]); !n.IsAbsent() && !d.IsAbsent() {
			pairs, rounds = append(pairs, Pair{float64(n), float64(d)}), append(rounds, ws[i].Round)
		}
	}
	return quotientOf(pairs, rounds)
}

// What figures are sums of.
func (w *Window) work() Float    { return w.Work }
func (w *Window) energy() Float  { return w.Energy }
func (w *Window) seconds() Float { return Float(w.Duration) }
func (w *Window) above() Float   { return w.Energy - w.idle*Float(w.Duration) } // J above idle
func once(*Window) Float         { return 1 }

// per is [sums] times a constant as a figure that cannot be negative.
func per(ws []Window, num, den func(*Window) Float, by float64, unit Unit, why string) Figure {
	q := sums(ws, num, den)
	if len(q.moves) == 0 {
		return missing(unit, why)
	}
	return q.scaled(by).metric(unit, false)
}

// missing is a figure that is not there.
func missing(unit Unit, why string) Figure {
	return Figure{Value: Absent(), Low: Absent(), High: Absent(), Unit: unit, Why: why, Provenance: Provenance{Instrument: Absent()}}
}

// median is the median of what each round gave, with its order-statistic
// interval.
func median(xs []float64, unit Unit, why string) Figure {
	if len(xs) == 0 {
		return missing(unit, why)
	}
	med, lo, hi := MedianInterval(xs)
	return Figure{Value: Float(med), Low: Float(lo), High: Float(hi), Unit: unit, N: len(xs), Provenance: Provenance{Instrument: Absent()}}
}

// inverse turns work per energy into energy per work.
func (m Figure) inverse(unit Unit) Figure {
	m.Unit = unit
	if m.N > 0 && m.Value == 0 {
		m.Value, m.Low, m.High, m.Why = Absent(), Absent(), Absent(), "no work was finished"
		return m
	}
	m.Value, m.Low, m.High = 1/m.Value, 1/m.High, 1/m.Low
	if math.IsInf(float64(m.High), 0) {
		m.High = Absent()
	}
	return m
}

// gross is what is uncertain of a window's energy, relative to it.
func gross(w *Window) terms { return w.uncertain.scale(1 / float64(w.Energy)) }

// net is what is uncertain of the power above idle, relative to it. The same
// meter saw both, but its error need not be the same at both ends of its range.
func net(w *Window) terms {
	return w.uncertain.scale(1/w.Duration).each(w.idleTerms, math.Hypot).scale(1 / float64(w.Power()-w.idle))
}

// powered marks a figure with the provenance of the watts in it, and with
// what is uncertain of them: of is relative to the figure, window by window.
func (d *deriver) powered(m Figure, ws []Window, of func(*Window) terms) Figure {
	return d.seen(ws, of).mark(m)
}

// seen is what is uncertain of the watts of windows: for one figure, and of the
// gross power.
type seen struct {
	*deriver
	of, plain terms
	shortest  float64 // s
}

func (d *deriver) seen(ws []Window, of func(*Window) terms) seen {
	s := seen{deriver: d, shortest: math.Inf(1)}
	var each, plain []terms
	d.spend(32 * len(ws))
	for i := range ws {
		w := &ws[i]
		s.shortest = min(s.shortest, w.Duration)
		if !w.Energy.IsAbsent() {
			each, plain = append(each, of(w)), append(plain, gross(w))
		}
	}
	s.of, s.plain = typical(each), typical(plain)
	return s
}

func (s seen) mark(m Figure) Figure {
	if !s.metered {
		m.Why = s.partial
		return m
	}
	return s.head.marked(m, s.of, s.plain, s.shortest)
}

// marked is powered with the terms at hand; plain are those of the gross
// power. The figure is graded by the worse of the two.
func (h PrimaryMeter) marked(m Figure, of, plain terms, shortest float64) Figure {
	m.Boundary, m.Origin, m.Instrument = h.Boundary, h.Origin, Absent()
	m.Grade = GradeOf(h.Boundary, h.Origin, plain.budget(m), shortest)
	if !m.Value.IsAbsent() {
		m.Instrument, m.Budget = Float(ppm(of.instrument())), of.budget(m)
		m.Grade = max(m.Grade, GradeOf(h.Boundary, h.Origin, m.Budget, shortest))
	}
	return m
}

// arithmetic adds the useful operations per second, and what share they are
// of what the kernel and the CPU were seen to do on one thread at the start.
func (d *deriver) arithmetic(m map[string]Figure, ws []Window) {
	u := ws[0].Use
	share := func(of Float, unit Unit, why string) Figure {
		if of.IsAbsent() {
			return missing(unit, why)
		}
		return per(ws, (*Window).work, (*Window).seconds, float64(u.FlopPerCount/of), unit, noWork)
	}
	m[FlopRate] = share(1, FLOP.Per(Second), "")
	kernel, timed := d.kernels.rate[u.Impl]
	if !timed {
		kernel = Absent()
	}
	threads := Float(max(1, u.Threads))
	m[KernelFraction] = share(threads*kernel, Ratio, "the kernel was not timed")
	m[PeakFraction] = share(threads*d.kernels.peak, Ratio, "no implementation of this CPU has a loop for its peak")
}

// kernels are what one thread was seen to do at the start, in FLOP/s.
type kernels struct {
	rate map[string]Float // of an implementation
	peak Float            // of the best
}

func kernelsOf(rec *Record) kernels {
	seen := kernels{map[string]Float{}, Absent()}
	for _, k := range rec.Kernels {
		for _, im := range k.Impls {
			if im.Unit != FLOP.Per(Second) {
				continue
			}
			if im.Rate > 0 {
				seen.rate[im.Name] = im.Rate
			}
			if im.Peak > 0 && !(im.Peak <= seen.peak) {
				seen.peak = im.Peak
			}
		}
	}
	return seen
}

const (
	notAboveIdle = "not resolvable: no power above idle"
	noIdle       = "idle was not measured"
	noWork       = "the work counter was not read around the window"
)

// noEnergy says why windows have no joules: what is so of most of those without.
func noEnergy(ws []Window) string {
	var whys tally
	for _, w := range ws {
		if w.Energy.IsAbsent() {
			whys.add(w.why)
		}
	}
	return whys.usual()
}

// tally counts how often each text occurs.
type tally struct {
	texts []string // each once
	n     map[string]int
}

func (t *tally) add(text string) {
	if t.n == nil {
		t.n = map[string]int{}
	}
	if t.n[text]++; t.n[text] == 1 {
		t.texts = append(t.texts, text)
	}
}

// usual is the text that occurs most often, the first of several.
func (t *tally) usual() (most string) {
	for _, text := range t.texts {
		if t.n[text] > t.n[most] {
			most = text
		}
	}
	return most
}

func (d *deriver) metrics(ws []Window) map[string]Figure {
	u := ws[0].Use
	unit := u.Unit
	power := d.powered(per(ws, (*Window).energy, (*Window).seconds, 1, Watt, noEnergy(ws)), ws, gross)
	energy := per(ws, (*Window).energy, once, float64(power.N), Joule, noEnergy(ws))
	energy.Low, energy.High = Absent(), Absent()
	energy = d.powered(energy, ws, gross)
	m := map[string]Figure{Power: power, Energy: energy}
	d.relative(m, ws)
	if u.Use == "idle" {
		none := missing(Ratio, "no work in this scenario")
		m[Throughput], m[WorkPerEnergy], m[EnergyPerWork] = none, none, none
		return m
	}
	m[Throughput] = per(ws, (*Window).work, (*Window).seconds, 1, unit.Per(Second), noWork)
	m[CPUThroughput] = per(ws, (*Window).work, func(w *Window) Float {
		if w.CPU > 0 {
			return w.CPU
		}
		return Absent()
	}, 1, unit.Per(Second), "the CPU time was not read around the window")
	if u.FlopPerCount > 0 {
		d.arithmetic(m, ws)
	}
	if u.Shares != nil {
		d.shares(m, ws)
	}
	above := missing(Watt, unresolved(ws))
	if above.Why == "" {
		above = sums(ws, (*Window).above, (*Window).seconds).metric(Watt, true)
	}
	m[NetPower] = d.powered(above, ws, net)
	m[WorkPerEnergy] = d.efficiency(ws, false)
	m[EnergyPerWork] = m[WorkPerEnergy].inverse(Joule.Per(unit))
	d.target(m, ws)
	return m
}

// efficiency is work per energy: all of it, or that above idle.
func (d *deriver) efficiency(ws []Window, idle bool) Figure {
	energy, of, why, none := (*Window).energy, gross, "", "the meter counted no energy"
	if idle {
		energy, of, why, none = (*Window).above, net, unresolved(ws), notAboveIdle
	}
	unit := ws[0].Use.Unit.Per(Joule)
	q := sums(ws, (*Window).work, energy)
	m := q.metric(unit, false)
	switch {
	case why != "":
		m = missing(unit, why)
	case len(q.moves) == 0:
		m = missing(unit, cmp.Or(noEnergy(ws), noWork))
	case !(q.value >= 0) || math.IsInf(q.value, 0):
		m = missing(unit, none)
	case ws[0].Use.Shares != nil:
		shares := sums(ws, func(w *Window) Float { return w.Work / w.Use.Shares.Work }, func(w *Window) Float { return 1 + 0*energy(w) })
		spread, _ := uneven(ws)
		d.counting(shares.value * float64(len(q.moves)))
		m = m.counted(shares.value*float64(len(q.moves)), spread)
	}
	return d.powered(m, ws, of)
}

// unresolved says why the power of windows cannot be told from that of their
// idle runs, or is empty.
func unresolved(ws []Window) string {
	above := sums(ws, (*Window).above, (*Window).seconds)
	if len(above.moves) == 0 {
		return cmp.Or(noEnergy(ws), noIdle)
	}
	var each []terms
	for i := range ws {
		if w := &ws[i]; !(w.Power() - w.idle).IsAbsent() {
			each = append(each, w.uncertain.scale(1/w.Duration).each(w.idleTerms, math.Hypot))
		}
	}
	switch step := math.Sqrt2 * typical(each).quantisation; {
	case above.value <= 0:
		return notAboveIdle
	case above.value <= step:
		return fmt.Sprintf("not resolvable: %.3g W above idle, and the steps of the meter tell no less than %.3g W apart", above.value, step)
	}
	return ""
}

func (d *deriver) yield(ws []Window) Yield {
	u := ws[0].Use
	return Yield{
		Scenario: ws[0].Scenario, Use: u.Use, Workload: u.Workload, Impl: u.Impl, Threads: u.Threads, Role: u.Role,
		PerKWh: d.efficiency(ws, false).times(kWh, u.Unit), Net: d.efficiency(ws, true).times(kWh, u.Unit),
	}
}

// target adds the figures of the time-to-target phase.
func (d *deriver) target(m map[string]Figure, ws []Window) {
	reached := slices.DeleteFunc(slices.Clone(ws), func(w Window) bool { return w.Use.Target == nil })
	if len(reached) == 0 {
		return
	}
	phase := func(w *Window) (from, to float64) {
		p, _ := w.run.Phase(PhaseTarget)
		return float64(p.From), float64(p.To)
	}
	m[StepsToTarget] = per(reached, func(w *Window) Float { return Float(w.Use.Target.Steps) }, once, 1, Step, "")
	m[TimeToTarget] = per(reached, func(w *Window) Float {
		from, to := phase(w)
		return Float(to - from)
	}, once, 1, Second, "")
	var whys tally
	joules := func(w *Window) Float {
		from, to := phase(w)
		e, why := d.head.energy(w.run, from, to)
		if e.IsAbsent() {
			whys.add(why)
		}
		return e
	}
	reach := per(reached, joules, once, 1, Joule, "")
	if reach.N == 0 {
		reach.Why = whys.usual()
	}
	m[EnergyToTarget] = d.powered(reach, reached, func(w *Window) terms {
		from, to := phase(w)
		e, _ := d.head.energy(w.run, from, to)
		return d.head.within(w.run, from, to).scale(1 / float64(e))
	})
}

// of returns the windows of one use in one role, by round; of training, those
// on one model.
func (d *deriver) of(use string, role Role, model string) map[int]*Window {
	m := map[int]*Window{}
	d.spend(len(d.windows))
	for i := range d.windows {
		if w := &d.windows[i]; !w.left && w.Use.Use == use && w.Use.Role == role && w.Use.Params["model"] == model {
			m[w.Round] = w
		}
	}
	return m
}

// paired applies f to the windows of the same round: drift over the session
// cancels in their ratio or difference.
func paired(a, b map[int]*Window, f func(a, b *Window) Float) []float64 {
	var xs []float64
	for _, r := range slices.Sorted(maps.Keys(a)) {
		if b[r] == nil {
			continue
		}
		if x := float64(f(a[r], b[r])); !math.IsNaN(x) && !math.IsInf(x, 0) {
			xs = append(xs, x)
		}
	}
	return xs
}

// relative adds what a use did over what the control did, round by round.
func (d *deriver) relative(m map[string]Figure, ws []Window) {
	control, of := d.control, map[int]*Window{}
	if len(control) == 0 || ws[0].Use.Use == Control {
		return
	}
	for i := range ws {
		of[ws[i].Round] = &ws[i]
	}
	ratio := func(f func(*Window) Float, unit Unit) Figure {
		return median(paired(of, control, func(a, b *Window) Float { return f(a) / f(b) }), unit, "no round has both")
	}
	unit := Ratio
	if u := ws[0].Use.Unit; u != Hash {
		unit = u.Per(Hash)
	}
	if ws[0].Use.Use != "idle" {
		m[RelativeThroughput] = ratio((*Window).Throughput, unit)
	}
	if !d.metered {
		return
	}
	// One meter saw both: its gain cancels in the ratio.
	both := func(w *Window) terms {
		t := gross(w).each(gross(control[w.Round]), math.Hypot)
		t.gain = 0
		return t
	}
	pairs := slices.DeleteFunc(slices.Clone(ws), func(w Window) bool {
		c := control[w.Round]
		return c == nil || c.Energy.IsAbsent()
	})
	m[RelativePower] = d.powered(ratio((*Window).Power, Ratio), pairs, both)
	if ws[0].Use.Use != "idle" {
		m[RelativeWorkPerEnergy] = d.powered(ratio(func(w *Window) Float { return w.Work / w.Energy }, unit), pairs, both)
	}
}

// find returns the windows of a use in a role, in the row of the plan that
// has it first; of training, on one model.
func find(rows [][]Window, use string, role Role, model string) []Window {
	for _, ws := range rows {
		if u := ws[0].Use; u.Use == use && u.Role == role && u.Params["model"] == model {
			return ws
		}
	}
	return nil
}

// marginal compares the mullet with training alone: each figure is made of
// those of the rows, and its interval of what each round did to both.
func (d *deriver) coRunCost(rows [][]Window) *CoRunCost {
	model := ""
	for _, ws := range rows {
		if u := ws[0].Use; u.Use == "training" && u.Role == Foreground {
			model = u.Params["model"]
		}
	}
	alone, front, back := find(rows, "training", Alone, model), find(rows, "training", Foreground, model), find(rows, "mining", Background, "")
	rate := func(ws []Window) quotient { return sums(ws, (*Window).work, (*Window).seconds) }
	kept, gained := rate(front).over(rate(alone)), rate(back)
	if !(kept.value > 0) || math.IsInf(kept.value, 0) || math.IsNaN(gained.value) {
		return nil
	}
	// The same meter saw both, and at nearly the same reading: its gain is that
	// of the difference, and nothing else of it cancels.
	shortest := math.Inf(1)
	watts := func(ws []Window) (q quotient, each, plain []terms) {
		for i := range ws {
			if w := &ws[i]; !w.Energy.IsAbsent() {
				each, plain = append(each, w.uncertain.scale(1/w.Duration)), append(plain, gross(w))
				shortest = min(shortest, w.Duration)
			}
		}
		return sums(ws, (*Window).energy, (*Window).seconds), each, plain
	}
	before, ofAlone, _ := watts(alone)
	with, ofFront, plain := watts(front)
	own := typical(ofAlone).each(typical(ofFront), math.Hypot)
	extra := with.less(before)
	own.gain = d.head.Gain * math.Abs(extra.value)
	power := missing(Watt, noEnergy(slices.Concat(alone, front)))
	if !math.IsNaN(extra.value) {
		power = extra.metric(Watt, true)
	}
	mark := seen{d, own.scale(1 / extra.value), typical(plain), shortest}.mark
	power = mark(power)
	seconds := Float(0)
	for i := range front {
		seconds += Float(front[i].Duration)
	}
	joules := power.times(seconds, Joule)
	each := missing(Joule.Per(Hash), power.Why)
	if power.N > 0 {
		each = mark(extra.over(gained).metric(Joule.Per(Hash), false))
	}
	unresolved := ""
	resolution := own.apart()
	switch {
	case power.N == 0:
	case power.Low.IsAbsent():
		unresolved = fmt.Sprintf("not resolvable: no interval from n = %d", power.N)
	case power.Low <= 0:
		unresolved = "not resolvable: the interval of the extra power reaches zero"
	case float64(power.Value) <= resolution:
		unresolved = fmt.Sprintf("not resolvable: the meter tells no less than %.3g W apart here", resolution)
	}
	if unresolved != "" {
		each.Value, each.Low, each.High, each.Instrument, each.Budget, each.Why = Absent(), Absent(), Absent(), Absent(), nil, unresolved
		joules.Why = unresolved
	}
	return &CoRunCost{
		TrainingKept: kept.metric(Ratio, false),
		HashesGained: gained.metric(Hash.Per(Second), false),
		ExtraPower:   power,
		ExtraEnergy:  joules,
		EnergyPer:    each,
	}
}

// exchange is how many hashes the energy of one training sample would give, on
// every model in the order of the plan.
func (d *deriver) exchange(rows [][]Window) (out []Exchange) {
	efficiency := func(ws []Window) quotient { return sums(ws, (*Window).work, (*Window).energy) }
	mining := efficiency(find(rows, "mining", Alone, ""))
	// One meter saw both: its gain cancels in the ratio.
	all := d.seen(d.windows, func(w *Window) terms {
		t := gross(w)
		t.gain = 0
		return t.scale(math.Sqrt2)
	})
	for _, ws := range rows {
		if ws[0].Use.Use != "training" || ws[0].Use.Role != Alone {
			continue
		}
		d.spend(64 * (len(mining.moves) + len(ws)))
		if q := mining.over(efficiency(ws)); q.value > 0 && !math.IsInf(q.value, 0) {
			out = append(out, Exchange{Scenario: ws[0].Scenario, HashesPerSample: all.mark(q.metric(Hash.Per(Sample), false))})
		}
	}
	return out
}

// flags finds the doubts that the traces themselves raise.
func (d *deriver) flags(s Summary) []Warning {
	flags := []Warning{}
	add := func(w *Window, code, text, remedy string) {
		run := ""
		if w != nil {
			run = w.run.name
		}
		d.copied(run, text)
		flags = append(flags, Warning{Code: code, Text: text, Remedy: remedy, Run: run})
	}
	d.sessionFlags(add)
	for i := range d.runs {
		d.runs[i].suspensions(add)
	}
	for i := range d.windows {
		if w := &d.windows[i]; w.left && (i == 0 || d.windows[i-1].run != w.run) {
			add(w, "window-left-out", "something of this window is missing that others have, its energy, the work of a use, or time in which it ran: no figure is made of it, so that rates, watts and work per joule are of the same windows",
				"look at the meter's gaps and at what was suspended, and measure more rounds")
		}
	}
	for _, c := range s.Coverage {
		if c.Meter == d.head.Meter && d.head.Origin == Measured && len(d.windows) > 0 && c.Readings < fewReadings {
			add(nil, "few-readings", fmt.Sprintf("meter %s was read %d times in the shortest window: what the load did in between is hardly known", c.Meter, c.Readings),
				"lengthen --window to ten times the meter's period or more (perwatt meters SPEC shows it)")
		}
	}
	var clocks []float64
	for i, w := range d.windows {
		if (i == 0 || d.windows[i-1].run != w.run) && !w.Clock.IsAbsent() {
			clocks = append(clocks, float64(w.Clock))
		}
	}
	clock := math.NaN()
	if len(clocks) > 0 {
		clock, _, _ = MedianInterval(clocks)
	}
	for i := range d.windows {
		w := &d.windows[i]
		if w.Use.Role != Background && w.Use.Use != "idle" && w.Use.Shares == nil {
			warmup, _ := w.run.Phase(PhaseWarmup)
			work := w.run.Trace(WorkOf(w.Use.Use))
			if work != nil {
				d.spend(steadyParts * len(work.T))
			}
			ok, spread, slope := Steady(work, float64(warmup.To), float64(d.rec.Plan.Warmup))
			text := fmt.Sprintf("%s had not settled when its window began: range %.1f %%, slope %.1f %% of the rate over five parts of the warm-up", w.Use.Use, 100*spread, 100*slope)
			if math.IsNaN(spread) {
				text = w.Use.Use + " finished too little during the warm-up to tell whether it had settled"
			}
			if !ok {
				add(w, "not-steady", text, "lengthen --warmup, or quieten the machine")
			}
		}
		if i > 0 && d.windows[i-1].run == w.run {
			continue // the rest concerns the run, not the use
		}
		if w.Stolen > maxStolen {
			add(w, "stolen-time", fmt.Sprintf("the hypervisor took %.1f %% of the CPU time", 100*float64(w.Stolen)),
				"measure on a dedicated host, or read cpu_throughput beside throughput")
		}
		if w.Others > maxOtherLoad {
			add(w, "other-load", fmt.Sprintf("other processes used %.1f %% of the CPU time", 100*float64(w.Others)),
				"stop what else runs on this machine")
		}
		if off := float64(w.Clock)/clock - 1; math.Abs(off) > maxClockShift {
			add(w, "clock-moved", fmt.Sprintf("the CPU clock was %+.1f %% off the session's median of %.2f GHz", 100*off, clock/1e9),
				"fix the frequency (cpupower frequency-set) or measure longer windows")
		}
		if tr := w.run.Trace(HostThrottles); tr != nil && len(tr.V) > 1 && tr.V[len(tr.V)-1] > tr.V[0] {
			add(w, "throttled", fmt.Sprintf("the CPU slowed down for heat %.0f times", tr.V[len(tr.V)-1]-tr.V[0]),
				"improve the cooling or lower the power cap: this is not the hardware's full rate")
		}
		d.disturbed(w, add)
		if d.metered && w.Energy.IsAbsent() {
			add(w, "energy-gap", "no watts for this run: "+w.why,
				"see the meter's trace and its errors in the record; perwatt meters SPEC --watch shows what it says")
		}
	}
	for _, why := range d.head.dead {
		add(nil, "dead-source", fmt.Sprintf("%s of meter %s is quoted, and not what would come first: %s", strings.Join(d.head.Channels(), " + "), d.head.Meter, why),
			"see what the first source says (perwatt meters SPEC --watch), or leave it out")
	}
	if off := idleDrift(d.windows); math.Abs(off) > maxIdleDrift && d.head.Origin == Measured {
		add(nil, "idle-drift", fmt.Sprintf("idle power moved by %+.1f %% from the first idle run to the last", 100*off),
			"warm the machine up first, or measure longer: net power is uncertain by as much")
	}
	for _, w := range d.implausible(s.Meters) {
		add(nil, w.Code, w.Text, w.Remedy)
	}
	return flags
}

// idleDrift is by how much the power of the last idle run differs from that of
// the first, relative; NaN without two.
func idleDrift(windows []Window) float64 {
	first, last := math.NaN(), math.NaN()
	n := 0
	for _, w := range windows {
		if w.Use.Use == "idle" && !w.Energy.IsAbsent() {
			if last = float64(w.Power()); n == 0 {
				first = last
			}
			n++
		}
	}
	if n < 2 {
		return math.NaN()
	}
	return last/first - 1
}

// sessionFlags are the doubts that concern every figure of the record.
func (d *deriver) sessionFlags(add func(w *Window, code, text, remedy string)) {
	for _, w := range d.powerWarnings() {
		add(nil, w.Code, w.Text, w.Remedy)
	}
	if n := d.rec.Plan.Rounds; n < minimumWindows && !d.byShares() {
		add(nil, "few-rounds", fmt.Sprintf("%d of the %d rounds that a 95 %% interval needs: figures have none", n, minimumWindows), "run the quick preset, or --rounds 6")
	}
	trains := slices.ContainsFunc(d.rec.Runs, func(r Run) bool {
		return slices.ContainsFunc(r.Uses, func(u Use) bool { return u.Use == "training" })
	})
	if trains && !d.rec.Plan.Target {
		add(nil, "no-target", "the time-to-target phase was left out: the training rate is not known to be one that learns", "run the quick preset, or --target")
	}
	d.clockSteps(add)
}

// PowerWarnings are the doubts that the meters of a session raise, also before
// any of them was read.
func PowerWarnings(rec *Record) []Warning { return indexed(free(rec)).powerWarnings() }

func (s *indexedRecord) powerWarnings() (out []Warning) {
	for _, m := range s.rec.MeterProbes {
		if m.State == "refused" {
			out = append(out, Warning{Code: "meter-refused", Text: fmt.Sprintf("meter %s is there but could not be read", m.Meter), Remedy: m.Detail})
		}
	}
	const remedy = "run where a meter can be read (perwatt node lists what was looked for), or name one with --meter"
	switch h := s.head; {
	case !s.metered && len(s.rec.Meters) > 0:
		out = append(out, Warning{Code: "no-power", Text: s.partial + ": its traces are in the record, and there is throughput only", Remedy: "add a meter of the whole node with another --meter; if what this one sees is all that feeds the node, say so with boundary="})
	case !s.metered:
		out = append(out, Warning{Code: "no-power", Text: "no meter gives the power of this node: there is throughput only", Remedy: remedy})
	case h.Origin == Modelled:
		within := "by how much they are off is not stated"
		if !math.IsNaN(h.Gain) {
			within = fmt.Sprintf("±%.0f %%", 100*h.Gain)
		}
		out = append(out, Warning{Code: "modelled-power", Text: fmt.Sprintf("every watt marked ~ is modelled (%s), not measured: no verdict can rest on it", within), Remedy: remedy})
	case h.Origin == Declared:
		out = append(out, Warning{Code: "declared-power", Text: "the watts are what somebody declared, not measured: no verdict can rest on them", Remedy: remedy})
	}
	return out
}

const steadyParts = 5

// Steady tests the last span seconds of a trace before second to, cut into
// five parts: it is steady if their rates (of a counter) or means (of a gauge)
// lie within 2 % of each other and the line fitted through them changes by no
// more than 1 %. A trace that began later is tested from its first sample; one
// that covers less than half of the span is not steady, and spread and slope
// are NaN.
func Steady(tr *Trace, to, span float64) (ok bool, spread, slope float64) {
	if tr == nil || len(tr.T) == 0 {
		return false, math.NaN(), math.NaN()
	}
	a, b := max(to-span, float64(tr.T[0])), to
	if b-a < span/2 {
		return false, math.NaN(), math.NaN()
	}
	var r [steadyParts]float64
	step := (b - a) / steadyParts
	lo, hi, mean, lever := math.Inf(1), math.Inf(-1), 0.0, 0.0
	for i := range r {
		r[i] = float64(tr.Over(a+float64(i)*step, a+float64(i+1)*step)) / step
		lo, hi = min(lo, r[i]), max(hi, r[i])
		mean += r[i] / steadyParts
		lever += (float64(i) - (steadyParts-1)/2.) * r[i]
	}
	// Σ(i−2)² = 10 for five parts; the line spans four steps between their middles.
	spread, slope = (hi-lo)/mean, lever/10*(steadyParts-1)/mean
	return spread <= steadyRange && math.Abs(slope) <= steadySlope, spread, slope
}

// MedianInterval returns the median of xs and the bounds of its 95 %
// order-statistic interval, which assumes nothing of the distribution: the
// k-th smallest and the k-th largest value, k the largest for which the
// binomial probability of missing the median stays within 5 %. Fewer than six
// values have none: the bounds are NaN. xs is not changed.
func MedianInterval(xs []float64) (median, low, high float64) {
	s := slices.Sorted(slices.Values(xs))
	n := len(s)
	if n == 0 {
		return math.NaN(), math.NaN(), math.NaN()
	}
	median = (s[(n-1)/2] + s[n/2]) / 2
	low, high = math.NaN(), math.NaN()
	// Terms of the binomial distribution for p = ½, by logarithm: 2^−n
	// underflows beyond a thousand values.
	term, miss := -float64(n)*math.Ln2, 0.0
	for k := 1; k <= n/2; k++ {
		if miss += 2 * math.Exp(term); miss > 1-confidence {
			break
		}
		low, high = s[k-1], s[n-k]
		term += math.Log(float64(n-k+1)) - math.Log(float64(k))
	}
	return median, low, high
}
