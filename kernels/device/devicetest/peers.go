package devicetest

import (
	"errors"
	"fmt"

	"github.com/perwatt/perwatt/kernels/device"
)

// Peers sends parts of a buffer from one processor to another, of which direct says
// whether they reach each other's memory.
func Peers(from, to device.Processor, direct bool) error {
	p, ok := from.(device.Peer)
	if !ok {
		return fmt.Errorf("%s sends to no other", from.Info().ID)
	}
	for range 2 { // it stays so
		if got, err := p.Direct(to); err != nil || got != direct {
			return fmt.Errorf("%s reaches %s: %v, want %v: %w", from.Info().ID, to.Info().ID, got, direct, err)
		}
	}
	if self, err := p.Direct(from); err != nil || self {
		return fmt.Errorf("%s is a peer of itself: %w", from.Info().ID, err)
	}
	const n = 4096
	data, got := make([]byte, n), make([]byte, n)
	for i := range data {
		data[i] = byte(i*i>>3 + 1)
	}
	a, err := from.Alloc(n)
	if err != nil {
		return err
	}
	b, err := to.Alloc(n)
	if err != nil {
		return err
	}
	source, err := from.Part(a, 1024, 512)
	if err != nil {
		return err
	}
	into, err := to.Part(b, 2048, 1024)
	if err != nil {
		return err
	}
	if err := errors.Join(from.Write(a, data), to.Write(b, make([]byte, n)), p.Send(to, into, source), to.Read(got, b)); err != nil {
		return err
	}
	want := make([]byte, n)
	copy(want[2048:], data[1024:1536])
	if string(got) != string(want) {
		return errors.New("what arrived is not what was sent")
	}
	if err := p.Send(to, into, a); err == nil {
		return errors.New("4096 bytes were sent to a buffer of 1024")
	}
	return errors.Join(from.Free(a), to.Free(b), from.Sync(), to.Sync())
}
