module github.com/perwatt/perwatt/kernels/sgemm/_asm

go 1.26.0

require github.com/mmcloughlin/avo v0.6.0

require (
	github.com/klauspost/compress v1.20.3 // indirect
	github.com/klauspost/cpuid/v2 v2.4.2 // indirect
	golang.org/x/sys v0.49.0 // indirect
	gonum.org/v1/gonum v0.17.0 // indirect
)

require (
	github.com/perwatt/perwatt v0.0.0
	golang.org/x/mod v0.42.0 // indirect
	golang.org/x/sync v0.24.0 // indirect
	golang.org/x/tools v0.52.0 // indirect
)

replace github.com/perwatt/perwatt => ../../..
