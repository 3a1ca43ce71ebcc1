package snmp

import (
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/gosnmp/gosnmp"
	"github.com/stretchr/testify/require"
)

// agent is an SNMP agent of versions 1 and 2c that can do wrong what real
// ones do wrong. It answers from values unless a test replaces reply.
type agent struct {
	t       testing.TB
	address string

	mu     sync.Mutex
	values map[string]gosnmp.SnmpPDU
	reply  func(q *gosnmp.SnmpPacket) []*gosnmp.SnmpPacket
	asked  []string // with which community

	conn *net.UDPConn
	done chan struct{}
}

func newAgent(t testing.TB) *agent {
	a := &agent{t: t, address: "127.0.0.1:0", values: map[string]gosnmp.SnmpPDU{}}
	a.reply = func(q *gosnmp.SnmpPacket) []*gosnmp.SnmpPacket { return []*gosnmp.SnmpPacket{a.answer(q)} }
	a.up()
	t.Cleanup(a.down)
	return a
}

// up has it listen, always on the same port.
func (a *agent) up() {
	if a.conn != nil {
		return
	}
	at, err := net.ResolveUDPAddr("udp", a.address)
	require.NoError(a.t, err)
	a.conn, err = net.ListenUDP("udp", at)
	require.NoError(a.t, err)
	a.address, a.done = a.conn.LocalAddr().String(), make(chan struct{})
	go a.serve(a.conn, a.done)
}

func (a *agent) down() {
	if a.conn != nil {
		_ = a.conn.Close()
		<-a.done
		a.conn = nil
	}
}

func (a *agent) serve(conn *net.UDPConn, done chan struct{}) {
	defer close(done)
	raw := make([]byte, 65535)
	for {
		n, from, err := conn.ReadFromUDP(raw)
		if err != nil {
			return
		}
		q, err := (&gosnmp.GoSNMP{}).SnmpDecodePacket(raw[:n])
		if err != nil {
			continue
		}
		a.mu.Lock()
		a.asked = append(a.asked, q.Community)
		out := a.reply(q)
		a.mu.Unlock()
		for _, p := range out {
			b, err := p.MarshalMsg()
			if err != nil {
				a.t.Errorf("the agent cannot say %+v: %v", p.Variables, err)
				continue
			}
			_, _ = conn.WriteToUDP(b, from)
		}
	}
}

// answer is the right one, called under the lock.
func (a *agent) answer(q *gosnmp.SnmpPacket) *gosnmp.SnmpPacket {
	p := *q
	p.PDUType, p.Variables = gosnmp.GetResponse, nil
	for _, v := range q.Variables {
		v.Name = strings.TrimPrefix(v.Name, ".")
		has, ok := a.values[v.Name]
		if !ok {
			has = gosnmp.SnmpPDU{Type: gosnmp.NoSuchInstance}
		}
		has.Name = v.Name
		p.Variables = append(p.Variables, has)
	}
	return &p
}

func (a *agent) set(oid string, typ gosnmp.Asn1BER, v any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.values[oid] = gosnmp.SnmpPDU{Type: typ, Value: v}
}

// heard returns, and forgets, the communities with which it was asked.
func (a *agent) heard() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	defer func() { a.asked = nil }()
	return a.asked
}

// does has it answer each question in another way.
func (a *agent) does(reply func(q *gosnmp.SnmpPacket) []*gosnmp.SnmpPacket) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.reply = reply
}

// twists has it spoil the right answer.
func (a *agent) twists(how func(p *gosnmp.SnmpPacket)) {
	a.does(func(q *gosnmp.SnmpPacket) []*gosnmp.SnmpPacket {
		p := a.answer(q)
		how(p)
		return []*gosnmp.SnmpPacket{p}
	})
}

const (
	apc2Power  = "1.3.6.1.4.1.318.1.1.26.4.3.1.5.1"
	apc2Energy = "1.3.6.1.4.1.318.1.1.26.4.3.1.9.1"
	apc2Outlet = "1.3.6.1.4.1.318.1.1.26.9.4.3.1.7."
	apcPower   = "1.3.6.1.4.1.318.1.1.12.1.16.0"
	raritan    = "1.3.6.1.4.1.13742.6."
)

// apc2 is a PDU that draws 2310 W and has counted 1234.5 kWh.
func (a *agent) apc2() *agent {
	a.set(apc2Power, gosnmp.Integer, 231)
	a.set(apc2Energy, gosnmp.Integer, 12345)
	return a
}

// raritan is an inlet with decimal digits of power and of energy.
func (a *agent) raritan(power, energy int) *agent {
	for sensor, s := range map[string][2]int{"5": {3, power}, "8": {5, energy}} {
		a.set(raritan+"5.2.3.1.2.1.1."+sensor, gosnmp.Integer, 1)
		a.set(raritan+"3.3.4.1.6.1.1."+sensor, gosnmp.Integer, s[0])
		a.set(raritan+"3.3.4.1.7.1.1."+sensor, gosnmp.Gauge32, uint(s[1]))
		a.set(raritan+"5.2.3.1.4.1.1."+sensor, gosnmp.Gauge32, uint(7000))
	}
	return a
}
