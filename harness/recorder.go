package harness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/perwatt/perwatt/harness/power"
	"github.com/perwatt/perwatt/results"
)

// RecordedMeter is a meter that is opened when its recording begins, and again when it
// was lost.
type RecordedMeter struct {
	Name string // unique in the recording
	Open func(context.Context) (power.Meter, error)
}

// Recorder writes what meters say with UTC times: see [results.RecordingLine]. Each meter
// has its own goroutine, so that a slow or dead one delays no other; nothing is kept but
// the last error of each channel.
type Recorder struct {
	Meters   []RecordedMeter
	Interval time.Duration // between readings of a meter, or its period if that is longer
	Out      io.Writer     // takes whole lines
	Progress func(RecorderState)

	end     context.CancelCauseFunc
	writing sync.Mutex // of Out, and before mu
	mu      sync.Mutex
	lines   bytes.Buffer // not yet written
	state   RecorderState
}

// RecorderState is how far a recording is.
type RecorderState struct {
	Meters    int    // to be recorded
	Answering int    // whose last reading was good
	Readings  int64  // good ones
	Trouble   string // the last error
}

const (
	writeEvery = time.Second
	errorEvery = time.Minute      // between two lines that bound the error of the clock
	mostWait   = time.Minute      // before a meter that cannot be opened is tried again
	lostAfter  = 30 * time.Second // of readings that all fail, a meter is opened again
	stepLeast  = 0.1              // s by which the wall clock was set, to be noted

	mostUnwritten = 1 << 20 // bytes
)

// Run records until ctx ends, which is no error, until Out fails, or until a meter that was
// never opened refuses its spec, which no waiting mends. It begins with the
// line begin and reads the meters one after another over the first interval, so that a
// thousand do not ask at once.
func (r *Recorder) Run(ctx context.Context, begin results.RecordingBegin) error {
	ctx, r.end = context.WithCancelCause(ctx)
	defer r.end(nil)
	r.state.Meters = len(r.Meters)
	r.add(results.RecordingLine{At: time.Now(), Begin: &begin})
	r.clockError()
	var wait sync.WaitGroup
	for i, m := range r.Meters {
		wait.Go(func() {
			if sleep(ctx, r.Interval*time.Duration(i)/time.Duration(len(r.Meters))) == nil {
				r.record(ctx, m)
			}
		})
	}
	wait.Go(func() { r.watchClock(ctx) })
	s := &sampler{}
	s.every(ctx, writeEvery, r.flush)
	wait.Wait()
	r.flush()
	if err := context.Cause(ctx); errors.Is(err, errRecording) || errors.Is(err, power.ErrSpec) {
		return err
	}
	return nil
}

var errRecording = errors.New("the recording cannot be written")

// add takes a line to those that are to be written, and counts what it says.
func (r *Recorder) add(l results.RecordingLine) {
	l.At = l.At.UTC()
	r.mu.Lock()
	text, err := l.AppendTo(r.lines.AvailableBuffer())
	r.lines.Write(text)
	full := r.lines.Len() >= mostUnwritten
	switch {
	case l.Value != nil:
		r.state.Readings++
	case l.Error != "":
		r.state.Trouble = l.Meter + ": " + l.Error
	}
	r.mu.Unlock()
	if err != nil { // a time or a description that JSON cannot carry
		r.end(fmt.Errorf("%w: %w", errRecording, err))
	}
	if full {
		r.flush() // whoever comes here waits for the disk, so that what is not yet written stays small
	}
}

// flush writes what is not yet written. Readings go on while the disk is slow.
func (r *Recorder) flush() {
	r.writing.Lock()
	defer r.writing.Unlock()
	r.mu.Lock()
	text := bytes.Clone(r.lines.Bytes())
	r.lines.Reset()
	state := r.state
	r.mu.Unlock()
	if _, err := r.Out.Write(text); err != nil {
		r.end(fmt.Errorf("%w: %w", errRecording, err))
	}
	r.Progress(state)
}

// watchClock notes where the wall clock was set, and what bounds its error.
func (r *Recorder) watchClock(ctx context.Context) {
	s := &sampler{}
	last, noted := time.Now(), time.Now()
	s.every(ctx, writeEvery, func() {
		now := time.Now()
		if step := now.Round(0).Sub(last.Round(0)) - now.Sub(last); math.Abs(step.Seconds()) >= stepLeast {
			by := micro(step.Seconds())
			r.add(results.RecordingLine{At: now, Step: &by})
		}
		if last = now; now.Sub(noted) >= errorEvery {
			noted = now
			r.clockError()
		}
	})
}

func (r *Recorder) clockError() {
	within := ClockError()
	if within == nil {
		none := results.Absent()
		within = &none
	}
	r.add(results.RecordingLine{At: time.Now(), ClockError: within})
}

// record opens one meter, and again whenever it was lost, and records it.
func (r *Recorder) record(ctx context.Context, m RecordedMeter) {
	last := map[string]string{} // error of each channel, "" of the whole meter
	pause := max(r.Interval, time.Second)
	for first := true; ctx.Err() == nil; first = false {
		meter, err := m.Open(ctx)
		if err != nil {
			if ctx.Err() == nil {
				r.fail(m.Name, "", time.Now(), err, last)
			}
			if first && errors.Is(err, power.ErrSpec) {
				r.end(err)
			}
			if sleep(ctx, pause) != nil {
				return
			}
			pause = min(2*pause, mostWait)
			continue
		}
		pause = max(r.Interval, time.Second)
		r.watch(ctx, m.Name, meter, last)
		_ = meter.Close() // what it had to say was said
	}
}

// watch records an open meter until ctx ends or it is lost.
func (r *Recorder) watch(ctx context.Context, name string, meter power.Meter, last map[string]string) {
	about := Describe([]power.Meter{meter})[0]
	about.Name = name
	r.add(results.RecordingLine{At: time.Now(), Open: &about})
	open, lost := context.WithCancel(ctx)
	defer lost()
	good, answers := time.Now(), false
	defer func() {
		if ctx.Err() == nil { // at the end of the recording the count is what it was
			r.answers(&answers, false)
		}
	}()
	Watch(open, []power.Meter{meter}, r.Interval, func(info power.Info, got []power.Reading, err error) {
		if err != nil {
			r.answers(&answers, false)
			if r.fail(name, "", time.Now(), err, last); time.Since(good) >= max(lostAfter, 3*r.Interval, 3*info.Period) {
				lost()
			}
			return
		}
		good = time.Now()
		r.answers(&answers, r.readings(name, info, got, last))
	})
}

// answers counts the meters that answer.
func (r *Recorder) answers(was *bool, is bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case is && !*was:
		r.state.Answering++
	case !is && *was:
		r.state.Answering--
	}
	*was = is
}

// readings writes a set of readings, and reports whether one of them was good.
func (r *Recorder) readings(name string, info power.Info, got []power.Reading, last map[string]string) (good bool) {
	delete(last, "")
	for i, c := range info.Channels {
		q := got[i]
		if errors.Is(q.Err, power.ErrNoNews) {
			good = true
			continue
		}
		if q.Err == nil && (math.IsNaN(q.Value) || math.IsInf(q.Value, 0)) {
			q.Err = errors.New("the meter returned a value that is not a number")
		}
		if q.Err != nil {
			r.fail(name, c.Name, q.At, q.Err, last)
			continue
		}
		good = true
		delete(last, c.Name)
		v := results.Float(q.Value)
		l := results.RecordingLine{At: q.At, Meter: name, Channel: c.Name, Value: &v}
		if q.Slack > 0 {
			slack := micro(q.Slack.Seconds())
			l.Slack = &slack
		}
		if !q.Clock.IsZero() {
			off := results.Float(math.Round(q.Clock.Sub(q.At.Round(0)).Seconds()*1e6) / 1e6) // compares wall clocks
			l.Clock = &off
		}
		r.add(l)
	}
	return good
}

const mostRecordedError = 400 // runes

// fail writes an error unless it is the last one of the channel.
func (r *Recorder) fail(name, channel string, at time.Time, err error, last map[string]string) {
	text := results.Line(err.Error(), mostRecordedError)
	if text == "" {
		text = "an error without a text"
	}
	if at.IsZero() {
		at = time.Now()
	}
	if last[channel] == text {
		return
	}
	last[channel] = text
	r.add(results.RecordingLine{At: at, Meter: name, Channel: channel, Error: text})
}

// RecordingFile is a recording to which this process alone appends.
type RecordingFile struct {
	file   *os.File
	fresh  bool // it was empty
	synced time.Time
}

const (
	syncEvery = 10 * time.Second
	mostTorn  = 4 << 20 // bytes of a line that was not written to its end
)

// OpenRecording creates a recording, or opens one of the same meters to append to it. What
// an interrupted write left at its end is cut off.
func OpenRecording(path string, begin results.RecordingBegin) (f *RecordingFile, err error) {
	if err := results.Replaceable(path); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND|unix.O_NONBLOCK, 0o644) // #nosec G302 G304 -- the user names it, and it is there to be read, by whom the umask lets
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			file.Close() // #nosec G104 -- nothing was written to it
			err = fmt.Errorf("%s: %w", path, err)
		}
	}()
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); errors.Is(err, unix.EWOULDBLOCK) {
		return nil, errors.New("another perwatt records to it: give another file")
	} else if err != nil && !errors.Is(err, unix.ENOLCK) && !errors.Is(err, errors.ErrUnsupported) {
		return nil, err
	}
	info, err := file.Stat()
	if err != nil || info.Size() == 0 {
		return &RecordingFile{file: file, fresh: true}, err
	}
	was, err := results.ReadRecordingBegin(io.NewSectionReader(file, 0, info.Size()))
	if err != nil {
		return nil, fmt.Errorf("it is not appended to: %w", err)
	}
	if !slices.Equal(was.Meters, begin.Meters) {
		return nil, errors.New("it records other meters: give another file")
	}
	from := max(0, info.Size()-mostTorn)
	tail, err := io.ReadAll(io.NewSectionReader(file, from, info.Size()-from))
	if err != nil {
		return nil, err
	}
	return &RecordingFile{file: file}, file.Truncate(from + int64(bytes.LastIndexByte(tail, '\n')) + 1)
}

// Write appends lines and, every ten seconds, waits until they are on the disk.
func (f *RecordingFile) Write(lines []byte) (n int, err error) {
	n, err = f.file.Write(lines)
	if err == nil && time.Since(f.synced) >= syncEvery {
		f.synced = time.Now()
		err = f.sync()
	}
	return n, err
}

// sync is void for a pipe or a device, which has no disk.
func (f *RecordingFile) sync() error {
	if err := f.file.Sync(); !errors.Is(err, unix.EINVAL) {
		return err
	}
	return nil
}

// Discard empties a file that was empty when it was opened, so that it can record other
// meters; one that was not stays as it is.
func (f *RecordingFile) Discard() error {
	if !f.fresh {
		return nil
	}
	if err := f.file.Truncate(0); !errors.Is(err, unix.EINVAL) { // of a pipe or a device
		return err
	}
	return nil
}

// Close waits until all is on the disk.
func (f *RecordingFile) Close() error { return errors.Join(f.sync(), f.file.Close()) }
