package compare

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/perwatt/perwatt/results"
)

// A candidate is the sessions with one label candidate=NAME, or those of one
// machine. Two machines may have one name: they are recognised because no
// machine runs two sessions at a time.

// labelled is the label that names candidates.
const labelled = "candidate"

// ErrMachines is wrapped if sessions are of several machines of one name and
// nothing assigns them.
var ErrMachines = errors.New("several machines of one name")

// identity returns the same text for all sessions of one machine.
func identity(r *results.Record) string {
	n := &r.Node
	return fmt.Sprintf("%q %#v %d %d", n.Name, n.Hardware(), n.Threads(), n.Memory>>30)
}

// evidence assigns sessions of one name to machines, the surest kind first: the
// labels that somebody gave them, the parts of a machine that do not change, and
// the instrument that it is plugged into.
var evidence = []struct {
	name string
	of   func(*results.Record) string
}{
	{"their labels", func(r *results.Record) string { return r.Plan.Labels[labelled] }},
	{"their parts", func(r *results.Record) string {
		n := &r.Node
		parts := []any{n.CPU.Family, n.CPU.ModelID, n.CPU.Stepping, n.CPU.Sockets, n.CPU.Cores}
		for _, d := range n.Devices {
			parts = append(parts, d.Vendor, d.PCI, d.UUID)
		}
		for _, run := range r.Runs[:min(1, len(r.Runs))] {
			for _, u := range run.Uses {
				if u.Shares != nil {
					parts = append(parts, u.Shares.Address)
				}
			}
		}
		return fmt.Sprintf("%#v", parts)
	}},
	{"their meters", func(r *results.Record) string {
		if of, ok := meter(r); ok {
			return fmt.Sprint(of.Source, r.Summary.PrimaryMeter.Channels)
		}
		return ""
	}},
}

// slack is the largest step back of a machine's clock between two of its sessions.
const slack = 2 * time.Second

// overlap reports whether two sessions ran at the same time. An imported one has
// no clock of its own.
func overlap(a, b *results.Record) bool {
	return a.Plan.Preset != "import" && b.Plan.Preset != "import" && a.Start.Add(slack).Before(b.End) && b.Start.Add(slack).Before(a.End)
}

// clash returns two sessions that ran at the same time, if any did.
func clash(of []*results.Record) (a, b *results.Record) {
	of = slices.Clone(of)
	results.SortStable(of, func(a, b *results.Record) int { return a.Start.Compare(b.Start) })
	for i, a := range of {
		for _, b := range of[i+1:] {
			if !b.Start.Before(a.End) {
				break
			}
			if overlap(a, b) {
				return a, b
			}
		}
	}
	return nil, nil
}

// machines assigns each record to a machine. It warns where sessions ran at the
// same time without labels that distinguish their machines. It never guesses: if
// nothing assigns the sessions, it returns an error.
func (c *Comparison) machines(records []*results.Record) error {
	c.machine = map[*results.Record]string{}
	warn := func(code, text, remedy string) {
		c.Warnings = append(c.Warnings, results.Warning{Code: code, Text: text, Remedy: remedy})
	}
	for _, alike := range divided([][]*results.Record{records}, identity) {
		id := identity(alike[0])
		for _, r := range alike {
			c.machine[r] = id
		}
		a, b := clash(alike)
		if a == nil {
			continue
		}
		parts, by := [][]*results.Record{alike}, ""
		for _, e := range evidence { // each kind with those before it
			parts, by = divided(parts, e.of), e.name
			if !slices.ContainsFunc(parts, unnamed) {
				break
			}
		}
		for i, part := range parts {
			if !unnamed(part) {
				continue
			}
			if len(part) > 2 && slices.ContainsFunc(part, func(r *results.Record) bool {
				return slices.ContainsFunc(part, func(o *results.Record) bool { return o != r && !overlap(r, o) })
			}) {
				a, b := clash(part)
				return fmt.Errorf("compare: %w: records %s and %s of %q ran at the same time, so they are of two machines, and nothing says which of %d sessions is of which: compare one session of each, or measure again with --label %s=NAME", ErrMachines, a.ID, b.ID, a.Node.Name, len(part), labelled)
			}
			parts[i], by = nil, "the time alone"
			parts = append(parts, divided([][]*results.Record{part}, func(r *results.Record) string { return r.ID })...)
		}
		for i, part := range parts {
			for _, r := range part {
				c.machine[r] = fmt.Sprintf("%s\x00%d", id, i)
			}
		}
		for _, part := range divided([][]*results.Record{alike}, evidence[0].of) {
			if a, b := clash(part); a != nil && !unnamed(part) {
				warn("one-candidate",
					fmt.Sprintf("records %s and %s of %q ran at the same time, so they are of two machines, and one candidate because of the label %s=%s", a.ID, b.ID, a.Node.Name, labelled, a.Plan.Labels[labelled]),
					"if they are to be held against each other, measure each with a --label "+labelled+"=NAME of its own")
			}
		}
		if by != evidence[0].name {
			warn("two-machines",
				fmt.Sprintf("records %s and %s of %q ran at the same time, so they are of two machines: told apart by %s", a.ID, b.ID, a.Node.Name, by),
				"name each: perwatt run --label "+labelled+"=NAME, or give the machines names of their own")
		}
	}
	return nil
}

// divided divides each part by the keys of its records, in their order.
func divided(parts [][]*results.Record, key func(*results.Record) string) (out [][]*results.Record) {
	for _, part := range parts {
		at := map[string]int{}
		for _, r := range part {
			i, ok := at[key(r)]
			if !ok {
				i = len(out)
				at[key(r)], out = i, append(out, nil)
			}
			out[i] = append(out[i], r)
		}
	}
	return out
}

// unnamed reports whether sessions ran at the same time without a label that makes
// them one candidate.
func unnamed(part []*results.Record) bool {
	a, _ := clash(part)
	return a != nil && part[0].Plan.Labels[labelled] == ""
}

// labels warns where labels suggest other candidates than there are: one candidate
// whose sessions differ in a label, and one machine under several names.
func (c *Comparison) labels() {
	under := map[string][]string{} // labelled candidates, by machine
	for _, cand := range c.Candidates {
		values := map[string][]string{}
		seen := map[[2]string]bool{}
		for _, r := range cand.records {
			for k, v := range r.Plan.Labels {
				if l := [2]string{k, v}; !seen[l] {
					seen[l], values[k] = true, append(values[k], v)
				}
			}
		}
		for _, k := range slices.Sorted(maps.Keys(values)) {
			if k != labelled && len(values[k]) > 1 {
				c.Warnings = append(c.Warnings, results.Warning{
					Code:   "one-candidate",
					Text:   fmt.Sprintf("sessions of %s with %s=%s are one candidate: only the label %s tells candidates apart", cand.ID, k, strings.Join(values[k], ", "), labelled),
					Remedy: "if they are to be held against each other, measure them with --label " + labelled + "=NAME",
				})
			}
		}
		first := cand.records[0]
		name := cmp.Or(first.Plan.Labels[labelled], cand.Machine, cand.ID)
		if at := c.machine[first]; !slices.Contains(under[at], name) {
			under[at] = append(under[at], name)
		}
	}
	for _, cand := range c.Candidates {
		at := c.machine[cand.records[0]]
		if names := under[at]; len(names) > 1 {
			c.Warnings = append(c.Warnings, results.Warning{
				Code:   "one-machine",
				Text:   fmt.Sprintf("%s are one machine by all that their records say (%q, %s): they are candidates because of the label %s", strings.Join(names, ", "), cand.Node.Name, cand.Node.Models(), labelled),
				Remedy: "that is right for settings of one machine; machines of one name need names of their own, or sessions at the same time, to be known as several",
			})
			delete(under, at)
		}
	}
}
