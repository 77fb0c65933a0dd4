package genicam

import "testing"

// counting adds a counter to a model.
func counting(events ...string) *model {
	m := whole()
	m.enumeration("CounterSelector", 0, "Counter0")
	m.enumeration("CounterEventSource", 0, events...)
	m.command("CounterReset")
	m.integer("CounterValue", 0, "")
	return m
}

func TestCounter(t *testing.T) {
	m := counting("Off", "FrameTrigger", "ExposureStart")
	c := m.mustOpen(t, Options{})
	if _, ok, err := c.Counted(t.Context()); ok || err != nil {
		t.Errorf("before it was asked to, it counts: %v", err)
	}
	if err := c.CountFrames(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := m.value("CounterEventSource", 0); got != 2 {
		t.Errorf("it counts event %d, want that of exposures", got)
	}
	m.words[m.places["CounterValue"]] = 7
	if err := c.m.Forget(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n, ok, err := c.Counted(t.Context()); n != 7 || !ok || err != nil {
		t.Errorf("%d, %t, %v", n, ok, err)
	}
}

// A counter that counts something else, or does not begin with nothing, is not believed.
func TestCounterThatCannot(t *testing.T) {
	odd := counting("Off", "ExposureStart")
	odd.words[odd.places["CounterValue"]] = 3 // and the model's reset does nothing
	for name, m := range map[string]*model{
		"no counter":     whole(),
		"another event":  counting("Off", "Line1RisingEdge"),
		"no reset":       counting("Off", "FrameStart").without("CounterReset"),
		"begins at 3":    odd,
		"cannot be read": counting("Off", "FrameStart").without("CounterValue"),
	} {
		c := m.mustOpen(t, Options{})
		if err := c.CountFrames(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, ok, err := c.Counted(t.Context()); ok || err != nil {
			t.Errorf("%s: it counts, %v", name, err)
		}
	}
	m := counting("Off", "FrameStart")
	c := m.mustOpen(t, Options{})
	m.fail = errLink
	if err := c.CountFrames(t.Context()); err == nil {
		t.Error("over a broken link it counts")
	}
}
