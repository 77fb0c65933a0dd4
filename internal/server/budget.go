package server

import (
	"errors"
	"fmt"
	"sync"
)

var errBusy = errors.New("too much is under way")

// budget is what requests under way may take of the server, of which a user may have
// half: requests, and bytes.
type budget struct {
	mu       sync.Mutex
	requests int
	bytes    int64
	used     part
	users    map[string]part
}

// set changes how much there is; what was taken stays so.
func (b *budget) set(requests int, bytes int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.requests, b.bytes = requests, bytes
}

type part struct {
	requests int
	bytes    int64
}

// hold is the part of one request. It is used by one goroutine at a time.
type hold struct {
	of    *budget
	user  string
	bytes int64
}

// held is the bytes that are taken now.
func (b *budget) held() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used.bytes
}

// enter lets a request of a user in.
func (b *budget) enter(user string) (*hold, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	mine := b.users[user]
	if most := (b.requests + 1) / 2; b.used.requests >= b.requests || mine.requests >= most {
		return nil, fmt.Errorf("cannot take the request now: %d of %d are under way, %d of them yours (%d are the most); try again later: %w",
			b.used.requests, b.requests, mine.requests, most, errBusy)
	}
	if b.users == nil {
		b.users = map[string]part{}
	}
	b.used.requests++
	mine.requests++
	b.users[user] = mine
	return &hold{of: b, user: user}, nil
}

// take takes bytes for the request, before they are allocated.
func (h *hold) take(bytes int64) error {
	b := h.of
	b.mu.Lock()
	defer b.mu.Unlock()
	mine := b.users[h.user]
	switch most := b.bytes / 2; {
	case h.bytes+bytes > most:
		return fmt.Errorf("cannot take a request of %d bytes, results included: %d are the most; send fewer rows at a time: %w", h.bytes+bytes, most, errTooLarge)
	case b.used.bytes+bytes > b.bytes || mine.bytes+bytes > most:
		return fmt.Errorf("cannot take a request of %d bytes now: requests under way hold %d of %d, yours %d; try again later: %w",
			h.bytes+bytes, b.used.bytes, b.bytes, mine.bytes, errBusy)
	}
	h.bytes += bytes
	b.used.bytes += bytes
	mine.bytes += bytes
	b.users[h.user] = mine
	return nil
}

// give gives back some of what was taken.
func (h *hold) give(bytes int64) {
	b := h.of
	b.mu.Lock()
	defer b.mu.Unlock()
	h.bytes -= bytes
	b.used.bytes -= bytes
	mine := b.users[h.user]
	mine.bytes -= bytes
	b.users[h.user] = mine
}

// release gives back what the request has. It must be called once.
func (h *hold) release() {
	b := h.of
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used.requests--
	b.used.bytes -= h.bytes
	mine := b.users[h.user]
	mine.requests--
	mine.bytes -= h.bytes
	if b.users[h.user] = mine; mine.requests == 0 {
		delete(b.users, h.user)
	}
}
