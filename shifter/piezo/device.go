package piezo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/light-in-the-loop/opu/internal/pause"
	"github.com/light-in-the-loop/opu/shifter"
)

// Options say how a controller is driven. The zero value is careful.
type Options struct {
	Kind string // of controller, one of Kinds; "": DefaultKind
	Name string // of the port, for people
	Axis string // x, y or z; "": x

	// Min and Max are volts that the piezo may have, beside the controller's own limits.
	// Max 0 means DefaultMax, which every stack piezo in use takes.
	Min, Max float64

	// Step is the largest change at a time, in volts, and Pause the time between two; 0
	// means 5 V and 10 ms. Settle is what Set waits in the end; 0 means 50 ms.
	Step   float64
	Pause  time.Duration
	Settle time.Duration

	// Tolerance is by how much the controller's meter may differ from what it was told,
	// in volts; 0 means 0.5 V. More is ErrRefused: a knob or an external input adds to it.
	Tolerance float64

	RadiansPerVolt float64 // as shifter.Info has it

	// Reopen opens the port again when the line has ended or the controller does not
	// answer any more; nil: the device stays lost. It must be the same controller.
	Reopen func(context.Context) (Port, error)
}

// DefaultMax is the limit without another one: the lowest position of the controllers'
// switch.
const DefaultMax = 75.0

// closeTime bounds what Close waits for a port that does not end.
const closeTime = time.Second

// Device is a controller of one piezo. It implements shifter.Device.
type Device struct {
	options  Options
	dialect  *dialect
	info     shifter.Info
	identity string // as the controller says it

	turn chan struct{} // holds a token while nobody talks to the controller
	life context.Context
	end  context.CancelFunc

	closing atomic.Bool
	closed  chan struct{} // when Close is done
	failure error         // of Close

	// What follows belongs to whoever has the turn.
	line *line
	last float64 // what the piezo was told; NaN: nobody knows

	mu    sync.Mutex
	stats Stats // as of the last call; guarded by mu
}

var _ shifter.Device = (*Device)(nil)

// Open takes a controller into use: it finds out who it is and what its limits are, and
// moves nothing. The port is the device's from then on; after an error it is closed.
func Open(ctx context.Context, port Port, o Options) (*Device, error) {
	o.Name = cmp.Or(o.Name, "an unnamed port")
	d, err := newDevice(o)
	if err == nil {
		d.line = newLine(port, d.dialect)
		if err = d.greet(ctx); err == nil {
			d.turn <- struct{}{}
			return d, nil
		}
		d.end()
		return nil, errors.Join(fmt.Errorf("cannot open the piezo controller at %s: %w", o.Name, err), d.line.close())
	}
	return nil, errors.Join(fmt.Errorf("cannot open the piezo controller at %s: %w", o.Name, err), port.Close())
}

func newDevice(o Options) (*Device, error) {
	o.Kind, o.Axis, o.Max = cmp.Or(o.Kind, DefaultKind), strings.ToLower(cmp.Or(o.Axis, "x")), cmp.Or(o.Max, DefaultMax)
	o.Step, o.Pause, o.Settle = cmp.Or(o.Step, 5), cmp.Or(o.Pause, 10*time.Millisecond), cmp.Or(o.Settle, 50*time.Millisecond)
	o.Tolerance = cmp.Or(o.Tolerance, 0.5)
	bad := func(format string, args ...any) (*Device, error) {
		return nil, fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), shifter.ErrInput)
	}
	d := &Device{options: o, dialect: dialects[o.Kind], turn: make(chan struct{}, 1), closed: make(chan struct{}), last: math.NaN()}
	switch {
	case d.dialect == nil:
		return bad("there is no kind of controller %q; %s are known", o.Kind, strings.Join(slices.Sorted(maps.Keys(dialects)), ", "))
	case o.Axis != "x" && o.Axis != "y" && o.Axis != "z":
		return bad("there is no axis %q; x, y and z are possible", o.Axis)
	case !(o.Min >= -200 && o.Min < o.Max && o.Max <= 200):
		return bad("limits of %g V to %g V; up to 150 V are possible, the lower one first", o.Min, o.Max)
	case !(o.Step > 0 && o.Step <= 200) || o.Pause < 0 || o.Pause > time.Minute || o.Settle < 0 || o.Settle > time.Minute:
		return bad("steps of %g V with a pause of %v, settled after %v; steps must be positive, and times a minute at most", o.Step, o.Pause, o.Settle)
	case !(o.Tolerance > 0 && o.Tolerance < o.Max-o.Min):
		return bad("a tolerance of %g V; it must be positive, and less than the range", o.Tolerance)
	case math.IsNaN(o.RadiansPerVolt) || math.Abs(o.RadiansPerVolt) > 1e3:
		return bad("%g radians per volt", o.RadiansPerVolt)
	}
	d.life, d.end = context.WithCancel(context.Background())
	return d, nil
}

// greet finds out who is at the other end, and what its limits are.
func (d *Device) greet(ctx context.Context) error {
	l := d.line
	if err := l.hush(ctx); err != nil {
		return err
	}
	identity, err := l.ask(ctx, d.dialect.identify)
	switch {
	case errors.Is(err, shifter.ErrTimeout):
		return fmt.Errorf("nothing there answers %s; is it switched on, and is this its port? %w", d.dialect.identify, err)
	case err != nil:
		return fmt.Errorf("what answers %s is no such controller: %w", d.dialect.identify, err)
	}
	model, ok := d.dialect.model(identity)
	if !ok {
		return fmt.Errorf("%q is no %s: %w", excerpt([]byte(identity)), strings.Join(d.dialect.models, " or "), shifter.ErrProtocol)
	}
	if d.identity != "" && identity != d.identity {
		return fmt.Errorf("another controller is there now, %q: %w", excerpt([]byte(identity)), shifter.ErrRefused)
	}
	probes := []probe{{d.dialect.identify, identity}}
	serial := d.options.Name
	if d.dialect.serial != "" {
		if serial, err = l.ask(ctx, d.dialect.serial); err != nil {
			return fmt.Errorf("it does not tell its serial number: %w", err)
		}
		if _, err := strconv.ParseFloat(serial, 64); err != nil { // a number might be the answer to anything
			probes = append(probes, probe{d.dialect.serial, serial})
		}
	}
	info := shifter.Info{
		Model: model, Serial: cmp.Or(serial, d.options.Name), Resolution: d.options.Tolerance, Settle: d.options.Settle,
		RadiansPerVolt: d.options.RadiansPerVolt,
	}
	if info.Min, info.Max, err = d.limits(ctx); err != nil {
		return err
	}
	if d.identity != "" && info != d.info {
		return fmt.Errorf("its limits are %g V to %g V now, and were %g V to %g V; open it anew: %w", info.Min, info.Max, d.info.Min, d.info.Max, shifter.ErrRefused)
	}
	l.probes = probes
	if d.identity == "" {
		d.info, d.identity = info, identity
	}
	return nil
}

// hush ends what was typed halfway, switches the echo off, and waits until the controller
// is silent. What it says meanwhile does not matter.
func (l *line) hush(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, replyTime, shifter.ErrTimeout)
	defer cancel()
	err := l.send(ctx, "\r"+l.dialect.quiet)
	if err == nil {
		err = l.more(ctx)
	}
	if errors.Is(err, shifter.ErrTimeout) && l.broken == nil {
		return fmt.Errorf("nothing there answers; is it switched on, and is this its port? %w", err)
	}
	if err != nil {
		return err
	}
	return l.quiet(ctx, quietTime)
}

// limits are the narrowest of ours, those of the axis, and the switch.
func (d *Device) limits(ctx context.Context) (lo, hi float64, err error) {
	ask := func(command string) float64 {
		if err != nil {
			return 0
		}
		var v float64
		if v, err = d.line.volts(ctx, command); err != nil {
			err = fmt.Errorf("it does not tell a limit of the voltage: %w", err)
		}
		return v
	}
	lo = max(d.options.Min, ask(fmt.Sprintf(d.dialect.min, d.options.Axis)))
	hi = min(d.options.Max, ask(fmt.Sprintf(d.dialect.max, d.options.Axis)), ask(d.dialect.limit))
	if err == nil && !(lo < hi) {
		err = fmt.Errorf("nothing is left between the limits, %g V to %g V; look at those of the controller's axis %s: %w", lo, hi, d.options.Axis, shifter.ErrRefused)
	}
	return lo, hi, err
}

// Info implements shifter.Device.
func (d *Device) Info() shifter.Info { return d.info }

// Stats returns the counters as of the last call that ended.
func (d *Device) Stats() Stats {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.stats
}

// Set implements shifter.Device.
func (d *Device) Set(ctx context.Context, volts float64) error {
	if err := d.info.Check(volts); err != nil {
		return err
	}
	return d.do(ctx, fmt.Sprintf("set to %.4g V", volts), func(ctx context.Context) error {
		now, err := d.whereabouts(ctx)
		if err != nil {
			return err
		}
		way := ramp(now, volts, d.options.Step)
		for k, v := range way {
			if err := d.drive(ctx, min(max(v, d.info.Min), d.info.Max)); err != nil {
				return err
			}
			wait := d.options.Pause
			if k == len(way)-1 {
				wait = d.options.Settle
			}
			if err := pause.For(ctx, wait); err != nil {
				return err
			}
		}
		if now, err = d.read(ctx); err != nil {
			return err
		}
		if !(math.Abs(now-volts) <= d.options.Tolerance) {
			return fmt.Errorf("it reads %.4g V, more than %.4g V off; does a knob or an external input add to it? %w", now, d.options.Tolerance, shifter.ErrRefused)
		}
		return nil
	})
}

// whereabouts is where a ramp begins. A meter that is believed once could be wrong once,
// and the first step too large: what it does not share with what was told it must say twice.
func (d *Device) whereabouts(ctx context.Context) (float64, error) {
	now, err := d.read(ctx)
	if err != nil || math.Abs(now-d.last) <= d.options.Tolerance {
		return d.last, err
	}
	again, err := d.read(ctx)
	if err == nil && math.Abs(again-now) > d.options.Tolerance {
		err = fmt.Errorf("it reads %.4g V and then %.4g V; is somebody turning a knob? %w", now, again, shifter.ErrProtocol)
	}
	return again, err
}

// ramp is the way from one voltage to another in equal steps, the end included.
func ramp(from, to, step float64) []float64 {
	n := max(1, int(math.Ceil(math.Abs(to-from)/step)))
	way := make([]float64, n)
	for k := range way {
		way[k] = from + (to-from)*float64(k+1)/float64(n)
	}
	way[n-1] = to
	return way
}

// drive is the one place from which a voltage goes to the piezo.
func (d *Device) drive(ctx context.Context, volts float64) error {
	// What is sent is rounded to millivolts, so that is what must lie within the limits.
	sent := math.Round(1000*volts) / 1000
	if sent < d.info.Min {
		sent = math.Ceil(1000*d.info.Min) / 1000
	}
	if sent > d.info.Max {
		sent = math.Floor(1000*d.info.Max) / 1000
	}
	if err := d.info.Check(sent); err != nil {
		return err
	}
	d.last = math.NaN()
	err := d.line.order(ctx, fmt.Sprintf(d.dialect.set, d.options.Axis, sent))
	if err == nil {
		d.last = sent
	}
	return err
}

func (d *Device) read(ctx context.Context) (float64, error) {
	return d.line.volts(ctx, fmt.Sprintf(d.dialect.read, d.options.Axis))
}

// Read implements shifter.Device.
func (d *Device) Read(ctx context.Context) (volts float64, err error) {
	err = d.do(ctx, "read", func(ctx context.Context) error {
		volts, err = d.read(ctx)
		return err
	})
	return volts, err
}

// do has a turn with the controller.
func (d *Device) do(ctx context.Context, what string, f func(context.Context) error) error {
	fail := func(err error) error {
		switch {
		case d.life.Err() != nil:
			err = shifter.ErrClosed
		case ctx.Err() != nil && !errors.Is(err, ctx.Err()):
			err = fmt.Errorf("%w: %w", err, ctx.Err())
		}
		return fmt.Errorf("cannot %s the %s (%s) at %s: %w", what, d.info.Model, d.info.Serial, d.options.Name, err)
	}
	if ctx.Err() != nil {
		return fail(context.Cause(ctx))
	}
	select {
	case <-d.turn:
	case <-ctx.Done():
		return fail(context.Cause(ctx))
	case <-d.life.Done():
		return fail(shifter.ErrClosed)
	}
	defer func() {
		d.mu.Lock()
		d.stats = d.line.stats
		d.mu.Unlock()
		d.turn <- struct{}{}
	}()
	inner, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(d.life, func() { cancel(shifter.ErrClosed) })()
	if d.life.Err() != nil || ctx.Err() != nil {
		return fail(context.Cause(ctx))
	}
	err := d.usable(inner)
	if err == nil {
		err = f(inner)
	}
	if err != nil {
		return fail(err)
	}
	return nil
}

// usable opens the port again if the line has ended.
func (d *Device) usable(ctx context.Context) error {
	old := d.line
	if old.broken == nil || d.options.Reopen == nil {
		return old.broken
	}
	old.close() // first: a port has one user
	port, err := d.options.Reopen(ctx)
	if err != nil {
		return fmt.Errorf("it went away, and opening it again failed: %w", err)
	}
	d.line = newLine(port, d.dialect)
	d.line.stats = old.stats
	d.line.stats.Reopened++
	// Answers that the old line still owed may come on the new one.
	if err = d.line.quiet(ctx, replyTime); err == nil {
		err = d.greet(ctx)
	}
	if err != nil && d.line.broken == nil {
		d.line.broken = err
	}
	return err
}

// Close implements shifter.Device. It does not wait for a controller that is silent.
func (d *Device) Close() error {
	if d.closing.Swap(true) {
		<-d.closed
		return d.failure
	}
	defer close(d.closed)
	d.end()
	<-d.turn // whoever has it ends at once, since their context has
	done := make(chan error, 1)
	go func() { done <- d.line.close() }()
	select {
	case d.failure = <-done:
	case <-time.After(closeTime):
		d.failure = fmt.Errorf("cannot close %s: the port does not end: %w", d.options.Name, shifter.ErrTimeout)
	}
	return d.failure
}
