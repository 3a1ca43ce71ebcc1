package whatsminer

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/harness/endpoint"
	"github.com/perwatt/perwatt/harness/miner"
	"github.com/perwatt/perwatt/harness/miner/minertest"
)

// rig answers in the shapes of an M60S of API 3.0.2, with values of its own.
func rig(t testing.TB) minertest.Rig {
	answers := map[string]string{}
	for request, file := range map[string]string{"get.device.info": "info", "get.miner.status summary": "summary"} {
		raw, err := os.ReadFile("testdata/" + file + ".json")
		require.NoError(t, err)
		answers[request] = string(raw)
	}
	return minertest.Rig{
		Kind: "whatsminer", Options: Options, Open: Open, Verbs: Verbs, Serve: minertest.Framed, Answers: answers,
		Of: "get.miner.status summary", Member: "power-realtime", Figure: "power-realtime",
	}
}

func TestRead(t *testing.T) {
	answers := rig(t).Answers
	s, err := endpoint.ParseSpec("whatsminer:"+minertest.Framed(t, func(request string) minertest.Reply {
		return minertest.Reply{Body: answers[request]}
	})+",name=left,timeout=10s", Options)
	require.NoError(t, err)
	d, err := Open(t.Context(), s)
	require.NoError(t, err)
	defer d.Close()
	require.Equal(t, []string{"left", "whatsminer", "M60S_VK40", "20251209.16.Rel2"}, []string{d.Info().Name, d.Info().API, d.Info().Model, d.Info().Firmware})
	a, err := d.Read(t.Context())
	require.NoError(t, err)
	require.Empty(t, a.Refused)
	require.Equal(t, []string{
		"elapsed elapsed 50000 s", "rate hash-15min 1.72e+14 hash/s over 900", "rate hash-1min 1.7125e+14 hash/s over 60", "rate hash-realtime 1.715e+14 hash/s", "rate hash-average 1.725e+14 hash/s over 50000",
		"nominal factory-hash 1.805e+14 hash/s", "power power-realtime 3036 W psu measured", "power power-5min 3050 W over 300 psu measured", "power power-limit 3600 W psu declared",
		"temperature chip-temp-max 355.15 K", "temperature chip-temp-avg 348.65 K", "temperature environment-temperature 300.65 K", "fan fan-speed-in 90 Hz", "fan fan-speed-out 88 Hz", "frequency freq-avg 620000000 Hz",
	}, minertest.Written(a.Figures))
}

// TestStart: what is not said at the start is a note, if something is.
func TestStart(t *testing.T) {
	answers := rig(t).Answers
	for name, c := range map[string]struct{ info, summary, model, note string }{
		"good":        {answers["get.device.info"], answers["get.miner.status summary"], "M60S_VK40", "power: the input of its supply P221B, as that measures it; power-limit is what was configured"},
		"no info":     {`{"code":-1,"msg":"busy"}`, answers["get.miner.status summary"], "", `not said at the start: get.device.info: it refuses: code "-1": "busy"`},
		"no summary":  {answers["get.device.info"], `{"code":-1,"msg":"busy"}`, "M60S_VK40", `not said at the start: get.miner.status: it refuses: code "-1": "busy"`},
		"no power":    {answers["get.device.info"], `{"code":0,"msg":{"summary":{"elapsed":5,"hash-realtime":1}}}`, "M60S_VK40", "its answers hold no power field: watts need a meter"},
		"standing by": {answers["get.device.info"], `{"code":0,"msg":{"summary":{"elapsed":5,"power-realtime":0,"power-limit":3600}}}`, "M60S_VK40", "no figure of the power that it draws: power-realtime: 0 is beyond what a figure of power can be: watts need a meter"},
		"nothing":     {`{"code":-1,"msg":"busy"}`, `{"code":-1,"msg":"busy"}`, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := endpoint.ParseSpec("whatsminer:"+minertest.Framed(t, func(request string) minertest.Reply {
				return minertest.Reply{Body: map[string]string{"get.device.info": c.info, "get.miner.status summary": c.summary}[request]}
			})+",timeout=10s", Options)
			require.NoError(t, err)
			d, err := Open(t.Context(), s)
			if c.note == "" {
				require.ErrorContains(t, err, "get.device.info: it refuses")
				return
			}
			require.NoError(t, err)
			defer d.Close()
			require.Equal(t, c.model, d.Info().Model)
			require.Contains(t, d.Info().Notes, c.note)
		})
	}
}

func TestDevice(t *testing.T) { minertest.TestClient(t, rig(t)) }
func TestFaults(t *testing.T) { minertest.TestFaults(t, rig(t)) }

// TestVerbs: what can be sent is this, and all of it gets.
func TestVerbs(t *testing.T) {
	require.Equal(t, miner.Verbs{"get.device.info", "get.miner.status summary"}, Verbs)
	require.False(t, slices.ContainsFunc(Verbs, func(v string) bool { return !strings.HasPrefix(v, "get.") }))
}

// TestAnotherAPI: who announces more than an answer can be is told from a
// Whatsminer before anything is taken in.
func TestAnotherAPI(t *testing.T) {
	_, err := unframe(strings.NewReader(`{"STATUS":"E"}`))
	require.ErrorContains(t, err, "is that the API of version 3?")
	_, err = unframe(strings.NewReader("\x05\x00\x00\x00abc"))
	require.ErrorContains(t, err, "5 bytes are announced and 3 came")
}

func FuzzAnswer(f *testing.F) {
	for _, text := range rig(f).Answers {
		f.Add(frame([]byte(text)))
	}
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, '{'})
	f.Fuzz(func(t *testing.T, raw []byte) {
		text, err := unframe(bytes.NewReader(raw))
		if err != nil {
			return
		}
		v, err := miner.Parse(text)
		if err != nil {
			return
		}
		var s miner.Collector
		summarise(&s, v.At("msg", "summary"))
		minertest.Sound(t, s)
	})
}
