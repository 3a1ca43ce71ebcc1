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

// What a candidate is: the sessions that carry one label candidate=NAME, or
// those of one machine. Two machines may have one name; what tells them apart
// is that no machine is in two sessions at a time.

// labelled is the label that names candidates.
const labelled = "candidate"

// ErrMachines is wrapped when sessions are of several machines and it cannot
// be told which is of which.
var ErrMachines = errors.New("several machines of one name")

// identity is what sessions of one machine have in common.
func identity(r *results.Record) string {
	n := &r.Node
	return fmt.Sprintf("%q %#v %d %d", n.Name, n.Hardware(), n.Threads(), n.Memory>>30)
}

// evidence is by what sessions of one name are told apart, the surest first:
// what somebody said of them, what does not change in a machine, and the
// instrument that it is plugged into.
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
		h := r.Summary.PrimaryMeter
		i := slices.IndexFunc(r.Meters, func(m results.Meter) bool { return h != nil && m.Name == h.Meter })
		if i < 0 {
			return ""
		}
		return fmt.Sprint(r.Meters[i].Source, h.Channels)
	}},
}

// slack is by how much the clock of one machine may have been set back between
// two of its sessions.
const slack = 2 * time.Second

// overlap reports whether two sessions ran at a time. An imported one has no
// clock of its own.
func overlap(a, b *results.Record) bool {
	return a.Plan.Preset != "import" && b.Plan.Preset != "import" && a.Start.Add(slack).Before(b.End) && b.Start.Add(slack).Before(a.End)
}

// clash returns two of the sessions that ran at a time.
func clash(of []*results.Record) (a, b *results.Record) {
	of = slices.Clone(of)
	slices.SortStableFunc(of, func(a, b *results.Record) int { return a.Start.Compare(b.Start) })
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

// machines says which machine each record is of. It warns where labels did not
// tell apart what the clock says are two, and refuses to guess.
func (c *Comparison) machines(records []*results.Record) (map[*results.Record]string, error) {
	of := map[*results.Record]string{}
	named := map[string][]*results.Record{}
	var order []string
	for _, r := range records {
		id := identity(r)
		if named[id] == nil {
			order = append(order, id)
		}
		of[r], named[id] = id, append(named[id], r)
	}
	for _, id := range order {
		a, b := clash(named[id])
		if a == nil {
			continue
		}
		parts, by := [][]*results.Record{named[id]}, ""
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
				return nil, fmt.Errorf("compare: %w: records %s and %s of %q ran at the same time, so they are of two machines, and nothing says which of %d sessions is of which: compare one session of each, or measure again with --label %s=NAME", ErrMachines, a.ID, b.ID, a.Node.Name, len(part), labelled)
			}
			parts[i], by = nil, "the time alone"
			parts = append(parts, divided([][]*results.Record{part}, func(r *results.Record) string { return r.ID })...)
		}
		for i, part := range parts {
			for _, r := range part {
				of[r] = fmt.Sprintf("%s\x00%d", id, i)
			}
		}
		for _, part := range divided([][]*results.Record{named[id]}, evidence[0].of) {
			if a, b := clash(part); a != nil && !unnamed(part) {
				c.Warnings = append(c.Warnings, results.Warning{
					Code:   "one-candidate",
					Text:   fmt.Sprintf("records %s and %s of %q ran at the same time, so they are of two machines, and one candidate because of the label %s=%s", a.ID, b.ID, a.Node.Name, labelled, a.Plan.Labels[labelled]),
					Remedy: "if they are to be held against each other, measure each with a --label " + labelled + "=NAME of its own",
				})
			}
		}
		if by != evidence[0].name {
			c.Warnings = append(c.Warnings, results.Warning{
				Code:   "two-machines",
				Text:   fmt.Sprintf("records %s and %s of %q ran at the same time, so they are of two machines: told apart by %s", a.ID, b.ID, a.Node.Name, by),
				Remedy: "name each: perwatt run --label " + labelled + "=NAME, or give the machines names of their own",
			})
		}
	}
	return of, nil
}

// divided divides each part by what key says of its records.
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

// unnamed says whether sessions ran at a time that nobody labelled as one
// candidate.
func unnamed(part []*results.Record) bool {
	a, _ := clash(part)
	return a != nil && part[0].Plan.Labels[labelled] == ""
}

// labels warns where labels suggest other candidates than there are: sessions
// that differ in a label and are one, and one machine under several names.
func (c *Comparison) labels(machine map[*results.Record]string) {
	under := map[string][]string{} // labelled candidates, by machine
	for _, cand := range c.Candidates {
		values := map[string][]string{}
		type label struct{ key, value string }
		seen := map[label]bool{}
		for _, r := range cand.records {
			for k, v := range r.Plan.Labels {
				if !seen[label{k, v}] {
					seen[label{k, v}] = true
					values[k] = append(values[k], v)
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
		if at := machine[first]; !slices.Contains(under[at], name) {
			under[at] = append(under[at], name)
		}
	}
	for _, cand := range c.Candidates {
		at := machine[cand.records[0]]
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
