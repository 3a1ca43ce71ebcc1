package ssh

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/perwatt/perwatt/results/site"
)

// exchanges are rounds over one connection; that with the shortest round trip counts.
const exchanges = 8

// exchange compares the clocks as RFC 5905, section 8, does with one time stamp of the
// server: the answer was given between question and reply, most likely in the middle.
// The shortest of several round trips bounds the error most closely.
func exchange(w io.Writer, r *bufio.Reader) (*site.Clock, error) {
	var best *site.Clock
	for range exchanges {
		asked := time.Now()
		if _, err := io.WriteString(w, "\n"); err != nil {
			return nil, err
		}
		said, err := line(r)
		if err != nil {
			return nil, err
		}
		trip := time.Since(asked)
		theirs, unit, err := parseTime(said)
		if err != nil {
			return nil, err
		}
		// date cuts to its unit, so that the time was half of one later on average.
		middle := asked.Add(trip / 2)
		ours := float64(middle.Unix()) + float64(middle.Nanosecond())/1e9
		c := &site.Clock{Offset: theirs + unit/2 - ours, Within: trip.Seconds()/2 + unit/2}
		if best == nil || c.Within < best.Within {
			best = c
		}
	}
	return best, nil
}

// parseTime reads the output of date +%s.%N: seconds since 1970 and the unit in which
// they were given. A date without %N prints whole seconds and a letter or nothing.
func parseTime(s string) (seconds, unit float64, err error) {
	whole, fraction, _ := strings.Cut(s, ".")
	n, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || n < 0 || n > 1<<40 {
		return 0, 0, fmt.Errorf("its date prints %q", s[:min(len(s), 60)])
	}
	if ns, err := strconv.ParseUint(fraction, 10, 32); err == nil && len(fraction) == 9 {
		// The difference to our time is taken of floats: 0.2 µs at today's seconds.
		return float64(n) + float64(ns)/1e9, 1e-9, nil
	}
	return float64(n), 1, nil
}

// corrected returns the arguments of perwatt run with the time of --at as the clock of
// the node shows it, so that nodes whose clocks differ begin together.
func corrected(args []string, c *site.Clock) []string {
	i := slices.Index(args, "--at") + 1
	if i == 0 || i == len(args) || c == nil || math.Abs(c.Offset) > 1e9 {
		return args
	}
	at, err := time.Parse(time.RFC3339, args[i])
	if err != nil {
		return args // perwatt run says what is wrong with it
	}
	args = slices.Clone(args)
	args[i] = at.Add(time.Duration(c.Offset * float64(time.Second))).UTC().Format(time.RFC3339Nano)
	return args
}
