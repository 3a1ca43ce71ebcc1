package command

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestDiesWithUs: the command ends also when perwatt is killed and can no
// longer end it.
func TestDiesWithUs(t *testing.T) {
	if pid := os.Getenv("PERWATT_TEST_PID"); pid != "" {
		_, err := dial(t.Context(), "echo $$ > "+pid+".new; mv "+pid+".new "+pid+"; echo 5 W; while :; do sleep 1; done,boundary=wall,timeout=5s", nil)
		require.NoError(t, err)
		time.Sleep(time.Minute)
		return
	}
	pid := filepath.Join(t.TempDir(), "pid")
	cmd := exec.Command(os.Args[0], "-test.run=^TestDiesWithUs$")
	cmd.Env = append(os.Environ(), "PERWATT_TEST_PID="+pid)
	require.NoError(t, cmd.Start())
	for until := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		if _, err := os.Stat(pid); err == nil || time.Now().After(until) {
			break
		}
	}
	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())
	goes(t, pid)
}
