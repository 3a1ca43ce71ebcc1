package track

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
)

// world is how synthetic nights come about: relative, sd 1 % unless said.
type world struct {
	name    string
	rho     float64
	spikes  float64 // share of nights
	weekly  float64 // amplitude
	missing float64
	drift   float64 // a year, of machine and control alike
	control float64 // noise of the control; 0 is none
	alone   float64 // drift a year of the control alone
	down    bool    // spikes go one way
}

func (w world) series(rng *rand.Rand, nights, at int, step float64) Series {
	s := Series{Better: Higher}
	x := rng.NormFloat64()
	for n := range nights {
		if n > 0 {
			x = w.rho*x + math.Sqrt(1-w.rho*w.rho)*rng.NormFloat64()
		}
		v := 0.01 * x
		if rng.Float64() < w.spikes {
			size := 0.05 + 0.05*rng.Float64()
			if w.down || rng.IntN(2) == 0 {
				size = -size
			}
			v += size
		}
		v += w.weekly * math.Sin(2*math.Pi*float64(n)/7)
		slide := w.drift * float64(n) / 365
		v += slide
		if n >= at {
			v += math.Log1p(step)
		}
		c := math.NaN()
		if w.control > 0 {
			c = 5 * math.Exp(slide+w.alone*float64(n)/365+w.control*rng.NormFloat64())
		}
		if rng.Float64() < w.missing {
			continue
		}
		s.Points = append(s.Points, Point{Night: n, Value: 1e9 * math.Exp(v), Control: c})
	}
	return s
}

var worlds = []world{
	{name: "independent"},
	{name: "AR(1) 0.5", rho: 0.5},
	{name: "AR(1) 0.8", rho: 0.8},
	{name: "2 % outliers", spikes: 0.02},
	{name: "2 % outliers, downward", spikes: 0.02, down: true},
	{name: "weekly cycle ±1 %", weekly: 0.01},
	{name: "20 % of nights missing", missing: 0.2},
	{name: "drift 5 % a year, control alike", drift: -0.05, control: 0.005},
	{name: "drift 5 %, control as noisy", drift: -0.05, control: 0.01},
	{name: "control alone drifts 2 %", alone: -0.02, control: 0.005},
	{name: "AR(1) 0.5, 2 % outliers, 20 % missing", rho: 0.5, spikes: 0.02, missing: 0.2},
}

func TestProto(t *testing.T) {
	n := 200
	if v := os.Getenv("N"); v != "" {
		n, _ = strconv.Atoi(v)
	}
	var wg sync.WaitGroup
	sem := make(chan bool, 2)
	out := make([]string, len(worlds))
	for wi, wd := range worlds {
		wg.Add(1)
		go func() {
			defer wg.Done()
			sem <- true
			defer func() { <-sem }()
			raised, kept := 0, 0
			for i := range n {
				s := wd.series(rand.New(rand.NewPCG(uint64(i), uint64(wi))), 365, 1<<30, 0)
				w := walk{history: s.history()}
				had := 0
				for j := range w.nights {
					w.step(j)
					if len(w.found) > had {
						raised++
					}
					had = len(w.found)
				}
				kept += len(w.found)
			}
			line := fmt.Sprintf("%-40s raised %.4f kept %.4f", wd.name, float64(raised)/float64(n), float64(kept)/float64(n))
			for _, step := range []float64{-0.03, -0.05} {
				limit := map[float64]int{-0.03: 5, -0.05: 4}[step]
				if wd.rho > 0 {
					limit = map[float64]int{-0.03: 9, -0.05: 6}[step]
				}
				in, dated, first, total := 0, 0, 0, 0
				for i := range n {
					rng := rand.New(rand.NewPCG(uint64(i), uint64(100+wi)))
					at := 120 + rng.IntN(200)
					s := wd.series(rng, 365, at, step)
					w := walk{history: s.history()}
					w.found = nil
					seen := false
					for j := max(0, w.from(at)-1); j < len(w.nights); j++ {
						w.step(j)
						if !seen && len(w.found) > 0 && w.nights[j].n >= at {
							seen = true
							d := j - w.from(at) + 1
							total += d
							if d <= limit {
								in++
							}
							if abs(w.found[len(w.found)-1].Night-at) <= 1 {
								first++
							}
						}
						if j > w.from(at)+60 {
							break
						}
					}
					for _, c := range w.found {
						if abs(c.Night-at) <= 1 {
							dated++
							break
						}
					}
				}
				f := float64(n) / 100
				line += fmt.Sprintf(" | %g: mean %.2f in %d %.1f%% date %.1f%% first %.1f%%", step, float64(total)/float64(n), limit, float64(in)/f, float64(dated)/f, float64(first)/f)
			}
			out[wi] = line
		}()
	}
	wg.Wait()
	for _, l := range out {
		fmt.Println(l)
	}
}

func abs(x int) int { return max(x, -x) }
