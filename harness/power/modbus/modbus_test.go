package modbus

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log"
	"math"
	"net"
	"sync"
	"testing"
	"time"

	lib "github.com/simonvetter/modbus"
	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/harness/endpoint"
	"github.com/perwatt/perwatt/harness/power"
	"github.com/perwatt/perwatt/harness/power/powertest"
	"github.com/perwatt/perwatt/results"
)

// meter is a Modbus server whose registers, from first on, are set by a test.
type meter struct {
	port   int
	server *lib.ModbusServer

	mu    sync.Mutex
	words []uint16
	err   error
	hold  time.Duration
}

const (
	first = 0x34
	slave = 7
)

func serve(t *testing.T, words ...uint16) *meter {
	t.Helper()
	m := &meter{port: powertest.FreePort(t, "tcp"), words: words}
	m.start(t)
	t.Cleanup(func() { _ = m.server.Stop() })
	return m
}

func (m *meter) start(t *testing.T) {
	var err error
	m.server, err = lib.NewServer(&lib.ServerConfiguration{URL: fmt.Sprintf("tcp://127.0.0.1:%d", m.port), Logger: log.New(io.Discard, "", 0)}, m)
	require.NoError(t, err)
	require.NoError(t, m.server.Start())
}

func (m *meter) say(err error, words ...uint16) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.words, m.err, m.hold = words, err, 0
}

func (m *meter) HandleInputRegisters(r *lib.InputRegistersRequest) ([]uint16, error) {
	m.mu.Lock()
	words, err, hold := m.words, m.err, m.hold
	m.mu.Unlock()
	time.Sleep(hold)
	switch {
	case err != nil:
		return nil, err
	case r.UnitId != slave:
		return nil, lib.ErrGWTargetFailedToRespond
	case r.Addr != first || int(r.Quantity) != len(words):
		return nil, lib.ErrIllegalDataAddress
	}
	return words, nil
}

func (*meter) HandleHoldingRegisters(*lib.HoldingRegistersRequest) ([]uint16, error) {
	return nil, lib.ErrIllegalDataAddress
}
func (*meter) HandleCoils(*lib.CoilsRequest) ([]bool, error) { return nil, lib.ErrIllegalFunction }
func (*meter) HandleDiscreteInputs(*lib.DiscreteInputsRequest) ([]bool, error) {
	return nil, lib.ErrIllegalFunction
}

const base = ",register=0x34,unit=7,table=input,timeout=250ms"

func open(t *testing.T, port int, options string, now func() time.Time) (power.Meter, error) {
	s, err := power.ParseSpec(fmt.Sprintf("modbus:127.0.0.1:%d%s", port, options), Options)
	if err != nil {
		return nil, err
	}
	s.Now = now
	return Open(t.Context(), s)
}

func split(bits uint64, words int) (out []uint16) {
	for i := range words {
		out = append(out, uint16(bits>>(16*(words-1-i))))
	}
	return out
}

func f32(v float64) []uint16 { return split(uint64(math.Float32bits(float32(v))), 2) }

func TestConformance(t *testing.T) {
	m := serve(t, 4123)
	powertest.TestMeter(t, func() (power.Meter, error) { return open(t, m.port, base+",type=uint16,scale=0.1", nil) })
	m.say(nil, 1, 2)
	powertest.TestMeter(t, func() (power.Meter, error) {
		return open(t, m.port, base+",type=uint32,kind=energy,scale=3600", nil)
	})
}

func TestFaults(t *testing.T) {
	for name, c := range map[string]struct {
		options string
		number  func(watts, joules float64) []uint16
		none    []uint16 // how it says that it has none
	}{
		"power":  {",type=float32", func(w, _ float64) []uint16 { return f32(w) }, f32(math.NaN())},
		"energy": {",type=uint64,kind=energy,scale=1", func(_, j float64) []uint16 { return split(uint64(int64(j)), 4) }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			powertest.TestFaults(t, func(t *testing.T) powertest.Rig {
				m := serve(t)
				var zero time.Duration
				gone := false
				say := func(w, j float64) { m.say(nil, c.number(w, j)...) }
				stop := func(time.Duration) { gone = true; require.NoError(t, m.server.Stop()) }
				rig := powertest.Rig{
					Open: func(now func() time.Time) (power.Meter, error) { return open(t, m.port, base+c.options, now) },
					Set: func(d time.Duration) {
						if gone {
							gone = false
							m.start(t)
						}
						say(powertest.RigWatts, powertest.RigWatts*(d-zero).Seconds())
					},
					Break: map[string]func(time.Duration){
						"time-out": func(time.Duration) {
							m.mu.Lock()
							m.hold = 300 * time.Millisecond
							m.mu.Unlock()
						},
						"wrong type":  func(time.Duration) { m.say(lib.ErrIllegalDataValue) },
						"negative":    func(time.Duration) { say(-1, -1) },
						"nan":         func(time.Duration) { m.say(nil, c.none...) },
						"zero":        func(time.Duration) { say(0, 0) },
						"absurd jump": func(d time.Duration) { say(1e6*powertest.RigWatts, 1e6*powertest.RigWatts*d.Seconds()) },
						"vanish":      stop,
						"restart":     func(d time.Duration) { zero = d; stop(d) },
					},
					Cannot: map[string]string{"clock step": "Modbus has no clock"},
				}
				if c.none == nil {
					rig.Cannot["nan"] = "an integer has none"
				}
				return rig
			})
		})
	}
}

func TestDecode(t *testing.T) {
	for _, c := range []struct {
		kind   string
		words  []uint16
		little bool
		want   float64
	}{
		{"uint16", []uint16{0x1234}, false, 0x1234},
		{"int16", []uint16{0xfffe}, false, -2},
		{"uint32", []uint16{0x0001, 0x0002}, false, 0x10002},
		{"uint32", []uint16{0x0001, 0x0002}, true, 0x20001},
		{"int32", []uint16{0xffff, 0xfffe}, false, -2},
		{"uint64", []uint16{0, 1, 2, 3}, false, 0x1_0002_0003},
		{"uint64", []uint16{3, 2, 1, 0}, true, 0x1_0002_0003},
		{"float32", f32(412.5), false, 412.5},
		{"float32", []uint16{0x4000, 0x43ce}, true, 412.5},
		{"float64", split(math.Float64bits(412.3), 4), false, 412.3},
	} {
		got, err := formats[c.kind].decode(c.words, c.little)
		require.NoError(t, err, c.kind)
		require.Equal(t, c.want, got, c.kind)
	}
	for kind, words := range map[string][]uint16{
		"uint16": {}, "uint32": {1}, "float32": {1, 2, 3}, "float64": split(math.Float64bits(math.Inf(1)), 4),
	} {
		_, err := formats[kind].decode(words, false)
		require.Error(t, err, kind)
	}
}

// TestErrorAsZero: what a meter says in place of a value is no value.
func TestErrorAsZero(t *testing.T) {
	for kind, words := range map[string][]uint16{
		"uint16": {0xffff}, "uint32": {0xffff, 0xffff}, "uint64": split(math.MaxUint64, 4), "float32": f32(math.NaN()), "int16": {0x8000}, "int32": {0x8000, 0},
	} {
		t.Run(kind, func(t *testing.T) {
			good := append(make([]uint16, formats[kind].words-1), 500)
			if kind == "float32" {
				good = f32(500)
			}
			m := serve(t, good...)
			p, err := open(t, m.port, base+",type="+kind, nil)
			require.NoError(t, err)
			defer p.Close()
			m.say(nil, words...)
			got, err := p.Read(t.Context())
			require.NoError(t, err)
			require.Error(t, got[0].Err)
			require.True(t, math.IsNaN(got[0].Value))
		})
	}
}

// TestWrap: the range of a counter is that of its type, scaled.
func TestWrap(t *testing.T) {
	m := serve(t, 0xfff0)
	start, d := time.Now(), time.Duration(0)
	p, err := open(t, m.port, base+",type=uint16,kind=energy,scale=100", func() time.Time { return start.Add(d) })
	require.NoError(t, err)
	defer p.Close()
	d, m.words = time.Second, []uint16{0x0004}
	got, err := p.Read(t.Context())
	require.NoError(t, err)
	require.NoError(t, got[0].Err)
	require.Equal(t, 2000.0, got[0].Value)
}

// TestQuantisation: the step is what one count is worth, and not known of a float.
func TestQuantisation(t *testing.T) {
	m := serve(t, 0, 500)
	p, err := open(t, m.port, base+",type=uint32,kind=energy,scale=3.6e5", nil)
	require.NoError(t, err)
	require.NoError(t, p.Close())
	require.Equal(t, results.Float(3.6e5), p.Info().Channels[0].Accuracy.Resolution)
	require.Equal(t, "input register 52 (0x0034) of unit 7 as uint32, big word first, × 360000 to J, as the spec says", p.Info().Notes[0])
	m.say(nil, f32(1)...)
	p, err = open(t, m.port, base+",type=float32,boundary=psu", nil)
	require.NoError(t, err)
	require.NoError(t, p.Close())
	require.True(t, p.Info().Channels[0].Accuracy.Resolution.IsAbsent())
	require.Equal(t, results.PSU, p.Info().Channels[0].Total)
}

func TestSpec(t *testing.T) {
	for options, want := range map[string]string{
		"":                        "register= and type= are required, such as modbus:",
		",register=1":             "register= and type= are required, such as modbus:",
		",type=uint16":            "register= and type= are required, such as modbus:",
		",register=x,type=uint16": "register=x: must be an address", ",register=0x10000,type=uint16": "must be an address", ",register=-1,type=uint16": "must be an address",
		",register=1,type=double": "type=double: must be uint16", ",register=65535,type=uint32": "does not fit",
		",register=1,type=uint16,kind=volts":           "kind=volts",
		",register=1,type=uint16,kind=energy":          "3600 for Wh",
		",register=1,type=uint16,scale=0":              "scale=0",
		",register=1,type=uint16,table=coil":           "table=coil",
		",register=1,type=uint16,order=middle":         "order=middle",
		",register=1,type=uint16,unit=256":             "unit=256",
		",register=1,type=uint16,timeout=1h":           "timeout=1h",
		",register=1,type=uint16,boundary=rack":        "boundary=rack",
		",register=1,type=uint16,register=2":           "twice",
		",register=1,type=uint16,port=3":               "port",
		",register=1,type=uint16,kind=energy,scale=no": "scale=no",
	} {
		_, err := open(t, 1, options, nil)
		require.ErrorIs(t, err, endpoint.ErrSpec, options)
		require.ErrorContains(t, err, want)
	}
	s, err := power.ParseSpec("modbus:x,register=0052,type=uint16", Options)
	require.NoError(t, err)
	d, _, err := parse(s)
	require.NoError(t, err)
	require.EqualValues(t, 52, d.register, "a leading 0 is no octal")
}

// TestRefused: what the meter refuses names the register and a remedy.
func TestRefused(t *testing.T) {
	m := serve(t, 500)
	for options, want := range map[string]string{
		",register=53,type=uint16,unit=7,table=input":   "input register 53 (0x0035) of unit 7: illegal data address; is it in the other table=, or does the manual count from 1",
		",register=52,type=uint16,unit=7":               "holding register 52 (0x0034) of unit 7: illegal data address; is it in the other table=",
		",register=52,type=uint16,unit=8,table=input":   "of unit 8: gateway target device failed to respond; is that its address, and unit= its number?",
		",register=0x34,type=uint32,unit=7,table=input": "illegal data address",
	} {
		_, err := open(t, m.port, options, nil)
		require.ErrorContains(t, err, want)
		require.NotErrorIs(t, err, power.ErrAbsent)
	}
	_, err := open(t, powertest.FreePort(t, "tcp"), base+",type=uint16", nil)
	require.ErrorContains(t, err, "refused")
}

// TestForm: an answer of another length than was asked for is no value, nor
// is a late answer that of the next question.
func TestForm(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	answers := make(chan []byte, 1)
	var wait sync.WaitGroup
	defer wait.Wait()
	defer l.Close()
	wait.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			ask := make([]byte, 12)
			for {
				if _, err := io.ReadFull(c, ask); err != nil {
					break
				}
				body := <-answers
				out := append(ask[:4:4], binary.BigEndian.AppendUint16(nil, uint16(len(body)+1))...)
				_, _ = c.Write(append(append(out, slave), body...))
			}
			c.Close()
		}
	})
	answers <- []byte{4, 2, 1, 0xf4}
	m, err := open(t, l.Addr().(*net.TCPAddr).Port, base+",type=uint16", nil)
	require.NoError(t, err)
	for _, body := range [][]byte{{4, 2, 1}, {4, 4, 1, 0xf4, 0, 0}, {4, 2, 1, 0xf4, 0}, {3, 2, 1, 0xf4}, {4}} {
		answers <- body
		_, err := m.Read(t.Context())
		require.ErrorContains(t, err, "an answer of another length or form", "%x", body)
	}
	_, err = m.Read(t.Context()) // answered too late, with what it said then
	require.ErrorContains(t, err, "is that its address, and unit= its number?")
	answers <- []byte{4, 2, 9, 9}
	answers <- []byte{4, 2, 1, 0xf5}
	got, err := m.Read(t.Context())
	require.NoError(t, err)
	require.Equal(t, 501.0, got[0].Value)
	require.NoError(t, m.Close())
}

// TestGivenUp: the end of the context ends the wait; what was asked then is
// not the answer to the next question, and Close waits for it.
func TestGivenUp(t *testing.T) {
	m := serve(t, 500)
	p, err := open(t, m.port, ",register=52,unit=7,table=input,type=uint16,timeout=2s", nil)
	require.NoError(t, err)
	give := func() {
		m.mu.Lock()
		m.hold = 100 * time.Millisecond
		m.mu.Unlock()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		_, err = p.Read(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
	}
	give()
	m.say(nil, 600)
	got, err := p.Read(t.Context())
	require.NoError(t, err)
	require.Equal(t, 600.0, got[0].Value)
	give()
	require.NoError(t, m.server.Stop())
	require.NoError(t, p.Close())
}

func TestRemedy(t *testing.T) {
	require.Empty(t, remedy(errors.New("x")))
	require.Empty(t, remedy(lib.ErrServerDeviceBusy))
}

func FuzzDecode(f *testing.F) {
	for kind := range formats {
		f.Add(kind, []byte{0, 1, 0, 2}, true)
	}
	f.Fuzz(func(t *testing.T, kind string, raw []byte, little bool) {
		format, ok := formats[kind]
		if !ok {
			return
		}
		var words []uint16
		for ; len(raw) >= 2; raw = raw[2:] {
			words = append(words, binary.BigEndian.Uint16(raw))
		}
		v, err := format.decode(words, little)
		if err == nil && (math.IsNaN(v) || math.IsInf(v, 0) || len(words) != format.words) {
			t.Errorf("%s of %x is %v", kind, words, v)
		}
	})
}
