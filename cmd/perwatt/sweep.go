package main

import (
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"

	"github.com/oklog/ulid/v2"
	"github.com/spf13/cobra"

	"github.com/perwatt/perwatt/harness"
	"github.com/perwatt/perwatt/harness/endpoint"
	"github.com/perwatt/perwatt/results"
)

// sweepFlags are --steps and --apply, and the sweep that they ask for.
type sweepFlags struct {
	settings       []string
	apply          string
	*harness.Sweep // nil without --steps
}

const mostSettings = 100

func (s *sweepFlags) flags(cmd *cobra.Command, also string) {
	cmd.Flags().StringSliceVar(&s.settings, "steps", nil, "settings to measure at, one after the other, such as 150,200,250; needs --apply")
	cmd.Flags().StringVar(&s.apply, "apply", "", "command that applies a setting, such as 'nvidia-smi -pl {}': {} is the setting"+also+".\nIt runs without a shell: use a script for pipes and the like. The last setting stays in force")
}

// check makes the sweep, or returns what is wrong with the flags.
func (s *sweepFlags) check() error {
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
	s.Sweep = &harness.Sweep{Command: s.apply, Redact: endpoint.Redact}
	id := ulid.Make().String()
	for i, v := range s.settings {
		s.Settings = append(s.Settings, results.Setting{Sweep: id, Value: v, Number: i + 1, Of: len(s.settings), Apply: endpoint.Redact(s.apply)})
	}
	return nil
}

// remains prints which settings stay applied.
func (s *sweepFlags) remains(w io.Writer) {
	for worker, value := range s.Applied() {
		of := ""
		if worker != "" {
			of = fmt.Sprintf(" of worker %.64q", worker)
		}
		say(w, "perwatt: setting %s%s stays as --apply left it", value, of)
	}
}
