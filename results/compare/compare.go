// Package compare compares records of several candidates. For each use it makes
// a table of candidates, with an index against a reference, its interval and a
// verdict; it also lists the facts in which their environments differ. Then it
// normalises across uses: what a kilowatt-hour yields at each, the rate at which
// a candidate exchanges one use for another, and what a mix of two yields.
//
// The session is the replicate: windows of one session share its errors. Figures
// of different boundaries, origins or grades are never ranked against each
// other, and a record that breaks the publish rules is not ranked. Everything
// left out is listed in [Comparison.Excluded].
//
// The package reads records. It knows no prices and prints nothing.
package compare

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/stats"
)

// DefaultMargin is the relative shortfall against the reference that still counts
// as no worse.
const DefaultMargin = 0.02

// Options of a comparison. Fix them before you see its figures.
type Options struct {
	Reference string  // reference candidate (index = 1): its id, or the id or file of a record; the first if empty
	Margin    float64 // relative; DefaultMargin if 0
	Seed      uint64  // of the bootstrap
}

// Comparison is the result for all candidates at all uses.
type Comparison struct {
	Reference   string       `json:"reference"` // id of a candidate
	Margin      float64      `json:"margin"`
	Seed        uint64       `json:"seed"`
	Candidates  []Candidate  `json:"candidates"`
	Tables      []Table      `json:"tables"`
	Choices     []Choice     `json:"choices"` // one a use that is not of a co-run
	Exchange    []Exchange   `json:"exchange"`
	Mixes       []Mix        `json:"mixes"`
	Differences []Difference `json:"differences"`
	Excluded    []Exclusion  `json:"excluded"`
	// Warnings concern the comparison; those about a session are in its record.
	Warnings []results.Warning `json:"warnings"`

	machine map[*results.Record]string // see [Comparison.machines]
}

// Candidate is one machine in all its sessions, or all sessions with one label
// candidate=NAME; at each setting of a sweep it is a candidate of its own, and so it is
// while other nodes measured beside it on purpose.
type Candidate struct {
	ID      string `json:"id"`                // short, unique in the comparison
	Machine string `json:"machine,omitempty"` // shared by the candidates of one machine
	Setting string `json:"setting,omitempty"`
	// Together is the number of nodes that measured at the same time on purpose, the
	// most of its sessions; 0 if it was measured whatever the others did.
	Together int           `json:"together,omitempty"`
	Node     results.Node  `json:"node"`
	Records  []Source      `json:"records"`
	Meter    results.Meter `json:"meter"` // the primary one; empty without one
	// Claims are the figures that its devices report of themselves, in the order
	// of the records. They are passed on unread.
	Claims []results.ClaimRow `json:"claims,omitempty"`

	records []*results.Record
}

// Source is one record.
type Source struct {
	File   string `json:"file,omitempty"`
	ID     string `json:"id"`
	Start  string `json:"start"` // RFC 3339
	Digest string `json:"digest"`
	State  string `json:"state"`
	Valid  bool   `json:"valid"`            // by the rules of the record's own summary
	Broken string `json:"broken,omitempty"` // names of the publish rules that it breaks
}

// Name is the row's candidate, with the cards that it ran on.
func (r *Row) Name() string {
	if r.Device == "" {
		return r.Candidate
	}
	return r.Candidate + ", " + r.Device
}

// Table compares candidates at one use: on whatever device, since the work is the
// same. A precision is a use of its own. What runs beside a card is compared with
// its like only: the scenario is then that with the kind of the card, mullet@gpu.
type Table struct {
	Scenario string       `json:"scenario"` // without the numbers of devices
	Use      string       `json:"use"`
	Role     results.Role `json:"role"`
	// Variant distinguishes tables of one use where a record has several rows of
	// it: by device, package, implementation or threads.
	Variant string       `json:"variant,omitempty"`
	Unit    results.Unit `json:"unit"`
	Groups  []Group      `json:"groups"`

	trains bool
}

// Trains reports whether the use trains a network, in whatever precision.
func (t *Table) Trains() bool { return t.trains }

// ID names the table.
func (t *Table) ID() string {
	id := t.Scenario
	if t.Role == results.Foreground || t.Role == results.Background {
		id += "/" + t.Use
	}
	if t.Variant != "" {
		id += " (" + t.Variant + ")"
	}
	return id
}

// Group holds the rows of a table with one boundary, origin and grade, all of them
// measured alone or all together with other nodes: they are ranked together, or not at
// all for one reason.
type Group struct {
	Boundary results.Boundary `json:"boundary"`
	Origin   results.Origin   `json:"origin"`
	Grade    results.Grade    `json:"grade"`
	Together bool             `json:"together,omitempty"` // other nodes measured at the same time on purpose
	Ranked   bool             `json:"ranked"`
	Reason   stats.Reason     `json:"reason,omitempty"` // why it is not
	Why      string           `json:"why,omitempty"`    // the same as a text
	Rows     []Row            `json:"rows"`             // best first
}

// Row is one candidate at one use. Figures have the names of their metrics and the
// definition of [results.Quotient]: with one session they are those of its
// record, with several the sums go over all of them.
type Row struct {
	ID        string                    `json:"id"`
	Candidate string                    `json:"candidate"`
	Device    string                    `json:"device,omitempty"` // names the cards that it ran on, or in front of it; empty for the CPU or a miner
	On        []results.DeviceCount     `json:"on"`               // what did the work
	Impl      string                    `json:"impl"`
	Products  string                    `json:"products,omitempty"` // what multiplied matrices on GPUs: see [results.Record.Products]
	Figures   map[string]results.Figure `json:"figures"`
	// Independent is true of several cards of which each trained a model of its own.
	Independent bool `json:"independent,omitempty"`
	// Index is the ratio of the work per energy to the reference's: on the same
	// device, or on one of the same kind, or else on its best. Terms that cancel on a
	// shared meter are left out. It is absent if the reference is in another group.
	Index    results.Figure `json:"index"`
	Shared   bool           `json:"shared"` // both were read by one meter
	P        results.Float  `json:"p"`      // of no difference (Welch, over sessions), adjusted over the comparison (Benjamini and Hochberg)
	RankP    results.Float  `json:"rank_p"` // the same by ranks alone (Mann and Whitney, over sessions); null with fewer than 4 a side
	Verdict  stats.Decision `json:"verdict"`
	Sessions int            `json:"sessions"`
	Windows  int            `json:"windows"`
	Outliers int            `json:"outliers"` // windows beyond 1.5 IQR: counted, never dropped
	Tie      int            `json:"tie"`      // place, from 1; rows that cannot be distinguished share it; 0 outside a ranking

	ref      string             // ID of the row that the index is against
	sessions stats.Sessions     // work over energy
	repeats  stats.Estimate     // of the sessions
	stat     stats.Interval     // of the index, from the repeats alone
	watts    results.Provenance // of all sessions: the worst grade
	broken   string             // names of the publish rules that a session breaks
	mixed    bool               // its sessions differ in boundary or origin
	budget   *results.Budget
	meter    string // the instrument, see [instrument]
	many     bool   // measured together with other nodes
	model    string // the network that was trained
	of       []source
}

// source is the part of a row that one record contributes.
type source struct {
	record  int // index into the candidate's records
	metrics map[string]results.Figure
	windows []*results.Window
}

// of returns an estimate as a figure without watts.
func of(i stats.Interval, unit results.Unit) results.Figure {
	return stated(results.Figure{Value: results.Float(i.Value), Low: results.Float(i.Low), High: results.Float(i.High), Unit: unit, Provenance: results.Provenance{Instrument: results.Absent()}})
}

// none is an absent figure.
func none() results.Figure {
	return of(stats.Interval{Value: math.NaN(), Low: math.NaN(), High: math.NaN()}, results.Ratio)
}

// stated returns a figure without what no JSON file can hold, such as work over
// no energy, and without its budget, which holds for one session only.
func stated(m results.Figure) results.Figure {
	for _, f := range []*results.Float{&m.Value, &m.Low, &m.High, &m.Instrument} {
		*f = finite(float64(*f))
	}
	m.Budget = nil
	return m
}

func finite(x float64) results.Float {
	if math.IsInf(x, 0) {
		return results.Absent()
	}
	return results.Float(x)
}

// Difference is a fact in which candidates differ. It may explain more of a
// result than the hardware does.
type Difference struct {
	Fact   string   `json:"fact"`
	Values []string `json:"values"` // by candidate, in their order
	Within bool     `json:"within"` // it also differs between sessions of one candidate
}

// Exclusion is an input that was not used, with the reason.
type Exclusion struct {
	What string `json:"what"`
	Why  string `json:"why"`
}

// ErrNothing is wrapped when there is nothing to compare.
var ErrNothing = errors.New("nothing to compare")

// New compares the records. Files holds their file names in the same order, for
// messages and the page; it may be nil.
func New(ctx context.Context, records []*results.Record, files []string, opt Options) (*Comparison, error) {
	if opt.Margin == 0 {
		opt.Margin = DefaultMargin
	}
	if !(opt.Margin > 0 && opt.Margin < 1) {
		return nil, fmt.Errorf("compare: margin %v: must lie between 0 and 1, such as 0.02", opt.Margin)
	}
	c := &Comparison{Margin: opt.Margin, Seed: opt.Seed, Candidates: []Candidate{}, Tables: []Table{}, Choices: []Choice{}, Exchange: []Exchange{}, Mixes: []Mix{}, Differences: []Difference{}, Excluded: []Exclusion{}, Warnings: []results.Warning{}}
	if err := c.gather(records, files); err != nil {
		return nil, err
	}
	if len(c.Candidates) == 0 {
		return nil, fmt.Errorf("compare: %w: no record holds a good run", ErrNothing)
	}
	if err := c.refer(opt.Reference); err != nil {
		return nil, err
	}
	if err := c.tabulate(ctx); err != nil {
		return nil, fmt.Errorf("compare: %w", err)
	}
	if err := c.choose(ctx); err != nil {
		return nil, fmt.Errorf("compare: %w", err)
	}
	if err := c.normalise(ctx); err != nil {
		return nil, fmt.Errorf("compare: %w", err)
	}
	c.differ()
	c.numbers()
	return c, nil
}

// gather groups the sessions by candidate.
func (c *Comparison) gather(records []*results.Record, files []string) error {
	type session struct {
		*results.Record
		file string
	}
	var sessions []session
	seen := map[string]bool{}
	for i, r := range records {
		s := session{Record: r}
		if i < len(files) {
			s.file = files[i]
		}
		what := cmp.Or(s.file, r.ID)
		if seen[r.ID] {
			c.Excluded = append(c.Excluded, Exclusion{what, "record " + r.ID + " was given before"})
			continue
		}
		seen[r.ID] = true
		good := false
		for _, run := range r.Runs {
			if run.Status == results.OK {
				good = true
				continue
			}
			c.Excluded = append(c.Excluded, Exclusion{fmt.Sprintf("%s: %s, round %d", what, run.Scenario, run.Round), fmt.Sprintf("%s: %s", run.Status, run.Error)})
		}
		if !good {
			c.Excluded = append(c.Excluded, Exclusion{what, "no run of it is good"})
			continue
		}
		sessions = append(sessions, s)
	}
	good := make([]*results.Record, len(sessions))
	for i, s := range sessions {
		good[i] = s.Record
	}
	if err := c.machines(good); err != nil {
		return err
	}
	at := map[string]int{}         // candidates, by key
	machine := map[string]string{} // the name of each
	names := map[string]int{}
	unique := func(name string) string {
		if names[name]++; names[name] > 1 {
			name = fmt.Sprintf("%s-%d", name, names[name])
		}
		return name
	}
	for _, r := range sessions {
		var broken []string
		for _, f := range r.Summary.Validity.Findings {
			if f.Outcome == results.Fail {
				broken = append(broken, f.Rule)
			}
		}
		key := cmp.Or(r.Plan.Labels[labelled], c.machine[r.Record])
		if machine[key] == "" {
			machine[key] = unique(cmp.Or(r.Plan.Labels[labelled], r.Node.Name, "node"))
		}
		fresh := Candidate{ID: machine[key], Node: r.Node}
		if s := r.Plan.Setting; s != nil {
			fresh.Machine, fresh.Setting = fresh.ID, s.Value
			key += "\x00at " + s.Value
		}
		many := r.Plan.Together()
		if many > 0 {
			fresh.Machine = fresh.ID
			key += "\x00together"
		}
		j, known := at[key]
		if !known {
			if fresh.Machine != "" {
				fresh.ID = fresh.Machine
				if fresh.Setting != "" {
					fresh.ID += " at " + fresh.Setting
				}
				if many > 0 {
					fresh.ID += " together"
				}
				fresh.ID = unique(fresh.ID)
			}
			j = len(c.Candidates)
			at[key], c.Candidates = j, append(c.Candidates, fresh)
		}
		cand := &c.Candidates[j]
		cand.Together = max(cand.Together, many)
		cand.Records = append(cand.Records, Source{
			File: r.file, ID: r.ID, Start: r.Start.UTC().Format("2006-01-02T15:04:05Z"), Digest: r.Digest.Record, State: string(r.State),
			Valid: r.Summary.Validity.Valid, Broken: strings.Join(broken, ", "),
		})
		cand.records = append(cand.records, r.Record)
		cand.Claims = append(cand.Claims, r.Summary.Claims...)
		if of, ok := meter(r.Record); ok && cand.Meter.Name == "" {
			cand.Meter = of
		}
	}
	c.labels()
	return nil
}

// numbers warns if candidates that are compared measured with different numbers of
// nodes at the same time: they shared power and cooling with fewer or with more.
func (c *Comparison) numbers() {
	var least, most *Candidate
	for i := range c.Candidates {
		cand := &c.Candidates[i]
		for _, r := range cand.records {
			if n := r.Plan.Together(); n > 0 && n != cand.Together {
				c.Warnings = append(c.Warnings, unequal(cand.ID, n, cand.ID, cand.Together))
				break
			}
		}
		if cand.Together == 0 {
			continue
		}
		if least == nil || cand.Together < least.Together {
			least = cand
		}
		if most == nil || cand.Together > most.Together {
			most = cand
		}
	}
	if least != nil && least.Together != most.Together {
		c.Warnings = append(c.Warnings, unequal(least.ID, least.Together, most.ID, most.Together))
	}
}

func unequal(a string, few int, b string, many int) results.Warning {
	return results.Warning{
		Code: "together-differs", Text: fmt.Sprintf("%s was measured with %s at once, %s with %d: they shared power and cooling with different numbers", a, results.Plural(few, "node"), b, many),
		Remedy: "measure with as many nodes at once, or each alone",
	}
}

// meter returns the primary meter of a record; the meters of a sum as one, with
// their sources joined.
func meter(r *results.Record) (of results.Meter, ok bool) {
	p := r.Summary.PrimaryMeter
	for _, m := range r.Meters {
		switch {
		case p == nil || !p.Has(m.Name):
		case !ok || len(p.Meters) == 0:
			of, ok = m, true
		default:
			of.Name, of.Source, of.Period = p.Meter, of.Source+" + "+m.Source, max(of.Period, m.Period)
			of.Channels, of.Notes = slices.Concat(of.Channels, m.Channels), slices.Concat(of.Notes, m.Notes)
		}
	}
	return of, ok
}

func (c *Comparison) refer(want string) error {
	c.Reference = c.Candidates[0].ID
	if want == "" {
		return nil
	}
	var ids []string
	for _, cand := range c.Candidates {
		if cand.ID == want || slices.ContainsFunc(cand.Records, func(s Source) bool { return s.ID == want || s.File != "" && s.File == want }) {
			c.Reference = cand.ID
			return nil
		}
		ids = append(ids, cand.ID)
	}
	return fmt.Errorf("compare: no candidate %.80q to refer to; there are %s", want, strings.Join(ids, ", "))
}

// key identifies a table.
type key struct {
	scenario, use string
	role          results.Role
	variant       string
}

func keyOf(r results.Row, at results.Place) key {
	k := key{at.Base, r.Use, r.Role, ""}
	if at.Kind != "" && r.Role != results.Alone {
		k.scenario += "@" + at.Kind
	}
	return k
}

// properties are what can distinguish rows of one use within a record.
func properties(r results.Row) [4]string {
	return [4]string{r.Device, r.Workload, r.Impl, "threads=" + strconv.Itoa(r.Threads)}
}

// variants marks the properties in which rows of a use differ, in any record.
func (c *Comparison) variants() map[key][4]bool {
	out := map[key][4]bool{}
	for _, cand := range c.Candidates {
		for _, rec := range cand.records {
			type placed struct {
				key
				cards string
			}
			first := map[placed][4]string{}
			for i, at := range rec.Places() {
				r := rec.Summary.Rows[i]
				k, now := keyOf(r, at), properties(r)
				was, ok := first[placed{k, at.Cards}]
				if at.Part {
					continue
				}
				if !ok {
					first[placed{k, at.Cards}] = now
					continue
				}
				differ := out[k]
				for i := range now {
					differ[i] = differ[i] || now[i] != was[i]
				}
				out[k] = differ
			}
		}
	}
	return out
}

// variant names a row by the properties in which rows of its use differ.
func variant(r results.Row, differ [4]bool) string {
	var words []string
	for i, p := range properties(r) {
		if differ[i] {
			words = append(words, p)
		}
	}
	return strings.Join(words, ", ")
}

// tabulate makes the tables, in the order in which uses first appear.
func (c *Comparison) tabulate(ctx context.Context) error {
	tables := map[key]int{}
	var rows [][]*Row // of each table
	variants := c.variants()
	for ci := range c.Candidates {
		cand := &c.Candidates[ci]
		made := map[string]*Row{} // by ID
		for ri, rec := range cand.records {
			if len(rec.Summary.Rows) > 0 && len(rec.Summary.Windows()) == 0 {
				return fmt.Errorf("record %s: its summary was read and not derived: derive it first", rec.ID)
			}
			for mi, at := range rec.Places() {
				m := rec.Summary.Rows[mi]
				windows := m.Windows()
				if len(windows) == 0 || at.Part || m.Use == "idle" || m.Use == results.Control { // nothing that hardware is bought for
					continue
				}
				u := windows[0].Use
				k := keyOf(m, at)
				k.variant = variant(m, variants[k])
				i, known := tables[k]
				if !known {
					i = len(c.Tables)
					c.Tables = append(c.Tables, Table{Scenario: k.scenario, Use: k.use, Role: k.role, Variant: k.variant, Unit: u.Unit, trains: u.Trains()})
					tables[k], rows = i, append(rows, nil)
				}
				if unit := c.Tables[i].Unit; unit != u.Unit {
					c.Excluded = append(c.Excluded, Exclusion{fmt.Sprintf("%s: %s", cmp.Or(cand.Records[ri].File, rec.ID), m.Scenario), fmt.Sprintf("%s is counted in %s, not in %s as before", u.Use, u.Unit, unit)})
					continue
				}
				id := strings.Join(slices.DeleteFunc([]string{cand.ID, k.scenario, k.use, k.variant, at.Cards}, func(s string) bool { return s == "" }), "/")
				r := made[id]
				if r == nil {
					r = &Row{ID: id, Candidate: cand.ID, Device: at.Name, On: worked(at.On, m.Cards), Impl: u.Impl, Figures: map[string]results.Figure{}, P: results.Absent(), RankP: results.Absent(), model: u.Params["model"], many: cand.Together > 0}
					r.Independent = m.Independent()
					made[id], rows[i] = r, append(rows[i], r)
				} else if !strings.Contains(r.Impl, u.Impl) {
					r.Impl += ", " + u.Impl
				}
				if by := rec.Products(&m); !strings.Contains(r.Products, by) {
					r.Products = strings.TrimPrefix(r.Products+"; "+by, "; ")
				}
				r.add(source{ri, m.Metrics, windows}, &rec.Summary, cand.Records[ri].Broken)
				if b := m.Metrics[results.WorkPerEnergy].Budget; b != nil && r.budget == nil {
					r.budget, r.meter = b, instrument(rec, c.machine[rec])
				}
			}
		}
	}
	for i, of := range rows {
		for _, r := range of {
			if err := ctx.Err(); err != nil {
				return err
			}
			r.measure(c.Seed)
		}
		c.Tables[i].Groups = group(of)
	}
	return c.judge(ctx)
}

// add adds a session to a row. The row has the worst grade of its sessions, and the
// broken rules of the latest that breaks any.
func (r *Row) add(x source, summary *results.Summary, broken string) {
	watts := x.metrics[results.Power].Provenance
	if len(r.of) > 0 {
		watts.Grade = max(watts.Grade, r.watts.Grade)
		r.mixed = r.mixed || r.watts.Boundary != watts.Boundary || r.watts.Origin != watts.Origin
	}
	if summary.Validity.Valid {
		broken = ""
	}
	r.of, r.watts, r.broken = append(r.of, x), watts, cmp.Or(broken, r.broken)
}

// quantity returns the terms of a quotient in a window; either is absent if it
// has none. Per holds the metrics of the row in its record.
type quantity func(w *results.Window, per map[string]results.Figure) (num, den results.Float)

// quantities are the figures of a row that are quotients.
var quantities = map[string]quantity{
	results.Throughput: func(w *results.Window, _ map[string]results.Figure) (num, den results.Float) {
		return w.Work, results.Float(w.Duration)
	},
	results.Power: func(w *results.Window, _ map[string]results.Figure) (num, den results.Float) {
		return w.Energy, results.Float(w.Duration)
	},
	results.WorkPerEnergy: func(w *results.Window, _ map[string]results.Figure) (num, den results.Float) { return w.Work, w.Energy },
	results.FlopRate: func(w *results.Window, per map[string]results.Figure) (num, den results.Float) {
		if _, ok := per[results.FlopRate]; !ok {
			return results.Absent(), results.Absent()
		}
		return w.Work * w.Use.FlopPerCount, results.Float(w.Duration)
	},
	results.PeakFraction: func(w *results.Window, per map[string]results.Figure) (num, den results.Float) {
		peak := per[results.FlopRate].Value / per[results.PeakFraction].Value
		return w.Work * w.Use.FlopPerCount, results.Float(w.Duration) * peak
	},
	results.ScalingEfficiency: func(w *results.Window, per map[string]results.Figure) (num, den results.Float) {
		efficiency, ok := per[results.ScalingEfficiency]
		if !ok || efficiency.Value.IsAbsent() {
			return results.Absent(), results.Absent()
		}
		return w.Work, results.Float(w.Duration) * per[results.Throughput].Value / efficiency.Value
	},
}

// measure makes the figures of a row.
func (r *Row) measure(seed uint64) {
	pairs := func(of quantity) (s stats.Sessions) {
		for _, x := range r.of {
			var windows []stats.Pair
			for _, w := range x.windows {
				if num, den := of(w, x.metrics); !num.IsAbsent() && !den.IsAbsent() {
					windows = append(windows, stats.Pair{Num: float64(num), Den: float64(den)})
				}
			}
			if len(windows) > 0 {
				s = append(s, windows)
			}
		}
		return s
	}
	names := slices.Sorted(maps.Keys(quantities))
	var figures []stats.Sessions
	for _, name := range names {
		figures = append(figures, pairs(quantities[name]))
	}
	estimates := stats.Estimates(seed, figures...)
	for k, name := range names {
		m, ok := r.of[0].metrics[name]
		if len(r.of) > 1 {
			if ok = len(figures[k]) > 0; ok {
				i := estimates[k].Interval()
				m = r.together(name)
				m.Value, m.Low, m.High = results.Float(i.Value), results.Float(i.Low), results.Float(i.High)
			}
		}
		if ok && !m.Value.IsAbsent() {
			r.Figures[name] = stated(m)
		}
	}
	if w, ok := r.Figures[results.WorkPerEnergy]; ok && w.Value > 0 {
		m := r.together(results.EnergyPerWork)
		m.Value, m.Low, m.High = 1/w.Value, 1/w.High, 1/w.Low
		r.Figures[results.EnergyPerWork] = stated(m)
	}
	efficiency, work := slices.Index(names, results.WorkPerEnergy), figures[slices.Index(names, results.Throughput)]
	r.sessions, r.repeats = figures[efficiency], estimates[efficiency]
	r.Sessions = max(r.sessions.Count(), work.Count())
	for _, windows := range work {
		r.Windows += len(windows)
	}
	var efficiencies []float64
	for _, w := range slices.Concat(r.sessions...) {
		efficiencies = append(efficiencies, w.Num/w.Den)
	}
	r.Outliers = stats.Outliers(efficiencies)
}

// together returns the properties that sessions share of a metric: its unit, and
// the largest error of their meters.
func (r *Row) together(name string) results.Figure {
	m := r.of[0].metrics[name]
	for _, x := range r.of[1:] {
		if of := x.metrics[name].Instrument; of.IsAbsent() || of > m.Instrument {
			m.Instrument = of
		}
	}
	return m
}

// instrument names what the watts of a record were read by, so that two records
// of one instrument are recognised. An instrument inside a node belongs to that
// machine.
func instrument(r *results.Record, machine string) string {
	of, ok := meter(r)
	switch {
	case !ok:
		return ""
	case r.Summary.PrimaryMeter.Boundary == results.Wall && !strings.HasPrefix(of.Source, "/"):
		return of.Source
	}
	return machine + " " + of.Source
}

// meterError returns the relative uncertainty that the meter adds to a figure, in
// quadrature; NaN if a part is unknown. Terms that cancel on a shared meter are
// left out.
func meterError(b *results.Budget, shared bool) float64 {
	if b == nil {
		return math.NaN()
	}
	for _, u := range b.Unstated {
		if u != results.Repeats && !(shared && u == results.Gain) {
			return math.NaN()
		}
	}
	sum := 0.0
	for _, t := range b.Terms {
		if t.Name == results.Repeats || shared && t.Shared {
			continue
		}
		half := float64(t.HalfWidth)
		if t.Name == results.Gain || t.Name == results.Quantisation { // bounds, within which anything is as likely
			half *= stats.Rectangular
		}
		sum += half * half
	}
	return math.Sqrt(sum)
}

// group separates rows that must not be ranked together, best group first.
func group(rows []*Row) (groups []Group) {
	for _, r := range rows {
		g := Group{Boundary: r.watts.Boundary, Origin: r.watts.Origin, Grade: r.watts.Grade, Together: r.many}
		switch {
		case len(r.sessions) == 0:
			g.Reason, g.Why = stats.NoPower, "no watts"
		case g.Origin != results.Measured:
			g.Reason, g.Why = stats.NotMeasured, "the watts were not measured"
		case r.mixed:
			g.Reason, g.Why = stats.MixedMeters, "sessions of different meters"
		case r.broken != "":
			g.Reason, g.Why = stats.BreaksRules, "breaks the publish rules: "+r.broken
		default:
			g.Ranked = true
		}
		for name, f := range r.Figures {
			if f.Origin != "" { // one provenance for all sessions
				r.Figures[name] = attribute(f, r.watts)
			}
		}
		i := slices.IndexFunc(groups, func(o Group) bool {
			return o.Boundary == g.Boundary && o.Origin == g.Origin && o.Grade == g.Grade && o.Together == g.Together && o.Reason == g.Reason && o.Why == g.Why
		})
		if i < 0 {
			i = len(groups)
			groups = append(groups, g)
		}
		groups[i].Rows = append(groups[i].Rows, *r)
	}
	for i := range groups {
		results.SortStable(groups[i].Rows, func(a, b Row) int {
			return -cmp.Compare(a.Figures[results.WorkPerEnergy].Value, b.Figures[results.WorkPerEnergy].Value)
		})
	}
	alone := func(g Group) int {
		if g.Together {
			return 0
		}
		return 1
	}
	place := func(g Group) int {
		if g.Ranked {
			return 0
		}
		return 1
	}
	results.SortStable(groups, func(a, b Group) int {
		return cmp.Or(cmp.Compare(place(a), place(b)), cmp.Compare(a.Grade, b.Grade), cmp.Compare(a.Boundary, b.Boundary), -cmp.Compare(alone(a), alone(b)))
	})
	return groups
}

// rows yields the rows of a table with their groups.
func (t *Table) rows() iter.Seq2[*Group, *Row] {
	return func(yield func(*Group, *Row) bool) {
		for gi := range t.Groups {
			g := &t.Groups[gi]
			for ri := range g.Rows {
				if !yield(g, &g.Rows[ri]) {
					return
				}
			}
		}
	}
}

// judge compares every row with the reference of its group, all in one family of
// tests.
func (c *Comparison) judge(ctx context.Context) error {
	type trial struct{ row, ref *Row }
	var trials []trial
	var ps []float64
	for ti := range c.Tables {
		for gi := range c.Tables[ti].Groups {
			g := &c.Tables[ti].Groups[gi]
			g.tie()
			var refs []*Row
			for ri := range g.Rows {
				if g.Rows[ri].Candidate == c.Reference {
					refs = append(refs, &g.Rows[ri])
				}
			}
			for ri := range g.Rows {
				if err := ctx.Err(); err != nil {
					return err
				}
				r := &g.Rows[ri]
				ref := like(refs, r)
				r.Index = attribute(none(), r.watts)
				switch {
				case !g.Ranked:
					r.Verdict = stats.Decision{Word: stats.NotRanked, Reason: g.Reason, Why: g.Why}
				case ref == nil:
					r.Verdict = stats.Decision{Word: stats.NotRanked, Reason: stats.NoReference, Why: "the reference has no figure of this boundary and grade"}
					if c.Tables[ti].parted(c.Reference, g) {
						r.Verdict.Why = "one was measured alone, the other together with other nodes: that is another measurement"
					}
				case ref == r:
					r.Verdict = stats.Decision{Word: stats.Reference}
				}
				if ref == nil || len(ref.sessions) == 0 || len(r.sessions) == 0 {
					continue
				}
				if r.ref = ref.ID; ref == r {
					r.Index.Value = 1
					continue
				}
				r.Shared = r.shares(ref)
				r.Index, r.stat = c.quotient(r, ref)
				if g.Ranked {
					trials = append(trials, trial{r, ref})
					ps = append(ps, stats.PValue(r.repeats, ref.repeats))
					r.RankP = results.Float(stats.MannWhitney(ratios(r.sessions), ratios(ref.sessions)))
				}
			}
		}
	}
	for i, p := range stats.BenjaminiHochberg(ps) {
		r, ref := trials[i].row, trials[i].ref
		r.P = results.Float(p)
		r.Verdict = decide(r.Index, r.stat, c.Margin, r.sessions.Count(), ref.sessions.Count(), p)
	}
	return nil
}

// parted reports whether a candidate has no place in a group for the sole reason that
// one was measured alone and the other together with other nodes.
func (t *Table) parted(candidate string, g *Group) bool {
	for o, r := range t.rows() {
		if r.Candidate == candidate && o.Boundary == g.Boundary && o.Origin == g.Origin && o.Grade == g.Grade && o.Together != g.Together {
			return true
		}
	}
	return false
}

// worked are the devices that did the work of a row: of cards together, those that
// gave a result.
func worked(on []results.DeviceCount, sum *results.CardSum) []results.DeviceCount {
	if sum == nil || len(on) != 1 {
		return on
	}
	on = slices.Clone(on)
	on[0].Count = sum.Gave
	return on
}

// like returns the row to hold another against: that of the same device, else the
// first on a device of the same kind, else the first; nil if there is none.
func like(rows []*Row, r *Row) *Row {
	kind := func(r *Row) results.DeviceKind {
		if len(r.On) == 0 {
			return ""
		}
		return r.On[0].Kind
	}
	for _, same := range []func(o *Row) bool{
		func(o *Row) bool { return o == r },
		func(o *Row) bool { return o.Device == r.Device },
		func(o *Row) bool { return kind(o) == kind(r) },
		func(*Row) bool { return true },
	} {
		if i := slices.IndexFunc(rows, same); i >= 0 {
			return rows[i]
		}
	}
	return nil
}

// ratios returns the work per energy of each session.
func ratios(s stats.Sessions) (out []float64) {
	for _, windows := range s {
		out = append(out, stats.Sessions{windows}.Ratio())
	}
	return out
}

// tie numbers the rows of a ranking. Rows whose intervals overlap that of the best
// in their tie share its place.
func (g *Group) tie() {
	if !g.Ranked {
		return
	}
	place, first := 0, 0
	shared := !slices.ContainsFunc(g.Rows, func(r Row) bool { return r.meter == "" || r.meter != g.Rows[0].meter })
	for i := range g.Rows {
		r := &g.Rows[i]
		if i == 0 || r.reach(+1, shared) < g.Rows[first].reach(-1, shared) {
			place, first = i+1, i
		}
		r.Tie = place
	}
}

// reach returns the upper or the lower end of the interval of the work per
// energy, meter included; infinite without an interval. Terms that cancel among
// rows of one meter are left out.
func (r *Row) reach(side float64, shared bool) float64 {
	f, own := r.Figures[results.WorkPerEnergy], meterError(r.budget, shared)
	w := stats.Interval{Value: float64(f.Value), Low: float64(f.Low), High: float64(f.High)}.Widen(own)
	switch {
	case math.IsNaN(w.Low + w.High + own):
		return math.Inf(int(side))
	case side > 0:
		return w.High
	}
	return w.Low
}
