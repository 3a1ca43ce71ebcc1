package results

// FigureStatus is why a [Figure] has no value, or one that cannot be told from
// zero; empty for a figure that is known. See [Reason].
type FigureStatus string

const (
	Known FigureStatus = ""

	// The meters.
	NoMeter      FigureStatus = "no-meter"      // none was read
	PartialMeter FigureStatus = "partial-meter" // only parts of the node were metered
	NoReading    FigureStatus = "no-reading"    // the meter was never read in the run
	EnergyGap    FigureStatus = "energy-gap"    // readings are missing in or around the window
	MeterStill   FigureStatus = "meter-still"   // the counter moved too seldom for the window
	MeterBlind   FigureStatus = "meter-blind"   // the gauge does not follow the load
	Implausible  FigureStatus = "implausible"   // the power is outside of what the boundary can draw
	Slept        FigureStatus = "slept"         // the machine was suspended in the window
	NoEnergy     FigureStatus = "no-energy"     // the meter counted none
	SharedEnergy FigureStatus = "shared-energy" // it is that of several cards, which have a row together

	// The device that a use ran on is not covered.
	DeviceUnmetered FigureStatus = "device-unmetered" // it is outside of the boundary of the meter
	CardShared      FigureStatus = "card-shared"      // it is a part of a card, and the meter counts all of it
	CardUnknown     FigureStatus = "card-unknown"     // the meter reads a card that is no device of the node, and not this one

	// The work.
	IdleScenario FigureStatus = "idle-scenario" // there is no work in it
	CounterGap   FigureStatus = "counter-gap"   // a counter of work or CPU time was not read around the window
	NoWork       FigureStatus = "no-work"       // none was finished
	NoShare      FigureStatus = "no-share"      // none was submitted

	// What the figure is relative to.
	NoIdle        FigureStatus = "no-idle"        // idle was not measured
	NoPair        FigureStatus = "no-pair"        // no round has both windows
	KernelUntimed FigureStatus = "kernel-untimed" // the kernel has no rate of its own
	NoPeak        FigureStatus = "no-peak"        // no implementation measures the peak
	NotFinite     FigureStatus = "not-finite"     // the quotient is no finite number

	// The figure cannot be told from zero: see [FigureStatus.Unresolved].
	NotAboveIdle    FigureStatus = "not-above-idle"
	BelowResolution FigureStatus = "below-resolution"
	ReachesZero     FigureStatus = "reaches-zero"
	NoInterval      FigureStatus = "no-interval"
)

// statusTexts are the reasons that need no numbers; the others are empty.
var statusTexts = map[FigureStatus]string{
	Known:           "",
	NoMeter:         "no meter",
	PartialMeter:    "",
	NoReading:       "",
	EnergyGap:       "",
	MeterStill:      "",
	MeterBlind:      "",
	Implausible:     "",
	Slept:           "the machine was suspended in the window, and the energy includes what it drew meanwhile",
	NoEnergy:        "the meter counted no energy",
	SharedEnergy:    "",
	DeviceUnmetered: "",
	CardShared:      "",
	CardUnknown:     "",
	IdleScenario:    "no work in this scenario",
	CounterGap:      "",
	NoWork:          "no work was finished",
	NoShare:         "no share was submitted",
	NoIdle:          "idle was not measured",
	NoPair:          "no round has both",
	KernelUntimed:   "the kernel was not timed",
	NoPeak:          "no implementation on this device measures its peak",
	NotFinite:       "not a finite number",
	NotAboveIdle:    "no power above idle",
	BelowResolution: "",
	ReachesZero:     "the interval of the extra power reaches zero",
	NoInterval:      "",
}

// Unresolved reports whether the quantity was measured but cannot be told from
// zero.
func (s FigureStatus) Unresolved() bool {
	switch s {
	case NotAboveIdle, BelowResolution, ReachesZero, NoInterval:
		return true
	}
	return false
}

// uncovered reports whether watts are absent because no meter covers the device
// that the use ran on.
func (s FigureStatus) uncovered() bool {
	return s == DeviceUnmetered || s == CardShared || s == CardUnknown
}

// Reason is the status of a figure with its explanation for people.
type Reason struct {
	Status FigureStatus `json:"status,omitempty"`
	Why    string       `json:"why,omitempty"`
}

// Because is a reason whose explanation needs no numbers.
func Because(s FigureStatus) Reason { return Reason{s, statusTexts[s]} }
