package store

import (
	"fmt"
	"os"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// networked are file systems on which SQLite's write-ahead log is not safe, since machines
// share no memory (sqlite.org/wal.html), or its locks are not to be trusted.
var networked = map[uint32]string{
	0x6969: "NFS", 0x517b: "SMB", 0xff534d42: "CIFS", 0xfe534d42: "SMB2", 0x01021997: "9p", 0x65735546: "FUSE",
	0x00c36400: "Ceph", 0x0bd00bd0: "Lustre", 0x47504653: "GPFS", 0x6b414653: "AFS", 0x7461636f: "OCFS2", 0x01161970: "GFS2",
}

// network names the network file system on which dir lies; empty if on none.
func network(dir string) string {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return ""
	}
	return networked[magic(&s)]
}

// magic is the number of the kind of a file system. It has 32 bits, whatever the type that
// the kernel gives it in.
func magic(s *unix.Statfs_t) uint32 { return uint32(s.Type) } // #nosec G115 -- see above

// free is how many bytes a user without privileges may still write to the file system
// on which dir lies; not ok if it does not say (some FUSE file systems have no size).
func free(dir string) (bytes uint64, ok bool) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil || s.Blocks == 0 || s.Bsize <= 0 {
		return 0, false
	}
	return s.Bavail * uint64(s.Bsize), true // #nosec G115 -- above zero
}

// onDisks are file systems on which syncfs does for all files what fsync does for one. Over a
// network, data may stay in the memory of a server.
var onDisks = []uint32{unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.F2FS_SUPER_MAGIC, unix.TMPFS_MAGIC}

// syncsAll reports whether one call can put everything on the disk that was written to the
// file system of dir, and say whether it is there: before Linux 5.8 it says nothing of
// errors (syncfs(2)).
var syncsAll = func(dir *os.File) bool {
	var s unix.Statfs_t
	return tellsErrors() && unix.Fstatfs(int(dir.Fd()), &s) == nil && slices.Contains(onDisks, magic(&s))
}

var tellsErrors = sync.OnceValue(func() bool {
	var u unix.Utsname
	var major, minor int
	if unix.Uname(&u) != nil {
		return false
	}
	_, err := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &major, &minor)
	return err == nil && (major > 5 || major == 5 && minor >= 8)
})

// syncFS is that call. The error is of whatever could not be written since dir was opened.
func syncFS(dir *os.File) error {
	for {
		if err := unix.Syncfs(int(dir.Fd())); err != unix.EINTR {
			return os.NewSyscallError("syncfs", err)
		}
	}
}
