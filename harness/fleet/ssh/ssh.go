// Package ssh measures nodes that are reached by OpenSSH. It runs the ssh that is
// installed, with the user's own configuration, and asks for no password. It needs Linux,
// a POSIX shell, tar and sha256sum on the hosts, no root and no agent.
//
// A host gets the binary once, under its digest, in $XDG_CACHE_HOME/perwatt/bin or
// ~/.cache/perwatt/bin, and for each attempt a directory fleet/RUN/NODE/ATTEMPT beside it,
// with the process's number, log, exit code and store. What was fetched stays there: it
// is the only other copy, and the package removes nothing on a host.
package ssh

import (
	"bufio"
	"context"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/perwatt/perwatt/harness/fleet"
	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/site"
)

// Options of an engine. The zero value of each but Nodes stands for its default.
type Options struct {
	Nodes    []site.Node   // of [ReadHosts], or of a roster that was frozen
	Options  []string      // of ssh, such as -F FILE or -i KEY
	Binary   string        // perwatt for the hosts; default: this one
	Parallel int           // most clients at a time; default 16
	Connect  time.Duration // for a connection; default 10 s
	Timeout  time.Duration // of silence on a connection; default 30 s
	Quiet    time.Duration // between two questions to a host that measures; default 15 s
}

// Engine starts jobs on the hosts directly. It implements [fleet.Engine]. No method
// waits for a slow host except Nodes, Cancel and Fetch, each no longer than it has a client
// for that host.
type Engine struct {
	o       Options
	digest  string // SHA-256 of the binary, hexadecimal
	machine string // of the binary, as uname -m says
	clients chan struct{}
	bulk    chan struct{} // fewer than clients, so that questions always find one
	doubted chan struct{} // few of them, for hosts that are deaf

	stop    context.CancelFunc
	life    context.Context // of submissions and questions, which outlast a method
	ongoing sync.WaitGroup

	mu    sync.Mutex
	hosts map[string]*host
	jobs  map[string]*submission
}

// host is what is known of a node.
type host struct {
	cache string // directory on the host; empty before it answered
	clock *site.Clock
	asked time.Time // when its jobs were asked for last
	busy  bool      // a question is on its way
	deaf  bool      // it kept the last client waiting in vain
}

// submission is a job as far as this process knows.
type submission struct {
	state  fleet.JobState
	detail string // why it ended, for Explain
	seen   bool   // on its host
	cancel context.CancelFunc
}

// machines are names of uname -m by the machine of an executable.
var machines = map[elf.Machine]string{elf.EM_X86_64: "x86_64", elf.EM_AARCH64: "aarch64", elf.EM_RISCV: "riscv64", elf.EM_PPC64: "ppc64le", elf.EM_S390: "s390x", elf.EM_LOONGARCH: "loongarch64"}

// New returns an engine. The caller closes it.
func New(o Options) (*Engine, error) {
	if o.Binary == "" {
		var err error
		if o.Binary, err = os.Executable(); err != nil {
			return nil, fmt.Errorf("ssh: find perwatt's own binary: %w", err)
		}
	}
	for _, d := range []struct {
		value *time.Duration
		usual time.Duration
	}{{&o.Connect, 10 * time.Second}, {&o.Timeout, 30 * time.Second}, {&o.Quiet, 15 * time.Second}} {
		if *d.value == 0 {
			*d.value = d.usual
		}
	}
	if o.Parallel == 0 {
		o.Parallel = 16
	}
	if o.Parallel < 1 || o.Parallel > 1024 {
		return nil, fmt.Errorf("ssh: %d clients at a time: 1 to 1024 are possible", o.Parallel)
	}
	e := &Engine{o: o, hosts: map[string]*host{}, jobs: map[string]*submission{},
		clients: make(chan struct{}, o.Parallel), bulk: make(chan struct{}, max(1, o.Parallel*3/4)), doubted: make(chan struct{}, max(1, o.Parallel/4))}
	for _, n := range o.Nodes {
		if !nodeName.MatchString(n.Name) {
			return nil, fmt.Errorf("ssh: %q is no destination", results.Line(n.Name, 60))
		}
		e.hosts[n.Name] = &host{}
	}
	f, err := os.Open(o.Binary)
	if err != nil {
		return nil, fmt.Errorf("ssh: the hosts' binary: %w", err)
	}
	defer f.Close()
	image, err := elf.NewFile(f)
	if err != nil {
		return nil, fmt.Errorf("ssh: %s is no program for Linux: %w", o.Binary, err)
	}
	e.machine = machines[image.Machine]
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return nil, fmt.Errorf("ssh: read %s: %w", o.Binary, err)
	}
	e.digest = hex.EncodeToString(sum.Sum(nil))
	e.life, e.stop = context.WithCancel(context.Background())
	return e, nil
}

// Close gives up submissions that have not reached their hosts and waits for the clients.
// Jobs go on.
func (e *Engine) Close() error {
	e.stop()
	e.ongoing.Wait()
	return nil
}

// Nodes asks every host what it is and what time it has. One that cannot be reached, that
// cannot run the binary, or that is an earlier one by another name, is absent with the
// reason.
func (e *Engine) Nodes(ctx context.Context) ([]fleet.Host, error) {
	found, boots := make([]fleet.Host, len(e.o.Nodes)), make([]string, len(e.o.Nodes))
	var all sync.WaitGroup
	for i, n := range e.o.Nodes {
		all.Go(func() { found[i], boots[i] = e.probe(ctx, n) })
	}
	all.Wait()
	first := map[string]string{}
	for i, boot := range boots {
		h := &found[i]
		switch twin := first[boot]; {
		case h.Absent != "" || !bootID.MatchString(boot):
		case twin != "":
			h.Idle, h.Absent = false, fmt.Sprintf("it is the machine of %s by another name: it would be measured twice", twin)
			h.More = e.more(h.Name, "cat", bootPath)
		default:
			first[boot] = h.Name
		}
	}
	return found, ctx.Err()
}

// bootID is what bootPath has.
var bootID = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// probe returns also the identifier of the kernel that runs.
func (e *Engine) probe(ctx context.Context, n site.Node) (h fleet.Host, boot string) {
	h.Node = n
	var facts [6]string
	err := e.call(ctx, n.Name, probing, question, 2*e.o.Timeout, func(w io.Writer, r *bufio.Reader) error {
		for i := range facts {
			var err error
			if facts[i], err = line(r); err != nil {
				return err
			}
		}
		var err error
		h.Clock, err = exchange(w, r)
		return err
	})
	system, machine, name, missing, dir, boot := facts[0], facts[1], facts[2], facts[3], facts[4], facts[5]
	h.More = e.more(n.Name, "uname -a")
	switch {
	case err != nil:
		h.Absent, h.Clock = err.Error(), nil
		h.More = e.more(n.Name, "-v", "true")
	case system != "Linux":
		h.Absent = "it runs " + results.Line(system, 40) + "; the hosts of a fleet run Linux"
	case e.machine != "" && machine != e.machine:
		h.Absent = fmt.Sprintf("its machine is %s and the binary is for %s: measure such hosts as a fleet of their own, with --binary and a perwatt that is built for them", results.Line(machine, 40), e.machine)
	case missing != "":
		h.Absent = "it has no " + results.Line(missing, 80)
	default:
		h.Idle, h.More, h.Host = true, "", results.Line(name, 255)
		e.mu.Lock()
		e.hosts[n.Name].cache, e.hosts[n.Name].clock = dir, h.Clock
		e.mu.Unlock()
	}
	return h, boot
}

// id names a job by its place on the host.
func id(j fleet.Job) string { return path.Join(j.Fleet, j.Node.Name, strconv.Itoa(j.Attempt)) }

// split is the inverse of id: the node of a job.
func split(id string) (node string, ok bool) {
	run, rest, _ := strings.Cut(id, "/")
	node, attempt, _ := strings.Cut(rest, "/")
	n, err := strconv.Atoi(attempt)
	return node, run != "" && run != "." && run != ".." && nodeName.MatchString(node) && err == nil && n > 0
}

// Submit begins to start a job and does not wait for the host: what comes of it is in
// the answer of Jobs.
func (e *Engine) Submit(ctx context.Context, j fleet.Job) (string, error) {
	id := id(j)
	if _, ok := split(id); !ok || e.hosts[j.Node.Name] == nil {
		return "", fleet.Refusal{Reason: fmt.Sprintf("ssh: %q is no job of these hosts", results.Line(id, 200))}
	}
	if err := ctx.Err(); err != nil {
		return "", err
	}
	life, cancel := context.WithCancel(e.life)
	s := &submission{state: fleet.JobState{Phase: fleet.Queued, Reason: "being started"}, cancel: cancel}
	e.mu.Lock()
	e.jobs[id] = s
	clock := e.hosts[j.Node.Name].clock
	e.mu.Unlock()
	e.ongoing.Go(func() {
		defer cancel()
		err := e.start(life, j.Node.Name, id, corrected(j.Args, clock))
		e.mu.Lock()
		defer e.mu.Unlock()
		s.cancel = nil
		if s.state.Phase != fleet.Queued { // it was cancelled meanwhile
			return
		}
		if err != nil {
			s.state, s.detail = fleet.JobState{Phase: fleet.Ended, Reason: "not started"}, "it was not started: "+err.Error()
		} else {
			s.state, s.seen = fleet.JobState{Phase: fleet.Started}, true
		}
	})
	return id, nil
}

// start starts a job, and brings the binary first where the host does not have it.
func (e *Engine) start(ctx context.Context, node, id string, args []string) error {
	begin := starting(e.digest, id, args)
	said := ""
	answer := func(_ io.Writer, r *bufio.Reader) (err error) {
		said, err = line(r)
		return err
	}
	if err := e.call(ctx, node, begin, bulk, 2*e.o.Timeout, answer); err != nil {
		return err
	}
	if said == "absent" {
		if err := e.install(ctx, node, begin, answer); err != nil {
			return err
		}
	}
	if said != "started" {
		return fmt.Errorf("it answers %q", results.Line(said, 60))
	}
	return nil
}

// install copies the binary and runs another script behind that.
func (e *Engine) install(ctx context.Context, node, script string, answer func(io.Writer, *bufio.Reader) error) error {
	f, err := os.Open(e.o.Binary)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return e.call(ctx, node, installing(e.digest, info.Size())+script, bulk, 20*e.o.Timeout, func(w io.Writer, r *bufio.Reader) error {
		if _, err := io.Copy(w, f); err != nil {
			return fmt.Errorf("copy the binary: %w", err)
		}
		switch said, err := line(r); {
		case err != nil:
			return err
		case said != "installed":
			return errors.New("the binary was not copied: the host's disk is full, or what arrived has another digest")
		}
		return answer(w, r)
	})
}

// Jobs returns what is known of the jobs in flight, and asks the hosts on whose answers
// the next call will rely. A host that measures is asked once in [Options.Quiet], by one
// client for all of its jobs, so that it is left in peace.
func (e *Engine) Jobs(ctx context.Context, flight []string) (map[string]fleet.JobState, error) {
	known := map[string]fleet.JobState{}
	ask := map[string][]string{}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, id := range flight {
		node, ok := split(id)
		h := e.hosts[node]
		if !ok || h == nil {
			continue
		}
		s := e.jobs[id]
		if s == nil {
			s = &submission{state: fleet.JobState{Phase: fleet.Started, Reason: "not asked yet"}}
			e.jobs[id] = s
		}
		if s.state.Phase == gone {
			continue
		}
		known[id] = s.state
		if s.state.Phase != fleet.Ended && s.cancel == nil && !h.busy && time.Since(h.asked) >= e.o.Quiet {
			ask[node] = append(ask[node], id)
		}
	}
	if ctx.Err() != nil || e.life.Err() != nil {
		return known, ctx.Err()
	}
	for node, ids := range ask {
		h := e.hosts[node]
		h.busy = true
		e.ongoing.Go(func() {
			err := e.poll(node, ids)
			e.mu.Lock()
			defer e.mu.Unlock()
			h.busy, h.asked = false, time.Now()
			for _, id := range ids {
				if s := e.jobs[id]; err != nil && s.state.Phase != fleet.Ended {
					s.state.Reason = "no answer: " + err.Error()
				}
			}
		})
	}
	return known, nil
}

// gone is the phase of a job that its host does not know: Jobs leaves it out.
const gone fleet.Phase = -1

// poll asks a host for its jobs.
func (e *Engine) poll(node string, ids []string) error {
	return e.call(e.life, node, polling(ids), question, 2*e.o.Timeout, func(_ io.Writer, r *bufio.Reader) error {
		for _, id := range ids {
			said, err := line(r)
			if err != nil {
				return err
			}
			state, detail, err := parseState(said)
			if err != nil {
				return err
			}
			e.mu.Lock()
			if s := e.jobs[id]; s.state.Phase != fleet.Ended { // it may have been cancelled meanwhile
				switch {
				case state.Phase != gone:
					s.seen = true
				case !s.seen: // perwatt ended while its start waited for a client
					state = fleet.JobState{Phase: fleet.Ended, Again: true, Reason: "it had not been started on its host"}
				}
				s.state, s.detail = state, detail
			}
			e.mu.Unlock()
		}
		return nil
	})
}

// parseState reads a line of [polling].
func parseState(s string) (fleet.JobState, string, error) {
	word, code, _ := strings.Cut(s, " ")
	ended := func(reason, detail string) (fleet.JobState, string, error) {
		return fleet.JobState{Phase: fleet.Ended, Reason: reason}, detail, nil
	}
	switch word {
	case "unknown":
		return fleet.JobState{Phase: gone}, "the host does not know it", nil
	case "queued":
		return fleet.JobState{Phase: fleet.Queued, Reason: "being started"}, "", nil // its directory is there, its process not yet
	case "running":
		return fleet.JobState{Phase: fleet.Started}, "", nil
	case "restarted":
		return ended("restarted", "the host was restarted while it ran")
	case "gone":
		return ended("killed", "it was killed on the host, or logging out ended it (KillUserProcesses of systemd-logind: loginctl enable-linger)")
	case "ended":
		if code == "cancelled" {
			return ended("cancelled", "it was cancelled")
		}
		if n, err := strconv.ParseUint(code, 10, 8); err == nil {
			return ended(fmt.Sprintf("exit code %d", n), fmt.Sprintf("perwatt run ended with code %d", n))
		}
	}
	return fleet.JobState{}, "", fmt.Errorf("it answers %q", results.Line(s, 60))
}

// Cancel ends jobs: those that are being started, and the process groups of those that
// run. Its error, [fleet.Unconfirmed], names the hosts that did not confirm.
func (e *Engine) Cancel(ctx context.Context, ids []string) error {
	nodes := map[string][]string{}
	e.mu.Lock()
	for _, id := range ids {
		if node, ok := split(id); ok && e.hosts[node] != nil {
			nodes[node] = append(nodes[node], id)
			if s := e.jobs[id]; s != nil && s.cancel != nil {
				s.cancel()
			}
		}
	}
	e.mu.Unlock()
	var mu sync.Mutex
	var failed, unsure []string
	var all sync.WaitGroup
	// However many hosts hang, it ends.
	within := 2*e.o.Timeout + time.Duration(len(nodes)/e.o.Parallel)*prompt
	bounded, stop := context.WithTimeout(ctx, within)
	defer stop()
	waiting := make(chan struct{}, mostEndings)
	for node, ids := range nodes {
		waiting <- struct{}{}
		all.Go(func() {
			defer func() { <-waiting }()
			err := e.call(bounded, node, cancelling(ids), ending, 2*e.o.Timeout, func(_ io.Writer, r *bufio.Reader) error {
				said, err := line(r)
				if err == nil && said != "cancelled" {
					err = fmt.Errorf("it answers %q", results.Line(said, 60))
				}
				return err
			})
			mu.Lock()
			defer mu.Unlock()
			if errors.Is(err, context.DeadlineExceeded) {
				err = fmt.Errorf("all were to answer within %v", within)
			}
			if err != nil {
				failed, unsure = append(failed, node+": "+err.Error()), append(unsure, ids...)
				return
			}
			e.mu.Lock()
			defer e.mu.Unlock()
			for _, id := range ids {
				if s := e.jobs[id]; s != nil {
					s.state, s.detail = fleet.JobState{Phase: fleet.Ended, Reason: "cancelled"}, "it was cancelled"
				}
			}
		})
	}
	all.Wait()
	if len(failed) == 0 || ctx.Err() != nil {
		return ctx.Err()
	}
	slices.Sort(failed)
	slices.Sort(unsure)
	if more := len(failed) - mostNamed; more > 0 {
		failed = append(failed[:mostNamed], fmt.Sprintf("and %d more hosts", more))
	}
	return fleet.Unconfirmed{Jobs: unsure, Reason: "jobs may go on where their end was not confirmed: " + strings.Join(failed, "; ")}
}

const (
	mostEndings = 512 // clients that wait for the end of jobs
	mostNamed   = 8   // hosts, in one sentence
)

// Fetch copies the log and the records of a job from its host to [fleet.Job.Dir]. What a
// host sends besides is a [fleet.Refusal], and the beginning of all that it sent is kept.
func (e *Engine) Fetch(ctx context.Context, j fleet.Job) error {
	part := filepath.Join(j.Dir, ".part")
	if err := os.RemoveAll(part); err != nil {
		return err
	}
	defer os.RemoveAll(part)
	sent := beginning{most: maxKept}
	err := e.call(ctx, j.Node.Name, fetching(id(j)), bulk, 20*e.o.Timeout, func(_ io.Writer, r *bufio.Reader) error {
		return unpack(io.TeeReader(r, &sent), part)
	})
	if no := (fleet.Refusal{}); errors.As(err, &no) {
		if bad := os.WriteFile(filepath.Join(j.Dir, refusedName), sent.b, 0o600); bad == nil {
			no.File = refusedName
		}
		return no
	}
	if local := (*fs.PathError)(nil); err != nil && ctx.Err() == nil && !errors.As(err, &local) {
		return fmt.Errorf("ssh: fetch from %s: %w: %w", j.Node.Name, fleet.ErrAway, err)
	} else if err != nil {
		return fmt.Errorf("ssh: fetch from %s: %w", j.Node.Name, err)
	}
	return place(part, j.Dir)
}

// Explain says why a job left no record: how it ended, and the last line of its log.
func (e *Engine) Explain(_ context.Context, j fleet.Job) (reason, more string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	dir := ".cache/perwatt"
	if h := e.hosts[j.Node.Name]; h != nil && h.cache != "" {
		dir = h.cache
	}
	more = e.more(j.Node.Name, "tail -n 50 "+results.Command(path.Join(dir, "fleet", id(j), fleet.Log)))
	if s := e.jobs[id(j)]; s != nil {
		reason = s.detail
		if reason == "" {
			reason = s.state.Reason
		}
	}
	if last := lastLine(filepath.Join(j.Dir, fleet.Log)); last != "" {
		reason = strings.TrimPrefix(reason+": "+last, ": ")
	}
	return reason, more
}
