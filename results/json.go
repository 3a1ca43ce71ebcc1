package results

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth bounds the nesting of a record. Its own types need eight levels.
const maxDepth = 32

// maxMembers bounds the members of one object of a record, and with them its
// runs, each of which is a member of its digest.
const maxMembers = 1 << 18

// place is where in a JSON text a reader or a writer stands.
type place []step

type step struct {
	key   string // of a member; for an element of a list see index
	index int    // ≥ 0 for an element of a list, else -1
}

var pointerEscapes = strings.NewReplacer("~", "~0", "/", "~1")

// pointer is the place as a JSON pointer (RFC 6901).
func (p place) pointer() string {
	var b strings.Builder
	for _, s := range p {
		b.WriteByte('/')
		if s.index >= 0 {
			b.WriteString(strconv.Itoa(s.index))
			continue
		}
		b.WriteString(pointerEscapes.Replace(s.key))
	}
	return b.String()
}

// mostQuoted is how much of a file, in runes, stands in an error about it.
const mostQuoted = 200

// errorf is an error about the value at p.
func (p place) errorf(format string, args ...any) error {
	at := "the record"
	if len(p) > 0 {
		at = Line(p.pointer(), mostQuoted)
	}
	return fmt.Errorf("%s: %s", at, fmt.Sprintf(format, args...))
}

// text walks one JSON text strictly: RFC 8259 as I-JSON (RFC 7493) narrows it,
// hence no invalid UTF-8, no lone surrogate, no member twice and nothing after
// the value. It always knows its place. (encoding/json forgives the first
// three, matches names whatever their case, and cannot say in which element
// of which list a value was wrong.)
type text struct {
	place
	b    []byte
	i    int
	keys map[string]string // names that were met: a record has few, many times

	traces bool // all but the summary is to be read
}

// walk applies value to the one value of b, which value must consume.
func walk(b []byte, value func(*text) error) error {
	x := &text{b: b}
	if !utf8.Valid(b) {
		for {
			r, n := utf8.DecodeRune(b[x.i:])
			if r == utf8.RuneError && n == 1 {
				return x.syntax("invalid UTF-8")
			}
			x.i += n
		}
	}
	if err := value(x); err != nil {
		return err
	}
	if x.peek(); x.i < len(b) {
		return x.syntax("something follows the end of the record")
	}
	return nil
}

// syntax is an error about the bytes at x rather than about a value.
func (x *text) syntax(what string) error {
	if x.i >= len(x.b) {
		what = "the file ends in mid-record: it was cut off, take another copy of it"
	}
	line := 1 + bytes.Count(x.b[:min(x.i, len(x.b))], []byte("\n"))
	in := ""
	if len(x.place) > 0 {
		in = " in " + Line(x.pointer(), mostQuoted)
	}
	return fmt.Errorf("line %d, byte %d%s: %s", line, x.i, in, what)
}

// wrong is the error for a value of another type than want.
func (x *text) wrong(want string) error {
	var found string
	switch c := x.peek(); {
	case c == '{':
		found = "an object"
	case c == '[':
		found = "a list"
	case c == '"':
		found = "a string"
	case c == 't' || c == 'f':
		found = "a boolean"
	case c == 'n':
		found = "null"
	case c == '-' || isDigit(c):
		found = "a number"
	default:
		return x.syntax("not JSON: " + want + " belongs here")
	}
	return x.errorf("%s stands where %s belongs", found, want)
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// peek skips white space and returns the next byte, 0 at the end.
func (x *text) peek() byte {
	for ; x.i < len(x.b); x.i++ {
		switch c := x.b[x.i]; c {
		case ' ', '\t', '\n', '\r':
		default:
			return c
		}
	}
	return 0
}

// items walks a list of items between open and end.
func (x *text) items(open, end byte, want string, item func(i int) error) error {
	if x.peek() != open {
		return x.wrong(want)
	}
	if len(x.place) == maxDepth {
		return x.errorf("nested deeper than %d levels", maxDepth)
	}
	x.i++
	if x.peek() == end {
		x.i++
		return nil
	}
	depth := len(x.place)
	x.place = append(x.place, step{})
	for i := 0; ; i++ {
		if err := item(i); err != nil {
			return err
		}
		switch x.peek() {
		case ',':
			x.i++
		case end:
			x.i++
			x.place = x.place[:depth]
			return nil
		default:
			return x.syntax(fmt.Sprintf("not JSON: ',' or '%c' belongs here", end))
		}
	}
}

// list calls element at each element of a list; element consumes it.
func (x *text) list(element func(i int) error) error {
	depth := len(x.place)
	return x.items('[', ']', "a list", func(i int) error {
		x.place[depth].index = i
		return element(i)
	})
}

// object calls member at the value of each member; member consumes it.
func (x *text) object(member func(key string) error) error {
	depth := len(x.place)
	var seen names
	return x.items('{', '}', "an object", func(i int) error {
		if i == maxMembers {
			x.place = x.place[:depth]
			return x.errorf("more than %d members: no session has as many", maxMembers)
		}
		x.place[depth] = step{index: -1}
		if x.peek() != '"' {
			return x.syntax("not JSON: the name of a member belongs here")
		}
		key, err := x.key()
		if err != nil {
			return err
		}
		x.place[depth].key = key
		if !seen.add(key) {
			return x.errorf("stands there twice")
		}
		if x.peek() != ':' {
			return x.syntax("not JSON: ':' belongs here")
		}
		x.i++
		return member(key)
	})
}

// names is a set of names, small ones without a map.
type names struct {
	few  [16]string
	n    int
	many map[string]struct{}
}

// add says whether name is new.
func (n *names) add(name string) bool {
	if n.n < len(n.few) {
		if slices.Contains(n.few[:n.n], name) {
			return false
		}
		n.few[n.n], n.n = name, n.n+1
		return true
	}
	if n.many == nil {
		n.many = map[string]struct{}{}
		for _, f := range n.few {
			n.many[f] = struct{}{}
		}
	}
	_, again := n.many[name]
	n.many[name] = struct{}{}
	return !again
}

// key is str for the name of a member.
func (x *text) key() (string, error) {
	if n := bytes.IndexByte(x.b[x.i+1:], '"'); n >= 0 {
		if key, ok := x.keys[string(x.b[x.i+1:x.i+1+n])]; ok {
			x.i += n + 2
			return key, nil
		}
	}
	from := x.i + 1
	key, err := x.str()
	if err == nil && x.i-1-from == len(key) && len(key) < 64 && len(x.keys) < 1000 { // without escapes
		if x.keys == nil {
			x.keys = map[string]string{}
		}
		x.keys[key] = key
	}
	return key, err
}

// str consumes a string.
func (x *text) str() (string, error) {
	if x.peek() != '"' {
		return "", x.wrong("a string")
	}
	x.i++
	from := x.i
	for ; x.i < len(x.b) && x.b[x.i] >= ' ' && x.b[x.i] != '\\'; x.i++ {
		if x.b[x.i] == '"' {
			x.i++
			return string(x.b[from : x.i-1]), nil
		}
	}
	s := slices.Clone(x.b[from:x.i])
	for x.i < len(x.b) {
		switch c := x.b[x.i]; {
		case c == '"':
			x.i++
			return string(s), nil
		case c < ' ':
			return "", x.syntax("not JSON: a control character in a string")
		case c == '\\':
			r, ok := x.escape()
			if !ok {
				return "", x.syntax("not JSON: no such escape in a string")
			}
			s = utf8.AppendRune(s, r)
		default:
			s = append(s, c)
			x.i++
		}
	}
	return "", x.syntax("")
}

const escapes, escaped = `"\/bfnrt`, "\"\\/\b\f\n\r\t"

// escape consumes one escape sequence, or stays before it if there is none.
func (x *text) escape() (rune, bool) {
	if r := x.hex(); r >= 0 {
		x.i += 6
		if !utf16.IsSurrogate(r) {
			return r, true
		}
		if r = utf16.DecodeRune(r, x.hex()); r != utf8.RuneError {
			x.i += 6
			return r, true
		}
		x.i -= 6
		return 0, false
	}
	if x.i+1 >= len(x.b) {
		x.i = len(x.b)
		return 0, false
	}
	k := strings.IndexByte(escapes, x.b[x.i+1])
	if k < 0 {
		return 0, false
	}
	x.i += 2
	return rune(escaped[k]), true
}

// hex returns the code unit of the \uXXXX at x, or -1.
func (x *text) hex() rune {
	if x.i+6 > len(x.b) || x.b[x.i] != '\\' || x.b[x.i+1] != 'u' {
		return -1
	}
	v, err := strconv.ParseUint(string(x.b[x.i+2:x.i+6]), 16, 16)
	if err != nil {
		return -1
	}
	return rune(v)
}

// number is a number as it is written.
type number struct {
	lit []byte
	// Most numbers of a record are plain: a decimal of at most 15 digits. Then
	// digits holds all of them, and scale says how many follow the point.
	plain  bool
	digits uint64
	scale  int
}

var tens = [...]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15}

// number consumes a number.
func (x *text) number() (n number, err error) {
	if c := x.peek(); c != '-' && !isDigit(c) {
		return n, x.wrong("a number")
	}
	b, from := x.b, x.i
	i, digits := from, 0
	if b[i] == '-' {
		i++
	}
	run := func() bool {
		first := i
		for ; i < len(b) && isDigit(b[i]); i++ {
			n.digits = 10*n.digits + uint64(b[i]-'0')
		}
		digits += i - first
		return i > first
	}
	ok := true
	if i < len(b) && b[i] == '0' {
		i, digits = i+1, 1
	} else {
		ok = run()
	}
	if ok && i < len(b) && b[i] == '.' {
		i++
		point := i
		ok = run()
		n.scale = i - point
	}
	n.plain = digits <= 15
	if ok && i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		n.plain = false
		if i++; i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		ok = run()
	}
	x.i = i
	if !ok {
		return n, x.syntax("not JSON: a number without digits")
	}
	n.lit = b[from:i]
	return n, nil
}

// value returns the float64 nearest to n; ok is false beyond all of them.
func (n *number) value() (f float64, ok bool) {
	if !n.plain {
		f, err := strconv.ParseFloat(string(n.lit), 64)
		return f, err == nil
	}
	f = float64(n.digits) / tens[n.scale] // both exact, hence rounded once
	if n.lit[0] == '-' {
		f = -f
	}
	return f, true
}

// canonical says that n is written as RFC 8785 writes it. It may say false of
// one that is. A decimal of up to 15 digits is the shortest that reads back as
// the same float64.
func (n *number) canonical() bool {
	switch {
	case !n.plain:
		return false
	case n.scale == 0:
		return n.digits != 0 || n.lit[0] != '-'
	}
	return n.digits%10 != 0 && float64(n.digits)*1e6 >= tens[n.scale]
}

// float consumes a number, which a float64 must be able to hold.
func (x *text) float() (float64, error) {
	n, err := x.number()
	if err != nil {
		return 0, err
	}
	f, ok := n.value()
	if !ok {
		return 0, x.errorf("%s is out of range", Line(string(n.lit), mostQuoted))
	}
	return f, nil
}

// word consumes true, false or null.
func (x *text) word(want string) (string, error) {
	c := x.peek()
	for _, w := range []string{"true", "false", "null"} {
		if bytes.HasPrefix(x.b[x.i:], []byte(w)) {
			x.i += len(w)
			return w, nil
		}
	}
	if c == 't' || c == 'f' || c == 'n' {
		return "", x.syntax("not JSON: there is no such word")
	}
	return "", x.wrong(want)
}

// skip consumes any value.
func (x *text) skip() (err error) {
	switch c := x.peek(); {
	case c == '{':
		return x.object(func(string) error { return x.skip() })
	case c == '[':
		return x.list(func(int) error { return x.skip() })
	case c == '"':
		_, err = x.str()
	case c == '-' || isDigit(c):
		_, err = x.number()
	default:
		_, err = x.word("a value")
	}
	return err
}

// canon consumes any value and appends its canonical form (RFC 8785). It
// calls odd at each number that is not written in that form.
func (x *text) canon(out []byte, odd func(lit, want string)) ([]byte, error) {
	switch c := x.peek(); {
	case c == '{':
		type member struct {
			name     string
			from, to int
		}
		members := make([]member, 0, 12)
		start := len(out)
		err := x.object(func(key string) (err error) {
			from := len(out)
			out = append(appendString(out, key), ':')
			out, err = x.canon(out, odd)
			members = append(members, member{key, from, len(out)})
			return err
		})
		slices.SortFunc(members, func(a, b member) int { return compareNames(a.name, b.name) })
		end := len(out)
		out = append(out, '{')
		for i, m := range members {
			if i > 0 {
				out = append(out, ',')
			}
			out = append(out, out[m.from:m.to]...)
		}
		out = append(out, '}')
		return out[:start+copy(out[start:], out[end:])], err
	case c == '[':
		out = append(out, '[')
		err := x.list(func(i int) (err error) {
			if i > 0 {
				out = append(out, ',')
			}
			out, err = x.canon(out, odd)
			return err
		})
		return append(out, ']'), err
	case c == '"':
		s, err := x.str()
		return appendString(out, s), err
	case c == '-' || isDigit(c):
		n, err := x.number()
		if err != nil || n.canonical() {
			return append(out, n.lit...), err
		}
		f, ok := n.value()
		if !ok {
			return out, x.errorf("%s is out of range", Line(string(n.lit), mostQuoted))
		}
		start := len(out)
		if out = appendFloat(out, f); !bytes.Equal(out[start:], n.lit) {
			odd(string(n.lit), string(out[start:]))
		}
		return out, nil
	}
	w, err := x.word("a value")
	return append(out, w...), err
}

// compareNames orders names as RFC 8785 does, by UTF-16 code units. That is the
// order of the bytes of UTF-8, but for what takes two units: it comes before the
// last of what takes one.
func compareNames(a, b string) int {
	i := 0
	for i < min(len(a), len(b)) && a[i] == b[i] {
		i++
	}
	for i > 0 && i < min(len(a), len(b)) && !utf8.RuneStart(a[i]) {
		i--
	}
	r, _ := utf8.DecodeRuneInString(a[i:])
	s, _ := utf8.DecodeRuneInString(b[i:])
	const twoUnits, lastUnits = 0x10000, 0xe000
	switch {
	case r >= twoUnits && lastUnits <= s && s < twoUnits && i < len(b):
		return -1
	case s >= twoUnits && lastUnits <= r && r < twoUnits && i < len(a):
		return +1
	}
	return strings.Compare(a[i:], b[i:])
}

// appendString appends s in quotes, as RFC 8785 writes it. What is not UTF-8
// in s becomes U+FFFD.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	plain := 0
	for plain < len(s) && ' ' <= s[plain] && s[plain] < utf8.RuneSelf && s[plain] != '"' && s[plain] != '\\' {
		plain++
	}
	b, s = append(b, s[:plain]...), s[plain:]
	for _, c := range []byte(strings.ToValidUTF8(s, "\uFFFD")) {
		k := strings.IndexByte(escaped, c)
		switch {
		case k >= 0 && c != '/':
			b = append(b, '\\', escapes[k])
		case c < ' ':
			b = fmt.Appendf(b, `\u%04x`, c)
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}

// appendFloat appends the shortest decimal that reads back as f, as RFC 8785
// writes it. f is finite.
func appendFloat(b []byte, f float64) []byte {
	if f == 0 { // of either sign
		return append(b, '0')
	}
	if a := math.Abs(f); 1e-6 <= a && a < 1e21 {
		return strconv.AppendFloat(b, f, 'f', -1, 64)
	}
	b = strconv.AppendFloat(b, f, 'e', -1, 64)
	if n := len(b); b[n-2] == '0' && (b[n-3] == '-' || b[n-3] == '+') { // e-09 is e-9
		b = append(b[:n-2], b[n-1])
	}
	return b
}

// layout appends the compact JSON value src, broken into lines for people and
// for diff: a container stays on one line if it is short or a list of plain
// values (so a column of a trace is a line), else each item has a line.
// It returns what of src follows the value.
func layout(out, src []byte, indent int) (laid, rest []byte) {
	end := src[0] + 2 // of { and [ in ASCII
	if src[0] != '{' && src[0] != '[' {
		n := scalar(src)
		return append(out, src[:n]...), src[n:]
	}
	if n := oneLine(src); n > 0 {
		return append(out, src[:n]...), src[n:]
	}
	line := func(indent int) {
		out = append(out, '\n')
		out = append(out, "\t\t\t\t\t\t\t\t\t\t\t\t"[:min(indent, 12)]...)
	}
	out = append(out, src[0])
	for src[0] != end {
		src = src[1:] // the opening, or a comma
		line(indent + 1)
		if end == '}' {
			n := scalar(src)
			out = append(append(out, src[:n]...), ": "...)
			src = src[n+1:]
		}
		if out, src = layout(out, src, indent+1); src[0] == ',' {
			out = append(out, ',')
		}
	}
	line(indent)
	return append(out, end), src[1:]
}

// scalar returns the length of the string, number or word that src begins with.
func scalar(src []byte) int {
	if src[0] != '"' {
		if n := bytes.IndexAny(src, ",]}"); n >= 0 {
			return n
		}
		return len(src)
	}
	for i := 1; ; i++ {
		switch src[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
}

// oneLine returns the length of the container that src begins with if it
// belongs on one line, else 0.
func oneLine(src []byte) int {
	const width = 120
	depth, flat := 0, src[0] == '['
	for i := 0; i < width || flat; i++ {
		switch src[i] {
		case '"':
			i += scalar(src[i:]) - 1
		case '{', '[':
			depth++
			flat = flat && depth == 1
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return 0
}
