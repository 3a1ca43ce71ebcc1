package harness

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/perwatt/perwatt/bench"
	"github.com/perwatt/perwatt/kernels/device"
	"github.com/perwatt/perwatt/results"
)

// Files that a worker inherits beside the standard ones.
const (
	counterFD = 3 // the shared page
	answersFD = 4 // its messages, a JSON object per line; standard output is left to stray prints
)

// order is a command to a worker, one JSON object per line on its standard input. The
// first is open. The worker exits when the input ends.
type order struct {
	Do     string         `json:"do"` // open, demote, reach, run, stop
	Use    string         `json:"use,omitempty"`
	Device *device.Config `json:"device,omitempty"`
	Config *bench.Config  `json:"config,omitempty"` // without the device, which the worker opens
}

// answer is a worker's reply after it has carried out an order.
type answer struct {
	Did    string          `json:"did"`
	Info   *bench.Info     `json:"info,omitempty"`
	Target *results.Target `json:"target,omitempty"`
	Checks []results.Check `json:"checks,omitempty"`
	Error  string          `json:"error,omitempty"`
}

// Worker is the main function of a worker process: it carries out orders from
// standard input on one workload, until the input ends.
func Worker(ctx context.Context, openDevice func(device.Config) (device.Device, error), open func(use string, cfg bench.Config) (bench.Workload, error)) error {
	// Signals may reach the worker as well as the harness; only the harness decides
	// when a worker ends.
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	page, err := mapCell(os.NewFile(counterFD, "counter"))
	if err != nil {
		return fmt.Errorf("worker: %w: it is started by the harness, not by hand", err)
	}
	defer page.close()
	answers := os.NewFile(answersFD, "answers")
	defer answers.Close()
	w := worker{openDevice: openDevice, open: open, done: page.counter()}
	defer w.close()

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	orders := make(chan order)
	go func() {
		defer cancel() // the harness has ended, or needs this worker no longer
		in := json.NewDecoder(bufio.NewReader(os.Stdin))
		for {
			var o order
			if in.Decode(&o) != nil {
				return
			}
			select {
			case orders <- o:
			case <-ctx.Done():
				return
			}
		}
	}()
	out := json.NewEncoder(answers)
	for {
		var o order
		select {
		case o = <-orders:
		case err := <-w.running:
			w.stop = nil
			return err // not in answer to an order: the harness sees the process end, with its output
		case <-ctx.Done():
			return nil
		}
		a := answer{Did: o.Do}
		if err := w.carryOut(ctx, o, &a); err != nil {
			a.Error = err.Error()
		}
		if ctx.Err() != nil {
			return nil
		}
		if err := out.Encode(a); err != nil {
			return fmt.Errorf("worker: answer %s: %w", o.Do, err)
		}
	}
}

type worker struct {
	openDevice func(device.Config) (device.Device, error)
	open       func(string, bench.Config) (bench.Workload, error)
	done       *bench.Counter
	load       bench.Workload
	stop       context.CancelFunc
	running    chan error // result of Run; nil while it does not run
}

func (w *worker) carryOut(ctx context.Context, o order, a *answer) (err error) {
	if (w.load == nil) != (o.Do == "open") {
		return fmt.Errorf("worker: %s is out of order", o.Do)
	}
	switch o.Do {
	case "open":
		if err := setAffinity(0, o.Device.CPUs); err != nil {
			return err
		}
		if o.Config.Device, err = w.openDevice(*o.Device); err != nil {
			return err
		}
		if w.load, err = w.open(o.Use, *o.Config); err != nil {
			return err
		}
		info := w.load.Info()
		a.Info = &info
		return w.load.Prepare(ctx)
	case "demote":
		return setIdlePolicy(0)
	case "reach":
		t, ok := w.load.(bench.Targeter)
		if !ok {
			return nil
		}
		w.done.Add(0) // so that the harness knows when work began
		target, err := t.Reach(ctx, w.done)
		a.Target = &target
		return err
	case "run":
		run, cancel := context.WithCancel(ctx)
		w.stop, w.running = cancel, make(chan error, 1)
		w.done.Add(0)
		go func() {
			err := w.load.Run(run, w.done)
			if err == nil && run.Err() == nil {
				err = errors.New("the workload stopped by itself")
			}
			w.running <- err
		}()
		return nil
	case "stop":
		if w.stop == nil {
			return errors.New("worker: stop without run")
		}
		w.stop()
		err := <-w.running
		w.stop, w.running = nil, nil
		a.Checks = w.load.Check()
		return err
	}
	return fmt.Errorf("worker: unknown order %q", o.Do)
}

func (w *worker) close() {
	if w.stop != nil {
		w.stop()
		<-w.running
	}
	if w.load != nil {
		_ = w.load.Close() // the process ends here, so the error does not matter
	}
}

// readAnswers sends a worker's answers to a channel until the worker exits.
func readAnswers(r io.Reader, to chan<- answer) error {
	defer close(to)
	in := bufio.NewScanner(r)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		var a answer
		if err := json.Unmarshal(in.Bytes(), &a); err != nil {
			return fmt.Errorf("the worker's answer %.80q: %w", in.Text(), err)
		}
		to <- a
	}
	return in.Err()
}
