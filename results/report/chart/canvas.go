package chart

import (
	"bytes"
	"image/color"
	"math"
	"strconv"

	"gonum.org/v1/plot/vg"
)

// canvas is a vg.Canvas that writes SVG elements. It implements what gonum's
// plotters call to draw polylines; of arcs it draws full circles. All other
// methods are nil. A colour must be an ink and becomes a class.
type canvas struct {
	vg.Canvas
	buf   bytes.Buffer
	look  string // attributes of the open path element; "" if none is open
	ink   ink
	width vg.Length
	dash  []vg.Length
}

func (c *canvas) SetColor(i color.Color)                 { c.ink, _ = i.(ink) }
func (c *canvas) SetLineWidth(w vg.Length)               { c.width = w }
func (c *canvas) SetLineDash(d []vg.Length, _ vg.Length) { c.dash = d }

// Stroke draws a line along p, if lines have a width.
func (c *canvas) Stroke(p vg.Path) {
	if c.width <= 0 {
		return
	}
	look := ` class="s-` + string(c.ink) + `"`
	if c.width != 1 {
		look += attr("stroke-width", float64(c.width))
	}
	for i, d := range c.dash {
		if i == 0 {
			look += ` stroke-dasharray="` + number(float64(d))
		} else {
			look += " " + number(float64(d))
		}
	}
	if len(c.dash) > 0 {
		look += `"`
	}
	c.draw(p, look)
}

// Fill fills p.
func (c *canvas) Fill(p vg.Path) { c.draw(p, ` class="f-`+string(c.ink)+`"`) }

// draw appends p to the previous element if both look the same, so that a grid
// or the error bars of a series take one element.
func (c *canvas) draw(p vg.Path, look string) {
	if len(p) == 0 { // clipped away
		return
	}
	if p[0].Type == vg.ArcComp {
		c.markup("<circle" + look + attr("cx", float64(p[0].Pos.X)) + attr("cy", -float64(p[0].Pos.Y)) + attr("r", float64(p[0].Radius)) + "/>")
		return
	}
	if look != c.look {
		c.markup("<path" + look + ` d="`)
		c.look = look
	}
	last := vg.CloseComp
	for _, k := range p {
		switch {
		case k.Type == vg.CloseComp:
			c.buf.WriteByte('Z')
			continue
		case k.Type == vg.MoveComp:
			c.buf.WriteByte('M')
		case k.Type != last:
			c.buf.WriteByte('L')
		default:
			c.buf.WriteByte(' ')
		}
		last = k.Type
		var space [32]byte // a path of a year has hundreds of points: no string for each
		xy := append(appendNumber(space[:0], float64(k.Pos.X)), ' ')
		c.buf.Write(appendNumber(xy, -float64(k.Pos.Y)))
	}
}

// markup closes the open path element, if any, and writes s.
func (c *canvas) markup(s string) {
	if c.look != "" {
		c.buf.WriteString(`"/>`)
		c.look = ""
	}
	c.buf.WriteString(s)
}

func attr(name string, v float64) string { return " " + name + `="` + number(v) + `"` }

// number prints v to a tenth of a user unit.
func number(v float64) string { return string(appendNumber(nil, v)) }

func appendNumber(b []byte, v float64) []byte {
	t := math.Round(v*10) / 10
	if t == 0 || !drawable(t) {
		t = 0 // -0 as well
	}
	return strconv.AppendFloat(b, t, 'f', -1, 64)
}
