// Package nvml reads the power of NVIDIA cards from the driver's own library,
// libnvidia-ml.so.1, which is looked for when a meter is opened: a build needs
// neither cgo nor the library. Linux on amd64 and arm64 only.
//
// It reads one quantity per card, the best available: the energy counter;
// otherwise the instantaneous power, otherwise the power averaged over a second,
// otherwise what nvmlDeviceGetPowerUsage returns on that card. The channel's name
// and the notes say which. Sampled power misses what happens between samples: the
// sensors of A100 and H100 observe a quarter of the time (arXiv 2312.02741).
//
// A channel names its card by the PCI address, never by the index, and the cards add
// up to a total of their own, which is not the node's. A card that is divided by MIG
// is in no total: its counter is the whole board's, whoever works on its parts. A
// virtual GPU, and a card that virtual machines share, are left out.
//
// Clocks, temperature, power limit, what holds the clocks back and errors of the
// memory are the state of a card at work: see [power.CardMeter].
package nvml

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/perwatt/perwatt/harness/endpoint"
	"github.com/perwatt/perwatt/harness/power"
	"github.com/perwatt/perwatt/results"
)

// Options are those of its spec.
var Options = []endpoint.Option{
	{Key: "device", Help: "one card only, by its UUID or index in nvidia-smi -L (all cards)"},
	{Key: "name", Help: "its name in the record (nvml)"},
}

// soname is the name under which every driver installs the library.
const soname = "libnvidia-ml.so.1"

const (
	// The update interval of the sensors is not documented; most of 70 models
	// update every 20 to 100 ms (arXiv 2312.02741).
	period = 100 * time.Millisecond
	// A shorter window says little, and no counter stands still over this time: an
	// idle card draws more than 5 W, which is 25 000 of its steps.
	window = 50 * period
	// A counter that has not moved this long after opening does not count.
	alive = 500 * time.Millisecond
	// Cards without persistence mode take seconds each to initialise.
	openMost = time.Minute
	// The longest time for which a card is asked for its state.
	stateMost = time.Second
	// The longest time for which a hanging driver delays Close.
	closeMost = time.Second
	// Power in W that is implausible for a card, whatever limit it reports.
	cardMost  = 3000
	cardsMost = 256
)

// source is one way to read a card.
type source struct {
	name  string // in the channel's: gpu0-energy
	about string
	joule bool
	read  func(l *library, d device) (float64, error) // J or W
}

// sources in the order of preference.
var sources = []source{
	{"energy", "its energy counter", true, func(l *library, d device) (float64, error) {
		mJ, err := one(l, l.Energy, d)
		return float64(mJ) / 1e3, err
	}},
	{"energy", "its energy counter (field 83)", true, field(fieldEnergy)},
	{"instant", "its power at the moment (field 186)", false, field(fieldInstant)},
	{"average", "its power averaged over the last second (field 185): late by half of that", false, field(fieldAverage)},
	{"power", "nvmlDeviceGetPowerUsage: an average of the last second from Ampere on, GA100 excepted, and the moment's on older cards (nvml.h)", false, func(l *library, d device) (float64, error) {
		mW, err := one(l, l.Power, d)
		return float64(mW) / 1e3, err
	}},
}

// field reads one of the fields, in thousandths.
func field(id uint32) func(*library, device) (float64, error) {
	return func(l *library, d device) (float64, error) {
		if l.Fields == nil {
			return 0, l.err(noSuchFunction)
		}
		v := fieldValue{field: id}
		if err := l.err(l.Fields(d, 1, &v)); err != nil {
			return 0, err
		}
		if err := l.err(v.result); err != nil {
			return 0, err
		}
		n, err := v.number()
		return n / 1e3, err
	}
}

// number is the value of the union (nvml.h, nvmlValueType_t).
func (v *fieldValue) number() (float64, error) {
	n := binary.NativeEndian.Uint64(v.value[:])
	switch v.kind {
	case 0:
		return math.Float64frombits(n), nil
	case 1:
		return float64(uint32(n)), nil // #nosec G115 -- the low half is the value
	case 2, 3:
		return float64(n), nil
	case 4:
		return float64(int64(n)), nil // #nosec G115 -- its 64 bits are signed
	case 5:
		return float64(int32(n)), nil // #nosec G115 -- the low half is the value
	case 6:
		return float64(uint16(n)), nil // #nosec G115 -- the low quarter is the value
	}
	return 0, fmt.Errorf("field %d is of a type that is not known: %d", v.field, v.kind)
}

// card is one card and how it is read.
type card struct {
	name   string // gpu0, by its index
	device device
	uuid   string
	key    string // as in results.Channel
	source *source
	failed bool // the last reading
}

// meter is what its Poller queries.
type meter struct {
	lib    *library
	cards  []*card
	about  power.Info
	bounds []power.Bound
	busy   chan struct{} // full while a call is in progress
}

// Open finds the library, "" for libnvidia-ml.so.1, and the cards that the
// specification names. It wraps [power.ErrAbsent] if there is no library, no
// driver or no card with a sensor. A card that cannot be read is an error only if
// no other can be read either, or if the specification names it; the notes list
// those left out.
func Open(ctx context.Context, s power.Spec, lib string) (power.Meter, error) {
	limited, cancel := context.WithTimeout(ctx, openMost)
	defer cancel()
	m, err := hand(limited, func() (*meter, error) { return open(s, lib) }, func(m *meter) { m.lib.Shutdown() })
	if err != nil {
		if ctx.Err() == nil && limited.Err() != nil {
			err = fmt.Errorf("the driver has not answered for %v: %w", openMost, err)
		}
		return nil, fmt.Errorf("nvml: %w", err)
	}
	r, err := s.Poller(m.about, m.bounds, m.ask, m.shut)
	if err != nil {
		return nil, errors.Join(err, m.shut())
	}
	return instrument{r, m}, nil
}

// instrument is the meter with the state of its cards.
type instrument struct {
	*power.Poller
	m *meter
}

// Cards implements [power.CardMeter].
func (i instrument) Cards(ctx context.Context) []power.Card {
	out := make([]power.Card, len(i.m.cards))
	for k, c := range i.m.cards {
		limited, cancel := context.WithTimeout(ctx, stateMost)
		state, err := locked(limited, i.m, func() (power.Card, error) { return c.state(i.m.lib), nil })
		cancel()
		if err != nil {
			state = power.UnknownCard(c.key)
			state.Err = fmt.Errorf("nvml: %s: %w", c.name, err)
		}
		out[k] = state
	}
	return out
}

// state queries how a card works. An older library, or a card of another kind, lacks
// some of it.
func (c *card) state(l *library) power.Card {
	s := power.UnknownCard(c.key)
	mhz, err := what(l, l.Clock, c.device, clockSM)
	if is(err, lost) {
		s.Err = fmt.Errorf("nvml: %s: %w", c.name, err)
		return s
	}
	set := func(to *results.Float, v float64, err error) {
		if err == nil {
			*to = results.Float(v)
		}
	}
	set(&s.Clock, 1e6*float64(mhz), err)
	mhz, err = what(l, l.Clock, c.device, clockMemory)
	set(&s.MemoryClock, 1e6*float64(mhz), err)
	celsius, err := what(l, l.Temperature, c.device, sensorGPU)
	set(&s.Temperature, float64(celsius)+273.15, err)
	mW, err := c.limit(l)
	set(&s.Limit, float64(mW)/1e3, err)
	mW, err = one(l, l.Default, c.device)
	set(&s.Default, float64(mW)/1e3, err)
	if mask, err := c.reasons(l); err == nil {
		s.Held = heldBack(mask)
	}
	if l.Errors != nil {
		for of, to := range map[uint32]*results.Float{errorsCorrected: &s.Corrected, errorsUncorrected: &s.Uncorrected} {
			var n uint64
			set(to, float64(n), l.err(l.Errors(c.device, of, sinceLoaded, &n)))
		}
	}
	return s.Believable()
}

// limit is the lowest of all power limits of a card, in mW.
func (c *card) limit(l *library) (uint32, error) {
	if mW, err := one(l, l.Enforced, c.device); err == nil {
		return mW, nil
	}
	return one(l, l.Limit, c.device)
}

// reasons are those for reduced clocks, as a mask of [reasons].
func (c *card) reasons(l *library) (uint64, error) {
	if mask, err := one(l, l.Reasons, c.device); err == nil {
		return mask, nil
	}
	return one(l, l.ReasonsOld, c.device)
}

// address is the PCI address of a card, as Linux and CUDA write it. A card of NVIDIA's
// computes in function 0.
func (c *card) address(l *library) (string, error) {
	at, err := one(l, l.PCI, c.device)
	if err == nil && (at.bus > 255 || at.device > 31) {
		err = fmt.Errorf("no PCI address: bus %d, device %d", at.bus, at.device)
	}
	return fmt.Sprintf("%04x:%02x:%02x.0", at.domain, at.bus, at.device), err
}

// hand runs f in a goroutine, because a driver that hangs ignores ctx. It waits
// until ctx ends; what f returns after that goes to late.
func hand[T any](ctx context.Context, f func() (T, error), late func(T)) (T, error) {
	type answer struct {
		v   T
		err error
	}
	done := make(chan answer)
	go func() {
		v, err := f()
		select {
		case done <- answer{v, err}:
		case <-ctx.Done():
			if err == nil {
				late(v)
			}
		}
	}()
	select {
	case a := <-done:
		return a.v, a.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}

// ask queries all cards, one call at a time: a call that still hangs in a driver
// is waited for by the next.
func (m *meter) ask(ctx context.Context) ([]power.Quantity, error) {
	return locked(ctx, m, func() ([]power.Quantity, error) {
		out := make([]power.Quantity, len(m.cards))
		for i, c := range m.cards {
			out[i].Value, out[i].Err = c.read(m.lib)
		}
		return out, nil
	})
}

// locked runs f when no other call is in progress.
func locked[T any](ctx context.Context, m *meter, f func() (T, error)) (none T, err error) {
	select {
	case m.busy <- struct{}{}:
	case <-ctx.Done():
		return none, fmt.Errorf("an earlier call has not come back from the driver: %w", ctx.Err())
	}
	return hand(ctx, func() (T, error) {
		defer func() { <-m.busy }()
		return f()
	}, func(T) {})
}

// read queries one card. A card that fell off the bus and came back has another
// handle; the UUID shows that it is the same card.
func (c *card) read(l *library) (float64, error) {
	if c.failed && l.ByUUID != nil && c.uuid != "" {
		if err := l.err(l.ByUUID(c.uuid, &c.device)); err != nil {
			return 0, err
		}
	}
	v, err := c.source.read(l, c.device)
	c.failed = err != nil
	return v, err
}

// shut stops using the library, which stays loaded: its threads may not have
// ended.
func (m *meter) shut() error {
	select {
	case m.busy <- struct{}{}:
		m.lib.Shutdown()
		return nil
	case <-time.After(closeMost):
		return fmt.Errorf("nvml: close: the driver has not come back from a call for %v", closeMost)
	}
}

func open(s power.Spec, path string) (m *meter, err error) {
	path = cmp.Or(path, soname)
	l, err := load(path)
	if err != nil {
		return nil, err
	}
	if err := l.err(l.Init()); err != nil {
		return nil, refusal("initialise the library", err)
	}
	defer func() {
		if err != nil {
			l.Shutdown()
		}
	}()
	var n uint32
	if err := l.err(l.Count(&n)); err != nil {
		return nil, refusal("count the cards", err)
	}
	if n == 0 {
		return nil, fmt.Errorf("the driver lists no card: %w", power.ErrAbsent)
	}
	m = &meter{lib: l, busy: make(chan struct{}, 1), about: power.Info{Name: "nvml", Source: path, Period: period}}
	if version, err := text(l, l.Driver); err == nil {
		m.note("NVIDIA driver %s", version)
	}
	m.note("a card is never the node: the cards are a total of their own")
	m.note("windows of %v or more: 50 times the %v in which a sensor has something new", window, period)
	want := s.Get("device", "")
	var there []string // the alternatives, for the error
	var out, worst error
	for i := range min(n, cardsMost) {
		c := &card{name: fmt.Sprintf("gpu%d", i)}
		err := l.err(l.ByIndex(i, &c.device))
		if err == nil {
			c.uuid, err = text(l, on(l.UUID, c.device))
		}
		there = append(there, fmt.Sprintf("%d %s", i, c.uuid))
		if want != "" && want != strconv.Itoa(int(i)) && (want != c.uuid || err != nil) {
			continue
		}
		if err == nil {
			err = m.add(c)
		}
		if err != nil {
			err = refusal(c.name, err)
			if out = errors.Join(out, err); !is(err, notSupported, noSuchFunction) && !errors.Is(err, errShared) {
				worst = cmp.Or(worst, err)
			}
			m.note("left out %v", err)
		}
	}
	switch {
	case len(m.cards) > 0:
		return m, nil
	case worst != nil:
		return nil, worst
	case out != nil:
		return nil, fmt.Errorf("%w: no card's own energy or power can be read, as in a MIG instance or a virtual machine's share of a card: %w", out, power.ErrAbsent)
	}
	return nil, fmt.Errorf("%w: device=%.60s is none of the cards here: %s", endpoint.ErrSpec, want, strings.Join(there, ", "))
}

// errShared says that a card's board also works for others.
var errShared = errors.New("virtual machines share its board, so that its joules are not this machine's: give this one the whole card (passthrough), or meter the host")

// Modes of nvmlGpuVirtualizationMode_t (nvml.h): from what a virtual
// machine sees of a card (VGPU) to a host whose cards virtual machines share
// (HOST_VGPU, HOST_VSGA). A card that is passed through (1) is all its machine's.
const (
	virtualGPU = 2
	hostShared = 4
)

// add adds a card with the first source that works.
func (m *meter) add(c *card) (err error) {
	l := m.lib
	var mode uint32
	if l.Virtual != nil && l.Virtual(c.device, &mode) == success && mode >= virtualGPU && mode <= hostShared {
		return errShared
	}
	var without []string
	for i := range sources {
		if err = sources[i].serves(l, c.device); err == nil {
			c.source = &sources[i]
			break
		}
		without = append(without, fmt.Sprintf("%s: %v", sources[i].name, err))
	}
	if c.source == nil {
		return err
	}
	bound := power.Bound{Watts: cardMost}
	name, _ := text(l, on(l.Name, c.device))
	channel := results.Channel{
		Name: c.name + "-" + c.source.name, Unit: results.Watt, Kind: results.Gauge, Boundary: results.Card, Total: results.Cards, Origin: results.Measured,
		Accuracy: results.Accuracy{Gain: results.Absent(), Resolution: 1e-3, Source: "NVML counts mW and mJ; nvml.h states 5 % for Fermi and Kepler and nothing for later cards"},
	}
	if c.source.joule {
		channel.Unit, channel.Kind = results.Joule, results.Counter
		bound.Stale, bound.Moves = window, true
	}
	at, err := c.address(l)
	if c.key = at; err != nil {
		c.key = c.uuid
		m.note("%s: it is known by its UUID alone: %v", c.name, err)
	}
	m.note("%s: %s %s %s: %s", c.name, name, at, c.uuid, c.source.about)
	if !c.source.joule {
		m.note("%s: a sampled power is not the energy of what lies between", c.name)
	}
	if partTime.MatchString(name) {
		channel.Accuracy.Duty = new(results.Float(0.25))
		m.note("%s: its sensor looks at 25 %% of the time (A100 and H100: arXiv 2312.02741), and its counter is taken to sum what that sees", c.name)
	}
	if without != nil {
		m.note("%s has no %s", c.name, strings.Join(without, "; "))
	}
	limit, err := c.limit(l)
	if err == nil && limit > 0 && limit <= cardMost*1000 { // otherwise it is no limit
		bound.Watts = min(cardMost, 2*float64(limit)/1e3) // exceeded for moments, and it may be raised
		m.note("%s: power limit %g W when opened", c.name, float64(limit)/1e3)
	}
	if mask, err := c.reasons(l); err == nil && len(heldBack(mask)) > 0 {
		m.note("%s: clocks held back when opened: %s", c.name, strings.Join(heldBack(mask), ", "))
	}
	var now, next uint32
	if l.MIG != nil && l.MIG(c.device, &now, &next) == success && now == 1 {
		// Its parts are at the card's own address, and have UUIDs of their own.
		c.key, channel.Total = c.uuid, ""
		m.note("%s: MIG divides it into parts: the watts are those of the whole card, whoever works on it, and in no total; nvidia-smi -mig 0 ends that", c.name)
	}
	channel.Card = c.key
	m.cards, m.bounds, m.about.Channels = append(m.cards, c), append(m.bounds, bound), append(m.about.Channels, channel)
	return nil
}

// serves returns why a card cannot be read this way, or nil.
func (s *source) serves(l *library, d device) error {
	first, err := s.read(l, d)
	switch {
	case err != nil:
		return err
	case !s.joule && !(first > 0):
		return fmt.Errorf("it says %g W", first)
	case !s.joule:
		return nil
	}
	for began := time.Now(); time.Since(began) < alive; time.Sleep(alive / 50) {
		if v, err := s.read(l, d); err != nil || v != first {
			return err
		}
	}
	return fmt.Errorf("it stood at %g J for %v", first, alive)
}

// held are the bits of nvmlClocksEventReasons (nvml.h) that slow a card down. The
// others are a choice of the user's, such as locked clocks, or an idle card.
var held = []struct {
	bits uint64
	by   string
}{
	{1<<2 | 1<<9, results.HeldByPower}, // software power cap; the board's limit
	{1<<5 | 1<<6, results.HeldByHeat},  // software and hardware thermal slow-down
	{1 << 7, results.HeldByHardware},   // power brake, pulled by the supply
}

// slowdown is set with the hardware's thermal slow-down and power brake, and by older
// drivers without a reason beside it.
const slowdown = 1 << 3

// heldBack lists what holds the clocks of a card back.
func heldBack(mask uint64) []string {
	out := []string{}
	for _, h := range held {
		if mask&h.bits != 0 {
			out = append(out, h.by)
		}
	}
	if mask&slowdown != 0 && mask&(1<<6|1<<7) == 0 {
		out = append(out, results.HeldByHardware)
	}
	return out
}

// partTime are the cards whose sensor looks at a quarter of the time: A100 and H100,
// and those with the same chips.
var partTime = regexp.MustCompile(`\b(A100|A800|H100|H200|H800|H20|GH200)\b`)

func (m *meter) note(format string, args ...any) {
	m.about.Notes = append(m.about.Notes, fmt.Sprintf(format, args...))
}
