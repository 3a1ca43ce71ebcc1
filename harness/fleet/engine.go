// Package fleet measures many nodes by an engine that runs there already, such as Slurm
// or OpenSSH. It submits perwatt run to each node of a frozen set, a bounded number at a
// time, and collects the records. It measures nothing itself, knows no workload, and
// believes records only: what an engine says of a job explains why a record is missing.
package fleet

import (
	"context"
	"errors"
	"time"

	"github.com/perwatt/perwatt/results/site"
)

// Engine runs jobs on nodes. Nodes, Submit and Jobs are called by one goroutine at a time
// and should wait for no single node; Cancel, Fetch and Explain are called beside them and
// each other. An error of Jobs is passed over for a time (a controller may restart); one of
// Submit counts as an attempt only if it is a [Refusal].
type Engine interface {
	// Nodes returns the nodes of the partition or list that was asked for, with what
	// the engine knows of their availability, in a stable order.
	Nodes(context.Context) ([]Host, error)
	// Submit hands over a job and returns the engine's name for it. It does not wait
	// for the job to start.
	Submit(context.Context, Job) (id string, err error)
	// Jobs returns the state of every job of this fleet that the engine still knows,
	// by its name, in as few queries as the engine allows. The names in flight are
	// those that matter: an engine that must ask node by node asks only for them.
	Jobs(ctx context.Context, flight []string) (map[string]JobState, error)
	// Cancel ends jobs, those that wait and those that run. Where some of the nodes do not
	// answer, its error is [Unconfirmed]; Jobs says of the others that they ended meanwhile.
	Cancel(ctx context.Context, ids []string) error
	// Fetch brings what a job wrote to Job.Dir, if it is not there already. Its error is a
	// [Refusal] if the node sent what no job leaves; then none of it is in Job.Dir but
	// Refusal.File. It wraps [ErrAway] if the node does not answer now.
	Fetch(context.Context, Job) error
	// Explain says why a job left no record, and which command would say more. It is
	// called once a missing record.
	Explain(context.Context, Job) (reason, more string)
}

// Allocator is an [Engine] that starts several nodes at one time by itself.
type Allocator interface {
	// Allocate hands over one attempt of each of several nodes, all with the same number,
	// as one job. The job waits until it has all of the nodes and ends when all attempts
	// have; they begin to measure one lead after its start. The id is that of every
	// attempt, and [Engine.Jobs] names the first node with it.
	Allocate(ctx context.Context, jobs []Job, lead time.Duration) (id string, err error)
}

// Host is a node as an engine sees it.
type Host struct {
	site.Node
	Idle   bool        // it could start a job now
	Absent string      // why it can run nothing: "drained: fan (root)"; empty if it can
	More   string      // a command that says more of that
	Clock  *site.Clock // nil where the engine does not measure it
}

// Job is one attempt of one node.
type Job struct {
	Fleet   string // name of the measurement
	Node    site.Node
	Attempt int // 1-based
	// Together is how many nodes begin to measure with this one; 0 if it is alone.
	Together int
	ID       string        // of the engine; empty before Submit
	Args     []string      // of the binary on the node: run, and all that follows, but for the store and, with [Allocator], --at
	Dir      string        // of this attempt on the submitting host; it exists; the store of the binary, and [Log] and [Note]
	Limit    time.Duration // after which the engine may end it
}

// Files that an engine leaves in Job.Dir beside the months of the store. They come from
// the node: whoever reads them bounds what is read and shows no control characters.
const (
	Log  = "log"  // what the binary and the engine printed
	Note = "note" // one line, if the job got only a part of the node: "the job may use 2 of the 4 CPUs"
)

// JobState is what an engine says of a job.
type JobState struct {
	Phase  Phase
	Reason string // in the engine's words: "ReqNodeNotAvail", "NODE_FAIL"
	// Node and Attempt are whose job it is, if the engine keeps that with the job; empty
	// and 0 if not. By them a job is found again whose submission was cut off before its
	// name was known.
	Node    string
	Attempt int
	// Again: it ended before it did anything, for a reason that the next attempt will not
	// meet. It does not count.
	Again bool
}

// Phase is where a job is.
type Phase int

// Phases of a job.
const (
	Queued Phase = iota
	Started
	Ended // it will write no more, as far as the engine knows
)

// Refusal is an error that another try would meet again: of Submit, if the engine does not
// accept the job; of Fetch, if what the node sent is not accepted.
type Refusal struct {
	Reason string
	File   string // of Fetch: what was sent, or its beginning, in Job.Dir; empty if nothing is kept
}

func (r Refusal) Error() string { return r.Reason }

// ErrAway means that a node does not answer, and may later.
var ErrAway = errors.New("the node does not answer")

// Unconfirmed is an error of Cancel that another try would meet again: nodes that run some
// of the jobs do not answer. The jobs may go on; all others are ended.
type Unconfirmed struct {
	Reason string
	Jobs   []string // that may go on; nil if it is not known which
}

func (u Unconfirmed) Error() string { return u.Reason }
