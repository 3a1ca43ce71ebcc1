// Package cgminer asks miners by the RPC API of cgminer (API-README in its
// source): TCP, one command a connection, one answer in JSON that ends in NUL
// or with the connection. Its makers' dialects are those of Antminer, LuxOS,
// Avalon, Whatsminer (API versions 1 and 2), Auradine, BOSminer, bfgminer and
// cgminer itself; the plain text of cpuminer-opt and ccminer is understood too.
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

	"github.com/perwatt/perwatt/harness/device"
	"github.com/perwatt/perwatt/harness/peer"
	"github.com/perwatt/perwatt/results"
)

// Options are those of its spec.
var Options = device.Common

// Port is the one that these miners listen at.
const Port = "4028"

// Verbs are all that is ever sent. Each one shows and changes nothing:
// cgminer's own table has it as read-only, or its maker documents it so.
var Verbs = device.Verbs{version, summary, devs, stats, estats, power, config, devdetails, getVersion}

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
	each  []string // asked at each reading after the summary
	notes []string
}

var (
	antminer = &dialect{name: "Antminer", each: []string{stats},
		notes: []string{"it says no power: a meter is needed", "temperature: the highest of its chips, or of its boards"}}
	luxos = &dialect{name: "LuxOS", each: []string{stats, power, config},
		notes: []string{"power: POWER[0].Watts, which its supply measured if PSU is true and the firmware estimates otherwise"}}
	avalon = &dialect{name: "Avalon", each: []string{estats},
		notes: []string{"power: WALLPOWER, or the places of PS[] that volts times amperes prove to be watts", "the rates that end in av leave out the time in standby"}}
	whatsminer = &dialect{name: "Whatsminer",
		notes: []string{"power: Power, the input of its supply as that measures it; Power Limit is what was configured"}}
	auradine = &dialect{name: "Auradine", each: []string{devs},
		notes: []string{"it says its power on another port only, to who has its password"}}
	bosminer = &dialect{name: "BOSminer", each: []string{devs},
		notes: []string{"it says more, and an estimate of its power, by its REST API (braiins:HOST)"}}
	generic  = &dialect{name: "cgminer", each: []string{devs}}
	cpuminer = &dialect{name: "cpuminer",
		notes: []string{"its rate is that of its last scans, which it does not average", "it says how many shares, not of which difficulty"}}
)

// dialects are known by a name in the answer to version.
var dialects = []struct {
	key string
	is  *dialect
}{{"LUXminer", luxos}, {"GCMiner", auradine}, {"BOSminer", bosminer}, {"BOSminer+", bosminer}, {"BMMiner", antminer}, {"PROD", avalon}}

// miner is a miner of one dialect.
type miner struct {
	wire device.Wire
	is   *dialect
}

// Open asks the miner at HOST, or HOST:PORT, what it is.
func Open(ctx context.Context, s peer.Spec) (device.Device, error) {
	d, err := open(ctx, s)
	if err != nil {
		return nil, fmt.Errorf("cgminer: %w", err)
	}
	return d, nil
}

func open(ctx context.Context, s peer.Spec) (device.Device, error) {
	wire, err := device.NewWire(s, Port)
	if err != nil {
		return nil, err
	}
	m := &miner{wire: wire}
	about := device.Info{Source: wire.Address}
	if err := m.identify(ctx, &about); err != nil {
		return nil, fmt.Errorf("%s: %w", wire.Address, err)
	}
	about.Notes = append([]string{"it speaks as " + m.is.name + " does"}, m.is.notes...)
	return device.New(s, about, m.read, nil), nil
}

// ask sends one verb. An answer is refused if the miner says that it is none.
func (m *miner) ask(ctx context.Context, verb string) (device.Value, error) {
	if err := Verbs.Allow(verb); err != nil {
		return device.Value{}, err
	}
	request := `{"command":"` + verb + `"}`
	if m.is == cpuminer {
		request = verb
	}
	raw, err := m.wire.Ask(ctx, []byte(request), untilNUL)
	if err != nil {
		return device.Value{}, fmt.Errorf("%s: %w", verb, err)
	}
	v, err := parse(raw)
	if err == nil {
		err = refusal(v)
	}
	if err != nil {
		return device.Value{}, fmt.Errorf("%s: %w", verb, err)
	}
	return v, nil
}

// untilNUL reads to the NUL or the end, and one byte more than is allowed.
func untilNUL(r io.Reader) ([]byte, error) {
	var out []byte
	buf := make([]byte, 16<<10)
	for len(out) <= device.MaxAnswer {
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
func refusal(v device.Value) error {
	status := v.At("STATUS", 0)
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

// identify finds the dialect, the model and the firmware.
func (m *miner) identify(ctx context.Context, about *device.Info) error {
	v, err := m.ask(ctx, version)
	switch {
	case errors.Is(err, errEmpty): // cpuminer knows no such word
		m.is = cpuminer
		v, err = m.ask(ctx, summary)
		about.Model, about.Firmware = v.At("NAME").Text(), v.At("VER").Text()
		return err
	case errors.Is(err, errRefused): // nor do some Whatsminers
		m.is = generic
		if strings.Contains(err.Error(), "whatsminer") {
			m.is = whatsminer
		}
	case err != nil:
		return err
	default:
		m.is = dialectOf(v)
	}
	said := v.At("VERSION", 0)
	about.Model = cmp.Or(said.At("PROD").Text(), said.At("Type").Text(), said.At("Model").Text())
	about.Firmware = firmware(said)
	look := func(verb string) (device.Value, error) {
		v, err := m.ask(ctx, verb)
		if errors.Is(err, errRefused) {
			err = nil // older ones do not know it
		}
		return v, err
	}
	if m.is == luxos {
		v, err := look(config)
		about.Model = cmp.Or(v.At("CONFIG", 0, "Model").Text(), about.Model)
		return err
	}
	if m.is != generic && m.is != whatsminer {
		return nil
	}
	if v, err = look(devdetails); err != nil {
		return err
	}
	details := v.At("DEVDETAILS", 0)
	if strings.EqualFold(details.At("Driver").Text(), "bitmicro") {
		m.is = whatsminer
	}
	if m.is == whatsminer {
		about.Model = cmp.Or(details.At("Model").Text(), about.Model)
		v, err = look(getVersion)
		about.Firmware = cmp.Or(v.At("Msg", "fw_ver").Text(), about.Firmware)
	}
	return err
}

// dialectOf tells who answers to version.
func dialectOf(v device.Value) *dialect {
	said := v.At("VERSION", 0)
	for _, d := range dialects {
		if !said.At(d.key).Absent() {
			return d.is
		}
	}
	if strings.HasPrefix(said.At("Type").Text(), "Antminer") {
		return antminer
	}
	return generic
}

// firmware joins what the answer to version says of programs and versions.
func firmware(said device.Value) string {
	var parts []string
	for _, name := range said.Names() {
		switch name {
		case "LUXminer", "GCMiner", "BOSminer", "BOSminer+", "BMMiner", "CGMiner", "BFGMiner", "Miner", "CompileTime", "LVERSION":
			if text := said.At(name).Text(); text != "" {
				parts = append(parts, name+" "+text)
			}
		}
	}
	return strings.Join(parts, ", ")
}

// read asks for the summary, and for what its dialect says elsewhere.
func (m *miner) read(ctx context.Context, s *device.Sheet) (mode string, err error) {
	v, err := m.ask(ctx, summary)
	if err != nil {
		return "", err
	}
	if m.is == cpuminer {
		return "", summarisePlain(s, v)
	}
	mode = m.summarise(s, v.At("SUMMARY", 0))
	for _, verb := range m.is.each {
		v, err := m.ask(ctx, verb)
		if err != nil {
			if ctx.Err() != nil {
				return "", ctx.Err()
			}
			s.Refuse("%v", err)
			continue
		}
		switch verb {
		case stats:
			chains(s, v)
		case estats:
			mode = cmp.Or(modules(s, v), mode)
		case power:
			supply(s, v)
		case config:
			mode = cmp.Or(v.At("CONFIG", 0, "Profile").Text(), mode)
			s.Take("NameplateTHS", v.At("CONFIG", 0, "NameplateTHS"), nominal(1e12))
		case devs:
			boards(s, v)
		}
	}
	return mode, nil
}

func nominal(per float64) device.Form { return device.Form{Of: results.SaidNominal, Per: per} }

var (
	rated    = regexp.MustCompile(`^([KMGTP])HS (?:av|([0-9]{1,5})([smh]))$`)
	prefixes = map[string]float64{"K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15}
	seconds  = map[string]float64{"s": 1, "m": 60, "h": 3600}
)

// summarise takes what a summary says, in any of the units and under any of
// the names that there are, and returns the mode.
func (m *miner) summarise(s *device.Sheet, sum device.Value) string {
	elapsed := s.Take("Elapsed", sum.At("Elapsed"), device.Form{Of: results.SaidElapsed})
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
			s.Take(r.name, sum.At(r.name), device.Rate(r.per, results.Say(r.over)))
		} else {
			average = s.Take(r.name, sum.At(r.name), device.Rate(r.per, results.Say(elapsed)))
		}
	}
	work(s, sum.At("Total MH"), average, elapsed)
	s.Take("Difficulty Accepted", sum.At("Difficulty Accepted"), device.Difficulty(results.SaidAccepted))
	s.Take("Difficulty Rejected", sum.At("Difficulty Rejected"), device.Difficulty(results.SaidRejected))
	s.Take("Difficulty Stale", sum.At("Difficulty Stale"), device.Difficulty(results.SaidStale))
	s.Take("Accepted", sum.At("Accepted"), device.Form{Of: results.SaidShares})
	s.Take("Rejected", sum.At("Rejected"), device.Form{Of: results.SaidRefused})
	s.Take("Hardware Errors", sum.At("Hardware Errors"), device.Form{Of: results.SaidErrors})
	if m.is != whatsminer {
		if p := sum.At("Power"); !p.Absent() {
			s.Refuse("Power: %s: what it is of is not known of %s", p.Text(), m.is.name)
		}
		return ""
	}
	s.Take("HS RT", sum.At("HS RT"), device.Rate(1e6, results.Said{}))
	s.Take("Factory GHS", sum.At("Factory GHS"), nominal(1e9))
	s.Take("Target MHS", sum.At("Target MHS"), nominal(1e6))
	s.Take("Power", sum.At("Power"), device.Watts(results.PSU, results.Measured))
	s.Take("Power_RT", sum.At("Power_RT"), device.Watts(results.PSU, results.Measured))
	s.Take("Power Limit", sum.At("Power Limit"), device.Watts(results.PSU, results.Declared))
	for _, name := range []string{"Chip Temp Max", "Chip Temp Avg", "Temperature", "Env Temp"} {
		s.Take(name, sum.At(name), device.Celsius)
	}
	for _, name := range []string{"Fan Speed In", "Fan Speed Out"} {
		s.Take(name, sum.At(name), device.RPM)
	}
	s.Take("freq_avg", sum.At("freq_avg"), device.MHz)
	return sum.At("Power Mode").Text()
}

// disagree is how far two figures of one thing may lie apart, relative.
const disagree = 0.1

// work takes the total of hashes if it is what the rate and the time make of
// it: some say a rate under its name. Time is in whole seconds. Without those
// it is taken as it is.
func work(s *device.Sheet, total device.Value, rate, elapsed float64) {
	n, said, err := total.Number("MH")
	want := rate * elapsed
	switch {
	case err != nil:
		s.Refuse("Total MH: %v", err)
	case !said:
	case math.Abs(n*1e6-want) > disagree*want+2*rate:
		s.Refuse("Total MH: %g is not the rate since the start times Elapsed", n)
	default:
		s.Say("Total MH", n, device.Form{Of: results.SaidWork, Per: 1e6})
	}
}
