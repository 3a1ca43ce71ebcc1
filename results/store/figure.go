package store

import (
	"encoding/binary"
	"iter"
	"math"

	"github.com/perwatt/perwatt/results"
)

// figure is a session's figure in a series, as it lies in the index.
type figure struct {
	series, windows  uint64
	value, low, high results.Float
}

// append appends a figure to b: two numbers as varints, then three float64, little
// endian.
func (f figure) append(b []byte) []byte {
	b = binary.AppendUvarint(binary.AppendUvarint(b, f.series), f.windows)
	for _, v := range [...]results.Float{f.value, f.low, f.high} {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(float64(v)))
	}
	return b
}

// figures decodes what append wrote.
func figures(b []byte) iter.Seq2[figure, error] {
	return func(yield func(figure, error) bool) {
		for len(b) > 0 {
			var f figure
			for _, n := range [...]*uint64{&f.series, &f.windows} {
				v, size := binary.Uvarint(b)
				if size <= 0 {
					yield(f, errDamaged)
					return
				}
				*n, b = v, b[size:]
			}
			if f.windows > math.MaxInt {
				yield(f, errDamaged)
				return
			}
			for _, v := range [...]*results.Float{&f.value, &f.low, &f.high} {
				if len(b) < 8 {
					yield(f, errDamaged)
					return
				}
				*v, b = results.Float(math.Float64frombits(binary.LittleEndian.Uint64(b))), b[8:]
			}
			if !yield(f, nil) {
				return
			}
		}
	}
}
