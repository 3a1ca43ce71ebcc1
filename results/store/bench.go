package store

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/perwatt/perwatt/results"
)

// Bench supplements benchmark text with what it does not contain.
type Bench struct {
	Node    string            // name; empty for the text's own "node"
	At      time.Time         // of lines for which the text has no time; zero if it must have one
	Threads []int             // values of GOMAXPROCS in the names, as of go test -cpu; empty to infer them
	Labels  map[string]string // of every record
}

// ReadBench makes records of Go benchmark text, one for each configuration
// ("commit: …", "cpu: …") in it, in its order. The time of a benchmark line becomes
// a window, and its iterations the work. The text may be a log with other lines in
// it or the output of go test -json, in UTF-8 or UTF-16, packed with gzip, zstd or
// bzip2.
//
// said are lines for the user: what was passed over, by kind with the first of each,
// and what a record cannot hold (allocations, and metrics that are neither time nor
// work). It is an error only if nothing can be read.
//
// The text has no watts and little about the machine; a warning in each record says
// so. The same text and options give the same records, with the same identifiers.
// Their summaries are derived like those of all records.
func ReadBench(in io.Reader, name string, opt Bench) (records []*results.Record, said []string, err error) {
	raw, cut, err := unpackBench(in)
	if err != nil {
		return nil, nil, fmt.Errorf("store: read %s: %w", name, err)
	}
	text := newBenchText(name)
	text.read(raw)
	if cut != nil {
		text.passed.add(cutShort, name, cut.Error())
	}
	lines := slices.DeleteFunc(text.lines, func(l benchLine) bool { return l.mixed })
	blocks := blocksOf(lines, opt)

	sessions, undated := map[string]*session{}, ""
	var order []*session
	dropped := map[string]int{}
	for _, good := range []bool{true, false} { // results first: a failure alone makes no record
		for i, l := range lines {
			if (l.failed == "") != good {
				continue
			}
			start, day := l.start(opt)
			s := sessions[l.session+day]
			switch {
			case s == nil && !good:
				continue
			case start.IsZero():
				undated = l.place
				text.passed.add(noDate, l.place, l.name)
				continue
			case s == nil:
				s = newSession(l, start, opt)
				sessions[l.session+day] = s
				order = append(order, s)
			}
			base, threads := l.name, 1
			if b := blocks[i]; b != nil {
				base, threads = b.split(l.name)
			}
			if !good {
				s.fail(l, base, threads)
				continue
			}
			used, ok := s.add(l, base, threads)
			if !ok {
				text.passed.add(noFigure, l.place, l.String())
				continue
			}
			for j, v := range l.values {
				if j != used {
					dropped[cmp.Or(v.OrigUnit, v.Unit)]++
				}
			}
		}
	}
	if len(text.passed.kinds) > 0 {
		said = append(said, "passed over: "+text.passed.String())
	}
	var left []string
	for _, unit := range slices.Sorted(maps.Keys(dropped)) {
		left = append(left, fmt.Sprintf("%s (%d)", unit, dropped[unit]))
	}
	if len(left) > 0 {
		said = append(said, "left out, since a record has no place for it: "+strings.Join(left, ", "))
	}
	for _, s := range order {
		if s.timed > 0 {
			records = append(records, s.record())
		}
	}
	switch {
	case len(records) > 0:
		return records, said, nil
	case undated != "" && text.badDate != nil:
		err = fmt.Errorf("it does not say when it was measured: %w, or say so with --at", text.badDate)
	case undated != "":
		err = errors.New("it does not say when it was measured: say so with --at")
	case text.passed.n[behind] > 0:
		err = errors.New("before each of its benchmark lines stands something, as a log collector writes it: cut that off")
	case strings.HasPrefix(strings.TrimSpace(raw), "{") && strings.Contains(raw, `"schema"`):
		err = errors.New("it is a record, not benchmark text: put it into the store under its identifier, in the directory of its month")
	case strings.IndexAny(strings.TrimSpace(raw), "{[") == 0:
		err = errors.New("it holds JSON but no benchmark lines: give what go test -json writes, one event a line")
	default:
		err = errors.New("it holds no benchmark lines that say how long one took")
	}
	return nil, said, fmt.Errorf("store: read %s: %w", name, err)
}

// blocksOf returns the block of names that each line belongs to; nil for a
// failure that has no name.
func blocksOf(lines []benchLine, opt Bench) []*nameBlock {
	of, byKey := make([]*nameBlock, len(lines)), map[string]*nameBlock{}
	var all []*nameBlock
	for i, l := range lines {
		if l.name == "" {
			continue
		}
		key := strings.Join([]string{l.session, l.get("pkg"), l.get("gomaxprocs")}, "\x00")
		b := byKey[key]
		if b == nil {
			machine := strings.Join([]string{l.get("node", "host", "hostname"), l.get("goos"), l.get("goarch"), l.get("cpu")}, "\x00")
			b = &nameBlock{session: l.session, machine: machine, has: map[string]bool{}, given: opt.Threads}
			for n := range strings.SplitSeq(l.get("gomaxprocs"), ",") {
				if n, err := strconv.Atoi(n); err == nil && len(opt.Threads) == 0 {
					b.given = append(b.given, n)
				}
			}
			byKey[key] = b
			all = append(all, b)
		}
		// A line that gives no figure may be of perwatt's idle machine, which has no
		// threads.
		of[i] = b
		if _, _, _, ok := l.window(1); ok && l.failed == "" {
			b.add(l.name)
		}
	}
	settleNames(all)
	return of
}

// start is when the run of a line began: by the text, else by the times of a log,
// else by the options. day separates runs that only the times of a log separate.
func (l *benchLine) start(opt Bench) (at time.Time, day string) {
	if said := l.get(timeKeys...); said != "" {
		at, _ = ParseTime(said) // flush has found it valid
		return at, ""
	}
	if !l.began.IsZero() {
		return l.began, l.began.Format(time.DateOnly)
	}
	return opt.At, ""
}

// String is the line in short.
func (l *benchLine) String() string {
	s := "Benchmark" + l.name + " " + strconv.Itoa(l.iters)
	for _, v := range l.values {
		value, unit := v.Value, v.Unit
		if v.OrigUnit != "" {
			value, unit = v.OrigValue, v.OrigUnit
		}
		s += fmt.Sprintf(" %v %s", value, unit)
	}
	return s
}

// session is a record in the making.
type session struct {
	rec    *results.Record
	length float64 // s, of all windows
	rounds map[string]int
	timed  int // windows
}

func newSession(l benchLine, start time.Time, opt Bench) *session {
	absent := results.Absent()
	return &session{rounds: map[string]int{}, rec: &results.Record{
		Schema: results.SchemaVersion, Start: start.UTC(), State: results.Complete,
		Tool: results.Tool{Name: "go test", Version: "unknown", Revision: l.get(commitKeys...), Go: l.goVersion()},
		Node: results.Node{Name: cmp.Or(opt.Node, l.get("node", "host", "hostname"), "unknown"), OS: l.get("goos"), Arch: l.get("goarch"),
			CPU:      results.CPU{Clock: absent},
			Devices:  []results.Device{{ID: results.CPUDevice, Kind: results.KindCPU, Model: l.get("cpu")}},
			Settings: results.Settings{CPUQuota: absent, PowerCap: absent, Load: absent}},
		Plan: results.Plan{Preset: results.Imported, Session: 1, Sessions: 1, Order: "as imported", Threads: 1, Settle: absent, Warmup: absent, Limit: absent, Window: absent, Interval: absent,
			Labels: l.labels(opt.Labels)},
		Warnings: []results.Warning{{
			Code:   "imported",
			Text:   "imported from Go benchmark text: not known are watts, sockets, cores, threads, memory, kernel, microcode, governor, the checks of the answers, when each window was, and the course of the work inside it",
			Remedy: "compare it with other imports of the same benchmarks; measure with perwatt run for anything per watt",
		}},
	}}
}

func (l *benchLine) goVersion() string { return l.get("go", "go-version", "toolchain") }

// labels adds the surroundings that the text names to the labels given by hand,
// which take precedence.
func (l *benchLine) labels(said map[string]string) map[string]string {
	all := maps.Clone(said)
	for _, k := range settingLabels {
		if v := l.get(k); v != "" && v != l.goVersion() && all[k] == "" {
			if all == nil {
				all = map[string]string{}
			}
			all[k] = v
		}
	}
	return all
}

// workRates are the rates of work, with the unit of the work.
var workRates = map[string]results.Unit{"hash/s": results.Hash, "sample/s": results.Sample, "samples/s": results.Sample, "token/s": results.Token, "tokens/s": results.Token, "FLOP/s": results.FLOP, "B/s": results.Byte, "op/s": results.Op}

// timeUnits are the units of the time of an iteration, in seconds. benchfmt turns
// ns/op, which go test writes, into sec/op.
var timeUnits = map[string]float64{"sec/op": 1, "s/op": 1, "ms/op": 1e-3, "us/op": 1e-6, "µs/op": 1e-6, "μs/op": 1e-6}

// Bounds of a window and, on one thread, of an iteration, in seconds. No CPU
// finishes ten iterations in a picosecond; a benchmark whose timer was stopped seems
// to.
const longestWindow, shortestOp = 1e8, 1e-13

// window returns how long the iterations of a line took, in seconds, and the unit of
// work that they count: operations if the line has a time, else the unit of its
// rate, as perwatt writes it. used is the index of that value. ok is false if there
// is no such value, if there are two times, or if the value is impossible.
func (l *benchLine) window(threads int) (seconds float64, unit results.Unit, used int, ok bool) {
	used = -1
	for i, v := range l.values {
		if factor, is := timeUnits[v.Unit]; is {
			if ok {
				return 0, "", 0, false
			}
			seconds, unit, used, ok = v.Value*factor*float64(l.iters), results.Op, i, v.Value*factor*float64(threads) > shortestOp
		}
	}
	for i, v := range l.values {
		if of, is := workRates[v.Unit]; is && used < 0 && v.Value > 0 {
			seconds, unit, used, ok = float64(l.iters)/v.Value, of, i, true
		}
	}
	return seconds, unit, used, ok && seconds > 0 && seconds < longestWindow && l.iters > 0
}

// add makes a run of a line and returns the index of the value used; ok is false if
// the line has no usable time or rate. When a run took place is unknown: each begins
// at 0, where no digit of its time is lost.
func (s *session) add(l benchLine, name string, threads int) (used int, ok bool) {
	seconds, unit, used, ok := l.window(threads)
	if !ok {
		return used, false
	}
	r := s.run(l, name, threads, unit)
	r.Status = results.OK
	r.Phases = []results.Phase{{Name: results.PhaseMeasure, From: 0, To: results.Float(seconds)}}
	r.Traces = []results.Trace{{Key: r.Uses[0].Key(results.TraceWork), Unit: unit, Kind: results.Counter, T: []results.Float{0, results.Float(seconds)}, V: []results.Float{0, results.Float(l.iters)}}}
	s.length += seconds
	s.timed++
	return used, true
}

// fail notes that a benchmark failed, or that the remaining ones did not run.
func (s *session) fail(l benchLine, name string, threads int) {
	if name != "" {
		r := s.run(l, name, threads, results.Op)
		r.Status, r.Error = results.Failed, l.failed
		return
	}
	s.rec.State = results.Interrupted
	s.rec.Warnings = append(s.rec.Warnings, results.Warning{
		Code: "incomplete", Text: "the benchmarks ended early: " + printable(strings.Join(strings.Fields(l.failed), " ")),
		Remedy: "what came before is kept; measure again for the rest",
	})
}

// run adds a run. Its round counts all runs of the name, whatever their package and
// threads: amendments name a run by scenario and round.
func (s *session) run(l benchLine, name string, threads int, unit results.Unit) *results.Run {
	top, _, _ := strings.Cut(name, "/")
	use := strings.ToLower(top)
	if unit == results.Op && slices.Contains(ownUses, use) {
		use = top // a benchmark that happens to be called Mining or Idle
	}
	if s.rounds[name]++; s.rounds[name] == 1 {
		s.rec.Plan.Scenarios = append(s.rec.Plan.Scenarios, name)
	}
	s.rec.Plan.Threads = max(s.rec.Plan.Threads, threads)
	s.rec.Runs = append(s.rec.Runs, results.Run{
		Scenario: name, Round: s.rounds[name], Anchor: results.Anchor{T: 0, UTC: s.rec.Start},
		Uses: []results.Use{{Use: use, Device: s.device(l, name), Workload: cmp.Or(l.get("pkg"), "unknown"), Impl: l.get("impl"), Role: results.Alone,
			Threads: threads, Unit: unit, FlopPerCount: results.Absent()}},
	})
	return &s.rec.Runs[len(s.rec.Runs)-1]
}

// modelKey is the configuration that names the model of the device of a line, which
// changes within a session.
const modelKey = "device-model"

// ownDevice is the part of a benchmark's name that names a device beside the CPU, as
// perwatt writes it.
var ownDevice = regexp.MustCompile(`/device=((?:cuda|hip|opencl):[0-9]{1,4})(?:/|$)`)

// device returns the id of the device that a line is of, and adds it to the node.
// The text names the model in its configuration; a CPU behind OpenCL is labelled
// there.
func (s *session) device(l benchLine, name string) string {
	m := ownDevice.FindStringSubmatch(name)
	if m == nil {
		return results.CPUDevice
	}
	d := results.Device{ID: m[1], Kind: results.KindGPU, Model: l.get(modelKey)}
	if strings.HasSuffix(d.Model, "(a CPU, through OpenCL)") {
		d.Kind = results.KindCPU
	}
	if s.rec.Node.Device(d.ID).ID == "" {
		s.rec.Node.Devices = append(s.rec.Node.Devices, d)
	}
	return d.ID
}

// ownUses are the names of uses that have a meaning in perwatt.
var ownUses = []string{"idle", results.Control, "mining", "training", "compute", "memory"}

// record finishes the record. Its identifier is a hash of what was measured, where
// and when, without the labels.
func (s *session) record() *results.Record {
	rec := s.rec
	rec.End = rec.Start.Add(time.Duration(min(s.length, longestWindow) * 1e9))
	for _, n := range s.rounds {
		rec.Plan.Rounds = max(rec.Plan.Rounds, n)
	}
	raw, err := json.Marshal([]any{rec.Node, rec.Tool, rec.Runs})
	if err != nil {
		panic(err) // no figure in it is infinite
	}
	sum := sha256.Sum256(raw)
	var id ulid.ULID
	id.SetTime(uint64(max(0, rec.Start.UnixMilli()))) // #nosec G104 G115 -- 48 bits last until 10889, ParseTime until 9999
	id.SetEntropy(sum[:10])                           // #nosec G104 -- 10 bytes, as it asks
	rec.ID = id.String()
	rec.Summary = results.Derive(rec)
	return rec
}

// ErrKept means that a record is in the store already.
var ErrKept = errors.New("it is in the store already")

// Keep puts a finished record into the store, under its own identifier.
func (s *Store) Keep(rec *results.Record) (path string, err error) {
	d, err := s.Create(rec.ID, rec.Start, false)
	if err == nil {
		path, err = d.commit(rec)
	}
	if errors.Is(err, fs.ErrExist) {
		err = fmt.Errorf("store: %s: %w", rec.ID, ErrKept)
	}
	return path, err
}
