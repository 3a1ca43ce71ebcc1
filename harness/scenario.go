package harness

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/perwatt/perwatt/results"
)

// Scenario is a list of uses that run at the same time, each with a role.
type Scenario struct {
	Name  string
	Parts []Part
}

// Part is one use in a scenario.
type Part struct {
	Use   string
	Role  results.Role
	Model string // to train; "" for uses without models
}

// maxParts is the most parts of a scenario.
const maxParts = 2

// definitions are the scenarios before training is spread over its models. The
// control tells a change of the machine from one of the code.
var definitions = []Scenario{
	{Name: "idle"},
	{Name: "control", Parts: []Part{{Use: "control", Role: results.Alone}}},
	{Name: "mining", Parts: []Part{{Use: "mining", Role: results.Alone}}},
	{Name: "training", Parts: []Part{{Use: "training", Role: results.Alone}}},
	{Name: "compute", Parts: []Part{{Use: "compute", Role: results.Alone}}},
	{Name: "memory", Parts: []Part{{Use: "memory", Role: results.Alone}}},
	{Name: "mullet", Parts: []Part{{Use: "training", Role: results.Foreground}, {Use: "mining", Role: results.Background}}},
}

// Scenarios returns the scenarios of that names, in the order of the
// definitions; "idle" is always among them, since every net figure needs it.
// No names means all. Training is one scenario a model, such as training-mlp;
// the mullet trains the first model.
func Scenarios(names, models []string) ([]Scenario, error) {
	if len(models) == 0 {
		return nil, errors.New("no model to train")
	}
	var known []string
	for _, s := range definitions {
		known = append(known, s.Name)
	}
	for _, n := range names {
		if !slices.Contains(known, n) {
			return nil, fmt.Errorf("unknown use %q: known are %s", n, strings.Join(known, ", "))
		}
	}
	var out []Scenario
	for _, s := range definitions {
		if len(names) > 0 && s.Name != "idle" && !slices.Contains(names, s.Name) {
			continue
		}
		if s.Name != "training" {
			out = append(out, s.training(models[0]))
			continue
		}
		for _, m := range models {
			one := s.training(m)
			one.Name += "-" + m
			out = append(out, one)
		}
	}
	return out, nil
}

// training returns s with its training on model.
func (s Scenario) training(model string) Scenario {
	s.Parts = slices.Clone(s.Parts)
	for i := range s.Parts {
		if s.Parts[i].Use == "training" {
			s.Parts[i].Model = model
		}
	}
	return s
}
