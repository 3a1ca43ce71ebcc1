// Package cgminer asks miners by the RPC API of cgminer (API-README in its
// source): TCP, one command a connection, one answer in JSON that ends in NUL
// or with the connection. Its makers' dialects are those of Antminer, LuxOS,
// Avalon, Whatsminer (API versions 1 and 2), Auradine, Braiins OS, SealMiner,
// bfgminer and cgminer itself, and whoever names the same fields; the plain text
// of cpuminer-opt and ccminer is understood too.
//
// Most dialects are known from their makers' pages and from recorded answers:
//
//   - Whatsminer API V2.0.5, MicroBT: summary, devdetails, get_version
//   - LuxOS, docs.luxor.tech/firmware/api/luxminer: power, config
//   - Avalon A12xx API, Canaan: estats and the fields of PS
//   - the answers kept in asic-rs and pyasic, for each of them
//
// Nothing but [Verbs] is ever sent, and never a parameter: some verbs set what
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

// Port is the one that these miners listen at.
const Port = "4028"

// Verbs are all that is ever sent. Each one shows and changes nothing:
// cgminer's own table has it as read-only, or its maker documents it so.
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

// dialect is what one maker says, and where.
type dialect struct {
	name  string
	marks []string // in lower case, one of which is in what its miners call themselves
	each  []string // asked at each reading after the summary
	power string   // what its power is, where it says one
	notes []string // what else its figures are
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

// dialects are known by what they call themselves. Firmware goes before the
// hardware that it may run on.
var dialects = []*dialect{luxos, auradine, bosminer, sealminer, whatsminer, antminer, avalon}

// miner is a miner of one dialect.
type client struct {
	wire  miner.Wire
	is    *dialect
	each  []string                 // of its dialect, but for what it does not know
	heard func(miner.Value, error) // of each answer; nil after the start
}

// Open asks the miner at HOST, or HOST:PORT, what it is.
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

// query sends one verb. An answer is refused if the miner says that it is none.
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

// ask is query, heard at the start.
func (m *client) ask(ctx context.Context, verb string) (miner.Value, error) {
	v, err := m.query(ctx, verb)
	if m.heard != nil {
		m.heard(v, err)
	}
	return v, err
}

// untilNUL reads to the NUL or the end, and one byte more than is allowed.
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

// errRefused is an answer that says no.
var errRefused = errors.New("it refuses")

// refusal is what an answer says if it is none: STATUS is a list, or of
// Whatsminer a word.
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

// identify finds the dialect, the model and the firmware, and reads once all
// that there is, so that the notes say what was read. What is not said at the
// start, or makes no sense then, is a note: it is asked for again. But one
// answer there must be.
func (m *client) identify(ctx context.Context, about *miner.Info) error {
	v, err := m.ask(ctx, version)
	switch {
	case errors.Is(err, errEmpty): // cpuminer knows no such word
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

// dialectOf tells who answers to version.
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

// model is what an answer calls the machine, under any of the names that there
// are for it.
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

// plain is a name in small letters without what stands between words.
func plain(name string) string {
	return strings.NewReplacer(" ", "", "_", "", "-", "").Replace(strings.ToLower(name))
}

var (
	programs = regexp.MustCompile(`miner$|^boser|^bosminer|vnish|luxos|hiveon|firmware|^fw|^softwareversion$|^compiletime$|^lversion$`)
	others   = regexp.MustCompile(`^(api|prod|type|model|product|.*type|.*model|.*version|mac|dna|serial.*|.*sn|.*id|.*ip|ip.*|host.*|stm8|upapi)$`)
)

// program reports whether a name is that of a program, or of its version.
func program(name string) bool { return programs.MatchString(plain(name)) }

// firmware joins what an answer says of programs and versions. Of an answer to
// version in which none is known, it is the first that is no part of the
// hardware: forks have their own name there.
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

// read asks for the summary, and for what its dialect says elsewhere.
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

// drop has a verb not asked again, and stats in the place of estats, which
// older Avalons do not know.
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

// summarise takes what a summary says, in any of the units and under any of
// the names that there are, and returns the mode.
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
	slices.SortStableFunc(rates, func(a, b rate) int { return cmp.Compare(b.over, a.over) })
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
	if text := sum.At("HS RT").Text(); text != "" && text == sum.At("MHS 5m").Text() { // it is that under another name
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

// disagree is how far two figures of one thing may lie apart, relative.
const disagree = 0.1

// work takes the total of hashes if it is what the rate and the time make of
// it: some say a rate under its name. Time is in whole seconds. Without those
// it is taken as it is.
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
