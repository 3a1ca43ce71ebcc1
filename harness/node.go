package harness

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"math"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/klauspost/cpuid/v2"

	"github.com/perwatt/perwatt/harness/power"
	"github.com/perwatt/perwatt/kernels/device"
	"github.com/perwatt/perwatt/results"
)

// Roots are the mount points of the trees in which a machine describes itself. Empty
// fields mean /sys, /proc and /.
type Roots struct {
	Sys  string
	Proc string
	Root string // for etc/os-release and the marker files of container engines
}

var here = Roots{Sys: "/sys", Proc: "/proc", Root: "/"}

func (r Roots) orHere() Roots {
	return Roots{cmp.Or(r.Sys, here.Sys), cmp.Or(r.Proc, here.Proc), cmp.Or(r.Root, here.Root)}
}

// Limits on what is read of a tree, whose contents are not trusted.
const (
	maxText  = 4 << 10 // one attribute: a page, as in sysfs
	maxTable = 2 << 20 // cpuinfo, mountinfo
	maxWord  = 200     // bytes of one string in the record
	maxCPU   = 8191    // highest CPU number: the maximum of CONFIG_NR_CPUS, less 1
	maxDir   = 16384   // entries of a directory
)

// Fingerprint describes the machine to which the trees at roots belong, with the
// devices that were found on it by other means. Unknown facts are absent. If the trees
// are this machine's own, CPUID supplies the hypervisor and other facts that they lack.
// Fingerprint fails if there is no procfs at all.
func Fingerprint(roots Roots, found []device.Info) (results.Node, error) {
	r := roots.orHere()
	if _, err := os.Stat(r.Proc); err != nil {
		return results.Node{}, fmt.Errorf("harness: describe the machine: %w: mount procfs there", err)
	}
	n := readNode(r)
	if r == here {
		askProcessor(&n)
	}
	for _, d := range found {
		n.Devices = withDevice(n.Devices, d)
	}
	return n, nil
}

// withDevice merges a device into the one that the trees list, whose facts take
// precedence, or adds it. The ID is the one by which the device is opened.
func withDevice(all []results.Device, info device.Info) []results.Device {
	d := results.Device{
		ID: info.ID, Kind: results.DeviceKind(info.Kind), Vendor: clean(info.Vendor), Model: clean(info.Name), Driver: clean(info.Driver),
		PCI: info.PCI, UUID: info.UUID, Memory: info.Memory, Lanes: info.Lanes, Features: slices.Sorted(slices.Values(info.Features)),
		Sheet: sheetOf(info),
	}
	i := slices.IndexFunc(all, func(seen results.Device) bool {
		return seen.ID == d.ID || d.PCI != "" && seen.PCI == d.PCI
	})
	if i < 0 {
		return append(all, d)
	}
	seen := all[i]
	d.Vendor, d.Model, d.PCI = cmp.Or(seen.Vendor, d.Vendor), cmp.Or(seen.Model, d.Model), cmp.Or(seen.PCI, d.PCI)
	d.Lanes = cmp.Or(seen.Lanes, d.Lanes) // lanes that are online; this process may use fewer
	all[i] = d
	return all
}

func readNode(r Roots) results.Node {
	info := parseCPUInfo(readFile(r.proc("cpuinfo"), maxTable))
	groups := r.cgroups("self")
	n := results.Node{
		Name:   r.word(r.proc("sys/kernel/hostname")),
		OS:     parseOSRelease(readFile(filepath.Join(r.Root, "etc/os-release"), maxText)),
		Kernel: r.word(r.proc("sys/kernel/osrelease")),
		Arch:   goArch(r.word(r.proc("sys/kernel/arch"))),
		Memory: parseMemTotal(readFile(r.proc("meminfo"), maxText)),
	}
	cpu, device := r.cpu(info, n.Arch)
	n.CPU, n.Devices = cpu, append([]results.Device{device}, r.devices()...)
	limit, _ := r.powerCap()
	n.Settings = results.Settings{
		Governor:    mixed(r.perPolicy("scaling_governor")),
		Turbo:       r.turbo(),
		SMT:         r.smt(),
		Microcode:   cmp.Or(info.first["microcode"], r.word(r.cpuDir("cpu0/microcode/version"))),
		Hypervisor:  r.hypervisor(info, n.Arch),
		Container:   r.container(),
		ClockSource: r.word(r.sys("devices/system/clocksource/clocksource0/current_clocksource")),
		CPUQuota:    groups.quota(),
		CPUs:        parseAllowed(readFile(r.proc("self/status"), maxTable)),
		PowerCap:    limit,
		MemoryLimit: groups.memory(n.Memory),
		Load:        parseLoad(r.word(r.proc("loadavg"))),
	}
	return n
}

// askProcessor adds facts from CPUID, which describes the processor that executes this.
func askProcessor(n *results.Node) {
	c := &cpuid.CPU
	n.Arch = cmp.Or(n.Arch, runtime.GOARCH)
	if n.CPU.Clock.IsAbsent() && c.Hz > 0 {
		n.CPU.Clock = results.Float(c.Hz)
	}
	if len(n.CPU.Cache) == 0 {
		n.CPU.Cache = cacheLevels([]int64{int64(c.Cache.L1D), int64(c.Cache.L2), int64(c.Cache.L3)})
	}
	if c.Has(cpuid.HYPERVISOR) {
		name := clean(c.HypervisorVendorString)
		n.Settings.Hypervisor = cmp.Or(hypervisorNames[name], name, n.Settings.Hypervisor, unnamedHypervisor)
	}
}

// hypervisorNames maps the signature of CPUID leaf 0x4000_0000 to the name.
var hypervisorNames = map[string]string{
	"KVMKVMKVM":    "kvm",
	"Linux KVM Hv": "kvm",
	"Microsoft Hv": "hyper-v",
	"VMwareVMware": "vmware",
	"XenVMMXenVMM": "xen",
	"VBoxVBoxVBox": "virtualbox",
	"TCGTCGTCGTCG": emulator,
	"bhyve bhyve":  "bhyve",
	"ACRNACRNACRN": "acrn",
	"prl hyperv":   "parallels",
}

const (
	emulator          = "qemu-tcg" // interprets instructions: its speed is that of no processor
	unnamedHypervisor = "unknown"
)

// cpu describes the processors. On arm64 Family is the architecture version,
// ModelID the part number and Stepping variant·16 + revision, all of MIDR_EL1.
func (r Roots) cpu(info cpuInfo, arch string) (c results.CPU, d results.Device) {
	online, _ := parseList(r.text(r.cpuDir("online")))
	d = results.Device{
		ID: results.CPUDevice, Kind: results.KindCPU, Vendor: info.first["vendor_id"], Model: info.first["model name"],
		Lanes: cmp.Or(len(online), info.count),
	}
	c = results.CPU{
		Family:   number(info.first["cpu family"]),
		ModelID:  number(info.first["model"]),
		Stepping: number(info.first["stepping"]),
		Clock:    r.clock(info, arch),
		Cache:    r.caches(),
	}
	if part, ok := info.first["CPU part"]; ok {
		names := make([]string, len(info.kinds))
		for i, k := range info.kinds {
			names[i] = cmp.Or(armCores[k], fmt.Sprintf("part %#x", k.part))
		}
		d.Vendor = cmp.Or(armMakers[number(info.first["CPU implementer"])], info.first["CPU implementer"])
		c.Arch = strings.Join(names, " + ")
		d.Model = cmp.Or(d.Model, d.Vendor+" "+c.Arch)
		c.Family = number(info.first["CPU architecture"])
		c.ModelID = number(part)
		c.Stepping = number(info.first["CPU variant"])<<4 | number(info.first["CPU revision"])
	} else {
		c.Arch = microarchitecture(d.Vendor, c.Family, c.ModelID, c.Stepping)
	}
	// CPUs of one core, and cores of one package, show the same list.
	cores, packages := map[string]bool{}, map[string]bool{}
	for _, i := range online {
		dir := r.cpuDir(fmt.Sprintf("cpu%d/topology", i))
		if s := cmp.Or(r.text(dir+"/core_cpus_list"), r.text(dir+"/thread_siblings_list")); s != "" {
			cores[s] = true
		}
		if s := cmp.Or(r.text(dir+"/package_cpus_list"), r.text(dir+"/core_siblings_list")); s != "" {
			packages[s] = true
		}
	}
	c.Cores, c.Sockets = len(cores), len(packages)
	return c, d
}

// clock is the nominal clock in Hz, as in the processor's specification: neither the
// boost nor the present clock.
func (r Roots) clock(info cpuInfo, arch string) results.Float {
	if khz := r.number(r.cpuDir("cpu0/cpufreq/base_frequency")); khz > 0 {
		return results.Float(khz * 1e3)
	}
	if _, after, ok := strings.Cut(info.first["model name"], "@ "); ok {
		if ghz, err := strconv.ParseFloat(strings.TrimSuffix(after, "GHz"), 64); err == nil && ghz > 0 && ghz < 100 {
			return results.Float(math.Round(ghz*1e4) * 1e5)
		}
	}
	if mhz := r.number(r.cpuDir("cpu0/acpi_cppc/nominal_freq")); mhz > 0 {
		return results.Float(mhz * 1e6)
	}
	// Without a boost the highest clock is the nominal one; most arm64
	// machines have none.
	if khz := r.number(r.cpuDir("cpu0/cpufreq/cpuinfo_max_freq")); khz > 0 && arch == "arm64" {
		return results.Float(khz * 1e3)
	}
	return results.Absent()
}

// caches returns the sizes of the L1 data, L2 and L3 cache of CPU 0, in bytes. A
// missing level below an existing one is 0.
func (r Roots) caches() []int64 {
	size := make([]int64, 3)
	dir := r.cpuDir("cpu0/cache")
	for _, name := range entries(dir, "index") {
		level := int(r.number(filepath.Join(dir, name, "level")))
		if level >= 1 && level <= 3 && r.text(filepath.Join(dir, name, "type")) != "Instruction" {
			size[level-1] = parseSize(r.text(filepath.Join(dir, name, "size")))
		}
	}
	return cacheLevels(size)
}

func cacheLevels(size []int64) []int64 {
	n := len(size)
	for n > 0 && size[n-1] <= 0 {
		n--
	}
	for i := range size[:n] {
		size[i] = max(size[i], 0)
	}
	return size[:n]
}

func (r Roots) turbo() string {
	state := func(values []string, on, off string) string {
		var said []string
		for _, v := range values {
			switch v {
			case on:
				said = append(said, "on")
			case off:
				said = append(said, "off")
			}
		}
		return mixed(said)
	}
	dir := r.cpuDir("")
	return cmp.Or(
		state([]string{r.text(filepath.Join(dir, "intel_pstate/no_turbo"))}, "0", "1"),
		state([]string{r.text(filepath.Join(dir, "cpufreq/boost"))}, "1", "0"),
		state(r.perPolicy("boost"), "1", "0"),
	)
}

func (r Roots) smt() string {
	control := r.word(r.cpuDir("smt/control"))
	if control == "on" && r.text(r.cpuDir("smt/active")) == "0" {
		return "off" // allowed, but every sibling was taken offline by hand
	}
	return control
}

// perPolicy reads one attribute of every cpufreq policy.
func (r Roots) perPolicy(attribute string) []string {
	var out []string
	dir := r.cpuDir("cpufreq")
	for _, name := range entries(dir, "policy") {
		if s := r.word(filepath.Join(dir, name, attribute)); s != "" {
			out = append(out, s)
		}
	}
	return out
}

// mixed returns the value if all are equal, else "mixed: a,b".
func mixed(values []string) string {
	values = slices.Clone(values)
	slices.Sort(values)
	values = slices.Compact(values)
	if len(values) > 1 {
		return clean("mixed: " + strings.Join(values, ","))
	}
	return strings.Join(values, "")
}

// powerCap returns the sums of the CPU packages' long-term limits and of their rated
// (thermal design) power, in W. Each sum is absent unless every package has the figure.
//
// A package may appear twice, through MSR and through MMIO: the lower limit applies.
// The zone's own "enabled" does not help, because the kernel reports 0 for a limit that
// firmware has locked.
func (r Roots) powerCap() (limit, rated results.Float) {
	type watts struct{ limit, rated float64 }
	packages := map[string]watts{}
	dir := r.sys("class/powercap")
	for _, zone := range entries(dir, "intel-rapl") {
		zone = filepath.Join(dir, zone)
		name := r.word(filepath.Join(zone, "name"))
		if !strings.HasPrefix(name, "package") {
			continue
		}
		w := watts{math.Inf(1), math.Inf(1)}
		if seen, ok := packages[name]; ok {
			w = seen
		}
		for i := range 4 {
			constraint := filepath.Join(zone, fmt.Sprintf("constraint_%d_", i))
			if r.word(constraint+"name") != "long_term" {
				continue
			}
			if uw := r.number(constraint + "power_limit_uw"); uw > 0 {
				w.limit = min(w.limit, uw/1e6)
			}
			if uw := r.number(constraint + "max_power_uw"); uw > 0 {
				w.rated = min(w.rated, uw/1e6)
			}
		}
		packages[name] = w
	}
	var sum watts
	for _, w := range packages {
		sum.limit += w.limit
		sum.rated += w.rated
	}
	known := func(w float64) results.Float {
		if w == 0 || math.IsInf(w, 1) {
			return results.Absent()
		}
		return results.Float(w)
	}
	return known(sum.limit), known(sum.rated)
}

// hypervisor names the hypervisor of which this machine is a guest, or is "". On x86 a
// CPU flag shows that the machine is virtual, and the firmware's tables (DMI) the name.
// Elsewhere there is only DMI, and the device tree.
func (r Roots) hypervisor(info cpuInfo, arch string) string {
	if s := r.word(r.sys("hypervisor/type")); s != "" {
		return s
	}
	virtual := slices.Contains(strings.Fields(info.first["flags"]), "hypervisor")
	if arch == "amd64" && !virtual {
		return ""
	}
	vendor, product := r.word(r.sys("class/dmi/id/sys_vendor")), r.word(r.sys("class/dmi/id/product_name"))
	if !strings.HasSuffix(product, ".metal") {
		for _, row := range dmiHypervisors {
			if strings.Contains(vendor, row.vendor) && strings.Contains(product, row.product) {
				return row.name
			}
		}
	}
	if _, err := os.Stat(r.sys("firmware/devicetree/base/hypervisor")); err == nil || virtual {
		return unnamedHypervisor
	}
	return ""
}

var dmiHypervisors = []struct{ vendor, product, name string }{
	{"QEMU", "", "qemu"},
	{"", "KVM", "kvm"},
	{"OpenStack", "", "kvm"},
	{"Amazon EC2", "", "amazon"},
	{"Google", "Google Compute Engine", "google"},
	{"Microsoft Corporation", "Virtual Machine", "hyper-v"},
	{"VMware", "", "vmware"},
	{"innotek", "", "virtualbox"},
	{"", "VirtualBox", "virtualbox"},
	{"Xen", "", "xen"},
	{"Parallels", "", "parallels"},
	{"Apple", "Virtual", "apple"},
}

// container names the engine of the container in which this process runs, or is "".
func (r Roots) container() string {
	if s := r.word(filepath.Join(r.Root, "run/systemd/container")); s != "" {
		return s
	}
	// A private cgroup namespace hides the path, but not the source of the root file
	// system.
	ownDisk := false
	for _, m := range parseMounts(readFile(r.proc("self/mountinfo"), maxTable)) {
		if m.point != "/" {
			continue
		}
		ownDisk = m.root == "/" && strings.HasPrefix(m.source, "/dev/") && !strings.Contains(m.source, "docker")
		for _, sign := range []struct{ in, engine string }{
			{"containerd", "containerd"}, {"/docker/", "docker"}, {"containers/storage", "podman"},
		} {
			if m.kind == "overlay" && strings.Contains(m.options, sign.in) {
				return sign.engine
			}
		}
	}
	// The marker files also exist where a container's image is booted as a machine.
	for _, mark := range []struct{ file, engine string }{{".dockerenv", "docker"}, {"run/.containerenv", "podman"}} {
		if _, err := os.Stat(filepath.Join(r.Root, mark.file)); err == nil && !ownDisk {
			return mark.engine
		}
	}
	text := string(readFile(r.proc("self/cgroup"), maxText))
	for _, sign := range []struct{ in, engine string }{
		{"kubepods", "kubernetes"}, {"/docker/", "docker"}, {"/docker-", "docker"}, {"/libpod-", "podman"},
		{"/lxc/", "lxc"}, {"/lxc.payload", "lxc"},
	} {
		if strings.Contains(text, sign.in) {
			return sign.engine
		}
	}
	return ""
}

// devices lists display and 3D controllers (PCI base class 03) and processing
// accelerators (12), without adapters that only show a console.
func (r Roots) devices() []results.Device {
	var out []results.Device
	count := map[results.DeviceKind]int{}
	dir := r.sys("bus/pci/devices")
	for _, address := range entries(dir, "") {
		at := filepath.Join(dir, address)
		class, vendor, device := r.text(at+"/class"), r.text(at+"/vendor"), r.text(at+"/device")
		var kind results.DeviceKind
		switch {
		case strings.HasPrefix(class, "0x03") && !slices.Contains(consoles, vendor):
			kind = results.KindGPU
		case strings.HasPrefix(class, "0x12"):
			kind = results.KindAccelerator
		default:
			continue
		}
		if number(vendor) == 0 || number(device) == 0 {
			continue
		}
		id := strings.TrimPrefix(vendor, "0x") + ":" + strings.TrimPrefix(device, "0x")
		name := strings.TrimSpace(cmp.Or(
			parseField(readFile(r.proc("driver/nvidia/gpus/"+address+"/information"), maxText), "Model"),
			r.word(at+"/product_name"),
			deviceMakers[vendor]))
		out = append(out, results.Device{
			ID: fmt.Sprintf("%s:%d", kind, count[kind]), Kind: kind, Vendor: deviceMakers[vendor],
			Model: clean(strings.TrimSpace(name + " [" + id + "]")), PCI: clean(address),
		})
		count[kind]++
	}
	return out
}

// consoles are the PCI vendors of BMC and virtual display adapters: ASPEED,
// Matrox, HiSilicon, Bochs, Red Hat, virtio, VMware, Cirrus, VirtualBox, Hyper-V.
var consoles = []string{"0x1a03", "0x102b", "0x19e5", "0x1234", "0x1b36", "0x1af4", "0x15ad", "0x1013", "0x80ee", "0x1414"}

var deviceMakers = map[string]string{
	"0x10de": "NVIDIA", "0x1002": "AMD", "0x8086": "Intel", "0x1da3": "Habana", "0x1d0f": "Amazon", "0x1ae0": "Google", "0x10ee": "Xilinx", "0x19e5": "Huawei",
}

// cgroup is a process's control group in one hierarchy.
type cgroup struct {
	v2   bool
	dirs []string // from the process's own group to the root of what is mounted
	path string   // of the process's own group below that root
	has  string   // controllers of a v1 hierarchy, between commas
}

type cgroups struct {
	r   Roots
	all []cgroup
}

// cgroups finds the groups of a process ("self" or a number). A limit may be set at any
// level up to the root. In a container the root of the mounted tree is the container's
// own group.
func (r Roots) cgroups(pid string) cgroups {
	out := cgroups{r: r}
	members := parseMembership(readFile(r.proc(pid+"/cgroup"), maxText))
	for _, m := range parseMounts(readFile(r.proc("self/mountinfo"), maxTable)) {
		below, inSys := strings.CutPrefix(m.point, "/sys/")
		if !inSys || m.kind != "cgroup2" && m.kind != "cgroup" {
			continue
		}
		g := cgroup{v2: m.kind == "cgroup2"}
		where, found := members[""], g.v2
		if !g.v2 {
			g.has = "," + m.options + ","
			for controllers, p := range members {
				if c, _, _ := strings.Cut(controllers, ","); c != "" && strings.Contains(g.has, ","+c+",") {
					where, found = p, true
				}
			}
		}
		if !found {
			continue
		}
		where = path.Clean("/" + where)
		if root := path.Clean("/" + m.root); root != "/" && (where == root || strings.HasPrefix(where, root+"/")) {
			where = path.Clean("/" + strings.TrimPrefix(where, root))
		}
		g.path = where
		for p, depth := where, 0; depth < 64; p, depth = path.Dir(p), depth+1 {
			g.dirs = append(g.dirs, filepath.Join(r.Sys, below, p))
			if p == "/" {
				break
			}
		}
		out.all = append(out.all, g)
	}
	return out
}

// quota is the smallest CPU bandwidth limit on the way to the root, in CPUs.
func (c cgroups) quota() results.Float {
	least := math.Inf(1)
	for _, g := range c.all {
		for _, dir := range g.dirs {
			s := c.r.text(filepath.Join(dir, "cpu.max"))
			if !g.v2 {
				s = c.r.text(filepath.Join(dir, "cpu.cfs_quota_us")) + " " + c.r.text(filepath.Join(dir, "cpu.cfs_period_us"))
			}
			if q, ok := parseQuota(s); ok {
				least = min(least, q)
			}
		}
	}
	if math.IsInf(least, 1) {
		return results.Absent()
	}
	return results.Float(least)
}

// memory is the smallest memory limit on the way to the root in bytes, or 0 if there is
// none below the machine's memory.
func (c cgroups) memory(machine int64) int64 {
	least := int64(math.MaxInt64)
	for _, g := range c.all {
		for _, dir := range g.dirs {
			file := "memory.max"
			if !g.v2 {
				file = "memory.limit_in_bytes"
			}
			if n, err := strconv.ParseInt(c.r.text(filepath.Join(dir, file)), 10, 64); err == nil && n > 0 {
				least = min(least, n)
			}
		}
	}
	if least == math.MaxInt64 || machine > 0 && least >= machine {
		return 0
	}
	return least
}

// Reading: absent, unreadable and oversized all come out as nothing.

func (r Roots) sys(name string) string    { return filepath.Join(r.Sys, name) }
func (r Roots) proc(name string) string   { return filepath.Join(r.Proc, name) }
func (r Roots) cpuDir(name string) string { return filepath.Join(r.Sys, "devices/system/cpu", name) }

// text returns the content of a small attribute, trimmed.
func (r Roots) text(file string) string {
	return strings.TrimSpace(string(readFile(file, maxText)))
}

// word is text, cleaned for the record.
func (r Roots) word(file string) string { return clean(r.text(file)) }

// number returns a decimal attribute, or -1.
func (r Roots) number(file string) float64 {
	n, err := strconv.ParseUint(r.text(file), 10, 62)
	if err != nil {
		return -1
	}
	return float64(n)
}

// readFile returns the first limit bytes of a file, or nil.
func readFile(name string, limit int64) []byte {
	b, err := power.Timely(name, func() ([]byte, error) {
		f, err := os.Open(name) // #nosec G304 -- below the system's directory
		if err != nil {
			return nil, err
		}
		defer f.Close()
		return io.ReadAll(io.LimitReader(f, limit))
	})
	if err != nil {
		return nil
	}
	return b
}

// entries lists the names in a directory that start with prefix, sorted.
func entries(dir, prefix string) []string {
	names, _ := power.Timely(dir, func() ([]string, error) { // what was listed before an error is kept
		f, err := os.Open(dir) // #nosec G304 -- below the system's directory
		if err != nil {
			return nil, err
		}
		defer f.Close()
		return f.Readdirnames(maxDir)
	})
	names = slices.DeleteFunc(names, func(s string) bool { return !strings.HasPrefix(s, prefix) })
	slices.Sort(names)
	return names
}

// clean makes one printable line of s, of at most maxWord bytes. What does not print
// is deleted and not replaced: firmware pads its texts with NUL, and programs compare
// them between records.
func clean(s string) string {
	s = strings.Map(func(c rune) rune {
		if c == unicode.ReplacementChar || !results.Prints(c) && !unicode.IsSpace(c) {
			return -1
		}
		return c
	}, s)
	s = results.Line(s, len(s)) // the limit is in bytes, so that nothing is cut here
	return strings.ToValidUTF8(s[:min(len(s), maxWord)], "")
}

// number reads a decimal or 0x number of at most 31 bits, or gives 0.
func number(s string) int {
	n, err := strconv.ParseUint(s, 0, 31)
	if err != nil {
		return 0
	}
	return int(n)
}

func goArch(machine string) string {
	switch machine {
	case "x86_64":
		return "amd64"
	case "aarch64":
		return "arm64"
	}
	return machine
}

// cpuInfo is the part of /proc/cpuinfo that is used.
type cpuInfo struct {
	first map[string]string // of the first processor
	count int
	kinds []armCore // of the processors, each once
}

type armCore struct{ maker, part int }

func parseCPUInfo(b []byte) cpuInfo {
	info := cpuInfo{first: map[string]string{}}
	var maker int
	for line := range bytes.Lines(b) {
		key, value, ok := bytes.Cut(line, []byte(":"))
		if !ok {
			continue
		}
		k, v := clean(string(key)), strings.TrimSpace(string(value))
		switch k {
		case "processor":
			info.count++
		case "CPU implementer":
			maker = number(v)
		case "CPU part":
			if kind := (armCore{maker, number(v)}); !slices.Contains(info.kinds, kind) && len(info.kinds) < 8 {
				info.kinds = append(info.kinds, kind)
			}
		}
		if _, seen := info.first[k]; !seen && info.count <= 1 && len(info.first) < 64 {
			if k != "flags" && k != "Features" {
				v = clean(v)
			}
			info.first[k] = v
		}
	}
	return info
}

// parseList reads a CPU list such as "0-3,8", in order.
func parseList(s string) ([]int, error) {
	var out []int
	for part := range strings.SplitSeq(strings.TrimSpace(s), ",") {
		if part == "" {
			continue
		}
		from, to, isRange := strings.Cut(part, "-")
		a, err := strconv.ParseUint(from, 10, 31)
		b := a
		if err == nil && isRange {
			b, err = strconv.ParseUint(to, 10, 31)
		}
		if err != nil || b < a || b > maxCPU || len(out) > 0 && int(a) <= out[len(out)-1] {
			return nil, fmt.Errorf("harness: CPU list %.40q: %q is no CPU or range above the one before, up to %d", s, part, maxCPU)
		}
		for ; a <= b; a++ {
			out = append(out, int(a))
		}
	}
	return out, nil
}

// parseAllowed finds the affinity of a process in its status file.
func parseAllowed(b []byte) []int {
	cpus, err := parseList(parseField(b, "Cpus_allowed_list"))
	if err != nil || cpus == nil {
		return []int{}
	}
	return cpus
}

// parseField returns the value of the first "key: value" line.
func parseField(b []byte, key string) string {
	for line := range bytes.Lines(b) {
		if k, v, ok := bytes.Cut(line, []byte(":")); ok && string(bytes.TrimSpace(k)) == key {
			return string(bytes.TrimSpace(v))
		}
	}
	return ""
}

func parseOSRelease(b []byte) string {
	for line := range bytes.Lines(b) {
		if v, ok := bytes.CutPrefix(line, []byte("PRETTY_NAME=")); ok {
			return clean(strings.Trim(strings.TrimSpace(string(v)), `"'`))
		}
	}
	return ""
}

// parseMemTotal returns bytes, or 0.
func parseMemTotal(b []byte) int64 {
	kib, ok := strings.CutSuffix(parseField(b, "MemTotal"), " kB")
	n, err := strconv.ParseUint(strings.TrimSpace(kib), 10, 52)
	if !ok || err != nil {
		return 0
	}
	return int64(n) << 10
}

// parseSize reads a cache size such as "48K" in bytes, or gives 0.
func parseSize(s string) int64 {
	shift := 0
	if v, ok := strings.CutSuffix(s, "K"); ok {
		s, shift = v, 10
	} else if v, ok := strings.CutSuffix(s, "M"); ok {
		s, shift = v, 20
	}
	n, err := strconv.ParseUint(s, 10, 40)
	if err != nil {
		return 0
	}
	return int64(n) << shift
}

func parseLoad(s string) results.Float {
	first, _, _ := strings.Cut(s, " ")
	v, err := strconv.ParseFloat(first, 64)
	if err != nil || !(v >= 0) || math.IsInf(v, 1) {
		return results.Absent()
	}
	return results.Float(v)
}

// parseQuota reads "quota period" in µs: the content of cpu.max, or of the two v1 files
// joined. "max" and -1 mean no limit.
func parseQuota(s string) (cpus float64, ok bool) {
	f := strings.Fields(s)
	if len(f) != 2 {
		return 0, false
	}
	quota, err1 := strconv.ParseInt(f[0], 10, 64)
	period, err2 := strconv.ParseInt(f[1], 10, 64)
	if err1 != nil || err2 != nil || quota <= 0 || period <= 0 {
		return 0, false
	}
	return float64(quota) / float64(period), true
}

// parseMembership reads /proc/PID/cgroup: the path in each hierarchy, keyed by the list
// of controllers, which is empty for version 2.
func parseMembership(b []byte) map[string]string {
	out := map[string]string{}
	for line := range strings.Lines(string(b)) {
		f := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(f) == 3 {
			out[f[1]] = f[2]
		}
	}
	return out
}

// mount is one line of mountinfo (kernel: Documentation/filesystems/proc.rst).
type mount struct{ root, point, kind, source, options string }

func parseMounts(b []byte) []mount {
	var out []mount
	for line := range strings.Lines(string(b)) {
		before, after, ok := strings.Cut(line, " - ")
		f, g := strings.Fields(before), strings.Fields(after)
		if !ok || len(f) < 6 || len(g) < 3 {
			continue
		}
		out = append(out, mount{unescape(f[3]), unescape(f[4]), g[0], unescape(g[1]), g[2]})
	}
	return out
}

// unescape decodes the octal escapes of mountinfo: blank, tab, newline, backslash.
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace
