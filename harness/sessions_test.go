package harness

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/bench"
	"github.com/perwatt/perwatt/kernels/device"
	"github.com/perwatt/perwatt/results"
)

// newSessions are two sessions at each of two settings, on a machine that lets
// this process use as many logical CPUs as there are given, less one each time
// that a setting was applied.
func newSessions(t *testing.T, cpus int) (s *Sessions, done *[]string) {
	done = new([]string)
	note := func(format string, args ...any) { *done = append(*done, fmt.Sprintf(format, args...)) }
	s = &Sessions{
		Session: *newSession(t, "idle"),
		On:      []device.Info{testCPU.Info},
		Sweep:   &Sweep{Settings: []results.Setting{{Value: "a"}, {Value: "b"}}, Command: "true {}"},
		Describe: func() (results.Node, error) {
			note("describe")
			node := results.Node{Settings: results.Settings{CPUs: []int{0, 1, 2, 3, 4, 5, 6, 7}[:cpus]}}
			cpus--
			return node, nil
		},
		Applying: func(to results.Setting) func() {
			note("apply %s", to.Value)
			return func() { note("applied") }
		},
		Create: func(rec *results.Record) (func(*results.Record) error, error) {
			note("create")
			return func(*results.Record) error { note("save"); return nil }, nil
		},
	}
	p := &s.Session.Record.Plan
	p.Sessions, p.Threads, p.Window = 2, 2, 0.05
	return s, done
}

// Every session has its setting applied first and a record of its own, with the
// machine as the setting left it and with seeds that no other session uses.
func TestSessions(t *testing.T) {
	s, done := newSessions(t, 8)
	s.Session.Record.Warnings = append(make([]results.Warning, 0, 4), results.Warning{Code: "shared"})
	var got []string
	var records []*results.Record
	for rec, err := range s.All(t.Context()) {
		require.NoError(t, err)
		require.Equal(t, results.Complete, rec.State)
		records = append(records, rec)
		got = append(got, fmt.Sprintf("%d%s %d CPUs, seed %d", rec.Plan.Session, at(rec.Plan.Setting), len(rec.Node.Settings.CPUs), rec.Plan.Seed))
		rec.Warnings = append(rec.Warnings, results.Warning{Code: rec.ID}) // as a session does
	}
	require.Equal(t, []string{"1 at a 8 CPUs, seed 7", "1 at b 7 CPUs, seed 1000007", "2 at b 6 CPUs, seed 2000007", "2 at a 5 CPUs, seed 3000007"}, got)
	require.Equal(t, []string{"apply a", "applied", "describe", "create", "save", "apply b", "applied"}, (*done)[:7])
	ids := map[string]bool{}
	for _, rec := range records {
		ids[rec.ID] = true
		require.Equal(t, []results.Warning{{Code: "shared"}, {Code: rec.ID}}, rec.Warnings, "its own and those of all")
	}
	require.Len(t, ids, 4)
	require.Equal(t, uint32(7), s.Session.Record.Plan.Seed, "what is shared stays as it is")
}

// Whoever asks decides whether the others follow one that did not begin.
func TestSessionsThatDoNotBegin(t *testing.T) {
	count := func(s *Sessions, most int) (begun int, errs []error) {
		for rec, err := range s.All(t.Context()) {
			if rec != nil {
				begun++
				continue
			}
			if errs = append(errs, err); len(errs) == most {
				break
			}
		}
		return begun, errs
	}
	s, _ := newSessions(t, 3)
	begun, errs := count(s, 1)
	require.Equal(t, 2, begun)
	require.ErrorContains(t, errs[0], "2 threads need as many logical CPUs, and only 1 may be used now ([0])")

	s, done := newSessions(t, 8)
	s.Sweep.Command = "false {}"
	begun, errs = count(s, 2)
	require.Zero(t, begun)
	require.ErrorContains(t, errs[1], "setting b was not applied")
	require.Equal(t, []string{"apply a", "applied", "apply b", "applied"}, *done)

	s, _ = newSessions(t, 8)
	full := errors.New("the disk is full")
	s.Create = func(*results.Record) (func(*results.Record) error, error) { return nil, full }
	begun, errs = count(s, 1)
	require.Zero(t, begun)
	require.ErrorIs(t, errs[0], full)
}

// What a worker would refuse is refused before anything is measured.
func TestSessionsRefused(t *testing.T) {
	s := &Sessions{Session: *newSession(t, "mining", "compute")}
	describe := func(c device.Config) device.Device { return fixed{c} }
	require.NoError(t, s.Refused(describe, openScripted))
	s.Session.params("compute", "refuse")
	require.ErrorIs(t, s.Refused(describe, openScripted), bench.ErrUsage)
}

func TestPlace(t *testing.T) {
	gpu := testGPU.Info
	node := results.Node{Settings: results.Settings{CPUs: []int{2, 3, 5}}}
	got, err := Place(Roots{}, []device.Info{testCPU.Info, gpu}, node, 2)
	require.NoError(t, err)
	require.Equal(t, []device.Config{{Info: testCPU.Info, Threads: 2, CPUs: []int{2, 3}}, {Info: gpu, CPUs: []int{}}}, got)
	node.Settings.CPUs = nil // the machine does not say
	got, err = Place(Roots{}, []device.Info{testCPU.Info}, node, 2)
	require.NoError(t, err)
	require.Equal(t, 2, got[0].Threads)
	require.Empty(t, got[0].CPUs)
}

// The process that drives a card runs on the CPUs near it that the session may use.
func TestPlaceNearACard(t *testing.T) {
	sys := t.TempDir()
	for address, list := range map[string]string{
		"0000:3b:00.0": "0-3,8-11\n", "0000:d8:00.0": "4-7\n", "0000:5e:00.0": "", "0000:5f:00.0": "4-", "0000:60:00.0": "0-4294967295", "0000:61:00.0": strings.Repeat("9", 1<<16),
	} {
		dir := filepath.Join(sys, "bus/pci/devices", address)
		require.NoError(t, os.MkdirAll(dir, 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "local_cpulist"), []byte(list), 0o600))
	}
	require.NoError(t, os.WriteFile(filepath.Join(sys, "local_cpulist"), []byte("2"), 0o600))
	for _, c := range []struct {
		name, pci  string
		may, wants []int
	}{
		{"all of them", "0000:3b:00.0", []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, []int{0, 1, 2, 3, 8, 9, 10, 11}},
		{"those it may use", "0000:3b:00.0", []int{2, 3, 4, 5, 9}, []int{2, 3, 9}},
		{"none that it may use", "0000:d8:00.0", []int{0, 1}, nil},
		{"unknown what it may use", "0000:3b:00.0", nil, nil},
		{"no address", "", []int{2}, nil},
		{"no such card", "0000:3c:00.0", []int{2}, nil},
		{"an empty list", "0000:5e:00.0", []int{2}, nil},
		{"half a list", "0000:5f:00.0", []int{2, 4}, nil},
		{"too many", "0000:60:00.0", []int{2}, nil},
		{"too long", "0000:61:00.0", []int{2}, nil},
		{"a way out", "../../..", []int{2}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			card := testGPU.Info
			card.PCI = c.pci
			got, err := Place(Roots{Sys: sys}, []device.Info{card}, results.Node{Settings: results.Settings{CPUs: c.may}}, 1)
			require.NoError(t, err)
			require.ElementsMatch(t, c.wants, got[0].CPUs)
			require.Zero(t, got[0].Threads)
		})
	}
}
