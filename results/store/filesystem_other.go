//go:build !linux

package store

import (
	"errors"
	"os"
)

// network names the network file system on which dir lies; it is unknown here.
func network(string) string { return "" }

// free is how many bytes the file system of dir has left; it is unknown here.
func free(string) (bytes uint64, ok bool) { return 0, false }

// syncsAll reports that no call here puts all of a file system on the disk.
var syncsAll = func(*os.File) bool { return false }

func syncFS(*os.File) error { return errors.ErrUnsupported }
