package all

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/harness/endpoint"
	"github.com/perwatt/perwatt/harness/miner"
	"github.com/perwatt/perwatt/harness/miner/minertest"
	"github.com/perwatt/perwatt/results"
)

func cgminers(t *testing.T) string {
	return minertest.Lines(t, func(request string) minertest.Reply {
		switch request {
		case "version":
			return minertest.Reply{Body: `{"STATUS":[{"STATUS":"S"}],"VERSION":[{"CGMiner":"4.12.1"}]}`}
		case "summary":
			return minertest.Reply{Body: `{"STATUS":[{"STATUS":"S"}],"SUMMARY":[{"Elapsed":60,"MHS 5s":1}]}`}
		}
		return minertest.Reply{Status: 404}
	})
}

func TestOpen(t *testing.T) {
	a, b := cgminers(t), cgminers(t)
	bitaxe := minertest.HTTP(t, func(string) minertest.Reply { return minertest.Reply{Body: `{"hashRate":1}`} })
	devices, err := Open(t.Context(), []string{"cgminer:" + a + ",name=x,timeout=10s", "axeos:http://" + bitaxe + "/,timeout=10s", "cgminer:" + b + ",name=x,timeout=10s"})
	require.NoError(t, err)
	var names []string
	for _, d := range devices {
		_, err := d.Read(t.Context())
		require.NoError(t, err)
		names = append(names, d.Info().Name+" "+d.Info().API)
		require.NoError(t, d.Close())
	}
	require.Equal(t, []string{"x cgminer", bitaxe + " axeos", "x-2 cgminer"}, names)
	none, err := Open(t.Context(), nil)
	require.NoError(t, err)
	require.Empty(t, none)
}

// TestOpenFails: all that is wrong is said, each with its device, and nothing
// stays open.
func TestOpenFails(t *testing.T) {
	_, err := Open(t.Context(), []string{"cgminer:" + cgminers(t) + ",timeout=10s", "cgminer:127.0.0.1:1", "axeos:127.0.0.1:1"})
	require.ErrorContains(t, err, `device "cgminer:127.0.0.1:1": cgminer: 127.0.0.1:1: version: `)
	require.ErrorContains(t, err, `device "axeos:127.0.0.1:1": axeos: 127.0.0.1:1: get /api/system/info: `)
	require.False(t, errors.Is(err, endpoint.ErrSpec))
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = Open(ended, []string{"cgminer:" + cgminers(t)})
	require.ErrorIs(t, err, context.Canceled)
}

// TestRecord: what a device says goes into a record, is written, read and
// derived again as it was.
func TestRecord(t *testing.T) {
	start := time.Now()
	devices, err := Open(t.Context(), []string{"cgminer:" + cgminers(t) + ",name=left,timeout=10s"})
	require.NoError(t, err)
	d := devices[0]
	defer d.Close()
	claim := d.Info().Claim("mining")
	for range 2 {
		a, err := d.Read(t.Context())
		require.NoError(t, err)
		claim.Samples = append(claim.Samples, a.Sample(start, nil))
	}
	claim.Samples = append(claim.Samples, miner.Answer{}.Sample(start, errors.New("gone")))
	rec := &results.Record{Schema: results.SchemaVersion, State: results.Complete, Runs: []results.Run{{
		Scenario: "mining", Round: 1, Status: results.OK, Phases: []results.Phase{{Name: results.PhaseMeasure, From: 0, To: 3600}}, Claims: []results.Claim{claim},
	}}}
	rec.Summary = results.Derive(rec)
	raw, err := results.Seal(rec)
	require.NoError(t, err)
	f, err := results.Load(bytes.NewReader(raw), "x")
	require.NoError(t, err)
	require.Empty(t, f.Verify())
	require.Empty(t, f.Check(results.Derive(f.Record)))
	got := f.Record.Runs[0].Claims[0]
	require.Equal(t, minertest.Written(claim.Samples[1].Figures), minertest.Written(got.Samples[1].Figures))
	require.Equal(t, claim.Samples[0].Refused, got.Samples[0].Refused)
	row := f.Record.Summary.Claims[0]
	require.Equal(t, []any{"left", "MHS 5s: the mean of 2 answers", 2, 3}, []any{row.Device, row.RateFrom, row.Answers, row.Asked})
	require.Equal(t, results.Float(1), row.Rate.Against(1e6))
}

func TestSpecs(t *testing.T) {
	for text, want := range map[string]string{
		"antminer:10.0.0.1":          "no such API",
		"":                           "no such API",
		"cgminer":                    "needs a host",
		"cgminer:,timeout=1s":        "needs a host",
		"cgminer:a/b":                "no HOST",
		"cgminer:h:99999":            "no HOST",
		"cgminer:h,tls=insecure":     "no option",
		"cgminer:h,timeout=1h":       "timeout",
		"braiins:h,password=hunter2": "env:NAME",
		"braiins:h,token=env:X":      "no option",
		"braiins:h,user=a,password=env:PERWATT_NO": "PERWATT_NO is not set",
		"axeos:ftp://h":            "no http://",
		"axeos:http://u:hunter2@h": "holds a user",
		"axeos:h,tls=insecure":     "https",
	} {
		_, err := Open(t.Context(), []string{text})
		require.ErrorIs(t, err, endpoint.ErrSpec, text)
		require.ErrorContains(t, err, want, text)
		require.NotContains(t, err.Error(), "hunter2")
	}
	_, err := Open(t.Context(), []string{"cgminer:h", "cgminer:h"})
	require.ErrorContains(t, err, "given twice")
}

// TestHosts: where a device is asked if its spec names no port, and IPv6.
func TestHosts(t *testing.T) {
	for text, want := range map[string]string{
		"cgminer:10.0.0.1": "10.0.0.1:4028", "cgminer:::1": "[::1]:4028", "cgminer:[::1]:4048": "[::1]:4048", "whatsminer:m": "m:4433", "whatsminer:[fe80::1]": "[fe80::1]:4433",
	} {
		k, s, err := parse(text)
		require.NoError(t, err)
		w, err := miner.NewWire(s, map[string]string{"cgminer": "4028", "whatsminer": "4433"}[k.Name])
		require.NoError(t, err)
		require.Equal(t, want, w.Address, text)
	}
	for text, want := range map[string]string{
		"axeos:10.0.0.1": "http://10.0.0.1:80", "braiins:::1": "http://[::1]:80", "axeos:[::1]:8080": "http://[::1]:8080", "braiins:https://m/x": "https://m/x", "axeos:fe80::1%eth0": "http://[fe80::1%25eth0]:80",
	} {
		_, s, err := parse(text)
		require.NoError(t, err)
		w, err := miner.Web(s, nil)
		require.NoError(t, err)
		require.Equal(t, want, w.Base.String(), text)
	}
}

// TestNothingIsSet: the requests of all APIs, in one list that a change to any
// of them has to change too; none of their words sets, writes or restarts.
func TestNothingIsSet(t *testing.T) {
	var verbs []string
	for _, k := range Kinds() {
		for _, v := range k.Verbs {
			verbs = append(verbs, k.Name+" "+v)
		}
	}
	require.Equal(t, []string{
		"cgminer version", "cgminer summary", "cgminer devs", "cgminer stats", "cgminer estats", "cgminer power", "cgminer config", "cgminer devdetails", "cgminer get_version",
		"whatsminer get.device.info", "whatsminer get.miner.status summary",
		"braiins POST /api/v1/auth/login", "braiins GET /api/v1/miner/details", "braiins GET /api/v1/miner/stats", "braiins GET /api/v1/cooling/state", "braiins GET /api/v1/performance/tuner-state",
		"axeos GET /api/system/info",
	}, verbs)
	require.NotRegexp(t, regexp.MustCompile(`(?i)\b(set|put|patch|delete|write|restart|reboot|quit|switch|add|remove|enable|disable|save|zero|privileged|update|upgrade|on|off)`), strings.Join(verbs, "\n"))
}

// TestOneDoor: what an API sends goes through the one place that looks at its
// verbs. None of them opens a connection of its own but for the login.
func TestOneDoor(t *testing.T) {
	require.NoError(t, miner.Verbs{"a"}.Allow("a"))
	require.ErrorContains(t, miner.Verbs{"a"}.Allow("ascset"), `"ascset" is not sent`)
	_, err := miner.Verbs{"GET /a"}.Get(t.Context(), nil, "/b")
	require.ErrorContains(t, err, `"GET /b" is not sent`)
	for _, k := range Kinds() {
		files, err := filepath.Glob(filepath.Join("..", k.Name, "*.go"))
		require.NoError(t, err)
		require.NotEmpty(t, files)
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			src, err := os.ReadFile(name)
			require.NoError(t, err)
			require.NotRegexp(t, `"(net|net/rpc|os/exec|syscall)"|\.(Dial|Bytes)\(`, string(src), name)
			if k.Name != "braiins" {
				require.NotContains(t, string(src), `"net/http"`, name)
			}
		}
	}
}
