package harness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/harness/power"
	"github.com/perwatt/perwatt/harness/power/fake"
	"github.com/perwatt/perwatt/results"
)

var beginning = results.RecordingBegin{Version: results.RecordingVersion, Host: "admin", Interval: 1, Meters: []string{"a"}}

// meterOf is a fake wall meter that is opened without fail.
func meterOf(name string, s fake.Script) RecordedMeter {
	return RecordedMeter{Name: name, Open: func(context.Context) (power.Meter, error) {
		return fake.New("fake", s, fake.Watts("w", results.Wall)), nil
	}}
}

// recordFor runs a recorder for a time and returns its lines, which must be a recording.
func recordFor(t *testing.T, r *Recorder, d time.Duration) (lines []results.RecordingLine) {
	var out bytes.Buffer
	r.Out = &out
	if r.Progress == nil {
		r.Progress = func(RecorderState) {}
	}
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	require.NoError(t, r.Run(ctx, beginning))
	require.NoError(t, results.ScanRecording(&out, time.Time{}, time.Now().Add(time.Hour), func(l *results.RecordingLine) error {
		lines = append(lines, *l)
		return nil
	}))
	return lines
}

func good(lines []results.RecordingLine, meter string) (n int) {
	for _, l := range lines {
		if l.Meter == meter && l.Value != nil {
			n++
		}
	}
	return n
}

// A thousand meters are read each second, one that hangs, one that never opens and one
// that fails among them, and the others lose nothing.
func TestRecorderOfThousandMeters(t *testing.T) {
	n := 1000
	if testing.Short() {
		n = 200
	}
	synctest.Test(t, func(t *testing.T) {
		var opened, reopened atomic.Int64
		r := &Recorder{Interval: time.Second}
		for i := range n - 4 {
			r.Meters = append(r.Meters, meterOf(fmt.Sprint("m", i), fake.Follow(fake.Constant(300+float64(i)))))
		}
		steady := fake.Follow(fake.Constant(100))
		r.Meters = append(r.Meters, meterOf("hangs", steady.Block(2*time.Second, time.Hour)),
			meterOf("fails", steady.Fail(0, 3*time.Second, 10*time.Second, errors.New("no answer"))),
			RecordedMeter{"never", func(context.Context) (power.Meter, error) { opened.Add(1); return nil, errors.New("refused") }},
			RecordedMeter{"lost", func(context.Context) (power.Meter, error) {
				s := steady
				if reopened.Add(1) == 1 {
					s = steady.Vanish(5*time.Second, errors.New("gone"))
				}
				return fake.New("fake", s, fake.Watts("w", results.Wall)), nil
			}})
		var last RecorderState
		r.Progress = func(s RecorderState) { last = s }
		lines := recordFor(t, r, 60*time.Second+time.Millisecond)
		for i := range n - 4 {
			require.GreaterOrEqual(t, good(lines, fmt.Sprint("m", i)), 59, "meter %d", i)
		}
		require.Equal(t, 2, good(lines, "hangs"))
		require.InDelta(t, 53, good(lines, "fails"), 1)
		require.InDelta(t, 5+60-5-lostAfter.Seconds(), good(lines, "lost"), 3, "it was opened again")
		require.EqualValues(t, 2, reopened.Load())
		require.InDelta(t, 6, opened.Load(), 1, "it is tried again, ever less often")
		errs := map[string]int{}
		steps := 0
		for _, l := range lines {
			if l.Error != "" {
				errs[l.Meter]++
			}
			if l.Step != nil {
				steps++
			}
		}
		require.Equal(t, map[string]int{"fails": 1, "never": 1, "lost": 1}, errs, "an error is said once")
		require.Zero(t, steps)
		require.Equal(t, n, last.Meters)
		require.Greater(t, last.Readings, int64(55*n))
	})
}

// What is recorded for longer takes no more memory.
func TestRecorderKeepsNothing(t *testing.T) {
	held := func(d time.Duration) (bytes uint64) {
		synctest.Test(t, func(t *testing.T) {
			r := &Recorder{Interval: 10 * time.Millisecond, Out: discard{}, Progress: func(RecorderState) {}}
			for i := range 20 {
				r.Meters = append(r.Meters, meterOf(fmt.Sprint("m", i), fake.Follow(fake.Constant(300))))
			}
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error)
			go func() { done <- r.Run(ctx, beginning) }()
			time.Sleep(d)
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			bytes = m.HeapAlloc
			cancel()
			require.NoError(t, <-done)
		})
		return bytes
	}
	short, long := held(time.Second), held(6*time.Second)
	require.Less(t, long, short+4<<20, "%d and %d bytes", short, long)
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

func TestRecorderEndsWithAFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &Recorder{Interval: time.Second, Out: full{}, Progress: func(RecorderState) {}, Meters: []RecordedMeter{meterOf("a", fake.Follow(fake.Constant(1)))}}
		require.ErrorContains(t, r.Run(t.Context(), beginning), "no space left")
	})
}

func TestRecordingFileIsAppendedTo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "power.jsonl")
	one := func() {
		f, err := OpenRecording(path, beginning)
		require.NoError(t, err)
		_, err = OpenRecording(path, beginning)
		require.ErrorContains(t, err, "another perwatt records to it")
		l := results.RecordingLine{At: time.Now().UTC(), Begin: &beginning}
		text, err := l.AppendTo(nil)
		require.NoError(t, err)
		_, err = f.Write(text)
		require.NoError(t, err)
		require.NoError(t, f.Close())
	}
	one()
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, append(raw, `{"at":"2026`...), 0o600))
	one()
	begins := 0
	raw, err = os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, results.ScanRecording(bytes.NewReader(raw), time.Time{}, time.Time{}, func(l *results.RecordingLine) error {
		begins++
		return nil
	}))
	require.Equal(t, 2, begins, "what was torn is cut off, what is whole is kept")

	other := beginning
	other.Meters = []string{"b"}
	_, err = OpenRecording(path, other)
	require.ErrorContains(t, err, "other meters")
	require.NoError(t, os.WriteFile(path, []byte("notes of mine\n"), 0o600))
	_, err = OpenRecording(path, beginning)
	require.ErrorContains(t, err, "not appended to")
	raw, err = os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "notes of mine\n", string(raw))
}

// A spec that its meter refuses is the user's to mend at once, and the file is free for
// other meters; one that is refused later, when a meter comes back as another, is an error
// of that meter alone.
func TestRecorderRefusesABadSpec(t *testing.T) {
	path := filepath.Join(t.TempDir(), "power.jsonl")
	refused := fmt.Errorf("exec: %w: boundary= is required", power.ErrSpec)
	synctest.Test(t, func(t *testing.T) {
		r := &Recorder{Interval: time.Second, Progress: func(RecorderState) {}, Meters: []RecordedMeter{
			meterOf("good", fake.Follow(fake.Constant(300))), {"bad", func(context.Context) (power.Meter, error) { return nil, refused }}}}
		f, err := OpenRecording(path, beginning)
		require.NoError(t, err)
		r.Out = f
		require.ErrorIs(t, r.Run(t.Context(), beginning), power.ErrSpec)
		require.NoError(t, f.Discard())
		require.NoError(t, f.Close())

		other := beginning
		other.Meters = []string{"b"}
		f, err = OpenRecording(path, other)
		require.NoError(t, err)
		opened := 0
		r = &Recorder{Interval: time.Second, Out: f, Progress: func(RecorderState) {}, Meters: []RecordedMeter{{"back", func(context.Context) (power.Meter, error) {
			if opened++; opened == 1 {
				return nil, errors.New("no answer")
			}
			return nil, refused
		}}}}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		require.NoError(t, r.Run(ctx, other))
		require.NoError(t, f.Close())
		f, err = OpenRecording(path, other)
		require.NoError(t, err)
		require.NoError(t, f.Discard(), "it was not empty")
		require.NoError(t, f.Close())
	})
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Contains(t, string(raw), "boundary= is required")
}
