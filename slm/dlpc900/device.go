package dlpc900

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/light-in-the-loop/opu/internal/pause"
	"github.com/light-in-the-loop/opu/slm"
)

// Options say how a board is driven. The zero value is good for a board of a known type.
type Options struct {
	// Port tells boards apart: all have the same serial number. hidraw and libusb give the
	// USB port path.
	Port string

	// DMD describes the mirrors if the board does not say what it has (type byte 0, or one
	// that is not listed). A board that says so must have this geometry.
	DMD *DMD

	Blocks Blocks // that move; fewer allow shorter periods, which Info then has

	Rest Rest // what the mirrors do when nothing plays

	// RestAfter is when they begin, and when the light is switched off. 0: ten seconds for
	// RestIdle, a tenth of a second for RestWarm.
	RestAfter time.Duration

	// Dummies patterns, half of the mirrors on, are shown at the start of each run, without
	// a trigger for the camera. They count neither as shown nor for the order's length; 0 to
	// maxDummies.
	Dummies int

	Light Switch // a shutter or the laser's interlock; may be nil

	// Reopen opens the link again when the board went away or answers no more; nil: the
	// device stays lost. Patterns are kept by the host and sent again as they are needed.
	Reopen func(context.Context) (Link, error)

	// Reset resets the board's USB port while the link is closed; it is tried when a link
	// that was opened again brings no answer. nil: it is not.
	Reset func(context.Context) error

	Log *slog.Logger // of what is done to bring a board back; nil: none

	// Virtual says that the controller's clock is not the host's, as for a model: its status
	// alone says when a run has ended, and waiting for mirrors is needless.
	Virtual bool
}

// maxDummies bounds what is taken from the longest run.
const maxDummies = 32

// Device is a DMD behind a DLPC900. It implements slm.Device.
//
// The board is told about patterns as late as possible and remembers nothing that the host
// does not: what is known of it is in known, and whatever is not known is sent again before
// it is needed.
type Device struct {
	options  Options
	dmd      DMD
	kind     byte // type byte
	tag      string
	versions Versions
	warnings []string
	info     slm.Info
	reserved int // first places, taken by the warm patterns
	reorders bool
	blocks   Blocks // that move

	turn chan struct{} // holds a token while nobody talks to the board
	life context.Context
	end  context.CancelCauseFunc

	closing atomic.Bool
	closed  chan struct{} // when Close is done
	failure error         // of Close

	// What follows belongs to whoever has the turn.
	line     *line
	lost     bool // the link is of no more use
	unready  bool // the board must be brought into its mode again
	known    known
	store    store
	encoders []*encoder // one for each controller
	last     timing     // of the LUT, or of the next one
	run      *run       // the last; never nil
	light    bool       // may be on
	inverted bool       // patterns are, see Invert
	resting  *time.Timer
	stats    Stats
}

// known is what the board is known to have. The zero value is a board of which nothing is
// known.
type known struct {
	stopped    bool
	parked     bool
	idle       bool
	idleSince  time.Time
	defined    []entry // of the LUT
	configured int     // entries that are effective; 0: none, or stale
	images     [maxImages]bool
}

var _ interface {
	slm.Device
	slm.Inverter
	slm.Banded
	slm.TriggeredPlayer
} = (*Device)(nil)

// Open takes a board into use: it wakes it, stops what plays, and brings it into the mode in
// which patterns come over USB. The link is the device's from then on; after an error it is
// closed. It takes a few seconds if the board was in standby.
func Open(ctx context.Context, link Link, o Options) (*Device, error) {
	d, err := newDevice(link, o)
	if err == nil {
		err = d.greet(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cannot open %s: %w", name(o), err), link.Close())
	}
	d.rest()
	d.turn <- struct{}{}
	return d, nil
}

const unknownPort = "an unknown port"

// name is how errors call the board.
func name(o Options) string { return "DLPC900 at " + cmp.Or(o.Port, unknownPort) }

func newDevice(link Link, o Options) (*Device, error) {
	if o.Dummies < 0 || o.Dummies > maxDummies {
		return nil, fmt.Errorf("%d dummy patterns; 0 to %d are possible: %w", o.Dummies, maxDummies, slm.ErrInput)
	}
	if o.DMD != nil {
		if err := o.DMD.check(); err != nil {
			return nil, err
		}
	}
	if o.Port == "" {
		o.Port = unknownPort
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.RestAfter == 0 {
		o.RestAfter = 10 * time.Second
		if o.Rest == RestWarm {
			o.RestAfter = 100 * time.Millisecond
		}
	}
	d := &Device{
		options: o, turn: make(chan struct{}, 1), closed: make(chan struct{}), run: &run{ended: true},
		line: &line{link: link},
	}
	d.life, d.end = context.WithCancelCause(context.Background())
	return d, nil
}

// greet gets to know the board.
func (d *Device) greet(ctx context.Context) error {
	kind, err := d.introduce(ctx)
	if err != nil {
		return err
	}
	dmd, listed := dmds[kind]
	switch custom := d.options.DMD; {
	case custom == nil && !listed:
		return fmt.Errorf("its DMD has the type %d, which is not known; describe the DMD in the options: %w", kind, slm.ErrInput)
	case custom != nil && listed && custom.Geometry != dmd.Geometry:
		return fmt.Errorf("its DMD is a %s of %v mirrors, the options say %v: %w", dmd.Name, dmd.Geometry, custom.Geometry, slm.ErrInput)
	case custom != nil:
		dmd = *custom
	}
	d.dmd, d.kind = dmd, kind
	if d.blocks, err = d.options.Blocks.resolve(dmd); err != nil {
		return err
	}
	if err := d.line.ready(ctx, dmd.Controllers); err != nil {
		return err
	}
	if err := d.prepare(ctx); err != nil {
		return err
	}
	minPeriod, err := d.minPeriod(ctx)
	if err != nil {
		return err
	}
	d.reorders = !d.versions.Application.before(5, 0)
	longest := maxReorder
	if !d.reorders {
		longest = maxEntries - 1 // one is kept for a plane 0, see orderByLUT
		d.warn("firmware %v has no reorder command, so each run writes the whole LUT; update it to 5.0.1 or later", d.versions.Application)
	}
	if d.options.Rest == RestWarm || d.options.Dummies > 0 {
		d.reserved = 2
	}
	capacity := dmd.Capacity - d.reserved
	if capacity < 1 {
		return fmt.Errorf("%d patterns leave no slot beside the dummy patterns: %w", dmd.Capacity, slm.ErrInput)
	}
	d.info = slm.Info{
		Model: dmd.Name + " (DLPC900)", Serial: d.options.Port, Geometry: dmd.Geometry,
		Capacity: capacity, MaxRun: longest - d.options.Dummies, MinPeriod: minPeriod,
	}
	d.store = newStore(dmd.Geometry, d.reserved, capacity)
	for c := range dmd.Controllers {
		d.encoders = append(d.encoders, newEncoder(c*dmd.half(), dmd.half(), dmd.Geometry.Height))
	}
	d.last = timing{exposure: minPeriod}
	return nil
}

// minPeriod is the shortest exposure of the blocks in use: what is known of the DMD, or what
// the board says if that is longer. A caller's description is believed.
func (d *Device) minPeriod(ctx context.Context) (time.Duration, error) {
	least := d.dmd.MinExposures[0]
	if n := d.blocks.Count; n < len(d.dmd.BlockExposures) {
		least = d.dmd.BlockExposures[n-1]
	}
	if d.options.DMD != nil {
		return least, nil
	}
	own, err := d.line.minExposures(ctx)
	if err == nil && len(own) > 0 {
		least = max(least, own[0])
	}
	return least, err
}

func (d *Device) warn(format string, args ...any) {
	d.warnings = append(d.warnings, fmt.Sprintf(format, args...))
}

// introduce reads who is there.
func (d *Device) introduce(ctx context.Context) (kind byte, err error) {
	if kind, d.tag, err = d.line.identity(ctx); err != nil {
		return kind, err
	}
	d.versions, err = d.line.versions(ctx)
	return kind, err
}

// ready waits until a board that was just switched on has initialised itself.
func (l *line) ready(ctx context.Context, controllers int) error {
	for try := 0; ; try++ {
		h, err := l.hardware(ctx)
		if err != nil {
			return err
		}
		if h&HardwareReady != 0 || try == 10 {
			return h.Check(controllers)
		}
		if err := pause.For(ctx, 500*time.Millisecond); err != nil {
			return err
		}
	}
}

// prepare brings the board into the mode in which patterns come over USB: Stop, mode 3, and
// Stop again (DLPU018J wants the first; field reports tell of lock-ups without the second).
func (d *Device) prepare(ctx context.Context) error {
	l := d.line
	woken, err := l.wake(ctx)
	if err != nil {
		return err
	}
	if idle, err := l.byteOf(ctx, cmdIdle); err != nil {
		return err
	} else if idle == 1 {
		if err := l.idle(ctx, false); err != nil {
			return err
		}
	}
	if err := l.stop(ctx); err != nil {
		return err
	}
	main, err := l.main(ctx)
	if err != nil {
		return err
	}
	if main&MainParked != 0 {
		if err := l.unpark(ctx); err != nil {
			return err
		}
	}
	mode, err := l.byteOf(ctx, cmdMode)
	if err != nil {
		return err
	}
	if mode != modeOnTheFly {
		if err := l.set(ctx, cmdMode, []byte{modeOnTheFly}); err != nil {
			return err
		}
		if err := l.entered(ctx); err != nil {
			return err
		}
	}
	stuck, hopeless := sticks(d.kind, d.versions.Application)
	if hopeless != nil {
		d.warn("%v", hopeless)
	}
	if stuck && (woken || mode != modeOnTheFly) {
		if err := l.release(ctx); err != nil {
			return err
		}
	}
	if err := l.stop(ctx); err != nil {
		return err
	}
	if err := d.shape(ctx); err != nil {
		return err
	}
	d.known = known{stopped: true}
	return nil
}

// entered waits until the mode is the one that was set.
func (l *line) entered(ctx context.Context) error {
	for try := 0; ; try++ {
		mode, err := l.byteOf(ctx, cmdMode)
		if err != nil || mode == modeOnTheFly {
			return err
		}
		if try == 10 {
			return l.fail(cmdMode, fmt.Errorf("it stays in mode %d; power-cycle the board: %w", mode, slm.ErrRefused))
		}
		if err := pause.For(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
}

// Info implements slm.Device.
func (d *Device) Info() slm.Info { return d.info }

// Warnings are what is odd about the board, for people; they do not change while it is open.
func (d *Device) Warnings() []string { return d.warnings }

// take waits for the turn. The context that it returns ends with the caller's and with Close;
// the turn is given back by d.give.
func (d *Device) take(ctx context.Context, what string) (context.Context, context.CancelFunc, error) {
	fail := func(err error) error { return fmt.Errorf("cannot %s on %s: %w", what, name(d.options), err) }
	if d.life.Err() != nil {
		return nil, nil, fail(slm.ErrClosed)
	}
	if ctx.Err() != nil {
		return nil, nil, fail(context.Cause(ctx))
	}
	select {
	case <-d.turn:
	case <-ctx.Done():
		return nil, nil, fail(context.Cause(ctx))
	case <-d.life.Done():
		return nil, nil, fail(slm.ErrClosed)
	}
	if d.life.Err() != nil {
		d.turn <- struct{}{}
		return nil, nil, fail(slm.ErrClosed)
	}
	both, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(d.life, func() { cancel(slm.ErrClosed) })
	return both, func() { stop(); cancel(nil) }, nil
}

// give gives the turn back and makes the caller's error of err. After a failure the board is
// made safe first, in the background, so that the caller need not wait for it.
func (d *Device) give(what string, err error) error {
	if err == nil {
		d.rest()
		d.turn <- struct{}{}
		return nil
	}
	err = fmt.Errorf("cannot %s on %s: %w", what, name(d.options), err)
	if (errors.Is(err, slm.ErrInput) || errors.Is(err, slm.ErrBusy)) && !errors.Is(err, errLight) {
		d.turn <- struct{}{}
		return err
	}
	d.judge(err)
	go func() {
		d.secure()
		d.turn <- struct{}{}
	}()
	return err
}

// judge decides what an error says about the link.
func (d *Device) judge(err error) {
	if errors.Is(err, errLight) {
		return
	}
	gone := errors.Is(err, slm.ErrUnplugged)
	dumb := errors.Is(err, slm.ErrTimeout) || errors.Is(err, slm.ErrProtocol)
	if gone || dumb && d.options.Reopen != nil {
		d.lost, d.known = true, known{}
	}
	if errors.Is(err, errAborted) {
		d.unready, d.known = true, known{} // it may have begun anew
	}
}

// reach makes sure that there is a board to talk to: it opens a lost one again.
func (d *Device) reach(ctx context.Context) error {
	if !d.lost && d.unready {
		if err := d.prepare(ctx); err != nil {
			return err
		}
		d.unready = false
	}
	if !d.lost {
		return nil
	}
	if d.options.Reopen == nil {
		return fmt.Errorf("the board went away; close this device and open the board again: %w", slm.ErrUnplugged)
	}
	return d.recover(ctx)
}

// Close implements slm.Device: it stops the run, parks the mirrors and switches the light
// off, as far as the board answers, within closeTime.
func (d *Device) Close() error {
	if d.closing.Swap(true) {
		<-d.closed
		return d.failure
	}
	defer close(d.closed)
	d.end(slm.ErrClosed)
	<-d.turn // what talks to the board ends now, and what makes it safe soon
	d.resting.Stop()
	d.failure = errors.Join(d.secure(), d.line.link.Close())
	if d.lost && !errors.Is(d.failure, errLight) {
		d.failure = nil // that was told when it happened
	}
	return d.failure
}
