package results

import (
	"bytes"
	"encoding/binary"
	"strings"
	"unicode/utf16"
)

// mark is the byte order mark, which editors put before text.
const mark = "\ufeff"

// Decoded returns text as UTF-8. UTF-16, which Windows writes when output is redirected
// and spreadsheets as “Unicode text”, is recognised by its byte order mark, or by the zeros beside its
// ASCII characters. Marks before the text are left out.
func Decoded(raw []byte) string {
	var order binary.ByteOrder
	zeros := [2]int{}
	sample := raw[:min(len(raw), 4096)]
	for i, b := range sample {
		if b == 0 {
			zeros[i%2]++
		}
	}
	const most, few = 4, 40 // parts of the sample: a zero in half of the pairs, in one of twenty
	switch {
	case bytes.HasPrefix(raw, []byte{0xff, 0xfe}), zeros[1]*most > len(sample) && zeros[0]*few < len(sample):
		order = binary.LittleEndian
	case bytes.HasPrefix(raw, []byte{0xfe, 0xff}), zeros[0]*most > len(sample) && zeros[1]*few < len(sample):
		order = binary.BigEndian
	default:
		return strings.TrimLeft(string(raw), mark)
	}
	units := make([]uint16, len(raw)/2)
	for i := range units {
		units[i] = order.Uint16(raw[2*i:])
	}
	return strings.TrimLeft(string(utf16.Decode(units)), mark)
}
