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

// text reads one JSON text with jsontext, which enforces RFC 7493: valid UTF-8, no
// lone surrogate, no duplicate member. text adds the limits of a record, and its
// errors give the place and the line.
//
// Most of a record is the columns of its traces. [text.column] reads those
// from raw itself. It can, because [text.Read] gives the decoder no more than
// the opening of the next column: the decoder sees an empty list in its place.
type text struct {
	*jsontext.Decoder
	raw     []byte
	given   int               // bytes of raw that the decoder was given or column has read
	skipped int               // those of them that column has read
	keys    map[string]string // names of members by their quoted form: a record repeats a few of them many times
	last    number            // the number that column has scanned

	members func(reflect.Type) []member // of a struct in this version of the record; nil for [membersOf]
}

// maxString is the longest string of a record that is read, in bytes. The decoder
// would hold two copies of a longer one.
const maxString = 8 << 20

var errLongString = fmt.Errorf("a string is longer than %d MiB: no session has one", maxString>>20)

// Read implements [io.Reader] for the decoder.
func (x *text) Read(b []byte) (int, error) {
	next := x.raw[x.given:]
	switch {
	case len(next) == 0:
		return 0, io.EOF
	case len(b) > 2*maxString: // the decoder doubles its buffer until a token fits
		return 0, errLongString
	}
	next = next[:min(len(b), len(next))]
	for i := 0; i < len(next); i++ {
		list := bytes.IndexByte(next[i:], '[')
		if list < 0 {
			break
		}
		if i += list; followsName(x.raw[:x.given+i]) {
			next = next[:i+1]
		}
	}
	x.given += len(next)
	return copy(b, next), nil
}

// followsName reports whether b ends in the closing quote of a name and a colon.
// A string can look like that only right after its opening quote, so that no
// string is given in many small pieces.
func followsName(b []byte) bool {
	b, found := bytes.CutSuffix(bytes.TrimSuffix(b, []byte(" ")), []byte(`":`))
	return found && !bytes.HasSuffix(b, []byte(`\`))
}

// walk applies value to the one value of raw, which value must consume.
func walk(raw []byte, value func(*text) error) error {
	x := &text{raw: raw, keys: map[string]string{}}
	x.Decoder = jsontext.NewDecoder(x)
	if err := value(x); err != nil {
		return err
	}
	end := x.InputOffset()
	if _, err := x.ReadToken(); err != io.EOF {
		return x.syntaxAt(end, "", "more data after the end of the record")
	}
	return nil
}

// errorf is an error about the value read last.
func (x *text) errorf(format string, args ...any) error {
	return errorAt(x.StackPointer(), format, args...)
}

// syntax returns err, which the decoder returned, with the line and the place.
func (x *text) syntax(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, errLongString) {
		return x.errorf("%v", errLongString)
	}
	s := &jsontext.SyntacticError{ByteOffset: x.InputOffset(), Err: io.ErrUnexpectedEOF} // where nothing but white space is left
	errors.As(err, &s)
	switch s.Err {
	case io.ErrUnexpectedEOF:
		return x.syntaxAt(s.ByteOffset, s.JSONPointer, "the file ends inside the record: it was cut off, take another copy of it")
	case jsontext.ErrDuplicateName:
		return errorAt(s.JSONPointer, "this member appears twice")
	}
	return x.syntaxAt(s.ByteOffset, s.JSONPointer, "not JSON: "+s.Err.Error())
}

// syntaxAt is an error about the byte that the decoder met at an offset.
func (x *text) syntaxAt(offset int64, at jsontext.Pointer, what string) error {
	offset += int64(x.skipped)
	line := 1 + bytes.Count(x.raw[:offset], []byte("\n"))
	in := ""
	if at != "" {
		in = " in " + Line(string(at), mostQuoted)
	}
	return fmt.Errorf("line %d, byte %d%s: %s", line, offset, in, what)
}

var kindNames = map[jsontext.Kind]string{
	'{': "an object", '[': "a list", '"': "a string", 't': "a boolean", 'f': "a boolean", 'n': "null", '0': "a number",
}

// wrong consumes the start of a value and returns the error that it is not
// what is wanted.
func (x *text) wrong(want string) error {
	found, err := x.ReadToken()
	if err != nil {
		return x.syntax(err)
	}
	return x.errorf("expected %s, found %s", want, kindNames[found.Kind()])
}

// scalar consumes a value of one kind other than an object or a list.
func (x *text) scalar(kind jsontext.Kind, want string) ([]byte, error) {
	if x.PeekKind() != kind {
		return nil, x.wrong(want)
	}
	v, err := x.ReadValue()
	return v, x.syntax(err)
}

// begin consumes the opening of an object or a list.
func (x *text) begin(opening jsontext.Kind, want string) error {
	if x.PeekKind() != opening {
		return x.wrong(want)
	}
	_, err := x.ReadToken()
	if err == nil && x.StackDepth() > maxDepth {
		return x.errorf("nested deeper than %d levels", maxDepth)
	}
	return x.syntax(err)
}

// items calls item at each item of an object or a list that has begun, and
// consumes its end.
func (x *text) items(end jsontext.Kind, item func(i int) error) error {
	for i := 0; x.PeekKind() != end; i++ {
		if err := item(i); err != nil {
			return err
		}
	}
	_, err := x.ReadToken()
	return x.syntax(err)
}

// list calls element at each element of a list; element consumes it.
func (x *text) list(element func(i int) error) error {
	if err := x.begin('[', "a list"); err != nil {
		return err
	}
	return x.items(']', element)
}

// object calls member at the value of each member; member consumes it.
func (x *text) object(member func(key string) error) error {
	if err := x.begin('{', "an object"); err != nil {
		return err
	}
	return x.items('}', func(i int) error {
		if i == maxMembers {
			return errorAt(x.StackPointer().Parent(), "more than %d members: no session has as many", maxMembers)
		}
		if x.PeekKind() != '"' {
			_, err := x.ReadToken()
			return x.syntax(err)
		}
		name, err := x.ReadValue()
		if err != nil {
			return x.syntax(err)
		}
		return member(x.key(name))
	})
}

// key returns the name of a member from its quoted form.
func (x *text) key(quoted []byte) string {
	key, known := x.keys[string(quoted)]
	if !known {
		key = unquote(quoted)
		if len(quoted) < 64 && len(x.keys) < 1000 {
			x.keys[string(quoted)] = key
		}
	}
	return key
}

// unquote returns the text of a valid JSON string.
func unquote(quoted []byte) string {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return string(quoted[1 : len(quoted)-1])
	}
	s, _ := jsontext.AppendUnquote(nil, quoted)
	return string(s)
}

// str consumes a string.
func (x *text) str() (string, error) {
	v, err := x.scalar('"', "a string")
	if err != nil {
		return "", err
	}
	return unquote(v), nil
}

// float returns the value of the number read last, which a float64 must be able to
// hold.
func (x *text) float(n *number) (float64, error) {
	f, ok := n.value()
	if !ok {
		return 0, x.errorf("%s is out of range", Line(string(n.lit), mostQuoted))
	}
	return f, nil
}

// skip consumes any value.
func (x *text) skip() error {
	switch x.PeekKind() {
	case '{':
		return x.object(func(string) error { return x.skip() })
	case '[':
		if err := x.begin('[', "a list"); err != nil {
			return err
		}
		x.column(func(*number) bool { return true })
		return x.items(']', func(int) error { return x.skip() })
	}
	_, err := x.ReadValue()
	return x.syntax(err)
}

// column consumes the rest of a list that has begun, up to its end, if the list
// holds numbers and nulls only, without white space, and each accepts all of
// them. It returns the bytes of the list. Otherwise it returns nil and has
// consumed nothing: the decoder then reads the unusual list or reports its error.
func (x *text) column(each func(*number) bool) []byte {
	if len(x.UnreadBuffer()) > 0 {
		return nil
	}
	n := &x.last
	for b, i := x.raw[x.given:], 0; n.scan(b[i:]) && each(n); i++ {
		if i += len(n.lit); i == len(b) {
			break
		}
		if b[i] == ']' {
			x.given += i
			x.skipped += i
			return b[:i]
		}
		if b[i] != ',' {
			break
		}
	}
	return nil
}

func isDigit(c byte) bool { return c-'0' <= 9 }

// number is a number as it is written, or null.
type number struct {
	lit  []byte
	null bool
	// Most numbers of a record are plain: a decimal of at most 15 digits. Then
	// digits holds all of them, and scale is how many follow the point.
	plain  bool
	digits uint64
	scale  int
}

var tens = [...]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15}

// scan reads the number or null that b begins with, and reports whether there is
// one. It does not look at what follows.
func (n *number) scan(b []byte) bool {
	*n = number{}
	i, count := 0, 0
	run := func() bool {
		first := i
		for ; i < len(b) && isDigit(b[i]); i++ {
			n.digits = 10*n.digits + uint64(b[i]-'0')
		}
		count += i - first
		return i > first
	}
	if len(b) > 0 && b[0] == '-' {
		i++
	}
	if i < len(b) && b[i] == '0' {
		i, count = i+1, 1
	} else if !run() {
		n.null = bytes.HasPrefix(b, []byte("null"))
		n.lit = b[:min(len(b), len("null"))]
		return n.null
	}
	if i < len(b) && b[i] == '.' {
		i++
		point := i
		if !run() {
			return false
		}
		n.scale = i - point
	}
	n.plain = count <= 15
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		n.plain = false
		if i++; i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		if !run() {
			return false
		}
	}
	n.lit = b[:i]
	return true
}

// value returns the float64 nearest to n, NaN for null; ok is false if n is
// beyond the range of all of them.
func (n *number) value() (f float64, ok bool) {
	if n.null {
		return math.NaN(), true
	}
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

// canonical reports whether n is written as RFC 8785 writes it. It may be false
// for a number that is. A decimal of up to 15 digits is the shortest that reads back as
// the same float64.
func (n *number) canonical() bool {
	switch {
	case n.null:
		return true
	case !n.plain:
		return false
	case n.scale == 0:
		return n.digits != 0 || n.lit[0] != '-'
	}
	return n.digits%10 != 0 && float64(n.digits)*1e6 >= tens[n.scale]
}

// canon consumes any value and appends its canonical form (RFC 8785). It
// calls odd at each number that is not written in that form.
func (x *text) canon(out []byte, odd func(lit, want string)) ([]byte, error) {
	switch x.PeekKind() {
	case '{':
		return x.canonObject(out, odd)
	case '[':
		return x.canonList(out, odd)
	case '"':
		s, err := x.str()
		return appendString(out, s), err
	}
	v, err := x.ReadValue()
	var n number
	if err != nil || !n.scan(v) || n.canonical() {
		return append(out, v...), x.syntax(err)
	}
	f, err := x.float(&n)
	if err != nil {
		return out, err
	}
	start := len(out)
	if out = appendFloat(out, f); !bytes.Equal(out[start:], n.lit) {
		odd(string(n.lit), string(out[start:]))
	}
	return out, nil
}

func (x *text) canonObject(out []byte, odd func(lit, want string)) ([]byte, error) {
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
}

func (x *text) canonList(out []byte, odd func(lit, want string)) ([]byte, error) {
	if err := x.begin('[', "a list"); err != nil {
		return out, err
	}
	out = append(out, '[')
	out = append(out, x.column((*number).canonical)...)
	err := x.items(']', func(i int) (err error) {
		if i > 0 {
			out = append(out, ',')
		}
		out, err = x.canon(out, odd)
		return err
	})
	return append(out, ']'), err
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
