package cameratest

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/light-in-the-loop/opu/camera"
)

// checkTimeout waits for frames that do not come, and then for those that do.
func checkTimeout(b *bench) {
	b.needTriggers()
	const limit = 50 * time.Millisecond
	b.arm(5)
	for range 2 {
		deadline, cancel := context.WithTimeout(b.ctx(), limit)
		err := b.waitError("Wait without a trigger", deadline)
		b.expect("Wait without a trigger", err, camera.ErrTimeout)
		b.expect("Wait without a trigger", err, context.DeadlineExceeded)
		if until, _ := deadline.Deadline(); time.Now().Before(until) {
			b.Errorf("Wait returned %v before its deadline", time.Until(until))
		}
		cancel()

		canceled, cancel := context.WithCancel(b.ctx())
		time.AfterFunc(limit, cancel)
		err = b.waitError("Wait whose context was cancelled", canceled)
		b.expect("Wait whose context was cancelled", err, camera.ErrTimeout)
		b.expect("Wait whose context was cancelled", err, context.Canceled)

		b.cycle(1, 1) // the frame that is late is not lost
	}
	// A frame that is there may be handed out even though the context has ended. If
	// not, it stays.
	b.trigger(1)
	ended, cancel := context.WithCancel(b.ctx())
	cancel()
	room := make([]camera.Frame, 1)
	n, err := b.device.Wait(ended, room)
	switch {
	case n == 1 && err == nil:
		b.judge(&room[0])
		b.device.Requeue(room...)
	case n == 0 && errors.Is(err, context.Canceled):
		b.device.Requeue(b.take(1)...)
	default:
		b.Fatalf("Wait with a context that has ended = %d, %v", n, err)
	}
	b.cycle(2, 1)
	b.expectCounts(b.stop(), 5, 5)
}

// checkConcurrentUse waits in one goroutine, gives frames back from another and
// calls the rest from more.
func checkConcurrentUse(b *bench) {
	n := 3 * b.info.Buffers
	b.arm(n)
	ctx, cancel := context.WithTimeout(b.ctx(), patience)
	defer cancel()
	var wg sync.WaitGroup
	held := make(chan camera.Frame, b.info.Buffers)
	returned := make(chan struct{}, n) // one for each frame given back
	wg.Go(func() {
		for f := range held {
			b.device.Requeue(f)
			returned <- struct{}{}
		}
	})
	for range 2 {
		wg.Go(func() {
			for range n {
				b.device.Info()
				if _, err := b.device.Configure(ctx, camera.Config{}); !errors.Is(err, camera.ErrArmed) {
					b.Errorf("Configure during a run: got error %v, want ErrArmed", err)
				}
				if err := b.device.Arm(ctx, camera.Run{Frames: 1}); !errors.Is(err, camera.ErrArmed) {
					b.Errorf("Arm during a run: got error %v, want ErrArmed", err)
				}
			}
		})
	}
	for range n {
		b.trigger(1)
		var room [1]camera.Frame
		if _, err := b.device.Wait(ctx, room[:]); err != nil {
			b.Errorf("Wait beside other calls: %v", err)
			break
		}
		b.order(&room[0])
		held <- room[0]
		<-returned // so that a buffer is free for every frame
	}
	close(held)
	b.ends("calls from several goroutines", wg.Wait)
	if b.Failed() {
		return
	}
	b.expectCounts(b.stop(), uint64(n), uint64(n))
	b.usable()
}

// checkClose closes more than once, and calls everything afterwards.
func checkClose(b *bench) {
	b.arm(2)
	b.trigger(1)
	b.take(1) // and still holds it
	b.closeAll()
	b.closed()
}

// closeAll closes from several goroutines.
func (b *bench) closeAll() {
	b.Helper()
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			if err := b.device.Close(); err != nil {
				b.Errorf("Close: %v", err)
			}
		})
	}
	b.ends("Close", wg.Wait)
}

// closed expects ErrClosed of every call.
func (b *bench) closed() {
	b.Helper()
	b.refuses("Configure after Close", camera.ErrClosed, func() error { _, err := b.device.Configure(b.ctx(), camera.Config{}); return err })
	b.refuses("Arm after Close", camera.ErrClosed, func() error { return b.device.Arm(b.ctx(), camera.Run{Frames: 1}) })
	b.refuses("Wait after Close", camera.ErrClosed, func() error { _, err := b.device.Wait(b.ctx(), make([]camera.Frame, 1)); return err })
	b.refuses("Stop after Close", camera.ErrClosed, func() error { _, err := b.device.Stop(b.ctx()); return err })
	b.ends("Requeue after Close", func() { b.device.Requeue(b.last) }) // must do no harm
	b.closeAll()
	if got := b.device.Info().Serial; got != b.info.Serial {
		b.Errorf("Close changed the serial from %q to %q", b.info.Serial, got)
	}
}

// checkCloseEndsWait closes the camera while somebody waits for a frame.
func checkCloseEndsWait(b *bench) {
	b.needTriggers()
	b.arm(2)
	b.cycle(1, 1)
	waiting, pending := make(chan struct{}), make(chan error, 1)
	go func() {
		close(waiting)
		_, err := b.device.Wait(b.ctx(), make([]camera.Frame, 1))
		pending <- err
	}()
	// Close may still be first, and the outcome is the same; to make that rare the
	// goroutine is given a moment.
	<-waiting
	select {
	case err := <-pending:
		b.Fatalf("Wait without a trigger returned %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	b.closeAll()
	b.refuses("Wait, when the camera was closed", camera.ErrClosed, func() error { return <-pending })
	b.closed()
}
