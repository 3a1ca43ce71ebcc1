package ptd

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/perwatt/perwatt/harness/endpoint"
	"github.com/perwatt/perwatt/results"
)

// identity is the answer to Identify:
//
//	DRIVER,MS,1,1,1,1,0,0,1,version=V,OS=…,mode=power,1,1,CHANNELS,…,CALIBRATED,IDN
//
// The driver and the averaging interval are followed by flags, 1 or 0: whether it has
// watts, volts, amps, power factor, energy and frequency, and whether SPEC accepts it.
// The mode is followed by flags for estimating the uncertainty and setting ranges.
type identity struct {
	analyser   string // driver, and the instrument's identification (IDN)
	version    string
	calibrated string
	interval   time.Duration
	accepted   bool
	estimates  bool
	channels   int
}

func parseIdentity(line string) (id identity, err error) {
	f := strings.Split(line, ",")
	mode := slices.IndexFunc(f, func(s string) bool { return strings.HasPrefix(s, "mode=") })
	if mode < 10 || len(f) < mode+4 {
		return id, fmt.Errorf("%.200q is no answer to Identify", line)
	}
	if f[mode] != "mode=power" {
		return id, fmt.Errorf("it serves no AC power analyser but %.40q: give the port of the one that does", f[mode])
	}
	ms, err := strconv.Atoi(f[1])
	if err != nil || ms < 1 || ms > 3_600_000 {
		return id, fmt.Errorf("%.40q is no interval in ms in the answer to Identify", f[1])
	}
	if f[2] != "1" {
		return id, fmt.Errorf("%.80q measures no watts", f[0])
	}
	if id.channels, err = strconv.Atoi(f[mode+3]); err != nil || id.channels < 1 {
		return id, fmt.Errorf("%.40q is no number of channels in the answer to Identify", f[mode+3])
	}
	id.analyser, id.interval = f[0], time.Duration(ms)*time.Millisecond
	id.accepted, id.estimates = f[8] == "1", f[mode+1] == "1"
	id.version = strings.TrimPrefix(f[9], "version=")
	if last := len(f) - 1; last >= mode+5 {
		id.analyser += " " + f[last]
		id.calibrated = f[last-1]
	}
	return id, nil
}

// ranges is the answer to RR: Ranges,AUTO,AMPS,AUTO,VOLTS. A range is [auto],
// or in A or V; empty if the daemon does not know (−1).
type ranges map[string]string

const auto = "Auto"

func plain(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

func parseRanges(line string) (ranges, error) {
	f := strings.Split(line, ",")
	if f[0] != "Ranges" || len(f) < 5 {
		return nil, fmt.Errorf("%.200q is no answer to RR", line)
	}
	out := ranges{}
	for i, unit := range []string{"A", "V"} {
		v, err := endpoint.Decimal(f[2+2*i])
		switch by := f[1+2*i]; {
		case err != nil || by != "0" && by != "1" && by != "-1":
			return nil, fmt.Errorf("%.200q is no answer to RR", line)
		case by == "1":
			out[unit] = auto
		case v > 0:
			out[unit] = plain(v)
		}
	}
	return out, nil
}

// sample is one line of the answer to RL:
//
//	Time,12-28-2020 15:21:14.682,Watts,22.95,Volts,228.57,Amps,0.20643,PF,0.4864
//
// followed by a Mark and, for an instrument with several channels, by each channel; the
// figures above are their sum. A figure below 0 means that the analyser had no value.
type sample struct {
	taken time.Time // by the daemon's clock, in its local time
	watts float64
}

// layouts are the formats of a time. The month comes first in SPEC's own parser and in
// every known log except the one in the README of mlcommons/power-dev.
var layouts = []string{"01-02-2006 15:04:05.000", "02-01-2006 15:04:05.000"}

func parseSample(line string) (s sample, err error) {
	f := strings.Split(line, ",")
	for i, name := range []string{"Time", "Watts", "Volts", "Amps", "PF"} {
		if len(f) < 2*i+2 || f[2*i] != name {
			return s, fmt.Errorf("%.200q is no sample: it lacks %s", line, name)
		}
		if name == "Time" {
			for _, layout := range layouts {
				if s.taken, err = time.ParseInLocation(layout, f[1], time.Local); err == nil {
					break
				}
			}
			if err != nil {
				return s, fmt.Errorf("%.40q is no time of a sample", f[1])
			}
			continue
		}
		v, err := endpoint.Decimal(f[2*i+1])
		if err != nil {
			return s, fmt.Errorf("%s: %w", name, err)
		}
		if name == "Watts" {
			s.watts = v
		}
	}
	return s, nil
}

var (
	last = regexp.MustCompile(`^Last 1 samples?\b`)
	none = regexp.MustCompile(`^(No data|(No|Insufficient) unread)`)
)

// parseHead parses the first line of the answer to RL,1 and reports whether a sample
// follows.
func parseHead(line string) (bool, error) {
	switch {
	case last.MatchString(line):
		return true, nil
	case none.MatchString(line):
		return false, nil
	}
	return false, fmt.Errorf("%.200q is no answer to RL", line)
}

// parseUncertainty returns the largest relative uncertainty of the samples so far:
//
//	Uncertainty,AVERAGE,LEAST,MOST,SAMPLES,ABOVE,WITHIN,UNKNOWN
//
// It is absent if the daemon does not know that of every sample.
func parseUncertainty(line string) (results.Float, error) {
	f := strings.Split(line, ",")
	if f[0] != "Uncertainty" || len(f) < 8 {
		return results.Absent(), fmt.Errorf("%.200q is no answer to Uncertainty", line)
	}
	var v [7]float64
	for i := range v {
		var err error
		if v[i], err = endpoint.Decimal(f[i+1]); err != nil {
			return results.Absent(), fmt.Errorf("uncertainty: %w", err)
		}
	}
	if most, samples, unknown := v[2], v[3], v[6]; most > 0 && most < 1 && samples > 0 && unknown == 0 {
		return results.Float(most), nil
	}
	return results.Absent(), nil
}
