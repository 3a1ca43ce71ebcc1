// Package hwmon reads the power and energy sensors that Linux drivers expose
// under /sys/class/hwmon (Documentation/hwmon/sysfs-interface).
//
// Anything can sit there: a whole server's input, a socket, a graphics card,
// one rail of a regulator. A channel is given a Total only where the driver's
// documentation says that it covers the CPU packages or more, and only one
// source for each boundary; everything else is read and added to nothing. An
// energy counter is preferred to a power reading of the same thing.
package hwmon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
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

// sensorsMost bounds what is listed from one tree. A socket has up to hundreds
// of per-core counters.
const sensorsMost = 4096

// place is what is known of a driver's sensors.
type place struct {
	boundary results.Boundary
	total    results.Boundary
	label    *regexp.Regexp // of the sensors that make up the total; nil for all
	others   bool           // whether the other labels are worth a channel
}

// places is by the name that the driver gives. The order of preference where
// two sources claim one total is the order of prefer.
var places = map[string]place{
	// ACPI 4.0 §10.4: the platform's own meter, behind the supplies' telemetry
	// more often than a meter on the cord, so psu and not wall.
	"power_meter": {boundary: results.PSU, total: results.PSU},
	// Corsair HXi and RMi supplies: "power total" contains the rails.
	"corsairpsu": {boundary: results.PSU, total: results.PSU, label: regexp.MustCompile(`^power total$`), others: true},
	// AMD sockets. Cores (Ecore000 …) lie inside their socket.
	"amd_energy":     {boundary: results.Package, total: results.Package, label: regexp.MustCompile(`^Esocket[0-9]+$`)},
	"amd_hsmp_hwmon": {boundary: results.Package, total: results.Package},
	"amdgpu":         {boundary: results.Card},
	"i915":           {boundary: results.Card},
	"xe":             {boundary: results.Card},
	"nouveau":        {boundary: results.Card},
}

var prefer = []string{"power_meter", "corsairpsu", "amd_energy", "amd_hsmp_hwmon"}

// sensor is one attribute.
type sensor struct {
	dir     string // hwmon3
	driver  string
	attr    string // energy1_input, power1_average
	label   string
	path    string
	energy  bool
	based   bool // whether base holds
	base    uint64
	sum     uint64 // µJ
	channel results.Channel
}

type meter struct {
	info    power.Info
	open    power.Opener
	sensors []*sensor
	done    bool
}

// Open finds the sensors under the sysfs root, usually /sys. It wraps
// [power.ErrAbsent] if there are none; sensors that may not be read are
// another error, which names the file and the cure.
func Open(root string) (power.Meter, error) {
	return open(root, power.OpenFile)
}

func open(root string, opener power.Opener) (power.Meter, error) {
	class := filepath.Join(root, "class", "hwmon")
	entries, err := os.ReadDir(class)
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
	if err := m.settle(); err != nil {
		return nil, err
	}
	return m, nil
}

func (m *meter) Info() power.Info { return m.info }

func (m *meter) Read(ctx context.Context) ([]power.Reading, error) {
	if m.done {
		return nil, fmt.Errorf("hwmon: read %s: %w", m.info.Source, os.ErrClosed)
	}
	out := make([]power.Reading, len(m.sensors))
	for i, s := range m.sensors {
		if err := ctx.Err(); err != nil { // a driver may take its time
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
	switch {
	case err != nil:
	case !s.energy && raw == 0:
		err = fmt.Errorf("hwmon: %s reads 0 W", s.path)
	case !s.energy:
		return power.Reading{At: at, Value: float64(raw) / 1e6}
	case s.based && raw < s.base:
		// hwmon counters have 64 bits and state no range: nothing wraps here.
		err = fmt.Errorf("hwmon: %s fell from %d to %d µJ: a reset, a gap", s.path, s.base, raw)
	}
	if err != nil {
		s.based = false // what it did since is unknown: the next good reading is a new base
		return power.Reading{At: at, Value: math.NaN(), Err: err}
	}
	if s.based {
		s.sum += raw - s.base
	}
	s.based, s.base = true, raw
	return power.Reading{At: at, Value: float64(s.sum) / 1e6}
}

// read returns the raw value in µJ or µW and the instant right after it was
// read.
func (s *sensor) read(open power.Opener) (uint64, time.Time, error) {
	raw, at, err := power.ReadMicro(open, s.path)
	if err != nil {
		err = fmt.Errorf("hwmon: %w", err)
	}
	return raw, at, err
}

var attribute = regexp.MustCompile(`^(power|energy)([0-9]{1,6})_(input|average)$`)

// device adds the sensors of one hwmon directory. Drivers of the old style,
// the ACPI meter among them, keep their files one level down, in device.
func (m *meter) device(class, name string) {
	dir := filepath.Join(class, name)
	driver, err := m.text(filepath.Join(dir, "name"))
	if err != nil {
		dir = filepath.Join(dir, "device")
		if driver, err = m.text(filepath.Join(dir, "name")); err != nil {
			return
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		m.note("left out %s (%s): %v", name, driver, err)
		return
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
		label, _ := m.text(stem + "_label")
		s := &sensor{dir: name, driver: driver, attr: e.Name(), label: label, path: filepath.Join(dir, e.Name()), energy: part[1] == "energy"}
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
		// The average stands in where there is no instantaneous value, or
		// where the driver lists one that the hardware does not have.
		if s.average != nil && (watts == nil || m.silent(watts)) {
			watts = s.average
			m.note("%s/%s (%s) is an average%s", name, watts.attr, driver, m.interval(dir, n))
		}
		if s.energy != nil && watts != nil && (watts.label == "" || s.energy.label == "" || watts.label == s.energy.label) {
			m.note("left out %s/%s (%s): %s counts the same energy", name, watts.attr, driver, s.energy.attr)
			watts = nil
		}
		for _, s := range []*sensor{s.energy, watts} {
			if s != nil {
				m.add(s, dir)
			}
		}
	}
}

func (m *meter) silent(s *sensor) bool {
	_, _, err := s.read(m.open)
	return err != nil
}

func (m *meter) interval(dir string, n int) string {
	ms, err := m.text(filepath.Join(dir, fmt.Sprintf("power%d_average_interval", n)))
	if err != nil {
		return " over an interval that the driver does not state"
	}
	return " over " + ms + " ms"
}

// add gives a sensor its boundary.
func (m *meter) add(s *sensor, dir string) {
	p, known := places[s.driver]
	if !known {
		p = place{boundary: results.Board}
	}
	if p.label != nil && !p.label.MatchString(s.label) {
		if p.total = ""; !p.others {
			m.note("left out %s/%s (%s %s): it lies inside another", s.dir, s.attr, s.driver, s.label)
			return
		}
	}
	if s.driver == "power_meter" && !wholeSystem(dir) {
		p = place{boundary: results.Board}
		m.note("%s (power_meter) measures some devices only: in no total", s.dir)
	}
	s.channel = results.Channel{
		Unit: results.Watt, Kind: results.Gauge, Boundary: p.boundary, Total: p.total, Origin: results.Measured,
		Accuracy: results.Accuracy{Gain: results.Absent(), Resolution: results.Absent(), Source: "not stated by the driver"},
	}
	if s.energy {
		s.channel.Unit, s.channel.Kind = results.Joule, results.Counter
	}
	m.sensors = append(m.sensors, s)
}

// wholeSystem reports whether an ACPI meter names no part of the system as
// what it measures. ACPI 4.0 §10.4.7, _PMD: the devices measured; the root
// of the namespace, or nothing, for everything.
func wholeSystem(dir string) bool {
	for _, d := range []string{dir, filepath.Join(dir, "device")} {
		entries, err := os.ReadDir(filepath.Join(d, "measures"))
		if err == nil {
			return !slices.ContainsFunc(entries, func(e fs.DirEntry) bool {
				return !strings.HasPrefix(e.Name(), "LNXSYSTM") && !strings.HasPrefix(e.Name(), "LNXSYBUS")
			})
		}
	}
	return true
}

// settle leaves one source to each total, names the channels, and finds out
// which may be read.
func (m *meter) settle() error {
	source := map[results.Boundary]string{} // driver
	for _, driver := range prefer {
		for _, s := range m.sensors {
			if t := s.channel.Total; t != "" && s.driver == driver && source[t] == "" {
				source[t] = driver
			}
		}
	}
	whole := map[results.Boundary]int{} // channels that each claim to be all of it
	for _, s := range m.sensors {
		if t := s.channel.Total; t != "" && t != results.Package && source[t] == s.driver {
			whole[t]++
		}
	}
	var totals, kept []*sensor
	var denied error
	names := map[string]bool{}
	for _, s := range m.sensors {
		if t := s.channel.Total; t != "" && (source[t] != s.driver || whole[t] > 1) {
			m.note("%s/%s (%s) is in no total: more than one sensor claims to be the %s", s.dir, s.attr, s.driver, t)
			s.channel.Total = ""
		}
		if _, _, err := s.read(m.open); errors.Is(err, fs.ErrPermission) {
			err = refused(err)
			if s.channel.Total != "" {
				return err
			}
			denied = err
			m.note("left out %s/%s (%s): %v", s.dir, s.attr, s.driver, err)
			continue
		}
		s.channel.Name = s.driver + "-" + cmp.Or(strings.ReplaceAll(s.label, " ", "-"), s.attr)
		if names[s.channel.Name] {
			s.channel.Name += "@" + s.dir
		}
		if names[s.channel.Name] {
			s.channel.Name += "-" + s.attr
		}
		names[s.channel.Name] = true
		if s.channel.Total != "" {
			totals = append(totals, s)
		}
		kept = append(kept, s)
	}
	m.sensors = kept
	switch {
	case len(kept) == 0 && denied != nil:
		return denied
	case len(kept) == 0:
		return fmt.Errorf("hwmon: no power or energy sensor under %s: %w", m.info.Source, power.ErrAbsent)
	case len(totals) == 0:
		m.note("no sensor surely covers the CPU packages: there is no total")
	}
	for _, s := range totals {
		m.note("total of boundary %s: %s (%s/%s)", s.channel.Total, s.channel.Name, s.dir, s.attr)
	}
	for _, s := range kept {
		m.info.Channels = append(m.info.Channels, s.channel)
	}
	return nil
}

func (m *meter) note(format string, args ...any) {
	m.info.Notes = append(m.info.Notes, fmt.Sprintf(format, args...))
}

func (m *meter) text(path string) (string, error) { return power.ReadAttr(m.open, path) }

// refused says how to be allowed to read a sensor.
func refused(err error) error {
	return fmt.Errorf("%w: run as root, or give the file to a trusted group (chgrp and chmod g+r, at every boot by a udev rule on SUBSYSTEM==\"hwmon\")", err)
}
