package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
)

// plug is a Tasmota plug behind a login that draws 350 W, for as long as it is
// on the network.
func plug(t *testing.T, secret string, gone *atomic.Bool) *httptest.Server {
	t.Helper()
	began := time.Now()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		switch {
		case gone.Load():
			panic(http.ErrAbortHandler)
		case user != "ops" || password != secret:
			w.WriteHeader(http.StatusUnauthorized)
		case r.URL.Path != "/cm":
			http.NotFound(w, r)
		default:
			s := time.Since(began).Seconds()
			fmt.Fprintf(w, `{"StatusSNS":{"Time":%q,"ENERGY":{"Total":%.3f,"Power":%.0f}}}`, time.Now().Format("2006-01-02T15:04:05"), 12+s*350/3.6e6, 350+10*(s-float64(int(s))))
		}
	}))
	t.Cleanup(server.Close)
	return server
}

// TestWallMeterBesideAnother is a session on a wall meter over TLS with a login,
// beside the model: the wall is quoted, its clock and round trips are recorded,
// and its password is nowhere.
func TestWallMeterBesideAnother(t *testing.T) {
	const secret = "correct-horse-battery"
	t.Setenv("PERWATT_TEST_PLUG", secret)
	dir := t.TempDir()
	server := plug(t, secret, new(atomic.Bool))
	spec := "plug:" + server.URL + ",user=ops,password=env:PERWATT_TEST_PLUG,tls=insecure,period=100ms"
	code, stdout, stderr := perwatt(t, t.Context(), "run", "--preset", "smoke", "--uses", "mining", "--window", "1s", "--warmup", "500ms",
		"--store", dir, "--format", "json", "--meter", "model", "--meter", spec)
	require.Equal(t, exitOK, code, stderr)
	rec := record(t, stdout)
	power := rec.Summary.Rows[1].Metrics[results.Power]
	require.Equal(t, results.Wall, power.Boundary)
	require.Equal(t, results.Measured, power.Origin)
	require.InDelta(t, 355, float64(power.Value), 6)
	require.NotNil(t, power.Budget)
	require.Len(t, rec.Summary.Meters, 4, "two scenarios at two meters")
	c := rec.Summary.Coverage[1]
	require.Equal(t, "plug", c.Meter)
	require.Greater(t, float64(c.RoundTrip), 0.0)
	require.EqualValues(t, 1, c.Share)
	require.Contains(t, strings.Join(rec.Meters[1].Notes, "\n"), "was not verified (tls=insecure)")
	require.Equal(t, []string{"model", spec}, rec.Plan.Meters)

	for name, text := range map[string]string{"stdout": stdout, "stderr": stderr, "the record": files(t, dir)} {
		require.NotContains(t, text, secret, name)
	}
	code, stdout, stderr = perwatt(t, t.Context(), "meters", spec)
	require.Equal(t, exitOK, code, stderr)
	require.NotContains(t, stdout+stderr, secret)
	for _, wrong := range []string{"tls=insecure,user=wrong,password=env:PERWATT_TEST_PLUG", "user=ops,password=env:PERWATT_TEST_PLUG", "tls=insecure,user=ops,password=" + secret} {
		code, stdout, stderr = perwatt(t, t.Context(), "meters", "plug:"+server.URL+","+wrong)
		require.NotEqual(t, exitOK, code)
		require.NotContains(t, stdout+stderr, secret, "the error of %s", wrong)
	}
}

// TestWallMeterVanishes in the middle of a session: the runs go on, keep their
// throughput and have no watts.
func TestWallMeterVanishes(t *testing.T) {
	gone := new(atomic.Bool)
	t.Setenv("PERWATT_TEST_PLUG", "x")
	server := plug(t, "x", gone)
	time.AfterFunc(2500*time.Millisecond, func() { gone.Store(true) })
	code, stdout, stderr := perwatt(t, t.Context(), "run", "--preset", "smoke", "--uses", "mining,compute", "--window", "1s", "--warmup", "500ms",
		"--store", t.TempDir(), "--format", "json", "--meter", "plug:"+server.URL+",user=ops,password=env:PERWATT_TEST_PLUG,tls=insecure,period=100ms,timeout=200ms")
	require.Equal(t, exitOK, code, stderr)
	rec := record(t, stdout)
	last := rec.Summary.Rows[len(rec.Summary.Rows)-1].Metrics
	require.Greater(t, float64(last[results.Throughput].Value), 0.0)
	require.True(t, last[results.Power].Value.IsAbsent())
	require.Contains(t, fmt.Sprint(rec.Summary.Flags), "energy-gap")
}

// files is all that lies under dir.
func files(t *testing.T, dir string) string {
	t.Helper()
	var all strings.Builder
	require.NoError(t, filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			raw, err := os.ReadFile(name)
			require.NoError(t, err)
			all.Write(raw)
		}
		return err
	}))
	return all.String()
}
