package fleettest

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/harness/fleet"
	"github.com/perwatt/perwatt/results"
)

// Suite is what an engine is tested with.
type Suite struct {
	Engine fleet.Engine
	Dir    string   // for attempts; where jobs write, if the engine shares a file system with them
	Args   []string // of a short perwatt run on a node, a few seconds at most
	Long   []string // of one that goes on until it is cancelled
	Period time.Duration
}

// TestEngine tests what package fleet relies on: a stable list of nodes; a job that is
// submitted to one of them, seen until its end and fetched, with its record; one that is
// cancelled; and words that can be shown.
func TestEngine(t *testing.T, s Suite) {
	ctx := t.Context()
	hosts, err := s.Engine.Nodes(ctx)
	require.NoError(t, err)
	again, err := s.Engine.Nodes(ctx)
	require.NoError(t, err)
	require.Len(t, again, len(hosts), "the list of nodes is stable")
	seen := map[string]bool{}
	var can []fleet.Host
	for i, h := range hosts {
		require.NoError(t, fleet.CheckNode(h.Name))
		require.Equal(t, h.Name, again[i].Name, "and so is its order")
		require.False(t, seen[h.Name], "%s is listed twice", h.Name)
		seen[h.Name] = true
		if h.Absent == "" {
			can = append(can, h)
		} else {
			shown(t, h.Absent, h.More)
		}
	}
	require.NotEmpty(t, can, "one node must be able to run a job")

	const name = "suite"
	job := func(attempt int, args []string) fleet.Job {
		j := fleet.Job{Fleet: name, Node: can[0].Node, Attempt: attempt, Dir: t.TempDir(), Limit: 10 * time.Minute}
		if s.Dir != "" {
			j.Dir = filepath.Join(s.Dir, fmt.Sprint(attempt))
			require.NoError(t, os.MkdirAll(j.Dir, 0o755))
		}
		j.Args = append(append([]string{"run"}, args...), "--fleet", fmt.Sprintf("run=%s,node=%s,attempt=%d", name, j.Node.Name, attempt))
		return j
	}

	// A job that ends leaves its record.
	func() {
		j := job(1, s.Args)
		j.ID, err = s.Engine.Submit(ctx, j)
		require.NoError(t, err)
		require.NotEmpty(t, j.ID)
		s.end(t, j.ID)
		for range 2 { // what is there is not brought again
			require.NoError(t, s.Engine.Fetch(ctx, j))
		}
		files := recordsIn(t, j.Dir)
		require.Len(t, files, 1)
		f, err := results.LoadFile(files[0])
		require.NoError(t, err)
		require.Empty(t, f.Verify())
		require.Equal(t, results.Complete, f.Record.State)
		require.Equal(t, &results.Fleet{Run: name, Node: j.Node.Name, Attempt: 1}, f.Record.Plan.Fleet)
	}()
	// One that is cancelled ends, and leaves no finished record.
	func() {
		j := job(2, s.Long)
		j.ID, err = s.Engine.Submit(ctx, j)
		require.NoError(t, err)
		require.NoError(t, s.Engine.Cancel(ctx, []string{j.ID}))
		s.end(t, j.ID)
		require.NoError(t, s.Engine.Cancel(ctx, []string{j.ID}), "what has ended is no error")
		require.NoError(t, s.Engine.Fetch(ctx, j), "nothing to bring is none either")
		for _, f := range recordsIn(t, j.Dir) {
			rec, err := results.ReadFile(f)
			require.NoError(t, err)
			require.NotEqual(t, results.Complete, rec.State)
		}
		reason, more := s.Engine.Explain(ctx, j)
		require.NotEmpty(t, reason)
		shown(t, reason, more)
	}()
	cut, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := s.Engine.Jobs(cut, nil); err != nil {
		require.ErrorIs(t, err, context.Canceled)
	}
}

// end waits until the engine says that a job has ended, or knows it no more.
func (s Suite) end(t *testing.T, id string) {
	t.Helper()
	var last fleet.JobState
	for range 1000 {
		jobs, err := s.Engine.Jobs(t.Context(), []string{id})
		require.NoError(t, err)
		state, known := jobs[id]
		if !known || state.Phase == fleet.Ended {
			return
		}
		require.GreaterOrEqual(t, state.Phase, last.Phase, "a job does not go back")
		last = state
		time.Sleep(max(s.Period, time.Millisecond))
	}
	t.Fatalf("job %s does not end: %+v", id, last)
}

func recordsIn(t *testing.T, dir string) (files []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if strings.HasSuffix(path, ".json") && !strings.HasSuffix(path, ".partial.json") {
			files = append(files, path)
		}
		return err
	}))
	return files
}

// shown requires words that can stand in a table.
func shown(t *testing.T, words ...string) {
	t.Helper()
	for _, w := range words {
		require.Equal(t, results.Line(w, 2000), w)
	}
}
