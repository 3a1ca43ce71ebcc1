package chart_test

import (
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results/report/chart"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o777))
		require.NoError(t, os.WriteFile(path, []byte(got), 0o666))
		return
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	if string(want) != got {
		t.Errorf("%s differs from what is drawn: look at it, then go test -update", path)
	}
}

func TestGolden(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(charts())) {
		golden(t, name+".html", string(charts()[name].SVG()))
	}
	golden(t, "chart.css", chart.CSS())
}
