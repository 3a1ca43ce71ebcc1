package main

import (
	"bytes"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/kernels/device"
	"github.com/perwatt/perwatt/kernels/device/devicetest/fakecuda"
	"github.com/perwatt/perwatt/kernels/sha256d"
	"github.com/perwatt/perwatt/results"
)

// fakeCards puts n equal cards behind a libcuda that worker processes load.
func fakeCards(t *testing.T, n int) []*fakecuda.Card {
	if _, err := exec.LookPath("cc"); err != nil {
		t.Skip("no C compiler: the library's stand-in cannot be built")
	}
	dir := t.TempDir()
	_, err := fakecuda.Build(dir)
	require.NoError(t, err)
	var cards []*fakecuda.Card
	for i := range n {
		cards = append(cards, &fakecuda.Card{Name: "Fake H200", PCI: fmt.Sprintf("0000:%02x:00.0", i+1), UUID: [16]byte{byte(i + 1)}, Memory: 1 << 30, Major: 9})
	}
	driver, err := fakecuda.Serve(dir, cards...)
	require.NoError(t, err)
	t.Cleanup(func() { driver.Close() })
	t.Setenv("PERWATT_FAKE_CUDA", driver.Socket)
	t.Setenv("LD_LIBRARY_PATH", dir)
	return cards
}

// onText calls then when text is written for the first time.
type onText struct {
	bytes.Buffer
	text string
	then func()
}

func (w *onText) Write(p []byte) (int, error) {
	n, err := w.Buffer.Write(p)
	if w.then != nil && strings.Contains(w.String(), w.text) {
		w.then()
		w.then = nil
	}
	return n, err
}

// Of several cards one is lost in mid-run, from the driver's error up to the exit
// code: the others have their results, and the reason is said.
func TestOneOfSeveralCardsIsLost(t *testing.T) {
	n := 8
	if testing.Short() {
		n = 2
	}
	cards := fakeCards(t, n)
	var stdout bytes.Buffer
	stderr := onText{text: "run 1/2  round 1  idle", then: func() { cards[1].Fail(3, 700) }}
	code := run(t.Context(), []string{"run", "--preset", "smoke", "--device", "gpu", "--uses", "mining", "--meter", "declared:300", "--store", t.TempDir(), "--format", "json"}, &stdout, &stderr)
	require.Equal(t, exitGate, code, stderr.String())
	require.Contains(t, stderr.String(), "; cuda:1 gave no result: ")
	require.Contains(t, stderr.String(), "1 result of a card missing, while the others went on")
	rec := record(t, stdout.String())
	require.Equal(t, fmt.Sprintf("mining@cuda:0-%d", n-1), rec.Runs[1].Scenario)
	require.Equal(t, results.OK, rec.Runs[1].Status, rec.Runs[1].Error)
	for _, u := range rec.Runs[1].Uses {
		if u.Device == "cuda:1" {
			require.Contains(t, u.Error, "CUDA_ERROR_ILLEGAL_ADDRESS (700)")
		} else {
			require.Empty(t, u.Error, u.Device)
		}
	}
	for _, row := range rec.Summary.Rows {
		if row.Cards != nil {
			require.Equal(t, []int{n, n - 1}, []int{row.Cards.Of, row.Cards.Gave})
			require.False(t, row.Metrics[results.WorkPerEnergy].Value.IsAbsent())
		}
		require.NotEqual(t, "cuda:1", row.Device)
	}
}

// An error of a card is named, by the driver's own name and number: it fails its run,
// and the CPU is measured all the same.
func TestErrorsOfACard(t *testing.T) {
	if testing.Short() {
		t.Skip("TestOneOfSeveralCardsIsLost is the like")
	}
	for _, c := range []struct {
		name   string
		memory int64
		code   int // of a launch in mid-run; 0: nothing can be allocated
		want   string
	}{
		{"lost", 1 << 30, 700, "CUDA_ERROR_ILLEGAL_ADDRESS (700)"},
		{"another's context", 1 << 30, 201, "CUDA_ERROR_INVALID_CONTEXT (201)"},
		{"memory error", 1 << 30, 214, "CUDA_ERROR_ECC_UNCORRECTABLE (214)"},
		{"no memory", 64, 0, "CUDA_ERROR_OUT_OF_MEMORY (2)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			card := fakeCards(t, 1)[0]
			card.Memory = c.memory
			var stdout bytes.Buffer
			stderr := onText{text: "run 1/3  round 1  idle", then: func() {
				if c.code != 0 {
					card.Fail(3, c.code)
				}
			}}
			code := run(t.Context(), []string{"run", "--preset", "smoke", "--window", "500ms", "--warmup", "500ms", "--uses", "mining", "--meter", "none", "--store", t.TempDir(), "--format", "json"}, &stdout, &stderr)
			rec := record(t, stdout.String())
			status := map[string]results.Status{}
			for _, r := range rec.Runs {
				status[r.Scenario] = r.Status
			}
			require.Equal(t, results.OK, status["mining"])
			require.Equal(t, exitGate, code, stderr.String())
			require.Equal(t, results.Failed, status["mining@cuda:0"])
			require.Contains(t, rec.Runs[len(rec.Runs)-1].Error, c.want)
		})
	}
}

// A driver that refuses the PTX of one kernel is named, by its number; the other uses
// of the card, another card and the CPU are measured all the same.
func TestProgramIsRefused(t *testing.T) {
	if testing.Short() {
		t.Skip("TestOneOfSeveralCardsIsLost is the like")
	}
	cards := fakeCards(t, 2)
	cards[0].Name, cards[0].Refuse = "Fake H100", ".entry scan("
	want := map[string]results.Status{"idle": results.OK, "mining": results.OK, "mining@cuda:0": results.Failed, "mining@cuda:1": results.OK, "memory@cuda:0": results.OK}
	code, stdout, stderr := perwatt(t, t.Context(), "run", "--preset", "smoke", "--window", "500ms", "--warmup", "500ms", "--uses", "mining,memory@cuda:0", "--meter", "none", "--store", t.TempDir(), "--format", "json")
	require.Equal(t, exitGate, code, stderr)
	status := map[string]results.Status{}
	for _, r := range record(t, stdout).Runs {
		if status[r.Scenario] = r.Status; r.Status != results.OK {
			require.Contains(t, r.Error, "CUDA_ERROR_INVALID_PTX (218)")
		}
	}
	require.Equal(t, want, status)
}

// A session on a card of AMD's, behind a stand-in for libamdhip64: what is computed is
// the PTX of the same programs in place of their code objects, which nothing here
// interprets. The library, its errors and the record are the way of HIP.
func TestSessionOnHIP(t *testing.T) {
	if testing.Short() {
		t.Skip("TestOneOfSeveralCardsIsLost is the like")
	}
	if _, err := exec.LookPath("cc"); err != nil {
		t.Skip("no C compiler: the library's stand-in cannot be built")
	}
	dir := t.TempDir()
	_, err := fakecuda.BuildHIP(dir)
	require.NoError(t, err)
	card := &fakecuda.Card{Name: "PTX in place of gfx942", PCI: "0000:c1:00.0", UUID: [16]byte([]byte("60bd8b8d3e4fa425")), Memory: 1 << 30, Arch: "gfx942:sramecc+:xnack-"}
	driver, err := fakecuda.ServeHIP(dir, []*device.Program{sha256d.Program}, card)
	require.NoError(t, err)
	t.Cleanup(func() { driver.Close() })
	t.Setenv("PERWATT_FAKE_HIP", driver.Socket)
	t.Setenv("LD_LIBRARY_PATH", dir)
	session := func(then func()) (*results.Record, int, string) {
		var stdout bytes.Buffer
		stderr := onText{text: "run 1/2  round 1  idle", then: then}
		code := run(t.Context(), []string{"run", "--preset", "smoke", "--window", "500ms", "--warmup", "500ms", "--device", "hip:0", "--uses", "mining", "--meter", "declared:300", "--store", t.TempDir(), "--format", "json"}, &stdout, &stderr)
		return record(t, stdout.String()), code, stderr.String()
	}
	rec, code, stderr := session(nil)
	require.Equal(t, exitOK, code, stderr)
	d := rec.Node.Device("hip:0")
	require.Equal(t, []string{card.Name, card.PCI, "GPU-60bd8b8d3e4fa425", "HIP 6.3"}, []string{d.Model, d.PCI, d.UUID, d.Driver})
	require.Equal(t, "mining@hip:0", rec.Runs[1].Scenario)
	require.Equal(t, results.OK, rec.Runs[1].Status, rec.Runs[1].Error)
	for _, c := range rec.Runs[1].Checks {
		require.True(t, c.OK, c.Detail)
	}
	row := rec.Summary.Rows[len(rec.Summary.Rows)-1]
	require.Equal(t, "hip:0", row.Device)
	require.False(t, row.Metrics[results.WorkPerEnergy].Value.IsAbsent(), "declared watts of the node")

	rec, code, stderr = session(func() { card.Fail(3, 719) })
	require.Equal(t, exitGate, code, stderr)
	require.Contains(t, rec.Runs[1].Error, "hipErrorLaunchFailure (719)")
}

// A driver that kills its process when it is loaded, and one that is no library,
// leave the CPU to be measured, and are named.
func TestDriverThatDies(t *testing.T) {
	if _, err := exec.LookPath("cc"); err != nil {
		t.Skip("no C compiler")
	}
	for name, source := range map[string]string{
		"SIGILL: ":      "__attribute__((constructor)) static void die(void) { __builtin_trap(); }",
		"has no cuInit": "int nothing;",
	} {
		dir := t.TempDir()
		_, err := fakecuda.Compile(dir, "libcuda.so.1", source)
		require.NoError(t, err)
		t.Setenv("LD_LIBRARY_PATH", dir)
		code, stdout, stderr := perwatt(t, t.Context(), "node", "--meter", "none")
		require.Equal(t, exitOK, code, stderr)
		require.Regexp(t, `cuda +failed: .*`+name, stdout)
		require.Contains(t, stdout, "driver-failed")
		require.Regexp(t, `cpu +cpu .* yes`, stdout)
	}
	code, _, stderr := perwatt(t, t.Context(), "run", "--device", "gpu")
	require.Equal(t, exitUsage, code)
	require.Contains(t, stderr, "no GPU found")
}
