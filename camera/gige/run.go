package gige

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"time"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/camera/genicam"
	"github.com/light-in-the-loop/opu/internal/parallel"
)

// arrival is a frame that nobody took yet.
type arrival struct {
	finished
	at time.Time
}

// pool is the memory of a run's frames.
type pool struct {
	raw    [][]byte // as they come
	free   []int    // of raw
	pixels [][]byte // unpacked, where the format is packed; as many as can be lent
	unlent []int    // of pixels
	lent   int
	out    []bool // by number of buffer: it is with the caller
}

// Arm implements camera.Device.
func (d *Device) Arm(ctx context.Context, r camera.Run) error {
	ctx, done, err := d.begin(ctx, "arm")
	if err != nil {
		return err
	}
	defer done()
	switch {
	case d.isArmed():
		return fmt.Errorf("cannot arm %s: %w", d.name(), camera.ErrArmed)
	case r.Frames < 1:
		return fmt.Errorf("cannot arm %s for %d frames, at least one is needed: %w", d.name(), r.Frames, camera.ErrInput)
	}
	if err := d.camera.Arm(ctx, r); err != nil {
		return err
	}
	if err := d.start(ctx, r); err != nil {
		return fmt.Errorf("cannot arm %s: %w", d.name(), err)
	}
	return nil
}

// start opens the stream and starts the camera.
func (d *Device) start(ctx context.Context, r camera.Run) error {
	s, err := listen(d.control.local(), d.control.remote())
	if err != nil {
		return err
	}
	if s.buffer > 0 && s.buffer < smallBuffer {
		d.warn("the host keeps %d bytes of packets, which is little: set net.core.rmem_max to %d", s.buffer, wantedBuffer)
	}
	image := d.camera.Image()
	d.numbering.frames = uint64(r.Frames)
	d.prepare(image, r.Frames)
	s.assembler = &assembler{image: image, packetSize: d.packet, resends: d.resends, numbering: d.numbering, take: d.buffer}
	s.deliver, s.count, s.resend = d.deliver, d.count, func(g gap) {
		body, flags := g.appendResend(nil)
		d.control.send(flags, resendCommand, body) // if it cannot be asked, the packet is missing
	}
	go s.receive()
	if err = d.control.pointStream(ctx, d.control.local(), s.port()); err == nil {
		err = d.camera.Start(ctx)
	}
	if err != nil {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
		defer cancel()
		if d.gone() == nil {
			err = errors.Join(err, d.camera.Stop(closing))
		}
		s.finish()
		d.mu.Lock()
		d.armed = false
		d.mu.Unlock()
		return err
	}
	d.stream = s
	d.port.Store(uint32(s.port()))
	return nil
}

// prepare makes room for the frames of a run. Nothing of an earlier run is left.
func (d *Device) prepare(image genicam.Image, frames int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := min(max(frames, 2)+lendable, max(lendable+2, d.options.Memory/image.Bytes))
	p := &d.pool
	if len(p.raw) < n || len(p.raw[0]) != image.Bytes || d.image.Format != image.Format {
		p.raw = make([][]byte, n)
		for i := range p.raw {
			p.raw[i] = make([]byte, image.Bytes)
		}
		p.pixels = nil
		if image.Format.Packed() {
			p.pixels = make([][]byte, lendable)
			for i := range p.pixels {
				p.pixels[i] = make([]byte, 2*image.Width*image.Height)
			}
		}
		p.out = make([]bool, max(len(p.raw), len(p.pixels)))
	}
	p.free, p.unlent, p.lent = p.free[:0], p.unlent[:0], 0
	for i := range p.raw {
		p.free = append(p.free, i)
	}
	for i := range p.pixels {
		p.unlent = append(p.unlent, i)
	}
	clear(p.out)
	d.image, d.armed, d.queue = image, true, d.queue[:0]
	d.taken, d.given, d.counts = 0, 0, camera.Counts{}
	d.before, d.stats = d.before.plus(d.stats), Stats{}
	d.run++
}

// buffer takes a free buffer for a frame that begins; the receiving goroutine calls it.
func (d *Device) buffer() (int, []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := &d.pool
	if len(p.free) == 0 {
		return -1, nil
	}
	i := p.free[len(p.free)-1]
	p.free = p.free[:len(p.free)-1]
	return i, p.raw[i]
}

// deliver puts frames in the queue; the receiving goroutine calls it.
func (d *Device) deliver(out []finished) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	for _, f := range out {
		d.taken = f.seq + 1
		switch {
		case !f.lost:
			d.queue = append(d.queue, arrival{f, now})
		case f.buffer >= 0:
			d.pool.free = append(d.pool.free, f.buffer)
		}
	}
	d.signal()
}

func (d *Device) count(s Stats) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stats = s
}

func (d *Device) signal() {
	select {
	case d.arrived <- struct{}{}:
	default:
	}
}

// Wait implements camera.Device.
func (d *Device) Wait(ctx context.Context, dst []camera.Frame) (int, error) {
	fail := func(err error) (int, error) {
		return 0, fmt.Errorf("cannot get a frame from %s: %w", d.name(), err)
	}
	for {
		if n, err := d.next(dst); n > 0 || err != nil {
			if err != nil {
				return fail(err)
			}
			return n, nil
		}
		select {
		case <-d.arrived:
		case <-d.life.Done():
		case <-ctx.Done():
			return fail(fmt.Errorf("%w: %w", camera.ErrTimeout, context.Cause(ctx)))
		}
	}
}

// next takes what has arrived, if anything.
func (d *Device) next(dst []camera.Frame) (int, error) {
	d.mu.Lock()
	p := &d.pool
	lost := d.gone()
	var err error
	switch {
	case lost == camera.ErrClosed:
		err = lost
	case !d.armed:
		err = cmp.Or(lost, camera.ErrNotArmed)
	case len(dst) == 0:
		err = fmt.Errorf("no room for one: %w", camera.ErrInput)
	case p.lent == lendable:
		err = camera.ErrNoBuffers
	case len(d.queue) == 0:
		err = lost
	}
	n := min(len(dst), lendable-p.lent, len(d.queue))
	if err != nil || n == 0 {
		d.mu.Unlock()
		return 0, err
	}
	unpack := d.image.Format.Packed()
	for i, a := range d.queue[:n] {
		number, pix := a.buffer, p.raw[a.buffer]
		if unpack {
			number = p.unlent[len(p.unlent)-1]
			p.unlent = p.unlent[:len(p.unlent)-1]
			pix = p.pixels[number]
		}
		p.out[number] = true
		bitDepth := d.image.Format.BitDepth()
		dst[i] = camera.Frame{
			Pix: pix, Width: d.image.Width, Height: d.image.Height, Stride: d.image.Width * camera.BytesPerPixel(bitDepth), BitDepth: bitDepth,
			Seq: a.seq, Trigger: a.seq, DeviceTime: d.time(a.ticks), HostTime: a.at, Status: a.status,
			Buffer: d.run*len(p.out) + number,
		}
	}
	p.lent += n
	d.given += uint64(n)
	taken := slices.Clone(d.queue[:n])
	d.queue = slices.Delete(d.queue, 0, n)
	raw, run, format := p.raw, d.run, d.image.Format
	d.mu.Unlock()
	if unpack {
		parallel.Do(n, func(i int) { format.Unpack(dst[i].Pix, raw[taken[i].buffer]) })
		d.mu.Lock()
		for _, a := range taken {
			if d.run == run {
				p.free = append(p.free, a.buffer)
			}
		}
		d.mu.Unlock()
	}
	return n, nil
}

// time is the camera's clock, from its ticks.
func (d *Device) time(ticks uint64) time.Duration {
	if d.tickRate == 0 {
		return 0
	}
	high, low := bits.Mul64(ticks, uint64(time.Second))
	ns, _ := bits.Div64(high%d.tickRate, low, d.tickRate)
	return time.Duration(ns & (1<<63 - 1))
}

// Requeue implements camera.Device.
func (d *Device) Requeue(frames ...camera.Frame) {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := &d.pool
	for _, f := range frames {
		if len(p.out) == 0 || f.Buffer/len(p.out) != d.run || !p.out[f.Buffer%len(p.out)] {
			continue
		}
		number := f.Buffer % len(p.out)
		p.out[number] = false
		p.lent--
		if d.image.Format.Packed() {
			p.unlent = append(p.unlent, number)
		} else {
			p.free = append(p.free, number)
		}
	}
}

// SoftwareTrigger gives the camera one trigger, if Options.Source is Software: for looking at a camera
// to whose line nothing is wired.
func (d *Device) SoftwareTrigger(ctx context.Context) error {
	ctx, done, err := d.begin(ctx, "trigger")
	if err != nil {
		return err
	}
	defer done()
	if err := d.camera.Trigger(ctx); err != nil {
		return fmt.Errorf("cannot trigger %s: %w", d.name(), err)
	}
	return nil
}

// Stop implements camera.Device. Frames whose packets are under way are still counted.
func (d *Device) Stop(ctx context.Context) (camera.Counts, error) {
	ctx, done, err := d.begin(ctx, "stop")
	if err != nil {
		return camera.Counts{}, err
	}
	defer done()
	if d.stream != nil {
		if err := d.camera.Stop(ctx); err != nil {
			return camera.Counts{}, fmt.Errorf("cannot stop %s: %w", d.name(), err)
		}
		d.finish()
		if err := d.control.pointStream(ctx, d.control.local(), 0); err != nil {
			return camera.Counts{}, fmt.Errorf("cannot stop %s: %w", d.name(), err)
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.counts, nil
}

// finish ends the run on the host's side.
func (d *Device) finish() {
	d.stream.finish()
	a := d.stream.assembler
	d.numbering = a.numbering
	if a.started {
		d.numbering.before = a.numbering.last
	}
	d.stream = nil
	d.port.Store(0)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.armed = false
	d.counts = camera.Counts{Frames: d.taken, Delivered: d.given, Lost: d.taken - d.given}
	d.queue = d.queue[:0]
	d.signal() // whoever waits learns that there is no run
}
