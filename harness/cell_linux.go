package harness

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/perwatt/perwatt/bench"
)

// cell is a work counter in a page that harness and worker both map. The page has no
// name in any file system: it disappears when both processes have ended.
type cell struct {
	file *os.File
	mem  []byte
}

func newCell() (*cell, error) {
	fd, err := unix.MemfdCreate("perwatt-counter", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	file := os.NewFile(uintptr(fd), "counter")
	if err := file.Truncate(int64(os.Getpagesize())); err != nil {
		file.Close() // #nosec G104 -- the error that counts is returned
		return nil, err
	}
	return mapCell(file)
}

func mapCell(file *os.File) (*cell, error) {
	mem, err := unix.Mmap(int(file.Fd()), 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		file.Close() // #nosec G104 -- the error that counts is returned
		return nil, fmt.Errorf("map the shared counter: %w", err)
	}
	return &cell{file, mem}, nil
}

func (c *cell) counter() *bench.Counter {
	return bench.CounterAt((*bench.Cell)(unsafe.Pointer(&c.mem[0]))) // #nosec G103 -- a page, mapped until close, at whose start the cell lies
}

func (c *cell) close() {
	_ = unix.Munmap(c.mem) // of our own mapping: it cannot fail
	c.file.Close()         // #nosec G104 -- nothing was written to it
}
