package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/perwatt/perwatt/harness"
)

// limitedName is hidden: perwatt starts itself under it where limits are in
// force that may end it in the midst. A Go program that is refused memory or a
// thread cannot say so in a sentence; the one that started it can.
const limitedName = "_limited"

// Files of the limited process. The runtime writes to standard error whatever is
// left to say, so that perwatt itself has another.
const (
	limitedErrors = 3
	limitedOrders = 4 // its end, or a byte, is what an interrupt is elsewhere
)

// guard runs perwatt under limits, and returns its exit code.
func guard(argv []string, stderr *os.File) int {
	runtime.LockOSThread() // the death signal is tied to it
	code, err := func() (int, error) {
		fd, err := unix.MemfdCreate("perwatt-errors", unix.MFD_CLOEXEC)
		if err != nil {
			return 0, err
		}
		said := os.NewFile(uintptr(fd), "errors")
		defer said.Close()
		orders, order, err := os.Pipe()
		if err != nil {
			return 0, err
		}
		pid, err := syscall.ForkExec("/proc/self/exe", slices.Concat([]string{os.Args[0], limitedName}, argv), &syscall.ProcAttr{ // #nosec G204 G702 -- this program, with its own arguments
			Env: os.Environ(), Files: []uintptr{0, 1, said.Fd(), stderr.Fd(), orders.Fd()}, Sys: &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL},
		})
		orders.Close() // #nosec G104 -- of a pipe that was not read
		if err != nil {
			return 0, fmt.Errorf("start perwatt: %w", err)
		}
		signals := make(chan os.Signal, 1)
		signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
		go func() {
			<-signals
			signal.Stop(signals) // the second one is not caught: it kills
			order.Close()        // #nosec G104 -- of a pipe to which nothing was written
		}()
		var status syscall.WaitStatus
		var used syscall.Rusage
		for {
			if _, err := syscall.Wait4(pid, &status, 0, &used); err != syscall.EINTR {
				break
			}
		}
		last, err := io.ReadAll(io.NewSectionReader(said, 0, 64<<10))
		if err != nil {
			return 0, err
		}
		cpu := time.Duration(used.Utime.Nano() + used.Stime.Nano())
		if status.Exited() && len(last) == 0 {
			return status.ExitStatus(), nil
		}
		if why := harness.LimitOf(status, cpu, last); why != "" {
			return exitData, fmt.Errorf("%s, and run again: %s", why, strings.Join(append([]string{"perwatt"}, argv...), " "))
		}
		if _, err := stderr.Write(last); err != nil || status.Exited() {
			return status.ExitStatus(), err
		}
		return 128 + int(status.Signal()), fmt.Errorf("ended by a signal: %v", status.Signal())
	}()
	if err != nil {
		if why := harness.LimitOfError(err); why != "" {
			err = fmt.Errorf("%w: %s", err, why)
		}
		complain(newOutlet(stderr), err)
		if code == exitOK {
			code = exitData
		}
	}
	return code
}

// underLimits is the main function of what guard starts.
func underLimits(argv []string) int {
	for _, fd := range []int{limitedErrors, limitedOrders} {
		unix.CloseOnExec(fd)
	}
	stderr := os.NewFile(limitedErrors, "errors")
	ctx, cancel := context.WithCancel(context.Background())
	// A terminal sends its interrupt here too; it counts once. They are caught and
	// not ignored, for children would inherit that.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	spent := make(chan os.Signal, 1)
	signal.Notify(spent, syscall.SIGXCPU)
	go func() {
		var b [1]byte
		_, _ = os.NewFile(limitedOrders, "orders").Read(b[:]) // an error is its end
		cancel()
	}()
	go func() {
		<-spent
		complain(newOutlet(stderr), fmt.Errorf("%s", harness.LimitOf(syscall.WaitStatus(syscall.SIGXCPU), 0, nil)))
		cancel()
	}()
	return run(ctx, argv, os.Stdout, stderr)
}
