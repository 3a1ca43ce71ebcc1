package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/harness/fleet"
)

// --print freezes the roster, writes the files and starts nothing; what is wrong is said
// before anything is written.
func TestFleetPrint(t *testing.T) {
	dir := t.TempDir()
	hosts := filepath.Join(dir, "hosts")
	require.NoError(t, os.WriteFile(hosts, []byte("n1 rack=R1\nn2\n"), 0o600))
	for _, c := range []struct {
		want string
		argv []string
	}{
		{"--print needs --hosts", []string{"--print", "k8s"}},
		{"needs --image", []string{"--print", "k8s", "--hosts", hosts}},
		{"no other kind takes it", []string{"--print", "ansible", "--hosts", hosts, "--image", "x"}},
		{"--print and --on", []string{"--print", "ansible", "--hosts", hosts, "--on", "ssh"}},
		{"must be one of ansible, k8s, sbatch", []string{"--print", "puppet", "--hosts", hosts}},
		{"takes no options after --", []string{"--print", "ansible", "--hosts", hosts, "--", "-v"}},
	} {
		code, _, stderr := perwatt(t, t.Context(), append([]string{"fleet", "run", "--store", dir}, c.argv...)...)
		require.Equal(t, exitUsage, code, c.argv)
		require.Contains(t, stderr, c.want)
	}
	require.NoDirExists(t, filepath.Join(dir, "fleet"))

	for kind, more := range map[string][]string{"ansible": nil, "sbatch": {"--", "--account=bench"}, "k8s": {"--image", "registry.example/perwatt"}} {
		code, stdout, stderr := perwatt(t, t.Context(), append([]string{"fleet", "run", "--print", kind, "--name", kind, "--store", dir, "--hosts", hosts, "--preset", "smoke"}, more...)...)
		require.Equal(t, exitOK, code, stderr)
		require.Contains(t, stdout, "perwatt fleet collect "+fleet.Dir(dir, kind)+" records\n")
		r, outcomes, err := fleet.Read(fleet.Dir(dir, kind))
		require.NoError(t, err)
		require.Equal(t, "print", r.Engine)
		require.Len(t, outcomes, 2)
		require.Equal(t, "R1", r.Nodes[0].Rack)
		require.Contains(t, r.Args, "--preset=smoke")
		files, err := os.ReadDir(filepath.Join(fleet.Dir(dir, kind), "print"))
		require.NoError(t, err)
		require.GreaterOrEqual(t, len(files), 2)
		code, _, stderr = perwatt(t, t.Context(), "fleet", "resume", kind, "--store", dir)
		require.Equal(t, exitUsage, code)
		require.Contains(t, stderr, "perwatt fleet collect "+kind+" FILE... takes the records")
	}
}
