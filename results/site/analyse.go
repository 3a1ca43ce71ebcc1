package site

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/compare"
	"github.com/perwatt/perwatt/results/store"
)

// metrics are those that are read of each record.
var metrics = []string{results.Throughput, results.WorkPerEnergy, results.Power}

// Read analyses the records of a fleet as the index holds them: no record file is read.
func Read(ctx context.Context, x *store.Index, r Roster, outcomes []Outcome, opt Options) (*Analysis, error) {
	var ids []string
	outcomes = current(outcomes, x.Replaced())
	for _, o := range outcomes {
		for _, a := range o.Attempts {
			ids = append(ids, a.Records...)
		}
	}
	sessions, err := x.Sessions(ctx, ids, metrics...)
	if err != nil {
		return nil, err
	}
	groups, err := x.Groups(ctx)
	if err != nil {
		return nil, err
	}
	return Analyse(r, outcomes, sessions, groups, opt), nil
}

// current names in place of each record the one that stands in its place, if one does.
func current(outcomes []Outcome, replaced map[string]string) []Outcome {
	out := slices.Clone(outcomes)
	for i := range out {
		out[i].Attempts = slices.Clone(out[i].Attempts)
		for k := range out[i].Attempts {
			a := &out[i].Attempts[k]
			a.Records = slices.Clone(a.Records)
			for n, id := range a.Records {
				for steps := 0; replaced[id] != "" && steps < len(replaced); steps++ { // a circle has no end
					id = replaced[id]
				}
				a.Records[n] = id
			}
		}
	}
	return out
}

// analyst is an analysis while it is made.
type analyst struct {
	*Analysis
	opt      Options
	groups   map[string]store.Group
	measured []measured // by node
	// off are the racks of each distribution that have enough nodes, and the switches.
	off     [2][]map[string]RackFigure
	figures map[string]int    // by which a node of a kind is judged
	names   map[string]string // of the hardware of groups, by their identifiers
	kinds   map[string]string // names of kinds of machines, by all that makes them
	alike   map[string]int    // kinds of which the same is printed
}

// measured are the sessions of a node.
type measured struct {
	sessions   []*store.Session // that count
	attributes []pair           // of the last of them, the same kinds in the same order for all
	group      store.Group      // of the session whose watts count
	origin     results.Origin   // of these watts
	grade      results.Grade    // the worst of them
	values     map[series]value
}

type pair struct{ kind, value string }

// series is a figure that nodes have in common, without the meter.
type series struct {
	scenario, use, device, workload, impl string
	threads                               int
	metric                                string
	unit                                  results.Unit
}

func seriesOf(k *store.Key) series {
	return series{k.Scenario, k.Use, k.Device, k.Workload, k.Impl, k.Threads, k.Metric, k.Unit}
}

// value is a figure of a node over its sessions.
type value struct {
	store.SessionFigure
	n int // sessions
}

// with adds a session: the value becomes the geometric mean, and its relative
// half-width that of independent ones.
func (v value) with(f store.SessionFigure) value {
	if v.n == 0 || !(f.Value > 0) || !(v.Value > 0) {
		return value{f, v.n + 1}
	}
	n := float64(v.n)
	old, now := halfWidth(v.Value, v.Low, v.High), halfWidth(f.Value, f.Low, f.High)
	mean := math.Exp((n*math.Log(float64(v.Value)) + math.Log(float64(f.Value))) / (n + 1))
	half := math.Hypot(n*old, now) / (n + 1)
	f.Value, f.Low, f.High, f.N = results.Float(mean), results.Float(mean*math.Exp(-half)), results.Float(mean*math.Exp(half)), f.N+v.N
	return value{f, v.n + 1}
}

// halfWidth is half of an interval on the logarithmic scale; NaN without one.
func halfWidth(v, low, high results.Float) float64 {
	if !(low > 0 && v > 0) {
		return math.NaN()
	}
	return math.Log(float64(high/low)) / 2
}

// Analyse says what the sessions of a fleet tell together. Groups are those of the
// sessions, by identifier.
func Analyse(r Roster, outcomes []Outcome, sessions []store.Session, groups map[string]store.Group, opt Options) *Analysis {
	if opt.Margin == 0 {
		opt.Margin = compare.DefaultMargin
	}
	a := &analyst{opt: opt, groups: groups, measured: make([]measured, len(r.Nodes)), kinds: map[string]string{}, alike: map[string]int{}, names: map[string]string{},
		Analysis: &Analysis{Roster: r, Margin: opt.Margin, Counts: map[Health]int{}, Nodes: make([]NodeResult, len(r.Nodes)), Figures: []Distribution{}, Totals: []Total{}, Warnings: []results.Warning{}}}
	a.gather(outcomes, sessions)
	a.distribute()
	a.figures = a.perNode()
	for i := range a.Figures {
		a.judge(&a.Figures[i])
	}
	a.complete()
	a.conclude()
	a.Racks = a.places(rackOf, opt.Budgets)
	a.Switches = a.places(switchOf, nil)
	a.total()
	a.earn()
	a.warn()
	return a.Analysis
}

// gather assigns the sessions to the nodes.
func (a *analyst) gather(outcomes []Outcome, sessions []store.Session) {
	byID := make(map[string]*store.Session, len(sessions))
	for i := range sessions {
		byID[sessions[i].ID] = &sessions[i]
	}
	of := make(map[string]*Outcome, len(outcomes))
	for i := range outcomes {
		of[outcomes[i].Node] = &outcomes[i]
	}
	for i, n := range a.Roster.Nodes {
		nr, m := &a.Nodes[i], &a.measured[i]
		*nr = NodeResult{Node: n, State: Waiting, Health: NotJudged}
		m.values = map[series]value{}
		o := of[n.Name]
		if o == nil {
			nr.fail(Missing, "it was not submitted", "perwatt fleet resume "+a.Roster.Name)
			continue
		}
		nr.State, nr.Attempts, nr.Clock = o.State, len(o.Attempts), o.Clock
		var wrong []string
		why, more := "", ""
		for _, at := range o.Attempts {
			for _, id := range at.Records {
				nr.Records = append(nr.Records, id)
				if slices.Contains(nr.Records[:len(nr.Records)-1], id) { // it counts once
					continue
				}
				s := byID[id]
				show := "perwatt show " + id
				switch {
				case s == nil:
					why, more = "the store has no record "+id, "perwatt index"
					continue
				case s.Error != "":
					why, more = s.Error, "perwatt verify "+s.Path
					continue
				case s.Excluded != "":
					why, more = "its record is excluded: "+s.Excluded, show
					continue
				}
				if s.Wrong != "" && !slices.Contains(wrong, s.Wrong) {
					wrong = append(wrong, s.Wrong)
				}
				if len(s.Figures) == 0 {
					why, more = fmt.Sprintf("its record (%s) holds no figure", s.State), show
					continue
				}
				m.sessions = append(m.sessions, s)
			}
		}
		if len(m.sessions) > 0 {
			last := a.merge(m)
			nr.Hardware = a.hardware(m.group)
			if m.group.Together {
				a.Together++
			}
			for kind, v := range last.Env.Attributes() {
				m.attributes = append(m.attributes, pair{kind, v})
			}
		}
		switch {
		case len(wrong) > 0:
			nr.fail(Wrong, strings.Join(wrong, "; "), "perwatt show "+nr.Records[len(nr.Records)-1])
		case len(m.sessions) == 0 && o.State == Done:
			nr.fail(Missing, cmp.Or(why, "it has no record"), cmp.Or(more, o.More))
		case len(m.sessions) == 0:
			nr.fail(Missing, cmp.Or(why, o.Reason, string(o.State)), cmp.Or(more, o.More))
		}
	}
}

// merge takes the figures of a node's sessions together and returns the last of them.
// Sessions of other hardware than its, such as before a repair, do not count; nor do watts
// of another meter, boundary or origin than those of the last that has any.
func (a *analyst) merge(m *measured) (last *store.Session) {
	last = m.sessions[len(m.sessions)-1]
	kind := a.hardware(a.groups[last.Group])
	m.sessions = slices.DeleteFunc(m.sessions, func(s *store.Session) bool { return a.hardware(a.groups[s.Group]) != kind })
	of := last
	for _, s := range m.sessions {
		if a.groups[s.Group].Boundary != "" {
			of = s
		}
	}
	m.group, m.origin = a.groups[of.Group], results.Origin(of.Env.Origin)
	for _, s := range m.sessions {
		same := s.Group == of.Group && s.Env.Origin == of.Env.Origin
		if same {
			m.grade = max(m.grade, s.Grade)
		}
		for _, f := range s.Figures {
			if v := float64(f.Value); v > 0 && !math.IsInf(v, 1) && (same || f.Metric == results.Throughput) {
				k := seriesOf(f.Key)
				m.values[k] = m.values[k].with(f)
			}
		}
	}
	return last
}

// fail gives a node a conclusion, unless it has a worse one.
func (n *NodeResult) fail(h Health, why, more string) {
	if slices.Index(Healths(), h) < slices.Index(Healths(), n.Health) {
		n.Health, n.Why, n.More = h, why, more
	}
}

// hardware names what equal nodes have in common. Machines that differ have different
// names, also where what is printed of them is the same.
func (a *analyst) hardware(g store.Group) string {
	name, ok := a.names[g.ID]
	if !ok {
		h := g.Hardware()
		identity := fmt.Sprintf("%+v", h)
		if name = a.kinds[identity]; name == "" {
			name = strings.Replace(h.Name(), " no meter", "", 1)
			if a.alike[name]++; a.alike[name] > 1 {
				name = fmt.Sprintf("%s (kind %d)", name, a.alike[name])
			}
			a.kinds[identity] = name
		}
		a.names[g.ID] = name
	}
	return name
}

// kindCount counts the nodes of each kind of machine.
type kindCount struct {
	of    map[string]int
	most  string // the most frequent, the first of equals
	first int    // a node of it
}

func (a *analyst) countKinds() (c kindCount) {
	c.of = map[string]int{}
	first := map[string]int{}
	for i, n := range a.Nodes {
		if n.Hardware != "" {
			if c.of[n.Hardware]++; c.of[n.Hardware] == 1 {
				first[n.Hardware] = i
			}
		}
	}
	for name, n := range c.of {
		if m := c.of[c.most]; n > m || n == m && first[name] < first[c.most] {
			c.most = name
		}
	}
	c.first = first[c.most]
	return c
}

// odd says why a node is not judged, and how its kind of machine differs from the most
// frequent one. A memory module or a card that failed makes a kind of its own.
func (a *analyst) odd(node int, kinds kindCount) string {
	own, most := a.Nodes[node].Hardware, kinds.most
	text := ""
	switch n := kinds.of[own]; {
	case n == 1:
		text = "it is the only node of its kind"
	case n < fewestEqual:
		text = fmt.Sprintf("there are %d equal nodes, and %d are needed", n, fewestEqual)
	default:
		return "too few of its equals have the same figures, or these are spread too far"
	}
	if own == most || kinds.of[most] < fewestEqual {
		return text
	}
	var differs []string
	mine, theirs := a.measured[node].group, a.measured[kinds.first].group
	for _, part := range []struct {
		what string
		of   func(store.Group) string
	}{
		{"architecture", func(g store.Group) string { return g.Arch }},
		{"CPU", func(g store.Group) string { return g.CPU }},
		{"sockets", func(g store.Group) string { return fmt.Sprint(g.Sockets) }},
		{"cores", func(g store.Group) string { return fmt.Sprint(g.Cores) }},
		{"threads", func(g store.Group) string { return fmt.Sprint(g.Threads) }},
		{"memory", func(g store.Group) string { return fmt.Sprintf("%.4g GiB", float64(g.Memory)/(1<<30)) }},
		{"devices", func(g store.Group) string {
			var out []string
			for _, d := range g.Devices {
				out = append(out, fmt.Sprintf("%d × %s", d.Count, cmp.Or(d.Model, string(d.Kind))))
			}
			return cmp.Or(strings.Join(out, " + "), "none")
		}},
		{"measured together", func(g store.Group) string { return fmt.Sprint(g.Together) }},
	} {
		if x, y := part.of(mine), part.of(theirs); x != y {
			differs = append(differs, fmt.Sprintf("%s %s (others %s)", part.what, results.Line(cmp.Or(x, "unknown"), 80), results.Line(cmp.Or(y, "unknown"), 80)))
		}
	}
	return fmt.Sprintf("%s; %s"+differsFrom+"%s", text, results.Plural(kinds.of[most], "node"), strings.Join(differs, ", "))
}

// population is what equal nodes have in common in a distribution.
type population struct {
	hardware string
	group    string // empty for a figure without watts
	series
	origin results.Origin
	grade  results.Grade
}

// distribute makes the distributions, without a judgement.
func (a *analyst) distribute() {
	at := map[population]int{}
	for i := range a.measured {
		m := &a.measured[i]
		for k, v := range m.values {
			if !judged(k) {
				continue
			}
			p := population{hardware: a.Nodes[i].Hardware, series: k}
			if k.metric != results.Throughput {
				p.group, p.origin, p.grade = m.group.ID, m.origin, m.grade
			}
			j, ok := at[p]
			if !ok {
				j = len(a.Figures)
				at[p] = j
				d := Distribution{Hardware: p.hardware, Key: *v.Key, Points: []Point{}}
				d.Instrument, d.Group = results.Absent(), p.group
				if p.group != "" {
					d.Boundary, d.Origin, d.Grade = m.group.Boundary, p.origin, p.grade
				}
				a.Figures = append(a.Figures, d)
			}
			d := &a.Figures[j]
			d.Points = append(d.Points, Point{Node: i, Value: v.Value, Low: v.Low, High: v.High, Deviation: results.Absent(), Score: results.Absent(), Health: NotJudged, level: -1})
		}
	}
	results.SortStable(a.Figures, func(x, y Distribution) int {
		return cmp.Or(cmp.Compare(x.Hardware, y.Hardware), cmp.Compare(x.Scenario, y.Scenario), cmp.Compare(x.Use, y.Use), cmp.Compare(x.Device, y.Device),
			-cmp.Compare(x.Metric, y.Metric), -cmp.Compare(len(x.Points), len(y.Points)), cmp.Compare(x.Impl, y.Impl), cmp.Compare(x.Threads, y.Threads), cmp.Compare(x.Group, y.Group), cmp.Compare(x.Grade, y.Grade))
	})
	for i := range a.Figures {
		d := &a.Figures[i]
		d.ID = fmt.Sprintf("f%d/%s/%s", i+1, d.Scenario, d.Metric)
		var values []float64
		for _, p := range d.Points {
			values = append(values, float64(p.Value))
		}
		slices.Sort(values)
		q := func(p float64) results.Float { return results.Float(quantile(values, p)) }
		d.N, d.Median, d.Low, d.P1, d.Q1, d.Q3, d.P99, d.High = len(values), q(0.5), q(0), q(0.01), q(0.25), q(0.75), q(0.99), q(1)
		for j, v := range values {
			values[j] = math.Abs(v - float64(d.Median))
		}
		slices.Sort(values)
		d.MAD = results.Float(middle(values))
	}
}

// judged reports whether a figure is one that nodes are judged by: work per joule and
// throughput of what hardware is bought for.
func judged(k series) bool {
	return (k.metric == results.Throughput || k.metric == results.WorkPerEnergy) && k.use != results.Control && k.use != "idle"
}

// perNode counts the figures by which a node of each kind is judged, at most.
func (a *analyst) perNode() map[string]int {
	n := make([]int, len(a.Nodes))
	out := map[string]int{}
	for _, d := range a.Figures {
		for _, p := range d.Points {
			n[p.Node]++
			out[d.Hardware] = max(out[d.Hardware], n[p.Node])
		}
	}
	return out
}

// judge compares the nodes of a distribution with each other.
func (a *analyst) judge(d *Distribution) {
	for _, f := range []*results.Float{&d.Step, &d.Spread, &d.Sigmas, &d.Limit, &d.Finds, &d.Falsely, &d.FalselyAtMost, &d.TailLow, &d.TailHigh} {
		*f = results.Absent()
	}
	for by := range a.off {
		a.off[by] = append(a.off[by], nil)
	}
	if d.N < fewestEqual {
		d.Why = fmt.Sprintf("%s: %d are needed to tell one from the others", results.Plural(d.N, "equal node"), fewestEqual)
		return
	}
	logs := make([]float64, d.N) // from where a node should be
	for i, p := range d.Points {
		logs[i] = math.Log(float64(p.Value))
	}
	if half := max(halfStep(logs), halfStep(a.powers(d))); half > 0 {
		d.Step = results.Float(math.Expm1(2 * half))
	}
	at := a.varying(d)
	a.explain(d, at, logs)
	a.offRacks(d, logs)
	split(d, logs)
	values := slices.Clone(logs)
	s := SpreadOf(values, a.figures[d.Hardware], d.half())
	limit := max(s.Sigmas*s.Scale, math.Log1p(a.Margin))
	d.Spread, d.Sigmas, d.Limit = results.Float(math.Expm1(s.Scale)), results.Float(s.Sigmas), results.Float(math.Expm1(limit))
	tails := TailsOf(values, s, limit)
	d.Shape, d.FalselyAtMost = tails.Kind, results.Float(tails.AtMost)
	if tails.Falsely > falseRate {
		d.Falsely, d.TailLow, d.TailHigh = results.Float(tails.Falsely), results.Float(-math.Expm1(-tails.Low)), results.Float(math.Expm1(tails.High))
	}
	d.Finds = results.Float(-math.Expm1(-s.Finds(tails.Low)))
	healthy := Good
	if limit > math.Ln2 { // what is found so is half or double, or worse
		healthy = ""
		d.Why = fmt.Sprintf("%s, spread by %.2g %%: more are needed to tell one from the others", results.Plural(d.N, "equal node"), 100*float64(d.Spread))
	}
	for i := range d.Points {
		p := &d.Points[i]
		from := logs[i] - s.Center
		p.Deviation, p.Health = results.Float(math.Expm1(from)), healthy
		if s.Scale > 0 {
			p.Score = results.Float(from / s.Scale)
		}
		if math.Abs(from) <= limit {
			continue
		}
		p.Health = Outlier
		if from >= -tails.Low && from <= tails.High {
			p.Health, p.InTail = CannotTell, true
		}
		// 95 % of the healthy nodes lie within two standard deviations.
		if half := halfWidth(p.Value, p.Low, p.High); math.Abs(from)-half < 2*s.Scale {
			p.Health = CannotTell
		}
		p.Differs = rare(at, i)
	}
}

// half is half of [Distribution.Step], on the logarithmic scale; 0 if there is none.
func (d *Distribution) half() float64 {
	if d.Step.IsAbsent() {
		return 0
	}
	return math.Log1p(float64(d.Step)) / 2
}

// powers are the logarithms of the powers of a figure with watts, whose steps those of work
// per joule hide: no two nodes do the same work.
func (a *analyst) powers(d *Distribution) (logs []float64) {
	if d.Metric != results.WorkPerEnergy {
		return nil
	}
	k := seriesOf(&d.Key)
	k.metric, k.unit = results.Power, results.Watt
	for _, p := range d.Points {
		if v, ok := a.measured[p.Node].values[k]; ok {
			logs = append(logs, math.Log(float64(v.Value)))
		}
	}
	return logs
}

// varying are the attributes that differ between the nodes of a distribution: the value
// of each node, by the kind.
func (a *analyst) varying(d *Distribution) (out []attribute) {
	first := a.measured[d.Points[0].Node].attributes
	for k := range first {
		at := attribute{kind: first[k].kind, values: make([]string, d.N), count: map[string]int{}}
		for i, p := range d.Points {
			at.values[i] = a.measured[p.Node].attributes[k].value
			if i > 0 && len(at.count) == 0 && at.values[i] != at.values[0] {
				at.count[at.values[0]] = i
			}
			if len(at.count) > 0 {
				at.count[at.values[i]]++
			}
		}
		if len(at.count) > 1 {
			out = append(out, at)
		}
	}
	return out
}

// attribute is one of [store.Environment.Attributes] over the points of a distribution.
type attribute struct {
	kind   string
	values []string
	count  map[string]int // of each value
}

// most is the value that most nodes have.
func (a attribute) most() (value string) {
	for v, n := range a.count {
		if m := a.count[value]; n > m || n == m && v < value {
			value = v
		}
	}
	return value
}

// rare lists what the record of a point shows and fewer than one in ten others do,
// where more than half have something else in common.
func rare(at []attribute, point int) (out []string) {
	for _, a := range at {
		n, v, most := len(a.values), a.values[point], a.most()
		if own := a.count[v]; v != most && 2*a.count[most] > n && (10*own < n || own == 1) {
			out = append(out, fmt.Sprintf("%s %s (others %s)", a.kind, cmp.Or(results.Line(v, 40), "unknown"), cmp.Or(results.Line(most, 40), "unknown")))
		}
	}
	return out
}

// leastLevel is how many nodes a level has, of n.
func leastLevel(n int) int { return max(fewestEqual, n/20) }

// levelsApart is how many standard deviations of its nodes a level lies from the next
// for their record to explain it.
const levelsApart = 2

// explain finds what the records show that parts the nodes into levels, and takes the
// level from each node's value. A node whose value is rare belongs to the largest level.
func (a *analyst) explain(d *Distribution, at []attribute, logs []float64) {
	type partition struct {
		attribute
		levels []string // values, the highest median first
		at     map[string]float64
		scale  float64
	}
	var best *partition
	for _, by := range at {
		if len(by.count) > d.N/fewestEqual {
			continue
		}
		of := map[string][]float64{}
		for i, v := range by.values {
			if by.count[v] >= leastLevel(d.N) {
				of[v] = append(of[v], logs[i])
			}
		}
		if len(of) < 2 {
			continue
		}
		p := partition{attribute: by, at: map[string]float64{}}
		squares, n := 0.0, 0.0
		for v, in := range of {
			s := SpreadOf(in, 1, d.half())
			p.levels, p.at[v] = append(p.levels, v), s.Center
			squares, n = squares+float64(len(in))*s.Scale*s.Scale, n+float64(len(in))
		}
		slices.SortFunc(p.levels, func(x, y string) int { return cmp.Or(-cmp.Compare(p.at[x], p.at[y]), cmp.Compare(x, y)) })
		p.scale = math.Sqrt(squares / n)
		apart := 0.0
		for i, v := range p.levels[1:] {
			apart = max(apart, p.at[p.levels[i]]-p.at[v])
		}
		if apart > levelsApart*p.scale && apart > math.Log1p(a.Margin)/2 && (best == nil || p.scale < 0.98*best.scale) {
			best = &p
		}
	}
	if best == nil {
		return
	}
	for i, v := range best.values {
		if _, ok := best.at[v]; !ok {
			v = best.most()
		}
		d.Points[i].level = slices.Index(best.levels, v)
		logs[i] -= best.at[v]
	}
	for _, v := range best.levels {
		d.Levels = append(d.Levels, Level{By: best.kind, Value: cmp.Or(results.Line(v, 60), "unknown"), N: best.count[v], Median: results.Float(math.Exp(best.at[v]))})
	}
}

// splitApart is how many standard deviations of its nodes a level lies from another for
// which the records show no reason. The halves of a normal sample lie 2.7 apart.
const splitApart = 5

// split looks for two levels for which the records show no reason, and takes the level
// from each node's value.
func split(d *Distribution, logs []float64) {
	n := len(logs)
	least := max(fewestEqual, int(math.Ceil(mostOutliers*float64(n))))
	if 2*least > n {
		return
	}
	sorted := slices.Sorted(slices.Values(logs))
	var low moments
	lower := make([]moments, n+1)
	for i, x := range sorted {
		low.add(x)
		lower[i+1] = low
	}
	var high moments
	best, cut, apart := 0.0, 0, 0.0
	var centers [2]float64
	for i := n - 1; i >= least; i-- {
		high.add(sorted[i])
		if n-i < least {
			continue
		}
		l := lower[i]
		gap := high.mean - l.mean
		if between := l.n * high.n * gap * gap; between > best {
			best, cut, apart = between, i, gap/max(d.half(), math.Sqrt((l.squares+high.squares)/float64(n-2)))
			centers = [2]float64{l.mean, high.mean}
		}
	}
	if cut == 0 || !(apart > splitApart) {
		return
	}
	at := (sorted[cut-1] + sorted[cut]) / 2
	base := 0.0
	if len(d.Levels) > 0 {
		base = math.Log(float64(d.Median))
	}
	d.Levels = append(d.Levels,
		Level{N: n - cut, Median: results.Float(math.Exp(base + centers[1]))},
		Level{N: cut, Median: results.Float(math.Exp(base + centers[0]))})
	for i, x := range logs {
		of := 0
		if x > at {
			of = 1
		}
		d.Points[i].level = len(d.Levels) - 1 - of
		logs[i] -= centers[of]
	}
}

// complete finds the nodes that lack a figure that their equals have, and those that
// ran something else at the same use.
func (a *analyst) complete() {
	type use struct {
		hardware, scenario, use string
	}
	type variant struct {
		workload, impl string
		threads        int
	}
	have := map[use]map[variant][]int{}
	nodes := map[string]int{}
	for i := range a.measured {
		if len(a.measured[i].sessions) == 0 {
			continue
		}
		nodes[a.Nodes[i].Hardware]++
		for k := range a.measured[i].values {
			if k.metric != results.Throughput || !judged(k) {
				continue
			}
			u := use{a.Nodes[i].Hardware, k.scenario, k.use}
			if have[u] == nil {
				have[u] = map[variant][]int{}
			}
			v := variant{k.workload, k.impl, k.threads}
			if in := have[u][v]; len(in) == 0 || in[len(in)-1] != i { // several devices count once
				have[u][v] = append(in, i)
			}
		}
	}
	order := slices.SortedFunc(maps.Keys(have), func(x, y use) int {
		return cmp.Or(cmp.Compare(x.hardware, y.hardware), cmp.Compare(x.scenario, y.scenario), cmp.Compare(x.use, y.use))
	})
	for _, u := range order {
		with := map[int]bool{}
		var most variant
		for v, in := range have[u] {
			for _, i := range in {
				with[i] = true
			}
			if o := have[u][most]; len(in) > len(o) || len(in) == len(o) && fmt.Sprint(v) < fmt.Sprint(most) {
				most = v
			}
		}
		for v, in := range have[u] {
			if v == most || len(in) >= fewestEqual || 5*len(have[u][most]) < 4*len(with) {
				continue
			}
			for _, i := range in {
				a.Nodes[i].fail(Outlier, fmt.Sprintf("%s ran %s with %d threads; %s ran %s with %d", u.scenario, cmp.Or(v.impl, v.workload), v.threads,
					results.Plural(len(have[u][most]), "equal node"), cmp.Or(most.impl, most.workload), most.threads), a.show(i))
			}
		}
		if 2*len(with) < nodes[u.hardware] {
			continue
		}
		for i := range a.Nodes {
			if a.Nodes[i].Hardware == u.hardware && len(a.measured[i].sessions) > 0 && !with[i] {
				a.Nodes[i].fail(Missing, fmt.Sprintf("no figure of %s, which %s have", u.scenario, results.Plural(len(with), "equal node")), a.show(i))
			}
		}
	}
}

// show is the command that says more of a node with records.
func (a *analyst) show(node int) string {
	if of := a.Nodes[node].Records; len(of) > 0 {
		return "perwatt show " + of[len(of)-1]
	}
	return ""
}

// conclude gives each node the worst conclusion of its figures.
func (a *analyst) conclude() {
	worst := map[int]*Point{}
	figure := map[int]*Distribution{}
	for i := range a.Figures {
		d := &a.Figures[i]
		for j := range d.Points {
			p := &d.Points[j]
			if p.Health == Good && a.Nodes[p.Node].Health == NotJudged {
				a.Nodes[p.Node].Health = Good
			}
			if p.Health != Outlier && p.Health != CannotTell {
				continue
			}
			if o := worst[p.Node]; o == nil || cmp.Or(cmp.Compare(slices.Index(Healths(), p.Health), slices.Index(Healths(), o.Health)), -cmp.Compare(math.Abs(float64(p.Deviation)), math.Abs(float64(o.Deviation)))) < 0 {
				worst[p.Node], figure[p.Node] = p, d
			}
		}
	}
	kinds := a.countKinds()
	for i := range a.Nodes {
		n := &a.Nodes[i]
		p := worst[i]
		switch {
		case p != nil:
			n.fail(p.Health, offText(figure[i], p), a.show(i))
		case n.Health == NotJudged:
			n.Why = "there are too few equal nodes"
			if n.Hardware != "" {
				n.Why, n.More = a.odd(i, kinds), a.show(i)
			}
		}
		a.Counts[n.Health]++
	}
}

// offText says how far off a node is.
func offText(d *Distribution, p *Point) string {
	text := fmt.Sprintf("%s, %s: %+.1f %%", d.Scenario, strings.ReplaceAll(d.Metric, "_", " "), 100*float64(p.Deviation))
	if !p.Score.IsAbsent() {
		text += fmt.Sprintf(", %.1f standard deviations", math.Abs(float64(p.Score)))
	}
	switch {
	case p.InTail:
		text += fmt.Sprintf("; healthy nodes reach as far, since their values have %s: see what those at the end have in common", d.Shape)
	case p.Health == CannotTell:
		text += "; its own interval reaches the others: measure it again, with more rounds"
	}
	if len(p.Differs) > 0 {
		text += "; " + strings.Join(p.Differs, ", ")
	}
	return text
}

// Levelled reports whether nodes of the fleet gather at levels for which the records
// show no reason.
func (a *Analysis) Levelled() bool {
	return slices.ContainsFunc(a.Figures, func(d Distribution) bool {
		return slices.ContainsFunc(d.Levels, func(l Level) bool { return l.By == "" })
	})
}

// Faults reports whether something is to be done about nodes that have figures: wrong
// answers, outliers, a rack or a switch that is slower as a whole or draws more than its
// budget, or levels without a reason.
func (a *Analysis) Faults() bool {
	off := func(r Rack) bool {
		return r.Power == Over || slices.ContainsFunc(r.Figures, func(f RackFigure) bool { return f.Off && f.Deviation < 0 })
	}
	return a.Counts[Wrong]+a.Counts[Outlier] > 0 || slices.ContainsFunc(a.Racks, off) || slices.ContainsFunc(a.Switches, off) || a.Levelled()
}

// warn adds what is doubtful about the analysis as a whole.
func (a *analyst) warn() {
	add := func(code, text, remedy string) {
		a.Warnings = append(a.Warnings, results.Warning{Code: code, Text: text, Remedy: remedy})
	}
	apart := 0
	for _, n := range a.Nodes {
		if c := n.Clock; c != nil && math.Abs(c.Offset)-c.Within > mostOffset {
			apart++
			if apart == 1 {
				add("clock-offset", fmt.Sprintf("the clock of %s is %+.0f s off", n.Name, c.Offset), "run NTP or chrony there: power from elsewhere is joined on time")
			}
		}
	}
	if apart > 1 {
		a.Warnings[0].Text += fmt.Sprintf(", and those of %s", results.Plural(apart-1, "more node"))
	}
	odd := 0
	for _, n := range a.Nodes {
		if n.Health == NotJudged && strings.Contains(n.Why, differsFrom) {
			if odd++; odd == 1 {
				add("odd-hardware", fmt.Sprintf("%s is compared with no other: %s", n.Name, n.Why), "look whether a part of it failed or is not seen: perwatt node on it lists what is there")
			}
		}
	}
	if odd > 1 {
		a.Warnings[len(a.Warnings)-1].Text += fmt.Sprintf("; and so %s", results.Plural(odd-1, "more node"))
	}
	for _, r := range a.Racks {
		if r.Beyond != nil && r.Beyond.High < 0 {
			add("rack-meter", fmt.Sprintf("the nodes of rack %s draw %.4g W more by their own meters than the meter of the rack reads", r.Name, -float64(r.Beyond.Value)),
				"look whether the map has every feed of the rack, and whether the meters agree")
		}
	}
	known := func(all []Rack, name string) bool {
		return slices.ContainsFunc(all, func(r Rack) bool { return r.Name == name })
	}
	for _, name := range slices.Sorted(maps.Keys(a.opt.Budgets)) {
		if name == "" && len(a.Racks) == 0 {
			add("no-rack", "there is a budget, and no rack is known", "give the racks: rack=NAME in the list of hosts, or the engine's topology")
		} else if name != "" && !known(a.Racks, name) {
			add("no-rack", fmt.Sprintf("there is a budget of rack %.80q, and no such rack", name), "perwatt fleet report lists the racks")
		}
	}
}

// differsFrom stands in the reason of a node that no other equals.
const differsFrom = " differ: "

// mostOffset is by how much the clock of a node may be off, in s.
const mostOffset = 5
