package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// brimming takes a number of bytes and then has no space left.
type brimming struct{ left int }

func (b *brimming) Write(p []byte) (int, error) {
	n := min(b.left, len(p))
	if b.left -= n; n < len(p) {
		return n, &os.PathError{Op: "write", Path: "out", Err: syscall.ENOSPC}
	}
	return n, nil
}

// A command whose output does not reach its end says so, once, and does not end
// with 0, whichever of its lines it was that went nowhere.
func TestOutputLost(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "bench.txt")
	require.NoError(t, os.WriteFile(text, []byte("commit: aaaaaaaaaaaa\ndate: 2026-01-02\nBenchmarkX-8  100  10 ns/op\n"), 0o600))
	var imported, errs bytes.Buffer
	require.Equal(t, exitOK, run(t.Context(), []string{"import", "--store", dir, text}, &imported, &errs), &errs)
	record := strings.TrimSpace(imported.String())
	for _, argv := range [][]string{
		{"version"},
		{"version", "--licenses"},
		{"--help"},
		{"ls", "--store", dir},
		{"index", "--store", dir},
		{"verify", record},
		{"verify", record, record},
		{"show", "--store", dir, strings.TrimSuffix(filepath.Base(record), ".json")},
		{"schema"},
		{"import", "--store", filepath.Join(dir, "another"), text},
	} {
		t.Run(strings.Join(argv, " "), func(t *testing.T) {
			var out, errs bytes.Buffer
			want := run(t.Context(), argv, &out, &errs)
			if want == exitUsage {
				t.Fatal(&errs)
			}
			require.NotContains(t, errs.String(), "no space left")
			for _, room := range []int{0, out.Len() - 1} {
				if argv[0] == "import" {
					require.NoError(t, os.RemoveAll(argv[2]))
				}
				errs.Reset()
				require.Equal(t, exitData, run(t.Context(), argv, &brimming{room}, &errs), "%d of %d bytes: %s", room, out.Len(), &errs)
				require.Equal(t, 1, strings.Count(errs.String(), "no space left on device"), &errs)
			}
		})
	}
}

// An error is red on a terminal that shows colours, and nowhere else; its own text brings
// no sequence along.
func TestComplaintsAreColoured(t *testing.T) {
	err := usagef("--rounds 0: \x1b[5m must be more")
	var plain, colour bytes.Buffer
	complain(&outlet{to: &plain}, err)
	complain(&outlet{to: &colour, color: true}, err)
	require.Equal(t, "perwatt: --rounds 0: \ufffd[5m must be more\n", plain.String())
	require.Equal(t, "\x1b[1;31mperwatt:\x1b[0m --rounds 0: \ufffd[5m must be more\n", colour.String())
	// --no-color takes them from both, in every command.
	root := rootCommand()
	out, errs := &outlet{to: &plain, color: true}, &outlet{to: &plain, color: true}
	root.SetOut(out)
	root.SetErr(errs)
	root.SetArgs([]string{"version", "--no-color"})
	require.NoError(t, root.ExecuteContext(t.Context()))
	require.False(t, colored(out) || colored(errs))
}
