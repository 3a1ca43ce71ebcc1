package bench

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// Fits is an error with remedy if what takes more bytes than the system can give
// without swapping, where it says how much that is.
func Fits(what string, bytes int64, remedy string) error {
	if have, ok := memAvailable("/proc/meminfo"); ok && bytes > have {
		return fmt.Errorf("%s takes %d bytes and %d are available: %s", what, bytes, have, remedy)
	}
	return nil
}

// memAvailable returns the bytes that the system can give without swapping
// (kernel: Documentation/filesystems/proc.rst, MemAvailable), if it says.
func memAvailable(path string) (int64, bool) {
	f, err := os.Open(path)
	if err != nil {
		return 0, false
	}
	defer f.Close()
	return parseMeminfo(f)
}

func parseMeminfo(r io.Reader) (int64, bool) {
	lines := bufio.NewScanner(io.LimitReader(r, 1<<16))
	for lines.Scan() {
		value, found := strings.CutPrefix(lines.Text(), "MemAvailable:")
		if !found {
			continue
		}
		kib, err := strconv.ParseUint(strings.TrimSpace(strings.TrimSuffix(value, "kB")), 10, 53)
		return int64(kib) << 10, err == nil
	}
	return 0, false
}
