package allreduce_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/kernels/allreduce"
	"github.com/perwatt/perwatt/kernels/device"
)

// card is a processor whose memory is Go's. What is submitted is done when it is waited
// for and no earlier, as a busy device may do it.
type card struct {
	device.Processor // nothing else is called
	id               string
	linked           bool
	pending          []func()
	sent, read       int64 // bytes
	boxes, buffers   int   // not given back
	fails            string
}

type buffer []byte

func (b buffer) Size() int64 { return int64(len(b)) }

func (c *card) wait() error {
	for _, f := range c.pending {
		f()
	}
	c.pending = nil
	if c.fails != "" {
		return errors.New(c.fails)
	}
	return nil
}

func (c *card) Info() device.Info { return device.Info{ID: c.id} }
func (c *card) Alloc(n int64) (device.Buffer, error) {
	c.buffers++
	if c.fails != "" {
		return nil, errors.New(c.fails)
	}
	return make(buffer, n), nil
}
func (c *card) Free(device.Buffer) error {
	c.buffers--
	return nil
}
func (c *card) Part(b device.Buffer, at, n int64) (device.Buffer, error) {
	if err := device.CheckPart(b, at, n); err != nil {
		return nil, err
	}
	return b.(buffer)[at : at+n : at+n], nil
}
func (c *card) Host(n int64) ([]byte, func() error, error) {
	c.boxes++
	return make([]byte, n), func() error { c.boxes--; return nil }, nil
}
func (c *card) Write(to device.Buffer, data []byte) error {
	copy(to.(buffer), data)
	return c.wait()
}
func (c *card) Read(data []byte, from device.Buffer) error {
	err := c.wait()
	c.read += int64(copy(data, from.(buffer)))
	return err
}
func (c *card) Direct(other device.Processor) (bool, error) {
	return c.linked && other.(*card).linked, nil
}
func (c *card) Send(_ device.Processor, to, from device.Buffer) error {
	err := c.wait()
	c.sent += int64(copy(to.(buffer), from.(buffer)))
	return err
}

func (c *card) add(sum, with device.Buffer, n int) error {
	c.pending = append(c.pending, func() {
		a, b := sum.(buffer), with.(buffer)
		for i := 0; i < 4*n; i += 4 {
			v := math.Float32frombits(binary.LittleEndian.Uint32(a[i:])) + math.Float32frombits(binary.LittleEndian.Uint32(b[i:]))
			binary.LittleEndian.PutUint32(a[i:], math.Float32bits(v))
		}
	})
	return nil
}

// ringOf is n cards, each with a vector of so many elements that f gives; those that
// linked names reach each other's memory.
func ringOf(t *testing.T, n, elements int, linked func(i int) bool, f func(i, k int) float32) (*allreduce.Ring, []*card, []allreduce.Member) {
	var cards []*card
	var members []allreduce.Member
	for i := range n {
		c := &card{id: fmt.Sprint("card:", i), linked: linked(i)}
		v := make(buffer, 0, 4*elements)
		for k := range elements {
			v = binary.LittleEndian.AppendUint32(v, math.Float32bits(f(i, k)))
		}
		cards, members = append(cards, c), append(members, allreduce.Member{On: c, Vector: v, Add: c.add})
	}
	r, err := allreduce.New(members...)
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, r.Close())
		for _, c := range cards {
			require.Zero(t, c.boxes, "memory of the host")
			require.Zero(t, c.buffers)
		}
	})
	return r, cards, members
}

// sum takes all turns, in each all members at the same time, and skips one turn of a
// member, if that is one.
func sum(r *allreduce.Ring, n int, skip [2]int) error {
	for turn := range r.Turns() {
		errs := make([]error, n)
		var all sync.WaitGroup
		for _, i := range rand.Perm(n) {
			if skip != [2]int{i, turn} {
				all.Go(func() { errs[i] = r.Turn(i, turn) })
			}
		}
		all.Wait()
		if err := errors.Join(errs...); err != nil {
			return err
		}
	}
	return nil
}

var none = [2]int{-1, -1}

func integer(i, k int) float32 { return float32((k*2654435761>>7+i*40503)&0xfff - 2048) }

// wrong returns the first member and element whose value is not the sum.
func wrong(members []allreduce.Member, f func(i, k int) float32) (member, element int, found bool) {
	for i, m := range members {
		for k := range int(m.Vector.Size() / 4) {
			want := float32(0)
			for j := range members {
				want += f(j, k)
			}
			if got := math.Float32frombits(binary.LittleEndian.Uint32(m.Vector.(buffer)[4*k:])); got != want {
				return i, k, true
			}
		}
	}
	return 0, 0, false
}

var links = map[string]func(i int) bool{
	"peers":    func(int) bool { return true },
	"host":     func(int) bool { return false },
	"some":     func(i int) bool { return i%3 != 2 },
	"all but0": func(i int) bool { return i > 0 },
}

// Sums of integers are exact, whatever the order: every element of every member has it.
func TestSum(t *testing.T) {
	for name, linked := range links {
		for _, n := range []int{2, 3, 4, 5, 8} {
			for _, steps := range []int{1, n - 1, n, n + 1, 7*n + 3} {
				r, cards, members := ringOf(t, n, steps*allreduce.Step, linked, integer)
				require.NoError(t, sum(r, n, none))
				i, k, found := wrong(members, integer)
				require.False(t, found, "%s, %d cards, %d steps: element %d of member %d", name, n, steps, k, i)
				moved, direct := int64(0), 0
				for i, c := range cards {
					moved += c.sent + c.read
					if c.linked && cards[(i+1)%n].linked {
						direct++
						require.Zero(t, c.read)
					} else {
						require.Zero(t, c.sent)
					}
				}
				require.Equal(t, direct, r.Direct())
				require.Equal(t, int64(2*(n-1)*steps)*device.PartAlign, moved, "each byte is sent n−1 times to be added, and n−1 times as a sum")
			}
		}
	}
}

// Sums of other numbers are rounded; all members have the same bits, every time, and as
// near to the exact sum as n additions can be.
func TestSameBits(t *testing.T) {
	const n, elements = 5, 9 * allreduce.Step
	rng := rand.New(rand.NewPCG(1, 2))
	var x [n][elements]float32
	for i := range x {
		for k := range x[i] {
			x[i][k] = float32(rng.NormFloat64())
		}
	}
	f := func(i, k int) float32 { return x[i][k] }
	var first buffer
	for name, linked := range links {
		r, _, members := ringOf(t, n, elements, linked, f)
		require.NoError(t, sum(r, n, none))
		for _, m := range members {
			if first == nil {
				first = m.Vector.(buffer)
			}
			require.Equal(t, first, m.Vector.(buffer), "by way of %s", name)
		}
	}
	for k := range elements {
		exact, size := 0.0, 0.0
		for i := range n {
			exact, size = exact+float64(x[i][k]), size+math.Abs(float64(x[i][k]))
		}
		got := float64(math.Float32frombits(binary.LittleEndian.Uint32(first[4*k:])))
		require.InDelta(t, exact, got, n*size*0x1p-24)
	}
}

// What is larger than the memory of a ring is summed in rounds; its parts are bounded.
func TestRounds(t *testing.T) {
	for _, n := range []int{2, 8, 1024} {
		for _, elements := range []int64{allreduce.Step, 1 << 20, 124_475_904, 1 << 33} {
			require.LessOrEqual(t, allreduce.Memory(n, elements), int64(64<<20))
			require.GreaterOrEqual(t, allreduce.Memory(n, elements), int64(2*device.PartAlign))
		}
	}
	require.EqualValues(t, 64<<20, allreduce.Memory(2, 1<<24), "two parts of 32 MiB")
	require.Zero(t, allreduce.Memory(1, 1<<24))
	if testing.Short() {
		return
	}
	const steps = 2*2*65536 + 5 // three rounds of two chunks
	f := func(i, k int) float32 { return float32((k>>3+i)&0xff - 128) }
	r, _, members := ringOf(t, 2, steps*allreduce.Step, links["peers"], f)
	require.Equal(t, 3*3, r.Turns())
	require.NoError(t, sum(r, 2, none))
	_, _, found := wrong(members, f)
	require.False(t, found)
}

// Whichever turn of whichever member is left out, the sums are wrong.
func TestLeftOut(t *testing.T) {
	const n, steps = 3, 7
	for name, linked := range links {
		probe, _, _ := ringOf(t, n, steps*allreduce.Step, linked, integer)
		for turn := range probe.Turns() {
			for i := range n {
				if turn == probe.Turns()-1 && linked((i+n-1)%n) && linked(i) {
					continue // its last turn receives, and a peer has written already
				}
				r, _, members := ringOf(t, n, steps*allreduce.Step, linked, integer)
				require.NoError(t, sum(r, n, [2]int{i, turn}))
				_, _, found := wrong(members, integer)
				require.True(t, found, "%s: turn %d of member %d", name, turn, i)
			}
		}
	}
}

// A card that fails is named, and nothing waits for it.
func TestFailure(t *testing.T) {
	for name, linked := range links {
		r, cards, _ := ringOf(t, 4, 8*allreduce.Step, linked, integer)
		cards[2].fails = "launch of add on card:2: unspecified launch failure"
		require.ErrorContains(t, sum(r, 4, none), "card:2", name)
	}
}

func TestRefused(t *testing.T) {
	a, b := &card{id: "card:0"}, &card{id: "card:1"}
	of := func(c *card, bytes int) allreduce.Member {
		return allreduce.Member{On: c, Vector: make(buffer, bytes), Add: c.add}
	}
	for want, members := range map[string][]allreduce.Member{
		"1 members":                       {of(a, 512)},
		"vectors of 0 bytes":              {of(a, 0), of(b, 0)},
		"vectors of 516 bytes":            {of(a, 516), of(b, 516)},
		"1024 bytes on card:1, and of 51": {of(a, 512), of(b, 1024)},
	} {
		_, err := allreduce.New(members...)
		require.ErrorContains(t, err, want)
	}
	b.fails = "out of memory on card:1"
	_, err := allreduce.New(of(a, 512), of(b, 512))
	require.ErrorContains(t, err, "allreduce: out of memory on card:1")
	require.Zero(t, a.boxes)
	require.Zero(t, a.buffers, "what others had is given back")
}
