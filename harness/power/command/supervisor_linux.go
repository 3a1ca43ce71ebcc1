package command

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The supervisor is a second process of this program, between perwatt and the command.
// It is the subreaper of everything that the command starts: an orphan, even one that
// left the process group or the session, becomes a child of the supervisor, which can
// then find it. Perwatt itself must not be a subreaper, because it could not tell these
// orphans from those of other children. The supervisor lives as long as the meter,
// because starting one for each run of the command would disturb the measurement. It
// also ends everything if perwatt is killed, which closes its socket.
const (
	supervisorName = "perwatt-supervisor"
	supervisorFD   = 3 // the supervisor's end of the socket
	// patience is how long the kernel may take to end killed processes.
	patience = time.Second
	// startLimit is how long a supervisor may take to start.
	startLimit = 10 * time.Second
	// shown is the most processes that an error names if they cannot be ended.
	shown = 8
	// closeLimit is how long perwatt waits for the supervisor to end.
	closeLimit = 10 * time.Second
)

// Orders to the supervisor. An order to run carries two files, standard output and
// standard error of the command. When the socket is closed the supervisor ends
// everything.
const (
	orderRun  = "run"
	orderKill = "kill"
)

// report is the supervisor's message after its start and at the end of each run.
type report struct {
	Status syscall.WaitStatus // of the shell
	Error  string             // why it was not started
	Left   []int              // processes that could not be ended
}

// init lets any program that opens such a meter act as its own supervisor: started
// again under that name, it never reaches its main function.
func init() {
	if len(os.Args) == 2 && os.Args[0] == supervisorName {
		supervise(os.Args[1])
		os.Exit(0)
	}
}

// supervisor is perwatt's side of the supervisor process.
type supervisor struct {
	conn *net.UnixConn
	cmd  *exec.Cmd
	said tail
	gone chan struct{} // closed when the process has ended
	free func() bool   // detaches it from the context
}

// newSupervisor starts the supervisor of a command; the end of ctx ends it.
func newSupervisor(ctx context.Context, text string) (*supervisor, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("make a socket: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "supervisor"), os.NewFile(uintptr(pair[1]), "supervisor")
	defer ours.Close()
	defer theirs.Close()
	conn, err := net.FileConn(ours)
	if err != nil {
		return nil, fmt.Errorf("use a socket: %w", err)
	}
	s := &supervisor{conn: conn.(*net.UnixConn), cmd: exec.Command("/proc/self/exe"), gone: make(chan struct{}), free: func() bool { return true }}
	s.cmd.Args = []string{supervisorName, text}
	s.cmd.ExtraFiles = []*os.File{theirs} // supervisorFD
	s.cmd.Stderr = &s.said
	// Its own group keeps the terminal's interrupt away.
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := s.cmd.Start(); err != nil {
		s.conn.Close() // #nosec G104 -- its other end learns of it, or is gone
		return nil, fmt.Errorf("start the supervisor of the command: %w", err)
	}
	go func() {
		_ = s.cmd.Wait() // its state has the result
		close(s.gone)
	}()
	_ = s.conn.SetReadDeadline(time.Now().Add(startLimit))
	if _, err := s.listen(); err != nil {
		return nil, errors.Join(err, s.close())
	}
	_ = s.conn.SetReadDeadline(time.Time{})
	s.free = context.AfterFunc(ctx, func() { _ = s.conn.CloseWrite() })
	return s, nil
}

// listen waits for a report.
func (s *supervisor) listen() (r report, err error) {
	buf := make([]byte, 64<<10)
	n, err := s.conn.Read(buf)
	if err == nil && n > 0 {
		err = json.Unmarshal(buf[:n], &r)
		return r, err
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return r, fmt.Errorf("the supervisor of the command did not come up within %v", startLimit)
	}
	<-s.gone
	why := s.cmd.ProcessState.String()
	if first, _, _ := bytes.Cut(bytes.TrimSpace(s.said), []byte("\n")); len(first) > 0 {
		why += fmt.Sprintf(": %q", first)
	}
	return r, fmt.Errorf("the supervisor of the command ended: %s", why)
}

// start runs the command once, and kill ends the run. wait waits for all of its
// processes and returns the result.
func (s *supervisor) start(out, complaints io.Writer) (wait func() error, err error) {
	var theirs, ours []*os.File
	closeAll := func(files []*os.File) {
		for _, f := range files {
			f.Close() // #nosec G104 -- our copy; the child has its own
		}
	}
	defer func() { closeAll(theirs) }()
	for range 2 {
		r, w, err := os.Pipe()
		if err != nil {
			closeAll(ours)
			return nil, err
		}
		ours, theirs = append(ours, r), append(theirs, w)
	}
	if _, _, err := s.conn.WriteMsgUnix([]byte(orderRun), unix.UnixRights(int(theirs[0].Fd()), int(theirs[1].Fd())), nil); err != nil {
		closeAll(ours)
		_, err := s.listen()
		return nil, err
	}
	copied := make(chan struct{})
	var copying sync.WaitGroup
	for i, to := range []io.Writer{out, complaints} {
		copying.Go(func() { _, _ = io.Copy(to, ours[i]) })
	}
	go func() { copying.Wait(); close(copied) }()
	return func() error {
		r, err := s.listen()
		// Nothing is left that could write, unless it could not be ended.
		select {
		case <-copied:
			closeAll(ours)
		case <-time.After(patience / 10):
			closeAll(ours)
			<-copied
		}
		return errors.Join(err, r.err())
	}, nil
}

// err returns the result of the command as an error.
func (r report) err() error {
	var left error
	if len(r.Left) > 0 {
		left = fmt.Errorf("processes %v that it started could not be ended: are they of another user? end them yourself", r.Left)
	}
	var how error
	switch s := r.Status; {
	case r.Error != "":
		how = errors.New(r.Error)
	case s.Signaled():
		how = errors.New("signal: " + s.Signal().String())
	case s.ExitStatus() != 0:
		how = errors.New("exit status " + strconv.Itoa(s.ExitStatus()))
	}
	return errors.Join(how, left)
}

func (s *supervisor) kill() { _, _ = s.conn.Write([]byte(orderKill)) } // if it has ended there is nothing to kill

// close ends the supervisor, and with it the command.
func (s *supervisor) close() error {
	s.free()
	s.conn.Close() // #nosec G104 -- its other end learns of it, or is gone
	select {
	case <-s.gone:
		return nil
	case <-time.After(closeLimit):
		return fmt.Errorf("exec: what the command started is still being ended after %v, by process %d", closeLimit, s.cmd.Process.Pid)
	}
}

// supervise is the main function of the supervisor.
func supervise(text string) {
	// The shell's death signal is sent when the thread that forks ends.
	runtime.LockOSThread()
	// Only the end of the socket ends the supervisor. Signals are caught and not
	// ignored, because the command would inherit ignored ones.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGPIPE)
	unix.CloseOnExec(supervisorFD)
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		fmt.Fprintln(os.Stderr, "become a subreaper:", err)
		return
	}
	tell := func(r report) {
		raw, _ := json.Marshal(r)                           // cannot fail: numbers and text only
		_ = unix.Send(supervisorFD, raw, unix.MSG_NOSIGNAL) // if perwatt has ended, so do the orders
	}
	children := make(chan os.Signal, 1)
	signal.Notify(children, syscall.SIGCHLD)
	orders := make(chan []int) // the files of a run; none means kill
	go func() {
		defer close(orders)
		for {
			files, err := receive()
			if err != nil {
				return
			}
			orders <- files
		}
	}()
	tell(report{})
	for files := range orders {
		if len(files) == 2 { // else it is a kill for a run that has ended meanwhile
			tell(once(text, files, orders, children))
		}
	}
}

// receive waits for an order.
func receive() (files []int, err error) {
	buf, rights := make([]byte, 16), make([]byte, unix.CmsgSpace(2*4))
	for {
		n, nr, _, _, err := unix.Recvmsg(supervisorFD, buf, rights, unix.MSG_CMSG_CLOEXEC)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil || n == 0:
			return nil, io.EOF
		case string(buf[:n]) != orderRun:
			return nil, nil
		}
		messages, err := unix.ParseSocketControlMessage(rights[:nr])
		if err != nil || len(messages) != 1 {
			return nil, io.EOF
		}
		return unix.ParseUnixRights(&messages[0])
	}
}

// once runs the command once, with its output to files, and kills all processes that it
// leaves behind.
func once(text string, files []int, orders <-chan []int, children chan os.Signal) report {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return report{Error: err.Error()}
	}
	shell, err := syscall.ForkExec("/bin/sh", []string{"/bin/sh", "-c", text}, &syscall.ProcAttr{ // #nosec G204 G702 -- the user's own exec: command is there to be run
		Env: os.Environ(), Files: []uintptr{null.Fd(), uintptr(files[0]), uintptr(files[1])},
		// Its own group, so that signals to the group do not reach the supervisor.
		Sys: &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL},
	})
	null.Close() // #nosec G104 -- nothing was written to it
	for _, fd := range files {
		unix.Close(fd) // #nosec G104 -- our copy; the child has its own
	}
	if err != nil {
		return report{Error: fmt.Sprintf("start /bin/sh: %v", err)}
	}
	r := report{Status: syscall.WaitStatus(syscall.SIGKILL)} // unless it ends otherwise
	ended := false
	// reap waits for ended children and reports whether none is left. Without children
	// there are no descendants, because every orphan becomes a child. It returns after
	// a batch, since others may end as fast as they are reaped, and waiting among
	// thousands is slow.
	reap := func() (none bool) {
		for range 256 {
			var status syscall.WaitStatus
			pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
			if pid <= 0 {
				return err == syscall.ECHILD
			}
			if pid == shell {
				r.Status, ended = status, true
			}
		}
		select {
		case children <- syscall.SIGCHLD: // there may be more
		default:
		}
		return false
	}
	for killed := false; !killed && !ended; {
		select {
		case <-children:
			reap()
		case <-orders: // a kill, or the end of the orders
			killed = true
		}
	}
	r.Left = killAll(shell, reap)
	r.Left = r.Left[:min(len(r.Left), shown)]
	return r
}

// killAll kills all descendants until reap reports that none is left. It returns those
// that remain: those of other users, and those that the kernel does not end in time.
// Processes may fork faster than they are killed, so they are stopped first, until the
// list has no new ones: reaping one would free its slot for another's child. Signals go
// to whole process groups too, which no fork escapes.
func killAll(group int, reap func() (none bool)) (left []int) {
	_ = syscall.Kill(-group, syscall.SIGKILL)
	stopped := map[int]bool{}
	fewest, until := math.MaxInt, time.Now().Add(patience)
	for none := reap(); !none; {
		all := descendants(os.Getpid())
		found := slices.ContainsFunc(all, func(p process) bool { return !stopped[p.pid] })
		signal := syscall.SIGKILL
		if found {
			signal = syscall.SIGSTOP
		}
		left = nil
		ours := false
		for _, p := range all {
			if p.alone {
				_ = syscall.Kill(-p.group, signal)
			}
			ours = syscall.Kill(p.pid, signal) != syscall.EPERM || ours
			stopped[p.pid] = true
			left = append(left, p.pid)
		}
		if !ours && len(left) > 0 {
			return left
		}
		if found || len(left) < fewest { // there is progress
			fewest, until = len(left), time.Now().Add(patience)
		} else if time.Now().After(until) {
			return left
		}
		if !found {
			time.Sleep(time.Millisecond)
			none = reap()
		}
	}
	return nil
}

// process is a running process.
type process struct {
	pid, parent, group int
	alone              bool // its group has only descendants of the given process
}

// descendants lists all descendants of a process, parents first, so that a parent is
// killed before it can replace a killed child.
func descendants(of int) (out []process) {
	proc, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer proc.Close()
	names, err := proc.Readdirnames(-1)
	if err != nil {
		return nil
	}
	children, members := map[int][]process{}, map[int]int{}
	for _, name := range names {
		if name[0] < '0' || name[0] > '9' {
			continue
		}
		stat, err := os.ReadFile("/proc/" + name + "/stat") // #nosec G304 -- a number that /proc itself lists
		if err != nil {
			continue // it is gone
		}
		if p, err := parseStat(stat); err == nil {
			children[p.parent] = append(children[p.parent], p)
			members[p.group]++
		}
	}
	out = slices.Clone(children[of])
	for i := 0; i < len(out); i++ {
		out = append(out, children[out[i].pid]...)
	}
	for _, p := range out {
		members[p.group]--
	}
	for i := range out {
		out[i].alone = members[out[i].group] == 0
	}
	return out
}

// parseStat reads /proc/PID/stat: "PID (NAME) STATE PARENT GROUP …", where the
// name may hold anything.
func parseStat(stat []byte) (p process, err error) {
	pid, _, _ := bytes.Cut(stat, []byte(" "))
	f := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(f) < 3 {
		return p, fmt.Errorf("%.80q is no line of /proc/PID/stat", stat)
	}
	for _, n := range []struct {
		to   *int
		from []byte
	}{{&p.pid, pid}, {&p.parent, f[1]}, {&p.group, f[2]}} {
		if *n.to, err = strconv.Atoi(string(n.from)); err != nil {
			return p, fmt.Errorf("%.80q is no line of /proc/PID/stat: %w", stat, err)
		}
	}
	return p, nil
}
