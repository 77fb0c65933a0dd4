// Package shiftertest is the conformance suite of shifter.Device: a driver is
// accepted when it passes, on a model of its hardware in everyday tests and, where
// somebody has one, on the device itself.
//
//	func TestConformance(t *testing.T) {
//		shiftertest.Run(t, shiftertest.Harness{Open: openOnModel})
//	}
//
// It moves the piezo within the device's limits, everywhere: disconnect what must not
// move.
package shiftertest

import (
	"context"
	"errors"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/light-in-the-loop/opu/shifter"
)

// Harness is a device for the suite and what is known of it.
type Harness struct {
	// Open returns a device. The suite closes it. It is called once for each check.
	Open func(t *testing.T) shifter.Device

	// Output returns the volts at the device's output; nil if only the device knows.
	Output func(shifter.Device) float64

	// Silence makes the device answer nothing any more, so that calls wait; nil if that
	// cannot be done, and the checks of pending calls are skipped.
	Silence func(shifter.Device)

	// Around, if not nil, calls each check, Open included. With synctest.Test the suite
	// needs no time and leaked goroutines are found.
	Around func(t *testing.T, check func(t *testing.T))
}

// Run checks a device as well as the harness allows.
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
		{"set", checkSet},
		{"settled", checkSettled},
		{"limits", checkLimits},
		{"ended-contexts", checkEndedContexts},
		{"deadline", checkDeadline},
		{"concurrent-use", checkConcurrentUse},
		{"close", checkClose},
		{"close-ends-calls", checkCloseEndsCalls},
	} {
		t.Run(c.name, func(t *testing.T) {
			around(t, func(t *testing.T) {
				d := h.Open(t)
				t.Cleanup(func() { d.Close() })
				name := fnv.New64a()
				name.Write([]byte(c.name))
				seed := name.Sum64()
				t.Logf("seed %#x", seed)
				c.check(&bench{T: t, Harness: h, device: d, info: d.Info(), random: rand.New(rand.NewPCG(seed, 0))})
			})
		})
	}
}

// bench is what a check works with.
type bench struct {
	*testing.T
	Harness
	device shifter.Device
	info   shifter.Info
	random *rand.Rand
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
	if !errors.Is(err, want) {
		b.Errorf("%s: got error %v, want one that wraps %q", what, err, want)
	}
}

// set must work.
func (b *bench) set(volts float64) {
	b.Helper()
	if err := b.device.Set(b.Context(), volts); err != nil {
		b.Fatalf("Set to %g V: %v", volts, err)
	}
}

// at expects the device at a voltage.
func (b *bench) at(volts float64) {
	b.Helper()
	got, err := b.device.Read(b.Context())
	if err != nil {
		b.Fatalf("Read: %v", err)
	}
	if !(math.Abs(got-volts) <= b.info.Resolution) {
		b.Errorf("Read gives %g V, want %g V within %g V", got, volts, b.info.Resolution)
	}
	if b.Output == nil {
		return
	}
	if got := b.Output(b.device); !(math.Abs(got-volts) <= b.info.Resolution) {
		b.Errorf("the output is at %g V, want %g V within %g V", got, volts, b.info.Resolution)
	}
}

func (b *bench) voltage() float64 {
	return b.info.Min + b.random.Float64()*(b.info.Max-b.info.Min)
}

func checkInfo(b *bench) {
	i := b.info
	switch {
	case i.Model == "" || i.Serial == "":
		b.Errorf("model %q, serial %q: devices must be told apart", i.Model, i.Serial)
	case !(i.Min < i.Max) || math.IsInf(i.Max-i.Min, 0):
		b.Errorf("limits %g V to %g V", i.Min, i.Max)
	case !(i.Resolution > 0 && i.Resolution < i.Max-i.Min):
		b.Errorf("resolution %g V of a range of %g V", i.Resolution, i.Max-i.Min)
	case i.Settle < 0:
		b.Errorf("settles in %v", i.Settle)
	case math.IsNaN(i.RadiansPerVolt) || math.IsInf(i.RadiansPerVolt, 0):
		b.Errorf("%g radians per volt", i.RadiansPerVolt)
	}
	b.set(b.voltage())
	if got := b.device.Info(); got != i {
		b.Errorf("Info changed from %+v to %+v", i, got)
	}
}

// checkSet goes everywhere, both limits included.
func checkSet(b *bench) {
	for _, volts := range []float64{b.info.Min, b.info.Max, b.info.Min, b.voltage(), b.voltage(), b.info.Max} {
		b.set(volts)
		b.at(volts)
	}
	b.set(b.info.Max) // there already
	b.at(b.info.Max)
}

// checkSettled expects that Set takes at least the time of settling.
func checkSettled(b *bench) {
	b.set(b.info.Min)
	start := time.Now()
	b.set((b.info.Min + b.info.Max) / 2)
	if took := time.Since(start); took < b.info.Settle {
		b.Errorf("Set returned after %v, the device settles in %v", took, b.info.Settle)
	}
}

// checkLimits asks for what would break the piezo.
func checkLimits(b *bench) {
	before := (b.info.Min + b.info.Max) / 2
	b.set(before)
	for _, volts := range []float64{
		math.Nextafter(b.info.Max, math.Inf(1)), math.Nextafter(b.info.Min, math.Inf(-1)), b.info.Max + 1, 2*b.info.Max + 1000,
		b.info.Min - 1, math.NaN(), math.Inf(1), math.Inf(-1), math.MaxFloat64,
	} {
		b.refuses("Set outside the limits", shifter.ErrInput, func() error { return b.device.Set(b.Context(), volts) })
	}
	b.at(before)
}

// checkEndedContexts: no call does anything under a context that has ended.
func checkEndedContexts(b *bench) {
	b.set(b.info.Min)
	ended, cancel := context.WithCancel(b.Context())
	cancel()
	b.refuses("Set with a context that has ended", context.Canceled, func() error { return b.device.Set(ended, b.info.Max) })
	b.refuses("Read with a context that has ended", context.Canceled, func() error { _, err := b.device.Read(ended); return err })
	b.at(b.info.Min)
}

// checkDeadline lets contexts end while the device is silent.
func checkDeadline(b *bench) {
	if b.Silence == nil {
		b.Skip("the device cannot be made silent")
	}
	b.Silence(b.device)
	for _, c := range []struct {
		name string
		call func(ctx context.Context) error
	}{
		{"Set", func(ctx context.Context) error { return b.device.Set(ctx, b.info.Max) }},
		{"Read", func(ctx context.Context) error { _, err := b.device.Read(ctx); return err }},
	} {
		b.refuses(c.name+" of a silent device, with a deadline", context.DeadlineExceeded, func() error {
			ctx, cancel := context.WithTimeout(b.Context(), 20*time.Millisecond)
			defer cancel()
			return c.call(ctx)
		})
	}
	// Without a deadline it ends as well, at the time that the driver grants.
	b.refuses("Read of a silent device", shifter.ErrTimeout, func() error { _, err := b.device.Read(b.Context()); return err })
}

// checkConcurrentUse calls everything from several goroutines.
func checkConcurrentUse(b *bench) {
	var wg sync.WaitGroup
	targets := make([]float64, 4)
	for g := range targets {
		targets[g] = b.voltage()
		wg.Go(func() {
			for range 3 {
				if err := b.device.Set(b.Context(), targets[g]); err != nil {
					b.Errorf("Set beside other calls: %v", err)
				}
				if v, err := b.device.Read(b.Context()); err != nil || v < b.info.Min-b.info.Resolution || v > b.info.Max+b.info.Resolution {
					b.Errorf("Read beside other calls: %g V, %v", v, err)
				}
				if b.device.Info() != b.info {
					b.Error("Info changed while other calls were made")
				}
			}
		})
	}
	b.ends("calls from several goroutines", wg.Wait)
	volts, err := b.device.Read(b.Context())
	if err != nil {
		b.Fatalf("Read: %v", err)
	}
	for _, target := range targets {
		if math.Abs(target-volts) <= b.info.Resolution {
			return
		}
	}
	b.Errorf("the device is at %g V, where nobody sent it: %g V", volts, targets)
}

// checkClose closes more than once, and calls everything afterwards.
func checkClose(b *bench) {
	volts := b.voltage()
	b.set(volts)
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
	if b.Output != nil {
		if got := b.Output(b.device); !(math.Abs(got-volts) <= b.info.Resolution) {
			b.Errorf("Close moved the piezo from %g V to %g V", volts, got)
		}
	}
}

// closed expects ErrClosed of every call.
func (b *bench) closed() {
	b.Helper()
	b.refuses("Set after Close", shifter.ErrClosed, func() error { return b.device.Set(b.Context(), b.info.Min) })
	b.refuses("Read after Close", shifter.ErrClosed, func() error { _, err := b.device.Read(b.Context()); return err })
	if got := b.device.Info(); got != b.info {
		b.Errorf("Close changed Info from %+v to %+v", b.info, got)
	}
}

// checkCloseEndsCalls closes the device while somebody waits for it.
func checkCloseEndsCalls(b *bench) {
	if b.Silence == nil {
		b.Skip("the device cannot be made silent")
	}
	b.Silence(b.device)
	pending := make(chan error, 1)
	go func() {
		_, err := b.device.Read(b.Context())
		pending <- err
	}()
	for range 2 { // gives the goroutine time to get there, and to its turn; either way the outcome is the same
		b.ends("Read of a silent device, with a deadline", func() {
			ctx, cancel := context.WithTimeout(b.Context(), 20*time.Millisecond)
			defer cancel()
			b.device.Read(ctx)
		})
	}
	b.ends("Close during Read", func() {
		if err := b.device.Close(); err != nil {
			b.Errorf("Close during Read: %v", err)
		}
	})
	b.refuses("Read, when the device was closed", shifter.ErrClosed, func() error { return <-pending })
	b.closed()
}
