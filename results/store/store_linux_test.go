package store

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// asNobody runs f without root's right to every file. The identity on the file
// system is that of a thread in Linux.
func asNobody(t *testing.T, f func()) {
	if os.Geteuid() == 0 {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		require.NoError(t, unix.Setfsuid(65534))
		defer unix.Setfsuid(0)
	}
	f()
}

// TestFullDisk writes to a file system of 64 KiB until it is full.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); errors.Is(err, unix.EPERM) {
		t.Skip("only root can mount a small file system; TestNoSpace does without")
	} else {
		require.NoError(t, err)
	}
	defer unix.Unmount(dir, 0)
	s, err := Open(dir)
	require.NoError(t, err)
	require.NoError(t, s.Room(32<<10))
	err = s.Room(1 << 20)
	require.ErrorIs(t, err, unix.ENOSPC)
	require.ErrorContains(t, err, "no space is left for it: free some")
	d, err := s.Create(id, start, true)
	require.NoError(t, err)
	path, err := d.save(version(1))
	require.NoError(t, err)
	require.NoError(t, fill(filepath.Join(dir, "filler")))

	for _, write := range []func() (string, error){
		func() (string, error) { return d.save(version(2)) },
		func() (string, error) { return d.commit(version(3)) },
	} {
		_, err = write()
		require.ErrorIs(t, err, unix.ENOSPC)
		require.ErrorContains(t, err, "no space is left for it: free some")
		require.ErrorContains(t, err, "what was saved before is intact: "+path)
		require.Equal(t, 1, rounds(t, path))
		require.Len(t, files(t, dir), 2, "nothing half-written stays")
	}
	require.NoError(t, os.Remove(filepath.Join(dir, "filler")))
	_, err = d.commit(version(3))
	require.NoError(t, err)
}

func fill(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	for page := make([]byte, 4096); err == nil; {
		_, err = f.Write(page)
	}
	if errors.Is(err, unix.ENOSPC) {
		return nil
	}
	return err
}
