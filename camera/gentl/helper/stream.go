//go:build linux && cgo

package helper

/*
#include "gentl.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"net"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/light-in-the-loop/opu/camera/gentl/internal/wire"
)

// The numbers of GenTL that streams need.
const (
	flushAllDiscard = 4
	payloadParts    = 10 // several images in one buffer
	partImage       = 1  // an image of two dimensions
)

// eventPatience is how long the thread that waits for frames is out of our hands, in ms, if
// EventKill does not wake it.
const eventPatience = 200

// joinPatience is how long it may take to come back when a run is stopped.
const joinPatience = 2 * time.Second

// stream moves frames from a producer to the program.
type stream struct {
	p      *producer
	handle handle
	event  handle
	frames *net.UnixConn
	memory int // descriptor

	mu      sync.Mutex // guards what follows
	mapped  []byte
	size    int      // of a buffer
	buffers []handle // announced
	text    [C.TEXT_SIZE]C.char
	run     uint32
	running bool
	base    wire.Counts // when the run began

	stopping atomic.Bool
	over     chan struct{} // closed when the thread of the run has ended
}

// newStream registers for frames of a stream that is open, and begins to hear of buffers
// that the program gives back.
func newStream(p *producer, h handle, frames *net.UnixConn, memory int) (*stream, error) {
	s := &stream{p: p, handle: h, frames: frames, memory: memory}
	if err := p.check("GCRegisterEvent", C.event_register(p.c, h, &s.event, &p.text[0])); err != nil {
		return nil, err
	}
	go s.release()
	return s, nil
}

func (s *stream) info(command int) (uint64, bool) {
	b, ok := ask(func(to unsafe.Pointer, size *C.size_t) C.int32_t {
		return C.ds_info(s.p.c, s.handle, C.int32_t(command), to, size, &s.p.text[0])
	})
	return number(b), ok
}

func (s *stream) payload() wire.NeedsSize {
	var n wire.NeedsSize
	if defines, _ := s.info(9); defines&0xff != 0 {
		n.Size, _ = s.info(7)
	}
	least, _ := s.info(12)
	n.Least = int(min(least, 1<<16))
	alignment, _ := s.info(13)
	n.Alignment = int(min(alignment, 1<<30))
	return n
}

func (s *stream) counts() wire.Counts {
	var c wire.Counts
	c.Delivered, _ = s.info(1)
	c.Underrun, _ = s.info(2)
	c.Started, c.Known = s.info(6)
	return c
}

// start announces buffers, unless they are as they were, and starts the acquisition.
func (s *stream) start(run uint32, n, size int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running {
		return errors.New("the stream is running")
	}
	if n < 1 || size < 1 || size > (1<<46)/n {
		return fmt.Errorf("%d buffers of %d bytes make no sense", n, size)
	}
	if size != s.size || n != len(s.buffers) {
		if err := s.revoke(); err != nil {
			return err
		}
		if err := s.announce(n, size); err != nil {
			return err
		}
	}
	for _, b := range s.buffers {
		if err := s.p.check("DSQueueBuffer", C.ds_queue(s.p.c, s.handle, b, &s.p.text[0])); err != nil {
			C.ds_flush(s.p.c, s.handle, flushAllDiscard, &s.p.text[0])
			return err
		}
	}
	if err := s.p.check("DSStartAcquisition", C.ds_start(s.p.c, s.handle, &s.p.text[0])); err != nil {
		C.ds_flush(s.p.c, s.handle, flushAllDiscard, &s.p.text[0])
		return err
	}
	s.base = s.counts() // nothing was exposed yet: the camera is started after this
	s.run, s.running, s.over = run, true, make(chan struct{})
	s.stopping.Store(false)
	go s.acquire(run, s.over)
	return nil
}

// announce shows the producer where frames may be written: the memory that the program reads.
func (s *stream) announce(n, size int) error {
	if have := len(s.mapped); have < n*size {
		if have > 0 {
			unix.Munmap(s.mapped)
			s.mapped = nil
		}
		var err error
		if s.mapped, err = unix.Mmap(s.memory, 0, n*size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
			return fmt.Errorf("cannot map %d bytes: %w", n*size, err)
		}
	}
	s.size = size
	for i := range n {
		var b handle
		err := s.p.check("DSAnnounceBuffer", C.ds_announce(s.p.c, s.handle, unsafe.Pointer(&s.mapped[i*size]), C.size_t(size), C.uintptr_t(i+1), &b, &s.p.text[0]))
		if err != nil {
			return errors.Join(err, s.revoke())
		}
		s.buffers = append(s.buffers, b)
	}
	return nil
}

// revoke takes all buffers from the producer.
func (s *stream) revoke() error {
	var failures []error
	for _, b := range s.buffers {
		failures = append(failures, s.p.check("DSRevokeBuffer", C.ds_revoke(s.p.c, s.handle, b, &s.p.text[0])))
	}
	s.buffers, s.size = s.buffers[:0], 0
	return errors.Join(failures...)
}

// stop ends a run. The buffers stay announced.
func (s *stream) stop() (wire.Counts, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.running {
		return wire.Counts{}, nil
	}
	s.stopping.Store(true)
	failed := s.p.check("DSStopAcquisition", C.ds_stop(s.p.c, s.handle, 0, &s.p.text[0]))
	if failed != nil {
		failed = s.p.check("DSStopAcquisition", C.ds_stop(s.p.c, s.handle, 1, &s.p.text[0])) // kill
	}
	C.event_kill(s.p.c, s.event, &s.p.text[0])
	select {
	case <-s.over:
	case <-time.After(joinPatience):
		return wire.Counts{}, errors.New("EventGetData did not return")
	}
	s.running = false
	c := s.counts()
	c.Started -= s.base.Started
	c.Delivered -= s.base.Delivered
	c.Underrun -= s.base.Underrun
	C.event_flush(s.p.c, s.event, &s.p.text[0])
	C.ds_flush(s.p.c, s.handle, flushAllDiscard, &s.p.text[0])
	s.send(&wire.Record{Kind: wire.Ended, Run: s.run}, make([]byte, wire.RecordSize))
	return c, failed
}

// close stops what runs and gives everything back.
func (s *stream) close() {
	s.stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revoke()
	C.event_unregister(s.p.c, s.handle, &s.p.text[0])
}

// release queues the buffers that the program is done with.
func (s *stream) release() {
	b := make([]byte, wire.RecordSize)
	for {
		n, err := s.frames.Read(b)
		if err != nil || n == 0 {
			return // the program has gone, which the control socket tells as well
		}
		if run, i, ok := wire.DecodeRelease(b[:n]); ok {
			s.queue(run, int(i))
		}
	}
}

func (s *stream) queue(run uint32, i int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running && run == s.run && i < len(s.buffers) {
		C.ds_queue(s.p.c, s.handle, s.buffers[i], &s.text[0]) // a buffer that fails is missed by its absence, and counted as underrun
	}
}

// send tells the program something. It does not block for long: the program reads what it is
// told at once, and there are no more frames than buffers.
func (s *stream) send(r *wire.Record, b []byte) {
	r.Encode(b)
	s.frames.Write(b)
}

// acquire waits for frames of a run and tells of them. What it needs for a frame is made
// once.
func (s *stream) acquire(run uint32, over chan struct{}) {
	runtime.LockOSThread() // GCGetLastError is per thread
	defer close(over)
	a := &acquisition{run: run, message: make([]byte, wire.RecordSize)}
	for !s.stopping.Load() {
		code := C.event_next(s.p.c, s.event, eventPatience, &a.buffer, &a.user, &a.text[0])
		switch {
		case s.stopping.Load():
			return
		case code == codeTimeout, code == codeAbort: // one that was meant for an earlier run
		case code != 0:
			s.send(&wire.Record{Kind: wire.Failed, Run: run, Code: int32(code)}, a.message)
			return
		default:
			s.deliver(a)
		}
	}
}

// acquisition is what the thread of a run works with.
type acquisition struct {
	run          uint32
	buffer, user handle
	contents     C.contents
	text         [C.TEXT_SIZE]C.char
	record       wire.Record
	message      []byte
}

// deliver tells of the frames in a buffer.
func (s *stream) deliver(a *acquisition) {
	i := int(a.user) - 1
	if i < 0 || i >= len(s.buffers) || s.buffers[i] != a.buffer { // some hand back no user pointer
		if i = s.find(a.buffer); i < 0 {
			return
		}
	}
	a.record = wire.Record{Kind: wire.Frame, Run: a.run, Buffer: uint32(i), Parts: 1}
	r := &a.record
	if C.buffer_contents(s.p.c, s.handle, a.buffer, &a.contents, &a.text[0]) != 0 {
		r.Flags = wire.Incomplete // nothing is known of it but that it came
		s.send(r, a.message)
		return
	}
	c := &a.contents
	has := func(item int) bool { return c.known&(1<<item) != 0 }
	flag := func(item int, f uint32) {
		if has(item) && c.item[item]&0xff != 0 {
			r.Flags |= f
		}
	}
	flag(C.INCOMPLETE, wire.Incomplete)
	flag(C.TOO_LARGE, wire.TooLarge)
	if has(C.FRAME_ID) {
		r.ID = uint64(c.item[C.FRAME_ID])
		r.Flags |= wire.HasID
	}
	switch {
	case has(C.TIME_NS):
		r.Time = uint64(c.item[C.TIME_NS])
		r.Flags |= wire.Nanoseconds
	case has(C.TIME_TICKS):
		r.Time = uint64(c.item[C.TIME_TICKS])
	}
	base := uint64(c.item[C.BASE])
	if has(C.PAYLOAD_TYPE) && c.item[C.PAYLOAD_TYPE] == payloadParts {
		var n C.uint32_t
		if C.buffer_parts(s.p.c, s.handle, a.buffer, &n, &a.text[0]) == 0 && n > 0 && n < 1<<16 {
			r.Parts = uint16(n)
			s.deliverParts(a, base)
			return
		}
	}
	shape(r, c)
	if has(C.IMAGE_OFFSET) {
		r.Offset = uint64(c.item[C.IMAGE_OFFSET])
	}
	r.Filled = uint64(s.size)
	if has(C.FILLED) {
		r.Filled = uint64(c.item[C.FILLED])
	}
	r.Filled -= min(r.Offset, r.Filled)
	s.send(r, a.message)
}

// deliverParts tells of the images in a buffer that holds several, each as a frame.
func (s *stream) deliverParts(a *acquisition, base uint64) {
	r, c := &a.record, &a.contents
	common := r.Flags
	for part := range r.Parts {
		r.Part, r.Flags, r.Offset, r.Filled = part, common, 0, 0
		r.Width, r.Height, r.Format, r.Namespace, r.PadX = 0, 0, 0, 0, 0
		if C.part_contents(s.p.c, s.handle, a.buffer, C.uint32_t(part), c, &a.text[0]) != 0 {
			r.Flags |= wire.Incomplete
			s.send(r, a.message)
			continue
		}
		shape(r, c)
		if start := uint64(c.item[C.BASE]); start >= base {
			r.Offset = start - base
		}
		r.Filled = uint64(c.item[C.FILLED])
		if c.known&(1<<C.PART_TYPE) != 0 && c.item[C.PART_TYPE] != partImage {
			r.Flags |= wire.NotImage
		}
		s.send(r, a.message)
	}
}

// shape copies what is known of an image.
func shape(r *wire.Record, c *C.contents) {
	r.Width, r.Height = uint32(c.item[C.WIDTH]), uint32(c.item[C.HEIGHT])
	if c.known&(1<<C.DELIVERED_HEIGHT) != 0 && c.item[C.DELIVERED_HEIGHT] != 0 {
		r.Height = uint32(c.item[C.DELIVERED_HEIGHT]) // of a line-scan camera the only one
	}
	r.Format, r.Namespace = uint64(c.item[C.FORMAT]), uint32(c.item[C.NAMESPACE])
	r.PadX = uint32(c.item[C.PAD_X])
}

// find looks a buffer up by its handle; -1: it is none of ours.
func (s *stream) find(b handle) int { return slices.Index(s.buffers, b) }
