package modbus

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
)

// words of a number, the high one first.
func words(bits uint64, n int) (out []uint16) {
	for i := n - 1; i >= 0; i-- {
		out = append(out, uint16(bits>>(16*i)))
	}
	return out
}

// TestWordOrder: a number whose words come in the other order than they are
// taken is never believed, whatever it looks like, and the order that fits is
// named; one in the right order always is.
func TestWordOrder(t *testing.T) {
	watts := results.Channel{Kind: results.Gauge, Unit: results.Watt, Boundary: results.Wall, Origin: results.Measured}
	joules := watts
	joules.Kind, joules.Unit = results.Counter, results.Joule
	float := func(v float64) uint64 { return uint64(math.Float32bits(float32(v))) }
	whole := func(v float64) uint64 { return uint64(v) }
	for _, c := range []struct {
		name  string
		c     results.Channel
		f     string
		bits  func(float64) uint64
		scale float64
		says  []float64
	}{
		{"floats", watts, "float32", float, 1, []float64{229.01, 412.5, 230, 1380.2, 97.25, 12.5}},
		{"one float that looks like watts", watts, "float32", float, 1, []float64{412.5}},
		{"doubles", watts, "float64", math.Float64bits, 1, []float64{412.5, 229.01}},
		{"whole watts", watts, "uint32", whole, 1, []float64{412}},
		{"tenths", watts, "int32", whole, 0.1, []float64{4125}},
		{"milliwatts", watts, "uint32", whole, 1e-3, []float64{412_500, 97_000}},
		{"an energy in Wh", joules, "uint32", whole, 3600, []float64{12_345_050, 12_345_050, 12_345_051, 12_345_052}},
		{"an energy in kWh, a float", joules, "float32", float, 3.6e6, []float64{123.25, 123.25, 123.2505}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, swapped := range []bool{false, true} {
				o := &order{channel: c.c, most: c.c.Boundary.Most()}
				f, at := formats[c.f], time.Now()
				var said error
				for i, v := range c.says {
					w := words(c.bits(v), f.words)
					as, err := f.decode(w, swapped)
					require.NoError(t, err)
					other, err := f.decode(w, !swapped)
					if err != nil {
						other = math.NaN()
					}
					err = o.doubt(as*c.scale, other*c.scale, at.Add(time.Duration(i)*time.Second))
					if said != nil {
						require.Error(t, err, "once wrong, always: %v", v)
					}
					said = err
				}
				if !swapped {
					require.NoError(t, said)
					continue
				}
				require.ErrorContains(t, said, "order=little or order=big")
			}
		})
	}
}

// TestSaidOrder: an order that the spec says is not doubted where it makes sense,
// and where it does not, the other is named.
func TestSaidOrder(t *testing.T) {
	o := &order{channel: results.Channel{Kind: results.Gauge, Boundary: results.Wall}, most: results.Wall.Most(), said: true}
	require.NoError(t, o.doubt(230.123, 412.5, time.Now()))
	require.ErrorContains(t, o.doubt(2.7e7, 412, time.Now()), "2.7e+07 W, and 412 W in the other order of its words: is it the other order=?")
	require.NoError(t, o.doubt(231, 9e6, time.Now()), "one odd number costs itself")
}

// TestLimits: neither limit of a signed number is a value, in whatever order.
func TestLimits(t *testing.T) {
	for name, bits := range map[string]uint64{"int16": 0x7fff, "int32": 0x7fffffff, "int16, least": 0x8000, "int32, least": 0x80000000, "uint16": 0xffff, "uint32": 0xffffffff, "uint64": math.MaxUint64} {
		f := formats[strings.TrimSuffix(name, ", least")]
		_, err := f.decode(words(bits, f.words), false)
		require.ErrorContains(t, err, "no value", name)
	}
}
