module github.com/perwatt/perwatt/kernels/sgemm/_openblas

go 1.26.0

require (
	github.com/perwatt/perwatt v0.0.0
	golang.org/x/sys v0.49.0
)

require (
	github.com/klauspost/cpuid/v2 v2.4.2 // indirect
	gonum.org/v1/gonum v0.17.0 // indirect
)

replace github.com/perwatt/perwatt => ../../..
