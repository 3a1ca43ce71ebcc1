package harness

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
)

// wellSet is a machine that raises no warning.
func wellSet() (results.Node, Conditions) {
	n := results.Node{
		Arch: "amd64", Memory: 64 << 30,
		Devices: []results.Device{{ID: results.CPUDevice, Kind: results.KindCPU, Lanes: 8}},
		CPU:     results.CPU{Cores: 8, Sockets: 1},
		Settings: results.Settings{
			Governor: "performance", Turbo: "off", SMT: "off", ClockSource: "tsc",
			CPUQuota: results.Absent(), CPUs: []int{0, 1, 2, 3, 4, 5, 6, 7}, PowerCap: 350, Load: 0.1,
		},
	}
	return n, Conditions{RatedPower: 350, ClockShare: 1}
}

func TestDoubtsOneByOne(t *testing.T) {
	n, c := wellSet()
	require.Empty(t, Warnings(n, c))
	tested := map[string]bool{}
	for _, tc := range []struct {
		code string // "" for none
		set  func(n *results.Node, s *results.Settings, c *Conditions)
	}{
		{"emulated", func(_ *results.Node, s *results.Settings, _ *Conditions) { s.Hypervisor = emulator }},
		{"virtual-machine", func(_ *results.Node, s *results.Settings, _ *Conditions) { s.Hypervisor, s.Turbo = "kvm", "" }},
		{"container", func(_ *results.Node, s *results.Settings, _ *Conditions) { s.Container = "podman" }},
		{"cpu-quota", func(_ *results.Node, s *results.Settings, _ *Conditions) { s.CPUQuota = 7.5 }},
		{"", func(_ *results.Node, s *results.Settings, _ *Conditions) { s.CPUQuota = 8 }},
		{"affinity", func(_ *results.Node, s *results.Settings, _ *Conditions) { s.CPUs = s.CPUs[:7] }},
		{"", func(_ *results.Node, s *results.Settings, _ *Conditions) { s.CPUs = nil }},
		{"governor", func(_ *results.Node, s *results.Settings, _ *Conditions) { s.Governor = "powersave" }},
		{"governor", func(_ *results.Node, s *results.Settings, _ *Conditions) { s.Governor = "mixed: performance,powersave" }},
		{"", func(_ *results.Node, s *results.Settings, _ *Conditions) { s.Governor = "" }},
		{"turbo-on", func(_ *results.Node, s *results.Settings, _ *Conditions) { s.Turbo = "on" }},
		{"turbo-on", func(_ *results.Node, s *results.Settings, _ *Conditions) { s.Turbo = "mixed: off,on" }},
		{"turbo-unknown", func(_ *results.Node, s *results.Settings, _ *Conditions) { s.Turbo = "" }},
		{"", func(n *results.Node, s *results.Settings, _ *Conditions) { s.Turbo, n.Arch = "", "arm64" }},
		{"clock-limit", func(_ *results.Node, _ *results.Settings, c *Conditions) { c.ClockShare = 0.5 }},
		{"", func(_ *results.Node, _ *results.Settings, c *Conditions) { c.ClockShare = results.Absent() }},
		{"power-cap", func(_ *results.Node, s *results.Settings, _ *Conditions) { s.PowerCap = 300 }},
		{"", func(_ *results.Node, s *results.Settings, _ *Conditions) { s.PowerCap = 400 }},
		{"", func(_ *results.Node, s *results.Settings, _ *Conditions) { s.PowerCap = results.Absent() }},
		{"", func(_ *results.Node, _ *results.Settings, c *Conditions) { c.RatedPower = results.Absent() }},
		{"on-battery", func(_ *results.Node, _ *results.Settings, c *Conditions) { c.OnBattery = true }},
		{"smt-on", func(_ *results.Node, s *results.Settings, _ *Conditions) { s.SMT = "on" }},
		{"", func(_ *results.Node, s *results.Settings, _ *Conditions) { s.SMT = "notsupported" }},
		{"hybrid-cores", func(_ *results.Node, _ *results.Settings, c *Conditions) { c.Hybrid = true }},
		{"clock-source", func(_ *results.Node, s *results.Settings, _ *Conditions) { s.ClockSource = "acpi_pm" }},
		{"busy-machine", func(_ *results.Node, s *results.Settings, _ *Conditions) { s.Load = 0.81 }},
		{"", func(_ *results.Node, s *results.Settings, _ *Conditions) { s.Load = 0.8 }},
		{"", func(_ *results.Node, s *results.Settings, c *Conditions) { s.Load, c.OwnLoad = 0.9, 0.15 }},
		{"busy-machine", func(_ *results.Node, s *results.Settings, c *Conditions) { s.Load, c.OwnLoad = 0.9, 0.05 }},
		{"", func(_ *results.Node, s *results.Settings, c *Conditions) { s.Load, c.Calm = 9, true }}, // a build that has ended
		{"", func(n *results.Node, s *results.Settings, _ *Conditions) {
			s.Load, s.CPUs, n.Devices = 0.24, []int{0, 1}, []results.Device{{ID: results.CPUDevice, Lanes: 2}}
		}},
		{"busy-machine", func(n *results.Node, s *results.Settings, _ *Conditions) {
			s.Load, s.CPUs, n.Devices = 0.51, []int{0, 1}, []results.Device{{ID: results.CPUDevice, Lanes: 2}}
		}},
		{"", func(_ *results.Node, s *results.Settings, _ *Conditions) { s.Load = results.Absent() }},
		{"low-memory", func(n *results.Node, _ *results.Settings, _ *Conditions) { n.Memory = leastBytes - 1 }},
		{"low-memory", func(_ *results.Node, s *results.Settings, _ *Conditions) { s.MemoryLimit = leastBytes - 1 }},
		{"", func(n *results.Node, _ *results.Settings, _ *Conditions) { n.Memory = 0 }},
	} {
		n, c := wellSet()
		tc.set(&n, &n.Settings, &c)
		want := []string{}
		if tc.code != "" {
			want = append(want, tc.code)
		}
		got := Warnings(n, c)
		require.Equal(t, want, codes(got))
		for _, w := range got {
			require.NotContains(t, w.Text, "%!", "a verb without its value")
			require.NotEmpty(t, w.Remedy)
			tested[w.Code] = true
		}
	}
	for _, d := range warnings {
		require.True(t, tested[d.code], "%s is never raised here", d.code)
	}
}

// What others use now is the machine's busy time less this process's.
func TestOthersCPU(t *testing.T) {
	dir := t.TempDir()
	stat := filepath.Join(dir, "stat")
	line := func(user int) []byte { return fmt.Appendf(nil, "cpu %09d 0 0 0 0 0 0 0\n", user) }
	require.NoError(t, os.WriteFile(stat, line(1000), 0o600))
	r := Roots{Proc: dir}
	cpus, err := r.othersCPU(10 * time.Millisecond)
	require.NoError(t, err)
	require.LessOrEqual(t, cpus, 0.0, "the machine stood still")

	f, err := os.OpenFile(stat, os.O_WRONLY, 0)
	require.NoError(t, err)
	defer f.Close()
	changed := time.AfterFunc(50*time.Millisecond, func() { _, _ = f.WriteAt(line(1_000_000), 0) })
	defer changed.Stop()
	cpus, err = r.othersCPU(300 * time.Millisecond)
	require.NoError(t, err)
	require.Positive(t, cpus)

	require.NoError(t, os.Remove(stat))
	_, err = r.othersCPU(0)
	require.Error(t, err, "and the load average decides")
}
