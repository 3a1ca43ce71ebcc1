package harness

import (
	"golang.org/x/sys/unix"

	"github.com/perwatt/perwatt/results"
)

// ClockError returns the bound of the error of the wall clock in s, as the kernel's clock
// discipline states it; nil if no daemon (NTP, PTP) keeps the clock. The bound is the root
// distance to the reference and grows by 500 ppm where the daemon is silent (adjtimex(2):
// maxerror; RFC 5905, 11.1).
func ClockError() *results.Float {
	var t unix.Timex // no mode is set: it only reads
	state, err := unix.Adjtimex(&t)
	if err != nil || state == unix.TIME_ERROR || t.Status&unix.STA_UNSYNC != 0 || t.Maxerror < 0 {
		return nil
	}
	within := results.Float(float64(t.Maxerror) / 1e6)
	return &within
}
