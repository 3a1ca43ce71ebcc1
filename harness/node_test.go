package harness

import (
	"encoding/json"
	"flag"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/kernels/device"
	"github.com/perwatt/perwatt/results"
)

var update = flag.Bool("update", false, "write what the code gives into testdata")

// tree unpacks an archive of testdata/node and returns its roots.
func tree(t testing.TB, name string) Roots {
	t.Helper()
	a, err := txtar.ParseFile(filepath.Join("testdata/node", name+".txtar"))
	require.NoError(t, err)
	dir := t.TempDir()
	for _, f := range a.Files {
		file := filepath.Join(dir, filepath.FromSlash(f.Name))
		require.True(t, filepath.IsLocal(f.Name), f.Name)
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		require.NoError(t, os.WriteFile(file, f.Data, 0o644))
	}
	return Roots{Sys: filepath.Join(dir, "sys"), Proc: filepath.Join(dir, "proc"), Root: dir}
}

// Every recorded machine comes out as its golden file says: the node, the
// conditions and the codes of its warnings.
func TestRecordedMachines(t *testing.T) {
	archives, err := filepath.Glob("testdata/node/*.txtar")
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(archives), 9)
	for _, file := range archives {
		name := strings.TrimSuffix(filepath.Base(file), ".txtar")
		t.Run(name, func(t *testing.T) {
			roots := tree(t, name)
			n, err := Fingerprint(roots, nil)
			require.NoError(t, err)
			c := ReadConditions(roots)
			saw := struct {
				Node       results.Node
				RatedPower results.Float
				ClockShare results.Float
				Hybrid     bool
				OnBattery  bool
				Throttles  results.Float
				Doubts     []string
			}{n, c.RatedPower, c.ClockShare, c.Hybrid, c.OnBattery, throttles(roots), codes(Warnings(n, c))}
			got, err := json.MarshalIndent(saw, "", "\t")
			require.NoError(t, err)
			golden := strings.TrimSuffix(file, ".txtar") + ".golden.json"
			if *update {
				require.NoError(t, os.WriteFile(golden, append(got, '\n'), 0o644))
			}
			want, err := os.ReadFile(golden)
			require.NoError(t, err)
			require.Equal(t, string(want), string(got)+"\n")
		})
	}
}

func codes(ws []results.Warning) []string {
	out := []string{}
	for _, w := range ws {
		out = append(out, w.Code)
	}
	return out
}

// This machine, whatever it is, agrees with what the kernel tells the process
// directly.
func TestThisMachine(t *testing.T) {
	n, err := Fingerprint(Roots{}, []device.Info{{ID: "cpu", Kind: device.CPU, Name: "a CPU", Lanes: 1 << 20, Features: []string{"TAIL", "LEGS"}}})
	require.NoError(t, err)
	host, err := os.Hostname()
	require.NoError(t, err)
	require.Equal(t, host, n.Name)
	require.NotEmpty(t, n.Kernel)
	require.Positive(t, n.Memory)
	cpu := n.Device(results.CPUDevice)
	require.Equal(t, cpu, n.Devices[0])
	require.Equal(t, results.KindCPU, cpu.Kind)
	require.NotEmpty(t, cpu.Model)
	require.Equal(t, []string{"LEGS", "TAIL"}, cpu.Features)
	require.Less(t, cpu.Lanes, 1<<20, "the number of CPUs online goes first")
	require.Positive(t, n.Threads())
	require.LessOrEqual(t, n.CPU.Sockets, n.CPU.Cores)
	require.LessOrEqual(t, n.CPU.Cores, n.Threads())
	mine, err := affinity(os.Getpid())
	require.NoError(t, err)
	require.Equal(t, mine, n.Settings.CPUs)
	for _, w := range Warnings(n, ReadConditions(Roots{})) {
		require.NotEmpty(t, w.Remedy, w.Code)
	}
}

func TestFingerprintWithoutProc(t *testing.T) {
	_, err := Fingerprint(Roots{Proc: filepath.Join(t.TempDir(), "proc")}, nil)
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestMicroarchitecture(t *testing.T) {
	for _, c := range []struct {
		vendor                  string
		family, model, stepping int
		want                    string
	}{
		{intel, 6, 85, 4, "Skylake"},
		{intel, 6, 85, 7, "Cascade Lake"},
		{intel, 6, 85, 11, "Cooper Lake"},
		{intel, 6, 106, 6, "Ice Lake"},
		{amd, 0x17, 0x01, 2, "Zen"},
		{amd, 0x17, 0x31, 0, "Zen 2"},
		{amd, 0x19, 0x01, 1, "Zen 3"},
		{amd, 0x19, 0x11, 1, "Zen 4"},
		{amd, 0x1a, 0x02, 1, "Zen 5"},
		{intel, 6, 1, 0, ""},
		{"", 0, 0, 0, ""},
	} {
		require.Equal(t, c.want, microarchitecture(c.vendor, c.family, c.model, c.stepping), "%+v", c)
	}
	for i, row := range x86Cores {
		require.LessOrEqual(t, row.from, row.to)
		// Each row is reachable: none above it takes its lowest model first.
		require.Equal(t, row.name, microarchitecture(row.vendor, row.family, row.from, row.stepping), "row %d", i)
	}
}

func TestArmWithTwoKindsOfCores(t *testing.T) {
	info := parseCPUInfo([]byte("processor: 0\nCPU implementer: 0x41\nCPU part: 0xd05\n\n" +
		"processor: 1\nCPU implementer: 0x41\nCPU part: 0xd0b\n\nprocessor: 2\nCPU implementer: 0x41\nCPU part: 0xfff\n"))
	require.Equal(t, 3, info.count)
	dir := t.TempDir()
	c, d := Roots{Sys: dir, Proc: dir}.cpu(info, "arm64")
	require.Equal(t, "Cortex-A55 + Cortex-A76 + part 0xfff", c.Arch)
	require.Equal(t, "ARM Cortex-A55 + Cortex-A76 + part 0xfff", d.Model)
	require.Equal(t, 3, d.Lanes)
}

func TestHypervisorNames(t *testing.T) {
	guest := cpuInfo{first: map[string]string{"flags": "fpu hypervisor"}}
	metal := cpuInfo{first: map[string]string{"flags": "fpu"}}
	for _, c := range []struct {
		arch, vendor, product string
		info                  cpuInfo
		want                  string
	}{
		{"amd64", "Amazon EC2", "m5.large", guest, "amazon"},
		{"amd64", "Amazon EC2", "m5.metal", metal, ""},
		{"amd64", "Google", "Google Compute Engine", guest, "google"},
		{"amd64", "Microsoft Corporation", "Virtual Machine", guest, "hyper-v"},
		{"amd64", "Microsoft Corporation", "Surface Laptop", metal, ""},
		{"amd64", "", "", guest, unnamedHypervisor},
		{"arm64", "QEMU", "QEMU Virtual Machine", cpuInfo{}, "qemu"},
		{"arm64", "Amazon EC2", "c7g.large", cpuInfo{}, "amazon"},
		{"arm64", "Ampere", "Mt. Jade", cpuInfo{}, ""},
	} {
		dir := t.TempDir()
		id := filepath.Join(dir, "class/dmi/id")
		require.NoError(t, os.MkdirAll(id, 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(id, "sys_vendor"), []byte(c.vendor), 0o644))
		require.NoError(t, os.WriteFile(filepath.Join(id, "product_name"), []byte(c.product), 0o644))
		require.Equal(t, c.want, Roots{Sys: dir, Proc: dir, Root: dir}.hypervisor(c.info, c.arch), "%s %s", c.vendor, c.product)
	}
}

func TestContainerMarks(t *testing.T) {
	for _, c := range []struct{ file, text, want string }{
		{".dockerenv", "", "docker"},
		{"run/.containerenv", "", "podman"},
		{"run/systemd/container", "lxc\n", "lxc"},
		{"proc/self/cgroup", "0::/kubepods.slice/pod1/x\n", "kubernetes"},
		{"proc/self/cgroup", "0::/system.slice/docker-0b5d.scope\n", "docker"},
		{"proc/self/cgroup", "0::/system.slice/docker.service\n", ""}, // the engine itself
		{"proc/self/mountinfo", "1 2 0:1 / / rw - overlay overlay rw,lowerdir=/var/lib/containerd/x\n", "containerd"},
		{"proc/self/mountinfo", "1 2 0:1 / / rw - overlay overlay rw,lowerdir=/rofs\n", ""}, // a live system
	} {
		dir := t.TempDir()
		file := filepath.Join(dir, c.file)
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		require.NoError(t, os.WriteFile(file, []byte(c.text), 0o644))
		require.Equal(t, c.want, Roots{Sys: dir, Proc: filepath.Join(dir, "proc"), Root: dir}.container(), "%s %q", c.file, c.text)
	}
}

func TestSiblingsTakenOffline(t *testing.T) {
	dir := t.TempDir()
	smt := filepath.Join(dir, "devices/system/cpu/smt")
	require.NoError(t, os.MkdirAll(smt, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(smt, "control"), []byte("on\n"), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(smt, "active"), []byte("0\n"), 0o644))
	require.Equal(t, "off", Roots{Sys: dir}.smt())
}

func TestParsers(t *testing.T) {
	list := func(s string) []int {
		cpus, err := parseList(s)
		require.NoError(t, err)
		return cpus
	}
	require.Equal(t, []int{0, 1, 2, 3, 8}, list("0-3,8\n"))
	require.Empty(t, list("\n"))
	for _, bad := range []string{"3-1", "a", "1,1", "5,2", "0-8192", "-", "1-2-3", "0-4294967295"} {
		_, err := parseList(bad)
		require.Error(t, err, bad)
	}
	for s, want := range map[string]float64{"150000 100000": 1.5, "max 100000": 0, "-1 100000": 0, "1 0": 0, "": 0, "1": 0, " ": 0} {
		got, ok := parseQuota(s)
		require.Equal(t, want != 0, ok, s)
		require.Equal(t, want, got, s)
	}
	require.Equal(t, int64(48<<10), parseSize("48K"))
	require.Equal(t, int64(32<<20), parseSize("32M"))
	require.Zero(t, parseSize("K"))
	require.Equal(t, "two lines", clean("two\x00\r\n\tlines\x1b\u202e\xff"))
	require.Equal(t, "mixed: a,b", mixed([]string{"b", "a", "b"}))
	require.Equal(t, []mount{{"/a b", "/c\\d", "ext4", "/dev/x", "rw"}}, parseMounts([]byte(`1 2 8:1 /a\040b /c\134d rw - ext4 /dev/x rw`)))
	require.Equal(t, results.Float(0.25), parseLoad("0.25 1 2"))
	require.True(t, parseLoad("-1").IsAbsent())
}

// Whatever a machine's files hold, each parser ends, bounds what it keeps and
// gives nothing that cannot be recorded.
func FuzzNodeParsers(f *testing.F) {
	for _, name := range []string{"intel-metal", "arm-neoverse", "container-v1", "garbage"} {
		a, err := txtar.ParseFile(filepath.Join("testdata/node", name+".txtar"))
		require.NoError(f, err)
		for _, file := range a.Files {
			f.Add(file.Data)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s := string(b)
		info := parseCPUInfo(b)
		require.LessOrEqual(t, len(info.first), 64)
		require.LessOrEqual(t, len(info.kinds), 8)
		for _, w := range []string{clean(s), parseOSRelease(b), mixed([]string{s, "a"})} {
			require.LessOrEqual(t, len(w), maxWord)
			require.True(t, utf8.ValidString(w))
		}
		if cpus, err := parseList(s); err == nil {
			require.LessOrEqual(t, len(cpus), maxCPU+1)
			require.True(t, slices.IsSorted(cpus))
		}
		require.NotNil(t, parseAllowed(b))
		require.GreaterOrEqual(t, parseMemTotal(b), int64(0))
		require.GreaterOrEqual(t, parseSize(s), int64(0))
		if q, ok := parseQuota(s); ok {
			require.Positive(t, q)
		}
		require.False(t, math.IsInf(float64(parseLoad(s)), 0))
		for _, m := range parseMounts(b) {
			require.NotEmpty(t, m.point)
		}
		parseMembership(b)
	})
}

func TestWithDevice(t *testing.T) {
	seen := func() []results.Device {
		return []results.Device{
			{ID: "cpu", Kind: results.KindCPU, Lanes: 8},
			{ID: "gpu:0", Kind: results.KindGPU, Vendor: "NVIDIA", Model: "NVIDIA [10de:2335]", PCI: "0000:01:00.0"},
		}
	}
	for _, c := range []struct {
		name string
		info device.Info
		at   int
		want results.Device
	}{
		{"by its ID", device.Info{ID: "cpu", Kind: device.CPU, Vendor: "V", Name: " A  CPU ", Lanes: 4}, 0,
			results.Device{ID: "cpu", Kind: results.KindCPU, Vendor: "V", Model: "A CPU", Lanes: 8}},
		{"by its address", device.Info{ID: "cuda:0", Kind: device.GPU, Name: "H200", PCI: "0000:01:00.0", UUID: "GPU-1", Memory: 1 << 37, Driver: "nvidia 570"}, 1,
			results.Device{ID: "cuda:0", Kind: results.KindGPU, Vendor: "NVIDIA", Model: "NVIDIA [10de:2335]", PCI: "0000:01:00.0", UUID: "GPU-1", Memory: 1 << 37, Driver: "nvidia 570"}},
		{"another", device.Info{ID: "cuda:1", Kind: device.GPU, Name: "H200", PCI: "0000:02:00.0", Features: []string{"sm_90"}}, 2,
			results.Device{ID: "cuda:1", Kind: results.KindGPU, Model: "H200", PCI: "0000:02:00.0", Features: []string{"sm_90"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := append(seen(), results.Device{})[:max(2, c.at+1)]
			want[c.at] = c.want
			require.Equal(t, want, withDevice(seen(), c.info))
		})
	}
}
