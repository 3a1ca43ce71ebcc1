//go:build !linux

package store

// renameNew has no way to rename without replacing here.
func renameNew(_, _ string, linkErr error) error { return linkErr }
