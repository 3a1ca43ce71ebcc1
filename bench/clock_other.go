//go:build !linux

package bench

import "time"

var base = time.Now()

// Monotonic returns nanoseconds since the process started. Where the clock is
// not shared between processes a counter serves its own process only.
func Monotonic() int64 { return int64(time.Since(base)) }
