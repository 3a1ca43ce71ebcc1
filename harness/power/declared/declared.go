// Package declared is the meter for a stated power: from a plug with a display,
// the data sheet of a supply, or a hosting contract. It measures nothing, so its
// grade is E and it is never ranked.
package declared

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/perwatt/perwatt/harness/endpoint"
	"github.com/perwatt/perwatt/harness/power"
	"github.com/perwatt/perwatt/results"
)

// Most is the largest accepted power of a node, in W.
const Most = 1e7

type meter struct {
	info  power.Info
	watts float64
	done  bool
}

// Options are the options of its specification.
var Options = []endpoint.Option{
	{Key: "boundary", Help: "what draws the watts: wall, psu, node, board or package (wall)"},
	{Key: "name", Help: "its name in the record (declared)"},
}

// Open returns a meter that always returns the target of the specification: a
// decimal number of watts above 0 and up to [Most]. The boundary is the wall
// unless given, and must include at least the CPU packages.
func Open(s power.Spec) (power.Meter, error) {
	boundary := results.Boundary(s.Get("boundary", string(results.Wall)))
	whole := []results.Boundary{results.Wall, results.PSU, results.Chassis, results.Board, results.Package}
	if !slices.Contains(whole, boundary) {
		return nil, fmt.Errorf("declared: %w: boundary %.40q is not one that covers the CPU packages; those are %v", endpoint.ErrSpec, string(boundary), whole)
	}
	watts, err := endpoint.Decimal(s.Target)
	if err != nil || !(watts > 0 && watts <= Most) {
		return nil, fmt.Errorf("declared: %w: %.40q is not a figure in watts above 0 and up to %.0f, such as 350 or 412.5", endpoint.ErrSpec, s.Target, float64(Most))
	}
	return &meter{watts: watts, info: power.Info{
		Name: "declared", Source: s.Target,
		Channels: []results.Channel{{
			Name: "declared", Unit: results.Watt, Kind: results.Gauge, Boundary: boundary, Total: boundary, Origin: results.Declared,
			Accuracy: results.Accuracy{Gain: results.Absent(), Resolution: results.Absent(), Source: "declared by the user"},
		}},
		Notes: []string{fmt.Sprintf("declared, not measured: %v W at the %s boundary whatever the node does", watts, boundary)},
	}}, nil
}

func (m *meter) Info() power.Info { return m.info }

func (m *meter) Read(ctx context.Context) ([]power.Reading, error) {
	if m.done {
		return nil, fmt.Errorf("declared: read: %w", os.ErrClosed)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return []power.Reading{{At: time.Now(), Value: m.watts}}, nil
}

func (m *meter) Close() error {
	m.done = true
	return nil
}
