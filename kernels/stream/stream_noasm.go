//go:build purego || !(amd64 || arm64)

package stream

import "github.com/perwatt/perwatt/kernels"

// native are the rows in assembly: none.
var native []kernels.Row[Implementation]
