//go:build amd64 || arm64

package nvml

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/harness/power"
	"github.com/perwatt/perwatt/results"
)

// rack is four cards as NVML lists them, by address. Each draws a power of its own:
// 100 W the first, 200 W the second and so on.
func rack(seconds int) map[string]string {
	says := map[string]string{"cards": "4"}
	for i, at := range []string{"0000:18:00", "0000:3B:00", "0000:86:00", "0001:AF:00"} {
		key := func(name string) string { return fmt.Sprintf("%d.%s", i, name) }
		says[key("uuid")] = fmt.Sprintf("GPU-%d0000000-0000-0000-0000-000000000000", i)
		says[key("name")], says[key("pci")] = "NVIDIA L40S", at
		says[key("energy")] = fmt.Sprint(1_000_000*(i+1) + 100_000*(i+1)*seconds)
		says[key("sm")], says[key("temperature")] = fmt.Sprint(1000*(i+1)), fmt.Sprint(40+10*i)
	}
	return says
}

// TestRemappedCards: with CUDA_VISIBLE_DEVICES=3,1 the devices are in another order,
// and fewer, than the cards. Each has the joules and the clock of its own card.
func TestRemappedCards(t *testing.T) {
	f := build(t, rack(0))
	m, now := f.clocked()
	node := results.Node{Devices: []results.Device{
		{ID: "cpu", Kind: results.KindCPU},
		{ID: "cuda:0", PCI: "0001:af:00.0", UUID: "GPU-30000000-0000-0000-0000-000000000000"},
		{ID: "cuda:1", PCI: "0000:3b:00.0", UUID: "GPU-10000000-0000-0000-0000-000000000000"},
		{ID: "opencl:0", UUID: "20000000-0000-0000-0000-000000000000"}, // no address known
	}}
	_, err := m.Read(t.Context())
	require.NoError(t, err)
	*now = now.Add(10 * time.Second)
	f.says(rack(10))
	got, err := m.Read(t.Context())
	require.NoError(t, err)
	joules := map[string]float64{}
	for i, c := range m.Info().Channels {
		require.NoError(t, got[i].Err)
		require.Equal(t, results.Cards, c.Total)
		of, _ := node.OfCard(c.Card)
		joules[of.ID] = got[i].Value
	}
	require.Equal(t, map[string]float64{"cuda:0": 4000, "cuda:1": 2000, "": 3000}, joules, "a card that no device names is nobody's")
	clocks := map[string]results.Float{}
	for _, c := range m.(power.CardMeter).Cards(t.Context()) {
		require.NoError(t, c.Err)
		if of, ok := node.OfCard(c.Card); ok {
			clocks[of.ID] = c.Clock
		}
	}
	require.Equal(t, map[string]results.Float{"cuda:0": 4e9, "cuda:1": 2e9}, clocks)
}

// TestNoAddress: a driver too old to tell the address leaves the UUID.
func TestNoAddress(t *testing.T) {
	m, err := build(t, whole(), "state").open("")
	require.NoError(t, err)
	defer m.Close()
	require.Equal(t, "GPU-1", m.Info().Channels[0].Card)
	require.Contains(t, notes(m), "gpu0: it is known by its UUID alone")
	c := m.(power.CardMeter).Cards(t.Context())[0]
	require.NoError(t, c.Err)
	require.True(t, c.Clock.IsAbsent() && c.Temperature.IsAbsent() && c.Uncorrected.IsAbsent())
	m, err = build(t, whole("0.pci", "0000:3b0:00")).open("")
	require.NoError(t, err)
	defer m.Close()
	require.Equal(t, "GPU-1", m.Info().Channels[0].Card, "no bus has such a number")
}

// TestDivided: a card in MIG mode has no joules for its parts: no total has it, and
// none of its parts, at its own address, is taken for it.
func TestDivided(t *testing.T) {
	says := rack(0)
	says["1.mig"] = "1"
	m, err := build(t, says).open("")
	require.NoError(t, err)
	defer m.Close()
	node := results.Node{Devices: []results.Device{{ID: "cuda:0", PCI: "0000:3b:00.0", UUID: "MIG-99999999-0000-0000-0000-000000000000"}}}
	for i, c := range m.Info().Channels {
		require.Equal(t, i == 1, c.Total == "", c.Name)
		_, ok := node.OfCard(c.Card)
		require.False(t, ok, c.Name)
	}
	require.Contains(t, notes(m), "gpu1: MIG divides it into parts: the watts are those of the whole card, whoever works on it, and in no total")
}

// TestVirtual: what a virtual machine sees of a card has no joules, although the
// library would tell the board's; a card that was passed through has.
func TestVirtual(t *testing.T) {
	for mode, shared := range map[string]bool{"0": false, "1": false, "2": true, "3": true, "4": true} {
		m, err := build(t, whole("0.virtual", mode)).open("")
		if !shared {
			require.NoError(t, err, mode)
			require.NoError(t, m.Close())
			continue
		}
		require.ErrorIs(t, err, power.ErrAbsent, mode)
		require.ErrorContains(t, err, "gpu0: virtual machines share its board")
	}
	says := rack(0)
	says["1.virtual"] = "2"
	m, err := build(t, says).open("")
	require.NoError(t, err)
	defer m.Close()
	for _, c := range m.Info().Channels {
		require.NotContains(t, c.Name, "gpu1")
	}
	require.Contains(t, notes(m), "left out gpu1: virtual machines share its board")
}

// state is what a card at work reports.
func state(changes ...string) map[string]string {
	return whole(append([]string{
		"0.pci", "0000:3b:00", "0.graphics", "1", "0.sm", "1755", "0.memory", "2619", "0.video", "2", "0.temperature", "65", "0.default", "700000", "0.limit", "500000",
		"0.reasons", "4", "0.corrected", "7", "0.uncorrected", "1", "0.corrected.ever", "99", "0.uncorrected.ever", "98",
	}, changes...)...)
}

func TestState(t *testing.T) {
	f := build(t, state())
	m, err := f.open("")
	require.NoError(t, err)
	defer m.Close()
	cards := m.(power.CardMeter)
	got := cards.Cards(t.Context())
	require.Len(t, got, 1)
	require.WithinDuration(t, time.Now(), got[0].At, time.Minute)
	got[0].At = time.Time{}
	require.Equal(t, power.Card{
		Card: "0000:3b:00.0", Clock: 1.755e9, MemoryClock: 2.619e9, Temperature: 338.15, Limit: 500, Default: 700,
		Held: []string{results.HeldByPower}, Corrected: 7, Uncorrected: 1,
	}, got[0])

	// nvml.h, nvmlClocksEventReasons
	for mask, want := range map[string][]string{
		"0": {}, "1": {}, "2": {}, "16": {}, "256": {}, // idle, locked clocks, sync boost, display
		"4": {results.HeldByPower}, "32": {results.HeldByHeat}, "72": {results.HeldByHeat}, "136": {results.HeldByHardware}, "8": {results.HeldByHardware},
		"100": {results.HeldByPower, results.HeldByHeat}, "": nil,
	} {
		f.says(state("0.reasons", mask))
		require.Equal(t, want, cards.Cards(t.Context())[0].Held, mask)
	}

	// What no card has is what a driver says when it does not know.
	f.says(state("0.sm", "4294967295", "0.memory", "0", "0.temperature", "4294967295", "0.limit", "0", "0.default", "4294967295", "0.corrected", "-1", "0.uncorrected", ""))
	c := cards.Cards(t.Context())[0]
	require.NoError(t, c.Err)
	for _, v := range []results.Float{c.Clock, c.MemoryClock, c.Temperature, c.Limit, c.Default, c.Corrected, c.Uncorrected} {
		require.True(t, v.IsAbsent(), v)
	}
}

// TestStateOfALostCard: a card that dies, or whose driver hangs, has an error and no
// figure, and takes nothing from the others.
func TestStateOfALostCard(t *testing.T) {
	f := build(t, rack(0))
	m, err := f.open("")
	require.NoError(t, err)
	defer m.Close()
	cards := m.(power.CardMeter)
	for i, c := range cards.Cards(t.Context()) {
		require.NoError(t, c.Err)
		require.Equal(t, results.Float(float64(i+1)*1e9), c.Clock)
	}
	dead := rack(0)
	dead["2.code"] = "15"
	f.says(dead)
	got := cards.Cards(t.Context())
	require.ErrorContains(t, got[2].Err, "gpu2: GPU is lost (NVML error 15)")
	require.True(t, got[2].Clock.IsAbsent() && got[2].Temperature.IsAbsent() && got[2].Held == nil)
	for _, i := range []int{0, 1, 3} {
		require.NoError(t, got[i].Err)
		require.False(t, got[i].Clock.IsAbsent())
	}
	readings, err := m.Read(t.Context())
	require.NoError(t, err)
	require.ErrorContains(t, readings[2].Err, "GPU is lost")
	require.False(t, readings[2].At.IsZero(), "when it was lost")

	hangs := maps.Clone(dead)
	hangs["0.hang"] = "1"
	f.says(hangs)
	got = cards.Cards(t.Context())
	require.ErrorContains(t, got[0].Err, "deadline exceeded")
	require.True(t, slices.ContainsFunc(got[1:], func(c power.Card) bool { return c.Err != nil }), "the driver still holds the first call")
	f.says(dead)
	require.Eventually(t, func() bool { return cards.Cards(t.Context())[0].Err == nil }, 10*time.Second, 10*time.Millisecond)
}
