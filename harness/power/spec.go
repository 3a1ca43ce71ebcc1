package power

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/perwatt/perwatt/results"
)

// ErrSpec is wrapped when a spec is unknown, malformed or at odds with
// another: the user's mistake and not the instrument's.
var ErrSpec = errors.New("bad meter spec")

// Option is one KEY=VALUE that a spec may end in.
type Option struct {
	Key  string
	Help string // what it says, in a line; the default in parentheses
}

// Spec is what the user wrote for one meter, taken apart:
//
//	KIND[:TARGET][,KEY=VALUE]...
//
// A comma that is not followed by a known key and = belongs to the target, so
// that a query or a command needs no quoting of its own. In those, neither does
// one whose value begins with a quote, as that of a label does.
type Spec struct {
	Kind   string
	Target string
	Now    func() time.Time // for tests; nil is time.Now

	values map[string]string
}

// Common are the options of every instrument that is asked over a wire.
// What an instrument cannot know of itself is said here.
var Common = []Option{
	{"boundary", "what it feeds: wall, psu, node, board, package, card or memory"},
	{"part", "yes: it is a part of that boundary only, recorded and added to nothing (no)"},
	{"accuracy", "stated by its maker, of the reading and a fixed part: 1%, 0.5%+2W (unknown)"},
	{"resolution", "smallest step of what is in the total, in W, or in J of an energy: 0.1, 3600 (as the instrument documents)"},
	{"max", "watts beyond which a reading is not believed (as the instrument documents)"},
	{"period", "how often it has something new: 500ms, 30s (as the instrument documents)"},
	{"timeout", "longest wait for an answer (2s)"},
	{"name", "what the record calls it (the kind)"},
}

// Login are the options of an instrument that asks who is there.
var Login = []Option{
	{"user", "name to log in with"},
	{"password", "where the password is: env:NAME or file:PATH, never the password itself"},
}

// Whence is the option of an instrument that cannot know how its figures came
// to be: see [Spec.Origin].
var Whence = Option{"origin", "whether an instrument measured it or it is modelled, as by Kepler in a VM: measured, modelled (measured)"}

// ParseSpec takes a spec apart. The options that its kind knows are given.
// Neither the spec nor an error of this package ever holds a secret: they are
// refused unless they name a place, and then read by [Spec.Secret].
func ParseSpec(text string, known []Option) (Spec, error) {
	s := Spec{values: map[string]string{}}
	bad := func(format string, args ...any) (Spec, error) {
		return Spec{}, fmt.Errorf("%w: %s", ErrSpec, fmt.Sprintf(format, args...))
	}
	kind, rest, colon := strings.Cut(text, ":")
	if head, options, more := strings.Cut(kind, ","); more { // rapl,name=x
		kind, rest = head, ","+options
		if colon {
			rest += ":" + text[len(head)+len(options)+2:]
		}
	}
	s.Kind = kind
	free := kind == "exec" || strings.Contains(rest, "?") // a query or a command may hold anything
	for {
		at := strings.LastIndexByte(rest, ',')
		key, value, is := strings.Cut(rest[at+1:], "=")
		if at < 0 || !is || free && !secret(key) && label.MatchString(value) || !slices.ContainsFunc(known, func(o Option) bool { return o.Key == key }) {
			break
		}
		if _, twice := s.values[key]; twice {
			return bad("option %s is given twice", key)
		}
		if secret(key) && !place.MatchString(value) {
			return bad("%s= must say where it is, env:NAME or file:PATH: what stands in a command line is read by every user of this machine", key)
		}
		s.values[key], rest = value, rest[:at]
	}
	s.Target = rest
	// Where not anything may stand, such a tail is an option that is not known,
	// a misspelt one above all.
	if at := strings.LastIndexByte(rest, ','); at >= 0 && !free {
		var keys []string
		for _, o := range known {
			keys = append(keys, o.Key)
		}
		key, _, _ := strings.Cut(rest[at+1:], "=")
		if len(keys) == 0 {
			return bad("%s has no options", kind)
		}
		return bad("%.40q is no option of %s; those are %s", key, kind, strings.Join(keys, ", "))
	}
	if u, err := url.Parse(s.Target); err == nil && u.User != nil {
		return bad("the address holds a user: give user=NAME and password=env:NAME or file:PATH instead")
	}
	return s, nil
}

// secret reports whether an option holds one.
func secret(key string) bool {
	return key == "password" || key == "community" || key == "token" || key == "privacy"
}

var (
	label    = regexp.MustCompile("^~?[\"'`]")
	place    = regexp.MustCompile(`^(env:[A-Za-z_][A-Za-z0-9_]{0,127}|file:[^,]+)$`)
	inOption = regexp.MustCompile(`((?:password|community|token|privacy|secret|key)=)(.*?)(,| \+ |$)`)
	inURL    = regexp.MustCompile(`://[^/@\s]*@`)
)

// Redact returns a spec as it may be shown and recorded, whatever somebody
// typed into it.
func Redact(text string) string {
	text = inOption.ReplaceAllStringFunc(text, func(m string) string {
		part := inOption.FindStringSubmatch(m)
		if place.MatchString(part[2]) {
			return m
		}
		return part[1] + "…" + part[3]
	})
	return inURL.ReplaceAllString(text, "://…@")
}

// Has reports whether an option was given.
func (s Spec) Has(key string) bool { _, ok := s.values[key]; return ok }

// Get returns the text of an option, or otherwise if it was not given.
func (s Spec) Get(key, otherwise string) string {
	if v, ok := s.values[key]; ok {
		return v
	}
	return otherwise
}

// badOption is the error of an option's value.
func badOption(key, value, want string) error {
	return fmt.Errorf("%w: %s=%.40s: must be %s", ErrSpec, key, value, want)
}

// Number returns an option as a number from least to most.
func (s Spec) Number(key string, otherwise, least, most float64) (float64, error) {
	text, given := s.values[key]
	if !given {
		return otherwise, nil
	}
	v, err := Decimal(text)
	if err != nil || v < least || v > most {
		return 0, badOption(key, text, fmt.Sprintf("a number from %g to %g", least, most))
	}
	return v, nil
}

// Duration returns an option as a duration from least to most.
func (s Spec) Duration(key string, otherwise, least, most time.Duration) (time.Duration, error) {
	text, given := s.values[key]
	if !given {
		return otherwise, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < least || d > most {
		return 0, badOption(key, text, fmt.Sprintf("a duration from %v to %v, such as 500ms", least, most))
	}
	return d, nil
}

// Timeout returns the longest wait for an answer.
func (s Spec) Timeout() (time.Duration, error) {
	return s.Duration("timeout", 2*time.Second, 10*time.Millisecond, time.Minute)
}

// Choice returns an option that is one of some words.
func (s Spec) Choice(key, otherwise string, words ...string) (string, error) {
	v := s.Get(key, otherwise)
	if !slices.Contains(words, v) {
		return "", badOption(key, v, strings.Join(words, ", "))
	}
	return v, nil
}

// Origin returns what the option [Whence] says.
func (s Spec) Origin() (results.Origin, error) {
	o, err := s.Choice(Whence.Key, string(results.Measured), string(results.Measured), string(results.Modelled))
	return results.Origin(o), err
}

// Secret reads what an option names the place of: the environment variable
// of env:NAME, or the file of file:PATH without its last newline. It is empty
// if the option was not given. The error names the place.
func (s Spec) Secret(key string) (string, error) {
	at, given := s.values[key]
	if !given {
		return "", nil
	}
	kind, where, _ := strings.Cut(at, ":")
	if kind == "env" {
		v, set := os.LookupEnv(where)
		if !set || v == "" {
			return "", fmt.Errorf("%w: %s: the environment variable %s is not set", ErrSpec, key, where)
		}
		return v, nil
	}
	f, err := os.Open(where)
	if err != nil {
		return "", fmt.Errorf("%w: %s: %w", ErrSpec, key, err)
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, 4097))
	switch raw = bytes.TrimRight(raw, "\r\n"); {
	case err != nil:
		return "", fmt.Errorf("%w: %s: %w", ErrSpec, key, err)
	case len(raw) == 0 || len(raw) > 4096:
		return "", fmt.Errorf("%w: %s: %s is empty or longer than 4096 bytes", ErrSpec, key, where)
	}
	return string(raw), nil
}

// Address returns the target as host:port, with a port if it names none.
func (s Spec) Address(port string) (string, error) {
	host, p, err := net.SplitHostPort(s.Target)
	if err != nil {
		host, p = strings.Trim(s.Target, "[]"), port
	}
	if n, err := strconv.Atoi(p); err != nil || n < 1 || n > 65535 || host == "" || strings.ContainsAny(host, "/ @?#\\") || strings.Contains(host, ":") && net.ParseIP(host) == nil {
		return "", fmt.Errorf("%w: %.80q is no HOST or HOST:PORT", ErrSpec, s.Target)
	}
	return net.JoinHostPort(host, p), nil
}

// Channel completes a channel that an instrument offers by what the spec says
// of it: boundary, part, accuracy and resolution.
func (s Spec) Channel(c results.Channel) (results.Channel, error) {
	carries := c.Total != ""
	if b, given := s.values["boundary"]; given {
		if c.Boundary = results.Boundary(b); !slices.Contains(results.Boundaries(), c.Boundary) {
			return c, badOption("boundary", b, fmt.Sprint("one of ", results.Boundaries()))
		}
		if c.Total != "" {
			c.Total = c.Boundary
		}
	}
	part, err := s.Choice("part", "no", "yes", "no")
	if err != nil {
		return c, err
	}
	// A card or the memory is never the whole node.
	if part == "yes" || c.Boundary == results.Card || c.Boundary == results.Memory {
		c.Total = ""
	}
	if text, given := s.values["accuracy"]; given {
		gain, offset, more := strings.Cut(text, "+")
		g, err := Decimal(strings.TrimSuffix(gain, "%"))
		if err != nil || !strings.HasSuffix(gain, "%") || !(g > 0 && g <= 100) {
			return c, badOption("accuracy", text, "a percentage of the reading, and watts if a part is fixed, such as 1% or 0.5%+2W")
		}
		c.Accuracy.Gain, c.Accuracy.Source = results.Float(g/100), "stated in the spec"
		if more {
			w, err := Decimal(strings.TrimSuffix(offset, "W"))
			if err != nil || !strings.HasSuffix(offset, "W") || !(w > 0 && w <= 1e6) {
				return c, badOption("accuracy", text, "such as 0.5%+2W")
			}
			c.Accuracy.Offset = results.Float(w)
		}
	}
	r, err := s.Number("resolution", float64(c.Accuracy.Resolution), 1e-9, 1e9)
	if carries { // one number cannot be the step of W and of J
		c.Accuracy.Resolution = results.Float(r)
	}
	return c, err
}

var decimal = regexp.MustCompile(`^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?$`)

// Decimal reads a number as instruments write them. Unlike
// [strconv.ParseFloat] it takes no hexadecimal, no infinity, no NaN and no
// underscores.
func Decimal(text string) (float64, error) {
	if len(text) > 64 || !decimal.MatchString(text) {
		return 0, fmt.Errorf("%.32q is not a number", text)
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0, fmt.Errorf("%.32q is out of range", text)
	}
	return v, nil
}

// Remote returns a meter of this spec around what asks its instrument: the
// timeout, the period and the limit that the options give.
func (s Spec) Remote(about Info, bounds []Bound, ask Ask, shut func() error) (*Remote, error) {
	timeout, err := s.Timeout()
	if err != nil {
		return nil, err
	}
	if about.Period, err = s.Duration("period", about.Period, 10*time.Millisecond, time.Hour); err != nil {
		return nil, err
	}
	bounds = slices.Clone(bounds)
	for i := range bounds {
		if bounds[i].Watts, err = s.Number("max", cmp.Or(bounds[i].Watts, MostWatts), 1e-3, 1e9); err != nil {
			return nil, err
		}
	}
	about.Channels = slices.Clone(about.Channels)
	for i, c := range about.Channels {
		if about.Channels[i], err = s.Channel(c); err != nil {
			return nil, err
		}
	}
	about.Name = cmp.Or(about.Name, s.Kind)
	if s.Has("part") && s.Get("part", "") == "yes" {
		about.Notes = append(about.Notes, "a part of its boundary only, as the spec says: in no total")
	}
	return &Remote{about: about, bounds: bounds, ask: ask, shut: shut, timeout: timeout, now: s.now(), state: make([]state, len(about.Channels))}, nil
}

func (s Spec) now() func() time.Time {
	if s.Now != nil {
		return s.Now
	}
	return time.Now
}
