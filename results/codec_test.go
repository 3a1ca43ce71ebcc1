package results

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// session returns a record shaped like those of real sessions: runs of eight
// traces with the given number of samples, ten a second, each sampled with
// the jitter and the resolution of its source. Nothing in it was measured.
func session(runs, points int) *Record {
	rnd := rand.New(rand.NewPCG(1, 2))
	start := time.Date(2026, 1, 2, 3, 4, 5, 678901234, time.UTC)
	rec := &Record{
		Schema: SchemaVersion, ID: "01KDYBS1CY0000000000000000", Start: start, End: start, State: Complete,
		Tool: Tool{Name: "perwatt", Version: "test", Go: "go1.26"},
		Node: Node{
			Name: "node", OS: "linux", Kernel: "6.1", Arch: "amd64", Memory: 1 << 34,
			Devices:  []Device{{ID: CPUDevice, Kind: KindCPU, Vendor: "V", Model: "synthetic \u0001 <CPU>", Lanes: 8, Features: []string{"avx2", "sha"}}},
			CPU:      CPU{Sockets: 1, Cores: 4, Clock: 3e9},
			Settings: Settings{CPUQuota: Absent(), PowerCap: Absent(), Load: 0.25},
		},
		Plan:    Plan{Preset: "quick", Session: 1, Sessions: 1, Scenarios: []string{"mining"}, Rounds: runs, Window: Float(points) / 10, Interval: 0.1},
		Meters:  []Meter{{Name: "rapl", Source: "/sys", Channels: []Channel{{Name: "package-0", Unit: Joule, Kind: Counter, Boundary: Package, Origin: Measured}}}},
		Summary: Summary{Rows: []Row{{RowKey: RowKey{Scenario: "mining", Use: "mining", Role: Alone}, Metrics: map[string]Figure{Power: {Value: 12.5, Low: Absent(), High: 1e-9, Unit: Watt, N: runs}}}}},
	}
	sources := []struct {
		tr          Trace
		start, step float64 // step per sample, on average
		parts       float64 // the source counts in 1/parts of the unit
	}{
		{Trace{Key: UseKey(TraceWork, "mining", CPUDevice), Unit: Hash, Kind: Counter}, 0, 1 << 20, 1.0 / (1 << 16)},
		{Trace{Key: UseKey(TraceCPUTime, "mining", CPUDevice), Unit: Second, Kind: Counter}, 0, 0.8, 1e9},
		{Trace{Key: HostBusy, Unit: Second, Kind: Counter}, 123456, 0.8, 100},
		{Trace{Key: HostSteal, Unit: Second, Kind: Counter}, 123, 0.001, 100},
		{Trace{Key: HarnessCPU, Unit: Second, Kind: Counter}, 0, 0.001, 1e9},
		{Trace{Key: MeterKey("rapl", "package-0"), Unit: Joule, Kind: Counter, Boundary: Package, Origin: Measured}, 54321, 12, 1e6},
		{Trace{Key: MeterKey("rapl", "dram"), Unit: Joule, Kind: Counter, Boundary: Memory, Origin: Measured}, 4321, 1.5, 1e6},
		{Trace{Key: MeterKey("hwmon", "power1"), Unit: Watt, Kind: Gauge, Boundary: Chassis, Origin: Measured}, 250, 0, 1e3},
	}
	for r := range runs {
		run := Run{
			Scenario: "mining", Round: r + 1, Anchor: Anchor{T: 0.001, UTC: start}, Status: OK,
			Uses:   []Use{{Use: "mining", Device: CPUDevice, Workload: "hashscan", Impl: "generic", Role: Alone, Threads: 8, Unit: Hash, FlopPerCount: Absent(), Seed: math.MaxUint32}},
			Phases: []Phase{{Name: PhaseMeasure, From: 0.05, To: Float(points) / 10}},
			Checks: []Check{{Use: "mining", Device: CPUDevice, Name: "known answers", OK: true}},
		}
		for _, s := range sources {
			tr := s.tr
			v := s.start
			for i := range points {
				at := time.Duration(r*points+i)*100*time.Millisecond + time.Duration(rnd.ExpFloat64()*60e3)                    // late by 60 µs
				if host := []TraceKey{HostBusy, HostSteal, HarnessCPU}; slices.Contains(host, tr.Key) && len(run.Traces) > 2 { // read at one instant
					tr.T = append(tr.T, run.Traces[2].T[i])
				} else {
					tr.T = append(tr.T, Float(float64(at.Microseconds())/1e6)) // as precise as the harness writes it
				}
				level := s.start + 20*rnd.NormFloat64()
				if tr.Kind == Counter {
					v += s.step * (1 + 0.02*rnd.NormFloat64())
					level = v
				}
				tr.V = append(tr.V, Float(math.Round(level*s.parts)/s.parts))
			}
			if points > 2 && tr.Kind == Gauge {
				tr.V[1] = Absent()
				tr.Errors = []Gap{{At: tr.T[1], Error: "i/o timeout"}}
			}
			run.Traces = append(run.Traces, tr)
		}
		rec.Runs = append(rec.Runs, run)
	}
	return rec
}

// filled sets every field of a record, the optional ones too, two elements a
// list, and each closed word in turn, those that only the schema closes too.
func filled() *Record {
	rec := new(Record)
	fill(reflect.ValueOf(rec).Elem(), new(int))
	rec.Schema, rec.ID, rec.Digest = SchemaVersion, "01KDYBS1CY0000000000000000", Digest{}
	for i := range rec.MeterProbes {
		rec.MeterProbes[i].State = "used"
	}
	for i := range rec.Runs {
		for j := range rec.Runs[i].Phases {
			rec.Runs[i].Phases[j].Name = PhaseMeasure
		}
		for j := range rec.Runs[i].Traces {
			tr := &rec.Runs[i].Traces[j]
			tr.T, tr.V = []Float{1, 2.5, 1e21}, []Float{0, Absent(), 1e-7}
		}
	}
	return rec
}

func fill(v reflect.Value, n *int) {
	*n++
	if words, closed := enums[v.Type()]; closed {
		word := words[*n%len(words)]
		v.SetString(cmp.Or(word, words[len(words)-1]))
		return
	}
	switch v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(time.Date(2026, 1, 2, 3, 4, 5, *n, time.UTC)))
		return
	case Unit:
		v.SetString(string(Hash.Per(Second)))
		return
	case SelfReported:
		v.Set(reflect.ValueOf(SelfReport(float64(*n) + 0.1)))
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), n)
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				fill(v.Field(i), n)
			}
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0), n)
		fill(v.Index(1), n)
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		e := reflect.New(v.Type().Elem()).Elem()
		fill(e, n)
		v.SetMapIndex(reflect.ValueOf("a/b~c \u20ac"), e)
	case reflect.String:
		v.SetString(fmt.Sprintf("text %d \"quoted\" <&> \t é 😀", *n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(*n))
	case reflect.Uint32:
		v.SetUint(math.MaxUint32)
	case reflect.Float64:
		v.SetFloat(float64(*n) + 0.1)
	}
}

func sealed(t testing.TB, rec *Record) []byte {
	t.Helper()
	raw, err := Seal(rec)
	require.NoError(t, err)
	return raw
}

func TestRoundTrip(t *testing.T) {
	for name, rec := range map[string]*Record{"filled": filled(), "session": session(3, 5), "empty": {Schema: SchemaVersion, State: Running}} {
		t.Run(name, func(t *testing.T) {
			raw := sealed(t, rec)
			require.True(t, json.Valid(raw))

			plain, err := Read(bytes.NewReader(raw), "plain.json.zst") // the name says nothing
			require.NoError(t, err)
			packed, err := Load(bytes.NewReader(Compress(raw)), "packed.json")
			require.NoError(t, err)
			require.Equal(t, raw, packed.Raw)
			require.Empty(t, packed.Verify())
			for _, got := range []*Record{plain, packed.Record} {
				require.Equal(t, string(raw), string(sealed(t, got)))
				require.Equal(t, rec.Start.UTC(), got.Start)
				require.Equal(t, rec.Digest, got.Digest)
			}

			// The standard library reads the same out of it.
			var std Record
			require.NoError(t, json.Unmarshal(raw, &std))
			require.Equal(t, string(raw), string(sealed(t, &std)))
		})
	}
}

func TestReadFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.json")
	require.NoError(t, os.WriteFile(path, sealed(t, session(1, 3)), 0o644))
	rec, err := ReadFile(path)
	require.NoError(t, err)
	require.Len(t, rec.Runs, 1)

	_, err = ReadFile(path + ".gone")
	require.ErrorIs(t, err, os.ErrNotExist)
	require.ErrorContains(t, err, path+".gone")
}

// TestReadVerified reads records of many sizes, packed and not, into the same memory: none
// has anything of another, its samples can be read again, and each that was edited or
// damaged is refused by its name.
func TestReadVerified(t *testing.T) {
	dir, random := t.TempDir(), rand.New(rand.NewPCG(5, 6))
	var files []string
	var raws [][]byte
	for i := range 12 {
		rec := session(1+random.IntN(4), random.IntN(30))
		rec.ID, rec.Node.Name = fmt.Sprintf("01KDYBS1CY%016d", i), strings.Repeat(string(rune('a'+i%26)), 1+i)
		rec.Runs[0].Traces[0].V = append(rec.Runs[0].Traces[0].V, 0.12345678901234566e16)
		rec.Runs[0].Traces[0].T = append(rec.Runs[0].Traces[0].T, 1e6, 2e6)
		rec.Runs[0].Traces[0].V = append(rec.Runs[0].Traces[0].V, 0.12345678901234566e17)
		raw, name := sealed(t, rec), fmt.Sprintf("%d.json", i)
		raws = append(raws, raw)
		if i%6 == 1 {
			raw, name = Compress(raw), name+".zst"
		}
		files = append(files, filepath.Join(dir, name))
		require.NoError(t, os.WriteFile(files[i], raw, 0o644))
	}
	// A file that is open already, and one whose stated summary is of another record, are
	// read as the others are.
	open, err := os.Open(files[2])
	require.NoError(t, err)
	defer open.Close()
	files, raws = append(files, fmt.Sprintf("/dev/fd/%d", open.Fd())), append(raws, raws[2])
	other := session(2, 7)
	other.ID, other.Summary = "01KDYBS1CY9999999999999999", Summary{Rows: []Row{{RowKey: RowKey{Scenario: "mining", Use: "mining"}, Metrics: map[string]Figure{Power: {Value: 1e9}}}}}
	files, raws = append(files, filepath.Join(dir, "other.json")), append(raws, sealed(t, other))
	require.NoError(t, os.WriteFile(files[len(files)-1], raws[len(raws)-1], 0o644))

	records, err := ReadVerified(t.Context(), files...)
	require.NoError(t, err)
	for i, got := range records {
		want, err := Read(bytes.NewReader(raws[i]), "")
		require.NoError(t, err)
		want.Summary = Derive(want)
		got.Summary.windows, want.Summary.windows = nil, nil
		require.Equal(t, fmt.Sprintf("%+v", want.Node), fmt.Sprintf("%+v", got.Node))
		require.Equal(t, want.Digest, got.Digest)
		require.Empty(t, (&File{Raw: raws[i], Record: &Record{Schema: SchemaVersion, Summary: want.Summary}}).Check(got.Summary))
		for _, run := range got.Runs {
			for _, tr := range run.Traces {
				require.True(t, len(tr.T) == 0 && len(tr.V) == 0 || i == 12, files[i])
			}
		}
		require.NoError(t, ReadSamples(got, files[i]))
		require.Equal(t, fmt.Sprintf("%+v", want.Runs), fmt.Sprintf("%+v", got.Runs))
	}
	require.NoError(t, os.WriteFile(files[0], raws[1], 0o644))
	require.ErrorContains(t, ReadSamples(records[0], files[0]), files[0]+": changed while it was read")
	require.NoError(t, os.WriteFile(files[0], raws[0], 0o644))
	files = files[:12]
	for _, bad := range []struct{ name, old, new, want string }{
		{"a digit of a column", "12345678901234566", "12345678901234568", "/runs/0: altered"},
		{"more digits than a number has", "1234567890123456.5,", "1234567890123456.6,", "should be written 1234567890123456.5"},
		{"a name", `"name": "`, `"name": "x`, "altered"},
		{"the end", "\n}", "", "cut off"},
		{"a number in the summary", `"metrics": {`, `"metrics": 1, "more": {`, "/summary/rows/"},
		{"a member of the summary", `"metrics": {`, `"more": {`, "/metrics: missing"},
	} {
		at := random.IntN(len(files)/3) * 3 // not packed
		text := string(raws[at])
		i := strings.LastIndex(text, bad.old)
		require.GreaterOrEqual(t, i, 0, bad.name)
		require.NoError(t, os.WriteFile(files[at], []byte(text[:i]+bad.new+text[i+len(bad.old):]), 0o644))
		_, err := ReadVerified(t.Context(), files...)
		require.ErrorContains(t, err, files[at], bad.name)
		require.ErrorContains(t, err, bad.want, bad.name)
		require.NoError(t, os.WriteFile(files[at], raws[at], 0o644))
	}
}

// TestReadGolden keeps records of the present version readable: the file is never
// rewritten once a program has been released that writes the version. A version
// that has no file yet gets one.
func TestReadGolden(t *testing.T) {
	path := fmt.Sprintf("testdata/record-v%d.json", SchemaVersion)
	if _, err := os.Stat(path); os.IsNotExist(err) {
		require.NoError(t, os.WriteFile(path, sealed(t, filled()), 0o644))
		t.Errorf("%s was missing and has been written: keep it", path)
	}
	f, err := LoadFile(path)
	require.NoError(t, err)
	require.Empty(t, f.Verify())
	var want, got any
	require.NoError(t, json.Unmarshal(f.Raw, &want))
	require.NoError(t, json.Unmarshal(sealed(t, f.Record), &got))
	require.Equal(t, want, got, "reading and writing keeps every member")
}

func TestReadVersions(t *testing.T) {
	for text, want := range map[string]string{
		`{"schema":3,"id":7}`:   "schema version 3 is newer than this program reads (2): upgrade perwatt",
		`{"id":7,"schema":99}`:  "schema version 99 is newer",
		`{"schema":0}`:          "/schema: there is no schema version 0",
		`{"schema":-1}`:         "/schema: there is no schema version -1",
		`{"schema":"1"}`:        "/schema: expected a number, found a string",
		`{"schema":1.0}`:        "/schema: 1.0 is no whole number",
		`{"id":"x"}`:            "/schema: missing: this is no record of perwatt",
		`{"schema":1,"id":"x"}`: "/start: missing",
		`{"schema":2,"id":"x"}`: "/start: missing",
		``:                      "the file is empty",
		`null`:                  "neither JSON nor zstd: it begins with byte 0x6e",
		"  [1]":                 "the record: expected an object, found a list",
	} {
		_, err := Read(strings.NewReader(text), "some.json")
		require.ErrorContains(t, err, "results: read some.json: ", text)
		require.ErrorContains(t, err, want, text)
	}
}

// TestReadRefuses changes a good record in one place.
func TestReadRefuses(t *testing.T) {
	good := string(sealed(t, session(2, 4)))
	second := strings.LastIndex(good[:strings.Index(good, `"round": 2`)], `"scenario"`) // run
	for _, c := range []struct{ name, old, new, want string }{
		{"string for a number", `"round": 2`, `"round": "2"`, "/runs/1/round: expected a number, found a string"},
		{"number for a string", `"scenario": "mining"`, `"scenario": 1`, "/runs/1/scenario: expected a string, found a number"},
		{"null for a string", `"scenario": "mining"`, `"scenario": null`, "/runs/1/scenario: expected a string, found null"},
		{"null for a list", `"phases": [`, `"phases": null, "x": [`, "/runs/1/phases: expected a list, found null"},
		{"boolean for an object", `"anchor": {`, `"anchor": true, "x": {`, "/runs/1/anchor: expected an object, found a boolean"},
		{"null for a boolean", `"ok":true`, `"ok":null`, "/runs/1/checks/0/ok: expected a boolean, found null"},
		{"string for a boolean", `"ok":true`, `"ok":"yes"`, "/runs/1/checks/0/ok: expected a boolean, found a string"},
		{"fraction for a whole number", `"round": 2`, `"round": 2.5`, "/runs/1/round: 2.5 is no whole number"},
		{"too large", `"round": 2`, `"round": 9007199254740993`, "/runs/1/round: 9007199254740993 is no whole number of at most 53 bits"},
		{"negative seed", `"seed": 4294967295`, `"seed": -1`, "/runs/1/uses/0/seed: -1 is no whole number from 0"},
		{"infinite", `"from":0.05`, `"from":1e999`, "/runs/1/phases/0/from: 1e999 is out of range"},
		{"not a time", `"utc":"2026-`, `"utc":"yesterday-`, `/runs/1/anchor/utc: "yesterday-01-02T03:04:05.678901234Z" is no time`},
		{"unknown word", `"status": "ok"`, `"status": "fine"`, `/runs/1/status: "fine" is none of ok, void, failed, interrupted`},
		{"missing", `"status": "ok"`, `"sttus": "ok"`, "/runs/1/status: missing"},
		{"other case is another name", `"status": "ok"`, `"Status": "ok"`, "/runs/1/status: missing"},
		{"twice", `"status": "ok"`, `"status": "ok", "status": "ok"`, "/runs/1/status: this member appears twice"},
		{"twice by escape", `"status": "ok"`, `"status": "ok", "stat\u0075s": "ok"`, "/runs/1/status: this member appears twice"},
		{"unknown and twice", `"status": "ok"`, `"status": "ok", "x": {"y/z": 1, "y/z": 2}`, "/runs/1/x/y~1z: this member appears twice"},
		{"a long name is cut", `"round": 2`, `"` + strings.Repeat("\u202ex", 1000) + `": [}, "round": 2`, "x\uFFFD…: not JSON"},
		{"columns", `"t": [`, `"t": [0.0001, `, "/runs/1/traces/0: 5 times but 4 values"},
		{"lone surrogate", `"status": "ok"`, `"x": "\ud800", "status": "ok"`, "in /runs/1/x: not JSON: invalid surrogate pair"},
		{"reversed surrogates", `"status": "ok"`, `"x": "\udc00\ud800", "status": "ok"`, "invalid surrogate pair"},
		{"bad escape", `"status": "ok"`, `"x": "\q", "status": "ok"`, "invalid escape sequence"},
		{"bad hex", `"status": "ok"`, `"x": "\u00g0", "status": "ok"`, "invalid escape sequence"},
		{"control", `"status": "ok"`, "\"x\": \"\x01\", \"status\": \"ok\"", "invalid character '\\x01' in string"},
		{"UTF-8", `"status": "ok"`, "\"x\": \"\xff\", \"status\": \"ok\"", "invalid UTF-8"},
		{"leading zero", `"round": 2`, `"round": 02`, "not JSON: invalid character '2' after object value (expecting ',' or '}')"},
		{"no digits", `"round": 2`, `"round": -`, "in /runs/1/round: not JSON: invalid character ',' in number (expecting digit)"},
		{"no fraction", `"round": 2`, `"round": 2.`, "in /runs/1/round: not JSON: invalid character ',' in number (expecting digit)"},
		{"plus", `"round": 2`, `"round": +2`, "not JSON: invalid character '+' at start of value"},
		{"NaN", `"round": 2`, `"round": NaN`, "not JSON: invalid character 'N' at start of value"},
		{"word", `"ok":true`, `"ok":tru`, "in /runs/1/checks/0/ok: not JSON: invalid character '}' in literal true"},
		{"comma", `"round": 2,`, `"round": 2,,`, "not JSON: invalid character ',' at start of value"},
		{"colon", `"round": 2`, `"round" 2`, "not JSON: invalid character '2' after object name (expecting ':')"},
		{"comment", `"round": 2`, `"round": 2 // two`, "not JSON: invalid character '/' after object value (expecting ',' or '}')"},
		{"deep", `"round": 2`, `"x": ` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `, "round": 2`, "nested deeper than 32 levels"},
	} {
		t.Run(c.name, func(t *testing.T) {
			tail := good[second:]
			require.True(t, strings.Contains(tail, c.old), c.old)
			bad := good[:second] + strings.Replace(tail, c.old, c.new, 1)
			_, err := Read(strings.NewReader(bad), "some.json")
			require.ErrorContains(t, err, "results: read some.json: ")
			require.ErrorContains(t, err, c.want)
		})
	}
	t.Run("line", func(t *testing.T) {
		_, err := Read(strings.NewReader("{\"schema\": 1,\n\"id\": \"a\",\n\"start\" 7}"), "some.json")
		require.EqualError(t, err, "results: read some.json: line 3, byte 33 in /start: not JSON: invalid character '7' after object name (expecting ':')")
	})
	t.Run("trailing", func(t *testing.T) {
		_, err := Read(strings.NewReader(good+"{}"), "some.json")
		require.ErrorContains(t, err, "more data after the end of the record")
	})
	t.Run("a long string", func(t *testing.T) {
		if testing.Short() {
			t.Skip("80 MB, byte by byte: in the full form only")
		}
		_, err := Read(strings.NewReader(`{"schema":2,"id":"`+strings.Repeat("x", 9*maxString)+`"}`), "some.json")
		require.ErrorContains(t, err, "a string is longer than 8 MiB")
		_, err = Read(strings.NewReader(`{"schema":2,"id":"`+strings.Repeat("x", maxString)+`"}`), "some.json")
		require.ErrorContains(t, err, "/start: missing")
	})
	t.Run("unknown members are passed over", func(t *testing.T) {
		more := strings.Replace(good, `"round": 2`, `"future": [{"a": [true, false, null, -1.5e3, "\u20ac\\"]}], "round": 2`, 1)
		rec, err := Read(strings.NewReader(more), "some.json")
		require.NoError(t, err)
		require.Equal(t, 2, rec.Runs[1].Round)
	})
	t.Run("cut off anywhere", func(t *testing.T) {
		for n := 0; n < len(good)-2; n += 5 {
			_, err := Read(strings.NewReader(good[:n]), "some.json")
			require.Error(t, err, "after %d bytes", n)
		}
		_, err := Read(strings.NewReader(good[:len(good)/2]), "some.json")
		require.ErrorContains(t, err, "the file ends inside the record")
	})
}

// TestColumns: a column gives the same numbers and errors with and without white space.
func TestColumns(t *testing.T) {
	const lead = "0,-1.5,null,"
	for _, c := range []struct {
		literal string
		value   Float
		err     string // "" if it is a number or null
	}{
		{"null", Absent(), ""},
		{"0", 0, ""},
		{"-0", Float(math.Copysign(0, -1)), ""},
		{"123456789012345", 123456789012345, ""},
		{"1234567890123456", 1234567890123456, ""},
		{"9007199254740993", 9007199254740992, ""},
		{"0.1234567890123456789", 0.1234567890123456789, ""},
		{"100.000000000000001", 100, ""},
		{"1e-7", 1e-7, ""},
		{"1E+21", 1e21, ""},
		{"5e-324", 5e-324, ""},
		{"1e999", 0, "/v/3: 1e999 is out of range"},
		{"true", 0, "/v/3: expected a number, found a boolean"},
		{`"1"`, 0, "/v/3: expected a number, found a string"},
		{"[1]", 0, "/v/3: expected a number, found a list"},
		{"{}", 0, "/v/3: expected a number, found an object"},
		{"01", 0, "invalid character '1'"},
		{"1.", 0, "in /v/3: not JSON: invalid character"},
		{".5", 0, "in /v/3: not JSON: invalid character '.'"},
		{"-", 0, "in /v/3: not JSON: invalid character"},
		{"1e", 0, "in /v/3: not JSON: invalid character"},
		{"1_0", 0, "invalid character '_'"},
		{"0x1", 0, "invalid character 'x'"},
		{"nul", 0, "in /v/3: not JSON: invalid character"},
		{"nullx", 0, "invalid character 'x'"},
		{"NaN", 0, "in /v/3: not JSON: invalid character 'N'"},
		{"", 0, "invalid character"},
	} {
		for _, in := range []string{`{"v":[` + lead + c.literal + `,2]}`, `{"v": [` + lead + c.literal + `]}`, `{"v":[` + lead + c.literal + ` ]}`} {
			t.Run(in, func(t *testing.T) {
				var got struct {
					V []Float `json:"v"`
				}
				err := walk([]byte(in), func(x *text) error { return x.decode(reflect.ValueOf(&got).Elem()) })
				if c.err != "" {
					require.ErrorContains(t, err, c.err)
					return
				}
				require.NoError(t, err)
				require.Equal(t, fmt.Sprint([]Float{0, -1.5, Absent(), c.value}), fmt.Sprint(got.V[:4]))
				require.True(t, json.Valid([]byte(in)))
			})
		}
	}
}

func TestInconsistentTraces(t *testing.T) {
	for _, c := range []struct {
		name string
		tr   Trace
		want string // "" if good
	}{
		{"empty", Trace{Kind: Counter}, ""},
		{"gauge falls", Trace{Kind: Gauge, T: []Float{1, 2}, V: []Float{2, 1}}, ""},
		{"counter stands", Trace{Kind: Counter, T: []Float{1, 2}, V: []Float{2, 2}}, ""},
		{"counter falls across a gap", Trace{Kind: Counter, T: []Float{1, 2, 3}, V: []Float{2, Absent(), 1}}, ""},
		{"counter falls", Trace{Kind: Counter, T: []Float{1, 2, 3}, V: []Float{1, 3, 2}}, "/runs/1/traces/1/v/2: the counter falls from 3 to 2"},
		{"time stands", Trace{Kind: Gauge, T: []Float{1, 2, 2}, V: []Float{1, 1, 1}}, "/runs/1/traces/1/t/2: 2 s does not come after 2 s"},
		{"time absent", Trace{Kind: Gauge, T: []Float{1, Absent()}, V: []Float{1, 1}}, "/runs/1/traces/1/t/1: null is no time"},
		{"lengths", Trace{Kind: Gauge, T: []Float{1}}, "/runs/1/traces/1: 1 times but 0 values"},
	} {
		t.Run(c.name, func(t *testing.T) {
			rec := session(2, 3)
			c.tr.Key = HostBusy
			rec.Runs[1].Traces[1] = c.tr
			_, err := Seal(rec)
			if c.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, "results: write record 01KDYBS1CY0000000000000000: "+c.want)

			// A file that says so is refused in the same words.
			var w writer
			require.NoError(t, w.encode(reflect.ValueOf(rec).Elem()))
			_, err = Read(bytes.NewReader(w.b), "some.json")
			require.ErrorContains(t, err, "results: read some.json: "+c.want)
		})
	}
}

func TestSealRefuses(t *testing.T) {
	for _, c := range []struct {
		want   string
		change func(*Record)
	}{
		{"/schema: version 0 is not written, only 2", func(r *Record) { r.Schema = 0 }},
		{"/runs/0/traces/7/v/2: +Inf cannot be recorded", func(r *Record) { r.Runs[0].Traces[7].V[2] = Float(math.Inf(1)) }},
		{"/summary/rows/0/metrics/power/value: -Inf cannot", func(r *Record) {
			r.Summary.Rows[0].Metrics[Power] = Figure{Value: Float(math.Inf(-1))}
		}},
		{"/node/memory: 9007199254740992 is no whole number", func(r *Record) { r.Node.Memory = 1 << 53 }},
		{`/state: "" is none of running, complete, interrupted`, func(r *Record) { r.State = "" }},
		{"/end: 12026-", func(r *Record) { r.End = r.End.AddDate(10000, 0, 0) }},
	} {
		rec := session(1, 3)
		c.change(rec)
		_, err := Seal(rec)
		require.ErrorContains(t, err, c.want)
	}
}

// TestSealNormalises: what JSON writes in two ways is written in one.
func TestSealNormalises(t *testing.T) {
	rec := session(1, 3)
	rec.Start = rec.Start.In(time.FixedZone("", 3600))
	rec.Node.Settings.Load = Float(math.Copysign(0, -1))
	rec.Node.Name = "bad \xff name"
	raw := sealed(t, rec)
	f, err := Load(bytes.NewReader(raw), "x")
	require.NoError(t, err)
	require.Empty(t, f.Verify())
	require.Contains(t, string(raw), `"start": "2026-01-02T03:04:05.678901234Z"`)
	require.Contains(t, string(raw), `"load":0}`)
	require.Equal(t, "bad \uFFFD name", f.Record.Node.Name)
	require.NotNil(t, f.Record.Kernels, "a list of none is a list")
}

func TestLayout(t *testing.T) {
	raw := string(sealed(t, session(30, 40)))
	lines := strings.Split(raw, "\n")
	columns := 0
	for _, line := range lines {
		if s := strings.TrimSpace(line); strings.HasPrefix(s, `"t": [`) || strings.HasPrefix(s, `"v": [`) {
			require.True(t, strings.HasSuffix(strings.TrimSuffix(s, ","), "]"), "a column is one line: %s", s)
			columns++
		} else {
			require.Less(t, len(line), 160, line)
		}
	}
	require.Equal(t, 30*8*2, columns)

	// Another value changes its own line and those of the digest.
	rec := session(30, 40)
	rec.Runs[3].Traces[7].V[5]++
	changed := 0
	for i, line := range strings.Split(string(sealed(t, rec)), "\n") {
		if line != lines[i] {
			changed++
		}
	}
	require.Equal(t, 3, changed)
}

// TestPublishSize: thirty runs of ten minutes stay below 10 MB. Runs do not
// share what they could be compressed by, so one is measured for thirty.
func TestPublishSize(t *testing.T) {
	const runs, of = 1, 30
	raw := sealed(t, session(runs, 6000))
	packed := Compress(raw)
	t.Logf("%d runs: %.1f MB of JSON, %.1f MB compressed", of, float64(len(raw))*of/runs/1e6, float64(len(packed))*of/runs/1e6)
	require.Less(t, len(raw)*of/runs, maxRecord/4)
	require.Less(t, len(packed)*of/runs, 10_000_000)
}

// TestBombs: what is far too large is refused, and before it has taken the
// memory that it asks for.
func TestBombs(t *testing.T) {
	const mib = 1 << 20
	frames := func(b byte, n int) []byte {
		return bytes.Repeat(Compress(bytes.Repeat([]byte{b}, mib)), n)
	}
	claims := func(size int, options ...zstd.EOption) []byte {
		z, err := zstd.NewWriter(nil, append(options, zstd.WithSingleSegment(true))...)
		require.NoError(t, err)
		frame := z.EncodeAll(bytes.Repeat([]byte{' '}, mib), nil)
		// RFC 8878: descriptor, then the content size in four bytes.
		require.EqualValues(t, 0xa0, frame[4]&0xe0, "a single segment whose size has four bytes")
		for i := range 4 {
			frame[5+i] = byte(size >> (8 * i))
		}
		return frame
	}
	wide := func() []byte {
		var b bytes.Buffer
		z, err := zstd.NewWriter(&b, zstd.WithWindowSize(2*maxWindow))
		require.NoError(t, err)
		_, err = z.Write(frames(' ', 1))
		require.NoError(t, err)
		require.NoError(t, z.Flush()) // the size is not known, so the window stays
		require.NoError(t, z.Close())
		return b.Bytes()
	}
	for _, c := range []struct {
		name string
		in   io.Reader
		want string
	}{
		{"a gigabyte of zeros", bytes.NewReader(frames(0, 1024)), "neither JSON nor zstd: it begins with byte 0x00"},
		{"a gigabyte of blanks", bytes.NewReader(frames(' ', 1024)), "larger than a record may be (2 MiB)"},
		{"a frame that claims a gigabyte", bytes.NewReader(claims(1 << 30)), "larger than a record may be (2 MiB)"},
		{"a wide window", bytes.NewReader(wide()), "the window is larger than 32 MiB: compress it with zstd -19 or less"},
		{"endless frames", io.MultiReader(bytes.NewReader(frames(' ', 1)), &skippable{}), "larger than a compressed record may be (1 MiB)"},
		{"not compressed", bytes.NewReader(bytes.Repeat([]byte{' '}, 3*mib)), "larger than a record may be (2 MiB)"},
		{"cut off", bytes.NewReader(frames(' ', 1)[:20]), "decompress: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, _, err := unpack(c.in, mib, 2*mib, &memory{})
			runtime.ReadMemStats(&after)
			require.ErrorContains(t, err, c.want)
			require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(64*mib))
		})
	}
	_, err := Read(bytes.NewReader(frames(0, 1024)), "bomb")
	require.EqualError(t, err, "results: read bomb: decompress: neither JSON nor zstd: it begins with byte 0x00")
}

// skippable is an endless source of zstd frames that hold nothing.
type skippable struct{ rest []byte }

func (s *skippable) Read(b []byte) (int, error) {
	if len(s.rest) == 0 {
		s.rest = append([]byte{0x50, 0x2a, 0x4d, 0x18, 0, 0, 1, 0}, make([]byte, 1<<16)...)
	}
	n := copy(b, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

func FuzzRead(f *testing.F) {
	for _, rec := range []*Record{session(1, 3), filled()} {
		raw := sealed(f, rec)
		f.Add(raw)
		f.Add(Compress(raw))
	}
	for _, s := range []string{``, `{}`, `{"schema":1}`, `{"schema":2}`, `{"schema":3}`, `{"a":[1,-0,1e21,1E-7,"\ud83d\ude00\u0000"],"€":{},"":null}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		verify(in)
		rec, err := Read(bytes.NewReader(in), "fuzz")
		if err != nil {
			return
		}
		raw := sealed(t, rec)
		file, err := Load(bytes.NewReader(raw), "again")
		require.NoError(t, err)
		require.Empty(t, file.Verify())
		require.Equal(t, string(raw), string(sealed(t, file.Record)))
	})
}

func benchmarkSizes(b *testing.B, f func(b *testing.B, rec *Record)) {
	b.Run("quick", func(b *testing.B) { f(b, session(30, 40)) })
	b.Run("publish", func(b *testing.B) { f(b, session(30, 6000)) })
}

func BenchmarkSeal(b *testing.B) {
	benchmarkSizes(b, func(b *testing.B, rec *Record) {
		for b.Loop() {
			b.SetBytes(int64(len(sealed(b, rec))))
		}
	})
}

func BenchmarkRead(b *testing.B) {
	benchmarkSizes(b, func(b *testing.B, rec *Record) {
		raw := sealed(b, rec)
		b.SetBytes(int64(len(raw)))
		for b.Loop() {
			if _, err := Read(bytes.NewReader(raw), ""); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkLoad reads a record and verifies its digest, as compare and report do.
func BenchmarkLoad(b *testing.B) {
	benchmarkSizes(b, func(b *testing.B, rec *Record) {
		raw := sealed(b, rec)
		b.SetBytes(int64(len(raw)))
		began := cpuTime(b)
		for b.Loop() {
			if f, err := Load(bytes.NewReader(raw), ""); err != nil || len(f.Verify()) > 0 {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(cpuTime(b)-began)/float64(b.N), "CPU-ns/op")
	})
}

func BenchmarkVerify(b *testing.B) {
	benchmarkSizes(b, func(b *testing.B, rec *Record) {
		raw := sealed(b, rec)
		b.SetBytes(int64(len(raw)))
		for b.Loop() {
			if ms, err := verify(raw); err != nil || len(ms) > 0 {
				b.Fatal(ms, err)
			}
		}
	})
}

func BenchmarkCompress(b *testing.B) {
	benchmarkSizes(b, func(b *testing.B, rec *Record) {
		raw := sealed(b, rec)
		b.SetBytes(int64(len(raw)))
		size := 0
		for b.Loop() {
			size = len(Compress(raw))
		}
		b.ReportMetric(float64(size), "B")
	})
}

// cpuTime is the CPU time of this process, in ns.
func cpuTime(b *testing.B) int64 {
	var u unix.Rusage
	require.NoError(b, unix.Getrusage(unix.RUSAGE_SELF, &u))
	return u.Utime.Nano() + u.Stime.Nano()
}
