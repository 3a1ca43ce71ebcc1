//go:build unix && !linux

package command

import (
	"os/exec"
	"syscall"
)

// group has the command live in a process group of its own that is killed as
// one.
func group(cmd *exec.Cmd) (sweep func()) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	return func() { _ = cmd.Cancel() }
}
