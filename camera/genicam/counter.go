package genicam

import (
	"context"
	"slices"

	"github.com/light-in-the-loop/opu/camera/genapi"
)

// events are what a counter may count so that its value is the number of frames taken, the
// best first.
var events = []string{"ExposureStart", "FrameStart", "ExposureEnd", "FrameEnd"}

// CountFrames lets a counter of the camera count the frames that it takes from now on, if it
// has one: frames that are lost at the end of a run leave no other trace. Arm does not do
// that, since some transports count by themselves.
func (c *Camera) CountFrames(ctx context.Context) error {
	c.counts = false
	event, err := c.countedEvent(ctx)
	if err != nil || event == "" {
		return err
	}
	for _, x := range [][2]string{{"CounterResetSource", "Off"}, {"CounterTriggerSource", "Off"}} {
		if _, err := c.attempt(ctx, x[0], x[1]); err != nil {
			return err
		}
	}
	if ok, err := c.attempt(ctx, "CounterEventSource", event); err != nil || !ok {
		return err
	}
	if err := c.m.Execute(ctx, "CounterReset"); err != nil {
		return ignoring(err)
	}
	n, err := c.m.Int(ctx, "CounterValue")
	c.counts = err == nil && n == 0 // one that begins elsewhere counts something else
	return ignoring(err)
}

// countedEvent selects the first counter that can count frames, and says what of; "" if there
// is none.
func (c *Camera) countedEvent(ctx context.Context) (string, error) {
	counters, err := c.m.Choices(ctx, "CounterSelector")
	if err != nil {
		return "", ignoring(err)
	}
	for _, counter := range counters {
		if ok, err := c.attempt(ctx, "CounterSelector", counter); err != nil || !ok {
			if err != nil {
				return "", err
			}
			continue
		}
		a, err := c.m.Access(ctx, "CounterEventSource")
		if err != nil || a != genapi.ReadWrite {
			if ignoring(err) != nil {
				return "", err
			}
			continue
		}
		names, err := c.m.Choices(ctx, "CounterEventSource")
		if err != nil {
			return "", ignoring(err)
		}
		for _, event := range events {
			if slices.Contains(names, event) {
				return event, nil
			}
		}
	}
	return "", nil
}

// Counted is how many frames the camera has counted since CountFrames; ok is false if it
// does not count.
func (c *Camera) Counted(ctx context.Context) (n uint64, ok bool, err error) {
	if !c.counts {
		return 0, false, nil
	}
	value, err := c.m.Int(ctx, "CounterValue")
	if err != nil || value < 0 {
		return 0, false, ignoring(err)
	}
	return uint64(value), true, nil
}
