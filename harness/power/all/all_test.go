package all

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/harness/endpoint"
	"github.com/perwatt/perwatt/harness/power"
	"github.com/perwatt/perwatt/harness/power/powertest"
	"github.com/perwatt/perwatt/results"
)

const (
	zone = `
		sys/class/powercap/intel-rapl:0/name                 package-0
		sys/class/powercap/intel-rapl:0/energy_uj            1000000001
		sys/class/powercap/intel-rapl:0/max_energy_range_uj  262143328850`
	onlyPsys = `
		sys/class/powercap/intel-rapl:0/name       psys
		sys/class/powercap/intel-rapl:0/energy_uj  1000000001`
	hidden = `
		sys/class/powercap/intel-rapl:0/uevent  -`
	card = `
		sys/class/hwmon/hwmon0/name          amdgpu
		sys/class/hwmon/hwmon0/power1_input  60000000`
	discrete = `
		sys/class/hwmon/hwmon0/name          amdgpu
		sys/class/hwmon/hwmon0/power1_input  60000000
		sys/class/hwmon/hwmon0/power1_cap    300000000
		sys/class/hwmon/hwmon0/device        -> ../../../devices/0000:03:00.0
		sys/devices/0000:03:00.0/vendor      0x1002`
	blank = `
		sys/class/hwmon/hwmon1/name            power_meter
		sys/class/hwmon/hwmon1/power1_average  4294967295000`
	acpi = `
		sys/class/hwmon/hwmon1/name            power_meter
		sys/class/hwmon/hwmon1/power1_average  400000000`
	proc = `
		proc/stat     cpu  1 2 3 4 5 6 7 8 9 10
		proc/cpuinfo  vendor_id : GenuineIntel`
)

func plant(t testing.TB, trees ...string) Roots {
	t.Helper()
	root := t.TempDir()
	for line := range strings.Lines(strings.TrimSpace(strings.Join(trees, ""))) {
		name, text, _ := strings.Cut(strings.TrimSpace(line), " ")
		path := filepath.Join(root, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		if to, link := strings.CutPrefix(strings.TrimSpace(text), "-> "); link {
			require.NoError(t, os.Symlink(to, path))
			continue
		}
		require.NoError(t, os.WriteFile(path, []byte(strings.TrimSpace(text)+"\n"), 0o644))
	}
	return Roots{Sys: filepath.Join(root, "sys"), Proc: filepath.Join(root, "proc"), NVML: filepath.Join(root, "libnvidia-ml.so.1")}
}

// run counts on in the zone of a tree, if it has one, until the test ends.
func run(t *testing.T, roots Roots, every time.Duration) {
	path := filepath.Join(roots.Sys, "class/powercap/intel-rapl:0/energy_uj")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	t.Cleanup(func() { cancel(); <-done })
	go func() {
		defer close(done)
		for uj := 1_000_000_001; ; uj += 41_200_000 {
			if _, err := os.Stat(path); err == nil {
				_ = os.WriteFile(path+".new", fmt.Appendln(nil, uj), 0o644)
				_ = os.Rename(path+".new", path)
			}
			select {
			case <-time.After(every):
			case <-ctx.Done():
				return
			}
		}
	}()
}

// states writes what was sought as name=state.
func states(sought []results.MeterProbe) string {
	var out []string
	for _, s := range sought {
		out = append(out, s.Meter+"="+s.State)
	}
	return strings.Join(out, " ")
}

func TestAuto(t *testing.T) {
	for name, c := range map[string]struct {
		trees  []string
		used   string
		want   string
		detail string
	}{
		"everything":             {[]string{zone, acpi, proc}, "rapl", "rapl=used hwmon=found nvml=absent model=found", "rapl comes first"},
		"a meter that says none": {[]string{blank, proc}, "model", "rapl=absent hwmon=refused nvml=absent model=used", "no reading of it is good: hwmon: "},
		"no rapl":                {[]string{acpi, proc}, "hwmon", "rapl=absent hwmon=used nvml=absent model=found", "no RAPL zone under"},
		"a card is no total":     {[]string{card, proc}, "model", "rapl=absent hwmon=found nvml=absent model=used", "no channel covers the CPU packages"},
		"psys alone is no total": {[]string{onlyPsys, proc}, "model", "rapl=found hwmon=absent nvml=absent model=used", "no channel covers the CPU packages"},
		"a virtual machine":      {[]string{proc}, "model", "rapl=absent hwmon=absent nvml=absent model=used", "/sys/class/hwmon: "},
		"rapl is refused":        {[]string{hidden, proc}, "model", "rapl=refused hwmon=absent nvml=absent model=used", "mount that directory"},
		"nothing at all":         {nil, "", "rapl=absent hwmon=absent nvml=absent model=absent", "no ROOT/proc/stat: "},
	} {
		t.Run(name, func(t *testing.T) {
			roots := plant(t, c.trees...)
			for _, specs := range [][]string{nil, {"auto"}} {
				synctest.Test(t, func(t *testing.T) {
					run(t, roots, 1030*time.Millisecond)
					meters, sought, err := Open(t.Context(), specs, roots)
					require.NoError(t, err)
					require.Equal(t, c.want, states(sought), "%v", sought)
					var details []string
					for _, s := range sought {
						details = append(details, s.Detail)
					}
					require.Contains(t, strings.Join(details, "\n"), strings.ReplaceAll(c.detail, "ROOT/proc", roots.Proc))
					if c.used == "" {
						require.Empty(t, meters)
						return
					}
					require.Len(t, meters, 1)
					require.Equal(t, c.used, meters[0].Info().Name)
					require.NoError(t, meters[0].Close())
				})
			}
		})
	}
}

// TestDeadHead: a meter whose counter stands is not taken while another lives,
// and auto says why.
func TestDeadHead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		meters, sought, err := Open(t.Context(), nil, plant(t, zone, acpi, proc))
		require.NoError(t, err)
		require.Equal(t, "rapl=refused hwmon=used nvml=absent model=found", states(sought))
		require.Contains(t, sought[0].Detail, "package-0: the counter did not move in 2.5s")
		require.Equal(t, "hwmon", meters[0].Info().Name)
		require.NoError(t, meters[0].Close())
	})
}

// TestBeside: cards are recorded beside the node's power, which comes first,
// and without it.
func TestBeside(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("nvml is read on Linux only")
	}
	cc := powertest.Peer(t, "cc", "gcc")
	for want, trees := range map[string][]string{
		"rapl=used hwmon=absent nvml=used model=found":    {zone, proc},
		"rapl=absent hwmon=absent nvml=used model=used":   {proc},
		"rapl=absent hwmon=absent nvml=used model=absent": {},
	} {
		roots := plant(t, trees...)
		run(t, roots, 5*time.Millisecond)
		out, err := exec.Command(cc, "-shared", "-fPIC", "-o", roots.NVML, "../nvml/testdata/fake.c", "-ldl").CombinedOutput()
		require.NoError(t, err, "%s", out)
		require.NoError(t, os.WriteFile(filepath.Join(filepath.Dir(roots.NVML), "state"), []byte("0.uuid GPU-1\n0.energy 5000000\n"), 0o644))
		meters, sought, err := Open(t.Context(), nil, roots)
		require.NoError(t, err)
		require.Equal(t, want, states(sought))
		require.Equal(t, "nvml", meters[len(meters)-1].Info().Name)
		require.Len(t, meters, strings.Count(want, "=used"))
		for _, m := range meters {
			require.NoError(t, m.Close())
		}
	}
}

// TestSensorsOfCardsBeside: a card that hwmon knows is recorded beside the node's power
// as one of NVIDIA's is, and never in its place.
func TestSensorsOfCardsBeside(t *testing.T) {
	for _, c := range []struct {
		trees       []string
		first, want string
	}{
		{[]string{zone, discrete, proc}, "rapl", "rapl=used hwmon=used nvml=absent model=found"},
		{[]string{discrete, proc}, "model", "rapl=absent hwmon=used nvml=absent model=used"},
		{[]string{acpi, discrete, proc}, "hwmon", "rapl=absent hwmon=used nvml=absent model=found"},
		{[]string{zone, acpi, proc}, "rapl", "rapl=used hwmon=found nvml=absent model=found"},
	} {
		synctest.Test(t, func(t *testing.T) {
			roots := plant(t, c.trees...)
			run(t, roots, 1030*time.Millisecond)
			meters, sought, err := Open(t.Context(), nil, roots)
			require.NoError(t, err)
			require.Equal(t, c.want, states(sought), "%v", sought)
			require.Len(t, meters, strings.Count(c.want, "=used"))
			require.Equal(t, c.first, meters[0].Info().Name)
			for _, m := range meters {
				require.NoError(t, m.Close())
			}
		})
	}
}

// TestRenamedCards: a meter of cards under another name still tells their state.
func TestRenamedCards(t *testing.T) {
	meters, _, err := Open(t.Context(), []string{"hwmon", "declared:350,name=hwmon"}, plant(t, discrete, proc))
	require.NoError(t, err)
	require.Equal(t, "hwmon-2", meters[1].Info().Name)
	require.Len(t, meters[0].(power.CardMeter).Cards(t.Context()), 1)
	require.Empty(t, meters[1].(power.CardMeter).Cards(t.Context()), "it has none")
	require.Equal(t, results.Float(300), renamed{meters[0], "cards"}.Cards(t.Context())[0].Limit)
}

func TestNamed(t *testing.T) {
	roots := plant(t, zone, acpi, proc)
	meters, sought, err := Open(t.Context(), []string{"hwmon", "rapl", "declared:350,boundary=psu"}, roots)
	require.NoError(t, err)
	require.Equal(t, "hwmon=used rapl=used declared=used", states(sought))
	require.Len(t, meters, 3)
	for _, m := range meters {
		require.NoError(t, m.Close())
	}
	meters, sought, err = Open(t.Context(), []string{"none"}, roots)
	require.NoError(t, err)
	require.Empty(t, meters)
	require.Empty(t, sought)

	synctest.Test(t, func(t *testing.T) {
		run(t, roots, 1030*time.Millisecond)
		meters, sought, err := Open(t.Context(), []string{"auto", "declared:350"}, roots)
		require.NoError(t, err)
		require.Equal(t, "rapl=used hwmon=found nvml=absent model=found declared=used", states(sought))
		for _, m := range meters {
			require.NoError(t, m.Close())
		}
	})
}

// TestNames: two meters of one kind are two in the record.
func TestNames(t *testing.T) {
	meters, sought, err := Open(t.Context(), []string{"declared:350", "declared:400,boundary=psu", "declared:20,name=fans"}, plant(t))
	require.NoError(t, err)
	var names []string
	for _, m := range meters {
		names = append(names, m.Info().Name)
	}
	require.Equal(t, []string{"declared", "declared-2", "fans"}, names)
	require.Equal(t, "declared=used declared-2=used fans=used", states(sought))
}

// TestFeeds: the feeds of a node with two supplies are one meter.
func TestFeeds(t *testing.T) {
	open := func() (power.Meter, error) {
		meters, _, err := Open(t.Context(), []string{"declared:350 + declared:340"}, plant(t))
		if err != nil {
			return nil, err
		}
		return meters[0], nil
	}
	powertest.TestMeter(t, open)
	m, err := open()
	require.NoError(t, err)
	h := results.Derive(&results.Record{Meters: []results.Meter{{Name: m.Info().Name, Channels: m.Info().Channels}}}).PrimaryMeter
	require.NotNil(t, h)
	require.Equal(t, "declared+declared", h.Meter)
	got, err := m.Read(t.Context())
	require.NoError(t, err)
	require.Equal(t, 690.0, got[0].Value+got[1].Value)
}

// TestSumOfPlaces: the same place of two instruments is two places.
func TestSumOfPlaces(t *testing.T) {
	m, err := sum([]power.Meter{plugged{}, plugged{}})
	require.NoError(t, err)
	var places []string
	for _, c := range m.Info().Channels {
		places = append(places, c.Place)
	}
	require.Equal(t, []string{"1-outlet:0", "1-outlet:0", "2-outlet:0", "2-outlet:0"}, places)
}

// plugged is a plug with the energy and the power of one outlet.
type plugged struct{ power.Meter }

func (plugged) Info() power.Info {
	c := results.Channel{Name: "energy", Kind: results.Counter, Boundary: results.Wall, Total: results.Wall, Place: "outlet:0"}
	p := c
	p.Name, p.Kind = "power", results.Gauge
	return power.Info{Name: "plug", Source: "here", Channels: []results.Channel{c, p}}
}

// TestNamedIsNotThere: what was asked for by name is never passed over.
func TestNamedIsNotThere(t *testing.T) {
	roots := plant(t, proc, hidden)
	meters, sought, err := Open(t.Context(), []string{"model", "hwmon"}, roots)
	require.ErrorIs(t, err, power.ErrAbsent)
	require.NotErrorIs(t, err, endpoint.ErrSpec)
	require.ErrorContains(t, err, `meter "hwmon"`)
	require.ErrorContains(t, err, "--meter auto")
	require.Equal(t, "model=used hwmon=absent", states(sought))
	require.Nil(t, meters, "those opened before are closed")

	_, sought, err = Open(t.Context(), []string{"rapl"}, roots)
	require.ErrorContains(t, err, "mount that directory")
	require.NotErrorIs(t, err, power.ErrAbsent)
	require.Equal(t, "rapl=refused", states(sought))
}

func TestBadSpecs(t *testing.T) {
	roots := plant(t, zone, proc)
	for _, specs := range [][]string{
		{""}, {"ralp"}, {"RAPL"}, {"rapl:"}, {"rapl:/sys"}, {"auto:"}, {"none:"}, {"fake"}, {"fake:350"},
		{"declared"}, {"declared:"}, {"declared:-5"}, {"declared:nan"}, {"declared:350W"}, {"declared:350,boundary=card"},
		{"none", "rapl"}, {"rapl", "none"}, {"none", "none"}, {"rapl", "rapl"}, {"auto", "auto"}, {"auto", "rapl"}, {"model", "auto"},
		{"declared:350", "declared:350,name=x"}, {"rapl", ""}, {"rapl,name=x"}, {"declared:350,volts=3"}, {"declared:350,name=a,name=b"},
		{"declared:350 + rapl"}, {"declared:350 + declared:400,boundary=psu"},
	} {
		meters, _, err := Open(t.Context(), specs, roots)
		require.ErrorIs(t, err, endpoint.ErrSpec, "%q", specs)
		require.Empty(t, meters)
		require.ErrorContains(t, err, "meter ", "%q", specs)
	}
	_, _, err := Open(t.Context(), []string{"ralp"}, roots)
	for _, k := range Kinds() {
		require.ErrorContains(t, err, k.Form)
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err := Open(ctx, nil, plant(t, zone, proc))
	require.ErrorIs(t, err, context.Canceled)
}

// TestConformance holds whatever this machine has to the contract.
func TestConformance(t *testing.T) {
	meters, sought, err := Open(t.Context(), nil, Roots{})
	require.NoError(t, err)
	for _, m := range meters {
		require.NoError(t, m.Close())
		powertest.TestMeter(t, func() (power.Meter, error) {
			meters, _, err := Open(t.Context(), []string{m.Info().Name}, Roots{})
			if err != nil {
				return nil, err
			}
			return meters[0], nil
		})
	}
	for _, s := range sought {
		t.Logf("%s: %s: %s", s.Meter, s.State, s.Detail)
	}
	if len(meters) == 0 {
		t.Skip("this machine has no meter")
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"auto", "rapl", "declared:350", "none", "declared:", ":", "auto\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, spec string) {
		out, err := parse([]string{spec})
		if err != nil {
			require.ErrorIs(t, err, endpoint.ErrSpec)
			return
		}
		require.LessOrEqual(t, len(out), 1)
		if len(out) == 0 {
			require.Equal(t, none, spec)
		}
	})
}
