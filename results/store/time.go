package store

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// zones are abbreviations that mean the same offset wherever they are used: those of
// RFC 2822, of Europe and of Japan.
var zones = map[string]string{
	"UTC": "+0000", "GMT": "+0000", "UT": "+0000", "Z": "+0000", "WET": "+0000",
	"EST": "-0500", "EDT": "-0400", "CDT": "-0500", "MST": "-0700", "MDT": "-0600", "PST": "-0800", "PDT": "-0700",
	"WEST": "+0100", "CET": "+0100", "CEST": "+0200", "EET": "+0200", "EEST": "+0300", "JST": "+0900",
}

// Layouts of a day, alone or followed by a time of day.
var (
	days     = []string{"2006-1-2", "2006/1/2", "2006.1.2", "20060102", "2 Jan 2006", "Jan 2 2006", "2 January 2006", "January 2 2006", "2-Jan-2006", "2-Jan-06", "2 Jan 06"}
	betweens = []string{" ", "T", "t", "_", "-"}
	clocks   = []string{"15:04:05", "15:04", "3:04:05 PM", "3:04 PM", "150405", "1504", "15-04-05"}
)

var (
	sinceEpoch = regexp.MustCompile(`^@?(\d{9,10})(?:\.(\d{1,9})\d*)?(?: [+-]\d{4})?$`) // the zone of git's raw form does not change the time
	epochUnits = map[int]time.Duration{13: time.Millisecond, 16: time.Microsecond, 19: time.Nanosecond}
	dated      = regexp.MustCompile(`\d{4}|\d\d?[- ][A-Za-z]{3}[- ]\d\d`) // a quick test: most other text does not match
	digits     = regexp.MustCompile(`^\d+$`)
	weekday    = regexp.MustCompile(`(?i)^(mon|tue|wed|thu|fri|sat|sun)[a-z]*[, ] *`)
	remark     = regexp.MustCompile(`([+-]\d\d:?\d\d) ?(\(.*\)|\[.*\]|[A-Z]{1,5}(?: m=\S+)?)$`) // a zone that repeats the offset
	yearLast   = regexp.MustCompile(`^([A-Za-z]{3} \d{1,2}|\d{1,2} [A-Za-z]{3}) (\d\S+)( [AP]M)?( [A-Z]{1,4}| [+-]\d\d(?:\d\d)?)? (\d{4})( .*)?$`)
	zoned      = regexp.MustCompile(`^(.*\d(?: [AP]M)?) ?([+-]\d\d?|[+-]\d\d:?\d\d|[A-LN-Zz]|[A-Z]{2,4})$`)
)

// ParseTime reads a day or a time as people and tools write them: RFC 3339, 2822,
// 1123, 850 and similar forms, the output of date and git, Unix time in seconds to
// nanoseconds. Without a zone it is UTC. Ambiguous text, such as 05/01/2026 or the
// zone CST, is an error.
func ParseTime(s string) (time.Time, error) {
	t, ok := parseTime(strings.Trim(s, " \t\"'"))
	if y := t.UTC().Year(); !ok || y < 1970 || y > 9999 {
		return time.Time{}, fmt.Errorf("%.40q is no time: write it as 2026-01-31 or 2026-01-31T02:00:00Z", s)
	}
	return t.UTC(), nil
}

func parseTime(s string) (t time.Time, ok bool) {
	if len(s) > 80 || !dated.MatchString(s) {
		return t, false
	}
	if compact(s) {
		s = s[:8] + " " + (s[8:] + "00")[:max(4, len(s)-8)]
	}
	if m := sinceEpoch.FindStringSubmatch(s); m != nil {
		sec, _ := strconv.ParseInt(m[1], 10, 64)
		ns, _ := strconv.ParseInt((m[2] + "000000000")[:9], 10, 64)
		return time.Unix(sec, ns), true
	}
	if unit := epochUnits[len(s)]; unit != 0 && digits.MatchString(s) {
		n, err := strconv.ParseInt(s, 10, 64)
		per := int64(time.Second / unit)
		return time.Unix(n/per, n%per*int64(unit)), err == nil
	}
	s = strings.NewReplacer(", ", " ", "GMT+", "+", "GMT-", "-", "UTC+", "+", "UTC-", "-").Replace(s)
	s = strings.Join(strings.Fields(weekday.ReplaceAllString(s, "")), " ")
	s = remark.ReplaceAllString(s, "$1")
	s = yearLast.ReplaceAllString(s, "$1 $5 $2$3$4$6") // May 1 02:00:00 CEST 2026
	if m := zoned.FindStringSubmatch(s); m != nil {
		zone := m[2]
		if named, ok := zones[strings.ToUpper(zone)]; ok {
			zone = named
		}
		switch zone = strings.ReplaceAll(zone, ":", ""); len(zone) {
		case 2: // UTC+2
			zone = zone[:1] + "0" + zone[1:] + "00"
		case 3:
			zone += "00"
		}
		if t, ok := parseLayouts(m[1]+zone, "-0700"); ok {
			return t, true
		}
	}
	return parseLayouts(s, "")
}

func parseLayouts(s, zone string) (time.Time, bool) {
	for _, day := range days {
		if t, err := time.Parse(day, s); err == nil && zone == "" {
			return t, true
		}
		for _, clock := range clocks {
			for _, between := range betweens {
				if t, err := time.Parse(day+between+clock+zone, s); err == nil {
					return t, true
				}
			}
		}
	}
	return time.Time{}, false
}

// compact reports whether s is a day with an hour, and perhaps minutes and seconds,
// in digits only, such as 2026013102. As Unix seconds such a number would be in 2033 or later.
func compact(s string) bool {
	if n := len(s); n != 10 && n != 12 && n != 14 || s[:2] != "20" || !digits.MatchString(s) {
		return false
	}
	_, err := time.Parse("2006010215", s[:10])
	return err == nil
}
