package main

import (
	"encoding/csv"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results/economics"
)

// The ending of a file selects what a report is written as. The PDF is printed by the
// Chromium on PATH, which is a script here.
func TestReportFiles(t *testing.T) {
	dir, files := candidates(t)
	sheet := filepath.Join(dir, "prices.csv")
	require.NoError(t, os.WriteFile(sheet, []byte(economics.Example()), 0o644))
	write := func(want int, name string, flags ...string) (body, stderr string) {
		t.Helper()
		name = filepath.Join(dir, name)
		argv := append(append([]string{"report", "-o", name}, flags...), files...)
		code, _, stderr := perwatt(t, t.Context(), argv...)
		require.Equal(t, want, code, "%s: %s", name, stderr)
		raw, err := os.ReadFile(name)
		if want != exitOK {
			require.ErrorIs(t, err, os.ErrNotExist)
		}
		return string(raw), stderr
	}
	priced := []string{"--prices", sheet, "--as-of", "2026-02-01"}

	body, _ := write(exitOK, "a.md", priced...)
	require.True(t, strings.HasPrefix(body, "**2 candidates compared**"), body[:60])
	require.NotContains(t, body, "\ufeff")

	// Excel reads UTF-8 only behind a byte order mark; a file of ASCII has none.
	for name, flags := range map[string][]string{"a.CSV": priced, "b.csv": nil} {
		body, _ = write(exitOK, name, flags...)
		text, marked := strings.CutPrefix(body, "\ufeff")
		require.Equal(t, strings.IndexFunc(text, func(r rune) bool { return r > 127 }) >= 0, marked, name)
		rows, err := csv.NewReader(strings.NewReader(text)).ReadAll() // which refuses rows of unequal length
		require.NoError(t, err)
		require.Equal(t, []string{"table", "candidate", "reference", "metric", "value", "low", "high", "unit"}, rows[0][:8])
		for _, row := range rows[1:] {
			require.NotEqual(t, rows[0][0], row[0], "one header")
			require.Regexp(t, `^(-?[0-9.]+(e[+-][0-9]+)?)?$`, row[4], "a value has no unit and no separator")
		}
	}

	_, stderr := write(exitUsage, "a.xlsx")
	require.Contains(t, stderr, "must end in .html, .md, .csv or .pdf")

	bin := t.TempDir()
	t.Setenv("PATH", bin)
	_, stderr = write(exitUsage, "a.pdf")
	require.Contains(t, stderr, "install chromium")
	script := `#!/bin/sh
for a; do case $a in --print-to-pdf=*) out=${a#*=};; file://*) in=${a#file://};; esac; done
read line < "$in" && echo "%PDF $line" > "$out"
`
	require.NoError(t, os.WriteFile(filepath.Join(bin, "chromium"), []byte(script), 0o755))
	body, _ = write(exitOK, "a.pdf")
	require.Equal(t, "%PDF <!doctype html>\n", strings.Replace(strings.ToLower(body), "%pdf", "%PDF", 1))
	require.NoError(t, os.WriteFile(filepath.Join(bin, "chromium"), []byte("#!/bin/sh\necho no display >&2; exit 1\n"), 0o755))
	_, stderr = write(exitData, "c.pdf")
	require.Contains(t, stderr, "no display")
}
