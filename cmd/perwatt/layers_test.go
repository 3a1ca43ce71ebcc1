package main

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/perwatt/perwatt/"

// allowed says which of our packages may be imported from a package (both
// relative to the module). Data flows kernels → bench → harness → results →
// cmd; an import goes to the owner of the noun.
func allowed(from, to string) bool {
	in := func(p, room string) bool { return p == room || strings.HasPrefix(p, room+"/") }
	switch {
	case in(from, "cmd"), path.Base(from) == "all" && in(to, path.Dir(from)):
		return true
	case to == "results":
		return !in(from, "kernels") && from != "results"
	case from == "kernels/device", from == "results":
		return false
	case in(from, "kernels/device/devicetest"):
		return in(to, "kernels")
	case in(from, "kernels/device"):
		return to == "kernels/device" || (to == "kernels/device/foreign" || to == "kernels/device/driver") && from != to
	case in(from, "kernels"):
		return in(to, "kernels/device") || to == "kernels" && from != to
	case in(from, "results/report/chart"), in(from, "results/report/table"):
		return from == "results/report/chart" && to == "results/report/table"
	case from == "results/report" && in(to, from):
		return true // the rooms inside report are its own
	case from == "results/site/sitetest":
		return to == "results/site" || to == "results/store"
	case in(from, "results"):
		// Siblings only downstream: stats ← compare ← economics, and track, ← report ← serve.
		order := map[string]int{"results/stats": 1, "results/store": 1, "results/compare": 2, "results/track": 2, "results/economics": 3, "results/site": 4, "results/report": 5, "results/serve": 6}
		if from == "results/economics" && to == "results/track" {
			return false
		}
		return order[to] != 0 && order[to] < order[from]
	case from == "bench/peers":
		return in(to, "bench") || in(to, "kernels") // a command: it opens workloads
	case from == "bench":
		return to == "kernels/device"
	case in(from, "bench"):
		return to == "bench" || in(to, "kernels")
	case from == "harness/endpoint":
		return false
	case from == "harness/fleet/ssh/sshtest" && to == "harness/power/powertest":
		return true
	case in(from, "harness/fleet"):
		return to == "results/site" || to == "harness/fleet" && from != to
	case in(from, "harness/power"):
		return from == "harness/power/nvml" && to == "kernels/device/foreign" || to == "harness/endpoint" || to == "harness/power" && from != to
	case in(from, "harness/miner"):
		return to == "harness/endpoint" || to == "harness/miner" && from != to
	case from == "harness":
		return to == "bench" || to == "kernels/device" || to == "harness/power" || to == "harness/miner"
	}
	return false
}

func TestLayers(t *testing.T) {
	seen := 0
	require.NoError(t, filepath.WalkDir("../..", func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() && !strings.HasSuffix(name, ".go") {
			return err
		}
		if d.IsDir() {
			if base := d.Name(); strings.HasPrefix(base, "_") || base == "testdata" || strings.HasPrefix(base, ".") && len(base) > 2 {
				return filepath.SkipDir
			}
			return nil
		}
		from := filepath.ToSlash(strings.TrimPrefix(filepath.Dir(name), "../../"))
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		// External tests stand outside the room they test.
		if strings.HasSuffix(name, "_test.go") && strings.HasSuffix(file.Name.Name, "_test") {
			return nil
		}
		for _, im := range file.Imports {
			to, err := strconv.Unquote(im.Path.Value)
			if err != nil {
				return err
			}
			if strings.HasPrefix(to, "gorgonia.org/") && from != "bench/training" {
				t.Errorf("%s imports %s: bench/training is the only importer of Gorgonia", name, to)
			}
			rel, ours := strings.CutPrefix(to, module)
			if !ours {
				continue
			}
			seen++
			if strings.HasSuffix(name, "_test.go") && (strings.HasSuffix(rel, "test") || rel == "results/schema" || rel == "harness/power/fake") {
				continue // tests may use the conformance suites, the schema and the fake meter
			}
			if !allowed(from, rel) {
				t.Errorf("%s: %s may not import %s", name, from, rel)
			}
		}
		return nil
	}))
	require.Greater(t, seen, 10, "the walk must have seen the project's imports")
}

func TestLayerRules(t *testing.T) {
	for _, c := range []struct {
		from, to string
		want     bool
	}{
		{"kernels/sha256d", "results", false},
		{"kernels/sha256d", "kernels", true},
		{"kernels/sha256d", "kernels/device", true},
		{"kernels/sha256d", "kernels/sgemm", false},
		{"kernels", "kernels/sha256d", false},
		{"kernels/device", "kernels", false},
		{"kernels/device/cpu", "kernels/device", true},
		{"kernels/device/cpu", "kernels", false},
		{"kernels/device/hip", "kernels/device/driver", true},
		{"kernels/device/hip", "kernels/device/cuda", false},
		{"kernels/device/cpu", "kernels/device/all", false},
		{"kernels/device/all", "kernels/device/cpu", true},
		{"kernels/device/all", "kernels", false},
		{"results", "results/stats", false},
		{"results/report", "results/compare", true},
		{"results/economics", "results/compare", true},
		{"results/compare", "results/economics", false},
		{"results/economics", "results/track", false},
		{"results/compare", "results/report", false},
		{"results/report", "harness", false},
		{"results/report", "results/site", true},
		{"results/site", "results/economics", true},
		{"results/site", "results/report", false},
		{"results/site/sitetest", "results/site", true},
		{"results/site/sitetest", "results/report", false},
		{"results/report", "results/report/chart", true},
		{"results/report/chart", "results", true},
		{"results/report/chart", "results/report", false},
		{"results/report/chart", "results/report/table", true},
		{"results/report/table", "results/report/chart", false},
		{"results/compare", "results/report/chart", false},
		{"bench", "kernels/sha256d", false},
		{"bench", "results", true},
		{"bench", "kernels/device", true},
		{"bench", "kernels/device/cpu", false},
		{"bench/hashscan", "kernels/device/cpu", true},
		{"bench/hashscan", "kernels/sha256d", true},
		{"bench/hashscan", "bench/matmul", false},
		{"bench/all", "bench/hashscan", true},
		{"bench/peers", "bench/all", true},
		{"bench/peers", "harness", false},
		{"harness", "harness/power", true},
		{"harness", "harness/power/rapl", false},
		{"harness", "kernels/device", true},
		{"harness", "kernels/device/cpu", false},
		{"harness", "kernels/sgemm", false},
		{"harness", "bench/hashscan", false},
		{"harness/power/all", "harness/power/rapl", true},
		{"harness/power/rapl", "harness/power", true},
		{"harness/power/rapl", "bench", false},
		{"harness/power/nvml", "kernels/device/foreign", true},
		{"harness/power/nvml", "kernels/device", false},
		{"harness/power/rapl", "kernels/device/foreign", false},
		{"harness/power", "harness/endpoint", true},
		{"harness/endpoint", "harness/power", false},
		{"harness/miner/axeos", "harness/miner", true},
		{"harness/miner/axeos", "harness/endpoint", true},
		{"harness/miner/axeos", "harness/power", false},
		{"harness/miner/all", "harness/miner/axeos", true},
		{"harness", "harness/miner", true},
		{"harness", "harness/miner/axeos", false},
		{"cmd/perwatt", "bench/all", true},
	} {
		require.Equal(t, c.want, allowed(c.from, c.to), "%s → %s", c.from, c.to)
	}
}
