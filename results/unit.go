package results

import (
	"encoding/json"
	"fmt"
	"math"
)

// Unit names the unit of a quantity. Records hold SI base units only; scaling
// to TH, MWh or ms is done where a number is printed.
type Unit string

// The units a record may hold. Work units are dimensionless counts that keep
// their name, so that a hash is never added to a sample.
const (
	Hash   Unit = "hash"   // one double-SHA256 of an 80-byte header
	Sample Unit = "sample" // one training example through forward, backward and update
	FLOP   Unit = "FLOP"   // one fp32 operation; a fused multiply-add counts two
	Byte   Unit = "B"      // one byte that a loop reads or writes, whatever the caches make of it
	Step   Unit = "step"   // one optimiser update
	Op     Unit = "op"     // one iteration of somebody's Go benchmark
	Joule  Unit = "J"
	Watt   Unit = "W"
	Second Unit = "s"
	Hertz  Unit = "Hz"
	Kelvin Unit = "K"
	Ratio  Unit = "1" // dimensionless
)

// Per returns the unit of u divided by v, such as hash/s or J/sample.
func (u Unit) Per(v Unit) Unit { return u + "/" + v }

// Kind says how the values of a trace are to be read.
type Kind string

const (
	Counter Kind = "counter" // cumulative; only differences mean something
	Gauge   Kind = "gauge"   // the instantaneous (or instrument-averaged) value
)

// Boundary is the electrical boundary inside which a watt was counted.
// Figures with different boundaries are never ranked against each other.
type Boundary string

const (
	Wall    Boundary = "wall"    // AC input of the whole node
	PSU     Boundary = "psu"     // as the power supplies report it
	Chassis Boundary = "node"    // as the BMC reports it
	Board   Boundary = "board"   // platform rails (psys)
	Package Boundary = "package" // CPU packages and the memory their counters cover
	Card    Boundary = "card"    // an accelerator card
	Memory  Boundary = "memory"  // DRAM alone
)

// Boundaries lists every boundary from the outermost to the innermost.
func Boundaries() []Boundary {
	return []Boundary{Wall, PSU, Chassis, Board, Package, Card, Memory}
}

// Origin says how a watt came to be known.
type Origin string

const (
	Measured Origin = "measured" // an instrument saw it
	Modelled Origin = "modelled" // computed from something else; marked ~ wherever it shows
	Declared Origin = "declared" // somebody said so
)

// Grade ranks the evidence behind a power figure, A (best) to E.
//
//	A  wall, uncertainty ≤ 1 %, window ≥ 600 s
//	B  wall or PDU energy counter, uncertainty ≤ 2 %, window ≥ 300 s
//	C  BMC or PSU telemetry, or a wall meter over a shorter window
//	D  component counters (RAPL, NVML)
//	E  modelled or declared: never ranked, no verdict
type Grade string

// GradeOf grades one power figure from its boundary, its origin, the relative
// uncertainty of the instrument (NaN if unknown) and the window in seconds.
func GradeOf(b Boundary, o Origin, uncertainty, window float64) Grade {
	switch {
	case o != Measured:
		return "E"
	case b == Wall && uncertainty <= 0.01 && window >= 600:
		return "A"
	case b == Wall && uncertainty <= 0.02 && window >= 300:
		return "B"
	case b == Wall || b == PSU || b == Chassis:
		return "C"
	}
	return "D"
}

// Float is a float64 whose NaN is written as JSON null: a figure that is
// absent, never one that is zero. Infinities cannot be written.
type Float float64

// Absent is the Float that stands for no figure.
func Absent() Float { return Float(math.NaN()) }

// IsAbsent reports whether f stands for no figure.
func (f Float) IsAbsent() bool { return f != f }

// MarshalJSON writes the shortest decimal that reads back as f, as RFC 8785
// (JSON Canonicalization Scheme) asks.
func (f Float) MarshalJSON() ([]byte, error) {
	if f.IsAbsent() {
		return []byte("null"), nil
	}
	if math.IsInf(float64(f), 0) {
		return nil, fmt.Errorf("results: %v cannot be recorded", float64(f))
	}
	return json.Marshal(float64(f))
}

// UnmarshalJSON reads a number, or null as absent.
func (f *Float) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*f = Absent()
		return nil
	}
	var v float64
	if err := json.Unmarshal(b, &v); err != nil {
		return err
	}
	*f = Float(v)
	return nil
}
