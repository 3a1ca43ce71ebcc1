package endpoint

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// known are the options of an instrument that has them all.
func known() []Option {
	return slices.Concat([]Option{{Key: "name"}, {Key: "boundary"}, {Key: "accuracy"}, {Key: "period"}, {Key: "timeout"}}, Login, WebOptions)
}

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

func TestAddress(t *testing.T) {
	for target, want := range map[string]string{"pdu": "pdu:161", "10.0.0.1:1161": "10.0.0.1:1161", "::1": "[::1]:161", "[::1]:5": "[::1]:5", "[fe80::1]": "[fe80::1]:161", "fe80::1%eth0": "[fe80::1%eth0]:161", "[fe80::1%25]:7": "[fe80::1%25]:7", "a.b-c_d.": "a.b-c_d.:161"} {
		got, err := Spec{Target: target}.Address("161")
		require.NoError(t, err, target)
		require.Equal(t, want, got)
	}
	for _, target := range []string{"", ":161", "pdu:0", "pdu:99999", "pdu:x", "a/b", "u@h", "a:b:c", "a]b", "[a]b", "a[", "-a", "a b", "a\x00b", "h%61", "é", "a-"} {
		_, err := Spec{Target: target}.Address("161")
		require.ErrorIs(t, err, ErrSpec, target)
	}
}

func TestValues(t *testing.T) {
	for _, options := range []string{"timeout=1h", "timeout=-1s", "timeout=2", "period=0s", "accuracy=x", "accuracy=0x10", "accuracy=inf", "accuracy=11"} {
		s, err := ParseSpec("snmp:x,"+options, known())
		require.NoError(t, err)
		_, timeout := s.Timeout()
		_, period := s.Duration("period", time.Second, time.Millisecond, time.Minute)
		_, accuracy := s.Number("accuracy", 1, 0, 10)
		err = errors.Join(timeout, period, accuracy)
		require.ErrorIs(t, err, ErrSpec, options)
		key, _, _ := strings.Cut(options, "=")
		require.ErrorContains(t, err, key+"=")
	}
}

func FuzzSpec(f *testing.F) {
	for _, s := range []string{"rapl", "snmp:pdu,timeout=3s", "redfish:https://bmc,password=env:X", "a:b,password=x", "exec:a,b=c,name=d", "prometheus:http://u:p@h?q=a,b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSpec(text, known())
		if err != nil {
			require.ErrorIs(t, err, ErrSpec)
			return
		}
		if address, err := s.Address("1"); err == nil {
			_, _, err = net.SplitHostPort(address)
			require.NoError(t, err)
		}
		for key := range s.values {
			_, number := s.Number(key, 0, 0, 1)
			_, wait := s.Duration(key, 0, 0, time.Hour)
			for _, err := range []error{number, wait} {
				if err != nil {
					require.ErrorIs(t, err, ErrSpec)
				}
			}
		}
	})
}
