package hwmon

import (
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

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
		"AMD sockets":                 {"amd_energy-Esocket0 J package>package, amd_energy-Esocket1 J package>package", "left out hwmon0/energy1_input (amd_energy Ecore000): it lies inside another"},
		"AMD sockets, two drivers":    {"amd_hsmp_hwmon-power1_input W package, amd_energy-Esocket0 J package>package", "hwmon0/power1_input (amd_hsmp_hwmon) is in no total"},
		"ACPI meter of the old style": {"power_meter-power1_average W psu>psu", "is an average over 1000 ms"},
		"ACPI meter of a part":        {"power_meter-power1_average W board", "measures some devices only"},
		"two ACPI meters":             {"power_meter-power1_average W psu, power_meter-power1_average@hwmon1 W psu", "more than one sensor claims to be the psu"},
		"AMD card":                    {"amdgpu-PPT W card", "there is no total"},
		"AMD card, average only":      {"amdgpu-power1_average W card", "is an average over an interval that the driver does not state"},
		"Intel card":                  {"xe-card J card, xe-pkg J card, xe-vram W card", "left out hwmon1/power1_input (xe): energy1_input counts the same energy"},
		"supply":                      {"corsairpsu-power-total W psu>psu, corsairpsu-power-+12v W psu", "total of boundary psu: corsairpsu-power-total"},
		"disabled channel":            {"ina3221-power2_input W board", "left out hwmon0/power1_input (ina3221): it is disabled"},
		"twice the same driver":       {"ina226-power1_input W board, ina226-power1_input@hwmon10 W board", ""},
		"an unknown driver":           {"shunt9000-energy1_input J board", "left out hwmon0/power1_input (shunt9000)"},
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

func TestAbsent(t *testing.T) {
	for name, root := range map[string]string{
		"no class":           t.TempDir(),
		"temperatures only":  plant(t, "hwmon0/name coretemp\nhwmon0/temp1_input 45000"),
		"a battery":          plant(t, trees["ACPI meter of a battery"]),
		"everything is off":  plant(t, "hwmon0/name ina3221\nhwmon0/power1_input 1\nhwmon0/power1_enable 0"),
		"nothing has a name": plant(t, "hwmon0/power1_input 1"),
	} {
		_, err := Open(root)
		require.ErrorIs(t, err, power.ErrAbsent, name)
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
		{"a decrease is a gap", energy, []any{9, uint64(1) << 33, 100_000_000, 101_000_000, 102_500_000}, "0 gap 0 1.5"},
		{"error read as 0", energy, []any{9, 450_000_000, 0, 450_000_000, 451_000_000}, "0 gap 0 1"},
		{"a failed read is not bridged", energy, []any{9, 1_000_000, syscall.EIO, 9_000_000, 9_500_000}, "0 gap 0 0.5"},
		{"EAGAIN does not hang", watts, []any{9, 5_000_000, syscall.EAGAIN, 6_000_000}, "5 gap 6"},
		{"0 W is no answer", watts, []any{9, 5_000_000, 0, 6_000_000}, "5 gap 6"},
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

// TestDeviceRemoved: a sensor whose directory goes is an error at once, even
// while somebody still writes to the file; one that comes back starts a new
// base; a file replaced by rename is followed.
func TestDeviceRemoved(t *testing.T) {
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
