//go:build !linux

package store

import "errors"

// renameNew has no way to rename without replacing here.
var renameNew = func(_, _ string) error { return errors.ErrUnsupported }
