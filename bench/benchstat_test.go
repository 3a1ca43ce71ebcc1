package bench_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/bench/all"
)

// A benchmark of this package is a use, so that what -bench . prints has the units of
// uses: a helper's ns/op belongs to the benchmarks beside its code.
func TestBenchmarksAreUses(t *testing.T) {
	files, err := filepath.Glob("*_test.go")
	require.NoError(t, err)
	found := 0
	for _, name := range files {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		for _, m := range regexp.MustCompile(`(?m)^func Benchmark(\w+)\(`).FindAllSubmatch(text, -1) {
			require.Contains(t, all.Names(), strings.ToLower(string(m[1])), name)
			found++
		}
	}
	require.Positive(t, found)
}

// screen runs the line of docs/candidate-hardware.md that compares two machines.
func screen(t *testing.T, dir string) string {
	page, err := os.ReadFile("../docs/candidate-hardware.md")
	require.NoError(t, err)
	line := regexp.MustCompile(`(?m)^go tool benchstat .*$`).Find(page)
	require.NotNil(t, line)
	build := exec.CommandContext(t.Context(), "go", "tool", "-n", "benchstat")
	path, err := build.Output()
	if err != nil {
		t.Skipf("go tool -n benchstat: %v", err)
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-c", strings.Replace(string(line), "go tool benchstat", strings.TrimSpace(string(path)), 1))
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, stderr.String())
	require.Empty(t, stderr.String())
	return string(out)
}

// The documented line of benchstat shows two machines on one screen: one row a use,
// each with its own unit, whatever implementation each machine chose.
func TestOneScreenOfTwoMachines(t *testing.T) {
	check := func(t *testing.T, out string) {
		require.LessOrEqual(t, strings.Count(out, "\n"), 30, out)
		for _, row := range []string{"Mining", "Training", "Compute", "Memory"} {
			require.Len(t, regexp.MustCompile(`(?m)^`+row+`\b.*\(p=.*n=\d`).FindAllString(out, -1), 1, "%s: one row in which both are compared\n%s", row, out)
		}
		for _, unit := range []string{"hash/J", "samples/J", "FLOP/J", "B/J"} {
			require.Contains(t, out, unit)
		}
		require.NotContains(t, out, "geomean")
		require.NotRegexp(t, `\b(hash|samples|FLOP|B)/s|sec/op|ns/op`, out)
	}
	check(t, screen(t, "testdata"))

	// South chooses another row of sha256d.
	dir := t.TempDir()
	north, err := os.ReadFile("testdata/north.txt")
	require.NoError(t, err)
	south, err := os.ReadFile("testdata/south.txt")
	require.NoError(t, err)
	swap := strings.NewReplacer("impl: avx512x2\nchosen: yes", "impl: avx512x2\nchosen: no", "impl: avx512\nchosen: no", "impl: avx512\nchosen: yes")
	swapped := swap.Replace(string(south))
	require.NotEqual(t, string(south), swapped)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "north.txt"), north, 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "south.txt"), []byte(swapped), 0o644))
	check(t, screen(t, dir))

	// What the test would find: watts of another meter have tables of their own.
	require.NoError(t, os.WriteFile(filepath.Join(dir, "south.txt"), bytes.ReplaceAll(south, []byte("power-source: model"), []byte("power-source: rapl")), 0o644))
	require.NotContains(t, screen(t, dir), "(p=")
}
