package bench

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/perwatt/perwatt/results"
)

// Row is one implementation of a kernel, as a choice between implementations
// needs it.
type Row struct {
	Name      string
	Needs     []string // CPU features
	Supported bool
	Check     func() error   // known answers
	Work      func() float64 // a short stretch of work on one thread; returns its count
	Peak      func() float64 // the same of the instructions alone, on registers; nil if there is no such loop
}

// trial is how long each row is timed: long enough to tell a fast kernel from
// a slow one, short enough to do it at every start.
const trial = 20 * time.Millisecond

// Choose checks every supported row against known answers, times those that
// pass, best of alternated passes, and chooses the fastest, or, if ranked says
// why, the first of those that pass; force names another. It fails with [ErrUsage] if force is unknown or needs what this CPU
// lacks, and if no row gives right answers.
func Choose(ctx context.Context, kernel string, unit results.Unit, rows []Row, ranked, force string) (results.Kernel, error) {
	k := results.Kernel{Name: kernel, Why: "the fastest of a short trial on one thread"}
	var names []string
	for _, r := range rows {
		im := results.Impl{Name: r.Name, Needs: r.Needs, Supported: r.Supported, Rate: results.Absent(), Peak: results.Absent(), Unit: unit.Per(results.Second)}
		if r.Supported {
			im.Check = "ok"
			if err := r.Check(); err != nil {
				im.Check = err.Error()
			}
		}
		names = append(names, r.Name)
		k.Impls = append(k.Impls, im)
	}
	for range 3 {
		for i, r := range rows {
			if k.Impls[i].Check != "ok" {
				continue
			}
			if err := ctx.Err(); err != nil {
				return k, err
			}
			k.Impls[i].Rate = faster(k.Impls[i].Rate, r.Work)
			if r.Peak != nil {
				k.Impls[i].Peak = faster(k.Impls[i].Peak, r.Peak)
			}
		}
	}
	if force != "" {
		k.Chosen, k.Why = force, "asked for"
		i := slices.Index(names, force)
		switch {
		case i < 0:
			return k, fmt.Errorf("%w: kernel %s has no implementation %q: known are %s", ErrUsage, kernel, force, strings.Join(names, ", "))
		case !rows[i].Supported:
			return k, fmt.Errorf("%w: implementation %s=%s needs %s, which this CPU lacks", ErrUsage, kernel, force, strings.Join(rows[i].Needs, ", "))
		case k.Impls[i].Check != "ok":
			return k, fmt.Errorf("%s=%s gives wrong answers: %s", kernel, force, k.Impls[i].Check)
		}
		return k, nil
	}
	best := results.Float(0)
	if ranked != "" {
		k.Why = ranked
	}
	for _, im := range k.Impls {
		if im.Rate > best && (ranked == "" || k.Chosen == "") {
			best, k.Chosen = im.Rate, im.Name
		}
	}
	if k.Chosen == "" {
		return k, fmt.Errorf("kernel %s: no implementation gives right answers on this CPU", kernel)
	}
	return k, nil
}

// faster returns the rate of work over a pass of the trial, or the best so far
// if that was higher: preemption only ever slows a pass.
func faster(best results.Float, work func() float64) results.Float {
	done, began := 0.0, time.Now()
	for time.Since(began) < trial/3 || done == 0 {
		done += work()
	}
	if rate := results.Float(done / time.Since(began).Seconds()); !(rate <= best) {
		return rate
	}
	return best
}
