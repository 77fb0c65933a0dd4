package main

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/light-in-the-loop/opu/internal/runtimedir"
	"github.com/light-in-the-loop/opu/internal/server"
)

// doors are the listeners.
type doors struct {
	listeners []net.Listener
	names     []string
	token     string

	certificate certificate
}

// close closes what is open still: Serve closes what it was given.
func (d *doors) close() {
	for _, l := range d.listeners {
		l.Close()
	}
}

// socket is the path of the Unix socket.
func (c *config) socket(getenv func(string) string) string {
	if c.Listen.Socket == "" {
		return filepath.Join(runtimedir.Folder(getenv), runtimedir.Socket)
	}
	return c.Listen.Socket
}

// open opens the doors that the configuration names.
func (c *config) open(getenv func(string) string, log *slog.Logger) (d *doors, err error) {
	d = new(doors)
	defer func() {
		if err != nil {
			d.close()
		}
	}()
	tcp := c.Listen.HTTP != none || c.Listen.GRPC != none
	if c.Listen.Socket == "" || tcp && c.Listen.TokenFile == "" && getenv("OPUD_TOKEN") == "" {
		if err := ownFolder(runtimedir.Folder(getenv)); err != nil {
			return d, err
		}
	}
	asIs := func(l net.Listener) net.Listener { return l }
	for _, socket := range []struct {
		path, name string
		wrap       func(net.Listener) net.Listener
	}{{c.socket(getenv), "unix ", asIs}, {c.Listen.GRPCSocket, "grpc unix ", server.ForGRPC}} {
		if socket.path == none {
			continue
		}
		l, err := c.openSocket(socket.path)
		if err != nil {
			return d, err
		}
		d.add(socket.wrap(l), socket.name+socket.path)
	}
	if !tcp {
		return d, nil
	}
	if d.token, err = c.token(getenv); err != nil {
		return d, err
	}
	if getenv("OPUD_TOKEN") == "" {
		log.Info("TCP asks for the token", "file", c.tokenFile(getenv))
	}
	if err := d.certificate.load(c); err != nil {
		return d, err
	}
	certificate := d.certificate.config()
	for _, door := range []struct {
		address, name, protocol string
		wrap                    func(net.Listener) net.Listener
	}{{c.Listen.HTTP, "tcp ", "http/1.1", asIs}, {c.Listen.GRPC, "grpc tcp ", "h2", server.ForGRPC}} {
		if door.address == none {
			continue
		}
		config := certificate.Clone()
		if config != nil {
			config.NextProtos = []string{door.protocol}
		}
		l, err := server.ListenTCP(door.address, config, d.token != "")
		if err != nil {
			return d, err
		}
		d.add(door.wrap(l), door.name+l.Addr().String())
	}
	return d, nil
}

// tokenFile is where the token is.
func (c *config) tokenFile(getenv func(string) string) string {
	if c.Listen.TokenFile == "" {
		return filepath.Join(runtimedir.Folder(getenv), "token")
	}
	return c.Listen.TokenFile
}

// token is what TCP asks for; empty without TCP.
func (c *config) token(getenv func(string) string) (string, error) {
	if c.Listen.HTTP == none && c.Listen.GRPC == none {
		return "", nil
	}
	token := getenv("OPUD_TOKEN")
	if token == "" {
		return readToken(c.tokenFile(getenv))
	}
	if len(token) < leastToken {
		return "", fmt.Errorf("cannot use the token in OPUD_TOKEN: it has %d characters, %d are the least: %w", len(token), leastToken, errUsage)
	}
	return token, nil
}

// certificate is what TLS uses for connections to come; it can be loaded anew.
type certificate struct{ now atomic.Pointer[tls.Config] } // nil: no TLS

func (t *certificate) load(c *config) error {
	next, err := c.certificate()
	if next != nil { // without one, listeners that have TLS keep theirs
		t.now.Store(next)
	}
	return err
}

// config is one whose connections use what was loaded last; nil without TLS.
func (t *certificate) config() *tls.Config {
	if t.now.Load() == nil {
		return nil
	}
	c := t.now.Load().Clone()
	c.Certificates = nil
	c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		return &t.now.Load().Certificates[0], nil
	}
	return c
}

// certificate is what TLS needs; nil without one.
func (c *config) certificate() (*tls.Config, error) {
	if c.Listen.TLSCertificate == "" {
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(c.Listen.TLSCertificate, c.Listen.TLSKey)
	if err != nil {
		return nil, fmt.Errorf("cannot use the certificate %s with the key %s: %w: %w", c.Listen.TLSCertificate, c.Listen.TLSKey, err, errUsage)
	}
	t := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	if c.Listen.TLSClientCA == "" {
		return t, nil
	}
	text, err := os.ReadFile(c.Listen.TLSClientCA)
	if err != nil {
		return nil, fmt.Errorf("cannot use listen.tls_client_ca: %w: %w", err, errUsage)
	}
	t.ClientAuth, t.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
	if !t.ClientCAs.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("cannot use listen.tls_client_ca: there is no certificate in %s: %w", c.Listen.TLSClientCA, errUsage)
	}
	return t, nil
}

// memory is who may use shared memory.
func (c *config) memory() (server.SharedMemory, error) {
	m := server.SharedMemory{Enabled: c.SharedMemory.Enabled, TCP: c.SharedMemory.TCP, Prefix: c.SharedMemory.Prefix}
	if c.Listen.SocketGroup == "" {
		return m, nil
	}
	var err error
	m.Group, err = groupID(c.Listen.SocketGroup)
	return m, err
}

// groupID is the number of a group.
func groupID(name string) (int, error) {
	group, err := user.LookupGroup(name)
	if err != nil {
		return 0, fmt.Errorf("cannot use listen.socket_group: %w: %w", err, errUsage)
	}
	id, err := strconv.Atoi(group.Gid)
	if err != nil {
		return 0, fmt.Errorf("cannot use listen.socket_group %s: its id is %q: %w", name, group.Gid, errUsage)
	}
	return id, nil
}

func (d *doors) add(l net.Listener, name string) {
	d.listeners, d.names = append(d.listeners, l), append(d.names, name)
}

func (c *config) openSocket(path string) (net.Listener, error) {
	mode, err := strconv.ParseUint(c.Listen.SocketMode, 8, 9)
	if err != nil {
		return nil, err // check has seen that it is one
	}
	group := -1
	if c.Listen.SocketGroup != "" {
		if group, err = groupID(c.Listen.SocketGroup); err != nil {
			return nil, err
		}
	}
	l, err := server.ListenSocket(path, fs.FileMode(mode))
	if err != nil || group < 0 {
		return l, err
	}
	if err := os.Chown(path, -1, group); err != nil {
		l.Close()
		return nil, fmt.Errorf("cannot give %s to the group %s: %w", path, c.Listen.SocketGroup, err)
	}
	return l, nil
}

// ownFolder makes a folder that nobody else can write to, or sees that it is one.
func ownFolder(path string) error {
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("cannot make the folder of the socket: %w", err)
	}
	info, err := os.Lstat(path)
	if err != nil {
		return fmt.Errorf("cannot use the folder of the socket: %w", err)
	}
	if !info.IsDir() || info.Mode().Perm()&0o022 != 0 || !ownedByUs(info) {
		return fmt.Errorf("cannot use %s for the socket: it must be a folder of this user that no one else can write to; name another place with -socket: %w", path, errUsage)
	}
	return nil
}

// leastToken is how long a token must be.
const leastToken = 16

// readToken reads the token from a file, or makes one and writes it there.
func readToken(path string) (string, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		token := rand.Text()
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return "", fmt.Errorf("cannot write the token: %w", err)
		}
		_, err = fmt.Fprintln(f, token)
		if err := errors.Join(err, f.Close()); err != nil {
			return "", fmt.Errorf("cannot write the token: %w", err)
		}
		return token, nil
	}
	if err != nil {
		return "", fmt.Errorf("cannot read the token: %w", err)
	}
	token := strings.TrimSpace(string(text))
	if len(token) < leastToken {
		return "", fmt.Errorf("cannot use the token in %s: it has %d characters, %d are the least; remove the file to get a new one: %w", path, len(token), leastToken, errUsage)
	}
	return token, nil
}
