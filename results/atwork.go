package results

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// What holds the clocks of a card back: the channels of [TraceHeldBack].
const (
	HeldByPower    = "power"    // its power limit
	HeldByHeat     = "heat"     // software or hardware slows it down to cool
	HeldByHardware = "hardware" // a brake that its supply pulls, or a slow-down without a stated reason
)

// The channels of [TraceECC].
const (
	ECCCorrected   = "corrected"
	ECCUncorrected = "uncorrected"
)

const (
	maxHeldBack = 0.01 // share of a window in which a card may be held back unmentioned
	leastClocks = 6    // samples of a clock in a window from which its course is judged
)

// PowerLimit is the power that a card may draw, on average over a second or so, in
// W, as its driver had it when the session began.
type PowerLimit struct {
	Enforced Float `json:"enforced"` // the lowest of all limits
	Default  Float `json:"default"`  // as the card is shipped; null if unknown
}

// OfCard returns the device that is the card of a [Channel.Card]: the one at the
// PCI address, or with the UUID. Drivers write a UUID with or without "GPU-" in
// front. Two devices at one address, such as the instances of a divided card, are
// no card.
func (n *Node) OfCard(card string) (d Device, ok bool) {
	bare := func(uuid string) string { return strings.TrimPrefix(strings.ToLower(uuid), "gpu-") }
	found := 0
	for _, of := range n.Devices {
		if card != "" && (strings.EqualFold(of.PCI, card) || of.UUID != "" && bare(of.UUID) == bare(card)) {
			d = of
			found++
		}
	}
	if found != 1 {
		return Device{}, false
	}
	return d, true
}

// inside returns the good samples of a trace in the window of its run.
func (r *indexedRun) inside(tr *Trace) (out []float64) {
	r.spend(len(tr.T))
	for i, t := range tr.T {
		if i < len(tr.V) && float64(t) >= r.from && float64(t) <= r.to && !tr.V[i].IsAbsent() {
			out = append(out, float64(tr.V[i]))
		}
	}
	return out
}

// level is the mean of a gauge over the part of the window that its samples cover;
// absent if that is less than half.
func (r *indexedRun) level(tr *Trace) Float {
	r.spend(len(tr.T))
	if len(tr.T) == 0 {
		return Absent()
	}
	a, b := max(r.from, float64(tr.T[0])), min(r.to, float64(tr.T[len(tr.T)-1]))
	if b-a < (r.to-r.from)/2 {
		return Absent()
	}
	return tr.Over(a, b) / Float(b-a)
}

// flagAtWork warns of what slowed cards down, and of errors of their memory.
func (d *deriver) flagAtWork() {
	for _, device := range d.rec.Node.Devices {
		if l := device.PowerLimit; l != nil && l.Enforced < l.Default*(1-limitTolerance) {
			d.flag("", "power-cap", fmt.Sprintf("%s is limited to %.0f W, %.0f W as shipped: figures hold for this limit", d.rec.Node.DeviceName(device.ID), l.Enforced, l.Default),
				"keep it if it is how the card will run; otherwise raise it: nvidia-smi -pl WATTS, or power1_cap of its amdgpu in /sys/class/hwmon")
		}
	}
	type limited struct {
		runs int
		most float64
	}
	held := map[string]*limited{}
	var devices []string
	for _, r := range d.good {
		d.named(r.name)
		for _, tr := range r.group(TraceKey{Kind: TraceHeldBack}) {
			share := float64(r.level(tr))
			if !(share > maxHeldBack) {
				continue
			}
			of := tr.Key.Device
			d.named(of)
			name := d.rec.Node.DeviceName(of)
			switch tr.Key.Channel {
			case HeldByPower:
				if held[of] == nil {
					held[of] = &limited{}
					devices = append(devices, of)
				}
				held[of].runs++
				held[of].most = max(held[of].most, share)
			case HeldByHeat:
				at := ""
				if t := r.Trace(TraceKey{Kind: TraceTemperature, Device: of}); t != nil {
					if kelvin := r.inside(t); len(kelvin) > 0 {
						at = fmt.Sprintf(", at up to %.0f °C", slices.Max(kelvin)-zeroCelsius)
					}
				}
				d.flag(r.name, "throttled", fmt.Sprintf("%s slowed down for heat in %.0f %% of the window%s", name, 100*share, at),
					"improve the cooling or lower the power limit: this is not the hardware's full rate")
			case HeldByHardware:
				d.flag(r.name, "throttled", fmt.Sprintf("the hardware of %s held its clocks back in %.0f %% of the window", name, 100*share),
					"look at the card's power cables, its supply and its cooling: this is not the hardware's full rate")
			}
		}
		for _, tr := range r.group(TraceKey{Kind: TraceECC}) {
			d.spend(len(tr.V))
			first, last := Absent(), Absent()
			for _, v := range tr.V {
				if !v.IsAbsent() {
					if last = v; first.IsAbsent() {
						first = v
					}
				}
			}
			if last > first && tr.Key.Channel == ECCUncorrected {
				d.flag(r.name, "ecc-errors", fmt.Sprintf("errors of the memory of %s that it could not correct: %.0f", d.rec.Node.DeviceName(tr.Key.Device), last-first),
					"do not trust the card's answers: reset it, and replace it if the errors come back (nvidia-smi -q -d ECC, or ras in its device's sysfs)")
			}
		}
		d.flagFallenClocks(r)
	}
	for _, of := range devices {
		d.flag("", "power-limited", fmt.Sprintf("the power limit held back the clocks of %s in %s, for up to %.0f %% of a window", d.rec.Node.DeviceName(of), Plural(held[of].runs, "run"), 100*held[of].most),
			"none needed at the limit that the card is shipped with: figures hold for the limit, which the record has")
	}
}

// flagFallenClocks warns of devices at work whose clock fell from the first third of
// a window to the last.
func (d *deriver) flagFallenClocks(r *indexedRun) {
	seen := map[string]bool{}
	var ids []string
	for i := range r.Uses {
		ids = append(ids, r.Uses[i].Devices()...)
	}
	r.spend(16 * len(ids))
	for _, id := range ids {
		tr := r.Trace(TraceKey{Kind: TraceClock, Device: id})
		if seen[id] || tr == nil {
			continue
		}
		seen[id] = true
		hz := r.inside(tr)
		if len(hz) < leastClocks {
			continue
		}
		third := len(hz) / 3
		first, last := average(hz[:third]), average(hz[len(hz)-third:])
		if fell := 1 - last/first; fell > maxClockShift {
			d.flag(r.name, "clock-moved", fmt.Sprintf("the clock of %s fell by %.1f %% within the window, from %.2f to %.2f GHz", d.rec.Node.DeviceName(id), 100*fell, first/1e9, last/1e9),
				"warm the card up for longer (--warmup), or lock its clock (nvidia-smi -lgc MHZ): the window holds more than one speed")
		}
	}
}

const (
	zeroCelsius    = 273.15 // K
	limitTolerance = 0.01   // of limits that are read in different ways
)

func average(of []float64) float64 {
	sum := 0.0
	for _, v := range of {
		sum += v
	}
	if len(of) == 0 {
		return math.NaN()
	}
	return sum / float64(len(of))
}
