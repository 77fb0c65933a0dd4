package v4l2

import (
	"fmt"
	"slices"
	"strings"

	"github.com/light-in-the-loop/opu/camera"
)

// rule is about something that changes what a count means. A camera has it under a number of
// the kernel's, or under a name of its own.
type rule struct {
	what  string
	ids   []uint32
	words []string // one of them is in the control's name

	// want is the value that does no harm, if it is known.
	want func(d *Device, c *ControlInfo) (int64, bool)

	// minor: it is no news that a camera does not have it.
	minor bool
}

// The first is about what would overwrite exposures.
var rules = []rule{
	{what: "automatic exposure", ids: []uint32{cidExposureAuto}, words: []string{"auto exposure", "exposure auto", "automatic exposure"}, want: manual},
	{what: "automatic gain", ids: []uint32{cidAutoGain}, words: []string{"auto gain", "gain auto", "automatic gain"}, want: off},
	{what: "gamma", ids: []uint32{cidGamma}, words: []string{"gamma"}, want: linear},
	{what: "look-up table", words: []string{"lut", "look up table", "lookup table"}, want: off},
	{what: "denoising", words: []string{"denois", "noise reduction", "noise filter"}, want: lowest},
	{what: "black level", ids: []uint32{cidBlackLevel}, words: []string{"black level", "blacklevel"}, want: aboveZero},
	{what: "test pattern", ids: []uint32{cidTestPattern}, want: off, minor: true},
	{what: "sharpness", ids: []uint32{cidSharpness}, words: []string{"sharpness", "sharpening"}, want: lowest, minor: true},
	{what: "exposure that changes the frame rate", ids: []uint32{cidExposureDynamic}, want: off, minor: true},
	{what: "automatic brightness", ids: []uint32{cidAutoBrightness}, want: off, minor: true},
	{what: "backlight compensation", ids: []uint32{cidBacklight}, want: lowest, minor: true},
	{what: "wide dynamic range", ids: []uint32{cidWideRange}, words: []string{"wide dynamic range", "hdr"}, want: off, minor: true},
	{what: "image stabilisation", ids: []uint32{cidStabilization}, want: off, minor: true},
	{what: "automatic sensitivity", ids: []uint32{cidISOAuto}, want: off, minor: true},
	{what: "defect correction", words: []string{"defect", "defective pixel", "hot pixel"}, want: off, minor: true},
}

// item is the first of a menu whose name has one of the words.
func (c *ControlInfo) item(words ...string) (int64, bool) {
	for _, i := range c.Items {
		if name := plain(i.Name); slices.ContainsFunc(words, func(w string) bool { return strings.Contains(name, w) }) {
			return i.Value, true
		}
	}
	return 0, false
}

func off(_ *Device, c *ControlInfo) (int64, bool) {
	switch {
	case c.boolean:
		return 0, true
	case len(c.Items) > 0:
		return c.item("off", "none", "disable", "manual", "linear", "bypass", "normal")
	}
	return 0, c.Min == 0
}

// manual is off for the kernel's menu, whose item is called "Manual Mode".
func manual(d *Device, c *ControlInfo) (int64, bool) {
	if v, ok := c.item("manual"); ok {
		return v, true
	}
	return off(d, c)
}

func lowest(d *Device, c *ControlInfo) (int64, bool) {
	if len(c.Items) > 0 || c.boolean {
		return off(d, c)
	}
	return c.Min, c.Min >= 0
}

// linearUVC is a gamma of 1 in the unit of the USB Video Class.
const linearUVC = 100

// linear is known of switches, and of USB cameras. The kernel gives gamma no unit.
func linear(d *Device, c *ControlInfo) (int64, bool) {
	if len(c.Items) > 0 || c.boolean {
		return off(d, c)
	}
	return linearUVC, d.driver == "uvcvideo" && c.Min <= linearUVC && linearUVC <= c.Max
}

// aboveZero keeps noise from being cut off at zero. How many counts a unit is, is not known.
func aboveZero(_ *Device, c *ControlInfo) (int64, bool) {
	if c.Value > 0 {
		return c.Value, true
	}
	v := max(c.Step, c.Max/64/c.Step*c.Step)
	if c.Default > 0 {
		v = c.Default
	}
	return v, v > 0 && v <= c.Max
}

func (r *rule) fits(c *ControlInfo) bool {
	if slices.Contains(r.ids, c.id) {
		return true
	}
	name := " " + plain(c.Name)
	return slices.ContainsFunc(r.words, func(w string) bool { return strings.Contains(name, " "+w) })
}

// tame sets what the rules say, then what Options says, and keeps what came of it. With
// triggers it refuses a rolling shutter. Callers have the turn.
func (d *Device) tame(free bool) error {
	var told []camera.Setting
	own := slices.Concat(d.options.Fixed, d.options.Trigger, d.options.Free)
	for i := range rules {
		found := false
		for j := range d.controls {
			c := &d.controls[j]
			if !rules[i].fits(c) || c.Button {
				continue
			}
			found = true
			s, err := d.apply(&rules[i], c, own)
			if err != nil {
				return err
			}
			told = append(told, s)
		}
		if !found && !rules[i].minor {
			told = append(told, camera.Setting{Name: rules[i].what, State: camera.Absent})
		}
	}
	if err := d.set(d.options.Fixed); err != nil {
		return err
	}
	shutter, err := d.shutter(free)
	if err != nil {
		return err
	}
	told = append(told, shutter)
	if !free {
		told = append(told, d.trigger())
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.settings = told
	if d.uncounted {
		d.settings = append(d.settings, uncounted)
	}
	return nil
}

// apply does what a rule says to a control. One that Options sets is the caller's, and is
// believed.
func (d *Device) apply(r *rule, c *ControlInfo, own []Control) (camera.Setting, error) {
	if err := c.read(d.node); err != nil {
		return camera.Setting{}, d.failure(fmt.Sprintf("read %q of", c.Name), err)
	}
	s := camera.Setting{Name: c.Name, State: camera.Stuck}
	if i := slices.IndexFunc(own, func(o Control) bool { return plain(o.Name) == plain(c.Name) }); i >= 0 {
		if err := d.set(own[i : i+1]); err != nil {
			return s, err
		}
		s.Value, s.State = c.String(), camera.Safe
		return s, nil
	}
	want, known := r.want(d, c)
	if known && c.Value != want && !c.ReadOnly {
		// What is refused stays as it is, and is told.
		if err := c.write(d.node, want); err != nil && isGone(err) {
			return s, d.failure(fmt.Sprintf("set %q of", c.Name), err)
		}
	}
	s.Value = c.String()
	if known && c.Value == want {
		s.State = camera.Safe
	}
	return s, nil
}

// trigger is what arms the camera for triggers, which Arm sets after all else, or fails.
func (d *Device) trigger() camera.Setting {
	s := camera.Setting{Name: "external trigger", State: camera.Absent}
	var all []string
	for _, c := range d.options.Trigger {
		all = append(all, fmt.Sprintf("%s=%d", c.Name, c.Value))
		s.State = camera.Safe
	}
	s.Value = strings.Join(all, ", ")
	return s
}

// shutter looks for a control of the shutter's kind: one that can be "rolling" or "global".
func (d *Device) shutter(free bool) (camera.Setting, error) {
	for i := range d.controls {
		c := &d.controls[i]
		rolling, ok := c.item("rolling")
		if !ok {
			continue
		}
		if err := c.read(d.node); err != nil {
			return camera.Setting{}, d.failure(fmt.Sprintf("read %q of", c.Name), err)
		}
		if global, ok := c.item("global"); ok && c.Value == rolling && !c.ReadOnly {
			if err := c.write(d.node, global); err != nil && isGone(err) {
				return camera.Setting{}, d.failure(fmt.Sprintf("set %q of", c.Name), err)
			}
		}
		s := camera.Setting{Name: c.Name, Value: c.String()}
		if c.Value == rolling {
			s.State = camera.Stuck
			if !free {
				return s, fmt.Errorf("cannot arm camera %s for triggers: its shutter is rolling (%s is %s), so that the rows of a frame see different patterns; use a camera with a global shutter: %w",
					d.path, c.Name, s.Value, camera.ErrRefused)
			}
		}
		return s, nil
	}
	return camera.Setting{Name: "shutter", State: camera.Absent}, nil
}

// uncounted is told of a driver whose sequence does not count.
var uncounted = camera.Setting{Name: "frame numbers", State: camera.Absent}

// Settings implements camera.Inspector. Before the first Arm they are as Open found them.
func (d *Device) Settings() []camera.Setting {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.settings)
}

// inspect is tame without touching anything, for Open.
func (d *Device) inspect() {
	var told []camera.Setting
	for i := range rules {
		found := false
		for j := range d.controls {
			c := &d.controls[j]
			if !rules[i].fits(c) || c.Button || c.read(d.node) != nil {
				continue
			}
			found = true
			s := camera.Setting{Name: c.Name, Value: c.String(), State: camera.Stuck}
			if want, known := rules[i].want(d, c); known && want == c.Value {
				s.State = camera.Safe
			}
			told = append(told, s)
		}
		if !found && !rules[i].minor {
			told = append(told, camera.Setting{Name: rules[i].what, State: camera.Absent})
		}
	}
	d.settings = told
}
