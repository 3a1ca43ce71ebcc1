package harness

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/kernels/device"
	"github.com/perwatt/perwatt/results"
)

// testCards are n equal cards.
func testCards(n int) (cards []device.Info) {
	for i := range n {
		cards = append(cards, device.Info{ID: fmt.Sprintf("cuda:%d", i), Kind: device.GPU, Vendor: "NVIDIA", Name: "H200", Driver: "CUDA 13.0", Memory: 141 << 30})
	}
	return cards
}

// scenarios lists names, each with its parts.
func scenarios(all []Scenario) (names []string, parts map[string]string) {
	parts = map[string]string{}
	for _, s := range all {
		names = append(names, s.Name)
		var words []string
		for _, p := range s.Parts {
			word := p.Use + "@" + p.Device.ID
			if p.Variant != "" {
				word += " of " + p.Variant
			}
			if p.Role != results.Alone {
				word += " " + string(p.Role)
			}
			words = append(words, word)
		}
		parts[s.Name] = strings.Join(words, ", ")
	}
	return names, parts
}

// On a machine without a card nothing is called otherwise than it was.
func TestScenariosOfTheCPU(t *testing.T) {
	on := []device.Info{testCPU.Info}
	all, err := Scenarios(nil, on, testWork("mlp"))
	require.NoError(t, err)
	names, _ := scenarios(all)
	require.Equal(t, []string{"idle", "control", "mining", "training-mlp", "compute", "memory", "mullet"}, names)
	some, err := Scenarios([]string{"mullet", "idle", "training", "mining", "mining"}, on, testWork("cnn", "mlp"))
	require.NoError(t, err)
	names, parts := scenarios(some)
	require.Equal(t, []string{"idle", "mining", "training-cnn", "training-mlp", "mullet"}, names)
	require.Equal(t, "training@cpu of mlp", parts["training-mlp"])
	require.Equal(t, "training@cpu of cnn foreground, mining@cpu background", parts["mullet"], "the mullet trains the first")
	_, err = Scenarios([]string{"training"}, on, testWork())
	require.ErrorContains(t, err, `"training": no device of the session can run it`, "without a model")
	served := testWork("mlp", "cnn")
	served.Uses = append(served.Uses, "inference")
	trained := served.Variants
	served.Variants = func(use string, on device.Info) []string {
		if use == "inference" {
			return []string{"prefill-8", "decode-8"}
		}
		return trained(use, on)
	}
	all, err = Scenarios(nil, on, served)
	require.NoError(t, err)
	names, _ = scenarios(all)
	require.Equal(t, []string{"idle", "control", "mining", "training-mlp", "training-cnn", "compute", "memory", "mullet"}, names)
	for _, c := range []struct{ uses, names []string }{
		{[]string{"inference"}, []string{"idle", "inference-prefill-8", "inference-decode-8"}},
		{[]string{"inference-decode-8", "mullet"}, []string{"idle", "inference-decode-8", "mullet"}},
		{[]string{"training-cnn", "training"}, []string{"idle", "training-mlp", "training-cnn"}},
	} {
		some, err = Scenarios(c.uses, on, served)
		require.NoError(t, err)
		names, parts = scenarios(some)
		require.Equal(t, c.names, names)
	}
	require.Equal(t, "training@cpu of cnn", parts["training-cnn"])
	for _, name := range []string{"inference-", "inference-decode-9", "inference-decode", "mining-", "training-bf16-mlp"} {
		_, err = Scenarios([]string{name}, on, served)
		require.ErrorContains(t, err, "unknown use", name)
	}
	_, err = Scenarios([]string{"gaming"}, on, testWork("mlp"))
	require.ErrorContains(t, err, `"gaming"`)
	require.ErrorContains(t, err, "mullet")
}

func TestScenariosOnDevices(t *testing.T) {
	cpu, cards := testCPU.Info, testCards(5)
	other := cards[3]
	other.Name = "L4"
	hip := cards[4]
	hip.ID = "hip:0"
	behind := device.Info{ID: "opencl:0", Kind: device.CPU, Name: "EPYC (a CPU, through OpenCL)", Driver: "PoCL"}
	for _, c := range []struct {
		name  string
		on    []device.Info
		names []string
		want  string // names after idle
		parts map[string]string
		err   string
	}{
		{"all of two", []device.Info{cpu, cards[0]}, nil,
			"control mining mining@cuda:0 training-mlp training-mlp@cuda:0 training-bf16-mlp@cuda:0 compute compute@cuda:0 memory memory@cuda:0 compute-bf16@cuda:0 mullet mullet@cuda:0",
			map[string]string{"mullet@cuda:0": "training-bf16@cuda:0 of mlp foreground, mining@cpu background"}, ""},
		{"all of a card", cards[:1], nil, "mining@cuda:0 training-mlp@cuda:0 training-bf16-mlp@cuda:0 compute@cuda:0 memory@cuda:0 compute-bf16@cuda:0", nil, ""},
		{"equal cards", append([]device.Info{cpu}, cards[:3]...), []string{"mining", "mullet"}, "mining mining@cuda:0-2 mullet mullet@cuda:0-2",
			map[string]string{"mining@cuda:0-2": "mining@cuda:0, mining@cuda:1, mining@cuda:2",
				"mullet@cuda:0-2": "training-bf16@cuda:0 of mlp foreground, training-bf16@cuda:1 of mlp foreground, training-bf16@cuda:2 of mlp foreground, mining@cpu background"}, ""},
		{"a gap", []device.Info{cards[0], cards[1], cards[2], other, cards[4]}, []string{"mining"}, "mining@cuda:0-2,4 mining@cuda:3", nil, ""},
		{"two drivers", []device.Info{cards[0], hip}, []string{"mining"}, "mining@cuda:0 mining@hip:0", nil, ""},
		{"one of several", append([]device.Info{cpu}, cards[:3]...), []string{"mining@cuda:1"}, "mining@cuda:1", map[string]string{"mining@cuda:1": "mining@cuda:1"}, ""},
		{"some of several", cards, []string{"mining@cuda:0-1,4", "mining"}, "mining@cuda:0-1,4 mining@cuda:0-4", nil, ""},
		{"named twice", cards[:2], []string{"mining", "mining@cuda:0-1"}, "mining@cuda:0-1", nil, ""},
		{"the CPU", []device.Info{cpu, cards[0]}, []string{"mining@cpu"}, "mining", nil, ""},
		{"where it runs", []device.Info{cpu, cards[0]}, []string{"control", "compute-bf16"}, "control compute-bf16@cuda:0", nil, ""},
		{"on request", []device.Info{cpu, cards[0]}, []string{"memory-copy"}, "memory-copy@cuda:0", nil, ""},
		{"shared", []device.Info{cpu, cards[0], cards[1]}, []string{"mullet-shared"}, "mullet-shared@cuda:0-1",
			map[string]string{"mullet-shared@cuda:0-1": "training-bf16@cuda:0 of mlp foreground, training-bf16@cuda:1 of mlp foreground, mining@cuda:0 background, mining@cuda:1 background"}, ""},
		{"a CPU behind OpenCL", []device.Info{behind}, []string{"mining", "compute"}, "mining@opencl:0 compute@opencl:0", nil, ""},

		{"not there", []device.Info{cpu, cards[0]}, []string{"mining@hip:0"}, "", nil, `"mining@hip:0": the session has no device "hip:0": it has cpu, cuda:0`},
		{"not all there", cards[:2], []string{"mining@cuda:0-2"}, "", nil, `no device "cuda:2"`},
		{"not equal", []device.Info{cards[0], other}, []string{"mining@cuda:0,3"}, "", nil, "cuda:0 and cuda:3 are not equal"},
		{"no name", []device.Info{cpu}, []string{"mining@"}, "", nil, `the session has no device ""`},
		{"another use", []device.Info{cpu}, []string{"gaming@cpu"}, "", nil, `unknown use "gaming"`},
		{"idle", []device.Info{cpu}, []string{"idle@cpu"}, "", nil, "idle is a state of the whole machine"},
		{"not on the CPU", []device.Info{cpu, cards[0]}, []string{"compute-bf16@cpu"}, "", nil, `"compute-bf16@cpu": no device of the session can run it: cpu runs control, mining, training, compute, memory, mullet`},
		{"nowhere", []device.Info{cpu}, []string{"compute-bf16"}, "", nil, `"compute-bf16": no device of the session can run it: cpu runs control,`},
		{"not on a card", []device.Info{cpu, cards[0], cards[1]}, []string{"control@cuda:0-1"}, "", nil, "cuda:0-1 runs mining, training, training-bf16, compute, memory, compute-bf16, memory-copy, mullet, mullet-shared"},
		{"no CPU behind it", cards[:1], []string{"mullet"}, "", nil, "the CPU, which mines behind a card, is not among the devices"},
		{"no card to share", []device.Info{cpu}, []string{"mullet-shared"}, "", nil, "no device of the session can run it"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Scenarios(c.names, c.on, testWork("mlp"))
			if c.err != "" {
				require.ErrorContains(t, err, c.err)
				return
			}
			require.NoError(t, err)
			names, parts := scenarios(got)
			require.Equal(t, "idle "+c.want, strings.Join(names, " "))
			for name, want := range c.parts {
				require.Equal(t, want, parts[name])
			}
		})
	}
}

// A card that does not train multiplies matrices in front, in bf16 if it can.
func TestMulletOfACardThatDoesNotTrain(t *testing.T) {
	on := append(testCards(1), testCPU.Info)
	for _, precise := range []bool{false, true} {
		work := testWork()
		runs := work.Runs
		work.Runs = func(use string, on device.Info) bool { return !(precise && use == "compute-bf16") && runs(use, on) }
		got, err := Scenarios([]string{"mullet@cuda:0"}, on, work)
		require.NoError(t, err)
		_, parts := scenarios(got)
		want := "compute-bf16"
		if precise {
			want = "compute"
		}
		require.Equal(t, want+"@cuda:0 foreground, mining@cpu background", parts["mullet@cuda:0"])
	}
}
