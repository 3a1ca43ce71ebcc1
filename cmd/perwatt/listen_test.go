package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestListen(t *testing.T) {
	for address, want := range map[string]string{":0": "127.0.0.1", "0": "127.0.0.1", "localhost:0": "127.0.0.1", "0.0.0.0:0": "::", "[::]:0": "::"} {
		l, err := listen(t.Context(), address)
		require.NoError(t, err, address)
		require.Contains(t, l.Addr().String(), want, "only who asks for it is seen by others")
		require.NoError(t, l.Close())
	}
	for _, address := range []string{"a:b:c", "127.0.0.1", ":http:", "0.0.0.0", ":99999", "host"} {
		_, err := listen(t.Context(), address)
		require.ErrorContains(t, err, "HOST:PORT, or :PORT for this machine alone", address)
		var e exit
		require.ErrorAs(t, err, &e)
		require.Equal(t, exitUsage, e.code, address)
	}
}
