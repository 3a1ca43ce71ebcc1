// Package command is for every instrument that has no meter here: a command whose
// output lines are readings, each a number and a unit.
//
//	412.3 W   0.41 kW   1204.5 J   1.3 kJ   12.1 Wh   0.3 kWh
//
// The command may keep printing, or print a line and exit, and is then run again
// for the next reading. W and kW are power; the others are an energy counter with
// any start value. The first line decides, for good. A reading is dated at the
// arrival of its line. The resolution of an energy is not known from its text:
// resolution= states it, for example the J between two lines of 0.1 kWh.
//
// Several lines are not several instants: a tool that prints one line per card
// prints parts of one reading. Everything that a command prints in a run shorter
// than a period is one reading, and so are the lines of a stream that arrive
// together: within a twentieth of a period, or, as the first period shows, before
// a silence of more than twice the longest gap between them. If there are several,
// row= selects one, or their sum; their number is fixed by the first reading.
//
// The command runs under /bin/sh with the environment of perwatt. Everything that
// it starts ends with it: when it exits, when it is too slow, when the meter is
// closed and, on Linux, when perwatt is killed. On Linux this includes processes
// that left its process group and session (setsid, nohup, daemons). It excludes
// what another service starts at its request (docker, systemd-run, at) and
// processes of another user (sudo), which only that user may end.
package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/perwatt/perwatt/harness/endpoint"
	"github.com/perwatt/perwatt/harness/power"
	"github.com/perwatt/perwatt/results"
)

// Options are the options of its specification.
var Options = func() []endpoint.Option {
	out := slices.Clone(power.Common)
	for i := range out {
		switch out[i].Key {
		case "boundary":
			out[i].Help += " (required)"
		case "period":
			out[i].Help = "how often it is asked, or prints: 500ms, 30s (1s)"
		}
	}
	return append(out, endpoint.Option{Key: "row", Help: "line of a reading that counts, from 1, or sum, as for a tool that prints a line per card (a reading must be one line)"}, power.OriginOption)
}()

const (
	longest = 256 // bytes of a line
	stderrs = 200 // bytes of its standard error that an error shows
	kept    = 256 // unread lines that are kept; also the maximum for one reading
)

// line is one line as received.
type line struct {
	text  string
	at    time.Time
	came  time.Time // by this machine's clock, to tell which lines belong together
	long  bool
	first bool // first line of this run
}

// reading is the value of a line.
type reading struct {
	value float64 // in unit
	unit  results.Unit
}

// units are the units of a reading, and the W or J in one of them.
var units = map[string]reading{
	"W": {1, results.Watt}, "kW": {1e3, results.Watt},
	"J": {1, results.Joule}, "kJ": {1e3, results.Joule}, "Wh": {3600, results.Joule}, "kWh": {3.6e6, results.Joule},
}

// parse reads a line.
func parse(l line) (reading, error) {
	f := strings.Fields(l.text)
	if !l.long && len(f) == 2 {
		v, err := endpoint.Decimal(f[0])
		if u, known := units[f[1]]; err == nil && known {
			return reading{v * u.value, u.unit}, nil
		}
	}
	return reading{}, fmt.Errorf("%q is no reading: it is to print a number and W, kW, J, kJ, Wh or kWh, such as 412.3 W, and at most %d bytes a line", endpoint.Redact(fmt.Sprintf("%.80s", l.text)), longest)
}

// heading matches the line above a column, such as "power.draw [W]".
var heading = regexp.MustCompile(`[\[(](W|kW|J|kJ|Wh|kWh)[\])]\s*$`)

// rows are the lines of one reading: those printed together that are neither
// empty nor a heading.
func rows(together []line) (out []line) {
	for _, l := range together {
		if !l.long && (strings.TrimSpace(l.text) == "" || l.first && heading.MatchString(l.text)) {
			continue
		}
		out = append(out, l)
	}
	return out
}

// command runs a program repeatedly.
type command struct {
	supervisor *supervisor
	now        func() time.Time
	run        *run // nil if there is none
	unit       results.Unit
	gap        time.Duration // the silence between two readings of a stream
	endless    time.Duration // lines that continue for this long without a gap are not a reading
	ends       bool          // it prints one reading per run
	rows       int           // of each reading
	row        int           // the selected one, from 1; 0 for their sum
}

// choose reads row=, which must match what is printed together.
func (c *command) choose(s power.Spec, first []line) error {
	c.rows, c.row = len(first), 1
	text := s.Get("row", "")
	n, err := strconv.Atoi(text)
	switch {
	case text == "" && c.rows == 1:
	case text == "":
		var shown []string
		for _, l := range first[:min(4, c.rows)] {
			shown = append(shown, fmt.Sprintf("%.40q", endpoint.Redact(l.text)))
		}
		return fmt.Errorf("%w: it prints %d lines together (%s), which are one instant of several things: row= says which counts, from 1 to %[2]d, or row=sum adds them up; if they are readings one after another, say how often they come with period=", endpoint.ErrSpec, c.rows, strings.Join(shown, ", "))
	case text == "sum":
		c.row = 0
	case err != nil || n < 1 || n > c.rows:
		return endpoint.BadOption("row", text, fmt.Sprintf("sum, or a number up to %d: so many lines are printed together", c.rows))
	default:
		c.row = n
	}
	return nil
}

// value is the reading of the rows.
func (c *command) value(of []line) (out reading, err error) {
	if len(of) != c.rows {
		return out, fmt.Errorf("it printed %d lines together, and %d at first: what they are of is not known (row= and period= say it)", len(of), c.rows)
	}
	if c.row > 0 {
		of = of[c.row-1 : c.row]
	}
	for _, l := range of {
		r, err := parse(l)
		switch {
		case err != nil:
			return out, err
		case c.unit != "" && r.unit != c.unit:
			return out, fmt.Errorf("%.80q: it began with %s: a power is no energy", l.text, c.unit)
		case c.row == 0 && !(r.value > 0):
			return out, fmt.Errorf("%.80q is in no sum: what is not above 0 is not known", l.text)
		}
		c.unit = r.unit
		out = reading{out.value + r.value, r.unit}
	}
	return out, nil
}

// Open starts the command and waits for its first line. The command is killed when
// ctx ends, or by Close. The specification must state the boundary.
func Open(ctx context.Context, s power.Spec) (power.Meter, error) {
	m, err := open(ctx, s)
	if err != nil {
		return nil, fmt.Errorf("exec: %w", err)
	}
	return m, nil
}

func open(ctx context.Context, s power.Spec) (m power.Meter, err error) {
	switch {
	case strings.TrimSpace(s.Target) == "":
		return nil, fmt.Errorf("%w: there is no command, such as exec:./watts.sh,boundary=wall", endpoint.ErrSpec)
	case !s.Has("boundary"):
		return nil, fmt.Errorf("%w: boundary= is required, for only you know what the command measures: one of %v, such as exec:./watts.sh,boundary=wall", endpoint.ErrSpec, power.Measurable())
	}
	timeout, err := s.Timeout()
	if err != nil {
		return nil, err
	}
	now := s.Now
	if now == nil {
		now = time.Now
	}
	period, err := s.Duration("period", time.Second, 10*time.Millisecond, time.Hour)
	if err != nil {
		return nil, err
	}
	supervisor, err := newSupervisor(ctx, s.Target)
	if err != nil {
		return nil, err
	}
	c := &command{supervisor: supervisor, now: now, gap: min(period/20, timeout/4), endless: period / 2}
	defer func() {
		if err != nil {
			_ = c.close()
		}
	}()
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	source := endpoint.Redact(s.Target)
	first, err := c.first(limited, min(period, timeout))
	if err == nil {
		err = c.choose(s, first)
	}
	if err == nil {
		_, err = c.value(first)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", source, err)
	}
	origin, err := s.Origin()
	if err != nil {
		return nil, err
	}
	channel := results.Channel{Name: "power", Unit: results.Watt, Kind: results.Gauge, Boundary: results.Wall, Total: results.Wall, Origin: origin,
		Accuracy: results.Accuracy{Gain: results.Absent(), Resolution: results.Absent()}}
	if c.unit == results.Joule {
		channel.Name, channel.Unit, channel.Kind = "energy", results.Joule, results.Counter
	}
	note := "what a command prints, at the boundary that the spec says"
	switch {
	case c.row == 0:
		note += fmt.Sprintf(": the sum of the %d that it prints together", c.rows)
	case c.rows > 1:
		note += fmt.Sprintf(": line %d of the %d that it prints together", c.row, c.rows)
	}
	about := power.Info{Source: source, Period: time.Second, Channels: []results.Channel{channel}, Notes: []string{note}}
	return s.Poller(about, []power.Bound{{}}, c.ask, c.close)
}

// ask returns the newest reading.
func (c *command) ask(ctx context.Context) ([]power.Quantity, error) {
	of, err := c.next(ctx)
	if errors.Is(err, power.ErrNoNews) {
		return []power.Quantity{{Err: err}}, nil
	}
	if err != nil {
		return nil, err
	}
	r, err := c.value(of)
	return []power.Quantity{{Value: r.value, At: of[len(of)-1].at, Err: err}}, nil
}

// first returns the first reading, and finds out whether the command ends with it,
// for which it has some time from its first line on: then everything it printed
// is that reading.
func (c *command) first(ctx context.Context, grace time.Duration) ([]line, error) {
	r, err := c.start()
	if err != nil {
		return nil, err
	}
	c.run = r
	select {
	case <-r.news:
	case <-r.ended:
	case <-ctx.Done():
		return nil, c.hangs(ctx)
	}
	select {
	case <-r.ended:
		c.ends = true
	case <-time.After(grace):
	case <-ctx.Done():
		if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return nil, ctx.Err()
		}
	}
	all := r.take(func(printed []line) (from, to int) {
		c.gap = max(c.gap, burst(printed, time.Now()))
		to = len(printed)
		for i := 1; i < to && !c.ends; i++ {
			if printed[i].came.Sub(printed[i-1].came) > c.gap {
				to = i
			}
		}
		return 0, to
	})
	if of := rows(all); len(of) > 0 {
		r.spoke = true
		return of, c.endlessly(all)
	}
	if c.ends {
		c.run = nil
		return nil, r.death()
	}
	return c.next(ctx)
}

// burst returns the pause that separates readings, if the lines are followed by a
// silence much longer than any between them: a tool that queries one card after
// another takes time for each. It is 0 for lines at regular intervals.
func burst(printed []line, now time.Time) time.Duration {
	if len(printed) < 2 {
		return 0
	}
	widest := time.Duration(0)
	for i, l := range printed[1:] {
		widest = max(widest, l.came.Sub(printed[i].came))
	}
	if now.Sub(printed[len(printed)-1].came) <= 2*widest {
		return 0
	}
	return widest * 3 / 2
}

// endlessly is the error for too many lines in one reading.
func (c *command) endlessly(together []line) error {
	switch last := len(together) - 1; {
	case last < 0:
	case !c.ends && together[last].came.Sub(together[0].came) > c.endless:
		return fmt.Errorf("%w: it printed %d lines within %v and never paused for %v: if they are readings one after another, say how often they come with period=", endpoint.ErrSpec, last+1, c.endless, c.gap)
	case last+1 == kept:
		return fmt.Errorf("it printed %d lines or more together", kept)
	}
	return nil
}

// hangs is the error for a command that has printed nothing, or has not ended,
// when ctx ends. It is killed if that was its time limit.
func (c *command) hangs(ctx context.Context) error {
	if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return ctx.Err()
	}
	c.run.kill()
	<-c.run.ended
	what := "it printed no line"
	if len(c.run.take(everything)) > 0 {
		what = "it printed and did not end, as it did at first,"
	}
	c.run = nil
	return fmt.Errorf("%s and was killed; one that is slower needs a longer timeout= (%w)", what, ctx.Err())
}

// next returns the newest unread reading, or waits for the next; a command that
// exited normally is run again. Silence after the first line means no news; a
// command that prints none in time hangs, and is killed.
func (c *command) next(ctx context.Context) ([]line, error) {
	for {
		if c.run == nil {
			r, err := c.start()
			if err != nil {
				return nil, err
			}
			c.run = r
		}
		r := c.run
		over, ended := false, r.ended
		select {
		case <-r.ended:
			over, ended = true, nil
		default:
		}
		of, wait, err := c.newest(r, over)
		if err != nil || len(of) > 0 {
			r.spoke = true
			return of, err
		}
		if over {
			c.run = nil
			if r.err != nil || !r.spoke {
				return nil, r.death()
			}
			continue
		}
		select {
		case <-r.news:
		case <-ended:
		case <-wait:
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) && r.spoke {
				return nil, power.ErrNoNews
			}
			return nil, c.hangs(ctx)
		}
	}
}

// newest takes the newest complete reading of a run, which is complete once the
// run is over or a stream has paused; wait ends when it may be.
func (c *command) newest(r *run, over bool) (of []line, wait <-chan time.Time, err error) {
	if c.ends && !over {
		return nil, nil, nil
	}
	all := r.take(func(printed []line) (from, to int) {
		to = len(printed)
		if to == 0 || c.ends {
			return 0, to
		}
		from = to - 1
		for from > 0 && printed[from].came.Sub(printed[from-1].came) <= c.gap {
			from--
		}
		pause := time.Since(printed[to-1].came)
		if !over && pause <= c.gap && c.endlessly(printed[from:]) == nil {
			wait = time.After(c.gap - pause)
			return 0, 0
		}
		return from, to
	})
	if err := c.endlessly(all); err != nil {
		return nil, nil, err
	}
	return rows(all), wait, nil
}

func (c *command) close() error {
	err := c.supervisor.close()
	if c.run != nil && err == nil {
		<-c.run.ended
	}
	return err
}

// run is one run of the command.
type run struct {
	news  chan struct{} // something was printed
	ended chan struct{} // closed when it was waited for
	kill  func()
	spoke bool // a line was read

	mu      sync.Mutex
	printed []line // the last unread ones
	begun   bool   // something was printed

	// Set before ended is closed.
	err  error
	rest string // an unfinished line
	tail []byte // the end of its standard error
}

// start runs the command once.
func (c *command) start() (*run, error) {
	r := &run{news: make(chan struct{}, 1), ended: make(chan struct{}), kill: c.supervisor.kill}
	out, complaints := &lines{now: c.now, tell: r.tell}, &tail{}
	wait, err := c.supervisor.start(out, complaints)
	if err != nil {
		return nil, err
	}
	go func() {
		defer close(r.ended)
		r.err = wait()
		r.rest, r.tail = string(out.rest), *complaints
	}()
	return r, nil
}

// tell adds a line.
func (r *run) tell(l line) {
	r.mu.Lock()
	l.first, r.begun = !r.begun, true
	r.printed = append(r.printed[max(0, len(r.printed)+1-kept):], l)
	r.mu.Unlock()
	select {
	case r.news <- struct{}{}:
	default:
	}
}

// take takes the lines that choose selects. Earlier ones are dropped, later ones
// stay.
func (r *run) take(choose func(printed []line) (from, to int)) []line {
	r.mu.Lock()
	defer r.mu.Unlock()
	from, to := choose(r.printed)
	out := r.printed[from:to]
	r.printed = r.printed[to:]
	return out
}

func everything(printed []line) (from, to int) { return 0, len(printed) }

// death says how it ended.
func (r *run) death() error {
	how, said := r.err, ""
	if how == nil {
		how = errors.New("exit status 0, without a line")
	}
	if r.rest != "" {
		said = "; its last line lacks a newline and may not be whole"
	}
	if t := bytes.TrimSpace(r.tail); len(t) > 0 {
		said += fmt.Sprintf("; it complained %q", endpoint.Redact(string(t)))
	}
	return fmt.Errorf("it ended: %w%s", how, said)
}

// lines splits what is written to it into lines, each dated at its end.
type lines struct {
	now  func() time.Time
	tell func(line)
	rest []byte
	long bool
}

func (l *lines) Write(p []byte) (int, error) {
	n, at, came := len(p), l.now(), time.Now()
	for len(p) > 0 {
		part, after, whole := bytes.Cut(p, []byte("\n"))
		room := longest - len(l.rest)
		l.long = l.long || len(part) > room
		l.rest = append(l.rest, part[:min(len(part), room)]...)
		if whole {
			l.tell(line{text: string(l.rest), at: at, came: came, long: l.long})
			l.rest, l.long = l.rest[:0], false
		}
		p = after
	}
	return n, nil
}

// tail keeps the last bytes written to it.
type tail []byte

func (t *tail) Write(p []byte) (int, error) {
	*t = append(*t, p...)
	*t = append((*t)[:0], (*t)[max(0, len(*t)-stderrs):]...)
	return len(p), nil
}
