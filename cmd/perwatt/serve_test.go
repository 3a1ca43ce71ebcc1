package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Served on loopback until the first Ctrl-C, which is no error.
func TestServe(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	out, stdout := io.Pipe()
	code := make(chan int, 1)
	var stderr strings.Builder
	go func() {
		code <- run(ctx, []string{"serve", "--store", t.TempDir(), "--listen", "127.0.0.1:0"}, stdout, &stderr)
		stdout.Close()
	}()
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	require.Regexp(t, `^http://127\.0\.0\.1:\d+/\n$`, line)
	client := &http.Client{Timeout: time.Minute}
	r, err := client.Get(strings.TrimSpace(line))
	require.NoError(t, err)
	page, err := io.ReadAll(r.Body)
	r.Body.Close()
	require.NoError(t, err)
	require.Equal(t, 200, r.StatusCode)
	require.Contains(t, string(page), "There is nothing to show yet")
	interrupt()
	select {
	case c := <-code:
		require.Equal(t, exitOK, c, stderr.String())
	case <-time.After(time.Minute):
		t.Fatal("it goes on after Ctrl-C")
	}
	require.Empty(t, stderr.String())
}

func TestServeRefuses(t *testing.T) {
	var stderr strings.Builder
	require.Equal(t, exitUsage, run(t.Context(), []string{"serve", "--store", t.TempDir(), "--listen", "nowhere"}, io.Discard, &stderr))
	require.Contains(t, stderr.String(), `--listen "nowhere": `)
}
