package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// miner is cpuminer-opt, or pooler's minerd, which benchmark themselves. Each prints
// the hashrate of every scan of about a second by its own clock. Between two such
// lines it computed hashrate × wall time; the CPU time of its threads divides it.
type miner struct {
	command      []string
	name, kernel string
}

// miner opens the benchmark of a program on PATH.
func (h host) miner(program string) func(context.Context) (contestant, error) {
	return func(ctx context.Context) (contestant, error) {
		if _, err := exec.LookPath(program); err != nil {
			return nil, err
		}
		out, err := exec.CommandContext(ctx, program, "--version").CombinedOutput()
		m := &miner{command: h.pinned(1, program, "-a", "sha256d", "--benchmark", "-t", "1", "-s", "1"), kernel: "its own choice"}
		if m.name = minerVersion(string(out)); m.name == "" {
			return nil, fmt.Errorf("%s --version names no version: %w: %.100q", program, err, out)
		}
		if found := builtFor.FindSubmatch(out); found != nil {
			m.kernel = "built for " + printable(string(found[1]))
		}
		if strings.HasPrefix(m.name, "cpuminer-opt") { // it binds its thread itself, by default to CPU 0
			last := h.cpus[len(h.cpus)-1]
			if last > 63 {
				return nil, fmt.Errorf("it binds itself to one of the first 64 CPUs, not to CPU %d: use taskset -c 0-63 make peers", last)
			}
			m.command = append(m.command, "--hash-meter", "--cpu-affinity", fmt.Sprintf("%#x", uint64(1)<<last))
		}
		return m, nil
	}
}

var (
	versionOf = regexp.MustCompile(`(cpuminer(?:-[a-z]{1,20})?)[ ,]+(?:version )?v?([0-9][0-9.]{0,15})`)
	builtFor  = regexp.MustCompile(`(?m)^\s*SW features:\s*(\S.{0,60}?)\s*$`)
	scanOf    = regexp.MustCompile(`(?i)thread \d{1,3}[,:](?:.*[ ,])?([0-9]{1,9}(?:\.[0-9]{1,9})?) ([kmgt]?)h(?:ash(?:es)?)?/s`)
)

// minerVersion returns name and version from what a program says of itself.
func minerVersion(text string) string {
	if found := versionOf.FindStringSubmatch(text); found != nil {
		return found[1] + " " + found[2]
	}
	return ""
}

// parseScan returns the hashrate of a scan, in hashes per second.
func parseScan(line string) (rate float64, ok bool) {
	found := scanOf.FindStringSubmatch(line)
	if found == nil {
		return 0, false
	}
	rate, err := strconv.ParseFloat(found[1], 64)
	return rate * map[string]float64{"": 1, "k": 1e3, "K": 1e3, "m": 1e6, "M": 1e6, "g": 1e9, "G": 1e9, "t": 1e12, "T": 1e12}[found[2]], err == nil && rate > 0
}

// measure implements contestant. The first scan warms up.
func (m *miner) measure(ctx context.Context, _ string, length time.Duration) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second+5*length)
	defer cancel()
	cmd := exec.CommandContext(ctx, m.command[0], m.command[1:]...) // #nosec G204 -- a program that the user has put on PATH
	reader, writer := io.Pipe()
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = writer, writer, time.Second
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	ended := make(chan error, 1)
	go func() {
		err := cmd.Wait()
		writer.CloseWithError(io.EOF)
		ended <- err
	}()
	rate, err := follow(reader, length, time.Now, func() (float64, error) { return cpuOf("/proc", cmd.Process.Pid) })
	_ = cmd.Process.Kill()
	reader.Close() // ends writes that wait
	if exit := <-ended; err != nil {
		return 0, cmp.Or(ctx.Err(), fmt.Errorf("%w (%v)", err, exit))
	}
	return rate, nil
}

// follow reads a miner's lines for a length of time from the first scan on, and returns
// hashes per CPU-second.
func follow(lines io.Reader, length time.Duration, now func() time.Time, cpu func() (float64, error)) (float64, error) {
	scan := bufio.NewScanner(lines)
	scan.Buffer(nil, maxLine)
	var began, last time.Time
	var cpuBegan, hashes float64
	for scan.Scan() {
		rate, ok := parseScan(scan.Text())
		if !ok {
			continue
		}
		used, err := cpu()
		if err != nil {
			return 0, err
		}
		t := now()
		if began.IsZero() {
			began, last, cpuBegan = t, t, used
			continue
		}
		hashes += rate * t.Sub(last).Seconds()
		if last = t; t.Sub(began) >= length {
			if !(used > cpuBegan) {
				return 0, errors.New("it used no CPU time")
			}
			return hashes / (used - cpuBegan), nil
		}
	}
	return 0, errors.New("it ended before its scans took long enough")
}

// cpuOf returns the CPU seconds of a process's threads that live (kernel:
// Documentation/scheduler/sched-stats.rst, the first field of schedstat, in
// nanoseconds).
func cpuOf(proc string, pid int) (seconds float64, err error) {
	threads, err := filepath.Glob(filepath.Join(proc, strconv.Itoa(pid), "task", "*", "schedstat"))
	if err == nil && len(threads) == 0 {
		err = fmt.Errorf("%s has no threads of process %d", proc, pid)
	}
	for _, name := range threads {
		text, err := os.ReadFile(name) // #nosec G304 -- below /proc
		if err != nil {
			continue // it has ended
		}
		first, _, _ := strings.Cut(string(text), " ")
		ns, err := strconv.ParseUint(first, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", name, err)
		}
		seconds += float64(ns) / 1e9
	}
	return seconds, err
}

// about implements contestant.
func (m *miner) about() (name, kernel string) { return m.name, m.kernel }

// close implements contestant: each measurement ends its own process.
func (m *miner) close() error { return nil }
