package snmp

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gosnmp/gosnmp"
	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/harness/endpoint"
	"github.com/perwatt/perwatt/harness/power"
	"github.com/perwatt/perwatt/harness/power/powertest"
	"github.com/perwatt/perwatt/results"
)

func parse(t testing.TB, text string) power.Spec {
	t.Helper()
	s, err := power.ParseSpec("snmp:"+text, Options)
	require.NoError(t, err)
	return s
}

// try opens a meter of an agent. Its timeout is for busy machines: a test that
// lets it run out gives its own.
func try(t testing.TB, address, options string) (power.Meter, error) {
	t.Helper()
	if !strings.Contains(options, "timeout=") {
		options += ",timeout=5s"
	}
	m, err := Open(t.Context(), parse(t, address+options))
	if err == nil {
		t.Cleanup(func() { _ = m.Close() })
	}
	return m, err
}

func must(t testing.TB, address, options string) power.Meter {
	t.Helper()
	m, err := try(t, address, options)
	require.NoError(t, err)
	return m
}

// read1 is the reading of the first channel.
func read1(t testing.TB, m power.Meter) (float64, error) {
	t.Helper()
	got, err := m.Read(t.Context())
	if err != nil {
		return math.NaN(), err
	}
	return got[0].Value, got[0].Err
}

// describe writes the channels of a meter, each with its total and resolution.
func describe(m power.Meter) string {
	var out []string
	for _, c := range m.Info().Channels {
		out = append(out, fmt.Sprintf("%s/%v %s total=%s step=%g", c.Name, c.Unit, c.Kind, c.Total, float64(c.Accuracy.Resolution)))
	}
	return strings.Join(out, "; ")
}

func TestMeter(t *testing.T) {
	a := newAgent(t).raritan(1, 3)
	powertest.TestMeter(t, func() (power.Meter, error) { return try(t, a.address, "") })
}

// TestFaults: a Raritan inlet whose power has a decimal digit and whose energy
// counts in mWh.
func TestFaults(t *testing.T) {
	const powerOID, energyOID = raritan + "5.2.3.1.4.1.1.5", raritan + "5.2.3.1.4.1.1.8"
	powertest.TestFaults(t, func(t *testing.T) powertest.Rig {
		a := newAgent(t).raritan(1, 3)
		right := a.reply
		energy := func(since time.Duration) uint { return uint(math.Round(powertest.RigWatts * since.Seconds() / 3.6)) }
		start := -10 * time.Second // of its counter
		says := func(typ gosnmp.Asn1BER, v any) func(time.Duration) {
			return func(time.Duration) { a.set(powerOID, typ, v); a.set(energyOID, typ, v) }
		}
		set := func(t time.Duration) {
			a.up()
			a.does(right)
			a.set(powerOID, gosnmp.Gauge32, uint(powertest.RigWatts*10))
			a.set(energyOID, gosnmp.Gauge32, energy(t-start))
		}
		restarted := false
		return powertest.Rig{
			Open: func(now func() time.Time) (power.Meter, error) {
				s := parse(t, a.address+",timeout=500ms")
				s.Now = now
				return Open(t.Context(), s)
			},
			Set: set,
			Break: map[string]func(time.Duration){
				"time-out": func(time.Duration) { a.does(func(*gosnmp.SnmpPacket) []*gosnmp.SnmpPacket { return nil }) },
				// A script behind an agent that says its number in a string.
				"wrong type": says(gosnmp.OctetString, "7000"),
				"negative":   says(gosnmp.Integer, -1),
				"nan":        says(gosnmp.Null, nil),
				"zero":       says(gosnmp.Gauge32, uint(0)),
				"absurd jump": func(t time.Duration) {
					a.set(powerOID, gosnmp.Gauge32, uint(powertest.RigWatts*1_000_000))
					a.set(energyOID, gosnmp.Gauge32, energy(t-start)*1_000_000)
				},
				"vanish": func(time.Duration) { a.down() },
				"restart": func(t time.Duration) {
					if !restarted {
						restarted, start = true, t
						a.down()
						return
					}
					set(t)
				},
			},
			Cannot: map[string]string{"clock step": "a value of SNMP carries no time"},
		}
	})
}

// TestValue: what is a number and what is none.
func TestValue(t *testing.T) {
	for name, c := range map[string]struct {
		typ  gosnmp.Asn1BER
		v    any
		want float64
		err  string
	}{
		"an integer":                {gosnmp.Integer, 231, 231, ""},
		"a gauge":                   {gosnmp.Gauge32, uint(math.MaxUint32 - 1), math.MaxUint32 - 1, ""},
		"a gauge at its limit":      {gosnmp.Gauge32, uint(math.MaxUint32), 0, "at its limit, or -1"},
		"a counter about to wrap":   {gosnmp.Counter32, uint(math.MaxUint32), math.MaxUint32, ""},
		"a counter":                 {gosnmp.Counter32, uint(5), 5, ""},
		"a wide counter":            {gosnmp.Counter64, uint64(1) << 40, 1 << 40, ""},
		"an unsigned integer":       {gosnmp.Uinteger32, uint32(7), 7, ""},
		"nothing, and no error":     {gosnmp.UnknownType, nil, 0, "gives nothing"},
		"null":                      {gosnmp.Null, nil, 0, "gives nothing (Null)"},
		"an integer that is empty":  {gosnmp.Integer, nil, 0, "gives nothing"},
		"no such object":            {gosnmp.NoSuchObject, nil, 0, "gives nothing (NoSuchObject)"},
		"no such instance":          {gosnmp.NoSuchInstance, nil, 0, "gives nothing (NoSuchInstance)"},
		"end of the view":           {gosnmp.EndOfMibView, nil, 0, "gives nothing (EndOfMibView)"},
		"minus one":                 {gosnmp.Integer, -1, 0, "gives -1: it does not measure this"},
		"a number in a string":      {gosnmp.OctetString, []byte("231 W"), 0, `no integer (OctetString): "231 W"`},
		"an OID":                    {gosnmp.ObjectIdentifier, ".1.3.6", 0, "no integer"},
		"a time":                    {gosnmp.TimeTicks, uint32(231), 0, "no integer (TimeTicks)"},
		"a float":                   {gosnmp.OpaqueFloat, float32(231), 0, "no integer"},
		"an integer that is wide":   {gosnmp.Integer, 1 << 31, 0, "more than Integer can hold"},
		"a counter that is wide":    {gosnmp.Counter32, uint(1 << 32), 0, "more than Counter32 can hold"},
		"no object, and yet a type": {gosnmp.NoSuchObject, 231, 0, "no integer"},
	} {
		got, err := value(gosnmp.SnmpPDU{Type: c.typ, Value: c.v})
		if c.err != "" {
			require.ErrorContains(t, err, c.err, name)
			continue
		}
		require.NoError(t, err, name)
		require.Equal(t, c.want, got, name)
	}
}

// TestProfiles: what is found, how it is scaled, and which has the total.
func TestProfiles(t *testing.T) {
	outlets := func(a *agent) {
		a.apc2()
		for n, w := range map[string]int{"3": 200, "7": 212} {
			a.set(apc2Outlet+n, gosnmp.Integer, w)
		}
	}
	for name, c := range map[string]struct {
		has      func(a *agent)
		options  string
		channels string
		values   []float64
		note     string
	}{
		"apc2": {func(a *agent) { a.apc2() }, "", "inlet1-power/W gauge total=wall step=10; inlet1-energy/J counter total=wall step=360000", []float64{2310, 0}, "feeds all that hangs on the PDU"},
		"apc2 that does not measure energy": {func(a *agent) { a.apc2().set(apc2Energy, gosnmp.Integer, -1) }, "",
			"inlet1-power/W gauge total=wall step=10", []float64{2310}, "second generation"},
		"apc2 that measures energy alone": {func(a *agent) { a.apc2().set(apc2Power, gosnmp.Integer, -1) }, "",
			"inlet1-energy/J counter total=wall step=360000", []float64{0}, ""},
		"two outlets":       {outlets, ",outlet=3+7", "outlet3-power/W gauge total=wall step=1; outlet7-power/W gauge total=wall step=1", []float64{200, 212}, ""},
		"second of a chain": {func(a *agent) { a.set("1.3.6.1.4.1.318.1.1.26.4.3.1.5.2", gosnmp.Gauge32, uint(40)) }, ",unit=2", "inlet1-power/W gauge total=wall step=10", []float64{400}, ""},
		"at the node":       {outlets, ",outlet=3,boundary=node", "outlet3-power/W gauge total=node step=1", []float64{200}, ""},
		"apc":               {func(a *agent) { a.set(apcPower, gosnmp.Integer, 460) }, "", "inlet1-power/W gauge total=wall step=23", []float64{460}, "voltage"},
		"raritan in Wh":     {func(a *agent) { a.raritan(0, 0) }, "", "inlet1-power/W gauge total=wall step=1; inlet1-energy/J counter total=wall step=3600", []float64{7000, 0}, "inlet1-energy stands in for the power of the same place if that says nothing: its steps of 3600 J are coarse"},
		"raritan in mWh":    {func(a *agent) { a.raritan(1, 3) }, "", "inlet1-energy/J counter total=wall step=3.6; inlet1-power/W gauge total=wall step=0.1", []float64{0, 700}, "inlet1-power stands in for the energy of the same place"},
		"raritan in coarse mWh": {func(a *agent) { a.raritan(1, 3).set(raritan+"3.3.4.1.9.1.1.8", gosnmp.Gauge32, uint(1000)) }, "",
			"inlet1-power/W gauge total=wall step=0.1; inlet1-energy/J counter total=wall step=3600", []float64{700, 0}, ""},
		"said resolution":    {func(a *agent) { a.apc2() }, ",resolution=5", "inlet1-power/W gauge total=wall step=5; inlet1-energy/J counter total=wall step=360000", []float64{2310, 0}, ""},
		"any OID":            {func(a *agent) { a.set("1.3.6.1.4.1.9.1", gosnmp.Gauge32, uint(31)) }, ",oid=.1.3.6.1.4.1.9.1,scale=10", "power/W gauge total=wall step=10", []float64{310}, "× 10"},
		"any OID of energy":  {func(a *agent) { a.set("1.3.6.1.4.1.9.1", gosnmp.Counter64, uint64(31)) }, ",oid=1.3.6.1.4.1.9.1,scale=3600,kind=energy", "energy/J counter total=wall step=3600", []float64{0}, "energy"},
		"a profile by name":  {func(a *agent) { a.apc2().set(apcPower, gosnmp.Integer, 460) }, ",profile=apc", "inlet1-power/W gauge total=wall step=23", []float64{460}, "first generation"},
		"asked in version 1": {func(a *agent) { a.apc2() }, ",version=1", "inlet1-power/W gauge total=wall step=10; inlet1-energy/J counter total=wall step=360000", []float64{2310, 0}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAgent(t)
			c.has(a)
			m := must(t, a.address, c.options)
			require.Equal(t, c.channels, describe(m))
			require.Equal(t, a.address, m.Info().Source)
			require.Contains(t, strings.Join(m.Info().Notes, "\n"), c.note)
			got, err := m.Read(t.Context())
			require.NoError(t, err)
			for i, want := range c.values {
				require.NoError(t, got[i].Err)
				require.InDelta(t, want, got[i].Value, 1e-9)
			}
		})
	}
}

// reading is what becomes of a reading when the agent does something.
func reading(t *testing.T, does func(a *agent)) (float64, error) {
	t.Helper()
	a := newAgent(t).apc2()
	m := must(t, a.address, "")
	does(a)
	return read1(t, m)
}

func TestNilWithoutError(t *testing.T) {
	_, err := reading(t, func(a *agent) { a.set(apc2Power, gosnmp.Null, nil) })
	require.ErrorContains(t, err, "it gives nothing (Null)")
}

func TestMinusOne(t *testing.T) {
	_, err := reading(t, func(a *agent) { a.set(apc2Power, gosnmp.Integer, -1) })
	require.ErrorContains(t, err, "it gives -1: it does not measure this")
}

func TestNoSuchInstance(t *testing.T) {
	for _, typ := range []gosnmp.Asn1BER{gosnmp.NoSuchInstance, gosnmp.NoSuchObject, gosnmp.EndOfMibView} {
		_, err := reading(t, func(a *agent) { a.set(apc2Power, typ, nil) })
		require.ErrorContains(t, err, fmt.Sprintf("it gives nothing (%v)", typ))
	}
}

func TestNumberInAString(t *testing.T) {
	_, err := reading(t, func(a *agent) { a.set(apc2Power, gosnmp.OctetString, "231") })
	require.ErrorContains(t, err, "it gives no integer (OctetString)")
}

// TestTypeChanges: a counter that was 32 bits wide and is 64 is another one.
func TestTypeChanges(t *testing.T) {
	_, err := reading(t, func(a *agent) { a.set(apc2Power, gosnmp.Gauge32, uint(231)) })
	require.ErrorContains(t, err, "it was Integer and is Gauge32")
}

// TestOneChannelFails: the others do not suffer.
func TestOneChannelFails(t *testing.T) {
	got, err := reading(t, func(a *agent) { a.set(apc2Energy, gosnmp.Integer, -1) })
	require.NoError(t, err)
	require.Equal(t, 2310.0, got)
}

// TestErrorStatus: an agent that answers with an error gives no values, even
// if some stand in the packet.
func TestErrorStatus(t *testing.T) {
	_, err := reading(t, func(a *agent) {
		a.twists(func(p *gosnmp.SnmpPacket) { p.Error, p.ErrorIndex = gosnmp.GenErr, 1 })
	})
	require.ErrorContains(t, err, "the agent refuses "+apc2Power+": GenErr")
}

// TestVersion1AnswersAllOrNothing: one figure that is missing does not cost
// the others.
func TestVersion1AnswersAllOrNothing(t *testing.T) {
	a := newAgent(t).apc2()
	delete(a.values, apc2Energy)
	a.twists(func(p *gosnmp.SnmpPacket) {
		for i, v := range p.Variables {
			if v.Type == gosnmp.NoSuchInstance {
				p.Error, p.ErrorIndex = gosnmp.NoSuchName, uint8(i+1)
				p.Variables[i] = gosnmp.SnmpPDU{Name: v.Name, Type: gosnmp.Null}
			}
		}
	})
	m := must(t, a.address, ",version=1")
	require.Equal(t, "inlet1-power/W gauge total=wall step=10", describe(m))
	got, err := read1(t, m)
	require.NoError(t, err)
	require.Equal(t, 2310.0, got)
}

func TestAnotherOID(t *testing.T) {
	_, err := reading(t, func(a *agent) {
		a.twists(func(p *gosnmp.SnmpPacket) { p.Variables[0].Name = apc2Power[:len(apc2Power)-1] + "2" })
	})
	require.ErrorContains(t, err, "5.2 instead of "+apc2Power)
}

func TestShortAnswer(t *testing.T) {
	_, err := reading(t, func(a *agent) { a.twists(func(p *gosnmp.SnmpPacket) { p.Variables = p.Variables[:1] }) })
	require.ErrorContains(t, err, "1 values instead of 2")
}

// TestNotAnAnswer: a question that comes back is no answer.
func TestNotAnAnswer(t *testing.T) {
	_, err := reading(t, func(a *agent) { a.twists(func(p *gosnmp.SnmpPacket) { p.PDUType = gosnmp.GetRequest }) })
	require.ErrorContains(t, err, "instead of an answer")
}

// TestLateAnswer: an answer to the last reading's question, which came too
// late for it, is not taken for one to this reading's.
func TestLateAnswer(t *testing.T) {
	a := newAgent(t).apc2()
	m := must(t, a.address, ",timeout=200ms")
	var late []*gosnmp.SnmpPacket
	a.does(func(q *gosnmp.SnmpPacket) []*gosnmp.SnmpPacket {
		late = append(late, a.answer(q))
		return nil
	})
	_, err := m.Read(t.Context())
	require.ErrorContains(t, err, "no answer within 200ms")
	a.set(apc2Power, gosnmp.Integer, 50)
	require.Len(t, late, 2)
	a.does(func(q *gosnmp.SnmpPacket) []*gosnmp.SnmpPacket { return append(late, a.answer(q)) })
	got, err := read1(t, m)
	require.NoError(t, err)
	require.Equal(t, 500.0, got)
}

// TestAnswerToNoQuestion: a request id of 0 answers none of ours.
func TestAnswerToNoQuestion(t *testing.T) {
	_, err := reading(t, func(a *agent) { a.twists(func(p *gosnmp.SnmpPacket) { p.RequestID = 0 }) })
	require.ErrorContains(t, err, "no question of ours")
}

// TestOneLost: UDP loses packets; one in a reading costs nothing but time.
func TestOneLost(t *testing.T) {
	a := newAgent(t).apc2()
	m := must(t, a.address, ",timeout=400ms")
	lost := false
	a.does(func(q *gosnmp.SnmpPacket) []*gosnmp.SnmpPacket {
		if !lost {
			lost = true
			return nil
		}
		return []*gosnmp.SnmpPacket{a.answer(q)}
	})
	got, err := m.Read(t.Context())
	require.NoError(t, err)
	require.Equal(t, 2310.0, got[0].Value)
	require.GreaterOrEqual(t, got[0].Slack, 100*time.Millisecond, "when it was read is less well known")
}

// TestFewAtOnce: an agent that takes few values in a question is found out when
// it is opened, and asked for all of them in several.
func TestFewAtOnce(t *testing.T) {
	for name, refuse := range map[string]func(p *gosnmp.SnmpPacket, few int) []*gosnmp.SnmpPacket{
		"tooBig": func(p *gosnmp.SnmpPacket, _ int) []*gosnmp.SnmpPacket {
			p.Error, p.ErrorIndex, p.Variables = gosnmp.TooBig, 0, nil
			return []*gosnmp.SnmpPacket{p}
		},
		"genErr": func(p *gosnmp.SnmpPacket, few int) []*gosnmp.SnmpPacket {
			p.Error, p.ErrorIndex = gosnmp.GenErr, uint8(few+1)
			return []*gosnmp.SnmpPacket{p}
		},
		"silence": func(*gosnmp.SnmpPacket, int) []*gosnmp.SnmpPacket { return nil },
		"cut short": func(p *gosnmp.SnmpPacket, few int) []*gosnmp.SnmpPacket {
			p.Variables = p.Variables[:few]
			return []*gosnmp.SnmpPacket{p}
		},
		"nothing in": func(p *gosnmp.SnmpPacket, _ int) []*gosnmp.SnmpPacket {
			p.Variables = nil
			return []*gosnmp.SnmpPacket{p}
		},
	} {
		for _, few := range []int{1, 2, 3} {
			a := newAgent(t).raritan(0, 0)
			a.does(func(q *gosnmp.SnmpPacket) []*gosnmp.SnmpPacket {
				p := a.answer(q)
				if len(q.Variables) > few {
					return refuse(p, few)
				}
				return []*gosnmp.SnmpPacket{p}
			})
			m := must(t, a.address, ",profile=raritan,timeout=150ms")
			for range 2 {
				got, err := m.Read(t.Context())
				require.NoError(t, err, "%s %d", name, few)
				require.NoError(t, got[0].Err)
				require.Equal(t, 7000.0, got[0].Value)
				require.NoError(t, got[1].Err)
			}
			require.Contains(t, strings.Join(m.Info().Notes, "\n"), fmt.Sprintf("the agent takes %d values in a question", min(few, 2)))
			require.NoError(t, m.Close())
		}
	}
}

// TestOneQuestion: all channels are read at once, or they would not add up.
func TestOneQuestion(t *testing.T) {
	a := newAgent(t).apc2()
	m := must(t, a.address, "")
	a.heard()
	_, err := m.Read(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"public"}, a.heard())
}

// TestCancelled: a reading ends when its context does, not when its timeout is
// over.
func TestCancelled(t *testing.T) {
	a := newAgent(t).apc2()
	m := must(t, a.address, ",timeout=30s")
	ctx, cancel := context.WithCancel(t.Context())
	a.does(func(*gosnmp.SnmpPacket) []*gosnmp.SnmpPacket { cancel(); return nil })
	began := time.Now()
	_, err := m.Read(ctx)
	require.ErrorIs(t, err, context.Canceled)
	require.Less(t, time.Since(began), 5*time.Second)
	a.twists(func(*gosnmp.SnmpPacket) {})
	got, err := read1(t, m)
	require.NoError(t, err)
	require.Equal(t, 2310.0, got)

	ctx, cancel = context.WithCancel(t.Context())
	a.does(func(*gosnmp.SnmpPacket) []*gosnmp.SnmpPacket { cancel(); return nil })
	_, err = Open(ctx, parse(t, a.address+",timeout=30s"))
	require.ErrorIs(t, err, context.Canceled)
}

// TestCounter32Wraps: at 2^32 counts, and only a counter does.
func TestCounter32Wraps(t *testing.T) {
	const oid = "1.3.6.1.4.1.9.1"
	for typ, want := range map[gosnmp.Asn1BER]float64{gosnmp.Counter32: 600, gosnmp.Gauge32: math.NaN()} {
		a := newAgent(t)
		a.set(oid, typ, uint(1<<32-20))
		m := must(t, a.address, ",oid="+oid+",kind=energy,scale=10")
		_, err := read1(t, m)
		require.NoError(t, err)
		a.set(oid, typ, uint(40))
		got, err := read1(t, m)
		if math.IsNaN(want) {
			require.ErrorContains(t, err, "a reset, a gap")
			continue
		}
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
}

// TestCounterIsNoPower: nor is it one with a scale.
func TestCounterIsNoPower(t *testing.T) {
	a := newAgent(t)
	a.set("1.3.6.1.4.1.9.1", gosnmp.Counter32, uint(5))
	_, err := try(t, a.address, ",oid=1.3.6.1.4.1.9.1")
	require.ErrorContains(t, err, "a Counter32 is no power")
}

// TestSensorNotAvailable: PDU2-MIB tells a 0 that means something from one
// that does not.
func TestSensorNotAvailable(t *testing.T) {
	a := newAgent(t).raritan(0, 3)
	m := must(t, a.address, "")
	for _, sensor := range []string{"5", "8"} {
		a.set(raritan+"5.2.3.1.2.1.1."+sensor, gosnmp.Integer, 2)
	}
	got, err := m.Read(t.Context())
	require.NoError(t, err)
	for _, r := range got {
		require.ErrorContains(t, r.Err, "not available")
	}
}

// TestUnitsAreAsked: a sensor in a unit that is not known is not read.
func TestUnitsAreAsked(t *testing.T) {
	a := newAgent(t).raritan(0, 0)
	a.set(raritan+"3.3.4.1.6.1.1.5", gosnmp.Integer, 4) // VA
	require.Equal(t, "inlet1-energy/J counter total=wall step=3600", describe(must(t, a.address, "")))
	a.set(raritan+"3.3.4.1.6.1.1.8", gosnmp.Integer, 6) // VAh
	_, err := try(t, a.address, "")
	require.ErrorContains(t, err, "unit 4 with 0 decimal digits")
	require.ErrorContains(t, err, "unit 6 with 0 decimal digits")
}

func TestUnknownPDU(t *testing.T) {
	a := newAgent(t)
	a.set("1.3.6.1.2.1.1.2.0", gosnmp.ObjectIdentifier, ".1.3.6.1.4.1.8072.3.2.10")
	_, err := try(t, a.address, "")
	require.NotErrorIs(t, err, power.ErrAbsent, "it was asked for by name")
	require.NotErrorIs(t, err, endpoint.ErrSpec)
	for _, want := range append(profileNames(), a.address, "oid=", "scale=", "kind=", "NoSuchInstance") {
		require.ErrorContains(t, err, want)
	}
	a.apc2()
	_, err = try(t, a.address, ",outlet=99")
	require.ErrorContains(t, err, "apc2: outlet99-power: it gives nothing (NoSuchInstance); apc: it does not measure its outlets")
}

func TestUnreachable(t *testing.T) {
	a := newAgent(t)
	a.does(func(*gosnmp.SnmpPacket) []*gosnmp.SnmpPacket { return nil }) // what an agent does with a wrong community
	for range 2 {
		_, err := try(t, a.address, ",timeout=40ms")
		require.NotErrorIs(t, err, power.ErrAbsent)
		for _, want := range []string{"snmp: " + a.address, "UDP", "community="} {
			require.ErrorContains(t, err, want)
		}
		a.down() // and the port is closed
	}
	_, err := try(t, "pdu.invalid", ",timeout=100ms")
	require.ErrorContains(t, err, "pdu.invalid:161")
}

const hunter = "hunter2hunter2"

// secretly returns options that name places where hunter is.
func secretly(t *testing.T, keys ...string) (out string) {
	file := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(file, []byte(hunter+"\n"), 0o600))
	for _, key := range keys {
		out += "," + key + "=file:" + file
	}
	return out
}

// TestSecretsAreNeverShown: not in what goes wrong, not in what goes right.
func TestSecretsAreNeverShown(t *testing.T) {
	a := newAgent(t).apc2()
	m := must(t, a.address, secretly(t, "community"))
	require.Equal(t, []string{hunter, hunter, hunter}, a.heard(), "each of two, and both")
	require.NotContains(t, fmt.Sprintf("%+v", m.Info()), hunter)
	require.Contains(t, strings.Join(m.Info().Notes, "\n"), "travels in clear over the network (SNMPv2c)")
	require.NotContains(t, strings.Join(must(t, a.address, "").Info().Notes, "\n"), "in clear", "public is no secret")

	spoil := []func(p *gosnmp.SnmpPacket){
		func(p *gosnmp.SnmpPacket) { p.Error, p.ErrorIndex = gosnmp.AuthorizationError, 1 },
		func(p *gosnmp.SnmpPacket) { p.PDUType = gosnmp.GetRequest },
		func(p *gosnmp.SnmpPacket) { p.Version = gosnmp.Version1 },
		func(p *gosnmp.SnmpPacket) { p.Variables = nil },
		func(p *gosnmp.SnmpPacket) { p.RequestID = 0 },
	}
	for i, how := range spoil {
		a.twists(how)
		if _, err := m.Read(t.Context()); err != nil {
			require.NotContains(t, err.Error(), hunter, i)
		}
		if _, err := try(t, a.address, secretly(t, "community")+",timeout=40ms"); err != nil {
			require.NotContains(t, err.Error(), hunter, i)
		}
	}
	a.down()
	for _, options := range []string{secretly(t, "community"), ",user=ops" + secretly(t, "password"), ",user=ops" + secretly(t, "password", "privacy")} {
		_, err := try(t, a.address, options+",timeout=40ms")
		require.Error(t, err)
		require.NotContains(t, err.Error(), hunter)
	}
}

func TestAuthNames(t *testing.T) {
	for i, want := range []gosnmp.SnmpV3AuthProtocol{gosnmp.SHA, gosnmp.SHA224, gosnmp.SHA256, gosnmp.SHA384, gosnmp.SHA512} {
		c, err := login(parse(t, "pdu,user=ops,auth="+authNames[i]+secretly(t, "password")), "pdu:161")
		require.NoError(t, err)
		require.Equal(t, want, c.SecurityParameters.(*gosnmp.UsmSecurityParameters).AuthenticationProtocol)
	}
}

// TestStackIsNotAnError: what gosnmp says when it panics is 8 KiB long.
func TestStackIsNotAnError(t *testing.T) {
	a := newAgent(t).apc2()
	c, err := login(parse(t, ""), a.address)
	require.NoError(t, err)
	require.NoError(t, c.Connect())
	defer c.Close()
	c.OnRecv = func(*gosnmp.GoSNMP) { panic("odd packet") }
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	_, err = c.get(ctx, apc2Power)
	require.EqualError(t, err, "recover: odd packet")
}

func TestBadSpecs(t *testing.T) {
	long := filepath.Join(t.TempDir(), "long")
	require.NoError(t, os.WriteFile(long, []byte(strings.Repeat("x", 128)), 0o600))
	secret := secretly(t, "password")
	for _, options := range []string{
		",outlet=0", ",outlet=a", ",outlet=3+3", ",outlet=1+2+3+4+5+6+7+8+9", ",outlet=", ",inlet=0", ",inlet=1,outlet=1", ",unit=0", ",unit=1.5",
		",profile=pdu", ",profile=apc,outlet=3", ",profile=apc,unit=2", ",profile=apc,inlet=2", ",profile=apc2,inlet=2", ",profile=apc2,unit=2,outlet=3",
		",oid=sysDescr.0", ",oid=", ",oid=1.3.06.1", ",oid=1.3", ",oid=1.3.6.x", ",oid=1.3.6.99999999999", ",oid=1.3.6..1", ",oid=2.3.6.1", ",oid=1.3.6.1,outlet=3", ",oid=1.3.6.1,profile=apc",
		",oid=1.3.6.1,scale=0", ",oid=1.3.6.1,scale=-1", ",oid=1.3.6.1,kind=volts", ",scale=10", ",kind=energy",
		",version=4", ",version=3", ",user=ops", ",version=2c,user=ops" + secret, secret, ",auth=SHA-512", ",user=ops,auth=MD5" + secret,
		",user=ops,community=file:" + long + secret, ",community=file:" + long, ",community=env:PERWATT_TEST_UNSET", ",timeout=1ms",
		",oid=1.3.6.1" + strings.Repeat(".1", 130),
	} {
		_, err := Open(t.Context(), parse(t, "127.0.0.1:9"+options))
		require.ErrorIs(t, err, endpoint.ErrSpec, options)
	}
	for _, target := range []string{"", "a/b", "pdu:0"} {
		_, err := Open(t.Context(), parse(t, target))
		require.ErrorIs(t, err, endpoint.ErrSpec, target)
	}
	a := newAgent(t).apc2()
	_, err := try(t, a.address, ",boundary=rack")
	require.ErrorIs(t, err, endpoint.ErrSpec)
	require.Equal(t, results.Wall, must(t, a.address, "").Info().Channels[0].Boundary)
}

// FuzzAnswer: whatever comes over the network is a value from 0 or an error.
func FuzzAnswer(f *testing.F) {
	for _, v := range []gosnmp.SnmpPDU{
		{Type: gosnmp.Integer, Value: 231}, {Type: gosnmp.Integer, Value: -1}, {Type: gosnmp.Null}, {Type: gosnmp.NoSuchInstance}, {Type: gosnmp.OctetString, Value: "231"},
		{Type: gosnmp.Counter32, Value: uint(1)}, {Type: gosnmp.Counter64, Value: uint64(math.MaxUint64)}, {Type: gosnmp.OpaqueFloat, Value: float32(1)},
	} {
		v.Name = apc2Power
		p := gosnmp.SnmpPacket{Version: gosnmp.Version2c, PDUType: gosnmp.GetResponse, RequestID: 7, Variables: []gosnmp.SnmpPDU{v}}
		raw, err := p.MarshalMsg()
		require.NoError(f, err)
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := (&gosnmp.GoSNMP{Version: gosnmp.Version2c}).SnmpDecodePacket(raw)
		if err != nil {
			return
		}
		vars, err := answer(p, []string{apc2Power})
		if err != nil {
			require.NotEmpty(t, err.Error())
			return
		}
		require.Len(t, vars, 1)
		if n, err := value(vars[0]); err == nil {
			require.True(t, n >= 0 && n <= math.MaxUint64, "%v", n)
			require.NotNil(t, vars[0].Value)
		}
	})
}
