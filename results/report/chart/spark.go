package chart

import (
	"html/template"
)

// Spark is a series as small as a word, for the cell of a table whose row says
// the rest in numbers: nobody misses it who does not see it. Steps are times
// at which it changed.
func Spark(points []Sample, steps []float64) template.HTML {
	const w, h = 120.0, 22.0
	p := part{Axis{Free: true}, Signal{Points: points}.stretches()}
	from, to, ok := p.span()
	if !ok {
		return ""
	}
	s := &surface{w: w, h: h}
	at := &panel{box: box{2, 3, w - 3, h - 3}, x: p.axis.scale([]float64{from, to}, 2, 0), y: p.axis.scale(p.values(), 2, 0)}
	for _, t := range steps[max(0, len(steps)-20):] {
		if t >= from && t <= to {
			s.stroke(pen(hueB, 1, 2, 2), at.atX(t), 0, at.atX(t), h)
		}
	}
	s.samples(at, joined(p.stretches, (to-from)/50), 45, pen(hueA, 1.3))
	s.markup("</svg>")
	return template.HTML(`<svg class="spark" viewBox="0 0 120 22" width="120" height="22" aria-hidden="true">` + s.buf.String()) // #nosec G203 -- of our own markup and numbers alone
}
