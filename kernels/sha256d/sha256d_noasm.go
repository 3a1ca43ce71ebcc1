//go:build purego || !(amd64 || arm64)

package sha256d

// native are the rows in assembly: none.
var native []Implementation
