package ssh

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/perwatt/perwatt/results"
)

// Limits on what a host says, in bytes.
const (
	maxLine  = 4096    // of an answer
	maxNoise = 1 << 20 // that its shell prints before the script begins, and after it
	maxWords = 4096    // the last of standard error
)

// maxLinger is the time that a connection has to end once its host said all.
const maxLinger = 5 * time.Second

// bootstrap reads a script from standard input and evaluates it. The login shell of the
// host may be any, csh and fish among them: it sees this line, which is the same to all
// of them, and nothing else. What follows the script is input of the script.
const bootstrap = `exec sh -c 'IFS= read -r n; s=$(dd bs=1 count="$n" 2>/dev/null); eval "$s"'`

// kind is what a client is for.
type kind int

const (
	question kind = iota
	bulk          // it starts a job or moves files
	ending        // it ends jobs: whoever waits for that has asked for all hosts
)

// prompt is how long a client that ends jobs holds up others: one of a host that hangs
// makes room for the next, though it waits on.
const prompt = time.Second

// enter waits for a client for a host. Those that kept their last client waiting in vain
// have few together, so that the others never wait for many of them.
func (e *Engine) enter(ctx context.Context, node string, of kind) (leave func(), err error) {
	e.mu.Lock()
	h := e.hosts[node]
	doubted := h != nil && h.deaf
	e.mu.Unlock()
	var held []chan struct{}
	leave = func() {
		for _, c := range held {
			<-c
		}
	}
	for _, c := range []struct {
		needs bool
		of    chan struct{}
	}{{doubted && of != ending, e.doubted}, {of == bulk, e.bulk}, {true, e.clients}} {
		if !c.needs {
			continue
		}
		select {
		case c.of <- struct{}{}:
			held = append(held, c.of)
		case <-ctx.Done():
			leave()
			return nil, ctx.Err()
		}
	}
	return leave, nil
}

// call runs a script on a host, by one client of OpenSSH, and lets talk read its output
// and write its input. It ends after limit, and earlier if nothing moves for the time-out
// of the engine, so that a host that hangs costs nobody else.
func (e *Engine) call(ctx context.Context, node, script string, of kind, limit time.Duration, talk func(io.Writer, *bufio.Reader) error) error {
	leave, err := e.enter(ctx, node, of)
	if err != nil {
		return err
	}
	leave = sync.OnceFunc(leave)
	defer leave()
	if of == ending {
		defer time.AfterFunc(prompt, leave).Stop()
	}
	began := time.Now()
	err = e.client(ctx, node, script, limit, talk)
	e.mu.Lock()
	defer e.mu.Unlock()
	if h := e.hosts[node]; h != nil && ctx.Err() == nil {
		h.deaf = err != nil && time.Since(began) > e.o.Connect/2
	}
	return err
}

// errLingers means that a client did not end though all was said.
var errLingers = errors.New("the connection does not end")

func (e *Engine) client(ctx context.Context, node, script string, limit time.Duration, talk func(io.Writer, *bufio.Reader) error) error {
	nonce := make([]byte, 16)
	_, _ = rand.Read(nonce) // never fails
	mark := "perwatt-" + hex.EncodeToString(nonce)
	script = "LC_ALL=C; export LC_ALL; umask 077; echo " + mark + "\n" + script

	inner, stop := context.WithTimeoutCause(ctx, limit, fmt.Errorf("it did not end within %v", limit))
	defer stop()
	inner, silent := context.WithCancelCause(inner)
	defer silent(nil)
	quiet := time.AfterFunc(e.o.Timeout, func() { silent(fmt.Errorf("no answer within %v", e.o.Timeout)) })
	defer quiet.Stop()

	cmd := exec.CommandContext(inner, "ssh", e.arguments(node, bootstrap)...) // #nosec G204 -- the name is checked, the command is a constant
	// A group of its own keeps the terminal's interrupt away and takes a ProxyCommand along.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	words := &tail{limit: maxWords}
	cmd.Stderr = words
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start ssh: %w", err)
	}
	moved := func() { quiet.Reset(e.o.Timeout) }
	w, r := &moving{w: in, moved: func() { moved() }}, bufio.NewReaderSize(&moving{r: out, moved: func() { moved() }}, maxLine)
	begun := false
	talked := func() error {
		if _, err := io.WriteString(w, strconv.Itoa(len(script))+"\n"+script); err != nil {
			return err
		}
		if err := skipTo(r, mark); err != nil {
			return err
		}
		begun = true
		return talk(w, r)
	}()
	if talked == nil {
		in.Close() // #nosec G104 -- ssh may have ended
		quiet.Stop()
		moved = func() {}
		defer time.AfterFunc(min(maxLinger, e.o.Timeout), func() { silent(errLingers) }).Stop()
		if n, _ := io.Copy(io.Discard, io.LimitReader(r, maxNoise)); n == maxNoise {
			talked = errors.New("it sends more than it was asked for")
		}
	}
	if talked != nil && !errors.Is(talked, io.EOF) && !errors.Is(talked, syscall.EPIPE) {
		silent(talked)
	}
	ended := cmd.Wait()
	said := words.last()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case talked == nil && (context.Cause(inner) == nil || errors.Is(context.Cause(inner), errLingers)):
		return nil // what was asked for came; how the shell ended says no more
	case context.Cause(inner) != nil:
		return context.Cause(inner)
	case said != "":
		return errors.New(said)
	case ended != nil:
		return fmt.Errorf("ssh: %w", ended)
	case !begun:
		return errors.New("its shell ended before it ran the command")
	}
	return talked
}

// arguments of ssh: the user's config decides all that is not named here.
func (e *Engine) arguments(node, command string) []string {
	args := []string{"-T", "-a", "-x",
		"-o", "BatchMode=yes", // it cannot ask: an error instead
		"-o", "ConnectTimeout=" + strconv.Itoa(int(max(1, e.o.Connect.Seconds()))),
		"-o", "ClearAllForwardings=yes", "-o", "RemoteCommand=none"}
	args = append(args, e.o.Options...)
	return append(args, "--", Destination(node), command)
}

// more is a command for a user's shell.
func (e *Engine) more(node string, words ...string) string {
	all := append([]string{"ssh"}, e.o.Options...)
	return results.Command(append(append(all, Destination(node)), words...)...)
}

// skipTo passes over what the start-up files of the shell print.
func skipTo(r *bufio.Reader, mark string) error {
	for n := 0; n < maxNoise; {
		b, err := r.ReadSlice('\n')
		if strings.TrimRight(string(b), "\r\n") == mark {
			return nil
		}
		if n += len(b); err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
	}
	return fmt.Errorf("its shell prints more than %d bytes at start", maxNoise)
}

// line reads a line of an answer.
func line(r *bufio.Reader) (string, error) {
	b, err := r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return "", fmt.Errorf("its answer is a line of more than %d bytes", maxLine)
	}
	if err != nil {
		return "", err
	}
	return results.Line(string(b), maxLine), nil
}

// moving tells of every byte that moves.
type moving struct {
	w     io.Writer
	r     io.Reader
	moved func()
}

func (m *moving) Write(b []byte) (int, error) {
	for done := 0; done < len(b); {
		n, err := m.w.Write(b[done:min(len(b), done+64<<10)])
		if done += n; err != nil {
			return done, err
		}
		m.moved()
	}
	return len(b), nil
}

func (m *moving) Read(b []byte) (int, error) {
	n, err := m.r.Read(b)
	if n > 0 {
		m.moved()
	}
	return n, err
}

// tail keeps the end of what is written to it.
type tail struct {
	mu    sync.Mutex
	limit int
	b     []byte
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, b[max(0, len(b)-t.limit):]...)
	t.b = t.b[max(0, len(t.b)-t.limit):]
	return len(b), nil
}

// last returns the last line that says something.
func (t *tail) last() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := strings.Split(string(t.b), "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		if s := results.Line(lines[i], 200); s != "" {
			return s
		}
	}
	return ""
}

// lastLine returns the last line of a file that says something; "" if there is none.
func lastLine(path string) string {
	f, err := os.Open(path) // #nosec G304 -- of the attempt's directory
	if err != nil {
		return ""
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Mode().IsRegular() && info.Size() > maxWords {
		_, _ = f.Seek(-maxWords, io.SeekEnd) // else from the start
	}
	t := &tail{limit: maxWords}
	_, _ = io.Copy(t, io.LimitReader(f, maxWords)) // what could be read says something
	return t.last()
}
