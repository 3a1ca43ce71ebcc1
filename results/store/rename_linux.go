package store

import "golang.org/x/sys/unix"

// renameNew renames tmp to path, which must be free.
var renameNew = func(tmp, path string) error {
	return unix.Renameat2(unix.AT_FDCWD, tmp, unix.AT_FDCWD, path, unix.RENAME_NOREPLACE)
}
