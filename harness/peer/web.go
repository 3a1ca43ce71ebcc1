package peer

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// Unencrypted is the note of an instrument whose credentials anybody on the
// way can read.
const Unencrypted = "its credentials travel unencrypted (http)"

// webMost is the longest answer that is taken in, in bytes.
const webMost = 1 << 20

// WebOptions are those of an instrument that is asked over HTTP.
var WebOptions = []Option{
	{"tls", "insecure: take any certificate, which the record then says; sha256:HEX: take this one only (verified)"},
	{"ca", "file of PEM certificates to verify against (the system's)"},
	{"token", "where a bearer token is: env:NAME or file:PATH"},
}

// Web asks one HTTP server for JSON. It verifies certificates, follows no
// redirect, takes in 1 MiB at most, and shows its credentials to that server
// alone.
type Web struct {
	Base  *url.URL
	Notes []string // what a record must say of it

	client                *http.Client
	timeout               time.Duration
	user, password, token string
}

// Refused is the error of an answer that is not 200 OK.
type Refused struct {
	Code int    // HTTP status
	Body []byte // as it came: it may hold anything, a secret too
	text string
}

func (r *Refused) Error() string { return r.text }

// Web prepares to ask the server that the spec's target names. Wrap, if not
// nil, adds to how requests travel, and logs in: user and password are its own
// to send or not.
func (s Spec) Web(wrap func(http.RoundTripper) http.RoundTripper) (*Web, error) {
	u, err := url.Parse(s.Target)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Fragment != "" {
		return nil, fmt.Errorf("%w: %.80q is no http:// or https:// address", ErrSpec, Redact(s.Target))
	}
	w := &Web{Base: u, user: s.Get("user", "")}
	if w.password, err = s.Secret("password"); err != nil {
		return nil, err
	}
	if w.token, err = s.Secret("token"); err != nil {
		return nil, err
	}
	if w.timeout, err = s.Timeout(); err != nil {
		return nil, err
	}
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	switch how := s.Get("tls", "verify"); {
	case how != "verify" && u.Scheme != "https":
		return nil, BadOption("tls", how, "left out where the address is not https://")
	case how == "verify":
	case how == "insecure":
		conf.InsecureSkipVerify = true
		w.Notes = append(w.Notes, "its TLS certificate was not verified (tls=insecure): whoever stands between could have answered")
	default:
		text, is := strings.CutPrefix(how, "sha256:")
		pin, err := hex.DecodeString(strings.ReplaceAll(text, "-", ""))
		if err != nil || !is || len(pin) != sha256.Size {
			return nil, BadOption("tls", how, "insecure, or sha256: and the 64 hexadecimal digits of the certificate's fingerprint")
		}
		// The pin takes the place of the chain and the name.
		conf.InsecureSkipVerify = true
		conf.VerifyConnection = func(c tls.ConnectionState) error {
			seen := sha256.Sum256(c.PeerCertificates[0].Raw)
			if subtle.ConstantTimeCompare(seen[:], pin) != 1 {
				return fmt.Errorf("its certificate is not the one of tls=sha256: it has %x", seen)
			}
			return nil
		}
		w.Notes = append(w.Notes, "its TLS certificate is the pinned one (tls=sha256)")
	}
	if file := s.Get("ca", ""); file != "" {
		pem, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("%w: ca: %w", ErrSpec, err)
		}
		if conf.RootCAs = x509.NewCertPool(); !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, BadOption("ca", file, "a file of PEM certificates")
		}
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig, transport.Proxy = conf, nil // an instrument is asked itself
	var travel http.RoundTripper = transport
	if wrap != nil {
		travel, w.user, w.password = wrap(travel), "", ""
	}
	if u.Scheme == "http" && (w.password != "" || w.token != "") {
		w.Notes = append(w.Notes, Unencrypted)
	}
	w.client = &http.Client{Transport: travel, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return w, nil
}

// Get is [Web.Bytes] of which the JSON is decoded into v.
func (w *Web) Get(ctx context.Context, ref string, v any) error {
	raw, err := w.Bytes(ctx, ref)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, v); err != nil {
		path, _, _ := strings.Cut(ref, "?") // a query may say more than an error should
		return fmt.Errorf("get %s: not the JSON that is expected: %w", path, err)
	}
	return nil
}

// Bytes asks for a path, relative to the address, and returns what comes,
// within the timeout. The error says what was asked and what to do; it is a
// [*Refused] if there was an answer, and none to be used.
func (w *Web) Bytes(ctx context.Context, ref string) ([]byte, error) {
	u, err := w.Base.Parse(ref)
	if err != nil || u.Host != w.Base.Host || u.Scheme != w.Base.Scheme {
		return nil, fmt.Errorf("%.80q leads away from %s: not followed", ref, w.Base.Host)
	}
	limited, cancel := context.WithTimeout(ctx, w.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(limited, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	switch {
	case w.token != "":
		req.Header.Set("Authorization", "Bearer "+w.token)
	case w.user != "" || w.password != "":
		req.SetBasicAuth(w.user, w.password)
	}
	late := func(err error) error {
		if limited.Err() != nil && ctx.Err() == nil {
			err = fmt.Errorf("no answer within %v: %w", w.timeout, err)
		}
		return fmt.Errorf("get %s: %w", u.Path, err)
	}
	resp, err := w.client.Do(req)
	if err != nil {
		if ue, ok := errors.AsType[*url.Error](err); ok {
			err = ue.Err
		}
		if ce, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
			err = fmt.Errorf("%w: give its certificate with ca=FILE, or pin it with tls=sha256:%x", ce, sha256.Sum256(ce.UnverifiedCertificates[0].Raw))
		}
		return nil, late(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, webMost+1))
	refuse := func(format string, args ...any) error {
		return &Refused{resp.StatusCode, raw, fmt.Sprintf("get %s: ", u.Path) + fmt.Sprintf(format, args...)}
	}
	switch {
	case err != nil:
		return nil, late(err)
	case resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden:
		return nil, refuse("%s: give user=NAME and password=env:NAME or file:PATH, or token=, that it lets in", resp.Status)
	case resp.StatusCode >= 300 && resp.StatusCode < 400:
		to := "nowhere"
		if l, err := resp.Location(); err == nil {
			to = fmt.Sprintf("%.120q", l.Scheme+"://"+l.Host+l.Path) // whatever else it holds may be a secret
		}
		return nil, refuse("it redirects to %s, which is not followed: give that address if you trust it", to)
	case resp.StatusCode != http.StatusOK:
		return nil, refuse("%s", resp.Status)
	case len(raw) > webMost:
		return nil, fmt.Errorf("get %s: the answer is longer than %d bytes", u.Path, webMost)
	}
	return raw, nil
}

// Close gives the connections back.
func (w *Web) Close() error {
	w.client.CloseIdleConnections()
	return nil
}

// Pick follows names and indices into a JSON value: "PowerControl", 0, "Name".
// It is an error if that leads nowhere.
func Pick(raw json.RawMessage, path ...any) (json.RawMessage, error) {
	for i, step := range path {
		there := false
		switch step := step.(type) {
		case string:
			var object map[string]json.RawMessage
			_ = json.Unmarshal(raw, &object)
			raw, there = object[step]
		case int:
			var list []json.RawMessage
			_ = json.Unmarshal(raw, &list)
			if there = step < len(list); there {
				raw = list[step]
			}
		}
		if !there {
			return nil, fmt.Errorf("there is no %s", dotted(path[:i+1]))
		}
	}
	return raw, nil
}

// Number returns the number at a path of a JSON value: see [Pick]. Null,
// nothing, text and a list are errors, each by its name.
func Number(raw json.RawMessage, path ...any) (float64, error) {
	raw, err := Pick(raw, path...)
	if err != nil {
		return 0, err
	}
	v, err := Decimal(string(raw))
	if err != nil {
		return 0, fmt.Errorf("%s: %w", dotted(path), err)
	}
	return v, nil
}

func dotted(path []any) string {
	return strings.ReplaceAll(strings.Trim(fmt.Sprint(path), "[]"), " ", ".")
}
