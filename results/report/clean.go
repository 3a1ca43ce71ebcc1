package report

import (
	"strings"
	"unicode"
)

// clean makes text of unknown origin safe to print on one line: white space
// becomes single spaces, whatever does not print (controls, escapes, bidi and
// other format characters, broken UTF-8) becomes U+FFFD, and no more than
// limit runes are kept, the last of them … if any were cut.
func clean(s string, limit int) string {
	var b strings.Builder
	n, gap := 0, false
	for _, r := range s {
		if unicode.IsSpace(r) {
			gap = n > 0
			continue
		}
		if !unicode.IsPrint(r) {
			r = unicode.ReplacementChar
		}
		width := 1
		if gap {
			width = 2
		}
		if n+width > limit {
			return cut(b.String(), limit)
		}
		if gap {
			b.WriteByte(' ')
		}
		b.WriteRune(r)
		n, gap = n+width, false
	}
	return b.String()
}

// Line makes text of unknown origin safe to print as one line.
func Line(s string) string { return clean(s, 2000) }

// printable replaces what does not print, and leaves everything else.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}

// cut ends s with … within limit runes.
func cut(s string, limit int) string {
	r := []rune(s)
	if len(r) >= limit {
		r = r[:limit-1]
	}
	return strings.TrimRight(string(r), " ") + "…"
}
