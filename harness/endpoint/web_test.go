package endpoint

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func web(t *testing.T, target, options string) (*Web, error) {
	t.Helper()
	s, err := ParseSpec("redfish:"+target+options, known())
	require.NoError(t, err)
	return s.Web(nil)
}

func TestWeb(t *testing.T) {
	stranger := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the stranger was asked") }))
	defer stranger.Close()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/moved":
			http.Redirect(w, r, stranger.URL+"/x?token=hunter2", http.StatusFound)
		case "/long":
			fmt.Fprint(w, `"`, strings.Repeat("x", webMost), `"`)
		case "/html":
			fmt.Fprint(w, "<html>")
		case "/twice":
			fmt.Fprint(w, "1 2")
		case "/slow":
			<-r.Context().Done()
		case "/login":
			if user, password, _ := r.BasicAuth(); user != "ops" || password != "hunter2" {
				w.WriteHeader(http.StatusUnauthorized)
			}
			fmt.Fprint(w, "1")
		case "/bearer":
			if r.Header.Get("Authorization") != "Bearer hunter2" {
				w.WriteHeader(http.StatusForbidden)
			}
			fmt.Fprint(w, "1")
		default:
			http.NotFound(w, r)
		}
	}))
	defer server.Close()
	t.Setenv("PERWATT_TEST_SECRET", "hunter2")
	w, err := web(t, server.URL, "")
	require.NoError(t, err)
	defer w.Close()
	var v int
	for ref, want := range map[string]string{
		"/moved": "redirects to", "/long": "longer than", "/html": "not the JSON", "/twice": "not the JSON", "/login": "password=env:NAME",
		"/bearer": "403", "/none": "404", stranger.URL + "/x": "leads away", "//evil/x": "leads away",
	} {
		err := w.Get(t.Context(), ref, &v)
		require.ErrorContains(t, err, want, ref)
		require.NotContains(t, err.Error(), "hunter2")
	}
	w, err = web(t, server.URL, ",user=ops,password=env:PERWATT_TEST_SECRET")
	require.NoError(t, err)
	require.NoError(t, w.Get(t.Context(), "/login", &v))
	require.Contains(t, strings.Join(w.Notes, " "), "unencrypted")
	w, err = web(t, server.URL, ",token=env:PERWATT_TEST_SECRET")
	require.NoError(t, err)
	require.NoError(t, w.Get(t.Context(), "/bearer", &v))
}

// TestWebIsNotWaitedFor: each request has the timeout for itself, and who
// opens says no less.
func TestWebIsNotWaitedFor(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer server.Close()
	w, err := web(t, server.URL, ",timeout=20ms")
	require.NoError(t, err)
	require.ErrorContains(t, w.Get(t.Context(), "/", nil), "no answer within 20ms")
}

// TestWhoWrapsLogsIn: a password that is not for everybody to read is not sent
// by Web besides.
func TestWhoWrapsLogsIn(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		require.Empty(t, r.Header.Get("Authorization"))
		fmt.Fprint(w, "1")
	}))
	defer server.Close()
	t.Setenv("PERWATT_TEST_SECRET", "hunter2")
	s, err := ParseSpec("plug:"+server.URL+",user=ops,password=env:PERWATT_TEST_SECRET", known())
	require.NoError(t, err)
	w, err := s.Web(func(next http.RoundTripper) http.RoundTripper { return next })
	require.NoError(t, err)
	var v int
	require.NoError(t, w.Get(t.Context(), "/", &v))
	require.Empty(t, w.Notes)
}

// TestNullIsNotZero: nothing but a number is one.
func TestNullIsNotZero(t *testing.T) {
	doc := []byte(`{"a": [{"w": 0.5}, null], "n": null, "s": "231", "l": [1], "o": {"w": 1}, "t": true, "big": 1e999, "z": 0}`)
	for _, c := range []struct {
		path []any
		want string
	}{
		{[]any{"a", 0, "w"}, ""}, {[]any{"z"}, ""},
		{[]any{"n"}, `n: "null" is not a number`}, {[]any{"n", "w"}, "there is no n.w"}, {[]any{"none"}, "there is no none"},
		{[]any{"a", 1}, "a.1:"}, {[]any{"a", 2, "w"}, "there is no a.2"}, {[]any{"a", "w"}, "there is no a.w"},
		{[]any{"s"}, "not a number"}, {[]any{"l"}, "not a number"}, {[]any{"o"}, "not a number"}, {[]any{"t"}, "not a number"}, {[]any{"big"}, "out of range"},
	} {
		_, err := Number(doc, c.path...)
		if c.want != "" {
			require.ErrorContains(t, err, c.want)
			continue
		}
		require.NoError(t, err)
	}
	v, err := Number(doc, "a", 0, "w")
	require.NoError(t, err)
	require.Equal(t, 0.5, v)
}

// TestUnverified: a certificate is verified unless the spec says otherwise,
// and then the record says so.
func TestUnverified(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "1") }))
	defer server.Close()
	pin := fmt.Sprintf("sha256:%x", sha256.Sum256(server.Certificate().Raw))
	ca := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600))
	for options, want := range map[string]struct{ err, note string }{
		"":                                       {pin, ""}, // the error gives what to pin
		",tls=insecure":                          {"", "was not verified (tls=insecure)"},
		",tls=" + pin:                            {"", "pinned"},
		",tls=sha256:" + strings.Repeat("0", 64): {"is not the one of tls=sha256", "pinned"},
		",ca=" + ca:                              {"", ""},
	} {
		w, err := web(t, server.URL, options)
		require.NoError(t, err, options)
		var v int
		err = w.Get(t.Context(), "/", &v)
		if want.err == "" {
			require.NoError(t, err, options)
		} else {
			require.ErrorContains(t, err, want.err, options)
		}
		require.Contains(t, strings.Join(w.Notes, " "), want.note)
		require.Equal(t, want.note == "", len(w.Notes) == 0, options)
		require.NoError(t, w.Close())
	}
	for _, bad := range []string{"redfish:bmc", "redfish:ftp://bmc", "redfish:https://", "redfish:http://bmc,tls=insecure", "redfish:https://bmc,tls=sha256:00", "redfish:https://bmc,tls=no", "redfish:https://bmc,ca=/none"} {
		s, err := ParseSpec(bad, known())
		require.NoError(t, err)
		_, err = s.Web(nil)
		require.ErrorIs(t, err, ErrSpec, bad)
	}
}

// controller serves as an old BMC does, whose certificate has a key of 1024
// bits, SHA-1 and a negative serial number.
func controller(t *testing.T, conf *tls.Config) *httptest.Server {
	t.Helper()
	pair, err := tls.LoadX509KeyPair("testdata/controller.pem", "testdata/controller.pem")
	require.NoError(t, err)
	conf.Certificates = []tls.Certificate{pair}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "1") }))
	server.TLS, server.Config.ErrorLog = conf, log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

// TestOldTLS: what Go does not take by default is refused with the cure, and
// taken with tls=legacy, which stands in the record.
func TestOldTLS(t *testing.T) {
	for name, conf := range map[string]*tls.Config{
		"TLS 1.0":          {MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10},
		"TLS 1.1":          {MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11},
		"RSA key exchange": {MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_256_GCM_SHA384}},
		"3DES":             {MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA}},
		"certificate":      {MaxVersion: tls.VersionTLS12},
	} {
		t.Run(name, func(t *testing.T) {
			server := controller(t, conf)
			pin := fmt.Sprintf("sha256:%x", sha256.Sum256(server.TLS.Certificates[0].Certificate[0]))
			for options, want := range map[string]string{
				"": "tls=legacy", ",tls=insecure": "tls=legacy", ",tls=" + pin: "tls=legacy",
				",tls=legacy": "", ",tls=legacy+insecure": "", ",tls=legacy+" + pin: "",
				",tls=legacy+sha256:" + strings.Repeat("0", 64): "is not the one of tls=sha256",
			} {
				switch { // an old certificate is as any that nobody vouches for
				case name == "certificate" && options == "":
					want = "pin it with tls=" + pin
				case name == "certificate" && !strings.Contains(options, "0000"):
					want = ""
				}
				w, err := web(t, server.URL, options)
				require.NoError(t, err, options)
				var v int
				if err = w.Get(t.Context(), "/", &v); want != "" {
					require.ErrorContains(t, err, want, options)
				} else {
					require.NoError(t, err, options)
				}
				require.NoError(t, w.Close())
				if strings.Contains(options, "legacy") {
					require.Contains(t, strings.Join(w.Notes, " "), "may be read and changed on the way")
				}
			}
		})
	}
	for _, bad := range []string{"legacy+", "legacy+none", "legacysha256:00", "legacy+sha256:00", "old"} {
		s, err := ParseSpec("redfish:https://bmc,tls="+bad, known())
		require.NoError(t, err)
		_, err = s.Web(nil)
		if bad == "legacy+" {
			require.NoError(t, err)
			continue
		}
		require.ErrorIs(t, err, ErrSpec, bad)
	}
}

// TestNoHandshake: what is no TLS that anybody knows is said to be so.
func TestNoHandshake(t *testing.T) {
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	w, err := web(t, strings.Replace(plain.URL, "http:", "https:", 1), ",tls=legacy")
	require.NoError(t, err)
	require.ErrorContains(t, w.Get(t.Context(), "/", nil), "is its address http://?")
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, gone.Close())
	for _, options := range []string{"", ",tls=legacy"} {
		w, err = web(t, "https://"+gone.Addr().String(), options)
		require.NoError(t, err)
		err = w.Get(t.Context(), "/", nil)
		require.ErrorContains(t, err, "refused")
		require.NotContains(t, err.Error(), "legacy")
	}
}

// TestJSON: a value that is no number spoils itself alone.
func TestJSON(t *testing.T) {
	for text, want := range map[string]string{
		`{"T":nan,"P":145}`:                `{"T":"nan","P":145}`,
		`[NaN, -nan(ind), inf, -Infinity]`: `["NaN", "-nan(ind)", "inf", "-Infinity"]`,
		`{"name":"nan, \"inf\"","x":+inf}`: `{"name":"nan, \"inf\"","x":"+inf"}`,
		`{"nan":1}`:                        `{"nan":1}`,
		`{nan:1}`:                          `{"nan":1}`,
		`1 2`:                              "", `<html>nan`: "", ``: "", `banana`: "",
	} {
		got, err := JSON([]byte(text))
		if want == "" {
			require.Error(t, err, text)
			continue
		}
		require.NoError(t, err, text)
		require.Equal(t, want, string(got))
	}
	raw, err := JSON([]byte(`{"T":nan,"P":145}`))
	require.NoError(t, err)
	_, err = Number(raw, "T")
	require.ErrorContains(t, err, "nan")
	v, err := Number(raw, "P")
	require.NoError(t, err)
	require.Equal(t, 145.0, v)
}

func FuzzJSON(f *testing.F) {
	for _, s := range []string{`{"T":nan,"P":145}`, `["\"nan",-inf]`, `"\`, `nan(`, `{"a":NaN`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, err := JSON(raw)
		if (err == nil) != json.Valid(got) || json.Valid(raw) && !bytes.Equal(raw, got) {
			t.Fatalf("%q: %q, %v", raw, got, err)
		}
	})
}
