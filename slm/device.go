package slm

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// The conditions that callers act on. Drivers wrap them with the device, the
// limit and the remedy; test with errors.Is.
var (
	ErrClosed    = errors.New("closed by us")
	ErrUnplugged = errors.New("device unplugged")
	ErrTimeout   = errors.New("device did not answer in time")
	ErrProtocol  = errors.New("device answered nonsense")
	ErrRefused   = errors.New("device refused")
	ErrInput     = errors.New("bad input") // found before anything was sent
	ErrBusy      = errors.New("a run is playing")
)

// Device is a DMD and its controller.
//
// It keeps patterns in numbered slots and plays orders of them. Every method
// may be called from any goroutine, but one run plays at a time: Load and Play
// during a run fail with ErrBusy. Every blocking call ends when its context
// does, even if the hardware never answers, with an error that wraps the
// context's; a context that has already ended lets nothing begin. What else a
// device can do is found by asserting for a small interface of its own.
type Device interface {
	// Info describes the device. It never blocks and does not change while the
	// device is open.
	Info() Info

	// Load stores patterns[i] in slots[i]; the device keeps copies. It blocks
	// while the patterns are sent. On an error the named slots may hold anything.
	// Wrong geometry, slots outside 0..Capacity-1 or named twice: ErrInput, and
	// nothing is sent.
	Load(ctx context.Context, slots []int, patterns []*Pattern) error

	// Play starts a run and returns when its first pattern is about to be shown.
	// Slots that were never loaded or a run outside the limits of Info: ErrInput.
	Play(ctx context.Context, r Run) error

	// Wait blocks until the run has ended and returns how many patterns were
	// shown, fewer than ordered if Stop ended it. Without a run it returns the
	// count of the last one.
	Wait(ctx context.Context) (shown int, err error)

	// Stop ends the run, if one plays; the mirrors rest in the device's idle
	// state. Patterns stay in their slots.
	Stop(ctx context.Context) error

	// Close stops the run, parks the mirrors where the device can, and ends all
	// pending calls with ErrClosed. It may be called more than once.
	Close() error
}

// Run is an order of patterns and its timing.
type Run struct {
	Order []int // slots, in the order of showing; one may appear many times

	// Period is the time from one pattern to the next, and Exposure how long the
	// mirrors hold each pattern; the device is dark for the rest. 0 means the
	// shortest period, and an exposure that fills the period.
	Period, Exposure time.Duration
}

// Info describes a device and its limits.
type Info struct {
	Model    string // for people: "simulated DMD", "DLP6500 (DLPC900)"
	Serial   string // tells two devices of a model apart: a serial number or a port
	Geometry Geometry
	Capacity int // slots
	MaxRun   int // longest order that one Play takes

	MinPeriod time.Duration // the fastest pattern rate is 1/MinPeriod
}

// Check says whether the device can play the run, without regard to what its
// slots hold. The error wraps ErrInput.
func (i Info) Check(r Run) error {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("cannot play on %s (%s): %s: %w", i.Model, i.Serial, fmt.Sprintf(format, args...), ErrInput)
	}
	switch {
	case len(r.Order) == 0:
		return fail("the order is empty; name at least one slot")
	case len(r.Order) > i.MaxRun:
		return fail("%d patterns exceed the %d of one run; play several runs", len(r.Order), i.MaxRun)
	case r.Period != 0 && r.Period < i.MinPeriod:
		return fail("period %v is shorter than the device's %v; lower the rate", r.Period, i.MinPeriod)
	case r.Exposure < 0:
		return fail("exposure %v is negative", r.Exposure)
	case r.Exposure > r.Period && r.Period != 0, r.Exposure > i.MinPeriod && r.Period == 0:
		return fail("exposure %v exceeds the period %v; shorten the exposure or lower the rate", r.Exposure, max(r.Period, i.MinPeriod))
	}
	for k, slot := range r.Order {
		if slot < 0 || slot >= i.Capacity {
			return fail("slot %d at position %d is not one of 0 to %d", slot, k, i.Capacity-1)
		}
	}
	return nil
}

// CheckLoad says whether the device can take patterns[i] into slots[i]. The
// error wraps ErrInput.
func (i Info) CheckLoad(slots []int, patterns []*Pattern) error {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("cannot load patterns into %s (%s): %s: %w", i.Model, i.Serial, fmt.Sprintf(format, args...), ErrInput)
	}
	if len(slots) != len(patterns) {
		return fail("%d slots for %d patterns; name one slot for each", len(slots), len(patterns))
	}
	named := make(map[int]bool, len(slots))
	for k, slot := range slots {
		switch {
		case slot < 0 || slot >= i.Capacity:
			return fail("slot %d is not one of 0 to %d", slot, i.Capacity-1)
		case named[slot]:
			return fail("slot %d is named twice", slot)
		case patterns[k] == nil:
			return fail("the pattern for slot %d is nil", slot)
		case patterns[k].Geometry() != i.Geometry:
			return fail("the pattern for slot %d has %v mirrors, the chip %v", slot, patterns[k].Geometry(), i.Geometry)
		}
		named[slot] = true
	}
	return nil
}
