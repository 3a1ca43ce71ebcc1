package devicetest

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/kernels/device"
	"github.com/perwatt/perwatt/kernels/device/ptx"
	"github.com/perwatt/perwatt/kernels/gemm"
)

// Each kernel has a fault of every kind that there is a place for; the second kernel of
// a family has fewer where its text is the first one's.
func TestPlan(t *testing.T) {
	seen, total := map[string]bool{}, map[string]int{}
	for _, trial := range Of(Trials(1), gemm.SIMT) {
		if trial.Family != "simt" {
			continue
		}
		want, got := map[string]bool{}, map[string]bool{}
		text, err := alone(trial.Program.Code["sm_75"].Text(), trial.Kernels[0])
		require.NoError(t, err)
		for _, f := range faults {
			if f.pattern.MatchString(text) {
				want[f.name] = true
			}
		}
		list, _, err := plan(trial, seen, 12)
		require.NoError(t, err)
		texts := map[string]bool{text: true}
		for _, f := range list {
			got[f.name] = true
			require.False(t, texts[f.text], "%s, number %d", f.name, f.number)
			texts[f.text] = true
		}
		require.Equal(t, want, got, trial.Name)
		total[trial.Name] = len(list)
	}
	require.Len(t, total, 12)
	require.Less(t, total["simt_bf16_nt"], total["simt_fp16_nt"])
	_, _, err := plan(Trial{Name: "none", Program: gemm.SIMT, Kernels: []string{"none"}, Arch: "sm_75"}, seen, 1)
	require.ErrorContains(t, err, "no kernel none")
}

// Numbers of registers and labels do not make two places differ; instructions, offsets
// and parameters do.
func TestContext(t *testing.T) {
	const text = "a;\nld.param.b64 %rd1, [k_param_2];\n@%p3 bra $L__BB0_6;\nbar.sync 0;\nadd.s32 %r1, %r2, 4;\nst.global.b32 [%rd2+4], %r1;\nb;\n"
	place := func(text string) string {
		at := faults[0].pattern.FindStringIndex(text)
		return context(text, at[0], at[1])
	}
	for _, c := range []struct {
		old, new string
		same     bool
	}{
		{"$L__BB0_6", "$L__BB11_7", true}, {"%p3", "%p14", true}, {"%r1", "%r155", true}, {"k_param_2", "other_param_2", true}, {"a;", "c;", true}, {"b;", "c;", true},
		{"k_param_2", "k_param_3", false}, {"%r2, 4", "%r2, 8", false}, {"%rd2+4", "%rd2+8", false}, {"@%p3", "@!%p3", false}, {"%r2", "%rd2", false},
	} {
		changed := strings.Replace(text, c.old, c.new, 1)
		require.NotEqual(t, text, changed)
		require.Equal(t, c.same, place(text) == place(changed), "%s, %s", c.old, c.new)
	}
}

// A fault that a trial does not see is reported, and a text that is no program.
func TestPlant(t *testing.T) {
	trial := Trials(1)[0]
	list, _, err := plan(trial, map[string]bool{}, 1)
	require.NoError(t, err)
	whole, err := ptx.Parse(trial.Program.Code[trial.Arch].Text())
	require.NoError(t, err)
	require.NoError(t, list[0].plant(trial, whole))
	trial.Run = func(device.Processor, *device.Program) error { return nil }
	require.ErrorContains(t, list[0].plant(trial, whole), "not found")
	trial.Run = func(device.Processor, *device.Program) error { return errors.New("wrong") }
	list[0].text += "}"
	require.ErrorContains(t, list[0].plant(trial, whole), "ptx: line")
}
