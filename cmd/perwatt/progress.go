package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"

	"github.com/perwatt/perwatt/harness"
	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/report"
)

// progress shows where a session is: one line that changes on a terminal, a
// line per run elsewhere.
type progress struct {
	w        io.Writer
	terminal bool
	open     bool // a line without its end is on the screen
}

func newProgress(w io.Writer) *progress {
	return &progress{w: w, terminal: isTerminal(w)}
}

func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb"
}

// width is the number of columns of a terminal, 0 where there is none.
func width(w any) int {
	if !isTerminal(w) {
		return 0
	}
	n, _, err := term.GetSize(int(w.(*os.File).Fd()))
	if err != nil {
		return 0
	}
	return n
}

func (p *progress) say(text string) {
	if p.terminal {
		fmt.Fprintf(p.w, "\r\x1b[2K%.78s", text)
		p.open = true
		return
	}
	fmt.Fprintln(p.w, text)
}

func (p *progress) update(at harness.Progress) {
	if p.terminal {
		bar := []rune("····················")
		for i := range len(bar) * at.Run / at.Runs {
			bar[i] = '█'
		}
		p.say(fmt.Sprintf("%s run %d/%d  round %d  %-8s %-8s  %v left", string(bar), at.Run+1, at.Runs, at.Round, at.Scenario, at.Phase, max(0, at.Left).Round(time.Second)))
	}
	if r := at.Ended; r != nil && (!p.terminal || r.Status != results.OK) {
		p.done()
		text := fmt.Sprintf("run %d/%d  round %d  %-8s %s", at.Run+1, at.Runs, r.Round, r.Scenario, r.Status)
		if r.Error != "" {
			text += ": " + report.Line(r.Error)
		}
		fmt.Fprintln(p.w, text)
	}
}

// done takes the changing line away.
func (p *progress) done() {
	if p.open {
		fmt.Fprint(p.w, "\r\x1b[2K")
		p.open = false
	}
}
