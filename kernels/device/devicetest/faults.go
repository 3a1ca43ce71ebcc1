package devicetest

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/kernels/device"
	"github.com/perwatt/perwatt/kernels/device/ptx"
)

// faults are what is put into a text, one at each place where the pattern matches.
var faults = []struct {
	name    string
	pattern *regexp.Regexp
	with    string
}{
	{"barrier removed", regexp.MustCompile(`bar\.sync[^;]*;`), ""},
	{"wait removed", regexp.MustCompile(`(?:cp\.async|wgmma)\.wait_group[^;]*;`), ""},
	{"wait for one group less", regexp.MustCompile(`(cp\.async|wgmma)\.wait_group(\S*)(\s+)1;`), "${1}.wait_group${2}${3}2;"},
	{"last wait lets one group go on", regexp.MustCompile(`wgmma\.wait_group(\S*)(\s+)0;`), "wgmma.wait_group${1}${2}1;"},
	{"commit removed", regexp.MustCompile(`(?:cp\.async|wgmma)\.commit_group[^;]*;`), ""},
	{"fence removed", regexp.MustCompile(`(?:fence\.proxy|fence\.mbarrier_init|wgmma\.fence)[^;]*;`), ""},
	{"copy removed", regexp.MustCompile(`cp\.async\.(?:c[ag]|bulk)[^;]*;`), ""},
	{"product removed", regexp.MustCompile(`(?:mma\.sync|wgmma\.mma_async|fma\.rn\.f)[^;]*;`), ""},
	{"load of global memory from shared", regexp.MustCompile(`ld\.global`), "ld.shared"},
	{"load of shared memory from global", regexp.MustCompile(`ld\.shared`), "ld.global"},
	{"store to global memory in shared", regexp.MustCompile(`st\.global`), "st.shared"},
	{"store to shared memory in global", regexp.MustCompile(`st\.shared`), "st.global"},
	{"load one element off", regexp.MustCompile(`(ld\.(?:global|shared)\.b(?:16|32)\s+[^\[]*\[[^+\]]*)(\+\d+)?\]`), "${1}+4${2}]"},
	{"load one part off", regexp.MustCompile(`(ld\.(?:global|shared)\.v\d\.b\d\d\s+[^\[]*\[[^+\]]*)(\+\d+)?\]`), "${1}+16${2}]"},
	{"store one element off", regexp.MustCompile(`(st\.(?:global|shared)\.b32\s+\[[^+\]]*)(\+\d+)?\]`), "${1}+4${2}]"},
	{"store two elements off", regexp.MustCompile(`(st\.global\.v2\.b\d\d\s+\[[^+\]]*)(\+\d+)?\]`), "${1}+16${2}]"},
	{"copy to one part off", regexp.MustCompile(`(cp\.async\.cg\S*\s+\[[^+\]]*)(\+\d+)?\]`), "${1}+16${2}]"},
	{"copy from one part off", regexp.MustCompile(`(cp\.async\.cg\S*\s+\[[^\]]*\],\s+\[[^+\]]*)(\+\d+)?\]`), "${1}+16${2}]"},
	{"fragment one part off", regexp.MustCompile(`(ldmatrix\S*\s+\{[^}]*\},\s+\[[^+\]]*)(\+\d+)?\]`), "${1}+16${2}]"},
	{"mbarrier not initialised", regexp.MustCompile(`mbarrier\.init[^;]*;`), ""},
	{"mbarrier of an arrival more", regexp.MustCompile(`(mbarrier\.init\S*\s+\[[^\]]*\], )(%\w+);`), "{ .reg .b32 n; add.s32 n, ${2}, 1; ${1}n; }"},
	{"mbarrier of an arrival less", regexp.MustCompile(`(mbarrier\.init\S*\s+\[[^\]]*\], )(%\w+);`), "{ .reg .b32 n; sub.s32 n, ${2}, 1; ${1}n; }"},
	{"wait for an mbarrier removed", regexp.MustCompile(`mbarrier\.try_wait\S*\s+(\w+), [^;]*;`), "setp.eq.b32 ${1}, 0, 0;"},
	{"wait for the other parity", regexp.MustCompile(`(mbarrier\.try_wait\S*\s+\w+, \[[^\]]*\], )(%\w+);`), ".reg .b32 q; xor.b32 q, ${2}, 1; ${1}q;"},
	{"wait for a parity that stays", regexp.MustCompile(`(mbarrier\.try_wait\S*\s+\w+, \[[^\]]*\], )(%\w+);`), "${1}0;"},
	{"wait for the mbarrier behind", regexp.MustCompile(`(mbarrier\.try_wait\S*\s+\w+, \[%\w+)\]`), "${1}+8]"},
	{"arrival removed", regexp.MustCompile(`mbarrier\.arrive[^;]*;`), ""},
	{"arrival at the mbarrier behind", regexp.MustCompile(`(mbarrier\.arrive\S*\s+_, \[%\w+)\]`), "${1}+8]"},
	{"two arrivals", regexp.MustCompile(`mbarrier\.arrive[^;]*;`), "${0} ${0}"},
	{"no bytes expected", regexp.MustCompile(`mbarrier\.arrive\.expect_tx(\S*\s+_, \[[^\]]*\]), [^;]*;`), "mbarrier.arrive${1};"},
	{"more bytes expected", regexp.MustCompile(`(mbarrier\.arrive\.expect_tx\S*\s+_, \[[^\]]*\], )(%\w+);`), "{ .reg .b32 n; add.s32 n, ${2}, 16; ${1}n; }"},
	{"fewer bytes expected", regexp.MustCompile(`(mbarrier\.arrive\.expect_tx\S*\s+_, \[[^\]]*\], )(%\w+);`), "{ .reg .b32 n; sub.s32 n, ${2}, 16; ${1}n; }"},
	{"bytes of one copy expected", regexp.MustCompile(`(mbarrier\.arrive\.expect_tx\S*\s+_, \[[^\]]*\], )(%\w+);`), "${1}16384;"},
	{"box one line off", regexp.MustCompile(`(cp\.async\.bulk\S*\s+\[[^+\]]*)\]`), "${1}+128]"},
	{"box at exchanged coordinates", regexp.MustCompile(`(cp\.async\.bulk[^{]*)\{(%\w+), (%\w+)\}`), "${1}{${3}, ${2}}"},
	{"box that counts at the mbarrier behind", regexp.MustCompile(`(cp\.async\.bulk[^;]*)\];`), "${1}+8];"},
	{"more registers than there are", regexp.MustCompile(`(setmaxnreg\.inc\S*)\s+232;`), "${1} 240;"},
	{"registers of a warpgroup that has fewer", regexp.MustCompile(`setmaxnreg\.dec(\S*)\s+40;`), "setmaxnreg.inc${1} 40;"},
	{"fragment transposed", regexp.MustCompile(`(ldmatrix\.sync\.aligned\.m8n8\.x4)\.shared`), "${1}.trans.shared"},
	{"operand read along k", regexp.MustCompile(`(wgmma\.mma_async[^;]*1, 1, [01]), 1;`), "${1}, 0;"},
	{"fragment not transposed", regexp.MustCompile(`(ldmatrix\.sync\.aligned\.m8n8\.x4)\.trans`), "${1}"},
}

// steps are what a thread may execute in a launch: many times what a trial needs, and
// few enough for a loop that a fault has made endless.
const steps = 1 << 20

// fault is one of faults at a place of a kernel.
type fault struct {
	kernel, name string
	number, of   int    // of the places in the kernel
	text         string // a module of this kernel alone
}

// TestFaults plants faults in the kernels of programs that a trial tries, each in a copy
// of its own, and expects each to be found: the interpreter faults, or the trial sees a
// wrong answer.
//
// Unrolled loops repeat an instruction very often, and the kernels of a family repeat
// each other. Of the places of a kind, every kernel gets the first, and 12 to 23 of
// those, evenly spread, that are new: where the family has no such fault yet. Two places
// are the same if the statements there, and two before and behind them, differ in
// nothing but numbers of registers, labels and parameters of other kernels. A short test
// plants one of a kind, in [Few] kernels.
func TestFaults(t *testing.T, programs ...*device.Program) {
	trials, most := slices.DeleteFunc(Of(Trials(1), programs...), func(t Trial) bool { return t.Arch == "" }), 12
	if testing.Short() {
		trials, most = Few(trials), 1
	}
	planted, same := 0, 0
	seen := map[string]bool{}
	for _, trial := range trials {
		list, left, err := plan(trial, seen, most)
		require.NoError(t, err)
		require.NotEmpty(t, list)
		planted, same = planted+len(list), same+left
		t.Run(trial.Name, func(t *testing.T) {
			t.Parallel()
			text, _ := trial.Program.For(trial.Arch)
			whole, err := ptx.Parse(text)
			require.NoError(t, err)
			require.NoError(t, trial.Run(&ptx.Processor{Arch: trial.Arch, Steps: steps}, trial.Program))
			for _, f := range list {
				if err := f.plant(trial, whole); err != nil {
					t.Errorf("%s: %s, number %d of %d: %v", f.kernel, f.name, f.number, f.of, err)
				}
			}
		})
	}
	require.NotZero(t, planted)
	t.Logf("%d faults in %d trials; %d more places are like one that has a fault", planted, len(trials), same)
}

// plan returns the faults for the kernels of a trial, and notes where they are. Left is
// how many places are like one that was noted before.
func plan(trial Trial, seen map[string]bool, most int) (list []fault, left int, err error) {
	text, ok := trial.Program.For(trial.Arch)
	if !ok {
		return nil, 0, fmt.Errorf("%s: no text for %s", trial.Name, trial.Arch)
	}
	var noted []string
	for _, kernel := range trial.Kernels {
		text, err := alone(text, kernel)
		if err != nil {
			return nil, 0, fmt.Errorf("%s: %w", trial.Name, err)
		}
		for _, f := range faults {
			places := f.pattern.FindAllStringSubmatchIndex(text, -1)
			var fresh []int
			contexts := make([]string, len(places))
			for i, at := range places {
				contexts[i] = trial.Family + ": " + f.name + "\n" + context(text, at[0], at[1])
				if i == 0 || !seen[contexts[i]] {
					fresh = append(fresh, i)
				}
			}
			left += len(places) - len(fresh)
			for i := 0; i < len(fresh); i += max(1, len(fresh)/most) {
				n := fresh[i]
				at := places[n]
				list = append(list, fault{kernel, f.name, n, len(places),
					text[:at[0]] + string(f.pattern.ExpandString(nil, f.with, text, at)) + text[at[1]:]})
				noted = append(noted, contexts[n])
			}
		}
	}
	for _, place := range noted {
		seen[place] = true
	}
	return list, left, nil
}

// alone returns the head of a module's text, and one of its kernels.
func alone(text, kernel string) (string, error) {
	const entry = ".visible .entry "
	head, _, _ := strings.Cut(text, entry)
	_, body, found := strings.Cut(text, entry+kernel+"(")
	if !found {
		return "", fmt.Errorf("no kernel %s", kernel)
	}
	body, _, _ = strings.Cut(body, entry)
	return head + entry + kernel + "(" + body, nil
}

// names are those that differ between kernels that do the same.
var names = regexp.MustCompile(`(%[a-z]+|\$L__BB|\w+_param_)\d+(?:_\d+)?`)

// context returns the statements at a place, and two before and behind them, without
// names.
func context(text string, from, to int) string {
	for range 3 {
		from = max(0, strings.LastIndexByte(text[:from], '\n'))
		if end := strings.IndexByte(text[to:], '\n'); end >= 0 {
			to += end + 1
		}
	}
	return names.ReplaceAllStringFunc(text[from:to], func(name string) string {
		if i := strings.Index(name, "_param_"); i >= 0 {
			return name[i:] // which one matters
		}
		return strings.TrimRight(name, "_0123456789")
	})
}

// plant runs the trial with the fault in its module. It is an error if the fault is not
// found, or if the text is no longer a program.
func (f fault) plant(trial Trial, whole *ptx.Module) error {
	broken, err := ptx.Parse(f.text)
	if err != nil {
		return err
	}
	kernels := maps.Clone(whole.Kernels)
	kernels[f.kernel] = broken.Kernels[f.kernel]
	p := &ptx.Processor{Arch: trial.Arch, Steps: steps}
	p.Load(trial.Program, &ptx.Module{Version: whole.Version, Target: whole.Target, Kernels: kernels})
	if trial.Run(p, trial.Program) == nil {
		return fmt.Errorf("not found")
	}
	return nil
}
