package hwmon

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/harness/power"
	"github.com/perwatt/perwatt/results"
)

// cards is a node with two amdgpu cards, an xe card, an i915 card with a tile, and an
// APU. The numbers of the hwmon devices are in another order than the addresses.
const cards = `
	hwmon2/name                amdgpu
	hwmon2/power1_label        PPT
	hwmon2/power1_average      303000000
	hwmon2/power1_cap          303000000
	hwmon2/power1_cap_default  315000000
	hwmon2/freq1_label         sclk
	hwmon2/freq1_input         2303000000
	hwmon2/freq2_label         mclk
	hwmon2/freq2_input         1249000000
	hwmon2/temp1_label         edge
	hwmon2/temp1_input         61000
	hwmon2/temp2_label         junction
	hwmon2/temp2_input         83000
	hwmon2/temp3_label         mem
	hwmon2/temp3_input         78000
	hwmon5/name                amdgpu
	hwmon5/power1_label        PPT
	hwmon5/power1_average      118000000
	hwmon5/power1_cap          250000000
	hwmon6/name                xe
	hwmon6/energy1_input       5000000
	hwmon6/energy1_label       card
	hwmon6/energy2_input       4000000
	hwmon6/energy2_label       pkg
	hwmon6/power1_max          190000000
	hwmon6/power1_rated_max    190000000
	hwmon6/temp2_input         55000
	hwmon7/name                i915
	hwmon7/energy1_input       7000000
	hwmon8/name                i915_gt0
	hwmon8/energy1_input       6000000
	hwmon9/name                amdgpu
	hwmon9/power1_label        PPT
	hwmon9/power1_input        25000000`

// addresses are those of the devices that the sensors belong to.
var addresses = map[string]string{
	"hwmon2": "0000:c3:00.0", "hwmon5": "0000:03:00.0", "hwmon6": "0000:83:00.0", "hwmon7": "0000:04:00.0", "hwmon8": "0000:04:00.0", "hwmon9": "0000:e5:00.0",
}

// files of the devices themselves.
const devices = `
	0000:c3:00.0/ras/umc_err_count  ue: 1|ce: 12
	0000:83:00.0/tile0/gt0/freq0/act_freq                   2400
	0000:83:00.0/tile0/gt1/freq0/act_freq                   800
	0000:83:00.0/tile0/gt0/freq0/throttle/status            1
	0000:83:00.0/tile0/gt0/freq0/throttle/reason_pl1        1
	0000:83:00.0/tile0/gt0/freq0/throttle/reason_pl2        1
	0000:83:00.0/tile0/gt0/freq0/throttle/reason_thermal    0
	0000:04:00.0/drm/renderD128/dev                         226:128
	0000:04:00.0/drm/card1/gt/gt0/rps_act_freq_mhz          1100
	0000:04:00.0/drm/card1/gt/gt0/throttle_reason_thermal   1
	0000:04:00.0/drm/card1/gt/gt0/throttle_reason_pl1       0`

// linked plants sensors and the devices that they belong to.
func linked(t *testing.T, tree, below string, of map[string]string) string {
	t.Helper()
	root := plant(t, tree)
	at := filepath.Join(root, "devices", "pci0000:00")
	for name, address := range of {
		require.NoError(t, os.MkdirAll(filepath.Join(at, address), 0o755))
		require.NoError(t, os.Symlink("../../../devices/pci0000:00/"+address, filepath.Join(root, "class", "hwmon", name, "device")))
	}
	for line := range strings.Lines(strings.TrimSpace(below)) {
		name, text, _ := strings.Cut(strings.TrimSpace(line), " ")
		path := filepath.Join(at, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(strings.ReplaceAll(strings.TrimSpace(text), "|", "\n")+"\n"), 0o644))
	}
	return root
}

func set(t *testing.T, root, path, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(root, path), []byte(text+"\n"), 0o644))
}

// TestCardsByAddress: the devices are in another order than the sensors, and each has
// the joules and watts of its own card. Parts of a card, and an APU, are in no total.
func TestCardsByAddress(t *testing.T) {
	root := linked(t, cards, devices, addresses)
	m, err := Open(root)
	require.NoError(t, err)
	defer m.Close()
	node := results.Node{Devices: []results.Device{
		{ID: "cpu"}, {ID: "hip:0", PCI: "0000:c3:00.0"}, {ID: "hip:1", PCI: "0000:03:00.0"}, {ID: "opencl:0", PCI: "0000:04:00.0"}, {ID: "opencl:1", PCI: "0000:83:00.0"},
	}}
	_, err = m.Read(t.Context())
	require.NoError(t, err)
	set(t, root, "class/hwmon/hwmon6/energy1_input", "105000000")
	set(t, root, "class/hwmon/hwmon7/energy1_input", "47000000")
	time.Sleep(5 * time.Millisecond)
	got, err := m.Read(t.Context())
	require.NoError(t, err)
	of, rest := map[string]float64{}, map[string]string{}
	for i, c := range m.Info().Channels {
		require.Equal(t, results.Card, c.Boundary, c.Name)
		d, ok := node.OfCard(c.Card)
		if c.Total == "" {
			rest[c.Name] = d.ID
			continue
		}
		require.True(t, ok, c.Name)
		require.Equal(t, results.Cards, c.Total, c.Name)
		require.NoError(t, got[i].Err)
		of[d.ID] = got[i].Value
	}
	require.Equal(t, map[string]float64{"hip:0": 303, "hip:1": 118, "opencl:0": 40, "opencl:1": 100}, of)
	require.Equal(t, map[string]string{"xe-pkg": "opencl:1", "i915_gt0-energy1_input": "opencl:0", "amdgpu-PPT@hwmon9": ""}, rest)
	notes := strings.Join(m.Info().Notes, "\n")
	require.Contains(t, notes, "hwmon9/power1_input (amdgpu): on an APU this includes the CPU")
	require.Contains(t, notes, "there is no total", "cards are not the node")
	require.Contains(t, notes, "hwmon2/power1_average (amdgpu): the power of its chip")
}

// TestNoCard: what is no card by its link, or is a CPU too, is in no total; one card is
// in the total once.
func TestNoCard(t *testing.T) {
	amd := "hwmon0/name amdgpu\nhwmon0/power1_input 90000000\nhwmon0/power1_cap 100000000"
	for name, c := range map[string]struct{ tree, below, address, want string }{
		"a card":                 {amd, "", "0000:03:00.0", "amdgpu-power1_input cards 0000:03:00.0"},
		"a device elsewhere":     {amd, "", "amdgpu.0", "amdgpu-power1_input "},
		"text instead":           {amd, "", "0000:03:00.0 or so", "amdgpu-power1_input "},
		"a domain of 5 digits":   {amd, "", "10000:01:00.0", "amdgpu-power1_input cards 10000:01:00.0"},
		"an MI300A":              {amd, "0000:03:00.0/device 0x74a0", "0000:03:00.0", "amdgpu-power1_input  0000:03:00.0"},
		"another driver's board": {"hwmon0/name ina226\nhwmon0/power1_input 9000000\nhwmon0/power1_label gpu", "", "0000:03:00.0", "ina226-gpu "},
		"twice the same card": {amd + "\nhwmon1/name amdgpu\nhwmon1/power1_input 91000000\nhwmon1/power1_cap 100000000", "", "0000:03:00.0",
			"amdgpu-power1_input cards 0000:03:00.0, amdgpu-power1_input@hwmon1  0000:03:00.0"},
	} {
		t.Run(name, func(t *testing.T) {
			of := map[string]string{"hwmon0": c.address}
			if strings.Contains(c.tree, "hwmon1") {
				of["hwmon1"] = c.address
			}
			m, err := Open(linked(t, c.tree, c.below, of))
			require.NoError(t, err)
			defer m.Close()
			var got []string
			for _, ch := range m.Info().Channels {
				got = append(got, strings.TrimSuffix(ch.Name+" "+string(ch.Total)+" "+ch.Card, " "))
			}
			require.Equal(t, c.want, strings.Join(got, ", "))
		})
	}
}

// TestCardState: what each driver tells of its card, and nothing else.
func TestCardState(t *testing.T) {
	root := linked(t, cards, devices, addresses)
	m, err := Open(root)
	require.NoError(t, err)
	defer m.Close()
	states := func() map[string]power.Card {
		out := map[string]power.Card{}
		for _, c := range m.(power.CardMeter).Cards(t.Context()) {
			require.WithinDuration(t, time.Now(), c.At, time.Minute)
			out[c.Card] = c
		}
		return out
	}
	got := states()
	require.Len(t, got, 5, "a card once, with its tiles")
	c := got["0000:c3:00.0"]
	require.NoError(t, c.Err)
	require.Equal(t, []results.Float{2.303e9, 1.249e9, 83 + 273.15, 303, 315, 12, 1}, []results.Float{c.Clock, c.MemoryClock, c.Temperature, c.Limit, c.Default, c.Corrected, c.Uncorrected})
	require.Nil(t, c.Held, "there is no gpu_metrics")
	c = got["0000:83:00.0"]
	require.NoError(t, c.Err)
	require.Equal(t, []results.Float{2.4e9, 55 + 273.15, 190, 190}, []results.Float{c.Clock, c.Temperature, c.Limit, c.Default})
	require.Equal(t, []string{results.HeldByPower}, c.Held)
	require.True(t, c.Uncorrected.IsAbsent() && c.MemoryClock.IsAbsent())
	c = got["0000:04:00.0"]
	require.Equal(t, results.Float(1.1e9), c.Clock)
	require.Equal(t, []string{results.HeldByHeat}, c.Held)
	require.True(t, got["0000:e5:00.0"].Limit.IsAbsent())

	set(t, root, "devices/pci0000:00/0000:83:00.0/tile0/gt0/freq0/throttle/reason_pl1", "0")
	set(t, root, "devices/pci0000:00/0000:83:00.0/tile0/gt0/freq0/throttle/reason_pl2", "0")
	require.Equal(t, []string{}, states()["0000:83:00.0"].Held)

	for _, bad := range []string{"", "-1", "99999999999999999999", "4294967295000000", "0"} {
		set(t, root, "class/hwmon/hwmon2/freq1_input", bad)
		set(t, root, "class/hwmon/hwmon2/power1_cap", bad)
		set(t, root, "devices/pci0000:00/0000:c3:00.0/ras/umc_err_count", "ue: "+bad+"\nnone")
		c := states()["0000:c3:00.0"]
		require.NoError(t, c.Err)
		require.True(t, c.Clock.IsAbsent() && c.Limit.IsAbsent(), bad)
		require.True(t, c.Uncorrected.IsAbsent() || c.Uncorrected == 0 && bad == "0" || bad == "4294967295000000", bad)
	}

	require.NoError(t, os.RemoveAll(filepath.Join(root, "class", "hwmon", "hwmon2")))
	got = states()
	require.ErrorContains(t, got["0000:c3:00.0"].Err, "hwmon: hwmon2: ")
	require.True(t, got["0000:c3:00.0"].Temperature.IsAbsent())
	require.NoError(t, got["0000:83:00.0"].Err, "the others are there")
}

// TestTiles: the clock of a card is that of its slowest tile that works, and what holds
// one back holds the card. The GT of the media is not looked at.
func TestTiles(t *testing.T) {
	const at = "devices/pci0000:00/0000:83:00.0/"
	root := linked(t, cards, devices+`
	0000:83:00.0/tile10/gt10/freq0/act_freq              1700
	0000:83:00.0/tile10/gt10/freq0/throttle/reason_ratl  0
	0000:83:00.0/tile1/gt2/freq0/act_freq                1500
	0000:83:00.0/tile1/gt2/freq0/throttle/reason_pl4     0
	0000:83:00.0/tile1/gt10/freq0/act_freq               100
	0000:83:00.0/tile01/gt0/freq0/act_freq               1
	0000:83:00.0/tiles/gt0/freq0/act_freq                1
	0000:83:00.0/tile2/no                                1`, addresses)
	m, err := Open(root)
	require.NoError(t, err)
	defer m.Close()
	state := func() power.Card {
		for _, c := range m.(power.CardMeter).Cards(t.Context()) {
			if c.Card == "0000:83:00.0" {
				return c
			}
		}
		panic("no such card")
	}
	require.Equal(t, results.Float(1.5e9), state().Clock)
	set(t, root, at+"tile1/gt2/freq0/act_freq", "2500")
	require.Equal(t, results.Float(1.7e9), state().Clock)
	set(t, root, at+"tile10/gt10/freq0/act_freq", "0") // it sleeps
	require.Equal(t, results.Float(2.4e9), state().Clock)
	require.Equal(t, []string{results.HeldByPower}, state().Held)
	set(t, root, at+"tile10/gt10/freq0/throttle/reason_ratl", "1")
	require.ElementsMatch(t, []string{results.HeldByPower, results.HeldByHeat}, state().Held)
	for _, gt := range []string{"tile0/gt0", "tile1/gt2"} {
		set(t, root, at+gt+"/freq0/act_freq", "0")
	}
	require.True(t, state().Clock.IsAbsent())
}
