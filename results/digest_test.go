package results

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/gowebpki/jcs"
	"github.com/stretchr/testify/require"
)

// span is a stretch of a file and the part it belongs to.
type span struct {
	from, to int
	part     string
	digest   bool // states the digest of the part
}

// spans finds the parts of a sealed record by the standard library's tokens
// and, inside the digest, by lines: each states one part.
func spans(t *testing.T, raw []byte) (out []span) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	token := func() json.Token {
		tok, err := dec.Token()
		require.NoError(t, err)
		return tok
	}
	value := func(part string) {
		from := int(dec.InputOffset())
		var v json.RawMessage
		require.NoError(t, dec.Decode(&v))
		out = append(out, span{from, int(dec.InputOffset()), part, false})
	}
	require.Equal(t, json.Delim('{'), token())
	for dec.More() {
		switch key := token().(string); key {
		case "runs":
			token()
			for i := 0; dec.More(); i++ {
				value(fmt.Sprintf("/runs/%d", i))
			}
			token()
		case "digest":
			value("")
			digest := out[len(out)-1]
			out = out[:len(out)-1]
			named := regexp.MustCompile(`"(form|record|/[a-z0-9_/]+)":`)
			for at := digest.from; at < digest.to; {
				n := bytes.IndexByte(raw[at:], '\n') + 1
				if m := named.FindSubmatch(raw[at : at+n]); m != nil {
					part := string(m[1])
					if part[0] != '/' {
						part = "/digest/" + part
					}
					out = append(out, span{at, at + n, part, true})
				}
				at += n
			}
		default:
			value("/" + key)
		}
	}
	return out
}

// TestEveryDigitCounts changes every digit of a record, and expects the change
// to be found in the part that holds the digit.
func TestEveryDigitCounts(t *testing.T) {
	raw := sealed(t, session(2, 2))
	parts := spans(t, raw)
	changed := 0
	for i, c := range raw {
		if !isDigit(c) {
			continue
		}
		at := slices.IndexFunc(parts, func(s span) bool { return s.from <= i && i < s.to })
		require.GreaterOrEqual(t, at, 0, "byte %d belongs to a part", i)
		part, digest := parts[at].part, parts[at].digest
		bad := bytes.Clone(raw)
		bad[i] = '0' + (c-'0'+byte(1+i%9))%10
		changed++
		ms, err := verify(bad)
		found := slices.ContainsFunc(ms, func(m Mismatch) bool { return m.At == part || strings.HasPrefix(m.At, part+"/") })
		if err != nil { // no longer JSON, a number out of range, a part stated twice
			found = strings.Contains(err.Error(), part) || digest && strings.Contains(err.Error(), "/digest/parts/")
		}
		if !found {
			t.Fatalf("byte %d of %s, %c for %c in %q: %v %v", i, part, bad[i], c, raw[max(0, i-20):i+20], ms, err)
		}
	}
	require.Greater(t, changed, 1200)
}

func TestVerify(t *testing.T) {
	raw := string(sealed(t, session(2, 3)))
	ms, err := verify([]byte(raw))
	require.NoError(t, err)
	require.Empty(t, ms)

	withoutSecondRun := func() string {
		from := strings.LastIndex(raw[:strings.Index(raw, `"round": 2`)], ",\n\t\t{")
		return raw[:from] + raw[strings.Index(raw, "\n\t],\n\t\"summary\""):]
	}()
	for _, c := range []struct{ name, text, at, want string }{
		{"white space", strings.ReplaceAll(raw, "\n", "\n \t"), "", ""},
		{"escape", strings.Replace(raw, `"name": "node"`, `"name": "n\u006fde"`, 1), "", ""},
		{"order of members", strings.Replace(raw, `"ok":true`, `"ok":true,"ok2":1`, 1), "/runs/0", "altered"},
		{"altered", strings.Replace(raw, `"name": "node"`, `"name": "mode"`, 1), "/node", "altered: its digest is "},
		{"unknown member", strings.Replace(raw, `"tool":`, `"a/b~c": {}, "tool":`, 1), "/a~1b~0c", "added"},
		{"run removed", withoutSecondRun, "/runs/1", "missing: the digest knows this part"},
		{"no list of runs", strings.Replace(raw, `"runs": [`, `"runs": {}, "ruins": [`, 1), "/runs", "added"},
		{"same number, other digits", strings.Replace(raw, `"load":0.25`, `"load":0.250`, 1), "/node/settings/load", "altered: the number 0.250 should be written 0.25"},
		{"rounds to the same number", strings.Replace(raw, `"load":0.25`, `"load":0.25000000000000000001`, 1), "/node/settings/load", "should be written 0.25"},
		{"exponent", strings.Replace(raw, `"high":1e-9`, `"high":1E-9`, 1), "/summary/rows/0/metrics/power/high", "should be written 1e-9"},
		{"negative zero", strings.Replace(raw, `"n":2,"instrument":0`, `"n":2,"instrument":-0`, 1), "/summary/rows/0/metrics/power/instrument", "-0 should be written 0"},
		{"stranger in the digest", strings.Replace(raw, `"form": "sha`, `"note": "", "form": "sha`, 1), "/digest/note", "added"},
		{"other form", strings.Replace(raw, `"sha256-jcs-parts"`, `"md5"`, 1), "/digest/form", `"md5" is not known here`},
		{"no digest", raw[:strings.LastIndex(raw, ",\n\t\"digest\"")] + "}", "/digest", "missing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			require.NotEqual(t, raw, c.text)
			require.True(t, json.Valid([]byte(c.text)))
			ms, err := verify([]byte(c.text))
			require.NoError(t, err)
			if c.at == "" {
				require.Empty(t, ms)
				return
			}
			i := slices.IndexFunc(ms, func(m Mismatch) bool { return m.At == c.at })
			require.GreaterOrEqual(t, i, 0, "%v", ms)
			require.Contains(t, ms[i].Text, c.want)
		})
	}

	_, err = verify([]byte(raw[:100]))
	require.ErrorContains(t, err, "results: verify record: ")
	bad := File{Raw: []byte(`{"digest": 1}`)}
	require.Contains(t, fmt.Sprint(bad.Verify()), "/digest: expected an object, found a number")
	require.NotContains(t, Mismatch{"/a\x1b[31m", "b\n"}.String(), "\x1b")
}

// TestCanonicalForm compares the canonical form with that of another
// implementation, over values that are drawn to be awkward.
func TestCanonicalForm(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	words := []string{"", "a", "A", "aa", "é", "€", "\u0080", "\ufb33", "😀", "\x00", "\x1f", "\x7f", "\"\\/\b\f\n\r\t", "<&>\u2028", "1", "10", "2"}
	numbers := []float64{0, 1, -1, 1e20, 1e21, -1e21, 123456789012345680000, 1e-6, 1e-7, -1.5e-9, 1e-10, 5e-324, math.MaxFloat64, 1 << 53, 0.1, 1.0 / 3}
	var draw func(depth int) any
	draw = func(depth int) any {
		switch k := rnd.IntN(7); {
		case k == 0 && depth > 0:
			list := []any{}
			for range rnd.IntN(4) {
				list = append(list, draw(depth-1))
			}
			return list
		case k <= 2 && depth > 0:
			object := map[string]any{}
			for range rnd.IntN(6) {
				object[words[rnd.IntN(len(words))]] = draw(depth - 1)
			}
			return object
		case k == 3:
			return words[rnd.IntN(len(words))]
		case k == 4:
			return []any{nil, true, false}[rnd.IntN(3)]
		case k == 5:
			return numbers[rnd.IntN(len(numbers))]
		}
		if f := math.Float64frombits(rnd.Uint64()); !math.IsNaN(f) && !math.IsInf(f, 0) {
			return f
		}
		return 1
	}
	for range 5000 {
		value := draw(5)
		in, err := json.MarshalIndent(value, "", " ")
		require.NoError(t, err)
		require.True(t, compareCanonical(t, in), "%s", in)
		in, err = json.Marshal(value) // columns without white space
		require.NoError(t, err)
		require.True(t, compareCanonical(t, in), "%s", in)
	}
}

// TestNumbers compares how decimals are read with strconv: around the shortest ones of random
// numbers and of such whose neighbours are as far on one side as on the other, or are not.
func TestNumbers(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	known, long := 0, 0
	check := func(lit string) {
		f, err := strconv.ParseFloat(lit, 64)
		require.NoError(t, err)
		n, length := scanNumber([]byte(lit))
		require.Equal(t, len(lit), length, lit)
		got, canonical := n.read()
		want := string(appendFloat(nil, f)) == lit
		if canonical || n.plain {
			require.Equal(t, math.Float64bits(f), math.Float64bits(got), lit)
			require.False(t, canonical && !want, lit)
		}
		if n.long && want {
			if long++; canonical {
				known++
			}
		}
	}
	for i := range 30_000 {
		f := (1 + rnd.Float64()) * math.Ldexp(1, rnd.IntN(70)-20)
		switch i % 4 {
		case 0: // beside a power of two
			f = math.Float64frombits(math.Float64bits(math.Ldexp(1, rnd.IntN(60)-10)) + rnd.Uint64N(5) - 2)
		case 1: // sums, as counters have them
			f = float64(rnd.IntN(1e6))*0.1 + 0.05
		}
		lit := strconv.FormatFloat(f, 'f', -1, 64)
		check(lit)
		check("-" + lit)
		check(strconv.FormatFloat(f, 'f', rnd.IntN(20), 64))
		near := []byte(lit)
		if last := &near[len(near)-1]; *last > '0' && *last < '9' {
			*last += byte(2*rnd.IntN(2)) - 1
		}
		check(string(near))
		check(lit[:len(lit)-1] + "0")
	}
	require.Greater(t, long, 15_000)
	require.Greater(t, known, long*9/10, "most are read here")
}

// compareCanonical requires that what is read here as strict JSON is so
// elsewhere, and has the same canonical form.
func compareCanonical(t *testing.T, in []byte) (read bool) {
	t.Helper()
	x := &text{raw: in, emit: true}
	err := cmp.Or(x.walk((*text).skip), x.err)
	got := bytes.Clone(x.canon)
	if d := jsontext.NewDecoder(bytes.NewReader(in)); err == nil {
		_, err := d.ReadValue()
		require.NoError(t, err, "%q", in)
		_, err = d.ReadToken()
		require.Equal(t, io.EOF, err, "%q", in)
	} else if !slices.ContainsFunc([]string{"out of range", "nested deeper", "a string is longer", "members"}, func(limit string) bool { return strings.Contains(err.Error(), limit) }) {
		_, first := d.ReadValue()
		_, second := d.ReadToken()
		require.False(t, first == nil && second == io.EOF, "%q: %v", in, err)
	}
	if err != nil {
		require.NotEmpty(t, err.Error())
		return false
	}
	require.True(t, json.Valid(in), "%q", in)
	want, err := jcs.Transform(in)
	require.NoError(t, err, "%q", in)
	require.Equal(t, string(want), string(got))
	require.NoError(t, walk(in, (*text).skip))

	out, rest := layout(nil, got, 0)
	require.Empty(t, rest)
	var compact bytes.Buffer
	require.NoError(t, json.Compact(&compact, out))
	require.Equal(t, string(got), compact.String(), "layout adds white space only")
	return true
}

// TestStrict changes bytes of a record: it is read where jsontext reads it, which
// enforces RFC 7493, and then has the canonical form that it has elsewhere.
func TestStrict(t *testing.T) {
	rnd, raw := rand.New(rand.NewPCG(7, 4)), sealed(t, session(1, 2))
	read, refused := 0, 0
	for range 1000 {
		in := bytes.Clone(raw)
		const alphabet = "\"\\{}[]:,0123456789.-+eEtrufalsn /d8\x00\x1f\x7f\x80\xc0\xed\xf4\xff"
		for range 1 + rnd.IntN(2) {
			in[rnd.IntN(len(in))] = alphabet[rnd.IntN(len(alphabet))]
		}
		if compareCanonical(t, in) {
			read++
		} else {
			refused++
		}
	}
	require.Greater(t, min(read, refused), 100)
}

func FuzzCanonicalForm(f *testing.F) {
	for _, s := range []string{`{"t":[0.25,null,-1e-7],"v": [1,1.50,01]}`, `{"€":{"b":[1,-0.0,1E21],"a":null},"\ud83d\ude00":"\u0000\/"}`, ` [ true , [] , {} ] `, `"\ud800"`, `1e999`, `[1,]`, `-`, "\"\xff\""} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) { compareCanonical(t, in) })
}

func TestCheck(t *testing.T) {
	row := func(scenario string, power Float) Row {
		return Row{RowKey: RowKey{Scenario: scenario, Use: scenario, Impl: "generic", Role: Alone}, Metrics: map[string]Figure{
			Power: {Value: power, Low: Absent(), High: Absent(), Unit: Watt, N: 3, Reason: Reason{Why: "prose"}, Provenance: Provenance{Instrument: 0.01}},
		}}
	}
	summary := func() Summary {
		return Summary{
			Rows:   []Row{row("idle", 50), row("mining", 100), row("training", 80)},
			Yields: []Yield{{RowKey: RowKey{Scenario: "mining", Use: "mining"}, PerKWh: Figure{Value: 3.6e6}}},
			Flags:  []Warning{{Code: "not-steady", Text: "range 2.1 %", Run: "mining/1"}, {Code: "not-steady", Text: "range 3.0 %", Run: "mining/2"}},
		}
	}
	with := func(change func(*Summary)) Summary {
		s := summary()
		change(&s)
		return s
	}
	for _, c := range []struct {
		name    string
		derived Summary
		want    []Mismatch
	}{
		{"the same", summary(), nil},
		{"fused arithmetic", with(func(s *Summary) { s.Rows[1] = row("mining", 100+1e-8) }), nil},
		{"prose", with(func(s *Summary) { s.Flags[0].Text = "range 2.2 %" }), nil},
		{"order", with(func(s *Summary) { slices.Reverse(s.Rows) }), nil},
		{"a figure", with(func(s *Summary) { s.Rows[1] = row("mining", 101) }), []Mismatch{
			{"/summary/rows/1/metrics/power/value", "mining mining generic alone metrics power value: the record states 100, its traces give 101"}}},
		{"a figure absent", with(func(s *Summary) { s.Rows[1] = row("mining", Absent()) }), []Mismatch{
			{"/summary/rows/1/metrics/power/value", "mining mining generic alone metrics power value: the record states 100, its traces give NaN"}}},
		{"a figure infinite", with(func(s *Summary) { s.Yields[0].PerKWh.Value = Float(math.Inf(1)) }), []Mismatch{
			{"/summary/yields/0/per_kwh/value", "mining mining per_kwh value: the record states 3.6e+06, its traces give +Inf"}}},
		{"a unit", with(func(s *Summary) { s.Yields[0].PerKWh.Unit = Hash }), []Mismatch{
			{"/summary/yields/0/per_kwh/unit", "mining mining per_kwh unit: the record states , its traces give hash"}}},
		{"a metric too few", with(func(s *Summary) { delete(s.Rows[0].Metrics, Power) }), []Mismatch{
			{"/summary/rows/0/metrics/power", "idle idle generic alone metrics power: the record states it, its traces do not give it"}}},
		{"a metric too many", with(func(s *Summary) { s.Rows[0].Metrics[Energy] = Figure{} }), []Mismatch{
			{"/summary/rows/0/metrics/energy", "idle idle generic alone metrics energy: its traces give it, the record does not state it"}}},
		{"a row less", with(func(s *Summary) { s.Rows = s.Rows[1:] }), []Mismatch{
			{"/summary/rows/0", "idle idle generic alone: the record states it, its traces do not give it"}}},
		{"a row more", with(func(s *Summary) { s.Rows = append(s.Rows, row("mullet", 1)) }), []Mismatch{
			{"/summary/rows", "mullet mullet generic alone: its traces give it, the record does not state it"}}},
		{"a flag less", with(func(s *Summary) { s.Flags = s.Flags[:1] }), []Mismatch{
			{"/summary/flags/1", "not-steady mining/2: the record states it, its traces do not give it"}}},
		{"cost of a co-run", with(func(s *Summary) { s.CoRunCost = &CoRunCost{} }), []Mismatch{
			{"/summary/co_run_cost", "co_run_cost: its traces give it, the record does not state it"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := File{Record: &Record{Summary: summary()}}
			require.Equal(t, c.want, f.Check(c.derived))
		})
	}
}

// TestCheckDerived: what is derived, sealed and read again checks out.
func TestCheckDerived(t *testing.T) {
	rec := newWorld().record()
	rec.Schema, rec.State = SchemaVersion, Complete
	rec.Summary = Derive(rec)
	require.NotEmpty(t, rec.Summary.Rows)
	f, err := Load(bytes.NewReader(sealed(t, rec)), "x")
	require.NoError(t, err)
	require.Empty(t, f.Check(Derive(f.Record)))

	for _, tr := range f.Record.Runs[1].Traces {
		for k := range tr.V {
			tr.V[k] *= 1.001
		}
	}
	require.NotEmpty(t, f.Check(Derive(f.Record)))
}
