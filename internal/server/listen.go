package server

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"sync"
	"time"
)

// ErrAddress is wrapped by the errors about addresses that must not be served.
var ErrAddress = errors.New("bad address")

// ListenSocket listens on a Unix socket of the given mode, to which those who may
// write to it may connect. One that a server left behind is replaced; one that a
// server answers on is not.
func ListenSocket(path string, mode fs.FileMode) (net.Listener, error) {
	if info, err := os.Lstat(path); err == nil {
		if info.Mode().Type() != fs.ModeSocket {
			return nil, fmt.Errorf("cannot listen on %s: there is a file that is no socket: %w", path, ErrAddress)
		}
		if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
			c.Close()
			return nil, fmt.Errorf("cannot listen on %s: another server answers there; stop it or choose another path: %w", path, ErrAddress)
		}
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("cannot listen on %s: %w", path, err)
		}
	}
	var l net.Listener
	var err error
	privately(func() { l, err = net.Listen("unix", path) }) // or others could connect before the mode is set
	if err != nil {
		return nil, fmt.Errorf("cannot listen: %w", err)
	}
	if err := os.Chmod(path, mode); err != nil {
		l.Close()
		return nil, fmt.Errorf("cannot listen on %s: %w", path, err)
	}
	return limit(l, mostConnections), nil
}

// ListenTCP listens on an address, host:port. One that other machines can reach needs
// TLS and a token, since both would otherwise travel for all to read.
func ListenTCP(address string, c *tls.Config, token bool) (net.Listener, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %q: it is not host:port: %w", address, ErrAddress)
	}
	ip := net.ParseIP(host)
	if loopback := host == "localhost" || ip != nil && ip.IsLoopback(); !loopback && (c == nil || !token) {
		return nil, fmt.Errorf("cannot listen on %s: other machines can reach it, so TLS (a certificate and its key) and a token are needed: %w", address, ErrAddress)
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("cannot listen: %w", err)
	}
	l = limit(l, mostConnections)
	if c != nil {
		l = tls.NewListener(l, c)
	}
	return l, nil
}

// mostConnections of a listener are open at a time; more wait until one closes.
const mostConnections = 256

func limit(l net.Listener, connections int) net.Listener {
	return &limited{Listener: l, places: make(chan struct{}, connections), closed: make(chan struct{})}
}

type limited struct {
	net.Listener
	places chan struct{}
	once   sync.Once
	closed chan struct{}
}

func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.places <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.places
		return nil, err
	}
	if b, ok := c.(interface{ SetWriteBuffer(bytes int) error }); ok {
		b.SetWriteBuffer(writeBuffer) // best effort: the system has a limit of its own
	}
	return &connection{Conn: c, l: l}, nil
}

// writeBuffer is what the system keeps of a response on its way: one row of 1e5
// outputs, so that server and client need not take turns for each piece of it.
const writeBuffer = 1 << 20

func (l *limited) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// connection gives its place back when it is closed.
type connection struct {
	net.Conn
	l    *limited
	once sync.Once
}

func (c *connection) Close() error {
	c.once.Do(func() { <-c.l.places })
	return c.Conn.Close()
}
