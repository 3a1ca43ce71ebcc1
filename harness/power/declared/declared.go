// Package declared is the meter for a figure that somebody states: a plug
// with a display, a data sheet of a supply, a hosting contract. It reads
// nothing, so what it gives is graded E and never ranked.
package declared

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/perwatt/perwatt/harness/power"
	"github.com/perwatt/perwatt/results"
)

// Most is the largest figure taken for a node, in W.
const Most = 1e7

type meter struct {
	info  power.Info
	watts float64
	done  bool
}

// Open returns a meter that always gives the declared figure. The text is
// WATTS[,boundary=B]: watts above 0 and up to [Most], in decimal; the boundary
// wall unless given, and one that covers the CPU packages at least.
func Open(text string) (power.Meter, error) {
	watts, boundary, err := parse(text)
	if err != nil {
		return nil, fmt.Errorf("declared: %w", err)
	}
	return &meter{watts: watts, info: power.Info{
		Name: "declared", Source: text,
		Channels: []results.Channel{{
			Name: "declared", Unit: results.Watt, Kind: results.Gauge, Boundary: boundary, Total: boundary, Origin: results.Declared,
			Accuracy: results.Accuracy{Gain: results.Absent(), Resolution: results.Absent(), Source: "declared by the user"},
		}},
		Notes: []string{fmt.Sprintf("declared, not measured: %v W at the %s boundary whatever the node does", watts, boundary)},
	}}, nil
}

func parse(text string) (float64, results.Boundary, error) {
	figure, option, more := strings.Cut(text, ",")
	boundary := results.Wall
	if more {
		value, ok := strings.CutPrefix(option, "boundary=")
		if !ok {
			return 0, "", fmt.Errorf("option %.40q is not known; the one there is: boundary=B", option)
		}
		boundary = results.Boundary(value)
	}
	whole := slices.DeleteFunc(results.Boundaries(), func(b results.Boundary) bool { return b == results.Card || b == results.Memory })
	if !slices.Contains(whole, boundary) {
		return 0, "", fmt.Errorf("boundary %.40q is not one that covers the CPU packages; those are %v", string(boundary), whole)
	}
	// ParseFloat also takes hexadecimal, inf and nan.
	watts, err := strconv.ParseFloat(figure, 64)
	if err != nil || strings.Trim(figure, "0123456789.eE+-") != "" || !(watts > 0 && watts <= Most) {
		return 0, "", fmt.Errorf("%.40q is not a figure in watts above 0 and up to %.0f, such as 350 or 412.5", figure, float64(Most))
	}
	return watts, boundary, nil
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
