// Package arenas starts the program again with one heap of the C library for
// all threads where the address space is limited. The library gives each thread
// 64 MiB of it, and asks for 128 at first (malloc(3), M_ARENA_MAX): under a
// limit of 1 GB Go's runtime is then refused the next thread and aborts, before
// main has run. Only the environment of a new process says otherwise.
//
// It imports syscall alone, so that it is initialised among the first packages,
// with few threads started: those that the runtime itself starts before can
// still be refused.
package arenas

import (
	"slices"
	"strings"
	"syscall"
)

// plenty of address space lets every thread have its heap.
const plenty = 16 << 30

const variable = "MALLOC_ARENA_MAX="

func init() {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_AS, &limit); err != nil || limit.Cur > plenty {
		return
	}
	env := syscall.Environ()
	if slices.ContainsFunc(env, func(s string) bool { return strings.HasPrefix(s, variable) }) {
		return
	}
	exe := make([]byte, 4096)
	n, err := syscall.Readlink("/proc/self/exe", exe)
	if err != nil || n == len(exe) {
		return
	}
	args, err := arguments()
	if err != nil {
		return
	}
	// It returns only if that cannot be done: then all is as it was.
	_ = syscall.Exec(string(exe[:n]), args, append(env, variable+"1")) // #nosec G204 -- this program, as it was started
}

// arguments returns those of this process.
func arguments() ([]string, error) {
	fd, err := syscall.Open("/proc/self/cmdline", syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = syscall.Close(fd) }()
	var raw []byte
	for chunk := make([]byte, 4096); ; {
		n, err := syscall.Read(fd, chunk)
		switch {
		case err == syscall.EINTR:
		case err != nil:
			return nil, err
		case n == 0:
			return strings.Split(strings.TrimSuffix(string(raw), "\x00"), "\x00"), nil
		default:
			raw = append(raw, chunk[:n]...)
		}
	}
}
