package chart

import (
	"cmp"
	"fmt"
	"html/template"
	"math"
	"slices"
	"strings"

	"github.com/perwatt/perwatt/results"
)

// Lines plots one quantity against another for a few series, such as a
// break-even price. Series with the same points become one, with all their names.
//
// A script can redraw it if its series have IDs. Each drawing is an svg with the
// attributes data-x and data-y: four numbers, the coordinates in the drawing of two points of
// the axis and their values, in the units of the axis; axes are linear and y runs
// down. What shows the ticks of an axis is in a g with data-axis. A series with an ID is
// a g with data-series="ID", whose paths are its line
// and its marks; a level with an ID is a g with data-level="ID", whose path and
// text lie at its value when the page was written.
type Lines struct {
	Head
	X, Y   Axis
	Series []Series
	Up     []Level // values of X, drawn as vertical lines
}

// Series is a line with a name.
type Series struct {
	ID       string // for a script: letters, digits and signs; may be empty
	Name     string
	Points   []LinePoint // in drawing order; one that is not drawable is a gap
	Modelled bool        // dashed, ~ before its name
	Marks    bool        // a mark at each point
}

// LinePoint is a point of a line; Low and High bound Y as in a Figure.
type LinePoint struct{ X, Y, Low, High float64 }

func (p LinePoint) ok() bool      { return drawable(p.Y) }
func (p LinePoint) bounded() bool { return drawable(p.Y) && drawable(p.Low) }

// Level is a reference line.
type Level struct {
	ID   string // for a script; may be empty
	At   float64
	Name string
}

// The most series of Lines, points of a series (longer ones are thinned out),
// points with marks, and levels.
const (
	lineSeries = 6
	linePoints = 120
	lineMarks  = 16
	lineLevels = 6
)

// SVG implements Chart.
func (l Lines) SVG() template.HTML {
	kx, ky := l.X.factor(), l.Y.factor()
	d := &lines{Lines: l}
	d.Series, d.Up = nil, nil
	for _, in := range l.Series {
		every := max(1, (len(in.Points)+linePoints-1)/linePoints)
		var points []LinePoint
		for i, p := range in.Points {
			if i%every != 0 && i != len(in.Points)-1 {
				continue
			}
			p = LinePoint{p.X * kx, p.Y * ky, p.Low * ky, p.High * ky}
			if !drawable(p.X) {
				p.Y = math.NaN()
			}
			if !(p.Low < p.High) || !drawable(p.High) {
				p.Low = math.NaN()
			}
			points = append(points, p)
		}
		in.Points, in.Marks = points, in.Marks && len(points) <= lineMarks
		if !slices.ContainsFunc(points, LinePoint.ok) {
			continue
		}
		if i := slices.IndexFunc(d.Series, in.same); i >= 0 && in.ID == "" {
			d.names[i] = append(d.names[i], in.Name)
			continue
		}
		d.Series, d.names = append(d.Series, in), append(d.names, []string{in.Name})
	}
	d.left = len(d.Series) - lineSeries
	d.Series = d.Series[:min(len(d.Series), lineSeries)]
	for _, v := range l.Up {
		if v.At *= kx; drawable(v.At) && len(d.Up) < lineLevels {
			d.Up = append(d.Up, v)
		}
	}
	results.SortStable(d.Up, func(a, b Level) int { return cmp.Compare(a.At, b.At) })
	return svg(l.Head, noteIf(len(d.Series) == 0, "no series has a point."), d)
}

type lines struct {
	Lines
	names [][]string // of each series
	left  int        // series not drawn, if more than 0
}

// same reports whether two series would be drawn on each other.
func (s Series) same(t Series) bool {
	alike := func(a, b float64) bool {
		return math.Abs(a-b) <= 1e-6*max(math.Abs(a), math.Abs(b)) || a != a && b != b
	}
	return s.Modelled == t.Modelled && s.Marks == t.Marks && slices.EqualFunc(s.Points, t.Points, func(p, q LinePoint) bool {
		return alike(p.X, q.X) && alike(p.Y, q.Y) && alike(p.Low, q.Low) && alike(p.High, q.High)
	})
}

// name is the label of series i: its names, up to what a reader takes in.
func (l *lines) name(i int) string {
	const most = 12
	names := l.names[i]
	var shown []string
	for _, n := range names[:min(len(names), most)] {
		if n = results.Line(n, 80); n != "" {
			shown = append(shown, n)
		}
	}
	if more := len(names) - most; more > 0 {
		shown = append(shown, fmt.Sprintf("and %d more alike", more))
	}
	return noteIf(l.Series[i].Modelled && len(shown) > 0, "~") + strings.Join(shown, ", ")
}

func (l *lines) describe() string {
	var parts []string
	for i, in := range l.Series {
		known := runs(in.Points, LinePoint.ok)
		last := known[len(known)-1]
		a, b := known[0][0], last[len(last)-1]
		parts = append(parts, fmt.Sprintf("%s from %s at %s to %s at %s", cmp.Or(results.Line(l.name(i), 80), "a line"),
			l.Y.print(a.Y), l.X.print(a.X), l.Y.print(b.Y), l.X.print(b.X)))
	}
	return fmt.Sprintf("%s against %s: %s.", cmp.Or(l.Y.Title, "y"), cmp.Or(l.X.Title, "x"), few(parts, 10))
}

// runs splits points at those that are not ok.
func runs(points []LinePoint, ok func(LinePoint) bool) (out [][]LinePoint) {
	from := 0
	for i := range len(points) + 1 {
		if i < len(points) && ok(points[i]) {
			continue
		}
		if i > from {
			out = append(out, points[from:i])
		}
		from = i + 1
	}
	return out
}

var dashes = [][]float64{nil, {8, 3}, {2, 3}, {10, 3, 2, 3}, {5, 3}, {1.5, 4}}

func (l *lines) pen(i int) lineStyle {
	dash := dashes[i%len(dashes)]
	if dash == nil && l.Series[i].Modelled {
		dash = []float64{4, 3}
	}
	return pen(hue(i), 2.1, dash...)
}

func (l *lines) draw(s *surface) {
	var xs, ys []float64
	for i, in := range l.Series {
		for _, q := range in.Points {
			if q.ok() {
				xs, ys = append(xs, q.X), append(ys, q.Y)
			}
			if q.bounded() {
				ys = append(ys, q.Low, q.High)
			}
		}
		if name := l.name(i); name != "" {
			s.legend(name, func(s *surface) {
				if len(in.Points) > 1 {
					s.stroke(l.pen(i), 1, swatchH/2, swatchW-1, swatchH/2)
				}
				if in.Marks || len(in.Points) == 1 {
					s.mark(swatchW/2, swatchH/2, 4, i, hue(i), in.Modelled)
				}
			})
		}
	}
	for _, v := range l.Up {
		xs = append(xs, v.At)
	}
	s.live = slices.ContainsFunc(l.Series, func(in Series) bool { return in.ID != "" })
	y := l.Y.scale(ys, 5, 0.06)
	top := s.heading(0, l.Y.title(y))
	if len(l.Up) > 0 {
		top += s.line
	}
	p := s.panel(top, 270, 8, y)
	p.x = l.X.scale(xs, p.columns(80), 0)
	if s.live {
		s.data = ends("x", p.x0, p.x1, p.x) + ends("y", p.y1, p.y0, p.y)
	}
	s.yAxis(p)
	s.xAxis(p, l.X)

	for _, in := range l.Series {
		for _, run := range runs(in.Points, LinePoint.bounded) {
			var ring []point
			for _, q := range run {
				ring = append(ring, p.at(q.X, q.High))
			}
			for _, q := range slices.Backward(run) {
				ring = append(ring, p.at(q.X, q.Low))
			}
			s.area(p, ring, deep)
		}
	}
	var marks []flag
	for _, v := range l.Up {
		marks = append(marks, flag{at: p.atX(v.At), name: v.Name})
	}
	notes := s.flags(marks)
	for i, v := range l.Up {
		s.group("data-level", v.ID, func() {
			s.stroke(pen(muted, 1.2), marks[i].at, p.y0-3, marks[i].at, p.y1)
			s.note(marks[i].x, p.y0-7, marks[i].label, middle)
		})
	}
	for i, in := range l.Series {
		s.group("data-series", in.ID, func() {
			for _, run := range runs(in.Points, LinePoint.ok) {
				var line []point
				for _, q := range run {
					line = append(line, p.at(q.X, q.Y))
				}
				s.polyline(p, line, l.pen(i))
				for _, q := range run {
					if in.Marks || len(run) == 1 {
						s.tip(fmt.Sprintf("%s: %s at %s", l.name(i), l.Y.print(q.Y), l.X.print(q.X)), func() {
							s.mark(p.atX(q.X), p.atY(q.Y), 4, i, hue(i), in.Modelled)
						})
					}
				}
			}
		})
	}
	s.foot(plain(noteIf(slices.ContainsFunc(l.Series, func(in Series) bool { return in.Modelled }), "~: not measured.")))
	s.foot(notes...)
	if l.left > 0 {
		s.foot(plain(results.Plural(l.left, "more line")+" not drawn") + l.rest())
	}
}

// Tornado shows how far each assumption moves an outcome. A script can redraw it if its
// rows have IDs: each drawing has data-x and data-axis as those of Lines, a row is a g with
// data-bar="ID", whose paths are its bar at the low end and that at the high end, and the
// outcome itself a g with data-base="BaseID", whose texts are its label.
type Tornado struct {
	Head
	Axis     Axis // of the outcome; it starts at zero only if Free is not set
	Base     float64
	BaseText string
	BaseID   string // for a script
	Rows     []Swing
}

// Swing is one assumption, with the outcome at its low and at its high end.
type Swing struct {
	ID        string // for a script; may be empty
	Name      string
	Low, High float64
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
	results.SortStable(rows, func(a, b Swing) int {
		return cmp.Or(cmp.Compare(math.Abs(b.High-b.Low), math.Abs(a.High-a.Low)), cmp.Compare(a.Name, b.Name))
	})
	t.Rows = rows
	why := noteIf(len(rows) == 0, "no assumption was varied.")
	return svg(t.Head, cmp.Or(noteIf(!drawable(t.Base), "the outcome itself is not known."), why), t)
}

func (t Tornado) describe() string {
	var parts []string
	for _, r := range t.Rows {
		parts = append(parts, fmt.Sprintf("%s: %s to %s", results.Line(r.Name, 40), t.Axis.print(r.Low), t.Axis.print(r.High)))
	}
	return fmt.Sprintf("%s, %s at base, by assumption, the widest first: %s.", cmp.Or(t.Axis.Title, "the outcome"), t.Axis.print(t.Base), few(parts, 10))
}

// draw draws bars that start at the base.
func (t Tornado) draw(s *surface) {
	const half = 8 // of the height of a bar
	drawn := t.Rows[:min(len(t.Rows), tornadoRows)]
	values, names := []float64{t.Base}, []string{}
	for _, r := range drawn {
		values, names = append(values, r.Low, r.High), append(names, r.Name)
	}
	title := s.wrap(cmp.Or(results.Line(t.BaseText, 60), "base "+t.Axis.print(t.Base)), s.w)
	room := 230.0
	if s.narrow {
		room = 0
	}
	p := s.rows(s.line*float64(len(title))+9, room, names, func(int) int { return 0 })
	p.x = t.Axis.scale(values, p.columns(70), 0.04)
	if s.live = drawn[0].ID != ""; s.live {
		s.data = ends("x", p.x0, p.x1, p.x)
	}
	base := p.atX(t.Base)
	bands := p.bands()
	for _, b := range bands {
		s.upright(&panel{box: b, x: p.x, y: p.y})
	}
	for i, r := range drawn {
		y := p.atY(p.row(i))
		s.rowName(p, i, false)
		s.group("data-bar", r.ID, func() {
			s.tip(fmt.Sprintf("%s: %s to %s", results.Line(r.Name, 60), t.Axis.print(r.Low), t.Axis.print(r.High)), func() {
				low, high := p.atX(r.Low), p.atX(r.High)
				bar := rectangle(min(low, base), y-half, math.Abs(low-base), 2*half)
				s.path(both(paper, pen(hueA, 1.6)), points(bar), true)
				s.rect(min(high, base), y-half, math.Abs(high-base), 2*half, hueA)
			})
		})
	}
	s.group("data-base", t.BaseID, func() {
		for _, b := range bands {
			s.stroke(pen(text, 1.4), base, b.y0, base, b.y1)
		}
		s.centred(base, s.small, s.w, title)
	})
	s.xAxis(p.panel, t.Axis)
	s.foot(plain("Hollow: at the low end of the assumption, filled: at the high end."), t.undrawn(len(t.Rows)-len(drawn), "assumption"))
}
