package results

import (
	"bytes"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Foreign text is all text that this program did not write: from a file, a device,
// a server, the environment or the command line. It is stored unchanged, and made
// harmless where it is shown to people: by Line in a cell or a sentence, by
// Printable where every character counts, by PrintableJSON in JSON, and by
// PrintableText for a whole file. All of them use [Prints]: letters, marks,
// digits, punctuation and symbols of every script stay; controls, escapes, bidi
// marks, joiners and other format characters are replaced, and so are broken UTF-8
// and unassigned characters.

// Prints reports whether r may reach a reader, besides line breaks and tabs.
func Prints(r rune) bool { return unicode.IsPrint(r) }

// Line makes one line of at most limit runes: white space becomes single
// spaces, what does not print U+FFFD, and … ends what is cut.
func Line(s string, limit int) string {
	if plainLine(s, limit) {
		return s
	}
	var b strings.Builder
	n, gap := 0, false
	for _, r := range s {
		if unicode.IsSpace(r) {
			gap = n > 0
			continue
		}
		width := 1
		if gap {
			width = 2
		}
		if n+width > limit {
			short := []rune(b.String())
			return strings.TrimRight(string(short[:min(len(short), limit-1)]), " ") + "…"
		}
		if gap {
			b.WriteByte(' ')
		}
		b.WriteRune(visible(r))
		n, gap = n+width, false
	}
	return b.String()
}

// plainLine reports whether s is a line as it should be, in ASCII.
func plainLine(s string, limit int) bool {
	last := byte(' ')
	for i := range len(s) {
		c := s[i]
		if c < ' ' || c > '~' || c == ' ' && last == ' ' {
			return false
		}
		last = c
	}
	return len(s) <= limit && (s == "" || last != ' ')
}

// Printable replaces every character that does not print by U+FFFD, line breaks
// and tabs included.
func Printable(s string) string { return strings.Map(visible, s) }

// PrintableText is Printable for a whole text: line feeds and tabs stay. It is
// applied last, to a finished file; its cells and sentences were made with Line.
func PrintableText(text []byte) []byte {
	return bytes.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return r
		}
		return visible(r)
	}, text)
}

func visible(r rune) rune {
	if Prints(r) {
		return r
	}
	return unicode.ReplacementChar
}

// Minute is an instant as every page and command prints it: 2026-09-14 08:30 UTC.
func Minute(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

// Thousands puts commas between the thousands of a decimal number without a sign.
func Thousands(number string) string {
	for i := strings.IndexByte(number+".", '.') - 3; i > 0; i -= 3 {
		number = number[:i] + "," + number[i:]
	}
	return number
}

// Signed prints a relative difference as a reader expects it: −3.1 %; NaN is –.
func Signed(x float64) string {
	if math.IsNaN(x) {
		return "–"
	}
	t := strconv.FormatFloat(math.Abs(100*x), 'f', 1, 64)
	switch {
	case math.IsInf(x, 0):
		t = "∞"
	case t == "0.0":
		return "0.0 %"
	default:
		t = Thousands(t)
	}
	if x < 0 {
		return "−" + t + " %"
	}
	return "+" + t + " %"
}

// Plural counts things in words: 1 round, 12 rounds.
func Plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9_./:@%+,=-]+$`)

// Command writes the words of a command for a POSIX shell.
func Command(words ...string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		if quoted[i] = w; !plainWord.MatchString(w) {
			quoted[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
	}
	return strings.Join(quoted, " ")
}

// PrintableJSON writes JSON without a character that does not print: in
// strings, the only place for them, they stand as \u escapes. So does the
// second # of ##, with which commands to a log begin. The values are the same.
func PrintableJSON(text []byte) []byte {
	out := make([]byte, 0, len(text)+len(text)/64)
	for i, n := 0, 0; i < len(text); i += n {
		r := rune(text[i])
		if n = 1; r >= utf8.RuneSelf {
			r, n = utf8.DecodeRune(text[i:])
		}
		switch {
		case r == '#' && i > 0 && text[i-1] == '#', r == 0x7f, r > 0x7f && !unicode.IsPrint(r), r == utf8.RuneError && n == 1:
			if a, b := utf16.EncodeRune(r); a != unicode.ReplacementChar {
				out = fmt.Appendf(out, `\u%04x\u%04x`, a, b)
			} else {
				out = fmt.Appendf(out, `\u%04x`, r)
			}
		default:
			out = append(out, text[i:i+n]...)
		}
	}
	return out
}
