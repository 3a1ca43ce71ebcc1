//go:build !linux

package command

import (
	"context"
	"errors"
	"io"
	"os/exec"
	"time"
)

// supervisor starts the command in a process group of its own and ends that: where
// there is no subreaper, what leaves the group outlives it.
type supervisor struct {
	ctx  context.Context
	text string
	stop context.CancelFunc
}

func newSupervisor(ctx context.Context, text string) (*supervisor, error) {
	return &supervisor{ctx: ctx, text: text, stop: func() {}}, nil
}

func (s *supervisor) start(out, complaints io.Writer) (wait func() error, err error) {
	ctx, stop := context.WithCancel(s.ctx)
	s.stop = stop
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", s.text)
	cmd.Stdout, cmd.Stderr = out, complaints
	cmd.WaitDelay = 100 * time.Millisecond // for what it left behind with its output open
	sweep := group(cmd)
	if err := cmd.Start(); err != nil {
		stop()
		return nil, err
	}
	return func() error {
		defer stop()
		err := cmd.Wait()
		if errors.Is(err, exec.ErrWaitDelay) {
			err = nil
		}
		sweep()
		return err
	}, nil
}

func (s *supervisor) kill() { s.stop() }

func (s *supervisor) close() error {
	s.stop()
	return nil
}
