package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/schema"
)

// A whole session: what a user gets is one record that its schema allows, that
// verifies, and that has a row for every use with every metric.
func TestSmokeRecord(t *testing.T) {
	code, stdout, stderr := perwatt(t, t.Context(), "run", "--preset", "smoke", "--window", "500ms", "--warmup", "500ms",
		"--store", t.TempDir(), "--format", "json", "--label", "site=north", "--meter", "model")
	require.Equal(t, exitOK, code, stderr)
	rec := record(t, stdout)
	require.Equal(t, results.Complete, rec.State)
	require.Equal(t, map[string]string{"site": "north"}, rec.Plan.Labels)
	require.Equal(t, "auto", rec.Plan.Device)

	compiler := jsonschema.NewCompiler()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema.Record()))
	require.NoError(t, err)
	require.NoError(t, compiler.AddResource("record.json", doc))
	valid, err := compiler.Compile("record.json")
	require.NoError(t, err)
	instance, err := jsonschema.UnmarshalJSON(strings.NewReader(stdout))
	require.NoError(t, err)
	require.NoError(t, valid.Validate(instance))

	var summary struct {
		Summary struct {
			Rows []struct {
				Scenario, Use, Role string
				Metrics             map[string]map[string]any
			}
		}
	}
	require.NoError(t, json.Unmarshal([]byte(stdout), &summary))
	var rows []string
	for _, r := range summary.Summary.Rows {
		rows = append(rows, r.Scenario+"/"+r.Use)
		for _, name := range []string{"throughput", "power", "work_per_energy", "energy_per_work"} {
			m := r.Metrics[name]
			require.NotNil(t, m, "%s %s", r.Scenario, name)
			for _, field := range []string{"value", "low", "high", "unit", "n"} {
				require.Contains(t, m, field, "%s %s", r.Scenario, name)
			}
		}
		p := r.Metrics["power"]
		require.Equal(t, []any{"modelled", "E", "wall"}, []any{p["origin"], p["grade"], p["boundary"]})
		require.Nil(t, p["low"], "one window has no interval")
	}
	require.Equal(t, []string{"idle/idle", "control/control", "mining/mining", "training-gpt-mini/training", "compute/compute", "memory/memory", "mullet/training", "mullet/mining"}, rows)
}

// launch runs perwatt in a process of its own and waits until it has said the
// pattern on standard error.
func launch(t *testing.T, pattern string, args ...string) (wait func() (code int, stdout, stderr string), signal func(os.Signal)) {
	t.Helper()
	said := make(chan struct{})
	stderr := &trigger{on: pattern, do: func() { close(said) }}
	var stdout bytes.Buffer
	cmd := selfCommand(args...)
	cmd.Stdout, cmd.Stderr = &stdout, stderr
	require.NoError(t, cmd.Start())
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case <-said:
	case err := <-done:
		t.Fatalf("ended with %v before it said %q: %s", err, pattern, stderr.String())
	}
	return func() (int, string, string) {
			select {
			case <-done:
			case <-time.After(time.Minute):
				_ = cmd.Process.Kill()
				t.Fatal("did not end within a minute")
			}
			return cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()
		}, func(s os.Signal) {
			require.NoError(t, cmd.Process.Signal(s))
		}
}

// workers lists the worker processes of this test binary, whoever they belong to.
func workers(t *testing.T) (found []string) {
	t.Helper()
	self, err := os.Readlink("/proc/self/exe")
	require.NoError(t, err)
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	require.NoError(t, err)
	for _, f := range files {
		line, err := os.ReadFile(f)
		exe, _ := os.Readlink(filepath.Join(filepath.Dir(f), "exe"))
		if err == nil && exe == self && strings.Contains(string(line), workerName) {
			found = append(found, fmt.Sprintf("%s %q", f, line))
		}
	}
	return found
}

var longRun = []string{"run", "--preset", "smoke", "--uses", "mullet", "--model", "mlp", "--rounds", "50", "--window", "300ms", "--warmup", "100ms", "--interval", "20ms", "--meter", "none", "--store"}

func TestInterruptKeepsWhatIsFinished(t *testing.T) {
	dir := t.TempDir()
	wait, signal := launch(t, "run 3/100", append(longRun, dir)...)
	signal(syscall.SIGINT)
	code, stdout, stderr := wait()
	require.Equal(t, exitInterrupted, code, stderr)
	require.Contains(t, stdout, "INTERRUPTED")
	path := regexp.MustCompile(`kept in (\S+\.json)`).FindStringSubmatch(stderr)
	require.NotNil(t, path, stderr)
	require.Empty(t, workers(t))
	code, _, stderr = perwatt(t, t.Context(), "verify", path[1])
	require.Equal(t, exitOK, code, stderr)
	rec, err := results.ReadFile(path[1])
	require.NoError(t, err)
	require.Equal(t, results.Interrupted, rec.State)
	require.GreaterOrEqual(t, len(rec.Summary.Rows), 1)
}

func TestKilledHarnessLeavesRecordAndNoOrphan(t *testing.T) {
	dir := t.TempDir()
	wait, signal := launch(t, "run 3/100", append(longRun, dir)...)
	require.Eventually(t, func() bool { return len(workers(t)) > 0 }, 20*time.Second, time.Millisecond)
	signal(syscall.SIGKILL)
	wait()
	require.Eventually(t, func() bool { return len(workers(t)) == 0 }, 10*time.Second, 10*time.Millisecond, "%v", workers(t))
	files, err := filepath.Glob(filepath.Join(dir, "*", "*.json"))
	require.NoError(t, err)
	require.Len(t, files, 1)
	code, stdout, stderr := perwatt(t, t.Context(), "verify", files[0])
	require.Equal(t, exitOK, code, stderr)
	require.Contains(t, stdout, "running")
}
