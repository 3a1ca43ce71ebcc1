// Package results holds the record: what one session on one node did and saw,
// and everything that can be computed from that alone.
//
// A record is one self-describing JSON file. Its traces are what the work
// counters and the instruments gave, on one monotonic clock; its summary is
// [Derive] of those traces and can be computed again at any time. Quantities
// are in SI base units, and an absent figure is null, never zero.
//
// This package reads no clock, starts no process and opens no meter. Anyone
// may import it; it imports nothing of the project.
package results

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// SchemaVersion is the version of the record format written here. Readers
// accept every version up to it and tolerate unknown fields. The summary of an
// earlier version follows other definitions, and is computed again from the
// traces.
const SchemaVersion = 2

// Record is one session on one node.
type Record struct {
	Schema      int          `json:"schema"` // SchemaVersion of the writer
	ID          string       `json:"id"`     // ULID
	Start       time.Time    `json:"start"`  // UTC at which the record's monotonic clock was zero
	End         time.Time    `json:"end"`    // UTC of the last write
	State       State        `json:"state"`
	Tool        Tool         `json:"tool"`
	Node        Node         `json:"node"`
	Plan        Plan         `json:"plan"`
	Kernels     []Kernel     `json:"kernels"`
	Meters      []Meter      `json:"meters"`
	MeterProbes []MeterProbe `json:"meter_probes"` // every kind of meter that was looked for, and the outcome
	Runs        []Run        `json:"runs"`
	Summary     Summary      `json:"summary"`
	Warnings    []Warning    `json:"warnings"`
	// From is the identifier of the record that this one was made of, with the same runs
	// and readings of further meters; empty for a record as it was measured.
	From   string `json:"from,omitempty"`
	Digest Digest `json:"digest"`
}

// State is how far a session came.
type State string

const (
	Running     State = "running"     // as of the last write; the session was killed if it is no longer alive
	Complete    State = "complete"    // every planned run was attempted
	Interrupted State = "interrupted" // stopped by the user or a signal
)

// Tool is the program that wrote the record.
type Tool struct {
	Name     string `json:"name"`
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"` // of the source, with + if modified
	Go       string `json:"go"`
}

// Node is the machine. What it consists of (devices, CPU, memory) and what can
// change between sessions (settings, limits) stand apart.
type Node struct {
	Name     string   `json:"name"`
	OS       string   `json:"os"`
	Kernel   string   `json:"kernel"`
	Arch     string   `json:"arch"`
	Devices  []Device `json:"devices"` // the CPU first
	CPU      CPU      `json:"cpu"`
	Memory   int64    `json:"memory"` // bytes
	Settings Settings `json:"settings"`
}

// Device is what work runs on or what draws power of its own: the processors of
// a host (all of them are one device), an accelerator, or mining hardware that
// works elsewhere. What the machine does not report is empty.
type Device struct {
	ID       string     `json:"id"` // unique within the node: [CPUDevice], [MinerDevice], gpu:0
	Kind     DeviceKind `json:"kind"`
	Vendor   string     `json:"vendor,omitempty"`
	Model    string     `json:"model,omitempty"`
	Firmware string     `json:"firmware,omitempty"` // its version; the microcode of a CPU is in [Settings]
	Driver   string     `json:"driver,omitempty"`
	PCI      string     `json:"pci,omitempty"` // address
	UUID     string     `json:"uuid,omitempty"`
	Memory   int64      `json:"memory,omitempty"` // bytes, of its own
	Lanes    int        `json:"lanes,omitempty"`  // that compute: logical CPUs online
	Features []string   `json:"features,omitempty"`
	// PowerLimit is what a card may draw; nil if its meter does not tell. It can
	// change between sessions and is no part of what identifies the device.
	PowerLimit *PowerLimit `json:"power_limit,omitempty"`
	// Sheet is what its maker states; nil if no sheet is known. It is no part of what
	// identifies the device either.
	Sheet *Sheet `json:"sheet,omitempty"`
}

// DeviceKind is the class of a device.
type DeviceKind string

// Classes of devices.
const (
	KindCPU         DeviceKind = "cpu"
	KindGPU         DeviceKind = "gpu"
	KindAccelerator DeviceKind = "accelerator" // PCI base class 12, no GPU
	KindMiner       DeviceKind = "miner"       // hashes elsewhere and submits shares
)

// IDs of devices of which a node has one.
const (
	CPUDevice   = "cpu"
	MinerDevice = "miner"
)

// Device returns the device with the given id, or the first of several equal cards
// (see [CardsID]); the zero Device if there is none.
func (n *Node) Device(id string) Device {
	id = CardsOf(id)[0]
	for _, d := range n.Devices {
		if d.ID == id {
			return d
		}
	}
	return Device{}
}

// Threads is the number of logical CPUs online; 0 if that is not known.
func (n *Node) Threads() int { return n.Device(CPUDevice).Lanes }

// DeviceCount is how many devices of one kind and model a node has.
type DeviceCount struct {
	Kind  DeviceKind `json:"kind"`
	Model string     `json:"model"`
	Count int        `json:"count"`
}

// Hardware counts the devices of a node, in their order. It is what identifies the
// machine; ids, addresses, firmware and drivers are no part of it. A CPU that a driver
// (OpenCL) offers is not counted: the machine has it already.
func (n *Node) Hardware() (out []DeviceCount) {
	at := map[DeviceCount]int{}
	for _, d := range n.Devices {
		if d.Kind == KindCPU && d.Driver != "" {
			continue
		}
		c := DeviceCount{Kind: d.Kind, Model: strings.Join(strings.Fields(d.Model), " ")}
		i, known := at[c]
		if !known {
			i = len(out)
			at[c], out = i, append(out, c)
		}
		out[i].Count++
	}
	return out
}

// Models names the devices of a node: "AMD EPYC 7543 + 2 × NVIDIA H200".
func (n *Node) Models() string {
	var names []string
	for _, c := range n.Hardware() {
		switch {
		case c.Model == "":
		case c.Count > 1:
			names = append(names, fmt.Sprintf("%d × %s", c.Count, c.Model))
		default:
			names = append(names, c.Model)
		}
	}
	return strings.Join(names, " + ")
}

// CPU is what only the processors of a host have. Their vendor, model, features
// and number of threads are those of the device [CPUDevice].
type CPU struct {
	Family   int     `json:"family"`
	ModelID  int     `json:"model_id"`
	Stepping int     `json:"stepping"`
	Arch     string  `json:"microarchitecture,omitempty"`
	Sockets  int     `json:"sockets"`
	Cores    int     `json:"cores"`
	Clock    Float   `json:"clock"` // Hz, nominal; null if unknown
	Cache    []int64 `json:"cache"` // bytes per level: L1d, L2, L3
}

// Settings are what changes between sessions on the same machine. An empty
// string means that the machine does not report it.
type Settings struct {
	Governor    string `json:"governor,omitempty"`
	Turbo       string `json:"turbo,omitempty"` // on, off
	SMT         string `json:"smt,omitempty"`   // on, off, notsupported …
	Microcode   string `json:"microcode,omitempty"`
	Hypervisor  string `json:"hypervisor,omitempty"`
	Container   string `json:"container,omitempty"`
	ClockSource string `json:"clock_source,omitempty"`
	CPUQuota    Float  `json:"cpu_quota"` // CPUs the cgroup allows; null if unlimited
	CPUs        []int  `json:"cpus"`      // affinity of the session
	PowerCap    Float  `json:"power_cap"` // W, long-term limit over all packages; null if unknown
	MemoryLimit int64  `json:"memory_limit,omitempty"`
	Load        Float  `json:"load"` // 1-minute load average at start
}

// Plan is what the session set out to do.
type Plan struct {
	Preset    string            `json:"preset"`
	Device    string            `json:"device,omitempty"` // to measure, as given: auto, all or an ID; empty where a pool measures miners
	Scenarios []string          `json:"scenarios"`
	Rounds    int               `json:"rounds"`   // 0: as many as it takes
	Session   int               `json:"session"`  // 1-based, of Sessions
	Sessions  int               `json:"sessions"` // planned by the same command
	Order     string            `json:"order"`    // "ABBA": rounds forward, reverse, forward …
	Threads   int               `json:"threads"`
	Settle    Float             `json:"settle"`   // s
	Warmup    Float             `json:"warmup"`   // s, at least
	Limit     Float             `json:"limit"`    // s, at most, waiting for steady state
	Window    Float             `json:"window"`   // s, measured
	Interval  Float             `json:"interval"` // s, between samples
	Seed      uint32            `json:"seed"`
	Models    []string          `json:"models,omitempty"`  // to train, as given; none: those of the preset and the device
	Target    bool              `json:"target"`            // whether training runs have a time-to-target phase
	Until     string            `json:"until,omitempty"`   // half-width of the interval at which a session of open length ends, as given
	Setting   *Setting          `json:"setting,omitempty"` // of a sweep over settings
	Meters    []string          `json:"meters"`            // specs as given
	Impls     map[string]string `json:"impls,omitempty"`
	Labels    map[string]string `json:"labels,omitempty"`
	Fleet     *Fleet            `json:"fleet,omitempty"` // nil for a session on its own

	// TargetAlone leaves the time-to-target phase out of a mullet whose training the
	// session also runs alone: that shows that the network learns, and how long it takes.
	TargetAlone bool `json:"target_alone,omitempty"`
}

// Fleet is the place of a session in the measurement of many nodes.
type Fleet struct {
	Run     string `json:"run"`     // name of the measurement
	Node    string `json:"node"`    // name that the engine gives the node
	Attempt int    `json:"attempt"` // 1-based
	// Together is the number of nodes that measured at the same time on purpose. They
	// share power and cooling, so that their figures are not those of a node alone; 0
	// for a node that was measured whatever the others did.
	Together int `json:"together,omitempty"`
}

// Together is the number of nodes that measured at the same time on purpose, 2 or more;
// 0 for a node that was measured alone, or whatever the others did.
func (p *Plan) Together() int {
	if p.Fleet == nil || p.Fleet.Together < 2 {
		return 0
	}
	return p.Fleet.Together
}

// Imported is the preset of a record that was made of Go benchmark text: a
// scenario is the name of a benchmark, a workload its package.
const Imported = "import"

// Setting is one of several that one command measured, such as the power limits
// of a card. Its meaning is known only to the user's command that applied it.
type Setting struct {
	Sweep  string `json:"sweep"`  // identifier that the settings of a command share
	Value  string `json:"value"`  // as given
	Number int    `json:"number"` // 1-based, of Of
	Of     int    `json:"of"`
	Apply  string `json:"apply"` // the command, without what it keeps secret
}

// Kernel is one kernel on one device, its implementations and which of them was
// used.
type Kernel struct {
	Name   string `json:"name"`
	Device string `json:"device"`
	Chosen string `json:"chosen"`
	Why    string `json:"why"`
	Impls  []Impl `json:"impls"`
}

// Impl is one row of a kernel's implementation table on this machine.
type Impl struct {
	Name      string   `json:"name"`
	Needs     []string `json:"needs"` // CPU features
	Supported bool     `json:"supported"`
	Library   string   `json:"library,omitempty"` // of a vendor, that computes: its name and version
	Check     string   `json:"check,omitempty"`   // "ok", or how the known answers failed; empty if not run; of a row that is not supported, what is absent
	Rate      Float    `json:"rate"`              // work per second, one thread, short; null if not timed
	Peak      Float    `json:"peak"`              // the same of the row's instructions alone, on registers; null if it has no such loop
	Unit      Unit     `json:"unit"`
}

// Meter is one instrument that was read during the session.
type Meter struct {
	Name     string    `json:"name"`
	Source   string    `json:"source"`
	Period   Float     `json:"period"` // s, at which it has something new; null if at any
	Channels []Channel `json:"channels"`
	Notes    []string  `json:"notes,omitempty"` // coefficients, excluded zones, what the figures are
	// Recordings are where the readings come from, of a meter that another host read and
	// recorded; none for one that the session itself read.
	Recordings []Recording `json:"recordings,omitempty"`
}

// Recording is where the readings of a meter come from, and how their times became times
// of the node.
type Recording struct {
	File   string `json:"file"`   // SHA-256 of the recording as it was then
	Host   string `json:"host"`   // that recorded
	Offset Float  `json:"offset"` // s, the clock of that host minus that of the node
	Within Float  `json:"within"` // s, half-width of what is known of the offset
	Known  string `json:"known"`  // how the offset is known
}

// within is the largest half-width of the offsets of the clocks, in s: the readings of a
// meter may all be early or late by so much.
func (m *Meter) within() (most float64) {
	for _, r := range m.Recordings {
		most = max(most, float64(r.Within))
	}
	return most
}

// Channel is one quantity of a meter.
type Channel struct {
	Name     string   `json:"name"`
	Unit     Unit     `json:"unit"`
	Kind     Kind     `json:"kind"`
	Boundary Boundary `json:"boundary"`
	Origin   Origin   `json:"origin"`
	Accuracy Accuracy `json:"accuracy"`
	// Least is the power in W below which the channel is not believed, if the
	// user gave one; nil stands for that of its boundary: see
	// [Channel.LeastWatts].
	Least *Float `json:"least,omitempty"`
	// Most is the power in W above which the channel is not believed, if the user gave
	// one; nil stands for what the instrument documents, or that of its boundary: see
	// [Boundary.Most].
	Most *Float `json:"most,omitempty"`
	// Place is shared by the channels of one meter that measure the same thing,
	// such as an outlet's energy and its power. They are listed in order of
	// preference, and one of them is used. Empty for a channel that is the only
	// one of its kind.
	Place string `json:"place,omitempty"`
	// Total is the boundary to whose total this channel contributes: the
	// channels of one meter with the same Total are disjoint (or share a Place)
	// and add up to it. Empty for a channel that overlaps others and is reported
	// beside them.
	Total Boundary `json:"total,omitempty"`
	// Card is the PCI address ("0000:3b:00.0", lower case) of the one card that
	// the channel measures, or its UUID where no address is known; empty for
	// what is not one card. A node's [Device] has both.
	Card string `json:"card,omitempty"`
}

// LeastWatts is the power in W below which no reading of the channel is believed;
// 0 for a channel that is not measured.
func (c Channel) LeastWatts() float64 {
	switch {
	case c.Origin != Measured:
		return 0
	case c.Least != nil:
		return float64(*c.Least)
	}
	return c.Boundary.Least()
}

// Accuracy is what an instrument or its maker claims.
type Accuracy struct {
	Gain       Float  `json:"gain"`       // relative, half-width; null if unknown
	Offset     Float  `json:"offset"`     // W, half-width of the part that does not grow with the reading; 0 if there is none
	Resolution Float  `json:"resolution"` // in the channel's unit; null if unknown
	Source     string `json:"source,omitempty"`
	// Duty is the share of the time in which the sensor looks at the power, above
	// 0 and below 1; nil if it always does. That of an A100 or H100 looks for 25 ms
	// of each 100 ms (Yang, Adamek and Armour, arXiv 2312.02741).
	Duty *Float `json:"duty,omitempty"`
}

// unseen is the share of the time in which the sensor does not look.
func (a Accuracy) unseen() float64 {
	if a.Duty == nil || !(*a.Duty > 0) {
		return 0
	}
	return max(0, 1-float64(*a.Duty))
}

// MeterProbe is one kind of meter that was looked for.
type MeterProbe struct {
	Meter  string `json:"meter"`
	State  string `json:"state"` // used, found, absent, refused
	Detail string `json:"detail"`
}

// Status is how a run ended.
type Status string

const (
	OK      Status = "ok"
	Void    Status = "void"        // a check failed: the answers were wrong, the figures are not used
	Failed  Status = "failed"      // the worker died, hung or refused, or what it did is not known
	Stopped Status = "interrupted" // the session was stopped in mid-run
)

// Run is one scenario, once.
type Run struct {
	Scenario string  `json:"scenario"`
	Round    int     `json:"round"` // 1-based
	Anchor   Anchor  `json:"anchor"`
	Uses     []Use   `json:"uses"`
	Phases   []Phase `json:"phases"`
	Traces   []Trace `json:"traces"`
	Checks   []Check `json:"checks"`
	Claims   []Claim `json:"claims,omitempty"` // what devices report of themselves: never ranked
	Status   Status  `json:"status"`
	Error    string  `json:"error,omitempty"`
}

// Anchor ties the monotonic clock to UTC at one instant.
type Anchor struct {
	T   Float     `json:"t"` // s
	UTC time.Time `json:"utc"`
	// ClockError bounds the error of UTC in s, as the kernel's clock discipline states it
	// (maxerror of adjtimex(2), which NTP or PTP daemons set); nil where none keeps the
	// clock.
	ClockError *Float `json:"clock_error,omitempty"`
}

// Use is one workload in a run, with the role it had there.
type Use struct {
	Use          string            `json:"use"`    // mining, training, compute, memory
	Device       string            `json:"device"` // id of the device that it ran on
	Workload     string            `json:"workload"`
	Impl         string            `json:"impl"`
	Role         Role              `json:"role"`
	Threads      int               `json:"threads"`
	Unit         Unit              `json:"unit"`           // of one count
	FlopPerCount Float             `json:"flop_per_count"` // useful FLOP; null where the count is not made of them
	Formula      string            `json:"formula,omitempty"`
	Params       map[string]string `json:"params,omitempty"`
	Seed         uint32            `json:"seed"`
	Target       *Target           `json:"target,omitempty"`
	Shares       *Shares           `json:"shares,omitempty"` // of work that a device does elsewhere; nil where it is counted as it is done
	// Error is why the device gave no result in a run that went on with others; its
	// traces end where it failed.
	Error string `json:"error,omitempty"`
}

// Training is the workload that trains networks, and its use in fp32. In another
// precision it is a use of its own: training-bf16.
const Training = "training"

// Parallel follows [Training] in the name of the use in which several cards train one
// model: training-parallel, training-parallel-bf16.
const Parallel = "-parallel"

// Parallel reports whether several cards train one model in the use.
func (u *Use) Parallel() bool { return strings.HasPrefix(u.Use, Training+Parallel) }

// Devices lists the devices that the use runs on: several, if it is of cards together.
func (u *Use) Devices() []string {
	if u.Parallel() {
		return CardsOf(u.Device)
	}
	return []string{u.Device}
}

// Trains reports whether the use trains a network, in whatever precision: its workload
// does. Imported benchmarks, whose workload is their package, train by name.
func (u *Use) Trains() bool { return u.Workload == Training || u.Use == Training }

// Precision is that of the arithmetic: what follows the family in the use's name, such
// as bf16 of compute-bf16 and training-bf16, or else fp32.
func (u *Use) Precision() string {
	_, precision, _ := strings.Cut(strings.Replace(u.Use, Training+Parallel, Training, 1), "-")
	return cmp.Or(precision, "fp32")
}

// Role is the part a use plays in a scenario.
type Role string

const (
	Alone      Role = "alone"
	Foreground Role = "foreground"
	Background Role = "background" // SCHED_IDLE: runs where the foreground leaves time
)

// Target is the result of a time-to-target phase.
type Target struct {
	Metric  string `json:"metric"` // "accuracy", or "loss" in nats a token, of which less is better
	Goal    Float  `json:"goal"`
	Reached Float  `json:"reached"`
	Steps   int    `json:"steps"`
	Samples int    `json:"samples"`
}

// Phase is a named stretch of a run.
type Phase struct {
	Name string `json:"name"` // settle, prepare, target, warmup, measure, cool
	From Float  `json:"from"` // s
	To   Float  `json:"to"`   // s
}

// Phase names.
const (
	PhaseSettle  = "settle"
	PhasePrepare = "prepare"
	PhaseTarget  = "target"
	PhaseWarmup  = "warmup"
	PhaseMeasure = "measure"
	PhaseCool    = "cool"
)

// Count is the number of runs of a status.
func (r *Record) Count(s Status) (n int) {
	for i := range r.Runs {
		if r.Runs[i].Status == s {
			n++
		}
	}
	return n
}

// Lost is the number of uses that gave no result in runs that went on with others.
func (r *Record) Lost() (n int) {
	for i := range r.Runs {
		n += r.Runs[i].Lost()
	}
	return n
}

// Wrong says what is wrong with the answers of a use; empty if nothing is.
func (r *Run) Wrong(u Use) string {
	for _, c := range r.Checks {
		if !c.OK && c.Use == u.Use && c.Device == u.Device {
			return fmt.Sprintf("wrong answers: %s: %s", c.Name, c.Detail)
		}
	}
	return ""
}

// WrongAnswers says of each kernel and each use whose answers were wrong what was wrong
// with them: of a row of a kernel that this machine should run, also where another row
// took its place and the work came out right.
func (r *Record) WrongAnswers() (wrong []string) {
	add := func(format string, args ...any) {
		if s := Line(fmt.Sprintf(format, args...), mostWrong); !slices.Contains(wrong, s) {
			wrong = append(wrong, s)
		}
	}
	for _, k := range r.Kernels {
		for _, im := range k.Impls {
			if im.Supported && im.Check != "" && im.Check != "ok" {
				add("kernel %s/%s on %s: %s", k.Name, im.Name, k.Device, im.Check)
			}
		}
	}
	for i := range r.Runs {
		run := &r.Runs[i]
		for _, u := range run.Uses {
			if why := run.Wrong(u); why != "" {
				add("%s: %s", u.Use, why)
			}
		}
		if run.Status == Void && run.Error != "" && len(wrong) == 0 {
			add("%s", run.Error)
		}
	}
	return wrong
}

const mostWrong = 160 // runes of what was wrong

// Lost is the number of uses that gave no result, where the run went on with others.
func (r *Run) Lost() (n int) {
	for _, u := range r.Uses {
		if r.Status == OK && u.Error != "" {
			n++
		}
	}
	return n
}

// Phase returns the named phase of the run.
func (r *Run) Phase(name string) (Phase, bool) {
	for _, p := range r.Phases {
		if p.Name == name {
			return p, true
		}
	}
	return Phase{}, false
}

// Trace returns the trace with the given key, or nil.
func (r *Run) Trace(key TraceKey) *Trace {
	for i := range r.Traces {
		if r.Traces[i].Key == key {
			return &r.Traces[i]
		}
	}
	return nil
}

// Check is one answer that was verified.
type Check struct {
	Use    string `json:"use"`
	Device string `json:"device"`
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail,omitempty"`
}

// Warning is a reason to doubt a figure: a stable code, what was found, and what
// to do about it.
type Warning struct {
	Code   string `json:"code"`
	Text   string `json:"text"`
	Remedy string `json:"remedy"`
	Run    string `json:"run,omitempty"` // "scenario/round" if it concerns one run
}

// Summary is what [Derive] computes from the runs.
type Summary struct {
	Rows      []Row      `json:"rows"`
	CoRunCost *CoRunCost `json:"co_run_cost,omitempty"` // present when the mullet and its parts were measured
	CoRuns    []CoRun    `json:"co_runs,omitempty"`     // the same for each mullet with a card in front, in the order of the plan
	Yields    []Yield    `json:"yields"`
	Exchange  []Exchange `json:"exchange,omitempty"` // one a model, where mining was measured too
	// PrimaryMeter is the total that is quoted as the power of the node; nil
	// without one.
	PrimaryMeter *PrimaryMeter `json:"primary_meter,omitempty"`
	Meters       []MeterRow    `json:"meters"`           // the power of each scenario at every meter
	Coverage     []Coverage    `json:"coverage"`         // how each meter was read
	Claims       []ClaimRow    `json:"claims,omitempty"` // what devices report of themselves: never ranked
	Flags        []Warning     `json:"flags"`            // warnings that follow from the traces and the claims, run by run
	Validity     Validity      `json:"validity"`

	windows []*Window // see [Summary.Windows]
}

// PrimaryMeter is the total of a meter, or the sum of two, that is quoted as the
// power of the node: of those that gave watts, the one that covers most of the
// devices that worked, then measured before modelled before declared, then the
// outermost boundary, then the first in the record. A session in which no total
// covers a device that worked has none.
type PrimaryMeter struct {
	Meter    string   `json:"meter"` // of a sum "a + b"
	Boundary Boundary `json:"boundary"`
	Origin   Origin   `json:"origin"`
	Channels []string `json:"channels"`         // they add up to the total
	Meters   []string `json:"meters,omitempty"` // of a sum, the meter of each channel
}

// Key is that of the trace of channel i.
func (p *PrimaryMeter) Key(i int) TraceKey {
	if i < len(p.Meters) {
		return MeterKey(p.Meters[i], p.Channels[i])
	}
	return MeterKey(p.Meter, p.Channels[i])
}

// Has reports whether the total has channels of the meter of that name.
func (p *PrimaryMeter) Has(meter string) bool {
	if len(p.Meters) > 0 {
		return slices.Contains(p.Meters, meter)
	}
	return p.Meter == meter
}

// MeterRow is the power of one scenario as one meter saw it: the total of a
// boundary, or a card on its own, whether it worked or idled. The primary meter,
// if there is one, is the first of its scenario.
type MeterRow struct {
	Scenario string `json:"scenario"`
	Meter    string `json:"meter"`
	Channel  string `json:"channel,omitempty"` // of a card; empty for a total
	Device   string `json:"device,omitempty"`  // that the card is; empty for a total, and where it is not known
	Power    Figure `json:"power"`
}

// Coverage is how well the windows of a session were seen by one meter.
type Coverage struct {
	Meter       string `json:"meter"`
	Interval    Float  `json:"interval"`     // s, median between readings
	Longest     Float  `json:"longest"`      // s, the longest between two readings that bracket or lie in a window
	Share       Float  `json:"share"`        // of the windows' time that lies between readings no more than 3 intervals apart, 0 to 1
	Readings    int    `json:"readings"`     // the fewest in one window
	RoundTrip   Float  `json:"round_trip"`   // s, the longest to an instrument that is asked over a wire; null for one that is not
	ClockOffset Float  `json:"clock_offset"` // s, median of its clock minus ours; null if it has none
}

// Validity is whether a record may be ranked, by a set of rules.
type Validity struct {
	Rules    string    `json:"rules"` // name of the set
	Valid    bool      `json:"valid"`
	Findings []Finding `json:"findings"`
}

// Finding is the outcome of one rule.
type Finding struct {
	Rule    string  `json:"rule"` // a stable name
	Asks    string  `json:"asks"`
	Source  string  `json:"source"`
	Outcome Outcome `json:"outcome"`
	Figure  string  `json:"figure"` // what was found
}

// Outcome of a rule.
type Outcome string

const (
	Pass          Outcome = "pass"
	Fail          Outcome = "fail"
	NotApplicable Outcome = "not applicable"
)

// Windows returns the measured windows of all good runs, in their order. A
// summary that was read from a file and not derived has none.
func (s *Summary) Windows() []*Window { return s.windows }

// Row is one use in one scenario over all good runs: one device, workload,
// implementation and number of threads. The idle scenario has one row, of the
// use "idle", without a device and without metrics of work.
//
// Where several equal cards work at one use together, each has a row, and one row
// more is the sum of those that gave results: its device is all of them ([CardsID]).
type Row struct {
	RowKey
	Metrics map[string]Figure `json:"metrics"`
	Cards   *CardSum          `json:"cards,omitempty"`   // of a sum
	PartOf  string            `json:"part_of,omitempty"` // of one card of several: the device of the sum, which has the watts of the primary meter

	windows []*Window // see [Row.Windows]
}

// RowKey identifies a row of a summary.
type RowKey struct {
	Scenario string `json:"scenario"`
	Use      string `json:"use"`
	Device   string `json:"device,omitempty"`
	Workload string `json:"workload"`
	Impl     string `json:"impl"`
	Threads  int    `json:"threads"`
	Role     Role   `json:"role"`
}

// Trains is [Use.Trains] of the use of the row, Precision its [Use.Precision].
func (k *RowKey) Trains() bool      { return (&Use{Use: k.Use, Workload: k.Workload}).Trains() }
func (k *RowKey) Precision() string { return (&Use{Use: k.Use}).Precision() }
func (k *RowKey) Parallel() bool    { return (&Use{Use: k.Use}).Parallel() }

// Windows returns the windows that the figures of a row are made of. A row that
// was read from a file and not derived has none.
func (r *Row) Windows() []*Window { return r.windows }

// Metric names, the same in records, tables and exports.
const (
	Throughput     = "throughput"       // work per wall second
	CPUThroughput  = "cpu_throughput"   // work per CPU-second
	Power          = "power"            // W, gross
	NetPower       = "net_power"        // W, gross minus idle
	Energy         = "energy"           // J, all windows together
	WorkPerEnergy  = "work_per_energy"  // hash/J, sample/J, FLOP/J, B/J
	EnergyPerWork  = "energy_per_work"  // J/hash, J/sample, J/FLOP, J/B
	StepsToTarget  = "steps_to_target"  // optimiser steps
	TimeToTarget   = "time_to_target"   // s
	EnergyToTarget = "energy_to_target" // J
	FlopRate       = "flop_rate"        // useful FLOP per second
	KernelFraction = "kernel_fraction"  // of the kernel's own rate on the device: flop_rate ÷ (threads × Impl.Rate)
	PeakFraction   = "peak_fraction"    // of what the device's units can do at the precision: flop_rate ÷ (threads × best Impl.Peak); of training the MFU
	// ScalingEfficiency is of several cards that train one model: throughput ÷ (cards ×
	// that of one of them alone), both from the same session, with the same batch a card.
	ScalingEfficiency = "scaling_efficiency"

	// Ratios to the control of the same session, present where it was measured:
	// medians of the ratios of each round, in which slow changes of the machine
	// cancel.
	RelativeThroughput    = "relative_throughput"
	RelativePower         = "relative_power" // gross
	RelativeWorkPerEnergy = "relative_work_per_energy"
)

// Control is the name of a use and of its scenario. Its workload never changes, so
// that a change of the machine can be told from a change of the code.
const Control = "control"

// Figure is one derived quantity, typed until it is printed. Low and High bound
// its 95 % interval from repeats and are null when there are too few.
type Figure struct {
	Value Float `json:"value"`
	Low   Float `json:"low"`
	High  Float `json:"high"`
	Unit  Unit  `json:"unit"`
	N     int   `json:"n"` // windows
	Provenance
	Reason         // why the value is absent, or cannot be told from zero
	Budget *Budget `json:"budget,omitempty"` // of a figure with watts in it
}

// Provenance is where the watts of a figure were measured, how and how well.
// It is empty for a figure without watts. Instrument is the relative half-width
// that the meter adds, in quadrature and not part of the interval from repeats;
// null if unknown.
type Provenance struct {
	Boundary   Boundary `json:"boundary,omitempty"`
	Origin     Origin   `json:"origin,omitempty"`
	Grade      Grade    `json:"grade,omitempty"`
	Instrument Float    `json:"instrument"`
}

// HalfWidth is half of the 95 % interval, relative to the value; absent
// without an interval or a value.
func (m Figure) HalfWidth() Float {
	if !(m.Value > 0) {
		return Absent()
	}
	return (m.High - m.Low) / 2 / m.Value
}

// CoRun is the cost of mining behind a use that runs on a card.
type CoRun struct {
	Scenario string `json:"scenario"`
	Front    string `json:"front"`  // the use in front
	Device   string `json:"device"` // id of the card that it runs on, or of several (see [CardsID])
	Shared   bool   `json:"shared"` // mining runs on the same card, time-sliced, and not on the CPU
	CoRunCost
}

// CoRunCost is what mining in the background costs and brings, against the use in
// front alone: training, or another use of a card.
type CoRunCost struct {
	TrainingKept Figure `json:"training_kept"` // ratio of the rate in front to that alone
	HashesGained Figure `json:"hashes_gained"` // hash/s
	ExtraPower   Figure `json:"extra_power"`   // W over the use in front alone
	ExtraEnergy  Figure `json:"extra_energy"`  // J over the use in front alone, all windows together
	EnergyPer    Figure `json:"energy_per_work"`
}

// Yield is what one kilowatt-hour (3.6 MJ) gives at the use of one [Row].
type Yield struct {
	RowKey
	PerKWh Figure `json:"per_kwh"`     // work, all energy counted
	Net    Figure `json:"net_per_kwh"` // work, the idle power's energy taken off
}

// Exchange is the rate of exchange between two uses of the same energy on the same
// device: the hashes given up for one training sample, or for one token of a language
// model, as the unit says.
type Exchange struct {
	Scenario        string `json:"scenario"` // of the training
	Device          string `json:"device"`
	HashesPerSample Figure `json:"hashes_per_sample"`
}

// Digest names the canonical form and holds a hash of each part, so that a
// mismatch can be located, and one over all of them.
type Digest struct {
	Form   string            `json:"form"` // "sha256-jcs-parts"
	Parts  map[string]string `json:"parts"`
	Record string            `json:"record"`
}
