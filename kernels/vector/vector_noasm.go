//go:build purego || !amd64

package vector

import "github.com/perwatt/perwatt/kernels"

// native are the rows in assembly: none.
var native []kernels.Row[*Implementation]
