// Package cgminer queries miners through the RPC API of cgminer (API-README in its
// source): TCP, one command per connection, one answer in JSON that ends with NUL or
// with the connection. It knows the dialects of Antminer, LuxOS, Avalon, Whatsminer
// (API versions 1 and 2), Auradine, Braiins OS, SealMiner, bfgminer and cgminer itself,
// reads others that use the same field names, and also the plain text of cpuminer-opt
// and ccminer.
//
// Sources for most dialects are their makers' pages and recorded answers:
//
//   - Whatsminer API V2.0.5, MicroBT: summary, devdetails, get_version
//   - LuxOS, docs.luxor.tech/firmware/api/luxminer: power, config
//   - Avalon A12xx API, Canaan: estats and the fields of PS
//   - the answers recorded in asic-rs and pyasic, for each of them
//
// It sends [Verbs] only, and never a parameter, with which some verbs would set what
// they otherwise show.
package cgminer

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/perwatt/perwatt/harness/endpoint"
	"github.com/perwatt/perwatt/harness/miner"
	"github.com/perwatt/perwatt/results"
)

// Options are those of its spec.
var Options = miner.Common

// Port is the default port of the API.
const Port = "4028"

// Verbs are all requests that are ever sent. None changes anything: each is read-only
// in cgminer's own table or in its maker's documentation.
var Verbs = miner.Verbs{version, summary, devs, stats, estats, power, config, devdetails, getVersion}

const (
	version    = "version"
	summary    = "summary"
	devs       = "devs"
	stats      = "stats"
	estats     = "estats"
	power      = "power"
	config     = "config"
	devdetails = "devdetails"
	getVersion = "get_version"
)

// dialect describes the API of one maker.
type dialect struct {
	name  string
	marks []string // in lower case; its miners' names contain one of them
	each  []string // queried at each reading after the summary
	power string   // what its power figure is, if it has one
	notes []string // about its other figures
}

var (
	antminer = &dialect{name: "Antminer", marks: []string{"bmminer", "antminer", "vnish", "hiveon"}, each: []string{stats},
		power: "total_power, the sum of its chains, which its firmware works out: no document says that an instrument measures it",
		notes: []string{"temperature: the highest of its chips, or of its boards"}}
	luxos = &dialect{name: "LuxOS", marks: []string{"luxminer", "luxos"}, each: []string{stats, power, config},
		power: "POWER[0].Watts, which its supply measured if PSU is true and the firmware estimates otherwise"}
	avalon = &dialect{name: "Avalon", marks: []string{"avalon"}, each: []string{estats},
		power: "WALLPOWER, or the places of PS[] that volts times amperes prove to be watts",
		notes: []string{"the rates that end in av leave out the time in standby"}}
	whatsminer = &dialect{name: "Whatsminer", marks: []string{"whatsminer", "btminer", "bitmicro"},
		power: "Power, the input of its supply as that measures it; Power Limit is what was configured"}
	auradine = &dialect{name: "Auradine", marks: []string{"gcminer", "fluxos"}, each: []string{devs},
		notes: []string{"its API on another port says a power, to who has its password"}}
	bosminer = &dialect{name: "Braiins OS", marks: []string{"bosminer", "boser"}, each: []string{devs},
		notes: []string{"its REST API says more, and an estimate of its power: braiins:HOST"}}
	sealminer = &dialect{name: "SealMiner", marks: []string{"bdminer", "sealminer"}, each: []string{stats},
		power: "PSU Input Power, as its supply measures it; PSU Output Power is what goes to the boards, Power Limit what was configured"}
	generic  = &dialect{name: "cgminer", each: []string{devs, stats}}
	cpuminer = &dialect{name: "cpuminer",
		notes: []string{"its rate is that of its last scans, which it does not average", "it says how many shares, not of which difficulty"}}
)

// dialects are recognised by the names that miners report. Firmware comes before the
// hardware on which it may run.
var dialects = []*dialect{luxos, auradine, bosminer, sealminer, whatsminer, antminer, avalon}

// miner is a miner of one dialect.
type client struct {
	wire  miner.Wire
	is    *dialect
	each  []string                 // of its dialect, without the verbs that it does not know
	heard func(miner.Value, error) // called with each answer; nil after the start
}

// Open queries the miner at HOST or HOST:PORT and identifies it.
func Open(ctx context.Context, s endpoint.Spec) (miner.Client, error) {
	d, err := open(ctx, s)
	if err != nil {
		return nil, fmt.Errorf("cgminer: %w", err)
	}
	return d, nil
}

func open(ctx context.Context, s endpoint.Spec) (miner.Client, error) {
	wire, err := miner.NewWire(s, Port)
	if err != nil {
		return nil, err
	}
	m := &client{wire: wire}
	about := miner.Info{Source: wire.Address}
	if err := m.identify(ctx, &about); err != nil {
		return nil, fmt.Errorf("%s: %w", wire.Address, err)
	}
	return miner.New(s, about, m.read, nil), nil
}

// query sends one verb. An answer that reports an error is refused.
func (m *client) query(ctx context.Context, verb string) (miner.Value, error) {
	if err := Verbs.Allow(verb); err != nil {
		return miner.Value{}, err
	}
	request := `{"command":"` + verb + `"}`
	if m.is == cpuminer {
		request = verb
	}
	raw, err := m.wire.Query(ctx, []byte(request), untilNUL)
	if err != nil {
		return miner.Value{}, fmt.Errorf("%s: %w", verb, err)
	}
	v, err := parse(raw)
	if err == nil {
		err = refusal(v)
	}
	if err != nil {
		return miner.Value{}, fmt.Errorf("%s: %w", verb, err)
	}
	return v, nil
}

// ask is query that passes the answer to heard at the start.
func (m *client) ask(ctx context.Context, verb string) (miner.Value, error) {
	v, err := m.query(ctx, verb)
	if m.heard != nil {
		m.heard(v, err)
	}
	return v, err
}

// untilNUL reads to the NUL or the end, and at most one byte more than is allowed.
func untilNUL(r io.Reader) ([]byte, error) {
	var out []byte
	buf := make([]byte, 16<<10)
	for len(out) <= miner.MaxAnswer {
		n, err := r.Read(buf)
		out = append(out, buf[:n]...)
		if text := bytes.TrimRight(out, "\x00\r\n "); bytes.IndexByte(out[len(text):], 0) >= 0 && (len(text) == 0 || bytes.IndexByte([]byte("}|"), text[len(text)-1]) >= 0) {
			return out, nil // a NUL can also stand in the middle
		}
		switch {
		case err == io.EOF:
			return out, nil
		case err != nil:
			return out, err
		}
	}
	return out, nil
}

// errRefused is an answer that reports an error.
var errRefused = errors.New("it refuses")

// refusal returns the error that an answer reports. STATUS is a list or, for
// Whatsminer, a word.
func refusal(v miner.Value) error {
	status := v.At("STATUS").First()
	if v.At("STATUS").Text() != "" {
		status = v
	}
	switch s := status.At("STATUS").Text(); s {
	case "S", "I", "W", "": // success, information, warning
		return nil
	default:
		return fmt.Errorf("%w: %q (%s)", errRefused, cmp.Or(status.At("Msg").Text(), s), status.At("Description").Text())
	}
}

// identify finds the dialect, the model and the firmware, and reads everything once, so
// that the notes can describe it. An answer that is missing or invalid at the start
// becomes a note, because it is queried again; but there must be at least one.
func (m *client) identify(ctx context.Context, about *miner.Info) error {
	v, err := m.ask(ctx, version)
	switch {
	case errors.Is(err, errEmpty): // cpuminer does not know the verb
		m.is = cpuminer
		if v, err = m.ask(ctx, summary); err != nil {
			return err
		}
		about.Model, about.Firmware = v.At("NAME").Text(), v.At("VER").Text()
	case err != nil:
		m.is = generic
		if errors.Is(err, errRefused) && slices.ContainsFunc(whatsminer.marks, func(mark string) bool { return strings.Contains(strings.ToLower(err.Error()), mark) }) {
			m.is = whatsminer // some do not know it
		} else if _, other := m.ask(ctx, summary); other != nil {
			return err
		}
	default:
		m.is = dialectOf(v)
	}
	said := v.At("VERSION").First()
	about.Model = cmp.Or(about.Model, model(said))
	about.Firmware = cmp.Or(about.Firmware, firmware(said), v.At("STATUS").First().At("Description").Text())

	var answers []miner.Value
	m.heard = func(v miner.Value, err error) {
		switch {
		case err == nil:
			answers = append(answers, v)
		case !errors.Is(err, errRefused): // it knows the verb
			about.Notes = append(about.Notes, miner.Word(fmt.Sprintf("not said at the start: %v", err)))
		}
	}
	m.heard(v, err)
	defer func() { m.heard = nil }()
	if m.is == luxos {
		v, _ := m.ask(ctx, config)
		about.Model = cmp.Or(v.At("CONFIG").First().At("Model").Text(), about.Model)
	}
	if m.is == generic || m.is == whatsminer || m.is != cpuminer && about.Model == "" {
		v, _ := m.ask(ctx, devdetails)
		details := v.At("DEVDETAILS").First()
		if m.is == generic && strings.EqualFold(details.At("Driver").Text(), "bitmicro") {
			m.is = whatsminer
		}
		about.Model = cmp.Or(about.Model, details.At("Model").Text())
		if m.is == whatsminer {
			about.Model = cmp.Or(details.At("Model").Text(), about.Model)
			v, _ = m.ask(ctx, getVersion)
			about.Firmware = cmp.Or(v.At("Msg", "fw_ver").Text(), about.Firmware)
		}
	}

	var s miner.Collector
	m.each = m.is.each
	if _, err := m.read(ctx, &s); ctx.Err() != nil {
		return err
	}
	for _, v := range answers {
		for _, e := range v.At("STATS").Items() {
			about.Model = cmp.Or(about.Model, model(e))
			if program := firmware(e); program != "" && !strings.Contains(about.Firmware, program) && m.is == sealminer {
				about.Firmware = miner.Word(about.Firmware + ", " + program)
			}
		}
	}
	about.Notes = slices.Concat([]string{"it speaks as " + m.is.name + " does", s.PowerNote(m.is.power, answers...)}, m.is.notes, about.Notes)
	return nil
}

// dialectOf returns the dialect of an answer to version.
func dialectOf(v miner.Value) *dialect {
	said := v.At("VERSION").First()
	calls := []string{v.At("STATUS").First().At("Description").Text(), v.At("STATUS").First().At("Msg").Text(), v.At("Description").Text(), model(said)}
	for _, name := range said.Names() {
		if program(name) {
			calls = append(calls, name, said.At(name).Text())
		}
	}
	itself := strings.ToLower(strings.Join(calls, "\n"))
	for _, d := range dialects {
		if slices.ContainsFunc(d.marks, func(mark string) bool { return strings.Contains(itself, mark) }) {
			return d
		}
	}
	if !said.At("PROD").Absent() {
		return avalon
	}
	return generic
}

// model returns the machine's model from an answer, under any of its known field names.
func model(said miner.Value) string {
	for _, known := range []string{"prod", "type", "model", "minermodel", "minertype", "product"} {
		for _, name := range said.Names() {
			if plain(name) == known && said.At(name).Text() != "" {
				return said.At(name).Text()
			}
		}
	}
	return ""
}

// plain returns a name in lower case without separators.
func plain(name string) string {
	return strings.NewReplacer(" ", "", "_", "", "-", "").Replace(strings.ToLower(name))
}

var (
	programs = regexp.MustCompile(`miner$|^boser|^bosminer|vnish|luxos|hiveon|firmware|^fw|^softwareversion$|^compiletime$|^lversion$`)
	others   = regexp.MustCompile(`^(api|prod|type|model|product|.*type|.*model|.*version|mac|dna|serial.*|.*sn|.*id|.*ip|ip.*|host.*|stm8|upapi)$`)
)

// program reports whether a field name is that of a program or of its version.
func program(name string) bool { return programs.MatchString(plain(name)) }

// firmware joins the programs and versions of an answer. If an answer to version has no
// known one, it returns the first field that does not describe the hardware: there
// forks have their own name.
func firmware(said miner.Value) string {
	var parts []string
	add := func(is func(name string) bool, most int) {
		for _, name := range said.Names() {
			if text := said.At(name).Text(); text != "" && is(name) && len(parts) < most {
				parts = append(parts, name+" "+text)
			}
		}
	}
	add(program, 6)
	if len(parts) == 0 && !said.At("API").Absent() {
		add(func(name string) bool { return !others.MatchString(plain(name)) }, 1)
	}
	return miner.Word(strings.Join(parts, ", "))
}

// read queries the summary and the other verbs of the dialect.
func (m *client) read(ctx context.Context, s *miner.Collector) (mode string, err error) {
	v, err := m.ask(ctx, summary)
	if err != nil {
		return "", err
	}
	if m.is == cpuminer {
		return "", summarisePlain(s, v)
	}
	mode = m.summarise(s, v.At("SUMMARY").First())
	for _, verb := range slices.Clone(m.each) {
		v, err := m.ask(ctx, verb)
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return "", ctx.Err()
		case m.heard != nil && errors.Is(err, errRefused): // it does not know it
			m.drop(verb)
			continue
		default:
			s.Refuse("%v", err)
			continue
		}
		switch verb {
		case stats:
			if m.is == sealminer {
				sealed(s, v)
			} else if hasModules(v) {
				mode = cmp.Or(modules(s, v), mode)
			} else {
				chains(s, v)
			}
		case estats:
			mode = cmp.Or(modules(s, v), mode)
		case power:
			supply(s, v)
		case config:
			mode = cmp.Or(v.At("CONFIG").First().At("Profile").Text(), mode)
			s.Take("NameplateTHS", v.At("CONFIG").First().At("NameplateTHS"), nominal(1e12))
		case devs:
			boards(s, v)
		}
	}
	return mode, nil
}

// drop removes a verb from the queries, and replaces estats by stats, since older
// Avalons do not know it.
func (m *client) drop(verb string) {
	m.each = slices.DeleteFunc(slices.Clone(m.each), func(v string) bool { return v == verb })
	if verb == estats {
		m.each = append(m.each, stats)
	}
}

func nominal(per float64) miner.Form { return miner.Form{Of: results.ReportedNominal, Per: per} }

var (
	rated    = regexp.MustCompile(`^([KMGTP])HS (?:av|([0-9]{1,5})([smhd]))$`)
	prefixes = map[string]float64{"K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15}
	seconds  = map[string]float64{"s": 1, "m": 60, "h": 3600, "d": 86400}
)

// summarise collects the fields of a summary, in all known units and under all known
// names, and returns the mode.
func (m *client) summarise(s *miner.Collector, sum miner.Value) string {
	elapsed := s.Take("Elapsed", sum.At("Elapsed"), miner.Form{Of: results.ReportedElapsed})
	type rate struct {
		name      string
		per, over float64 // H/s, s
	}
	var rates []rate
	for _, name := range sum.Names() {
		part := rated.FindStringSubmatch(name)
		if part == nil {
			continue
		}
		r := rate{name, prefixes[part[1]], 0}
		if n, err := strconv.Atoi(part[2]); err == nil {
			r.over = float64(n) * seconds[part[3]]
		}
		rates = append(rates, r)
	}
	// The rate since the start, av, comes last.
	results.SortStable(rates, func(a, b rate) int { return cmp.Compare(b.over, a.over) })
	average := math.NaN()
	for _, r := range rates {
		if r.over > 0 {
			s.Take(r.name, sum.At(r.name), miner.Rate(r.per, results.SelfReport(r.over)))
		} else {
			average = s.Take(r.name, sum.At(r.name), miner.Average(r.per, elapsed))
		}
	}
	work(s, sum.At("Total MH"), average, elapsed)
	s.Take("Difficulty Accepted", sum.At("Difficulty Accepted"), miner.Difficulty(results.ReportedAccepted))
	s.Take("Difficulty Rejected", sum.At("Difficulty Rejected"), miner.Difficulty(results.ReportedRejected))
	s.Take("Difficulty Stale", sum.At("Difficulty Stale"), miner.Difficulty(results.ReportedStale))
	s.Take("Accepted", sum.At("Accepted"), miner.Form{Of: results.ReportedShares})
	s.Take("Rejected", sum.At("Rejected"), miner.Form{Of: results.ReportedRefused})
	s.Take("Hardware Errors", sum.At("Hardware Errors"), miner.Form{Of: results.ReportedErrors})
	if m.is != whatsminer {
		if p := sum.At("Power"); !p.Absent() {
			s.Refuse("Power: %s: what it is of is not known of %s", p.Text(), m.is.name)
		}
		return ""
	}
	now := results.SelfReported{}
	if text := sum.At("HS RT").Text(); text != "" && text == sum.At("MHS 5m").Text() { // it is the same figure under another name
		now = results.SelfReport(300)
	}
	s.Take("HS RT", sum.At("HS RT"), miner.Rate(1e6, now))
	s.Take("Factory GHS", sum.At("Factory GHS"), nominal(1e9))
	s.Take("Target MHS", sum.At("Target MHS"), nominal(1e6))
	s.Take("Power", sum.At("Power"), miner.Watts(results.PSU, results.Measured))
	s.Take("Power_RT", sum.At("Power_RT"), miner.Watts(results.PSU, results.Measured))
	s.Take("Power Limit", sum.At("Power Limit"), miner.Watts(results.PSU, results.Declared))
	for _, name := range []string{"Chip Temp Max", "Chip Temp Avg", "Temperature", "Env Temp"} {
		s.Take(name, sum.At(name), miner.Celsius)
	}
	for _, name := range []string{"Fan Speed In", "Fan Speed Out"} {
		s.Take(name, sum.At(name), miner.RPM)
	}
	s.Take("freq_avg", sum.At("freq_avg"), miner.MHz)
	return sum.At("Power Mode").Text()
}

// disagree is the largest relative difference between two figures of the same quantity.
const disagree = 0.1

// work takes the total of hashes if it agrees with rate × time, because some miners
// have a rate under its name. Time is in whole seconds. Without rate or time the total
// is taken as it is.
func work(s *miner.Collector, total miner.Value, rate, elapsed float64) {
	n, said, err := total.Number("MH")
	want := rate * elapsed
	switch {
	case err != nil:
		s.Refuse("Total MH: %v", err)
	case !said:
	case math.Abs(n*1e6-want) > disagree*want+2*rate:
		s.Refuse("Total MH: %g is not the rate since the start times Elapsed", n)
	default:
		s.Report("Total MH", n, miner.Form{Of: results.ReportedWork, Per: 1e6})
	}
}
