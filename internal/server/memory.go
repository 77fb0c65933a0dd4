package server

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"sync"

	"github.com/light-in-the-loop/opu/internal/oip"
	"github.com/light-in-the-loop/opu/internal/shm"
)

// SharedMemory says who may have tensors read from and written to shared memory of
// their own (section 8). The zero value: nobody.
type SharedMemory struct {
	Enabled bool
	TCP     bool   // over TCP as well, where nobody knows which user asks
	Prefix  string // of the keys that may be used; opu- if empty
	Group   int    // whose memory everyone may use who may use the device; 0: no group's
}

// mostRegions bounds what a user has registered: each is an open file.
const mostRegions = 64

var (
	errExists    = fmt.Errorf("it exists already: %w", oip.ErrRequest)
	errForbidden = errors.New("not allowed")
)

// region is shared memory that a client has registered.
type region struct {
	Name   string `json:"name"`
	Key    string `json:"key"`
	Offset int64  `json:"offset"`
	Size   int64  `json:"byte_size"`

	*shm.Object `json:"-"`
}

// regions are those of all users, each of whom sees only their own: tools begin by
// unregistering all.
type regions struct {
	o SharedMemory

	mu sync.Mutex
	of map[string]map[string]*region // by user and name
}

// allowed says whether a peer may use shared memory.
func (r *regions) allowed(p *peer) error {
	switch {
	case !r.o.Enabled:
		return fmt.Errorf("cannot use shared memory: this server does not announce the extension; send binary data: %w", errNotHere)
	case !p.socket && !r.o.TCP:
		return fmt.Errorf("cannot use shared memory over TCP: this server allows it on its Unix socket only; send binary data: %w", errForbidden)
	}
	return nil
}

// register opens memory for a user.
func (r *regions) register(p *peer, name, key string, offset, size int64) error {
	if err := r.allowed(p); err != nil {
		return err
	}
	if name == "" || len(name) > 255 {
		return fmt.Errorf("cannot register a region with a name of %d bytes: it must have 1 to 255: %w", len(name), oip.ErrRequest)
	}
	if size < 1 {
		return fmt.Errorf("cannot register region %.64q of %d bytes: it must have some: %w", name, size, oip.ErrRequest)
	}
	rule := shm.Rule{Prefix: cmp.Or(r.o.Prefix, "opu-"), UID: p.uid, GID: -1}
	if uid := os.Getuid(); !p.socket && uid > 0 {
		rule.UID = uid // whoever has the token may act for the user of this process, if that is not root
	}
	if r.o.Group > 0 {
		rule.GID = r.o.Group
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	mine := r.of[p.user]
	if mine[name] != nil {
		return fmt.Errorf("cannot register region %.64q: there is one of this name; unregister it first: %w", name, errExists)
	}
	if len(mine) >= mostRegions {
		return fmt.Errorf("cannot register region %.64q: you have %d, the most; unregister some: %w", name, len(mine), errBusy)
	}
	o, err := shm.Open(key, offset, size, rule)
	if err != nil {
		return err
	}
	if mine == nil {
		mine = map[string]*region{}
		if r.of == nil {
			r.of = map[string]map[string]*region{}
		}
		r.of[p.user] = mine
	}
	mine[name] = &region{name, key, offset, size, o}
	return nil
}

// unregister closes one of a user's regions, or all if there is no name. A request
// that uses it fails.
func (r *regions) unregister(p *peer, name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	mine := r.of[p.user]
	for n, region := range mine {
		if name == "" || n == name {
			region.Close()
			delete(mine, n)
		}
	}
	if len(mine) == 0 {
		delete(r.of, p.user)
	}
}

// list returns a user's regions, or the one of the name.
func (r *regions) list(p *peer, name string) ([]*region, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := []*region{}
	for n, region := range r.of[p.user] {
		if name == "" || n == name {
			list = append(list, region)
		}
	}
	if name != "" && len(list) == 0 {
		return nil, r.unknown(name)
	}
	slices.SortFunc(list, func(a, b *region) int { return cmp.Compare(a.Name, b.Name) })
	return list, nil
}

func (r *regions) unknown(name string) error {
	return fmt.Errorf("cannot find region %.64q of shared memory: register it first, over the same kind of connection: %w", name, errUnknown)
}

// close closes all of them.
func (r *regions) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, mine := range r.of {
		for _, region := range mine {
			region.Close()
		}
	}
	clear(r.of)
}

// window is the part of a region that a tensor is in.
type window struct {
	*region
	offset int64
}

func (w *window) ReadAt(p []byte, offset int64) error  { return w.region.ReadAt(p, w.offset+offset) }
func (w *window) WriteAt(p []byte, offset int64) error { return w.region.WriteAt(p, w.offset+offset) }

// find returns the window that a request names, of which bytes are needed; nil if it
// names none.
func (r *regions) find(p *peer, of *oip.Region, bytes int64) (*window, error) {
	if of == nil {
		return nil, nil
	}
	if err := r.allowed(p); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	found := r.of[p.user][of.Name]
	if found == nil {
		return nil, r.unknown(of.Name)
	}
	if of.Size < bytes {
		return nil, fmt.Errorf("cannot use %d bytes of region %.64q: the tensor has %d: %w", of.Size, of.Name, bytes, oip.ErrRequest)
	}
	if of.Offset > found.Size || of.Size > found.Size-of.Offset {
		return nil, fmt.Errorf("cannot use %d bytes of region %.64q from %d on: it has %d: %w", of.Size, of.Name, of.Offset, found.Size, oip.ErrRequest)
	}
	return &window{found, of.Offset}, nil
}

// registerRegion is POST /v2/systemsharedmemory/region/R/register.
func (s *Server) registerRegion(w http.ResponseWriter, r *http.Request) error {
	if err := s.regions.allowed(peerOf(r)); err != nil {
		return err
	}
	var q struct {
		Key    string      `json:"key"`
		Offset json.Number `json:"offset"`
		Size   json.Number `json:"byte_size"`
	}
	if err := json.NewDecoder(io.LimitReader(r.Body, 1<<12)).Decode(&q); err != nil {
		return fmt.Errorf("cannot read what to register: %v; it is {\"key\":\"/opu-1\",\"offset\":0,\"byte_size\":4096}: %w", err, oip.ErrRequest)
	}
	if q.Offset == "" {
		q.Offset = "0"
	}
	offset, err := oip.Int(q.Offset)
	if err != nil {
		return err
	}
	size, err := oip.Int(q.Size)
	if err != nil {
		return err
	}
	return s.regions.register(peerOf(r), r.PathValue("region"), q.Key, offset, size)
}

func (s *Server) unregisterRegions(_ http.ResponseWriter, r *http.Request) error {
	s.regions.unregister(peerOf(r), r.PathValue("region"))
	return nil
}

func (s *Server) regionStatus(w http.ResponseWriter, r *http.Request) error {
	list, err := s.regions.list(peerOf(r), r.PathValue("region"))
	if err != nil {
		return err
	}
	return writeJSON(w, list)
}
