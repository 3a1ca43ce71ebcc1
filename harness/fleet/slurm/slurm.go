// Package slurm measures the nodes of a Slurm cluster: a pinned job of one node for each, or
// one job of all nodes that begin together. Jobs are started by sbatch where the store is on
// a file system that the nodes share, and by salloc and srun where it is not. A job finds
// that out itself, by a file that was written before it was submitted. The package speaks to
// Slurm's own commands, in text with the columns named, since their JSON differs from release
// to release; Debian's 22.05.8 is what its tests run.
//
// It never drains a node, it needs no accounting, and it takes no figure from Slurm.
package slurm

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/perwatt/perwatt/harness/fleet"
	"github.com/perwatt/perwatt/results"
)

// Options say which nodes are asked for and how jobs are submitted.
type Options struct {
	Fleet     string   // name of the measurement; its jobs are named perwatt:NAME
	Dir       string   // that has the directories of the attempts: jobs are told by it from those of another store
	Partition string   // empty for all nodes, and the default partition of jobs
	Nodes     string   // a hostlist as Slurm writes it, "n[1-64,70]"; empty for all
	Options   []string // of sbatch, such as --account=bench; passed through
	Binary    string   // path of perwatt on this host, and on the nodes that see Dir
	Unshared  bool     // no node is taken to see Dir
}

// Engine is a [fleet.Engine] on Slurm.
type Engine struct {
	Options
	completing map[string]time.Time // job → when it was first seen to complete
	token      string               // content of the file that jobs look for, once it is written
	batched    map[string]bool      // jobs that sbatch took
	blind      map[string]bool      // nodes that do not see Dir
	sighted    bool                 // a node was seen that does
	failed     map[string]bool      // jobs that failed → since their nodes do not see Dir
}

var _ interface {
	fleet.Engine
	fleet.Allocator
} = (*Engine)(nil)

var fleetName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$`)

// New returns the engine. It fails if a command of Slurm is not there.
func New(o Options) (*Engine, error) {
	if !fleetName.MatchString(o.Fleet) {
		return nil, fmt.Errorf("slurm: %q is no name for a job: letters, digits and ._:- are", o.Fleet)
	}
	need := []string{"sinfo", "squeue", "scontrol", "scancel", "sbatch"}
	if o.Unshared {
		need = append(need[:4], unsharedNeeds...)
	}
	for _, name := range need {
		if _, err := exec.LookPath(name); err != nil {
			return nil, fmt.Errorf("slurm: %w: run this where jobs are submitted", err)
		}
	}
	var err error
	for _, path := range []*string{&o.Dir, &o.Binary} {
		if *path, err = filepath.Abs(*path); err != nil {
			return nil, fmt.Errorf("slurm: %w", err)
		}
	}
	if strings.ContainsRune(o.Dir, '\\') || results.Line(o.Dir, len(o.Dir)) != o.Dir {
		return nil, fmt.Errorf("slurm: %q: Slurm writes no log where a path has a backslash or a control character: name another --store", o.Dir)
	}
	return &Engine{Options: o, completing: map[string]time.Time{}, batched: map[string]bool{}, blind: map[string]bool{}, failed: map[string]bool{}}, nil
}

// What a command may take and print. Slurm's commands try again by themselves for a
// while when the controller does not answer. 10,000 nodes are 11 MB of scontrol show node.
const (
	patience  = time.Minute
	outputMax = 64 << 20 // bytes
	errorMax  = 64 << 10 // bytes
)

// bounded keeps the first bytes that are written to it, and passes over the others.
type bounded struct {
	kept bytes.Buffer // not embedded: its ReadFrom knows no bound
	max  int
	over bool
}

func (b *bounded) Write(p []byte) (int, error) {
	room := b.max - b.kept.Len()
	b.over = b.over || len(p) > room
	b.kept.Write(p[:min(len(p), room)])
	return len(p), nil
}

// failure is a command that ended with an error.
type failure struct {
	name, said string
	err        error
}

func (f *failure) Error() string {
	if f.said == "" {
		return fmt.Sprintf("slurm: %s: %v", f.name, f.err)
	}
	return fmt.Sprintf("slurm: %s: %s", f.name, f.said)
}

func (f *failure) Unwrap() error { return f.err }

// command runs one of Slurm's commands and returns what it printed.
func (e *Engine) command(ctx context.Context, in, name string, args ...string) (string, error) {
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	out, said := bounded{max: outputMax}, bounded{max: errorMax}
	cmd := exec.CommandContext(limited, name, args...) // #nosec G204 -- Slurm's commands, without a shell
	cmd.Env = environment(os.Environ())
	if name != "sbatch" { // whose --begin is the user's, and whose job has the user's environment
		cmd.Env = append(cmd.Env, "TZ=UTC")
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(in), &out, &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for perwatt
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case limited.Err() != nil:
		err = &failure{name, "no answer within " + patience.String(), limited.Err()}
	case out.over:
		err = &failure{name, fmt.Sprintf("more than %d bytes of output", outputMax), io.ErrShortBuffer}
	case err != nil:
		err = &failure{name, results.Line(said.kept.String(), 500), err}
	}
	return out.kept.String(), err
}

// list runs sinfo or squeue and returns a line for each node or job, of the fields of the
// format: whoever drains a node may write line breaks in the reason. Times are UTC.
func (e *Engine) list(ctx context.Context, name, format string, args ...string) (string, error) {
	mark := rand.Text() + "|"
	out, err := e.command(ctx, "", name, append([]string{"-h", "-o", mark + format}, args...)...)
	if err != nil {
		return "", err
	}
	return oneLine(out, mark), nil
}

// environment leaves out of env what changes the output of Slurm's commands, and what a
// job is told, so that a fleet may be started from within one.
func environment(env []string) []string {
	kept := slices.DeleteFunc(slices.Clone(env), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		for _, prefix := range []string{"SLURM", "SQUEUE_", "SINFO_", "SACCT_", "SCONTROL_", "SCANCEL_", "SALLOC_", "SRUN_"} {
			if strings.HasPrefix(name, prefix) {
				return name != "SLURM_CONF" && name != "SLURM_CONF_SERVER" && name != "SLURM_JWT"
			}
		}
		return name == "LC_ALL" || name == "SBATCH_ARRAY_INX" || name == "SBATCH_CLUSTERS" || name == "SBATCH_WAIT"
	})
	return append(kept, "LC_ALL=C")
}

// Nodes returns the nodes in the order in which Slurm lists them.
func (e *Engine) Nodes(ctx context.Context) ([]fleet.Host, error) {
	args := []string{"-N"}
	if e.Partition != "" {
		args = append(args, "-p", e.Partition)
	}
	out, err := e.list(ctx, "sinfo", "%N|%T|%u|%H|%E", args...)
	if f := new(failure); errors.As(err, &f) {
		return nil, fmt.Errorf("%w: it must work here: try %s", err, strings.Join(append([]string{"sinfo"}, args...), " "))
	} else if err != nil {
		return nil, err
	}
	hosts, err := parseNodes(out)
	if err != nil {
		return nil, err
	}
	where := "this cluster"
	if e.Partition != "" {
		where = "partition " + e.Partition
	}
	if len(hosts) == 0 {
		return nil, fmt.Errorf("slurm: %s has no nodes", where)
	}
	if e.Options.Nodes != "" {
		list, err := e.command(ctx, "", "scontrol", "show", "hostnames", e.Options.Nodes)
		if err != nil {
			return nil, err
		}
		if hosts, err = only(hosts, strings.Fields(list)); err != nil {
			return nil, fmt.Errorf("slurm: --nodes %s: %w in %s", e.Options.Nodes, err, where)
		}
	}
	if out, err = e.command(ctx, "", "scontrol", "-o", "show", "node"); err != nil {
		return nil, err
	}
	names := parseHostNames(out)
	leaves, err := e.leaves(ctx)
	if err != nil {
		return nil, err
	}
	for i := range hosts {
		h := &hosts[i]
		h.Host = names[h.Name]
		h.Rack, h.Switch = leaves[h.Name].rack, leaves[h.Name].leaf
	}
	return hosts, nil
}

// only keeps the hosts that are named.
func only(hosts []fleet.Host, names []string) ([]fleet.Host, error) {
	asked := map[string]bool{}
	for _, name := range names {
		asked[name] = true
	}
	kept := slices.DeleteFunc(hosts, func(h fleet.Host) bool {
		ok := asked[h.Name]
		delete(asked, h.Name)
		return !ok
	})
	for _, name := range names {
		if asked[name] {
			return nil, fmt.Errorf("there is no node %q", name)
		}
	}
	return kept, nil
}

// place is where Slurm's topology has a node.
type place struct{ rack, leaf string }

// leaves returns the place of each node: the nearest switch of topology/tree, or the
// block of topology/block. It is empty where a cluster has neither.
func (e *Engine) leaves(ctx context.Context) (map[string]place, error) {
	out, err := e.command(ctx, "", "scontrol", "show", "topology")
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		return nil, err
	}
	groups := parseTopology(out)
	places := map[string]place{}
	for len(groups) > 0 {
		// One call expands many lists, each followed by a name that no node has. An
		// argument has at most 128 KiB.
		var list strings.Builder
		n := 0
		for ; n < len(groups) && (n == 0 || list.Len()+len(groups[n].nodes) < 100_000); n++ {
			fmt.Fprintf(&list, "%s,%s%d,", groups[n].nodes, endOfList, n)
		}
		out, err := e.command(ctx, "", "scontrol", "show", "hostnames", strings.TrimSuffix(list.String(), ","))
		if err != nil {
			return nil, err
		}
		at := 0
		for name := range strings.FieldsSeq(out) {
			switch {
			case strings.HasPrefix(name, endOfList):
				at++
			case at < n:
				places[name] = groups[at].place
			}
		}
		groups = groups[n:]
	}
	return places, nil
}

const endOfList = "perwatt.end."

// jobName is that of all jobs of the fleet: one query by it covers them.
func (e *Engine) jobName() string { return "perwatt:" + e.Fleet }

// comment is kept with a job: whose it is.
func comment(j fleet.Job) string {
	return fmt.Sprintf("%s.%d %s", j.Node.Name, j.Attempt, j.Dir)
}

// Submit hands over a job of one node.
func (e *Engine) Submit(ctx context.Context, j fleet.Job) (id string, err error) {
	return e.submit(ctx, []fleet.Job{j}, 0)
}

// Allocate hands over a job of several nodes. Slurm starts it when all of them are free. It
// goes on where one of them fails.
func (e *Engine) Allocate(ctx context.Context, jobs []fleet.Job, lead time.Duration) (id string, err error) {
	return e.submit(ctx, jobs, max(lead, time.Second))
}

// submit hands over a job: to sbatch, or to an salloc that goes on when perwatt ends.
func (e *Engine) submit(ctx context.Context, jobs []fleet.Job, lead time.Duration) (id string, err error) {
	jobs = slices.Clone(jobs)
	over := e.Unshared || len(e.blind) > 0 && !e.sighted
	for i := range jobs {
		if jobs[i].Dir, err = filepath.Abs(jobs[i].Dir); err != nil {
			return "", fmt.Errorf("slurm: %w", err)
		}
		over = over || e.blind[jobs[i].Node.Name]
	}
	if over {
		return e.salloc(ctx, jobs, lead)
	}
	return e.batch(ctx, jobs, lead)
}

// request returns the options of a job. The user's may change its limits, its memory and
// who pays, but neither what it is nor on which nodes it runs.
func (e *Engine) request(jobs []fleet.Job) []string {
	args := []string{"--exclusive", "--mem=0"}
	if e.Partition != "" {
		args = append(args, "-p", e.Partition)
	}
	if limit := jobs[0].Limit; limit > 0 {
		args = append(args, "-t", strconv.Itoa(int((limit+time.Minute-1)/time.Minute)))
	}
	args = append(args, e.Options.Options...)
	var names []string
	for _, j := range jobs {
		names = append(names, j.Node.Name)
	}
	n := strconv.Itoa(len(jobs))
	args = append(args, "-w", strings.Join(names, ","), "-N"+n, "-n"+n, "-J", e.jobName(), "--comment", comment(jobs[0]))
	if len(jobs) > 1 {
		args = append(args, "--ntasks-per-node=1", "--no-kill")
	}
	return args
}

func (e *Engine) batch(ctx context.Context, jobs []fleet.Job, lead time.Duration) (string, error) {
	if err := e.writeToken(); err != nil {
		return "", fmt.Errorf("slurm: %w", err)
	}
	first := jobs[0]
	log := strings.ReplaceAll(filepath.Join(first.Dir, fleet.Log), "%", "%%") // % begins a pattern
	args := append(e.request(jobs), "--parsable", "--no-requeue", "--open-mode=append", "-D", first.Dir, "-o", log)
	out, err := e.command(ctx, e.batchScript(jobs, lead), "sbatch", args...)
	if fail := new(failure); errors.As(err, &fail) {
		return "", refusal(fail)
	} else if err != nil {
		return "", err
	}
	id, err := parseSubmitted(out)
	e.batched[id] = err == nil
	return id, err
}

func (e *Engine) tokenPath() string { return filepath.Join(e.Dir, "token") }

// writeToken writes the file that jobs look for, or takes the one that is there.
func (e *Engine) writeToken() error {
	if e.token != "" {
		return nil
	}
	token := rand.Text()
	f, err := os.OpenFile(e.tokenPath(), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	switch {
	case errors.Is(err, fs.ErrExist):
		if token, err = head(e.tokenPath(), 100); err != nil {
			return err
		}
		if token = strings.TrimSpace(token); !tokenText.MatchString(token) {
			return fmt.Errorf("%s holds no token: remove it", e.tokenPath())
		}
	case err != nil:
		return err
	default:
		_, err = f.WriteString(token + "\n")
		if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
			return err
		}
	}
	e.token = token
	return nil
}

var tokenText = regexp.MustCompile(`^[A-Z2-7]{26}$`) // of rand.Text

// Jobs asks once for the jobs of the fleet.
func (e *Engine) Jobs(ctx context.Context, flight []string) (map[string]fleet.JobState, error) {
	all, err := e.queue(ctx)
	if err != nil {
		return nil, err
	}
	states := map[string]fleet.JobState{}
	for _, q := range all {
		s := fleet.JobState{Phase: phase(q.state), Reason: q.reason}
		s.Node, s.Attempt = parseComment(q.comment, e.Dir)
		if s.Reason == "None" {
			s.Reason = ""
		}
		switch {
		case q.state != "COMPLETING":
			delete(e.completing, q.id)
			if s.Phase == fleet.Ended && s.Reason == "" {
				s.Reason = q.state
			}
			if q.state == "FAILED" && s.Node != "" && slices.Contains(flight, q.id) {
				nothing, err := e.sawNothing(ctx, q.id)
				if err != nil { // the attempt must not count for want of an answer
					return nil, err
				}
				if nothing {
					e.blind[s.Node] = true
					s.Again, s.Reason = true, fmt.Sprintf("%s does not share %s: its next attempt sends its records over the job's output", s.Node, e.Dir)
				}
			}
			if (q.state == "COMPLETED" || q.state == "FAILED" && !s.Again) && e.batched[q.id] {
				e.sighted = true
			}
		case e.completing[q.id].IsZero():
			e.completing[q.id] = time.Now()
		case time.Since(e.completing[q.id]) > lingering:
			s.Phase, s.Reason = fleet.Ended, "COMPLETING for "+lingering.String()
		}
		states[q.id] = s
	}
	return states, nil
}

// sawNothing reports whether a job that failed did so since its node does not see Dir: the
// script said so, or Slurm could not open the log. Slurm is asked once a job.
func (e *Engine) sawNothing(ctx context.Context, id string) (bool, error) {
	if nothing, known := e.failed[id]; known {
		return nothing, nil
	}
	out, err := e.command(ctx, "", "scontrol", "-o", "show", "job", id)
	if err != nil {
		return false, err
	}
	f := fields(out, "ExitCode", "Reason", "BatchFlag")
	e.failed[id] = f[2] == "1" && (f[0] == strconv.Itoa(exitUnseen)+":0" || f[1] == "JobLaunchFailure")
	return e.failed[id], nil
}

// lingering is longer than Slurm waits for processes that do not die: KillWait (30 s)
// and UnkillableStepTimeout (60 s), each by default.
const lingering = 3 * time.Minute

// queue returns the jobs of the fleet. The user's alone are asked for: the controller
// filters by user, and squeue itself by name.
func (e *Engine) queue(ctx context.Context) ([]queued, error) {
	out, err := e.list(ctx, "squeue", "%i|%T|%r|%k", "-t", "all", "-u", strconv.Itoa(os.Getuid()), "-n", e.jobName())
	if err != nil {
		return nil, err
	}
	return parseQueue(out)
}

// Cancel ends jobs, a thousand a command.
func (e *Engine) Cancel(ctx context.Context, ids []string) error {
	for some := range slices.Chunk(ids, 1000) {
		for _, id := range some {
			if !jobID.MatchString(id) {
				return fmt.Errorf("slurm: %q is no job", id)
			}
		}
		if _, err := e.command(ctx, "", "scancel", append([]string{"-Q"}, some...)...); err != nil {
			return err
		}
	}
	return nil
}

// Fetch unpacks what came back over the job's output, if it came so.
func (e *Engine) Fetch(ctx context.Context, j fleet.Job) error { return e.unpack(ctx, j.Dir) }

// Explain reads what Slurm knows of the job and the last line of its log.
func (e *Engine) Explain(ctx context.Context, j fleet.Job) (reason, more string) {
	log := filepath.Join(j.Dir, fleet.Log)
	last := lastLine(log)
	if last != "" {
		more = "cat " + quote(log)
	}
	if !jobID.MatchString(j.ID) {
		return last, more
	}
	if more == "" {
		more = "scontrol show job " + j.ID
	}
	out, err := e.command(ctx, "", "scontrol", "-o", "show", "job", j.ID)
	if err == nil {
		if last != "" {
			return parseJob(out) + ": " + last, more
		}
		return parseJob(out), more
	}
	// MinJobAge (300 s by default) after its end the controller forgets a job.
	if out, err = e.command(ctx, "", "sacct", "-X", "-n", "-P", "-D", "-j", j.ID, "-o", "State,ExitCode"); err == nil {
		reason = parseAccount(out)
	}
	switch {
	case reason != "" && last != "":
		return reason + ": " + last, more
	case reason != "":
		return reason, "sacct -D -j " + j.ID
	case last != "":
		return last, more
	}
	return "Slurm no longer knows job " + j.ID + " and keeps no account of it", ""
}
