package results

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCardsID(t *testing.T) {
	for want, ids := range map[string][]string{
		"cuda:0":         {"cuda:0"},
		"cuda:0-1":       {"cuda:0", "cuda:1"},
		"cuda:0-2,4":     {"cuda:4", "cuda:0", "cuda:2", "cuda:1"},
		"hip:1,3,10-11":  {"hip:10", "hip:11", "hip:1", "hip:3"},
		"opencl:0,2,4,6": {"opencl:0", "opencl:2", "opencl:4", "opencl:6"},
	} {
		got, ok := CardsID(ids)
		require.True(t, ok, want)
		require.Equal(t, want, got)
		require.ElementsMatch(t, ids, CardsOf(want))
	}
	for _, ids := range [][]string{{}, {"cpu"}, {"cpu", "cuda:0"}, {"cuda:0", "hip:1"}, {"cuda:0", "cuda:0"}, {"cuda:x"}, {":1"}, {"cuda:-1", "cuda:0"}} {
		_, ok := CardsID(ids)
		require.False(t, ok, ids)
	}
	for _, id := range []string{"", "cpu", "miner", "cuda:1", "cuda:", "cuda:,", "cuda:3-1", "cuda:0-", "cuda:1,1", "cuda:0-4294967295", "cuda:0-1024", "cuda:0-1,x", strings.Repeat("cuda:0,", 5000)} {
		require.Equal(t, []string{id}, CardsOf(id))
	}
}

func FuzzCardsOf(f *testing.F) {
	f.Add("cuda:0-2,4")
	f.Fuzz(func(t *testing.T, id string) {
		ids := CardsOf(id)
		require.NotEmpty(t, ids)
		require.LessOrEqual(t, len(ids), maxCards)
		if again, ok := CardsID(ids); len(ids) > 1 {
			require.True(t, ok)
			require.ElementsMatch(t, ids, CardsOf(again))
		}
	})
}

// speeds are the work rates of the cards in a test, relative to that of the world.
var speeds = map[string]Float{"cuda:0": 1, "cuda:1": 1.02, "cuda:2": 0.9, "cuda:3": 1.01}

// fourCards is a session with four equal cards: each use on all of them, and mining
// on the CPU or on the cards behind it. lose says which card failed in a run, if any.
func fourCards(lose func(scenario, device string, round int) string) *Record {
	on := func(use, workload, impl string, role Role, unit Unit) (out []Use) {
		for _, id := range slices.Sorted(maps.Keys(speeds)) {
			u := Use{Use: use, Device: id, Workload: workload, Impl: impl, Role: role, Threads: 1, Unit: unit, FlopPerCount: Absent()}
			if unit == FLOP {
				u.FlopPerCount = 1
			}
			out = append(out, u)
		}
		return out
	}
	const compute, mining, mullet, shared = "compute-bf16@cuda:0-3", "mining@cuda:0-3", "mullet@cuda:0-3", "mullet-shared@cuda:0-3"
	behind := Use{Use: "mining", Device: CPUDevice, Workload: "hashscan", Impl: "generic", Role: Background, Unit: Hash, FlopPerCount: Absent()}
	uses := map[string][]Use{
		mining:  on("mining", "hashscan", "simt", Alone, Hash),
		compute: on("compute-bf16", "matmul", "mma", Alone, FLOP),
		mullet:  append(on("compute-bf16", "matmul", "mma", Foreground, FLOP), behind),
		shared:  append(on("compute-bf16", "matmul", "mma", Foreground, FLOP), on("mining", "hashscan", "simt", Background, Hash)...),
	}
	maps.Copy(worldUses, uses)
	w := newWorld()
	w.scenarios = append([]string{"idle"}, slices.Sorted(maps.Keys(uses))...)
	w.rate = func(scenario, use string, _ int) float64 {
		return map[string]float64{mining + "mining": 1e9, compute + "compute-bf16": 4e14, mullet + "compute-bf16": 3.8e14, mullet + "mining": 2e6,
			shared + "compute-bf16": 2e14, shared + "mining": 4e8}[scenario+use]
	}
	w.watts = func(scenario string, _ int) float64 {
		return map[string]float64{"idle": 400, mining: 2000, compute: 2800, mullet: 2850, shared: 2600}[scenario]
	}
	rec := w.record()
	for i := range rec.Meters[0].Channels { // a meter of the packages would not see the cards
		c := &rec.Meters[0].Channels[i]
		if c.Boundary = Chassis; c.Total != "" {
			c.Total = Chassis
		}
	}
	rec.Kernels = nil
	for i, id := range slices.Sorted(maps.Keys(speeds)) {
		rec.Node.Devices = append(rec.Node.Devices, Device{ID: id, Kind: KindGPU, Vendor: "NVIDIA", Model: "H200", PCI: fmt.Sprintf("0000:%02x:00.0", i+1)})
		rec.Kernels = append(rec.Kernels, Kernel{Name: "gemm-bf16", Device: id, Chosen: "mma", Impls: []Impl{{Name: "mma", Rate: 4e14, Peak: 8e14, Unit: "FLOP/s"}}})
	}
	for i := range rec.Runs {
		r := &rec.Runs[i]
		r.Uses = slices.Clone(r.Uses)
		for j := range r.Uses {
			u := &r.Uses[j]
			speed, card := speeds[u.Device]
			if !card {
				continue
			}
			u.Error = lose(r.Scenario, u.Device, r.Round)
			tr := r.Trace(u.Key(TraceWork))
			for k := range tr.V {
				tr.V[k] *= speed
			}
			if u.Error != "" {
				tr.T, tr.V = tr.T[:20], tr.V[:20] // as far as it came
			}
		}
	}
	return complete(rec)
}

func none(string, string, int) string { return "" }

// Each card has its own rate, and their sum, which alone has watts, is the sum of
// those of the others.
func TestCardsTogether(t *testing.T) {
	rec, err := Read(bytes.NewReader(sealed(t, fourCards(none))), "four cards")
	require.NoError(t, err)
	s := Derive(rec)
	require.NotContains(t, codes(s.Flags), "card-lost")
	sum := row(t, s, "mining@cuda:0-3", "mining")
	require.Equal(t, "cuda:0-3", sum.Device, "the sum stands before its cards")
	require.Equal(t, &CardSum{Of: 4, Gave: 4, Slowest: "cuda:2", Share: sum.Cards.Share}, sum.Cards)
	near(t, 0.9/1.005, sum.Cards.Share)
	near(t, 3.93e9, sum.Metrics[Throughput].Value)
	near(t, 2000, sum.Metrics[Power].Value)
	near(t, 1600, sum.Metrics[NetPower].Value)
	near(t, 3.93e9/2000, sum.Metrics[WorkPerEnergy].Value)
	bf16 := row(t, s, "compute-bf16@cuda:0-3", "compute-bf16")
	near(t, 3.93/4, bf16.Metrics[KernelFraction].Value)
	near(t, 3.93/8, bf16.Metrics[PeakFraction].Value)
	cards := 0
	for _, r := range s.Rows {
		if r.Scenario != "mining@cuda:0-3" || r.Device == sum.Device {
			continue
		}
		cards++
		require.Equal(t, "cuda:0-3", r.PartOf)
		require.Nil(t, r.Cards)
		near(t, float64(1e9*speeds[r.Device]), r.Metrics[Throughput].Value)
		for _, name := range []string{Power, NetPower, Energy, WorkPerEnergy, EnergyPerWork} {
			require.True(t, r.Metrics[name].Value.IsAbsent(), name)
			require.Equal(t, SharedEnergy, r.Metrics[name].Status, name)
		}
	}
	require.Equal(t, 4, cards)
	for _, y := range s.Yields {
		require.Len(t, CardsOf(y.Device), map[bool]int{true: 1, false: 4}[y.Device == CPUDevice], "%v: a card of several has no yield", y.RowKey)
	}
	require.Equal(t, "H200", rec.Node.Device(sum.Device).Model)
	for _, f := range s.Validity.Findings {
		if f.Rule == "repeats" || f.Rule == "complete" {
			require.Equal(t, Pass, f.Outcome, f.Figure)
		}
	}
}

// Where a meter has channels of the cards, each card has the joules of its own, and
// the sum has those of the node as before. A channel belongs to its card by the
// address, whatever the order; a part of a card (MIG) has no joules.
func TestJoulesOfEachCard(t *testing.T) {
	const mining = "mining@cuda:0-3"
	rec := fourCards(none)
	plain := Derive(rec)
	of := map[string]float64{"0000:04:00.0": 40, "0000:03:00.0": 30, "gpu-2": 20} // W idle, and 10 times that at work
	rec.Node.Devices[2].UUID = "GPU-2"
	rec.Node.Devices[1].UUID = "MIG-1" // and at 0000:01:00.0 a channel that is the whole board's
	of["0000:01:00.0"] = 10
	nvml := Meter{Name: "nvml", Period: 0.1}
	for card := range maps.All(of) {
		nvml.Channels = append(nvml.Channels, Channel{Name: card, Card: card, Place: card, Unit: Joule, Kind: Counter, Boundary: Card, Origin: Measured, Accuracy: Accuracy{Gain: 0.05, Resolution: 1e-3}})
	}
	rec.Meters = append(rec.Meters, nvml)
	for i := range rec.Runs {
		r := &rec.Runs[i]
		for card, watts := range of {
			if r.Scenario != "idle" {
				watts *= 10
			}
			tr := Trace{Key: MeterKey("nvml", card), Unit: Joule, Kind: Counter}
			for x := r.Anchor.T; x < r.Anchor.T+4; x += 0.1 {
				tr.T, tr.V = append(tr.T, x), append(tr.V, Float(watts)*x)
			}
			r.Traces = append(r.Traces, tr)
		}
	}
	s := Derive(complete(rec))
	text := func(x any) string {
		b, err := json.Marshal(x)
		require.NoError(t, err)
		return string(b)
	}
	require.Equal(t, text(row(t, plain, mining, "mining")), text(row(t, s, mining, "mining")), "the sum is as without them")
	require.Equal(t, text(plain.Yields), text(s.Yields))
	require.Equal(t, text(plain.CoRuns), text(s.CoRuns))
	require.Equal(t, text(plain.Validity), text(s.Validity), "the grade is that of the sums")
	found := 0
	for _, r := range s.Rows {
		watts := map[string]float64{"cuda:1": 200, "cuda:2": 300, "cuda:3": 400}[r.Device]
		switch {
		case r.PartOf == "":
		case watts == 0:
			require.Equal(t, SharedEnergy, r.Metrics[Power].Status, "%v", r.RowKey)
		default:
			found++
			near(t, watts, r.Metrics[Power].Value)
			near(t, 0.9*watts, r.Metrics[NetPower].Value)
			near(t, watts*12, r.Metrics[Energy].Value)
			near(t, float64(r.Metrics[Throughput].Value)/watts, r.Metrics[WorkPerEnergy].Value)
			near(t, watts/float64(r.Metrics[Throughput].Value), r.Metrics[EnergyPerWork].Value)
			require.Equal(t, Provenance{Card, Measured, "D", r.Metrics[Power].Instrument}, r.Metrics[Power].Provenance)
			require.GreaterOrEqual(t, r.Metrics[Power].Instrument, Float(0.05), "the meter's own")
			if m, ok := r.Metrics[RelativePower]; ok {
				require.True(t, m.Value.IsAbsent())
			}
		}
	}
	require.Equal(t, 3*5, found, "of five uses")
}

// Mining behind the work of cards costs joules and, where it shares them, work in
// front.
func TestCardsInFront(t *testing.T) {
	s := Derive(fourCards(none))
	require.Nil(t, s.CoRunCost, "nothing is in front on the CPU")
	require.Len(t, s.CoRuns, 2)
	shared, behind := s.CoRuns[0], s.CoRuns[1]
	require.Equal(t, "mullet@cuda:0-3 compute-bf16 cuda:0-3 false", fmt.Sprint(behind.Scenario, " ", behind.Front, " ", behind.Device, " ", behind.Shared))
	near(t, 0.95, behind.TrainingKept.Value)
	near(t, 2e6, behind.HashesGained.Value)
	near(t, 50, behind.ExtraPower.Value)
	near(t, 50*12, behind.ExtraEnergy.Value)
	near(t, 50/2e6, behind.EnergyPer.Value)
	require.Equal(t, "mullet-shared@cuda:0-3 true", fmt.Sprint(shared.Scenario, " ", shared.Shared))
	near(t, 0.5, shared.TrainingKept.Value)
	near(t, 4e8*3.93, shared.HashesGained.Value)
	near(t, -200, shared.ExtraPower.Value)
	sliced := func(s Summary) (n int) {
		for _, w := range s.Flags {
			if w.Code == "time-sliced" && strings.HasPrefix(w.Text, "mullet-shared@cuda:0-3: compute-bf16 and mining share cuda:0-3 in time slices") {
				n++
			}
		}
		return n
	}
	require.Equal(t, 1, sliced(s))
	without := fourCards(none)
	without.Runs = slices.DeleteFunc(without.Runs, func(r Run) bool { return strings.HasPrefix(r.Scenario, "compute-bf16") })
	s = Derive(without)
	require.Empty(t, s.CoRuns)
	require.Equal(t, 1, sliced(s), "also where the work in front was not measured alone")
}

// The cards that did not fail keep their figures, and their sum says how many they
// are; it is never a mean over different sets of cards.
func TestCardsThatFail(t *testing.T) {
	const mining, compute, mullet = "mining@cuda:0-3", "compute-bf16@cuda:0-3", "mullet@cuda:0-3"
	one := func(scenario string, from int) func(string, string, int) string {
		return func(s, device string, round int) string {
			if s == scenario && device == "cuda:1" && round >= from {
				return "CUDA_ERROR_ILLEGAL_ADDRESS (700) in launch of scan"
			}
			return ""
		}
	}
	for _, c := range []struct {
		name      string
		lose      func(string, string, int) string
		gave, n   int
		hashes    float64
		own       int // windows of cuda:1
		codes     []string
		costsKnow bool
	}{
		{"always", one(mining, 1), 3, 6, 2.91e9, 0, []string{"card-lost"}, true},
		{"from the third round on", one(mining, 3), 3, 4, 2.91e9, 2, []string{"card-lost", "cards-differ"}, true},
		{"in the last round", one(mining, 6), 4, 5, 3.93e9, 5, []string{"card-lost", "cards-differ"}, true},
		{"half of the rounds", one(mining, 4), 4, 3, 3.93e9, 3, []string{"card-lost", "cards-differ"}, true},
		{"in front only", one(mullet, 1), 4, 6, 3.93e9, 6, []string{"card-lost", "cards-differ"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			rec := fourCards(c.lose)
			s := Derive(rec)
			sum := row(t, s, mining, "mining")
			require.Equal(t, c.gave, sum.Cards.Gave)
			require.Equal(t, 4, sum.Cards.Of)
			require.Equal(t, c.n, sum.Metrics[Throughput].N)
			near(t, c.hashes, sum.Metrics[Throughput].Value)
			near(t, c.hashes/2000, sum.Metrics[WorkPerEnergy].Value)
			own := 0
			for _, r := range s.Rows {
				if r.Scenario == mining && r.Device == "cuda:1" {
					own = r.Metrics[Throughput].N
				}
			}
			require.Equal(t, c.own, own)
			for _, code := range []string{"card-lost", "cards-differ"} {
				require.Equal(t, slices.Contains(c.codes, code), slices.Contains(codes(s.Flags), code), code)
			}
			require.Equal(t, c.costsKnow, slices.ContainsFunc(s.CoRuns, func(r CoRun) bool { return r.Scenario == mullet }), "a card less is no cost of mining")
			require.NotContains(t, codes(s.Flags), "window-left-out", "a card that failed costs the others nothing")
			i := slices.IndexFunc(s.Validity.Findings, func(f Finding) bool { return f.Rule == "complete" })
			require.Equal(t, Fail, s.Validity.Findings[i].Outcome)
			require.Contains(t, s.Validity.Findings[i].Figure, "of one card missing")
		})
	}
}

// Where a card gave wrong answers there is no sum: the meter saw that card, too. The
// others keep their rates, and the sums of the rounds in which all were right stand.
func TestCardThatIsWrong(t *testing.T) {
	const mining = "mining@cuda:0-3"
	for _, c := range []struct {
		name       string
		from       int // round
		sums, rate int // windows of the sum, and of the wrong card
	}{{"always", 1, 0, 0}, {"from the third round on", 3, 2, 2}} {
		t.Run(c.name, func(t *testing.T) {
			wrong := func(scenario, device string, round int) string {
				if scenario == mining && device == "cuda:1" && round >= c.from {
					return "wrong answers: hits: 1 of 2 hits is none"
				}
				return ""
			}
			rec := fourCards(wrong)
			for i := range rec.Runs {
				r := &rec.Runs[i]
				for _, u := range r.Uses {
					r.Checks = append(r.Checks, Check{Use: u.Use, Device: u.Device, Name: "hits", OK: u.Error == "", Detail: "1 of 2 hits is none"})
				}
			}
			s := Derive(rec)
			n := map[string]int{}
			for _, r := range s.Rows {
				if r.Scenario != mining {
					continue
				}
				if n[r.Device] = r.Metrics[Throughput].N; r.PartOf == "" {
					near(t, 3.93e9, r.Metrics[Throughput].Value)
					continue
				}
				require.Equal(t, SharedEnergy, r.Metrics[Power].Status)
				require.Equal(t, c.sums == 0 && r.Device != "cuda:1", strings.Contains(r.Metrics[Power].Why, "one gave wrong answers"), r.Metrics[Power].Why)
			}
			want := map[string]int{"cuda:0": 6, "cuda:1": c.rate, "cuda:2": 6, "cuda:3": 6, "cuda:0-3": c.sums}
			for id, windows := range want {
				require.Equal(t, windows, n[id], id)
			}
			require.Equal(t, c.sums > 0, slices.ContainsFunc(s.Yields, func(y Yield) bool { return y.Scenario == mining }), "nothing is quoted of what is void")
			require.Contains(t, codes(s.Flags), "card-wrong")
			require.NotContains(t, codes(s.Flags), "card-lost")
			for _, f := range s.Validity.Findings {
				if f.Rule == "answers" {
					require.Equal(t, Fail, f.Outcome)
					require.Equal(t, fmt.Sprintf("0 void, and %s of one card wrong", Plural(7-c.from, "result")), f.Figure)
				}
			}
		})
	}
}

// A card whose worker was stopped and given up does not take the others' windows
// with it; one that goes on does.
func TestCardThatWasStopped(t *testing.T) {
	for _, lost := range []bool{true, false} {
		rec := fourCards(func(scenario, device string, round int) string {
			if lost && scenario == "mining@cuda:0-3" && device == "cuda:1" && round == 2 {
				return "the worker hangs"
			}
			return ""
		})
		for i := range rec.Runs {
			if r := &rec.Runs[i]; r.Scenario == "mining@cuda:0-3" && r.Round == 2 {
				r.step(UseKey(TraceSuspended, "mining", "cuda:1"), Counter, 1.5, 2.5, 1)
			}
		}
		require.Equal(t, !lost, slices.Contains(codes(Derive(rec).Flags), "window-left-out"))
	}
}
