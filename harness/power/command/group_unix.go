//go:build unix && !linux

package command

import (
	"os/exec"
	"syscall"
)

// group puts the command in its own process group, which is killed as a whole.
func group(cmd *exec.Cmd) (sweep func()) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	return func() { _ = cmd.Cancel() }
}
