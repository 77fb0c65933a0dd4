package genicam

import (
	"context"
	"slices"
	"time"

	"github.com/light-in-the-loop/opu/camera"
)

// Gated is a camera behind its gate: what drivers embed to have the methods of camera.Device
// and of its small interfaces that are about features alone.
type Gated struct {
	camera *Camera
	gate   *Gate
}

// NewGated is for a camera that was opened, and the gate of its driver.
func NewGated(c *Camera, g *Gate) Gated { return Gated{c, g} }

// Info implements camera.Device.
func (g Gated) Info() camera.Info {
	i := g.camera.Info()
	i.BitDepths = slices.Clone(i.BitDepths)
	return i
}

// Settings implements camera.Inspector.
func (g Gated) Settings() []camera.Setting { return g.camera.Settings() }

// MinPeriod implements camera.Paced.
func (g Gated) MinPeriod() time.Duration { return g.camera.MinPeriod() }

// TriggerLines implements camera.TriggerInput.
func (g Gated) TriggerLines() []string { return g.camera.TriggerLines() }

// Trigger implements camera.TriggerInput.
func (g Gated) Trigger() camera.Trigger { return g.camera.TriggerInput() }

// SetTrigger implements camera.TriggerInput.
func (g Gated) SetTrigger(ctx context.Context, t camera.Trigger) error {
	leave, err := g.gate.EnterIdle(ctx, "set the trigger of")
	if err != nil {
		return err
	}
	defer leave()
	return g.camera.SetTriggerInput(ctx, t)
}

// Configure implements camera.Device.
func (g Gated) Configure(ctx context.Context, c camera.Config) (camera.Config, error) {
	leave, err := g.gate.EnterIdle(ctx, "configure")
	if err != nil {
		return camera.Config{}, err
	}
	defer leave()
	return g.camera.Configure(ctx, c)
}
