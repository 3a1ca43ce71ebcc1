// Package command is the door for every instrument that has no meter here: a
// command whose lines are readings, each a number and a unit.
//
//	412.3 W   0.41 kW   1204.5 J   1.3 kJ   12.1 Wh   0.3 kWh
//
// It may go on printing, or print a line and end, to be run again for the next
// reading. W and kW are power, the others an energy that counts up from
// wherever it stands; the first line says which, for good. A line is worth the
// instant at which it comes in. How coarse an energy counts is not known of a
// text: resolution= says it, as it says the J between two lines of 0.1 kWh.
//
// The command runs under /bin/sh with the environment of perwatt, in a process
// group of its own that is killed when the meter is closed. On Linux its shell
// dies with perwatt even if that is killed.
package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/perwatt/perwatt/harness/peer"
	"github.com/perwatt/perwatt/harness/power"
	"github.com/perwatt/perwatt/results"
)

// Options are those of its spec.
var Options = func() []peer.Option {
	out := slices.Clone(power.Common)
	for i := range out {
		switch out[i].Key {
		case "boundary":
			out[i].Help += " (required)"
		case "period":
			out[i].Help = "how often it is asked: 500ms, 30s (1s)"
		}
	}
	return append(out, power.Whence)
}()

const (
	longest = 256 // bytes of a line
	stderrs = 200 // bytes of its complaints that an error shows
)

// line is one line as it came in.
type line struct {
	text string
	at   time.Time
	long bool
}

// reading is what a line says.
type reading struct {
	value float64 // in unit
	unit  results.Unit
}

// units are what a reading may be in, and how many W or J one is.
var units = map[string]reading{
	"W": {1, results.Watt}, "kW": {1e3, results.Watt},
	"J": {1, results.Joule}, "kJ": {1e3, results.Joule}, "Wh": {3600, results.Joule}, "kWh": {3.6e6, results.Joule},
}

// parse reads a line.
func parse(l line) (reading, error) {
	f := strings.Fields(l.text)
	if !l.long && len(f) == 2 {
		v, err := peer.Decimal(f[0])
		if u, known := units[f[1]]; err == nil && known {
			return reading{v * u.value, u.unit}, nil
		}
	}
	return reading{}, fmt.Errorf("%q is no reading: it is to print a number and W, kW, J, kJ, Wh or kWh, such as 412.3 W, and at most %d bytes a line", peer.Redact(fmt.Sprintf("%.80s", l.text)), longest)
}

// command runs again and again.
type command struct {
	start func() (*run, error)
	run   *run // nil if there is none
	unit  results.Unit
	end   context.CancelFunc
}

// Open starts the command and waits for its first line. It is killed when ctx
// ends, or by Close. The spec has to say the boundary.
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
		return nil, fmt.Errorf("%w: there is no command, such as exec:./watts.sh,boundary=wall", peer.ErrSpec)
	case !s.Has("boundary"):
		return nil, fmt.Errorf("%w: boundary= is required, for only you know what the command measures: one of %v, such as exec:./watts.sh,boundary=wall", peer.ErrSpec, results.Boundaries())
	}
	timeout, err := s.Timeout()
	if err != nil {
		return nil, err
	}
	now := s.Now
	if now == nil {
		now = time.Now
	}
	living, end := context.WithCancel(ctx)
	c := &command{end: end, start: func() (*run, error) { return start(living, s.Target, now) }}
	defer func() {
		if err != nil {
			_ = c.close()
		}
	}()
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	source := peer.Redact(s.Target)
	l, err := c.next(limited)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", source, err)
	}
	first, err := parse(l)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", source, err)
	}
	c.unit = first.unit
	origin, err := s.Origin()
	if err != nil {
		return nil, err
	}
	channel := results.Channel{Name: "power", Unit: results.Watt, Kind: results.Gauge, Boundary: results.Wall, Total: results.Wall, Origin: origin,
		Accuracy: results.Accuracy{Gain: results.Absent(), Resolution: results.Absent()}}
	if c.unit == results.Joule {
		channel.Name, channel.Unit, channel.Kind = "energy", results.Joule, results.Counter
	}
	about := power.Info{Source: source, Period: time.Second, Channels: []results.Channel{channel}, Notes: []string{"what a command prints, at the boundary that the spec says"}}
	return s.Remote(about, []power.Bound{{}}, c.ask, c.close)
}

// ask takes the newest line.
func (c *command) ask(ctx context.Context) ([]power.Quantity, error) {
	l, err := c.next(ctx)
	if errors.Is(err, power.ErrNoNews) {
		return []power.Quantity{{Err: err}}, nil
	}
	if err != nil {
		return nil, err
	}
	r, err := parse(l)
	if err == nil && r.unit != c.unit {
		err = fmt.Errorf("%.80q: it began with %s: a power is no energy", l.text, c.unit)
	}
	return []power.Quantity{{Value: r.value, At: l.at, Err: err}}, nil
}

// next returns the newest line that was not taken, or waits for the next; a
// command that ended well is run again. One that is silent after its first
// line has no news; one that prints none in time hangs, and is killed.
func (c *command) next(ctx context.Context) (line, error) {
	for {
		if c.run == nil {
			r, err := c.start()
			if err != nil {
				return line{}, err
			}
			c.run = r
		}
		r := c.run
		select {
		case l := <-r.news:
			r.spoke = true
			return l, nil
		case <-r.ended:
		case <-ctx.Done():
			switch {
			case !errors.Is(ctx.Err(), context.DeadlineExceeded):
				return line{}, ctx.Err()
			case r.spoke:
				return line{}, power.ErrNoNews
			}
			r.kill()
			<-r.ended
			c.run = nil
			return line{}, fmt.Errorf("it printed no line and was killed; one that is slower needs a longer timeout= (%w)", ctx.Err())
		}
		select {
		case l := <-r.news: // printed just before the end
			r.spoke = true
			return l, nil
		default:
		}
		c.run = nil
		if r.err != nil || !r.spoke {
			return line{}, r.death()
		}
	}
}

func (c *command) close() error {
	c.end()
	if c.run != nil {
		<-c.run.ended
	}
	return nil
}

// run is one life of the command.
type run struct {
	news  chan line     // the newest that was not taken
	ended chan struct{} // closed when it was waited for
	kill  context.CancelFunc
	spoke bool // a line was taken

	// Set before ended is closed.
	err  error
	rest string // an unfinished line
	tail []byte // of what it complained
}

// start starts the command; the end of ctx kills it with all its group.
func start(ctx context.Context, text string, now func() time.Time) (*run, error) {
	ctx, kill := context.WithCancel(ctx)
	r := &run{news: make(chan line, 1), ended: make(chan struct{}), kill: kill}
	out, complaints := &lines{now: now, tell: r.tell}, &tail{}
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", text)
	cmd.Stdout, cmd.Stderr = out, complaints
	cmd.WaitDelay = 100 * time.Millisecond // for what it left behind with its output open
	sweep := group(cmd)
	started := make(chan error)
	go func() {
		// The death signal is tied to the thread that forked: it has to live
		// as long as the command.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(r.ended)
		defer kill()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		if r.err = cmd.Wait(); errors.Is(r.err, exec.ErrWaitDelay) {
			r.err = nil
		}
		sweep()
		r.rest, r.tail = string(out.rest), *complaints
	}()
	if err := <-started; err != nil {
		<-r.ended
		return nil, err
	}
	return r, nil
}

// tell replaces a line that was not taken yet.
func (r *run) tell(l line) {
	select {
	case <-r.news:
	default:
	}
	r.news <- l
}

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
		said += fmt.Sprintf("; it complained %q", peer.Redact(string(t)))
	}
	return fmt.Errorf("it ended: %w%s", how, said)
}

// lines cuts what is written to it into lines, each stamped when its end came.
type lines struct {
	now  func() time.Time
	tell func(line)
	rest []byte
	long bool
}

func (l *lines) Write(p []byte) (int, error) {
	n, at := len(p), l.now()
	for len(p) > 0 {
		part, after, whole := bytes.Cut(p, []byte("\n"))
		room := longest - len(l.rest)
		l.long = l.long || len(part) > room
		l.rest = append(l.rest, part[:min(len(part), room)]...)
		if whole {
			l.tell(line{text: string(l.rest), at: at, long: l.long})
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
