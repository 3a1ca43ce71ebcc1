package store

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// renameNew renames tmp to path, which must be free, where a hard link failed
// with linkErr.
func renameNew(tmp, path string, linkErr error) error {
	err := unix.Renameat2(unix.AT_FDCWD, tmp, unix.AT_FDCWD, path, unix.RENAME_NOREPLACE)
	if err != nil && err != unix.EEXIST {
		return fmt.Errorf("%w; rename: %w", linkErr, err)
	}
	return err
}
