package power

import (
	"context"
	"time"

	"github.com/perwatt/perwatt/results"
)

// CardMeter is a [Meter] of cards that also reports in which state they work.
type CardMeter interface {
	Meter

	// Cards returns the state of each card now, in a fixed order. It may be called
	// while Read runs, by one goroutine at a time, and costs the driver about as much.
	Cards(ctx context.Context) []Card
}

// Card is the state of a card at an instant, as its driver reports it. What the card
// or the driver does not report is absent.
type Card struct {
	Card string // as in [results.Channel]
	At   time.Time

	Clock       results.Float // Hz, of the processors
	MemoryClock results.Float // Hz
	Temperature results.Float // K, of the hottest place
	Limit       results.Float // W, the lowest of all limits of its power
	Default     results.Float // W, the limit that the card is shipped with

	// Held are the reasons ([results.HeldByPower] and so on) for which the clocks
	// are lower than asked for: nil if the driver does not tell, and empty if
	// nothing holds them back.
	Held []string

	Corrected, Uncorrected results.Float // errors of the memory since the driver was loaded

	Err error // why nothing is known now: the card is lost, or its driver hangs
}

// UnknownCard is the state of a card of which nothing is known yet.
func UnknownCard(card string) Card {
	none := results.Absent()
	return Card{Card: card, At: time.Now(), Clock: none, MemoryClock: none, Temperature: none, Limit: none, Default: none, Corrected: none, Uncorrected: none}
}

// Limits of what is believed of a card: a fast clock, a hot one and a limit of the
// largest board are a third of these.
const (
	mostClock  = 20e9 // Hz
	leastHeat  = 200  // K
	mostHeat   = 500  // K
	mostLimit  = 10e3 // W
	mostErrors = 1 << 52
)

// Believable replaces what no card has by absent figures: drivers report all bits
// set, or zero, for what they do not know.
func (c Card) Believable() Card {
	keep := func(v *results.Float, least, most results.Float) {
		if !(*v >= least && *v <= most) {
			*v = results.Absent()
		}
	}
	keep(&c.Clock, 1, mostClock)
	keep(&c.MemoryClock, 1, mostClock)
	keep(&c.Temperature, leastHeat, mostHeat)
	keep(&c.Limit, 1, mostLimit)
	keep(&c.Default, 1, mostLimit)
	keep(&c.Corrected, 0, mostErrors)
	keep(&c.Uncorrected, 0, mostErrors)
	return c
}
