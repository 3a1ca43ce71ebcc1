// Package endpoint holds how an instrument or a miner on a network is named and
// queried: the specification that a user writes, where its credentials are, and
// JSON over HTTP from a server that may return anything. The packages that import
// it interpret the answers.
package endpoint

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/perwatt/perwatt/results"
)

// ErrSpec is wrapped if a specification is unknown, malformed or contradicts
// another: a mistake of the user, not of the instrument.
var ErrSpec = errors.New("bad spec")

// Option is one KEY=VALUE at the end of a specification.
type Option struct {
	Key  string
	Help string // one line, with the default in parentheses
}

// Spec is the parsed specification of one instrument:
//
//	KIND[:TARGET][,KEY=VALUE]...
//
// A comma that is not followed by a known key and = belongs to the target, so
// that a query or a command needs no quoting. In those, neither does a value that
// begins with a quote, as that of a label does.
type Spec struct {
	Kind   string
	Target string

	values map[string]string
}

// Login are the options of an instrument with credentials.
var Login = []Option{
	{"user", "name to log in with"},
	{"password", "where the password is: env:NAME or file:PATH, never the password itself"},
}

// ParseSpec parses a specification. known lists the options of its kind. Neither
// a Spec nor an error of this package ever holds a secret: an option for a secret
// must name a location, which [Spec.Secret] reads.
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
	// Elsewhere such a tail is an unknown option, most likely a misspelled one.
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

// secret reports whether an option holds a secret.
func secret(key string) bool {
	return key == "password" || key == "community" || key == "token" || key == "privacy"
}

var (
	label    = regexp.MustCompile("^~?[\"'`]")
	place    = regexp.MustCompile(`^(env:[A-Za-z_][A-Za-z0-9_]{0,127}|file:[^,]+)$`)
	inOption = regexp.MustCompile(`((?:password|community|token|privacy|secret|key)=)(.*?)(,| \+ |$)`)
	inURL    = regexp.MustCompile(`://[^/@\s]*@`)
)

// Redact returns a specification that can be shown and recorded, whatever the
// user typed.
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

// BadOption is the error for the value of an option.
func BadOption(key, value, want string) error {
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
		return 0, BadOption(key, text, fmt.Sprintf("a number from %g to %g", least, most))
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
		return 0, BadOption(key, text, fmt.Sprintf("a duration from %v to %v, such as 500ms", least, most))
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
		return "", BadOption(key, v, strings.Join(words, ", "))
	}
	return v, nil
}

// Secret reads the secret that an option locates: the environment variable of
// env:NAME, or the file of file:PATH without its last newline. It is empty if the
// option was not given. The error names the location.
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
	f, err := results.OpenFile(where)
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

// hostName is a name of DNS, or of a less strict network.
var hostName = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_.])?$`)

// Address returns the target as host:port, with the default port if it has none.
func (s Spec) Address(port string) (string, error) {
	host, p, err := net.SplitHostPort(s.Target)
	if err != nil {
		host, p = s.Target, port
		if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
			host = host[1 : len(host)-1]
		}
	}
	_, notIP := netip.ParseAddr(host) // a zone may follow
	if n, err := strconv.Atoi(p); err != nil || n < 1 || n > 65535 || notIP != nil && !hostName.MatchString(host) {
		return "", fmt.Errorf("%w: %.80q is no HOST or HOST:PORT", ErrSpec, s.Target)
	}
	return net.JoinHostPort(host, p), nil
}

var decimal = regexp.MustCompile(`^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?$`)

// Decimal reads a number as instruments write it. Unlike [strconv.ParseFloat] it
// accepts no hexadecimal, infinity, NaN or underscores.
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
