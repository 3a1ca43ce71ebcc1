// Package plug reads metering plugs by their own HTTP interface: Shelly of the
// second generation and later (shelly-api-docs.shelly.cloud, Switch.GetStatus)
// and Tasmota (tasmota.github.io/docs/Commands, Status 8).
//
// A Shelly counts energy to a thousandth of a Wh, and that carries the total. A
// Tasmota counts whole Wh, steps of 3600 J, so that its power does. Neither says
// when it took a value: the times in their answers (unixtime, minute_ts,
// StatusSNS.Time) are those of the answer or of a minute, and would make what
// stands still look fresh. They are not read.
package plug

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/perwatt/perwatt/harness/peer"
	"github.com/perwatt/perwatt/harness/power"
	"github.com/perwatt/perwatt/results"
)

// Options are those of its spec.
var Options = slices.Concat([]peer.Option{
	{Key: "id", Help: "which outlet of several, counted from 0 (0)"},
}, power.Common, peer.Login, peer.WebOptions)

// maxWatts is 16 A at 250 V, the most that a plug carries.
const maxWatts = 4000

// channel is one number of a plug.
type channel struct {
	results.Channel
	path  []any   // where it stands in the answer
	unit  float64 // W or J
	stale time.Duration
}

// protocol is how one family of plugs is asked.
type protocol struct {
	ref      string // what is asked at each reading
	channels []channel
	notes    []string
}

func gauge(step float64, total results.Boundary, path ...any) channel {
	return channel{path: path, unit: 1, Channel: results.Channel{Name: "power", Unit: results.Watt, Kind: results.Gauge, Boundary: results.Wall, Total: total,
		Origin: results.Measured, Accuracy: results.Accuracy{Gain: results.Absent(), Resolution: results.Float(step), Source: "its maker states none"}}}
}

func counter(unit, step float64, total results.Boundary, path ...any) channel {
	c := gauge(step, total, path...)
	c.unit, c.Name, c.Unit, c.Kind = unit, "energy", results.Joule, results.Counter
	return c
}

// shelly is the switch number id of a Shelly.
func shelly(id int) protocol {
	energy := counter(3600, 3.6, results.Wall, "aenergy", "total")
	energy.stale = 3 * time.Minute // what is counted by the minute may stand still for one
	return protocol{
		ref:      fmt.Sprintf("/rpc/Switch.GetStatus?id=%d", id),
		channels: []channel{energy, gauge(0.1, "", "apower")},
		notes:    []string{"energy: aenergy.total, in steps of 0.001 Wh; how often it is brought up to date is not documented", "power: apower, beside the total and not in it"},
	}
}

// tasmota is the outlet number id of a Tasmota, or its only one if id is below
// 0. The first answer tells which it has.
func tasmota(first json.RawMessage, id int) (protocol, error) {
	p := protocol{ref: tasmotaRef, notes: []string{"power: ENERGY.Power, in steps of 1 W unless resolution= says otherwise (WattRes)"}}
	at := func(name string) []any { return []any{"StatusSNS", "ENERGY", name} }
	raw, err := peer.Pick(first, at("Power")...)
	if err != nil {
		return p, fmt.Errorf("%w: this Tasmota measures no power", err)
	}
	outlets := length(raw)
	switch {
	case outlets == 0 && id > 0:
		return p, fmt.Errorf("%w: id=%d: it has one outlet: leave id out", peer.ErrSpec, id)
	case outlets > 0 && id < 0:
		return p, fmt.Errorf("%w: it has %d outlets: say which with id=, from 0", peer.ErrSpec, outlets)
	case outlets > 0 && id >= outlets:
		return p, fmt.Errorf("%w: id=%d: it has %d outlets, from 0", peer.ErrSpec, id, outlets)
	}
	one := func(name string) []any {
		if outlets > 0 {
			return append(at(name), id)
		}
		return at(name)
	}
	p.channels = []channel{gauge(1, results.Wall, one("Power")...)}
	if total, err := peer.Pick(first, at("Total")...); err == nil && length(total) == outlets {
		p.channels = append(p.channels, counter(kWh, kWh/1000, "", one("Total")...))
		p.notes = append(p.notes, "energy: ENERGY.Total, in steps of 1 Wh, which are 3600 J: beside the total and not in it")
	}
	return p, nil
}

const (
	tasmotaRef = "/cm?cmnd=Status%208"
	kWh        = 3.6e6 // J
)

// length of a list; 0 of what is none.
func length(raw json.RawMessage) int {
	var list []json.RawMessage
	_ = json.Unmarshal(raw, &list)
	return len(list)
}

// parse takes the quantities out of an answer.
func (p protocol) parse(raw json.RawMessage) []power.Quantity {
	out := make([]power.Quantity, len(p.channels))
	for i, c := range p.channels {
		out[i] = power.Number(raw, c.unit, c.path...)
	}
	return out
}

// Open finds out which plug answers at the spec's target, http://HOST.
func Open(ctx context.Context, s power.Spec) (power.Meter, error) {
	password, err := s.Secret("password")
	if err != nil {
		return nil, fmt.Errorf("plug: %w", err)
	}
	door := &login{user: s.Get("user", "admin"), password: password}
	web, err := s.Web(func(next http.RoundTripper) http.RoundTripper {
		door.next = next
		return door
	})
	if err != nil {
		return nil, fmt.Errorf("plug: %w", err)
	}
	if b := web.Base; b.RawQuery != "" || strings.Trim(b.Path, "/") != "" {
		return nil, fmt.Errorf("plug: %w: %.80q has more than http://HOST: what to ask is found there", peer.ErrSpec, peer.Redact(s.Target))
	}
	m, err := open(ctx, s, web, door)
	if err != nil {
		_ = web.Close()
		return nil, fmt.Errorf("plug: open %s: %w", peer.Redact(s.Target), err)
	}
	return m, nil
}

func open(ctx context.Context, s power.Spec, web *peer.Web, door *login) (power.Meter, error) {
	p, who, err := probe(ctx, s, web, door)
	if err != nil {
		return nil, err
	}
	about := power.Info{Source: peer.Redact(s.Target), Period: time.Second,
		Notes: slices.Concat(web.Notes, []string{who + ": everything that is plugged in there, be it the node or not"}, p.notes)}
	var bounds []power.Bound
	for _, c := range p.channels {
		about.Channels = append(about.Channels, c.Channel)
		bounds = append(bounds, power.Bound{Watts: maxWatts, Stale: c.stale})
	}
	return s.Remote(about, bounds, func(ctx context.Context) ([]power.Quantity, error) {
		var raw json.RawMessage
		if err := web.Get(ctx, p.ref, &raw); err != nil {
			return nil, err
		}
		return p.parse(raw), nil
	}, web.Close)
}

// probe tells a Shelly by what it says of itself to everybody, without a
// login; only then is a Tasmota asked, which wants the password as it is.
func probe(ctx context.Context, s power.Spec, web *peer.Web, door *login) (p protocol, who string, err error) {
	id, err := s.Number("id", -1, 0, 63)
	if err == nil && id != float64(int(id)) {
		err = fmt.Errorf("%w: id=%v: must be a whole number", peer.ErrSpec, id)
	}
	if err != nil {
		return p, "", err
	}
	var self struct {
		Gen   *int
		Model string
		Type  string // of the first generation
		Ver   string
	}
	var raw json.RawMessage
	err = web.Get(ctx, "/shelly", &self)
	refused, is := errors.AsType[*peer.Refused](err)
	switch {
	case err == nil && self.Gen != nil && *self.Gen >= 2:
		p, who = shelly(max(0, int(id))), fmt.Sprintf("Shelly %.40s, firmware %.40s", self.Model, self.Ver)
		if err := web.Get(ctx, p.ref, &raw); err != nil {
			if refused, is := errors.AsType[*peer.Refused](err); is && refused.Code != http.StatusUnauthorized && refused.Code != http.StatusForbidden {
				err = fmt.Errorf("%w: it has no switch %d that meters: say which with id=", err, max(0, int(id)))
			}
			return p, "", err
		}
		for i, c := range p.channels {
			if _, err := peer.Pick(raw, c.path...); err != nil {
				return p, "", fmt.Errorf("%s: %w: this Shelly does not meter", p.channels[i].Name, err)
			}
		}
		return p, who, nil
	case err == nil:
		return p, "", fmt.Errorf("%.40q is a Shelly of the first generation, which speaks another protocol: a plug must be Shelly Gen2 or later, or Tasmota", self.Type)
	case !is || refused.Code >= 300 && refused.Code < 400:
		return p, "", err
	}
	door.basic = true
	if door.password != "" && web.Base.Scheme == "http" {
		web.Notes = append(web.Notes, peer.Unencrypted)
	}
	if err := web.Get(ctx, tasmotaRef, &raw); err != nil {
		return p, "", fmt.Errorf("neither a Shelly Gen2 or later nor a Tasmota: %w", err)
	}
	var warning struct{ Warning string }
	_ = json.Unmarshal(raw, &warning)
	if warning.Warning != "" { // Tasmota before 8.2.3, with a password
		return p, "", errors.New("it wants its password in the address, where it would be logged: give it a newer Tasmota, or no web password")
	}
	p, err = tasmota(raw, int(id))
	return p, "Tasmota", err
}
