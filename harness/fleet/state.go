package fleet

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/perwatt/perwatt/results/site"
)

// state is what the journal says, replayed.
type state struct {
	nodes    []*node // in the order of the roster
	byName   map[string]*node
	sessions int
	attempts int
	records  map[string]*node // by identifier
	flight   map[*attempt]bool
	count    map[site.State]int
}

type node struct {
	site.Node
	now      site.State // counted
	attempts []*attempt
	absent   string // why it can run nothing
	more     string
	clock    *site.Clock
	idle     bool // the engine said so at the start
}

type attempt struct {
	site.Attempt
	node    *node
	began   time.Time // zero: not yet
	at      time.Time // of the common start; zero: whenever it can, or when its allocation says
	many    int       // nodes that start together
	leader  string    // the first of them, if they have one job
	beside  string    // what became of the others
	over    bool
	counts  bool // towards the limit of attempts
	last    bool
	kind    site.State
	more    string
	found   map[int]string  // identifiers of the records in the store, by session
	files   map[string]bool // that were judged
	refused []Entry

	// Of the process that schedules, not of the journal.
	unseen  int       // answers of the engine in a row that did not name it
	looks   int       // at what it left, since it ended
	away    time.Time // since when its node does not answer, at its end; zero if it does
	rest    time.Time // no look before
	seen    bool      // to run
	told    bool      // the user, that it waits
	looking bool      // now
	ends    *Entry    // once its job is cancelled
	why     string    // in the engine's words
}

func newState(r site.Roster) state {
	s := state{
		byName: map[string]*node{}, sessions: r.Sessions, attempts: r.Attempts,
		records: map[string]*node{}, flight: map[*attempt]bool{}, count: map[site.State]int{},
	}
	for _, n := range r.Nodes {
		of := &node{Node: n, now: site.Waiting}
		s.nodes, s.byName[n.Name] = append(s.nodes, of), of
	}
	s.count[site.Waiting] = len(s.nodes)
	return s
}

// apply takes in one entry of the journal.
func (s *state) apply(e Entry) error {
	n := s.byName[e.Node]
	if n == nil {
		return fmt.Errorf("node %.100q is not in the roster", e.Node)
	}
	var a *attempt
	switch e.Event {
	case Absence, Presence, ClockRead:
	default:
		if e.Attempt < 1 || e.Attempt > mostNumber {
			return fmt.Errorf("attempt %d of node %s", e.Attempt, n.Name)
		}
		a = n.attempt(e.Attempt)
	}
	switch e.Event {
	case Submitting:
		a.Start, a.Job, a.at, a.many, a.leader = e.Time, "", e.At, e.Together, e.Leader
		n.absent, n.more = "", ""
		s.flight[a] = true
	case Submitted:
		a.Job = e.Job
	case Unsent:
		n.attempts = slices.DeleteFunc(n.attempts, func(b *attempt) bool { return b == a })
		delete(s.flight, a)
	case Began:
		a.began = e.Time
	case Record:
		if !slices.Contains(a.Records, e.ID) { // a copy of its file is no other record
			a.Records = append(a.Records, e.ID)
		}
		a.found[e.Session], s.records[e.ID] = e.ID, n
		a.files[e.File] = true
		if a.Start.IsZero() { // it came by hand
			a.Start = e.Time
		}
		if len(a.found) == s.sessions {
			a.End, a.Reason, a.over, a.counts = e.Time, "", true, true
			delete(s.flight, a)
		}
	case Refuse:
		a.refused = append(a.refused, e)
		a.Aside = e.Aside
		a.files[e.File] = true
		if a.Start.IsZero() { // it came by hand, and decides where nothing else does
			a.Start, a.over, a.kind, a.Reason = e.Time, true, site.Refused, e.Reason
			a.counts, a.last = len(n.attempts) == 1, true
		}
	case Over:
		a.Job = cmp.Or(e.Job, a.Job)
		a.End, a.Reason, a.more, a.kind, a.last = e.Time, e.Reason, e.More, e.State, e.Last
		a.over, a.counts = true, e.State != site.Waiting
		delete(s.flight, a)
	case Noted:
		a.Note = e.Reason
	case Beside:
		a.beside = e.Reason
	case Absence:
		n.absent, n.more = e.Reason, e.More
	case Presence:
		n.absent, n.more = "", ""
	case ClockRead:
		n.clock = e.Clock
	default:
		return fmt.Errorf("%.40q is no event of this version", e.Event)
	}
	s.count[n.now]--
	n.now = s.stateOf(n)
	s.count[n.now]++
	return nil
}

// mostNumber bounds the numbers of attempts, those included that did not count.
const mostNumber = 100_000

// attempt returns the attempt with a number, which it makes if need be.
func (n *node) attempt(number int) *attempt {
	for _, a := range n.attempts {
		if a.Number == number {
			return a
		}
	}
	a := &attempt{node: n, Attempt: site.Attempt{Number: number}, found: map[int]string{}, files: map[string]bool{}}
	n.attempts = append(n.attempts, a)
	return a
}

// stateOf is the state of a node. Its records decide first.
func (s *state) stateOf(n *node) site.State {
	running, flying, left := false, false, s.attempts
	var last *attempt
	for _, a := range n.attempts {
		switch {
		case len(a.found) == s.sessions:
			return site.Done
		case s.flight[a]:
			flying, running = true, running || !a.began.IsZero()
		case a.over && a.counts:
			left--
			last = a
			if a.last {
				left = 0
			}
		}
	}
	switch {
	case running:
		return site.Running
	case flying:
		return site.Waiting
	case left <= 0:
		return last.kind
	case n.absent != "":
		return site.Absent
	}
	return site.Waiting
}

// wants reports whether a node is to be submitted.
func (s *state) wants(n *node) bool {
	if n.now != site.Waiting {
		return false
	}
	for _, a := range n.attempts {
		if s.flight[a] {
			return false
		}
	}
	return true
}

// together reports whether a and b are attempts that were to begin at the same time.
func (a *attempt) together(b *attempt) bool {
	return a.many > 1 && a.many == b.many && a.leader == b.leader && a.at.Equal(b.at) && a.Number == b.Number && a.node.place() == b.node.place()
}

// place is the rack of a node, or its switch where the rack is not known.
func (n *node) place() string { return cmp.Or(n.Rack, n.Switch) }

// next is the number of a node's next attempt.
func (n *node) next() int {
	number := 1
	for _, a := range n.attempts {
		number = max(number, a.Number+1)
	}
	return number
}

// Outcomes is what became of each node so far, in the order of the roster.
func (s *state) Outcomes() []site.Outcome {
	out := make([]site.Outcome, len(s.nodes))
	for i, n := range s.nodes {
		o := site.Outcome{Node: n.Name, State: n.now, Clock: n.clock}
		for _, a := range n.attempts {
			at := a.Attempt
			at.Note = strings.Trim(a.Note+"; "+a.beside, "; ")
			o.Attempts = append(o.Attempts, at)
			if n.now != site.Done && a.over {
				o.Reason, o.More = a.Reason, a.more
			}
		}
		if n.now == site.Absent || n.now == site.Waiting && n.absent != "" {
			o.Reason, o.More = n.absent, n.more
		}
		out[i] = o
	}
	return out
}
