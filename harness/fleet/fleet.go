package fleet

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/site"
)

// A measurement of a fleet is a directory in the store of its records:
//
//	STORE/fleet/NAME/roster.json        the nodes that are expected; written once
//	STORE/fleet/NAME/journal.jsonl      what was submitted and decided; grows only
//	STORE/fleet/NAME/lock               held by the process that appends to it
//	STORE/fleet/NAME/nodes/NODE/N/      what attempt N of a node wrote
//	STORE/fleet/NAME/aside/             what arrived and is no record of its attempt
//
// The journal is the truth: the state of every node is its replay.
const (
	folder     = "fleet"
	rosterName = "roster.json"
	nodesName  = "nodes"
	asideName  = "aside"

	mostRoster   = 64 << 20 // bytes
	mostNodes    = 100_000
	mostAttempts = 100
	mostSessions = 100_000
)

// Dir is the directory of the measurement with a name, in a store.
func Dir(store, name string) string { return filepath.Join(store, folder, name) }

// Name is that of a measurement that starts at t, where none is given.
func Name(t time.Time) string { return t.UTC().Format("20060102T150405Z") }

var (
	goodName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
	// A node's name becomes a directory, a word of a command and a value of --fleet.
	goodNode = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:@%+-]{0,200}$`)
)

// CheckName is an error unless a measurement may have the name.
func CheckName(name string) error {
	if !goodName.MatchString(name) {
		return fmt.Errorf("%.70q is no name for a measurement: up to 64 letters, digits, dots, - and _, first a letter or digit", name)
	}
	return nil
}

// CheckNode is an error unless a node may have the name.
func CheckNode(name string) error {
	if !goodNode.MatchString(name) {
		return fmt.Errorf("%.210q is no name for a node: up to 200 letters, digits and . _ : @ %% + -, first a letter or digit", name)
	}
	return nil
}

// Fleet is a measurement that this process works on; no other does at the same time.
// It is not safe for concurrent use.
type Fleet struct {
	dir     string
	roster  site.Roster
	journal *journal
	state
}

// New begins a measurement in a directory that must not be there yet.
func New(dir string, r site.Roster) (*Fleet, error) {
	r.Version, r.Start = site.RosterVersion, r.Start.UTC()
	if err := check(r); err != nil {
		return nil, fmt.Errorf("fleet: %w", err)
	}
	text, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return nil, fmt.Errorf("fleet: write the roster: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil { // #nosec G301 -- records are there to be read, by whom the umask lets
		return nil, fmt.Errorf("fleet: %w", err)
	}
	if err := os.Mkdir(dir, 0o755); errors.Is(err, fs.ErrExist) { // #nosec G301 -- as above
		return nil, fmt.Errorf("fleet: %s is there already: take another name, or perwatt fleet resume %s", dir, filepath.Base(dir))
	} else if err != nil {
		return nil, fmt.Errorf("fleet: %w", err)
	}
	for _, sub := range []string{nodesName, asideName} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil { // #nosec G301 -- as above
			return nil, fmt.Errorf("fleet: %w", err)
		}
	}
	if err := errors.Join(writeNew(filepath.Join(dir, rosterName), append(text, '\n')), syncDir(filepath.Dir(dir))); err != nil {
		return nil, fmt.Errorf("fleet: write the roster: %w", err)
	}
	return Open(dir)
}

// Open goes on with a measurement. The error wraps [ErrHeld] if another process works
// on it.
func Open(dir string) (*Fleet, error) {
	r, err := ReadRoster(dir)
	if err != nil {
		return nil, err
	}
	f := &Fleet{dir: dir, roster: r, state: newState(r)}
	f.journal, err = openJournal(dir, f.apply)
	if err != nil {
		return nil, err
	}
	for _, n := range f.nodes {
		for _, a := range n.attempts {
			for _, e := range a.refused { // the end of a move that was cut off
				f.putAside(a, e)
			}
		}
	}
	return f, nil
}

// Read returns what a measurement set out to do and what became of each node so far, in
// the order of the roster. It writes nothing, and another process may work on it.
func Read(dir string) (site.Roster, []site.Outcome, error) {
	r, err := ReadRoster(dir)
	if err != nil {
		return r, nil, err
	}
	s := newState(r)
	path := filepath.Join(dir, journalName)
	file, err := results.OpenFile(path)
	if errors.Is(err, fs.ErrNotExist) { // it was ended before its first line
		return r, s.Outcomes(), nil
	}
	if err == nil {
		defer file.Close()
		_, err = readJournal(file, s.apply)
	}
	if err != nil {
		return r, nil, fmt.Errorf("fleet: read %s: %w", path, err)
	}
	return r, s.Outcomes(), nil
}

// ReadRoster reads what a measurement set out to do.
func ReadRoster(dir string) (r site.Roster, err error) {
	path := filepath.Join(dir, rosterName)
	f, err := results.OpenFile(path)
	if err != nil {
		return r, fmt.Errorf("fleet: read the roster: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, mostRoster+1))
	switch {
	case err != nil:
	case len(text) > mostRoster:
		err = fmt.Errorf("it is larger than %d MiB", mostRoster>>20)
	default:
		if err = json.Unmarshal(text, &r); err == nil {
			err = check(r)
		}
	}
	if err != nil {
		return r, fmt.Errorf("fleet: read %s: %w", path, err)
	}
	return r, nil
}

func check(r site.Roster) error {
	switch {
	case r.Version != site.RosterVersion:
		return fmt.Errorf("the roster has version %d, and this perwatt reads %d only", r.Version, site.RosterVersion)
	case len(r.Nodes) == 0:
		return errors.New("no node is expected")
	case len(r.Nodes) > mostNodes:
		return fmt.Errorf("%d nodes, and at most %d are measured together: take a part of them", len(r.Nodes), mostNodes)
	case r.Attempts < 1 || r.Attempts > mostAttempts:
		return fmt.Errorf("%d attempts of a node: from 1 to %d", r.Attempts, mostAttempts)
	case r.Sessions < 1 || r.Sessions > mostSessions:
		return fmt.Errorf("%d records of a node: from 1 to %d", r.Sessions, mostSessions)
	case !(r.Limit > 0 && r.Limit <= 1e9):
		return fmt.Errorf("a limit of %g s for one job", r.Limit)
	}
	if err := CheckName(r.Name); err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, n := range r.Nodes {
		if err := CheckNode(n.Name); err != nil {
			return err
		}
		if seen[n.Name] {
			return fmt.Errorf("node %s is expected twice", n.Name)
		}
		seen[n.Name] = true
	}
	return nil
}

// Dir is the directory of the measurement.
func (f *Fleet) Dir() string { return f.dir }

// Roster is what the measurement set out to do.
func (f *Fleet) Roster() site.Roster { return f.roster }

// Close lets another process work on the measurement.
func (f *Fleet) Close() error { return f.journal.Close() }

// log writes entries to the journal, waits until they are on the disk, and applies them.
func (f *Fleet) log(entries ...Entry) error { return f.write(true, entries...) }

func (f *Fleet) write(sync bool, entries ...Entry) error {
	if len(entries) == 0 {
		return nil
	}
	for i := range entries {
		e := &entries[i]
		e.Time = time.Now().UTC()
		e.Reason, e.More = results.Line(e.Reason, mostReason), results.Line(e.More, mostReason)
	}
	if err := f.journal.append(sync, entries...); err != nil {
		return err
	}
	for _, e := range entries {
		if err := f.apply(e); err != nil {
			return err
		}
	}
	return nil
}

// job is the job of an attempt, as its engine gets it.
func (f *Fleet) job(a *attempt) Job {
	at := fmt.Sprintf("run=%s,node=%s,attempt=%d", f.roster.Name, a.node.Name, a.Number)
	limit := f.roster.Limit
	var start []string
	if a.many > 1 {
		limit += f.roster.Lead
		at += fmt.Sprintf(",together=%d", a.many)
	}
	if !a.at.IsZero() {
		start = []string{"--at", a.at.Format(time.RFC3339)}
	}
	return Job{
		Fleet: f.roster.Name, Node: a.node.Node, Attempt: a.Number, Together: a.many, ID: a.Job,
		Args:  slices.Concat([]string{"run"}, f.roster.Args, start, []string{"--fleet", at}),
		Dir:   f.attemptDir(a.node.Name, a.Number),
		Limit: time.Duration(limit * 1e9),
	}
}

func (f *Fleet) attemptDir(node string, attempt int) string {
	return filepath.Join(f.dir, nodesName, node, strconv.Itoa(attempt))
}

// ParsePlace parses the value of perwatt run --fleet, as jobs get it.
func ParsePlace(text string) (p results.Fleet, err error) {
	seen := map[string]bool{}
	for _, part := range strings.Split(text, ",") {
		key, value, _ := strings.Cut(part, "=")
		if seen[key] {
			return p, fmt.Errorf("%s is given twice", key)
		}
		seen[key] = true
		switch key {
		case "run":
			p.Run, err = value, CheckName(value)
		case "node":
			p.Node, err = value, CheckNode(value)
		case "attempt":
			p.Attempt, err = number(value, 1, mostNumber)
		case "together":
			p.Together, err = number(value, 2, mostNodes)
		default:
			err = fmt.Errorf("%.40q is none of run, node, attempt and together", key)
		}
		if err != nil {
			return p, err
		}
	}
	if p.Run == "" || p.Node == "" || p.Attempt == 0 {
		return p, errors.New("it needs run=NAME, node=NODE and attempt=N")
	}
	return p, nil
}

func number(text string, least, most int) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		return 0, fmt.Errorf("%.40q is no number from %d to %d", text, least, most)
	}
	return n, nil
}
