package server

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
)

// peer is whoever is at the other end of a connection.
type peer struct {
	socket bool   // the Unix socket: the file's mode has let them in
	user   string // whose budget they use
}

type peerKey struct{}

// withPeer notes who a connection belongs to.
func withPeer(ctx context.Context, c net.Conn) context.Context {
	p := &peer{user: "token"} // everyone on TCP has the same token
	if limited, ok := c.(*connection); ok {
		c = limited.Conn
	}
	if unix, ok := c.(*net.UnixConn); ok {
		p.socket, p.user = true, peerUser(unix)
	}
	return context.WithValue(ctx, peerKey{}, p)
}

// peerOf returns the peer of a request. Each connection has its own, so that it also
// stands for the connection.
func peerOf(r *http.Request) *peer { return r.Context().Value(peerKey{}).(*peer) }

var errNoToken = errors.New("not authorised")

// authorise says whether the request may do what health does not.
func (s *Server) authorise(r *http.Request) error {
	if peerOf(r).socket {
		return nil
	}
	_, password, ok := r.BasicAuth()
	if !ok {
		scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		if strings.EqualFold(scheme, "Bearer") {
			password = strings.TrimSpace(token)
		}
	}
	if s.isToken(password) || s.signedIn(r) {
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
func (s *Server) token() string { return s.o.Token }

var errBusy = errors.New("too much is under way")

// budget is the memory that requests under way may take.
type budget struct {
	most int64

	mu    sync.Mutex
	used  int64
	users map[string]int64
}

// held is what is reserved now.
func (b *budget) held() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}

// take reserves memory for a user, who may have half of it, until release is called.
func (b *budget) take(user string, bytes int64) (release func(), err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if bytes > b.most/2 {
		return nil, fmt.Errorf("cannot take a request of %d bytes, results included: %d are the most; send fewer rows at a time: %w", bytes, b.most/2, errTooLarge)
	}
	if b.used+bytes > b.most || b.users[user]+bytes > b.most/2 {
		return nil, fmt.Errorf("cannot take a request of %d bytes now: requests under way hold %d of %d, yours %d; try again later: %w",
			bytes, b.used, b.most, b.users[user], errBusy)
	}
	if b.users == nil {
		b.users = map[string]int64{}
	}
	b.used += bytes
	b.users[user] += bytes
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.used -= bytes
		if b.users[user] -= bytes; b.users[user] == 0 {
			delete(b.users, user)
		}
	}, nil
}
