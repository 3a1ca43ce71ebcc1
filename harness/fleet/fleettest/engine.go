// Package fleettest holds an engine of simulated nodes, and the conformance suite of
// engines. The engine keeps time by the clock of its test, so that in a bubble of
// testing/synctest 10,000 nodes take no time at all.
package fleettest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/perwatt/perwatt/harness/fleet"
	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/site"
)

// Job is what becomes of one attempt on a simulated node. The zero value starts at once,
// takes no time and leaves an honest record.
type Job struct {
	Queued time.Duration // before it starts
	Takes  time.Duration // from its start to its end
	Never  bool          // it does not start
	Hangs  bool          // it does not end
	Fails  string        // it ends without a record, and the engine says this
	Gone   bool          // the engine forgets it at its end
	Late   time.Duration // by which the record comes after the end
	Clock  time.Duration // by which the node's clock is ahead
	Refuse string        // Submit refuses it, and says this
	Lost   bool          // Submit takes it and answers with an error
	Again  bool          // it ends before it did anything, and does not count
	Sends  error         // of Fetch, which writes a file refused.tar with it
	Away   time.Duration // after its end, for which the node does not answer to Fetch
	Deaf   time.Duration // until Cancel gives up that the node answers
	Slow   time.Duration // that Explain takes
	// Write writes to the attempt's directory; nil writes the honest record, which it
	// gets.
	Write func(job fleet.Job, rec *results.Record) error
}

// Engine runs jobs on nodes that do not exist. Its fields are set before its first use.
type Engine struct {
	Hosts []fleet.Host
	Does  func(node string, attempt int) Job // nil is the zero Job for all
	Down  func(time.Time) bool               // it does not answer; nil always does
	Limit int                                // most jobs at a time that it takes; 0 for any number

	mu      sync.Mutex
	jobs    map[string]*running
	more    map[string][]*running // those that have one job with the first
	live    []*running            // those that had not ended at the last Submit
	number  int
	submits map[string]int
	Queries int // calls of Jobs
	Most    int // jobs in flight at a time
	Fetched int
}

// Allocating is the engine as one that starts several nodes at a time by itself.
type Allocating struct{ *Engine }

var _ fleet.Allocator = Allocating{}

// Allocate implements fleet.Allocator: the job does not start while a node does not, and
// ends with the last of them.
func (e Allocating) Allocate(ctx context.Context, jobs []fleet.Job, lead time.Duration) (string, error) {
	id, err := e.Submit(ctx, jobs[0])
	if id == "" {
		return id, err
	}
	first := e.jobs[id]
	if e.more == nil {
		e.more = map[string][]*running{}
	}
	for _, job := range jobs[1:] {
		job.ID = id
		r := &running{Job: job}
		if e.Does != nil {
			r.does = e.Does(job.Node.Name, job.Attempt)
		}
		e.submits[job.Node.Name]++
		first.does.Never = first.does.Never || r.does.Never
		first.began = later(first.began, time.Now().Add(r.does.Queued))
		first.end = later(first.end, first.began.Add(lead+r.does.Takes))
		e.more[id] = append(e.more[id], r)
	}
	for _, r := range e.more[id] {
		r.began, r.end = first.began, first.end
	}
	return id, err
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

type running struct {
	fleet.Job
	does       Job
	began, end time.Time // will
	cancelled  bool
	written    bool
}

// New is an engine with n idle nodes: n00001, n00002 …, ten a rack.
func New(n int, does func(node string, attempt int) Job) *Engine {
	e := &Engine{Does: does}
	for i := range n {
		e.Hosts = append(e.Hosts, fleet.Host{Idle: true, Node: site.Node{Name: fmt.Sprintf("n%05d", i+1), Rack: fmt.Sprintf("r%04d", i/10+1)}})
	}
	return e
}

// Roster is one that expects every node of the engine, two attempts and one record each.
func (e *Engine) Roster(name string) site.Roster {
	r := site.Roster{Version: site.RosterVersion, Name: name, Start: time.Now().UTC(), Engine: "fleettest", Args: []string{"--uses", "mining"}, Sessions: 1, Attempts: 2, Limit: 600}
	for _, h := range e.Hosts {
		r.Nodes = append(r.Nodes, h.Node)
	}
	return r
}

// Submits is how often each node was submitted to.
func (e *Engine) Submits() map[string]int { return e.submits }

var errDown = errors.New("unable to contact the controller")

func (e *Engine) answers() error {
	if e.Down != nil && e.Down(time.Now()) {
		return errDown
	}
	return nil
}

// Nodes implements fleet.Engine.
func (e *Engine) Nodes(context.Context) ([]fleet.Host, error) {
	return slices.Clone(e.Hosts), e.answers()
}

// Submit implements fleet.Engine.
func (e *Engine) Submit(_ context.Context, job fleet.Job) (string, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.answers(); err != nil {
		return "", err
	}
	var does Job
	if e.Does != nil {
		does = e.Does(job.Node.Name, job.Attempt)
	}
	if does.Refuse != "" {
		return "", fleet.Refusal{Reason: does.Refuse}
	}
	if e.jobs == nil {
		e.jobs, e.submits = map[string]*running{}, map[string]int{}
	}
	e.live = slices.DeleteFunc(e.live, func(r *running) bool {
		phase, _ := r.phase(time.Now())
		return phase == fleet.Ended
	})
	if e.Limit > 0 && len(e.live) >= e.Limit {
		return "", errors.New("job limit reached")
	}
	e.number++
	job.ID = strconv.Itoa(e.number)
	r := &running{Job: job, does: does, began: time.Now().Add(does.Queued)}
	r.end = r.began.Add(does.Takes)
	e.jobs[job.ID] = r
	e.submits[job.Node.Name]++
	e.live = append(e.live, r)
	e.Most = max(e.Most, len(e.live))
	if does.Lost {
		return "", errors.New("timed out")
	}
	return job.ID, nil
}

func (r *running) phase(now time.Time) (p fleet.Phase, gone bool) {
	switch {
	case r.cancelled:
		return fleet.Ended, false
	case r.does.Never || now.Before(r.began):
		return fleet.Queued, false
	case r.does.Hangs || now.Before(r.end):
		return fleet.Started, false
	}
	return fleet.Ended, r.does.Gone
}

// Jobs implements fleet.Engine.
func (e *Engine) Jobs(context.Context, []string) (map[string]fleet.JobState, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.Queries++
	if err := e.answers(); err != nil {
		return nil, err
	}
	out := map[string]fleet.JobState{}
	for id, r := range e.jobs {
		if r.does.Late > 0 { // nobody fetches what is given up
			if err := r.write(time.Now()); err != nil {
				return nil, err
			}
		}
		phase, gone := r.phase(time.Now())
		if gone {
			continue
		}
		s := fleet.JobState{Phase: phase, Node: r.Node.Name, Attempt: r.Attempt, Again: r.does.Again}
		switch {
		case phase == fleet.Queued:
			s.Reason = "Resources"
		case phase == fleet.Ended:
			s.Reason = r.does.Fails
		}
		out[id] = s
	}
	return out, nil
}

// Cancel implements fleet.Engine.
func (e *Engine) Cancel(ctx context.Context, ids []string) error {
	deaf, unsure, err := e.cancel(ids)
	if deaf == 0 {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(deaf):
		return fleet.Unconfirmed{Jobs: unsure, Reason: "jobs may go on where no node answered"}
	}
}

func (e *Engine) cancel(ids []string) (deaf time.Duration, unsure []string, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, id := range ids {
		if r := e.jobs[id]; r != nil {
			if phase, _ := r.phase(time.Now()); phase != fleet.Ended {
				r.cancelled = r.does.Deaf == 0
				if deaf = max(deaf, r.does.Deaf); !r.cancelled {
					unsure = append(unsure, id)
				}
			}
		}
	}
	return deaf, unsure, e.answers()
}

// Fetch implements fleet.Engine: it writes what the node would have written by now.
func (e *Engine) Fetch(_ context.Context, job fleet.Job) error {
	e.mu.Lock()
	e.Fetched++
	r := e.jobs[job.ID]
	for _, other := range e.more[job.ID] {
		if other.Node.Name == job.Node.Name {
			r = other
		}
	}
	e.mu.Unlock()
	if r == nil {
		return nil
	}
	if r.does.Away > 0 && time.Now().Before(r.end.Add(r.does.Away)) {
		time.Sleep(5 * time.Second)
		return fmt.Errorf("fetch from %s: %w", r.Node.Name, fleet.ErrAway)
	}
	if r.does.Sends != nil {
		return errors.Join(r.does.Sends, os.WriteFile(filepath.Join(job.Dir, "refused.tar"), []byte(r.does.Sends.Error()), 0o600))
	}
	return r.write(time.Now())
}

// Settle has all nodes write what they will, as if much time went by.
func (e *Engine) Settle() error {
	for _, r := range e.jobs {
		if err := r.write(time.Now().Add(1000 * time.Hour)); err != nil {
			return err
		}
	}
	return nil
}

func (r *running) write(now time.Time) error {
	if phase, _ := r.phase(now); phase != fleet.Ended || r.written || r.cancelled || r.does.Fails != "" && r.does.Late == 0 || now.Before(r.end.Add(r.does.Late)) {
		return nil
	}
	r.written = true
	rec := Record(r.Job, r.began.Add(r.does.Clock), r.end.Add(r.does.Clock))
	if r.does.Write != nil {
		return r.does.Write(r.Job, rec)
	}
	_, err := Write(r.Dir, rec)
	return err
}

// Explain implements fleet.Engine.
func (e *Engine) Explain(_ context.Context, job fleet.Job) (reason, more string) {
	e.mu.Lock()
	r := e.jobs[job.ID]
	e.mu.Unlock()
	if r != nil {
		time.Sleep(r.does.Slow)
		reason = r.does.Fails
	}
	return cmp.Or(reason, "no record"), "sacct -j " + job.ID
}

// Write seals a record into a directory, as a store does, and returns its path.
func Write(dir string, rec *results.Record) (string, error) {
	raw, err := results.Seal(rec)
	if err != nil {
		return "", err
	}
	month := filepath.Join(dir, rec.Start.UTC().Format("2006-01"))
	if err := os.MkdirAll(month, 0o755); err != nil { // #nosec G301 -- of a test
		return "", err
	}
	path := filepath.Join(month, rec.ID+".json")
	return path, os.WriteFile(path, raw, 0o644) // #nosec G306 -- of a test
}
