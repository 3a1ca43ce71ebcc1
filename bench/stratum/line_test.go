package stratum

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParse(t *testing.T) {
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for line, want := range map[string]struct {
		id, method string
		params     []string
	}{
		`{"id":1,"method":"a","params":[]}`:                                     {"1", `"a"`, nil},
		` { "id" : "x y" , "method" : "a" , "params" : [ "b" , 1.5e-3 , {} ] }`: {`"x y"`, `"a"`, []string{`"b"`, `1.5e-3`, `{}`}},
		`{"method":"a"}`:                                        {"null", `"a"`, nil},
		`{"id":null,"method":"a","params":null}`:                {"null", `"a"`, nil},
		`{"id":0,"id":-7,"method":"a","method":"b"}`:            {"-7", `"b"`, nil},
		`{"params":[1],"params":[2,3],"method":"a"}`:            {"null", `"a"`, []string{"2", "3"}},
		`{"id":5,"result":true,"error":null}`:                   {"5", "", nil},
		`{"method":"a","params":[` + deep(maxDepth-1) + `]}`:    {"null", `"a"`, []string{deep(maxDepth - 1)}},
		`{"method":"a","jsonrpc":"2.0","params":["é\u00e9\n"]}`: {"null", `"a"`, []string{`"é\u00e9\n"`}},
	} {
		var r request
		require.NoError(t, r.parse([]byte(line)), line)
		require.Equal(t, want.id, string(r.id), line)
		require.Equal(t, want.method, string(r.method), line)
		require.Equal(t, len(want.params), r.n, line)
		for i, p := range want.params {
			require.Equal(t, p, string(r.params[i]), line)
		}
	}
	for _, line := range []string{
		"", "{", "}", "[]", "null", `"a"`, "{}", `{"id":1}`, `{"method":1}`, `{"method":null}`, `{"method":"a","params":{}}`, `{"method":"a","params":"b"}`,
		`{"id":true,"method":"a"}`, `{"id":[1],"method":"a"}`, `{"id":{},"method":"a"}`, `{"id":"` + strings.Repeat("x", maxID) + `","method":"a"}`,
		`{"method":"a",}`, `{"method":"a"}}`, `{"method":"a"} x`, `{'method':'a'}`, `{"method":"a" "id":1}`, `{"id":01,"method":"a"}`, `{"id":1.,"method":"a"}`,
		`{"id":+1,"method":"a"}`, `{"id":1e,"method":"a"}`, `{"id":.5,"method":"a"}`, `{"id":--1,"method":"a"}`, `{"id":NaN,"method":"a"}`, "{\"method\":\"a\x01\"}", `{"method":"\x"}`, `{"method":"\u12g4"}`,
		`{"method":"a","params":[` + deep(maxDepth) + `]}`, `{"x":` + deep(2000) + `,"method":"a"}`,
		`{"method":"a","params":[` + strings.Repeat("0,", maxParams) + `0]}`,
	} {
		require.Error(t, new(request).parse([]byte(line)), line)
	}
}

func TestText(t *testing.T) {
	for raw, want := range map[string]string{`""`: "", `"abc"`: "abc", `"a\"\u0041\\"`: `a"A\`, `"é"`: "é", `"` + "\xff" + `"`: "�"} {
		require.Equal(t, want, string(text([]byte(raw))), raw)
	}
	for _, raw := range []string{"", "1", "null", "[]", `"`} {
		require.Nil(t, text([]byte(raw)), raw)
	}
}

func TestNumber32(t *testing.T) {
	for raw, want := range map[string]uint32{
		`"00fFaB12"`: 0xffab12, `"ffab12"`: 0xffab12, `"0xFFAB12"`: 0xffab12, `"0X00ffab12"`: 0xffab12, `"0"`: 0, `"1234567"`: 0x1234567, `" 7 "`: 7, `"\u0037"`: 7,
		`"ffffffff"`: 1<<32 - 1, `"00000000ffffffff"`: 1<<32 - 1, `0`: 0, `7`: 7, `4294967295`: 1<<32 - 1, `-1`: 1<<32 - 1, `-2147483648`: 1 << 31, `305419896.0`: 305419896, `1.5e3`: 1500,
	} {
		got, ok := number32([]byte(raw))
		require.True(t, ok, raw)
		require.Equal(t, want, got, raw)
	}
	for _, raw := range []string{
		"", `""`, `"0x"`, `"x1"`, `"0x0x1"`, `"-1"`, `"+1"`, `"1g"`, `"1 2"`, `"1_0"`, `"100000000"`, `"0x1ffffffff"`, `"é"`,
		`-2147483649`, `-0.5`, `0.5`, `4294967296`, `1e999`, `null`, `true`, `[1]`, `{}`,
	} {
		_, ok := number32([]byte(raw))
		require.False(t, ok, raw)
	}
}

func TestQuoted(t *testing.T) {
	for line, want := range map[string]string{
		`{"id":4}`: "`{\"id\":4}`", "a`b": `"a` + "`" + `b"`, "a\x1b[2J\r": `"a\x1b[2J\r"`, "\xff\u202e": `"\xff\u202e"`, "": "``",
		strings.Repeat("x", maxLine): "`" + strings.Repeat("x", maxQuoted) + "...`",
	} {
		require.Equal(t, want, quoted([]byte(line)))
	}
}

func TestFromHex(t *testing.T) {
	var b [4]byte
	require.True(t, fromHex(b[:], []byte("00fFaB12")))
	require.Equal(t, [4]byte{0, 0xff, 0xab, 0x12}, b)
	for _, bad := range []string{"", "00ffab1", "00ffab123", "00ffab1g", "0x00ffab", "-0ffab12", " 0ffab12"} {
		require.False(t, fromHex(b[:], []byte(bad)), bad)
	}
}

// A number of 32 bits reads back however it is written.
func FuzzNumber32(f *testing.F) {
	for _, s := range []string{`"1fffe000"`, `"0xAB"`, `4294967295`, `1e3`, `"\u0030"`, `null`, `-0`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var s scanner
		s.b = raw
		if v, err := s.value(1); err != nil || len(v) != len(raw) {
			return
		}
		n, ok := number32(raw)
		if !ok {
			return
		}
		for _, form := range []string{`"%x"`, `"0X%08X"`, `"%016x"`, "%d"} {
			again, ok := number32(fmt.Appendf(nil, form, n))
			require.True(t, ok)
			require.Equal(t, n, again, form)
		}
	})
}

// What the parser takes is what encoding/json takes, within the limits.
func FuzzLine(f *testing.F) {
	for _, s := range []string{
		`{"id":4,"method":"mining.submit","params":["worker","1f","00000000","64b3f3ec","ed460d91","00002000"]}`,
		`{"id":1,"method":"mining.configure","params":[["version-rolling"],{"version-rolling.mask":"ffffffff","version-rolling.min-bit-count":2}]}`,
		`{"id":"bfgminer","method":"mining.subscribe","params":[]}`, `{"id":null,"result":true,"error":null}`,
		`{"id":-0.5e+3,"method":"\u00e9\\\"","params":[null,true,false,[{}],"` + "\xff" + `"]}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		if len(line) > maxLine {
			return
		}
		var r request
		err := r.parse(line)
		var want struct {
			ID, Method, Params, Result, Error json.RawMessage
		}
		if err == nil {
			var object map[string]json.RawMessage
			require.NoError(t, json.Unmarshal(line, &object))
			if bytes.Contains(line, []byte(`\`)) || !bytes.Equal(bytes.ToLower(line), line) {
				return // keys that encoding/json reads and this parser does not
			}
			require.NoError(t, json.Unmarshal(line, &want))
			if len(want.ID) == 0 {
				want.ID = null
			}
			require.Equal(t, string(want.ID), string(r.id))
			require.Equal(t, string(want.Method), string(r.method))
			var params []json.RawMessage
			if len(want.Params) > 0 {
				require.NoError(t, json.Unmarshal(want.Params, &params))
			}
			require.Len(t, params, r.n)
			for i, p := range params {
				require.Equal(t, string(p), string(r.params[i]))
				var s string
				if json.Unmarshal(p, &s) == nil && p[0] == '"' {
					require.Equal(t, s, string(r.param(i)))
				} else {
					require.Nil(t, r.param(i))
				}
			}
			return
		}
		if err == errJSON && json.Valid(line) {
			s, deepest, depth := scanner{b: line}, 0, 0
			for _, c := range line { // strings may hold brackets too: no matter
				switch c {
				case '[', '{':
					depth++
				case ']', '}':
					depth--
				}
				deepest = max(deepest, depth)
			}
			require.True(t, deepest > maxDepth || !s.next('{'), "JSON within the limits was refused: %s", line)
		}
	})
}
