package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/compare"
	"github.com/perwatt/perwatt/results/economics"
	"github.com/perwatt/perwatt/results/report"
	"github.com/perwatt/perwatt/results/resultstest"
)

// candidates writes three sessions of two machines that do not exist.
func candidates(t *testing.T) (dir string, files []string) {
	t.Helper()
	dir = t.TempDir()
	for i, n := range []resultstest.Node{resultstest.Server("north", 1), resultstest.Server("south", 1.05)} {
		for s := range 3 {
			raw, err := results.Seal(resultstest.Session(n, s, 6, uint64(i+1)))
			require.NoError(t, err)
			name := filepath.Join(dir, fmt.Sprintf("%s-%d.json", n.Name, s+1))
			require.NoError(t, os.WriteFile(name, raw, 0o644))
			files = append(files, name)
		}
	}
	return dir, files
}

// A buyer compares records, asks where a figure is from, and writes a page.
func TestBuyer(t *testing.T) {
	dir, files := candidates(t)
	run := func(want int, argv ...string) (string, string) {
		t.Helper()
		code, stdout, stderr := perwatt(t, t.Context(), argv...)
		require.Equal(t, want, code, "%v: %s", argv, stderr)
		return stdout, stderr
	}
	for _, format := range report.Formats() {
		out, _ := run(exitOK, append([]string{"compare", "--format", string(format)}, files...)...)
		require.Contains(t, out, "south", format)
	}
	text, _ := run(exitOK, append([]string{"compare"}, files...)...)
	require.Contains(t, text, "Most work per joule: south (")
	require.Less(t, strings.Index(text, "Most work per joule"), strings.Index(text, "place"), "the verdict comes first")
	require.Contains(t, text, "wall · measured · C")

	out, _ := run(exitOK, append([]string{"compare", "--format", "json", "--reference", "south"}, files...)...)
	var c compare.Comparison
	require.NoError(t, json.Unmarshal([]byte(out), &c))
	require.Equal(t, "south", c.Reference)

	out, _ = run(exitOK, append([]string{"explain", "south/mining/mining/index"}, files...)...)
	require.Contains(t, out, "work per energy of the candidate ÷ that of the reference")
	require.Contains(t, out, "north-1.json")
	_, stderr := run(exitUsage, append([]string{"explain", "south/mining/mining/nothing"}, files...)...)
	require.Contains(t, stderr, "there are south/mining/mining/throughput")

	sheet := filepath.Join(dir, "prices.csv")
	require.NoError(t, os.WriteFile(sheet, []byte(economics.Example()), 0o644))
	page := filepath.Join(dir, "report.html")
	argv := append([]string{"report", "-o", page, "--prices", sheet, "--as-of", "2026-02-01"}, files...)
	out, _ = run(exitOK, argv...)
	require.Equal(t, page+"\n", out)
	first, err := os.ReadFile(page)
	require.NoError(t, err)
	run(exitOK, argv...)
	again, err := os.ReadFile(page)
	require.NoError(t, err)
	require.Equal(t, first, again, "same input, same bytes")
	for _, want := range []string{"Mining, $/MWh connected", "Price sheet", "Method and disclosure", `data-figure="south/mining/mining/index"`, "--as-of 2026-02-01"} {
		require.True(t, strings.Contains(string(first), want), want)
	}
	for _, kind := range []string{"md", "csv"} {
		run(exitOK, append([]string{"report", "-o", filepath.Join(dir, "report."+kind)}, files...)...)
	}
	out, _ = run(exitOK, append([]string{"explain", "economics/mining/south/margin", "--prices", sheet, "--as-of", "2026-02-01"}, files...)...)
	require.Contains(t, out, "pool_fee")

	// The figures of a comparison with prices are those of the page and of
	// explain: to the last digit in JSON, to the character where printed.
	priced := append([]string{"--prices", sheet, "--as-of", "2026-02-01"}, files...)
	out, _ = run(exitOK, append([]string{"compare", "--format", "json"}, priced...)...)
	var both struct {
		compare.Comparison
		Economics economics.Result
	}
	require.NoError(t, json.Unmarshal([]byte(out), &both))
	require.Equal(t, "north", both.Reference)
	markdown, _ := run(exitOK, append([]string{"compare", "--format", "markdown"}, priced...)...)
	for _, id := range []string{"economics/mining/south/margin", "economics/bitcoin/antminer-s21/cost", "economics/retrofit/antminer-s21/rent"} {
		want, ok := both.Economics.Figure(id)
		require.True(t, ok, id)
		out, _ = run(exitOK, append([]string{"explain", id}, priced...)...)
		var got struct {
			results.Figure
			Printed, Formula string
			Inputs           []struct {
				Name, Printed string
				results.Figure
			}
		}
		require.NoError(t, json.Unmarshal([]byte(out), &got))
		require.Equal(t, fmt.Sprint(want.Figure), fmt.Sprint(got.Figure), id)
		require.Equal(t, want.Formula, got.Formula)
		require.Len(t, got.Inputs, len(want.Inputs))
		// A table has the unit in its head, or behind a number that is far larger
		// than the others of the column.
		page := strings.NewReplacer(`\~`, "~", `\$`, "$").Replace(markdown)
		page = strings.ReplaceAll(page, " "+string(got.Unit)+" [", " [")
		require.Contains(t, page, "| "+strings.TrimSuffix(got.Printed, " "+string(got.Unit))+" |", id)
	}

	_, stderr = run(exitUsage, append([]string{"report", "-o", "page.doc"}, files...)...)
	require.Contains(t, stderr, "must end in .html, .md, .csv or .pdf")
	_, stderr = run(exitUsage, append([]string{"report"}, files...)...)
	require.Contains(t, stderr, "say with -o which file to write")
	_, stderr = run(exitUsage, append([]string{"compare", "--reference", "west"}, files...)...)
	require.Contains(t, stderr, "there are north, south")
	raw, err := os.ReadFile(files[0])
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(files[0], []byte(strings.Replace(string(raw), `"shani"`, `"shina"`, 1)), 0o644))
	_, stderr = run(exitData, append([]string{"compare"}, files...)...)
	require.Contains(t, stderr, "do not use it")
	_, stderr = run(exitData, "compare", filepath.Join(dir, "none.json"))
	require.Contains(t, stderr, "none.json")
}
