package genicam

import (
	"errors"
	"slices"
	"strings"
	"testing"

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
