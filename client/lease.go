package client

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Lease is the exclusive use of a daemon's OPU for a time: meanwhile the daemon projects
// only for requests with its ID (Options.Lease). It lasts no longer than the connection
// that it was taken on, so a program that ends, however it ends, blocks nobody.
type Lease struct {
	ID    string    `json:"id"`
	Who   string    `json:"who"`
	Until time.Time `json:"until"`

	daemon *Daemon
	ended  chan struct{}
	cancel func()
}

// TakeLease asks for the OPU, for a name that others are shown (empty: the daemon's name
// for this user). While somebody else has it this waits as long as Options.Patience says,
// and then is ErrBusy. The lease ends when End is called, or when its time, the connection
// or ctx ends.
func (d *Daemon) TakeLease(ctx context.Context, who string, length time.Duration) (*Lease, error) {
	q, err := json.Marshal(struct {
		Seconds float64 `json:"seconds"`
		Who     string  `json:"who"`
		Hold    bool    `json:"hold"`
	}{length.Seconds(), who, true})
	if err != nil {
		return nil, fmt.Errorf("cannot ask for a lease: %v: %w", err, ErrInput)
	}
	held, cancel := context.WithCancel(ctx)
	l := &Lease{daemon: d, ended: make(chan struct{})}
	var r *http.Response
	err = d.patiently(ctx, func() (err error) {
		r, err = d.send(held, http.MethodPost, "/opu/v1/leases", q, nil)
		return err
	})
	if err != nil {
		cancel()
		return nil, err
	}
	if err := json.NewDecoder(r.Body).Decode(l); err != nil || l.ID == "" {
		cancel()
		r.Body.Close()
		return nil, fmt.Errorf("cannot read the lease: %v: %w", err, ErrProtocol)
	}
	l.cancel = cancel
	go func() {
		io.Copy(io.Discard, r.Body) // nothing comes until the lease ends
		r.Body.Close()
		cancel()
		close(l.ended)
	}()
	return l, nil
}

// Ended is closed when the lease is over, whatever ended it.
func (l *Lease) Ended() <-chan struct{} { return l.ended }

// endTimeout bounds how long the daemon is waited for when a lease ends.
const endTimeout = 2 * time.Second

// End gives the OPU back, and returns when the next may have it. It may be called more
// than once.
func (l *Lease) End() {
	ctx, cancel := context.WithTimeout(context.Background(), endTimeout)
	defer cancel()
	l.daemon.EndLease(ctx, l.ID) // if that fails, the end of the connection ends it a little later
	l.cancel()
	<-l.ended
}

// EndLease ends a lease by its ID. Who runs the daemon may end any on its socket, as
// "current".
func (d *Daemon) EndLease(ctx context.Context, id string) error {
	return d.Call(ctx, http.MethodDelete, "/opu/v1/leases/"+id, nil, nil)
}
