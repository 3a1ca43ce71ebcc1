package arenas

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestMain is the child of TestLimited too: it says what it was started with.
func TestMain(m *testing.M) {
	if os.Args[0] == "child" {
		os.Stdout.WriteString(os.Getenv("MALLOC_ARENA_MAX") + "|" + strings.Join(os.Args, "|"))
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestLimited(t *testing.T) {
	exe, err := os.Executable()
	require.NoError(t, err)
	for name, c := range map[string]struct{ limit, env, want string }{
		"limited":           {"ulimit -v 12000000", "A=b", "1|child|a b||c"},
		"not limited":       {"true", "A=b", "|child|a b||c"},
		"limited, and said": {"ulimit -v 12000000", "MALLOC_ARENA_MAX=4", "4|child|a b||c"},
	} {
		cmd := exec.Command("/bin/bash", "-c", c.limit+` || exit 77; exe=$1; shift; exec -a child "$exe" "$@"`, "bash", exe, "a b", "", "c")
		cmd.Env = []string{c.env}
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState.ExitCode() == 77 || strings.Contains(string(out), "ThreadSanitizer") {
			t.Skip(name, "the limit cannot be set here")
		}
		require.NoError(t, err, "%s: %s", name, out)
		require.Equal(t, c.want, string(out), name)
	}
}
