package ptx_test

import (
	"errors"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/kernels/device"
	"github.com/perwatt/perwatt/kernels/device/ptx"
)

// run executes a body on one block of threads with one buffer of 64 words, of
// which the first 48 are zero and the others not written.
func run(t *testing.T, threads uint32, body string) error {
	text := ".version 8.0\n.target sm_80\n.address_size 64\n.visible .entry k(.param .u64 a)\n.maxntid 64\n{\n" +
		".reg .b32 %r<8>;\n.reg .b64 %d<8>;\n.reg .pred %p<4>;\n.shared .align 16 .b8 s[256];\n" +
		"ld.param.b64 %d0, [a];\nmov.u32 %r0, %tid.x;\nmul.wide.u32 %d1, %r0, 4;\nadd.s64 %d1, %d1, %d0;\nshl.b32 %r1, %r0, 2;\n" + body + "\n}\n"
	m, err := ptx.Parse(text)
	require.NoError(t, err)
	var memory ptx.Memory
	at := memory.Alloc(256)
	require.True(t, memory.Write(at, make([]byte, 192)))
	return m.Kernels["k"].Launch(&memory, ptx.Config{
		Grid: [3]uint32{1, 1, 1}, Block: [3]uint32{threads, 1, 1}, Params: params(m.Kernels["k"], at), Steps: 1000,
	})
}

// What a GPU reports, or is silent about, is a fault of its kind.
func TestFaults(t *testing.T) {
	for name, c := range map[string]struct {
		kind ptx.FaultKind
		body string
	}{
		"beyond an allocation":           {ptx.IllegalAddress, "ld.global.b32 %r2, [%d0+256];"},
		"before an allocation":           {ptx.IllegalAddress, "st.global.b32 [%d0+-4], %r0;"},
		"null":                           {ptx.IllegalAddress, "mov.b64 %d2, 0; ld.global.b32 %r2, [%d2];"},
		"a shared address as global":     {ptx.IllegalAddress, "mov.b64 %d2, s; ld.global.b32 %r2, [%d2];"},
		"a shared address as generic":    {ptx.IllegalAddress, "mov.b64 %d2, s; ld.b32 %r2, [%d2];"},
		"a global address as shared":     {ptx.IllegalAddress, "ld.shared.b32 %r2, [%d0];"},
		"beyond shared memory":           {ptx.IllegalAddress, "mov.b64 %d2, s; ld.shared.b32 %r2, [%d2+256];"},
		"not aligned":                    {ptx.Misaligned, "ld.global.b32 %r2, [%d0+2];"},
		"a vector that is not aligned":   {ptx.Misaligned, "ld.global.v4.b32 {%r2,%r3,%r4,%r5}, [%d0+8];"},
		"two threads write":              {ptx.Race, "st.global.b32 [%d0], %r0;"},
		"one reads what another writes":  {ptx.Race, "st.global.b32 [%d1], %r0; ld.global.b32 %r2, [%d0];"},
		"one writes what another reads":  {ptx.Race, "ld.global.b32 %r2, [%d0+4]; setp.eq.b32 %p0, %r0, 1; @%p0 st.global.b32 [%d0+4], %r0;"},
		"shared memory without barrier":  {ptx.Race, "st.shared.b32 [%r1], %r0; xor.b32 %r2, %r1, 4; ld.shared.b32 %r3, [%r2];"},
		"atomic beside plain":            {ptx.Race, "atom.global.add.u32 %r2, [%d0], 1; setp.eq.b32 %p0, %r0, 3; @%p0 ld.global.b32 %r2, [%d0];"},
		"barrier by a part of a warp":    {ptx.IllegalUse, "setp.lt.u32 %p0, %r0, 7; @%p0 bra A; ret; A: setp.lt.u32 %p1, %r0, 3; @%p1 bra B; bar.sync 0; B: bar.sync 0;"},
		"shuffle from who is not there":  {ptx.IllegalUse, "setp.lt.u32 %p0, %r0, 16; @!%p0 ret; shfl.sync.idx.b32 %r2, %r0, 20, 31, -1;"},
		"global memory as it was":        {ptx.Uninitialised, "ld.global.b32 %r2, [%d0+192];"},
		"shared memory as it was":        {ptx.Uninitialised, "ld.shared.b32 %r2, [%r1];"},
		"counting from nothing":          {ptx.Uninitialised, "red.global.add.u32 [%d0+192], 1;"},
		"an endless loop":                {ptx.Timeout, "A: bra A;"},
		"a copy that is not waited for":  {ptx.Unordered, "shl.b32 %r2, %r0, 2; cp.async.ca.shared.global [%r2], [%d1], 4; ld.shared.b32 %r3, [%r2];"},
		"a copy into what is being read": {ptx.Race, "st.shared.b32 [%r1], %r0; bar.sync 0; ld.shared.b32 %r3, [0]; setp.eq.b32 %p0, %r0, 5; @%p0 cp.async.ca.shared.global [0], [%d1], 4;"},
	} {
		t.Run(name, func(t *testing.T) {
			err := run(t, 32, c.body)
			var fault *ptx.Fault
			require.True(t, errors.As(err, &fault), "%v", err)
			require.Equal(t, c.kind, fault.Kind, "%v", err)
			require.Equal(t, "k", fault.Kernel)
			require.NotZero(t, fault.Line)
		})
	}
	for name, body := range map[string]string{
		"a barrier orders a block":      "st.shared.b32 [%r1], %r0; bar.sync 0; xor.b32 %r2, %r1, 128; ld.shared.b32 %r3, [%r2]; st.global.b32 [%d1], %r3;",
		"a warp's barrier orders it":    "st.shared.b32 [%r1], %r0; bar.warp.sync -1; xor.b32 %r2, %r1, 4; ld.shared.b32 %r3, [%r2]; st.global.b32 [%d1], %r3;",
		"all read the same":             "ld.global.b32 %r2, [%d0];",
		"all add":                       "red.global.add.u32 [%d0], 1;",
		"a generic address of shared":   "mov.b64 %d2, s; cvta.shared.u64 %d2, %d2; cvt.u64.u32 %d3, %r1; add.s64 %d2, %d2, %d3; st.b32 [%d2], %r0;",
		"ways part and meet at barrier": "setp.lt.u32 %p0, %r0, 7; @%p0 bra A; bra B; A: add.s32 %r2, %r0, 1; B: bar.sync 0;",
		"a loop by thread":              "mov.b32 %r2, 0; A: add.s32 %r2, %r2, 1; setp.lt.u32 %p0, %r2, %r0; @%p0 bra A; bar.sync 0;",
	} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, run(t, 64, body))
		})
	}
}

// A launch that a driver would refuse.
func TestResources(t *testing.T) {
	require.ErrorContains(t, run(t, 65, ""), "more than the 64 of .maxntid")
}

func TestParseErrors(t *testing.T) {
	for body, want := range map[string]string{
		"frob.b32 %r0, %r1;":                  "line 8: instruction not implemented: frob.b32",
		"add.s32 %r0, %r1;":                   "line 8",
		"add.s32 %r0, %r1, %zz;":              "neither a register nor a constant: %zz",
		"add.s32 %d0, %r1, %r2;":              "register %d0 of 8 bytes where 4 are wanted",
		"bra nowhere;":                        "no label nowhere",
		"ld.param.b32 %r0, [b];":              "no parameter b",
		"ld.param.b64 %d0, [a+4];":            "parameter a has 8 bytes",
		"@%r0 bra A; A:":                      "register %r0",
		".local .b8 stack[16];":               "not implemented: .local",
		".reg .b32 %z<99999999>;":             "not a number of registers",
		".shared .b8 big[9999999];":           "not a size",
		"A: ret; A: ret;":                     "a second label A",
		"mma.sync.aligned.m99n8k8.f32 {},{};": "not implemented in this form",
	} {
		_, err := ptx.Parse(".version 8.0\n.target sm_80\n.address_size 64\n.visible .entry k(.param .u64 a)\n{\n.reg .b32 %r<8>;\n.reg .b64 %d<8>;\n" + body + "\n}\n")
		require.ErrorContains(t, err, want, body)
	}
	_, err := ptx.Parse(".version 8.0\n.entry k()\n{\nret;\n")
	require.ErrorContains(t, err, "a kernel without a body")
}

func FuzzParse(f *testing.F) {
	for _, file := range []string{"../../stream/stream.sm_75.ptx.zst"} {
		text, err := os.ReadFile(file)
		require.NoError(f, err)
		f.Add(device.Code(text).Text())
	}
	f.Add(program(2, 2, "add.s32 %out0, %in0, %in1;\n"))
	f.Fuzz(func(t *testing.T, text string) {
		m, err := ptx.Parse(text)
		if err != nil {
			return
		}
		for _, k := range m.Kernels {
			var memory ptx.Memory
			at := memory.Alloc(1024)
			memory.Write(at, make([]byte, 512))
			values := make([]any, len(k.Params))
			for i, p := range k.Params {
				values[i] = uint32(8)
				if p.Size == 8 {
					values[i] = at
				}
			}
			if err := k.Launch(&memory, ptx.Config{Grid: [3]uint32{1, 1, 1}, Block: [3]uint32{32, 1, 1}, Params: params(k, values...), Steps: 10000}); err != nil {
				var fault *ptx.Fault
				require.True(t, errors.As(err, &fault), "%v", err)
			}
		}
	})
}
