// Package all is the explicit list of device APIs: it turns what the user
// wrote into open devices. A new one is a folder beside it and a line in kinds.
package all

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/perwatt/perwatt/harness/endpoint"
	"github.com/perwatt/perwatt/harness/miner"
	"github.com/perwatt/perwatt/harness/miner/axeos"
	"github.com/perwatt/perwatt/harness/miner/braiins"
	"github.com/perwatt/perwatt/harness/miner/cgminer"
	"github.com/perwatt/perwatt/harness/miner/whatsminer"
)

// Kind is one API, for help.
type Kind struct {
	Name    string
	Form    string // KIND:TARGET
	Help    string
	Options []endpoint.Option
	Verbs   miner.Verbs // all that is ever sent

	open func(ctx context.Context, s endpoint.Spec) (miner.Client, error)
}

var kinds = []Kind{
	{"cgminer", "cgminer:HOST[:PORT]", "Antminer, Avalon, Whatsminer (API 1 and 2), LuxOS, Braiins OS, SealMiner, Auradine, bfgminer, cgminer and forks, cpuminer-opt; port 4028", cgminer.Options, cgminer.Verbs, cgminer.Open},
	{"whatsminer", "whatsminer:HOST[:PORT]", "Whatsminer (API 3); port 4433", whatsminer.Options, whatsminer.Verbs, whatsminer.Open},
	{"braiins", "braiins:HOST[:PORT]|URL", "Braiins OS, by its REST API; port 80", braiins.Options, braiins.Verbs, braiins.Open},
	{"axeos", "axeos:HOST[:PORT]|URL", "Bitaxe and its kin (ESP-Miner, NerdAxe, Lucky Miner); port 80", axeos.Options, axeos.Verbs, axeos.Open},
}

// Kinds lists what can be asked for by name.
func Kinds() []Kind { return slices.Clone(kinds) }

// openers is how many devices are opened at a time.
const openers = 32

// Open opens the devices of the specs, several at a time, in their order. A
// spec that is wrong is an error that wraps [endpoint.ErrSpec], before any device
// is asked. A device that does not answer is one too, and the others are
// closed: every error names its device. Names are unique: of two that are the
// same, the second gets -2.
func Open(ctx context.Context, specs []string) ([]miner.Client, error) {
	kind, spec := make([]Kind, len(specs)), make([]endpoint.Spec, len(specs))
	for i, text := range specs {
		var err error
		if kind[i], spec[i], err = parse(text); err != nil {
			return nil, err
		}
		if at := slices.Index(specs, text); at < i {
			return nil, fmt.Errorf("device %.120q: %w: given twice", endpoint.Redact(text), endpoint.ErrSpec)
		}
	}
	devices, errs := make([]miner.Client, len(specs)), make([]error, len(specs))
	var all sync.WaitGroup
	slots := make(chan struct{}, openers)
	for i := range specs {
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			if devices[i], errs[i] = kind[i].open(ctx, spec[i]); errs[i] != nil {
				errs[i] = fmt.Errorf("device %.120q: %w", endpoint.Redact(specs[i]), errs[i])
			}
		})
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		for _, d := range devices {
			if d != nil {
				_ = d.Close()
			}
		}
		return nil, err
	}
	names := map[string]bool{}
	for i, d := range devices {
		name := d.Info().Name
		for n := 2; names[name]; n++ {
			name = fmt.Sprintf("%s-%d", d.Info().Name, n)
		}
		if names[name] = true; name != d.Info().Name {
			devices[i] = renamed{d, name}
		}
	}
	return devices, nil
}

func parse(text string) (Kind, endpoint.Spec, error) {
	name, _, _ := strings.Cut(text, ":")
	name, _, _ = strings.Cut(name, ",")
	bad := func(why string) error {
		var forms []string
		for _, k := range kinds {
			forms = append(forms, k.Form)
		}
		return fmt.Errorf("device %.120q: %w: %s; known are %s", endpoint.Redact(text), endpoint.ErrSpec, why, strings.Join(forms, ", "))
	}
	at := slices.IndexFunc(kinds, func(k Kind) bool { return k.Name == name })
	if at < 0 {
		return Kind{}, endpoint.Spec{}, bad("there is no such API")
	}
	s, err := endpoint.ParseSpec(text, kinds[at].Options)
	switch {
	case err != nil:
		return Kind{}, s, fmt.Errorf("device %.120q: %w", endpoint.Redact(text), err)
	case s.Target == "":
		return Kind{}, s, bad("it needs a host")
	}
	return kinds[at], s, nil
}

// renamed is a device under another name.
type renamed struct {
	miner.Client
	name string
}

func (r renamed) Info() miner.Info {
	info := r.Client.Info()
	info.Name = r.name
	return info
}
