package track

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/stat/distuv"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/stats"
	"github.com/perwatt/perwatt/results/store"
)

// Many nodes of a group raise no more false alarms than one may, and find what
// moves on one of them a little later.
func TestSiblingsShareAlarms(t *testing.T) {
	const nodes = 8
	groups := 12
	if testing.Short() {
		groups = 4
	}
	if n, err := strconv.Atoi(os.Getenv("PERWATT_SERIES")); err == nil {
		groups = n
	}
	spans := make([]Span, nodes)
	for i := range spans {
		spans[i] = Span{0, 1000}
	}
	for row, w := range worlds[2:3] { // in which false alarms are the most
		var raised, found, nights atomic.Int64
		var wg sync.WaitGroup
		for part := range runtime.GOMAXPROCS(0) {
			wg.Go(func() {
				for i := part; i < groups*nodes; i += runtime.GOMAXPROCS(0) {
					rng := rand.New(rand.NewPCG(uint64(i), uint64(1000+row)))
					r, _ := w.quiet(rng, spans)
					raised.Add(int64(r))
					if i%nodes == 0 {
						after, _ := w.finds(rng, 300, -0.05, spans)
						if after <= 8 {
							found.Add(1)
						}
						nights.Add(int64(min(after, Horizon)))
					}
				}
			})
		}
		wg.Wait()
		t.Logf("%s: %d groups of %d nodes: %.3f false changes of a figure a group and year; −5 %% of one node found in %d within 8 nights, after %.1f on average", w.name, groups, nodes,
			float64(raised.Load())/float64(groups), found.Load(), float64(nights.Load())/float64(groups))
		least := distuv.Gamma{Alpha: max(1, float64(raised.Load())), Beta: 1}.Quantile(0.025)
		require.LessOrEqual(t, least, mostFalse*float64(groups))
		require.GreaterOrEqual(t, proportion(int(found.Load()), groups).High, leastFound, w.name)
	}
}

// histories is a group of nodes, each with figures of some nights.
func histories(nights map[string][]int, events ...store.Event) *Group {
	g := &Group{Group: store.Group{ID: "g"}, Events: events}
	for _, node := range slices.Sorted(maps.Keys(nights)) {
		s := Series{Key: store.Key{Group: "g", Node: node, Scenario: "mining", Use: "mining", Metric: results.Throughput}, Better: Higher}
		for _, n := range nights[node] {
			s.Points = append(s.Points, Point{Night: n, Value: 1})
		}
		g.Series = append(g.Series, s)
	}
	g.siblings()
	return g
}

func between(from, to int) (nights []int) {
	for n := from; n <= to; n++ {
		nights = append(nights, n)
	}
	return nights
}

// A node that is silent is missed, unless it may yet come, was never seen twice,
// or it is known what became of it.
func TestSilentNodes(t *testing.T) {
	const night = 40
	begins := func(n int) time.Time { return Calendar{}.Begins(n).Add(time.Hour) }
	for name, c := range map[string]struct {
		nights map[string][]int
		events []store.Event
		silent []string
		absent []string
	}{
		"all are there":                  {map[string][]int{"a": between(0, 40), "b": between(0, 40)}, nil, nil, nil},
		"one may yet come":               {map[string][]int{"a": between(0, 40), "b": between(0, 39)}, nil, nil, nil},
		"one did not come":               {map[string][]int{"a": between(0, 40), "b": between(0, 38)}, nil, []string{"b"}, []string{"b"}},
		"none of them did":               {map[string][]int{"a": between(0, 39), "b": between(0, 39)}, nil, []string{"a", "b"}, []string{"a", "b"}},
		"one for more than two weeks":    {map[string][]int{"a": between(0, 40), "b": between(0, 20)}, nil, []string{"b"}, nil},
		"names that do not last":         {map[string][]int{"a": {37}, "b": {38}, "c": {40}}, nil, []string{"a", "b"}, nil},
		"the only one, seen once":        {map[string][]int{"a": {39}}, nil, []string{"a"}, []string{"a"}},
		"it has another name":            {map[string][]int{"a": between(0, 36), "b": between(37, 40)}, []store.Event{{At: begins(37), Node: "b", Kind: store.Renamed, From: "a", To: "b"}}, []string{"a"}, nil},
		"somebody took it away":          {map[string][]int{"a": between(0, 36), "b": between(0, 40)}, []store.Event{{At: begins(37), Node: "a", Kind: byHand, Text: "sold"}}, []string{"a"}, nil},
		"what was done to it before":     {map[string][]int{"a": between(0, 36), "b": between(0, 40)}, []store.Event{{At: begins(30), Node: "a", Kind: byHand, Text: "new fans"}}, []string{"a"}, []string{"a"}},
		"what was done to all the nodes": {map[string][]int{"a": between(0, 36), "b": between(0, 40)}, []store.Event{{At: begins(37), Kind: byHand, Text: "moved"}}, []string{"a"}, []string{"a"}},
	} {
		g := histories(c.nights, c.events...)
		g.Nodes = g.nodes(night)
		r := Report{Night: night, Groups: []Group{*g}}
		names := func(nodes []Node) (names []string) {
			for _, n := range nodes {
				names = append(names, n.Node)
			}
			return names
		}
		require.Equal(t, c.silent, names(r.Groups[0].Silent(night)), name)
		require.Equal(t, c.absent, names(r.Absent()), name)
	}
	g := histories(map[string][]int{"a": {37}, "b": {38}, "c": {39}, "d": between(0, 40)})
	require.Equal(t, 3, (&Group{Nodes: g.nodes(night)}).Fleeting())
	g = histories(map[string][]int{"a": {40}, "b": {40}, "c": {40}})
	require.Zero(t, (&Group{Nodes: g.nodes(night)}).Fleeting(), "it is their first night")
}

// A node shares its alarms with those of its siblings that can be judged.
func TestSiblingsAreCounted(t *testing.T) {
	g := histories(map[string][]int{"a": between(0, 40), "b": between(30, 40), "c": between(0, 12), "d": between(38, 40), "e": append(between(0, 7), between(33, 40)...)})
	for night, want := range map[int]float64{
		5:  1, // none is old enough, and none is less than one
		7:  3, // a, c and e have eight nights
		26: 2, // c is not waited for any longer, nor is e
		27: 1,
		36: 2, // e, which came again
		37: 3, // and b
	} {
		for i := range g.Series {
			require.Equal(t, want, share(g.Series[i].Siblings, night), night)
		}
	}
}

// A series that is new says which it took the place of, and in what they differ.
func TestInstead(t *testing.T) {
	judged := func(node, impl string, threads, from, to int) Judged {
		s := &Series{Key: store.Key{Node: node, Scenario: "mining", Use: "mining", Workload: "hashscan", Impl: impl, Threads: threads, Metric: results.Throughput}}
		for n := from; n <= to; n++ {
			s.Points = append(s.Points, Point{Night: n, Value: 1e9})
		}
		return Judge(s, Past{}, Never, 40)
	}
	all := []Judged{judged("a", "shani", 4, 0, 38), judged("a", "shani", 2, 39, 40), judged("b", "shani", 2, 39, 40), judged("c", "avx2", 2, 0, 40), judged("c", "shani", 2, 39, 40), judged("d", "avx2", 2, 0, 30), judged("d", "shani", 4, 39, 40)}
	instead(all)
	var got []string
	for _, j := range all {
		words, _ := j.State(40)
		got = append(got, words)
	}
	require.Equal(t, []string{
		"no data since 1970-02-08",
		"learning: night 2 of 8, a new series since 1970-02-09: threads 2 instead of 4",
		"learning: night 2 of 8",
		"steady",
		"learning: night 2 of 8",
		"no data since 1970-01-31",
		"learning: night 2 of 8, a new series since 1970-02-09: implementation shani instead of avx2, threads 4 instead of 2",
	}, got)
}

// Siblings that move one way at one time are one finding, whatever their levels
// are; what one of them does is its own, and a control is that of its node.
func TestFindingsOfNodes(t *testing.T) {
	on := func(node string, j Judged) Judged {
		j.Key.Node, j.Siblings = node, []Span{{0, 200}, {0, 200}, {0, 200}}
		for i := range j.Changes {
			j.Changes[i].Controlled = !j.Control
		}
		return j
	}
	still := func(node string) []Judged {
		return []Judged{on(node, moved("g", results.Control, results.Throughput, 1)), on(node, moved("g", "mining", results.Throughput, 1))}
	}
	mining := func(node string, size float64, change ...func(*Series, *Change)) Judged {
		return on(node, moved("g", "mining", results.Throughput, size, change...))
	}
	later := func(_ *Series, c *Change) { c.Night, c.From, c.To = 130, 129, 131 }
	for name, c := range map[string]struct {
		judged []Judged
		want   []string
	}{
		"one":                       {append(still("b"), mining("a", 0.95)), []string{"cannot be told node a"}},
		"all":                       {[]Judged{mining("a", 0.97), mining("b", 0.96), mining("c", 0.975)}, []string{"cannot be told all 3 nodes"}},
		"all, by a commit":          {slices.Concat(still("a"), still("b"), still("c"), []Judged{mining("a", 0.97, commit), mining("b", 0.97, commit), mining("c", 0.97, commit)}), []string{"code all 3 nodes"}},
		"two":                       {append(still("c"), mining("a", 0.97), mining("b", 0.97)), []string{"cannot be told 2 of 3 nodes: a, b"}},
		"two, against each other":   {[]Judged{mining("a", 0.97), mining("b", 1.03)}, []string{"cannot be told node a", "cannot be told node b"}},
		"two, of one commit":        {[]Judged{mining("a", 0.97, commit), mining("b", 1.03, commit), on("b", moved("g", "mining", results.WorkPerEnergy, 1.03, commit))}, []string{"code node a", "code node b"}},
		"two uses, of one commit":   {[]Judged{mining("a", 0.97, commit), on("b", moved("g", "compute", results.Throughput, 1.03, commit))}, []string{"code 2 of 3 nodes: a, b"}},
		"two, a month apart":        {[]Judged{mining("a", 0.97, later), mining("b", 0.97)}, []string{"cannot be told node a", "cannot be told node b"}},
		"one machine":               {append(still("b"), on("a", moved("g", results.Control, results.Throughput, 0.9)), mining("a", 0.9)), []string{"machine node a"}},
		"the control of another":    {[]Judged{on("b", moved("g", results.Control, results.Throughput, 0.9)), mining("a", 0.95, commit), on("a", moved("g", results.Control, results.Throughput, 1))}, []string{"code node a", "machine node b"}},
		"the watts of one meter":    {[]Judged{on("a", moved("g", "mining", results.Power, 1.04)), on("b", moved("g", "mining", results.Power, 1.04)), on("c", moved("g", "mining", results.Power, 1.04))}, []string{"meter all 3 nodes"}},
		"of one node on that meter": {[]Judged{on("a", moved("g", "mining", results.Power, 1.04)), on("b", moved("g", "mining", results.Power, 1)), on("c", moved("g", "mining", results.Power, 1))}, []string{"ageing node a"}},
	} {
		var got []string
		for _, f := range Findings(c.judged) {
			got = append(got, fmt.Sprint(f.Cause, " ", f.Where()))
		}
		require.ElementsMatch(t, c.want, got, name)
	}
}

// Rules tell nodes and numbers of threads apart.
func TestRulesOfNodes(t *testing.T) {
	rules, err := ReadRules(strings.NewReader("[[ignore]]\nnode = \"rack3-*\"\nmetric = \"power\"\nreason = \"its meter is away\"\n[[limit]]\nthreads = 1\nleast = 0.05\n"))
	require.NoError(t, err)
	for _, c := range []struct {
		node    string
		threads int
		ignored bool
		least   float64
	}{{"rack3-7", 1, true, 0.05}, {"rack3-7", 64, true, 0}, {"rack2-1", 64, false, 0}, {"", 1, false, 0.05}} {
		k := store.Key{Group: "g", Node: c.node, Threads: c.threads, Metric: results.Power}
		_, ignored := rules.Ignored(k)
		require.Equal(t, c.ignored, ignored, c)
		require.Equal(t, c.least, rules.least(k), c)
	}
	_, err = ReadRules(strings.NewReader("[[limit]]\nthreads = -1\nleast = 0.05\n"))
	require.ErrorContains(t, err, "threads = -1")
}

// What a sibling did at a change, three nights of it tell, and seldom wrongly;
// where its nights are too uneven they tell nothing.
func TestAskSiblings(t *testing.T) {
	const nights, at, runs = 63, 60, 300
	node := func(name string, rng *rand.Rand, spread, step float64) Judged {
		s := &Series{Key: store.Key{Group: "g", Node: name, Metric: results.Throughput}, Better: Higher}
		for n := range nights {
			level := 1e9
			if n >= at {
				level *= 1 + step
			}
			s.Points = append(s.Points, Point{Night: n, Value: level * math.Exp(spread*rng.NormFloat64()), Control: nan})
		}
		return Judged{Series: s, Last: nights - 1}
	}
	var moved, still, wrong, told int
	for i := range runs {
		rng := rand.New(rand.NewPCG(uint64(i), 11))
		group := []Judged{node("a", rng, 0.01, -0.03), node("moved", rng, 0.01, -0.03), node("still", rng, 0.01, 0), node("uneven", rng, 0.2, 0)}
		group[0].Changes = []Change{{Night: at, From: at, To: at, Size: stats.Interval{Value: 0.97}}}
		askSiblings(group, nights-1)
		b := group[0].Beside[at]
		if slices.Contains(b.Moved, "moved") {
			moved++
		}
		if slices.Contains(b.Moved, "still") {
			wrong++
		}
		if slices.Contains(b.Moved, "uneven") {
			told++
		}
		still += b.Still
	}
	t.Logf("of %d: %d that moved are known, %d that did not, %d of those are taken for moved, %d of uneven ones", runs, moved, still, wrong, told)
	require.Greater(t, moved, runs*6/10)
	require.Greater(t, still, runs*6/10)
	require.LessOrEqual(t, wrong, runs*2/100)
	require.LessOrEqual(t, told, runs*2/100)
}

// What moves one node, or all of them, is one finding of the right nodes from
// the night that shows it first, and fails one night's gate, though each node and
// each figure shows it on a night of its own.
func TestGateOfSiblings(t *testing.T) {
	const nodes, at, last = 4, 60, 74
	runs := 2
	if testing.Short() {
		runs = 1
	}
	for _, c := range []struct {
		name     string
		one, all float64
		spread   float64
		where    string
	}{
		{"nothing", 0, 0, 0.01, ""},
		{"one", -0.05, 0, 0.01, "node n0"},
		{"one of quiet ones", -0.02, 0, 0.002, "node n0"},
		{"all", 0, -0.03, 0.01, "all 4 nodes"},
		{"all of quiet ones", 0, -0.01, 0.002, "all 4 nodes"},
	} {
		for run := range runs {
			rng := rand.New(rand.NewPCG(uint64(run), 77))
			g := &Group{Group: store.Group{ID: "g"}}
			for k := range nodes {
				var figures []Series
				for _, metric := range []string{results.Throughput, results.WorkPerEnergy} {
					figures = append(figures, Series{Key: store.Key{Group: "g", Node: fmt.Sprint("n", k), Scenario: "mining", Use: "mining", Metric: metric}, Better: Higher})
				}
				level := 1e9 * (1 + 0.05*rng.NormFloat64())
				for n := range last {
					step := 0.0
					if n >= at {
						step = c.all
						if k == 0 {
							step += c.one
						}
					}
					v := level * (1 + step) * math.Exp(c.spread*rng.NormFloat64())
					for i := range figures {
						figures[i].Points = append(figures[i].Points, Point{Night: n, Value: v * math.Exp(0.3*c.spread*rng.NormFloat64()), Control: 5e8 * math.Exp(0.3*c.spread*rng.NormFloat64()), Record: fmt.Sprint(n)})
					}
				}
				g.Series = append(g.Series, figures...)
			}
			g.siblings()
			var failed []int
			var found []Finding
			before, upto := make([]Past, len(g.Series)), Never
			for night := at - 1; night < last; night++ {
				var group []Judged
				for i := range g.Series {
					s := g.Series[i]
					s.Points = s.Points[:night+1]
					j := Judge(&s, before[i], upto, night)
					group, before[i] = append(group, j), j.Before
				}
				upto = night - 1
				askSiblings(group, night)
				found = Findings(group)
				r := Report{Night: night, Findings: found, rules: &Rules{}}
				if r.Fails() {
					failed = append(failed, night)
				}
			}
			if c.where == "" {
				require.Empty(t, found, run)
				require.Empty(t, failed, run)
				continue
			}
			require.Len(t, found, 1, "%s, %d", c.name, run)
			require.Equal(t, c.where, found[0].Where(), c.name)
			require.InDelta(t, at, found[0].Night, 2, c.name)
			require.Len(t, failed, 1, "%s, %d", c.name, run)
		}
	}
}
