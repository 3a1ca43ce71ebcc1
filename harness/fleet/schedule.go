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
	Store    Store
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
// where it is not known. It never rises.
type Progress struct {
	Done, Running, Waiting, Lost int // Lost: failed, refused, lost and absent
	Left                         time.Duration
}

const (
	mostBackoff   = 2 * time.Minute // between two queries to an engine that does not answer
	mostJudged    = 8               // attempts at a time
	mostUnseen    = 2               // answers without a job, after which the engine has forgotten it
	mostLooks     = 2               // at an attempt that ended without its records: a network file system shows them late
	mostRefusals  = 3               // of an engine that never accepted a job: then it is asked no more
	submitTimeout = 2 * time.Minute
	overtime      = 5 * time.Minute // that an engine has to end a job at its limit, and a node to answer after the end
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
	cancelled chan cancelled
	working   int // goroutines that look or cancel
	places    chan *results.Reader
	failures  int       // of the engine, in a row
	busy      int       // submissions in a row that the engine did not take, though it may later
	most      int       // jobs that are submitted next, after it took one no more; 0 for all
	retry     time.Time // no submission before
	accepted  bool      // a job, ever
	refusals  int       // in a row, of an engine that never accepted one
	submitted int
	pace      pace
}

// pace is what the time left is estimated by: the least time a record, from the first
// start on, at any of the ends so far. An estimate by how long jobs take would rise again
// and again while jobs that count as running wait for one another.
type pace struct {
	origin time.Time // the first start of a job that was seen to run
	first  time.Time // the first end of one
	ended  int
	each   time.Duration
}

// begin sets the origin, and counts what ended since then while another process watched.
func (p *pace) begin(flight []*attempt, nodes []*node) {
	for _, a := range flight {
		if a.seen && (p.origin.IsZero() || a.began.Before(p.origin)) {
			p.origin = a.began
		}
	}
	var ends []time.Time
	for _, n := range nodes {
		for _, a := range n.attempts {
			if a.over && a.kind == "" && !a.began.Before(p.origin) {
				ends = append(ends, a.End)
			}
		}
	}
	slices.SortFunc(ends, time.Time.Compare)
	for _, end := range ends {
		p.end(end)
	}
}

func (p *pace) end(now time.Time) {
	if p.ended++; p.ended == 1 {
		p.first = now
	}
	if each := now.Sub(p.origin) / time.Duration(p.ended); p.ended == 1 || each < p.each {
		p.each = each
	}
}

// left is the time until all have ended. It never rises: the records that are expected
// are never more, the time for each is never longer, and the clock runs. It is 0 while the
// ends are too few to tell how many nodes measure at the same time, and when the time is up.
func (p *pace) left(now time.Time, running, waiting int) time.Duration {
	if p.ended == 0 || running+waiting == 0 || p.ended < running && now.Sub(p.first) < p.first.Sub(p.origin)/4 {
		return 0
	}
	return max(0, time.Duration(p.ended+running+waiting)*p.each-now.Sub(p.origin))
}

// looked is what a goroutine found at the end of an attempt.
type looked struct {
	a            *attempt
	fetch        error
	last         bool   // no other look is worth it
	reason, more string // why a record is missing, by the engine; of the last look
	by           map[*attempt]left
}

// cancelled is how a call of [Engine.Cancel] for some attempts ended.
type cancelled struct {
	as  []*attempt
	err error
}

// Run submits what is missing, waits for it and collects it, until every node is done,
// failed, refused, lost or absent. It returns how many jobs it submitted. Interrupted by
// ctx it returns [ErrLeft] if jobs are in flight.
func (f *Fleet) Run(ctx context.Context, o Options) (submitted int, err error) {
	r := &run{Fleet: f, Options: o, collect: newCollector(f.roster, &f.state, o.Store), queued: map[*node]bool{}, looked: make(chan looked), cancelled: make(chan cancelled), places: make(chan *results.Reader, mostJudged)}
	for range mostJudged {
		r.places <- reader()
	}
	look, stop := context.WithCancel(ctx)
	defer func() { err = errors.Join(err, f.journal.file.Sync()) }()
	defer func() { // whoever looks or cancels is waited for
		stop()
		for ; r.working > 0; r.working-- {
			select {
			case <-r.looked:
			case <-r.cancelled:
			}
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
		if len(f.flight) == 0 && r.working == 0 && len(r.queue) == 0 {
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
			r.working--
			if err := r.decide(ctx, l); err != nil {
				return r.submitted, err
			}
		case c := <-r.cancelled:
			r.working--
			if err := r.giveUp(ctx, c); err != nil {
				return r.submitted, err
			}
		case <-tick.C:
			ticked = true
			if len(f.flight) > 0 {
				if err := r.poll(ctx, look); err != nil {
					return r.submitted, err
				}
			}
			tick.Reset(r.backoff(r.failures))
		}
		// Those that ended in one period are replaced together: one write to the disk.
		if (ticked || r.working == 0) && r.failures == 0 && ctx.Err() == nil {
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
// Those that were to measure with one that is over are told.
func (r *run) note(entries ...Entry) error {
	if err := r.log(entries...); err != nil {
		return err
	}
	var beside []Entry
	for _, e := range entries {
		n := r.byName[e.Node]
		r.enqueue(n)
		if e.Event == Over {
			r.retry = time.Time{} // there may be room for another
		}
		if e.Event == Over && e.State != site.Waiting {
			beside = append(beside, r.besides(n.attempt(e.Attempt))...)
		}
	}
	return r.log(beside...)
}

// submit fills the window. The intent is on the disk before the engine is asked, so that
// no job is forgotten, however this process ends.
func (r *run) submit(ctx context.Context) error {
	if time.Now().Before(r.retry) {
		return nil
	}
	var batch [][]*attempt // by job
	var entries []Entry
	_, allocates := r.Engine.(Allocator)
	for len(r.queue) > 0 && len(r.flight)+len(entries) < r.Window {
		if r.most > 0 && len(batch) >= r.most { // each leaves lines in the journal, submitted or not
			break
		}
		group, busy := r.group()
		if busy {
			break
		}
		e, as := Entry{Event: Submitting}, []*attempt(nil)
		for _, n := range group {
			e.Attempt = max(e.Attempt, n.next())
		}
		switch {
		case len(group) < 2:
		case allocates:
			e.Leader, e.Together = group[0].Name, len(group)
		default:
			e.At, e.Together = r.start(), len(group)
		}
		for _, n := range group {
			e.Node = n.Name
			entries, as = append(entries, e), append(as, n.attempt(e.Attempt))
		}
		if e.Leader != "" {
			batch = append(batch, as)
			continue
		}
		for a := range slices.Chunk(as, 1) {
			batch = append(batch, a)
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
	for _, as := range batch {
		if err == nil && ctx.Err() == nil && !time.Now().Before(r.retry) {
			err = r.submitOne(ctx, as)
			continue
		}
		unsent = append(unsent, said(as, Entry{Event: Unsent})...)
	}
	if r.busy == 0 {
		r.most = min(2*r.most, r.Window)
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
			racks[a.node.place()] = true
		}
		if at = slices.IndexFunc(r.queue, func(n *node) bool { return !racks[n.place()] }); at < 0 {
			return nil, true
		}
	}
	first := r.queue[at]
	take := func(n *node) bool {
		if n != first && !(r.roster.Together && n.place() == first.place()) {
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

// submitOne hands one job to the engine: of one attempt, or of several of an [Allocator].
func (r *run) submitOne(ctx context.Context, as []*attempt) error {
	var jobs []Job
	for _, a := range as {
		job := r.job(a)
		if err := makeAttemptDir(job.Dir); err != nil {
			return err
		}
		jobs = append(jobs, job)
	}
	// Ctrl-C does not cut a submission in two.
	patient, cancel := context.WithTimeout(context.WithoutCancel(ctx), submitTimeout)
	defer cancel()
	var id string
	var err error
	if as[0].leader == "" {
		id, err = r.Engine.Submit(patient, jobs[0])
	} else {
		id, err = r.Engine.(Allocator).Allocate(patient, jobs, time.Duration(r.roster.Lead*1e9))
	}
	var no Refusal
	switch {
	case err == nil && (id == "" || len(id) > mostName || results.Line(id, mostName) != id):
		return fmt.Errorf("fleet: submit node %s: %.200q is no name of a job", as[0].node.Name, id)
	case err == nil:
		r.submitted += len(as)
		r.accepted, r.busy = true, 0
		return r.write(false, said(as, Entry{Event: Submitted, Job: id})...)
	case errors.As(err, &no):
		if err := r.write(false, said(as, Entry{Event: Over, State: site.Failed, Last: true, Reason: no.Reason})...); err != nil {
			return err
		}
		if r.refusals++; !r.accepted && r.refusals >= mostRefusals {
			return fmt.Errorf("fleet: the engine refuses the jobs: %s", results.Line(no.Reason, mostReason))
		}
		return nil
	}
	// It may answer all else: a user has as many jobs as may be submitted.
	r.busy++
	r.most = 1
	wait := r.backoff(r.busy)
	r.retry = time.Now().Add(wait)
	r.Say(results.Line(fmt.Sprintf("node %s could not be submitted: %v", as[0].node.Name, err), mostReason) + fmt.Sprintf(": tried again in %v, or when a job ends", wait))
	return nil
}

// backoff is the time until the engine is asked again after failures in a row.
func (r *run) backoff(failures int) time.Duration {
	return min(r.Period<<min(failures, 10), max(r.Period, mostBackoff))
}

// fails notes that the engine does not answer.
func (r *run) fails(why string) {
	r.failures++
	r.Say(fmt.Sprintf("%s: asked again in %v", results.Line(why, mostReason), r.backoff(r.failures)))
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
	var late, stuck []*attempt // that are given up
	running := false
	for _, a := range flight {
		name := entry(a)
		if a.Job == "" { // its submission was cut off
			if id := lost[a]; id != "" {
				a.unseen = 0
				name.Event, name.Job = Submitted, id
			} else if a.unseen++; a.unseen < mostUnseen {
				continue
			} else {
				// No trace of it, in answers that came after it: it was not submitted.
				name.Event = Unsent
			}
			entries = append(entries, name)
			continue
		}
		if a.looking || now.Before(a.rest) {
			continue
		}
		s, known := jobs[a.Job]
		if a.ends != nil { // another node of the same call may hang
			if known && s.Phase == Ended {
				entries, a.ends = append(entries, *a.ends), nil
			}
			continue
		}
		switch {
		case !known:
			if a.unseen++; a.unseen >= mostUnseen {
				r.look(look, a)
			}
			continue
		case s.Phase == Ended && s.Again:
			name.Event, name.State, name.Reason = Over, site.Waiting, s.Reason
			entries = append(entries, name)
			continue
		case s.Phase == Ended:
			a.why = s.Reason
			r.look(look, a)
			continue
		}
		a.unseen, a.why = 0, s.Reason
		if s.Phase == Started {
			if a.began.IsZero() {
				name.Event = Began
				entries = append(entries, name)
			}
			a.seen, running = true, true
		}
		if s.Phase == Queued && a.leader == a.node.Name && !a.told && s.Reason != "" && now.Sub(a.Start) > rackWait {
			a.told = true
			r.Say(fmt.Sprintf("%s wait until they can begin together: %s", a.group(), results.Line(s.Reason, mostReason)))
		}
		switch {
		case s.Phase == Queued && now.Sub(a.Start) > r.Patience && a.leader != "":
			a.why = cmp.Or(s.Reason, "the engine does not say why")
			stuck = append(stuck, a)
			continue
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
		a.ends, late = &name, append(late, a)
	}
	if len(stuck) > 0 {
		absences, err := r.without(ctx, stuck)
		if err != nil {
			r.fails(fmt.Sprintf("the engine does not list its nodes: %v", err))
		} else {
			entries, late = append(entries, absences...), append(late, stuck...)
		}
	}
	r.cancel(look, late)
	if err := r.note(entries...); err != nil {
		return err
	}
	if running && r.pace.origin.IsZero() {
		r.pace.begin(flight, r.nodes)
	}
	return nil
}

// cancel ends the jobs of attempts that are given up, in a goroutine: a node that hangs
// holds up no other.
func (r *run) cancel(ctx context.Context, late []*attempt) {
	if len(late) == 0 {
		return
	}
	names := jobsOf(late)
	r.working++
	go func() { r.cancelled <- cancelled{late, r.Engine.Cancel(ctx, names)} }()
}

// giveUp notes the end of attempts whose jobs were cancelled.
func (r *run) giveUp(ctx context.Context, c cancelled) error {
	but := Unconfirmed{}
	unsure := errors.As(c.err, &but)
	switch {
	case ctx.Err() != nil:
		return nil
	case unsure: // they are given up all the same
		r.Say(results.Line(but.Reason, mostReason))
	case c.err != nil:
		r.fails(fmt.Sprintf("%s could not be cancelled: %v", results.Plural(len(c.as), "job"), c.err))
	}
	var entries []Entry
	for _, a := range c.as {
		if a.ends != nil && (c.err == nil || unsure) {
			entries = append(entries, *a.ends)
		}
		a.ends = nil
	}
	return r.note(entries...)
}

// rackWait is how long nodes wait for one another before the user is told.
const rackWait = time.Minute

// without decides about nodes that did not begin together in time. Those that the engine
// says can run nothing are absent, and the others begin without them: the watts of a rack
// have a meaning with all of its nodes only, so that it was waited for them, but the rack is
// not lost for one of them. Where the engine lists all as present, they are too busy. It
// returns the absences, and sets how the attempts end.
func (r *run) without(ctx context.Context, stuck []*attempt) (entries []Entry, err error) {
	hosts, err := r.Engine.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	absent := map[string]Host{}
	for _, h := range hosts {
		if h.Absent != "" {
			absent[h.Name] = h
		}
	}
	for _, a := range stuck {
		var names []string
		for _, b := range stuck {
			if a.together(b) && absent[b.node.Name].Absent != "" {
				names = append(names, b.node.Name)
			}
		}
		e := entry(a)
		e.Event, e.State, e.Last = Over, site.Failed, true
		e.Reason = fmt.Sprintf("%s did not begin together within %v: %s", a.group(), r.Patience, a.why)
		if len(names) > 0 {
			e.State, e.Last = site.Waiting, false
			if a.leader == a.node.Name {
				r.Say(fmt.Sprintf("%s: measured without %s", results.Line(e.Reason, mostReason), few(names)))
			}
		}
		a.ends = &e
		if h := absent[a.node.Name]; h.Absent != "" {
			entries = append(entries, Entry{Event: Absence, Node: h.Name, Reason: h.Absent, More: h.More})
		}
	}
	return entries, nil
}

// group names the nodes that begin together with an attempt.
func (a *attempt) group() string {
	if at := a.node.place(); at != "" {
		return fmt.Sprintf("the %d nodes of %s", a.many, results.Line(at, 100))
	}
	return fmt.Sprintf("the %d nodes", a.many)
}

// few names some and counts the others.
func few(names []string) string {
	if len(names) > 5 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:4], ", "), len(names)-4)
	}
	return strings.Join(names, ", ")
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

// jobsOf are the ids of attempts, each once: nodes that begin together have one job.
func jobsOf(as []*attempt) []string {
	names := ids(as)
	slices.Sort(names)
	return slices.Compact(names)
}

func entry(a *attempt) Entry { return Entry{Node: a.node.Name, Attempt: a.Number} }

// said are the entries of several attempts that say the same.
func said(as []*attempt, e Entry) (all []Entry) {
	for _, a := range as {
		e.Node, e.Attempt = a.node.Name, a.Number
		all = append(all, e)
	}
	return all
}

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
	unsure := map[place][]*attempt{}
	for _, a := range flight {
		if a.Job == "" {
			at := place{cmp.Or(a.leader, a.node.Name), a.Number}
			unsure[at] = append(unsure[at], a)
		}
	}
	if len(unsure) == 0 {
		return nil
	}
	for id, s := range jobs {
		for _, a := range unsure[place{s.Node, s.Attempt}] {
			out[a] = id
		}
	}
	return out
}

// look fetches and judges what a node left, in a goroutine: what this attempt left, and
// what earlier ones, which were given up, left late or while the node did not answer.
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
		found map[int]string
		over  bool
		fetch bool // a job left it, and it was not refused before
		looks int
		away  time.Time
	}
	var todo []at
	for _, b := range a.node.attempts {
		if b == a || b.over && len(b.found) < r.state.sessions {
			todo = append(todo, at{b, r.job(b), b.Start, maps.Clone(b.files), maps.Clone(b.found), b.over, b.Job != "" && b.kind != site.Refused, b.looks, b.away})
		}
	}
	r.working++
	go func() {
		out := looked{a: a, by: map[*attempt]left{}}
		defer func() { r.looked <- out }()
		for _, t := range todo {
			if ctx.Err() != nil {
				return
			}
			var sent error
			if t.fetch { // it waits for a node, in a bound of the engine's
				sent = r.Engine.Fetch(ctx, t.job)
			}
			in := <-r.places
			files := r.collect.look(ctx, in, t.job, t.since, t.files)
			r.places <- in
			files.settle(r.Store)
			no := Refusal{}
			refused := errors.As(sent, &no)
			if refused {
				files.found = append(files.found, finding{file: no.File, err: no, sent: true})
				sent = nil
			}
			if out.by[t.a] = files; t.a != a || t.over {
				continue
			}
			away := errors.Is(sent, ErrAway)
			out.fetch, out.last = sent, refused || !away && t.looks+1 >= mostLooks || away && !t.away.IsZero() && time.Since(t.away) > overtime
			if out.last && !files.complete(t.found, r.state.sessions) {
				out.reason, out.more = r.Engine.Explain(ctx, t.job)
			}
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
		r.retry = time.Time{}
		if a.seen {
			r.pace.end(time.Now())
		}
		return nil
	}
	if a.over { // it was given up before
		return nil
	}
	switch now := time.Now(); { // the next answer of the engine has it looked at again
	case l.last:
		return r.note(r.verdict(a, l))
	case errors.Is(l.fetch, ErrAway):
		if a.away.IsZero() {
			a.away = now
		}
		a.rest = now.Add(max(r.Period, now.Sub(a.away)/2))
	default:
		a.away = time.Time{}
		a.looks++
	}
	return nil
}

// besides notes which of the nodes that were to measure at the same time left no record,
// with the attempts of the others: the watts of the rack are theirs alone.
func (r *run) besides(a *attempt) []Entry {
	if a.many < 2 {
		return nil
	}
	var with []*attempt
	var names []string
	for _, n := range r.nodes {
		for _, b := range n.attempts {
			switch {
			case !a.together(b):
			case b.over && len(b.found) < r.state.sessions:
				names = append(names, n.Name)
			default:
				with = append(with, b)
			}
		}
	}
	return said(with, Entry{Event: Beside, Reason: fmt.Sprintf("of %s that were to begin together, without a record: %s", a.group(), few(names))})
}

// verdict says why an attempt has no record.
func (r *run) verdict(a *attempt, l looked) Entry {
	e := entry(a)
	e.Event, e.State, e.Reason, e.More = Over, site.Failed, l.reason, l.more
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
		if e.More = no.More; e.More == "" && no.Aside != "" {
			e.More = "perwatt verify " + results.Command(r.path(no.Aside))
		}
	}
	return e
}

func (r *run) progress() Progress {
	p := Progress{
		Done: r.count[site.Done], Running: r.count[site.Running], Waiting: r.count[site.Waiting],
		Lost: r.count[site.Failed] + r.count[site.Refused] + r.count[site.Lost] + r.count[site.Absent],
	}
	p.Left = r.pace.left(time.Now(), p.Running, p.Waiting)
	return p
}

// Cancel ends the jobs in flight and returns how many there were. They do not count as
// attempts, so that the measurement can be resumed. Those of nodes that do not answer stay
// in flight where the engine names them: Cancel can be called again.
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
	slices.Sort(names)
	names = slices.Compact(names)
	if len(names) > 0 {
		if err = e.Cancel(ctx, names); err != nil {
			err = fmt.Errorf("fleet: cancel %s: %w", results.Plural(len(names), "job"), err)
			but := Unconfirmed{}
			if !errors.As(err, &but) {
				return 0, err
			}
			if len(but.Jobs) > 0 {
				slices.Sort(but.Jobs)
				entries = slices.DeleteFunc(entries, func(x Entry) bool { _, goesOn := slices.BinarySearch(but.Jobs, x.Job); return goesOn })
				err = fmt.Errorf("%w: %s still in flight, which another cancel tries again", err, results.Plural(len(but.Jobs), "job"))
			}
		}
	}
	return len(names), errors.Join(err, f.log(entries...))
}
