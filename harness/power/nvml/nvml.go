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
// A card is never the node, so no channel is part of a total. The reasons for
// reduced clocks change all the time and are neither W nor J: the notes have
// those at the time of opening, usually when idle, and no more.
package nvml

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
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
	return r, nil
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
	select {
	case m.busy <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("an earlier call has not come back from the driver: %w", ctx.Err())
	}
	return hand(ctx, func() ([]power.Quantity, error) {
		defer func() { <-m.busy }()
		out := make([]power.Quantity, len(m.cards))
		for i, c := range m.cards {
			out[i].Value, out[i].Err = c.read(m.lib)
		}
		return out, nil
	}, func([]power.Quantity) {})
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
	m.note("a card is never the node: in no total")
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
			if out = errors.Join(out, err); !is(err, notSupported, noSuchFunction) {
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
		return nil, fmt.Errorf("%w: neither energy nor power can be read, as in a MIG instance or a virtual machine's share of a card: %w", out, power.ErrAbsent)
	}
	return nil, fmt.Errorf("%w: device=%.60s is none of the cards here: %s", endpoint.ErrSpec, want, strings.Join(there, ", "))
}

// add adds a card with the first source that works.
func (m *meter) add(c *card) (err error) {
	l := m.lib
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
	channel := results.Channel{
		Name: c.name + "-" + c.source.name, Unit: results.Watt, Kind: results.Gauge, Boundary: results.Card, Origin: results.Measured,
		Accuracy: results.Accuracy{Gain: results.Absent(), Resolution: 1e-3, Source: "NVML counts mW and mJ; nvml.h states 5 % for Fermi and Kepler and nothing for later cards"},
	}
	if c.source.joule {
		channel.Unit, channel.Kind = results.Joule, results.Counter
		bound.Stale, bound.Moves = window, true
	}
	name, _ := text(l, on(l.Name, c.device))
	m.note("%s: %s %s: %s", c.name, name, c.uuid, c.source.about)
	if !c.source.joule {
		m.note("%s: a sampled power is not the energy of what lies between: sensors of A100 and H100 look at 25 %% of the time (arXiv 2312.02741)", c.name)
	}
	if without != nil {
		m.note("%s has no %s", c.name, strings.Join(without, "; "))
	}
	limit, err := one(l, l.Enforced, c.device)
	if err != nil {
		limit, err = one(l, l.Limit, c.device)
	}
	if err == nil && limit > 0 && limit <= cardMost*1000 { // otherwise it is no limit
		bound.Watts = min(cardMost, 2*float64(limit)/1e3) // exceeded for moments, and it may be raised
		m.note("%s: power limit %g W when opened", c.name, float64(limit)/1e3)
	}
	mask, err := one(l, l.Reasons, c.device)
	if err != nil {
		mask, err = one(l, l.ReasonsOld, c.device)
	}
	if why := heldBack(mask); err == nil && why != "" {
		m.note("%s: clocks held back when opened: %s", c.name, why)
	}
	var now, next uint32
	if l.MIG != nil && l.MIG(c.device, &now, &next) == success && now == 1 {
		m.note("%s: MIG is on: the watts are those of the whole card", c.name)
	}
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

// reasons are the bits of nvmlClocksEventReasons (nvml.h), without the one for an
// idle card.
var reasons = []string{
	1: "clocks of applications", 2: "software power cap", 3: "hardware slowdown", 4: "sync boost", 5: "software thermal slowdown",
	6: "hardware thermal slowdown", 7: "hardware power brake", 8: "display clocks", 9: "board limit", 10: "reliability",
}

func heldBack(mask uint64) string {
	var why []string
	for i, r := range reasons {
		if r != "" && mask>>i&1 == 1 {
			why = append(why, r)
		}
	}
	return strings.Join(why, ", ")
}

func (m *meter) note(format string, args ...any) {
	m.about.Notes = append(m.about.Notes, fmt.Sprintf(format, args...))
}
