package dlpc900

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/light-in-the-loop/opu/internal/pause"
	"github.com/light-in-the-loop/opu/slm"
)

// run is a sequence that plays or has played.
type run struct {
	count   int           // patterns ordered
	dummies int           // before them
	period  time.Duration // of each
	begun   time.Time     // not later than the first pattern
	started time.Time     // when the board had said that it would start
	looked  time.Time     // when the board was last asked whether it plays
	waits   bool          // for an edge before each pattern
	ended   bool
	shown   int
	err     error
}

func (r *run) length() time.Duration { return time.Duration(r.count+r.dummies) * r.period }

func (r *run) finish(shown int, err error) { r.ended, r.shown, r.err = true, shown, err }

// Load implements slm.Device. It sends the images that the patterns fall into, each with all
// that it holds: 24 new patterns cost about one image, and one new pattern too. Patterns that
// are already in their slots cost nothing.
func (d *Device) Load(ctx context.Context, slots []int, patterns []*slm.Pattern) error {
	const what = "load patterns"
	ctx, cancel, err := d.take(ctx, what)
	if err != nil {
		return err
	}
	defer cancel()
	return d.give(what, d.load(ctx, slots, patterns))
}

func (d *Device) load(ctx context.Context, slots []int, patterns []*slm.Pattern) error {
	if err := d.info.CheckLoad(slots, patterns); err != nil {
		return err
	}
	if err := d.settle(ctx); err != nil {
		return err
	}
	var changed []int
	var put []*slm.Pattern
	for i, slot := range slots {
		if p := d.store.of(slot); p == nil || !p.Equal(patterns[i]) {
			changed, put = append(changed, slot), append(put, patterns[i])
		}
	}
	images := d.store.put(changed, put)
	for _, i := range images {
		d.known.images[i] = false
	}
	d.stats.Loaded += uint64(len(changed))
	d.stats.Hits += uint64(len(slots) - len(changed))
	return d.send(ctx, images)
}

// send sends those of the images that the board is not known to have, the highest first
// (DLPU018F and J).
func (d *Device) send(ctx context.Context, images []int) error {
	if !slices.ContainsFunc(images, func(i int) bool { return !d.known.images[i] }) {
		return nil
	}
	if err := d.quieten(ctx); err != nil {
		return err
	}
	// A LUT must be there before the images: firmware from 5.0 on is strict about it (field
	// report).
	if err := d.program(ctx, d.layout(d.last)); err != nil {
		return err
	}
	for _, i := range slices.Backward(images) {
		if d.known.images[i] {
			continue
		}
		im := d.store.image(i)
		for c, e := range d.encoders {
			began := time.Now()
			encoded := e.encode(im)
			ready := time.Now()
			err := d.line.upload(ctx, acknowledged, c, i, encoded)
			if again := errors.Is(err, slm.ErrTimeout) || errors.Is(err, slm.ErrProtocol); again {
				d.line.stats.Retries++
				err = d.line.upload(ctx, acknowledged, c, i, encoded)
			}
			if err != nil {
				return err
			}
			d.stats.upload(len(encoded), ready.Sub(began), time.Since(ready))
		}
		d.known.images[i] = true
		d.known.configured = 0 // and a LUT must be configured after them too
		d.stats.Images++
	}
	return nil
}

// quieten stops whatever the mirrors do, so that the board can be programmed.
func (d *Device) quieten(ctx context.Context) error {
	if err := d.reach(ctx); err != nil {
		return err
	}
	k := &d.known
	if k.idle {
		if left := idleTime - time.Since(k.idleSince); left > 0 && !d.options.Virtual {
			if err := pause.For(ctx, left); err != nil {
				return err
			}
		}
		if err := d.line.idle(ctx, false); err != nil {
			return err
		}
		k.idle = false
	}
	if !k.stopped {
		if err := d.line.stop(ctx); err != nil {
			return err
		}
		k.stopped = true
	}
	if k.parked {
		if err := d.line.unpark(ctx); err != nil {
			return err
		}
		k.parked, k.configured = false, 0
	}
	return nil
}

// layout is the LUT whose entry p shows place p.
func (d *Device) layout(t timing) []entry {
	lut := make([]entry, d.store.entries())
	for p := range lut {
		lut[p] = d.entry(p, t)
	}
	return lut
}

// entry shows place p. The warm patterns make no trigger.
func (d *Device) entry(p int, t timing) entry {
	return entry{timing: t, depth: 1, image: p / planes, plane: p % planes, clear: true, noTrigger: p < d.reserved}
}

// program makes a LUT effective.
func (d *Device) program(ctx context.Context, lut []entry) error {
	if err := d.define(ctx, lut); err != nil {
		return err
	}
	k := &d.known
	if k.configured == len(lut) {
		return nil
	}
	k.configured = 0
	if err := d.line.configure(ctx, len(lut), len(lut)); err != nil {
		return err
	}
	k.configured = len(lut)
	return nil
}

// define writes those entries of the LUT that are not as they should be.
func (d *Device) define(ctx context.Context, lut []entry) error {
	k := &d.known
	for i, e := range lut {
		if i < len(k.defined) && k.defined[i] == e {
			continue
		}
		k.configured = 0
		if i < len(k.defined) {
			k.defined[i] = entry{} // unknown until it is acknowledged
		} else {
			k.defined = append(k.defined, entry{})
		}
		if err := d.line.define(ctx, i, e); err != nil {
			return err
		}
		k.defined[i] = e
		d.stats.Entries++
	}
	return nil
}

// Play implements slm.Device. If the timing is that of the last run it costs Stop, one
// reorder command and Start; otherwise the entries of the LUT are written before. Exposures
// below the chip's shortest are refused, and times are rounded up to microseconds.
func (d *Device) Play(ctx context.Context, r slm.Run) error {
	return d.begin(ctx, "play", r, false)
}

// PlayTriggered implements slm.TriggeredPlayer: an edge at trigger input 1 (SetTriggerIn) shows
// the next pattern, for the run's exposure. While it waits the chip is off: the board appends a
// black pattern of 105 us to each that precedes a triggered one (DLPU018F and J), so edges must
// come at least exposure + 105 us apart, and one that comes too early is lost. Trigger input 2
// must be at the level that lets sequences run. There are no dummy patterns.
func (d *Device) PlayTriggered(ctx context.Context, r slm.Run) error {
	const what = "play by trigger"
	if r.Period != 0 {
		return fmt.Errorf("cannot %s on %s: a period of %v is given, but the edges at trigger input 1 make it; leave it 0: %w", what, name(d.options), r.Period, slm.ErrInput)
	}
	r.Period, r.Exposure = r.Exposure, 0
	return d.begin(ctx, what, r, true)
}

func (d *Device) begin(ctx context.Context, what string, r slm.Run, triggered bool) error {
	ctx, cancel, err := d.take(ctx, what)
	if err != nil {
		return err
	}
	defer cancel()
	return d.give(what, d.play(ctx, r, triggered))
}

func (d *Device) play(ctx context.Context, r slm.Run, triggered bool) error {
	if err := d.info.Check(r); err != nil {
		return err
	}
	t, err := d.dmd.plan(r, d.info.MinPeriod)
	if err != nil {
		return err
	}
	t.wait = triggered
	dummies := d.options.Dummies
	if triggered {
		dummies = 0 // each would take an edge
	}
	order := make([]int, 0, dummies+len(r.Order))
	var images []int
	if dummies > 0 {
		images = append(images, 0)
		for k := range dummies {
			order = append(order, k%2)
		}
	}
	for k, slot := range r.Order {
		p := d.store.place[slot]
		if p < 0 {
			return fmt.Errorf("slot %d at position %d was never loaded: %w", slot, k, slm.ErrInput)
		}
		order, images = append(order, p), append(images, p/planes)
	}
	if err := d.settle(ctx); err != nil {
		return err
	}
	slices.Sort(images)
	if err := d.send(ctx, slices.Compact(images)); err != nil {
		return err
	}
	began := time.Now()
	restart := d.known.configured > 0 && d.last == t // else it takes longer than a mere restart
	d.last = t
	if err := d.arrange(ctx, order, t, false); err != nil {
		return err
	}
	if err := d.lit(ctx, true); err != nil {
		return err
	}
	now := &run{count: len(r.Order), dummies: dummies, period: t.period(), waits: triggered, begun: time.Now(), looked: time.Now()}
	if err := d.startSequence(ctx); err != nil {
		return err
	}
	now.started = time.Now()
	d.run = now
	d.stats.Runs++
	d.stats.Shown += uint64(now.count)
	if restart {
		d.stats.Restart.add(now.started.Sub(began))
	}
	return nil
}

// startSequence starts what was arranged. Whether it plays is not known if the board does not
// answer.
func (d *Device) startSequence(ctx context.Context) error {
	d.known.stopped = false
	return d.line.start(ctx)
}

// arrange makes the next start show these places in this order, once or endlessly.
func (d *Device) arrange(ctx context.Context, order []int, t timing, endless bool) error {
	if err := d.quieten(ctx); err != nil {
		return err
	}
	if !d.reorders {
		return d.arrangeByLUT(ctx, order, t, endless)
	}
	if err := d.program(ctx, d.layout(t)); err != nil {
		return err
	}
	entries := make([]uint16, len(order))
	for k, p := range order {
		entries[k] = uint16(p)
	}
	return d.line.reorder(ctx, entries, endless)
}

// arrangeByLUT is for firmware that cannot reorder: the LUT is the order. It must hold a plane
// 0 somewhere, else wrong patterns appear (field report), so one is added behind the end of
// what is shown.
func (d *Device) arrangeByLUT(ctx context.Context, order []int, t timing, endless bool) error {
	lut := make([]entry, len(order))
	for k, p := range order {
		lut[k] = d.entry(p, t)
	}
	if !slices.ContainsFunc(lut, func(e entry) bool { return e.plane == 0 }) && !endless {
		lut = append(lut, d.entry(order[0]/planes*planes, t))
	}
	d.known.configured = 0
	if err := d.define(ctx, lut); err != nil {
		return err
	}
	patterns := len(order)
	if endless {
		patterns = 0
	}
	return d.line.configure(ctx, len(lut), patterns)
}

// Wait implements slm.Device. A run that was stopped counts the patterns whose time had passed
// entirely. An error of the board ends the run; Wait says so until the next one.
func (d *Device) Wait(ctx context.Context) (int, error) {
	const what = "wait for the run"
	for {
		both, cancel, err := d.take(ctx, what)
		if err != nil {
			return 0, err
		}
		again, err := d.look(both)
		r := *d.run
		interrupted := both.Err() != nil
		if err != nil && !interrupted {
			cancel()
			return 0, d.give(what, err)
		}
		if interrupted {
			err = context.Cause(both)
		}
		cancel()
		if r.ended {
			d.rest()
		}
		d.turn <- struct{}{}
		switch {
		case r.ended && r.err != nil:
			return r.shown, fmt.Errorf("cannot %s on %s: %w", what, name(d.options), r.err)
		case r.ended:
			return r.shown, nil
		case err != nil:
			return 0, fmt.Errorf("cannot %s on %s: %w", what, name(d.options), err)
		}
		t := time.NewTimer(again)
		select {
		case <-t.C:
		case <-ctx.Done():
		case <-d.life.Done():
		}
		t.Stop()
	}
}

const (
	pollPeriod  = 2 * time.Millisecond   // how often a run that should have ended is looked at
	edgePeriod  = 10 * time.Millisecond  // and one that waits for edges
	watchPeriod = 500 * time.Millisecond // and any: whoever waits hears within a second that the board has gone
	overrun     = time.Second            // how much longer a run may take, unless it waits for edges
)

// look finds out whether the run has ended; if not it says when to look again. The board says
// whether it plays. It is asked before the end, too: one that has ended then was aborted.
func (d *Device) look(ctx context.Context) (again time.Duration, err error) {
	r := d.run
	if r.ended {
		return 0, nil
	}
	now := time.Now()
	soon := min(r.begun.Add(r.length()*9/10).Sub(now), r.looked.Add(watchPeriod).Sub(now))
	if soon > 0 && !d.options.Virtual {
		return soon, nil
	}
	r.looked = now
	if err := d.examine(ctx); err != nil {
		if ctx.Err() == nil {
			r.finish(0, err)
		}
		return 0, err
	}
	if r.ended {
		return 0, nil
	}
	if left := time.Until(r.started.Add(r.length())); left > 0 && !d.options.Virtual {
		return min(left, watchPeriod), nil
	}
	if r.waits {
		return edgePeriod, nil
	}
	return pollPeriod, nil
}

// errAborted is a run that ended before its time.
var errAborted = fmt.Errorf("the sequence stopped by itself: %w", slm.ErrRefused)

// examine asks the board whether the run goes on, and finishes it if not.
func (d *Device) examine(ctx context.Context) error {
	r := d.run
	main, err := d.line.main(ctx)
	if err != nil {
		return err
	}
	now := time.Now()
	if main&MainRunning != 0 {
		if !r.waits && now.After(r.started.Add(r.length()+overrun)) {
			return fmt.Errorf("the run of %d patterns does not end, %v after its time; the trigger inputs may hold it: %w", r.count, overrun, slm.ErrTimeout)
		}
		return nil
	}
	h, err := d.line.hardware(ctx)
	if err != nil {
		return err
	}
	if err := h.Check(d.dmd.Controllers); err != nil {
		return err
	}
	if end := r.begun.Add(r.length()); now.Before(end) && !d.options.Virtual {
		return fmt.Errorf("the run of %d patterns was aborted, %v before its end (hardware status 0x%02X); lower the rate, and look at the board's power: %w", r.count, end.Sub(now), byte(h), errAborted)
	}
	r.finish(r.count, nil)
	return nil
}

// settle fails with ErrBusy while a run plays.
func (d *Device) settle(ctx context.Context) error {
	again, err := d.look(ctx)
	if err != nil {
		return err
	}
	if !d.run.ended {
		return fmt.Errorf("%d patterns are playing, for at least another %v: %w", d.run.count, again.Round(time.Microsecond), slm.ErrBusy)
	}
	return nil
}

// Stop implements slm.Device.
func (d *Device) Stop(ctx context.Context) error {
	const what = "stop"
	ctx, cancel, err := d.take(ctx, what)
	if err != nil {
		return err
	}
	defer cancel()
	return d.give(what, d.halt(ctx))
}

func (d *Device) halt(ctx context.Context) error {
	if _, err := d.look(ctx); err != nil || d.run.ended {
		return err
	}
	passed := int(time.Since(d.run.started) / d.run.period)
	if d.run.waits {
		passed = 0
	}
	if err := d.line.stop(ctx); err != nil {
		return err
	}
	d.known.stopped = true
	d.run.finish(min(max(passed-d.run.dummies, 0), d.run.count), nil)
	return nil
}
