package harness

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/perwatt/perwatt/harness/miner"
	"github.com/perwatt/perwatt/harness/power"
	"github.com/perwatt/perwatt/results"
)

// PoolInstruments are the meters of a pool's miners and the miners' own APIs. Each
// serves one worker: the one to which Mapped assigns it, else the one of the same name.
// A miner's API also serves the worker at its address, and the only meter serves the
// first worker.
type PoolInstruments struct {
	Meters []power.Meter
	Probes []results.MeterProbe // results of the search for meters
	Miners []miner.Client
	Mapped []Mapping

	addresses map[string][]string // addresses of a miner's API, by its name

	mu       sync.Mutex
	owner    map[instrument]string // name of the worker that the instrument serves
	assumed  string                // worker that got the only meter without being mapped to it
	contests bool                  // another worker came after it
}

// Mapping assigns the meter or miner of a name to a worker.
type Mapping struct{ Worker, Name string }

// instrument is the name of a meter or a miner.
type instrument struct {
	meter bool
	name  string
}

// Resolve looks up the addresses of the miners and checks that every mapping names
// a meter or a miner. It is called once, before anything is assigned.
func (g *PoolInstruments) Resolve(ctx context.Context) error {
	var names []string
	for _, m := range g.Meters {
		names = append(names, m.Info().Name)
	}
	g.owner, g.addresses = map[instrument]string{}, map[string][]string{}
	for _, d := range g.Miners {
		info := d.Info()
		names = append(names, info.Name)
		g.addresses[info.Name] = addresses(ctx, info.Source)
	}
	for _, m := range g.Mapped {
		if !slices.Contains(names, m.Name) {
			return fmt.Errorf("%.64s=%.64s: no meter or device has that name; there are: %s", m.Worker, m.Name, strings.Join(names, ", "))
		}
	}
	return nil
}

// addresses returns the IP addresses of a URL, of HOST:PORT or of a bare host.
func addresses(ctx context.Context, source string) []string {
	host := source
	if u, err := url.Parse(source); err == nil && u.Host != "" {
		host = u.Hostname()
	} else if h, _, err := net.SplitHostPort(source); err == nil {
		host = h
	}
	found, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		return []string{host}
	}
	return found
}

// assign returns the meters and miners of a worker that serve no other, and reserves
// them.
func (g *PoolInstruments) assign(worker, address string) (meters []power.Meter, miners []miner.Client) {
	g.mu.Lock()
	defer g.mu.Unlock()
	take := func(i instrument) bool {
		if g.owner[i] != "" {
			return false
		}
		g.owner[i] = worker
		return true
	}
	mapped := func(name string) (here, elsewhere bool) {
		for _, m := range g.Mapped {
			if m.Name == name {
				here, elsewhere = here || m.Worker == worker, elsewhere || m.Worker != worker
			}
		}
		return here, elsewhere
	}
	for _, m := range g.Meters {
		name := m.Info().Name
		here, elsewhere := mapped(name)
		only := len(g.Meters) == 1 && len(g.Mapped) == 0 && g.assumed == ""
		if (here || !elsewhere && (name == worker || only)) && take(instrument{true, name}) {
			meters = append(meters, m)
			if !here && name != worker {
				g.assumed = worker
			}
		}
	}
	for _, d := range g.Miners {
		name := d.Info().Name
		here, elsewhere := mapped(name)
		if (here || !elsewhere && (name == worker || slices.Contains(g.addresses[name], address))) && take(instrument{false, name}) {
			miners = append(miners, d)
		}
	}
	g.contests = g.contests || g.assumed != "" && g.assumed != worker
	return meters, miners
}

// warnings returns a warning if a worker got the only meter by assumption although
// other workers mined too.
func (g *PoolInstruments) warnings(worker string) []results.Warning {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.contests || g.assumed != worker {
		return nil
	}
	return []results.Warning{{
		Code:   "meter-shared",
		Text:   "other devices mined here too, and no --map assigns the meter to one of them: its watts may be those of several",
		Remedy: "assign it with --map WORKER=METER",
	}}
}

// probes returns the probes of a worker's meters.
func (g *PoolInstruments) probes(meters []power.Meter) []results.MeterProbe {
	out := []results.MeterProbe{}
	for _, p := range g.Probes {
		if slices.ContainsFunc(meters, func(m power.Meter) bool { return m.Info().Name == p.Meter }) {
			out = append(out, p)
		}
	}
	return out
}
