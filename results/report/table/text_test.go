package table

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWrapped(t *testing.T) {
	require.Equal(t, []string{"one", "two", "three", "four"}, wrapped("one two three four", 6, 6))
	require.Equal(t, []string{"a", "bb ccc"}, wrapped("a bb ccc", 3, 6))
	require.Equal(t, []string{"abcde", "fgh i"}, wrapped("abcdefgh i", 5, 5))
	require.Equal(t, []string{"計算", "機"}, wrapped("計算機", 5, 5))
	require.Equal(t, []string{"a", "b", "c"}, wrapped("abc", -3, 0))
	require.Equal(t, []string{""}, wrapped("", 5, 5))
	require.Equal(t, []string{"±", "50 %", "x"}, wrapped("± 50 % x", 5, 5))
}
