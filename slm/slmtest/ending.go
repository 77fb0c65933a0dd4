package slmtest

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/light-in-the-loop/opu/slm"
)

// checkStop stops nothing, a run, and the same again.
func checkStop(b *bench) {
	stop := func(when string) {
		b.Helper()
		for range 2 {
			if err := b.device.Stop(b.ctx()); err != nil {
				b.Fatalf("Stop %s: %v", when, err)
			}
		}
	}
	stop("before any run")
	b.wait(0)
	p := b.pattern()
	b.load([]int{b.info.Capacity - 1}, []*slm.Pattern{p})
	b.play(slm.Run{Order: []int{b.info.Capacity - 1}})
	stop("after a run")
	b.wait(1)
	b.play(slm.Run{Order: []int{b.info.Capacity - 1}}) // the pattern is still there
	b.expectShown([]*slm.Pattern{p})

	start, ordered := b.startLongRun()
	stop("during a run")
	stopped := time.Since(start)
	var shown int
	var err error
	b.ends("Wait after Stop", func() {
		ctx, cancel := context.WithTimeout(b.ctx(), patience/2)
		defer cancel()
		shown, err = b.device.Wait(ctx)
	})
	switch {
	case err != nil:
		b.Fatalf("Wait after Stop: %v", err)
	case shown < 0 || time.Duration(shown-1)*longRunPeriod > stopped:
		b.Errorf("%d patterns of a run of %d were shown in %v", shown, ordered, stopped)
	}
	b.wait(shown)
	b.usable()
}

// checkEndedContexts: no call does anything under a context that has ended.
func checkEndedContexts(b *bench) {
	p := b.pattern()
	b.load([]int{0}, []*slm.Pattern{p})
	ended, cancel := context.WithCancel(b.ctx())
	cancel()
	for _, c := range []struct {
		name string
		call func() error
	}{
		{"Load", func() error { return b.device.Load(ended, []int{0}, []*slm.Pattern{p}) }},
		{"Play", func() error { return b.device.Play(ended, slm.Run{Order: []int{0}}) }},
		{"Stop", func() error { return b.device.Stop(ended) }},
	} {
		b.refuses(c.name+" with a context that has ended", context.Canceled, c.call)
	}
	if err := b.device.Stop(b.ctx()); err != nil {
		b.Fatalf("Stop: %v", err)
	}
	b.usable()
}

// checkWaitDeadline lets contexts end while a run goes on.
func checkWaitDeadline(b *bench) {
	b.startLongRun()
	const limit = longRunPeriod / 2
	deadline, cancel := context.WithTimeout(b.ctx(), limit)
	defer cancel()
	_, err := b.device.Wait(deadline)
	b.expect("Wait with a deadline during a run", err, context.DeadlineExceeded)
	if until, _ := deadline.Deadline(); time.Now().Before(until) {
		b.Errorf("Wait returned %v before its deadline", time.Until(until))
	}

	canceled, cancel := context.WithCancel(b.ctx())
	b.ends("Wait whose context was cancelled", func() {
		time.AfterFunc(limit, cancel)
		_, err = b.device.Wait(canceled)
	})
	b.expect("Wait with a context that was cancelled", err, context.Canceled)
	if err := b.device.Stop(b.ctx()); err != nil {
		b.Fatalf("Stop: %v", err)
	}
	b.usable()
}

// checkConcurrentUse calls everything from several goroutines. Refusals because
// of a run are all that may go wrong.
func checkConcurrentUse(b *bench) {
	p := b.pattern()
	b.load([]int{0}, []*slm.Pattern{p})
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(uint64(g), 1))
			for range 10 {
				var err error
				what := ""
				switch random.IntN(5) {
				case 0:
					what, err = "Load", b.device.Load(b.ctx(), []int{0}, []*slm.Pattern{p})
				case 1:
					what, err = "Play", b.device.Play(b.ctx(), slm.Run{Order: []int{0}})
				case 2:
					_, err = b.device.Wait(b.ctx())
					what = "Wait"
				case 3:
					what, err = "Stop", b.device.Stop(b.ctx())
				case 4:
					if b.device.Info() != b.info {
						b.Error("Info changed while other calls were made")
					}
				}
				if err != nil && (!errors.Is(err, slm.ErrBusy) || what != "Load" && what != "Play") {
					b.Errorf("%s beside other calls: %v", what, err)
				}
			}
		})
	}
	b.ends("calls from several goroutines", wg.Wait)
	if err := b.device.Stop(b.ctx()); err != nil {
		b.Fatalf("Stop: %v", err)
	}
	b.usable()
}

// checkClose closes more than once, and calls everything afterwards.
func checkClose(b *bench) {
	b.usable()
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			if err := b.device.Close(); err != nil {
				b.Errorf("Close: %v", err)
			}
		})
	}
	b.ends("Close", wg.Wait)
	b.closed()
	if err := b.device.Close(); err != nil {
		b.Errorf("another Close: %v", err)
	}
}

// closed expects ErrClosed of every call.
func (b *bench) closed() {
	b.Helper()
	p := b.pattern()
	b.refuses("Load after Close", slm.ErrClosed, func() error { return b.device.Load(b.ctx(), []int{0}, []*slm.Pattern{p}) })
	b.refuses("Play after Close", slm.ErrClosed, func() error { return b.device.Play(b.ctx(), slm.Run{Order: []int{0}}) })
	b.refuses("Wait after Close", slm.ErrClosed, func() error { _, err := b.device.Wait(b.ctx()); return err })
	b.refuses("Stop after Close", slm.ErrClosed, func() error { return b.device.Stop(b.ctx()) })
	if got := b.device.Info(); got != b.info {
		b.Errorf("Close changed Info from %+v to %+v", b.info, got)
	}
}

// checkCloseEndsWait closes the device while somebody waits for a run.
func checkCloseEndsWait(b *bench) {
	b.startLongRun()
	pending := make(chan error, 1)
	go func() {
		_, err := b.device.Wait(b.ctx())
		pending <- err
	}()
	if b.playing(longRunPeriod / 10) { // gives the goroutine time to get there; either way the outcome is the same
		b.ends("Close during a run", func() {
			if err := b.device.Close(); err != nil {
				b.Errorf("Close during a run: %v", err)
			}
		})
	}
	b.refuses("Wait, when the device was closed", slm.ErrClosed, func() error { return <-pending })
	b.closed()
}
