//go:build unix

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"
)

// imported returns the path of a record, alone in its store.
func imported(t *testing.T, dir string) string {
	text := filepath.Join(t.TempDir(), "bench.txt")
	require.NoError(t, os.WriteFile(text, []byte("BenchmarkHash 1000 1000 ns/op\n"), 0o600))
	code, path, stderr := perwatt(t, t.Context(), "import", text, "--at", "2026-11-01", "--node", "a", "--store", dir)
	require.Equal(t, exitOK, code, stderr)
	return strings.TrimSpace(path)
}

// tangled holds one of each kind of what is no file, and by the same name with
// .html; a record and a price sheet are beside them.
func tangled(t *testing.T) string {
	dir, err := os.MkdirTemp("", "") // short: so is the name of a socket
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	t.Chdir(dir)
	for _, suffix := range []string{"", ".html"} {
		require.NoError(t, syscall.Mkfifo("FIFO"+suffix, 0o600))
		l, err := net.Listen("unix", "socket"+suffix)
		require.NoError(t, err)
		t.Cleanup(func() { l.Close() })
		require.NoError(t, os.Symlink("/dev/zero", "device"+suffix))
		require.NoError(t, os.Mkdir("directory"+suffix, 0o700))
	}
	return dir
}

// Where a file is meant, nobody waits for what is none, and it is named.
func TestWhatIsNoFile(t *testing.T) {
	if testing.Short() {
		t.Skip("no goroutines of ours")
	}
	path := imported(t, t.TempDir())
	tangled(t)
	require.NoError(t, os.Symlink(path, "record.json"))
	code, sheet, _ := perwatt(t, t.Context(), "prices", "--example")
	require.Equal(t, exitOK, code)
	require.NoError(t, os.WriteFile("prices.csv", []byte(sheet), 0o600))
	const spec = "redfish:https://127.0.0.1:9,user=a,"
	for _, c := range []struct {
		code int
		argv string // % is the thing
		env  string
	}{
		{exitData, "verify %", ""},
		{exitData, "compare %", ""},
		{exitData, "compare record.json %", ""},
		{exitData, "explain record.json %", ""},
		{exitData, "report % -o page.html", ""},
		{exitUsage, "report record.json --prices % -o page.html", ""},
		{exitUsage, "report record.json --prices prices.csv --hours % -o page.html", ""},
		{exitUsage, "report record.json -o %.html", ""},
		{exitUsage, "prices --check %", ""},
		{exitUsage, "prices --check prices.csv --hours %", ""},
		{exitUsage, "import % --store kept", ""},
		{exitUsage, "track --rules % --store kept", ""},
		{exitUsage, "track --format json -o % --store kept", ""},
		{exitData, "track --format github --store kept", "GITHUB_STEP_SUMMARY"},
		{exitUsage, "meters " + spec + "password=file:%", ""},
		{exitUsage, "meters " + spec + "ca=%", ""},
		{exitUsage, "node --meter " + spec + "token=file:%", ""},
		{exitUsage, "pool --store kept --meter " + spec + "password=file:%", ""},
		{exitUsage, "run --store kept --meter " + spec + "password=file:%", ""},
		{exitUsage, "run --store kept --report %.html", ""},
	} {
		t.Run(c.argv, func(t *testing.T) {
			for _, kind := range []string{"FIFO", "socket", "device", "directory"} {
				if c.env != "" {
					t.Setenv(c.env, kind)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				code, _, stderr := perwatt(t, ctx, strings.Fields(strings.ReplaceAll(c.argv, "%", kind))...)
				require.Regexp(t, kind+`(\.html)?: it is a `+kind+", not a file: ", stderr)
				require.Equal(t, c.code, code, stderr)
			}
		})
	}
	for _, argv := range []string{
		"ls", "index", "show X", "amend X --exclude why", "event why --at 2026-11-01", "import record.json", "track", "serve", "pool", "run",
	} {
		t.Run(argv+" --store", func(t *testing.T) {
			for _, kind := range []string{"FIFO", "socket", "device"} {
				code, _, stderr := perwatt(t, t.Context(), append(strings.Fields(argv), "--store", kind)...)
				require.Contains(t, stderr, kind+": not a directory")
				require.Contains(t, []int{exitUsage, exitData}, code)
			}
		})
	}
}

// What a shell opened for a command is written on, whatever it is, and the name
// of a device is not taken from it.
func TestWritesOnWhatIsOpen(t *testing.T) {
	in, out, err := os.Pipe()
	require.NoError(t, err)
	defer in.Close()
	name := fmt.Sprintf("/dev/fd/%d", out.Fd())
	require.NoError(t, replaceFile(name, strings.NewReader("a page")))
	out.Close()
	got, err := io.ReadAll(in)
	require.NoError(t, err)
	require.Equal(t, "a page", string(got))

	require.ErrorContains(t, replaceFile(name, strings.NewReader("")), name+": bad file descriptor")
	require.NoError(t, replaceFile("/dev/null", strings.NewReader("a page")))
	require.ErrorContains(t, replaceFile("/dev/full", strings.NewReader("a page")), "it is a device, not a file")
	for _, device := range []string{"/dev/null", "/dev/full"} {
		info, err := os.Stat(device)
		require.NoError(t, err)
		require.NotZero(t, info.Mode()&os.ModeCharDevice, device)
	}
}

// A command that is told to end does, whatever it waits for: what it reads, or
// who reads what it says.
func TestInterruptedWaiting(t *testing.T) {
	in, writer, err := os.Pipe()
	require.NoError(t, err)
	t.Cleanup(func() { in.Close(); writer.Close() })
	silent := fmt.Sprintf("/dev/fd/%d", in.Fd())
	dir := t.TempDir()
	record := imported(t, dir)
	page, spec := filepath.Join(dir, "page.html"), "redfish:https://127.0.0.1:9,user=a,password=file:"+silent
	for _, argv := range [][]string{
		{"verify", silent}, {"verify", record, silent}, {"compare", silent}, {"explain", "mining", silent}, {"report", silent, "-o", page},
		{"report", record, "--prices", silent, "-o", page}, {"prices", "--check", silent}, {"import", silent, "--store", dir},
		{"track", "--rules", silent, "--store", dir}, {"track", "--confirm", "--rules", silent, "--store", dir},
		{"meters", spec}, {"node", "--meter", spec}, {"run", "--store", dir, "--meter", spec}, {"pool", "--store", dir, "--meter", spec},
	} {
		t.Run(strings.Join(argv, " "), func(t *testing.T) {
			t.Parallel()
			code, stderr := interrupt(t, argv, io.Discard)
			require.Equal(t, exitInterrupted, code, stderr)
			require.Equal(t, "perwatt: interrupted\n", stderr[strings.LastIndex(stderr, "perwatt: interrupted"):])
			require.NotContains(t, stderr, "nothing was measured")
		})
	}
	for _, argv := range [][]string{
		{"ls", "--store", dir}, {"schema"}, {"version"}, {"prices", "--example"}, {"verify", record}, {"compare", record}, {"meters", "declared:5"}, {"index", "--store", dir},
		{"serve", "--store", dir, "--listen", "127.0.0.1:0"}, {"track", "--store", dir},
	} {
		t.Run(strings.Join(argv, " ")+" to nobody", func(t *testing.T) {
			t.Parallel()
			nobody, out := io.Pipe()
			t.Cleanup(func() { nobody.Close() })
			code, stderr := interrupt(t, argv, out)
			require.Equal(t, exitInterrupted, code, stderr)
		})
	}
}

// interrupt runs a command until it is told to end, and fails if that takes it
// beyond all patience.
func interrupt(t *testing.T, argv []string, stdout io.Writer) (code int, stderr string) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	time.AfterFunc(300*time.Millisecond, cancel)
	var errs said
	ended := make(chan int)
	go func() { ended <- run(ctx, argv, stdout, &errs) }()
	select {
	case code := <-ended:
		return code, errs.String()
	case <-time.After(time.Minute):
		t.Fatal("it did not end")
		return 0, ""
	}
}

// The signals do what the end of the context does in these tests.
func TestSignalled(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		silent, writer, err := os.Pipe()
		require.NoError(t, err)
		defer writer.Close()
		cmd := selfCommand("run", "--meter", "redfish:https://127.0.0.1:9,user=a,password=file:/dev/stdin", "--store", t.TempDir())
		cmd.Stdin = silent
		require.NoError(t, cmd.Start())
		time.AfterFunc(200*time.Millisecond, func() { cmd.Process.Signal(signal) })
		killed := time.AfterFunc(time.Minute, func() { cmd.Process.Kill() })
		cmd.Wait()
		require.True(t, killed.Stop(), "it did not end")
		if cmd.ProcessState.Exited() { // else it was not up when the signal came
			require.Equal(t, exitInterrupted, cmd.ProcessState.ExitCode())
		}
	}
}

// What is to be saved is waited for, which is said, and not for ever.
func TestPatienceWithSaving(t *testing.T) {
	for _, c := range []struct {
		name        string
		saves       time.Duration // 0 for ever
		hangs       bool          // when it is saved
		took        time.Duration
		says, error string
	}{
		{"at once", 10 * time.Millisecond, false, 10 * time.Millisecond, "", ""},
		{"a slow disk", 3 * time.Second, false, 3 * time.Second, "perwatt: interrupted: saving what was measured in store; a second signal ends it unsaved\n", ""},
		{"a dead disk", 0, false, saving, "perwatt: interrupted: saving what was measured in store; a second signal ends it unsaved\n", "interrupted: what was measured could not be saved in store within 1m0s: see whether its disk answers; what was saved before is intact"},
		{"nobody reads the table", 200 * time.Millisecond, true, 200*time.Millisecond + patience, "", "interrupted"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var stderr bytes.Buffer
				cmd := new(cobra.Command)
				cmd.SetErr(&stderr)
				ctx, cancel := context.WithCancel(t.Context())
				cmd.SetContext(ctx)
				var keep unsaved
				over := make(chan struct{})
				forever := func() { <-over }
				began := time.Now()
				cancel()
				err := atOnce(cmd, &keep, func() error {
					saved := keep.begin("store")
					if c.saves == 0 {
						forever()
					}
					time.Sleep(c.saves)
					if saved(); c.hangs {
						forever()
					}
					return nil
				})
				close(over)
				if c.error == "" {
					require.NoError(t, err)
				} else {
					require.EqualError(t, err, c.error)
				}
				require.Equal(t, c.says, stderr.String())
				require.InDelta(t, c.took.Seconds(), time.Since(began).Seconds(), 0.15)
			})
		})
	}
}
