package main

import (
	"bytes"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/kernels/device/devicetest/fakecuda"
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
			if testing.Short() && (c.code == 214 || c.code == 201) {
				t.Skip("as 700")
			}
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
