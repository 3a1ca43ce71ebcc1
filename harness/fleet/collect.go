package fleet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/site"
)

// Limits on what a node may send, in one attempt.
const (
	mostFiles = 1000      // in its directory, of any kind
	mostPlain = 256 << 20 // bytes of a record in JSON: what results.Load reads
	mostZstd  = 64 << 20  // bytes of a compressed one
	mostBytes = mostPlain // of files and their JSON that are in memory at a time, all collectors together
	mostWork  = 64        // records that are judged at a time
	atOnce    = 512       // attempts whose records share their way to the disk
	slack     = 1.0       // s, by which clocks may contradict each other unsaid
	aMonth    = len("2006-01")
)

// Store is where records are kept. Its methods are called by several goroutines; an error
// ends what is being done.
type Store interface {
	// Take puts a record there, byte by byte. It returns nil if the record is there already,
	// and [ErrTaken] if another has its identifier there: then the record is refused.
	Take(*results.File) error
	// Settle returns when what Take took before the call is there for readers, and no crash
	// can undo that. Nothing is said to be kept before.
	Settle() error
}

// ErrTaken means that another record has the identifier of this one in the store.
var ErrTaken = errors.New("another record has its identifier in the store")

// finding is what was found out about one file of an attempt.
type finding struct {
	file   string // below the attempt's directory, or as it was named by hand
	hand   bool
	id     string
	place  results.Fleet // by its own words; only of a record that could be read
	number int           // of its session
	clock  *site.Clock   // if it contradicts that of this host
	err    error         // why it is refused
	unkept error         // why it could not be committed: it stays where it is
	part   bool          // it is the attempt's own, and not finished
	sent   bool          // it is an archive that the engine refused
}

// collector reads records. Its methods may be called by several goroutines.
type collector struct {
	roster site.Roster
	byName map[string]int // index in the roster
	byHost map[string]map[int]bool
	store  Store
	memory budget

	mu    sync.Mutex
	given map[string]int  // by which node a record was given, by identifier
	owed  map[owed]string // its identifier
}

// owed is a record that an attempt of a node owes.
type owed struct{ node, attempt, session int }

func newCollector(r site.Roster, s *state, store Store) *collector {
	c := &collector{roster: r, store: store, byName: map[string]int{}, byHost: map[string]map[int]bool{}, given: map[string]int{}, owed: map[owed]string{}}
	c.memory.free = mostBytes
	c.memory.cond.L = &c.memory.mu
	known := func(host string, i int) {
		if host = strings.ToLower(host); host == "" {
			return
		}
		if c.byHost[host] == nil {
			c.byHost[host] = map[int]bool{}
		}
		c.byHost[host][i] = true
	}
	for i, n := range r.Nodes {
		c.byName[n.Name] = i
		// What the node calls itself, with and without its domain; where the engine does
		// not know it, the engine's name, which it often is.
		host := cmp.Or(n.Host, n.Name)
		known(host, i)
		if short, _, more := strings.Cut(host, "."); more {
			known(short, i)
		}
	}
	for i, n := range s.nodes {
		for _, a := range n.attempts {
			for session, id := range a.found {
				c.given[id], c.owed[owed{i, a.Number, session}] = i, id
			}
		}
	}
	return c
}

// budget bounds the bytes that are in memory at a time.
type budget struct {
	mu   sync.Mutex
	cond sync.Cond
	free int64
}

func (b *budget) take(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.free < n {
		b.cond.Wait()
	}
	b.free -= n
}

func (b *budget) give(n int64) {
	b.mu.Lock()
	b.free += n
	b.mu.Unlock()
	b.cond.Broadcast()
}

// left is what an attempt left in its directory.
type left struct {
	found   []finding
	partial string // a record whose session did not end
	note    string // of the engine
	err     error  // its directory cannot be read
	unkept  error  // the store cannot be written: nothing was found out
}

// settle makes what was found hold.
func (l *left) settle(store Store) {
	if slices.ContainsFunc(l.found, func(f finding) bool { return f.err == nil }) {
		if err := store.Settle(); err != nil {
			*l = left{unkept: err}
		}
	}
}

// complete reports whether it holds what was missing of so many sessions, of which some
// were found before.
func (l *left) complete(before map[int]string, sessions int) bool {
	all := maps.Clone(before)
	for _, f := range l.found {
		if f.err == nil {
			all[f.number] = f.id
		}
	}
	return len(all) == sessions
}

// reader is what one goroutine after the other reads records with.
func reader() *results.Reader { return &results.Reader{Kept: 1 << 20} }

// look judges what an attempt left and was not judged before.
func (c *collector) look(ctx context.Context, in *results.Reader, job Job, since time.Time, judged map[string]bool) (out left) {
	root, err := os.OpenRoot(job.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return out
	}
	if err != nil {
		out.err = err
		return out
	}
	defer root.Close()
	names, err := candidates(root)
	if err != nil {
		out.err = err
		return out
	}
	if f, err := openIn(root, Note); err == nil {
		text, _ := io.ReadAll(io.LimitReader(f, 4*mostReason)) // one that cannot be read says nothing
		f.Close()                                              // #nosec G104 -- nothing was written to it
		line, _, _ := strings.Cut(string(text), "\n")
		out.note = results.Line(line, mostReason)
	}
	want := results.Fleet{Run: c.roster.Name, Node: job.Node.Name, Attempt: job.Attempt, Together: job.Together}
	for _, name := range names {
		if strings.HasSuffix(name, ".partial.json") {
			out.partial = filepath.Join(job.Dir, name)
			continue
		}
		if ctx.Err() != nil {
			return out
		}
		if judged[results.Line(name, mostReason)] {
			continue
		}
		f := finding{file: name}
		c.judge(ctx, in, &f, &want, func(results.Fleet) time.Time { return since }, func() (*os.File, error) { return openIn(root, name) })
		if out.unkept = f.unkept; ctx.Err() != nil || out.unkept != nil { // it was not judged to the end
			return out
		}
		out.found = append(out.found, f)
	}
	return out
}

// candidates lists the files of a store, one directory a month, that could be records:
// also links and FIFOs, which are refused by name.
func candidates(root *os.Root) (names []string, err error) {
	seen := 0
	list := func(dir string) ([]fs.DirEntry, error) {
		d, err := root.OpenFile(dir, os.O_RDONLY|unix.O_NONBLOCK, 0) // which a FIFO that took its place does not block
		if err != nil {
			return nil, err
		}
		defer d.Close()
		all, err := d.ReadDir(mostFiles + 1 - seen)
		if seen += len(all); seen > mostFiles {
			return nil, fmt.Errorf("it left more than %d files", mostFiles)
		}
		if len(all) == 0 {
			return nil, nil // io.EOF
		}
		return all, err
	}
	top, err := list(".")
	if err != nil {
		return nil, err
	}
	take := func(dir string, e fs.DirEntry) {
		if n := e.Name(); !e.IsDir() && !strings.HasPrefix(n, ".") && (strings.HasSuffix(n, ".json") || strings.HasSuffix(n, ".json.zst")) {
			names = append(names, filepath.Join(dir, n))
		}
	}
	for _, e := range top {
		if _, bad := time.Parse("2006-01", e.Name()); e.IsDir() && bad == nil && len(e.Name()) == aMonth {
			month, err := list(e.Name())
			if err != nil {
				return nil, err
			}
			for _, in := range month {
				take(e.Name(), in)
			}
			continue
		}
		take("", e)
	}
	slices.Sort(names)
	return names, nil
}

// openIn opens a regular file below root. Nothing else is opened: a link may lead to a
// file that its node cannot read, a FIFO blocks.
func openIn(root *os.Root, name string) (*os.File, error) {
	before, err := root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !before.Mode().IsRegular() {
		return nil, fmt.Errorf("it is %s, not a file", results.FileKind(before.Mode()))
	}
	f, err := root.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	now, err := f.Stat() // something else may have taken its place
	if err == nil && !os.SameFile(before, now) {
		err = errors.New("it changed while it was opened")
	}
	if err != nil {
		f.Close() // #nosec G104 -- nothing was written to it
		return nil, err
	}
	return f, nil
}

// judge reads a record, verifies it and commits it. want is what its attempt was asked
// for; nil takes the record's own word for the attempt. since is when it was submitted.
func (c *collector) judge(ctx context.Context, with *results.Reader, f *finding, want *results.Fleet, since func(results.Fleet) time.Time, open func() (*os.File, error)) {
	f.err = func() error {
		in, err := open()
		if err != nil {
			return err
		}
		defer in.Close()
		info, err := in.Stat()
		if err != nil {
			return err
		}
		most := int64(mostPlain)
		if strings.HasSuffix(f.file, ".zst") {
			most = mostZstd
		}
		if info.Size() > most {
			return fmt.Errorf("%d bytes: a record has at most %d MiB", info.Size(), most>>20)
		}
		file, done, err := c.load(with, in, f.file, info.Size())
		defer done()
		if err != nil {
			return err
		}
		arrived := time.Now()
		if err := c.verify(ctx, f, file, want); err != nil {
			return err
		}
		f.clock = contradiction(file.Record, since(f.place), arrived)
		if err := c.store.Take(file); errors.Is(err, ErrTaken) {
			return err
		} else if err != nil {
			f.unkept = err
		}
		return nil
	}()
}

// load reads a record once there is memory for it: for what a compressed one says that it
// unpacks to, and if that is not true, for the most. done gives the memory back.
func (c *collector) load(with *results.Reader, in *os.File, name string, size int64) (file *results.File, done func(), err error) {
	head := make([]byte, 32)
	n, err := in.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, func() {}, err
	}
	json, says := results.Unpacked(head[:n], size)
	for {
		with.Most = max(1, json)
		takes := min(with.Most+size, mostBytes)
		c.memory.take(takes)
		if file, err = with.Load(in, name); !says || !errors.Is(err, results.ErrLarger) {
			return file, func() { c.memory.give(takes) }, err
		}
		c.memory.give(takes)
		json, says = mostPlain, false
		if _, err := in.Seek(0, io.SeekStart); err != nil {
			return nil, func() {}, err
		}
	}
}

// verify is an error unless a record is sound, finished, and that of the node and the
// attempt.
func (c *collector) verify(ctx context.Context, f *finding, file *results.File, want *results.Fleet) error {
	rec := file.Record
	if rec.Plan.Fleet != nil {
		f.place = *rec.Plan.Fleet
	}
	if bad := file.Verify(); len(bad) > 0 {
		return fmt.Errorf("it is damaged: %s", bad[0].String())
	}
	derived, err := results.DeriveWithin(ctx, rec)
	if err != nil {
		return err
	}
	if bad := file.Check(derived); len(bad) > 0 {
		return fmt.Errorf("its summary is not that of its traces: %s", bad[0].String())
	}
	switch p := rec.Plan.Fleet; {
	case p == nil:
		return errors.New("it is the record of a session on its own, and of no fleet")
	case p.Run != c.roster.Name:
		return fmt.Errorf("it claims to be of the measurement %.100q, not of %s", p.Run, c.roster.Name)
	case want != nil && p.Node != want.Node:
		return fmt.Errorf("it claims to be of the node %.100q, and came from %s", p.Node, want.Node)
	case want != nil && p.Attempt != want.Attempt:
		return fmt.Errorf("it claims to be of attempt %d, and came from attempt %d", p.Attempt, want.Attempt)
	case p.Attempt < 1 || p.Attempt > mostNumber:
		return fmt.Errorf("it claims to be of attempt %d", p.Attempt)
	case p.Together != 0 && !c.roster.Together:
		return fmt.Errorf("it claims to be measured together with %d nodes, and each was to be alone", p.Together)
	case want != nil && max(p.Together, 1) != max(want.Together, 1):
		return fmt.Errorf("it claims to be one of %d that were measured together, and was one of %d", max(p.Together, 1), max(want.Together, 1))
	}
	at, expected := c.byName[rec.Plan.Fleet.Node]
	if !expected {
		return fmt.Errorf("it claims to be of the node %.100q, which is not expected", rec.Plan.Fleet.Node)
	}
	if others := c.host(rec.Node.Name); len(others) > 0 && !others[at] {
		return fmt.Errorf("it names the host %.100q, which is another expected node", rec.Node.Name)
	}
	if rec.State != results.Complete {
		f.part = true
		return fmt.Errorf("its session did not come to its end: it is %.20q, with %s", rec.State, results.Plural(len(rec.Runs), "run"))
	}
	if n := rec.Plan.Session; rec.Plan.Sessions != c.roster.Sessions || n < 1 || n > c.roster.Sessions {
		return fmt.Errorf("it is session %d of %d, and %d were asked for", n, rec.Plan.Sessions, c.roster.Sessions)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if of, before := c.given[rec.ID]; before && of != at {
		return fmt.Errorf("it has the identifier of a record that node %s gave: %.40q", c.roster.Nodes[of].Name, rec.ID)
	}
	o := owed{at, rec.Plan.Fleet.Attempt, rec.Plan.Session}
	if id := c.owed[o]; id != "" && id != rec.ID { // a node must not choose which of its figures count
		return fmt.Errorf("it is another record of session %d, of which there is %.40q", o.session, id)
	}
	c.given[rec.ID], c.owed[o] = at, rec.ID
	f.id, f.number = rec.ID, rec.Plan.Session
	return nil
}

// host returns the expected nodes that a host's name belongs to.
func (c *collector) host(name string) map[int]bool {
	name = strings.ToLower(name)
	if of := c.byHost[name]; of != nil {
		return of
	}
	short, _, _ := strings.Cut(name, ".")
	return c.byHost[short]
}

// contradiction returns how far the clock of a node is ahead if its record cannot have
// been made between the submission of its job and its arrival here: it began before the
// one or ended after the other, by more than a second.
func contradiction(rec *results.Record, since, arrived time.Time) *site.Clock {
	high := rec.Start.Sub(since).Seconds() // the clock is ahead by at most this
	low := rec.End.Sub(arrived).Seconds()  // and at least this
	if low <= slack && high >= -slack {
		return nil
	}
	return &site.Clock{Offset: (low + high) / 2, Within: max(slack, (high-low)/2)}
}

// take writes findings about an attempt to the journal and moves what is refused aside.
func (f *Fleet) take(a *attempt, found []finding, note string) error {
	var entries []Entry
	if note != a.Note && note != "" {
		entries = append(entries, Entry{Event: Noted, Node: a.node.Name, Attempt: a.Number, Reason: note})
	}
	refused := false
	for _, x := range found {
		if x.sent && slices.ContainsFunc(a.refused, func(e Entry) bool { return e.Reason == results.Line(x.err.Error(), mostReason) }) {
			continue // it was fetched again
		}
		e := Entry{Event: Record, Node: a.node.Name, Attempt: a.Number, ID: x.id, Session: x.number, File: results.Line(x.file, mostReason)}
		if x.err != nil {
			e.Event, e.ID, e.Session, e.Reason = Refuse, "", 0, x.err.Error()
			e.Aside, refused = f.asidePath(a, x), true
			if x.part {
				e.State = site.Failed
			}
			if e.Aside != "" && x.sent {
				e.More = results.Command("tar", "tvf", f.path(e.Aside))
			}
		}
		entries = append(entries, e)
		if x.clock != nil && a.node.clock == nil {
			entries = append(entries, Entry{Event: ClockRead, Node: a.node.Name, Clock: x.clock})
		}
	}
	// A record that a power failure takes out of the journal is found again; a reason is
	// not.
	if err := f.write(refused, entries...); err != nil {
		return err
	}
	for _, e := range entries {
		f.putAside(a, e)
	}
	return nil
}

// asidePath is where a refused file goes, below the directory of the measurement. What
// came by hand stays where it is.
func (f *Fleet) asidePath(a *attempt, x finding) string {
	if x.hand || x.file == "" {
		return x.file
	}
	base := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || r == '/' {
			return '_'
		}
		return r
	}, filepath.Base(x.file))
	path := filepath.Join(asideName, fmt.Sprintf("%s.%d.%.100s", a.node.Name, a.Number, base))
	for n := 2; ; n++ {
		if _, err := os.Lstat(filepath.Join(f.dir, path)); err != nil {
			return path
		}
		path = filepath.Join(asideName, fmt.Sprintf("%s.%d.%d.%.100s", a.node.Name, a.Number, n, base))
	}
}

// putAside moves a refused file, if it is where it was. One that cannot be moved stays,
// and is not looked at again.
func (f *Fleet) putAside(a *attempt, e Entry) {
	if e.Event != Refuse || e.Aside == e.File {
		return
	}
	to := filepath.Join(f.dir, e.Aside)
	if _, err := os.Lstat(to); errors.Is(err, fs.ErrNotExist) {
		os.Rename(filepath.Join(f.attemptDir(a.node.Name, a.Number), e.File), to) // #nosec G104 -- it may stay: see above
	}
	step("aside")
}

// Collected counts what was found.
type Collected struct {
	Records int // taken into the store
	Refused int
	Files   []Refusal // of files that came by hand: why they are refused
}

// Collect looks again at what all attempts left, those that were given up too, and takes
// files that came by hand: each a record, or a directory with records in it. Nothing is
// taken twice. show is told how many of the attempts and files are done.
func (f *Fleet) Collect(ctx context.Context, store Store, show func(done, of int), files ...string) (sum Collected, err error) {
	named, err := byHand(files)
	if err != nil {
		return sum, err
	}
	c := newCollector(f.roster, &f.state, store)
	var attempts, hand []*work
	began := map[results.Fleet]time.Time{}
	for _, n := range f.nodes {
		for _, a := range n.attempts {
			job, since, judged := f.job(a), a.Start, maps.Clone(a.files)
			began[results.Fleet{Node: n.Name, Attempt: a.Number}] = since
			attempts = append(attempts, &work{
				look: func(ctx context.Context, in *results.Reader) left { return c.look(ctx, in, job, since, judged) },
				keep: func(l left) error { return f.keep(a, l, &sum) },
			})
		}
	}
	since := func(p results.Fleet) time.Time {
		if at, known := began[results.Fleet{Node: p.Node, Attempt: p.Attempt}]; known {
			return at
		}
		return f.roster.Start
	}
	for _, name := range named {
		hand = append(hand, &work{
			look: func(ctx context.Context, in *results.Reader) left {
				x := finding{file: name, hand: true}
				c.judge(ctx, in, &x, nil, since, func() (*os.File, error) { return results.OpenFile(name) })
				if ctx.Err() != nil { // it was not judged to the end
					return left{}
				}
				return left{found: []finding{x}, unkept: x.unkept}
			},
			keep: func(l left) error { return f.keepByHand(l, &sum) },
		})
	}
	defer func() { err = cmp.Or(err, store.Settle()) }() // of what was taken meanwhile, and will be found again
	done := 0
	count := func() {
		done++
		show(done, len(attempts)+len(hand))
	}
	if err := f.gather(ctx, store, attempts, count); err != nil {
		return sum, err
	}
	// What came by hand does not displace what came by itself.
	err = f.gather(ctx, store, hand, count)
	return sum, err
}

// gather looks at some of what may be there, many at a time, and keeps what is found in its
// order.
func (f *Fleet) gather(ctx context.Context, store Store, todo []*work, count func()) error {
	look, stop := context.WithCancel(ctx)
	wait := each(look, todo)
	defer func() {
		stop()
		wait()
	}()
	for some := range slices.Chunk(todo, atOnce) {
		for _, w := range some {
			if <-w.done; ctx.Err() == nil {
				count()
			}
		}
		if err := store.Settle(); err != nil {
			return err
		}
		for _, w := range some {
			if err := cmp.Or(w.keep(w.found), w.found.unkept); err != nil {
				return err
			}
			w.found = left{}
		}
		if err := f.journal.file.Sync(); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// keep notes what an attempt left.
func (f *Fleet) keep(a *attempt, l left, sum *Collected) error {
	if l.err != nil {
		sum.Files = append(sum.Files, Refusal{Reason: fmt.Sprintf("node %s, attempt %d: %v", a.node.Name, a.Number, l.err)})
	}
	sum.add(l.found)
	return f.take(a, l.found, l.note)
}

// keepByHand notes what is in a file that was named, for the node and the attempt that it
// names itself.
func (f *Fleet) keepByHand(l left, sum *Collected) error {
	if len(l.found) == 0 || l.unkept != nil { // nothing is known of it
		return nil
	}
	x := l.found[0]
	n := f.byName[x.place.Node]
	if x.err != nil {
		sum.Files = append(sum.Files, Refusal{Reason: fmt.Sprintf("%s: %v", x.file, x.err)})
	}
	switch {
	case n == nil || x.place.Run != f.roster.Name || x.place.Attempt < 1 || x.place.Attempt > mostNumber:
		sum.Refused++ // it is nobody's
		return nil
	case x.err == nil && f.records[x.id] == n, x.err != nil && n.attempt(x.place.Attempt).files[results.Line(x.file, mostReason)]:
		return nil // it was judged before
	}
	sum.add(l.found)
	return f.take(n.attempt(x.place.Attempt), l.found, "")
}

func (c *Collected) add(found []finding) {
	for _, x := range found {
		if x.err != nil {
			c.Refused++
		} else {
			c.Records++
		}
	}
}

// work is an attempt, or a file that came by hand, that is looked at.
type work struct {
	look  func(context.Context, *results.Reader) left // by a worker: the journal changes the attempts meanwhile
	keep  func(left) error
	found left
	done  chan struct{} // closed once found is known
}

// each looks at all in their order, on all processors, and returns at once. wait returns
// when none is looked at any more.
func each(ctx context.Context, todo []*work) (wait func()) {
	for _, w := range todo {
		w.done = make(chan struct{})
	}
	var workers sync.WaitGroup
	var next atomic.Int64
	for range min(len(todo), 16*runtime.GOMAXPROCS(0), mostWork) { // they may wait for a disk or a network
		workers.Go(func() {
			in := reader()
			for i := next.Add(1) - 1; i < int64(len(todo)); i = next.Add(1) - 1 {
				w := todo[i]
				if ctx.Err() == nil {
					w.found = w.look(ctx, in)
				}
				close(w.done)
			}
		})
	}
	return workers.Wait
}

// byHand lists the files that were named, and those in the directories that were.
func byHand(names []string) (files []string, err error) {
	for _, name := range names {
		info, err := os.Stat(name)
		if err != nil {
			return nil, fmt.Errorf("fleet: collect: %w", err)
		}
		if !info.IsDir() {
			files = append(files, name)
			continue
		}
		err = filepath.WalkDir(name, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if n := d.Name(); d.Type().IsRegular() && !strings.HasPrefix(n, ".") && !strings.HasSuffix(n, ".partial.json") &&
				(strings.HasSuffix(n, ".json") || strings.HasSuffix(n, ".json.zst")) {
				files = append(files, path)
			}
			if len(files) > mostNodes*mostAttempts {
				return errors.New("too many files")
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("fleet: collect: %w", err)
		}
	}
	return files, nil
}

// path is that of a refused file, which may have come by hand.
func (f *Fleet) path(aside string) string {
	if filepath.IsAbs(aside) {
		return aside
	}
	return filepath.Join(f.dir, aside)
}

func makeAttemptDir(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil { // #nosec G301 -- records are there to be read, by whom the umask lets
		return fmt.Errorf("fleet: %w", err)
	}
	return nil
}
