package stratum

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
)

// Limits on one line from a client. Real ones stay below 400 bytes, 6 parameters and a
// depth of 3.
const (
	maxLine   = 4096
	maxParams = 16
	maxDepth  = 16
	maxID     = 64
	maxQuoted = 256 // of a line in a message
)

// request is one line from a client. Its parts are slices of the line: JSON as sent,
// valid until the next line is read.
type request struct {
	line   []byte // all of it
	id     []byte // to be echoed: a number, a string or null
	method []byte // as JSON; empty in an answer to the pool
	params [maxParams][]byte
	n      int // parameters
}

var (
	errJSON    = errors.New("not a JSON object")
	errRequest = errors.New("not a request")
	null       = []byte("null")
)

// parse reads a line. It accepts what encoding/json accepts, within the limits; of
// repeated keys the last one counts.
func (r *request) parse(line []byte) error {
	*r = request{line: line, id: null}
	s := scanner{b: line}
	answers := false
	err := s.object(func(key []byte) error {
		raw, err := s.value(1)
		if err != nil {
			return err
		}
		switch string(key) {
		case `"id"`:
			if r.id = raw; len(raw) > maxID || raw[0] == '{' || raw[0] == '[' || raw[0] == 't' || raw[0] == 'f' {
				r.id = null
				return errRequest
			}
		case `"method"`:
			r.method = raw
		case `"params"`:
			r.n = 0
			if raw[0] == '[' {
				p := scanner{b: raw}
				return p.array(func() error {
					if r.n == maxParams {
						return errRequest
					}
					r.params[r.n], _ = p.value(2) // it was checked above
					r.n++
					return nil
				})
			}
			if raw[0] != 'n' {
				return errRequest
			}
		case `"result"`, `"error"`:
			answers = true
		}
		return nil
	})
	if err != nil {
		return err
	}
	if s.space(); s.i != len(line) {
		return errJSON
	}
	if len(r.method) == 0 && answers || len(r.method) > 0 && r.method[0] == '"' {
		return nil
	}
	return errRequest
}

// param returns a parameter as text, or nil if it is missing or not a string.
func (r *request) param(i int) []byte {
	if i >= r.n {
		return nil
	}
	return text(r.params[i])
}

// value returns a parameter as JSON, or nil if it is missing or one of the forms in
// which clients write a missing value: null, or a string that is empty or blank.
func (r *request) value(i int) []byte {
	if i >= r.n || string(r.params[i]) == "null" {
		return nil
	}
	if t := text(r.params[i]); t != nil && len(bytes.TrimSpace(t)) == 0 {
		return nil
	}
	return r.params[i]
}

// text decodes a JSON string; it returns nil if raw is not one.
func text(raw []byte) []byte {
	if len(raw) < 2 || raw[0] != '"' {
		return nil
	}
	inner := raw[1 : len(raw)-1]
	for _, c := range inner {
		if c == '\\' || c >= 0x80 {
			var s string
			if json.Unmarshal(raw, &s) != nil {
				return nil
			}
			return []byte(s)
		}
	}
	return inner
}

// scanner steps through JSON (RFC 8259) without decoding it.
type scanner struct {
	b []byte
	i int
}

func (s *scanner) space() {
	for s.i < len(s.b) && (s.b[s.i] == ' ' || s.b[s.i] == '\t' || s.b[s.i] == '\r' || s.b[s.i] == '\n') {
		s.i++
	}
}

// next skips space and consumes the byte c, if that follows.
func (s *scanner) next(c byte) bool {
	s.space()
	if s.i < len(s.b) && s.b[s.i] == c {
		s.i++
		return true
	}
	return false
}

// object calls member at the value of each key, a JSON string.
func (s *scanner) object(member func(key []byte) error) error {
	if !s.next('{') {
		return errJSON
	}
	if s.next('}') {
		return nil
	}
	for {
		s.space()
		from := s.i
		if !s.str() {
			return errJSON
		}
		key := s.b[from:s.i]
		if !s.next(':') {
			return errJSON
		}
		if err := member(key); err != nil {
			return err
		}
		if s.next('}') {
			return nil
		}
		if !s.next(',') {
			return errJSON
		}
	}
}

// array calls element at the start of each element.
func (s *scanner) array(element func() error) error {
	if !s.next('[') {
		return errJSON
	}
	if s.next(']') {
		return nil
	}
	for {
		if err := element(); err != nil {
			return err
		}
		if s.next(']') {
			return nil
		}
		if !s.next(',') {
			return errJSON
		}
	}
}

// value steps over one value and returns it undecoded.
func (s *scanner) value(depth int) ([]byte, error) {
	s.space()
	from := s.i
	if from == len(s.b) || depth > maxDepth {
		return nil, errJSON
	}
	ok := false
	switch c := s.b[from]; c {
	case '{':
		ok = s.object(func([]byte) error { _, err := s.value(depth + 1); return err }) == nil
	case '[':
		ok = s.array(func() error { _, err := s.value(depth + 1); return err }) == nil
	case '"':
		ok = s.str()
	case 't':
		ok = s.word("true")
	case 'f':
		ok = s.word("false")
	case 'n':
		ok = s.word("null")
	default:
		ok = s.number()
	}
	if !ok {
		return nil, errJSON
	}
	return s.b[from:s.i], nil
}

func (s *scanner) word(w string) bool {
	ok := bytes.HasPrefix(s.b[s.i:], []byte(w))
	s.i += len(w)
	return ok
}

func (s *scanner) str() bool {
	if s.i == len(s.b) || s.b[s.i] != '"' {
		return false
	}
	for s.i++; s.i < len(s.b); s.i++ {
		switch c := s.b[s.i]; {
		case c == '"':
			s.i++
			return true
		case c < ' ':
			return false
		case c == '\\':
			if s.i++; s.i == len(s.b) {
				return false
			}
			switch s.b[s.i] {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			case 'u':
				for range 4 {
					if s.i++; s.i == len(s.b) || unhex[s.b[s.i]] > 15 {
						return false
					}
				}
			default:
				return false
			}
		}
	}
	return false
}

func (s *scanner) digits() bool {
	from := s.i
	for s.i < len(s.b) && s.b[s.i]-'0' < 10 {
		s.i++
	}
	return s.i > from
}

func (s *scanner) number() bool {
	if s.b[s.i] == '-' {
		s.i++
	}
	if s.i < len(s.b) && s.b[s.i] == '0' {
		s.i++
	} else if !s.digits() {
		return false
	}
	if s.i < len(s.b) && s.b[s.i] == '.' {
		if s.i++; !s.digits() {
			return false
		}
	}
	if s.i < len(s.b) && s.b[s.i]|0x20 == 'e' {
		if s.i++; s.i < len(s.b) && (s.b[s.i] == '+' || s.b[s.i] == '-') {
			s.i++
		}
		return s.digits()
	}
	return true
}

// unhex is the value of a hexadecimal digit, and more than 15 for any other byte.
var unhex = func() (t [256]byte) {
	for i := range t {
		t[i] = 0xff
	}
	for i, c := range "0123456789abcdef" {
		t[c] = byte(i)
	}
	for i, c := range "ABCDEF" {
		t[c] = byte(10 + i)
	}
	return t
}()

// number32 reads the 32 bits of a time, a nonce or a version as clients write them: a
// text of hexadecimal digits in either case, with or without zeros or 0x before them,
// or a JSON number that is whole, negative where its highest bit is a sign. Each of
// these forms stands for one number only; whether the client hashed that one is shown
// by the digest.
func number32(raw []byte) (n uint32, ok bool) {
	if len(raw) == 0 {
		return 0, false
	}
	if raw[0] != '"' {
		f, err := strconv.ParseFloat(string(raw), 64)
		return uint32(int64(f)), err == nil && f >= math.MinInt32 && f <= math.MaxUint32 && f == math.Trunc(f) // #nosec G115 -- the bounds stand beside it; a negative number is its 32 bits
	}
	digits := bytes.TrimSpace(text(raw))
	if len(digits) > 2 && digits[0] == '0' && digits[1]|0x20 == 'x' {
		digits = digits[2:]
	}
	for _, c := range digits {
		if unhex[c] > 15 || n>>28 != 0 {
			return 0, false
		}
		n = n<<4 | uint32(unhex[c])
	}
	return n, len(digits) > 0
}

// quoted returns the beginning of a client's line, quoted and in ASCII, for a message.
func quoted(line []byte) string {
	s := string(line)
	if len(s) > maxQuoted {
		s = s[:maxQuoted] + "..."
	}
	for i := range len(s) {
		if s[i] >= 0x80 {
			return strconv.QuoteToASCII(s)
		}
	}
	return fmt.Sprintf("%#q", s)
}

// fromHex fills dst from exactly twice as many hexadecimal digits.
func fromHex(dst, digits []byte) bool {
	if len(digits) != 2*len(dst) {
		return false
	}
	bad := byte(0)
	for i := range dst {
		hi, lo := unhex[digits[2*i]], unhex[digits[2*i+1]]
		bad |= hi | lo
		dst[i] = hi<<4 | lo&15
	}
	return bad < 16
}
