package cameratest

import (
	"context"
	"errors"
	"time"

	"github.com/light-in-the-loop/opu/camera"
)

// checkArmed: what is not allowed during a run does not disturb it.
func checkArmed(b *bench) {
	before := b.configure(camera.Config{Exposure: b.info.MinExposure, ROI: b.regions()[0]})
	b.arm(2)
	b.cycle(1, 1)
	_, err := b.device.Configure(b.ctx(), camera.Config{Exposure: b.info.MaxExposure, ROI: b.regions()[3]})
	b.expect("Configure during a run", err, camera.ErrArmed)
	_, err = b.device.Configure(b.ctx(), camera.Config{})
	b.expect("Configure of nothing during a run", err, camera.ErrArmed)
	b.expect("Arm during a run", b.device.Arm(b.ctx(), camera.Run{Frames: 1}), camera.ErrArmed)
	b.cycle(1, 1)
	b.expectCounts(b.stop(), 2, 2)
	if after := b.configure(camera.Config{}); after != before {
		b.Errorf("Configure failed during a run and changed %+v to %+v", before, after)
	}
}

// checkNotArmed: without a run nothing is delivered.
func checkNotArmed(b *bench) {
	notArmed := func(when string) {
		b.Helper()
		b.expect("Wait "+when, b.waitError("Wait "+when, b.ctx()), camera.ErrNotArmed)
	}
	notArmed("before any run")
	for _, frames := range []int{0, -1} {
		b.expect("Arm for no frames", b.device.Arm(b.ctx(), camera.Run{Frames: frames}), camera.ErrInput)
		notArmed("after Arm refused")
	}
	b.trigger(1) // for nobody
	b.arm(1)
	b.refuses("Wait without room", camera.ErrInput, func() error { _, err := b.device.Wait(b.ctx(), nil); return err })
	b.cycle(1, 1)
	b.expectCounts(b.stop(), 1, 1)
	notArmed("after a run")
}

// checkCounts stops runs at every stage, twice.
func checkCounts(b *bench) {
	twice := func() camera.Counts {
		b.Helper()
		counts := b.stop()
		if again := b.stop(); again != counts {
			b.Errorf("Stop answered %+v and then %+v", counts, again)
		}
		return counts
	}
	if got := twice(); got != (camera.Counts{}) {
		b.Errorf("before any run counts are %+v", got)
	}
	n := b.info.Buffers
	b.arm(n)
	if got := twice(); !b.freeRunning() && got != (camera.Counts{}) {
		b.Errorf("without a trigger counts are %+v", got)
	}
	b.arm(n)
	b.trigger(n)
	b.take(n) // and holds them
	b.expectCounts(twice(), uint64(n), uint64(n))

	// Stop may be faster than the frames on their way: all that is known is that no
	// more were taken than triggered, and that those add up.
	b.arm(n)
	b.trigger(n)
	b.take(1)
	got := twice()
	if got.Delivered != 1 || got.Frames < 1 || !b.freeRunning() && got.Frames > uint64(n) {
		b.Errorf("one frame of %d was taken, counts are %+v", n, got)
	}
}

// checkNextRun: nothing of a run is left in the next.
func checkNextRun(b *bench) {
	n := b.info.Buffers
	for range 3 {
		b.arm(n + 2)
		b.trigger(n)
		b.device.Requeue(b.take(1)...) // the others are never taken
		b.stop()
		b.arm(2)
		b.cycle(2, 1) // numbered from 0
		b.expectCounts(b.stop(), 2, 2)
	}
}

// checkStaleFrames gives frames of an earlier run back during the next. All
// buffers are that run's already; one that is counted twice would be lent twice.
func checkStaleFrames(b *bench) {
	n := b.info.Buffers
	b.arm(n)
	b.trigger(n)
	stale := b.take(n)
	b.stop()
	b.device.Requeue(stale[:1]...) // between the runs
	b.arm(n)
	b.device.Requeue(stale...)
	b.trigger(n)
	held := b.take(n)
	b.device.Requeue(stale...)
	b.expect("Wait with all buffers held", b.waitError("Wait with all buffers held, after frames of an earlier run were given back", b.ctx()), camera.ErrNoBuffers)
	for i := range held {
		for j := range i {
			if overlap(held[i].Pix, held[j].Pix) {
				b.Fatalf("frames %d and %d share memory", held[i].Seq, held[j].Seq)
			}
		}
	}
	b.stop()
	b.usable()
}

// checkEndedContexts: under a context that has ended, nothing begins.
func checkEndedContexts(b *bench) {
	ended, cancel := context.WithCancel(b.ctx())
	cancel()
	before := b.configure(camera.Config{Exposure: b.info.MinExposure})
	b.refuses("Configure with a context that has ended", context.Canceled, func() error {
		_, err := b.device.Configure(ended, camera.Config{Exposure: b.info.MaxExposure})
		return err
	})
	if now := b.configure(camera.Config{}); now != before {
		b.Errorf("a Configure that failed changed %+v to %+v", before, now)
	}
	b.refuses("Arm with a context that has ended", context.Canceled, func() error { return b.device.Arm(ended, camera.Run{Frames: 1}) })
	b.arm(2) // which would fail if it were armed
	b.cycle(2, 1)
	b.refuses("Stop with a context that has ended", context.Canceled, func() error { _, err := b.device.Stop(ended); return err })
	b.expectCounts(b.stop(), 2, 2)
	b.usable()
}

// checkFreeRun takes frames that nobody triggers, and then some that are triggered again.
func checkFreeRun(b *bench) {
	const n = 5
	b.config = b.configure(camera.Config{Exposure: b.exposures()[1], ROI: b.regions()[1]})
	err := b.device.Arm(b.ctx(), camera.Run{Frames: n, Free: true})
	if errors.Is(err, camera.ErrInput) && !b.harness.Free {
		b.expect("Wait after a free run was refused", b.waitError("Wait after a free run was refused", b.ctx()), camera.ErrNotArmed)
		b.usable()
		b.Skipf("the camera cannot run free: %v", err)
	}
	if err != nil {
		b.Fatalf("Arm for a free run: %v", err)
	}
	b.free, b.next = true, 0
	b.expect("Arm during a free run", b.device.Arm(b.ctx(), camera.Run{Frames: n}), camera.ErrArmed)
	for range n - 1 {
		b.device.Requeue(b.take(1)...) // before the last, so that the run is not over
	}
	counts := b.stop()
	if counts.Delivered != n-1 || counts.Frames < n-1 {
		b.Errorf("%d frames of a free run came, counts are %+v", n-1, counts)
	}
	if counts.Triggers != 0 && b.harness.Trigger != nil {
		b.Errorf("nobody gave triggers to a free run, counts are %+v", counts)
	}
	b.free = false
	b.needTriggers()
	b.arm(1)
	deadline, cancel := context.WithTimeout(b.ctx(), 50*time.Millisecond)
	defer cancel()
	b.expect("Wait without a trigger, after a free run", b.waitError("Wait without a trigger, after a free run", deadline), camera.ErrTimeout)
	b.cycle(1, 1)
	b.expectCounts(b.stop(), 1, 1)
}
