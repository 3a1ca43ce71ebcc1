package results

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestOfCard: a card is found by its address or its UUID, never by its number, and
// the parts of a divided card are not the card.
func TestOfCard(t *testing.T) {
	n := Node{Devices: []Device{
		{ID: "cpu", Kind: KindCPU},
		{ID: "cuda:0", PCI: "0000:AF:00.0", UUID: "GPU-11111111-0000-0000-0000-000000000000"},
		{ID: "cuda:1", PCI: "0000:3b:00.0", UUID: "GPU-22222222-0000-0000-0000-000000000000"},
		{ID: "opencl:0", UUID: "33333333-0000-0000-0000-000000000000"},
		{ID: "cuda:2", PCI: "0000:86:00.0", UUID: "MIG-44444444-0000-0000-0000-000000000000"},
		{ID: "cuda:3", PCI: "0000:86:00.0", UUID: "MIG-55555555-0000-0000-0000-000000000000"},
	}}
	for card, want := range map[string]string{
		"0000:3b:00.0": "cuda:1", "0000:af:00.0": "cuda:0",
		"GPU-11111111-0000-0000-0000-000000000000": "cuda:0",
		"GPU-33333333-0000-0000-0000-000000000000": "opencl:0",
		"GPU-44444444-0000-0000-0000-000000000000": "",
		"0000:86:00.0": "", "0000:00:02.0": "", "": "", "1": "",
	} {
		d, ok := n.OfCard(card)
		require.Equal(t, want, d.ID, card)
		require.Equal(t, want != "", ok, card)
	}
}

// worked is a record whose card does the compute runs, a window from second 2 to 4 of
// each, and what the card's driver reported of them, a sample each 0.25 s.
func worked(report func(r *Run, note func(kind TraceKind, channel string, unit Unit, of Kind, v func(s float64) Float))) *Record {
	rec := twoDevices()
	for i := range rec.Runs {
		r := &rec.Runs[i]
		w, _ := r.Phase(PhaseMeasure)
		r.Traces = slices.DeleteFunc(r.Traces, func(tr Trace) bool { return tr.Key.Kind == TraceThrottles || tr.Key.Kind == TraceSuspended })
		if r.Scenario != "compute" {
			continue
		}
		report(r, func(kind TraceKind, channel string, unit Unit, of Kind, v func(float64) Float) {
			tr := Trace{Key: TraceKey{Kind: kind, Device: "gpu:0", Channel: channel}, Unit: unit, Kind: of}
			for s := -1.0; s <= float64(w.To-w.From)+1; s += 0.25 {
				tr.Add(w.From+Float(s), v(s), nil)
			}
			r.Traces = append(r.Traces, tr)
		})
	}
	return rec
}

func flagsOf(rec *Record, codes ...string) (out []string) {
	for _, f := range Derive(rec).Flags {
		if slices.Contains(codes, f.Code) {
			out = append(out, fmt.Sprintf("%s %s: %s", f.Code, f.Run, f.Text))
		}
	}
	return out
}

var ofCards = []string{"throttled", "clock-moved", "ecc-errors", "power-limited", "power-cap"}

// TestCardAtWork: what slows a card down in its window is a warning, what it does
// before and after is none.
func TestCardAtWork(t *testing.T) {
	from, to := 0.0, 2.0 // of the window
	in := func(s float64) bool { return s >= from && s <= to }
	level := func(v Float) func(float64) Float { return func(float64) Float { return v } }
	for name, c := range map[string]struct {
		of   func(round int, note func(TraceKind, string, Unit, Kind, func(float64) Float))
		want []string
	}{
		"nothing": {func(_ int, note func(TraceKind, string, Unit, Kind, func(float64) Float)) {
			note(TraceClock, "", Hertz, Gauge, func(s float64) Float {
				if in(s) {
					return 1.9e9
				}
				return 0.3e9 // an idle card
			})
			note(TraceTemperature, "", Kelvin, Gauge, level(330))
			note(TraceHeldBack, HeldByHeat, Ratio, Gauge, func(s float64) Float {
				if s < -0.5 {
					return 1
				}
				return 0
			})
			note(TraceHeldBack, HeldByPower, Ratio, Gauge, level(0))
			note(TraceECC, ECCCorrected, Ratio, Counter, func(s float64) Float { return Float(10 + 4*s) })
			note(TraceECC, ECCUncorrected, Ratio, Counter, level(2))
		}, nil},
		"heat": {func(round int, note func(TraceKind, string, Unit, Kind, func(float64) Float)) {
			if round == 2 {
				note(TraceTemperature, "", Kelvin, Gauge, func(s float64) Float {
					if in(s) {
						return 365.15
					}
					return 400 // not in the window
				})
				note(TraceHeldBack, HeldByHeat, Ratio, Gauge, func(s float64) Float {
					if s >= to/2 {
						return 1
					}
					return 0
				})
			}
		}, []string{"throttled compute/2: gpu:0 (H200) slowed down for heat in 56 % of the window, at up to 92 °C"}},
		"a brake": {func(round int, note func(TraceKind, string, Unit, Kind, func(float64) Float)) {
			if round == 3 {
				note(TraceHeldBack, HeldByHardware, Ratio, Gauge, level(1))
			}
		}, []string{"throttled compute/3: the hardware of gpu:0 (H200) held its clocks back in 100 % of the window"}},
		"its limit": {func(round int, note func(TraceKind, string, Unit, Kind, func(float64) Float)) {
			note(TraceHeldBack, HeldByPower, Ratio, Gauge, level(Float(min(round-1, 1))))
		}, []string{"power-limited : the power limit held back the clocks of gpu:0 (H200) in 5 runs, for up to 100 % of a window"}},
		"errors": {func(round int, note func(TraceKind, string, Unit, Kind, func(float64) Float)) {
			if round == 1 {
				note(TraceECC, ECCUncorrected, Ratio, Counter, func(s float64) Float {
					if s > 1 {
						return 3
					}
					return 2
				})
			}
		}, []string{"ecc-errors compute/1: errors of the memory of gpu:0 (H200) that it could not correct: 1"}},
		"a clock that falls": {func(round int, note func(TraceKind, string, Unit, Kind, func(float64) Float)) {
			note(TraceClock, "", Hertz, Gauge, func(s float64) Float {
				if round == 4 {
					return Float(2e9 - 0.1e9*(s-1)) // the same on average
				}
				return 2e9
			})
		}, []string{"clock-moved compute/4: the clock of gpu:0 (H200) fell by 7.2 % within the window, from 2.08 to 1.93 GHz"}},
		"a clock that wavers": {func(_ int, note func(TraceKind, string, Unit, Kind, func(float64) Float)) {
			note(TraceClock, "", Hertz, Gauge, func(s float64) Float { return Float(2e9 + 0.1e9*float64(int(4*s)%2)) })
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			rec := worked(func(r *Run, note func(TraceKind, string, Unit, Kind, func(float64) Float)) {
				w, _ := r.Phase(PhaseMeasure)
				to = float64(w.To - w.From)
				c.of(r.Round, note)
			})
			require.Equal(t, c.want, flagsOf(rec, ofCards...))
		})
	}
}

// TestPowerLimitOfACard: a limit below that of the maker is a warning, the maker's own
// and one that is not known are none.
func TestPowerLimitOfACard(t *testing.T) {
	rec := worked(func(*Run, func(TraceKind, string, Unit, Kind, func(float64) Float)) {})
	card := &rec.Node.Devices[len(rec.Node.Devices)-1]
	for _, l := range []*PowerLimit{nil, {700, 700}, {695, 700}, {700, 600}, {Absent(), 700}, {700, Absent()}} {
		card.PowerLimit = l
		require.Empty(t, flagsOf(rec, ofCards...), l)
	}
	card.PowerLimit = &PowerLimit{Enforced: 500, Default: 700}
	require.Equal(t, []string{"power-cap : gpu:0 (H200) is limited to 500 W, 700 W as shipped: figures hold for this limit"}, flagsOf(rec, ofCards...))
}

// TestClockOfTheWindow: the clock of a card is that of its window, and that of the CPU
// the mean of the probes around it.
func TestClockOfTheWindow(t *testing.T) {
	rec := worked(func(r *Run, note func(TraceKind, string, Unit, Kind, func(float64) Float)) {
		w, _ := r.Phase(PhaseMeasure)
		note(TraceClock, "", Hertz, Gauge, func(s float64) Float {
			switch {
			case s < 0 || s > float64(w.To-w.From):
				return 0.3e9
			case s == 0.5:
				return Absent() // a gap
			}
			return 1.9e9
		})
	})
	s := Derive(rec)
	n := 0
	for _, w := range s.Windows() {
		if w.Scenario == "compute" && w.Use.Device == "gpu:0" {
			require.Equal(t, Float(1.9e9), w.Clock)
			n++
		}
	}
	require.NotZero(t, n)
}
