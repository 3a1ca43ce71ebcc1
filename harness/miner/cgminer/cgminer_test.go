package cgminer

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/harness/endpoint"
	"github.com/perwatt/perwatt/harness/miner"
	"github.com/perwatt/perwatt/harness/miner/minertest"
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
func opened(t testing.TB, target string) miner.Client {
	t.Helper()
	s, err := endpoint.ParseSpec("cgminer:"+target+",timeout=10s", Options)
	require.NoError(t, err)
	d, err := Open(t.Context(), s)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Close()) })
	return d
}

// serve runs a peer with some answers; what it does not have, it refuses.
func serve(t testing.TB, has map[string]string) (target string) {
	return minertest.Lines(t, func(request string) minertest.Reply {
		text, ok := has[request]
		if !ok {
			return minertest.Reply{Status: 404}
		}
		return minertest.Reply{Body: text}
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
			"elapsed ID0 Elapsed 18000 s", "rate ID0 GHSspd 8.09005e+13 hash/s", "rate ID0 GHSavg 8.005e+13 hash/s over 18000", "nominal ID0 GHSmm 8.21e+13 hash/s", "temperature ID0 TMax 350.15 K", "temperature ID0 TAvg 338.15 K", "frequency ID0 Freq 500250000 Hz",
			"fan ID0 Fan1 89 Hz", "fan ID0 Fan2 90 Hz", "fan ID0 Fan3 89.33333333 Hz",
			"power ID0 PS[6] 3420 W psu measured", "power ID0 PS[4] 3144 W board measured", "power ID0 MPO 3200 W psu declared",
		}, nil},
		"avalon-q": {"Avalon Q", "CGMiner 4.11.1, LVERSION 25052801_14a19a2", "WORKMODE 0", []string{
			"elapsed Elapsed 37000 s", "rate MHS 15m 5.268637e+10 hash/s over 900", "rate MHS 5m 60000 hash/s over 300", "rate MHS 1m 0 hash/s over 60", "rate MHS 5s 0 hash/s over 5", "rate MHS av 4.5e+13 hash/s over 37000",
			"work Total MH 1.665e+18 hash", "accepted Difficulty Accepted 1.582910953e+18 hash", "rejected Difficulty Rejected 3.377699721e+15 hash", "stale Difficulty Stale 0 hash", "shares Accepted 890 1", "refused Rejected 2 1", "errors Hardware Errors 0 1",
			"elapsed ID0 Elapsed 37000 s", "rate ID0 GHSspd 0 hash/s", "rate ID0 GHSavg 4.496e+13 hash/s over 37000", "nominal ID0 GHSmm 5.5e+13 hash/s", "frequency ID0 Freq 283000000 Hz", "power ID0 MPO 800 W psu declared",
		}, []string{"ID0 PS: 0 1220 3 0 0 2240 150: no place of it is proven to be its power"}},
		"whatsminer": {"M30S+V40", "20220919.15.REL", "Normal", []string{
			"elapsed Elapsed 10000 s", "rate MHS 15m 9.998162018e+13 hash/s over 900", "rate MHS 5m 1.00394801e+14 hash/s over 300", "rate MHS 1m 1.004393525e+14 hash/s over 60", "rate MHS 5s 1.016681145e+14 hash/s over 5", "rate MHS av 1e+14 hash/s over 10000",
			"work Total MH 1e+18 hash", "accepted Difficulty Accepted 1.002754605e+18 hash", "rejected Difficulty Rejected 0 hash", "stale Difficulty Stale 0 hash", "shares Accepted 3500 1", "refused Rejected 0 1", "errors Hardware Errors 69 1",
			"rate HS RT 1.00394801e+14 hash/s over 300", "nominal Factory GHS 9.98e+13 hash/s", "nominal Target MHS 9.83625e+13 hash/s",
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
			require.Equal(t, want.figures, minertest.Written(a.Figures))
			require.Equal(t, want.refused, a.Refused)
			require.Equal(t, want.mode, a.Mode)
		})
	}
}

func rig(t *testing.T, dialect string) minertest.Rig {
	return minertest.Rig{
		Kind: "cgminer", Options: Options, Open: Open, Verbs: Verbs, Serve: minertest.Lines, Answers: answers(t, dialect),
		Of: summary, Member: "GHS 5s", Figure: "GHS 5s",
	}
}

func TestDevice(t *testing.T) {
	for _, dialect := range []string{"antminer", "luxos", "avalon", "avalon-q", "whatsminer", "auradine"} {
		t.Run(dialect, func(t *testing.T) { minertest.TestClient(t, rig(t, dialect)) })
	}
}

func TestFaults(t *testing.T) { minertest.TestFaults(t, rig(t, "antminer")) }

// TestVerbs: what can be sent is this, and no word of it changes anything.
// cgminer's table (api.c, struct CMDS) has iswritemode false for its own; the
// others are documented as getters.
func TestVerbs(t *testing.T) {
	require.Equal(t, miner.Verbs{"version", "summary", "devs", "stats", "estats", "power", "config", "devdetails", "get_version"}, Verbs)
	for _, d := range slices.Concat(dialects, []*dialect{generic, cpuminer}) {
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
	d := opened(t, serve(t, has))
	require.Contains(t, d.Info().Notes, "no figure of the power that it draws: Power: 3000: what it is of is not known of cgminer: watts need a meter")
	a, err := d.Read(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"elapsed Elapsed 60 s", "rate MHS av 1500000 hash/s over 60"}, minertest.Written(a.Figures))
	require.Equal(t, []string{"Power: 3000: what it is of is not known of cgminer"}, a.Refused, "what it does not know is not asked again")
}

// TestPrograms: whatever a program calls itself is in the record, as its model
// and its firmware, and says which dialect it speaks if that is known.
func TestPrograms(t *testing.T) {
	ok := `"STATUS":[{"STATUS":"S"}]`
	for name, c := range map[string]struct {
		version, more string // the answer to version; those to others
		want          [3]string
	}{
		"Braiins OS":                   {`"VERSION":[{"API":"3.7","BOSer":"boser-openwrt 0.1.0-11012d53"}]`, `"DEVDETAILS":[{"Name":"Hashboard","Driver":"","Model":"Antminer S19 Pro"}]`, [3]string{"Braiins OS", "Antminer S19 Pro", "BOSer boser-openwrt 0.1.0-11012d53"}},
		"an older one":                 {`"VERSION":[{"API":"3.7","BOSminer+":"0.2.0-abc"}]`, `"DEVDETAILS":[{"Model":"Antminer S9"}]`, [3]string{"Braiins OS", "Antminer S9", "BOSminer+ 0.2.0-abc"}},
		"SealMiner":                    {`"VERSION":[{"API":"3.7","BDMiner":"4.11.1"}]`, `"STATS":[{"Model":"A2","Firmware":"2025091001","Elapsed":1}]`, [3]string{"SealMiner", "A2", "BDMiner 4.11.1, Firmware 2025091001"}},
		"MSK":                          {`"VERSION":[{"BMMiner":"4.11.1 rwglr","API":"3.1","Miner":"0.0.1.3","Type":"S19-88 v.2.6 "}]`, "", [3]string{"Antminer", "S19-88 v.2.6", "BMMiner 4.11.1 rwglr, Miner 0.0.1.3"}},
		"VNish":                        {`"VERSION":[{"API":"3.1","CGMiner":"4.11.1 vnish","Type":"Antminer S19j Pro (Vnish 1.2.6)"}]`, "", [3]string{"Antminer", "Antminer S19j Pro (Vnish 1.2.6)", "CGMiner 4.11.1 vnish"}},
		"an S9":                        {`"VERSION":[{"CGMiner":"4.9.0","API":"3.1","Miner":"16.8.1.3","Type":"Antminer S9"}]`, "", [3]string{"Antminer", "Antminer S9", "CGMiner 4.9.0, Miner 16.8.1.3"}},
		"LuxOS":                        {`"VERSION":[{"API":"3.7","LUXminer":"2025.4","Type":"Antminer S21"}]`, "", [3]string{"LuxOS", "Antminer S21", "LUXminer 2025.4"}},
		"Avalon":                       {`"VERSION":[{"CGMiner":"4.11.1","API":"3.7","PROD":"Avalon Mini3","MODEL":"Mini3","HWTYPE":"x","LVERSION":"2501","DNA":"01","MAC":"aabb"}]`, "", [3]string{"Avalon", "Avalon Mini3", "CGMiner 4.11.1, LVERSION 2501"}},
		"its model under another name": {`"VERSION":[{"API":"1","Hashminer":"1.0","minerModel":"HX1"}]`, "", [3]string{"cgminer", "HX1", "Hashminer 1.0"}},
		"a name that nobody knows":     {`"VERSION":[{"API":"3.7","MAC":"00:01","epic":"1.5.2","DNA":"7"}]`, "", [3]string{"cgminer", "", "epic 1.5.2"}},
		"only a description":           {`"STATUS":[{"STATUS":"S","Description":"sgminer 5.6.1"}],"VERSION":[]`, "", [3]string{"cgminer", "", "sgminer 5.6.1"}},
		"a Whatsminer":                 {`"VERSION":[{"CGMiner":"4.9.2","API":"3.7"}]`, `"DEVDETAILS":[{"Driver":"bitmicro","Model":"M30S"}]`, [3]string{"Whatsminer", "M30S", "CGMiner 4.9.2"}},
		"nothing":                      {`"VERSION":[{}]`, "", [3]string{"cgminer", "", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			has := map[string]string{version: "{" + ok + "," + c.version + "}", summary: "{" + ok + `,"SUMMARY":[{"Elapsed":60,"MHS 5s":1.5}]}`}
			for _, verb := range []string{devdetails, stats} {
				if strings.Contains(c.more, strings.ToUpper(verb)) {
					has[verb] = "{" + ok + "," + c.more + "}"
				}
			}
			if strings.HasPrefix(c.version, `"STATUS"`) {
				has[version] = "{" + c.version + "}"
			}
			about := opened(t, serve(t, has)).Info()
			require.Equal(t, c.want, [3]string{strings.TrimSuffix(strings.TrimPrefix(about.Notes[0], "it speaks as "), " does"), about.Model, about.Firmware})
			require.Equal(t, "its answers hold no power field: watts need a meter", about.Notes[1])
		})
	}
}

// TestStart: what is not said at the start is a note, and is asked for again.
func TestStart(t *testing.T) {
	const good = `{"STATUS":[{"STATUS":"S"}],"SUMMARY":[{"Elapsed":60,"MHS 5s":1.5}]}`
	for name, c := range map[string]struct {
		version, first string
		note           string
	}{
		"no rate yet":         {`{"VERSION":[{"CGMiner":"4.12"}]}`, `{"SUMMARY":[{"Elapsed":0,"MHS 5s":null,"MHS av":"inf"}]}`, ""},
		"an empty summary":    {`{"VERSION":[{"CGMiner":"4.12"}]}`, "", "not said at the start: summary: the answer is empty"},
		"half a summary":      {`{"VERSION":[{"CGMiner":"4.12"}]}`, `{"SUMMARY":[{`, "not said at the start: summary: the answer was cut short after 14 bytes"},
		"a version of nobody": {`{"VERSION":[`, good, "not said at the start: version: the answer was cut short after 13 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int32
			d := opened(t, minertest.Lines(t, func(request string) minertest.Reply {
				switch {
				case request == version:
					return minertest.Reply{Body: c.version}
				case request == summary && asked.Add(1) == 1:
					return minertest.Reply{Body: c.first}
				case request == summary:
					return minertest.Reply{Body: good}
				}
				return minertest.Reply{Status: 404}
			}))
			if c.note != "" {
				require.Contains(t, d.Info().Notes, c.note)
			}
			a, err := d.Read(t.Context())
			require.NoError(t, err)
			require.Equal(t, []string{"elapsed Elapsed 60 s", "rate MHS 5s 1500000 hash/s over 5"}, minertest.Written(a.Figures))
		})
	}
	s, err := endpoint.ParseSpec("cgminer:"+minertest.Lines(t, func(string) minertest.Reply { return minertest.Reply{Body: "HTTP/1.1 400 Bad Request\r\n\r\n"} }), Options)
	require.NoError(t, err)
	_, err = Open(t.Context(), s)
	require.ErrorContains(t, err, "it answers HTTP")
}

// TestBlanks: an Antminer of other makers' firmware, whose frequency is not
// said and whose power is what its chains add up to.
func TestBlanks(t *testing.T) {
	for text, want := range map[string][]string{
		`"frequency":"","total_freqavg":0.00,"total_rateideal":0,"fan1":0,"temp_chip1":"0-0"`: nil,
		`"frequency":525,"total_freqavg":0`:                                                   {"frequency frequency 525000000 Hz"},
		`"chain_power1":1135,"chain_power2":1103,"chain_power3":1118,"total_power":3358`:      {"power total_power 3358 W board modelled"},
		`"chain_power1":1135,"chain_power2":1103,"total_power":3358`:                          nil,
		`"total_power":3358`:               nil,
		`"chain_power":"1167.5 W (AB)"`:    nil,
		`"chain_power1":0,"total_power":0`: nil,
	} {
		v, err := miner.Parse([]byte(`{"STATS":[{},{"Elapsed":1,` + text + `}]}`))
		require.NoError(t, err)
		var s miner.Collector
		chains(&s, v)
		require.Equal(t, want, minertest.Written(s.Figures), text)
		require.Empty(t, s.Refused, text)
	}
}

// TestTwoClocks: a module's average is over the time of its own clock, and of
// the controller's where it has none.
func TestTwoClocks(t *testing.T) {
	for text, want := range map[string]string{
		"Elapsed[32273] GHSavg[37490.77]": "rate ID0 GHSavg 3.749077e+13 hash/s over 32273",
		"GHSavg[37490.77]":                "rate ID0 GHSavg 3.749077e+13 hash/s over 32260",
	} {
		d := opened(t, serve(t, map[string]string{
			version: `{"VERSION":[{"CGMiner":"4.11.1","PROD":"Avalon Nano3s"}]}`,
			summary: `{"SUMMARY":[{"Elapsed":32260,"MHS 5s":38100000.0}]}`,
			estats:  `{"STATS":[{"MM ID0":"` + text + `"}]}`,
		}))
		a, err := d.Read(t.Context())
		require.NoError(t, err)
		require.Empty(t, a.Refused)
		require.Contains(t, minertest.Written(a.Figures), want)
	}
	// An older one has its modules in stats, and knows no estats.
	d := opened(t, serve(t, map[string]string{
		version: `{"VERSION":[{"CGMiner":"4.10.0","PROD":"AvalonMiner 921"}]}`,
		summary: `{"SUMMARY":[{"Elapsed":60,"MHS 5s":38100000.0}]}`,
		stats:   `{"STATS":[{"MM ID1":"Elapsed[60] GHSmm[20000]"}]}`,
	}))
	a, err := d.Read(t.Context())
	require.NoError(t, err)
	require.Empty(t, a.Refused)
	require.Contains(t, minertest.Written(a.Figures), "nominal ID1 GHSmm 2e+13 hash/s")
}

// TestUnits: a rate is the same in each unit, and in capitals that differ it is
// not one.
func TestUnits(t *testing.T) {
	for name, want := range map[string]string{
		`"KHS av":2.5e9`: "2.5e+12", `"MHS av":2500000`: "2.5e+12", `"GHS av":2500`: "2.5e+12", `"THS av":2.5`: "2.5e+12", `"PHS av":"0.0025"`: "2.5e+12", `"ghs av":2500`: "",
	} {
		v, err := miner.Parse([]byte(`{"Elapsed":60,` + name + "}"))
		require.NoError(t, err)
		var s miner.Collector
		(&client{is: generic}).summarise(&s, v)
		if want == "" {
			require.Len(t, s.Figures, 1, name)
			continue
		}
		require.Equal(t, []string{"elapsed Elapsed 60 s", "rate " + strings.Trim(strings.SplitN(name, ":", 2)[0], `"`) + " " + want + " hash/s over 60"}, minertest.Written(s.Figures))
	}
}

// TestWholeSeconds: as bfgminer answered in its third second.
func TestWholeSeconds(t *testing.T) {
	v, err := miner.Parse([]byte(`{"Elapsed":2,"MHS av":0.029,"Total MH":0.0655}`))
	require.NoError(t, err)
	var s miner.Collector
	(&client{is: generic}).summarise(&s, v)
	require.Empty(t, s.Refused)
	require.Contains(t, minertest.Written(s.Figures), "work Total MH 65500 hash")
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
		var s miner.Collector
		module(&s, "", text)
		got := minertest.Written(s.Figures)
		for i := range got {
			got[i] = strings.Replace(got[i], "power  ", "power ", 1)
		}
		require.Equal(t, want, got, text)
	}
}

// TestPlain: cpuminer's answer, and nothing that only looks like it.
func TestPlain(t *testing.T) {
	const good = "NAME=cpuminer-opt;VER=25.6;API=1.0;ALGO=sha256d;CPUS=2;URL=pool;HS=5400123.50;KHS=5400.12;ACC=12;REJ=1;SOL=0;ACCMN=1.200;DIFF=0.0100;TEMP=0.0;FAN=0;FREQ=2400;UPTIME=600;TS=1764000000|"
	d := opened(t, minertest.Lines(t, func(request string) minertest.Reply {
		if request != summary {
			return minertest.Reply{}
		}
		return minertest.Reply{Body: good}
	}))
	require.Equal(t, "cpuminer-opt", d.Info().Model)
	a, err := d.Read(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"elapsed UPTIME 600 s", "rate HS 5400123.5 hash/s", "shares ACC 12 1", "refused REJ 1 1"}, minertest.Written(a.Figures))
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
	f.Add([]byte(`{"STATUS":[{"STATUS":"S","Description":"bdminer 4.11.1"}],"VERSION":[{"API":"3.7","BDMiner":"4.11.1"}],"STATS":[{"Model":"A2","PSU Input Power":3504,"Elapsed":1,"chain_power1":1.5,"total_power":2}]}`))
	f.Add([]byte("NAME=cpuminer-opt;VER=1;HS=1;UPTIME=1|\x00"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		v, err := parse(raw)
		if err != nil {
			return
		}
		var s miner.Collector
		_ = refusal(v)
		_ = dialectOf(v)
		for _, d := range []*dialect{generic, whatsminer} {
			(&client{is: d}).summarise(&s, v.At("SUMMARY", 0))
		}
		_, _ = model(v.At("VERSION", 0)), firmware(v.At("VERSION", 0))
		_ = s.PowerNote("", v)
		chains(&s, v)
		sealed(&s, v)
		modules(&s, v)
		supply(&s, v)
		boards(&s, v)
		_ = summarisePlain(&s, v)
		minertest.Sound(t, s)
	})
}

func FuzzModule(f *testing.F) {
	f.Add("Ver[a] Elapsed[5]GHSavg[1.5] PS[0 1220 1314 140 1839 1308] Fan1[1] TMax[7] MPO[1] WORKMODE[0]")
	f.Fuzz(func(t *testing.T, text string) {
		var s miner.Collector
		module(&s, "ID0", text)
		minertest.Sound(t, s)
	})
}

// counted counts what is taken of a peer that never stops.
type counted struct{ taken int }

func (c *counted) Read(p []byte) (int, error) {
	if c.taken += len(p); c.taken > 8*miner.MaxAnswer {
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
	require.LessOrEqual(t, c.taken, miner.MaxAnswer+64<<10)
	_, err = parse(out)
	require.ErrorIs(t, err, errEmpty)
	_, err = parse(append([]byte("{"), out...))
	require.ErrorContains(t, err, "longer than")
}
