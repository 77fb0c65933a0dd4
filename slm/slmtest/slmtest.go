// Package slmtest is the conformance suite of slm.Device: a driver is accepted
// when it passes, on a fake or model of its hardware in everyday tests and, where
// somebody has one, on the device itself.
//
//	func TestConformance(t *testing.T) {
//		slmtest.Run(t, func(t *testing.T) slm.Device { return openOnModel(t) })
//	}
//
// Counts and errors can be judged from the host. What the mirrors showed cannot:
// a harness that knows it, because its device is a model, says so with
// Harness.Shown and gets the checks of content and order too.
//
//	var model *Model // of the controller
//	slmtest.RunWith(t, slmtest.Harness{
//		Open:   func(t *testing.T) slm.Device { model = newModel(); return openOn(t, model) },
//		Shown:  func(slm.Device) []*slm.Pattern { return model.Shown() },
//		Around: synctest.Test,
//	})
//
// Time is not slept away: contexts have short deadlines only where the contract
// is about them. Runs of half a minute are started to look at a device while it
// plays, and are stopped. If the device is over with them at once, as a simulator
// may be, these checks say so and are skipped.
package slmtest

import (
	"context"
	"errors"
	"hash/fnv"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/light-in-the-loop/opu/slm"
)

// Harness is a device for the suite and what is known of it.
type Harness struct {
	// Open returns a device that plays nothing and whose slots count as empty. The
	// suite closes it. It is called once for each check.
	Open func(t *testing.T) slm.Device

	// Shown returns what the mirrors of the device showed in its last run, in
	// order; nil if only the mirrors know.
	Shown func(slm.Device) []*slm.Pattern

	// Around, if not nil, calls each check, Open included. With synctest.Test the
	// suite needs no time and leaked goroutines are found.
	Around func(t *testing.T, check func(t *testing.T))
}

// Run checks a device of which only the host's side can be seen.
func Run(t *testing.T, open func(t *testing.T) slm.Device) {
	t.Helper()
	RunWith(t, Harness{Open: open})
}

// RunWith checks a device as well as the harness allows.
func RunWith(t *testing.T, h Harness) {
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
		{"content", checkContent},
		{"copies", checkCopies},
		{"longest-run", checkLongestRun},
		{"counts", checkCounts},
		{"bad-loads", checkBadLoads},
		{"bad-runs", checkBadRuns},
		{"busy", checkBusy},
		{"stop", checkStop},
		{"ended-contexts", checkEndedContexts},
		{"wait-deadline", checkWaitDeadline},
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
					T: t, device: d, info: d.Info(), shown: h.Shown,
					random: rand.New(rand.NewPCG(seed, 0)),
				})
			})
		})
	}
}

// bench is what a check works with.
type bench struct {
	*testing.T
	device slm.Device
	info   slm.Info
	shown  func(slm.Device) []*slm.Pattern // may be nil
	random *rand.Rand
}

// ctx does not end before the check: drivers must not need it to.
func (b *bench) ctx() context.Context { return b.Context() }

// load must work.
func (b *bench) load(slots []int, patterns []*slm.Pattern) {
	b.Helper()
	if err := b.device.Load(b.ctx(), slots, patterns); err != nil {
		b.Fatalf("Load into slots %v: %v", slots, err)
	}
}

// play plays a run to its end, which must work.
func (b *bench) play(r slm.Run) {
	b.Helper()
	if err := b.device.Play(b.ctx(), r); err != nil {
		b.Fatalf("Play of %d patterns: %v", len(r.Order), err)
	}
	b.wait(len(r.Order))
}

// wait must return a count.
func (b *bench) wait(want int) {
	b.Helper()
	if got, err := b.device.Wait(b.ctx()); err != nil || got != want {
		b.Fatalf("Wait = %d, %v, want %d patterns shown", got, err, want)
	}
}

// expectShown compares what the mirrors showed, if the harness knows it.
func (b *bench) expectShown(want []*slm.Pattern) {
	b.Helper()
	if b.shown == nil {
		return
	}
	got := b.shown(b.device)
	if len(got) != len(want) {
		b.Fatalf("the mirrors showed %d patterns, want %d", len(got), len(want))
	}
	for k := range want {
		if !got[k].Equal(want[k]) {
			b.Fatalf("at position %d of %d the mirrors did not show the pattern that was asked for", k, len(want))
		}
	}
}

// usable says whether the device still does what it should.
func (b *bench) usable() {
	b.Helper()
	p := b.pattern()
	b.load([]int{0}, []*slm.Pattern{p})
	b.play(slm.Run{Order: []int{0, 0}})
	b.expectShown([]*slm.Pattern{p, p})
}

// pattern returns a random pattern. Some are simple, because encoders have ways
// of their own for these, and some are not, because no encoder likes noise.
func (b *bench) pattern() *slm.Pattern {
	g := b.info.Geometry
	p := slm.NewPattern(g)
	switch b.random.IntN(6) {
	case 0: // off
	case 1:
		p.Fill()
	case 2: // a single mirror, often at the edge
		edge := func(n int) int { return []int{0, n - 1, b.random.IntN(n)}[b.random.IntN(3)] }
		p.Set(edge(g.Width), edge(g.Height), true)
	case 3: // equal rows
		row := b.random.Uint64()
		for v := range g.Height {
			for u := range g.Width {
				p.Set(u, v, row>>(u%64)&1 != 0)
			}
		}
	case 4: // a rectangle
		u0, v0 := b.random.IntN(g.Width), b.random.IntN(g.Height)
		for v := v0; v < v0+1+b.random.IntN(g.Height-v0); v++ {
			for u := u0; u < g.Width; u++ {
				p.Set(u, v, true)
			}
		}
	case 5: // noise
		for v := range g.Height {
			for u := range g.Width {
				p.Set(u, v, b.random.Uint32()&1 != 0)
			}
		}
	}
	return p
}

// unlike returns a random pattern that differs from p.
func (b *bench) unlike(p *slm.Pattern) *slm.Pattern {
	for {
		if q := b.pattern(); !q.Equal(p) {
			return q
		}
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

// expect fails the check unless err wraps want.
func (b *bench) expect(what string, err, want error) {
	b.Helper()
	if !errors.Is(err, want) {
		b.Errorf("%s: got error %v, want one that wraps %q", what, err, want)
	}
}

// refuses makes a call that must return soon, with an error that wraps want.
func (b *bench) refuses(what string, want error, call func() error) {
	b.Helper()
	var err error
	b.ends(what, func() { err = call() })
	b.expect(what, err, want)
}

// The run that is looked at while it plays takes half a minute, longer than any
// patience: no call may seem to end in time because the run does.
const (
	longRunLength = 100
	longRunPeriod = 300 * time.Millisecond
)

// longRun plays slot 0.
func (b *bench) longRun() slm.Run {
	return slm.Run{Order: make([]int, min(longRunLength, b.info.MaxRun)), Period: max(longRunPeriod, b.info.MinPeriod)}
}

// startLongRun plays the long run and skips the check if the device is over with
// it at once. It returns when the run began, and how many patterns were ordered.
func (b *bench) startLongRun() (start time.Time, ordered int) {
	b.Helper()
	b.load([]int{0}, []*slm.Pattern{b.pattern()})
	r := b.longRun()
	start = time.Now()
	if err := b.device.Play(b.ctx(), r); err != nil {
		b.Fatalf("Play: %v", err)
	}
	if !b.playing(longRunPeriod / 10) {
		b.wait(len(r.Order))
		b.Skip("the device was over with a run of half a minute at once, so it cannot be looked at while it plays")
	}
	return start, len(r.Order)
}

// playing tells whether a run goes on for at least this long.
func (b *bench) playing(atLeast time.Duration) bool {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.ctx(), atLeast)
	defer cancel()
	var err error
	b.ends("Wait during a run, with a context that ended", func() { _, err = b.device.Wait(ctx) })
	return err != nil
}
