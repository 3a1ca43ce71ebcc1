package braiins

import (
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/harness/endpoint"
	"github.com/perwatt/perwatt/harness/miner"
	"github.com/perwatt/perwatt/harness/miner/minertest"
)

// rig answers in the shapes of the public API 1.10 on an S21 Pro, with values
// of its own.
func rig(t testing.TB) minertest.Rig {
	answers := map[string]string{"POST " + login: `{"token":"open-sesame","timeout_s":3600}`}
	for request, file := range map[string]string{"GET " + details: "details", "GET " + stats: "stats", "GET " + cooling: "cooling", "GET " + tuner: "tuner"} {
		raw, err := os.ReadFile("testdata/" + file + ".json")
		require.NoError(t, err)
		answers[request] = string(raw)
	}
	return minertest.Rig{
		Kind: "braiins", Options: Options, Open: Open, Verbs: Verbs, Serve: minertest.HTTP, Answers: answers,
		Of: "GET " + stats, Member: "watt", Figure: "approximated_consumption",
	}
}

// lock asks who is there as Braiins OS does.
type lock struct {
	next   http.Handler
	logins atomic.Int32
	spent  atomic.Bool // whether the token has run out
}

func (l *lock) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == login {
		buf := make([]byte, 256)
		n, _ := r.Body.Read(buf)
		if got := string(buf[:n]); got != `{"password":"hunter2","username":"ops"}` {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		l.logins.Add(1)
		l.spent.Store(false)
	} else if r.Header.Get("Authorization") != "open-sesame" || l.spent.Load() {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	l.next.ServeHTTP(w, r)
}

func serve(t testing.TB) (l *lock, target string) {
	answers := rig(t).Answers
	l = &lock{next: minertest.Handler(func(request string) minertest.Reply { return minertest.Reply{Body: answers[request]} })}
	server := httptest.NewServer(l)
	t.Cleanup(server.Close)
	return l, server.URL
}

func opened(t testing.TB, target, options string) (miner.Client, error) {
	s, err := endpoint.ParseSpec("braiins:"+target+",timeout=10s"+options, Options)
	require.NoError(t, err)
	return Open(t.Context(), s)
}

func TestRead(t *testing.T) {
	l, target := serve(t)
	t.Setenv("PERWATT_TEST_SECRET", "hunter2")
	d, err := opened(t, target, ",user=ops,password=env:PERWATT_TEST_SECRET")
	require.NoError(t, err)
	defer d.Close()
	require.Equal(t, []string{"Antminer S21 Pro", "2026-04-14-0-912d084c-26.04-plus"}, []string{d.Info().Model, d.Info().Firmware})
	require.Contains(t, strings.Join(d.Info().Notes, " "), endpoint.Unencrypted)
	for range 2 {
		a, err := d.Read(t.Context())
		require.NoError(t, err)
		require.Equal(t, "power target", a.Mode)
		require.Equal(t, []string{
			"elapsed bosminer_uptime_s 7200 s", "rate real_hashrate.last_1h 2.492e+14 hash/s over 3600", "rate real_hashrate.last_30m 2.48e+14 hash/s over 1800", "rate real_hashrate.last_15m 2.454e+14 hash/s over 900",
			"rate real_hashrate.last_5m 2.43e+14 hash/s over 300", "rate real_hashrate.last_1m 2.473e+14 hash/s over 60", "rate real_hashrate.last_30s 2.49e+14 hash/s over 30", "rate real_hashrate.last_15s 2.4650025e+14 hash/s over 15",
			"rate real_hashrate.last_5s 2.480005e+14 hash/s over 5", "rate real_hashrate.since_restart 2.448e+14 hash/s over 7200", "nominal nominal_hashrate 2.525e+14 hash/s", "nominal sticker_hashrate 2.34e+14 hash/s",
			"shares accepted_shares 848 1", "refused rejected_shares 1 1", "difficulty last_difficulty 2.251799814e+15 hash", "power approximated_consumption 3480 W modelled",
			"temperature highest_temperature 338.65 K", "fan fans.0 99 Hz", "fan fans.1 100 Hz", "power current_target 3500 W declared",
		}, minertest.Written(a.Figures))
		require.Equal(t, []string{"real_hashrate.last_24h: it is an average over 86400 s of a miner that runs for 7200 s"}, a.Refused)
	}
	require.EqualValues(t, 1, l.logins.Load(), "a token is used until it has run out")
	l.spent.Store(true)
	_, err = d.Read(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 2, l.logins.Load())
}

// TestLogin: a password that does not open is an error that names the cure and
// not the password, and it is tried once.
func TestLogin(t *testing.T) {
	l, target := serve(t)
	t.Setenv("PERWATT_TEST_SECRET", "wrong horse")
	for _, options := range []string{"", ",user=ops", ",user=ops,password=env:PERWATT_TEST_SECRET"} {
		_, err := opened(t, target, options)
		require.ErrorContains(t, err, "password=env:NAME")
		require.NotContains(t, err.Error(), "wrong horse")
	}
	require.Zero(t, l.logins.Load())
	for _, body := range []string{"", "{}", `{"token":7}`, `{"token":"\u0000"}`, "[", "<html>secret</html>"} {
		server := httptest.NewServer(minertest.Handler(func(request string) minertest.Reply {
			assert.Equal(t, "POST "+login, request, "nothing is asked without a token")
			return minertest.Reply{Body: body}
		}))
		_, err := opened(t, server.URL, "")
		require.ErrorContains(t, err, "log in", body)
		require.NotContains(t, err.Error(), "secret")
		server.Close()
	}
}

// TestLoginsEnd: a miner whose tokens never open is not asked for ever.
func TestLoginsEnd(t *testing.T) {
	var logins atomic.Int32
	target := minertest.HTTP(t, func(request string) minertest.Reply {
		if request == "POST "+login {
			logins.Add(1)
			return minertest.Reply{Body: `{"token":"x"}`}
		}
		return minertest.Reply{Status: http.StatusUnauthorized}
	})
	_, err := opened(t, target, "")
	require.ErrorContains(t, err, "401")
	require.EqualValues(t, 2, logins.Load())
}

// TestStart: what is not said at the start is a note, if something is.
func TestStart(t *testing.T) {
	answers := rig(t).Answers
	const estimate = "power: approximated_consumption, which its tuner estimates, of the miner as a whole; no instrument measures it"
	for name, c := range map[string]struct {
		fails []string
		model string
		notes []string
	}{
		"good":       {nil, "Antminer S21 Pro", []string{estimate}},
		"no details": {[]string{"GET " + details}, "", []string{estimate, "not said at the start: get /api/v1/miner/details: 500 Internal Server Error"}},
		"no stats":   {[]string{"GET " + stats}, "Antminer S21 Pro", []string{"its answers hold no power field: watts need a meter", "not said at the start: get /api/v1/miner/stats: 500 Internal Server Error"}},
		"nothing":    {[]string{"GET " + details, "GET " + stats}, "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := opened(t, minertest.HTTP(t, func(request string) minertest.Reply {
				if slices.Contains(c.fails, request) {
					return minertest.Reply{Status: 500}
				}
				return minertest.Reply{Body: answers[request]}
			}), "")
			if c.notes == nil {
				require.ErrorContains(t, err, "get /api/v1/miner/details: 500")
				return
			}
			require.NoError(t, err)
			defer d.Close()
			require.Equal(t, c.model, d.Info().Model)
			require.Equal(t, c.notes, d.Info().Notes)
		})
	}
}

func TestDevice(t *testing.T) { minertest.TestClient(t, rig(t)) }
func TestFaults(t *testing.T) { minertest.TestFaults(t, rig(t)) }

// TestVerbs: what can be sent is this; the one that is no GET logs in.
func TestVerbs(t *testing.T) {
	require.Equal(t, miner.Verbs{"POST /api/v1/auth/login", "GET /api/v1/miner/details", "GET /api/v1/miner/stats", "GET /api/v1/cooling/state", "GET /api/v1/performance/tuner-state"}, Verbs)
}

func FuzzAnswers(f *testing.F) {
	a := rig(f).Answers
	f.Add([]byte(a["GET "+stats]), []byte(a["GET "+details]), []byte(a["GET "+cooling]), []byte(a["GET "+tuner]))
	f.Fuzz(func(t *testing.T, a, b, c, d []byte) {
		var all [4]miner.Value
		for i, raw := range [][]byte{a, b, c, d} {
			all[i], _ = miner.Parse(raw)
		}
		var s miner.Collector
		summarise(&s, all[0], all[1], all[2], all[3])
		minertest.Sound(t, s)
	})
}
