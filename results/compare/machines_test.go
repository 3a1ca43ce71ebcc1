package compare

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/resultstest"
)

// TestMachines: no machine is in two sessions at a time, and only one label
// names candidates.
func TestMachines(t *testing.T) {
	type session struct {
		hour  float64 // at which it begins; each takes an hour
		label string  // key=value
		edit  func(*results.Record)
	}
	plug := func(source string) func(*results.Record) {
		return func(r *results.Record) { r.Meters[0].Source = source }
	}
	card := func(id string) func(*results.Record) {
		return func(r *results.Record) {
			r.Node.Devices = []results.Device{r.Node.Devices[0], {ID: "gpu:0", Kind: results.KindGPU, Model: "H200", UUID: id}}
		}
	}
	model := func(name string) func(*results.Record) {
		return func(r *results.Record) { card("GPU-1")(r); r.Node.Devices[1].Model = name }
	}
	flashed := func(version string) func(*results.Record) {
		return func(r *results.Record) {
			card("GPU-1")(r)
			r.Node.Devices[1].Firmware, r.Node.Devices[1].Driver = version, version
		}
	}
	for name, c := range map[string]struct {
		sessions []session
		want     []string // sessions of each candidate, by number
		warnings []string // code: a part of the text
		err      string
	}{
		"another card":              {[]session{{edit: model("H200")}, {hour: 1, edit: model("H100")}, {hour: 2, edit: model("H200")}}, []string{"0 2", "1"}, nil, ""},
		"other firmware and driver": {[]session{{edit: flashed("1")}, {hour: 1, edit: flashed("2")}}, []string{"0 1"}, nil, ""},
		"one after the other":       {[]session{{}, {hour: 1}, {hour: 2}}, []string{"0 1 2"}, nil, ""},
		"end and begin at once":     {[]session{{hour: 1}, {}}, []string{"0 1"}, nil, ""},
		"a clock set back":          {[]session{{}, {hour: 1 - 1.0/3600}}, []string{"0 1"}, nil, ""},
		"two at a time":             {[]session{{}, {hour: 0.5}}, []string{"0", "1"}, []string{"two-machines: told apart by the time alone"}, ""},
		"three at a time":           {[]session{{}, {hour: 0.5}, {hour: 0.9}}, []string{"0", "1", "2"}, []string{"two-machines: the time alone"}, ""},
		"by their meters":           {[]session{{edit: plug("a")}, {edit: plug("b")}, {hour: 3, edit: plug("a")}}, []string{"0 2", "1"}, []string{"two-machines: their meters"}, ""},
		"by their cards":            {[]session{{edit: card("GPU-1")}, {edit: card("GPU-2")}, {hour: 3, edit: card("GPU-2")}}, []string{"0", "1 2"}, []string{"two-machines: their parts"}, ""},
		"meters that do not clash":  {[]session{{edit: plug("a")}, {hour: 1, edit: plug("b")}}, []string{"0 1"}, nil, ""},
		"nothing tells them apart":  {[]session{{}, {}, {hour: 3}}, nil, nil, "ran at the same time, so they are of two machines, and nothing says which of 3 sessions is of which"},
		"labelled at a time":        {[]session{{label: "candidate=a"}, {label: "candidate=b"}, {hour: 3, label: "candidate=a"}}, []string{"0 2", "1"}, nil, ""},
		"one label at a time":       {[]session{{label: "candidate=x", edit: plug("a")}, {label: "candidate=x", edit: plug("b")}, {hour: 3, label: "candidate=x"}}, []string{"0 1 2"}, []string{"one-candidate: of two machines, and one candidate because of the label candidate=x"}, ""},
		"one label, one meter":      {[]session{{label: "candidate=x"}, {label: "candidate=x"}, {hour: 3, label: "candidate=x"}}, []string{"0 1 2"}, []string{"one-candidate: because of the label candidate=x"}, ""},
		"labelled and not":          {[]session{{label: "candidate=x"}, {}, {hour: 0.5}}, []string{"0", "1", "2"}, []string{"two-machines: the time alone"}, ""},
		"imported at a time":        {[]session{{edit: func(r *results.Record) { r.Plan.Preset = "import" }}, {edit: func(r *results.Record) { r.Plan.Preset = "import" }}}, []string{"0 1"}, nil, ""},
		"sites are no candidates":   {[]session{{label: "site=a"}, {hour: 1, label: "site=b"}}, []string{"0 1"}, []string{"one-candidate: site=a, b are one candidate: only the label candidate"}, ""},
		"one machine, three names":  {[]session{{label: "candidate=x"}, {hour: 1, label: "candidate=y"}, {hour: 2, label: "candidate=z"}}, []string{"0", "1", "2"}, []string{"one-machine: x, y, z are one machine"}, ""},
		"one machine, half a name":  {[]session{{}, {hour: 1, label: "candidate=tuned"}}, []string{"0", "1"}, []string{"one-machine: node, tuned are one machine"}, ""},
		"another machine, that way": {[]session{{label: "candidate=x"}, {hour: 1, label: "candidate=y", edit: func(r *results.Record) { r.Node.Devices[0].Model = "other" }}}, []string{"0", "1"}, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var records []*results.Record
			for i, s := range c.sessions {
				n := resultstest.Server("node", 1)
				n.Only = []string{"idle", "mining"}
				r := resultstest.Session(n, i, 1, 1)
				r.Start = time.Date(2026, 5, 1, 3, 0, 0, 0, time.UTC).Add(time.Duration(s.hour * float64(time.Hour)))
				r.End = r.Start.Add(time.Hour)
				if k, v, ok := strings.Cut(s.label, "="); ok {
					r.Plan.Labels = map[string]string{k: v}
				}
				if s.edit != nil {
					s.edit(r)
				}
				records = append(records, r)
			}
			records = append(records, records[0]) // given twice, it clashes with nothing
			got, err := New(t.Context(), records, nil, Options{})
			if c.err != "" {
				require.ErrorIs(t, err, ErrMachines)
				require.ErrorContains(t, err, c.err)
				require.ErrorContains(t, err, "--label candidate=NAME")
				return
			}
			require.NoError(t, err)
			var candidates []string
			for _, cand := range got.Candidates {
				var of []string
				for i, r := range records[:len(c.sessions)] {
					for _, s := range cand.Records {
						if s.ID == r.ID {
							of = append(of, fmt.Sprint(i))
						}
					}
				}
				candidates = append(candidates, strings.Join(of, " "))
			}
			require.Equal(t, c.want, candidates)
			require.Len(t, got.Warnings, len(c.warnings), "%v", got.Warnings)
			for i, w := range c.warnings {
				code, text, _ := strings.Cut(w, ": ")
				require.Equal(t, code, got.Warnings[i].Code)
				require.Contains(t, got.Warnings[i].Text, text)
				require.NotEmpty(t, got.Warnings[i].Remedy)
			}
		})
	}
}

// Two machines of one name do not share the meter inside each.
func TestMetersInsideMachinesOfOneName(t *testing.T) {
	var records []*results.Record
	for i := range 2 {
		n := resultstest.Server("localhost", 1)
		n.Meter = "/sys/class/powercap"
		r := resultstest.Session(n, i, 6, uint64(i))
		r.Start = time.Date(2026, 5, 1, 3, 0, 0, 0, time.UTC)
		r.End = r.Start.Add(time.Hour)
		records = append(records, r)
	}
	c, err := New(t.Context(), records, nil, Options{})
	require.NoError(t, err)
	_, other := c.Tables[0].Groups[0].Rows[0], c.Tables[0].Groups[0].Rows[1]
	require.False(t, other.Shared)
	require.False(t, c.Tables[0].Groups[0].Rows[0].Shared)
}
