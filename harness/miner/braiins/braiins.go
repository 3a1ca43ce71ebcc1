// Package braiins queries miners with Braiins OS through its public REST API
// (github.com/braiins/bos-plus-api, proto/bos/v1, versions 1.0 to 1.14;
// developer.braiins-os.com).
//
// Its power, approximated_consumption, is modelled by its tuner from voltages and
// frequencies. The package sends [Verbs] only. The one that is not a GET logs in, which
// the API requires for every read. The token grants more than that, and is kept in
// memory only.
package braiins

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"sync"

	"github.com/perwatt/perwatt/harness/endpoint"
	"github.com/perwatt/perwatt/harness/miner"
	"github.com/perwatt/perwatt/results"
)

// Options are those of its spec. There is none for a token, because the tokens of this
// API are short-lived.
var Options = slices.Concat(miner.Common, endpoint.Login, slices.DeleteFunc(slices.Clone(endpoint.WebOptions), func(o endpoint.Option) bool { return o.Key == "token" }))

// Verbs are all requests that are ever sent.
var Verbs = miner.Verbs{"POST " + login, "GET " + details, "GET " + stats, "GET " + cooling, "GET " + tuner}

const (
	login   = "/api/v1/auth/login"
	details = "/api/v1/miner/details"
	stats   = "/api/v1/miner/stats"
	cooling = "/api/v1/cooling/state"
	tuner   = "/api/v1/performance/tuner-state"
)

type client struct{ web *endpoint.Web }

// Open logs in to the miner at HOST, HOST:PORT or a URL, by default as root without a
// password, the factory setting.
func Open(ctx context.Context, s endpoint.Spec) (miner.Client, error) {
	d, err := open(ctx, s)
	if err != nil {
		return nil, fmt.Errorf("braiins: %w", err)
	}
	return d, nil
}

func open(ctx context.Context, s endpoint.Spec) (miner.Client, error) {
	password, err := s.Secret("password")
	if err != nil {
		return nil, err
	}
	web, err := miner.Web(s, func(next http.RoundTripper) http.RoundTripper {
		return &door{next: next, user: s.Get("user", "root"), password: password}
	})
	if err != nil {
		return nil, err
	}
	m := &client{web}
	v, err := Verbs.Get(ctx, web, details)
	var sheet miner.Collector
	said, other := miner.Value{}, err
	if err == nil || answered(err) {
		said, other = Verbs.Get(ctx, web, stats)
		summarise(&sheet, said, v, miner.Value{}, miner.Value{})
	}
	if err != nil && other != nil {
		_ = web.Close()
		return nil, fmt.Errorf("%s: %w", web.Base.Host, err)
	}
	model := v.At("miner_identity", "miner_model").Text()
	if model == "" {
		model = v.At("miner_identity", "name").Text()
	}
	about := miner.Info{Source: web.Base.Host, Model: model, Firmware: v.At("bos_version", "current").Text(), Notes: append([]string{
		sheet.PowerNote("approximated_consumption, which its tuner estimates, of the miner as a whole; no instrument measures it", said),
	}, web.Notes...)}
	for _, err := range []error{err, other} { // a missing answer is queried again at each reading
		if err != nil {
			about.Notes = append(about.Notes, miner.Word(fmt.Sprintf("not said at the start: %v", err)))
		}
	}
	if web.Base.Scheme == "http" && password != "" {
		about.Notes = append(about.Notes, endpoint.Unencrypted)
	}
	return miner.New(s, about, m.read, web.Close), nil
}

// answered reports whether the miner answered and accepted the login.
func answered(err error) bool {
	r, is := errors.AsType[*endpoint.Refused](err)
	return is && r.Code != http.StatusUnauthorized && r.Code != http.StatusForbidden
}

// door logs in when a request is refused.
type door struct {
	next           http.RoundTripper
	user, password string

	mu    sync.Mutex
	token string
}

// RoundTrip implements [http.RoundTripper].
func (d *door) RoundTrip(req *http.Request) (*http.Response, error) {
	for again := false; ; again = true {
		token, err := d.key(req, again)
		if err != nil {
			return nil, err
		}
		try := req.Clone(req.Context())
		try.Header.Set("Authorization", token)
		resp, err := d.next.RoundTrip(try)
		if err != nil || resp.StatusCode != http.StatusUnauthorized || again {
			return resp, err
		}
		_ = resp.Body.Close() // the token has expired
	}
}

// key returns a token, and a new one if the last was refused.
func (d *door) key(req *http.Request, another bool) (string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.token != "" && !another {
		return d.token, nil
	}
	body, err := json.Marshal(map[string]string{"username": d.user, "password": d.password})
	if err != nil {
		return "", err
	}
	knock, err := http.NewRequestWithContext(req.Context(), http.MethodPost, req.URL.ResolveReference(&url.URL{Path: login}).String(), bytes.NewReader(body)) // #nosec G704 -- the address that the user gave the device, with another path
	if err != nil {
		return "", err
	}
	knock.Header.Set("Content-Type", "application/json")
	resp, err := d.next.RoundTrip(knock)
	if err != nil {
		return "", fmt.Errorf("log in: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("log in as %q: %s: give user=NAME and password=env:NAME or file:PATH", d.user, resp.Status)
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, miner.MaxAnswer))
	if err != nil {
		return "", fmt.Errorf("log in: %w", err)
	}
	v, err := miner.Parse(raw)
	if err != nil {
		return "", errors.New("log in: the answer is not the JSON that is expected") // and might hold a token
	}
	if d.token = v.At("token").Whole(); !printed.MatchString(d.token) {
		d.token = ""
		return "", errors.New("log in: the answer has no token")
	}
	return d.token, nil
}

// printed matches a valid token, which becomes a header.
var printed = regexp.MustCompile(`^[\x21-\x7e]+$`)

var rates = []struct {
	name string
	over float64 // s
}{{"last_24h", 86400}, {"last_1h", 3600}, {"last_30m", 1800}, {"last_15m", 900}, {"last_5m", 300}, {"last_1m", 60}, {"last_30s", 30}, {"last_15s", 15}, {"last_5s", 5}}

// modes of the tuner, in [braiins.bos.v1.GetTunerStateResponse].
var modes = []struct{ name, mode string }{{"powertargetmodestate", "power target"}, {"hashratetargetmodestate", "hashrate target"}}

func (m *client) read(ctx context.Context, s *miner.Collector) (mode string, err error) {
	var all [4]miner.Value
	for i, path := range []string{stats, details, cooling, tuner} {
		v, err := Verbs.Get(ctx, m.web, path)
		switch {
		case err == nil:
			all[i] = v
		case ctx.Err() != nil || path == stats:
			return "", err
		default: // not needed by the rest
			s.Refuse("%v", err)
		}
	}
	return summarise(s, all[0], all[1], all[2], all[3]), nil
}

// summarise collects the fields of the answers and returns the mode.
func summarise(s *miner.Collector, v, d, c, t miner.Value) (mode string) {
	work, pool := v.At("miner_stats"), v.At("pool_stats")
	elapsed := s.Take("bosminer_uptime_s", d.At("bosminer_uptime_s"), miner.Form{Of: results.ReportedElapsed})
	for _, r := range rates {
		s.Take("real_hashrate."+r.name, work.At("real_hashrate", r.name, "gigahash_per_second"), miner.Rate(1e9, results.SelfReport(r.over)))
	}
	s.Take("real_hashrate.since_restart", work.At("real_hashrate", "since_restart", "gigahash_per_second"), miner.Average(1e9, elapsed))
	s.Take("nominal_hashrate", work.At("nominal_hashrate", "gigahash_per_second"), miner.Form{Of: results.ReportedNominal, Per: 1e9})
	s.Take("sticker_hashrate", d.At("sticker_hashrate", "gigahash_per_second"), miner.Form{Of: results.ReportedNominal, Per: 1e9})
	s.Take("accepted_shares", pool.At("accepted_shares"), miner.Form{Of: results.ReportedShares})
	s.Take("rejected_shares", pool.At("rejected_shares"), miner.Form{Of: results.ReportedRefused})
	s.Take("last_difficulty", pool.At("last_difficulty"), miner.Difficulty(results.ReportedDifficulty))
	s.Take("approximated_consumption", v.At("power_stats", "approximated_consumption", "watt"), miner.Watts("", results.Modelled))
	s.Take("highest_temperature", c.At("highest_temperature", "temperature", "degree_c"), miner.Celsius)
	for i, fan := range c.At("fans").Items() {
		s.Take(fmt.Sprintf("fans.%d", i), fan.At("rpm"), miner.RPM)
	}
	for _, k := range modes {
		if state := t.At("mode_state", k.name); !state.Absent() {
			mode = k.mode
			s.Take("current_target", state.At("current_target", "watt"), miner.Watts("", results.Declared))
			s.Take("current_target", state.At("current_target", "terahash_per_second"), miner.Form{Of: results.ReportedNominal, Per: 1e12})
		}
	}
	return mode
}
