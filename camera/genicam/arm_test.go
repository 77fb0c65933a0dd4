package genicam

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/light-in-the-loop/opu/camera"
)

var triggered, free = camera.Run{Frames: 1}, camera.Run{Frames: 1, Free: true}

func arm(t *testing.T, c *Camera, r camera.Run) {
	t.Helper()
	if err := c.Arm(t.Context(), r); err != nil {
		t.Fatal(err)
	}
}

func TestArmMakesCountsLinear(t *testing.T) {
	m := whole()
	c := m.mustOpen(t, Options{})
	stuck := 0
	for _, s := range c.Settings() {
		if s.State == camera.Stuck {
			stuck++
		}
	}
	if stuck < 5 {
		t.Errorf("before it was armed only %d controls are told to be wrong: %+v", stuck, c.Settings())
	}
	arm(t, c, triggered)
	want := []camera.Setting{
		{Name: "SensorShutterMode", Value: "Global"}, {Name: "ExposureAuto", Value: "Off"}, {Name: "GainAuto", Value: "Off"},
		{Name: "BlackLevelAuto", State: camera.Absent}, {Name: "GammaEnable", Value: "false"}, {Name: "Gamma", Value: "1"},
		{Name: "LUTEnable", Value: "false"}, {Name: "NoiseReduction", Value: "Off"}, {Name: "SharpeningEnable", State: camera.Absent},
		{Name: "BlackLevel", Value: "64"},
	}
	if got := c.Settings(); !cmp.Equal(got, want) {
		t.Error(cmp.Diff(want, got))
	}
	for name, value := range map[string]uint32{"GainAuto": 0, "GammaEnable": 0, "Gamma": 1, "LUTEnable": 0, "NoiseReduction": 0, "BlackLevel": 64, "SensorShutterMode": 0} {
		if got := m.value(name, 0); got != value {
			t.Errorf("%s is %d, want %d", name, got, value)
		}
	}

	// A black level that is not zero is the user's.
	other := whole()
	other.words[other.places["BlackLevel"]] = 3
	arm(t, other.mustOpen(t, Options{}), triggered)
	if got := other.value("BlackLevel", 0); got != 3 {
		t.Errorf("a black level of 3 became %d", got)
	}
}

func TestStuckControls(t *testing.T) {
	m := whole()
	m.stuck["GainAuto"], m.stuck["LUTEnable"], m.stuck["BlackLevel"] = true, true, true
	c := m.mustOpen(t, Options{})
	arm(t, c, triggered)
	for _, want := range []camera.Setting{
		{Name: "GainAuto", Value: "Continuous", State: camera.Stuck}, {Name: "LUTEnable", Value: "true", State: camera.Stuck}, {Name: "BlackLevel", Value: "0", State: camera.Stuck},
	} {
		if !slices.Contains(c.Settings(), want) {
			t.Errorf("it does not tell %+v, but %+v", want, c.Settings())
		}
	}
}

// Gamma that cannot be 1 does not matter if it is switched off.
func TestGammaThatIsOff(t *testing.T) {
	m := whole()
	m.stuck["Gamma"] = true
	c := m.mustOpen(t, Options{})
	arm(t, c, triggered)
	if want := (camera.Setting{Name: "Gamma", Value: "2"}); !slices.Contains(c.Settings(), want) {
		t.Errorf("it does not tell %+v, but %+v", want, c.Settings())
	}
}

func TestRollingShutter(t *testing.T) {
	m := whole()
	m.stuck["SensorShutterMode"] = true
	c := m.mustOpen(t, Options{})
	if err := c.Arm(t.Context(), triggered); !errors.Is(err, camera.ErrRefused) || !strings.Contains(err.Error(), "Rolling") {
		t.Errorf("with a rolling shutter: %v", err)
	}
	arm(t, c, free) // to look at the light it will do
	if err := c.Arm(t.Context(), triggered); !errors.Is(err, camera.ErrRefused) {
		t.Errorf("with a rolling shutter, after a free run: %v", err)
	}
}

func TestTrigger(t *testing.T) {
	m := whole()
	for i := range 3 {
		m.words[m.places["TriggerMode"]+uint64(4*i)] = 1
	}
	c := m.mustOpen(t, Options{})
	arm(t, c, triggered)
	state := func(what string, modes [3]uint32) {
		t.Helper()
		for i, want := range modes { // AcquisitionStart, FrameStart, FrameEnd
			if got := m.value("TriggerMode", i); got != want {
				t.Errorf("%s, the mode of trigger %d is %d, want %d", what, i, got, want)
			}
		}
	}
	state("with triggers", [3]uint32{0, 1, 0})
	if source, edge, delay := m.value("TriggerSource", 1), m.value("TriggerActivation", 1), m.value("TriggerDelay", 0); source != 1 || edge != 0 || delay != 0 {
		t.Errorf("the source is %d, the edge %d, the delay %d", source, edge, delay)
	}
	if selector, mode := m.value("LineSelector", 0), m.value("LineMode", 1); selector != 1 || mode != 0 {
		t.Errorf("line %d has mode %d", selector, mode)
	}
	if m.value("AcquisitionMode", 0) != 0 {
		t.Error("it takes a single frame")
	}
	before := len(m.wrote)
	arm(t, c, triggered)
	if len(m.wrote) != before {
		t.Errorf("armed again, it writes %v", m.wrote[before:])
	}
	arm(t, c, free)
	state("without triggers", [3]uint32{})
	arm(t, c, triggered)
	state("with triggers again", [3]uint32{0, 1, 0})
}

func TestTriggerOptions(t *testing.T) {
	m := whole()
	arm(t, m.mustOpen(t, Options{Source: "Line2", Falling: true}), triggered)
	if source, edge := m.value("TriggerSource", 1), m.value("TriggerActivation", 1); source != 2 || edge != 1 {
		t.Errorf("the source is %d, the edge %d", source, edge)
	}
	for name, x := range map[string]struct {
		m *model
		o Options
	}{
		"a line that it does not have": {whole(), Options{Source: "Line9"}},
		"no falling edges":             {whole().without("TriggerActivation"), Options{Falling: true}},
		"no trigger":                   {whole().without("TriggerMode"), Options{}},
		"no source":                    {whole().without("TriggerSource"), Options{}},
		"a trigger that stays off": {func() *model {
			m := whole()
			m.stuck["TriggerMode[1]"] = true
			return m
		}(), Options{}},
	} {
		if err := x.m.mustOpen(t, x.o).Arm(t.Context(), triggered); !errors.Is(err, camera.ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
	m = whole()
	c := m.mustOpen(t, Options{})
	m.fail = errLink
	if err := c.Arm(t.Context(), triggered); !errors.Is(err, errLink) {
		t.Errorf("over a broken link: %v", err)
	}
	m.fail = nil
	arm(t, c, triggered)
}

// People look for the cable by other lines, edges and delays.
func TestTriggerInput(t *testing.T) {
	m := whole()
	c := m.mustOpen(t, Options{})
	if lines := c.TriggerLines(); !slices.Equal(lines, []string{"Line1", "Line2"}) {
		t.Errorf("its lines are %q", lines)
	}
	if got := c.TriggerInput(); got != (camera.Trigger{Line: "Line1"}) {
		t.Errorf("it is triggered by %+v", got)
	}
	arm(t, c, triggered)
	want := camera.Trigger{Line: "Line2", Falling: true, Delay: 30 * time.Microsecond}
	if err := c.SetTriggerInput(t.Context(), want); err != nil || c.TriggerInput() != want {
		t.Errorf("set to %+v: %v", c.TriggerInput(), err)
	}
	arm(t, c, triggered)
	if source, edge, delay := m.value("TriggerSource", 1), m.value("TriggerActivation", 1), m.value("TriggerDelay", 0); source != 2 || edge != 1 || delay != 30 {
		t.Errorf("the source is %d, the edge %d, the delay %d", source, edge, delay)
	}
	for name, bad := range map[string]camera.Trigger{
		"a line that is not there": {Line: "Line7"}, "no line": {}, "a software trigger": {Line: "Software"},
		"a delay too long": {Line: "Line1", Delay: 2 * time.Millisecond}, "a delay of the past": {Line: "Line1", Delay: -1},
	} {
		if err := c.SetTriggerInput(t.Context(), bad); !errors.Is(err, camera.ErrInput) || c.TriggerInput() != want {
			t.Errorf("%s: %v, set to %+v", name, err, c.TriggerInput())
		}
	}
	if err := c.SetTriggerInput(t.Context(), camera.Trigger{Line: "Line1"}); err != nil {
		t.Error(err)
	}
	arm(t, c, triggered)
	if source, delay := m.value("TriggerSource", 1), m.value("TriggerDelay", 0); source != 1 || delay != 0 {
		t.Errorf("set back, the source is %d, the delay %d", source, delay)
	}
	none := whole().without("TriggerDelay").mustOpen(t, Options{})
	if err := none.SetTriggerInput(t.Context(), camera.Trigger{Line: "Line1", Delay: time.Microsecond}); !errors.Is(err, camera.ErrInput) {
		t.Errorf("a delay without such a feature: %v", err)
	}
}
