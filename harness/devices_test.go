package harness

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/kernels/device"
	"github.com/perwatt/perwatt/results"
)

// child is a process that prints a value.
func child(t *testing.T, v any) *exec.Cmd {
	text, err := json.Marshal(v)
	require.NoError(t, err)
	return exec.Command("sh", "-c", "cat > /dev/null; printf '%s' \"$0\"", string(text))
}

// Each driver says what there is, or why there is nothing; one that dies is named, and
// no process is started for a library that is not there.
func TestFindDevices(t *testing.T) {
	var mu sync.Mutex
	asked := 0
	ask := func(name string) *exec.Cmd {
		mu.Lock()
		defer mu.Unlock()
		asked++
		switch name {
		case "dies":
			return exec.Command("sh", "-c", "echo out of luck >&2; kill -ILL $$")
		case "talks":
			return exec.Command("echo", "hello")
		case "none":
			return child(t, device.Found{Why: device.NoDevice})
		case "refuses":
			return child(t, device.Found{Why: "no permission"})
		case "gone":
			return child(t, device.Found{Absent: true, Why: "no such library"})
		}
		return child(t, device.Found{Driver: "another", Devices: testCards(2)})
	}
	missing := func(name string) (device.Found, bool) {
		return device.Found{Driver: name, Absent: true, Why: "not on this machine"}, name == "missing"
	}
	found, probes, warnings := FindDevices(t.Context(), []string{"cuda", "missing", "dies", "none", "refuses", "gone", "talks"}, missing, ask)
	require.Equal(t, 6, asked)
	require.Equal(t, "cuda", found[0].Driver)
	require.Equal(t, testCards(2), found[0].Devices)
	states := map[string]string{}
	for _, p := range probes {
		states[p.Driver] = p.State + ": " + p.Detail
	}
	require.Contains(t, states["dies"], "failed: it died: signal: illegal instruction")
	require.Contains(t, states["dies"], "out of luck")
	require.Contains(t, states["talks"], "failed: its answer cannot be read")
	delete(states, "dies")
	delete(states, "talks")
	require.Equal(t, map[string]string{"cuda": "found: cuda:0, cuda:1", "missing": "absent: not on this machine", "none": "no device: it has no device",
		"refuses": "failed: no permission", "gone": "absent: no such library"}, states)
	require.Len(t, warnings, 3)
	for _, w := range warnings {
		require.Equal(t, "driver-failed", w.Code)
	}
}

// The CPU is tried here and cards by children; equal cards run one row, if it is right
// on both; what fails is left out, unless nothing else is there.
func TestTrials(t *testing.T) {
	rows := func(chosen, wrong string) trialAnswer {
		k := results.Kernel{Name: "sha256d", Chosen: chosen}
		for _, name := range []string{"one", "two"} {
			im := results.Impl{Name: name, Check: "ok", Rate: results.Absent(), Peak: results.Absent()}
			if name == wrong {
				im.Check = "wrong"
			}
			k.Impls = append(k.Impls, im)
		}
		return trialAnswer{Kernels: []results.Kernel{k}}
	}
	dir := t.TempDir() // of a file for each device, which its child prints
	trials := Trials{
		Kernels: func(_ context.Context, on device.Device, _ map[string]string, names []string) ([]results.Kernel, error) {
			require.Nil(t, names, "all, on the CPU")
			return []results.Kernel{{Name: "sgemm", Device: on.Info().ID}}, nil
		},
		Describe: func(c device.Config) device.Device { return device.Unopened{About: c.Info} },
		Needs:    func(use string, _ device.Info) []string { return []string{"kernel-of-" + use} },
		Child: func() *exec.Cmd {
			return exec.Command("sh", "-c", `order=$(cat); id=$(printf '%s' "$order" | sed 's/.*"ID":"\([^"]*\)".*/\1/'); printf '%s\n' "$order" > "$0/$id.order"; cat "$0/$id"`, dir)
		},
	}
	cards := testCards(3)
	scenarios := []Scenario{{Parts: []Part{{Use: "mining", Device: cards[2]}}}, {Parts: []Part{{Use: "memory", Device: cards[0]}}}}
	for _, c := range []struct {
		name          string
		on            []device.Info
		others, third trialAnswer
		usable        []string
		chosen, why   string // on the third card
		err           string
	}{
		{"equal", cards, rows("one", ""), rows("two", ""), []string{"cuda:0", "cuda:1", "cuda:2"}, "one", "as on cuda:0", ""},
		{"not right on both", cards, rows("one", ""), rows("two", "one"), []string{"cuda:0", "cuda:1", "cuda:2"}, "two", "", ""},
		{"one fails", cards, rows("one", ""), trialAnswer{Error: "CUDA_ERROR_NO_DEVICE (100)"}, []string{"cuda:0", "cuda:1"}, "", "", ""},
		{"those before fail", cards, trialAnswer{Error: "lost"}, rows("two", ""), []string{"cuda:2"}, "two", "", ""},
		{"all fail", cards, trialAnswer{Error: "lost"}, trialAnswer{Error: "gone"}, nil, "", "", "device cuda:0: lost\nlost\ngone"},
		{"beside the CPU", append([]device.Info{testCPU.Info}, cards[2]), trialAnswer{}, trialAnswer{Error: "gone"}, []string{"cpu"}, "", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			for i, card := range cards {
				text, err := json.Marshal(map[bool]trialAnswer{false: c.others, true: c.third}[i == 2])
				require.NoError(t, err)
				require.NoError(t, os.WriteFile(filepath.Join(dir, card.ID), text, 0o600))
			}
			usable, kernels, warnings, err := trials.Run(t.Context(), c.on, nil, scenarios)
			if c.err != "" {
				require.EqualError(t, err, c.err)
				return
			}
			require.NoError(t, err)
			var ids []string
			for _, d := range usable {
				ids = append(ids, d.ID)
			}
			require.Equal(t, c.usable, ids)
			require.Len(t, warnings, len(c.on)-len(usable))
			last := kernels[len(kernels)-1]
			if slices.Contains(ids, "cuda:2") {
				require.Equal(t, []string{c.chosen, c.why}, []string{last.Chosen, last.Why})
			}
			order, err := os.ReadFile(filepath.Join(dir, "cuda:2.order"))
			require.NoError(t, err)
			require.Contains(t, string(order), `"Names":["kernel-of-mining"]`, "what its scenarios need")
		})
	}
}

// The child of a trial answers with what it found, or with the error, and never dies
// of one.
func TestTrial(t *testing.T) {
	open := func(c device.Config) (device.Device, error) {
		if c.ID == "cuda:1" {
			return nil, errors.New("no device cuda:1")
		}
		return device.Unopened{About: c.Info}, nil
	}
	kernels := func(_ context.Context, on device.Device, force map[string]string, names []string) ([]results.Kernel, error) {
		return []results.Kernel{{Name: names[0], Device: on.Info().ID, Chosen: force[names[0]]}}, nil
	}
	for order, want := range map[string]string{
		`{"Device":{"ID":"cuda:0"},"Force":{"scan":"simt"},"Names":["scan"]}`: `"Kernels":[{"name":"scan","device":"cuda:0"`,
		`{"Device":{"ID":"cuda:1"}}`:                                          `"Error":"no device cuda:1"`,
	} {
		var out strings.Builder
		require.NoError(t, Trial(t.Context(), strings.NewReader(order), &out, open, kernels))
		require.Contains(t, out.String(), want)
	}
	require.Error(t, Trial(t.Context(), strings.NewReader("no order"), io.Discard, open, kernels))
}
