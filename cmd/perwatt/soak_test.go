//go:build linux

package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/bench/stratum/stratumtest"
	"github.com/perwatt/perwatt/harness"
	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/resultstest"
)

const (
	soakEnv     = "PERWATT_SOAK"      // how long faults are made, such as 5m; without it eight seconds
	soakSeedEnv = "PERWATT_SOAK_SEED" // of what is drawn; without it 1

	soakWatts = 250.0 // of the honest session's instrument
	minerWatt = 3000.0
	minerRate = 5.0  // shares a second that the honest miner finds, at random
	perShare  = 4096 // hashes, at the difficulty of these tests

	soakLimit  = time.Minute      // for a command that only reads, beside whatever
	pageLimit  = 15 * time.Second // for a page
	poolMemory = 256 << 20        // bytes resident, at most, of the pool that is stormed
	pageMemory = 512 << 20        // and of the server of pages
)

// joules is an instrument: the energy of a constant power since it was started,
// every 20 ms, until nobody reads it. Its argument is the power in W.
func joules() {
	watts, err := strconv.ParseFloat(os.Args[1], 64)
	if err != nil {
		panic(err)
	}
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		if _, err := fmt.Printf("%.4f J\n", 1000+watts*time.Since(began).Seconds()); err != nil {
			return
		}
	}
}

// TestSoak lets honest parties work on one store while strangers do what they
// should not: sessions are killed and stopped, disks are full, bits flip, what is no
// record lies among the records, and the ports of the pool and of the pages are
// stormed. The honest ones are sessions with an instrument of known watts, a miner
// of known rate, a client of the pages, and one that lists, tracks and checks the
// store; their figures are right, nothing of theirs is lost, every command ends and
// memory is bounded. What was drawn follows from the seed; the report says what was
// seen of each kind.
//
//	PERWATT_SOAK=5m go test -run 'TestSoak$' -v -timeout 30m ./cmd/perwatt
func TestSoak(t *testing.T) {
	length, long := 8*time.Second, false
	if text := os.Getenv(soakEnv); text != "" {
		var err error
		length, err = time.ParseDuration(text)
		require.NoError(t, err, soakEnv)
		long = true
	} else if testing.Short() {
		t.Skip("strangers are at it for eight seconds")
	}
	seed, err := strconv.ParseUint(cmp.Or(os.Getenv(soakSeedEnv), "1"), 10, 64)
	require.NoError(t, err, soakSeedEnv)
	exe, err := exec.LookPath("perwatt") // testscript.Main has put it there
	require.NoError(t, err)
	s := &soak{
		t: t, exe: exe, dir: t.TempDir(), long: long, rng: rand.New(rand.NewPCG(seed, 0)), began: time.Now(),
		whole: map[string][sha256.Size]byte{}, seen: map[string]*kindSeen{}, slowest: map[string]time.Duration{}, asked: map[string]int{},
	}
	s.store = filepath.Join(s.dir, "store")
	t.Setenv("XDG_CACHE_HOME", filepath.Join(s.dir, "cache")) // where an index may lie too
	t.Logf("seed %d (%s), faults for %v", seed, soakSeedEnv, length)
	s.furnish()

	pool, address := s.pool("--map", "honest=plug", "--meter", fmt.Sprintf("exec:joules %g,boundary=wall,accuracy=0.5%%,period=100ms,name=plug", minerWatt))
	s.poolAt = address
	pages := s.start("serve", "--store", s.store, "--listen", "127.0.0.1:0")
	s.pagesAt = pages.stdout.until(t, `http://([0-9.:]+)/`)

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	mining, ended := context.WithCancel(t.Context())
	defer ended()
	shares := make(chan []time.Time, 1)
	go func() { shares <- s.mine(mining, address) }()
	var honest sync.WaitGroup
	for _, party := range []func(context.Context){s.measure, s.browse, s.look} {
		honest.Go(func() { party(ctx) })
	}
	s.assail(length)
	stop()
	honest.Wait()
	poolPeak, pagesPeak := pool.peak(), pages.peak()
	s.below("pool", poolPeak, poolMemory)
	s.below("serve", pagesPeak, pageMemory)
	ended() // it mines until the pool hangs up
	pool.signal(syscall.SIGINT)
	code := pool.wait(soakLimit)
	pages.signal(syscall.SIGINT)
	s.expect(pages.wait(5*time.Second) == exitOK, "serve", "it does not end well: %s", &pages.stderr)
	// Strangers that hand in shares are measured too, and their figures may be void.
	s.expect(code == exitOK || code == exitGate, "pool", "exit code %d: %s", code, &pool.stderr)
	s.miner(<-shares)
	s.settle()
	s.report(poolPeak, pagesPeak)
}

// soak is one such test.
type soak struct {
	t             *testing.T
	exe           string
	dir, store    string // of everything; of the records
	long          bool
	rng           *rand.Rand // of what is drawn, by one goroutine
	began         time.Time
	poolAt        string
	pagesAt       string
	tracked       string   // what track says of the nights before
	first         []string // records before
	mu            sync.Mutex
	whole         map[string][sha256.Size]byte // records that are finished, by path
	seen          map[string]*kindSeen         // of faults, by kind
	slowest       map[string]time.Duration     // answer, by who was asked
	asked         map[string]int
	honestRuns    int
	watts, rates  []string // honest figures and their intervals
	honestRecords int
}

// kindSeen is what came of the faults of a kind.
type kindSeen struct {
	n    int
	says map[string]int
}

// failf is a failure of an honest party or of what was asked beside a fault.
func (s *soak) failf(who, format string, args ...any) {
	s.t.Errorf("after %.1f s: %s: %.2000s", time.Since(s.began).Seconds(), who, fmt.Sprintf(format, args...))
}

func (s *soak) expect(holds bool, who, format string, args ...any) {
	if !holds {
		s.failf(who, format, args...)
	}
}

// took notes how long an answer took.
func (s *soak) took(who string, since time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked[who]++
	s.slowest[who] = max(s.slowest[who], time.Since(since))
}

// keep notes a record that is finished: nothing may happen to it any more.
func (s *soak) keep(path string) {
	raw, err := os.ReadFile(path)
	if err != nil {
		s.failf("store", "%v", err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.whole[path] = sha256.Sum256(raw)
}

// program is a process of perwatt.
type program struct {
	cmd            *exec.Cmd
	stdout, stderr said
	done           chan struct{}
}

// start runs perwatt, or what is in its place in a shell script: see within.
func (s *soak) start(args ...string) *program { return s.begin(exec.Command(s.exe, args...)) }

func (s *soak) begin(cmd *exec.Cmd) *program {
	p := &program{cmd: cmd, done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &p.stdout, &p.stderr, time.Second
	if err := cmd.Start(); err != nil {
		s.failf("soak", "%v", err)
		close(p.done)
		return p
	}
	s.t.Cleanup(func() { p.signal(syscall.SIGKILL) })
	go func() { _ = cmd.Wait(); close(p.done) }()
	return p
}

// signal sends one, if there is somebody to send it to.
func (p *program) signal(sig syscall.Signal) {
	if p.cmd.Process != nil {
		_ = p.cmd.Process.Signal(sig)
	}
}

// wait returns the exit code, or -1 if it did not end by itself.
func (p *program) wait(limit time.Duration) int {
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(limit):
		p.signal(syscall.SIGKILL)
		<-p.done
		return -1
	}
}

// says waits until standard error matches.
func (p *program) says(pattern string, limit time.Duration) bool {
	re := regexp.MustCompile(pattern)
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if re.MatchString(p.stderr.String()) {
			return true
		}
		select {
		case <-p.done:
			return re.MatchString(p.stderr.String())
		default:
		}
	}
	return false
}

// peak is the most memory that was resident, in bytes.
func (p *program) peak() int {
	raw, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	m := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(raw)
	if m == nil {
		return 0
	}
	kB, _ := strconv.Atoi(string(m[1]))
	return kB << 10
}

func (s *soak) below(who string, peak, most int) {
	s.expect(peak > 0 && peak < most, who, "%d bytes were resident, at most %d may be", peak, most)
}

// do runs a command that has to end, and returns what it printed.
func (s *soak) do(limit time.Duration, args ...string) (code int, stdout, stderr string) {
	began := time.Now()
	p := s.start(args...)
	code = p.wait(limit)
	s.took(args[0], began)
	s.expect(code >= 0, args[0], "it had not ended after %v: %s", limit, &p.stderr)
	return code, p.stdout.String(), p.stderr.String()
}

// furnish fills the store with nights of two servers, before anything happens.
func (s *soak) furnish() {
	for night := range 12 {
		for _, name := range []string{"north", "south"} {
			rec := resultstest.Session(resultstest.Server(name, 1), night, 6, 7)
			raw, err := results.Seal(rec)
			require.NoError(s.t, err)
			path := filepath.Join(s.store, rec.Start.Format("2006-01"), rec.ID+".json")
			require.NoError(s.t, os.MkdirAll(filepath.Dir(path), 0o755))
			require.NoError(s.t, os.WriteFile(path, raw, 0o644))
			s.keep(path)
			s.first = append(s.first, rec.ID)
		}
	}
	s.tracked = s.track()
	require.Greater(s.t, strings.Count(s.tracked, "\n"), 100, "a figure a line")
}

// track is what the index says of the nights before: a figure of each.
func (s *soak) track() string {
	code, stdout, stderr := s.do(soakLimit, "track", "--store", s.store, "--node", "north", "--night", "2026-09-25", "--format", "csv")
	s.expect(code == exitOK, "track", "exit code %d: %s", code, stderr)
	return stdout
}

// pool starts one on the store.
func (s *soak) pool(args ...string) (p *program, address string) {
	p = s.start(append([]string{"pool", "--listen", "127.0.0.1:0", "--store", s.store, "--difficulty", difficulty,
		"--warmup", "500ms", "--settle", "200ms", "--window", "2s", "--interval", "100ms"}, args...)...)
	if !p.says("stratum.tcp://.*,", soakLimit) {
		s.failf("pool", "it does not begin: %s", &p.stderr)
		return p, ""
	}
	return p, regexp.MustCompile(`stratum\+tcp://(\S+),`).FindStringSubmatch(p.stderr.String())[1]
}

// mine hands in shares at random, as a device of a rate does, until the pool hangs up
// after ctx has ended, and returns when each was accepted.
func (s *soak) mine(ctx context.Context, address string) (accepted []time.Time) {
	c, err := net.Dial("tcp", address)
	if err != nil {
		s.failf("miner", "%v", err)
		return nil
	}
	defer c.Close()
	m := stratumtest.Connect(s.t, c, "honest", true)
	r := rand.New(rand.NewPCG(8, 9))
	next := time.Now()
	for extra := uint64(0); ; extra++ {
		id := 0 // of what is waited for; the first job is nobody's answer
		began := time.Now()
		if m.Job != nil {
			next = next.Add(time.Duration(r.ExpFloat64() / minerRate * 1e9))
			time.Sleep(time.Until(next))
			began = time.Now()
			id = m.Send("mining.submit", m.Params(m.Mine(1, extra, m.Job.NTime, 0)[0]))
		}
		for {
			msg, err := m.Read()
			if err != nil {
				s.expect(ctx.Err() != nil, "miner", "%v", err)
				return accepted
			}
			if id == 0 && m.Job != nil {
				break
			}
			if string(msg.ID) != strconv.Itoa(id) {
				continue
			}
			s.took("share", began)
			if msg.Error == nil {
				accepted = append(accepted, time.Now())
			} else if code := fmt.Sprint(msg.Error[0]); code != "21" { // of a job that had just been replaced
				s.failf("miner", "share %d is refused: %s", extra, code)
			}
			break
		}
	}
}

// measure makes one session after the other until ctx ends, one in the short form.
// The last of them ends by itself.
func (s *soak) measure(ctx context.Context) {
	const rounds = 6
	window := "400ms"
	if s.long {
		window = "1s"
	}
	for first := true; first || s.long && ctx.Err() == nil; first = false {
		began := time.Now()
		p := s.start("run", "--preset", "smoke", "--uses", "mining", "--threads", "1", "--rounds", strconv.Itoa(rounds), "--settle", "20ms", "--warmup", "250ms", "--limit", "250ms",
			"--window", window, "--interval", "50ms", "--store", s.store, "--format", "json", "--label", "party=honest",
			"--meter", fmt.Sprintf("exec:joules %g,boundary=wall,accuracy=0.5%%,period=50ms", soakWatts))
		code := p.wait(3 * time.Minute)
		s.took("run", began)
		if code != exitOK {
			s.failf("session", "exit code %d: %s", code, &p.stderr)
			continue
		}
		rec, err := results.Read(strings.NewReader(p.stdout.String()), "standard output")
		if err != nil {
			s.failf("session", "%v", err)
			continue
		}
		path := regexp.MustCompile(`perwatt: record: (\S+)`).FindStringSubmatch(p.stderr.String())[1]
		raw, err := os.ReadFile(path)
		s.expect(err == nil && string(raw) == p.stdout.String(), "session", "%s is not what was printed: %v", path, err)
		s.keep(path)
		good := 0
		for _, r := range rec.Runs {
			if r.Status == results.OK {
				good++
			}
		}
		s.expect(good == 2*rounds && rec.State == results.Complete, "session", "%d of %d runs, %s", good, 2*rounds, rec.State)
		s.mu.Lock()
		s.honestRuns += good
		s.honestRecords++
		s.mu.Unlock()
		for _, row := range rec.Summary.Rows {
			s.holds("session", row.Scenario+" "+results.Power, row.Metrics[results.Power], soakWatts)
		}
	}
}

// holds wants a figure of a single instrument to be the truth within its interval and
// what its instrument adds to that. Where readings came too late for an interval, what
// the instrument adds is all.
func (s *soak) holds(who, name string, m results.Figure, truth float64) {
	low, high := float64(m.Low)*(1-float64(m.Instrument)), float64(m.High)*(1+float64(m.Instrument))
	if m.Low.IsAbsent() {
		low, high = float64(m.Value)*(1-float64(m.Instrument)), float64(m.Value)*(1+float64(m.Instrument))
	}
	s.expect(low <= truth && truth <= high, who, "%s is %.6g in [%.6g, %.6g], and the truth is %g", name, float64(m.Value), low, high, truth)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watts = append(s.watts, fmt.Sprintf("%s %s: %.5g in [%.5g, %.5g], truth %g, %d windows", who, name, float64(m.Value), low, high, truth, m.N))
}

// miner compares the record of the honest miner with what it handed in and what it
// was made to.
func (s *soak) miner(accepted []time.Time) {
	entries, err := filepath.Glob(filepath.Join(s.store, "*", "*.json"))
	require.NoError(s.t, err)
	var rec *results.Record
	for _, path := range entries {
		if info, err := os.Lstat(path); err != nil || !info.Mode().IsRegular() {
			continue
		}
		if r, err := results.ReadFile(path); err == nil && r.Node.Name == "honest" && r.Plan.Preset == harness.PoolPreset && r.Node.Device(results.MinerDevice).Model == "testminer" {
			rec = r
			s.keep(path)
		}
	}
	if rec == nil || len(rec.Runs) == 0 || len(rec.Summary.Rows) == 0 {
		s.failf("miner", "it has no figure")
		return
	}
	counted, truth := 0.0, 0.0
	for _, r := range rec.Runs {
		s.expect(r.Status == results.OK, "miner", "window %d is %s: %s", r.Round, r.Status, r.Error)
		w, _ := r.Phase(results.PhaseMeasure)
		counted += float64(r.Trace(r.Uses[0].Key(results.TraceWork)).Over(float64(w.From), float64(w.To))) / perShare
		from, to := rec.Start.Add(w.From.Duration()), rec.Start.Add(w.To.Duration())
		for _, at := range accepted {
			if at.After(from) && !at.After(to) {
				truth++
			}
		}
	}
	// An answer comes after its share was counted: one at each end may be of the other side.
	s.expect(counted >= truth-2 && counted <= truth+2, "miner", "%.0f shares counted, and %.0f were accepted in its windows", counted, truth)
	metrics := rec.Summary.Rows[0].Metrics
	m := metrics[results.Throughput]
	// Chance takes one in twenty out of the interval, and one in ten thousand out of twice of it.
	half := float64(m.High-m.Low) / 2 / float64(m.Value)
	s.expect(float64(m.Value)*(1-2*half) <= minerRate*perShare && minerRate*perShare <= float64(m.Value)*(1+2*half), "miner", "%.6g hash/s ± %.3g, and the truth is %g", float64(m.Value), half, minerRate*perShare)
	s.rates = append(s.rates, fmt.Sprintf("%.0f shares counted in %d windows, %.0f accepted in them; %.5g hash/s in [%.5g, %.5g], truth %.5g", counted, len(rec.Runs), truth, float64(m.Value), float64(m.Low), float64(m.High), minerRate*perShare))
	s.holds("miner", results.Power, metrics[results.Power], minerWatt)
}

// browse asks for the pages once a second.
func (s *soak) browse(ctx context.Context) {
	client := &http.Client{Timeout: pageLimit, Transport: &http.Transport{DisableKeepAlives: true}}
	pages := []string{"/", "/records.html?since=2026-01-01", "/record.html?id=" + s.first[0]}
	for i := 0; ctx.Err() == nil; i++ {
		began := time.Now()
		page, err := get(client, "http://"+s.pagesAt+pages[i%len(pages)])
		s.took("page", began)
		if err == nil && i%len(pages) == 1 {
			for _, id := range s.first {
				if !strings.Contains(page, id) {
					err = errors.Join(err, fmt.Errorf("record %s is not in the list", id))
				}
			}
		}
		s.expect(err == nil, "page", "%s: %v", pages[i%len(pages)], err)
		rest(ctx, time.Second)
	}
}

func get(client *http.Client, url string) (string, error) {
	r, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer r.Body.Close()
	page, err := io.ReadAll(r.Body)
	if err == nil && r.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %.200s", r.Status, page)
	}
	return string(page), err
}

func rest(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// look lists, tracks and checks the store, over and over.
func (s *soak) look(ctx context.Context) {
	for i := 0; ctx.Err() == nil; i++ {
		switch i % 4 {
		case 0:
			s.list()
		case 1:
			s.expect(s.track() == s.tracked, "track", "the figures of the nights before have changed")
		case 2:
			s.index()
		case 3:
			path := s.drawWhole(i)
			code, _, stderr := s.do(soakLimit, "verify", path)
			s.expect(code == exitOK, "verify", "%s: exit code %d: %s", path, code, stderr)
		}
		rest(ctx, 300*time.Millisecond)
	}
}

func (s *soak) drawWhole(i int) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var paths []string
	for path := range s.whole {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	return paths[i%len(paths)]
}

// list wants every record that is finished in the list.
func (s *soak) list() {
	s.mu.Lock()
	want := map[string]bool{}
	for path := range s.whole {
		want[strings.TrimSuffix(filepath.Base(path), ".json")] = true
	}
	s.mu.Unlock()
	code, stdout, stderr := s.do(soakLimit, "ls", "--store", s.store, "--format", "json")
	s.expect(code == exitOK, "ls", "exit code %d: %s", code, stderr)
	for in := json.NewDecoder(strings.NewReader(stdout)); ; {
		var row struct{ ID, Error string }
		if err := in.Decode(&row); err != nil {
			s.expect(errors.Is(err, io.EOF), "ls", "%v", err)
			break
		}
		if row.Error == "" {
			delete(want, row.ID)
		}
	}
	s.expect(len(want) == 0, "ls", "%d records are not in the list: %v", len(want), want)
}

// index checks the index: what cannot be read is a stranger's.
func (s *soak) index() {
	code, stdout, stderr := s.do(soakLimit, "index", "--store", s.store)
	s.expect(code == exitOK || code == exitData, "index", "exit code %d: %s%s", code, stdout, stderr)
}

// settle wants everything that was whole before the same after, and the index to be
// what the records say.
func (s *soak) settle() {
	s.index()
	s.list()
	s.expect(s.track() == s.tracked, "track", "the figures of the nights before have changed")
	paths := sortedKeys(s.whole)
	for _, path := range paths {
		raw, err := os.ReadFile(path)
		s.expect(err == nil && sha256.Sum256(raw) == s.whole[path], "store", "%s is not what it was: %v", path, err)
	}
	code, _, stderr := s.do(soakLimit, append([]string{"verify"}, paths...)...)
	s.expect(code == exitOK, "verify", "exit code %d: %s", code, stderr)
	s.afresh()
	s.expect(len(s.left()) == 0, "session", "processes are left: %q", s.left())
}

// left are the processes of perwatt that nobody has waited for.
func (s *soak) left() (found []string) {
	exe, err := filepath.EvalSymlinks(s.exe)
	require.NoError(s.t, err)
	all, err := filepath.Glob("/proc/[0-9]*")
	require.NoError(s.t, err)
	for _, p := range all {
		if runs, _ := os.Readlink(filepath.Join(p, "exe")); runs == exe && p != fmt.Sprint("/proc/", os.Getpid()) {
			line, _ := os.ReadFile(filepath.Join(p, "cmdline"))
			found = append(found, p+" "+strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return found
}

// afresh wants the index to say of all records what one says that is made of copies of
// them.
func (s *soak) afresh() {
	copies := filepath.Join(s.dir, "copies")
	err := filepath.WalkDir(s.store, func(path string, d fs.DirEntry, err error) error {
		month := filepath.Base(filepath.Dir(path))
		if err != nil || !d.Type().IsRegular() || len(month) != len("2026-09") {
			return err
		}
		raw, err := os.ReadFile(path)
		return errors.Join(err, os.MkdirAll(filepath.Join(copies, month), 0o755), os.WriteFile(filepath.Join(copies, month, d.Name()), raw, 0o644))
	})
	require.NoError(s.t, err)
	var said [2]map[string]bool
	for i, dir := range []string{s.store, copies} {
		code, stdout, stderr := s.do(soakLimit, "track", "--store", dir, "--night", "2026-09-25", "--format", "csv")
		s.expect(code == exitOK, "track", "exit code %d: %s", code, stderr)
		said[i] = map[string]bool{}
		for _, line := range strings.Split(stdout, "\n") {
			said[i][line] = true
		}
	}
	for i, what := range []string{"it has a figure that the records have not", "it lacks a figure of the records"} {
		for _, line := range sortedKeys(said[i]) {
			s.expect(said[1-i][line], "index", "%s: %s", what, line)
		}
	}
}

// report prints what was seen.
func (s *soak) report(poolPeak, pagesPeak int) {
	var out bytes.Buffer
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	n := 0
	fmt.Fprintln(w, "fault\ttimes\twhat was seen")
	for _, kind := range sortedKeys(s.seen) {
		k := s.seen[kind]
		n += k.n
		var says []string
		for _, text := range sortedKeys(k.says) {
			says = append(says, fmt.Sprintf("%s (%d)", text, k.says[text]))
		}
		fmt.Fprintf(w, "%s\t%d\t%s\n", kind, k.n, strings.Join(says, "; "))
	}
	fmt.Fprintf(w, "all\t%d\t\n\n", n)
	fmt.Fprintln(w, "answer of\ttimes\tslowest")
	for _, who := range sortedKeys(s.slowest) {
		fmt.Fprintf(w, "%s\t%d\t%.3f s\n", who, s.asked[who], s.slowest[who].Seconds())
	}
	w.Flush()
	slices.Sort(s.watts)
	fmt.Fprintf(&out, "\nmost memory resident: pool %d MiB (at most %d), serve %d MiB (at most %d)\n", poolPeak>>20, poolMemory>>20, pagesPeak>>20, pageMemory>>20)
	fmt.Fprintf(&out, "%d records finished, each the same after as before; of the honest session %d, with %d runs\n", len(s.whole), s.honestRecords, s.honestRuns)
	fmt.Fprintf(&out, "honest miner: %s\n", strings.Join(s.rates, ""))
	for _, line := range s.watts {
		fmt.Fprintf(&out, "honest watts: %s\n", line)
	}
	s.t.Logf("%.0f s\n%s", time.Since(s.began).Seconds(), &out)
}

func sortedKeys[V any](m map[string]V) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
