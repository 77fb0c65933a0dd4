package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"time"
)

// Daemon is a way to a daemon: requests that are not projections. Its methods may be
// called from any goroutine.
type Daemon struct {
	o     Options
	base  string // URL without a slash at the end
	http  http.Client
	close func()
}

// Connect says which daemon is meant, by an address as Dial takes it. It does not ask
// the daemon anything yet. Of the options, those about models mean nothing here.
func Connect(address string, o Options) (*Daemon, error) {
	if o.Patience == 0 {
		o.Patience = 30 * time.Second
	}
	if address == "" {
		address = DefaultSocket()
	}
	d := &Daemon{o: o}
	transport := &http.Transport{
		MaxIdleConnsPerHost: 16, IdleConnTimeout: time.Minute,
		ReadBufferSize: 64 << 10, WriteBufferSize: 64 << 10,
		DisableCompression: true,
	}
	switch path, isSocket := strings.CutPrefix(address, "unix://"); {
	case isSocket || filepath.IsAbs(address):
		d.base = "http://opud"
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		}
	case strings.HasPrefix(address, "http://"), strings.HasPrefix(address, "https://"):
		d.base = strings.TrimSuffix(address, "/")
	default:
		return nil, fmt.Errorf("cannot use the address %q: it must be the path of a socket, unix:///path, http://host:port or https://host:port: %w", address, ErrInput)
	}
	d.http.Transport, d.close = transport, transport.CloseIdleConnections
	if o.Transport != nil {
		d.http.Transport, d.close = o.Transport, func() {}
	}
	return d, nil
}

// Close closes connections that are not in use.
func (d *Daemon) Close() error {
	d.close()
	return nil
}

// Lease is the id of the lease that the options name.
func (d *Daemon) Lease() string { return d.o.Lease }

// Call sends a request with in as its JSON body (nil: none) and fills out, a pointer
// (nil: the answer does not matter), from the JSON of the answer. A GET is tried for as
// long as Options.Patience, anything else once: it may have been done.
func (d *Daemon) Call(ctx context.Context, method, path string, in, out any) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return fmt.Errorf("cannot ask for %s: %v: %w", path, err, ErrInput)
		}
	}
	try := func() error {
		r, err := d.send(ctx, method, path, body, nil)
		if err != nil {
			return err
		}
		defer r.Body.Close()
		if out == nil {
			return nil
		}
		if err := json.NewDecoder(r.Body).Decode(out); err != nil {
			return fmt.Errorf("cannot read %s: %v: %w", path, err, ErrProtocol)
		}
		return nil
	}
	if method == http.MethodGet {
		return d.patiently(ctx, try)
	}
	return try()
}

// Fetch asks for a file. The caller reads and closes it.
func (d *Daemon) Fetch(ctx context.Context, path string) (io.ReadCloser, error) {
	var body io.ReadCloser
	err := d.patiently(ctx, func() error {
		r, err := d.send(ctx, http.MethodGet, path, nil, nil)
		if err == nil {
			body = r.Body
		}
		return err
	})
	return body, err
}

// Post sends a request once, with in as its JSON body (nil: none), and returns the body
// of the answer as it comes. The caller reads and closes it.
func (d *Daemon) Post(ctx context.Context, path string, in any) (io.ReadCloser, error) {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return nil, fmt.Errorf("cannot ask for %s: %v: %w", path, err, ErrInput)
		}
	}
	r, err := d.send(ctx, http.MethodPost, path, body, nil)
	if err != nil {
		return nil, err
	}
	return r.Body, nil
}

// mostEvent bounds the data of one event.
const mostEvent = 1 << 20

// Events calls f with each server-sent event of a path, its data being JSON, until f
// or the connection fails or ctx ends. It returns why, or nil if the server ended the
// events. It does not come back to a server that was lost.
func (d *Daemon) Events(ctx context.Context, path string, f func(name string, data []byte) error) error {
	body, err := d.Fetch(ctx, path)
	if err != nil {
		return err
	}
	defer body.Close()
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, mostEvent)
	name := ""
	for lines.Scan() {
		if n, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
			name = n
		} else if data, ok := bytes.CutPrefix(lines.Bytes(), []byte("data: ")); ok {
			if err := f(name, data); err != nil {
				return err
			}
		}
	}
	if err := lines.Err(); err != nil {
		return broken(ctx, err)
	}
	return nil
}

// send sends a request and returns the response if it is a good one.
func (d *Daemon) send(ctx context.Context, method, path string, body []byte, header http.Header) (*http.Response, error) {
	q, err := http.NewRequestWithContext(ctx, method, d.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("cannot ask for %s: %v: %w", path, err, ErrInput)
	}
	if header != nil {
		q.Header = header
	}
	if d.o.Token != "" {
		q.Header.Set("Authorization", "Bearer "+d.o.Token)
	}
	r, err := d.http.Do(q)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, &unavailable{fmt.Errorf("cannot reach the OPU: %w", err)}
	}
	if r.StatusCode/100 == 2 {
		return r, nil
	}
	defer r.Body.Close()
	return nil, refused(r)
}
