// Package rapl reads the energy counters of CPU packages and their memory
// through Linux powercap (Documentation/power/powercap): Intel RAPL, and AMD
// behind the same interface.
//
// Zones often contain each other or show the same counter twice, so the channels
// with a Total are a disjoint cover: packages (or dies) and their DRAM. Core and
// uncore zones lie inside a package, and psys contains all of them: they are read
// but not added. On AMD the core zone is that of one core only, the first of its
// package. The notes list what was left out, and why.
//
// Each channel accumulates from zero by the rules of [power.Track]: a counter
// that falls has wrapped only if its range is known and the implied power is
// plausible; anything else is a gap. This package sets no limit, and never takes
// a power limit or a rated power for a reading.
package rapl

import (
	"bufio"
	"bytes"
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

const (
	// The hardware updates its counters about this often, with jitter.
	period = time.Millisecond
	// A counter of something that can be switched off may stand still forever.
	never = time.Duration(math.MaxInt64)
	// Two packages that count the same to the microjoule in this many consecutive
	// readings are one: the 10 J that a package counts in 100 ms are more than
	// 10⁵ units, and no two sockets draw the same to better than one in 10³.
	inStepAfter = 10
	zonesMost   = 1024
)

// domain is a kind of zone: the meaning of its energy, the power above which a
// difference is implausible, the maximum to which a power limit may raise that,
// and how long it may stand still (as in [power.Bound]). A zone in a total never
// stands still: a processor leaks and memory refreshes.
type domain struct {
	boundary results.Boundary
	total    results.Boundary
	watts    float64
	most     float64
	stale    time.Duration
}

var domains = map[string]domain{
	"package": {results.Package, results.Package, 1000, 1500, 0},
	"dram":    {results.Memory, results.Package, 500, 500, 0},
	"core":    {results.Package, "", 1000, 1500, 0},
	"uncore":  {results.Package, "", 500, 500, never}, // graphics, off where there is no display
	"psys":    {results.Board, "", 5000, 5000, 0},
}

// limit returns a valid power limit in W. "No limit" is a field with all bits
// set (Intel SDM vol. 4, MSR_PKG_POWER_LIMIT: 15 bits in units of a power of two,
// 4095.875 W in 1/8 W; more bits in newer interfaces), or 0.
func limit(microwatts uint64) (watts float64, ok bool) {
	watts = float64(microwatts) / 1e6
	for unit := range 15 { // 1/2^unit W
		field := math.Round(math.Ldexp(watts, unit))
		if full := field + 1; full >= 1<<14 && full == math.Exp2(math.Round(math.Log2(full))) && math.Abs(field-math.Ldexp(watts, unit)) < 0.01 {
			return 0, false
		}
	}
	return watts, watts > 0
}

// zone is one counter.
type zone struct {
	id     string // intel-rapl:0:1
	name   string // of the channel: package-0-dram
	path   string // of energy_uj
	domain string
	parent string // id of the zone around it
	index  []int  // 0, 1
	mmio   bool
	track  power.Track

	last   uint64        // µJ of the last reading; 0 if it failed
	step   uint64        // µJ since the reading before; 0 if unknown
	inStep map[*zone]int // consecutive readings in which an earlier package counted the same
	mirror *zone         // the zone that it was found to duplicate
}

type meter struct {
	info  power.Info
	open  power.Opener
	zones []*zone
	done  bool
}

// Open finds the zones under the sysfs root, usually /sys, and reads each once.
// It wraps [power.ErrAbsent] if there are none. A counter that may not be read, or
// that a container hides, is a different error that names its remedy.
//
// In a guest no processor counts: the hypervisor computes the zones, QEMU by
// distributing the energy of the host by the time of the virtual CPUs (QEMU,
// docs/specs/rapl-msr.rst). Such a zone is modelled, whatever its name. The tree
// itself identifies a guest, or procfs, usually /proc, if the tree is a complete
// sysfs and not a copy.
func Open(root, proc string) (power.Meter, error) {
	return open(root, proc, power.OpenFile)
}

func open(root, proc string, opener power.Opener) (power.Meter, error) {
	dir := filepath.Join(root, "class", "powercap")
	zones, notes, err := cover(dir, vendor(filepath.Join(root, "devices", "system", "cpu", "modalias"), opener), opener)
	if err != nil {
		return nil, err
	}
	const provided = "no processor counts these joules, the hypervisor provides them (QEMU shares those of the host's package out by the time of the virtual CPUs): modelled, not measured"
	_, copied := os.Stat(filepath.Join(root, "kernel"))
	here := flagged(proc, opener)
	guest := virtual(root, opener)
	if err := power.Late(dir, filepath.Join(root, "devices"), filepath.Join(root, "hypervisor"), filepath.Join(root, "class", "dmi"), filepath.Join(proc, "cpuinfo")); err != nil {
		return nil, fmt.Errorf("rapl: %w", err)
	}
	switch {
	case guest || here && copied == nil:
		for _, z := range zones {
			z.track.Channel.Origin = results.Modelled
			z.track.Channel.Accuracy.Source = "provided by the hypervisor, which states none"
		}
		notes = append(notes, "this machine is a guest: "+provided)
	case here:
		notes = append(notes, fmt.Sprintf("this machine is a guest: if %s shows its own zones and not another machine's, %s", dir, provided))
	}
	m := &meter{open: opener, zones: zones, info: power.Info{Name: "rapl", Source: dir, Period: period, Notes: notes}}
	for _, z := range zones {
		m.info.Channels = append(m.info.Channels, z.track.Channel)
	}
	return m, nil
}

func (m *meter) Info() power.Info { return m.info }

func (m *meter) Read(ctx context.Context) ([]power.Reading, error) {
	if m.done {
		return nil, fmt.Errorf("rapl: read %s: %w", m.info.Source, os.ErrClosed)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	out := make([]power.Reading, len(m.zones))
	for i, z := range m.zones {
		raw, at, err := z.read(m.open)
		z.step = 0
		if err == nil && z.last > 0 && raw > z.last {
			z.step = raw - z.last
		}
		z.last = raw
		v, err := z.track.Take(power.Quantity{Value: float64(raw) / 1e6, Err: err}, at)
		if z.domain == "package" && z.mirrors(m.zones[:i]) {
			v, err = math.NaN(), fmt.Errorf("it counts what %s counts, to the microjoule: one counter that would be added twice", z.mirror.id)
		}
		if err != nil && !errors.Is(err, power.ErrNoNews) {
			err = fmt.Errorf("rapl: %s (%s): %w", z.id, z.name, err)
		}
		out[i] = power.Reading{At: at, Value: v, Err: err}
	}
	return out, nil
}

// mirrors reports whether a package was found to show the counter of an earlier
// one: two views with different start values, which [mirrored] cannot detect
// when they are opened.
func (z *zone) mirrors(before []*zone) bool {
	for _, b := range before {
		switch {
		case b.domain != "package" || b.mmio != z.mmio || b.step == 0 || z.step == 0:
		case b.step != z.step:
			z.inStep[b] = 0
		default:
			if z.inStep[b]++; z.inStep[b] >= inStepAfter {
				z.mirror = b
			}
		}
	}
	return z.mirror != nil
}

func (m *meter) Close() error {
	m.done = true
	return nil
}

// read returns the raw counter in µJ and the instant right after it was read.
func (z *zone) read(open power.Opener) (uint64, time.Time, error) {
	return power.ReadMicro(open, z.path)
}

// atLeast is the longest interval at which no wrap is missed.
func (z *zone) atLeast() time.Duration {
	return time.Duration(z.track.Bound.Range / z.track.Bound.Watts / 4 * float64(time.Second)).Round(time.Second)
}

var zoneID = regexp.MustCompile(`^intel-rapl(-mmio)?:([0-9]{1,6})(?::([0-9]{1,6}))?$`)

// find collects the zone directories by name. Sysfs lists each of them twice, as
// a link in the class and nested under its parent.
func find(dir string, depth int, found map[string]string) error {
	entries, err := power.Timely(dir, func() ([]fs.DirEntry, error) { return os.ReadDir(dir) })
	for _, e := range entries {
		if _, dup := found[e.Name()]; !dup && zoneID.MatchString(e.Name()) && len(found) < zonesMost {
			found[e.Name()] = filepath.Join(dir, e.Name())
		}
	}
	for _, e := range entries {
		if depth > 0 && strings.HasPrefix(e.Name(), "intel-rapl") {
			_ = find(filepath.Join(dir, e.Name()), depth-1, found) // a dangling link has nothing inside
		}
	}
	return err
}

// vendor returns the number of the CPU's maker from the kernel's module alias:
// ven0000 for Intel, ven0002 for AMD; empty if unknown.
func vendor(path string, open power.Opener) string {
	head, _ := power.ReadHead(open, path, 64) // the rest lists features
	if part := maker.FindSubmatch(head); part != nil {
		return string(part[1])
	}
	return ""
}

var maker = regexp.MustCompile(`^cpu:type:x86,(ven[0-9A-F]{4})fam`)

// cover lists the zones under dir as channels, those of the total disjoint, and
// describes in notes what is included and what is not.
func cover(dir, vendor string, open power.Opener) (kept []*zone, notes []string, err error) {
	found := map[string]string{}
	switch err := find(dir, 3, found); {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, nil, fmt.Errorf("rapl: list the zones: %w: run as root, or let this user read the directory", err)
	case len(found) == 0:
		return nil, nil, fmt.Errorf("rapl: no RAPL zone under %s: %w", dir, power.ErrAbsent)
	}
	all := make([]*zone, 0, len(found))
	hidden := 0
	for id, path := range found {
		z, err := load(id, path, open)
		switch {
		case errors.Is(err, fs.ErrPermission):
			return nil, nil, refused(err)
		case errors.Is(err, fs.ErrNotExist):
			hidden++
			notes = append(notes, fmt.Sprintf("left out %s: it has no name", id))
		case err != nil:
			return nil, nil, fmt.Errorf("rapl: %w", err)
		default:
			all = append(all, z)
		}
	}
	if len(all) == 0 {
		return nil, nil, fmt.Errorf("rapl: %s lists %d zones and shows none: container runtimes hide /sys/devices/virtual/powercap (CVE-2020-8694); run outside the container, or mount that directory into it read-only", dir, hidden)
	}
	slices.Sort(notes)
	slices.SortFunc(all, func(a, b *zone) int {
		if a.mmio != b.mmio { // MSR before MMIO: the first of two twins is kept
			if a.mmio {
				return 1
			}
			return -1
		}
		return cmp.Or(slices.Compare(a.index, b.index), cmp.Compare(a.id, b.id))
	})

	leave := func(z *zone, why string) {
		notes = append(notes, fmt.Sprintf("left out %s (%s): %s", z.id, z.name, why))
	}
	ids, names := map[string]*zone{}, map[string]*zone{}
	mirrors := map[string]bool{}
	for _, z := range all {
		ids[z.id] = z
		if above := ids[z.parent]; above != nil {
			z.name = above.name + "-" + z.name
		} else if z.parent != "" {
			z.name = z.parent + "-" + z.name
		}
		raw, _, err := z.read(open)
		var mirror *zone
		if z.domain == "package" && err == nil {
			mirror = mirrored(z, kept, open)
		}
		switch twin := names[z.name]; {
		case errors.Is(err, fs.ErrPermission):
			return nil, nil, refused(err)
		case z.track.Channel.Boundary == "":
			leave(z, "its domain is not known")
		case mirrors[z.parent]:
			leave(z, "it lies in "+z.parent+", which is left out")
		case twin != nil && twin.mmio != z.mmio:
			leave(z, "the same counter as "+twin.id+", seen through the other interface")
		case mirror != nil:
			mirrors[z.id], names[z.name] = true, z
			leave(z, "it shows the same counter as "+mirror.id)
		case z.domain != "package" && err == nil && raw == 0:
			leave(z, "it reads 0 since boot: this machine does not count it")
		case z.track.Channel.Total == "" && errors.Is(err, fs.ErrNotExist):
			leave(z, "it has no energy_uj")
		default:
			if twin != nil {
				z.name += "@" + z.id
			}
			names[z.name] = z
			z.track.Channel.Name = z.name
			kept = append(kept, z)
		}
	}
	if len(kept) == 0 {
		return nil, nil, fmt.Errorf("rapl: no zone under %s counts energy (%s): %w", dir, strings.Join(notes, "; "), power.ErrAbsent)
	}
	if !slices.ContainsFunc(kept, func(z *zone) bool { return z.domain == "package" }) {
		for _, z := range kept {
			z.track.Channel.Total = "" // memory alone is no package
		}
	}
	return kept, append(describe(kept, vendor), notes...), nil
}

// mirrored returns the kept package whose counter z duplicates: AMD multi-die
// parts can show the counter of the whole processor for every die. Two readings
// of one counter bracket a reading of the other only if both are the same
// register: independent 32-bit counters do not agree to the millisecond.
func mirrored(z *zone, kept []*zone, open power.Opener) *zone {
	for _, k := range kept {
		if k.domain != "package" || k.mmio != z.mmio {
			continue
		}
		for range 2 { // again, in case the counter wrapped in between
			before, _, err1 := k.read(open)
			raw, _, err2 := z.read(open)
			after, _, err3 := k.read(open)
			if cmp.Or(err1, err2, err3) == nil && raw > 0 && before <= raw && raw <= after {
				return k
			}
		}
	}
	return nil
}

// describe says what the total consists of and how wraps are judged.
func describe(zones []*zone, vendor string) []string {
	var in, beside []string
	memory, every := false, time.Duration(0)
	var notes []string
	for _, z := range zones {
		if z.track.Channel.Total != "" {
			in = append(in, z.name)
		} else {
			beside = append(beside, z.name)
		}
		memory = memory || z.domain == "dram"
		if z.domain == "core" {
			switch vendor {
			case "ven0000":
			case "ven0002", "ven0009": // AMD, Hygon
				notes = append(notes, z.name+": of one core, the first of its package, and not of all")
			default:
				notes = append(notes, z.name+": of all cores on Intel, and on AMD of one core, the first of its package")
			}
		}
		if z.track.Bound.Range == 0 {
			notes = append(notes, z.name+": max_energy_range_uj is missing or unreadable, so any decrease is a gap")
		} else if a := z.atLeast(); every == 0 || a < every {
			every = a
		}
	}
	head := []string{"total of boundary package: " + strings.Join(in, " + ")}
	if len(in) == 0 {
		head[0] = "no package zone: there is no total"
	} else if !memory {
		head = append(head, "no dram zone counts: memory is not in the total")
	}
	if len(beside) > 0 {
		head = append(head, "read but in no total: "+strings.Join(beside, ", ")+" (core and uncore lie inside a package, psys around all)")
	}
	head = append(head, "updated about every 1 ms: windows of 1 s or more")
	if every > 0 {
		head = append(head, fmt.Sprintf("read at least every %v: the counters wrap", every))
	}
	return append(head, notes...)
}

// load reads the constants of a zone.
func load(id, dir string, open power.Opener) (*zone, error) {
	part := zoneID.FindStringSubmatch(id)
	z := &zone{id: id, path: filepath.Join(dir, "energy_uj"), mmio: part[1] != "", inStep: map[*zone]int{}}
	for _, p := range part[2:] {
		if n, err := strconv.Atoi(p); err == nil {
			z.index = append(z.index, n)
		}
	}
	own, err := power.ReadAttr(open, filepath.Join(dir, "name"))
	if err != nil {
		return nil, err
	}
	z.name, z.domain = own, own
	if strings.HasPrefix(own, "package-") { // package-0, package-0-die-1
		z.domain = "package"
	}
	if part[3] != "" {
		z.parent = strings.TrimSuffix(id, ":"+part[3])
	}
	d := domains[z.domain]
	watts := d.watts
	for i := range 10 {
		uw, _, err := power.ReadMicro(open, filepath.Join(dir, fmt.Sprintf("constraint_%d_power_limit_uw", i)))
		if w, is := limit(uw); err == nil && is && w <= d.most {
			watts = max(watts, min(2*w, d.most))
		}
	}
	most, _, _ := power.ReadMicro(open, filepath.Join(dir, "max_energy_range_uj")) // 0: unknown
	z.track = power.Track{
		Period: period,
		Bound:  power.Bound{Watts: watts, Range: float64(most) / 1e6, Stale: d.stale, Moves: d.total != ""},
		Channel: results.Channel{
			Unit: results.Joule, Kind: results.Counter,
			Boundary: d.boundary, Total: d.total, Origin: results.Measured,
			Accuracy: results.Accuracy{Gain: results.Absent(), Resolution: 1e-6, Source: "sysfs counts µJ; neither Intel nor AMD states an accuracy"},
		},
	}
	return z, nil
}

// firmware lists what the firmware of a guest calls its maker and itself. Clouds
// that use the same names for bare metal are not listed.
var firmware = regexp.MustCompile(`^(QEMU|Red Hat KVM|Xen|KubeVirt|Nutanix AHV|oVirt|OpenStack Foundation|innotek GmbH|Parallels|BHYVE|DigitalOcean|Microsoft Corporation Virtual Machine)\b|\b(KVM|VMware|VirtualBox|OpenStack|Bochs|HVM domU)\b`)

// virtual reports whether a sysfs tree is that of a guest: Xen states it, and so do the
// firmware of QEMU and clock sources that exist under a hypervisor only.
func virtual(root string, open power.Opener) bool {
	text := func(path string) string {
		t, _ := power.ReadAttr(open, filepath.Join(root, path))
		return t
	}
	return text("hypervisor/type") != "" || firmware.MatchString(text("class/dmi/id/sys_vendor")+" "+text("class/dmi/id/product_name")) ||
		strings.Contains(text("devices/system/clocksource/clocksource0/available_clocksource"), "kvm-clock") ||
		strings.Contains(text("devices/system/clocksource/clocksource0/available_clocksource"), "hyperv")
}

// flagged reports whether the processor states that it runs under a hypervisor.
// ARM has no such flag, and no RAPL.
func flagged(proc string, open power.Opener) bool {
	text, err := power.ReadHead(open, filepath.Join(proc, "cpuinfo"), 1<<16)
	if err != nil {
		return false
	}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		if name, flags, _ := strings.Cut(lines.Text(), ":"); strings.TrimSpace(name) == "flags" {
			return slices.Contains(strings.Fields(flags), "hypervisor")
		}
	}
	return false
}

// refused adds the remedy for files that Linux 5.10 and later keep for root.
func refused(err error) error {
	return fmt.Errorf("rapl: %w: Linux 5.10 and later keep energy_uj for root (CVE-2020-8694); run as root, or give it to a trusted group (chgrp and chmod g+r, at every boot by a udev rule on SUBSYSTEM==\"powercap\"), or setcap cap_dac_read_search+ep on the binary", err)
}
