// Package model is the meter for machines without one: virtual machines,
// continuous integration. It computes power from CPU time and published
// coefficients, and every note says so: its origin is modelled, its grade is E,
// and nothing is ranked by it.
//
//	energy += dt · CPUs · min + busy seconds · (max − min)
//
// It does not know clocks, memory, accelerators or the kind of work that keeps a
// CPU busy, so it cannot distinguish an efficient kernel from a hot one.
package model

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/perwatt/perwatt/harness/power"
	"github.com/perwatt/perwatt/results"
)

const (
	// The kernel reports CPU time in ticks of USER_HZ, 100 a second in the ABI of
	// every architecture that Go supports (proc(5), /proc/stat).
	tick = 10 * time.Millisecond
	// Busy time may decrease by rounding; a larger decrease is a reset of the
	// counters (a restored or migrated container).
	jitter = time.Second
	// The accounting of each CPU may be ahead of the clock by this much.
	slack = time.Second

	statMost = 4 << 20 // bytes of /proc/stat that are read on opening
	infoMost = 64 << 10
)

type meter struct {
	info     power.Info
	stat     io.ReaderAt
	close    func() error
	cpus     int
	min, max float64 // W per CPU
	at       time.Time
	busy     time.Duration // the maximum so far
	based    bool          // whether at and busy hold
	joules   float64
	done     bool
}

// Open models the CPUs that the procfs root, usually /proc, lists. It wraps
// [power.ErrAbsent] if there is no such file system.
//
// It reads the first line of /proc/stat itself. Parsing all of it, as
// github.com/prometheus/procfs does, takes milliseconds on 128 CPUs, while this
// takes microseconds more than the kernel needs to write the file
// (BenchmarkStat). Ten times a second, that would be a load of its own.
func Open(proc string) (power.Meter, error) {
	path := filepath.Join(proc, "stat")
	f, err := power.Timely(path, func() (*os.File, error) { return os.Open(path) }) // #nosec G304 -- below the system's directory
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("model: no %s: %w", path, power.ErrAbsent)
	}
	if err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	text, err := power.Timely(path, func() ([]byte, error) { return io.ReadAll(io.LimitReader(f, statMost)) })
	if err == nil {
		_, err = parseStat(text)
	}
	if err != nil {
		f.Close() // #nosec G104 -- nothing was written to it
		return nil, fmt.Errorf("model: read %s: %w", path, err)
	}
	var c cpu
	info, err := power.ReadHead(power.OpenFile, filepath.Join(proc, "cpuinfo"), infoMost)
	if errors.Is(err, power.ErrLate) {
		f.Close() // #nosec G104 -- nothing was written to it
		return nil, fmt.Errorf("model: %w", err)
	}
	if err == nil {
		c = parseCPU(bytes.NewReader(info))
	}
	return newMeter(path, f, f.Close, max(1, countCPUs(text)), c), nil
}

func newMeter(path string, stat io.ReaderAt, close func() error, cpus int, c cpu) *meter {
	r := lookup(c)
	m := &meter{stat: stat, close: close, cpus: cpus, min: r.min, max: r.max}
	idle, full := float64(cpus)*r.min, float64(cpus)*r.max
	m.info = power.Info{
		Name: "model", Source: path, Period: tick,
		Channels: []results.Channel{{
			Name: "cpu", Unit: results.Joule, Kind: results.Counter, Origin: results.Modelled,
			// The coefficients are AC watts of whole servers.
			Boundary: results.Wall, Total: results.Wall,
			Accuracy: results.Accuracy{
				Gain:       results.Float(r.gain),
				Resolution: results.Float(tick.Seconds() * (r.max - r.min)),
				Source:     "estimated: the spread of servers behind one coefficient, and of loads unlike SPECpower's; nobody states it",
			},
		}},
		Notes: []string{
			fmt.Sprintf("modelled, not measured: %d CPUs (%s, %s) at %.4g W idle and %.4g W busy each: %.4g W to %.4g W, ± %.0f %%", cpus, cmp.Or(c.name, "unnamed"), r.arch, r.min, r.max, idle, full, 100*r.gain),
			"coefficients: " + Source,
			"boundary wall: AC watts of a whole server, prorated to its hardware threads; on a virtual machine the share of the host that its CPUs stand for; accelerators are not in it",
			"busy is user, nice, system and interrupt time; idle, waiting for I/O and stolen time are not",
		},
	}
	if r.note != "" {
		m.info.Notes = append(m.info.Notes, r.note)
	}
	return m
}

func (m *meter) Info() power.Info { return m.info }

func (m *meter) Read(ctx context.Context) ([]power.Reading, error) {
	if m.done {
		return nil, fmt.Errorf("model: read %s: %w", m.info.Source, os.ErrClosed)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	type head struct {
		text []byte
		at   time.Time
	}
	got, err := power.Timely(m.info.Source, func() (head, error) {
		buf := make([]byte, 512) // the first line: ten counts of at most 20 digits
		n, err := m.stat.ReadAt(buf, 0)
		if err == io.EOF {
			err = nil
		}
		return head{buf[:n], time.Now()}, err
	})
	at, busy := got.at, time.Duration(0)
	if at.IsZero() {
		at = time.Now()
	}
	if err == nil {
		busy, err = parseStat(got.text)
	}
	if err == nil {
		err = m.advance(busy, at)
	}
	if err != nil {
		m.based = false // the interval since is unknown: the next good reading is a new base
		return []power.Reading{{At: at, Value: math.NaN(), Err: fmt.Errorf("model: read %s: %w", m.info.Source, err)}}, nil
	}
	return []power.Reading{{At: at, Value: m.joules}}, nil
}

// advance adds the energy since the last good reading. Fields of /proc/stat may
// decrease by a tick: busy time is held at its maximum, so that no step is counted
// twice.
func (m *meter) advance(busy time.Duration, at time.Time) error {
	if !m.based {
		m.based, m.busy, m.at = true, busy, at
		return nil
	}
	dt, used := at.Sub(m.at), busy-m.busy
	switch {
	case used < -jitter:
		return fmt.Errorf("busy time fell from %v to %v: a reset, a gap", m.busy, busy)
	case used > time.Duration(m.cpus)*(dt+slack):
		return fmt.Errorf("%d CPUs cannot have been busy for %v in %v: a gap", m.cpus, used, dt)
	}
	m.at = at
	m.joules += dt.Seconds() * float64(m.cpus) * m.min
	if used > 0 {
		m.busy = busy
		m.joules += used.Seconds() * (m.max - m.min)
	}
	return nil
}

func (m *meter) Close() error {
	if m.done {
		return nil
	}
	m.done = true
	return m.close()
}

// parseStat returns the busy time of all CPUs together from the first line of
// /proc/stat: user, nice, system, irq and softirq. Guest time is included in user
// and nice; stolen time was used by others.
func parseStat(text []byte) (time.Duration, error) {
	line, _, whole := bytes.Cut(text, []byte("\n"))
	rest, ok := bytes.CutPrefix(line, []byte("cpu "))
	if !ok || !whole {
		return 0, fmt.Errorf("%.40q is not the line of all CPUs", line)
	}
	var ticks uint64
	for i := range 7 { // user nice system idle iowait irq softirq
		rest = bytes.TrimLeft(rest, " ")
		var field []byte
		field, rest, _ = bytes.Cut(rest, []byte(" "))
		n, err := strconv.ParseUint(string(field), 10, 64)
		if err != nil || n > math.MaxInt64/uint64(tick)/5 {
			return 0, fmt.Errorf("field %d of the line of all CPUs, %.32q, is not a count of ticks", i+1, field)
		}
		if i != 3 && i != 4 {
			ticks += n
		}
	}
	return time.Duration(ticks) * tick, nil
}

// countCPUs counts the lines of single CPUs, which are those online.
func countCPUs(text []byte) (n int) {
	for line := range bytes.Lines(text) {
		if len(line) > 3 && bytes.HasPrefix(line, []byte("cpu")) && line[3] >= '0' && line[3] <= '9' {
			n++
		}
	}
	return n
}

// parseCPU reads the first processor of /proc/cpuinfo on x86 or arm64; what is
// missing or malformed stays zero.
func parseCPU(r io.Reader) (c cpu) {
	text, _ := io.ReadAll(io.LimitReader(r, infoMost))
	for line := range strings.Lines(string(text)) {
		key, value, ok := strings.Cut(line, ":")
		if !ok && strings.TrimSpace(line) == "" && c != (cpu{}) {
			break // the next processor
		}
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		number := func() int {
			n, err := strconv.ParseInt(value, 0, 32)
			if err != nil {
				return 0
			}
			return int(n)
		}
		switch key {
		case "vendor_id":
			c.vendor = value
		case "model name":
			c.name = value
		case "cpu family":
			c.family = number()
		case "model", "CPU part":
			c.model = number()
		case "stepping":
			c.stepping = number()
		case "CPU implementer":
			c.implementer = number()
		}
	}
	return c
}
