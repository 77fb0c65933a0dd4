package server

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Browsers cannot send the token with a picture or a stream of events. Whoever signs in
// with it gets a cookie that is derived from it: it does not tell the token, outlives a
// restart of the server, and ends with its time or with the token.

// sessionTime is how long somebody stays signed in.
const sessionTime = 7 * 24 * time.Hour

// seal derives a text from the token.
func (s *Server) seal(text string) string {
	m := hmac.New(sha256.New, []byte(s.token()))
	m.Write([]byte(text))
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}

// cookieName differs between servers with different tokens: all ports of a host share
// their cookies.
func (s *Server) cookieName() string { return "opu_" + s.seal("name of the cookie")[:8] }

// session is the cookie's value until a time.
func (s *Server) session(until time.Time) string {
	end := strconv.FormatInt(until.Unix(), 10)
	return end + "." + s.seal("session until "+end)
}

// signedIn says whether the request has the cookie of a session.
func (s *Server) signedIn(r *http.Request) bool {
	c, err := r.Cookie(s.cookieName())
	if err != nil || s.token() == "" {
		return false
	}
	end, _, _ := strings.Cut(c.Value, ".")
	seconds, err := strconv.ParseInt(end, 10, 64)
	if err != nil || time.Now().Unix() >= seconds {
		return false
	}
	return subtle.ConstantTimeCompare([]byte(c.Value), []byte(s.session(time.Unix(seconds, 0)))) == 1
}

// setSession sets the cookie, or with an empty value removes it.
func (s *Server) setSession(w http.ResponseWriter, r *http.Request, value string) {
	c := &http.Cookie{
		Name: s.cookieName(), Value: value, Path: "/", MaxAge: int(sessionTime.Seconds()),
		HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: r.TLS != nil,
	}
	if value == "" {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}

// mostForm is the most bytes of a form.
const mostForm = 4 << 10

// signIn is POST /page/sign-in, the form with the token.
func (s *Server) signIn(w http.ResponseWriter, r *http.Request) error {
	r.Body = http.MaxBytesReader(w, r.Body, mostForm)
	if given := strings.TrimSpace(r.PostFormValue("token")); !s.isToken(given) {
		s.refused.count(http.StatusUnauthorized)
		return s.signInPage(w, "That is not the token of this server.")
	}
	s.setSession(w, r, s.session(time.Now().Add(sessionTime)))
	http.Redirect(w, r, "/", http.StatusSeeOther)
	return nil
}

// signOut is POST /page/sign-out.
func (s *Server) signOut(w http.ResponseWriter, r *http.Request) error {
	s.setSession(w, r, "")
	http.Redirect(w, r, "/", http.StatusSeeOther)
	return nil
}

var errForeign = errors.New("another site's request")

// checkOrigin refuses what a browser sends on behalf of other sites: they could act
// with the rights of whoever looks at them. Other programs send no such headers.
func (s *Server) checkOrigin(r *http.Request) error {
	if err := http.NewCrossOriginProtection().Check(r); err != nil {
		return fmt.Errorf("cannot do that for a page of another site (%v): %w", err, errForeign)
	}
	// Nobody signs in on a socket. A browser reaches one through a tunnel that ends on
	// its own machine; a name that somebody else chose, and made to mean that machine,
	// is refused.
	browser := r.Header.Get("Sec-Fetch-Site") != "" || r.Header.Get("Origin") != ""
	if browser && peerOf(r).socket && !ownName(r.Host) {
		return fmt.Errorf("cannot show the socket under the name %.100q: use localhost: %w", r.Host, errForeign)
	}
	return nil
}

// ownName says whether a host is a name that always means the browser's own machine.
func ownName(host string) bool {
	u := url.URL{Host: host}
	name := u.Hostname()
	ip := net.ParseIP(name)
	return name == "localhost" || strings.HasSuffix(name, ".localhost") || ip != nil && ip.IsLoopback()
}
