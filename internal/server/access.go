package server

import (
	"context"
	"crypto/subtle"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/light-in-the-loop/opu/internal/oip"
)

// peer is whoever is at the other end of a connection. Each connection has its own, so
// that it also stands for the connection.
type peer struct {
	socket bool   // the Unix socket: the file's mode has let them in
	user   string // whose budget, and whose shared memory, they use
	uid    int    // of the user, -1 if it is not known

	requests oip.Reader
}

// newPeer asks the system who a connection belongs to.
func newPeer(c net.Conn) *peer {
	p := &peer{user: "token", uid: -1} // everyone on TCP has the same token
	if limited, ok := c.(*connection); ok {
		c = limited.Conn
	}
	if unix, ok := c.(*net.UnixConn); ok {
		p.socket, p.user, p.uid = true, "socket", -1
		if uid, ok := peerUID(unix); ok {
			p.user, p.uid = fmt.Sprintf("uid %d", uid), uid
		}
	}
	return p
}

// certified notes the name in a client's certificate, which TLS has verified.
func (p *peer) certified(state *tls.ConnectionState) {
	if state != nil && len(state.VerifiedChains) > 0 {
		p.user = fmt.Sprintf("certificate %.64q", state.PeerCertificates[0].Subject.CommonName)
	}
}

type peerKey struct{}

func withPeer(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, peerKey{}, newPeer(c))
}

// peerOf returns the peer of a request.
func peerOf(r *http.Request) *peer { return r.Context().Value(peerKey{}).(*peer) }

var errNoToken = errors.New("not authorised")

// authorise says whether the request may do what health does not.
func (s *Server) authorise(r *http.Request) error {
	p := peerOf(r)
	p.certified(r.TLS) // requests of a connection come one after the other
	if !p.socket && s.signedIn(r) {
		return nil
	}
	return s.admit(p, r.Header.Get("Authorization"))
}

// admit says whether a peer may do what health does not. Authorization is the HTTP
// header of this name: a bearer token, or a password of any user.
func (s *Server) admit(p *peer, authorization string) error {
	if p.socket {
		return nil
	}
	scheme, token, _ := strings.Cut(authorization, " ")
	token = strings.TrimSpace(token)
	switch {
	case strings.EqualFold(scheme, "Bearer"):
	case strings.EqualFold(scheme, "Basic"):
		pair, _ := base64.StdEncoding.DecodeString(token)
		_, token, _ = strings.Cut(string(pair), ":")
	default:
		token = ""
	}
	if s.isToken(token) {
		return nil
	}
	return fmt.Errorf("cannot let you in over TCP without the token: send it as \"Authorization: Bearer TOKEN\" or as the password of any user: %w", errNoToken)
}

// isToken says whether a text is the token.
func (s *Server) isToken(text string) bool {
	token := s.token()
	return token != "" && subtle.ConstantTimeCompare([]byte(text), []byte(token)) == 1
}

// token is that of TCP; empty: there is none.
func (s *Server) token() string { return s.settings.Load().Token }
