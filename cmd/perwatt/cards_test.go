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
