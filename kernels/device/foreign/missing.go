package foreign

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// Missing returns the error of [Bind] for libraries of which none is on this machine,
// and nil where one is, or may be. Nothing is loaded: a library may end the process as
// it is loaded, and to ask another process costs more.
func Missing(paths ...string) error {
	if runtime.GOOS != "linux" || !missing("/", os.Getenv, paths) {
		return nil
	}
	return fmt.Errorf("%s: %w", strings.Join(paths, ", "), ErrAbsent)
}

// mostCache limits what is read of the linker's cache, which has some 100 kB.
const mostCache = 16 << 20

// missing looks where the dynamic linker of glibc does (ld.so(8)): LD_LIBRARY_PATH, the
// cache of ldconfig and the system's folders. It is false where it cannot know: without
// that cache, or with settings that it does not interpret.
func missing(root string, env func(string) string, paths []string) bool {
	file, err := os.Open(filepath.Join(root, "etc/ld.so.cache")) // #nosec G304 -- a fixed file
	if err != nil {
		return false
	}
	defer file.Close()
	cache, err := io.ReadAll(io.LimitReader(file, mostCache))
	search := env("LD_LIBRARY_PATH")
	if err != nil || len(cache) == mostCache || env("LD_PRELOAD") != "" || strings.Contains(search, "$") {
		return false
	}
	var folders []string
	if search != "" {
		folders = strings.FieldsFunc(strings.ReplaceAll(search, "::", ":.:"), func(c rune) bool { return c == ':' || c == ';' })
		folders = append(folders, ".") // an empty one at either end
	}
	for _, folder := range []string{"lib*", "usr/lib*", "lib/*-linux-*", "usr/lib/*-linux-*"} {
		folders = append(folders, filepath.Join(root, folder))
	}
	for _, path := range paths {
		if strings.Contains(path, "/") {
			if _, err := os.Stat(path); !os.IsNotExist(err) {
				return false
			}
			continue
		}
		if bytes.Contains(cache, append([]byte(path), 0)) {
			return false
		}
		for _, folder := range folders {
			for _, below := range []string{"", "glibc-hwcaps/*"} {
				if found, err := filepath.Glob(filepath.Join(folder, below, path)); err != nil || len(found) > 0 {
					return false
				}
			}
		}
	}
	return true
}
