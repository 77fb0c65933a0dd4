package slmtest_test

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/light-in-the-loop/opu/slm"
)

// fake is a device in memory that plays its runs in time. With a bug it is a
// driver that the suite must refuse.
type fake struct {
	bug bug

	mu     sync.Mutex // guards what follows
	closed chan struct{}
	slots  map[int]*slm.Pattern
	run    *run           // the last, maybe still playing; never nil
	showed []*slm.Pattern // by the last run, if it was not stopped
	infos  int            // calls of Info
}

// run ends when done is closed; shown is written before that.
type run struct {
	stop  sync.Once
	stops chan struct{}
	done  chan struct{}
	shown int
}

// bug is what a driver got wrong, in words.
type bug string

func newFake(b bug) *fake {
	idle := &run{stops: make(chan struct{}), done: make(chan struct{})}
	close(idle.done)
	return &fake{bug: b, closed: make(chan struct{}), slots: map[int]*slm.Pattern{}, run: idle}
}

func (f *fake) Info() slm.Info {
	i := slm.Info{Model: "fake", Serial: "1", Geometry: slm.Geometry{Width: 70, Height: 5}, Capacity: 6, MaxRun: 40, MinPeriod: 100 * time.Microsecond}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.infos++
	switch {
	case f.bug == "Info counts its calls":
		i.Serial = fmt.Sprint(f.infos)
	case f.bug == "Info has no serial":
		i.Serial = ""
	case f.bug == "Info has no shortest period":
		i.MinPeriod = 0
	}
	return i
}

// begin says whether a call may begin.
func (f *fake) begin(ctx context.Context, what bug) error {
	select {
	case <-f.closed:
		if f.bug != what+" works after Close" {
			return fmt.Errorf("cannot %s: %w", what, slm.ErrClosed)
		}
	default:
	}
	if err := ctx.Err(); err != nil && f.bug != what+" ignores its context" {
		if f.bug == what+" hides the context's error" {
			return fmt.Errorf("cannot %s: %w", what, slm.ErrTimeout)
		}
		return fmt.Errorf("cannot %s: %w", what, err)
	}
	return nil
}

func (r *run) playing() bool {
	select {
	case <-r.done:
		return false
	default:
		return true
	}
}

func (f *fake) Load(ctx context.Context, slots []int, patterns []*slm.Pattern) error {
	info := f.Info()
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.begin(ctx, "Load"); err != nil {
		return err
	}
	store := func(i int) {
		slot, p := slots[i], patterns[i]
		if f.bug != "Load keeps the caller's pattern" {
			p = p.Clone()
		}
		switch {
		case f.bug == "Load forgets the last column" && p.Geometry() == info.Geometry:
			for v := range 5 {
				p.Set(69, v, false)
			}
		case f.bug == "Load leaves a slot that is full" && f.slots[slot] != nil:
			return
		case f.bug == "Load mixes slots up":
			slot ^= 1
		}
		f.slots[slot] = p
	}
	if err := info.CheckLoad(slots, patterns); err != nil {
		switch f.bug {
		case "Load checks when it is too late":
			for i := range min(len(slots), len(patterns)) {
				if patterns[i] != nil {
					store(i)
				}
			}
		case "Load takes patterns of any size":
			return nil
		case "Load refuses with an error of its own":
			return fmt.Errorf("cannot load: %v", err)
		}
		return err
	}
	if f.run.playing() && f.bug != "Load disturbs a run" {
		return fmt.Errorf("cannot load: %w", slm.ErrBusy)
	}
	for i := range slots {
		store(i)
	}
	return nil
}

func (f *fake) Play(ctx context.Context, r slm.Run) error {
	info := f.Info()
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.begin(ctx, "Play"); err != nil {
		return err
	}
	limits := info
	switch f.bug {
	case "Play takes runs that are too long":
		limits.MaxRun = 1 << 30
	case "Play takes periods that are too short":
		limits.MinPeriod = 1
	case "Play takes long exposures":
		r.Exposure = min(r.Exposure, info.MinPeriod)
	case "Play takes short runs only":
		limits.MaxRun = 30
	}
	if err := limits.Check(r); err != nil {
		if f.bug == "Play forgets the last run when it refuses" {
			f.run.shown = 0
		}
		return err
	}
	if f.run.playing() {
		if f.bug != "Play replaces a run" {
			return fmt.Errorf("cannot play: %w", slm.ErrBusy)
		}
		f.end()
	}
	var showed []*slm.Pattern
	for k, slot := range r.Order {
		p := f.slots[slot]
		switch {
		case p == nil && f.bug == "Play shows empty slots":
			p = slm.NewPattern(info.Geometry)
		case p == nil:
			return fmt.Errorf("cannot play: slot %d was never loaded: %w", slot, slm.ErrInput)
		case f.bug == "Play shows repeated slots once" && k > 0 && slot == r.Order[k-1]:
			continue
		case f.bug == "Play begins one slot late" && k == 0 && len(r.Order) > 1:
			p = f.slots[r.Order[1]]
		}
		showed = append(showed, p)
	}
	if f.bug == "Play swaps the last two" && len(showed) > 1 {
		n := len(showed)
		showed[n-1], showed[n-2] = showed[n-2], showed[n-1]
	}
	f.showed = showed
	now := &run{stops: make(chan struct{}), done: make(chan struct{})}
	f.run = now
	start, n, period := time.Now(), len(r.Order), max(r.Period, info.MinPeriod)
	if f.bug == "Wait counts one less" {
		n--
	}
	go func() {
		defer close(now.done)
		select {
		case <-time.After(time.Duration(n) * period):
			now.shown = n
		case <-now.stops:
			if now.shown = min(n, int(time.Since(start)/period)); f.bug == "Stop pretends that all was shown" {
				now.shown = n
			}
		}
	}()
	return nil
}

// end ends the run that plays, if any. Callers hold the lock.
func (f *fake) end() {
	f.run.stop.Do(func() { close(f.run.stops) })
	<-f.run.done
}

func (f *fake) Wait(ctx context.Context) (int, error) {
	f.mu.Lock()
	err, r := f.begin(ctx, "Wait"), f.run
	f.mu.Unlock()
	if err != nil {
		return 0, err
	}
	ended, closed := ctx.Done(), f.closed
	switch f.bug {
	case "Wait ignores its context":
		ended = nil
	case "Close leaves Wait pending", "Close leaves Wait without an error", "Wait works after Close":
		closed = nil
	}
	select {
	case <-r.done:
		if f.bug == "Close leaves Wait without an error" || f.bug == "Wait works after Close" {
			return r.shown, nil
		}
		select {
		case <-f.closed:
			return 0, fmt.Errorf("cannot wait: %w", slm.ErrClosed)
		default:
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		shown := r.shown
		if f.bug == "Wait counts only once" {
			r.shown = 0
		}
		return shown, nil
	case <-closed:
		return 0, fmt.Errorf("cannot wait: %w", slm.ErrClosed)
	case <-ended:
		if f.bug == "Wait hides the context's error" {
			return 0, fmt.Errorf("cannot wait: %w", slm.ErrTimeout)
		}
		if f.bug == "Wait stops the run when it gives up" {
			f.Stop(context.Background())
		}
		return 0, fmt.Errorf("cannot wait: %w", ctx.Err())
	}
}

func (f *fake) Stop(ctx context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.begin(ctx, "Stop"); err != nil {
		return err
	}
	switch {
	case f.bug == "Stop does nothing":
		return nil
	case f.bug == "Stop needs a run" && !f.run.playing():
		return fmt.Errorf("cannot stop: nothing plays: %w", slm.ErrRefused)
	case f.bug == "Stop forgets the patterns":
		clear(f.slots)
	}
	f.end()
	return nil
}

func (f *fake) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	select {
	case <-f.closed:
		if f.bug == "Close works once" {
			return slm.ErrClosed
		}
		return nil
	default:
	}
	close(f.closed)
	if f.bug != "Close leaves Wait pending" {
		f.end()
	}
	return nil
}

// shown is what the mirrors showed.
func (f *fake) shown() []*slm.Pattern {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.showed
}
