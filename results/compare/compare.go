// Package compare holds records of several candidates against each other: per
// use a table of candidates, an index against a reference with its interval,
// a verdict, and what the environments differ in. Then it normalises across
// uses: what a kilowatt-hour gives at each, at what rate a candidate turns one
// use into another, and what a mix of two gives.
//
// The session is the replicate: windows of one session share whatever is wrong
// with it. Figures of different boundaries, origins or grades are never ranked
// against each other, nor is a record that breaks the rules by which one may
// be. Nothing is dropped in silence: see [Comparison.Excluded].
//
// It reads records and knows neither prices nor pages.
package compare

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/stats"
)

// DefaultMargin is how much less than the reference still counts as no worse.
const DefaultMargin = 0.02

// Options of a comparison, all fixed before it is looked at.
type Options struct {
	Reference string  // id or name of the candidate that is 1; the first if empty
	Margin    float64 // relative; DefaultMargin if 0
	Seed      uint64  // of the bootstrap
}

// Comparison is everything that can be said of candidates against each other.
type Comparison struct {
	Reference   string       `json:"reference"` // id of a candidate
	Margin      float64      `json:"margin"`
	Seed        uint64       `json:"seed"`
	Candidates  []Candidate  `json:"candidates"`
	Tables      []Table      `json:"tables"`
	Exchange    []Exchange   `json:"exchange"`
	Mixes       []Mix        `json:"mixes"`
	Differences []Difference `json:"differences"`
	Excluded    []Exclusion  `json:"excluded"`
	// Warnings are the doubts about what was compared; those about a session are
	// in its record.
	Warnings []results.Warning `json:"warnings"`
}

// Candidate is one machine in all its sessions, or those that carry one label
// candidate=NAME, or of either those at one setting of a sweep.
type Candidate struct {
	ID      string        `json:"id"`                // short, unique in the comparison
	Machine string        `json:"machine,omitempty"` // what candidates at several settings share
	Setting string        `json:"setting,omitempty"`
	Node    results.Node  `json:"node"`
	Records []Source      `json:"records"`
	Meter   results.Meter `json:"meter"` // the one quoted; empty without one
	// Claims are what its devices say of themselves, in the order of the
	// records. Nothing here looks into them.
	Claims []results.ClaimRow `json:"claims,omitempty"`

	records  []*results.Record
	machines []string // of each
	quoted   []quoted // of each
}

// quoted is what the watts of a record are from.
type quoted struct {
	*results.PrimaryMeter                  // nil without one
	meters                []*results.Meter // that have its name
}

// Source is one record.
type Source struct {
	File   string `json:"file,omitempty"`
	ID     string `json:"id"`
	Start  string `json:"start"` // RFC 3339
	Digest string `json:"digest"`
	State  string `json:"state"`
	Valid  bool   `json:"valid"`            // by the rules of the record's own summary
	Broken string `json:"broken,omitempty"` // names of the rules that it breaks
}

// Table compares candidates at one use.
type Table struct {
	Scenario string       `json:"scenario"`
	Use      string       `json:"use"`
	Role     results.Role `json:"role"`
	// Variant tells tables of one use apart where a record has several rows of
	// it: by package, implementation or threads.
	Variant string       `json:"variant,omitempty"`
	Unit    results.Unit `json:"unit"`
	Groups  []Group      `json:"groups"`
}

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

// Group is what may be ranked together, or a reason why it may not.
type Group struct {
	Boundary results.Boundary `json:"boundary"`
	Origin   results.Origin   `json:"origin"`
	Grade    results.Grade    `json:"grade"`
	Ranked   bool             `json:"ranked"`
	Reason   stats.Reason     `json:"reason,omitempty"` // why it is not
	Why      string           `json:"why,omitempty"`    // the same as a text
	Rows     []Row            `json:"rows"`             // best first
}

// Row is one candidate at one use. Figures are by the name of their metric, and
// as [results.Quotient] defines them: of one session they are those of its
// record, of several the sums go over all.
type Row struct {
	ID        string                    `json:"id"`
	Candidate string                    `json:"candidate"`
	Impl      string                    `json:"impl"`
	Figures   map[string]results.Figure `json:"figures"`
	// Index of the work per energy against the reference, in which the terms
	// that cancel on a shared meter are left out; absent in another group.
	Index    results.Figure `json:"index"`
	Shared   bool           `json:"shared"` // whether both were read by one meter
	P        results.Float  `json:"p"`      // of no difference (Welch, over sessions), adjusted over the comparison (Benjamini and Hochberg)
	RankP    results.Float  `json:"rank_p"` // of the same by ranks alone (Mann and Whitney, over sessions); null under 4 a side
	Verdict  stats.Decision `json:"verdict"`
	Sessions int            `json:"sessions"`
	Windows  int            `json:"windows"`
	Outliers int            `json:"outliers"` // windows beyond 1.5 IQR: counted, never dropped
	Tie      int            `json:"tie"`      // rows of one number cannot be told apart; 1-based; 0 outside a ranking

	sessions stats.Sessions // work over energy
	plain    []float64
	stat     stats.Interval
	budget   *results.Budget
	meter    string
	model    string // that was trained
	of       []source
}

// source is what one record has of a row.
type source struct {
	record  int // of the candidate
	metrics map[string]results.Figure
	windows []results.Window
}

// of returns an estimate as a figure without watts.
func of(i stats.Interval, unit results.Unit) results.Figure {
	return results.Figure{Value: finite(i.Value), Low: finite(i.Low), High: finite(i.High), Unit: unit, Provenance: results.Provenance{Instrument: results.Absent()}}
}

// none is a figure that does not exist.
func none() results.Figure {
	return of(stats.Interval{Value: math.NaN(), Low: math.NaN(), High: math.NaN()}, results.Ratio)
}

// stated returns a figure of a record without its budget, which is that of one
// session.
func stated(m results.Figure) results.Figure {
	m.Value, m.Low, m.High, m.Instrument = finite(float64(m.Value)), finite(float64(m.Low)), finite(float64(m.High)), finite(float64(m.Instrument))
	m.Budget = nil
	return m
}

// finite leaves out what no file can hold, such as work over no energy.
func finite(x float64) results.Float {
	if math.IsInf(x, 0) {
		return results.Absent()
	}
	return results.Float(x)
}

// Difference is a fact in which candidates differ, and which may explain more
// than the hardware does.
type Difference struct {
	Fact   string   `json:"fact"`
	Values []string `json:"values"` // by candidate, in their order
	Within bool     `json:"within"` // it also differs between sessions of one candidate
}

// Exclusion is what was not used, and why.
type Exclusion struct {
	What string `json:"what"`
	Why  string `json:"why"`
}

// ErrNothing is wrapped when there is nothing to compare.
var ErrNothing = errors.New("nothing to compare")

// New compares the records. Files of records, for messages and the page, are
// in the same order, or nil. It ends when ctx does.
func New(ctx context.Context, records []*results.Record, files []string, opt Options) (*Comparison, error) {
	if opt.Margin == 0 {
		opt.Margin = DefaultMargin
	}
	if !(opt.Margin > 0 && opt.Margin < 1) {
		return nil, fmt.Errorf("compare: margin %v: must lie between 0 and 1, such as 0.02", opt.Margin)
	}
	c := &Comparison{Margin: opt.Margin, Seed: opt.Seed, Candidates: []Candidate{}, Tables: []Table{}, Exchange: []Exchange{}, Mixes: []Mix{}, Differences: []Difference{}, Excluded: []Exclusion{}, Warnings: []results.Warning{}}
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
	if err := c.normalise(ctx); err != nil {
		return nil, fmt.Errorf("compare: %w", err)
	}
	c.differ()
	return c, nil
}

// gather groups the sessions of each candidate.
func (c *Comparison) gather(records []*results.Record, files []string) error {
	given := map[string]bool{}
	of, err := c.machines(slices.DeleteFunc(slices.Clone(records), func(r *results.Record) bool {
		twice := given[r.ID]
		given[r.ID] = true
		return twice || !slices.ContainsFunc(r.Runs, func(run results.Run) bool { return run.Status == results.OK })
	}))
	if err != nil {
		return err
	}
	at := map[string]int{}
	seen := map[string]bool{}
	machine := map[string]string{} // what it is called
	names := map[string]int{}
	unique := func(name string) string {
		if names[name]++; names[name] > 1 {
			name = fmt.Sprintf("%s-%d", name, names[name])
		}
		return name
	}
	for i, r := range records {
		file := ""
		if i < len(files) {
			file = files[i]
		}
		what := cmp.Or(file, r.ID)
		if seen[r.ID] {
			c.Excluded = append(c.Excluded, Exclusion{what, "record " + r.ID + " was given before"})
			continue
		}
		seen[r.ID] = true
		good := 0
		for _, run := range r.Runs {
			if run.Status == results.OK {
				good++
				continue
			}
			c.Excluded = append(c.Excluded, Exclusion{fmt.Sprintf("%s: %s, round %d", what, run.Scenario, run.Round), fmt.Sprintf("%s: %s", run.Status, run.Error)})
		}
		if good == 0 {
			c.Excluded = append(c.Excluded, Exclusion{what, "no run of it is good"})
			continue
		}
		src := Source{File: file, ID: r.ID, Start: r.Start.UTC().Format("2006-01-02T15:04:05Z"), Digest: r.Digest.Record, State: string(r.State), Valid: r.Summary.Validity.Valid}
		var broken []string
		for _, f := range r.Summary.Validity.Findings {
			if f.Outcome == results.Fail {
				broken = append(broken, f.Rule)
			}
		}
		src.Broken = strings.Join(broken, ", ")
		key := cmp.Or(r.Plan.Labels[labelled], of[r])
		if machine[key] == "" {
			machine[key] = unique(cmp.Or(r.Plan.Labels[labelled], r.Node.Name, "node"))
		}
		fresh := Candidate{ID: machine[key], Node: r.Node}
		if s := r.Plan.Setting; s != nil {
			fresh.Machine, fresh.Setting = fresh.ID, s.Value
			key += "\x00at " + s.Value
		}
		j, known := at[key]
		if !known {
			if fresh.Machine != "" {
				fresh.ID = unique(fresh.Machine + " at " + fresh.Setting)
			}
			j = len(c.Candidates)
			at[key] = j
			c.Candidates = append(c.Candidates, fresh)
		}
		cand := &c.Candidates[j]
		q := quoted{PrimaryMeter: r.Summary.PrimaryMeter}
		for i := range r.Meters {
			if q.PrimaryMeter != nil && r.Meters[i].Name == q.Meter {
				q.meters = append(q.meters, &r.Meters[i])
			}
		}
		cand.Records, cand.records, cand.machines, cand.quoted = append(cand.Records, src), append(cand.records, r), append(cand.machines, of[r]), append(cand.quoted, q)
		cand.Claims = append(cand.Claims, r.Summary.Claims...)
		if n := len(q.meters); n > 0 && cand.Meter.Name == "" {
			cand.Meter = *q.meters[n-1]
		}
	}
	c.labels(of)
	return nil
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

// key is a use as it is compared.
type key struct {
	scenario, use string
	role          results.Role
	variant       string
}

func keyOf(r results.Row) key { return key{r.Scenario, r.Use, r.Role, ""} }

// apart says in what rows of one use differ within a record.
type apart struct{ device, workload, impl, threads bool }

// variants finds what tells rows of a use apart, in any record.
func (c *Comparison) variants() map[key]apart {
	out := map[key]apart{}
	for _, cand := range c.Candidates {
		for _, rec := range cand.records {
			first := map[key]results.Row{}
			for _, r := range rec.Summary.Rows {
				k := keyOf(r)
				f, ok := first[k]
				if !ok {
					first[k] = r
					continue
				}
				v := out[k]
				out[k] = apart{v.device || r.Device != f.Device, v.workload || r.Workload != f.Workload, v.impl || r.Impl != f.Impl, v.threads || r.Threads != f.Threads}
			}
		}
	}
	return out
}

// of names the variant that a row is.
func (a apart) of(r results.Row) string {
	var words []string
	if a.device {
		words = append(words, r.Device)
	}
	if a.workload {
		words = append(words, r.Workload)
	}
	if a.impl {
		words = append(words, r.Impl)
	}
	if a.threads {
		words = append(words, fmt.Sprintf("threads=%d", r.Threads))
	}
	return strings.Join(words, ", ")
}

// provenance is what must agree between figures that are ranked.
type provenance struct {
	boundary results.Boundary
	origin   results.Origin
	grade    results.Grade
	broken   string // names of the rules that a session breaks
	mixed    bool   // whether its sessions differ in boundary or origin
}

// tabulate makes the tables, in the order in which uses first appear.
func (c *Comparison) tabulate(ctx context.Context) error {
	var order []key
	units := map[key]results.Unit{}
	rows := map[key][]Row{}
	grades := map[string]provenance{} // by row
	variants := c.variants()
	for ci := range c.Candidates {
		cand := &c.Candidates[ci]
		made := map[key]*Row{}
		var mine []key
		for ri, rec := range cand.records {
			if len(rec.Summary.Rows) > 0 && len(rec.Summary.Windows()) == 0 {
				return fmt.Errorf("record %s: its summary was read and not derived: derive it first", rec.ID)
			}
			for _, m := range rec.Summary.Rows {
				windows := m.Windows()
				if len(windows) == 0 || m.Use == "idle" || m.Use == results.Control { // nothing that hardware is bought for
					continue
				}
				u := windows[0].Use
				k := keyOf(m)
				k.variant = variants[k].of(m)
				if unit, known := units[k]; known && unit != u.Unit {
					c.Excluded = append(c.Excluded, Exclusion{fmt.Sprintf("%s: %s", cmp.Or(cand.Records[ri].File, rec.ID), m.Scenario), fmt.Sprintf("%s is counted in %s, not in %s as before", u.Use, u.Unit, unit)})
					continue
				}
				r := made[k]
				if r == nil {
					r = &Row{ID: strings.TrimSuffix(strings.Join([]string{cand.ID, k.scenario, k.use, k.variant}, "/"), "/"), Candidate: cand.ID, Impl: u.Impl, Figures: map[string]results.Figure{}, P: results.Absent(), RankP: results.Absent(), model: u.Params["model"]}
					made[k] = r
					mine = append(mine, k)
					if _, known := units[k]; !known {
						units[k] = u.Unit
						order = append(order, k)
					}
				} else if !strings.Contains(r.Impl, u.Impl) {
					r.Impl += ", " + u.Impl
				}
				r.of = append(r.of, source{ri, m.Metrics, windows})
				p := m.Metrics[results.Power]
				now := provenance{boundary: p.Boundary, origin: p.Origin, grade: p.Grade}
				if !rec.Summary.Validity.Valid {
					now.broken = cand.Records[ri].Broken
				}
				if old, ok := grades[r.ID]; ok {
					now.grade = max(now.grade, old.grade)
					now.broken = cmp.Or(now.broken, old.broken)
					now.mixed = old.mixed || old.boundary != now.boundary || old.origin != now.origin
				}
				grades[r.ID] = now
				if b := m.Metrics[results.WorkPerEnergy].Budget; b != nil && r.budget == nil {
					r.budget, r.meter = b, cand.quoted[ri].instrument(cand.machines[ri])
				}
			}
		}
		for _, k := range mine {
			if err := ctx.Err(); err != nil {
				return err
			}
			made[k].measure(c.Seed)
			rows[k] = append(rows[k], *made[k])
		}
	}
	for _, k := range order {
		t := Table{Scenario: k.scenario, Use: k.use, Role: k.role, Variant: k.variant, Unit: units[k]}
		t.Groups = c.group(rows[k], grades)
		c.Tables = append(c.Tables, t)
	}
	return c.judge(ctx)
}

// quantities are the figures of a row, each with what it is a quotient of; per
// is of the row's metrics.
var quantities = map[string]func(w *results.Window, per map[string]results.Figure) (num, den results.Float){
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
}

// measure makes the figures of a row.
func (r *Row) measure(seed uint64) {
	pairs := func(of func(*results.Window, map[string]results.Figure) (num, den results.Float)) (s stats.Sessions) {
		for _, x := range r.of {
			var windows []stats.Pair
			for i := range x.windows {
				if num, den := of(&x.windows[i], x.metrics); !num.IsAbsent() && !den.IsAbsent() {
					windows = append(windows, stats.Pair{Num: float64(num), Den: float64(den)})
				}
			}
			if len(windows) > 0 {
				s = append(s, windows)
			}
		}
		return s
	}
	for name, of := range quantities {
		m, ok := r.of[0].metrics[name]
		if len(r.of) > 1 {
			if s := pairs(of); len(s) > 0 {
				i := s.Interval(seed)
				m, ok = r.together(name), true
				m.Value, m.Low, m.High = results.Float(i.Value), results.Float(i.Low), results.Float(i.High)
			} else {
				ok = false
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
	r.sessions = pairs(quantities[results.WorkPerEnergy])
	work := pairs(quantities[results.Throughput])
	r.Sessions = max(r.sessions.Count(), work.Count())
	for _, windows := range work {
		r.Windows += len(windows)
	}
	for _, windows := range r.sessions {
		for _, w := range windows {
			r.plain = append(r.plain, w.Num/w.Den)
		}
	}
	for _, class := range stats.Outliers(r.plain) {
		if class != stats.None {
			r.Outliers++
		}
	}
}

// together is what sessions have in common of a metric: its unit, and the most
// that their meters add.
func (r *Row) together(name string) (m results.Figure) {
	for i, x := range r.of {
		of := x.metrics[name]
		if i == 0 {
			m = of
		} else if of.Instrument.IsAbsent() || of.Instrument > m.Instrument {
			m.Instrument = of.Instrument
		}
	}
	return m
}

// instrument names what the watts are read by, so that two records read by one
// instrument are known; an instrument inside a node is that machine's own.
func (q quoted) instrument(machine string) string {
	switch {
	case len(q.meters) == 0:
		return ""
	case q.Boundary == results.Wall && !strings.HasPrefix(q.meters[0].Source, "/"):
		return q.meters[0].Source
	}
	return machine + " " + q.meters[0].Source
}

// instrument is what the meter brings to a figure, in quadrature; NaN if a
// part is unknown. On a shared meter what cancels is left out.
func instrument(b *results.Budget, shared bool) float64 {
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

// group puts rows apart that must not be ranked together, best group first.
func (c *Comparison) group(rows []Row, grades map[string]provenance) (groups []Group) {
	for _, r := range rows {
		p := grades[r.ID]
		g := Group{Boundary: p.boundary, Origin: p.origin, Grade: p.grade, Ranked: true}
		switch {
		case len(r.sessions) == 0:
			g.Ranked, g.Reason, g.Why = false, stats.NoPower, "no watts"
		case p.origin != results.Measured:
			g.Ranked, g.Reason, g.Why = false, stats.NotMeasured, "the watts were not measured"
		case p.mixed:
			g.Ranked, g.Reason, g.Why = false, stats.MixedMeters, "sessions of different meters"
		case p.broken != "":
			g.Ranked, g.Reason, g.Why = false, stats.BreaksRules, "breaks the publish rules: "+p.broken
		}
		for name, f := range r.Figures {
			if f.Origin != "" { // one provenance for all sessions
				f.Boundary, f.Origin, f.Grade = p.boundary, p.origin, p.grade
				r.Figures[name] = f
			}
		}
		i := slices.IndexFunc(groups, func(o Group) bool {
			return o.Boundary == g.Boundary && o.Origin == g.Origin && o.Grade == g.Grade && o.Reason == g.Reason && o.Why == g.Why
		})
		if i < 0 {
			i = len(groups)
			groups = append(groups, g)
		}
		groups[i].Rows = append(groups[i].Rows, r)
	}
	for i := range groups {
		slices.SortStableFunc(groups[i].Rows, func(a, b Row) int {
			return -cmp.Compare(a.Figures[results.WorkPerEnergy].Value, b.Figures[results.WorkPerEnergy].Value)
		})
	}
	slices.SortStableFunc(groups, func(a, b Group) int {
		if a.Ranked != b.Ranked {
			if a.Ranked {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(a.Grade, b.Grade), cmp.Compare(a.Boundary, b.Boundary))
	})
	return groups
}

// judge sets every row against the reference of its group: all in one family
// of tests.
func (c *Comparison) judge(ctx context.Context) error {
	type trial struct{ row, ref *Row }
	var trials []trial
	var ps []float64
	for ti := range c.Tables {
		for gi := range c.Tables[ti].Groups {
			g := &c.Tables[ti].Groups[gi]
			var ref *Row
			for ri := range g.Rows {
				if g.Rows[ri].Candidate == c.Reference {
					ref = &g.Rows[ri]
				}
			}
			for ri := range g.Rows {
				if err := ctx.Err(); err != nil {
					return err
				}
				r := &g.Rows[ri]
				r.Index = none()
				r.Index.Boundary, r.Index.Origin, r.Index.Grade = g.Boundary, g.Origin, g.Grade
				switch {
				case !g.Ranked:
					r.Verdict = stats.Decision{Word: stats.NotRanked, Reason: g.Reason, Why: g.Why}
				case ref == nil:
					r.Verdict = stats.Decision{Word: stats.NotRanked, Reason: stats.NoReference, Why: "the reference has no figure of this boundary and grade"}
				case ref == r:
					r.Verdict = stats.Decision{Word: stats.Reference}
				}
				if ref == nil || len(ref.sessions) == 0 || len(r.sessions) == 0 {
					continue
				}
				if ref == r {
					r.Index.Value = 1
					continue
				}
				r.Shared = r.meter != "" && r.meter == ref.meter
				r.stat = stats.Quotient(r.sessions, ref.sessions, c.Seed)
				own := math.Hypot(instrument(r.budget, r.Shared), instrument(ref.budget, r.Shared))
				whole := r.stat
				if !math.IsNaN(own) {
					whole = r.stat.Widen(own)
				}
				r.Index = of(whole, results.Ratio)
				r.Index.Provenance = results.Provenance{Boundary: g.Boundary, Origin: g.Origin, Grade: g.Grade, Instrument: finite(own)}
				if g.Ranked {
					trials = append(trials, trial{r, ref})
					ps = append(ps, stats.PValue(r.sessions, ref.sessions, c.Seed))
					r.RankP = results.Float(stats.MannWhitney(ratios(r.sessions), ratios(ref.sessions)))
				}
			}
		}
	}
	for i, p := range stats.BenjaminiHochberg(ps) {
		r, ref := trials[i].row, trials[i].ref
		r.P = results.Float(p)
		switch {
		case r.Index.Instrument.IsAbsent():
			r.Verdict = stats.Decision{Word: stats.CannotTell, Reason: stats.AccuracyUnknown, Meter: true, Why: "the accuracy of the meters is not stated: say it with accuracy=, or measure both with one meter"}
		default:
			full := stats.Interval{Value: float64(r.Index.Value), Low: float64(r.Index.Low), High: float64(r.Index.High)}
			r.Verdict = stats.Decide(full, r.stat, true, c.Margin, r.sessions.Count(), ref.sessions.Count(), p)
		}
	}
	for ti := range c.Tables {
		for gi := range c.Tables[ti].Groups {
			c.tie(&c.Tables[ti].Groups[gi])
		}
	}
	return nil
}

// ratios are the figures of the sessions, one each.
func ratios(s stats.Sessions) (out []float64) {
	for _, windows := range s {
		out = append(out, stats.Sessions{windows}.Ratio())
	}
	return out
}

// tie numbers the rows of a ranking so that those whose intervals overlap the
// best of their tie share its place.
func (c *Comparison) tie(g *Group) {
	if !g.Ranked {
		return
	}
	place, first := 0, 0
	shared := !slices.ContainsFunc(g.Rows, func(r Row) bool { return r.meter == "" || r.meter != g.Rows[0].meter })
	for i := range g.Rows {
		r := &g.Rows[i]
		if i == 0 || g.Rows[i].reach(+1, shared) < g.Rows[first].reach(-1, shared) {
			place, first = i+1, i
		}
		r.Tie = place
	}
}

// reach is the end of the efficiency's interval with the meter's part, upwards
// or downwards; without an interval it reaches everywhere. What cancels among
// rows of one meter is left out.
func (r *Row) reach(side float64, shared bool) float64 {
	i, own := r.Figures[results.WorkPerEnergy], instrument(r.budget, shared)
	lo, hi := float64(i.Low), float64(i.High)
	if math.IsNaN(lo) || math.IsNaN(hi) || math.IsNaN(own) {
		return math.Inf(int(side))
	}
	w := stats.Interval{Value: float64(i.Value), Low: lo, High: hi}.Widen(own)
	if side > 0 {
		return w.High
	}
	return w.Low
}
