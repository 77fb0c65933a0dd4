// Package cameratest is the conformance suite of camera.Device: a driver is
// accepted when it passes, on a fake or model of its hardware in everyday tests
// and, where somebody has one, on the camera itself.
//
//	func TestConformance(t *testing.T) {
//		var model *Model // of the camera
//		cameratest.Run(t, cameratest.Harness{
//			Open: func(t *testing.T) camera.Device { model = newModel(); return openOn(t, model) },
//			Trigger: func(t *testing.T, d camera.Device, n int) { model.Trigger(n) },
//			Around: synctest.Test,
//		})
//	}
//
// What the suite knows of a run it knows from the triggers that it gave: as many
// frames, in that order, each once. A camera that runs free is checked as far as
// that goes. With Harness.Drop and Harness.Damage the suite also sees whether the
// driver is honest about what went wrong.
//
// Time is not slept away: contexts have short deadlines only where the contract
// is about them, and every other call is given so long that only a broken driver
// needs it.
package cameratest

import (
	"context"
	"errors"
	"hash/fnv"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/light-in-the-loop/opu/camera"
)

// Harness is a camera for the suite and what can be done to it.
type Harness struct {
	// Open returns a camera that is not armed and was not before. The suite closes
	// it. It is called once for each check.
	Open func(t *testing.T) camera.Device

	// Trigger gives the camera n triggers, at a rate it can follow, and returns when
	// it has. The suite never asks for more than Info.Buffers at once. nil: the
	// camera takes frames by itself while it is armed.
	Trigger func(t *testing.T, d camera.Device, n int)

	// Drop and Damage make frame k of the next run, counted from 0, be lost after
	// the camera took it, or arrive with an error. nil: that cannot be arranged.
	Drop, Damage func(t *testing.T, d camera.Device, k int)

	// Free: the camera can run free, so that the suite insists on it. Otherwise it may
	// refuse.
	Free bool

	// Around, if not nil, calls each check, Open included. With synctest.Test the
	// suite needs no time and leaked goroutines are found.
	Around func(t *testing.T, check func(t *testing.T))
}

// Run checks a camera as well as the harness allows.
func Run(t *testing.T, h Harness) {
	t.Helper()
	around := h.Around
	if around == nil {
		around = func(t *testing.T, check func(t *testing.T)) { check(t) }
	}
	for _, c := range []struct {
		name  string
		check func(*bench)
	}{
		{"info", checkInfo},
		{"settings", checkSettings},
		{"bad-settings", checkBadSettings},
		{"region", checkRegion},
		{"frames", checkFrames},
		{"batches", checkBatches},
		{"all-buffers-held", checkAllBuffersHeld},
		{"held-frames", checkHeldFrames},
		{"armed", checkArmed},
		{"not-armed", checkNotArmed},
		{"counts", checkCounts},
		{"next-run", checkNextRun},
		{"stale-frames", checkStaleFrames},
		{"timeout", checkTimeout},
		{"ended-contexts", checkEndedContexts},
		{"dropped-frame", checkDroppedFrame},
		{"damaged-frame", checkDamagedFrame},
		{"free-run", checkFreeRun},
		{"concurrent-use", checkConcurrentUse},
		{"close", checkClose},
		{"close-ends-wait", checkCloseEndsWait},
	} {
		t.Run(c.name, func(t *testing.T) {
			around(t, func(t *testing.T) {
				d := h.Open(t)
				t.Cleanup(func() { d.Close() })
				name := fnv.New64a()
				name.Write([]byte(c.name))
				seed := name.Sum64()
				t.Logf("seed %#x", seed)
				c.check(&bench{
					T: t, harness: h, device: d, info: d.Info(),
					random: rand.New(rand.NewPCG(seed, 0)),
				})
			})
		})
	}
}

// bench is what a check works with.
type bench struct {
	*testing.T
	harness Harness
	device  camera.Device
	info    camera.Info
	random  *rand.Rand

	free   bool          // the run is without triggers, as Run.Free asks
	config camera.Config // while armed
	next   uint64        // Seq of the next frame
	last   camera.Frame  // the frame before; meaningful if next > 0
}

// ctx does not end before the check: drivers must not need it to.
func (b *bench) ctx() context.Context { return b.Context() }

// freeRunning tells whether frames come without triggers.
func (b *bench) freeRunning() bool { return b.free || b.harness.Trigger == nil }

// needTriggers skips a check that makes no sense without.
func (b *bench) needTriggers() {
	b.Helper()
	if b.freeRunning() {
		b.Skip("the camera runs free")
	}
}

// needBuffers skips a check that a camera with fewer cannot pass.
func (b *bench) needBuffers(n int) {
	b.Helper()
	if b.info.Buffers < n {
		b.Skipf("the camera has %d buffers, %d are needed", b.info.Buffers, n)
	}
}

// configure must work, and answers what was taken.
func (b *bench) configure(c camera.Config) camera.Config {
	b.Helper()
	got, err := b.device.Configure(b.ctx(), c)
	if err != nil {
		b.Fatalf("Configure with %+v: %v", c, err)
	}
	return got
}

// arm must work.
func (b *bench) arm(frames int) {
	b.Helper()
	b.config = b.configure(camera.Config{})
	b.next = 0
	if err := b.device.Arm(b.ctx(), camera.Run{Frames: frames}); err != nil {
		b.Fatalf("Arm for %d frames: %v", frames, err)
	}
}

// trigger gives n triggers, if the camera takes them.
func (b *bench) trigger(n int) {
	b.Helper()
	if !b.freeRunning() {
		b.harness.Trigger(b.T, b.device, n)
	}
}

// stop must work.
func (b *bench) stop() camera.Counts {
	b.Helper()
	counts, err := b.device.Stop(b.ctx())
	if err != nil {
		b.Fatalf("Stop: %v", err)
	}
	if counts.Frames != counts.Delivered+counts.Lost {
		b.Errorf("counts do not add up: %+v", counts)
	}
	if !b.info.CountsTriggers && counts.Triggers != 0 {
		b.Errorf("the camera does not count triggers, but says %+v", counts)
	}
	return counts
}

// collect waits until n more frames have come, good or bad. They are not given
// back.
func (b *bench) collect(n int) []camera.Frame {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.ctx(), patience)
	defer cancel()
	frames := make([]camera.Frame, n)
	for got := 0; got < n; {
		room := frames[got : got+1+b.random.IntN(n-got)]
		k, err := b.device.Wait(ctx, room)
		if err != nil {
			b.Fatalf("Wait for frame %d of %d: %v", got, n, err)
		}
		if k < 1 || k > len(room) {
			b.Fatalf("Wait with room for %d frames returned %d and no error", len(room), k)
		}
		got += k
	}
	return frames
}

// take collects n frames and judges them.
func (b *bench) take(n int) []camera.Frame {
	b.Helper()
	frames := b.collect(n)
	for i := range frames {
		b.judge(&frames[i])
	}
	return frames
}

// judge checks a frame: it must be good, as configured, and the next one.
func (b *bench) judge(f *camera.Frame) {
	b.Helper()
	if f.Status != camera.OK {
		b.Fatalf("frame %d has status %v", f.Seq, f.Status)
	}
	if err := f.Check(); err != nil {
		b.Fatal(err)
	}
	if f.Width != b.config.ROI.Width || f.Height != b.config.ROI.Height || f.BitDepth != b.config.BitDepth {
		b.Fatalf("frame %d is %dx%d with %d bits, configured were %v with %d", f.Seq, f.Width, f.Height, f.BitDepth, b.config.ROI, b.config.BitDepth)
	}
	for v := range f.Height {
		for u := range f.Width {
			if value := f.At(u, v); value>>f.BitDepth != 0 {
				b.Fatalf("pixel (%d, %d) of frame %d is %d, more than %d bits", u, v, f.Seq, value, f.BitDepth)
			}
		}
	}
	b.order(f)
}

// order checks that a frame is the next one.
func (b *bench) order(f *camera.Frame) {
	b.Helper()
	switch {
	case b.freeRunning() && f.Seq < b.next, !b.freeRunning() && f.Seq != b.next:
		b.Fatalf("frame %d came where %d was expected", f.Seq, b.next)
	case b.freeRunning() && !b.info.CountsTriggers && f.Trigger != f.Seq, !b.freeRunning() && f.Trigger != f.Seq:
		b.Fatalf("frame %d claims trigger %d", f.Seq, f.Trigger)
	case !b.info.HasTime && f.DeviceTime != 0:
		b.Fatalf("frame %d has device time %v, though the camera has no clock", f.Seq, f.DeviceTime)
	case b.info.HasTime && b.next > 0 && f.DeviceTime <= b.last.DeviceTime:
		b.Fatalf("frame %d was exposed at %v, the one before it at %v", f.Seq, f.DeviceTime, b.last.DeviceTime)
	case f.HostTime.IsZero(), f.HostTime.After(time.Now()), b.next > 0 && f.HostTime.Before(b.last.HostTime):
		b.Fatalf("frame %d arrived at %v, the one before it at %v, now it is %v", f.Seq, f.HostTime, b.last.HostTime, time.Now())
	}
	b.next, b.last = f.Seq+1, *f
}

// cycle triggers, takes and gives back n frames, a few at a time.
func (b *bench) cycle(n, atOnce int) {
	b.Helper()
	for n > 0 {
		k := 1 + b.random.IntN(min(n, atOnce))
		b.trigger(k)
		frames := b.take(k)
		b.random.Shuffle(k, func(i, j int) { frames[i], frames[j] = frames[j], frames[i] })
		split := b.random.IntN(k + 1)
		b.device.Requeue(frames[:split]...)
		b.device.Requeue(frames[split:]...)
		n -= k
	}
}

// usable says whether the camera still does what it should.
func (b *bench) usable() {
	b.Helper()
	b.arm(2)
	b.cycle(2, 1)
	b.expectCounts(b.stop(), 2, 2)
}

// expectCounts compares counts of a run in which all triggers made frames.
func (b *bench) expectCounts(got camera.Counts, frames, delivered uint64) {
	b.Helper()
	if b.freeRunning() {
		if got.Delivered != delivered || got.Frames < frames {
			b.Errorf("counts are %+v, want %d delivered of at least %d", got, delivered, frames)
		}
		return
	}
	want := camera.Counts{Frames: frames, Delivered: delivered, Lost: frames - delivered}
	if b.info.CountsTriggers {
		want.Triggers = frames
	}
	if got != want {
		b.Errorf("counts are %+v, want %+v", got, want)
	}
}

// patience is how long a call that should end is given. It only passes if the
// device is broken, so it can be long enough for any machine.
const patience = 10 * time.Second

// ends calls f and fails the check if it does not return.
func (b *bench) ends(what string, f func()) {
	b.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(patience):
		b.Fatalf("%s did not return within %v", what, patience)
	}
}

// refuses makes a call that must return soon, with an error that wraps want.
func (b *bench) refuses(what string, want error, call func() error) {
	b.Helper()
	var err error
	b.ends(what, func() { err = call() })
	b.expect(what, err, want)
}

// waitError calls Wait, which must return no frame but an error, and at once or
// when ctx ends.
func (b *bench) waitError(what string, ctx context.Context) error {
	b.Helper()
	var n int
	var err error
	b.ends(what, func() { n, err = b.device.Wait(ctx, make([]camera.Frame, 1)) })
	if n != 0 || err == nil {
		b.Fatalf("%s: got %d frames and error %v, want an error alone", what, n, err)
	}
	return err
}

// expect fails the check unless err wraps want.
func (b *bench) expect(what string, err, want error) {
	b.Helper()
	if !errors.Is(err, want) {
		b.Errorf("%s: got error %v, want one that wraps %q", what, err, want)
	}
}
