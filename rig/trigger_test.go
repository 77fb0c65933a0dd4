package rig_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/rig"
	"github.com/light-in-the-loop/opu/sim"
	"github.com/light-in-the-loop/opu/slm"
	"github.com/light-in-the-loop/opu/slm/dlpc900"
)

// probe asks a bench that is wired like this.
func probe(t *testing.T, change func(*sim.Config), w sim.Wiring) (r *rig.TriggerReport) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b, wired := table(t, func(c *sim.Config) {
			c.Stamp, c.Width, c.Height = false, 32, 32 // a stamp would be seen as light
			if change != nil {
				change(c)
			}
		})
		b.Wire(w)
		before, err := b.Camera().Configure(t.Context(), camera.Config{})
		if err != nil {
			t.Fatal(err)
		}
		trigger := b.Camera().Trigger()
		if r, err = wired.ProbeTrigger(t.Context(), func(string) {}); err != nil {
			t.Fatal(err)
		}
		if after, err := b.Camera().Configure(t.Context(), camera.Config{}); err != nil || after != before || b.Camera().Trigger() != trigger {
			t.Errorf("%v: the camera was left with %+v and %+v, it had %+v and %+v", err, after, b.Camera().Trigger(), before, trigger)
		}
	})
	return r
}

// A bench that is wired well: one line is good at both edges, every exposure and rate holds.
func TestProbeTrigger(t *testing.T) {
	r := probe(t, nil, sim.Wiring{})
	if len(r.Lines) != 4 {
		t.Fatalf("%d lines and edges were tried: %+v", len(r.Lines), r.Lines)
	}
	for i, want := range []rig.TriggerFault{rig.TriggerGood, rig.TriggerGood, rig.TriggerSilent, rig.TriggerSilent} {
		if r.Lines[i].Fault != want {
			t.Errorf("%+v: want %q", r.Lines[i], want)
		}
	}
	period := time.Second / 1500
	if longest, ok := r.Longest(); !ok || longest != period.Round(time.Microsecond) {
		t.Errorf("the longest clean exposure is %v, %t", longest, ok)
	}
	if from, to, ok := r.Settled(); !ok || from != 0 || to != (period*7/8).Truncate(time.Microsecond) {
		t.Errorf("clean from a delay of %v to %v, %t", from, to, ok)
	}
	if fastest, ok := r.Fastest(); !ok || fastest != 105*time.Microsecond {
		t.Errorf("the shortest period is %v, %t", fastest, ok)
	}
}

// Each fault of the wiring is named.
func TestProbeFindsWiring(t *testing.T) {
	for name, c := range map[string]struct {
		wiring sim.Wiring
		change func(*sim.Config)
		fault  rig.TriggerFault
		by     int
		other  rig.TriggerFault // of the second line
	}{
		"cut":            {wiring: sim.Wiring{Cut: true}, fault: rig.TriggerSilent, other: rig.TriggerSilent},
		"the other line": {wiring: sim.Wiring{Line: 1}, fault: rig.TriggerSilent, other: rig.TriggerGood},
		"output 1":       {wiring: sim.Wiring{Level: true}, fault: rig.TriggerOnce, other: rig.TriggerSilent},
		"bounces":        {wiring: sim.Wiring{Bounce: true}, fault: rig.TriggerDouble, other: rig.TriggerSilent},
		"two are missed": {wiring: sim.Wiring{Missed: 2}, fault: rig.TriggerFirstLost, by: 2, other: rig.TriggerSilent},
		"slow camera":    {change: func(c *sim.Config) { c.Readout = 500 * time.Microsecond }, fault: rig.TriggerHalf, other: rig.TriggerSilent},
		"a pattern late": {change: func(c *sim.Config) { c.FrameDelay = 1 }, fault: rig.TriggerLate, by: 1, other: rig.TriggerSilent},
		"no light":       {change: func(c *sim.Config) { c.MeanElectrons = 1e-3 }, fault: rig.TriggerBlind, other: rig.TriggerSilent},
	} {
		t.Run(name, func(t *testing.T) {
			r := probe(t, c.change, c.wiring)
			if got := r.Lines[0]; got.Fault != c.fault || got.By != c.by || got.Patterns == 0 {
				t.Errorf("%+v, want %q by %d", got, c.fault, c.by)
			}
			if got := r.Lines[2]; got.Fault != c.other {
				t.Errorf("the other line: %+v, want %q", got, c.other)
			}
			if len(r.Rates) > 0 || c.fault != rig.TriggerLate && len(r.Exposures) > 0 {
				t.Errorf("rates were tried on a line that does not work")
			}
		})
	}
}

// Mirrors that settle slowly and exposures that begin late are told in microseconds.
func TestProbeFindsMargins(t *testing.T) {
	r := probe(t, nil, sim.Wiring{Settle: 150 * time.Microsecond})
	period := time.Second / 1500
	if from, _, ok := r.Settled(); !ok || from < 150*time.Microsecond || from > 150*time.Microsecond+period/8 {
		t.Errorf("mirrors that settle in 150 us seem to need %v, %t", from, ok)
	}
	if got, want := r.Exposures[3].Before, 0.45; math.Abs(got-want) > 0.05 { // 150 us of half a period
		t.Errorf("the pattern before is seen in %.2f of an exposure, want %.2f", got, want)
	}
	r = probe(t, nil, sim.Wiring{Late: 200 * time.Microsecond})
	if longest, ok := r.Longest(); !ok || longest > 510*time.Microsecond || longest < period/2 {
		t.Errorf("200 us late, the longest clean exposure is %v, %t", longest, ok)
	}
}

// The rate is found at which the camera's read-out just fits.
func TestProbeFindsRate(t *testing.T) {
	r := probe(t, func(c *sim.Config) { c.Readout = 300 * time.Microsecond }, sim.Wiring{})
	fastest, ok := r.Fastest()
	if !ok || fastest < 500*time.Microsecond || fastest > 500*time.Microsecond*5/4 { // 0.4 of a period and 300 us
		t.Errorf("the shortest period is %v, %t", fastest, ok)
	}
	if last := r.Rates[len(r.Rates)-1]; last.Fault != rig.TriggerHalf {
		t.Errorf("beyond it: %+v", last)
	}
}

// A rig that was made slow, for a camera that is, is not probed faster from the start.
func TestProbeOfASlowRig(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := sim.Good(1)
		c.Width, c.Height, c.Chip, c.Readout = 32, 32, slm.Geometry{Width: 20, Height: 16}, 20*time.Millisecond
		c.MeanElectrons /= 75 // so long an exposure would be white
		b, err := sim.New(c)
		if err != nil {
			t.Fatal(err)
		}
		r, err := rig.New(b.DMD(), b.Camera(), rig.Config{Period: 50 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		report, err := r.ProbeTrigger(t.Context(), func(string) {})
		if err != nil {
			t.Fatal(err)
		}
		// 0.4 of a period and 20 ms fit 33 ms.
		if fastest, ok := report.Fastest(); !ok || fastest < 33*time.Millisecond || fastest > 42*time.Millisecond {
			t.Errorf("the shortest period is %v, %t", fastest, ok)
		}
	})
}

// A camera that never triggers, and one that triggers twice, are named by what Show says,
// whatever they count.
func TestShowWithoutTriggers(t *testing.T) {
	for name, c := range map[string]struct {
		wiring sim.Wiring
		says   string
	}{
		"never": {sim.Wiring{Cut: true}, "no trigger reaches it"},
		"twice": {sim.Wiring{Bounce: true}, "twice"},
	} {
		for _, blindly := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				b, r := table(t, nil)
				if blindly {
					var err error
					if r, err = rig.New(b.DMD(), blind{b.Camera()}, rig.Config{}); err != nil {
						t.Fatal(err)
					}
				}
				b.Wire(c.wiring)
				err := show(t, b, r, patterns(b.Config().Chip, 20))
				if !errors.Is(err, rig.ErrUnproven) || !strings.Contains(err.Error(), c.says) {
					t.Errorf("%s, blindly %t: %v", name, blindly, err)
				}
			})
		}
	}
}

// An exposure that does not fit between two patterns is refused, whoever chose it.
func TestExposureFitsThePeriod(t *testing.T) {
	b, _ := table(t, nil)
	r, err := rig.New(b.DMD(), b.Camera(), rig.Config{Period: 500 * time.Microsecond}) // the camera has 600 us
	if err != nil {
		t.Fatal(err)
	}
	for what, try := range map[string]func() error{
		"Show": func() error { return show(t, b, r, patterns(b.Config().Chip, 3)) },
		"Configure of a region": func() error {
			_, err := r.Configure(t.Context(), camera.Config{ROI: camera.ROI{Width: 32, Height: 32}})
			return err
		},
		"Configure of an exposure": func() error {
			_, err := r.Configure(t.Context(), camera.Config{Exposure: 501 * time.Microsecond})
			return err
		},
	} {
		if err := try(); !errors.Is(err, camera.ErrInput) || !strings.Contains(err.Error(), "shorten the exposure") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := r.Configure(t.Context(), camera.Config{Exposure: 400 * time.Microsecond}); err != nil {
		t.Fatal(err)
	}
	if err := show(t, b, r, patterns(b.Config().Chip, 3)); err != nil {
		t.Error(err)
	}
}

// fixed is a camera whose trigger cannot be chosen.
type fixed struct{ camera.Device }

// prompt is a camera whose lines can be chosen, of which one is an output, and that cannot
// wait after an edge.
type prompt struct{ *sim.Camera }

func (p prompt) SetTrigger(ctx context.Context, t camera.Trigger) error {
	switch {
	case t.Delay != 0:
		return fmt.Errorf("no delays: %w", camera.ErrInput)
	case t.Falling:
		return fmt.Errorf("rising edges alone: %w", camera.ErrRefused)
	}
	return p.Camera.SetTrigger(ctx, t)
}

// Where the camera cannot be delayed, the pulses of a board are, down to its bytes.
func TestProbeMovesPulses(t *testing.T) {
	for _, x := range []struct {
		name  string
		wrap  func(*sim.Camera) camera.Device
		lines int
	}{
		{"no choice", func(c *sim.Camera) camera.Device { return fixed{c} }, 1},
		{"no delay, no falling edges", func(c *sim.Camera) camera.Device { return prompt{c} }, 2},
	} {
		t.Run(x.name, func(t *testing.T) { testPulses(t, x.wrap, x.lines) })
	}
}

func testPulses(t *testing.T, wrap func(*sim.Camera) camera.Device, lines int) {
	synctest.Test(t, func(t *testing.T) { // waiting for frames takes no real time
		c := sim.Good(1)
		c.Width, c.Height, c.Chip = 32, 32, slm.Geometry{Width: 20, Height: 16}
		b, err := sim.New(c)
		if err != nil {
			t.Fatal(err)
		}
		b.Wire(sim.Wiring{Settle: 100 * time.Microsecond})
		dmd, err := dlpc900.Open(t.Context(), b.Board(), dlpc900.Options{Virtual: true, DMD: &dlpc900.DMD{
			Name: "simulated DMD", Geometry: c.Chip, Controllers: 1, MinExposures: []time.Duration{105 * time.Microsecond}, Capacity: 400,
		}})
		if err != nil {
			t.Fatal(err)
		}
		r, err := rig.New(dmd, wrap(b.Camera()), rig.Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		report, err := r.ProbeTrigger(t.Context(), func(string) {})
		if err != nil {
			t.Fatal(err)
		}
		from, to, ok := report.Settled()
		if period := r.Period(); !ok || from < 100*time.Microsecond || from > 100*time.Microsecond+period/8 || to < period*3/4 {
			t.Errorf("clean from a delay of %v to %v, %t", from, to, ok)
		}
		if len(report.Lines) != lines {
			t.Errorf("%d lines were tried, want %d", len(report.Lines), lines)
		}
	})
}
