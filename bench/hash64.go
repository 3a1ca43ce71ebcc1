package bench

// Hash64 returns the i-th output, from 0, of SplitMix64 with the given state
// (Steele, Lea and Flood, "Fast splittable pseudorandom number generators",
// OOPSLA 2014). A check can recompute such data at any index, without a
// second copy.
func Hash64(state, i uint64) uint64 {
	z := state + (i+1)*0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
