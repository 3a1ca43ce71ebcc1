package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// A server is a process that works on request. When it is ready, it prints
//
//	ready <tab> name and version <tab> kernel
//
// Then it answers each line of its standard input, seconds and what to do, by a line
// with the work that it did, in units of the test, and the CPU seconds that it took.
// Anything else that it prints ends it.
type server struct {
	name, kernel string
	cmd          *exec.Cmd
	in           io.WriteCloser
	lines        chan string // of its output; closed at the end of it
	errors       *tail
	patience     time.Duration // for an answer, besides the length of the work
}

// maxLine bounds a line of a server, in bytes.
const maxLine = 1 << 12

// start runs a server and waits until it is ready. It has that long to begin, and
// again for each answer.
func start(ctx context.Context, patience time.Duration, env []string, command ...string) (*server, error) {
	s := &server{cmd: exec.CommandContext(ctx, command[0], command[1:]...), lines: make(chan string), errors: &tail{}, patience: patience} // #nosec G204 -- commands are those of this package
	s.cmd.Env = append(os.Environ(), env...)
	s.cmd.Stderr = s.errors
	s.cmd.WaitDelay = time.Second
	var err error
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(s.lines)
		scan := bufio.NewScanner(out)
		scan.Buffer(nil, maxLine)
		for scan.Scan() {
			s.lines <- scan.Text()
		}
	}()
	line, err := s.line(ctx, patience)
	if err == nil {
		fields := strings.Split(line, "\t")
		if len(fields) == 3 && fields[0] == "ready" {
			s.name, s.kernel = printable(fields[1]), printable(fields[2])
			return s, nil
		}
		err = fmt.Errorf("it begins with %q, want ready, name and kernel", line)
	}
	s.close()
	return nil, err
}

// line waits for a line of output. A server that ends gives what it said last on
// standard error.
func (s *server) line(ctx context.Context, patience time.Duration) (string, error) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case line, ok := <-s.lines:
		if ok {
			return line, nil
		}
		err := s.close()
		return "", fmt.Errorf("it ended (%v): %s", err, s.errors)
	case <-timer.C:
		return "", fmt.Errorf("no answer in %v", patience)
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// measure implements contestant.
func (s *server) measure(ctx context.Context, task string, length time.Duration) (float64, error) {
	if _, err := fmt.Fprintln(s.in, strings.TrimSpace(fmt.Sprintf("%g %s", length.Seconds(), task))); err != nil {
		_, err = s.line(ctx, time.Second) // says why it ended
		return 0, err
	}
	line, err := s.line(ctx, s.patience+20*length)
	if err != nil {
		return 0, err
	}
	return parseAnswer(line)
}

// parseAnswer returns work per CPU-second.
func parseAnswer(line string) (float64, error) {
	fields := strings.Fields(line)
	if len(fields) == 2 {
		work, err := strconv.ParseFloat(fields[0], 64)
		cpu, errCPU := strconv.ParseFloat(fields[1], 64)
		if rate := work / cpu; err == nil && errCPU == nil && work > 0 && cpu > 0 && rate > 0 && !math.IsInf(rate, 0) {
			return rate, nil
		}
	}
	return 0, fmt.Errorf("the answer is %q, want work and CPU seconds", line)
}

// about implements contestant.
func (s *server) about() (name, kernel string) { return s.name, s.kernel }

// close implements contestant: it kills the process and returns how it ended.
func (s *server) close() error {
	s.in.Close()
	s.cmd.Process.Kill()
	for range s.lines { // a reader may be waiting to hand over a line
	}
	return s.cmd.Wait()
}

// tail keeps the end of what is written to it.
type tail struct{ text []byte }

func (t *tail) Write(p []byte) (int, error) {
	const most = 300
	t.text = append(t.text, p...)
	t.text = t.text[max(0, len(t.text)-most):]
	return len(p), nil
}

// String is for a process that has ended.
func (t *tail) String() string { return printable(string(t.text)) }

// printable returns text on one line without what a terminal or a table would act on.
func printable(text string) string {
	text = strings.Map(func(r rune) rune {
		if r == '|' || !strconv.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
	return strings.Join(strings.Fields(text), " ")
}

// answer is the other end of a server: it introduces itself and calls work for each
// line, until the input ends.
func answer(in io.Reader, out io.Writer, name, kernel string, work func(length time.Duration, task string) (done, cpu float64, err error)) error {
	fmt.Fprintf(out, "ready\t%s\t%s\n", name, kernel)
	scan := bufio.NewScanner(in)
	for scan.Scan() {
		length, task, _ := strings.Cut(scan.Text(), " ")
		seconds, err := strconv.ParseFloat(length, 64)
		if err != nil || !(seconds > 0 && seconds < 3600) {
			return errors.New("a request begins with seconds above 0, below 3600")
		}
		done, cpu, err := work(time.Duration(seconds*float64(time.Second)), task)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(out, "%g %g\n", done, cpu); err != nil {
			return err
		}
	}
	return scan.Err()
}
