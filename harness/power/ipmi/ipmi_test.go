package ipmi

import (
	"context"
	"fmt"
	"math"
	"net"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/bougou/go-ipmi/pkg/bmc"
	"github.com/bougou/go-ipmi/pkg/command/dcmi"
	"github.com/bougou/go-ipmi/pkg/protocol"
	"github.com/bougou/go-ipmi/pkg/rmcpplus"
	"github.com/bougou/go-ipmi/pkg/types"
	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/harness/power"
	"github.com/perwatt/perwatt/harness/power/powertest"
	"github.com/perwatt/perwatt/results"
)

const quick = ",timeout=600ms,user=admin,password=env:PERWATT_TEST_BMC"

func open(t testing.TB, b *fakeBMC, options string, now func() time.Time) (power.Meter, error) {
	t.Helper()
	s, err := power.ParseSpec("ipmi:"+b.addr()+options, Options)
	require.NoError(t, err)
	s.Now = now
	return Open(t.Context(), s)
}

// meter opens one that is closed with the test.
func meter(t testing.TB, b *fakeBMC, options string, now func() time.Time) power.Meter {
	t.Helper()
	m, err := open(t, b, quick+options, now)
	require.NoError(t, err)
	t.Cleanup(func() { _ = m.Close() })
	return m
}

// read returns the watts of one reading.
func read(t testing.TB, m power.Meter) (float64, error) {
	t.Helper()
	got, err := m.Read(t.Context())
	if err != nil {
		return math.NaN(), err
	}
	require.Len(t, got, 1)
	return got[0].Value, got[0].Err
}

func TestConformance(t *testing.T) {
	b := startBMC(t)
	powertest.TestMeter(t, func() (power.Meter, error) { return open(t, b, quick, nil) })
	require.Zero(t, b.sessions(), "a session was left behind")
}

func TestFaults(t *testing.T) {
	powertest.TestFaults(t, func(t *testing.T) powertest.Rig {
		b := startBMC(t)
		at := func(d time.Duration) uint32 { return noon + uint32(d/time.Second) }
		wrong := func(s says) func(time.Duration) {
			return func(d time.Duration) {
				s.stamp = at(d)
				b.say(s)
			}
		}
		gone := func(time.Duration) { b.set(func(b *fakeBMC) { b.mute = true }) }
		return powertest.Rig{
			Open: func(now func() time.Time) (power.Meter, error) { return open(t, b, quick, now) },
			Set: func(d time.Duration) {
				b.set(func(b *fakeBMC) { b.says, b.mute = says{watts: powertest.RigWatts, stamp: at(d), window: 1000}, false })
			},
			Break: map[string]func(time.Duration){
				"time-out":    gone,
				"vanish":      gone,
				"wrong type":  wrong(says{raw: []byte{types.GroupExtensionDCMI, 188, 2, 188, 2}}),
				"negative":    wrong(says{watts: 0xffff}), // −1 in 16 bits
				"nan":         wrong(says{watts: powertest.RigWatts + 200, off: true}),
				"zero":        wrong(says{}),
				"absurd jump": wrong(says{watts: 0xfffe}), // as far as 16 bits go
				"restart": func(d time.Duration) {
					gone(d)
					b.forget()
				},
				"clock step": func(d time.Duration) { b.say(says{watts: powertest.RigWatts, stamp: at(d) - 3600}) },
			},
		}
	})
}

// TestIpmitool: somebody else's client reads the same watts from the same BMC,
// in either cipher suite.
func TestIpmitool(t *testing.T) {
	ipmitool := powertest.Peer(t, "ipmitool", "ipmitool")
	b := startBMC(t)
	b.say(says{watts: 1234, stamp: noon, window: 1000})
	host, port, err := net.SplitHostPort(b.addr())
	require.NoError(t, err)
	for _, cipher := range []string{"3", "17"} {
		c := exec.CommandContext(t.Context(), ipmitool, "-C", cipher, "-I", "lanplus", "-H", host, "-p", port, "-U", user, "-E", "dcmi", "power", "reading")
		c.Env = append(os.Environ(), "IPMITOOL_PASSWORD="+password)
		out, err := c.CombinedOutput()
		require.NoError(t, err, "%s", out)
		theirs := regexp.MustCompile(`Instantaneous power reading: +(\d+) Watts`).FindSubmatch(out)
		require.NotNil(t, theirs, "%s", out)
		ours, err := read(t, meter(t, b, ",cipher="+cipher, nil))
		require.NoError(t, err)
		require.Equal(t, string(theirs[1]), fmt.Sprint(ours))
	}
}

func TestInfo(t *testing.T) {
	b := startBMC(t)
	info := meter(t, b, ",accuracy=2%,period=5s", nil).Info()
	require.Equal(t, "ipmi", info.Name)
	require.Equal(t, b.addr(), info.Source)
	require.Equal(t, 5*time.Second, info.Period)
	c := info.Channels[0]
	require.Equal(t, []any{"node", results.Watt, results.Gauge, results.Chassis, results.Chassis, results.Float(1), results.Float(0.02)},
		[]any{c.Name, c.Unit, c.Kind, c.Boundary, c.Total, c.Accuracy.Resolution, c.Accuracy.Gain})
	require.True(t, meter(t, b, "", nil).Info().Channels[0].Accuracy.Gain.IsAbsent())
}

// TestAveragingWindow: the record says what the BMC averages over, which is
// not how often it has something new.
func TestAveragingWindow(t *testing.T) {
	b := startBMC(t)
	b.say(says{watts: 412, stamp: noon, window: 30_000})
	info := meter(t, b, "", nil).Info()
	require.Contains(t, strings.Join(info.Notes, "\n"), "average are of 30s and not used")
	require.Equal(t, time.Second, info.Period)
	b.say(says{watts: 412, stamp: noon})
	require.NotContains(t, strings.Join(meter(t, b, "", nil).Info().Notes, "\n"), "average are of")
}

// TestCurrentNotAverage: of the four powers in an answer only the current one
// is taken.
func TestCurrentNotAverage(t *testing.T) {
	b := startBMC(t)
	got, err := read(t, meter(t, b, "", nil))
	require.NoError(t, err)
	require.Equal(t, 412.0, got)
}

// TestInactive: watts beside an inactive bit are what the BMC last saw, or
// nothing.
func TestInactive(t *testing.T) {
	b := startBMC(t)
	m := meter(t, b, "", nil)
	b.say(says{watts: 412, stamp: noon + 1, off: true})
	got, err := read(t, m)
	require.ErrorContains(t, err, "ipmi: node: its power measurement is not active")
	require.True(t, math.IsNaN(got))
	_, err = open(t, b, quick, nil)
	require.ErrorContains(t, err, "not active")
	require.NotErrorIs(t, err, power.ErrAbsent)
}

// TestZero: 0 W is what a BMC says whose supplies tell it nothing.
func TestZero(t *testing.T) {
	b := startBMC(t)
	m := meter(t, b, "", nil)
	b.say(says{stamp: noon + 1})
	_, err := read(t, m)
	require.ErrorContains(t, err, "0 W")
	_, err = open(t, b, quick, nil)
	require.ErrorContains(t, err, "0 W: none of its supplies")
}

// TestCompletionCodes: a BMC that says that it cannot is an error with the
// cure, costs no session and may be able to the next time.
func TestCompletionCodes(t *testing.T) {
	b := startBMC(t)
	m := meter(t, b, "", nil)
	for code, want := range map[types.CompletionCode]string{
		types.CodeInvalidCommand:        "has no DCMI power reading: try redfish:",
		types.CodeParameterOutOfRange:   "has no DCMI power reading",
		types.CodeNotSupported:          "in its present state",
		types.CodeInsufficientPrivilege: "give privilege=operator",
		types.CodeNodeBusy:              "ask again",
		0x80:                            "completion code 0x80",
	} {
		b.say(says{code: code})
		_, err := read(t, m)
		require.ErrorContains(t, err, want)
		_, err = open(t, b, quick, nil)
		require.ErrorContains(t, err, want)
		require.NotErrorIs(t, err, power.ErrAbsent)
		require.Equal(t, 1, b.sessions())
	}
	b.say(says{watts: 300, stamp: noon + 1})
	got, err := read(t, m)
	require.NoError(t, err)
	require.Equal(t, 300.0, got)
}

// TestWrongType: an answer that is not DCMI's costs no session either.
func TestWrongType(t *testing.T) {
	b := startBMC(t)
	m := meter(t, b, "", nil)
	was, _ := b.asker()
	for _, raw := range [][]byte{{}, {types.GroupExtensionDCMI}, says{watts: 412}.bytes()[:17], append([]byte{0}, says{watts: 412}.bytes()[1:]...)} {
		b.say(says{raw: raw})
		_, err := read(t, m)
		require.ErrorContains(t, err, "not the answer that DCMI defines")
		is, _ := b.asker()
		require.Equal(t, was, is)
	}
}

// TestRepeatedTimestamp: the same watts with the same stamp are no other
// reading, and for a minute they are not even news.
func TestRepeatedTimestamp(t *testing.T) {
	b := startBMC(t)
	c := &clock{time.Now()}
	m := meter(t, b, "", c.now)
	got, err := m.Read(t.Context())
	require.NoError(t, err)
	require.NoError(t, got[0].Err)
	require.Equal(t, time.Unix(noon, 0), got[0].Clock)
	for range 6 {
		c.t = c.t.Add(10 * time.Second)
		_, err := read(t, m)
		require.ErrorIs(t, err, power.ErrNoNews)
	}
	c.t = c.t.Add(time.Second)
	_, err = read(t, m)
	require.ErrorContains(t, err, "stale: it has reported 412 W for 1m1s")
	b.say(says{watts: 412, stamp: noon + 61})
	w, err := read(t, m)
	require.NoError(t, err, "the same watts at another time are a reading")
	require.Equal(t, 412.0, w)
}

// TestClockNeverSet: a BMC that does not know the time repeats no stamp.
func TestClockNeverSet(t *testing.T) {
	for _, stamp := range []uint32{0, 86_400, 0x20000000, 0xffffffff} {
		b := startBMC(t)
		b.say(says{watts: 412, stamp: stamp})
		c := &clock{time.Now()}
		m := meter(t, b, "", c.now)
		require.Contains(t, strings.Join(m.Info().Notes, "\n"), "its clock is not set")
		for range 3 {
			c.t = c.t.Add(time.Minute)
			got, err := m.Read(t.Context())
			require.NoError(t, err)
			require.NoError(t, got[0].Err, "a coarse gauge may stand still in truth")
			require.Zero(t, got[0].Clock)
		}
		b.say(says{watts: 1200, stamp: stamp})
		_, err := read(t, m)
		require.NoError(t, err)
		c.t = c.t.Add(61 * time.Second)
		_, err = read(t, m)
		require.ErrorContains(t, err, "stale", "a thousandth is fine enough to move")
	}
}

// TestLogin: whom the BMC does not let in learns what to do, and no error
// holds the password.
func TestLogin(t *testing.T) {
	b := startBMC(t)
	kg := startBMC(t, bmc.WithKG([]byte("a key of twenty byte")))
	sha1 := startBMC(t)
	sha1.state.SetCipherSuites([]types.CipherSuiteID{types.CipherSuiteID3})
	t.Setenv("PERWATT_TEST_WRONG", "hunter3")
	t.Setenv("PERWATT_TEST_LONG", "hunter2 and as much again")
	const right = ",password=env:PERWATT_TEST_BMC"
	for _, c := range []struct {
		bmc     *fakeBMC
		options string
		want    string // empty if it is let in
	}{
		{b, ",user=admin" + right, ""},
		{b, ",user=admin,cipher=3" + right, ""},
		{b, ",user=admin,privilege=administrator" + right, ""},
		{b, ",user=guest" + right, ""},
		{b, ",user=admin,password=env:PERWATT_TEST_WRONG", "give user=NAME and password="},
		{b, ",user=admin,cipher=3,password=env:PERWATT_TEST_WRONG", "give user=NAME and password="},
		{b, ",user=nobody" + right, "give user=NAME and password="},
		{b, "", "give user=NAME and password="},
		{b, ",user=guest,privilege=administrator" + right, "ask for less with privilege="},
		{sha1, ",user=admin" + right, "try cipher=3"},
		{sha1, ",user=admin,cipher=3" + right, ""},
		{kg, ",user=admin" + right, "BMC key (Kg)"},
		{b, ",user=admin,password=env:PERWATT_TEST_LONG", "none longer than 20 bytes"},
		{b, ",user=a_name_of_17_bytes" + right, "no name longer than 16 bytes"},
		{b, ",user=admin,password=env:PERWATT_TEST_UNSET", "PERWATT_TEST_UNSET is not set"},
		{b, ",user=admin,cipher=0" + right, "cipher=0: must be 3, 17"},
		{b, ",user=admin,privilege=root" + right, "privilege=root: must be user"},
	} {
		m, err := open(t, c.bmc, ",timeout=1s"+c.options, nil)
		if c.want == "" {
			require.NoError(t, err, c.options)
			require.NotContains(t, fmt.Sprintf("%+v", m.Info()), "hunter")
			want := bmc.PrivilegeLevelUser // no more than it takes
			if strings.Contains(c.options, "administrator") {
				want = bmc.PrivilegeLevelAdministrator
			}
			_, got := c.bmc.asker()
			require.Equal(t, want, got, c.options)
			require.NoError(t, m.Close())
			continue
		}
		require.ErrorContains(t, err, c.want, c.options)
		require.NotErrorIs(t, err, power.ErrAbsent)
		require.NotContains(t, err.Error(), "hunter")
	}
}

// TestUnreachable: silence is an error in time, and so is a closed port.
func TestUnreachable(t *testing.T) {
	b := startBMC(t)
	b.set(func(b *fakeBMC) { b.mute = true })
	began := time.Now()
	_, err := open(t, b, quick, nil)
	require.ErrorContains(t, err, "no answer within 600ms")
	require.ErrorContains(t, err, "IPMI over LAN is enabled")
	require.NotErrorIs(t, err, power.ErrAbsent)
	require.Less(t, time.Since(began), 2*time.Second)

	s, err := power.ParseSpec(fmt.Sprintf("ipmi:127.0.0.1:%d,timeout=600ms", powertest.FreePort(t, "udp")), Options)
	require.NoError(t, err)
	files, _ := os.ReadDir("/proc/self/fd")
	for range 8 {
		_, err = Open(t.Context(), s)
		require.ErrorContains(t, err, "IPMI over LAN is enabled")
	}
	if after, err := os.ReadDir("/proc/self/fd"); err == nil {
		require.Len(t, after, len(files), "a socket was left open")
	}
}

// TestDroppedSession: a session that the BMC forgot costs one reading.
func TestDroppedSession(t *testing.T) {
	b := startBMC(t)
	m := meter(t, b, "", nil)
	_, err := read(t, m)
	require.NoError(t, err)
	b.forget()
	_, err = read(t, m)
	require.ErrorContains(t, err, "no answer within 600ms")
	b.say(says{watts: 500, stamp: noon + 2})
	got, err := read(t, m)
	require.NoError(t, err)
	require.Equal(t, 500.0, got)
	require.Equal(t, 1, b.sessions())
}

// TestIdleSession: one that was silent for so long that the BMC may have ended
// it costs none.
func TestIdleSession(t *testing.T) {
	b := startBMC(t)
	c := &clock{time.Now()}
	m := meter(t, b, ",period=2m", c.now)
	for range 6 {
		b.forget()
		c.t = c.t.Add(2 * time.Minute)
		b.say(says{watts: 500, stamp: uint32(c.t.Unix())})
		got, err := read(t, m)
		require.NoError(t, err)
		require.Equal(t, 500.0, got)
	}
	c.t = c.t.Add(2 * time.Minute) // the BMC still holds this one
	_, err := read(t, m)
	require.ErrorIs(t, err, power.ErrNoNews)
	require.Eventually(t, func() bool { return b.sessions() == 1 }, time.Second, time.Millisecond, "it was told that the old one is over")
}

// TestLostDatagram: UDP loses; what is asked again within the timeout is a
// reading, and its slack says how long it took.
func TestLostDatagram(t *testing.T) {
	b := startBMC(t)
	m, err := open(t, b, ",timeout=3s,user=admin,password=env:PERWATT_TEST_BMC", nil)
	require.NoError(t, err)
	defer m.Close()
	b.set(func(b *fakeBMC) { b.deaf = 1 })
	got, err := m.Read(t.Context())
	require.NoError(t, err)
	require.NoError(t, got[0].Err)
	require.GreaterOrEqual(t, got[0].Slack, resend/2)
}

// bend spoils one byte: of the algorithm HMAC-SHA256, 3, it makes none, 0.
func bend(raw []byte, i int) []byte {
	out := append([]byte(nil), raw...)
	out[i] ^= 3
	return out
}

// TestForgedAnswer: whoever can send from the BMC's address, but does not know
// the password, neither makes a reading nor ends the process.
func TestForgedAnswer(t *testing.T) {
	b := startBMC(t)
	m := meter(t, b, "", nil)
	lie := says{watts: 9999, stamp: noon + 1}.bytes()
	b.set(func(b *fakeBMC) {
		b.forge = func(real []byte) [][]byte {
			const both = types.PayloadFlagEncrypted | types.PayloadFlagAuthenticated
			var out [][]byte
			for seq := range uint8(64) {
				answer := protocol.BuildIPMIResponse(uint8(types.NetFnGroupExtensionRequest), types.CommandGetDCMIPowerReading.ID, seq, 0, lie)
				out = append(out, protocol.BuildRMCPPlusPacket(0, 0, 0, 1, answer), append(protocol.BuildRMCPPlusPacket(0, types.PayloadFlagAuthenticated, 0, 1, answer), make([]byte, 18)...))
			}
			out = append(out, []byte{}, real[:3], real[:15], real[:len(real)-1], protocol.BuildRMCPPlusPacket(0, both, 0, 1, nil))
			for i := range real {
				out = append(out, bend(real, i))
			}
			return out
		}
	})
	b.say(says{watts: 420, stamp: noon + 1})
	got, err := read(t, m)
	require.NoError(t, err)
	require.Equal(t, 420.0, got)
}

// TestLateAnswer: the answer to an earlier request, signed as it is, is none
// to this one.
func TestLateAnswer(t *testing.T) {
	b := startBMC(t)
	m := meter(t, b, "", nil)
	var late []byte
	b.set(func(b *fakeBMC) {
		b.forge = func(real []byte) [][]byte {
			was := late
			late = append([]byte(nil), real...)
			return [][]byte{was}
		}
	})
	for i := range uint16(70) { // once around the 63 numbers of requests
		b.say(says{watts: 420 + i, stamp: noon + uint32(i)})
		got, err := read(t, m)
		require.NoError(t, err)
		require.Equal(t, float64(420+i), got)
	}
}

// TestImpostor: who answers without knowing the password, or talks us into
// signing nothing, gets no session.
func TestImpostor(t *testing.T) {
	for kind, c := range map[types.PayloadType]struct {
		at   int // byte of the payload that is not as it should be
		want string
	}{
		types.PayloadTypeRmcpOpenSessionResponse: {16, "other algorithms than those of cipher suite 17"},
		types.PayloadTypeRAKPMessage2:            {40, "the user or the password is wrong"},
		types.PayloadTypeRAKPMessage4:            {8, "proves the password but not the session's key"},
	} {
		b := startBMC(t)
		b.set(func(b *fakeBMC) {
			b.forge = func(real []byte) [][]byte {
				if real[5] != uint8(kind) {
					return nil
				}
				return [][]byte{bend(real, headers+c.at)}
			}
		})
		_, err := open(t, b, quick, nil)
		require.ErrorContains(t, err, c.want)
	}
}

// TestCancel: a read ends with its context however long its timeout, and
// leaves nothing running; so does closing.
func TestCancel(t *testing.T) {
	b := startBMC(t)
	warm, err := open(t, b, quick, nil) // the BMC's own are all started then
	require.NoError(t, err)
	require.NoError(t, warm.Close())
	before := runtime.NumGoroutine()
	m, err := open(t, b, ",timeout=1m,user=admin,password=env:PERWATT_TEST_BMC", nil)
	require.NoError(t, err)
	b.set(func(b *fakeBMC) { b.mute = true })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, err = m.Read(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NotContains(t, err.Error(), "no answer", "it was not the BMC's fault")
	require.Less(t, time.Since(began), time.Second/2)

	b.set(func(b *fakeBMC) { b.mute = false })
	_, err = read(t, m)
	require.NoError(t, err)
	b.set(func(b *fakeBMC) { b.mute = true })
	began = time.Now()
	require.NoError(t, m.Close())
	require.Less(t, time.Since(began), 2*resend)
	for range 100 { // the BMC's own are brief; Eventually has some itself
		if runtime.NumGoroutine() <= before {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	require.LessOrEqual(t, runtime.NumGoroutine(), before)
	require.Eventually(t, func() bool { return b.sessions() == 0 }, time.Second, time.Millisecond, "the BMC was told all the same")
}

// TestDropNeverWaits: a request whose context is over is sent and not waited
// for, however the end of the context and the start of the wait interleave.
func TestDropNeverWaits(t *testing.T) {
	b := startBMC(t)
	s, err := login(t.Context(), b.addr(), account{user, password, types.CipherSuiteID17, types.PrivilegeLevelUser})
	require.NoError(t, err)
	defer s.conn.Close()
	b.set(func(b *fakeBMC) { b.mute = true })
	over, cancel := context.WithCancel(t.Context())
	cancel()
	began := time.Now()
	for range 500 {
		require.ErrorIs(t, s.trade(over, types.PayloadTypeIPMI, nil, types.PayloadTypeIPMI, nil), context.Canceled)
	}
	require.Less(t, time.Since(began), resend)
}

func TestSealed(t *testing.T) {
	for _, k := range sessionKeys() {
		for size := range 40 {
			payload := []byte(strings.Repeat("x", size))
			raw, err := k.seal(types.PayloadTypeIPMI, 7, 9, payload)
			require.NoError(t, err)
			kind, got, err := k.unseal(raw)
			require.NoError(t, err)
			require.Equal(t, types.PayloadTypeIPMI, kind)
			require.Equal(t, payload, append([]byte{}, got...))
			for i := 4; i < len(raw) && k.k1 != nil; i++ {
				_, _, err := k.unseal(bend(raw, i))
				require.Error(t, err, "byte %d", i)
			}
		}
	}
}

func sessionKeys() []keys {
	key := []byte(strings.Repeat("k", 20))
	return []keys{{}, {types.IntegrityAlg_HMAC_SHA1_96, key, key}, {types.IntegrityAlg_HMAC_SHA256_128, key, key}}
}

// FuzzUnseal: no datagram ends the process, and none is taken that was not
// signed; what one who has the keys signs may be nonsense too.
func FuzzUnseal(f *testing.F) {
	for _, k := range sessionKeys() {
		raw, err := k.seal(types.PayloadTypeIPMI, 7, 9, says{watts: 412}.bytes())
		require.NoError(f, err)
		f.Add(raw)
		f.Add(raw[:len(raw)/2])
	}
	f.Add(protocol.BuildRMCPPlusPacket(0, types.PayloadFlagEncrypted|types.PayloadFlagAuthenticated, 7, 9, nil))
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, k := range sessionKeys() {
			if _, payload, err := k.unseal(raw); err == nil {
				for _, r := range []interface{ Unpack([]byte) error }{&rmcpplus.OpenSessionResponse{}, &rmcpplus.RAKPMessage2{AuthAlg: types.AuthAlg_HMAC_SHA256},
					&rmcpplus.RAKPMessage4{AuthAlg: types.AuthAlg_HMAC_SHA256}, &types.IPMIResponse{}, &dcmi.GetDCMIPowerReadingResponse{}} {
					_ = r.Unpack(payload)
				}
			}
			if k.k1 == nil {
				continue
			}
			if len(raw) > 1000 {
				continue
			}
			signed, err := k.sign(protocol.BuildRMCPPlusPacket(0, types.PayloadFlagEncrypted|types.PayloadFlagAuthenticated, 7, 9, raw))
			require.NoError(t, err)
			_, _, _ = k.unseal(signed)
			signed[len(signed)-1] ^= 1
			_, _, err = k.unseal(signed)
			require.Error(t, err)
		}
	})
}

func BenchmarkRead(b *testing.B) {
	m, err := open(b, startBMC(b), quick, nil)
	require.NoError(b, err)
	defer m.Close()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.Read(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
