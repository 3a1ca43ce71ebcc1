package site

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/perwatt/perwatt/results"
)

// RackPower is what the meter of a whole rack read while nodes of it measured one
// scenario at the same time. It counts all that the meter feeds: nodes, switches, fans and
// what is lost on the way.
type RackPower struct {
	Rack     string         `json:"rack"`
	Scenario string         `json:"scenario"`
	Nodes    int            `json:"nodes"` // that measured in every window, by their records
	Meter    string         `json:"meter"`
	Power    results.Figure `json:"power"` // W; N windows. Its interval is that of repeats, without the instrument
	// Recordings are those of the meter's feeds. Times are those of their host.
	Recordings []results.Recording `json:"recordings"`
}

// bounds are the least and the most that the rack draws in W: repeats and instrument
// together, as far as they are known.
func (p *RackPower) bounds() (low, high float64) {
	repeats, instrument := float64(p.Power.HalfWidth()), float64(p.Power.Instrument)
	half := 0.0
	for _, h := range []float64{repeats, instrument} {
		if h >= 0 { // it is known
			half = math.Hypot(half, h)
		}
	}
	v := float64(p.Power.Value)
	return v * (1 - half), v * (1 + half)
}

// RackJoined is what became of the meter of one rack.
type RackJoined struct {
	Rack  string
	Power []RackPower // one a scenario
	Note  string      // which nodes and scenarios are not in it, and why
	Err   error       // why there is no power
}

// rackTask is one rack whose meter is to be joined.
type rackTask struct {
	rack     string
	feeds    []PowerFeed
	host     string // that recorded
	windows  []rackWindow
	within   float64 // s, of the clocks of the nodes
	requests []*request
	notes    []string
	err      error
}

// rackWindow is a time at which nodes measured one scenario, by the clock of the host
// that recorded.
type rackWindow struct {
	scenario       string
	session, round int
	from, to       time.Time
	nodes          int
}

// planRack finds out when the nodes of a rack measured at the same time.
func (j *joiner) planRack(t *rackTask, outcomes []Outcome, tapes []*Tape) error {
	var base *Tape
	for _, f := range t.feeds {
		i := slices.IndexFunc(tapes, func(tape *Tape) bool {
			return tape.meters[f.Meter] != nil && (base == nil || tape.Host == base.Host)
		})
		if i < 0 {
			return fmt.Errorf("meter %.100q was not recorded on %s: one host must record all feeds of a rack, by one clock", f.Meter, base.Host)
		}
		base = cmp.Or(base, tapes[i])
	}
	t.host = base.Host
	in, nodes := map[string]bool{}, 0
	for _, n := range j.roster.Nodes {
		if in[n.Name] = n.Rack == t.rack; in[n.Name] {
			nodes++
		}
	}
	type key struct {
		scenario       string
		session, round int
	}
	of := map[key][]rackWindow{}
	for _, o := range outcomes {
		for _, a := range o.Attempts {
			for _, id := range a.Records {
				if !in[o.Node] {
					continue
				}
				err := j.times(id, &task{outcome: o, attempt: a}, base, func(w rackWindow, within float64) {
					k := key{w.scenario, w.session, w.round}
					of[k], t.within = append(of[k], w), max(t.within, within)
				})
				if err != nil {
					t.notes = append(t.notes, fmt.Sprintf("without node %s: %v", o.Node, err))
				}
			}
		}
	}
	most := map[string]int{} // nodes, by scenario
	for _, ws := range of {
		w := simultaneous(ws)
		t.windows, most[w.scenario] = append(t.windows, w), max(most[w.scenario], w.nodes)
	}
	t.windows = slices.DeleteFunc(t.windows, func(w rackWindow) bool { return w.nodes < most[w.scenario] })
	if len(t.windows) == 0 {
		return fmt.Errorf("no node of it has a window: %s", cmp.Or(results.Line(strings.Join(t.notes, "; "), 400), "there are no records"))
	}
	slices.SortFunc(t.windows, func(a, b rackWindow) int { return cmp.Or(a.from.Compare(b.from), cmp.Compare(a.scenario, b.scenario)) })
	from, to := t.windows[0].from, t.windows[0].to
	for _, w := range t.windows {
		if w.to.After(to) {
			to = w.to
		}
	}
	for _, f := range t.feeds {
		for _, tape := range tapes {
			m := tape.meters[f.Meter]
			if m == nil || tape.Host != t.host {
				continue
			}
			rq, err := newRequest(tape, m, f, nodes, results.Recording{File: tape.Digest, Host: tape.Host, Within: results.Float(t.within), Known: "the largest of the nodes' own"}, from, to)
			if err != nil {
				return err
			}
			t.requests = append(t.requests, rq)
		}
	}
	return nil
}

// times hands each window of a record to take, by the clock of a tape, with the half-width
// of what is known of the offset in s.
func (j *joiner) times(id string, t *task, tape *Tape, take func(rackWindow, float64)) error {
	h, err := j.index.Find(j.ctx, id)
	if err != nil {
		return err
	}
	if h.Excluded != "" {
		return fmt.Errorf("its record is excluded: %s", h.Excluded)
	}
	rec, err := results.ReadFile(h.Path)
	if err != nil {
		return err
	}
	by, err := j.align(rec, t, tape)
	if err != nil {
		return err
	}
	names := map[string]string{}
	for i, p := range rec.Places() {
		names[rec.Summary.Rows[i].Scenario] = p.Scenario()
	}
	for i := range rec.Runs {
		r := &rec.Runs[i]
		p, ok := r.Phase(results.PhaseMeasure)
		if !ok || r.Status != results.OK || !(p.To > p.From) {
			continue
		}
		at := func(s results.Float) time.Time {
			return r.Anchor.UTC.Add(seconds(float64(s - r.Anchor.T + by.Offset)))
		}
		take(rackWindow{cmp.Or(names[r.Scenario], r.Scenario), rec.Plan.Session, r.Round, at(p.From), at(p.To), 1}, float64(by.Within))
	}
	return nil
}

// simultaneous returns the time that most of the windows have in common: at least half of
// the shortest of them, and of several such times the longest.
func simultaneous(ws []rackWindow) (best rackWindow) {
	shortest := ws[0].to.Sub(ws[0].from)
	for _, w := range ws {
		shortest = min(shortest, w.to.Sub(w.from))
	}
	slices.SortFunc(ws, func(a, b rackWindow) int { return a.from.Compare(b.from) })
	var ends []time.Time // of the windows that are open, in order
	for _, w := range ws {
		at, _ := slices.BinarySearchFunc(ends, w.to, time.Time.Compare)
		ends = slices.Insert(ends, at, w.to)
		for ends[0].Sub(w.from) < shortest/2 {
			ends = ends[1:]
		}
		if n := len(ends); n > best.nodes || n == best.nodes && ends[0].Sub(w.from) > best.to.Sub(best.from) {
			best = w
			best.to, best.nodes = ends[0], n
		}
	}
	return best
}

// joinRack derives the power of a rack as that of a node whose only meter is the rack's.
func (j *joiner) joinRack(t *rackTask) (out []RackPower, err error) {
	feeds, err := recorded(t.feeds, t.requests)
	if err != nil {
		return nil, err
	}
	start := t.windows[0].from
	rec := &results.Record{Schema: results.SchemaVersion, Start: start, Node: results.Node{Name: t.rack}}
	nodes, rounds := map[string]int{}, map[string]int{}
	for _, w := range t.windows {
		if rounds[w.scenario]++; rounds[w.scenario] == 1 {
			rec.Plan.Scenarios = append(rec.Plan.Scenarios, w.scenario)
		}
		nodes[w.scenario] = w.nodes
		since := func(at time.Time) results.Float { return results.Float(at.Sub(start).Seconds()) }
		rec.Runs = append(rec.Runs, results.Run{Scenario: w.scenario, Round: rounds[w.scenario], Status: results.OK, Anchor: results.Anchor{UTC: start},
			Phases: []results.Phase{{Name: results.PhaseMeasure, From: since(w.from), To: since(w.to)}}})
	}
	if rec, err = results.Join(j.ctx, rec, "", feeds); err != nil {
		return nil, err
	}
	read := map[string]bool{}
	for _, row := range rec.Summary.Meters { // the primary meter of a scenario comes first
		if row.Channel != "" || read[row.Scenario] {
			continue
		}
		if row.Power.Value.IsAbsent() {
			t.notes = append(t.notes, fmt.Sprintf("no watts in %s: %s", row.Scenario, cmp.Or(row.Power.Why, string(row.Power.Status))))
			continue
		}
		read[row.Scenario] = true
		i := slices.IndexFunc(rec.Meters, func(m results.Meter) bool { return m.Name == row.Meter })
		p := row.Power
		p.Budget = nil // Instrument has the sum of it
		out = append(out, RackPower{Rack: t.rack, Scenario: row.Scenario, Nodes: nodes[row.Scenario], Meter: row.Meter, Power: p, Recordings: rec.Meters[i].Recordings})
	}
	if len(out) == 0 {
		return nil, errors.New(cmp.Or(results.Line(strings.Join(t.notes, "; "), 400), "it has no total"))
	}
	t.notes = append(t.notes, unread(rec, 0)...)
	return out, nil
}

// racksFile is where the power of racks is kept, in the directory of a measurement.
const racksFile = "racks.json"

const (
	racksVersion = 1
	mostRackFile = 64 << 20 // bytes
)

type rackFile struct {
	Version int         `json:"version"`
	Racks   []RackPower `json:"racks"`
}

// KeepRackPower writes the power of racks to the directory of a measurement, in place of
// what is there of the same racks; that of others stays.
func KeepRackPower(dir string, r Roster, joined []RackJoined) error {
	all, err := ReadRackPower(dir, r)
	if err != nil {
		return err
	}
	for _, j := range joined {
		if j.Err == nil {
			all = slices.DeleteFunc(all, func(p RackPower) bool { return p.Rack == j.Rack })
			all = append(all, j.Power...)
		}
	}
	results.SortStable(all, func(a, b RackPower) int { return cmp.Compare(a.Rack, b.Rack) })
	raw, err := json.MarshalIndent(rackFile{racksVersion, all}, "", " ")
	if err != nil {
		return fmt.Errorf("the power of racks: %w", err)
	}
	f, err := os.CreateTemp(dir, "."+racksFile+".*")
	if err != nil {
		return fmt.Errorf("the power of racks: %w", err)
	}
	defer os.Remove(f.Name()) // gone once it was renamed
	_, err = f.Write(append(raw, '\n'))
	if err == nil {
		err = f.Chmod(0o644)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), filepath.Join(dir, racksFile))
	}
	if err != nil {
		return fmt.Errorf("the power of racks: %w", err)
	}
	return nil
}

// ReadRackPower reads what [KeepRackPower] wrote; nil if no meter of a rack was joined.
func ReadRackPower(dir string, r Roster) ([]RackPower, error) {
	path := filepath.Join(dir, racksFile)
	bad := func(err error) error { return fmt.Errorf("the power of racks: %s: %w", path, err) }
	f, err := results.OpenFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, bad(err)
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, mostRackFile+1))
	if err != nil {
		return nil, bad(err)
	}
	if len(raw) > mostRackFile {
		return nil, bad(fmt.Errorf("it is larger than %d MiB", mostRackFile>>20))
	}
	var file rackFile
	if err := json.Unmarshal(raw, &file); err != nil {
		return nil, bad(err)
	}
	if file.Version != racksVersion {
		return nil, bad(fmt.Errorf("version %d is not read here, only %d", file.Version, racksVersion))
	}
	nodes := map[string]int{}
	for _, n := range r.Nodes {
		nodes[n.Rack]++
	}
	for i, p := range file.Racks {
		v := float64(p.Power.Value)
		switch {
		case p.Rack == "" || nodes[p.Rack] == 0:
			err = fmt.Errorf("rack %.80q is not in the roster of %s", p.Rack, r.Name)
		case p.Nodes < 1 || p.Nodes > nodes[p.Rack]:
			err = fmt.Errorf("%d nodes of rack %.80q, which has %d", p.Nodes, p.Rack, nodes[p.Rack])
		case p.Power.Unit != results.Watt || !(v > 0) || math.IsInf(v, 0):
			err = fmt.Errorf("%v %s is no power", p.Power.Value, results.Line(string(p.Power.Unit), 20))
		case !slices.Contains(results.Boundaries(), p.Power.Boundary):
			err = fmt.Errorf("%.40q is no boundary", p.Power.Boundary)
		}
		if err != nil {
			return nil, bad(fmt.Errorf("entry %d: %w", i+1, err))
		}
	}
	return file.Racks, nil
}
