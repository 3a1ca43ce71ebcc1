//go:build unix

package harness

import (
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
)

// The miner chooses the name of its worker: what a shell or an option parser obeys
// stays out of the operator's command, and stops no sweep whose command does not use it.
func TestSweepWorkerName(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	script := filepath.Join(t.TempDir(), "limit.sh")
	require.NoError(t, os.WriteFile(script, []byte("#!/bin/sh\necho \"$@\" > "+log+"\n"), 0o700))
	to := &results.Setting{Value: "150"}
	for _, name := range []string{"rig.1", "bc1qw508d6.rig-2", "a@b.example:c", "_1", "Gerät", "x=1,y=2%"} {
		s := Sweep{Command: script + " {} {worker}"}
		require.NoError(t, s.Apply(t.Context(), to, name), name)
		got, err := os.ReadFile(log)
		require.NoError(t, err)
		require.Equal(t, "150 "+name+"\n", string(got))
		require.Equal(t, map[string]string{name: "150"}, maps.Collect(s.Applied()))
	}
	for _, name := range []string{"", "-x", "--help", "a;reboot", "$(reboot)", "`reboot`", "a|b", "a&", "a b", "a\nb", "a\tb", "*", "?", "~root", "../x", "/etc/x", "a/b", `a\b`, "a'b", `a"b`, "a>b", "a<b", "#a", "!a", "{a,b}", "a(b", "[a]", "a\x1b[2J", "a\xff", "a\u202eb"} {
		s := Sweep{Command: script + " {} {worker}"}
		require.ErrorContains(t, s.Apply(t.Context(), to, name), "cannot stand in a command", "%q", name)
		require.Empty(t, maps.Collect(s.Applied()), "%q", name)
		s.Command = script + " {}"
		require.NoError(t, s.Apply(t.Context(), to, name), "%q", name)
	}
}

// What the command printed is quoted in the error, without secrets.
func TestSweepCommandFails(t *testing.T) {
	script := filepath.Join(t.TempDir(), "limit.sh")
	require.NoError(t, os.WriteFile(script, []byte("#!/bin/sh\necho secret >&2\nexit 3\n"), 0o700))
	s := Sweep{Command: script + " {}", Redact: func(text string) string { return "no " + text }}
	require.EqualError(t, s.Apply(t.Context(), &results.Setting{Value: "150"}, ""), `--apply: setting 150 was not applied: exit status 3: the command printed "no secret"`)
}

// Every second pass runs backwards; without settings there is one session a pass.
func TestSweepSessions(t *testing.T) {
	type session struct {
		n     int
		value string
	}
	collect := func(s *Sweep) (out []session) {
		for n, setting := range s.Sessions(2) {
			out = append(out, session{n, at(setting)})
		}
		return out
	}
	require.Equal(t, []session{{1, ""}, {2, ""}}, collect(nil))
	require.Equal(t, []session{{1, " at a"}, {1, " at b"}, {2, " at b"}, {2, " at a"}}, collect(&Sweep{Settings: []results.Setting{{Value: "a"}, {Value: "b"}}}))
}
