package results

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func TestLine(t *testing.T) {
	for in, want := range map[string]string{
		"plain": "plain", "": "", "  a \t\r\n b  ": "a b", "\x1b[31mred\x07": "\uFFFD[31mred\uFFFD",
		"a\u202Eb\u2066c\u200Bd": "a\uFFFDb\uFFFDc\uFFFDd", "\u2028x\u2029": "x", "\xff": "\uFFFD", "\u009b1m": "\uFFFD1m",
		"Größe 计算": "Größe 计算", "exactly ten": "exactly t…", "ten ten te": "ten ten te", "12345678 90": "12345678…",
	} {
		require.Equal(t, want, Line(in, 10), "%q", in)
	}
	require.Equal(t, strings.Repeat("x", 9)+"…", Line(strings.Repeat("x", 1e6), 10))
}

func TestSigned(t *testing.T) {
	for x, want := range map[float64]string{
		-0.0314: "−3.1 %", 0.05: "+5.0 %", 0: "0.0 %", -0.0004: "0.0 %", 0.0006: "+0.1 %", 20: "+2,000.0 %", -1: "−100.0 %", math.Inf(1): "+∞ %", math.Inf(-1): "−∞ %",
	} {
		require.Equal(t, want, Signed(x), "%v", x)
	}
	require.Equal(t, "–", Signed(math.NaN()))
}

func TestPrintable(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"letters, marks and symbols of all scripts", "Größe e\u0301 计算 שלום سلام हिन्दी 🔥 ❤\ufe0f → €", "Größe e\u0301 计算 שלום سلام हिन्दी 🔥 ❤\ufe0f → €"},
		{"spaces are counted", "two  spaces ", "two  spaces "},
		{"line breaks show", "a\nb\r\nc\td\u0085e\u2028f", "a�b��c�d�e�f"},
		{"escapes of 7 and 8 bits", "\x1b]0;t\x07\u009b2J\x00\x7f", "�]0;t��2J��"},
		{"bidi, joiners, tags, byte order mark", "\u202e\u2066\u200d\u200f\U000E0041\ufeff", "������"},
		{"broken UTF-8", "\xff\xc3(\xed\xa0\x80", "��(���"},
	} {
		t.Run(c.name, func(t *testing.T) { require.Equal(t, c.want, Printable(c.in)) })
	}
}

// FuzzPrintableJSON: JSON that prints, and is of the same value.
func FuzzPrintableJSON(f *testing.F) {
	for _, s := range []string{"", "x", "\u009b2J\u202e\u2066\ufeff\u00ad\U000E0041\U0010ffff\x7f\x00\x1b\u2028", "##[group]## ###", `\##\u202e`, "\xff\xed\xa0\x80", "Größe 🔥"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, indent := range []string{"", "\t"} {
			plain, err := json.MarshalIndent(map[string]any{s: []string{s}}, "", indent)
			require.NoError(t, err)
			out := PrintableJSON(plain)
			require.True(t, utf8.Valid(out))
			require.Equal(t, -1, bytes.IndexFunc(out, func(r rune) bool { return r != '\n' && r != '\t' && !unicode.IsPrint(r) }), "%q", out)
			require.NotContains(t, string(out), "##")
			var want, got any
			require.NoError(t, json.Unmarshal(plain, &want))
			require.NoError(t, json.Unmarshal(out, &got))
			require.Equal(t, want, got)
		}
	})
}

// TestPrintableRecord: what is printed of a record is the record, and its
// digests hold.
func TestPrintableRecord(t *testing.T) {
	rec := filled()
	rec.Node.Name, rec.Warnings = "a\u009b2J\u202e##[b]", []Warning{{Code: "x\U000E0041", Text: "\u2028", Remedy: "\ufeff\x7f"}}
	raw, err := Seal(rec)
	require.NoError(t, err)
	out := PrintableJSON(raw)
	require.NotEqual(t, string(raw), string(out))
	file, err := Load(bytes.NewReader(out), "printed.json")
	require.NoError(t, err)
	require.Empty(t, file.Verify())
	again, err := Seal(file.Record)
	require.NoError(t, err)
	require.Equal(t, string(raw), string(again))
}
