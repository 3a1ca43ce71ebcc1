package miner

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// TestMalformed: what can mean one thing only is read, and all else is not.
func TestMalformed(t *testing.T) {
	for text, want := range map[string]string{ // at a, b
		`{"a":1,"b":"x"}`:                                "1 x",
		"{\"a\":1,\"b\":\"x\"}\x00":                      "1 x",
		"\x00\x01 {\"a\":1,\x02\"b\":\"x\"}\r\n\x00\x00": "1 x",
		`{,"a":1,,"b":"x",}`:                             "1 x",
		`{"a":1 "b":"x"}`:                                "1 x",
		`{"b":"x""a":1}`:                                 "1 x",
		`{"z":[{}{}{},{}],"a":1,"b":"x"}`:                "1 x",
		`{"z":[[],[][]],"a":1,"b":"x"}`:                  "1 x",
		`{"z":["110":"when"],"a":1,"b":"x"}`:             "1 x",
		`{"z":["1":{} "2":[],],"a":1,"b":"x"}`:           "", // a text follows an object in a list
		`{"z":nan,"y":-inf,"a":1,"b":"x"}`:               "1 x",
		"{\"a\":1,\"b\":\"x\ny\x00\t\"}":                 "1 x y",
		"{\"a\":1,\"b\":\"x\xff\"}":                      "1 x\uFFFD",
		`{"a":1,"b":"\u0041\ud83d\ude00\\\/\""}`:         `1 A😀\/"`,
		`{"a":1,"b":"\ud83dx\u00g0\q\u0000"}`:            "1 \uFFFDx\\u00g0\\q",
		`{"a":1,"b":"'x'"}`:                              "1 x",
		`{"a":1,"a":1,"b":"x"}`:                          "1 x",
		`{"a":1,"a":2,"b":"x"}`:                          " x", // twice, and not the same
		`{"a":[1],"b":{"c":2}}`:                          " ",
		`{"a":null,"b":"N/A"}`:                           " ",
		`{"a":"-","b":" -- "}`:                           " ",
		`{"a":1,"b":"x"`:                                 "",
		`{"a":1,"b":"x`:                                  "",
		`{"a":1,"b":`:                                    "",
		`{"a":1,"b":tru`:                                 "",
		`{"a":1,"b":"x"}}`:                               "",
		`{"a":1,"b":"x"}{"a":2}`:                         "",
		`{"a":1,"b":"say "x" now"}`:                      "",
		`{"z":[1 2],"a":1,"b":"x"}`:                      "",
		`{"z":["1""2"],"a":1,"b":"x"}`:                   "",
		`{"z":[1:2],"a":1,"b":"x"}`:                      "",
		`{"a" 1,"b":"x"}`:                                "",
		`{a:1,"b":"x"}`:                                  "",
		`{"a":1;"b":"x"}`:                                "1; x",
		`{"a":,"b":"x"}`:                                 "",
		`{"a":1,"b":"x"]`:                                "",
		`,"id":1}`:                                       "",
		`"x"`:                                            "",
		`1`:                                              "",
		``:                                               "",
		"\x00":                                           "",
		"STATUS=E":                                       "",
	} {
		v, err := Parse([]byte(text))
		if want == "" {
			require.Error(t, err, text)
			continue
		}
		require.NoError(t, err, text)
		require.Equal(t, want, v.At("a").Text()+" "+v.At("b").Text(), text)
	}
	_, err := Parse([]byte(`{"a":[1,2`))
	require.ErrorIs(t, err, errCut)
	require.ErrorContains(t, err, "after 9 bytes")
}

// TestLimits: what costs more than it can be worth ends early.
func TestLimits(t *testing.T) {
	for text, want := range map[string]string{
		"{" + strings.Repeat(" ", MaxAnswer): "longer than",
		strings.Repeat("[", 100):             "nested deeper",
		strings.Repeat(`{"a":`, 100):         "nested deeper",
		"[" + strings.Repeat("0,", 60_000):   "more than 50000 values",
	} {
		_, err := Parse([]byte(text))
		require.ErrorContains(t, err, want)
	}
	deep := strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth)
	_, err := Parse([]byte(deep))
	require.NoError(t, err)
}

func TestAt(t *testing.T) {
	v, err := Parse([]byte(`{"l":[{"x":1},[2]],"o":{"x":{"y":3}},"d":{"x":1},"d":{"x":1},"e":[1],"e":[2]}`))
	require.NoError(t, err)
	for want, path := range map[string][]any{"1": {"l", 0, "x"}, "2": {"l", 1, 0}, "3": {"o", "x", "y"}, "1 ": {"d", "x"}} {
		require.Equal(t, strings.TrimSpace(want), v.At(path...).Text())
	}
	for _, path := range [][]any{{"l", 2}, {"l", "x"}, {"o", 0}, {"none"}, {"o", "x", "y", "z"}, {"e", 0}, {"l", 0, "x", 0}} {
		require.True(t, v.At(path...).Absent(), path)
	}
	require.Equal(t, []string{"l", "o", "d", "e"}, v.Names())
	_, _, err = v.At("e").Number("")
	require.ErrorContains(t, err, "more than once")
}

func TestNumber(t *testing.T) {
	for text, want := range map[string]float64{`1.5`: 1.5, `"1.5"`: 1.5, `"58.94W"`: 58.94, `"58.94 w"`: 58.94, `" 7 "`: 7, `-1e3`: -1000, `0`: 0} {
		v, err := Parse([]byte(`{"a":` + text + `}`))
		require.NoError(t, err, text)
		n, said, err := v.At("a").Number("W")
		require.NoError(t, err, text)
		require.True(t, said)
		require.Equal(t, want, n, text)
	}
	for _, text := range []string{`"1 V"`, `"W"`, `"1,5"`, `"0x10"`, `"inf"`, `nan`, `true`, `1e999`, `"1W W"`, `[1]`, `{}`, `"1e400"`, `1_000`} {
		v, err := Parse([]byte(`{"a":` + text + `}`))
		require.NoError(t, err, text)
		_, said, err := v.At("a").Number("W")
		require.Error(t, err, text)
		require.False(t, said)
	}
	for _, text := range []string{`null`, `""`, `"N/A"`, `"-"`} {
		v, err := Parse([]byte(`{"a":` + text + `}`))
		require.NoError(t, err, text)
		_, said, err := v.At("a").Number("W")
		require.NoError(t, err, text)
		require.False(t, said, text)
	}
}

func TestWord(t *testing.T) {
	for in, want := range map[string]string{
		"  a\x1b[2J\r\nb\u009b ": "a [2J  b", "é\xff": "é\uFFFD", "a\x00\u00a0b\x00": "a  b", "a\u202Eb": "a\uFFFDb", "": "", strings.Repeat("a", 128): strings.Repeat("a", 128), strings.Repeat("a", 129): strings.Repeat("a", 125) + "…",
		strings.Repeat("é", 100): strings.Repeat("é", 62) + "…",
	} {
		require.Equal(t, want, Word(in))
	}
}

// FuzzParse: whatever is JSON is read as encoding/json reads it, and whatever
// is not is read or refused within limits.
func FuzzParse(f *testing.F) {
	for _, s := range []string{`{"a":[1,{"b":"\u0041"}],"a":null}`, `{"a":1}{}`, "{\"a\":\"\x00\"}\x00", `[{}{}]`, `{"a":nan}`, `["1":2]`, `{"a":"\ud800"}`, `{"":-0.0e+1}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		v, err := Parse(raw)
		if err != nil {
			if utf8.Valid(raw) {
				require.True(t, utf8.ValidString(err.Error()))
			}
			require.Less(t, len(err.Error()), 400)
			require.False(t, strings.ContainsFunc(err.Error(), unicode.IsControl), err)
		}
		var want any
		if json.Unmarshal(raw, &want) != nil {
			return
		}
		switch want.(type) {
		case map[string]any, []any:
		default:
			return
		}
		if err != nil {
			require.Contains(t, err.Error(), "nested deeper")
			return
		}
		agree(t, v, want)
	})
}

// agree compares with what encoding/json made of it. A name that is there
// twice, and texts with control bytes, are read otherwise on purpose.
func agree(t *testing.T, v Value, want any) {
	switch want := want.(type) {
	case map[string]any:
		require.Equal(t, object, v.kind)
		for name, item := range want {
			if strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == utf8.RuneError }) {
				continue
			}
			if got := v.At(name); got.kind != twice {
				agree(t, got, item)
			}
		}
	case []any:
		require.Len(t, v.Items(), len(want))
		for i, item := range want {
			agree(t, v.At(i), item)
		}
	case string:
		if !strings.ContainsFunc(want, func(r rune) bool { return r < ' ' || r == utf8.RuneError }) {
			require.Equal(t, want, v.Whole())
		}
	case float64:
		n, said, err := v.Number("")
		if err == nil {
			require.True(t, said)
			require.Equal(t, want, n)
		}
	case bool:
		require.Equal(t, map[bool]string{true: "true", false: "false"}[want], v.text)
	case nil:
		require.True(t, v.Absent())
	}
}

// BenchmarkParse is what the longest answer costs that is taken in: one of a
// device that wants to keep its reader busy.
func BenchmarkParse(b *testing.B) {
	for name, text := range map[string]string{
		"summary": `{"STATUS":[{"STATUS":"S","When":1,"Code":11,"Msg":"Summary"}],"SUMMARY":[{"Elapsed":7200,"GHS 5s":104210.55,"GHS av":103000.00,"Accepted":2590,"Difficulty Accepted":169738240.00000000}],"id":1}`,
		"names":   "{" + strings.Repeat(`"a":1,`, 49_000) + "}",
		"text":    `{"a":"` + strings.Repeat("x", MaxAnswer-8) + `"}`,
		"lists":   "[" + strings.Repeat("[]", 49_000) + "]",
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				if _, err := Parse([]byte(text)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
