package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The time left never rises by more than a tenth, however wrong the prediction was; it
// says where it is a least.
func TestCountdown(t *testing.T) {
	var c countdown
	for _, x := range []struct {
		left time.Duration
		want string
	}{
		{100 * time.Second, "1m40s"},
		{90 * time.Second, "1m30s"},
		{95 * time.Second, "1m35s"},
		{300 * time.Second, "≥ 1m39s"},
		{200 * time.Second, "≥ 1m39s"},
		{98 * time.Second, "1m38s"},
		{10 * time.Second, "10s"},
		{12 * time.Second, "≥ 11s"},
		{0, "0s"},
		{5 * time.Second, "≥ 0s"},
	} {
		require.Equal(t, x.want, c.show(x.left))
	}
}
