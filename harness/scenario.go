package harness

import (
	"fmt"
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
	Use  string
	Role results.Role
}

var scenarios = []Scenario{
	{Name: "idle"},
	{Name: "mining", Parts: []Part{{"mining", results.Alone}}},
	{Name: "training", Parts: []Part{{"training", results.Alone}}},
	{Name: "compute", Parts: []Part{{"compute", results.Alone}}},
	{Name: "mullet", Parts: []Part{{"training", results.Foreground}, {"mining", results.Background}}},
}

// Scenarios returns the scenarios of that names, in the order of the
// definitions; "idle" is always among them, since every net figure needs it.
// No names means all.
func Scenarios(names []string) ([]Scenario, error) {
	var known []string
	wanted := map[string]bool{"idle": true}
	for _, s := range scenarios {
		known = append(known, s.Name)
		if len(names) == 0 {
			wanted[s.Name] = true
		}
	}
	for _, n := range names {
		ok := false
		for _, k := range known {
			ok = ok || k == n
		}
		if !ok {
			return nil, fmt.Errorf("unknown use %q: known are %s", n, strings.Join(known, ", "))
		}
		wanted[n] = true
	}
	var out []Scenario
	for _, s := range scenarios {
		if wanted[s.Name] {
			out = append(out, s)
		}
	}
	return out, nil
}
