package results

import (
	"encoding/json"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// outcome returns what became of a rule.
func outcome(t *testing.T, v Validity, rule string) Finding {
	t.Helper()
	i := slices.IndexFunc(v.Findings, func(f Finding) bool { return f.Rule == rule })
	require.GreaterOrEqual(t, i, 0, rule)
	return v.Findings[i]
}

// publishable is a session that keeps every rule: 70 s windows, a wall meter.
func publishable() *Record {
	rec := newWorld().record()
	rec.State = Complete
	rec.Meters = []Meter{{Name: "m", Period: Absent(), Channels: []Channel{
		{Name: "b", Unit: Watt, Kind: Gauge, Boundary: Wall, Origin: Measured, Total: Wall, Accuracy: Accuracy{Gain: 0.01, Resolution: 0.1}},
	}}}
	const stretch = 40 // 2 s become 80
	for i := range rec.Runs {
		r := &rec.Runs[i]
		for j := range r.Phases {
			r.Phases[j].From *= stretch
			r.Phases[j].To *= stretch
		}
		for j := range r.Traces {
			tr := &r.Traces[j]
			for k := range tr.T {
				tr.T[k] *= stretch
				if tr.Kind == Counter {
					tr.V[k] *= stretch
				}
			}
		}
		r.Anchor.T *= stretch
		r.Anchor.UTC = rec.Start.Add(time.Duration(float64(r.Anchor.T) * 1e9))
	}
	rec.Plan.Warmup *= stretch
	return rec
}

func TestRules(t *testing.T) {
	v := Derive(publishable()).Validity
	for _, f := range v.Findings {
		require.NotEqual(t, Fail, f.Outcome, "%s: %s", f.Rule, f.Figure)
		require.NotEmpty(t, f.Source)
	}
	require.True(t, v.Valid)

	meter := func(rec *Record) *Channel { return &rec.Meters[0].Channels[0] }
	each := func(rec *Record, f func(r *Run, tr *Trace)) {
		for i := range rec.Runs {
			f(&rec.Runs[i], rec.Runs[i].Trace(MeterKey("m", "b")))
		}
	}
	for rule, spoil := range map[string]func(rec *Record){
		"complete": func(rec *Record) { rec.State = Interrupted },
		"answers":  func(rec *Record) { rec.Runs[3].Status = Void },
		"repeats":  func(rec *Record) { rec.Runs = rec.Runs[:len(rec.Runs)/2] },
		"measured": func(rec *Record) { meter(rec).Origin = Declared },
		"duration": func(rec *Record) {
			for i := range rec.Runs {
				p := &rec.Runs[i].Phases[len(rec.Runs[i].Phases)-1]
				p.To = p.From + 59
			}
		},
		"readings": func(rec *Record) {
			each(rec, func(_ *Run, tr *Trace) { thin(tr, 8) })
		},
		"coverage": func(rec *Record) {
			each(rec, func(_ *Run, tr *Trace) { cut(tr, 15, 20) })
		},
		"gaps": func(rec *Record) {
			each(rec, func(_ *Run, tr *Trace) { cut(tr, 15, 19) })
		},
		"resolution":  func(rec *Record) { meter(rec).Accuracy.Resolution = 10 },
		"uncertainty": nil, // asked of grades A and B alone
		"interval":    nil,
		"clock": func(rec *Record) {
			each(rec, func(r *Run, tr *Trace) {
				trips := Trace{Key: TraceKey{Kind: TraceRoundTrip, Meter: "m"}, T: tr.T, V: make([]Float, len(tr.T))}
				for i := range trips.V {
					trips.V[i] = 0.9
				}
				r.Traces = append(r.Traces, trips)
			})
		},
		"idle": func(rec *Record) {
			last := rec.Runs[len(rec.Runs)-1]
			for i := range rec.Runs {
				if rec.Runs[i].Scenario == "idle" {
					last = rec.Runs[i]
				}
			}
			tr := last.Trace(MeterKey("m", "b"))
			for i := range tr.V {
				tr.V[i] *= 1.04
			}
		},
		"steady": func(rec *Record) {
			for i := range rec.Runs {
				if rec.Runs[i].Scenario == "mining" {
					tr := rec.Runs[i].Trace(UseKey(TraceWork, "mining", CPUDevice))
					for j := range tr.V {
						tr.V[j] *= 1 + Float(j)/100
					}
				}
			}
		},
		"plausible": func(rec *Record) {
			each(rec, func(_ *Run, tr *Trace) {
				for i := range tr.V {
					tr.V[i] = 200
				}
			})
		},
		"undisturbed": func(rec *Record) {
			for i := range rec.Runs {
				tr := rec.Runs[i].Trace(HostSteal)
				for j := range tr.V {
					tr.V[j] = tr.T[j]
				}
			}
		},
	} {
		require.NotEmpty(t, outcome(t, v, rule).Asks)
		if spoil == nil {
			continue
		}
		rec := publishable()
		spoil(rec)
		got := Derive(rec).Validity
		require.Equal(t, Fail, outcome(t, got, rule).Outcome, "%s: %s", rule, outcome(t, got, rule).Figure)
		require.False(t, got.Valid)
	}
	require.Len(t, v.Findings, 16)
}

// TestGradesAskMore: what claims to be the best evidence is held to more.
func TestGradesAskMore(t *testing.T) {
	rec := publishable()
	for i := range rec.Runs {
		p := &rec.Runs[i].Phases[len(rec.Runs[i].Phases)-1]
		p.To = p.From + 79
	}
	d := indexed(free(rec))
	d.windows = []*Window{{}}
	j := &judgement{deriver: d, grade: "A", coverage: []Coverage{{Interval: 4, Readings: 20}}, shortest: 79}
	j.head = meterTotal{parts: []sensor{{Channel: Channel{Kind: Gauge}}}}
	for name, want := range map[string]Outcome{"duration": Fail, "readings": Fail, "interval": Fail} {
		i := slices.IndexFunc(publish, func(r rule) bool { return r.name == name })
		got, _ := publish[i].look(j)
		require.Equal(t, want, got, name)
	}
	j.coverage = []Coverage{{Interval: 1, Readings: 600}}
	j.shortest = 600
	for _, name := range []string{"duration", "readings", "interval"} {
		i := slices.IndexFunc(publish, func(r rule) bool { return r.name == name })
		got, _ := publish[i].look(j)
		require.Equal(t, Pass, got, name)
	}
}

// thin leaves every n-th sample.
func thin(tr *Trace, n int) {
	k := 0
	for i := range tr.T {
		if i%n == 0 {
			tr.T[k], tr.V[k] = tr.T[i], tr.V[i]
			k++
		}
	}
	tr.T, tr.V = tr.T[:k], tr.V[:k]
}

// cut takes the samples from the a-th to the b-th out, without a gap to show.
func cut(tr *Trace, a, b int) {
	tr.T, tr.V = slices.Delete(slices.Clone(tr.T), a, b), slices.Delete(slices.Clone(tr.V), a, b)
}

func TestCoverage(t *testing.T) {
	rec := publishable()
	c := Derive(rec).Coverage[0]
	require.InDelta(t, 4, float64(c.Interval), 2e-3, "the sampler is late")
	require.InDelta(t, 1, float64(c.Share), 1e-9)
	require.True(t, c.RoundTrip.IsAbsent())
	require.True(t, c.ClockOffset.IsAbsent())
	for i := range rec.Runs {
		tr := rec.Runs[i].Trace(MeterKey("m", "b"))
		tr.V[15] = Absent() // a gap takes the spans on both its sides
	}
	c = Derive(rec).Coverage[0]
	require.InDelta(t, 1-8./80, float64(c.Share), 1e-3)
}

// TestPackageWithinNodeWithinWall: what lies inside draws no more than what is
// around it.
func TestPackageWithinNodeWithinWall(t *testing.T) {
	world := func(wall, node Float) Summary {
		rec := newWorld().record()
		channel := func(name string, b Boundary) Channel {
			return Channel{Name: name, Unit: Watt, Kind: Gauge, Boundary: b, Origin: Measured, Total: b, Accuracy: Accuracy{Gain: 0.02, Resolution: Absent()}}
		}
		rec.Meters = append(rec.Meters, Meter{Name: "bmc", Channels: []Channel{channel("x", Chassis)}}, Meter{Name: "plug", Channels: []Channel{channel("x", Wall)}})
		for i := range rec.Runs {
			r := &rec.Runs[i]
			b := r.Trace(MeterKey("m", "b")) // a quarter of the package
			for name, k := range map[string]Float{"bmc": node, "plug": wall} {
				tr := Trace{Key: MeterKey(name, "x"), Kind: Gauge, T: b.T}
				for _, v := range b.V {
					tr.V = append(tr.V, 4*k*v)
				}
				r.Traces = append(r.Traces, tr)
			}
		}
		return Derive(rec)
	}
	s := world(1.3, 1.2)
	require.NotContains(t, codes(s.Flags), "meters-disagree")
	m := row(t, s, "mining", "mining").Metrics[Power]
	require.Equal(t, Wall, m.Boundary, "the outermost is quoted")
	near(t, 150*1.3, m.Value)
	var beside []string
	for _, r := range s.Meters {
		if r.Scenario == "mining" {
			beside = append(beside, r.Meter)
		}
	}
	require.Equal(t, []string{"plug", "bmc", "m"}, beside)

	require.Contains(t, codes(world(1.0, 1.2).Flags), "meters-disagree", "a plug that sees less than the BMC")
	require.Contains(t, codes(world(1.3, 0.8).Flags), "meters-disagree", "a BMC that sees less than the packages")
	require.NotContains(t, codes(world(1.18, 1.2).Flags), "meters-disagree", "within what they state")
	require.Equal(t, Fail, outcome(t, world(1.0, 1.2).Validity, "plausible").Outcome)
}

// TestAnotherMachinesOutlet: a meter that does not see the load measures
// something else.
func TestAnotherMachinesOutlet(t *testing.T) {
	require.Contains(t, codes(Derive(single(230, 231, Accuracy{Gain: 0.01, Resolution: Absent()})).Flags), "meter-blind")
	require.NotContains(t, codes(Derive(single(200, 230, Accuracy{Gain: 0.01, Resolution: Absent()})).Flags), "meter-blind")
}

// TestExtraPowerBelowTheMetersSteps: 3 W more is nothing to a meter that
// counts 10.
func TestExtraPowerBelowTheMetersSteps(t *testing.T) {
	fine := single(200, 230, Accuracy{Gain: 0.01, Resolution: 0.1})
	for i := range fine.Runs {
		if fine.Runs[i].Scenario == "mullet" {
			tr := fine.Runs[i].Trace(MeterKey("m", "b"))
			for j := range tr.V {
				tr.V[j] += 3
			}
		}
	}
	m := Derive(fine).CoRunCost
	near(t, 3, m.ExtraPower.Value)
	near(t, 3*2*6, m.ExtraEnergy.Value)
	near(t, 3/3e5, m.EnergyPer.Value)
	fine.Meters[0].Channels[0].Accuracy.Resolution = 10
	m = Derive(fine).CoRunCost
	require.True(t, m.EnergyPer.Value.IsAbsent())
	require.Equal(t, Reason{BelowResolution, "the extra power is below the meter's resolution (10 W)"}, m.EnergyPer.Reason)
	require.Equal(t, m.EnergyPer.Reason, m.ExtraEnergy.Reason)
}

// TestNetBelowIdle: what does not rise above idle has no net power.
func TestNetBelowIdle(t *testing.T) {
	m := row(t, Derive(single(230, 229, Accuracy{Gain: 0.01, Resolution: Absent()})), "mining", "mining").Metrics[NetPower]
	require.True(t, m.Value.IsAbsent())
	require.Equal(t, Because(NotAboveIdle), m.Reason)
}

// TestNetIsRounding: what lies above idle by the rounding of float64 alone has no net
// power, and the record can be written: an uncertainty relative to nothing is infinite.
func TestNetIsRounding(t *testing.T) {
	for name, load := range map[string]float64{"the same": 350, "above": math.Nextafter(350, 351), "below": math.Nextafter(350, 349)} {
		t.Run(name, func(t *testing.T) {
			s := Derive(single(350, load, Accuracy{Gain: Absent(), Resolution: Absent()}))
			m := row(t, s, "mining", "mining").Metrics[NetPower]
			require.Equal(t, Because(NotAboveIdle), m.Reason)
			_, err := json.Marshal(s)
			require.NoError(t, err)
		})
	}
	// Half of the windows at idle to the bit, the others far above.
	rec := single(350, 350, Accuracy{Gain: 0.01, Resolution: Absent()})
	n := 0
	for i := range rec.Runs {
		if rec.Runs[i].Scenario != "mining" {
			continue
		}
		if n++; n%2 == 0 {
			tr := rec.Runs[i].Trace(MeterKey("m", "b"))
			for j := range tr.V {
				tr.V[j] *= 2
			}
		}
	}
	_, err := json.Marshal(Derive(rec))
	require.NoError(t, err)
}
