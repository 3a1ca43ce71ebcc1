package harness

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/perwatt/perwatt/results"
)

// suspended is what the flags of a record say of suspension.
func suspended(rec *results.Record) (out []string) {
	for _, f := range rec.Summary.Flags {
		if f.Code == "suspended" {
			out = append(out, f.Run+": "+f.Text)
		}
	}
	return out
}

// stops is for how long processes are stopped.
func stops() []time.Duration {
	if testing.Short() {
		return []time.Duration{time.Second}
	}
	return []time.Duration{time.Second, 3 * time.Second}
}

// proceed waits until a process, our child, has stopped, leaves it so for d and has
// it go on. It was stopped for least to most: this process may wait for a CPU, too.
func proceed(t *testing.T, pid int, d time.Duration) (least, most time.Duration) {
	t.Helper()
	began := time.Now()
	var state unix.WaitStatus
	_, err := unix.Wait4(pid, &state, unix.WUNTRACED, nil)
	require.NoError(t, err)
	require.True(t, state.Stopped(), state)
	stopped := time.Now()
	time.Sleep(d)
	least = time.Since(stopped)
	require.NoError(t, syscall.Kill(pid, syscall.SIGCONT))
	return least, time.Since(began)
}

// A worker that is stopped while it is measured is named, also one in the
// background alone, and the others are not. It is stopped from before one beat until after
// another: what lies between them is counted, however late beats come on a busy machine.
func TestStoppedWorkerIsNamed(t *testing.T) {
	t.Parallel()
	for _, d := range stops() {
		t.Run(d.String(), func(t *testing.T) {
			t.Parallel()
			s := newSession(t, "mullet")
			s.Record.Plan.Window = results.Float(d.Seconds() + 1) // many beats
			var least, most time.Duration
			over := make(chan struct{})
			s.Progress = func(p Progress) {
				if p.Scenario == "mullet" && p.Phase == results.PhaseMeasure {
					pid := workers(s.heart)["mining"]
					stopped := time.Now()
					require.NoError(t, syscall.Kill(pid, syscall.SIGSTOP))
					go func() {
						defer close(over)
						halted := func(d time.Duration) (counted results.Float) {
							for until := time.Now().Add(d); ; time.Sleep(time.Millisecond) {
								seen, stood := standing(s.heart, "mining")
								if counted = stood; seen && time.Now().After(until) {
									return counted
								}
							}
						}
						halted(0)
						began := time.Now()
						counted := halted(d)
						least = time.Since(began)
						for range 2 { // the first may have begun before
							for was := counted; counted == was; time.Sleep(time.Millisecond) {
								_, counted = standing(s.heart, "mining")
							}
						}
						require.NoError(t, syscall.Kill(pid, syscall.SIGCONT))
						most = time.Since(stopped)
					}()
				}
			}
			require.NoError(t, s.Run(t.Context()))
			<-over
			require.Equal(t, results.OK, s.Record.Runs[1].Status, s.Record.Runs[1].Error)
			said := suspended(s.Record)
			require.Len(t, said, 1)
			require.Contains(t, said[0], "mullet/1: the worker of mining was stopped for")
			tr := s.Record.Runs[1].Trace(results.UseKey(results.TraceSuspended, "mining", results.CPUDevice))
			stood := float64(tr.V[len(tr.V)-1])
			require.LessOrEqual(t, stood, most.Seconds())
			require.GreaterOrEqual(t, stood, least.Seconds())
			require.GreaterOrEqual(t, least, d)
		})
	}
}

// standing is whether the worker of a use was seen to be halted, and for how many s so far.
func standing(h *Heartbeat, use string) (halted bool, stood results.Float) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.samplers {
		s.mu.Lock()
		for _, p := range s.procs {
			if tr := s.index[p.key(results.TraceSuspended)]; p.use == use && tr != nil {
				halted, stood = p.halted, tr.V[len(tr.V)-1]
			}
		}
		s.mu.Unlock()
	}
	return halted, stood
}

// workers are the processes that are looked at now.
func workers(h *Heartbeat) map[string]int {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := map[string]int{}
	for s := range h.samplers {
		s.mu.Lock()
		for _, p := range s.procs {
			out[p.use] = p.pid
		}
		s.mu.Unlock()
	}
	return out
}

// sessionEnv is the file for the record of the second process; withWorker ends its
// name if that is to stop its worker, too.
const (
	sessionEnv = "PERWATT_TEST_SESSION"
	withWorker = ".both"
)

// The harness itself is stopped, as Ctrl-Z does it: its workers are in groups of
// their own and work on. The session is that of a second process, this test again.
func TestStoppedHarnessIsNamed(t *testing.T) {
	if file := os.Getenv(sessionEnv); file != "" {
		stallLimit = 1500 * time.Millisecond
		s := newSession(t, "mining")
		var worker atomic.Int64
		s.Progress = func(p Progress) {
			if p.Scenario == "mining" && p.Phase == results.PhaseMeasure {
				worker.Store(int64(workers(s.heart)["mining"]))
			}
		}
		read := 0
		s.Meters[0].(*ramp).fail = func(int) error {
			if worker.Load() == 0 {
				return nil
			}
			if read++; read == 2 { // a reading later: the window has begun
				fmt.Println(worker.Load())
				if strings.HasSuffix(file, withWorker) {
					require.NoError(t, syscall.Kill(int(worker.Load()), syscall.SIGSTOP))
				}
				require.NoError(t, syscall.Kill(os.Getpid(), syscall.SIGSTOP))
			}
			return nil
		}
		require.NoError(t, s.Run(t.Context()))
		b, err := json.Marshal(s.Record)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(file, b, 0o600))
		return
	}
	t.Parallel()
	for _, d := range append(stops(), 2*time.Second) {
		t.Run(d.String(), func(t *testing.T) {
			t.Parallel()
			file, both := filepath.Join(t.TempDir(), "record.json"), d == 2*time.Second // and for longer than a worker may hang
			if both {
				file += withWorker
				if testing.Short() {
					t.Skip("takes four seconds")
				}
			}
			cmd := exec.Command(os.Args[0], "-test.run=^TestStoppedHarnessIsNamed$")
			cmd.Env = append(os.Environ(), sessionEnv+"="+file)
			out, err := cmd.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, cmd.Start())
			worker := 0
			_, err = fmt.Fscanln(out, &worker)
			require.NoError(t, err)
			least, most := proceed(t, cmd.Process.Pid, d)
			if both {
				time.Sleep(100 * time.Millisecond)
				require.NoError(t, syscall.Kill(worker, syscall.SIGCONT))
			}
			require.NoError(t, cmd.Wait())
			b, err := os.ReadFile(file)
			require.NoError(t, err)
			var rec results.Record
			require.NoError(t, json.Unmarshal(b, &rec))
			run := rec.Runs[1]
			require.Equal(t, results.OK, run.Status, run.Error)
			flags := suspended(&rec)
			require.NotEmpty(t, flags)
			require.Contains(t, flags[0], "mining/1: perwatt did not run for")
			tr := run.Trace(results.HarnessSuspended)
			stood := float64(tr.V[len(tr.V)-1])
			require.LessOrEqual(t, stood, most.Seconds()+0.3)
			// The sleep of two beats is none of it, nor what the machine explains: CPUs
			// that the host took, a quota, waits for memory.
			for _, key := range []results.TraceKey{results.HostSteal, results.QuotaHeld, results.HostMemorySome} {
				if tr := run.Trace(key); tr != nil {
					stood += float64(tr.V[len(tr.V)-1] - tr.V[0])
				}
			}
			require.GreaterOrEqual(t, stood, (least - 2*beatEvery).Seconds())
			require.Less(t, len(tr.T), 8, "what is level takes two samples")
			if both {
				return
			}
			require.Len(t, flags, 1)
			work, jump := run.Trace(results.UseKey(results.TraceWork, "mining", results.CPUDevice)), results.Float(0)
			for i := 1; i < len(work.V); i++ {
				jump = max(jump, work.V[i]-work.V[i-1])
			}
			// One count a millisecond and a sample every 20 ms: a worker that had
			// stopped, too, would show no more than that.
			require.Greater(t, float64(jump), 2*20.0, "the worker went on")
		})
	}
}

// A session that nobody stops says so of each of its processes.
func TestUndisturbedSession(t *testing.T) {
	s := newSession(t, "mining")
	require.NoError(t, s.Run(t.Context()))
	require.Empty(t, suspended(s.Record))
	for _, key := range []results.TraceKey{results.UseKey(results.TraceSuspended, "mining", results.CPUDevice), results.HarnessSuspended, results.MachineSuspended, results.HostWall} {
		tr := s.Record.Runs[1].Trace(key)
		require.NotNil(t, tr, key)
		require.False(t, slices.ContainsFunc(tr.V, func(v results.Float) bool { return v != 0 }), key)
	}
}

func TestBetween(t *testing.T) {
	t0 := time.Now()
	first := look{woke: t0, slept: t0, withheld: 7 * time.Second, asleep: time.Hour, wall: -time.Second, timed: true}
	for _, c := range []struct {
		name                            string
		late, withheld, asleep          time.Duration
		inLook, withheldLook, lateFirst time.Duration // of the beat before, and the look that ends it
		stood, slept                    time.Duration
	}{
		{name: "in time"},
		{name: "late", late: 400 * time.Millisecond},
		{name: "stopped for 1 s", late: time.Second, withheld: time.Millisecond, stood: 999 * time.Millisecond},
		{name: "stopped for 3 s", late: 3 * time.Second, stood: 3 * time.Second},
		{name: "waited for a CPU", late: 3 * time.Second, withheld: 2990 * time.Millisecond},
		{name: "other CPUs were stolen too", late: time.Second, withheld: 4 * time.Second},
		{name: "stopped on a busy machine", late: 3 * time.Second, withheld: time.Second, stood: 2 * time.Second},
		{name: "stopped in the look before", inLook: time.Second, stood: time.Second},
		{name: "waited for a CPU in the look before", inLook: 3 * time.Second, withheldLook: 2990 * time.Millisecond},
		{name: "stopped just before, which the beat before says", lateFirst: time.Second},
		{name: "asleep", late: 20 * time.Millisecond, asleep: time.Hour, slept: time.Hour},
		{name: "two clocks are not one", asleep: 3 * time.Microsecond},
	} {
		before, last := first, first
		last.woke = first.slept.Add(beatEvery + c.lateFirst)
		last.slept = last.woke.Add(c.inLook)
		last.withheld += c.withheldLook / 2
		if b := between(before, before, last); b.stood > 0 {
			require.Equal(t, c.lateFirst, b.stood, c.name)
			before = last
		}
		now := last
		now.woke = last.slept.Add(beatEvery + c.late)
		now.withheld += c.withheld + c.withheldLook/2
		now.asleep += c.asleep
		now.wall = 2 * time.Second
		b := between(before, last, now)
		require.Equal(t, c.stood, b.stood, c.name)
		require.Equal(t, c.slept, b.slept, c.name)
		require.Equal(t, 2*time.Second, b.wall, c.name)
		require.Equal(t, last.woke, b.from, c.name)
		now.timed = false
		require.False(t, between(before, last, now).timed, c.name)
	}
}

// The wall clock is set and the machine sleeps by a clock of the test's own.
func TestClocks(t *testing.T) {
	var at map[int32]time.Duration
	took, fails := time.Duration(0), false
	proc := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(proc, "stat"), []byte("cpu  1 2 3 4 5 6 7 8 0 0\n"), 0o644))
	times, err := openHostTimes(proc)
	require.NoError(t, err)
	defer times.close()
	h := &Heartbeat{roots: Roots{Proc: proc}, host: &host{times: times}, clock: func(id int32) (time.Duration, error) {
		if fails {
			return 0, errors.New("no such clock")
		}
		at[unix.CLOCK_BOOTTIME] += took
		return at[id], nil
	}}
	set := func(mono, boot, wall time.Duration) {
		at = map[int32]time.Duration{unix.CLOCK_MONOTONIC: mono, unix.CLOCK_BOOTTIME: boot, unix.CLOCK_REALTIME: wall}
	}
	for _, c := range []struct {
		name                 string
		mono, boot, wall     time.Duration
		wantAsleep, wantWall time.Duration
	}{
		{"the first look", 100 * time.Second, 100 * time.Second, 1000 * time.Hour, 0, 0},
		{"a second later", 101 * time.Second, 101 * time.Second, 1000*time.Hour + time.Second, 0, 0},
		{"set ahead", 102 * time.Second, 102 * time.Second, 1000*time.Hour + 5*time.Second, 0, 3 * time.Second},
		{"set back", 103 * time.Second, 103 * time.Second, 999 * time.Hour, 0, -time.Hour - 3*time.Second},
		{"slept", 103 * time.Second, 163 * time.Second, 1000*time.Hour + 63*time.Second, time.Minute, 0},
	} {
		set(c.mono, c.boot, c.wall)
		l := h.look()
		require.True(t, l.timed, c.name)
		require.Equal(t, c.wantAsleep, l.asleep, c.name)
		require.Equal(t, c.wantWall, l.wall, c.name)
	}
	took = time.Second // something came between the clocks, each time
	require.False(t, h.look().timed)
	took, fails = 0, true
	require.False(t, h.look().timed)
}

func TestHalted(t *testing.T) {
	const (
		alive   = "7 (perwatt) S 1 7 7 0"
		freezer = "33 23 0:29 / /sys/fs/cgroup/freezer rw - cgroup cgroup rw,freezer\n"
	)
	for _, c := range []struct {
		name, stat, self, group string
		file, text              string // below sys/fs/cgroup
		want                    bool
	}{
		{"runs", "7 (perwatt) R 1 7 7 0", "0::/a", "0::/a", "", "", false},
		{"sleeps", alive, "0::/a", "0::/a", "", "", false},
		{"stopped", "7 (perwatt) T 1 7 7 0", "0::/a", "0::/a", "", "", true},
		{"traced", "7 (perwatt) t 1 7 7 0", "0::/a", "0::/a", "", "", true},
		{"a name like a state", "7 (T) T (T) S 1 7 7 0", "0::/a", "0::/a", "", "", false},
		{"a name with a bracket", "7 (x) ) T 1 7 7 0", "0::/a", "0::/a", "", "", true},
		{"a zombie", "7 (perwatt) Z 1 7 7 0", "0::/a", "0::/a", "", "", false},
		{"ended", "", "0::/a", "", "", "", false},
		{"nonsense", "nonsense", "0::/a", "0::/a", "", "", false},
		{"frozen by version 2", alive, "0::/a", "0::/a/b", "a/b/cgroup.events", "populated 1\nfrozen 1\n", true},
		{"in another group, not frozen", alive, "0::/a", "0::/a/b", "a/b/cgroup.events", "populated 1\nfrozen 0\n", false},
		{"this process's group is being thawed", alive, "0::/a", "0::/a", "a/cgroup.events", "populated 1\nfrozen 1\n", false},
		{"frozen by version 1", "7 (perwatt) D 1 7 7 0", "5:freezer:/", "5:freezer:/x", "freezer/x/freezer.state", "FROZEN\n", true},
		{"thawed by version 1", alive, "5:freezer:/", "5:freezer:/x", "freezer/x/freezer.state", "THAWED\n", false},
	} {
		r := written(t, map[string]string{"proc/7/stat": c.stat + "\n", "proc/7/cgroup": c.group + "\n", "proc/self/cgroup": c.self + "\n",
			"proc/self/mountinfo": mountV2 + freezer, "sys/fs/cgroup/" + cmp.Or(c.file, "x"): c.text})
		require.Equal(t, c.want, r.halted(7), c.name)
	}
}

func TestParseDelay(t *testing.T) {
	require.Equal(t, 36*time.Nanosecond, parseDelay("351141 36 1"))
	for _, s := range []string{"", "5", "5 x 1", "5 -1 1", "5 99999999999999999999 1"} {
		require.Zero(t, parseDelay(s), s)
	}
}

func BenchmarkLook(b *testing.B) {
	host, err := openHost(here)
	require.NoError(b, err)
	defer host.times.close()
	h := &Heartbeat{roots: here, host: host, clock: readClock}
	for b.Loop() {
		h.look()
	}
}
