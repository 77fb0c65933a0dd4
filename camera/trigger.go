package camera

import (
	"context"
	"time"
)

// TriggerInput is a camera whose trigger can be chosen, for people who look for the cable.
type TriggerInput interface {
	// TriggerLines are the names of the inputs, in the camera's words. It never blocks.
	TriggerLines() []string

	// Trigger is what starts an exposure now. It never blocks.
	Trigger() Trigger

	// SetTrigger holds from the next run on. It fails with ErrArmed during a run, and with
	// ErrInput, changing nothing, for a line that is not there or a delay out of range.
	SetTrigger(ctx context.Context, t Trigger) error
}

// Trigger is an edge on an input that starts an exposure.
type Trigger struct {
	Line    string
	Falling bool          // the falling edge, else the rising one
	Delay   time.Duration // from the edge to the exposure
}
