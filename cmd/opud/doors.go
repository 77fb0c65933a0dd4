package main

import (
	"crypto/rand"
	"crypto/tls"
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

	"github.com/light-in-the-loop/opu/internal/runtimedir"
	"github.com/light-in-the-loop/opu/internal/server"
)

// doors are the listeners.
type doors struct {
	listeners []net.Listener
	names     []string
	token     string
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
	if c.Listen.Socket == "" || c.Listen.HTTP != none && c.Listen.TokenFile == "" && getenv("OPUD_TOKEN") == "" {
		if err := ownFolder(runtimedir.Folder(getenv)); err != nil {
			return d, err
		}
	}
	if c.Listen.Socket != none {
		l, err := c.openSocket(c.socket(getenv))
		if err != nil {
			return d, err
		}
		d.add(l, "unix "+c.socket(getenv))
	}
	if c.Listen.HTTP == none {
		return d, nil
	}
	if d.token = getenv("OPUD_TOKEN"); d.token == "" {
		file := c.Listen.TokenFile
		if file == "" {
			file = filepath.Join(runtimedir.Folder(getenv), "token")
		}
		if d.token, err = readToken(file); err != nil {
			return d, err
		}
		log.Info("TCP asks for the token", "file", file)
	}
	var certificate *tls.Config
	if c.Listen.TLSCertificate != "" {
		pair, err := tls.LoadX509KeyPair(c.Listen.TLSCertificate, c.Listen.TLSKey)
		if err != nil {
			return d, fmt.Errorf("cannot use the certificate: %w: %w", err, errUsage)
		}
		certificate = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	}
	l, err := server.ListenTCP(c.Listen.HTTP, certificate, d.token != "")
	if err != nil {
		return d, err
	}
	d.add(l, "tcp "+l.Addr().String())
	return d, nil
}

func (d *doors) add(l net.Listener, name string) {
	d.listeners, d.names = append(d.listeners, l), append(d.names, name)
}

func (c *config) openSocket(path string) (net.Listener, error) {
	mode, err := strconv.ParseUint(c.Listen.SocketMode, 8, 9)
	if err != nil {
		return nil, err // check has seen that it is one
	}
	l, err := server.ListenSocket(path, fs.FileMode(mode))
	if err != nil || c.Listen.SocketGroup == "" {
		return l, err
	}
	group, err := user.LookupGroup(c.Listen.SocketGroup)
	if err == nil {
		var id int
		if id, err = strconv.Atoi(group.Gid); err == nil {
			err = os.Chown(path, -1, id)
		}
	}
	if err != nil {
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
