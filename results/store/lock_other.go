//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package store

import (
	"errors"
	"os"
)

func lockDir(*os.File, bool) error { return errors.ErrUnsupported }

func unlockDir(*os.File) {}
