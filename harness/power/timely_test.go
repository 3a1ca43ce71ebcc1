package power

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// A driver that hangs costs one wait and one reading that is left behind; one
// that is slow costs its time.
func TestTimely(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answers := make(chan string)
		var started atomic.Int32
		hung := func() (string, error) { started.Add(1); return <-answers, nil }
		began := time.Now()
		_, err := Timely("a/tree/power1_input", hung)
		require.ErrorIs(t, err, ErrLate)
		require.EqualError(t, err, "read a/tree/power1_input: no answer within 2s: its driver hangs (see dmesg): unload it, or leave out what reads it (--meter names the others)")
		require.Equal(t, answerLimit, time.Since(began))
		for range 100 {
			_, err = Timely("a/tree/power1_input", hung)
			require.ErrorIs(t, err, ErrLate)
		}
		require.Equal(t, answerLimit, time.Since(began), "waited once")
		require.EqualValues(t, 1, started.Load(), "and left behind once")

		got, err := Timely("a/tree/power2_input", func() (string, error) { time.Sleep(1900 * time.Millisecond); return "7", nil })
		require.NoError(t, err)
		require.Equal(t, "7", got)

		require.ErrorIs(t, Late("a/tree"), ErrLate)
		require.ErrorIs(t, Late("b", "a/tree/power1_input"), ErrLate)
		require.NoError(t, Late("a/tr", "a/tree/power2_input", "b"))

		answers <- "too late"
		synctest.Wait()
		require.ErrorIs(t, Late("a/tree"), ErrLate, "it was late when it was read last")
		got, err = Timely("a/tree/power1_input", func() (string, error) { return "8", nil })
		require.NoError(t, err)
		require.Equal(t, "8", got)
		require.NoError(t, Late("a/tree"))

		own := errors.New("its own")
		_, err = Timely("a/tree/power1_input", func() (string, error) { return "", own })
		require.Equal(t, own, err)
	})
}

// An attribute that hangs while it is opened or read is an error that names it.
func TestAttrHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		end, stop := context.WithCancel(t.Context())
		defer synctest.Wait()
		defer stop()
		path := filepath.Join(t.TempDir(), "energy_uj")
		stuck := func(string) (File, error) { <-end.Done(); return nil, os.ErrClosed }
		began := time.Now()
		_, at, err := ReadMicro(stuck, path)
		require.ErrorIs(t, err, ErrLate)
		require.ErrorContains(t, err, "read "+path+": no answer within 2s: ")
		require.Equal(t, began.Add(answerLimit), at)
		_, err = ReadAttr(stuck, path)
		require.ErrorContains(t, err, "read "+path+": an earlier reading has not come back: ")
	})
}
