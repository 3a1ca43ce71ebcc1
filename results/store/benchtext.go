package store

import (
	"bufio"
	"cmp"
	"compress/bzip2"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/perf/benchfmt"

	"github.com/perwatt/perwatt/results"
)

// maxBench bounds benchmark text, in bytes after unpacking.
const maxBench = 64 << 20

// unpackBench unpacks the text in r and returns it as UTF-8. cut is the error of a
// packed file that ends early; text is then the part before that.
func unpackBench(r io.Reader) (text string, cut error, err error) {
	in := bufio.NewReader(r)
	magic, _ := in.Peek(6) // an error shows up again on reading
	unpacked, packed := io.Reader(in), true
	switch begins := func(s string) bool { return strings.HasPrefix(string(magic), s) }; {
	case begins("\x1f\x8b"):
		unpacked, err = gzip.NewReader(in)
	case begins("\x28\xb5\x2f\xfd"):
		var z *zstd.Decoder
		if z, err = zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(2*maxBench)); err == nil {
			defer z.Close()
			unpacked = z
		}
	case begins("BZh"):
		unpacked = bzip2.NewReader(in)
	case begins("\xfd7zXZ"), begins("PK\x03\x04"), begins("7z\xbc\xaf"):
		err = errors.New("it is packed with xz, zip or 7z: unpack it first")
	default:
		packed = false
	}
	if err != nil {
		return "", nil, err
	}
	raw, err := io.ReadAll(io.LimitReader(unpacked, maxBench+1))
	switch {
	case err != nil && !(packed && len(raw) > 0):
		return "", nil, err
	case len(raw) > maxBench:
		return "", nil, fmt.Errorf("more than %d MiB of text: split it", maxBench>>20)
	}
	return results.Decoded(raw), err, nil
}

// control matches the sequences with which programs colour a terminal and runners
// hide messages to their own viewers.
var control = regexp.MustCompile(`\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]_P^X][^\x07\x1b]*(?:\x07|\x1b\\)|\x{9b}[0-?]*[ -/]*[@-~]|\x1b[ -/]*[0-~]`)

// plainLine removes from a line what is not text: byte order marks, which begin each
// of several concatenated files, colours, and the zeros of UTF-16 appended to other
// text. A line that is not UTF-8 is read as Latin-1, in which every byte is a
// character.
func plainLine(line string) string {
	line = strings.TrimLeft(strings.ReplaceAll(line, "\x00", ""), "\ufeff")
	if !utf8.ValidString(line) {
		var b strings.Builder
		for i := range len(line) {
			b.WriteRune(rune(line[i]))
		}
		line = b.String()
	}
	if strings.ContainsAny(line, "\x1b\u009b") {
		line = control.ReplaceAllString(line, "")
	}
	return line
}

// passed counts the lines that were passed over, by kind, with the first of each.
type passed struct {
	kinds []string
	n     map[string]int
	first map[string]string
}

func (p *passed) add(kind, place, example string) {
	if p.n[kind]++; p.n[kind] == 1 {
		p.kinds = append(p.kinds, kind)
		if r := []rune(strings.TrimSpace(example)); len(r) > 60 {
			example = string(r[:60]) + "…"
		}
		p.first[kind] = strings.TrimRight(place+": "+strings.TrimSpace(example), ": ")
	}
}

func (p *passed) String() string {
	var parts []string
	for _, k := range p.kinds {
		parts = append(parts, fmt.Sprintf("%s (%d, first %s)", k, p.n[k], p.first[k]))
	}
	return strings.Join(parts, "; ")
}

// Kinds of lines that are passed over.
const (
	oddLine    = "benchmark lines that cannot be read"
	noFigure   = "benchmark lines without a time or a rate of work that can be true"
	behind     = "benchmark lines with something before them"
	unfinished = "benchmarks without a result"
	logLine    = "log lines that look like configuration"
	badDate    = "dates that cannot be read"
	noDate     = "benchmark lines that do not say when they were measured"
	mixed      = "benchmark lines of packages that wrote at the same time, whose they are is not known"
	failure    = "failures"
	skipped    = "skipped benchmarks"
	cutShort   = "packed files that end early"
)

// benchConfig is the configuration at a line. It is immutable.
type benchConfig struct {
	values  map[string]string
	session string // all of it except the keys that change within a session
}

func newBenchConfig(values map[string]string) *benchConfig {
	var session []string
	for _, k := range slices.Sorted(maps.Keys(values)) {
		if k != "pkg" && k != "impl" && k != modelKey && k != "gomaxprocs" {
			session = append(session, k, values[k])
		}
	}
	return &benchConfig{values, strings.Join(session, "\x00")}
}

// get returns the value of the first key that has one.
func (c *benchConfig) get(keys ...string) string {
	for _, k := range keys {
		if v := c.values[k]; v != "" {
			return v
		}
	}
	return ""
}

// benchLine is a benchmark line, or a failure.
type benchLine struct {
	*benchConfig
	place  string
	began  time.Time // of the run, by the times in a log; zero if it has none
	name   string    // without "Benchmark"; empty for a failure of all that follows
	iters  int
	values []benchfmt.Value
	failed string // the failure, if it is one
	mixed  bool
}

// benchText finds the lines of go test and benchfmt in a log. [benchfmt.Reader] alone
// would take every "key: value" line of a log for configuration.
type benchText struct {
	name    string
	passed  passed
	lines   []benchLine
	plain   *benchStream
	streams map[string]*benchStream // of the packages of go test -json
	badDate error                   // the last

	began, last time.Time // of the current run, by the times in a log
}

func newBenchText(name string) *benchText {
	t := &benchText{name: name, passed: passed{n: map[string]int{}, first: map[string]string{}}, streams: map[string]*benchStream{}}
	t.plain = &benchStream{text: t, gap: true, config: newBenchConfig(map[string]string{})}
	return t
}

// event is a line of go test -json: https://pkg.go.dev/cmd/test2json.
type event struct {
	Time                                time.Time
	Action, Package, ImportPath, Output string
}

// stamped matches the time that a runner writes before each line of its log.
var stamped = regexp.MustCompile(`^\[?(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d))(?: \d\d[OE]\+?)?\]?(?: |$)`)

// unstamp cuts that time from a line, and the job and step that gh run view --log
// writes before it.
func unstamp(line string) (at time.Time, rest string) {
	_, step, _ := strings.Cut(line, "\t")
	_, after, _ := strings.Cut(step, "\t")
	for _, l := range []string{line, strings.TrimLeft(after, "\ufeff")} {
		if m := stamped.FindStringSubmatch(l); m != nil {
			at, _ = ParseTime(m[1])
			return at, l[len(m[0]):]
		}
	}
	return at, line
}

func (t *benchText) read(text string) {
	// A carriage return ends a line too: progress bars write over it.
	text = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(text)
	n := 0
	for line := range strings.Lines(text) {
		n++
		at, line := unstamp(plainLine(strings.TrimSuffix(line, "\n")))
		place := fmt.Sprint(t.name, ":", n)
		var e event
		if strings.HasPrefix(line, "{") && json.Unmarshal([]byte(line), &e) == nil && e.Action != "" && e.Package+e.ImportPath != "" {
			s := t.stream(cmp.Or(e.Package, e.ImportPath))
			t.at(e.Time)
			s.write(e.Output, place)
			continue
		}
		t.at(at)
		t.plain.line(line, place)
	}
	t.streams[""] = t.plain
	for _, pkg := range slices.Sorted(maps.Keys(t.streams)) {
		s := t.streams[pkg]
		s.line(s.partial, fmt.Sprint(t.name, ":", n))
		s.flush(true)
		s.drop()
	}
}

// stream returns the stream of a package.
func (t *benchText) stream(pkg string) *benchStream {
	if s := t.streams[pkg]; s != nil {
		return s
	}
	values := maps.Clone(t.plain.config.values)
	values["pkg"] = pkg
	s := &benchStream{text: t, gap: true, config: newBenchConfig(values)}
	t.streams[pkg] = s
	return s
}

// benchStream is the output of one writer: a file, or one package in go test -json.
type benchStream struct {
	text    *benchText
	partial string // line that has not ended
	config  *benchConfig

	group   []setting // adjacent lines that look like configuration
	gap     bool      // the last other line was empty, or there was none
	bracket bool      // the group began after a gap
	inGo    bool      // between the configuration that go test writes and the end of the test

	pending, pendingAt string // a benchmark without its result yet
	failing            int    // 1 + index of the failure that the next line explains
	packages           []running
}

// setting is a line that may be configuration.
type setting struct{ key, value, place string }

// running is a package whose benchmarks began.
type running struct {
	pkg   string
	from  int // index of its first line
	ended bool
}

// Limits on the text.
const (
	maxName     = 1000     // bytes, of a benchmark, a package or a machine
	maxLine     = 64 << 10 // bytes, of a line that may be a benchmark's
	maxGroup    = 1000     // adjacent lines that look like configuration
	maxKeys     = 100      // of configuration
	maxPackages = 64       // writing at the same time
)

// newRun is the gap between two lines of a log at which another run begins.
const newRun = 6 * time.Hour

// at notes when a line was written. Packages that write at the same time are one run.
func (t *benchText) at(now time.Time) {
	if now.IsZero() {
		return
	}
	if now.Sub(t.last).Abs() > newRun {
		t.began = now
	}
	t.last = now
}

func (s *benchStream) write(text, place string) {
	if s.partial += text; len(s.partial) > maxLine {
		s.partial = s.partial[:maxLine] // too long for a benchmark line
	}
	for {
		line, rest, ok := strings.Cut(s.partial, "\n")
		if !ok {
			return
		}
		s.partial = rest
		s.line(plainLine(strings.TrimSuffix(line, "\r")), place)
	}
}

var (
	settingLine = regexp.MustCompile(`^(\p{Ll}[^\s\p{Lu}:]*):(?:[ \t]+(.*))?$`) // https://go.dev/design/14313-benchmark-format
	endLine     = regexp.MustCompile(`^(?:ok|FAIL|\?)[ \t]+(\S+)[ \t]+(?:[0-9.]+s|\(cached\)|\[)`)
	failedLine  = regexp.MustCompile(`^(?:Benchmark\S*\s+)?(--- (FAIL|SKIP): (?:Benchmark)?(\S+))`)
	brokenLine  = regexp.MustCompile(`^(panic: |fatal error: |signal: |SIG[A-Z]+: |\*\*\* Test killed|FAIL[ \t]+\S+ \[(build|setup) failed\])`)
	resultLine  = regexp.MustCompile(`^\s*[0-9]+\s+[0-9.]+ ns/op`)
	behindLine  = regexp.MustCompile(`.Benchmark[\pL_]\S*\s+[0-9]+\s+[0-9.]+\s+\S+/`)
)

func (s *benchStream) line(line, place string) {
	line = strings.TrimRight(line, " \t")
	failing := s.failing
	s.failing = 0
	var failed, end []string
	broken := false
	first, _ := utf8.DecodeRuneInString(line)
	switch { // most lines of a log are none of these
	case first == '-' || first == 'B':
		failed = failedLine.FindStringSubmatch(line)
	case first == 'o' || first == '?' || first == 'F':
		end = endLine.FindStringSubmatch(line)
	}
	if strings.ContainsRune("pfsS*F", first) {
		broken = brokenLine.MatchString(line)
	}
	if unicode.IsLower(first) && !broken {
		if m := settingLine.FindStringSubmatch(line[:min(len(line), maxLine)]); m != nil {
			if len(s.group) == maxGroup {
				s.flush(false)
			}
			if len(s.group) == 0 {
				s.bracket = s.gap
			}
			s.group = append(s.group, setting{m[1], m[2], place})
			return
		}
	}
	s.flush(line == "")
	s.gap = line == "" || strings.HasPrefix(line, "Unit ")
	if broken || end != nil || line == "PASS" || line == "FAIL" {
		s.drop()
		s.inGo = false
	}
	if end != nil {
		s.end(end[1])
	}
	switch {
	case broken:
		s.text.passed.add(failure, place, line)
		s.add(benchLine{place: place, failed: line[:min(len(line), 200)]})
	case failed != nil && failed[2] == "SKIP":
		s.pending = ""
		s.text.passed.add(skipped, place, failed[1])
	case failed != nil:
		s.pending = ""
		s.text.passed.add(failure, place, failed[1])
		if strings.Contains(failed[1], ": Benchmark") && len(failed[3]) <= maxName {
			s.add(benchLine{place: place, name: printable(failed[3]), failed: failed[1]})
			s.failing = len(s.text.lines)
		}
	case strings.HasPrefix(line, "Benchmark"):
		s.benchmark(line, place)
	case s.pending != "" && resultLine.MatchString(line):
		line, s.pending = s.pending+" "+line, ""
		s.benchmark(line, place)
	case failing > 0 && strings.HasPrefix(line, "    "):
		s.text.lines[failing-1].failed += ": " + printable(strings.TrimSpace(line[:min(len(line), 300)]))
	case strings.Contains(line, "Benchmark") && behindLine.MatchString(line):
		s.text.passed.add(behind, place, line)
	}
}

// benchmark reads a line that begins with Benchmark. Go writes the name, runs the
// benchmark, and then writes the rest; output of the benchmark comes in between.
func (s *benchStream) benchmark(line, place string) {
	fields := strings.Fields(line[len("Benchmark"):])
	first, _ := utf8.DecodeRuneInString(line[len("Benchmark"):])
	if len(fields) == 0 || unicode.IsSpace(first) || unicode.IsLower(first) { // no benchmark in Go is called so
		return
	}
	s.drop()
	if len(fields) == 1 { // one that prints, or go test -v
		s.pending, s.pendingAt = line, ""
		return
	}
	_, notCount := strconv.Atoi(fields[1])
	var r *benchfmt.Result
	if in := benchfmt.NewReader(strings.NewReader(line), ""); in.Scan() {
		r, _ = in.Result().(*benchfmt.Result)
	}
	switch named := len(fields[0]) <= maxName && first != '-'; {
	case named && r != nil:
		s.add(benchLine{place: place, name: printable(fields[0]), iters: r.Iters, values: r.Values})
	case named && notCount != nil && strings.Count(line, "Benchmark") == 1:
		s.pending, s.pendingAt = "Benchmark"+fields[0], place
	default:
		s.text.passed.add(oddLine, place, line)
	}
}

// drop gives up waiting for the result of the pending benchmark.
func (s *benchStream) drop() {
	if s.pending != "" && s.pendingAt != "" {
		s.text.passed.add(unfinished, s.pendingAt, s.pending)
	}
	s.pending = ""
}

func (s *benchStream) add(l benchLine) {
	l.benchConfig, l.began = s.config, s.text.began
	s.text.lines = append(s.text.lines, l)
}

// begin and end note which packages write. If a package ends after another one has
// begun, both wrote at the same time, and the lines since then may be of either.
func (s *benchStream) begin(pkg string) {
	s.packages = slices.DeleteFunc(s.packages, func(r running) bool { return r.pkg == pkg })
	s.packages = append(s.packages, running{pkg: pkg, from: len(s.text.lines)})
	s.packages = s.packages[max(0, len(s.packages)-maxPackages):]
}

func (s *benchStream) end(pkg string) {
	i := slices.IndexFunc(s.packages, func(r running) bool { return r.pkg == pkg && !r.ended })
	if i < 0 {
		return
	}
	if i+1 < len(s.packages) {
		for j := s.packages[i+1].from; j < len(s.text.lines); j++ {
			if l := &s.text.lines[j]; l.failed == "" && !l.mixed {
				l.mixed = true
				s.text.passed.add(mixed, l.place, l.name)
			}
		}
	}
	s.packages[i].ended = true
	for len(s.packages) > 0 && s.packages[0].ended {
		s.packages = s.packages[1:]
	}
}

// benchKey is the meaning of a configuration key and the form of its values.
type benchKey struct {
	of    keyKind
	valid func(string) bool
}

type keyKind int

const (
	ofRun  keyKind = iota // code, time, package: configuration wherever it stands
	ofTest                // the same, and written by go test itself
	ofRest                // configuration at the head of a run
	ofNone                // a message of go test
)

var (
	aWord   = regexp.MustCompile(`^[^\s:]+$`)
	aName   = regexp.MustCompile(`^\S+$`)
	aPort   = regexp.MustCompile(`:\d+$|//`)
	aNumber = regexp.MustCompile(`^[\d.,]+ *%?$`)
	aGo     = regexp.MustCompile(`^(go version )?(go ?)?(v?\d+\.\d|devel|tip|gotip)`)
	counts  = regexp.MustCompile(`^[1-9]\d{0,4}(,[1-9]\d{0,4})*$`)
	someDay = regexp.MustCompile(`\d{4}|\d[/.-]\d`)

	isTime = func(s string) bool { _, err := ParseTime(s); return err == nil }
	isHost = func(s string) bool { return aName.MatchString(s) && !aPort.MatchString(s) }
	isGo   = aGo.MatchString
	isWhat = func(s string) bool { return !aNumber.MatchString(s) } // a model, not a load such as "cpu: 97 %"
)

var benchKeys = map[string]benchKey{
	"goos": {ofTest, aWord.MatchString}, "goarch": {ofTest, aWord.MatchString}, "pkg": {ofRun, aName.MatchString},
	"commit": {ofRun, aName.MatchString}, "revision": {ofRun, aName.MatchString}, "git-commit": {ofRun, aName.MatchString}, "vcs.revision": {ofRun, aName.MatchString},
	"date": {ofRun, isTime}, "commit-time": {ofRun, isTime}, "upload-time": {ofRun, isTime},
	"time": {ofRest, isTime}, "timestamp": {ofRest, isTime},
	"cpu": {ofRest, isWhat}, "node": {ofRest, isHost}, "host": {ofRest, isHost}, "hostname": {ofRest, isHost},
	"machine": {ofRest, isWhat}, "instance": {ofRest, isWhat}, "runner": {ofRest, isWhat}, "image": {ofRest, isWhat}, "toolchain": {ofRest, isWhat}, "compiler": {ofRest, isWhat},
	"go": {ofRest, isGo}, "go-version": {ofRest, isGo}, "gomaxprocs": {ofRest, counts.MatchString},
	"coverage": {of: ofNone}, "testing": {of: ofNone}, "warning": {of: ofNone}, "note": {of: ofNone}, "error": {of: ofNone},
}

// Names under which tools write the time of a benchmark and its commit.
var timeKeys, commitKeys = []string{"date", "time", "timestamp", "commit-time", "upload-time"}, []string{"commit", "revision", "git-commit", "vcs.revision"}

// flush decides which of the lines in the group are configuration and which a
// program under test printed. Outside a test, every key with a valid value is
// configuration. Inside a test, between its goos and goarch lines and its end, only
// these are:
//   - keys that name the code or the time, known keys in their group, and every key
//     above the last of them;
//   - a group between two empty lines, as benchfmt writes it;
//   - keys of the surroundings that had a value before.
//
// empty means that an empty line follows.
func (s *benchStream) flush(empty bool) {
	group := s.group
	s.group = nil
	if len(group) == 0 {
		return
	}
	valid := func(g setting) bool {
		k, ok := benchKeys[g.key]
		return ok && k.of != ofNone && len(g.value) <= maxName && (g.value == "" || k.valid(g.value))
	}
	last := -1
	for i, g := range group {
		if valid(g) && benchKeys[g.key].of <= ofTest {
			last = i
		}
	}
	values := maps.Clone(s.config.values)
	for i, g := range group {
		k, known := benchKeys[g.key]
		free := !s.inGo || s.bracket && empty || i < last
		again := k.of == ofRest && g.key != "cpu" && values[g.key] != "" // go test writes that one, and logs do
		placed := free || again || k.of <= ofTest || last >= 0
		switch {
		case k.of == ofNone && known:
		case known && valid(g) && placed, !known && free && len(g.value) <= maxName && len(values) < maxKeys:
			values[g.key] = printable(g.value)
			if g.value == "" {
				delete(values, g.key)
			}
			s.inGo = s.inGo || k.of == ofTest && known
			if g.key == "pkg" {
				s.begin(g.value)
			}
			continue
		case slices.Contains(timeKeys, g.key) && (free || last >= 0 || k.of == ofRun && someDay.MatchString(g.value)):
			_, s.text.badDate = ParseTime(g.value)
			s.text.passed.add(badDate, g.place, g.key+": "+g.value)
			delete(values, g.key)
			continue
		}
		if g.value != "" || known {
			s.text.passed.add(logLine, g.place, g.key+": "+g.value)
		}
	}
	if !maps.Equal(values, s.config.values) {
		s.config = newBenchConfig(values)
	}
}

// printable escapes characters that do not print, and white space other than the
// space, as Go does in the names of benchmarks.
func printable(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r == ' ' || unicode.IsPrint(r) {
			b.WriteRune(r)
			continue
		}
		q := strconv.QuoteRune(r)
		b.WriteString(q[1 : len(q)-1])
	}
	return b.String()
}
