package v4l2

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/light-in-the-loop/opu/camera"
)

// Options say how a camera is used. The zero value is good for one that needs no controls of
// its own.
type Options struct {
	// Trigger are set, in this order, for runs with triggers, and Free for runs without. With
	// Trigger alone, the camera cannot run free.
	Trigger, Free []Control

	// Fixed are set at each arming, after what the driver itself switches off: what it cannot
	// know, such as the value of a gamma that is linear.
	Fixed []Control

	// Format is the only pixel format to use, by its four letters. Bayer formats must be named:
	// their counts are taken as they are, which is right for a sensor without a colour filter.
	// "": every grey format that the camera has.
	Format string

	// Exposure is the control of the exposure, and Unit what it counts. "": the kernel's own
	// (EXPOSURE_TIME_ABSOLUTE in 100 us, or EXPOSURE in lines where the length of a line is
	// known).
	Exposure string
	Unit     time.Duration

	// Buffers is how many the kernel keeps, 2 to 32; 0: as many as 256 MB hold, 4 to 32.
	Buffers int

	// Latency is the longest time from the end of an exposure to the frame; 0: 100 ms.
	Latency time.Duration
}

const (
	defaultLatency = 100 * time.Millisecond
	bufferMemory   = 256 << 20
	minBuffers     = 4 // by default
	spareBuffers   = 2 // that stay with the kernel
)

// Device is a camera behind a video node. It implements camera.Device and camera.Inspector.
//
// What may take long is done by one call at a time, which has the turn, in a goroutine that a
// context's end leaves behind. Wait and Requeue share the state under mu with it, and only make
// requests that return at once.
type Device struct {
	path    string
	driver  string
	options Options
	info    camera.Info
	node    node

	turn    chan struct{} // holds a token while nobody has it
	closed  chan struct{} // closed by the first Close
	closing sync.Once
	ended   error // of Close

	// What follows belongs to whoever has the turn.
	kind     uint32    // of the buffers
	sensor   selection // the whole of it, if the camera crops
	crops    bool      // the camera does; else frames are the whole sensor's
	formats  []pixelFormat
	controls []ControlInfo
	exposure exposure
	config   camera.Config
	applied  bool // the camera is set up as config says
	owned    bool // the kernel keeps its buffers for us
	shape    shape
	buffers  []mapped
	queue    buffer       // argument of QBUF and DQBUF; also under mu
	planar   bufferMPlane // the same for the multi-planar interface
	planes   [maxPlanes]plane
	row      []byte // room for unpackRows; under mu

	mu        sync.Mutex // guards what follows
	gone      bool
	settings  []camera.Setting
	uncounted bool // the driver's sequence does not count
	run       run
}

var (
	_ camera.Device    = (*Device)(nil)
	_ camera.Inspector = (*Device)(nil)
)

// Open takes a camera into use, sets it to its whole sensor, and keeps its buffers from others
// until it is closed. path is a node, or a link to one: /dev/v4l/by-id has links that stay with
// a camera.
func Open(ctx context.Context, path string, o Options) (*Device, error) {
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("cannot open camera %s: %w", path, err)
	}
	n, err := openNode(path)
	if err != nil {
		return nil, err
	}
	return open(ctx, n, path, serialOf(path), o)
}

func (o *Options) check() error {
	switch {
	case o.Buffers != 0 && (o.Buffers < 2 || o.Buffers > maxBuffers):
		return fmt.Errorf("%d buffers; 2 to %d are possible: %w", o.Buffers, maxBuffers, camera.ErrInput)
	case o.Latency < 0 || o.Unit < 0:
		return fmt.Errorf("a latency of %v and a unit of %v; neither may be negative: %w", o.Latency, o.Unit, camera.ErrInput)
	case (o.Exposure == "") != (o.Unit == 0):
		return fmt.Errorf("the exposure control %q in units of %v; name both or neither: %w", o.Exposure, o.Unit, camera.ErrInput)
	case o.Format != "" && !slices.ContainsFunc(pixelFormats, func(p pixelFormat) bool { return name(p.code) == o.Format }):
		return fmt.Errorf("the pixel format %q is not one that is understood: %w", o.Format, camera.ErrInput)
	}
	return nil
}

// open is Open on a node, which is the device's from then on.
func open(ctx context.Context, n node, path, serial string, o Options) (*Device, error) {
	d := &Device{
		path: path, options: o, node: n,
		turn: make(chan struct{}, 1), closed: make(chan struct{}),
	}
	d.turn <- struct{}{}
	if err := d.do(ctx, "open", func() error { return d.greet(serial) }, nil); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// greet finds out what the camera is and can do.
func (d *Device) greet(serial string) error {
	var c capability
	if err := call(d.node, reqQueryCap, &c); err != nil {
		if err == syscall.ENOTTY || err == syscall.EINVAL {
			return fmt.Errorf("cannot open camera %s: it is no video node: %w", d.path, camera.ErrInput)
		}
		return d.failure("open", err)
	}
	switch can := c.can(); {
	case can&capCapture != 0:
		d.kind = typeCapture
	case can&capCaptureMPlane != 0:
		d.kind = typeCaptureMPlane
	default:
		return fmt.Errorf("cannot open camera %s: %s does not capture frames at this node; a camera has several, try the others: %w", d.path, text(c.Card[:]), camera.ErrInput)
	}
	if c.can()&capStreaming == 0 {
		return fmt.Errorf("cannot open camera %s: its driver %s does not stream: %w", d.path, text(c.Driver[:]), camera.ErrRefused)
	}
	d.driver = text(c.Driver[:])
	d.info = camera.Info{
		Model:   cmp.Or(text(c.Card[:]), d.driver),
		Serial:  cmp.Or(serial, text(c.Bus[:]), d.path),
		Latency: cmp.Or(d.options.Latency, defaultLatency),
	}
	var err error
	if d.controls, err = enumerate(d.node); err != nil {
		return d.failure("list the controls of", err)
	}
	d.inspect()
	if err := d.findFormats(); err != nil {
		return err
	}
	if err := d.findSensor(); err != nil {
		return err
	}
	d.config = camera.Config{
		ROI:      camera.ROI{Width: d.info.Width, Height: d.info.Height},
		BitDepth: d.info.BitDepths[0],
	}
	if err := d.setShape(&d.config); err != nil {
		return err
	}
	if err := d.findExposure(); err != nil {
		return err
	}
	d.applied = true
	return d.findBuffers()
}

// can are the abilities of the node, where the driver tells those of nodes.
func (c *capability) can() uint32 {
	if c.Capabilities&capDeviceCaps != 0 {
		return c.DeviceCaps
	}
	return c.Capabilities
}

// Info implements camera.Device.
func (d *Device) Info() camera.Info {
	i := d.info
	i.BitDepths = slices.Clone(i.BitDepths)
	return i
}

// isGone tells that the device is no more.
func isGone(err error) bool { return err == syscall.ENODEV || err == syscall.ENXIO }

// failure turns what the kernel says into the conditions of package camera.
func (d *Device) failure(what string, err error) error {
	condition := camera.ErrRefused
	hint := ""
	switch {
	case isGone(err):
		d.mu.Lock()
		d.gone = true
		d.mu.Unlock()
		return d.unplugged(what)
	case errors.Is(err, camera.ErrProtocol), errors.Is(err, camera.ErrInput), errors.Is(err, camera.ErrRefused):
		return fmt.Errorf("cannot %s camera %s: %w", what, d.path, err)
	case err == syscall.EBUSY:
		hint = "; another program may have it"
	case err == syscall.EIO:
		condition = camera.ErrProtocol
	case err == syscall.EPIPE || err == syscall.ENOLINK:
		hint = "; the parts of its pipeline do not fit together, set them up with media-ctl"
	case err == syscall.ENOMEM:
		hint = "; lower Options.Buffers"
	}
	return fmt.Errorf("cannot %s camera %s: %w%s: %w", what, d.path, err, hint, condition)
}

func (d *Device) unplugged(what string) error {
	return fmt.Errorf("cannot %s camera %s (%s): %w", what, d.path, d.info.Serial, camera.ErrUnplugged)
}

// usable says whether a call may begin.
func (d *Device) usable(ctx context.Context, what string) error {
	select {
	case <-d.closed:
		return fmt.Errorf("cannot %s camera %s: %w", what, d.path, camera.ErrClosed)
	default:
	}
	if ctx.Err() != nil {
		return fmt.Errorf("cannot %s camera %s: %w", what, d.path, context.Cause(ctx))
	}
	return nil
}

// do calls f with the turn, and returns when f does or ctx ends. What f has done is then taken
// back by undo, if it is not nil.
func (d *Device) do(ctx context.Context, what string, f func() error, undo func()) error {
	if err := d.usable(ctx, what); err != nil {
		return err
	}
	late := func() error {
		return fmt.Errorf("cannot %s camera %s: it does not answer: %w: %w", what, d.path, camera.ErrTimeout, context.Cause(ctx))
	}
	select {
	case <-d.turn:
	case <-d.closed:
		return d.usable(ctx, what)
	case <-ctx.Done():
		return late()
	}
	if err := d.usable(ctx, what); err != nil {
		d.turn <- struct{}{}
		return err
	}
	var settled atomic.Bool // by whoever is first: f has ended, or nobody waits for it
	done := make(chan error, 1)
	go func() {
		err := f()
		if first := settled.CompareAndSwap(false, true); !first && err == nil && undo != nil {
			undo()
		}
		d.turn <- struct{}{}
		done <- err
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		if settled.CompareAndSwap(false, true) {
			return late()
		}
		return <-done
	}
}

// closeLimit is how long Close waits for a driver that hangs.
const closeLimit = 5 * time.Second

// Close implements camera.Device. If the driver hangs it gives up after five seconds, with an
// error, and the node stays open.
func (d *Device) Close() error {
	d.closing.Do(func() {
		close(d.closed)
		d.node.wake() // whoever waits sees that it is closed
		limit := time.NewTimer(closeLimit)
		defer limit.Stop()
		done := make(chan error, 1)
		go func() {
			<-d.turn // for ever
			done <- d.tearDown()
		}()
		select {
		case d.ended = <-done:
		case <-limit.C:
			d.ended = fmt.Errorf("cannot close camera %s: its driver does not answer: %w", d.path, camera.ErrTimeout)
		}
	})
	return d.ended
}

// tearDown stops a run, frees the buffers and closes the node.
func (d *Device) tearDown() error {
	if d.endRun() {
		call(d.node, reqStreamOff, new(int32(d.kind))) // it may be gone
	}
	err := d.free()
	if isGone(err) {
		err = nil
	}
	if err := errors.Join(err, d.node.close()); err != nil {
		return fmt.Errorf("cannot close camera %s: %w", d.path, err)
	}
	return nil
}
