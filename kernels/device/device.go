// Package device describes where work runs: a CPU, a GPU or a miner. Each kind
// of device that this program can compute on is a child of this package.
package device

// Kind is a kind of device.
type Kind string

// Kinds of devices.
const (
	CPU   Kind = "cpu"
	GPU   Kind = "gpu"
	Miner Kind = "miner" // mines by itself and runs no code of ours
)

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
	Lanes    int      // how many threads can compute at a time
	Features []string // instruction sets, by the names that rows of kernels use
}
