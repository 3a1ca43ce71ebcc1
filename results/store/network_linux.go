package store

import "golang.org/x/sys/unix"

// fileSystems on which SQLite's write-ahead log is not safe, since machines
// share no memory (sqlite.org/wal.html), or its locks are not to be trusted.
var fileSystems = map[int64]string{
	0x6969: "NFS", 0x517b: "SMB", 0xff534d42: "CIFS", 0xfe534d42: "SMB2", 0x01021997: "9p", 0x65735546: "FUSE",
	0x00c36400: "Ceph", 0x0bd00bd0: "Lustre", 0x47504653: "GPFS", 0x6b414653: "AFS", 0x7461636f: "OCFS2", 0x01161970: "GFS2",
}

// network names the network file system on which dir lies; empty if on none.
func network(dir string) string {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return ""
	}
	return fileSystems[int64(uint32(s.Type))] // #nosec G115 -- a magic number has 32 bits, whatever the type that the kernel gives it in
}

// free is how many bytes a user without privileges may still write to the file system
// on which dir lies; not ok if it does not say (some FUSE file systems have no size).
func free(dir string) (bytes uint64, ok bool) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil || s.Blocks == 0 || s.Bsize <= 0 {
		return 0, false
	}
	return s.Bavail * uint64(s.Bsize), true // #nosec G115 -- above zero
}
