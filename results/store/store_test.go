//go:build unix

package store

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/perwatt/perwatt/results"
)

const id = "01KDYBS1CY0000000000000000"

var start = time.Date(2026, 1, 31, 23, 30, 0, 0, time.FixedZone("", -3600)) // February in UTC

// version returns a record that says which version of itself it is.
func version(n int) *results.Record {
	return &results.Record{Schema: results.SchemaVersion, ID: id, State: results.Running, Start: start, End: start, Plan: results.Plan{Rounds: n}}
}

func open(t *testing.T) (*Store, string) {
	dir := filepath.Join(t.TempDir(), "a", "store [1]*")
	s, err := Open(dir)
	require.NoError(t, err)
	return s, dir
}

func rounds(t *testing.T, path string) int {
	t.Helper()
	f, err := results.LoadFile(path)
	require.NoError(t, err)
	require.Empty(t, f.Verify())
	return f.Record.Plan.Rounds
}

// files returns every file under dir, temporary ones included.
func files(t *testing.T, dir string) (names []string) {
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			name, _ := filepath.Rel(dir, path)
			names = append(names, filepath.ToSlash(name))
		}
		return err
	}))
	return names
}

func TestSession(t *testing.T) {
	for _, compressed := range []bool{false, true} {
		t.Run(fmt.Sprint("compressed ", compressed), func(t *testing.T) {
			s, dir := open(t)
			d, err := s.Create(id, start, compressed)
			require.NoError(t, err)
			require.Empty(t, files(t, dir))
			for n := 1; n <= 3; n++ {
				path, err := d.save(version(n))
				require.NoError(t, err)
				require.Equal(t, n, rounds(t, path))
				require.Equal(t, []string{"2026-02/" + id + ".partial.json"}, files(t, dir))
			}
			entries, err := List(s.dir)
			require.NoError(t, err)
			require.Len(t, entries, 1)
			require.True(t, entries[0].Partial)

			path, err := d.commit(version(4))
			require.NoError(t, err)
			require.Equal(t, 4, rounds(t, path))
			want := "2026-02/" + id + map[bool]string{false: ".json", true: ".json.zst"}[compressed]
			require.Equal(t, []string{want}, files(t, dir))
			info, err := os.Stat(path)
			require.NoError(t, err)
			entries, err = List(dir)
			require.NoError(t, err)
			require.Equal(t, []Entry{{ID: id, Path: path, Size: info.Size(), Modified: info.ModTime()}}, entries)
		})
	}
}

func TestFinishedRecordsAreNeverOverwritten(t *testing.T) {
	for _, compressed := range []bool{false, true} {
		s, dir := open(t)
		other, err := s.Create(id, start, !compressed)
		require.NoError(t, err)
		d, err := s.Create(id, start, compressed)
		require.NoError(t, err)
		path, err := d.commit(version(1))
		require.NoError(t, err)
		for _, again := range []*Draft{d, other} {
			_, err = again.commit(version(2))
			require.ErrorIs(t, err, fs.ErrExist)
			require.ErrorContains(t, err, path+": file already exists: a finished record is never overwritten")
		}
		_, err = s.Create(id, start, false)
		require.ErrorIs(t, err, fs.ErrExist)
		require.Equal(t, 1, rounds(t, path))
		require.Len(t, files(t, dir), 1)
	}
}

// TestOneOfManyCommits: of writers that find the name free at the same time,
// one gets it.
func TestOneOfManyCommits(t *testing.T) {
	s, dir := open(t)
	drafts, errs := make([]*Draft, 8), make([]error, 8)
	for i := range drafts {
		var err error
		drafts[i], err = s.Create(id, start, false)
		require.NoError(t, err)
	}
	var wg sync.WaitGroup
	for i, d := range drafts {
		wg.Go(func() { _, errs[i] = d.commit(version(i)) })
	}
	wg.Wait()
	won := 0
	for i, err := range errs {
		if err == nil {
			won++
			entries, err := List(s.dir)
			require.NoError(t, err)
			require.Equal(t, i, rounds(t, entries[0].Path))
		} else {
			require.ErrorIs(t, err, fs.ErrExist)
		}
	}
	require.Equal(t, 1, won)
	require.Len(t, files(t, dir), 1)
}

// TestPublish: by a rename where there is one that does not replace, else by a hard link.
func TestPublish(t *testing.T) {
	dir, rename := t.TempDir(), renameNew
	defer func() { renameNew = rename }()
	for _, c := range []struct {
		name   string
		rename func(string, string) error
	}{
		{"rename", rename},
		{"link", func(string, string) error { return errors.ErrUnsupported }},
	} {
		renameNew = c.rename
		tmp, path := filepath.Join(dir, "tmp"), filepath.Join(dir, c.name)
		for _, text := range []string{"1", "2"} {
			require.NoError(t, os.WriteFile(tmp, []byte(text), 0o644))
			if err := publish(tmp, path); text == "1" {
				require.NoError(t, err, c.name)
			} else {
				require.ErrorIs(t, err, fs.ErrExist, c.name)
			}
			require.NoFileExists(t, tmp, c.name)
		}
		got, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, "1", string(got), c.name)
		require.ErrorIs(t, publish(tmp, filepath.Join(dir, "free")), fs.ErrNotExist, c.name)
	}
}

func TestCreateRefusesNames(t *testing.T) {
	s, dir := open(t)
	for _, bad := range []string{"", "a", "../../etc/passwd", strings.ToLower(id), id + "0", "81KDYBS1CY0000000000000000"} {
		_, err := s.Create(bad, start, false)
		require.ErrorContains(t, err, "is no name for a record", bad)
	}
	require.Empty(t, files(t, dir))
}

func TestWhatCannotBeSealedIsNotSaved(t *testing.T) {
	s, dir := open(t)
	d, err := s.Create(id, start, false)
	require.NoError(t, err)
	bad := version(1)
	bad.State = "bad"
	_, err = d.save(bad)
	require.ErrorContains(t, err, "/state")
	_, err = d.commit(bad)
	require.ErrorContains(t, err, "/state")
	require.Empty(t, files(t, dir))
}

func TestOpenNamesTheCure(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o644))
	for _, dir := range []string{file, filepath.Join(file, "below")} {
		_, err := Open(dir)
		require.ErrorContains(t, err, "store: make "+dir)
		require.ErrorContains(t, err, "a file stands where a directory belongs: move it away, or name another directory with --store or PERWATT_STORE")
	}
	_, err := List(filepath.Join(t.TempDir(), "none"))
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.ErrorContains(t, err, "--store or PERWATT_STORE")
}

func TestOpenSweeps(t *testing.T) {
	s, dir := open(t)
	d, err := s.Create(id, start, false)
	require.NoError(t, err)
	saved, err := d.save(version(1))
	require.NoError(t, err)
	month := filepath.Dir(saved)
	old := time.Now().Add(-25 * time.Hour)
	for name, keep := range map[string]bool{".perwatt-1-2.tmp": false, "note.tmp": true, ".perwatt-notes": true} {
		for _, in := range []string{dir, month} {
			path := filepath.Join(in, name)
			require.NoError(t, os.WriteFile(path, nil, 0o644))
			require.NoError(t, os.Chtimes(path, old, old))
			t.Cleanup(func() { require.Equal(t, keep, exists(path), path) })
		}
	}
	young := filepath.Join(month, ".perwatt-3-4.tmp")
	require.NoError(t, os.WriteFile(young, nil, 0o644))
	require.NoError(t, os.Chtimes(saved, old, old))
	_, err = Open(dir)
	require.NoError(t, err)
	require.FileExists(t, young, "its writer may be alive")
	require.FileExists(t, saved)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func TestListPassesOverStrangers(t *testing.T) {
	s, dir := open(t)
	ids := []string{"01KDYBS1CY0000000000000003", "01KDYBS1CY0000000000000001", "01KDYBS1CY0000000000000002"}
	for i, id := range ids {
		d, err := s.Create(id, start.AddDate(0, -i, 0), i == 0)
		require.NoError(t, err)
		_, err = d.commit(version(i))
		require.NoError(t, err)
	}
	month := filepath.Join(dir, "2026-02")
	for _, name := range []string{"index.db", "2026-02/notes.json", "2026-02/" + ids[0] + ".json.bak", "2026-02/" + id + ".txt"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), nil, 0o644))
	}
	require.NoError(t, os.Mkdir(filepath.Join(dir, "other"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "other", ids[0]+".json"), nil, 0o644))
	// A session that was killed after it had finished its record.
	require.NoError(t, os.WriteFile(filepath.Join(month, ids[0]+".partial.json"), nil, 0o644))
	entries, err := List(s.dir)
	require.NoError(t, err)
	var got []string
	for _, e := range entries {
		require.False(t, e.Partial)
		got = append(got, e.ID)
	}
	require.Equal(t, []string{ids[1], ids[2], ids[0]}, got)
}

func TestDir(t *testing.T) {
	home := t.TempDir()
	for _, c := range []struct{ store, data, home, want string }{
		{"/s", "/d", "/h", "/s"},
		{"", "/d", "/h", "/d/perwatt"},
		{"", "d", home, home + "/.local/share/perwatt"},
		{"", "", home, home + "/.local/share/perwatt"},
	} {
		t.Setenv("PERWATT_STORE", c.store)
		t.Setenv("XDG_DATA_HOME", c.data)
		t.Setenv("HOME", c.home)
		got, err := Dir()
		require.NoError(t, err)
		require.Equal(t, c.want, got)
	}
	t.Setenv("HOME", "")
	_, err := Dir()
	require.ErrorContains(t, err, "HOME is not defined: set PERWATT_STORE, or name one with --store")
}

// The test program runs itself as a writer that comes to grief.
const childEnv, childDir = "STORE_TEST_CHILD", "STORE_TEST_DIR"

func TestMain(m *testing.M) {
	if grief := os.Getenv(childEnv); grief != "" {
		play := child
		switch {
		case grief == "write for ever":
			play = writeForEver
		case grief == "read for ever":
			play = readForEver
		case strings.HasPrefix(grief, "take, "):
			play = takeMany
		case strings.HasPrefix(grief, "version "):
			play = rebuildInTurn
		}
		if err := play(grief, os.Getenv(childDir)); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// TestSyncsAreShared: of goroutines that wait for names at the same time, each gets a sync
// that began after its name was there, or its error, and all of them share few.
func TestSyncsAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var named, covered, calls atomic.Int64
		broken := errors.New("broken")
		s := newSyncs(func(dir string) error {
			before := named.Load()
			calls.Add(1)
			time.Sleep(time.Second)
			covered.Store(before)
			if dir == "bad" {
				return broken
			}
			return nil
		})
		var all sync.WaitGroup
		for i := range 200 {
			all.Go(func() {
				time.Sleep(time.Duration(i) * 10 * time.Millisecond)
				mine := named.Add(1)
				require.NoError(t, s.sync("good"))
				require.GreaterOrEqual(t, covered.Load(), mine)
			})
		}
		all.Wait()
		require.LessOrEqual(t, calls.Load(), int64(4), "two seconds of names, a second a sync")
		require.ErrorIs(t, s.sync("bad"), broken)
		require.NoError(t, s.sync("good"))
	})
}

// child saves two versions of a record and commits a third, and says so as
// soon as each is done.
func child(grief, dir string) error {
	left := -1
	if _, err := fmt.Sscanf(grief, "kill after step %d", &left); err == nil {
		step = func(string) {
			if left--; left == 0 {
				kill()
			}
		}
	}
	s, err := Open(dir)
	if err != nil {
		return err
	}
	d, err := s.Create(id, start, true)
	if err != nil {
		return err
	}
	for n := 1; n <= 3; n++ {
		rec := version(n)
		if n == 2 && grief == "file size limit" {
			limitFileSize(8 << 10)
			rec.Plan.Labels = map[string]string{"note": strings.Repeat("x", 64<<10)}
		}
		write := d.save
		if n == 3 {
			write = d.commit
		}
		if _, err := write(rec); err != nil {
			return err
		}
		fmt.Println("done", n)
	}
	return nil
}

func kill() {
	unix.Kill(os.Getpid(), unix.SIGKILL)
	select {}
}

func limitFileSize(bytes uint64) {
	signal.Ignore(unix.SIGXFSZ) // so that a write beyond the limit is an error
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: bytes, Max: bytes}); err != nil {
		panic(err)
	}
}

// grieve runs a child and returns how many versions it said it had written,
// and its error.
func grieve(t *testing.T, grief, dir string) (done int, output string, err error) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+grief, childDir+"="+dir)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Run()
	return strings.Count(out.String(), "done "), out.String(), err
}

// TestKill ends a writer with SIGKILL after each of its steps in turn. What it
// said it had written must be there, whole.
func TestKill(t *testing.T) {
	for n := 1; ; n++ {
		require.Less(t, n, 50)
		dir := t.TempDir()
		done, output, err := grieve(t, fmt.Sprintf("kill after step %d", n), dir)
		entries, listErr := List(dir)
		require.NoError(t, listErr)
		if err == nil {
			require.Equal(t, 3, done)
			require.Greater(t, n, 15, "every step is one to be killed after")
			require.Len(t, files(t, dir), 1)
			return
		}
		require.ErrorContains(t, err, "signal: killed", output)
		if done == 0 && len(entries) == 0 {
			continue
		}
		require.Len(t, entries, 1, "after step %d", n)
		got := rounds(t, entries[0].Path)
		require.True(t, got == done || got == done+1, "after step %d: %d done, %d there", n, done, got)
		require.Equal(t, got < 3, entries[0].Partial)
	}
}

// TestNoSpace fills the disk, or as good as that.
func TestNoSpace(t *testing.T) {
	dir := t.TempDir()
	done, output, err := grieve(t, "file size limit", dir)
	require.Error(t, err)
	require.Equal(t, 1, done, output)
	path := filepath.Join(dir, "2026-02", id+".partial.json")
	require.Contains(t, output, "file too large: no space is left for it: free some, or name another directory with --store or PERWATT_STORE")
	require.Contains(t, output, "(what was saved before is intact: "+path+")")
	require.Equal(t, 1, rounds(t, path))
	require.Len(t, files(t, dir), 1, "nothing half-written stays")
}

func TestNoPermission(t *testing.T) {
	parent := t.TempDir()
	for _, dir := range []string{parent, filepath.Dir(parent)} {
		require.NoError(t, os.Chmod(dir, 0o755))
	}
	readOnly, closed := filepath.Join(parent, "read-only"), filepath.Join(parent, "closed")
	require.NoError(t, os.Mkdir(readOnly, 0o555))
	require.NoError(t, os.Mkdir(closed, 0o333))
	asNobody(t, func() {
		for dir, what := range map[string]string{readOnly: "write to ", closed: "read ", filepath.Join(readOnly, "new"): "make "} {
			_, err := Open(dir)
			require.ErrorIs(t, err, os.ErrPermission)
			require.ErrorContains(t, err, "store: "+what+dir)
			require.ErrorContains(t, err, "give this user the right to write there, or name another directory with --store or PERWATT_STORE")
		}
	})
	_, err := List(readOnly)
	require.NoError(t, err, "reading needs no right to write")
}

// A session whose process is gone can be finished by another; one that goes on
// cannot, whatever is read of it meanwhile.
func TestFinish(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir)
	require.NoError(t, err)
	rec := night(1, time.Now().UTC().Truncate(time.Microsecond), 1, 1e9)
	rec.ID, rec.State = ulid.Make().String(), results.Running
	d, err := s.Create(rec.ID, rec.Start, false)
	require.NoError(t, err)
	end := func(rec *results.Record) bool {
		rec.State = results.Interrupted
		return true
	}
	for range 3 {
		_, err = d.save(rec)
		require.NoError(t, err)
		entries, err := List(dir)
		require.NoError(t, err)
		require.Len(t, entries, 1)
		_, ok, err := s.finish(entries[0], end)
		require.NoError(t, err)
		require.False(t, ok, "its writer lives")
	}
	entries, err := List(dir)
	require.NoError(t, err)
	release(d.held) // as the end of the process would
	_, ok, err := s.finish(entries[0], func(*results.Record) bool { return false })
	require.NoError(t, err)
	require.False(t, ok, "it is none of ours")
	path, ok, err := s.finish(entries[0], end)
	require.NoError(t, err)
	require.True(t, ok)
	got, err := results.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, results.Interrupted, got.State)
	after, err := List(dir)
	require.NoError(t, err)
	require.Len(t, after, 1)
	require.False(t, after[0].Partial)
	for _, e := range []Entry{entries[0], after[0]} { // once more
		_, ok, err = s.finish(e, end)
		require.NoError(t, err)
		require.False(t, ok)
	}
}
