package hwmon

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/perwatt/perwatt/results"
)

// metricsMost is the largest size in bytes of amdgpu's gpu_metrics file: sysfs gives a
// page at once.
const metricsMost = 4096

// metricsForm is where a form of gpu_metrics reports what holds the clocks back
// (drivers/gpu/drm/amd/include/kgd_pp_interface.h). It has either a status, 64 bits with
// the same meaning for every chip, or counters of 32 bits that grow while something
// holds.
//
// Forms without an entry do not report it: up to v1.2 and v2.1 the bits mean something
// else on each chip, and in v1.4 and v1.5 they are always zero
// (pm/swsmu/smu13/smu_v13_0_6_ppt.c). v1.9 is a list of attributes.
type metricsForm struct {
	format, content byte
	size            int      // of the whole structure, where a revision has two forms; else 0
	at              int      // offset of the status, or of the first counter
	counters        []string // what each of them counts; nil where at is the status
}

// Of MI300: PROCHOT, package power, and heat of the socket, of a regulator and of the
// memory. Of APUs: PROCHOT, three power limits, and heat of cores, of graphics and of
// the rest.
var (
	ofMI300 = []string{results.HeldByHardware, results.HeldByPower, results.HeldByHeat, results.HeldByHeat, results.HeldByHeat}
	ofAPU   = []string{results.HeldByHardware, results.HeldByPower, results.HeldByPower, results.HeldByPower, results.HeldByHeat, results.HeldByHeat, results.HeldByHeat}
)

var metricsForms = []metricsForm{
	{1, 3, 0, 112, nil},
	{1, 6, 384, 108, ofMI300}, // as Linux 6.10 has it
	{1, 6, 1664, 36, ofMI300},
	{1, 7, 0, 44, ofMI300},
	{1, 8, 0, 44, ofMI300},
	{2, 2, 0, 120, nil},
	{2, 3, 0, 120, nil},
	{2, 4, 0, 120, nil},
	{3, 0, 0, 228, ofAPU},
}

// statusBits are the bits of the status (pm/swsmu/inc/amdgpu_smu.h, SMU_THROTTLER_*).
var statusBits = []struct {
	first, last int
	by          string
}{
	{0, 23, results.HeldByPower},     // limits of power and, from 16 on, of current
	{32, 45, results.HeldByHeat},     // of the chip, the memory, the regulators and the liquid
	{46, 47, results.HeldByHardware}, // PROCHOT
}

// throttling is what a reading of gpu_metrics tells of what holds the clocks back.
type throttling struct {
	held     []string // by the status: nil if there is none, empty if nothing holds
	counters []uint32 // or nil
	by       []string // what each of them counts
}

// parseMetrics reads the contents of a gpu_metrics file. What its form does not report,
// or has all bits set, is absent; the error is for contents that are no such file.
func parseMetrics(data []byte) (t throttling, err error) {
	le := binary.LittleEndian
	if len(data) < 4 {
		return t, fmt.Errorf("gpu_metrics: %d bytes, want a header of 4", len(data))
	}
	size, format, content := int(le.Uint16(data)), data[2], data[3]
	if size < 4 || size > len(data) {
		return t, fmt.Errorf("gpu_metrics v%d.%d: %d bytes, and its header has %d", format, content, len(data), size)
	}
	i := slices.IndexFunc(metricsForms, func(f metricsForm) bool {
		return f.format == format && f.content == content && (f.size == 0 || f.size == size)
	})
	if i < 0 {
		return t, nil
	}
	form, data := metricsForms[i], data[:size]
	if want := form.at + max(8, 4*len(form.counters)); size < want {
		return t, fmt.Errorf("gpu_metrics v%d.%d: %d bytes, want at least %d", format, content, size, want)
	}
	if form.counters != nil {
		for n := range form.counters {
			t.counters = append(t.counters, le.Uint32(data[form.at+4*n:]))
		}
		t.by = form.counters
		return t, nil
	}
	status := le.Uint64(data[form.at:])
	if status == 1<<64-1 { // the driver fills in no status
		return t, nil
	}
	t.held = []string{}
	for _, b := range statusBits {
		if mask := uint64(1)<<(b.last+1) - uint64(1)<<b.first; status&mask != 0 {
			t.held = append(t.held, b.by)
		}
	}
	return t, nil
}

// since is what held the clocks back between an earlier reading and this one, as in
// [power.Card]; of a status, what holds them now.
func (t throttling) since(earlier throttling) []string {
	if t.counters == nil || len(earlier.counters) != len(t.counters) {
		return t.held
	}
	var held []string
	for i, n := range t.counters {
		if n == 1<<32-1 || earlier.counters[i] == 1<<32-1 {
			continue
		}
		if held == nil {
			held = []string{}
		}
		if n != earlier.counters[i] && !slices.Contains(held, t.by[i]) {
			held = append(held, t.by[i])
		}
	}
	return held
}
