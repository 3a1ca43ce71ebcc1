package stream

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/klauspost/cpuid/v2"
)

// unknownCache is assumed for a CPU that does not report its last-level cache:
// more than most have.
const unknownCache = 64 << 20

// hiddenCache is assumed for a CPU that reports the second level alone, as in a guest
// whose hypervisor hides the third: arrays of four times the second would lie in the
// third. The cores of an EPYC of Zen 2 to 5 that share a third level have 16 or 32 MiB
// of it.
const hiddenCache = 32 << 20

// lastLevelCaches returns the total size in bytes of the last-level caches of
// cpus, each counted once (kernel: Documentation/ABI/testing/
// sysfs-devices-system-cpu, cache/index). sys is the root of sysfs. Without
// entries there it is the size of the third level that CPUID reports, for one cache,
// or what is assumed for a CPU without.
func lastLevelCaches(sys string, cpus []int) int64 {
	total, seen := int64(0), map[string]bool{}
	for _, cpu := range cpus {
		last, size, shared := 0, int64(0), ""
		for index := range 10 {
			read := func(name string) string {
				b, _ := os.ReadFile(filepath.Join(sys, fmt.Sprintf("devices/system/cpu/cpu%d/cache/index%d", cpu, index), name)) // #nosec G304 -- numbers and our own names below the system's directory
				return strings.TrimSpace(string(b))
			}
			if level, _ := strconv.Atoi(read("level")); level > last && read("type") != "Instruction" {
				last, size, shared = level, parseSize(read("size")), read("shared_cpu_list")
			}
		}
		if key := fmt.Sprint(last, " ", shared); !seen[key] {
			seen[key] = true
			total += size
		}
	}
	if total > 0 {
		return total
	}
	return fromCPUID(cpuid.CPU.Cache.L2, cpuid.CPU.Cache.L3)
}

// fromCPUID returns the size of the last-level cache for what CPUID says of the second
// and third level, in bytes; neither is positive where it says nothing.
func fromCPUID(l2, l3 int) int64 {
	switch {
	case l3 > 0:
		return int64(l3)
	case l2 > 0:
		return hiddenCache
	}
	return unknownCache
}

// parseSize returns a size such as 32768K in bytes, 0 if it is malformed.
func parseSize(text string) int64 {
	digits, kib := strings.CutSuffix(text, "K")
	n, err := strconv.ParseUint(digits, 10, 40)
	if err != nil {
		return 0
	}
	if kib {
		n <<= 10
	}
	return int64(n)
}
