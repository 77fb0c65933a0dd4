package slm

import (
	"context"
	"time"
)

// What only some devices can do. Patterns have one bit for each mirror; a device whose
// hardware knows patterns of more bits has no use for them here.

// Inverter is a device that can show the complement of every pattern without having it
// sent: mirrors that are on in a pattern are off on the chip. The half of a difference of
// two complements is already there.
type Inverter interface {
	// Invert holds from the next run on. During a run it fails with ErrBusy.
	Invert(ctx context.Context, on bool) error
}

// Banded is a device of which only a band of rows is in use, for the sake of a shorter
// period. Patterns keep the size of the whole chip; the other rows stay off.
type Banded interface {
	Band() (first, rows int)
}

// TriggeredPlayer is a device that can be advanced from outside, by the camera's exposure
// signal for instance.
type TriggeredPlayer interface {
	// PlayTriggered is Play, but each pattern waits for an edge at the device's trigger
	// input. r.Period must be 0: who makes the edges decides about it. Wait returns when the
	// last pattern has been shown, however long that takes; Stop ends the run before, and
	// then Wait counts 0, because nobody knows how many edges came.
	PlayTriggered(ctx context.Context, r Run) error
}

// Pulsing is a device whose pulse for the camera can be moved.
type Pulsing interface {
	// SetPulse holds from the next run on. During a run it fails with ErrBusy; a delay that
	// the device cannot have is ErrInput, and changes nothing.
	SetPulse(ctx context.Context, p Pulse) error
}

// Pulse is what tells the camera that a pattern is there.
type Pulse struct {
	Inverted bool          // it falls first
	Delay    time.Duration // of its first edge, from the moment at which the mirrors are set; it may be negative
}
