//go:build purego || !amd64

package vector

// native are the rows in assembly: none.
var native []Implementation
