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

// setAffinity confines every thread of a process, and all threads that they start
// later, to cpus. pid 0 is this process. If cpus is empty it does nothing.
func setAffinity(pid int, cpus []int) error {
	if len(cpus) == 0 {
		return nil
	}
	return eachThread(pid, func(tid int) error { return setThreadAffinity(tid, cpus) })
}

// setIdlePolicy gives SCHED_IDLE to every thread of a process and to all threads that
// they start later: they run in the time that others leave, with a weight of 3 against
// 1024 for nice 0. pid 0 is this process. No privilege is needed.
//
// The weights apply within one scheduling group only (see [schedulingWarning]), and not
// between hardware siblings of a core.
func setIdlePolicy(pid int) error {
	return eachThread(pid, func(tid int) error {
		attr := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_IDLE}
		if err := unix.SchedSetAttr(tid, &attr, 0); err != nil {
			return fmt.Errorf("sched_setattr SCHED_IDLE: %w", err)
		}
		return nil
	})
}

// eachThread calls f for every thread of a process, until the list of threads has no
// new ones. Policy and affinity are per thread and inherited, so a thread that appears
// later was started by one that f had already changed. A thread that ends meanwhile is
// ignored.
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

// affinity returns the CPUs that a thread may use; tid 0 is the calling thread.
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

// schedulingGroup names the group within which the weight of a process applies: its
// control group, if that has a CPU controller; else its autogroup, one per session, if
// the kernel makes them; else the root "/".
func (r Roots) schedulingGroup(pid int) string {
	who := strconv.Itoa(pid)
	for _, g := range r.cgroups(who).all {
		switch {
		case !g.v2 && strings.Contains(g.has, ",cpu,") && g.path != "/":
			return g.path
		case g.v2:
			// Only groups with the controller have the file; the root never has it.
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
