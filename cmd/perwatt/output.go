package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/report"
)

// formatFlag is --format.
type formatFlag struct {
	report.Format
	known []report.Format
}

var textOrJSON = []report.Format{report.Text, report.JSON}

// flag defines --format on a command that has the given formats, first its default.
func (f *formatFlag) flag(cmd *cobra.Command, what string, known ...report.Format) {
	f.Format, f.known = known[0], known
	cmd.Flags().Var(f, "format", what+" "+f.names())
}

// names lists the formats as a sentence does: text, csv or json.
func (f *formatFlag) names() string {
	var names []string
	for _, k := range f.known {
		names = append(names, string(k))
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " or " + names[last]
}

// Set implements pflag.Value.
func (f *formatFlag) Set(name string) error {
	if !slices.Contains(f.known, report.Format(name)) {
		return fmt.Errorf("must be %s", f.names())
	}
	f.Format = report.Format(name)
	return nil
}

// String implements pflag.Value.
func (f *formatFlag) String() string { return string(f.Format) }

// Type implements pflag.Value.
func (f *formatFlag) Type() string { return "string" }

// outlet is standard output or standard error. Whatever leaves the program
// passes through it, and nothing passes that a terminal or the log of a CI run
// takes for a command: it is the last door, for text that nobody thought of.
// What knows where foreign text stands in it (say, columns, package report)
// has replaced it before, line breaks included.
type outlet struct {
	to       io.Writer
	color    bool // SGR sequences pass
	commands bool // lines that begin with :: are ours

	mu   sync.Mutex // a command that was interrupted may still write
	rest []byte     // a line without its end
	err  error      // the first of a write; nothing is written after it
}

func newOutlet(to io.Writer) *outlet {
	return &outlet{to: to, color: isTerminal(to) && os.Getenv("NO_COLOR") == ""}
}

// Write writes the lines that have ended.
func (o *outlet) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err != nil {
		return 0, o.err
	}
	end := bytes.LastIndexByte(b, '\n') + 1
	if end == 0 {
		o.rest = append(o.rest, b...)
		return len(b), nil
	}
	whole := b[:end]
	if len(o.rest) > 0 {
		whole = append(o.rest, whole...)
	}
	out := make([]byte, 0, len(whole))
	for line := range bytes.Lines(whole) {
		out = o.clean(out, line)
	}
	o.rest = append([]byte(nil), b[end:]...)
	if _, o.err = o.to.Write(out); o.err != nil {
		return 0, o.err
	}
	return len(b), nil
}

// flush writes what is left of a last line that nothing ended, unless a command
// that was interrupted is stuck in writing. It returns the first error of all
// writes: no line is lost without a word, whoever wrote it.
func (o *outlet) flush() error {
	if !o.mu.TryLock() {
		return nil
	}
	defer o.mu.Unlock()
	if len(o.rest) > 0 && o.err == nil {
		_, o.err = o.to.Write(o.clean(nil, o.rest))
	}
	o.rest = nil
	return o.err
}

var (
	sgr = regexp.MustCompile(`^\x1b\[[0-9;]*m`)

	// Logs of CI runs take for commands what begins so: GitHub Actions
	// (actions/runner, ActionCommand.cs) :: at the beginning of a line and ##[
	// anywhere, Azure Pipelines ##vso[, TeamCity ##teamcity[.
	ours    = regexp.MustCompile(`##[A-Za-z]*\[`)
	command = regexp.MustCompile(`^\s*::|` + ours.String())
)

// clean appends a line to out. Each character that does not print, and the
// first of each command, becomes U+FFFD, so that columns stay where they are.
func (o *outlet) clean(out, line []byte) []byte {
	known := command
	if o.commands {
		known = ours
	}
	var bad []int // where a command begins
	if bytes.Contains(line, []byte("::")) || bytes.Contains(line, []byte("##")) {
		for _, at := range known.FindAllIndex(line, -1) {
			bad = append(bad, at[1]-len(bytes.TrimLeftFunc(line[at[0]:at[1]], unicode.IsSpace)))
		}
	}
	for i, n := 0, 0; i < len(line); i += n {
		r := rune(line[i])
		if n = 1; r >= utf8.RuneSelf {
			r, n = utf8.DecodeRune(line[i:])
		}
		begins := len(bad) > 0 && bad[0] == i
		if begins {
			bad = bad[1:]
		}
		switch {
		case r == '\x1b' && o.color && sgr.Match(line[i:]):
			n = len(sgr.Find(line[i:]))
			out = append(out, line[i:i+n]...)
		case begins || r == utf8.RuneError || r != '\n' && r != '\t' && !results.Prints(r):
			out = utf8.AppendRune(out, unicode.ReplacementChar)
		default:
			out = append(out, line[i:i+n]...)
		}
	}
	return out
}

// behind is what an outlet writes to.
func behind(w io.Writer) io.Writer {
	if o, ok := w.(*outlet); ok {
		return o.to
	}
	return w
}

// annotations is w for the commands of a workflow.
func annotations(w io.Writer) io.Writer { return &outlet{to: behind(w), commands: true} }

// mostSaid is more than the longest path has.
const mostSaid = 5000

// say writes one line. Whatever in it does not print, a line break too, came
// with what others said. An outlet keeps the error of writing it.
func say(w io.Writer, format string, args ...any) {
	text := results.Printable(fmt.Sprintf(format, args...))
	if utf8.RuneCountInString(text) > mostSaid {
		text = string([]rune(text)[:mostSaid]) + "…"
	}
	fmt.Fprintln(w, text)
}

// complain says an error: a line for each of those that were joined, with what
// was wrapped around all of them.
func complain(w io.Writer, err error) {
	const red = "\x1b[1;31m"
	for _, s := range sentences(err) {
		if colored(w) { // say takes sequences away
			fmt.Fprintf(w, "%sperwatt:\x1b[0m ", red)
			say(w, "%s", once(s))
			continue
		}
		say(w, "perwatt: %s", once(s))
	}
}

// colored reports whether w shows colours: on a terminal, unless NO_COLOR (no-color.org)
// or --no-color says no.
func colored(w io.Writer) bool {
	o, ok := w.(*outlet)
	return ok && o.color
}

func sentences(err error) []string {
	text := err.Error()
	//lint:ignore errorlint it takes an error apart, layer by layer
	switch x := err.(type) {
	case interface{ Unwrap() []error }:
		var each, out []string
		for _, e := range x.Unwrap() {
			each, out = append(each, e.Error()), append(out, sentences(e)...)
		}
		if strings.Join(each, "\n") == text { // errors.Join, and no sentence about several
			return out
		}
	case interface{ Unwrap() error }:
		inner := x.Unwrap()
		if inner == nil {
			break
		}
		if lead, ok := strings.CutSuffix(text, inner.Error()); ok {
			out := sentences(inner)
			for i := range out {
				out[i] = lead + out[i]
			}
			return out
		}
	}
	return []string{text}
}

// columns writes rows in columns.
func columns(w io.Writer, rows ...[]string) error {
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		cells := make([]string, len(row))
		for i, c := range row {
			cells[i] = results.Line(c, 2000)
		}
		fmt.Fprintln(tab, strings.Join(cells, "\t"))
	}
	return tab.Flush()
}

// lines is a log, a line a Write.
type lines struct{ to io.Writer }

func (l lines) Write(b []byte) (int, error) {
	say(l.to, "%s", strings.TrimSpace(string(b)))
	return len(b), nil
}

// redraw puts a line in place of the one on which the cursor of a terminal
// stands; none of it is left with an empty text.
func redraw(w io.Writer, text string) {
	fmt.Fprintf(behind(w), "\r\x1b[2K%.*s", max(20, width(w)-1), results.Printable(text))
}

// wipe takes the last lines off a terminal.
func wipe(w io.Writer, lines int) { fmt.Fprintf(behind(w), "\x1b[%dA\x1b[J", lines) }

func terminal(w any) *os.File {
	if o, ok := w.(*outlet); ok {
		w = o.to
	}
	f, _ := w.(*os.File)
	return f
}

func isTerminal(w any) bool {
	f := terminal(w)
	return f != nil && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb"
}

// width is the number of columns of a terminal, 0 where there is none.
func width(w any) int {
	if !isTerminal(w) {
		return 0
	}
	n, _, err := term.GetSize(int(terminal(w).Fd()))
	if err != nil {
		return 0
	}
	return n
}
