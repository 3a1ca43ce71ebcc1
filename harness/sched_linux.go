package harness

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/perwatt/perwatt/results"
)

// setAffinity confines every thread of a process, and those that they will
// start, to cpus. pid 0 is this process; no CPUs leave it as it is.
func setAffinity(pid int, cpus []int) error {
	if len(cpus) == 0 {
		return nil
	}
	return eachThread(pid, func(tid int) error { return setThreadAffinity(tid, cpus) })
}

// setIdlePolicy makes every thread of a process, and those that they will
// start, run only where others leave time: SCHED_IDLE, a weight of 3 against
// the 1024 of nice 0. pid 0 is this process. Going there takes no privilege.
//
// The weights hold within one scheduling group, see [schedulingWarning], and not
// against a hardware sibling of the same core.
func setIdlePolicy(pid int) error {
	return eachThread(pid, func(tid int) error {
		attr := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_IDLE}
		if err := unix.SchedSetAttr(tid, &attr, 0); err != nil {
			return fmt.Errorf("sched_setattr SCHED_IDLE: %w", err)
		}
		return nil
	})
}

// eachThread calls f for every thread of a process, until a look at the list
// finds none that has not been through it. Policy and affinity belong to a
// thread and are inherited by those it starts: what appears later was started
// by a thread that had been through f. A thread that ends meanwhile is passed
// over.
func eachThread(pid int, f func(tid int) error) error {
	who := "self"
	if pid != 0 {
		who = strconv.Itoa(pid)
	}
	dir := filepath.Join(here.Proc, who, "task")
	done := map[int]bool{}
	for found := true; found; {
		list, err := os.ReadDir(dir)
		if err != nil {
			return fmt.Errorf("harness: list the threads of process %s: %w", who, err)
		}
		found = false
		for _, e := range list {
			tid, err := strconv.Atoi(e.Name())
			if err != nil || done[tid] {
				continue
			}
			done[tid], found = true, true
			if err := f(tid); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("harness: thread %d of process %s: %w", tid, who, err)
			}
		}
	}
	return nil
}

func setThreadAffinity(tid int, cpus []int) error {
	set := unix.NewCPUSet(maxCPU + 1)
	for _, cpu := range cpus {
		set.Set(cpu)
	}
	if err := unix.SchedSetaffinityDynamic(tid, set); err != nil {
		return fmt.Errorf("sched_setaffinity to CPUs %v: %w: see /sys/devices/system/cpu/online and the process's cpuset", cpus, err)
	}
	return nil
}

// affinity returns the CPUs that a thread may use, 0 being the calling one.
func affinity(tid int) ([]int, error) {
	set := unix.NewCPUSet(maxCPU + 1)
	if err := unix.SchedGetaffinityDynamic(tid, set); err != nil {
		return nil, fmt.Errorf("harness: sched_getaffinity of thread %d: %w", tid, err)
	}
	cpus := make([]int, 0, set.Count())
	for cpu := range maxCPU + 1 {
		if set.IsSet(cpu) {
			cpus = append(cpus, cpu)
		}
	}
	return cpus, nil
}

// schedulingGroup names the group inside which the weight of a process counts:
// its control group, if it has a CPU controller; else its autogroup, one a
// session, if the kernel makes them; else the root "/".
func (r Roots) schedulingGroup(pid int) string {
	who := strconv.Itoa(pid)
	for _, g := range r.cgroups(who).all {
		switch {
		case !g.v2 && strings.Contains(g.has, ",cpu,") && g.path != "/":
			return g.path
		case g.v2:
			// Only groups that have the controller have the file, and the
			// root never has.
			at := g.path
			for _, dir := range g.dirs {
				if _, err := os.Stat(filepath.Join(dir, "cpu.weight")); err == nil {
					return at
				}
				at = path.Dir(at)
			}
		}
	}
	if r.text(r.proc("sys/kernel/sched_autogroup_enabled")) == "1" {
		name, _, _ := strings.Cut(r.word(r.proc(who+"/autogroup")), " ")
		return cmp.Or(name, "/")
	}
	return "/"
}

// schedulingWarning returns a warning if the background process does not give way
// to the foreground in spite of its idle policy: two scheduling groups share the
// CPUs evenly, whatever the policies of their processes.
func schedulingWarning(roots Roots, foreground, background int) (results.Warning, bool) {
	r := roots.orHere()
	f, b := r.schedulingGroup(foreground), r.schedulingGroup(background)
	if f == b {
		return results.Warning{}, false
	}
	return results.Warning{
		Code:   "scheduling-groups",
		Text:   fmt.Sprintf("foreground (%s) and background (%s) are in different scheduling groups: the background does not give way", f, b),
		Remedy: "start perwatt where nothing moves its children between control groups, and: echo 0 | sudo tee /proc/sys/kernel/sched_autogroup_enabled",
	}, true
}
