package results

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// Feed is what a recording holds of one meter around the runs of a record.
type Feed struct {
	Meter Meter // as it was opened, with the channels that are wanted
	// Lines are the readings of the meter, and what befell it or all, in their order.
	Lines     []RecordingLine
	Recording Recording
	// Margin is the time in s before and after a run from which readings are taken, too:
	// a few intervals of the meter.
	Margin float64
	// Nodes is how many nodes the meter feeds, each of which may draw what is plausible at
	// its boundary unless the channel says what it may read; 0 stands for 1.
	Nodes int
}

// FeedChannels returns the channels of a meter as those of part i, from 0, of a meter that
// adds up several feeds of a node: their names and places stay apart.
func FeedChannels(i int, meter string, channels []Channel) []Channel {
	out := slices.Clone(channels)
	for k := range out {
		c := &out[k]
		c.Name = fmt.Sprintf("%d-%s-%s", i+1, meter, c.Name)
		if c.Place != "" { // the same outlet number on another plug is another place
			c.Place = fmt.Sprintf("%d-%s", i+1, c.Place)
		}
	}
	return out
}

// Join returns the record that a session would have made if it had read further meters in
// place: a copy with the identifier id and the readings of the feeds, whose summary is
// derived anew. Feeds of one boundary add up to one meter of the node. Readings keep their
// values; their times become those of the record by the anchor of each run and the offset
// of the clocks, whose half-width is in the budget of every figure. A gap stays a gap, and
// so is a reading that is not plausible at its boundary, two values of one time, and
// a silence of a gauge over more than a tenth of a window and three of its intervals, of
// which the recording has no error: nothing recorded then.
//
// The error says why nothing can be joined.
func Join(ctx context.Context, rec *Record, id string, feeds []Feed) (*Record, error) {
	if len(feeds) == 0 {
		return nil, errors.New("results: join: no feed")
	}
	for _, w := range rec.Summary.Flags {
		if w.Code == clockStep {
			return nil, fmt.Errorf("results: join: %s: no reading has a time of this session: measure again with a clock that is kept", w.Text)
		}
	}
	out := *rec
	out.ID, out.From, out.Digest = id, rec.ID, Digest{}
	out.Meters, out.MeterProbes, out.Runs = slices.Clone(rec.Meters), slices.Clone(rec.MeterProbes), slices.Clone(rec.Runs)
	for i := range out.Runs {
		out.Runs[i].Traces = slices.Clip(out.Runs[i].Traces)
	}
	for _, parts := range boundaries(feeds) {
		m := Meter{Name: parts[0].Meter.Name, Source: parts[0].Meter.Source, Period: parts[0].Meter.Period, Notes: parts[0].Meter.Notes}
		channels := [][]Channel{parts[0].Meter.Channels}
		if len(parts) > 1 {
			m, channels = summed(parts)
		}
		m.Name = out.free(m.Name)
		for i, f := range parts {
			m.Channels = append(m.Channels, channels[i]...)
			m.Recordings = append(m.Recordings, f.Recording)
			f.order()
			intervals := make([]float64, len(channels[i]))
			for k, c := range f.Meter.Channels {
				intervals[k] = f.interval(c.Name)
			}
			for k := range out.Runs {
				f.into(&out.Runs[k], m.Name, channels[i], intervals)
			}
		}
		out.Meters = append(out.Meters, m)
		out.MeterProbes = append(out.MeterProbes, MeterProbe{Meter: m.Name, State: "used", Detail: "recorded on " + parts[0].Recording.Host + " and joined afterwards: " + m.Source})
	}
	var err error
	out.Summary, err = DeriveWithin(ctx, &out)
	return &out, err
}

// boundaries groups feeds by the totals to which they contribute, in their order.
func boundaries(feeds []Feed) (out [][]Feed) {
	at := map[string]int{}
	for _, f := range feeds {
		var totals []string
		for _, c := range f.Meter.Channels {
			if c.Total != "" && !slices.Contains(totals, string(c.Total)) {
				totals = append(totals, string(c.Total))
			}
		}
		slices.Sort(totals)
		key := strings.Join(totals, ",")
		i, known := at[key]
		if !known || key == "" {
			i = len(out)
			at[key], out = i, append(out, nil)
		}
		out[i] = append(out[i], f)
	}
	return out
}

// summed describes several feeds as one meter.
func summed(parts []Feed) (m Meter, channels [][]Channel) {
	m.Period = Absent()
	var names, sources []string
	for i, f := range parts {
		names, sources = append(names, f.Meter.Name), append(sources, f.Meter.Source)
		if p := f.Meter.Period; !p.IsAbsent() && !(m.Period >= p) {
			m.Period = p
		}
		channels = append(channels, FeedChannels(i, f.Meter.Name, f.Meter.Channels))
		for _, n := range f.Meter.Notes {
			m.Notes = append(m.Notes, fmt.Sprintf("%d-%s: %s", i+1, f.Meter.Name, n))
		}
	}
	m.Name, m.Source = strings.Join(names, "+"), strings.Join(sources, " + ")
	m.Notes = append(m.Notes, "the sum of separate feeds, as the map of meters says: "+m.Source)
	return m, channels
}

// free returns a name that no meter of the record has.
func (r *Record) free(wanted string) string {
	name := wanted
	for i := 2; slices.ContainsFunc(r.Meters, func(m Meter) bool { return m.Name == name }); i++ {
		name = fmt.Sprintf("%s-%d", wanted, i)
	}
	return name
}

// Span is the time in s of the record from the first phase of a run to the end of its
// last; ok is false for a run without phases.
func (r *Run) Span() (from, to float64, ok bool) {
	from, to = math.Inf(1), math.Inf(-1)
	for _, p := range r.Phases {
		from, to = min(from, float64(p.From)), max(to, float64(p.To))
	}
	return from, to, from <= to
}

// into adds the readings of a feed to a run, as those of a meter. names are the channels
// of the feed as the meter has them, intervals the s between two of their readings.
func (f *Feed) into(r *Run, meter string, channels []Channel, intervals []float64) {
	from, to, ok := r.Span()
	if !ok {
		return
	}
	around := f.Margin + float64(f.Recording.Within)
	from, to = from-around, to+around
	second := func(l *RecordingLine) float64 {
		return float64(r.Anchor.T) + l.At.Sub(r.Anchor.UTC).Seconds() - float64(f.Recording.Offset)
	}
	tracks := make([]track, len(channels))
	for i, c := range channels {
		tracks[i] = track{Trace: Trace{Key: MeterKey(meter, c.Name), Unit: c.Unit, Kind: c.Kind, Boundary: c.Boundary, Origin: c.Origin},
			channel: c, most: f.most(c), silence: math.Inf(1), last: math.NaN()}
		if p, ok := r.Phase(PhaseMeasure); ok && c.Kind == Gauge {
			tracks[i].from, tracks[i].to = float64(p.From), float64(p.To)
			tracks[i].silence = max(maxIntervals*1.001*intervals[i], mostSilent*float64(p.To-p.From))
		}
	}
	trips := Trace{Key: TraceKey{Kind: TraceRoundTrip, Meter: meter}, Unit: Second, Kind: Gauge}
	clocks := Trace{Key: TraceKey{Kind: TraceClockOffset, Meter: meter}, Unit: Second, Kind: Gauge}
	gap := func(t float64, why string) {
		for i := range tracks {
			tracks[i].gap(t, why)
		}
	}
	for k := range f.Lines {
		l := &f.Lines[k]
		t := second(l)
		if l.Step != nil && max(t, t-float64(*l.Step)) >= from && min(t, t-float64(*l.Step)) <= to {
			// Readings before it and after it do not have their times by one clock.
			for i := range tracks {
				tracks[i].T, tracks[i].V, tracks[i].Errors = nil, nil, nil
			}
			gap((from+to)/2, fmt.Sprintf("the clock of %s was set by %g s", f.Recording.Host, *l.Step))
			break
		}
		if t < from || t > to {
			continue
		}
		switch i := f.Meter.channel(l.Channel); {
		case l.Begin != nil:
			gap(t, "the recording was started again")
		case l.Open != nil:
			gap(t, "the meter was opened again")
		case l.Meter == "":
		case l.Channel == "":
			gap(t, l.Error)
		case i < 0: // it is not wanted
		case l.Error != "":
			tracks[i].gap(t, l.Error)
		default:
			tracks[i].take(t, float64(*l.Value))
			if l.Slack != nil {
				trips.Add(microsecond(t), 2**l.Slack, nil)
			}
			if l.Clock != nil {
				clocks.Add(microsecond(t), *l.Clock, nil)
			}
		}
	}
	traces := make([]Trace, 0, len(tracks)+2)
	for i := range tracks {
		traces = append(traces, tracks[i].Trace)
	}
	for _, tr := range append(traces, trips, clocks) {
		if same := r.Trace(tr.Key); same != nil { // the round trips of another feed
			same.merge(&tr)
		} else if len(tr.T) > 0 {
			r.Traces = append(r.Traces, tr)
		}
	}
}

// most is the power in W above which no reading of a channel is believed.
func (f *Feed) most(c Channel) float64 {
	if c.Most != nil {
		return float64(*c.Most)
	}
	return c.Boundary.Most() * float64(max(1, f.Nodes))
}

// order puts readings in the order of their times, as far as one clock gave them: those of
// files that were merged may not be.
func (f *Feed) order() {
	f.Lines = slices.Clone(f.Lines)
	for from, to := 0, 0; from < len(f.Lines); from = to {
		for to = from + 1; to < len(f.Lines) && f.Lines[to].Step == nil && f.Lines[to].Begin == nil; to++ {
		}
		SortStable(f.Lines[from:to], func(a, b RecordingLine) int { return a.At.Compare(b.At) })
	}
}

const mostSilent = 0.1 // of a window, for a silence of a gauge that no error explains

// interval is the median time in s between two readings of a channel; NaN if there are not
// two.
func (f *Feed) interval(channel string) float64 {
	var between []float64
	var last time.Time
	for i := range f.Lines {
		l := &f.Lines[i]
		if l.Value == nil || l.Channel != channel {
			continue
		}
		if d := l.At.Sub(last).Seconds(); !last.IsZero() && d > 0 {
			between = append(between, d)
		}
		last = l.At
	}
	median, _, _ := MedianInterval(between)
	return median
}

// track is a trace of a channel as it is taken from a recording.
type track struct {
	Trace
	channel Channel
	most    float64 // W, of a reading that is believed
	from    float64 // s, of the window
	to      float64 // s
	silence float64 // s in it, without a reading or an error, that is not bridged
	last    float64 // s, of the last reading or error; NaN before the first
}

func (tr *track) gap(t float64, why string) {
	tr.Add(microsecond(t), Absent(), errors.New(why))
	tr.last = t
}

// take adds a reading unless it cannot be one, or contradicts another of the same time.
func (tr *track) take(t, v float64) {
	n := len(tr.T)
	if n > 0 && tr.T[n-1] == microsecond(t) {
		if was := float64(tr.V[n-1]); was == was && was != v {
			tr.V[n-1] = Absent()
			tr.Errors = append(tr.Errors, Gap{At: tr.T[n-1], Error: fmt.Sprintf("the recording has two values of one time: %.6g and %.6g %s", was, v, tr.Unit)})
		}
		return
	}
	if silent := t - tr.last; silent > tr.silence && tr.last < tr.to && t > tr.from {
		tr.gap(t-silent/2, fmt.Sprintf("the recording has neither a reading nor an error for %.4g s", silent))
	}
	if why := tr.implausible(t, v); why != "" {
		tr.gap(t, why)
		return
	}
	tr.Add(microsecond(t), Float(v), nil)
	tr.last = t
}

// implausible says why a value is none: a power that is not plausible at its boundary, or
// an energy that is below 0 or rose faster than such a power.
func (tr *track) implausible(t, v float64) string {
	least := tr.channel.LeastWatts()
	if tr.Kind == Gauge {
		return tr.Boundary.Unbelievable(v, least, tr.most)
	}
	n := len(tr.V)
	switch {
	case v < 0:
		return fmt.Sprintf("%.6g J is below 0", v)
	case n == 0 || tr.V[n-1].IsAbsent():
		return ""
	}
	// One second of tolerance, and two steps, as a session allows.
	rose, span := v-float64(tr.V[n-1]), t-float64(tr.T[n-1])
	step := float64(tr.channel.Accuracy.Resolution)
	if !(step > 0) {
		step = 0
	}
	if rose > tr.most*(span+1)+2*step {
		return fmt.Sprintf("the counter rose by %.4g J in %.4g s, more than %g W allow", rose, span, tr.most)
	}
	return ""
}

// merge takes in the samples of another gauge, in the order of time.
func (tr *Trace) merge(o *Trace) {
	var out Trace
	out.Key, out.Unit, out.Kind = tr.Key, tr.Unit, tr.Kind
	for i, j := 0, 0; i < len(tr.T) || j < len(o.T); {
		if j == len(o.T) || i < len(tr.T) && tr.T[i] <= o.T[j] {
			out.Add(tr.T[i], tr.V[i], nil)
			i++
		} else {
			out.Add(o.T[j], o.V[j], nil)
			j++
		}
	}
	*tr = out
}

// microsecond rounds seconds as the sampler of a session does.
func microsecond(s float64) Float { return Float(math.Round(s*1e6) / 1e6) }

// channel is the index of the channel of that name, or -1.
func (m *Meter) channel(name string) int {
	return slices.IndexFunc(m.Channels, func(c Channel) bool { return c.Name == name })
}
