//go:build purego || !(amd64 || arm64)

package stream

// native are the rows in assembly: none.
var native []Implementation
