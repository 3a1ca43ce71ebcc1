//go:build unix

package results

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	unix "net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

// Only what is a file is opened and replaced, through links too; what this
// process was given is taken as it is.
func TestOpenFile(t *testing.T) {
	dir, err := os.MkdirTemp("", "") // short: so is the name of a socket
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	at := func(name string) string { return filepath.Join(dir, name) }
	require.NoError(t, os.WriteFile(at("file"), []byte("text"), 0o600))
	require.NoError(t, syscall.Mkfifo(at("fifo"), 0o600))
	l, err := unix.Listen("unix", at("socket"))
	require.NoError(t, err)
	defer l.Close()
	for _, link := range []string{"file", "fifo", "socket", "nothing"} {
		require.NoError(t, os.Symlink(at(link), at("to-"+link)))
	}
	require.NoError(t, os.Symlink("/dev/zero", at("to-device")))
	require.NoError(t, os.Symlink("loop", at("loop")))
	for name, kind := range map[string]string{
		"file": "", "to-file": "", "fifo": "a FIFO", "to-fifo": "a FIFO", "socket": "a socket", "to-socket": "a socket", "to-device": "a device", ".": "a directory",
	} {
		f, err := OpenFile(at(name))
		if kind == "" {
			require.NoError(t, err, name)
			text, err := io.ReadAll(f)
			require.NoError(t, err)
			require.Equal(t, "text", string(text))
			require.NoError(t, f.Close())
			require.NoError(t, Replaceable(at(name)))
			continue
		}
		require.Nil(t, f, name)
		require.ErrorContains(t, err, "it is "+kind+", not a file: ", name)
		require.ErrorContains(t, Replaceable(at(name)), "it is "+kind+", not a file: ", name)
	}
	for name, want := range map[string]error{"nothing": fs.ErrNotExist, "to-nothing": fs.ErrNotExist, "loop": syscall.ELOOP} {
		_, err := OpenFile(at(name))
		require.ErrorIs(t, err, want)
		require.NoError(t, Replaceable(at(name)))
	}

	in, out, err := os.Pipe()
	require.NoError(t, err)
	defer in.Close()
	_, err = io.WriteString(out, "text")
	require.NoError(t, err)
	out.Close()
	f, err := OpenFile(fmt.Sprintf("/dev//fd/./%d", in.Fd()))
	require.NoError(t, err)
	text, err := io.ReadAll(f)
	require.NoError(t, err)
	require.Equal(t, "text", string(text))
	require.NoError(t, f.Close())
	for _, name := range []string{"/dev/fd", "/dev/fd/", "/dev/fd/x", "/dev/fd/-1", "/proc/1/fd/0", "/dev/stdinx", at("stdin")} {
		f, err := Descriptor(name)
		require.NoError(t, err, name)
		require.Nil(t, f, name)
	}
	_, err = OpenFile("/dev/fd/65000")
	require.ErrorIs(t, err, syscall.EBADF)
}

// What says that it holds nothing is not read: some files of procfs say so, and
// keep whoever reads them waiting.
func TestEmptyIsNotRead(t *testing.T) {
	files := fstest.MapFS{"kmsg": {}}
	f, err := files.Open("kmsg")
	require.NoError(t, err)
	_, err = Load(unreadable{f}, "kmsg")
	require.EqualError(t, err, "results: read kmsg: the file is empty")
}

type unreadable struct{ fs.File }

func (unreadable) Read([]byte) (int, error) { return 0, errors.New("it was read") }
