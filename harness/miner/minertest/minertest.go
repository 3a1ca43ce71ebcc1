// Package minertest is the conformance suite of [miner.Client]: the contract that every
// client keeps, whatever its API, and whatever the miner answers.
package minertest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/perwatt/perwatt/harness/endpoint"
	"github.com/perwatt/perwatt/harness/miner"
	"github.com/perwatt/perwatt/results"
)

// Rig is an API and a simulated miner with that API.
type Rig struct {
	Kind    string // of its spec
	Options []endpoint.Option
	Open    func(ctx context.Context, s endpoint.Spec) (miner.Client, error)
	// Verbs are all requests that the miner may get, as Serve spells them.
	Verbs []string
	// Serve runs the simulated miner until the test ends and returns its target.
	Serve func(t testing.TB, answer Answer) (target string)
	// Answers are those of a miner in good order, by request.
	Answers map[string]string
	// Of is the request whose answer has Member, a number that becomes the figure named
	// Figure.
	Of, Member, Figure string
}

// Timeout is that of the clients that the suite opens. It is long, because the machine
// may be loaded; tests that wait for it run in parallel.
const Timeout = 3 * time.Second

// open parses a spec, starts the simulated miner and opens a client of it.
func (r Rig) open(t testing.TB, answer Answer) (miner.Client, error) {
	t.Helper()
	s, err := endpoint.ParseSpec(fmt.Sprintf("%s:%s,timeout=%v", r.Kind, r.Serve(t, answer), Timeout), r.Options)
	if err != nil {
		return nil, err
	}
	return r.Open(t.Context(), s)
}

// log has the requests that a simulated miner got. Its handlers use it concurrently.
type log struct {
	mu    sync.Mutex
	heard map[string]int
}

func (l *log) note(request string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.heard == nil {
		l.heard = map[string]int{}
	}
	l.heard[request]++
}

func (l *log) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Sorted(maps.Keys(l.heard))
}

// good answers as a miner in good order does.
func (r Rig) good(request string) Reply {
	text, ok := r.Answers[request]
	if !ok {
		return Reply{Status: 404}
	}
	return Reply{Body: text}
}

// TestClient checks a client against the contract: its answers are well formed, it
// sends its verbs only, it obeys its context and may be closed twice.
func TestClient(t *testing.T, r Rig) {
	t.Helper()
	var heard log
	d, err := r.open(t, func(request string) Reply {
		heard.note(request)
		return r.good(request)
	})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	for _, err := range check(t.Context(), d) {
		t.Error(err)
	}
	for _, request := range heard.all() {
		if !slices.Contains(r.Verbs, request) {
			t.Errorf("it sent %q, which is none of its verbs: %q", request, r.Verbs)
		}
	}
	if len(heard.all()) == 0 {
		t.Error("the peer heard nothing")
	}
}

// units are those of each quantity.
var units = map[string]results.Unit{
	results.ReportedRate: "hash/s", results.ReportedNominal: "hash/s", results.ReportedWork: "hash", results.ReportedElapsed: "s",
	results.ReportedAccepted: "hash", results.ReportedRejected: "hash", results.ReportedStale: "hash", results.ReportedDifficulty: "hash",
	results.ReportedShares: "1", results.ReportedRefused: "1", results.ReportedErrors: "1",
	results.ReportedPower: "W", results.ReportedTemperature: "K", results.ReportedFan: "Hz", results.ReportedFrequency: "Hz",
}

// check returns everything that is wrong with a client, and closes it.
func check(ctx context.Context, d miner.Client) (all []error) {
	bad := func(format string, args ...any) { all = append(all, fmt.Errorf(format, args...)) }
	info := d.Info()
	if info.Name == "" || info.API == "" || info.Source == "" {
		bad("info needs a name, an API and a source: %+v", info)
	}
	for _, text := range append([]string{info.Name, info.Model, info.Firmware}, info.Notes...) {
		if text != plain(text) {
			bad("info has control characters: %q", text)
		}
	}
	for range 2 {
		before := time.Now()
		a, err := d.Read(ctx)
		after := time.Now()
		if err != nil {
			bad("read: %w", err)
			break
		}
		if a.At == a.At.Round(0) || a.At.Before(before) || a.At.After(after) || a.Slack < 0 || a.Slack > after.Sub(before) {
			bad("time %v ± %v has no monotonic part or lies outside the read, %v to %v", a.At, a.Slack, before, after)
		}
		if len(a.Figures) == 0 {
			bad("an answer without a figure and no error")
		}
		for _, f := range a.Figures {
			switch {
			case f.Name == "" || f.Name != plain(f.Name):
				bad("%s has no plain name: %q", f.Of, f.Name)
			case units[f.Of] == "" || units[f.Of] != f.Unit:
				bad("%s: a figure of %q in %q", f.Name, f.Of, f.Unit)
			case f.Value.IsAbsent():
				bad("%s: a figure without a value", f.Name)
			case number(f.Value) < 0:
				bad("%s: %v is below 0", f.Name, number(f.Value))
			case f.Of == results.ReportedPower && f.Origin == "":
				bad("%s: watts of which it is not said what they are", f.Name)
			case f.Of != results.ReportedPower && (f.Origin != "" || f.Boundary != ""):
				bad("%s: a %s has no boundary and no origin", f.Name, f.Of)
			}
		}
		if a.Mode != plain(a.Mode) {
			bad("the mode has control characters: %q", a.Mode)
		}
	}
	if now := d.Info(); fmt.Sprint(now) != fmt.Sprint(info) {
		bad("info changed from %+v to %+v", info, now)
	}
	over, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := d.Read(over); !errors.Is(err, context.Canceled) {
		bad("read with a context that has ended: got error %v, want %v", err, context.Canceled)
	}
	for i := range 2 {
		if err := d.Close(); err != nil {
			bad("close, time %d: %w", i+1, err)
		}
	}
	if _, err := d.Read(ctx); err == nil {
		bad("read after close: no error")
	}
	return all
}

// plain is a text without control characters.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || 0x7f <= r && r < 0xa0 {
			return -1
		}
		return r
	}, s)
}

// number is the reported value; NaN if there is none.
func number(s results.SelfReported) (n float64) {
	s.Print(func(f results.Float) string { n = float64(f); return "" })
	return n
}

// fault is a fault in one answer, and its permitted outcomes.
type fault struct {
	reply func(good, member string) Reply
	want  outcome
}

type outcome int

const (
	fails   outcome = iota // the read fails, or only the figures of that answer are missing
	same                   // nothing is lost
	lost                   // the figure is missing, and no other
	refused                // as lost, and the reason names it
)

// value replaces a member's value, which is a number, by other text.
func value(other string) func(good, member string) Reply {
	return func(good, member string) Reply {
		return Reply{Body: valueOf(member).ReplaceAllString(good, strings.ReplaceAll(other, "$", "$$"))}
	}
}

// valueOf matches a member whose value is a number, or a text that is one.
func valueOf(name string) *regexp.Regexp {
	return regexp.MustCompile(`"` + regexp.QuoteMeta(name) + `"\s*:\s*"?[-0-9.eE+]+"?`)
}

func how(h How) func(good, member string) Reply {
	return func(good, _ string) Reply { return Reply{Body: good, How: h} }
}

func body(f func(good string) string) func(good, member string) Reply {
	return func(good, _ string) Reply { return Reply{Body: f(good)} }
}

func status(code int) func(good, member string) Reply {
	return func(good, _ string) Reply { return Reply{Body: good, Status: code} }
}

// Faults are the faults that an answer can have.
var faults = map[string]fault{
	"time-out":                 {how(Silent), fails},
	"half an answer":           {how(Half), fails},
	"cut short":                {how(Cut), fails},
	"drip":                     {how(Drip), fails},
	"hang up":                  {how(Hangup), fails},
	"401":                      {status(401), fails},
	"500":                      {status(500), fails},
	"redirect":                 {status(302), fails},
	"empty":                    {body(func(string) string { return "" }), fails},
	"junk":                     {body(func(string) string { return "\x16\x03\x01\xff<html>\x1b[2J" }), fails},
	"a list":                   {body(func(string) string { return "[1,2,3]" }), fails},
	"no member at all":         {body(func(string) string { return "{}" }), fails},
	"huge":                     {body(func(s string) string { return s + strings.Repeat(" ", 2<<20) }), fails},
	"endless":                  {how(Endless), fails},
	"deep":                     {body(func(string) string { return strings.Repeat(`{"a":[`, 100_000) }), fails},
	"many":                     {body(func(string) string { return `{"a":[` + strings.Repeat("0,", 400_000) + `0]}` }), fails},
	"two answers":              {body(func(s string) string { return s + s }), fails},
	"null":                     {value(`"$member":null`), lost},
	"N/A":                      {value(`"$member":"N/A"`), lost},
	"no text":                  {value(`"$member":""`), lost},
	"missing":                  {value(`"other":1`), lost},
	"an object":                {value(`"$member":{"a":1}`), refused},
	"a list of one":            {value(`"$member":[1]`), refused},
	"true":                     {value(`"$member":true`), refused},
	"nan":                      {value(`"$member":nan`), refused},
	"-inf":                     {value(`"$member":-inf`), refused},
	`"inf"`:                    {value(`"$member":"inf"`), refused},
	"hexadecimal":              {value(`"$member":0x10`), refused},
	"two numbers":              {value(`"$member":"12 13"`), refused},
	"a comma in it":            {value(`"$member":"13,456.78"`), refused},
	"below 0":                  {value(`"$member":-1`), refused},
	"absurd":                   {value(`"$member":1e300`), refused},
	"out of range":             {value(`"$member":1e999`), refused},
	"twice":                    {value(`"$member":1,"$member":2`), refused},
	"a colour of a terminal":   {value(`"$member":"\u001b[31m"`), refused},
	"a comma too many":         {body(func(s string) string { return strings.ReplaceAll(strings.ReplaceAll(s, "}", ",}"), "]", ",]") }), same},
	"no comma after objects":   {body(func(s string) string { return between.ReplaceAllString(s, "}{") }), same},
	"no comma before a name":   {body(func(s string) string { return before.ReplaceAllString(s, `$1 "`) }), same},
	"control bytes":            {body(func(s string) string { return "\x01" + strings.ReplaceAll(s, ",", "\x00\x02,\x1f") + "\x00\n" }), same},
	"the number as a text":     {func(good, member string) Reply { return Reply{Body: quoted(good, member)} }, same},
	"twice and the same":       {func(good, member string) Reply { return Reply{Body: valueOf(member).ReplaceAllString(good, "$0,$0")} }, same},
	"a member of no name here": {body(func(s string) string { return strings.Replace(s, "{", `{"\u0000\ud800":"\xff\q",`, 1) }), same},
}

var (
	between = regexp.MustCompile(`\}\s*,\s*\{`)
	before  = regexp.MustCompile(`(["0-9\]}])\s*,\s*"`)
)

// quoted turns a member's number into a text.
func quoted(good, member string) string {
	return regexp.MustCompile(`("`+regexp.QuoteMeta(member)+`"\s*:\s*)([-0-9.eE+]+)`).ReplaceAllString(good, `$1"$2"`)
}

// TestFaults injects each fault into one answer to an open client and checks one rule:
// each figure is as without the fault, or missing. Before and after the fault all are
// there.
func TestFaults(t *testing.T, r Rig) {
	t.Helper()
	for name, f := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, err := range r.suffer(t, f) {
				t.Error(err)
			}
		})
	}
}

func (r Rig) suffer(t testing.TB, f fault) (wrong []error) {
	bad := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf(format, args...)) }
	var mu sync.Mutex
	broken := false
	d, err := r.open(t, func(request string) Reply {
		mu.Lock()
		defer mu.Unlock()
		if !broken || request != r.Of {
			return r.good(request)
		}
		reply := f.reply(r.Answers[request], r.Member)
		reply.Body = strings.ReplaceAll(reply.Body, "$member", r.Member)
		return reply
	})
	if err != nil {
		return []error{fmt.Errorf("open: %w", err)}
	}
	defer d.Close()
	set := func(b bool) {
		mu.Lock()
		defer mu.Unlock()
		broken = b
	}
	read := func() (map[string]float64, []string, error) {
		a, err := d.Read(t.Context())
		figures := map[string]float64{}
		for _, f := range a.Figures {
			figures[f.Of+" "+f.Name] = number(f.Value)
		}
		return figures, a.Refused, err
	}
	want, _, err := read()
	if err != nil {
		return []error{fmt.Errorf("read before the fault: %w", err)}
	}
	var of string
	for name := range want {
		if _, n, _ := strings.Cut(name, " "); n == r.Figure {
			of = name
		}
	}
	if of == "" {
		return []error{fmt.Errorf("the good answer has no figure %q, only %q", r.Figure, slices.Sorted(maps.Keys(want)))}
	}
	set(true)
	got, why, err := read()
	if f.want != fails && err != nil {
		bad("the read failed, though the rest could be read: %w", err)
	}
	if f.want == fails && err == nil && len(got) == len(want) {
		bad("the fault left no trace")
	}
	for name, v := range got {
		if w, ok := want[name]; ok && !(math.Abs(v-w) <= 1e-12*math.Abs(w)) {
			bad("%s is %v instead of %v: neither right nor absent", name, v, w)
		}
	}
	_, there := got[of]
	switch {
	case err != nil || f.want == fails:
	case f.want == same && len(got) != len(want):
		bad("%d figures of %d are left: %q", len(got), len(want), why)
	case (f.want == lost || f.want == refused) && there:
		bad("%s is there", of)
	case f.want == refused && !slices.ContainsFunc(why, func(s string) bool { return strings.Contains(s, r.Figure) }):
		bad("nothing says that %s is refused: %q", r.Figure, why)
	}
	for _, text := range append(why, fmt.Sprint(err)) {
		if text != plain(text) || len(text) > 1024 {
			bad("a reason that is no line to show: %q", text)
		}
	}
	set(false)
	if after, why, err := read(); err != nil || !maps.Equal(after, want) {
		bad("after the fault it is not as before: %v %q %w", after, why, err)
	}
	return wrong
}

// Written writes figures as tests compare them: rate GHS av 1.03e+14 hash/s
// over 7200, power Power 3417 W psu measured.
func Written(figures []results.SelfReportedField) (out []string) {
	for _, f := range figures {
		text := fmt.Sprintf("%s %s %.10g %s", f.Of, f.Name, number(f.Value), f.Unit)
		if !f.Over.IsAbsent() {
			text += fmt.Sprintf(" over %v", number(f.Over))
		}
		out = append(out, strings.Join(strings.Fields(text+" "+string(f.Boundary)+" "+string(f.Origin)), " "))
	}
	return out
}

// Sound fails unless the collected figures can go into a record, whatever was parsed.
func Sound(t testing.TB, s miner.Collector) {
	t.Helper()
	if len(s.Figures) > 128 || len(s.Refused) > 32 {
		t.Errorf("%d figures and %d refusals of one answer", len(s.Figures), len(s.Refused))
	}
	for _, f := range s.Figures {
		if v := number(f.Value); !(v >= 0 && v <= 1e27) || f.Unit != units[f.Of] || f.Name != plain(f.Name) || len(f.Name) > 128 {
			t.Errorf("a figure that is none: %+v", f)
		}
	}
	for _, r := range s.Refused {
		if r != plain(r) || len(r) > 256 {
			t.Errorf("a refusal that is no line: %q", r)
		}
	}
}
