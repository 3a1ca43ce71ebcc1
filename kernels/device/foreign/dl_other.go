//go:build !((linux || darwin) && (amd64 || arm64))

package foreign

func open(string) (uintptr, error) { return 0, ErrAbsent }

func symbol(uintptr, string) (uintptr, error) { return 0, ErrAbsent }

func register(any, uintptr) {}
