package genicam

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/camera/genapi"
)

// Arm prepares the camera for runs with triggers, or without, and switches off what would
// change the meaning of counts. If it was prepared so before, and nothing was configured
// since, there is nothing to do: only who controls the camera can change it.
func (c *Camera) Arm(ctx context.Context, r camera.Run) error {
	if c.armed.ready && c.armed.free == r.Free {
		return nil
	}
	err := c.change(ctx, camera.Config{})
	if err == nil {
		err = c.arm(ctx, r.Free)
	}
	if err != nil {
		return fmt.Errorf("cannot arm %s (%s): %w", c.info.Model, c.info.Serial, err)
	}
	c.armed.ready, c.armed.free = true, r.Free
	return nil
}

func (c *Camera) arm(ctx context.Context, free bool) error {
	settings, err := c.hold(ctx)
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.settings = settings
	c.mu.Unlock()
	if shutter := settings[0]; shutter.State == camera.Stuck && !free {
		return fmt.Errorf("its %s is %s: rows would be exposed while the mirrors change; use a camera with a global shutter: %w",
			shutter.Name, shutter.Value, camera.ErrRefused)
	}
	if _, err := c.attempt(ctx, "AcquisitionMode", "Continuous"); err != nil {
		return err
	}
	return c.trigger(ctx, free)
}

// trigger sets up the trigger. A camera may have several, each of which must be off but
// that of frames.
func (c *Camera) trigger(ctx context.Context, free bool) error {
	for _, x := range [][2]string{{"AcquisitionFrameRateEnable", "false"}, {"ExposureMode", "Timed"}} {
		if _, err := c.attempt(ctx, x[0], x[1]); err != nil {
			return err
		}
	}
	selectors, err := c.m.Choices(ctx, "TriggerSelector")
	if err != nil && !featureError(err) {
		return err
	}
	for _, s := range selectors {
		if _, err := c.attempt(ctx, "TriggerSelector", s); err != nil {
			return err
		}
		if _, err := c.attempt(ctx, "TriggerMode", "Off"); err != nil {
			return err
		}
	}
	if len(selectors) == 0 {
		if _, err := c.attempt(ctx, "TriggerMode", "Off"); err != nil {
			return err
		}
	}
	if free {
		return nil
	}
	if len(selectors) > 0 {
		i := slices.IndexFunc([]string{"FrameStart", "FrameBurstStart", "AcquisitionStart"}, func(s string) bool { return slices.Contains(selectors, s) })
		if i < 0 {
			return fmt.Errorf("its triggers are %s, none of which is FrameStart: %w", strings.Join(selectors, ", "), camera.ErrRefused)
		}
		start := []string{"FrameStart", "FrameBurstStart", "AcquisitionStart"}[i]
		if err := c.require(ctx, "TriggerSelector", start); err != nil {
			return err
		}
	}
	if err := c.require(ctx, "TriggerMode", "On"); err != nil {
		return err
	}
	t := c.TriggerInput()
	source := t.Line
	if source == "" {
		if source, err = c.source(ctx); err != nil {
			return err
		}
	}
	if err := c.require(ctx, "TriggerSource", source); err != nil {
		return err
	}
	edge := "RisingEdge"
	if t.Falling {
		edge = "FallingEdge"
	}
	if ok, err := c.attempt(ctx, "TriggerActivation", edge); err != nil || !ok && t.Falling {
		if err == nil {
			err = fmt.Errorf("it cannot be triggered by a %s: %w", edge, camera.ErrRefused)
		}
		return err
	}
	if err := c.delay(ctx, t.Delay); err != nil {
		return err
	}
	// What helps, where a camera has it: triggers taken while the last frame is read out,
	// and a line of two directions as an input.
	for _, x := range [][2]string{{"TriggerOverlap", "ReadOut"}, {"LineSelector", source}} {
		if _, err := c.attempt(ctx, x[0], x[1]); err != nil {
			return err
		}
	}
	if isLine(source) {
		if now, err := c.m.Text(ctx, "LineSelector"); err == nil && now == source {
			if _, err := c.attempt(ctx, "LineMode", "Input"); err != nil {
				return err
			}
		}
	}
	return nil
}

// source is where the trigger comes from.
func (c *Camera) source(ctx context.Context) (string, error) {
	if c.options.Source != "" {
		return c.options.Source, nil
	}
	if now, err := c.m.Text(ctx, "TriggerSource"); err == nil && isLine(now) {
		return now, nil
	} else if err != nil && !featureError(err) {
		return "", err
	}
	names, err := c.m.Choices(ctx, "TriggerSource")
	if err != nil {
		return "", refused(err)
	}
	if i := slices.IndexFunc(names, isLine); i >= 0 {
		return names[i], nil
	}
	return "", fmt.Errorf("no line is among its trigger sources %s; name the one that is wired to the SLM: %w", strings.Join(names, ", "), camera.ErrRefused)
}

// require brings a feature to a value, or says why it is not.
func (c *Camera) require(ctx context.Context, name, value string) error {
	ok, err := c.attempt(ctx, name, value)
	if err != nil || ok {
		return err
	}
	if err = c.m.SetText(ctx, name, value); err == nil {
		err = fmt.Errorf("%s does not become %s: %w", name, value, camera.ErrRefused)
	}
	return refused(err)
}

// A control that would change what counts mean.
type control struct {
	names []string // as newer and older cameras have it; more than one are tried in order
	safe  []string // its values that are good, the best first
}

// The controls, the shutter first.
var controls = []control{
	{[]string{"SensorShutterMode", "ShutterMode"}, []string{"Global"}},
	{[]string{"ExposureAuto"}, []string{"Off"}},
	{[]string{"GainAuto"}, []string{"Off"}},
	{[]string{"BlackLevelAuto"}, []string{"Off"}},
	{[]string{"GammaEnable", "GammaEnabled"}, []string{"false"}},
	{[]string{"Gamma"}, []string{"1"}},
	{[]string{"LUTEnable"}, []string{"false"}},
	{[]string{"DenoiseEnable", "NoiseReductionEnable", "NoiseReduction", "BslNoiseReduction"}, []string{"false", "Off", "0"}},
	{[]string{"SharpeningEnable", "SharpnessEnable", "SharpnessAuto", "BslSharpnessEnhancement"}, []string{"false", "Off", "0"}},
}

// hold brings all controls to where they are safe, reads them back and says what came of it.
func (c *Camera) hold(ctx context.Context) ([]camera.Setting, error) {
	for _, k := range controls {
		name, err := c.first(ctx, k.names...)
		if err != nil {
			return nil, err
		}
		for _, value := range k.safe {
			if name == "" {
				break
			}
			ok, err := c.attempt(ctx, name, value)
			if err != nil {
				return nil, err
			}
			if ok {
				break
			}
		}
	}
	if err := c.liftBlack(ctx); err != nil {
		return nil, err
	}
	return c.inspect(ctx)
}

// inspect reads all controls.
func (c *Camera) inspect(ctx context.Context) ([]camera.Setting, error) {
	settings := make([]camera.Setting, 0, len(controls)+1)
	enabled := true // gamma is
	for _, k := range controls {
		s, err := c.look(ctx, k.names, func(value string) bool { return slices.Contains(k.safe, value) })
		if err != nil {
			return nil, err
		}
		switch {
		case k.names[0] == "GammaEnable":
			enabled = s.State != camera.Safe
		case s.Name == "Gamma" && s.State == camera.Stuck && !enabled:
			s.State = camera.Safe // it is switched off
		}
		settings = append(settings, s)
	}
	black, err := c.look(ctx, blackLevels, func(value string) bool { return value != "0" && !strings.HasPrefix(value, "-") })
	return append(settings, black), err
}

// look reads one control.
func (c *Camera) look(ctx context.Context, names []string, safe func(value string) bool) (camera.Setting, error) {
	s := camera.Setting{Name: names[0], State: camera.Absent}
	name, err := c.first(ctx, names...)
	if err != nil || name == "" {
		return s, err
	}
	s.Name = name
	value, err := c.m.Text(ctx, name)
	switch {
	case errors.Is(err, genapi.ErrAccess): // not as the camera stands now
		return s, nil
	case err != nil:
		s.State = camera.Stuck
		return s, ignoring(err)
	case safe(value):
		s.State = camera.Safe
	default:
		s.State = camera.Stuck
	}
	s.Value = value
	return s, nil
}

var blackLevels = []string{"BlackLevel", "BlackLevelRaw"}

// blackShare is what a black level of zero becomes, of what the camera has: enough for the
// noise of reading, and little of the range.
const blackShare = 1.0 / 16

// liftBlack lifts a black level that is zero, since what noise takes below it would be lost.
func (c *Camera) liftBlack(ctx context.Context) error {
	name, err := c.first(ctx, blackLevels...)
	if err != nil || name == "" {
		return err
	}
	now, err := c.m.Float(ctx, name)
	if err != nil || now > 0 {
		return ignoring(err)
	}
	l, err := c.m.Limits(ctx, name)
	if err != nil {
		return ignoring(err)
	}
	value := l.Max * blackShare
	if l.Inc > 0 {
		inc := float64(l.Inc)
		value = min(l.Min+max(1, float64(int64((value-l.Min)/inc)))*inc, l.Max)
	}
	return ignoring(c.m.SetFloat(ctx, name, value))
}

// Settings is that of camera.Inspector. It may be called at any time.
func (c *Camera) Settings() []camera.Setting {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.settings)
}

// Trigger gives a trigger by software, where Options.Source is Software.
func (c *Camera) Trigger(ctx context.Context) error {
	return refused(c.m.Execute(ctx, "TriggerSoftware"))
}
