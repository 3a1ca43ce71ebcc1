package results

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"slices"
	"strconv"
	"sync"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// maxDepth bounds the nesting of a record. Its own types need eight levels.
const maxDepth = 32

// maxMembers bounds the members of one object of a record, and with them its
// runs, each of which is a member of its digest.
const maxMembers = 1 << 18

// mostQuoted is how much of a file, in runes, stands in an error about it.
const mostQuoted = 200

// errorAt is an error about the value at a JSON pointer.
func errorAt(pointer jsontext.Pointer, format string, args ...any) error {
	at := "the record"
	if pointer != "" {
		at = Line(string(pointer), mostQuoted)
	}
	return fmt.Errorf("%s: %s", at, fmt.Sprintf(format, args...))
}

// place is the position of a writer in a JSON text: names of members and indices
// of elements, from the root.
type place []string

func (p place) pointer() (at jsontext.Pointer) {
	for _, token := range p {
		at = at.AppendToken(token)
	}
	return at
}

func (p place) errorf(format string, args ...any) error {
	return errorAt(p.pointer(), format, args...)
}

// text reads one JSON text as RFC 7493 has it: valid UTF-8, no lone surrogate, no
// duplicate member; and within the limits of a record. Its errors give the place and
// the line. jsontext words those of syntax.
//
// One walk can do several things: decode a value, and write the canonical form (RFC
// 8785) of what it reads, of which it makes the digest of each part of a record.
type text struct {
	raw    []byte
	at     int // bytes of raw that were read
	stack  []frame
	pieces []piece           // members of the objects on the stack, as far as they were read
	known  map[string]string // short strings by their quoted form: a record repeats a few of them many times

	mem     *memory              // for columns
	lengths map[reflect.Type]int // of the last list of a type; nil where a few values are read
	passing bool                 // whether values are read for their errors alone, into memory that is used again

	members func(reflect.Type) []member // of a struct in this version of the record; nil for [membersOf]

	emit  bool        // whether canon is written
	canon []byte      // the canonical form of what was read, or with seen, of the present part
	seen  *seenDigest // takes the digest of each part, and what is odd; may be nil
	err   error       // that of a number that canon cannot have
}

// frame is a place in an object or a list that has begun.
type frame struct {
	index int // of the member or the element; -1 before the first
	list  bool
	name  string // of the member
}

// piece is a member of an object and where its canonical form is.
type piece struct {
	name     string
	from, to int // in canon
	rank     int // see [member]; -1 of a stranger
}

// buffer is what one walk leaves for another. Known strings stay: they are few.
type buffer struct {
	known  map[string]string
	pieces []piece
	canon  []byte
}

// mostKept is how large a buffer may be, in bytes, that waits for another walk.
const mostKept = 4 << 20

var buffers = sync.Pool{New: func() any { return &buffer{known: map[string]string{}} }}

// maxString is the longest string of a record that is read, in bytes.
const maxString = 8 << 20

// walk applies value to the one value of raw, which value must consume.
func walk(raw []byte, value func(*text) error) error { return (&text{raw: raw}).walk(value) }

func (x *text) walk(value func(*text) error) error {
	b := buffers.Get().(*buffer)
	x.known, x.pieces = b.known, b.pieces[:0]
	if x.canon = b.canon[:0]; x.emit && cap(x.canon) == 0 {
		x.canon = make([]byte, 0, 1<<16)
	}
	defer func() {
		if cap(x.canon) <= mostKept && cap(x.pieces) <= mostKept/64 {
			buffers.Put(&buffer{x.known, x.pieces, x.canon})
		}
	}()
	if err := value(x); err != nil {
		return err
	}
	if x.peek(); x.at < len(x.raw) {
		return x.syntaxAt(x.at, "", "more data after the end of the record")
	}
	return nil
}

// pointer is the place of the value that is read, or was read last.
func (x *text) pointer() jsontext.Pointer { return pointerOf(x.stack) }

func pointerOf(stack []frame) (at jsontext.Pointer) {
	for _, f := range stack {
		switch {
		case f.index < 0:
		case f.list:
			at = at.AppendToken(strconv.Itoa(f.index))
		default:
			at = at.AppendToken(f.name)
		}
	}
	return at
}

// errorf is an error about the value read last.
func (x *text) errorf(format string, args ...any) error {
	return errorAt(x.pointer(), format, args...)
}

// syntax is the error that raw is no JSON, at the place that jsontext finds.
func (x *text) syntax() error {
	d := jsontext.NewDecoder(bytes.NewBuffer(x.raw))
	var err error
	for err == nil {
		_, err = d.ReadToken()
	}
	s := &jsontext.SyntacticError{ByteOffset: d.InputOffset(), Err: io.ErrUnexpectedEOF} // where nothing but white space is left
	errors.As(err, &s)
	if errors.Is(s.Err, io.ErrUnexpectedEOF) {
		return x.syntaxAt(int(s.ByteOffset), s.JSONPointer, "the file ends inside the record: it was cut off, take another copy of it")
	}
	return x.syntaxAt(int(s.ByteOffset), s.JSONPointer, "not JSON: "+s.Err.Error())
}

// syntaxAt is an error about the byte at an offset.
func (x *text) syntaxAt(offset int, at jsontext.Pointer, what string) error {
	line := 1 + bytes.Count(x.raw[:offset], []byte("\n"))
	in := ""
	if at != "" {
		in = " in " + Line(string(at), mostQuoted)
	}
	return fmt.Errorf("line %d, byte %d%s: %s", line, offset, in, what)
}

// peek passes over white space and returns the byte that follows it, 0 at the end.
func (x *text) peek() byte {
	for ; x.at < len(x.raw); x.at++ {
		if c := x.raw[x.at]; c != ' ' && c != '\t' && c != '\n' && c != '\r' {
			return c
		}
	}
	return 0
}

// isNumber reports whether a value that begins with c is a number.
func isNumber(c byte) bool { return isDigit(c) || c == '-' }

// wrong consumes the start of a value and returns the error that it is not what is
// wanted.
func (x *text) wrong(want string) error {
	found := ""
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
	case isNumber(c):
		found = "a number"
	default:
		return x.syntax()
	}
	if found != "an object" && found != "a list" {
		if err := x.skip(); err != nil {
			return err
		}
	}
	return x.errorf("expected %s, found %s", want, found)
}

// begin consumes the opening of an object or a list.
func (x *text) begin(opening byte, want string) error {
	if x.peek() != opening {
		return x.wrong(want)
	}
	if x.at++; len(x.stack) == maxDepth {
		return x.errorf("nested deeper than %d levels", maxDepth)
	}
	x.stack = append(x.stack, frame{index: -1, list: opening == '['})
	return nil
}

// next goes to item i of an object or a list that has begun, or consumes its end.
func (x *text) next(end byte, i int) (more bool, err error) {
	top := len(x.stack) - 1
	switch c := x.peek(); {
	case c == end:
		x.at++
		x.stack = x.stack[:top]
		return false, nil
	case i > 0 && c != ',':
		return false, x.syntax()
	case i > 0:
		x.at++
	}
	x.stack[top].index = i
	return true, nil
}

// list calls element at each element of a list; element consumes it.
func (x *text) list(element func(i int) error) error {
	if err := x.begin('[', "a list"); err != nil {
		return err
	}
	parts := x.seen != nil && len(x.stack) == 2 && x.stack[0].name == "runs"
	write := x.emit && !parts
	if write {
		x.canon = append(x.canon, '[')
	}
	for i := 0; ; i++ {
		if more, err := x.next(']', i); err != nil {
			return err
		} else if !more {
			break
		}
		if write && i > 0 {
			x.canon = append(x.canon, ',')
		}
		if err := element(i); err != nil {
			return err
		}
		if parts {
			x.part()
		}
	}
	if write {
		x.canon = append(x.canon, ']')
	}
	return nil
}

// object calls value at the value of each member, with its index in known, or -1; value
// consumes it. Members that come in the order of known, as they mostly do, are not looked
// up.
func (x *text) object(known []member, value func(i int, key string) error) error {
	if err := x.begin('{', "an object"); err != nil {
		return err
	}
	depth, first, start := len(x.stack), len(x.pieces), len(x.canon)
	parts := x.seen != nil && depth == 1
	var names map[string]bool // of an object with many strangers
	had, at, strangers := uint64(0), -1, 0
	for i := 0; ; i++ {
		if more, err := x.next('}', i); err != nil {
			return err
		} else if !more {
			break
		}
		if i == maxMembers {
			return errorAt(pointerOf(x.stack[:depth-1]), "more than %d members: no session has as many", maxMembers)
		}
		if x.peek() != '"' {
			return x.syntax()
		}
		var key string
		quoted, plain := x.raw[x.at:], true
		for at++; at < len(known) && !bytes.HasPrefix(quoted, known[at].quoted); at++ {
		}
		if at < len(known) {
			key, quoted = known[at].name, known[at].quoted
			x.at += len(quoted)
		} else {
			var err error
			if quoted, plain, err = x.quoted(); err != nil {
				return err
			}
			key = x.unquote(quoted, plain)
			at = slices.IndexFunc(known, func(m member) bool { return m.name == key })
		}
		x.stack[depth-1].name = key
		rank, twice := -1, false
		if at >= 0 {
			rank, twice = known[at].rank, had&(1<<at) != 0
			had |= 1 << at
		} else if strangers++; names == nil && strangers <= 16 {
			twice = slices.ContainsFunc(x.pieces[first:], func(s piece) bool { return s.name == key })
		} else {
			if names == nil {
				names = make(map[string]bool, 2*strangers)
				for _, s := range x.pieces[first:] {
					names[s.name] = true
				}
			}
			twice = names[key]
			names[key] = true
		}
		if twice {
			return x.errorf("this member appears twice")
		}
		if x.peek() != ':' {
			return x.syntax()
		}
		x.at++
		var err error
		if parts {
			err = x.partOf(at, key, value)
			x.pieces = append(x.pieces, piece{name: key})
		} else {
			from := len(x.canon)
			if x.emit {
				x.canon = append(x.quote(quoted, plain), ':')
			}
			n := len(x.pieces)
			x.pieces = append(x.pieces, piece{key, from, 0, rank})
			err = value(at, key)
			x.pieces[n].to = len(x.canon)
		}
		if err != nil {
			return err
		}
	}
	if x.emit && !parts {
		x.arrange(x.pieces[first:], strangers, start)
	}
	x.pieces = x.pieces[:first]
	return nil
}

// arrange makes an object of its members, which canon holds from start on.
func (x *text) arrange(members []piece, strangers, start int) {
	end := len(x.canon)
	x.canon = append(x.canon, '{')
	add := func(m *piece) {
		if len(x.canon) > end+1 {
			x.canon = append(x.canon, ',')
		}
		x.canon = append(x.canon, x.canon[m.from:m.to]...)
	}
	if strangers == 0 {
		var at [64]uint8 // by rank, from 1
		for i := range members {
			at[members[i].rank] = uint8(i + 1) // #nosec G115 -- of at most 64
		}
		for left, r := len(members), 0; left > 0; r++ {
			if i := at[r]; i > 0 {
				add(&members[i-1])
				left--
			}
		}
	} else {
		for i := 1; i < len(members); i++ {
			if compareNames(members[i-1].name, members[i].name) > 0 {
				slices.SortFunc(members, func(a, b piece) int { return compareNames(a.name, b.name) })
				break
			}
		}
		for i := range members {
			add(&members[i])
		}
	}
	x.canon = append(x.canon, '}')
	x.canon = x.canon[:start+copy(x.canon[start:], x.canon[end:])]
}

// partOf consumes a member of a record and takes its digest.
func (x *text) partOf(i int, key string, value func(i int, key string) error) error {
	if key == "digest" { // is read twice: for what it states, and for whoever wants it
		at := x.at
		if err := x.seen.state(x); err != nil {
			return err
		}
		x.at = at
	}
	runs := key == "runs" && x.peek() == '['
	err := value(i, key)
	switch {
	case key == "digest":
		x.canon = x.canon[:0]
	case !runs:
		x.part()
	}
	return err
}

// part takes the digest of the part of a record that canon holds.
func (x *text) part() {
	name := string(x.pointer())
	x.seen.parts[name] = sum256(x.canon)
	x.seen.order = append(x.seen.order, name)
	x.canon = x.canon[:0]
}

// quoted consumes a string and returns it as it is written. It is plain if no
// character is escaped: then it is its own canonical form.
func (x *text) quoted() (lit []byte, plain bool, err error) {
	b, ascii := x.raw[x.at:], true
	plain = true
	for i := 1; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			if lit = b[:i+1]; len(lit) > maxString+2 {
				return nil, false, x.errorf("a string is longer than %d MiB: no session has one", maxString>>20)
			}
			if !plain {
				_, err = jsontext.AppendUnquote(nil, lit)
			}
			if err != nil || !ascii && !utf8.Valid(lit) {
				return nil, false, x.syntax()
			}
			x.at += len(lit)
			return lit, plain, nil
		case c == '\\':
			plain = false
			i++
		case c < ' ':
			return nil, false, x.syntax()
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	return nil, false, x.syntax()
}

// unquote returns the text of a string.
func (x *text) unquote(quoted []byte, plain bool) string {
	s, known := x.known[string(quoted)]
	if known {
		return s
	}
	if s = string(quoted[1 : len(quoted)-1]); !plain {
		b, _ := jsontext.AppendUnquote(nil, quoted)
		s = string(b)
	}
	if len(quoted) < 64 && len(x.known) < 1000 {
		x.known[string(quoted)] = s
	}
	return s
}

// quote returns canon with the canonical form of a string added.
func (x *text) quote(quoted []byte, plain bool) []byte {
	if plain {
		return append(x.canon, quoted...)
	}
	return appendString(x.canon, x.unquote(quoted, plain))
}

// str consumes a string.
func (x *text) str() (string, error) {
	if x.peek() != '"' {
		return "", x.wrong("a string")
	}
	quoted, plain, err := x.quoted()
	if err != nil {
		return "", err
	}
	if x.emit {
		x.canon = x.quote(quoted, plain)
	}
	return x.unquote(quoted, plain), nil
}

// word consumes true, false or null.
func (x *text) word(word string) error {
	if !bytes.HasPrefix(x.raw[x.at:], []byte(word)) {
		return x.syntax()
	}
	x.at += len(word)
	if x.emit {
		x.canon = append(x.canon, word...)
	}
	return nil
}

// boolean consumes true or false.
func (x *text) boolean() (bool, error) {
	switch x.peek() {
	case 't':
		return true, x.word("true")
	case 'f':
		return false, x.word("false")
	}
	return false, x.wrong("a boolean")
}

// number consumes a number.
func (x *text) number() (n number, err error) {
	if !isNumber(x.peek()) {
		return n, x.wrong("a number")
	}
	d, length := scanNumber(x.raw[x.at:])
	if length == 0 {
		return n, x.syntax()
	}
	n.lit = x.raw[x.at : x.at+length]
	f, canonical := d.read()
	n.f, n.ok, n.known = f, true, canonical || d.plain
	x.at += length
	if x.emit {
		if canonical {
			x.canon = append(x.canon, n.lit...)
		} else {
			x.emitNumber(&n)
		}
	}
	return n, nil
}

// emitNumber writes the canonical form of a number, and notes another one.
func (x *text) emitNumber(n *number) {
	f, ok := n.value()
	if !ok {
		x.err = cmp.Or(x.err, x.outOfRange(n))
		return
	}
	start := len(x.canon)
	if x.canon = appendFloat(x.canon, f); x.seen != nil && !bytes.Equal(x.canon[start:], n.lit) {
		lit, want := string(n.lit), string(x.canon[start:])
		x.seen.odd.add(x.pointer, func() string { return fmt.Sprintf("altered: the number %s should be written %s", lit, want) })
	}
}

func (x *text) outOfRange(n *number) error {
	return x.errorf("%s is out of range", Line(string(n.lit), mostQuoted))
}

// figure consumes a number that a float64 can hold, or null as absent.
func (x *text) figure() (Float, error) {
	if x.peek() == 'n' {
		return Absent(), x.word("null")
	}
	n, err := x.number()
	if err != nil {
		return 0, err
	}
	f, ok := n.value()
	if !ok {
		return 0, x.outOfRange(&n)
	}
	return Float(f), nil
}

// skip consumes any value.
func (x *text) skip() (err error) {
	switch c := x.peek(); {
	case c == '{':
		return x.object(nil, func(int, string) error { return x.skip() })
	case c == '[':
		return x.list(func(int) error { return x.skip() })
	case c == '"':
		_, err = x.str()
	case c == 't' || c == 'f':
		_, err = x.boolean()
	case c == 'n':
		err = x.word("null")
	default:
		if !isNumber(c) {
			return x.syntax()
		}
		_, err = x.number()
	}
	return err
}

func isDigit(c byte) bool { return c-'0' <= 9 }

// number is a number as it is written.
type number struct {
	lit       []byte
	f         float64 // its value, once it is known
	ok, known bool
}

// decimal is what a number without an exponent says: digits holds all of them, and scale is
// how many follow the point. Most numbers of a record are plain, of at most 15 digits; those
// of 16 to 18 are long.
type decimal struct {
	digits      uint64
	scale       int
	plain, long bool
	negative    bool
}

var tens = [...]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17}

// scanNumber returns the number that b begins with and its length in bytes, 0 if there is
// none. It does not look at what follows.
func scanNumber(b []byte) (n decimal, length int) {
	i, digits := 0, uint64(0)
	if len(b) > 0 && b[0] == '-' {
		n.negative = true
		i++
	}
	first := i
	for ; i < len(b) && isDigit(b[i]); i++ {
		digits = 10*digits + uint64(b[i]-'0')
		if digits == 0 { // no digit follows a leading 0
			i++
			break
		}
	}
	count, scale := i-first, 0
	if count == 0 {
		return n, 0
	}
	if i < len(b) && b[i] == '.' {
		i++
		point := i
		for ; i < len(b) && isDigit(b[i]); i++ {
			digits = 10*digits + uint64(b[i]-'0')
		}
		if scale = i - point; scale == 0 {
			return n, 0
		}
	}
	n.digits, n.scale, n.plain, n.long = digits, scale, count+scale <= 15, 15 < count+scale && count+scale <= 18
	if i < len(b) && b[i]|0x20 == 'e' {
		n.plain, n.long = false, false
		if i++; i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		exponent := i
		for i < len(b) && isDigit(b[i]) {
			i++
		}
		if i == exponent {
			return n, 0
		}
	}
	return n, i
}

// value returns the float64 nearest to n; ok is false if n is beyond the range of all
// of them.
func (n *number) value() (f float64, ok bool) {
	if !n.known {
		f, err := strconv.ParseFloat(string(n.lit), 64)
		n.f, n.ok, n.known = f, err == nil, true
	}
	return n.f, n.ok
}

// read returns the value of d, if it is plain or canonical, and whether it is written as RFC
// 8785 writes it, which may be false for a number that is.
func (d decimal) read() (f float64, canonical bool) {
	switch {
	case d.plain:
		// Both are exact, hence f is rounded once. A decimal of up to 15 digits is the
		// shortest that reads back as the same float64.
		f = float64(d.digits) / tens[d.scale]
		if canonical = d.scale > 0 && d.digits%10 != 0 && float64(d.digits)*1e6 >= tens[d.scale]; d.scale == 0 {
			canonical = d.digits != 0 || !d.negative
		}
	case d.long && d.scale > 0:
		f, canonical = d.shortest()
	}
	if d.negative {
		f = -f
	}
	return f, canonical
}

// shortest is [decimal.read] for a long number with a point. Be f = m/2^k, of 53 bits, the
// float64 that d = n/10^s reads as. Then r = n·2^k − m·10^s is how far n is from f, in units
// of 1/(2^k·10^s): half a unit of m is 10^s/2, and a unit of n is 2^k. Of the decimals that
// read as f, d is the shortest if none of the multiples of 10 around n does, and the nearest
// of that length if n is less than half its unit away.
func (d decimal) shortest() (f float64, ok bool) {
	f = float64(d.digits) / tens[d.scale] // rounded twice: m may be off by one
	b := math.Float64bits(f)
	m, k := int64(b&(1<<52-1)|1<<52), 1075-int(b>>52) // #nosec G115 -- of 53 and 12 bits
	if k < 0 || k > 59 {                              // beyond, not all below has room in 64 bits
		return 0, false
	}
	power, unit := int64(tens[d.scale]), int64(1)<<k
	half := power / 2
	r := int64(d.digits)<<k - m*power // #nosec G115 -- the terms overflow, their difference does not
	switch {
	case r > half:
		m, r = m+1, r-power
	case r < -half:
		m, r = m-1, r+power
	}
	last := int64(d.digits % 10) // #nosec G115 -- a digit
	switch {
	case m <= 1<<52 || m >= 1<<53: // the units below and above differ
	case max(r, -r) >= half, 2*max(r, -r) >= unit:
	case last == 0, r-last*unit >= -half, r+(10-last)*unit <= half:
	default:
		return math.Float64frombits(b&^(1<<52-1) | uint64(m)&(1<<52-1)), true // #nosec G115 -- of 53 bits
	}
	return 0, false
}

// compareNames orders names as RFC 8785 does, by UTF-16 code units. That is the
// order of the bytes of UTF-8, except that what takes two units (and begins
// with 0xf0 or more in UTF-8) comes before U+E000 to U+FFFF (0xee, 0xef).
func compareNames(a, b string) int {
	for i := range min(len(a), len(b)) {
		x, y := a[i], b[i]
		if x != y && min(x, y) >= 0xee && (x >= 0xf0) != (y >= 0xf0) {
			return cmp.Compare(y, x)
		}
		if x != y {
			return cmp.Compare(x, y)
		}
	}
	return cmp.Compare(len(a), len(b))
}

// appendString appends s in quotes, as RFC 8785 writes it. What is not UTF-8
// in s becomes U+FFFD.
func appendString(b []byte, s string) []byte {
	b, _ = jsontext.AppendQuote(b, s)
	return b
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
