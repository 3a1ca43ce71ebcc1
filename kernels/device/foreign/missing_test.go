package foreign

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A library is missing only where the linker, by all that it reads, has none; where
// that is not known it may be there.
func TestMissing(t *testing.T) {
	const name, cache = "libcuda.so.1", "glibc-ld.so.cache1.1\x00libc.so.6\x00/lib/libc.so.6\x00"
	for _, c := range []struct {
		what    string
		files   map[string]string
		env     map[string]string // ROOT stands for the tree
		path    string
		missing bool
	}{
		{"nowhere", map[string]string{"etc/ld.so.cache": cache}, nil, name, true},
		{"no cache, as with another linker", nil, nil, name, false},
		{"in the cache", map[string]string{"etc/ld.so.cache": cache + name + "\x00/opt/x/" + name + "\x00"}, nil, name, false},
		{"a longer name in the cache", map[string]string{"etc/ld.so.cache": cache + name + "2\x00"}, nil, name, true},
		{"in a folder of the system, unknown to ldconfig", map[string]string{"etc/ld.so.cache": cache, "usr/lib/x86_64-linux-gnu/" + name: ""}, nil, name, false},
		{"in lib64", map[string]string{"etc/ld.so.cache": cache, "lib64/" + name: ""}, nil, name, false},
		{"for newer processors", map[string]string{"etc/ld.so.cache": cache, "usr/lib/glibc-hwcaps/x86-64-v3/" + name: ""}, nil, name, false},
		{"by the environment", map[string]string{"etc/ld.so.cache": cache, "own/" + name: ""}, map[string]string{"LD_LIBRARY_PATH": "/none:ROOT/own"}, name, false},
		{"not by the environment", map[string]string{"etc/ld.so.cache": cache, "own/other": ""}, map[string]string{"LD_LIBRARY_PATH": "/none;ROOT/own"}, name, true},
		{"settings that only the linker knows", map[string]string{"etc/ld.so.cache": cache}, map[string]string{"LD_LIBRARY_PATH": "$ORIGIN"}, name, false},
		{"loaded before", map[string]string{"etc/ld.so.cache": cache}, map[string]string{"LD_PRELOAD": "/x/libcuda.so"}, name, false},
		{"by its path", map[string]string{"etc/ld.so.cache": cache, "opt/" + name: ""}, nil, "ROOT/opt/" + name, false},
		{"not at its path", map[string]string{"etc/ld.so.cache": cache + name + "\x00"}, nil, "ROOT/opt/" + name, true},
	} {
		t.Run(c.what, func(t *testing.T) {
			root := t.TempDir()
			place := func(s string) string { return strings.ReplaceAll(s, "ROOT", root) }
			for file, text := range c.files {
				at := filepath.Join(root, file)
				require.NoError(t, os.MkdirAll(filepath.Dir(at), 0o755))
				require.NoError(t, os.WriteFile(at, []byte(text), 0o600))
			}
			got := missing(root, func(v string) string { return place(c.env[v]) }, []string{"libcuda.so.9", place(c.path)})
			require.Equal(t, c.missing, got)
		})
	}
}

// What is missing cannot be loaded.
func TestMissingIsNotLoaded(t *testing.T) {
	if err := Missing("libperwatt-that-is-not-here.so.1"); err != nil {
		require.ErrorIs(t, err, ErrAbsent)
		require.EqualError(t, Bind(&struct{}{}, "libperwatt-that-is-not-here.so.1"), err.Error())
	}
	require.NoError(t, Missing("libperwatt-that-is-not-here.so.1", "libc.so.6"))
}
