package results

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"time"
)

// RecordingVersion is that of the format of a recording.
const RecordingVersion = 1

// RecordingLine is one line of a recording: JSON Lines in which one host writes what
// meters say, in the order in which it arrives, until it is stopped. Each line has one of
// Begin, Open, Step, ClockError, or a reading. Channels and values mean what they mean in a
// [Record]; only the times are UTC, by the clock of the host.
type RecordingLine struct {
	At time.Time `json:"at"` // of the reading, or of what happened

	// Meter and, unless all of the meter failed, Channel name what was read. A reading has
	// a Value in the channel's unit or an Error. Slack is the half-width in s of the
	// uncertainty of At, Clock the instrument's own clock minus that of the host in s; nil
	// if there is none. An error is not repeated while it stays the same.
	Meter   string `json:"meter,omitempty"`
	Channel string `json:"channel,omitempty"`
	Value   *Float `json:"value,omitempty"`
	Error   string `json:"error,omitempty"`
	Slack   *Float `json:"slack,omitempty"`
	Clock   *Float `json:"clock,omitempty"`

	Begin *RecordingBegin `json:"begin,omitempty"` // of the first line, and wherever the recording was started again
	// Open describes a meter that was opened, before its first reading and whenever it was
	// lost and found again: its counters begin anew.
	Open *Meter `json:"open,omitempty"`
	// Step is by how much the clock of the host was set, in s.
	Step *Float `json:"step,omitempty"`
	// ClockError bounds the error of the host's clock, in s: see [Anchor]. It is null
	// where nothing keeps that clock, and is written about once a minute.
	ClockError *Float `json:"clock_error,omitempty"`
}

// RecordingBegin is the start of a program that records.
type RecordingBegin struct {
	Version  int      `json:"version"` // RecordingVersion of the writer
	Host     string   `json:"host"`
	Tool     Tool     `json:"tool"`
	Interval Float    `json:"interval"` // s, between readings
	Meters   []string `json:"meters"`   // specs as given, without what they keep secret
}

const (
	mostRecordingLine   = 4 << 20 // bytes
	mostRecordingMeters = 100_000 // of one file
	mostPeriod          = 86_400  // s
)

// AppendTo appends the line with its line break to b.
func (l *RecordingLine) AppendTo(b []byte) ([]byte, error) {
	w := writer{b: b}
	if err := w.encode(reflect.ValueOf(l).Elem()); err != nil {
		return b, fmt.Errorf("results: write a line of a recording: %w", err)
	}
	return append(w.b, '\n'), nil
}

// ReadRecordingBegin returns the first line of a recording.
func ReadRecordingBegin(r io.Reader) (*RecordingBegin, error) {
	var begin *RecordingBegin
	stop := errors.New("found")
	err := ScanRecording(r, time.Time{}, time.Time{}, func(l *RecordingLine) error {
		begin = l.Begin
		return stop
	})
	if errors.Is(err, stop) {
		err = nil
	}
	return begin, err
}

// ScanRecording reads a recording and passes its lines to take, except readings before
// from or after to, which it does not look at. A line that was not written to its end is
// left out if it is the last. An error names the line; those of take are wrapped.
func ScanRecording(r io.Reader, from, to time.Time, take func(*RecordingLine) error) error {
	in := wholeLines{in: bufio.NewReaderSize(r, 64<<10)}
	meters := map[string]map[string]bool{}
	for n := 1; ; n++ {
		raw, err := in.next()
		switch {
		case errors.Is(err, bufio.ErrTooLong):
			return fmt.Errorf("results: read a recording: line %d is longer than %d MiB", n, mostRecordingLine>>20)
		case errors.Is(err, io.EOF) && n == 1:
			return errors.New("results: read a recording: it has no line: nothing was recorded")
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("results: read a recording: %w", err)
		}
		if n > 1 && elsewhen(raw, from, to) {
			continue
		}
		l := new(RecordingLine)
		err = walk(raw, func(x *text) error { return x.decode(reflect.ValueOf(l).Elem()) })
		if err == nil {
			err = l.check(n, meters)
		}
		if err == nil {
			err = take(l)
		}
		if err != nil {
			return fmt.Errorf("results: read a recording: line %d: %w", n, err)
		}
	}
}

// wholeLines reads line by line and leaves out the rest behind the last line break. It looks
// at each byte once, also where they come one by one, as a [bufio.Scanner] does not.
type wholeLines struct {
	in   *bufio.Reader
	long []byte // a line that is longer than the buffer of in
}

// next returns a line without its break, until the next call, and io.EOF behind the last.
func (w *wholeLines) next() ([]byte, error) {
	w.long = w.long[:0]
	for {
		part, err := w.in.ReadSlice('\n')
		switch {
		case len(w.long)+len(part) > mostRecordingLine:
			return nil, bufio.ErrTooLong
		case err == nil && len(w.long) == 0:
			return part[:len(part)-1], nil
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		}
		if w.long = append(w.long, part...); err == nil {
			return w.long[:len(w.long)-1], nil
		}
	}
}

// elsewhen reports whether a line is a reading outside of a time, as [RecordingLine.AppendTo]
// writes it. Most lines of a recording of days are.
func elsewhen(raw []byte, from, to time.Time) bool {
	rest, ok := bytes.CutPrefix(raw, []byte(`{"at":"`))
	if !ok {
		return false
	}
	text, rest, ok := bytes.Cut(rest, []byte(`"`))
	if !ok || !bytes.HasPrefix(rest, []byte(`,"meter":`)) {
		return false
	}
	var at time.Time
	return at.UnmarshalText(text) == nil && (at.Before(from) || at.After(to))
}

// check refuses a line that is not one thing, a reading of a channel that is not
// described, and what no meter can have.
func (l *RecordingLine) check(n int, meters map[string]map[string]bool) error {
	roles := 0
	for _, is := range []bool{l.Begin != nil, l.Open != nil, l.Step != nil, l.ClockError != nil, l.Meter != ""} {
		if is {
			roles++
		}
	}
	begins := l.Begin != nil
	switch {
	case n == 1 && !begins:
		return errors.New("it does not begin as a recording does: perwatt meters SPEC --record FILE writes one")
	case roles != 1:
		return errors.New("it must have one of begin, open, step, clock_error and meter")
	case begins && l.Begin.Version != RecordingVersion:
		return fmt.Errorf("version %d of the format is not read here, only %d: upgrade perwatt", l.Begin.Version, RecordingVersion)
	case begins && !(l.Begin.Interval >= 0 && l.Begin.Interval <= mostPeriod):
		return fmt.Errorf("its interval of %v s is not from 0 to a day", l.Begin.Interval)
	case begins && (len(l.Begin.Meters) > mostRecordingMeters || l.Begin.Host == ""):
		return errors.New("its begin names no host, or too many meters")
	case l.Step != nil && l.Step.IsAbsent():
		return errors.New("step: null is no time")
	case l.ClockError != nil && *l.ClockError < 0:
		return fmt.Errorf("clock_error: %v s is below 0", *l.ClockError)
	case l.Open != nil:
		return opened(l.Open, meters)
	case l.Meter == "":
		return nil
	}
	if l.Channel == "" {
		if l.Value != nil || l.Error == "" {
			return fmt.Errorf("meter %s: a reading without a channel", Line(l.Meter, mostQuoted))
		}
		return nil // it may never have been opened
	}
	channels := meters[l.Meter]
	if channels == nil {
		return fmt.Errorf("meter %s was not opened before", Line(l.Meter, mostQuoted))
	}
	switch {
	case !channels[l.Channel]:
		return fmt.Errorf("meter %s has no channel %s", Line(l.Meter, mostQuoted), Line(l.Channel, mostQuoted))
	case (l.Value == nil) == (l.Error == ""):
		return errors.New("a reading is either a value or an error")
	case l.Value != nil && l.Value.IsAbsent():
		return errors.New("value: null is no value")
	case l.Slack != nil && !(*l.Slack >= 0 && *l.Slack <= 3600):
		return fmt.Errorf("slack: %v s is not from 0 to an hour", *l.Slack)
	case l.Clock != nil && l.Clock.IsAbsent():
		return errors.New("clock: null is no time")
	}
	return nil
}

// opened notes the channels of a meter that is described.
func opened(m *Meter, meters map[string]map[string]bool) error {
	switch {
	case m.Name == "" || len(m.Channels) == 0:
		return errors.New("open: a meter without a name or a channel")
	case meters[m.Name] == nil && len(meters) == mostRecordingMeters:
		return fmt.Errorf("more than %d meters", mostRecordingMeters)
	case m.Period < 0 || m.Period > mostPeriod:
		return fmt.Errorf("open: meter %s: its period of %v s is not from 0 to a day", Line(m.Name, mostQuoted), m.Period)
	case len(m.Recordings) > 0:
		return fmt.Errorf("open: meter %s was read from a recording itself", Line(m.Name, mostQuoted))
	}
	channels := map[string]bool{}
	for i, c := range m.Channels {
		if c.Name == "" || channels[c.Name] {
			return fmt.Errorf("open: channel %d of meter %s has no name of its own", i+1, Line(m.Name, mostQuoted))
		}
		channels[c.Name] = true
		unit, a := map[Kind]Unit{Gauge: Watt, Counter: Joule}[c.Kind], c.Accuracy
		switch {
		case c.Unit != unit:
			return fmt.Errorf("open: channel %s of meter %s is a %s in %s, and must be in %s", Line(c.Name, mostQuoted), Line(m.Name, mostQuoted), c.Kind, Line(string(c.Unit), mostQuoted), unit)
		case a.Gain < 0, a.Offset < 0, a.Resolution < 0, c.Least != nil && !(*c.Least >= 0), c.Most != nil && !(*c.Most > 0):
			return fmt.Errorf("open: channel %s of meter %s has an accuracy, a least or a most power below 0", Line(c.Name, mostQuoted), Line(m.Name, mostQuoted))
		}
	}
	meters[m.Name] = channels
	return nil
}
