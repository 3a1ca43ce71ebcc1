package results

import "math"

// SelfReported is a number that a device reported of itself; the zero value means
// that it reported none. It can be recorded, printed and compared with what was
// measured. It has no order, cannot be added up and is neither a [Float] nor a
// [Figure], so that nothing can rank it.
type SelfReported struct {
	number float64
	said   bool
}

// SelfReport makes a reported number. Infinities and NaN count as none.
func SelfReport(number float64) SelfReported {
	if math.IsNaN(number) || math.IsInf(number, 0) {
		return SelfReported{}
	}
	return SelfReported{number, true}
}

// IsAbsent reports whether there is no number.
func (s SelfReported) IsAbsent() bool { return !s.said }

// Print returns the number as write formats it; write gets NaN if nothing was
// reported.
func (s SelfReported) Print(write func(Float) string) string { return write(s.float()) }

// Against is the reported number ÷ what was measured in the same unit: 1 for a
// device that is right. It is absent unless both are there and the
// measured one is above 0.
func (s SelfReported) Against(measured Float) Float {
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

// MarshalJSON writes the number as [Float] does; null for none.
func (s SelfReported) MarshalJSON() ([]byte, error) { return s.float().MarshalJSON() }

// UnmarshalJSON reads a number, or null for none.
func (s *SelfReported) UnmarshalJSON(b []byte) error {
	var f Float
	err := f.UnmarshalJSON(b)
	*s = SelfReport(float64(f))
	return err
}

func (s SelfReported) float() Float {
	if !s.said {
		return Absent()
	}
	return Float(s.number)
}

// Claim is what one device reported of itself in the course of a run, by its own
// API. It is shown beside what was measured, and marked as a claim.
type Claim struct {
	Device   string               `json:"device"`        // what the record calls it
	Use      string               `json:"use,omitempty"` // of the run, which the device alone works at; empty if that is not known
	API      string               `json:"api"`           // that it was asked by: cgminer, whatsminer, braiins, axeos
	Source   string               `json:"source"`        // its address
	Model    string               `json:"model,omitempty"`
	Firmware string               `json:"firmware,omitempty"`
	Samples  []SelfReportedSample `json:"said"`            // in order of time
	Notes    []string             `json:"notes,omitempty"` // what its figures are
}

// SelfReportedSample is one answer of a device. A failed request has no figures,
// and the reason in Refused.
type SelfReportedSample struct {
	T       Float               `json:"t"`                 // s since the start of the record, in the middle of the request
	Slack   Float               `json:"slack"`             // s, half the round trip
	Mode    string              `json:"mode,omitempty"`    // of work, as the device calls it
	Figures []SelfReportedField `json:"figures"`           // of each quantity, the one to quote comes first
	Refused []string            `json:"refused,omitempty"` // reported values that are not usable, each by name; or why there was no answer
}

// SelfReportedField is one quantity as a device reports it, in SI base units.
type SelfReportedField struct {
	Of    string       `json:"of"`   // see ReportedRate and its like
	Name  string       `json:"name"` // that the device has for it
	Value SelfReported `json:"value"`
	Unit  Unit         `json:"unit"`
	// Over is the time in s that a rate or a power is averaged over: Elapsed if
	// that is all of it. Null if the device does not report it.
	Over SelfReported `json:"over"`
	// Boundary and Origin qualify a power: measured by the device's supply
	// or its board, modelled (estimated by its firmware), or declared: the
	// target that was configured. Empty if it is no power.
	Boundary Boundary `json:"boundary,omitempty"`
	Origin   Origin   `json:"origin,omitempty"`
}

// What a [SelfReportedField] can be of.
const (
	ReportedRate        = "rate"        // hash/s
	ReportedNominal     = "nominal"     // hash/s that it should reach, by design or by calibration
	ReportedWork        = "work"        // hash done since Elapsed began
	ReportedElapsed     = "elapsed"     // s since its miner started
	ReportedAccepted    = "accepted"    // hash: difficulty of the shares that pools accepted, times 2^32
	ReportedRejected    = "rejected"    // hash, the same of those rejected
	ReportedStale       = "stale"       // hash, the same of those that came late
	ReportedShares      = "shares"      // how many were accepted (1)
	ReportedRefused     = "refused"     // how many were not (1)
	ReportedDifficulty  = "difficulty"  // hash, that each share stands for now
	ReportedErrors      = "errors"      // answers of its chips that were wrong (1)
	ReportedPower       = "power"       // W
	ReportedTemperature = "temperature" // K
	ReportedFan         = "fan"         // Hz, turns a second
	ReportedFrequency   = "frequency"   // Hz, of its chips
)
