package results

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Watts count for a use only if the boundary of the meter's total covers the
// device that it ran on. The wall, the supplies, the node and the board cover
// every device. Packages and memory cover the CPU and not the cards, a card
// covers itself. What is modelled from the CPU's time covers the CPU alone,
// whatever boundary it is modelled for.

// hardware is the node's devices, as the coverage of meters needs them.
type hardware struct {
	devices map[string]Device // by ID
	byCard  map[string]string // ID of the device, by PCI address and by UUID in lower case
	shared  map[string]bool   // addresses and UUIDs of cards of which a device is a part
	used    []usedDevice
}

// usedDevice is a device that runs with a window worked on, and the first of them.
type usedDevice struct {
	Device
	run *indexedRun
}

func (d *deriver) findHardware() hardware {
	h := hardware{map[string]Device{}, map[string]string{}, map[string]bool{}, nil}
	for _, dev := range d.rec.Node.Devices {
		d.named(dev.ID)
		h.devices[dev.ID] = dev
		for _, name := range []string{strings.ToLower(dev.PCI), strings.ToLower(dev.UUID)} {
			if d.named(name); name == "" {
				continue
			}
			h.byCard[name] = cmp.Or(h.byCard[name], dev.ID)
			h.shared[name] = h.shared[name] || dev.slice()
		}
	}
	seen := map[string]bool{}
	for _, r := range d.good {
		for i := range r.Uses {
			for _, id := range r.Uses[i].Devices() {
				if d.named(id); !seen[id] {
					seen[id], h.used = true, append(h.used, usedDevice{h.device(id), r})
				}
			}
		}
	}
	return h
}

// device returns the device of an ID, or one of which only the ID is known.
func (h *hardware) device(id string) Device {
	if dev, known := h.devices[id]; known {
		return dev
	}
	return Device{ID: id}
}

// stray is why the joules of a channel count for no device of the node; empty if
// they do, or if the channel is not one card.
func (h *hardware) stray(c Channel) FigureStatus {
	switch card := strings.ToLower(c.Card); {
	case card == "":
		return Known
	case h.shared[card]:
		return CardShared
	case h.byCard[card] == "":
		return CardUnknown
	}
	return Known
}

// slice reports whether a device is a part of a card that others use, too: an
// instance of NVIDIA's Multi-Instance GPU (MIG User Guide, "CUDA Device
// Enumeration"). The card's meter counts the whole board.
func (dev Device) slice() bool { return strings.HasPrefix(strings.ToUpper(dev.UUID), "MIG-") }

// inPackage reports whether a device draws its power from the CPU packages, or is
// a miner, which has no part that could be outside of its meter.
func (dev Device) inPackage() bool {
	switch dev.Kind {
	case KindCPU, KindMiner:
		return true
	case "":
		return dev.ID == CPUDevice || dev.ID == MinerDevice
	}
	return false
}

// covers reports whether a total counts the power of a device.
func (h *meterTotal) covers(dev Device) bool {
	switch h.Boundary {
	case Wall, PSU, Chassis, Board:
		return h.Origin != Modelled || dev.inPackage()
	case Package, Memory:
		return dev.inPackage()
	case CardsPackages:
		return dev.inPackage() || h.hasCard(dev)
	}
	return h.hasCard(dev)
}

// hasCard reports whether a channel of a total is of the card that the device is.
// Channels of a shared card are in no total: see [deriver.own].
func (h *meterTotal) hasCard(dev Device) bool {
	return h.cards[strings.ToLower(dev.PCI)] || h.cards[strings.ToLower(dev.UUID)]
}

// covered is how many of the devices that worked a total covers.
func (d *deriver) covered(h *meterTotal) (n int) {
	d.spend(16 * len(d.used))
	for _, dev := range d.used {
		if h.covers(dev.Device) {
			n++
		}
	}
	return n
}

// stray is a channel of a card whose joules count for no device.
type stray struct {
	Channel
	meter  string
	status FigureStatus
}

// own reports whether the joules of a meter's channel count, and remembers it if
// not.
func (d *deriver) own(m *Meter, c Channel) bool {
	status := d.stray(c)
	if d.named(c.Card); status != Known {
		d.strays = append(d.strays, stray{c, m.Name, status})
	}
	return status == Known
}

const nameMeter = "run where a meter can be read (perwatt node lists what was looked for), or name one with --meter"

// noPower is why no meter gives the power of the node or of the devices that
// worked, and the warning about it.
func (d *deriver) noPower() (Reason, Warning) {
	const kept = ": its traces are in the record, and there is throughput only"
	w := Warning{Code: "no-power", Text: "no meter gives the power of this node: there is throughput only", Remedy: nameMeter}
	switch {
	case len(d.rec.Meters) == 0:
		return noTotal(nil), w
	case len(d.used) > 0 && (len(d.totals) > 0 || !d.used[0].inPackage()):
		why, remedy := d.outside(d.used[0])
		w.Text, w.Remedy = why.Why+kept, remedy
		why.Why += ": " + remedy
		return why, w
	}
	why := noTotal(d.rec.Meters)
	w.Text, w.Remedy = why.Why+kept, "add a meter of the whole node with another --meter; if what this one sees is all that feeds the node, say so with boundary="
	return why, w
}

// flagStrays warns of the channels of cards that count for no device, once a
// meter and status.
func (d *deriver) flagStrays() (out []Warning) {
	type kind struct {
		meter  string
		status FigureStatus
	}
	seen := map[kind]bool{}
	for _, c := range d.strays {
		if k := (kind{c.meter, c.status}); seen[k] {
			continue
		} else {
			seen[k] = true
		}
		w := Warning{Code: string(c.status), Text: fmt.Sprintf("meter %s measures card %s, which is no device of this node: its joules count for no use", Line(c.meter, mostQuoted), Line(c.Card, mostQuoted)),
			Remedy: "compare the addresses that perwatt node lists; the board behind a virtual GPU also works for others"}
		if c.status == CardShared {
			w.Text = fmt.Sprintf("meter %s counts all of card %s, of which only a part (MIG) is a device of this node: its joules count for no use", Line(c.meter, mostQuoted), Line(c.Card, mostQuoted))
			w.Remedy = "add a meter of the node, or measure the whole card with MIG off"
		}
		out = append(out, w)
	}
	return out
}

// flagUncovered warns of the devices that the primary meter does not cover, once a
// reason.
func (d *deriver) flagUncovered() {
	type kind struct {
		status FigureStatus
		cpu    bool
	}
	at, more := map[kind]int{}, map[int]int{}
	for _, dev := range d.used {
		if !d.metered || d.head.covers(dev.Device) {
			continue
		}
		why, remedy := d.outside(dev)
		k := kind{why.Status, dev.inPackage()}
		if i, known := at[k]; known {
			more[i]++
			continue
		}
		at[k] = len(d.flagged)
		d.flag("", "device-unmetered", why.Why+": there are no watts for what ran on it", remedy)
	}
	for i, n := range more {
		d.flagged[i].Text += ", nor on " + Plural(n, "more device")
	}
	if d.metered && d.head.Boundary == CardsPackages {
		d.flagUncounted()
	}
}

// flagUncounted warns of the cards that did not work and draw power beside the sum of
// cards and packages, because no meter reads them.
func (d *deriver) flagUncounted() {
	var out []string
	for _, dev := range d.rec.Node.Devices {
		d.spend(16)
		worked := slices.ContainsFunc(d.used, func(u usedDevice) bool { return u.ID == dev.ID })
		if !worked && !dev.inPackage() && !d.head.covers(dev) {
			out = append(out, dev.ID)
		}
	}
	if len(out) == 0 {
		return
	}
	names, more := out[:min(len(out), mostParts)], ""
	if n := len(out) - len(names); n > 0 {
		more = fmt.Sprintf(" and %d more", n)
	}
	for i, id := range names {
		names[i] = d.deviceName(id)
	}
	d.flag("", "cards-uncounted", fmt.Sprintf("watts at the %s leave out %s%s: no meter reads them, and they draw power while they idle", CardsPackages, strings.Join(names, ", "), more),
		"add --meter nvml (NVIDIA) or hwmon (AMD, Intel), or a meter of the node")
}

// energy returns the joules of a run between two instants at the primary meter, or
// why there are none.
func (d *deriver) energy(r *indexedRun, from, to float64) (Float, Reason) {
	if d.metered {
		for i := range r.Uses {
			for _, id := range r.Uses[i].Devices() {
				if d.named(id); !d.head.covers(d.device(id)) {
					why, remedy := d.outside(usedDevice{d.device(id), r})
					why.Why += ": " + remedy
					d.copied(why.Why)
					return Absent(), why
				}
			}
		}
	}
	return d.head.energy(r, from, to)
}

// outside is why the primary meter, or the first of the totals if there is none,
// does not cover a device, and the remedy.
func (d *deriver) outside(dev usedDevice) (why Reason, remedy string) {
	var h meterTotal
	if len(d.totals) > 0 {
		h = d.totals[0]
	}
	d.spend(len(d.rec.Node.Devices))
	who, meter := d.deviceName(dev.ID), Line(h.Meter, mostQuoted)
	because := func(status FigureStatus, format string, args ...any) Reason {
		return Reason{status, fmt.Sprintf(format, args...)}
	}
	remedy = "add --meter nvml (NVIDIA) or hwmon (AMD, Intel), or a meter of the node"
	if dev.inPackage() {
		remedy = "add --meter rapl, or a meter of the node"
	} else if dev.slice() {
		return because(CardShared, "%s is a part of a card (MIG), and the meter of a card counts all of it", who), "add a meter of the node, or measure the whole card with MIG off"
	}
	for i := range d.totals { // one that covers it comes later where it gave no watts
		if d.spend(32); d.totals[i].Boundary != CardsPackages && d.totals[i].covers(dev.Device) {
			if _, why := d.totals[i].energy(dev.run, dev.run.from, dev.run.to); why != (Reason{}) {
				return because(DeviceUnmetered, "meter %s covers %s and gave no watts: %s", Line(d.totals[i].Meter, mostQuoted), who, why.Why), "watch it (perwatt meters SPEC --watch), or add a meter of the node"
			}
		}
	}
	switch {
	case !dev.inPackage() && len(d.strays) > 0 && d.strays[0].status == CardUnknown:
		return because(CardUnknown, "no channel is of %s: meter %s measures card %s, which is no device of this node", who, Line(d.strays[0].meter, mostQuoted), Line(d.strays[0].Card, mostQuoted)), "add a meter of the node"
	case len(d.totals) == 0:
		return noTotal(d.rec.Meters), remedy
	case !dev.inPackage() && Card.Inside(h.Boundary) && h.Boundary.Inside(Board):
		return because(DeviceUnmetered, "no channel of meter %s is of %s", meter, who), remedy
	case h.Origin == Modelled:
		return because(DeviceUnmetered, "meter %s models the CPU alone, and %s is outside of it", meter, who), remedy
	}
	return because(DeviceUnmetered, "meter %s is at the %s, and %s is outside of it", meter, h.Boundary, who), remedy
}
