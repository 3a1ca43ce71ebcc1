package bench

import (
	"bytes"
	"math"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
)

// MemoryAvailable returns the number of bytes that this process can allocate
// without making the system swap or being killed: the least of what the system
// has available and of what is left below the limit of each control group around
// the process. root is the directory that holds proc and sys, "/" on this machine.
// It returns false where the system does not provide these values.
func MemoryAvailable(root string) (int64, bool) {
	read := func(name ...string) []byte {
		b, _ := os.ReadFile(filepath.Join(root, filepath.Join(name...))) // #nosec G304 -- our own names; a file that is absent is empty
		return b
	}
	have, ok := parseField(read("proc/meminfo"), "MemAvailable:")
	have <<= 10
	if !ok {
		have = math.MaxInt64
	}
	for line := range strings.Lines(string(read("proc/self/cgroup"))) {
		_, rest, _ := strings.Cut(line, ":")
		controllers, group, _ := strings.Cut(strings.TrimSpace(rest), ":")
		dir, limit, usage, idle := "sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"
		if controllers != "" { // version 1: one hierarchy for each controller
			if !strings.Contains(","+controllers+",", ",memory,") {
				continue
			}
			dir, limit, usage, idle = "sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
		}
		// In a container the group's path is that of the host, and the group
		// itself is the root of the mounted hierarchy.
		for group = path.Clean("/" + group); ; group = path.Dir(group) {
			most, limited := parseBytes(read(dir, group, limit))
			used, _ := parseBytes(read(dir, group, usage))
			cached, _ := parseField(read(dir, group, "memory.stat"), idle) // reclaimed when needed
			if limited {
				have, ok = min(have, max(0, most-max(0, used-cached))), true
			}
			if group == "/" {
				break
			}
		}
	}
	return have, ok
}

// Size writes a number of bytes with four digits and a decimal prefix.
func Size(bytes int64) string {
	value, prefix := float64(bytes), 0
	for ; value >= 999.95 && prefix < len(prefixes)-1; prefix++ {
		value /= 1000
	}
	return strconv.FormatFloat(value, 'g', 4, 64) + " " + prefixes[prefix]
}

var prefixes = []string{"B", "kB", "MB", "GB", "TB", "PB", "EB"}

// parseField returns the number after name at the beginning of a line (kernel:
// Documentation/filesystems/proc.rst, meminfo; admin-guide/cgroup-v2.rst,
// memory.stat).
func parseField(text []byte, name string) (int64, bool) {
	for line := range bytes.Lines(text) {
		if f := strings.Fields(string(line)); len(f) > 1 && f[0] == name {
			n, err := strconv.ParseUint(f[1], 10, 53)
			return int64(n), err == nil
		}
	}
	return 0, false
}

// parseBytes reads a limit or a usage; "max" is no number.
func parseBytes(text []byte) (int64, bool) {
	n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 63)
	return int64(n), err == nil
}
