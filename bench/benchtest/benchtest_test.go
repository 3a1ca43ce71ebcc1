package benchtest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/bench"
	"github.com/perwatt/perwatt/kernels/device/cpu"
	"github.com/perwatt/perwatt/results"
)

// fake is a workload that sleeps for a millisecond a count. Apart from its
// fault it keeps the contract.
type fake struct {
	cfg   bench.Config
	info  bench.Info
	fault string
	runs  int
	after chan struct{} // closed when the test is over, for what outlives a run
	shut  bool
}

// opens returns the constructor of fakes with this fault.
func opens(fault string, after chan struct{}) opener {
	usage := bench.ErrUsage
	if fault == "refuses with another error" {
		usage = errors.New("no")
	}
	return func(cfg bench.Config) (bench.Workload, error) {
		if cfg.Impl == "" {
			cfg.Impl = "only"
		}
		size := "8"
		for key, value := range cfg.Params {
			switch {
			case key != "size" && fault == "silent about what is known":
				return nil, usage
			case key != "size" && fault != "accepts any option":
				return nil, fmt.Errorf("%w: unknown option %q: known is size", usage, key)
			case key == "size" && value != "8" && value != "9" && fault != "accepts any value":
				return nil, fmt.Errorf("%w: size=%q: use 8 or 9", usage, value)
			case key == "size" && fault != "ignores options":
				size = value
			}
		}
		if cfg.Impl != "only" && fault != "accepts any implementation" {
			return nil, fmt.Errorf("%w: no implementation %q: known is only", usage, cfg.Impl)
		}
		on, err := cpu.Of(cfg.Device)
		switch {
		case threads(cfg) < 0 && fault == "accepts any number of threads", cfg.Device == elsewhere{} && fault == "accepts any device":
		case err != nil:
			return nil, fmt.Errorf("%w: %w", usage, err)
		}
		f := &fake{cfg: cfg, fault: fault, after: after, info: bench.Info{
			Name: "fake", Use: "testing", Device: cpu.ID, Impl: "only", Unit: results.Step, Threads: on.Threads, Seed: cfg.Seed,
			FlopPerCount: 64, Formula: "size²", Params: map[string]string{"size": size},
		}}
		switch fault {
		case "no unit":
			f.info.Unit = ""
		case "another device":
			f.info.Device = "cuda:0"
		case "ignores threads":
			f.info.Threads = 1
		case "ignores the seed":
			f.info.Seed = 0
		case "flop without a formula":
			f.info.Formula = ""
		case "formula without flop":
			f.info.FlopPerCount = 0
		case "different each time":
			f.info.Params["opened"] = fmt.Sprintf("%p", f)
		}
		return f, nil
	}
}

func (f *fake) Info() bench.Info {
	info := f.info
	if f.fault != "shares its params" {
		info.Params = map[string]string{}
		for key, value := range f.info.Params {
			info.Params[key] = value
		}
	}
	return info
}

func (f *fake) Prepare(context.Context) error {
	if f.fault == "changes in Prepare" {
		f.info.Formula = "size³"
	}
	if f.fault == "cannot be prepared" {
		return errors.New("no memory")
	}
	return nil
}

func (f *fake) Run(ctx context.Context, done *bench.Counter) error {
	f.runs++
	switch f.fault {
	case "returns at once":
		return nil
	case "runs once only":
		if f.runs > 1 {
			return nil
		}
	case "does not count":
		<-ctx.Done()
		return nil
	case "leaves a goroutine":
		go func() { <-f.after }()
	}
	for ctx.Err() == nil {
		time.Sleep(time.Millisecond)
		done.Add(1)
	}
	switch f.fault {
	case "returns the context's error":
		return ctx.Err()
	case "returns an error if stopped before it began":
		if f.runs == 3 {
			return ctx.Err()
		}
	case "does not stop":
		<-f.after
	case "counts after it returned":
		go func() {
			time.Sleep(time.Millisecond)
			done.Add(1)
		}()
	}
	return nil
}

func (f *fake) Check() []results.Check {
	check := results.Check{Use: "testing", Name: "sum", OK: f.fault != "was wrong"}
	switch f.fault {
	case "checks nothing":
		return nil
	case "checks of another use":
		check.Use = "fake"
	case "checks without names":
		check.Name = ""
	case "checks of one name":
		return []results.Check{check, check}
	}
	return []results.Check{check}
}

func (f *fake) Close() error {
	if f.shut && f.fault == "closes once only" {
		return errors.New("closed already")
	}
	f.shut = true
	return nil
}

// faults are the ways to break each clause, and what is said of them.
var faults = map[string]map[string]string{
	"info": {
		"no unit":                "leaves out",
		"another device":         `info.Device is "cuda:0", want "cpu"`,
		"ignores threads":        "info.Threads is 1, want 2",
		"ignores the seed":       "info.Seed is 0, want 5",
		"ignores options":        `"8", want "9"`,
		"flop without a formula": "one needs the other",
		"formula without flop":   "one needs the other",
		"different each time":    "opened twice alike",
		"shares its params":      "info shares its Params",
		"changes in Prepare":     "info changed in Prepare",
		"cannot be prepared":     "no memory",
	},
	"refusals": {
		"refuses with another error":    "does not wrap bench.ErrUsage",
		"silent about what is known":    `names none of ["size"]`,
		"accepts any option":            "an unknown option was accepted",
		"accepts any value":             "a nonsensical value of size was accepted",
		"accepts any implementation":    "an unknown implementation was accepted",
		"accepts any device":            "a device of another kind was accepted",
		"accepts any number of threads": "a negative number of threads was accepted",
	},
	"runs": {
		"cannot be prepared":                          "no memory",
		"returns at once":                             "first run: returned <nil> before its context ended",
		"runs once only":                              "second run: returned <nil> before its context ended",
		"does not count":                              "counted nothing",
		"returns the context's error":                 "context canceled",
		"returns an error if stopped before it began": "context that had ended",
		"does not stop":                               "still running",
		"counts after it returned":                    "1 more after it had returned",
		"was wrong":                                   "not OK",
		"checks nothing":                              "nothing was checked",
		"checks of another use":                       `use "fake", want "testing"`,
		"checks without names":                        `"" has no name of its own`,
		"checks of one name":                          `"sum" has no name of its own`,
	},
	"close": {
		"cannot be prepared": "no memory",
		"returns at once":    "before its context ended",
		"leaves a goroutine": "1 goroutines were left running",
		"closes once only":   "closed already",
	},
}

// The suite must pass what keeps the contract and say how anything else breaks
// it. Time is the test's own, so that a hang is found at once.
func TestSuite(t *testing.T) {
	cfg := bench.Config{Device: cpu.Device{Threads: 2}, Seed: 5, Params: map[string]string{"size": "9"}}
	check := func(t *testing.T, clause func(opener, bench.Config) error, fault string) (err error) {
		synctest.Test(t, func(*testing.T) {
			after := make(chan struct{})
			defer close(after)
			err = clause(opens(fault, after), cfg)
		})
		return err
	}
	for _, clause := range suite {
		require.NotEmpty(t, faults[clause.name], "clause %s is not tested", clause.name)
		t.Run(clause.name, func(t *testing.T) {
			require.NoError(t, check(t, clause.check, ""))
			for fault, want := range faults[clause.name] {
				require.ErrorContains(t, check(t, clause.check, fault), want, fault)
			}
		})
	}
}

func TestTestWorkload(t *testing.T) {
	TestWorkload(t, opens("", nil))
	TestWorkload(t, opens("", nil), bench.Config{Impl: "only"}, bench.Config{Device: cpu.Device{Threads: 3}})
}
