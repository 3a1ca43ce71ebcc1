package chart

import (
	"html/template"
	"strings"
)

// Spark is a series as small as a word, for the cell of a table whose row says
// the rest in numbers: nobody misses it who does not see it. Steps are times
// at which it changed.
func Spark(points []Sample, steps []float64) template.HTML {
	const w, h = 120.0, 22.0
	st := Signal{Points: points}.stretches()
	p := part{Axis{Free: true}, st}
	if len(st) == 0 {
		return ""
	}
	from, to := st[0][0].T, st[len(st)-1][len(st[len(st)-1])-1].T
	x := Axis{Free: true}.scale([]float64{from, to}, 2, 0)
	y := p.axis.scale(p.values(), 2, 0)
	x.from, x.to, y.from, y.to = 2, w-3, h-3, 3
	s := &surface{canvas: newCanvas(), w: w, h: h}
	for _, t := range steps[max(0, len(steps)-20):] {
		if t >= from && t <= to {
			s.segment(x.at(t), 0, x.at(t), h, hueB, 1, 2, 2)
		}
	}
	for _, run := range joined(st, (to-from)/50) {
		var xy []float64
		for _, q := range run.decimate(from, to, 45) {
			xy = append(xy, x.at(q.T), y.at(q.V))
		}
		if len(xy) == 2 {
			xy = append(xy, xy[0]+1.5, xy[1])
		}
		s.stroke(polyline(xy...), hueA, 1.3)
	}
	var out strings.Builder
	out.WriteString(`<svg class="spark" viewBox="0 0 120 22" width="120" height="22" aria-hidden="true">`)
	out.Write(s.buf.Bytes())
	out.WriteString("</svg>")
	return template.HTML(out.String()) // #nosec G203 -- of our own markup and numbers alone
}
