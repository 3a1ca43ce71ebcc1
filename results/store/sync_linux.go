package store

import (
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// syncsAll reports whether syncfs does for all files of the file system that dir is on what
// fsync does for one. Before Linux 5.8 it says nothing of errors (syncfs(2)). File systems
// over a network may leave data in the memory of a server, so only those of disks are named.
var syncsAll = func(dir *os.File) bool {
	var fs unix.Statfs_t
	if !toldErrors() || unix.Fstatfs(int(dir.Fd()), &fs) != nil {
		return false
	}
	switch fs.Type {
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.F2FS_SUPER_MAGIC, unix.TMPFS_MAGIC:
		return true
	}
	return false
}

var toldErrors = sync.OnceValue(func() bool {
	var u unix.Utsname
	var major, minor int
	if unix.Uname(&u) != nil {
		return false
	}
	_, err := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &major, &minor)
	return err == nil && (major > 5 || major == 5 && minor >= 8)
})

// syncFS puts on the disk what was written to the file system of dir. The error is of
// whatever could not be written since dir was opened.
func syncFS(dir *os.File) (err error) {
	for {
		if err = unix.Syncfs(int(dir.Fd())); err != unix.EINTR {
			return os.NewSyscallError("syncfs", err)
		}
	}
}
