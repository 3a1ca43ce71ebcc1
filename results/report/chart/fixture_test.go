package chart_test

import (
	"fmt"
	"math"

	"github.com/perwatt/perwatt/results/report/chart"
)

var (
	nan = math.NaN()

	watts     = chart.Axis{Title: "power at the wall", Unit: "W", MinExp: -12, MaxExp: 18}
	hashrate  = chart.Axis{Title: "throughput", Unit: "H/s", MaxExp: 21}
	hashJoule = chart.Axis{Title: "work per joule", Unit: "H/J", MaxExp: 21}
	hashes    = chart.Axis{Title: "hashes gained", Unit: "H/s", MaxExp: 21}
	percent   = chart.Axis{Title: "training kept", Unit: "%", Factor: 100}
	index     = chart.Axis{Title: "work per joule, relative to the Xeon"}
	price     = chart.Axis{Title: "price of power", Unit: "€/kWh"}
	outcome   = chart.Axis{Title: "yearly margin per node", Unit: "€", Free: true}
)

// pm is a figure with an interval to both sides.
func pm(v, half float64) chart.Figure { return chart.Figure{Value: v, Low: v - half, High: v + half} }

func modelled(f chart.Figure) chart.Figure { f.Modelled = true; return f }

func text(f chart.Figure, t string) chart.Figure { f.Text = t; return f }

func ranks(figures ...chart.Figure) (out []chart.Rank) {
	for i, f := range figures {
		out = append(out, chart.Rank{Figure: f, First: i == 1 && f.Value > 1.25})
	}
	return out
}

// wobble is noise that is the same everywhere: a small linear congruence.
func wobble(seed uint32) func() float64 {
	return func() float64 {
		seed = seed*1664525 + 1013904223
		return float64(seed>>8)/float64(1<<24) - 0.5
	}
}

func trace() chart.Trace {
	w := wobble(7)
	var power, rate []chart.Sample
	for i := range 3600 {
		t := float64(i) / 4
		p, r := 148+6*w(), 0.0
		switch {
		case t > 60 && t < 840:
			p, r = 412+14*w()-30*math.Exp(-(t-60)/40), 31.2e6*(1+0.03*w())
		case t >= 840:
			p = 160 + 6*w()
		}
		if t > 520 && t < 548 { // the meter was away
			p = nan
		}
		if i == 1500 {
			p = 498
		}
		power = append(power, chart.Sample{T: t, V: p})
		if i%4 == 0 && t > 60 && t < 840 {
			rate = append(rate, chart.Sample{T: t, V: r})
		}
	}
	tr := chart.Trace{
		Head:  chart.Head{ID: "trace", Title: "Power and hashrate of round 3"},
		Power: chart.Signal{Axis: watts, Points: power}, Rate: chart.Signal{Axis: hashrate, Points: rate},
		Spans: []chart.Span{{From: 0, To: 60, Name: "idle"}, {From: 60, To: 180, Name: "warm-up"}, {From: 180, To: 840, Name: "steady"}, {From: 840, To: 900, Name: "cool-down"}},
	}
	for i := range 5 {
		at := 200 + 125*float64(i)
		tr.Spans = append(tr.Spans, chart.Span{From: at, To: at + 110, Name: fmt.Sprintf("window %d", i+1), Window: true})
	}
	return tr
}

// nights are a series with two steps; of few nights each has its interval.
func nights(n int) chart.History {
	w := wobble(11)
	h := chart.History{Head: chart.Head{ID: fmt.Sprint("history-", n), Title: "Hashrate per joule at mining"}, Axis: hashJoule}
	h.Axis.Free = true
	at := func(i int) float64 { return 1.767225600e9 + 86400*float64(i) + 8000*w() } // from 2026-01-01
	for i := range n {
		v := 51e3 * (1 + 0.006*w())
		if i > n/3 {
			v *= 0.95
		}
		if i > n*3/4 {
			v *= 1.03
		}
		if i%9 == 4 { // no night
			continue
		}
		f := chart.Figure{Value: v}
		if n < 100 {
			f.Low, f.High = v*0.996, v*1.003
		}
		h.Nights = append(h.Nights, chart.Night{T: at(i), Figure: f})
	}
	day := func(i int) float64 { return 1.767225600e9 + 86400*float64(i) }
	h.Levels = []chart.Stage{{From: day(0), To: day(n / 3), Value: 51e3}, {From: day(n/3 + 1), To: day(n * 3 / 4), Value: 51e3 * 0.95}, {From: day(n*3/4 + 1), To: day(n - 1), Value: 51e3 * 0.95 * 1.03}}
	h.Events = []chart.Moment{{T: day(n / 5), Name: "kernel 6.8.0 → 6.12.3"}, {T: day(n / 3), Name: "microcode 0xa0011d1 → 0xa0011d5"}, {T: day(-5), Name: "before the first night"}}
	return h
}

// charts are one of each kind, as a report would have them.
func charts() map[string]chart.Chart {
	m := map[string]chart.Chart{
		"history": nights(365), "history-few": nights(24), "history-one": nights(1), "history-none": chart.History{Axis: hashJoule},
		"ranking": chart.Ranking{
			Head: chart.Head{ID: "ranking", Title: "Work per joule at each use, relative to the Xeon"},
			Axis: index, Base: 1, Margin: 0.02, BaseText: "Xeon 8480 = 1, margin ± 2 %", Uses: []string{"mining", "training-gpt-mini", "compute", "memory"},
			Rows: []chart.Ranked{
				{Name: "EPYC 9654", At: ranks(pm(1.412, 0.021), pm(1.31, 0.02), pm(1.55, 0.02), pm(1.09, 0.01))},
				{Name: "EPYC 9754, sha extensions", At: ranks(pm(1.398, 0.030), pm(1.28, 0.03), pm(1.44, 0.02))},
				{Name: "Xeon 8480", At: ranks(chart.Figure{Value: 1}, chart.Figure{Value: 1}, chart.Figure{Value: 1}, chart.Figure{Value: 1}), Reference: true},
				{Name: "Graviton 4", At: ranks(pm(1.231, 0.014), pm(0.97, 0.02), pm(1.02, 0.02), pm(1.21, 0.02))},
				{Name: "Xeon 6980P", At: ranks(text(pm(1.108, 0.012), "1.108 [1.096, 1.120]"), pm(1.6, 0.1))},
				{Name: "H100 PCIe, OpenCL kernel", At: ranks(modelled(pm(0.874, 0.08)), modelled(pm(1.2, 0.2)))},
				{Name: "Raspberry Pi 5", At: ranks(chart.Figure{Value: nan})},
			},
		},
		"ranking-one": chart.Ranking{
			Head: chart.Head{ID: "ranking-one", Title: "Work per joule at mining, from a Pi to an ASIC"},
			Axis: index, Base: 1, Margin: 0.02, BaseText: "Xeon 8480 = 1, margin ± 2 %", Uses: []string{"mining"},
			Rows: []chart.Ranked{
				{Name: "S21", At: ranks(pm(1.3e6, 2e4))}, {Name: "Raspberry Pi 5", At: ranks(pm(0.55, 0.02))},
				{Name: "Xeon 8480", At: ranks(chart.Figure{Value: 1}), Reference: true},
			},
		},
		"throughput": chart.ThroughputPower{
			Head:  chart.Head{ID: "throughput", Title: "Hashrate against watts"},
			Power: watts, Throughput: hashrate, Efficiency: hashJoule,
			Points: []chart.Point{
				{Name: "EPYC 9654", X: pm(612, 12), Y: pm(31.2e6, 0.4e6), Note: "51.0 kH/J"},
				{Name: "EPYC 9754", X: pm(571, 10), Y: pm(28.8e6, 0.5e6), Note: "50.4 kH/J"},
				{Name: "Xeon 8480", X: pm(748, 11), Y: pm(27.1e6, 0.3e6), Reference: true, Note: "36.2 kH/J"},
				{Name: "Graviton 4", X: modelled(pm(310, 60)), Y: pm(13.8e6, 0.1e6), Note: "44.5 kH/J"},
				{Name: "Ampere One", X: pm(402, 9), Y: pm(17.8e6, 0.3e6), Note: "44.3 kH/J"},
				{Name: "Core i9-14900K", X: pm(253, 4), Y: pm(5.9e6, 0.1e6), Note: "23.3 kH/J"},
			},
		},
		"throughput-log": chart.ThroughputPower{
			Head:  chart.Head{ID: "throughput-log", Title: "Hashrate against watts, from a Pi to an ASIC"},
			Power: watts, Throughput: hashrate, Efficiency: hashJoule,
			Points: []chart.Point{
				{Name: "Raspberry Pi 5", Group: "CPU", X: pm(7.4, 0.2), Y: pm(0.21e6, 0.01e6)},
				{Name: "EPYC 9654", Group: "CPU", X: pm(612, 12), Y: pm(31.2e6, 0.4e6)},
				{Name: "H100", Group: "GPU", X: pm(701, 12), Y: pm(4.1e9, 0.05e9)},
				{Name: "RTX 4090", Group: "GPU", X: pm(431, 12), Y: pm(3.4e9, 0.1e9)},
				{Name: "S21", Group: "ASIC, declared", X: modelled(pm(3500, 175)), Y: modelled(pm(200e12, 6e12))},
			},
		},
		"twouse": chart.TwoUsePlane{
			Head: chart.Head{ID: "twouse", Title: "Mining and training per joule, relative to the Xeon"},
			X:    chart.Axis{Title: "mining per joule, relative"}, Y: chart.Axis{Title: "training per joule, relative"},
			UseX: "mining", UseY: "training", Margin: 0.02,
			Points: []chart.Point{
				{Name: "Xeon 8480", X: chart.Figure{Value: 1}, Y: chart.Figure{Value: 1}, Reference: true},
				{Name: "EPYC 9654", X: pm(1.41, 0.02), Y: pm(1.12, 0.03)},
				{Name: "Graviton 4", X: pm(1.23, 0.02), Y: pm(0.81, 0.02)},
				{Name: "Ampere One", X: pm(1.22, 0.02), Y: pm(0.64, 0.02)},
				{Name: "Xeon 6980P", X: pm(0.93, 0.01), Y: pm(1.55, 0.03)},
				{Name: "Core i9", X: pm(0.64, 0.01), Y: modelled(pm(0.58, 0.05))},
			},
		},
		"trace": trace(), "strip": fleet("node", 600, 9),
		"mullet": chart.Mullet{
			Head: chart.Head{ID: "mullet", Title: "Hashes gained and training kept"},
			Kept: percent, Gained: hashes,
			Points: []chart.Point{
				{Name: "EPYC 9654", X: pm(0.982, 0.006), Y: pm(6.2e6, 0.2e6), Note: "+41 W"},
				{Name: "Xeon 8480", X: pm(0.951, 0.008), Y: pm(7.9e6, 0.3e6), Note: "+77 W"},
				{Name: "Graviton 4", X: pm(0.997, 0.004), Y: pm(1.1e6, 0.1e6), Note: "+9 W"},
				{Name: "Ampere One", X: pm(0.993, 0.004), Y: pm(2.4e6, 0.1e6), Note: "+18 W"},
				{Name: "Core i9-14900K", X: pm(0.884, 0.011), Y: modelled(pm(3.0e6, 0.4e6)), Note: "+12 W"},
			},
		},
		"tornado": chart.Tornado{
			Head: chart.Head{ID: "tornado", Title: "What the margin rests on"},
			Axis: outcome, Base: 412, BaseText: "412 € a year at base", BaseID: "base",
			Rows: []chart.Swing{
				{ID: "input-1", Name: "Price of power", Low: 980, High: -210},
				{ID: "input-2", Name: "Hash price", Low: 120, High: 790},
				{ID: "input-3", Name: "Training kept", Low: 255, High: 430},
				{ID: "input-4", Name: "Hours a year", Low: 330, High: 498},
			},
		},
		"matrix": chart.Matrix{
			Head: chart.Head{ID: "matrix", Title: "Break-even by price of power and hash price"},
			Axis: outcome, Across: "hash price, €/PH/d", Down: "power, €/kWh",
			Columns: []string{"30", "40", "50", "60", "70", "80", "90"}, Rows: []string{"0.08", "0.12", "0.16", "0.20", "0.24", "0.30"},
			Better: "pays", Worse: "costs", Live: true,
		},
	}
	mx := m["matrix"].(chart.Matrix)
	for r := range 6 {
		var row []chart.Cell
		for c := range 7 {
			v := 700 - 260*float64(r) + 150*float64(c) - 150
			row = append(row, chart.Cell{Value: v, Better: v > 60})
		}
		mx.Cells = append(mx.Cells, row)
	}
	m["matrix"] = mx

	l := chart.Lines{
		Head: chart.Head{ID: "lines", Title: "Break-even hash price against the price of power"},
		X:    price, Y: chart.Axis{Title: "hash price to break even", Unit: "€/PH/d"},
		Up: []chart.Level{{At: 0.17, Name: "our contract, 0.17 €/kWh"}},
	}
	for i, k := range []float64{190, 265, 272, 410} {
		s := chart.Series{Name: []string{"EPYC 9654", "Xeon 8480", "Graviton 4", "Core i9-14900K"}[i], Modelled: i == 2}
		for j := range 12 {
			x := 0.05 + 0.025*float64(j)
			p := chart.LinePoint{X: x, Y: k*x + 4}
			if i == 0 {
				p.Low, p.High = p.Y*0.94, p.Y*1.06
			}
			s.Points = append(s.Points, p)
		}
		l.Series = append(l.Series, s)
	}
	m["lines"] = l

	m["lines-mix"] = chart.Lines{
		Head: chart.Head{ID: "lines-mix", Title: "One kilowatt-hour, shared between mining and training"},
		X:    chart.Axis{Title: "hashes", Unit: "H", MaxExp: 21}, Y: chart.Axis{Title: "samples", MaxExp: 21},
		Series: []chart.Series{
			{Name: "rack 12, north", Points: []chart.LinePoint{{X: 0, Y: 44e9}, {X: 22e12, Y: 0}}},
			{Name: "rack 12, north, both at once", Modelled: true, Marks: true, Points: []chart.LinePoint{{X: 12e12, Y: 31e9}}},
			{Name: "rack 12, south", Points: []chart.LinePoint{{X: 0, Y: 38e9}, {X: 25e12, Y: 0}}},
		},
	}

	m["empty"] = chart.Ranking{Head: chart.Head{ID: "empty", Title: "Work per joule", Empty: "no run of this session had a meter, so there are no watts to rank by."}}
	return m
}
