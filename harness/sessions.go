package harness

import (
	"context"
	"fmt"
	"iter"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"

	"github.com/oklog/ulid/v2"

	"github.com/perwatt/perwatt/bench"
	"github.com/perwatt/perwatt/kernels/device"
	"github.com/perwatt/perwatt/results"
)

// Sessions measures this node in one session after another: the planned number at each
// setting of the sweep, one record per session.
type Sessions struct {
	// Session is the template of all sessions. The record of each is a copy of its
	// record, with an identifier, a number, a seed and a setting.
	Session Session
	On      []device.Info // the devices that are measured
	Sweep   *Sweep
	// Describe describes the node again, because a setting may change the description.
	Describe func() (results.Node, error)
	// Applying is called before a setting is applied, and the function that it returns
	// afterwards.
	Applying func(results.Setting) (applied func())
	// Create opens the file of a record and returns what saves the record there.
	Create func(*results.Record) (save func(*results.Record) error, err error)
}

// seedsPerSession keeps the seeds of sessions apart.
const seedsPerSession = 1_000_000

// Refused returns the error with which a worker would refuse one of the parts.
// describe returns a device without calling its driver.
func (s *Sessions) Refused(describe func(device.Config) device.Device, open func(use string, cfg bench.Config) (bench.Workload, error)) error {
	for _, sc := range s.Session.Scenarios {
		for _, part := range sc.Parts {
			cfg := s.Session.Config(part)
			cfg.Device = describe(device.Config{Info: part.Device, Members: part.Members, Threads: s.Session.Record.Plan.Threads})
			load, err := open(part.Use, cfg)
			if err != nil {
				return err
			}
			if err := load.Close(); err != nil {
				return err
			}
		}
	}
	return nil
}

// All measures and yields each session's record, with the error that ended the session,
// if any. The record is nil if the session did not begin. The caller ends the sessions
// by leaving the loop.
func (s *Sessions) All(ctx context.Context) iter.Seq2[*results.Record, error] {
	return func(yield func(*results.Record, error) bool) {
		plan, node := s.Session.Record.Plan, s.Session.Record.Node
		s.Session.forecast, s.Session.following = new(forecast), 0
		for range s.Sweep.Sessions(plan.Sessions) {
			s.Session.following++
		}
		for plan.Session, plan.Setting = range s.Sweep.Sessions(plan.Sessions) {
			s.Session.following--
			rec, err := s.measure(ctx, plan, &node)
			if !yield(rec, err) {
				return
			}
			plan.Seed += seedsPerSession
		}
	}
}

// measure applies the setting of a plan, which may change node, and takes one
// session through the plan.
func (s *Sessions) measure(ctx context.Context, plan results.Plan, node *results.Node) (rec *results.Record, err error) {
	if plan.Setting != nil {
		applied := s.Applying(*plan.Setting)
		err := s.Sweep.Apply(ctx, plan.Setting, "")
		if applied(); err != nil {
			return nil, err
		}
		if *node, err = s.Describe(); err != nil {
			return nil, err
		}
	}
	one, record := s.Session, *s.Session.Record
	one.Record = &record
	record.ID, record.Node, record.Plan = ulid.Make().String(), *node, plan
	record.Meters, record.Runs = []results.Meter{}, []results.Run{}
	record.Warnings = slices.Clip(record.Warnings) // a session adds its own
	if one.Devices, err = Place(one.Roots, s.On, *node, plan.Threads); err != nil {
		return nil, err
	}
	if one.Save, err = s.Create(&record); err != nil {
		return nil, err
	}
	// While it watches, this process wakes ten times per second for some microseconds;
	// more than one processor would only add threads that spin at each wake.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	return &record, one.Run(ctx)
}

// Place returns the configuration of the devices. On a CPU each thread gets one of the
// first logical CPUs that this process may use, if the node lists them. What drives a
// card runs on those of them that are near it, if there are any and the tree at roots
// says which.
func Place(roots Roots, on []device.Info, node results.Node, threads int) ([]device.Config, error) {
	cpus := node.Settings.CPUs
	if len(cpus) > 0 && len(cpus) < threads {
		return nil, fmt.Errorf("harness: %d threads need as many logical CPUs, and only %d may be used now (%v): ask for fewer with --threads", threads, len(cpus), cpus)
	}
	out := make([]device.Config, len(on))
	for i, d := range on {
		out[i].Info = d
		if d.ID == results.CPUDevice {
			out[i].Threads, out[i].CPUs = threads, cpus[:min(threads, len(cpus))]
			continue
		}
		near := roots.orHere().near(d.PCI)
		out[i].CPUs = slices.DeleteFunc(slices.Clone(cpus), func(cpu int) bool { return !slices.Contains(near, cpu) })
	}
	return out, nil
}

// pciAddress is domain:bus:device.function, as sysfs writes it.
var pciAddress = regexp.MustCompile(`^[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$`)

// near lists the logical CPUs near a PCI device, by which its memory and interrupts
// are reached without the link to another socket (kernel:
// Documentation/ABI/testing/sysfs-bus-pci, local_cpulist); none if that is unknown.
func (r Roots) near(pci string) []int {
	if !pciAddress.MatchString(pci) {
		return nil
	}
	cpus, err := parseList(r.text(r.sys(filepath.Join("bus/pci/devices", pci, "local_cpulist"))))
	if err != nil {
		return nil
	}
	return cpus
}
