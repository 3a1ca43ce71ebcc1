package harness

import (
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/perwatt/perwatt/results"
)

// Conditions are facts that affect a machine's figures, in addition to its
// [results.Node].
type Conditions struct {
	RatedPower results.Float // W, thermal design power over all packages; absent if unknown
	ClockShare results.Float // highest clock allowed ÷ highest possible, of the most limited CPU; absent if unknown
	Hybrid     bool          // cores of different designs or speeds
	OnBattery  bool
	OwnLoad    float64 // upper bound of this process's part of the 1-minute load average
	Calm       bool    // a look at the CPU times found that other processes use little of them by now, whatever the load average
}

// ReadConditions reads them from the trees at roots; see [Fingerprint].
func ReadConditions(roots Roots) Conditions {
	r := roots.orHere()
	_, rated := r.powerCap()
	c := Conditions{RatedPower: rated, ClockShare: r.clockShare(), Hybrid: r.hybrid(), OnBattery: r.onBattery()}
	if own, err := selfCPU(); err == nil && r == here {
		c.OwnLoad = own.Minutes() // a CPU-second adds a sixtieth, which decays
		// The load average tells of the last minute: of the build of this program too.
		if threads := runtime.NumCPU(); busy(float64(parseLoad(r.word(r.proc("loadavg"))))-c.OwnLoad, threads) {
			others, err := r.othersCPU(loadLook)
			c.Calm = err == nil && others <= busyShare*float64(threads)
		}
	}
	return c
}

// loadLook is how long the CPU times are looked at where the load average is high.
const loadLook = time.Second

// othersCPU returns how many CPUs other processes keep busy in the time from now on.
func (r Roots) othersCPU(wait time.Duration) (cpus float64, err error) {
	times, err := openHostTimes(r.Proc)
	if err != nil {
		return 0, err
	}
	defer times.close()
	read := func() (busy float64) {
		var own time.Duration
		if busy, _, err = times.read(); err == nil {
			own, err = selfCPU()
		}
		return busy - own.Seconds()
	}
	began, before := time.Now(), read()
	if err != nil {
		return 0, err
	}
	time.Sleep(wait)
	after := read()
	return (after - before) / time.Since(began).Seconds(), err
}

// busy reports whether a load average, less this process's part, is that of a machine
// with other work.
func busy(load float64, threads int) bool {
	return load > max(leastBusy, busyShare*float64(threads))
}

func (r Roots) clockShare() results.Float {
	least := results.Absent()
	note := func(part, whole float64) {
		if part > 0 && whole > 0 && !(part/whole > float64(least)) {
			least = results.Float(part / whole)
		}
	}
	dir := r.cpuDir("cpufreq")
	for _, name := range entries(dir, "policy") {
		policy := filepath.Join(dir, name)
		note(r.number(policy+"/scaling_max_freq"), r.number(policy+"/cpuinfo_max_freq"))
	}
	note(r.number(r.cpuDir("intel_pstate/max_perf_pct")), 100)
	return least
}

func (r Roots) hybrid() bool {
	if r.text(r.sys("devices/cpu_core/cpus")) != "" && r.text(r.sys("devices/cpu_atom/cpus")) != "" {
		return true
	}
	online, _ := parseList(r.text(r.cpuDir("online")))
	seen := map[float64]bool{}
	for _, i := range online {
		if capacity := r.number(r.cpuDir(fmt.Sprintf("cpu%d/cpu_capacity", i))); capacity > 0 {
			seen[capacity] = true
		}
	}
	return len(seen) > 1
}

func (r Roots) onBattery() bool {
	dir := r.sys("class/power_supply")
	for _, name := range entries(dir, "") {
		if r.text(filepath.Join(dir, name, "type")) == "Battery" &&
			r.text(filepath.Join(dir, name, "scope")) != "Device" && // a mouse, not the machine
			r.text(filepath.Join(dir, name, "status")) == "Discharging" {
			return true
		}
	}
	return false
}

// Warnings lists the properties of a machine that change its figures or their meaning,
// in a fixed order, each with a stable code and a remedy. A bare-metal machine that is
// idle, unlimited and at a fixed clock has none.
func Warnings(n results.Node, c Conditions) []results.Warning {
	var out []results.Warning
	for _, d := range warnings {
		if text := d.text(&n, &c); text != "" {
			out = append(out, results.Warning{Code: d.code, Text: text, Remedy: d.remedy})
		}
	}
	return out
}

// Thresholds of the warnings.
const (
	busyShare  = 0.10    // load average per CPU
	leastBusy  = 0.5     // load average: daemons keep an idle machine at a few tenths, however many CPUs it has
	tolerance  = 0.01    // of limits read from different registers
	leastBytes = 1 << 30 // fits every workload at its default size
)

// steadyClocks are read without a system call and disciplined to real time.
var steadyClocks = map[string]bool{
	"tsc": true, "kvm-clock": true, "hyperv_clocksource_tsc_page": true,
	"arch_sys_counter": true, "riscv_clocksource": true,
}

var warnings = []struct {
	code   string
	text   func(n *results.Node, c *Conditions) string // "" raises no warning
	remedy string
}{
	{"emulated", func(n *results.Node, _ *Conditions) string {
		return when(n.Settings.Hypervisor == emulator, "the processor is emulated: the figures are those of the emulator")
	}, "use them to check that things run, for nothing else"},

	{"virtual-machine", func(n *results.Node, _ *Conditions) string {
		h := n.Settings.Hypervisor
		return when(h != "" && h != emulator,
			"guest of a hypervisor (%s): the host's energy counters are hidden, and neighbours take CPU time, cache and clock unseen", h)
	}, "measure on bare metal; a guest's figures hold for this guest, and host/steal in its traces shows part of what was taken"},

	{"container", func(n *results.Node, _ *Conditions) string {
		return when(n.Settings.Container != "",
			"inside a container (%s): energy counters are usually masked, and other containers share the machine", n.Settings.Container)
	}, "run on the host, or show the counters with: docker run --security-opt systempaths=unconfined"},

	{"cpu-quota", func(n *results.Node, _ *Conditions) string {
		q := n.Settings.CPUQuota
		return when(q > 0 && float64(q) < float64(usable(n)),
			"the control group grants %.3g CPUs of %d: the kernel stops all threads for part of every period, which looks like slow hardware",
			float64(q), usable(n))
	}, "lift the limit (systemctl set-property UNIT CPUQuota= or docker run without --cpus), or pass --threads no larger than it"},

	{"affinity", func(n *results.Node, _ *Conditions) string {
		return when(len(n.Settings.CPUs) > 0 && len(n.Settings.CPUs) < n.Threads(),
			"only %d of the %d online CPUs may be used, while a meter sees the power of all", len(n.Settings.CPUs), n.Threads())
	}, "start without taskset, numactl or a cpuset, or leave the rest of the machine idle and say so with --label"},

	{"governor", func(n *results.Node, _ *Conditions) string {
		g := n.Settings.Governor
		return when(g != "" && g != "performance", "frequency governor %s: the clock follows the load, so short and light work runs slower than long and heavy work", g)
	}, "echo performance | sudo tee /sys/devices/system/cpu/cpufreq/policy*/scaling_governor"},

	{"turbo-on", func(n *results.Node, _ *Conditions) string {
		return when(strings.Contains(n.Settings.Turbo, "on"),
			"turbo is %s: the clock depends on temperature and on how many cores are busy, so figures drift with the room", n.Settings.Turbo)
	}, "compare only with the same setting; for a fixed clock: echo 1 | sudo tee /sys/devices/system/cpu/intel_pstate/no_turbo (Intel) " +
		"or echo 0 | sudo tee /sys/devices/system/cpu/cpufreq/boost"},

	{"turbo-unknown", func(n *results.Node, _ *Conditions) string {
		return when(n.Settings.Turbo == "" && n.Arch == "amd64" && n.Settings.Hypervisor == "",
			"the kernel does not say whether turbo is on")
	}, "note the setting of the firmware with --label turbo=on or off; host/clock in the traces shows the clock that was reached"},

	{"clock-limit", func(_ *results.Node, c *Conditions) string {
		return when(c.ClockShare < 1-tolerance, "the clock is limited to %.0f %% of what the processor can do", 100*float64(c.ClockShare))
	}, "sudo cpupower frequency-set --max 100GHz; if it does not last, the firmware sets the limit: see its power profile"},

	{"power-cap", func(n *results.Node, c *Conditions) string {
		limit := n.Settings.PowerCap
		return when(limit < c.RatedPower*(1-tolerance),
			"CPU packages are capped at %.0f W, rated %.0f W: figures hold for this cap", float64(limit), float64(c.RatedPower))
	}, "keep it if it is how the node will run; otherwise raise the power limit in the firmware or with: powercap-set -p intel-rapl -z 0 -c 0 -l MICROWATTS"},

	{"on-battery", func(_ *results.Node, c *Conditions) string {
		return when(c.OnBattery, "runs on battery: firmware saves power, and the battery's state becomes part of the figures")
	}, "connect the mains adapter"},

	{"smt-on", func(n *results.Node, _ *Conditions) string {
		return when(n.Settings.SMT == "on",
			"hardware threads share cores: a CPU-second beside a busy sibling is worth much less than one alone, and background work slows its sibling even at idle priority; "+
				"figures of the whole node are not affected")
	}, "read per-thread and per-CPU-second figures as those of a shared core, or: echo off | sudo tee /sys/devices/system/cpu/smt/control"},

	{"hybrid-cores", func(_ *results.Node, c *Conditions) string {
		return when(c.Hybrid, "cores of different speed: where work is split evenly the slowest core sets the pace, and per-thread figures are averages over unlike cores")
	}, "choose one kind with taskset -c LIST, or compare whole nodes only"},

	{"clock-source", func(n *results.Node, _ *Conditions) string {
		s := n.Settings.ClockSource
		return when(s != "" && !steadyClocks[s], "the kernel keeps time with %s: reading it is slow, and it was chosen because the processor's own counter was found unstable", s)
	}, "find the reason with: dmesg | grep -i clocksource"},

	{"busy-machine", func(n *results.Node, c *Conditions) string {
		load := float64(n.Settings.Load)
		return when(n.Threads() > 0 && busy(load-c.OwnLoad, n.Threads()) && !c.Calm,
			"load average %.2f on %d CPUs before anything was started: other work takes CPU time and power", load, n.Threads())
	}, "stop it (top shows it), or wait a minute if it was the run before this one"},

	{"low-memory", func(n *results.Node, _ *Conditions) string {
		have := n.Memory
		if l := n.Settings.MemoryLimit; l > 0 {
			have = l
		}
		return when(have > 0 && have < leastBytes, "%d MiB of memory: paging would be measured instead of computing", have>>20)
	}, "raise the memory limit of the guest or the control group to 1 GiB or more"},
}

func when(holds bool, format string, args ...any) string {
	if !holds {
		return ""
	}
	return fmt.Sprintf(format, args...)
}

// usable is the number of CPUs on which the session may run, apart from quotas.
func usable(n *results.Node) int {
	if len(n.Settings.CPUs) > 0 {
		return len(n.Settings.CPUs)
	}
	return n.Threads()
}
