package u3v

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/camera/genicam"
	"github.com/light-in-the-loop/opu/internal/frameid"
)

// stream puts transfers together to frames.
type stream struct {
	name    string
	most    int // frames that callers may hold; there are twice as many buffers
	arrived chan struct{}

	mu        sync.Mutex // guards what follows
	closed    bool
	armed     bool
	failed    error // no more frames will come
	run       int
	image     genicam.Image
	numbering frameid.Numbering
	buffers   []buffer
	free      []int // that the bus may fill
	queue     []camera.Frame
	head, n   int
	lent      int
	counts    camera.Counts
}

// buffer is where a frame is put together.
type buffer struct {
	bytes []byte // as they come
	pix   []byte // two bytes a pixel, if those that come share bytes
	lent  bool   // to the caller
}

const slotsPerRun = 1 << 16

func newStream(name string, buffers int) *stream {
	return &stream{name: name, most: buffers, arrived: make(chan struct{}, 1), numbering: frameid.New(frameid.USB3Vision)}
}

func (s *stream) fault(condition error, do, text string) error {
	return fmt.Errorf("cannot %s camera %s: %s: %w", do, s.name, text, condition)
}

func (s *stream) signal() {
	select {
	case s.arrived <- struct{}{}:
	default:
	}
}

// begin makes buffers for a run.
func (s *stream) begin(image genicam.Image, p plan, frames int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.run = (s.run + 1) & 0x7fff
	// Behind the pixels there is room for what a transfer may bring beyond them.
	room := p.payload + p.size + p.alignment
	if len(s.buffers) == 0 || len(s.buffers[0].bytes) != room || s.image != image {
		s.buffers = make([]buffer, 2*s.most)
		for i := range s.buffers {
			s.buffers[i].bytes = make([]byte, room)
			if image.Format.Packed() {
				s.buffers[i].pix = make([]byte, 2*image.Width*image.Height)
			}
		}
		s.queue, s.free = make([]camera.Frame, len(s.buffers)), make([]int, 0, len(s.buffers))
	}
	s.free = s.free[:0]
	for i := range s.buffers {
		s.buffers[i].lent = false
		s.free = append(s.free, i)
	}
	s.image, s.armed, s.failed, s.counts = image, true, nil, camera.Counts{}
	s.head, s.n, s.lent = 0, 0, 0
	s.numbering.Run(frames)
}

// receive reads transfers until the run ends. It allocates nothing for a frame.
func (s *stream) receive(ctx context.Context, pipe Pipe, p plan) {
	r := receiver{stream: s, pipe: pipe, plan: p, head: make([]byte, p.size), waste: make([]byte, p.payload+p.size+p.alignment)}
	var err error
	for err == nil {
		err = r.frame()
	}
	if ctx.Err() != nil {
		return
	}
	condition := camera.ErrUnplugged
	switch {
	case errors.Is(err, camera.ErrUnplugged), errors.Is(err, camera.ErrClosed):
		condition = nil
	case errors.Is(err, ErrHalted):
		condition = camera.ErrProtocol
	}
	if condition != nil {
		err = fmt.Errorf("%w: %w", err, condition)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed = fmt.Errorf("cannot get frames from camera %s: %w; stop the run, and open the camera again if it goes on", s.name, err)
	s.signal()
}

// receiver is where the stream of transfers is.
type receiver struct {
	*stream
	pipe  Pipe
	plan  plan
	head  []byte // for leaders and trailers
	ahead int    // bytes of head that are a leader which came too early
	waste []byte // pixels for which there is no buffer
}

// frame reads one frame, whatever comes.
func (r *receiver) frame() error {
	// What is no leader belongs to a frame whose leader is lost: it is passed over, until one comes.
	n := r.ahead
	r.ahead = 0
	for !isLeader(r.head[:n]) {
		var err error
		if n, err = r.pipe.Read(r.head); err != nil {
			return err
		}
	}
	l := parseLeader(r.head[:n])
	index := r.take()
	b := r.waste
	if index >= 0 {
		b = r.buffers[index].bytes
	}
	for got := 0; ; {
		// Up to the end of the pixels one transfer may bring so much; behind them there is room for
		// what came in the same.
		n, err := r.pipe.Read(b[got:min(len(b), got+r.plan.size)])
		if err != nil {
			return err
		}
		part := b[got : got+n]
		pixels := n
		if got+n != r.plan.payload {
			pixels = r.pixels(part)
		}
		got += pixels
		if done := r.ends(index, l, part[pixels:], got); done {
			return nil
		}
		if got > r.plan.payload {
			return r.lost(index, l, got)
		}
	}
}

// lost ends a frame that is longer than it should be, with the next transfer that means
// something.
func (r *receiver) lost(index int, l leader, got int) error {
	for {
		n, err := r.pipe.Read(r.head)
		if err != nil {
			return err
		}
		if r.ends(index, l, r.head[r.pixels(r.head[:n]):n], got) {
			return nil
		}
	}
}

// pixels is how many bytes of a transfer come before a leader or trailer at its end, if there
// is one. Where the pixels before it end with a full packet, the transfer goes on with what
// follows, which ends it by being short.
func (r *receiver) pixels(part []byte) int {
	packet := r.plan.packet
	for _, size := range []int{leaderSize, trailerSize} {
		start := len(part) - size
		if start < 0 || start%packet != 0 {
			continue
		}
		if tail := part[start:]; isLeader(tail) || isTrailer(tail) {
			return start
		}
	}
	return len(part)
}

// ends delivers the frame if its trailer came, or the next leader, before which its rest was
// lost.
func (r *receiver) ends(index int, l leader, tail []byte, got int) bool {
	switch {
	case isTrailer(tail):
		t := parseTrailer(tail)
		r.deliver(index, l, &t, got)
	case isLeader(tail):
		r.ahead = copy(r.head, tail)
		r.deliver(index, l, nil, got)
	default:
		return false
	}
	return true
}

// take takes a free buffer; -1: there is none.
func (s *stream) take() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.free) == 0 {
		return -1
	}
	i := s.free[len(s.free)-1]
	s.free = s.free[:len(s.free)-1]
	return i
}

// deliver judges a frame and puts it into the queue. Without a buffer it is counted alone.
func (r *receiver) deliver(index int, l leader, t *trailer, got int) {
	s := r.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	seq := s.numbering.Number(l.id)
	if index < 0 {
		return
	}
	image := s.image
	depth := image.Format.BitDepth()
	f := camera.Frame{
		Width: image.Width, Height: image.Height, Stride: image.Width * camera.BytesPerPixel(depth), BitDepth: depth,
		Seq: seq, Trigger: seq, DeviceTime: time.Duration(l.time & (1<<63 - 1)), HostTime: time.Now(), Buffer: s.run*slotsPerRun + index,
	}
	need := image.Bytes
	if pad := int(l.padX); pad > 0 && !image.Format.Packed() {
		f.Stride += pad
		need = image.Height * f.Stride
	}
	b := &s.buffers[index]
	switch {
	case l.payload != payloadImage, l.format != uint32(image.Format), int(l.width) != image.Width, need > len(b.bytes):
		f.Status = camera.Damaged // it is not what was asked for: what came is shown as if it were
		f.Stride, need = image.Width*camera.BytesPerPixel(depth), image.Bytes
	case t == nil, got < need, int(l.height) < image.Height:
		f.Status = camera.Incomplete
	case t.status == statusOverrun:
		f.Status = camera.Overrun
	case t.status == statusLost:
		f.Status = camera.Incomplete
	case t.status != success, t.id != l.id:
		f.Status = camera.Damaged
	case t.valid != uint64(r.plan.payload), got != r.plan.payload:
		f.Status = camera.Incomplete
	}
	f.Pix = b.bytes[:need:need]
	s.queue[(s.head+s.n)%len(s.queue)] = f
	s.n++
	s.signal()
}

// wait is camera.Device's Wait.
func (s *stream) wait(ctx context.Context, dst []camera.Frame) (int, error) {
	for {
		n, unpack, err := s.pop(dst)
		if n > 0 || err != nil {
			unpack.frames(dst[:n])
			return n, err
		}
		select {
		case <-s.arrived:
		case <-ctx.Done():
			return 0, fmt.Errorf("cannot get a frame from camera %s: %w: %w", s.name, camera.ErrTimeout, context.Cause(ctx))
		}
	}
}

// unpacking makes two bytes of each pixel that shares bytes with others.
type unpacking struct {
	format  genicam.Format
	buffers []buffer
}

func (u unpacking) frames(frames []camera.Frame) {
	if !u.format.Packed() {
		return
	}
	for i := range frames {
		pix := u.buffers[frames[i].Buffer%slotsPerRun].pix
		u.format.Unpack(pix, frames[i].Pix)
		frames[i].Pix = pix
	}
}

func (s *stream) pop(dst []camera.Frame) (int, unpacking, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	none := unpacking{format: genicam.Mono8}
	switch {
	case s.closed:
		return 0, none, s.fault(camera.ErrClosed, "get a frame from", "closed")
	case !s.armed:
		return 0, none, s.fault(camera.ErrNotArmed, "get a frame from", "there is no run")
	case len(dst) == 0:
		return 0, none, s.fault(camera.ErrInput, "get a frame from", "no room for one")
	case s.lent >= s.most:
		return 0, none, s.fault(camera.ErrNoBuffers, "get a frame from", fmt.Sprintf("%d frames are with the caller", s.lent))
	}
	n := min(len(dst), s.n, s.most-s.lent)
	if n == 0 {
		return 0, none, s.failed
	}
	for i := range n {
		dst[i] = s.queue[s.head]
		s.head = (s.head + 1) % len(s.queue)
		s.buffers[dst[i].Buffer%slotsPerRun].lent = true
	}
	s.n -= n
	s.lent += n
	s.counts.Delivered += uint64(n)
	return n, unpacking{s.image.Format, s.buffers}, nil
}

// requeue is camera.Device's Requeue.
func (s *stream) requeue(frames []camera.Frame) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range frames {
		run, at := frames[i].Buffer/slotsPerRun, frames[i].Buffer%slotsPerRun
		if !s.armed || run != s.run || at < 0 || at >= len(s.buffers) || !s.buffers[at].lent {
			continue
		}
		s.buffers[at].lent = false
		s.lent--
		s.free = append(s.free, at)
	}
}

// end ends a run; nothing is received any more.
func (s *stream) end() camera.Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.armed {
		s.armed = false
		s.counts.Frames = s.numbering.Frames()
		s.counts.Lost = s.counts.Frames - s.counts.Delivered
		s.signal() // whoever waits learns that there is no run
	}
	return s.counts
}

// taken says what the camera counted, if it did.
func (s *stream) taken(frames uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts.Frames = max(s.counts.Frames, frames)
	s.counts.Lost = s.counts.Frames - s.counts.Delivered
}

func (s *stream) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed, s.armed = true, false
	s.signal()
}
