//go:build linux

package usbip

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"sync"

	"golang.org/x/sys/unix"
)

// session is a device that is plugged in: requests of the kernel, and their answers.
type session struct {
	device Device
	conn   net.Conn
	life   context.Context // ends with the session

	mu      sync.Mutex // of what follows, and of writing to conn
	pending map[uint32]context.CancelFunc
	last    map[uint32]chan struct{} // by endpoint and direction: closed when its last transfer is over
	work    sync.WaitGroup
}

// serve answers the kernel until it, or somebody who closes conn, ends the conversation. No
// call of the device goes on when it returns.
func serve(conn net.Conn, d Device) error {
	life, end := context.WithCancel(context.Background())
	s := &session{device: d, conn: conn, life: life, pending: map[uint32]context.CancelFunc{}, last: map[uint32]chan struct{}{}}
	err := s.read(bufio.NewReader(conn))
	end()
	s.work.Wait()
	for _, end := range []error{io.EOF, net.ErrClosed, io.ErrClosedPipe, unix.ECONNRESET} {
		if errors.Is(err, end) {
			return nil
		}
	}
	return err
}

func (s *session) read(r io.Reader) error {
	for {
		q, err := readRequest(r)
		if err != nil {
			return err
		}
		if q.command == unlink {
			err = s.unlink(q)
		} else {
			s.submit(q)
		}
		if err != nil {
			return err
		}
	}
}

// submit begins a transfer behind those of the same endpoint.
func (s *session) submit(q request) {
	queue := q.endpoint << 1
	if q.in && q.endpoint != 0 {
		queue |= 1
	}
	ctx, cancel := context.WithCancel(s.life)
	over := make(chan struct{})
	s.mu.Lock()
	before := s.last[queue]
	s.last[queue] = over
	s.pending[q.number] = cancel
	s.mu.Unlock()
	s.work.Go(func() {
		defer close(over)
		defer cancel()
		if before != nil {
			<-before
		}
		if ctx.Err() == nil {
			s.finish(q, s.transfer(ctx, q))
		}
	})
}

// result is how a transfer ended.
type result struct {
	in  []byte
	err error
}

func (s *session) transfer(ctx context.Context, q request) (r result) {
	switch {
	case q.endpoint == 0:
		r.in, r.err = s.device.Control(ctx, q.setup, q.out)
	case q.in:
		r.in, r.err = s.device.In(ctx, int(q.endpoint), q.length)
	default:
		r.err = s.device.Out(ctx, int(q.endpoint), q.out)
	}
	return r
}

// finish answers a request, unless the kernel took it back meanwhile.
func (s *session) finish(q request, r result) {
	if errors.Is(r.err, ErrGone) {
		s.conn.Close() // which ends read, and is how the kernel learns of it
		return
	}
	transferred := len(q.out)
	if q.in {
		r.in = r.in[:min(len(r.in), q.length)]
		transferred = len(r.in)
	} else {
		r.in = nil
	}
	var status int32
	if r.err != nil {
		number := unix.EPIPE // what the kernel calls a stall
		errors.As(r.err, &number)
		status, transferred, r.in = -int32(number), 0, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.pending[q.number]; !ok {
		return
	}
	delete(s.pending, q.number)
	s.conn.Write(appendReply(nil, submitted, q.number, status, transferred, r.in)) // read sees a broken conn
}

// unlink takes a request back. The status says whether that came in time.
func (s *session) unlink(q request) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var status int32
	if cancel, ok := s.pending[q.victim]; ok {
		delete(s.pending, q.victim)
		cancel()
		status = -int32(unix.ECONNRESET)
	}
	_, err := s.conn.Write(appendReply(nil, unlinked, q.number, status, 0, nil))
	return err
}
