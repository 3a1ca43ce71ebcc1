package results_test

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/resultstest"
)

const (
	packages, packagesIdle = resultstest.PackageBusy, resultstest.PackageIdle
	card, cardIdle         = resultstest.CardBusy, resultstest.CardIdle
)

// watts are the powers of the rows by "scenario use", of rows with watts of their
// own; where there are none, the status and a part of the reason.
func watts(rec *results.Record) map[string]any {
	out := map[string]any{}
	for _, r := range rec.Summary.Rows {
		if r.PartOf != "" {
			continue
		}
		p := r.Metrics[results.Power]
		if out[r.Scenario+" "+r.Use] = any(p.Status); p.Status == results.Known {
			out[r.Scenario+" "+r.Use] = math.Round(float64(p.Value)*1e6) / 1e6
		}
	}
	return out
}

// TestCoverage: a use has the watts of a total that covers what it ran on, or none
// and the reason, whatever meters there are.
func TestCoverage(t *testing.T) {
	cards := resultstest.EightCards("node1").Cards
	renamed := slices.Clone(cards) // as the driver of a virtual machine sees them
	for i := range renamed {
		renamed[i].PCI, renamed[i].UUID = fmt.Sprintf("0000:00:%02x.0", i+4), fmt.Sprintf("GPU-%08d-virtual", i)
	}
	sliced := slices.Clone(cards)
	sliced[0].UUID = "MIG-41b35014-942d-5ac9-8cb6-f4f3ce1d3f28"
	byUUID := slices.Clone(cards)
	for i := range byUUID {
		byUUID[i].PCI = ""
	}
	modelled := resultstest.Packages()
	modelled.Name = "model"
	for i := range modelled.Channels {
		c := &modelled.Channels[i]
		c.Boundary, c.Total, c.Origin = results.Wall, results.Wall, results.Modelled
	}
	declared := resultstest.Outlet(8)
	declared.Name, declared.Channels[0].Origin = "declared", results.Declared
	lost := resultstest.Cards(cards)
	lost.Draws = func(int, string, []string) float64 { return math.NaN() }
	upper := resultstest.Cards(cards)
	for i := range upper.Channels {
		upper.Channels[i].Card = strings.ToUpper(upper.Channels[i].Card)
	}
	withoutFirst := resultstest.Cards(cards[1:])
	const sum = "nvml + rapl"
	const idle8 = 8 * cardIdle
	none, shared, unknown := results.DeviceUnmetered, results.CardShared, results.CardUnknown
	both := map[string]any{"idle idle": idle8 + packagesIdle, "mining mining": idle8 + packages, "compute-bf16@cuda:0 compute-bf16": idle8 - cardIdle + card + packagesIdle,
		"mullet@cuda:0 compute-bf16": idle8 - cardIdle + card + packages, "mullet@cuda:0 mining": idle8 - cardIdle + card + packages, "mining@cuda:0-1 mining": 6*cardIdle + 2*card + packagesIdle}
	onlyCPU := func(idle, mining any, why results.FigureStatus) map[string]any {
		return map[string]any{"idle idle": idle, "mining mining": mining, "compute-bf16@cuda:0 compute-bf16": why, "mullet@cuda:0 compute-bf16": why, "mullet@cuda:0 mining": why, "mining@cuda:0-1 mining": why}
	}
	outlet := map[string]any{}
	for row, w := range both {
		outlet[row] = w.(float64) + resultstest.Around
	}
	for _, c := range []struct {
		name    string
		devices []results.Device
		meters  []resultstest.Instrument
		head    string
		at      results.Boundary
		want    map[string]any
		warns   []string // of the meters
		says    []string // parts of the reasons
	}{
		{"packages alone", cards, []resultstest.Instrument{resultstest.Packages()}, "rapl", results.Package, onlyCPU(packagesIdle, packages, none),
			[]string{"device-unmetered"}, []string{"meter rapl is at the package, and cuda:0 (NVIDIA H200) is outside of it: add --meter nvml (NVIDIA) or hwmon (AMD, Intel), or a meter of the node"}},
		{"cards alone", cards, []resultstest.Instrument{resultstest.Cards(cards)}, "nvml", results.Cards, map[string]any{"idle idle": idle8, "mining mining": none,
			"compute-bf16@cuda:0 compute-bf16": idle8 - cardIdle + card, "mullet@cuda:0 compute-bf16": none, "mullet@cuda:0 mining": none, "mining@cuda:0-1 mining": 6*cardIdle + 2*card},
			[]string{"device-unmetered"}, []string{"meter nvml is at the cards, and the CPU is outside of it: add --meter rapl, or a meter of the node"}},
		{"both", cards, []resultstest.Instrument{resultstest.Packages(), resultstest.Cards(cards)}, sum, results.CardsPackages, both, nil, nil},
		{"both, by UUID", byUUID, []resultstest.Instrument{resultstest.Packages(), resultstest.Cards(byUUID)}, sum, results.CardsPackages, both, nil, nil},
		{"both, in capitals", cards, []resultstest.Instrument{upper, resultstest.Packages()}, sum, results.CardsPackages, both, nil, nil},
		{"the wall", cards, []resultstest.Instrument{resultstest.Packages(), resultstest.Cards(cards), resultstest.Outlet(8)}, "snmp", results.Wall, outlet, nil, nil},
		{"declared", cards, []resultstest.Instrument{resultstest.Packages(), declared}, "declared", results.Wall, outlet, []string{"declared-power"}, nil},
		{"a model of the CPU", cards, []resultstest.Instrument{modelled}, "model", results.Wall, onlyCPU(packagesIdle, packages, none),
			[]string{"device-unmetered", "modelled-power"}, []string{"meter model models the CPU alone, and cuda:0 (NVIDIA H200) is outside of it"}},
		{"a slice of a card", sliced, []resultstest.Instrument{resultstest.Packages(), resultstest.Cards(cards)}, sum, results.CardsPackages,
			onlyCPU(7*cardIdle+packagesIdle, 7*cardIdle+packages, shared), []string{"card-shared", "device-unmetered"},
			[]string{"cuda:0 (NVIDIA H200) is a part of a card (MIG), and the meter of a card counts all of it: add a meter of the node, or measure the whole card with MIG off"}},
		{"a slice at the wall", sliced, []resultstest.Instrument{resultstest.Packages(), resultstest.Outlet(8)}, "snmp", results.Wall, outlet, nil, nil},
		{"no card matches", renamed, []resultstest.Instrument{resultstest.Packages(), resultstest.Cards(cards)}, "rapl", results.Package, onlyCPU(packagesIdle, packages, unknown),
			[]string{"card-unknown", "device-unmetered"}, []string{"no channel is of cuda:0 (NVIDIA H200): meter nvml measures card 0000:8b:00.0, which is no device of this node: add a meter of the node"}},
		{"one card has no channel", cards, []resultstest.Instrument{resultstest.Packages(), withoutFirst}, sum, results.CardsPackages,
			onlyCPU(7*cardIdle+packagesIdle, 7*cardIdle+packages, none), []string{"device-unmetered"}, []string{"no channel of meter nvml + rapl is of cuda:0 (NVIDIA H200)"}},
		{"the cards' meter is silent", cards, []resultstest.Instrument{resultstest.Packages(), lost}, "rapl", results.Package, onlyCPU(packagesIdle, packages, none),
			[]string{"dead-source", "device-unmetered"}, []string{"meter nvml covers cuda:0 (NVIDIA H200) and gave no watts: the counter gpu0-energy of meter nvml gave no reading: the driver lost the card: watch it"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := resultstest.EightCards("node1")
			n.Cards = c.devices
			rec := resultstest.Metered(resultstest.Session(n, 1, 6, 1), c.meters...)
			head := rec.Summary.PrimaryMeter
			require.NotNil(t, head)
			require.Equal(t, c.head, head.Meter)
			require.Equal(t, c.at, head.Boundary)
			require.Equal(t, c.want, watts(rec))
			var why []string
			own := 0
			for _, r := range rec.Summary.Rows {
				p := r.Metrics[results.Power]
				for _, name := range []string{results.Energy, results.WorkPerEnergy, results.EnergyPerWork, results.NetPower} {
					if m, ok := r.Metrics[name]; ok && r.Use != "idle" {
						require.Equal(t, p.Value.IsAbsent(), m.Value.IsAbsent(), "%s %s of %s", r.Scenario, name, r.Use)
					}
				}
				if p.Value.IsAbsent() {
					require.Empty(t, p.Boundary, "no watts, no boundary")
					require.Empty(t, p.Grade)
				} else if r.PartOf != "" {
					own++
					require.Equal(t, results.Card, p.Boundary)
					require.InDelta(t, card, float64(p.Value), 1e-6)
				} else {
					require.Equal(t, c.at, p.Boundary)
				}
				require.False(t, r.Metrics[results.Power].Value == 0)
				why = append(why, p.Why)
			}
			require.Equal(t, map[string]int{"cards alone": 2, "both": 2, "both, by UUID": 2, "both, in capitals": 2, "the wall": 2, "a slice of a card": 1, "one card has no channel": 1}[c.name], own, "joules of one card of two that work together")
			for _, part := range c.says {
				require.True(t, slices.ContainsFunc(why, func(s string) bool { return strings.Contains(s, part) }), "%s in %q", part, why)
			}
			var warns []string
			for _, f := range rec.Summary.Flags {
				if strings.HasSuffix(f.Code, "-power") || slices.Contains([]string{"device-unmetered", "card-shared", "card-unknown", "dead-source", "energy-gap", "meters-disagree", "no-power"}, f.Code) {
					warns = append(warns, f.Code)
					require.NotEmpty(t, f.Remedy)
				}
			}
			slices.Sort(warns)
			require.Equal(t, c.warns, slices.Compact(warns))

			file, err := results.Seal(rec)
			require.NoError(t, err)
			again, err := results.Read(bytes.NewReader(file), "a file")
			require.NoError(t, err)
			require.Equal(t, head, again.Summary.PrimaryMeter)
			if dir := os.Getenv("PERWATT_WRITE_RECORDS"); dir != "" { // to look at
				require.NoError(t, os.WriteFile(filepath.Join(dir, strings.ReplaceAll(c.name, " ", "-")+".json"), file, 0o600))
			}
		})
	}
}

// TestSumOfCardsAndPackages: the sum has the joules of both meters to the last
// card, its uncertainty adds theirs, it is of grade D however accurate they are,
// and it must keep the rules at both meters.
func TestSumOfCardsAndPackages(t *testing.T) {
	n := resultstest.EightCards("node1")
	session := func(edit func(in []resultstest.Instrument)) *results.Record {
		in := []resultstest.Instrument{resultstest.Cards(n.Cards), resultstest.Packages()}
		if edit != nil {
			edit(in)
		}
		return resultstest.Metered(resultstest.Session(n, 1, 6, 1), in...)
	}
	rec := session(nil)
	gain := func(p results.Figure) float64 {
		for _, term := range p.Budget.Terms {
			if term.Name == results.Gain {
				return float64(term.HalfWidth)
			}
		}
		return math.NaN()
	}
	for _, r := range rec.Summary.Rows {
		p := r.Metrics[results.Power]
		if r.PartOf != "" {
			continue
		}
		parts := map[results.Boundary]float64{}
		for _, m := range rec.Summary.Meters {
			if m.Scenario == r.Scenario && m.Channel == "" {
				parts[m.Power.Boundary] = float64(m.Power.Value)
			}
		}
		require.InEpsilon(t, parts[results.Cards]+parts[results.Package], float64(p.Value), 1e-9)
		require.InDelta(t, (0.05*parts[results.Cards]+0.02*parts[results.Package])/float64(p.Value), gain(p), 2e-6)
		require.Equal(t, results.Grade("D"), p.Grade)
		require.Equal(t, results.Measured, p.Origin)
	}
	idle := 0
	for _, m := range rec.Summary.Meters {
		if m.Channel != "" && m.Scenario == "mining@cuda:0-1" {
			require.NotEmpty(t, m.Device)
			if float64(m.Power.Value) < 2*cardIdle {
				idle++
			}
			require.Equal(t, m.Device == "cuda:0" || m.Device == "cuda:1", float64(m.Power.Value) > 2*cardIdle, "%s of %s", m.Channel, m.Device)
		}
	}
	require.Equal(t, 6, idle, "what idle cards draw is shown")
	head := rec.Summary.PrimaryMeter
	require.Len(t, head.Channels, 10)
	require.True(t, head.Has("nvml") && head.Has("rapl") && !head.Has("nvml + rapl"))
	for i := range head.Channels {
		require.NotNil(t, rec.Runs[0].Trace(head.Key(i)))
	}
	validity := func(rec *results.Record, rule string) results.Outcome {
		for _, f := range rec.Summary.Validity.Findings {
			if f.Rule == rule {
				return f.Outcome
			}
		}
		return ""
	}

	exact := session(func(in []resultstest.Instrument) {
		for i := range in {
			for k := range in[i].Channels {
				in[i].Channels[k].Accuracy.Gain = 1e-6
			}
		}
	})
	require.Equal(t, results.Grade("D"), exact.Summary.Rows[0].Metrics[results.Power].Grade)
	unstated := session(func(in []resultstest.Instrument) { in[0].Channels[3].Accuracy.Gain = results.Absent() })
	require.Contains(t, unstated.Summary.Rows[0].Metrics[results.Power].Budget.Unstated, results.Gain)

	require.Equal(t, results.Pass, validity(rec, "gaps"))
	for _, meter := range []string{"nvml", "rapl"} { // seven seconds without a reading of one of the two
		rec := session(nil)
		for i := range rec.Runs {
			for k := range rec.Runs[i].Traces {
				tr := &rec.Runs[i].Traces[k]
				if tr.Key.Meter != meter {
					continue
				}
				at := func(x results.Float) bool { return x > rec.Runs[i].Anchor.T+60 && x < rec.Runs[i].Anchor.T+67 }
				var times, values []results.Float
				for j, x := range tr.T {
					if !at(x) {
						times, values = append(times, x), append(values, tr.V[j])
					}
				}
				tr.T, tr.V = times, values
			}
		}
		rec.Summary = results.Derive(rec)
		require.Equal(t, results.Fail, validity(rec, "gaps"), meter)
		require.Equal(t, results.Fail, validity(rec, "coverage"), meter)
	}
}

// TestCardsOfTwoVendors: each vendor's meter reads its own cards, and the sum has them
// all, each once. What no meter reads is named.
func TestCardsOfTwoVendors(t *testing.T) {
	n := resultstest.EightCards("node1")
	for i := range 3 {
		n.Cards[5+i].ID, n.Cards[5+i].UUID = fmt.Sprint("hip:", i), ""
	}
	nvidia, amd := n.Cards[:5], n.Cards[5:]
	n.Only = []string{"idle", "mining", "mining@cuda:0-1", "mining@hip:0"}
	n.Rates["mining@hip:0/mining"] = 2e9
	meter := func(name string, cards []results.Device) resultstest.Instrument {
		in := resultstest.Cards(cards)
		in.Meter.Name = name
		return in
	}
	uncounted := func(rec *results.Record) (text string) {
		for _, w := range rec.Summary.Flags {
			if w.Code == "cards-uncounted" {
				require.Contains(t, w.Remedy, "hwmon")
				require.Empty(t, text, "once")
				text = w.Text
			}
		}
		return text
	}
	const all = 8*cardIdle + packagesIdle
	whole := map[string]any{
		"idle idle": all, "mining mining": 8*cardIdle + packages,
		"mining@cuda:0-1 mining": all + 2*(card-cardIdle), "mining@hip:0 mining": all + card - cardIdle,
	}
	for name, order := range map[string][]resultstest.Instrument{
		"the first first": {meter("nvml", nvidia), meter("hwmon", amd), resultstest.Packages()},
		"the other first": {meter("hwmon", amd), resultstest.Packages(), meter("nvml", nvidia)},
		// Another meter that reads cards which are counted adds nothing, however it names them.
		"a third that reads some again": {meter("nvml", nvidia), meter("hwmon", amd), resultstest.Packages(), meter("dcgm", func() []results.Device {
			again := slices.Clone(nvidia[3:])
			again[0].PCI, again[1].PCI = "", strings.ToUpper(again[1].PCI)
			return again
		}())},
	} {
		rec := resultstest.Metered(resultstest.Session(n, 1, 6, 1), order...)
		require.Equal(t, whole, watts(rec), name)
		require.Equal(t, results.CardsPackages, rec.Summary.PrimaryMeter.Boundary, name)
		require.Len(t, rec.Summary.PrimaryMeter.Channels, 8+2, name)
		require.True(t, rec.Summary.PrimaryMeter.Has("nvml") && rec.Summary.PrimaryMeter.Has("hwmon") && rec.Summary.PrimaryMeter.Has("rapl"))
		require.False(t, rec.Summary.PrimaryMeter.Has("dcgm"), name)
		require.Empty(t, uncounted(rec), name)
		require.Equal(t, results.Grade("D"), rec.Summary.Rows[0].Metrics[results.Power].Grade)
		for _, c := range rec.Summary.Coverage {
			require.Positive(t, c.Readings, c.Meter)
		}
	}

	// The sum is a lower bound where a card has no meter. What worked there has no watts.
	rec := resultstest.Metered(resultstest.Session(n, 1, 6, 1), meter("nvml", nvidia), meter("hwmon", amd[:1]), resultstest.Packages())
	require.Equal(t, all-2*cardIdle, watts(rec)["idle idle"])
	require.Equal(t, all-2*cardIdle+card-cardIdle, watts(rec)["mining@hip:0 mining"])
	require.Contains(t, uncounted(rec), "cards + packages leave out hip:1")
	require.Contains(t, uncounted(rec), "hip:2")
	rec = resultstest.Metered(resultstest.Session(n, 1, 6, 1), meter("nvml", nvidia), resultstest.Packages())
	require.Equal(t, results.DeviceUnmetered, watts(rec)["mining@hip:0 mining"])
	require.Equal(t, 5*cardIdle+packagesIdle, watts(rec)["idle idle"])
	require.NotContains(t, uncounted(rec), "hip:0", "that it has no watts is a warning of its own")

	// A vendor's meter that gave nothing costs the other one nothing.
	silent := meter("hwmon", amd)
	silent.Draws = func(int, string, []string) float64 { return math.NaN() }
	rec = resultstest.Metered(resultstest.Session(n, 1, 6, 1), meter("nvml", nvidia), silent, resultstest.Packages())
	require.Equal(t, 5*cardIdle+packagesIdle, watts(rec)["idle idle"])
	require.False(t, rec.Summary.PrimaryMeter.Has("hwmon"))
}

// TestIdleCardsAreCharged: a session that used the CPU alone has the idle cards in
// its watts, where a meter reads them; and none of another boundary's.
func TestIdleCardsAreCharged(t *testing.T) {
	n := resultstest.EightCards("node1")
	n.Only = []string{"idle", "mining"}
	rec := resultstest.Metered(resultstest.Session(n, 1, 6, 1), resultstest.Packages(), resultstest.Cards(n.Cards))
	require.Equal(t, map[string]any{"idle idle": 8*cardIdle + packagesIdle, "mining mining": 8*cardIdle + packages}, watts(rec))
	require.Equal(t, results.CardsPackages, rec.Summary.PrimaryMeter.Boundary)
	rec = resultstest.Metered(resultstest.Session(n, 1, 6, 1), resultstest.Packages())
	require.Equal(t, map[string]any{"idle idle": packagesIdle, "mining mining": packages}, watts(rec))
	require.Equal(t, results.Package, rec.Summary.PrimaryMeter.Boundary)
	rec = resultstest.Metered(resultstest.Session(n, 1, 6, 1), resultstest.Cards(n.Cards))
	require.Nil(t, rec.Summary.PrimaryMeter, "cards are not the CPU that worked")
	require.Equal(t, map[string]any{"idle idle": results.DeviceUnmetered, "mining mining": results.DeviceUnmetered}, watts(rec))
}

// TestCPUBehindOpenCL: it draws its power from the packages, whatever its driver.
func TestCPUBehindOpenCL(t *testing.T) {
	n := resultstest.EightCards("node1")
	n.Cards = []results.Device{{ID: "opencl:0", Kind: results.KindCPU, Model: "AMD EPYC 7543 (a CPU, through OpenCL)"}}
	n.Only = []string{"idle", "mining@opencl:0"}
	n.Rates["mining@opencl:0/mining"] = 1e8
	in := resultstest.Packages()
	in.Draws = func(_ int, scenario string, _ []string) float64 {
		return map[string]float64{"idle": packagesIdle / 2}[scenario] + map[string]float64{"mining@opencl:0": packages / 2}[scenario]
	}
	require.Equal(t, map[string]any{"idle idle": packagesIdle, "mining@opencl:0 mining": packages}, watts(resultstest.Metered(resultstest.Session(n, 1, 6, 1), in)))
}

// TestMulletOfACard: what mining behind a card's work costs is known where a total
// covers card and CPU, by the same meters in each round, and nowhere else.
func TestMulletOfACard(t *testing.T) {
	n := resultstest.EightCards("node1")
	co := func(in ...resultstest.Instrument) results.CoRun {
		rec := resultstest.Metered(resultstest.Session(n, 1, 6, 1), in...)
		require.Len(t, rec.Summary.CoRuns, 1)
		return rec.Summary.CoRuns[0]
	}
	for name, c := range map[string]results.CoRun{
		"both":     co(resultstest.Packages(), resultstest.Cards(n.Cards)),
		"the wall": co(resultstest.Cards(n.Cards), resultstest.Outlet(8)),
	} {
		require.InDelta(t, packages-packagesIdle, float64(c.ExtraPower.Value), 1e-6, name)
		require.InDelta(t, (packages-packagesIdle)*6*60, float64(c.ExtraEnergy.Value), 1e-3, name)
		require.InDelta(t, 0.98, float64(c.TrainingKept.Value), 0.01, name)
	}
	for name, c := range map[string]results.CoRun{
		"packages": co(resultstest.Packages()),
		"cards":    co(resultstest.Cards(n.Cards)),
	} {
		require.True(t, c.ExtraPower.Value.IsAbsent(), name)
		require.True(t, c.ExtraEnergy.Value.IsAbsent(), name)
		require.True(t, c.EnergyPer.Value.IsAbsent(), name)
		require.Equal(t, results.DeviceUnmetered, c.ExtraPower.Status, name)
		require.InDelta(t, 0.98, float64(c.TrainingKept.Value), 0.01, name)
	}
}
