package modbus

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/perwatt/perwatt/results"
)

// order checks whether the words of a number are in the assumed order. Once a number
// was plausible only in the other order, all later readings are errors, since the next
// one may fit by chance. If the spec sets the order, only implausible numbers are
// errors, each by itself; if it does not, so is a plausible number that looks better in
// the other order.
type order struct {
	channel results.Channel
	most    float64 // W
	said    bool    // by the spec
	wrong   error

	known       bool
	last, other float64 // J
	at          time.Time
}

// doubt takes a value in W or J in the assumed order, and in the other one (NaN if it
// is not a number there), and returns an error if the assumed order looks wrong.
func (o *order) doubt(v, other float64, at time.Time) error {
	if o.said {
		o.wrong = nil
	}
	if o.wrong != nil {
		return o.wrong
	}
	if o.channel.Kind == results.Gauge {
		fits := func(watts float64) bool {
			return watts >= o.channel.LeastWatts() && watts <= o.most
		}
		// In the right order a decimal figure has few digits, except by chance.
		if fits(other) && (!fits(v) && v != 0 || fits(v) && !o.said && digits(other) < digits(v)) {
			o.wrong = fmt.Errorf("%.4g W, and %.6g W in the other order of its words: %s", v, other, o.remedy())
		}
		return o.wrong
	}
	if !o.known {
		o.known, o.last, o.other, o.at = true, v, other, at
		return nil
	}
	if v == o.last {
		return nil
	}
	may := o.most * (at.Sub(o.at).Seconds() + 1)
	fits := func(joules float64) bool { return joules > 0 && joules <= may }
	if !fits(v-o.last) && fits(other-o.other) {
		o.wrong = fmt.Errorf("it went from %.6g to %.6g J, and from %.6g to %.6g J in the other order of its words: %s", o.last, v, o.other, other, o.remedy())
	}
	o.last, o.other, o.at = v, other, at
	return o.wrong
}

func (o *order) remedy() string {
	if o.said {
		return "is it the other order=?"
	}
	return "say which it is, order=little or order=big"
}

// digits returns the number of decimal digits that v needs at single precision.
func digits(v float64) int {
	if math.IsNaN(v) {
		return math.MaxInt
	}
	n := 0
	for _, c := range strconv.FormatFloat(v, 'e', -1, 32) {
		switch {
		case c >= '0' && c <= '9':
			n++
		case c == 'e':
			return n
		}
	}
	return n
}
