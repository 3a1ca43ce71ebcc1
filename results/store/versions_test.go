//go:build unix

package store

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
)

// asVersion does f as a program does whose index has another version.
func asVersion(v int, f func()) {
	old := indexVersion
	indexVersion = v
	defer func() { indexVersion = old }()
	f()
}

// withoutDigests replaces an index as programs did up to version 10: they knew of
// no file of digests, and left it as it was.
func withoutDigests(file string) error {
	dir, err := os.Open(filepath.Dir(file))
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := lock(dir, true); err != nil {
		return nil // another has it open
	}
	for _, suffix := range suffixes {
		if suffix != sumsSuffix {
			os.Remove(file + suffix)
		}
	}
	older := strings.ReplaceAll(tables, "device TEXT NOT NULL, ", "") // a series had none then
	return execute(file, "PRAGMA page_size = 16384; PRAGMA journal_mode = WAL;"+strings.ReplaceAll(older, "device, ", "")+"PRAGMA user_version = 10")
}

// An index of another version is called that, and is built again; one whose
// version is a flipped bit is damaged.
func TestAnotherVersion(t *testing.T) {
	s, _, _ := history(t, 3)
	file := filepath.Join(s.dir, indexName)
	x := index(t, s)
	want := rates(t, x, Filter{})
	x.Close()
	of := func(v int) string {
		return fmt.Sprintf("%s is of index version %d, this program reads version %d: it is built again", file, v, indexVersion)
	}
	write := func(v int) func() {
		return func() {
			asVersion(v, func() {
				x := index(t, s)
				require.NoError(t, x.Rebuild(t.Context()))
				require.NoError(t, x.Close())
			})
		}
	}
	for name, c := range map[string]struct {
		make func()
		note string
	}{
		"older":                 {write(indexVersion - 1), of(indexVersion - 1)},
		"newer":                 {write(indexVersion + 1), of(indexVersion + 1)},
		"older, and no digests": {func() { require.NoError(t, withoutDigests(file)) }, of(10)},
		"newer, and other digests": {func() {
			write(indexVersion + 1)()
			require.NoError(t, os.WriteFile(file+sumsSuffix, []byte("others"), 0o644))
		}, of(indexVersion + 1)},
		"newer, and of other pages": {func() {
			require.NoError(t, os.Remove(file))
			require.NoError(t, execute(file, "PRAGMA page_size = 4096; CREATE TABLE a (b); PRAGMA user_version = 99"))
		}, of(99)},
		"a flipped bit": {func() {
			raw, err := os.ReadFile(file)
			require.NoError(t, err)
			raw[63] ^= 1
			require.NoError(t, os.WriteFile(file, raw, 0o644))
		}, file + " was damaged and is built again: page 1 is not as this program wrote it"},
		"not finished": {func() {
			asVersion(0, func() { x := index(t, s); x.Close() })
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			index(t, s).Close()
			c.make()
			x := index(t, s)
			require.Equal(t, want, rates(t, x, Filter{}))
			require.Equal(t, c.note, strings.Join(x.Notes(), "\n"))
			x.Close()
			x = index(t, s)
			require.Empty(t, x.Notes(), "once is enough")
			require.NoError(t, x.Check(t.Context()))
			require.Equal(t, want, rates(t, x, Filter{}))
			x.Close()
		})
	}
}

// Where a program of another version has the index open, it goes on to read it,
// and this one takes another place.
func TestAnotherVersionIsOpen(t *testing.T) {
	soon(t)
	s, _, _ := history(t, 3)
	file := filepath.Join(s.dir, indexName)
	var x *Index
	asVersion(7, func() { x = index(t, s) })
	want := rates(t, x, Filter{})
	y := index(t, s)
	require.Equal(t, want, rates(t, y, Filter{}))
	notes := strings.Join(y.Notes(), "\n")
	require.Contains(t, notes, fmt.Sprintf("%s is of index version 7, this program reads version %d: perwatt index builds it again when nobody has it open", file, indexVersion))
	require.Contains(t, notes, "another process has it open: end it, such as perwatt serve")
	require.NotContains(t, notes, "damaged")
	require.Contains(t, y.Place(), "cache")
	y.Close()
	asVersion(7, func() {
		keep(t, s, night(1, epoch.AddDate(0, 0, 9), 6, 3e9))
		require.NoError(t, x.Update(t.Context()))
		require.NoError(t, x.Check(t.Context()))
		require.Equal(t, append(want, 3e9), rates(t, x, Filter{}))
		require.Empty(t, x.Notes())
	})
}

// An index that somebody removes or replaces under a reader is read on, or opened
// again, and never called damaged.
func TestReplacedUnderReader(t *testing.T) {
	s, file, said, _ := variety(t)
	good := readIndex(t, file)
	for name, replace := range map[string]func(){
		"removed":  func() { writeIndex(t, file, nil) },
		"replaced": func() { writeIndex(t, file, good) },
		"by another version": func() {
			writeIndex(t, file, nil)
			require.NoError(t, execute(file, "CREATE TABLE a (b); PRAGMA user_version = 7"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			writeIndex(t, file, good)
			x := index(t, s)
			replace()
			got, _ := answers(t, x)
			same(t, said, got, name)
			require.Empty(t, x.Notes())
			// A connection that is lost is made again, by the name of the file.
			require.NoError(t, x.db.Close())
			require.NoError(t, x.renew(t.Context(), errors.New("the connection is lost")))
			require.NoError(t, x.Update(t.Context()))
			got, _ = answers(t, x)
			same(t, said, got, name)
			require.Contains(t, x.Notes(), file+" was removed or replaced while it was open: it is opened again")
			require.NotContains(t, strings.Join(x.Notes(), "\n"), "damaged")
			x.Close()
		})
	}
}

// rebuildInTurn opens, builds again, asks and closes the index as a program of one
// version does.
func rebuildInTurn(role, dir string) error {
	if _, err := fmt.Sscanf(role, "version %d", &indexVersion); err != nil {
		return err
	}
	if indexVersion == 10 {
		for range 40 {
			if err := withoutDigests(filepath.Join(dir, indexName)); err != nil {
				return err
			}
			fmt.Println("opened")
		}
		return nil
	}
	for range 40 {
		x, err := OpenIndex(context.Background(), dir)
		if err != nil {
			return err
		}
		n := 0
		for s, err := range x.Series(context.Background(), Filter{Metric: results.Throughput}) {
			if err != nil {
				return err
			}
			n += len(s.Points)
		}
		if err := x.Check(context.Background()); err != nil {
			return err
		}
		if notes := strings.Join(x.Notes(), "\n"); strings.Contains(notes, "damaged") || strings.Contains(notes, "not as this program wrote it") || n != 5 {
			return fmt.Errorf("%d points: %s", n, notes)
		}
		if err := x.Close(); err != nil {
			return err
		}
		fmt.Println("opened")
	}
	return nil
}

// Programs of several versions work on one store at the same time, each of which
// builds the index again for itself: none finds it damaged.
func TestVersionsInTurn(t *testing.T) {
	s, _, _ := history(t, 5)
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	var wg sync.WaitGroup
	for _, role := range []string{"version 10", "version 12", "version 13", "version 13", "version 14"} {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childEnv+"="+role, childDir+"="+s.dir)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		wg.Go(func() {
			opened := 0
			for lines := bufio.NewScanner(out); lines.Scan(); {
				if lines.Text() == "opened" {
					opened++
				} else {
					t.Error(role, lines.Text())
				}
			}
			if err := cmd.Wait(); err != nil || opened == 0 {
				t.Error(role, opened, err)
			}
		})
	}
	wg.Wait()
	x := index(t, s)
	require.NoError(t, x.Check(t.Context()))
	require.Len(t, rates(t, x, Filter{}), 5)
	require.NotContains(t, strings.Join(x.Notes(), "\n"), "damaged")
}
