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
// (pm/swsmu/smu13/smu_v13_0_6_ppt.c). v1.9 is a list: see [attributes].
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
	counters []uint64 // or nil; [unknown] for what is not known
	by       []string // what each of them counts
}

const unknown = 1<<64 - 1

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
	if format == 1 && content == 9 {
		t.counters, err = attributes(data[4:size])
		if t.counters != nil {
			t.by = ofMI300
		}
		return t, err
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
			t.counters = append(t.counters, widened(uint64(le.Uint32(data[form.at+4*n:])), 4))
		}
		t.by = form.counters
		return t, nil
	}
	status := le.Uint64(data[form.at:])
	if status == unknown { // the driver fills in no status
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

// widened is a number of so many bytes, or unknown if it has all bits set.
func widened(n uint64, bytes int) uint64 {
	if bytes < 8 && n == 1<<(8*bytes)-1 {
		return unknown
	}
	return n
}

// attributes finds the counters of [ofMI300] in what follows the header of v1.9: how
// many attributes there are, in 32 bits, and of each an encoding of 64 bits (unit, type,
// identifier and number of values, in 8, 4, 10 and 10 bits of the lower half) and its
// values, without padding. The identifiers 10 to 14 are those counters
// (AMDGPU_METRICS_ENC_ATTR and DECLARE_SMU_METRICS_CLASS). Nil means that there are none.
func attributes(data []byte) (counters []uint64, err error) {
	const first = 10
	bad := func() ([]uint64, error) { return nil, fmt.Errorf("gpu_metrics v1.9: no list of attributes") }
	le := binary.LittleEndian
	if len(data) < 4 {
		return bad()
	}
	count, data := le.Uint32(data), data[4:]
	for range min(count, metricsMost) {
		if len(data) < 8 {
			return bad()
		}
		encoding := le.Uint64(data)
		kind, id, values := encoding>>20&0xf, int(encoding>>10&0x3ff), int(encoding&0x3ff)
		if encoding>>32 != 0 || kind > 7 {
			return bad()
		}
		size := 1 << (kind / 2) // 8 to 64 bits, each without and with a sign
		if data = data[8:]; len(data) < values*size {
			return bad()
		}
		if i := id - first; i >= 0 && i < len(ofMI300) && values == 1 && (size == 4 || size == 8) {
			if counters == nil {
				counters = slices.Repeat([]uint64{unknown}, len(ofMI300))
			}
			n := uint64(le.Uint32(data))
			if size == 8 {
				n = le.Uint64(data)
			}
			counters[i] = widened(n, size)
		}
		data = data[values*size:]
	}
	if len(data) > 0 {
		return bad()
	}
	return counters, nil
}

// since is what held the clocks back between an earlier reading and this one, as in
// [power.Card]; of a status, what holds them now.
func (t throttling) since(earlier throttling) []string {
	if t.counters == nil || len(earlier.counters) != len(t.counters) {
		return t.held
	}
	var held []string
	for i, n := range t.counters {
		if n == unknown || earlier.counters[i] == unknown {
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
