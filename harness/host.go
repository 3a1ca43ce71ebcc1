package harness

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/perwatt/perwatt/harness/power"
	"github.com/perwatt/perwatt/results"
)

// host samples the machine apart from its meters.
type host struct {
	times  *hostTimes
	strain strain
}

func openHost(r Roots) (*host, error) {
	times, err := openHostTimes(r.Proc)
	if err != nil {
		return nil, err
	}
	return &host{times, r.strain()}, nil
}

// userHZ is the unit of /proc/stat, ticks per second: the same on every
// architecture that Go runs on, whatever the kernel's own HZ.
const userHZ = 100

// hostTimes reads the times of all CPUs together. One read is one system call, but the
// kernel generates the whole file for it, which takes longer the more CPUs and
// interrupts there are: 10 Hz is fine, 1 kHz is not.
type hostTimes struct {
	file         *os.File
	busy, stolen uint64 // ticks
}

// openHostTimes opens stat in the procfs at proc.
func openHostTimes(proc string) (*hostTimes, error) {
	path := filepath.Join(proc, "stat")
	f, err := power.Timely(path, func() (*os.File, error) { return os.Open(path) }) // #nosec G304 -- below the system's directory
	if err != nil {
		return nil, fmt.Errorf("harness: read CPU times: %w: mount procfs there", err)
	}
	h := &hostTimes{file: f}
	if _, _, err := h.read(); err != nil {
		f.Close() // #nosec G104 -- nothing was written to it
		return nil, err
	}
	return h, nil
}

// read returns the seconds for which all CPUs together were busy, and those that the
// hypervisor took from them: both since boot, never decreasing, in steps of 10 ms.
// Stolen time does not count as busy; the time of this machine's own guests does, once.
func (h *hostTimes) read() (busy, stolen float64, err error) {
	head, err := power.Timely(h.file.Name(), func() ([]byte, error) {
		buf := make([]byte, 512)
		n, err := h.file.ReadAt(buf, 0)
		if n > 0 || errors.Is(err, io.EOF) {
			err = nil
		}
		return buf[:n], err
	})
	if err != nil {
		return 0, 0, fmt.Errorf("harness: read CPU times: %w", err)
	}
	b, s, err := parseTimes(head)
	if err != nil {
		return 0, 0, err
	}
	// Some kernels let these fall by a tick where they scale them or where a CPU goes
	// offline.
	h.busy, h.stolen = max(h.busy, b), max(h.stolen, s)
	return float64(h.busy) / userHZ, float64(h.stolen) / userHZ, nil
}

func (h *hostTimes) close() { h.file.Close() } // #nosec G104 -- nothing was written to it

// parseTimes reads the first line of /proc/stat in ticks (kernel:
// Documentation/filesystems/proc.rst): user nice system idle iowait irq softirq steal
// guest guest_nice. The first two include the last two. idle and iowait may jitter and
// are not used.
func parseTimes(b []byte) (busy, stolen uint64, err error) {
	line, _, whole := bytes.Cut(b, []byte("\n"))
	rest, ok := bytes.CutPrefix(line, []byte("cpu "))
	var ticks [8]uint64
	fields := 0
	for ok = ok && whole; ok && fields < len(ticks); fields++ {
		if rest = bytes.TrimLeft(rest, " "); len(rest) == 0 {
			break
		}
		digits := 0
		for digits < len(rest) && rest[digits] >= '0' && rest[digits] <= '9' {
			ticks[fields] = ticks[fields]*10 + uint64(rest[digits]-'0')
			digits++
		}
		// 17 digits: 30 million years of one CPU, and no overflow in the sum.
		ok = digits > 0 && digits <= 17 && (digits == len(rest) || rest[digits] == ' ')
		rest = rest[digits:]
	}
	if !ok || fields < 4 { // up to idle; the others came with later kernels
		return 0, 0, fmt.Errorf("harness: read CPU times: %.60q is no first line of /proc/stat", line)
	}
	return ticks[0] + ticks[1] + ticks[2] + ticks[5] + ticks[6], ticks[7], nil
}

// processCPU returns the CPU time of all threads of a process, live and ended, in steps
// of 1 ns. An error means that the process has ended.
func processCPU(pid int) (time.Duration, error) {
	if pid <= 0 || pid > 1<<22 { // PID_MAX_LIMIT
		return 0, fmt.Errorf("harness: CPU time of process %d: no process has this number", pid)
	}
	// The clock's number encodes the process; 2 is CPUCLOCK_SCHED, the scheduler's own
	// account (kernel: include/linux/posix-timers_types.h).
	used, err := readClock(int32(^pid<<3 | 2)) // #nosec G115 -- pid is 1 to 1<<22: see above
	if err != nil {
		return 0, fmt.Errorf("harness: CPU time of process %d: %w", pid, err)
	}
	return used, nil
}

// selfCPU is processCPU of this process.
func selfCPU() (time.Duration, error) {
	used, err := readClock(unix.CLOCK_PROCESS_CPUTIME_ID)
	if err != nil {
		return 0, fmt.Errorf("harness: CPU time of this process: %w", err)
	}
	return used, nil
}

// throttles counts how often cores and packages were throttled for heat since boot;
// only differences are meaningful. Each package counts once, although all of its CPUs
// show its count. It is absent if the kernel has no such counters (everything except
// bare-metal Intel). It opens three files per CPU, so it is called only before and
// after a run.
func throttles(roots Roots) results.Float {
	r := roots.orHere()
	online, _ := parseList(r.text(r.cpuDir("online")))
	sum, known := 0.0, false
	packages := map[string]float64{}
	for _, i := range online {
		dir := r.cpuDir(fmt.Sprintf("cpu%d", i))
		if n := r.number(dir + "/thermal_throttle/core_throttle_count"); n >= 0 {
			sum, known = sum+n, true
		}
		if n := r.number(dir + "/thermal_throttle/package_throttle_count"); n >= 0 {
			id := r.text(dir + "/topology/physical_package_id")
			packages[id], known = max(packages[id], n), true
		}
	}
	if !known {
		return results.Absent()
	}
	for _, n := range packages {
		sum += n
	}
	return results.Float(sum)
}
