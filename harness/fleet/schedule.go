package fleet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/site"
)

// Options are how a measurement is run.
type Options struct {
	Engine   Engine
	Keep     Keep
	Hosts    []Host        // what Engine.Nodes returned a moment ago; nil asks it
	Window   int           // most jobs in flight
	Period   time.Duration // between two queries
	Patience time.Duration // a job that has not started by then never will
	// Update is called with every change, Say with sentences for the user. Both are
	// called by the goroutine that calls Run.
	Update func(Progress)
	Say    func(string)
}

// Progress is how far a measurement is: the states of all nodes, and the time left, 0
// while no job has ended.
type Progress struct {
	Done, Running, Waiting, Lost int // Lost: failed, refused, lost and absent
	Left                         time.Duration
}

const (
	mostBackoff   = 2 * time.Minute // between two queries to an engine that does not answer
	mostFetches   = 8               // at a time
	mostUnseen    = 2               // answers without a job, after which the engine has forgotten it
	mostLooks     = 2               // at an attempt that ended without its records: a network file system shows them late
	mostRefusals  = 3               // of an engine that never accepted a job: then it is asked no more
	submitTimeout = 2 * time.Minute
	overtime      = 5 * time.Minute // that an engine has to end a job at its limit
)

// ErrLeft means that a measurement was interrupted and its jobs go on.
var ErrLeft = errors.New("interrupted: its jobs go on")

// run is one call of [Fleet.Run].
type run struct {
	*Fleet
	Options
	collect   *collector
	queue     []*node // those that are to be submitted, idle ones first
	queued    map[*node]bool
	looked    chan looked
	looking   int // goroutines
	places    chan struct{}
	failures  int  // of the engine, in a row
	accepted  bool // a job, ever
	refusals  int  // in a row, of an engine that never accepted one
	submitted int
	ended     int     // jobs that were seen to start and gave their records
	took      float64 // s, those together
}

// looked is what a goroutine found at the end of an attempt.
type looked struct {
	a     *attempt
	fetch error
	by    map[*attempt]left
}

// Run submits what is missing, waits for it and collects it, until every node is done,
// failed, refused, lost or absent. It returns how many jobs it submitted. Interrupted by
// ctx it returns [ErrLeft] if jobs are in flight.
func (f *Fleet) Run(ctx context.Context, o Options) (submitted int, err error) {
	r := &run{Fleet: f, Options: o, collect: newCollector(f.roster, &f.state, o.Keep), queued: map[*node]bool{}, looked: make(chan looked), places: make(chan struct{}, mostFetches)}
	look, stop := context.WithCancel(ctx)
	defer func() { err = errors.Join(err, f.journal.file.Sync()) }()
	defer func() { // whoever looks is waited for
		stop()
		for ; r.looking > 0; r.looking-- {
			<-r.looked
		}
	}()
	if err := r.begin(ctx); err != nil {
		return 0, err
	}
	// What was in flight may have ended while nobody watched; what was given up may have
	// sent its record since.
	for _, n := range f.nodes {
		for _, a := range n.attempts {
			if a.over && n.now != site.Done {
				r.look(look, a)
				break // with it all of them
			}
		}
	}
	tick := time.NewTimer(0)
	defer tick.Stop()
	for {
		r.Update(r.progress())
		if len(f.flight) == 0 && r.looking == 0 && len(r.queue) == 0 {
			return r.submitted, nil
		}
		ticked := false
		select {
		case <-ctx.Done():
			if len(f.flight) > 0 {
				return r.submitted, fmt.Errorf("%w: %s in flight", ErrLeft, results.Plural(len(f.flight), "job"))
			}
			return r.submitted, ctx.Err()
		case l := <-r.looked:
			r.looking--
			if err := r.decide(ctx, l); err != nil {
				return r.submitted, err
			}
		case <-tick.C:
			ticked = true
			if len(f.flight) > 0 {
				if err := r.poll(ctx, look); err != nil {
					return r.submitted, err
				}
			}
			tick.Reset(min(r.Period<<min(r.failures, 10), max(r.Period, mostBackoff)))
		}
		// Those that ended in one period are replaced together: one write to the disk.
		if (ticked || r.looking == 0) && r.failures == 0 && ctx.Err() == nil {
			if err := r.submit(ctx); err != nil {
				return r.submitted, err
			}
		}
	}
}

// begin notes which nodes can run something, and which of them are idle.
func (r *run) begin(ctx context.Context) (err error) {
	missing := slices.ContainsFunc(r.nodes, func(n *node) bool { return n.now == site.Waiting || n.now == site.Absent })
	if r.Hosts == nil && missing {
		if r.Hosts, err = r.Engine.Nodes(ctx); err != nil {
			return fmt.Errorf("fleet: list the nodes: %w", err)
		}
	}
	if !missing {
		return nil
	}
	hosts := map[string]*Host{}
	for i := range r.Hosts {
		hosts[r.Hosts[i].Name] = &r.Hosts[i]
	}
	var entries []Entry
	for _, n := range r.nodes {
		h := hosts[n.Name]
		why, more := "", ""
		switch {
		case h == nil:
			why = "the engine does not list it any more"
		default:
			why, more, n.idle = h.Absent, h.More, h.Idle
			if h.Clock != nil && (n.clock == nil || *n.clock != *h.Clock) {
				entries = append(entries, Entry{Event: ClockRead, Node: n.Name, Clock: h.Clock})
			}
		}
		if !r.wants(n) && n.now != site.Absent {
			continue
		}
		if why, more = results.Line(why, mostReason), results.Line(more, mostReason); why == n.absent && more == n.more {
			continue
		}
		e := Entry{Event: Absence, Node: n.Name, Reason: why, More: more}
		if why == "" {
			e.Event = Presence
		}
		entries = append(entries, e)
	}
	if err := r.log(entries...); err != nil {
		return err
	}
	for _, n := range r.nodes {
		if n.idle {
			r.enqueue(n)
		}
	}
	for _, n := range r.nodes {
		r.enqueue(n)
	}
	return nil
}

func (r *run) enqueue(n *node) {
	if r.wants(n) && !r.queued[n] {
		r.queue, r.queued[n] = append(r.queue, n), true
	}
}

// note writes entries to the journal; nodes that they set free wait again.
func (r *run) note(entries ...Entry) error {
	err := r.log(entries...)
	for _, e := range entries {
		r.enqueue(r.byName[e.Node])
	}
	return err
}

// submit fills the window. The intent is on the disk before the engine is asked, so that
// no job is forgotten, however this process ends.
func (r *run) submit(ctx context.Context) error {
	var batch []*attempt
	var entries []Entry
	for len(r.queue) > 0 && len(r.flight)+len(batch) < r.Window {
		group, busy := r.group()
		if busy {
			break
		}
		e := Entry{Event: Submitting}
		if r.roster.Together && len(group) > 1 {
			e.At, e.Together = r.start(), len(group)
		}
		for _, n := range group {
			e.Node, e.Attempt = n.Name, n.next()
			entries, batch = append(entries, e), append(batch, n.attempt(e.Attempt))
		}
	}
	if len(batch) == 0 {
		return nil
	}
	if err := r.log(entries...); err != nil {
		return err
	}
	var unsent []Entry
	var err error
	for _, a := range batch {
		if err == nil && ctx.Err() == nil && r.failures == 0 {
			err = r.submitOne(ctx, a)
			continue
		}
		e := entry(a)
		e.Event = Unsent
		unsent = append(unsent, e)
	}
	return errors.Join(err, r.note(unsent...))
}

// group takes from the queue what is submitted next: a node or, where they are measured
// together, all of its rack that are missing, however many may be in flight. It is busy
// where each rack in the queue still has nodes in flight, whose watts those of another
// attempt would disturb.
func (r *run) group() (group []*node, busy bool) {
	at := 0
	if r.roster.Together {
		racks := map[string]bool{}
		for a := range r.flight {
			racks[a.node.Rack] = true
		}
		if at = slices.IndexFunc(r.queue, func(n *node) bool { return !racks[n.Rack] }); at < 0 {
			return nil, true
		}
	}
	first := r.queue[at]
	take := func(n *node) bool {
		if n != first && !(r.roster.Together && n.Rack == first.Rack) {
			return false
		}
		if delete(r.queued, n); r.wants(n) { // no late record came
			group = append(group, n)
		}
		return true
	}
	if r.roster.Together {
		r.queue = slices.DeleteFunc(r.queue, take)
	} else {
		r.queue = r.queue[1:]
		take(first)
	}
	return group, false
}

// start is when nodes begin to measure that are submitted now, in whole seconds.
func (r *run) start() time.Time {
	return time.Now().UTC().Add(time.Duration(r.roster.Lead*1e9) + time.Second).Truncate(time.Second)
}

// submitOne hands one attempt to the engine.
func (r *run) submitOne(ctx context.Context, a *attempt) error {
	job := r.job(a)
	if err := makeAttemptDir(job.Dir); err != nil {
		return err
	}
	// Ctrl-C does not cut a submission in two.
	patient, cancel := context.WithTimeout(context.WithoutCancel(ctx), submitTimeout)
	id, err := r.Engine.Submit(patient, job)
	cancel()
	var no Refusal
	switch {
	case err == nil && (id == "" || len(id) > mostName || results.Line(id, mostName) != id):
		return fmt.Errorf("fleet: submit node %s: %.200q is no name of a job", a.node.Name, id)
	case err == nil:
		r.submitted++
		r.accepted = true
		return r.write(false, Entry{Event: Submitted, Node: a.node.Name, Attempt: a.Number, Job: id})
	case errors.As(err, &no):
		if err := r.write(false, Entry{Event: Over, Node: a.node.Name, Attempt: a.Number, State: site.Failed, Last: true, Reason: no.Reason}); err != nil {
			return err
		}
		if r.refusals++; !r.accepted && r.refusals >= mostRefusals {
			return fmt.Errorf("fleet: the engine refuses the jobs: %s", results.Line(no.Reason, mostReason))
		}
		return nil
	}
	r.fails(fmt.Sprintf("node %s could not be submitted: %v", a.node.Name, err))
	return nil
}

// fails notes that the engine does not answer.
func (r *run) fails(why string) {
	r.failures++
	wait := min(r.Period<<min(r.failures, 10), max(r.Period, mostBackoff))
	r.Say(fmt.Sprintf("%s: asked again in %v", results.Line(why, mostReason), wait))
}

// poll asks the engine once for all jobs in flight.
func (r *run) poll(ctx, look context.Context) error {
	flight := slices.SortedFunc(maps.Keys(r.flight), compare)
	jobs, err := r.Engine.Jobs(ctx, ids(flight))
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		r.fails(fmt.Sprintf("the engine does not answer: %v", err))
		return nil
	}
	if r.failures > 0 {
		r.failures = 0
		r.Say("the engine answers again")
	}
	lost := r.byPlace(flight, jobs)
	now := time.Now()
	var entries []Entry
	var late []string
	for _, a := range flight {
		name := entry(a)
		if a.Job == "" { // its submission was cut off
			if id := lost[a]; id != "" {
				a.unseen = 0
				name.Event, name.Job = Submitted, id
			} else {
				// No trace of it, in an answer that came after it: it was not submitted.
				name.Event = Unsent
			}
			entries = append(entries, name)
			continue
		}
		if a.looking {
			continue
		}
		s, known := jobs[a.Job]
		switch {
		case !known:
			if a.unseen++; a.unseen >= mostUnseen {
				r.look(look, a)
			}
			continue
		case s.Phase == Ended:
			a.why = s.Reason
			r.look(look, a)
			continue
		}
		a.unseen, a.why = 0, s.Reason
		if s.Phase == Started && a.began.IsZero() {
			name.Event = Began
			entries = append(entries, name)
		}
		switch {
		case s.Phase == Queued && now.Sub(a.Start) > r.Patience:
			name.Event, name.State, name.Last = Over, site.Failed, true
			name.Reason = fmt.Sprintf("it did not start within %v: %s", r.Patience, cmp.Or(s.Reason, "the engine does not say why"))
		case s.Phase == Queued && !a.at.IsZero() && now.After(a.at):
			name.Event, name.State = Over, site.Failed
			name.Reason = fmt.Sprintf("it had not started when the %d nodes of its rack began together: %s", a.many, cmp.Or(s.Reason, "the engine does not say why"))
		case s.Phase == Started && !a.began.IsZero() && now.Sub(a.began) > r.job(a).Limit+overtime:
			name.Event, name.State = Over, site.Failed
			name.Reason = fmt.Sprintf("it did not end within %v", r.job(a).Limit)
		default:
			continue
		}
		entries, late = append(entries, name), append(late, a.Job)
	}
	if len(late) > 0 {
		var but Unconfirmed
		if err := r.Engine.Cancel(ctx, late); errors.As(err, &but) {
			r.Say(results.Line(but.Reason, mostReason)) // they are given up all the same: a node that hangs holds up no other
		} else if err != nil {
			if ctx.Err() == nil {
				r.fails(fmt.Sprintf("%s could not be cancelled: %v", results.Plural(len(late), "job"), err))
			}
			entries = slices.DeleteFunc(entries, func(e Entry) bool { return e.Event == Over && e.State == site.Failed })
		}
	}
	return r.note(entries...)
}

// ids are the engine's names of the jobs that have one.
func ids(flight []*attempt) (ids []string) {
	for _, a := range flight {
		if a.Job != "" {
			ids = append(ids, a.Job)
		}
	}
	return ids
}

func entry(a *attempt) Entry { return Entry{Node: a.node.Name, Attempt: a.Number} }

func compare(a, b *attempt) int {
	return cmp.Or(a.Start.Compare(b.Start), strings.Compare(a.node.Name, b.node.Name), a.Number-b.Number)
}

// byPlace finds the jobs of attempts whose submission was cut off.
func (f *Fleet) byPlace(flight []*attempt, jobs map[string]JobState) map[*attempt]string {
	out := map[*attempt]string{}
	type place struct {
		node    string
		attempt int
	}
	unsure := map[place]*attempt{}
	for _, a := range flight {
		if a.Job == "" {
			unsure[place{a.node.Name, a.Number}] = a
		}
	}
	if len(unsure) == 0 {
		return nil
	}
	for id, s := range jobs {
		if a := unsure[place{s.Node, s.Attempt}]; a != nil {
			out[a] = id
		}
	}
	return out
}

// look fetches and judges what a node left, in a goroutine: what this attempt left, and
// what earlier ones, which were given up, may have sent late.
func (r *run) look(ctx context.Context, a *attempt) {
	if a.looking {
		return
	}
	a.looking = true
	type at struct {
		a     *attempt
		job   Job
		since time.Time
		files map[string]bool
	}
	var todo []at
	for _, b := range a.node.attempts {
		if b == a || b.over && len(b.found) < r.state.sessions {
			todo = append(todo, at{b, r.job(b), b.Start, maps.Clone(b.files)})
		}
	}
	fetch := !a.over
	r.looking++
	go func() {
		out := looked{a: a, by: map[*attempt]left{}}
		r.places <- struct{}{}
		defer func() { <-r.places; r.looked <- out }()
		if ctx.Err() != nil {
			return
		}
		for _, t := range todo {
			if t.a == a && fetch {
				out.fetch = r.Engine.Fetch(ctx, t.job)
			}
			out.by[t.a] = r.collect.look(ctx, t.job, t.since, t.files)
		}
	}()
}

// decide decides about an attempt whose end was seen, by what it left.
func (r *run) decide(ctx context.Context, l looked) error {
	a := l.a
	a.looking = false
	if ctx.Err() != nil {
		return nil
	}
	for of, files := range l.by {
		if err := r.take(of, files.found, files.note); err != nil {
			return err
		}
		if files.unkept != nil {
			return files.unkept
		}
	}
	if len(a.found) == r.state.sessions {
		if !a.began.IsZero() {
			r.ended, r.took = r.ended+1, r.took+a.End.Sub(a.began).Seconds()
		}
		return nil
	}
	if a.over { // it was given up before
		return nil
	}
	if a.looks++; a.looks < mostLooks {
		return nil // the next answer of the engine has it looked at again
	}
	return r.note(r.verdict(ctx, a, l))
}

// verdict says why an attempt has no record.
func (r *run) verdict(ctx context.Context, a *attempt, l looked) Entry {
	e := entry(a)
	e.Event, e.State = Over, site.Failed
	e.Reason, e.More = r.Engine.Explain(ctx, r.job(a))
	if a.unseen >= mostUnseen {
		e.State = site.Lost
	}
	if e.Reason == "" {
		switch e.Reason = a.why; {
		case e.State == site.Lost:
			e.Reason = "the engine no longer knows its job"
		case e.Reason == "":
			e.Reason = "it ended without a record"
		}
	}
	also := func(format string, args ...any) { e.Reason += "; " + fmt.Sprintf(format, args...) }
	if n := len(a.found); n > 0 {
		also("%d of %d records came", n, r.state.sessions)
	}
	if l.fetch != nil {
		also("what it left could not be brought here: %v", l.fetch)
	}
	if err := l.by[a].err; err != nil {
		also("what it left cannot be read: %v", err)
	}
	if p := l.by[a].partial; p != "" {
		also("its session was cut off: what it had measured is in %s", p)
	}
	for _, no := range a.refused {
		if no.State == site.Failed { // its own, and not finished
			also("%s", no.Reason)
			continue
		}
		e.State, e.Reason = site.Refused, "its record is refused: "+no.Reason
		e.More = "perwatt verify " + results.Command(r.path(no.Aside))
	}
	return e
}

func (r *run) progress() Progress {
	p := Progress{
		Done: r.count[site.Done], Running: r.count[site.Running], Waiting: r.count[site.Waiting],
		Lost: r.count[site.Failed] + r.count[site.Refused] + r.count[site.Lost] + r.count[site.Absent],
	}
	if r.ended > 0 && p.Running+p.Waiting > 0 {
		// Those that run end within the time that the others took on average; those that
		// wait take their places, one after the other.
		turns := 1 + float64(p.Waiting)/float64(max(1, p.Running))
		p.Left = time.Duration(turns * r.took / float64(r.ended) * 1e9)
	}
	return p
}

// Cancel ends the jobs in flight and returns how many there were. They do not count as
// attempts, so that the measurement can be resumed.
func (f *Fleet) Cancel(ctx context.Context, e Engine) (int, error) {
	if len(f.flight) == 0 {
		return 0, nil
	}
	flight := slices.SortedFunc(maps.Keys(f.flight), compare)
	jobs, err := e.Jobs(ctx, ids(flight))
	if err != nil {
		return 0, fmt.Errorf("fleet: ask the engine for the jobs in flight: %w", err)
	}
	var entries []Entry
	var names []string
	lost := f.byPlace(flight, jobs)
	for _, a := range flight {
		x := entry(a)
		if name := cmp.Or(a.Job, lost[a]); name != "" {
			x.Event, x.Job, x.State, x.Reason = Over, name, site.Waiting, "cancelled"
			names = append(names, name)
		} else {
			x.Event = Unsent
		}
		entries = append(entries, x)
	}
	if len(names) > 0 {
		if err = e.Cancel(ctx, names); err != nil {
			err = fmt.Errorf("fleet: cancel %s: %w", results.Plural(len(names), "job"), err)
			if but := (Unconfirmed{}); !errors.As(err, &but) {
				return 0, err
			}
		}
	}
	return len(names), errors.Join(err, f.log(entries...))
}
