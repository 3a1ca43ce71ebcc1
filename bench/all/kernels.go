package all

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/perwatt/perwatt/bench"
	memory "github.com/perwatt/perwatt/bench/stream"
	"github.com/perwatt/perwatt/kernels"
	"github.com/perwatt/perwatt/kernels/device"
	"github.com/perwatt/perwatt/kernels/device/foreign"
	"github.com/perwatt/perwatt/kernels/gemm"
	"github.com/perwatt/perwatt/kernels/sgemm"
	"github.com/perwatt/perwatt/kernels/sha256d"
	"github.com/perwatt/perwatt/kernels/stream"
	"github.com/perwatt/perwatt/kernels/vector"
	"github.com/perwatt/perwatt/results"
)

// tables lists every kernel.
var tables = []interface {
	ID() string
	RunsOn(device.Info) bool
	Trial(on device.Device, caches int64) kernels.Trial
}{
	&sha256d.Table, &sgemm.Table, &stream.Table, &stream.Processors, &vector.Table,
	gemm.Table(gemm.FP32), gemm.Table(gemm.TF32), gemm.Table(gemm.BF16), gemm.Table(gemm.FP16), gemm.Table(gemm.FP64),
}

// Forced returns, for each device, which row of which kernel was asked for by
// force, which maps kernels to rows. A device that does not run the row chooses
// for itself, if another one runs it.
func Forced(on []device.Info, force map[string]string) (map[string]map[string]string, error) {
	out := map[string]map[string]string{}
	for _, d := range on {
		out[d.ID] = map[string]string{}
	}
	for _, kernel := range slices.Sorted(maps.Keys(force)) {
		var names []string
		var refused error
		found := false
		for _, t := range tables {
			if name := t.ID(); !slices.Contains(names, name) {
				names = append(names, name)
			}
			if t.ID() != kernel {
				continue
			}
			for _, d := range on {
				trial := t.Trial(device.Unopened{About: d}, 0)
				if len(trial.Rows) == 0 {
					continue
				}
				if err := trial.Find(force[kernel]); err == nil {
					out[d.ID][kernel], found = force[kernel], true
				} else if refused == nil {
					var rows []string
					for _, r := range trial.Rows {
						rows = append(rows, r.Name)
					}
					refused = fmt.Errorf("%w%s", err, results.DidYouMean(force[kernel], rows))
				}
			}
		}
		switch {
		case found:
		case refused != nil:
			return nil, fmt.Errorf("%w: %w", bench.ErrUsage, refused)
		case slices.Contains(names, kernel):
			return nil, fmt.Errorf("%w: kernel %s has no implementation on the devices of the session: choose them with --device", bench.ErrUsage, kernel)
		default:
			return nil, fmt.Errorf("%w: unknown kernel %q: known are %s%s", bench.ErrUsage, kernel, strings.Join(names, ", "), results.DidYouMean(kernel, names))
		}
	}
	return out, nil
}

// Kernels checks every row of every kernel on a device against known answers,
// times it briefly and chooses one; force maps a kernel to the row that was asked
// for. Kernels without a row for such a device are left out, and so are those that
// are not among names, unless that is nil.
func Kernels(ctx context.Context, on device.Device, force map[string]string, names []string) ([]results.Kernel, error) {
	defer debug.FreeOSMemory() // before anything is measured
	lost := func() error { return nil }
	if p, ok := on.(device.Processor); ok {
		lost = p.Sync
	}
	var out []results.Kernel
	for _, t := range tables {
		if !t.RunsOn(on.Info()) || names != nil && !slices.Contains(names, t.ID()) {
			continue
		}
		trial := t.Trial(on, memory.LastLevelCaches())
		k, err := choose(ctx, trial, force[trial.Kernel])
		if gone := lost(); gone != nil {
			return nil, gone // what a lost device does not find is not the kernel's fault
		}
		switch {
		case err != nil && ctx.Err() == nil && on.Info().Processor() && !errors.Is(err, bench.ErrUsage):
			k.Chosen, k.Why = "", err.Error() // its other kernels may be right
		case err != nil:
			return nil, err
		}
		k.Device = on.Info().ID
		out = append(out, k)
	}
	return out, nil
}

// A row is timed in passes, each by turns with the other rows, and a pass in
// stretches, of which the best one counts. A scheduler lets a process run for some
// milliseconds at a time: beside busy neighbours few stretches are interrupted.
const (
	passes  = 16
	again   = 2 * passes // of a row that is not the first in rank and was faster, and of those before it
	pass    = time.Millisecond
	stretch = pass / 10
	long    = time.Second // for a pass of a GPU's row, which only an interpreter needs; on a CPU the process was stopped

	// within is how much slower than the fastest a row may be and still be chosen
	// for its rank: a trial does not tell such rows apart, and a choice by chance
	// would make nightly series jump.
	within = 0.05
)

const whyFastest = "the fastest of a short trial on one thread, or the first in rank within 5 % of it"

// choose checks every supported row of a table against known answers, times
// those that pass, best of alternated passes, and chooses the first in rank of those
// about as fast as the fastest, or of all where rank decides, or the row named by
// force. A row is preferred to those of better rank only if it wins twice. It fails with
// [bench.ErrUsage] if force is unknown or not supported by the device, and if no
// row gives right answers.
func choose(ctx context.Context, t kernels.Trial, force string) (results.Kernel, error) {
	k := results.Kernel{Name: t.Kernel}
	if force != "" {
		if err := t.Find(force); err != nil {
			return k, fmt.Errorf("%w: %w", bench.ErrUsage, err)
		}
	}
	for _, r := range t.Rows {
		im := results.Impl{Name: r.Name, Needs: append([]string{}, r.Needs...), Supported: r.Supported,
			Rate: results.Absent(), Peak: results.Absent(), Unit: results.Unit(t.Unit).Per(results.Second)}
		if r.Supported {
			im.Check = "ok"
			if err := r.Check(); err != nil {
				im.Check, im.Supported = err.Error(), !errors.Is(err, foreign.ErrAbsent)
			} else {
				im.Library = r.Library()
			}
		}
		k.Impls = append(k.Impls, im)
	}
	slow := make([]bool, len(t.Rows)) // so long was a pass that it is enough
	race := func(passes int, among func(i int) bool) error {
		for range passes {
			for i, r := range t.Rows {
				im := &k.Impls[i]
				if im.Check != "ok" || slow[i] || !among(i) {
					continue
				}
				if err := ctx.Err(); err != nil {
					return err
				}
				began := time.Now()
				im.Rate = faster(im.Rate, r.Work)
				if r.Peak != nil {
					im.Peak = faster(im.Peak, r.Peak)
				}
				slow[i] = t.Processor && time.Since(began) > long
			}
		}
		return nil
	}
	if err := race(passes, func(int) bool { return true }); err != nil {
		return k, err
	}
	right := slices.DeleteFunc(slices.Clone(k.Impls), func(im results.Impl) bool { return im.Check != "ok" })
	switch {
	case force != "":
		k.Chosen, k.Why = force, "asked for"
		if im := k.Impls[slices.IndexFunc(k.Impls, func(im results.Impl) bool { return im.Name == force })]; !im.Supported {
			return k, fmt.Errorf("%w: %s=%s does not run on this device: %s", bench.ErrUsage, t.Kernel, force, im.Check)
		} else if im.Check != "ok" {
			return k, fmt.Errorf("%s=%s gives wrong answers on this device: %s", t.Kernel, force, im.Check)
		}
	case len(right) == 0:
		return k, fmt.Errorf("kernel %s: no implementation gives right answers on this device", t.Kernel)
	case t.ByRank != "":
		k.Chosen, k.Why = right[0].Name, t.ByRank
	case len(t.Rows) == 1:
		k.Chosen, k.Why = right[0].Name, "the only one for this device"
	default:
		first := slices.IndexFunc(k.Impls, func(im results.Impl) bool { return im.Check == "ok" })
		pick := chosen(k.Impls)
		if pick != first { // unless those before it were disturbed all the time
			among := func(i int) bool { return first <= i && i <= pick && !slow[i] }
			for i := range k.Impls {
				if among(i) {
					k.Impls[i].Rate = results.Absent()
				}
			}
			if err := race(again, among); err != nil {
				return k, err
			}
			pick = chosen(k.Impls)
		}
		k.Chosen, k.Why = k.Impls[pick].Name, whyFastest
	}
	return k, nil
}

// chosen is the first in rank of the rows that are about as fast as the fastest.
func chosen(impls []results.Impl) int {
	fastest := results.Float(0)
	for _, im := range impls {
		if im.Rate > fastest { // false of a row that was not timed
			fastest = im.Rate
		}
	}
	return slices.IndexFunc(impls, func(im results.Impl) bool { return im.Rate >= (1-within)*fastest })
}

// faster returns the rate of work in the best stretch of a pass, or the best so far if
// that was higher: preemption only ever slows a stretch.
func faster(best results.Float, work func() float64) results.Float {
	for began := time.Now(); time.Since(began) < pass; {
		done, from := 0.0, time.Now()
		for time.Since(from) < stretch {
			done += work()
		}
		if rate := results.Float(done / time.Since(from).Seconds()); !(rate <= best) {
			best = rate
		}
	}
	return best
}
