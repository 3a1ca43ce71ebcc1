// Package redfish reads the power of a whole server from its management
// controller (BMC) over DMTF Redfish (DSP0266, DSP0268).
//
// A chassis reports its power in EnvironmentMetrics, or in the older Power
// resource that it deprecates; the newer PowerSubsystem has only that of the
// supplies. Chassis may be parts of one another, and so may the entries of
// Power.PowerControl: one of them is the total, and if it is not apparent which,
// the user must say. Averages (PowerMetrics) are never read: they may cover 20
// minutes.
//
// Controllers deviate from the schema. Unambiguous deviations are read: one entry
// instead of a list, a number as a string, with or without its unit ("231 W"), or
// an object around its Reading. Errors show other values as found.
package redfish

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/perwatt/perwatt/harness/endpoint"
	"github.com/perwatt/perwatt/harness/power"
	"github.com/perwatt/perwatt/results"
)

// Options are the options of its specification.
var Options = slices.Concat([]endpoint.Option{
	{Key: "chassis", Help: "ID of the server's chassis (the one that has a power reading)"},
	{Key: "control", Help: "MemberId of the PowerControl entry with the total (detected by its name or position)"},
}, power.Common, endpoint.Login, endpoint.WebOptions)

const (
	root    = "/redfish/v1/"
	most    = 256   // chassis that are examined
	kWh     = 3.6e6 // J
	refresh = time.Second
)

// point is the location of a number: a resource and a path in it.
type point struct {
	ref   string
	path  []any
	times []any // path of the time of the reading; nil if there is none
}

// channel is one number of a chassis.
type channel struct {
	point
	name  string
	unit  float64 // W or J
	watts float64 // its value when it was found
	about string  // of a control: its own name
	total bool
}

// Open finds the chassis at the controller that the spec's target names, which
// is https://HOST, and what it tells.
func Open(ctx context.Context, s power.Spec) (power.Meter, error) {
	web, err := s.Web(nil)
	if err != nil {
		return nil, fmt.Errorf("redfish: %w", err)
	}
	if b := web.Base; b.RawQuery != "" || !slices.Contains([]string{"", "/redfish/v1"}, strings.TrimSuffix(b.Path, "/")) {
		return nil, fmt.Errorf("redfish: %w: %.80q has more than https://HOST: what to read is found there", endpoint.ErrSpec, endpoint.Redact(s.Target))
	}
	m, err := open(ctx, s, web)
	if err != nil {
		_ = web.Close()
		return nil, fmt.Errorf("redfish: open %s: %w", source(s), err)
	}
	return m, nil
}

func source(s power.Spec) string { return endpoint.Redact(s.Target) }

func open(ctx context.Context, s power.Spec, web *endpoint.Web) (power.Meter, error) {
	get := func(ref string) (raw json.RawMessage, err error) {
		return raw, web.Get(ctx, ref, &raw)
	}
	id, found, err := find(get, s.Get("chassis", ""), s.Get("control", ""))
	if err != nil {
		return nil, err
	}
	about := power.Info{Source: source(s), Period: refresh, Notes: append(web.Notes, "chassis "+id+": the power of the whole server as its controller (BMC) tells it")}
	var refs []string
	for _, f := range found {
		c := results.Channel{Name: f.name, Unit: results.Watt, Kind: results.Gauge, Boundary: results.Chassis, Origin: results.Measured,
			Accuracy: results.Accuracy{Gain: results.Absent(), Resolution: results.Absent()}}
		if f.total {
			c.Total = c.Boundary
		}
		if f.unit == kWh {
			// No schema states its resolution, and some count whole kWh: that an hour's run
			// does not change it must not make it stale.
			c.Unit, c.Kind, c.Accuracy.Resolution = results.Joule, results.Counter, kWh
			about.Notes = append(about.Notes, f.name+": beside the total and not in it, for its step is not documented: taken to be 1 kWh")
		}
		note := fmt.Sprintf("%s: %s of %s", f.name, dotted(f.path), f.ref)
		switch {
		case f.times != nil:
			note += ", with the time at which the sensor was read"
		case f.total:
			note += ", with no time: a controller that froze is told from a steady load only if resolution= says how fine it is"
		case f.about != "":
			note += fmt.Sprintf(": %.60q may be a part of the total, and is recorded beside it", f.about)
		}
		about.Notes = append(about.Notes, note)
		about.Channels = append(about.Channels, c)
		if !slices.Contains(refs, f.ref) {
			refs = append(refs, f.ref)
		}
	}
	m, err := s.Poller(about, make([]power.Bound, len(found)), func(ctx context.Context) ([]power.Quantity, error) {
		docs := map[string]json.RawMessage{}
		for _, ref := range refs {
			var raw json.RawMessage
			if err := web.Get(ctx, ref, &raw); err != nil {
				return nil, err
			}
			docs[ref] = raw
		}
		out := make([]power.Quantity, len(found))
		for i, f := range found {
			out[i] = f.parse(docs[f.ref])
		}
		return out, nil
	}, web.Close)
	if err == nil {
		err = m.Prove(ctx)
	}
	if err != nil {
		return nil, err
	}
	return m, nil
}

// parse takes the number and its time out of the resource.
func (c channel) parse(raw json.RawMessage) power.Quantity {
	v, err := amount(raw, c.unit, c.path...)
	q := power.Quantity{Value: v, Err: err}
	if q.Err == nil && c.times != nil {
		text, err := text(raw, c.times...)
		if err == nil {
			q.Taken, err = time.Parse(time.RFC3339, text)
		}
		if err != nil {
			q.Err = fmt.Errorf("it does not say when it was read: %w", err)
		}
	}
	return q
}

// units are those of strings and objects, by lower-case name and by the unit of
// the number in the schema (W or kWh), and the W or J in one of them. Milliwatt
// and megawatt differ by case alone, which is not enough.
var units = map[float64]map[string]float64{
	1:   {"": 1, "w": 1, "watt": 1, "watts": 1, "kw": 1e3},
	kWh: {"": kWh, "kwh": kWh, "kw.h": kWh, "wh": kWh / 1e3, "w.h": kWh / 1e3, "j": 1},
}

var valued = regexp.MustCompile(`^\s*([0-9.eE+-]+)\s*([A-Za-z][A-Za-z.]{0,7})?\s*$`)

// amount returns the value at a path, in W or J: a number in the unit of the
// schema, a string of a number with or without a unit, or an object with one of
// these as its Reading.
func amount(raw json.RawMessage, unit float64, path ...any) (float64, error) {
	raw, err := endpoint.Pick(raw, path...)
	if err != nil {
		return 0, err
	}
	of := ""
	if inner, err := endpoint.Pick(raw, "Reading"); err == nil {
		of, _ = text(raw, "ReadingUnits")
		raw = inner
	}
	var said string
	plain := json.Unmarshal(raw, &said) == nil && string(raw) != "null"
	if !plain {
		said = string(raw)
	}
	part := valued.FindStringSubmatch(said)
	if part == nil || !plain && part[2] != "" {
		return 0, fmt.Errorf("%s: %.40q is not a number", dotted(path), said)
	}
	v, err := endpoint.Decimal(part[1])
	if err != nil {
		return 0, fmt.Errorf("%s: %w", dotted(path), err)
	}
	times, known := units[unit][strings.ToLower(cmp.Or(part[2], of))]
	if !known {
		return 0, fmt.Errorf("%s: %.40q: its unit, %.8q, is not known", dotted(path), said, cmp.Or(part[2], of))
	}
	return v * times, nil
}

func dotted(path []any) string {
	return strings.ReplaceAll(strings.Trim(fmt.Sprint(path), "[]"), " ", ".")
}

// list returns the paths of the members of a list, or of what replaces one: an
// object of members, or a single member.
func list(raw json.RawMessage, name, member string) (paths [][]any) {
	raw, err := endpoint.Pick(raw, name)
	if err != nil {
		return nil
	}
	var many []json.RawMessage
	if json.Unmarshal(raw, &many) == nil {
		for i := range many {
			paths = append(paths, []any{name, i})
		}
		return paths
	}
	var object map[string]json.RawMessage
	_ = json.Unmarshal(raw, &object)
	if _, is := object[member]; is {
		return [][]any{{name}}
	}
	for _, key := range slices.Sorted(maps.Keys(object)) {
		if _, err := endpoint.Pick(object[key], member); err == nil {
			paths = append(paths, []any{name, key})
		}
	}
	return paths
}

// text is the string at a path.
func text(raw json.RawMessage, path ...any) (s string, err error) {
	if raw, err = endpoint.Pick(raw, path...); err == nil {
		err = json.Unmarshal(raw, &s)
	}
	return s, err
}

// getter requests a resource.
type getter func(ref string) (json.RawMessage, error)

// optional requests a resource that is linked but may not exist.
func (get getter) optional(raw json.RawMessage, link ...any) (json.RawMessage, string, error) {
	ref, err := text(raw, link...)
	if err != nil {
		ref, err = text(raw, link[:1]...) // the address alone
	}
	if err != nil || ref == "" {
		return nil, "", nil
	}
	raw, err = get(ref)
	if refused, is := errors.AsType[*endpoint.Refused](err); is && refused.Code != http.StatusUnauthorized && refused.Code != http.StatusForbidden {
		return nil, "", nil
	}
	return raw, ref, err
}

// find returns the chassis with that id, or the only one that has a power reading,
// and its channels.
func find(get getter, want, control string) (id string, channels []channel, err error) {
	ids, refs, err := chassis(get)
	if err != nil {
		return "", nil, err
	}
	if want != "" {
		at := slices.Index(ids, want)
		if at < 0 {
			return "", nil, fmt.Errorf("%w: chassis=%.60s: there is no such one, there is %s", endpoint.ErrSpec, want, strings.Join(ids, ", "))
		}
		ids, refs = ids[at:at+1], refs[at:at+1]
	}
	var have, saw []string
	kind := ""
	odd := false // something other than nothing was seen
	for i, ref := range refs {
		found, seen, err := look(get, ref, control)
		if err != nil {
			return "", nil, fmt.Errorf("chassis %s: %w", ids[i], err)
		}
		odd = odd || seen.odd
		if len(saw) < 8 {
			saw = append(saw, fmt.Sprintf("chassis %.60s: %s", ids[i], strings.Join(seen.what, ", ")))
		}
		if len(found) > 0 {
			id, channels, kind = ids[i], found, seen.kind
			have = append(have, fmt.Sprintf("%s (%g W)", id, found[0].watts))
		}
	}
	switch {
	case len(have) == 0 && odd:
		return "", nil, fmt.Errorf("no power reading above 0 in a form that is known; found in %s", strings.Join(saw, "; "))
	case len(have) == 0:
		return "", nil, fmt.Errorf("no power reading above 0; found in %s: is the server on, and has the controller the licence for it?", strings.Join(saw, "; "))
	case len(have) > 1:
		return "", nil, fmt.Errorf("%w: several chassis have a power reading, and may be parts of one another: say which is the server with chassis=, of %s", endpoint.ErrSpec, strings.Join(have, ", "))
	}
	if want == "" && slices.Contains(partTypes, kind) {
		return "", nil, fmt.Errorf("%w: only chassis %s has a power reading, and is a %s: a part of the server; if that is what you want, say chassis=%s, and what it is with boundary=, or part=yes", endpoint.ErrSpec, have[0], kind, id)
	}
	return id, channels, nil
}

// partTypes are the types of chassis that lie in another (DSP0268, ChassisType).
var partTypes = []string{"Card", "Cartridge", "Component", "Drawer", "Expansion", "HeatExchanger", "ImmersionTank", "IPBasedDrive", "Module", "StorageEnclosure"}

// chassis lists the chassis by id, which is the last part of the address.
func chassis(get getter) (ids, refs []string, err error) {
	raw, err := get(root)
	if err != nil {
		return nil, nil, err
	}
	next, err := text(raw, "Chassis", "@odata.id")
	if err != nil {
		return nil, nil, fmt.Errorf("%s: no collection of chassis: %w", root, err)
	}
	for next != "" {
		if raw, err = get(next); err != nil {
			return nil, nil, err
		}
		n := len(refs)
		for i := 0; ; i++ {
			ref, err := text(raw, "Members", i, "@odata.id")
			if err != nil {
				break
			}
			ids, refs = append(ids, path.Base(strings.TrimSuffix(ref, "/"))), append(refs, ref)
		}
		if next, _ = text(raw, "Members@odata.nextLink"); n == len(refs) || len(refs) > most {
			break
		}
	}
	if len(refs) == 0 || len(refs) > most {
		return nil, nil, fmt.Errorf("its collection of chassis has %d members: none, or more than %d", len(refs), most)
	}
	return ids, refs, nil
}

// sight describes what was found at a place of a power reading, for an error.
type sight struct {
	kind string // of the chassis
	what []string
	odd  bool // there is a value that is neither null nor 0 and is not understood
}

// at adds the value at a path of a resource.
func (s *sight) at(of string, raw json.RawMessage, q power.Quantity, path ...any) {
	here, err := endpoint.Pick(raw, path...)
	switch {
	case len(s.what) == 8:
	case raw == nil:
		s.what = append(s.what, "no "+of)
	case err != nil:
		s.what = append(s.what, fmt.Sprintf("%s: %v", of, err))
	case q.Err != nil:
		s.what, s.odd = append(s.what, fmt.Sprintf("%s: %v", of, q.Err)), s.odd || string(here) != "null"
	default:
		s.what = append(s.what, fmt.Sprintf("%s: %s is %g W", of, dotted(path), q.Value))
	}
}

// look returns the channels of a chassis, the power first; without a power
// reading, only what was seen.
func look(get getter, ref, control string) (found []channel, seen sight, err error) {
	raw, err := get(ref)
	if err != nil {
		return nil, seen, err
	}
	seen.kind, _ = text(raw, "ChassisType")
	if state, err := text(raw, "PowerState"); err == nil && state != "On" {
		seen.what = append(seen.what, fmt.Sprintf("its PowerState is %.20q", state))
	}
	metrics, at, err := get.optional(raw, "EnvironmentMetrics", "@odata.id")
	if err != nil {
		return nil, seen, err
	}
	if c, ok := reading(get, metrics, at, "PowerWatts", "W", 1); ok && control == "" {
		c.name, c.total = "power", true
		found = append(found, c)
	} else {
		seen.at("EnvironmentMetrics", metrics, c.parse(metrics), c.path...)
		old, at, err := get.optional(raw, "Power", "@odata.id")
		if err != nil {
			return nil, seen, err
		}
		if found, err = controls(old, at, control, &seen); err != nil || len(found) == 0 {
			return nil, seen, err
		}
	}
	if c, ok := reading(get, metrics, at, "EnergykWh", "kW.h", kWh); ok {
		c.name = "energy"
		found = append(found, c)
	}
	return found, seen, nil
}

// reading is an excerpt in EnvironmentMetrics, or the sensor that it is an excerpt
// of if the sensor has the time of the reading, which an excerpt lacks.
func reading(get getter, metrics json.RawMessage, ref, name, units string, unit float64) (channel, bool) {
	c := channel{point: point{ref: ref, path: []any{name}}, unit: unit}
	q := c.parse(metrics)
	if q.Err != nil || !(q.Value > 0) {
		return c, false
	}
	c.watts = q.Value
	if _, err := text(metrics, name, "ReadingTime"); err == nil {
		c.times = []any{name, "ReadingTime"}
		return c, true
	}
	sensor, at, err := get.optional(metrics, name, "DataSourceUri")
	full := channel{point: point{ref: at, path: []any{"Reading"}, times: []any{"ReadingTime"}}, unit: unit, watts: c.watts}
	if u, _ := text(sensor, "ReadingUnits"); err == nil && u == units && full.parse(sensor).Err == nil {
		return full, true
	}
	return c, true
}

var whole = regexp.MustCompile(`(?i)^(system|server|chassis|node|total)\b`)

// controls are the entries of Power.PowerControl with a power reading, the total
// first: the only one that is placed at the chassis, or the only one named after
// the whole, or the only one.
func controls(raw json.RawMessage, ref, want string, seen *sight) (found []channel, err error) {
	var ids, placed, named, open []string
	const watts = "PowerConsumedWatts"
	paths := list(raw, "PowerControl", watts)
	if here, _ := endpoint.Pick(raw, "PowerControl"); len(paths) == 0 && len(here) > len("{}") {
		seen.at("Power", raw, power.Quantity{Err: fmt.Errorf("PowerControl holds no entry with %s: %.60q", watts, here)}, "PowerControl")
	} else if len(paths) == 0 {
		seen.at("Power", raw, power.Quantity{}, "PowerControl", 0)
	}
	for i, path := range paths {
		entry, _ := endpoint.Pick(raw, path...)
		c := channel{point: point{ref: ref, path: append(path, watts)}, unit: 1}
		q := c.parse(raw)
		if q.Err != nil || !(q.Value > 0) {
			seen.at("Power", raw, q, c.path...)
			continue
		}
		id, _ := text(entry, "MemberId")
		if id == "" || slices.Contains(ids, id) {
			id = fmt.Sprint("#", i) // some give all entries the same
		}
		name, _ := text(entry, "Name")
		place, _ := text(entry, "PhysicalContext")
		c.name, c.about, c.watts = "power-"+id, cmp.Or(strings.TrimSpace(name+" "+place), "no name"), q.Value
		found, ids = append(found, c), append(ids, id)
		if !power.Whole(name) {
			continue
		}
		switch place {
		case "Chassis":
			placed = append(placed, id)
		case "", "PowerSupply", "PowerSubsystem": // where Cisco places the total; CPU, Memory and the like are parts
			if open = append(open, id); whole.MatchString(name) {
				named = append(named, id)
			}
		}
	}
	if len(found) == 0 {
		return nil, nil
	}
	for _, sure := range [][]string{placed, named, open} {
		if want == "" && len(sure) > 0 {
			if want = sure[0]; len(sure) > 1 {
				want = "?"
			}
		}
	}
	at := slices.Index(ids, want)
	if at < 0 {
		var have []string
		for i, f := range found {
			have = append(have, fmt.Sprintf("%s (%.60s, %g W)", ids[i], f.about, f.watts))
		}
		return nil, fmt.Errorf("%w: which entry of PowerControl is the total does not show: say it with control=, of %s; or another chassis=", endpoint.ErrSpec, strings.Join(have, ", "))
	}
	found[0], found[at] = found[at], found[0]
	found[0].name, found[0].total = "power", true
	return found, nil
}
