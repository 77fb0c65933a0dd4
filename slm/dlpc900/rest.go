package dlpc900

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/light-in-the-loop/opu/internal/pause"
	"github.com/light-in-the-loop/opu/slm"
)

// Rest is what the mirrors do while nothing plays. Both exercise each mirror for half of the
// time, which DLPU018F strongly advises for their life.
type Rest byte

const (
	// RestIdle is the board's idle mode. It takes three seconds to leave if it was just
	// entered. The chip cools down.
	RestIdle Rest = iota

	// RestWarm plays a chequered pattern and its complement at the rate of the last run, so
	// that the chip stays at its temperature and the speckle where it was: fields decorrelate
	// for about an hour after patterns begin or end (arXiv 2311.17496). It takes two of the
	// board's places.
	RestWarm
)

// Switch is a shutter, or the laser's interlock. It is opened before a run; it is closed when
// nothing has played for Options.RestAfter, after every failure and by Close. No state of the
// mirrors is safe for eyes: see docs/explanation/safety-of-mirrors-and-light.md.
type Switch interface {
	Set(ctx context.Context, on bool) error
}

const (
	// closeTime bounds what Close, and the clean-up after an error, wait for the board.
	closeTime = 3 * time.Second

	// lightTime bounds what they wait for the light's switch.
	lightTime = time.Second
)

// errLight marks failures of the switch. Whatever they wrap, they say nothing of the board.
var errLight = errors.New("cannot switch the light")

// lit switches the light.
func (d *Device) lit(ctx context.Context, on bool) error {
	if d.options.Light == nil || on && d.light {
		return nil
	}
	if on {
		d.light = true // also if the switch fails: nobody knows what it did
	}
	ctx, cancel := context.WithTimeoutCause(ctx, lightTime, slm.ErrTimeout)
	defer cancel()
	if err := d.options.Light.Set(ctx, on); err != nil {
		return fmt.Errorf("%w: %w", errLight, err)
	}
	d.light = on
	return nil
}

// secure switches the light off, stops the sequence and parks the mirrors. It is for ends and
// failures: it does what it can, and has its own time.
func (d *Device) secure() error {
	var failures []error
	if d.light || d.life.Err() != nil {
		failures = append(failures, d.lit(context.Background(), false))
	}
	if d.lost {
		return errors.Join(failures...)
	}
	ctx, cancel := context.WithTimeoutCause(context.Background(), closeTime, slm.ErrTimeout)
	defer cancel()
	d.known.stopped = false
	failure := d.shut(ctx)
	if failure != nil {
		d.judge(failure)
	}
	return errors.Join(append(failures, failure)...)
}

func (d *Device) shut(ctx context.Context) error {
	k := &d.known
	if k.idle {
		if err := d.line.idle(ctx, false); err != nil {
			return err
		}
		k.idle = false
	}
	if err := d.line.stop(ctx); err != nil {
		return err
	}
	k.stopped = true
	if d.versions.Application.before(4, 1) {
		return nil // it has no park command
	}
	k.parked = true // maybe
	return d.line.park(ctx)
}

// rest lets the mirrors rest when nothing plays for a while. Whoever has the turn calls it
// before giving it back.
func (d *Device) rest() {
	if d.resting == nil {
		d.resting = time.AfterFunc(d.options.RestAfter, d.beginRest)
		return
	}
	d.resting.Reset(d.options.RestAfter)
}

// beginRest is the timer's. A failure is told by the next call.
func (d *Device) beginRest() {
	const what = "let the mirrors rest"
	ctx, cancel, err := d.take(d.life, what)
	if err != nil {
		return
	}
	defer cancel()
	again, err := d.look(ctx)
	if err == nil && !d.run.ended {
		d.resting.Reset(again + d.options.RestAfter)
		d.turn <- struct{}{}
		return
	}
	if err == nil {
		err = d.doze(ctx)
	}
	if err != nil {
		d.judge(err)
		d.secure()
	}
	d.turn <- struct{}{}
}

// doze does what Options.Rest says.
func (d *Device) doze(ctx context.Context) error {
	if d.light {
		if err := d.lit(ctx, false); err != nil {
			return err
		}
	}
	k := &d.known
	if d.lost || k.parked || k.idle {
		return nil
	}
	if d.options.Rest == RestWarm {
		return d.warm(ctx)
	}
	if !k.stopped {
		if err := d.line.stop(ctx); err != nil {
			return err
		}
		k.stopped = true
	}
	k.idle, k.idleSince = true, time.Now() // maybe
	return ignoreRefusal(d.line.idle(ctx, true))
}

// warm plays the warm patterns, endlessly, at the last run's rate.
func (d *Device) warm(ctx context.Context) error {
	if err := d.send(ctx, []int{0}); err != nil {
		return err
	}
	t := d.last
	t.wait = false
	if err := d.arrange(ctx, []int{0, 1}, t, true); err != nil {
		return err
	}
	return d.startSequence(ctx)
}

// WarmUp plays the warm patterns with the period given, without triggers and with the light
// off, for as long as it says: calibrate after that. It needs RestWarm, and the patterns go on
// after it.
func (d *Device) WarmUp(ctx context.Context, period, length time.Duration) error {
	const what = "warm up"
	if d.options.Rest != RestWarm {
		return fmt.Errorf("cannot %s on %s: it was not opened with RestWarm: %w", what, name(d.options), slm.ErrInput)
	}
	ctx, cancel, err := d.take(ctx, what)
	if err != nil {
		return err
	}
	defer cancel()
	err = d.info.Check(slm.Run{Order: []int{0}, Period: period})
	if err == nil {
		err = d.settle(ctx)
	}
	if err == nil {
		if d.last, err = d.dmd.plan(slm.Run{Period: period}, d.info.MinPeriod); err == nil {
			err = d.doze(ctx)
		}
	}
	if err := d.give(what, err); err != nil {
		return err
	}
	if d.options.Virtual {
		return nil
	}
	if err := pause.For(ctx, length); err != nil {
		return fmt.Errorf("cannot %s on %s: %w", what, name(d.options), err)
	}
	return nil
}

// Idle lets the mirrors rest now, and switches the light off, instead of after a while.
func (d *Device) Idle(ctx context.Context) error {
	return d.while(ctx, "let the mirrors rest", d.doze)
}

// Park parks the mirrors until the next Load or Play.
func (d *Device) Park(ctx context.Context) error {
	return d.while(ctx, "park the mirrors", func(ctx context.Context) error {
		if err := d.lit(ctx, false); err != nil {
			return err
		}
		if err := d.reach(ctx); err != nil {
			return err
		}
		return d.shut(ctx)
	})
}

// SetTriggerOut sets the pulse of output 1 or 2 while nothing plays.
func (d *Device) SetTriggerOut(ctx context.Context, output int, t TriggerOut) error {
	if err := t.check(output, d.info.MinPeriod); err != nil {
		return err
	}
	return d.while(ctx, fmt.Sprintf("set trigger output %d", output), func(ctx context.Context) error {
		if err := d.quieten(ctx); err != nil {
			return err
		}
		return d.line.triggerOut(ctx, output, t)
	})
}

// SetPulse sets output 2, the one for a camera.
func (d *Device) SetPulse(ctx context.Context, p slm.Pulse) error {
	t := TriggerOut{Inverted: p.Inverted, Rising: p.Delay, Falling: p.Delay + minPulse}
	if p.Inverted {
		t.Rising, t.Falling = t.Falling, t.Rising
	}
	return d.SetTriggerOut(ctx, 2, t)
}

// SetTriggerIn sets what the inputs do while nothing plays.
func (d *Device) SetTriggerIn(ctx context.Context, t TriggerIn) error {
	if err := t.check(); err != nil {
		return err
	}
	return d.while(ctx, "set the trigger inputs", func(ctx context.Context) error {
		if err := d.quieten(ctx); err != nil {
			return err
		}
		return d.line.triggerIn(ctx, t)
	})
}

// while does something with the board that cannot be done during a run.
func (d *Device) while(ctx context.Context, what string, f func(context.Context) error) error {
	ctx, cancel, err := d.take(ctx, what)
	if err != nil {
		return err
	}
	defer cancel()
	if err = d.settle(ctx); err == nil {
		err = f(ctx)
	}
	return d.give(what, err)
}
