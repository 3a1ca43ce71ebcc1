//go:build unix

package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// answers is all that an index says, but for what is kept of series, which may
// be lost with it: kept is that.
func answers(t testing.TB, x *Index) (said, kept string) {
	t.Helper()
	ctx := t.Context()
	var out []any
	keep := map[string]any{}
	for _, f := range []Filter{{Excluded: true}, {}, {Since: epoch.AddDate(0, 0, 2)}, {Labels: map[string]string{"job": "nightly"}}} {
		events, err := x.Events(ctx, f)
		require.NoError(t, err, x.Notes())
		hours, err := x.Hours(ctx, f, epoch.AddDate(1, 0, 0))
		require.NoError(t, err)
		out = append(out, all(t, x.Records(ctx, f)), all(t, x.Series(ctx, f)), events, hours)
	}
	groups, err := x.Groups(ctx)
	require.NoError(t, err)
	nodes, err := x.Nodes(ctx)
	require.NoError(t, err)
	for g := range groups {
		ks, err := x.Kept(ctx, g, Filter{})
		require.NoError(t, err)
		for k, v := range ks {
			keep[fmt.Sprint(k)] = v
		}
	}
	h, err := x.Find(ctx, all(t, x.Records(ctx, Filter{}))[0].ID)
	require.NoError(t, err)
	raw, err := json.Marshal(append(out, groups, nodes, h, x.Amendments(), x.Strangers()))
	require.NoError(t, err)
	keptRaw, err := json.Marshal(keep)
	require.NoError(t, err)
	return string(raw), string(keptRaw)
}

// variety is a store of everything an index holds, in months that have settled,
// and its index, closed.
func variety(t testing.TB) (s *Store, file string, said, kept string) {
	t.Helper()
	s, err := Open(filepath.Join(t.TempDir(), "store"))
	require.NoError(t, err)
	for i := range 3 {
		at := epoch.AddDate(0, 0, 20*i)
		a, b, c := night(1, at, 2, 1e9+float64(i)), night(2, at.Add(time.Hour), 2, 2e9+float64(i)), night(1, at.Add(2*time.Hour), 2, 3e9)
		c.ID, c.Node.Name = strings.Replace(c.ID, "X", "Y", 1), "sibling"
		c.ID = c.ID[:len(c.ID)-1] + "7"
		b.Plan.Labels = map[string]string{"job": "nightly"}
		a.Node.Kernel = fmt.Sprint("6.12.", i)
		c.Node.Settings.Governor = strings.Repeat("x", 20_000) // of more than a page
		keep(t, s, a, b, c)
	}
	entries, err := List(s.dir)
	require.NoError(t, err)
	_, _, err = s.Amend(Amendment{Exclude: entries[1].ID, Reason: "the door was open"})
	require.NoError(t, err)
	_, _, err = s.Amend(Amendment{At: epoch.Add(30 * time.Hour), Reason: "new power supply"})
	require.NoError(t, err)
	months, _, err := months(s.dir)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(s.dir, months[0], "notes.txt"), nil, 0o644))
	for _, m := range months {
		old := time.Now().Add(-2 * settles)
		require.NoError(t, os.Chtimes(filepath.Join(s.dir, m), old, old))
	}
	file = filepath.Join(s.dir, indexName)
	x, err := OpenIndex(t.Context(), s.dir)
	require.NoError(t, err)
	of := map[Key]Kept{}
	for _, s := range all(t, x.Series(t.Context(), Filter{})) {
		of[s.Key] = Kept{epoch.AddDate(1, 0, 0), s.Metric}
	}
	require.NoError(t, x.Keep(t.Context(), Filter{}, of))
	said, kept = answers(t, x)
	require.NoError(t, x.Close())
	require.NoFileExists(t, file+"-wal")
	return s, file, said, kept
}

// read and write the files of an index, all of them.
func readIndex(t testing.TB, file string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for _, suffix := range suffixes {
		raw, err := os.ReadFile(file + suffix)
		if err == nil {
			files[suffix] = raw
		} else {
			require.ErrorIs(t, err, os.ErrNotExist)
		}
	}
	return files
}

func writeIndex(t testing.TB, file string, files map[string][]byte) {
	t.Helper()
	for _, suffix := range suffixes {
		os.Remove(file + suffix)
		if raw, ok := files[suffix]; ok {
			require.NoError(t, os.WriteFile(file+suffix, raw, 0o644))
		}
	}
}

// heals opens a damaged index and requires that it says what the records say.
func heals(t testing.TB, s *Store, said, kept string, what string) (found bool) {
	t.Helper()
	x, err := OpenIndex(t.Context(), s.dir)
	require.NoError(t, err, what)
	defer x.Close()
	got, gotKept := answers(t, x)
	notes := strings.Join(x.Notes(), "\n")
	same(t, said, got, what+"; notes: "+notes)
	found = strings.Contains(notes, "was damaged and is built again: ")
	if gotKept != kept {
		require.Equal(t, "{}", gotKept, what)
	}
	require.Equal(t, filepath.Join(s.dir, indexName), x.Place(), "%s: %s", what, notes)
	return found
}

// same requires that an index says what it ought to, and shows where it does not.
func same(t testing.TB, want, got, what string) {
	t.Helper()
	n := 0
	for n < min(len(want), len(got)) && want[n] == got[n] {
		n++
	}
	require.Equal(t, want[n:min(n+300, len(want))], got[n:min(n+300, len(got))], what)
}

// foreign opens the file of an index as any other program that has SQLite does.
func foreign(t testing.TB, file string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite3", "file:"+(&url.URL{Path: file}).EscapedPath())
	require.NoError(t, err)
	return db
}

func flip(rng *rand.Rand, raw []byte, bits int) {
	for range bits {
		raw[rng.IntN(len(raw))] ^= 1 << rng.IntN(8)
	}
}

// cells lists every value of every table that another program can change.
type cell struct{ table, column, key string }

func cells(t testing.TB, db *sql.DB) (out []cell) {
	t.Helper()
	for table, key := range map[string]string{"groups": "id", "environments": "n", "records": "n", "months": "month", "series": "n",
		"points": "grp||','||start||','||record", "kept": "series||','||node||','||filter"} {
		columns, err := db.Query("SELECT name FROM pragma_table_info(?)", table)
		require.NoError(t, err)
		for columns.Next() {
			var name string
			require.NoError(t, columns.Scan(&name))
			out = append(out, cell{table, name, key})
		}
		require.NoError(t, columns.Err())
	}
	return out
}

// change flips bits of one value, through SQL.
func change(t testing.TB, db *sql.DB, rng *rand.Rand, c cell, bits int) (what string, changed bool) {
	t.Helper()
	var key, kind string
	var raw []byte
	err := db.QueryRow(fmt.Sprintf("SELECT %s, CAST(%s AS BLOB), typeof(%[2]s) FROM %s ORDER BY (%[1]s || ?) LIMIT 1 OFFSET abs(?) %% (SELECT count(*) FROM %[3]s)", c.key, c.column, c.table), "", rng.Int32()).Scan(&key, &raw, &kind)
	require.NoError(t, err)
	var value any
	switch kind {
	case "integer":
		var n int64
		fmt.Sscan(string(raw), &n)
		value = n ^ 1<<rng.IntN(63)
	case "text":
		if len(raw) == 0 {
			raw = []byte{0}
		}
		flip(rng, raw, bits)
		value = string(raw)
	default:
		flip(rng, raw, bits)
		value = raw
	}
	_, err = db.Exec(fmt.Sprintf("UPDATE %s SET %s = ? WHERE %s = ?", c.table, c.column, c.key), value, key)
	return fmt.Sprintf("%s.%s of %s, %d bits", c.table, c.column, key, bits), err == nil // a key that is there already
}

// TestFlippedBits flips 1 to 64 bits of an index, time and again, in its files and
// through SQL: what it says never differs, and what is found is named.
//
//	PERWATT_FLIPS=1000 go test -run TestFlippedBits -v ./results/store
func TestFlippedBits(t *testing.T) {
	trials := 100
	if testing.Short() {
		trials = 15
	}
	if text := os.Getenv("PERWATT_FLIPS"); text != "" {
		n, err := strconv.Atoi(text)
		require.NoError(t, err)
		trials = n
	}
	s, file, said, kept := variety(t)
	good := readIndex(t, file)
	require.Len(t, good, 2)
	require.False(t, heals(t, s, said, kept, "none"))
	db := foreign(t, file)
	places := cells(t, db)
	db.Close()
	rng := rand.New(rand.NewPCG(7, 11))
	found := map[string]int{}
	for n := range trials {
		writeIndex(t, file, good)
		what, bits := "", 1+rng.IntN(64)
		if n%4 == 0 {
			bits = 1
		}
		switch n % 3 {
		case 0:
			raw := append([]byte{}, good[""]...)
			flip(rng, raw, bits)
			what = fmt.Sprint("file, trial ", n)
			require.NoError(t, os.WriteFile(file, raw, 0o644))
		case 1:
			raw := append([]byte{}, good[sumsSuffix]...)
			flip(rng, raw, bits)
			what = fmt.Sprint("digests, trial ", n)
			require.NoError(t, os.WriteFile(file+sumsSuffix, raw, 0o644))
		default:
			db := foreign(t, file)
			var changed bool
			if what, changed = change(t, db, rng, places[rng.IntN(len(places))], bits); !changed {
				what = ""
			}
			require.NoError(t, db.Close())
		}
		if what == "" {
			continue
		}
		if heals(t, s, said, kept, what) {
			found[strings.Split(what, " ")[0]]++
			if n%20 == 0 {
				require.False(t, heals(t, s, said, kept, what), "once is enough")
			}
		}
	}
	t.Log(trials, "found:", found)
}

// TestDamagedFiles damages the files of an index in other ways.
func TestDamagedFiles(t *testing.T) {
	if testing.Short() {
		t.Skip("one goroutine computes for a long time: in the full form only; TestFlippedBits is short")
	}
	s, file, said, kept := variety(t)
	good := readIndex(t, file)
	pages := len(good[""]) / pageSize
	require.Greater(t, pages, 10)
	clone := func() []byte { return append([]byte{}, good[""]...) }
	page := func(raw []byte, n int) []byte { return raw[n*pageSize:][:pageSize] }
	put := func(suffix string, raw []byte) { require.NoError(t, os.WriteFile(file+suffix, raw, 0o644)) }

	// The same index a night and a removed record ago, and another store's.
	writeIndex(t, file, good)
	extra := night(3, epoch.AddDate(0, 0, 45), 2, 5e9)
	extraPath := keep(t, s, extra)[0]
	x := index(t, s)
	require.NoError(t, x.Close())
	older := readIndex(t, file)
	require.NoError(t, os.Remove(extraPath))
	old := time.Now().Add(-2 * settles)
	require.NoError(t, os.Chtimes(filepath.Dir(extraPath), old, old))
	other, _, _ := history(t, 5)
	require.NoError(t, index(t, other).Close())
	others := readIndex(t, filepath.Join(other.dir, indexName))

	for n := range pages {
		raw := clone()
		copy(page(raw, n), page(good[""], (n+1)%pages))
		copy(page(raw, (n+1)%pages), page(good[""], n))
		zero := clone()
		clear(page(zero, n))
		stale := clone()
		if len(older[""]) >= (n+1)*pageSize {
			copy(page(stale, n), page(older[""], n))
		}
		for what, raw := range map[string][]byte{"swapped": raw, "zeros": zero, "stale": stale, "cut off": good[""][:n*pageSize], "cut": good[""][:n*pageSize+777]} {
			if testing.Short() && (n+len(what))%5 != 0 {
				continue
			}
			writeIndex(t, file, good)
			put("", raw)
			found := heals(t, s, said, kept, fmt.Sprint(what, n))
			if what == "swapped" && string(page(good[""], n)) != string(page(good[""], (n+1)%pages)) && n == 0 {
				require.True(t, found)
			}
		}
	}
	for name, c := range map[string]struct {
		damage func()
		named  bool
	}{
		"older, all of it":             {func() { writeIndex(t, file, older) }, false},
		"older, without its digests":   {func() { put("", older[""]) }, true},
		"another store's, all of it":   {func() { writeIndex(t, file, others) }, false},
		"another store's, the file":    {func() { put("", others[""]) }, true},
		"no digests":                   {func() { require.NoError(t, os.Remove(file+sumsSuffix)) }, true},
		"another's log, and no memory": {func() { put("-wal", append([]byte{0x37, 0x7f, 6, 0x82}, good[""]...)) }, false},
		"a rollback journal":           {func() { put("-journal", append([]byte("\xd9\xd5\x05\xf9\x20\xa1\x63\xd7"), good[""]...)) }, false},
		"shared memory":                {func() { put("-shm", good[""]) }, false},
		"empty":                        {func() { put("", nil) }, false},
		"of another page size": {func() {
			db := foreign(t, file)
			_, err := db.Exec("PRAGMA journal_mode=DELETE; PRAGMA page_size=4096; VACUUM")
			require.NoError(t, err)
			require.NoError(t, db.Close())
		}, true},
		"rows that are gone": {func() {
			db := foreign(t, file)
			_, err := db.Exec("DELETE FROM points WHERE record % 2; DELETE FROM records WHERE n = 3; DELETE FROM months")
			require.NoError(t, err)
			require.NoError(t, db.Close())
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			writeIndex(t, file, good)
			c.damage()
			require.Equal(t, c.named, heals(t, s, said, kept, name))
			require.False(t, heals(t, s, said, kept, name), "once is enough")
		})
	}
}

// crashed leaves an index as a process that was killed does: what was written
// last is in the log.
func crashed(t testing.TB, s *Store, file string) map[string][]byte {
	t.Helper()
	x, err := OpenIndex(context.Background(), s.dir)
	require.NoError(t, err)
	defer x.Close()
	_, err = x.db.Exec("PRAGMA wal_autocheckpoint = 0; UPDATE records SET path = path || 'x'; UPDATE records SET path = substr(path, 1, length(path) - 1); UPDATE kept SET text = text || 'x'; UPDATE kept SET text = substr(text, 1, length(text) - 1); UPDATE points SET start = start + 1; UPDATE points SET start = start - 1")
	require.NoError(t, err)
	files := readIndex(t, file)
	require.Greater(t, len(files["-wal"]), 3*frameSize)
	return files
}

// TestDamagedLog damages the log that a killed process left, half of which is in
// the database already.
func TestDamagedLog(t *testing.T) {
	if testing.Short() {
		t.Skip("one goroutine computes for a long time: in the full form only; TestFlippedBits is short")
	}
	s, file, said, kept := variety(t)
	left := crashed(t, s, file)
	writeIndex(t, file, left)
	require.False(t, heals(t, s, said, kept, "as it was left"))
	trials := 40
	rng := rand.New(rand.NewPCG(3, 5))
	damage := map[string]func(){
		"gone":    func() { require.NoError(t, os.Remove(file+"-wal")) },
		"cut off": func() { require.NoError(t, os.Truncate(file+"-wal", int64(logHeader+frameSize+rng.IntN(2*frameSize)))) },
		"empty":   func() { require.NoError(t, os.Truncate(file+"-wal", 0)) },
	}
	for n := range logHeader {
		damage[fmt.Sprint("header ", n)] = func() {
			raw := append([]byte{}, left["-wal"]...)
			raw[n] ^= 1
			require.NoError(t, os.WriteFile(file+"-wal", raw, 0o644))
		}
	}
	for n := range trials {
		damage[fmt.Sprint("flips ", n)] = func() {
			raw := append([]byte{}, left["-wal"]...)
			flip(rng, raw, 1+n%64)
			require.NoError(t, os.WriteFile(file+"-wal", raw, 0o644))
		}
	}
	for what, damage := range damage {
		writeIndex(t, file, left)
		damage()
		require.True(t, heals(t, s, said, kept, what), what)
	}
	// A log of before, when all is in the database.
	writeIndex(t, file, left)
	require.False(t, heals(t, s, said, kept, "as it was left"))
	require.NoError(t, os.WriteFile(file+"-wal", left["-wal"], 0o644))
	require.False(t, heals(t, s, said, kept, "left over"))
}

// What another program writes while the index is open is found, be it in the log
// still, and never said.
func TestDamageUnderReader(t *testing.T) {
	s, file, said, _ := variety(t)
	good := readIndex(t, file)
	for name, query := range map[string]string{
		"a figure": "UPDATE points SET figures = zeroblob(length(figures))",
		"a record": "DELETE FROM records WHERE n = 1",
		"a series": "UPDATE series SET scenario = 'idle'",
		"a name":   "UPDATE environments SET json = replace(json, 'node1', 'node9')",
		"months":   "UPDATE months SET amendments = '[]'",
	} {
		t.Run(name, func(t *testing.T) {
			writeIndex(t, file, good)
			x, err := OpenIndex(t.Context(), s.dir)
			require.NoError(t, err)
			defer x.Close()
			for _, checkpoint := range []string{"", "; PRAGMA wal_checkpoint(PASSIVE)"} {
				db := foreign(t, file)
				_, err = db.Exec(query + checkpoint)
				require.NoError(t, err)
				require.NoError(t, x.Update(t.Context()))
				got, _ := answers(t, x)
				same(t, said, got, name)
				db.Close()
			}
			require.NoError(t, x.Check(t.Context()))
			got, _ := answers(t, x)
			same(t, said, got, name)
			require.Contains(t, strings.Join(x.Notes(), "\n"), "was damaged and is built again")
		})
	}
}

// What stands where the files of an index belong and is none is left alone, and
// keeps nobody waiting.
func TestNoFiles(t *testing.T) {
	s, _, _ := history(t, 2)
	file := filepath.Join(s.dir, indexName)
	target := filepath.Join(t.TempDir(), "target")
	require.NoError(t, os.WriteFile(target, []byte("precious"), 0o644))
	for name, c := range map[string]struct {
		make func(path string) error
		kind string
	}{
		"FIFO":             {func(path string) error { return unix.Mkfifo(path, 0o644) }, "a FIFO"},
		"directory":        {func(path string) error { return os.Mkdir(path, 0o755) }, "a directory"},
		"a full one":       {func(path string) error { return errors.Join(os.Mkdir(path, 0o755), os.Mkdir(path+"/x", 0o755)) }, "a directory"},
		"dangling link":    {func(path string) error { return os.Symlink("nowhere", path) }, "a link"},
		"link":             {func(path string) error { return os.Symlink(target, path) }, "a link"},
		"link to a device": {func(path string) error { return os.Symlink("/dev/zero", path) }, "a link"},
		"link to itself":   {func(path string) error { return os.Symlink(indexName, path) }, "a link"},
	} {
		for _, suffix := range suffixes {
			t.Run(name+suffix, func(t *testing.T) {
				soon(t)
				for _, old := range suffixes {
					os.RemoveAll(file + old)
				}
				require.NoError(t, c.make(file+suffix))
				before, err := os.Lstat(file + suffix)
				require.NoError(t, err)
				x := index(t, s)
				require.Equal(t, []float64{1e9, 1e9 + 1}, rates(t, x, Filter{}))
				require.NoError(t, x.Check(t.Context()))
				require.Contains(t, x.Notes()[0], file+suffix+" is "+c.kind+", and the index is a file: move it away")
				require.Contains(t, x.Place(), "cache")
				x.Close()
				after, err := os.Lstat(file + suffix)
				require.NoError(t, err)
				require.Equal(t, before.Mode(), after.Mode())
			})
		}
	}
	raw, err := os.ReadFile(target)
	require.NoError(t, err)
	require.Equal(t, "precious", string(raw))
}
