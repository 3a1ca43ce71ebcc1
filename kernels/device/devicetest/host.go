package devicetest

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/perwatt/perwatt/kernels/device"
)

// Host copies between memory of the host that a processor copies at full speed and
// memory of the device, and gives both back.
func Host(p device.Processor) error {
	const n = 3 << 20
	var memory [2][]byte
	var release [2]func() error
	for i := range memory {
		var err error
		if memory[i], release[i], err = p.Host(n + int64(i)); err != nil {
			return err
		}
		if len(memory[i]) != n+i {
			return fmt.Errorf("%d bytes, want %d", len(memory[i]), n+i)
		}
	}
	from, to := memory[0], memory[1]
	for i := range from {
		from[i], to[i] = byte(i*i>>3), 0xff
	}
	to[n] = 0xff
	buffer, err := p.Alloc(n)
	if err != nil {
		return err
	}
	if err := errors.Join(p.Write(buffer, from), p.Read(to[:n], buffer)); err != nil {
		return err
	}
	if !bytes.Equal(from, to[:n]) || to[n] != 0xff {
		return errors.New("what was read is not what was written")
	}
	return errors.Join(p.Free(buffer), release[0](), release[1](), p.Sync())
}
