package harness

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/perwatt/perwatt/kernels/device"
	"github.com/perwatt/perwatt/results"
)

// Scenario is a list of uses that run at the same time, each with a role.
type Scenario struct {
	Name  string
	Parts []Part
}

// Part is one use in a scenario.
type Part struct {
	Use    string
	Role   results.Role
	Model  string      // model to train; "" for uses without models
	Device device.Info // on which it runs
}

// maxParts is the most parts of a scenario.
const maxParts = 2

// definitions returns the scenarios before training is split by model: idle, each use
// alone, and the mullet (co-run: training in the foreground, mining in the background).
func definitions(uses []string) []Scenario {
	out := []Scenario{{Name: "idle"}}
	for _, u := range uses {
		out = append(out, Scenario{Name: u, Parts: []Part{{Use: u, Role: results.Alone}}})
	}
	return append(out, Scenario{Name: "mullet", Parts: []Part{{Use: "training", Role: results.Foreground}, {Use: "mining", Role: results.Background}}})
}

// Scenarios returns the scenarios of the given names, or all if there are no names:
// idle, each use alone in the order of uses, and the mullet. A name is SCENARIO, which
// runs on the first device, or SCENARIO@DEVICE. There must be at least one device. Idle
// is always included, since every net figure needs it. Training is one scenario for
// each model, such as training-mlp; the mullet trains the first model.
func Scenarios(uses, names, models []string, devices []device.Info) ([]Scenario, error) {
	if len(models) == 0 {
		return nil, errors.New("no model to train")
	}
	var known, ids []string
	all := definitions(uses)
	for _, s := range all {
		known = append(known, s.Name)
	}
	for _, d := range devices {
		ids = append(ids, d.ID)
	}
	if len(names) == 0 {
		names = known
	}
	where := map[string][]device.Info{"idle": devices[:1]}
	for _, n := range names {
		use, id, placed := strings.Cut(n, "@")
		at := 0
		if placed {
			at = slices.Index(ids, id)
		}
		switch {
		case !slices.Contains(known, use):
			return nil, fmt.Errorf("unknown use %q: known are %s", use, strings.Join(known, ", "))
		case placed && use == "idle":
			return nil, fmt.Errorf("%q: idle is a state of the whole machine, not of one device", n)
		case at < 0:
			return nil, fmt.Errorf("%q: the session has no device %q: it has %s", n, id, strings.Join(ids, ", "))
		case !slices.ContainsFunc(where[use], func(d device.Info) bool { return d.ID == ids[at] }):
			where[use] = append(where[use], devices[at])
		}
	}
	var out []Scenario
	for _, s := range all {
		for _, d := range where[s.Name] {
			suffix := ""
			if d.ID != ids[0] {
				suffix = "@" + d.ID
			}
			if s.Name != "training" {
				out = append(out, s.on(d, models[0], suffix))
				continue
			}
			for _, m := range models {
				out = append(out, s.on(d, m, "-"+m+suffix))
			}
		}
	}
	return out, nil
}

// on returns s on a device, training the model.
func (s Scenario) on(d device.Info, model, suffix string) Scenario {
	s.Name += suffix
	s.Parts = slices.Clone(s.Parts)
	for i := range s.Parts {
		s.Parts[i].Device = d
		if s.Parts[i].Use == "training" {
			s.Parts[i].Model = model
		}
	}
	return s
}
