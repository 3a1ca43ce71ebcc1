//go:build amd64 || arm64

package nvml

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/harness/endpoint"
	"github.com/perwatt/perwatt/harness/power"
	"github.com/perwatt/perwatt/harness/power/powertest"
	"github.com/perwatt/perwatt/results"
)

// two cards, the second of a kind that has no energy counter.
var two = map[string]string{
	"cards": "2", "driver": "580.95.05",
	"0.uuid": "GPU-11111111-0000-0000-0000-000000000000", "0.name": "NVIDIA H100 80GB HBM3", "0.energy": "5000000", "0.limit": "700000", "0.reasons": "5", "0.pci": "0000:3b:00",
	"1.uuid": "GPU-22222222-0000-0000-0000-000000000000", "1.name": "Tesla P100", "1.field186": "123456", "1.power": "120000", "1.limit": "250000", "1.reasons": "1", "1.pci": "0000:AF:00",
}

// whole is a card with everything, changed and added to.
func whole(changes ...string) map[string]string {
	says := map[string]string{
		"0.uuid": "GPU-1", "0.name": "A card", "0.energy": "5000000", "0.field83": "6000000", "0.field83.type": "3",
		"0.field186": "186000", "0.field185": "185000", "0.power": "300000", "0.limit": "700000",
	}
	for i := 0; i < len(changes); i += 2 {
		if says[changes[i]] = changes[i+1]; changes[i+1] == "" {
			delete(says, changes[i])
		}
	}
	return says
}

// fake is a library of the test's own.
type fake struct {
	t    testing.TB
	path string // of the library
}

// built are the libraries by what they lack.
var built = map[string][]byte{}

// build makes a library of its own for a test, without some functions.
func build(t testing.TB, says map[string]string, lacks ...string) fake {
	t.Helper()
	f := fake{t, filepath.Join(t.TempDir(), soname)}
	if key := fmt.Sprint(lacks); built[key] == nil {
		args := []string{"-shared", "-fPIC", "-Wall", "-Werror", "-o", f.path, "testdata/fake.c", "-ldl"}
		for _, l := range lacks {
			args = append(args, "-DLACKS_"+l)
		}
		out, err := exec.Command(powertest.Peer(t, "cc", "gcc"), args...).CombinedOutput()
		require.NoError(t, err, "%s", out)
		built[key], err = os.ReadFile(f.path)
		require.NoError(t, err)
	} else {
		require.NoError(t, os.WriteFile(f.path, built[key], 0o755))
	}
	f.says(says)
	return f
}

// says is what the library says from now on.
func (f fake) says(says map[string]string) {
	var b strings.Builder
	for k, v := range says {
		fmt.Fprintln(&b, k, v)
	}
	state := filepath.Join(filepath.Dir(f.path), "state")
	require.NoError(f.t, os.WriteFile(state+".new", []byte(b.String()), 0o644))
	require.NoError(f.t, os.Rename(state+".new", state))
}

// closed is how often the use of the library was ended.
func (f fake) closed() int {
	raw, err := os.ReadFile(filepath.Join(filepath.Dir(f.path), "closed"))
	if err != nil {
		require.ErrorIs(f.t, err, os.ErrNotExist)
	}
	return strings.Count(string(raw), "\n")
}

func (f fake) open(options string) (power.Meter, error) {
	s, err := power.ParseSpec("nvml"+options, Options)
	require.NoError(f.t, err)
	return Open(f.t.Context(), s, f.path)
}

// clocked opens a meter whose clock is turned by hand.
func (f fake) clocked() (power.Meter, *time.Time) {
	now := time.Now()
	m, err := Open(f.t.Context(), power.Spec{Spec: endpoint.Spec{Kind: "nvml"}, Now: func() time.Time { return now }}, f.path)
	require.NoError(f.t, err)
	f.t.Cleanup(func() { m.Close() })
	return m, &now
}

func channels(m power.Meter) string {
	var out []string
	for _, c := range m.Info().Channels {
		out = append(out, fmt.Sprintf("%s %s %s", c.Name, c.Unit, c.Boundary))
	}
	return strings.Join(out, ", ")
}

func notes(m power.Meter) string { return strings.Join(m.Info().Notes, "\n") }

func TestLayout(t *testing.T) {
	var v fieldValue
	require.EqualValues(t, 40, unsafe.Sizeof(v))
	require.EqualValues(t, 24, unsafe.Offsetof(v.kind))
	require.EqualValues(t, 28, unsafe.Offsetof(v.result))
	require.EqualValues(t, 32, unsafe.Offsetof(v.value))
}

func TestConformance(t *testing.T) {
	f := build(t, two)
	powertest.TestMeter(t, func() (power.Meter, error) { return f.open("") })
	require.Equal(t, 2, f.closed())
}

func TestCards(t *testing.T) {
	m, err := build(t, two).open("")
	require.NoError(t, err)
	defer m.Close()
	require.Equal(t, "gpu0-energy J card, gpu1-instant W card", channels(m))
	for _, c := range m.Info().Channels {
		require.Equal(t, results.Cards, c.Total, "a card is never the node")
		require.Equal(t, results.Measured, c.Origin)
	}
	for _, want := range []string{
		"NVIDIA driver 580.95.05",
		"gpu0: NVIDIA H100 80GB HBM3 0000:3b:00.0 GPU-11111111-0000-0000-0000-000000000000: its energy counter",
		"gpu0: power limit 700 W when opened",
		"gpu0: clocks held back when opened: power",
		"gpu1: Tesla P100 0000:af:00.0 GPU-22222222-0000-0000-0000-000000000000: its power at the moment (field 186)",
		"gpu1: a sampled power is not the energy of what lies between",
		"gpu1 has no energy: Not Supported (NVML error 3); energy: Not Supported (NVML error 3)",
		"windows of 5s or more",
	} {
		require.Contains(t, notes(m), want)
	}
	require.NotContains(t, notes(m), "gpu1: clocks", "idle is not held back")
	require.Equal(t, results.Float(0.25), *m.Info().Channels[0].Accuracy.Duty, "an H100 looks at a quarter of the time")
	require.Nil(t, m.Info().Channels[1].Accuracy.Duty)
	require.NotContains(t, notes(m), "MIG")
	got, err := m.Read(t.Context())
	require.NoError(t, err)
	require.Zero(t, got[0].Value)
	require.Equal(t, 123.456, got[1].Value)
}

func TestDevice(t *testing.T) {
	f := build(t, two)
	for option, want := range map[string]string{
		",device=0": "gpu0-energy J card",
		",device=1": "gpu1-instant W card",
		",device=GPU-22222222-0000-0000-0000-000000000000": "gpu1-instant W card",
	} {
		m, err := f.open(option)
		require.NoError(t, err)
		require.Equal(t, want, channels(m))
		require.NoError(t, m.Close())
	}
	for _, option := range []string{",device=2", ",device=-1", ",device=GPU-2", ",device=MIG-1", ",device=00"} {
		_, err := f.open(option)
		require.ErrorIs(t, err, endpoint.ErrSpec, option)
		require.ErrorContains(t, err, "0 GPU-11111111-0000-0000-0000-000000000000, 1 GPU-2222")
	}
	require.Equal(t, 3+5, f.closed())
}

// TestPreference: the best source that a card has, named for what it is.
func TestPreference(t *testing.T) {
	for name, c := range map[string]struct {
		says  map[string]string
		lacks []string
		want  string
		value float64 // of a gauge, W
	}{
		"everything":                      {whole(), nil, "gpu0-energy J card", 0},
		"no function for energy":          {whole(), []string{"energy"}, "gpu0-energy J card", 0},
		"no energy":                       {whole("0.energy", "", "0.field83", ""), nil, "gpu0-instant W card", 186},
		"a counter that counts nothing":   {whole("0.energy", "0", "0.frozen", "1", "0.field83", ""), nil, "gpu0-instant W card", 186},
		"a counter that is frozen":        {whole("0.frozen", "1", "0.field83", ""), nil, "gpu0-instant W card", 186},
		"no power at the moment":          {whole("0.energy", "", "0.field83", "", "0.field186", ""), nil, "gpu0-average W card", 185},
		"0 W at the moment":               {whole("0.energy", "", "0.field83", "", "0.field186", "0"), nil, "gpu0-average W card", 185},
		"-1 W at the moment":              {whole("0.energy", "", "0.field83", "", "0.field186", "-1", "0.field186.type", "4"), nil, "gpu0-average W card", 185},
		"NaN at the moment":               {whole("0.energy", "", "0.field83", "", "0.field186", "nan", "0.field186.type", "0"), nil, "gpu0-average W card", 185},
		"a field that the library lacks":  {whole("0.energy", "", "fields", "13"), nil, "gpu0-power W card", 300},
		"no fields":                       {whole("0.energy", "", "0.field83", ""), []string{"fields"}, "gpu0-power W card", 300},
		"an older library":                {whole(), []string{"energy", "fields", "enforced", "reasons"}, "gpu0-power W card", 300},
		"of a double":                     {whole("0.energy", "", "0.field83", "", "0.field186.type", "0"), nil, "gpu0-instant W card", 186},
		"of an unsigned long":             {whole("0.energy", "", "0.field83", "", "0.field186.type", "2"), nil, "gpu0-instant W card", 186},
		"of a signed long long":           {whole("0.energy", "", "0.field83", "", "0.field186.type", "4"), nil, "gpu0-instant W card", 186},
		"of a signed int":                 {whole("0.energy", "", "0.field83", "", "0.field186.type", "5"), nil, "gpu0-instant W card", 186},
		"of an unsigned short":            {whole("0.energy", "", "0.field83", "", "0.field186", "18600", "0.field186.type", "6"), nil, "gpu0-instant W card", 18.6},
		"of a type that nobody knows yet": {whole("0.energy", "", "0.field83", "", "0.field186.type", "7"), nil, "gpu0-average W card", 185},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := build(t, c.says, c.lacks...).open("")
			require.NoError(t, err)
			defer m.Close()
			require.Equal(t, c.want, channels(m))
			require.Contains(t, notes(m), "power limit 700 W")
			got, err := m.Read(t.Context())
			require.NoError(t, err)
			require.NoError(t, got[0].Err)
			require.Equal(t, c.value, got[0].Value)
		})
	}
}

// TestLimitOfAllBits: a limit that is none widens nothing beyond what a card
// draws.
func TestLimitOfAllBits(t *testing.T) {
	f := build(t, whole("0.energy", "", "0.field83", "", "0.limit", "4294967295"))
	m, err := f.open("")
	require.NoError(t, err)
	defer m.Close()
	f.says(whole("0.energy", "", "0.field83", "", "0.limit", "4294967295", "0.field186", "3500000"))
	got, err := m.Read(t.Context())
	require.NoError(t, err)
	require.ErrorContains(t, got[0].Err, "3500 W")
}

// TestNoMeter: what is absent, what is refused, and with which cure.
func TestNoMeter(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text.so")
	require.NoError(t, os.WriteFile(text, []byte("no library"), 0o644))
	_, err := Open(t.Context(), power.Spec{}, text)
	require.ErrorContains(t, err, "file too short")
	require.NotErrorIs(t, err, power.ErrAbsent)
	_, err = Open(t.Context(), power.Spec{}, filepath.Join(dir, soname))
	require.ErrorIs(t, err, power.ErrAbsent)

	for name, c := range map[string]struct {
		says   map[string]string
		absent bool
		want   string
	}{
		"no driver":                    {whole("init", "9"), true, "Driver Not Loaded (NVML error 9)"},
		"a stub":                       {whole("init", "12"), true, "NVML error 12"},
		"no card":                      {whole("cards", "0"), true, "lists no card"},
		"another driver":               {whole("init", "18"), false, "reboot"},
		"not allowed":                  {whole("init", "4"), false, "/dev/nvidiactl"},
		"no count":                     {whole("count.code", "999"), false, "count the cards: Some Other Error (NVML error 999)"},
		"a card that is not allowed":   {whole("0.open", "4"), false, "gpu0: Insufficient Permissions (NVML error 4): let this user"},
		"a card that is blocked":       {whole("0.open", "17"), false, "start it with the GPUs"},
		"a card that is lost":          {whole("0.code", "15"), false, "GPU is lost (NVML error 15)"},
		"an instance or a virtual GPU": {whole("0.code", "3"), true, "Not Supported (NVML error 3)"},
		"a card that says 0":           {whole("0.energy", "", "0.field83", "", "0.field186", "", "0.field185", "", "0.power", "0"), false, "it says 0 W"},
	} {
		t.Run(name, func(t *testing.T) {
			f := build(t, c.says)
			_, err := f.open("")
			require.ErrorContains(t, err, c.want)
			require.Equal(t, c.absent, errors.Is(err, power.ErrAbsent), "%v", err)
			_, open := c.says["init"]
			require.Equal(t, open, f.closed() == 0, "what was initialised is ended, and nothing else")
		})
	}
	_, err = build(t, two, "init").open("")
	require.ErrorContains(t, err, "has no nvmlInit_v2")
	require.NotErrorIs(t, err, power.ErrAbsent)
}

// TestOneCardOut: a card that cannot be read takes nothing from the others.
func TestOneCardOut(t *testing.T) {
	says := whole("cards", "2", "1.uuid", "GPU-2", "1.open", "15", "0.mig", "1")
	f := build(t, says)
	m, err := f.open("")
	require.NoError(t, err)
	defer m.Close()
	require.Equal(t, "gpu0-energy J card", channels(m))
	require.Contains(t, notes(m), "left out gpu1: GPU is lost (NVML error 15)")
	require.Contains(t, notes(m), "gpu0: MIG divides it into parts: the watts are those of the whole card")
	_, err = f.open(",device=1")
	require.ErrorContains(t, err, "gpu1: GPU is lost")
	require.NotErrorIs(t, err, endpoint.ErrSpec)
}

// TestOneCardFails: nor in mid-run.
func TestOneCardFails(t *testing.T) {
	f := build(t, two)
	m, now := f.clocked()
	read := func(energy, instant, code string) []power.Reading {
		*now = now.Add(time.Second)
		says := maps.Clone(two)
		says["0.energy"], says["1.field186"], says["0.code"] = energy, instant, code
		f.says(says)
		got, err := m.Read(t.Context())
		require.NoError(t, err)
		return got
	}
	read("5000000", "100000", "0")
	got := read("5700000", "101000", "15")
	require.ErrorContains(t, got[0].Err, "gpu0-energy: GPU is lost (NVML error 15)")
	require.True(t, math.IsNaN(got[0].Value))
	require.Equal(t, 101.0, got[1].Value)
}

// TestZeroDifference: over a window of 50 periods no card draws nothing. Until
// then a repeat says nothing of the power, and is never 0 W.
func TestZeroDifference(t *testing.T) {
	f := build(t, whole())
	m, now := f.clocked()
	read := func(after time.Duration, energy string) (float64, error) {
		*now = now.Add(after)
		f.says(whole("0.energy", energy))
		got, err := m.Read(t.Context())
		require.NoError(t, err)
		return got[0].Value, got[0].Err
	}
	_, err := read(0, "5000000")
	require.NoError(t, err)
	for range 5 {
		v, err := read(time.Second, "5000000")
		require.NoError(t, err)
		require.Zero(t, v)
	}
	for range 2 {
		_, err = read(time.Second, "5000000")
		require.ErrorContains(t, err, "gpu0-energy: stale")
	}
	_, err = read(time.Second, "5005000")
	require.NoError(t, err)
	v, err := read(time.Second, "5010000")
	require.NoError(t, err)
	require.Equal(t, 5.0, v, "what it missed is not known")
}

// TestFrozenGauge: a power in mW that never changes is nobody's.
func TestFrozenGauge(t *testing.T) {
	f := build(t, whole("0.energy", "", "0.field83", ""))
	m, now := f.clocked()
	for range 61 {
		got, err := m.Read(t.Context())
		require.NoError(t, err)
		require.NoError(t, got[0].Err)
		*now = now.Add(time.Second)
	}
	got, err := m.Read(t.Context())
	require.NoError(t, err)
	require.ErrorContains(t, got[0].Err, "gpu0-instant: stale")
}

// TestLostAndFound: a card that comes back has another handle; it is found by
// its UUID, and what it counted meanwhile is not known.
func TestLostAndFound(t *testing.T) {
	f := build(t, whole())
	m, now := f.clocked()
	read := func(changes ...string) power.Reading {
		*now = now.Add(time.Second)
		f.says(whole(changes...))
		got, err := m.Read(t.Context())
		require.NoError(t, err)
		return got[0]
	}
	require.NoError(t, read().Err)
	require.ErrorContains(t, read("0.life", "1").Err, "GPU is lost")
	require.ErrorContains(t, read("0.life", "1", "0.open", "15").Err, "GPU is lost", "not yet")
	require.NoError(t, read("0.life", "1", "0.energy", "5700000").Err)
	r := read("0.life", "1", "0.energy", "6400000")
	require.NoError(t, r.Err)
	require.Equal(t, 700.0, r.Value)
}

// TestHang: a driver that does not come back holds up neither the session nor
// its end, and is waited for by the next reading.
func TestHang(t *testing.T) {
	f := build(t, whole())
	s, err := power.ParseSpec("nvml,timeout=500ms", power.Common)
	require.NoError(t, err)
	m, err := Open(t.Context(), s, f.path)
	require.NoError(t, err)
	_, err = m.Read(t.Context())
	require.NoError(t, err)
	f.says(whole("0.hang", "1"))
	_, err = m.Read(t.Context())
	require.ErrorContains(t, err, "no answer within 500ms")
	_, err = m.Read(t.Context())
	require.ErrorContains(t, err, "an earlier call has not come back")
	f.says(whole("0.energy", "5001000"))
	got, err := m.Read(t.Context())
	require.NoError(t, err)
	require.NoError(t, got[0].Err)
	require.Zero(t, got[0].Value, "what it counted meanwhile is not known")

	f.says(whole("0.hang", "1"))
	_, err = m.Read(t.Context())
	require.Error(t, err)
	require.ErrorContains(t, m.Close(), "has not come back")
	require.Zero(t, f.closed(), "nobody ends it under a call")
}

// TestHangInOpen: nor is the start held up; who comes too late cleans up.
func TestHangInOpen(t *testing.T) {
	f := build(t, whole("init.hang", "1"))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := Open(ctx, power.Spec{Spec: endpoint.Spec{Kind: "nvml"}}, f.path)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	f.says(whole())
	require.Eventually(t, func() bool { return f.closed() == 1 }, 5*time.Second, 10*time.Millisecond)
}

func TestFaults(t *testing.T) {
	for name, kind := range map[string]struct {
		key  string   // what it is asked for
		also []string // what else it says
	}{
		"energy":            {"0.energy", []string{"0.field83", ""}},
		"energy by a field": {"0.field83", []string{"0.energy", ""}},
		"power":             {"0.field186", []string{"0.energy", "", "0.field83", "", "0.field186.type", "3"}},
	} {
		t.Run(name, func(t *testing.T) {
			powertest.TestFaults(t, func(t *testing.T) powertest.Rig { return rig(t, kind.key, kind.also) })
		})
	}
}

// rig is one card that draws RigWatts.
func rig(t *testing.T, key string, also []string) powertest.Rig {
	f := build(t, nil)
	var since time.Duration // the counter's start
	base := 5e6
	says := func(at time.Duration, changes ...string) {
		v := base + math.Round(powertest.RigWatts*1e3*(at-since).Seconds())
		if key == "0.field186" {
			v = powertest.RigWatts * 1e3
		}
		f.says(whole(slices.Concat([]string{key, fmt.Sprintf("%.0f", v)}, also, changes)...))
	}
	breaks := func(changes ...string) func(time.Duration) {
		return func(at time.Duration) { says(at, changes...) }
	}
	r := powertest.Rig{
		Open: func(now func() time.Time) (power.Meter, error) {
			s, err := power.ParseSpec("nvml,timeout=500ms", power.Common)
			require.NoError(t, err)
			s.Now = now
			return Open(t.Context(), s, f.path)
		},
		Set: func(at time.Duration) { says(at) },
		Break: map[string]func(time.Duration){
			"time-out":    breaks("0.hang", "1"),
			"wrong type":  breaks(key+".type", "9"),
			"negative":    breaks(key, "-1", key+".type", "4"),
			"nan":         breaks(key, ""),
			"zero":        breaks(key, "0"),
			"absurd jump": func(at time.Duration) { says(at, key, "700000000000000") },
			"vanish":      breaks("0.code", "15"),
			"restart": func(at time.Duration) {
				since, base = at, 0
				says(at, "0.code", "15")
			},
		},
		Cannot: map[string]string{"clock step": "it has no clock of its own, and the CPU's stamp of a field is not used"},
	}
	if key == "0.energy" {
		r.Cannot["wrong type"] = "the function gives one type only"
	}
	return r
}
