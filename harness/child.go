package harness

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// maxAnswer is the most bytes that are read of a child's answer.
const maxAnswer = 16 << 20

// Consult runs a child process that reads a JSON value from standard input and
// writes its answer to standard output, and waits for it at most limit. It is how
// this process asks what a driver knows: a driver that dies or hangs takes only
// the child with it. The error names what ended the child and what it printed.
func Consult(ctx context.Context, child *exec.Cmd, limit time.Duration, question, answer any) error {
	in, err := json.Marshal(question)
	if err != nil {
		return err
	}
	var out answerBuffer
	var said tail
	child.Stdin, child.Stdout, child.Stderr = bytes.NewReader(in), &out, &said
	child.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	child.WaitDelay = time.Second
	// The death signal is sent when the thread that forked ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := child.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- child.Wait() }()
	kill := func() { _ = syscall.Kill(-child.Process.Pid, syscall.SIGKILL) }
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case err = <-ended:
	case <-ctx.Done():
		kill()
		<-ended
		return ctx.Err()
	case <-timer.C:
		kill()
		<-ended
		return fmt.Errorf("it did not answer within %v and was killed", limit)
	}
	if err != nil {
		if first, _, _ := strings.Cut(said.String(), "\n"); first != "" { // a crash of Go's names its cause first
			err = fmt.Errorf("%w: %s", err, first)
		}
		return fmt.Errorf("it died: %w", err)
	}
	if out.over {
		return errors.New("its answer is too long")
	}
	if err := json.NewDecoder(strings.NewReader(out.String())).Decode(answer); err != nil {
		return fmt.Errorf("its answer cannot be read: %w", err)
	}
	return nil
}

// answerBuffer keeps up to maxAnswer bytes.
type answerBuffer struct {
	bytes.Buffer
	over bool
}

func (b *answerBuffer) Write(p []byte) (int, error) {
	if b.Len()+len(p) > maxAnswer {
		b.over = true
		return len(p), nil
	}
	return b.Buffer.Write(p)
}
