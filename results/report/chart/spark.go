package chart

import "html/template"

// Spark draws a series at the size of a word, for a table cell. It is hidden
// from screen readers: the row has the numbers. Steps are the times, in seconds
// as in points, of detected changes.
func Spark(points []Sample, steps []float64) template.HTML {
	const w, h = 120.0, 22.0
	p := part{Axis{Free: true}, Signal{Points: points}.stretches(1)}
	if len(p.stretches) == 0 {
		return ""
	}
	last := p.stretches[len(p.stretches)-1]
	from, to := p.stretches[0][0].T, last[len(last)-1].T
	s := &surface{w: w, h: h}
	at := &panel{box: box{2, 3, w - 3, h - 3}, x: p.axis.scale([]float64{from, to}, 2, 0), y: p.axis.scale(p.values(), 2, 0)}
	for _, t := range steps[max(0, len(steps)-20):] {
		if t >= from && t <= to {
			s.stroke(pen(hueB, 1, 2, 2), at.atX(t), 0, at.atX(t), h)
		}
	}
	s.samples(at, joined(p.stretches, (to-from)/50), 45, pen(hueA, 1.3))
	s.markup("</svg>")
	return template.HTML(`<svg class="spark" viewBox="0 0 120 22" width="120" height="22" aria-hidden="true">` + s.buf.String()) // #nosec G203 -- markup and numbers are ours
}
