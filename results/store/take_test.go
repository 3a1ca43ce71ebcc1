//go:build unix

package store

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
)

// sent is the file of a finished record as another store has it.
func sent(t testing.TB, text []byte) *results.File {
	f, err := results.Load(bytes.NewReader(text), "sent")
	require.NoError(t, err)
	return f
}

func ended(t testing.TB, n int, id string) []byte {
	rec := version(n)
	rec.ID, rec.State = id, results.Complete
	raw, err := results.Seal(rec)
	require.NoError(t, err)
	return raw
}

// TestTake: a record comes into the store as it is, byte by byte, compressed or not, and once,
// also while it is on its way to the disk.
func TestTake(t *testing.T) {
	raw := ended(t, 1, id)
	loose, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest))
	require.NoError(t, err)
	for suffix, text := range map[string][]byte{plain: raw, packed: loose.EncodeAll(raw, nil)} {
		for _, settled := range []bool{false, true} {
			s, dir := open(t)
			path, err := s.Take(sent(t, text))
			require.NoError(t, err)
			require.True(t, strings.HasSuffix(path, id+suffix), path)
			require.NoFileExists(t, path)
			if settled {
				require.NoError(t, s.Settle())
			}
			for _, again := range [][]byte{raw, text, results.Compress(raw)} {
				if _, err = s.Take(sent(t, again)); settled {
					require.ErrorIs(t, err, ErrKept)
				} else {
					require.NoError(t, err)
				}
			}
			_, err = s.Take(sent(t, ended(t, 2, id)))
			require.ErrorIs(t, err, fs.ErrExist)
			require.NoError(t, s.Settle())
			got, err := os.ReadFile(path)
			require.NoError(t, err)
			require.Equal(t, text, got)
			require.Len(t, files(t, dir), 1)
		}
	}
	s, _ := open(t)
	_, err = s.Take(sent(t, ended(t, 1, "../escape")))
	require.ErrorContains(t, err, "is no name for a record")
	rec := version(1)
	rec.State = results.Running
	raw, err = results.Seal(rec)
	require.NoError(t, err)
	_, err = s.Take(sent(t, raw))
	require.ErrorContains(t, err, "has not ended")
}

// TestSettle: contents come to the disk before names, names before anybody hears of them, and
// partial records go last. What an earlier process put there, and may not have settled, is
// settled too.
func TestSettle(t *testing.T) {
	raw := ended(t, 1, id)
	s, dir := open(t)
	var did []string
	s.intake.sync = func(in *os.File, fresh []arrival) error {
		did = append(did, fmt.Sprint("contents ", len(fresh)))
		for _, a := range fresh {
			require.NoFileExists(t, a.to.path())
			text, err := os.ReadFile(a.tmp)
			require.NoError(t, err)
			require.Equal(t, raw, text)
		}
		return syncData(in, fresh)
	}
	s.names.do = func(at string) error {
		did = append(did, "names in "+filepath.Base(at))
		if len(did) == 2 { // that of the batch
			require.FileExists(t, filepath.Join(at, id+plain))
			require.FileExists(t, filepath.Join(at, id+partial))
		}
		return syncDir(at)
	}
	month, err := s.month(timeOf(id))
	require.NoError(t, err)
	left := filepath.Join(month, id+partial)
	require.NoError(t, os.WriteFile(left, raw, 0o600))
	path, err := s.Take(sent(t, raw))
	require.NoError(t, err)
	require.Empty(t, did)
	require.NoError(t, s.Settle())
	require.Equal(t, []string{"contents 1", "names in " + filepath.Base(month)}, did)
	require.NoFileExists(t, left)
	require.NoError(t, s.Settle())
	require.Len(t, did, 2, "nothing came since")

	late, err := Open(dir)
	require.NoError(t, err)
	late.names.do = s.names.do
	_, err = late.Take(sent(t, raw))
	require.ErrorIs(t, err, ErrKept)
	require.NoError(t, late.Settle())
	require.Equal(t, "names in "+filepath.Base(month), did[len(did)-1])
	require.FileExists(t, path)
}

// TestSettleFails: after a failure none of those who share a batch hears that its record is
// there, nothing half-written stays, and another start takes them all.
func TestSettleFails(t *testing.T) {
	broken := errors.New("broken")
	for name, harm := range map[string]func(*Store){
		"contents": func(s *Store) { s.intake.sync = func(*os.File, []arrival) error { return broken } },
		"names":    func(s *Store) { s.names.do = func(string) error { return broken } },
	} {
		t.Run(name, func(t *testing.T) {
			s, dir := open(t)
			harm(s)
			for range 3 {
				_, err := s.Take(sent(t, ended(t, 1, ulid.Make().String())))
				require.NoError(t, err)
			}
			for range 2 { // the second may belong to another of the three
				require.ErrorIs(t, s.Settle(), broken)
			}
			_, err := s.Take(sent(t, ended(t, 1, ulid.Make().String())))
			require.ErrorIs(t, err, broken)
			for _, at := range files(t, dir) {
				require.NotContains(t, at, tempSuffix)
			}
			again, err := Open(dir)
			require.NoError(t, err)
			_, err = again.Take(sent(t, ended(t, 1, id)))
			require.NoError(t, err)
			require.NoError(t, again.Settle())
			harm(again)
			_, err = again.Take(sent(t, ended(t, 1, id)))
			require.ErrorIs(t, err, ErrKept)
			require.Equal(t, name == "names", again.Settle() != nil, "its name may not be durable, its content is")
		})
	}
}

// TestTakeBesideAnother: where two processes take records of one identifier, the same one is
// there for both, and of different ones the first stays.
func TestTakeBesideAnother(t *testing.T) {
	for n := 1; n <= 2; n++ {
		s, dir := open(t)
		other, err := Open(dir)
		require.NoError(t, err)
		path, err := s.Take(sent(t, ended(t, n, id)))
		require.NoError(t, err)
		_, err = other.Take(sent(t, ended(t, 1, id)))
		require.NoError(t, err)
		require.NoError(t, other.Settle())
		if err = s.Settle(); n == 1 {
			require.NoError(t, err)
		} else {
			require.ErrorIs(t, err, fs.ErrExist)
		}
		require.Len(t, files(t, dir), 1)
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, ended(t, 1, id), text)
	}
}

// TestSyncData: all contents come to the disk on every file system, and one that cannot is an
// error.
func TestSyncData(t *testing.T) {
	whole := syncsAll
	t.Cleanup(func() { syncsAll = whole })
	for _, all := range []bool{false, true} {
		asked := atomic.Int64{}
		syncsAll = func(dir *os.File) bool { asked.Add(1); return all && whole(dir) }
		s, dir := open(t)
		var taken sync.WaitGroup
		var lost atomic.Pointer[error]
		for _, batch := range []int{1, 3, 50} { // goroutines share them
			taken.Go(func() {
				var paths []string
				for n := range 150 {
					path, err := s.Take(sent(t, ended(t, 1, ulid.Make().String())))
					if paths = append(paths, path); err == nil && n%batch == 0 {
						err = s.Settle()
						for _, path := range paths {
							_, gone := results.LoadFile(path)
							err = errors.Join(err, gone)
						}
						paths = nil
					}
					if err != nil {
						lost.Store(&err)
					}
				}
			})
		}
		taken.Wait()
		if err := lost.Load(); err != nil {
			require.NoError(t, *err)
		}
		require.NoError(t, s.Settle())
		asked.Store(0)
		for range fewFiles + 1 {
			_, err := s.Take(sent(t, ended(t, 1, ulid.Make().String())))
			require.NoError(t, err)
		}
		require.NoError(t, s.Settle())
		require.EqualValues(t, 1, asked.Load())
		require.Len(t, files(t, dir), 450+fewFiles+1)
	}
	syncsAll = func(*os.File) bool { return false }
	dir, err := os.Open(t.TempDir())
	require.NoError(t, err)
	defer dir.Close()
	gone := []arrival{{tmp: filepath.Join(dir.Name(), "gone")}}
	require.ErrorIs(t, syncData(dir, gone), fs.ErrNotExist)
}

// takeMany takes records in batches and says which are there.
func takeMany(grief, dir string) error {
	left := -1
	if _, err := fmt.Sscanf(grief, "take, and kill after step %d", &left); err != nil {
		return err
	}
	step = func(string) {
		if left--; left == 0 {
			kill()
		}
	}
	s, err := Open(dir)
	if err != nil {
		return err
	}
	for range 2 {
		var ids []string
		for range 3 {
			rec := version(1)
			rec.ID, rec.State = ulid.Make().String(), results.Complete
			raw, err := results.Seal(rec)
			if err != nil {
				return err
			}
			f, err := results.Load(bytes.NewReader(raw), rec.ID)
			if err != nil {
				return err
			}
			if _, err := s.Take(f); err != nil {
				return err
			}
			ids = append(ids, rec.ID)
		}
		if err := s.Settle(); err != nil {
			return err
		}
		fmt.Println("done", strings.Join(ids, " "))
	}
	return nil
}

// TestKillTake ends a process that takes records with SIGKILL after each of its steps in turn.
// What it said was there is there, and whatever has its final name is whole.
func TestKillTake(t *testing.T) {
	for n := 1; ; n++ {
		require.Less(t, n, 50)
		dir := t.TempDir()
		_, output, err := grieve(t, fmt.Sprintf("take, and kill after step %d", n), dir)
		entries, bad := List(dir)
		require.NoError(t, bad)
		there := map[string]bool{}
		for _, e := range entries {
			f, err := results.LoadFile(e.Path)
			require.NoError(t, err)
			require.Empty(t, f.Verify())
			there[e.ID] = true
		}
		for line := range strings.Lines(output) {
			ids, done := strings.CutPrefix(line, "done ")
			require.True(t, done, line)
			for _, id := range strings.Fields(ids) {
				require.True(t, there[id], "after step %d", n)
			}
		}
		if err == nil {
			require.Greater(t, n, 20, "every step is one to be killed after")
			require.Len(t, files(t, dir), 6)
			return
		}
		require.ErrorContains(t, err, "signal: killed", output)
	}
}
