package gentl

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/camera/genicam"
	"github.com/light-in-the-loop/opu/camera/gentl/internal/wire"
	"github.com/light-in-the-loop/opu/internal/frameid"
)

// stream is the frames of an open device: records come from the helper, pixels lie in the
// memory that both share, and buffers go back when the caller is done with them.
type stream struct {
	p        *process
	memory   *mapping
	buffers  int // of the producer: twice what callers may hold, so that it never runs dry
	hasTime  bool
	tick     float64 // ns
	arrived  chan struct{}
	runEnded chan uint32

	mu        sync.Mutex // guards what follows
	closed    bool
	armed     bool
	failed    error // the stream will give no more
	run       uint32
	shape     shape
	numbering frameid.Numbering
	queue     []camera.Frame // arrived and not taken, a ring
	head, n   int
	slots     []slot // of frames, by buffer and part
	lent      int    // of them, with the caller
	out       []int  // parts of each buffer that are in the queue or with the caller
	counts    camera.Counts
	message   [wire.ReleaseSize]byte
	spread    spread

	quiet *time.Timer // of Wait's goroutine
	probe func(ctx context.Context) error
}

// quietTime is how long no frame comes before the camera is asked whether it is still there:
// producers tell of a pulled cable, or go on waiting, as they like.
const quietTime = time.Second

// slot is where a place for a frame is.
type slot uint8

const (
	away   slot = iota // with the producer, or done with
	queued             // arrived
	lent               // with the caller
)

// shape is what frames of a run look like.
type shape struct {
	genicam.Image
	depth int
	size  int // of a buffer
	parts int // images in it, at most
}

// slotsPerRun keeps the numbers of different runs apart in Frame.Buffer.
const slotsPerRun = 1 << 24

// newStream is the stream of an open device. probe fails if the device has gone.
func newStream(p *process, m *mapping, buffers int, o wire.Opened, probe func(context.Context) error) *stream {
	s := &stream{
		p: p, memory: m, buffers: buffers, numbering: frameid.New(idsOf(o.Type)), probe: probe, quiet: time.NewTimer(quietTime),
		hasTime: o.TicksPerSecond > 0,
		arrived: make(chan struct{}, 1), runEnded: make(chan uint32, 1),
	}
	if s.hasTime {
		s.tick = 1e9 / float64(o.TicksPerSecond)
	}
	go s.listen()
	return s
}

// idsOf says how the frames of a type of transport layer are numbered.
func idsOf(layer string) frameid.Kind {
	switch layer {
	case "GEV":
		return frameid.GigEVision
	case "U3V":
		return frameid.USB3Vision
	}
	return frameid.Unknown
}

func (s *stream) signal() {
	select {
	case s.arrived <- struct{}{}:
	default:
	}
}

// listen takes records as they come. It allocates nothing.
func (s *stream) listen() {
	b := make([]byte, wire.RecordSize+1)
	var r wire.Record
	for {
		n, err := s.p.frames.Read(b)
		if err != nil || n == 0 {
			return // the helper has gone; process.listen finds out why
		}
		if err := r.Decode(b[:n]); err != nil {
			s.p.give(s.p.fault(camera.ErrProtocol, "go on", err.Error()))
			return
		}
		switch r.Kind {
		case wire.Frame:
			s.take(&r)
		case wire.Failed:
			s.mu.Lock()
			if r.Run == s.run {
				s.failed = s.p.fault(camera.ErrUnplugged, "wait for frames", fmt.Sprintf("the camera gives no more (error %d of GenTL); see whether it is plugged in and open it again", r.Code))
			}
			s.mu.Unlock()
			s.signal()
		case wire.Ended:
			select { // of a run that nobody waited for
			case <-s.runEnded:
			default:
			}
			s.runEnded <- r.Run // does not block: this goroutine alone sends
		}
	}
}

// take puts a frame that has arrived into the queue.
func (s *stream) take(r *wire.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := int(r.Buffer)*s.shape.parts + int(r.Part)
	if !s.armed || r.Run != s.run || int(r.Buffer) >= s.buffers || int(r.Part) >= s.shape.parts || s.slots[i] != away || s.n == len(s.queue) {
		return // of a run that is over
	}
	if r.Part == 0 {
		s.out[r.Buffer] = min(int(r.Parts), s.shape.parts)
	}
	f := &s.queue[(s.head+s.n)%len(s.queue)]
	s.n++
	*f = s.frame(r)
	f.Buffer = int(s.run)*slotsPerRun + i
	s.slots[i] = queued
	s.signal()
}

// frame describes what a record tells of.
func (s *stream) frame(r *wire.Record) camera.Frame {
	h := &s.shape
	row := h.Width * camera.BytesPerPixel(h.depth)
	f := camera.Frame{Width: h.Width, Height: h.Height, BitDepth: h.depth, Stride: row + int(min(r.PadX, 1<<20)), HostTime: time.Now()}
	need := uint64((h.Height-1)*f.Stride + row)
	if h.Format.Packed() {
		f.Stride, need = row, uint64(h.Bytes) // until they are unpacked
	}
	switch {
	case r.Part > 0: // of the buffer that was numbered before
		f.Seq = (s.numbering.Frames()-1)*uint64(h.parts) + uint64(r.Part)
	case r.Flags&wire.HasID == 0:
		f.Seq = s.numbering.Next() * uint64(h.parts)
	default:
		f.Seq = s.numbering.Number(r.ID) * uint64(h.parts)
	}
	f.Trigger = f.Seq
	if s.hasTime {
		t := float64(r.Time)
		if r.Flags&wire.Nanoseconds == 0 {
			t *= s.tick
		}
		// The images of one buffer have one time; a nanosecond each keeps their order.
		f.DeviceTime = time.Duration(t) + time.Duration(r.Part)
	}
	start := uint64(int(r.Buffer)*h.size) + r.Offset
	switch {
	case r.Flags&wire.NotImage != 0, r.Width != 0 && int(r.Width) != h.Width, !sameFormat(r, h.Format),
		r.Offset > uint64(h.size) || need > uint64(h.size)-r.Offset:
		f.Status = camera.Damaged // it is not what was asked for: what lies there is shown as if it were
		start, f.Stride, need = uint64(int(r.Buffer)*h.size), row, uint64(h.Bytes)
	case r.Flags&(wire.Incomplete|wire.TooLarge) != 0, r.Filled < need, r.Height != 0 && int(r.Height) < h.Height:
		f.Status = camera.Incomplete
	}
	f.Pix = s.memory.bytes[start : start+need : start+need]
	return f
}

// sameFormat tells whether pixels are in the format that was configured. CoaXPress has codes
// of its own (namespace 3); what is in no namespace that is known cannot be told.
func sameFormat(r *wire.Record, format genicam.Format) bool {
	switch r.Namespace {
	case 1, 4:
		return genicam.Format(r.Format) == format
	case 3:
		code, ok := coaxpress[uint32(r.Format)]
		return !ok || code == format
	}
	return true
}

// The codes of CoaXPress for grey pixels. One was seen in use (0x102), the others follow the
// same numbering.
var coaxpress = map[uint32]genicam.Format{
	0x101: genicam.Mono8, 0x102: genicam.Mono10, 0x103: genicam.Mono12, 0x104: genicam.Mono14, 0x105: genicam.Mono16,
}

// start begins a run; frames come when the camera is started next.
func (s *stream) start(ctx context.Context, h shape, frames int) error {
	if h.size > len(s.memory.bytes)/s.buffers {
		return s.p.fault(camera.ErrRefused, "arm", fmt.Sprintf("frames need %d bytes each, %d were set aside when the camera was opened", h.size, len(s.memory.bytes)/s.buffers))
	}
	s.mu.Lock()
	s.run = (s.run + 1) & 0x7fff
	run := s.run
	slots := s.buffers * h.parts
	if len(s.slots) != slots {
		s.slots, s.queue, s.out = make([]slot, slots), make([]camera.Frame, slots), make([]int, s.buffers)
	}
	clear(s.slots)
	clear(s.out)
	s.spread = spread{format: h.Format}
	if h.Format.Packed() {
		s.spread.slots = make([][]byte, slots)
		for i := range s.spread.slots {
			s.spread.slots[i] = make([]byte, 2*h.Width*h.Height)
		}
	}
	s.shape, s.armed, s.failed, s.counts = h, true, nil, camera.Counts{}
	s.head, s.n, s.lent = 0, 0, 0
	s.numbering.Run(frames)
	s.mu.Unlock()
	_, err := s.p.ask(ctx, callLimit, wire.Request{Do: wire.Start, Run: run, Buffers: s.buffers, Size: h.size})
	if err != nil {
		s.mu.Lock()
		s.armed = false
		s.mu.Unlock()
	}
	return err
}

// wait is camera.Device's Wait.
func (s *stream) wait(ctx context.Context, dst []camera.Frame) (int, error) {
	for {
		n, spread, err := s.pop(dst)
		if n > 0 || err != nil {
			spread.unpack(dst[:n])
			return n, err
		}
		s.quiet.Reset(quietTime)
		select {
		case <-s.arrived:
		case <-s.quiet.C:
			err := s.probe(ctx)
			select {
			case <-s.p.gone: // the next turn tells why
				continue
			default:
			}
			if err != nil && ctx.Err() == nil {
				s.mu.Lock()
				s.failed = s.p.fault(camera.ErrUnplugged, "wait for frames", "the camera does not answer ("+err.Error()+"); see whether it is plugged in and open it again")
				s.mu.Unlock()
			}
		case <-s.p.gone:
			if err := s.usable("wait for a frame"); err != nil {
				return 0, err
			}
			return 0, s.p.why
		case <-ctx.Done():
			return 0, fmt.Errorf("cannot get a frame through GenTL producer %s: %w: %w", name(s.p.path), camera.ErrTimeout, context.Cause(ctx))
		}
	}
}

// spread is where pixels that share bytes get two each.
type spread struct {
	format genicam.Format
	slots  [][]byte // nil: pixels stay where they are
}

func (x spread) unpack(frames []camera.Frame) {
	if x.slots == nil {
		return
	}
	for i := range frames {
		pix := x.slots[frames[i].Buffer%slotsPerRun]
		x.format.Unpack(pix, frames[i].Pix)
		frames[i].Pix = pix
	}
}

// pop takes frames from the queue, which are still to be unpacked.
func (s *stream) pop(dst []camera.Frame) (int, spread, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return 0, spread{}, s.p.fault(camera.ErrClosed, "wait for a frame", "closed")
	case !s.armed:
		return 0, spread{}, s.p.fault(camera.ErrNotArmed, "wait for a frame", "there is no run")
	case len(dst) == 0:
		return 0, spread{}, s.p.fault(camera.ErrInput, "wait for a frame", "no room for one")
	}
	n := min(len(dst), s.n, s.most()-s.lent)
	for i := range n {
		dst[i] = s.queue[s.head]
		s.slots[dst[i].Buffer%slotsPerRun] = lent
		s.head = (s.head + 1) % len(s.queue)
	}
	s.n -= n
	s.counts.Delivered += uint64(n)
	s.lent += n
	switch {
	case n > 0:
		return n, s.spread, nil
	case s.failed != nil:
		return 0, spread{}, s.failed
	case s.lent >= s.most(), s.n == 0 && s.starved():
		return 0, spread{}, s.p.fault(camera.ErrNoBuffers, "wait for a frame", fmt.Sprintf("%d frames are with the caller", s.lent))
	}
	return 0, spread{}, nil
}

// most is how many frames may be with the caller.
func (s *stream) most() int { return s.buffers * s.shape.parts / 2 }

// starved tells whether every buffer has a part with the caller; the queue is empty.
func (s *stream) starved() bool {
	for _, out := range s.out {
		if out == 0 {
			return false
		}
	}
	return true
}

// requeue is camera.Device's Requeue.
func (s *stream) requeue(frames []camera.Frame) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range frames {
		run, at := frames[i].Buffer/slotsPerRun, frames[i].Buffer%slotsPerRun
		if run != int(s.run) || at < 0 || at >= len(s.slots) || s.slots[at] != lent {
			continue
		}
		s.slots[at] = away
		if s.lent--; s.closed && s.lent == 0 {
			s.memory.unmap()
		}
		if !s.armed {
			continue
		}
		buffer := at / s.shape.parts
		if s.out[buffer]--; s.out[buffer] == 0 {
			wire.EncodeRelease(s.message[:], s.run, uint32(buffer))
			s.p.frames.Write(s.message[:]) // does not block: there are fewer buffers than the socket holds releases
		}
	}
}

// stop ends a run. The camera was stopped before.
func (s *stream) stop(ctx context.Context) (camera.Counts, error) {
	s.mu.Lock()
	counts, armed, run := s.counts, s.armed, s.run
	s.mu.Unlock()
	if !armed {
		return counts, nil
	}
	reply, err := s.p.ask(ctx, callLimit, wire.Request{Do: wire.Stop})
	if err == nil {
		err = s.awaitEnd(ctx, run) // so that every record has been seen
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if ctx.Err() != nil && err != nil {
		return camera.Counts{}, err // still armed: stop again
	}
	s.armed = false
	s.counts.Frames = s.numbering.Frames() * uint64(s.shape.parts)
	if c := reply.Counts; c != nil && c.Known {
		s.counts.Frames = max(s.counts.Frames, (c.Started+c.Underrun)*uint64(s.shape.parts))
	}
	s.counts.Lost = s.counts.Frames - s.counts.Delivered
	for ; s.n > 0; s.n-- {
		s.slots[s.queue[s.head].Buffer%slotsPerRun] = away
		s.head = (s.head + 1) % len(s.queue)
	}
	s.signal() // whoever waits learns that there is no run
	return s.counts, err
}

// cancel stops a run that did not begin as it should.
func (s *stream) cancel(ctx context.Context) {
	s.p.ask(ctx, callLimit, wire.Request{Do: wire.Stop})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.armed = false
}

// awaitEnd waits for the record that ends a run.
func (s *stream) awaitEnd(ctx context.Context, run uint32) error {
	for {
		select {
		case ended := <-s.runEnded:
			if ended == run {
				return nil
			}
		case <-s.p.gone:
			return s.p.why
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// usable says whether a call may begin.
func (s *stream) usable(what string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return s.p.fault(camera.ErrClosed, what, "closed")
	}
	return nil
}

// close ends what waits. The memory goes when the last frame of the last run is back: to read
// memory that is gone would end the program.
func (s *stream) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.closed, s.armed = true, false
	if s.lent == 0 {
		s.memory.unmap()
	}
	s.signal()
}
