package gige

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/bits"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/camera/genapi"
	"github.com/light-in-the-loop/opu/camera/genicam"
	"github.com/light-in-the-loop/opu/internal/parallel"
)

// ErrLostControl is wrapped, with camera.ErrUnplugged, by the errors of a camera that has
// another master now, or none: it was not heard from for too long, or it was restarted. It
// must be opened again.
var ErrLostControl = errors.New("the camera no longer takes our commands")

// Options say how a camera is used. The zero value is a good start.
type Options struct {
	Source  string // of the trigger, as genicam.Options has it
	Falling bool

	// PacketSize of the stream in bytes, with the headers of IP and UDP; 0: the largest that
	// comes through.
	PacketSize int

	// Memory bounds what frames that were not yet taken may use, in bytes; 0: 512 MiB. Within
	// it there is room for all frames of a run.
	Memory int
}

const (
	lendable      = 16 // Info.Buffers
	defaultMemory = 512 << 20
	// latency allows for a frame's way over a slow link and for what the assembler waits.
	latency = silence + 200*time.Millisecond
	// closeTime bounds what Close waits for the camera.
	closeTime = time.Second
)

// Device is a GigE Vision camera. It implements camera.Device, camera.Inspector and camera.Paced.
type Device struct {
	found    Found
	options  Options
	control  *control
	camera   *genicam.Camera
	info     camera.Info
	tickRate uint64 // 0: the camera has no clock
	resends  bool
	packet   int // size of the stream's packets

	turn     chan struct{} // holds a token while nobody sets the camera up
	life     context.Context
	end      context.CancelCauseFunc
	watching sync.WaitGroup // the heartbeat
	port     atomic.Uint32  // of the stream; 0: none
	closed   atomic.Bool
	closing  sync.Once
	failure  error         // of Close
	arrived  chan struct{} // holds a token after something changed that Wait looks for

	// The stream of the run, and how its camera counts; belongs to whoever has the turn.
	stream    *stream
	numbering numbering

	mu     sync.Mutex // guards what follows
	armed  bool
	run    int // number of the last run: frames of earlier ones are ignored
	image  genicam.Image
	pool   pool
	queue  []arrival // frames that nobody took
	taken  uint64    // frames that the camera took
	given  uint64    // frames that Wait gave out
	counts camera.Counts
	stats  Stats
	before Stats // of the runs before this one

	warnings []string
}

var _ interface {
	camera.Device
	camera.Inspector
	camera.Paced
} = (*Device)(nil)

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

// Open takes a camera into use: the one with this serial number, or user's name, or IPv4
// address. Nobody else can control it until Close. It takes about a second.
func Open(ctx context.Context, reference string, o Options) (*Device, error) {
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("cannot open camera %s: %w: %w", reference, err, camera.ErrInput)
	}
	if o.Memory == 0 {
		o.Memory = defaultMemory
	}
	found, err := find(ctx, reference)
	if err != nil {
		return nil, err
	}
	c, err := dial(found.Address)
	if err != nil {
		return nil, err
	}
	d := &Device{found: found, options: o, control: c, turn: make(chan struct{}, 1), arrived: make(chan struct{}, 1)}
	d.turn <- struct{}{}
	d.life, d.end = context.WithCancelCause(context.Background())
	heartbeat, err := d.open(ctx)
	if err != nil {
		d.release()
		return nil, fmt.Errorf("cannot open the camera %v: %w", found, err)
	}
	d.watching.Go(func() { d.watch(heartbeat) })
	return d, nil
}

// open becomes the camera's master and learns what it can.
func (d *Device) open(ctx context.Context) (heartbeat time.Duration, err error) {
	c := d.control
	if err := c.writeRegister(ctx, regPrivilege, privilegeControl); err != nil {
		if errors.Is(err, Status(statusAccessDenied)) {
			err = fmt.Errorf("another program controls it; close that one first: %w", err)
		}
		return 0, err
	}
	capability, err := c.readRegister(ctx, regCapability)
	if err != nil {
		return 0, err
	}
	c.writesMemory, d.resends = capability&canWriteMemory != 0, capability&canResend != 0
	ms, err := c.readRegister(ctx, regHeartbeat)
	if err != nil {
		return 0, err
	}
	if err := d.readTickRate(ctx); err != nil {
		return 0, err
	}
	nodes, err := c.describe(ctx)
	if err != nil {
		return 0, err
	}
	d.camera, err = genicam.Open(ctx, nodes, camera.Info{
		Model: cmp.Or(d.found.Model, "GigE Vision camera"), Serial: cmp.Or(d.found.Serial, d.found.Address.String()), Buffers: lendable, Latency: latency, HasTime: d.tickRate > 0,
	}, genicam.Options{Source: d.options.Source, Falling: d.options.Falling, Packed: true})
	if err != nil {
		return 0, err
	}
	d.info = d.camera.Info()
	if d.packet = d.options.PacketSize; d.packet == 0 {
		if d.packet, err = negotiate(ctx, c, min(mtu(c.local()), 9000)&^3); err != nil {
			return 0, err
		}
	}
	if d.packet, err = c.setPacketSize(ctx, d.packet); err != nil {
		return 0, err
	}
	if d.packet <= 1500 {
		d.warn("packets have %d bytes; jumbo frames (an MTU of 9000 on the host and on the switch) need less of the processor", d.packet)
	}
	return max(time.Duration(ms)*time.Millisecond, time.Second/2), nil
}

// warn adds a warning, once.
func (d *Device) warn(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if w := fmt.Sprintf(format, args...); !slices.Contains(d.warnings, w) {
		d.warnings = append(d.warnings, w)
	}
}

// readTickRate learns how fast the camera's clock ticks.
func (d *Device) readTickRate(ctx context.Context) error {
	high, err := d.control.readRegister(ctx, regTickRateHigh)
	if err != nil {
		return ignoringRefusal(err)
	}
	low, err := d.control.readRegister(ctx, regTickRateLow)
	d.tickRate = uint64(high)<<32 | uint64(low)
	return ignoringRefusal(err)
}

func ignoringRefusal(err error) error {
	if errors.Is(err, camera.ErrRefused) {
		return nil
	}
	return err
}

// describe reads the camera's description of itself.
func (c *control) describe(ctx context.Context) (*genapi.Map, error) {
	var errs []error
	for i := range 2 {
		text := make([]byte, urlLength)
		if err := c.ReadAt(ctx, text, uint64(regURLs+i*urlLength)); err != nil {
			return nil, err
		}
		if text[0] == 0 {
			continue
		}
		xml, err := c.description(ctx, string(text))
		if err == nil {
			return genapi.New(xml, c)
		}
		if context.Cause(ctx) != nil || errors.Is(err, camera.ErrUnplugged) {
			return nil, err
		}
		errs = append(errs, err)
	}
	if len(errs) == 0 {
		return nil, fmt.Errorf("it does not say where its description is: %w", camera.ErrProtocol)
	}
	return nil, errors.Join(errs...)
}

func (c *control) description(ctx context.Context, url string) ([]byte, error) {
	where, err := genapi.ParseURL(url)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", err, camera.ErrProtocol)
	case where.Scheme == genapi.Local:
		return where.Read(ctx, c)
	case where.Scheme == genapi.File:
		data, err := os.ReadFile(where.Name)
		if err != nil {
			return nil, fmt.Errorf("cannot read the camera's description: %w", err)
		}
		return genapi.Unpack(data)
	}
	return nil, fmt.Errorf("its description is at %s, and descriptions are not fetched from elsewhere: %w", where.Name, camera.ErrRefused)
}

// Info implements camera.Device.
func (d *Device) Info() camera.Info { return d.info }

// Settings implements camera.Inspector.
func (d *Device) Settings() []camera.Setting { return d.camera.Settings() }

// TriggerLines implements camera.TriggerInput.
func (d *Device) TriggerLines() []string { return d.camera.TriggerLines() }

// Trigger implements camera.TriggerInput.
func (d *Device) Trigger() camera.Trigger { return d.camera.TriggerInput() }

// SetTrigger implements camera.TriggerInput.
func (d *Device) SetTrigger(ctx context.Context, t camera.Trigger) error {
	ctx, done, err := d.begin(ctx, "set the trigger of")
	if err != nil {
		return err
	}
	defer done()
	if d.isArmed() {
		return fmt.Errorf("cannot set the trigger of %s: %w", d.name(), camera.ErrArmed)
	}
	return d.camera.SetTriggerInput(ctx, t)
}

// MinPeriod implements camera.Paced.
func (d *Device) MinPeriod() time.Duration { return d.camera.MinPeriod() }

// Found is what the camera says of itself.
func (d *Device) Found() Found { return d.found }

// PacketSize is that of the stream's packets in bytes, with the headers of IP and UDP.
func (d *Device) PacketSize() int { return d.packet }

// StreamPort is the UDP port at which the frames of the present run arrive; 0: there is none.
func (d *Device) StreamPort() uint16 { return uint16(d.port.Load()) }

// Warnings tells, for people, what makes the link slower or less safe than it could be.
func (d *Device) Warnings() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.warnings)
}

// Stats returns the counters. It does not wait for a run.
func (d *Device) Stats() Stats {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.before.plus(d.stats)
}

func (s Stats) plus(t Stats) Stats {
	return Stats{
		Packets: s.Packets + t.Packets, Asked: s.Asked + t.Asked, Recovered: s.Recovered + t.Recovered, Missing: s.Missing + t.Missing,
		Doubled: s.Doubled + t.Doubled, Late: s.Late + t.Late, Malformed: s.Malformed + t.Malformed, Foreign: s.Foreign + t.Foreign,
		Incomplete: s.Incomplete + t.Incomplete, Lost: s.Lost + t.Lost, Overruns: s.Overruns + t.Overruns,
	}
}

// gone says why the device is of no more use, if it is.
func (d *Device) gone() error {
	if d.closed.Load() {
		return camera.ErrClosed
	}
	return context.Cause(d.life)
}

// name is how errors call the camera.
func (d *Device) name() string { return fmt.Sprintf("camera %s", d.info.Serial) }

// begin takes the turn for a call, which then ends when its context or the device does.
func (d *Device) begin(ctx context.Context, what string) (context.Context, func(), error) {
	fail := func(err error) (context.Context, func(), error) {
		return nil, nil, fmt.Errorf("cannot %s %s: %w", what, d.name(), err)
	}
	if err := cmp.Or(d.gone(), context.Cause(ctx)); err != nil {
		return fail(err)
	}
	select {
	case <-d.turn:
	case <-ctx.Done():
		return fail(context.Cause(ctx))
	case <-d.life.Done():
		return fail(d.gone())
	}
	both, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(d.life, func() { cancel(d.gone()) })
	return both, func() {
		stop()
		cancel(nil)
		d.turn <- struct{}{}
	}, nil
}

func (d *Device) isArmed() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.armed
}

// Configure implements camera.Device. Exposures and regions are as the camera rounds them;
// regions grow.
func (d *Device) Configure(ctx context.Context, c camera.Config) (camera.Config, error) {
	ctx, done, err := d.begin(ctx, "configure")
	if err != nil {
		return camera.Config{}, err
	}
	defer done()
	if d.isArmed() {
		return camera.Config{}, fmt.Errorf("cannot configure %s: %w", d.name(), camera.ErrArmed)
	}
	return d.camera.Configure(ctx, c)
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

// Close implements camera.Device. The camera is stopped and given up.
func (d *Device) Close() error {
	d.closing.Do(func() {
		d.closed.Store(true)
		d.end(camera.ErrClosed)
		d.signal()
		<-d.turn // calls that are under way end soon
		d.watching.Wait()
		if !errors.Is(context.Cause(d.life), camera.ErrUnplugged) {
			ctx, cancel := context.WithTimeout(context.Background(), closeTime)
			defer cancel()
			if d.stream != nil {
				d.failure = errors.Join(d.camera.Stop(ctx), d.control.pointStream(ctx, d.control.local(), 0))
			}
		}
		if d.stream != nil {
			d.finish()
		}
		d.release()
		d.turn <- struct{}{}
	})
	return d.failure
}

// release gives the camera up.
func (d *Device) release() {
	if !errors.Is(context.Cause(d.life), camera.ErrUnplugged) {
		ctx, cancel := context.WithTimeout(context.Background(), closeTime)
		defer cancel()
		d.control.writeRegister(ctx, regPrivilege, 0) // else it is free after the heartbeat's time
	}
	d.control.conn.Close()
}
