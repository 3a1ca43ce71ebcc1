package ptx_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/kernels/device"
	"github.com/perwatt/perwatt/kernels/device/ptx"
)

// planted are the faults that are put into a text, one at each place where the
// pattern matches.
var planted = []struct {
	name, pattern string
	with          string
}{
	{"barrier removed", `bar\.sync[^;]*;`, ""},
	{"wait removed", `(?:cp\.async|wgmma)\.wait_group[^;]*;`, ""},
	{"wait for one group less", `(cp\.async|wgmma)\.wait_group(\S*)(\s+)1;`, "${1}.wait_group${2}${3}2;"},
	{"last wait lets one group go on", `wgmma\.wait_group(\S*)(\s+)0;`, "wgmma.wait_group${1}${2}1;"},
	{"commit removed", `(?:cp\.async|wgmma)\.commit_group[^;]*;`, ""},
	{"fence removed", `(?:fence\.proxy|fence\.mbarrier_init|wgmma\.fence)[^;]*;`, ""},
	{"copy removed", `cp\.async\.(?:c[ag]|bulk)[^;]*;`, ""},
	{"product removed", `(?:mma\.sync|wgmma\.mma_async|fma\.rn\.f)[^;]*;`, ""},
	{"load of global memory from shared", `ld\.global`, "ld.shared"},
	{"load of shared memory from global", `ld\.shared`, "ld.global"},
	{"store to global memory in shared", `st\.global`, "st.shared"},
	{"store to shared memory in global", `st\.shared`, "st.global"},
	{"load one element off", `(ld\.(?:global|shared)\.b(?:16|32)\s+[^\[]*\[[^+\]]*)(\+\d+)?\]`, "${1}+4${2}]"},
	{"load one part off", `(ld\.(?:global|shared)\.v\d\.b\d\d\s+[^\[]*\[[^+\]]*)(\+\d+)?\]`, "${1}+16${2}]"},
	{"store one element off", `(st\.(?:global|shared)\.b32\s+\[[^+\]]*)(\+\d+)?\]`, "${1}+4${2}]"},
	{"store two elements off", `(st\.global\.v2\.b\d\d\s+\[[^+\]]*)(\+\d+)?\]`, "${1}+16${2}]"},
	{"copy to one part off", `(cp\.async\.cg\S*\s+\[[^+\]]*)(\+\d+)?\]`, "${1}+16${2}]"},
	{"copy from one part off", `(cp\.async\.cg\S*\s+\[[^\]]*\],\s+\[[^+\]]*)(\+\d+)?\]`, "${1}+16${2}]"},
	{"fragment one part off", `(ldmatrix\S*\s+\{[^}]*\},\s+\[[^+\]]*)(\+\d+)?\]`, "${1}+16${2}]"},
	{"mbarrier not initialised", `mbarrier\.init[^;]*;`, ""},
	{"mbarrier of an arrival more", `(mbarrier\.init\S*\s+\[[^\]]*\], )(%\w+);`, "{ .reg .b32 n; add.s32 n, ${2}, 1; ${1}n; }"},
	{"mbarrier of an arrival less", `(mbarrier\.init\S*\s+\[[^\]]*\], )(%\w+);`, "{ .reg .b32 n; sub.s32 n, ${2}, 1; ${1}n; }"},
	{"wait for an mbarrier removed", `mbarrier\.try_wait\S*\s+(\w+), [^;]*;`, "setp.eq.b32 ${1}, 0, 0;"},
	{"wait for the other parity", `(mbarrier\.try_wait\S*\s+\w+, \[[^\]]*\], )(%\w+);`, ".reg .b32 q; xor.b32 q, ${2}, 1; ${1}q;"},
	{"wait for a parity that stays", `(mbarrier\.try_wait\S*\s+\w+, \[[^\]]*\], )(%\w+);`, "${1}0;"},
	{"wait for the mbarrier behind", `(mbarrier\.try_wait\S*\s+\w+, \[%\w+)\]`, "${1}+8]"},
	{"arrival removed", `mbarrier\.arrive[^;]*;`, ""},
	{"arrival at the mbarrier behind", `(mbarrier\.arrive\S*\s+_, \[%\w+)\]`, "${1}+8]"},
	{"two arrivals", `mbarrier\.arrive[^;]*;`, "${0} ${0}"},
	{"no bytes expected", `mbarrier\.arrive\.expect_tx(\S*\s+_, \[[^\]]*\]), [^;]*;`, "mbarrier.arrive${1};"},
	{"more bytes expected", `(mbarrier\.arrive\.expect_tx\S*\s+_, \[[^\]]*\], )(%\w+);`, "{ .reg .b32 n; add.s32 n, ${2}, 16; ${1}n; }"},
	{"fewer bytes expected", `(mbarrier\.arrive\.expect_tx\S*\s+_, \[[^\]]*\], )(%\w+);`, "{ .reg .b32 n; sub.s32 n, ${2}, 16; ${1}n; }"},
	{"bytes of one copy expected", `(mbarrier\.arrive\.expect_tx\S*\s+_, \[[^\]]*\], )(%\w+);`, "${1}16384;"},
	{"box one line off", `(cp\.async\.bulk\S*\s+\[[^+\]]*)\]`, "${1}+128]"},
	{"box at exchanged coordinates", `(cp\.async\.bulk[^{]*)\{(%\w+), (%\w+)\}`, "${1}{${3}, ${2}}"},
	{"box that counts at the mbarrier behind", `(cp\.async\.bulk[^;]*)\];`, "${1}+8];"},
	{"more registers than there are", `(setmaxnreg\.inc\S*)\s+232;`, "${1} 240;"},
	{"registers of a warpgroup that has fewer", `setmaxnreg\.dec(\S*)\s+40;`, "setmaxnreg.inc${1} 40;"},
	{"fragment transposed", `(ldmatrix\.sync\.aligned\.m8n8\.x4)\.shared`, "${1}.trans.shared"},
	{"operand read along k", `(wgmma\.mma_async[^;]*1, 1, [01]), 1;`, "${1}, 0;"},
	{"fragment not transposed", `(ldmatrix\.sync\.aligned\.m8n8\.x4)\.trans`, "${1}"},
}

// variants returns the text with the fault at each place within the kernel.
func variants(text, kernel, pattern, with string) (list []string) {
	from := strings.Index(text, ".entry "+kernel+"(")
	to := len(text)
	if next := strings.Index(text[from+1:], ".entry "); next > 0 {
		to = from + 1 + next
	}
	re := regexp.MustCompile(pattern)
	for _, at := range re.FindAllStringSubmatchIndex(text[from:to], -1) {
		body := text[from:to]
		list = append(list, text[:from]+body[:at[0]]+string(re.ExpandString(nil, with, body, at))+body[at[1]:]+text[to:])
	}
	return list
}

// alone returns the module without its other kernels, which are only to be parsed.
func alone(text, kernel string) string {
	head, _, _ := strings.Cut(text, ".visible .entry ")
	_, body, _ := strings.Cut(text, ".visible .entry "+kernel+"(")
	body, _, _ = strings.Cut(body, ".visible .entry ")
	return head + ".visible .entry " + kernel + "(" + body
}

// Every fault is found, by a fault of the launch or by a wrong answer.
func TestPlantedFaults(t *testing.T) {
	for _, trial := range trials() {
		if strings.HasSuffix(trial.Name, "_peak_fp16") || strings.HasSuffix(trial.Name, "_peak_tf32") {
			continue // the instructions of bf16 in another form
		}
		passes := strings.HasPrefix(trial.Name, "nn_")
		if passes && trial.Arch == "sm_75" && strings.HasPrefix(trial.Name, "nn_fp32") == slices.Contains([]string{"nn_fp32_attention64", "nn_fp32_attention_grad64", "nn_bf16_layer_norm", "nn_bf16_attention64"}, trial.Name) {
			continue // the other format and the other width have its instructions
		}
		t.Run(trial.Name, func(t *testing.T) {
			t.Parallel()
			text, ok := trial.Program.For(trial.Arch)
			require.True(t, ok)
			if len(trial.Kernels) == 1 {
				// The trial may use another kernel too.
				one := alone(text, trial.Kernels[0])
				if trial.Run(&ptx.Processor{Arch: trial.Arch}, &device.Program{Name: trial.Name, Code: map[string]string{trial.Arch: one}}) == nil {
					text = one
				}
			}
			most := 12 // faults of a kind
			switch {
			case passes:
				most = 4 // many kernels
			case strings.HasSuffix(trial.Name, "_nn"), strings.HasSuffix(trial.Name, "_tn"), strings.Contains(trial.Name, "mma_fp16"):
				most = 3 // nt, or bf16, in another form, but for what loads
			}
			total := 0
			for _, kernel := range trial.Kernels {
				for _, fault := range planted {
					list := variants(text, kernel, fault.pattern, fault.with)
					// Unrolled loops repeat an instruction very often. Those that order
					// threads are few, and each of them is tried.
					stride := max(1, len(list)/most)
					if passes && fault.with == "" {
						stride = max(1, len(list)/12)
					}
					if testing.Short() {
						stride = max(1, len(list)) // one of a kind
					}
					for i := 0; i < len(list); i += stride {
						broken := &device.Program{Name: trial.Name, Code: map[string]string{trial.Arch: list[i]}}
						if err := trial.Run(&ptx.Processor{Arch: trial.Arch, Steps: 1 << 20}, broken); err == nil {
							t.Errorf("%s: %s: number %d of %d is not found", kernel, fault.name, i, len(list))
						} else if strings.Contains(err.Error(), "ptx: line") || strings.Contains(err.Error(), "has no kernel") {
							t.Errorf("%s: %s: number %d of %d is no program: %v", kernel, fault.name, i, len(list), err)
						}
						total++
					}
				}
			}
			require.NotZero(t, total)
			t.Logf("%d planted faults", total)
		})
	}
}
