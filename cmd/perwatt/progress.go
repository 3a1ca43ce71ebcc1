package main

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/perwatt/perwatt/harness"
	"github.com/perwatt/perwatt/results"
)

// progress shows where a session is: one line that changes on a terminal, a
// line per run elsewhere.
type progress struct {
	w        io.Writer
	terminal bool

	mu   sync.Mutex
	left countdown
	line func() string // what the changing line says now; nil while there is none
	stop chan struct{}
	wait sync.WaitGroup
}

// countdown shows a time that is left. What it shows does not rise by more than a tenth:
// where more is left than it said before, it says that this is the least.
type countdown struct {
	least time.Duration // that it showed
	some  bool
}

func (c *countdown) show(left time.Duration) string {
	most := left
	if c.some {
		most = c.least + c.least/10
	}
	sign := ""
	if left > most {
		left, sign = most, "≥ "
	}
	if !c.some || left < c.least {
		c.least, c.some = left, true
	}
	return sign + left.Round(time.Second).String()
}

// newProgress starts to show progress on w, until close.
func newProgress(w io.Writer) *progress {
	p := &progress{w: w, terminal: isTerminal(w), stop: make(chan struct{})}
	if p.terminal {
		p.wait.Go(p.tick)
	}
	return p
}

// tick counts down through phases that take minutes.
func (p *progress) tick() {
	second := time.NewTicker(time.Second)
	defer second.Stop()
	for {
		select {
		case <-second.C:
			p.mu.Lock()
			p.draw()
			p.mu.Unlock()
		case <-p.stop:
			return
		}
	}
}

func (p *progress) draw() {
	if p.line != nil {
		redraw(p.w, p.line())
	}
}

// say shows what is being done.
func (p *progress) say(text string) {
	if !p.terminal {
		say(p.w, "%s", text)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.line = func() string { return text }
	p.draw()
}

// update shows where a session is, and the end of a run: every one where there
// is no terminal, and one in which a result is missing anywhere.
func (p *progress) update(at harness.Progress) {
	if r := at.Ended; r != nil && (!p.terminal || r.Status != results.OK || r.Lost() > 0) {
		p.clear()
		text := fmt.Sprintf("run %d/%d  round %d  %-8s %s", at.Run+1, at.Runs, r.Round, r.Scenario, r.Status)
		if r.Error != "" {
			text += ": " + r.Error
		}
		for _, u := range r.Uses {
			if u.Error != "" && r.Status == results.OK {
				text += fmt.Sprintf("; %s gave no result: %s", u.Device, u.Error)
			}
		}
		say(p.w, "%s", text)
	}
	if !p.terminal {
		return
	}
	bar := []rune("····················")
	for i := range len(bar) * at.Run / at.Runs {
		bar[i] = '█'
	}
	began := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.line = func() string {
		left := p.left.show(max(at.Later, at.Left-time.Since(began)))
		return fmt.Sprintf("%s run %d/%d  round %d  %-8s %-8s %s left", string(bar), at.Run+1, at.Runs, at.Round, at.Scenario, at.Phase, left)
	}
	p.draw()
}

// clear takes the changing line away, for something that stays.
func (p *progress) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.line != nil {
		redraw(p.w, "")
		p.line = nil
	}
}

func (p *progress) close() {
	close(p.stop)
	p.wait.Wait()
	p.clear()
}

// counted shows how much of something is done that takes long where there is much of it: in a
// line that changes on a terminal, in a line now and then elsewhere.
type counted struct {
	*progress
	what string
	next time.Time
}

func newCounted(w io.Writer, what string) *counted {
	c := &counted{progress: newProgress(w), what: what}
	c.next = time.Now().Add(c.every())
	return c
}

func (c *counted) every() time.Duration {
	if c.terminal {
		return time.Second / 4
	}
	return quietFor
}

func (c *counted) update(done, of int) {
	if now := time.Now(); now.After(c.next) {
		c.next = now.Add(c.every())
		c.say(fmt.Sprintf("%d of %d %s", done, of, c.what))
	}
}
