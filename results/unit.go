package results

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"time"
)

// Unit names the unit of a quantity. Records hold SI base units only; scaling
// to TH, MWh or ms is done where a number is printed.
type Unit string

// The units a record may hold. Work units are dimensionless counts that keep
// their name, so that a hash is never added to a sample.
const (
	Hash   Unit = "hash"   // one double-SHA256 of an 80-byte header
	Share  Unit = "share"  // one proof of work that a device hands in
	Sample Unit = "sample" // one training example through forward, backward and update
	Token  Unit = "token"  // one token of a text on which a language model is trained, likewise
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

// Kind is how the values of a trace are to be read.
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
	Cards   Boundary = "cards"   // all accelerator cards that one meter reads
	Card    Boundary = "card"    // an accelerator card
	Memory  Boundary = "memory"  // DRAM alone

	// CardsPackages is the sum of [Package] and of [Cards], by one meter or, where
	// each reads other cards, by several. No instrument measures it. It is a lower bound of the node's power:
	// fans, other memory, boards and the losses of the supply are not in it.
	CardsPackages Boundary = "cards + packages"
)

// Boundaries lists every boundary from the outermost to the innermost. Cards lie
// beside packages: see [Boundary.Inside].
func Boundaries() []Boundary {
	return []Boundary{Wall, PSU, Chassis, Board, CardsPackages, Package, Cards, Card, Memory}
}

// Inside reports whether what b counts is counted at the boundary of, too: of
// then draws at least as much.
func (b Boundary) Inside(of Boundary) bool {
	order := Boundaries()
	beside := (of == Package || of == Memory) && (b == Cards || b == Card) || (of == Cards || of == Card) && b == Memory
	return !beside && slices.Index(order, of) < slices.Index(order, b)
}

// Least is the power in W below which no measurement at the boundary is believed.
// It is less than the smallest machine, card or rail worth metering draws, and
// more than a thousandth of what a large one draws, which a wrong scale would
// show.
func (b Boundary) Least() float64 {
	switch b {
	case Wall, PSU, Chassis:
		return 1
	case Card, Cards:
		return 0.5
	case Board, CardsPackages, Package:
		return 0.1
	}
	return 0.01
}

// Most is the power in W above which no measurement at the boundary is plausible,
// unless the instrument or its spec states another limit. It is more than all
// sockets, cards or modules of the largest node draw, and less than a small one
// appears to draw if milliwatts are taken for watts.
func (b Boundary) Most() float64 {
	switch b {
	case Wall, PSU, Chassis:
		return 50_000
	case Board, CardsPackages, Cards, Card:
		return 20_000
	case Package:
		return 10_000
	}
	return 5_000
}

// Unbelievable returns why a power in W cannot be right at the boundary, and which
// other scale would fit; it is empty if the power is plausible.
func (b Boundary) Unbelievable(watts, least, most float64) string {
	how, limit := "below the least", least
	switch {
	case watts > most:
		how, limit = "above the most", most
	case watts >= least:
		return ""
	}
	why := fmt.Sprintf("%.4g W is %s that is plausible at the %s boundary (%g W)", watts, how, b, limit)
	for _, by := range []struct {
		factor float64
		taken  string
	}{
		{1e3, "milliwatts were made watts twice, or kilowatts are taken for watts"}, {1e-3, "milliwatts are taken for watts"},
		{1e6, "watts are taken for microwatts"}, {1e-6, "microwatts are taken for watts"},
	} {
		if w := watts * by.factor; w >= max(least, 1) && w <= min(most, likely) {
			return fmt.Sprintf("%s; %.4g W would fit, as if %s: check its scale", why, w, by.taken)
		}
	}
	return why
}

// likely is the largest power in W that is suggested as the result of another
// scale.
const likely = 20_000

// Grain is the largest step of which all values are multiples, within the
// tolerance and in their unit: an instrument that gave these values has no coarser
// steps. NaN without values.
func Grain(tolerance float64, values ...float64) float64 {
	a := math.NaN()
	for _, b := range values {
		if math.IsNaN(a) {
			a = b
		}
		for b > tolerance {
			rest := math.Mod(a, b)
			if b-rest < tolerance {
				rest = 0
			}
			a, b = b, rest
		}
	}
	return a
}

// Origin is how a power became known.
type Origin string

const (
	Measured Origin = "measured" // by an instrument
	Modelled Origin = "modelled" // computed from something else; marked ~ wherever it is shown
	Declared Origin = "declared" // stated by the user or a maker
)

// Grade ranks the evidence behind a power figure, A (best) to E. It follows
// from the boundary and from the figure's own budget, whatever the instrument
// is called.
//
//	A  wall, every term of the instrument known and together ≤ 1 %, window ≥ 600 s
//	B  wall, every term known and together ≤ 2 %, window ≥ 300 s
//	C  wall, PSU or BMC, what is known of the terms together ≤ 5 %
//	D  component counters (RAPL, NVML), and what is coarser
//	E  modelled or declared: never ranked, no verdict
type Grade string

// mostOfC is the accuracy that the EE HPC WG asks of its lowest level.
const mostOfC = 0.05

// GradeOf grades one power figure from its boundary, its origin, its budget
// (nil if nothing is known) and the window in seconds.
func GradeOf(at Boundary, o Origin, b *Budget, window float64) Grade {
	most, known := 0.0, false
	if b != nil {
		most = float64(b.Linear)
		known = !slices.ContainsFunc(b.Unstated, func(name string) bool { return name != Repeats })
	}
	switch {
	case o != Measured:
		return "E"
	case at == Wall && known && most <= 0.01 && window >= 600:
		return "A"
	case at == Wall && known && most <= 0.02 && window >= 300:
		return "B"
	case (at == Wall || at == PSU || at == Chassis) && most <= mostOfC:
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

// Duration is that of f seconds.
func (f Float) Duration() time.Duration { return time.Duration(float64(f) * float64(time.Second)) }

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
