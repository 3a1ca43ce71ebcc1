package track

import (
	"errors"
	"fmt"
	"io"
	"math"
	"path"
	"strings"

	"github.com/BurntSushi/toml"
	"github.com/perwatt/perwatt/results/store"
)

// Rules set what fails the gate and which series are ignored. They are a file in
// the user's repository, reviewed like code:
//
//	least = 0.01               # a smaller regression is reported but does not fail
//
//	[[limit]]                  # the first match applies
//	use = "mining"
//	metric = "throughput"
//	least = 0.005
//
//	[[ignore]]
//	scenario = "training-*"
//	metric = "power"
//	reason = "the meter is shared with a printer until May"
type Rules struct {
	Least  float64 `toml:"least"` // relative, 0 to 1
	Limit  []Rule  `toml:"limit"`
	Ignore []Rule  `toml:"ignore"`
}

// Rule matches series by patterns of [path.Match]; an empty pattern matches all.
type Rule struct {
	Group    string  `toml:"group"`
	Node     string  `toml:"node"`
	Scenario string  `toml:"scenario"`
	Use      string  `toml:"use"`
	Device   string  `toml:"device"` // cpu, miner, or kind and model: "gpu NVIDIA H200"
	Workload string  `toml:"workload"`
	Impl     string  `toml:"impl"`
	Threads  int     `toml:"threads"` // 0 for any
	Metric   string  `toml:"metric"`
	Least    float64 `toml:"least"`
	Reason   string  `toml:"reason"` // required in [[ignore]]
}

const maxRules = 1 << 20 // bytes of a file

// ReadRules reads a rules file. An unknown key is an error that names it.
func ReadRules(r io.Reader) (*Rules, error) {
	raw, err := io.ReadAll(io.LimitReader(r, maxRules+1))
	if err != nil {
		return nil, err
	}
	if len(raw) > maxRules {
		return nil, fmt.Errorf("larger than %d kB: not a rules file", maxRules>>10)
	}
	var rules Rules
	meta, err := toml.Decode(string(raw), &rules)
	if err != nil {
		var at toml.ParseError
		if errors.As(err, &at) {
			return nil, fmt.Errorf("line %d: %s", at.Position.Line, at.Message)
		}
		return nil, errors.New(strings.TrimPrefix(err.Error(), "toml: "))
	}
	if unknown := meta.Undecoded(); len(unknown) > 0 {
		return nil, fmt.Errorf("unknown key %.80q: a rules file has least, [[limit]] and [[ignore]]", unknown[0].String())
	}
	if !(rules.Least >= 0 && rules.Least < 1) {
		return nil, fmt.Errorf("least = %v: must be a relative difference from 0 to 1, such as 0.01", rules.Least)
	}
	for kind, list := range map[string][]Rule{"limit": rules.Limit, "ignore": rules.Ignore} {
		for i, rule := range list {
			if err := rule.check(kind); err != nil {
				return nil, fmt.Errorf("[[%s]] number %d: %w", kind, i+1, err)
			}
		}
	}
	return &rules, nil
}

func (r *Rule) patterns() [8]string {
	return [8]string{r.Group, r.Node, r.Scenario, r.Use, r.Device, r.Workload, r.Impl, r.Metric}
}

func (r *Rule) check(kind string) error {
	some := r.Threads > 0
	for _, p := range r.patterns() {
		if _, err := path.Match(p, ""); err != nil {
			return fmt.Errorf("%.80q is not a pattern: %w", p, err)
		}
		some = some || p != ""
	}
	switch {
	case r.Threads < 0:
		return fmt.Errorf("threads = %d: must be a number of threads, such as 4", r.Threads)
	case !some:
		return errors.New("it matches nothing: set group, node, scenario, use, device, workload, impl, threads or metric")
	case kind == "ignore" && strings.TrimSpace(r.Reason) == "":
		return errors.New("give a reason = \"…\"")
	case kind == "limit" && !(r.Least >= 0 && r.Least < 1):
		return fmt.Errorf("least = %v: must be a relative difference from 0 to 1, such as 0.01", r.Least)
	}
	return nil
}

func (r *Rule) matches(k store.Key) bool {
	if r.Threads > 0 && r.Threads != k.Threads {
		return false
	}
	names := names(k)
	for i, p := range r.patterns() {
		if ok, _ := path.Match(p, names[i]); p != "" && !ok {
			return false
		}
	}
	return true
}

// Ignored returns the reason why a series is ignored; ok is false if it is not.
func (r *Rules) Ignored(k store.Key) (reason string, ok bool) {
	if r == nil {
		return "", false
	}
	for i := range r.Ignore {
		if r.Ignore[i].matches(k) {
			return r.Ignore[i].Reason, true
		}
	}
	return "", false
}

// least returns the relative change that fails the gate for a series.
func (r *Rules) least(k store.Key) float64 {
	if r == nil {
		return 0
	}
	for i := range r.Limit {
		if r.Limit[i].matches(k) {
			return r.Limit[i].Least
		}
	}
	return r.Least
}

// counts reports whether a level that changed by the factor size is worse by
// enough to fail the gate.
func (r *Rules) counts(k store.Key, better Direction, size float64) bool {
	return better.worse(size) && math.Abs(size-1) >= r.least(k)
}
