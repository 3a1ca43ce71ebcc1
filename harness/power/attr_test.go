package power

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// attrFile answers every read with text or err.
type attrFile struct {
	text   []byte
	err    error
	takes  time.Duration // to open, to read, to close
	closed int
}

func (f *attrFile) open(string) (File, error) { time.Sleep(f.takes); return f, nil }

func (f *attrFile) ReadAt(p []byte, off int64) (int, error) {
	time.Sleep(f.takes)
	if f.err != nil {
		return 0, f.err
	}
	return bytes.NewReader(f.text).ReadAt(p, off)
}

func (f *attrFile) Close() error { time.Sleep(f.takes); f.closed++; return nil }

func TestReadAttr(t *testing.T) {
	for _, c := range []struct{ name, text, want, says string }{
		{"a name", "package-0\n", "package-0", ""},
		{"blanks inside and before", " power +12v \n\n", " power +12v", ""},
		{"empty", "", "", ""},
		{"63 bytes", strings.Repeat("x", 63), strings.Repeat("x", 63), ""},
		{"64 bytes", strings.Repeat("x", 63) + "\n", "", "read a/name: longer than 63 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &attrFile{text: []byte(c.text)}
			got, err := ReadAttr(f.open, "a/name")
			if c.says != "" {
				require.EqualError(t, err, c.says)
			} else {
				require.NoError(t, err)
			}
			require.Equal(t, c.want, got)
			require.Equal(t, 1, f.closed)
		})
	}
}

func TestReadMicro(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       uint64
		says       string
	}{
		{"zero", "0\n", 0, ""},
		{"a count", "262143328850\n", 262143328850, ""},
		{"the most", "18446744073709551615", 1<<64 - 1, ""},
		{"one more", "18446744073709551616", 0, `read a/energy_uj: "18446744073709551616" is not a count: value out of range`},
		{"empty", "\n", 0, `read a/energy_uj: "" is not a count: invalid syntax`},
		{"a sign", "-5", 0, `read a/energy_uj: "-5" is not a count: invalid syntax`},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &attrFile{text: []byte(c.text)}
			got, _, err := ReadMicro(f.open, "a/energy_uj")
			if c.says != "" {
				require.EqualError(t, err, c.says)
			} else {
				require.NoError(t, err)
			}
			require.Equal(t, c.want, got)
			require.Equal(t, 1, f.closed)
		})
	}
}

// TestReadErrors: each names the path, once, and can be told apart.
func TestReadErrors(t *testing.T) {
	here := t.TempDir()
	gone := filepath.Join(here, "energy_uj")
	scripted := &attrFile{err: syscall.EAGAIN}
	for _, c := range []struct {
		name string
		open Opener
		path string
		is   error
	}{
		{"no such file", OpenFile, gone, fs.ErrNotExist},
		{"a directory", OpenFile, here, syscall.EISDIR},
		{"not now", scripted.open, gone, syscall.EAGAIN},
		{"refused", func(path string) (File, error) { return nil, fs.ErrPermission }, gone, fs.ErrPermission},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := ReadAttr(c.open, c.path)
			require.ErrorIs(t, err, c.is)
			require.Equal(t, 1, strings.Count(err.Error(), c.path), "%v", err)
			_, at, err := ReadMicro(c.open, c.path)
			require.ErrorIs(t, err, c.is)
			require.False(t, at.IsZero())
		})
	}
	require.Equal(t, 2, scripted.closed)
}

// TestStamp: neither the opening nor the closing of the file delays the stamp.
func TestStamp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, f := range []*attrFile{{text: []byte("7")}, {text: []byte("x")}, {err: syscall.EIO}} {
			f.takes = time.Second / 2
			start := time.Now()
			_, at, _ := ReadMicro(f.open, "energy_uj")
			require.Equal(t, time.Second, at.Sub(start), "opened and read")
			require.Equal(t, 3*time.Second/2, time.Since(start), "and closed")
		}
	})
}

// TestFileOfTheMoment: what is read is the file that the path names now, not
// the one that it once named.
func TestFileOfTheMoment(t *testing.T) {
	path := filepath.Join(t.TempDir(), "energy_uj")
	read := func() (uint64, error) {
		n, _, err := ReadMicro(OpenFile, path)
		return n, err
	}
	require.NoError(t, os.WriteFile(path, []byte("1\n"), 0o644))
	n, err := read()
	require.NoError(t, err)
	require.Equal(t, uint64(1), n)

	require.NoError(t, os.WriteFile(path+".new", []byte("2\n"), 0o644))
	require.NoError(t, os.Rename(path+".new", path))
	n, err = read()
	require.NoError(t, err)
	require.Equal(t, uint64(2), n)

	require.NoError(t, os.Remove(path))
	_, err = read()
	require.ErrorIs(t, err, fs.ErrNotExist)
}

// FuzzReadAttr: an attribute is the file without its trailing blanks, or an
// error if it does not fit.
func FuzzReadAttr(f *testing.F) {
	f.Add([]byte("package-0\n"))
	f.Add(bytes.Repeat([]byte("9"), 64))
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := ReadAttr((&attrFile{text: text}).open, "name")
		if (err != nil) != (len(text) > 63) {
			t.Fatalf("%d bytes: error %v", len(text), err)
		}
		if err == nil && got != strings.TrimRight(string(text), "\n ") {
			t.Errorf("%q was read as %q", text, got)
		}
	})
}

// FuzzReadMicro: what is read as a count is its digits and nothing else.
func FuzzReadMicro(f *testing.F) {
	for _, s := range []string{"0", "61000000\n", "18446744073709551615", "18446744073709551616", "", "-1", "+1", "1_000", "0x10", "1e3", "\x00", " 1"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		n, _, err := ReadMicro((&attrFile{text: text}).open, "energy_uj")
		if err != nil {
			if n != 0 {
				t.Errorf("%q: %d with error %v", text, n, err)
			}
			return
		}
		digits := strings.TrimRight(string(text), "\n ")
		if digits == "" || strings.TrimLeft(digits, "0") != strings.TrimLeft(fmt.Sprint(n), "0") {
			t.Errorf("%q was read as %d", text, n)
		}
	})
}
