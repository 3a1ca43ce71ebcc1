// Package plug reads metering plugs, and the same makers' meters for distribution
// boards, through their own HTTP interface: Shelly (shelly-api-docs.shelly.cloud) and
// Tasmota (tasmota.github.io/docs/Commands, Status 8).
//
// A Shelly of the second generation and later consists of components. Those that meter
// are Switch and PM1 (apower, and the preferred aenergy.total, to 0.001 Wh), EM1
// (act_power of one clamp) and EM (total_act_power of three phases). The energy of EM1
// and EM is in components of its own, updated once a minute, and is not read. A Shelly
// of the first generation has meters and emeters in its /status; their power is read. A
// Tasmota counts whole Wh, in steps of 3600 J, so its power is preferred. Where a plug
// has both, the other one stands in if the preferred one cannot be read.
//
// None of them gives the time of a value: the times in their answers (unixtime,
// minute_ts, StatusSNS.Time) are those of the answer or of a full minute. They are not
// read, because they would make a value that no longer changes look fresh.
package plug

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/perwatt/perwatt/harness/endpoint"
	"github.com/perwatt/perwatt/harness/power"
	"github.com/perwatt/perwatt/results"
)

// Options are those of its spec.
var Options = slices.Concat([]endpoint.Option{
	{Key: "id", Help: "which outlet, clamp or phase, from 0: 1, or 0+1+2, added up; or a component of a Shelly, em1:1 (the only one that meters)"},
}, power.Common, endpoint.Login, endpoint.WebOptions)

// Upper limits of plausible power, in W: a plug carries at most 16 A at 250 V, the
// largest clamps of one phase 120 A. There is no limit for three phases.
const (
	plugMost  = 4000
	clampMost = 30_000
)

// channel is one number of a plug.
type channel struct {
	results.Channel
	ref   string  // path of the request
	path  []any   // place of the number in the answer
	unit  float64 // W or J
	most  float64 // W
	stale time.Duration
	well  func(answer json.RawMessage) error // why the answer is not valid, or nil; nil if it always is
}

// protocol says what to read from one plug.
type protocol struct {
	channels []channel
	notes    []string
}

func gauge(step float64, total results.Boundary, ref string, path ...any) channel {
	return channel{ref: ref, path: path, unit: 1, most: plugMost, Channel: results.Channel{Name: "power", Unit: results.Watt, Kind: results.Gauge, Boundary: results.Wall, Total: total,
		Origin: results.Measured, Accuracy: results.Accuracy{Gain: results.Absent(), Resolution: results.Float(step), Source: "its maker states none"}}}
}

func counter(unit, step float64, total results.Boundary, ref string, path ...any) channel {
	c := gauge(step, total, ref, path...)
	c.unit, c.Name, c.Unit, c.Kind = unit, "energy", results.Joule, results.Counter
	return c
}

// place is where a plug meters: an outlet, a clamp or a phase.
type place struct {
	kind   string // of a Shelly's component, such as switch; empty if not given
	number int
}

func (p place) String() string { return fmt.Sprintf("%s:%d", p.kind, p.number) }

var placeText = regexp.MustCompile(`^(?:([a-z][a-z0-9]{0,15}):)?([0-9]{1,2})$`)

// wanted reads id=.
func wanted(s power.Spec) (out []place, err error) {
	if !s.Has("id") {
		return nil, nil
	}
	for text := range strings.SplitSeq(s.Get("id", ""), "+") {
		part := placeText.FindStringSubmatch(text)
		if part == nil {
			return nil, endpoint.BadOption("id", s.Get("id", ""), "numbers from 0 to 99 such as 1 or 0+1+2, or of a Shelly its component, em1:1")
		}
		n, _ := strconv.Atoi(part[2])
		p := place{part[1], n}
		if slices.Contains(out, p) {
			return nil, endpoint.BadOption("id", s.Get("id", ""), "different ones")
		}
		out = append(out, p)
	}
	return out, nil
}

// component is a kind of Shelly component that meters.
type component struct {
	kind, method string
	power        string
	energy       bool
	most         float64
	note         string
}

var components = []component{
	{"switch", "Switch", "apower", true, plugMost, "power: apower, which stands in if the energy counts nothing"},
	{"pm1", "PM1", "apower", true, plugMost, "power: apower, which stands in if the energy counts nothing"},
	{"em1", "EM1", "act_power", false, clampMost, "power: act_power of one clamp"},
	{"em", "EM", "total_act_power", false, 0, "power: total_act_power of three phases"},
}

func componentOf(kind string) (component, bool) {
	i := slices.IndexFunc(components, func(c component) bool { return c.kind == kind })
	if i < 0 {
		return component{}, false
	}
	return components[i], true
}

func (c component) ref(n int) string { return fmt.Sprintf("/rpc/%s.GetStatus?id=%d", c.method, n) }

// meters reports whether the status of a component has its power.
func (c component) meters(status json.RawMessage) bool {
	_, err := endpoint.Pick(status, c.power)
	return err == nil
}

// shelly is a component of a Shelly.
func shelly(c component, n int) protocol {
	p := protocol{notes: []string{c.note}}
	watts := gauge(0.1, results.Wall, c.ref(n), c.power)
	watts.most = c.most
	if !c.energy {
		watts.well = clamps
		p.channels = []channel{watts}
		return p
	}
	energy := counter(3600, 3.6, results.Wall, c.ref(n), "aenergy", "total")
	energy.most, energy.stale = c.most, 3*time.Minute // a count that is updated once a minute may stand still for as long
	energy.Place = place{c.kind, n}.String()
	watts.Place = energy.Place
	p.channels = []channel{energy, watts}
	p.notes = append(p.notes, "energy: aenergy.total, in steps of 0.001 Wh; how often it is updated is not documented")
	return p
}

// clamps returns the error that an energy meter reports about its own measurement (EM
// and EM1, errors and a_errors to c_errors).
func clamps(status json.RawMessage) error {
	for _, of := range []string{"errors", "a_errors", "b_errors", "c_errors"} {
		raw, _ := endpoint.Pick(status, of)
		var list []string
		_ = json.Unmarshal(raw, &list)
		for _, e := range list {
			if strings.Contains(e, "power") || strings.Contains(e, "ct_type") {
				return fmt.Errorf("its %s say %.60q", of, e)
			}
		}
	}
	return nil
}

// first is a Shelly of the first generation, by its /status.
func first(status json.RawMessage, want []place) (protocol, error) {
	p := protocol{}
	of := "emeters" // of clamps; if there are any, meters belong to a relay that measures nothing
	raw, err := endpoint.Pick(status, of)
	if err != nil || length(raw) == 0 {
		of = "meters"
		raw, _ = endpoint.Pick(status, of)
	}
	n := length(raw)
	if n == 0 {
		return p, fmt.Errorf("its /status has no meters and no emeters: this Shelly does not meter")
	}
	numbers, err := chosen(want, n, of)
	if err != nil {
		return p, err
	}
	for _, i := range numbers {
		c := gauge(0.01, results.Wall, statusRef, of, i, "power")
		c.well = func(status json.RawMessage) error {
			raw, err := endpoint.Pick(status, of, i, "is_valid")
			if err == nil && string(raw) != "true" {
				err = fmt.Errorf("%s.%d.is_valid is %.20s", of, i, raw)
			}
			return err
		}
		if of == "emeters" {
			c.most = clampMost
		}
		p.add(c, len(numbers) > 1, i)
	}
	p.notes = append(p.notes, fmt.Sprintf("power: %s of /status, in steps of 0.01 W", of))
	return p, nil
}

// add adds a channel, named by its place if there are others.
func (p *protocol) add(c channel, several bool, n int) {
	if several {
		c.Name += fmt.Sprintf("-%d", n)
	}
	c.Place = fmt.Sprintf("outlet:%d", n)
	p.channels = append(p.channels, c)
}

// chosen returns the numbers of the wanted places, of n.
func chosen(want []place, n int, what string) (out []int, err error) {
	if len(want) == 0 && n > 1 {
		return nil, fmt.Errorf("%w: it has %d %s: say which with id=, from 0, or add them up, if they are phases of one feed, with id=0+1", endpoint.ErrSpec, n, what)
	}
	if len(want) == 0 {
		want = []place{{}}
	}
	for _, w := range want {
		switch {
		case w.kind != "":
			return nil, fmt.Errorf("%w: id=%v: it has no components: give its number alone", endpoint.ErrSpec, w)
		case w.number >= n && n == 1:
			return nil, fmt.Errorf("%w: id=%d: it has one of %s: leave id out", endpoint.ErrSpec, w.number, what)
		case w.number >= n:
			return nil, fmt.Errorf("%w: id=%d: it has %d %s, from 0", endpoint.ErrSpec, w.number, n, what)
		}
		out = append(out, w.number)
	}
	return out, nil
}

// tasmota returns the protocol of the wanted outlets of a Tasmota, or of its only one;
// its first answer shows which it has.
func tasmota(answer json.RawMessage, want []place) (protocol, error) {
	p := protocol{notes: []string{"power: ENERGY.Power, in steps of 1 W unless resolution= says otherwise (WattRes)"}}
	at := func(name string) []any { return []any{"StatusSNS", "ENERGY", name} }
	raw, err := endpoint.Pick(answer, at("Power")...)
	if err != nil {
		return p, fmt.Errorf("%w: this Tasmota measures no power; its StatusSNS has %s", err, keys(answer, "StatusSNS"))
	}
	outlets := length(raw)
	numbers, err := chosen(want, max(1, outlets), "outlets")
	if err != nil {
		return p, err
	}
	total, err := endpoint.Pick(answer, at("Total")...)
	counts := err == nil && length(total) == outlets
	for _, i := range numbers {
		one := func(name string) []any {
			if outlets > 0 {
				return append(at(name), i)
			}
			return at(name)
		}
		p.add(gauge(1, results.Wall, tasmotaRef, one("Power")...), len(numbers) > 1, i)
		if counts {
			p.add(counter(kWh, kWh/1000, results.Wall, tasmotaRef, one("Total")...), len(numbers) > 1, i)
		}
	}
	if counts {
		p.notes = append(p.notes, "energy: ENERGY.Total, in steps of 1 Wh, which are 3600 J: stands in if the power says nothing")
	}
	return p, nil
}

// keys lists the names in an object, for an error.
func keys(raw json.RawMessage, path ...any) string {
	var object map[string]json.RawMessage
	raw, _ = endpoint.Pick(raw, path...)
	_ = json.Unmarshal(raw, &object)
	if len(object) == 0 {
		return "nothing"
	}
	return fmt.Sprintf("%.200q", strings.Join(slices.Sorted(maps.Keys(object)), ", "))
}

const (
	tasmotaRef = "/cm?cmnd=Status%208"
	statusRef  = "/status"
	kWh        = 3.6e6 // J
)

// length returns the length of a list, or 0 for anything else.
func length(raw json.RawMessage) int {
	var list []json.RawMessage
	_ = json.Unmarshal(raw, &list)
	return len(list)
}

// refs returns the paths of the requests of a reading.
func (p protocol) refs() (out []string) {
	for _, c := range p.channels {
		if !slices.Contains(out, c.ref) {
			out = append(out, c.ref)
		}
	}
	return out
}

// parse extracts the quantities from the answers, which are keyed by request.
func (p protocol) parse(answers map[string]json.RawMessage) []power.Quantity {
	out := make([]power.Quantity, len(p.channels))
	for i, c := range p.channels {
		out[i] = power.Number(answers[c.ref], c.unit, c.path...)
		switch {
		case out[i].Err != nil || c.well == nil:
		case c.well(answers[c.ref]) != nil:
			out[i].Err = c.well(answers[c.ref])
		case out[i].Value < 0:
			out[i].Err = fmt.Errorf("%g W: below 0: its clamp sits the wrong way round, or power is fed back", out[i].Value)
		}
	}
	return out
}

// Open detects the kind of plug at the spec's target, http://HOST, and returns a meter
// of it.
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
		return nil, fmt.Errorf("plug: %w: %.80q has more than http://HOST: the plug's kind, and what to request, are detected", endpoint.ErrSpec, endpoint.Redact(s.Target))
	}
	m, err := open(ctx, s, web, door)
	if err != nil {
		_ = web.Close()
		return nil, fmt.Errorf("plug: open %s: %w", endpoint.Redact(s.Target), err)
	}
	return m, nil
}

func open(ctx context.Context, s power.Spec, web *endpoint.Web, door *login) (power.Meter, error) {
	p, who, err := probe(ctx, s, web, door)
	if err != nil {
		return nil, err
	}
	about := power.Info{Source: endpoint.Redact(s.Target), Period: time.Second,
		Notes: slices.Concat(web.Notes, []string{who + ": everything that is plugged in there, the node or not"}, p.notes)}
	var bounds []power.Bound
	for _, c := range p.channels {
		about.Channels = append(about.Channels, c.Channel)
		bounds = append(bounds, power.Bound{Watts: c.most, Stale: c.stale})
	}
	refs := p.refs()
	m, err := s.Poller(about, bounds, func(ctx context.Context) ([]power.Quantity, error) {
		answers := map[string]json.RawMessage{}
		for _, ref := range refs {
			var raw json.RawMessage
			if err := web.Get(ctx, ref, &raw); err != nil {
				return nil, err
			}
			answers[ref] = raw
		}
		return p.parse(answers), nil
	}, web.Close)
	if err == nil {
		err = m.Prove(ctx)
	}
	if err != nil {
		return nil, err
	}
	return m, nil
}

// probe detects a Shelly by its /shelly, which needs no login. Only if there is none
// does it try Tasmota, whose requests carry the password in plain text.
func probe(ctx context.Context, s power.Spec, web *endpoint.Web, door *login) (p protocol, who string, err error) {
	want, err := wanted(s)
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
	refused, is := errors.AsType[*endpoint.Refused](err)
	switch {
	case err == nil && self.Gen != nil && *self.Gen >= 2:
		p, err = later(func(ref string) (raw json.RawMessage, err error) { return raw, web.Get(ctx, ref, &raw) }, want)
		return p, fmt.Sprintf("Shelly %.40s, firmware %.40s", self.Model, self.Ver), err
	case err == nil && self.Type != "":
		inClear(web, door)
		if err := web.Get(ctx, statusRef, &raw); err != nil {
			return p, "", fmt.Errorf("%.40q is a Shelly of the first generation: %w", self.Type, err)
		}
		if p, err = first(raw, want); err != nil {
			err = fmt.Errorf("%.40q is a Shelly of the first generation: %w", self.Type, err)
		}
		return p, fmt.Sprintf("Shelly %.40s, of the first generation", self.Type), err
	case err == nil:
		return p, "", errors.New("its /shelly has neither a generation nor a type: not a known Shelly")
	case !is || refused.Code >= 300 && refused.Code < 400:
		return p, "", err
	}
	inClear(web, door)
	if err := web.Get(ctx, tasmotaRef, &raw); err != nil {
		return p, "", fmt.Errorf("neither a Shelly nor a Tasmota: %w", err)
	}
	var warning struct{ Warning string }
	_ = json.Unmarshal(raw, &warning)
	if warning.Warning != "" { // Tasmota before 8.2.3, with a password
		return p, "", errors.New("it requires its password in the address, where it would be logged: install a newer Tasmota, or remove the web password")
	}
	p, err = tasmota(raw, want)
	return p, "Tasmota", err
}

// inClear allows Basic authentication, with the password in plain text, for a plug that
// supports nothing else.
func inClear(web *endpoint.Web, door *login) {
	door.basic = true
	if door.password != "" && web.Base.Scheme == "http" {
		web.Notes = append(web.Notes, endpoint.Unencrypted)
	}
}

// later returns the protocol of the wanted places of a Shelly of the second generation
// or later. A place without a kind means the switch of that number if that meters, else
// the only component that does.
func later(get func(ref string) (json.RawMessage, error), want []place) (p protocol, err error) {
	named := len(want) > 0
	if !named {
		want = []place{{}}
	}
	var found []place
	for _, w := range want {
		if w, err = settle(get, w, named); err != nil {
			return p, err
		}
		if slices.Contains(found, w) {
			return p, fmt.Errorf("%w: id= names %v twice", endpoint.ErrSpec, w)
		}
		found = append(found, w)
	}
	for _, w := range found {
		c, _ := componentOf(w.kind)
		one := shelly(c, w.number)
		for _, ch := range one.channels {
			if len(found) > 1 {
				ch.Name = fmt.Sprintf("%s%d-%s", w.kind, w.number, ch.Name)
			}
			p.channels = append(p.channels, ch)
		}
		for _, n := range one.notes {
			p.notes = append(p.notes, fmt.Sprintf("%v: %s", w, n))
		}
	}
	return p, nil
}

// settle returns the component that a place means.
func settle(get func(ref string) (json.RawMessage, error), w place, named bool) (place, error) {
	kind, _ := componentOf(cmp.Or(w.kind, "switch"))
	if kind.kind == "" {
		return w, fmt.Errorf("%w: id=%v: component %.20s is not read; those that are read: switch, pm1, em1, em", endpoint.ErrSpec, w, w.kind)
	}
	raw, err := get(kind.ref(w.number))
	if err == nil && kind.meters(raw) {
		return place{kind.kind, w.number}, nil
	}
	if w.kind != "" && err == nil {
		return w, fmt.Errorf("its %v has %s and no %s: it does not meter", w, keys(raw), kind.power)
	}
	if denied(err) || w.kind != "" {
		return w, err
	}
	meters, others, err := survey(get)
	if err != nil {
		return w, err
	}
	fit := meters
	if named {
		fit = slices.DeleteFunc(slices.Clone(meters), func(p place) bool { return p.number != w.number })
	}
	var have []string
	for _, p := range meters {
		have = append(have, p.String())
	}
	switch {
	case len(fit) == 1:
		return fit[0], nil
	case len(have) == 0:
		return w, fmt.Errorf("no component of this Shelly meters that is read (switch, pm1, em1, em); it has %s", cmp.Or(strings.Join(others, ", "), "none that it lists"))
	case len(fit) == 0:
		return w, fmt.Errorf("%w: id=%d: no component of that number meters; those that do: %s", endpoint.ErrSpec, w.number, strings.Join(have, ", "))
	}
	return w, fmt.Errorf("%w: several components meter: say which with id=, of %s, or add them up, if they are feeds of the node, with a + between them", endpoint.ErrSpec, strings.Join(have, ", "))
}

// denied reports whether an error has another cause than a missing component.
func denied(err error) bool {
	refused, is := errors.AsType[*endpoint.Refused](err)
	return err != nil && (!is || refused.Code == http.StatusUnauthorized || refused.Code == http.StatusForbidden)
}

// survey lists the components that meter and names the others, from the status of the
// whole Shelly. If there is none, it requests the first three components of each kind.
func survey(get func(ref string) (json.RawMessage, error)) (meters []place, others []string, err error) {
	raw, err := get("/rpc/Shelly.GetStatus")
	if denied(err) {
		return nil, nil, err
	}
	if err == nil {
		var all map[string]json.RawMessage
		_ = json.Unmarshal(raw, &all)
		for _, name := range slices.Sorted(maps.Keys(all)) {
			kind, number, is := strings.Cut(name, ":")
			n, bad := strconv.Atoi(number)
			c, known := componentOf(kind)
			switch {
			case !is || bad != nil:
			case known && n >= 0 && n < 100 && c.meters(all[name]):
				meters = append(meters, place{kind, n})
			default:
				others = append(others, fmt.Sprintf("%.40q", name))
			}
		}
		return meters, others, nil
	}
	for _, c := range components {
		for n := range 3 {
			raw, err := get(c.ref(n))
			switch {
			case denied(err):
				return nil, nil, err
			case err != nil:
			case c.meters(raw):
				meters = append(meters, place{c.kind, n})
			default:
				others = append(others, place{c.kind, n}.String()+" without "+c.power)
			}
		}
	}
	return meters, others, nil
}
