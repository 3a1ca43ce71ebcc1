// Perwatt measures what this hardware delivers per watt, at each thing it
// could be used for. This package is flags, wiring and exit codes: one file a
// subcommand, no arithmetic.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/perwatt/perwatt/bench"
	"github.com/perwatt/perwatt/harness"
	"github.com/perwatt/perwatt/harness/peer"
)

// Exit codes.
const (
	exitOK          = 0
	exitGate        = 1 // a gate failed: invalid result, regression
	exitUsage       = 2
	exitData        = 3   // no or unusable data
	exitInterrupted = 130 // stopped by the user, with what was finished kept
)

// exit is an error with the code that the process ends with.
type exit struct {
	code int
	err  error
}

func (e exit) Error() string { return e.err.Error() }
func (e exit) Unwrap() error { return e.err }

// usagef is an error in what was typed.
func usagef(format string, args ...any) error {
	return exit{exitUsage, fmt.Errorf(format, args...)}
}

// args makes an error of a command's arguments one of usage.
func args(valid cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, a []string) error {
		if err := valid(cmd, a); err != nil {
			return usagef("%w (see %s --help)", err, cmd.CommandPath())
		}
		return nil
	}
}

// patience is how long what only reads goes on once it is interrupted.
const patience = 500 * time.Millisecond

// atOnce does what a command that only reads does. Interrupted, it does not
// wait for a file that gives nothing: a read cannot be called off, and goes
// with the process. What such a command writes is there whole or not at all.
func atOnce(cmd *cobra.Command, read func() error) error {
	done := make(chan error, 1)
	go func() { done <- read() }()
	var err error
	select {
	case err = <-done:
	case <-cmd.Context().Done():
		select {
		case err = <-done:
		case <-time.After(patience):
			err = cmd.Context().Err()
		}
	}
	if err != nil && cmd.Context().Err() != nil {
		return exit{exitInterrupted, errors.New("interrupted")}
	}
	return err
}

func main() {
	// A file that may not grow is an error of the write, not the end.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGXFSZ)
	switch argv := os.Args[1:]; {
	case len(argv) > 0 && argv[0] == limitedName:
		os.Exit(underLimits(argv[1:]))
	case len(argv) > 0 && argv[0] == workerName: // the harness says what ended it
	case harness.Limited():
		os.Exit(guard(argv, os.Stderr))
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	context.AfterFunc(ctx, stop) // the second one is not caught: it kills
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

func run(ctx context.Context, argv []string, to, errs io.Writer) int {
	stdout, stderr := newOutlet(to), newOutlet(errs)
	defer stderr.flush()
	root := &cobra.Command{
		Use:   "perwatt",
		Short: "What does this hardware deliver per watt, at each thing it could be used for?",
		Long: `perwatt runs bitcoin mining (double SHA-256), neural network training, dense
fp32 compute and the STREAM triad on this machine, meters the energy on the same
clock, checks the answers, and says the work per joule of each use, with
intervals and with the provenance of every watt.

Exit codes: 0 good, 1 a gate failed, 2 usage, 3 no or unusable data,
130 interrupted (what was finished is kept).`,
		SilenceErrors: true, SilenceUsage: true,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetArgs(argv)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usagef("%w (see %s --help)", err, cmd.CommandPath())
	})
	root.AddCommand(runCommand(), poolCommand(), nodeCommand(), metersCommand(), trackCommand(), serveCommand(), amendCommand(), eventCommand(), schemaCommand(), versionCommand(), workerCommand())
	for _, c := range []*cobra.Command{compareCommand(), explainCommand(), reportCommand(), pricesCommand(), verifyCommand(), importCommand(), indexCommand(), lsCommand(), showCommand()} {
		read := c.RunE
		c.RunE = func(cmd *cobra.Command, argv []string) error {
			return atOnce(cmd, func() error { return read(cmd, argv) })
		}
		root.AddCommand(c)
	}
	err := errors.Join(root.ExecuteContext(ctx), stdout.flush())
	if err == nil {
		return exitOK
	}
	code := exitData
	var e exit
	switch {
	case errors.As(err, &e):
		code = e.code
	case errors.Is(err, bench.ErrUsage), errors.Is(err, peer.ErrSpec):
		code = exitUsage
	}
	if why := harness.LimitOfError(err); why != "" {
		err = fmt.Errorf("%w: %s", err, why)
	}
	complain(stderr, err)
	return code
}
