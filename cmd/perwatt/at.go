package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/perwatt/perwatt/results"
)

// atFlag is the time at which a measurement begins, so that several machines can begin
// together.
type atFlag struct{ time.Time }

const (
	mostLate  = 5 * time.Second // of a start that is accepted: what starts a command on many machines takes a moment
	mostAhead = 24 * time.Hour
)

func (a *atFlag) String() string {
	if a.IsZero() {
		return ""
	}
	return a.Format(time.RFC3339)
}

// Type implements pflag.Value.
func (a *atFlag) Type() string { return "time" }

// Set implements pflag.Value.
func (a *atFlag) Set(text string) (err error) {
	if a.Time, err = time.Parse(time.RFC3339, text); err != nil {
		return fmt.Errorf("must be a time as in RFC 3339, such as %s", time.Now().UTC().Add(time.Minute).Format(time.RFC3339))
	}
	a.Time = a.UTC()
	switch ahead := time.Until(a.Time); {
	case ahead < -mostLate:
		return fmt.Errorf("that was %v ago, by the clock of this machine", -ahead.Round(time.Second))
	case ahead > mostAhead:
		return fmt.Errorf("that is in %v, more than a day ahead, by the clock of this machine", ahead.Round(time.Minute))
	}
	return nil
}

// wait returns at that time of the wall clock, which may be set meanwhile, or when ctx
// ends. It returns a warning for the record if the time had passed.
func (a *atFlag) wait(ctx context.Context, stderr io.Writer) (late []results.Warning, err error) {
	if a.IsZero() {
		return nil, nil
	}
	left := time.Until(a.Time)
	if left < -time.Second {
		w := results.Warning{
			Code:   "late-start",
			Text:   fmt.Sprintf("the measurement was to begin at %s and began %.3g s later: it did not begin together with others", a, -left.Seconds()),
			Remedy: "choose a later --at: kernels are tried and meters opened before",
		}
		say(stderr, "perwatt: %s; %s", w.Text, w.Remedy)
		return []results.Warning{w}, nil
	}
	say(stderr, "waiting until %s, for %v", a, max(0, left).Round(time.Second))
	for ; left > 0; left = time.Until(a.Time) {
		select {
		case <-time.After(min(left, time.Second)):
		case <-ctx.Done():
			return nil, exit{exitInterrupted, errors.New("interrupted before the time to begin: nothing was measured")}
		}
	}
	return nil, nil
}
