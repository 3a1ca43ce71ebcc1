package results

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results/schema"
)

// schemaOf is the part of JSON Schema that the schema of a record uses.
type schemaOf struct {
	Ref                  string               `json:"$ref"`
	Type                 any                  `json:"type"`
	Enum                 []string             `json:"enum"`
	Const                any                  `json:"const"`
	Required             []string             `json:"required"`
	Properties           map[string]*schemaOf `json:"properties"`
	AdditionalProperties *schemaOf            `json:"additionalProperties"`
	Items                *schemaOf            `json:"items"`
	Defs                 map[string]*schemaOf `json:"$defs"`
}

// TestSchemaMatchesTypes walks the Go types and the schema together.
func TestSchemaMatchesTypes(t *testing.T) {
	var root schemaOf
	require.NoError(t, json.Unmarshal(schema.Record(), &root))
	met := map[string]bool{}
	var match func(at string, typ reflect.Type, s *schemaOf)
	match = func(at string, typ reflect.Type, s *schemaOf) {
		require.NotNil(t, s, at)
		if name, ok := strings.CutPrefix(s.Ref, "#/$defs/"); ok {
			if s = root.Defs[name]; met[name] {
				return
			}
			met[name] = true
			require.NotNil(t, s, at)
		}
		if words, closed := enums[typ]; closed {
			require.ElementsMatch(t, words, s.Enum, at)
			return
		}
		switch typ {
		case floatType, saidType:
			if s.Type != "number" { // where null has no meaning
				require.Equal(t, []any{"number", "null"}, s.Type, at)
			}
			return
		case timeType:
			require.Equal(t, "string", s.Type, at)
			return
		}
		switch typ.Kind() {
		case reflect.Pointer:
			match(at, typ.Elem(), s)
		case reflect.Struct:
			require.Equal(t, "object", s.Type, at)
			var names, required []string
			for _, m := range membersOf(typ) {
				field := typ.FieldByIndex(m.index)
				names = append(names, m.name)
				if !m.optional {
					required = append(required, m.name)
				}
				require.Regexp(t, `^[a-z0-9_]+$`, m.name, "%s.%s", typ, field.Name)
				require.False(t, m.optional && field.Type == floatType, "%s.%s: a figure of zero would be left out", typ, field.Name)
				require.False(t, !m.optional && field.Type.Kind() == reflect.Pointer, "%s.%s: nil cannot be written", typ, field.Name)
				match(at+"/"+m.name, field.Type, s.Properties[m.name])
			}
			require.ElementsMatch(t, names, slices.Collect(maps.Keys(s.Properties)), at)
			require.ElementsMatch(t, required, s.Required, at)
		case reflect.Map:
			require.Equal(t, "object", s.Type, at)
			match(at+"/*", typ.Elem(), s.AdditionalProperties)
		case reflect.Slice:
			require.Equal(t, "array", s.Type, at)
			match(at+"/*", typ.Elem(), s.Items)
		case reflect.String:
			if s.Const == nil && s.Enum == nil {
				require.Equal(t, "string", s.Type, at)
			}
		case reflect.Bool:
			require.Equal(t, "boolean", s.Type, at)
		case reflect.Int, reflect.Int64, reflect.Uint32:
			if s.Const == nil {
				require.Equal(t, "integer", s.Type, at)
			}
		default:
			t.Fatalf("%s: a %s in a record", at, typ)
		}
	}
	match("", reflect.TypeFor[Record](), &root)
	require.ElementsMatch(t, slices.Collect(maps.Keys(root.Defs)), slices.Collect(maps.Keys(met)), "every definition is used")
	require.EqualValues(t, SchemaVersion, root.Properties["schema"].Const)
	require.Equal(t, digestForm, root.Defs["Digest"].Properties["form"].Const)
	require.Equal(t, []string{PhaseSettle, PhasePrepare, PhaseTarget, PhaseWarmup, PhaseMeasure, PhaseCool}, root.Defs["Phase"].Properties["name"].Enum)
}

func compiled(t *testing.T) *jsonschema.Schema {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema.Record()))
	require.NoError(t, err)
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	require.NoError(t, c.AddResource("record.schema.json", doc))
	s, err := c.Compile("record.schema.json")
	require.NoError(t, err)
	return s
}

// written returns a record as JSON values.
func written(t *testing.T, rec *Record) any {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(sealed(t, rec)))
	require.NoError(t, err)
	return doc
}

func TestSchemaAcceptsWhatIsWritten(t *testing.T) {
	s := compiled(t)
	require.NoError(t, s.Validate(written(t, filled())))
	require.NoError(t, s.Validate(written(t, session(2, 5))))
	golden, err := ReadFile(fmt.Sprintf("testdata/record-v%d.json", SchemaVersion))
	require.NoError(t, err)
	require.NoError(t, s.Validate(written(t, golden)))
	for _, u := range []Unit{Hash, Share, Sample, FLOP, Byte, Step, Joule, Watt, Second, Hertz, Kelvin, Ratio} {
		for _, u := range []Unit{u, u.Per(Second), u.Per(Joule)} {
			rec := session(1, 1)
			rec.Runs[0].Traces[0].Unit = u
			if err := s.Validate(written(t, rec)); u == Ratio.Per(Second) || u == Ratio.Per(Joule) {
				require.Error(t, err, u)
			} else {
				require.NoError(t, err, u)
			}
		}
	}
}

// TestSchemaRefusesMutations changes a complete record at each of its members:
// a value of another type is refused, so is a required member's absence; an
// optional one may go, and an unknown one may come.
func TestSchemaRefusesMutations(t *testing.T) {
	if testing.Short() {
		t.Skip("one goroutine computes for a long time: in the full form only")
	}
	s := compiled(t)
	doc := written(t, filled())
	refused := func(at, what string) { require.Error(t, s.Validate(doc), "%s: %s", at, what) }
	accepted := func(at, what string) { require.NoError(t, s.Validate(doc), "%s: %s", at, what) }
	var mutate func(at string, typ reflect.Type, v any, set func(any))
	mutate = func(at string, typ reflect.Type, v any, set func(any)) {
		other := any("no number, list or object")
		if _, ok := v.(string); ok {
			other = true
		}
		set(other)
		refused(at, "another type")
		set(v)
		if _, closed := enums[typ]; closed {
			set("bad")
			refused(at, "no such word")
			set(v)
		}
		switch v := v.(type) {
		case map[string]any:
			if typ.Kind() == reflect.Pointer {
				typ = typ.Elem()
			}
			if typ.Kind() == reflect.Map {
				for key, e := range v {
					mutate(at+"/"+key, typ.Elem(), e, func(e any) { v[key] = e })
				}
				return
			}
			v["unknown"] = "member"
			accepted(at, "unknown member")
			delete(v, "unknown")
			for _, m := range membersOf(typ) {
				e, ok := v[m.name]
				require.True(t, ok, "%s/%s is not set", at, m.name)
				delete(v, m.name)
				if m.optional {
					accepted(at+"/"+m.name, "left out")
				} else {
					refused(at+"/"+m.name, "left out")
				}
				v[m.name] = e
				mutate(at+"/"+m.name, typ.FieldByIndex(m.index).Type, e, func(e any) { v[m.name] = e })
			}
		case []any:
			require.NotEmpty(t, v, at)
			first := v[0]
			mutate(fmt.Sprintf("%s/0", at), typ.Elem(), first, func(e any) { v[0] = e })
		}
	}
	mutate("", reflect.TypeFor[Record](), doc, func(v any) { doc = v })

	for _, c := range []struct{ at, is, not string }{
		{"id", `"01KDYBS1CY0000000000000000"`, `"01kdybs1cy0000000000000000"`},
		{"start", `"2026-01-02T03:04:05Z"`, `"2026-01-02T03:04:05+01:00"`},
		{"end", `"2026-01-02T03:04:05.5Z"`, `"2026-13-02T03:04:05Z"`},
		{"schema", `2`, `3`},
	} {
		m := doc.(map[string]any)
		was := m[c.at]
		for _, text := range []string{c.is, c.not} {
			v, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
			require.NoError(t, err)
			m[c.at] = v
			require.Equal(t, text == c.is, s.Validate(doc) == nil, text)
		}
		m[c.at] = was
	}
	for _, u := range []string{"", "kWh", "J/TH", "hash/s/s", "GH/s", "w"} {
		rec := session(1, 1)
		rec.Runs[0].Traces[0].Unit = Unit(u)
		require.Error(t, s.Validate(written(t, rec)), u)
	}
}
