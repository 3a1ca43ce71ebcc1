package sha256d

import (
	"encoding/binary"
	"runtime"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// startCycles counts the cycles that this thread spends in user mode, which
// neighbours disturb far less than the clock. The function returned reads the
// count; it says false where the system does not let us count.
func startCycles(b *testing.B) func() (uint64, bool) {
	runtime.LockOSThread()
	b.Cleanup(runtime.UnlockOSThread)
	fd, err := unix.PerfEventOpen(&unix.PerfEventAttr{
		Type:   unix.PERF_TYPE_HARDWARE,
		Size:   uint32(unsafe.Sizeof(unix.PerfEventAttr{})),
		Config: unix.PERF_COUNT_HW_CPU_CYCLES,
		Bits:   unix.PerfBitExcludeKernel | unix.PerfBitExcludeHv,
	}, 0, -1, -1, unix.PERF_FLAG_FD_CLOEXEC)
	if err != nil {
		return func() (uint64, bool) { return 0, false }
	}
	b.Cleanup(func() { _ = unix.Close(fd) }) // only read from
	var buf [8]byte
	return func() (uint64, bool) {
		n, err := unix.Read(fd, buf[:])
		cycles := binary.NativeEndian.Uint64(buf[:])
		return cycles, err == nil && n == len(buf) && cycles > 0
	}
}
