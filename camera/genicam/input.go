package genicam

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/light-in-the-loop/opu/camera"
)

// findTrigger learns the lines that a trigger can come in at, and which one it is now.
func (c *Camera) findTrigger(ctx context.Context) error {
	names, err := c.m.Choices(ctx, "TriggerSource")
	if err != nil && !featureError(err) {
		return err
	}
	for _, name := range names {
		if isLine(name) {
			c.lines = append(c.lines, name)
		}
	}
	line, err := c.source(ctx)
	if err != nil && !featureError(err) {
		return err // that there is none is told when it is needed
	}
	c.input = camera.Trigger{Line: line, Falling: c.options.Falling}
	return nil
}

func isLine(source string) bool { return strings.HasPrefix(source, "Line") }

// TriggerLines is that of camera.TriggerInput.
func (c *Camera) TriggerLines() []string { return slices.Clone(c.lines) }

// TriggerInput is the Trigger of camera.TriggerInput.
func (c *Camera) TriggerInput() camera.Trigger {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.input
}

// SetTriggerInput is the SetTrigger of camera.TriggerInput; the driver sees to it that the camera is not
// armed. What the camera makes of an edge is found when it is armed.
func (c *Camera) SetTriggerInput(ctx context.Context, t camera.Trigger) error {
	fail := func(err error) error {
		return fmt.Errorf("cannot set the trigger of %s (%s): %w", c.info.Model, c.info.Serial, err)
	}
	if t.Line != c.TriggerInput().Line && !slices.Contains(c.lines, t.Line) {
		return fail(fmt.Errorf("%q is none of its lines, which are %s: %w", t.Line, strings.Join(c.lines, ", "), camera.ErrInput))
	}
	if t.Delay != 0 {
		least, most, err := c.delays(ctx)
		if err != nil {
			return fail(err)
		}
		if t.Delay < least || t.Delay > most {
			return fail(fmt.Errorf("a delay of %v; %v to %v are possible: %w", t.Delay, least, most, camera.ErrInput))
		}
	}
	c.mu.Lock()
	c.input = t
	c.mu.Unlock()
	c.armed.ready = false
	return nil
}

// delays are those that the camera can make; zeros: none.
func (c *Camera) delays(ctx context.Context) (least, most time.Duration, err error) {
	name, err := c.first(ctx, "TriggerDelay", "TriggerDelayAbs")
	if err != nil || name == "" {
		return 0, 0, err
	}
	l, err := c.m.Limits(ctx, name)
	if err != nil {
		return 0, 0, ignoring(err)
	}
	const longest = 1e9 // microseconds
	return time.Duration(math.Ceil(max(0, l.Min) * 1000)), time.Duration(math.Floor(max(0, min(l.Max, longest)) * 1000)), nil
}

// delay brings the camera to the trigger's delay.
func (c *Camera) delay(ctx context.Context, d time.Duration) error {
	name, err := c.first(ctx, "TriggerDelay", "TriggerDelayAbs")
	switch {
	case err != nil:
		return err
	case d == 0 && name == "":
		return nil
	case d == 0:
		_, err := c.attempt(ctx, name, "0") // some have a least one
		return err
	}
	return refused(c.m.SetFloat(ctx, name, float64(d)/1000))
}
