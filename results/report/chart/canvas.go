package chart

import (
	"bytes"
	"math"
	"strconv"
	"strings"
)

// canvas writes SVG elements.
type canvas struct {
	buf  bytes.Buffer
	look string // attributes of the open path element; "" if none is open
}

// point is a place on a surface, in its user units: y runs down.
type point struct{ x, y float64 }

// lineStyle is the look of a line.
type lineStyle struct {
	ink   ink
	width float64
	dash  []float64
}

func (l lineStyle) look() string {
	look := ` class="s-` + string(l.ink) + `"`
	if l.width != 1 {
		look += attr("stroke-width", l.width)
	}
	for i, d := range l.dash {
		if i == 0 {
			look += ` stroke-dasharray="` + number(d)
		} else {
			look += " " + number(d)
		}
	}
	if len(l.dash) > 0 {
		look += `"`
	}
	return look
}

// both is the look of an area filled with an ink and outlined.
func both(fill ink, line lineStyle) string {
	return strings.Replace(line.look(), `"s-`, `"f-`+string(fill)+" s-", 1)
}

func filled(i ink) string { return ` class="f-` + string(i) + `"` }

// path draws through points. It continues the previous element if both look the same, so
// that a grid or the error bars of a series take one element.
func (c *canvas) path(look string, points []point, close bool) {
	if len(points) == 0 { // clipped away
		return
	}
	if look != c.look {
		c.markup("<path" + look + ` d="`)
		c.look = look
	}
	for i, p := range points {
		c.buf.WriteByte("ML "[min(i, 2)])
		var space [32]byte // a path of a year has hundreds of points: no string for each
		xy := append(appendNumber(space[:0], p.x), ' ')
		c.buf.Write(appendNumber(xy, p.y))
	}
	if close {
		c.buf.WriteByte('Z')
	}
}

func (c *canvas) circle(look string, at point, r float64) {
	c.markup("<circle" + look + attr("cx", at.x) + attr("cy", at.y) + attr("r", r) + "/>")
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
