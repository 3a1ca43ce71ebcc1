package sha256d

import (
	"encoding/hex"
	"fmt"
	"slices"
)

// known are headers of the Bitcoin main chain: blocks 0, 100000 and 125552.
var known = []Header{
	decode("0100000000000000000000000000000000000000000000000000000000000000000000003ba3edfd7a7b12b27ac72c3e67768f617fc81bc3888a51323a9fb8aa4b1e5e4a29ab5f49ffff001d1dac2b7c"),
	decode("0100000050120119172a610421a6c3011dd330d9df07b63616c2cc1f1cd00200000000006657a9252aacd5c0b2940996ecff952228c3067cc38d4885efb5a4ac4247e9f337221b4d4c86041b0f2b5710"),
	decode("0100000081cd02ab7e569e8bcd9317e2fe99f2de44d49ab2b8851ba4a308000000000000e320b6c2fffc8d750423db8b1eb942ae710e951ed797f7affc8892b0f1fc122bc7f5d74df2b9441a42a14695"),
}

func decode(digits string) Header {
	b, err := hex.DecodeString(digits)
	if err != nil {
		panic("sha256d: a known header: " + err.Error())
	}
	return Header(b)
}

// Known returns headers of the Bitcoin main chain, each with the nonce by which
// its digest meets its own target.
func Known() []Header { return slices.Clone(known) }

// check compares a scan with crypto/sha256: around the nonces of the known
// headers, with the header's target, its digest and the digest less one for a
// target; and where every sixteenth digest is a hit, across the end of the
// nonces.
func check(scan Scan) error {
	for _, h := range known {
		target, err := TargetFromCompact(h.Bits())
		if err != nil {
			return err
		}
		digest := Target(Sum(&h))
		below := digest
		for i := range below { // borrow as long as the byte was zero
			if below[i]--; below[i] != 0xff {
				break
			}
		}
		for _, c := range []struct {
			target Target
			want   []uint32
		}{{target, []uint32{h.Nonce()}}, {digest, []uint32{h.Nonce()}}, {below, nil}} {
			if err := compare(scan, h, c.target, h.Nonce()-500, 1000, c.want); err != nil {
				return err
			}
		}
	}
	h, target := known[0], Target{31: 0x0f}
	for i := range target[:31] {
		target[i] = 0xff
	}
	const first, n = 1<<32 - 1000, 2001
	var want []uint32
	for i := range uint32(n) {
		h.SetNonce(first + i)
		if target.Met(Sum(&h)) {
			want = append(want, first+i)
		}
	}
	return compare(scan, h, target, first, n, want)
}

func compare(scan Scan, h Header, target Target, first uint32, n uint64, want []uint32) error {
	var job Job
	job.Set(&h, &target)
	if got := scan(nil, &job, first, n); !slices.Equal(got, want) {
		return fmt.Errorf("the scan finds %d nonces, %v first, and crypto/sha256 %d, %v first, of %d from %d of header %x with target %x",
			len(got), got[:min(len(got), 4)], len(want), want[:min(len(want), 4)], n, first, h, target)
	}
	return nil
}
