// Package allreduce sums vectors of float32 over processors, so that each has the sum:
// the collective of data-parallel training. It is the ring algorithm (Patarasuk and Yuan,
// J. Parallel Distrib. Comput. 69, 2009): of n processors each sends to the next, and in
// all 2·(n−1)/n of the vector, whatever n is.
//
// The additions of an element have a fixed order, that of the ring from the element's
// chunk on, and the sum is copied: so all processors have the same bits, and the same
// bits every time.
//
// A processor writes into the memory of the next where its driver lets it
// ([device.Peer]); elsewhere through page-locked memory of the host. The package starts
// no goroutines and waits for nobody: its caller has all processors take a turn at the
// same time, and begins the next turn when all have taken it. No library of a vendor
// (NCCL, RCCL) is used.
//
// It has not yet run on hardware: it is tried by an interpreter of PTX, by PoCL and by
// stand-ins for the drivers.
package allreduce

import (
	"errors"
	"fmt"
	"math/bits"

	"github.com/perwatt/perwatt/kernels/device"
)

// Member is a processor of a ring.
type Member struct {
	On     device.Processor
	Vector device.Buffer // float32, summed in place; of the same size in all members
	// Add submits sum += with, of n float32, a multiple of [Step].
	Add func(sum, with device.Buffer, n int) error
}

// Step is what the length of a vector, in elements, is a multiple of: a chunk is a part
// of a buffer.
const Step = device.PartAlign / 4

// largest is the most bytes of a chunk. At the 25 to 450 GB/s of links between cards it
// takes 70 µs to a millisecond: longer than it takes to hand it on, and short enough for
// the memory that it needs.
const largest = 32 << 20

// Ring is members that sum their vectors.
type Ring struct {
	members []member
	rounds  int // a round sums as much of the vectors as there is memory for
}

type member struct {
	Member
	direct bool              // it writes into the memory of the next
	chunks [][]device.Buffer // of the vector, by round and number; nil for an empty one
	sent   [2]device.Buffer  // what the member before it sent, to be added, by turn modulo 2
	boxes  [2][]byte         // in memory of the host, what it sends, if not direct
	whole  device.Buffer     // of sent
	free   []func() error
}

// Memory is the bytes that each of n members of a ring takes of its device's memory, for
// a vector of so many elements.
func Memory(n int, elements int64) int64 {
	if n < 2 {
		return 0
	}
	_, chunk := split(n, elements)
	return 2 * chunk
}

// split returns how many rounds n members sum so many elements in, and the most bytes of
// a chunk: each round has n of them.
func split(n int, elements int64) (rounds int, chunk int64) {
	steps, most := elements/Step, int64(n*largest/device.PartAlign)
	rounds = int((steps + most - 1) / most)
	each := (steps + int64(rounds) - 1) / int64(rounds)
	return rounds, (each + int64(n) - 1) / int64(n) * device.PartAlign
}

// New returns a ring of two members or more, and allocates what it needs.
func New(members ...Member) (*Ring, error) {
	n, bytes := len(members), members[0].Vector.Size()
	if n < 2 || bytes < device.PartAlign || bytes%device.PartAlign != 0 {
		return nil, fmt.Errorf("allreduce: %d members with vectors of %d bytes: use two or more, and a multiple of %d", n, bytes, device.PartAlign)
	}
	for _, m := range members {
		if m.Vector.Size() != bytes {
			return nil, fmt.Errorf("allreduce: a vector of %d bytes on %s, and of %d on %s", m.Vector.Size(), m.On.Info().ID, bytes, members[0].On.Info().ID)
		}
	}
	rounds, chunk := split(n, bytes/4)
	r := &Ring{members: make([]member, n), rounds: rounds}
	for i, m := range members {
		r.members[i] = member{Member: m}
		if err := r.members[i].open(members[(i+1)%n].On, rounds, n, chunk); err != nil {
			return nil, errors.Join(fmt.Errorf("allreduce: %w", err), r.Close())
		}
	}
	return r, nil
}

// open allocates what a member needs to send chunks to the next one.
func (m *member) open(next device.Processor, rounds, n int, chunk int64) (err error) {
	if p, ok := m.On.(device.Peer); ok {
		if m.direct, err = p.Direct(next); err != nil {
			return err
		}
	}
	if m.whole, err = m.On.Alloc(2 * chunk); err != nil {
		return err
	}
	m.free = append(m.free, func() error { return m.On.Free(m.whole) })
	for i := range m.sent {
		if m.sent[i], err = m.On.Part(m.whole, int64(i)*chunk, chunk); err != nil {
			return err
		}
		if m.direct {
			continue
		}
		box, release, err := m.On.Host(chunk)
		if err != nil {
			return err
		}
		m.boxes[i], m.free = box, append(m.free, release)
	}
	steps := m.Vector.Size() / device.PartAlign
	all := int64(rounds * n)
	m.chunks = make([][]device.Buffer, rounds)
	for k := range all {
		from, to := part(steps, k, all), part(steps, k+1, all)
		var b device.Buffer
		if to > from {
			if b, err = m.On.Part(m.Vector, from*device.PartAlign, (to-from)*device.PartAlign); err != nil {
				return err
			}
		}
		m.chunks[k/int64(n)] = append(m.chunks[k/int64(n)], b)
	}
	return nil
}

// part is the first of so many steps that belongs to part k of all.
func part(steps, k, all int64) int64 {
	high, low := bits.Mul64(uint64(steps), uint64(k)) // #nosec G115 -- not negative
	at, _ := bits.Div64(high, low, uint64(all))       // #nosec G115 -- at most steps
	return int64(at)                                  // #nosec G115 -- at most steps
}

// Direct reports for how many members the next one's memory is within reach.
func (r *Ring) Direct() (n int) {
	for i := range r.members {
		if r.members[i].direct {
			n++
		}
	}
	return n
}

// Turns is how many turns sum the vectors.
func (r *Ring) Turns() int { return r.rounds * r.each() }

// each is the turns of a round: in n−1 of them chunks are sent and added, in n−1 the sums
// are sent on, and in the last one they are received.
func (r *Ring) each() int { return 2*len(r.members) - 1 }

// Turn has member i take a turn, from 0 up to Turns. All members take it, at the same
// time or in any order, before one takes the next. A member whose first turn begins has
// its vector; after the last, all have the sum. If a turn fails, the vectors and the
// members are of no further use.
//
// In turn t of a round, member i adds or keeps chunk i−t (modulo n), which the one before
// it sent in turn t−1, and sends it on. Up to turn n−1 a chunk becomes a sum of one
// member more; what arrives later is the sum of all.
func (r *Ring) Turn(i, turn int) error {
	n := len(r.members)
	round, t := turn/r.each(), turn%r.each()
	m, before, next := &r.members[i], &r.members[(i+n-1)%n], &r.members[(i+1)%n]
	number := ((i-t)%n + n) % n
	chunk := m.chunks[round][number]
	if chunk == nil {
		return nil
	}
	if t > 0 && !before.direct {
		if err := m.On.Write(m.place(round, t-1, number), before.boxes[(t-1)%2][:chunk.Size()]); err != nil {
			return err
		}
	}
	if t > 0 && t < n {
		if err := m.Add(chunk, m.sent[(t-1)%2], int(chunk.Size()/4)); err != nil {
			return err
		}
	}
	switch {
	case t == r.each()-1:
		return nil
	case m.direct:
		return m.On.(device.Peer).Send(next.On, next.place(round, t, number), chunk)
	}
	return m.On.Read(m.boxes[t%2][:chunk.Size()], chunk)
}

// place is where a chunk that is sent to m in turn t of a round goes: to be added, or to
// its own place. Two turns use two places to be added from: one is written while the
// other is read.
func (m *member) place(round, t, number int) device.Buffer {
	if t < len(m.chunks[round])-1 {
		return m.sent[t%2]
	}
	return m.chunks[round][number]
}

// Close gives the memory of the ring back.
func (r *Ring) Close() error {
	var errs []error
	for i := range r.members {
		for _, free := range r.members[i].free {
			errs = append(errs, free())
		}
		r.members[i].free = nil
	}
	return errors.Join(errs...)
}
