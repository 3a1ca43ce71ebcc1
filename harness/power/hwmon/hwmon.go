// Package hwmon reads the power and energy sensors that Linux drivers expose
// under /sys/class/hwmon (Documentation/hwmon/sysfs-interface).
//
// A hwmon device can be anything: the input of a server, a socket, a graphics
// card, one rail of a regulator. A channel has a Total only if the documentation
// of its driver states that it covers the CPU packages or more, and only one
// source per boundary has it, or a whole card, which it names by its PCI address;
// everything else is read but not added. An energy
// counter is preferred to a power reading of the same place, and both are read:
// a counter that does not count must not cost the power reading.
//
// The name of a driver says little. Its label, or the firmware's text of an ACPI
// meter, describes the quantity. The output of a supply is not its input, and a
// rail, a module or one of several supplies is never a total.
//
// Drivers cache. The ACPI meter keeps showing its last value when the firmware
// stops answering (drivers/hwmon/acpi_power_meter.c, show_power), so a value that
// stands still is an error by the rules of [power.Track].
package hwmon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/perwatt/perwatt/harness/power"
	"github.com/perwatt/perwatt/results"
)

// sensorsMost bounds the number of sensors of one tree. A socket has up to
// hundreds of per-core counters.
const sensorsMost = 4096

// place describes the sensors of a driver that match a label.
type place struct {
	label    *regexp.Regexp   // nil for any, and for none
	boundary results.Boundary // empty: that of parts
	total    results.Boundary
	note     string // for the record
	out      string // why they are left out
}

func labelled(pattern string) *regexp.Regexp { return regexp.MustCompile(`(?i)` + pattern) }

const (
	apu  = "on an APU this includes the CPU"
	soc  = "the power of its chip, as its driver has it: on some cards the memory and the board's losses are not in it"
	tile = "one tile of a card: in no total"
)

// places is by driver name: the first entry whose label matches applies, and
// then those of [parts].
var places = map[string][]place{
	// ACPI 4.0 §10.4: the platform's own meter, more often the telemetry of the
	// supplies than a meter at the cord, so psu and not wall. A platform may have
	// several for its parts, which the firmware's text tells apart (NVIDIA Grace:
	// "Module Power Socket 0", which on a GH200 includes the GPU, "Grace Power
	// Socket 0", "CPU Power Socket 0", "SysIO Power Socket 0").
	"power_meter": {
		{label: labelled(`^grace power socket [0-9]+$`), boundary: results.Package, total: results.Package, note: "one socket"},
		{label: power.LabelOutput, boundary: results.Board, note: "output of the supplies, not what they draw: in no total"},
		{label: power.LabelOneOf, boundary: results.PSU, note: "one of several: in no total"},
		{label: power.LabelRail, note: "a part: in no total"},
		{label: power.LabelPart, note: "a part: in no total"},
		{boundary: results.PSU, total: results.PSU},
	},
	// Corsair HXi and RMi supplies: "power total" includes the rails and is the
	// output of the supply. Its input is not available.
	"corsairpsu": {
		{label: labelled(`^power total$`), boundary: results.Board, total: results.Board, note: "output of the supply, which draws more than it gives"},
	},
	// AMD sockets. Cores (Ecore000 …) lie inside their socket.
	"amd_energy": {
		{label: labelled(`^Esocket[0-9]+$`), boundary: results.Package, total: results.Package},
		{out: "it lies inside another"},
	},
	"amd_hsmp_hwmon": {{boundary: results.Package, total: results.Package}},
	// The platform's own sensors, named as in its device tree: System includes
	// Chip and its rails.
	"ibmpowernv": {{label: labelled(`^system$`), boundary: results.Chassis, total: results.Chassis}},
	// Apple's controller: Total System Power includes the rails. AC Input Power
	// also charges the battery, if there is one.
	"macsmc_hwmon": {{label: labelled(`^total system power$`), boundary: results.Board, total: results.Board}},
	// Documentation/gpu/amdgpu/thermal.rst. An APU has two readings of its own
	// power, averaged over a longer and a shorter time.
	"amdgpu": {
		{label: labelled(`^(slow|fast)PPT$`), boundary: results.Package, note: "the whole APU, by its limit for longer or shorter loads: both are of the same watts"},
		{boundary: results.Card, total: results.Cards, note: soc},
	},
	// Documentation/ABI/testing/sysfs-driver-intel-i915-hwmon: of the entire device,
	// and of its tiles under other names. That of xe names the card and its package.
	"i915":    {{boundary: results.Card, total: results.Cards}},
	"i915_gt": {{boundary: results.Card, note: tile}},
	"xe": {
		{label: labelled(`^(card)?$`), boundary: results.Card, total: results.Cards},
		{boundary: results.Card, note: "a part of a card: in no total"},
	},
	"nouveau": {{boundary: results.Card}},
}

// supplies are the PMBus drivers of power supplies, by the names of their i2c
// devices (drivers/hwmon/pmbus). The input of such a supply is labelled pin and is
// at the boundary of the supplies; its output is pout and feeds the board. No
// driver says how many supplies feed the node, so there is no total.
var supplies = regexp.MustCompile(`^(acbel_fsg032|bp[ad]-rs600|dps920ab|ibm_cffps[12]?|intel_crps185|ipsps1|pfe1100|pfe3000|ym2151e)$`)

var supply = []place{{label: labelled(`^pin1?$`), boundary: results.PSU, note: "one supply: in no total, for no driver knows how many feed the node"}}

// parts is by label, for any driver. None is a total.
var parts = []place{
	{label: labelled(`dissipated`), out: "it is heat, worked out of a flow and two temperatures"},
	{label: power.LabelOutput, boundary: results.Board},
	{label: labelled(`module|blade|sled`), boundary: results.Board},
	{label: labelled(`dram|dimm|ddr|\bmem(ory)?\b|hbm`), boundary: results.Memory},
	{label: labelled(`gpu|vram|gfx|graphics`), boundary: results.Card},
	{label: labelled(`cpu|processor|vcore|core|socket|package|\bsoc\b`), boundary: results.Package},
	{boundary: results.Board},
}

// placed returns the place of a driver's sensor with a label.
func placed(driver, label string) place {
	known := places[driver]
	switch {
	case supplies.MatchString(driver):
		known = supply
	case strings.HasPrefix(driver, "i915_gt"): // one of its tiles
		known = places["i915_gt"]
	}
	fits := func(p place) bool { return p.label == nil || p.label.MatchString(label) }
	var as place
	if i := slices.IndexFunc(known, fits); i >= 0 {
		as = known[i]
	}
	if i := slices.IndexFunc(parts, fits); as.boundary == "" && as.out == "" {
		note := as.note
		as = parts[i] // the last entry matches any label
		as.note = cmp.Or(as.note, note)
	}
	return as
}

// cardMost is more than any card draws, in W. Some versions of amdgpu print a
// negative error code as an unsigned number of µW: 4294.97 W.
const cardMost = 3000

// prefer is the order of preference if two drivers claim one total.
var prefer = []string{"power_meter", "ibmpowernv", "corsairpsu", "macsmc_hwmon", "amd_energy", "amd_hsmp_hwmon"}

// sensor is one attribute.
type sensor struct {
	dir    string // hwmon3
	driver string
	attr   string // energy1_input, power1_average
	label  string
	card   string // PCI address, of a card
	path   string
	energy bool
	track  power.Track
}

type meter struct {
	info    power.Info
	open    power.Opener
	sensors []*sensor
	cards   []card
	done    bool
}

// Open finds the sensors under the sysfs root, usually /sys. It wraps
// [power.ErrAbsent] if there are none. Sensors that may not be read are a
// different error, which names the file and the remedy.
func Open(root string) (power.Meter, error) {
	return open(root, power.OpenFile)
}

func open(root string, opener power.Opener) (power.Meter, error) {
	class := filepath.Join(root, "class", "hwmon")
	entries, err := list(class)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("hwmon: no %s: %w", class, power.ErrAbsent)
	case err != nil:
		return nil, fmt.Errorf("hwmon: list the sensors: %w", err)
	}
	m := &meter{open: opener, info: power.Info{Name: "hwmon", Source: class}}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { // hwmon2 before hwmon10
		return cmp.Or(cmp.Compare(len(a.Name()), len(b.Name())), cmp.Compare(a.Name(), b.Name()))
	})
	for _, e := range entries {
		if len(m.sensors) < sensorsMost {
			m.device(class, e.Name())
		}
	}
	err = m.settle()
	if late := power.Late(class); late != nil { // it may have been part of a total
		err = fmt.Errorf("hwmon: %w", late)
	}
	if err != nil {
		return nil, err
	}
	return m, nil
}

func list(dir string) ([]fs.DirEntry, error) {
	return power.Timely(dir, func() ([]fs.DirEntry, error) { return os.ReadDir(dir) })
}

func (m *meter) Info() power.Info { return m.info }

func (m *meter) Read(ctx context.Context) ([]power.Reading, error) {
	if m.done {
		return nil, fmt.Errorf("hwmon: read %s: %w", m.info.Source, os.ErrClosed)
	}
	out := make([]power.Reading, len(m.sensors))
	for i, s := range m.sensors {
		if err := ctx.Err(); err != nil { // a driver may be slow
			return nil, err
		}
		out[i] = s.reading(m.open)
	}
	return out, nil
}

func (m *meter) Close() error {
	m.done = true
	return nil
}

// reading is the sensor's value in J since the first good reading, or in W.
func (s *sensor) reading(open power.Opener) power.Reading {
	raw, at, err := s.read(open)
	v, err := s.track.Take(power.Quantity{Value: float64(raw) / 1e6, Err: err}, at)
	if err != nil && !errors.Is(err, power.ErrNoNews) {
		err = fmt.Errorf("hwmon: %s: %w", s.path, err)
	}
	return power.Reading{At: at, Value: v, Err: err}
}

// read returns the raw value in µJ or µW and the instant just after it was read.
func (s *sensor) read(open power.Opener) (uint64, time.Time, error) {
	return power.ReadMicro(open, s.path)
}

var attribute = regexp.MustCompile(`^(power|energy)([0-9]{1,6})_(input|average)$`)

// device adds the sensors of one hwmon directory. Drivers of the old style, such
// as the ACPI meter, keep their files one level down, in device.
func (m *meter) device(class, name string) {
	dir := filepath.Join(class, name)
	driver, err := m.text(filepath.Join(dir, "name"))
	if err != nil {
		dir = filepath.Join(dir, "device")
		if driver, err = m.text(filepath.Join(dir, "name")); err != nil {
			return
		}
	}
	entries, err := list(dir)
	if err != nil {
		m.note("left out %s (%s): %v", name, driver, err)
		return
	}
	if kind, err := m.text(filepath.Join(class, name, "device", "type")); err == nil && kind == "Battery" { // of drivers/power/supply
		m.note("left out %s (%s): it measures a battery", name, driver)
		return
	}
	at := ""
	if places[driver] != nil || strings.HasPrefix(driver, "i915_gt") {
		if at = address(class, name); at != "" {
			m.addCard(class, name, driver, at)
		}
	}
	type slot struct{ energy, input, average *sensor }
	slots, numbers := map[int]*slot{}, []int{}
	for _, e := range entries {
		part := attribute.FindStringSubmatch(e.Name())
		if part == nil {
			continue
		}
		n, _ := strconv.Atoi(part[2])
		stem := filepath.Join(dir, part[1]+part[2])
		label := m.words(stem + "_label")
		if driver == "power_meter" {
			label = m.words(stem + "_oem_info")
		}
		s := &sensor{dir: name, driver: driver, attr: e.Name(), label: label, card: at, path: filepath.Join(dir, e.Name()), energy: part[1] == "energy"}
		if on, err := m.text(stem + "_enable"); err == nil && on == "0" {
			m.note("left out %s/%s (%s): it is disabled (%s_enable is 0)", name, s.attr, driver, part[1]+part[2])
			continue
		}
		if battery, err := m.text(stem + "_is_battery"); err == nil && battery == "1" {
			m.note("left out %s/%s (%s): it measures a battery", name, s.attr, driver)
			continue
		}
		if slots[n] == nil {
			slots[n], numbers = &slot{}, append(numbers, n)
		}
		switch {
		case s.energy:
			slots[n].energy = s
		case part[3] == "input":
			slots[n].input = s
		default:
			slots[n].average = s
		}
	}
	slices.Sort(numbers)
	for _, n := range numbers {
		s := slots[n]
		watts := s.input
		// The average replaces a missing instantaneous value, or one that the driver
		// lists but the hardware lacks.
		if s.average != nil && (watts == nil || m.silent(watts)) {
			watts = s.average
			over := "an interval that the driver does not state"
			if ms, _, err := power.ReadMicro(m.open, filepath.Join(dir, fmt.Sprintf("power%d_average_interval", n))); err == nil && ms > 0 {
				watts.track.Period = time.Duration(min(ms, 3_600_000)) * time.Millisecond
				over = watts.track.Period.String()
			}
			m.note("%s/%s (%s) is an average over %s", name, watts.attr, driver, over)
		}
		if s.energy != nil && watts != nil && (watts.label == "" || s.energy.label == "" || watts.label == s.energy.label) {
			m.note("%s/%s (%s) stands in for %s of the same place if that counts nothing", name, watts.attr, driver, s.energy.attr)
			watts.track.Channel.Place = fmt.Sprintf("%s-%d", name, n)
			s.energy.track.Channel.Place = watts.track.Channel.Place
		}
		for _, s := range []*sensor{s.energy, watts} {
			if s != nil {
				m.add(s, dir)
			}
		}
	}
}

// silent reports whether a sensor returns no plausible power.
func (m *meter) silent(s *sensor) bool {
	at := cmp.Or(placed(s.driver, s.label).boundary, results.Board)
	most := at.Most()
	if at == results.Card {
		most = cardMost
	}
	uw, _, err := s.read(m.open)
	return err != nil || at.Unbelievable(float64(uw)/1e6, at.Least(), most) != ""
}

// accuracy reads the accuracy of ACPI 4.0 §10.4.1: percent of being right. The
// kernel prints the thousandths of a percent after the point without leading
// zeros (drivers/hwmon/acpi_power_meter.c, show_accuracy), so 95.50% is 95.050 %.
func accuracy(text string) (gain float64, ok bool) {
	whole, milli, _ := strings.Cut(strings.TrimSuffix(text, "%"), ".")
	n, err := strconv.ParseUint(whole, 10, 32)
	f, err2 := strconv.ParseUint(cmp.Or(milli, "0"), 10, 32)
	gain = 1 - (float64(n)+float64(f)/1000)/100
	return gain, err == nil && err2 == nil && f < 1000 && gain > 0 && gain < 1
}

// add assigns a sensor its boundary.
func (m *meter) add(s *sensor, dir string) {
	p := placed(s.driver, s.label)
	if p.out != "" {
		m.note("left out %s/%s (%s %s): %s", s.dir, s.attr, s.driver, s.label, p.out)
		return
	}
	if s.driver == "power_meter" {
		switch of := m.measured(dir); {
		case !of:
			p = place{boundary: results.Board, note: "it measures some devices only: in no total"}
		case s.label != "":
			p.note = strings.TrimPrefix(fmt.Sprintf("%s; its firmware calls it %.60q", p.note, s.label), "; ")
		}
	}
	if p.total == results.Cards && (s.card == "" || s.driver == "amdgpu" && !m.discrete(dir)) {
		if p.total = ""; s.driver == "amdgpu" {
			p.note = apu
		}
	}
	if p.note != "" {
		m.note("%s/%s (%s): %s", s.dir, s.attr, s.driver, p.note)
	}
	c := &s.track.Channel
	*c = results.Channel{
		Unit: results.Watt, Kind: results.Gauge, Boundary: p.boundary, Place: c.Place, Total: p.total, Origin: results.Measured,
		Accuracy: results.Accuracy{Gain: results.Absent(), Resolution: results.Absent(), Source: "not stated by the driver"},
	}
	if s.energy {
		c.Unit, c.Kind = results.Joule, results.Counter
		s.track.Bound.Moves = p.total != "" && p.total != results.Cards // a socket leaks; a card may be off
	} else if text, err := m.text(filepath.Join(dir, strings.TrimSuffix(strings.TrimSuffix(s.attr, "_input"), "_average")+"_accuracy")); err == nil {
		if gain, ok := accuracy(text); ok {
			c.Accuracy.Gain, c.Accuracy.Source = results.Float(gain), "stated by the firmware (ACPI _PMC): "+text
		}
	}
	if p.boundary == results.Card {
		s.track.Bound.Watts, c.Card = cardMost, s.card
	}
	m.sensors = append(m.sensors, s)
}

// measured reports whether an ACPI meter measures the whole system rather than a
// part. ACPI 4.0 §10.4.7, _PMD: the devices measured; the root of the namespace,
// or nothing, for everything.
func (m *meter) measured(dir string) bool {
	for _, d := range []string{dir, filepath.Join(dir, "device")} {
		entries, err := list(filepath.Join(d, "measures"))
		if err == nil {
			return !slices.ContainsFunc(entries, func(e fs.DirEntry) bool {
				return !strings.HasPrefix(e.Name(), "LNXSYSTM") && !strings.HasPrefix(e.Name(), "LNXSYBUS")
			})
		}
	}
	return true
}

// settle leaves one source for each total, names the channels, and finds out which
// can be read.
func (m *meter) settle() error {
	refuses := map[*sensor]error{} // why a sensor returns no plausible value
	m.sensors = slices.DeleteFunc(m.sensors, func(s *sensor) bool {
		raw, _, err := s.read(m.open)
		if c, why := s.track.Channel, ""; err == nil && !s.energy {
			if why = c.Boundary.Unbelievable(float64(raw)/1e6, c.LeastWatts(), cmp.Or(s.track.Bound.Watts, c.Boundary.Most())); why != "" {
				err = errors.New(why)
			}
		}
		refuses[s] = err
		if dead := s.energy && err == nil && raw == 0; dead {
			m.note("left out %s/%s (%s): it reads 0 since boot: this machine does not count it", s.dir, s.attr, s.driver)
			return true
		}
		return false
	})
	source := map[results.Boundary]string{} // driver
	for _, alive := range []bool{true, false} {
		for _, driver := range prefer {
			for _, s := range m.sensors {
				if t := s.track.Channel.Total; t != "" && s.driver == driver && source[t] == "" && (refuses[s] == nil || !alive) {
					source[t] = driver
				}
			}
		}
	}
	whole := map[results.Boundary]int{} // places that each claim to be the whole
	for i, s := range m.sensors {
		same := func(o *sensor) bool {
			return s.track.Channel.Place != "" && o.track.Channel.Place == s.track.Channel.Place
		}
		if t := s.track.Channel.Total; t != "" && t != results.Package && t != results.Cards && source[t] == s.driver && !slices.ContainsFunc(m.sensors[:i], same) {
			whole[t]++
		}
	}
	sources := map[string]*sensor{} // of the total of each card
	var totals, kept []*sensor
	var denied error
	names := map[string]bool{}
	for _, s := range m.sensors {
		switch t := s.track.Channel.Total; {
		case t == results.Cards:
			first := sources[s.card]
			if sources[s.card] = cmp.Or(first, s); first != nil && (s.track.Channel.Place == "" || first.track.Channel.Place != s.track.Channel.Place) {
				m.note("%s/%s (%s) is in no total: %s is of the same card", s.dir, s.attr, s.driver, first.attr)
				s.track.Channel.Total = ""
			}
		case t != "" && (source[t] != s.driver || whole[t] > 1):
			m.note("%s/%s (%s) is in no total: more than one sensor claims to be the %s", s.dir, s.attr, s.driver, t)
			s.track.Channel.Total = ""
		}
		if err := refuses[s]; errors.Is(err, fs.ErrPermission) {
			err = refused(err)
			if t := s.track.Channel.Total; t != "" && t != results.Cards {
				return err
			}
			denied = err
			m.note("left out %s/%s (%s): %v", s.dir, s.attr, s.driver, err)
			continue
		}
		s.track.Channel.Name = s.driver + "-" + cmp.Or(strings.ReplaceAll(s.label[:min(len(s.label), 56)], " ", "-"), s.attr)
		if names[s.track.Channel.Name] && s.track.Channel.Place != "" && !s.energy {
			s.track.Channel.Name += "-power"
		}
		if names[s.track.Channel.Name] {
			s.track.Channel.Name += "@" + s.dir
		}
		if names[s.track.Channel.Name] {
			s.track.Channel.Name += "-" + s.attr
		}
		names[s.track.Channel.Name] = true
		if s.track.Channel.Total != "" {
			totals = append(totals, s)
		}
		kept = append(kept, s)
	}
	m.sensors = kept
	switch {
	case len(kept) == 0 && denied != nil:
		return denied
	case len(kept) == 0 && len(m.info.Notes) > 0:
		return fmt.Errorf("hwmon: no sensor of use under %s (%s): %w", m.info.Source, strings.Join(m.info.Notes, "; "), power.ErrAbsent)
	case len(kept) == 0:
		return fmt.Errorf("hwmon: no power or energy sensor under %s: %w", m.info.Source, power.ErrAbsent)
	case !slices.ContainsFunc(totals, func(s *sensor) bool { return s.track.Channel.Total != results.Cards }):
		m.note("no sensor surely covers the CPU packages: there is no total")
	}
	for _, s := range totals {
		m.note("total of boundary %s: %s (%s/%s)", s.track.Channel.Total, s.track.Channel.Name, s.dir, s.attr)
	}
	for _, s := range kept {
		m.info.Channels = append(m.info.Channels, s.track.Channel)
	}
	return nil
}

func (m *meter) note(format string, args ...any) {
	m.info.Notes = append(m.info.Notes, fmt.Sprintf(format, args...))
}

func (m *meter) text(path string) (string, error) { return power.ReadAttr(m.open, path) }

// words returns the first 200 bytes of a label in one line, with ? for what is not
// printable; empty if it cannot be read.
func (m *meter) words(path string) string {
	text, err := power.ReadHead(m.open, path, 200) // firmware may write more than a driver does
	if err != nil {
		return ""
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, strings.Join(strings.Fields(string(text)), " "))
}

// refused adds the remedy for a sensor that may not be read.
func refused(err error) error {
	return fmt.Errorf("hwmon: %w: run as root, or give the file to a trusted group (chgrp and chmod g+r, at every boot by a udev rule on SUBSYSTEM==\"hwmon\")", err)
}
