package miner

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/perwatt/perwatt/harness/endpoint"
	"github.com/perwatt/perwatt/results"
)

// Limits on one answer.
const (
	MaxAnswer = 1 << 20 // bytes
	maxDepth  = 32
	maxValues = 50_000
)

// Value is a JSON value of an answer. Its zero value means "missing".
type Value struct {
	kind  kind
	text  string         // of a text, a number, a word
	names []string       // of an object, each once
	items []Value        // of an object, under names, or of a list
	index map[string]int // of the names of an object that has many
}

// many is the number of names up to which they are searched one by one.
const many = 8

type kind int

const (
	absent kind = iota
	null
	text
	number
	word // true and false, and words that JSON lacks: nan, -inf
	list
	object
	twice // a name that occurs more than once with different values
)

// Parse reads one answer. It accepts the mistakes of miners that have one meaning
// only: control bytes (mostly NUL, at the end or inside a text), extra commas,
// missing commas before a name or between two objects or lists, invalid UTF-8, a
// backslash that escapes nothing, a list whose elements have names. Words such as
// nan and duplicate names are refused only when they are asked for. Everything else
// is an error, above all a truncated answer: what is missing could have been
// anything.
func Parse(raw []byte) (Value, error) {
	p := parser{b: raw}
	if len(raw) > MaxAnswer {
		return Value{}, fmt.Errorf("the answer is longer than %d bytes", MaxAnswer)
	}
	if p.space(); p.i == len(p.b) {
		return Value{}, errors.New("the answer is empty")
	}
	if c := p.b[p.i]; c != '{' && c != '[' {
		return Value{}, fmt.Errorf("the answer is no JSON: it begins with %.40q", p.b[p.i:])
	}
	v, err := p.value(0)
	if err != nil {
		return Value{}, err
	}
	if p.space(); p.i < len(p.b) {
		return Value{}, p.bad("it goes on after its end")
	}
	return v, nil
}

// Text is a text, for a dialect that packs several values into one.
func Text(s string) Value { return Value{kind: text, text: s} }

// Texts is an object of texts, for a dialect that is not JSON.
func Texts(names, texts []string) Value {
	v := Value{kind: object}
	for i, name := range names {
		v.add(name, Text(texts[i]))
	}
	return v
}

// find returns the index of a name, or -1.
func (v *Value) find(name string) int {
	if v.index == nil {
		return slices.Index(v.names, name)
	}
	if i, ok := v.index[name]; ok {
		return i
	}
	return -1
}

// add adds a member to an object.
func (v *Value) add(name string, item Value) {
	if i := v.find(name); i >= 0 {
		if !v.items[i].same(item) {
			v.items[i] = Value{kind: twice}
		}
		return
	}
	v.names, v.items = append(v.names, name), append(v.items, item)
	switch n := len(v.names); {
	case n == many:
		v.index = map[string]int{}
		for i, name := range v.names {
			v.index[name] = i
		}
	case n > many:
		v.index[name] = n - 1
	}
}

type parser struct {
	b      []byte
	i      int
	values int
}

var errCut = errors.New("the answer was cut short")

// bad describes what is wrong at the next byte.
func (p *parser) bad(what string) error {
	if p.i >= len(p.b) {
		return fmt.Errorf("%w after %d bytes", errCut, len(p.b))
	}
	return fmt.Errorf("the answer is malformed in a way that could mean more than one thing: byte %d: %s: %.40q", p.i, what, p.b[p.i:])
}

// space skips what means nothing between values.
func (p *parser) space() {
	for p.i < len(p.b) && p.b[p.i] <= ' ' {
		p.i++
	}
}

// next skips space and commas, and returns the byte after them; 0 at the end.
func (p *parser) next(commas bool) byte {
	for p.space(); p.i < len(p.b); p.space() {
		if c := p.b[p.i]; c != ',' || !commas {
			return c
		}
		p.i++
	}
	return 0
}

func (p *parser) value(depth int) (Value, error) {
	if p.values++; depth > maxDepth || p.values > maxValues {
		return Value{}, fmt.Errorf("the answer is nested deeper than %d or has more than %d values", maxDepth, maxValues)
	}
	switch p.next(false) {
	case '{':
		return p.object(depth)
	case '[':
		return p.list(depth)
	case '"':
		s, err := p.str()
		return Value{kind: text, text: s}, err
	}
	from := p.i
	for p.i < len(p.b) && p.b[p.i] > ' ' && strings.IndexByte(`,:{}[]"`, p.b[p.i]) < 0 {
		p.i++
	}
	w := string(p.b[from:p.i])
	switch {
	case p.i == len(p.b), w == "":
		return Value{}, p.bad("a value belongs here")
	case w == "null":
		return Value{kind: null}, nil
	}
	if _, err := endpoint.Decimal(w); err == nil {
		return Value{kind: number, text: w}, nil
	}
	return Value{kind: word, text: w}, nil
}

func (p *parser) object(depth int) (Value, error) {
	v := Value{kind: object}
	p.i++
	for {
		switch p.next(true) {
		case '}':
			p.i++
			return v, nil
		case '"':
		default:
			return v, p.bad("a name belongs here")
		}
		name, err := p.str()
		if err != nil {
			return v, err
		}
		if p.next(false) != ':' {
			return v, p.bad("a colon belongs here")
		}
		p.i++
		item, err := p.value(depth + 1)
		if err != nil {
			return v, err
		}
		v.add(name, item)
	}
}

func (p *parser) list(depth int) (Value, error) {
	v := Value{kind: list}
	p.i++
	for {
		if p.next(true) == ']' {
			p.i++
			return v, nil
		}
		item, err := p.value(depth + 1)
		if err != nil {
			return v, err
		}
		c := p.next(false)
		if c == ':' && item.kind == text {
			p.i++
			named, err := p.value(depth + 1)
			if err != nil {
				return v, err
			}
			item = Value{kind: object, names: []string{item.text}, items: []Value{named}}
			c = p.next(false)
		}
		v.items = append(v.items, item)
		nested := (item.kind == object || item.kind == list) && (c == '{' || c == '[')
		if c != ',' && c != ']' && !nested {
			return v, p.bad("a comma or the end of the list belongs here")
		}
	}
}

// str reads a text.
func (p *parser) str() (string, error) {
	var out []byte
	for p.i++; p.i < len(p.b); p.i++ {
		switch c := p.b[p.i]; {
		case c == '"':
			p.i++
			return strings.ToValidUTF8(string(out), "\uFFFD"), nil
		case c < ' ':
			out = append(out, ' ')
		case c == '\\' && p.i+1 < len(p.b):
			out = p.escape(out)
		default:
			out = append(out, c)
		}
	}
	return "", p.bad("")
}

// escape reads an escape sequence to its last byte.
func (p *parser) escape(out []byte) []byte {
	p.i++
	switch c := p.b[p.i]; c {
	case '"', '\\', '/':
		return append(out, c)
	case 'b', 'f', 'n', 'r', 't':
		return append(out, ' ')
	case 'u':
		hex := func(at int) (rune, bool) {
			if at+4 > len(p.b) {
				return 0, false
			}
			n, err := strconv.ParseUint(string(p.b[at:at+4]), 16, 16)
			return rune(n), err == nil
		}
		r, ok := hex(p.i + 1)
		if !ok {
			break
		}
		p.i += 4
		if low, ok := hex(p.i + 3); utf16.IsSurrogate(r) && ok && p.b[p.i+1] == '\\' && p.b[p.i+2] == 'u' {
			if both := utf16.DecodeRune(r, low); both != utf8.RuneError {
				r, p.i = both, p.i+6
			}
		}
		return utf8.AppendRune(out, max(r, ' '))
	}
	return append(out, '\\', p.b[p.i])
}

// At follows names and indices. A missing element, or null, is a Value that is
// absent.
func (v Value) At(path ...any) Value {
	for _, step := range path {
		var next Value
		switch step := step.(type) {
		case string:
			if i := v.find(step); i >= 0 {
				next = v.items[i]
			}
		case int:
			if v.kind == list && step < len(v.items) {
				next = v.items[step]
			}
		}
		v = next
	}
	return v
}

func (v Value) same(w Value) bool {
	if v.kind != w.kind || v.text != w.text || len(v.items) != len(w.items) {
		return false
	}
	for i := range v.items {
		if v.kind == object && v.names[i] != w.names[i] || !v.items[i].same(w.items[i]) {
			return false
		}
	}
	return true
}

// Absent reports whether the value is missing, null, or what miners write for
// that: an empty text, N/A or dashes.
func (v Value) Absent() bool {
	s := strings.Trim(v.text, " -")
	return v.kind == absent || v.kind == null || v.kind == text && (s == "" || strings.EqualFold(s, "n/a"))
}

// Items are the elements of a list; none for anything else.
func (v Value) Items() []Value {
	if v.kind != list {
		return nil
	}
	return v.items
}

// First is the first element of a list, or the value itself if it is not a list:
// some miners wrap single objects in a list.
func (v Value) First() Value {
	if v.kind == list {
		return v.At(0)
	}
	return v
}

// Names are the names of an object, each once, in order.
func (v Value) Names() []string { return v.names }

// Text is a text, a number or a word on one line of at most 128 bytes without
// control characters and enclosing quotes; empty for anything else.
func (v Value) Text() string {
	if v.Absent() || v.kind > word {
		return ""
	}
	return Word(strings.Trim(v.text, "' "))
}

// Whole is the unchanged text; empty for anything else.
func (v Value) Whole() string {
	if v.kind != text {
		return ""
	}
	return v.text
}

// Word turns a text of a miner into one line of at most 128 bytes.
func Word(s string) string { return line(s, 128) }

// line turns a text into one printable line of at most limit bytes, which bounds the
// record. White space and controls become blanks: miners pad with NUL and separate
// with tabs. Blanks within the line are kept, as versions and figures are compared
// between records.
func line(s string, limit int) string {
	s = strings.TrimSpace(results.Printable(strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)))
	if len(s) <= limit {
		return s
	}
	end := limit - len("…")
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "…"
}

// Number is a number, or a text that is a number and may end in the unit: 58.94W.
// It is never NaN; said is false if there is none, and the error describes what is
// there instead.
func (v Value) Number(unit string) (n float64, said bool, err error) {
	switch {
	case v.Absent():
		return 0, false, nil
	case v.kind == twice:
		return 0, false, errors.New("it is there more than once, and not the same")
	case v.kind == list || v.kind == object:
		return 0, false, errors.New("a list or an object stands where a number belongs")
	}
	s := strings.TrimSpace(v.text)
	if cut, has := strings.CutSuffix(strings.ToLower(s), strings.ToLower(unit)); has && unit != "" {
		s = strings.TrimSpace(cut)
	}
	n, err = endpoint.Decimal(s)
	if err != nil {
		return 0, false, fmt.Errorf("%.32q is not a number", v.text)
	}
	return n, true, nil
}
