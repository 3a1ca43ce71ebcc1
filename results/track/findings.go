package track

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/stats"
	"github.com/perwatt/perwatt/results/store"
)

// Judged is a series with its changes.
type Judged struct {
	*Series
	Past                   // as of the night
	Before  Past           // as of the night before
	Watch   Watch          // of the night
	recent  []int          // the last nights before it, oldest first
	Last    int            // the newest night with a figure
	Instead string         // for a young series, how it differs from the one that it replaced
	Beside  map[int]Beside // its siblings at a change, by the night of the change
}

// back returns the night n measured nights before.
func (j *Judged) back(n int) int {
	if len(j.recent) == 0 {
		return Never
	}
	return j.recent[max(0, len(j.recent)-n)]
}

// Judge finds the changes of a series up to a night and judges that night. Past
// is the state after an earlier night upto; without one, pass the zero value and
// [Never]. Only later nights are walked, at a cost of one window each: the points
// may begin [Memory] measured nights before the first of them, or at the start
// of an epoch, and the result is that of a full pass.
func Judge(s *Series, past Past, upto, night int) Judged {
	w := s.walk(past)
	j := Judged{Series: s, Watch: nothing, Last: s.last()}
	at := w.from(night)
	for i := w.from(upto + 1); i < at; i++ {
		w.step(i)
	}
	for _, n := range w.nights[max(0, at-late):at] {
		j.recent = append(j.recent, n.n)
	}
	j.Before = w.Past.clone()
	if at < len(w.nights) && w.nights[at].n == night {
		w.step(at)
		j.Watch = w.watch
	}
	j.Past = w.Past
	return j
}

// Never is before every night.
const Never = math.MinInt

var nan = math.NaN()

// Cause is the likely cause of a change.
type Cause string

const (
	Code     Cause = "code"           // it moved relative to the control, and the code changed
	Machine  Cause = "machine"        // the control moved, too
	Capped   Cause = "capped"         // slower at fewer watts, also the control
	Ageing   Cause = "ageing"         // as fast at more watts: fans, dust, a supply
	Hungrier Cause = "hungrier"       // faster, but less work per joule
	Gauge    Cause = "meter"          // all watts of one meter moved, and no rate
	Known    Cause = "known event"    // at a recorded event
	Unknown  Cause = "cannot be told" // nothing is known to have changed
	// Alone is a change without a control in the session: nothing shows which of
	// that night's changes caused it.
	Alone Cause = "unknown, the session had no control"
)

// Verdict tells whether a finding is good or bad.
type Verdict string

const (
	Regression  Verdict = "regression"
	Improvement Verdict = "improvement"
	Neutral     Verdict = "change" // at a known event, or neither good nor bad
)

// Part is one change of a finding, with its series.
type Part struct {
	*Judged
	Change Change
}

// NodeID names a node.
type NodeID struct{ Group, Node string }

func nodeOf(k store.Key) NodeID { return NodeID{k.Group, k.Node} }

// Finding is a set of changes at one time with one cause.
type Finding struct {
	Verdict  Verdict
	Cause    Cause
	Night    int // the first of the new level, from the most certain part
	From, To int
	Parts    []Part // the headline first
	Groups   []string
	Nodes    []NodeID // that moved
	Of       int      // number of nodes of those groups whose figures could have shown it
	// LastGood and FirstBad bound the commits that can be the cause; equal or empty
	// if none can.
	LastGood, FirstBad string
	Event              *Event
	P                  float64
	still              int // siblings that did not move
}

// Shown returns the night on which it was first detected.
func (f *Finding) Shown() int {
	first := f.Parts[0].Change.Reached[0].Night
	for _, p := range f.Parts {
		first = min(first, p.Change.Reached[0].Night)
	}
	return first
}

// Primary returns the part that describes the finding.
func (f *Finding) Primary() *Part { return &f.Parts[0] }

// Findings merges the changes of many series: those of one date that can have
// one cause are one finding. The latest come first.
func Findings(all []Judged) []Finding {
	var parts []Part
	for i := range all {
		for _, c := range all[i].Changes {
			parts = append(parts, Part{&all[i], c})
		}
	}
	results.SortStable(parts, func(a, b Part) int {
		return cmp.Or(cmp.Compare(a.Change.Night, b.Change.Night), compare(a.Key, b.Key))
	})
	// Parts of one finding have one root.
	parent := make([]int, len(parts))
	for i := range parent {
		parent[i] = i
	}
	root := func(i int) int {
		for parent[i] != i {
			parent[i] = parent[parent[i]]
			i = parent[i]
		}
		return i
	}
	for i := range parts {
		for k := i + 1; k < len(parts) && parts[k].Change.From <= parts[i].Change.To+1+Horizon; k++ {
			if root(i) != root(k) && parts[i].belongs(&parts[k]) {
				parent[root(k)] = root(i)
			}
		}
	}
	at := map[int]int{} // findings, by root
	var out []Finding
	for i, p := range parts {
		n, known := at[root(i)]
		if !known {
			n = len(out)
			at[root(i)], out = n, append(out, Finding{})
		}
		f := &out[n]
		f.Parts = append(f.Parts, p)
		if !slices.Contains(f.Groups, p.Key.Group) {
			f.Groups = append(f.Groups, p.Key.Group)
		}
		b := p.Beside[p.Change.Night]
		f.still = max(f.still, b.Still)
		for _, name := range append([]string{p.Key.Node}, b.Moved...) {
			if id := (NodeID{p.Key.Group, name}); !slices.Contains(f.Nodes, id) {
				f.Nodes = append(f.Nodes, id)
			}
		}
	}
	w := surroundingsOf(all)
	for i := range out {
		out[i].settle(w)
	}
	results.SortStable(out, func(a, b Finding) int { return cmp.Compare(b.Night, a.Night) })
	return out
}

// belongs reports whether two changes can have one cause.
func (p *Part) belongs(o *Part) bool {
	a, b := &p.Change, &o.Change
	if a.To < b.From-1 || b.To < a.From-1 {
		return false
	}
	node := nodeOf(p.Key) == nodeOf(o.Key)
	// Siblings that move in one direction share a cause: in the same figure, or
	// in another in which both moved.
	siblings := p.Key.Group == o.Key.Group && p.Better.worse(a.Size.Value) == o.Better.worse(b.Size.Value) &&
		(sibling(p.Key) == sibling(o.Key) || slices.Contains(p.Beside[a.Night].Moved, o.Key.Node) || slices.Contains(o.Beside[b.Night].Moved, p.Key.Node))
	meter := p.Meter != "" && p.Meter == o.Meter && p.Key.Metric == results.Power && o.Key.Metric == results.Power
	code := a.LastGood != a.FirstBad && a.LastGood == b.LastGood && a.FirstBad == b.FirstBad && !p.Control && !o.Control &&
		(node || p.Key.Group != o.Key.Group || useOf(p.Key) != useOf(o.Key)) // no commit slows one use on a node and speeds it up on its sibling
	return node || siblings || meter || code
}

// useOf returns a key that all figures of a use share, on any node.
func useOf(k store.Key) store.Key {
	k.Node, k.Metric, k.Unit = "", "", ""
	return k
}

// surroundings are the facts about all series that a finding is judged with.
type surroundings struct {
	control map[NodeID]bool            // nodes with a control
	meters  map[string]map[NodeID]bool // nodes of a meter
	spans   map[store.Key][]Span       // by the key that siblings share
}

func surroundingsOf(all []Judged) surroundings {
	w := surroundings{map[NodeID]bool{}, map[string]map[NodeID]bool{}, map[store.Key][]Span{}}
	for _, j := range all {
		w.spans[sibling(j.Key)] = j.Siblings
		if j.Control {
			w.control[nodeOf(j.Key)] = true
		}
		if j.Meter != "" {
			if w.meters[j.Meter] == nil {
				w.meters[j.Meter] = map[NodeID]bool{}
			}
			w.meters[j.Meter][nodeOf(j.Key)] = true
		}
	}
	return w
}

// idle is the scenario without a use.
const idle = "idle"

// rank orders the metrics by their interest to a reader.
var rank = map[string]int{results.WorkPerEnergy: 1, results.Throughput: 2, results.Power: 3}

// moved reports whether a rate changed.
func (f *Finding) moved() bool {
	return slices.ContainsFunc(f.Parts, func(p Part) bool { return p.Key.Metric == results.Throughput })
}

// settle determines the primary part, the dates, the cause and the verdict.
func (f *Finding) settle(w surroundings) {
	// The primary part is that of a use, unless only the control changed.
	results.SortStable(f.Parts, func(a, b Part) int {
		own := func(p Part) int {
			if p.Control {
				return 1
			}
			return 0
		}
		of := func(p Part) int { return cmp.Or(rank[p.Key.Metric], 9) }
		size := func(p Part) float64 { return -math.Abs(math.Log(p.Change.Size.Value)) }
		return cmp.Or(cmp.Compare(own(a), own(b)), cmp.Compare(of(a), of(b)), cmp.Compare(size(a), size(b)), compare(a.Key, b.Key))
	})
	surest := &f.Parts[0].Change
	f.From, f.To = surest.From, surest.To
	for i := range f.Parts {
		c := &f.Parts[i].Change
		if c.P < surest.P {
			surest = c
		}
		if c.Event != nil {
			f.Event = c.Event
		}
	}
	f.Night, f.From, f.To, f.P = surest.Night, surest.From, surest.To, surest.P
	f.LastGood, f.FirstBad = surest.LastGood, surest.FirstBad

	var slower, faster, more, less, ownSlower, ownFaster, ownMore bool
	var costlier bool // less work per joule
	for _, p := range f.Parts {
		up, own := p.Change.up(), p.Control
		switch p.Key.Metric {
		case results.Throughput:
			slower, faster = slower || !up, faster || up
			ownSlower, ownFaster = ownSlower || own && !up, ownFaster || own && up
		case results.Power:
			more, less = more || up, less || !up
			ownMore = ownMore || own && up
		case results.WorkPerEnergy:
			costlier = costlier || !up
		}
	}
	moved := f.moved()
	own := ownSlower || ownFaster || ownMore && !moved
	code := f.LastGood != f.FirstBad && f.FirstBad != ""
	for _, g := range f.Groups {
		k := sibling(f.Parts[0].Key)
		k.Group = g
		f.Of += int(share(w.spans[k], f.Night))
	}
	f.Of = max(f.Of, len(f.Nodes))
	switch {
	case f.Event != nil:
		f.Cause = Known
	case f.isMeter(w, moved):
		f.Cause = Gauge
	case !f.controlled(w):
		f.Cause = Alone
	case slower && less && own:
		f.Cause = Capped
	case own && moved:
		f.Cause = Machine
	case !moved && more && (ownMore || !code):
		f.Cause = Ageing
	case faster && more && costlier:
		f.Cause = Hungrier
	case code:
		f.Cause = Code
	default:
		f.Cause = Unknown
	}
	// Anything that became worse makes a regression; more watts are worse if no
	// rate moved.
	switch {
	case f.Cause == Known || f.Cause == Gauge:
		f.Verdict = Neutral
	case slower || costlier || more && !moved:
		f.Verdict = Regression
	default:
		f.Verdict = Improvement
	}
}

// controlled reports whether the change was judged with a control: a figure by its
// ratio to one, or the control itself. Idle watts have no such ratio; for them it
// suffices that their node has a control.
func (f *Finding) controlled(w surroundings) bool {
	return slices.ContainsFunc(f.Parts, func(p Part) bool {
		return p.Change.Controlled || p.Control || p.Key.Scenario == idle && w.control[nodeOf(p.Key)]
	})
}

// isMeter reports whether the watts of all nodes of a meter, at least two, moved
// in one direction, and no rate moved.
func (f *Finding) isMeter(w surroundings, moved bool) bool {
	meter, nodes, up, down := "", map[NodeID]bool{}, false, false
	for _, p := range f.Parts {
		if p.Key.Metric != results.Power {
			continue
		}
		if meter == "" {
			meter = p.Meter
		} else if p.Meter != meter {
			return false
		}
		nodes[nodeOf(p.Key)] = true
		up, down = up || p.Change.up(), down || p.Change.Size.Value < 1
	}
	return !moved && meter != "" && len(nodes) > 1 && len(nodes) == len(w.meters[meter]) && up != down
}

// Where names the nodes: one, some of several, or all.
func (f *Finding) Where() string {
	var names []string
	for _, n := range f.Nodes {
		names = append(names, cmp.Or(n.Node, "without a name"))
	}
	switch n := len(names); {
	case n == 1:
		return "node " + names[0]
	case n == f.Of:
		return fmt.Sprintf("all %d nodes", n)
	default:
		slices.Sort(names)
		if n > 8 {
			names = append(names[:8], "…")
		}
		return fmt.Sprintf("%d of %d nodes: %s", n, f.Of, strings.Join(names, ", "))
	}
}

// What returns the change as a phrase.
func (f *Finding) What() string {
	h := f.Primary()
	said := fmt.Sprintf("%s %s", strings.ReplaceAll(h.Key.Metric, "_", " "), Relative(h.Change.Size))
	if h.Change.Gradual {
		said += ", gradually"
	}
	switch n := len(f.Parts) - 1; {
	case n == 1:
		said += ", and 1 other figure"
	case n > 1:
		said += fmt.Sprintf(", and %d other figures", n)
	}
	return said
}

// At returns what bounds the change: commits, or an event.
func (f *Finding) At() string {
	switch {
	case f.Event != nil:
		return f.Event.Kind + " " + f.Event.What
	case f.LastGood != f.FirstBad && f.FirstBad != "" && f.Cause != Gauge && f.Cause != Ageing:
		return short(f.LastGood) + ".." + short(f.FirstBad)
	}
	return ""
}

func short(revision string) string {
	dirty := strings.HasSuffix(revision, "+")
	revision = strings.TrimSuffix(revision, "+")
	if len(revision) > 12 {
		revision = revision[:12]
	}
	if dirty {
		revision += "+"
	}
	return cmp.Or(revision, "?")
}

// Do returns the remedy.
func (f *Finding) Do() string {
	switch f.Cause {
	case Code:
		return fmt.Sprintf("git log %s: it moved against the control", f.At())
	case Machine:
		return "check the machine, not the code: the control moved, too. Check other load, cooling, clock and CPU quota: perwatt node"
	case Capped:
		return "check for a power cap, throttling or a CPU quota: perwatt node"
	case Ageing:
		return "check fans, dust and the power supply: the same work takes other watts"
	case Hungrier:
		return "decide whether the speed is worth the energy" + commits(f)
	case Gauge:
		return "check the meter: all its readings moved together, and no rate did (perwatt meters SPEC --check), then perwatt event"
	case Alone:
		said := "cause unknown, the session had no control: perwatt run measures one beside the uses, to distinguish the machine from the code"
		if at := f.At(); at != "" {
			said += "; git log " + at + " lists the commits of those nights"
		}
		return said
	case Known:
		return "nothing if it was intended; otherwise undo it and measure again"
	}
	if len(f.Nodes) == 1 && f.still > 0 && f.still == f.Of-1 {
		return fmt.Sprintf("check node %s: its siblings did not move. If it was changed, record that: perwatt event --node %[1]s --at DATE TEXT", f.Nodes[0].Node)
	}
	return "measure again; if the machine was changed, record that: perwatt event --at DATE TEXT"
}

func commits(f *Finding) string {
	if at := f.At(); at != "" {
		return ": git log " + at
	}
	return ""
}

// Relative prints a quotient as a difference: −3.1 % [−3.6 %, −2.6 %].
func Relative(i stats.Interval) string {
	if math.IsNaN(i.Low) || math.IsNaN(i.High) {
		return results.Signed(i.Value - 1)
	}
	return results.Signed(i.Value-1) + " " + Bounds(i)
}

// Bounds prints the interval of a quotient as that of a difference.
func Bounds(i stats.Interval) string {
	return "[" + results.Signed(i.Low-1) + ", " + results.Signed(i.High-1) + "]"
}
