// Package device describes where work runs: a CPU or a GPU. Each kind
// of device that this program can compute on is a child of this package; all
// lists them.
//
// Code for a CPU is called directly, so a [Device] has to say only what it is. A
// [Processor] has memory of its own, and kernels are sent to it.
package device

// Kind is a kind of device that runs code of ours, by the word that records have
// for it.
type Kind string

// Kinds of devices.
const (
	CPU Kind = "cpu"
	GPU Kind = "gpu"
)

// Scheduled reports whether the operating system schedules the work of such a
// device. If so, the work has an affinity, a priority and CPU time, and threads
// of this machine run at the clock of the device.
func (k Kind) Scheduled() bool { return k == CPU }

// Info identifies a device. What is unknown or does not apply is zero.
type Info struct {
	ID       string // unique on the node: cpu
	Kind     Kind
	Vendor   string
	Name     string
	PCI      string // address, as domain:bus:device.function
	UUID     string
	Driver   string   // name and version
	Memory   int64    // bytes of its own
	Free     int64    // bytes of Memory that nothing used when it was opened; 0 if the driver does not say
	Lanes    int      // how many threads can compute at a time
	Features []string // instruction sets, by the names that rows of kernels use
}

// Processor reports whether a [Processor] is opened on the device: all but the
// CPU are reached through a driver.
func (i Info) Processor() bool { return i.Driver != "" }

// Device is a device that this process has opened to compute on.
type Device interface {
	Info() Info // constant
}

// Unopened is a device that is described and was not opened: enough to choose an
// implementation, or to refuse a configuration.
type Unopened struct{ About Info }

// Info implements [Device].
func (u Unopened) Info() Info { return u.About }

// Group is equal processors that work as one device.
type Group struct {
	About   Info // one of them, with an ID of its own: cuda:0-3
	Members []Device
}

// Info implements [Device].
func (g Group) Info() Info { return g.About }

// Config is a device and how much of it a workload gets. One process makes it,
// another opens the device with it.
type Config struct {
	Info
	Members []Info // of a [Group], which Info is about; nil for one device
	Threads int    // that compute, of a CPU; 0 means one
	CPUs    []int  // logical CPUs that the threads may use; none: those of the process
}

// Found is what a driver answers who asks for its devices.
type Found struct {
	Driver  string
	Devices []Info
	Absent  bool   // its library is not on this machine
	Why     string // there are no devices; empty if there are
}

// NoDevice is the reason of a driver that works and has no device.
const NoDevice = "it has no device"
