package harness

import (
	"context"
	"fmt"
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// address is a lock of this test alone.
func address(t *testing.T) string { return fmt.Sprintf("@perwatt/test-%d-%s", os.Getpid(), t.Name()) }

func announced(t *testing.T, patience time.Duration) *Neighbours {
	t.Helper()
	n, err := announce(t.Context(), address(t), patience, false, func(Neighbour) {})
	require.NoError(t, err)
	return n
}

// TestNeighbours: who measures at the same time is known to all, also after the
// first has ended, and to none that measured at another time.
func TestNeighbours(t *testing.T) {
	began := time.Now()
	a := announced(t, 0)
	defer a.Close()
	require.Empty(t, a.Since(began), "alone")
	b := announced(t, 0)
	require.Len(t, b.Since(began), 1, "the second knows at once")
	require.Equal(t, os.Getpid(), b.Since(began)[0].PID)
	require.Equal(t, os.Getuid(), b.Since(began)[0].UID)
	require.WithinDuration(t, time.Now(), b.Since(began)[0].Since, 10*time.Minute)
	require.Eventually(t, func() bool { return len(a.Since(began)) == 1 }, 10*time.Second, time.Millisecond, "and so does the first")
	b.Close()
	require.Eventually(t, func() bool { return len(a.Since(time.Now())) == 0 }, 10*time.Second, time.Millisecond, "it has ended")
	require.Len(t, a.Since(began), 1, "and was there")
	c, later := announced(t, 0), time.Now()
	defer c.Close()
	a.Close()
	require.Eventually(t, func() bool { return len(c.Since(time.Now())) == 0 }, 10*time.Second, time.Millisecond)
	d := announced(t, 0) // the lock went over to c
	defer d.Close()
	require.Eventually(t, func() bool { return len(c.Since(time.Now())) == 1 && len(d.Since(later)) == 1 }, 10*time.Second, time.Millisecond)
}

// TestNeighbourWaits: one that waits disturbs nobody, and comes when the other
// has ended; but not for longer than it was told to.
func TestNeighbourWaits(t *testing.T) {
	began := time.Now()
	a := announced(t, 0)
	late := announced(t, 100*time.Millisecond)
	require.Len(t, late.Since(began), 1, "it measures beside the other")
	require.Eventually(t, func() bool { return len(a.Since(began)) == 1 }, 10*time.Second, time.Millisecond)
	late.Close()
	require.Eventually(t, func() bool { return len(a.Since(time.Now())) == 0 }, 10*time.Second, time.Millisecond)
	after := time.Now()
	told, come := make(chan Neighbour, 1), make(chan *Neighbours)
	go func() {
		n, _ := announce(t.Context(), address(t), time.Minute, false, func(n Neighbour) { told <- n })
		come <- n
	}()
	require.Equal(t, os.Getpid(), (<-told).PID)
	time.Sleep(20 * time.Millisecond)
	require.Empty(t, a.Since(after), "one that waits does not measure")
	a.Close()
	n := <-come
	require.Empty(t, n.Since(after))
	n.Close()

	a = announced(t, 0)
	defer a.Close()
	ctx, cancel := context.WithCancel(t.Context())
	_, err := announce(ctx, address(t), time.Minute, false, func(Neighbour) { cancel() })
	require.ErrorIs(t, err, context.Canceled)
}

// TestNeighbourAlone: one that is to be alone does not measure beside another, which
// learns nothing of it; it takes its turn where it waits long enough.
func TestNeighbourAlone(t *testing.T) {
	began := time.Now()
	a := announced(t, 0)
	for _, patience := range []time.Duration{0, 50 * time.Millisecond} {
		n, err := announce(t.Context(), address(t), patience, true, func(Neighbour) {})
		var beside NotAlone
		require.ErrorAs(t, err, &beside)
		require.Nil(t, n)
		require.Equal(t, os.Getpid(), beside.PID)
		require.ErrorContains(t, err, "another perwatt run measures on this machine: process ")
	}
	b := announced(t, 0) // what comes later is noticed, so what came before would have been
	require.Eventually(t, func() bool { return len(a.Since(began)) == 1 }, 10*time.Second, time.Millisecond)
	a.mu.Lock()
	require.Len(t, a.seen, 1, "only the one that measures")
	a.mu.Unlock()
	b.Close()
	come := make(chan *Neighbours)
	go func() {
		n, _ := announce(t.Context(), address(t), time.Minute, true, func(Neighbour) { go a.Close() })
		come <- n
	}()
	n := <-come
	require.NotNil(t, n, "it waited, and is alone")
	require.Empty(t, n.Since(time.Now()))
	n.Close()
}

// TestNeighbourStrangers: a stranger that holds the lock, or that comes to who
// holds it, stops no run.
func TestNeighbourStrangers(t *testing.T) {
	began := time.Now()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: address(t), Net: "unix"})
	require.NoError(t, err)
	n := announced(t, 0) // nobody accepts, and nobody answers
	require.Len(t, n.Since(began), 1)
	n.Close()
	l.Close()

	n = announced(t, 0)
	defer n.Close()
	for range 4 * mostNeighbours {
		c, err := net.Dial("unix", address(t))
		require.NoError(t, err)
		defer c.Close()
		_, _ = c.Write([]byte("many words that nobody asked for"))
	}
	require.LessOrEqual(t, len(n.Since(began)), mostNeighbours)
}

func TestNeighbourWarning(t *testing.T) {
	since := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	w := NeighbourWarning([]Neighbour{{PID: 7, UID: 1000, Command: "perwatt run", Since: since}, {}, {PID: 8}, {PID: 9}, {PID: 10}, {PID: 11}})
	require.Equal(t, "second-run", w.Code)
	require.Equal(t, "another perwatt run measured on this machine at the same time: process 7 of user 1000 since 2026-01-02 03:04:05 UTC (perwatt run), a process that cannot be seen from here, process 8 of user 0, process 9 of user 0, and 2 more", w.Text)
	require.Contains(t, w.Remedy, "--wait")
}

func TestStartOf(t *testing.T) {
	self, err := os.ReadFile("/proc/self/stat")
	require.NoError(t, err)
	require.WithinDuration(t, time.Now(), startOf(self), 10*time.Minute)
	for _, bad := range []string{"", "1 (a) S 1", "1 (a) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 99999999999999 1", "1 (a) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 x 1"} {
		require.Zero(t, startOf([]byte(bad)), bad)
	}
}
