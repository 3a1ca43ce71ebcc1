package sha256d_test

import (
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/perwatt/perwatt/kernels/device/cpu"
	"github.com/perwatt/perwatt/kernels/sha256d"
)

// Find the nonce of the first block of the Bitcoin main chain with the row that
// ranks first on this CPU.
func Example() {
	root, _ := hex.DecodeString("3ba3edfd7a7b12b27ac72c3e67768f617fc81bc3888a51323a9fb8aa4b1e5e4a")
	header := sha256d.NewHeader(1, [32]byte{}, [32]byte(root), 1231006505, 0x1d00ffff)
	target, err := sha256d.TargetFromCompact(header.Bits())
	if err != nil {
		panic(err)
	}
	var job sha256d.Job
	job.Set(&header, &target)

	row, err := sha256d.Table.Pick(cpu.Info(), "")
	if err != nil {
		panic(err)
	}
	const first, n = 2083236000, 1000
	for _, nonce := range row.Impl(nil, &job, first, n) {
		header.SetNonce(nonce)
		sum := sha256d.Sum(&header)
		slices.Reverse(sum[:]) // as block explorers print it
		fmt.Printf("nonce %d, digest %x…\n", nonce, sum[:8])
	}
	// Output: nonce 2083236893, digest 000000000019d668…
}

// Scan with a row that is asked for by name.
func ExampleScan() {
	generic, err := sha256d.Table.ByName("generic")
	if err != nil {
		panic(err)
	}
	header := sha256d.Known()[0]
	digest := sha256d.Target(sha256d.Sum(&header))
	var job sha256d.Job
	job.Set(&header, &digest) // met by the digest itself, and by none that is greater
	fmt.Println(generic.Impl(nil, &job, header.Nonce()-10, 20))
	// Output: [2083236893]
}
