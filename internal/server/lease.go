package server

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/light-in-the-loop/opu/internal/oip"
)

// lease is the exclusive use of the device for a time. Requests without its id are
// refused meanwhile; those that were let in before are finished.
type lease struct {
	id    string // whoever has it may use the device, and end the lease
	who   string
	until time.Time
	ended chan struct{} // closed when it is over
	timer *time.Timer
}

// leaseInfo is what everyone may know of a lease.
type leaseInfo struct {
	Who   string    `json:"who"`
	Until time.Time `json:"until"`
}

// leases holds the one that there may be.
type leases struct {
	mu  sync.Mutex
	now *lease // nil: none
}

const (
	mostLease  = 24 * time.Hour
	usualLease = time.Minute
)

var errLeased = fmt.Errorf("leased: %w", errBusy)

func (l *leases) info() *leaseInfo {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.now == nil {
		return nil
	}
	return &leaseInfo{l.now.who, l.now.until}
}

// admit says whether the holder of a lease id (empty: none) may use the device.
func (l *leases) admit(id string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.now == nil && id != "":
		return fmt.Errorf("cannot use the lease: it has ended; ask for another: %w", errUnknown)
	case l.now == nil || l.now.id == id:
		return nil
	}
	return l.refuse()
}

// refuse is the error while there is another lease; mu is held.
func (l *leases) refuse() error {
	return fmt.Errorf("cannot use the OPU: it is leased to %s until %s: %w", l.now.who, l.now.until.Format(time.RFC3339), errLeased)
}

// take makes a lease.
func (l *leases) take(who string, d time.Duration) (*lease, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.now != nil {
		return nil, l.refuse()
	}
	n := &lease{id: rand.Text(), who: who, until: time.Now().Add(d), ended: make(chan struct{})}
	n.timer = time.AfterFunc(d, func() { l.end(n) })
	l.now = n
	return n, nil
}

// end ends a lease, if it is still there.
func (l *leases) end(of *lease) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.now == of {
		of.timer.Stop()
		close(of.ended)
		l.now = nil
	}
}

// find returns the lease with the id, or whatever there is if any is meant.
func (l *leases) find(id string, any bool) (*lease, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.now == nil || l.now.id != id && !any {
		return nil, fmt.Errorf("cannot find the lease: it has ended, or there was none: %w", errUnknown)
	}
	return l.now, nil
}

// takeLease is POST /opu/v1/leases. With hold, the lease lasts no longer than the
// response: its body is the lease, and then nothing until it ends.
func (s *Server) takeLease(w http.ResponseWriter, r *http.Request) error {
	var q struct {
		Seconds float64 `json:"seconds"`
		Who     string  `json:"who"`
		Hold    bool    `json:"hold"`
	}
	d := json.NewDecoder(io.LimitReader(r.Body, 1<<12))
	d.DisallowUnknownFields()
	if err := d.Decode(&q); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("cannot read what lease is wanted: %v; it is {\"seconds\":60,\"who\":\"name\",\"hold\":false}: %w", err, oip.ErrRequest)
	}
	if q.Seconds == 0 {
		q.Seconds = usualLease.Seconds()
	}
	if !(q.Seconds > 0 && q.Seconds <= mostLease.Seconds()) || len(q.Who) > 100 {
		return fmt.Errorf("cannot lease the OPU for %g seconds to a name of %d characters: %g seconds and 100 characters are the most: %w",
			q.Seconds, len(q.Who), mostLease.Seconds(), oip.ErrRequest)
	}
	if q.Who == "" {
		q.Who = peerOf(r).user
	}
	l, err := s.leases.take(q.Who, time.Duration(q.Seconds*float64(time.Second)))
	if err != nil {
		return err
	}
	s.o.Log.Info("leased", "who", l.who, "until", l.until)
	if err := writeJSON(w, struct {
		ID string `json:"id"`
		leaseInfo
	}{l.id, leaseInfo{l.who, l.until}}); err != nil || !q.Hold {
		return err
	}
	defer s.leases.end(l)
	if http.NewResponseController(w).Flush() != nil {
		return nil
	}
	select {
	case <-l.ended:
	case <-r.Context().Done():
	case <-s.ending.Done():
	}
	return nil
}

// endLease is DELETE /opu/v1/leases/ID. Who runs the server may end any, by the id
// "current".
func (s *Server) endLease(w http.ResponseWriter, r *http.Request) error {
	p, id := peerOf(r), r.PathValue("id")
	admin := p.socket && (p.user == "uid 0" || p.user == fmt.Sprintf("uid %d", os.Getuid()))
	l, err := s.leases.find(id, id == "current" && admin)
	if err != nil {
		return err
	}
	s.leases.end(l)
	return writeJSON(w, leaseInfo{l.who, time.Now()})
}
