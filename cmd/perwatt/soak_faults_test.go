//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/perwatt/perwatt/bench/stratum/stratumtest"
	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/resultstest"
)

// faults are the kinds that are drawn from. Each returns what was seen, in words
// that are the same where the same was seen. Those that are brief are also in the
// short form.
var faults = []struct {
	kind  string
	brief bool
	make  func(s *soak, r *rand.Rand) string
}{
	{"a session is killed", true, (*soak).killSession},
	{"a worker is killed", false, (*soak).killWorker},
	{"a worker is stopped", false, (*soak).stopWorker},
	{"a session is stopped", false, (*soak).stopSession},
	{"a pool is stopped", false, (*soak).stopPool},
	{"a pool is killed", false, (*soak).killPool},
	{"a server is stopped", true, (*soak).stopServer},
	{"a writer of the index is killed", true, (*soak).killIndex},
	{"a record finds no space", false, (*soak).noSpaceRecord},
	{"the index finds no space", true, (*soak).noSpaceIndex},
	{"a file system is full", false, (*soak).fullFileSystem},
	{"the output is full", true, (*soak).fullOutput},
	{"bits of the index flip", true, (*soak).flipIndex},
	{"bits of a record flip", true, (*soak).flipRecord},
	{"a record is cut short", true, (*soak).cutRecord},
	{"a record is rubbish", true, (*soak).rubbish},
	{"a record is wide", true, (*soak).wideRecord},
	{"something else has a record's name", true, (*soak).otherFile},
	{"an instrument hangs", false, (*soak).hungInstrument},
	{"requests are half sent", true, func(s *soak, r *rand.Rand) string { return s.hold(r, s.pagesAt, "GET / HT") }},
	{"requests have no end", true, (*soak).endlessHeaders},
	{"bodies come slowly", true, func(s *soak, r *rand.Rand) string {
		return s.hold(r, s.pagesAt, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\nx")
	}},
	{"pages are not taken", true, (*soak).deafBrowsers},
	{"comparisons are asked for", true, (*soak).comparisons},
	{"requests stand in a queue", true, (*soak).pipelines},
	{"connections are kept", true, (*soak).keptConnections},
	{"requests are none", true, (*soak).noRequests},
	{"names come without a share", true, (*soak).names},
	{"names come with one share", true, (*soak).oneShare},
	{"shares come in a flood", true, (*soak).flood},
	{"lines are half sent", true, func(s *soak, r *rand.Rand) string { return s.hold(r, s.poolAt, `{"id":1,"method":"mining.su`) }},
	{"shares are wrong", true, (*soak).wrongShares},
	{"miners connect again and again", true, (*soak).reconnects},
	{"miners do not listen", true, (*soak).deafMiners},
}

// assail makes faults, two at a time: in the long form fifty or more, each kind
// twice or more, and others until length has passed; in the short form one brief one
// after the other for as long. What takes three times as long is not waited for.
func (s *soak) assail(length time.Duration) {
	var drawn []int
	for i, f := range faults {
		if s.long {
			drawn = append(drawn, i, i)
		} else if f.brief {
			drawn = append(drawn, i)
		}
	}
	s.rng.Shuffle(len(drawn), func(i, j int) { drawn[i], drawn[j] = drawn[j], drawn[i] })
	var mu sync.Mutex
	began := time.Now()
	next := func() (f int, r *rand.Rand, more bool) {
		mu.Lock()
		defer mu.Unlock()
		took := time.Since(began)
		switch {
		case len(drawn) > 0 && took < 3*length && (s.long || took < length):
			f, drawn = drawn[0], drawn[1:]
		case s.long && took < length:
			f = s.rng.IntN(len(faults))
		default:
			return 0, nil, false
		}
		return f, rand.New(rand.NewPCG(s.rng.Uint64(), 0)), true
	}
	var lanes sync.WaitGroup
	for range 2 {
		lanes.Go(func() {
			for f, r, more := next(); more; f, r, more = next() {
				saw := faults[f].make(s, r)
				s.mu.Lock()
				k := s.seen[faults[f].kind]
				if k == nil {
					k = &kindSeen{says: map[string]int{}}
					s.seen[faults[f].kind] = k
				}
				k.n++
				k.says[saw]++
				s.mu.Unlock()
			}
		})
	}
	lanes.Wait()
}

// many is how many of something there are, and fewer in the short form.
func (s *soak) many(n int) int {
	if s.long {
		return n
	}
	return max(1, n/8)
}

// between is a time from 0 up to a limit.
func between(r *rand.Rand, limit time.Duration) time.Duration {
	return time.Duration(r.Int64N(int64(limit)))
}

// session is one that something happens to, of two scenarios in three rounds.
func sessionArgs(store string, more ...string) []string {
	return append([]string{"run", "--preset", "smoke", "--uses", "mining", "--threads", "1", "--rounds", "3", "--settle", "20ms", "--warmup", "150ms", "--limit", "150ms",
		"--window", "400ms", "--interval", "30ms", "--store", store, "--format", "json", "--label", "party=victim"}, more...)
}

// shell runs perwatt by a shell that does something first.
func (s *soak) shell(first string, args ...string) *program {
	return s.begin(exec.Command("sh", append([]string{"-c", first + `; exec "$0" "$@"`, s.exe}, args...)...))
}

// recorded reads the records that a session says are its own, and keeps those that
// are finished.
func (s *soak) recorded(kind string, p *program) (rec *results.Record) {
	for _, path := range regexp.MustCompile(`\S+\.json\b`).FindAllString(p.stderr.String(), -1) {
		path = strings.TrimPrefix(path, "(")
		f, err := results.LoadFile(path)
		if err != nil {
			s.failf(kind, "%v", err)
			continue
		}
		s.expect(len(f.Verify()) == 0, kind, "%s: %v", path, f.Verify())
		if rec = f.Record; rec.State != results.Running {
			s.keep(path)
		}
	}
	return rec
}

// unfinished wants every record of a killed session to be whole as far as it goes.
func (s *soak) unfinished(kind string) (n int) {
	paths, _ := filepath.Glob(filepath.Join(s.store, "*", "*.partial.json"))
	for _, path := range paths {
		if info, err := os.Lstat(path); err != nil || !info.Mode().IsRegular() {
			continue // it is finished by now, or a stranger's
		}
		f, err := results.LoadFile(path)
		if os.IsNotExist(err) {
			continue
		}
		if s.expect(err == nil, kind, "%s: %v", path, err); err == nil {
			s.expect(len(f.Verify()) == 0, kind, "%s: %v", path, f.Verify())
			n++
		}
	}
	return n
}

// children are the worker processes of a session.
func children(pid int) (pids []int) {
	raw, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", pid))
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, t := range tasks {
		more, _ := os.ReadFile(t)
		raw = append(append(raw, ' '), more...)
	}
	for _, text := range strings.Fields(string(raw)) {
		if n, err := strconv.Atoi(text); err == nil {
			line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", n))
			if bytes.Contains(line, []byte(workerName)) {
				pids = append(pids, n)
			}
		}
	}
	return pids
}

// worker waits for a worker of a session.
func (p *program) worker() int {
	for end := time.Now().Add(soakLimit); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if pids := children(p.cmd.Process.Pid); len(pids) > 0 {
			return pids[0]
		}
		select {
		case <-p.done:
			return 0
		default:
		}
	}
	return 0
}

func (s *soak) killSession(r *rand.Rand) string {
	const kind = "killed session"
	p := s.start(sessionArgs(s.store, "--meter", "none")...)
	p.says("run 1/", soakLimit)
	time.Sleep(between(r, 3*time.Second))
	pid := p.cmd.Process.Pid
	left := children(pid)
	p.signal(syscall.SIGKILL)
	p.wait(time.Second)
	for _, c := range left {
		gone := false
		for end := time.Now().Add(5 * time.Second); !gone && time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
			gone = syscall.Kill(c, 0) != nil
		}
		s.expect(gone, kind, "its worker %d is left", c)
	}
	s.unfinished(kind)
	return "what it had saved is whole, its workers are gone"
}

func (s *soak) killWorker(r *rand.Rand) string {
	const kind = "killed worker"
	p := s.start(sessionArgs(s.store, "--meter", "none")...)
	if pid := p.worker(); pid != 0 {
		time.Sleep(between(r, 300*time.Millisecond))
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	code := p.wait(soakLimit)
	s.expect(code == exitOK || code == exitGate, kind, "exit code %d: %s", code, &p.stderr)
	rec := s.recorded(kind, p)
	if rec == nil {
		s.failf(kind, "no record: %s", &p.stderr)
		return "no record"
	}
	failed := 0
	for _, run := range rec.Runs {
		if run.Status != results.OK {
			failed++
			s.expect(run.Error != "", kind, "a run failed without a reason")
		}
	}
	s.expect(failed <= 1 && len(rec.Runs) == 6 && (failed > 0) == (code == exitGate), kind, "%d of %d runs failed, exit code %d", failed, len(rec.Runs), code)
	return "its run has failed with the reason, the others stand"
}

// suspended says what a record tells of one of its processes that was stopped.
func (s *soak) suspended(kind string, p *program, when time.Time, long time.Duration) string {
	code := p.wait(soakLimit)
	s.expect(code == exitOK || code == exitGate, kind, "exit code %d: %s", code, &p.stderr)
	rec := s.recorded(kind, p)
	if rec == nil {
		s.failf(kind, "no record: %s", &p.stderr)
		return "no record"
	}
	hit := false
	for _, run := range rec.Runs {
		w, ok := run.Phase(results.PhaseMeasure)
		from, to := rec.Start.Add(w.From.Duration()), rec.Start.Add(w.To.Duration())
		hit = hit || ok && run.Scenario == "mining" && from.Before(when.Add(long-200*time.Millisecond)) && to.After(when.Add(200*time.Millisecond))
	}
	if !hit {
		return "no window was hit"
	}
	var codes []string
	for _, f := range rec.Summary.Flags {
		codes = append(codes, f.Code)
	}
	for _, run := range rec.Runs {
		if run.Status != results.OK {
			return "the window has failed with the reason"
		}
	}
	if strings.Contains(strings.Join(codes, " "), "suspended") {
		return "flagged as suspended"
	}
	s.failf(kind, "stopped for %v in a window, and flagged only as %v", long, codes)
	return "not flagged"
}

func (s *soak) stopped(pid int, r *rand.Rand) (when time.Time, long time.Duration) {
	long = time.Second + between(r, 2*time.Second)
	when = time.Now()
	_ = syscall.Kill(pid, syscall.SIGSTOP)
	time.Sleep(long)
	_ = syscall.Kill(pid, syscall.SIGCONT)
	return when, long
}

func (s *soak) stopWorker(r *rand.Rand) string {
	p := s.start(sessionArgs(s.store, "--meter", "none", "--window", "1s")...)
	pid := p.worker()
	if pid == 0 {
		s.failf("stopped worker", "there is none: %s", &p.stderr)
		return "there was none"
	}
	time.Sleep(300*time.Millisecond + between(r, time.Second))
	when, long := s.stopped(pid, r)
	return s.suspended("stopped worker", p, when, long)
}

func (s *soak) stopSession(r *rand.Rand) string {
	p := s.start(sessionArgs(s.store, "--meter", "none", "--window", "1s")...)
	p.worker()
	time.Sleep(300*time.Millisecond + between(r, time.Second))
	when, long := s.stopped(p.cmd.Process.Pid, r)
	return s.suspended("stopped session", p, when, long)
}

// minedPool is a pool with a miner of its own.
func (s *soak) minedPool(name string, args ...string) (p *program, end func()) {
	p, address := s.pool(args...)
	c, err := net.Dial("tcp", address)
	if err != nil {
		s.failf("pool", "%v", err)
		return p, func() {}
	}
	stop := stratumtest.Connect(s.t, c, name, true).Keep(random())
	return p, func() { c.Close(); stop() }
}

func (s *soak) stopPool(r *rand.Rand) string {
	const kind = "stopped pool"
	p, end := s.minedPool("victim")
	defer end()
	if !p.says("is measured", soakLimit) {
		s.failf(kind, "it does not measure: %s", &p.stderr)
	}
	time.Sleep(between(r, time.Second))
	when, long := s.stopped(p.cmd.Process.Pid, r)
	time.Sleep(2500 * time.Millisecond)
	p.signal(syscall.SIGINT)
	code := p.wait(soakLimit)
	s.expect(code == exitOK || code == exitGate, kind, "exit code %d: %s", code, &p.stderr)
	m := regexp.MustCompile(`Record (\S+)`).FindStringSubmatch(p.stdout.String())
	if m == nil {
		return "no window stands"
	}
	s.keep(m[1])
	rec, err := results.ReadFile(m[1])
	if err != nil {
		s.failf(kind, "%v", err)
		return "no record"
	}
	for _, run := range rec.Runs {
		w, _ := run.Phase(results.PhaseMeasure)
		from, to := rec.Start.Add(w.From.Duration()), rec.Start.Add(w.To.Duration())
		if run.Status != results.OK {
			return "a window has failed with the reason"
		}
		if from.Before(when) && to.After(when.Add(long)) {
			return "a window holds all of it, and all of its shares"
		}
	}
	return "the windows stand"
}

func (s *soak) killPool(r *rand.Rand) string {
	const kind = "killed pool"
	p, end := s.minedPool("victim")
	defer end()
	p.says("is measured", soakLimit)
	time.Sleep(between(r, 3*time.Second))
	p.signal(syscall.SIGKILL)
	p.wait(time.Second)
	s.unfinished(kind)
	return "what it had saved is whole"
}

func (s *soak) stopServer(r *rand.Rand) string {
	p := s.start("serve", "--store", s.store, "--listen", "127.0.0.1:0")
	time.Sleep(between(r, 500*time.Millisecond)) // while it opens the index, or after that
	s.stopped(p.cmd.Process.Pid, r)
	time.Sleep(100 * time.Millisecond)
	p.signal(syscall.SIGTERM)
	if code := p.wait(soakLimit); code != exitOK && code != exitInterrupted {
		if ws, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || ws.Signal() != syscall.SIGTERM { // else it was not up when the signal came
			s.failf("stopped server", "exit code %d: %s", code, &p.stderr)
		}
	}
	return "the others have gone on, it ends when it is told to"
}

func (s *soak) killIndex(r *rand.Rand) string {
	args := []string{"index", "--store", s.store}
	if r.IntN(2) == 0 {
		args = append(args, "--rebuild")
	}
	for range s.many(8) {
		p := s.start(args...)
		time.Sleep(between(r, 400*time.Millisecond))
		p.signal(syscall.SIGKILL)
		p.wait(time.Second)
	}
	s.list()
	return "the next command has the index whole"
}

// A record of this session is larger than what a file may have.
func (s *soak) noSpaceRecord(r *rand.Rand) string {
	const kind = "no space for a record"
	p := s.shell(fmt.Sprintf("ulimit -f %d", 4+r.IntN(40)), sessionArgs(s.store, "--meter", "none")...)
	code := p.wait(soakLimit)
	s.expect(code == exitData, kind, "exit code %d: %s", code, &p.stderr)
	s.expect(strings.Contains(p.stderr.String(), "could not be saved") && strings.Contains(p.stderr.String(), "free some"), kind, "it does not say what to do: %s", &p.stderr)
	s.unfinished(kind)
	return "it says so and ends, what was saved before is whole"
}

func (s *soak) noSpaceIndex(r *rand.Rand) string {
	const kind = "no space for the index"
	args := [][]string{{"index", "--rebuild"}, {"ls"}, {"track", "--node", "north"}}[r.IntN(3)]
	p := s.shell(fmt.Sprintf("ulimit -f %d", 1+r.IntN(300)), append(args, "--store", s.store)...)
	code := p.wait(soakLimit)
	s.expect(code == exitOK || code == exitData, kind, "%v: exit code %d: %s", args, code, &p.stderr)
	s.expect(!strings.Contains(p.stderr.String(), "goroutine "), kind, "%v: %s", args, &p.stderr)
	s.list()
	return "the next command has the index whole"
}

// A file system of its own, in a name space of its own, that is too small.
func (s *soak) fullFileSystem(r *rand.Rand) string {
	const kind = "full file system"
	dir, err := os.MkdirTemp(s.dir, "small")
	if err != nil {
		s.failf(kind, "%v", err)
	}
	if exec.Command("unshare", "-Urm", "true").Run() != nil {
		return "not allowed here"
	}
	script := fmt.Sprintf(`mount -t tmpfs -o size=%dk small "$0" || exit 99; shift; "$@"; code=$?; find "$0" -name '*.json' | while read f; do "$1" verify "$f" || echo BROKEN; done; exit $code`, 16+r.IntN(48))
	p := s.begin(exec.Command("unshare", append([]string{"-Urm", "sh", "-c", script, dir, "-", s.exe}, sessionArgs(dir, "--meter", "none")...)...))
	code := p.wait(2 * soakLimit)
	if code == 99 {
		return "not allowed here"
	}
	s.expect(code == exitData || code == exitOK, kind, "exit code %d: %s", code, &p.stderr)
	s.expect(code == exitOK || strings.Contains(p.stderr.String(), "free some"), kind, "it does not say what to do: %s", &p.stderr)
	s.expect(!strings.Contains(p.stdout.String(), "BROKEN"), kind, "what was saved is not whole: %s", &p.stdout)
	return "it says so and ends, what was saved before is whole"
}

func (s *soak) fullOutput(r *rand.Rand) string {
	const kind = "full output"
	args := [][]string{{"ls", "--store", s.store}, {"track", "--store", s.store}, {"show", s.drawWhole(0)}, {"compare", s.drawWhole(0)}}[r.IntN(4)]
	p := s.begin(exec.Command("sh", append([]string{"-c", `exec "$0" "$@" >/dev/full`, s.exe}, args...)...))
	code := p.wait(soakLimit)
	s.expect(code > 0, kind, "%v: exit code %d: %s", args, code, &p.stderr)
	return "it is an error"
}

func (s *soak) flipIndex(r *rand.Rand) string {
	const kind = "flipped index"
	// Where one cannot be made anew, as somebody has it open, there is another.
	paths, _ := filepath.Glob(filepath.Join(s.dir, "cache", "perwatt", "*", "index.sqlite"))
	for _, path := range append(paths, filepath.Join(s.store, "index.sqlite")) {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			continue
		}
		info, err := f.Stat()
		for n := 1 << r.IntN(7); err == nil && info.Size() > 0 && n > 0; n-- {
			at, b := r.Int64N(info.Size()), make([]byte, 1)
			_, _ = f.ReadAt(b, at)
			b[0] ^= 1 << r.IntN(8)
			_, _ = f.WriteAt(b, at)
		}
		f.Close()
	}
	s.expect(s.track() == s.tracked, kind, "the figures of the nights before have changed")
	s.index()
	s.expect(s.track() == s.tracked, kind, "the figures of the nights before have changed, after perwatt index")
	s.list()
	return "found, healed, or without effect"
}

// stranger puts bytes among the records, in a name that no record has.
func (s *soak) stranger(r *rand.Rand, raw []byte) (path string) {
	path = filepath.Join(s.store, "2026-09", strange(r)+".json")
	if err := os.WriteFile(path, raw, 0o644); err != nil {
		s.failf("stranger", "%v", err)
	}
	return path
}

func strange(r *rand.Rand) string {
	var b [10]byte
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return ulid.MustNew(uint64(time.Date(2026, 9, 20, 0, 0, 0, 0, time.UTC).UnixMilli())+r.Uint64N(1e6), bytes.NewReader(b[:])).String()
}

// sealed is a record of a server, as it lies in a file.
func (s *soak) sealed(r *rand.Rand, change func(*results.Record)) []byte {
	rec := resultstest.Session(resultstest.Server("stranger", 1), 6, 6, r.Uint64())
	rec.ID = strange(r)
	if change != nil {
		change(rec)
	}
	raw, err := results.Seal(rec)
	if err != nil {
		s.failf("stranger", "%v", err)
	}
	return raw
}

// refused wants a file to be refused, with its name, and the honest records to be
// listed beside it.
func (s *soak) refused(kind, path string) {
	code, _, stderr := s.do(soakLimit, "verify", path)
	s.expect(code == exitGate || code == exitData, kind, "verify %s: exit code %d: %s", path, code, stderr)
	s.expect(strings.Contains(stderr, filepath.Base(path)), kind, "verify does not name %s: %s", path, stderr)
	s.list()
}

func (s *soak) flipRecord(r *rand.Rand) string {
	raw := s.sealed(r, nil)
	digits := regexp.MustCompile(`"v": *\[[0-9.,e+-]+`).FindAllIndex(raw, -1)
	for range 1 + r.IntN(64) {
		at := r.IntN(len(raw))
		if len(digits) > 0 && r.IntN(2) == 0 { // in a figure, which stays one
			d := digits[r.IntN(len(digits))]
			at = d[0] + 5 + r.IntN(d[1]-d[0]-5)
		}
		raw[at] ^= 1 << r.IntN(8)
	}
	s.refused("flipped record", s.stranger(r, raw))
	return "refused by name"
}

func (s *soak) cutRecord(r *rand.Rand) string {
	raw := s.sealed(r, nil)
	s.refused("cut record", s.stranger(r, raw[:r.IntN(len(raw)-2)]))
	return "refused by name"
}

func (s *soak) rubbish(r *rand.Rand) string {
	raw := make([]byte, 1+r.IntN(100_000))
	switch r.IntN(4) {
	case 0:
		for i := range raw {
			raw[i] = byte(r.Uint32())
		}
	case 1:
		raw = bytes.Repeat([]byte("["), len(raw))
	case 2: // and zeros
	case 3:
		raw = append([]byte(`{"schema":2,"id":"`), bytes.Repeat([]byte("\x1b[31m\u009b\u202e"), len(raw)/10)...)
	}
	s.refused("rubbish", s.stranger(r, raw))
	return "refused by name"
}

// A record that is sealed and small, and has a great many of something.
func (s *soak) wideRecord(r *rand.Rand) string {
	raw := s.sealed(r, func(rec *results.Record) {
		rec.ID = strange(r)
		run := rec.Runs[1]
		rec.Runs = nil
		for i := range s.many(4000) {
			next := run
			next.Scenario, next.Round, next.Traces = fmt.Sprint("s", i), 1, run.Traces[:1]
			rec.Runs = append(rec.Runs, next)
			if i%4 == 0 {
				m := rec.Meters[0]
				m.Name = fmt.Sprint("m", i)
				rec.Meters = append(rec.Meters, m)
			}
		}
	})
	path := filepath.Join(s.store, "2026-09", strange(r)+".json.zst")
	if err := os.WriteFile(path, results.Compress(raw), 0o644); err != nil {
		s.failf("wide record", "%v", err)
	}
	code, _, stderr := s.do(soakLimit, "verify", path)
	s.expect(code != exitOK && code >= 0, "wide record", "verify %s: exit code %d: %s", path, code, stderr)
	s.list()
	return "refused"
}

func (s *soak) otherFile(r *rand.Rand) string {
	const kind = "other file"
	dir := []string{filepath.Join(s.store, "2026-09"), s.store}[r.IntN(2)]
	name := strange(r) + []string{".json", ".json.zst", ".partial.json", ".amend.json"}[r.IntN(4)]
	if dir == s.store && r.IntN(2) == 0 {
		name = fmt.Sprintf("20%02d-%02d", 30+r.IntN(60), 1+r.IntN(12)) // like a month
	}
	path := filepath.Join(dir, name)
	var err error
	what := []string{"FIFO", "socket", "dangling link", "link to a device", "directory", "link to itself", "file"}[r.IntN(7)]
	switch what {
	case "FIFO":
		err = syscall.Mkfifo(path, 0o600)
	case "socket":
		var l *net.UnixListener
		short := filepath.Join(os.TempDir(), strange(r)) // the path of a socket has 108 bytes
		if l, err = net.ListenUnix("unix", &net.UnixAddr{Name: short, Net: "unix"}); err == nil {
			l.SetUnlinkOnClose(false)
			l.Close()
			err = os.Rename(short, path)
		}
	case "dangling link":
		err = os.Symlink("/nowhere", path)
	case "link to a device":
		err = os.Symlink([]string{"/dev/zero", "/dev/tty", "/dev/full"}[r.IntN(3)], path)
	case "directory":
		err = os.Mkdir(path, 0o700)
	case "link to itself":
		err = os.Symlink(path, path)
	case "file":
		err = os.WriteFile(path, []byte("x"), 0o600)
	}
	s.expect(err == nil, kind, "%v", err)
	s.list()
	if what != "directory" && what != "file" && strings.HasSuffix(path, ".json") {
		s.refused(kind, path)
	}
	return what
}

func (s *soak) hungInstrument(r *rand.Rand) string {
	const kind = "hung instrument"
	fifo := filepath.Join(s.dir, strange(r))
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		s.failf(kind, "%v", err)
	}
	switch r.IntN(3) {
	case 0: // from the start
		p := s.start(sessionArgs(s.store, "--meter", "exec:cat "+fifo+",boundary=wall,timeout=1s")...)
		code := p.wait(soakLimit)
		s.expect(code == exitData || code == exitUsage, kind, "exit code %d: %s", code, &p.stderr)
		return "refused before anything is measured"
	case 1: // after its first reading
		p := s.start(sessionArgs(s.store, "--meter", "exec:echo 100 W; exec sleep 600,boundary=wall,period=50ms,timeout=1s")...)
		code := p.wait(soakLimit)
		s.expect(code == exitOK || code == exitGate, kind, "exit code %d: %s", code, &p.stderr)
		rec := s.recorded(kind, p)
		if rec == nil {
			s.failf(kind, "no record: %s", &p.stderr)
			return "no record"
		}
		for _, row := range rec.Summary.Rows {
			s.expect(row.Metrics[results.Power].Value.IsAbsent(), kind, "%s has %v", row.Scenario, row.Metrics[results.Power])
		}
		return "no watts, the rates stand"
	}
	// And somebody has had enough of it.
	p := s.start(sessionArgs(s.store, "--meter", "exec:cat "+fifo+",boundary=wall,timeout=30s")...)
	time.Sleep(200*time.Millisecond + between(r, time.Second))
	p.signal(syscall.SIGTERM)
	began := time.Now()
	code := p.wait(soakLimit)
	s.took("SIGTERM", began)
	s.expect(code != exitOK, kind, "exit code %d: %s", code, &p.stderr)
	return "it ends when it is told to"
}

// dial connects from one of the addresses of loopback.
func (s *soak) dial(r *rand.Rand, address string) net.Conn {
	d := net.Dialer{Timeout: 5 * time.Second}
	if r.IntN(2) == 0 {
		d.LocalAddr = &net.TCPAddr{IP: net.IPv4(127, 0, byte(r.IntN(4)), byte(2+r.IntN(200)))}
	}
	c, err := d.Dial("tcp", address)
	if err != nil {
		return nil // it has enough of us
	}
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return c
}

// crowd is many connections at once that send something and stay for a while.
func (s *soak) crowd(r *rand.Rand, address string, n int, stay time.Duration, send func(i int, c net.Conn)) (turnedAway int) {
	var all []net.Conn
	for i := range n {
		if c := s.dial(r, address); c != nil {
			all = append(all, c)
			if send != nil {
				send(i, c)
			}
		} else {
			turnedAway++
		}
	}
	time.Sleep(stay)
	for _, c := range all {
		c.Close()
	}
	return turnedAway
}

// hold is a crowd of which each sends the same and waits.
func (s *soak) hold(r *rand.Rand, address, send string) string {
	s.crowd(r, address, s.many(1000), between(r, 4*time.Second), func(_ int, c net.Conn) { _, _ = io.WriteString(c, send) })
	return "the others are answered"
}

func (s *soak) endlessHeaders(r *rand.Rand) string {
	line := "X-A: " + strings.Repeat("a", 1<<16) + "\r\n"
	s.crowd(r, s.pagesAt, s.many(100), 0, func(_ int, c net.Conn) {
		_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: localhost\r\n")
		for range 4 {
			if _, err := io.WriteString(c, line); err != nil {
				return
			}
		}
	})
	return "the others are answered"
}

func (s *soak) deafBrowsers(r *rand.Rand) string {
	var ask strings.Builder
	ask.WriteString("GET /report.html?")
	for _, id := range s.first {
		ask.WriteString("r=" + id + "&")
	}
	ask.WriteString(" HTTP/1.1\r\nHost: localhost\r\n\r\n")
	s.crowd(r, s.pagesAt, s.many(100), between(r, 4*time.Second), func(_ int, c net.Conn) {
		_ = c.(*net.TCPConn).SetReadBuffer(1)
		_, _ = io.WriteString(c, ask.String())
	})
	return "the others are answered"
}

// Each is seconds of work, and all of them are more than there are connections.
func (s *soak) comparisons(r *rand.Rand) string {
	ask := "GET /report.html?" + strings.Repeat("r="+strings.Join(s.first, "&r=")+"&", 20)[:12_000] + " HTTP/1.1\r\nHost: localhost\r\n\r\n"
	s.crowd(r, s.pagesAt, s.many(400), between(r, 4*time.Second), func(_ int, c net.Conn) { _, _ = io.WriteString(c, ask) })
	return "the others are answered"
}

func (s *soak) pipelines(r *rand.Rand) string {
	ask := strings.Repeat("GET /records.html HTTP/1.1\r\nHost: localhost\r\n\r\n", 50)
	s.crowd(r, s.pagesAt, s.many(20), between(r, 3*time.Second), func(_ int, c net.Conn) { _, _ = io.WriteString(c, ask) })
	return "the others are answered"
}

func (s *soak) keptConnections(r *rand.Rand) string {
	s.crowd(r, s.pagesAt, s.many(400), between(r, 4*time.Second), func(_ int, c net.Conn) {
		_, _ = io.WriteString(c, "GET /nothing HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n")
	})
	return "the others are answered"
}

func (s *soak) noRequests(r *rand.Rand) string {
	requests := []string{
		"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "CONNECT elsewhere:443 HTTP/1.1\r\nHost: elsewhere\r\n\r\n", "GET / HTTP/1.0\r\n\r\n", "GET http://elsewhere/ HTTP/1.1\r\nHost: elsewhere\r\n\r\n",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "\r\n\r\n\r\n\r\n", "GET / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n",
		"GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", "GET / HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n", strings.Repeat("\x00", 4096), "OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
	}
	for _, text := range requests {
		if c := s.dial(r, s.pagesAt); c != nil {
			_ = c.SetDeadline(time.Now().Add(time.Second))
			_, _ = io.WriteString(c, text)
			_, _ = http.ReadResponse(bufio.NewReader(c), nil)
			c.Close()
		}
	}
	s.crowd(r, s.pagesAt, s.many(200), 0, func(i int, c net.Conn) { _, _ = io.WriteString(c, requests[i%len(requests)]) })
	return "the others are answered"
}

const subscribeLine = `{"id":1,"method":"mining.subscribe","params":["stranger/1"]}` + "\n"

func authorizeLine(name string) string {
	return fmt.Sprintf(`{"id":2,"method":"mining.authorize","params":[%q,"x"]}`+"\n", name)
}

func (s *soak) names(r *rand.Rand) string {
	s.crowd(r, s.poolAt, s.many(1100), between(r, 3*time.Second), func(i int, c net.Conn) {
		_, _ = io.WriteString(c, subscribeLine+authorizeLine(fmt.Sprint("name", i)))
	})
	return s.newcomer(r)
}

// newcomer is a device that comes to the pool meanwhile, and mines.
func (s *soak) newcomer(r *rand.Rand) string {
	c, err := net.Dial("tcp", s.poolAt)
	if err != nil {
		s.failf("newcomer", "%v", err)
		return "a newcomer is not"
	}
	defer c.Close()
	m := stratumtest.Connect(s.t, c, "newcomer "+strange(r), true)
	if err := awaitJob(m); err != nil {
		s.failf("newcomer", "%v", err)
		return "a newcomer is not"
	}
	code := m.Submit(m.Mine(1, r.Uint64N(1<<32), m.Job.NTime, 0)[0])
	s.expect(code == "", "newcomer", "its share is refused: %s", code)
	return "a newcomer that mines is served"
}

// awaitJob reads what the pool says until it has given work.
func awaitJob(m *stratumtest.Miner) error {
	for m.Job == nil {
		if _, err := m.Read(); err != nil {
			return err
		}
	}
	return nil
}

// Each name hands in a good share and stops; half of them stay.
func (s *soak) oneShare(r *rand.Rand) string {
	for i := range s.many(300) {
		c := s.dial(r, s.poolAt)
		if c == nil {
			continue
		}
		m := stratumtest.Connect(s.t, c, fmt.Sprintf("once %s", strange(r)), false)
		if awaitJob(m) == nil {
			m.Submit(m.Mine(1, r.Uint64N(1<<32), m.Job.NTime, 0)[0])
		}
		if i%2 == 0 {
			c.Close()
		} else {
			defer c.Close()
		}
	}
	return s.newcomer(r)
}

func (s *soak) flood(r *rand.Rand) string {
	ctx, stop := context.WithTimeout(s.t.Context(), 500*time.Millisecond+between(r, 2*time.Second))
	defer stop()
	lines := []byte(strings.Repeat(`{"id":4,"method":"mining.submit","params":["flood","1","00000000","00000000","00000000"]}`+"\n", 200))
	var all sync.WaitGroup
	for range s.many(16) {
		c := s.dial(r, s.poolAt)
		if c == nil {
			continue
		}
		all.Go(func() {
			defer c.Close()
			_, _ = io.WriteString(c, subscribeLine+authorizeLine("flood"))
			go func() { _, _ = io.Copy(io.Discard, c) }()
			for ctx.Err() == nil {
				_ = c.SetWriteDeadline(time.Now().Add(time.Second))
				if _, err := c.Write(lines); err != nil {
					return
				}
			}
		})
	}
	all.Wait()
	return s.newcomer(r)
}

// Shares that are old, twice the same, in another's name, or of nothing.
func (s *soak) wrongShares(r *rand.Rand) string {
	c := s.dial(r, s.poolAt)
	if c == nil {
		return "turned away"
	}
	defer c.Close()
	m := stratumtest.Connect(s.t, c, "wrong "+strange(r), true)
	if awaitJob(m) != nil {
		return "turned away"
	}
	good := m.Mine(1, r.Uint64N(1<<32), m.Job.NTime, 0)[0]
	m.Submit(good)
	s.expect(m.Submit(good) != "", "wrong shares", "one is taken twice")
	other := good
	other.Job = "ffff"
	s.expect(m.Submit(other) != "", "wrong shares", "one of no job is taken")
	other = good
	other.NTime += 1 << 20
	s.expect(m.Submit(other) != "", "wrong shares", "one of another time is taken")
	m.Name = "honest"
	s.expect(m.Submit(m.Mine(1, r.Uint64N(1<<32), m.Job.NTime, 0)[0]) != "", "wrong shares", "one in another's name is taken")
	return "refused"
}

func (s *soak) reconnects(r *rand.Rand) string {
	for i := range s.many(1000) {
		c := s.dial(r, s.poolAt)
		if c == nil {
			continue
		}
		if i%2 == 0 {
			_ = c.(*net.TCPConn).SetLinger(0) // a reset
		}
		if i%3 > 0 {
			_, _ = io.WriteString(c, subscribeLine+authorizeLine(fmt.Sprint("again", i%7)))
		}
		c.Close()
	}
	return s.newcomer(r)
}

func (s *soak) deafMiners(r *rand.Rand) string {
	ask := subscribeLine + authorizeLine("deaf") + strings.Repeat(`{"id":3,"method":"mining.ping","params":[]}`+"\n", 2000)
	s.crowd(r, s.poolAt, s.many(200), between(r, 3*time.Second), func(_ int, c net.Conn) {
		_ = c.(*net.TCPConn).SetReadBuffer(1)
		_ = c.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
		_, _ = io.WriteString(c, ask)
	})
	return s.newcomer(r)
}
