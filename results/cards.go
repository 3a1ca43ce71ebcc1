package results

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Equal cards of a node that work at the same use at the same time are measured
// together. Each has a row, which says how fast it was, and what it drew where a
// meter has a channel of it. One row more has the sum of those that gave results;
// the watts of the primary meter are in this row alone, since a meter of the node
// sees all cards together. There is no sum where one of the cards gave wrong answers.

// CardSum is what the sum of several cards is made of.
type CardSum struct {
	Of      int    `json:"of"`      // cards that the scenario runs on
	Gave    int    `json:"gave"`    // of them, those that gave the results that are summed
	Slowest string `json:"slowest"` // id of the slowest of these
	Share   Float  `json:"share"`   // its throughput over the median of theirs, at most 1; null without one
}

// Independent reports whether the row sums several cards of which each trains a model of
// its own: they exchange nothing, and say nothing of one model on all of them.
func (r *Row) Independent() bool { return r.Cards != nil && r.Trains() }

// NoteIndependent says so of a table with such a row.
const NoteIndependent = "Several cards in one row of training train independent models, one a card: how one model scales over them is the scaling efficiency of training-parallel, which is measured only if it is named (--uses training-parallel)."

// maxCards is the most cards that one id names.
const maxCards = 1024

// CardsID is the id of several cards together: their numbers in order, with ranges,
// such as cuda:0-2,4 for cuda:0, cuda:1, cuda:2 and cuda:4. One card keeps its id. It
// is no id of cards if they have several drivers, or if one is no card with a number.
func CardsID(ids []string) (id string, ok bool) {
	driver, numbers := "", make([]int, 0, len(ids))
	for i, id := range ids {
		d, number, found := strings.Cut(id, ":")
		n, err := strconv.ParseUint(number, 10, 31)
		if !found || err != nil || d == "" || i > 0 && d != driver {
			return "", false
		}
		driver, numbers = d, append(numbers, int(n))
	}
	slices.Sort(numbers)
	if len(slices.Compact(numbers)) < len(ids) {
		return "", false
	}
	var ranges []string
	for i := 0; i < len(numbers); {
		j := i
		for j+1 < len(numbers) && numbers[j+1] == numbers[j]+1 {
			j++
		}
		text := strconv.Itoa(numbers[i])
		if numbers[j] > numbers[i] {
			text += "-" + strconv.Itoa(numbers[j])
		}
		ranges, i = append(ranges, text), j+1
	}
	return driver + ":" + strings.Join(ranges, ","), len(ids) > 0
}

// CardsOf lists the devices that an id of [CardsID] names; an id of another shape,
// or of more than 1024 cards, names one device.
func CardsOf(id string) []string {
	driver, numbers, found := strings.Cut(id, ":")
	if !found || driver == "" || !strings.ContainsAny(numbers, ",-") || len(id) > 8*maxCards {
		return []string{id}
	}
	var out []string
	last := -1
	for part := range strings.SplitSeq(numbers, ",") {
		from, to, isRange := strings.Cut(part, "-")
		a, err := strconv.ParseUint(from, 10, 31)
		b := a
		if err == nil && isRange {
			b, err = strconv.ParseUint(to, 10, 31)
		}
		if err != nil || b < a || int(a) <= last || int(b-a)+len(out) >= maxCards {
			return []string{id}
		}
		for last = int(b); a <= b; a++ {
			out = append(out, driver+":"+strconv.FormatUint(a, 10))
		}
	}
	return out
}

// together adds to the windows of a run the sums of uses that several cards share,
// and tells each of these cards' windows to which sum it belongs.
func (d *deriver) together(r *indexedRun, uses []*Window) {
	type share struct {
		use  string
		role Role
	}
	type cards struct {
		ids, impls []string
		gave       []*Window
		wrong      bool // one of them
	}
	all, order := map[share]*cards{}, []*cards(nil)
	of := func(u Use) *cards {
		d.named(u.Use)
		k := share{u.Use, u.Role}
		if all[k] == nil {
			all[k] = new(cards)
			order = append(order, all[k])
		}
		return all[k]
	}
	for _, u := range r.Uses {
		c := of(u)
		c.ids = append(c.ids, u.Device)
		if u.Error != "" {
			d.spend(len(r.Checks))
			c.wrong = c.wrong || r.Wrong(u) != ""
		}
		if d.copied(u.Device, u.Impl); len(c.impls) < 8 && !slices.Contains(c.impls, u.Impl) {
			c.impls = append(c.impls, u.Impl)
		}
	}
	for _, w := range uses {
		c := of(w.Use)
		c.gave = append(c.gave, w)
	}
	for _, c := range order {
		id, ok := CardsID(c.ids)
		if len(c.ids) < 2 || len(c.gave) == 0 || !ok {
			continue
		}
		sum := *c.gave[0]
		sum.Use.Device, sum.Use.Impl, sum.of, sum.parts = id, strings.Join(c.impls, ", "), len(c.ids), c.gave
		sum.Work, sum.CPU, sum.Clock = 0, 0, Absent()
		for _, w := range c.gave {
			w.sum, w.sumless = id, c.wrong
			sum.Work, sum.CPU = sum.Work+w.Work, sum.CPU+w.CPU
		}
		if c.wrong {
			continue
		}
		d.sums = append(d.sums, &sum)
	}
}

// given names the cards that gave a sum.
func (w *Window) given() string {
	ids := make([]string, len(w.parts))
	for i, p := range w.parts {
		ids[i] = p.Use.Device
	}
	id, _ := CardsID(ids)
	return id
}

// alike keeps those windows of a sum that are made of the same cards: those that
// most windows are made of, of two sets the one with more cards. A mean over
// different sets would be the rate of no machine.
func (d *deriver) alike(ws []*Window) (kept []*Window) {
	if len(ws[0].parts) == 0 {
		return ws
	}
	sets, n := map[string][]*Window{}, 0
	for _, w := range ws {
		d.spend(64 * len(w.parts))
		sets[w.given()] = append(sets[w.given()], w)
	}
	for _, set := range slices.Sorted(maps.Keys(sets)) {
		of := sets[set]
		if more := cmp.Or(cmp.Compare(len(of), len(kept)), cmp.Compare(len(of[0].parts), n)); more > 0 {
			kept, n = of, len(of[0].parts)
		}
	}
	return kept
}

// scaling adds to the figures of several cards that train one model how much of that many
// times the rate of one of them alone they reach. The effect of each round on both is in
// its interval.
func (d *deriver) scaling(m map[string]Figure, ws []*Window, rows [][]*Window) {
	u := &ws[0].Use
	if !u.Parallel() {
		return
	}
	cards := u.Devices()
	single := strings.Replace(u.Use, Parallel, "", 1)
	rate := func(ws []*Window) quotient { return sums(ws, (*Window).work, (*Window).seconds) }
	m[ScalingEfficiency] = missing(Ratio, Reason{NoPair, "one card alone was not measured in this session with the same model, batch and kernels"})
	for _, alone := range rows {
		d.spend(8 + len(cards))
		one := &alone[0].Use
		if one.Use != single || one.Role != Alone || alone[0].sum != "" || !slices.Contains(cards, one.Device) || one.Impl != u.Impl ||
			one.Params["model"] != u.Params["model"] || one.Params["batch"] != u.Params["batch"] {
			continue
		}
		d.spend(64 * (len(ws) + len(alone)))
		if q := rate(ws).over(rate(alone)).scaled(1 / float64(len(cards))); q.value > 0 && !math.IsInf(q.value, 0) {
			m[ScalingEfficiency] = q.metric(Ratio, false)
		}
		return
	}
}

// mostScaling is the scaling efficiency above which it is doubted: cards that wait for
// each other are not faster than one that waits for none.
const mostScaling = 1.05

// flagScaling warns of cards that are faster together.
func (d *deriver) flagScaling(rows []Row) {
	for i := range rows {
		r := &rows[i]
		if e := r.Metrics[ScalingEfficiency].Value; e > mostScaling {
			d.named(r.Device)
			d.flag("", "scaling-high", fmt.Sprintf("%s has a scaling efficiency of %.0f %%; above %.0f %% is suspect", Line(r.Scenario, mostQuoted), 100*float64(e), 100*mostScaling),
				"see whether the one card alone was slowed down (clock, temperature, another program), and measure more rounds")
		}
	}
}

// cards describes the cards of a row; nil if it is no sum.
func (d *deriver) cards(ws []*Window) *CardSum {
	if len(ws[0].parts) == 0 {
		return nil
	}
	d.spend(16 * len(ws) * len(ws[0].parts))
	c := &CardSum{Of: ws[0].of, Gave: len(ws[0].parts), Share: Absent()}
	rates, slowest := make([]float64, c.Gave), 0
	for i := range rates {
		q := sums(ws, func(w *Window) Float { return w.parts[i].Work }, (*Window).seconds)
		if rates[i] = q.value; rates[i] < rates[slowest] {
			slowest = i
		}
	}
	c.Slowest = ws[0].parts[slowest].Use.Device
	if median, _, _ := MedianInterval(rates); median > 0 {
		c.Share = Float(rates[slowest] / median)
	}
	return c
}

// ofOne puts into the figures of one card of several the watts of that card, and
// what is made of them; without a channel of the card, the reason for which there are
// none. What is relative to a control, or to a target, has none of the card's.
func (d *deriver) ofOne(metrics map[string]Figure, ws []*Window) {
	d.copied(ws[0].sum)
	why := Reason{SharedEnergy, fmt.Sprintf("the energy is that of all cards together: see the row of %s", ws[0].sum)}
	switch {
	case !d.metered:
		why = d.unmetered
	case !slices.ContainsFunc(ws, func(w *Window) bool { return !w.sumless }):
		why.Why = fmt.Sprintf("the energy is that of %s together, of which one gave wrong answers", ws[0].sum)
	}
	for _, name := range []string{Power, NetPower, Energy, WorkPerEnergy, EnergyPerWork, EnergyToTarget, RelativePower, RelativeWorkPerEnergy} {
		if m, ok := metrics[name]; ok {
			metrics[name] = missing(m.Unit, why)
		}
	}
	d.spend(8 * len(d.perCard))
	i := slices.IndexFunc(d.perCard, func(c cardTotal) bool {
		return c.device == ws[0].Use.Device && d.stray(c.parts[0].Channel) == Known
	})
	if i < 0 || !d.metered {
		return
	}
	one := *d
	one.head, one.control = d.perCard[i].meterTotal, nil
	own, _ := one.metrics(one.reread(ws))
	if own[Power].Value.IsAbsent() {
		return
	}
	for _, name := range []string{Power, NetPower, Energy, WorkPerEnergy, EnergyPerWork} {
		metrics[name] = own[name]
	}
}

// reread copies windows, with the energy that the primary meter has of them and of
// their idle runs.
func (d *deriver) reread(ws []*Window) (out []*Window) {
	idle := map[int]*indexedRun{}
	for _, r := range d.good {
		if len(r.Uses) == 0 {
			idle[r.Round] = r
		}
	}
	d.spend(len(d.good))
	energy := func(r *indexedRun) (Float, Reason) {
		if slices.ContainsFunc(r.halts(r.from, r.to), func(h halt) bool { return h.who == MachineSuspended }) {
			return Absent(), Because(Slept)
		}
		return d.head.energy(r, r.from, r.to)
	}
	for _, w := range ws {
		own := *w
		own.Energy, own.why = energy(w.run)
		own.uncertain = d.head.within(w.run, w.run.from, w.run.to)
		if before := idle[w.Round]; before != nil {
			joules, _ := energy(before)
			length := before.to - before.from
			own.idle, own.idleTerms = joules/Float(length), d.head.within(before, before.from, before.to).scale(1/length)
		}
		out = append(out, &own)
	}
	return out
}

// flagCards warns of cards that gave no result, and of rounds that a sum leaves out
// for it.
func (d *deriver) flagCards(rows [][]*Window) {
	for i := range d.runs {
		r := &d.runs[i]
		for _, u := range r.Uses {
			if d.named(u.Device); u.Error == "" || r.Status != OK {
				continue
			}
			if d.spend(len(r.Checks)); r.Wrong(u) != "" {
				d.flag(r.name, "card-wrong", fmt.Sprintf("%s has no result, and all cards together have none: %s", d.rec.Node.UseName(u.Use, u.Device), u.Error),
					"look at the card (dmesg, nvidia-smi -q, rocm-smi), and measure the others without it")
			} else {
				d.flag(r.name, "card-lost", fmt.Sprintf("%s gave no result: %s", d.rec.Node.UseName(u.Use, u.Device), u.Error),
					"look at the card (dmesg, nvidia-smi -q, rocm-smi): the sum is that of the other cards, and the watts are those of all")
			}
		}
	}
	kept := map[RowKey]int{}
	for _, ws := range rows {
		kept[ws[0].row()] = len(ws)
	}
	all := map[RowKey]int{}
	for _, w := range d.sums {
		if !w.run.left {
			all[w.row()]++
		}
	}
	for _, ws := range rows {
		if n := all[ws[0].row()]; len(ws[0].parts) > 0 && n > len(ws) {
			d.flag("", "cards-differ", fmt.Sprintf("%s: %s gave results in %d of %d rounds, and their sum is of these rounds alone", ws[0].Scenario, ws[0].given(), len(ws), n),
				"measure again without the card that came and went")
		}
	}
	for _, c := range d.coRunning(rows) {
		scenario, u := c.front[0].Scenario, c.front[0].Use
		if with, alone := c.front[0].given(), c.alone[0].given(); with != alone {
			d.flag("", "cards-differ", fmt.Sprintf("%s: %s ran on %s with mining behind it and on %s alone: what the mining costs it is not known", scenario, u.Use, with, alone),
				"measure again without the card that came and went")
		}
	}
	behind := map[string]string{} // by scenario: where it mines
	for _, ws := range rows {
		if u := ws[0].Use; ws[0].sum == "" && u.Role == Background {
			behind[ws[0].Scenario] = u.Device
		}
	}
	for _, ws := range rows {
		if u := ws[0].Use; ws[0].sum == "" && u.Role == Foreground && u.Device != CPUDevice && behind[ws[0].Scenario] == u.Device {
			d.flag("", "time-sliced", fmt.Sprintf("%s: %s and mining share %s in time slices that its driver chooses, and neither has precedence", ws[0].Scenario, u.Use, u.Device),
				"read it as what sharing a card costs; mullet@"+u.Device+" has the mining on the CPU")
		}
	}
}
