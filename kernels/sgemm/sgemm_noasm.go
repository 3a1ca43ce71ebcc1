//go:build purego || !(amd64 || arm64)

package sgemm

import "github.com/perwatt/perwatt/kernels"

// native are the rows in assembly: none.
var native []kernels.Row[Implementation]
