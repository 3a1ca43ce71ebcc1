package results

import "math"

// Said is a number that a device said of itself; its zero value is that it
// said none. It is no figure: it can be recorded, printed and set against what
// was measured, but it has no order, cannot be added up, and fits nowhere a
// [Float] or a [Metric] belongs. So nothing ranks it.
type Said struct {
	number float64
	said   bool
}

// Say returns what was said. Infinities and NaN say nothing.
func Say(number float64) Said {
	if math.IsNaN(number) || math.IsInf(number, 0) {
		return Said{}
	}
	return Said{number, true}
}

// IsAbsent reports whether nothing was said.
func (s Said) IsAbsent() bool { return !s.said }

// Print returns the number as write prints it, which is given NaN if nothing
// was said.
func (s Said) Print(write func(Float) string) string { return write(s.float()) }

// Against is what was said, divided by what was measured in the same unit: 1
// of a device that is right. It is absent unless both are there and the
// measured one is above 0.
func (s Said) Against(measured Float) Float {
	if !(measured > 0) {
		return Absent()
	}
	return finite(s.float() / measured)
}

// finite makes an infinity absent.
func finite(f Float) Float {
	if math.IsInf(float64(f), 0) {
		return Absent()
	}
	return f
}

// MarshalJSON writes the number as [Float] does; null if nothing was said.
func (s Said) MarshalJSON() ([]byte, error) { return s.float().MarshalJSON() }

// UnmarshalJSON reads a number, or null as nothing said.
func (s *Said) UnmarshalJSON(b []byte) error {
	var f Float
	err := f.UnmarshalJSON(b)
	*s = Say(float64(f))
	return err
}

func (s Said) float() Float {
	if !s.said {
		return Absent()
	}
	return Float(s.number)
}

// Claim is what one device said of itself in the course of a run, by its own
// API. It stands beside what was measured, marked as a claim.
type Claim struct {
	Device   string      `json:"device"`        // what the record calls it
	Use      string      `json:"use,omitempty"` // of the run, which the device alone works at; empty if that is not known
	API      string      `json:"api"`           // that it was asked by: cgminer, whatsminer, braiins, axeos
	Source   string      `json:"source"`        // its address
	Model    string      `json:"model,omitempty"`
	Firmware string      `json:"firmware,omitempty"`
	Said     []Statement `json:"said"`            // in order of time
	Notes    []string    `json:"notes,omitempty"` // what its figures are
}

// Statement is one answer of a device. One that it failed to give has no
// figures, and says why.
type Statement struct {
	T       Float    `json:"t"`                 // s since the start of the record, in the middle of the request
	Slack   Float    `json:"slack"`             // s, half the round trip
	Mode    string   `json:"mode,omitempty"`    // of work, as the device calls it
	Figures []Saying `json:"figures"`           // of each quantity, the one to quote comes first
	Refused []string `json:"refused,omitempty"` // what it said and what means nothing, each by name; or why it said nothing
}

// Saying is one quantity as a device says it, in SI base units.
type Saying struct {
	Of    string `json:"of"`   // see SaidRate and its like
	Name  string `json:"name"` // that the device has for it
	Value Said   `json:"value"`
	Unit  Unit   `json:"unit"`
	// Over is the time in s that a rate or a power is averaged over: Elapsed if
	// that is all of it. Null if the device does not say.
	Over Said `json:"over"`
	// Boundary and Origin say what a power is: measured by the device's supply
	// or its board, modelled (estimated by its firmware), or declared: the
	// target that was configured. Empty if it is no power.
	Boundary Boundary `json:"boundary,omitempty"`
	Origin   Origin   `json:"origin,omitempty"`
}

// What a [Saying] can be of.
const (
	SaidRate        = "rate"        // hash/s
	SaidNominal     = "nominal"     // hash/s that it should reach, by design or by calibration
	SaidWork        = "work"        // hash done since Elapsed began
	SaidElapsed     = "elapsed"     // s since its miner started
	SaidAccepted    = "accepted"    // hash: difficulty of the shares that pools accepted, times 2^32
	SaidRejected    = "rejected"    // hash, the same of those rejected
	SaidStale       = "stale"       // hash, the same of those that came late
	SaidShares      = "shares"      // how many were accepted (1)
	SaidRefused     = "refused"     // how many were not (1)
	SaidDifficulty  = "difficulty"  // hash, that each share stands for now
	SaidErrors      = "errors"      // answers of its chips that were wrong (1)
	SaidPower       = "power"       // W
	SaidTemperature = "temperature" // K
	SaidFan         = "fan"         // Hz, turns a second
	SaidFrequency   = "frequency"   // Hz, of its chips
)
