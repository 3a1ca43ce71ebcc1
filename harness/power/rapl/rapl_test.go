package rapl

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
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

const (
	metal = "no-such-procfs" // a machine that is no guest

	big   = 262143328850 // µJ, the range of a server package
	small = 65532610987  // µJ, the range of its memory
)

// trees are the zones of machines, a line each: id, name, energy_uj,
// max_energy_range_uj and long-term power limit in W; - for a missing file.
var trees = map[string]string{
	"one socket": `
		intel-rapl:0    package-0  1000000001  262143328850  150
		intel-rapl:0:0  core        500000001  262143328850  -
		intel-rapl:0:1  uncore        7000001  262143328850  -`,
	"two sockets with dram": `
		intel-rapl:0    package-0  1000000001  262143328850  270
		intel-rapl:0:0  dram        100000001   65532610987  -
		intel-rapl:1    package-1  2000000001  262143328850  270
		intel-rapl:1:0  dram        200000001   65532610987  -`,
	"psys": `
		intel-rapl:0    package-0  1000000001  262143328850  28
		intel-rapl:0:0  core        500000001  262143328850  -
		intel-rapl:1    psys       9000000001  262143328850  60`,
	"MSR and MMIO twins": `
		intel-rapl:0         package-0  1000000001  262143328850  28
		intel-rapl:0:0       core        500000001  262143328850  -
		intel-rapl-mmio:0    package-0  1000000901  262143328850  28
		intel-rapl-mmio:0:0  dram         30000001  262143328850  -`,
	"die names": `
		intel-rapl:0    package-0-die-0  1000000001  262143328850  -
		intel-rapl:0:0  dram              100000001   65532610987  -
		intel-rapl:1    package-0-die-1  1500000001  262143328850  -
		intel-rapl:1:0  dram              150000001   65532610987  -`,
	"mirrored dies": `
		intel-rapl:0         package-0-die-0  1000000001  65532610987  -
		intel-rapl:1         package-0-die-1  1000000001  65532610987  -
		intel-rapl:1:0       dram              150000001  65532610987  -
		intel-rapl:2         package-1-die-0  3000000001  65532610987  -
		intel-rapl-mmio:1    package-0-die-1  1000000001  65532610987  -`,
	"memory alone": `
		intel-rapl:0    psys        1000000001  262143328850  -
		intel-rapl:0:0  dram         100000001   65532610987  -`,
	"missing max": `
		intel-rapl:0    package-0  1000000001  -             -
		intel-rapl:0:0  core        500000001  262143328850  -`,
	"domains that count nothing": `
		intel-rapl:0    package-0  1000000001  262143328850  -
		intel-rapl:0:0  dram                0   65532610987  -
		intel-rapl:0:1  core                -  262143328850  -
		intel-rapl:0:2  warp           500001  262143328850  -`,
}

// plant writes a tree and returns the sysfs root. linked is the layout of a
// real machine, where the class holds links into devices; otherwise the zones
// are nested in the class.
func plant(t testing.TB, tree string, linked bool) string {
	t.Helper()
	root := t.TempDir()
	class := filepath.Join(root, "class", "powercap")
	require.NoError(t, os.MkdirAll(class, 0o755))
	for line := range strings.Lines(strings.TrimSpace(tree)) {
		f := strings.Fields(line)
		control, _, _ := strings.Cut(f[0], ":")
		base := filepath.Join(class, control)
		if linked {
			base = filepath.Join(root, "devices", "virtual", "powercap", control)
		}
		parts := strings.Split(f[0], ":")
		dir := filepath.Join(base, parts[0]+":"+parts[1])
		if len(parts) > 2 {
			dir = filepath.Join(dir, f[0])
		}
		require.NoError(t, os.MkdirAll(dir, 0o755))
		write := func(name, text string) {
			if text != "-" {
				require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text+"\n"), 0o644))
			}
		}
		write("name", f[1])
		write("energy_uj", f[2])
		write("max_energy_range_uj", f[3])
		if f[4] != "-" {
			watts, err := strconv.ParseFloat(f[4], 64)
			require.NoError(t, err)
			write("constraint_0_power_limit_uw", fmt.Sprintf("%.0f", watts*1e6))
		}
		if linked {
			for path, name := range map[string]string{base: control, dir: f[0]} {
				to, err := filepath.Rel(class, path)
				require.NoError(t, err)
				if err := os.Symlink(to, filepath.Join(class, name)); err != nil {
					require.ErrorIs(t, err, fs.ErrExist)
				}
			}
		}
	}
	return root
}

func layouts(t *testing.T, f func(t *testing.T, linked bool)) {
	t.Run("linked", func(t *testing.T) { f(t, true) })
	t.Run("nested", func(t *testing.T) { f(t, false) })
}

func TestConformance(t *testing.T) {
	for name, tree := range trees {
		t.Run(name, func(t *testing.T) {
			root := plant(t, tree, true)
			powertest.TestMeter(t, func() (power.Meter, error) { return Open(root, metal) })
		})
	}
}

// TestDoubleCounting: what is in the total, what stands beside it, what is left
// out.
func TestDoubleCounting(t *testing.T) {
	for name, want := range map[string]struct{ total, beside, out string }{
		"one socket":                 {"package-0", "package-0-core package-0-uncore", ""},
		"two sockets with dram":      {"package-0 package-0-dram package-1 package-1-dram", "", ""},
		"psys":                       {"package-0", "package-0-core psys", ""},
		"MSR and MMIO twins":         {"package-0 package-0-dram", "package-0-core", "intel-rapl-mmio:0 (package-0): the same counter as intel-rapl:0"},
		"die names":                  {"package-0-die-0 package-0-die-0-dram package-0-die-1 package-0-die-1-dram", "", ""},
		"mirrored dies":              {"package-0-die-0 package-1-die-0", "", "intel-rapl:1 (package-0-die-1): it shows the same counter as intel-rapl:0"},
		"missing max":                {"package-0", "package-0-core", ""},
		"memory alone":               {"", "psys psys-dram", ""},
		"domains that count nothing": {"package-0", "", "intel-rapl:0:0 (package-0-dram): it reads 0 since boot"},
	} {
		t.Run(name, func(t *testing.T) {
			layouts(t, func(t *testing.T, linked bool) {
				m, err := Open(plant(t, trees[name], linked), metal)
				require.NoError(t, err)
				defer m.Close()
				var total, beside []string
				for _, c := range m.Info().Channels {
					switch c.Total {
					case results.Package:
						total = append(total, c.Name)
					case "":
						beside = append(beside, c.Name)
					default:
						t.Errorf("%s adds to %s", c.Name, c.Total)
					}
					want := results.Package
					if strings.HasSuffix(c.Name, "dram") {
						want = results.Memory
					} else if c.Name == "psys" {
						want = results.Board
					}
					require.Equal(t, want, c.Boundary, c.Name)
				}
				require.Equal(t, want.total, strings.Join(total, " "))
				require.Equal(t, want.beside, strings.Join(beside, " "))
				require.Contains(t, strings.Join(m.Info().Notes, "\n"), want.out)
			})
		})
	}
}

// TestVirtualMachine: no powercap is a result, and not 0 W.
func TestVirtualMachine(t *testing.T) {
	_, err := Open(t.TempDir(), metal)
	require.ErrorIs(t, err, power.ErrAbsent)
	empty := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(empty, "class", "powercap", "dtpm"), 0o755))
	_, err = Open(empty, metal)
	require.ErrorIs(t, err, power.ErrAbsent)
}

// TestHiddenByContainer: the links of the class dangle where a runtime masks
// the devices. That is no absent hardware.
func TestHiddenByContainer(t *testing.T) {
	root := plant(t, trees["one socket"], true)
	require.NoError(t, os.RemoveAll(filepath.Join(root, "devices", "virtual", "powercap")))
	_, err := Open(root, metal)
	require.ErrorContains(t, err, "mount that directory")
	require.NotErrorIs(t, err, power.ErrAbsent)
}

// script is an opener whose energy_uj answer from a script, a step a read; the
// last step stays. A nil step is the file itself.
type script struct {
	steps map[string][]any // zone id → uint64, error or string, one a read
}

func (s *script) open(path string) (power.File, error) {
	id := filepath.Base(filepath.Dir(path))
	if filepath.Base(path) == "energy_uj" && s.steps[id] != nil {
		if err, ok := s.steps[id][0].(error); ok && (errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist)) {
			s.next(id)
			return nil, &fs.PathError{Op: "open", Path: path, Err: err}
		}
		return scripted{s, id}, nil
	}
	return os.Open(path)
}

func (s *script) next(id string) any {
	step := s.steps[id][0]
	if len(s.steps[id]) > 1 {
		s.steps[id] = s.steps[id][1:]
	}
	return step
}

type scripted struct {
	s  *script
	id string
}

func (f scripted) ReadAt(p []byte, off int64) (int, error) {
	switch v := f.s.next(f.id).(type) {
	case error:
		return 0, v
	default:
		return strings.NewReader(fmt.Sprintln(v)).ReadAt(p, off)
	}
}

func (scripted) Close() error { return nil }

// follow opens a tree, sets the scripts, and reads once a second as often as
// the longest script has steps; it returns the readings by channel.
func follow(t *testing.T, tree string, every time.Duration, steps map[string][]any) map[string][]power.Reading {
	t.Helper()
	root := plant(t, tree, true)
	out := map[string][]power.Reading{}
	synctest.Test(t, func(t *testing.T) {
		s := &script{}
		m, err := open(root, metal, s.open)
		require.NoError(t, err)
		defer m.Close()
		s.steps = steps // from here on the scripts answer
		reads := 0
		for _, l := range steps {
			reads = max(reads, len(l))
		}
		for range reads {
			got, err := m.Read(t.Context())
			require.NoError(t, err)
			for i, r := range got {
				out[m.Info().Channels[i].Name] = append(out[m.Info().Channels[i].Name], r)
			}
			time.Sleep(every)
		}
	})
	return out
}

// values writes readings as J, with "gap" for an error and "-" for no news.
func values(rs []power.Reading) string {
	var out []string
	for _, r := range rs {
		switch {
		case errors.Is(r.Err, power.ErrNoNews):
			out = append(out, "-")
		case r.Err != nil:
			out = append(out, "gap")
		default:
			out = append(out, fmt.Sprintf("%g", math.Round(r.Value*1000)/1000))
		}
	}
	return strings.Join(out, " ")
}

func TestCounterTraps(t *testing.T) {
	const base = 1_000_000_000
	one := "intel-rapl:0 package-0 1000000001 262143328850 150"
	old := "intel-rapl:0 package-0 1000000001 65532610987 150"
	bare := "intel-rapl:0 package-0 1000000001 - 150"
	for _, c := range []struct {
		name, tree string
		every      time.Duration
		steps      []any
		want, says string
	}{
		{"starts at zero and counts", one, time.Second, []any{base, base + 150_000_000, base + 300_000_000}, "0 150 300", ""},
		{"wrap at 262143 J", one, time.Second, []any{uint64(big) - 100_000_000, 50_000_000, 200_000_000}, "0 150 300", ""},
		{"wrap at 65533 J", old, time.Second, []any{uint64(small) - 100_000_000, 50_000_000, 200_000_000}, "0 150 300", ""},
		{"wrap at 65533 J that nobody saw", old, 109 * time.Second, []any{base, base + 1_000_000_000, base + 2_000_000_000}, "0 gap 0", "may have wrapped unseen"},
		{"a wrap, then a jump", one, time.Second, []any{uint64(big) - 1, 99_999_999, uint64(big) - 1, 99_999_999}, "0 100 gap 100", ""},
		{"implausible wrap is a reset", one, time.Second, []any{uint64(big) / 2, 50_000_000, 200_000_000, 350_000_000}, "0 gap 0 150", "more than 1000 W allow"},
		{"missing max", bare, time.Second, []any{uint64(big) - 100_000_000, 50_000_000, 200_000_000, 350_000_000}, "0 gap 0 150", "a reset, a gap"},
		{"error as 0", one, time.Second, []any{uint64(100_450_000_000), 0, 0, uint64(100_900_000_000), uint64(101_050_000_000)}, "0 gap gap 0 150", ": a gap"},
		{"implausible jump", one, time.Second, []any{base, uint64(160_000_000_000), uint64(160_100_000_000), uint64(160_200_000_000)}, "0 gap 0 100", "it went from"},
		{"beyond its own range", one, time.Second, []any{uint64(big) + 5, 7, 100_000_007}, "0 gap 0", "a reset"},
		{"wrap at 262143 J that nobody saw", one, 300 * time.Second, []any{base, base + 1_000_000_000, base + 2_000_000_000}, "0 gap 0", "may have wrapped unseen"},
		{"a failed read is not bridged", one, time.Second, []any{base, syscall.EIO, base + 300_000_000, base + 400_000_000}, "0 gap 0 100", "input/output error"},
		{"EAGAIN does not hang", one, time.Second, []any{base, syscall.EAGAIN, base + 300_000_000}, "0 gap 0", "temporarily unavailable"},
		{"removed in mid-run", one, time.Second, []any{base, base + 1_000_000, syscall.ENODEV, fs.ErrNotExist, fs.ErrNotExist, 5_000_000, 6_000_000}, "0 1 gap gap gap 1 2", ""},
		{"empty", one, time.Second, []any{base, "", base + 1}, "0 gap 0", "is not a count"},
		{"negative", one, time.Second, []any{base, "-5", base + 1}, "0 gap 0", "is not a count"},
		{"signed", one, time.Second, []any{base, "+5", base + 1}, "0 gap 0", "is not a count"},
		{"garbage", one, time.Second, []any{base, "12 joules", base + 1}, "0 gap 0", "is not a count"},
		{"NUL", one, time.Second, []any{base, "\x00\x00\x00", base + 1}, "0 gap 0", "is not a count"},
		{"400 digits", one, time.Second, []any{base, strings.Repeat("1", 400), base + 1}, "0 gap 0", "longer than 63 bytes"},
		{"beyond 64 bits", one, time.Second, []any{base, "18446744073709551616", base + 1}, "0 gap 0", "out of range"},
		{"stopped for more than ten times its pace", one, 500 * time.Millisecond,
			[]any{base, base + 1_000_000, base + 2_000_000, base + 2_000_000, base + 2_000_000, base + 2_000_000, base + 2_000_000, base + 2_000_000, base + 2_000_000, base + 2_000_000, base + 2_000_000, base + 2_000_000, base + 2_000_000, base + 2_000_000, base + 9_000_000, base + 10_000_000},
			"0 1 2 2 2 2 2 2 2 2 2 2 2 gap 2 3", "stale"},
		{"renewed each second, by a hypervisor", one, 400 * time.Millisecond,
			[]any{base, base, base, base + 40_000_000, base + 40_000_000, base + 40_000_000, base + 80_000_000}, "0 0 0 40 40 40 80", ""},
		{"twice the power limit is plausible", "intel-rapl:0 package-0 1000000001 262143328850 700", time.Second, []any{base, base + 2_700_000_000}, "0 2700", ""},
		{"but not beyond what a package draws", "intel-rapl:0 package-0 1000000001 262143328850 900", time.Second, []any{base, base + 3_500_000_000}, "0 gap", "more than 1500 W"},
		{"a limit of all bits is none", "intel-rapl:0 package-0 1000000001 262143328850 4095.875", time.Second, []any{base, base + 2_700_000_000}, "0 gap", "more than 1000 W"},
		{"nor is it in another unit", "intel-rapl:0 package-0 1000000001 262143328850 1023.96875", time.Second, []any{base, base + 2_700_000_000}, "0 gap", "more than 1000 W"},
		{"a reset is no wrap that such a limit allows", "intel-rapl:0 package-0 1000000001 65532610987 4095.875", 9 * time.Second, []any{uint64(50_000_000_000), 1_000_000}, "0 gap", ""},
		{"beyond it is not", "intel-rapl:0 package-0 1000000001 262143328850 700", time.Second, []any{base, base + 2_900_000_000}, "0 gap", "more than 1400 W"},
		{"an enormous limit is none", "intel-rapl:0 package-0 1000000001 - 9999999", time.Second, []any{base, base + 3_700_000_000}, "0 gap", "more than 1000 W"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := follow(t, c.tree, c.every, map[string][]any{"intel-rapl:0": c.steps})["package-0"]
			require.Equal(t, c.want, values(got))
			for _, r := range got {
				if r.Err != nil && !errors.Is(r.Err, power.ErrNoNews) {
					require.True(t, math.IsNaN(r.Value), "a failed reading has no value")
					require.ErrorContains(t, r.Err, "intel-rapl:0")
					require.ErrorContains(t, r.Err, c.says)
				}
			}
		})
	}
}

// TestZoneRemovedInMidRun: a zone whose directory goes is an error at once, even while
// somebody still writes to the file; one that comes back starts a new base; a
// file replaced by rename is followed.
func TestZoneRemovedInMidRun(t *testing.T) {
	layouts(t, func(t *testing.T, linked bool) {
		root := plant(t, trees["two sockets with dram"], linked)
		dir := filepath.Join(root, "class", "powercap", "intel-rapl", "intel-rapl:0")
		if linked {
			dir = filepath.Join(root, "devices", "virtual", "powercap", "intel-rapl", "intel-rapl:0")
		}
		energy := filepath.Join(dir, "energy_uj")
		synctest.Test(t, func(t *testing.T) {
			m, err := Open(root, metal)
			require.NoError(t, err)
			defer m.Close()
			got := map[string][]power.Reading{}
			read := func() {
				rs, err := m.Read(t.Context())
				require.NoError(t, err)
				for i, c := range m.Info().Channels {
					got[c.Name] = append(got[c.Name], rs[i])
				}
				time.Sleep(time.Second)
			}
			read()
			require.NoError(t, os.WriteFile(energy+".new", []byte("1100000001\n"), 0o644))
			require.NoError(t, os.Rename(energy+".new", energy))
			read()

			writer, err := os.OpenFile(energy, os.O_WRONLY, 0)
			require.NoError(t, err)
			defer writer.Close()
			require.NoError(t, os.RemoveAll(dir))
			_, err = writer.WriteString("1200000001\n")
			require.NoError(t, err)
			read()
			require.ErrorIs(t, got["package-0"][2].Err, fs.ErrNotExist)
			require.ErrorContains(t, got["package-0"][2].Err, "intel-rapl:0/energy_uj")

			for _, uj := range []string{"1300000001\n", "1350000001\n"} {
				require.NoError(t, os.MkdirAll(dir, 0o755))
				require.NoError(t, os.WriteFile(energy, []byte(uj), 0o644))
				read()
			}
			require.Equal(t, "0 100 gap 100 150", values(got["package-0"]))
			require.Equal(t, "0 0 gap gap gap", values(got["package-0-dram"]))
			require.Equal(t, "0 0 0 0 0", values(got["package-1-dram"]))
		})
	})
}

// TestOneSocketFails: a socket that cannot be read takes nothing from the other.
func TestOneSocketFails(t *testing.T) {
	got := follow(t, trees["two sockets with dram"], time.Second, map[string][]any{
		"intel-rapl:0": {1_000_000, syscall.EIO, syscall.EIO, 4_000_000},
		"intel-rapl:1": {1_000_000, 2_000_000, 3_000_000, 4_000_000},
	})
	require.Equal(t, "0 gap gap 0", values(got["package-0"]))
	require.Equal(t, "0 1 2 3", values(got["package-1"]))
	require.Equal(t, "0 0 0 0", values(got["package-1-dram"]))
}

// TestMirroredDies: two views of one counter that moves between the
// reads are one counter; two counters that happen to be near are two.
func TestMirroredDies(t *testing.T) {
	tree := `
		intel-rapl:0  package-0-die-0  1  65532610987  -
		intel-rapl:1  package-0-die-1  1  65532610987  -`
	for name, c := range map[string]struct {
		first, second []any
		want          int
	}{
		// Each list begins with the reads that open the zones.
		"one counter":                      {[]any{100, 120, 140}, []any{110, 130}, 1},
		"one counter wraps in the bracket": {[]any{90, uint64(small) - 10, 20, 40, 60}, []any{95, 10, 50}, 1},
		"two counters":                     {[]any{100, 120, 140}, []any{5110, 5130}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			s := &script{steps: map[string][]any{"intel-rapl:0": c.first, "intel-rapl:1": c.second}}
			m, err := open(plant(t, tree, true), metal, s.open)
			require.NoError(t, err)
			defer m.Close()
			require.Len(t, m.Info().Channels, c.want)
		})
	}
}

// TestMirrorThatShowsLater: two views of one counter that do not begin at the
// same value are told by counting the same, over and over; two sockets never do.
func TestMirrorThatShowsLater(t *testing.T) {
	tree := `
		intel-rapl:0  package-0-die-0  1000000001  262143328850  -
		intel-rapl:1  package-0-die-1  9000000001  262143328850  -`
	for name, c := range map[string]struct {
		ahead func(i int) int // µJ of the second before the first
		want  string
	}{
		"one counter":                   {func(int) int { return 8e9 }, "0 100 200 300 400 500 600 700 800 900" + strings.Repeat(" gap", 30)},
		"two that draw nearly the same": {func(i int) int { return 8e9 + i/2*61 }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var one, two []any
			for i := range 40 {
				uj := 1e9 + 1e8*i
				one, two = append(one, uj), append(two, uj+c.ahead(i))
			}
			got := follow(t, tree, time.Second, map[string][]any{"intel-rapl:0": one, "intel-rapl:1": two})
			require.NotContains(t, values(got["package-0-die-0"]), "gap")
			if c.want == "" {
				require.NotContains(t, values(got["package-0-die-1"]), "gap")
				return
			}
			require.Equal(t, c.want, values(got["package-0-die-1"]))
			require.ErrorContains(t, got["package-0-die-1"][39].Err, "it counts what intel-rapl:0 counts")
		})
	}
}

// TestMayStandStill: what is switched off may stand for ever; what is not, for
// a minute at most, be it in no total.
func TestMayStandStill(t *testing.T) {
	tree := `
		intel-rapl:0    package-0  1000000001  262143328850  -
		intel-rapl:0:0  core        500000001  262143328850  -
		intel-rapl:0:1  uncore        7000001  262143328850  -`
	got := follow(t, tree, 30*time.Second, map[string][]any{"intel-rapl:0": {1, 2, 3, 4}})
	require.Equal(t, "0 0 0 0", values(got["package-0-uncore"]))
	require.Equal(t, "0 0 0 gap", values(got["package-0-core"]))
}

// TestPermissionDenied: root-only counters are refused with a cure, and are
// not absent.
func TestPermissionDenied(t *testing.T) {
	for _, id := range []string{"intel-rapl:0", "intel-rapl:0:1"} {
		s := &script{steps: map[string][]any{id: {fs.ErrPermission}}}
		_, err := open(plant(t, trees["one socket"], true), metal, s.open)
		require.ErrorIs(t, err, fs.ErrPermission)
		require.NotErrorIs(t, err, power.ErrAbsent)
		require.ErrorContains(t, err, id+"/energy_uj")
		require.ErrorContains(t, err, "CVE-2020-8694")
		require.ErrorContains(t, err, "chmod g+r")
	}
}

// TestMode0400 meets the real thing: files that only root can read. Root
// repeats it as nobody, in a process of its own.
func TestMode0400(t *testing.T) {
	if root := os.Getenv("RAPL_TEST_ROOT"); root != "" {
		_, err := Open(root, metal)
		require.ErrorIs(t, err, fs.ErrPermission)
		require.ErrorContains(t, err, "CVE-2020-8694")
		return
	}
	root := plant(t, trees["one socket"], true)
	paths, err := filepath.Glob(filepath.Join(root, "devices/virtual/powercap/intel-rapl/*/energy_uj"))
	require.NoError(t, err)
	require.Len(t, paths, 1)
	if os.Geteuid() != 0 {
		require.NoError(t, os.Chmod(paths[0], 0))
		_, err := Open(root, metal)
		require.ErrorIs(t, err, fs.ErrPermission)
		return
	}
	require.NoError(t, os.Chmod(paths[0], 0o400))
	asNobody(t, "TestMode0400", root)
}

func TestNotes(t *testing.T) {
	m, err := Open(plant(t, trees["missing max"], true), metal)
	require.NoError(t, err)
	defer m.Close()
	notes := strings.Join(m.Info().Notes, "\n")
	for _, want := range []string{
		"total of boundary package: package-0",
		"read but in no total: package-0-core",
		"memory is not in the total",
		"package-0: max_energy_range_uj is missing",
		"read at least every 1m6s", // 262143 J ÷ 1000 W ÷ 4
		"windows of 1 s or more",
	} {
		require.Contains(t, notes, want)
	}
}

// TestCoreZone: on AMD the core zone is one core's, which the notes say; they
// claim nothing of a maker that is not known.
func TestCoreZone(t *testing.T) {
	for alias, want := range map[string]string{
		"cpu:type:x86,ven0002fam0019mod0001:feature:,0000,0001,0002,0003,0004,0005,0006": "package-0-core: of one core, the first of its package, and not of all",
		"cpu:type:x86,ven0009fam0018mod0001:feature:":                                    "of one core",
		"cpu:type:x86,ven0000fam0006mod0055:feature:":                                    "",
		"": "package-0-core: of all cores on Intel, and on AMD of one core",
	} {
		root := plant(t, trees["one socket"], true)
		if alias != "" {
			dir := filepath.Join(root, "devices", "system", "cpu")
			require.NoError(t, os.MkdirAll(dir, 0o755))
			require.NoError(t, os.WriteFile(filepath.Join(dir, "modalias"), []byte(alias+"\n"), 0o644))
		}
		m, err := Open(root, metal)
		require.NoError(t, err)
		notes := strings.Join(m.Info().Notes, "\n")
		if require.NoError(t, m.Close()); want == "" {
			require.NotContains(t, notes, "one core")
		} else {
			require.Contains(t, notes, want)
		}
	}
}

// TestLimit: a field of which all bits are set is no limit, in any unit.
func TestLimit(t *testing.T) {
	for uw, want := range map[uint64]float64{
		150_000_000: 150, 1_000_000: 1, 127_500_000: 127.5, 255_000_000: 255, 4_095_000_000: 4095, 600_125_000: 600.125,
		0: 0, 4_095_875_000: 0, 8_191_750_000: 0, 2_047_937_500: 0, 1_023_968_750: 0, 32_767_875_000: 0, 131_071_875_000: 0,
	} {
		got, ok := limit(uw)
		require.Equal(t, want > 0, ok, uw)
		require.Equal(t, want, got, uw)
	}
}

func TestFaults(t *testing.T) {
	for _, most := range []uint64{big, small} {
		t.Run(fmt.Sprint(most), func(t *testing.T) {
			powertest.TestFaults(t, func(t *testing.T) powertest.Rig { return rig(t, most) })
		})
	}
}

// rig is a package that draws RigWatts, and wraps after 4 s.
func rig(t *testing.T, most uint64) powertest.Rig {
	root := plant(t, fmt.Sprintf("intel-rapl:0 package-0 1 %d -", most), true)
	energy := filepath.Join(root, "devices", "virtual", "powercap", "intel-rapl", "intel-rapl:0", "energy_uj")
	var since time.Duration // the counter's start
	base := most - 4.5*powertest.RigWatts*1e6
	count := func(at time.Duration) uint64 {
		return (base + uint64(powertest.RigWatts*1e6*(at-since).Seconds())) % most
	}
	says := func(text string) func(time.Duration) {
		return func(time.Duration) { require.NoError(t, os.WriteFile(energy, []byte(text+"\n"), 0o644)) }
	}
	return powertest.Rig{
		Open: func(now func() time.Time) (power.Meter, error) {
			m, err := Open(root, metal)
			return stamped{m, now}, err
		},
		Set: func(at time.Duration) { says(fmt.Sprint(count(at)))(at) },
		Break: map[string]func(time.Duration){
			"wrong type":  says("12 joules"),
			"negative":    says("-1"),
			"nan":         says(""),
			"zero":        says("0"),
			"absurd jump": func(at time.Duration) { says(fmt.Sprint(count(at) * 1e6))(at) },
			"vanish":      func(time.Duration) { os.Remove(energy) },
			"restart": func(at time.Duration) {
				os.Remove(energy)
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
	m, err := Open(plant(b, trees["two sockets with dram"], true), metal)
	require.NoError(b, err)
	defer m.Close()
	for _, z := range m.(*meter).zones {
		z.track.Bound.Stale, z.track.Bound.Moves = never, false // these files never move
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.Read(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

// TestGuest: what a hypervisor provides was measured by nobody here, whatever
// the zones are called.
func TestGuest(t *testing.T) {
	const guest, metal = "fpu vme sse2 hypervisor avx2", "fpu vme sse2 avx2"
	for name, c := range map[string]struct {
		flags, path, text string // of the processor; of a file beside the zones
		want              results.Origin
		note              bool
	}{
		"a guest's own tree":       {guest, "kernel/uevent_seqnum", "7", results.Modelled, true},
		"a machine's own tree":     {metal, "kernel/uevent_seqnum", "7", results.Measured, false},
		"no procfs":                {"", "kernel/uevent_seqnum", "7", results.Measured, false},
		"a copy, seen in a guest":  {guest, "", "", results.Measured, true},
		"a copy of QEMU's":         {metal, "class/dmi/id/sys_vendor", "QEMU", results.Modelled, true},
		"a copy of VMware's":       {metal, "class/dmi/id/product_name", "VMware Virtual Platform", results.Modelled, true},
		"a copy of Red Hat's":      {metal, "class/dmi/id/product_name", "KVM", results.Modelled, true},
		"a copy of OpenStack's":    {metal, "class/dmi/id/sys_vendor", "OpenStack Foundation", results.Modelled, true},
		"a copy of Microsoft's":    {metal, "class/dmi/id/sys_vendor", "Microsoft Corporation", results.Measured, false},
		"a copy of a server's":     {metal, "class/dmi/id/sys_vendor", "Dell Inc.", results.Measured, false},
		"a copy of a KVM guest's":  {metal, "devices/system/clocksource/clocksource0/available_clocksource", "kvm-clock tsc acpi_pm", results.Modelled, true},
		"a copy of a Xen domain's": {metal, "hypervisor/type", "xen", results.Modelled, true},
	} {
		t.Run(name, func(t *testing.T) {
			root, proc := plant(t, trees["two sockets with dram"], true), t.TempDir()
			require.NoError(t, os.WriteFile(filepath.Join(proc, "cpuinfo"), []byte("processor\t: 0\nmodel name\t: hypervisor: a CPU\nflags\t\t: "+c.flags+"\n"), 0o644))
			if c.path != "" {
				require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(root, c.path)), 0o755))
				require.NoError(t, os.WriteFile(filepath.Join(root, c.path), []byte(c.text+"\n"), 0o644))
			}
			m, err := Open(root, proc)
			require.NoError(t, err)
			defer m.Close()
			for _, ch := range m.Info().Channels {
				require.Equal(t, c.want, ch.Origin)
			}
			require.Equal(t, c.note, strings.Contains(strings.Join(m.Info().Notes, "\n"), "the hypervisor provides them"))
		})
	}
}
