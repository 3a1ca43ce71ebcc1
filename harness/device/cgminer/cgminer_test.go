package cgminer

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/harness/device"
	"github.com/perwatt/perwatt/harness/device/devicetest"
	"github.com/perwatt/perwatt/harness/peer"
)

// answers are those of one folder of testdata. They have the shapes that the
// package comment names the sources of, with values of their own, and what is
// malformed in them is so in the field: an Antminer without a comma between
// two objects, a Whatsminer with a newline, a comma too many and a list of
// names, an Avalon that packs all into one text, whose Elapsed lacks a space.
func answers(t testing.TB, dialect string) map[string]string {
	t.Helper()
	out := map[string]string{}
	files, err := filepath.Glob(filepath.Join("testdata", dialect, "*.json"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, f := range files {
		raw, err := os.ReadFile(f)
		require.NoError(t, err)
		out[strings.TrimSuffix(filepath.Base(f), ".json")] = string(raw)
	}
	return out
}

// opened opens the miner at a target.
func opened(t testing.TB, target string) device.Device {
	t.Helper()
	s, err := peer.ParseSpec("cgminer:"+target+",timeout=10s", Options)
	require.NoError(t, err)
	d, err := Open(t.Context(), s)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Close()) })
	return d
}

// serve runs a peer with some answers; what it does not have, it refuses.
func serve(t testing.TB, has map[string]string) (target string) {
	return devicetest.Lines(t, func(request string) devicetest.Reply {
		text, ok := has[request]
		if !ok {
			return devicetest.Reply{Status: 404}
		}
		return devicetest.Reply{Body: text}
	})
}

func TestDialects(t *testing.T) {
	for dialect, want := range map[string]struct {
		model, firmware, mode string
		figures, refused      []string
	}{
		"antminer": {"Antminer S19 Pro", "BMMiner 1.0.0, Miner 49.0.1.3, CompileTime Tue Dec  6 16:12:30 CST 2022", "", []string{
			"elapsed Elapsed 7200 s", "rate GHS 30m 1.031204e+14 hash/s over 1800", "rate GHS 5s 1.0421055e+14 hash/s over 5", "rate GHS av 1.03e+14 hash/s over 7200",
			"work Total MH 7.416e+17 hash", "accepted Difficulty Accepted 7.290201897e+17 hash", "rejected Difficulty Rejected 1.125899907e+15 hash", "stale Difficulty Stale 5.629499534e+14 hash",
			"shares Accepted 2590 1", "refused Rejected 4 1", "errors Hardware Errors 11 1",
			"temperature temp_chip1 and its like, the highest 347.15 K", "fan fan1 98 Hz", "fan fan2 99 Hz", "fan fan4 83 Hz", "frequency total_freqavg 525000000 Hz", "nominal total_rateideal 1.02e+14 hash/s",
		}, nil},
		"luxos": {"Antminer S19k Pro", "LUXminer 2025.4.8.220305-57b389c7, Miner 2025.4.8.220305, CompileTime Tue Apr  8 22:05:35 UTC 2025", "290MHz", []string{
			"elapsed Elapsed 3600 s", "rate GHS 30m 6.2101e+13 hash/s over 1800", "rate GHS 15m 6.20105e+13 hash/s over 900", "rate GHS 5m 6.22222e+13 hash/s over 300", "rate GHS 1m 6.248025e+13 hash/s over 60",
			"rate GHS 5s 6.09999e+13 hash/s over 5", "rate GHS av 6.2e+13 hash/s over 3600",
			"accepted Difficulty Accepted 2.251799814e+17 hash", "rejected Difficulty Rejected 1.407374884e+14 hash", "stale Difficulty Stale 0 hash", "shares Accepted 1600 1", "refused Rejected 1 1", "errors Hardware Errors 0 1",
			"temperature temp_chip1 and its like, the highest 321.15 K", "fan fan1 32 Hz", "fan fan2 33 Hz", "fan fan3 39 Hz", "fan fan4 40 Hz", "frequency total_freqavg 300000000 Hz", "nominal total_rateideal 6.19542e+13 hash/s",
			"power POWER.Watts 1080 W psu modelled", "nominal NameplateTHS 1.218e+14 hash/s",
		}, []string{"Total MH: 6.2e+07 is not the rate since the start times Elapsed", "GHS 24h: it is an average over 86400 s of a miner that runs for 3600 s"}},
		"avalon": {"AvalonMiner 1246", "CGMiner 4.11.1, LVERSION 21072802_4ec6bb0_211fc46", "WORKMODE 1", []string{
			"elapsed Elapsed 18000 s", "rate MHS 15m 8.002233344e+13 hash/s over 900", "rate MHS 5m 8.005566677e+13 hash/s over 300", "rate MHS 1m 8.011122233e+13 hash/s over 60", "rate MHS 5s 8.123456789e+13 hash/s over 5", "rate MHS av 8e+13 hash/s over 18000",
			"work Total MH 1.44e+18 hash", "accepted Difficulty Accepted 1.441151881e+18 hash", "rejected Difficulty Rejected 3.377699721e+15 hash", "stale Difficulty Stale 0 hash", "shares Accepted 1280 1", "refused Rejected 3 1", "errors Hardware Errors 2100 1",
			"rate ID0 GHSspd 8.09005e+13 hash/s", "rate ID0 GHSavg 8.005e+13 hash/s over 18000", "nominal ID0 GHSmm 8.21e+13 hash/s", "temperature ID0 TMax 350.15 K", "temperature ID0 TAvg 338.15 K", "frequency ID0 Freq 500250000 Hz",
			"fan ID0 Fan1 89 Hz", "fan ID0 Fan2 90 Hz", "fan ID0 Fan3 89.33333333 Hz",
			"power ID0 PS[6] 3420 W psu measured", "power ID0 PS[4] 3144 W board measured", "power ID0 MPO 3200 W psu declared",
		}, nil},
		"avalon-q": {"Avalon Q", "CGMiner 4.11.1, LVERSION 25052801_14a19a2", "WORKMODE 0", []string{
			"elapsed Elapsed 37000 s", "rate MHS 15m 5.268637e+10 hash/s over 900", "rate MHS 5m 60000 hash/s over 300", "rate MHS 1m 0 hash/s over 60", "rate MHS 5s 0 hash/s over 5", "rate MHS av 4.5e+13 hash/s over 37000",
			"work Total MH 1.665e+18 hash", "accepted Difficulty Accepted 1.582910953e+18 hash", "rejected Difficulty Rejected 3.377699721e+15 hash", "stale Difficulty Stale 0 hash", "shares Accepted 890 1", "refused Rejected 2 1", "errors Hardware Errors 0 1",
			"rate ID0 GHSspd 0 hash/s", "rate ID0 GHSavg 4.496e+13 hash/s over 37000", "nominal ID0 GHSmm 5.5e+13 hash/s", "frequency ID0 Freq 283000000 Hz", "power ID0 MPO 800 W psu declared",
		}, []string{"ID0 PS: 0 1220 3 0 0 2240 150: no place of it is proven to be its power"}},
		"whatsminer": {"M30S+V40", "20220919.15.REL", "Normal", []string{
			"elapsed Elapsed 10000 s", "rate MHS 15m 9.998162018e+13 hash/s over 900", "rate MHS 5m 1.00394801e+14 hash/s over 300", "rate MHS 1m 1.004393525e+14 hash/s over 60", "rate MHS 5s 1.016681145e+14 hash/s over 5", "rate MHS av 1e+14 hash/s over 10000",
			"work Total MH 1e+18 hash", "accepted Difficulty Accepted 1.002754605e+18 hash", "rejected Difficulty Rejected 0 hash", "stale Difficulty Stale 0 hash", "shares Accepted 3500 1", "refused Rejected 0 1", "errors Hardware Errors 69 1",
			"rate HS RT 1.00394801e+14 hash/s", "nominal Factory GHS 9.98e+13 hash/s", "nominal Target MHS 9.83625e+13 hash/s",
			"power Power 3417 W psu measured", "power Power_RT 3427 W psu measured", "power Power Limit 3500 W psu declared",
			"temperature Chip Temp Max 365.65 K", "temperature Chip Temp Avg 357.26 K", "temperature Temperature 344.65 K", "temperature Env Temp 301.65 K", "fan Fan Speed In 107.5 Hz", "fan Fan Speed Out 108 Hz", "frequency freq_avg 648000000 Hz",
		}, nil},
		"auradine": {"", "GCMiner 2025-05.24", "", []string{
			"elapsed Elapsed 56000 s", "rate MHS 15m 8.24500242e+12 hash/s over 900", "rate MHS 5m 8.778584714e+12 hash/s over 300", "rate MHS 1m 1.025684455e+13 hash/s over 60", "rate MHS 5s 2.059976718e+13 hash/s over 5", "rate MHS av 8.0000005e+12 hash/s over 56000",
			"work Total MH 4.48000028e+17 hash", "accepted Difficulty Accepted 3.564822856e+18 hash", "rejected Difficulty Rejected 1.407374884e+14 hash", "shares Accepted 3310 1", "refused Rejected 1 1", "errors Hardware Errors 0 1",
			"temperature Temperature 303.65 K",
		}, nil},
	} {
		t.Run(dialect, func(t *testing.T) {
			d := opened(t, serve(t, answers(t, dialect)))
			info := d.Info()
			require.Equal(t, []string{want.model, want.firmware}, []string{info.Model, info.Firmware})
			a, err := d.Read(t.Context())
			require.NoError(t, err)
			require.Equal(t, want.figures, devicetest.Written(a.Figures))
			require.Equal(t, want.refused, a.Refused)
			require.Equal(t, want.mode, a.Mode)
		})
	}
}

func rig(t *testing.T, dialect string) devicetest.Rig {
	return devicetest.Rig{
		Kind: "cgminer", Options: Options, Open: Open, Verbs: Verbs, Serve: devicetest.Lines, Answers: answers(t, dialect),
		Of: summary, Member: "GHS 5s", Figure: "GHS 5s",
	}
}

func TestDevice(t *testing.T) {
	for _, dialect := range []string{"antminer", "luxos", "avalon", "avalon-q", "whatsminer", "auradine"} {
		t.Run(dialect, func(t *testing.T) { devicetest.TestDevice(t, rig(t, dialect)) })
	}
}

func TestFaults(t *testing.T) { devicetest.TestFaults(t, rig(t, "antminer")) }

// TestVerbs: what can be sent is this, and no word of it changes anything.
// cgminer's table (api.c, struct CMDS) has iswritemode false for its own; the
// others are documented as getters.
func TestVerbs(t *testing.T) {
	require.Equal(t, device.Verbs{"version", "summary", "devs", "stats", "estats", "power", "config", "devdetails", "get_version"}, Verbs)
	for _, d := range []*dialect{antminer, luxos, avalon, whatsminer, auradine, bosminer, generic, cpuminer} {
		for _, verb := range d.each {
			require.Contains(t, Verbs, verb)
		}
	}
}

// TestOthersPower: a figure of a name that is known is not believed to be what
// it is elsewhere.
func TestOthersPower(t *testing.T) {
	has := map[string]string{
		version: `{"STATUS":[{"STATUS":"S"}],"VERSION":[{"CGMiner":"4.12.1","API":"3.7"}]}`,
		summary: `{"STATUS":[{"STATUS":"S"}],"SUMMARY":[{"Elapsed":60,"MHS av":1.5,"Power":3000}]}`,
	}
	a, err := opened(t, serve(t, has)).Read(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"elapsed Elapsed 60 s", "rate MHS av 1500000 hash/s over 60"}, devicetest.Written(a.Figures))
	require.Contains(t, a.Refused, "Power: 3000: what it is of is not known of cgminer")
	require.True(t, slices.ContainsFunc(a.Refused, func(s string) bool { return strings.HasPrefix(s, "devs: it refuses") }), a.Refused)
}

// TestUnits: a rate is the same in each unit, and in capitals that differ it is
// not one.
func TestUnits(t *testing.T) {
	for name, want := range map[string]string{
		`"KHS av":2.5e9`: "2.5e+12", `"MHS av":2500000`: "2.5e+12", `"GHS av":2500`: "2.5e+12", `"THS av":2.5`: "2.5e+12", `"PHS av":"0.0025"`: "2.5e+12", `"ghs av":2500`: "",
	} {
		v, err := device.Parse([]byte("{" + name + "}"))
		require.NoError(t, err)
		var s device.Sheet
		(&miner{is: generic}).summarise(&s, v)
		if want == "" {
			require.Empty(t, s.Figures, name)
			continue
		}
		require.Equal(t, []string{"rate " + strings.Trim(strings.SplitN(name, ":", 2)[0], `"`) + " " + want + " hash/s"}, devicetest.Written(s.Figures))
	}
}

// TestWholeSeconds: as bfgminer answered in its third second.
func TestWholeSeconds(t *testing.T) {
	v, err := device.Parse([]byte(`{"Elapsed":2,"MHS av":0.029,"Total MH":0.0655}`))
	require.NoError(t, err)
	var s device.Sheet
	(&miner{is: generic}).summarise(&s, v)
	require.Empty(t, s.Refused)
	require.Contains(t, devicetest.Written(s.Figures), "work Total MH 65500 hash")
}

// TestAvalonPower: only what is proven to be watts is watts.
func TestAvalonPower(t *testing.T) {
	for text, want := range map[string][]string{
		"PS[0 1220 1314 140 1839 1308]":                      {"power PS[4] 1839 W board measured"}, // Canaan's own example: 12.20 V, 13.14 V, 140 A, 1839 W
		"PS[0 1209 1187 300 3561 1188 3760] WALLPOWER[3760]": {"power WALLPOWER 3760 W psu measured", "power PS[4] 3561 W board measured"},
		"PS[0 1221 2421 66 1598 2422 1670]":                  {"power PS[6] 1670 W psu measured", "power PS[4] 1598 W board measured"},
		"PS[0 1221 2421 66 1598 2422 9000]":                  {"power PS[4] 1598 W board measured"},
		"PS[0 0 0 4 2758 127 338]":                           nil, // a Nano, whose places are others
		"PS[0 1221 2421 66 inf 2422 1670]":                   nil,
		"PS[]":                                               nil,
		"WALLPOWER[0]":                                       nil,
	} {
		var s device.Sheet
		module(&s, "", text)
		got := devicetest.Written(s.Figures)
		for i := range got {
			got[i] = strings.Replace(got[i], "power  ", "power ", 1)
		}
		require.Equal(t, want, got, text)
	}
}

// TestPlain: cpuminer's answer, and nothing that only looks like it.
func TestPlain(t *testing.T) {
	const good = "NAME=cpuminer-opt;VER=25.6;API=1.0;ALGO=sha256d;CPUS=2;URL=pool;HS=5400123.50;KHS=5400.12;ACC=12;REJ=1;SOL=0;ACCMN=1.200;DIFF=0.0100;TEMP=0.0;FAN=0;FREQ=2400;UPTIME=600;TS=1764000000|"
	d := opened(t, devicetest.Lines(t, func(request string) devicetest.Reply {
		if request != summary {
			return devicetest.Reply{}
		}
		return devicetest.Reply{Body: good}
	}))
	require.Equal(t, "cpuminer-opt", d.Info().Model)
	a, err := d.Read(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"elapsed UPTIME 600 s", "rate HS 5400123.5 hash/s", "shares ACC 12 1", "refused REJ 1 1"}, devicetest.Written(a.Figures))
	for _, bad := range []string{"NAME=x;HS=1", "NAME=x;HS|", "NAME=x|NAME=y|", "NAME=x;" + strings.Repeat("a=b;", 1<<18) + "c=d|"} {
		_, err := parse([]byte(bad))
		require.Error(t, err, bad[:7])
	}
}

func FuzzParse(f *testing.F) {
	for _, dialect := range []string{"antminer", "avalon", "whatsminer"} {
		for _, text := range answers(f, dialect) {
			f.Add([]byte(text))
		}
	}
	f.Add([]byte("NAME=cpuminer-opt;VER=1;HS=1;UPTIME=1|\x00"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		v, err := parse(raw)
		if err != nil {
			return
		}
		var s device.Sheet
		_ = refusal(v)
		_ = dialectOf(v)
		for _, d := range []*dialect{generic, whatsminer} {
			(&miner{is: d}).summarise(&s, v.At("SUMMARY", 0))
		}
		chains(&s, v)
		modules(&s, v)
		supply(&s, v)
		boards(&s, v)
		_ = summarisePlain(&s, v)
		devicetest.Sound(t, s)
	})
}

func FuzzModule(f *testing.F) {
	f.Add("Ver[a] Elapsed[5]GHSavg[1.5] PS[0 1220 1314 140 1839 1308] Fan1[1] TMax[7] MPO[1] WORKMODE[0]")
	f.Fuzz(func(t *testing.T, text string) {
		var s device.Sheet
		module(&s, "ID0", text)
		devicetest.Sound(t, s)
	})
}

// counted counts what is taken of a peer that never stops.
type counted struct{ taken int }

func (c *counted) Read(p []byte) (int, error) {
	if c.taken += len(p); c.taken > 8*device.MaxAnswer {
		return 0, errors.New("enough")
	}
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// TestEndless: no more is taken in than an answer may be.
func TestEndless(t *testing.T) {
	var c counted
	out, err := untilNUL(&c)
	require.NoError(t, err)
	require.LessOrEqual(t, c.taken, device.MaxAnswer+64<<10)
	_, err = parse(out)
	require.ErrorIs(t, err, errEmpty)
	_, err = parse(append([]byte("{"), out...))
	require.ErrorContains(t, err, "longer than")
}
