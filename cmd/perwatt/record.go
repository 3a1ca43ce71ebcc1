package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/perwatt/perwatt/harness"
	"github.com/perwatt/perwatt/harness/endpoint"
	powerall "github.com/perwatt/perwatt/harness/power/all"
	"github.com/perwatt/perwatt/results"
)

// recordMeters appends the readings of meters to a file until Ctrl-C, or for a time.
func recordMeters(cmd *cobra.Command, specs []string, roots powerall.Roots, interval, limit time.Duration, path string) (err error) {
	ctx, stderr := cmd.Context(), cmd.ErrOrStderr()
	named, err := powerall.Name(specs, roots)
	if err != nil {
		return err
	}
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	begin := results.RecordingBegin{Version: results.RecordingVersion, Host: host, Tool: tool(), Interval: results.Float(interval.Seconds())}
	progress, last := recordingProgress(stderr)
	r := harness.Recorder{Interval: interval, Progress: progress}
	for _, m := range named {
		begin.Meters = append(begin.Meters, m.Spec)
		r.Meters = append(r.Meters, harness.RecordedMeter{Name: m.Name, Open: m.Open})
	}
	file, err := harness.OpenRecording(path, begin)
	if err != nil {
		return usagef("--record: %w", err)
	}
	r.Out = file
	until := "until Ctrl-C"
	if limit > 0 {
		until = fmt.Sprintf("for %v or until Ctrl-C", limit)
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	say(stderr, "recording %s to %s, %s", results.Plural(len(named), "meter"), path, until)
	err = r.Run(ctx, begin)
	if errors.Is(err, endpoint.ErrSpec) {
		if isTerminal(stderr) {
			redraw(stderr, "")
		}
		return errors.Join(err, file.Discard(), file.Close())
	}
	err = errors.Join(err, file.Close())
	if isTerminal(stderr) {
		redraw(stderr, "")
	}
	say(stderr, "%s: %s", path, last())
	if err != nil {
		return fmt.Errorf("--record %s: %w: what was written before is kept", path, err)
	}
	return nil
}

// recordingProgress shows how far a recording is: on a terminal in one line, elsewhere
// once a minute and when the number of meters that answer changes. last is what there was
// to show at the end.
func recordingProgress(w io.Writer) (show func(harness.RecorderState), last func() string) {
	var said time.Time
	answering := -1
	began, text := time.Now(), "no reading"
	show = func(s harness.RecorderState) {
		text = fmt.Sprintf("%d of %s answering, %s in %v", s.Answering, results.Plural(s.Meters, "meter"), results.Plural(int(s.Readings), "reading"), time.Since(began).Round(time.Second))
		if s.Answering < s.Meters && s.Trouble != "" {
			text += "; last error: " + s.Trouble
		}
		switch {
		case isTerminal(w):
			redraw(w, text)
		case time.Since(said) >= time.Minute, s.Answering != answering && time.Since(said) >= 10*time.Second:
			said, answering = time.Now(), s.Answering
			say(w, "%s", text)
		}
	}
	return show, func() string { return text }
}
