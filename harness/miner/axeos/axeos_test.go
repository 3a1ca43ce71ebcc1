package axeos

import (
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/harness/endpoint"
	"github.com/perwatt/perwatt/harness/miner"
	"github.com/perwatt/perwatt/harness/miner/minertest"
	"github.com/perwatt/perwatt/results"
)

// rig answers in the shape of ESP-Miner v2.15 on a Gamma, with values of its
// own.
func rig(t testing.TB) minertest.Rig {
	raw, err := os.ReadFile("testdata/info.json")
	require.NoError(t, err)
	return minertest.Rig{
		Kind: "axeos", Options: Options, Open: Open, Verbs: Verbs, Serve: minertest.HTTP, Answers: map[string]string{"GET /api/system/info": string(raw)},
		Of: "GET /api/system/info", Member: "uptimeSeconds", Figure: "uptimeSeconds",
	}
}

// opened is a device that gives one answer.
func opened(t *testing.T, answer string) (miner.Client, error) {
	s, err := endpoint.ParseSpec("axeos:"+minertest.HTTP(t, func(string) minertest.Reply { return minertest.Reply{Body: answer} })+",timeout=10s", Options)
	require.NoError(t, err)
	return Open(t.Context(), s)
}

func TestRead(t *testing.T) {
	d, err := opened(t, rig(t).Answers["GET /api/system/info"])
	require.NoError(t, err)
	defer d.Close()
	require.Equal(t, []string{"board 601 BM1370", "v2.15.0"}, []string{d.Info().Model, d.Info().Firmware})
	a, err := d.Read(t.Context())
	require.NoError(t, err)
	require.Empty(t, a.Refused)
	require.Equal(t, []string{
		"elapsed uptimeSeconds 7200 s", "rate hashRate_1h 1.20025e+12 hash/s over 3600", "rate hashRate_10m 1.2015e+12 hash/s over 600", "rate hashRate_1m 1.19825e+12 hash/s over 60", "rate hashRate 1.1905e+12 hash/s",
		"nominal expectedHashrate 1.224e+12 hash/s", "work totalHashes 1.08e+18 hash", "shares sharesAccepted 2010 1", "refused sharesRejected 3 1", "difficulty poolDifficulty 4.294967296e+12 hash",
		"power power 17.25 W board modelled", "frequency actualFrequency 600000000 Hz", "temperature temp 331.65 K", "temperature vrTemp 335.15 K", "fan fanrpm 75 Hz",
	}, minertest.Written(a.Figures))
}

// TestBoards: whether its power is measured depends on what is soldered on the
// board, and the names on the release.
func TestBoards(t *testing.T) {
	d, err := opened(t, `{"power":14.5,"hashRate":500.5,"hashRate_1h":499,"stratumDiff":512,"frequency":490,"temp":55,"uptimeSeconds":60,"boardVersion":"204","ASICModel":"BM1366","version":"v2.4.5","miningPaused":true}`)
	require.NoError(t, err)
	defer d.Close()
	require.Contains(t, strings.Join(d.Info().Notes, " "), "measured at the board's DC input")
	a, err := d.Read(t.Context())
	require.NoError(t, err)
	require.Equal(t, "paused", a.Mode)
	require.Equal(t, []string{
		"elapsed uptimeSeconds 60 s", "rate hashRate 5.005e+11 hash/s", "difficulty stratumDiff 2.199023256e+12 hash", "power power 14.5 W board measured", "frequency frequency 490000000 Hz", "temperature temp 328.15 K",
	}, minertest.Written(a.Figures))
	require.Equal(t, []string{"hashRate_1h: it is an average over 3600 s of a miner that runs for 60 s"}, a.Refused)
	_, err = opened(t, `{"hello":"world"}`)
	require.ErrorContains(t, err, "it has no hashRate")
}

// TestKin: what other makers' boards say is read, their power is an estimate,
// and a number that a Bitaxe's board has too does not make it measured.
func TestKin(t *testing.T) {
	for answer, want := range map[string][3]string{ // model, note, power
		`{"hashRate":1,"power":26.46142578125,"minerModel":"LV07","boardVersion":"302","ASICModel":"BM1366","fanSpeed":4458,"fanspeed":100}`: {"LV07 board 302 BM1366", "power: as a LV07 has it: nothing says that an instrument measures it, so it is an estimate of what the board draws", "power power 26.46142578 W board modelled"},
		`{"hashRate":1,"power":99.8,"minerModel":"LV08","boardVersion":"204","ASICModel":"BM1366"}`:                                          {"LV08 board 204 BM1366", "power: as a LV08 has it: nothing says that an instrument measures it, so it is an estimate of what the board draws", "power power 99.8 W board modelled"},
		`{"hashRate":1,"power":70,"deviceModel":"NerdQAxe++","boardVersion":"401","ASICModel":"BM1370"}`:                                     {"NerdQAxe++ board 401 BM1370", "power: as a NerdQAxe++ has it: nothing says that an instrument measures it, so it is an estimate of what the board draws", "power power 70 W board modelled"},
		`{"hashRate":1,"power":12.5,"deviceModel":"Supra","boardVersion":"401"}`:                                                             {"Supra board 401", "power: measured at the board's DC input, without its supply", "power power 12.5 W board measured"},
		`{"hashRate":1,"ASICModel":"BM1368","frequency":0}`:                                                                                  {"BM1368", "its answers hold no power field: watts need a meter", ""},
		`{"hashRate":1,"ASICModel":"BM1368","power":0}`:                                                                                      {"BM1368", "no figure of the power that it draws: power: 0 is beyond what a figure of power can be: watts need a meter", ""},
	} {
		d, err := opened(t, answer)
		require.NoError(t, err)
		a, err := d.Read(t.Context())
		require.NoError(t, err)
		require.NoError(t, d.Close())
		got := ""
		for _, f := range minertest.Written(a.Figures) {
			if strings.HasPrefix(f, "power") {
				got = f
			}
		}
		require.Equal(t, want, [3]string{d.Info().Model, d.Info().Notes[0], got})
	}
}

// TestNoRateYet: a rate that is not finite is null for a while, and that is a
// note: what the rest says counts, and the rate is asked for again.
func TestNoRateYet(t *testing.T) {
	for _, first := range []string{`null`, `""`, `"N/A"`, `"inf"`, `nan`} {
		var asked atomic.Int32
		s, err := endpoint.ParseSpec("axeos:"+minertest.HTTP(t, func(string) minertest.Reply {
			rate := "498.5"
			if asked.Add(1) <= 2 {
				rate = first
			}
			return minertest.Reply{Body: `{"hashRate":` + rate + `,"power":14.25,"ASICModel":"BM1366","uptimeSeconds":3}`}
		})+",timeout=10s", Options)
		require.NoError(t, err)
		d, err := Open(t.Context(), s)
		require.NoError(t, err, first)
		for _, want := range []bool{false, true} {
			a, err := d.Read(t.Context())
			require.NoError(t, err, first)
			written := minertest.Written(a.Figures)
			require.Contains(t, written, "power power 14.25 W board modelled")
			require.Equal(t, want, slices.Contains(written, "rate hashRate 4.985e+11 hash/s"), first)
		}
		require.NoError(t, d.Close())
	}
}

func TestDevice(t *testing.T) { minertest.TestClient(t, rig(t)) }
func TestFaults(t *testing.T) { minertest.TestFaults(t, rig(t)) }

// TestVerbs: what can be sent is this.
func TestVerbs(t *testing.T) { require.Equal(t, miner.Verbs{"GET /api/system/info"}, Verbs) }

func FuzzAnswer(f *testing.F) {
	f.Add([]byte(rig(f).Answers["GET /api/system/info"]))
	f.Add([]byte(`{"hashRate":null,"hashRate_1d":"inf","minerModel":"LV07","fanSpeed":1,"frequency":0}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		v, err := miner.Parse(raw)
		if err != nil {
			return
		}
		var s miner.Collector
		summarise(&s, v, miner.Watts(results.Board, results.Modelled))
		minertest.Sound(t, s)
	})
}
