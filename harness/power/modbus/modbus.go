// Package modbus reads one quantity of an energy meter that speaks Modbus TCP:
// a single-phase or three-phase meter on the feed, or one behind a gateway.
//
// Modbus has registers of 16 bits without names. The manual of the meter defines what a
// register means, how many registers make a number and the value of one count; the spec
// repeats that. Two quantities need two meters.
//
// The resolution of a float is unknown unless resolution= gives it. Without it, a
// counter that does not change for a minute counts as stale.
package modbus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	lib "github.com/simonvetter/modbus"

	"github.com/perwatt/perwatt/harness/endpoint"
	"github.com/perwatt/perwatt/harness/power"
	"github.com/perwatt/perwatt/results"
)

// Options are those of its spec.
var Options = append([]endpoint.Option{
	{Key: "register", Help: "address of the first register as sent over the wire, from 0: 52 or 0x34 (required)"},
	{Key: "type", Help: "type of the number: uint16, int16, uint32, int32, uint64, float32 or float64 (required)"},
	{Key: "kind", Help: "power or energy (power)"},
	{Key: "scale", Help: "W or J per count: 0.1, 3600 for Wh, 3.6e6 for kWh (1; required for energy)"},
	{Key: "table", Help: "holding or input (holding)"},
	{Key: "order", Help: "order of the words of a number: big (most significant first) or little (big; required if little looks more plausible)"},
	{Key: "unit", Help: "unit identifier of the meter behind its address, 0 to 255 (1)"},
}, power.Common...)

const example = "such as modbus:10.0.0.7,register=52,type=float32,table=input or modbus:10.0.0.7,register=0x48,type=uint32,kind=energy,scale=3600"

// format defines how registers form a number.
type format struct {
	words int
	wraps float64 // the count at which it wraps to 0; 0 if it does not wrap
	most  float64 // largest value of a signed type; 0 for others
	value func(bits uint64) float64
}

func unsigned(bits uint64) float64 { return float64(bits) }

var formats = map[string]format{
	"uint16":  {1, 1 << 16, 0, unsigned},
	"uint32":  {2, 1 << 32, 0, unsigned},
	"uint64":  {4, 1 << 64, 0, unsigned},
	"int16":   {1, 0, math.MaxInt16, func(b uint64) float64 { return float64(int16(b)) }},
	"int32":   {2, 0, math.MaxInt32, func(b uint64) float64 { return float64(int32(b)) }},
	"float32": {2, 0, 0, func(b uint64) float64 { return float64(math.Float32frombits(uint32(b))) }},
	"float64": {4, 0, 0, math.Float64frombits},
}

// decode converts registers to a number. Meters use all ones of an unsigned type and
// the limits of a signed type for a missing value (SunSpec Information Models,
// "unimplemented").
func (f format) decode(words []uint16, little bool) (float64, error) {
	if len(words) != f.words {
		return 0, fmt.Errorf("it gave %d registers, not %d", len(words), f.words)
	}
	if little {
		words = slices.Clone(words)
		slices.Reverse(words)
	}
	var bits uint64
	for _, w := range words {
		bits = bits<<16 | uint64(w)
	}
	v := f.value(bits)
	switch {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return 0, fmt.Errorf("%v is not a number", v)
	case f.wraps > 0 && bits == math.MaxUint64>>(64-16*f.words):
		return 0, fmt.Errorf("all ones, %#x: this is how meters say that there is no value", bits)
	case f.most > 0 && (v == f.most || v == -f.most-1):
		return 0, fmt.Errorf("%#x, the limit of what it can hold: this is how meters say that there is no value", bits)
	}
	return v, nil
}

// device queries a meter. One goroutine at a time uses the client.
type device struct {
	conf     lib.ClientConfiguration
	format   format
	little   bool
	scale    float64
	register uint16
	table    lib.RegType
	unit     uint8
	what     string // names the register in errors
	order    *order // nil for a number of one word

	client  *lib.ModbusClient // nil without a connection
	pending chan answer       // of a request that is still under way
}

type answer struct {
	words []uint16
	err   error
}

// Open returns a meter of one quantity: watts, or joules with kind=energy. The boundary
// is the wall unless the spec sets it. Open reads the quantity once.
func Open(ctx context.Context, s power.Spec) (power.Meter, error) {
	address, err := s.Address("502")
	if err != nil {
		return nil, fmt.Errorf("modbus: %w", err)
	}
	d, channel, err := parse(s)
	if err != nil {
		return nil, fmt.Errorf("modbus: %w", err)
	}
	timeout, err := s.Timeout()
	if err != nil {
		return nil, fmt.Errorf("modbus: %w", err)
	}
	d.conf = lib.ClientConfiguration{URL: "tcp://" + address, Timeout: timeout, Logger: log.New(io.Discard, "", 0)}
	about := power.Info{Source: address, Period: time.Second, Channels: []results.Channel{channel},
		Notes: []string{fmt.Sprintf("%s as %s, %s word first, × %g to %s, as the spec says", d.what, s.Get("type", ""), s.Get("order", "big"), d.scale, channel.Unit)}}
	if d.format.words > 1 {
		if channel, err = s.Channel(channel); err != nil {
			return nil, fmt.Errorf("modbus: %w", err)
		}
		most, err := s.Number("max", channel.Boundary.Most(), 1e-3, 1e9)
		if err != nil {
			return nil, fmt.Errorf("modbus: %w", err)
		}
		d.order = &order{channel: channel, most: most, said: s.Has("order")}
	}
	m, err := s.Poller(about, []power.Bound{{Range: d.format.wraps * d.scale}}, d.ask, d.close)
	if err != nil {
		return nil, fmt.Errorf("modbus: %w", err)
	}
	first, err := m.Read(ctx)
	if err == nil {
		err = first[0].Err
	}
	if err != nil {
		_ = m.Close()
		return nil, err
	}
	return m, nil
}

// parse reads the options that describe the register.
func parse(s power.Spec) (*device, results.Channel, error) {
	bad := func(format string, args ...any) (*device, results.Channel, error) {
		return nil, results.Channel{}, fmt.Errorf("%w: %s", endpoint.ErrSpec, fmt.Sprintf(format, args...))
	}
	fail := func(err error) (*device, results.Channel, error) { return nil, results.Channel{}, err }
	if !s.Has("register") || !s.Has("type") {
		return bad("register= and type= are required, %s", example)
	}
	text, base := s.Get("register", ""), 10 // a leading 0 does not mean octal
	if hex, is := strings.CutPrefix(text, "0x"); is {
		text, base = hex, 16
	}
	register, err := strconv.ParseUint(text, base, 16)
	f, known := formats[s.Get("type", "")]
	switch {
	case err != nil:
		return bad("register=%.20s: must be an address from 0 to 65535 or 0xffff, %s", s.Get("register", ""), example)
	case !known:
		return bad("type=%.20s: must be uint16, int16, uint32, int32, uint64, float32 or float64, %s", s.Get("type", ""), example)
	case int(register)+f.words > 1<<16:
		return bad("register=%.20s: a %s does not fit between it and the last register", s.Get("register", ""), s.Get("type", ""))
	}
	kind, err := s.Choice("kind", "power", "power", "energy")
	if err != nil {
		return fail(err)
	}
	if kind == "energy" && !s.Has("scale") {
		return bad("scale= is required for energy: the J per count, 3600 for Wh, 3.6e6 for kWh, 3.6e5 for 0.1 kWh")
	}
	scale, err := s.Number("scale", 1, 1e-9, 1e12)
	if err != nil {
		return fail(err)
	}
	table, err := s.Choice("table", "holding", "holding", "input")
	if err != nil {
		return fail(err)
	}
	order, err := s.Choice("order", "big", "big", "little")
	if err != nil {
		return fail(err)
	}
	unit, err := strconv.ParseUint(s.Get("unit", "1"), 10, 8)
	if err != nil {
		return bad("unit=%.20s: must be a number from 0 to 255", s.Get("unit", ""))
	}
	d := &device{format: f, little: order == "little", scale: scale, register: uint16(register), unit: uint8(unit), table: lib.HOLDING_REGISTER,
		what: fmt.Sprintf("%s register %d (%#04x) of unit %d", table, register, register, unit)}
	if table == "input" {
		d.table = lib.INPUT_REGISTER
	}
	c := results.Channel{Name: kind, Unit: results.Watt, Kind: results.Gauge, Boundary: results.Wall, Total: results.Wall, Origin: results.Measured,
		Accuracy: results.Accuracy{Gain: results.Absent(), Resolution: results.Float(scale)}}
	if kind == "energy" {
		c.Unit, c.Kind = results.Joule, results.Counter
	}
	if strings.HasPrefix(s.Get("type", ""), "float") {
		c.Accuracy.Resolution = results.Absent()
	}
	return d, c, nil
}

// ask reads the registers. The library has no contexts: a request that is late
// continues in the background, its answer is discarded, and no other request starts
// before it has ended.
func (d *device) ask(ctx context.Context) ([]power.Quantity, error) {
	if d.pending != nil {
		if _, err := d.wait(ctx); err != nil {
			return nil, err
		}
	}
	d.pending = make(chan answer, 1)
	go func(to chan<- answer) { to <- d.request() }(d.pending)
	a, err := d.wait(ctx)
	if err == nil {
		err = a.err
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w%s", d.what, err, remedy(err))
	}
	v, err := d.format.decode(a.words, d.little)
	if d.order != nil && err == nil {
		other, wrong := d.format.decode(a.words, !d.little)
		if wrong != nil {
			other = math.NaN()
		}
		err = d.order.doubt(v*d.scale, other*d.scale, time.Now())
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", d.what, err)
	}
	return []power.Quantity{{Value: v * d.scale, Err: err}}, nil
}

func (d *device) wait(ctx context.Context) (answer, error) {
	select {
	case a := <-d.pending:
		d.pending = nil
		return a, nil
	case <-ctx.Done():
		return answer{}, ctx.Err()
	}
}

// request sends one request, over a new connection after an error, so that a late
// answer to the old request cannot be taken for one to the new.
func (d *device) request() (a answer) {
	if d.client == nil {
		c, err := lib.NewClient(&d.conf)
		if err == nil {
			err = c.SetUnitId(d.unit)
		}
		if err == nil {
			err = c.Open()
		}
		if err != nil {
			return answer{err: err}
		}
		d.client = c
	}
	if a.words, a.err = d.client.ReadRegisters(d.register, uint16(d.format.words), d.table); a.err != nil { // #nosec G115 -- 1 to 4: see formats
		_ = d.client.Close()
		d.client = nil
	}
	return a
}

func (d *device) close() error {
	if d.pending != nil {
		<-d.pending
	}
	if d.client == nil {
		return nil
	}
	return d.client.Close()
}

// remedy names the most frequent cause of an error.
func remedy(err error) string {
	for _, silence := range []error{context.DeadlineExceeded, lib.ErrRequestTimedOut, lib.ErrBadUnitId, lib.ErrGWPathUnavailable, lib.ErrGWTargetFailedToRespond} {
		if errors.Is(err, silence) {
			return "; is that its address, and unit= its number?"
		}
	}
	switch {
	case errors.Is(err, lib.ErrIllegalDataAddress), errors.Is(err, lib.ErrIllegalFunction):
		return "; is it in the other table=, or does the manual count from 1, 30001 or 40001?"
	case errors.Is(err, lib.ErrProtocolError):
		return ": an answer of another length or form than requested"
	}
	return ""
}
