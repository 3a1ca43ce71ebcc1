package harness

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/kernels/device"
	"github.com/perwatt/perwatt/results"
)

// togetherWork is [testWork] with a use in which several cards train one model.
func togetherWork(models ...string) Work {
	work := testWork(models...)
	of := work.Variants
	work.Uses = append(work.Uses, "training-parallel")
	work.Together = map[string]string{"training-parallel": "training"}
	work.Variants = func(use string, on device.Info) []string {
		if use == "training-parallel" && on.Kind == device.CPU {
			return nil
		}
		return of(strings.TrimSuffix(use, "-parallel"), on)
	}
	return work
}

// One model on several cards is one part, beside the same on the first of them alone.
func TestScenariosTogether(t *testing.T) {
	cards := testCards(5)
	cards[3].Name = "L4"
	on := append([]device.Info{testCPU.Info}, cards...)
	for _, c := range []struct {
		names []string
		want  string // after idle
	}{
		{[]string{"training-parallel"}, "training-mlp@cuda:0 training-parallel-mlp@cuda:0-2,4"},
		{[]string{"training-parallel@cuda:1-2"}, "training-mlp@cuda:1 training-parallel-mlp@cuda:1-2"},
		{[]string{"training-parallel@cuda:0-1", "training@cuda:0-1"}, "training-mlp@cuda:0 training-mlp@cuda:0-1 training-parallel-mlp@cuda:0-1"},
		{[]string{"training@cuda:0", "training-parallel@cuda:0-1"}, "training-mlp@cuda:0 training-parallel-mlp@cuda:0-1"},
	} {
		got, err := Scenarios(c.names, on, togetherWork("mlp"))
		require.NoError(t, err)
		names, parts := scenarios(got)
		require.ElementsMatch(t, strings.Fields("idle "+c.want), names)
		last := got[len(got)-1]
		require.Len(t, last.Parts, 1)
		require.Equal(t, "training-parallel@"+strings.SplitN(last.Name, "@", 2)[1]+" of mlp", parts[last.Name])
		require.Equal(t, results.CardsOf(last.Parts[0].Device.ID)[0], last.Parts[0].On()[0].ID)
		require.Equal(t, len(results.CardsOf(last.Parts[0].Device.ID)), len(last.Parts[0].On()))
	}
	all, err := Scenarios(nil, on, togetherWork("mlp"))
	require.NoError(t, err)
	for _, s := range all {
		require.NotContains(t, s.Name, "parallel", "it is measured only if named")
	}
	for _, name := range []string{"training-parallel@cuda:3", "training-parallel@cpu"} {
		_, err = Scenarios([]string{name}, on, togetherWork("mlp"))
		require.ErrorContains(t, err, "no device of the session can run it")
	}
	_, err = Scenarios([]string{"training-parallel@cuda:2-3"}, on, togetherWork("mlp"))
	require.ErrorContains(t, err, "are not equal")
}

// The worker of several cards runs on the CPUs near any of them.
func TestCPUsTogether(t *testing.T) {
	cards := testCards(3)
	s := Session{Devices: []device.Config{{Info: cards[0], CPUs: []int{4, 5}}, {Info: cards[1], CPUs: []int{0, 1, 4}}, {Info: cards[2]}}}
	all := cards[0]
	all.ID = "cuda:0-1"
	require.Equal(t, device.Config{Info: all, Members: cards[:2], CPUs: []int{0, 1, 4, 5}}, s.on(Part{Device: all, Members: cards[:2]}))
	require.Empty(t, s.on(Part{Device: all, Members: cards}).CPUs, "those of one are not known")
	require.Equal(t, s.Devices[1], s.on(Part{Device: cards[1]}))
}

// One worker drives the cards. If it ends or hangs, so does the run, with the reason.
func TestTogether(t *testing.T) {
	impatient(t)
	for param, why := range map[string]string{"": "", "exit": "device lost", "hang": "the worker hangs: no work finished"} {
		t.Run(param, func(t *testing.T) {
			on := []device.Config{testCPU}
			for _, c := range testCards(3) {
				on = append(on, device.Config{Info: c})
			}
			var infos []device.Info
			for _, d := range on {
				infos = append(infos, d.Info)
			}
			s := newSessionOn(t, on)
			var err error
			s.Scenarios, err = Scenarios([]string{"training-parallel"}, infos, togetherWork("mlp"))
			require.NoError(t, err)
			s.Record.Plan.Scenarios = nil
			for _, sc := range s.Scenarios {
				s.Record.Plan.Scenarios = append(s.Record.Plan.Scenarios, sc.Name)
			}
			s.Record.Plan.Window = 3 * results.Float(stallLimit.Seconds())
			if param != "hang" {
				s.Record.Plan.Window = 0.3
			}
			if param != "" {
				s.fails("training-parallel", "", param, 0)
			}
			require.NoError(t, s.Run(t.Context()))
			r := s.Record.Runs[2]
			require.Len(t, r.Uses, 1)
			require.Equal(t, "cuda:0-2", r.Uses[0].Device)
			if why != "" {
				require.Equal(t, results.Failed, r.Status)
				require.Contains(t, r.Error, why)
				return
			}
			require.Equal(t, results.OK, r.Status, r.Error)
			row := s.Record.Summary.Rows[2]
			require.Equal(t, "training-parallel-mlp@cuda:0-2", row.Scenario)
			require.Nil(t, row.Cards)
			require.False(t, row.Metrics[results.Throughput].Value.IsAbsent())
			require.False(t, row.Metrics[results.WorkPerEnergy].Value.IsAbsent(), "the watts of the node")
			require.Empty(t, orphans(t))
		})
	}
}
