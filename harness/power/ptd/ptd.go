// Package ptd reads a power analyser through SPEC's PTDaemon, which the user runs
// beside the analyser under a licence of their own. The package is a client of its port
// and contains no part of the daemon.
//
// The protocol has no public documentation. The part that is used here is taken from
// two public clients: util.pl of the tools of SPEC's suites ("From a now-vanished
// section of the PTD design document …") and ptd_client_server/lib/server.py of
// mlcommons/power-dev, with the logs in that project's issues 166, 273, 283 and 287.
// Commands and answers are lines that end in CRLF:
//
//	Hello               Hello, PTDaemon here!
//	Identify            the analyser, its averaging interval, what it can
//	RR                  Ranges,AUTO,AMPS,AUTO,VOLTS
//	SR,A,20             Range A changed
//	Stop                one line, whether anything was measured or not
//	Go,1000,0,MARK      Starting untimed measurement, …
//	RL,1                Last 1 samples, and one line of it; or No unread samples
//	Uncertainty         Uncertainty,AVERAGE,LEAST,MOST,SAMPLES,…
//
// The daemon sends nothing unasked: RL,1 returns the last unread sample, and waits for
// one interval if there is none. A daemon serves one client. A measurement that an
// earlier client left running is stopped.
package ptd

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/perwatt/perwatt/harness/endpoint"
	"github.com/perwatt/perwatt/harness/power"
	"github.com/perwatt/perwatt/results"
)

// Options are those of its spec.
var Options = append([]endpoint.Option{
	{Key: "amps", Help: "range to set while it is open, in A, or Auto (left as it is)"},
	{Key: "volts", Help: "range to set while it is open, in V, or Auto (left as it is)"},
}, power.Common...)

const (
	longest = 4096             // bytes of a line
	setting = 10 * time.Second // to set a range: an analyser takes 1.5 s or more
)

// units are the quantities that have a range.
var units = []struct{ letter, option, name string }{{"A", "amps", "current"}, {"V", "volts", "voltage"}}

// daemon is a PTDaemon.
type daemon struct {
	address string
	want    ranges        // to set
	was     ranges        // as first found
	set     bool          // whether a range was set
	period  time.Duration // between samples; 0 is the analyser's own
	timeout time.Duration
	id      identity

	conn net.Conn // nil without one
	in   *bufio.Reader
}

// Open returns a meter of the watts that the analyser measures, summed over its
// channels, at the wall unless the spec sets another boundary. It waits for a first
// sample; the accuracy is the daemon's estimate for it, if there is one.
func Open(ctx context.Context, s power.Spec) (power.Meter, error) {
	m, err := open(ctx, s)
	if err != nil {
		return nil, fmt.Errorf("ptd: %w", err)
	}
	return m, nil
}

func open(ctx context.Context, s power.Spec) (m power.Meter, err error) {
	d := &daemon{want: ranges{}}
	if d.address, err = s.Address("8888"); err != nil {
		return nil, err
	}
	for _, u := range units {
		if strings.EqualFold(s.Get(u.option, ""), auto) {
			d.want[u.letter] = auto
		} else if v, err := s.Number(u.option, 0, 1e-6, 1e5); err != nil {
			return nil, fmt.Errorf("%w, or Auto", err)
		} else if v > 0 {
			d.want[u.letter] = plain(v)
		}
	}
	if d.timeout, err = s.Timeout(); err != nil {
		return nil, err
	}
	if d.period, err = s.Duration("period", 0, 10*time.Millisecond, time.Hour); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = d.close()
		}
	}()
	limited, cancel := context.WithTimeout(ctx, d.long())
	defer cancel()
	if err := d.connect(limited); err != nil {
		return nil, fmt.Errorf("%s: %w", d.address, err)
	}
	if d.timeout <= d.period {
		return nil, fmt.Errorf("%w: timeout=%v: must be longer than the %v between samples, for which it may wait", endpoint.ErrSpec, d.timeout, d.period)
	}
	// The first sample takes the daemon a few intervals.
	limited, cancel = context.WithTimeout(ctx, d.timeout+3*d.period)
	defer cancel()
	gain, err := d.first(limited)
	if err != nil {
		return nil, fmt.Errorf("%s: first sample: %w", d.address, err)
	}
	c := results.Channel{Name: "power", Unit: results.Watt, Kind: results.Gauge, Boundary: results.Wall, Total: results.Wall, Origin: results.Measured,
		Accuracy: results.Accuracy{Gain: gain, Resolution: results.Absent()}}
	if !gain.IsAbsent() {
		c.Accuracy.Source = "estimated by the PTDaemon of the first sample, for the ranges that were set then"
	}
	about := power.Info{Source: d.address, Period: d.period, Channels: []results.Channel{c}, Notes: d.notes()}
	return s.Poller(about, []power.Bound{{}}, d.ask, d.close)
}

// long is the time limit where ranges may be set.
func (d *daemon) long() time.Duration { return d.timeout + time.Duration(len(d.want))*setting }

func (d *daemon) notes() []string {
	accepted := "not accepted"
	if d.id.accepted {
		accepted = "accepted"
	}
	notes := []string{fmt.Sprintf("analyser %.200q, %s by SPEC, calibrated %.40q, read by PTDaemon %.80q", d.id.analyser, accepted, d.id.calibrated, d.id.version)}
	if d.id.channels > 1 {
		notes = append(notes, fmt.Sprintf("the sum of its %d channels", d.id.channels))
	}
	for _, u := range units {
		switch at := cmp.Or(d.want[u.letter], d.was[u.letter]); at {
		case "":
		case auto:
			notes = append(notes, fmt.Sprintf("the range of the %s is automatic: there are no samples while it changes; %s= sets one", u.name, u.option))
		default:
			notes = append(notes, fmt.Sprintf("the range of the %s is %s %s", u.name, at, u.letter))
		}
	}
	return notes
}

// connect opens a connection, sets the ranges and starts a measurement.
func (d *daemon) connect(ctx context.Context) error {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", d.address)
	if err != nil {
		return fmt.Errorf("%w; does the PTDaemon run there, and does it accept connections from other machines?", err)
	}
	d.conn, d.in = conn, bufio.NewReaderSize(conn, longest)
	if hello, err := d.say(ctx, "Hello"); err != nil {
		return err
	} else if hello != "Hello, PTDaemon here!" {
		return fmt.Errorf("no PTDaemon: it says %.80q to Hello", hello)
	}
	line, err := d.say(ctx, "Identify")
	if err != nil {
		return err
	}
	id, err := parseIdentity(line)
	switch {
	case err != nil:
		return err
	case d.id.analyser != "" && d.id.analyser != id.analyser:
		return fmt.Errorf("another analyser answers now: %.80q, not %.80q", id.analyser, d.id.analyser)
	case id.channels > 1 && len(d.want) > 0:
		return fmt.Errorf("%w: amps= and volts= are for an analyser of one channel: set those of %.80q at the analyser", endpoint.ErrSpec, id.analyser)
	}
	d.id = id
	if d.period == 0 {
		d.period = id.interval
	}
	if _, err := d.say(ctx, "Stop"); err != nil {
		return err
	}
	if id.channels == 1 {
		if err := d.arrange(ctx); err != nil {
			return err
		}
	}
	if line, err = d.say(ctx, fmt.Sprintf("Go,%d,0,perwatt", d.period.Milliseconds())); err != nil {
		return err
	} else if !strings.HasPrefix(line, "Starting untimed measurement") {
		return fmt.Errorf("it says %.200q to Go", line)
	}
	return nil
}

// arrange sets the wanted ranges that are not set yet, so that a new connection does
// not wait for the analyser again.
func (d *daemon) arrange(ctx context.Context) error {
	line, err := d.say(ctx, "RR")
	if err != nil {
		return err
	}
	now, err := parseRanges(line)
	if err != nil {
		return err
	}
	if d.was == nil {
		d.was = now
	}
	for _, u := range units {
		if want := d.want[u.letter]; want != "" && want != now[u.letter] {
			if err := d.setRange(ctx, u.letter, want); err != nil {
				return err
			}
			d.set = true
		}
	}
	return nil
}

func (d *daemon) setRange(ctx context.Context, letter, to string) error {
	line, err := d.say(ctx, "SR,"+letter+","+to)
	if err == nil && !strings.HasPrefix(line, "Range "+letter+" changed") {
		err = fmt.Errorf("it says %.200q to SR,%s,%s: is that a range of the analyser, and is the daemon allowed to set it?", line, letter, to)
	}
	return err
}

// first waits for a sample and returns the daemon's estimate of its relative
// uncertainty.
func (d *daemon) first(ctx context.Context) (results.Float, error) {
	for {
		q, err := d.sample(ctx)
		if err = cmp.Or(err, q.Err); err == nil {
			break
		}
		if errors.Is(err, power.ErrNoNews) { // a daemon without a sample may answer so at once
			select {
			case <-time.After(d.period / 10):
				continue
			case <-ctx.Done():
			}
		}
		if ctx.Err() != nil {
			return 0, fmt.Errorf("none came: does the analyser measure? (%w)", ctx.Err())
		}
		return 0, err
	}
	if !d.id.estimates {
		return results.Absent(), nil
	}
	line, err := d.say(ctx, "Uncertainty")
	if err != nil {
		return 0, err
	}
	return parseUncertainty(line)
}

// ask reads the last sample. After an error it connects anew, so that a late answer
// cannot be taken for one to the next command.
func (d *daemon) ask(ctx context.Context) ([]power.Quantity, error) {
	if d.conn == nil {
		if err := d.connect(ctx); err != nil {
			d.drop()
			return nil, err
		}
	}
	q, err := d.sample(ctx)
	if errors.Is(err, power.ErrNoNews) {
		return []power.Quantity{{Err: err}}, nil
	}
	if err != nil {
		d.drop()
		return nil, err
	}
	return []power.Quantity{q}, nil
}

func (d *daemon) sample(ctx context.Context) (q power.Quantity, err error) {
	line, err := d.say(ctx, "RL,1")
	if err != nil {
		return q, err
	}
	if some, err := parseHead(line); err != nil {
		return q, err
	} else if !some {
		return q, power.ErrNoNews
	}
	if line, err = d.hear(ctx); err != nil {
		return q, err
	}
	s, err := parseSample(line)
	if err != nil {
		return q, err
	}
	q = power.Quantity{Value: s.watts, Taken: s.taken}
	if s.watts < 0 {
		q.Err = fmt.Errorf("it says Watts,%g, for the analyser had no value: is the current or the voltage beyond its range?", s.watts)
	}
	return q, nil
}

// say sends a command and returns the first line of the answer.
func (d *daemon) say(ctx context.Context, command string) (string, error) {
	defer context.AfterFunc(ctx, d.stop())()
	if _, err := d.conn.Write([]byte(command + "\r\n")); err != nil {
		return "", fmt.Errorf("%s: %w", command, cmp.Or(ctx.Err(), err))
	}
	line, err := d.hear(ctx)
	if err != nil {
		err = fmt.Errorf("%s: %w", command, err)
	}
	return line, err
}

// hear returns the next line.
func (d *daemon) hear(ctx context.Context) (string, error) {
	defer context.AfterFunc(ctx, d.stop())()
	line, err := d.in.ReadSlice('\n')
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case errors.Is(err, bufio.ErrBufferFull):
		return "", fmt.Errorf("a line of more than %d bytes", longest)
	case err != nil:
		return "", err
	}
	return strings.TrimRight(string(line), "\r\n"), nil
}

// stop returns a function that ends all waits on the connection, for good.
func (d *daemon) stop() func() {
	conn := d.conn
	return func() { _ = conn.SetDeadline(time.Unix(1, 0)) }
}

func (d *daemon) drop() {
	if d.conn != nil {
		_ = d.conn.Close()
		d.conn = nil
	}
}

// close leaves the analyser as it was found, if the daemon is still there.
func (d *daemon) close() error {
	if d.conn == nil {
		return nil
	}
	defer d.drop()
	ctx, cancel := context.WithTimeout(context.Background(), d.long())
	defer cancel()
	if _, err := d.say(ctx, "Stop"); err != nil {
		return nil
	}
	for _, u := range units {
		if was := d.was[u.letter]; d.set && d.want[u.letter] != "" && was != "" {
			if err := d.setRange(ctx, u.letter, was); err != nil {
				return fmt.Errorf("ptd: %s: set the range back: %w", d.address, err)
			}
		}
	}
	return nil
}
