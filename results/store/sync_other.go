//go:build !linux

package store

import (
	"errors"
	"os"
)

// syncsAll reports that nothing here syncs a whole file system.
var syncsAll = func(*os.File) bool { return false }

func syncFS(*os.File) error { return errors.ErrUnsupported }
