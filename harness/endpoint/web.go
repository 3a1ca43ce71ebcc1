package endpoint

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
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/perwatt/perwatt/results"
)

// Unencrypted is the note of an instrument whose credentials can be read in
// transit.
const Unencrypted = "its credentials travel unencrypted (http)"

// webMost is the maximum length of an answer in bytes.
const webMost = 1 << 20

// bundleMost is the maximum size of a certificate file in bytes; those of
// operating systems have 250 kB.
const bundleMost = 4 << 20

// WebOptions are the options of an instrument behind HTTP.
var WebOptions = []Option{
	{"tls", "insecure: accept any certificate; sha256:HEX: accept only this one; legacy: also accept old TLS (1.0, 1.1, RSA key exchange, 3DES), with any certificate unless ca= or legacy+sha256:HEX is given; the record notes it (verified)"},
	{"ca", "file of PEM certificates to verify against (the system's)"},
	{"token", "where a bearer token is: env:NAME or file:PATH"},
}

// Web queries one HTTP server for JSON. It verifies certificates, follows no
// redirect, reads 1 MiB at most, and shows its credentials to that server only.
type Web struct {
	Base  *url.URL
	Notes []string // for the record

	client                *http.Client
	timeout               time.Duration
	user, password, token string
	legacy                bool
}

// Refused is the error of an answer that is not 200 OK.
type Refused struct {
	Code int    // HTTP status
	Body []byte // as received: it may hold anything, including a secret
	text string
}

func (r *Refused) Error() string { return r.text }

// Web prepares a client for the server that the target names. wrap, if not nil,
// wraps the transport and logs in: sending user and password is its task.
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
	how := s.Get("tls", "verify")
	if how != "verify" && u.Scheme != "https" {
		return nil, BadOption("tls", how, "left out where the address is not https://")
	}
	rest, legacy := strings.CutPrefix(how, "legacy")
	if legacy {
		w.legacy = true
		old(conf)
		w.Notes = append(w.Notes, "its TLS may be old (tls=legacy: 1.0, 1.1, RSA key exchange, 3DES): what it says, and its credentials, may be read and changed on the way")
		switch rest = strings.TrimPrefix(rest, "+"); {
		case rest == "" && s.Has("ca"):
			rest = "verify"
		case rest == "":
			rest = "insecure"
		}
	}
	switch rest {
	case "verify":
	case "insecure":
		conf.InsecureSkipVerify = true // #nosec G402 -- tls=insecure, or tls=sha256 whose pin is checked below: asked for, and said in the notes
		w.Notes = append(w.Notes, "its TLS certificate was not verified (tls="+how+"): whoever stands between could have answered")
	default:
		text, is := strings.CutPrefix(rest, "sha256:")
		pin, err := hex.DecodeString(strings.ReplaceAll(text, "-", ""))
		if err != nil || !is || len(pin) != sha256.Size {
			return nil, BadOption("tls", how, "insecure, legacy, or sha256: and the 64 hexadecimal digits of the certificate's fingerprint, or legacy+sha256: and these")
		}
		// The pin replaces the chain and the name.
		conf.InsecureSkipVerify = true // #nosec G402 -- tls=insecure, or tls=sha256 whose pin is checked below: asked for, and said in the notes
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
		f, err := results.OpenFile(file)
		if err != nil {
			return nil, fmt.Errorf("%w: ca: %w", ErrSpec, err)
		}
		defer f.Close()
		pem, err := io.ReadAll(io.LimitReader(f, bundleMost+1))
		if err == nil && len(pem) > bundleMost {
			err = fmt.Errorf("%s is longer than %d MiB", file, bundleMost>>20)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: ca: %w", ErrSpec, err)
		}
		if conf.RootCAs = x509.NewCertPool(); !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, BadOption("ca", file, "a file of PEM certificates")
		}
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig, transport.Proxy = conf, nil // instruments are never behind a proxy
	if legacy {
		transport.DialTLSContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			return dialOld(ctx, network, address, conf)
		}
	}
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

// old accepts what Go implements of TLS but refuses by default: server controllers
// outlive several versions of it.
func old(conf *tls.Config) {
	conf.MinVersion, conf.Renegotiation = tls.VersionTLS10, tls.RenegotiateOnceAsClient // #nosec G402 -- tls=legacy: asked for, and said in the notes
	for _, c := range slices.Concat(tls.CipherSuites(), tls.InsecureCipherSuites()) {
		conf.CipherSuites = append(conf.CipherSuites, c.ID)
	}
}

// dialOld shakes hands as a current client and then as one of 2006: some servers
// abort at what they do not know, and some sign with SHA-1, which is left to
// TLS 1.1.
func dialOld(ctx context.Context, network, address string, conf *tls.Config) (net.Conn, error) {
	conf = conf.Clone()
	conn, err := (&tls.Dialer{Config: conf}).DialContext(ctx, network, address)
	if op, is := errors.AsType[*net.OpError](err); err == nil || is && op.Op == "dial" || ctx.Err() != nil {
		return conn, err
	}
	conf.MaxVersion = tls.VersionTLS11 // #nosec G402 -- tls=legacy: asked for, and said in the notes
	older, again := (&tls.Dialer{Config: conf}).DialContext(ctx, network, address)
	if again != nil {
		return nil, unshaken{err}
	}
	return older, nil
}

// unshaken is the error of a handshake of our own.
type unshaken struct{ error }

func (u unshaken) Unwrap() error { return u.error }

// handshake adds the remedy to the error of a TLS handshake.
func (w *Web) handshake(err error) error {
	if ce, is := errors.AsType[*tls.CertificateVerificationError](err); is {
		return fmt.Errorf("%w: give its certificate with ca=FILE, or pin it with tls=%ssha256:%x", ce, map[bool]string{true: "legacy+"}[w.legacy], sha256.Sum256(ce.UnverifiedCertificates[0].Raw))
	}
	if _, is := errors.AsType[tls.RecordHeaderError](err); is {
		return fmt.Errorf("%w: it speaks no TLS at that port: is its address http://?", err)
	}
	switch text := err.Error(); {
	case strings.Contains(text, "not the one of tls=sha256"):
		return err
	case strings.Contains(text, "negative serial"):
		return fmt.Errorf("%w: give it a certificate with a positive one, or run with GODEBUG=x509negativeserial=1", err)
	case strings.Contains(text, "keys are insecure"):
		return fmt.Errorf("%w: give it a certificate with a key of 2048 bits, or run with GODEBUG=rsa1024min=0", err)
	case w.legacy:
		return fmt.Errorf("%w: nor does tls=legacy take it, which knows TLS 1.0 to 1.3 and key exchange by RSA and elliptic curves: update its firmware, run with GODEBUG=tlssha1=1 if it signs by SHA-1 in TLS 1.2, or ask it through a proxy that speaks its TLS", err)
	}
	return fmt.Errorf("%w: if its TLS is older than what is taken (1.2 or later, elliptic curves, no 3DES), as that of old controllers is, update its firmware, or take it with tls=legacy, which the record then says", err)
}

// Get fetches a path and decodes the JSON, as accepted by [JSON], into v.
func (w *Web) Get(ctx context.Context, ref string, v any) error {
	raw, _, err := w.Fetch(ctx, ref)
	if err != nil {
		return err
	}
	if raw, err = JSON(raw); err == nil {
		err = json.Unmarshal(raw, v)
	}
	if err != nil {
		path, _, _ := strings.Cut(ref, "?") // a query may contain more than an error should show
		return fmt.Errorf("get %s: not the JSON that is expected: %w", path, err)
	}
	return nil
}

// Bytes returns the body of [Web.Fetch].
func (w *Web) Bytes(ctx context.Context, ref string) ([]byte, error) {
	raw, _, err := w.Fetch(ctx, ref)
	return raw, err
}

// Fetch requests a path, relative to the address, and returns the answer, within
// the timeout. The error names the request and the remedy; it is a [*Refused] if
// there was an answer that cannot be used.
func (w *Web) Fetch(ctx context.Context, ref string) (body []byte, header http.Header, err error) {
	u, err := w.Base.Parse(ref)
	if err != nil || u.Host != w.Base.Host || u.Scheme != w.Base.Scheme {
		return nil, nil, fmt.Errorf("%.80q leads away from %s: not followed", ref, w.Base.Host)
	}
	limited, cancel := context.WithTimeout(ctx, w.timeout)
	defer cancel()
	var failed atomic.Bool // the handshake may end after the request was abandoned
	traced := httptrace.WithClientTrace(limited, &httptrace.ClientTrace{TLSHandshakeDone: func(_ tls.ConnectionState, err error) { failed.Store(err != nil) }})
	req, err := http.NewRequestWithContext(traced, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, nil, err
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
		if _, ours := errors.AsType[unshaken](err); (ours || failed.Load()) && limited.Err() == nil {
			err = w.handshake(err)
		}
		return nil, nil, late(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, webMost+1))
	refuse := func(format string, args ...any) error {
		return &Refused{resp.StatusCode, raw, fmt.Sprintf("get %s: ", u.Path) + fmt.Sprintf(format, args...)}
	}
	switch {
	case err != nil:
		return nil, nil, late(err)
	case resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden:
		return nil, nil, refuse("%s: give user=NAME and password=env:NAME or file:PATH, or token=, that it lets in", resp.Status)
	case resp.StatusCode >= 300 && resp.StatusCode < 400:
		to := "nowhere"
		if l, err := resp.Location(); err == nil {
			to = fmt.Sprintf("%.120q", l.Scheme+"://"+l.Host+l.Path) // the rest may be a secret
		}
		return nil, nil, refuse("it redirects to %s, which is not followed: give that address if you trust it", to)
	case resp.StatusCode != http.StatusOK:
		return nil, nil, refuse("%s", resp.Status)
	case len(raw) > webMost:
		return nil, nil, fmt.Errorf("get %s: the answer is longer than %d bytes", u.Path, webMost)
	}
	return raw, resp.Header, nil
}

// Close closes the connections.
func (w *Web) Close() error {
	w.client.CloseIdleConnections()
	return nil
}

// notNumbers is how C programs write values that are no numbers, which JSON lacks.
var notNumbers = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|[+-]?(?i:nan(?:\([a-z0-9_]*\))?|inf(?:inity)?)`)

// JSON returns an answer that is JSON except for values of nan and inf, as a broken or
// missing sensor produces them. They become strings, so that they are not numbers
// and affect only themselves.
func JSON(raw []byte) (json.RawMessage, error) {
	if json.Valid(raw) {
		return raw, nil
	}
	mended := notNumbers.ReplaceAllFunc(raw, func(m []byte) []byte {
		if m[0] == '"' {
			return m
		}
		return strconv.AppendQuote(nil, string(m))
	})
	if json.Valid(mended) {
		return mended, nil
	}
	var v any
	return nil, json.Unmarshal(raw, &v)
}

// Pick follows names and indices into a JSON value: "PowerControl", 0, "Name".
// It returns an error if the path does not exist.
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

// Number returns the number at a path of a JSON value: see [Pick]. Null, a missing
// value, a string and a list are errors, each with its own text.
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
