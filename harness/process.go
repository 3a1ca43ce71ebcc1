package harness

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/perwatt/perwatt/bench"
	"github.com/perwatt/perwatt/kernels/device"
	"github.com/perwatt/perwatt/results"
)

// Time limits for a worker. None of them is part of a figure.
const (
	prepareLimit = 2 * time.Minute
	reachLimit   = 10 * time.Minute
	stopLimit    = 20 * time.Second
)

// stallLimit is how long a foreground use may run without finishing a count.
var stallLimit = 10 * time.Second

// looks is the number of looks at a worker within a time limit. Limits count looks, not
// seconds, because while this process is suspended the worker may be too.
const looks = 10

// process is the harness's side of one worker.
type process struct {
	use      string
	on       device.Info // the device on which it works
	pid      int
	halted   bool          // at the last beat
	drove    time.Duration // CPU time at the last reading, of the worker of a device that is not scheduled
	unit     results.Unit  // unit of its counts
	counter  *bench.Counter
	page     *cell
	orders   io.WriteCloser
	answers  chan answer
	ended    chan struct{} // closed when the process has ended
	err      error         // why it ended; set before ended is closed
	state    *os.ProcessState
	oomKills int64 // count before its start
	stderr   tail
	kill     func()
}

// key is the key of a trace of the worker's use.
func (p *process) key(kind results.TraceKind) results.TraceKey {
	return results.UseKey(kind, p.use, p.on.ID)
}

// start starts a worker process by command, which must call [Worker].
func start(use string, on device.Info, command func() *exec.Cmd) (*process, error) {
	page, err := newCell()
	if err != nil {
		return nil, fmt.Errorf("harness: worker for %s: %w", use, err)
	}
	p := &process{use: use, on: on, page: page, counter: page.counter(), answers: make(chan answer, 8), ended: make(chan struct{}), oomKills: oomKills()}
	cmd := command()
	r, w, err := os.Pipe()
	if err != nil {
		page.close()
		return nil, err
	}
	cmd.ExtraFiles = []*os.File{page.file, w} // counterFD, answersFD
	cmd.Stdout, cmd.Stderr = &p.stderr, &p.stderr
	// Its own process group keeps the terminal's interrupt away. The death signal ends
	// it if the harness is killed.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.WaitDelay = time.Second
	if p.orders, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	started := make(chan error)
	go func() {
		// The kernel sends the death signal when the thread that forked ends, so the
		// thread has to live as long as the worker.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		w.Close() // #nosec G104 -- our copy of a pipe's end
		started <- err
		if err != nil {
			return
		}
		read := make(chan error, 1)
		go func() { read <- readAnswers(r, p.answers) }()
		err = cmd.Wait()
		if bad := <-read; bad != nil {
			err = errors.Join(bad, err)
		}
		r.Close() // #nosec G104 -- a pipe that was read to its end, or never
		p.err, p.state = err, cmd.ProcessState
		close(p.ended)
	}()
	if err := <-started; err != nil {
		r.Close() // #nosec G104 -- a pipe that was read to its end, or never
		page.close()
		return nil, fmt.Errorf("harness: start worker for %s: %w", use, err)
	}
	p.pid = cmd.Process.Pid
	p.kill = func() { _ = cmd.Process.Kill() } // no matter if it has already ended
	return p, nil
}

// ask sends an order and waits for its answer.
func (p *process) ask(ctx context.Context, o order, limit time.Duration) (answer, error) {
	line, err := json.Marshal(o)
	if err != nil {
		return answer{}, err
	}
	if _, err := p.orders.Write(append(line, '\n')); err != nil {
		return answer{}, p.death()
	}
	look := time.NewTicker(limit / looks)
	defer look.Stop()
	for left := looks; ; {
		select {
		case a, ok := <-p.answers:
			switch {
			case !ok:
				return a, p.death()
			case a.Error != "":
				return a, fmt.Errorf("%s: %s: %s", p.use, o.Do, a.Error)
			}
			return a, nil
		case <-look.C:
			if left--; left > 0 {
				continue
			}
			why := p.standing()
			p.kill()
			<-p.ended
			return answer{}, fmt.Errorf("%s: the worker did not %s within %v%s, and was killed", p.use, o.Do, limit, why)
		case <-ctx.Done():
			return answer{}, ctx.Err()
		}
	}
}

// standing returns why a worker does nothing, if that is known.
func (p *process) standing() string {
	return when(here.halted(p.pid), ", for it is stopped, traced or frozen")
}

// death waits for a worker that no longer answers to end, and returns the cause.
func (p *process) death() error {
	select {
	case <-p.ended:
	case <-time.After(stopLimit):
		p.kill()
		<-p.ended
	}
	why, said := "ended", p.stderr.String()
	if p.err != nil {
		why = p.err.Error()
	}
	if limit := p.limit(said); limit != "" {
		why = limit
	} else if said != "" {
		why += ": " + said
	}
	return fmt.Errorf("%s: the worker died: %s", p.use, why)
}

// limit names the system limit that ended the worker, or returns "".
func (p *process) limit(said string) string {
	status, _ := p.state.Sys().(syscall.WaitStatus)
	if status.Signaled() && status.Signal() == syscall.SIGKILL && oomKills() > p.oomKills {
		n := Roots{}.orHere().cgroups("self").memory(0)
		return fmt.Sprintf("the kernel killed it for want of memory in its control group, whose limit is %d MiB: raise it (memory.max; docker run --memory)", n>>20)
	}
	return LimitOf(status, p.state.UserTime()+p.state.SystemTime(), []byte(said))
}

// close ends the worker: by closing its input or, if it does not react, by killing it.
func (p *process) close() {
	p.orders.Close() // #nosec G104 -- tells the worker to exit
	select {
	case <-p.ended:
	case <-time.After(stopLimit):
		p.kill()
		<-p.ended
	}
	p.page.close()
}

// tail keeps the beginning of a worker's last output: a panic names its cause first.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, b[:min(len(b), 2048-len(t.buf))]...)
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.buf))
}
