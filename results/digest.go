package results

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// digestForm names how the digest of a record is made.
//
// A part is a member of the record other than digest, or an element of the
// list runs; it is named by its JSON pointer. The digest of a part is the
// SHA-256 of its canonical form (RFC 8785), in hexadecimal; that of the record
// is the SHA-256 of the canonical form of the object that maps the parts to
// their digests. The canonical form knows numbers as float64 only. Each number in
// the file must therefore be written as RFC 8785 writes it, so that no digit can
// change unnoticed, not even one that rounds to the same number.
//
// The digest shows damage and careless edits. It is not a signature: anyone who
// can write the file can also seal it again.
const digestForm = "sha256-jcs-parts"

// Seal returns the file of a record: JSON, one column of a trace a line. It
// sets r.Digest. It refuses a record that [Load] would refuse, and a number
// that JSON cannot carry; the error names the place.
func Seal(r *Record) ([]byte, error) {
	raw, err := seal(r, maxRecord)
	if err != nil {
		return nil, fmt.Errorf("results: write record %s: %w", r.ID, err)
	}
	return raw, nil
}

func seal(r *Record, most int) ([]byte, error) {
	if r.Schema != SchemaVersion {
		return nil, fmt.Errorf("/schema: version %d is not written, only %d", r.Schema, SchemaVersion)
	}
	if err := r.consistent(); err != nil {
		return nil, err
	}
	r.Digest = Digest{}
	var w writer
	if err := w.encode(reflect.ValueOf(r).Elem()); err != nil {
		return nil, err
	}
	seen := digestOf(w.b)
	if seen.err != nil {
		return nil, seen.err
	}
	r.Digest = Digest{Form: digestForm, Parts: seen.parts, Record: total(seen.parts)}
	// The digest is the last member, and so far an empty one.
	w.b = w.b[:bytes.LastIndex(w.b, []byte(`{"form"`))]
	if err := w.encode(reflect.ValueOf(r.Digest)); err != nil {
		return nil, err
	}
	w.b = append(w.b, '}')
	out, _ := layout(make([]byte, 0, len(w.b)+len(w.b)/8), w.b, 0)
	if out = append(out, '\n'); len(out) > most {
		return nil, fmt.Errorf("it is %d MiB of JSON, and no more than %d MiB would be read: keep it in several records", len(out)>>20, most>>20)
	}
	return out, nil
}

// Mismatch is one place where a record differs from its digest or from what its
// traces give.
type Mismatch struct {
	At   string // JSON pointer of the part or the value
	Text string // what is wrong there
}

func (m Mismatch) String() string { return Line(m.At, mostQuoted) + ": " + Line(m.Text, mostQuoted) }

// mostMismatches is how many are listed one by one; the rest is counted.
const mostMismatches = 1000

// mismatches are the first of what differs below a place, and how much else does.
type mismatches struct {
	first []Mismatch
	more  int
}

func (ms *mismatches) add(at func() jsontext.Pointer, text func() string) {
	if len(ms.first) == mostMismatches {
		ms.more++
		return
	}
	ms.first = append(ms.first, Mismatch{string(at()), text()})
}

func (ms *mismatches) under(at string) []Mismatch {
	if ms.more == 0 {
		return ms.first
	}
	return append(ms.first, Mismatch{at, fmt.Sprintf("and %d more", ms.more)})
}

// Verify compares the digest that the file holds with one computed from its
// bytes, and returns what differs: numbers first, then parts, each in the
// order of the file.
func (f *File) Verify() []Mismatch {
	seen := f.seen
	if seen == nil {
		seen = digestOf(f.Raw)
	}
	ms, err := seen.verify()
	if err != nil {
		return []Mismatch{{Text: err.Error()}}
	}
	return ms
}

// verify is [File.Verify] for the JSON of a record of any version, which need
// not be readable otherwise. The error is for what is not JSON.
func verify(raw []byte) ([]Mismatch, error) { return digestOf(raw).verify() }

func (seen *seenDigest) verify() ([]Mismatch, error) {
	if seen.err != nil {
		return nil, fmt.Errorf("results: verify record: %w", seen.err)
	}
	ms := seen.odd
	add := func(at, format string, args ...any) {
		ms.add(func() jsontext.Pointer { return jsontext.Pointer(at) }, func() string { return fmt.Sprintf(format, args...) })
	}
	stated := seen.stated
	if stated == nil {
		add("/digest", "missing: nothing shows whether the record was altered")
		return ms.under("/"), nil
	}
	if stated.Form != digestForm {
		add("/digest/form", "%q is not known here, only %s", stated.Form, digestForm)
		return ms.under("/"), nil
	}
	for _, part := range seen.order {
		switch want, ok := stated.Parts[part]; {
		case !ok:
			add(part, "added: the digest does not know this part")
		case want != seen.parts[part]:
			add(part, "altered: its digest is %s, the record states %s", seen.parts[part], want)
		}
	}
	for _, part := range slices.Sorted(maps.Keys(stated.Parts)) {
		if _, ok := seen.parts[part]; !ok {
			add(part, "missing: the digest knows this part")
		}
	}
	if got := total(stated.Parts); stated.Record != got {
		add("/digest/record", "altered: the digest of the stated parts is %s, the record states %s", got, stated.Record)
	}
	return ms.under("/"), nil
}

// seenDigest is the digest of the bytes of a record, and the one they state.
type seenDigest struct {
	parts  map[string]string // computed
	order  []string          // of the parts in the file
	odd    mismatches        // numbers in another than the canonical form, strangers in the digest
	stated *Digest           // nil if there is none
	err    error             // it is not JSON, or has a number that no float64 can hold
}

func newDigest() *seenDigest { return &seenDigest{parts: map[string]string{}} }

// digestOf computes the digest of the parts of a record and finds the stated one.
func digestOf(raw []byte) *seenDigest {
	d := newDigest()
	x := &text{raw: raw, emit: true, seen: d}
	err := x.walk(func(x *text) error { return x.object(nil, func(int, string) error { return x.skip() }) })
	d.err = cmp.Or(err, x.err)
	return d
}

// state reads the stated digest. Nothing covers the digest itself but its own
// members: any other is reported.
func (d *seenDigest) state(x *text) error {
	d.stated = new(Digest)
	return x.object(nil, func(_ int, key string) error {
		switch key {
		case "form":
			return x.decode(reflect.ValueOf(&d.stated.Form).Elem())
		case "parts":
			return x.decode(reflect.ValueOf(&d.stated.Parts).Elem())
		case "record":
			return x.decode(reflect.ValueOf(&d.stated.Record).Elem())
		}
		d.odd.add(x.pointer, func() string { return "added: it is no part of a digest" })
		return x.skip()
	})
}

// total is the digest of a record from those of its parts.
func total(parts map[string]string) string {
	var w writer
	if err := w.encode(reflect.ValueOf(parts)); err != nil {
		panic(err) // strings can always be written
	}
	canonical := jsontext.Value(w.b)
	if err := canonical.Canonicalize(); err != nil {
		panic(err) // it has just been written
	}
	return sum256(canonical)
}

func sum256(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// Check compares the summary in the file with the one that [DeriveWithin]
// computes from the traces, and returns what differs: each mismatch names the
// row or yield and the figure. Figures may differ by 1e-9 of their size, because
// compilers fuse multiplications and additions on some architectures; the prose
// of reasons and flags is not compared, nor is the summary of an earlier version,
// which had other definitions.
func (f *File) Check(derived Summary) []Mismatch {
	if version, err := versionOf(f.Raw); err == nil && version < SchemaVersion {
		return nil
	}
	a, b := reflect.ValueOf(&f.Record.Summary).Elem(), reflect.ValueOf(&derived).Elem()
	if same(a, b) {
		return nil
	}
	d := differ{place: place{"summary"}}
	d.compare(a, b)
	return d.under("/summary")
}

// differ collects the places where two values of one type differ, while it walks
// both. name is how a reader of a report would name the current value.
type differ struct {
	mismatches
	place
	name []string
}

func (d *differ) report(format string, args ...any) {
	d.add(d.pointer, func() string {
		text := fmt.Sprintf(format, args...)
		if name := strings.TrimSpace(strings.Join(d.name, " ")); name != "" {
			text = name + ": " + text
		}
		return text
	})
}

// below compares the values of a member, or what else is known by its name.
func (d *differ) below(name string, stated, got reflect.Value) {
	d.place, d.name = append(d.place, name), append(d.name, name)
	if stated.IsValid() && got.IsValid() {
		d.compare(stated, got)
	} else {
		d.report("%s", presence(stated.IsValid()))
	}
	d.place, d.name = d.place[:len(d.place)-1], d.name[:len(d.name)-1]
}

const tolerance = 1e-9

func equal(a, b float64) bool {
	return a == b || math.IsNaN(a) && math.IsNaN(b) || math.Abs(a-b) <= tolerance*min(math.Abs(a), math.Abs(b))
}

// same reports whether two values differ nowhere, as most summaries do. Lists that have the
// same elements in the same order are paired like that by [differ.compareLists] too.
func same(a, b reflect.Value) bool {
	switch a.Kind() {
	case reflect.Float64:
		return equal(a.Float(), b.Float())
	case reflect.Struct:
		if a.Type() == saidType {
			return equal(float64(a.Interface().(SelfReported).float()), float64(b.Interface().(SelfReported).float()))
		}
		for _, m := range membersOf(a.Type()) {
			if !m.prose && !same(a.FieldByIndex(m.index), b.FieldByIndex(m.index)) {
				return false
			}
		}
		return true
	case reflect.Pointer:
		return a.IsNil() == b.IsNil() && (a.IsNil() || same(a.Elem(), b.Elem()))
	case reflect.Map:
		if a.Len() != b.Len() {
			return false
		}
		for at := a.MapRange(); at.Next(); {
			if other := b.MapIndex(at.Key()); !other.IsValid() || !same(at.Value(), other) {
				return false
			}
		}
		return true
	case reflect.Slice:
		if a.Len() != b.Len() {
			return false
		}
		for i := range a.Len() {
			if !same(a.Index(i), b.Index(i)) {
				return false
			}
		}
		return true
	}
	return a.Equal(b)
}

func (d *differ) compare(stated, got reflect.Value) {
	if stated.Type() == saidType {
		stated, got = reflect.ValueOf(stated.Interface().(SelfReported).float()), reflect.ValueOf(got.Interface().(SelfReported).float())
	}
	switch stated.Kind() {
	case reflect.Float64:
		if a, b := stated.Float(), got.Float(); !equal(a, b) {
			d.report("the record states %v, its traces give %v", a, b)
		}
	case reflect.Struct:
		for _, m := range membersOf(stated.Type()) {
			if !m.prose {
				d.below(m.name, stated.FieldByIndex(m.index), got.FieldByIndex(m.index))
			}
		}
	case reflect.Pointer:
		switch {
		case stated.IsNil() != got.IsNil():
			d.report("%s", presence(!stated.IsNil()))
		case !stated.IsNil():
			d.compare(stated.Elem(), got.Elem())
		}
	case reflect.Map:
		keys := map[string]reflect.Value{}
		for _, k := range append(stated.MapKeys(), got.MapKeys()...) {
			keys[k.String()] = k
		}
		for _, key := range slices.Sorted(maps.Keys(keys)) {
			d.below(key, stated.MapIndex(keys[key]), got.MapIndex(keys[key]))
		}
	case reflect.Slice:
		d.compareLists(stated, got)
	default:
		if !stated.Equal(got) {
			d.report("the record states %v, its traces give %v", stated, got)
		}
	}
}

// compareLists pairs the elements of two lists by what they are about.
func (d *differ) compareLists(stated, got reflect.Value) {
	left := map[string][]int{}
	for i := range got.Len() {
		id := about(got.Index(i))
		left[id] = append(left[id], i)
	}
	name, depth := d.name, len(d.place)
	defer func() { d.place, d.name = d.place[:depth], name }()
	for i := range stated.Len() {
		id := about(stated.Index(i))
		d.place, d.name = append(d.place[:depth], strconv.Itoa(i)), []string{id}
		if same := left[id]; len(same) > 0 {
			left[id] = same[1:]
			d.compare(stated.Index(i), got.Index(same[0]))
		} else {
			d.report("%s", presence(true))
		}
	}
	for i := range got.Len() {
		if id := about(got.Index(i)); len(left[id]) > 0 && left[id][0] == i {
			left[id] = left[id][1:]
			d.place, d.name = d.place[:depth], []string{id}
			d.report("%s", presence(false))
		}
	}
}

// prose are members that repeat in words what others hold in numbers.
var prose = []string{"why", "text", "remedy", "figure", "asks", "source", "rate_from", "power_from"}

// about joins the words that identify a row, a yield or a flag.
func about(v reflect.Value) string {
	if v.Kind() == reflect.String {
		return v.String()
	}
	var words []string
	for _, m := range membersOf(v.Type()) {
		if f := v.FieldByIndex(m.index); f.Kind() == reflect.String && f.Len() > 0 && !m.prose && m.name != "outcome" {
			words = append(words, f.String())
		}
	}
	return strings.Join(words, " ")
}

func presence(stated bool) string {
	if stated {
		return "the record states it, its traces do not give it"
	}
	return "its traces give it, the record does not state it"
}
