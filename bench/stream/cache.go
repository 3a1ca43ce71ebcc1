package stream

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/klauspost/cpuid/v2"
)

// unknownCache is the last-level cache of a CPU that does not tell: more than
// most have.
const unknownCache = 64 << 20

// lastLevelCaches returns how many bytes the last-level caches of cpus have
// together, each counted once (kernel: Documentation/ABI/testing/
// sysfs-devices-system-cpu, cache/index). sys is where sysfs lies. Where it does
// not say, it is what the processor says of itself, as if there were one.
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
	if cache := cpuid.CPU.Cache; max(cache.L3, cache.L2) > 0 {
		return int64(max(cache.L3, cache.L2))
	}
	return unknownCache
}

// parseSize reads a size such as 32768K in bytes, or gives 0.
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
