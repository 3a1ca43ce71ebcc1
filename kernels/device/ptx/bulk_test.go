package ptx_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/kernels/device/ptx"
)

// matrix is a TensorMap's, with bytes that say where they are.
type matrix struct {
	memory ptx.Memory
	rows   [][]byte
	ptx.TensorMap
}

// newMatrix makes rows of so many elements, with a gap of 16 to 31 bytes between
// them that no box may show.
func newMatrix(t *testing.T, size, rows, element int) *matrix {
	stride := (size*element + 31) / 16 * 16
	data := bytes.Repeat([]byte{0xee}, rows*stride)
	m := &matrix{TensorMap: ptx.TensorMap{Size: [2]uint64{uint64(size), uint64(rows)}, Stride: uint64(stride), Element: uint32(element)}}
	for y := range rows {
		row := data[y*stride:][:size*element]
		for i := range row {
			row[i] = byte(1 + (y*37+i*11)%200)
		}
		m.rows = append(m.rows, row)
	}
	m.Address = m.memory.Alloc(len(data))
	require.True(t, m.memory.Write(m.Address, data))
	return m
}

// launch runs a body of 64 threads on the matrix. Its kernel has the tensor map
// map at %d0 as a generic address, 8 kB of output at %d1 and the matrix at %d2, %r0 is
// the thread, %r1 and %r2 are x and y; mbarriers are at b and b+8 and 8 kB at s, which
// the body knows as [s] and [b]. It returns the output.
func (m *matrix) launch(t *testing.T, body string, x, y int) ([]byte, error) {
	text := `.version 8.0
.target sm_90a
.address_size 64
.visible .entry k(.param .align 64 .b8 map[128], .param .u64 out, .param .u64 in, .param .u32 x, .param .u32 y)
.maxntid 64
.minnctapersm 1
{
.reg .b32 %r<16>; .reg .b64 %d<8>; .reg .pred %p<8>;
.shared .align 1024 .b8 s[8192]; .shared .align 8 .b8 b[16];
mov.b64 %d0, map; cvta.param.u64 %d0, %d0;
ld.param.b64 %d1, [out]; ld.param.b64 %d2, [in]; ld.param.b32 %r1, [x]; ld.param.b32 %r2, [y];
mov.u32 %r0, %tid.x; setp.eq.b32 %p0, %r0, 0;
` + body + "\n}\n"
	module, err := ptx.Parse(text)
	require.NoError(t, err)
	k := module.Kernels["k"]
	out := m.memory.Alloc(8192)
	block := make([]byte, 160)
	data, err := m.Encode()
	require.NoError(t, err)
	copy(block, data[:])
	for i, v := range []uint64{out, m.Address} {
		require.Equal(t, 128+8*i, k.Params[1+i].Offset)
		le.PutUint64(block[128+8*i:], v)
	}
	le.PutUint32(block[144:], uint32(int32(x)))
	le.PutUint32(block[148:], uint32(int32(y)))
	err = k.Launch(&m.memory, ptx.Config{Grid: [3]uint32{1, 1, 1}, Block: [3]uint32{64, 1, 1}, Params: block, Steps: 100_000})
	result := make([]byte, 8192)
	require.True(t, m.memory.Read(result, out))
	return result, err
}

// wait is a loop at an mbarrier by all threads that come here.
func wait(label, barrier string, parity int) string {
	return fmt.Sprintf("%s: mbarrier.try_wait.parity.shared::cta.b64 %%p1, [%s], %d; @!%%p1 bra %s;\n", label, barrier, parity, label)
}

const (
	initialised = "@%p0 mbarrier.init.shared::cta.b64 [b], 1; @%p0 mbarrier.init.shared::cta.b64 [b+8], 64; @%p0 fence.mbarrier_init.release.cluster; bar.sync 0;\n"
	copied      = "@%p0 cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [s], [%d0, {%r1, %r2}], [b];\n"
	all8k       = "shl.b32 %r3, %r0, 2; cvt.u64.u32 %d3, %r3; add.s64 %d3, %d3, %d1; add.s32 %r3, %r3, s; mov.b32 %r4, 0;\n" +
		"L: ld.shared.b32 %r5, [%r3]; st.global.b32 [%d3], %r5; add.s32 %r3, %r3, 256; add.s64 %d3, %d3, 256; add.s32 %r4, %r4, 256; setp.lt.u32 %p2, %r4, "
)

func expect(bytes int) string {
	return fmt.Sprintf("@%%p0 mbarrier.arrive.expect_tx.shared::cta.b64 _, [b], %d;\n", bytes)
}

// Boxes lie in shared memory as the CUDA C++ Programming Guide has it in "The TMA
// swizzle patterns": row after row, and in row r the part of 16 bytes that is number
// j lies at number j ^ r%8 of rows of 128 bytes, j ^ r/2%4 of rows of 64, j ^ r/4%2
// of rows of 32. What is outside of the tensor is zero (PTX ISA, "Out of Boundary
// Access"), and every byte of a box counts at the mbarrier.
func TestBoxes(t *testing.T) {
	for _, c := range []struct{ swizzle, width int }{{0, 48}, {0, 128}, {1, 32}, {2, 64}, {3, 128}} {
		for _, element := range []int{1, 2, 4, 8} {
			m := newMatrix(t, 200/element, 21, element)
			m.Box, m.Swizzle = [2]uint32{uint32(c.width / element), 16}, uint32(c.swizzle)
			total := c.width * 16
			for _, at := range [][2]int{{0, 0}, {3, 4}, {-3, -2}, {200/element - 5, 15}, {-300, 0}, {0, 21}, {400, -16}} {
				got, err := m.launch(t, initialised+expect(total)+copied+wait("W", "b", 0)+all8k+fmt.Sprint(total)+"; @%p2 bra L;", at[0], at[1])
				require.NoError(t, err)
				for r := range 16 {
					for i := range c.width {
						j := i / 16
						switch c.swizzle {
						case 1:
							j ^= r / 4 % 2
						case 2:
							j ^= r / 2 % 4
						case 3:
							j ^= r % 8
						}
						want := byte(0)
						if y, x := at[1]+r, at[0]*element+i; y >= 0 && y < len(m.rows) && x >= 0 && x < len(m.rows[0]) {
							want = m.rows[y][x]
						}
						require.Equal(t, want, got[r*c.width+j*16+i%16], "swizzle %d, elements of %d at %v: row %d, byte %d", c.swizzle, element, at, r, i)
					}
				}
			}
		}
	}
}

// The limits of cuTensorMapEncodeTiled.
func TestTensorMaps(t *testing.T) {
	good := ptx.TensorMap{Address: 1 << 20, Size: [2]uint64{64, 10}, Stride: 256, Box: [2]uint32{32, 128}, Element: 4, Swizzle: 3}
	_, err := good.Encode()
	require.NoError(t, err)
	for want, change := range map[string]func(*ptx.TensorMap){
		"not a multiple of 16":      func(m *ptx.TensorMap) { m.Address += 8 },
		"1 to 2³²":                  func(m *ptx.TensorMap) { m.Size[1] = 0 },
		"a stride of 264":           func(m *ptx.TensorMap) { m.Stride = 264 },
		"a stride of 240":           func(m *ptx.TensorMap) { m.Stride = 240 },
		"a stride of 1099511627776": func(m *ptx.TensorMap) { m.Stride = 1 << 40 },
		"a box of 32×257":           func(m *ptx.TensorMap) { m.Box[1] = 257 },
		"a box of 32×0":             func(m *ptx.TensorMap) { m.Box[1] = 0 },
		"swizzled by 128":           func(m *ptx.TensorMap) { m.Box[0] = 36 },
		"not implemented":           func(m *ptx.TensorMap) { m.Box[0] = 16 },
		"8 bytes wide":              func(m *ptx.TensorMap) { m.Box[0], m.Swizzle = 2, 0 },
		"elements of 3":             func(m *ptx.TensorMap) { m.Element = 3 },
		"swizzle mode 4":            func(m *ptx.TensorMap) { m.Swizzle = 4 },
	} {
		m := good
		change(&m)
		_, err := m.Encode()
		require.ErrorContains(t, err, want)
	}
}

// Bytes that follow each other are copied as they are.
func TestBulk(t *testing.T) {
	m := newMatrix(t, 1024, 1, 1)
	m.Box = [2]uint32{16, 1}
	got, err := m.launch(t, initialised+expect(768)+
		"@%p0 cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [s], [%d2], 512, [b];\n"+
		"@%p0 cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [s+512], [%d2+16], 256, [b];\n"+
		wait("W", "b", 0)+all8k+"768; @%p2 bra L;", 0, 0)
	require.NoError(t, err)
	require.Equal(t, m.rows[0][:512], got[:512])
	require.Equal(t, m.rows[0][16:272], got[512:768])
}

// Phases follow PTX ISA, "Phase of the mbarrier object": one is complete when its
// pending arrivals and its bytes are both zero, and the next begins with the count
// of before. A wait by parity is for the current phase or the one before.
func TestPhases(t *testing.T) {
	m := newMatrix(t, 1024, 1, 1)
	m.Box = [2]uint32{16, 1}
	body, want := "@!%p0 ret; mbarrier.init.shared::cta.b64 [b], 2; fence.mbarrier_init.release.cluster;\n", []uint32{}
	try := func(parity int, complete uint32) {
		body += fmt.Sprintf("mbarrier.try_wait.parity.shared::cta.b64 %%p1, [b], %d; selp.b32 %%r3, 1, 0, %%p1; st.global.b32 [%%d1+%d], %%r3;\n", parity, 4*len(want))
		want = append(want, complete)
	}
	arrive := func(what string) { body += "mbarrier.arrive" + what + "\n" }
	try(1, 1) // the phase before the first
	try(0, 0)
	arrive(".shared::cta.b64 _, [b];")
	try(0, 0)
	arrive(".shared::cta.b64 _, [b];")
	try(0, 1)
	try(1, 0)
	arrive(".shared::cta.b64 _, [b], 2;")
	try(1, 1)
	try(0, 0)
	arrive(".expect_tx.shared::cta.b64 _, [b], 32;")
	arrive(".shared::cta.b64 _, [b];")
	try(0, 0) // bytes are missing
	body += "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [s], [%d2], 16, [b];\n"
	try(0, 0)
	body += "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [s+16], [%d2], 16, [b];\n"
	try(0, 1)
	body += "mbarrier.inval.shared::cta.b64 [b]; mbarrier.init.shared::cta.b64 [b], 1;\n"
	try(1, 1) // as new
	try(0, 0)
	arrive(".shared::cta.b64 _, [b];")
	try(0, 1)
	got, err := m.launch(t, body, 0, 0)
	require.NoError(t, err)
	for i, v := range want {
		require.Equal(t, v, le.Uint32(got[4*i:]), "wait %d", i)
	}
}

// What a GPU is silent about, or never ends of, is a fault of its kind.
func TestBulkFaults(t *testing.T) {
	const (
		arrive = "@%p0 mbarrier.arrive.shared::cta.b64 _, [b];\n"
		read   = "ld.shared.b32 %r4, [s];\n"
		box    = 2048
	)
	setup, landed := initialised+expect(box)+copied, wait("W", "b", 0)
	again := "@%p0 bra A; bra E; A:" + wait("V", "b+8", 0) + expect(box) + copied + wait("X", "b", 1) + "E:\n"
	for name, c := range map[string]struct {
		kind ptx.FaultKind
		body string
	}{
		"an mbarrier that nobody initialised":  {ptx.IllegalUse, arrive},
		"one that is initialised twice":        {ptx.IllegalUse, initialised + "@%p0 mbarrier.init.shared::cta.b64 [b], 1;"},
		"one of no arrivals":                   {ptx.IllegalUse, "@%p0 mbarrier.init.shared::cta.b64 [b], 0;"},
		"one that is not aligned":              {ptx.Misaligned, "@%p0 mbarrier.init.shared::cta.b64 [b+4], 1;"},
		"one that is no longer valid":          {ptx.IllegalUse, initialised + "@%p0 mbarrier.inval.shared::cta.b64 [b]; " + arrive},
		"one that others know nothing of":      {ptx.Race, "@%p0 mbarrier.init.shared::cta.b64 [b], 64; mbarrier.arrive.shared::cta.b64 _, [b];"},
		"its bytes read":                       {ptx.IllegalUse, initialised + "ld.shared.b32 %r4, [b];"},
		"its bytes written":                    {ptx.IllegalUse, initialised + "@%p0 st.shared.b32 [b+4], %r0;"},
		"an arrival more than a phase takes":   {ptx.IllegalUse, initialised + "@%p0 mbarrier.arrive.shared::cta.b64 _, [b], 2;"},
		"more bytes than an mbarrier counts":   {ptx.IllegalUse, initialised + expect(1<<20)},
		"a parity that is none":                {ptx.IllegalUse, initialised + "mbarrier.try_wait.parity.shared::cta.b64 %p1, [b], 2;"},
		"a wait that nothing ends":             {ptx.Deadlock, initialised + landed},
		"a wait by one warp beside a barrier":  {ptx.Deadlock, initialised + "setp.lt.u32 %p2, %r0, 32; @%p2 bra W; bar.sync 0; ret; " + landed},
		"bytes that do not come":               {ptx.Deadlock, initialised + expect(box+16) + copied + landed},
		"more bytes than are expected":         {ptx.Unordered, initialised + expect(1024) + copied + copied + landed},
		"bytes that nobody expects":            {ptx.Unordered, initialised + arrive + copied + landed + read},
		"no fence after the initialisation":    {ptx.Unordered, "@%p0 mbarrier.init.shared::cta.b64 [b], 1; bar.sync 0;" + expect(box) + copied},
		"a read that waits for nothing":        {ptx.Unordered, setup + read},
		"a read that waits for the old phase":  {ptx.Unordered, setup + wait("W", "b", 1) + read},
		"a read by who has not waited":         {ptx.Race, setup + "setp.lt.u32 %p2, %r0, 32; @!%p2 bra R; " + landed + "ret; R: " + read},
		"a read by who is told by another":     {ptx.Race, setup + "setp.lt.u32 %p2, %r0, 32; @!%p2 bra R; " + landed + "ret; R: setp.eq.b32 %p2, %r0, 40; @%p2 mbarrier.arrive.shared::cta.b64 _, [b+8], 64; " + wait("V", "b+8", 0) + read},
		"a copy over what is being read":       {ptx.Race, setup + landed + read + expect(box) + copied + wait("X", "b", 1)},
		"a copy over what one thread reads":    {ptx.Race, setup + landed + "setp.ne.b32 %p3, %r0, 40; @%p3 mbarrier.arrive.shared::cta.b64 _, [b+8]; @!%p3 mbarrier.arrive.shared::cta.b64 _, [b+8]; @!%p3 ld.shared.b32 %r4, [s];" + again},
		"a copy over a copy":                   {ptx.Unordered, setup + copied},
		"a copy over what was written":         {ptx.Unordered, initialised + "@%p0 st.shared.b32 [s], %r0; " + expect(box) + copied},
		"a copy that nobody waits for":         {ptx.Unordered, setup},
		"a box at a place that is not aligned": {ptx.Misaligned, initialised + "@%p0 cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [s+64], [%d0, {%r1, %r2}], [b];"},
		"a box beyond shared memory":           {ptx.IllegalAddress, initialised + "@%p0 cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [s+7168], [%d0, {%r1, %r2}], [b];"},
		"bytes that are no tensor map":         {ptx.IllegalUse, initialised + "@%p0 cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [s], [%d2, {%r1, %r2}], [b];"},
		"a tensor map where there is nothing":  {ptx.IllegalAddress, initialised + "@%p0 cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [s], [%d0+64, {%r1, %r2}], [b];"},
		"a tensor map that is not aligned":     {ptx.Misaligned, initialised + "@%p0 cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [s], [%d0+32, {%r1, %r2}], [b];"},
		"a tensor map that the host wrote not": {ptx.Unordered, initialised + "@%p0 cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [s], [%d1, {%r1, %r2}], [b];"},
		"24 bytes":                             {ptx.IllegalUse, initialised + "@%p0 cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [s], [%d2], 24, [b];"},
		"bytes that are not aligned":           {ptx.Misaligned, initialised + "@%p0 cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [s], [%d2+8], 16, [b];"},
		"parameters read as memory":            {ptx.IllegalAddress, "ld.b32 %r4, [%d0];"},
		"more registers than there are":        {ptx.IllegalUse, "setmaxnreg.dec.sync.aligned.u32 256;"},
		"registers of a part of a warpgroup":   {ptx.IllegalUse, "setp.lt.u32 %p2, %r0, 32; @%p2 bra D; ret; D: setmaxnreg.dec.sync.aligned.u32 40;"},
		"registers of a part of a warp":        {ptx.IllegalUse, "setp.lt.u32 %p2, %r0, 16; @!%p2 bra E; setmaxnreg.dec.sync.aligned.u32 40; E: bar.sync 0;"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMatrix(t, 64, 40, 4)
			m.Box, m.Swizzle = [2]uint32{32, 16}, 3
			_, err := m.launch(t, c.body, 0, 0)
			var fault *ptx.Fault
			require.True(t, errors.As(err, &fault), "%v", err)
			require.Equal(t, c.kind, fault.Kind, "%v", err)
			require.NotZero(t, fault.Line)
		})
	}
	for name, body := range map[string]string{
		"two boxes, one after the other": setup + landed + read + "mbarrier.arrive.shared::cta.b64 _, [b+8];" + again,
		"a barrier instead of arrivals":  setup + landed + read + "bar.sync 0;" + expect(box) + copied + wait("X", "b", 1) + read,
		"who is told by who has waited":  setup + "@!%p0 bra R; " + landed + "@%p0 mbarrier.arrive.shared::cta.b64 _, [b+8], 64; ret; R: " + wait("V", "b+8", 0) + read,
		"a fence after what was written": initialised + "@%p0 st.shared.b32 [s], %r0; @%p0 fence.proxy.async.shared::cta; " + expect(box) + copied + landed + read,
		"registers of all":               "setmaxnreg.dec.sync.aligned.u32 40; setmaxnreg.inc.sync.aligned.u32 240;",
	} {
		t.Run(name, func(t *testing.T) {
			m := newMatrix(t, 64, 40, 4)
			m.Box, m.Swizzle = [2]uint32{32, 16}, 3
			_, err := m.launch(t, body, 0, 0)
			require.NoError(t, err)
		})
	}
}

// What setmaxnreg says for good is known before a launch.
func TestSetmaxnreg(t *testing.T) {
	for head, want := range map[string]string{
		".maxntid 384\n.minnctapersm 1|setmaxnreg.inc.sync.aligned.u32 236;": "236 registers: 24 to 256, in steps of 8",
		".maxntid 384\n.minnctapersm 1|setmaxnreg.dec.sync.aligned.u32 16;":  "16 registers",
		".maxntid 384|setmaxnreg.dec.sync.aligned.u32 40;":                   "needs .maxnreg",
	} {
		directives, body, _ := bytes.Cut([]byte(head), []byte("|"))
		_, err := ptx.Parse(".version 8.0\n.target sm_90a\n.address_size 64\n.visible .entry k()\n" + string(directives) + "\n{\n" + string(body) + "\n}\n")
		require.ErrorContains(t, err, want)
	}
}
