// Package benchtest is the conformance suite of [bench.Workload].
//
// It tests what the harness relies on: a workload describes itself, refuses unknown
// options, has a counter that can be read while it runs, stops when its context ends,
// can go on, and leaves nothing behind. Correct answers are a matter of the workload's
// own Check and tests; speed is not tested at all.
package benchtest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/perwatt/perwatt/bench"
	"github.com/perwatt/perwatt/kernels/device"
	"github.com/perwatt/perwatt/kernels/device/cpu"
)

const (
	watch  = 100 * time.Millisecond // least time for which a run is watched
	settle = 5 * time.Second        // for goroutines to be gone after Close
	bound  = time.Minute            // for everything that must end; generous, since only a hang should reach it
)

// opener is a workload's constructor.
type opener = func(bench.Config) (bench.Workload, error)

// suite is the contract, one clause per row. A clause returns the violation as an
// error, so that the suite itself can be tested.
var suite = []struct {
	name  string
	check func(opener, bench.Config) error
}{
	{"info", info},
	{"refusals", refusals},
	{"runs", runs},
	{"close", closing},
}

// TestWorkload runs the suite on the workload that open constructs, once for
// each of configs; with none, for the zero Config. Configurations should make
// a count small and Prepare quick: a run is watched for 100 ms or until the
// first count, whichever is later.
func TestWorkload(t *testing.T, open func(bench.Config) (bench.Workload, error), configs ...bench.Config) {
	t.Helper()
	if len(configs) == 0 {
		configs = []bench.Config{{}}
	}
	for _, cfg := range configs {
		for _, clause := range suite {
			t.Run(fmt.Sprintf("%s/impl=%s,threads=%d", clause.name, cfg.Impl, threads(cfg)), func(t *testing.T) {
				if err := clause.check(open, cfg); err != nil {
					t.Errorf("with %+v: %v", cfg, err)
				}
			})
		}
	}
}

// threads is how many threads a configuration asks for; 0 for the default.
func threads(cfg bench.Config) int {
	on, _ := cfg.Device.(cpu.Device)
	return on.Threads
}

// elsewhere is a device for which no workload has an implementation.
type elsewhere struct{}

func (elsewhere) Info() device.Info { return device.Info{ID: "abacus:0", Kind: "abacus"} }

// info checks that the description is complete, constant, and a function of the
// configuration.
func info(open opener, cfg bench.Config) error {
	w, err := open(cfg)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer w.Close()
	first := w.Info()
	switch {
	case first.Name == "" || first.Use == "" || first.Device == "" || first.Impl == "" || first.Unit == "":
		return fmt.Errorf("info leaves out name, use, device, implementation or unit: %+v", first)
	case cfg.Device != nil && first.Device != cfg.Device.Info().ID:
		return fmt.Errorf("info.Device is %q, want %q as configured", first.Device, cfg.Device.Info().ID)
	case cfg.Impl != "" && first.Impl != cfg.Impl:
		return fmt.Errorf("info.Impl is %q, want %q as configured", first.Impl, cfg.Impl)
	case first.Threads != max(threads(cfg), 1):
		return fmt.Errorf("info.Threads is %d, want %d", first.Threads, max(threads(cfg), 1))
	case first.Seed != cfg.Seed:
		return fmt.Errorf("info.Seed is %d, want %d as configured", first.Seed, cfg.Seed)
	case !(first.FlopPerCount >= 0) || math.IsInf(first.FlopPerCount, 0):
		return fmt.Errorf("info.FlopPerCount is %v, want a finite figure, or 0 for none", first.FlopPerCount)
	case (first.FlopPerCount > 0) != (first.Formula != ""):
		return fmt.Errorf("info.FlopPerCount is %v with formula %q: one needs the other", first.FlopPerCount, first.Formula)
	}
	for key, value := range cfg.Params {
		if first.Params[key] != value {
			return fmt.Errorf("info.Params[%q] is %q, want %q as configured", key, first.Params[key], value)
		}
	}

	if m := w.Info().Params; m != nil {
		const key = "written by benchtest"
		m[key] = "1"
		if _, shared := w.Info().Params[key]; shared {
			return errors.New("info shares its Params with its caller")
		}
	}
	if err := w.Prepare(context.Background()); err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	if got := w.Info(); !reflect.DeepEqual(got, first) {
		return fmt.Errorf("info changed in Prepare: %+v, was %+v", got, first)
	}

	cfg.Impl = first.Impl // naming the default must not change anything
	again, err := open(cfg)
	if err != nil {
		return fmt.Errorf("open with Info's own implementation %q: %w", cfg.Impl, err)
	}
	defer again.Close()
	if got := again.Info(); !reflect.DeepEqual(got, first) {
		return fmt.Errorf("opened twice alike, Info is %+v and %+v", first, got)
	}
	return nil
}

// refusals checks that open refuses unknown values, with an error that names the known
// ones.
func refusals(open opener, cfg bench.Config) error {
	w, err := open(cfg)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	known := w.Info()
	if err := w.Close(); err != nil {
		return fmt.Errorf("close before Prepare: %w", err)
	}

	refused := func(what string, bad bench.Config, mention ...string) error {
		w, err := open(bad)
		if err == nil {
			w.Close() // #nosec G104 -- it ought not to have been opened, which is the error
			return fmt.Errorf("%s was accepted", what)
		}
		if !errors.Is(err, bench.ErrUsage) {
			return fmt.Errorf("the error about %s does not wrap bench.ErrUsage: %w", what, err)
		}
		for _, m := range mention {
			if strings.Contains(err.Error(), m) {
				return nil
			}
		}
		if len(mention) > 0 {
			return fmt.Errorf("the error about %s names none of %q: %w", what, mention, err)
		}
		return nil
	}
	with := func(key, value string) bench.Config {
		c := cfg
		c.Params = map[string]string{key: value}
		for k, v := range cfg.Params {
			if k != key {
				c.Params[k] = v
			}
		}
		return c
	}

	impl, threads, on := cfg, cfg, cfg
	impl.Impl, threads.Device, on.Device = "no-such-implementation", cpu.Device{Threads: -1}, elsewhere{}
	var keys []string
	for key := range known.Params {
		keys = append(keys, key)
	}
	errs := []error{
		refused("an unknown implementation", impl, known.Impl),
		refused("a negative number of threads", threads),
		refused("a device of another kind", on, "abacus:0"),
		refused("an unknown option", with("no-such-option", "1"), keys...),
	}
	for _, key := range keys {
		errs = append(errs, refused("a nonsensical value of "+key, with(key, "no such value"), key))
	}
	return errors.Join(errs...)
}

// runs checks that Run counts while it runs, stops when its context ends, goes on where
// it stopped, and gave right answers.
func runs(open opener, cfg bench.Config) error {
	w, err := open(cfg)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer w.Close()
	if err := w.Prepare(context.Background()); err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	done := bench.NewCounter()
	for _, which := range []string{"first", "second"} {
		if err := watched(w, done); err != nil {
			return fmt.Errorf("%s run: %w", which, err)
		}
	}

	ended, cancel := context.WithDeadline(context.Background(), time.Now())
	defer cancel()
	if err := w.Run(ended, done); err != nil {
		return fmt.Errorf("run with a context that had ended: %w", err)
	}

	checks := w.Check()
	if len(checks) == 0 {
		return errors.New("nothing was checked")
	}
	seen := map[string]bool{}
	for _, c := range checks {
		switch {
		case !c.OK:
			return fmt.Errorf("check %s is not OK after good runs: %s", c.Name, c.Detail)
		case c.Name == "" || seen[c.Name]:
			return fmt.Errorf("check %q has no name of its own", c.Name)
		case c.Use != w.Info().Use:
			return fmt.Errorf("check %s belongs to use %q, want %q", c.Name, c.Use, w.Info().Use)
		}
		seen[c.Name] = true
	}
	return nil
}

// watched runs w until it has counted, reads its counter meanwhile as the
// harness does, and stops it.
func watched(w bench.Workload, done *bench.Counter) error {
	before, at, _ := done.Load()
	count, start := before, bench.Monotonic()
	look := func() error {
		c, a, ok := done.Load()
		now := bench.Monotonic()
		switch {
		case !ok: // the writer was preempted during an update: the next look tells
		case c < count || a < at && count > 0: // before the first count the time means nothing
			return fmt.Errorf("the counter went back from %d at %d ns to %d at %d ns", count, at, c, a)
		case c > before && (a < start || a > now):
			return fmt.Errorf("work counted at %d ns, outside the run that began at %d ns and the present %d ns", a, start, now)
		default:
			count, at = c, a
		}
		return nil
	}

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	returned := make(chan error, 1)
	go func() { returned <- w.Run(ctx, done) }()
	limit := time.NewTimer(bound)
	defer limit.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	var broken error
	for broken == nil && (count == before || bench.Monotonic()-start < int64(watch)) {
		select {
		case err := <-returned:
			return fmt.Errorf("returned %v before its context ended", err)
		case <-limit.C:
			broken = fmt.Errorf("counted nothing in %v", bound)
		case <-tick.C:
			broken = look()
		}
	}

	cancel()
	limit.Reset(bound)
	select {
	case err := <-returned:
		if err != nil {
			return fmt.Errorf("returned an error though its context had ended: %w", err)
		}
	case <-limit.C:
		return fmt.Errorf("still running %v after its context ended", bound)
	}
	if broken == nil {
		broken = look()
	}
	last := count
	time.Sleep(watch / 4) // time for a goroutine that was left behind to count on
	if now, _, _ := done.Load(); broken == nil && now != last {
		return fmt.Errorf("counted %d more after it had returned", now-last)
	}
	return broken
}

// closings numbers the calls of closing.
var closings atomic.Uint64

// closing checks that Close ends everything and may be repeated.
func closing(open opener, cfg bench.Config) (err error) {
	// All goroutines of the workload inherit the label, and no others have it.
	call := strconv.FormatUint(closings.Add(1), 10)
	pprof.Do(context.Background(), pprof.Labels("benchtest", call), func(ctx context.Context) {
		err = closed(ctx, open, cfg)
	})
	for limit := time.Now().Add(settle); err == nil; time.Sleep(time.Millisecond) {
		left, stacks := labelled(fmt.Sprintf(`"benchtest":%q`, call))
		switch {
		case left == 0:
			return nil
		case time.Now().After(limit):
			return fmt.Errorf("%d goroutines were left running:\n%s", left, stacks)
		}
	}
	return err
}

// closed opens, prepares, runs and closes a workload, which must then have nothing
// left.
func closed(ctx context.Context, open opener, cfg bench.Config) error {
	w, err := open(cfg)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	if err := w.Prepare(ctx); err != nil {
		return errors.Join(fmt.Errorf("prepare: %w", err), w.Close())
	}
	if err := watched(w, bench.NewCounter()); err != nil {
		return errors.Join(fmt.Errorf("run: %w", err), w.Close())
	}
	for range 2 {
		if err := w.Close(); err != nil {
			return fmt.Errorf("close: %w", err)
		}
	}
	return nil
}

// labelled counts the goroutines with a pprof label and returns their stacks. The
// profile has a paragraph for each stack: "N @ addresses", the labels, the functions.
func labelled(label string) (n int, stacks string) {
	var profile strings.Builder
	_ = pprof.Lookup("goroutine").WriteTo(&profile, 1) // a Builder takes everything
	_, paragraphs, _ := strings.Cut(profile.String(), "\n")
	for paragraph := range strings.SplitSeq(paragraphs, "\n\n") {
		if !strings.Contains(paragraph, label) {
			continue
		}
		count, _, _ := strings.Cut(paragraph, " @ ")
		alike, err := strconv.Atoi(count)
		if err != nil {
			alike = 1 // the format has changed; it is still at least one
		}
		n, stacks = n+alike, stacks+paragraph+"\n\n"
	}
	return n, stacks
}
