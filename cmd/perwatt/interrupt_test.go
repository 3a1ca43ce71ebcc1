//go:build unix

package main

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A command that only reads ends when it is told to, whatever it waits for, and
// does not wait for what is no file.
func TestInterruptedReading(t *testing.T) {
	silent, writer, err := os.Pipe()
	require.NoError(t, err)
	defer writer.Close()
	cmd := selfCommand("import", "-", "--store", t.TempDir())
	cmd.Stdin = silent
	require.NoError(t, cmd.Start())
	time.AfterFunc(200*time.Millisecond, func() { cmd.Process.Signal(syscall.SIGTERM) })
	killed := time.AfterFunc(time.Minute, func() { cmd.Process.Kill() })
	cmd.Wait()
	require.True(t, killed.Stop(), "it did not end")
	if cmd.ProcessState.Exited() { // else it was not up when the signal came
		require.Equal(t, exitInterrupted, cmd.ProcessState.ExitCode())
	}

	fifo := filepath.Join(t.TempDir(), "x.json")
	require.NoError(t, syscall.Mkfifo(fifo, 0o600))
	for _, command := range []string{"verify", "compare"} {
		code, _, stderr := perwatt(t, t.Context(), command, fifo)
		require.Equal(t, exitData, code)
		require.Contains(t, stderr, "it is a FIFO, not a file")
	}
}
