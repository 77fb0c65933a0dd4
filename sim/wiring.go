package sim

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/slm"
)

// Wiring is how the pulses of the mirrors reach the camera, and when the mirrors stand
// still. The zero value is good: pulses arrive at the line that the camera listens to when
// it is opened, once each.
type Wiring struct {
	Line   int           // index of the camera's line that the cable is on
	Cut    bool          // the cable is not there
	Level  bool          // it is that of an output that stays high through a run
	Bounce bool          // every edge is seen twice
	Late   time.Duration // of the edges at the camera
	Missed int           // triggers that the camera does not see after it was armed
	Settle time.Duration // of the mirrors, during which the pattern before is still seen
}

// Wire wires the bench anew, for frames exposed from now on.
func (b *Bench) Wire(w Wiring) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wiring = w
}

// pulse is how long a pulse of the mirrors is: a camera that listens for its second edge
// is so much later.
const pulse = 20 * time.Microsecond

// triggerLines are those of the simulated camera.
var triggerLines = []string{"Line1", "Line2"}

// maxTriggerDelay bounds what the simulated camera waits after an edge.
const maxTriggerDelay = 100 * time.Millisecond

var _ camera.TriggerInput = (*Camera)(nil)

// TriggerLines implements camera.TriggerInput.
func (c *Camera) TriggerLines() []string { return slices.Clone(triggerLines) }

// Trigger implements camera.TriggerInput.
func (c *Camera) Trigger() camera.Trigger {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.trigger
}

// SetTrigger implements camera.TriggerInput.
func (c *Camera) SetTrigger(ctx context.Context, t camera.Trigger) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.usable(ctx, "set the trigger of"); err != nil {
		return err
	}
	switch {
	case c.armed:
		return fmt.Errorf("cannot set the trigger of camera %s: %w", c.info.Serial, camera.ErrArmed)
	case !slices.Contains(triggerLines, t.Line):
		return fmt.Errorf("cannot trigger camera %s by %q: its lines are %v: %w", c.info.Serial, t.Line, triggerLines, camera.ErrInput)
	case t.Delay < 0 || t.Delay > maxTriggerDelay:
		return fmt.Errorf("cannot delay the trigger of camera %s by %v: 0 to %v are possible: %w", c.info.Serial, t.Delay, maxTriggerDelay, camera.ErrInput)
	}
	c.trigger = t
	return nil
}

// mixed is the light of a neighbour that an exposure sees as well.
type mixed struct {
	pattern *slm.Pattern
	share   float32 // of the exposure's time
}

// triggered is what the camera makes of the pulses of a run: the exposures that they start, by
// the wiring. It needs the lock of the camera. The times of the exposures are those of
// their patterns; edges gives the two edges of each pattern's pulse, and how long it lasts.
func (c *Camera) triggered(w Wiring, taken []exposure) []exposure {
	t := c.trigger
	if w.Cut || triggerLines[w.Line] != t.Line || len(taken) == 0 {
		return nil
	}
	if w.Level { // one edge each way: before the first pattern and behind the last
		if t.Falling {
			taken = taken[len(taken)-1:]
		} else {
			taken = taken[:1]
		}
	}
	if missed := min(w.Missed-c.missed, len(taken)); missed > 0 {
		taken = taken[missed:]
		c.missed += missed
	}
	var all []exposure
	for _, x := range taken {
		delay := x.pulse + w.Late + t.Delay
		if t.Falling != x.inverted {
			delay += pulse
		}
		if x.time += delay; delay != 0 || w.Settle > 0 {
			share := func(d time.Duration) float32 {
				return float32(max(0, min(1, d.Seconds()/c.config.Exposure.Seconds())))
			}
			x.before.share, x.after.share = share(w.Settle-delay), share(delay+c.config.Exposure-x.period)
		}
		if all = append(all, x); w.Bounce {
			x.fault, x.time = Fault{}, x.time+x.period/2
			all = append(all, x)
		}
	}
	return all
}
