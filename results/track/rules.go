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

// Rules say what fails the gate and what is not followed. They live in a file
// of the user's own repository, where they are reviewed like code:
//
//	least = 0.01               # a smaller regression is told and fails nothing
//
//	[[limit]]                  # the first that matches counts
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

// Rule matches series by patterns of [path.Match]; an empty one matches any.
type Rule struct {
	Group    string  `toml:"group"`
	Node     string  `toml:"node"`
	Scenario string  `toml:"scenario"`
	Use      string  `toml:"use"`
	Workload string  `toml:"workload"`
	Impl     string  `toml:"impl"`
	Threads  int     `toml:"threads"` // 0 for any
	Metric   string  `toml:"metric"`
	Least    float64 `toml:"least"`
	Reason   string  `toml:"reason"` // of an ignored one
}

const maxRules = 1 << 20 // bytes of a file

// ReadRules reads a file of rules. What it does not know is an error that
// names the place.
func ReadRules(r io.Reader) (*Rules, error) {
	raw, err := io.ReadAll(io.LimitReader(r, maxRules+1))
	if err != nil {
		return nil, err
	}
	if len(raw) > maxRules {
		return nil, fmt.Errorf("larger than %d kB: this is no file of rules", maxRules>>10)
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
		return nil, fmt.Errorf("%.80q is not known: a file of rules has least, [[limit]] and [[ignore]]", unknown[0].String())
	}
	if !(rules.Least >= 0 && rules.Least < 1) {
		return nil, fmt.Errorf("least = %v: a relative difference from 0 to 1, such as 0.01", rules.Least)
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

func (r *Rule) patterns() [7]string {
	return [7]string{r.Group, r.Node, r.Scenario, r.Use, r.Workload, r.Impl, r.Metric}
}

func (r *Rule) check(kind string) error {
	some := r.Threads > 0
	for _, p := range r.patterns() {
		if _, err := path.Match(p, ""); err != nil {
			return fmt.Errorf("%.80q is no pattern: %w", p, err)
		}
		some = some || p != ""
	}
	switch {
	case r.Threads < 0:
		return fmt.Errorf("threads = %d: a number of threads, such as 4", r.Threads)
	case !some:
		return errors.New("it names nothing: say which group, node, scenario, use, workload, impl, threads or metric")
	case kind == "ignore" && strings.TrimSpace(r.Reason) == "":
		return errors.New("say why, as reason = \"…\"")
	case kind == "limit" && !(r.Least >= 0 && r.Least < 1):
		return fmt.Errorf("least = %v: a relative difference from 0 to 1, such as 0.01", r.Least)
	}
	return nil
}

func (r *Rule) matches(k store.Key) bool {
	if r.Threads > 0 && r.Threads != k.Threads {
		return false
	}
	for i, p := range r.patterns() {
		if ok, _ := path.Match(p, names(k)[i]); p != "" && !ok {
			return false
		}
	}
	return true
}

// Ignored says why a series is not followed; ok is false if it is.
func (r *Rules) Ignored(k store.Key) (reason string, ok bool) {
	for i := range r.Ignore {
		if r.Ignore[i].matches(k) {
			return r.Ignore[i].Reason, true
		}
	}
	return "", false
}

// least is the relative change that fails the gate for a series.
func (r *Rules) least(k store.Key) float64 {
	for i := range r.Limit {
		if r.Limit[i].matches(k) {
			return r.Limit[i].Least
		}
	}
	return r.Least
}

// counts reports whether a level that became so many times as high is worse by
// as much as fails the gate.
func (r *Rules) counts(k store.Key, better Direction, size float64) bool {
	return better.worse(size) && math.Abs(size-1) >= r.least(k)
}
