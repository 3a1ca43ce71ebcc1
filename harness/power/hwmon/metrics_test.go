//lint:file-ignore U1000 the fields are read by their offsets alone

package hwmon

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/harness/power"
	"github.com/perwatt/perwatt/results"
)

// The structures of kgd_pp_interface.h, by the sizes of their members in order: Go lays
// them out as C does on a machine of 64 bits. Linux 6.10 (commit 00dedab0) has the
// first v1.6, ROCm's driver (commit 0ce779bf) the second, and both have the others.
type (
	header  struct{ size, revision uint16 }
	metrics struct { // v1.3
		header
		temperatures            [6]uint16
		activities              [3]uint16
		power                   uint16
		energy, time            uint64
		average, current        [7]uint16
		throttleStatus          uint32
		fan, width, speed, pad  uint16
		graphicsAcc, memoryAcc  uint32
		hbm                     [4]uint16
		firmware                uint64
		soc, gfx, mem, padding1 uint16
		independent             uint64
	}
	metrics16old struct {
		header
		temperatures [3]uint16
		power        uint16
		activities   [2]uint16
		vcn          [4]uint16
		jpeg         [32]uint16
		energy, time uint64
		accumulation uint32
		residencies  [5]uint32
		status, lock uint32
		links        [4]uint16
		acc          [2]uint32
		pcie         [5]uint64
		nak          [2]uint32
		xgmi         [16]uint64
		firmware     uint64
		clocks       [22]uint16
	}
	metrics16 struct {
		header
		temperatures [3]uint16
		power        uint16
		activities   [2]uint16
		energy, time uint64
		accumulation uint32
		residencies  [5]uint32
		lock         uint32
		links        [4]uint16
		acc          [2]uint32
		pcie         [5]uint64
		nak          [2]uint32
		xgmi         [16]uint64
		firmware     uint64
		clocks       [22]uint16 // and the number of partitions
		partitions   [8]struct {
			busy      [8]uint32
			jpeg      [32]uint16
			vcn       [4]uint16
			busyTotal [8]uint64
		}
		recovery uint32
	}
	metrics17 struct { // and v1.8, up to the links
		header
		temperatures            [3]uint16
		power                   uint16
		activities              [2]uint16
		bandwidth, energy, time uint64
		accumulation            uint32
		residencies             [5]uint32
	}
	metrics22 struct { // and v2.3 and v2.4, which go on
		header
		temperatures   [12]uint16
		activities     [2]uint16
		time           uint64
		power          [12]uint16
		average        [6]uint16
		current        [16]uint16
		throttleStatus uint32
		fan            uint16
		padding        [3]uint16
		independent    uint64
	}
	metrics30 struct {
		header
		temperatures                [19]uint16
		activities                  [30]uint16
		time                        uint64
		socket                      uint32
		ipu                         uint16
		apu, gfx, dgpu, cores       uint32
		core                        [16]uint16
		system, limit, currentLimit uint16
		average                     [8]uint16
		current                     [18]uint16
		residencies                 [7]uint32
		alpha                       uint32
	}
)

func TestMetricsForms(t *testing.T) {
	want := map[string]int{}
	name := func(format, content byte, size int) string {
		return strings.Join([]string{string('0' + rune(format)), string('0' + rune(content)), map[bool]string{true: "old"}[size == 384]}, ".")
	}
	want["1.3."] = int(unsafe.Offsetof(metrics{}.independent))
	want["1.6.old"] = int(unsafe.Offsetof(metrics16old{}.residencies))
	want["1.6."] = int(unsafe.Offsetof(metrics16{}.residencies))
	want["1.7."] = int(unsafe.Offsetof(metrics17{}.residencies))
	want["1.8."] = int(unsafe.Offsetof(metrics17{}.residencies))
	for _, form := range []string{"2.2.", "2.3.", "2.4."} {
		want[form] = int(unsafe.Offsetof(metrics22{}.independent))
	}
	want["3.0."] = int(unsafe.Offsetof(metrics30{}.residencies))
	got := map[string]int{}
	for _, f := range metricsForms {
		got[name(f.format, f.content, f.size)] = f.at
		if f.content == 6 {
			require.Contains(t, []uintptr{unsafe.Sizeof(metrics16old{}), unsafe.Sizeof(metrics16{})}, uintptr(f.size))
		}
	}
	require.Equal(t, want, got)
}

// table is a gpu_metrics file of a form with bytes at an offset; the rest is as the
// driver fills in what it does not know.
func table(format, content byte, size, at int, values ...uint32) []byte {
	data := []byte(strings.Repeat("\xff", size))
	binary.LittleEndian.PutUint16(data, uint16(size))
	data[2], data[3] = format, content
	for i, v := range values {
		binary.LittleEndian.PutUint32(data[at+4*i:], v)
	}
	return data
}

func TestParseMetrics(t *testing.T) {
	status := func(bits ...int) []byte {
		var s uint64
		for _, b := range bits {
			s |= 1 << b
		}
		return table(1, 3, 120, 112, uint32(s), uint32(s>>32))
	}
	for name, c := range map[string]struct {
		data []byte
		want []string
	}{
		"nothing holds":            {status(), []string{}},
		"PPT0":                     {status(0), []string{results.HeldByPower}},
		"TDC_GFX and TEMP_HOTSPOT": {status(16, 36), []string{results.HeldByPower, results.HeldByHeat}},
		"VRHOT1":                   {status(45), []string{results.HeldByHeat}},
		"PROCHOT_CPU":              {status(46), []string{results.HeldByHardware}},
		"FIT, which is no limit":   {status(57), []string{}},
		"no status":                {table(1, 3, 120, 112), nil},
		"a status of an APU":       {table(2, 3, 152, 120, 1<<5, 0), []string{results.HeldByPower}},
		"v1.2":                     {table(1, 2, 104, 72, 1), nil},
		"v1.4":                     {table(1, 4, 288, 40, 0), nil},
		"v1.9 without a counter":   {listed(valued{8, 6, []uint64{5}}), nil},
		"v1.6 of another size":     {table(1, 6, 400, 36, 1), nil},
		"longer than its header":   {append(status(1), 1, 2, 3), []string{results.HeldByPower}},
	} {
		got, err := parseMetrics(c.data)
		require.NoError(t, err, name)
		require.Equal(t, c.want, got.since(throttling{}), name)
		require.Nil(t, got.counters, name)
	}
	for name, data := range map[string][]byte{
		"empty": nil, "a part of a header": {4, 0, 1}, "no size": {0, 0, 1, 3}, "shorter than its header": status()[:119], "too short for its form": table(1, 3, 116, 0)[:116],
	} {
		_, err := parseMetrics(data)
		require.ErrorContains(t, err, "gpu_metrics", name)
	}
}

// Counters tell what held the clocks back since the last reading.
func TestResidencies(t *testing.T) {
	parse := func(format, content byte, size, at int, values ...uint32) throttling {
		got, err := parseMetrics(table(format, content, size, at, values...))
		require.NoError(t, err)
		return got
	}
	const unknown = uint32(1<<32 - 1)
	for _, f := range []metricsForm{{1, 6, 384, 108, nil}, {1, 6, 1664, 36, nil}, {1, 7, 2208, 44, nil}, {1, 8, 3360, 44, nil}} {
		first := parse(f.format, f.content, f.size, f.at, 7, 100, 3, unknown-1, 0)
		require.Nil(t, first.since(throttling{}), "there is no earlier reading")
		require.Equal(t, []string{}, first.since(first))
		next := parse(f.format, f.content, f.size, f.at, 7, 101, 3, 2, 0) // the fourth has begun anew
		require.Equal(t, []string{results.HeldByPower, results.HeldByHeat}, next.since(first))
		require.Equal(t, []string{results.HeldByHardware}, parse(f.format, f.content, f.size, f.at, 8, 100, 3, unknown, 0).since(first))
		require.Nil(t, parse(f.format, f.content, f.size, 0).since(parse(f.format, f.content, f.size, 0)), "all unknown")
		require.Nil(t, first.since(parse(3, 0, 264, 228, 7)), "another form")
	}
	a, b := parse(3, 0, 264, 228, 0, 1, 2, 3, 4, 5, 6), parse(3, 0, 264, 228, 0, 1, 2, 4, 4, 5, 6)
	require.Equal(t, []string{results.HeldByPower}, b.since(a))
	b = parse(3, 0, 264, 228, 1, 1, 2, 3, 4, 6, 6)
	require.Equal(t, []string{results.HeldByHardware, results.HeldByHeat}, b.since(a))
}

// valued is one of v1.9: its identifier, type (4 is 32 bits, 6 is 64) and values.
type valued struct {
	id, kind int
	values   []uint64
}

func listed(of ...valued) []byte {
	le := binary.LittleEndian
	data := le.AppendUint32([]byte{0, 0, 1, 9}, uint32(len(of)))
	for _, a := range of {
		data = le.AppendUint64(data, uint64(3<<24|a.kind<<20|a.id<<10|len(a.values)))
		for _, v := range a.values {
			data = append(data, le.AppendUint64(nil, v)[:1<<(a.kind/2)]...)
		}
	}
	le.PutUint16(data, uint16(len(data)))
	return data
}

// The list of v1.9 has the same counters, of either width, wherever they stand.
func TestAttributes(t *testing.T) {
	parse := func(of ...valued) throttling {
		got, err := parseMetrics(listed(of...))
		require.NoError(t, err)
		return got
	}
	before := parse(valued{0, 2, []uint64{61}}, valued{11, 4, []uint64{100}}, valued{33, 2, make([]uint64, 8)}, valued{12, 4, []uint64{1<<32 - 1}}, valued{14, 6, []uint64{1 << 40}}, valued{7, 0, nil})
	after := parse(valued{14, 6, []uint64{1<<40 + 1}}, valued{12, 4, []uint64{5}}, valued{11, 4, []uint64{100}})
	require.Equal(t, []string{results.HeldByHeat}, after.since(before))
	require.Equal(t, []string{}, before.since(before))
	require.Equal(t, []string{results.HeldByPower}, parse(valued{11, 6, []uint64{101}}).since(before))
	require.Nil(t, parse(valued{10, 4, []uint64{1}}).since(before), "none that both know")
	require.Nil(t, parse(valued{11, 4, []uint64{1, 2}}).counters, "one for each part is none of the card")
	require.Nil(t, parse().counters)

	good := listed(valued{11, 4, []uint64{100}}, valued{12, 4, []uint64{1}})
	for name, bad := range map[string]func(b []byte){
		"more attributes than there are":  func(b []byte) { b[4]++ },
		"fewer":                           func(b []byte) { b[4]-- },
		"very many":                       func(b []byte) { b[7] = 0xff },
		"more values than there are":      func(b []byte) { b[8+8+4] = 200 },
		"an unknown type":                 func(b []byte) { b[8+2] |= 0x80 },
		"an encoding of more bits":        func(b []byte) { b[8+5] = 1 },
		"an encoding of 32 bits and more": func(b []byte) { copy(b[12:], b[16:]) },
	} {
		data := append([]byte{}, good...)
		bad(data)
		got, err := parseMetrics(data)
		require.ErrorContains(t, err, "v1.9", name)
		require.Nil(t, got.counters, name)
	}
}

// The file reaches the state of the card, and a bad one takes nothing else from it.
func TestCardMetrics(t *testing.T) {
	root := linked(t, cards, devices, addresses)
	at := filepath.Join(root, "devices", "pci0000:00", "0000:c3:00.0", "gpu_metrics")
	write := func(data []byte) { require.NoError(t, os.WriteFile(at, data, 0o644)) }
	write(table(1, 3, 120, 112, 1, 0))
	m, err := Open(root)
	require.NoError(t, err)
	defer m.Close()
	state := func() power.Card {
		for _, c := range m.(power.CardMeter).Cards(t.Context()) {
			if c.Card == "0000:c3:00.0" {
				require.NoError(t, c.Err)
				require.Equal(t, results.Float(2.303e9), c.Clock)
				return c
			}
		}
		panic("no such card")
	}
	require.Equal(t, []string{results.HeldByPower}, state().Held)
	write(table(1, 3, 120, 112, 0, 0))
	require.Equal(t, []string{}, state().Held)
	write([]byte("not metrics"))
	require.Nil(t, state().Held)
	write(table(1, 8, 3360, 44, 0, 5, 0, 0, 0))
	require.Nil(t, state().Held)
	write(table(1, 8, 3360, 44, 0, 9, 0, 0, 0))
	require.Equal(t, []string{results.HeldByPower}, state().Held)
	require.Equal(t, []string{}, state().Held)
	require.NoError(t, os.Remove(at))
	require.Nil(t, state().Held)
}

func FuzzMetrics(f *testing.F) {
	f.Add(table(1, 3, 120, 112, 1, 1<<4))
	f.Add(table(1, 6, 1664, 36, 1, 2, 3, 4, 5))
	f.Add(listed(valued{0, 2, []uint64{61}}, valued{11, 6, []uint64{100}}))
	f.Add(table(3, 0, 264, 228, 1, 2, 3, 4, 5, 6, 7))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := parseMetrics(data)
		if err != nil {
			require.Equal(t, throttling{}, got)
		}
		require.Len(t, got.by, len(got.counters))
		for _, by := range append(got.since(throttling{}), got.since(got)...) {
			require.Contains(t, []string{results.HeldByPower, results.HeldByHeat, results.HeldByHardware}, by)
		}
	})
}
