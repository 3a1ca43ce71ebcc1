package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"slices"
	"time"
)

// A contestant works on request.
type contestant interface {
	// measure does a task for about a length of time and returns work per CPU-second.
	measure(ctx context.Context, task string, length time.Duration) (float64, error)
	about() (name, kernel string) // with its version, once it has measured
	close() error
}

// row is one comparison. Its figure is the geometric mean over its tasks.
type row struct {
	name   string
	unit   string // of the work
	tasks  []task
	length time.Duration // of a measurement
	ours   func(context.Context) (contestant, error)
	peer   peer
}

type task struct{ name, request string }

// peer is what a row is compared with.
type peer struct {
	name string // until it names itself
	from string // where it can be had
	open func(context.Context) (contestant, error)
}

// result is a row that was measured.
type result struct {
	row
	err                   error // why there are no figures
	impl, version, kernel string
	ourRate, peerRate     float64   // per CPU-second: geometric means of the tasks' medians
	ratios                []float64 // ours ÷ peer of each pair, geometric means over the tasks, sorted
	leastTask             string    // with the least median ratio
	leastRatio            float64
}

// measure compares both sides in alternated pairs, which begin with either in turn.
// Progress goes to w, a line a task. A side that fails ends the row.
func (r row) measure(ctx context.Context, pairs int, w io.Writer) result {
	res := result{row: r, version: r.peer.name, leastRatio: math.Inf(1), ourRate: 1, peerRate: 1, ratios: slices.Repeat([]float64{1}, pairs)}
	if res.err = res.compare(ctx, pairs, w); res.err != nil {
		fmt.Fprintf(w, "%s, %s: not measured: %v\n", r.name, r.peer.name, res.err)
	}
	return res
}

func (res *result) compare(ctx context.Context, pairs int, w io.Writer) error {
	peer, err := res.peer.open(ctx)
	if err != nil {
		return fmt.Errorf("%w; it can be had from %s", err, res.peer.from)
	}
	defer peer.close()
	ours, err := res.ours(ctx)
	if err != nil {
		return fmt.Errorf("our side: %w", err)
	}
	defer ours.close()
	share := 1 / float64(len(res.tasks)) // of a task in a geometric mean
	for _, t := range res.tasks {
		rates, ratios := [2][]float64{}, []float64{}
		for pair := range pairs {
			for turn := range 2 {
				side := (pair + turn) % 2
				rate, err := []contestant{ours, peer}[side].measure(ctx, t.request, res.length)
				if err != nil {
					return fmt.Errorf("%s: %s: %w", []string{"our side", "peer"}[side], t.name, err)
				}
				rates[side] = append(rates[side], rate)
			}
			ratios = append(ratios, rates[0][pair]/rates[1][pair])
			res.ratios[pair] *= math.Pow(ratios[pair], share)
		}
		for side, mean := range []*float64{&res.ourRate, &res.peerRate} {
			slices.Sort(rates[side])
			*mean *= math.Pow(median(rates[side]), share)
		}
		slices.Sort(ratios)
		fmt.Fprintf(w, "%s, %s: %s: %.3f, %.3f to %.3f\n", res.name, res.peer.name, t.name, median(ratios), ratios[0], ratios[pairs-1])
		if m := median(ratios); m < res.leastRatio {
			res.leastRatio, res.leastTask = m, t.name
		}
	}
	slices.Sort(res.ratios)
	_, res.impl = ours.about()
	res.version, res.kernel = peer.about()
	return nil
}

// median returns the middle of sorted values.
func median(sorted []float64) float64 {
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
