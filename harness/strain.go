package harness

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/perwatt/perwatt/results"
)

// strain lists the files in which the kernel accounts for CPU time and memory that the
// session had to wait for: the quotas of its control groups, and memory pressure. A
// file that the kernel does not have is left out.
type strain struct {
	r           Roots
	quotas      []string // cpu.stat of each control group that may have a quota
	host, group string   // files of memory pressure; "" if there is none
}

// strain finds the files.
func (r Roots) strain() strain {
	out := strain{r: r}
	says := func(file string) bool { _, _, err := out.waits(file); return err == nil }
	if file := r.proc("pressure/memory"); says(file) {
		out.host = file
	}
	for _, g := range r.cgroups("self").all {
		for _, dir := range g.dirs {
			file := filepath.Join(dir, "cpu.stat")
			if _, ok := parseHeld(r.text(file)); ok {
				out.quotas = append(out.quotas, file)
			}
		}
		if file := filepath.Join(g.dirs[0], "memory.pressure"); g.v2 && says(file) {
			out.group = file
		}
	}
	return out
}

// held is the CPU time, in s, for which quotas have held threads back.
func (x *strain) held() (s float64, err error) {
	for _, file := range x.quotas {
		v, ok := parseHeld(x.r.text(file))
		if !ok {
			return 0, fmt.Errorf("harness: read %s: it has no quota: was the control group removed?", file)
		}
		s += v
	}
	return s, nil
}

// waits returns the times, in s, for which some task and for which all tasks have
// waited for memory.
func (x *strain) waits(file string) (some, full float64, err error) {
	if file == "" {
		return 0, 0, errors.New("harness: no pressure of memory")
	}
	some, full, ok := parsePressure(x.r.text(file))
	if !ok {
		return 0, 0, fmt.Errorf("harness: read %s: it holds no pressure: was the control group removed?", file)
	}
	return some, full, nil
}

// sampleStrain samples all of strain.
func (s *sampler) sampleStrain(x *strain) {
	level := func(key results.TraceKey, t results.Float, v float64, err error) {
		s.mu.Lock() // not held while a file is read
		defer s.mu.Unlock()
		s.trace(results.Trace{Key: key, Unit: results.Second, Kind: results.Counter}).AddLevel(t, results.Float(v), err)
	}
	if len(x.quotas) > 0 {
		v, err := x.held()
		level(results.QuotaHeld, s.clock.now(), v, err)
	}
	for _, p := range []struct {
		file       string
		some, full results.TraceKey
	}{
		{x.host, results.HostMemorySome, results.HostMemoryFull},
		{x.group, results.GroupMemorySome, results.GroupMemoryFull},
	} {
		if p.file != "" {
			some, full, err := x.waits(p.file)
			t := s.clock.now()
			level(p.some, t, some, err)
			level(p.full, t, full, err)
		}
	}
}

// parseHeld reads how long a quota has held threads back, in s over all CPUs,
// from cpu.stat of either version (kernel: Documentation/admin-guide/cgroup-v2.rst,
// Documentation/scheduler/sched-bwc.rst). A root has no quota.
func parseHeld(s string) (held float64, ok bool) {
	for line := range strings.Lines(s) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		unit := map[string]float64{"throttled_usec": 1e-6, "throttled_time": 1e-9}[name]
		if n, err := strconv.ParseUint(value, 10, 63); unit > 0 && err == nil {
			return float64(n) * unit, true
		}
	}
	return 0, false
}

// parsePressure reads the totals of pressure stall information in s (kernel:
// Documentation/accounting/psi.rst).
func parsePressure(s string) (some, full float64, ok bool) {
	seen := map[string]float64{}
	for line := range strings.Lines(s) {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		total, found := strings.CutPrefix(f[len(f)-1], "total=")
		if n, err := strconv.ParseUint(total, 10, 63); found && err == nil {
			seen[f[0]] = float64(n) / 1e6
		}
	}
	some, ok = seen["some"]
	return some, seen["full"], ok
}
