package plug

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
)

// login authenticates requests by Digest (RFC 7616) with SHA-256, which does not send
// the password. It never falls back to plain text because a server asks for that. It is
// used by one goroutine, as a meter is.
type login struct {
	next           http.RoundTripper
	user, password string
	basic          bool // whether the password may be sent in plain text

	last  challenge
	count int // of requests that answered it
}

// challenge is a server's Digest challenge.
type challenge struct {
	realm, nonce string
	opaque       string // to be sent back as it came; may be empty
}

// RoundTrip implements [http.RoundTripper]. Once a challenge is known, requests carry
// the answer to it in advance, so that a reading takes one round trip.
func (l *login) RoundTrip(req *http.Request) (*http.Response, error) {
	if l.basic && l.password != "" {
		req = req.Clone(req.Context())
		req.SetBasicAuth(l.user, l.password)
		return l.next.RoundTrip(req)
	}
	resp, err := l.next.RoundTrip(l.answered(req))
	if err != nil || resp.StatusCode != http.StatusUnauthorized || l.password == "" {
		return resp, err
	}
	c, ok := parseChallenge(resp.Header.Values("WWW-Authenticate"))
	if !ok {
		return resp, nil
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<16))
	_ = resp.Body.Close()
	if c != l.last {
		l.last, l.count = c, 0
	}
	return l.next.RoundTrip(l.answered(req))
}

// answered returns a request with the answer to the last challenge, if there
// was one.
func (l *login) answered(req *http.Request) *http.Request {
	if l.last.nonce == "" {
		return req
	}
	l.count++
	req = req.Clone(req.Context())
	req.Header.Set("Authorization", l.last.answer(l.user, l.password, req.Method, req.URL.RequestURI(), rand.Text(), l.count))
	return req
}

// answer returns the Authorization header of a request without a body (RFC 7616, 3.4).
func (c challenge) answer(user, password, method, uri, cnonce string, count int) string {
	h := func(parts ...string) string {
		sum := sha256.Sum256([]byte(strings.Join(parts, ":")))
		return hex.EncodeToString(sum[:])
	}
	nc := fmt.Sprintf("%08x", count)
	response := h(h(user, c.realm, password), c.nonce, nc, cnonce, "auth", h(method, uri))
	quote := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace
	text := fmt.Sprintf(`Digest username="%s", realm="%s", nonce="%s", uri="%s", algorithm=SHA-256, qop=auth, nc=%s, cnonce="%s", response="%s"`,
		quote(user), quote(c.realm), quote(c.nonce), quote(uri), nc, cnonce, response)
	if c.opaque != "" {
		text += `, opaque="` + quote(c.opaque) + `"`
	}
	return text
}

var (
	scheme    = regexp.MustCompile(`(?i)^\s*digest\s+`)
	parameter = regexp.MustCompile(`(?i)^([a-z0-9_-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))\s*(?:,\s*|$)`)
	escaped   = regexp.MustCompile(`\\(.)`)
)

// parseChallenge returns the first supported challenge among the values of
// WWW-Authenticate, each of which holds one: Digest with SHA-256 and qop auth. MD5 is
// not supported.
func parseChallenge(values []string) (challenge, bool) {
	for _, v := range values {
		rest := v[len(scheme.FindString(v)):]
		if rest == v {
			continue
		}
		said := map[string]string{}
		for rest != "" {
			p := parameter.FindStringSubmatch(rest)
			if p == nil {
				break
			}
			said[strings.ToLower(p[1])] = escaped.ReplaceAllString(p[2], "$1") + p[3]
			rest = rest[len(p[0]):]
		}
		var auth bool
		for q := range strings.SplitSeq(said["qop"], ",") {
			auth = auth || strings.EqualFold(strings.TrimSpace(q), "auth")
		}
		if rest == "" && auth && strings.EqualFold(said["algorithm"], "SHA-256") && said["nonce"] != "" {
			return challenge{said["realm"], said["nonce"], said["opaque"]}, true
		}
	}
	return challenge{}, false
}
