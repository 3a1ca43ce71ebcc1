// Package kernels is the registry: every kernel is a table of implementations
// in order of rank, with what each row needs of a device, how its answers are
// checked, and what a trial times.
//
// A kernel is a child of this package that exports its Table; bench/all lists
// the tables. The implementations for a CPU are plain functions. A caller picks a
// row once and then calls it directly, so the registry is not in any inner loop.
//
// Like its children, this package holds instructions only: it reads no clock and
// no files, starts no goroutine and logs nothing. It does not time rows or
// choose the fastest one; bench/all does.
package kernels

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/perwatt/perwatt/kernels/device"
)

// Row is one implementation of a kernel. F is what callers call: a function, or
// a value with methods.
type Row[F any] struct {
	Name  string
	Needs []string // features of the device, all of them; none for portable code
	Impl  F        // on this machine's CPU

	// Open returns the implementation on a processor, with the kernel compiled. The
	// error wraps [foreign.ErrAbsent] if it needs a library that is not on this
	// machine. Open is nil for a row that runs on the CPU.
	Open func(device.Processor) (F, error)

	// Peak executes the row's instructions on registers alone, for some
	// microseconds, and returns how much work that was: an upper bound of the
	// rate. A row for processors is given the implementation that it opened. Peak
	// is nil for a row without such a loop.
	Peak func(F) float64
}

// Supported reports whether the row runs on a device.
func (r Row[F]) Supported(on device.Info) bool {
	return (r.Open != nil) == on.Processor() && len(r.lacking(on)) == 0
}

// On returns the implementation on a device, which supports the row.
func (r Row[F]) On(d device.Device) (F, error) {
	if p, ok := d.(device.Processor); ok {
		return r.Open(p)
	}
	return r.Impl, nil
}

// lacking returns the features that the row needs and the device does not have.
func (r Row[F]) lacking(on device.Info) []string {
	return slices.DeleteFunc(slices.Clone(r.Needs), func(need string) bool { return slices.Contains(on.Features, need) })
}

// Table is a kernel.
type Table[F any] struct {
	Name string
	Unit string   // of its work, as in records: hash, FLOP, B
	Rows []Row[F] // in order of rank, which decides between rows that a trial cannot tell apart

	// Check compares the answers of an implementation with known ones.
	Check func(F) error

	// Work allocates operands and returns a function that does a short stretch
	// of work on one thread, or on a whole processor, with an implementation and
	// returns how much it was. caches is the size in bytes of the CPU's last-level
	// caches, which the operands of a kernel that is bound by memory should exceed. A
	// trial comes with every start: on the CPU the operands take at most 64 MiB.
	Work func(on device.Info, caches int64) func(F) float64

	// ByRank says why the first row with right answers is chosen rather than
	// the one that is fastest in a trial; empty if the trial decides.
	ByRank string
}

// ByName returns the row of that name, supported or not. The error lists the
// names that exist.
func (t *Table[F]) ByName(name string) (Row[F], error) {
	names := make([]string, len(t.Rows))
	for i, row := range t.Rows {
		if row.Name == name {
			return row, nil
		}
		names[i] = row.Name
	}
	return Row[F]{}, fmt.Errorf("%s: no implementation %q: use one of %s", t.Name, name, strings.Join(names, ", "))
}

// Supported returns the rows that run on a device, in order of rank.
func (t *Table[F]) Supported(on device.Info) []Row[F] {
	return slices.DeleteFunc(slices.Clone(t.Rows), func(row Row[F]) bool { return !row.Supported(on) })
}

// Pick returns the named row, or for an empty name the first that the device
// supports. Naming a row that does not run on the device is an error.
func (t *Table[F]) Pick(on device.Info, name string) (Row[F], error) {
	if name == "" {
		if rows := t.Supported(on); len(rows) > 0 {
			return rows[0], nil
		}
		return Row[F]{}, fmt.Errorf("%s: no implementation runs on device %s", t.Name, on.ID)
	}
	row, err := t.ByName(name)
	switch {
	case err != nil:
	case on.Processor() && row.Open == nil:
		err = fmt.Errorf("%s: implementation %s runs on the CPU, not on %s", t.Name, name, on.ID)
	case !on.Processor() && row.Open != nil:
		err = fmt.Errorf("%s: implementation %s does not run on %s: it is for GPUs", t.Name, name, on.ID)
	case !row.Supported(on):
		err = fmt.Errorf("%s: implementation %s needs %s, but device %s lacks %s",
			t.Name, name, strings.Join(row.Needs, " "), on.ID, strings.Join(row.lacking(on), " "))
	}
	return row, err
}

// Trial is a table on a device without the type of its implementations: what a
// choice between rows has to know.
type Trial struct {
	Kernel, Unit, ByRank string
	Processor            bool // the rows are those of a GPU, which an interpreter may compute
	Rows                 []Candidate
	Find                 func(name string) error // the error of [Table.Pick] for that name
}

// Candidate is a row in a trial. Check, Work and Peak are those of [Table] and
// [Row]: Check comes first, and none is called unless the row is supported.
type Candidate struct {
	Name      string
	Needs     []string
	Supported bool
	Check     func() error
	Library   func() string // after Check: name and version of the vendor's library that computes; empty for code of ours
	Work      func() float64
	Peak      func() float64 // nil if the row has none
}

// Trial returns what is needed to check and time every row on a device: none if
// the kernel has no row for such a device. The rows share the operands of their
// work, which are allocated by the first call. A row is opened by its Check, which
// therefore comes before Work and Peak.
func (t *Table[F]) Trial(on device.Device, caches int64) Trial {
	info := on.Info()
	work := sync.OnceValue(func() func(F) float64 { return t.Work(info, caches) })
	trial := Trial{Kernel: t.Name, Unit: t.Unit, ByRank: t.ByRank, Processor: info.Processor(), Find: func(name string) error {
		_, err := t.Pick(info, name)
		return err
	}}
	for _, row := range t.Rows {
		if (row.Open != nil) != info.Processor() {
			continue
		}
		var impl F
		c := Candidate{
			Name: row.Name, Needs: row.Needs, Supported: row.Supported(info),
			Check: func() (err error) {
				if impl, err = row.On(on); err != nil {
					return err
				}
				return t.Check(impl)
			},
			Library: func() string {
				if l, ok := any(impl).(interface{ Library() string }); ok {
					return l.Library()
				}
				return ""
			},
			Work: func() float64 { return work()(impl) },
		}
		if row.Peak != nil {
			c.Peak = func() float64 { return row.Peak(impl) }
		}
		trial.Rows = append(trial.Rows, c)
	}
	return trial
}

// RunsOn reports whether a row of the table runs on a device.
func (t *Table[F]) RunsOn(on device.Info) bool { return len(t.Supported(on)) > 0 }

// ID is the name of the kernel. Two tables may share it: one for the CPU and one
// for processors, whose implementations have nothing in common.
func (t *Table[F]) ID() string { return t.Name }
