//go:build !slowscan

package hashscan

import "github.com/perwatt/perwatt/kernels/sha256d"

// tampered leaves the kernel as it is: see slow.go.
func tampered(scan sha256d.Scan) sha256d.Scan { return scan }
