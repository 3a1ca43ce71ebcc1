package store

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
	"golang.org/x/perf/benchfmt"

	"github.com/perwatt/perwatt/results"
)

// Bench says of benchmark text what it does not say itself.
type Bench struct {
	Node   string            // name; empty for the text's own "node"
	At     time.Time         // of what the text gives no time; zero if it must
	Labels map[string]string // of every record
}

// maxBench bounds, in bytes, the benchmark text that is read.
const maxBench = 64 << 20

// ReadBench makes records of Go benchmark text, one for each configuration
// ("commit: …", "cpu: …") in it, in its order. What go test timed is a window;
// its iterations are the work. What a record cannot hold is counted in said:
// allocations, and metrics that are neither time nor work.
//
// The text knows no watts, and little of the machine; each record says so. The
// same text and options give the same records, with the same identifiers. Their
// summaries are derived as those of all records are.
func ReadBench(in io.Reader, name string, opt Bench) (records []*results.Record, said []string, err error) {
	raw, err := io.ReadAll(io.LimitReader(in, maxBench+1))
	if err == nil && len(raw) > maxBench {
		err = fmt.Errorf("more than %d MiB", maxBench>>20)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("store: read %s: %w", name, err)
	}
	sessions := map[string]*session{}
	var order []*session
	wrong, dropped := 0, map[string]int{}
	text := benchfmt.NewReader(bytes.NewReader(raw), name)
	for text.Scan() {
		line, ok := text.Result().(*benchfmt.Result)
		if !ok {
			if bad := new(benchfmt.SyntaxError); errors.As(asError(text.Result()), &bad) {
				wrong++
				said = append(said, bad.Error())
			}
			continue
		}
		key := ""
		for _, c := range line.Config {
			if c.File && c.Key != "pkg" && c.Key != "impl" { // which change within a session
				key += c.Key + "\x00" + string(c.Value) + "\x00"
			}
		}
		s := sessions[key]
		if s == nil {
			if s, err = newSession(line, opt); err != nil {
				return nil, nil, fmt.Errorf("store: read %s: %w", name, err)
			}
			sessions[key] = s
			order = append(order, s)
		}
		if !s.add(line) {
			dropped["lines without a time or a rate of work"]++
		}
		for _, v := range line.Values {
			if _, _, ok := work(v); !ok && v.Unit != "sec/op" {
				dropped[v.Unit]++
			}
		}
	}
	if err := text.Err(); err != nil {
		return nil, nil, fmt.Errorf("store: read %s: %w", name, err)
	}
	for _, s := range order {
		if len(s.rec.Runs) > 0 {
			records = append(records, s.record())
		}
	}
	if len(records) == 0 {
		return nil, said, fmt.Errorf("store: read %s: it holds no benchmark lines that say how long one took", name)
	}
	var left []string
	for what, n := range dropped {
		left = append(left, fmt.Sprintf("%s (%d)", what, n))
	}
	slices.Sort(left)
	if len(left) > 0 {
		said = append(said, "left out, since a record has no place for it: "+strings.Join(left, ", "))
	}
	return records, said, nil
}

func asError(r benchfmt.Record) error {
	err, _ := r.(error)
	return err
}

// session is a record in the making.
type session struct {
	rec    *results.Record
	t      results.Float // s, end of the last run
	rounds map[string]int
}

// Names under which tools write the time of a benchmark and its commit.
var timeKeys, commitKeys = []string{"date", "time", "timestamp", "commit-time", "upload-time"}, []string{"commit", "revision", "git-commit", "vcs.revision"}

func newSession(line *benchfmt.Result, opt Bench) (*session, error) {
	config := func(keys ...string) string {
		for _, k := range keys {
			if v := line.GetConfig(k); v != "" {
				return v
			}
		}
		return ""
	}
	start := opt.At
	if said := config(timeKeys...); said != "" {
		var err error
		if start, err = ParseTime(said); err != nil {
			return nil, err
		}
	}
	if start.IsZero() {
		return nil, errors.New("it does not say when it was measured: say so with --at")
	}
	threads := 1
	if _, parts := line.Name.Parts(); len(parts) > 0 {
		if n, err := strconv.Atoi(strings.TrimPrefix(string(parts[len(parts)-1]), "-")); err == nil && n > 0 {
			threads = n
		}
	}
	absent := results.Absent()
	return &session{rounds: map[string]int{}, rec: &results.Record{
		Schema: results.SchemaVersion, Start: start.UTC(), State: results.Complete,
		Tool: results.Tool{Name: "go test", Version: "unknown", Revision: config(commitKeys...), Go: config("go", "go-version", "toolchain")},
		Node: results.Node{Name: cmp.Or(opt.Node, config("node", "host", "hostname"), "unknown"), OS: config("goos"), Arch: config("goarch"),
			CPU:      results.CPU{Model: config("cpu"), Threads: threads, Clock: absent},
			Settings: results.Settings{CPUQuota: absent, PowerCap: absent, Load: absent}},
		Plan: results.Plan{Preset: "import", Session: 1, Sessions: 1, Order: "as imported", Threads: threads, Settle: absent, Warmup: absent, Limit: absent, Window: absent, Interval: absent,
			Labels: opt.Labels},
		Warnings: []results.Warning{{
			Code:   "imported",
			Text:   "imported from Go benchmark text: not known are watts, sockets, cores, memory, kernel, microcode, governor, the checks of the answers, and the course of the work inside each window",
			Remedy: "hold it against other imports of the same benchmarks; measure with perwatt run for anything per watt",
		}},
	}}, nil
}

// work returns the unit of the work that a value counts by the second, and the
// rate.
func work(v benchfmt.Value) (unit results.Unit, rate float64, ok bool) {
	unit, ok = map[string]results.Unit{"hash/s": results.Hash, "sample/s": results.Sample, "samples/s": results.Sample, "FLOP/s": results.FLOP, "B/s": results.Byte, "op/s": results.Op}[v.Unit]
	return unit, v.Value, ok && v.Value > 0 && !math.IsInf(v.Value, 0)
}

// add makes a run of a line; ok is false if the line does not say how long it
// took. A rate other than op/s is that of the line's own unit of work, of which
// the iterations then are the count, as perwatt writes it.
func (s *session) add(line *benchfmt.Result) (ok bool) {
	unit, seconds := results.Op, 0.0
	if v, found := line.Value("sec/op"); found {
		seconds = v * float64(line.Iters)
	} else {
		for _, v := range line.Values {
			if u, rate, ok := work(v); ok {
				unit, seconds = u, float64(line.Iters)/rate
				break
			}
		}
	}
	if math.IsInf(seconds, 0) || !(s.t+results.Float(seconds) > s.t) || line.Iters < 1 { // too short to tell also
		return false
	}
	full := string(line.Name.Full())
	threads := s.rec.Plan.Threads
	if _, parts := line.Name.Parts(); len(parts) > 0 && parts[len(parts)-1][0] == '-' {
		full = strings.TrimSuffix(full, string(parts[len(parts)-1]))
		threads, _ = strconv.Atoi(string(parts[len(parts)-1][1:]))
	}
	use := strings.ToLower(string(line.Name.Base()))
	impl := line.GetConfig("impl")
	s.rounds[full+"\x00"+impl]++
	if !slices.Contains(s.rec.Plan.Scenarios, full) {
		s.rec.Plan.Scenarios = append(s.rec.Plan.Scenarios, full)
	}
	from, to := s.t, s.t+results.Float(seconds)
	s.t = to
	s.rec.Runs = append(s.rec.Runs, results.Run{
		Scenario: full, Round: s.rounds[full+"\x00"+impl], Status: results.OK,
		Anchor: results.Anchor{T: from, UTC: s.after(from)},
		Uses: []results.Use{{Use: use, Workload: cmp.Or(line.GetConfig("pkg"), "unknown"), Impl: impl, Role: results.Alone,
			Threads: max(1, threads), Unit: unit, FlopPerCount: results.Absent()}},
		Phases: []results.Phase{{Name: results.PhaseMeasure, From: from, To: to}},
		Traces: []results.Trace{{Of: results.WorkOf(use), Unit: unit, Kind: results.Counter, T: []results.Float{from, to}, V: []results.Float{0, results.Float(line.Iters)}}},
	})
	return true
}

// after is the time t seconds after the start.
func (s *session) after(t results.Float) time.Time {
	return s.rec.Start.Add(time.Duration(min(float64(t), 1e8) * 1e9))
}

// record finishes the record. What was measured, where and when makes its
// identifier; how it was labelled does not.
func (s *session) record() *results.Record {
	rec := s.rec
	rec.End = s.after(s.t)
	for _, n := range s.rounds {
		rec.Plan.Rounds = max(rec.Plan.Rounds, n)
	}
	raw, err := json.Marshal([]any{rec.Node, rec.Tool, rec.Runs})
	if err != nil {
		panic(err) // no figure in it is infinite
	}
	sum := sha256.Sum256(raw)
	var id ulid.ULID
	id.SetTime(uint64(max(0, rec.Start.UnixMilli())))
	id.SetEntropy(sum[:10])
	rec.ID = id.String()
	rec.Summary = results.Derive(rec)
	return rec
}

// ParseTime reads a day or a time as people and tools write them.
func ParseTime(s string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly, "2006-01-02T15:04", "2006-01-02 15:04", time.DateTime, "2006-01-02T15:04:05", "2006-01-02 15:04:05 -0700"} {
		if t, err := time.Parse(layout, s); err == nil {
			if y := t.UTC().Year(); y < 1970 || y > 9999 {
				break
			}
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%.40q is no time: write it as 2026-01-31 or 2026-01-31T02:00:00Z", s)
}

// ErrKept says that a record is in the store already.
var ErrKept = errors.New("it is in the store already")

// Keep puts a finished record into the store, under its own identifier.
func (s *Store) Keep(rec *results.Record) (path string, err error) {
	d, err := s.Create(rec.ID, rec.Start, false)
	if err == nil {
		path, err = d.Commit(rec)
	}
	if errors.Is(err, fs.ErrExist) {
		err = fmt.Errorf("store: %s: %w", rec.ID, ErrKept)
	}
	return path, err
}
