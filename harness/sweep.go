package harness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/perwatt/perwatt/results"
)

// Sweep measures at one setting after another. What a setting is, such as a power
// limit, and how to apply it is left to the operator's command. A nil Sweep has one
// setting, which is not applied.
type Sweep struct {
	Settings []results.Setting
	// Command applies a setting. {} in its words is replaced by the value and
	// {worker} by the name of the worker; no shell runs it.
	Command string
	Redact  func(string) string // removes secrets from what the command printed; nil leaves it as it is

	mu      sync.Mutex
	applied map[string]string // the last applied value, by worker
}

const applyLimit = 10 * time.Minute // a miner may have to restart

// Sessions yields n sessions at each setting. Every second pass runs backwards, so that
// drift favours no setting. The setting is nil if there is nothing to apply.
func (s *Sweep) Sessions(n int) iter.Seq2[int, *results.Setting] {
	return func(yield func(int, *results.Setting) bool) {
		all := []*results.Setting{nil}
		if s != nil && len(s.Settings) > 0 {
			all = all[:0]
			for i := range s.Settings {
				all = append(all, &s.Settings[i])
			}
		}
		for session := 1; session <= n; session++ {
			for _, setting := range all {
				if !yield(session, setting) {
					return
				}
			}
			slices.Reverse(all)
		}
	}
}

// safeName matches names that no command takes for an option or a path and that contain
// no shell syntax: --apply commands may pass names to ssh.
var safeName = regexp.MustCompile(`^[\pL\pN_][\pL\pN\pM_.@+:,=%-]*$`)

// Apply applies a setting to a worker, or to this node if worker is empty. For a nil
// setting it does nothing.
func (s *Sweep) Apply(ctx context.Context, to *results.Setting, worker string) error {
	if to == nil {
		return nil
	}
	if strings.Contains(s.Command, "{worker}") && !safeName.MatchString(worker) {
		return fmt.Errorf("--apply: worker %.64q cannot stand in a command: its miner chose the name, and a command or a shell could take it for an option, a path or an instruction; "+
			"configure the miner with a name of letters, digits and any of ._@+:,=%%- after the first", worker)
	}
	ctx, stop := context.WithTimeout(ctx, applyLimit)
	defer stop()
	words := strings.Fields(s.Command)
	for i, w := range words {
		words[i] = strings.NewReplacer("{}", to.Value, "{worker}", worker).Replace(w)
	}
	cmd := exec.CommandContext(ctx, words[0], words[1:]...) // #nosec G204 -- the operator's own --apply, no shell; of what a miner chose only a safeName gets in
	var printed bytes.Buffer
	cmd.Stdout, cmd.Stderr = io.Discard, &printed
	cmd.WaitDelay = time.Second
	s.mu.Lock()
	if s.applied == nil {
		s.applied = map[string]string{}
	}
	s.applied[worker] = to.Value
	s.mu.Unlock()
	err := cmd.Run()
	if err == nil || errors.Is(err, exec.ErrWaitDelay) {
		return nil
	}
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	if text := strings.TrimSpace(printed.String()); text != "" {
		if s.Redact != nil {
			text = s.Redact(text)
		}
		err = fmt.Errorf("%w: the command printed %.300q", err, text)
	}
	return fmt.Errorf("--apply: setting %s was not applied: %w", to.Value, err)
}

// Applied yields each worker's name with the setting that remains in force on it.
func (s *Sweep) Applied() iter.Seq2[string, string] {
	return func(yield func(worker, value string) bool) {
		if s == nil {
			return
		}
		s.mu.Lock()
		applied := maps.Clone(s.applied)
		s.mu.Unlock()
		for _, worker := range slices.Sorted(maps.Keys(applied)) {
			if !yield(worker, applied[worker]) {
				return
			}
		}
	}
}

// at names the setting of a session in messages.
func at(s *results.Setting) string {
	if s == nil {
		return ""
	}
	return " at " + s.Value
}
