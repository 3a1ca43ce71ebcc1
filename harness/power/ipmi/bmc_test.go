package ipmi

import (
	"context"
	"encoding/binary"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/bougou/go-ipmi/pkg/bmc"
	"github.com/bougou/go-ipmi/pkg/hal/mock"
	"github.com/bougou/go-ipmi/pkg/handlers"
	"github.com/bougou/go-ipmi/pkg/server"
	"github.com/bougou/go-ipmi/pkg/types"
	"github.com/stretchr/testify/require"
)

const (
	user     = "admin"
	password = "hunter2,Ω" // a comma, and more bytes than letters
	noon     = 1_790_000_000
)

// says is what a BMC answers to Get Power Reading.
type says struct {
	watts  uint16
	stamp  uint32
	window uint32 // ms
	off    bool   // the active bit
	code   types.CompletionCode
	raw    []byte // instead of all that
}

func (s says) bytes() []byte {
	if s.raw != nil {
		return s.raw
	}
	out := []byte{types.GroupExtensionDCMI}
	// The minimum, maximum and average are other watts, so that none is taken
	// for the current power.
	for _, w := range []uint16{s.watts, s.watts - 50, s.watts + 100, s.watts + 33} {
		out = binary.LittleEndian.AppendUint16(out, w)
	}
	out = binary.LittleEndian.AppendUint32(out, s.stamp)
	out = binary.LittleEndian.AppendUint32(out, s.window)
	if s.off {
		return append(out, 0)
	}
	return append(out, 1<<6)
}

// fakeBMC is go-ipmi's BMC on a port of the loopback, and the wire to it.
type fakeBMC struct {
	net.PacketConn
	state *bmc.BMC

	mu      sync.Mutex
	says    says
	mute    bool                  // nothing that it says arrives
	deaf    int                   // so many datagrams to it are lost
	forge   func([]byte) [][]byte // what a stranger says before each of its datagrams
	session uint32                // the last that asked
	level   bmc.PrivilegeLevel    // of that
}

func (b *fakeBMC) set(f func(*fakeBMC)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f(b)
}

func (b *fakeBMC) say(s says) { b.set(func(b *fakeBMC) { b.says = s }) }

func (b *fakeBMC) addr() string { return b.LocalAddr().String() }

// sessions is how many sessions the BMC holds.
func (b *fakeBMC) sessions() int { return b.state.Sessions.Count() }

// asker is the session that asked last and its level.
func (b *fakeBMC) asker() (uint32, bmc.PrivilegeLevel) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.session, b.level
}

// forget has the BMC drop its session, if it has one, without a word.
func (b *fakeBMC) forget() {
	id, _ := b.asker()
	_ = b.state.Sessions.Close(id)
}

// ReadFrom and WriteTo are the BMC's end of the wire.
func (b *fakeBMC) ReadFrom(p []byte) (int, net.Addr, error) {
	for {
		n, from, err := b.PacketConn.ReadFrom(p)
		b.mu.Lock()
		lost := err == nil && b.deaf > 0
		if lost {
			b.deaf--
		}
		b.mu.Unlock()
		if !lost {
			return n, from, err
		}
	}
}

func (b *fakeBMC) WriteTo(p []byte, to net.Addr) (int, error) {
	b.mu.Lock()
	mute, forge := b.mute, b.forge
	b.mu.Unlock()
	if mute {
		return len(p), nil
	}
	if forge != nil {
		for _, f := range forge(p) {
			if _, err := b.PacketConn.WriteTo(f, to); err != nil {
				return 0, err
			}
		}
	}
	return b.PacketConn.WriteTo(p, to)
}

func startBMC(t testing.TB, options ...bmc.Option) *fakeBMC {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	b := &fakeBMC{PacketConn: conn, says: says{watts: 412, stamp: noon, window: 1000}}
	b.state = bmc.New(bmc.DeviceInfo{DeviceID: 32, IPMIVersion: 0x20}, [16]byte{15: 1}, mock.New(), options...)
	for id, name := range map[uint8]string{2: user, 3: "guest"} {
		u, err := b.state.Users.Add(id, name)
		require.NoError(t, err)
		u.SetPassword([]byte(password))
		u.Enabled = true
		u.ChannelAccess[1] = bmc.UserChannelAccess{MaxPrivilege: map[string]bmc.PrivilegeLevel{user: bmc.PrivilegeLevelAdministrator, "guest": bmc.PrivilegeLevelUser}[name], Enabled: true}
	}
	registry := handlers.NewRegistry()
	handlers.RegisterAllHandlers(registry)
	registry.RegisterFunc(types.CommandGetDCMIPowerReading, func(_ context.Context, h *handlers.HandlerContext, _ []byte) ([]byte, types.CompletionCode, error) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.session, b.level = h.Session.BMCID, h.Session.PrivilegeLevel
		if b.says.code != types.CodeOK {
			return nil, b.says.code, nil
		}
		return b.says.bytes(), types.CodeOK, nil
	})
	s := server.NewServer(b.state, b, server.WithHandlerRegistry(registry))
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = s.Serve(context.Background())
	}()
	t.Cleanup(func() {
		_ = s.Close()
		<-served
	})
	t.Setenv("PERWATT_TEST_BMC", password)
	return b
}

// clock is turned by hand.
type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }
