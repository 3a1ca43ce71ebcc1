package power

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
)

func known() []Option { return append(append(append([]Option{}, Common...), Login...), WebOptions...) }

func TestParseSpec(t *testing.T) {
	for text, want := range map[string]struct {
		kind, target string
		options      map[string]string
	}{
		"rapl":                    {"rapl", "", nil},
		"rapl,name=x:y":           {"rapl", "", map[string]string{"name": "x:y"}},
		"snmp:10.0.0.1":           {"snmp", "10.0.0.1", nil},
		"snmp:pdu:1161,period=3s": {"snmp", "pdu:1161", map[string]string{"period": "3s"}},
		"redfish:https://bmc,user=ops,password=env:BMC":                                {"redfish", "https://bmc", map[string]string{"user": "ops", "password": "env:BMC"}},
		`prometheus:http://p:9090?query=sum(w{a="b",c="d"}),boundary=wall,accuracy=1%`: {"prometheus", `http://p:9090?query=sum(w{a="b",c="d"})`, map[string]string{"boundary": "wall", "accuracy": "1%"}},
		`prometheus:http://p?query=w{a="b",name="c"},name=d`:                           {"prometheus", `http://p?query=w{a="b",name="c"}`, map[string]string{"name": "d"}},
		`prometheus:http://p?query=w{a="b",name=~"c"}`:                                 {"prometheus", `http://p?query=w{a="b",name=~"c"}`, nil},
		"exec:cut -d, -f 2,name=a":                                                     {"exec", "cut -d, -f 2", map[string]string{"name": "a"}},
		"exec:a password=x,nothing=":                                                   {"exec", "a password=x,nothing=", nil},
	} {
		s, err := ParseSpec(text, known())
		require.NoError(t, err, text)
		require.Equal(t, want.kind, s.Kind, text)
		require.Equal(t, want.target, s.Target, text)
		require.Len(t, s.values, len(want.options), text)
		for k, v := range want.options {
			require.Equal(t, v, s.Get(k, ""), text)
		}
	}
	for text, want := range map[string]string{
		"snmp:pdu,outlt=3":                  "outlt",
		"snmp:pdu,name=a,name=b":            "twice",
		"redfish:https://u:secret@bmc":      "holds a user",
		"redfish:https://bmc,password=abc":  "env:NAME or file:PATH",
		"redfish:https://bmc,token=env:":    "env:NAME or file:PATH",
		`plug:http://p,password="secret"`:   "env:NAME or file:PATH",
		`prom:http://p?query=w,token="abc"`: "env:NAME or file:PATH",
	} {
		_, err := ParseSpec(text, known())
		require.ErrorIs(t, err, ErrSpec, text)
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "secret")
		require.NotContains(t, err.Error(), "abc")
	}
}

func TestSecretsAreNeverShown(t *testing.T) {
	for _, text := range []string{
		"redfish:https://bmc,password=hunter2", "snmp:x,community=hunter2,name=a", "plug:http://me:hunter2@plug", "prometheus:http://p?query=a,token=hunter2",
		"redfish:https://bmc?secret=hunter2", "http://hunter2@x + http://y:hunter2@z",
	} {
		require.NotContains(t, Redact(text), "hunter2", text)
	}
	const kept = "redfish:https://bmc,user=ops,password=env:BMC_PASSWORD + snmp:pdu,community=file:/etc/perwatt/pdu"
	require.Equal(t, kept, Redact(kept))
}

func TestSecret(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "pw")
	require.NoError(t, os.WriteFile(file, []byte("pa,ss word\n"), 0o600))
	require.NoError(t, os.WriteFile(file+".empty", []byte("\n"), 0o600))
	require.NoError(t, os.WriteFile(file+".long", []byte(strings.Repeat("x", 5000)), 0o600))
	t.Setenv("PERWATT_TEST_SECRET", "hunter2")
	for at, want := range map[string]string{"env:PERWATT_TEST_SECRET": "hunter2", "file:" + file: "pa,ss word"} {
		s, err := ParseSpec("snmp:x,password="+at, known())
		require.NoError(t, err)
		got, err := s.Secret("password")
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	for _, at := range []string{"env:PERWATT_TEST_UNSET", "file:" + file + ".none", "file:" + file + ".empty", "file:" + file + ".long"} {
		s, err := ParseSpec("snmp:x,password="+at, known())
		require.NoError(t, err)
		_, err = s.Secret("password")
		require.ErrorIs(t, err, ErrSpec)
		require.ErrorContains(t, err, at[5:])
	}
	s, err := ParseSpec("snmp:x", known())
	require.NoError(t, err)
	none, err := s.Secret("password")
	require.NoError(t, err)
	require.Empty(t, none)
}

func TestOptions(t *testing.T) {
	wall := results.Channel{Name: "input", Unit: results.Watt, Kind: results.Gauge, Boundary: results.Wall, Total: results.Wall,
		Accuracy: results.Accuracy{Gain: results.Absent(), Resolution: 1}}
	for options, want := range map[string]results.Channel{
		"":               {Boundary: results.Wall, Total: results.Wall, Accuracy: results.Accuracy{Gain: results.Absent(), Resolution: 1}},
		",boundary=node": {Boundary: results.Chassis, Total: results.Chassis, Accuracy: results.Accuracy{Gain: results.Absent(), Resolution: 1}},
		",boundary=card": {Boundary: results.Card, Accuracy: results.Accuracy{Gain: results.Absent(), Resolution: 1}},
		",part=yes":      {Boundary: results.Wall, Accuracy: results.Accuracy{Gain: results.Absent(), Resolution: 1}},
		",accuracy=0.5%+2W,resolution=0.1": {Boundary: results.Wall, Total: results.Wall,
			Accuracy: results.Accuracy{Gain: 0.005, Offset: 2, Resolution: 0.1, Source: "stated in the spec"}},
	} {
		s, err := ParseSpec("snmp:x"+options, known())
		require.NoError(t, err)
		got, err := s.Channel(wall)
		require.NoError(t, err, options)
		require.Equal(t, want.Boundary, got.Boundary, options)
		require.Equal(t, want.Total, got.Total, options)
		require.Equal(t, want.Accuracy.Gain.IsAbsent(), got.Accuracy.Gain.IsAbsent())
		require.Equal(t, want.Accuracy.Offset, got.Accuracy.Offset)
		require.Equal(t, want.Accuracy.Resolution, got.Accuracy.Resolution)
	}
	for _, options := range []string{
		"boundary=rack", "part=maybe", "accuracy=1", "accuracy=%", "accuracy=0%", "accuracy=-1%", "accuracy=nan%", "accuracy=1%+2", "accuracy=1%+0W", "resolution=0", "resolution=inf",
		"max=0", "max=-1", "period=0s", "period=2", "timeout=1h", "timeout=-1s",
	} {
		s, err := ParseSpec("snmp:x,"+options, known())
		require.NoError(t, err)
		_, err = s.Remote(Info{Channels: []results.Channel{wall}}, []Bound{{}}, nil, nil)
		require.ErrorIs(t, err, ErrSpec, options)
		key, _, _ := strings.Cut(options, "=")
		require.ErrorContains(t, err, key)
	}
}

func TestAddress(t *testing.T) {
	for target, want := range map[string]string{"pdu": "pdu:161", "10.0.0.1:1161": "10.0.0.1:1161", "::1": "[::1]:161", "[::1]:5": "[::1]:5", "[fe80::1]": "[fe80::1]:161"} {
		got, err := Spec{Target: target}.Address("161")
		require.NoError(t, err, target)
		require.Equal(t, want, got)
	}
	for _, target := range []string{"", ":161", "pdu:0", "pdu:99999", "pdu:x", "a/b", "u@h", "a:b:c"} {
		_, err := Spec{Target: target}.Address("161")
		require.ErrorIs(t, err, ErrSpec, target)
	}
}

func FuzzSpec(f *testing.F) {
	for _, s := range []string{"rapl", "snmp:pdu,outlet=3", "redfish:https://bmc,password=env:X", "a:b,password=x", "exec:a,b=c,name=d", "prometheus:http://u:p@h?q=a,b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSpec(text, known())
		if err != nil {
			require.ErrorIs(t, err, ErrSpec)
			return
		}
		_, _ = s.Address("1")
		_, err = s.Remote(Info{Channels: []results.Channel{{Kind: results.Gauge}}, Period: time.Second}, []Bound{{}}, nil, nil)
		if err != nil {
			require.ErrorIs(t, err, ErrSpec)
		}
	})
}
