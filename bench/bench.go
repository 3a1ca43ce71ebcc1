// Package bench defines countable work: what a use of the hardware does, how
// it counts what it has finished, and how it shows that the answers were
// right. Workloads are its children, one folder each.
//
// Nothing here knows of watts, windows, processes or records being written:
// the harness reads the [Counter] of a workload like a meter, on the same
// clock as the energy.
package bench

import (
	"context"
	"errors"
	"time"

	"github.com/perwatt/perwatt/kernels/device"
	"github.com/perwatt/perwatt/results"
)

// Workload is one kind of work on this machine's hardware.
//
// The calls come in the order of the methods; Run may come several times
// between Prepare and Check. No method is called concurrently with another.
type Workload interface {
	// Info is constant from construction on.
	Info() Info
	// Prepare allocates, loads and checks the kernel against known answers.
	// It is never timed.
	Prepare(ctx context.Context) error
	// Run adds finished work to done until ctx ends, and returns nil if that
	// is why it stopped. It uses Info().Threads goroutines that compute.
	Run(ctx context.Context, done *Counter) error
	// Check says whether the answers of all runs so far were right. Any
	// result that is not OK voids the figures.
	Check() []results.Check
	// Close releases what Prepare took.
	Close() error
}

// Targeter is a workload that can run to a quality target: training to a
// held-out accuracy. The harness calls Reach after Prepare and before Run, and
// meters it as a phase of its own; the work that Run continues with is the
// trained state. Reach fails if the target is out of reach.
type Targeter interface {
	Reach(ctx context.Context, done *Counter) (results.Target, error)
}

// Planned is a workload that knows what it will take of its device's memory.
type Planned interface {
	Memory() results.MemoryParts
}

// ShareWorkload is a workload that a separate device carries out and proves by shares.
// Check, Counters and Gaps may be called while Run runs.
type ShareWorkload interface {
	Workload
	// Shares describes the shares and the work that one stands for; it is constant
	// after Prepare.
	Shares() results.Shares
	// Counters returns the present values of counters besides the count, always the
	// same ones in the same order. An event that is in both changes both at once.
	Counters() []CounterValue
	// Begin waits, while Run runs, for the first share that was not delayed, and
	// returns the state just after it. A window that begins there contains the shares
	// that come later. At a constant rate their number is Poisson distributed, as from
	// any instant that does not depend on later shares.
	Begin(ctx context.Context) (Start, error)
	// Gaps lists the intervals of the present run in which the device's work is
	// unknown.
	Gaps() []Gap
}

// Start is the state in which a window begins.
type Start struct {
	At       time.Time
	Count    uint64 // of Run's counter
	Counters []CounterValue
}

// Gap is an interval without shares although the device may have worked. The work of a
// window that overlaps it is unknown.
type Gap struct {
	From, To time.Time
	Late     bool // its shares came at its end: the work of a window that contains all of it is known
	Why      string
}

// CounterValue is the value of a counter.
type CounterValue struct {
	Kind  results.TraceKind // of its trace
	Class string            // class of shares: see [results.TraceShares]
	Unit  results.Unit
	Value float64
}

// Info describes a workload: enough to repeat it.
type Info struct {
	Name         string            // of the workload: hashscan, matmul, stream, training
	Use          string            // what it stands for: mining, compute, memory, training
	Device       string            // ID of the device that it runs on
	Impl         string            // the kernel's implementation
	Unit         results.Unit      // of one count
	Threads      int               // goroutines that compute
	FlopPerCount float64           // useful FLOP per count; 0 where the count is not made of them
	Formula      string            // how FlopPerCount follows from the parameters
	Params       map[string]string // sizes, data set, rates: whatever changes the figure
	Seed         uint32
}

// Config is what a workload is opened with. The zero value of each field
// means the workload's default.
type Config struct {
	Device device.Device     `json:"-"` // where the work runs, and on how many threads; nil is one thread of the CPU
	Impl   string            // implementation row; "" takes the table's first supported row by rank
	Seed   uint32            // of everything random
	Params map[string]string // the workload's own options; an unknown key is an error
	Again  bool              // the same work passed its checks earlier in this session: Prepare may check less
}

// ErrUsage is wrapped by errors about an invalid configuration: an unknown workload,
// implementation, option or value.
var ErrUsage = errors.New("cannot be configured so")
