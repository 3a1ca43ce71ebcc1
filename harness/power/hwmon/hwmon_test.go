package hwmon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/harness/power"
	"github.com/perwatt/perwatt/harness/power/powertest"
	"github.com/perwatt/perwatt/results"
)

// trees are the sensors of machines, a file a line: path, content.
var trees = map[string]string{
	"AMD sockets": `
		hwmon0/name           amd_energy
		hwmon0/energy1_input  111000000
		hwmon0/energy1_label  Ecore000
		hwmon0/energy2_input  222000000
		hwmon0/energy2_label  Ecore001
		hwmon0/energy3_input  900000000
		hwmon0/energy3_label  Esocket0
		hwmon0/energy4_input  800000000
		hwmon0/energy4_label  Esocket1`,
	"AMD sockets, two drivers": `
		hwmon0/name           amd_hsmp_hwmon
		hwmon0/power1_input   180000000
		hwmon1/name           amd_energy
		hwmon1/energy1_input  900000000
		hwmon1/energy1_label  Esocket0`,
	"ACPI meter of the old style": `
		hwmon2/device/name                     power_meter
		hwmon2/device/power1_average           412000000
		hwmon2/device/power1_average_interval  1000
		hwmon2/device/power1_is_battery        0
		hwmon2/device/measures/LNXSYBUS:00/x   -`,
	"ACPI meter of a part": `
		hwmon0/name                   power_meter
		hwmon0/power1_average         90000000
		hwmon0/measures/LNXCPU:00/x   -`,
	"two ACPI meters": `
		hwmon0/name            power_meter
		hwmon0/power1_average  200000000
		hwmon1/name            power_meter
		hwmon1/power1_average  210000000`,
	"ACPI meter of a battery": `
		hwmon0/name               power_meter
		hwmon0/power1_average     20000000
		hwmon0/power1_is_battery  1`,
	"AMD card": `
		hwmon4/name            amdgpu
		hwmon4/power1_label    PPT
		hwmon4/power1_average  61000000
		hwmon4/power1_input    60000000`,
	"AMD card, average only": `
		hwmon4/name            amdgpu
		hwmon4/power1_average  61000000`,
	"Intel card": `
		hwmon1/name           xe
		hwmon1/energy1_input  5000000
		hwmon1/energy1_label  card
		hwmon1/energy2_input  4000000
		hwmon1/energy2_label  pkg
		hwmon1/power1_input   40000000
		hwmon1/power1_label   card
		hwmon1/power2_input   30000000
		hwmon1/power2_label   vram`,
	"AMD card that prints an error as a count": `
		hwmon4/name            amdgpu
		hwmon4/power1_average  61000000
		hwmon4/power1_input    4294967201`,
	"redundant supplies": `
		hwmon1/name           pfe1100
		hwmon1/power1_input   301500000
		hwmon1/power1_label   pin
		hwmon1/power2_input   280000000
		hwmon1/power2_label   pout1
		hwmon2/name           pfe1100
		hwmon2/power1_input   299500000
		hwmon2/power1_label   pin`,
	"a regulator": `
		hwmon1/name           isl68137
		hwmon1/power1_input   30000000
		hwmon1/power1_label   pin
		hwmon1/power2_input   27000000
		hwmon1/power2_label   pout1`,
	"a rail that counts": `
		hwmon3/name           ina238
		hwmon3/power1_input   30000000
		hwmon3/energy1_input  9000000`,
	"supply": `
		hwmon10/name          corsairpsu
		hwmon10/power1_input  250000000
		hwmon10/power1_label  power total
		hwmon10/power2_input  200000000
		hwmon10/power2_label  power +12v`,
	"disabled channel": `
		hwmon0/name           ina3221
		hwmon0/power1_input   1000000
		hwmon0/power1_enable  0
		hwmon0/power2_input   2000000
		hwmon0/power2_enable  1`,
	"twice the same driver": `
		hwmon2/name          ina226
		hwmon2/power1_input  1000000
		hwmon10/name         ina226
		hwmon10/power1_input 2000000`,
	"ACPI meters of a Grace Hopper": `
		hwmon1/device/name             power_meter
		hwmon1/device/power1_average   312000000
		hwmon1/device/power1_oem_info  Module Power Socket 0
		hwmon2/device/name             power_meter
		hwmon2/device/power1_average   140000000
		hwmon2/device/power1_oem_info  Grace Power Socket 0
		hwmon3/device/name             power_meter
		hwmon3/device/power1_average   100000000
		hwmon3/device/power1_oem_info  CPU Power Socket 0
		hwmon4/device/name             power_meter
		hwmon4/device/power1_average   20000000
		hwmon4/device/power1_oem_info  SysIO Power Socket 0`,
	"ACPI meters of input and output": `
		hwmon1/name             power_meter
		hwmon1/power1_average   412000000
		hwmon1/power1_oem_info  System Input Power
		hwmon2/name             power_meter
		hwmon2/power1_average   380000000
		hwmon2/power1_oem_info  Power Supply Output
		hwmon3/name             power_meter
		hwmon3/power1_average   206000000
		hwmon3/power1_oem_info  PSU 1 Input
		hwmon4/name             power_meter
		hwmon4/power1_average   30000000
		hwmon4/power1_oem_info  12V rail
		hwmon5/name             power_meter
		hwmon5/power1_average   20000000
		hwmon5/power1_oem_info  Total Memory Power`,
	"ACPI meter of a maker": `
		hwmon1/name             power_meter
		hwmon1/power1_average   412000000
		hwmon1/power1_oem_info  ACME Inc.`,
	"ACPI meter of many words": `
		hwmon1/name             power_meter
		hwmon1/power1_average   41000000
		hwmon1/power1_oem_info  ACME ` + "\x1b" + `[2J platform telemetry, revision 12 of the management engine, measured at the Memory`,
	"APU": `
		hwmon4/name            amdgpu
		hwmon4/power1_label    slowPPT
		hwmon4/power1_average  15000000
		hwmon4/power2_label    fastPPT
		hwmon4/power2_average  16000000`,
	"Intel card, a tile": `
		hwmon1/name           i915_gt0
		hwmon1/energy1_input  5000000`,
	"POWER9": `
		hwmon0/name          ibmpowernv
		hwmon0/power1_input  600000000
		hwmon0/power1_label  System
		hwmon0/power2_input  150000000
		hwmon0/power2_label  Chip 0
		hwmon0/power3_input  90000000
		hwmon0/power3_label  Chip 0 Vdd`,
	"Apple": `
		hwmon0/name          macsmc_hwmon
		hwmon0/power1_input  21000000
		hwmon0/power1_label  Total System Power
		hwmon0/power2_input  30000000
		hwmon0/power2_label  AC Input Power
		hwmon0/power3_input  3000000
		hwmon0/power3_label  3.8 V Rail Power`,
	"labelled rails": `
		hwmon0/name          scmi_sensors
		hwmon0/power1_input  30000000
		hwmon0/power1_label  CPU_PWR
		hwmon0/power2_input  3000000
		hwmon0/power2_label  DDR_PWR
		hwmon0/power3_input  9000000
		hwmon0/power3_label  gpu total
		hwmon0/power4_input  9000000
		hwmon0/power4_label  Total output
		hwmon1/name          highflownext
		hwmon1/power1_input  95000000
		hwmon1/power1_label  Dissipated power
		hwmon2/name          BAT0
		hwmon2/device/type   Battery
		hwmon2/power1_input  9000000`,
	"a card whose counter is dead": `
		hwmon4/name           xe
		hwmon4/energy1_input  0
		hwmon4/energy1_label  card
		hwmon4/energy2_input  5000000
		hwmon4/energy2_label  pkg
		hwmon4/power1_input   139000000
		hwmon4/power1_label   card`,
	"an unknown driver": `
		hwmon0/name           shunt9000
		hwmon0/power1_input   3000000
		hwmon0/energy1_input  7000000
		hwmon0/temp1_input    45000`,
}

func plant(t testing.TB, tree string) string {
	t.Helper()
	root := t.TempDir()
	for line := range strings.Lines(strings.TrimSpace(tree)) {
		name, text, _ := strings.Cut(strings.TrimSpace(line), " ")
		path := filepath.Join(root, "class", "hwmon", name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(strings.TrimSpace(text)+"\n"), 0o644))
	}
	return root
}

func TestConformance(t *testing.T) {
	for name, tree := range trees {
		if name == "ACPI meter of a battery" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			root := plant(t, tree)
			powertest.TestMeter(t, func() (power.Meter, error) { return Open(root) })
		})
	}
}

// TestChannels: what is read, at which boundary, in which total, and what the
// notes say of the rest.
func TestChannels(t *testing.T) {
	for name, want := range map[string]struct{ channels, note string }{
		"AMD sockets":                              {"amd_energy-Esocket0 J package>package, amd_energy-Esocket1 J package>package", "left out hwmon0/energy1_input (amd_energy Ecore000): it lies inside another"},
		"AMD sockets, two drivers":                 {"amd_hsmp_hwmon-power1_input W package, amd_energy-Esocket0 J package>package", "hwmon0/power1_input (amd_hsmp_hwmon) is in no total"},
		"ACPI meter of the old style":              {"power_meter-power1_average W psu>psu", "is an average over 1s"},
		"ACPI meter of a part":                     {"power_meter-power1_average W board", "measures some devices only"},
		"two ACPI meters":                          {"power_meter-power1_average W psu, power_meter-power1_average@hwmon1 W psu", "more than one sensor claims to be the psu"},
		"AMD card":                                 {"amdgpu-PPT W card", "there is no total"},
		"AMD card that prints an error as a count": {"amdgpu-power1_average W card", "hwmon4/power1_average (amdgpu): on an APU this includes the CPU"},
		"redundant supplies":                       {"pfe1100-pin W psu, pfe1100-pout1 W board, pfe1100-pin@hwmon2 W psu", "hwmon2/power1_input (pfe1100): one supply: in no total"},
		"a regulator":                              {"isl68137-pin W board, isl68137-pout1 W board", "there is no total"},
		"a rail that counts":                       {"ina238-energy1_input J board, ina238-power1_input W board", "hwmon3/power1_input (ina238) stands in for energy1_input of the same place"},
		"AMD card, average only":                   {"amdgpu-power1_average W card", "is an average over an interval that the driver does not state"},
		"Intel card":                               {"xe-card J card, xe-card-power W card, xe-pkg J card, xe-vram W card", "hwmon1/power1_input (xe) stands in for energy1_input of the same place"},
		"supply":                                   {"corsairpsu-power-total W board>board, corsairpsu-power-+12v W board", "output of the supply, which draws more than it gives"},
		"disabled channel":                         {"ina3221-power2_input W board", "left out hwmon0/power1_input (ina3221): it is disabled"},
		"twice the same driver":                    {"ina226-power1_input W board, ina226-power1_input@hwmon10 W board", ""},
		"ACPI meters of a Grace Hopper": {"power_meter-Module-Power-Socket-0 W board, power_meter-Grace-Power-Socket-0 W package>package, power_meter-CPU-Power-Socket-0 W package, power_meter-SysIO-Power-Socket-0 W package",
			`hwmon1/power1_average (power_meter): a part: in no total; its firmware calls it "Module Power Socket 0"`},
		"ACPI meters of input and output": {"power_meter-System-Input-Power W psu>psu, power_meter-Power-Supply-Output W board, power_meter-PSU-1-Input W psu, power_meter-12V-rail W board, power_meter-Total-Memory-Power W memory",
			"output of the supplies, not what they draw: in no total"},
		"ACPI meter of a maker":        {"power_meter-ACME-Inc. W psu>psu", `its firmware calls it "ACME Inc."`},
		"ACPI meter of many words":     {"power_meter-ACME-?[2J-platform-telemetry,-revision-12-of-the-managem W memory", "a part: in no total"},
		"APU":                          {"amdgpu-slowPPT W package, amdgpu-fastPPT W package", "both are of the same watts"},
		"Intel card, a tile":           {"i915_gt0-energy1_input J card", "there is no total"},
		"POWER9":                       {"ibmpowernv-System W node>node, ibmpowernv-Chip-0 W board, ibmpowernv-Chip-0-Vdd W board", "total of boundary node: ibmpowernv-System"},
		"Apple":                        {"macsmc_hwmon-Total-System-Power W board>board, macsmc_hwmon-AC-Input-Power W board, macsmc_hwmon-3.8-V-Rail-Power W board", "total of boundary board"},
		"labelled rails":               {"scmi_sensors-CPU_PWR W package, scmi_sensors-DDR_PWR W memory, scmi_sensors-gpu-total W card, scmi_sensors-Total-output W board", "left out hwmon1/power1_input (highflownext Dissipated power): it is heat"},
		"an unknown driver":            {"shunt9000-energy1_input J board, shunt9000-power1_input W board", "hwmon0/power1_input (shunt9000) stands in"},
		"a card whose counter is dead": {"xe-card W card, xe-pkg J card", "left out hwmon4/energy1_input (xe): it reads 0 since boot"},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := Open(plant(t, trees[name]))
			require.NoError(t, err)
			defer m.Close()
			var got []string
			for _, c := range m.Info().Channels {
				s := fmt.Sprintf("%s %s %s", c.Name, c.Unit, c.Boundary)
				if c.Total != "" {
					s += ">" + string(c.Total)
				}
				require.Equal(t, results.Measured, c.Origin)
				got = append(got, s)
			}
			require.Equal(t, want.channels, strings.Join(got, ", "))
			require.Contains(t, strings.Join(m.Info().Notes, "\n"), want.note)
		})
	}
}

// TestAbsent: no sensor is a result, in a virtual machine above all, and not
// 0 W. What was there and is of no use is named.
func TestAbsent(t *testing.T) {
	for name, is := range map[string]struct{ root, said string }{
		"a virtual machine":       {t.TempDir(), "hwmon: no "},
		"temperatures only":       {plant(t, "hwmon0/name coretemp\nhwmon0/temp1_input 45000"), "hwmon: no "},
		"a battery":               {plant(t, trees["ACPI meter of a battery"]), ""},
		"everything is off":       {plant(t, "hwmon0/name ina3221\nhwmon0/power1_input 1\nhwmon0/power1_enable 0"), "left out hwmon0/power1_input (ina3221): it is disabled"},
		"nothing that counts":     {plant(t, "hwmon0/name i915\nhwmon0/energy1_input 0"), "left out hwmon0/energy1_input (i915): it reads 0 since boot"},
		"heat that is dissipated": {plant(t, "hwmon0/name highflownext\nhwmon0/power1_label Dissipated power\nhwmon0/power1_input 20000000"), "it is heat"},
		"nothing has a name":      {plant(t, "hwmon0/power1_input 1"), ""},
	} {
		_, err := Open(is.root)
		require.ErrorIs(t, err, power.ErrAbsent, name)
		require.ErrorContains(t, err, is.said, name)
	}
}

// faults answers some files with errors or texts of its own, by path suffix.
type faults map[string][]any

func (f faults) open(path string) (power.File, error) {
	for suffix, steps := range f {
		if strings.HasSuffix(path, suffix) {
			if steps[0] == fs.ErrPermission {
				return nil, &fs.PathError{Op: "open", Path: path, Err: syscall.EACCES}
			}
			return faulty{f, suffix}, nil
		}
	}
	return os.Open(path)
}

type faulty struct {
	f      faults
	suffix string
}

func (f faulty) ReadAt(p []byte, off int64) (int, error) {
	step := f.f[f.suffix][0]
	if len(f.f[f.suffix]) > 1 {
		f.f[f.suffix] = f.f[f.suffix][1:]
	}
	if err, ok := step.(error); ok {
		return 0, err
	}
	return strings.NewReader(fmt.Sprintln(step)).ReadAt(p, off)
}

func (faulty) Close() error { return nil }

// TestReadings: the first step is what Open reads to see whether it may.
func TestReadings(t *testing.T) {
	energy := "hwmon0/name shunt9000\nhwmon0/energy1_input 1"
	watts := "hwmon0/name shunt9000\nhwmon0/power1_input 1"
	for _, c := range []struct {
		name, tree string
		steps      []any
		want       string
	}{
		{"counter from zero", energy, []any{9, 1_000_000, 3_500_000, 4_000_000}, "0 2.5 3"},
		{"a decrease is a reset", energy, []any{9, uint64(1) << 33, 100_000_000, 101_000_000, 102_500_000}, "0 gap 0 1.5"},
		{"error read as 0", energy, []any{9, 450_000_000, 0, 450_000_000, 451_000_000}, "0 gap 0 1"},
		{"a failed read is not bridged", energy, []any{9, 1_000_000, syscall.EIO, 9_000_000, 9_500_000}, "0 gap 0 0.5"},
		{"EAGAIN does not hang", watts, []any{9, 5_000_000, syscall.EAGAIN, 6_000_000}, "5 gap 6"},
		{"0 W is no answer", watts, []any{9, 5_000_000, 0, 6_000_000}, "5 gap 6"},
		{"an error as a count", "hwmon0/name amdgpu\nhwmon0/power1_input 1", []any{9, 5_000_000, uint64(1<<32 - 95), 6_000_000}, "5 gap 6"},
		{"removed in mid-run", watts, []any{9, 5_000_000, syscall.ENODEV, 6_000_000}, "5 gap 6"},
		{"empty", watts, []any{9, "", 6_000_000}, "gap 6"},
		{"negative", watts, []any{9, "-5000000", 6_000_000}, "gap 6"},
		{"garbage", watts, []any{9, "5 W", 6_000_000}, "gap 6"},
		{"NUL", watts, []any{9, "5\x00", 6_000_000}, "gap 6"},
		{"400 digits", watts, []any{9, strings.Repeat("1", 400), 6_000_000}, "gap 6"},
		{"beyond 64 bits", watts, []any{9, "18446744073709551616", 6_000_000}, "gap 6"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := faults{"1_input": c.steps}
			m, err := open(plant(t, c.tree), f.open)
			require.NoError(t, err)
			defer m.Close()
			var got []string
			for range strings.Fields(c.want) {
				r, err := m.Read(t.Context())
				require.NoError(t, err)
				if r[0].Err != nil {
					require.True(t, math.IsNaN(r[0].Value))
					require.ErrorContains(t, r[0].Err, "hwmon0")
					got = append(got, "gap")
				} else {
					got = append(got, fmt.Sprint(r[0].Value))
				}
			}
			require.Equal(t, c.want, strings.Join(got, " "))
		})
	}
}

// TestDeviceRemovedInMidRun: a sensor whose directory goes is an error at once, even
// while somebody still writes to the file; one that comes back starts a new
// base; a file replaced by rename is followed.
func TestDeviceRemovedInMidRun(t *testing.T) {
	root := plant(t, `
		hwmon0/name           shunt9000
		hwmon0/energy1_input  1000000
		hwmon1/name           shunt9001
		hwmon1/power1_input   3000000`)
	dir := filepath.Join(root, "class", "hwmon", "hwmon0")
	energy := filepath.Join(dir, "energy1_input")
	m, err := Open(root)
	require.NoError(t, err)
	defer m.Close()
	read := func() power.Reading {
		t.Helper()
		rs, err := m.Read(t.Context())
		require.NoError(t, err)
		require.NoError(t, rs[1].Err)
		require.Equal(t, 3.0, rs[1].Value)
		return rs[0]
	}
	reads := func(want float64) {
		t.Helper()
		r := read()
		require.NoError(t, r.Err)
		require.Equal(t, want, r.Value)
	}
	reads(0)
	require.NoError(t, os.WriteFile(energy+".new", []byte("3500000\n"), 0o644))
	require.NoError(t, os.Rename(energy+".new", energy))
	reads(2.5)

	writer, err := os.OpenFile(energy, os.O_WRONLY, 0)
	require.NoError(t, err)
	defer writer.Close()
	require.NoError(t, os.RemoveAll(dir))
	_, err = writer.WriteString("4000000\n")
	require.NoError(t, err)
	r := read()
	require.ErrorIs(t, r.Err, fs.ErrNotExist)
	require.ErrorContains(t, r.Err, "hwmon0/energy1_input")
	require.True(t, math.IsNaN(r.Value))

	require.NoError(t, os.MkdirAll(dir, 0o755))
	require.NoError(t, os.WriteFile(energy, []byte("9000000\n"), 0o644))
	reads(2.5)
	require.NoError(t, os.WriteFile(energy, []byte("9500000\n"), 0o644))
	reads(3)
}

// TestInputThatTheHardwareLacks: amdgpu lists both and can answer only one.
func TestInputThatTheHardwareLacks(t *testing.T) {
	f := faults{"power1_input": {syscall.EOPNOTSUPP}}
	m, err := open(plant(t, trees["AMD card"]), f.open)
	require.NoError(t, err)
	defer m.Close()
	got, err := m.Read(t.Context())
	require.NoError(t, err)
	require.NoError(t, got[0].Err)
	require.Equal(t, 61.0, got[0].Value)
}

// TestPermissionDenied: a sensor of the total that may not be read is refused
// with its cure; one beside the total is left out and said so.
func TestPermissionDenied(t *testing.T) {
	f := faults{"energy4_input": {fs.ErrPermission}}
	_, err := open(plant(t, trees["AMD sockets"]), f.open)
	require.ErrorIs(t, err, fs.ErrPermission)
	require.NotErrorIs(t, err, power.ErrAbsent)
	require.ErrorContains(t, err, "hwmon0/energy4_input")
	require.ErrorContains(t, err, "run as root")

	f = faults{"power1_input": {fs.ErrPermission}}
	_, err = open(plant(t, "hwmon0/name ina226\nhwmon0/power1_input 1"), f.open)
	require.ErrorIs(t, err, fs.ErrPermission, "nothing else is left")

	f = faults{"power2_input": {fs.ErrPermission}}
	m, err := open(plant(t, trees["supply"]), f.open)
	require.NoError(t, err)
	defer m.Close()
	require.Len(t, m.Info().Channels, 1)
	require.Contains(t, strings.Join(m.Info().Notes, "\n"), "left out hwmon10/power2_input")
}

// TestFrozenCounter: a counter that stands still is not 0 W, and after a minute
// it is not counting.
func TestFrozenCounter(t *testing.T) {
	for name, c := range map[string]struct{ tree, want string }{
		"a card, which may sleep": {"hwmon0/name xe\nhwmon0/energy1_input 5000000", "0 0 0 stale stale 0"},
		"a socket, which leaks":   {"hwmon0/name amd_energy\nhwmon0/energy1_input 5000000\nhwmon0/energy1_label Esocket0", "0 0 0 stale stale 0"},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c.want, follow(t, c.tree, 30*time.Second, 6, 7, 7, 7, 7, 7, 8))
		})
	}
}

// TestFrozenGauge: what shows a thousandth or finer never says the same for a
// minute, or for 10 of the intervals that it averages over; what is coarse may.
func TestFrozenGauge(t *testing.T) {
	acpi := "hwmon0/name power_meter\nhwmon0/power1_average 1"
	for name, c := range map[string]struct {
		tree string
		uw   int
		want string
	}{
		"mW":                       {acpi, 412_337_000, "412.337 412.337 412.337 stale stale"},
		"µW":                       {acpi, 3_025_001, "3.025001 3.025001 3.025001 stale stale"},
		"whole watts":              {acpi, 412_000_000, "412 412 412 412 412"},
		"whole watts, many":        {acpi, 4_001_000_000, "4001 4001 4001 stale stale"},
		"halves, by PMBus":         {acpi, 250_500_000, "250.5 250.5 250.5 250.5 250.5"},
		"25 mW, by an INA226":      {acpi, 3_025_000, "3.025 3.025 3.025 3.025 3.025"},
		"an average over 5 min":    {acpi + "\nhwmon0/power1_average_interval 300000", 412_337_000, "412.337 412.337 412.337 412.337 412.337"},
		"an average over 1 s":      {acpi + "\nhwmon0/power1_average_interval 1000", 412_337_000, "412.337 412.337 412.337 stale stale"},
		"an interval of no number": {acpi + "\nhwmon0/power1_average_interval unknown", 412_337_000, "412.337 412.337 412.337 stale stale"},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c.want, follow(t, c.tree, 30*time.Second, 1, c.uw, c.uw, c.uw, c.uw, c.uw))
		})
	}
}

// follow opens a tree of one sensor, which then says what is given.
func follow(t *testing.T, tree string, every time.Duration, says ...any) string {
	root := plant(t, tree)
	var got []string
	synctest.Test(t, func(t *testing.T) {
		f := faults{"1_input": says, "1_average": says}
		m, err := open(root, f.open)
		require.NoError(t, err)
		defer m.Close()
		f["1_input"], f["1_average"] = says[1:], says[1:]
		for range len(says) - 1 {
			r, err := m.Read(t.Context())
			require.NoError(t, err)
			switch {
			case errors.Is(r[0].Err, power.ErrNoNews):
				got = append(got, "-")
			case r[0].Err != nil:
				require.ErrorContains(t, r[0].Err, "hwmon0")
				require.ErrorContains(t, r[0].Err, "stale")
				got = append(got, "stale")
			default:
				got = append(got, fmt.Sprint(r[0].Value))
			}
			time.Sleep(every)
		}
	})
	return strings.Join(got, " ")
}

// TestAccuracy: as the kernel prints it, thousandths of a percent without
// leading zeros.
func TestAccuracy(t *testing.T) {
	for text, want := range map[string]float64{
		"95.500%": 0.045, "95.50%": 0.0495, "95.5%": 0.04995, "99.0%": 0.01, "98%": 0.02,
		"100.0%": 0, "0.0%": 0, "": 0, "%": 0, "-5.0%": 0, "95.5000%": 0, "90.5000%": 0, "unknown": 0, "1e2%": 0, "99999999999.0%": 0,
	} {
		m, err := Open(plant(t, "hwmon0/name power_meter\nhwmon0/power1_average 412000000\nhwmon0/power1_accuracy "+text))
		require.NoError(t, err)
		a := m.Info().Channels[0].Accuracy
		if want == 0 {
			require.True(t, a.Gain.IsAbsent(), "%s: %v", text, a.Gain)
			require.Equal(t, "not stated by the driver", a.Source)
		} else {
			require.InDelta(t, want, float64(a.Gain), 1e-12, text)
			require.Contains(t, a.Source, "_PMC")
		}
	}
}

func FuzzAccuracy(f *testing.F) {
	for _, s := range []string{"95.500%", "95.5%", "100.0%", "", "%", ".", "1.2.3%"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if gain, ok := accuracy(text); ok && !(gain > 0 && gain < 1) {
			t.Errorf("%q is an accuracy of %v", text, gain)
		}
	})
}

// FuzzPlaced: whatever a label says, a sensor has a boundary or is left out,
// and what is said to be given or to be a rail is no total of what is drawn.
func FuzzPlaced(f *testing.F) {
	for _, s := range []string{"", "power total", "System Input Power", "12V rail", "Grace Power Socket 0", "PSU 2", "Total Output", "\x00"} {
		f.Add("power_meter", s)
		f.Add("shunt9000", s)
	}
	f.Fuzz(func(t *testing.T, driver, label string) {
		p := placed(driver, label)
		if (p.boundary == "") == (p.out == "") || p.total != "" && p.total != p.boundary {
			t.Errorf("%q %q is %+v", driver, label, p)
		}
		if p.total == results.PSU && !power.Whole(label) {
			t.Errorf("%q %q is a total", driver, label)
		}
	})
}

func TestFaults(t *testing.T) {
	for name, tree := range map[string]string{
		"energy1_input":  "hwmon0/name shunt9000\nhwmon0/energy1_input 1",
		"power1_average": "hwmon0/name power_meter\nhwmon0/power1_average 1",
	} {
		t.Run(name, func(t *testing.T) {
			powertest.TestFaults(t, func(t *testing.T) powertest.Rig { return rig(t, tree, name) })
		})
	}
}

// rig is a sensor of RigWatts.
func rig(t *testing.T, tree, attr string) powertest.Rig {
	root := plant(t, tree)
	path := filepath.Join(root, "class", "hwmon", "hwmon0", attr)
	var since time.Duration // the counter's start
	base := uint64(5e9)
	count := func(at time.Duration) uint64 {
		if attr == "power1_average" {
			return powertest.RigWatts * 1e6
		}
		return base + uint64(powertest.RigWatts*1e6*(at-since).Seconds())
	}
	says := func(text string) func(time.Duration) {
		return func(time.Duration) { require.NoError(t, os.WriteFile(path, []byte(text+"\n"), 0o644)) }
	}
	return powertest.Rig{
		Open: func(now func() time.Time) (power.Meter, error) {
			m, err := Open(root)
			return stamped{m, now}, err
		},
		Set: func(at time.Duration) { says(fmt.Sprint(count(at)))(at) },
		Break: map[string]func(time.Duration){
			"wrong type":  says("12 joules"),
			"negative":    says("-1"),
			"nan":         says(""),
			"zero":        says("0"),
			"absurd jump": func(at time.Duration) { says(fmt.Sprint(count(at) * 1e6))(at) },
			"vanish":      func(time.Duration) { os.Remove(path) },
			"restart": func(at time.Duration) {
				os.Remove(path)
				since, base = at, 0
			},
		},
		Cannot: map[string]string{
			"time-out":   "a read of sysfs cannot be given up",
			"clock step": "it has no clock of its own",
		},
	}
}

// stamped is a meter whose readings are stamped by a clock that the suite turns.
// What the meter makes of them rests on its own, by which a second is a moment.
type stamped struct {
	power.Meter
	now func() time.Time
}

func (s stamped) Read(ctx context.Context) ([]power.Reading, error) {
	out, err := s.Meter.Read(ctx)
	for i := range out {
		out[i].At = s.now()
	}
	return out, err
}

func BenchmarkRead(b *testing.B) {
	m, err := Open(plant(b, trees["AMD sockets"]))
	require.NoError(b, err)
	defer m.Close()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.Read(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
