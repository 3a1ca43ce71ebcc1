package main

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

	"github.com/oklog/ulid/v2"
	"github.com/spf13/cobra"

	"github.com/perwatt/perwatt/harness/endpoint"
	"github.com/perwatt/perwatt/results"
)

// sweep measures at one setting after the other. What a setting is, such as a
// power limit, only the user's own command knows, which applies it.
type sweep struct {
	settings []string
	apply    string
	id       string

	mu    sync.Mutex
	stand map[string]string // the setting last applied, by worker
}

const (
	mostSettings = 100
	applyLimit   = 10 * time.Minute // a miner that restarts takes some
)

func (s *sweep) flags(cmd *cobra.Command, also string) {
	cmd.Flags().StringSliceVar(&s.settings, "steps", nil, "settings to measure at, one after the other, such as 150,200,250: --apply sets them")
	cmd.Flags().StringVar(&s.apply, "apply", "", "command that applies a setting, {} in its words: 'nvidia-smi -pl {}'"+also+".\nNo shell runs it: what needs one goes into a script. The last setting stays")
}

// check says what is wrong with the flags.
func (s *sweep) check() error {
	switch {
	case len(s.settings) == 0 && s.apply == "":
		return nil
	case len(s.settings) == 0:
		return usagef("--apply is for the settings of --steps, and there are none: --steps 150,200,250")
	case len(s.settings) > mostSettings:
		return usagef("--steps: %d settings, and at most %d", len(s.settings), mostSettings)
	case len(strings.Fields(s.apply)) == 0:
		return usagef("--steps needs --apply, the command that applies a setting, such as --apply 'nvidia-smi -pl {}'")
	case !strings.Contains(s.apply, "{}"):
		return usagef("--apply %q: it has no {} where the setting goes", s.apply)
	}
	for i, v := range s.settings {
		if s.settings[i] = strings.TrimSpace(v); s.settings[i] == "" || len(v) > 40 || results.Line(v, 40) != v || slices.Contains(s.settings[:i], s.settings[i]) {
			return usagef("--steps: setting %d is %q: it must be up to 40 characters of text, each setting once", i+1, v)
		}
	}
	if name := strings.Fields(s.apply)[0]; !strings.Contains(name, "{") {
		if _, err := exec.LookPath(name); err != nil {
			return usagef("--apply: %w", err)
		}
	}
	s.id = ulid.Make().String()
	return nil
}

// sessions are those of a number at each setting, every other time through them
// backwards, so that what drifts harms none more than another. The setting is
// nil where there is nothing to set.
func (s *sweep) sessions(n int) iter.Seq2[int, *results.Setting] {
	return func(yield func(int, *results.Setting) bool) {
		all := []*results.Setting{nil}
		for i, v := range s.settings {
			all = append(all[:i], &results.Setting{Sweep: s.id, Value: v, Number: i + 1, Of: len(s.settings), Apply: endpoint.Redact(s.apply)})
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

// plainName is a name that is no option and no path, and that no shell obeys:
// commands hand it to one, at the other end of ssh at the latest.
var plainName = regexp.MustCompile(`^[\pL\pN_][\pL\pN\pM_.@+:,=%-]*$`)

// set applies a setting; worker is whose it is, where there are several.
func (s *sweep) set(ctx context.Context, to *results.Setting, worker string) error {
	if to == nil {
		return nil
	}
	if strings.Contains(s.apply, "{worker}") && !plainName.MatchString(worker) {
		return fmt.Errorf("--apply: worker %.64q cannot stand in a command: the device names it, and an option, a path or a sign that a shell obeys does what a stranger likes; give the device a name of letters, digits and any of ._@+:,=%%- after the first", worker)
	}
	ctx, stop := context.WithTimeout(ctx, applyLimit)
	defer stop()
	words := strings.Fields(s.apply)
	for i, w := range words {
		words[i] = strings.NewReplacer("{}", to.Value, "{worker}", worker).Replace(w)
	}
	cmd := exec.CommandContext(ctx, words[0], words[1:]...) // #nosec G204 -- the operator's own --apply, no shell; of what a device says only a plainName gets in
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = io.Discard, &said
	cmd.WaitDelay = time.Second
	s.mu.Lock()
	if s.stand == nil {
		s.stand = map[string]string{}
	}
	s.stand[worker] = to.Value
	s.mu.Unlock()
	err := cmd.Run()
	if err == nil || errors.Is(err, exec.ErrWaitDelay) {
		return nil
	}
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	if text := strings.TrimSpace(said.String()); text != "" {
		err = fmt.Errorf("%w: it complained %.300q", err, endpoint.Redact(text))
	}
	return fmt.Errorf("--apply: setting %s was not applied: %w", to.Value, err)
}

// remains says what stays applied.
func (s *sweep) remains(w io.Writer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, worker := range slices.Sorted(maps.Keys(s.stand)) {
		of := ""
		if worker != "" {
			of = fmt.Sprintf(" of worker %.64q", worker)
		}
		say(w, "perwatt: setting %s%s stays as --apply left it", s.stand[worker], of)
	}
}

// at says at which setting.
func at(s *results.Setting) string {
	if s == nil {
		return ""
	}
	return " at " + s.Value
}
