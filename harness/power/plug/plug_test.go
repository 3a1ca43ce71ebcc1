package plug

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/harness/endpoint"
	"github.com/perwatt/perwatt/harness/power"
	"github.com/perwatt/perwatt/harness/power/powertest"
	"github.com/perwatt/perwatt/results"
)

// device is a plug: answers by request, and a login if it wants one.
type device struct {
	*httptest.Server
	mu      sync.Mutex
	answers map[string]string
	serve   http.HandlerFunc // instead of all else, if not nil
	asked   []*http.Request
}

const (
	shellyRef = "/rpc/Switch.GetStatus?id=0"
	realm     = "shellyplusplugs-fcb4672696f8"
	secret    = "hunter2"
)

func file(t testing.TB, name string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", name))
	require.NoError(t, err)
	return string(raw)
}

// newDevice serves answers: pairs of a request and a file.
func newDevice(t testing.TB, answers ...string) *device {
	t.Helper()
	d := &device{answers: map[string]string{}}
	for i := 0; i < len(answers); i += 2 {
		d.answers[answers[i]] = file(t, answers[i+1])
	}
	d.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d.mu.Lock()
		serve, answer, there := d.serve, d.answers[r.URL.RequestURI()], d.answers[r.URL.RequestURI()] != ""
		d.asked = append(d.asked, r)
		d.mu.Unlock()
		switch {
		case serve != nil:
			serve(w, r)
		case there:
			fmt.Fprint(w, answer)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(d.Close)
	return d
}

func newShelly(t testing.TB) *device {
	return newDevice(t, "/shelly", "shelly-device.json", shellyRef, "shelly-switch.json")
}

func newTasmota(t testing.TB) *device { return newDevice(t, tasmotaRef, "tasmota.json") }

func (d *device) say(ref, answer string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.answers[ref] = answer
}

func (d *device) instead(serve http.HandlerFunc) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.serve = serve
}

func openAt(t testing.TB, url, options string, now func() time.Time) (power.Meter, error) {
	t.Helper()
	s, err := power.ParseSpec("plug:"+url+options, Options)
	require.NoError(t, err)
	s.Now = now
	return Open(t.Context(), s)
}

// TestKinds: which plug it is shows when it is asked, and which of its numbers
// carries the total with it.
func TestKinds(t *testing.T) {
	for name, c := range map[string]struct {
		ref, file, options string
		want, note         string
		err                string
	}{
		"Shelly":                       {shellyRef, "shelly-switch.json", "", "energy=0* power=47.1*", "Shelly SNPL-00112EU, firmware 1.4.2: everything that is plugged in there", ""},
		"Shelly, third switch":         {"/rpc/Switch.GetStatus?id=2", "shelly-switch.json", ",id=2", "energy=0* power=47.1*", "", ""},
		"Shelly, no such switch":       {shellyRef, "shelly-switch.json", ",id=9", "", "", "no component of that number meters; those that do: switch:0"},
		"Shelly that does not meter":   {shellyRef, "shelly-unmetered.json", "", "", "", "no component of this Shelly meters that is read (switch, pm1, em1, em); it has switch:0 without apower"},
		"Shelly, PM1":                  {"/rpc/PM1.GetStatus?id=0", "shelly-pm1.json", "", "energy=0* power=11.7*", "pm1:0: energy: aenergy.total", ""},
		"Shelly, EM":                   {"/rpc/EM.GetStatus?id=0", "shelly-em.json", "", "power=312.3*", "em:0: power: total_act_power of three phases", ""},
		"Shelly, EM1":                  {"/rpc/EM1.GetStatus?id=1", "shelly-em1.json", "", "power=501.8*", "em1:1: power: act_power of one clamp", ""},
		"Shelly, EM1 by name":          {"/rpc/EM1.GetStatus?id=1", "shelly-em1.json", ",id=em1:1", "power=501.8*", "", ""},
		"Shelly, EM1, another":         {"/rpc/EM1.GetStatus?id=1", "shelly-em1.json", ",id=em1:0", "", "", "404"},
		"Shelly, several clamps":       {"/rpc/Shelly.GetStatus", "shelly-status.json", "", "", "", "several components meter: say which with id=, of em1:0, em1:1"},
		"Shelly, no such component":    {"/rpc/Shelly.GetStatus", "shelly-status.json", ",id=cover:0", "", "", "component cover is not read; those that are read: switch, pm1, em1, em"},
		"Shelly, no such clamp":        {"/rpc/Shelly.GetStatus", "shelly-status.json", ",id=2", "", "", "no component of that number meters; those that do: em1:0, em1:1"},
		"Shelly of the first kind":     {"/status", "shelly-gen1-status.json", "", "power=47.35*", "meters of /status", ""},
		"Shelly of the first, two":     {"/status", "shelly-gen1-3em.json", ",id=0+1", "power-0=10.66* power-1=20.1*", "emeters of /status", ""},
		"Shelly of the first, which":   {"/status", "shelly-gen1-3em.json", "", "", "", "it has 3 emeters: say which with id="},
		"Shelly of the first, none":    {"/status", "shelly-unmetered.json", "", "", "", "its /status has no meters and no emeters"},
		"Tasmota, a broken sensor":     {tasmotaRef, "tasmota-nan.json", "", "power=145* energy=0*", "", ""},
		"Tasmota, three phases":        {tasmotaRef, "tasmota-phases.json", ",id=0+1+2", "power-0=145* power-1=20* power-2=3*", "", ""},
		"Tasmota, phases, not said":    {tasmotaRef, "tasmota-phases.json", "", "", "", "if they are phases of one feed, with id=0+1"},
		"Tasmota, a phase twice":       {tasmotaRef, "tasmota-phases.json", ",id=1+1", "", "", "different ones"},
		"Tasmota has no components":    {tasmotaRef, "tasmota.json", ",id=em1:0", "", "", "it has no components"},
		"Tasmota":                      {tasmotaRef, "tasmota.json", "", "power=145* energy=0*", "which are 3600 J", ""},
		"Tasmota, its only outlet":     {tasmotaRef, "tasmota.json", ",id=0", "power=145* energy=0*", "", ""},
		"Tasmota, no such outlet":      {tasmotaRef, "tasmota.json", ",id=1", "", "", "leave id out"},
		"Tasmota, two outlets":         {tasmotaRef, "tasmota-two.json", "", "", "", "it has 2 outlets: say which with id="},
		"Tasmota, the second":          {tasmotaRef, "tasmota-two.json", ",id=1", "power=5* energy=0*", "", ""},
		"Tasmota, the third of two":    {tasmotaRef, "tasmota-two.json", ",id=2", "", "", "it has 2 outlets, from 0"},
		"Tasmota, the total of both":   {tasmotaRef, "tasmota-one-total.json", ",id=0", "power=52*", "", ""},
		"Tasmota that does not meter":  {tasmotaRef, "tasmota-unmetered.json", "", "", "", `this Tasmota measures no power; its StatusSNS has "Switch1, Time"`},
		"Tasmota with its old login":   {tasmotaRef, "tasmota-warning.json", "", "", "", "in the address, where it would be logged"},
		"neither":                      {"/other", "tasmota.json", "", "", "", "neither a Shelly nor a Tasmota"},
		"half an outlet":               {tasmotaRef, "tasmota.json", ",id=0.5", "", "", "must be numbers from 0 to 99"},
		"an outlet before the first":   {tasmotaRef, "tasmota.json", ",id=-1", "", "", "must be numbers from 0 to 99"},
		"a boundary that the user set": {tasmotaRef, "tasmota.json", ",boundary=psu", "power=145* energy=0*", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDevice(t, c.ref, c.file)
			if strings.HasPrefix(c.ref, "/rpc") {
				d.say("/shelly", file(t, "shelly-device.json"))
			}
			if c.ref == statusRef {
				d.say("/shelly", file(t, "shelly-gen1.json"))
			}
			m, err := openAt(t, d.URL, c.options, nil)
			if c.err != "" {
				require.ErrorContains(t, err, "plug: open "+d.URL)
				require.ErrorContains(t, err, c.err)
				return
			}
			require.NoError(t, err)
			got, err := m.Read(t.Context())
			require.NoError(t, err)
			var out []string
			for i, ch := range m.Info().Channels {
				require.NoError(t, got[i].Err)
				star := map[results.Boundary]string{ch.Boundary: "*"}[ch.Total]
				out = append(out, fmt.Sprintf("%s=%v%s", ch.Name, got[i].Value, star))
			}
			require.Equal(t, c.want, strings.Join(out, " "))
			require.Contains(t, strings.Join(m.Info().Notes, "\n"), c.note)
			require.NoError(t, m.Close())
			powertest.TestMeter(t, func() (power.Meter, error) { return openAt(t, d.URL, c.options, nil) })
		})
	}
	for _, target := range []string{"plug", "http://plug/cm", "http://plug?x=1"} {
		_, err := openAt(t, target, "", nil)
		require.ErrorIs(t, err, endpoint.ErrSpec, target)
	}
}

// TestSeveral: feeds of one node are read one after the other, and add up.
func TestSeveral(t *testing.T) {
	d := newDevice(t, "/shelly", "shelly-device.json", "/rpc/Shelly.GetStatus", "shelly-status.json", "/rpc/EM1.GetStatus?id=1", "shelly-em1.json", shellyRef, "shelly-switch.json")
	m, err := openAt(t, d.URL, ",id=em1:1+switch:0", nil)
	require.NoError(t, err)
	got, err := m.Read(t.Context())
	require.NoError(t, err)
	for i, want := range []struct {
		name  string
		total results.Boundary
		value float64
	}{{"em11-power", results.Wall, 501.8}, {"switch0-energy", results.Wall, 0}, {"switch0-power", results.Wall, 47.1}} {
		c := m.Info().Channels[i]
		require.Equal(t, want.name, c.Name)
		require.Equal(t, want.total, c.Total)
		require.Equal(t, i > 0, c.Place == "switch:0", "the power stands in for the energy, and for no other place")
		require.NoError(t, got[i].Err)
		require.Equal(t, want.value, got[i].Value)
	}
	// What is found in turn is read at once: an Open that cannot is none.
	var asked sync.Map
	d.instead(func(w http.ResponseWriter, r *http.Request) { // one after the other
		if _, again := asked.LoadOrStore(r.URL.Path, true); again {
			time.Sleep(350 * time.Millisecond)
		}
		fmt.Fprint(w, d.answers[r.URL.RequestURI()])
	})
	_, err = openAt(t, d.URL, ",id=em1:1+switch:0,timeout=600ms", nil)
	require.ErrorContains(t, err, "a reading takes longer than 600ms: give a longer timeout=")
	_, err = openAt(t, d.URL, ",id=switch:0+0", nil)
	require.ErrorContains(t, err, "id= names switch:0 twice")
}

// TestUnwell: a meter that says that it does not measure is believed.
func TestUnwell(t *testing.T) {
	em := newDevice(t, "/shelly", "shelly-device.json", "/rpc/EM.GetStatus?id=0", "shelly-em.json")
	em1 := newDevice(t, "/shelly", "shelly-device.json", "/rpc/EM1.GetStatus?id=0", "shelly-em1.json")
	first := newDevice(t, "/shelly", "shelly-gen1.json", statusRef, "shelly-gen1-status.json")
	for name, c := range map[string]struct {
		d                 *device
		ref, answer, want string
	}{
		"failure":     {em, "/rpc/EM.GetStatus?id=0", `{"total_act_power":312.3,"errors":["power_meter_failure"]}`, `its errors say "power_meter_failure"`},
		"one phase":   {em, "/rpc/EM.GetStatus?id=0", `{"total_act_power":312.3,"b_errors":["out_of_range:act_power"]}`, "its b_errors say"},
		"no phase":    {em, "/rpc/EM.GetStatus?id=0", `{"total_act_power":null}`, `"null" is not a number`},
		"backwards":   {em1, "/rpc/EM1.GetStatus?id=0", `{"act_power":-501.8}`, "its clamp sits the wrong way round"},
		"no clamp":    {em1, "/rpc/EM1.GetStatus?id=0", `{"act_power":501.8,"errors":["ct_type_not_set"]}`, "ct_type_not_set"},
		"not valid":   {first, statusRef, `{"meters":[{"power":47.35,"is_valid":false}]}`, "meters.0.is_valid is false"},
		"nan of ours": {first, statusRef, `{"meters":[{"power":nan,"is_valid":true}]}`, "nan"},
	} {
		c.d.say(c.ref, map[string]string{"/rpc/EM.GetStatus?id=0": file(t, "shelly-em.json"), "/rpc/EM1.GetStatus?id=0": file(t, "shelly-em1.json"), statusRef: file(t, "shelly-gen1-status.json")}[c.ref])
		m, err := openAt(t, c.d.URL, "", nil)
		require.NoError(t, err, name)
		c.d.say(c.ref, c.answer)
		got, err := m.Read(t.Context())
		require.NoError(t, err, name)
		require.ErrorContains(t, got[0].Err, c.want, name)
	}
}

// TestSteps: 3 Wh are 10 800 J of a Shelly; a Tasmota's total is in kWh.
func TestSteps(t *testing.T) {
	now := time.Now()
	clock := func() time.Time { return now }
	for _, c := range []struct {
		d       *device
		ref     string
		text    string
		channel int
	}{
		{newShelly(t), shellyRef, `{"apower": 1080.0, "aenergy": {"total": %.3f}}`, 0},
		{newTasmota(t), tasmotaRef, `{"StatusSNS":{"ENERGY":{"Power":1080,"Total":%.3f}}}`, 1},
	} {
		m, err := openAt(t, c.d.URL, "", clock)
		require.NoError(t, err)
		unit := map[int]float64{0: 1, 1: 1e-3}[c.channel]
		for i, wh := range []float64{62760, 62763} {
			c.d.say(c.ref, fmt.Sprintf(c.text, wh*unit))
			got, err := m.Read(t.Context())
			require.NoError(t, err)
			require.NoError(t, got[c.channel].Err)
			require.InDelta(t, float64(i)*10800, got[c.channel].Value, 1e-3)
			now = now.Add(10 * time.Second)
		}
	}
}

// TestNullIsNotZero: what is no number is an error of its channel alone.
func TestNullIsNotZero(t *testing.T) {
	for _, c := range []struct{ value, want string }{
		{"null", `"null" is not a number`}, {`"231"`, "is not a number"}, {"[231, 1]", "is not a number"}, {`{"now": 231}`, "is not a number"},
		{"false", "is not a number"}, {"0", "0 W is never an answer"}, {"-88.9", "below 0"}, {"1e999", "out of range"}, {"4001", "above the most"},
	} {
		shelly, tasmota := newShelly(t), newTasmota(t)
		for _, p := range []struct {
			d         *device
			ref, text string
			power     int
		}{
			{shelly, shellyRef, `{"apower": %s, "aenergy": {"total": 5.125}}`, 1},
			{tasmota, tasmotaRef, `{"StatusSNS": {"ENERGY": {"Power": %s, "Total": 5.125}}}`, 0},
		} {
			m, err := openAt(t, p.d.URL, "", nil)
			require.NoError(t, err)
			p.d.say(p.ref, fmt.Sprintf(p.text, c.value))
			got, err := m.Read(t.Context())
			require.NoError(t, err)
			require.ErrorContains(t, got[p.power].Err, c.want, c.value)
			require.NoError(t, got[1-p.power].Err)
			p.d.say(p.ref, `{"StatusSNS": {"ENERGY": {}}}`)
			got, err = m.Read(t.Context())
			require.NoError(t, err)
			require.ErrorContains(t, got[0].Err, "there is no")
			require.ErrorContains(t, got[1].Err, "there is no")
		}
	}
}

// TestTimeOfTheAnswer: a Tasmota that goes on telling the time and nothing else
// is found out, for that time is not when it measured.
func TestTimeOfTheAnswer(t *testing.T) {
	d := newTasmota(t)
	now := time.Now()
	m, err := openAt(t, d.URL, ",resolution=0.1", func() time.Time { return now })
	require.NoError(t, err)
	var last error
	for i := range 70 {
		d.say(tasmotaRef, fmt.Sprintf(`{"StatusSNS":{"Time":"2024-06-26T16:%02d:%02d","ENERGY":{"Power":145.3,"Total":1.000}}}`, i/60, i%60))
		got, err := m.Read(t.Context())
		require.NoError(t, err)
		require.True(t, got[0].Clock.IsZero())
		last = got[0].Err
		now = now.Add(time.Second)
	}
	require.ErrorContains(t, last, "stale")
}

// TestCounterByTheMinute: a Shelly whose counter moves once a minute is not
// stale; one that moves no more is.
func TestCounterByTheMinute(t *testing.T) {
	d := newShelly(t)
	now := time.Now()
	m, err := openAt(t, d.URL, "", func() time.Time { return now })
	require.NoError(t, err)
	say := func(after time.Duration, total float64) error {
		now = now.Add(after)
		d.say(shellyRef, fmt.Sprintf(`{"apower": 500.0, "aenergy": {"total": %.3f}}`, total))
		got, err := m.Read(t.Context())
		require.NoError(t, err)
		return got[0].Err
	}
	require.NoError(t, say(0, 100))
	require.NoError(t, say(55*time.Second, 100))
	require.NoError(t, say(5*time.Second, 108.333))
	require.NoError(t, say(170*time.Second, 108.333))
	require.ErrorContains(t, say(20*time.Second, 108.333), "stale")
}

// guard is a Shelly that wants Digest, as one does: the challenge of each
// nonce is good for some requests, and then another is made.
type guard struct {
	challenge string // format of WWW-Authenticate, of a nonce
	good      int    // requests for which a nonce is good
	nonce     int
	used      map[string]bool
}

var field = regexp.MustCompile(`(\w+)="?([^",]*)"?`)

func (g *guard) lets(r *http.Request) bool {
	said := map[string]string{}
	for _, m := range field.FindAllStringSubmatch(strings.TrimPrefix(r.Header.Get("Authorization"), "Digest "), -1) {
		said[m[1]] = m[2]
	}
	h := func(s string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(s))) }
	uri := r.URL.RequestURI()
	want := h(h("admin:"+realm+":"+secret) + ":" + said["nonce"] + ":" + said["nc"] + ":" + said["cnonce"] + ":auth:" + h(r.Method+":"+uri))
	key := said["nonce"] + said["nc"]
	ok := said["response"] == want && said["uri"] == r.RequestURI && said["nonce"] == fmt.Sprint(g.nonce) && !g.used[key] && len(g.used) < g.good
	g.used[key] = true
	return ok
}

func (g *guard) wrap(next http.HandlerFunc) http.HandlerFunc {
	g.used = map[string]bool{}
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/shelly" || g.lets(r) {
			next(w, r)
			return
		}
		g.nonce++
		clear(g.used)
		w.Header().Add("WWW-Authenticate", `Basic realm="`+realm+`"`)
		w.Header().Add("WWW-Authenticate", fmt.Sprintf(g.challenge, g.nonce))
		w.WriteHeader(http.StatusUnauthorized)
	}
}

const shellyChallenge = `Digest qop="auth", realm="` + realm + `", nonce="%d", algorithm=SHA-256`

// TestPasswordIsNotSent: to a Shelly the password never goes, not even to one
// that asks for it; nor is it said in any error.
func TestPasswordIsNotSent(t *testing.T) {
	t.Setenv("PERWATT_TEST_SECRET", secret)
	t.Setenv("PERWATT_TEST_WRONG", "hunter3")
	const login = ",password=env:PERWATT_TEST_SECRET"
	d := newShelly(t)
	answers := func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, d.answers[r.URL.RequestURI()]) }
	for name, c := range map[string]struct {
		challenge, options, want string
		good                     int
	}{
		"Digest":             {shellyChallenge, login, "", 100},
		"a nonce that wears": {shellyChallenge, login, "", 2},
		"no password":        {shellyChallenge, "", "password=env:NAME", 100},
		"a wrong password":   {shellyChallenge, ",password=env:PERWATT_TEST_WRONG", "password=env:NAME", 100},
		"a wrong user":       {shellyChallenge, login + ",user=ops", "password=env:NAME", 100},
		"Basic alone":        {`Basic realm="%d"`, login, "401", 100},
		"MD5":                {`Digest qop="auth", realm="x", nonce="%d", algorithm=MD5`, login, "401", 100},
		"MD5, not said":      {`Digest qop="auth", realm="x", nonce="%d"`, login, "401", 100},
	} {
		t.Run(name, func(t *testing.T) {
			g := &guard{challenge: c.challenge, good: c.good}
			d.asked = nil
			d.instead(g.wrap(answers))
			m, err := openAt(t, d.URL, c.options, nil)
			if c.want != "" {
				require.ErrorContains(t, err, c.want)
				require.NotContains(t, err.Error(), "hunter")
			} else {
				require.NoError(t, err)
				require.NotContains(t, m.Info().Notes, endpoint.Unencrypted)
				for range 5 {
					_, err := m.Read(t.Context())
					require.NoError(t, err)
				}
				if c.good == 100 {
					require.Len(t, d.asked, 9, "a nonce is asked for once")
				}
			}
			for _, r := range d.asked {
				_, _, basic := r.BasicAuth()
				require.False(t, basic)
				if c.challenge != shellyChallenge {
					require.Empty(t, r.Header.Get("Authorization"), "what cannot be answered is not")
				}
				require.NotContains(t, fmt.Sprint(r.Header, r.URL), "hunter")
			}
		})
	}
}

// TestTasmotaLogin: a Tasmota knows Basic alone, and the record says what that
// means; it is sent only to what is no Shelly.
func TestTasmotaLogin(t *testing.T) {
	t.Setenv("PERWATT_TEST_SECRET", secret)
	d := newTasmota(t)
	answer := d.answers[tasmotaRef]
	d.instead(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		switch {
		case r.URL.Path == "/shelly":
			require.Empty(t, r.Header.Get("Authorization"))
			http.NotFound(w, r)
		case user == "admin" && password == secret:
			fmt.Fprint(w, answer)
		default:
			w.Header().Set("WWW-Authenticate", `Basic realm="Login Required"`)
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	m, err := openAt(t, d.URL, ",password=env:PERWATT_TEST_SECRET", nil)
	require.NoError(t, err)
	require.Contains(t, m.Info().Notes, endpoint.Unencrypted)
	require.NotContains(t, fmt.Sprint(m.Info()), secret)
	_, err = m.Read(t.Context())
	require.NoError(t, err)
	_, err = openAt(t, d.URL, "", nil)
	require.ErrorContains(t, err, "password=env:NAME")
}

// TestStrangers: what is no plug is left, and its answer is not waited for.
func TestStrangers(t *testing.T) {
	for name, c := range map[string]struct {
		serve         http.HandlerFunc
		options, want string
	}{
		"slow": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, ",timeout=50ms", "no answer within 50ms"},
		"a redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://192.0.2.1/", http.StatusFound)
		}, "", "redirects to"},
		"huge":    {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(bytes.Repeat([]byte(" "), 2<<20)) }, "", "longer than"},
		"no JSON": {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") }, "", "not the JSON"},
		"a list":  {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "[]") }, "", "not the JSON"},
		"failing": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }, "", "neither a Shelly nor a Tasmota: get /cm: 500"},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDevice(t)
			d.instead(c.serve)
			_, err := openAt(t, d.URL, c.options, nil)
			require.ErrorContains(t, err, "plug: open "+d.URL)
			require.ErrorContains(t, err, c.want)
		})
	}
	d := newDevice(t)
	d.Close()
	_, err := openAt(t, d.URL, "", nil)
	require.ErrorContains(t, err, "get /shelly: ")
}

// TestFaults breaks both kinds.
func TestFaults(t *testing.T) {
	for name, c := range map[string]struct {
		make      func(t testing.TB) *device
		ref, text string
		unit      float64 // J; both count to a thousandth of it
	}{
		"Shelly":  {newShelly, shellyRef, `{"apower": %s, "aenergy": {"total": %s, "minute_ts": %[3]d}}`, 3600},
		"Tasmota": {newTasmota, tasmotaRef, `{"StatusSNS": {"Time": "%[3]d", "ENERGY": {"Power": %[1]s, "Total": %[2]s}}}`, kWh},
	} {
		t.Run(name, func(t *testing.T) {
			powertest.TestFaults(t, func(t *testing.T) powertest.Rig {
				d := c.make(t)
				before, since := 5e6, time.Duration(0) // J, and where it started to count
				say := func(watts, total string) { d.say(c.ref, fmt.Sprintf(c.text, watts, total, 17)) }
				says := func(text string) func(time.Duration) { return func(time.Duration) { say(text, text) } }
				truth := func(at time.Duration, times float64) {
					total := (before + powertest.RigWatts*(at-since).Seconds()) / c.unit
					say(fmt.Sprint(powertest.RigWatts*times), fmt.Sprintf("%.3f", math.Floor(total*1000)/1000*times))
				}
				return powertest.Rig{
					Open: func(now func() time.Time) (power.Meter, error) { return openAt(t, d.URL, ",timeout=500ms", now) },
					Set:  func(at time.Duration) { d.instead(nil); truth(at, 1) },
					Break: map[string]func(time.Duration){
						"time-out":    func(time.Duration) { d.instead(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }) },
						"wrong type":  says(`"231"`),
						"negative":    says("-1"),
						"nan":         says("null"),
						"zero":        says("0"),
						"absurd jump": func(at time.Duration) { truth(at, 1e6*at.Seconds()) },
						"vanish":      func(time.Duration) { d.instead(http.NotFound) },
						"restart": func(at time.Duration) {
							if before > 0 {
								before, since = 0, at-10*time.Second
							}
							truth(at, 1)
						},
					},
					Cannot: map[string]string{"clock step": "no time that it tells is read"},
				}
			})
		})
	}
}

// TestRFC7616 is the example of RFC 7616, 3.9.1.
func TestRFC7616(t *testing.T) {
	c, ok := parseChallenge([]string{
		`Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=MD5, nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"`,
		`Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=SHA-256, nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"`,
	})
	require.True(t, ok)
	got := c.answer("Mufasa", "Circle of Life", "GET", "/dir/index.html", "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", 1)
	require.Equal(t, `Digest username="Mufasa", realm="http-auth@example.org", nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", uri="/dir/index.html", algorithm=SHA-256, qop=auth, nc=00000001, `+
		`cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", response="753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"`, got)
}

// FuzzChallenge: what a challenge says cannot break out of the answer's quotes.
func FuzzChallenge(f *testing.F) {
	for _, s := range []string{fmt.Sprintf(shellyChallenge, 1), `Digest realm="a\"b", nonce="x", algorithm=sha-256, qop=auth`, "Digest", `Basic realm="x"`, `Digest nonce=`, `digest  qop = "auth-int,auth" ,nonce=a,algorithm=SHA-256`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		c, ok := parseChallenge([]string{value})
		if !ok {
			return
		}
		again, ok := parseChallenge([]string{c.answer("u", "p", "GET", "/", "c", 1)})
		if !ok || again != c {
			t.Errorf("%q: %+v came back as %+v", value, c, again)
		}
	})
}

// FuzzParse: what is read is a number that the plug wrote.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*.json")
	require.NoError(f, err)
	for _, name := range files {
		raw, err := os.ReadFile(name)
		require.NoError(f, err)
		f.Add(raw, 0)
		f.Add(raw, -1)
	}
	f.Fuzz(func(t *testing.T, raw []byte, id int) {
		want := []place{{"", min(max(0, id), 99)}}
		if id < 0 {
			want = nil
		}
		var all []protocol
		for _, c := range components {
			all = append(all, shelly(c, 0))
		}
		for _, find := range []func(json.RawMessage, []place) (protocol, error){tasmota, first} {
			if p, err := find(raw, want); err == nil {
				all = append(all, p)
			}
		}
		for _, p := range all {
			answers := map[string]json.RawMessage{}
			for _, ref := range p.refs() {
				answers[ref] = raw
			}
			for i, q := range p.parse(answers) {
				n, err := endpoint.Pick(raw, p.channels[i].path...)
				if q.Err == nil && (err != nil || !json.Valid(n)) {
					t.Errorf("%s is %v of %q", p.channels[i].Name, q.Value, raw)
				}
			}
		}
	})
}
