package foreign_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/kernels/device/foreign"
)

func TestPaths(t *testing.T) {
	home := t.TempDir()
	t.Setenv("PERWATT_TEST_HOME", home)
	t.Setenv("PERWATT_TEST_RELATIVE", "lib")
	for _, name := range []string{"a/lib/x.so.2", "a/lib/x.so.1", "b/lib/x.so.1", "b/lib/y.so"} {
		path := filepath.Join(home, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, nil, 0o600))
	}
	got := foreign.Paths([]string{"x.so.2", "x.so.1"}, "$PERWATT_TEST_HOME/*/lib", "", "$PERWATT_TEST_UNSET/lib", "$PERWATT_TEST_RELATIVE", home+"/b/lib", home+"/[")
	require.Equal(t, []string{home + "/a/lib/x.so.2", home + "/a/lib/x.so.1", home + "/b/lib/x.so.1", "x.so.2", "x.so.1", home + "/b/lib/x.so.1"}, got)
}

// A symbol goes by the first of its names that the library has, in a structure or
// in one that is embedded.
func TestBind(t *testing.T) {
	type words struct {
		Length func(text string) uintptr `c:"no_such_strlen|strlen"`
	}
	var c struct {
		words
		Absolute func(v int32) int32 `c:"abs"`
		Nothing  func()              `c:"no_such_function,optional"`
		Own      int
	}
	require.NoError(t, foreign.Bind(&c, "libc-that-is-not-here.so.1", "libc.so.6"))
	require.Equal(t, uintptr(3), c.Length("abc"))
	require.Equal(t, int32(7), c.Absolute(-7))
	require.Nil(t, c.Nothing)
	var missing struct {
		Nothing func() `c:"no_such_function|nor_this"`
	}
	require.ErrorContains(t, foreign.Bind(&missing, "libc.so.6"), "libc.so.6 has no no_such_function|nor_this")
	require.ErrorIs(t, foreign.Bind(&c, "libc-that-is-not-here.so.1"), foreign.ErrAbsent)
	require.Empty(t, foreign.String(nil))
}
