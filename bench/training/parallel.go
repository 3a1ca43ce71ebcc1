package training

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc64"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/perwatt/perwatt/bench"
	"github.com/perwatt/perwatt/kernels/allreduce"
	"github.com/perwatt/perwatt/kernels/device"
	"github.com/perwatt/perwatt/kernels/nn"
	"github.com/perwatt/perwatt/results"
)

// Parallel returns the constructor of data-parallel training in a format: equal
// processors, a [device.Group], train one model. Each has all weights and computes the
// gradients of its own batch; these are summed by package allreduce, and every processor
// makes the same update. The options are those of [New]; batch is that of one processor.
func Parallel(format nn.Format) func(bench.Config) (bench.Workload, error) {
	return func(cfg bench.Config) (bench.Workload, error) {
		if g, ok := cfg.Device.(device.Group); !ok || len(g.Members) < 2 {
			return nil, fmt.Errorf("training: %w: %s runs on two or more equal GPUs together, as on cuda:0-1", bench.ErrUsage, ParallelUse(format))
		}
		return open(cfg, format)
	}
}

// ParallelUse is what data-parallel training in a format is a use of.
func ParallelUse(format nn.Format) string {
	return strings.Replace(use(results.Training, format), results.Training, results.Training+results.Parallel, 1)
}

// way says how the sums of processors go from one to the next; nothing of processors that
// are not open.
func way(members []device.Device) (string, error) {
	direct := 0
	for i, d := range members {
		next, open := members[(i+1)%len(members)].(device.Processor)
		if _, ok := d.(device.Processor); !ok || !open {
			return "ring", nil
		}
		if p, ok := d.(device.Peer); ok {
			reaches, err := p.Direct(next)
			if err != nil {
				return "", err
			}
			if reaches {
				direct++
			}
		}
	}
	switch direct {
	case 0:
		return "ring, through the host", nil
	case len(members):
		return "ring, peer copies", nil
	}
	return fmt.Sprintf("ring, %d of %d copies between peers, the others through the host", direct, len(members)), nil
}

// What several cards do at the same time ends within a limit: a driver whose card is lost
// may never return. A step has less time than the harness waits for a count, 10 s, so
// that the card is named and not only the hang.
var (
	stepLimit = 9 * time.Second
	patience  = time.Minute // of anything else
)

// join makes a ring of several cards.
func (m *model) join() (err error) {
	if len(m.cards) < 2 {
		return nil
	}
	var members []allreduce.Member
	for _, c := range m.cards {
		on := c.on.Processor
		sums, err := nn.With(on, nn.FP32, nn.Programs(nn.FP32), nil)
		if err != nil {
			return fmt.Errorf("training: %w", err)
		}
		add := func(sum, with device.Buffer, n int) error { return sums.Add(sum, sum, with, n) }
		members = append(members, allreduce.Member{On: on, Vector: c.all.gradients, Add: add})
	}
	m.ring, err = allreduce.New(members...)
	return err
}

// reduce sums the gradients of all cards, so that each has the sum.
func (m *model) reduce() error {
	if m.ring == nil {
		return nil
	}
	for turn := range m.ring.Turns() {
		err := m.each(func(i int, _ *replica) error {
			if err := m.cards[i].on.flush(); err != nil {
				return err
			}
			return m.ring.Turn(i, turn)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// meet has every card do something at the same time. It waits for all of them, but for no
// longer than the limit: then the error names those that are late, whose goroutines are
// left to the end of the process. After an error the cards are of no further use.
func (m *model) meet(do func(i int, r *replica) error) error {
	if m.lost != nil {
		return m.lost
	}
	alarm := m.alarm
	if alarm == nil {
		alarm = time.After(patience)
	}
	type end struct {
		i   int
		err error
	}
	ended, errs := make(chan end, len(m.cards)), make([]error, len(m.cards))
	for i, r := range m.replicas {
		go func() {
			err := do(i, r)
			if err == nil {
				err = m.cards[i].err
			}
			ended <- end{i, err}
		}()
	}
	busy := map[int]bool{}
	for i := range m.cards {
		busy[i] = true
	}
	for len(busy) > 0 && m.lost == nil {
		select {
		case e := <-ended:
			errs[e.i] = e.err
			delete(busy, e.i)
		case <-alarm:
			var late []string
			for i, c := range m.cards {
				if busy[i] {
					late = append(late, c.on.Info().ID)
				}
			}
			m.lost = fmt.Errorf("training: %s did not answer in time, while the other cards waited for it", strings.Join(late, " and "))
		}
	}
	m.lost = errors.Join(append([]error{m.lost}, errs...)...)
	return m.lost
}

// free gives all memory on processors back. Where one of several was lost, nothing calls
// the driver any more, and the end of the process does.
func (m *model) free() error {
	if m.lost != nil {
		return nil
	}
	var errs []error
	if m.ring != nil {
		errs = append(errs, m.ring.Close())
	}
	for _, c := range m.cards {
		errs = append(errs, c.free())
	}
	return errors.Join(errs...)
}

// piece is how much of a large buffer a check writes or reads at a time, in bytes.
const piece = 16 << 20

// pieces calls f with parts of a buffer of each card, at the same time for all: with all
// of them or, if there are more than most, with so many from its beginning to its end.
// from is where a part begins, in bytes.
func (m *model) pieces(of func(c *card) device.Buffer, most int64, f func(i int, part device.Buffer, from int64) error) error {
	size := of(m.cards[0]).Size()
	all := (size + piece - 1) / piece
	for k := range min(all, most) {
		from := k * all / min(all, most) * piece
		err := m.each(func(i int, _ *replica) error {
			part, err := m.cards[i].on.Part(of(m.cards[i]), from, min(piece, size-from))
			if err != nil {
				return err
			}
			return f(i, part, from)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// known is an integer from −2048 to 2047 for element k of card i. A sum of those of up to
// 4,096 cards is exact in float32.
func known(i int, k int64) int64 {
	state := uint64(i)<<48 ^ uint64(k) // #nosec G115 -- no more than bits to mix
	return int64(mix(&state)>>52) - 2048
}

// exact sums known integers over the cards, in the place of gradients, and returns what
// is wrong with the sums.
func (m *model) exact() (wrong string, err error) {
	gradients := func(c *card) device.Buffer { return c.all.gradients }
	err = m.pieces(gradients, math.MaxInt64, func(i int, part device.Buffer, from int64) error {
		data := make([]byte, 0, part.Size())
		for k := from / 4; k < (from+part.Size())/4; k++ {
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(float32(known(i, k))))
		}
		return m.cards[i].on.Write(part, data)
	})
	if err == nil {
		err = m.reduce()
	}
	found := make([]string, len(m.cards))
	if err == nil {
		err = m.pieces(gradients, math.MaxInt64, func(i int, part device.Buffer, from int64) error {
			if found[i] != "" {
				return nil
			}
			data := make([]byte, part.Size())
			if err := m.cards[i].on.Read(data, part); err != nil {
				return err
			}
			for at := 0; at < len(data); at += 4 {
				k, want := (from+int64(at))/4, int64(0)
				for j := range m.cards {
					want += known(j, k)
				}
				if got := math.Float32frombits(binary.LittleEndian.Uint32(data[at:])); got != float32(want) {
					found[i] = fmt.Sprintf("element %d of the sum is %v on %s, want %d", k, got, m.cards[i].on.Info().ID, want)
					return nil
				}
			}
			return nil
		})
	}
	for _, c := range m.cards { // between matrices there are zeros, and stay
		c.fill(c.all.gradients, c.all.n)
	}
	i := slices.IndexFunc(found, func(s string) bool { return s != "" })
	if i < 0 || err != nil {
		return "", err
	}
	return found[i], nil
}

// same returns a card whose weights are not those of the first, bit for bit; "" if they
// are. Of more than most pieces it compares so many.
func (m *model) same(most int64) (other string, err error) {
	sums := make([]map[int64]uint64, len(m.cards))
	for i := range sums {
		sums[i] = map[int64]uint64{}
	}
	table := crc64.MakeTable(crc64.ECMA)
	err = m.pieces(func(c *card) device.Buffer { return c.all.masters }, most, func(i int, part device.Buffer, from int64) error {
		data := make([]byte, part.Size())
		err := m.cards[i].on.Read(data, part)
		sums[i][from] = crc64.Checksum(data, table)
		return err
	})
	for i, of := range sums {
		for from, x := range of {
			if x != sums[0][from] {
				return m.cards[i].on.Info().ID, err
			}
		}
	}
	return "", err
}

// gradientTolerance is how far the gradients of several cards may be from those of one
// with all of their samples, relative to the length of the vector. Both are rounded, in
// orders that differ.
func (p *processor) gradientTolerance() float64 {
	if p.format == nn.BF16 {
		return 5e-2
	}
	return 1e-4
}

// agree trains the small language model for a few steps, on several cards with a document
// each, and on one of them with all documents. The losses and gradients are those of one
// card, and the weights of all cards have the same bits; or else wrong says what differs.
func (p *processor) agree(ctx context.Context, tolerance float64) (detail, wrong string, err error) {
	net := languageModels[0]
	several, err := p.build(net, 1)
	if err != nil {
		return "", "", err
	}
	defer func() { err = errors.Join(err, several.free()) }()
	first := *p
	first.members = p.members[:1]
	one, err := first.build(net, len(p.members))
	if err != nil {
		return "", "", err
	}
	defer func() { err = errors.Join(err, one.free()) }()
	return several.agrees(ctx, one, tolerance, p.gradientTolerance())
}

// agrees is [processor.agree] of two models.
func (m *model) agrees(ctx context.Context, one *model, tolerance, gradients float64) (detail, wrong string, err error) {
	l, _ := m.net.language()
	text := fixedText{one.replicas[0].batch, l.vocab}
	if err := errors.Join(m.fix(), one.fix()); err != nil {
		return "", "", err
	}
	var worst, worstGradient float64
	const steps = 3
	for step := range steps {
		if err := ctx.Err(); err != nil {
			return "", "", err
		}
		if _, err := one.documents(text, heldOutStream, step*text.batch); err != nil {
			return "", "", err
		}
		if _, err := m.documents(text, heldOutStream, step*text.batch); err != nil {
			return "", "", err
		}
		rate := warmed(m.net.lr, step, steps)
		want, err := one.step(rate)
		if err != nil {
			return "", "", err
		}
		got, err := m.step(rate)
		if err != nil {
			return "", "", err
		}
		off := math.Abs(float64(got/want) - 1)
		if !(off <= tolerance) {
			return "", fmt.Sprintf("loss %d of %d cards is %.7g, and %.7g of one with the same documents", step+1, len(m.cards), got, want), nil
		}
		if worst = max(worst, off); step > 0 {
			// AdamW divides by the size of gradients: with an error in it, weights go
			// apart that began alike, and so do the gradients of later steps.
			gradients *= 2
		}
		if off, err = m.gradientsFrom(one); err != nil {
			return "", "", err
		}
		if !(off <= gradients) {
			return "", fmt.Sprintf("the gradients of step %d are off those of one card with the same documents by %.2g of their length", step+1, off), nil
		}
		worstGradient = max(worstGradient, off)
	}
	other, err := m.same(math.MaxInt64)
	if err != nil || other != "" {
		return "", fmt.Sprintf("after %d steps %s has other weights than %s", steps, other, m.cards[0].on.Info().ID), err
	}
	return fmt.Sprintf("%d steps of %s on %d cards are those of one with all documents: losses within %.1e, gradients within %.1e, and all cards have the same weights", steps, m.net.name, len(m.cards), worst, worstGradient), "", nil
}

// gradientsFrom is how far the gradients of the card that is farthest are from those of
// another model's first card, relative to these.
func (m *model) gradientsFrom(one *model) (off float64, err error) {
	read := func(c *card) ([]float32, error) {
		data := make([]byte, c.all.gradients.Size())
		err := c.on.Read(data, c.all.gradients)
		x := make([]float32, len(data)/4)
		_, bad := binary.Decode(data, binary.LittleEndian, x)
		return x, errors.Join(err, bad)
	}
	want, err := read(one.cards[0])
	if err != nil {
		return 0, err
	}
	for _, c := range m.cards {
		got, err := read(c)
		if err != nil {
			return 0, err
		}
		apart, length := 0.0, 0.0
		for k, w := range want {
			d := float64(got[k]) - float64(w)
			apart, length = apart+d*d, length+float64(w)*float64(w)
		}
		off = max(off, math.Sqrt(apart/length))
	}
	return off, nil
}

// compareCards tries the sum over the cards: of integers, in the place of the gradients
// of the model, and in steps of a small one.
func (w *workload) compareCards(ctx context.Context) (c results.Check, err error) {
	c = results.Check{Use: w.info.Use, Name: "all-reduce"}
	if c.Detail, err = w.model.exact(); err != nil || c.Detail != "" {
		c.Detail += ": cards that write into each other's memory need a bus that lets them (look at ACS and IOMMU in the firmware, and at nvidia-smi topo -p2p w)"
		return c, err
	}
	detail, wrong, err := w.card.agree(ctx, w.tolerance())
	c.OK, c.Detail = wrong == "", cmp.Or(wrong, fmt.Sprintf("sums of integers are exact in %d elements; %s", w.model.cards[0].all.n, detail))
	return c, err
}

// checkReplicas requires that all cards have the same weights after the run, in pieces of
// large ones.
func (w *workload) checkReplicas() results.Check {
	c := results.Check{Use: w.info.Use, Name: "replicas"}
	const most = 16 // pieces of each card: within the time that an end of a run has
	other, err := w.model.same(most)
	switch {
	case err != nil:
		c.Detail = err.Error()
	case other != "":
		c.Detail = fmt.Sprintf("after %d steps %s has other weights than %s", w.steps, other, w.model.cards[0].on.Info().ID)
	default:
		c.OK, c.Detail = true, fmt.Sprintf("after %d steps the weights of %d cards are the same, bit for bit", w.steps, len(w.model.cards))
	}
	return c
}
