package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/resultstest"
)

// derivations does something and returns how often a summary was derived from each
// record meanwhile. A record that is being measured changes with each run: it is
// another one after it.
func derivations(do func()) map[string]int {
	var mu sync.Mutex
	count := map[string]int{}
	results.OnDerive = func(rec *results.Record) {
		mu.Lock()
		defer mu.Unlock()
		count[fmt.Sprintf("%s with %d runs, %s until %v", rec.ID, len(rec.Runs), rec.State, rec.End)]++
	}
	defer func() { results.OnDerive = nil }()
	do()
	return count
}

// Deriving is most of the work on a record, so that a command does it once for
// each, at most. There are these exceptions:
//
//   - run and pool derive a record again after each run or look, because what was
//     kept of a session that is killed is a whole record: another one each time.
//   - serve reads the records of a page when it is asked for one. It cannot hold all
//     of them, and what it took into the index may have been amended since.
//   - show of a record that has just been amended, and is new to the index, derives
//     it with the runs that are excluded and without them: two summaries.
func TestARecordIsDerivedOnce(t *testing.T) {
	if testing.Short() {
		t.Skip("no goroutines of ours")
	}
	dir := t.TempDir()
	node := resultstest.Server("a1", 1)
	nights(t, dir, node, 3, func(int, *resultstest.Node) string { return "abc" })
	files, err := filepath.Glob(filepath.Join(dir, "*", "*.json"))
	require.NoError(t, err)
	require.Len(t, files, 3)
	id := strings.TrimSuffix(filepath.Base(files[1]), ".json")
	old, err := os.ReadFile("../../results/testdata/record-v1.json")
	require.NoError(t, err)
	version1 := filepath.Join(t.TempDir(), "v1.json")
	require.NoError(t, os.WriteFile(version1, old, 0o644))
	page := filepath.Join(t.TempDir(), "page.html")

	for _, c := range []struct {
		name    string
		argv    []string
		records int  // from which a summary is derived
		indexed bool // and which are in the index by then
	}{
		{"show of a new record", []string{"show", id}, 3, false},
		{"show", []string{"show", id}, 1, true},
		{"compare", append([]string{"compare"}, files...), 3, false},
		{"compare as bench lines", append([]string{"compare", "--format", "bench"}, files...), 3, false},
		{"report", append([]string{"report", "-o", page}, files...), 3, false},
		{"verify", append([]string{"verify", "--rules", results.RuleSets()[0]}, files...), 3, false},
		{"verify of version 1", []string{"verify", version1}, 1, false},
		{"explain", append([]string{"explain", "a1/mining/mining/work_per_energy"}, files...), 3, false},
		{"track of new records", []string{"track"}, 3, false},
		{"track", []string{"track", "--audit"}, 0, true},
		{"ls of new records", []string{"ls"}, 3, false},
		{"ls", []string{"ls"}, 0, true},
		{"index", []string{"index"}, 0, true},
		{"a new index", []string{"index", "--rebuild"}, 3, true},
		{"amend", []string{"amend", id + "/mining/1", "--exclude", "a backup ran"}, 0, true},
		{"what was amended", []string{"ls"}, 1, true},
		{"show of what was amended", []string{"show", id}, 1, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if !c.indexed {
				require.NoError(t, os.RemoveAll(filepath.Join(dir, "index.sqlite")))
			}
			t.Setenv("PERWATT_STORE", dir)
			count := derivations(func() {
				code, _, stderr := perwatt(t, t.Context(), c.argv...)
				require.Contains(t, []int{exitOK, exitGate}, code, stderr) // a verdict is not asked for here
			})
			require.Len(t, count, c.records)
			for rec, n := range count {
				require.Equal(t, 1, n, rec)
			}
		})
	}

	t.Run("serve", func(t *testing.T) {
		ctx, interrupt := context.WithCancel(t.Context())
		out, stdout := io.Pipe()
		ended := make(chan int, 1)
		go func() {
			ended <- run(ctx, []string{"serve", "--store", dir, "--listen", "127.0.0.1:0"}, stdout, io.Discard)
		}()
		line, err := bufio.NewReader(out).ReadString('\n')
		require.NoError(t, err)
		get := func(page string) map[string]int {
			return derivations(func() {
				r, err := http.Get(strings.TrimSpace(line) + page)
				require.NoError(t, err)
				defer r.Body.Close()
				body, err := io.ReadAll(r.Body)
				require.NoError(t, err)
				require.Equal(t, http.StatusOK, r.StatusCode, "%s", body)
			})
		}
		require.Empty(t, get("records.html"))
		shown := get("report.html?r=" + id)
		require.Len(t, shown, 1)
		for rec, n := range shown {
			require.Equal(t, 1, n, rec)
		}
		interrupt()
		require.Equal(t, exitOK, <-ended)
	})

	t.Run("run", func(t *testing.T) {
		count := derivations(func() {
			code, _, stderr := perwatt(t, t.Context(), "run", "--preset", "smoke", "--uses", "control", "--sessions", "2", "--threads", "1", "--window", "200ms", "--warmup", "200ms", "--interval", "20ms",
				"--meter", "model", "--store", t.TempDir(), "--report", filepath.Join(t.TempDir(), "page.html"))
			require.Equal(t, exitOK, code, stderr)
		})
		require.Len(t, count, 4, "two sessions of two runs: %v", count)
		for rec, n := range count {
			require.Equal(t, 1, n, rec)
		}
	})

	t.Run("pool", func(t *testing.T) {
		count := derivations(func() {
			p := play(t, "--duration", "2s")
			p.miner("rig.1", random())
			code, _ := p.wait()
			require.Equal(t, exitOK, code, &p.stderr)
		})
		require.NotEmpty(t, count)
		for rec, n := range count {
			require.Equal(t, 1, n, rec)
		}
	})
}
