package snmp

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/perwatt/perwatt/harness/power"
	"github.com/perwatt/perwatt/results"
)

// profile lists the figures of one kind of PDU and their OIDs.
type profile struct {
	name   string
	about  string
	inlet  []quantity
	outlet []quantity // empty if it does not meter them
	note   string     // about its figures, for the record; may be empty
}

// quantity is one figure of an inlet or an outlet. In an OID, {n} is the
// number of that inlet or outlet and {unit} that of the PDU in its chain.
type quantity struct {
	kind results.Kind // Gauge is power in W, Counter energy in J
	oid  string
	// scale is W or J per count; 0 where the agent is asked for it, in the
	// row config of PDU2-MIB with the column for {column}.
	scale    float64
	config   string
	ready    string           // 1 while the value is valid; empty if there is no such flag
	accuracy results.Accuracy // where the resolution is 0 it is the scale
}

// Schneider's FAQ FA156074, "How accurate is the current monitor on my APC
// Rack PDU": 3 % of the reading and 1 digit for the second generation
// (AP8xxx), which says 0 below 0.5 A; ±0.5 A from 1 A to 10 A and 5 % above
// for the first (AP7xxx), which says 0 below 1 A and counts tenths of an A. At
// 230 V, those are 115 W and 23 W.
const (
	apc2Accuracy = "Schneider FA156074: 3 % and 1 digit, from 0.5 A"
	apcAccuracy  = "Schneider FA156074: 5 %, 0.5 A below 10 A, from 1 A; A taken at 230 V"
)

var profiles = []profile{
	{name: "apc2", about: "APC rack PDU of the second generation and later (PowerNet-MIB, rPDU2)",
		inlet: []quantity{
			// rPDU2DeviceStatusPower, in hundredths of kW.
			{kind: results.Gauge, oid: "1.3.6.1.4.1.318.1.1.26.4.3.1.5.{unit}", scale: 10,
				accuracy: results.Accuracy{Gain: 0.03, Offset: 10, Source: apc2Accuracy}},
			// rPDU2DeviceStatusEnergy, in tenths of kWh.
			{kind: results.Counter, oid: "1.3.6.1.4.1.318.1.1.26.4.3.1.9.{unit}", scale: 360_000,
				accuracy: results.Accuracy{Gain: 0.03, Source: apc2Accuracy}},
		},
		outlet: []quantity{
			// rPDU2OutletMeteredStatusPower, in W, whose index runs through the
			// whole chain. The outlet's energy, in tenths of kWh, is left out:
			// firmware differs on its column, and power is there.
			{kind: results.Gauge, oid: "1.3.6.1.4.1.318.1.1.26.9.4.3.1.7.{n}", scale: 1,
				accuracy: results.Accuracy{Gain: 0.03, Offset: 1, Source: apc2Accuracy}},
		}},
	{name: "apc", about: "APC rack PDU of the first generation (PowerNet-MIB, rPDU)",
		inlet: []quantity{
			// rPDUIdentDevicePowerWatts, in W.
			{kind: results.Gauge, oid: "1.3.6.1.4.1.318.1.1.12.1.16.0", scale: 1,
				accuracy: results.Accuracy{Gain: 0.05, Offset: 115, Resolution: 23, Source: apcAccuracy}},
		},
		// PowerNet-MIB, rPDUIdentDeviceLinetoLineVoltage: "this setting is
		// used to calculate total power".
		note: "the PDU measures current only: its watts assume the voltage and the power factor that are configured in it"},
	{name: "raritan", about: "Raritan PX2 and later, Server Technology PRO3X and later (PDU2-MIB)",
		// measurementsInletSensorValue and measurementsOutletSensorValue (4) of
		// the sensor types activePower(5) and activeEnergy(8), with their
		// …SensorIsAvailable (2), a TruthValue; indexed by PDU, inlet or outlet,
		// and type (PDU2-MIB; Raritan, SNMP MIB User Guide, 5.3).
		inlet:  sensors("1.3.6.1.4.1.13742.6.5.2.3.1", "1.3.6.1.4.1.13742.6.3.3.4.1"),
		outlet: sensors("1.3.6.1.4.1.13742.6.5.4.3.1", "1.3.6.1.4.1.13742.6.3.5.4.1")},
}

// sensors are power and energy in a pair of tables of PDU2-MIB.
func sensors(measured, configured string) (out []quantity) {
	for _, kind := range []results.Kind{results.Gauge, results.Counter} {
		row := ".{unit}.{n}." + map[results.Kind]string{results.Gauge: "5", results.Counter: "8"}[kind]
		out = append(out, quantity{kind: kind, ready: measured + ".2" + row, oid: measured + ".4" + row, config: configured + ".{column}" + row,
			accuracy: results.Accuracy{Gain: results.Absent()}})
	}
	return out
}

// Columns of a sensor's configuration: …SensorUnits, …SensorDecimalDigits and
// …SensorResolution, "the minimum difference between any two measured values",
// in counts.
const unitsColumn, digitsColumn, resolutionColumn = "6", "7", "9"

// perUnit is what one count of a sensor without decimal digits is worth, in W
// or J, by its unit in PDU2-MIB's SensorUnitsEnumeration: watt(3) and
// wattHour(5).
var perUnit = map[results.Kind]map[int]float64{results.Gauge: {3: 1}, results.Counter: {5: 3600}}

func profileNames() (out []string) {
	for _, p := range profiles {
		out = append(out, p.name)
	}
	return out
}

// channels are those of some inlets or outlets of this kind of PDU.
func (p profile) channels(w want) (out []channel, err error) {
	table, most := p.inlet, 0.0
	if w.what == "outlet" {
		table, most = p.outlet, 10_000 // W: three phases of 400 V at 16 A
	}
	if len(table) == 0 {
		return nil, fmt.Errorf("it does not measure its %ss one by one", w.what)
	}
	for _, n := range w.numbers {
		place := fmt.Sprint(w.what, n)
		at := strings.NewReplacer("{unit}", fmt.Sprint(w.unit), "{n}", fmt.Sprint(n))
		for _, q := range table {
			switch {
			case n != 1 && !strings.Contains(q.oid, "{n}"):
				return nil, fmt.Errorf("it has one %s", w.what)
			case w.unit != 1 && !strings.Contains(q.oid, "{unit}"):
				return nil, fmt.Errorf("unit= does not choose among its %ss", w.what)
			}
			q.oid, q.ready, q.config = at.Replace(q.oid), at.Replace(q.ready), at.Replace(q.config)
			out = append(out, channel{quantity: q, place: place, bound: power.Bound{Watts: most}})
		}
	}
	return out, nil
}

// fine is the largest step, in J, of an energy that is better than power: 1 %
// of what 100 W use in a minute.
const fine = 60

// settle sorts the channels of a place by preference: its energy if that is fine, then
// its power, then an energy that is coarse. All of them are read, so that the total can
// use the next one where the first counts nothing.
func settle(chs []channel) {
	rank := func(c channel) int {
		switch {
		case c.kind == results.Gauge:
			return 1
		case c.step() <= fine:
			return 0
		}
		return 2
	}
	results.SortStable(chs, func(a, b channel) int {
		if a.place != b.place {
			return 0
		}
		return cmp.Compare(rank(a), rank(b))
	})
}
