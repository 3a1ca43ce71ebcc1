package chart

import (
	"cmp"
	"fmt"
	"html/template"
	"math"
	"slices"

	"gonum.org/v1/plot/vg"

	"github.com/perwatt/perwatt/results"
)

// Lines is one quantity against another for a few series: an indifference
// curve, a break-even price.
type Lines struct {
	Head
	X, Y   Axis
	Series []Series
	Across []Level // levels of Y, drawn across
	Up     []Level // places of X, drawn upright
}

// Series is a line, named at its end.
type Series struct {
	Name     string
	Points   []LinePoint // in order; a point that is not drawable is a gap
	Modelled bool        // dashed, ~ before its name
	Marks    bool        // a mark at each point
}

// LinePoint is a point of a line; Low and High bound Y as in a Figure.
type LinePoint struct{ X, Y, Low, High float64 }

// Level is a line of reference.
type Level struct {
	At   float64
	Name string
}

// The most series of Lines, points of one (every so-many-th is drawn of more),
// and points with marks.
const (
	lineSeries = 6
	linePoints = 120
	lineMarks  = 16
)

// SVG implements Chart.
func (l Lines) SVG() template.HTML {
	kx, ky := l.X.factor(), l.Y.factor()
	series := make([]Series, 0, lineSeries)
	d := &lines{Lines: l}
	for _, in := range l.Series {
		n := 0
		points := make([]LinePoint, 0, len(in.Points))
		for _, p := range in.Points {
			p = LinePoint{p.X * kx, p.Y * ky, p.Low * ky, p.High * ky}
			if !drawable(p.X) || !drawable(p.Y) || l.X.Log && p.X <= 0 || l.Y.Log && p.Y <= 0 {
				p.Y = math.NaN()
			} else {
				n++
			}
			if !(p.Low < p.High) || !drawable(p.Low) || !drawable(p.High) || l.Y.Log && p.Low <= 0 {
				p.Low, p.High = math.NaN(), math.NaN()
			}
			points = append(points, p)
		}
		if n == 0 {
			continue
		}
		if len(series) == lineSeries {
			d.left++
			continue
		}
		if every := (len(points) + linePoints - 1) / linePoints; every > 1 {
			thin := points[:0:0]
			for i := 0; i < len(points); i += every {
				thin = append(thin, points[i])
			}
			points = append(thin, points[len(points)-1])
		}
		in.Points, in.Marks = points, in.Marks && len(points) <= lineMarks
		series = append(series, in)
	}
	d.Series = series
	level := func(in []Level, k float64, log bool) (out []Level) {
		for _, v := range in {
			if v.At *= k; drawable(v.At) && (!log || v.At > 0) && len(out) < 6 {
				out = append(out, v)
			}
		}
		return out
	}
	d.Across, d.Up = level(l.Across, ky, l.Y.Log), level(l.Up, kx, l.X.Log)
	return svg(l.Head, d)
}

type lines struct {
	Lines
	left int
}

func (l *lines) empty() string {
	if len(l.Series) == 0 {
		return "no series has a point."
	}
	return ""
}

func (l *lines) describe() string {
	var parts []string
	for _, in := range l.Series {
		first, last := -1, 0
		for i, p := range in.Points {
			if drawable(p.Y) {
				if last = i; first < 0 {
					first = i
				}
			}
		}
		a, b := in.Points[first], in.Points[last]
		parts = append(parts, fmt.Sprintf("%s from %s at %s to %s at %s", cmp.Or(results.Line(in.Name, 40), "a line"),
			l.Y.print(a.Y), l.X.print(a.X), l.Y.print(b.Y), l.X.print(b.X)))
	}
	for _, v := range l.Across {
		parts = append(parts, fmt.Sprintf("%s at %s", results.Line(v.Name, 40), l.Y.print(v.At)))
	}
	return fmt.Sprintf("%s against %s: %s.", cmp.Or(l.Y.Title, "y"), cmp.Or(l.X.Title, "x"), few(parts, 10))
}

var dashes = [][]vg.Length{nil, {8, 3}, {2, 3}, {10, 3, 2, 3}, {5, 3}, {1.5, 4}}

func (l *lines) draw(s *surface) {
	var xs, ys []float64
	for _, in := range l.Series {
		for _, p := range in.Points {
			if drawable(p.Y) {
				xs, ys = append(xs, p.X), append(ys, p.Y)
				if drawable(p.Low) {
					ys = append(ys, p.Low, p.High)
				}
			}
		}
	}
	for _, v := range l.Across {
		ys = append(ys, v.At)
	}
	for _, v := range l.Up {
		xs = append(xs, v.At)
	}
	names := make([]string, len(l.Series))
	right := 8.0
	room := s.w * 0.3
	for i, in := range l.Series {
		names[i] = results.Line(in.Name, 60)
		if in.Modelled {
			names[i] = "~" + names[i]
		}
		names[i] = fit(names[i], room, s.small, false)
		right = max(right, width(names[i], s.small, false)+12)
	}
	if len(l.Series) == 1 && l.Series[0].Name == "" {
		right = 8
	}
	p := panel{box: box{y0: s.line + 8, x1: s.w - right}}
	if len(l.Up) > 0 {
		p.y0 += s.line
	}
	p.y1 = p.y0 + 270
	p.y = l.Y.scale(ys, 5, 0.06)
	p.x0 = s.gutter(p.y)
	p.x = l.X.scale(xs, int((p.x1-p.x0)/80), 0)
	p.x.from, p.x.to, p.y.from, p.y.to = p.x0, p.x1, p.y1, p.y0
	s.yAxisAt(&p, l.Y, s.small)
	s.xAxis(&p, l.X)

	for _, in := range l.Series {
		var upper, lower []float64
		shade := func() {
			if len(upper) > 2 {
				xy := slices.Clone(upper)
				for j := len(lower) - 2; j >= 0; j -= 2 {
					xy = append(xy, lower[j], lower[j+1])
				}
				b := polyline(xy...)
				b.Close()
				s.fill(b, deep)
			}
			upper, lower = nil, nil
		}
		for _, q := range in.Points {
			if !drawable(q.Y) || !drawable(q.Low) {
				shade()
				continue
			}
			upper = append(upper, p.x.at(q.X), p.y.clamp(q.High))
			lower = append(lower, p.x.at(q.X), p.y.clamp(q.Low))
		}
		shade()
	}
	for _, v := range l.Across {
		y := p.y.at(v.At)
		s.segment(p.x0, y, p.x1, y, muted, 1.2)
	}
	for _, v := range l.Up {
		x := p.x.at(v.At)
		s.segment(x, p.y0-3, x, p.y1, muted, 1.2)
		t := fit(results.Line(v.Name, 60), s.w*0.6, s.small, false)
		w := width(t, s.small, false)
		b := textBox(min(max(x, w/2), s.w-w/2), p.y0-7, w, s.small, middle)
		if t != "" && s.place.free(b) {
			s.place.take(b)
			s.text((b.x0+b.x1)/2, p.y0-7, t, style{ink: muted, size: s.small, anchor: middle})
		}
	}

	var ends []float64 // of the lines
	for i, in := range l.Series {
		hue := hues[i%len(hues)]
		var line vg.Path
		var xy []float64
		flush := func() {
			line = append(line, polyline(xy...)...)
			if len(xy) == 2 && !in.Marks {
				s.mark(xy[0], xy[1], 3, shape(i%shapes), hue, in.Modelled)
			}
			xy = nil
		}
		y := 0.0
		for _, q := range in.Points {
			if !drawable(q.Y) {
				flush()
				continue
			}
			x := p.x.at(q.X)
			y = p.y.at(q.Y)
			xy = append(xy, x, y)
			if n := len(xy); n > 2 {
				s.place.avoidLine(xy[n-4], xy[n-3], x, y)
			}
		}
		flush()
		ends = append(ends, y)
		dash := dashes[i%len(dashes)]
		if in.Modelled && dash == nil {
			dash = []vg.Length{4, 3}
		}
		s.stroke(line, hue, 2.1, dash...)
		if in.Marks {
			for _, q := range in.Points {
				if drawable(q.Y) {
					s.tip(fmt.Sprintf("%s: %s at %s", results.Line(in.Name, 60), l.Y.print(q.Y), l.X.print(q.X)), func() {
						s.mark(p.x.at(q.X), p.y.at(q.Y), 4, shape(i%shapes), hue, in.Modelled)
					})
				}
			}
		}
	}

	// The levels are named where the lines leave room, below or above.
	for _, v := range l.Across {
		t := fit(results.Line(v.Name, 60), (p.x1-p.x0)*0.8, s.small, false)
		y, w := p.y.at(v.At), width(t, s.small, false)
		try := func(strict bool) bool {
			for _, up := range []float64{-5, s.small + 2} {
				for _, c := range []struct {
					x      float64
					anchor string
				}{{p.x0 + 6, ""}, {p.x1 - 4, end}, {(p.x0 + p.x1) / 2, middle}} {
					b := textBox(c.x, y+up, w, s.small, c.anchor)
					if b.y0 < p.y0-4 || b.y1 > p.y1+2 || slices.ContainsFunc(s.place.marks, b.meets) || strict && slices.ContainsFunc(s.place.lines, b.meets) {
						continue
					}
					s.place.take(b)
					s.text(c.x, y+up, t, style{ink: muted, size: s.small, anchor: c.anchor, halo: true})
					return true
				}
			}
			return false
		}
		if t != "" && !try(true) {
			try(false)
		}
	}

	// The names stand at the ends, moved apart.
	order := make([]int, len(ends))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(ends[a], ends[b]) })
	want := make([]float64, len(ends))
	for i, n := range order {
		want[i] = ends[n]
	}
	at, _ := spread(want, s.line, p.y0, p.y1)
	for i, n := range order {
		if math.Abs(at[i]-want[i]) > 3 {
			s.segment(p.x1+1, want[i], p.x1+7, at[i], rule, 0.8)
		}
		s.text(p.x1+9, at[i]+s.small*0.34, names[n], style{ink: hues[n%len(hues)], size: s.small})
	}
	s.h = p.y1 + s.below()
	var foot []string
	if slices.ContainsFunc(l.Series, func(in Series) bool { return in.Modelled }) {
		foot = append(foot, "~: not measured.")
	}
	if l.left > 0 {
		foot = append(foot, fmt.Sprintf("%d more series are not drawn.", l.left))
	}
	s.foot(foot)
}

// Tornado shows how far an outcome moves with each of the things it rests on.
type Tornado struct {
	Head
	Axis     Axis // of the outcome; it starts at zero only if Free is not set
	Base     float64
	BaseText string
	Rows     []Swing
}

// Swing is one assumption: the outcome at its low and at its high end, and
// what those ends are.
type Swing struct {
	Name              string
	Low, High         float64
	LowText, HighText string // "0.08 €/kWh"
}

// The most rows of a Tornado.
const tornadoRows = 20

// SVG implements Chart.
func (t Tornado) SVG() template.HTML {
	k := t.Axis.factor()
	t.Base *= k
	var rows []Swing
	for _, r := range t.Rows {
		if r.Low, r.High = r.Low*k, r.High*k; drawable(r.Low) && drawable(r.High) {
			rows = append(rows, r)
		}
	}
	slices.SortStableFunc(rows, func(a, b Swing) int {
		return cmp.Or(cmp.Compare(math.Abs(b.High-b.Low), math.Abs(a.High-a.Low)), cmp.Compare(a.Name, b.Name))
	})
	t.Rows = rows
	return svg(t.Head, t)
}

func (t Tornado) empty() string {
	switch {
	case !drawable(t.Base):
		return "the outcome itself is not known."
	case len(t.Rows) == 0:
		return "no assumption was varied."
	}
	return ""
}

func (t Tornado) describe() string {
	var parts []string
	for _, r := range t.Rows {
		parts = append(parts, fmt.Sprintf("%s: %s to %s", results.Line(r.Name, 40), t.Axis.print(r.Low), t.Axis.print(r.High)))
	}
	return fmt.Sprintf("%s, %s at base, by assumption, the widest first: %s.", cmp.Or(t.Axis.Title, "the outcome"), t.Axis.print(t.Base), few(parts, 10))
}

func (t Tornado) draw(s *surface) {
	rows := t.Rows[:min(len(t.Rows), tornadoRows)]
	values := []float64{t.Base}
	nameW, endW := 0.0, 0.0
	for _, r := range rows {
		values = append(values, r.Low, r.High)
		nameW = max(nameW, width(results.Line(r.Name, 80), s.size, false))
		endW = max(endW, width(results.Line(r.LowText, 30), s.small, false), width(results.Line(r.HighText, 30), s.small, false))
	}
	endW = min(endW+10, s.w*0.25)
	rowH, bar := 32.0, 16.0
	p := panel{box: box{y0: s.small + 14}}
	room := min(nameW, 220)
	p.x0, p.x1 = room+18, s.w-6
	mid := rowH / 2
	if s.narrow {
		rowH, room = 46, s.w-4
		mid = 31
		p.x0, p.x1 = 2, s.w-2
	}
	p.y1 = p.y0 + rowH*float64(len(rows)) + 4
	p.x = t.Axis.scale(values, int((p.x1-p.x0)/70), 0)
	// The ends of the bars need room for their words.
	p.x.from, p.x.to = p.x0+endW, p.x1-endW
	for _, tick := range p.x.ticks() {
		at := p.x.at(tick.Value)
		s.segment(at, p.y0, at, p.y1, grid, 1)
	}
	base := p.x.at(t.Base)
	for i, r := range rows {
		y := p.y0 + rowH*float64(i)
		name := fit(results.Line(r.Name, 80), room, s.size, false)
		if s.narrow {
			s.text(2, y+s.size+2, name, style{})
		} else {
			s.text(2, y+mid+s.size*0.34, name, style{})
		}
		s.tip(fmt.Sprintf("%s: %s at %s, %s at %s", results.Line(r.Name, 60), t.Axis.print(r.Low), results.Line(r.LowText, 30), t.Axis.print(r.High), results.Line(r.HighText, 30)), func() {
			for j, v := range []float64{r.Low, r.High} {
				x := p.x.at(v)
				a, b := min(x, base), max(x, base)
				q := polyline(a, y+mid-bar/2, b, y+mid-bar/2, b, y+mid+bar/2, a, y+mid+bar/2)
				q.Close()
				if j == 0 { // the low end of the assumption is hollow
					s.fill(q, paper)
					s.stroke(q, hueA, 1.6)
				} else {
					s.fill(q, hueA)
				}
			}
		})
		same := (r.Low-t.Base)*(r.High-t.Base) > 0
		for j, v := range []float64{r.Low, r.High} {
			x := p.x.at(v)
			word, left := results.Line([]string{r.LowText, r.HighText}[j], 30), v < t.Base
			if v == t.Base {
				left = []float64{r.High, r.Low}[j] > t.Base
			}
			word = fit(word, endW-8, s.small, false)
			if same && math.Abs(v-t.Base) < math.Abs([]float64{r.High, r.Low}[j]-t.Base) {
				continue // inside the other bar
			}
			if left {
				s.text(x-5, y+mid+s.small*0.34, word, style{ink: muted, size: s.small, anchor: end, halo: true})
			} else {
				s.text(x+5, y+mid+s.small*0.34, word, style{ink: muted, size: s.small, halo: true})
			}
		}
	}
	s.segment(base, p.y0-4, base, p.y1, text, 1.4)
	label := results.Line(t.BaseText, 60)
	if label == "" {
		label = "base " + t.Axis.print(t.Base)
	}
	label = fit(label, s.w, s.small, false)
	w := width(label, s.small, false)
	s.text(min(max(base, w/2), s.w-w/2), s.small, label, style{ink: muted, size: s.small, anchor: middle})
	s.xAxis(&p, t.Axis)
	s.h = p.y1 + s.below()
	foot := []string{"Hollow: at the low end of the assumption, filled: at the high end."}
	if more := len(t.Rows) - len(rows); more > 0 {
		foot = append(foot, fmt.Sprintf("%d more are not drawn.", more))
	}
	s.foot(foot)
}
