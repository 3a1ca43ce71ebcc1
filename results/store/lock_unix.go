//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package store

import (
	"os"

	"golang.org/x/sys/unix"
)

// lock takes a lock on a file or directory, or returns an error if another has it;
// the lock goes when the file is closed or its process ends. A lock on the
// directory leaves nothing behind and works where nothing can be written.
func lock(dir *os.File, exclusive bool) error {
	how := unix.LOCK_SH
	if exclusive {
		how = unix.LOCK_EX
	}
	return unix.Flock(int(dir.Fd()), how|unix.LOCK_NB)
}

func unlock(dir *os.File) { unix.Flock(int(dir.Fd()), unix.LOCK_UN) } // #nosec G104 -- of a lock that is held: it cannot fail, and closing the file ends it too
