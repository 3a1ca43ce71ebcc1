package site

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/store"
)

// PowerFeed is a line of the map of meters: a meter of a recording, or one channel of it,
// is a feed of a node, or of a whole rack.
type PowerFeed struct {
	Node    string // empty for a rack
	Rack    string // empty for a node
	Meter   string
	Channel string // empty for all of the meter
	Line    int    // of the map
}

// of names what is fed.
func (f PowerFeed) of() string {
	if f.Rack != "" {
		return "rack " + f.Rack
	}
	return "node " + f.Node
}

const (
	mostMapLines = 1_000_000
	mostMap      = 256 << 20 // bytes
)

// rackPrefix marks a rack in the column node of the map, as it does in a list of hosts.
const rackPrefix = "rack="

// ReadPowerMap reads the map of meters: a table as [results.CSV] reads it, with the columns
// node, meter and, if need be, channel. rack=NAME in the column node stands for all that a rack draws. The
// feeds of a node or a rack add up. Nodes and racks must be those of the roster, and no
// feed may be counted twice among the nodes, nor among the racks. A node may have its name
// of the roster or of its host, in any case, with its domain or without, if that is one
// node's alone.
func ReadPowerMap(r io.Reader, roster Roster) (feeds []PowerFeed, err error) {
	names, racks := namesOf(roster), map[string]bool{}
	for _, n := range roster.Nodes {
		racks[n.Rack] = true
	}
	type meter struct {
		rack bool
		name string
	}
	named := map[meter]map[string]PowerFeed{} // by channel
	in, err := results.OpenCSV(r, mostMap)
	if err != nil {
		return nil, fmt.Errorf("the map of meters: %w", err)
	}
	columns := []string{"node", "meter", "channel"}
	for first := true; ; first = false {
		row, err := in.Read()
		if errors.Is(err, io.EOF) && !first {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("the map of meters: %w", err)
		}
		line, _ := in.FieldPos(0)
		bad := func(format string, args ...any) error {
			return fmt.Errorf("the map of meters: line %d: %s", line, results.Line(fmt.Sprintf(format, args...), 400))
		}
		if first {
			if len(row) < 2 || !slices.Equal(row, columns[:min(len(row), 3)]) {
				return nil, bad("it must be the header node,meter or node,meter,channel, and is %q", strings.Join(row, ","))
			}
			columns = columns[:len(row)]
			continue
		}
		if len(row) != len(columns) {
			return nil, bad("%d columns, and the header has %d", len(row), len(columns))
		}
		f := PowerFeed{Node: row[0], Meter: row[1], Line: line}
		node, why := names.find(f.Node)
		if rack, ok := strings.CutPrefix(f.Node, rackPrefix); ok && node == "" {
			f.Node, f.Rack = "", rack
		} else if node != "" {
			f.Node = node
		}
		if len(row) > 2 {
			f.Channel = row[2]
		}
		m := meter{f.Rack != "", f.Meter}
		twice, again := named[m][f.Channel]
		if whole, ok := named[m][""]; ok && !again {
			twice, again = whole, true
		}
		for _, part := range named[m] {
			if again || f.Channel != "" {
				break
			}
			twice, again = part, true
		}
		switch {
		case f.Rack != "" && !racks[f.Rack]:
			return nil, bad("%s is not in the roster of %s%s", f.of(), roster.Name, results.DidYouMean(f.Rack, slices.Sorted(maps.Keys(racks))))
		case f.Rack == "" && node == "":
			return nil, bad("%s %s", f.of(), why)
		case f.Meter == "":
			return nil, bad("no meter")
		case again:
			return nil, bad("meter %s is that of %s in line %d: its watts would be counted twice", f.Meter, twice.of(), twice.Line)
		case len(feeds) == mostMapLines:
			return nil, bad("more than %d lines", mostMapLines)
		}
		if named[m] == nil {
			named[m] = map[string]PowerFeed{}
		}
		named[m][f.Channel] = f
		feeds = append(feeds, f)
	}
	return feeds, nil
}

// rosterNames finds the nodes of a roster by names that are not quite theirs.
type rosterNames struct {
	roster Roster
	exact  map[string]int
	of     map[string][]string // nodes by a name in lower case, with its domain or without
}

func namesOf(r Roster) rosterNames {
	n := rosterNames{r, map[string]int{}, map[string][]string{}}
	for i, node := range r.Nodes {
		n.exact[node.Name] = i
		for _, name := range []string{node.Name, node.Host} {
			name = strings.ToLower(name)
			short, _, _ := strings.Cut(name, ".")
			for _, s := range []string{name, short} {
				if s != "" && !slices.Contains(n.of[s], node.Name) {
					n.of[s] = append(n.of[s], node.Name)
				}
			}
		}
	}
	return n
}

// find returns the node that is meant by a name, or why none is. A name without a domain
// stands for one with any, and the other way round; two domains are two hosts.
func (n rosterNames) find(name string) (node, why string) {
	if _, ok := n.exact[name]; ok {
		return name, ""
	}
	lower := strings.ToLower(name)
	found := n.of[lower]
	if short, _, qualified := strings.Cut(lower, "."); len(found) == 0 && qualified {
		for _, of := range n.of[short] {
			if !qualifiedOtherwise(n.roster.Nodes[n.exact[of]], short, lower) {
				found = append(found, of)
			}
		}
	}
	switch len(found) {
	case 1:
		return found[0], ""
	case 0:
		all := make([]string, 0, len(n.roster.Nodes))
		for _, x := range n.roster.Nodes {
			all = append(all, x.Name)
		}
		return "", fmt.Sprintf("is not in the roster of %s%s", n.roster.Name, results.DidYouMean(name, all))
	}
	return "", fmt.Sprintf("may be %s or %s in the roster of %s: give the whole name", found[0], found[1], n.roster.Name)
}

// qualifiedOtherwise reports whether a node has the short name with another domain.
func qualifiedOtherwise(n Node, short, whole string) bool {
	for _, name := range []string{n.Name, n.Host} {
		if name = strings.ToLower(name); strings.HasPrefix(name, short+".") && name != whole {
			return true
		}
	}
	return false
}

// Tape is a recording that was read once, for what it says of itself.
type Tape struct {
	Name   string // of the file, for messages
	Host   string
	Digest string // SHA-256 of the bytes that were read

	in       io.ReaderAt
	size     int64
	interval float64 // s, the longest
	meters   map[string]*results.Meter
	errors   []clockError
	steps    []clockStep
}

// clockStep is by how much a clock was set, in s, and when, by the clock as it is then.
type clockStep struct {
	at time.Time
	by float64
}

// clockError is the bound of the error of a clock at a time; absent if nothing keeps it.
type clockError struct {
	at     time.Time
	within float64
}

// ReadTape reads a recording of so many bytes; what is written behind them later is not
// looked at.
func ReadTape(name string, in io.ReaderAt, size int64) (*Tape, error) {
	t := &Tape{Name: name, in: in, size: size, meters: map[string]*results.Meter{}}
	digest := sha256.New()
	err := results.ScanRecording(io.TeeReader(t.bytes(), digest), time.Time{}, time.Time{}, func(l *results.RecordingLine) error {
		switch {
		case l.Begin != nil && t.Host != "" && l.Begin.Host != t.Host:
			return fmt.Errorf("it was recorded on %s and on %s: the clock of each is its own, so that each has a file of its own", t.Host, l.Begin.Host)
		case l.Begin != nil:
			t.Host, t.interval = l.Begin.Host, max(t.interval, float64(l.Begin.Interval))
		case l.Open != nil:
			t.meters[l.Open.Name] = l.Open
		case l.ClockError != nil:
			t.errors = append(t.errors, clockError{l.At, float64(*l.ClockError)})
		case l.Step != nil:
			t.steps = append(t.steps, clockStep{l.At, float64(*l.Step)})
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	t.Digest = hex.EncodeToString(digest.Sum(nil))
	return t, nil
}

func (t *Tape) bytes() io.Reader { return io.NewSectionReader(t.in, 0, t.size) }

const clockErrorEvery = 90 * time.Second // a recording notes it about once a minute

// clockError bounds the error of the host's clock over a time, in s; NaN if it is not
// known.
func (t *Tape) clockError(from, to time.Time) float64 {
	most, known := 0.0, false
	for _, e := range t.errors {
		if !e.at.Before(from.Add(-clockErrorEvery)) && !e.at.After(to.Add(clockErrorEvery)) {
			most, known = max(most, e.within), true
		}
	}
	if !known {
		return math.NaN()
	}
	return most
}

// set is how far the host's clock was set between two instants of it, in s: all steps
// together, whatever their directions.
func (t *Tape) set(from, to time.Time) (sum float64) {
	for _, s := range t.steps {
		was := s.at.Add(-seconds(s.by))
		if !(s.at.Before(from) && was.Before(from)) && !(s.at.After(to) && was.After(to)) {
			sum += math.Abs(s.by)
		}
	}
	return sum
}

// moved bounds how far a clock may have gone from where it was so many seconds before: by
// its error then and now where a daemon keeps it within so much, or else as quartz does.
func moved(within, ago float64) float64 {
	if math.IsNaN(within) {
		return mostDrift * ago
	}
	return 2 * within
}

// PowerJoined is what became of one record.
type PowerJoined struct {
	Node, Record string
	New          string // the record that stands in its place; empty if none does
	Before       bool   // an earlier call made it
	Note         string // what some windows lack
	Err          error  // why nothing was joined
}

// JoinPower joins recordings to the records of a fleet. Each record that gains watts is
// replaced in the store by a new one, and stays there as excluded; one that was replaced
// before is left alone, so that doing it twice changes nothing. host is the one that
// submitted the fleet, on which this runs; show is told how many of the records are done.
// The error is one of the map, of a recording or of the store; that of a single record is
// in its PowerJoined.
func JoinPower(ctx context.Context, st *store.Store, x *store.Index, r Roster, outcomes []Outcome, feeds []PowerFeed, tapes []*Tape, host string, show func(done, of int)) ([]PowerJoined, []RackJoined, error) {
	j := joiner{ctx: ctx, store: st, index: x, roster: r, host: host, feeds: map[string][]PowerFeed{}}
	replaced := x.Replaced()
	var racks []*rackTask
	read := map[instrument]PowerFeed{}
	for _, f := range feeds {
		if err := j.check(f, tapes, read); err != nil {
			return nil, nil, err
		}
		if f.Rack == "" {
			j.feeds[f.Node] = append(j.feeds[f.Node], f)
			continue
		}
		i := slices.IndexFunc(racks, func(t *rackTask) bool { return t.rack == f.Rack })
		if i < 0 {
			i, racks = len(racks), append(racks, &rackTask{rack: f.Rack})
		}
		racks[i].feeds = append(racks[i].feeds, f)
	}
	for _, o := range outcomes {
		if len(j.feeds) == 0 { // the map is one of racks alone
			break
		}
		for _, a := range o.Attempts {
			for _, id := range a.Records {
				p := PowerJoined{Node: o.Node, Record: id, New: replaced[id]}
				if p.Before = p.New != ""; !p.Before && len(j.feeds[o.Node]) == 0 {
					p.Err = errors.New("the map has no meter of the node")
				}
				j.out = append(j.out, p)
				if !p.Before && p.Err == nil {
					j.todo = append(j.todo, &task{at: len(j.out) - 1, outcome: o, attempt: a})
				}
			}
		}
	}
	for _, t := range j.todo {
		if err := j.plan(t, tapes); err != nil {
			j.out[t.at].Err = err
		}
	}
	standing := current(outcomes, replaced)
	for _, t := range racks {
		t.err = j.planRack(t, standing, tapes)
		if err := ctx.Err(); err != nil {
			return j.out, nil, err
		}
	}
	done := 0
	for _, batch := range batches(j.todo, mostHeld) {
		var requests []*request
		for _, t := range batch {
			requests = append(requests, t.requests...)
		}
		if err := j.listen(tapes, requests); err != nil {
			return j.out, nil, err
		}
		for _, t := range batch {
			done++
			show(done, len(j.todo))
			if j.out[t.at].Err != nil {
				continue
			}
			if err := ctx.Err(); err != nil {
				return j.out, nil, err
			}
			if err := j.join(t); err != nil {
				return j.out, nil, err
			}
			t.requests = nil // with what was read
		}
	}
	var ofRacks []*request
	for _, t := range racks {
		ofRacks = append(ofRacks, t.requests...)
	}
	if err := j.listen(tapes, ofRacks); err != nil {
		return j.out, nil, err
	}
	var joined []RackJoined
	for _, t := range racks {
		of := RackJoined{Rack: t.rack, Err: t.err}
		if of.Err == nil {
			of.Power, of.Err = j.joinRack(t)
		}
		if err := ctx.Err(); err != nil {
			return j.out, joined, err
		}
		if of.Err == nil {
			of.Note = results.Line(strings.Join(t.notes, "; "), 1000)
		}
		joined = append(joined, of)
	}
	return j.out, joined, nil
}

// joiner joins recordings to records.
type joiner struct {
	ctx    context.Context
	store  *store.Store
	index  *store.Index
	roster Roster
	host   string
	feeds  map[string][]PowerFeed // by node
	out    []PowerJoined
	todo   []*task
}

// task is one record that is to be joined.
type task struct {
	at       int // in the outcome
	outcome  Outcome
	attempt  Attempt
	path     string
	requests []*request
}

// request is a feed over the time of a record, by the clock of one tape.
type request struct {
	tape     *Tape
	from, to time.Time
	feed     results.Feed
	readings int
}

// instrument is a channel of what a meter reads, by whatever name, for nodes or racks.
type instrument struct {
	rack                   bool
	source, about, channel string
}

// check refuses a line of the map that no recording can serve, or that counts what another
// meter reads at the same place, as one that was opened twice does.
func (j *joiner) check(f PowerFeed, tapes []*Tape, read map[instrument]PowerFeed) error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("the map of meters: line %d: %w", f.Line, fmt.Errorf(format, args...))
	}
	known := map[string]bool{}
	for _, t := range tapes {
		m := t.meters[f.Meter]
		if m == nil {
			for name := range t.meters {
				known[name] = true
			}
			continue
		}
		meter, err := wanted(m, f.Channel)
		if err != nil {
			return bad("%w", err)
		}
		for _, c := range meter.Channels {
			// Registers or chassis of one address are told apart by what is noted of them.
			at := instrument{f.Rack != "", m.Source, strings.Join(m.Notes, "\n"), c.Name}
			if of, again := read[at]; again && of.Meter != f.Meter && m.Source != "" {
				return bad("meters %.100q and %.100q are one instrument, %.200s: its watts would be counted for %s, too (line %d)", f.Meter, of.Meter, m.Source, of.of(), of.Line)
			}
			read[at] = f
		}
		return nil
	}
	return bad("no recording has opened a meter %.100q%s", f.Meter, results.DidYouMean(f.Meter, slices.Sorted(maps.Keys(known))))
}

// wanted returns a meter with the channels that a feed names. A channel of the node's
// supply that was named is the node's total, also where the meter sees more of them.
func wanted(m *results.Meter, channel string) (results.Meter, error) {
	out := *m
	if channel == "" {
		if !slices.ContainsFunc(m.Channels, func(c results.Channel) bool { return c.Total != "" }) {
			return out, fmt.Errorf("meter %.100q has no total: name one of its %d channels in the column channel", m.Name, len(m.Channels))
		}
		return out, nil
	}
	i := slices.IndexFunc(m.Channels, func(c results.Channel) bool { return c.Name == channel })
	if i < 0 {
		return out, fmt.Errorf("meter %.100q has no channel %.100q", m.Name, channel)
	}
	c := m.Channels[i]
	if c.Total == "" && slices.Contains([]results.Boundary{results.Wall, results.PSU, results.Chassis}, c.Boundary) {
		c.Total = c.Boundary
	}
	out.Channels = []results.Channel{c}
	return out, nil
}

// plan finds out when the readings of a record were taken, by the clocks of the tapes.
func (j *joiner) plan(t *task, tapes []*Tape) error {
	h, err := j.index.Find(j.ctx, j.out[t.at].Record)
	if err != nil {
		return err
	}
	if h.Excluded != "" {
		return fmt.Errorf("it is excluded: %s", h.Excluded)
	}
	t.path = h.Path
	rec, err := results.ReadFile(t.path)
	if err != nil {
		return err
	}
	var requests []*request
	for _, f := range j.feeds[t.outcome.Node] {
		for _, tape := range tapes {
			m := tape.meters[f.Meter]
			if m == nil {
				continue
			}
			by, err := j.align(rec, t, tape)
			if err != nil {
				return err
			}
			ahead := seconds(float64(by.Offset))
			rq, err := newRequest(tape, m, f, 1, by, rec.Start.Add(ahead), rec.End.Add(ahead))
			if err != nil {
				return err
			}
			requests = append(requests, rq)
		}
	}
	t.requests = requests
	return nil
}

// newRequest asks for the readings of a feed of so many nodes between two instants and
// around them.
func newRequest(tape *Tape, m *results.Meter, f PowerFeed, nodes int, by results.Recording, from, to time.Time) (*request, error) {
	meter, err := wanted(m, f.Channel)
	if err != nil {
		return nil, err
	}
	margin := max(5, 3*tape.every(m))
	around := seconds(margin + float64(by.Within))
	return &request{tape: tape, from: from.Add(-around), to: to.Add(around), feed: results.Feed{Meter: meter, Recording: by, Margin: margin, Nodes: nodes}}, nil
}

// every is the time in s between two readings of a meter, as they were planned.
func (t *Tape) every(m *results.Meter) float64 {
	if m.Period.IsAbsent() { // it has something new at any time
		return t.interval
	}
	return max(t.interval, float64(m.Period))
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

const (
	mostDrift = 100e-6 // s/s, of a clock that nothing keeps: the tolerance of quartz
	mostShare = 0.1    // of a window, for the half-width of an offset
)

// align returns the offset of a tape's clock against that of a node during a record. It is
// what the engine measured, if the tape is of the host that submits; else 0 within the sum
// of both errors, where daemons keep both clocks. Where the tape is of that host, no
// record began before its job was submitted, nor ended after its end was seen: that bounds
// the offset by itself, and must not contradict the others.
func (j *joiner) align(rec *results.Record, t *task, tape *Tape) (results.Recording, error) {
	low, high, known := math.Inf(-1), math.Inf(1), ""
	narrow := func(l, h float64, how string) {
		low, high = max(low, l), min(high, h)
		known = how
	}
	kept := 0.0 // error of the node's clock
	window := math.Inf(1)
	for i := range rec.Runs {
		r := &rec.Runs[i]
		if r.Anchor.ClockError == nil {
			kept = math.NaN()
		} else {
			kept = max(kept, float64(*r.Anchor.ClockError))
		}
		if p, ok := r.Phase(results.PhaseMeasure); ok {
			window = min(window, float64(p.To-p.From))
		}
	}
	same := tape.Host == j.host
	// By the clock of the tape a record ends no later than this: what was set since then
	// does not matter.
	ended := func(high float64) time.Time {
		if end := t.attempt.End; !end.IsZero() {
			return end
		}
		return rec.End.Add(seconds(high + 1))
	}
	var most float64 // s, by which the tape's clock was set
	set := func(since time.Time, high float64) float64 {
		by := tape.set(since, ended(high))
		most = max(most, by)
		return by
	}
	if a := t.attempt; same && a.Job != "" && !a.Start.IsZero() { // it did not come by hand
		end := a.End
		if end.IsZero() {
			end = time.Now()
		}
		l, h := a.Start.Sub(rec.Start).Seconds(), end.Sub(rec.End).Seconds()
		by := set(a.Start, h)
		narrow(l-by, h+by, "the job ran between its submission and its end")
	}
	theirs := tape.clockError(rec.Start, rec.End)
	if c := t.outcome.Clock; same && c != nil {
		ago := rec.End.Add(-seconds(c.Offset)).Sub(j.roster.Start).Abs().Seconds()
		within := c.Within + moved(kept, ago) + moved(theirs, ago) + set(j.roster.Start, -c.Offset+c.Within)
		narrow(-c.Offset-within, -c.Offset+within, "measured between the hosts")
	} else if both := kept + theirs; both >= 0 {
		both += set(rec.Start.Add(-seconds(both)), both)
		narrow(-both, both, "a daemon keeps each of the two clocks")
	}
	const remedy = "keep the clocks of both by NTP or PTP, and record on the host that submits"
	within, meanwhile := (high-low)/2, ""
	if most > 0 {
		meanwhile = fmt.Sprintf(", since it was set by %.3g s meanwhile", most)
	}
	switch {
	case known == "":
		return results.Recording{}, fmt.Errorf("nothing tells how the clock of %s, which recorded, stands to that of the node: %s", tape.Host, remedy)
	case high < low:
		return results.Recording{}, fmt.Errorf("the clocks contradict each other by %.3g s: one of them was set meanwhile, or its daemon is wrong: %s", low-high, remedy)
	case !(within <= mostShare*window):
		return results.Recording{}, fmt.Errorf("the clock of %s is known to ±%.3g s against that of the node%s, and a window of %.3g s needs ±%.3g s: %s", tape.Host, within, meanwhile, window, mostShare*window, remedy)
	}
	return results.Recording{File: tape.Digest, Host: tape.Host, Offset: results.Float((low + high) / 2), Within: results.Float(within), Known: known}, nil
}

// mostHeld is how many readings are held at a time: 150 MB. A recording is read again for
// the next ones, which costs a second per GB of what is passed over.
const mostHeld = 1_000_000

// held is about how many readings a task asks for.
func (t *task) held() (n float64) {
	for _, rq := range t.requests {
		m := &rq.feed.Meter
		n += rq.to.Sub(rq.from).Seconds() / max(0.01, rq.tape.every(m)) * float64(len(m.Channels))
	}
	return n
}

// batches parts tasks, in the order of their times, into some of no more than so many
// readings each, or of one task.
func batches(tasks []*task, most float64) (out [][]*task) {
	from := func(t *task) (at time.Time) {
		if len(t.requests) > 0 {
			at = t.requests[0].from
		}
		return at
	}
	tasks = slices.Clone(tasks)
	results.SortStable(tasks, func(a, b *task) int { return from(a).Compare(from(b)) })
	first, sum := 0, 0.0
	for i, t := range tasks {
		if n := t.held(); sum+n > most && i > first {
			out, first, sum = append(out, tasks[first:i]), i, n
		} else {
			sum += n
		}
	}
	if first < len(tasks) {
		out = append(out, tasks[first:])
	}
	return out
}

// listen takes the readings that are asked for from the tapes.
func (j *joiner) listen(tapes []*Tape, requests []*request) error {
	wants := map[string][]*request{} // by meter
	for _, rq := range requests {
		wants[rq.feed.Meter.Name] = append(wants[rq.feed.Meter.Name], rq)
	}
	for _, tape := range tapes {
		if err := j.play(tape, wants); err != nil {
			return err
		}
	}
	return nil
}

// play takes what is wanted of one tape, by meter.
func (j *joiner) play(tape *Tape, wants map[string][]*request) error {
	var from, to time.Time
	for _, rqs := range wants {
		for _, rq := range rqs {
			if rq.tape == tape && (from.IsZero() || rq.from.Before(from)) {
				from = rq.from
			}
			if rq.tape == tape && rq.to.After(to) {
				to = rq.to
			}
		}
	}
	if from.IsZero() {
		return nil
	}
	err := results.ScanRecording(tape.bytes(), from, to, func(l *results.RecordingLine) error {
		give := func(rqs []*request) {
			for _, rq := range rqs {
				// A clock that was set is of interest to what it was set over.
				if rq.tape == tape && (l.Step != nil || !l.At.Before(rq.from) && !l.At.After(rq.to)) {
					rq.feed.Lines = append(rq.feed.Lines, *l)
					if l.Value != nil {
						rq.readings++
					}
				}
			}
		}
		switch {
		case l.Open != nil:
			give(wants[l.Open.Name])
		case l.Meter != "":
			give(wants[l.Meter])
		case l.Begin != nil || l.Step != nil:
			for _, rqs := range wants {
				give(rqs)
			}
		}
		return j.ctx.Err()
	})
	if err != nil {
		return fmt.Errorf("%s: %w", tape.Name, err)
	}
	return nil
}

// recorded returns what was read of each feed, by the one recording that has readings of
// it at that time.
func recorded(feeds []PowerFeed, requests []*request) (out []results.Feed, err error) {
	for _, f := range feeds {
		var found *request
		for _, rq := range requests {
			switch {
			case rq.feed.Meter.Name != f.Meter || f.Channel != "" && rq.feed.Meter.Channels[0].Name != f.Channel:
			case found == nil || found.readings == 0:
				found = rq
			case rq.readings > 0:
				return nil, fmt.Errorf("meter %.100q was recorded in %s and in %s at that time: give one of them", f.Meter, found.tape.Name, rq.tape.Name)
			}
		}
		if found.readings == 0 {
			return nil, fmt.Errorf("%s has no reading of meter %.100q (line %d of the map) from %s to %s: record from before the nodes begin until they are done",
				found.tape.Name, f.Meter, f.Line, found.from.UTC().Format(time.RFC3339), found.to.UTC().Format(time.RFC3339))
		}
		out = append(out, found.feed)
	}
	return out, nil
}

// join makes the record that stands in the place of one.
func (j *joiner) join(t *task) error {
	p := &j.out[t.at]
	feeds, err := recorded(j.feeds[p.Node], t.requests)
	if err != nil {
		p.Err = err
		return nil
	}
	file, err := results.LoadFile(t.path)
	if err == nil && len(file.Verify()) > 0 {
		err = errors.New("it is damaged: perwatt verify says where")
	}
	var rec *results.Record
	if err == nil {
		rec, err = results.Join(j.ctx, file.Record, joinedID(p.Record), feeds)
	}
	if err == nil {
		p.Note, err = gained(rec, len(file.Record.Meters))
	}
	if err != nil {
		p.Err = err
		return j.ctx.Err()
	}
	draft, err := j.store.Create(rec.ID, ulidTime(rec.ID), strings.HasSuffix(t.path, ".zst"))
	if err == nil {
		_, err = draft.Keep(rec)
	}
	if err != nil && !errors.Is(err, fs.ErrExist) { // one that is there was made by a call that was cut off
		return err
	}
	if _, _, err = j.store.Amend(store.Amendment{Exclude: p.Record, By: rec.ID, Reason: "superseded by " + rec.ID + ", which has the power that " + feeds[0].Recording.Host + " recorded"}); err != nil {
		return err
	}
	p.New = rec.ID
	return nil
}

// gained says which scenarios have no watts by the meters from the index on, and what of
// their windows nothing was read in; it is an error if none has watts.
func gained(rec *results.Record, from int) (note string, err error) {
	var without []string
	with := 0
	for _, m := range rec.Meters[from:] {
		for _, row := range rec.Summary.Meters {
			switch {
			case row.Meter != m.Name || row.Channel != "":
			case row.Power.Value.IsAbsent():
				without = append(without, fmt.Sprintf("no watts in %s: %s", row.Scenario, cmp.Or(row.Power.Why, string(row.Power.Status))))
			default:
				with++
			}
		}
	}
	note = results.Line(strings.Join(without, "; "), 1000)
	if with == 0 {
		return "", errors.New(cmp.Or(note, "no run of it is good"))
	}
	return results.Line(strings.Join(append(without, unread(rec, from)...), "; "), 1000), nil
}

// unread says of the meters from the index on in how much of the windows nothing was read,
// where that is more than what is published may lack.
func unread(rec *results.Record, from int) (out []string) {
	for _, m := range rec.Meters[from:] {
		for _, c := range rec.Summary.Coverage {
			if c.Meter == m.Name && c.Share < 0.99 {
				out = append(out, fmt.Sprintf("meter %s was read in %.3g %% of the time of all windows, with up to %.3g s between two readings", m.Name, 100*c.Share, c.Longest))
			}
		}
	}
	return out
}

// joinedID is the identifier of the record that is made of one: the same whenever it is
// made, so that a call that was cut off is carried on.
func joinedID(of string) string {
	u, err := ulid.ParseStrict(of)
	if err != nil {
		return ""
	}
	entropy := sha256.Sum256([]byte("joined " + of))
	copy(u[6:], entropy[:10])
	return u.String()
}

func ulidTime(id string) time.Time {
	u, _ := ulid.ParseStrict(id)
	return ulid.Time(u.Time())
}
