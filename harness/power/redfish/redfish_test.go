package redfish

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
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

// bmc serves the resources of a file.
type bmc struct {
	*httptest.Server
	mu    sync.Mutex
	tree  map[string]any
	serve func(w http.ResponseWriter, r *http.Request) bool // before all else, if not nil
	asked []string
}

func newBMC(t testing.TB, file string) *bmc {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", file))
	require.NoError(t, err)
	b := &bmc{}
	require.NoError(t, json.Unmarshal(raw, &b.tree))
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.mu.Lock()
		serve := b.serve
		b.asked = append(b.asked, r.URL.RequestURI())
		raw, err := json.Marshal(b.tree[r.URL.RequestURI()])
		b.mu.Unlock()
		switch {
		case serve != nil && serve(w, r):
		case err != nil || string(raw) == "null":
			http.NotFound(w, r)
		default:
			_, _ = w.Write(raw)
		}
	}))
	t.Cleanup(b.Close)
	return b
}

// set puts a value at a path of a resource; a json.RawMessage is put in as it
// stands.
func (b *bmc) set(value any, ref string, at ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(at) == 0 {
		b.tree[ref] = value
		return
	}
	here := b.tree[ref]
	for _, step := range at[:len(at)-1] {
		switch step := step.(type) {
		case string:
			here = here.(map[string]any)[step]
		case int:
			here = here.([]any)[step]
		}
	}
	here.(map[string]any)[at[len(at)-1].(string)] = value
}

func (b *bmc) say(serve func(w http.ResponseWriter, r *http.Request) bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.serve = serve
}

func openAt(t testing.TB, url, options string, now func() time.Time) (power.Meter, error) {
	t.Helper()
	s, err := power.ParseSpec("redfish:"+url+options, Options)
	require.NoError(t, err)
	s.Now = now
	return Open(t.Context(), s)
}

// TestVendors: of each controller the power of the whole server, and it alone
// in the total.
func TestVendors(t *testing.T) {
	for file, c := range map[string]struct {
		options, want, note string
	}{
		"idrac9.json":     {"", "power=135*", "chassis System.Embedded.1:"},
		"ilo5.json":       {"", "power=590*", "with no time"},
		"xcc.json":        {"", "power=245* power-1=104 power-2=21", `"Memory Sub-system Power Memory" may be a part of the total`},
		"supermicro.json": {"", "power=284*", "chassis 1:"},
		"openbmc.json":    {"", "power=232.5*", "PowerWatts of /redfish/v1/Chassis/chassis/EnvironmentMetrics"},
		"dmtf.json":       {"", "power=374* energy=0", "energy: beside the total"},
		"several.json":    {",chassis=Chassis_0", "power=1349.263802* energy=0", "chassis Chassis_0:"},
	} {
		t.Run(file, func(t *testing.T) {
			b := newBMC(t, file)
			m, err := openAt(t, b.URL, c.options, nil)
			require.NoError(t, err)
			got, err := m.Read(t.Context())
			require.NoError(t, err)
			var out []string
			for i, ch := range m.Info().Channels {
				require.NoError(t, got[i].Err)
				require.Equal(t, results.Chassis, ch.Boundary)
				star := map[results.Boundary]string{results.Chassis: "*"}[ch.Total]
				out = append(out, fmt.Sprintf("%s=%v%s", ch.Name, got[i].Value, star))
			}
			require.Equal(t, c.want, strings.Join(out, " "))
			require.Contains(t, strings.Join(m.Info().Notes, "\n"), c.note)
			require.Equal(t, b.URL, m.Info().Source)
			require.NoError(t, m.Close())
			powertest.TestMeter(t, func() (power.Meter, error) { return openAt(t, b.URL, c.options, nil) })
		})
	}
}

const (
	dell   = "/redfish/v1/Chassis/System.Embedded.1/Power"
	lenovo = "/redfish/v1/Chassis/1/Power"
	sensor = "/redfish/v1/Chassis/1U/Sensors/Total"
)

// TestNullIsNotZero: what is no number above 0 is an error and no reading; the
// next that is one is a reading again.
func TestNullIsNotZero(t *testing.T) {
	for _, c := range []struct{ value, want string }{
		{`null`, `"null" is not a number`}, {`"231 V"`, `its unit, "V", is not known`}, {`"1,231"`, "is not a number"}, {`"n/a"`, `"n/a" is not a number`}, {`[231]`, "is not a number"},
		{`{"Reading": null}`, "is not a number"}, {`{"Value": 231}`, "is not a number"}, {`{"Reading": 231, "ReadingUnits": "A"}`, `its unit, "A", is not known`}, {`"231 MW"`, `its unit, "MW", is not known`},
		{`true`, "is not a number"}, {`0`, "0 W is never an answer"}, {`-1`, "below 0"}, {`1e999`, "out of range"}, {`231000`, "above the most"},
	} {
		b := newBMC(t, "idrac9.json")
		m, err := openAt(t, b.URL, "", nil)
		require.NoError(t, err)
		b.set(json.RawMessage(c.value), dell, "PowerControl", 0, "PowerConsumedWatts")
		got, err := m.Read(t.Context())
		require.NoError(t, err)
		require.ErrorContains(t, got[0].Err, c.want, c.value)
		b.set(200, dell, "PowerControl", 0, "PowerConsumedWatts")
		got, err = m.Read(t.Context())
		require.NoError(t, err)
		require.NoError(t, got[0].Err)
		require.Equal(t, 200.0, got[0].Value)

		// Nor is it one to begin with: a controller whose server is off says 0
		// or null.
		b.set(json.RawMessage(c.value), dell, "PowerControl", 0, "PowerConsumedWatts")
		if _, err = openAt(t, b.URL, "", nil); c.value == "231000" {
			require.ErrorContains(t, err, "plausible")
		} else {
			require.ErrorContains(t, err, "no power reading above 0", c.value)
			require.ErrorContains(t, err, "System.Embedded.1")
		}
	}
	b := newBMC(t, "idrac9.json")
	m, err := openAt(t, b.URL, "", nil)
	require.NoError(t, err)
	b.set(map[string]any{"PowerControl": []any{}}, dell)
	got, err := m.Read(t.Context())
	require.NoError(t, err)
	require.ErrorContains(t, got[0].Err, "there is no PowerControl.0")
}

// TestForms: what is plain is read, in whatever form a controller has it.
func TestForms(t *testing.T) {
	for _, value := range []any{231, 231.0, "231", "231 W", " 231.0 Watts ", "0.231kW", "2.31e2 w", map[string]any{"Reading": 231}, map[string]any{"Reading": "0.231", "ReadingUnits": "kW"}} {
		entry := map[string]any{"MemberId": "0", "Name": "System Power Control", "PowerConsumedWatts": value}
		for _, control := range []any{[]any{entry}, entry, map[string]any{"0": entry}, map[string]any{"Members@odata.count": 1, "a": entry}} {
			b := newBMC(t, "idrac9.json")
			b.set(control, dell, "PowerControl")
			m, err := openAt(t, b.URL, "", nil)
			require.NoError(t, err, "%v", control)
			got, err := m.Read(t.Context())
			require.NoError(t, err)
			require.NoError(t, got[0].Err)
			require.InDelta(t, 231, got[0].Value, 1e-9)
			require.Equal(t, results.Chassis, m.Info().Channels[0].Total)
		}
		b := newBMC(t, "openbmc.json")
		b.set(value, "/redfish/v1/Chassis/chassis/EnvironmentMetrics", "PowerWatts")
		m, err := openAt(t, b.URL, "", nil)
		require.NoError(t, err, "%v", value)
		got, err := m.Read(t.Context())
		require.NoError(t, err)
		require.InDelta(t, 231, got[0].Value, 1e-9)
	}
	b := newBMC(t, "idrac9.json")
	b.set(dell, "/redfish/v1/Chassis/System.Embedded.1", "Power") // an address where a link is due
	_, err := openAt(t, b.URL, "", nil)
	require.NoError(t, err)
}

// TestWhatWasFound: a controller without watts is told what it has, and asked
// for its server and its licence only if it has nothing.
func TestWhatWasFound(t *testing.T) {
	const at = "/redfish/v1/Chassis/System.Embedded.1"
	for name, c := range map[string]struct {
		power any
		want  string
		asks  bool
	}{
		"null":            {map[string]any{"PowerControl": []any{map[string]any{"PowerConsumedWatts": nil}}}, `Power: PowerControl.0.PowerConsumedWatts: "null" is not a number`, true},
		"zero":            {map[string]any{"PowerControl": []any{map[string]any{"PowerConsumedWatts": 0}}}, "Power: PowerControl.0.PowerConsumedWatts is 0 W", true},
		"no entry":        {map[string]any{"PowerControl": []any{}}, "Power: there is no PowerControl.0", true},
		"no list":         {map[string]any{"Voltages": []any{}}, "Power: there is no PowerControl", true},
		"no resource":     {nil, "no EnvironmentMetrics, no Power", true},
		"a text":          {map[string]any{"PowerControl": []any{map[string]any{"PowerConsumedWatts": "n/a"}}}, `PowerControl.0.PowerConsumedWatts: "n/a" is not a number`, false},
		"another form":    {map[string]any{"PowerControl": "231 W"}, `Power: PowerControl holds no entry with PowerConsumedWatts: "\"231 W\""`, false},
		"another name":    {map[string]any{"PowerControl": map[string]any{"Watts": 231}}, "holds no entry with PowerConsumedWatts", false},
		"another unit":    {map[string]any{"PowerControl": map[string]any{"PowerConsumedWatts": "231 BTU/h"}}, "BTU/h", false},
		"the entry lacks": {map[string]any{"PowerControl": []any{map[string]any{"PowerCapacityWatts": 800}}}, "Power: there is no PowerControl.0.PowerConsumedWatts", true},
	} {
		b := newBMC(t, "idrac9.json")
		b.set(c.power, dell)
		b.set(nil, at, "EnvironmentMetrics")
		_, err := openAt(t, b.URL, "", nil)
		require.ErrorContains(t, err, c.want, name)
		require.Equal(t, c.asks, strings.Contains(err.Error(), "is the server on"), name)
		b.set("Off", at, "PowerState")
		_, err = openAt(t, b.URL, "", nil)
		require.ErrorContains(t, err, `its PowerState is "Off"`, name)
	}
}

// TestOpenReads: a controller that answers each question in time and all of
// them not is none that can be read.
func TestOpenReads(t *testing.T) {
	b := newBMC(t, "dmtf.json")
	asked := map[string]int{}
	b.say(func(w http.ResponseWriter, r *http.Request) bool { // one after the other
		if asked[r.URL.Path]++; strings.HasPrefix(r.URL.Path, sensor) && asked[r.URL.Path] > 1 {
			time.Sleep(350 * time.Millisecond)
		}
		return false
	})
	_, err := openAt(t, b.URL, ",timeout=600ms", nil)
	require.ErrorContains(t, err, "a reading takes longer than 600ms: give a longer timeout=")
}

// TestAverageConsumedWattsIsNotUsed: it may cover 20 minutes, and it stands
// where the reading is null.
func TestAverageConsumedWattsIsNotUsed(t *testing.T) {
	b := newBMC(t, "ilo5.json")
	m, err := openAt(t, b.URL, "", nil)
	require.NoError(t, err)
	got, err := m.Read(t.Context())
	require.NoError(t, err)
	require.Equal(t, 590.0, got[0].Value)
	b.set(nil, "/redfish/v1/Chassis/1/Power/", "PowerControl", 0, "PowerConsumedWatts")
	got, err = m.Read(t.Context())
	require.NoError(t, err)
	require.Error(t, got[0].Err)
	_, err = openAt(t, b.URL, "", nil)
	require.ErrorContains(t, err, "no power reading")
}

// TestPartsAreNotAdded: chassis and entries may be parts of one another; which
// is the whole is never guessed.
func TestPartsAreNotAdded(t *testing.T) {
	b := newBMC(t, "several.json")
	_, err := openAt(t, b.URL, "", nil)
	require.ErrorIs(t, err, endpoint.ErrSpec)
	require.ErrorContains(t, err, "chassis=, of Chassis_0 (1349.263802 W), HGX_GPU_0 (231.958 W)")
	_, err = openAt(t, b.URL, ",chassis=1", nil)
	require.ErrorIs(t, err, endpoint.ErrSpec)
	require.ErrorContains(t, err, "there is Chassis_0, HGX_GPU_0")

	// Nor is a module the server because it alone has a reading.
	b.set(nil, "/redfish/v1/Chassis/Chassis_0/EnvironmentMetrics", "PowerWatts")
	b.set("Module", "/redfish/v1/Chassis/HGX_GPU_0", "ChassisType")
	_, err = openAt(t, b.URL, "", nil)
	require.ErrorIs(t, err, endpoint.ErrSpec)
	require.ErrorContains(t, err, "only chassis HGX_GPU_0 (231.958 W) has a power reading, and is a Module: a part of the server")
	_, err = openAt(t, b.URL, ",chassis=HGX_GPU_0,boundary=card", nil)
	require.NoError(t, err)

	// Two that are called the same are perhaps two halves.
	b = newBMC(t, "xcc.json")
	for i := range 3 {
		b.set("System Power Control", lenovo, "PowerControl", i, "Name")
		b.set(nil, lenovo, "PowerControl", i, "PhysicalContext")
	}
	_, err = openAt(t, b.URL, "", nil)
	require.ErrorIs(t, err, endpoint.ErrSpec)
	require.ErrorContains(t, err, "control=, of 0 (System Power Control, 245 W), 1 (System Power Control, 104 W)")
	m, err := openAt(t, b.URL, ",control=1", nil)
	require.NoError(t, err)
	got, err := m.Read(t.Context())
	require.NoError(t, err)
	require.Equal(t, 104.0, got[0].Value)
	for i, c := range m.Info().Channels {
		require.Equal(t, i == 0, c.Total == results.Chassis, c.Name)
	}
	_, err = openAt(t, b.URL, ",control=7", nil)
	require.ErrorIs(t, err, endpoint.ErrSpec)

	// One that is a part is not the whole because it is alone.
	b.set([]any{map[string]any{"MemberId": "0", "Name": "CPU Sub-system Power", "PhysicalContext": "CPU", "PowerConsumedWatts": 104}}, lenovo, "PowerControl")
	_, err = openAt(t, b.URL, "", nil)
	require.ErrorIs(t, err, endpoint.ErrSpec)
	for _, name := range []string{"CPU Power", "PSU 1 Input", "12V rail", "Total Output Power"} { // nor if only its name says so
		b.set([]any{map[string]any{"MemberId": "0", "Name": name, "PowerConsumedWatts": 104}}, lenovo, "PowerControl")
		_, err = openAt(t, b.URL, "", nil)
		require.ErrorContains(t, err, "say it with control=, of 0 ("+name)
	}
	b.set([]any{map[string]any{"MemberId": "1", "PhysicalContext": "PowerSupply", "PowerConsumedWatts": 424}}, lenovo, "PowerControl") // Cisco UCS C220
	m, err = openAt(t, b.URL, "", nil)
	require.NoError(t, err)
	require.Equal(t, results.Chassis, m.Info().Channels[0].Total)
}

// TestRepeatedReading: a sensor that says when it was read is asked itself; a
// time that stands still is no news, and then stale.
func TestRepeatedReading(t *testing.T) {
	b := newBMC(t, "dmtf.json")
	now := time.Now()
	m, err := openAt(t, b.URL, "", func() time.Time { return now })
	require.NoError(t, err)
	got, err := m.Read(t.Context())
	require.NoError(t, err)
	require.Equal(t, time.Date(2026, 5, 4, 8, 20, 0, 0, time.UTC), got[0].Clock)
	require.NotContains(t, b.asked[len(b.asked)-2:], "/redfish/v1/Chassis/1U/EnvironmentMetrics", "an excerpt has no time")
	now = now.Add(time.Second)
	got, err = m.Read(t.Context())
	require.NoError(t, err)
	require.ErrorIs(t, got[0].Err, power.ErrNoNews)
	now = now.Add(time.Minute)
	got, err = m.Read(t.Context())
	require.NoError(t, err)
	require.ErrorContains(t, got[0].Err, "stale")
	b.set("2026-05-04T08:21:01Z", sensor+"Power", "ReadingTime")
	got, err = m.Read(t.Context())
	require.NoError(t, err)
	require.NoError(t, got[0].Err)
	for _, bad := range []any{nil, 17, "yesterday"} {
		b.set(bad, sensor+"Power", "ReadingTime")
		got, err = m.Read(t.Context())
		require.NoError(t, err)
		require.ErrorContains(t, got[0].Err, "does not say when it was read")
	}
}

// TestWrongUnits: a sensor in another unit is not taken for one in watts.
func TestWrongUnits(t *testing.T) {
	b := newBMC(t, "dmtf.json")
	b.set("kW", sensor+"Power", "ReadingUnits")
	b.set(0.374, sensor+"Power", "Reading")
	m, err := openAt(t, b.URL, "", nil)
	require.NoError(t, err)
	got, err := m.Read(t.Context())
	require.NoError(t, err)
	require.Equal(t, 374.0, got[0].Value)
}

// TestStrangers: a controller sends nobody elsewhere, is not waited for, and an
// error says what was asked and what to do.
func TestStrangers(t *testing.T) {
	stranger := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the stranger was asked") }))
	defer stranger.Close()
	t.Setenv("PERWATT_TEST_SECRET", "hunter2")
	const login = ",user=ops,password=env:PERWATT_TEST_SECRET"
	for name, c := range map[string]struct {
		serve func(w http.ResponseWriter, r *http.Request) bool
		want  string
	}{
		"another host": {func(w http.ResponseWriter, r *http.Request) bool {
			fmt.Fprintf(w, `{"Chassis": {"@odata.id": "%s/redfish/v1/Chassis"}}`, stranger.URL)
			return true
		}, "leads away"},
		"a redirect": {func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, stranger.URL+"/login?x=hunter2", http.StatusFound)
			return true
		}, "redirects to"},
		"401": {func(w http.ResponseWriter, r *http.Request) bool {
			w.WriteHeader(http.StatusUnauthorized)
			return true
		}, "password=env:NAME"},
		"401 of a link": {func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == dell {
				w.WriteHeader(http.StatusForbidden)
			}
			return r.URL.Path == dell
		}, "chassis System.Embedded.1: get " + dell + ": 403"},
		"slow": {func(_ http.ResponseWriter, r *http.Request) bool { <-r.Context().Done(); return true }, "no answer within 50ms"},
		"huge": {func(w http.ResponseWriter, r *http.Request) bool {
			fmt.Fprint(w, strings.Repeat(" ", 2<<20))
			return true
		}, "longer than"},
		"no JSON":         {func(w http.ResponseWriter, r *http.Request) bool { fmt.Fprint(w, "<html>"); return true }, "not the JSON"},
		"nothing":         {func(w http.ResponseWriter, r *http.Request) bool { fmt.Fprint(w, "{}"); return true }, "no collection of chassis"},
		"a circle":        {func(w http.ResponseWriter, r *http.Request) bool { return circle(w, r, `{"@odata.id": "/x"}`) }, "more than 256"},
		"an empty circle": {func(w http.ResponseWriter, r *http.Request) bool { return circle(w, r, "") }, "has 0 members"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBMC(t, "idrac9.json")
			b.say(c.serve)
			options := login
			if name == "slow" {
				options += ",timeout=50ms"
			}
			_, err := openAt(t, b.URL, options, nil)
			require.ErrorContains(t, err, "redfish: open "+b.URL)
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), "hunter2")
		})
	}
	b := newBMC(t, "idrac9.json")
	b.say(func(w http.ResponseWriter, r *http.Request) bool {
		user, password, _ := r.BasicAuth()
		require.Equal(t, "ops hunter2", user+" "+password)
		return false
	})
	m, err := openAt(t, b.URL, login, nil)
	require.NoError(t, err)
	require.Contains(t, m.Info().Notes, endpoint.Unencrypted)
	require.NotContains(t, fmt.Sprint(m.Info()), "hunter2")
	for _, target := range []string{"bmc", b.URL + "/redfish/v1/Chassis/1", b.URL + "?x=1"} {
		s, err := power.ParseSpec("redfish:"+target, Options)
		require.NoError(t, err)
		_, err = Open(t.Context(), s)
		require.ErrorIs(t, err, endpoint.ErrSpec, target)
	}
	_, err = openAt(t, b.URL+"/redfish/v1/", login, nil)
	require.NoError(t, err)
}

func circle(w http.ResponseWriter, r *http.Request, member string) bool {
	if r.URL.Path == root {
		return false
	}
	fmt.Fprintf(w, `{"Members": [%s], "Members@odata.nextLink": "/redfish/v1/Chassis"}`, member)
	return true
}

// TestFaults breaks a controller in both of its shapes.
func TestFaults(t *testing.T) {
	t.Run("Power", func(t *testing.T) {
		powertest.TestFaults(t, func(t *testing.T) powertest.Rig {
			b := newBMC(t, "idrac9.json")
			return rig(t, b, "", func(at time.Duration, watts, _ any) {
				b.set(watts, dell, "PowerControl", 0, "PowerConsumedWatts")
			}, "the old Power has no time")
		})
	})
	t.Run("Sensor", func(t *testing.T) {
		powertest.TestFaults(t, func(t *testing.T) powertest.Rig {
			b := newBMC(t, "dmtf.json")
			return rig(t, b, ",resolution=0.1", func(at time.Duration, watts, energy any) {
				b.set(watts, sensor+"Power", "Reading")
				b.set(energy, sensor+"Energy", "Reading")
				for _, of := range []string{"Power", "Energy"} {
					b.set(time.Unix(1.7e9, 0).UTC().Add(at).Format(time.RFC3339), sensor+of, "ReadingTime")
				}
			}, "")
		})
	})
}

// rig has a controller say what put puts: watts, and kWh, at a time of its own.
func rig(t *testing.T, b *bmc, options string, put func(at time.Duration, watts, energy any), noClock string) powertest.Rig {
	before, since := 100., time.Duration(0) // kWh, and where it started to count
	counter := func(at time.Duration) float64 { return before + powertest.RigWatts*(at-since).Seconds()/kWh }
	says := func(watts, energy any) func(time.Duration) {
		return func(at time.Duration) { put(at, watts, energy) }
	}
	return powertest.Rig{
		Open: func(now func() time.Time) (power.Meter, error) {
			return openAt(t, b.URL, options+",timeout=500ms", now)
		},
		Set: func(at time.Duration) {
			b.say(nil)
			put(at, powertest.RigWatts, counter(at))
		},
		Break: map[string]func(time.Duration){
			"time-out": func(time.Duration) {
				b.say(func(_ http.ResponseWriter, r *http.Request) bool { <-r.Context().Done(); return true })
			},
			"wrong type":  says("231 V", "100 Ah"),
			"negative":    says(-1, -1),
			"nan":         says(nil, nil),
			"zero":        says(0, 0),
			"absurd jump": func(at time.Duration) { put(at, powertest.RigWatts*1e6, counter(at)*1e6) },
			"vanish": func(time.Duration) {
				b.say(func(w http.ResponseWriter, r *http.Request) bool { http.NotFound(w, r); return true })
			},
			"restart": func(at time.Duration) {
				if before > 0 {
					before, since = 0, at
				}
				put(at, powertest.RigWatts, counter(at))
			},
			"clock step": func(at time.Duration) { put(at-time.Hour, powertest.RigWatts, counter(at)) },
		},
		Cannot: map[string]string{"clock step": noClock},
	}
}

// FuzzParse: what is read is a number that the controller wrote, and what is
// found can be read.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*.json")
	require.NoError(f, err)
	for _, file := range files {
		raw, err := os.ReadFile(file)
		require.NoError(f, err)
		var tree map[string]json.RawMessage
		require.NoError(f, json.Unmarshal(raw, &tree))
		for _, doc := range tree {
			f.Add([]byte(doc), "")
		}
	}
	for _, control := range []string{`{"PowerConsumedWatts":"231 W"}`, `[{"PowerConsumedWatts":{"Reading":"0.2","ReadingUnits":"kW"}}]`, `{"a":{"PowerConsumedWatts":231}}`} {
		f.Add([]byte(`{"Chassis":{"@odata.id":"/"},"Members":[{"@odata.id":"/"}],"Power":"/","PowerControl":`+control+`}`), "")
	}
	f.Fuzz(func(t *testing.T, doc []byte, control string) {
		get := getter(func(string) (json.RawMessage, error) { return doc, nil })
		id, found, err := find(get, "", control)
		if err != nil {
			return
		}
		totals := 0
		for _, c := range found {
			if q := c.parse(doc); q.Err != nil || !(q.Value > 0) {
				t.Errorf("%s %s: %v, %v", id, c.name, q.Value, q.Err)
			}
			if c.total {
				totals++
			}
		}
		if totals != 1 || !found[0].total {
			t.Errorf("%d totals in %v", totals, found)
		}
	})
}
