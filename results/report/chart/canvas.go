package chart

import (
	"bytes"
	"image"
	"image/color"
	"math"
	"strconv"

	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/vg"
)

// canvas is a vg.Canvas that writes SVG elements. Colours are classes, so
// that only inks have one; every other colour is the ink of text. Images are
// not drawn.
type canvas struct {
	buf    bytes.Buffer
	base   float64 // the size of type that needs no attribute
	height float64 // where the origin of vg lies, down from that of SVG
	state
	stack []state
}

type state struct {
	ink    ink
	width  vg.Length
	dash   []vg.Length
	a      [6]float64 // x' = a0·x + a2·y + a4, y' = a1·x + a3·y + a5
	anchor string
	size   float64
	bold   bool
	halo   bool
}

var _ vg.Canvas = (*canvas)(nil)

func newCanvas() *canvas {
	c := &canvas{state: state{a: [6]float64{1, 0, 0, 1, 0, 0}}}
	vg.Initialize(c)
	return c
}

func (c *canvas) SetLineWidth(w vg.Length)               { c.width = w }
func (c *canvas) SetLineDash(d []vg.Length, _ vg.Length) { c.dash = d }

func (c *canvas) SetColor(col color.Color) {
	if i, ok := col.(ink); ok {
		c.ink = i
	} else {
		c.ink = text
	}
}

func (c *canvas) concat(b [6]float64) {
	a := c.a
	c.a = [6]float64{
		a[0]*b[0] + a[2]*b[1], a[1]*b[0] + a[3]*b[1],
		a[0]*b[2] + a[2]*b[3], a[1]*b[2] + a[3]*b[3],
		a[0]*b[4] + a[2]*b[5] + a[4], a[1]*b[4] + a[3]*b[5] + a[5],
	}
}

func (c *canvas) Rotate(rad float64) {
	s, k := math.Sincos(rad)
	c.concat([6]float64{k, s, -s, k, 0, 0})
}
func (c *canvas) Translate(p vg.Point) { c.concat([6]float64{1, 0, 0, 1, float64(p.X), float64(p.Y)}) }
func (c *canvas) Scale(x, y float64)   { c.concat([6]float64{x, 0, 0, y, 0, 0}) }
func (c *canvas) Push()                { c.stack = append(c.stack, c.state) }
func (c *canvas) Pop() {
	c.state = c.stack[len(c.stack)-1]
	c.stack = c.stack[:len(c.stack)-1]
}

// at is where p lies in SVG's coordinates.
func (c *canvas) at(p vg.Point) (x, y float64) {
	px, py := float64(p.X), float64(p.Y)
	return c.a[0]*px + c.a[2]*py + c.a[4], c.height - (c.a[1]*px + c.a[3]*py + c.a[5])
}

// Stroke draws a line along the path.
func (c *canvas) Stroke(p vg.Path) {
	if c.width <= 0 {
		return
	}
	c.path(p, "s-")
	if c.width != 1 {
		c.attr("stroke-width", float64(c.width))
	}
	if len(c.dash) > 0 {
		c.buf.WriteString(` stroke-dasharray="`)
		for i, d := range c.dash {
			if i > 0 {
				c.buf.WriteByte(' ')
			}
			c.number(float64(d))
		}
		c.buf.WriteByte('"')
	}
	c.buf.WriteString("/>")
}

// Fill fills the path.
func (c *canvas) Fill(p vg.Path) {
	c.path(p, "f-")
	c.buf.WriteString("/>")
}

func (c *canvas) path(p vg.Path, role string) {
	class := role + string(c.ink)
	if len(p) == 1 && p[0].Type == vg.ArcComp {
		x, y := c.at(p[0].Pos)
		c.buf.WriteString(`<circle class="` + class + `"`)
		c.attr("cx", x)
		c.attr("cy", y)
		c.attr("r", float64(p[0].Radius))
		return
	}
	c.buf.WriteString(`<path class="` + class + `" d="`)
	last := byte(0)
	put := func(cmd byte, pts ...vg.Point) {
		if cmd != last || cmd == 'M' {
			c.buf.WriteByte(cmd)
		} else {
			c.buf.WriteByte(' ')
		}
		last = cmd
		for i, q := range pts {
			if i > 0 {
				c.buf.WriteByte(' ')
			}
			x, y := c.at(q)
			c.number(x)
			c.buf.WriteByte(' ')
			c.number(y)
		}
	}
	for _, k := range p {
		switch k.Type {
		case vg.MoveComp:
			put('M', k.Pos)
		case vg.LineComp:
			put('L', k.Pos)
		case vg.CurveComp:
			if len(k.Control) == 1 {
				put('Q', k.Control[0], k.Pos)
			} else {
				put('C', k.Control[0], k.Control[1], k.Pos)
			}
		case vg.ArcComp: // as chords of an eighth of a turn or less: only whole circles are drawn here
			n := int(math.Ceil(math.Abs(k.Angle)/(math.Pi/4))) + 1
			for i := 0; i <= n; i++ {
				s, o := math.Sincos(k.Start + k.Angle*float64(i)/float64(n))
				q := vg.Point{X: k.Pos.X + k.Radius*vg.Length(o), Y: k.Pos.Y + k.Radius*vg.Length(s)}
				if i == 0 && last == 0 {
					put('M', q)
				} else {
					put('L', q)
				}
			}
		case vg.CloseComp:
			c.buf.WriteByte('Z')
			last = 'Z'
		}
	}
	c.buf.WriteByte('"')
}

// FillString writes text; its place along the line is that of its anchor, so
// that it stands right in whatever font the reader has.
func (c *canvas) FillString(f font.Face, p vg.Point, s string) {
	size := c.size
	if size == 0 {
		size = float64(f.Font.Size)
	}
	if size == 0 || s == "" {
		return
	}
	x, y := c.at(p)
	class := "f-" + string(c.ink)
	if c.bold {
		class = "b " + class
	}
	if c.halo {
		class = "h " + class
	}
	c.buf.WriteString(`<text class="` + class + `"`)
	c.attr("x", x)
	c.attr("y", y)
	if size != c.base {
		c.attr("font-size", size)
	}
	if c.anchor != "" {
		c.buf.WriteString(` text-anchor="` + c.anchor + `"`)
	}
	c.buf.WriteString(">" + escape(s) + "</text>")
}

// DrawImage draws nothing.
func (c *canvas) DrawImage(vg.Rectangle, image.Image) {}

func (c *canvas) attr(name string, v float64) {
	c.buf.WriteString(" " + name + `="`)
	c.number(v)
	c.buf.WriteByte('"')
}

// number writes v to a tenth of a unit.
func (c *canvas) number(v float64) {
	t := math.Round(v*10) / 10
	if t == 0 || !drawable(t) {
		t = 0 // -0 as well
	}
	c.buf.Write(strconv.AppendFloat(c.buf.AvailableBuffer(), t, 'f', -1, 64))
}
