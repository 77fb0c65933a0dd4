package gige

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/camera/genapi"
	"github.com/light-in-the-loop/opu/camera/genicam"
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
