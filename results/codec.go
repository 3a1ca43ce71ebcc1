package results

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"os"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"
)

// Limits on what a reader takes in, in bytes. A record of thirty runs of ten
// minutes, sampled ten times a second, is 35 MB of JSON and 9 MB compressed.
const (
	maxCompressed = 64 << 20  // of a zstd file
	maxRecord     = 256 << 20 // of JSON
	maxWindow     = 32 << 20  // of the zstd decoder's memory
)

// File is a record as it was read, and the bytes that its digest covers, unknown
// members included.
type File struct {
	Name   string // of the file, for messages
	Record *Record
	Raw    []byte // JSON, decompressed
	Packed []byte // as it was read, if it was compressed; else nil

	seen *seenDigest // of Raw; nil if it was not taken while Raw was read
}

// ReadFile reads the record in a file, as [Load] does.
func ReadFile(path string) (*Record, error) {
	f, err := loadFile(path, nil, &memory{})
	if err != nil {
		return nil, err
	}
	return f.Record, nil
}

// Read reads a record, as [Load] does.
func Read(r io.Reader, name string) (*Record, error) {
	f, err := load(r, name, nil, &memory{})
	if err != nil {
		return nil, err
	}
	return f.Record, nil
}

// ReadVerified reads records from outside, several at a time. It checks the digest
// of each and derives its summary from its traces, whatever summary the file
// states, which must still be one. The traces are empty afterwards: they are most of a record, and who reads
// thousands of records needs memory for their figures alone. [ReadSamples] reads those
// of one again; only a file that cannot be read twice, such as a pipe, keeps them. The
// error is that of the first file that cannot be used.
func ReadVerified(ctx context.Context, files ...string) ([]*Record, error) {
	records, errs := make([]*Record, len(files)), make([]error, len(files))
	one := func(name string, in *Reader) (*Record, error) {
		f, err := in.LoadFile(name)
		if err != nil {
			return nil, err
		}
		if bad := f.Verify(); len(bad) > 0 {
			return nil, fmt.Errorf("%s: %s: do not use it", name, bad[0].String())
		}
		if f.Record.Summary, err = DeriveWithin(ctx, f.Record); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if !readOnce(name) {
			for i := range f.Record.Runs {
				for j := range f.Record.Runs[i].Traces {
					f.Record.Runs[i].Traces[j].T, f.Record.Runs[i].Traces[j].V = nil, nil
				}
			}
		}
		return f.Record, nil
	}
	var readers sync.WaitGroup
	next := make(chan int)
	for range min(runtime.GOMAXPROCS(0), len(files)) {
		readers.Go(func() {
			in := &Reader{Derived: true}
			for i := range next {
				records[i], errs[i] = one(files[i], in)
			}
		})
	}
	for i := range files {
		next <- i
	}
	close(next)
	readers.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return records, nil
}

// ReadSamples reads the samples of a record that [ReadVerified] read from a file. It is an
// error if the file is another one by now.
func ReadSamples(rec *Record, file string) error {
	if readOnce(file) {
		return nil // they are still there
	}
	f, err := loadFile(file, newDigest(), &memory{derived: true})
	if err != nil {
		return err
	}
	if bad := f.Verify(); len(bad) > 0 || f.Record.Digest.Record != rec.Digest.Record {
		return fmt.Errorf("%s: changed while it was read: do it again", file)
	}
	for i := range rec.Runs {
		rec.Runs[i].Traces = f.Record.Runs[i].Traces
	}
	return nil
}

// readOnce reports whether a file can be read once only, as far as its name shows: a pipe, or
// what this process has open.
func readOnce(file string) bool {
	info, err := os.Lstat(file)
	return err != nil || !info.Mode().IsRegular()
}

// LoadFile loads the record in a file, as [Load] does, opened as [OpenFile]
// does.
func LoadFile(path string) (*File, error) { return loadFile(path, newDigest(), &memory{}) }

// Reader reads one record after the other into the same memory: fresh memory costs a page
// fault every 4 KiB, which is a seventh of the time of a record. The bytes of a file and the
// columns of its record, unless it is a pipe's, hold until the next is read. It is not safe
// for concurrent use.
type Reader struct {
	Derived bool  // passes over the summary that a file states, for those who derive it
	Most    int64 // bytes of JSON of one record; 0 for what [Load] reads
	Kept    int   // bytes of memory, of each of two kinds, that wait for the next record; 0 for 4 MiB
	mem     memory
}

// Unpacked is how many bytes of JSON a file holds by its own words, size bytes long and
// beginning with head, and whether it says so: a compressed one may not, or lie.
func Unpacked(head []byte, size int64) (n int64, says bool) {
	var h zstd.Header
	switch {
	case !bytes.HasPrefix(head, zstdMagic):
		return size, true
	case h.Decode(head) != nil || !h.HasFCS || h.FrameContentSize > maxRecord:
		return maxRecord, false
	}
	return int64(h.FrameContentSize), true // #nosec G115 -- bounded above
}

// Load is [Load].
func (r *Reader) Load(in io.Reader, name string) (*File, error) {
	return load(in, name, newDigest(), r.again())
}

// LoadFile is [LoadFile].
func (r *Reader) LoadFile(path string) (*File, error) {
	return loadFile(path, newDigest(), r.again())
}

func (r *Reader) again() *memory {
	r.mem.dropped, r.mem.derived, r.mem.most = true, r.Derived, r.Most
	r.mem.again(cmp.Or(r.Kept, mostKept))
	return &r.mem
}

// memory is what records are read into.
type memory struct {
	raw     []byte
	packed  []byte
	columns []Float // of traces, as far as it has a length
	most    int64   // of raw; 0 for maxRecord
	dropped bool    // whether the columns of a record are not used any more when the next is read
	derived bool    // whether the summary is derived, whatever the file states: it is read, but not kept
	stated  Summary // what a summary that is not kept is read into
}

// again makes the memory ready for the next record. Larger parts than kept, in bytes, are
// not used again.
func (m *memory) again(kept int) {
	if cap(m.raw)+cap(m.packed) > kept {
		m.raw, m.packed = nil, nil
	}
	if m.columns = m.columns[:0]; cap(m.columns) > kept/8 {
		m.columns = nil
	}
}

// column is an empty column with room for n values.
func (m *memory) column(n int) []Float {
	if m == nil || !m.dropped {
		return make([]Float, 0, n)
	}
	if cap(m.columns)-len(m.columns) < n {
		m.columns = make([]Float, 0, max(n, 2*cap(m.columns), 1<<12)) // the columns so far stay where they are
	}
	at := len(m.columns)
	m.columns = m.columns[:at+n]
	return m.columns[at : at : at+n]
}

func loadFile(path string, seen *seenDigest, mem *memory) (*File, error) {
	f, err := OpenFile(path)
	if err != nil {
		return nil, fmt.Errorf("results: read record: %w", err)
	}
	defer f.Close()
	if mem.dropped && readOnce(path) {
		mem = &memory{derived: mem.derived, most: mem.most}
	}
	return load(f, path, seen, mem)
}

// Load reads one record, JSON or zstd-compressed JSON, whatever name (of the
// source, for messages) ends in. Every schema version up to [SchemaVersion] is
// read and unknown members are passed over.
//
// A record of an earlier version has no summary: it had other definitions, and is
// derived again where it is needed. See [ReadVerified].
//
// It refuses what cannot be a record: ambiguous JSON, a required member that
// is missing, a value of another type, a trace whose columns differ in length,
// whose time stands still or whose counter falls, and anything larger than
// 64 MiB compressed or 256 MiB of JSON. The error names the file and the place. It
// does not verify the digest: see [File.Verify].
func Load(r io.Reader, name string) (*File, error) {
	return load(r, name, newDigest(), &memory{})
}

// load takes the digest, too, for [File.Verify], unless seen is nil. Raw is in mem.
func load(r io.Reader, name string, seen *seenDigest, mem *memory) (*File, error) {
	raw, packed, err := unpack(r, maxCompressed, cmp.Or(mem.most, maxRecord), mem)
	mem.raw = raw
	if err != nil {
		return nil, fmt.Errorf("results: read %s: %w", name, err)
	}
	rec, err := decode(raw, seen, mem)
	if err != nil {
		return nil, fmt.Errorf("results: read %s: %w", name, err)
	}
	return &File{Name: name, Record: rec, Raw: raw, Packed: packed, seen: seen}, nil
}

var zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd}

// unpack returns the JSON that r holds, and what it was unpacked from if it is compressed,
// of at most the given numbers of bytes, in mem if that is enough.
func unpack(r io.Reader, maxCompressed, maxJSON int64, mem *memory) (raw, packed []byte, err error) {
	var size int64
	if f, ok := r.(fs.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
			// Some files of procfs have size 0, and block whoever reads them.
			if size = info.Size(); size == 0 {
				return nil, nil, errEmpty
			}
		}
	}
	in := bufio.NewReader(r)
	// A short file has no magic number; any other error shows on reading it.
	if magic, _ := in.Peek(len(zstdMagic)); !bytes.Equal(magic, zstdMagic) {
		raw, err = readJSON(in, size, maxJSON, mem.raw)
		return raw, nil, err
	}
	if packed, err = readUpTo(in, size, maxCompressed, mem.packed); err != nil {
		return nil, nil, err
	}
	if mem.packed = packed; int64(len(packed)) > maxCompressed {
		return nil, nil, fmt.Errorf("larger than a compressed record may be (%d MiB)", maxCompressed>>20)
	}
	z, err := zstd.NewReader(bytes.NewReader(packed), zstd.WithDecoderConcurrency(1),
		zstd.WithDecoderMaxMemory(uint64(maxJSON)), zstd.WithDecoderMaxWindow(maxWindow)) // #nosec G115 -- a limit of ours
	if err != nil {
		return nil, nil, fmt.Errorf("decompress: %w", err)
	}
	defer z.Close()
	raw, err = readJSON(bufio.NewReader(z), 0, maxJSON, mem.raw)
	switch {
	case errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return nil, nil, tooLarge(maxJSON)
	case errors.Is(err, zstd.ErrWindowSizeExceeded):
		return nil, nil, fmt.Errorf("decompress: the window is larger than %d MiB: compress it with zstd -19 or less", maxWindow>>20)
	case err != nil:
		return nil, nil, fmt.Errorf("decompress: %w", err)
	}
	return raw, packed, nil
}

var errEmpty = errors.New("the file is empty")

// ErrLarger means that a record has more JSON than is read.
var ErrLarger = errors.New("larger than a record may be")

func tooLarge(most int64) error { return fmt.Errorf("%w (%d MiB)", ErrLarger, most>>20) }

// readJSON reads what can be the JSON of a record. It looks at the first byte
// before it takes in the rest, of which size bytes are expected.
func readJSON(in *bufio.Reader, size, most int64, buf []byte) ([]byte, error) {
	if first, err := in.Peek(1); err != nil && err != io.EOF {
		return nil, err
	} else if len(first) == 0 {
		return nil, errEmpty
	} else if magic, _ := in.Peek(2); string(magic) == "\x1f\x8b" {
		return nil, errors.New("it is packed with gzip: unpack it, or pack it with zstd")
	} else if strings.IndexByte("{ \t\r\n", first[0]) < 0 {
		return nil, fmt.Errorf("neither JSON nor zstd: it begins with byte 0x%02x", first[0])
	}
	raw, err := readUpTo(in, size, most, buf)
	if err == nil && int64(len(raw)) > most {
		err = tooLarge(most)
	}
	return raw, err
}

// readUpTo reads all, of which size bytes are expected, but no more than one byte above the
// most.
func readUpTo(in io.Reader, size, most int64, buf []byte) ([]byte, error) {
	if n := min(size, most) + bytes.MinRead; int64(cap(buf)) < n {
		buf = make([]byte, 0, n)
	}
	raw := bytes.NewBuffer(buf[:0])
	_, err := raw.ReadFrom(io.LimitReader(in, most+1))
	return raw.Bytes(), err
}

// decode reads a record of any known version. The version is read first: the
// members of a version that is not known may mean anything. It takes the digest of the
// record in the same walk, unless seen is nil.
func decode(raw []byte, seen *seenDigest, mem *memory) (*Record, error) {
	version, err := versionOf(raw)
	if err != nil {
		return nil, err
	}
	rec, x := new(Record), &text{raw: raw, emit: seen != nil, seen: seen, mem: mem, lengths: map[reflect.Type]int{}}
	switch {
	case version == SchemaVersion:
		err = x.walk(func(x *text) error { return x.decode(reflect.ValueOf(rec).Elem()) })
	case version == 1:
		rec, err = decodeVersion1(x)
	case version > SchemaVersion:
		err = fmt.Errorf("schema version %d is newer than this program reads (%d): upgrade perwatt", version, SchemaVersion)
	default:
		err = fmt.Errorf("/schema: there is no schema version %d", version)
	}
	if seen != nil {
		seen.err = x.err
	}
	if err == nil {
		err = rec.consistent()
	}
	if err == nil && version < SchemaVersion {
		rec.Schema = SchemaVersion
	}
	return rec, err
}

// versionOf returns the schema version of a record, without reading on.
func versionOf(raw []byte) (version int, err error) {
	found := errors.New("found")
	err = walk(raw, func(x *text) error {
		return x.object(nil, func(_ int, key string) error {
			if key != "schema" {
				return x.skip()
			}
			if err := x.decode(reflect.ValueOf(&version).Elem()); err != nil {
				return err
			}
			return found
		})
	})
	if err == nil {
		err = errors.New("/schema: missing: this is no record of perwatt")
	}
	if errors.Is(err, found) {
		err = nil
	}
	return version, err
}

// enums holds the closed lists of words. They change with the schema version
// only, because arithmetic and ranking depend on them.
var enums = map[reflect.Type][]string{
	reflect.TypeFor[State]():        {string(Running), string(Complete), string(Interrupted)},
	reflect.TypeFor[Status]():       {string(OK), string(Void), string(Failed), string(Stopped)},
	reflect.TypeFor[Role]():         {"", string(Alone), string(Foreground), string(Background)}, // "" for an idle row
	reflect.TypeFor[DeviceKind]():   {string(KindCPU), string(KindGPU), string(KindAccelerator), string(KindMiner)},
	reflect.TypeFor[TraceKind]():    words(traceKinds),
	reflect.TypeFor[Kind]():         {string(Counter), string(Gauge)},
	reflect.TypeFor[Boundary]():     words(Boundaries()),
	reflect.TypeFor[Origin]():       {string(Measured), string(Modelled), string(Declared)},
	reflect.TypeFor[Grade]():        {"A", "B", "C", "D", "E"},
	reflect.TypeFor[FigureStatus](): words(slices.Sorted(maps.Keys(statusTexts)))[1:], // Known is left out
	reflect.TypeFor[Outcome]():      {string(Pass), string(Fail), string(NotApplicable)},
}

func words[S ~string](list []S) (out []string) {
	for _, s := range list {
		out = append(out, string(s))
	}
	return out
}

// checkEnum refuses, through errorf, a string v that its type does not allow.
func checkEnum(v reflect.Value, errorf func(string, ...any) error) error {
	if v.Type() == stringType {
		return nil
	}
	if allowed, closed := enums[v.Type()]; closed && !slices.Contains(allowed, v.String()) {
		return errorf("%q is none of %s", Line(v.String(), mostQuoted), strings.Join(allowed, ", "))
	}
	return nil
}

// member is a field of a struct as a member of a JSON object.
type member struct {
	name     string
	quoted   []byte // the name as it is written
	rank     int    // its place in the order of [compareNames]
	index    []int  // of reflect.Value.FieldByIndex
	optional bool   // left out when empty
	prose    bool   // see [prose]
	// read decodes the member where the version of the record holds something
	// else than the field does; nil to decode into the field.
	read func(x *text, field reflect.Value) error
}

var memberCache sync.Map // reflect.Type → []member

// membersOf returns the members of a struct type. A member added within a
// schema version must be optional, for older records lack it.
func membersOf(t reflect.Type) []member {
	if m, ok := memberCache.Load(t); ok {
		return m.([]member)
	}
	var ms []member
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous { // its members are those of the struct that embeds it
			for _, m := range membersOf(f.Type) {
				ms = append(ms, member{name: m.name, index: append([]int{i}, m.index...), optional: m.optional})
			}
			continue
		}
		if !f.IsExported() {
			continue
		}
		name, option, _ := strings.Cut(f.Tag.Get("json"), ",")
		ms = append(ms, member{name: name, index: []int{i}, optional: option == "omitempty"})
	}
	names := make([]string, len(ms))
	for i := range ms {
		names[i] = ms[i].name
	}
	slices.SortFunc(names, compareNames)
	for i := range ms {
		ms[i].quoted, ms[i].rank, ms[i].prose = appendString(nil, ms[i].name), slices.Index(names, ms[i].name), slices.Contains(prose, ms[i].name)
	}
	memberCache.Store(t, ms)
	return ms
}

var (
	floatType = reflect.TypeFor[Float]()
	saidType  = reflect.TypeFor[SelfReported]()
	timeType  = reflect.TypeFor[time.Time]()

	summaryType = reflect.TypeFor[Summary]()

	stringType = reflect.TypeFor[string]()
)

// decode consumes a value of the type of v and stores it there. null is an
// absent Float or SelfReported and nothing else.
func (x *text) decode(v reflect.Value) error {
	switch v.Type() {
	case floatType:
		f, err := x.figure()
		v.SetFloat(float64(f))
		return err
	case saidType:
		f, err := x.figure()
		v.Set(reflect.ValueOf(SelfReport(float64(f))))
		return err
	case timeType:
		s, err := x.str()
		if err != nil {
			return err
		}
		var t time.Time
		if err := t.UnmarshalText([]byte(s)); err != nil || !writable(t) {
			return x.errorf("%q is no time as RFC 3339 writes it", Line(s, mostQuoted))
		}
		v.Set(reflect.ValueOf(t.UTC()))
		return nil
	}
	switch v.Kind() {
	case reflect.Pointer:
		if !x.passing || v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		return x.decode(v.Elem())
	case reflect.Struct:
		return x.decodeStruct(v)
	case reflect.Slice:
		if x.passing && !v.IsNil() {
			v.SetLen(0)
		} else {
			v.Set(reflect.MakeSlice(v.Type(), 0, 0))
		}
		if column, ok := v.Addr().Interface().(*[]Float); ok {
			floats, err := x.floats()
			*column = floats
			return err
		}
		// A list is taken to be as long as the last one of its type.
		n := x.lengths[v.Type()]
		err := x.list(func(i int) error {
			if i == v.Cap() {
				v.Grow(max(1, n-i))
			}
			v.SetLen(i + 1)
			return x.decode(v.Index(i))
		})
		if x.lengths != nil {
			x.lengths[v.Type()] = v.Len()
		}
		return err
	case reflect.Map:
		e := reflect.New(v.Type().Elem()).Elem()
		if x.passing {
			return x.object(nil, func(int, string) error { return x.decode(e) })
		}
		v.Set(reflect.MakeMap(v.Type()))
		k := reflect.New(v.Type().Key()).Elem()
		return x.object(nil, func(_ int, key string) error {
			e.SetZero()
			err := x.decode(e)
			k.SetString(key)
			v.SetMapIndex(k, e)
			return err
		})
	case reflect.String:
		s, err := x.str()
		if err != nil {
			return err
		}
		v.SetString(s)
		return checkEnum(v, x.errorf)
	case reflect.Bool:
		b, err := x.boolean()
		v.SetBool(b)
		return err
	case reflect.Int, reflect.Int64:
		lit, err := x.number()
		if err != nil {
			return err
		}
		n, err := strconv.ParseInt(string(lit.lit), 10, v.Type().Bits())
		if err != nil || n < -maxWhole || n > maxWhole {
			return x.errorf("%s is no whole number of at most 53 bits", Line(string(lit.lit), mostQuoted))
		}
		v.SetInt(n)
		return nil
	case reflect.Uint32:
		lit, err := x.number()
		if err != nil {
			return err
		}
		n, err := strconv.ParseUint(string(lit.lit), 10, 32)
		if err != nil {
			return x.errorf("%s is no whole number from 0 of 32 bits", Line(string(lit.lit), mostQuoted))
		}
		v.SetUint(n)
		return nil
	}
	panic("results: a record cannot hold a " + v.Type().String())
}

func (x *text) decodeStruct(v reflect.Value) error {
	ms := membersOf(v.Type())
	known := ms
	if x.members != nil {
		ms, known = x.members(v.Type()), nil // whose names may be others
	}
	var seen uint64
	err := x.object(known, func(i int, key string) error {
		if known == nil {
			i = slices.IndexFunc(ms, func(m member) bool { return m.name == key })
		}
		if i < 0 {
			return x.skip()
		}
		seen |= 1 << i
		field := v.FieldByIndex(ms[i].index)
		if x.mem != nil && x.mem.derived && field.Type() == summaryType {
			x.passing = true
			defer func() { x.passing = false }()
			field = reflect.ValueOf(&x.mem.stated).Elem()
		}
		if ms[i].read != nil {
			return ms[i].read(x, field)
		}
		return x.decode(field)
	})
	if err != nil {
		return err
	}
	for i, m := range ms {
		if seen&(1<<i) == 0 && !m.optional {
			return errorAt(x.pointer().AppendToken(m.name), "missing")
		}
	}
	return nil
}

// writable reports whether t has a year of four digits, as RFC 3339 requires.
func writable(t time.Time) bool {
	y := t.UTC().Year()
	return 0 <= y && y <= 9999
}

// maxWhole is the largest whole number that RFC 8785 carries exactly.
const maxWhole = 1<<53 - 1

// floats consumes a list of numbers and nulls.
func (x *text) floats() (out []Float, err error) {
	if x.peek() == '[' {
		rest := x.raw[x.at:]
		n := max(0, bytes.IndexByte(rest, ']'))
		out = x.mem.column(min(n/2, bytes.Count(rest[:n], []byte{','})) + 1)
	}
	err = x.list(func(int) error {
		out = x.column(out)
		x.stack[len(x.stack)-1].index = len(out)
		f, err := x.figure()
		out = append(out, f)
		return err
	})
	return out, err
}

// column consumes the next elements of a list but the last, and adds them to out, as
// long as they are numbers and nulls in canonical form without white space. Most of a
// record is such columns.
func (x *text) column(out []Float) []Float {
	var text [32]byte
	at := x.at
	for {
		rest := x.raw[at:]
		n, length := scanNumber(rest)
		f, canonical := n.read()
		switch {
		case length > 0 && canonical:
		case length > 0 && !n.plain:
			var err error
			if f, err = strconv.ParseFloat(string(rest[:length]), 64); err != nil || !bytes.Equal(appendFloat(text[:0], f), rest[:length]) {
				length = 0
			}
		case length == 0 && bytes.HasPrefix(rest, []byte("null")):
			f, length = math.NaN(), len("null")
		default:
			length = 0
		}
		if length == 0 || length == len(rest) || rest[length] != ',' {
			break
		}
		out, at = append(out, Float(f)), at+length+1
	}
	if x.emit {
		x.canon = append(x.canon, x.raw[x.at:at]...)
	}
	x.at = at
	return out
}

// consistent returns an error for devices that share an id, for traces that
// contradict [Trace] and for claims that contradict [Claim].
func (r *Record) consistent() error {
	if most := maxMembers - len(membersOf(reflect.TypeFor[Record]())); len(r.Runs) > most {
		return fmt.Errorf("/runs: %d of them, and a record holds no more than %d: keep a longer session in several", len(r.Runs), most)
	}
	ids := map[string]bool{}
	for i, d := range r.Node.Devices {
		if ids[d.ID] {
			return fmt.Errorf("/node/devices/%d/id: %q is the id of another device, too", i, Line(d.ID, mostQuoted))
		}
		ids[d.ID] = true
	}
	for i := range r.Runs {
		for j := range r.Runs[i].Traces {
			if err := r.Runs[i].Traces[j].consistent(); err != nil {
				return fmt.Errorf("/runs/%d/traces/%d%w", i, j, err)
			}
		}
		for j, c := range r.Runs[i].Claims {
			for k, s := range c.Samples {
				if s.T.IsAbsent() || k > 0 && s.T <= c.Samples[k-1].T {
					return fmt.Errorf("/runs/%d/claims/%d/said/%d/t: %v s does not come after the last", i, j, k, s.T)
				}
			}
		}
	}
	return nil
}

func (tr *Trace) consistent() error {
	if len(tr.T) != len(tr.V) {
		return fmt.Errorf(": %d times but %d values", len(tr.T), len(tr.V))
	}
	for k, t := range tr.T {
		switch {
		case t.IsAbsent():
			return fmt.Errorf("/t/%d: null is no time", k)
		case k > 0 && t <= tr.T[k-1]:
			return fmt.Errorf("/t/%d: %v s does not come after %v s", k, t, tr.T[k-1])
		case k > 0 && tr.Kind == Counter && tr.V[k] < tr.V[k-1]: // false beside a gap
			return fmt.Errorf("/v/%d: the counter falls from %v to %v", k, tr.V[k-1], tr.V[k])
		}
	}
	return nil
}

// Compress returns raw as one zstd frame, which [Load] accepts in place of raw. It
// compresses slowly (half a second a megabyte), which makes a file that is kept
// for years a quarter smaller.
func Compress(raw []byte) []byte {
	z, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedBestCompression))
	if err != nil {
		panic(err) // the options are constants
	}
	return z.EncodeAll(raw, nil)
}

// writer builds the compact JSON of a record.
type writer struct {
	place
	b []byte
}

// encode appends v. An empty list is [], never null.
func (w *writer) encode(v reflect.Value) error {
	switch v.Type() {
	case floatType:
		return w.figure(v.Float())
	case saidType:
		return w.figure(float64(v.Interface().(SelfReported).float()))
	case timeType:
		t := v.Interface().(time.Time)
		if !writable(t) {
			return w.errorf("%v cannot be recorded", t)
		}
		w.b = appendString(w.b, t.UTC().Format(time.RFC3339Nano))
		return nil
	}
	switch v.Kind() {
	case reflect.Pointer:
		return w.encode(v.Elem())
	case reflect.Struct:
		ms := slices.DeleteFunc(slices.Clone(membersOf(v.Type())), func(m member) bool {
			f := v.FieldByIndex(m.index)
			return m.optional && (f.IsZero() || f.Kind() == reflect.Map && f.Len() == 0 || f.Kind() == reflect.Slice && f.Len() == 0)
		})
		return w.object(len(ms), func(i int) (string, reflect.Value) { return ms[i].name, v.FieldByIndex(ms[i].index) })
	case reflect.Map:
		keys := v.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int { return cmp.Compare(a.String(), b.String()) })
		return w.object(len(keys), func(i int) (string, reflect.Value) { return keys[i].String(), v.MapIndex(keys[i]) })
	case reflect.Slice:
		return w.list(v)
	case reflect.String:
		w.b = appendString(w.b, v.String())
		return checkEnum(v, w.errorf)
	case reflect.Bool:
		w.b = strconv.AppendBool(w.b, v.Bool())
		return nil
	case reflect.Int, reflect.Int64:
		if n := v.Int(); n < -maxWhole || n > maxWhole {
			return w.errorf("%d is no whole number of at most 53 bits", n)
		}
		w.b = strconv.AppendInt(w.b, v.Int(), 10)
		return nil
	case reflect.Uint32:
		w.b = strconv.AppendUint(w.b, v.Uint(), 10)
		return nil
	}
	panic("results: a record cannot hold a " + v.Type().String())
}

func (w *writer) object(n int, member func(i int) (string, reflect.Value)) error {
	depth := len(w.place)
	w.b = append(w.b, '{')
	for i := range n {
		if i > 0 {
			w.b = append(w.b, ',')
		}
		name, v := member(i)
		w.b = append(appendString(w.b, name), ':')
		w.place = append(w.place[:depth], name)
		if err := w.encode(v); err != nil {
			return err
		}
	}
	w.b, w.place = append(w.b, '}'), w.place[:depth]
	return nil
}

func (w *writer) list(v reflect.Value) error {
	depth := len(w.place)
	column, isColumn := v.Interface().([]Float)
	w.b = append(w.b, '[')
	for i := range v.Len() {
		if i > 0 {
			w.b = append(w.b, ',')
		}
		if isColumn && !math.IsInf(float64(column[i]), 0) {
			w.b = appendFigure(w.b, float64(column[i]))
			continue
		}
		w.place = append(w.place[:depth], strconv.Itoa(i))
		if err := w.encode(v.Index(i)); err != nil {
			return err
		}
	}
	w.b, w.place = append(w.b, ']'), w.place[:depth]
	return nil
}

func (w *writer) figure(f float64) error {
	if math.IsInf(f, 0) {
		return w.errorf("%v cannot be recorded", f)
	}
	w.b = appendFigure(w.b, f)
	return nil
}

// appendFigure appends a finite number, or null for NaN.
func appendFigure(b []byte, f float64) []byte {
	if math.IsNaN(f) {
		return append(b, "null"...)
	}
	return appendFloat(b, f)
}
