package devicetest

import (
	"errors"
	"fmt"

	"github.com/perwatt/perwatt/kernels/device"
	"github.com/perwatt/perwatt/kernels/stream"
)

// Parts uses parts of a buffer as buffers: copies to and from them, gives them to
// a kernel, and asks for parts that there are not.
func Parts(p device.Processor) error {
	const n = 4096
	whole, err := p.Alloc(n)
	if err != nil {
		return err
	}
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(i * i >> 3)
	}
	high, err := p.Part(whole, n/2, n/2)
	if err != nil {
		return err
	}
	first, err := p.Part(whole, 0, 512)
	if err != nil {
		return err
	}
	second, err := p.Part(high, 1024, 256) // a part of a part, at 3072
	if err != nil {
		return err
	}
	if second.Size() != 256 {
		return fmt.Errorf("a part has %d bytes, want 256", second.Size())
	}
	v, err := stream.Open(p, stream.Program)
	if err != nil {
		return err
	}
	got := make([]byte, n)
	// What is read between two writes of parts is known, and nothing else changes.
	if err := errors.Join(p.Write(whole, data), p.Write(second, data[:256]), v.Copy(first, second, 64), p.Read(got, whole)); err != nil {
		return err
	}
	copy(data[3072:], data[:256]) // by the host
	copy(data[:256], data[3072:3328])
	if string(got) != string(data) {
		return errors.New("a copy between parts changed other bytes")
	}
	part := make([]byte, 1024)
	if err := p.Read(part, high); err != nil {
		return err
	}
	if string(part) != string(data[n/2:n/2+1024]) {
		return errors.New("a part is read from another place")
	}
	for _, wrong := range [][2]int64{{-512, 512}, {256, 256}, {512, 0}, {512, n}, {n, 1}, {1 << 62, 1 << 62}} {
		if _, err := p.Part(whole, wrong[0], wrong[1]); err == nil {
			return fmt.Errorf("there is a part of %d bytes at %d of %d", wrong[1], wrong[0], n)
		}
	}
	if err := p.Write(second, make([]byte, 257)); err == nil {
		return errors.New("257 bytes fit a part of 256")
	}
	if err := p.Free(first); !errors.Is(err, device.ErrPart) {
		return fmt.Errorf("freeing a part: %w", err)
	}
	return errors.Join(p.Free(whole), p.Sync())
}
