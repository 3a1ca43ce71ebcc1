package matmul

import (
	"bufio"
	"io"
	"os"
	"strconv"
	"strings"
)

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
