//go:build unix

package store

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
)

// What lies among records and is none costs itself only, and is named: nobody
// waits for it.
func TestStrangers(t *testing.T) {
	s, err := Open(t.TempDir())
	require.NoError(t, err)
	kept, linked := night(1, epoch, 6, 1e9), night(1, epoch.AddDate(0, 0, 1), 6, 1e9)
	path, from := keep(t, s, kept)[0], keep(t, s, linked)[0]
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	at := func(name string) string { return filepath.Join(s.dir, filepath.FromSlash(name)) }
	month := filepath.Base(filepath.Dir(path))
	outside := filepath.Join(t.TempDir(), "record")
	require.NoError(t, os.Rename(from, outside))
	require.NoError(t, os.Symlink(outside, from)) // one that leads to a record is one

	id := func(n byte) string { return month + "/01KDC0000000000000000000A" + string(n) }
	want := map[string]string{}
	for name, why := range map[string]string{
		id('0') + ".json": "it is a FIFO", id('1') + ".json.zst": "it is a FIFO", id('2') + ".partial.json": "it is a FIFO", id('3') + ".amend.json": "it is a FIFO",
	} {
		require.NoError(t, syscall.Mkfifo(at(name), 0o600))
		want[name] = why
	}
	for name, to := range map[string]string{id('4') + ".json": "/nowhere", id('5') + ".json": "/dev/zero", id('6') + ".amend.json": at(id('0') + ".json")} {
		require.NoError(t, os.Symlink(to, at(name)))
		want[name] = map[string]string{"/nowhere": "it is a link that leads nowhere", "/dev/zero": "it is a device"}[to]
		if want[name] == "" {
			want[name] = "it is a FIFO"
		}
	}
	named := "a record is named by its identifier, as perwatt run and import name it"
	ends := "a record ends in .json or .json.zst"
	for name, why := range map[string]string{
		month + "/copy of x.json": named, month + "/" + kept.ID + " (1).json": named, month + "/notes": named, month + "/01kdc0000000000000000000a7.json": named,
		id('8') + ".json.gz": ends, id('9') + ".json.bak": ends, month + "/" + kept.ID + ".json.zst": "the record is here as " + kept.ID + ".json",
		"a.json": "a record lies in the directory of its month, such as 2026-05", "2026-10": "a month is a directory, and this is a file",
	} {
		require.NoError(t, os.WriteFile(at(name), raw, 0o600))
		want[name] = why
	}
	for name, why := range map[string]string{id('B') + ".json": "it is a directory", "2026-13": "", "backup": ""} {
		require.NoError(t, os.Mkdir(at(name), 0o700))
		if want[name] = why; why == "" {
			delete(want, name)
			want[name+"/"] = "records lie in the directory of their month, such as 2026-05"
		}
	}
	for _, hidden := range []string{".DS_Store", month + "/.nfs00000001", month + "/.perwatt-1-2.tmp"} {
		require.NoError(t, os.WriteFile(at(hidden), nil, 0o600))
	}
	entries, err := List(s.dir)
	require.NoError(t, err)
	require.Len(t, entries, 2)

	x := index(t, s)
	check := func(records int) {
		t.Helper()
		require.Len(t, all(t, x.Records(t.Context(), Filter{})), records)
		require.Empty(t, x.Notes())
		require.Empty(t, x.Amendments())
		got := x.Strangers()
		require.Equal(t, len(want), got.N)
		require.Len(t, got.First, min(len(want), firstStrangers))
		for _, g := range got.First {
			require.Equal(t, want[g.Path], g.Why, g.Path)
		}
	}
	check(2)
	require.NoError(t, x.Update(t.Context()))
	check(2)

	// A month that has settled is not read again, and said all the same.
	old := time.Now().Add(-2 * settles)
	require.NoError(t, os.Chtimes(at(month), old, old))
	for range 2 {
		require.NoError(t, x.Update(t.Context()))
		check(2)
	}

	// A copy of a record in another month is none, until it is the only one.
	other := "2031-01"
	require.NoError(t, os.Mkdir(at(other), 0o700))
	copied := other + "/" + kept.ID + ".json"
	require.NoError(t, os.WriteFile(at(copied), raw, 0o600))
	want[copied] = "a copy of the record in " + month
	for range 2 {
		require.NoError(t, x.Update(t.Context()))
		check(2)
		h, err := x.Find(t.Context(), kept.ID)
		require.NoError(t, err)
		require.Equal(t, path, h.Path)
	}
	require.NoError(t, x.Rebuild(t.Context()))
	check(2)
	require.NoError(t, os.Remove(path))
	require.NoError(t, os.Remove(path+".zst"))
	delete(want, copied)
	delete(want, month+"/"+kept.ID+".json.zst")
	for range 2 {
		require.NoError(t, x.Update(t.Context()))
		check(2)
		h, err := x.Find(t.Context(), kept.ID)
		require.NoError(t, err)
		require.Equal(t, at(copied), h.Path)
	}

	// One that takes the place of a record between listing and reading.
	for _, name := range []string{id('0') + ".json", id('3') + ".amend.json"} {
		_, err = results.LoadFile(at(name))
		require.ErrorContains(t, err, "it is a FIFO, not a file")
		_, _, err = readAmendment(at(name))
		require.ErrorContains(t, err, "it is a FIFO, not a file")
		require.Nil(t, hold(at(name)))
	}
}
