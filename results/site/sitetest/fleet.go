// Package sitetest makes fleets that do not exist, for tests of what reads them: which
// nodes are bad, and how, is known. The same fleet is always the same.
package sitetest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"gonum.org/v1/gonum/stat/distuv"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/site"
	"github.com/perwatt/perwatt/results/store"
)

// Fleet is what a fleet is like. Its zero value but for Nodes is one kind of machine,
// metered at the wall, of which all nodes are healthy.
type Fleet struct {
	Nodes   int
	PerRack int     // nodes of a rack; 32 if 0; two racks share a switch
	Spread  float64 // relative standard deviation between nodes; 0.01 if 0
	Tails   float64 // degrees of freedom of a Student's t between nodes; a normal if 0
	Noise   float64 // relative half-width of each node's own interval; 0.004 if 0
	Seed    uint64

	Slow     int     // nodes that are slower by Off, from node 3 on, every seventh
	Off      float64 // 0.08 if 0
	Wide     int     // nodes that are as slow, with an interval of their own that is as wide
	Wrong    int     // nodes that compute wrongly
	Missing  int     // nodes without a record, each of another reason
	Partial  int     // nodes without one of the uses
	SlowRack string  // a rack that is slower by 3 %, and no more
	Firmware float64 // part of the nodes with another microcode, which are slower by 6 %
	TwoKinds bool    // every fourth node is another machine
	Step     float64 // W, to which watts are rounded; 0 if they are not
	Modelled bool    // the watts are modelled
	NoMeter  bool    // there are no watts
}

// Mixed is a fleet with something of everything that can be found in one.
func Mixed(nodes int) Fleet {
	few := max(1, nodes/100)
	return Fleet{Nodes: nodes, Seed: 2, Slow: few, Wide: few, Wrong: few, Missing: few + 2, Partial: few, SlowRack: "r02", TwoKinds: true}
}

// Start is when every fleet began.
var Start = time.Date(2026, 9, 14, 8, 30, 0, 0, time.UTC)

type use struct {
	scenario, use, workload, impl string
	unit                          results.Unit
	rate, watts                   float64
}

var uses = []use{
	{"mining", "mining", "hashscan", "shani", results.Hash, 1.235e9, 241},
	{"training-gpt-mini", "training", "training", "avx2", results.Token, 48_200, 263},
	{"compute", "compute", "matmul", "avx2", results.FLOP, 2.344e12, 278},
}

// Session is a record as the index holds it.
type Session = store.Session

// Place is what a node of a made-up fleet is.
type Place int

// What a node is.
const (
	Healthy Place = iota
	Slow
	Wide
	Wrong
	Missing
	Partial
)

// Places says of each node what it is.
func (f Fleet) Places() []Place {
	places := make([]Place, f.Nodes)
	at, step := 3, 7
	for _, k := range []struct {
		is Place
		n  int
	}{{Slow, f.Slow}, {Wide, f.Wide}, {Wrong, f.Wrong}, {Missing, f.Missing}, {Partial, f.Partial}} {
		for range k.n {
			for places[at%f.Nodes] != Healthy {
				at++
			}
			places[at%f.Nodes] = k.is
			at += step
		}
	}
	return places
}

// Make makes the fleet: its roster, what became of each node, and its records as the
// index of a store holds them.
func (f Fleet) Make() (r site.Roster, outcomes []site.Outcome, sessions []store.Session, groups map[string]store.Group) {
	or := func(v *float64, otherwise float64) {
		if *v == 0 {
			*v = otherwise
		}
	}
	or(&f.Spread, 0.01)
	or(&f.Noise, 0.004)
	or(&f.Off, 0.08)
	if f.PerRack == 0 {
		f.PerRack = 32
	}
	rng := rand.New(rand.NewPCG(f.Seed, uint64(f.Nodes))) // #nosec G115 G404 -- a made-up fleet is the same for the same seed
	r = site.Roster{Version: site.RosterVersion, Name: "2026-09-14T08-30-00Z", Start: Start, Engine: "slurm", Args: []string{"run"}, Sessions: 1, Attempts: 2}
	groups = f.groups()
	keys := map[store.Key]*store.Key{}
	places := f.Places()
	for i, place := range places {
		n := site.Node{Name: fmt.Sprintf("n%05d", i+1), Rack: fmt.Sprintf("r%02d", 1+i/f.PerRack), Switch: fmt.Sprintf("s%d", 1+i/(2*f.PerRack))}
		r.Nodes = append(r.Nodes, n)
		began := Start.Add(time.Duration(i) * time.Second)
		o := site.Outcome{Node: n.Name, State: site.Done, Attempts: []site.Attempt{{Number: 1, Job: fmt.Sprint(1000 + i), Start: began, End: began.Add(2 * time.Minute)}}}
		if place == Missing {
			missing(&o, i)
			outcomes = append(outcomes, o)
			continue
		}
		s := store.Session{Header: store.Header{ID: fmt.Sprintf("01J8ZQ%020d", i), Start: began, State: results.Complete, Group: "aaaaaaaa",
			Env: store.Environment{Node: n.Name, Version: "test", Kernel: "6.12.0", Microcode: "0xa0011d1", Governor: "performance"}}}
		off := 1.0
		if float64(i*61%100) < 100*f.Firmware {
			s.Env.Microcode, off = "0xa0011ce", 0.94
		}
		scale := 1.0
		if f.TwoKinds && i%4 == 3 {
			s.Group, scale = "bbbbbbbb", 0.4
		}
		if f.SlowRack == n.Rack {
			off *= 0.97
		}
		noise := f.Noise
		switch place {
		case Slow:
			off *= 1 - f.Off
			s.Env.Governor = "powersave"
		case Wide:
			off *= 1 - f.Off
			noise = 1.5 * f.Off
		case Wrong:
			s.Wrong = "mining: wrong answers: block 125552: the hash differs"
		}
		switch {
		case f.NoMeter:
		case f.Modelled:
			s.Env.Origin, s.Grade = string(results.Modelled), "E"
		default:
			s.Env.Origin, s.Grade = string(results.Measured), "C"
		}
		for j, u := range uses {
			own := math.Exp(f.Spread*rng.NormFloat64()/f.tail(rng)) * off
			watts := u.watts * math.Exp(f.Spread/4*rng.NormFloat64())
			if f.Step > 0 {
				watts = f.Step * math.Round(watts/f.Step)
			}
			if place == Partial && j == 1 || place == Wrong && j == 0 {
				continue
			}
			put := func(metric string, unit results.Unit, v float64) {
				k := store.Key{Group: s.Group, Scenario: u.scenario, Use: u.use, Device: results.CPUDevice, Workload: u.workload, Impl: u.impl, Threads: 64, Metric: metric, Unit: unit}
				if keys[k] == nil {
					keys[k] = &k
				}
				s.Figures = append(s.Figures, store.SessionFigure{Key: keys[k], Value: results.Float(v), Low: results.Float(v * (1 - noise)), High: results.Float(v * (1 + noise)), N: 8})
			}
			put(results.Throughput, u.unit.Per(results.Second), u.rate*scale*own)
			if !f.NoMeter {
				put(results.Power, results.Watt, watts)
				put(results.WorkPerEnergy, u.unit.Per(results.Joule), u.rate*scale*own/watts)
			}
		}
		o.Attempts[0].Records = []string{s.ID}
		outcomes, sessions = append(outcomes, o), append(sessions, s)
	}
	return r, outcomes, sessions, groups
}

// tail is the divisor that makes a Student's t, of the same spread, of a normal variable.
func (f Fleet) tail(rng *rand.Rand) float64 {
	if f.Tails == 0 {
		return 1
	}
	return math.Sqrt(distuv.ChiSquared{K: f.Tails, Src: rng}.Rand() / (f.Tails - 2))
}

// groups are the kinds of machines, by the identifiers of their groups.
func (f Fleet) groups() map[string]store.Group {
	big := store.Group{ID: "aaaaaaaa", Arch: "amd64", CPU: "AMD EPYC 7543 32-Core Processor", Sockets: 1, Cores: 32, Threads: 64, Memory: 256 << 30, Meter: "snmp", Boundary: results.Wall}
	if f.NoMeter {
		big.Meter, big.Boundary = "", ""
	}
	small := big
	small.ID, small.CPU, small.Memory = "bbbbbbbb", "AMD EPYC 4564P 16-Core Processor", 64<<30
	return map[string]store.Group{big.ID: big, small.ID: small}
}

// missing makes the outcome of a node that has no record, of one reason after another.
func missing(o *site.Outcome, i int) {
	a := &o.Attempts[0]
	switch i / 7 % 4 {
	case 0:
		o.State, o.Reason, o.More, o.Attempts = site.Absent, "drained: fan (root)", "scontrol show node "+o.Node, nil
	case 1:
		a.Reason = "exit code 137"
		o.State, o.Reason, o.More = site.Failed, a.Reason, "sacct -X -j "+a.Job
	case 2:
		a.Aside, a.Reason = "aside/"+o.Node+"-1.json", "the record is of node n99999"
		o.State, o.Reason, o.More = site.Refused, a.Reason, "perwatt verify "+a.Aside
	default:
		o.State, o.Reason, o.More = site.Lost, "the engine does not know its job any more", "sacct -X -j "+a.Job
	}
}
