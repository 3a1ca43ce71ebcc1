//go:build !linux

package stream

import "runtime"

func allowedCPUs() []int { return nil }

func bind(int) { runtime.LockOSThread() }

func allocate(n int) (arrays [3][]float64, release func(), err error) {
	for i := range arrays {
		arrays[i] = make([]float64, n)
	}
	return arrays, func() {}, nil
}
