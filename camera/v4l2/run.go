package v4l2

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"
	"unsafe"

	"github.com/light-in-the-loop/opu/camera"
)

// mapped is a buffer of the kernel's.
type mapped struct {
	bytes    []byte
	unpacked []byte // what the caller gets of a packed format
	lent     bool   // the caller has it; under mu
}

// run is the present or the last run.
type run struct {
	number int // buffers of earlier ones are ignored
	on     bool
	free   bool
	frames int // expected
	held   int // with the caller
	counts camera.Counts

	began    bool   // a frame has come
	sequence uint32 // of the last
	next     uint64 // Seq of the next

	failure error // that ended the stream; every Wait tells it

	// Whose end wakes poll. Calls of Wait with one context, as in a run, share it.
	context <-chan struct{}
	release func() bool
}

// findBuffers finds out how many buffers the kernel gives, and whether frames have the time of
// their exposure.
func (d *Device) findBuffers() error {
	if d.options.Buffers == 0 {
		largest := d.info.Width * d.info.Height * camera.BytesPerPixel(d.formats[len(d.formats)-1].depth)
		d.options.Buffers = min(max(bufferMemory/largest, minBuffers), maxBuffers)
	}
	n, err := d.request(d.options.Buffers)
	if err != nil {
		return err
	}
	if n < 2 {
		return fmt.Errorf("cannot use camera %s: the kernel gives it %d buffers, 2 are needed: %w", d.path, n, camera.ErrRefused)
	}
	d.info.Buffers = max(1, n-spareBuffers)
	if err := d.exchange(reqQueryBuf, 0); err != nil {
		return d.failure("ask for the buffers of", err)
	}
	d.info.HasTime = d.queue.Flags&bufClockMask == bufClockMono && d.queue.Flags&bufTimeOfMask == bufTimeOfStart
	return d.mapAll(n)
}

// request has the kernel allocate buffers; it may give another number.
func (d *Device) request(n int) (int, error) {
	r := requestBuffers{Count: uint32(n), Type: d.kind, Memory: memoryMMap}
	if err := call(d.node, reqReqBufs, &r); err != nil {
		return 0, d.failure("allocate buffers of", err)
	}
	d.owned = true
	if r.Count > maxBuffers {
		return 0, fmt.Errorf("cannot allocate buffers of camera %s: asked for %d, it gives %d: %w", d.path, n, r.Count, camera.ErrProtocol)
	}
	return int(r.Count), nil
}

// allocate sees that there are buffers for the present shape.
func (d *Device) allocate() error {
	if len(d.buffers) > 0 {
		return nil
	}
	n, err := d.request(d.options.Buffers)
	if err != nil {
		return err
	}
	if max(1, n-spareBuffers) < d.info.Buffers || n < 2 {
		return errors.Join(fmt.Errorf("cannot arm camera %s: for frames of %d bytes the kernel gives %d buffers instead of %d; open it with fewer (Options.Buffers): %w",
			d.path, d.shape.size, n, d.info.Buffers+spareBuffers, camera.ErrRefused), d.free())
	}
	return d.mapAll(n)
}

// mapAll maps the buffers that the kernel has allocated.
func (d *Device) mapAll(n int) error {
	s := &d.shape
	least := (s.height-1)*s.stride + s.format.size(s.width)
	for i := range n {
		err := d.exchange(reqQueryBuf, i)
		if err == nil && int(d.queue.Length) < least {
			err = fmt.Errorf("a buffer of %d bytes cannot hold a frame of %d: %w", d.queue.Length, least, camera.ErrProtocol)
		}
		var m mapped
		if err == nil {
			m.bytes, err = d.node.mmap(int64(d.queue.Offset), int(d.queue.Length))
		}
		if err != nil {
			return errors.Join(d.failure("map a buffer of", err), d.free())
		}
		if s.format.unpack != nil {
			m.unpacked = make([]byte, 2*s.cut.Width*s.cut.Height)
		}
		d.buffers = append(d.buffers, m)
	}
	return nil
}

// free gives the buffers back to the kernel. Frames that the caller still has read as zeros from
// then on.
func (d *Device) free() error {
	d.mu.Lock()
	buffers := d.buffers
	d.buffers = nil
	d.mu.Unlock()
	var failed error
	for _, m := range buffers {
		failed = errors.Join(failed, d.node.unmap(m.bytes, m.lent))
	}
	if !d.owned {
		return failed
	}
	d.owned = false
	if err := call(d.node, reqReqBufs, &requestBuffers{Type: d.kind, Memory: memoryMMap}); failed == nil && err != nil {
		return err
	}
	return failed
}

// exchange is QUERYBUF, QBUF or DQBUF; what the kernel answers is in d.queue, whichever
// interface it is. Callers have the turn, and in a run they have mu.
func (d *Device) exchange(request uint32, index int) error {
	head := bufferHead{Index: uint32(index), Type: d.kind, Memory: memoryMMap}
	if d.kind == typeCapture {
		d.queue = buffer{bufferHead: head}
		return d.node.ioctl(request, unsafe.Pointer(&d.queue))
	}
	d.planes[0] = plane{}
	d.planar = bufferMPlane{bufferHead: head, Planes: &d.planes, Length: 1}
	err := d.node.ioctl(request, unsafe.Pointer(&d.planar))
	d.queue = buffer{bufferHead: d.planar.bufferHead, Offset: d.planes[0].Offset, Length: d.planes[0].Length}
	d.queue.BytesUsed = d.planes[0].BytesUsed
	return err
}

// start is where the frame begins in the buffer that exchange answered with.
func (d *Device) start() int {
	if d.kind == typeCapture {
		return 0
	}
	return int(d.planes[0].DataOffset)
}

// Arm implements camera.Device.
func (d *Device) Arm(ctx context.Context, r camera.Run) error {
	return d.do(ctx, "arm", func() error { return d.arm(r) }, func() { d.halt() })
}

func (d *Device) arm(r camera.Run) error {
	if err := d.mayConfigure("arm"); err != nil {
		return err
	}
	switch {
	case r.Frames < 1:
		return fmt.Errorf("cannot arm camera %s for %d frames, at least one is needed: %w", d.path, r.Frames, camera.ErrInput)
	case r.Free && len(d.options.Trigger) > 0 && len(d.options.Free) == 0:
		return fmt.Errorf("cannot let camera %s run free: name the controls that switch its trigger off (Options.Free): %w", d.path, camera.ErrInput)
	}
	if err := d.tame(r.Free); err != nil {
		return err
	}
	trigger := d.options.Trigger
	if r.Free {
		trigger = d.options.Free
	}
	if err := d.set(trigger); err != nil {
		return err
	}
	if err := d.confirm(); err != nil {
		return err
	}
	if err := d.allocate(); err != nil {
		return err
	}
	var err error
	for i := 0; i < len(d.buffers) && err == nil; i++ {
		err = d.exchange(reqQBuf, i)
	}
	if err == nil {
		err = call(d.node, reqStreamOn, new(int32(d.kind)))
	}
	if err != nil {
		err = d.failure("start", err)
		call(d.node, reqStreamOff, new(int32(d.kind))) // takes the buffers back
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range d.buffers {
		d.buffers[i].lent = false
	}
	d.run = run{number: d.run.number + 1, on: true, free: r.Free, frames: r.Frames}
	return nil
}

// confirm sees that the camera is still set up as it answered: others may have changed it, and
// an earlier call may have failed half-way.
func (d *Device) confirm() error {
	if c := d.exposure.control; c != nil && d.applied {
		if err := c.read(d.node); err != nil {
			return d.failure("read the exposure of", err)
		}
		if time.Duration(c.Value)*d.exposure.unit() != d.config.Exposure {
			if _, err := d.expose(d.config.Exposure); err != nil {
				return err
			}
		}
	}
	if d.applied {
		return nil
	}
	before := d.config
	if err := d.setUp(d.config); err != nil {
		return err
	}
	if d.config != before {
		return fmt.Errorf("cannot arm camera %s: it took %+v and now gives %+v; configure it: %w", d.path, before, d.config, camera.ErrRefused)
	}
	return nil
}

// Wait implements camera.Device.
func (d *Device) Wait(ctx context.Context, dst []camera.Frame) (int, error) {
	quiet := false // poll saw trouble, and there was nothing to dequeue
	for {
		n, err := d.take(ctx, dst)
		if n > 0 || err != nil {
			return n, err
		}
		if quiet {
			return 0, d.broken(fmt.Errorf("its queue reports an error: %w", camera.ErrProtocol))
		}
		if ctx.Err() != nil {
			return 0, fmt.Errorf("cannot get a frame from camera %s: %w: %w", d.path, camera.ErrTimeout, context.Cause(ctx))
		}
		trouble, err := d.node.poll()
		if err != nil {
			return 0, d.broken(err)
		}
		quiet = trouble
	}
}

// take dequeues the frames that are there.
func (d *Device) take(ctx context.Context, dst []camera.Frame) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var err error
	switch {
	case d.isClosed():
		err = camera.ErrClosed
	case !d.run.on:
		err = camera.ErrNotArmed
	case len(dst) == 0:
		err = fmt.Errorf("no room for one: %w", camera.ErrInput)
	case d.run.held >= d.info.Buffers:
		err = camera.ErrNoBuffers
	case d.run.failure != nil:
		return 0, d.run.failure
	}
	if err != nil {
		return 0, fmt.Errorf("cannot get a frame from camera %s: %w", d.path, err)
	}
	d.wakeAtEnd(ctx)
	dst = dst[:min(len(dst), d.info.Buffers-d.run.held)]
	n := 0
	for n < len(dst) {
		err := d.exchange(reqDQBuf, 0)
		if err == syscall.EAGAIN {
			break
		}
		if err == nil && int(d.queue.Index) >= len(d.buffers) {
			err = fmt.Errorf("it gives buffer %d of %d: %w", d.queue.Index, len(d.buffers), camera.ErrProtocol)
		}
		if err != nil {
			d.fail(err)
			if n == 0 {
				return 0, d.run.failure
			}
			break // next time
		}
		dst[n] = d.frame()
		n++
	}
	return n, nil
}

func (d *Device) isClosed() bool {
	select {
	case <-d.closed:
		return true
	default:
		return false
	}
}

// wakeAtEnd has poll return when ctx ends.
func (d *Device) wakeAtEnd(ctx context.Context) {
	if done := ctx.Done(); done != d.run.context {
		d.let()
		d.run.context = done
		if done != nil {
			d.run.release = context.AfterFunc(ctx, d.node.wake)
		}
	}
}

// let forgets the context of Wait.
func (d *Device) let() {
	if d.run.release != nil {
		d.run.release()
	}
	d.run.context, d.run.release = nil, nil
}

// frame makes a frame of the buffer that was dequeued. Callers hold mu.
func (d *Device) frame() camera.Frame {
	s, q, r := &d.shape, &d.queue, &d.run
	m := &d.buffers[q.Index]
	m.lent = true
	r.held++
	r.counts.Delivered++
	seq := d.number(q.Sequence)
	f := camera.Frame{
		Width: s.cut.Width, Height: s.cut.Height, Stride: s.stride, BitDepth: s.format.depth,
		Seq: seq, Trigger: seq, HostTime: time.Now(),
		Buffer: r.number*maxBuffers + int(q.Index),
	}
	if d.info.HasTime {
		f.DeviceTime = time.Duration(q.Seconds)*time.Second + time.Duration(q.Microseconds)*time.Microsecond
	}
	start, least := d.start(), (s.height-1)*s.stride+s.format.size(s.width)
	switch {
	case q.Flags&bufError != 0:
		f.Status = camera.Damaged
	case start > int(q.BytesUsed) || int(q.BytesUsed)-start < least:
		f.Status = camera.Incomplete
	}
	if start < 0 || start > len(m.bytes)-least {
		f.Status, start = camera.Damaged, 0
	}
	rows := m.bytes[start : start+least]
	if s.format.unpack == nil {
		bpp := camera.BytesPerPixel(s.format.depth)
		first := s.cut.V*s.stride + s.cut.U*bpp
		f.Pix = rows[first : first+(s.cut.Height-1)*s.stride+s.cut.Width*bpp]
		return f
	}
	f.Stride, f.Pix = 2*s.cut.Width, m.unpacked
	d.unpackRows(m.unpacked, rows)
	return f
}

// unpackRows unpacks the wanted part of a frame. The left edge of a part may lie within a group
// of pixels, so rows are unpacked from their start.
func (d *Device) unpackRows(dst, src []byte) {
	s := &d.shape
	right := s.cut.U + s.cut.Width
	if len(d.row) < 2*right {
		d.row = make([]byte, 2*right)
	}
	for v := range s.cut.Height {
		from := src[(s.cut.V+v)*s.stride:]
		to := dst[v*2*s.cut.Width:][:2*s.cut.Width]
		if s.cut.U == 0 {
			s.format.unpack(to, from)
			continue
		}
		s.format.unpack(d.row[:2*right], from)
		copy(to, d.row[2*s.cut.U:2*right])
	}
}

// number turns the kernel's sequence, which wraps, into Seq, and counts what is missing between
// them. Callers hold mu.
func (d *Device) number(sequence uint32) uint64 {
	r := &d.run
	gap := uint64(0)
	switch step := int32(sequence - r.sequence); {
	case !r.began && uint64(sequence) < uint64(r.frames):
		gap = uint64(sequence) // those before it were lost
	case !r.began: // a driver that does not begin at 0
	case step > 0:
		gap = uint64(step) - 1
	case !d.uncounted: // one that does not count
		d.uncounted = true
		d.settings = append(d.settings, uncounted)
	}
	r.began, r.sequence = true, sequence
	seq := r.next + gap
	r.next = seq + 1
	r.counts.Lost += gap
	r.counts.Frames += gap + 1
	return seq
}

// fail ends the stream for what the kernel says; callers hold mu.
func (d *Device) fail(err error) {
	if err == syscall.EIO && isGone(call(d.node, reqQueryCap, new(capability))) {
		err = syscall.ENODEV // some drivers notice in this order
	}
	if isGone(err) {
		d.gone = true
		d.run.failure = d.unplugged("get a frame from")
		return
	}
	if !errors.Is(err, camera.ErrProtocol) {
		err = fmt.Errorf("%w: %w", err, camera.ErrProtocol)
	}
	d.run.failure = fmt.Errorf("cannot get more frames from camera %s: %w; stop the run and arm it again", d.path, err)
}

// broken is fail for poll, unless the run has ended meanwhile.
func (d *Device) broken(err error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.isClosed():
		return fmt.Errorf("cannot get a frame from camera %s: %w", d.path, camera.ErrClosed)
	case !d.run.on:
		return fmt.Errorf("cannot get a frame from camera %s: %w", d.path, camera.ErrNotArmed)
	}
	d.fail(err)
	return d.run.failure
}

// Requeue implements camera.Device.
func (d *Device) Requeue(frames ...camera.Frame) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range frames {
		index := frames[i].Buffer % maxBuffers
		if !d.run.on || frames[i].Buffer/maxBuffers != d.run.number || index < 0 || index >= len(d.buffers) || !d.buffers[index].lent {
			continue
		}
		d.buffers[index].lent = false
		d.run.held--
		if err := d.exchange(reqQBuf, index); err != nil && d.run.failure == nil {
			d.fail(err)
		}
	}
}

// Stop implements camera.Device. Frames that have arrived and were not taken count as lost.
func (d *Device) Stop(ctx context.Context) (camera.Counts, error) {
	err := d.do(ctx, "stop", d.halt, nil)
	d.mu.Lock()
	defer d.mu.Unlock()
	if err != nil && !errors.Is(err, camera.ErrUnplugged) {
		return camera.Counts{}, err
	}
	return d.run.counts, err
}

func (d *Device) halt() error {
	if !d.endRun() {
		return nil
	}
	if err := call(d.node, reqStreamOff, new(int32(d.kind))); err != nil {
		return d.failure("stop", err)
	}
	return nil
}

// endRun ends the run for Wait, counts the frames that nobody took, and says whether there was
// a run.
func (d *Device) endRun() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.run.on {
		return false
	}
	for range maxBuffers {
		if d.run.failure != nil || d.exchange(reqDQBuf, 0) != nil {
			break
		}
		d.number(d.queue.Sequence)
		d.run.counts.Lost++
	}
	d.run.on = false
	d.let()
	d.node.wake()
	return true
}
