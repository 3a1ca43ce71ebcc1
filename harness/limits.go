package harness

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// rlimit is a per-process resource limit (setrlimit(2)).
type rlimit struct {
	resource int
	name     string
	flag     string // of ulimit
	unit     uint64 // unit of ulimit, in units of the system call
	of       string
}

var (
	limitAS    = rlimit{unix.RLIMIT_AS, "RLIMIT_AS", "-v", 1024, "KiB of address space"}
	limitData  = rlimit{unix.RLIMIT_DATA, "RLIMIT_DATA", "-d", 1024, "KiB of data"}
	limitProc  = rlimit{unix.RLIMIT_NPROC, "RLIMIT_NPROC", "-u", 1, "processes and threads of the user"}
	limitCPU   = rlimit{unix.RLIMIT_CPU, "RLIMIT_CPU", "-t", 1, "s of CPU time"}
	limitSize  = rlimit{unix.RLIMIT_FSIZE, "RLIMIT_FSIZE", "-f", 1024, "KiB a file"}
	limitFiles = rlimit{unix.RLIMIT_NOFILE, "RLIMIT_NOFILE", "-n", 1, "open files"}
)

// read returns the limit in force; no limit is infinite.
func (l rlimit) read() float64 {
	var r unix.Rlimit
	if unix.Getrlimit(l.resource, &r) != nil || r.Cur == unix.RLIM_INFINITY {
		return math.Inf(1)
	}
	return float64(r.Cur / l.unit)
}

// inForce names those of the limits that are set, and the remedy.
func inForce(limits ...rlimit) string {
	var are, raise []string
	for _, l := range limits {
		if v := l.read(); !math.IsInf(v, 1) {
			are = append(are, fmt.Sprintf("%.0f %s (%s)", v, l.of, l.name))
			raise = append(raise, "ulimit "+l.flag)
		}
	}
	if n := processLimit(); slices.Contains(limits, limitProc) && !math.IsInf(n, 1) {
		are = append(are, fmt.Sprintf("%.0f tasks in the control group (pids.max)", n))
		raise = append(raise, "pids.max")
	}
	if len(are) == 0 {
		return "no limit of this process is in force: the machine itself has no more"
	}
	return "the limit is " + strings.Join(are, ", ") + ": raise " + strings.Join(raise, ", ")
}

// processLimit is the smallest pids.max on the way to the root.
func processLimit() float64 {
	r := Roots{}.orHere()
	least := math.Inf(1)
	for _, g := range r.cgroups("self").all {
		for _, dir := range g.dirs {
			if n, err := strconv.ParseUint(r.text(filepath.Join(dir, "pids.max")), 10, 63); err == nil {
				least = min(least, float64(n))
			}
		}
	}
	return least
}

// oomKills is the number of processes of this control group and its ancestors that the
// kernel has killed because they were out of memory.
func oomKills() (n int64) {
	r := Roots{}.orHere()
	for _, g := range r.cgroups("self").all {
		for _, dir := range g.dirs {
			for _, file := range []string{"memory.events", "memory.oom_control"} {
				for line := range strings.Lines(r.text(filepath.Join(dir, file))) {
					if count, ok := strings.CutPrefix(strings.TrimSpace(line), "oom_kill "); ok {
						k, _ := strconv.ParseInt(count, 10, 64) // 0 if it is not a number
						n += k
					}
				}
			}
		}
	}
	return n
}

// Limited reports whether limits are set that may kill a Go program in the middle of
// its work: its runtime does not survive being refused memory or a thread.
func Limited() bool {
	few := float64(1024 + 16*runtime.NumCPU()) // tasks
	return !math.IsInf(min(limitAS.read(), limitData.read(), limitCPU.read()), 1) || min(limitProc.read(), processLimit()) < few
}

// Words with which a Go program, or its C library, reports what the system refused.
var (
	noThread = []string{"pthread_create failed", "failed to create new OS thread", "newosproc"}
	noMemory = []string{"out of memory", "cannot allocate memory", "failed to reserve", "failed to allocate", "cannot map"}
)

// LimitOf names the system limit that ended a process of perwatt, or returns "". It
// judges by the exit status, the CPU time used and the last output.
func LimitOf(status syscall.WaitStatus, cpu time.Duration, said []byte) string {
	has := func(words []string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return bytes.Contains(said, []byte(w)) })
	}
	killedBy := func(s syscall.Signal) bool {
		return status.Signaled() && status.Signal() == s || bytes.HasPrefix(said, []byte(unix.SignalName(s)))
	}
	first, _, _ := bytes.Cut(bytes.TrimSpace(said), []byte("\n"))
	switch {
	case killedBy(syscall.SIGXCPU), killedBy(syscall.SIGKILL) && cpu.Seconds() >= limitCPU.read():
		return "it used up the CPU time that a process may have; " + inForce(limitCPU)
	case killedBy(syscall.SIGXFSZ):
		return "it wrote a file larger than may be; " + inForce(limitSize)
	case has(noThread):
		return fmt.Sprintf("the system refused it a thread (%.80q); %s", first, inForce(limitAS, limitData, limitProc))
	case has(noMemory):
		return fmt.Sprintf("the system refused it memory (%.80q); %s", first, inForce(limitAS, limitData))
	}
	return ""
}

// LimitOfError names the system limit that caused an error, or returns "". EAGAIN means
// a limit only where a process was being started; elsewhere it comes from a lock or a
// read.
func LimitOfError(err error) string {
	var path *os.PathError
	starting := errors.As(err, &path) && path.Op == "fork/exec"
	switch {
	case errors.Is(err, syscall.EMFILE):
		return inForce(limitFiles)
	case errors.Is(err, syscall.EFBIG):
		return inForce(limitSize)
	case errors.Is(err, syscall.ENOMEM):
		return inForce(limitAS, limitData)
	case starting && errors.Is(err, syscall.EAGAIN):
		return inForce(limitAS, limitData, limitProc)
	}
	return ""
}
