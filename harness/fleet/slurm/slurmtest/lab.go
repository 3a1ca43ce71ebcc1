// Package slurmtest starts real Slurm for tests: a controller and nodes on loopback.
package slurmtest

import (
	"context"
	_ "embed"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Lab is a cluster of nodes n1, n2 … It is stopped at the end of the test.
type Lab struct {
	dir  string
	port int
}

//go:embed lab.sh
var script string

// needs are the programs of the lab, of Debian's slurmctld, slurmd, slurm-client,
// slurm-wlm-basic-plugins, munge and util-linux.
var needs = []string{"slurmctld", "slurmd", "sinfo", "sbatch", "munged", "munge", "unshare", "bash"}

// Up starts a lab and points the commands of Slurm at it, by the environment of the test.
// Where it may not run, the test is skipped, and where its programs are missing, unless
// PERWATT_PEERS is "required": then it fails.
func Up(t *testing.T, nodes int) *Lab {
	t.Helper()
	t.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin")
	for _, name := range needs {
		if _, err := exec.LookPath(name); err != nil {
			why := name + " is missing: apt-get install slurmctld slurmd slurm-client slurm-wlm-basic-plugins munge"
			require.NotEqual(t, "required", os.Getenv("PERWATT_PEERS"), why)
			t.Skip("NOT TESTED: " + why)
		}
	}
	if os.Getuid() != 0 {
		t.Skip("NOT TESTED: slurmd and unshare need root")
	}
	if exec.Command("unshare", "--uts", "--fork", "--pid", "--mount-proc", "true").Run() != nil {
		t.Skip("NOT TESTED: unshare is not allowed here")
	}
	// Sockets have short names, and the directory must be reached by every user. Nodes do
	// not see the /tmp of this machine, and so not the temporary directories of tests
	// before this call.
	t.Setenv("TMPDIR", "/var/tmp")
	dir, err := os.MkdirTemp("", "slurm-lab")
	require.NoError(t, err)
	l := &Lab{dir, freePorts(t, nodes+1)}
	t.Cleanup(func() {
		l.Do(t, "down")
		if t.Failed() {
			logs, _ := filepath.Glob(filepath.Join(dir, "log", "*"))
			for _, name := range logs {
				text, _ := os.ReadFile(name)
				t.Logf("%s:\n%s", name, text[max(0, len(text)-2000):])
			}
		}
		_ = os.RemoveAll(dir)
	})
	l.Do(t, "up", strconv.Itoa(nodes))
	t.Setenv("SLURM_CONF", filepath.Join(dir, "etc", "slurm.conf"))
	return l
}

// Do runs a verb of lab.sh, such as cut n3.
func (l *Lab) Do(t *testing.T, verb ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", append([]string{"-c", script, "lab.sh"}, verb...)...)
	cmd.Env = append(os.Environ(), "SLURM_LAB="+l.dir, "SLURM_LAB_PORT="+strconv.Itoa(l.port))
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "lab.sh %s: %s", strings.Join(verb, " "), out)
}

// freePorts returns the first of n ports in a row that were free a moment ago.
func freePorts(t *testing.T, n int) int {
	for first := 20000 + os.Getpid()%10000; first < 32000; first += n {
		var held []net.Listener
		for port := first; port < first+n; port++ {
			l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
			if err != nil {
				break
			}
			held = append(held, l)
		}
		for l := range slices.Values(held) {
			_ = l.Close()
		}
		if len(held) == n {
			return first
		}
	}
	t.Fatal("no free ports")
	return 0
}
