package hwmon

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/perwatt/perwatt/harness/power"
	"github.com/perwatt/perwatt/results"
)

// card is a graphics card whose driver has a hwmon device, and the files of its
// state.
type card struct {
	address string // PCI
	name    string // of its hwmon device
	files   []stateFile

	metrics string     // path of amdgpu's gpu_metrics; empty if it has none
	last    throttling // what was read there
}

// stateFile is one attribute and what its text says of a card.
type stateFile struct {
	path string
	take func(c *power.Card, text string)
}

// Cards implements [power.CardMeter]. What amdgpu counts of a limit holds since the
// last call.
func (m *meter) Cards(ctx context.Context) []power.Card {
	out := make([]power.Card, len(m.cards))
	for i := range m.cards {
		c := &m.cards[i]
		s := power.UnknownCard(c.address)
		var failed error
		good := 0
		for _, f := range c.files {
			if ctx.Err() != nil {
				failed, good = ctx.Err(), 0
				break
			}
			text, err := m.text(f.path)
			if failed = cmp.Or(failed, err); err == nil {
				f.take(&s, text)
				good++
			}
		}
		if c.metrics != "" && good > 0 {
			var now throttling // nothing, if the file cannot be read or is of another kind
			if data, err := power.ReadHead(m.open, c.metrics, metricsMost); err == nil {
				now, _ = parseMetrics(data)
			}
			s.Held, c.last = now.since(c.last), now
		}
		if s.At = time.Now(); good == 0 && failed != nil {
			s.Err = fmt.Errorf("hwmon: %s: %w", c.name, failed)
		}
		out[i] = s.Believable()
	}
	return out
}

// address is the PCI address, as 0000:3b:00.0, of the device that a hwmon device
// belongs to; empty if that is another device, or none.
func address(class, name string) string {
	at, err := power.Timely(class, func() (string, error) { return filepath.EvalSymlinks(filepath.Join(class, name, "device")) })
	if base := filepath.Base(at); err == nil && pci.MatchString(base) {
		return base
	}
	return ""
}

var pci = regexp.MustCompile(`^[0-9a-f]{4,8}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]$`)

// mi300a is the PCI device of AMD's MI300A, which is a CPU and a GPU in one socket.
const mi300a = "0x74a0"

// discrete reports whether an amdgpu is a card of its own. The driver has a power
// limit for those alone, and for two kinds of APU, of which one has labels of its own
// (drivers/gpu/drm/amd/pm/amdgpu_pm.c, hwmon_attributes_visible).
func (m *meter) discrete(dir string) bool {
	_, err := m.text(filepath.Join(dir, "power1_cap"))
	id, _ := m.text(filepath.Join(dir, "device", "device"))
	return err == nil && id != mi300a
}

// number is a decimal attribute in units of the given size.
func number(unit float64, set func(c *power.Card, v results.Float)) func(*power.Card, string) {
	return func(c *power.Card, text string) {
		if n, err := strconv.ParseUint(text, 10, 64); err == nil {
			set(c, results.Float(float64(n)*unit))
		}
	}
}

// holds is an attribute that is 1 while something holds the clocks back.
func holds(by string) func(*power.Card, string) {
	return func(c *power.Card, text string) {
		if c.Held == nil {
			c.Held = []string{}
		}
		if text == "1" && !slices.Contains(c.Held, by) {
			c.Held = append(c.Held, by)
		}
	}
}

// memoryErrors reads two lines, of errors that were not corrected and of others
// (Documentation/gpu/amdgpu/ras.rst).
func memoryErrors(c *power.Card, text string) {
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		n, err := strconv.ParseUint(strings.TrimSpace(value), 10, 64)
		switch {
		case err != nil:
		case key == "ue":
			c.Uncorrected = results.Float(n)
		case key == "ce":
			c.Corrected = results.Float(n)
		}
	}
}

// reasons are the names under which xe and i915 say what holds the clocks back: the
// power limits, of a package over a long and a short time and of the current, the
// limit of a regulator's current, heat of the chip and of a regulator, and the board's
// PROCHOT line.
var reasons = map[string]string{
	"pl1": results.HeldByPower, "pl2": results.HeldByPower, "pl4": results.HeldByPower, "vr_tdc": results.HeldByPower,
	"thermal": results.HeldByHeat, "ratl": results.HeldByHeat, "vr_thermalert": results.HeldByHeat,
	"prochot": results.HeldByHardware,
}

// slowest is the clock of one of several tiles, in MHz: a card is as fast as the slowest
// of them. A tile that sleeps has 0.
func slowest(c *power.Card, text string) {
	number(1e6, func(c *power.Card, v results.Float) {
		if v > 0 && !(v >= c.Clock) {
			c.Clock = v
		}
	})(c, text)
}

// tilesMost is how many tiles of a card are looked at; Data Center GPU Max has two.
const tilesMost = 16

// tiles are the places, below an xe device, of the clock of each tile: of its first GT,
// because a second one is for media (drivers/gpu/drm/xe/xe_gt_freq.c).
func (m *meter) tiles(device string) (places []string) {
	numbered := func(dir, prefix string) (names []string) {
		entries, _ := list(dir)
		for _, e := range entries {
			if n, err := strconv.ParseUint(strings.TrimPrefix(e.Name(), prefix), 10, 8); err == nil && e.Name() == fmt.Sprint(prefix, n) {
				names = append(names, e.Name())
			}
		}
		slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) })
		return names
	}
	for _, tile := range numbered(device, "tile") {
		if gts := numbered(filepath.Join(device, tile), "gt"); len(gts) > 0 && len(places) < tilesMost {
			places = append(places, filepath.Join(tile, gts[0], "freq0"))
		}
	}
	return places
}

// addCard finds the files of the state of a card, once a card.
func (m *meter) addCard(class, name, driver, at string) {
	if slices.ContainsFunc(m.cards, func(c card) bool { return c.address == at }) {
		return
	}
	dir := filepath.Join(class, name)
	c := card{address: at, name: name}
	add := func(take func(*power.Card, string), parts ...string) {
		path := filepath.Join(append([]string{dir}, parts...)...)
		if _, err := m.text(path); err == nil {
			c.files = append(c.files, stateFile{path, take})
		}
	}
	clock := func(c *power.Card, v results.Float) { c.Clock = v }
	limit := func(c *power.Card, v results.Float) { c.Limit = v }
	shipped := func(c *power.Card, v results.Float) { c.Default = v }
	switch driver {
	case "amdgpu": // Documentation/gpu/amdgpu/thermal.rst
		add(number(1e-6, limit), "power1_cap")
		add(number(1e-6, shipped), "power1_cap_default")
		for n, set := range []func(*power.Card, results.Float){clock, func(c *power.Card, v results.Float) { c.MemoryClock = v }} {
			if label := m.words(filepath.Join(dir, fmt.Sprintf("freq%d_label", n+1))); label == []string{"sclk", "mclk"}[n] {
				add(number(1, set), fmt.Sprintf("freq%d_input", n+1))
			}
		}
		add(memoryErrors, "device", "ras", "umc_err_count")
		path := filepath.Join(dir, "device", "gpu_metrics")
		if _, err := power.ReadHead(m.open, path, metricsMost); err == nil {
			c.metrics = path
		}
	case "xe", "i915": // Documentation/ABI/testing/sysfs-driver-intel-xe-hwmon, -i915-hwmon
		add(number(1e-6, limit), "power1_max")
		add(number(1e-6, shipped), "power1_rated_max")
		places, throttle, frequency := m.tiles(filepath.Join(dir, "device")), "throttle/reason_", "act_freq"
		if driver == "i915" {
			drm, _ := list(filepath.Join(dir, "device", "drm"))
			i := slices.IndexFunc(drm, func(e fs.DirEntry) bool { return strings.HasPrefix(e.Name(), "card") })
			if i < 0 {
				break
			}
			places = []string{filepath.Join("drm", drm[i].Name(), "gt", "gt0")}
			throttle, frequency = "throttle_reason_", "rps_act_freq_mhz"
		}
		for _, at := range places {
			add(slowest, "device", at, frequency)
			for reason, by := range reasons {
				add(holds(by), "device", at, throttle+reason)
			}
		}
	default:
		return
	}
	hottest := number(1e-3, func(c *power.Card, v results.Float) {
		if kelvin := v + 273.15; !(kelvin <= c.Temperature) {
			c.Temperature = kelvin
		}
	})
	for n := 1; n <= 8; n++ {
		add(hottest, fmt.Sprintf("temp%d_input", n))
	}
	m.cards = append(m.cards, c)
}
