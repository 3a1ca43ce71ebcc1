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
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/perwatt/perwatt/bench"
	_ "github.com/perwatt/perwatt/cmd/perwatt/arenas" // before all others
	"github.com/perwatt/perwatt/harness"
	"github.com/perwatt/perwatt/harness/endpoint"
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
			if strings.HasPrefix(err.Error(), "unknown command") { // as cobra calls an argument too many
				err = unexpected(cmd, a[0])
			} else {
				err = miscounted(cmd, len(a))
			}
			return usagef("%w (see %s --help)", err, cmd.CommandPath())
		}
		return nil
	}
}

// Patience with a command once it is interrupted.
const (
	patience = 500 * time.Millisecond // of what has nothing to keep
	saving   = time.Minute            // of what saves what it has measured
	tells    = time.Second            // after which it says what it waits for
)

// unsaved is what a command has to finish although it is interrupted.
type unsaved struct {
	mu    sync.Mutex
	count int
	where string // it will lie
}

// begin returns what is to be called when it is saved.
func (u *unsaved) begin(where string) (end func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.count++
	u.where = where
	return sync.OnceFunc(func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		u.count--
	})
}

// left returns where what is not saved will lie, if there is such.
func (u *unsaved) left() (where string, some bool) {
	if u == nil {
		return "", false
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.where, u.count > 0
}

// atOnce does what a command does. Interrupted, it does not wait for a file or
// an instrument that gives nothing: a read cannot be called off, and goes with
// the process. It waits for what is to be saved, and says so. What a command
// writes is there whole or not at all.
func atOnce(cmd *cobra.Command, keep *unsaved, do func() error) error {
	ctx := cmd.Context()
	done := make(chan error, 1)
	go func() { done <- do() }()
	var err error
	select {
	case err = <-done:
	case <-ctx.Done():
		err = lastly(cmd, keep, done)
	}
	var e exit
	switch {
	case err == nil || ctx.Err() == nil, errors.As(err, &e) && e.code == exitInterrupted:
		return err
	case keep == nil, errors.Is(err, ctx.Err()):
		return exit{exitInterrupted, errors.New("interrupted")}
	}
	return err
}

// lastly waits for a command that is interrupted, as long as is worth it.
func lastly(cmd *cobra.Command, keep *unsaved, done <-chan error) error {
	began, said := time.Now(), false
	look := time.NewTicker(patience / 10)
	defer look.Stop()
	for leave := began.Add(patience); ; {
		select {
		case err := <-done:
			return err
		case now := <-look.C:
			where, some := keep.left()
			switch {
			case some && now.Sub(began) > saving:
				return exit{exitInterrupted, fmt.Errorf("interrupted: what was measured could not be saved in %s within %v: see whether its disk answers; what was saved before is intact", where, saving)}
			case some && !said && now.Sub(began) > tells:
				said = true
				say(cmd.ErrOrStderr(), "perwatt: interrupted: saving what was measured in %s; a second signal ends it unsaved", where)
				fallthrough
			case some:
				leave = now.Add(patience)
			case now.After(leave):
				return cmd.Context().Err()
			}
		}
	}
}

func main() {
	// A file that may not grow is an error of the write, not the end.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGXFSZ)
	switch argv := os.Args[1:]; {
	case len(argv) > 0 && argv[0] == limitedName:
		os.Exit(underLimits(argv[1:]))
	case len(argv) > 0 && slices.Contains([]string{workerName, probeName, trialName}, argv[0]): // the harness says what ended it
	case harness.Limited():
		os.Exit(guard(argv, os.Stderr))
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	context.AfterFunc(ctx, stop) // the second one is not caught: it kills
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

func run(ctx context.Context, argv []string, to, errs io.Writer) int {
	stdout, stderr := newOutlet(to), newOutlet(errs)
	root := rootCommand()
	root.SetArgs(argv)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	ended := make(chan int, 1)
	go func() {
		code := conclude(err, stdout, stderr)
		_ = stderr.flush() // there is nowhere to say why not
		ended <- code
	}()
	select {
	case code := <-ended:
		return code
	case <-ctx.Done():
	}
	select {
	case code := <-ended:
		return code
	case <-time.After(patience): // nobody reads
		return exitInterrupted
	}
}

// rootCommand is perwatt with all its commands.
func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "perwatt",
		Short: "What does this hardware deliver per watt, at each thing it could be used for?",
		Long: `perwatt runs bitcoin mining (double SHA-256), neural network training, dense
compute and the STREAM triad (memory) on this machine: its CPU and its GPUs, meters the energy on the same
clock, checks the answers, and reports the work per joule of each use, with its
interval and with the meter behind every watt.

Words used here:
  use       what the hardware is used for: mining, training, compute, memory
  device    what a use runs on: the CPU, a GPU, or mining hardware of its own
  meter     what measures watts or joules, such as a PDU, a BMC or RAPL
  boundary  what the watts include: wall, psu, node, board, package, card or memory
  record    the file of one session, with every reading and a summary
  store     the directory of records

Exit codes: 0 good, 1 a gate failed, 2 usage, 3 no or unusable data,
130 interrupted (what was finished is kept).`,
		SilenceErrors: true, SilenceUsage: true, Version: versionLine(thisBuild()),
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetFlagErrorFunc(badFlag)
	plain := root.PersistentFlags().Bool("no-color", false, "no colours on a terminal, as with NO_COLOR=1; elsewhere there are none")
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		for _, w := range []io.Writer{cmd.OutOrStdout(), cmd.ErrOrStderr()} {
			if o, ok := w.(*outlet); ok && *plain {
				o.color = false
			}
		}
		return blankFlags(cmd)
	}
	root.AddCommand(runCommand(), poolCommand(), trackCommand(), serveCommand(), fleetCommand(), workerCommand(), probeCommand(), trialCommand()) // which say what they have to save
	for _, c := range []*cobra.Command{
		nodeCommand(), metersCommand(), compareCommand(), explainCommand(), reportCommand(), pricesCommand(), verifyCommand(), importCommand(),
		indexCommand(), lsCommand(), showCommand(), amendCommand(), eventCommand(), schemaCommand(), versionCommand(),
	} {
		do := c.RunE
		c.RunE = func(cmd *cobra.Command, argv []string) error {
			return atOnce(cmd, nil, func() error { return do(cmd, argv) })
		}
		root.AddCommand(c)
	}
	root.InitDefaultHelpCmd()
	if help, _, err := root.Find([]string{"help"}); err == nil { // it answers a command that is not known with all of the help
		help.Args = func(_ *cobra.Command, a []string) error {
			if c, rest, _ := root.Find(a); len(rest) > 0 && c.HasAvailableSubCommands() {
				return usagef("%w (see %s --help)", unexpected(c, rest[0]), c.CommandPath())
			}
			return nil
		}
	}
	return root
}

// conclude writes the last words of a command and returns its exit code.
func conclude(err error, stdout, stderr *outlet) int {
	if unwritten := stdout.flush(); unwritten != nil && !errors.Is(err, unwritten) {
		err = errors.Join(err, unwritten)
	}
	if err == nil {
		return exitOK
	}
	code := exitData
	var e exit
	switch {
	case errors.As(err, &e):
		code = e.code
	case errors.Is(err, bench.ErrUsage), errors.Is(err, endpoint.ErrSpec):
		code = exitUsage
	}
	if why := harness.LimitOfError(err); why != "" {
		err = fmt.Errorf("%w: %s", err, why)
	}
	complain(stderr, err)
	return code
}
