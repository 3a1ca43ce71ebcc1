package cgminer

import (
	"cmp"
	"errors"
	"math"
	"regexp"
	"slices"
	"strings"

	"github.com/perwatt/perwatt/harness/endpoint"
	"github.com/perwatt/perwatt/harness/miner"
	"github.com/perwatt/perwatt/results"
)

// errEmpty is an empty answer, which cpuminer gives to an unknown verb.
var errEmpty = errors.New("the answer is empty")

// parse reads an answer in JSON, or in the plain text of cpuminer:
// NAME=cpuminer-opt;VER=25.6;HS=5400123.00;ACC=12;REJ=0;UPTIME=60;TS=1764000000|
func parse(raw []byte) (miner.Value, error) {
	trimmed := strings.Trim(string(raw), "\x00\r\n ")
	switch {
	case trimmed == "":
		return miner.Value{}, errEmpty
	case strings.HasPrefix(trimmed, "HTTP/"):
		return miner.Value{}, errors.New("it answers HTTP at this port, which is another API: none that is known here as cgminer")
	case !strings.HasPrefix(trimmed, "NAME="):
		return miner.Parse(raw)
	case len(raw) > miner.MaxAnswer:
		return miner.Value{}, errors.New("the answer is too long")
	}
	record, whole := strings.CutSuffix(trimmed, "|")
	if !whole || strings.Contains(record, "|") {
		return miner.Value{}, errors.New("the answer is no single record that ends in |")
	}
	var names, texts []string
	for pair := range strings.SplitSeq(record, ";") {
		name, text, is := strings.Cut(pair, "=")
		if !is {
			return miner.Value{}, errors.New("the answer has a name without a value")
		}
		names, texts = append(names, name), append(texts, text)
	}
	return miner.Texts(names, texts), nil
}

// summarisePlain collects the fields of cpuminer: its rate in H/s, its shares, and its
// uptime.
func summarisePlain(s *miner.Collector, v miner.Value) error {
	if v.At("HS").Absent() && v.At("KHS").Absent() {
		return errors.New("summary: it has neither HS nor KHS")
	}
	s.Take("UPTIME", v.At("UPTIME"), miner.Form{Of: results.ReportedElapsed})
	if v.At("HS").Absent() {
		s.Take("KHS", v.At("KHS"), miner.Rate(1e3, results.SelfReported{}))
	} else {
		s.Take("HS", v.At("HS"), miner.Rate(1, results.SelfReported{}))
	}
	s.Take("ACC", v.At("ACC"), miner.Form{Of: results.ReportedShares})
	s.Take("REJ", v.At("REJ"), miner.Form{Of: results.ReportedRefused})
	s.Highest("TEMP", []miner.Value{v.At("TEMP")}, miner.Celsius)
	return nil
}

// boards collects the temperatures of an answer to devs.
func boards(s *miner.Collector, v miner.Value) {
	var temperatures []miner.Value
	for _, d := range v.At("DEVS").Items() {
		temperatures = append(temperatures, d.At("Temperature"))
	}
	s.Highest("Temperature", temperatures, miner.Celsius)
}

// supply collects the fields of LuxOS's answer to power.
func supply(s *miner.Collector, v miner.Value) {
	p := v.At("POWER").First()
	switch p.At("PSU").Text() {
	case "true":
		s.Take("POWER.Watts", p.At("Watts"), miner.Watts(results.PSU, results.Measured))
	case "false":
		s.Take("POWER.Watts", p.At("Watts"), miner.Watts(results.PSU, results.Modelled))
	default:
		s.Refuse("POWER.Watts: it does not say whether its supply measured it")
	}
}

// sensors are the field names of Antminers' temperatures, chips before boards; later
// models put several values into one text.
var sensors = []*regexp.Regexp{regexp.MustCompile(`^temp_chip[0-9]+$`), regexp.MustCompile(`^temp2_[0-9]+$`), regexp.MustCompile(`^temp[0-9]+$`)}

var (
	several = regexp.MustCompile(`^[0-9]+(-[0-9]+)+$`) // 78-50-69-70, one per position
	fan     = regexp.MustCompile(`^fan[0-9]+$`)
)

// chains collects the fields of an Antminer's answer to stats. An empty slot has 0.
func chains(s *miner.Collector, v miner.Value) {
	var said miner.Value // the first element describes the program and has no figures
	for _, e := range v.At("STATS").Items() {
		if !e.At("Elapsed").Absent() {
			said = e
			break
		}
	}
	for _, sensor := range sensors {
		var first string
		var places []miner.Value
		for _, name := range said.Names() {
			if !sensor.MatchString(name) {
				continue
			}
			first = cmp.Or(first, name)
			if text := said.At(name).Text(); several.MatchString(text) {
				for t := range strings.SplitSeq(text, "-") {
					places = append(places, miner.Text(t))
				}
			} else {
				places = append(places, said.At(name))
			}
		}
		if first != "" {
			s.Highest(first+" and its like, the highest", places, miner.Celsius)
			break
		}
	}
	for _, name := range said.Names() {
		if fan.MatchString(name) {
			s.Highest(name, []miner.Value{said.At(name)}, miner.RPM)
		}
	}
	for _, name := range []string{"total_freqavg", "frequency"} {
		if !math.IsNaN(s.Take(name, said.At(name), miner.MHz)) {
			break
		}
	}
	chainPower(s, said)
	if unit := said.At("rate_unit").Text(); unit == "GH" || unit == "" {
		s.Take("total_rateideal", said.At("total_rateideal"), nominal(1e9))
	}
}

var powered = regexp.MustCompile(`^chain_power[0-9]+$`)

// chainPower takes the total power that third-party firmware of Antminers reports, if
// it is the sum of its chains, each in whole watts.
func chainPower(s *miner.Collector, said miner.Value) {
	total, ok, err := said.At("total_power").Number("W")
	if !ok || err != nil {
		return
	}
	sum, chains := 0., 0
	for _, name := range said.Names() {
		if n, ok, err := said.At(name).Number("W"); powered.MatchString(name) && ok && err == nil {
			sum += n
			chains++
		}
	}
	if chains > 0 && sum > 0 && math.Abs(total-sum) <= float64(chains) {
		s.Report("total_power", total, miner.Watts(results.Board, results.Modelled))
	}
}

// sealed collects the fields of a SealMiner's answer to stats.
func sealed(s *miner.Collector, v miner.Value) {
	said := v.At("STATS").First()
	for _, f := range []struct {
		name string
		form miner.Form
	}{
		{"MHS(Ideal)", nominal(1e6)},
		{"PSU Input Power", miner.Watts(results.PSU, results.Measured)},
		{"PSU Output Power", miner.Watts(results.Board, results.Measured)},
		{"Power Limit", miner.Watts(results.PSU, results.Declared)},
		{"Temp", miner.Celsius},
		{"Freq", miner.MHz},
	} {
		s.Take(f.name, said.At(f.name), f.form)
	}
}

// isModule reports whether a name is that of an Avalon's module.
func isModule(name string) bool { return strings.HasPrefix(name, "MM ID") }

// hasModules reports whether an answer to stats is an Avalon's.
func hasModules(v miner.Value) bool {
	return slices.ContainsFunc(v.At("STATS").Items(), func(e miner.Value) bool { return slices.ContainsFunc(e.Names(), isModule) })
}

// bracket is one of the figures of an Avalon: GHSavg[79656.63].
var bracket = regexp.MustCompile(`([A-Za-z][A-Za-z0-9_]*)\[([^\[\]]*)\]`)

// modules collects the fields of an Avalon's answer to estats, which has one text of
// brackets per module, and returns the mode of the first.
func modules(s *miner.Collector, v miner.Value) (mode string) {
	found := false
	for _, e := range v.At("STATS").Items() {
		for _, name := range e.Names() {
			if !isModule(name) {
				continue
			}
			id, _, _ := strings.Cut(strings.TrimPrefix(name, "MM "), ":")
			m := module(s, id, e.At(name).Whole())
			if !found {
				mode, found = m, true
			}
		}
	}
	if !found {
		s.Refuse("estats: it has no MM ID")
	}
	return mode
}

func module(s *miner.Collector, id, text string) (mode string) {
	var names, texts []string
	for _, m := range bracket.FindAllStringSubmatch(text, -1) {
		names, texts = append(names, m[1]), append(texts, m[2])
	}
	v := miner.Texts(names, texts)
	name := func(of string) string { return id + " " + of }
	elapsed := s.Take(name("Elapsed"), v.At("Elapsed"), miner.Form{Of: results.ReportedElapsed})
	if math.IsNaN(elapsed) {
		elapsed = s.Elapsed()
	}
	s.Take(name("GHSspd"), v.At("GHSspd"), miner.Rate(1e9, results.SelfReported{}))
	s.Take(name("GHSavg"), v.At("GHSavg"), miner.Average(1e9, elapsed))
	s.Take(name("GHSmm"), v.At("GHSmm"), nominal(1e9))
	s.Highest(name("TMax"), []miner.Value{v.At("TMax")}, miner.Celsius)
	s.Highest(name("TAvg"), []miner.Value{v.At("TAvg")}, miner.Celsius)
	s.Take(name("Freq"), v.At("Freq"), miner.MHz)
	for _, n := range v.Names() {
		if fan.MatchString(strings.ToLower(n)) {
			s.Highest(name(n), []miner.Value{v.At(n)}, miner.RPM)
		}
	}
	watts(s, name, v)
	if v.At("WORKMODE").Text() != "" {
		mode = "WORKMODE " + v.At("WORKMODE").Text()
	}
	return mode
}

// watts takes the power of an Avalon. According to Canaan's page on the A12 series, PS
// contains an error code, the voltages of the controller and of the boards in 0.01 V,
// the current in A, the output power in W, and the set voltage. Later models have the
// input power as a seventh value, also reported as WALLPOWER. Other models have other
// values there. So an output power that is not volts × amperes is refused, and so is a
// seventh value of which the output is not 60 to 100 %.
func watts(s *miner.Collector, name func(string) string, v miner.Value) {
	defer func() { s.Take(name("MPO"), v.At("MPO"), miner.Watts(results.PSU, results.Declared)) }() // after the power that it draws
	wall := s.Take(name("WALLPOWER"), v.At("WALLPOWER"), miner.Watts(results.PSU, results.Measured))
	var ps []float64
	for _, f := range strings.Fields(v.At("PS").Text()) {
		n, err := endpoint.Decimal(f)
		if err != nil {
			n = math.NaN()
		}
		ps = append(ps, n)
	}
	if len(ps) == 0 {
		return
	}
	out := math.NaN()
	if len(ps) >= 6 {
		volts, amps := ps[2]/100, ps[3]
		if math.Abs(ps[4]-volts*amps) <= volts/2+0.01*ps[4] { // the current is in whole amperes
			out = ps[4]
		}
	}
	if !(out > 0) {
		s.Refuse("%s: %s: no place of it is proven to be its power", name("PS"), v.At("PS").Text())
		return
	}
	if len(ps) >= 7 && math.IsNaN(wall) && out >= 0.6*ps[6] && out <= ps[6] {
		s.Report(name("PS[6]"), ps[6], miner.Watts(results.PSU, results.Measured))
	}
	s.Report(name("PS[4]"), out, miner.Watts(results.Board, results.Measured))
}
